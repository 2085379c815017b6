/* lmm_prior.h: the prior density of a precision, its auxiliaries integrated out. */
#ifndef MEANFIELD_LMM_PRIOR_H
#define MEANFIELD_LMM_PRIOR_H

#include "model/lmm.h"

/* log p(Lambda_k) = constant + the kernel at Lambda (vech t) and its log-determinant. */
double lmm_prior_constant(const struct lmm *m, int k);
double lmm_prior_log_density(const struct lmm *m, int k, double constant, const double *t,
                             double logdet);

#endif
