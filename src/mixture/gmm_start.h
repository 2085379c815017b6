/* gmm_start.h: where the variational fit of a mixture starts. */
#ifndef MEANFIELD_GMM_START_H
#define MEANFIELD_GMM_START_H

#include <stdint.h>

/* label (n) <- a start by k-means++ [Arthur & Vassilvitskii 2007] and `rounds` of k-means on the
 * columns of X (n x p); reproducible from seed alone, R's generator is not touched.
 * centre (p x k), dist, best (n each): work. Cost rounds n p k. */
void gmm_start(int n, int p, int k, const double *X, uint64_t seed, int rounds,
               int *label, double *centre, double *dist, double *best);

#endif
