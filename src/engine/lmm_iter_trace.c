/* lmm_iter_trace.c: see lmm_iter_trace.h. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "engine/lmm_iter_trace.h"

struct lmm_iter_trace lmm_iter_trace_carve(const struct lmm_iter *x, struct arena *a)
{
    size_t n = (size_t) x->n_big * ((size_t) x->n_big + 1);
    struct lmm_iter_trace w = {.x = x};
    w.raw = arena_doubles(a, n * (LMM_ITER_PROBES + 1));
    w.cv = arena_doubles(a, n * (LMM_ITER_PROBES + 1));
    w.exact = arena_doubles(a, n);
    w.est = arena_doubles(a, n);
    w.se = arena_doubles(a, n);
    w.w_l = arena_doubles(a, (size_t) x->n_leaf * LMM_ITER_COLUMNS);
    w.o_l = arena_doubles(a, (size_t) x->n_leaf * LMM_ITER_COLUMNS);
    w.w_R = arena_doubles(a, (size_t) x->n_R * LMM_ITER_COLUMNS);
    w.o_R = arena_doubles(a, (size_t) x->n_R * LMM_ITER_COLUMNS);
    return w;
}

/* ---- probes ------------------------------------------------------------------------------------- */

/* The sign of a level: a bit of splitmix64 [Steele, Lea & Flood 2014] at its own place, so that the
 * first probes stay what they are when there are more. */
static double sign_of(int f, int probe, int level)
{
    uint64_t z = ((uint64_t) (f + 2) << 48) + ((uint64_t) probe << 32) + (uint64_t) level;
    z = (z + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) >> 63 ? 1 : -1;
}

/* Element i of the probe is sign * scale - shift. */
struct probe {
    double sign, shift;
    int f, number;
};

static struct probe probe_of(const struct lmm_iter *x, int f, int family, int number)
{
    int n = x->factor[f].n;
    double sum = 0;
    if (number == 0) return (struct probe){0, -1 / sqrt((double) n), f, 0};
    family =
        family < 0 ? x->n_big + f : f; /* other signs for the probes of all factors */
    for (int i = 0; i < n; i++) sum += sign_of(family, number, i);
    return (struct probe){1, sum / n, family, number};
}

static double probe_at(const struct probe *z, int i)
{
    return (z->sign != 0 ? sign_of(z->f, z->number, i) : 0) - z->shift;
}

static size_t first_row(const struct lmm_iter *x, int f)
{
    return (size_t) x->factor[f].at;
}

void lmm_iter_trace_fill(const struct lmm_iter *x, int f, int probe, int c, int ld,
                         double *l, double *R)
{
    for (int k = 0; k < x->n_big; k++) {
        if (f >= 0 && k != f) continue;
        double *to = (k ? R + first_row(x, k) * (size_t) ld : l) + c;
        struct probe z = probe_of(x, k, f, probe);
        for (int i = 0; i < x->factor[k].n; i++, to += ld) *to = probe_at(&z, i);
    }
}

/* ---- the expansion ------------------------------------------------------------------------------ */

void lmm_iter_trace_expand(const struct lmm_iter_op *o, int ld, const double *l,
                           const double *R, struct lmm_iter_trace *w)
{
    double *to = w->w_l;
    for (int i = 0; i < o->x->n_leaf; i++)
        for (int c = 0; c < ld; c++) *to++ = *l++ / o->D_l[i];
    to = w->w_R;
    for (int i = 0; i < o->x->n_R; i++)
        for (int c = 0; c < ld; c++) *to++ = *R++ / o->D_R[i];
    lmm_iter_op_off(o, ld, w->w_l, w->w_R, w->o_l, w->o_R);
}

static double *cell(const struct lmm_iter_trace *w, double *A, int f, int probe)
{
    int k = w->x->n_big + 1;
    return A + (f * (LMM_ITER_PROBES + 1) + probe) * k;
}

void lmm_iter_trace_before(const struct lmm_iter_op *o, int f, int probe, int c, int ld,
                           struct lmm_iter_trace *w)
{
    const struct lmm_iter *x = o->x;
    double *out = cell(w, w->cv, f, probe);
    memset(out, 0, sizeof(double) * (size_t) (x->n_big + 1));
    for (int k = 0; k < x->n_big; k++) {
        size_t at = first_row(x, k);
        const double *D = k ? o->D_R + at : o->D_l, *v = (k ? w->w_R : w->w_l) + c,
                     *u = (k ? w->o_R : w->o_l) + c;
        double q = 0, h = 0;
        for (size_t i = 0; i < (size_t) x->factor[k].n; i++) {
            double wi = v[(at + i) * (size_t) ld], oi = u[(at + i) * (size_t) ld];
            q += wi * wi * D[i] + oi * oi / D[i];
            h += wi * wi + oi * oi / (D[i] * D[i]);
        }
        out[0] += q;
        out[1 + k] = h;
    }
}

void lmm_iter_trace_after(const struct lmm_iter_op *o, int f, int probe, int c, int ld,
                          const struct lmm_iter_cg *s, struct lmm_iter_trace *w)
{
    const struct lmm_iter *x = o->x;
    double *out = cell(w, w->raw, f, probe), q = 0;
    struct probe z = probe_of(x, f, f, probe);
    for (int k = 0; k < x->n_big; k++) {
        const double *v = (k ? s->R + first_row(x, k) * (size_t) ld : s->l) + c;
        double h = 0;
        for (int i = 0; i < x->factor[k].n; i++, v += ld) {
            h += *v * *v;
            if (k == f) q += probe_at(&z, i) * *v;
        }
        out[1 + k] = h;
    }
    /* x'r makes the error of z'x quadratic in that of x, from whatever guess it came */
    for (size_t i = (size_t) c; i < (size_t) x->n_R * (size_t) ld; i += (size_t) ld)
        q += s->R[i] * s->r[i];
    out[0] = q;
}

/* The traces of the expansion. */
static void exact_traces(const struct lmm_iter_op *o, struct lmm_iter_trace *w)
{
    const struct lmm_iter *x = o->x;
    memset(w->exact, 0, sizeof(double) * (size_t) x->n_big * (size_t) (x->n_big + 1));
    for (int f = 0; f < x->n_big; f++) {
        const double *D = f ? o->D_R + first_row(x, f) : o->D_l;
        double *q = lmm_iter_trace_at(w, w->exact, f, 0);
        for (int i = 0; i < x->factor[f].n; i++) {
            q[0] += 1 / D[i];
            q[1 + f] += 1 / (D[i] * D[i]);
        }
    }
    for (int k = 0; k < x->n_tables; k++) {
        const struct lmm_iter_table *t = x->table + k;
        if (!x->factor[t->b].big) continue;
        const double *Da = t->a ? o->D_R + first_row(x, t->a) : o->D_l,
                     *Db = o->D_R + first_row(x, t->b);
        double qa = 0, qb = 0, h = 0;
        for (int i = 0; i < x->factor[t->a].n; i++)
            for (int e = t->ptr[i]; e < t->ptr[i + 1]; e++) {
                double O = o->tau_e * t->val[e], a = Da[i], b = Db[t->idx[e]],
                       s = O * O / (a * b);
                qa += s / a;
                qb += s / b;
                h += s / (a * b);
            }
        lmm_iter_trace_at(w, w->exact, t->a, 0)[0] += qa;
        lmm_iter_trace_at(w, w->exact, t->b, 0)[0] += qb;
        *lmm_iter_trace_at(w, w->exact, t->a, 1 + t->b) += h;
        *lmm_iter_trace_at(w, w->exact, t->b, 1 + t->a) += h;
    }
}

/* Mean and variance of the mean of quantity i of factor f over the probes, less times cv. */
static double mean_of(const struct lmm_iter_trace *w, int f, int i, double times,
                      double *variance)
{
    double sum = 0, square = 0;
    int m = w->probes;
    for (int c = 1; c <= m; c++)
        sum += cell(w, w->raw, f, c)[i] - times * cell(w, w->cv, f, c)[i];
    for (int c = 1; c <= m; c++) {
        double d = cell(w, w->raw, f, c)[i] - times * cell(w, w->cv, f, c)[i] - sum / m;
        square += d * d;
    }
    *variance = square / (m - 1) / m;
    return sum / m;
}

void lmm_iter_trace_close(const struct lmm_iter_op *o, struct lmm_iter_trace *w)
{
    exact_traces(o, w);
    for (int f = 0; f < w->x->n_big; f++)
        for (int i = 0; i <= w->x->n_big; i++) {
            double plain, with, constant = cell(w, w->raw, f, 0)[i];
            double a = mean_of(w, f, i, 0, &plain), b = mean_of(w, f, i, 1, &with);
            b += *lmm_iter_trace_at(w, w->exact, f, i) - cell(w, w->cv, f, 0)[i];
            *lmm_iter_trace_at(w, w->est, f, i) = constant + (with < plain ? b : a);
            *lmm_iter_trace_at(w, w->se, f, i) = sqrt(fmin(with, plain));
        }
}

double lmm_iter_trace_pair(const struct lmm_iter_trace *w, int f, int g)
{
    double a = *lmm_iter_trace_at(w, w->est, f, 1 + g),
           b = *lmm_iter_trace_at(w, w->est, g, 1 + f),
           va = *lmm_iter_trace_at(w, w->se, f, 1 + g),
           vb = *lmm_iter_trace_at(w, w->se, g, 1 + f);
    va *= va;
    vb *= vb;
    return va + vb > 0 ? (a * vb + b * va) / (va + vb) : (a + b) / 2;
}
