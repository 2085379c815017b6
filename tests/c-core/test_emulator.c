/* test_emulator.c: the process against its data, coordinates against differences, the logarithm against its
 * inverse. */
#include <math.h>
#include <string.h>
#include <stdlib.h>
#include "check.h"
#include "base/la.h"
#include "base/lanes.h"
#include "base/matrix_log.h"
#include "base/scale_free.h"
#include "base/vech.h"
#include "engine/bend.h"
#include "engine/emulator_coord.h"
#include "engine/emulator_coord_lanes.h"
#include "engine/emulator_gp.h"
#include "support.h"

/* x and q of a matrix with known axes; push against differences. */
static void check_log(int r)
{
    double B[9] = {3, 0.5, -0.4, 0.5, 2, 0.3, -0.4, 0.3, 1.5}, M[9] = {0}, x[6], q[6],
           V[9], d[3];
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++) M[i + j * r] = B[i + 3 * j];
    CHECK(matrix_log(r, M, x, q));
    CHECK(matrix_log_axes(r, M, V, d));
    double Q[9], I[9], trace = 0, sum = 0;
    vech_unpack(r, q, Q);
    la_matmul(r, M, Q, I); /* q is the inverse */
    for (int i = 0; i < r * r; i++) CHECK_NEAR(I[i], i % (r + 1) == 0, 1e-14);
    for (int a = 0; a < r; a++) {
        trace += x[vech_at(r, a, a)];
        sum += d[a];
    }
    CHECK_NEAR(trace, sum, 1e-14);
    for (int b = 0; b < r; b++) /* B = V exp(d) V' and X = V d V' */
        for (int a = b; a < r; a++) {
            double s = 0, t = 0;
            for (int k = 0; k < r; k++) {
                s += V[a + k * r] * V[b + k * r] * exp(d[k]);
                t += V[a + k * r] * V[b + k * r] * d[k];
            }
            CHECK_NEAR(s, M[a + b * r], 1e-14);
            CHECK_NEAR(t, x[vech_at(r, a, b)], 1e-14);
        }
}

enum { N = 4, D = 2, P = 3, LEN = N * (D + 1) };

static double f_at(const double *z) { return sin(z[0]) + 0.3 * z[1] * z[1] * z[0]; }
static void g_at(const double *z, double *g)
{
    g[0] = cos(z[0]) + 0.3 * z[1] * z[1];
    g[1] = 0.6 * z[0] * z[1];
}

/* Values and gradients come back where they are known, without doubt. */
/* Four points at once against one by one, with a combination of the values. */
static void check_process_lanes(const struct emulator_gp *gp,
                                const struct emulator_values *v)
{
    double shift[1 + D + N], basis[1 + D + N], four[D * 4], bare[4] = {0}, both[4] = {0};
    const double none[P] = {0};
    if (!lanes_here()) return;
    for (int i = 0; i < 1 + D + N; i++) shift[i] = cos(3 * i);
    for (int i = 0; i < D * 4; i++) four[i] = 2 * sin(5 * i);
    emulator_gp_lanes(gp, NULL, four, bare);
    emulator_gp_lanes(gp, shift, four, both);
    for (int l = 0; l < 4; l++) {
        double z[D], sum = 0;
        for (int j = 0; j < D; j++) z[j] = four[4 * j + l];
        double alone = emulator_gp_mean(gp, z, none);
        CHECK_NEAR(bare[l], alone, 1e-12 * (1 + fabs(alone)));
        emulator_gp_values_basis(v, z, basis);
        for (int i = 0; i < 1 + D + N; i++) sum += shift[i] * basis[i];
        CHECK_NEAR(both[l] - bare[l], sum, 1e-12 * (1 + fabs(alone)));
    }
}

static void check_process(void)
{
    const double z[D * N] = {0, 0, 1.5, 0.2, -1.2, 0.8, 0.4, -1.6};
    double y[LEN], H[LEN * P] = {0};
    for (int i = 0; i < N; i++) {
        double g[D];
        g_at(z + i * D, g);
        y[i] = f_at(z + i * D);
        H[i] = 1;
        for (int k = 0; k < D; k++) {
            y[(k + 1) * N + i] = g[k];
            H[i + (k + 1) * LEN] = z[i * D + k];
            H[(k + 1) * N + i + (k + 1) * LEN] = 1;
        }
    }
    struct arena count = {NULL, 0};
    emulator_gp_carve(N, D, P, &count);
    emulator_gp_values_carve(N, D, &count);
    struct arena a = arena_of(count.used);
    struct emulator_gp gp = emulator_gp_carve(N, D, P, &a);
    struct emulator_values v = emulator_gp_values_carve(N, D, &a);
    CHECK(emulator_gp_fit(&gp, 2, z, y, H));
    CHECK(gp.rank == P);
    for (int i = 0; i < N; i++) {
        const double *at = z + i * D, h[P] = {1, at[0], at[1]}, e = 1e-4;
        double sd, work[LEN];
        CHECK_NEAR(emulator_gp_mean(&gp, at, h), y[i], 1e-7);
        emulator_gp_sd(&gp, 1, at, h, &sd, work);
        CHECK(sd < 1e-4);
        for (int k = 0; k < D; k++) {
            double up[D] = {at[0], at[1]}, down[D] = {at[0], at[1]};
            up[k] += e;
            down[k] -= e;
            const double hu[P] = {1, up[0], up[1]}, hd[P] = {1, down[0], down[1]};
            double slope =
                (emulator_gp_mean(&gp, up, hu) - emulator_gp_mean(&gp, down, hd)) /
                (2 * e);
            CHECK_NEAR(slope, y[(k + 1) * N + i], 1e-5);
        }
    }
    CHECK(emulator_gp_values_fit(&v, z));
    double basis[1 + D + N], w[N], sum = 0;
    emulator_gp_values_at(&v, z + D, basis, w);
    for (int i = 0; i < N; i++) CHECK_NEAR(w[i], i == 1, 1e-5);
    const double other[D] = {0.3, 0.3};
    emulator_gp_values_at(&v, other, basis, w);
    for (int i = 0; i < N; i++) sum += w[i];
    CHECK_NEAR(sum, 1, 1e-7);
    check_process_lanes(&gp, &v);
}

/* A function of the statistics, sum c_i t_i + t_0 t_1 / 2, and its gradient. */
static double of_statistics(const struct lmm *m, const double *psi, double *slope)
{
    double t[8], jacobian, sum = 0;
    for (int k = 0; k < m->n_prec; k++)
        scale_free_to_vech(m->prec[k].r, psi + m->prec[k].at, t + m->prec[k].at,
                           &jacobian);
    for (int i = 0; i < m->n_stat; i++) {
        slope[i] = 0.3 * i - 0.7;
        sum += slope[i] * t[i];
    }
    slope[0] += t[1] / 2;
    slope[1] += t[0] / 2;
    return sum + t[0] * t[1] / 2;
}

/* Four points at once against one by one: the last is out of range. */
static void check_coordinate_lanes(const struct emulator_coord *c)
{
    enum { MAX = EMULATOR_MAX_D };
    int d = c->m->n_stat;
    double v[4 * MAX], psi[4 * MAX], x[4 * MAX], q[4 * MAX], prior[4];
    if (!lanes_here()) return;
    for (int i = 0; i < 4 * d; i++) v[i] = 1.5 * sin(2.3 * i);
    for (int j = 0; j < d; j++)
        v[4 * j + 1] *= 2; /* large correlations, small variances */
    v[3] = -400;
    emulator_coord_lanes_at(c, v, psi, x, q, prior);
    for (int l = 0; l < 4; l++) {
        double at[MAX], p[MAX], y[MAX], e[MAX];
        for (int j = 0; j < d; j++) at[j] = v[4 * j + l];
        double jacobian = bend_to_psi(d, c->bend, at, p);
        bool there = emulator_coord_at(c, p, y, e);
        CHECK(there == !isnan(prior[l]));
        CHECK(there == (l < 3));
        if (!there) continue;
        CHECK_NEAR(prior[l], jacobian + emulator_coord_prior(c, p),
                   1e-11 * (1 + fabs(prior[l])));
        for (int j = 0; j < d; j++) {
            CHECK_NEAR(psi[4 * j + l], p[j], 1e-12 * (1 + fabs(p[j])));
            CHECK_NEAR(x[4 * j + l], y[j], 1e-11 * (1 + fabs(y[j])));
            CHECK_NEAR(q[4 * j + l], e[j], 1e-11);
        }
    }
}

/* The same of one term of three coefficients, without a residual variance. */
static void check_three(void)
{
    const double aux[3] = {0.4, 0.1, 1}, root[9] = {1, 0.3, -0.2, 0, 0.8, 0.5, 0, 0, 0.6};
    double K0[9], inner[1] = {0}, M[9] = {0}, prior[1] = {0.7},
                  bend[6] = {-0.5, NAN, NAN, 0.3, NAN, -1.2};
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < 3; i++) {
            K0[i + 3 * j] = 0;
            for (int k = 0; k < 3; k++)
                K0[i + 3 * j] += root[i + 3 * k] * root[j + 3 * k];
        }
    struct lmm m = {.n_prec = 1, .first_term = 0, .n_stat = 6};
    m.prec[0] =
        (struct precision){.r = 3, .n_levels = 6, .df0 = 5, .nu = 3, .aux_rate = aux};
    struct emulator_coord c = {
        .m = &m, .sampling = {0.2, K0, inner, M}, .prior_const = prior, .bend = bend};
    emulator_coord_prepare(&c);
    check_coordinate_lanes(&c);
}

/* df = g'dx and dq = Q dx along a small step of psi. */
static void check_coordinates(void)
{
    struct lmm m = {.n_prec = 3, .first_term = 1, .n_stat = 5};
    const double aux[2] = {0.4, 0.1}, rate[1] = {0.3};
    m.prec[0] = (struct precision){.r = 1, .at = 0, .df0 = 2, .rate0 = rate};
    m.prec[1] = (struct precision){
        .r = 2, .at = 1, .n_levels = 6, .df0 = 4, .nu = 3, .aux_rate = aux};
    m.prec[2] = (struct precision){
        .r = 1, .at = 4, .n_levels = 18, .df0 = 2, .nu = 2, .aux_rate = aux};
    double K0[6] = {0, 0.5, 0.1, 0.1, 0.3, 0.4}, inner[9] = {0}, M[18] = {0},
           prior[3] = {0}, bend[5] = {-0.5, -1, NAN, 0.2, -2};
    inner[1 + 2 * 3] = 1;
    memcpy(M + 12, (double[6]){0, 0.3, 0.05, 0.05, 0.2, 0}, sizeof(double) * 6);
    struct emulator_coord c = {.m = &m,
                               .sampling = {0.2, K0, inner, M},
                               .e0 = 0.1,
                               .triples = true,
                               .prior_const = prior,
                               .bend = bend};
    emulator_coord_prepare(&c);
    const double psi[5] = {0.3, -0.4, 0.5, 0.8, -0.2};
    double x[5], q[5], g[5], Q[25], slope[5], unused[5], h[64], dh[64], up[64], down[64];
    of_statistics(&m, psi, slope);
    CHECK(emulator_coord_pull(&c, psi, slope, x, q, g, Q));
    for (int j = 0; j < 5; j++) {
        double e = 1e-5, a[5], b[5], xa[5], xb[5], qa[5], qb[5], sum = 0;
        memcpy(a, psi, sizeof a);
        memcpy(b, psi, sizeof b);
        a[j] += e;
        b[j] -= e;
        CHECK(emulator_coord_at(&c, a, xa, qa) && emulator_coord_at(&c, b, xb, qb));
        for (int i = 0; i < 5; i++) sum += g[i] * (xa[i] - xb[i]);
        CHECK_NEAR(sum / (2 * e),
                   (of_statistics(&m, a, unused) - of_statistics(&m, b, unused)) /
                       (2 * e),
                   1e-8);
        for (int i = 0; i < 5; i++) {
            double dq = 0;
            for (int l = 0; l < 5; l++) dq += Q[i + 5 * l] * (xa[l] - xb[l]);
            CHECK_NEAR(dq / (2 * e), (qa[i] - qb[i]) / (2 * e), 1e-8);
        }
        emulator_coord_trend(&c, xa, qa, up);
        emulator_coord_trend(&c, xb, qb, down);
        memset(h, 0, sizeof h);
        for (int l = 0; l < 5; l++) {
            emulator_coord_trend_slope(&c, q, Q, l, dh);
            for (int i = 0; i < emulator_coord_size(&c); i++)
                h[i] += dh[i] * (xa[l] - xb[l]);
        }
        for (int i = 0; i < emulator_coord_size(&c); i++)
            CHECK_NEAR(h[i] / (2 * e), (up[i] - down[i]) / (2 * e), 1e-8);
    }
    double v[5], back[5], shifted[5],
        jacobian = bend_to_psi(5, c.bend, (bend_from_psi(5, c.bend, psi, v), v), back);
    for (int i = 0; i < 5; i++) {
        CHECK_NEAR(back[i], psi[i], 1e-11);
        v[i] += 1e-6;
        bend_to_psi(5, c.bend, v, shifted);
        v[i] -= 1e-6;
        jacobian -= log(fabs(shifted[i] - back[i]) / 1e-6);
    }
    CHECK_NEAR(jacobian, 0, 1e-5);
    check_coordinate_lanes(&c);
}

void test_emulator(void)
{
    for (int r = 1; r <= 3; r++) check_log(r);
    check_process();
    check_coordinates();
    check_three();
}
