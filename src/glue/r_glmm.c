/* r_glmm.c: glue of the generalised model: rows, variational fit, draws from an arrow. */
#include <limits.h>
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/rand.h"
#include "engine/glmm_theta.h"
#include "engine/glmm_vb.h"
#include "glue/r_glmm.h"
#include "glue/r_vb.h"

/* ---- rows ---------------------------------------------------------------------------------- */

static void *take(size_t n, size_t size) { return R_alloc(n ? n : 1, (int) size); }

/* Rows of the data in the order of their leaf (0-based), and where each leaf starts. */
static int *sort_rows(const int *code, size_t n, int n_leaf, size_t *start)
{
    int *order = take(n, sizeof(int));
    memset(start, 0, sizeof(size_t) * ((size_t) n_leaf + 1));
    if (!code) {
        for (size_t i = 0; i < n; i++) order[i] = (int) i;
        return order;
    }
    for (size_t i = 0; i < n; i++) start[code[i]]++;
    for (int l = 0; l < n_leaf; l++) start[l + 1] += start[l];
    for (size_t i = n; i-- > 0;) order[--start[code[i]]] = (int) i;
    for (int l = 0; l < n_leaf; l++)
        start[l] = start[l + 1]; /* moved back to its start above */
    start[n_leaf] = n;
    return order;
}

static const double *sorted(const double *x, size_t n, const int *order)
{
    double *out = take(n, sizeof(double));
    for (size_t i = 0; i < n; i++) out[i] = x[order[i]];
    return out;
}

/* r x n covariates in the new order; NULL, an intercept, stays NULL. */
static const double *sorted_z(SEXP x, int r, size_t n, const int *order)
{
    if (r_is_null(x, "z")) {
        if (r != 1) r_bad("z");
        return NULL;
    }
    const double *z = r_finite(x, "z", (R_xlen_t) n * r);
    double *out = take(n * (size_t) r, sizeof(double));
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * (size_t) r, z + (size_t) order[i] * (size_t) r,
               sizeof(double) * (size_t) r);
    return out;
}

/* p x n: row i's covariates, less their centre, side by side. */
static const double *sorted_x(SEXP rows, int p, size_t n, const int *order)
{
    const double *X = r_finite(rows, "X", (R_xlen_t) n * p),
                 *centre = r_finite(rows, "centre", p);
    double *out = take(n * (size_t) p, sizeof(double));
    for (int j = 0; j < p; j++) {
        const double *col = X + (size_t) j * n;
        for (size_t i = 0; i < n; i++)
            out[i * (size_t) p + (size_t) j] = col[order[i]] - centre[j];
    }
    return out;
}

/* Where in the column list of a leaf a global column, and the r - 1 next to it, stand. */
static int position(const struct arrow_shape *s, int leaf, int col, int r)
{
    int lo = s->ptr[leaf], hi = s->ptr[leaf + 1];
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        if (s->idx[mid] <= col)
            lo = mid;
        else
            hi = mid;
    }
    bool listed = lo < s->ptr[leaf + 1] && s->idx[lo] == col &&
                  r <= s->ptr[leaf + 1] - lo && s->idx[lo + r - 1] == col + r - 1;
    if (!listed) Rf_error("internal error: a leaf does not list a column of its rows");
    return lo - s->ptr[leaf];
}

/* x: list(code, z, r, first, n_levels). The factor's columns start at `first`. */
static struct glmm_factor r_other(SEXP x, const struct glmm *g, const int *order,
                                  int first)
{
    struct glmm_factor f = {.first = r_int(x, "first", first, first)};
    f.r = r_int(x, "r", 1, VECH_MAX_R);
    f.n_levels = r_int(x, "n_levels", 1, (g->lmm.shape.n_global - first) / f.r);
    const int *code = r_ints(x, "code", (R_xlen_t) g->n);
    r_in_range(code, (R_xlen_t) g->n, 1, f.n_levels, "code");
    int *col = take(g->n, sizeof(int)), *pos = take(g->n, sizeof(int));
    for (size_t i = 0; i < g->n; i++) col[i] = f.first + (code[order[i]] - 1) * f.r;
    for (int l = 0; l < g->lmm.shape.n_leaf; l++)
        for (size_t i = g->start[l]; i < g->start[l + 1]; i++)
            pos[i] = position(&g->lmm.shape, l, col[i], f.r);
    f.col = col;
    f.pos = pos;
    f.z = sorted_z(x, f.r, g->n, order);
    return f;
}

/* The other factors fill the global block behind the fixed effects, one after the other. */
static void r_others(SEXP others, struct glmm *g, const int *order)
{
    int first = g->lmm.p;
    g->n_other = r_as_list(others, "others", -1);
    if (g->n_other > GLMM_MAX_FACTORS || (g->n_other > 0 && !g->lmm.shape.n_leaf))
        Rf_error("internal error: %d grouping factors", g->n_other);
    for (int f = 0; f < g->n_other; f++) {
        g->other[f] = r_other(VECTOR_ELT(others, f), g, order, first);
        first += g->other[f].n_levels * g->other[f].r;
    }
    if (first != g->lmm.shape.n_global) r_bad("others");
}

/* Every leaf lists the fixed effects. */
static void need_fixed_effects(const struct lmm *m)
{
    const struct arrow_shape *s = &m->shape;
    for (int l = 0; m->p && l < s->n_leaf; l++)
        if (s->ptr[l + 1] - s->ptr[l] < m->p || s->idx[s->ptr[l] + m->p - 1] != m->p - 1)
            r_bad("idx");
}

/* Every precision of the global block governs coefficients of one factor. */
static void need_factors(const struct glmm *g)
{
    for (int k = g->lmm.first_term; k < g->lmm.n_prec; k++) {
        const struct precision *pr = &g->lmm.prec[k];
        bool found = pr->leaf;
        for (int f = 0; f < g->n_other; f++) {
            const struct glmm_factor *h = &g->other[f];
            found = found || (pr->block == h->first && pr->stride == h->r &&
                              pr->n_levels == h->n_levels);
        }
        if (!found) r_bad("prec");
    }
}

/* Responses that the family can have. */
static void need_responses(const struct glmm *g)
{
    bool binomial = g->family == GLMM_BINOMIAL || g->family == GLMM_BINOMIAL_PG;
    for (size_t i = 0; i < g->n; i++)
        if (!(g->size[i] > 0) || !(g->y[i] >= 0) || (binomial && g->y[i] > g->size[i]))
            r_bad("y");
}

/* core$rows: list(X, centre, y, size, offset, leaf = list(code, z, r) or NULL, others). */
struct glmm r_glmm(SEXP core)
{
    struct glmm g = {.family =
                         (enum glmm_family) r_int(core, "family", 0, GLMM_BINOMIAL_PG)};
    g.lmm = r_prior(core, g.family == GLMM_NEGBIN);
    const struct arrow_shape *s = &g.lmm.shape;
    if (g.lmm.first_term && g.lmm.prec[0].nu > 0) r_bad("prec");
    if (s->r > VECH_MAX_R) r_bad("r");
    need_fixed_effects(&g.lmm);
    r_order_global(&g.lmm);
    SEXP rows = r_elt(core, "rows"), leaf = r_elt(rows, "leaf"), X = r_elt(rows, "X");
    if (r_columns(X, "X", -1) != g.lmm.p || Rf_nrows(X) < 1) r_bad("X");
    g.n = (size_t) Rf_nrows(X);
    g.lmm.n = (double) g.n;
    bool grouped = leaf != R_NilValue;
    if (grouped != (s->n_leaf > 0)) r_bad("leaf");
    const int *code = grouped ? r_ints(leaf, "code", (R_xlen_t) g.n) : NULL;
    if (grouped) r_in_range(code, (R_xlen_t) g.n, 1, s->n_leaf, "code");
    size_t *start = take((size_t) s->n_leaf + 1, sizeof(size_t));
    const int *order = sort_rows(code, g.n, s->n_leaf, start);
    g.start = start;
    g.X = sorted_x(rows, g.lmm.p, g.n, order);
    g.y = sorted(r_finite(rows, "y", (R_xlen_t) g.n), g.n, order);
    g.size = sorted(r_finite(rows, "size", (R_xlen_t) g.n), g.n, order);
    g.offset = sorted(r_finite(rows, "offset", (R_xlen_t) g.n), g.n, order);
    g.z = grouped ? sorted_z(leaf, s->r, g.n, order) : NULL;
    need_responses(&g);
    r_others(r_elt(rows, "others"), &g, order);
    need_factors(&g);
    if (g.family != GLMM_NEGBIN)
        for (size_t i = 0; i < g.n; i++)
            g.constant += family_constant(g.family, g.y[i], g.size[i], 1);
    return g;
}

/* ---- variational fit ------------------------------------------------------------------------- */

/* As C_fit_vb(), for the generalised model; core as in r_glmm(). */
SEXP C_fit_glmm_vb(SEXP core, SEXP start, SEXP control)
{
    const struct glmm g = r_glmm(core);
    const struct lmm *m = &g.lmm;
    const struct vb_control ctl = r_vb_control(control);
    int q = m->n_par;
    const double *from = r_as_finite(start, "start", q);
    SEXP out = PROTECT(r_vb_new(m, ctl.trace_rows));
    struct glmm_state theta;
    struct glmm_work w;
    struct glmm_vb b;
    struct vb_work moves = {.log_det_P = 0};
    double *leaf_work, *lr_work;
    R_ARENA (a) {
        theta = glmm_state_carve(&g, &a);
        w = glmm_state_work(&g, &a);
        b = glmm_vb_carve(&g, &a);
        double **vec[] = {&moves.target, &moves.cavi, &moves.step, &moves.resid};
        for (int i = 0; i < 4; i++) *vec[i] = arena_doubles(&a, (size_t) q);
        leaf_work = arena_doubles(&a, glmm_theta_leaf_work(&g));
        lr_work = arena_doubles(&a, (size_t) q * (size_t) q);
    }
    struct vb_state s = r_vb_view(out, from, q);
    s.lr.work = lr_work;
    theta.m = s.m; /* the fit's arrays are the results */
    theta.S.global = s.Sq_global;
    theta.S.leaf = s.sq_leaf;
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    b.theta = &theta;
    b.w = &w;
    b.h = &h;
    enum core_status st = glmm_vb_run(&b, &ctl, &s, &moves, leaf_work, &info);
    r_vb_close(out, &s, st, &info);
    UNPROTECT(1);
    return out;
}

/* ---- draws ------------------------------------------------------------------------------------ */

/* x (dim) <- a draw from N(0, S) made of the normals z, with L L' = S_gg, W W' = D^-1 (leaf by leaf)
 * and Q as in arrow.h. */
static void arrow_draw(const struct arrow_shape *s, const double *L, const double *W,
                       const double *Q, const double *z, double *x)
{
    size_t ng = (size_t) s->n_global, r = (size_t) s->r;
    for (size_t a = 0; a < ng; a++) {
        x[a] = 0;
        for (size_t b = 0; b <= a; b++) x[a] += L[a + b * ng] * z[b];
    }
    for (int l = 0; l < s->n_leaf; l++) {
        int k = s->ptr[l + 1] - s->ptr[l];
        const int *col = s->idx + s->ptr[l];
        const double *w = W + (size_t) l * r * r, *q = Q + (size_t) s->ptr[l] * r;
        const double *e = z + ng + (size_t) l * r;
        double *u = x + ng + (size_t) l * r;
        for (int c = 0; c < s->r; c++) {
            u[c] = 0;
            for (int d = 0; d <= c; d++) u[c] += AT(w, c, d, s->r) * e[d];
            for (int a = 0; a < k; a++) u[c] += AT(q, a, c, k) * x[col[a]];
        }
    }
}

/* ndraws draws of theta ~ N(0, S), S = (S_gg, q, D^-1) as in arrow.h; shape: list(n_global, n_leaf,
 * r, ptr, idx). dim x ndraws. */
SEXP C_arrow_draws(SEXP shape, SEXP S_global, SEXP d_inv, SEXP q, SEXP ndraws)
{
    const struct arrow_shape s = r_shape(shape);
    size_t dim = arrow_dim(&s), rr = (size_t) s.r * (size_t) s.r,
           ng2 = arrow_global_size(&s);
    int n = r_as_int(ndraws, "ndraws", 0, INT_MAX);
    const double *S = r_as_finite(S_global, "S_global", (R_xlen_t) ng2),
                 *D = r_as_finite(d_inv, "d_inv", (R_xlen_t) arrow_leaf_size(&s)),
                 *Q = r_as_finite(q, "q", (R_xlen_t) arrow_cross_size(&s));
    double *L = take(ng2, sizeof(double)), *W = take(arrow_leaf_size(&s), sizeof(double));
    memcpy(L, S, sizeof(double) * ng2);
    memcpy(W, D, sizeof(double) * arrow_leaf_size(&s));
    bool bad = la_chol(s.n_global, L) != 0;
    for (int l = 0; l < s.n_leaf; l++)
        bad = la_chol(s.r, W + (size_t) l * rr) != 0 || bad;
    if (bad)
        Rf_error("internal error: the covariance of the draws is not positive definite");
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, (int) dim, n));
    double *x = REAL(out), *z = take(dim, sizeof(double));
    const struct ziggurat zig = rand_ziggurat();
    GetRNGstate();
    for (int i = 0; i < n; i++, x += dim) {
        rand_normals(&zig, dim, z);
        arrow_draw(&s, L, W, Q, z, x);
    }
    PutRNGstate();
    UNPROTECT(1);
    return out;
}
