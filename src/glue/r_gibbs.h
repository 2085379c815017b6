/* r_gibbs.h: what both samplers take and return. */
#ifndef MEANFIELD_R_GIBBS_H
#define MEANFIELD_R_GIBBS_H

#include "engine/gibbs.h"
#include "glue/r_util.h"

/* Fields of the result; mover is c(acceptance, step) of the sampler of generalised models. */
enum {
    GIBBS_DRAWS,
    GIBBS_U_DRAWS,
    GIBBS_U_MEAN,
    GIBBS_U_M2,
    GIBBS_LAST,
    GIBBS_THETA,
    GIBBS_MOVER,
    GIBBS_FIELDS
};

struct gibbs_control r_gibbs_control(SEXP control);

/* list(result, status), all zero; the caller PROTECTs it. */
SEXP r_gibbs_new(const struct lmm *m, const struct gibbs_control *ctl, bool save_u);

/* Views of its result, t from `start`. */
struct gibbs_state r_gibbs_view(SEXP out, const double *start, int n_par, bool save_u);

#endif
