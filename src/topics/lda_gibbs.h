/* lda_gibbs.h: collapsed Gibbs sampler of latent Dirichlet allocation [Griffiths & Steyvers 2004]:
 * topics and proportions integrated out, every word's topic drawn given all others,
 *
 *     P(z = k | rest) ~ (n_dk + alpha) (n_kw + eta) / (n_k + V eta),  counts without the word.
 *
 * Topics and proportions of a stored draw come from their Dirichlet given z, with labels matched to
 * those of a reference, as in gmm_gibbs.h. The chain itself is left alone. */
#ifndef MEANFIELD_LDA_GIBBS_H
#define MEANFIELD_LDA_GIBBS_H

#include "engine/sampler.h"
#include "topics/lda.h"

struct lda_gibbs {
    const int *label;  /* of each cell: the topic of the reference                     */
    const double *phi; /* K x cells: probabilities of a word's first topic, NULL: even */
    int kept;
    double *draws;     /* kept x (K + K V + K D): prevalence; topics, one after the
                          other; proportions, one document after the other             */
    double *log_joint; /* kept: log p(w, z)                                            */
    int *perm;         /* kept x K: topic of the chain that is stored as topic j       */
};

struct lda_gibbs_work {
    int *z;                 /* of each word                              */
    int *n_dk, *n_kw, *n_k; /* K x D, K x V, K                           */
    double *rate;           /* K: 1 / (n_k + V eta)                      */
    double *p;              /* K                                         */
    double *agree, *match;  /* K x K, 3 (K + 1)                          */
    double *point;          /* the longest of K and V                    */
};

/* A chain: model, what it stores, workspace. */
struct lda_gibbs_chain {
    const struct lda *g;
    struct lda_gibbs *c;
    struct lda_gibbs_work *w;
};

/* Numbers of a draw. */
size_t lda_gibbs_size(const struct lda *g);

/* words: all words of all documents. */
struct lda_gibbs_work lda_gibbs_work_carve(const struct lda *g, size_t words,
                                           struct arena *a);

/* For sampler_run(). */
struct sampler lda_gibbs_sampler(struct lda_gibbs_chain *x);

#endif
