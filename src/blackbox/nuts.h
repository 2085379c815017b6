/* nuts.h: the no-U-turn sampler [Hoffman & Gelman 2014], multinomial [Betancourt 2017].
 *
 * The path doubles, forwards or backwards at random, until it turns: with rho the sum of the
 * momenta along a piece and p its momenta at both ends, it has turned when rho'p <= 0 at an end. The
 * same is asked of every piece that a doubling is made of, and across each seam, with one
 * momentum of the other side [as Stan has it]. The next state is a point of the path with
 * probability proportional to exp(-H), pulled to the newer half.
 *
 * A doubling is built without recursion: whole pieces wait on a stack, largest first, and two of
 * the same depth are merged; so it can stop at every leapfrog and ask. Memory per chain:
 * 8 d (depth + 4) numbers. */
#ifndef MEANFIELD_NUTS_H
#define MEANFIELD_NUTS_H

#include "blackbox/hamilton.h"

/* Depths beyond would make the count of leapfrogs overflow. */
enum { NUTS_MAX_DEPTH = 25 };

/* Sets h->own and h->mover. */
void nuts_carve(struct hamilton *h, struct arena *a);

#endif
