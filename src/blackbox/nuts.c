/* nuts.c: see nuts.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/nuts.h"

/* A piece of a path, from the end nearer to its start to the one farther away. */
struct piece {
    int depth;
    double *rho, *near, *far;   /* d: sum of the momenta, momenta at the ends         */
    double log_w;               /* log of the sum of exp(gain) over its points        */
    struct hamilton_point pick; /* one of its points, by weight                       */
};

struct tree {
    struct piece path;                /* all that is accepted; near: backward end     */
    struct hamilton_point back, fore; /* its ends                                     */
    struct piece *stack;              /* of the doubling in work                      */
    int n;
    double direction, accepted; /* +1 forwards; sum of acceptances             */
};

static double log_add(double a, double b)
{
    double hi = fmax(a, b);
    return isfinite(hi) ? hi + log1p(exp(fmin(a, b) - hi)) : hi;
}

/* (rho_a + rho_b)' p. */
static double along(int d, const double *rho_a, const double *rho_b, const double *p)
{
    return la_dot((size_t) d, rho_a, p) + la_dot((size_t) d, rho_b, p);
}

/* Does a followed by b go on without a turn, as a whole and across the seam? */
static bool goes_on(int d, const struct piece *a, const struct piece *b)
{
    return along(d, a->rho, b->rho, a->near) > 0 &&
           along(d, a->rho, b->rho, b->far) > 0 &&
           along(d, a->rho, b->near, a->near) > 0 &&
           along(d, a->rho, b->near, b->near) > 0 &&
           along(d, a->far, b->rho, a->far) > 0 && along(d, a->far, b->rho, b->far) > 0;
}

/* a <- a followed by b. */
static void append(int d, struct piece *a, const struct piece *b)
{
    size_t bytes = sizeof(double) * (size_t) d;
    for (int i = 0; i < d; i++) a->rho[i] += b->rho[i];
    memcpy(a->far, b->far, bytes);
    a->log_w = log_add(a->log_w, b->log_w);
    a->depth++;
}

static void set_leaf(int d, struct piece *a, const struct hamilton_point *x, double gain)
{
    size_t bytes = sizeof(double) * (size_t) d;
    a->depth = 0;
    a->log_w = gain;
    memcpy(a->rho, x->p, bytes);
    memcpy(a->near, x->p, bytes);
    memcpy(a->far, x->p, bytes);
    hamilton_copy(d, x, &a->pick);
}

/* The last two pieces of the stack into one; false when it turns. */
static bool merge(int d, struct tree *t)
{
    struct piece *a = &t->stack[t->n - 2], *b = &t->stack[t->n - 1];
    bool on = goes_on(d, a, b);
    append(d, a, b);
    if (log(rand_uniform()) < b->log_w - a->log_w) hamilton_copy(d, &b->pick, &a->pick);
    t->n--;
    return on;
}

static void swap_ends(struct piece *a)
{
    double *near = a->near;
    a->near = a->far;
    a->far = near;
}

/* The doubling joins the path; false when the whole turns. */
static bool join(int d, struct tree *t, const struct hamilton_point *head)
{
    const struct piece *b = &t->stack[0];
    struct piece *a = &t->path;
    if (t->direction < 0) swap_ends(a); /* a's far end is where b starts */
    bool on = goes_on(d, a, b);
    if (log(rand_uniform()) < b->log_w - a->log_w) hamilton_copy(d, &b->pick, &a->pick);
    append(d, a, b);
    if (t->direction < 0) swap_ends(a);
    hamilton_copy(d, head, t->direction < 0 ? &t->back : &t->fore);
    return on;
}

static void begin_doubling(struct hamilton *h, struct hamilton_chain *c)
{
    struct tree *t = (struct tree *) h->own + c->id;
    t->n = 0;
    t->direction = rand_uniform() < 0.5 ? -1 : 1;
    c->eps = t->direction * fabs(c->eps);
    hamilton_copy(h->w.d, t->direction < 0 ? &t->back : &t->fore, &c->at);
}

static void begin(struct hamilton *h, struct hamilton_chain *c)
{
    struct tree *t = (struct tree *) h->own + c->id;
    set_leaf(h->w.d, &t->path, &c->now, 0);
    hamilton_copy(h->w.d, &c->now, &t->back);
    hamilton_copy(h->w.d, &c->now, &t->fore);
    t->accepted = 0;
    begin_doubling(h, c);
}

/* The head of the path as a leaf of the doubling, and what can be merged; false: a turn. */
static bool grow(int d, struct tree *t, const struct hamilton_point *head, double gain)
{
    set_leaf(d, &t->stack[t->n++], head, gain);
    while (t->n > 1 && t->stack[t->n - 1].depth == t->stack[t->n - 2].depth)
        if (!merge(d, t)) return false;
    return true;
}

static bool arrived(struct hamilton *h, struct hamilton_chain *c, double gain)
{
    struct tree *t = (struct tree *) h->own + c->id;
    int d = h->w.d;
    t->accepted += fmin(1, exp(gain));
    bool on = !c->diverged && grow(d, t, &c->at, gain);
    if (on && t->stack[0].depth < t->path.depth) return false;
    if (on) on = join(d, t, &c->at);
    c->depth = t->path.depth;
    if (on && t->path.depth < h->set.max_depth) {
        begin_doubling(h, c);
        return false;
    }
    c->accept = t->accepted / c->leapfrogs;
    hamilton_copy(d, &t->path.pick, &c->now);
    return true;
}

static struct piece piece_carve(int d, struct arena *a)
{
    size_t n = (size_t) d;
    return (struct piece){.rho = arena_doubles(a, n),
                          .near = arena_doubles(a, n),
                          .far = arena_doubles(a, n),
                          .pick = hamilton_point_carve(d, a)};
}

void nuts_carve(struct hamilton *h, struct arena *a)
{
    int d = h->w.d, depth = h->set.max_depth;
    struct tree *trees = arena_struct(a, (size_t) h->n_chain * sizeof(struct tree));
    for (int k = 0; k < h->n_chain; k++) {
        struct tree t = {
            .path = piece_carve(d, a),
            .back = hamilton_point_carve(d, a),
            .fore = hamilton_point_carve(d, a),
            .stack = arena_struct(a, (size_t) (depth + 1) * sizeof(struct piece))};
        for (int i = 0; i <= depth; i++) {
            struct piece p = piece_carve(d, a);
            if (t.stack) t.stack[i] = p;
        }
        if (trees) trees[k] = t;
    }
    h->own = trees;
    h->mover = (struct hamilton_mover){begin, arrived};
}
