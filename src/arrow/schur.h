/* schur.h: the global block of an arrow once its leaves are eliminated: the Schur complement,
 * dense or sparse (elimination.h).
 *
 * Dense: LAPACK. Sparse (nested factors): the columns of shape->elim are eliminated one at a time,
 * each a leaf of size one that touches only its own list of columns still to come, fill included;
 * what remains, the core, is dense. With w the column below the pivot L^2,
 *
 *     F: w / L over the list, and L;     S: q = -w / L^2 over the list, and d = 1 / L^2
 *
 * stand in arrow.elim: all lists one after the other (eptr), then one number per column. Entries of
 * the global blocks off the pattern are neither read nor written, and have no place in packed ones. */
#ifndef MEANFIELD_SCHUR_H
#define MEANFIELD_SCHUR_H

#include "arrow/arrow_shape.h"

/* F->global holds the Schur complement (lower triangle), overwritten. Returns 0, or 1 + the column
 * whose pivot is not positive to working precision. */
int schur_factor(const struct arrow_shape *s, struct arrow *F);
double schur_logdet(const struct arrow_shape *s, const struct arrow *F);

/* x (n_global) <- L^-1 x and L^-T x, L L' the Schur complement in the order of elimination. */
void schur_solve_l(const struct arrow_shape *s, const struct arrow *F, double *x);
void schur_solve_lt(const struct arrow_shape *s, const struct arrow *F, double *x);

/* The inverse: all of it (both triangles), or what the pattern needs, with S->elim. */
void schur_inverse(const struct arrow_shape *s, const struct arrow *F, double *S);
void schur_selected(const struct arrow_shape *s, const struct arrow *F, struct arrow *S);

/* dS (both triangles, pattern) <- -S M S; M: lower triangle, overwritten. */
void schur_push(const struct arrow_shape *s, const struct arrow *S, double *M, double *dS,
                struct arrow_push_work *w);

#endif
