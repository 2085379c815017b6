/* joint.h: the joint log density of all unknowns of a mixed model, (theta, precisions), and its
 * gradient: what a sampler that knows nothing of the model takes.
 *
 *     x = (theta, psi):  psi as in lmm_exact.h; log p(y, theta, psi), with the Jacobian dt / dpsi
 *
 * normalised, so that its integral is the evidence (under a flat prior on beta: relative to Lebesgue
 * measure in the working coordinates, as everywhere).
 *
 * Where a group SD is small its effects are pinched. So those of a term may stand in x in the units of
 * their own conditional distribution, about what the rows say of each level alone, level by level:
 *
 *     u = P^-1 b + F^-T e,   P = W + Lambda = F F',   W: precision of the rows, W^-1 b their estimate
 *
 * With strong rows that is u itself but for a constant; with weak ones u in units of its prior.
 *
 * Cost: O(rows (p + sum r)), or of the Gaussian model O(size of its arrow Gram), free of the rows. */
#ifndef MEANFIELD_JOINT_H
#define MEANFIELD_JOINT_H

#include "model/glmm.h"

/* W: r x r of every level, b: r of every level; NULL: the effects stand as they are. */
struct joint_scale {
    const double *W, *b;
};

struct joint {
    const struct glmm
        *g; /* no rows (n = 0): the Gaussian model of g->lmm, by its Gram    */
    const struct lmm_centre
        *centre; /* of that                                           */
    const struct joint_scale
        *scale; /* n_prec                                            */
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

/* Once g, centre and scale are set. */
void joint_prepare(struct joint *j);

/* log p(y, x), -inf where there is none; g (joint_dim()) <- its gradient, or NULL. */
double joint_log_density(struct joint *j, const double *x, double *g);

/* theta (dim) and t (n_stat) of x; and x in place of (theta, psi). false: no density there. */
bool joint_theta(const struct joint *j, const double *x, double *theta, double *t);
bool joint_whiten(const struct joint *j, double *x);

#endif
