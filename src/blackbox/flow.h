/* flow.h: a normalising flow of affine coupling layers on top of a Gaussian [Dinh, Sohl-Dickstein &
 * Bengio 2017, "Density estimation using Real NVP"].
 *
 *   e ~ N(0, I) in R^d,   x_0 = e,   x_k = layer k of x_{k-1},   z = m + L x_K
 *
 * Layer k leaves the coordinates a, from which a network with one hidden layer of tanh units has
 * (raw, t), and moves the others, b:
 *   x_b <- x_b exp(s) + t,   s = 2 tanh(raw / 2)                 so that |s| < 2
 * What stays, in turns: coordinates 0, 2, ...; 1, 3, ...; the first half; the second half. With two
 * coordinates these alternate. Then
 *   log q(z) = -|e|^2 / 2 - d/2 log(2 pi) - sum_k sum s_k - sum log L_jj,
 * exact in both directions: x_b = (x_b' - t) exp(-s) needs no inverse of the network.
 *
 * Weights: layer by layer those of its network, sizes |a|, hidden, 2|b| (network/mlp.h).
 *
 * Slopes. Of F with slope D = dF/dx_k and c = dF/d(log det), layer k has
 *   d raw = (D_b (x_b' - t) + c) (1 - (s/2)^2),   dt = D_b,   D_b <- D_b exp(s),
 *   D_a <- D_a + what comes back through the network.
 * The score v = d log q / dx of the flow's own density goes the other way, from -e:
 *   u_b = v_b exp(-s),   v_a <- v_a - back(raw: (u_b (x_b' - t) + 1) (1 - (s/2)^2), t: u_b),
 *   v_b <- u_b                                                   [Vaitl et al. 2022]
 *
 * Cost of n draws: n layers (2 n_weights flops and `hidden` tanh) forward, twice that backward. */
#ifndef MEANFIELD_FLOW_H
#define MEANFIELD_FLOW_H

#include "base/core.h"
#include "base/rand.h"

enum { FLOW_MASKS = 4 };

struct flow {
    int d, layers, hidden; /* d >= 2, layers >= 0, hidden >= 1                        */
    const double *w;       /* flow_n_weights()                                        */
    const double *m, *L;   /* d; d x d lower, its diagonal positive                   */
};

size_t flow_n_weights(const struct flow *f);

/* Weights with which the flow is N(m, L L'): of the hidden units at random, of what they move zero. */
void flow_draw_weights(const struct flow *f, const struct ziggurat *zig, double *w);

/* Room for n draws at a time; `keep`: of every layer, for the slopes, else of one. */
struct flow_room {
    int n;
    bool keep;
    int *order; /* d x FLOW_MASKS: first what stays, then what moves          */
    int n_stay[FLOW_MASKS];
    double *x;            /* d x n x (layers + 1), or d x n x 2                         */
    double *stay;         /* d x n x layers, or d x n: what a network reads             */
    double *units;        /* the networks' workspace                                    */
    double *log_det;      /* n: sum of s, without L                                     */
    double *slope, *back; /* 2d x n, d x n                                              */
};

struct flow_room flow_room_carve(const struct flow *f, int n, bool keep, struct arena *a);

/* z <- the n draws of base points e (d x n); log_det <- sums of s. With `keep` the room holds the
 * layers' states after it. */
void flow_forward(const struct flow *f, struct flow_room *r, const double *e, double *z);

/* e <- the base points of z (both d x n); log_det <- sums of s at them. */
void flow_inverse(const struct flow *f, struct flow_room *r, const double *z, double *e);

/* log q (n) at the draws of base points e, after either. */
void flow_log_density(const struct flow *f, const struct flow_room *r, const double *e,
                      double *log_q);

/* After flow_forward() with `keep`. D: dF/dx_K (d x n), overwritten by dF/de; c: of each draw
 * (n) dF/d(log det), or NULL: none. dw += dF/dw. */
void flow_slope(const struct flow *f, struct flow_room *r, double *D, const double *c,
                double *dw);

/* After flow_forward() with `keep`: v (d x n) <- d log q / dx_K, in the coordinates before L. */
void flow_score(const struct flow *f, struct flow_room *r, double *v);

#endif
