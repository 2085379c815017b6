/* likelihood_grid.h: exp(mu_i + e_i'z_k) of rows i at all points z_k of a grid.
 *
 * It is a product, exp(mu) prod_c exp(e_c z_c): a row costs an exponential for each positive node of
 * each dimension, and a multiplication for each point.                                           */
#ifndef MEANFIELD_LIKELIHOOD_GRID_H
#define MEANFIELD_LIKELIHOOD_GRID_H

#include "model/likelihood.h"

enum {
    LIKELIHOOD_GRID_ROWS = 32,    /* at a time                                          */
    LIKELIHOOD_GRID_POINTS = 125, /* of the grids that this is for, which have          */
    LIKELIHOOD_GRID_HALF = 7      /* at most as many positive nodes a side              */
};

/* Exponentials of n rows: of mu, then of every dimension and positive node, rows side by side. */
struct likelihood_grid_exp {
    size_t n;
    double at[(1 + LIKELIHOOD_GRID_MAX_R * LIKELIHOOD_GRID_HALF) * LIKELIHOOD_GRID_ROWS];
};

/* The largest |mu + e'z_k|, or more. */
double likelihood_grid_reach(const struct likelihood_grid *x, double mu, const double *e);

/* The rows from i on, at most LIKELIHOOD_GRID_ROWS. */
struct likelihood_rows likelihood_grid_some(const struct likelihood_rows *rows, size_t i);

/* Of n <= LIKELIHOOD_GRID_ROWS rows; mu (n), e (r x n). No reach may be beyond what exp() has. */
void likelihood_grid_powers(const struct likelihood_grid *x, size_t n, const double *mu,
                            const double *e, struct likelihood_grid_exp *powers);

/* out_k (all points) <- times exp(mu_i + e_i'z_k); returns how many points there are. */
int likelihood_grid_exp(const struct likelihood_grid *x,
                        const struct likelihood_grid_exp *powers, size_t i, double times,
                        double *out);

/* out_k += value + slope'z_k. */
void likelihood_grid_line(const struct likelihood_grid *x, double value,
                          const double *slope, double *out);

#endif
