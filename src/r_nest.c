/* r_nest.c: glue of the integration over variance parameters. Every entry takes core, see r_model()
 * and r_glmm(), and centre, list(theta, grad, rss), of which other families use theta only. */
#include <math.h>
#include <string.h>
#include "r_glmm.h"
#include "glmm_nest.h"
#include "lmm_exact.h"
#include "nest.h"

static struct lmm_centre r_centre(SEXP centre, const struct lmm *m)
{
    R_xlen_t dim = (R_xlen_t) arrow_dim(&m->shape);
    return (struct lmm_centre) {r_dbl(centre, "theta", dim), r_dbl(centre, "grad", dim),
                                r_num(centre, "rss")};
}

/* The conditional fit of the model's family. */
struct engine {
    bool gaussian;
    struct lmm m;
    struct lmm_centre centre;
    struct lmm_exact exact;
    struct glmm g;
    struct glmm_nest nest;
    struct conditional x;
};

static struct engine r_engine(SEXP core, SEXP centre)
{
    struct engine en = {.gaussian = r_is_null(core, "rows")};
    if (en.gaussian) {
        en.m = r_model(core);
    } else {
        en.g = r_glmm(core, NULL);
        en.m = en.g.lmm;
    }
    en.centre = r_centre(centre, &en.m);
    return en;
}

/* en must stay where it is from here on. */
static void engine_carve(struct engine *en, struct arena *a)
{
    if (en->gaussian)
        en->exact = lmm_exact_carve(&en->m, a);
    else
        en->nest = glmm_nest_carve(&en->g, a);
}

static void engine_prepare(struct engine *en, const struct core_hooks *h)
{
    if (en->gaussian) {
        en->exact.centre = &en->centre;
        lmm_exact_prepare(&en->exact);
        en->x = lmm_exact_conditional(&en->exact);
    } else {
        en->nest.h = h;
        glmm_nest_prepare(&en->nest);
        en->x = glmm_nest_conditional(&en->nest, en->centre.theta);
    }
}

/* Stops for Ctrl-C, or when the conditional fits have taken more than `most` evaluations, and stays
 * stopped: a fit that was interrupted looks like a point without density to the integrator. */
struct limit {
    struct r_poll poll;
    const double *evaluations; /* NULL: not counted                                        */
    double most;
    enum core_status why; /* CORE_OK: not stopped                                          */
};

static int limit_hook(void *ctx, int done)
{
    struct limit *l = ctx;
    if (l->why == CORE_OK && l->evaluations && *l->evaluations > l->most) l->why = CORE_DEAR;
    if (l->why == CORE_OK && r_poll_hook(&l->poll, done)) l->why = CORE_INTERRUPTED;
    return l->why != CORE_OK;
}

static struct limit r_limit(const struct engine *en, SEXP progress, int every, double most)
{
    return (struct limit){.poll = {progress, every},
                          .evaluations = en->gaussian ? NULL : &en->nest.w.evaluations,
                          .most = most};
}

static inline enum core_status stopped_or(enum core_status st, const struct limit *l)
{
    return l->why == CORE_OK ? st : l->why;
}

static void need_phi(const struct lmm *m, SEXP phi)
{
    if (TYPEOF(phi) != REALSXP || Rf_xlength(phi) % m->n_stat)
        Rf_error("internal error: phi has the wrong type or length");
}

/* list(result, c(status, iter, block)) */
static SEXP with_status(SEXP result, enum core_status st, const struct core_info *info)
{
    SEXP out = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(out, 0, result);
    SET_VECTOR_ELT(out, 1, Rf_allocVector(INTSXP, 3));
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, info);
    UNPROTECT(1);
    return out;
}

/* phi: start (d); L: scale (d x d); most: evaluations of conditional fits. Returns
 * list(list(phi, L, peak), status). */
SEXP C_nest_mode(SEXP core, SEXP centre, SEXP phi, SEXP L, SEXP most)
{
    struct engine en = r_engine(core, centre);
    size_t d = (size_t) en.m.n_stat;
    need_phi(&en.m, phi);
    if ((size_t) Rf_xlength(phi) != d || (size_t) Rf_xlength(L) != d * d || d > NEST_MAX_D)
        Rf_error("internal error: phi or L has the wrong size");
    const struct r_field f[3] = {{"phi", d, R_VECTOR}, {"L", d, d}, {"peak", 1, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, 3));
    memcpy(r_out(res, 0), REAL(phi), sizeof(double) * d);
    memcpy(r_out(res, 1), REAL(L), sizeof(double) * d * d);
    struct arena count = {NULL, 0};
    engine_carve(&en, &count);
    nest_work_carve((int) d, &count);
    struct arena a = r_arena(&count);
    engine_carve(&en, &a);
    struct nest_work w = nest_work_carve((int) d, &a);
    struct limit limit = r_limit(&en, R_NilValue, 0, Rf_asReal(most));
    struct core_hooks h = {limit_hook, &limit};
    engine_prepare(&en, &h);
    struct core_info info = {0, -1};
    const struct nest_target target = {(int) d, en.x.log_density, en.x.ctx};
    enum core_status st = nest_mode(&target, r_out(res, 0), r_out(res, 1), r_out(res, 2), &w, &h, &info);
    SEXP out = with_status(res, stopped_or(st, &limit), &info);
    UNPROTECT(1);
    return out;
}

/* f at the columns of phi (d x n). */
SEXP C_nest_log_density(SEXP core, SEXP centre, SEXP phi)
{
    struct engine en = r_engine(core, centre);
    need_phi(&en.m, phi);
    R_xlen_t n = Rf_xlength(phi) / en.m.n_stat;
    struct arena count = {NULL, 0};
    engine_carve(&en, &count);
    struct arena a = r_arena(&count);
    engine_carve(&en, &a);
    engine_prepare(&en, NULL);
    SEXP out = PROTECT(Rf_allocVector(REALSXP, n));
    for (R_xlen_t k = 0; k < n; k++) {
        if (k % 64 == 0) R_CheckUserInterrupt(); /* nothing is held here but R's own memory */
        REAL(out)[k] = en.x.log_density(en.x.ctx, REAL(phi) + k * en.m.n_stat);
    }
    UNPROTECT(1);
    return out;
}

/* Points of an earlier lattice: list(index, phi, log_density), or NULL. */
static void put_known(SEXP known, int d, struct lattice *l)
{
    if (Rf_isNull(known)) return;
    int n = Rf_length(r_elt(known, "log_density"));
    const double *index = r_dbl(known, "index", (R_xlen_t) n * d);
    if (n > l->capacity) Rf_error("internal error: a lattice larger than its capacity");
    for (int i = 0; i < n * d; i++) l->index[i] = (int) index[i];
    memcpy(l->phi, r_dbl(known, "phi", (R_xlen_t) n * d), sizeof(double) * (size_t) n * (size_t) d);
    memcpy(l->log_density, r_dbl(known, "log_density", n), sizeof(double) * (size_t) n);
    l->n = n;
}

/* control: list(step, drop, capacity, most, known); progress: function of the points done, or NULL.
 * Returns list(list(index, phi, gradient (d x n each), log_density (n)), status). */
SEXP C_nest_lattice(SEXP core, SEXP centre, SEXP mode, SEXP L, SEXP control, SEXP progress)
{
    struct engine en = r_engine(core, centre);
    int d = en.m.n_stat, capacity = r_int(control, "capacity");
    if (d > LATTICE_MAX_D || Rf_xlength(mode) != d || Rf_xlength(L) != d * d || capacity < 1)
        Rf_error("internal error: wrong sizes for a lattice");
    struct arena count = {NULL, 0};
    engine_carve(&en, &count);
    lattice_carve(d, capacity, &count);
    arena_ints(&count, lattice_table_size(capacity));
    struct arena a = r_arena(&count);
    engine_carve(&en, &a);
    struct lattice l = lattice_carve(d, capacity, &a);
    int *table = arena_ints(&a, lattice_table_size(capacity));
    put_known(r_elt(control, "known"), d, &l);
    struct limit limit = r_limit(&en, progress, 64, r_num(control, "most"));
    struct core_hooks h = {limit_hook, &limit};
    engine_prepare(&en, &h);
    struct core_info info = {0, -1};
    const struct nest_target target = {d, en.x.log_density, en.x.ctx};
    enum core_status st = nest_lattice(&target, REAL(mode), REAL(L), r_num(control, "step"),
                                       r_num(control, "drop"), &l, table, &h, &info);
    size_t n = (size_t) l.n, dn = n * (size_t) d;
    const struct r_field f[4] = {{"index", (size_t) d, n}, {"phi", (size_t) d, n},
                                 {"gradient", (size_t) d, n}, {"log_density", n, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, 4));
    for (size_t i = 0; i < dn; i++) r_out(res, 0)[i] = l.index[i];
    memcpy(r_out(res, 1), l.phi, sizeof(double) * dn);
    if (st == CORE_OK) memcpy(r_out(res, 2), l.gradient, sizeof(double) * dn);
    memcpy(r_out(res, 3), l.log_density, sizeof(double) * n);
    SEXP out = with_status(res, stopped_or(st, &limit), &info);
    UNPROTECT(1);
    return out;
}

/* phi: d x n nodes; weights: n, sum 1; want: list(each, dense) logicals; rows: NULL or
 * list(global (n_global x rows), leaf (rows), z (r x rows)). */
SEXP C_nest_mixture(SEXP core, SEXP centre, SEXP phi, SEXP weights, SEXP want, SEXP rows,
                    SEXP progress)
{
    struct engine en = r_engine(core, centre);
    const struct arrow_shape *s = &en.m.shape;
    size_t dim = arrow_dim(s), ng = (size_t) s->n_global;
    need_phi(&en.m, phi);
    int n = (int) (Rf_xlength(phi) / en.m.n_stat);
    if (Rf_xlength(weights) != n) Rf_error("internal error: weights has the wrong length");
    bool each = Rf_asLogical(r_elt(want, "each")), dense = Rf_asLogical(r_elt(want, "dense")),
         blocks = Rf_asLogical(r_elt(want, "blocks"));
    struct lmm_rows rw = {0, NULL, NULL, NULL};
    if (rows != R_NilValue) {
        rw.n = Rf_length(r_elt(rows, "leaf"));
        rw.global = r_dbl(rows, "global", (R_xlen_t) rw.n * s->n_global);
        rw.leaf = r_ints(rows, "leaf", rw.n);
        rw.z = r_dbl(rows, "z", (R_xlen_t) rw.n * s->r);
    }
    enum { MEAN, COV_GLOBAL, COV_LEAF, NODE_MEAN, NODE_VAR, COV, ROW_MEAN, ROW_VAR, CORRECTION, N_FIELDS };
    const struct r_field f[N_FIELDS] = {
        [MEAN] = {"mean", dim, R_VECTOR},
        [COV_GLOBAL] = {"cov_global", blocks ? ng : 0, blocks ? ng : 0},
        [COV_LEAF] = {"cov_leaf", blocks ? arrow_leaf_size(s) : 0, R_VECTOR},
        [NODE_MEAN] = {"node_mean", each ? dim : 0, each ? (size_t) n : 0},
        [NODE_VAR] = {"node_var", each ? dim : 0, each ? (size_t) n : 0},
        [COV] = {"cov", dense ? dim : 0, dense ? dim : 0},
        [ROW_MEAN] = {"row_mean", (size_t) rw.n, rw.n ? (size_t) n : 0},
        [ROW_VAR] = {"row_var", (size_t) rw.n, rw.n ? (size_t) n : 0},
        [CORRECTION] = {"correction", en.gaussian ? 0 : (size_t) n, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, N_FIELDS));
    struct lmm_mixture mix = {.mean = r_out(res, MEAN)};
    if (blocks) {
        mix.cov_global = r_out(res, COV_GLOBAL);
        mix.cov_leaf = r_out(res, COV_LEAF);
    }
    if (each) {
        mix.node_mean = r_out(res, NODE_MEAN);
        mix.node_var = r_out(res, NODE_VAR);
    }
    if (dense) mix.cov = r_out(res, COV);
    if (rw.n) {
        mix.row_mean = r_out(res, ROW_MEAN);
        mix.row_var = r_out(res, ROW_VAR);
    }
    struct arena count = {NULL, 0};
    engine_carve(&en, &count);
    lmm_mixture_carve(&en.m.shape, dense, &count);
    struct arena a = r_arena(&count);
    engine_carve(&en, &a);
    struct lmm_mixture_work work = lmm_mixture_carve(&en.m.shape, dense, &a);
    struct limit limit = r_limit(&en, progress, 16, INFINITY);
    struct core_hooks h = {limit_hook, &limit};
    engine_prepare(&en, &h);
    struct core_info info = {0, -1};
    if (!en.gaussian) en.nest.log = r_out(res, CORRECTION);
    enum core_status st = lmm_exact_mixture(&en.x, n, REAL(phi), REAL(weights), &rw, &mix, &work, &h, &info);
    SEXP out = with_status(res, stopped_or(st, &limit), &info);
    UNPROTECT(1);
    return out;
}

/* One draw of theta for each column of phi: dim x n. */
SEXP C_nest_draws(SEXP core, SEXP centre, SEXP phi)
{
    struct engine en = r_engine(core, centre);
    need_phi(&en.m, phi);
    int n = (int) (Rf_xlength(phi) / en.m.n_stat);
    size_t dim = arrow_dim(&en.m.shape);
    struct arena count = {NULL, 0};
    engine_carve(&en, &count);
    arena_doubles(&count, dim);
    struct arena a = r_arena(&count);
    engine_carve(&en, &a);
    double *mean = arena_doubles(&a, dim);
    engine_prepare(&en, NULL);
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, (int) dim, n));
    const struct ziggurat zig = rand_ziggurat();
    bool ok = true;
    GetRNGstate();
    for (int k = 0; k < n && ok; k++) {
        double *x = REAL(out) + (size_t) k * dim;
        const double *at = REAL(phi) + (size_t) k * (size_t) en.m.n_stat;
        size_t bytes = sizeof(double) * (size_t) en.m.n_stat;
        bool same = k > 0 && memcmp(at, at - en.m.n_stat, bytes) == 0; /* the fit is still there */
        if (!same) ok = R_FINITE(en.x.log_density(en.x.ctx, at));
        if (!same) ok = ok && en.x.moments(en.x.ctx, 1, mean);
        if (!ok) break;
        rand_normals(&zig, dim, x);
        arrow_backsolve(&en.m.shape, en.x.F, x);
        for (size_t i = 0; i < dim; i++) x[i] += mean[i];
    }
    PutRNGstate();
    if (!ok) Rf_error("internal error: draws at a point without density");
    UNPROTECT(1);
    return out;
}

/* Quantiles (n_probs x J) of J mixtures with common weights; centre, spread: n x J. */
SEXP C_nest_quantiles(SEXP kernel, SEXP weights, SEXP centre, SEXP spread, SEXP probs)
{
    int n = Rf_length(weights), np = Rf_length(probs);
    if (n == 0 || Rf_xlength(centre) % n || Rf_xlength(centre) != Rf_xlength(spread))
        Rf_error("internal error: a mixture with the wrong lengths");
    int J = (int) (Rf_xlength(centre) / n);
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, np, J));
    for (int j = 0; j < J; j++) {
        R_CheckUserInterrupt();
        for (int i = 0; i < np; i++)
            REAL(out)[i + j * np] =
                nest_quantile(Rf_asInteger(kernel) ? NEST_SINC : NEST_NORMAL, n, REAL(weights),
                              REAL(centre) + (size_t) j * (size_t) n,
                              REAL(spread) + (size_t) j * (size_t) n, REAL(probs)[i]);
    }
    UNPROTECT(1);
    return out;
}
