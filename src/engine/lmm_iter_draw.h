/* lmm_iter_draw.h: draws of N(0, S) without a factor of anything.
 *
 *     x_e ~ N(0, S_ee),  x_u = x° - W x_e,  x° ~ N(0, S°)
 *     x°_l = D^-1/2 z - D^-1 P_lR x°_R,     x°_R ~ N(0, A^-1), A the Schur complement of the leaf:
 *     M^-1/2 (M^-1/2 A M^-1/2)^-1/2 z by Lanczos' method, M the diagonal of A, made exact in the space
 *     of the constants. */
#ifndef MEANFIELD_LMM_ITER_DRAW_H
#define MEANFIELD_LMM_ITER_DRAW_H

#include "base/rand.h"
#include "engine/lmm_iter_cov.h"

enum { LMM_ITER_DRAWS = 4 /* at once */, LMM_ITER_STEPS = 80 /* of Lanczos at most */ };

struct lmm_iter_draw {
    double *basis;        /* (steps + 1) x n_R x 4                                      */
    double *alpha, *beta; /* 4 x steps each: the tridiagonal matrices                  */
    double *small;        /* steps^2 + 6 steps                                         */
    double *e, *root;     /* n_e x 4; n_e^2: root of S_ee                               */
};

struct lmm_iter_draw lmm_iter_draw_carve(const struct lmm_iter *x, struct arena *a);

/* theta (dim x n) <- draws; S from lmm_iter_cov_at(). False: Lanczos' method did not converge, or
 * its hooks said stop. */
bool lmm_iter_draw_run(struct lmm_iter_cov *S, const struct ziggurat *zig, int n,
                       double *theta, struct lmm_iter_draw *d);

#endif
