/* hmc.h: Hamiltonian Monte Carlo by short paths of random length [Neal 2011].
 *
 * In a metric that fits, the target is nearly N(0, I): after a quarter of a turn, length pi / 2, a
 * path is where it began only by chance, in mean and in square. Paths of length `length` times a
 * uniform of (.6, 1.4), so that none resonates; the end is taken with probability min(1, exp(gain)). */
#ifndef MEANFIELD_HMC_H
#define MEANFIELD_HMC_H

#include "blackbox/hamilton.h"

/* An int per chain: leapfrogs left. Sets h->own and h->mover. */
void hmc_carve(struct hamilton *h, struct arena *a);

#endif
