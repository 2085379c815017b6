/* transform.h: from R^d to the parameters that a user names, and back.
 *
 * Parameters x = (x_1, ..., x_B), each a block of numbers with one constraint; y the unconstrained
 * coordinates of a block, g(y) = 1 / (1 + e^-y), K the length of a simplex, the rows of a matrix
 * (indices from 1, matrices by columns and in full).
 *
 *   constraint           map                                              log |J|
 *   none                 x = y                                            0
 *   lower a              a + e^y                                          y
 *   upper b              b - e^y                                          y
 *   interval (a, b)      a + (b - a) g(y)                                 log(b - a) + log g(y) + log g(-y)
 *   ordered              x_1 = y_1, x_k = x_(k-1) + e^y_k                 sum_(k>1) y_k
 *   positive ordered     x_k = x_(k-1) + e^y_k, x_0 = 0                   sum y_k
 *   simplex              u_k = y_k - log(K - k), x_k = r_k g(u_k),        sum log g(u_k) + (K - k) log g(-u_k)
 *                        r_1 = 1, r_(k+1) = r_k g(-u_k), x_K = r_K
 *   Cholesky factor of   L_rc = tanh(y_rc) q_rc, q_r1 = 1,                sum (1 + (r - 1 - c)/2) log sech^2 y_rc
 *   a correlation        q_r(c+1) = q_rc sech(y_rc), L_rr = q_rr
 *   correlation          L L'                                             the same + sum_r (K - r) log L_rr
 *   covariance           L L', L_rr = e^y_rr, L_rc = y_rc                 K log 2 + sum_r (K - r + 2) y_rr
 *
 * Coordinates of a matrix come by the rows of its lower triangle. The Jacobian is that of the
 * elements that vary: K - 1 of a simplex, the lower triangle of a matrix, without the diagonal of a
 * correlation or its factor. All is written in logarithms that do not overflow: for any finite y log
 * |J| is finite, or -inf, never NaN; x may reach its bounds, or overflow.
 *
 * Source: Stan Reference Manual, "Constraint transforms"; Lewandowski, Kurowicka and Joe (2009). */
#ifndef MEANFIELD_TRANSFORM_H
#define MEANFIELD_TRANSFORM_H

#include "base/core.h"

enum transform_kind {
    TRANSFORM_NONE,
    TRANSFORM_LOWER,
    TRANSFORM_UPPER,
    TRANSFORM_INTERVAL,
    TRANSFORM_ORDERED,
    TRANSFORM_POSITIVE_ORDERED,
    TRANSFORM_SIMPLEX,
    TRANSFORM_CHOLESKY,
    TRANSFORM_CORRELATION,
    TRANSFORM_COVARIANCE,
    TRANSFORM_KINDS
};

struct transform {
    enum transform_kind kind;
    int size;                 /* numbers, or the rows of a square matrix              */
    const double *low, *high; /* bounds of each number, where the kind has them       */
};

/* Numbers in y and in x. */
int transform_free(const struct transform *t);
int transform_full(const struct transform *t);

/* Workspace of one block: doubles. */
int transform_work(const struct transform *t);

/* x of y; returns log |J|. O(size), of matrices O(size^3). */
double transform_map(const struct transform *t, const double *y, double *x, double *work);

/* dy = J' dx + d log|J| / dy, where dx holds the derivatives by all numbers of x, of matrices as if
 * their elements were free. The same cost. */
void transform_pull(const struct transform *t, const double *y, const double *dx,
                    double *dy, double *work);

/* y of x, which must lie inside its constraint: NaN or infinite where it does not. */
void transform_invert(const struct transform *t, const double *x, double *y,
                      double *work);

#endif
