/* lmm_iter_error.h: what the probes leave uncertain of a fit.
 *
 * A standard error of T_f moves the means of the log precisions through the fixed point's own
 * response, t_f = df / (R + ... + T_f) and E||y - C theta||^2 with -tau_f T_f / tau_e in it; one of
 * H_fg = 2 C_fg their SDs, dSigma = Sigma dC Sigma. */
#ifndef MEANFIELD_LMM_ITER_ERROR_H
#define MEANFIELD_LMM_ITER_ERROR_H

#include "engine/lmm_iter_vb.h"

/* w->error <- of the log precisions, in posterior SDs; w->sd_error <- of their SDs, relative. s: with
 * its linear response. work: 2 q. */
void lmm_iter_error(struct lmm_iter_vb *w, const struct vb_state *s, double *work);

/* The number of probes that these errors ask for: no more than there are, or some power of two times
 * those. */
int lmm_iter_error_probes(const struct lmm_iter_vb *w, const struct lmm_iter_control *aim);

#endif
