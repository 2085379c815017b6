/* r_glmm.c: glue of the generalised model: rows, variational fit, draws from an arrow. */
#include <math.h>
#include <string.h>
#include "r_glmm.h"
#include "r_vb.h"
#include "arrow_global.h"
#include "glmm_vb.h"
#include "la.h"
#include "rand.h"

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
    for (size_t i = 0; i < n; i++) {
        if (code[i] < 1 || code[i] > n_leaf)
            Rf_error("internal error: a row without a group");
        start[code[i]]++;
    }
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

/* r x n covariates in the new order; NULL stays NULL. */
static const double *sorted_z(SEXP x, int r, size_t n, const int *order)
{
    if (r_is_null(x, "z")) return NULL;
    const double *z = r_dbl(x, "z", (R_xlen_t) n * r);
    double *out = take(n * (size_t) r, sizeof(double));
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * (size_t) r, z + (size_t) order[i] * (size_t) r,
               sizeof(double) * (size_t) r);
    return out;
}

/* p x n: row i's covariates, less their centre, side by side. */
static const double *sorted_x(SEXP rows, int p, size_t n, const int *order)
{
    const double *X = r_dbl(rows, "X", (R_xlen_t) n * p),
                 *centre = r_dbl(rows, "centre", p);
    double *out = take(n * (size_t) p, sizeof(double));
    for (int j = 0; j < p; j++) {
        const double *col = X + (size_t) j * n;
        for (size_t i = 0; i < n; i++)
            out[i * (size_t) p + (size_t) j] = col[order[i]] - centre[j];
    }
    return out;
}

/* Where in the column list of a leaf a global column stands. */
static int position(const struct arrow_shape *s, int leaf, int col)
{
    int lo = s->ptr[leaf], hi = s->ptr[leaf + 1];
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        if (s->idx[mid] <= col)
            lo = mid;
        else
            hi = mid;
    }
    if (s->idx[lo] != col)
        Rf_error("internal error: a leaf does not list a column of its rows");
    return lo - s->ptr[leaf];
}

/* x: list(code, z, r, first, n_levels). */
static struct glmm_factor r_other(SEXP x, const struct glmm *g, const int *order)
{
    struct glmm_factor f = {
        .r = r_int(x, "r"), .first = r_int(x, "first"), .n_levels = r_int(x, "n_levels")};
    const int *code = r_ints(x, "code", (R_xlen_t) g->n);
    int *col = take(g->n, sizeof(int)), *pos = take(g->n, sizeof(int));
    for (size_t i = 0; i < g->n; i++) col[i] = f.first + (code[order[i]] - 1) * f.r;
    for (int l = 0; l < g->lmm.shape.n_leaf; l++)
        for (size_t i = g->start[l]; i < g->start[l + 1]; i++)
            pos[i] = position(&g->lmm.shape, l, col[i]);
    f.col = col;
    f.pos = pos;
    f.z = sorted_z(x, f.r, g->n, order);
    return f;
}

/* core$rows: list(X, centre, y, size, offset, leaf = list(code, z, r) or NULL, others). */
struct glmm r_glmm(SEXP core, const int **order_out)
{
    struct glmm g = {.family = (enum glmm_family) r_int(core, "family")};
    g.lmm = r_prior(core, g.family == GLMM_NEGBIN);
    struct arena a = {NULL, 0};
    elimination_carve(g.lmm.shape.n_global, &a);
    a = r_arena(&a);
    global_order(&g.lmm.shape, g.lmm.p, elimination_carve(g.lmm.shape.n_global, &a));
    SEXP rows = r_elt(core, "rows"), others = r_elt(rows, "others");
    SEXP leaf = r_elt(rows, "leaf");
    bool grouped = !Rf_isNull(leaf);
    g.n = (size_t) Rf_nrows(r_elt(rows, "X"));
    g.lmm.n = (double) g.n;
    if (grouped != (g.lmm.shape.n_leaf > 0))
        Rf_error("internal error: leaf and shape disagree");
    size_t *start = take((size_t) g.lmm.shape.n_leaf + 1, sizeof(size_t));
    int *order = sort_rows(grouped ? r_ints(leaf, "code", (R_xlen_t) g.n) : NULL, g.n,
                           g.lmm.shape.n_leaf, start);
    g.start = start;
    g.X = sorted_x(rows, g.lmm.p, g.n, order);
    g.y = sorted(r_dbl(rows, "y", (R_xlen_t) g.n), g.n, order);
    g.size = sorted(r_dbl(rows, "size", (R_xlen_t) g.n), g.n, order);
    g.offset = sorted(r_dbl(rows, "offset", (R_xlen_t) g.n), g.n, order);
    g.z = grouped ? sorted_z(leaf, g.lmm.shape.r, g.n, order) : NULL;
    g.n_other = Rf_length(others);
    if (g.n_other > GLMM_MAX_FACTORS)
        Rf_error("internal error: too many grouping factors");
    for (int f = 0; f < g.n_other; f++)
        g.other[f] = r_other(VECTOR_ELT(others, f), &g, order);
    if (g.family != GLMM_NEGBIN)
        for (size_t i = 0; i < g.n; i++)
            g.constant += family_constant(g.family, g.y[i], g.size[i], 1);
    if (order_out) *order_out = order;
    return g;
}

/* ---- variational fit ------------------------------------------------------------------------- */

/* As C_fit_vb(), for the generalised model; core as in r_glmm(). */
SEXP C_fit_glmm_vb(SEXP core, SEXP start, SEXP control)
{
    const struct glmm g = r_glmm(core, NULL);
    const struct lmm *m = &g.lmm;
    const struct vb_control ctl = r_vb_control(control);
    int q = m->n_par;
    if (Rf_length(start) != q) Rf_error("internal error: %d starting values needed", q);
    SEXP out = PROTECT(r_vb_new(m, ctl.trace_rows));
    struct arena a = {NULL, 0};
    struct glmm_state theta;
    struct glmm_work w;
    struct glmm_vb b;
    struct vb_work moves = {.log_det_P = 0};
    double *leaf_work, *lr_work;
    for (int pass = 0; pass < 2; pass++) { /* count, then carve */
        if (pass) a = r_arena(&a);
        theta = glmm_state_carve(&g, &a);
        w = glmm_work_carve(&g, &a);
        b = glmm_vb_carve(&g, &a);
        double **vec[] = {&moves.target, &moves.cavi, &moves.step, &moves.resid};
        for (int i = 0; i < 4; i++) *vec[i] = arena_doubles(&a, (size_t) q);
        leaf_work = arena_doubles(&a, glmm_leaf_work(&g));
        lr_work = arena_doubles(&a, (size_t) q * (size_t) q);
    }
    struct vb_state s = r_vb_view(out, REAL(start), q);
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

/* ndraws draws of theta ~ N(0, S), S = (S_gg, q, D^-1) as in arrow.h; shape: list(n_global, n_leaf,
 * r, ptr, idx). dim x ndraws. */
SEXP C_arrow_draws(SEXP shape, SEXP S_global, SEXP d_inv, SEXP q, SEXP ndraws)
{
    const struct arrow_shape s = r_shape(shape);
    size_t dim = arrow_dim(&s), rr = (size_t) s.r * (size_t) s.r,
           ng = (size_t) s.n_global;
    int n = Rf_asInteger(ndraws), bad = 0;
    if ((size_t) Rf_xlength(S_global) != ng * ng ||
        (size_t) Rf_xlength(d_inv) != arrow_leaf_size(&s) ||
        (size_t) Rf_xlength(q) != arrow_cross_size(&s))
        Rf_error("internal error: an arrow of the wrong size");
    double *L = take(ng * ng, sizeof(double)),
           *W = take(arrow_leaf_size(&s), sizeof(double));
    memcpy(L, REAL(S_global), sizeof(double) * ng * ng);
    if (s.n_leaf) memcpy(W, REAL(d_inv), sizeof(double) * arrow_leaf_size(&s));
    bad = la_chol(s.n_global, L);
    for (int l = 0; l < s.n_leaf; l++) bad = la_chol(s.r, W + (size_t) l * rr) || bad;
    if (bad)
        Rf_error("internal error: the covariance of the draws is not positive definite");
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, (int) dim, n));
    double *x = REAL(out), *z = take(dim, sizeof(double));
    const double *Q = REAL(q);
    const struct ziggurat zig = rand_ziggurat();
    GetRNGstate();
    for (int i = 0; i < n; i++, x += dim) {
        rand_normals(&zig, dim, z);
        for (size_t a = 0; a < ng; a++) {
            x[a] = 0;
            for (size_t b = 0; b <= a; b++) x[a] += L[a + b * ng] * z[b];
        }
        for (int l = 0; l < s.n_leaf; l++) {
            int k = s.ptr[l + 1] - s.ptr[l];
            const int *col = s.idx + s.ptr[l];
            double *u = x + ng + (size_t) l * (size_t) s.r,
                   *e = z + ng + (size_t) l * (size_t) s.r;
            for (int c = 0; c < s.r; c++) {
                const double *qc =
                    Q + ((size_t) s.ptr[l] * (size_t) s.r + (size_t) c * (size_t) k);
                u[c] = 0;
                for (int d = 0; d <= c; d++)
                    u[c] += AT(W + (size_t) l * rr, c, d, s.r) * e[d];
                for (int a = 0; a < k; a++) u[c] += qc[a] * x[col[a]];
            }
        }
    }
    PutRNGstate();
    UNPROTECT(1);
    return out;
}
