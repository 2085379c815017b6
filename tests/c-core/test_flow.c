/* test_flow.c: the flow and its inverse, log determinants against numeric Jacobians, slopes and
 * scores against differences, and the fit of densities in C. */
#include <math.h>
#include <string.h>
#include <R_ext/Random.h>
#include "blackbox/flow_fit.h"
#include "check.h"
#include "support.h"

enum { DRAWS = 4 };

struct made {
    struct flow f;
    struct flow_room room;
    size_t n_w;
    double *w, *e, *z;
};

static struct flow_room room_of(const struct flow *f, int n, bool keep)
{
    struct arena a = {NULL, 0};
    flow_room_carve(f, n, keep, &a);
    a = arena_of(a.used);
    return flow_room_carve(f, n, keep, &a);
}

static double *root_of(int d)
{
    double *L = zeros((size_t) (d * d));
    for (int j = 0; j < d; j++) {
        for (int i = j + 1; i < d; i++) AT(L, i, j, d) = .3 * norm_rand();
        AT(L, j, j, d) = .5 + unif_rand();
    }
    return L;
}

static struct made make(int d, int layers, int hidden, bool keep)
{
    struct made x = {.f = {.d = d, .layers = layers, .hidden = hidden}};
    size_t dn = (size_t) d * DRAWS;
    x.f.m = normals((size_t) d);
    x.f.L = root_of(d);
    x.n_w = flow_n_weights(&x.f);
    x.f.w = x.w = normals(x.n_w);
    for (size_t i = 0; i < x.n_w; i++) x.w[i] *= .5;
    x.room = room_of(&x.f, DRAWS, keep);
    x.e = normals(dn);
    x.z = nans(dn);
    flow_forward(&x.f, &x.room, x.e, x.z);
    return x;
}

/* log |det A| by elimination with pivots; A is overwritten. */
static double log_abs_det(int n, double *A)
{
    double out = 0;
    for (int k = 0; k < n; k++) {
        int p = k;
        for (int i = k; i < n; i++)
            if (fabs(AT(A, i, k, n)) > fabs(AT(A, p, k, n))) p = i;
        for (int j = 0; j < n; j++) {
            double was = AT(A, k, j, n);
            AT(A, k, j, n) = AT(A, p, j, n);
            AT(A, p, j, n) = was;
        }
        out += log(fabs(AT(A, k, k, n)));
        for (int i = k + 1; i < n; i++)
            for (int j = n - 1; j >= k; j--)
                AT(A, i, j, n) -= AT(A, i, k, n) / AT(A, k, k, n) * AT(A, k, j, n);
    }
    return out;
}

/* log |dz / de| of every draw by central differences. */
static void numeric_log_det(struct made *x, double *out)
{
    int d = x->f.d;
    size_t dn = (size_t) d * DRAWS;
    double h = 1e-5, *up = nans(dn), *down = nans(dn),
           *J = nans((size_t) (d * d) * DRAWS);
    for (int j = 0; j < d; j++) {
        double *e = copy(dn, x->e);
        for (int i = 0; i < DRAWS; i++) AT(e, j, i, d) += h;
        flow_forward(&x->f, &x->room, e, up);
        for (int i = 0; i < DRAWS; i++) AT(e, j, i, d) -= 2 * h;
        flow_forward(&x->f, &x->room, e, down);
        for (int i = 0; i < DRAWS; i++)
            for (int k = 0; k < d; k++)
                J[i * d * d + j * d + k] =
                    (AT(up, k, i, d) - AT(down, k, i, d)) / (2 * h);
    }
    for (int i = 0; i < DRAWS; i++) out[i] = log_abs_det(d, J + i * d * d);
    flow_forward(&x->f, &x->room, x->e, x->z);
}

static void test_map(int d, int layers)
{
    struct made x = make(d, layers, 5, true);
    size_t dn = (size_t) d * DRAWS;
    double log_q[DRAWS], log_det[DRAWS], again[DRAWS], *e = nans(dn), *z = nans(dn);
    flow_log_density(&x.f, &x.room, x.e, log_q);
    numeric_log_det(&x, log_det);
    for (int i = 0; i < DRAWS; i++) {
        double ss = 0;
        for (int j = 0; j < d; j++) ss += AT(x.e, j, i, d) * AT(x.e, j, i, d);
        CHECK_NEAR(log_q[i], -ss / 2 - d * log(2 * acos(-1)) / 2 - log_det[i], 1e-7);
    }
    struct flow_room lean = room_of(&x.f, DRAWS, false);
    flow_forward(&x.f, &lean, x.e, z);
    for (size_t i = 0; i < dn; i++) CHECK(z[i] == x.z[i]);
    flow_inverse(&x.f, &lean, x.z, e);
    flow_log_density(&x.f, &lean, e, again);
    for (size_t i = 0; i < dn; i++) CHECK_NEAR(e[i], x.e[i], 1e-10);
    for (int i = 0; i < DRAWS; i++) CHECK_NEAR(again[i], log_q[i], 1e-10);
}

/* A density that is not normal, and its gradient. */
static double bent(int d, const double *z, double *g)
{
    double lp = 0;
    for (int j = 0; j < d; j++) {
        double off = z[j] - (j ? sin(z[j - 1]) : 0);
        g[j] = 0;
        lp -= off * off / 2;
    }
    for (int j = 0; j < d; j++) {
        double off = z[j] - (j ? sin(z[j - 1]) : 0);
        g[j] -= off;
        if (j) g[j - 1] += off * cos(z[j - 1]);
    }
    return lp;
}

/* Mean of log p + c log det over the draws, at weights x->w; with `q`: minus log q of weights held. */
static double objective(struct made *x, double c, const struct flow *q)
{
    int d = x->f.d;
    double sum = 0, *g = nans((size_t) d), log_q[DRAWS], *e = nans((size_t) d * DRAWS);
    flow_forward(&x->f, &x->room, x->e, x->z);
    for (int i = 0; i < DRAWS; i++)
        sum += bent(d, x->z + i * d, g) + c * x->room.log_det[i];
    if (q) {
        struct flow_room lean = room_of(q, DRAWS, false);
        flow_inverse(q, &lean, x->z, e);
        flow_log_density(q, &lean, e, log_q);
        for (int i = 0; i < DRAWS; i++) sum -= log_q[i];
    }
    return sum / DRAWS;
}

/* D <- L' grad log p / n at the draws. */
static double *slopes(const struct made *x)
{
    int d = x->f.d;
    double *D = zeros((size_t) d * DRAWS), *g = nans((size_t) d);
    for (int i = 0; i < DRAWS; i++) {
        bent(d, x->z + i * d, g);
        for (int j = 0; j < d; j++)
            for (int k = j; k < d; k++)
                AT(D, j, i, d) += AT(x->f.L, k, j, d) * g[k] / DRAWS;
    }
    return D;
}

static void test_slope(int d, int layers, bool path)
{
    struct made x = make(d, layers, 3, true);
    struct flow held = x.f;
    held.w = copy(x.n_w, x.w);
    size_t dn = (size_t) d * DRAWS;
    double *D = slopes(&x), *v = nans(dn), *dw = zeros(x.n_w), c[DRAWS], h = 1e-5;
    for (int i = 0; i < DRAWS; i++) c[i] = 1. / DRAWS;
    flow_score(&x.f, &x.room, v);
    for (size_t i = 0; i < dn && path; i++) D[i] -= v[i] / DRAWS;
    flow_slope(&x.f, &x.room, D, path ? NULL : c, dw);
    for (size_t k = 0; k < x.n_w; k++) {
        double was = x.w[k];
        x.w[k] = was + h;
        double up = objective(&x, !path, path ? &held : NULL);
        x.w[k] = was - h;
        double down = objective(&x, !path, path ? &held : NULL);
        x.w[k] = was;
        CHECK_NEAR(dw[k], (up - down) / (2 * h), 1e-6);
    }
}

/* L'^-1 v is the gradient of log q in z. */
static void test_score(int d)
{
    struct made x = make(d, 5, 3, true);
    double *v = nans((size_t) d * DRAWS), *e = nans((size_t) d * DRAWS);
    double log_q[2][DRAWS], h = 1e-5;
    flow_score(&x.f, &x.room, v);
    struct flow_room lean = room_of(&x.f, DRAWS, false);
    for (int j = 0; j < d; j++) { /* along column j of L */
        for (int side = 0; side < 2; side++) {
            double *z = copy((size_t) d * DRAWS, x.z);
            for (int i = 0; i < DRAWS; i++)
                for (int k = 0; k < d; k++)
                    AT(z, k, i, d) += (side ? -h : h) * AT(x.f.L, k, j, d);
            flow_inverse(&x.f, &lean, z, e);
            flow_log_density(&x.f, &lean, e, log_q[side]);
        }
        for (int i = 0; i < DRAWS; i++)
            CHECK_NEAR(AT(v, j, i, d), (log_q[0][i] - log_q[1][i]) / (2 * h), 1e-6);
    }
}

/* Without layers, and with weights as drawn: N(m, L L'). */
static void test_start(void)
{
    struct made none = make(3, 0, 4, true);
    struct ziggurat zig = rand_ziggurat();
    CHECK(none.n_w == 0);
    for (int i = 0; i < DRAWS; i++)
        for (int j = 0; j < 3; j++) {
            double z = none.f.m[j];
            for (int k = 0; k <= j; k++) z += AT(none.f.L, j, k, 3) * AT(none.e, k, i, 3);
            CHECK_NEAR(AT(none.z, j, i, 3), z, 1e-14);
        }
    struct made x = make(3, 4, 6, true);
    flow_draw_weights(&x.f, &zig, x.w);
    x.f.m = none.f.m;
    x.f.L = none.f.L;
    flow_forward(&x.f, &x.room, none.e, x.z);
    for (int i = 0; i < 3 * DRAWS; i++) CHECK_NEAR(x.z[i], none.z[i], 1e-14);
    CHECK(fabs(x.w[0]) > 0 && x.w[x.n_w - 1] == 0);
    CHECK(flow_n_weights(&(struct flow){.d = 3, .layers = 4, .hidden = 6}) ==
          (2 * 6 + 6 + 6 * 2 + 2) + (6 + 6 + 6 * 4 + 4) + (6 + 6 + 6 * 4 + 4) +
              (2 * 6 + 6 + 6 * 2 + 2));
}

static struct flow_fit fit_of(int d, int layers, int steps, bool path)
{
    static double zero[3], unit[9] = {1, 0, 0, 1, 0, 0, 0, 0, 0};
    const struct flow f = {.d = d, .layers = layers, .hidden = 8, .m = zero, .L = unit};
    const struct flow_control ctl = {
        .steps = steps, .draws = 64, .rate = .02, .clip = 10, .cold = 1, .path = path};
    struct arena a = {NULL, 0};
    flow_fit_carve(&f, &ctl, &a);
    a = arena_of(a.used);
    return flow_fit_carve(&f, &ctl, &a);
}

/* Answers a fit; `hole`: from where on the first coordinate has no density. */
static void run(struct flow_fit *x, double hole)
{
    int d = x->f.d;
    flow_fit_start(x);
    while (x->ask.n > 0) {
        double *lp = nans(64), *g = nans((size_t) d * 64);
        for (int i = 0; i < 64; i++) {
            lp[i] = bent(d, x->ask.z + i * d, g + i * d) - d * log(2 * acos(-1)) / 2;
            if (x->ask.z[i * d] > hole) lp[i] = -INFINITY, g[i * d] = NAN;
        }
        CHECK(x->ask.gradient && x->ask.random);
        CHECK(x->ask.take(&x->ask, lp, g) == CORE_OK);
    }
}

static double late(const struct flow_fit *x)
{
    double sum = 0;
    for (int k = x->ctl.steps - 100; k < x->ctl.steps; k++) sum += x->trace[k];
    return sum / 100;
}

static void test_fit(void)
{
    for (int path = 0; path < 2; path++) {
        struct flow_fit x = fit_of(2, 4, 600, path);
        run(&x, INFINITY);
        CHECK(x.end == FLOW_DONE && x.step == 600 && x.skipped == 0);
        CHECK(x.trace[0] < -.1);
        CHECK(fabs(late(&x)) < .01); /* log evidence 0 */
    }
    struct flow_fit hole = fit_of(2, 2, 300, true);
    run(&hole, 2.5);
    CHECK(hole.end == FLOW_DONE && isfinite(late(&hole)));
    struct flow_fit lost = fit_of(2, 2, 300, true);
    run(&lost, -INFINITY);
    CHECK(lost.end == FLOW_LOST && lost.step == FLOW_PATIENCE);
    CHECK(isnan(lost.trace[0]));
}

/* At power zero the first step does not see the density; at one it does. */
static void test_cold(void)
{
    double *w[2], *lp = zeros(64), *g = nans(2 * 64);
    for (int cold = 0; cold < 2; cold++) {
        for (int k = 0; k < 2; k++) {
            struct flow_fit x = fit_of(2, 2, 8, true);
            x.ctl.cold = cold;
            stub_seed(7);
            flow_fit_start(&x);
            for (int i = 0; i < 2 * 64; i++) g[i] = k ? 1 : -2;
            x.ask.take(&x.ask, lp, g);
            w[k] = copy(x.adam.n, x.w);
        }
        double off = 0;
        for (size_t j = 0; j < flow_n_weights(&(struct flow){2, 2, 8, 0, 0, 0}); j++)
            off += fabs(w[0][j] - w[1][j]);
        CHECK(cold ? off > .01 : off == 0);
    }
}

void test_flow(void)
{
    for (int d = 2; d < 6; d++) {
        test_map(d, 5);
        test_slope(d, 4, false);
        test_slope(d, 4, true);
        test_score(d);
    }
    test_start();
    test_fit();
    test_cold();
}
