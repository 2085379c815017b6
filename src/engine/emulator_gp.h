/* emulator_gp.h: a Gaussian process through values and gradients, and one through values.
 *
 * y = (f_1 .. f_n, df_1/dz_1 .. df_n/dz_1, df_1/dz_2 ..), m = n (d + 1) numbers at the points z (d x n),
 * H (m x p) the trend and its derivatives there. With the kernel k = exp(-|z - z'|^2 / (2 l^2)), K its
 * matrix of values and derivatives, y ~ N(H b, s2 K): b by generalised least squares, s2 by residuals,
 * l by the restricted likelihood -(m - p) / 2 log s2 - log |K| / 2 - log |R_H|. */
#ifndef MEANFIELD_EMULATOR_GP_H
#define MEANFIELD_EMULATOR_GP_H

#include "base/core.h"

struct emulator_gp {
    int n, d, p, m;
    int rank; /* of H                                                            */
    double ell, s2, log_lik;
    const double *z;  /* d x n                                                   */
    double *L;        /* m x m: K = L L'                                         */
    double *alpha;    /* m: K^-1 (y - H b)                                       */
    double *b;        /* p                                                       */
    double *Q;        /* m x p: L^-1 H = Q R in the columns `keep`, scaled           */
    double *R, *norm; /* p x p, p                                                */
    int *keep;        /* rank of p                                               */
    double *work;     /* m + p                                                   */
};

struct emulator_gp emulator_gp_carve(int n, int d, int p, struct arena *a);

/* False: K is not positive definite with any jitter. Cost m^3 / 3 + 2 m p^2. */
bool emulator_gp_fit(struct emulator_gp *g, double ell, const double *z, const double *y,
                     const double *H);

/* f (4) += what it says at four z beside the trend, number j of point l at 4 j + l, and `shift`'(1, z, k) of
 * emulator_values (NULL: without) of the same points. Only where lanes_here(). */
void emulator_gp_lanes(const struct emulator_gp *g, const double *shift, const double *z,
                       double *f);

/* What it says at z, of trend h (p). */
double emulator_gp_mean(const struct emulator_gp *g, const double *z, const double *h);

/* sd (count) <- its standard deviations at z (d x count), h (p x count); cost m^2 each. work: m count. */
void emulator_gp_sd(const struct emulator_gp *g, int count, const double *z,
                    const double *h, double *sd, double *work);

/* Interpolation of values alone: a process of length 4 with a linear trend. What it says at z is a
 * combination of the values at the points, of weights S'(1, z, k). */
struct emulator_values {
    int n, d;
    const double *z; /* d x n                                                    */
    double *S;       /* (1 + d + n) x n                                          */
    double *K, *Q, *R, *norm, *work;
    int *keep;
};
struct emulator_values emulator_gp_values_carve(int n, int d, struct arena *a);
bool emulator_gp_values_fit(struct emulator_values *v, const double *z);

/* basis (1 + d + n) <- (1, z, k); weights (n) <- S'basis. */
void emulator_gp_values_basis(const struct emulator_values *v, const double *z,
                              double *basis);
void emulator_gp_values_at(const struct emulator_values *v, const double *z,
                           double *basis, double *weights);

#endif
