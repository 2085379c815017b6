/* conditional_of.c: see conditional_of.h. */
#include "engine/conditional_of.h"
#include "engine/glmm_nest.h"
#include "engine/lmm_exact.h"

struct conditional conditional_of(const struct glmm *g, const struct lmm_centre *c,
                                  const struct core_hooks *h, struct arena *a)
{
    return g->n ? glmm_nest_conditional(g, c->theta, h, a)
                : lmm_exact_conditional(&g->lmm, c, a);
}
