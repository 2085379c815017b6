/* joint.h: the joint log density of all unknowns of a mixed model, (theta, precisions), and its
 * gradient: what a sampler that knows nothing of the model takes.
 *
 *     x = (theta, psi):  psi as in lmm_exact.h; log p(y, theta, psi), with the Jacobian dt / dpsi
 *
 * normalised, so that its integral is the evidence (under a flat prior on beta: relative to Lebesgue
 * measure in the working coordinates, as everywhere).
 *
 * The effects of a term stand in x as they are, or, where its groups say little about each, in
 * units of their own distribution: u = B e with B B' = Lambda^-1 (scale_free_root()), where a
 * small SD does not pinch them.
 *
 * Cost: O(rows (p + sum r)), or of the Gaussian model O(size of its arrow Gram), free of the rows. */
#ifndef MEANFIELD_JOINT_H
#define MEANFIELD_JOINT_H

#include "model/glmm.h"

struct joint {
    const struct glmm
        *g; /* no rows (n = 0): the Gaussian model of g->lmm, by its Gram    */
    const struct lmm_centre
        *centre; /* of that                                           */
    const int
        *standard; /* n_prec: 1, the effects of precision k are in units of their own  */
    double *theta, *slope, *dev,
        *Gdev; /* dim each: theta, gradient in it; theta - centre  */
    double *t, *dt,
        *dpsi; /* n_stat each: precisions, gradients in them and in psi         */
    double *
        prior_const; /* n_prec                                                          */
    double *eta, *score,
        *zero;    /* n each                                                  */
    double *more; /* 2 n: of the extra parameter                        */
};

static inline size_t joint_dim(const struct glmm *g)
{
    return arrow_dim(&g->lmm.shape) + (size_t) g->lmm.n_stat;
}

struct joint joint_carve(const struct glmm *g, struct arena *a);

/* Once g, centre and standard are set. */
void joint_prepare(struct joint *j);

/* log p(y, x), -inf where there is none; g (joint_dim()) <- its gradient, or NULL. */
double joint_log_density(struct joint *j, const double *x, double *g);

/* theta (dim) and t (n_stat) of x; and back, x of theta (psi stands in x already). */
void joint_theta(const struct joint *j, const double *x, double *theta, double *t);
void joint_standardise(const struct joint *j, const double *theta, double *x);

#endif
