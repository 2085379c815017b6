/* matrix_log.h: the logarithm X of a symmetric positive definite matrix B = exp(X), r x r.
 *
 * Of orders 1 and 2 in closed form: with m = (b11 + b22) / 2, h = (b11 - b22) / 2, D^2 = h^2 + b21^2,
 *
 *     X = (log |B| / 2) I + a (B - m I),    a = atanh(D / m) / D  (1 / m at D = 0),
 *
 * of higher ones by eigenvectors. With B = V diag(e^d) V' the derivative of exp(s X) along a symmetric
 * E is V (G o V'E V) V', g_ij = (e^{s d_i} - e^{s d_j}) / (d_i - d_j): a self-adjoint map. */
#ifndef MEANFIELD_MATRIX_LOG_H
#define MEANFIELD_MATRIX_LOG_H

#include <stdbool.h>

enum { MATRIX_LOG_MAX_R = 8 };

/* x, q (vech each) <- log B, B^-1; B: lower triangle. False: B is not positive definite. */
bool matrix_log(int r, const double *B, double *x, double *q);

/* V (r x r), d (r): see above. */
bool matrix_log_axes(int r, const double *B, double *V, double *d);

/* out (r x r) <- the derivative of exp(sign X) along E (full). */
void matrix_log_push(int r, const double *V, const double *d, double sign,
                     const double *E, double *out);

#endif
