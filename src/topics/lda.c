/* lda.c: see lda.h. */
#include <math.h>
#include <string.h>
#include "base/dirichlet.h"
#include "base/seeded.h"
#include "topics/lda.h"

enum { LANES = 4 };

/* Below this sum of weights a cell is done by logarithms: weights have underflowed. */
static const double TINY = 1e-250;

size_t lda_topic_size(const struct lda *g) { return (size_t) g->k * (size_t) g->n_words; }

static int most_cells(const struct lda *g)
{
    int most = 0;
    for (int d = 0; d < g->n_docs; d++)
        if (g->ptr[d + 1] - g->ptr[d] > most) most = g->ptr[d + 1] - g->ptr[d];
    return most;
}

struct lda_topics lda_topics_carve(const struct lda *g, struct arena *a)
{
    struct lda_topics t;
    t.log = arena_doubles(a, lda_topic_size(g));
    t.weight = arena_doubles(a, lda_topic_size(g));
    return t;
}

struct lda_work lda_work_carve(const struct lda *g, struct arena *a)
{
    struct lda_work w;
    w.padded = (g->k + LANES - 1) / LANES * LANES;
    size_t k = (size_t) w.padded;
    w.panel = arena_doubles(a, k * (size_t) most_cells(g));
    w.t = arena_doubles(a, k);
    w.log_t = arena_doubles(a, k);
    w.sum = arena_doubles(a, k);
    w.extra = arena_doubles(a, k);
    w.phi = arena_doubles(a, k);
    return w;
}

double lda_words(const struct lda *g, int d)
{
    double words = 0;
    for (int i = g->ptr[d]; i < g->ptr[d + 1]; i++) words += g->count[i];
    return words;
}

void lda_weights(const struct lda *g, struct lda_topics *t)
{
    size_t size = lda_topic_size(g);
    for (size_t i = 0; i < size; i++) t->weight[i] = exp(t->log[i]);
}

double lda_topics_of(const struct lda *g, const double *lambda, struct lda_topics *t)
{
    double bound = 0;
    size_t k = (size_t) g->k;
    for (size_t j = 0; j < k; j++)
        bound += dirichlet_bound(g->n_words, k, g->eta, lambda + j, t->log + j);
    lda_weights(g, t);
    return bound;
}

void lda_even(const struct lda *g, int d, double *gamma)
{
    double share = lda_words(g, d) / g->k;
    for (int k = 0; k < g->k; k++) gamma[k] = g->alpha + share;
}

double lda_phi(const struct lda *g, int word, const struct lda_topics *t,
               const double *log_t, double *phi)
{
    const double *log_topic = t->log + (size_t) g->k * (size_t) word;
    double top = -INFINITY, sum = 0;
    for (int k = 0; k < g->k; k++) {
        phi[k] = log_t[k] + log_topic[k];
        if (phi[k] > top) top = phi[k];
    }
    for (int k = 0; k < g->k; k++) sum += phi[k] = exp(phi[k] - top);
    for (int k = 0; k < g->k; k++) phi[k] /= sum;
    return top + log(sum);
}

/* ---- a document ------------------------------------------------------------------------ */

static void gather(const struct lda *g, int d, const struct lda_topics *t,
                   struct lda_work *w)
{
    size_t k = (size_t) g->k, padded = (size_t) w->padded;
    double *to = w->panel;
    for (int i = g->ptr[d]; i < g->ptr[d + 1]; i++, to += padded) {
        memcpy(to, t->weight + k * (size_t) g->word[i], sizeof(double) * k);
        for (size_t j = k; j < padded; j++) to[j] = 0;
    }
}

/* log_t, t <- those of gamma; level = psi(sum gamma). */
static void set_t(const struct lda *g, const double *gamma, double level,
                  struct lda_work *w)
{
    for (int k = 0; k < g->k; k++) {
        w->log_t[k] = dirichlet_digamma(gamma[k]) - level;
        w->t[k] = exp(w->log_t[k]);
    }
}

static double dot(int n, const double *restrict x, const double *restrict y)
{
    double s[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) s[l] += x[i + l] * y[i + l];
    return (s[0] + s[2]) + (s[1] + s[3]);
}

static void add(int n, double a, const double *restrict x, double *restrict y)
{
    for (int i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) y[i + l] += a * x[i + l];
}

/* sum <- the words of the document by topic: t o sum_cells n weight / (t'weight). */
static void share_out(const struct lda *g, int d, const struct lda_topics *t,
                      struct lda_work *w)
{
    const double *b = w->panel;
    memset(w->sum, 0, sizeof(double) * (size_t) w->padded);
    memset(w->extra, 0, sizeof(double) * (size_t) w->padded);
    for (int i = g->ptr[d]; i < g->ptr[d + 1]; i++, b += w->padded) {
        double s = dot(w->padded, w->t, b);
        if (s > TINY) {
            add(w->padded, g->count[i] / s, b, w->sum);
        } else {
            lda_phi(g, g->word[i], t, w->log_t, w->phi);
            for (int k = 0; k < g->k; k++) w->extra[k] += g->count[i] * w->phi[k];
        }
    }
    for (int k = 0; k < g->k; k++) w->sum[k] = w->t[k] * w->sum[k] + w->extra[k];
}

/* sum_cells n log(t'weight), and the counts by topic to S. */
static double last_pass(const struct lda *g, int d, const struct lda_topics *t, double *S,
                        struct lda_work *w)
{
    double total = 0;
    const double *b = w->panel;
    for (int i = g->ptr[d]; i < g->ptr[d + 1]; i++, b += w->padded) {
        double s = dot(w->padded, w->t, b), n = g->count[i];
        double *to = S ? S + (size_t) g->k * (size_t) g->word[i] : NULL;
        if (s > TINY) {
            total += n * log(s);
            for (int k = 0; to && k < g->k; k++) to[k] += n / s * w->t[k] * b[k];
        } else {
            total += n * lda_phi(g, g->word[i], t, w->log_t, w->phi);
            for (int k = 0; to && k < g->k; k++) to[k] += n * w->phi[k];
        }
    }
    return total;
}

double lda_document(const struct lda *g, int d, const struct lda_topics *t,
                    struct lda_inner inner, double *gamma, double *S, struct lda_work *w)
{
    double words = lda_words(g, d), level = dirichlet_digamma(g->k * g->alpha + words);
    gather(g, d, t, w);
    for (int k = 0; k < w->padded; k++) w->t[k] = 0;
    set_t(g, gamma, level, w);
    for (int it = 0; it < inner.max; it++) {
        double change = 0;
        share_out(g, d, t, w);
        for (int k = 0; k < g->k; k++) {
            double to = g->alpha + w->sum[k];
            change += fabs(to - gamma[k]);
            gamma[k] = to;
        }
        set_t(g, gamma, level, w);
        if (change <= inner.tol * words) break;
    }
    return last_pass(g, d, t, S, w) + dirichlet_bound(g->k, 1, g->alpha, gamma, w->log_t);
}

/* ---- starts ---------------------------------------------------------------------------- */

void lda_start(const struct lda *g, uint64_t seed, double *lambda)
{
    uint64_t state = seed;
    size_t size = lda_topic_size(g);
    for (size_t i = 0; i < size; i++) {
        double radius = sqrt(-2 * log(1 - seeded_uniform(&state)));
        double z = radius * cos(6.283185307179586 * seeded_uniform(&state));
        lambda[i] = fmax(1 + 0.1 * z, 0.1);
    }
}
