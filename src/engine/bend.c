/* bend.c: see bend.h. */
#include <math.h>
#include "engine/bend.h"

/* exp() of it is no SD that a density could know of, and leaves room for products. */
static const double MAX_BEND = 40;

double bend_to_psi(int d, const double *c, const double *v, double *psi)
{
    double jacobian = 0;
    for (int j = 0; j < d; j++) {
        if (isnan(c[j])) {
            psi[j] = v[j];
            continue;
        }
        double e = exp(fmin(c[j] - v[j], MAX_BEND));
        psi[j] = -2 * (v[j] - e);
        jacobian += log1p(e) + 0.69314718055994530942;
    }
    return jacobian;
}

/* x - exp(-x) = y, increasing and concave. */
static double bend_root(double y)
{
    double x = y > 0 ? y : -log1p(-y);
    for (int i = 0; i < 60; i++) {
        double e = exp(-x), step = (y - x + e) / (1 + e);
        x += step;
        if (!(fabs(step) > 1e-15 * (1 + fabs(x)))) break;
    }
    return x;
}

void bend_from_psi(int d, const double *c, const double *psi, double *v)
{
    for (int j = 0; j < d; j++)
        v[j] = isnan(c[j]) ? psi[j] : c[j] + bend_root(-0.5 * psi[j] - c[j]);
}

struct bend bend_carve(struct target f, const double *c, struct arena *a)
{
    return (struct bend){f, c, arena_doubles(a, (size_t) f.d * BEND_LOT)};
}

static double bend_log_density(void *ctx, const double *v)
{
    struct bend *b = ctx;
    double jacobian = bend_to_psi(b->f.d, b->c, v, b->psi);
    return b->f.log_density(b->f.ctx, b->psi) + jacobian;
}

static void bend_log_densities(void *ctx, int n, const double *v, double *f)
{
    struct bend *b = ctx;
    size_t d = (size_t) b->f.d;
    for (int from = 0; from < n; from += BEND_LOT) {
        int lot = n - from < BEND_LOT ? n - from : BEND_LOT;
        double jacobian[BEND_LOT];
        for (int i = 0; i < lot; i++)
            jacobian[i] = bend_to_psi(b->f.d, b->c, v + (size_t) (from + i) * d,
                                      b->psi + (size_t) i * d);
        target_log_densities(&b->f, lot, b->psi, f + from);
        for (int i = 0; i < lot; i++) f[from + i] += jacobian[i];
    }
}

struct target bend_target(struct bend *b)
{
    if (!b->c) return b->f;
    return (struct target){b->f.d, bend_log_density, b, bend_log_densities};
}
