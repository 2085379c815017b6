/* r_gmm.c: glue of the Gaussian mixtures. */
#include <float.h>
#include <limits.h>
#include <string.h>
#include "mixture/gmm_gibbs.h"
#include "mixture/gmm_start.h"
#include "mixture/gmm_vb.h"
#include "glue/r_gibbs.h"

/* core: see gmm_core() in R. */
static struct gmm r_mixture(SEXP core)
{
    SEXP X = r_elt(core, "X");
    struct gmm g = {.p = r_columns(X, "X", -1),
                    .n = Rf_nrows(X),
                    .k = r_int(core, "k", 1, GMM_MAX_K)};
    R_xlen_t pp = (R_xlen_t) g.p * g.p;
    if (g.n < 1 || g.p < 1 || g.p > GMM_MAX_P) r_bad("X");
    g.X = r_as_finite(X, "X", -1);
    g.coupled = r_flag(core, "coupled");
    g.flat_mean = r_flag(core, "flat_mean");
    g.flat_precision = r_flag(core, "flat_precision");
    g.k0 = r_num(core, "k0", 0, DBL_MAX);
    g.m0 = r_finite(core, "m0", g.p);
    g.P0 = r_finite(core, "P0", pp);
    g.df0 = r_finite_num(core, "df0");
    g.rate0 = r_finite(core, "rate0", pp);
    g.logdet_P0 = r_finite_num(core, "logdet_P0");
    g.logdet_rate0 = r_finite_num(core, "logdet_rate0");
    g.alpha0 = r_finite(core, "alpha0", g.k);
    for (int k = 0; k < g.k; k++)
        if (!(g.alpha0[k] > 0)) r_bad("alpha0");
    return g;
}

/* 0-based labels of the rows. */
static const int *r_labels(SEXP label, const struct gmm *g)
{
    const int *l = r_as_ints(label, "label", g->n);
    r_in_range(l, g->n, 0, g->k - 1, "label");
    return l;
}

/* X: n x p; returns 0-based labels. */
SEXP C_gmm_start(SEXP X, SEXP k, SEXP seed, SEXP rounds)
{
    int p = r_columns(X, "X", -1), n = Rf_nrows(X), K = r_as_int(k, "k", 1, GMM_MAX_K);
    if (n < 1 || p < 1) r_bad("X");
    const double *x = r_as_finite(X, "X", -1);
    uint64_t from = (uint64_t) r_as_num(seed, "seed", 0, 9007199254740992.0);
    int times = r_as_int(rounds, "rounds", 0, 1000);
    SEXP out = PROTECT(Rf_allocVector(INTSXP, n));
    double *centre, *dist, *best;
    R_ARENA (a) {
        centre = arena_doubles(&a, (size_t) K * (size_t) p);
        dist = arena_doubles(&a, (size_t) n);
        best = arena_doubles(&a, (size_t) n);
    }
    gmm_start(n, p, K, x, from, times, INTEGER(out), centre, dist, best);
    UNPROTECT(1);
    return out;
}

/* What one pass over the rows writes to. */
struct pass {
    struct gmm_stats s;
    struct gmm_work w;
};

static struct pass r_pass(const struct gmm *g)
{
    struct pass p;
    R_ARENA (a) {
        p.s = gmm_stats_carve(g, &a);
        p.w = gmm_work_carve(g, &a);
    }
    return p;
}

/* Statistics of a hard clustering as one vector (N, mean, ss). */
SEXP C_gmm_label_stats(SEXP core, SEXP label)
{
    const struct gmm g = r_mixture(core);
    const int *labels = r_labels(label, &g);
    struct pass p = r_pass(&g);
    gmm_label_stats(&g, labels, &p.s, &p.w);
    SEXP out = PROTECT(Rf_allocVector(REALSXP, (R_xlen_t) gmm_stats_size(&g)));
    memcpy(REAL(out), p.s.N, sizeof(double) * gmm_stats_size(&g));
    UNPROTECT(1);
    return out;
}

enum {
    STATS,
    M,
    DF,
    L,
    S,
    MEAN_LOGDET,
    ALPHA,
    MEAN_LOG_PI,
    OFFSET,
    RESP,
    TRACE,
    ELBO,
    DECREMENT,
    ROWS,
    NOT_PD,
    MFVB,
    LRVB,
    SLOPE,
    DIRECTION,
    N_FIELDS
};

static SEXP fit_result(const struct gmm *g, int trace_rows, bool lr, bool keep_r)
{
    size_t k = (size_t) g->k, p = (size_t) g->p,
           N = lr ? k * (p + (size_t) gmm_vech(g) + 2) : 0;
    const struct r_field f[N_FIELDS] = {
        [STATS] = {"stats", gmm_stats_size(g), R_VECTOR},
        [M] = {"m", p, k},
        [DF] = {"df", k, R_VECTOR},
        [L] = {"L", p * p, k},
        [S] = {"S", p * p, k},
        [MEAN_LOGDET] = {"mean_logdet", k, R_VECTOR},
        [ALPHA] = {"alpha", k, R_VECTOR},
        [MEAN_LOG_PI] = {"mean_log_pi", k, R_VECTOR},
        [OFFSET] = {"offset", k, R_VECTOR},
        [RESP] = {"r", keep_r ? (size_t) g->n : 0, keep_r ? k : 0},
        [TRACE] = {"trace", 3, (size_t) trace_rows},
        [ELBO] = {"elbo", 1, R_VECTOR},
        [DECREMENT] = {"decrement", 1, R_VECTOR},
        [ROWS] = {"rows", 1, R_VECTOR},
        [NOT_PD] = {"not_pd", 1, R_VECTOR},
        [MFVB] = {"mfvb", N, N},
        [LRVB] = {"lrvb", N, N},
        [SLOPE] = {"slope", lr ? 2 : 0, R_VECTOR},
        [DIRECTION] = {"direction", N, R_VECTOR}};
    return r_list(f, N_FIELDS);
}

static void copy_out(SEXP res, int field, const double *x)
{
    memcpy(r_out(res, field), x,
           sizeof(double) * (size_t) Rf_xlength(VECTOR_ELT(res, field)));
}

static void put_factors(SEXP res, const struct gmm_fit *q)
{
    copy_out(res, STATS, q->s.N);
    copy_out(res, M, q->f.m);
    copy_out(res, DF, q->f.df);
    copy_out(res, L, q->f.L);
    copy_out(res, S, q->f.S);
    copy_out(res, MEAN_LOGDET, q->f.mean_logdet);
    copy_out(res, ALPHA, q->f.alpha);
    copy_out(res, MEAN_LOG_PI, q->f.mean_log_pi);
    copy_out(res, OFFSET, q->f.offset);
    copy_out(res, RESP, q->r);
}

static void put_numbers(SEXP res, const struct gmm_fit *q)
{
    r_out(res, ELBO)[0] = q->elbo;
    r_out(res, DECREMENT)[0] = q->decrement;
    r_out(res, ROWS)[0] = q->rows;
    r_out(res, NOT_PD)[0] = q->not_pd;
}

/* The linear response in raw units, and how the bound bends along its widest direction. */
static void put_response(SEXP res, const struct gmm *g, const struct gmm_fit *q,
                         struct gmm_fit_work *w, struct gmm_lr *lr, const double *U,
                         const double *A, double *work)
{
    gmm_lr_invert(lr);
    gmm_lr_raw(g, &q->f, lr, U, A, r_out(res, LRVB), work);
    gmm_vb_probe(g, q, lr, w, r_out(res, SLOPE), work);
    gmm_lr_direction_raw(g, &q->f, lr, U, A, work, r_out(res, DIRECTION));
}

static struct gmm_control r_gmm_control(SEXP control)
{
    struct gmm_control c = {.tol = r_num(control, "tol", 0, DBL_MAX),
                            .change = r_num(control, "change", 0, DBL_MAX),
                            .max_iter = r_int(control, "max_iter", 1, INT_MAX - 1),
                            .newton = r_flag(control, "newton")};
    c.trace_rows = r_int(control, "trace_rows", 0, c.max_iter);
    return c;
}

/* start: statistics; units: list(U, A); control: list(tol, change, max_iter, trace_rows, newton,
 * keep_r). With newton the covariances come along. Returns list(result, status). */
SEXP C_gmm_fit(SEXP core, SEXP start, SEXP units, SEXP control)
{
    const struct gmm g = r_mixture(core);
    const struct gmm_control ctl = r_gmm_control(control);
    bool keep_r = r_flag(control, "keep_r");
    R_xlen_t pp = (R_xlen_t) g.p * g.p;
    const double *U = r_finite(units, "U", pp), *A = r_finite(units, "A", pp);
    const double *from = r_as_finite(start, "start", (R_xlen_t) gmm_stats_size(&g));
    SEXP out = PROTECT(r_with_status(fit_result(&g, ctl.trace_rows, ctl.newton, keep_r)));
    SEXP res = VECTOR_ELT(out, 0);
    size_t N = ctl.newton ? (size_t) Rf_nrows(VECTOR_ELT(res, MFVB)) : 0;
    size_t n = (size_t) g.k * (size_t) gmm_lr_size(&g), nr = (size_t) g.n * (size_t) g.k;

    struct gmm_fit q = {.elbo = 0};
    struct gmm_fit_work w;
    struct gmm_lr lr = {.n = 0};
    double *work = NULL;
    R_ARENA (a) {
        q.s = gmm_stats_carve(&g, &a);
        q.f = gmm_factors_carve(&g, &a);
        q.r = arena_doubles(&a, nr);
        w = gmm_vb_work_carve(&g, &a);
        if (ctl.newton) {
            lr = gmm_lr_carve(&g, &a);
            work = arena_doubles(&a, n * N);
        }
    }
    q.trace = r_out(res, TRACE);
    memcpy(q.s.N, from, sizeof(double) * gmm_stats_size(&g));
    memset(q.r, 0, sizeof(double) * nr);
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    enum core_status st = gmm_vb_run(&g, &ctl, &q, &w, &lr, &h, &info);
    bool fitted = st == CORE_OK || st == CORE_MAXIT;
    if (fitted) put_factors(res, &q);
    if (fitted && ctl.newton) {
        gmm_lr_mfvb_raw(&g, &q.f, &lr, U, A, r_out(res, MFVB));
        if (!q.not_pd) put_response(res, &g, &q, &w, &lr, U, A, work);
    }
    put_numbers(res, &q);
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}

/* Responsibilities of the rows of X (whitened) under list(m, L, offset). */
SEXP C_gmm_classify(SEXP core, SEXP m, SEXP R, SEXP offset)
{
    const struct gmm g = r_mixture(core);
    R_xlen_t pk = (R_xlen_t) g.p * g.k;
    const double *mean = r_as_finite(m, "m", pk), *root = r_as_finite(R, "R", pk * g.p),
                 *level = r_as_finite(offset, "offset", g.k);
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, g.n, g.k));
    memset(REAL(out), 0, sizeof(double) * (size_t) Rf_xlength(out));
    struct pass p = r_pass(&g);
    double change;
    gmm_pass(&g, mean, root, level, REAL(out), &p.s, &p.w, &change);
    UNPROTECT(1);
    return out;
}

/* list(list(draws, perm), status), not yet filled; the caller PROTECTs it. */
static SEXP gibbs_result(const struct gmm *g, int kept)
{
    SEXP res = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(res, 0, Rf_allocMatrix(REALSXP, kept, gmm_gibbs_draw_size(g) * g->k));
    SET_VECTOR_ELT(res, 1, Rf_allocMatrix(INTSXP, kept, g->k));
    SEXP out = r_with_status(res);
    UNPROTECT(1);
    return out;
}

/* start: list(mu, Lambda, log_pi); label: reference clustering, 0-based; units: list(U, A,
 * centre, log_det_A); control: list(iter, warmup, thin). One chain.
 * Returns list(list(draws (kept x variables), perm (kept x k)), status). */
SEXP C_gmm_gibbs(SEXP core, SEXP start, SEXP label, SEXP units, SEXP control,
                 SEXP progress)
{
    const struct gmm g = r_mixture(core);
    R_xlen_t pk = (R_xlen_t) g.p * g.k, pp = (R_xlen_t) g.p * g.p;
    const struct sampler_control ctl = r_gibbs_sweeps(control);
    size_t k = (size_t) g.k, p = (size_t) g.p;
    const double *mu = r_finite(start, "mu", pk),
                 *Lambda = r_finite(start, "Lambda", pk * g.p);
    const double *log_pi = r_finite(start, "log_pi", g.k);
    struct gmm_gibbs c = {.label = r_labels(label, &g),
                          .centre = r_finite(units, "centre", g.p),
                          .U = r_finite(units, "U", pp),
                          .A = r_finite(units, "A", pp),
                          .log_det_A = r_finite_num(units, "log_det_A")};
    SEXP hear = r_progress(progress);
    SEXP out = PROTECT(gibbs_result(&g, sampler_kept(&ctl))), res = VECTOR_ELT(out, 0);
    c.draws = REAL(VECTOR_ELT(res, 0));
    c.perm = INTEGER(VECTOR_ELT(res, 1));
    struct gmm_gibbs_work w;
    R_ARENA (a) {
        c.mu = arena_doubles(&a, p * k);
        c.Lambda = arena_doubles(&a, p * p * k);
        c.R = arena_doubles(&a, p * p * k);
        c.log_pi = arena_doubles(&a, k);
        c.offset = arena_doubles(&a, k);
        w = gmm_gibbs_work_carve(&g, &a);
    }
    memcpy(c.mu, mu, sizeof(double) * p * k);
    memcpy(c.Lambda, Lambda, sizeof(double) * p * p * k);
    memcpy(c.log_pi, log_pi, sizeof(double) * k);
    struct gmm_gibbs_chain x = {&g, &c, &w, sampler_kept(&ctl)};
    const struct sampler sampler = gmm_gibbs_sampler(&x);
    r_gibbs_run(out, &sampler, &ctl, hear);
    UNPROTECT(1);
    return out;
}
