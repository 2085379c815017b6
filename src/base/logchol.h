/* logchol.h: unconstrained coordinates of a positive definite matrix.
 *
 * X = L L' with L_bb = exp(l_bb) and L_ab = l_ab exp(l_bb): any l gives a positive definite X, and
 * for a scalar l = log(x) / 2. Coordinates and vech X share their layout (vech.h). */
#ifndef MEANFIELD_LOGCHOL_H
#define MEANFIELD_LOGCHOL_H

#include <stdbool.h>

/* l <- coordinates of vech t; false when t is not positive definite. */
bool logchol_from_vech(int r, const double *t, double *l);

/* L (r x r, upper triangle zero) <- the Cholesky factor at l. */
void logchol_factor(int r, const double *l, double *L);

/* dt (vech) <- derivative of L L' along dl. */
void logchol_push(int r, const double *l, const double *dl, double *dt);

/* dl <- the direction whose push is dt. */
void logchol_pull(int r, const double *l, const double *dt, double *dl);

#endif
