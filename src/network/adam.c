/* adam.c: see adam.h. */
#include <math.h>
#include <string.h>
#include "network/adam.h"

static const double B1 = .9, B2 = .999, FLOOR = 1e-8;

struct adam adam_carve(size_t n, struct arena *a)
{
    struct adam x = {.n = n, .one = 1, .two = 1};
    x.first = arena_doubles(a, n);
    x.second = arena_doubles(a, n);
    return x;
}

void adam_start(struct adam *a)
{
    memset(a->first, 0, sizeof(double) * a->n);
    memset(a->second, 0, sizeof(double) * a->n);
    a->one = a->two = 1;
}

bool adam_step(struct adam *a, double rate, const double *g, double *w)
{
    for (size_t i = 0; i < a->n; i++)
        if (!isfinite(g[i])) return false;
    a->one *= B1;
    a->two *= B2;
    double by = rate / (1 - a->one), scale = 1 / (1 - a->two);
    for (size_t i = 0; i < a->n; i++) {
        a->first[i] = B1 * a->first[i] + (1 - B1) * g[i];
        a->second[i] = B2 * a->second[i] + (1 - B2) * g[i] * g[i];
        w[i] += by * a->first[i] / (sqrt(a->second[i] * scale) + FLOOR);
    }
    return true;
}

double adam_clip(size_t n, double *g, double most)
{
    double ss = 0;
    for (size_t i = 0; i < n; i++) ss += g[i] * g[i];
    double length = sqrt(ss);
    if (length > most)
        for (size_t i = 0; i < n; i++) g[i] *= most / length;
    return length;
}
