/* factorised_fit.c: see factorised_fit.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/factorised_fit.h"

enum { MAX_INNER = 100, MAX_HALVINGS = 40, MAX_SHORTER = 12 };
static const double MAX_LOG_STEP = 2; /* of an omega, in one step            */
static const double RUNAWAY = 13.8;   /* log of a million                    */
static const double NOISE = 1e-12;    /* of F, relative                      */

void factorised_fit_carve(struct factorised_fit *c, struct arena *a)
{
    size_t d = (size_t) c->f.d;
    factorised_carve(&c->f, a);
    factorised_cg_carve(&c->cg, 2 * c->f.d, a);
    c->slope = arena_doubles(a, 2 * d);
    c->trial = arena_doubles(a, 2 * d);
    c->Fp = arena_doubles(a, 2 * d);
    c->omega0 = arena_doubles(a, d);
}

static enum core_status ask(struct asker *a, int n, bool gradient)
{
    a->n = n;
    a->gradient = gradient;
    return CORE_OK;
}

static enum core_status ask_trial(struct asker *a, enum factorised_wait wait)
{
    struct factorised_fit *c = a->ctx;
    factorised_place(&c->f, c->trial, c->f.z);
    c->wait = wait;
    return ask(a, c->f.n, true);
}

static enum core_status ask_product(struct asker *a)
{
    struct factorised_fit *c = a->ctx;
    factorised_ask_product(&c->f, c->cg.p);
    c->wait = FACTORISED_PRODUCT;
    return ask(a, 2 * c->f.n, true);
}

static enum core_status end(struct asker *a, enum factorised_outcome outcome)
{
    struct factorised_fit *c = a->ctx;
    c->outcome = outcome;
    return ask(a, 0, false);
}

static bool is_runaway(const struct factorised_fit *c)
{
    for (int j = 0; j < c->f.d; j++)
        if (c->f.x[c->f.d + j] - c->omega0[j] > RUNAWAY) return true;
    return false;
}

/* x <- trial, with the answers there, unless a gradient is no number. */
static bool arrive(struct factorised_fit *c, double F, const double *g)
{
    double sum = 0; /* of g - g: zero, or NaN */
    for (size_t i = 0; i < (size_t) c->f.d * (size_t) c->f.n; i++) sum += g[i] - g[i];
    if (sum != 0) return false;
    factorised_set(&c->f, c->trial);
    factorised_slope(&c->f, c->f.x, g, c->slope);
    c->F = F;
    c->criterion = 0;
    for (int j = 0; j < 2 * c->f.d; j++)
        c->criterion = fmax(c->criterion, fabs(c->slope[j]));
    return true;
}

/* At a new x: done, or the next Newton step. */
static enum core_status next_step(struct asker *a)
{
    struct factorised_fit *c = a->ctx;
    if (c->criterion <= c->tol) return end(a, FACTORISED_CONVERGED);
    if (is_runaway(c)) return end(a, FACTORISED_RUNAWAY);
    if (c->iter >= c->max_iter) return CORE_MAXIT;
    c->iter++;
    c->inner = c->tries = 0;
    double length = sqrt(la_dot(2 * (size_t) c->f.d, c->slope, c->slope));
    factorised_cg_start(&c->cg, c->slope, length * fmin(.1, sqrt(c->criterion)),
                        c->radius);
    return ask_product(a);
}

/* The trial at t times the step of the conjugate gradients, and what the quadratic promises. */
static enum core_status try_step(struct asker *a, double t)
{
    struct factorised_fit *c = a->ctx;
    int d = c->f.d;
    for (int j = 0; j < 2 * d; j++) {
        c->cg.s[j] *= t;
        c->cg.Fs[j] *= t;
        c->trial[j] = c->f.x[j] + c->cg.s[j] * (j < d ? c->f.scale[j] : 1);
    }
    size_t n = 2 * (size_t) d;
    c->promise = -la_dot(n, c->slope, c->cg.s) - la_dot(n, c->cg.s, c->cg.Fs) / 2;
    return ask_trial(a, FACTORISED_TRIAL);
}

/* How far of the step no omega moves too far. */
static double within_reach(const struct factorised_fit *c)
{
    double largest = 0;
    for (int j = c->f.d; j < 2 * c->f.d; j++) largest = fmax(largest, fabs(c->cg.s[j]));
    return largest > MAX_LOG_STEP ? MAX_LOG_STEP / largest : 1;
}

static enum core_status take_start(struct asker *a, const double *lp, const double *g)
{
    struct factorised_fit *c = a->ctx;
    double F = factorised_value(&c->f, c->trial, lp);
    if (isfinite(F) && arrive(c, F, g)) return next_step(a);
    if (c->tries++ == MAX_HALVINGS) return end(a, FACTORISED_NOWHERE);
    for (int j = c->f.d; j < 2 * c->f.d; j++) c->trial[j] -= log(2);
    return ask_trial(a, FACTORISED_START);
}

static enum core_status take_product(struct asker *a, const double *g)
{
    struct factorised_fit *c = a->ctx;
    factorised_product(&c->f, c->cg.p, g, c->Fp);
    c->products++;
    enum factorised_cg_state s = factorised_cg_step(&c->cg, c->Fp);
    if (s == FACTORISED_CG_MORE && ++c->inner < MAX_INNER) return ask_product(a);
    size_t n = 2 * (size_t) c->f.d;
    if (la_dot(n, c->cg.s, c->cg.s) == 0) { /* no product to go by: steepest descent */
        for (size_t j = 0; j < n; j++) c->cg.s[j] = -c->slope[j];
        return try_step(a, fmin(1, c->radius / sqrt(c->cg.rr)));
    }
    return try_step(a, within_reach(c));
}

static enum core_status take_trial(struct asker *a, const double *lp, const double *g)
{
    struct factorised_fit *c = a->ctx;
    double F = factorised_value(&c->f, c->trial, lp);
    double noise = NOISE * fmax(1, fabs(c->F)),
           size = sqrt(la_dot(2 * (size_t) c->f.d, c->cg.s, c->cg.s));
    double gain = isfinite(F) ? (c->F - F + noise) / (c->promise + noise) : -1;
    if (gain < .25) c->radius = size / 4;
    if (gain > .75) c->radius = fmax(c->radius, 2 * size);
    if (gain > 1e-4 && arrive(c, F, g)) return next_step(a);
    if (c->tries++ == MAX_SHORTER) return end(a, FACTORISED_STALLED);
    return try_step(a, .25);
}

static enum core_status take(struct asker *a, const double *lp, const double *g)
{
    const struct factorised_fit *c = a->ctx;
    if (c->wait == FACTORISED_START) return take_start(a, lp, g);
    if (c->wait == FACTORISED_PRODUCT) return take_product(a, g);
    return take_trial(a, lp, g);
}

struct asker factorised_fit_asker(struct factorised_fit *c, const double *x)
{
    size_t d = (size_t) c->f.d;
    memcpy(c->trial, x, 2 * d * sizeof(double));
    memcpy(c->omega0, x + d, d * sizeof(double));
    factorised_set(&c->f, x);
    c->F = c->criterion = INFINITY;
    c->iter = c->products = c->tries = 0;
    c->outcome = FACTORISED_GOING;
    c->radius = sqrt(2 * (double) d);
    struct asker a = {.ctx = c, .d = c->f.d, .z = c->f.z, .take = take};
    ask_trial(&a, FACTORISED_START);
    return a;
}
