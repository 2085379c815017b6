/* gmm_lr.h: linear response of the Gaussian mixture in one pass over the rows.
 *
 * Coordinates of component k, B = p + p(p+1)/2 + 3 of them:
 *     m_k,  vech L_k,  the part of E log|Lambda_k| that L_k does not determine (free),
 *     E log pi_k,  and a scalar (size) through which S_k answers to N_k.
 * S_k itself is eliminated: given everything else it is (c_k L_k + P0)^-1.
 *
 * The precision of all k B coordinates is P = P0 - A. P0 is -E'' without the rows; A comes from
 * eliminating q(z): with a_k(n) = d logit_nk and V_z = diag(r_n) - r_n r_n',
 *     A = sum_{k < l} sum_n r_nk r_nl (a_k - a_l)(a_k - a_l)',
 * a sum over pairs of components of one weighted Gram of t = (1, y, vech yy'), y = x - centre of
 * the pair, each wrapped in a_k = J_k't: positive semidefinite, with nothing to cancel.
 *
 * This is the Sigma = (V^-1 - C)^-1 of lr.h, but not by it. lr takes V and C and gives Sigma and K: two
 * Cholesky factors, two inverses and two products, 6 n^3 operations on five n x n matrices. Here V^-1 is
 * what has a closed form, P0, block by block and away from the optimum not always positive definite; a
 * Newton step wants one factor of P, n^3 / 3 on one matrix, Sigma only at the end and K never. With
 * n = k B in the thousands (k = 10, p = 20: 2,330) that is the difference. */
#ifndef MEANFIELD_GMM_LR_H
#define MEANFIELD_GMM_LR_H

#include "mixture/gmm.h"

struct gmm_lr {
    int B, T, n;   /* per component; 1 + p + p(p+1)/2; k B                         */
    double *P;     /* n x n: P, then its Cholesky factor, then Sigma               */
    double *scale; /* n: 1 / sqrt(diag P)                                          */
    double *rhs;   /* n: P0 times the residual of a Newton step                    */
    double *G;     /* T x T                                                        */
    double *panel; /* GMM_ROWS x T                                                 */
    double *half;  /* B x T                                                        */
    double *block; /* B x B                                                        */
    double *sq;    /* p x p x 3 scratch                                            */
    double *pair;  /* 3 p: a pair's centre, both means from there                  */
};

static inline int gmm_lr_size(const struct gmm *g) { return g->p + gmm_vech(g) + 3; }
enum {
    GMM_FREE = 0,
    GMM_LOG_PI = 1,
    GMM_SIZE = 2
}; /* after p + vech: the three scalars */

struct gmm_lr gmm_lr_carve(const struct gmm *g, struct arena *a);

/* Rows with r_nk r_nl below this are left out of a pair's Gram: it moves the answer by less
 * than 1e-12 of itself, and saves most of the work when components are apart. */
static const double GMM_SKIP = 1e-15;

/* w->P <- P, factored. delta (n, or NULL): residual of the fixed point; w->rhs <- P0 delta.
 * Returns 0, or the 1-based coordinate at which P is not positive definite. */
int gmm_lr_factor(const struct gmm *g, const struct gmm_stats *s,
                  const struct gmm_factors *f, const double *r, const double *delta,
                  struct gmm_lr *w);

/* delta <- P^-1 w->rhs: the Newton step; returns its squared length in posterior SDs. */
double gmm_lr_newton(const struct gmm_lr *w, double *delta);

/* w->P <- Sigma = P^-1, full. Needs gmm_lr_factor() == 0. */
void gmm_lr_invert(struct gmm_lr *w);

/* out <- P0 x. w->block is overwritten, w->P is not. */
void gmm_lr_prior_multiply(const struct gmm *g, const struct gmm_stats *s,
                           const struct gmm_factors *f, const struct gmm_lr *w,
                           const double *x, double *out);

/* Share of the variance of E log|Lambda_k| that L_k does not determine:
 * sum_i trigamma((df + 1 - i) / 2) - 2 p / df, without cancellation. */
double gmm_lr_free_variance(int p, double df);

/* Q (p x p) <- S_k - c_k S_k L_k S_k: how tr(L_k S_k) moves with L_k once S_k follows it (zero
 * unless the prior is uncoupled). work: p x p. */
void gmm_lr_size_slope(const struct gmm *g, const struct gmm_factors *f, int k, double *Q,
                       double *work);

/* Raw units, BO = p + p(p+1)/2 + 2 per component: mu_k, vech Lambda_k, log|Lambda_k|, log pi_k.
 * U, A (p x p): x = centre + U' x_w, Lambda = A Lambda_w A'. */

/* V (k BO x k BO) <- covariance of the factors themselves. */
void gmm_lr_mfvb_raw(const struct gmm *g, const struct gmm_factors *f,
                     const struct gmm_lr *w, const double *U, const double *A, double *V);

/* lrvb (k BO x k BO) <- linear-response covariance. Needs gmm_lr_invert(); work: k BO x n. */
void gmm_lr_raw(const struct gmm *g, const struct gmm_factors *f, const struct gmm_lr *w,
                const double *U, const double *A, double *lrvb, double *work);

/* out (k BO) <- the direction x (n) in raw units. */
void gmm_lr_direction_raw(const struct gmm *g, const struct gmm_factors *f,
                          const struct gmm_lr *w, const double *U, const double *A,
                          const double *x, double *out);

#endif
