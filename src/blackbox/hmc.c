/* hmc.c: see hmc.h. */
#include <math.h>
#include "blackbox/hmc.h"

static void begin(struct hamilton *h, struct hamilton_chain *c)
{
    int *left = h->own;
    if (c->iter >= h->set.warmup) c->eps *= 0.9 + 0.2 * rand_uniform();
    double length = h->set.length * (0.6 + 0.8 * rand_uniform());
    double n = fmin(h->set.max_leapfrogs, floor(length / c->eps + 0.5));
    left[c->id] = n > 1 ? (int) n : 1;
    hamilton_copy(h->w.d, &c->now, &c->at);
}

static bool arrived(struct hamilton *h, struct hamilton_chain *c, double gain)
{
    int *left = h->own;
    if (isfinite(gain) && --left[c->id] > 0) return false;
    c->diverged = gain < -HAMILTON_DIVERGES;
    c->accept = fmin(1, exp(gain));
    if (rand_uniform() < c->accept) hamilton_copy(h->w.d, &c->at, &c->now);
    return true;
}

void hmc_carve(struct hamilton *h, struct arena *a)
{
    h->own = arena_ints(a, (size_t) h->n_chain);
    h->mover = (struct hamilton_mover){begin, arrived};
}
