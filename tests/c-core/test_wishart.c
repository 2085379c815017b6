/* test_wishart.c: the Wishart family against closed forms, and the draws from it. */
#include <math.h>
#include <Rmath.h>
#include "check.h"
#include "base/vech.h"
#include "base/wishart.h"
#include "base/la.h"
#include "base/rand.h"
#include "support.h"

/* r = 1, df = 2 a, R = 2 b is Gamma(a, b). */
static void check_gamma(double a, double b)
{
    double log_mean = log(a / b), mean_log = digamma(a) - log(b), a0 = 1.7, b0 = 0.3;
    CHECK_NEAR(wishart_mean_logdet(1, 2 * a, log_mean), mean_log, 1e-13);
    CHECK_NEAR(wishart_entropy(1, 2 * a, log_mean),
               a - log(b) + lgammafn(a) + (1 - a) * digamma(a), 1e-12);
    CHECK_NEAR(
        wishart_expected_log_density(1, 2 * a0, log(2 * b0), 2 * b0 * a / b, mean_log),
        a0 * log(b0) - lgammafn(a0) + (a0 - 1) * mean_log - b0 * a / b, 1e-12);
    double V, M = a / b;
    wishart_cov_vech(1, 2 * a, &M, &V, 1, 0);
    CHECK_NEAR(V, a / (b * b), 1e-13);
}

/* r = 2 written out, with log Gamma_2(x) = log sqrt(pi) Gamma(x) Gamma(x - 1/2). */
static void check_two(double df)
{
    const double R[4] = {2, 0.5, 0.5, 1.5}, M[4] = {1.1, -0.4, -0.4, 0.9}, df0 = 4.5;
    double det_R = R[0] * R[3] - R[1] * R[2], log_M = 2 * log(df) - log(det_R);
    double psi = digamma(df / 2) + digamma(df / 2 - 0.5),
           half_log_pi = 0.5 * log(4 * atan(1));
    double mean_logdet = psi + 2 * log(2) - log(det_R), trace = 0;
    for (int i = 0; i < 4; i++) trace += R[i] * M[i];
    CHECK_NEAR(wishart_mean_logdet(2, df, log_M), mean_logdet, 1e-13);
    CHECK_NEAR(wishart_entropy(2, df, log_M),
               -1.5 * log(det_R) + 3 * log(2) + half_log_pi + lgammafn(df / 2) +
                   lgammafn(df / 2 - 0.5) - (df - 3) / 2 * psi + df,
               1e-12);
    CHECK_NEAR(wishart_expected_log_density(2, df0, log(det_R), trace, 0.7),
               df0 / 2 * log(det_R) - df0 * log(2) - half_log_pi - lgammafn(df0 / 2) -
                   lgammafn(df0 / 2 - 0.5) + (df0 - 3) / 2 * 0.7 - trace / 2,
               1e-12);
}

static void check_near_mean(int n, double sum, double sq, double expected)
{
    double mean = sum / n, se = sqrt((sq / n - mean * mean) / n);
    CHECK(fabs(mean - expected) < 5 * se);
}

/* Draws with rate R: mean df R^-1, covariance and E log|X| as computed. */
static void check_draws(int r, double df)
{
    enum { N = 20000, PAD = 2 };
    size_t rr = (size_t) (r * r);
    int s = vech_size(r), ld = s + PAD + 1;
    double *R = random_spd(r), *M = nans(rr), *L = copy(rr, R), *X = nans(rr),
           *v = nans((size_t) s);
    double *V = nans((size_t) (ld * ld)), *mean = nans((size_t) s), *work = nans(rr),
           log_s[2] = {0};
    double *sum = zeros((size_t) s), *sq = zeros((size_t) s), *back = nans(rr);
    double *sum2 = zeros((size_t) (s * s)), *sq2 = zeros((size_t) (s * s));
    struct ziggurat zig = rand_ziggurat();
    double log_M = -naive_inverse(r, R, M) + r * log(df);
    for (int i = 0; i < r * r; i++) M[i] *= df;
    wishart_cov_vech(r, df, M, V, ld, PAD);
    for (int j = 0; j < ld; j++)
        for (int i = 0; i < ld; i++)
            CHECK(isnan(AT(V, i, j, ld)) ==
                  (i < PAD || j < PAD || i >= PAD + s || j >= PAD + s));
    vech_pack(r, M, mean);
    vech_unpack(r, mean, back);
    for (int i = 0; i < r * r; i++) CHECK_NEAR(back[i], M[i], 1e-12);
    CHECK(la_chol(r, L) == 0);
    for (int n = 0; n < N; n++) {
        rand_wishart(r, df, L, &zig, X, work);
        vech_pack(r, X, v);
        for (int i = 0; i < s; i++) {
            sum[i] += v[i];
            sq[i] += v[i] * v[i];
            for (int j = 0; j < s; j++) {
                double c = (v[i] - mean[i]) * (v[j] - mean[j]);
                AT(sum2, i, j, s) += c;
                AT(sq2, i, j, s) += c * c;
            }
        }
        for (int i = 0; i < r; i++)
            for (int j = 0; j < r; j++) CHECK(AT(X, i, j, r) == AT(X, j, i, r));
        double logdet = la_chol(r, X) ? NAN : la_logdet(r, X);
        log_s[0] += logdet;
        log_s[1] += logdet * logdet;
    }
    check_near_mean(N, log_s[0], log_s[1], wishart_mean_logdet(r, df, log_M));
    for (int i = 0; i < s; i++) {
        check_near_mean(N, sum[i], sq[i], mean[i]);
        for (int j = 0; j < s; j++)
            check_near_mean(N, AT(sum2, i, j, s), AT(sq2, i, j, s),
                            AT(V, PAD + i, PAD + j, ld));
    }
}

/* Cov of X_ij, X_kl with every index spelled out, at a scale matrix V = M / df. */
static void check_cov(double df)
{
    const double M[4] = {1.1, -0.4, -0.4, 0.9};
    double V[9], a = M[0], b = M[1], c = M[3];
    const double expected[9] = {2 * a * a, 2 * a * b, 2 * b * b, 2 * a * b, a * c + b * b,
                                2 * b * c, 2 * b * b, 2 * b * c, 2 * c * c};
    wishart_cov_vech(2, df, M, V, 3, 0);
    for (int i = 0; i < 9; i++) CHECK_NEAR(V[i], expected[i] / df, 1e-14);
}

static void check_normals(void)
{
    enum { N = 200000 };
    struct ziggurat zig = rand_ziggurat();
    double *z = nans(N), sum[4] = {0}, sq[4] = {0};
    rand_normals(&zig, N, z);
    for (int i = 0; i < N; i++) {
        double z2 = z[i] * z[i];
        const double x[4] = {z[i], z2, z2 * z2, fabs(z[i]) > zig.x[1]};
        for (int k = 0; k < 4; k++) {
            sum[k] += x[k];
            sq[k] += x[k] * x[k];
        }
    }
    const double expected[4] = {0, 1, 3, erfc(zig.x[1] / sqrt(2))};
    for (int k = 0; k < 4; k++) check_near_mean(N, sum[k], sq[k], expected[k]);
}

void test_wishart(void)
{
    CHECK(vech_size(3) == 6 && vech_at(3, 2, 0) == 2 && vech_at(3, 1, 1) == 3);
    check_gamma(1, 2);
    check_gamma(2.5, 3);
    check_gamma(0.3, 1e-3);
    check_two(1.5);
    check_two(4.5);
    check_two(40);
    check_cov(3.5);
    check_draws(1, 0.8);
    check_draws(2, 2.5);
    check_draws(2, 30);
    check_draws(3, 5);
    check_normals();
}
