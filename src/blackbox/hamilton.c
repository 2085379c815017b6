/* hamilton.c: see hamilton.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/hamilton.h"

/* Ways to a first step: halvings of the way from a start to m; doublings of the step. */
enum { MAX_RETREATS = 30, MAX_SEEKS = 60 };
static const double LOG_SEEK =
    -0.2231435513142097; /* log .8: the step's first acceptance */

struct hamilton_point hamilton_point_carve(int d, struct arena *a)
{
    size_t n = (size_t) d;
    double *x = arena_doubles(a, 5 * n);
    if (!x) return (struct hamilton_point){.lp = 0};
    return (struct hamilton_point){x, x + n, x + 2 * n, x + 3 * n, x + 4 * n, 0};
}

void hamilton_copy(int d, const struct hamilton_point *from, struct hamilton_point *to)
{
    memcpy(to->e, from->e, 5 * sizeof(double) * (size_t) d);
    to->lp = from->lp;
}

void hamilton_carve(struct hamilton *h, struct arena *a)
{
    int d = h->w.d;
    size_t n = (size_t) h->n_chain;
    h->chain = arena_struct(a, n * sizeof(struct hamilton_chain));
    h->ask = arena_doubles(a, n * (size_t) d);
    h->asker = arena_ints(a, n);
    if (h->set.n_windows) h->moments = whiten_moments_carve(d, h->w.dense, a);
    for (int k = 0; k < h->n_chain; k++) {
        struct hamilton_point now = hamilton_point_carve(d, a),
                              at = hamilton_point_carve(d, a);
        if (h->chain)
            h->chain[k] = (struct hamilton_chain){.id = k, .now = now, .at = at};
    }
}

static double kinetic(int d, const double *p) { return la_dot((size_t) d, p, p) / 2; }

/* ---- one chain ----------------------------------------------------------------------------- */

/* Half a kick and a drift of the head of the path: where it asks next. */
static void leap(struct hamilton *h, struct hamilton_chain *c)
{
    for (int i = 0; i < h->w.d; i++) {
        c->at.p[i] += c->eps / 2 * c->at.s[i];
        c->at.e[i] += c->eps * c->at.p[i];
    }
    whiten_point(&h->w, c->at.e, c->at.z);
}

/* The other half; returns energy before - energy now, -inf where there is no density. */
static double land(struct hamilton *h, struct hamilton_chain *c)
{
    if (!isfinite(c->at.lp)) return -INFINITY;
    for (int i = 0; i < h->w.d; i++) c->at.p[i] += c->eps / 2 * c->at.s[i];
    double gain = c->energy + c->at.lp - kinetic(h->w.d, c->at.p);
    return isfinite(gain) ? gain : -INFINITY;
}

/* A new momentum, and with it the energy. */
static void kick(struct hamilton *h, struct hamilton_chain *c)
{
    rand_normals(&h->zig, (size_t) h->w.d, c->now.p);
    c->energy = kinetic(h->w.d, c->now.p) - c->now.lp;
}

static void begin_transition(struct hamilton *h, struct hamilton_chain *c)
{
    c->doing = HAMILTON_MOVE;
    c->leapfrogs = c->depth = 0;
    c->diverged = false;
    c->eps = c->iter < h->set.warmup ? c->step.eps : step_size_final(&c->step);
    kick(h, c);
    h->mover.begin(h, c);
    leap(h, c);
}

static void seek_on(struct hamilton *h, struct hamilton_chain *c)
{
    kick(h, c);
    hamilton_copy(h->w.d, &c->now, &c->at);
    leap(h, c);
}

/* Looks for a step that one leapfrog accepts with .8 or so. */
static void begin_seek(struct hamilton *h, struct hamilton_chain *c, double eps)
{
    c->doing = HAMILTON_SEEK;
    c->sought = 0;
    c->eps = eps;
    seek_on(h, c);
}

static void seek(struct hamilton *h, struct hamilton_chain *c)
{
    int way = land(h, c) > LOG_SEEK ? 1 : -1;
    if (c->sought++ == 0) c->direction = way;
    double next = c->eps * (c->direction > 0 ? 2 : 0.5);
    if (way == c->direction && c->sought < MAX_SEEKS && next <= h->set.most) {
        c->eps = next;
        seek_on(h, c);
        return;
    }
    c->step = step_size_from(c->eps);
    begin_transition(h, c);
}

/* The start is where the head of the path is; without a density there, half way to m. */
static void start(struct hamilton *h, struct hamilton_chain *c)
{
    if (isfinite(c->at.lp)) {
        hamilton_copy(h->w.d, &c->at, &c->now);
        begin_seek(h, c, h->set.first);
    } else if (c->sought++ < MAX_RETREATS) {
        for (int i = 0; i < h->w.d; i++) c->at.e[i] /= 2;
        whiten_point(&h->w, c->at.e, c->at.z);
    } else if (h->lost < 0) {
        h->lost = c->id;
    }
}

static void keep(struct hamilton *h, const struct hamilton_chain *c)
{
    size_t kept = (size_t) (h->set.iter - h->set.warmup), n = kept * (size_t) h->n_chain;
    size_t at = (size_t) (c->iter - h->set.warmup) + kept * (size_t) c->id;
    for (int i = 0; i < h->w.d; i++) {
        h->out.z[at + n * (size_t) i] = c->now.z[i];
        h->out.gradient[at + n * (size_t) i] = c->now.g[i];
    }
    h->out.lp[at] = c->now.lp;
    h->out.energy[at] = c->energy;
    h->out.accept[at] = c->accept;
    h->out.leapfrogs[at] = c->leapfrogs;
    h->out.depth[at] = c->depth;
    h->out.divergent[at] = c->diverged;
    h->out.kept[c->id]++;
}

static void end_transition(struct hamilton *h, struct hamilton_chain *c)
{
    if (c->iter >= h->set.warmup)
        keep(h, c);
    else
        step_size_learn(&c->step, c->accept, h->set.target, h->set.most);
    if (h->window > 0 && h->window < h->set.n_windows)
        whiten_moments_add(&h->w, &h->moments, c->now.e);
    c->iter++;
    h->stopped |= core_stop(h->hooks, ++h->done);
    h->out.step[c->id] = step_size_final(&c->step);
    if (c->iter == h->set.iter) {
        c->doing = HAMILTON_DONE;
    } else if (h->window < h->set.n_windows && c->iter == h->set.windows[h->window]) {
        c->doing = HAMILTON_WAIT;
        h->waiting++;
    } else {
        begin_transition(h, c);
    }
}

static void move(struct hamilton *h, struct hamilton_chain *c)
{
    double gain = land(h, c);
    c->leapfrogs++;
    if (gain < -HAMILTON_DIVERGES) c->diverged = true;
    if (h->mover.arrived(h, c, gain))
        end_transition(h, c);
    else
        leap(h, c);
}

/* ---- all chains ---------------------------------------------------------------------------- */

static void give(struct hamilton *h, struct hamilton_chain *c, double lp, const double *g)
{
    size_t d = (size_t) h->w.d;
    memcpy(c->at.g, g, sizeof(double) * d);
    c->at.lp = lp;
    for (size_t i = 0; i < d; i++)
        if (!isfinite(g[i])) c->at.lp = -INFINITY;
    whiten_score(&h->w, c->at.g, c->at.s);
    if (c->doing == HAMILTON_START)
        start(h, c);
    else if (c->doing == HAMILTON_SEEK)
        seek(h, c);
    else
        move(h, c);
}

/* All wait: the metric is learned from their draws, and the step size anew. */
static void end_window(struct hamilton *h)
{
    bool learned = h->window > 0 && whiten_learn(&h->w, &h->moments);
    whiten_moments_clear(&h->w, &h->moments);
    h->window++;
    h->waiting = 0;
    for (int k = 0; k < h->n_chain; k++) {
        struct hamilton_chain *c = &h->chain[k];
        if (!learned) {
            begin_transition(h, c);
            continue;
        }
        whiten_coordinates(&h->w, c->now.z, c->now.e);
        whiten_score(&h->w, c->now.g, c->now.s);
        begin_seek(h, c, h->set.first);
    }
}

/* The points of all chains that want one, side by side. */
static void gather(struct asker *a)
{
    struct hamilton *h = a->ctx;
    size_t d = (size_t) h->w.d;
    a->n = 0;
    for (int k = 0; k < h->n_chain; k++) {
        const struct hamilton_chain *c = &h->chain[k];
        if (c->doing == HAMILTON_WAIT || c->doing == HAMILTON_DONE) continue;
        memcpy(h->ask + d * (size_t) a->n, c->at.z, sizeof(double) * d);
        h->asker[a->n++] = k;
    }
}

static enum core_status take(struct asker *a, const double *lp, const double *g)
{
    struct hamilton *h = a->ctx;
    for (int i = 0; i < a->n; i++)
        give(h, &h->chain[h->asker[i]], lp[i], g + (size_t) i * (size_t) h->w.d);
    if (h->lost >= 0) return CORE_NONFINITE;
    if (h->waiting == h->n_chain) end_window(h);
    gather(a);
    return h->stopped ? CORE_INTERRUPTED : CORE_OK;
}

struct asker hamilton_asker(struct hamilton *h, const double *start)
{
    struct asker a = {.ctx = h,
                      .d = h->w.d,
                      .z = h->ask,
                      .gradient = true,
                      .random = true,
                      .take = take};
    h->zig = rand_ziggurat();
    h->lost = -1;
    h->stopped = false;
    h->window = h->waiting = h->done = 0;
    if (h->set.n_windows) whiten_moments_clear(&h->w, &h->moments);
    for (int k = 0; k < h->n_chain; k++) {
        struct hamilton_chain *c = &h->chain[k];
        c->doing = HAMILTON_START;
        c->iter = c->sought = 0;
        memcpy(c->at.z, start + (size_t) k * (size_t) h->w.d,
               sizeof(double) * (size_t) h->w.d);
        whiten_coordinates(&h->w, c->at.z, c->at.e);
        memset(c->at.p, 0, sizeof(double) * (size_t) h->w.d);
    }
    gather(&a);
    return a;
}
