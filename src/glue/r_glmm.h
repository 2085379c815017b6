/* r_glmm.h: the generalised model from R's engine_core(). */
#ifndef MEANFIELD_R_GLMM_H
#define MEANFIELD_R_GLMM_H

#include "model/glmm.h"
#include "glue/r_util.h"

/* Views of the priors and of the rows, which glmm_rows() in R has sorted, checked against each other. */
struct glmm r_glmm(SEXP core);

#endif
