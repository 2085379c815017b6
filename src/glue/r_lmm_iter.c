/* r_lmm_iter.c: glue of the Gaussian fit by conjugate gradients. */
#include <float.h>
#include <limits.h>
#include <string.h>
#include "engine/lmm_iter_draw.h"
#include "engine/lmm_iter_var.h"
#include "engine/lmm_iter_vb.h"
#include "glue/r_vb.h"

/* ---- the model: R's iter_core() ------------------------------------------------------------------ */

static struct arrow_shape iter_shape(SEXP core)
{
    struct arrow_shape s = {.n_global = r_int(core, "n_global", 0, INT_MAX - 1),
                            .n_leaf = r_int(core, "n_leaf", 1, INT_MAX - 1),
                            .r = r_int(core, "r", 1, 1)};
    if ((double) s.n_global + s.n_leaf > INT_MAX) r_bad("n_leaf");
    return s;
}

/* Factors in the order of the Gram, with decreasing levels; the first is the leaf. */
static void iter_factors(SEXP list, const struct lmm *m, struct lmm_iter *x)
{
    x->n_factors = r_as_list(list, "factors", -1);
    if (x->n_factors < 1 || x->n_factors >= LMM_MAX_PREC) r_bad("factors");
    x->factor = (struct lmm_iter_factor *) R_alloc((size_t) x->n_factors,
                                                   sizeof(struct lmm_iter_factor));
    int at = m->p;
    for (int f = 0; f < x->n_factors; f++) {
        SEXP y = VECTOR_ELT(list, f);
        int n = r_int(y, "n", 1, f ? x->factor[f - 1].n : INT_MAX - 1);
        x->factor[f] =
            (struct lmm_iter_factor){.n = n,
                                     .first = f ? at : m->shape.n_global,
                                     .d = r_finite(y, "d", n),
                                     .xz = r_finite(y, "xz", (R_xlen_t) n * m->p)};
        if (f) at += n;
        if (at > m->shape.n_global) r_bad("factors");
        for (int i = 0; i < n; i++)
            if (!(x->factor[f].d[i] >= 0)) r_bad("d");
    }
    if (at != m->shape.n_global || x->factor[0].n != m->shape.n_leaf) r_bad("factors");
}

static struct lmm_iter_table iter_table(SEXP y, const struct lmm_iter *x)
{
    struct lmm_iter_table t = {.a = r_int(y, "a", 1, x->n_factors - 1) - 1};
    t.b = r_int(y, "b", t.a + 2, x->n_factors) - 1;
    int n = x->factor[t.a].n;
    t.ptr = r_ints(y, "ptr", (R_xlen_t) n + 1);
    if (t.ptr[0] != 0) r_bad("ptr");
    for (int i = 0; i < n; i++)
        if (t.ptr[i + 1] < t.ptr[i]) r_bad("ptr");
    t.idx = r_ints(y, "idx", t.ptr[n]);
    r_in_range(t.idx, t.ptr[n], 0, x->factor[t.b].n - 1, "idx");
    t.val = r_finite(y, "val", t.ptr[n]);
    return t;
}

static void iter_tables(SEXP list, struct lmm_iter *x)
{
    x->n_tables = r_as_list(list, "tables", x->n_factors * (x->n_factors - 1) / 2);
    x->table = (struct lmm_iter_table *) R_alloc((size_t) x->n_tables + 1,
                                                 sizeof(struct lmm_iter_table));
    for (int k = 0; k < x->n_tables; k++) {
        x->table[k] = iter_table(VECTOR_ELT(list, k), x);
        for (int j = 0; j < k; j++)
            if (x->table[j].a == x->table[k].a && x->table[j].b == x->table[k].b)
                r_bad("tables");
    }
}

/* One precision a factor, and no other. */
static void need_scalar_terms(const struct lmm *m, int n_factors)
{
    if (m->n_prec != n_factors + 1) r_bad("prec");
    for (int k = 0; k < m->n_prec; k++) {
        if (m->prec[k].r != 1 || m->prec[k].factor >= n_factors) r_bad("prec");
        for (int j = 1; j < k; j++)
            if (m->prec[j].factor == m->prec[k].factor) r_bad("prec");
    }
}

struct iter_model {
    struct lmm m;
    struct lmm_iter x;
};

/* few: factors with fewer levels are solved exactly. */
static void iter_model(SEXP core, int few, struct iter_model *y)
{
    struct lmm *m = &y->m;
    *m = r_prior_of(core, iter_shape(core), 1);
    m->h = r_finite(core, "h", (R_xlen_t) arrow_dim(&m->shape));
    m->yy = r_finite_num(core, "yy");
    m->n = r_num(core, "n", 0, DBL_MAX);
    m->sum_log_w = r_finite_num(core, "sum_log_w");
    y->x = (struct lmm_iter){.m = m};
    y->x.xx = r_finite(core, "xx", (R_xlen_t) m->p * m->p);
    iter_factors(r_elt(core, "factors"), m, &y->x);
    iter_tables(r_elt(core, "tables"), &y->x);
    need_scalar_terms(m, y->x.n_factors);
    lmm_iter_split(&y->x, few);
    if (y->x.n_e > R_MAX_SQUARE) r_bad("factors");
}

/* ---- the fit ------------------------------------------------------------------------------------ */

enum {
    T,
    DF,
    MEAN,
    S_BETA,
    VAR_U,
    J,
    SS,
    TRACE,
    ELBO,
    LR_OK,
    V,
    C,
    SIGMA,
    K,
    PROBES,
    ITERATIONS,
    PRECISION_ERROR,
    SD_ERROR,
    VARIANCE_ERROR,
    N_FIELDS
};

static SEXP iter_result(const struct lmm *m, int trace_rows)
{
    size_t q = (size_t) m->n_par, dim = arrow_dim(&m->shape), p = (size_t) m->p;
    const struct r_field f[N_FIELDS] = {
        [T] = {"t", q, R_VECTOR},
        [DF] = {"df", (size_t) m->n_prec, R_VECTOR},
        [MEAN] = {"mean", dim, R_VECTOR},
        [S_BETA] = {"S_beta", p, p},
        [VAR_U] = {"var_u", dim - p, R_VECTOR},
        [J] = {"J", dim, (size_t) m->n_stat},
        [SS] = {"ss", (size_t) m->n_stat, R_VECTOR},
        [TRACE] = {"trace", q + 3, (size_t) trace_rows},
        [ELBO] = {"elbo", 1, R_VECTOR},
        [LR_OK] = {"lr_ok", 1, R_VECTOR},
        [V] = {"V", q, q},
        [C] = {"C", q, q},
        [SIGMA] = {"Sigma", q, q},
        [K] = {"K", q, q},
        [PROBES] = {"probes", 1, R_VECTOR},
        [ITERATIONS] = {"iterations", 1, R_VECTOR},
        [PRECISION_ERROR] = {"precision_error", (size_t) m->n_stat, R_VECTOR},
        [SD_ERROR] = {"sd_error", (size_t) m->n_stat, R_VECTOR},
        [VARIANCE_ERROR] = {"variance_error", 1, R_VECTOR}};
    return r_with_status(r_list(f, N_FIELDS));
}

static struct vb_state iter_state(SEXP out, const double *start, int q)
{
    struct vb_state s = {.t = r_out(out, T),
                         .df = r_out(out, DF),
                         .m = r_out(out, MEAN),
                         .J = r_out(out, J),
                         .ss = r_out(out, SS),
                         .trace = r_out(out, TRACE)};
    s.lr = (struct lr){
        q, r_out(out, V), r_out(out, C), r_out(out, SIGMA), r_out(out, K), NULL};
    memcpy(s.t, start, sizeof(double) * (size_t) q);
    return s;
}

static void iter_close(SEXP out, const struct vb_state *s, const struct lmm_iter_vb *w)
{
    const struct lmm_iter *x = w->cov.x;
    const struct lmm *m = x->m;
    r_out(out, ELBO)[0] = NA_REAL;
    r_out(out, LR_OK)[0] = s->lr_ok;
    r_out(out, PROBES)[0] = w->trace.probes;
    r_out(out, ITERATIONS)[0] = w->cov.cg.iterations;
    memcpy(r_out(out, PRECISION_ERROR), w->error.mean,
           sizeof(double) * (size_t) m->n_stat);
    memcpy(r_out(out, SD_ERROR), w->error.sd, sizeof(double) * (size_t) m->n_stat);
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p; i++)
            AT(r_out(out, S_BETA), i, j, m->p) = AT(w->cov.S_ee, i, j, x->n_e);
}

/* Every effect a row, in the order of theta. */
static struct arrow_rows effect_rows(const struct lmm *m)
{
    int others = m->shape.n_global - m->p, n = others + m->shape.n_leaf;
    size_t size = (size_t) n + 1;
    int *ptr = (int *) R_alloc(size, sizeof(int)),
        *leaf = (int *) R_alloc(size, sizeof(int)),
        *idx = (int *) R_alloc((size_t) others + 1, sizeof(int));
    double *one = (double *) R_alloc(size, sizeof(double));
    ptr[0] = 0;
    for (int i = 0; i < n; i++) {
        one[i] = 1;
        leaf[i] = i < others ? -1 : i - others;
        ptr[i + 1] = i < others ? i + 1 : others;
        if (i < others) idx[i] = m->p + i;
    }
    return (struct arrow_rows){n, NULL, one, leaf, ptr, idx, one};
}

/* Variances of all effects, once the fit is made. */
static enum core_status iter_variances(struct lmm_iter_vb *w, SEXP result)
{
    const struct arrow_rows rows = effect_rows(w->cov.x->m);
    struct lmm_iter_var v;
    R_ARENA (a) {
        v = lmm_iter_var_carve(w->cov.x, rows.n, &a);
    }
    double *out = r_out(result, VAR_U), *error = r_out(result, VARIANCE_ERROR);
    if (lmm_iter_var_rows(&w->cov, &rows, out, error, &v)) return CORE_OK;
    return w->cov.cg.stopped ? CORE_INTERRUPTED : CORE_DEAR;
}

/* core: R's iter_core(), see iter_model(); start: E of the globals; control: that of C_fit_vb with
 * few, probes, most_probes, aim and sd_aim. Returns list(result, c(status, iter, block)). */
SEXP C_fit_lmm_iter(SEXP core, SEXP start, SEXP control, SEXP progress)
{
    struct iter_model y;
    iter_model(core, r_int(control, "few", 1, INT_MAX), &y);
    const struct vb_control ctl = r_vb_control(control);
    const struct lmm_iter_control aim = {
        .probes = r_int(control, "probes", 2, LMM_ITER_PROBES),
        .most = r_int(control, "most_probes", 2, LMM_ITER_PROBES),
        .aim = r_num(control, "aim", 0, DBL_MAX),
        .sd_aim = r_num(control, "sd_aim", 0, DBL_MAX)};
    int q = y.m.n_par;
    const double *from = r_as_finite(start, "start", q);
    SEXP out = PROTECT(iter_result(&y.m, ctl.trace_rows)), result = VECTOR_ELT(out, 0);
    struct vb_state s = iter_state(result, from, q);
    struct lmm_iter_vb w;
    R_ARENA (a) {
        w = lmm_iter_vb_carve(&y.x, &a);
        s.lr.work = arena_doubles(&a, (size_t) q * (size_t) q);
    }
    struct r_poll poll = {r_progress(progress), 1};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    enum core_status st = lmm_iter_vb_run(&y.x, &aim, &ctl, &s, &w, &h, &info);
    iter_close(result, &s, &w);
    if (st == CORE_OK || st == CORE_MAXIT) {
        enum core_status after = iter_variances(&w, result);
        if (after) st = after;
    }
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}

/* ---- what is asked of a fit --------------------------------------------------------------------- */

/* The model and the statistics of its precisions. */
static const double *iter_at(SEXP core, SEXP tau, struct iter_model *y)
{
    iter_model(core, r_int(r_elt(core, "iterations"), "few", 1, INT_MAX), y);
    const double *t = r_as_finite(tau, "tau", y->m.n_stat);
    for (int k = 0; k < y->m.n_stat; k++)
        if (!(t[k] > 0)) r_bad("tau");
    return t;
}

static void iter_status(SEXP out, const struct lmm_iter_cov *v, bool ok)
{
    const struct core_info info = {0, -1};
    enum core_status st = ok ? CORE_OK : v->cg.stopped ? CORE_INTERRUPTED : CORE_DEAR;
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
}

static SEXP result_with_status(SEXP value)
{
    PROTECT(value);
    SEXP out = r_with_status(value);
    UNPROTECT(1);
    return out;
}

/* S X at statistics tau of the precisions, for a matrix X of as many rows as theta. This and what
 * follows returns list(result, c(status, 0, -1)). */
SEXP C_lmm_iter_product(SEXP core, SEXP tau, SEXP X)
{
    struct iter_model y;
    const double *t = iter_at(core, tau, &y);
    int dim = (int) arrow_dim(&y.m.shape), n = r_columns(X, "X", dim);
    r_as_finite(X, "X", -1);
    SEXP out = PROTECT(result_with_status(Rf_allocMatrix(REALSXP, dim, n)));
    double *to = REAL(VECTOR_ELT(out, 0));
    struct lmm_iter_cov v;
    R_ARENA (a) {
        v = lmm_iter_cov_carve(&y.x, &a);
    }
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    v.cg.hooks = &h;
    bool ok = lmm_iter_cov_at(&v, t) && lmm_iter_cov_product(&v, n, REAL(X), to);
    iter_status(out, &v, ok);
    UNPROTECT(1);
    return out;
}

/* c'S c of every row of r_rows(), sparse ones. */
SEXP C_lmm_iter_quad(SEXP core, SEXP tau, SEXP rows)
{
    struct iter_model y;
    const double *t = iter_at(core, tau, &y);
    const struct arrow_rows rw = r_rows(rows, &y.m.shape);
    if (rw.n && !rw.ptr) r_bad("rows");
    SEXP out = PROTECT(result_with_status(Rf_allocVector(REALSXP, rw.n)));
    double *to = REAL(VECTOR_ELT(out, 0)), error;
    struct lmm_iter_cov v;
    struct lmm_iter_var w;
    R_ARENA (a) {
        v = lmm_iter_cov_carve(&y.x, &a);
        w = lmm_iter_var_carve(&y.x, rw.n, &a);
    }
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    v.cg.hooks = &h;
    iter_status(out, &v,
                lmm_iter_cov_at(&v, t) && lmm_iter_var_rows(&v, &rw, to, &error, &w));
    UNPROTECT(1);
    return out;
}

/* Draws of N(0, S), dim x ndraws. */
SEXP C_lmm_iter_draws(SEXP core, SEXP tau, SEXP ndraws)
{
    struct iter_model y;
    const double *t = iter_at(core, tau, &y);
    int n = r_as_int(ndraws, "ndraws", 0, INT_MAX);
    SEXP out = PROTECT(
        result_with_status(Rf_allocMatrix(REALSXP, (int) arrow_dim(&y.m.shape), n)));
    double *to = REAL(VECTOR_ELT(out, 0));
    struct lmm_iter_cov v;
    struct lmm_iter_draw d;
    R_ARENA (a) {
        v = lmm_iter_cov_carve(&y.x, &a);
        d = lmm_iter_draw_carve(&y.x, &a);
    }
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    v.cg.hooks = &h;
    const struct ziggurat zig = rand_ziggurat();
    bool ok = lmm_iter_cov_at(&v, t);
    if (ok) {
        GetRNGstate();
        ok = lmm_iter_draw_run(&v, &zig, n, to, &d);
        PutRNGstate();
    }
    iter_status(out, &v, ok);
    UNPROTECT(1);
    return out;
}
