/* lda.h: latent Dirichlet allocation [Blei, Ng & Jordan 2003; Hoffman et al. 2013].
 *
 *     topic_k ~ Dirichlet(eta),  theta_d ~ Dirichlet(alpha),
 *     z_dn ~ theta_d,  w_dn ~ topic_{z_dn}
 *
 * for K topics over V words and D documents; of a document only the counts of its words matter, and
 * a cell is a word that it has. q is Dirichlet(lambda_k) of topics, Dirichlet(gamma_d) of
 * proportions, and of every cell probabilities phi_k ~ exp(E log theta_dk + E log topic_kw), which
 * are never stored: with them at their best the bound is
 *
 *     sum_cells n_dw log sum_k exp(E log theta_dk + E log topic_kw)
 *         - sum_k KL(lambda_k | eta) - sum_d KL(gamma_d | alpha).
 *
 * Matrices of topics are K x V, those of proportions K x D: what belongs to a word or document lies
 * side by side. */
#ifndef MEANFIELD_LDA_H
#define MEANFIELD_LDA_H

#include <stdint.h>
#include "base/core.h"

enum { LDA_MAX_K = 512 };

struct lda {
    int n_docs, n_words, k;
    double alpha, eta;
    const int *ptr; /* n_docs + 1: document d has the cells ptr[d], ..., ptr[d + 1] - 1 */
    const int
        *word; /* of each cell, 0-based                                            */
    const double
        *count; /* of each cell, above 0                                            */
};

/* What the words of documents see of topics. */
struct lda_topics {
    double *log;    /* K x V: E log topic, or the log of given topics */
    double *weight; /* K x V: its exponential                         */
};

struct lda_work {
    int padded;          /* K up to a multiple of LDA_LANES */
    double *panel;       /* padded x most: weights of the words of a document */
    double *t, *log_t;   /* padded: exp(E log theta_d), E log theta_d         */
    double *sum, *extra; /* padded                                            */
    double *phi;         /* K                                                 */
};

/* Steps inside a document: until gamma moves by less than tol (mean over topics, relative to the
 * words of the document), at most `max`. */
struct lda_inner {
    double tol;
    int max;
};

struct lda_topics lda_topics_carve(const struct lda *g, struct arena *a);
struct lda_work lda_work_carve(const struct lda *g, struct arena *a);

size_t lda_topic_size(const struct lda *g); /* K V */

/* Number of words of document d. */
double lda_words(const struct lda *g, int d);

/* topics <- those of lambda; returns -sum_k KL(lambda_k | eta). Cost K V logarithms. */
double lda_topics_of(const struct lda *g, const double *lambda, struct lda_topics *t);

/* weight <- exp(log). */
void lda_weights(const struct lda *g, struct lda_topics *t);

/* gamma (K) of document d to its best, from gamma; S (K x V, or NULL) += counts of its words by
 * topic. Returns the document's part of the bound, at that gamma. Cost per step 4 K flops a cell. */
double lda_document(const struct lda *g, int d, const struct lda_topics *t,
                    struct lda_inner inner, double *gamma, double *S, struct lda_work *w);

/* gamma (K) without knowledge: the words shared out evenly. */
void lda_even(const struct lda *g, int d, double *gamma);

/* phi (K) of a cell under log_t = E log theta; returns log sum_k exp(...). */
double lda_phi(const struct lda *g, int word, const struct lda_topics *t,
               const double *log_t, double *phi);

/* lambda <- a start, from a seed: N(1, .1^2), as if every topic had had every word about once. Vague
 * as that is, it ends higher than starts from documents or from shares of the words: by .3 to 1.5% of
 * the bound on the AssociatedPress corpus. */
void lda_start(const struct lda *g, uint64_t seed, double *lambda);

#endif
