/* flow.c: see flow.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "blackbox/flow.h"
#include "network/mlp.h"

static const double LOG_2PI = 1.8378770664093453;

/* Does coordinate j stay where the mask is `mask`? */
static bool stays(int d, int mask, int j)
{
    if (mask < 2) return j % 2 == mask;
    return (j < d / 2) == (mask == 2);
}

static int n_staying(int d, int mask)
{
    int n = 0;
    for (int j = 0; j < d; j++) n += stays(d, mask, j);
    return n;
}

/* The network of a layer; size holds its sizes. */
static struct mlp_shape network(const struct flow *f, int layer, int size[3])
{
    static const enum mlp_activation act[2] = {MLP_TANH, MLP_LINEAR};
    size[0] = n_staying(f->d, layer % FLOW_MASKS);
    size[1] = f->hidden;
    size[2] = 2 * (f->d - size[0]);
    return (struct mlp_shape){2, size, act};
}

static size_t weights_before(const struct flow *f, int layer)
{
    size_t at = 0;
    int size[3];
    for (int k = 0; k < layer; k++) {
        struct mlp_shape s = network(f, k, size);
        at += mlp_n_weights(&s);
    }
    return at;
}

size_t flow_n_weights(const struct flow *f) { return weights_before(f, f->layers); }

void flow_draw_weights(const struct flow *f, const struct ziggurat *zig, double *w)
{
    int size[3];
    for (int k = 0; k < f->layers; k++) {
        struct mlp_shape s = network(f, k, size);
        size_t hidden = mlp_layer_weights(&s, 1), n = mlp_n_weights(&s);
        rand_normals(zig, hidden, w);
        for (int i = 0; i < size[0] * size[1]; i++) w[i] /= sqrt(size[0]);
        memset(w + hidden, 0, sizeof(double) * (n - hidden));
        w += n;
    }
}

/* Doubles for each draw of the largest network. */
static size_t most_units(const struct flow *f)
{
    size_t most = 0;
    int size[3];
    for (int k = 0; k < FLOW_MASKS; k++) {
        struct mlp_shape s = network(f, k, size);
        size_t n = mlp_n_units(&s);
        most = n > most ? n : most;
    }
    return most;
}

struct flow_room flow_room_carve(const struct flow *f, int n, bool keep, struct arena *a)
{
    size_t dn = (size_t) f->d * (size_t) n, layers = keep ? (size_t) f->layers : 1;
    struct flow_room r = {.n = n, .keep = keep};
    r.order = arena_ints(a, (size_t) f->d * FLOW_MASKS);
    r.x = arena_doubles(a, dn * (layers + 1));
    r.stay = arena_doubles(a, dn * layers);
    r.units = arena_doubles(a, most_units(f) * (size_t) n * layers);
    r.log_det = arena_doubles(a, (size_t) n);
    r.slope = arena_doubles(a, 2 * dn);
    r.back = arena_doubles(a, dn);
    for (int mask = 0; mask < FLOW_MASKS; mask++) {
        int at = 0, more = r.n_stay[mask] = n_staying(f->d, mask);
        if (!a->base) continue;
        for (int j = 0; j < f->d; j++)
            r.order[mask * f->d + (stays(f->d, mask, j) ? at++ : more++)] = j;
    }
    return r;
}

/* What a layer works with. */
struct layer {
    struct mlp_shape net;
    int size[3], n_stay, n_move;
    const int *stay, *move; /* which coordinates                                     */
    const double *w;
    double *from, *to, *input, *units, *out; /* out: 2 n_move x n, s over t          */
};

static void layer_of(const struct flow *f, const struct flow_room *r, int k,
                     struct layer *y)
{
    size_t n = (size_t) r->n, dn = (size_t) f->d * n, at = r->keep ? (size_t) k : 0;
    y->net = network(f, k, y->size);
    y->n_stay = r->n_stay[k % FLOW_MASKS];
    y->n_move = f->d - y->n_stay;
    y->stay = r->order + k % FLOW_MASKS * f->d;
    y->move = y->stay + y->n_stay;
    y->w = f->w + weights_before(f, k);
    y->from = r->x + dn * at;
    y->to = r->x + dn * (r->keep ? at + 1 : 0); /* in place where nothing is kept */
    y->input = r->stay + dn * at;
    y->units = r->units + most_units(f) * n * at;
    y->out = mlp_output(&y->net, r->n, y->units);
}

/* s and t of a layer from the state x, in y->out. */
static void run_network(const struct flow *f, const struct flow_room *r,
                        const struct layer *y, const double *x)
{
    for (int i = 0; i < r->n; i++)
        for (int j = 0; j < y->n_stay; j++)
            AT(y->input, j, i, y->n_stay) = AT(x, y->stay[j], i, f->d);
    mlp_forward(&y->net, y->w, r->n, y->input, y->units);
    for (int i = 0; i < r->n; i++) {
        double *s = y->out + (size_t) i * 2 * (size_t) y->n_move;
        for (int j = 0; j < y->n_move; j++) {
            s[j] = 2 * tanh(s[j] / 2);
            r->log_det[i] += s[j];
        }
    }
}

static void clear_log_det(const struct flow_room *r)
{
    memset(r->log_det, 0, sizeof(double) * (size_t) r->n);
}

void flow_forward(const struct flow *f, struct flow_room *r, const double *e, double *z)
{
    int d = f->d, n = r->n;
    size_t bytes = sizeof(double) * (size_t) d * (size_t) n;
    double one = 1;
    struct layer y;
    clear_log_det(r);
    memcpy(r->x, e, bytes);
    for (int k = 0; k < f->layers; k++) {
        layer_of(f, r, k, &y);
        run_network(f, r, &y, y.from);
        if (r->keep) memcpy(y.to, y.from, bytes);
        for (int i = 0; i < n; i++) {
            const double *s = y.out + (size_t) i * 2 * (size_t) y.n_move;
            const double *t = s + y.n_move;
            for (int j = 0; j < y.n_move; j++) {
                double *x = &AT(y.to, y.move[j], i, d);
                *x = *x * exp(s[j]) + t[j];
            }
        }
    }
    memcpy(z, r->keep ? r->x + (size_t) f->layers * (size_t) d * (size_t) n : r->x,
           bytes);
    F77_CALL(dtrmm)
    ("L", "L", "N", "N", &d, &n, &one, f->L, &d, z, &d FCONE FCONE FCONE FCONE);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++) AT(z, j, i, d) += f->m[j];
}

void flow_inverse(const struct flow *f, struct flow_room *r, const double *z, double *e)
{
    int d = f->d, n = r->n;
    double one = 1;
    struct layer y;
    clear_log_det(r);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++) AT(e, j, i, d) = AT(z, j, i, d) - f->m[j];
    F77_CALL(dtrsm)
    ("L", "L", "N", "N", &d, &n, &one, f->L, &d, e, &d FCONE FCONE FCONE FCONE);
    for (int k = f->layers - 1; k >= 0; k--) {
        layer_of(f, r, k, &y);
        run_network(f, r, &y, e);
        for (int i = 0; i < n; i++) {
            const double *s = y.out + (size_t) i * 2 * (size_t) y.n_move;
            const double *t = s + y.n_move;
            for (int j = 0; j < y.n_move; j++) {
                double *x = &AT(e, y.move[j], i, d);
                *x = (*x - t[j]) * exp(-s[j]);
            }
        }
    }
}

void flow_log_density(const struct flow *f, const struct flow_room *r, const double *e,
                      double *log_q)
{
    size_t d = (size_t) f->d;
    double constant = (f->d * LOG_2PI + la_logdet(f->d, f->L)) / 2;
    for (int i = 0; i < r->n; i++) {
        const double *x = e + (size_t) i * d;
        log_q[i] = -la_dot(d, x, x) / 2 - r->log_det[i] - constant;
    }
}

/* dout (2 n_move x n) of a layer's network. D_b is the slope in x_b', c that of log det, none where
 * it is NULL; in reverse D_b exp(-s) and 1 are. */
static void slope_of_output(const struct flow *f, const struct flow_room *r,
                            const struct layer *y, const double *D, bool reverse,
                            const double *c)
{
    for (int i = 0; i < r->n; i++) {
        const double *s = y->out + (size_t) i * 2 * (size_t) y->n_move;
        const double *t = s + y->n_move;
        double *ds = r->slope + (size_t) i * 2 * (size_t) y->n_move, *dt = ds + y->n_move;
        for (int j = 0; j < y->n_move; j++) {
            double slope = AT(D, y->move[j], i, f->d);
            if (reverse) slope *= exp(-s[j]);
            double moved = AT(y->to, y->move[j], i, f->d) - t[j];
            ds[j] = (slope * moved + (c ? c[i] : reverse)) * (1 - s[j] * s[j] / 4);
            dt[j] = slope;
        }
    }
}

/* x_b <- x_b exp(sign s); x_a <- x_a + sign back. */
static void pass_on(const struct flow *f, const struct flow_room *r,
                    const struct layer *y, double sign, double *D)
{
    for (int i = 0; i < r->n; i++) {
        const double *s = y->out + (size_t) i * 2 * (size_t) y->n_move;
        for (int j = 0; j < y->n_move; j++)
            AT(D, y->move[j], i, f->d) *= exp(sign * s[j]);
        for (int j = 0; j < y->n_stay; j++)
            AT(D, y->stay[j], i, f->d) += sign * AT(r->back, j, i, y->n_stay);
    }
}

void flow_slope(const struct flow *f, struct flow_room *r, double *D, const double *c,
                double *dw)
{
    struct layer y;
    for (int k = f->layers - 1; k >= 0; k--) {
        layer_of(f, r, k, &y);
        slope_of_output(f, r, &y, D, false, c);
        mlp_backward(&y.net, y.w, r->n, y.input, y.units, r->slope,
                     dw + weights_before(f, k), r->back);
        pass_on(f, r, &y, 1, D);
    }
}

void flow_score(const struct flow *f, struct flow_room *r, double *v)
{
    struct layer y;
    for (size_t i = 0; i < (size_t) f->d * (size_t) r->n; i++) v[i] = -r->x[i];
    for (int k = 0; k < f->layers; k++) {
        layer_of(f, r, k, &y);
        slope_of_output(f, r, &y, v, true, NULL);
        mlp_backward(&y.net, y.w, r->n, y.input, y.units, r->slope, NULL, r->back);
        pass_on(f, r, &y, -1, v);
    }
}
