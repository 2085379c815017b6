/* conditional_of.h: the conditional fit of a model, whichever it is. */
#ifndef MEANFIELD_CONDITIONAL_OF_H
#define MEANFIELD_CONDITIONAL_OF_H

#include "model/glmm.h"
#include "engine/conditional.h"

/* Of a model without rows (g->n == 0) the exact one of the Gaussian family, from the Gram in g->lmm and
 * the stored fit c; of one with rows the nested one, which takes of c the coefficients only and asks h
 * whether to go on. All of it in the arena; the arguments must outlive it. */
struct conditional conditional_of(const struct glmm *g, const struct lmm_centre *c,
                                  const struct core_hooks *h, struct arena *a);

#endif
