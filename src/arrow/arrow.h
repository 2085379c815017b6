/* arrow.h: symmetric positive definite matrices in arrow form.
 *
 *         [ P_gg   P_gl ]     g: global block (fixed effects and the other factors), dense, or sparse
 *     P = [             ]
 *         [ P_lg   P_ll ]     l: n_leaf blocks of r x r, block diagonal (the leaf factor)
 *
 * The cross block is sparse: leaf i touches only the global columns idx[ptr[i] .. ptr[i+1]),
 * in increasing order, and stores them as a dense k_i x r piece (rows global, columns leaf).
 * Vectors are laid out (global, leaf 0, leaf 1, ...).
 *
 * Eliminating the leaves costs O(sum_i k_i^2 r); what is left is dense LAPACK on n_global.
 * The inverse needs no n x n storage either:
 *
 *     S_ll = blockdiag(D_i^-1) + Q S_gg Q',   Q_i = -D_i^-1 P_{i,g},   S_gl = S_gg Q'. */
#ifndef MEANFIELD_ARROW_H
#define MEANFIELD_ARROW_H

#include "base/core.h"
#include "arrow/arrow_shape.h"

static inline size_t arrow_dim(const struct arrow_shape *s)
{
    return (size_t) s->n_global + (size_t) s->n_leaf * (size_t) s->r;
}
static inline size_t arrow_leaf_size(const struct arrow_shape *s)
{
    return (size_t) s->n_leaf * (size_t) s->r * (size_t) s->r;
}
static inline size_t arrow_cross_size(const struct arrow_shape *s)
{
    return s->n_leaf ? (size_t) s->ptr[s->n_leaf] * (size_t) s->r : 0;
}
static inline size_t arrow_global_size(const struct arrow_shape *s)
{
    if (s->packed) return arrow_shape_diagonal(s) + (size_t) s->n_elim;
    return (size_t) s->n_global * (size_t) s->n_global;
}

struct arrow arrow_carve(const struct arrow_shape *s, struct arena *a);

/* Zeros, and a copy, of the lower triangle of a global block: on its pattern, of a sparse one that is
 * not packed. */
void arrow_clear_global(const struct arrow_shape *s, double *A);
void arrow_copy_global(const struct arrow_shape *s, const double *A, double *out);

/* Out: F with P = F F' in the order leaves first: F.leaf = chol(D_i), F.cross = P_gi L_i^-T,
 * F.global = chol of the Schur complement. P is not changed and must not be F. */
enum core_status arrow_factor(const struct arrow_shape *s, const struct arrow *P,
                              struct arrow *F, struct core_info *info);

/* log |P| from its factor. */
double arrow_logdet(const struct arrow_shape *s, const struct arrow *F);

/* x <- F^-1 x: half of a solve; F^-T (F^-1 b + z) is a draw from N(P^-1 b, P^-1). */
void arrow_forwardsolve(const struct arrow_shape *s, const struct arrow *F, double *x);

/* x <- P^-1 x. Cost O(sum k_i r + n_global^2). */
void arrow_solve(const struct arrow_shape *s, const struct arrow *F, double *x);

/* x <- F^-T x: turns standard normals into a draw with covariance P^-1. */
void arrow_backsolve(const struct arrow_shape *s, const struct arrow *F, double *x);

/* x <- centre + F^-T x: out of the coordinates in which N(centre, P^-1) is standard normal. */
void arrow_unwhiten(const struct arrow_shape *s, const struct arrow *F,
                    const double *centre, double *x);

/* y <- P x for a P stored in arrow form (lower triangle of the global block is enough). */
void arrow_mul(const struct arrow_shape *s, const struct arrow *P, const double *x,
               double *y);

/* out += alpha sum_i V_i V_i' with V_i the cross-shaped pieces (k_i x r); lower triangle. */
void arrow_outer(const struct arrow_shape *s, const double *cross, double alpha,
                 double *out);

/* out (full) <- out + sum_i v_ia v_ib', v_ia column a of the cross-shaped piece i. */
void arrow_outer_rows(const struct arrow_shape *s, const double *cross, int a, int b,
                      double *out);

/* The inverse of P from its factor: the global block in full (not packed).
 * Out: S_global (full square), d_inv (n_leaf r x r: D_i^-1), q (cross-shaped: Q_i'),
 *      s_leaf (n_leaf r x r: diagonal blocks of S_ll). scratch: n_global * r doubles. */
void arrow_inverse(const struct arrow_shape *s, const struct arrow *F, double *S_global,
                   double *d_inv, double *q, double *s_leaf, double *scratch);

/* As arrow_inverse() into S's global block and leaves, but of a sparse global block only what lies on
 * the pattern, with S->elim for arrow_inverse_push(). The only inverse of a packed one. */
void arrow_pattern_inverse(const struct arrow_shape *s, const struct arrow *F,
                           struct arrow *S, double *d_inv, double *q, double *scratch);

/* The selected inverse: that and arrow_inverse_cross(). */
void arrow_selected_inverse(const struct arrow_shape *s, const struct arrow *F,
                            struct arrow *S, double *d_inv, double *q, double *scratch);

/* s_leaf <- blockdiag(D_i^-1) + Q S_gg Q', for an S_gg other than P's. */
void arrow_spread_leaf(const struct arrow_shape *s, const double *S_global,
                       const double *d_inv, const double *q, double *s_leaf,
                       double *scratch);

/* cross_i <- S_gl = S_gg Q_i' over leaf i's column list: the rest of the selected inverse. */
void arrow_inverse_cross(const struct arrow_shape *s, const double *S_global,
                         const double *q, double *cross);

struct arrow_push_work arrow_push_carve(const struct arrow_shape *s, struct arena *a);

/* dS <- -S dP S on the arrow pattern: the derivative of the selected inverse S (global block and
 * leaves full, cross pieces from arrow_inverse_cross()) along dP (lower triangles):
 *     dS_gg = -S_gg M S_gg,  M = sum over leaves of [I; Q]' dP [I; Q]
 *     dQ'   = -(dB + Q' dD) D^-1
 *     dS_gl = dS_gg Q' + S_gg dQ',   dS_ll = -D^-1 dD D^-1 + Q dS_gl + dQ S_gl.
 * Cost: 3 n_global^3 flops and O(sum k_i^2 r); with a sparse global block O(sum of the squared
 * lengths of its lists), and only what the pattern holds is filled. */
void arrow_inverse_push(const struct arrow_shape *s, const struct arrow *S,
                        const double *q, const double *d_inv, const struct arrow *dP,
                        struct arrow *dS, struct arrow_push_work *w);

#endif
