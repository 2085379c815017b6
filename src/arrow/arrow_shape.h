/* arrow_shape.h: how an arrow matrix is stored (see arrow.h). */
#ifndef MEANFIELD_ARROW_SHAPE_H
#define MEANFIELD_ARROW_SHAPE_H

#include <stdbool.h>

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
};

struct arrow {
    double *global; /* n_global x n_global, lower triangle                    */
    double *leaf;   /* n_leaf pieces of r x r                                 */
    double *cross;  /* n_leaf pieces of k_i x r, piece i at r * ptr[i]        */
    double *
        core; /* of a factor or inverse with a sparse global block: n_core (n_core + 1) */
    double *elim; /* as well: eptr[n_elim] + n_elim                         */
};

/* Scratch of arrow_inverse_push(). */
struct arrow_push_work {
    double *M, *T;  /* n_global^2 each; T of the core's size with a sparse global block */
    double *Y, *dq; /* cross-shaped                                                   */
    double
        *dq_global; /* eptr[n_elim]                                                   */
};

#endif
