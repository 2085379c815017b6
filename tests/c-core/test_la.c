/* test_la.c: the dense kernels against plain loops. Triangles that a kernel must not read
 * hold NaN. */
#include <math.h>
#include "check.h"
#include "base/la.h"
#include "support.h"

static double *strict_upper(int n, const double *A,
                            double value) /* copy with it replaced */
{
    double *B = copy((size_t) n * (size_t) n, A);
    for (int j = 1; j < n; j++)
        for (int i = 0; i < j; i++) AT(B, i, j, n) = value;
    return B;
}

static double mul_at(int n, const double *A, const double *B, int i, int j)
{
    double s = 0;
    for (int k = 0; k < n; k++) s += AT(A, i, k, n) * AT(B, k, j, n);
    return s;
}

/* (L x)_i, or (L' x)_i. */
static double tri_at(int n, const double *L, const double *x, int i, bool transpose)
{
    double s = 0;
    for (int k = 0; k < n; k++) s += (transpose ? AT(L, k, i, n) : AT(L, i, k, n)) * x[k];
    return s;
}

static void check_right_solve(int n, int k, const double *L, const double *L0)
{
    size_t size = (size_t) k * (size_t) n;
    double *B = normals(size), *X = copy(size, B), *Y = copy(size, B);
    la_right_solve_lt(k, n, L, X);
    la_right_solve_l(k, n, L, Y);
    for (int i = 0; i < k; i++)
        for (int j = 0; j < n; j++) {
            double xlt = 0, yl = 0;
            for (int c = 0; c < n; c++) {
                xlt += AT(X, i, c, k) * AT(L0, j, c, n);
                yl += AT(Y, i, c, k) * AT(L0, c, j, n);
            }
            CHECK_NEAR(xlt, AT(B, i, j, k), 1e-13);
            CHECK_NEAR(yl, AT(B, i, j, k), 1e-13);
        }
}

static void check_factor(int n)
{
    size_t nn = (size_t) n * (size_t) n, sn = (size_t) n;
    double *A = random_spd(n), *Ainv = nans(nn), logdet = naive_inverse(n, A, Ainv);
    double *L = strict_upper(n, A, NAN);
    CHECK(la_chol(n, L) == 0);
    L = strict_upper(n, L, NAN); /* la_chol() may use that triangle as scratch */
    double *L0 = strict_upper(n, L, 0);
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++) {
            double s = 0;
            for (int k = 0; k < n; k++) s += AT(L0, i, k, n) * AT(L0, j, k, n);
            CHECK_NEAR(s, AT(A, i, j, n), 1e-13);
        }
    CHECK_NEAR(la_logdet(n, L), logdet, 1e-13);

    double *b = normals(sn), *x = copy(sn, b), *y = copy(sn, b);
    la_solve_l(n, L, x);
    la_solve_lt(n, L, y);
    for (int i = 0; i < n; i++) {
        CHECK_NEAR(tri_at(n, L0, x, i, false), b[i], 1e-13);
        CHECK_NEAR(tri_at(n, L0, y, i, true), b[i], 1e-13);
    }
    for (int k = 0; k <= 4; k += 2) check_right_solve(n, k, L, L0);
    check_right_solve(n, 1, L, L0);

    double *inv = nans(nn), *in_place = copy(nn, L);
    la_inverse(n, L, inv);
    la_inverse(n, in_place, in_place);
    for (size_t i = 0; i < nn; i++) {
        CHECK_NEAR(inv[i], Ainv[i], 1e-13);
        CHECK_NEAR(in_place[i], Ainv[i], 1e-13);
    }
}

static void check_products(int n)
{
    size_t nn = (size_t) n * (size_t) n, sn = (size_t) n;
    double *A = normals(nn), *B = normals(nn), *C = nans(nn), *x = normals(sn),
           *y = nans(sn);
    la_matmul(n, A, B, C);
    la_matvec(n, A, x, y);
    double dot = 0, trace = 0;
    for (int i = 0; i < n; i++) {
        CHECK_NEAR(y[i], tri_at(n, A, x, i, false), 1e-13);
        dot += x[i] * y[i];
        for (int j = 0; j < n; j++)
            CHECK_NEAR(AT(C, i, j, n), mul_at(n, A, B, i, j), 1e-13);
    }
    CHECK_NEAR(la_dot(n, x, y), dot, 1e-13);
    la_fill_upper(n, A);
    la_fill_upper(n, B);
    for (int j = 0; j < n; j++) {
        trace += mul_at(n, A, B, j, j);
        for (int i = 0; i < j; i++) CHECK(AT(A, i, j, n) == AT(A, j, i, n));
    }
    CHECK_NEAR(la_trace_product(n, A, B), trace, 1e-13);
}

/* What is not positive definite, in every position. */
static void check_bad(int n)
{
    size_t nn = (size_t) n * (size_t) n;
    double *A = random_spd(n), *L = copy(nn, A), *B;
    la_chol(n, L);
    for (int k = 0; k < n; k++) {
        double pivot = AT(L, k, k, n);
        B = copy(nn, A);
        AT(B, k, k, n) -=
            pivot * pivot + 0.5; /* the minor of order k + 1 turns negative */
        CHECK(la_chol(n, B) == k + 1);
        B = copy(nn, A);
        AT(B, k, k, n) = NAN;
        CHECK(la_chol(n, B) != 0);
        B = copy(nn, A);
        AT(B, k, k, n) = INFINITY;
        CHECK(la_chol(n, B) != 0);
        for (int i = k + 1; i < n; i++) {
            B = copy(nn, A);
            AT(B, i, k, n) = NAN;
            CHECK(la_chol(n, B) != 0);
        }
    }
    if (n < 2) return;
    B = copy(nn, A); /* the last row repeats the first: singular only up to rounding */
    for (int j = 0; j < n; j++) AT(B, n - 1, j, n) = AT(B, 0, j, n) / 3;
    AT(B, n - 1, n - 1, n) = AT(B, 0, 0, n) / 9;
    CHECK(la_chol(n, B) == n);
}

void test_la(void)
{
    static const int sizes[] = {0, 1, 2, 3, 5};
    for (int i = 0; i < 5; i++) {
        check_factor(sizes[i]);
        check_products(sizes[i]);
        check_bad(sizes[i]);
    }
}
