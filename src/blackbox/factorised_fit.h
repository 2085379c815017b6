/* factorised_fit.h: the best factorised Gaussian, by Newton's method with conjugate gradients in a
 * trust region (factorised.h has the equations).
 *
 * A Newton step is solved to a residual of min(.1, sqrt(|slope|)) of the slope: each product costs 2n
 * points. A step that does not bring a tenth of a thousandth of what was promised is shortened, not
 * solved for again. Stops when no element of the slope (SDs, logs of SDs) is above tol. */
#ifndef MEANFIELD_FACTORISED_FIT_H
#define MEANFIELD_FACTORISED_FIT_H

#include "blackbox/asker.h"
#include "blackbox/factorised.h"

enum factorised_outcome {
    FACTORISED_GOING,
    FACTORISED_CONVERGED,
    FACTORISED_STALLED, /* no shorter step makes F less                                  */
    FACTORISED_RUNAWAY, /* some SD has grown a million times: F has no minimum           */
    FACTORISED_NOWHERE /* the density is zero at points about the start, however near   */
};

enum factorised_wait { FACTORISED_START, FACTORISED_PRODUCT, FACTORISED_TRIAL };

struct factorised_fit {
    struct factorised f;
    int max_iter;
    double tol;
    double F,
        criterion; /* at x: F, largest element of the slope                        */
    int iter, products;
    enum factorised_outcome outcome;
    /* internal */
    enum factorised_wait wait;
    struct factorised_cg cg;
    double *slope, *trial, *Fp, *omega0; /* 2d, 2d, 2d, d                               */
    double radius, promise;
    int tries, inner;
};

/* f.d, f.n, f.E, max_iter and tol are there. */
void factorised_fit_carve(struct factorised_fit *c, struct arena *a);

/* From x = (m, omega), 2d; where the density is zero at one of the points, the SDs are halved. */
struct asker factorised_fit_asker(struct factorised_fit *c, const double *x);

#endif
