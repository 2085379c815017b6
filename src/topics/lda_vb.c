/* lda_vb.c: see lda_vb.h. */
#include <math.h>
#include <string.h>
#include "base/seeded.h"
#include "topics/lda_vb.h"

/* Documents between two questions of the hook. */
enum { PATIENCE = 512 };

struct lda_fit_work lda_vb_work_carve(const struct lda *g, struct arena *a)
{
    struct lda_fit_work w;
    w.t = lda_topics_carve(g, a);
    w.w = lda_work_carve(g, a);
    w.S = arena_doubles(a, lda_topic_size(g));
    return w;
}

static double *gamma_of(const struct lda *g, struct lda_fit *q, int d)
{
    return q->gamma + (size_t) g->k * (size_t) d;
}

/* S and the documents' part of the bound. False: the hook said stop. */
static bool every_document(const struct lda *g, const struct lda_control *ctl,
                           struct lda_fit *q, struct lda_fit_work *w,
                           const struct core_hooks *h, double *bound)
{
    memset(w->S, 0, sizeof(double) * lda_topic_size(g));
    *bound = 0;
    for (int d = 0; d < g->n_docs; d++) {
        if (d % PATIENCE == 0 && core_stop(h, q->sweeps)) return false;
        if (ctl->fresh) lda_even(g, d, gamma_of(g, q, d));
        *bound += lda_document(g, d, &w->t, ctl->inner, gamma_of(g, q, d), w->S, &w->w);
    }
    return true;
}

/* lambda <- (1 - rate) lambda + rate (eta + scale S). */
static void move_topics(const struct lda *g, double rate, double scale, const double *S,
                        double *lambda)
{
    size_t size = lda_topic_size(g);
    for (size_t i = 0; i < size; i++)
        lambda[i] = (1 - rate) * lambda[i] + rate * (g->eta + scale * S[i]);
}

enum core_status lda_vb_run(const struct lda *g, const struct lda_control *ctl,
                            struct lda_fit *q, struct lda_fit_work *w,
                            const struct core_hooks *h, struct core_info *info)
{
    info->block = -1;
    for (q->sweeps = 0;;) {
        double before = q->elbo, documents;
        double topics = lda_topics_of(g, q->lambda, &w->t);
        if (!every_document(g, ctl, q, w, h, &documents)) return CORE_INTERRUPTED;
        q->elbo = topics + documents;
        if (!isfinite(q->elbo)) return CORE_NONFINITE;
        q->trace[q->sweeps++] = q->elbo;
        info->iter = q->sweeps;
        if (!ctl->fresh && q->sweeps > 1 && q->elbo - before <= ctl->tol * fabs(q->elbo))
            return CORE_OK;
        if (q->sweeps == ctl->max_iter) return CORE_MAXIT;
        move_topics(g, 1, 1, w->S, q->lambda);
    }
}

/* ---- some documents a step ------------------------------------------------------------- */

static int below(int n, uint64_t *state)
{
    int i = (int) (seeded_uniform(state) * n);
    return i < n ? i : n - 1;
}

/* The next document: in a random order, shuffled anew when it is through. */
static int next_document(const struct lda *g, const struct lda_steps *ctl, int *order,
                         int *at, uint64_t *state)
{
    if (ctl->replacement) return below(g->n_docs, state);
    if (*at == g->n_docs) *at = 0;
    int i = *at, j = i + below(g->n_docs - i, state), d = order[j];
    order[j] = order[i];
    order[i] = d;
    *at = i + 1;
    return d;
}

enum core_status lda_vb_stochastic(const struct lda *g, const struct lda_steps *ctl,
                                   struct lda_fit *q, int *order, struct lda_fit_work *w,
                                   const struct core_hooks *h, struct core_info *info)
{
    uint64_t state = ctl->seed;
    int at = 0;
    double scale = (double) g->n_docs / ctl->batch;
    info->block = -1;
    for (int d = 0; d < g->n_docs; d++) order[d] = d;
    for (int step = 0; step < ctl->steps; step++) {
        if (core_stop(h, step)) return CORE_INTERRUPTED;
        double topics = lda_topics_of(g, q->lambda, &w->t), documents = 0;
        memset(w->S, 0, sizeof(double) * lda_topic_size(g));
        for (int i = 0; i < ctl->batch; i++) {
            int d = next_document(g, ctl, order, &at, &state);
            double *gamma = gamma_of(g, q, d);
            lda_even(g, d, gamma);
            documents += lda_document(g, d, &w->t, ctl->inner, gamma, w->S, &w->w);
        }
        q->trace[step] = q->elbo = topics + scale * documents;
        if (!isfinite(q->elbo)) return CORE_NONFINITE;
        move_topics(g, pow(step + 1 + ctl->delay, -ctl->forget), scale, w->S, q->lambda);
        info->iter = q->sweeps = step + 1;
    }
    return CORE_OK;
}
