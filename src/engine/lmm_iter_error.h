/* lmm_iter_error.h: what the probes leave uncertain of a fit.
 *
 * A standard error of T_f moves the means of the log precisions through the fixed point's own
 * response, t_f = df / (R + ... + T_f) and E||y - C theta||^2 with -tau_f T_f / tau_e in it; one of
 * H_fg = 2 C_fg their SDs, dSigma = Sigma dC Sigma. */
#ifndef MEANFIELD_LMM_ITER_ERROR_H
#define MEANFIELD_LMM_ITER_ERROR_H

#include "engine/lmm_iter_trace.h"
#include "engine/vb_state.h"

/* What the fit may spend, and what is aimed at. */
struct lmm_iter_control {
    int probes, most;   /* to begin with; at most LMM_ITER_PROBES                      */
    double aim, sd_aim; /* of the largest of either error                              */
};

struct lmm_iter_error {
    double *mean; /* of the log precisions, in posterior SDs (n_stat)                  */
    double *sd;   /* of their SDs, relative (n_stat)                                   */
    double *work; /* 2 q                                                               */
};

struct lmm_iter_error lmm_iter_error_carve(const struct lmm *m, struct arena *a);

/* s: with its linear response. */
void lmm_iter_error_at(const struct lmm_iter_trace *w, const struct vb_state *s,
                       struct lmm_iter_error *e);

/* The number of probes that these errors ask for: as many as there are, or those some times doubled. */
int lmm_iter_error_probes(const struct lmm_iter_trace *w, const struct lmm_iter_error *e,
                          const struct lmm_iter_control *aim);

#endif
