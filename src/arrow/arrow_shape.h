/* arrow_shape.h: how an arrow matrix is stored (see arrow.h). */
#ifndef MEANFIELD_ARROW_SHAPE_H
#define MEANFIELD_ARROW_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

struct arrow_shape {
    int n_global, n_leaf, r;
    const int *ptr; /* start of each leaf's column list (size n_leaf + 1)     */
    const int *idx; /* 0-based global columns, increasing within a leaf       */
    bool full;      /* every leaf lists all global columns: BLAS-3 applies    */
    /* A sparse global block (elimination.h): columns in the order of their elimination, the
     * columns that each touches then (increasing), and those of the dense core (increasing). */
    int n_elim; /* 0: dense                                                   */
    const int *elim, *eptr, *eidx;
    int n_core;
    const int *core;
    const int *place; /* of each column: its turn in elim, or -1 - its turn in core */
    bool packed;      /* global blocks hold their pattern only, see arrow_shape_at()    */
};

struct arrow {
    double *global; /* n_global x n_global, lower triangle; or packed         */
    double *leaf;   /* n_leaf pieces of r x r                                 */
    double *cross;  /* n_leaf pieces of k_i x r, piece i at r * ptr[i]        */
    double *
        core; /* of a factor or inverse with a sparse global block: n_core (n_core + 1) */
    double *elim; /* as well: eptr[n_elim] + n_elim                         */
};

/* Scratch of arrow_inverse_push(). */
struct arrow_push_work {
    double *M, *T;  /* the global block's size; T of the core's with a sparse one */
    double *Y, *dq; /* cross-shaped                                                   */
    double
        *dq_global; /* eptr[n_elim]                                                   */
};

/* A packed global block: the core (n_core x n_core), what the lists of the eliminated columns hold,
 * one after the other, and these columns' diagonal. */
static inline size_t arrow_shape_lists(const struct arrow_shape *s)
{
    return (size_t) s->n_core * (size_t) s->n_core;
}
static inline size_t arrow_shape_diagonal(const struct arrow_shape *s)
{
    return arrow_shape_lists(s) + (size_t) s->eptr[s->n_elim];
}

/* The block of the first columns that are never eliminated (the fixed effects) starts a global block,
 * with this leading dimension. */
static inline int arrow_shape_ld(const struct arrow_shape *s)
{
    return s->packed ? s->n_core : s->n_global;
}

/* Where element (i, j) of the pattern stands in a global block; packed, (j, i) stands there as well,
 * but for both triangles of the core. */
size_t arrow_shape_packed_at(const struct arrow_shape *s, int i, int j);
static inline size_t arrow_shape_at(const struct arrow_shape *s, int i, int j)
{
    if (s->packed) return arrow_shape_packed_at(s, i, j);
    return (size_t) i + (size_t) j * (size_t) s->n_global;
}
/* Where of a matrix the lower triangle is kept. */
static inline size_t arrow_shape_low(const struct arrow_shape *s, int i, int j)
{
    return i > j ? arrow_shape_at(s, i, j) : arrow_shape_at(s, j, i);
}

/* A (lower triangle) += x y' + y x' over the k columns of an increasing list. */
void arrow_shape_add_pair(const struct arrow_shape *s, double *A, int k, const int *list,
                          const double *x, const double *y);

#endif
