/* lda_gibbs.c: see lda_gibbs.h. */
#include <math.h>
#include <string.h>
#include "base/assignment.h"
#include "base/dirichlet.h"
#include "base/rand.h"
#include "topics/lda_gibbs.h"

size_t lda_gibbs_size(const struct lda *g)
{
    return (size_t) g->k * (1 + (size_t) g->n_words + (size_t) g->n_docs);
}

struct lda_gibbs_work lda_gibbs_work_carve(const struct lda *g, size_t words,
                                           struct arena *a)
{
    struct lda_gibbs_work w;
    size_t k = (size_t) g->k, longest = k > (size_t) g->n_words ? k : (size_t) g->n_words;
    w.z = arena_ints(a, words);
    w.n_dk = arena_ints(a, k * (size_t) g->n_docs);
    w.n_kw = arena_ints(a, k * (size_t) g->n_words);
    w.n_k = arena_ints(a, k);
    w.rate = arena_doubles(a, k);
    w.p = arena_doubles(a, k);
    w.agree = arena_doubles(a, k * k);
    w.match = arena_doubles(a, 3 * (k + 1));
    w.point = arena_doubles(a, longest);
    return w;
}

/* A topic with probability proportional to the differences of the increasing p. */
static int draw_topic(int k, const double *p)
{
    double u = rand_uniform() * p[k - 1];
    int j = 0;
    while (j < k - 1 && p[j] <= u) j++;
    return j;
}

static void set_rate(const struct lda *g, struct lda_gibbs_work *w, int k)
{
    w->rate[k] = 1 / (w->n_k[k] + g->n_words * g->eta);
}

/* The topic of a word of document d, given all others. */
static int redraw(const struct lda *g, int old, int *n_d, int *n_w,
                  struct lda_gibbs_work *w)
{
    double sum = 0;
    n_d[old]--;
    n_w[old]--;
    w->n_k[old]--;
    set_rate(g, w, old);
    for (int k = 0; k < g->k; k++)
        w->p[k] = sum += (n_d[k] + g->alpha) * (n_w[k] + g->eta) * w->rate[k];
    int new = draw_topic(g->k, w->p);
    n_d[new]++;
    n_w[new]++;
    w->n_k[new]++;
    set_rate(g, w, new);
    return new;
}

static enum core_status sweep(void *ctx, struct core_info *info)
{
    const struct lda_gibbs_chain *x = ctx;
    const struct lda *g = x->g;
    size_t k = (size_t) g->k, word = 0;
    (void) info;
    for (int d = 0; d < g->n_docs; d++) {
        int *n_d = x->w->n_dk + k * (size_t) d;
        for (int i = g->ptr[d]; i < g->ptr[d + 1]; i++) {
            int *n_w = x->w->n_kw + k * (size_t) g->word[i], n = (int) g->count[i];
            for (int c = 0; c < n; c++, word++)
                x->w->z[word] = redraw(g, x->w->z[word], n_d, n_w, x->w);
        }
    }
    return CORE_OK;
}

/* p <- the cumulated probabilities of the first topic of the words of a cell. */
static void first_topic(const struct lda_gibbs_chain *x, int cell)
{
    const struct lda *g = x->g;
    double sum = 0;
    for (int k = 0; k < g->k; k++)
        x->w->p[k] = sum += x->c->phi ? AT(x->c->phi, k, cell, g->k) : 1;
}

static enum core_status start(void *ctx, struct core_info *info)
{
    const struct lda_gibbs_chain *x = ctx;
    const struct lda *g = x->g;
    struct lda_gibbs_work *w = x->w;
    size_t k = (size_t) g->k, word = 0;
    (void) info;
    memset(w->n_dk, 0, sizeof(int) * k * (size_t) g->n_docs);
    memset(w->n_kw, 0, sizeof(int) * k * (size_t) g->n_words);
    memset(w->n_k, 0, sizeof(int) * k);
    for (int d = 0; d < g->n_docs; d++)
        for (int i = g->ptr[d]; i < g->ptr[d + 1]; i++) {
            first_topic(x, i);
            for (int c = 0; c < (int) g->count[i]; c++, word++) {
                int z = w->z[word] = draw_topic(g->k, w->p);
                AT(w->n_dk, z, d, g->k)++;
                AT(w->n_kw, z, g->word[i], g->k)++;
                w->n_k[z]++;
            }
        }
    for (int j = 0; j < g->k; j++) set_rate(g, w, j);
    return CORE_OK;
}

/* ---- stored draws ---------------------------------------------------------------------- */

/* agree(j, l) <- words of topic j whose topic in the reference is l. */
static void count_agreement(const struct lda_gibbs_chain *x)
{
    const struct lda *g = x->g;
    size_t word = 0;
    memset(x->w->agree, 0, sizeof(double) * (size_t) g->k * (size_t) g->k);
    for (int i = 0; i < g->ptr[g->n_docs]; i++)
        for (int c = 0; c < (int) g->count[i]; c++)
            AT(x->w->agree, x->w->z[word++], x->c->label[i], g->k) += 1;
}

/* p ~ Dirichlet(prior + n[i stride]), by logarithms: gammas of a small shape underflow. */
static void draw_dirichlet(int size, double prior, const int *n, size_t stride, double *p)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < size; i++) {
        double a = prior + n[stride * (size_t) i];
        p[i] = log(rand_gamma(a + 1, 1)) + log(rand_uniform()) / a;
        if (p[i] > top) top = p[i];
    }
    for (int i = 0; i < size; i++) sum += p[i] = exp(p[i] - top);
    for (int i = 0; i < size; i++) p[i] /= sum;
}

static double log_joint(const struct lda *g, const struct lda_gibbs_work *w)
{
    double slope, total = g->n_docs * dirichlet_constant(g->k, g->alpha) +
                          g->k * dirichlet_constant(g->n_words, g->eta);
    size_t topics = lda_topic_size(g), proportions = (size_t) g->k * (size_t) g->n_docs;
    for (size_t i = 0; i < topics; i++)
        total += dirichlet_log_gamma(w->n_kw[i] + g->eta, &slope);
    for (size_t i = 0; i < proportions; i++)
        total += dirichlet_log_gamma(w->n_dk[i] + g->alpha, &slope);
    for (int k = 0; k < g->k; k++)
        total -= dirichlet_log_gamma(w->n_k[k] + g->n_words * g->eta, &slope);
    for (int d = 0; d < g->n_docs; d++)
        total -= dirichlet_log_gamma(lda_words(g, d) + g->k * g->alpha, &slope);
    return total;
}

/* Proportions of all documents, and of all words together. */
static void keep_proportions(const struct lda_gibbs_chain *x, const int *perm,
                             double *out)
{
    const struct lda *g = x->g;
    size_t kept = (size_t) x->c->kept, k = (size_t) g->k;
    double total = 0, *theta = out + kept * k * (1 + (size_t) g->n_words);
    for (int d = 0; d < g->n_docs; d++) total += lda_words(g, d);
    for (size_t j = 0; j < k; j++) out[kept * j] = 0;
    for (int d = 0; d < g->n_docs; d++) {
        double share = lda_words(g, d) / total;
        draw_dirichlet(g->k, g->alpha, x->w->n_dk + k * (size_t) d, 1, x->w->point);
        for (size_t j = 0; j < k; j++, theta += kept) {
            *theta = x->w->point[perm[j]];
            out[kept * j] += share * *theta;
        }
    }
}

static void keep(void *ctx, int row)
{
    const struct lda_gibbs_chain *x = ctx;
    const struct lda *g = x->g;
    int perm[LDA_MAX_K];
    size_t kept = (size_t) x->c->kept, k = (size_t) g->k, v = (size_t) g->n_words;
    double *out = x->c->draws + row;
    count_agreement(x);
    assignment_match(g->k, x->w->agree, perm, x->w->match);
    keep_proportions(x, perm, out);
    for (size_t j = 0; j < k; j++) {
        double *topic = out + kept * (k + v * j);
        AT(x->c->perm, row, (int) j, kept) = perm[j];
        draw_dirichlet(g->n_words, g->eta, x->w->n_kw + perm[j], k, x->w->point);
        for (size_t i = 0; i < v; i++) topic[kept * i] = x->w->point[i];
    }
    x->c->log_joint[row] = log_joint(g, x->w);
}

struct sampler lda_gibbs_sampler(struct lda_gibbs_chain *x)
{
    return (struct sampler){x, start, sweep, keep};
}
