/* la.c: small dense linear algebra (see la.h for sizes and costs). */
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "base/blas.h"
#include "base/core.h"
#include "base/la.h"

static int chol_1(double *A)
{
    if (!(A[0] > 0) || !isfinite(A[0])) return 1;
    A[0] = sqrt(A[0]);
    return 0;
}

static int chol_2(double *A)
{
    if (!(A[0] > 0) || !isfinite(A[0])) return 1;
    A[0] = sqrt(A[0]);
    A[1] /= A[0];
    double d = A[3] - A[1] * A[1];
    if (!(d > LA_PIVOT_TOL * A[3]) || !isfinite(d)) return 2;
    A[3] = sqrt(d);
    return 0;
}

/* Below it a loop takes less than a call of BLAS does before it starts. */
enum { SMALL = 8 };

static int chol_small(int n, double *A)
{
    for (int j = 0; j < n; j++) {
        double d = AT(A, j, j, n), diagonal = d;
        for (int k = 0; k < j; k++) d -= AT(A, j, k, n) * AT(A, j, k, n);
        if (!(d > LA_PIVOT_TOL * diagonal) || !isfinite(d)) return j + 1;
        double root = sqrt(d), scale = 1 / root;
        AT(A, j, j, n) = root;
        for (int i = j + 1; i < n; i++) {
            double x = AT(A, i, j, n);
            for (int k = 0; k < j; k++) x -= AT(A, i, k, n) * AT(A, j, k, n);
            AT(A, i, j, n) = x * scale;
        }
    }
    return 0;
}

int la_chol(int n, double *A)
{
    int info = 0;
    if (n == 0) return 0;
    if (n == 1) return chol_1(A);
    if (n == 2) return chol_2(A);
    if (n <= SMALL) return chol_small(n, A);
    for (int j = 0; j < n; j++) /* LAPACK may take a NaN for a good pivot */
        if (!isfinite(AT(A, j, j, n))) return j + 1;
    /* the upper triangle is unused by dpotrf("L"): keep the diagonal there for the check */
    double first = A[0];
    for (int j = 1; j < n; j++) AT(A, j - 1, j, n) = AT(A, j, j, n);
    F77_CALL(dpotrf)("L", &n, A, &n, &info FCONE);
    if (info) return info;
    for (int j = 0; j < n; j++) {
        double l = AT(A, j, j, n), d = j ? AT(A, j - 1, j, n) : first;
        if (!(l * l > LA_PIVOT_TOL * d)) return j + 1;
    }
    return 0;
}

void la_solve_l(int n, const double *L, double *b)
{
    int one = 1;
    if (n == 0) return;
    if (n == 1) {
        b[0] /= L[0];
    } else if (n == 2) {
        b[0] /= L[0];
        b[1] = (b[1] - L[1] * b[0]) / L[3];
    } else if (n <= SMALL) {
        for (int j = 0; j < n; j++) {
            b[j] /= AT(L, j, j, n);
            for (int i = j + 1; i < n; i++) b[i] -= AT(L, i, j, n) * b[j];
        }
    } else {
        F77_CALL(dtrsv)("L", "N", "N", &n, L, &n, b, &one FCONE FCONE FCONE);
    }
}

void la_solve_lt(int n, const double *L, double *b)
{
    int one = 1;
    if (n == 0) return;
    if (n == 1) {
        b[0] /= L[0];
    } else if (n == 2) {
        b[1] /= L[3];
        b[0] = (b[0] - L[1] * b[1]) / L[0];
    } else if (n <= SMALL) {
        for (int j = n - 1; j >= 0; j--) {
            for (int i = j + 1; i < n; i++) b[j] -= AT(L, i, j, n) * b[i];
            b[j] /= AT(L, j, j, n);
        }
    } else {
        F77_CALL(dtrsv)("L", "T", "N", &n, L, &n, b, &one FCONE FCONE FCONE);
    }
}

/* Column j of B (k x n) <- (it - sum of the columns i from `first` on times L_ij or L_ji) / L_jj; one
 * division, for k would cost more than the rest of a sweep. */
static void right_solve_column(int k, int n, const double *L, double *B, int j, int first,
                               int end, bool transposed)
{
    double *b = B + (size_t) j * (size_t) k, inv = 1 / AT(L, j, j, n);
    for (int i = first; i < end; i++) {
        const double *x = B + (size_t) i * (size_t) k;
        double l = transposed ? AT(L, j, i, n) : AT(L, i, j, n);
        for (int a = 0; a < k; a++) b[a] -= l * x[a];
    }
    for (int a = 0; a < k; a++) b[a] *= inv;
}

static void right_solve(const char *trans, int k, int n, const double *L, double *B)
{
    double one = 1;
    if (n == 0 || k == 0) return;
    if (n <= SMALL) {
        bool transposed = *trans == 'T';
        for (int j = 0; j < n && transposed; j++)
            right_solve_column(k, n, L, B, j, 0, j, true);
        for (int j = n - 1; j >= 0 && !transposed; j--)
            right_solve_column(k, n, L, B, j, j + 1, n, false);
        return;
    }
    F77_CALL(dtrsm)
    ("R", "L", trans, "N", &k, &n, &one, L, &n, B, &k FCONE FCONE FCONE FCONE);
}

void la_right_solve_lt(int k, int n, const double *L, double *B)
{
    right_solve("T", k, n, L, B);
}

void la_right_solve_l(int k, int n, const double *L, double *B)
{
    right_solve("N", k, n, L, B);
}

double la_logdet(int n, const double *L)
{
    double s = 0;
    for (int j = 0; j < n; j++) s += log(AT(L, j, j, n));
    return 2 * s;
}

/* W = L^-1 in place, then the lower triangle of W'W. */
static void inverse_small(int n, double *A)
{
    for (int j = 0; j < n; j++) {
        AT(A, j, j, n) = 1 / AT(A, j, j, n);
        for (int i = j + 1; i < n; i++) {
            double x = 0;
            for (int k = j; k < i; k++) x -= AT(A, i, k, n) * AT(A, k, j, n);
            AT(A, i, j, n) = x / AT(A, i, i, n);
        }
    }
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++) {
            double x = 0;
            for (int k = i; k < n; k++) x += AT(A, k, i, n) * AT(A, k, j, n);
            AT(A, i, j, n) = x;
        }
}

void la_inverse(int n, const double *L, double *inv)
{
    int info = 0;
    if (n == 0) return;
    if (inv != L) memcpy(inv, L, sizeof(double) * (size_t) n * (size_t) n);
    if (n == 1) {
        inv[0] = 1 / (inv[0] * inv[0]);
        return;
    }
    if (n <= SMALL) {
        inverse_small(n, inv);
        la_fill_upper(n, inv);
        return;
    }
    F77_CALL(dpotri)("L", &n, inv, &n, &info FCONE);
    la_fill_upper(n, inv);
}

void la_fill_upper(int n, double *A)
{
    for (int j = 1; j < n; j++)
        for (int i = 0; i < j; i++) AT(A, i, j, n) = AT(A, j, i, n);
}

void la_matmul(int n, const double *A, const double *B, double *C)
{
    double one = 1, zero = 0;
    if (n == 0) return;
    F77_CALL(dgemm)("N", "N", &n, &n, &n, &one, A, &n, B, &n, &zero, C, &n FCONE FCONE);
}

void la_matvec(int n, const double *A, const double *x, double *y)
{
    double one = 1, zero = 0;
    int inc = 1;
    if (n == 0) return;
    F77_CALL(dgemv)("N", &n, &n, &one, A, &n, x, &inc, &zero, y, &inc FCONE);
}

double la_trace_product(int n, const double *A, const double *B)
{
    double s = 0;
    for (size_t i = 0; i < (size_t) n * (size_t) n; i++) s += A[i] * B[i];
    return s;
}

double la_dot(size_t n, const double *x, const double *y)
{
    double s[4] = {0}; /* sums that do not wait for each other */
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) s[k] += x[i + (size_t) k] * y[i + (size_t) k];
    for (; i < n; i++) s[0] += x[i] * y[i];
    return s[0] + s[1] + (s[2] + s[3]);
}
