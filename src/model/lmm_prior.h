/* lmm_prior.h: the prior density of a precision, its auxiliaries integrated out. */
#ifndef MEANFIELD_LMM_PRIOR_H
#define MEANFIELD_LMM_PRIOR_H

#include "model/lmm.h"

/* log p(Lambda_k) = constant + the kernel at Lambda (vech t) and its log-determinant. */
double lmm_prior_constant(const struct lmm *m, int k);
double lmm_prior_log_density(const struct lmm *m, int k, double constant, const double *t,
                             double logdet);

/* g (vech) += the kernel's gradient in Lambda at a fixed log-determinant; in the log-determinant it
 * is (df0 - r - 1) / 2. */
void lmm_prior_slope(const struct lmm *m, int k, const double *t, double *g);

#endif
