/* gva.h: the Gaussian q = N(m, L L') nearest to a log density, by Stein's identities.
 *
 * Over n fixed points e_i with mean e = 0 and mean e e' = I, z_i = m + L e_i, whitened scores
 * s_i = L' grad lp(z_i):
 *     gbar = mean s_i      A_ab = A_ba = - mean s_ia e_ib, a >= b
 * are the expected gradient and curvature in whitened coordinates [Bonnet, Price]; of the two
 * estimates of A_ab this is the derivative of the bound  mean lp_i + sum log L_jj  over these very
 * points, of which gbar = 0, A = I is therefore the optimum. A natural gradient step of length
 * rho is
 *     W = (1 - rho) I + rho A,    m += rho L W^-1 gbar,    L L' <- L W^-1 L',
 * W's eigenvalues kept within a factor GVA_CLIP of one, above for L only, and the mean's step
 * within 2 sqrt(d) standard deviations. rho is halved until the bound rises, and where a
 * step went too far; else it grows again.
 * Where max(|gbar_j|, |eigenvalues of A - 1|) is below tol, one more step is taken: near the
 * optimum it wins more digits than tol has.
 *
 * Exact on a Gaussian density, from any start. Cost per step: n points, O(n d^2 + d^3). */
#ifndef MEANFIELD_GVA_H
#define MEANFIELD_GVA_H

#include "blackbox/asker.h"

#define GVA_CLIP 10.0
enum { GVA_HALVINGS = 12, GVA_SHRINKS = 40, GVA_TRACE = 3 };

enum gva_end {
    GVA_RUNNING,
    GVA_CONVERGED,
    GVA_NO_START, /* points without density however small L                          */
    GVA_STUCK,    /* no step improves anything                                       */
    GVA_DIVERGED, /* a variance grows without bound                                  */
    GVA_MAXIT
};

struct gva_control {
    int max_iter;
    double tol;
};

/* q at the points, and what they say of it. */
struct gva_state {
    double *m, *L;      /* d; d x d lower                                            */
    double *lp, *g;     /* n; d x n                                                  */
    double *gbar;       /* d                                                         */
    double *V, *lambda; /* A = V diag(lambda) V'                                     */
    double bound, criterion;
};

struct gva {
    struct asker ask;
    struct gva_control ctl;
    enum gva_end end;
    int n, iter, tries; /* points; steps taken; halvings of this one, or of L       */
    bool started, last; /* has the start a density? is this the step after tol?     */
    double rho;
    const double *E; /* d x n                                                    */
    struct gva_state now, next;
    double *scale; /* of each coordinate at the start                          */
    double *z, *S, *B, *work;
    int lwork;
    double *trace; /* GVA_TRACE x max_iter: bound, criterion, rho              */
};

/* LAPACK's workspace for dimension d. */
int gva_lwork(int d);
struct gva gva_carve(int d, int n, const struct gva_control *ctl, struct arena *a);

/* x->now.m and x->now.L hold the start, x->E the points. */
void gva_start(struct gva *x);

#endif
