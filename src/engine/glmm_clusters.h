/* glmm_clusters.h: which rows of a generalised model with several factors are bound together.
 *
 * Leaves that share levels of other factors, directly or through others, form a cluster: rows of
 * different clusters are independent given the coefficients. */
#ifndef MEANFIELD_GLMM_CLUSTERS_H
#define MEANFIELD_GLMM_CLUSTERS_H

#include "model/glmm.h"

struct glmm_clusters {
    int n;
    int *root, *owner;      /* while they are found: per leaf and per global column */
    int *leaf_start, *leaf; /* leaves by cluster                                    */
    int *col_start, *col;   /* global columns but those of the coefficients         */
    double *h, *Sc;         /* n_global: a row's covariances                        */
    double *beta;           /* p x n: Cov(beta, eta), whitened                      */
};

struct glmm_clusters glmm_clusters_carve(const struct glmm *g, struct arena *a);

/* Leaves that list a common level of another factor are of one cluster. */
void glmm_clusters_find(const struct glmm *g, struct glmm_clusters *c);

#endif
