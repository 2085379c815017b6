/* scale_free.h: coordinates of a precision matrix in which the integrator works, laid out like
 * its vech (vech.h). */
#ifndef MEANFIELD_SCALE_FREE_H
#define MEANFIELD_SCALE_FREE_H

/* Scale-free coordinates, in which posteriors of several SDs and correlations have no funnel:
 * x_aa = -2 log SD_a, and below the diagonal x_ab = atanh of the canonical partial correlation of
 * coefficients a and b given those before b [Lewandowski, Kurowicka & Joe 2009]; x = log t for a
 * scalar. t <- vech of the precision matrix X; returns log |X|; *log_jacobian <- log |dt / dx|. */
double scale_free_to_vech(int r, const double *x, double *t, double *log_jacobian);

/* root (r x r, lower, zeros above) <- the Cholesky factor of X^-1. */
void scale_free_root(int r, const double *x, double *root);

/* out += the gradients in x: of sum g_ab t_ab (g laid out like t), and of
 * logdet log |X| + jacobian log |dt / dx|. */
void scale_free_pull(int r, const double *x, const double *g, double *out);
void scale_free_slope(int r, const double *x, double logdet, double jacobian,
                      double *out);

#endif
