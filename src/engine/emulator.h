/* emulator.h: the log likelihood of the variance parameters from a few conditional fits with gradients.
 *
 *     log p(y | psi) = trend + Gaussian process    in x of emulator_coord.h, from values and gradients,
 *     correction     = linear + Gaussian process   from values,
 *
 * both in the metric z = L_x^-1 (x - x_best), L_x L_x' the posterior covariance of x as far as it is known
 * (before that: of the fits). The prior and the Jacobian are added exactly: the density costs microseconds. */
#ifndef MEANFIELD_EMULATOR_H
#define MEANFIELD_EMULATOR_H

#include "engine/emulator_coord.h"
#include "engine/emulator_gp.h"
#include "engine/target.h"

/* Conditional fits at the columns of psi. */
struct emulator_fits {
    int n;
    const double *psi, *slope;          /* d x n: slope in the statistics              */
    const double *log_lik, *correction; /* n; correction NULL: there is none         */
};

struct emulator {
    struct emulator_coord c;
    struct emulator_fits fits;
    int d, p;
    const double *Lx;      /* d x d, lower; NULL: from the fits                 */
    double *x, *q, *g, *Q; /* at the fits: d x n, d x n, d x n, d x d x n       */
    double *z, *y, *H;     /* d x n, m, m x p                                   */
    double *metric;        /* d x d: L_x                                        */
    double *x0;            /* d                                                 */
    double far; /* what is further than it from the box of the fits' z has no density */
    double *low, *high; /* d: that box                                       */
    double top;         /* the largest log likelihood, which y is relative to */
    int best;           /* the fit of the highest density                    */
    double *v_best;     /* d: where, in the lattice's coordinates            */
    struct emulator_gp gp;
    struct emulator_values values;
    double *shift;     /* 1 + d + n: coefficients of the correction         */
    double *h, *basis; /* p; 1 + d + n                                      */
};

struct emulator emulator_carve(const struct emulator_coord *c,
                               const struct emulator_fits *fits, struct arena *a);

/* Everything from c, fits, Lx and far. False: K has no factor at a fit, or no process fits. */
bool emulator_prepare(struct emulator *e);

/* psi, x, z, h (p) of v; returns log |d psi / d v|, NaN where there are no coordinates. */
double emulator_place(struct emulator *e, const double *v, double *psi, double *x,
                      double *z, double *h);

/* The same of the n columns of v (d x n), as many columns each; h[i] NULL: not wanted. In lanes where they
 * serve. */
void emulator_places(struct emulator *e, int n, const double *v, double *psi, double *x,
                     double *z, double *const *h);

/* The correction at z. */
double emulator_shift(struct emulator *e, const double *z);

/* log p(y, psi) + log |d psi / d v| at v, less e->top. */
double emulator_log_density(void *emulator, const double *v);

/* f (n) <- the same at the columns of v (d x n), in lanes where they serve. */
void emulator_log_densities(void *emulator, int n, const double *v, double *f);

static inline struct target emulator_target(struct emulator *e)
{
    return (struct target){e->d, emulator_log_density, e, emulator_log_densities};
}

#endif
