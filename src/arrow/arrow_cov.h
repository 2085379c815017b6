/* arrow_cov.h: a covariance in arrow form, as arrow_inverse() leaves it (arrow.h):
 *
 *     S_gg,   S_lg = Q S_gg,   S_ll = blockdiag(D^-1) + Q S_gg Q'.
 *
 * With a = x_g + Q'x_l all that is wanted of it is dense algebra on n_global:
 *
 *     S x = (S_gg a, Q S_gg a + D^-1 x_l),   x'S x = a'S_gg a + x_l'D^-1 x_l.
 *
 * S_gg is dense, or packed: then the eliminated columns (schur.h) stand to the core as the leaves do
 * to the global block, S_jN = q'S_NN and S_jj = d + q'S_Nj, and the core is all that is dense. */
#ifndef MEANFIELD_ARROW_COV_H
#define MEANFIELD_ARROW_COV_H

#include "arrow/arrow.h"

struct arrow_cov {
    const double *global; /* S_gg, n_global^2, full; or packed                         */
    const double *elim;   /* of a packed one: q over the lists, then d                 */
    const double *d_inv;  /* n_leaf r x r: D^-1                                        */
    const double *q;      /* cross-shaped: piece i is Q_i'                             */
};

/* Linear combinations c'theta: row i has global coefficients column i of `global` (n_global x n), or
 * where that is NULL val at the columns idx, ptr[i] .. ptr[i + 1] (0-based, increasing), and z, column i
 * of `z` (r x n), on the effects of leaf[i], 0-based, or nowhere (-1). */
struct arrow_rows {
    int n;
    const double *global, *z;
    const int *leaf, *ptr, *idx;
    const double *val;
};

/* a (n_global) <- row i's global coefficients. */
void arrow_cov_row(const struct arrow_rows *rows, int n_global, int i, double *a);

/* y <- S x. a: n_global doubles of scratch. */
void arrow_cov_mul(const struct arrow_shape *s, const struct arrow_cov *S,
                   const double *x, double *y, double *a);

/* out (n) <- c'S c of every row. A row whose a has few nonzeros costs the square of their number,
 * the others n_global^2 in BLAS-3; with a packed global block each costs the lists that it meets. */
struct arrow_quad_work {
    double *a, *Sa; /* n_global x ARROW_QUAD_BLOCK each; packed: one column            */
    int *at,
        *turn; /* 2 n_global, n_global                                                 */
};
enum { ARROW_QUAD_BLOCK = 64 };
struct arrow_quad_work arrow_cov_quad_carve(const struct arrow_shape *s, struct arena *a);
void arrow_cov_quad(const struct arrow_shape *s, const struct arrow_cov *S,
                    const struct arrow_rows *rows, double *out,
                    struct arrow_quad_work *w);

/* out (n_global^2) += Q'D Q, lower triangle: what the leaves add to S_gg^-1 in the global block of S^-1.
 * Not packed. false: some D^-1 is not positive definite. w: cross-shaped scratch, and r^2 doubles behind it. */
bool arrow_cov_leaves(const struct arrow_shape *s, const struct arrow_cov *S, double *out,
                      double *w);

/* The factors that draws take: L L' = S_gg (packed: of the core, then the roots of d), W W' = D^-1 leaf
 * by leaf. false: there are none. L: arrow_cov_root_size(). */
static inline size_t arrow_cov_root_size(const struct arrow_shape *s)
{
    if (!s->packed) return arrow_global_size(s);
    return arrow_shape_lists(s) + (size_t) s->n_elim;
}
bool arrow_cov_factor(const struct arrow_shape *s, const struct arrow_cov *S, double *L,
                      double *W);

/* x (dim) <- a draw from N(0, S) made of the normals z (dim). */
void arrow_cov_draw(const struct arrow_shape *s, const struct arrow_cov *S,
                    const double *L, const double *W, const double *z, double *x);

#endif
