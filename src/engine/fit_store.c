/* fit_store.c: see fit_store.h. */
#include <math.h>
#include <string.h>
#include "base/core.h"
#include "base/la.h"
#include "engine/fit_store.h"

/* Doubles that the store may take. */
static const double MAX_STORE = 4e6;

static const double LENGTH = 2, JITTER = 1e-6;
/* Prior variances of the trend's constant and slopes. */
static const double VAGUE = 100, SLOPE = 1;

struct fit_store fit_store_carve(int d, size_t length, struct arena *a)
{
    struct fit_store s = {.d = d, .length = length};
    double fit = MAX_STORE / (double) (length + (size_t) d);
    s.capacity = fit > FIT_STORE_MOST ? FIT_STORE_MOST : fit < 2 ? 2 : (int) fit;
    s.psi = arena_doubles(a, (size_t) s.capacity * (size_t) d);
    s.x = arena_doubles(a, (size_t) s.capacity * length);
    return s;
}

static const double *point(const struct fit_store *s, int k)
{
    return s->psi + (size_t) k * (size_t) s->d;
}

static double distance2(int d, const double *x, const double *y)
{
    double sum = 0;
    for (int i = 0; i < d; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sum;
}

double *fit_store_put(struct fit_store *s, const double *psi)
{
    int k = s->next;
    s->next = (k + 1) % s->capacity;
    if (s->n < s->capacity) s->n++;
    memcpy(s->psi + (size_t) k * (size_t) s->d, psi, sizeof(double) * (size_t) s->d);
    return s->x + (size_t) k * s->length;
}

/* which <- the nearest fits, nearest first. */
static int nearest(const struct fit_store *s, const double *psi, int *which, double *d2)
{
    int n = 0;
    for (int k = 0; k < s->n; k++) {
        double here = distance2(s->d, point(s, k), psi);
        int at = n < FIT_STORE_NEAR ? n++ : FIT_STORE_NEAR;
        for (; at > 0 && here < d2[at - 1]; at--)
            if (at < FIT_STORE_NEAR) {
                which[at] = which[at - 1];
                d2[at] = d2[at - 1];
            }
        if (at == FIT_STORE_NEAR) continue;
        which[at] = k;
        d2[at] = here;
    }
    return n;
}

/* Covariance of the process between fits at x and y, seen from psi. */
static double covariance(int d, const double *x, const double *y, const double *psi)
{
    double trend = 0;
    for (int i = 0; i < d; i++) trend += (x[i] - psi[i]) * (y[i] - psi[i]);
    return exp(-0.5 * distance2(d, x, y) / (LENGTH * LENGTH)) + VAGUE + SLOPE * trend;
}

struct fit_store_prediction fit_store_predict(const struct fit_store *s,
                                              const double *psi)
{
    double d2[FIT_STORE_NEAR], K[FIT_STORE_NEAR * FIT_STORE_NEAR];
    struct fit_store_prediction x = {.weight = {1}, .variance = INFINITY};
    int n = x.n = nearest(s, psi, x.which, d2);
    if (n > 0 && d2[0] == 0) {
        x.n = 1;
        x.variance = 0;
    }
    if (x.n < 2) return x;
    for (int j = 0; j < n; j++) {
        const double *fit = point(s, x.which[j]);
        x.weight[j] = covariance(s->d, fit, psi, psi);
        for (int i = j; i < n; i++)
            AT(K, i, j, n) = covariance(s->d, point(s, x.which[i]), fit, psi);
        AT(K, j, j, n) += JITTER;
    }
    if (la_chol(n, K)) {
        x.n = 1;
        x.weight[0] = 1;
        return x;
    }
    la_solve_l(n, K, x.weight);
    x.variance = covariance(s->d, psi, psi, psi) - la_dot((size_t) n, x.weight, x.weight);
    la_solve_lt(n, K, x.weight);
    return x;
}

void fit_store_sum(const struct fit_store *s, const struct fit_store_prediction *x,
                   double *out)
{
    memset(out, 0, sizeof(double) * s->length);
    for (int k = 0; k < x->n; k++) {
        const double *fit = s->x + (size_t) x->which[k] * s->length;
        for (size_t i = 0; i < s->length; i++) out[i] += x->weight[k] * fit[i];
    }
}
