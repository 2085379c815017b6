/* r_util.c: decode and check R's lists, make result lists, poll for interrupts. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "arrow/elimination.h"
#include "glue/r_util.h"

/* ---- single values and vectors --------------------------------------------------------- */

void r_bad(const char *name)
{
    Rf_error("internal error: '%s' has the wrong type, size or value", name);
}

/* A number of any of R's three types; NaN when there is none. */
static double number(SEXP x)
{
    if (Rf_xlength(x) != 1) return NAN;
    switch (TYPEOF(x)) {
    case REALSXP:
        return REAL(x)[0];
    case INTSXP:
        return INTEGER(x)[0] == NA_INTEGER ? NAN : INTEGER(x)[0];
    case LGLSXP:
        return LOGICAL(x)[0] == NA_LOGICAL ? NAN : LOGICAL(x)[0];
    default:
        return NAN;
    }
}

double r_as_num(SEXP x, const char *name, double low, double high)
{
    double v = number(x);
    if (!(v >= low && v <= high)) r_bad(name);
    return v;
}

int r_as_int(SEXP x, const char *name, int low, int high)
{
    double v = r_as_num(x, name, low, high);
    if (v != floor(v)) r_bad(name);
    return (int) v;
}

bool r_as_flag(SEXP x, const char *name)
{
    if (TYPEOF(x) != LGLSXP) r_bad(name);
    return r_as_num(x, name, 0, 1) != 0;
}

static bool has_length(SEXP x, R_xlen_t length)
{
    return length < 0 || Rf_xlength(x) == length;
}

const double *r_as_dbl(SEXP x, const char *name, R_xlen_t length)
{
    if (TYPEOF(x) != REALSXP || !has_length(x, length)) r_bad(name);
    return REAL(x);
}

bool r_all_finite(const double *x, R_xlen_t n)
{
    double sum = 0; /* of x - x: zero, or NaN */
    for (R_xlen_t i = 0; i < n; i++) sum += x[i] - x[i];
    return sum == 0;
}

const double *r_as_finite(SEXP x, const char *name, R_xlen_t length)
{
    const double *v = r_as_dbl(x, name, length);
    if (!r_all_finite(v, Rf_xlength(x))) r_bad(name);
    return v;
}

const int *r_as_ints(SEXP x, const char *name, R_xlen_t length)
{
    if (TYPEOF(x) != INTSXP || !has_length(x, length)) r_bad(name);
    return INTEGER(x);
}

int r_as_list(SEXP x, const char *name, int length)
{
    bool empty = x == R_NilValue;
    if ((!empty && TYPEOF(x) != VECSXP) || Rf_xlength(x) > INT_MAX) r_bad(name);
    if (length >= 0 && Rf_length(x) != length) r_bad(name);
    return Rf_length(x);
}

int r_columns(SEXP x, const char *name, int nrow)
{
    if (TYPEOF(x) != REALSXP || !Rf_isMatrix(x)) r_bad(name);
    if (nrow >= 0 && Rf_nrows(x) != nrow) r_bad(name);
    return Rf_ncols(x);
}

SEXP r_progress(SEXP x)
{
    if (x != R_NilValue && !Rf_isFunction(x)) r_bad("progress");
    return x;
}

void r_in_range(const int *code, R_xlen_t n, int low, int high, const char *name)
{
    for (R_xlen_t i = 0; i < n; i++)
        if (code[i] < low || code[i] > high) r_bad(name);
}

/* ---- named lists ------------------------------------------------------------------------ */

SEXP r_find(SEXP list, const char *name)
{
    if (TYPEOF(list) != VECSXP)
        Rf_error("internal error: no list where C looks for '%s'", name);
    SEXP names = Rf_getAttrib(list, R_NamesSymbol);
    if (TYPEOF(names) != STRSXP) return NULL;
    for (R_xlen_t i = 0; i < Rf_xlength(names); i++)
        if (strcmp(CHAR(STRING_ELT(names, i)), name) == 0) return VECTOR_ELT(list, i);
    return NULL;
}

SEXP r_elt(SEXP list, const char *name)
{
    SEXP e = r_find(list, name);
    if (!e) Rf_error("internal error: the list passed to C has no element '%s'", name);
    return e;
}

bool r_is_null(SEXP list, const char *name)
{
    SEXP e = r_find(list, name);
    return !e || Rf_isNull(e);
}

int r_int(SEXP list, const char *name, int low, int high)
{
    return r_as_int(r_elt(list, name), name, low, high);
}

double r_num(SEXP list, const char *name, double low, double high)
{
    return r_as_num(r_elt(list, name), name, low, high);
}

double r_finite_num(SEXP list, const char *name)
{
    return r_num(list, name, -DBL_MAX, DBL_MAX);
}

bool r_flag(SEXP list, const char *name) { return r_as_flag(r_elt(list, name), name); }

const double *r_dbl(SEXP list, const char *name, R_xlen_t length)
{
    return r_as_dbl(r_elt(list, name), name, length);
}

const double *r_finite(SEXP list, const char *name, R_xlen_t length)
{
    return r_as_finite(r_elt(list, name), name, length);
}

const int *r_ints(SEXP list, const char *name, R_xlen_t length)
{
    return r_as_ints(r_elt(list, name), name, length);
}

/* ---- the model ------------------------------------------------------------------------- */

/* The columns that a leaf lists increase, within the global block. */
static void check_lists(const struct arrow_shape *s)
{
    for (int l = 0; l < s->n_leaf; l++)
        for (int a = s->ptr[l]; a < s->ptr[l + 1]; a++) {
            int before = a > s->ptr[l] ? s->idx[a - 1] : -1;
            if (s->idx[a] <= before || s->idx[a] >= s->n_global) r_bad("idx");
        }
}

struct arrow_shape r_shape(SEXP core)
{
    struct arrow_shape s = {.n_global = r_int(core, "n_global", 0, INT_MAX - 2),
                            .n_leaf = r_int(core, "n_leaf", 0, INT_MAX - 1),
                            .r = r_int(core, "r", 1, R_MAX_SQUARE)};
    if ((double) s.n_global + (double) s.n_leaf * s.r > INT_MAX) r_bad("n_leaf");
    s.ptr = r_ints(core, "ptr", (R_xlen_t) s.n_leaf + 1);
    if (s.ptr[0] != 0) r_bad("ptr");
    for (int l = 0; l < s.n_leaf; l++)
        if (s.ptr[l + 1] < s.ptr[l]) r_bad("ptr");
    s.idx = r_ints(core, "idx", s.ptr[s.n_leaf]);
    check_lists(&s);
    s.full = s.n_leaf > 0 &&
             (size_t) s.ptr[s.n_leaf] == (size_t) s.n_leaf * (size_t) s.n_global;
    return s;
}

/* list(ptr, idx, val), n increasing lists of numbers from 0 below `below`. */
static void r_lists(SEXP x, int n, int below, const int **ptr, const int **idx,
                    const double **val)
{
    *ptr = r_ints(x, "ptr", (R_xlen_t) n + 1);
    if ((*ptr)[0] != 0) r_bad("ptr");
    for (int i = 0; i < n; i++)
        if ((*ptr)[i + 1] < (*ptr)[i]) r_bad("ptr");
    *idx = r_ints(x, "idx", (*ptr)[n]);
    r_in_range(*idx, (*ptr)[n], 0, below - 1, "idx");
    for (int i = 0; i < n; i++)
        for (int a = (*ptr)[i] + 1; a < (*ptr)[i + 1]; a++)
            if ((*idx)[a] <= (*idx)[a - 1]) r_bad("idx");
    *val = r_finite(x, "val", (*ptr)[n]);
}

static void r_row_coefficients(SEXP x, const struct arrow_shape *s, struct arrow_rows *rw)
{
    if (TYPEOF(x) == VECSXP)
        r_lists(x, rw->n, s->n_global, &rw->ptr, &rw->idx, &rw->val);
    else
        rw->global = r_as_finite(x, "global", (R_xlen_t) rw->n * s->n_global);
}

struct arrow_rows r_rows(SEXP rows, const struct arrow_shape *s)
{
    struct arrow_rows rw = {.n = 0};
    if (rows == R_NilValue) return rw;
    rw.leaf = r_ints(rows, "leaf", -1);
    if (Rf_xlength(r_elt(rows, "leaf")) > INT_MAX) r_bad("leaf");
    rw.n = Rf_length(r_elt(rows, "leaf"));
    r_in_range(rw.leaf, rw.n, -1, s->n_leaf - 1, "leaf");
    r_row_coefficients(r_elt(rows, "global"), s, &rw);
    rw.z = r_finite(rows, "z", (R_xlen_t) rw.n * s->r);
    return rw;
}

/* Every number positive? */
static bool all_positive(const double *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!(x[i] > 0)) return false;
    return true;
}

static bool all_zero(const double *x, int n)
{
    for (int i = 0; i < n; i++)
        if (x[i] != 0) return false;
    return true;
}

/* A symmetric positive definite r x r matrix? */
static bool is_spd(const double *A, int r)
{
    double L[VECH_MAX_R * VECH_MAX_R];
    memcpy(L, A, sizeof(double) * (size_t) (r * r));
    if (la_chol(r, L)) return false;
    for (int j = 0; j < r; j++)
        for (int i = j + 1; i < r; i++) {
            double scale = sqrt(AT(A, i, i, r)) * sqrt(AT(A, j, j, r));
            if (fabs(AT(A, i, j, r) - AT(A, j, i, r)) > 1e-6 * scale) return false;
        }
    return true;
}

/* One element of core$prec, see core_precision() in R. */
static struct precision r_precision(SEXP x)
{
    struct precision pr = {.r = r_int(x, "r", 1, VECH_MAX_R),
                           .factor = r_int(x, "factor", -1, INT_MAX - 1),
                           .n_levels = r_int(x, "n_levels", 0, INT_MAX),
                           .leaf = r_flag(x, "leaf"),
                           .first = r_int(x, "first", 0, INT_MAX),
                           .stride = r_int(x, "stride", 1, INT_MAX),
                           .block = r_int(x, "block", 0, INT_MAX),
                           .aux = -1,
                           .df0 = r_finite_num(x, "df0"),
                           .nu = r_num(x, "nu", 0, DBL_MAX)};
    pr.rate0 = r_finite(x, "rate0", (R_xlen_t) pr.r * pr.r);
    pr.aux_rate = r_finite(x, "aux_rate", pr.nu > 0 ? pr.r : 0);
    pr.map = r_is_null(x, "map") ? NULL : r_finite(x, "map", (R_xlen_t) pr.r * pr.r);
    if (!(pr.df0 > pr.r - 1)) r_bad("df0");
    bool half_t = pr.nu > 0;
    if (half_t ? !all_zero(pr.rate0, pr.r * pr.r) : !is_spd(pr.rate0, pr.r))
        r_bad("rate0");
    if (half_t && !all_positive(pr.aux_rate, pr.r)) r_bad("aux_rate");
    return pr;
}

/* Do the coefficients of a precision lie in the leaves, or in the global block behind the p fixed
 * effects? One of no group term governs none. */
static bool has_place(const struct precision *pr, const struct lmm *m, bool term)
{
    const struct arrow_shape *s = &m->shape;
    if (!term) return pr->r == 1 && pr->n_levels == 0 && pr->factor == -1;
    if (pr->leaf != (pr->factor == 0) || pr->factor < 0) return false;
    if (pr->leaf) return pr->n_levels == s->n_leaf && pr->first <= s->r - pr->r;
    double end = pr->block + (double) pr->n_levels * pr->stride;
    return pr->n_levels > 0 && pr->block >= m->p && end <= s->n_global &&
           pr->first >= pr->block && pr->first - pr->block <= pr->stride - pr->r;
}

/* Terms of one factor share its columns. */
static bool agree(const struct precision *a, const struct precision *b)
{
    return a->factor != b->factor ||
           (a->block == b->block && a->stride == b->stride && a->n_levels == b->n_levels);
}

/* Precisions and where their statistics and auxiliaries stand in t. */
static void r_precisions(SEXP list, struct lmm *m)
{
    m->n_prec = r_as_list(list, "prec", -1);
    if (m->n_prec < m->first_term || m->n_prec > LMM_MAX_PREC)
        Rf_error("internal error: %d precisions", m->n_prec);
    for (int k = 0; k < m->n_prec; k++) {
        m->prec[k] = r_precision(VECTOR_ELT(list, k));
        if (!has_place(&m->prec[k], m, k >= m->first_term)) r_bad("prec");
        for (int j = 0; j < k; j++)
            if (!agree(&m->prec[j], &m->prec[k])) r_bad("prec");
        m->prec[k].at = m->n_stat;
        m->n_stat += vech_size(m->prec[k].r);
    }
    m->n_par = m->n_stat;
    for (int k = 0; k < m->n_prec; k++) {
        if (!(m->prec[k].nu > 0)) continue;
        m->prec[k].aux = m->n_par;
        m->n_par += m->prec[k].r;
    }
}

struct lmm r_prior(SEXP core, int first_term)
{
    return r_prior_of(core, r_shape(core), first_term);
}

struct lmm r_prior_of(SEXP core, struct arrow_shape shape, int first_term)
{
    struct lmm m = {.shape = shape, .first_term = first_term};
    m.p = r_int(core, "p", 0, m.shape.n_global);
    m.flat = r_flag(core, "flat");
    m.Tb = r_finite(core, "Tb", (R_xlen_t) m.p * m.p);
    m.mu = r_finite(core, "mu", m.p);
    m.logdet_Tb = r_finite_num(core, "logdet_Tb");
    r_precisions(r_elt(core, "prec"), &m);
    return m;
}

/* The global block of the Gram: n_global x n_global, or list(ptr, idx, val), its lower triangle column
 * by column. */
struct r_block {
    const double *dense;
    const int *ptr, *idx;
    const double *val;
};

static struct r_block r_block(SEXP x, const struct arrow_shape *s)
{
    struct r_block b = {NULL, NULL, NULL, NULL};
    if (TYPEOF(x) != VECSXP) {
        b.dense = r_as_finite(x, "global", (R_xlen_t) s->n_global * s->n_global);
        return b;
    }
    r_lists(x, s->n_global, s->n_global, &b.ptr, &b.idx, &b.val);
    for (int j = 0; j < s->n_global; j++)
        if (b.ptr[j] == b.ptr[j + 1] || b.idx[b.ptr[j]] < j) r_bad("global");
    return b;
}

/* Do columns i and j have a place in a packed block? */
static bool r_meet(const struct arrow_shape *s, int i, int j)
{
    int a = s->place[i], b = s->place[j];
    if (i == j || (a < 0 && b < 0)) return true;
    int e = b < 0 || (a >= 0 && a < b) ? a : b, other = e == a ? j : i;
    int low = s->eptr[e], high = s->eptr[e + 1];
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (s->eidx[middle] <= other)
            low = middle;
        else
            high = middle;
    }
    return low < high && s->eidx[low] == other;
}

/* out (zero) <- the block as the shape has it: dense, lower triangle, or packed. */
static void r_fill_lists(const struct arrow_shape *s, const struct r_block *b,
                         double *out)
{
    for (int j = 0; j < s->n_global; j++)
        for (int c = b->ptr[j]; c < b->ptr[j + 1]; c++) {
            if (s->packed && !r_meet(s, b->idx[c], j)) r_bad("global");
            out[arrow_shape_at(s, b->idx[c], j)] = b->val[c];
        }
}

static void r_fill_packed(const struct arrow_shape *s, const double *G, double *out)
{
    int ng = s->n_global;
    for (int b = 0; b < s->n_core; b++)
        for (int a = 0; a < s->n_core; a++)
            out[arrow_shape_at(s, s->core[a], s->core[b])] =
                AT(G, s->core[a], s->core[b], ng);
    for (int e = 0; e < s->n_elim; e++) {
        int j = s->elim[e];
        out[arrow_shape_at(s, j, j)] = AT(G, j, j, ng);
        for (int c = s->eptr[e]; c < s->eptr[e + 1]; c++)
            out[arrow_shape_at(s, s->eidx[c], j)] = AT(G, s->eidx[c], j, ng);
    }
}

const double *r_global(SEXP core, const struct arrow_shape *s)
{
    const struct r_block b = r_block(r_elt(core, "global"), s);
    if (b.dense && !s->packed) return b.dense;
    if (!s->packed && s->n_global > R_MAX_SQUARE) r_bad("n_global");
    double *out = (double *) R_alloc(arrow_global_size(s) + 1, sizeof(double));
    memset(out, 0, sizeof(double) * arrow_global_size(s));
    if (b.dense)
        r_fill_packed(s, b.dense, out);
    else
        r_fill_lists(s, &b, out);
    return out;
}

void r_pack(struct lmm *m)
{
    if (!m->separate) r_order_global(m);
    if (m->shape.n_elim && 2 * m->shape.n_core > m->shape.n_global) m->shape.n_elim = 0;
    m->shape.packed = m->shape.n_elim > 0;
}

struct lmm r_model(SEXP core)
{
    struct lmm m = r_prior(core, 1);
    R_xlen_t dim = (R_xlen_t) arrow_dim(&m.shape);
    m.separate = r_flag(core, "separate");
    r_pack(&m);
    m.G.global = (double *) r_global(core, &m.shape);
    m.G.leaf = (double *) r_finite(core, "leaf", (R_xlen_t) arrow_leaf_size(&m.shape));
    m.G.cross = (double *) r_finite(core, "cross", (R_xlen_t) arrow_cross_size(&m.shape));
    m.h = r_finite(core, "h", dim);
    m.yy = r_finite_num(core, "yy");
    m.n = r_num(core, "n", 0, DBL_MAX);
    m.sum_log_w = r_finite_num(core, "sum_log_w");
    return m;
}

struct lmm_centre r_centre(SEXP centre, const struct lmm *m)
{
    R_xlen_t dim = (R_xlen_t) arrow_dim(&m->shape);
    return (struct lmm_centre){r_finite(centre, "theta", dim),
                               r_finite(centre, "grad", dim),
                               r_num(centre, "rss", 0, DBL_MAX)};
}

/* ---- results ----------------------------------------------------------------------------- */

void r_order_global(struct lmm *m)
{
    struct elimination w;
    R_ARENA (a) {
        w = elimination_carve(&m->shape, &a);
    }
    elimination_order(&m->shape, m->p, w);
}

static SEXP r_copy_ints(const int *x, int n)
{
    SEXP out = Rf_allocVector(INTSXP, n);
    if (n) memcpy(INTEGER(out), x, sizeof(int) * (size_t) n);
    return out;
}

SEXP r_pattern(const struct arrow_shape *s)
{
    const char *names[] = {"elim", "eptr", "eidx", "core", ""};
    if (!s->packed) return R_NilValue;
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
    SET_VECTOR_ELT(out, 0, r_copy_ints(s->elim, s->n_elim));
    SET_VECTOR_ELT(out, 1, r_copy_ints(s->eptr, s->n_elim + 1));
    SET_VECTOR_ELT(out, 2, r_copy_ints(s->eidx, s->eptr[s->n_elim]));
    SET_VECTOR_ELT(out, 3, r_copy_ints(s->core, s->n_core));
    UNPROTECT(1);
    return out;
}

/* Every column once, in elim or in core, which increases; and what is listed goes later. */
static const int *r_places(const struct arrow_shape *s)
{
    int *place = (int *) R_alloc((size_t) s->n_global + 1, sizeof(int));
    for (int j = 0; j < s->n_global; j++) place[j] = INT_MIN;
    for (int c = 0; c < s->n_core; c++) place[s->core[c]] = -1 - c;
    for (int e = 0; e < s->n_elim; e++) place[s->elim[e]] = e;
    for (int j = 0; j < s->n_global; j++)
        if (place[j] == INT_MIN) r_bad("elim");
    for (int c = 1; c < s->n_core; c++)
        if (s->core[c] <= s->core[c - 1]) r_bad("core");
    for (int e = 0; e < s->n_elim; e++)
        for (int a = s->eptr[e]; a < s->eptr[e + 1]; a++) {
            int p = place[s->eidx[a]];
            if (p >= 0 && p <= e) r_bad("eidx");
        }
    return place;
}

/* The columns that a leaf lists must meet. */
static void check_meetings(const struct arrow_shape *s)
{
    for (int l = 0; l < s->n_leaf; l++)
        for (int a = s->ptr[l]; a < s->ptr[l + 1]; a++)
            for (int b = s->ptr[l]; b < a; b++)
                if (!r_meet(s, s->idx[a], s->idx[b])) r_bad("eidx");
}

void r_packed_shape(SEXP pattern, struct arrow_shape *s)
{
    SEXP elim = r_elt(pattern, "elim"), core = r_elt(pattern, "core");
    if (Rf_xlength(elim) > s->n_global) r_bad("elim");
    s->n_elim = Rf_length(elim);
    s->n_core = s->n_global - s->n_elim;
    s->elim = r_as_ints(elim, "elim", -1);
    s->core = r_as_ints(core, "core", s->n_core);
    r_in_range(s->elim, s->n_elim, 0, s->n_global - 1, "elim");
    r_in_range(s->core, s->n_core, 0, s->n_global - 1, "core");
    s->eptr = r_ints(pattern, "eptr", (R_xlen_t) s->n_elim + 1);
    if (s->eptr[0] != 0) r_bad("eptr");
    for (int e = 0; e < s->n_elim; e++)
        if (s->eptr[e + 1] < s->eptr[e]) r_bad("eptr");
    s->eidx = r_ints(pattern, "eidx", s->eptr[s->n_elim]);
    r_in_range(s->eidx, s->eptr[s->n_elim], 0, s->n_global - 1, "eidx");
    s->place = r_places(s);
    s->packed = true;
    check_meetings(s);
}

/* Another pass of R_ARENA()? Before the first, `used` is SIZE_MAX. */
bool r_arena(struct arena *a)
{
    if (a->base) return false;
    if (a->used != SIZE_MAX) a->base = R_alloc(a->used + sizeof(double), 1);
    a->used = 0;
    return true;
}

/* A zeroed vector or matrix. */
static SEXP r_zeros(const struct r_field *f)
{
    bool vector = f->ncol == R_VECTOR;
    if (!vector && (f->nrow > INT_MAX || f->ncol > INT_MAX))
        Rf_error("cannot allocate a matrix of %.0f x %.0f", (double) f->nrow,
                 (double) f->ncol);
    SEXP v = vector ? Rf_allocVector(REALSXP, (R_xlen_t) f->nrow)
                    : Rf_allocMatrix(REALSXP, (int) f->nrow, (int) f->ncol);
    memset(REAL(v), 0, sizeof(double) * (size_t) Rf_xlength(v));
    return v;
}

SEXP r_list(const struct r_field *fields, int n)
{
    SEXP out = PROTECT(Rf_allocVector(VECSXP, n)),
         names = PROTECT(Rf_allocVector(STRSXP, n));
    for (int i = 0; i < n; i++) {
        SET_VECTOR_ELT(out, i, r_zeros(&fields[i]));
        SET_STRING_ELT(names, i, Rf_mkChar(fields[i].name));
    }
    Rf_setAttrib(out, R_NamesSymbol, names);
    UNPROTECT(2);
    return out;
}

double *r_out(SEXP list, int i) { return REAL(VECTOR_ELT(list, i)); }

SEXP r_with_status(SEXP result)
{
    PROTECT(result);
    SEXP out = PROTECT(Rf_allocVector(VECSXP, 2)), status = Rf_allocVector(INTSXP, 3);
    memset(INTEGER(status), 0, sizeof(int) * 3);
    SET_VECTOR_ELT(out, 0, result);
    SET_VECTOR_ELT(out, 1, status);
    UNPROTECT(2);
    return out;
}

static void check_interrupt(void *unused)
{
    (void) unused;
    R_CheckUserInterrupt();
}

static bool progress_failed(SEXP progress, int done)
{
    int error = 0;
    SEXP arg = PROTECT(Rf_ScalarInteger(done)), call = PROTECT(Rf_lang2(progress, arg));
    R_tryEvalSilent(call, R_GlobalEnv, &error);
    UNPROTECT(2);
    return error != 0;
}

int r_poll_hook(void *ctx, int done)
{
    const struct r_poll *p = ctx;
    if (R_ToplevelExec(check_interrupt, NULL) == FALSE) return 1;
    if (p->progress != R_NilValue && p->every > 0 && done % p->every == 0)
        return progress_failed(p->progress, done);
    return 0;
}

void r_set_status(int *out, enum core_status st, const struct core_info *info)
{
    out[0] = (int) st;
    out[1] = info->iter;
    out[2] = info->block;
}
