/* lmm_iter_var.h: variances of linear combinations at fixed precisions, without S.
 *
 *     c'S c = c_u'S° c_u + d'S_ee d,      d = c_e - W'c_u;
 *     S°    = D^-1 - D^-1 O D^-1 + A S° A',      A = D^-1 O,
 *
 * D and O the diagonal and the rest of P_uu. All is exact but the last term, which is small where a
 * level has many rows: it is known from probes z on all levels at once, E (c'A z)(c'A S° z), those of
 * the constants of the factors exactly. */
#ifndef MEANFIELD_LMM_ITER_VAR_H
#define MEANFIELD_LMM_ITER_VAR_H

#include "arrow/arrow_cov.h"
#include "engine/lmm_iter_cov.h"
#include "engine/lmm_iter_trace.h"

struct lmm_iter_var {
    struct lmm_iter_trace trace;
    double *guess; /* n_R x 16                                                         */
    double *d;     /* n_e                                                              */
    double *sum, *square; /* of what a row's probes say, and of its squares (rows)     */
};

struct lmm_iter_var lmm_iter_var_carve(const struct lmm_iter *x, int rows,
                                       struct arena *a);

/* out (rows) <- the variances, v from lmm_iter_cov_at() or a fit; rows with ptr, idx, val. error: root
 * mean square over the rows of the relative standard errors of the SDs. False: conjugate gradients did
 * not converge. */
bool lmm_iter_var_rows(struct lmm_iter_cov *v, const struct arrow_rows *rows, double *out,
                       double *error, struct lmm_iter_var *w);

#endif
