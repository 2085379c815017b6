/* hamilton.h: Hamiltonian Monte Carlo on a log density that is asked for: all that the samplers share.
 *
 * In whitened coordinates e (whiten.h), with momenta p ~ N(0, I), the energy
 *
 *     H(e, p) = -log p(e) + p'p / 2
 *
 * is nearly kept by leapfrogs p += eps/2 s(e), e += eps p, p += eps/2 s(e), and what a transition
 * accepts by is exp(H_before - H_after), kinetic energy included: leaving it out would sample the
 * square of the density. What a transition does with its leapfrogs is the mover's: hmc.h, nuts.h.
 *
 * Chains are independent and each asks for one point at a time: an ask is a block with a column per
 * chain that is not done. They wait for each other only where the metric is learned, from the
 * draws of all of them, at the ends of the windows of the warm-up.
 *
 * Own work per leapfrog: 2 d^2 with a dense metric, O(d) with a diagonal one. */
#ifndef MEANFIELD_HAMILTON_H
#define MEANFIELD_HAMILTON_H

#include "base/rand.h"
#include "blackbox/asker.h"
#include "blackbox/step_size.h"
#include "blackbox/whiten.h"

/* An energy that grew by more in one transition has left the path: a divergence. */
#define HAMILTON_DIVERGES 50.0

/* A position with its momentum: whitened position, momentum, whitened score; point, gradient. */
struct hamilton_point {
    double *e, *p, *s, *z, *g; /* d each, one after the other                 */
    double lp;
};

enum hamilton_doing {
    HAMILTON_START,
    HAMILTON_SEEK,
    HAMILTON_MOVE,
    HAMILTON_WAIT,
    HAMILTON_DONE
};

struct hamilton_chain {
    int id, iter; /* transitions done                                          */
    enum hamilton_doing doing;
    struct hamilton_point now, at; /* state; head of the path                   */
    struct step_size step;
    double eps, energy;   /* of this transition: signed step; energy at its start    */
    double accept;        /* of this transition, by the mover                       */
    int leapfrogs, depth; /* of this transition; depth: of the tree                  */
    bool diverged;
    int sought, direction; /* first step size: trials, +1 doubling, -1 halving        */
};

struct hamilton_settings {
    int iter, warmup;   /* iter counts the warm-up                                */
    double target;      /* acceptance aimed at                                    */
    double first, most; /* first step that is tried, longest step                 */
    double length;      /* hmc.h: of the paths                                    */
    int max_leapfrogs;  /* hmc.h                                                  */
    int max_depth;      /* nuts.h                                                 */
    const int *windows; /* transitions after which the metric is learned anew; the
                           draws before the first are forgotten                   */
    int n_windows;
};

/* Kept draws: kept x chains (x d), kept = iter - warmup. */
struct hamilton_record {
    double *z, *gradient;
    double *lp, *energy, *accept, *leapfrogs, *depth, *divergent;
    double *step; /* per chain                                                     */
    double *kept; /* per chain: rows that are filled                                */
};

struct hamilton;

/* begin(): c->now has its momentum, c->energy its energy, c->eps the step; sets c->at to where the
 *   first leapfrog starts, c->eps as wanted.
 * arrived(): c->at has made a leapfrog, gain = c->energy - H there, -inf where there is no density;
 *   true: the transition is over, c->now and c->accept are set. */
struct hamilton_mover {
    void (*begin)(struct hamilton *h, struct hamilton_chain *c);
    bool (*arrived)(struct hamilton *h, struct hamilton_chain *c, double gain);
};

struct hamilton {
    int n_chain;
    struct hamilton_settings set;
    struct whiten w;
    struct hamilton_mover mover;
    void *own; /* the mover's                                                    */
    struct hamilton_record out;
    const struct core_hooks *hooks;
    struct hamilton_chain *chain;
    struct whiten_moments moments;
    int window, waiting;
    struct ziggurat zig;
    double *ask;  /* d x n_chain: the points wanted                                */
    int *asker;   /* the chain of each                                             */
    int done;     /* transitions of all chains                                     */
    bool stopped; /* by the hook                                                 */
    int lost;     /* chain without a usable start, or -1                           */
};

/* Of h: n_chain, w.d, w.dense, set.n_windows. The metric's m and L are the caller's. */
void hamilton_carve(struct hamilton *h, struct arena *a);

struct hamilton_point hamilton_point_carve(int d, struct arena *a);
void hamilton_copy(int d, const struct hamilton_point *from, struct hamilton_point *to);

/* An asker at the chains' starts, d x n_chain. Takes draws from the generator only in take().
 * Ends with CORE_NONFINITE when a chain has no density on the whole way from its start to m. */
struct asker hamilton_asker(struct hamilton *h, const double *start);

#endif
