/* test_nest.c: the integrator on densities with known integrals, and the Gaussian conditional fit
 * on small random arrows against dense formulas. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <R_ext/Random.h>
#include <Rmath.h>
#include "check.h"
#include "base/la.h"
#include "engine/lmm_exact.h"
#include "base/logchol.h"
#include "base/scale_free.h"
#include "engine/nest.h"
#include "support.h"

static const double PI = 3.14159265358979323846;

/* ---- densities with known integrals ----------------------------------------------- */

struct known {
    int d,
        skewed; /* the first `skewed` coordinates are log gamma(shape), the rest normal */
    double shape;
    const double *mean, *mix; /* psi = mean + mix x (d x d) of independent x            */
    double *x, *inv;
    int calls;
};

/* Density of x, as a function of psi; log |mix| is left to the caller. */
static double known_density(void *ctx, const double *psi)
{
    struct known *k = ctx;
    double s = 0;
    k->calls++;
    for (int i = 0; i < k->d; i++) {
        k->x[i] = 0;
        for (int j = 0; j < k->d; j++)
            k->x[i] += AT(k->inv, i, j, k->d) * (psi[j] - k->mean[j]);
        double x = k->x[i];
        s += i < k->skewed ? k->shape * x - exp(x) - lgamma(k->shape)
                           : -0.5 * x * x - 0.5 * log(2 * PI);
    }
    return s;
}

static struct known known_of(int d, int skewed, double shape)
{
    struct known k = {.d = d, .skewed = skewed, .shape = shape};
    double *mix = random_spd(d);
    k.mix = mix;
    k.mean = normals((size_t) d);
    k.x = nans((size_t) d);
    k.inv = nans((size_t) (d * d));
    naive_inverse(d, mix, k.inv);
    return k;
}

static double naive_logdet(int n, const double *A) /* of |A|, any square matrix */
{
    double *B = copy((size_t) (n * n), A), s = 0;
    for (int k = 0; k < n; k++) {
        s += log(fabs(AT(B, k, k, n)));
        for (int i = k + 1; i < n; i++) {
            double f = AT(B, i, k, n) / AT(B, k, k, n);
            for (int j = k; j < n; j++) AT(B, i, j, n) -= f * AT(B, k, j, n);
        }
    }
    return s;
}

struct mode {
    double *psi, *L, peak;
    enum core_status status;
    struct core_info info;
};

static struct mode mode_of(const struct target *f, const double *start, double scale)
{
    int d = f->d;
    struct arena count = {NULL, 0};
    nest_work_carve(d, &count);
    struct arena a = arena_of(count.used);
    struct nest_work w = nest_work_carve(d, &a);
    struct mode m = {
        copy((size_t) d, start), zeros((size_t) (d * d)), NAN, CORE_OK, {0, -1}};
    CHECK(a.used == count.used);
    for (int i = 0; i < d; i++) AT(m.L, i, i, d) = scale;
    m.status = nest_mode(f, m.psi, m.L, &m.peak, &w, NULL, &m.info);
    return m;
}

struct grid {
    struct lattice l;
    enum core_status status;
    struct core_info info;
};

static struct grid lattice_of(const struct target *f, const struct mode *m, double step,
                              double drop, int capacity, const struct core_hooks *h)
{
    struct arena count = {NULL, 0};
    nest_lattice_carve(f->d, capacity, true, &count);
    struct arena a = arena_of(count.used);
    struct grid g = {.l = nest_lattice_carve(f->d, capacity, true, &a), .info = {0, -1}};
    CHECK(a.used == count.used);
    int *table = ints(nest_lattice_table(capacity));
    g.status = nest_lattice(f, m->psi, m->L, step, drop, &g.l, table, h, &g.info);
    return g;
}

static const double POINT[4] = {2, -1.5, 0.7, 3};

/* Mode at its closed form and L L' the inverse Hessian there: mix D mix', D = 1 or 1 / shape. */
static void test_mode(int d, int skewed, double scale)
{
    struct known k = known_of(d, skewed, 3);
    struct target f = {d, known_density, &k, NULL};
    struct mode m = mode_of(&f, POINT, scale);
    CHECK(m.status == CORE_OK);
    CHECK(m.info.iter < 30);
    int calls = k.calls;
    CHECK_NEAR(m.peak, f.log_density(&k, m.psi), 1e-12);
    for (int i = 0; i < d; i++) {
        double at = k.mean[i];
        for (int j = 0; j < skewed; j++) at += AT(k.mix, i, j, d) * log(3);
        CHECK_NEAR(m.psi[i], at, 2e-2);
        for (int j = 0; j < d; j++) {
            double got = 0, want = 0;
            for (int c = 0; c < d; c++) {
                got += AT(m.L, i, c, d) * AT(m.L, j, c, d);
                want += AT(k.mix, i, c, d) * AT(k.mix, j, c, d) / (c < skewed ? 3 : 1);
            }
            CHECK_NEAR(got, want, 2e-2);
        }
    }
    /* of a normal density all of it is exact, and every step is a whole one */
    if (skewed) return;
    for (int i = 0; i < d; i++) CHECK_NEAR(m.psi[i], k.mean[i], 1e-6);
    if (scale == 1) CHECK(calls <= 1 + (m.info.iter + 1) * (2 * d * d + 1));
}

/* L = D R^1/2 Q of the covariance D R D, Q the product of turns by pi / 2d in the planes of
 * neighbours, wherever the search came from and however f rounds. */
struct rounded {
    struct known *k;
    double error;
};

static double rounded_density(void *ctx, const double *psi)
{
    struct rounded *r = ctx;
    double f = known_density(r->k, psi);
    return f + r->error * cos(1e6 * f + 1e7 * psi[0]);
}

static struct known known_mix(int d, int skewed, double shape, const double *mix)
{
    struct known k = known_of(d, skewed, shape);
    k.mix = copy((size_t) (d * d), mix);
    naive_inverse(d, k.mix, k.inv);
    return k;
}

static void test_axes(int d)
{
    double *mix = zeros((size_t) (d * d));
    for (int i = 0; i < d; i++) AT(mix, i, i, d) = 0.5 + i;
    struct known k =
        known_mix(d, 0, 1, mix); /* independent: all eigenvalues of R are one */
    double *Q = zeros((size_t) (d * d)), *G = zeros((size_t) (d * d)),
           *QG = zeros((size_t) (d * d));
    for (int i = 0; i < d; i++) AT(Q, i, i, d) = 1;
    for (int j = 0; j + 1 < d; j++) {
        for (int i = 0; i < d * d; i++) G[i] = i % (d + 1) == 0;
        AT(G, j, j, d) = AT(G, j + 1, j + 1, d) = cos(PI / (2 * d));
        AT(G, j + 1, j, d) = sin(PI / (2 * d));
        AT(G, j, j + 1, d) = -sin(PI / (2 * d));
        la_matmul(d, Q, G, QG);
        memcpy(Q, QG, sizeof(double) * (size_t) (d * d));
    }
    for (int j = 0; j < d; j++) /* the first row of Q is positive */
        for (int i = d - 1; i >= 0; i--)
            if (AT(Q, 0, j, d) < 0) AT(Q, i, j, d) = -AT(Q, i, j, d);
    for (int rounding = 0; rounding < 2; rounding++) {
        struct rounded r = {&k, rounding ? 1e-9 : 0};
        struct target f = {d, rounded_density, &r, NULL};
        struct mode m = mode_of(&f, POINT, rounding ? 0.3 : 2);
        CHECK(m.status == CORE_OK);
        for (int j = 0; j < d; j++)
            for (int i = 0; i < d; i++)
                CHECK_NEAR(AT(m.L, i, j, d), AT(mix, i, i, d) * AT(Q, i, j, d),
                           rounding ? 1e-5 : 1e-8);
    }
}

/* A ridge, |correlation| = .98, from the scales of its conditionals to those of its margins. */
static void test_ridge(int skewed, double sign)
{
    double mix[4] = {1, sign * 0.98, 0, sqrt(1 - 0.98 * 0.98)};
    struct known k = known_mix(2, skewed, 3, mix);
    struct target f = {2, known_density, &k, NULL};
    struct mode m[2] = {mode_of(&f, POINT, 0.2), mode_of(&f, k.mean, 1)};
    double var = skewed ? 1.0 / 3 : 1, want[4]; /* mix diag(var, 1) mix' */
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            want[i + 2 * j] = var * mix[i] * mix[j] + mix[2 + i] * mix[2 + j];
    for (int s = 0; s < 2; s++) {
        CHECK(m[s].status == CORE_OK);
        CHECK(m[s].info.iter < 15);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++)
                CHECK_NEAR(m[s].L[i] * m[s].L[j] + m[s].L[2 + i] * m[s].L[2 + j],
                           want[i + 2 * j], skewed ? 5e-3 : 1e-6);
        for (int i = 0; i < 2; i++)
            CHECK_NEAR(m[s].psi[i], k.mean[i] + (skewed ? mix[i] * log(3) : 0),
                       skewed ? 2e-3 : 1e-6);
    }
    for (int i = 0; i < 4; i++) CHECK_NEAR(m[0].L[i], m[1].L[i], 1e-3);
    for (int i = 0; i < 2; i++) CHECK_NEAR(m[0].psi[i], m[1].psi[i], 1e-5);
}

/* Noise in f, as of an optimisation, costs few evaluations and moves the mode by about as much
 * over the step of the differences. */
static void test_noise(double error)
{
    struct known k = known_of(3, 2, 3);
    struct rounded r = {&k, 0};
    struct target f = {3, rounded_density, &r, NULL};
    struct mode exact = mode_of(&f, k.mean, 1);
    int calls = k.calls;
    r.error = error;
    struct mode noisy = mode_of(&f, k.mean, 1);
    CHECK(noisy.status == CORE_OK);
    CHECK(k.calls - calls <= calls + 4 * 19 + 20);
    for (int i = 0; i < 3; i++) {
        double sd = 0;
        for (int j = 0; j < 3; j++) sd += AT(exact.L, i, j, 3) * AT(exact.L, i, j, 3);
        CHECK_NEAR((noisy.psi[i] - exact.psi[i]) / sqrt(sd), 0, 1e-4 + 20 * error);
    }
}

/* Sum over the lattice = integral = |mix|, mean and variance of x. */
static void test_sums(int d, int skewed, double step, double drop, double tol)
{
    struct known k = known_of(d, skewed, 4);
    struct target f = {d, known_density, &k, NULL};
    struct mode m = mode_of(&f, POINT, 1);
    struct grid g = lattice_of(&f, &m, step, drop, 200000, NULL);
    const struct lattice *l = &g.l;
    double sum = 0, one[4] = {0}, two[4] = {0};
    CHECK(g.status == CORE_OK);
    for (int i = 0; i < l->n; i++) {
        double p = exp(l->log_density[i]);
        CHECK_NEAR(l->log_density[i], f.log_density(&k, l->psi + i * d), 1e-12);
        for (int j = 0; j < d; j++) { /* psi is where the index says */
            double at = m.psi[j];
            for (int c = 0; c < d; c++)
                at += AT(m.L, j, c, d) * step * l->index[i * d + c];
            CHECK_NEAR(l->psi[i * d + j], at, 1e-12);
            one[j] += p * k.x[j];
            two[j] += p * k.x[j] * k.x[j];
        }
        sum += p;
        for (int o = 0; o < i && d < 3 && l->n < 3000; o++) /* no point twice */
            if (!memcmp(l->index + i * d, l->index + o * d, sizeof(int) * (size_t) d))
                CHECK(false);
    }
    double cell = exp(d * log(step) + naive_logdet(d, m.L) - naive_logdet(d, k.mix));
    CHECK_NEAR(sum * cell, 1, tol);
    for (int j = 0; j < d; j++) {
        double mean = one[j] / sum, var = two[j] / sum - mean * mean;
        CHECK_NEAR(mean, j < skewed ? digamma(4) : 0, 10 * tol);
        CHECK_NEAR(var, j < skewed ? trigamma(4) : 1, 10 * tol);
    }
}

/* The gradient: central differences inside, one-sided at the edge. */
static void test_gradient(void)
{
    struct known k = known_of(2, 1, 3);
    struct target f = {2, known_density, &k, NULL};
    struct mode m = mode_of(&f, POINT, 1);
    double step = 0.4;
    struct grid g = lattice_of(&f, &m, step, 8, 1000, NULL);
    for (int i = 0; i < g.l.n; i++)
        for (int axis = 0; axis < 2; axis++) {
            double value[3] = {NAN, g.l.log_density[i], NAN};
            for (int o = 0; o < g.l.n; o++) {
                int da = g.l.index[o * 2 + axis] - g.l.index[i * 2 + axis];
                if (g.l.index[o * 2 + 1 - axis] == g.l.index[i * 2 + 1 - axis] &&
                    abs(da) == 1)
                    value[1 + da] = g.l.log_density[o];
            }
            int both = !isnan(value[0]) + !isnan(value[2]);
            double low = isnan(value[0]) ? value[1] : value[0],
                   high = isnan(value[2]) ? value[1] : value[2];
            CHECK_NEAR(g.l.gradient[i * 2 + axis],
                       both ? (high - low) / (both * step) : 0, 1e-10);
        }
}

/* Memory: enough, one too few; the points so far are those of the larger lattice. Interruption.
 * No density at the start, half of the plane without. */
static double half_plane(void *ctx, const double *psi)
{
    (void) ctx;
    if (psi[0] > 0.3) return psi[1] > 0 ? NAN : -INFINITY; /* both mean: no density */
    return -0.5 * (psi[0] * psi[0] + psi[1] * psi[1]);
}

static double linear(void *ctx, const double *psi) /* has no mode */
{
    (void) ctx;
    return psi[0];
}

static void test_limits(void)
{
    struct known k = known_of(2, 0, 1);
    struct target f = {2, known_density, &k, NULL};
    struct mode m = mode_of(&f, POINT, 1);
    struct grid all = lattice_of(&f, &m, 0.5, 12, 5000, NULL);
    CHECK(all.status == CORE_OK && all.l.n > 100);
    struct grid same = lattice_of(&f, &m, 0.5, 12, all.l.n, NULL);
    CHECK(same.status == CORE_OK && same.l.n == all.l.n);
    struct grid few = lattice_of(&f, &m, 0.5, 12, all.l.n - 1, NULL);
    CHECK(few.status == CORE_FULL && few.l.n == all.l.n - 1);
    for (int i = 0; i < few.l.n; i++) CHECK(few.l.log_density[i] == all.l.log_density[i]);
    struct grid one = lattice_of(&f, &m, 0.5, 12, 1, NULL);
    CHECK(one.status == CORE_FULL && one.l.n == 1);

    int at = 128; /* polled every 64 points */
    struct core_hooks h = {stop_at, &at};
    struct grid stopped = lattice_of(&f, &m, 0.2, 12, 5000, &h);
    CHECK(stopped.status == CORE_INTERRUPTED && stopped.info.iter == 128);
    CHECK(stopped.l.n > 128 && stopped.l.n < 1000);
    int sweep = 1;
    h.ctx = &sweep;
    struct arena count = {NULL, 0};
    nest_work_carve(2, &count);
    struct arena a = arena_of(count.used);
    struct nest_work w = nest_work_carve(2, &a);
    double *psi = copy(2, POINT), *L = zeros(4), peak;
    L[0] = L[3] = 0.1;
    struct core_info info = {0, -1};
    CHECK(nest_mode(&f, psi, L, &peak, &w, &h, &info) == CORE_INTERRUPTED &&
          info.iter == 1);

    struct target cut = {2, half_plane, NULL, NULL};
    double off[2] = {1, 0}, on[2] = {-2, 1};
    CHECK(mode_of(&cut, off, 1).status == CORE_NONFINITE);
    struct mode edge = mode_of(&cut, on, 1);
    CHECK(edge.status == CORE_OK || edge.status == CORE_MAXIT);
    CHECK_NEAR(edge.psi[1], 0, 1e-2);
    struct mode centre = {zeros(2), zeros(4), 0, CORE_OK, {0, -1}};
    centre.L[0] = centre.L[3] = 1;
    struct grid half = lattice_of(&cut, &centre, 0.25, 20, 5000, NULL);
    double sum = 0;
    CHECK(half.status == CORE_OK);
    for (int i = 0; i < half.l.n; i++) {
        CHECK(isfinite(half.l.gradient[2 * i]) && isfinite(half.l.gradient[2 * i + 1]));
        CHECK(!isnan(half.l.log_density[i]));
        if (half.l.psi[2 * i] > 0.3)
            CHECK(half.l.log_density[i] == -INFINITY);
        else
            sum += exp(half.l.log_density[i]);
    }
    /* the sharp edge at .3 lies .05 beyond the last point's half cell: P(x < .375) */
    CHECK_NEAR(sum * 0.0625 / (2 * PI), 0.5 * erfc(-0.375 / sqrt(2)), 2e-3);

    struct target ramp = {1, linear, NULL, NULL};
    CHECK(mode_of(&ramp, off, 1).status == CORE_MAXIT);
}

/* ---- quantiles ------------------------------------------------------------------------ */

static double normal_cdf(double x) { return 0.5 * erfc(-x / sqrt(2)); }

static void test_quantiles(void)
{
    static const double probs[] = {1e-6, 0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9999};
    double w[3] = {0.2, 0.5, 0.3}, c[3] = {-1, 0.5, 8}, s[3] = {0.3, 2, 0.05};
    for (int i = 0; i < 8; i++) {
        double q = nest_quantile(NEST_NORMAL, 3, w, c, s, probs[i]), p = 0;
        for (int j = 0; j < 3; j++) p += w[j] * normal_cdf((q - c[j]) / s[j]);
        CHECK_NEAR(p / probs[i], 1, 1e-6);
    }
    /* one normal, far out and at any scale; a point mass; weights of zero */
    double one = 1, at = 1e6, sd = 1e-3;
    CHECK_NEAR((nest_quantile(NEST_NORMAL, 1, &one, &at, &sd, 0.975) - 1e6) / 1e-3,
               1.95996398, 1e-5);
    double none = 0;
    CHECK(nest_quantile(NEST_NORMAL, 1, &one, &at, &none, 0.1) == 1e6);
    double w0[2] = {1, 0}, c0[2] = {0, 1e9}, s0[2] = {1, 1e9};
    CHECK_NEAR(nest_quantile(NEST_NORMAL, 2, w0, c0, s0, 0.025), -1.95996398, 1e-6);

    /* values of a normal density at lattice points, as sinc kernels: the quantiles are the
     * normal's; Gumbel's, which is skewed */
    enum { N = 241 };
    double x[N], pn[N], pg[N], spread[N], sn = 0, sg = 0, h = 0.2;
    for (int i = 0; i < N; i++) {
        x[i] = h * (i - N / 2) + 0.123;
        spread[i] = h;
        sn += pn[i] = exp(-0.5 * x[i] * x[i]);
        sg += pg[i] = exp(2 * x[i] - exp(x[i])); /* exp(x) is gamma(2) */
    }
    for (int i = 0; i < N; i++) {
        pn[i] /= sn;
        pg[i] /= sg;
    }
    for (int i = 1; i < 8; i++) {
        CHECK_NEAR(normal_cdf(nest_quantile(NEST_SINC, N, pn, x, spread, probs[i])),
                   probs[i], 2e-6);
        double e = exp(nest_quantile(NEST_SINC, N, pg, x, spread, probs[i]));
        CHECK_NEAR(1 - exp(-e) * (1 + e), probs[i], 2e-6);
    }
}

/* Si(x) shows in the distribution function of sinc kernels, near ones and far ones: p comes back
 * from the quantile through Si by Simpson's rule. */
static double simpson_si(double x)
{
    int n = 4000;
    double h = x / n, s = 1 + (x == 0 ? 1 : sin(x) / x);
    for (int i = 1; i < n; i++) s += (i % 2 ? 4 : 2) * sin(i * h) / (i * h);
    return x == 0 ? 0 : s * h / 3;
}

static void test_sine_integral(void)
{
    for (int i = 1; i < 60; i++) { /* kernels apart by up to 3 units, 9 of Si */
        double w[3] = {0.3, 0.4, 0.3}, c[3] = {0, 0.05 * i, 0.11 * i}, s[3] = {1, 0.5, 2},
               p = 0;
        double q = nest_quantile(NEST_SINC, 3, w, c, s, 0.35);
        for (int j = 0; j < 3; j++)
            p += w[j] * (0.5 + simpson_si(PI * (q - c[j]) / s[j]) / PI);
        CHECK_NEAR(p, 0.35, 4e-7); /* Si to 5e-7 */
    }
}

/* ---- the Gaussian conditional fit --------------------------------------------------------- */

/* Scale-free coordinates and Jacobian by differences. */
static void test_scale_free(int r)
{
    int n = vech_size(r);
    double *x = normals((size_t) n), *t = nans((size_t) n), *J = nans((size_t) (n * n)),
           jac, jac0;
    double *up = nans((size_t) n), *down = nans((size_t) n), e = 1e-5;
    double *T = nans((size_t) (r * r)), logdet = scale_free_to_vech(r, x, t, &jac);
    vech_unpack(r, t, T);
    double *inv = nans((size_t) (r * r));
    for (int j = 0; j < r; j++)
        for (int i = j; i < r; i++) AT(T, j, i, r) = AT(T, i, j, r);
    CHECK_NEAR(logdet, naive_inverse(r, T, inv), 1e-10);
    for (int j = 0; j < n; j++) {
        double at = x[j];
        x[j] = at + e;
        scale_free_to_vech(r, x, up, &jac0);
        x[j] = at - e;
        scale_free_to_vech(r, x, down, &jac0);
        x[j] = at;
        for (int i = 0; i < n; i++) AT(J, i, j, n) = (up[i] - down[i]) / (2 * e);
    }
    CHECK_NEAR(jac, naive_logdet(n, J), 1e-7);
}

static double log_wishart(int r, double df, const double *R, const double *L)
{
    double *inv = nans((size_t) (r * r)), s = 0.5 * df * naive_inverse(r, R, inv);
    s += 0.5 * (df - r - 1) * naive_inverse(r, L, inv) - 0.5 * df * r * log(2) -
         0.25 * r * (r - 1) * log(PI);
    for (int i = 0; i < r; i++) s -= lgamma(0.5 * (df - i));
    for (int i = 0; i < r * r; i++) s -= 0.5 * R[i] * L[i];
    return s;
}

/* Half-t: Wishart(nu + r - 1, rate 2 nu diag(c)), c gamma(1/2, 1/A^2), integrated over log c by the
 * trapezoid rule one by one (the rate enters as prod c^((nu + r - 1) / 2) exp(-nu c L_kk)). */
static double log_half_t(const struct precision *pr, const double *L)
{
    int r = pr->r;
    double df = pr->nu + r - 1, *R = zeros((size_t) (r * r));
    for (int i = 0; i < r; i++) AT(R, i, i, r) = 2 * pr->nu;
    double s = log_wishart(r, df, R, L);
    for (int i = 0; i < r; i++) {
        double total = 0, h = 0.02;
        for (double x = -60; x < 10; x += h) {
            double c = exp(x);
            total +=
                h * exp(0.5 * df * x - pr->nu * (c - 1) * AT(L, i, i, r) + 0.5 * x -
                        c * pr->aux_rate[i] + 0.5 * log(pr->aux_rate[i]) - lgamma(0.5));
        }
        s += log(total);
    }
    return s;
}

/* f(psi), from the marginal covariance of the rows. */
static double dense_log_density(const struct sim *d, const double *psi)
{
    const struct lmm *m = &d->m;
    int n = d->n, dim = (int) arrow_dim(&m->shape), p = m->p;
    double *V = zeros((size_t) (dim * dim)), *S = zeros((size_t) (n * n)),
           *inv = nans((size_t) (n * n));
    double s = 0, jac, *Tb_inv = nans((size_t) (p * p)), t[64];
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        int r = pr->r;
        double *L = nans((size_t) (r * r)), *C = nans((size_t) (r * r));
        scale_free_to_vech(r, psi + pr->at, t, &jac);
        vech_unpack(r, t, L);
        for (int j = 0; j < r; j++)
            for (int i = j; i < r; i++) AT(L, j, i, r) = AT(L, i, j, r);
        s += jac +
             (pr->nu > 0 ? log_half_t(pr, L) : log_wishart(r, pr->df0, pr->rate0, L));
        naive_inverse(r, L, C);
        for (int g = 0; k > 0 && g < pr->n_levels; g++)
            for (int b = 0; b < r; b++)
                for (int a = 0; a < r; a++)
                    V[lmm_coef(m, k, g) * (size_t) (dim + 1) + (size_t) (a + b * dim)] =
                        AT(C, a, b, r);
    }
    naive_inverse(p, m->Tb, Tb_inv);
    for (int j = 0; j < p; j++)
        for (int i = 0; i < p; i++) AT(V, i, j, dim) = AT(Tb_inv, i, j, p);
    double *res = copy((size_t) n, d->y);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < p; j++) res[i] -= AT(d->C, i, j, n) * m->mu[j];
        AT(S, i, i, n) = exp(-psi[0]);
    }
    double *CV = zeros((size_t) (n * dim));
    for (int j = 0; j < dim; j++)
        for (int k = 0; k < dim; k++)
            if (AT(V, k, j, dim) != 0)
                for (int i = 0; i < n; i++)
                    AT(CV, i, j, n) += AT(d->C, i, k, n) * AT(V, k, j, dim);
    for (int j = 0; j < n; j++)
        for (int k = 0; k < dim; k++)
            if (AT(d->C, j, k, n) != 0)
                for (int i = 0; i < n; i++)
                    AT(S, i, j, n) += AT(CV, i, k, n) * AT(d->C, j, k, n);
    s -= 0.5 * (naive_inverse(n, S, inv) + n * log(2 * PI));
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) s -= 0.5 * res[i] * AT(inv, i, j, n) * res[j];
    return s;
}

/* A centre anywhere: theta, h - G theta and the residual sum of squares from the rows. */
static struct lmm_centre centre_at(const struct sim *d, const double *theta)
{
    size_t dim = arrow_dim(&d->m.shape);
    double *grad = zeros(dim), rss = 0;
    for (int i = 0; i < d->n; i++) {
        double e = d->y[i];
        for (size_t j = 0; j < dim; j++) e -= AT(d->C, i, j, d->n) * theta[j];
        rss += e * e;
        for (size_t j = 0; j < dim; j++) grad[j] += AT(d->C, i, j, d->n) * e;
    }
    return (struct lmm_centre){theta, grad, rss};
}

static struct lmm_exact exact_of(const struct lmm *m, const struct lmm_centre *c)
{
    struct arena count = {NULL, 0};
    lmm_exact_carve(m, &count);
    struct arena a = arena_of(count.used);
    struct lmm_exact e = lmm_exact_carve(m, &a);
    CHECK(a.used == count.used);
    e.centre = c;
    lmm_exact_prepare(&e);
    return e;
}

static struct conditional conditional_at(const struct lmm *m, const struct lmm_centre *c)
{
    struct arena count = {NULL, 0};
    lmm_exact_conditional(m, c, &count);
    struct arena a = arena_of(count.used);
    const struct conditional x = lmm_exact_conditional(m, c, &a);
    CHECK(a.used == count.used);
    return x;
}

/* P and E theta given psi, dense: S <- P^-1, mean. */
static void dense_conditional(const struct lmm *m, const double *psi, double *S,
                              double *mean)
{
    int dim = (int) arrow_dim(&m->shape);
    double t[64], jac, L[VECH_MAX_R * VECH_MAX_R], *P = dense_of(&m->shape, &m->G);
    for (int i = 0; i < dim * dim; i++) P[i] *= exp(psi[0]);
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p; i++) AT(P, i, j, dim) += AT(m->Tb, i, j, m->p);
    for (int k = 1; k < m->n_prec; k++) {
        int r = m->prec[k].r;
        scale_free_to_vech(r, psi + m->prec[k].at, t, &jac);
        vech_unpack(r, t, L);
        for (int g = 0; g < m->prec[k].n_levels; g++)
            for (int b = 0; b < r; b++)
                for (int a = 0; a < r; a++)
                    P[lmm_coef(m, k, g) * (size_t) (dim + 1) + (size_t) (a + b * dim)] +=
                        a >= b ? AT(L, a, b, r) : AT(L, b, a, r);
    }
    naive_inverse(dim, P, S);
    for (int i = 0; i < dim; i++) {
        mean[i] = 0;
        for (int j = 0; j < dim; j++) {
            double rhs = exp(psi[0]) * m->h[j];
            for (int k = 0; k < m->p && j < m->p; k++)
                rhs += AT(m->Tb, j, k, m->p) * m->mu[k];
            mean[i] += AT(S, i, j, dim) * rhs;
        }
    }
}

/* Many psi at once against one by one: among them one out of range, one without digits, and a rest that
 * does not fill the lanes. */
static void check_many(struct lmm_exact *e)
{
    enum { N = 11 };
    size_t d = (size_t) e->m->n_stat;
    double *psi = normals(N * d), *f = nans(N);
    psi[2 * d] = 301;
    psi[5 * d] = 60;
    for (size_t i = 1; i < d; i++) {
        psi[3 * d + i] = 12;
        psi[7 * d + i] = -6;
    }
    lmm_exact_log_densities(e, N, psi, f);
    for (int i = 0; i < N; i++) {
        double alone = lmm_exact_log_density(e, psi + (size_t) i * d);
        CHECK(isfinite(alone) == isfinite(f[i]));
        if (isfinite(alone)) CHECK_NEAR(f[i], alone, 1e-11 * (1 + fabs(alone)));
    }
}

static void test_density(const struct sim *d)
{
    const struct lmm *m = &d->m;
    int dim = (int) arrow_dim(&m->shape);
    double *zero = zeros((size_t) dim), *mean = nans((size_t) dim);
    struct lmm_centre near = centre_at(d, normals((size_t) dim)),
                      far = centre_at(d, zero);
    struct lmm_exact a = exact_of(m, &near), b = exact_of(m, &far);
    double *S = nans((size_t) (dim * dim)), *want = nans((size_t) dim);
    for (int rep = 0; rep < 6; rep++) {
        double *psi = normals((size_t) m->n_stat);
        if (rep == 4)
            for (int i = 1; i < m->n_stat; i++) psi[i] = 12; /* effects pinned at zero */
        if (rep == 5)
            for (int i = 1; i < m->n_stat; i++) psi[i] = -6; /* effects free */
        double f = lmm_exact_log_density(&a, psi);
        if (rep < 4 || m->n_stat < 3) CHECK_NEAR(f, dense_log_density(d, psi), 1e-9);
        CHECK_NEAR(f, lmm_exact_log_density(&b, psi), 1e-9); /* whatever the centre */
        lmm_exact_mean(&a, mean);
        dense_conditional(m, psi, S, want);
        for (int i = 0; i < dim && rep < 4; i++) CHECK_NEAR(mean[i], want[i], 1e-8);
        /* draws: unit normals turn into columns of a root of S */
        double *SS = zeros((size_t) (dim * dim)), *x = nans((size_t) dim);
        for (int c = 0; c < dim && rep == 0; c++) {
            for (int i = 0; i < dim; i++) x[i] = i == c;
            arrow_backsolve(&m->shape, &a.F, x);
            for (int j = 0; j < dim; j++)
                for (int i = 0; i < dim; i++) AT(SS, i, j, dim) += x[i] * x[j];
        }
        for (int i = 0; i < dim * dim && rep == 0; i++) CHECK_NEAR(SS[i], S[i], 1e-9);
    }
    double *out = zeros((size_t) m->n_stat);
    out[0] = 301;
    CHECK(lmm_exact_log_density(&a, out) == -INFINITY);
    out[0] = NAN;
    CHECK(lmm_exact_log_density(&a, out) == -INFINITY);
    out[0] = 60; /* the sums of squares have no digits left */
    CHECK(lmm_exact_log_density(&b, out) == -INFINITY);
    check_many(&a);
    check_many(&b);
}

/* The mixture over four nodes, every output against dense sums. */
static void test_mixture(const struct sim *d)
{
    const struct lmm *m = &d->m;
    const struct arrow_shape *s = &m->shape;
    enum { N = 4, ROWS = 5 };
    int dim = (int) arrow_dim(s), ng = s->n_global, r = s->r;
    size_t n2 = (size_t) (dim * dim);
    static const double w[N] = {0.1, 0.4, 0.3, 0.2};
    double *psi = normals((size_t) (N * m->n_stat));
    double *global = normals((size_t) (ROWS * ng)), *z = normals((size_t) (ROWS * r));
    int leaf[ROWS] = {-1, 0, s->n_leaf - 1, -1, s->n_leaf / 2};
    for (int i = 0; i < ROWS; i++)
        if (s->n_leaf == 0) leaf[i] = -1;
    struct arrow_rows rows = {.n = ROWS, .global = global, .z = z, .leaf = leaf};
    struct lmm_centre c = centre_at(d, normals((size_t) dim));
    const struct conditional x = conditional_at(m, &c);
    struct arena count = {NULL, 0};
    conditional_carve(s, true, &count);
    struct arena a = arena_of(count.used);
    struct conditional_work work = conditional_carve(s, true, &a);
    CHECK(a.used == count.used);
    struct conditional_mixture out = {.mean = zeros((size_t) dim),
                                      .cov_global = zeros(arrow_global_size(s)),
                                      .cov_leaf = zeros(arrow_leaf_size(s)),
                                      .node_mean = nans((size_t) (N * dim)),
                                      .node_var = nans((size_t) (N * dim)),
                                      .cov = zeros(n2),
                                      .row_mean = nans(N * ROWS),
                                      .row_var = nans(N * ROWS)};
    struct core_info info = {0, -1};
    CHECK(conditional_mixture(&x, N, psi, w, &rows, &out, &work, NULL, &info) == CORE_OK);
    double *S = nans(n2), *mean = nans((size_t) dim), *m1 = zeros((size_t) dim),
           *m2 = zeros(n2);
    for (int k = 0; k < N; k++) {
        dense_conditional(m, psi + k * m->n_stat, S, mean);
        for (int i = 0; i < dim; i++) {
            CHECK_NEAR(out.node_mean[k * dim + i], mean[i], 1e-8);
            CHECK_NEAR(out.node_var[k * dim + i], AT(S, i, i, dim), 1e-8);
            m1[i] += w[k] * mean[i];
            for (int j = 0; j < dim; j++)
                AT(m2, i, j, dim) += w[k] * (AT(S, i, j, dim) + mean[i] * mean[j]);
        }
        for (int i = 0; i < ROWS; i++) {
            double *v = zeros((size_t) dim), mu = 0, var = 0;
            memcpy(v, global + i * ng, sizeof(double) * (size_t) ng);
            for (int b = 0; leaf[i] >= 0 && b < r; b++)
                v[ng + leaf[i] * r + b] = z[i * r + b];
            for (int b = 0; b < dim; b++) {
                mu += v[b] * mean[b];
                for (int y = 0; y < dim; y++) var += v[b] * AT(S, b, y, dim) * v[y];
            }
            CHECK_NEAR(out.row_mean[k * ROWS + i], mu, 1e-8);
            CHECK_NEAR(out.row_var[k * ROWS + i], var, 1e-8);
        }
    }
    for (int i = 0; i < dim; i++) {
        CHECK_NEAR(out.mean[i], m1[i], 1e-8);
        for (int j = 0; j < dim; j++) {
            double cov = AT(m2, i, j, dim) - m1[i] * m1[j];
            CHECK_NEAR(AT(out.cov, i, j, dim), cov, 1e-8);
            if (i < ng && j < ng) CHECK_NEAR(AT(out.cov_global, i, j, ng), cov, 1e-8);
            if (i >= ng && j >= ng && (i - ng) / r == (j - ng) / r)
                CHECK_NEAR(
                    out.cov_leaf[(i - ng) / r * r * r + (i - ng) % r + (j - ng) % r * r],
                    cov, 1e-8);
        }
    }
    /* alone: only the mean is asked for; interrupted; a node without density */
    struct conditional_mixture bare = {.mean = zeros((size_t) dim)};
    CHECK(conditional_mixture(&x, N, psi, w, NULL, &bare, &work, NULL, &info) == CORE_OK);
    for (int i = 0; i < dim; i++) CHECK_NEAR(bare.mean[i], m1[i], 1e-8);
    int at = 0;
    struct core_hooks h = {stop_at, &at};
    CHECK(conditional_mixture(&x, N, psi, w, NULL, &bare, &work, &h, &info) ==
          CORE_INTERRUPTED);
    psi[m->n_stat] = 400;
    CHECK(conditional_mixture(&x, N, psi, w, NULL, &bare, &work, NULL, &info) ==
          CORE_NONFINITE);
}

/* A lattice that goes on from a smaller one is the larger one, for the points that are new. */
static void test_known_points(void)
{
    struct known k = known_of(2, 1, 3);
    struct target f = {2, known_density, &k, NULL};
    struct mode m = mode_of(&f, POINT, 0.5);
    struct grid whole = lattice_of(&f, &m, 0.7, 9, 4000, NULL);
    struct grid part = lattice_of(&f, &m, 0.7, 4, 4000, NULL);
    int first = part.l.n, calls = k.calls;
    CHECK(first > 10 && first < whole.l.n);
    CHECK(nest_lattice(&f, m.psi, m.L, 0.7, 9, &part.l, ints(nest_lattice_table(4000)),
                       NULL, &part.info) == CORE_OK);
    CHECK(part.l.n == whole.l.n && k.calls - calls == whole.l.n - first);
    for (int i = 0; i < whole.l.n; i++) {
        int at = -1;
        for (int j = 0; j < part.l.n; j++)
            if (!memcmp(part.l.index + 2 * j, whole.l.index + 2 * i, 2 * sizeof(int)))
                at = j;
        CHECK(at >= 0);
        if (at < 0) continue;
        CHECK(part.l.log_density[at] == whole.l.log_density[i]);
        CHECK(part.l.gradient[2 * at] == whole.l.gradient[2 * i]);
    }
}

void test_nest(void)
{
    test_known_points();
    for (int d = 1; d <= 4; d++) {
        test_mode(d, 0, 1);
        test_mode(d, 0, 0.05);
        test_mode(d, d > 1 ? 2 : 1, 1);
        test_mode(d, 1, 4);
    }
    for (int d = 1; d <= 4; d++) test_axes(d);
    for (int skewed = 0; skewed < 2; skewed++) {
        test_ridge(skewed, 1);
        test_ridge(skewed, -1);
    }
    test_noise(1e-8);
    test_noise(1e-6);
    test_noise(1e-4);
    test_sums(1, 0, 0.5, 35, 1e-10);
    test_sums(1, 1, 0.4, 35, 1e-8);
    test_sums(2, 0, 0.5, 35, 1e-10);
    test_sums(2, 1, 0.4, 30, 1e-8);
    test_sums(2, 2, 0.4, 30, 1e-8);
    test_sums(3, 0, 0.75, 25, 1e-6);
    test_sums(3, 2, 0.6, 25, 1e-5);
    test_sums(4, 0, 0.9, 20, 1e-5);
    test_sums(4, 1, 0.8, 20, 1e-4);
    test_gradient();
    test_limits();
    test_quantiles();
    test_sine_integral();
    for (int r = 1; r <= 4; r++) test_scale_free(r);
    struct sim sims[] = {sim_intercept(20, 4, 1), sim_general(false), sim_general(true)};
    for (int i = 0; i < 3; i++) {
        test_density(&sims[i]);
        test_mixture(&sims[i]);
    }
}
