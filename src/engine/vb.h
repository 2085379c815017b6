/* vb.h: mean-field variational Bayes for the Gaussian model
 *
 *     q(theta) q(tau_e) prod_j q(Lambda_j) prod q(c),     q(theta) = N(m, S) in arrow form,
 *
 * or with separate blocks, q(theta) = q(beta) prod_g q(u_g) [Giordano et al. 2015, section 3.2],
 * with Newton steps on the log(-Cholesky) scale from the linear-response matrix. */
#ifndef MEANFIELD_VB_H
#define MEANFIELD_VB_H

#include "engine/ascent.h"
#include "engine/vb_state.h"

struct vb_work vb_work_carve(const struct lmm *m, struct arena *a);

/* ascent_run() for the Gaussian model. */
enum core_status vb_run(const struct lmm *m, const struct vb_control *ctl,
                        struct vb_state *s, struct vb_work *w, const struct core_hooks *h,
                        struct core_info *info);

/* The single updates, for the tests and the other engines. */
enum core_status vb_update_theta(const struct lmm *m, struct vb_state *s,
                                 struct vb_work *w, struct core_info *info);
void vb_update_precisions(const struct lmm *m, const struct vb_state *s, double *target,
                          double *cavi);
double vb_elbo(const struct lmm *m, const struct vb_state *s, const struct vb_work *w);

/* E log p(Lambda_k | c) + E log p(c) + the entropies of their factors. */
double vb_elbo_precision(const struct lmm *m, const struct vb_state *s, int k);

/* E log |Lambda_k|, and log |E Lambda_k|. */
double vb_mean_logdet(const struct lmm *m, const struct vb_state *s, int k);
double vb_logdet_mean(const struct lmm *m, const struct vb_state *s, int k);

#endif
