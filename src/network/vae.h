/* vae.h: variational autoencoders with a normal decoder [Kingma & Welling 2014; Rezende et al. 2014].
 *
 *   z_i ~ N(0, I_q),   x_i | z_i ~ N(f(z_i), sigma^2 I_p),   f: layers from q to p
 *   q(z_i | x_i) = N(m_i, diag(s_i^2)),   ELBO_i = E_q log p(x_i, z_i) - E_q log q(z_i)
 *
 * with (m_i, log s_i) from an encoder of x_i:
 *   VAE_NETWORK  layers from p to 2q: both are outputs
 *   VAE_LINEAR   layers from p to q: m; one log s for all rows
 *   VAE_NONE     no encoder: both are row i's own
 *
 * Parameters are one vector w: the encoder's weights (mlp.h), log s of VAE_LINEAR, the decoder's
 * weights, log sigma. Rows of the data are columns here: X is p x n, m and log s are q x n. */
#ifndef MEANFIELD_VAE_H
#define MEANFIELD_VAE_H

#include "base/core.h"
#include "network/adam.h"
#include "network/mlp.h"

enum vae_encoder { VAE_NETWORK, VAE_LINEAR, VAE_NONE };

/* Rows worked on at a time where no batch says so. */
enum { VAE_ROWS = 256 };

struct vae {
    int n, p, q;
    enum vae_encoder encoder;
    struct mlp_shape enc, dec; /* enc: not of VAE_NONE                              */
    const double *X;
};

size_t vae_n_params(const struct vae *v);

/* Fixed points of N(0, I_q), q x n, and their weights, which sum to one. */
struct vae_points {
    int n;
    const double *e, *weight;
};

/* ---- each row's own q, the decoder as it is -------------------------------------------
 *
 * Maximises ELBO_i over (m, log s), the expectation over fixed points: steps of natural gradients,
 *   s^-2 <- (1 - rho) s^-2 + rho h,  h_j = -E e_j d log p / dz_j / s_j (Stein),  m_j <- m_j + rho s_j^2 E d log p / dz_j
 * taken where they raise the row's bound; elsewhere its rho is halved. Cost of a step: points->n
 * forward and backward passes of the decoder. */
struct vae_own {
    double *m, *log_s;  /* q x rows; the answer                                    */
    double *elbo;       /* rows: the bound there                                   */
    double *rho, *rise; /* rows: the step's length, what it gained                     */
    double *g, *h;      /* q x rows: slope and curvature of the bound at the answer */
    double *new_m, *new_s; /* q x rows: a trial, and its slope, curvature, bound      */
    double *new_g, *new_h, *new_elbo;
    double *z, *dz, *out; /* q x rows, q x rows, p x rows                            */
    double *x, *units;    /* p x rows                                                */
    int *row;             /* rows                                                    */
};
struct vae_own vae_own_carve(const struct vae *v, int rows, struct arena *a);

/* elbo, g, h at (m, log_s) of `rows` rows x (p x rows); rho <- 1. */
void vae_own_start(const struct vae *v, const double *w, int rows, const double *x,
                   const struct vae_points *pts, struct vae_own *o);

/* One step of every row. rise: of its bound, or 1 where a shorter step may still raise it. */
void vae_own_step(const struct vae *v, const double *w, int rows, const double *x,
                  const struct vae_points *pts, struct vae_own *o);

/* All rows, each until a step raises its bound by no more than tol, at most max_iter steps (0: the
 * bound where it is). In and out: m, log_s (q x n); elbo (n); o: VAE_ROWS rows. Returns CORE_OK,
 * CORE_MAXIT, CORE_INTERRUPTED. */
enum core_status vae_own_run(const struct vae *v, const double *w,
                             const struct vae_points *pts, int max_iter, double tol,
                             double *m, double *log_s, double *elbo, struct vae_own *o,
                             const struct core_hooks *hooks);

/* ---- training ------------------------------------------------------------------------------
 *
 * Adam on the ELBO of a batch, a mean over its rows, one draw of z a row; batches of `batch` rows
 * without replacement, each epoch in an order of its own; the rate is `rate` in the first half, and
 * falls geometrically to `last` in the second. Of VAE_NONE, `own_steps` steps of the rows' own q
 * come before each batch's step of the decoder. Random numbers: R's generator (rand.h). */
struct vae_control {
    int epochs, batch, own_steps;
    double rate, last, clip;
};

struct vae_work {
    double *x, *e, *z, *dz, *q,
        *dq; /* of a batch: p, q, q, q, 2q, 2q rows                    */
    double *out, *enc_units, *dec_units, *slope;
    int *order;
    struct adam adam;
    struct vae_own
        own; /* of VAE_NONE                                                     */
};
struct vae_work vae_work_carve(const struct vae *v, const struct vae_control *ctl,
                               struct arena *a);

/* w: start and answer. m, log_s: the rows' own (q x n) of VAE_NONE, start and answer; else NULL.
 * trace (2 x epochs): mean ELBO over the epoch as it went by, and sigma at its end. info->iter:
 * epochs done. CORE_NONFINITE where a bound or a gradient is no number. */
enum core_status vae_train(const struct vae *v, const struct vae_control *ctl,
                           const struct vae_points *pts, double *w, double *m,
                           double *log_s, double *trace, struct vae_work *k,
                           const struct core_hooks *hooks, struct core_info *info);

/* Mean ELBO of the work's batch of `rows` rows (k->x, k->e drawn, of VAE_NONE k->q set), and its
 * slope by w in k->slope. Cost: a forward and a backward pass of both networks. */
double vae_slope(const struct vae *v, const double *w, int rows, struct vae_work *k);

#endif
