/* mlp.c: see mlp.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "network/mlp.h"

static size_t layer_size(const struct mlp_shape *s, int l)
{
    return ((size_t) s->size[l] + 1) * (size_t) s->size[l + 1];
}

size_t mlp_layer_weights(const struct mlp_shape *s, int l)
{
    size_t at = 0;
    for (int k = 0; k < l; k++) at += layer_size(s, k);
    return at;
}

size_t mlp_n_weights(const struct mlp_shape *s)
{
    return mlp_layer_weights(s, s->n_layers);
}

/* Units of the layers before layer l (from 0), for each row. */
static size_t units_before(const struct mlp_shape *s, int l)
{
    size_t at = 0;
    for (int k = 0; k < l; k++) at += (size_t) s->size[k + 1];
    return at;
}

size_t mlp_n_units(const struct mlp_shape *s)
{
    return units_before(s, s->n_layers) + units_before(s, s->n_layers - 1);
}

double *mlp_output(const struct mlp_shape *s, int n, double *units)
{
    return units + units_before(s, s->n_layers - 1) * (size_t) n;
}

static void activate(enum mlp_activation act, size_t n, double *u)
{
    if (act == MLP_TANH) {
        for (size_t i = 0; i < n; i++) u[i] = tanh(u[i]);
    } else if (act == MLP_RELU) {
        for (size_t i = 0; i < n; i++) u[i] = u[i] > 0 ? u[i] : 0;
    }
}

static void slope_through(enum mlp_activation act, size_t n, const double *u, double *D)
{
    if (act == MLP_TANH) {
        for (size_t i = 0; i < n; i++) D[i] *= 1 - u[i] * u[i];
    } else if (act == MLP_RELU) {
        for (size_t i = 0; i < n; i++) D[i] = u[i] > 0 ? D[i] : 0;
    }
}

void mlp_forward(const struct mlp_shape *s, const double *w, int n, const double *x,
                 double *units)
{
    const double one = 1;
    double *u = units;
    for (int l = 0; l < s->n_layers; l++) {
        int in = s->size[l], out = s->size[l + 1];
        const double *b = w + (size_t) in * (size_t) out;
        for (int i = 0; i < n; i++)
            memcpy(u + (size_t) i * (size_t) out, b, sizeof(double) * (size_t) out);
        F77_CALL(dgemm)
        ("N", "N", &out, &n, &in, &one, w, &out, x, &in, &one, u, &out FCONE FCONE);
        activate(s->act[l], (size_t) out * (size_t) n, u);
        x = u;
        u += (size_t) out * (size_t) n;
        w = b + out;
    }
}

/* dw += D x', D 1 of one layer. */
static void layer_gradient(int in, int out, int n, const double *x, const double *D,
                           double *dw)
{
    const double one = 1;
    F77_CALL(dgemm)
    ("N", "T", &out, &in, &n, &one, D, &out, x, &in, &one, dw, &out FCONE FCONE);
    double *db = dw + (size_t) in * (size_t) out;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < out; j++) db[j] += D[(size_t) i * (size_t) out + (size_t) j];
}

void mlp_backward(const struct mlp_shape *s, const double *w, int n, const double *x,
                  double *units, double *dout, double *dw, double *dx)
{
    const double one = 1, zero = 0;
    double *slopes = units + units_before(s, s->n_layers) * (size_t) n, *D = dout;
    for (int l = s->n_layers - 1; l >= 0; l--) {
        int in = s->size[l], out = s->size[l + 1];
        const double *u = units + units_before(s, l) * (size_t) n;
        const double *from = l ? units + units_before(s, l - 1) * (size_t) n : x;
        const double *W = w + mlp_layer_weights(s, l);
        slope_through(s->act[l], (size_t) out * (size_t) n, u, D);
        if (dw) layer_gradient(in, out, n, from, D, dw + mlp_layer_weights(s, l));
        double *before = l ? slopes + units_before(s, l - 1) * (size_t) n : dx;
        if (!before) return;
        F77_CALL(dgemm)
        ("T", "N", &in, &n, &out, &one, W, &out, D, &out, &zero, before, &in FCONE FCONE);
        D = before;
    }
}
