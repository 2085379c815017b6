/* factorised.h: the bound of a factorised Gaussian on fixed points, its slope and its curvature.
 *
 *   q = prod_j N(m_j, exp(omega_j)^2),   z_i = m + exp(omega) o e_i,   x = (m, omega): 2d numbers
 *   F(x)    = -mean_i log p(z_i) - sum omega             (the ELBO is -F + d/2 (1 + log 2 pi))
 *   F_m     = -mean g_i,    F_omega = -mean g_i o e_i o exp(omega) - 1,    g_i = grad log p(z_i)
 *   F''(x)v = (F'(x + h v) - F'(x - h v)) / 2h
 *
 * Slopes and curvature are in the scale D = diag(exp(omega), 1) at x: u = D^-1 x, in which F'' of a
 * target with independent coordinates is diag(1, 2). So a slope is an error in SDs and in logs.
 *
 * Cost: n points a value and slope, 2n a product; O(d n) for the algebra, memory 2dn + O(d).
 *
 * Also conjugate gradients for F'' s = -slope, stopped at a radius and where the curvature is not
 * positive [Steihaug 1983], a product at a time, because each has to be asked for. */
#ifndef MEANFIELD_FACTORISED_H
#define MEANFIELD_FACTORISED_H

#include "base/core.h"

struct factorised {
    int d, n;
    const double *E; /* d x n                                                        */
    double *x;       /* (m, omega), 2d                                               */
    double *scale;   /* exp(omega) at x                                              */
    double *z;       /* the points to be asked for, d x 2n                           */
    double *at;      /* x + h v and x - h v, 2d each                                 */
    double *other;   /* 2d                                                           */
};

/* d, n and E are there; x, scale and z come from the arena. */
void factorised_carve(struct factorised *f, struct arena *a);

/* x becomes (m, omega). */
void factorised_set(struct factorised *f, const double *x);

/* z <- the n points at x (any x). */
void factorised_place(const struct factorised *f, const double *x, double *z);

/* F and its slope (2d) at x, from the answers to these points. */
double factorised_value(const struct factorised *f, const double *x, const double *lp);
void factorised_slope(const struct factorised *f, const double *x, const double *g,
                      double *slope);

/* Asks for the 2n points of the product with v (2d), and makes it (2d) of their gradients. */
void factorised_ask_product(struct factorised *f, const double *v);
void factorised_product(struct factorised *f, const double *v, const double *g,
                        double *Fv);

enum factorised_cg_state {
    FACTORISED_CG_MORE, /* wants the product with p                                      */
    FACTORISED_CG_DONE, /* the residual is below its limit                               */
    FACTORISED_CG_EDGE, /* the step has the length of the radius                         */
    FACTORISED_CG_STOP /* no curvature to go by and no edge to go to: the step as it is */
};

struct factorised_cg {
    int n;                    /* 2d                                                   */
    double *s, *Fs, *r, *p;   /* step, its product, residual, direction: n each       */
    double rr, limit, radius; /* r'r; residual's length to stop at; INFINITY: no edge */
};

void factorised_cg_carve(struct factorised_cg *c, int n, struct arena *a);
void factorised_cg_start(struct factorised_cg *c, const double *slope, double limit,
                         double radius);
enum factorised_cg_state factorised_cg_step(struct factorised_cg *c, const double *Fp);

#endif
