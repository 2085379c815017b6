/* matrix_log.c: see matrix_log.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/core.h"
#include "base/matrix_log.h"
#include "base/vech.h"

enum { R = MATRIX_LOG_MAX_R, RR = R * R };

/* atanh(D / m) / D, with log |B| / 2 at hand; its series where D is small. */
static double log_slope(double D, double m, double half_logdet)
{
    double t = D / m;
    if (t < 1e-3) return (1 + t * t * (1.0 / 3 + t * t / 5)) / m;
    return (log(m + D) - half_logdet) / D;
}

static bool log_of_two(const double *B, double *x, double *q)
{
    double a = B[0], b = B[1], c = B[3], det = a * c - b * b;
    if (!(a > 0 && det > 0)) return false;
    double m = 0.5 * (a + c), h = 0.5 * (a - c), half = 0.5 * log(det);
    double slope = log_slope(sqrt(h * h + b * b), m, half);
    x[0] = half + slope * h;
    x[1] = slope * b;
    x[2] = half - slope * h;
    q[0] = c / det;
    q[1] = -b / det;
    q[2] = a / det;
    return true;
}

bool matrix_log_axes(int r, const double *B, double *V, double *d)
{
    if (r == 1) {
        V[0] = 1;
        d[0] = log(B[0]);
        return B[0] > 0 && isfinite(d[0]);
    }
    double work[32 * R];
    int info = 0, size = 32 * R;
    for (int j = 0; j < r; j++)
        for (int i = j; i < r; i++) {
            if (!isfinite(AT(B, i, j, r))) return false; /* LAPACK is not to be asked */
            AT(V, i, j, r) = AT(V, j, i, r) = AT(B, i, j, r);
        }
    F77_CALL(dsyev)("V", "L", &r, V, &r, d, work, &size, &info FCONE FCONE);
    for (int i = 0; i < r; i++) {
        if (!(d[i] > 0)) return false;
        d[i] = log(d[i]);
    }
    return info == 0;
}

bool matrix_log(int r, const double *B, double *x, double *q)
{
    if (r == 1) {
        x[0] = log(B[0]);
        q[0] = 1 / B[0];
        return B[0] > 0;
    }
    if (r == 2) return log_of_two(B, x, q);
    double V[RR], d[R], e[R];
    if (!matrix_log_axes(r, B, V, d)) return false;
    for (int k = 0; k < r; k++) e[k] = exp(-d[k]);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            double sx = 0, sq = 0;
            for (int k = 0; k < r; k++) {
                double vv = AT(V, a, k, r) * AT(V, b, k, r);
                sx += vv * d[k];
                sq += vv * e[k];
            }
            x[vech_at(r, a, b)] = sx;
            q[vech_at(r, a, b)] = sq;
        }
    return true;
}

/* sinh(x) / x */
static double sinhc(double x) { return fabs(x) < 1e-4 ? 1 + x * x / 6 : sinh(x) / x; }

/* out <- A' E A, or A E A' with back. */
static void congruence(int r, const double *A, const double *E, bool back, double *out)
{
    double AE[RR];
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++) {
            double s = 0;
            for (int k = 0; k < r; k++)
                s += (back ? AT(A, i, k, r) : AT(A, k, i, r)) * AT(E, k, j, r);
            AT(AE, i, j, r) = s;
        }
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++) {
            double s = 0;
            for (int k = 0; k < r; k++)
                s += AT(AE, i, k, r) * (back ? AT(A, j, k, r) : AT(A, k, j, r));
            AT(out, i, j, r) = s;
        }
}

void matrix_log_push(int r, const double *V, const double *d, double sign,
                     const double *E, double *out)
{
    double M[RR];
    congruence(r, V, E, false, M);
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++)
            AT(M, i, j, r) *=
                sign * exp(0.5 * sign * (d[i] + d[j])) * sinhc(0.5 * (d[i] - d[j]));
    congruence(r, V, M, true, out);
}
