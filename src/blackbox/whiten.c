/* whiten.c: see whiten.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "blackbox/whiten.h"

void whiten_point(const struct whiten *w, const double *e, double *z)
{
    int d = w->d, one = 1;
    if (w->dense) {
        memcpy(z, e, sizeof(double) * (size_t) d);
        F77_CALL(dtrmv)("L", "N", "N", &d, w->L, &d, z, &one FCONE FCONE FCONE);
    } else {
        for (int i = 0; i < d; i++) z[i] = w->L[i] * e[i];
    }
    for (int i = 0; i < d; i++) z[i] += w->m[i];
}

void whiten_score(const struct whiten *w, const double *g, double *s)
{
    int d = w->d, one = 1;
    if (!w->dense) {
        for (int i = 0; i < d; i++) s[i] = w->L[i] * g[i];
        return;
    }
    memcpy(s, g, sizeof(double) * (size_t) d);
    F77_CALL(dtrmv)("L", "T", "N", &d, w->L, &d, s, &one FCONE FCONE FCONE);
}

void whiten_coordinates(const struct whiten *w, const double *z, double *e)
{
    for (int i = 0; i < w->d; i++) e[i] = z[i] - w->m[i];
    if (w->dense)
        la_solve_l(w->d, w->L, e);
    else
        for (int i = 0; i < w->d; i++) e[i] /= w->L[i];
}

struct whiten_moments whiten_moments_carve(int d, bool dense, struct arena *a)
{
    return (struct whiten_moments){.mean = arena_doubles(a, (size_t) d),
                                   .ss = arena_doubles(a, whiten_size(d, dense)),
                                   .work = arena_doubles(a, 2 * (size_t) d)};
}

void whiten_moments_clear(const struct whiten *w, struct whiten_moments *q)
{
    q->n = 0;
    memset(q->mean, 0, sizeof(double) * (size_t) w->d);
    memset(q->ss, 0, sizeof(double) * whiten_size(w->d, w->dense));
}

void whiten_moments_add(const struct whiten *w, struct whiten_moments *q, const double *e)
{
    int d = w->d, one = 1;
    double *old = q->work, k = 1.0 / ++q->n, f = 1 - k;
    for (int i = 0; i < d; i++) old[i] = e[i] - q->mean[i];
    for (int i = 0; i < d; i++) q->mean[i] += k * old[i];
    if (w->dense)
        F77_CALL(dsyr)("L", &d, &f, old, &one, q->ss, &d FCONE);
    else
        for (int i = 0; i < d; i++) q->ss[i] += f * old[i] * old[i];
}

/* SD of coordinate i; 1 when it did not move. */
static double spread(const struct whiten *w, const struct whiten_moments *q, int i)
{
    double v = (w->dense ? AT(q->ss, i, i, w->d) : q->ss[i]) / (q->n - 1);
    return v > 0 && isfinite(v) ? sqrt(v) : 1;
}

/* What share of a sum of squares is not noise? */
static double share(double seen, double noise)
{
    return seen > noise ? 1 - noise / seen : 0;
}

/* q->ss <- the correlations, of lower triangle, shrunk. */
static void shrink_correlations(const struct whiten *w, struct whiten_moments *q,
                                const double *sd)
{
    int d = w->d;
    double seen = 0, effective = 0.5 * q->n;
    for (int j = 0; j < d; j++)
        for (int i = j + 1; i < d; i++) {
            double *r = &AT(q->ss, i, j, d);
            *r /= (q->n - 1) * sd[i] * sd[j];
            seen += *r * *r;
        }
    double keep = share(seen, 0.5 * d * (d - 1.0) / effective);
    for (int j = 0; j < d; j++) {
        for (int i = j + 1; i < d; i++) AT(q->ss, i, j, d) *= keep;
        AT(q->ss, j, j, d) = 1;
    }
}

static void shrink_sds(int d, int n, double *sd)
{
    double seen = 0, effective = 0.5 * n;
    for (int i = 0; i < d; i++) seen += log(sd[i]) * log(sd[i]);
    double keep = share(seen, 0.5 * d / effective);
    for (int i = 0; i < d; i++) sd[i] = pow(sd[i], keep);
}

bool whiten_learn(struct whiten *w, struct whiten_moments *q)
{
    int d = w->d;
    double *sd = q->work, *z = q->work + d, one = 1;
    if (q->n < 3) return false;
    for (int i = 0; i < d; i++) sd[i] = spread(w, q, i);
    if (w->dense) {
        shrink_correlations(w, q, sd);
        if (la_chol(d, q->ss)) return false;
    }
    shrink_sds(d, q->n, sd);
    whiten_point(w, q->mean, z);
    memcpy(w->m, z, sizeof(double) * (size_t) d);
    if (!w->dense) {
        for (int i = 0; i < d; i++) w->L[i] *= sd[i];
        return true;
    }
    for (int j = 0; j < d; j++)
        for (int i = 0; i < d; i++) AT(q->ss, i, j, d) *= i < j ? 0 : sd[i];
    F77_CALL(dtrmm)
    ("L", "L", "N", "N", &d, &d, &one, w->L, &d, q->ss, &d FCONE FCONE FCONE FCONE);
    memcpy(w->L, q->ss, sizeof(double) * whiten_size(d, true));
    return true;
}
