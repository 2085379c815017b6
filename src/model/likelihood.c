/* likelihood.c: the table of likelihoods, and the defaults of what one need not have. */
#include <math.h>
#include "model/likelihood.h"

const struct likelihood *likelihood_of(int code)
{
    static const struct likelihood *const table[] = {
        &likelihood_binomial, &likelihood_poisson, &likelihood_negbin,
        &likelihood_binomial_pg};
    return code >= 0 && code < (int) (sizeof table / sizeof *table) ? table[code] : NULL;
}

/* ---- expectations by quadrature -------------------------------------------------------- */

/* The trapezoid rule under the normal density, ten SDs either way. Its error falls as
 * exp(-2 pi d / (STEP SD)), d the distance of f's nearest singularity from the real line (pi for a
 * logistic function: 3e-9 at an SD of 4, rounding at one of 2); that of Gauss-Hermite nodes falls
 * with the root of their number only. */
static const double STEP = 0.25;
enum { REACH = 40, BLOCK = 32 };

/* Third and fourth derivatives divide by the SD and its square: below this variance they are taken
 * with it, and the rest follows to first order. */
static const double LEAST_V = 1e-6;

static struct likelihood_rows part(const struct likelihood_rows *rows, size_t from)
{
    size_t left = rows->n - from;
    return (struct likelihood_rows){left < BLOCK ? left : BLOCK, rows->y + from,
                                    rows->size + from};
}

/* By parts, E g'(eta) = E g(eta) z / SD: F_m = E f', F_mm = E f'', F_mv = E f'' z / (2 SD) and
 * F_vv = E f'' (z^2 - 1) / (4 v). */
static void integrate(const struct likelihood *L, const struct likelihood_rows *rows,
                      const double *extra, const double *mu, const double *v,
                      struct likelihood_terms *e, size_t at)
{
    double eta[BLOCK], sd[BLOCK], f[BLOCK], score[BLOCK], weight[BLOCK], total = 0;
    for (size_t i = 0; i < rows->n; i++) {
        sd[i] = sqrt(fmax(v[i], LEAST_V));
        e->f[at + i] = e->m[at + i] = e->mm[at + i] = e->mv[at + i] = e->vv[at + i] = 0;
    }
    for (int k = -REACH; k <= REACH; k++) {
        double z = STEP * k, w = exp(-0.5 * z * z);
        for (size_t i = 0; i < rows->n; i++) eta[i] = mu[i] + sd[i] * z;
        L->value(rows, extra, eta, f);
        L->score(rows, extra, eta, score, weight);
        total += w;
        for (size_t i = 0; i < rows->n; i++) {
            e->f[at + i] += w * f[i];
            e->m[at + i] += w * score[i];
            e->mm[at + i] -= w * weight[i];
            e->mv[at + i] -= w * weight[i] * z;
            e->vv[at + i] -= w * weight[i] * (z * z - 1);
        }
    }
    for (size_t i = 0; i < rows->n; i++) {
        e->f[at + i] /= total;
        e->m[at + i] /= total;
        e->v[at + i] = 0.5 * e->mm[at + i] / total;
        e->mv[at + i] /= 2 * total * sd[i];
        e->vv[at + i] /= 4 * total * sd[i] * sd[i];
        double short_of = v[i] - sd[i] * sd[i]; /* zero but below LEAST_V */
        e->f[at + i] += short_of * e->v[at + i];
        e->m[at + i] += short_of * e->mv[at + i];
        e->v[at + i] += short_of * e->vv[at + i];
        e->mm[at + i] = 2 * e->v[at + i];
    }
}

double likelihood_expect(const struct likelihood *L, const struct likelihood_rows *rows,
                         const double *extra, const double *mu, const double *v,
                         struct likelihood_terms *e)
{
    if (L->expect) return L->expect(rows, extra, mu, v, e);
    double sum = 0;
    for (size_t i = 0; i < rows->n; i += BLOCK) {
        const struct likelihood_rows some = part(rows, i);
        integrate(L, &some, extra, mu + i, v + i, e, i);
    }
    for (size_t i = 0; i < rows->n; i++) sum += e->f[i];
    return sum;
}

struct scratch {
    double x[6][BLOCK];
};
static struct likelihood_terms terms_of(struct scratch *s)
{
    return (struct likelihood_terms){s->x[0], s->x[1], s->x[2],
                                     s->x[3], s->x[4], s->x[5]};
}

double likelihood_expect_value(const struct likelihood *L,
                               const struct likelihood_rows *rows, const double *extra,
                               const double *mu, const double *v)
{
    if (L->expect_value) return L->expect_value(rows, extra, mu, v);
    struct scratch s;
    struct likelihood_terms e = terms_of(&s);
    double sum = 0;
    for (size_t i = 0; i < rows->n; i += BLOCK) {
        const struct likelihood_rows some = part(rows, i);
        sum += likelihood_expect(L, &some, extra, mu + i, v + i, &e);
    }
    return sum;
}

static void expect_points(const struct likelihood *L, const struct likelihood_rows *rows,
                          const double *extra, const double *mu, const double *v,
                          const double *e, const struct likelihood_grid *x, double *out)
{
    int r = x->r;
    double eta[BLOCK], z[LIKELIHOOD_GRID_MAX_R];
    for (int k = 0; k < likelihood_grid_size(x); k++) {
        for (int c = 0; c < r; c++) z[c] = likelihood_grid_node(x, k, c);
        for (size_t i = 0; i < rows->n; i++) {
            eta[i] = mu[i];
            for (int c = 0; c < r; c++) eta[i] += e[i * (size_t) r + (size_t) c] * z[c];
        }
        out[k] += likelihood_expect_value(L, rows, extra, eta, v);
    }
}

void likelihood_expect_grid(const struct likelihood *L,
                            const struct likelihood_rows *rows, const double *extra,
                            const double *mu, const double *v, const double *e,
                            const struct likelihood_grid *x, double *out)
{
    if (L->expect_grid && L->expect_grid(rows, extra, mu, v, e, x, out)) return;
    for (size_t i = 0; i < rows->n; i += BLOCK) {
        const struct likelihood_rows some = part(rows, i);
        expect_points(L, &some, extra, mu + i, v + i, e + i * (size_t) x->r, x, out);
    }
}

/* ---- the extra parameter by differences ------------------------------------------------ */

/* Central differences of fourth order: weights of the points -2, ..., 2 steps away. */
static const double D1[] = {1 / 12., -2 / 3., 0, 2 / 3., -1 / 12.};
static const double D2[] = {-1 / 12., 4 / 3., -2.5, 4 / 3., -1 / 12.};
static const double EXTRA_STEP = 5e-3;

void likelihood_extra_terms(const struct likelihood *L,
                            const struct likelihood_rows *rows, const double *extra,
                            const double *mu, const double *v, struct likelihood_extra *x)
{
    if (L->extra_terms) {
        L->extra_terms(rows, extra, mu, v, x);
        return;
    }
    struct scratch s;
    struct likelihood_terms e = terms_of(&s);
    x->l = x->ll = 0;
    for (size_t i = 0; i < rows->n; i++) x->lm[i] = x->lv[i] = 0;
    for (size_t i = 0; i < rows->n; i += BLOCK) {
        const struct likelihood_rows some = part(rows, i);
        for (int k = -2; k <= 2; k++) {
            double moved = extra[0] * exp(EXTRA_STEP * k), d = D1[k + 2] / EXTRA_STEP;
            double F = likelihood_expect(L, &some, &moved, mu + i, v + i, &e);
            x->l += d * F;
            x->ll += D2[k + 2] / (EXTRA_STEP * EXTRA_STEP) * F;
            for (size_t j = 0; j < some.n; j++) {
                x->lm[i + j] += d * e.m[j];
                x->lv[i + j] += d * e.v[j];
            }
        }
    }
}
