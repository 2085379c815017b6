/* lbfgs.h: uphill to a mode, by limited memory BFGS [Nocedal & Wright 2006, sections 7.2 and 3.1].
 *
 * From z the search goes along p = H g, g the gradient and H the inverse curvature that the last
 * LBFGS_MEMORY steps s and their changes of gradient y tell of. The step a is found by bisection
 * (weak Wolfe conditions), which needs no more than values and slopes:
 *     lp(z + a p) >= lp(z) + 1e-4 a g'p        g(z + a p)'p <= .9 g'p
 * A point where the log density is -inf or the gradient is not finite counts as too far.
 *
 * It stops where neither the last step has gained tol nor the next one promises to (g'H g < 2 tol):
 * log densities have no unit, so this is the same in every scale of z. Cost per point O(d). */
#ifndef MEANFIELD_LBFGS_H
#define MEANFIELD_LBFGS_H

#include "blackbox/asker.h"

enum { LBFGS_MEMORY = 6, LBFGS_TRIES = 60 };

enum lbfgs_end {
    LBFGS_RUNNING,
    LBFGS_CONVERGED,
    LBFGS_NO_START, /* no log density or gradient at the start                       */
    LBFGS_STUCK,    /* no step uphill gains anything, though the gradient says so    */
    LBFGS_DIVERGED, /* |z| grows without bound, and the log density with it          */
    LBFGS_MAXIT
};

struct lbfgs_control {
    int max_iter;
    double tol;
};

struct lbfgs {
    struct asker ask;
    struct lbfgs_control ctl;
    enum lbfgs_end end;
    /* the path: column j of z and g, lp[j], j = 0, ..., n_path - 1 <= max_iter */
    int n_path;
    double *z, *g, *lp;
    /* memory: pair k of s and y, and 1 / s'y; a ring, the newest at `newest` */
    int pairs, newest;
    double *s, *y, *r;
    /* search from the last point of the path: along p, slope g'p, step in (low, high) */
    double *p, slope, step, low, high;
    int tries, idle; /* points tried; steps in a row that gained nothing          */
    double *trial;   /* the point asked for                                       */
    double *low_z, *low_g, low_lp; /* the best of those that went not far enough   */
    double *scale; /* LBFGS_MEMORY numbers of the two loops                     */
};

struct lbfgs lbfgs_carve(int d, const struct lbfgs_control *ctl, struct arena *a);

/* x->z holds the start in its first column. */
void lbfgs_start(struct lbfgs *x);

#endif
