/* factorised_response.h: products with and solutions of the curvature at the best factorised
 * Gaussian, from which linear response is made: Cov(m) = [(F'')^-1]_mm  (factorised.h).
 *
 * A column at a time: 2n points for a product, 2n for each iteration of conjugate gradients. All in
 * the scale D, which is the preconditioner: D b in, D^-1 F''^-1 b out. */
#ifndef MEANFIELD_FACTORISED_RESPONSE_H
#define MEANFIELD_FACTORISED_RESPONSE_H

#include "blackbox/asker.h"
#include "blackbox/factorised.h"

struct factorised_response {
    struct factorised f;
    int k;           /* columns                                                       */
    const double *B; /* 2d x k                                                        */
    bool solve;      /* else the product                                              */
    double tol;      /* of the residual, relative                                     */
    int max_inner;   /* iterations a column                                           */
    double *out;     /* 2d x k, zero at first; columns not reached stay so            */
    int *short_of;   /* k: 0 solved, 1 stopped at max_inner, 2 curvature not positive */
    /* internal */
    struct factorised_cg cg;
    double *Fp;
    int column, inner;
};

/* f.d, f.n, f.E, k, B, solve, tol, max_inner, out and short_of are there. */
void factorised_response_carve(struct factorised_response *c, struct arena *a);

/* At x = (m, omega), 2d. */
struct asker factorised_response_asker(struct factorised_response *c, const double *x);

#endif
