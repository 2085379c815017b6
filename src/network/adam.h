/* adam.h: Adam, steps uphill by running moments of noisy gradients [Kingma & Ba 2015, algorithm 1].
 *
 *   first <- b1 first + (1 - b1) g,   second <- b2 second + (1 - b2) g^2
 *   w <- w + rate (first / (1 - b1^k)) / (sqrt(second / (1 - b2^k)) + 1e-8),  b1 = .9, b2 = .999
 *
 * at step k: the sign is that of ascent. The rate is the caller's, step by step. */
#ifndef MEANFIELD_ADAM_H
#define MEANFIELD_ADAM_H

#include <stdbool.h>
#include "base/arena.h"

struct adam {
    size_t n;
    double *first, *second; /* n each                                               */
    double one, two;        /* b1^k, b2^k                                           */
};

struct adam adam_carve(size_t n, struct arena *a);
void adam_start(struct adam *a); /* no gradient seen yet */

/* One step of w (n). A gradient that holds no number is no step: returns false, nothing changes. */
bool adam_step(struct adam *a, double rate, const double *g, double *w);

/* g shortened to length `most` where it is longer; returns its length before. */
double adam_clip(size_t n, double *g, double most);

#endif
