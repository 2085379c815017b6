/* r_nest.c: glue of the integration over variance parameters. Every entry takes core, see r_model()
 * and r_glmm(), and centre, list(theta, grad, rss), of which other families use theta only. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include "engine/bend.h"
#include "engine/conditional_of.h"
#include "engine/nest.h"
#include "glue/r_glmm.h"

/* A model of either family (conditional_of.h) and the point that its fits are taken around. */
struct task {
    struct glmm g;
    struct lmm_centre centre;
};

static struct task r_task(SEXP core, SEXP centre)
{
    struct task k = {.g = {.n = 0}};
    if (r_is_null(core, "rows"))
        k.g.lmm = r_model(core);
    else
        k.g = r_glmm(core);
    k.centre = r_centre(centre, &k.g.lmm);
    return k;
}

/* Stops for Ctrl-C, or when the process has spent `seconds` from `start` (INFINITY: any number), and
 * stays stopped: a fit that was interrupted looks like a point without density to the integrator. */
struct limit {
    struct r_poll poll;
    double seconds;
    clock_t start;
    enum core_status
        why; /* CORE_OK: not stopped                                          */
};

/* seconds: an R number from 0, or NULL for any number; progress: function or NULL. */
static struct limit r_limit(SEXP seconds, SEXP progress, int every)
{
    double most =
        seconds == R_NilValue ? INFINITY : r_as_num(seconds, "seconds", 0, INFINITY);
    return (struct limit){{r_progress(progress), every}, most, clock(), CORE_OK};
}

static int limit_hook(void *ctx, int done)
{
    struct limit *l = ctx;
    if (l->why == CORE_OK && isfinite(l->seconds) &&
        (double) (clock() - l->start) / CLOCKS_PER_SEC > l->seconds)
        l->why = CORE_DEAR;
    if (l->why == CORE_OK && r_poll_hook(&l->poll, done)) l->why = CORE_INTERRUPTED;
    return l->why != CORE_OK;
}

/* The status of a run, or why the limit ended it, into out = list(result, status). */
static void close_run(SEXP out, enum core_status st, const struct limit *l,
                      const struct core_info *info)
{
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), l->why == CORE_OK ? st : l->why, info);
}

/* The columns of psi, d x n: of a model without precisions n points of no dimension. */
static int r_points(const struct task *k, SEXP psi)
{
    int n = r_columns(psi, "psi", k->g.lmm.n_stat);
    r_as_finite(psi, "psi", -1);
    return n;
}

static int r_dimension(const struct task *k, int most)
{
    int d = k->g.lmm.n_stat;
    if (d < 1 || d > most) Rf_error("internal error: an integral in %d dimensions", d);
    return d;
}

/* Bends of the coordinates of integration (bend.h), NA where there is none; NULL: no coordinate has
 * one. */
static const double *r_bends(SEXP bend, int d)
{
    return bend == R_NilValue ? NULL : r_as_dbl(bend, "bend", d);
}

/* psi (d x n) of coordinates v, or with `back` v of psi. */
SEXP C_nest_bend(SEXP x, SEXP bend, SEXP back)
{
    int d = Rf_length(bend), n = r_columns(x, "x", d);
    const double *c = r_as_dbl(bend, "bend", d), *from = r_as_finite(x, "x", -1);
    bool inverse = r_as_int(back, "back", 0, 1);
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, d, n));
    for (size_t i = 0; i < (size_t) n * (size_t) d; i += (size_t) d)
        if (inverse)
            bend_from_psi(d, c, from + i, REAL(out) + i);
        else
            bend_to_psi(d, c, from + i, REAL(out) + i);
    UNPROTECT(1);
    return out;
}

/* list(list(v, L, peak), status): the start in place of the mode. */
static SEXP mode_result(int dim, const double *v, const double *L)
{
    size_t d = (size_t) dim;
    const struct r_field f[3] = {{"v", d, R_VECTOR}, {"L", d, d}, {"peak", 1, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, 3));
    memcpy(r_out(res, 0), v, sizeof(double) * d);
    memcpy(r_out(res, 1), L, sizeof(double) * d * d);
    SEXP out = r_with_status(res);
    UNPROTECT(1);
    return out;
}

/* v: start (d); L: scale (d x d); seconds: see r_limit(). Returns
 * list(list(v, L, peak), status). */
SEXP C_nest_mode(SEXP core, SEXP centre, SEXP v, SEXP L, SEXP seconds, SEXP bend)
{
    const struct task k = r_task(core, centre);
    int d = r_dimension(&k, NEST_MAX_D);
    const double *start = r_as_finite(v, "v", d),
                 *scale = r_as_finite(L, "L", (R_xlen_t) d * d);
    struct limit limit = r_limit(seconds, R_NilValue, 0);
    const struct core_hooks h = {limit_hook, &limit};
    SEXP out = PROTECT(mode_result(d, start, scale)), res = VECTOR_ELT(out, 0);
    const double *c = r_bends(bend, d);
    struct conditional x;
    struct bend b;
    struct nest_work w;
    R_ARENA (a) {
        x = conditional_of(&k.g, &k.centre, &h, &a);
        b = bend_carve(conditional_target(&x), c, &a);
        w = nest_work_carve(d, &a);
    }
    const struct target f = bend_target(&b);
    struct core_info info = {0, -1};
    enum core_status st =
        nest_mode(&f, r_out(res, 0), r_out(res, 1), r_out(res, 2), &w, &h, &info);
    close_run(out, st, &limit, &info);
    UNPROTECT(1);
    return out;
}

/* f at the columns of v (d x n), a density of v. */
SEXP C_nest_log_density(SEXP core, SEXP centre, SEXP v, SEXP bend)
{
    const struct task k = r_task(core, centre);
    int n = r_points(&k, v);
    const double *c = r_bends(bend, k.g.lmm.n_stat);
    struct conditional x;
    struct bend b;
    R_ARENA (a) {
        x = conditional_of(&k.g, &k.centre, NULL, &a);
        b = bend_carve(conditional_target(&x), c, &a);
    }
    const struct target f = bend_target(&b);
    SEXP out = PROTECT(Rf_allocVector(REALSXP, n));
    for (int i = 0; i < n; i += 64) {
        R_CheckUserInterrupt(); /* nothing is held here but R's own memory */
        target_log_densities(&f, n - i < 64 ? n - i : 64,
                             REAL(v) + (size_t) i * (size_t) f.d, REAL(out) + i);
    }
    UNPROTECT(1);
    return out;
}

/* Tells x of fits made before: NULL, or list(psi (d x n), state (numbers of each x n)), the latter
 * without rows where there is nothing to tell. */
static void r_know(SEXP known, const struct conditional *x)
{
    if (known == R_NilValue) return;
    size_t size = x->know ? x->state_size : 0;
    SEXP psi = r_elt(known, "psi");
    int n = r_columns(psi, "psi", x->d);
    r_as_finite(psi, "psi", -1);
    const double *state = r_dbl(known, "state", (R_xlen_t) n * (R_xlen_t) size);
    for (int i = 0; size && i < n; i++)
        x->know(x->ctx, REAL(psi) + (size_t) i * (size_t) x->d,
                state + (size_t) i * size);
}

/* What an emulator takes of a conditional fit at each column of psi (d x n): log p(y | t), of other
 * families its bound; what the bound is corrected by; d log_lik / d t (d x n); log p(Lambda) with the
 * Jacobian. f is the sum of the three numbers; all are not finite where there is no fit. state, a column
 * each, and known: see r_know(); seconds: see r_limit(). Returns list(list(log_lik, correction, slope, log_prior, state),
 * status). */
SEXP C_nest_fits(SEXP core, SEXP centre, SEXP psi, SEXP known, SEXP seconds)
{
    const struct task k = r_task(core, centre);
    size_t n = (size_t) r_points(&k, psi), d = (size_t) k.g.lmm.n_stat;
    struct limit limit = r_limit(seconds, R_NilValue, 0);
    const struct core_hooks h = {limit_hook, &limit};
    struct conditional x;
    R_ARENA (a) {
        x = conditional_of(&k.g, &k.centre, &h, &a);
    }
    r_know(known, &x);
    const struct r_field fields[5] = {{"log_lik", n, R_VECTOR},
                                      {"correction", n, R_VECTOR},
                                      {"slope", d, n},
                                      {"log_prior", n, R_VECTOR},
                                      {"state", x.state_size, n}};
    SEXP out = PROTECT(r_with_status(r_list(fields, 5))), res = VECTOR_ELT(out, 0);
    struct core_info info = {0, -1};
    for (size_t i = 0; i < n; i++) {
        if (core_stop(&h, (int) i)) break;
        double f = x.log_density(x.ctx, REAL(psi) + i * d);
        double c = x.correction ? *x.correction : 0;
        r_out(res, 0)[i] = isfinite(f) ? f - c - *x.prior : -INFINITY;
        r_out(res, 1)[i] = isfinite(f) ? c : 0;
        r_out(res, 3)[i] = isfinite(f) ? *x.prior : -INFINITY;
        for (size_t j = 0; j < d && !isfinite(f); j++) r_out(res, 2)[i * d + j] = NAN;
        if (!isfinite(f)) continue;
        x.slope(x.ctx, r_out(res, 2) + i * d);
        if (x.state_size) x.state(x.ctx, r_out(res, 4) + i * x.state_size);
    }
    close_run(out, CORE_OK, &limit, &info);
    UNPROTECT(1);
    return out;
}

/* Points of an earlier lattice: list(index, psi, log_density), or NULL for none. */
struct known {
    int n;
    const double *index, *psi, *log_density;
};

static struct known r_known(SEXP x, int d, int capacity)
{
    struct known k = {0, NULL, NULL, NULL};
    if (x == R_NilValue) return k;
    k.log_density = r_dbl(x, "log_density", -1);
    if (Rf_xlength(r_elt(x, "log_density")) > capacity) r_bad("known");
    k.n = Rf_length(r_elt(x, "log_density"));
    k.index = r_finite(x, "index", (R_xlen_t) k.n * d);
    k.psi = r_finite(x, "psi", (R_xlen_t) k.n * d);
    for (R_xlen_t i = 0; i < (R_xlen_t) k.n * d; i++)
        if (fabs(k.index[i]) > LATTICE_MAX_INDEX) r_bad("index");
    for (int i = 0; i < k.n; i++)
        if (isnan(k.log_density[i])) r_bad("log_density");
    return k;
}

/* c: bends, or NULL. The lattice is one of v. */
static void put_known(const struct known *k, int d, const double *c, struct lattice *l)
{
    size_t dn = (size_t) k->n * (size_t) d;
    if (k->n == 0) return;
    for (size_t i = 0; i < dn; i++) l->index[i] = (int) k->index[i];
    memcpy(l->psi, k->psi, sizeof(double) * dn);
    for (size_t i = 0; c && i < dn; i += (size_t) d)
        bend_from_psi(d, c, l->psi + i, l->psi + i);
    memcpy(l->log_density, k->log_density, sizeof(double) * (size_t) k->n);
    l->n = k->n;
}

static SEXP lattice_result(const struct lattice *l, int d, const double *c, bool gradient)
{
    size_t n = (size_t) l->n, dn = n * (size_t) d;
    const struct r_field f[4] = {{"index", (size_t) d, n},
                                 {"psi", (size_t) d, n},
                                 {"gradient", (size_t) d, n},
                                 {"log_density", n, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, 4));
    for (size_t i = 0; i < dn; i++) r_out(res, 0)[i] = l->index[i];
    memcpy(r_out(res, 1), l->psi, sizeof(double) * dn);
    for (size_t i = 0; c && i < dn; i += (size_t) d)
        bend_to_psi(d, c, l->psi + i, r_out(res, 1) + i);
    if (gradient) memcpy(r_out(res, 2), l->gradient, sizeof(double) * dn);
    memcpy(r_out(res, 3), l->log_density, sizeof(double) * n);
    UNPROTECT(1);
    return res;
}

/* mode, L: of v. control: list(step, drop, capacity, seconds, known, bend); progress: function of the points
 * done, or NULL. Returns list(list(index, psi, gradient (d x n each), log_density (n)), status): psi of the
 * points, the density of v and its gradient along the axes. */
SEXP C_nest_lattice(SEXP core, SEXP centre, SEXP mode, SEXP L, SEXP control,
                    SEXP progress)
{
    const struct task k = r_task(core, centre);
    int d = r_dimension(&k, LATTICE_MAX_D),
        capacity = r_int(control, "capacity", 1, LATTICE_MAX_POINTS);
    const double *at = r_as_finite(mode, "mode", d),
                 *scale = r_as_finite(L, "L", (R_xlen_t) d * d);
    double step = r_num(control, "step", DBL_MIN, DBL_MAX),
           drop = r_num(control, "drop", 0, DBL_MAX);
    const struct known known = r_known(r_elt(control, "known"), d, capacity);
    struct limit limit = r_limit(r_elt(control, "seconds"), progress, 64);
    const struct core_hooks h = {limit_hook, &limit};
    const double *c = r_bends(r_elt(control, "bend"), d);
    struct conditional x;
    struct bend b;
    struct lattice l;
    int *table;
    R_ARENA (a) {
        x = conditional_of(&k.g, &k.centre, &h, &a);
        b = bend_carve(conditional_target(&x), c, &a);
        l = nest_lattice_carve(d, capacity, true, &a);
        table = arena_ints(&a, nest_lattice_table(capacity));
    }
    put_known(&known, d, c, &l);
    const struct target f = bend_target(&b);
    struct core_info info = {0, -1};
    enum core_status st = nest_lattice(&f, at, scale, step, drop, &l, table, &h, &info);
    SEXP out = PROTECT(r_with_status(lattice_result(&l, d, c, st == CORE_OK)));
    close_run(out, st, &limit, &info);
    UNPROTECT(1);
    return out;
}

enum {
    MEAN,
    COV_GLOBAL,
    PATTERN,
    COV_LEAF,
    NODE_MEAN,
    NODE_VAR,
    COV,
    ROW_MEAN,
    ROW_VAR,
    CORRECTION,
    N_FIELDS
};

/* What is wanted of a mixture: the global and the leaves' covariances, moments at each node, all of
 * Cov theta, of these only what is within the nodes, linear combinations, corrections. */
struct want {
    bool blocks, each, dense, within, correction;
    size_t rows;
};

static SEXP mixture_result(const struct arrow_shape *s, size_t n, struct want w)
{
    size_t dim = arrow_dim(s), ng = w.blocks && !s->packed ? (size_t) s->n_global : 0;
    size_t packed = w.blocks && s->packed ? arrow_global_size(s) : 0;
    const struct r_field f[N_FIELDS] = {
        [MEAN] = {"mean", dim, R_VECTOR},
        [COV_GLOBAL] = {"cov_global", s->packed ? packed : ng, s->packed ? R_VECTOR : ng},
        [PATTERN] = {"pattern", 0, R_VECTOR},
        [COV_LEAF] = {"cov_leaf", w.blocks ? arrow_leaf_size(s) : 0, R_VECTOR},
        [NODE_MEAN] = {"node_mean", w.each ? dim : 0, w.each ? n : 0},
        [NODE_VAR] = {"node_var", w.each ? dim : 0, w.each ? n : 0},
        [COV] = {"cov", w.dense ? dim : 0, w.dense ? dim : 0},
        [ROW_MEAN] = {"row_mean", w.rows, w.rows ? n : 0},
        [ROW_VAR] = {"row_var", w.rows, w.rows ? n : 0},
        [CORRECTION] = {"correction", w.correction ? n : 0, R_VECTOR}};
    SEXP out = PROTECT(r_list(f, N_FIELDS));
    SET_VECTOR_ELT(out, PATTERN, r_pattern(s));
    UNPROTECT(1);
    return out;
}

static struct conditional_mixture mixture_view(SEXP res, struct want w)
{
    struct conditional_mixture mix = {.within = w.within, .mean = r_out(res, MEAN)};
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
    if (w.correction) mix.correction = r_out(res, CORRECTION);
    return mix;
}

/* psi: d x n nodes; weights: n, sum 1; want: list(blocks, each, dense, within), logicals; rows: see r_rows();
 * known: see r_know(). */
SEXP C_nest_mixture(SEXP core, SEXP centre, SEXP psi, SEXP weights, SEXP want, SEXP rows,
                    SEXP progress, SEXP known)
{
    const struct task k = r_task(core, centre);
    const struct arrow_shape *s = &k.g.lmm.shape;
    int n = r_points(&k, psi);
    const double *w = r_as_finite(weights, "weights", n);
    const struct arrow_rows rw = r_rows(rows, s);
    struct want ask = {r_flag(want, "blocks"),
                       r_flag(want, "each"),
                       r_flag(want, "dense"),
                       r_flag(want, "within"),
                       k.g.n > 0,
                       (size_t) rw.n};
    struct limit limit = r_limit(R_NilValue, progress, 16);
    const struct core_hooks h = {limit_hook, &limit};
    SEXP out = PROTECT(r_with_status(mixture_result(s, (size_t) n, ask)));
    struct conditional_mixture mix = mixture_view(VECTOR_ELT(out, 0), ask);
    struct conditional x;
    struct conditional_work work;
    R_ARENA (a) {
        x = conditional_of(&k.g, &k.centre, &h, &a);
        work = conditional_carve(s, ask.dense, &a);
    }
    r_know(known, &x);
    struct core_info info = {0, -1};
    enum core_status st =
        conditional_mixture(&x, n, REAL(psi), w, &rw, &mix, &work, &h, &info);
    close_run(out, st, &limit, &info);
    UNPROTECT(1);
    return out;
}

/* One draw of theta for each column of psi: dim x n. */
SEXP C_nest_draws(SEXP core, SEXP centre, SEXP psi)
{
    const struct task k = r_task(core, centre);
    int n = r_points(&k, psi);
    size_t dim = arrow_dim(&k.g.lmm.shape);
    struct conditional x;
    double *mean;
    R_ARENA (a) {
        x = conditional_of(&k.g, &k.centre, NULL, &a);
        mean = arena_doubles(&a, dim);
    }
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, (int) dim, n));
    const double *points = REAL(psi);
    double *draws = REAL(out);
    GetRNGstate();
    bool ok = conditional_draws(&x, n, points, mean, draws);
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
