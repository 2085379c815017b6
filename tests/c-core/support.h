/* support.h: memory, naive algebra and simulated models for the tests. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stddef.h>
#include <stdint.h>
#include "model/lmm.h"

void stub_seed(uint64_t seed); /* of the generator in stubs.c */

/* Every array is an allocation of its own and exactly as long as asked, so that the
 * sanitizers see an access one past the end. Freed by release_all(). */
double *nans(size_t n); /* all NaN: what a kernel forgets to write shows */
double *zeros(size_t n);
double *normals(size_t n);
double *copy(size_t n, const double *x);
int *ints(size_t n);
void *pool(size_t bytes);
struct arena arena_of(size_t bytes);
void release_all(void);

/* inv <- A^-1 by Gauss-Jordan, A full and positive definite; returns log |A|. */
double naive_inverse(int n, const double *A, double *inv);
/* A well-conditioned random symmetric positive definite matrix, full. */
double *random_spd(int n);
/* Full copy of the arrow matrix P (dim x dim). */
double *dense_of(const struct arrow_shape *s, const struct arrow *P);

/* poll hook; ctx is an int: the sweep to stop at. */
int stop_at(void *ctx, int done);

/* A small data set with its model. C is the dense n x dim design, columns as in theta. */
struct sim {
    int n;
    double *C, *y;
    struct lmm m;
};
/* Flat beta, gamma prior on tau_e. */
struct sim sim_regression(void);
/* Normal prior on beta, half-t on both SDs; the group effects have SD 1. */
struct sim sim_intercept(int n, int n_leaf, double noise);
/* Normal prior on beta, gamma on tau_e, a leaf and a global factor.
 *   rich = false: leaf r = 2 Wishart; global intercept, half-t
 *   rich = true:  leaf r = 2 half-t and r = 1 gamma in one block; global likewise r = 2
 *                 Wishart and r = 1 half-t, interleaved level by level */
struct sim sim_general(bool rich);
/* m without its data: the posterior is the prior. */
struct lmm no_data(const struct lmm *m);

/* Globals to start from: diagonals and auxiliaries as given, off-diagonals zero. */
double *start_of(const struct lmm *m, double diagonal, double aux);
/* Is statistic i on the diagonal of its precision (or an auxiliary)? */
bool on_diagonal(const struct lmm *m, int i);

/* Mean of f(x) over n values and its squared standard error from 40 batches. */
double mean_and_se2(int n, const double *x, double (*f)(double), double *se2);
double identity(double x);

/* Draws of the statistics (n x n_stat) of a chain without data: are precisions from, from + 1, ...
 * distributed as their priors? A half-t prior must have nu = 2. */
void check_prior_precisions(const struct lmm *m, int from, int n, const double *draws);

#endif
