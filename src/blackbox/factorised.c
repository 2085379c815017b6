/* factorised.c: see factorised.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/factorised.h"

/* Length of a difference, in SDs: its error is h^2 times third derivatives, and a gradient that is
 * itself from differences has nine digits. */
static const double STEP = 1e-4;

void factorised_carve(struct factorised *f, struct arena *a)
{
    size_t d = (size_t) f->d, n = (size_t) f->n;
    f->x = arena_doubles(a, 2 * d);
    f->scale = arena_doubles(a, d);
    f->z = arena_doubles(a, 2 * d * n);
    f->at = arena_doubles(a, 4 * d);
    f->other = arena_doubles(a, 2 * d);
}

void factorised_set(struct factorised *f, const double *x)
{
    memmove(f->x, x, 2 * (size_t) f->d * sizeof(double));
    for (int j = 0; j < f->d; j++) f->scale[j] = exp(x[f->d + j]);
}

void factorised_place(const struct factorised *f, const double *x, double *z)
{
    int d = f->d;
    for (int i = 0; i < f->n; i++)
        for (int j = 0; j < d; j++)
            AT(z, j, i, d) = x[j] + exp(x[d + j]) * AT(f->E, j, i, d);
}

double factorised_value(const struct factorised *f, const double *x, const double *lp)
{
    double mean = 0, entropy = 0;
    for (int i = 0; i < f->n; i++) mean += lp[i] / f->n;
    for (int j = 0; j < f->d; j++) entropy += x[f->d + j];
    return -mean - entropy;
}

void factorised_slope(const struct factorised *f, const double *x, const double *g,
                      double *slope)
{
    int d = f->d;
    memset(slope, 0, 2 * (size_t) d * sizeof(double));
    for (int i = 0; i < f->n; i++)
        for (int j = 0; j < d; j++) {
            double gij = AT(g, j, i, d) / f->n;
            slope[j] -= gij;
            slope[d + j] -= gij * AT(f->E, j, i, d);
        }
    for (int j = 0; j < d; j++) {
        slope[j] *= f->scale[j];
        slope[d + j] = slope[d + j] * exp(x[d + j]) - 1;
    }
}

static double length(int n, const double *v) { return sqrt(la_dot((size_t) n, v, v)); }

void factorised_ask_product(struct factorised *f, const double *v)
{
    int d = f->d;
    double h = STEP / length(2 * d, v);
    for (int j = 0; j < 2 * d; j++) {
        double move = h * v[j] * (j < d ? f->scale[j] : 1);
        f->at[j] = f->x[j] + move;
        f->at[2 * d + j] = f->x[j] - move;
    }
    factorised_place(f, f->at, f->z);
    factorised_place(f, f->at + 2 * d, f->z + (size_t) d * (size_t) f->n);
}

void factorised_product(struct factorised *f, const double *v, const double *g,
                        double *Fv)
{
    int d = f->d;
    double h = STEP / length(2 * d, v);
    factorised_slope(f, f->at, g, Fv);
    factorised_slope(f, f->at + 2 * d, g + (size_t) d * (size_t) f->n, f->other);
    for (int j = 0; j < 2 * d; j++) Fv[j] = (Fv[j] - f->other[j]) / (2 * h);
}

void factorised_cg_carve(struct factorised_cg *c, int n, struct arena *a)
{
    c->n = n;
    c->s = arena_doubles(a, (size_t) n);
    c->Fs = arena_doubles(a, (size_t) n);
    c->r = arena_doubles(a, (size_t) n);
    c->p = arena_doubles(a, (size_t) n);
}

void factorised_cg_start(struct factorised_cg *c, const double *slope, double limit,
                         double radius)
{
    for (int j = 0; j < c->n; j++) {
        c->s[j] = c->Fs[j] = 0;
        c->r[j] = c->p[j] = -slope[j];
    }
    c->rr = la_dot((size_t) c->n, slope, slope);
    c->limit = limit;
    c->radius = radius;
}

/* s += a p, and with it F'' s. */
static void go(struct factorised_cg *c, double a, const double *Fp)
{
    for (int j = 0; j < c->n; j++) {
        c->s[j] += a * c->p[j];
        c->Fs[j] += a * Fp[j];
        c->r[j] -= a * Fp[j];
    }
}

/* The a > 0 at which s + a p has the length of the radius. */
static double to_edge(const struct factorised_cg *c)
{
    size_t n = (size_t) c->n;
    double pp = la_dot(n, c->p, c->p), sp = la_dot(n, c->s, c->p),
           room = fmax(0, c->radius * c->radius - la_dot(n, c->s, c->s));
    return (sqrt(sp * sp + pp * room) - sp) / pp;
}

enum factorised_cg_state factorised_cg_step(struct factorised_cg *c, const double *Fp)
{
    double curve = la_dot((size_t) c->n, c->p, Fp), edge = to_edge(c);
    if (!isfinite(curve)) return FACTORISED_CG_STOP;
    double a = curve > 0 ? c->rr / curve : INFINITY;
    if (a >= edge) {
        if (!isfinite(edge)) return FACTORISED_CG_STOP;
        go(c, edge, Fp);
        return FACTORISED_CG_EDGE;
    }
    go(c, a, Fp);
    double rr = la_dot((size_t) c->n, c->r, c->r), b = rr / c->rr;
    c->rr = rr;
    if (sqrt(rr) <= c->limit) return FACTORISED_CG_DONE;
    for (int j = 0; j < c->n; j++) c->p[j] = c->r[j] + b * c->p[j];
    return FACTORISED_CG_MORE;
}
