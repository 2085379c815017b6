/* la.h: small dense linear algebra. Matrices are column-major; symmetric ones use and
 * return the lower triangle unless said otherwise. Sizes 1 and 2 are written out, because
 * leaf blocks are mostly that small; a few more go without BLAS, whose calls cost more than they do. */
#ifndef MEANFIELD_LA_H
#define MEANFIELD_LA_H

#include <stddef.h>

/* A pivot below this fraction of its diagonal is rounding noise: the matrix is singular to
 * working precision. 64 eps leaves room for the n^3 rounding of moderate blocks. */
#define LA_PIVOT_TOL (64 * 2.220446049250313e-16)

/* A = L L', A (n x n, ld n) overwritten by L (lower). Returns 0, or k > 0 when the leading
 * minor of order k is not positive definite to working precision. Cost n^3 / 3. */
int la_chol(int n, double *A);

/* b <- L^-1 b  and  b <- L^-T b, b of length n. Cost n^2. */
void la_solve_l(int n, const double *L, double *b);
void la_solve_lt(int n, const double *L, double *b);

/* B <- B L^-T, B (k x n, ld k). Cost k n^2. */
void la_right_solve_lt(int k, int n, const double *L, double *B);

/* B <- B L^-1, B (k x n, ld k). Cost k n^2. */
void la_right_solve_l(int k, int n, const double *L, double *B);

/* log |L L'| = 2 sum log L_ii. */
double la_logdet(int n, const double *L);

/* inv <- (L L')^-1, both triangles filled. inv may be L itself. Cost 2 n^3 / 3. */
void la_inverse(int n, const double *L, double *inv);

/* Copy the lower triangle of A onto the upper one. */
void la_fill_upper(int n, double *A);

/* C <- A B for full n x n matrices; C must not be A or B. Cost 2 n^3. */
void la_matmul(int n, const double *A, const double *B, double *C);

/* y <- A x, A full n x n. */
void la_matvec(int n, const double *A, const double *x, double *y);

/* tr(A B) = sum_ij A_ij B_ji for full symmetric A and B. */
double la_trace_product(int n, const double *A, const double *B);

double la_dot(size_t n, const double *x, const double *y);

#endif
