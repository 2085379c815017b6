/* sampler.h: the contract of a sampler, and the one runner of its chains.
 *
 * A sampler is a Markov chain on a state of its own: a sweep draws every block of it once, from its
 * full conditional or by a move that leaves that invariant, and a state can be kept as a row of draws.
 * lmm, glmm and gmm each make one (gibbs.h, glmm_gibbs.h, gmm_gibbs.h); the runner knows nothing of
 * the model. */
#ifndef MEANFIELD_SAMPLER_H
#define MEANFIELD_SAMPLER_H

#include "base/core.h"

struct sampler_control {
    int iter, warmup, thin; /* sweeps, of which warm-up; keep every thin-th after it   */
};

struct sampler {
    void *ctx;
    /* NULL: the state is one */
    enum core_status (*start)(void *ctx, struct core_info *info);
    /* info->iter: sweeps before */
    enum core_status (*sweep)(void *ctx, struct core_info *info);
    /* as row 0, 1, ... */
    void (*keep)(void *ctx, int row);
};

static inline int sampler_kept(const struct sampler_control *c)
{
    return (c->iter - c->warmup) / c->thin;
}

/* One chain, until the first status that is not CORE_OK. The hook is asked before every sweep. */
enum core_status sampler_run(const struct sampler *s, const struct sampler_control *ctl,
                             const struct core_hooks *h, struct core_info *info);

#endif
