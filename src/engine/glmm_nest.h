/* glmm_nest.h: the nested variational posterior: the conditional fit that nest.h integrates.
 *
 *     f(phi) = ELBO(t) + correction(t) + log p(Lambda) + log |d Lambda / d phi|
 *
 * What the Gaussian approximation of theta | t lacks is put back in closed form or by quadrature:
 *
 *     one factor     c3 + sum over levels of (gap - c3 of the level on its own), with
 *                    gap = log int p(y_k, u | beta = m_b, t) du - its Gaussian bound,
 *                    c3  = sum_ij g_i g_j K_ij^3 / 12,  g_i = E f'''(eta_i) = 2 f_mv
 *     several        the gaps of all levels of all factors, each with the other effects averaged
 *                    over q: f(mu + z'(u - m), v - z'W z), W = the level's conditional covariance,
 *                    + (c3 - sum of the c3 of the levels on their own, at their W) gap / c3 of
 *                    the levels where that is below one
 *
 * by 15, 7 x 7 or 5 x 5 x 5 Gauss-Hermite nodes for one, two or three coefficients. Given t, theta
 * has the linear-response covariance, and E[beta_j | t] is shifted by the derivative of the
 * correction under the tilt exp(s beta_j): a difference along the response to it. */
#ifndef MEANFIELD_GLMM_NEST_H
#define MEANFIELD_GLMM_NEST_H

#include "engine/glmm_vb.h"
#include "engine/lmm_exact.h"

/* Leaves that share levels of other factors, directly or through others, form a cluster: rows of
 * different clusters are independent given the coefficients. */
struct glmm_clusters {
    int n;
    int *root, *owner;      /* while they are found: per leaf and per global column */
    int *leaf_start, *leaf; /* leaves by cluster                                    */
    int *col_start, *col;   /* global columns but those of the coefficients         */
    double *h, *Sc;         /* n_global: a row's covariances                        */
    double *beta;           /* p x n: Cov(beta, eta), whitened                      */
};

struct glmm_nest {
    const struct glmm *g;
    const struct core_hooks *h;
    bool corrected, shifted;
    struct glmm_state s;
    struct glmm_work w;
    double *t, *prior_const;
    double *S_global, *d_inv, *q, *s_leaf, *leaf_work; /* response given t             */
    struct arrow_shape dense; /* the model's, with a dense global block: of F         */
    struct arrow F;           /* factor of the response's inverse                     */
    double *keep_m, *keep_w; /* (m, w) while they are moved                  */
    double *cols_m, *cols_w; /* dim x p and n x p: responses to tilts of beta */
    double *tensor;          /* of c3                                        */
    size_t *level_start[GLMM_MAX_FACTORS]; /* of the other factors: rows by level       */
    int *level_rows[GLMM_MAX_FACTORS];
    struct glmm_clusters clusters;   /* with several factors                           */
    bool with_pairs;                 /* is their c3 worth its cost                     */
    double correction, c3, c3_local; /* at the last phi                              */
    double *log;                     /* corrections at the nodes of a mixture, or NULL */
    int logged;
    bool started;
    struct core_info info;
};

struct glmm_nest glmm_nest_carve(const struct glmm *g, struct arena *a);
void glmm_nest_prepare(struct glmm_nest *x);

/* f(phi); -INFINITY where there is no fit. */
double glmm_nest_log_density(void *nest, const double *phi);

/* For lmm_exact_mixture(). origin: dim. */
struct conditional glmm_nest_conditional(struct glmm_nest *x, const double *origin);

/* The correction at the current state. */
double glmm_correction(struct glmm_nest *x);

#endif
