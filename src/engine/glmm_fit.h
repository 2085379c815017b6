/* glmm_fit.h: the approximation of glmm_state.h at its optimum. */
#ifndef MEANFIELD_GLMM_FIT_H
#define MEANFIELD_GLMM_FIT_H

#include "engine/glmm_state.h"

/* Newton's method from (m, w) until a step is below tol posterior SDs, or what is left after one
 * is (the forecast of the next, which is then the decrement). CORE_MAXIT otherwise: the state is
 * the best found. */
enum core_status glmm_fit(const struct glmm *g, const double *t, double tol, int max_iter,
                          struct glmm_state *s, struct glmm_work *w,
                          const struct core_hooks *h, struct core_info *info);

#endif
