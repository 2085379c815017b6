/* scale_free.c: see scale_free.h. */
#include <math.h>
#include "base/core.h"
#include "base/scale_free.h"
#include "base/vech.h"

static const double LOG_2 = 0.693147180559945309417232121458;
enum { RR = VECH_MAX_R * VECH_MAX_R };

static double log_cosh(double z) { return fabs(z) + log1p(exp(-2 * fabs(z))) - LOG_2; }

/* M <- C^-1 (lower triangle) for the Cholesky factor C of the correlation matrix:
 * C_ab = tanh x_ab prod_{c<b} sech x_ac, C_aa the same product to the end. */
static void inverse_correlation_root(int r, const double *x, double *M)
{
    for (int a = 0; a < r; a++) {
        double row[VECH_MAX_R], left = 1;
        for (int b = 0; b < a; b++) {
            row[b] = left * tanh(x[vech_at(r, a, b)]);
            left /= cosh(x[vech_at(r, a, b)]);
        }
        for (int b = 0; b < a; b++) {
            double s = 0;
            for (int c = b; c < a; c++) s += row[c] * AT(M, c, b, r);
            AT(M, a, b, r) = -s / left;
        }
        AT(M, a, a, r) = 1 / left;
    }
}

/* X = D^-1 C^-T C^-1 D^-1, D = diag(SD): log |X| = sum x_aa + 2 sum log cosh x_ab, and with the
 * Jacobians of inversion, of (D, R) and of the partial correlations
 * log |dt / dx| = (r + 1) / 2 sum x_aa + sum_{a>b} (r + b + 1) log cosh x_ab   (b from 1). */
double scale_free_to_vech(int r, const double *x, double *t, double *log_jacobian)
{
    if (r == 1) {
        t[0] = exp(x[0]);
        *log_jacobian = x[0];
        return x[0];
    }
    double M[RR], trace = 0, spread = 0;
    *log_jacobian = 0;
    inverse_correlation_root(r, x, M);
    for (int b = 0; b < r; b++) {
        trace += x[vech_at(r, b, b)];
        for (int a = b; a < r; a++) {
            double s = 0;
            for (int c = a; c < r; c++) s += AT(M, c, a, r) * AT(M, c, b, r);
            t[vech_at(r, a, b)] =
                s * exp(0.5 * (x[vech_at(r, a, a)] + x[vech_at(r, b, b)]));
            if (a == b) continue;
            double l = log_cosh(x[vech_at(r, a, b)]);
            spread += 2 * l;
            *log_jacobian += (r + b + 2) * l;
        }
    }
    *log_jacobian += 0.5 * (r + 1) * trace;
    return trace + spread;
}
