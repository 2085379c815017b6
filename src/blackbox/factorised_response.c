/* factorised_response.c: see factorised_response.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/factorised_response.h"

void factorised_response_carve(struct factorised_response *c, struct arena *a)
{
    factorised_carve(&c->f, a);
    factorised_cg_carve(&c->cg, 2 * c->f.d, a);
    c->Fp = arena_doubles(a, 2 * (size_t) c->f.d);
}

/* -b as a slope, so that the step is F''^-1 b. Is there anything to solve? */
static bool start_column(struct factorised_response *c)
{
    int n = c->cg.n;
    const double *b = &AT(c->B, 0, c->column, n);
    double length = sqrt(la_dot((size_t) n, b, b));
    for (int j = 0; j < n; j++) c->Fp[j] = -b[j];
    factorised_cg_start(&c->cg, c->Fp, c->tol * length, INFINITY);
    c->inner = 0;
    return length > 0;
}

/* The next column that is not zero. */
static enum core_status next_column(struct asker *a)
{
    struct factorised_response *c = a->ctx;
    while (c->column < c->k && !start_column(c)) c->column++;
    a->n = c->column < c->k ? 2 * c->f.n : 0;
    if (a->n) factorised_ask_product(&c->f, c->cg.p);
    return CORE_OK;
}

static enum core_status close_column(struct asker *a, const double *x, int short_of)
{
    struct factorised_response *c = a->ctx;
    memcpy(&AT(c->out, 0, c->column, c->cg.n), x, (size_t) c->cg.n * sizeof(double));
    c->short_of[c->column++] = short_of;
    return next_column(a);
}

static enum core_status take(struct asker *a, const double *lp, const double *g)
{
    struct factorised_response *c = a->ctx;
    (void) lp;
    factorised_product(&c->f, c->cg.p, g, c->Fp);
    if (!c->solve) return close_column(a, c->Fp, 0);
    enum factorised_cg_state s = factorised_cg_step(&c->cg, c->Fp);
    if (s == FACTORISED_CG_STOP) return close_column(a, c->cg.s, 2);
    if (s == FACTORISED_CG_DONE) return close_column(a, c->cg.s, 0);
    if (++c->inner == c->max_inner) return close_column(a, c->cg.s, 1);
    factorised_ask_product(&c->f, c->cg.p);
    return CORE_OK;
}

struct asker factorised_response_asker(struct factorised_response *c, const double *x)
{
    struct asker a = {.ctx = c, .d = c->f.d, .z = c->f.z, .gradient = true, .take = take};
    factorised_set(&c->f, x);
    c->column = 0;
    next_column(&a);
    return a;
}
