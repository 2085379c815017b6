/* gmm.h: finite mixtures of Gaussians [Giordano, Broderick & Jordan 2015, section 3.3].
 *
 *   x_n | z_n = k ~ N(mu_k, Lambda_k^-1),   z_n ~ pi,   pi ~ Dirichlet(alpha0),
 *   Lambda_k ~ Wishart(df0, rate0^-1),
 *   coupled:    mu_k | Lambda_k ~ N(m0, (k0 Lambda_k)^-1)   (normal-Wishart)
 *   uncoupled:  mu_k ~ N(m0, P0^-1)
 *   flat:       k0 = 0, P0 = 0; with rate0 = 0 and df0 = p + 1 flat in Lambda_k too.
 *
 *   q(mu_k) = N(m_k, S_k), q(Lambda_k) = Wishart with mean L_k, q(pi) = Dirichlet(alpha),
 *   q(z_n) = r_n.
 *
 * The core works on centred and whitened data; r_gmm.c hands over the way back. */
#ifndef MEANFIELD_GMM_H
#define MEANFIELD_GMM_H

#include "base/core.h"

/* Rows worked on at a time. A constant, so that loops over it become vector code. */
enum { GMM_ROWS = 128 };

/* Components, and columns: a linear-response matrix has at most 64 x 2,000 x 2,001 / 2 rows, an int. */
enum { GMM_MAX_K = 64, GMM_MAX_P = 2000 };

struct gmm {
    int n, p, k;
    const double *X;  /* n x p, whitened                                          */
    bool coupled;     /* the prior of mu_k is scaled by Lambda_k                  */
    double k0;        /* prior rows behind m0; 0 unless coupled                   */
    const double *m0; /* p                                                        */
    const double *P0; /* p x p prior precision of mu_k; 0 unless uncoupled        */
    double df0;
    const double *rate0;  /* p x p                                                    */
    const double *alpha0; /* k                                                        */
    double logdet_P0, logdet_rate0; /* of the proper ones                             */
    bool flat_mean, flat_precision;
};

static inline int gmm_vech(const struct gmm *g) { return g->p * (g->p + 1) / 2; }

/* Central sufficient statistics of each component. */
struct gmm_stats {
    double *N;    /* k: sum of the responsibilities                                   */
    double *mean; /* p x k: weighted means of the rows                                */
    double *ss;   /* p x p x k, full: weighted sums of squares about them             */
};

/* The factors other than q(z), and what E and M step need of them. */
struct gmm_factors {
    double *m;           /* p x k                                                    */
    double *df;          /* k                                                        */
    double *L;           /* p x p x k: E Lambda_k                                    */
    double *Linv;        /* p x p x k                                                */
    double *R;           /* p x p x k: L_k = R R', lower                             */
    double *S;           /* p x p x k: covariance of q(mu_k)                         */
    double *c;           /* k: k0 + N_k, so that S_k^-1 = c_k L_k + P0               */
    double *mean_logdet; /* k: E log |Lambda_k|                                      */
    double *logdet_mean; /* k: log |L_k|                                             */
    double *logdet_S;    /* k                                                        */
    double *trace_LS;    /* k: tr(L_k S_k)                                           */
    double *alpha;       /* k                                                        */
    double *mean_log_pi; /* k                                                        */
    double *offset;      /* k: E log pi_k + E log|Lambda_k| / 2 - tr(L_k S_k) / 2    */
};

struct gmm_work {
    double *panel; /* GMM_ROWS x (p + 1), also p x p scratch                          */
    double *cols;  /* GMM_ROWS x p                                                    */
    double *logit; /* GMM_ROWS x k                                                    */
    double *gram;  /* (p + 1) x (p + 1) x k                                           */
};

struct gmm_stats gmm_stats_carve(const struct gmm *g, struct arena *a);
struct gmm_factors gmm_factors_carve(const struct gmm *g, struct arena *a);
struct gmm_work gmm_work_carve(const struct gmm *g, struct arena *a);
size_t gmm_stats_size(const struct gmm *g); /* doubles in all of gmm_stats             */

/* G (T x T, lower triangle) += sum_i a_i a_i' for `rows` rows a_i of length T, stored one
 * after the other; rows is a multiple of 8 (pad with zeros). Cost rows T^2. */
void gmm_gram_add(int T, int rows, const double *panel, double *G);

/* logit (GMM_ROWS x k) of rows first, ..., first + rows - 1:
 *     offset_k - (x_n - m_k)' R R' (x_n - m_k) / 2. */
void gmm_logits(const struct gmm *g, int first, int rows, const double *m,
                const double *R, const double *offset, struct gmm_work *w);

/* One pass over the rows: r_nk proportional to exp(logit_nk), and its statistics.
 * In: m, R, offset. Out: r (n x k), s; *change: largest change of an r from what it was;
 * returns sum_n log sum_k exp(logit_nk). Cost n k p^2. */
double gmm_pass(const struct gmm *g, const double *m, const double *R,
                const double *offset, double *r, struct gmm_stats *s, struct gmm_work *w,
                double *change);

/* (about, Gram of the rows (1, x - about)) -> statistics of component k. */
void gmm_stats_from_gram(const struct gmm *g, int k, const double *about,
                         const double *gram, struct gmm_stats *s);

/* The factors at their joint optimum given q(z). Uncoupled priors iterate q(mu), q(Lambda).
 * False with info->block = k when component k has no proper factor: its rows do not
 * determine a covariance and the prior does not help. Cost k p^3. */
bool gmm_update(const struct gmm *g, const struct gmm_stats *s, struct gmm_factors *f,
                struct gmm_work *w, struct core_info *info);

/* The evidence lower bound at q(z) = E step of f, from what gmm_pass() returned there.
 * Terms of improper priors are left out. */
double gmm_elbo(const struct gmm *g, const struct gmm_factors *f, double log_sum);

/* Statistics of a hard clustering: label in 0, ..., k - 1. */
void gmm_label_stats(const struct gmm *g, const int *label, struct gmm_stats *s,
                     struct gmm_work *w);

#endif
