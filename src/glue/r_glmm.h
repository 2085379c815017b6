/* r_glmm.h: the generalised model from R's engine_core(), its rows sorted for the core. */
#ifndef MEANFIELD_R_GLMM_H
#define MEANFIELD_R_GLMM_H

#include "model/glmm.h"
#include "glue/r_util.h"

/* Views of the priors, and copies of the rows in R_alloc memory, checked against each other. */
struct glmm r_glmm(SEXP core);

#endif
