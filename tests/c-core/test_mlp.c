/* test_mlp.c: layers against loops written out, the backward pass against differences, Adam. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "network/adam.h"
#include "network/mlp.h"
#include "support.h"

enum { N = 5 };

static const int sizes[4] = {3, 4, 6, 2};
static const enum mlp_activation acts[3] = {MLP_TANH, MLP_RELU, MLP_LINEAR};
static const struct mlp_shape three = {3, sizes, acts};

static double act_of(enum mlp_activation act, double a)
{
    return act == MLP_TANH ? tanh(a) : act == MLP_RELU ? fmax(a, 0) : a;
}

/* Output k of one row, written out. */
static void naive(const struct mlp_shape *s, const double *w, const double *x,
                  double *out)
{
    double u[16], v[16];
    memcpy(u, x, sizeof(double) * (size_t) s->size[0]);
    for (int l = 0; l < s->n_layers; l++) {
        int in = s->size[l], to = s->size[l + 1];
        for (int k = 0; k < to; k++) {
            double a = w[in * to + k];
            for (int j = 0; j < in; j++) a += w[k + j * to] * u[j];
            v[k] = act_of(s->act[l], a);
        }
        memcpy(u, v, sizeof u);
        w += (in + 1) * to;
    }
    memcpy(out, u, sizeof(double) * (size_t) s->size[s->n_layers]);
}

/* F = sum c o output: what the backward pass is the slope of. */
static double weighed(const struct mlp_shape *s, const double *w, const double *x,
                      const double *c)
{
    double *units = nans(N * mlp_n_units(s));
    mlp_forward(s, w, N, x, units);
    const double *out = mlp_output(s, N, units);
    double sum = 0;
    for (int i = 0; i < N * s->size[s->n_layers]; i++) sum += c[i] * out[i];
    return sum;
}

static double difference(const struct mlp_shape *s, double *w, double *x, const double *c,
                         double *at)
{
    double h = 1e-5, was = *at;
    *at = was + h;
    double up = weighed(s, w, x, c);
    *at = was - h;
    double down = weighed(s, w, x, c);
    *at = was;
    return (up - down) / (2 * h);
}

static void test_shape(const struct mlp_shape *s)
{
    size_t n_w = mlp_n_weights(s), in = (size_t) s->size[0];
    size_t out = (size_t) s->size[s->n_layers];
    double *w = normals(n_w), *x = normals(N * in), *c = normals(N * out);
    double *units = nans(N * mlp_n_units(s)), value[16];
    mlp_forward(s, w, N, x, units);
    for (size_t i = 0; i < N; i++) {
        naive(s, w, x + i * in, value);
        for (size_t k = 0; k < out; k++)
            CHECK_NEAR(mlp_output(s, N, units)[i * out + k], value[k], 1e-13);
    }
    double *dw = normals(n_w), *before = copy(n_w, dw), *dx = nans(N * in);
    mlp_backward(s, w, N, x, units, copy(N * out, c), dw, dx);
    for (size_t j = 0; j < n_w; j++)
        CHECK_NEAR(dw[j] - before[j], difference(s, w, x, c, w + j), 1e-7);
    for (size_t j = 0; j < N * in; j++)
        CHECK_NEAR(dx[j], difference(s, w, x, c, x + j), 1e-7);
    double *again = copy(n_w, before), *dx2 = nans(N * in);
    mlp_backward(s, w, N, x, units, copy(N * out, c), again, NULL);
    mlp_backward(s, w, N, x, units, copy(N * out, c), NULL, dx2);
    for (size_t j = 0; j < n_w; j++) CHECK(again[j] == dw[j]);
    for (size_t j = 0; j < N * in; j++) CHECK(dx2[j] == dx[j]);
}

static void test_sizes(void)
{
    CHECK(mlp_n_weights(&three) == 16 + 30 + 14);
    CHECK(mlp_n_units(&three) == 4 + 6 + 2 + 4 + 6);
    CHECK(mlp_layer_weights(&three, 0) == 0);
    CHECK(mlp_layer_weights(&three, 2) == 16 + 30);
    test_shape(&three);
    const int one[2] = {1, 1}, wide[3] = {2, 7, 5};
    const enum mlp_activation bent[2] = {MLP_TANH, MLP_TANH};
    test_shape(&(struct mlp_shape){1, one, bent});
    test_shape(&(struct mlp_shape){2, wide, bent});
}

/* Adam's first step has the length of its rate, whatever the scale; then it climbs a parabola. */
static void test_adam(void)
{
    struct arena size = {NULL, 0};
    adam_carve(2, &size);
    struct arena a = arena_of(size.used);
    struct adam x = adam_carve(2, &a);
    double w[2] = {0, 5}, g[2] = {3e-3, -2e4};
    adam_start(&x);
    CHECK(adam_step(&x, .1, g, w));
    CHECK_NEAR(w[0], .1, 1e-5);
    CHECK_NEAR(w[1], 4.9, 1e-9);
    g[0] = NAN;
    CHECK(!adam_step(&x, .1, g, w));
    CHECK_NEAR(w[1], 4.9, 1e-9);
    g[0] = 1; /* moments by hand */
    g[1] = 0;
    CHECK(adam_step(&x, 1, g, w));
    double first = (.9 * .1 * 3e-3 + .1) / (1 - .81);
    double second = (.999 * .001 * 9e-6 + .001) / (1 - .999 * .999);
    CHECK_NEAR(w[0], .1 + first / sqrt(second), 1e-5);
    adam_start(&x);
    for (int k = 0; k < 3000; k++) {
        g[0] = -2 * (w[0] - 1);
        g[1] = -20 * (w[1] + 2);
        adam_step(&x, .05 * (1 - k / 3000.), g, w);
    }
    CHECK_NEAR(w[0], 1, 1e-3);
    CHECK_NEAR(w[1], -2, 1e-3);
    double v[3] = {3, 0, 4};
    CHECK_NEAR(adam_clip(3, v, 10), 5, 1e-14);
    CHECK(v[0] == 3 && v[2] == 4);
    CHECK_NEAR(adam_clip(3, v, 1), 5, 1e-14);
    CHECK_NEAR(v[0], .6, 1e-14);
    CHECK_NEAR(v[2], .8, 1e-14);
}

void test_mlp(void)
{
    test_sizes();
    test_adam();
}
