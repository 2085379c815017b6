/* flow_fit.h: a flow's weights by stochastic gradients of its ELBO.
 *
 *   ELBO = E log p(z) - log q(z) over z = flow(e), e ~ N(0, I) drawn afresh at every step
 *
 * Its slope over n draws, by one pass back through the layers, in two forms [Roeder, Wu & Duvenaud
 * 2017]:
 *   total  D = L' grad log p / n, c = 1 / n       log det's own slope is exact
 *   path   D = (L' grad log p - score) / n, c = 0  without variance where q = p, at the price of
 *                                                  a second pass, for the score of q (flow.h)
 * Adam with rate * min(1, 2 (1 - k / steps)) at step k, the slope clipped to length `clip`. Draws
 * without a density, or whose gradient is no number, are left out of a step; a step with fewer than
 * half of its draws is none, and after FLOW_PATIENCE of these in a row the fit ends.
 *
 * In the first quarter of the steps log p counts beta = cold + (1 - cold) k / (steps / 4) times, with
 * cold < 1: low ground between modes is crossed while it is not deep.
 *
 * From hidden weights drawn at random and outputs of zero: the flow is N(m, L L') at first. */
#ifndef MEANFIELD_FLOW_FIT_H
#define MEANFIELD_FLOW_FIT_H

#include "base/rand.h"
#include "blackbox/asker.h"
#include "blackbox/flow.h"
#include "network/adam.h"

enum { FLOW_PATIENCE = 50 };
enum flow_end { FLOW_RUNNING, FLOW_DONE, FLOW_LOST };

struct flow_control {
    int steps, draws;
    double rate, clip, cold;
    bool path;
};

struct flow_fit {
    struct asker ask;
    struct flow f;
    struct flow_control ctl;
    enum flow_end end;
    int step, empty, skipped;
    struct flow_room room;
    struct adam adam;
    struct ziggurat zig;
    double *w, *gradient;      /* f.w is w                                             */
    double *e, *z, *D, *v, *c; /* d x n each, c n                                      */
    double *trace;             /* steps: the ELBO over the draws of each, NaN: none    */
};

/* f has d, layers, hidden, m and L. */
struct flow_fit flow_fit_carve(const struct flow *f, const struct flow_control *ctl,
                               struct arena *a);

/* Draws the weights and the first points. Random numbers. */
void flow_fit_start(struct flow_fit *x);

#endif
