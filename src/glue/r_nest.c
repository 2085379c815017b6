/* r_nest.c: glue of the integration over variance parameters. Every entry takes core, see r_model()
 * and r_glmm(), and centre, list(theta, grad, rss), of which other families use theta only. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include "base/rand.h"
#include "engine/glmm_nest.h"
#include "engine/lmm_exact.h"
#include "engine/nest.h"
#include "glue/r_glmm.h"

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
        en.g = r_glmm(core);
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
    const double
        *evaluations; /* NULL: not counted                                        */
    double most;
    enum core_status
        why; /* CORE_OK: not stopped                                          */
};

static int limit_hook(void *ctx, int done)
{
    struct limit *l = ctx;
    if (l->why == CORE_OK && l->evaluations && *l->evaluations > l->most)
        l->why = CORE_DEAR;
    if (l->why == CORE_OK && r_poll_hook(&l->poll, done)) l->why = CORE_INTERRUPTED;
    return l->why != CORE_OK;
}

static struct limit limit_of(const struct engine *en, SEXP progress, int every,
                             double most)
{
    return (struct limit){.poll = {progress, every},
                          .evaluations = en->gaussian ? NULL : &en->nest.w.evaluations,
                          .most = most};
}

/* Evaluations that may be taken: none, some, or any number. */
static double r_most(SEXP x) { return r_as_num(x, "most", 0, INFINITY); }

static inline enum core_status stopped_or(enum core_status st, const struct limit *l)
{
    return l->why == CORE_OK ? st : l->why;
}

/* The columns of phi, n_stat x n: of a model without precisions n points of no dimension. */
static int r_points(const struct engine *en, SEXP phi)
{
    int n = r_columns(phi, "phi", en->m.n_stat);
    r_as_finite(phi, "phi", -1);
    return n;
}

/* phi: start (d); L: scale (d x d); most: evaluations of conditional fits. Returns
 * list(list(phi, L, peak), status). */
SEXP C_nest_mode(SEXP core, SEXP centre, SEXP phi, SEXP L, SEXP most)
{
    struct engine en = r_engine(core, centre);
    int d = en.m.n_stat;
    size_t n = (size_t) d;
    if (d < 1 || d > NEST_MAX_D) Rf_error("internal error: a mode in %d dimensions", d);
    const double *start = r_as_finite(phi, "phi", d),
                 *scale = r_as_finite(L, "L", (R_xlen_t) d * d);
    double allowed = r_most(most);
    const struct r_field f[3] = {
        {"phi", n, R_VECTOR}, {"L", n, n}, {"peak", 1, R_VECTOR}};
    SEXP out = PROTECT(r_with_status(r_list(f, 3))), res = VECTOR_ELT(out, 0);
    memcpy(r_out(res, 0), start, sizeof(double) * n);
    memcpy(r_out(res, 1), scale, sizeof(double) * n * n);
    struct nest_work w;
    R_ARENA (a) {
        engine_carve(&en, &a);
        w = nest_work_carve(d, &a);
    }
    struct limit limit = limit_of(&en, R_NilValue, 0, allowed);
    struct core_hooks h = {limit_hook, &limit};
    engine_prepare(&en, &h);
    struct core_info info = {0, -1};
    const struct nest_target target = {d, en.x.log_density, en.x.ctx};
    enum core_status st =
        nest_mode(&target, r_out(res, 0), r_out(res, 1), r_out(res, 2), &w, &h, &info);
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), stopped_or(st, &limit), &info);
    UNPROTECT(1);
    return out;
}

/* f at the columns of phi (d x n). */
SEXP C_nest_log_density(SEXP core, SEXP centre, SEXP phi)
{
    struct engine en = r_engine(core, centre);
    int n = r_points(&en, phi);
    R_ARENA (a) {
        engine_carve(&en, &a);
    }
    engine_prepare(&en, NULL);
    SEXP out = PROTECT(Rf_allocVector(REALSXP, n));
    for (int k = 0; k < n; k++) {
        if (k % 64 == 0)
            R_CheckUserInterrupt(); /* nothing is held here but R's own memory */
        const double *at = REAL(phi) + (size_t) k * (size_t) en.m.n_stat;
        REAL(out)[k] = en.x.log_density(en.x.ctx, at);
    }
    UNPROTECT(1);
    return out;
}

/* Points of an earlier lattice: list(index, phi, log_density), or NULL for none. */
struct known {
    int n;
    const double *index, *phi, *log_density;
};

static struct known r_known(SEXP x, int d, int capacity)
{
    struct known k = {0, NULL, NULL, NULL};
    if (x == R_NilValue) return k;
    k.log_density = r_dbl(x, "log_density", -1);
    if (Rf_xlength(r_elt(x, "log_density")) > capacity) r_bad("known");
    k.n = Rf_length(r_elt(x, "log_density"));
    k.index = r_finite(x, "index", (R_xlen_t) k.n * d);
    k.phi = r_finite(x, "phi", (R_xlen_t) k.n * d);
    for (R_xlen_t i = 0; i < (R_xlen_t) k.n * d; i++)
        if (fabs(k.index[i]) > LATTICE_MAX_INDEX) r_bad("index");
    for (int i = 0; i < k.n; i++)
        if (isnan(k.log_density[i])) r_bad("log_density");
    return k;
}

static void put_known(const struct known *k, int d, struct lattice *l)
{
    size_t dn = (size_t) k->n * (size_t) d;
    if (k->n == 0) return;
    for (size_t i = 0; i < dn; i++) l->index[i] = (int) k->index[i];
    memcpy(l->phi, k->phi, sizeof(double) * dn);
    memcpy(l->log_density, k->log_density, sizeof(double) * (size_t) k->n);
    l->n = k->n;
}

static SEXP lattice_result(const struct lattice *l, int d, bool gradient)
{
    size_t n = (size_t) l->n, dn = n * (size_t) d;
    const struct r_field f[4] = {{"index", (size_t) d, n},
                                 {"phi", (size_t) d, n},
                                 {"gradient", (size_t) d, n},
                                 {"log_density", n, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, 4));
    for (size_t i = 0; i < dn; i++) r_out(res, 0)[i] = l->index[i];
    memcpy(r_out(res, 1), l->phi, sizeof(double) * dn);
    if (gradient) memcpy(r_out(res, 2), l->gradient, sizeof(double) * dn);
    memcpy(r_out(res, 3), l->log_density, sizeof(double) * n);
    UNPROTECT(1);
    return res;
}

/* control: list(step, drop, capacity, most, known); progress: function of the points done, or NULL.
 * Returns list(list(index, phi, gradient (d x n each), log_density (n)), status). */
SEXP C_nest_lattice(SEXP core, SEXP centre, SEXP mode, SEXP L, SEXP control,
                    SEXP progress)
{
    struct engine en = r_engine(core, centre);
    int d = en.m.n_stat, capacity = r_int(control, "capacity", 1, LATTICE_MAX_POINTS);
    if (d < 1 || d > LATTICE_MAX_D)
        Rf_error("internal error: a lattice in %d dimensions", d);
    const double *at = r_as_finite(mode, "mode", d),
                 *scale = r_as_finite(L, "L", (R_xlen_t) d * d);
    double step = r_num(control, "step", DBL_MIN, DBL_MAX),
           drop = r_num(control, "drop", 0, DBL_MAX);
    double most = r_most(r_elt(control, "most"));
    const struct known known = r_known(r_elt(control, "known"), d, capacity);
    SEXP hear = r_progress(progress);
    struct lattice l;
    int *table;
    R_ARENA (a) {
        engine_carve(&en, &a);
        l = nest_lattice_carve(d, capacity, &a);
        table = arena_ints(&a, nest_lattice_table(capacity));
    }
    put_known(&known, d, &l);
    struct limit limit = limit_of(&en, hear, 64, most);
    struct core_hooks h = {limit_hook, &limit};
    engine_prepare(&en, &h);
    struct core_info info = {0, -1};
    const struct nest_target target = {d, en.x.log_density, en.x.ctx};
    enum core_status st =
        nest_lattice(&target, at, scale, step, drop, &l, table, &h, &info);
    SEXP out = PROTECT(r_with_status(lattice_result(&l, d, st == CORE_OK)));
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), stopped_or(st, &limit), &info);
    UNPROTECT(1);
    return out;
}

/* rows: NULL or list(global (n_global x rows), leaf (rows), z (r x rows)). */
static struct conditional_rows r_rows(SEXP rows, const struct arrow_shape *s)
{
    struct conditional_rows rw = {0, NULL, NULL, NULL};
    if (rows == R_NilValue) return rw;
    rw.leaf = r_ints(rows, "leaf", -1);
    if (Rf_xlength(r_elt(rows, "leaf")) > INT_MAX) r_bad("leaf");
    rw.n = Rf_length(r_elt(rows, "leaf"));
    r_in_range(rw.leaf, rw.n, -1, s->n_leaf - 1, "leaf");
    rw.global = r_finite(rows, "global", (R_xlen_t) rw.n * s->n_global);
    rw.z = r_finite(rows, "z", (R_xlen_t) rw.n * s->r);
    return rw;
}

enum {
    MEAN,
    COV_GLOBAL,
    COV_LEAF,
    NODE_MEAN,
    NODE_VAR,
    COV,
    ROW_MEAN,
    ROW_VAR,
    CORRECTION,
    N_FIELDS
};

/* What is wanted of a mixture. */
struct want {
    bool blocks, each, dense;
    size_t rows;
};

static SEXP mixture_result(const struct engine *en, size_t n, struct want w)
{
    const struct arrow_shape *s = &en->m.shape;
    size_t dim = arrow_dim(s), ng = w.blocks ? (size_t) s->n_global : 0;
    const struct r_field f[N_FIELDS] = {
        [MEAN] = {"mean", dim, R_VECTOR},
        [COV_GLOBAL] = {"cov_global", ng, ng},
        [COV_LEAF] = {"cov_leaf", w.blocks ? arrow_leaf_size(s) : 0, R_VECTOR},
        [NODE_MEAN] = {"node_mean", w.each ? dim : 0, w.each ? n : 0},
        [NODE_VAR] = {"node_var", w.each ? dim : 0, w.each ? n : 0},
        [COV] = {"cov", w.dense ? dim : 0, w.dense ? dim : 0},
        [ROW_MEAN] = {"row_mean", w.rows, w.rows ? n : 0},
        [ROW_VAR] = {"row_var", w.rows, w.rows ? n : 0},
        [CORRECTION] = {"correction", en->gaussian ? 0 : n, R_VECTOR}};
    return r_list(f, N_FIELDS);
}

static struct conditional_mixture mixture_view(SEXP res, struct want w)
{
    struct conditional_mixture mix = {.mean = r_out(res, MEAN)};
    if (w.blocks) {
        mix.cov_global = r_out(res, COV_GLOBAL);
        mix.cov_leaf = r_out(res, COV_LEAF);
    }
    if (w.each) {
        mix.node_mean = r_out(res, NODE_MEAN);
        mix.node_var = r_out(res, NODE_VAR);
    }
    if (w.dense) mix.cov = r_out(res, COV);
    if (w.rows) {
        mix.row_mean = r_out(res, ROW_MEAN);
        mix.row_var = r_out(res, ROW_VAR);
    }
    return mix;
}

/* phi: d x n nodes; weights: n, sum 1; want: list(blocks, each, dense) logicals; rows: see r_rows(). */
SEXP C_nest_mixture(SEXP core, SEXP centre, SEXP phi, SEXP weights, SEXP want, SEXP rows,
                    SEXP progress)
{
    struct engine en = r_engine(core, centre);
    int n = r_points(&en, phi);
    const double *w = r_as_finite(weights, "weights", n);
    const struct conditional_rows rw = r_rows(rows, &en.m.shape);
    const struct want ask = {r_flag(want, "blocks"), r_flag(want, "each"),
                             r_flag(want, "dense"), (size_t) rw.n};
    SEXP hear = r_progress(progress);
    SEXP out = PROTECT(r_with_status(mixture_result(&en, (size_t) n, ask))),
         res = VECTOR_ELT(out, 0);
    struct conditional_mixture mix = mixture_view(res, ask);
    struct conditional_work work;
    R_ARENA (a) {
        engine_carve(&en, &a);
        work = conditional_carve(&en.m.shape, ask.dense, &a);
    }
    struct limit limit = limit_of(&en, hear, 16, INFINITY);
    struct core_hooks h = {limit_hook, &limit};
    engine_prepare(&en, &h);
    struct core_info info = {0, -1};
    if (!en.gaussian) en.nest.log = r_out(res, CORRECTION);
    enum core_status st =
        conditional_mixture(&en.x, n, REAL(phi), w, &rw, &mix, &work, &h, &info);
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), stopped_or(st, &limit), &info);
    UNPROTECT(1);
    return out;
}

/* One draw of theta for each column of phi: dim x n. */
SEXP C_nest_draws(SEXP core, SEXP centre, SEXP phi)
{
    struct engine en = r_engine(core, centre);
    int n = r_points(&en, phi);
    size_t dim = arrow_dim(&en.m.shape), d = (size_t) en.m.n_stat;
    double *mean;
    R_ARENA (a) {
        engine_carve(&en, &a);
        mean = arena_doubles(&a, dim);
    }
    engine_prepare(&en, NULL);
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, (int) dim, n));
    const double *points = REAL(phi);
    double *draws = REAL(out);
    const struct ziggurat zig = rand_ziggurat();
    bool ok = true;
    GetRNGstate();
    for (int k = 0; k < n && ok; k++) {
        double *x = draws + (size_t) k * dim;
        const double *at = points + (size_t) k * d;
        bool same = k > 0 && memcmp(at, at - d, sizeof(double) * d) ==
                                 0; /* the fit is still there */
        if (!same) ok = R_FINITE(en.x.log_density(en.x.ctx, at));
        if (!same) ok = ok && en.x.moments(en.x.ctx, 1, mean);
        if (!ok) break;
        rand_normals(&zig, dim, x);
        arrow_backsolve(en.x.shape, en.x.F,
                        x); /* the shape of F, which may differ from the model's */
        for (size_t i = 0; i < dim; i++) x[i] += mean[i];
    }
    PutRNGstate();
    if (!ok) Rf_error("internal error: draws at a point without density");
    UNPROTECT(1);
    return out;
}

/* Quantiles (n_probs x J) of J mixtures with common weights; centre, spread: n x J. Mixtures of more
 * components than pay are gathered first. */
SEXP C_nest_quantiles(SEXP kernel, SEXP weights, SEXP centre, SEXP spread, SEXP probs)
{
    enum nest_kernel kind = r_as_int(kernel, "kernel", 0, 1) ? NEST_SINC : NEST_NORMAL;
    const double *w = r_as_dbl(weights, "weights", -1), *p = r_as_dbl(probs, "probs", -1);
    if (Rf_xlength(weights) > INT_MAX || Rf_xlength(probs) > INT_MAX) r_bad("probs");
    int n = Rf_length(weights), np = Rf_length(probs), J = r_columns(centre, "centre", n);
    if (n == 0 || r_columns(spread, "spread", n) != J) r_bad("spread");
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, np, J));
    bool many = kind == NEST_NORMAL && n > 2 * NEST_CELLS;
    double *W = (double *) R_alloc(many ? 3 * NEST_CELLS : 1, sizeof(double));
    double *C = W + (many ? NEST_CELLS : 0), *S = C + (many ? NEST_CELLS : 0);
    for (int j = 0; j < J; j++) {
        R_CheckUserInterrupt();
        const double *c = REAL(centre) + (size_t) j * (size_t) n,
                     *s = REAL(spread) + (size_t) j * (size_t) n;
        int cells = many ? nest_gather(n, w, c, s, W, C, S) : 0;
        for (int i = 0; i < np; i++)
            AT(REAL(out), i, j, np) = cells ? nest_quantile(kind, cells, W, C, S, p[i])
                                            : nest_quantile(kind, n, w, c, s, p[i]);
    }
    UNPROTECT(1);
    return out;
}
