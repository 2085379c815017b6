/* lmm_iter_error.c: see lmm_iter_error.h. */
#include <math.h>
#include <string.h>
#include "engine/lmm_iter_error.h"

struct lmm_iter_error lmm_iter_error_carve(const struct lmm *m, struct arena *a)
{
    struct lmm_iter_error e;
    e.mean = arena_doubles(a, (size_t) m->n_stat);
    e.sd = arena_doubles(a, (size_t) m->n_stat);
    e.work = arena_doubles(a, 2 * (size_t) m->n_par);
    return e;
}

static double se_of(const struct lmm_iter_trace *w, int f, int i)
{
    return *lmm_iter_trace_at(w, w->se, f, i);
}

static void of_means(const struct lmm_iter_trace *w, const struct vb_state *s,
                     struct lmm_iter_error *e)
{
    const struct lmm_iter *x = w->x;
    const struct lmm *m = x->m;
    double *resid = e->work, *step = e->work + m->n_par;
    memset(e->mean, 0, sizeof(double) * (size_t) m->n_stat);
    for (int j = 1; j < m->n_prec; j++) {
        if (!lmm_iter_of(x, j)->big) continue;
        int at = m->prec[j].at;
        double se = se_of(w, m->prec[j].factor, 0), t = s->t[at];
        memset(resid, 0, sizeof(double) * (size_t) m->n_par);
        resid[at] = -t * t / s->df[j] * se;
        resid[0] = s->t[0] * t / s->df[0] * se;
        lr_newton(&s->lr, resid, step);
        for (int k = 0; k < m->n_stat; k++) e->mean[k] += step[k] * step[k];
    }
    for (int k = 0; k < m->n_stat; k++)
        e->mean[k] = sqrt(e->mean[k] / AT(s->lr.Sigma, k, k, s->lr.q));
}

/* Standard error of the estimate that lmm_iter_trace_pair() makes. */
static double se_of_pair(const struct lmm_iter_trace *w, int f, int g)
{
    double a = se_of(w, f, 1 + g), b = se_of(w, g, 1 + f);
    if (f == g || a * a + b * b == 0) return a;
    return a * b / sqrt(a * a + b * b);
}

static void of_sds(const struct lmm_iter_trace *w, const struct vb_state *s, double *out)
{
    const struct lmm_iter *x = w->x;
    const struct lmm *m = x->m;
    int q = s->lr.q;
    for (int k = 0; k < m->n_stat; k++) {
        const double *Sigma = s->lr.Sigma + (size_t) k * (size_t) q;
        double sum = 0;
        for (int i = 1; i < m->n_prec; i++)
            for (int j = 1; j <= i; j++) {
                if (!lmm_iter_of(x, i)->big || !lmm_iter_of(x, j)->big) continue;
                double dC = se_of_pair(w, m->prec[i].factor, m->prec[j].factor) / 2,
                       d = Sigma[m->prec[i].at] * Sigma[m->prec[j].at] * dC *
                           (i == j ? 1 : 2);
                sum += d * d;
            }
        out[k] = sqrt(sum) / (2 * Sigma[k]);
    }
}

void lmm_iter_error_at(const struct lmm_iter_trace *w, const struct vb_state *s,
                       struct lmm_iter_error *e)
{
    of_means(w, s, e);
    of_sds(w, s, e->sd);
}

/* What a standard error known from m probes may well be: over the root of a tenth quantile of
 * chi^2 / df [Wilson & Hilferty 1931]. */
static double upper(int m)
{
    double a = 2.0 / (9 * (m - 1)), q = 1 - a - 1.2816 * sqrt(a);
    return pow(fmax(q, 0.2), -1.5);
}

int lmm_iter_error_probes(const struct lmm_iter_trace *w, const struct lmm_iter_error *e,
                          const struct lmm_iter_control *aim)
{
    int now = w->probes, n = now;
    double worst = 0;
    for (int k = 0; k < w->x->m->n_stat; k++)
        worst = fmax(worst, fmax(e->mean[k] / aim->aim, e->sd[k] / aim->sd_aim));
    worst *= upper(now);
    while (n < now * worst * worst && n < aim->most) n *= 2;
    return n < aim->most ? n : aim->most;
}
