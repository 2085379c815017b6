/* lmm_gibbs.h: blocked Gibbs sampler of the Gaussian model
 *
 *     theta | t,  then  Lambda_k | theta, c_k,  c_k | Lambda_k  for each precision,
 *
 * [Ewing 2026, appendix B, with gamma conditionals for the precisions] and, per random
 * coefficient, an interweaving scale move u -> a u, Lambda -> D^-1 Lambda D^-1, D = diag(.. a ..)
 * that cures slow mixing of its standard deviation. */
#ifndef MEANFIELD_LMM_GIBBS_H
#define MEANFIELD_LMM_GIBBS_H

#include "lmm.h"
#include "rand.h"

struct gibbs_control {
    int iter, warmup, thin; /* sweeps, of which warm-up; keep every thin-th after it   */
    bool interweave;
};

struct gibbs_state {
    double *t;          /* globals; in: start, out: last draw                        */
    double *theta;      /* dim; out: last draw                                       */
    double *draws;      /* kept x (p + n_stat): beta, vech of every precision         */
    double *u_draws;    /* kept x n_u, or NULL; u = theta without its first p         */
    double *u_mean, *u_m2; /* running mean and sum of squares of u (n_u each); in: 0  */
};

struct gibbs_work {
    struct arrow P, F;
    double *z, *dev, *Gdev;    /* dim each                                           */
    struct ziggurat zig;
};

struct gibbs_work gibbs_work_carve(const struct lmm *m, struct arena *a);

static inline int gibbs_kept(const struct gibbs_control *c)
{
    return (c->iter - c->warmup) / c->thin;
}

/* One chain. Cost per sweep: one arrow factorisation, free of the number of rows. */
enum core_status gibbs_run(const struct lmm *m, const struct gibbs_control *ctl,
                           const struct lmm_centre *c, struct gibbs_state *s,
                           struct gibbs_work *w, const struct core_hooks *h,
                           struct core_info *info);

#endif
