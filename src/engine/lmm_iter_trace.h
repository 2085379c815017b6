/* lmm_iter_trace.h: traces of S° and of its squares from fixed probes.
 *
 * For a big factor f and z of independent signs on its levels, one solve x = S° (0, z, 0) gives
 *
 *     z'x_f        with mean tr S°_ff,
 *     |x_g|^2      with mean tr(S°_gf S°_fg), for every big g.
 *
 * The signs come from a generator of their own: the same data, the same answer, and the caller's
 * stream untouched. The constant of f is solved exactly and projected out of z. As control variate
 * serves S° to second order, D^-1 + D^-1 O D^-1 O D^-1 (D, O diagonal and off-diagonal of P_uu), whose
 * traces are sums over the tables; it is taken where the variance over the probes is smaller with it.
 * The same variance says how accurate the estimates are. */
#ifndef MEANFIELD_LMM_ITER_TRACE_H
#define MEANFIELD_LMM_ITER_TRACE_H

#include "engine/lmm_iter_cg.h"

enum { LMM_ITER_PROBES = 64 /* at most */ };

struct lmm_iter_trace {
    const struct lmm_iter *x;
    int probes;
    double *raw,
        *cv; /* per factor, column (0: the constant) and quantity (q, h_0, h_1, ...) */
    double *exact;    /* of the expansion: per factor and quantity                    */
    double *est, *se; /* estimates and their standard errors: the same                 */
    double *w_l, *o_l, *w_R,
        *o_R; /* n x 16: columns over D, and O times these           */
};

struct lmm_iter_trace lmm_iter_trace_carve(const struct lmm_iter *x, struct arena *a);

/* Column c of (l, R), rows of ld <- the constant of factor f (probe 0), its probe 1, 2, ... or, with
 * f = -1, a probe on all of them. */
void lmm_iter_trace_fill(const struct lmm_iter *x, int f, int probe, int c, int ld,
                         double *l, double *R);

/* w_l, w_R <- D^-1 (l, R); o_l, o_R <- O w. */
void lmm_iter_trace_expand(const struct lmm_iter_op *o, int ld, const double *l,
                           const double *R, struct lmm_iter_trace *w);

/* Column c, which holds this probe: its control variates, once expanded; its
 * quantities, from the solution in s (residuals in s->r). */
void lmm_iter_trace_before(const struct lmm_iter_op *o, int f, int probe, int c, int ld,
                           struct lmm_iter_trace *w);
void lmm_iter_trace_after(const struct lmm_iter_op *o, int f, int probe, int c, int ld,
                          const struct lmm_iter_cg *s, struct lmm_iter_trace *w);

/* est and se, once all probes are in. */
void lmm_iter_trace_close(const struct lmm_iter_op *o, struct lmm_iter_trace *w);

/* tr(S°_fg S°_gf) from the probes of both sides, the better one counting more. */
double lmm_iter_trace_pair(const struct lmm_iter_trace *w, int f, int g);

/* tr S°_ff is quantity 0, tr(S°_gf S°_fg) quantity 1 + g. */
static inline double *lmm_iter_trace_at(const struct lmm_iter_trace *w, double *A, int f,
                                        int i)
{
    return A + f * (w->x->n_big + 1) + i;
}

#endif
