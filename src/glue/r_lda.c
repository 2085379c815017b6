/* r_lda.c: glue of latent Dirichlet allocation. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include "topics/lda_gibbs.h"
#include "topics/lda_lr.h"
#include "topics/lda_vb.h"
#include "glue/r_gibbs.h"

/* core: list(k, n_words, alpha, eta, ptr, word, count), see lda_core() in R. */
static struct lda r_topics(SEXP core)
{
    struct lda g = {.k = r_int(core, "k", 1, LDA_MAX_K),
                    .n_words = r_int(core, "n_words", 1, INT_MAX / LDA_MAX_K)};
    SEXP ptr = r_elt(core, "ptr");
    g.n_docs = (int) Rf_xlength(ptr) - 1;
    if (g.n_docs < 1 || g.n_docs > INT_MAX / LDA_MAX_K) r_bad("ptr");
    g.ptr = r_as_ints(ptr, "ptr", -1);
    if (g.ptr[0] != 0) r_bad("ptr");
    for (int d = 0; d < g.n_docs; d++)
        if (g.ptr[d + 1] < g.ptr[d]) r_bad("ptr");
    int cells = g.ptr[g.n_docs];
    g.word = r_ints(core, "word", cells);
    r_in_range(g.word, cells, 0, g.n_words - 1, "word");
    g.count = r_finite(core, "count", cells);
    for (int i = 0; i < cells; i++)
        if (!(g.count[i] > 0)) r_bad("count");
    g.alpha = r_num(core, "alpha", 1e-10, 1e10);
    g.eta = r_num(core, "eta", 1e-10, 1e10);
    return g;
}

static struct lda_inner r_inner(SEXP control)
{
    return (struct lda_inner){.tol = r_num(control, "inner_tol", 0, DBL_MAX),
                              .max = r_int(control, "inner_max", 1, 100000)};
}

/* Positive, of a length. */
static const double *r_positive(SEXP x, const char *name, R_xlen_t n)
{
    const double *v = r_as_finite(x, name, n);
    for (R_xlen_t i = 0; i < n; i++)
        if (!(v[i] > 0)) r_bad(name);
    return v;
}

enum { LAMBDA, GAMMA, TRACE, ELBO, N_FIELDS };

static SEXP fit_result(const struct lda *g, int rows)
{
    const struct r_field f[N_FIELDS] = {
        [LAMBDA] = {"lambda", (size_t) g->k, (size_t) g->n_words},
        [GAMMA] = {"gamma", (size_t) g->k, (size_t) g->n_docs},
        [TRACE] = {"trace", (size_t) rows, R_VECTOR},
        [ELBO] = {"elbo", 1, R_VECTOR}};
    return r_list(f, N_FIELDS);
}

static void set_start(SEXP lambda, SEXP gamma, const struct lda *g, struct lda_fit *q)
{
    size_t k = (size_t) g->k, proportions = k * (size_t) g->n_docs;
    memcpy(q->lambda, r_positive(lambda, "lambda", (R_xlen_t) lda_topic_size(g)),
           sizeof(double) * lda_topic_size(g));
    if (gamma != R_NilValue)
        memcpy(q->gamma, r_positive(gamma, "gamma", (R_xlen_t) proportions),
               sizeof(double) * proportions);
    for (int d = 0; gamma == R_NilValue && d < g->n_docs; d++)
        lda_even(g, d, q->gamma + k * (size_t) d);
}

static struct lda_fit view(SEXP res)
{
    return (struct lda_fit){.lambda = r_out(res, LAMBDA),
                            .gamma = r_out(res, GAMMA),
                            .trace = r_out(res, TRACE)};
}

static struct lda_fit_work fit_work(const struct lda *g)
{
    struct lda_fit_work w;
    R_ARENA (a) {
        w = lda_vb_work_carve(g, &a);
    }
    return w;
}

/* lambda: K x V; gamma: K x D or NULL (even); control: list(tol, max_iter, fresh, inner_tol,
 * inner_max).
 * Returns list(list(lambda, gamma, trace, elbo), status). */
SEXP C_lda_fit(SEXP core, SEXP lambda, SEXP gamma, SEXP control)
{
    const struct lda g = r_topics(core);
    const struct lda_control ctl = {.tol = r_num(control, "tol", 0, DBL_MAX),
                                    .max_iter = r_int(control, "max_iter", 1, 10000000),
                                    .fresh = r_flag(control, "fresh"),
                                    .inner = r_inner(control)};
    SEXP out = PROTECT(r_with_status(fit_result(&g, ctl.max_iter))),
         res = VECTOR_ELT(out, 0);
    struct lda_fit q = view(res);
    set_start(lambda, gamma, &g, &q);
    struct lda_fit_work w = fit_work(&g);
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    enum core_status st = lda_vb_run(&g, &ctl, &q, &w, &h, &info);
    *r_out(res, ELBO) = q.elbo;
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}

/* control: list(steps, batch, replacement, delay, forget, seed, inner_tol, inner_max). */
SEXP C_lda_stochastic(SEXP core, SEXP lambda, SEXP control)
{
    const struct lda g = r_topics(core);
    const struct lda_steps ctl = {.steps = r_int(control, "steps", 1, INT_MAX),
                                  .batch = r_int(control, "batch", 1, g.n_docs),
                                  .replacement = r_flag(control, "replacement"),
                                  .delay = r_num(control, "delay", 0, 1e9),
                                  .forget = r_num(control, "forget", 0, 10),
                                  .seed = (uint64_t) r_num(control, "seed", 0, 1e15),
                                  .inner = r_inner(control)};
    SEXP out = PROTECT(r_with_status(fit_result(&g, ctl.steps))),
         res = VECTOR_ELT(out, 0);
    struct lda_fit q = view(res);
    set_start(lambda, R_NilValue, &g, &q);
    struct lda_fit_work w;
    int *order;
    R_ARENA (a) {
        w = lda_vb_work_carve(&g, &a);
        order = arena_ints(&a, (size_t) g.n_docs);
    }
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    enum core_status st = lda_vb_stochastic(&g, &ctl, &q, order, &w, &h, &info);
    *r_out(res, ELBO) = q.elbo;
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}

/* lambda of a start, K x V. */
SEXP C_lda_start(SEXP core, SEXP seed)
{
    const struct lda g = r_topics(core);
    uint64_t from = (uint64_t) r_as_num(seed, "seed", 0, 9007199254740992.0);
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, g.k, g.n_words));
    lda_start(&g, from, REAL(out));
    UNPROTECT(1);
    return out;
}

/* Documents under given topics. log_topic: K x V; gamma: a start, or NULL (even); control:
 * list(inner_tol, inner_max, variance). Returns list(gamma (K x D), bound (D), var (K x D), failed
 * (D)): var by linear response, empty unless it is asked for. */
SEXP C_lda_documents(SEXP core, SEXP log_topic, SEXP gamma, SEXP control)
{
    const struct lda g = r_topics(core);
    const struct lda_inner inner = r_inner(control);
    bool variance = r_flag(control, "variance");
    size_t k = (size_t) g.k, n = (size_t) g.n_docs, size = lda_topic_size(&g);
    const double *logs = r_as_finite(log_topic, "log_topic", (R_xlen_t) size);
    const double *from =
        gamma == R_NilValue ? NULL : r_positive(gamma, "gamma", (R_xlen_t) (k * n));
    const struct r_field f[] = {{"gamma", k, n},
                                {"bound", n, R_VECTOR},
                                {"var", variance ? k : 0, variance ? n : 0},
                                {"failed", variance ? n : 0, R_VECTOR}};
    SEXP out = PROTECT(r_list(f, 4));
    struct lda_topics t;
    struct lda_work w;
    struct lda_lr_work lr;
    R_ARENA (a) {
        t = lda_topics_carve(&g, &a);
        w = lda_work_carve(&g, &a);
        lr = lda_lr_work_carve(&g, &a);
    }
    memcpy(t.log, logs, sizeof(double) * size);
    lda_weights(&g, &t);
    for (int d = 0; d < g.n_docs; d++) {
        double *own = r_out(out, 0) + k * (size_t) d;
        if (d % 256 == 0) R_CheckUserInterrupt();
        if (from)
            memcpy(own, from + k * (size_t) d, sizeof(double) * k);
        else
            lda_even(&g, d, own);
        r_out(out, 1)[d] = lda_document(&g, d, &t, inner, own, NULL, &w);
        if (variance)
            r_out(out, 3)[d] =
                !lda_lr_document(&g, d, &t, own, r_out(out, 2) + k * (size_t) d, &lr);
    }
    UNPROTECT(1);
    return out;
}

/* Whole numbers below 2^31 in all. */
static size_t r_all_words(const struct lda *g)
{
    double words = 0;
    for (int i = 0; i < g->ptr[g->n_docs]; i++) {
        if (g->count[i] != floor(g->count[i])) r_bad("count");
        words += g->count[i];
    }
    if (words > INT_MAX) r_bad("count");
    return (size_t) words;
}

/* One chain. label: of each cell, 0-based; phi: K x cells, or NULL; control: list(iter, warmup, thin).
 * Returns list(list(draws (kept x numbers), log_joint, perm (kept x K)), status). */
SEXP C_lda_gibbs(SEXP core, SEXP label, SEXP phi, SEXP control, SEXP progress)
{
    const struct lda g = r_topics(core);
    int cells = g.ptr[g.n_docs];
    size_t words = r_all_words(&g);
    const struct sampler_control ctl = r_gibbs_sweeps(control);
    struct lda_gibbs c = {.label = r_as_ints(label, "label", cells),
                          .kept = sampler_kept(&ctl)};
    r_in_range(c.label, cells, 0, g.k - 1, "label");
    if (phi != R_NilValue) c.phi = r_positive(phi, "phi", (R_xlen_t) g.k * cells);
    SEXP hear = r_progress(progress);
    SEXP res = PROTECT(Rf_allocVector(VECSXP, 3));
    SET_VECTOR_ELT(res, 0, Rf_allocMatrix(REALSXP, c.kept, (int) lda_gibbs_size(&g)));
    SET_VECTOR_ELT(res, 1, Rf_allocVector(REALSXP, c.kept));
    SET_VECTOR_ELT(res, 2, Rf_allocMatrix(INTSXP, c.kept, g.k));
    SEXP out = PROTECT(r_with_status(res));
    c.draws = REAL(VECTOR_ELT(res, 0));
    c.log_joint = REAL(VECTOR_ELT(res, 1));
    c.perm = INTEGER(VECTOR_ELT(res, 2));
    struct lda_gibbs_work w;
    R_ARENA (a) {
        w = lda_gibbs_work_carve(&g, words, &a);
    }
    struct lda_gibbs_chain x = {&g, &c, &w};
    const struct sampler sampler = lda_gibbs_sampler(&x);
    r_gibbs_run(out, &sampler, &ctl, hear);
    UNPROTECT(2);
    return out;
}
