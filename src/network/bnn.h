/* bnn.h: log likelihood of data whose mean is a network of their inputs, and its slope by the weights.
 *
 *   f_i = network(x_i; w), K outputs
 *   BNN_GAUSSIAN     y_i ~ N(f_i, sigma^2), K = 1
 *   BNN_BINOMIAL     P(y_i = 1) = 1 / (1 + exp(-f_i)), K = 1
 *   BNN_CATEGORICAL  P(y_i = k) = exp(f_ik) / sum_l exp(f_il), k = 0, ..., K - 1
 *
 * Rows of the data are columns: x is p x n. */
#ifndef MEANFIELD_BNN_H
#define MEANFIELD_BNN_H

#include "base/core.h"
#include "network/mlp.h"

enum bnn_family { BNN_GAUSSIAN, BNN_BINOMIAL, BNN_CATEGORICAL };

/* Rows worked on at a time. */
enum { BNN_ROWS = 256 };

struct bnn {
    int n;
    enum bnn_family family;
    struct mlp_shape net;
    const double *x; /* p x n                                                           */
    const double *y; /* n: numbers, 0 and 1, or classes from 0                          */
    double prior_sd; /* of every weight, normal about 0                                 */
    bool
        learned; /* sigma has a half-t prior with df and scale; else it is exp(log_sigma) */
    double log_sigma, df, scale;
};

struct bnn_work {
    double *units, *slope; /* of BNN_ROWS rows: workspace of the layers, dF/df (K rows) */
};
struct bnn_work bnn_work_carve(const struct bnn *b, struct arena *a);

/* The log likelihood at weights w. dw (or NULL) <- its slope; d_log_sigma (or NULL) <- that by
 * log sigma, 0 of other families. Cost: a forward and, with dw, a backward pass of n rows. */
double bnn_log_lik(const struct bnn *b, const double *w, double log_sigma, double *dw,
                   double *d_log_sigma, struct bnn_work *k);

/* Number of unknowns: the weights, then log sigma where it is learned. */
size_t bnn_dim(const struct bnn *b);

/* log p(y, z) at unknowns z (d), with the Jacobian of log sigma, and its slope g (d). */
double bnn_log_density(const struct bnn *b, const double *z, double *g,
                       struct bnn_work *k);

#endif
