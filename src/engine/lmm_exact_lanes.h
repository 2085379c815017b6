/* lmm_exact_lanes.h: what an evaluation of lmm_exact.h spends its time on, for four psi at once (see
 * lanes.h), of models whose effects are all in the leaves.
 *
 * In units of tau_e, with Delta = Lambda / tau_e of a leaf's effects and T = blockdiag(T_b / tau_e, Delta
 * ...), the bordered matrix
 *
 *     [ G + T  g ]
 *     [ g'     0 ],    g = h - G theta_0 - T (theta_0 - mu),
 *
 * is reduced leaf by leaf and then column by column: the pivots' logarithms add up to log |G + T|, and what is
 * left in the corner is -g'(G + T)^-1 g. */
#ifndef MEANFIELD_LMM_EXACT_LANES_H
#define MEANFIELD_LMM_EXACT_LANES_H

#include "model/lmm.h"

enum { LMM_EXACT_LANES_MAX_R = 3 };

struct lmm_exact_lanes {
    const double *free_grad,
        *free_u;             /* h - G theta_0 at the stored fit; its effects        */
    const double *zero_grad; /* h - G theta_0 without the effects                   */
    const double *pull;      /* p: T_b (beta_0 - mu)                                */
    double *delta; /* vech(r) x 4: Delta                                              */
    double
        *over_tau; /* 4: 1 / tau_e                                                    */
    double
        *is_free;  /* 4: theta_0 is the stored fit, else that without effects (1 or 0) */
    double *S, *w; /* 4 vech(p + 1); 4 r (p + 1)                                      */
};

/* Is it for this model, here? */
bool lmm_exact_lanes_serve(const struct lmm *m);

struct lmm_exact_lanes lmm_exact_lanes_carve(const struct lmm *m, struct arena *a);

/* logdet (4) <- log |G + T|, NaN where it is nearly singular or worse; gain (4) <- g'(G + T)^-1 g. From all
 * but S and w. Cost: that of an arrow factorisation, about, for the four of them. */
void lmm_exact_lanes_reduce(const struct lmm *m, struct lmm_exact_lanes *x,
                            double *logdet, double *gain);

#endif
