/* matrix_log.c: see matrix_log.h. */
#include <math.h>
#include <string.h>
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

/* A <- J'A J, V <- V J, where J turns columns p and q so that A_pq vanishes. */
static void turn(int r, int p, int q, double *A, double *V)
{
    double t = (AT(A, q, q, r) - AT(A, p, p, r)) / (2 * AT(A, p, q, r));
    t = (t < 0 ? -1 : 1) / (fabs(t) + sqrt(1 + t * t));
    double c = 1 / sqrt(1 + t * t), s = t * c, off = t * AT(A, p, q, r);
    AT(A, p, p, r) -= off;
    AT(A, q, q, r) += off;
    AT(A, p, q, r) = AT(A, q, p, r) = 0;
    for (int i = 0; i < r; i++) {
        double a = AT(A, i, p, r), b = AT(A, i, q, r), v = AT(V, i, p, r);
        if (i != p && i != q) {
            AT(A, i, p, r) = AT(A, p, i, r) = c * a - s * b;
            AT(A, i, q, r) = AT(A, q, i, r) = s * a + c * b;
        }
        AT(V, i, p, r) = c * v - s * AT(V, i, q, r);
        AT(V, i, q, r) = s * v + c * AT(V, i, q, r);
    }
}

/* Jacobi's method, which finds small eigenvalues of positive definite matrices better than others and costs
 * less than a call of LAPACK. */
static bool jacobi(int r, double *A, double *V)
{
    enum { SWEEPS = 40 };
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        bool done = true;
        for (int q = 1; q < r; q++)
            for (int p = 0; p < q; p++) {
                double a = AT(A, p, q, r);
                if (a * a <= 1e-32 * fabs(AT(A, p, p, r) * AT(A, q, q, r))) continue;
                turn(r, p, q, A, V);
                done = false;
            }
        if (done) return true;
    }
    return false;
}

bool matrix_log_axes(int r, const double *B, double *V, double *d)
{
    if (r == 1) {
        V[0] = 1;
        d[0] = log(B[0]);
        return B[0] > 0 && isfinite(d[0]);
    }
    double A[RR];
    for (int j = 0; j < r; j++)
        for (int i = j; i < r; i++) {
            if (!isfinite(AT(B, i, j, r))) return false;
            AT(A, i, j, r) = AT(A, j, i, r) = AT(B, i, j, r);
            AT(V, i, j, r) = AT(V, j, i, r) = i == j;
        }
    if (!jacobi(r, A, V)) return false;
    for (int i = 0; i < r; i++) {
        if (!(AT(A, i, i, r) > 0)) return false;
        d[i] = log(AT(A, i, i, r));
    }
    return true;
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
