/* gmm_gibbs.h: Gibbs sampler of the Gaussian mixture on the augmented model
 *
 *     z | theta,  then  pi | z,  (Lambda_k, mu_k) | z   (one block unless the prior is uncoupled)
 *
 * [Diebolt & Robert 1994]. Draws are stored with their labels matched to those of a reference
 * clustering of the rows: the permutation under which most rows agree with it [Papastamoulis &
 * Iliopoulos 2010]. The chain itself is left alone. */
#ifndef MEANFIELD_GMM_GIBBS_H
#define MEANFIELD_GMM_GIBBS_H

#include "base/rand.h"
#include "engine/sampler.h"
#include "mixture/gmm.h"

struct gmm_gibbs {
    double *mu, *Lambda, *R; /* p x k, p x p x k, p x p x k (Lambda = R R')             */
    double *log_pi, *offset; /* k: log pi_k, and + log|Lambda_k| / 2                    */
    const int *label;        /* n: reference clustering                                */
    const double *centre;    /* p: of the data                                         */
    const double *U, *A;     /* p x p: to raw units, see gmm_lr_raw()                  */
    double log_det_A;
    double *draws; /* kept x k (p + 2 p(p+1)/2 + 2): per component mu, vech
                                Lambda, vech Sigma, log|Lambda|, log pi; raw units     */
    int *perm;     /* kept x k: chain component stored as component j        */
};

struct gmm_gibbs_work {
    struct gmm_work w;
    struct gmm_stats s;
    int *z;        /* n: 0-based allocations; lives in doubles                     */
    double *count; /* k x k: rows of chain component j and reference component l   */
    double *match; /* 3 (k + 1) scratch of the assignment                          */
    double *sq;    /* 4 p x p                                                      */
    struct ziggurat zig;
};

static inline int gmm_gibbs_draw_size(const struct gmm *g)
{
    return g->p + 2 * gmm_vech(g) + 2;
}

struct gmm_gibbs_work gmm_gibbs_work_carve(const struct gmm *g, struct arena *a);

/* What a chain works on. */
struct gmm_gibbs_chain {
    const struct gmm *g;
    struct gmm_gibbs *c;
    struct gmm_gibbs_work *w;
    int kept;
};

/* For sampler_run(), from mu, Lambda, log_pi. info->block: the component whose full conditional was
 * improper (CORE_NOT_PD_LEAF: too few rows under a flat prior). */
struct sampler gmm_gibbs_sampler(struct gmm_gibbs_chain *x);

#endif
