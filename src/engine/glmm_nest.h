/* glmm_nest.h: the nested variational posterior: the conditional fit that nest.h integrates.
 *
 *     f(psi) = ELBO(t) + correction(t) + log p(Lambda) + log |d Lambda / d psi|,
 *
 * with the correction of glmm_correction.h. Given t, theta has the linear-response covariance, and
 * E[beta_j | t] is shifted by the derivative of the correction under the tilt exp(s beta_j): a
 * difference along the response to it.
 *
 * A fit starts from those near psi (fit_store.h). The shift, and what the coefficients' exact
 * covariance has beyond glmm_response_factor()'s, cost a response or two for each coefficient and are
 * smooth in psi: where fits near by lead to them they are not taken again (moments of a lattice's
 * nodes, or of an emulator's fits: 3.5e-4 SD and .08% of an SD off at most, on six data sets). */
#ifndef MEANFIELD_GLMM_NEST_H
#define MEANFIELD_GLMM_NEST_H

#include "engine/conditional.h"
#include "engine/fit_store.h"
#include "engine/glmm_correction.h"

struct glmm_nest {
    const struct glmm *g;
    const struct core_hooks *h;
    bool corrected, shifted;
    struct glmm_state s;
    struct glmm_work w;
    double *t, *prior_const;
    double *S_global, *leaf_work; /* scratch                                      */
    struct arrow F;               /* factor of the response's inverse, given t    */
    double *keep_m, *keep_w;      /* (m, w) while they are moved                  */
    double *cols_m, *cols_w;      /* dim x p and n x p: responses to tilts of beta */
    struct glmm_correction correct;
    double correction, prior; /* at the last psi                                    */
    double *lm, *lv;       /* n each, where the likelihood has a parameter of its own */
    double *psi;           /* n_stat: of the fit at hand                            */
    struct fit_store fits; /* (m, log w) so far, that the next ones start from     */
    struct fit_store beta; /* p shifts and p x p ratios so far, see moments         */
    double *sum, *beta_now;
    struct core_info info;
};

struct glmm_nest glmm_nest_carve(const struct glmm *g, struct arena *a);
void glmm_nest_prepare(struct glmm_nest *x);

/* f(psi); -INFINITY where there is no fit. */
double glmm_nest_log_density(void *nest, const double *psi);

/* All of it in the arena; g, origin (dim) and h, which ends a fit that takes too long, must outlive
 * it. */
struct conditional glmm_nest_conditional(const struct glmm *g, const double *origin,
                                         const struct core_hooks *h, struct arena *a);

#endif
