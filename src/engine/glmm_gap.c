/* glmm_gap.c: what the Gaussian of each level on its own loses (see glmm_gap.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/la.h"
#include "base/logistic.h"
#include "base/vech.h"
#include "engine/glmm_gap.h"

/* Gauss-Hermite nodes >= 0 and weights for the standard normal; the others mirror them. */
static const double NODE_15[] = {0,
                                 0.7991290683245453,
                                 1.60671006902873,
                                 2.432436827009758,
                                 3.289082424398765,
                                 4.196207711269015,
                                 5.190093591304778,
                                 6.363947888829831};
static const double WEIGHT_15[] = {0.3182595182595174,    0.2324622936097322,
                                   0.08941779539984435,   0.01736577449213748,
                                   0.001567357503549959,  5.642146405189058e-05,
                                   5.975419597920733e-07, 8.589649899633668e-10};
static const double NODE_9[] = {0, 1.023255663789133, 2.076847978677830,
                                3.205429002856470, 4.512745863399783};
static const double WEIGHT_9[] = {0.4063492063492063, 0.2440975028949394,
                                  0.04991640676521787, 0.002789141321231768,
                                  2.234584400774658e-05};
static const double NODE_7[] = {0, 1.154405394739968, 2.366759410734538,
                                3.750439717725739};
static const double WEIGHT_7[] = {0.4571428571428571, 0.2401231786050125,
                                  0.03075712396758642, 0.0005482688559722201};
static const double NODE_5[] = {0, 1.355626179974264, 2.856970013872803};
static const double WEIGHT_5[] = {0.5333333333333334, 0.2220759220056127,
                                  0.01125741132772066};

enum { MAX_R = GLMM_GAP_MAX_R, MAX_NODES = 125, BLOCK = 32 };

struct nodes {
    struct likelihood_grid grid;
    int n;
    double z[MAX_R * MAX_NODES], log_w[MAX_NODES];
};

/* Nodes a side that a level takes in r dimensions, by its own third-order part: how far it is from
 * normal. Of the 8,000 gaps that the limits were chosen on (the levels of six models, at four to eight
 * points each) none was off by more than 3e-5; summed, log densities move by 1.5e-3 at most. */
enum { RULES = 3 };
static const struct {
    int half; /* nodes on either side of zero                                        */
    const double *node, *weight;
    double most; /* third-order part                                                 */
} RULE[MAX_R][RULES] = {{{3, NODE_7, WEIGHT_7, 3e-3},
                         {4, NODE_9, WEIGHT_9, 1e-2},
                         {7, NODE_15, WEIGHT_15, INFINITY}},
                        {{2, NODE_5, WEIGHT_5, 1e-3}, {3, NODE_7, WEIGHT_7, INFINITY}},
                        {{2, NODE_5, WEIGHT_5, INFINITY}}};

static int rule_for(int r, double third_order)
{
    int k = 0;
    while (third_order > RULE[r - 1][k].most) k++;
    return k;
}

/* Product rule k in r dimensions: its points z (r x n) and log weights. */
static void product_rule(int r, int k, struct nodes *x)
{
    const double *node = RULE[r - 1][k].node, *weight = RULE[r - 1][k].weight;
    x->grid = (struct likelihood_grid){r, RULE[r - 1][k].half, node};
    x->n = node ? likelihood_grid_size(&x->grid) : 0;
    for (int i = 0; i < x->n; i++) {
        x->log_w[i] = 0;
        for (int c = 0; c < r; c++) {
            x->z[c + i * r] = likelihood_grid_node(&x->grid, i, c);
            x->log_w[i] += log(weight[abs(likelihood_grid_at(&x->grid, i, c))]);
        }
    }
}

/* The effects of one level: where they stand and its rows. */
struct level {
    int r;
    size_t at, n;    /* first coefficient in theta; rows                              */
    const int *rows; /* NULL: first, first + 1, ...                                   */
    size_t first;
    const double *z;
    const double *Lambda; /* r x r                                                      */
};

static inline size_t row_of(const struct level *l, size_t k)
{
    return l->rows ? (size_t) l->rows[k] : l->first + k;
}
static inline double z_of(const struct level *l, size_t i, int c)
{
    return l->z ? l->z[i * (size_t) l->r + (size_t) c] : 1.0;
}

/* L <- Cholesky factor of the conditional covariance W = (Lambda + sum w z z')^-1 and log |W|. */
static bool level_covariance(const struct glmm_view *x, const struct level *l, double *L,
                             double *logdet)
{
    int r = l->r;
    double W[MAX_R * MAX_R];
    memcpy(W, l->Lambda, sizeof(double) * (size_t) (r * r));
    for (size_t k = 0; k < l->n; k++) {
        size_t i = row_of(l, k);
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++)
                AT(W, a, b, r) += x->s->w[i] * z_of(l, i, a) * z_of(l, i, b);
    }
    if (la_chol(r, W)) return false;
    *logdet = -la_logdet(r, W);
    la_inverse(r, W, L);
    return la_chol(r, L) == 0;
}

/* Some rows of a level side by side, r numbers each of e = L'z. */
struct block {
    size_t n, row[BLOCK];
    double y[BLOCK], size[BLOCK], e[MAX_R * BLOCK];
    double mean[BLOCK],
        own[BLOCK];     /* of eta, and its variance by the level's effects: e'e */
    double rest[BLOCK]; /* by all others, or 0: at their means                  */
};

static void gather(const struct glmm_view *x, const struct level *l, const double *L,
                   bool other, size_t from, struct block *b)
{
    int r = l->r;
    b->n = l->n - from < BLOCK ? l->n - from : BLOCK;
    for (size_t k = 0; k < b->n; k++) {
        size_t i = b->row[k] = row_of(l, from + k);
        double *e = b->e + k * (size_t) r;
        b->y[k] = x->g->y[i];
        b->size[k] = x->g->size[i];
        b->mean[k] = x->s->mu[i];
        b->own[k] = 0;
        for (int c = 0; c < r; c++) {
            e[c] = 0;
            for (int a = c; a < r; a++) e[c] += AT(L, a, c, r) * z_of(l, i, a);
            b->own[k] += e[c] * e[c];
        }
        b->rest[k] = other ? fmax(x->s->v[i] - b->own[k], 0) : 0;
    }
}

/* sum F of a block under the level's Gaussian; third (r^3) += g e (x) e (x) e. */
static double block_bound(const struct glmm_view *x, const struct block *b, int r,
                          bool other, double *third)
{
    double f[BLOCK], m[BLOCK], v[BLOCK], mm[BLOCK], mv[BLOCK], vv[BLOCK], sum = 0;
    struct likelihood_terms F = {f, m, v, mm, mv, vv};
    const struct likelihood_rows rows = {b->n, b->y, b->size};
    if (!other) likelihood_expect(x->g->likelihood, &rows, x->t, b->mean, b->own, &F);
    for (size_t k = 0; k < b->n; k++) {
        const double *e = b->e + k * (size_t) r;
        double g3 = 2 * (other ? x->s->e.mv[b->row[k]] : mv[k]);
        sum += other ? x->s->e.f[b->row[k]] : f[k];
        for (int c = 0; c < r; c++)
            for (int d = 0; d < r; d++)
                for (int h = 0; h < r; h++)
                    third[(c * r + d) * r + h] += g3 * e[c] * e[d] * e[h];
    }
    return sum;
}

/* E log p(u) under the level's Gaussian N(m, L L') + its entropy, but for what the density's own
 * constants and log |Lambda| are in both. */
static double prior_bound(const struct level *l, const double *m, const double *L,
                          double logdet)
{
    int r = l->r;
    double quad = 0, trace = 0; /* m'Lambda m and tr(Lambda L L') */
    for (int a = 0; a < r; a++)
        for (int b = 0; b < r; b++) {
            double W = 0;
            for (int c = 0; c <= (a < b ? a : b); c++)
                W += AT(L, a, c, r) * AT(L, b, c, r);
            quad += AT(l->Lambda, a, b, r) * m[a] * m[b];
            trace += AT(l->Lambda, a, b, r) * W;
        }
    return -0.5 * (quad + trace) + 0.5 * logdet + 0.5 * r;
}

/* value_k += the same at u = m + L z_k, log p(u), less the node's log density, and its log weight: a
 * quadratic in z, m'Lambda m + 2 g'z + z'H z. */
static void add_prior_values(const struct level *l, const double *m, const double *L,
                             double logdet, const struct nodes *rule, double *value)
{
    int r = l->r;
    double at_mean = -logdet, g[MAX_R] = {0}, H[MAX_R * MAX_R];
    for (int a = 0; a < r; a++) {
        double T[MAX_R] = {0}; /* row a of L'Lambda */
        for (int b = 0; b < r; b++) {
            for (int c = a; c < r; c++) T[b] += AT(L, c, a, r) * AT(l->Lambda, c, b, r);
            g[a] += T[b] * m[b];
            at_mean += m[a] * AT(l->Lambda, a, b, r) * m[b];
        }
        for (int b = 0; b < r; b++) {
            AT(H, a, b, r) = a == b ? -1 : 0;
            for (int c = b; c < r; c++) AT(H, a, b, r) += T[c] * AT(L, c, b, r);
        }
    }
    for (int k = 0; k < rule->n; k++) {
        const double *z = rule->z + k * r;
        double q = at_mean;
        for (int a = 0; a < r; a++) {
            double t = 2 * g[a];
            for (int b = 0; b < r; b++) t += AT(H, b, a, r) * z[b];
            q += t * z[a];
        }
        value[k] += rule->log_w[k] - 0.5 * q;
    }
}

static double log_sum_exp(int n, const double *x)
{
    double top = -INFINITY, sum = 0, y[MAX_NODES];
    for (int k = 0; k < n; k++)
        if (x[k] > top) top = x[k];
    for (int k = 0; k < n; k++) y[k] = x[k] - top;
    logistic_exp_rows((size_t) n, y, y);
    for (int k = 0; k < n; k++) sum += y[k];
    return top + log(sum);
}

/* sum F under the level's Gaussian; *third <- its third-order part, sum_cde (sum_i g e_c e_d e_e)^2
 * / 12, e = L'z. Leaves the last block in b. */
static double level_bound(const struct glmm_view *x, const struct level *l,
                          const double *L, bool other, struct block *b, double *third)
{
    double T[MAX_R * MAX_R * MAX_R] = {0}, bound = 0;
    for (size_t from = 0; from < l->n; from += BLOCK) {
        gather(x, l, L, other, from, b);
        bound += block_bound(x, b, l->r, other, T);
    }
    *third = 0;
    for (int c = 0; c < l->r * l->r * l->r; c++) *third += T[c] * T[c] / 12;
    return bound;
}

/* What the level's Gaussian loses, by rule *which; unless that is held it is chosen here. */
static double level_gap(const struct glmm_view *x, const struct level *l,
                        const struct nodes *rules, bool held, int *which, bool other,
                        double *third)
{
    double L[MAX_R * MAX_R], logdet, value[MAX_NODES] = {0};
    const double *m = x->s->m + l->at;
    struct block b;
    if (!level_covariance(x, l, L, &logdet)) return NAN;
    double bound = level_bound(x, l, L, other, &b, third);
    if (!held) *which = rule_for(l->r, *third);
    const struct nodes *rule = rules + *which;
    for (size_t from = 0; from < l->n; from += BLOCK) {
        if (l->n > BLOCK) gather(x, l, L, other, from, &b);
        const struct likelihood_rows rows = {b.n, b.y, b.size};
        likelihood_expect_grid(x->g->likelihood, &rows, x->t, b.mean, b.rest, b.e,
                               &rule->grid, value);
    }
    add_prior_values(l, m, L, logdet, rule, value);
    return log_sum_exp(rule->n, value) - (bound + prior_bound(l, m, L, logdet));
}

/* Lambda (r x r) <- the prior precision of one level of the leaf (f < 0) or of another factor. */
static void level_prior(const struct glmm_view *x, int f, int r, double *Lambda)
{
    const struct lmm *m = &x->g->lmm;
    memset(Lambda, 0, sizeof(double) * (size_t) (r * r));
    for (int k = m->first_term; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        if (pr->factor != f + 1) continue;
        int at = f < 0 ? pr->first : pr->first - pr->block;
        for (int b = 0; b < pr->r; b++)
            for (int a = b; a < pr->r; a++)
                AT(Lambda, at + a, at + b, r) = AT(Lambda, at + b, at + a, r) =
                    x->t[pr->at + vech_at(pr->r, a, b)];
    }
}

struct glmm_levels glmm_gap_levels(const struct glmm *g, struct arena *a)
{
    struct glmm_levels x = {.rows = {NULL}};
    x.rule[0] = arena_ints(a, (size_t) g->lmm.shape.n_leaf);
    for (int f = 0; f < g->n_other; f++) {
        size_t starts = (size_t) g->other[f].n_levels + 1;
        x.start[f] = (size_t *) arena_doubles(a, starts);
        x.rows[f] = arena_ints(a, g->n);
        x.rule[f + 1] = arena_ints(a, (size_t) g->other[f].n_levels);
    }
    return x;
}

void glmm_gap_list(const struct glmm *g, struct glmm_levels *x)
{
    for (int f = 0; f < g->n_other; f++) {
        const struct glmm_factor *h = &g->other[f];
        size_t *start = x->start[f];
        memset(start, 0, sizeof(size_t) * ((size_t) h->n_levels + 1));
        for (size_t i = 0; i < g->n; i++) start[(h->col[i] - h->first) / h->r + 1]++;
        for (int l = 0; l < h->n_levels; l++) start[l + 1] += start[l];
        for (size_t i = g->n; i-- > 0;) {
            int l = (h->col[i] - h->first) / h->r;
            x->rows[f][--start[l + 1]] = (int) i;
        }
        for (int l = 0; l < h->n_levels; l++)
            start[l] = start[l + 1]; /* moved back above */
        start[h->n_levels] = g->n;
    }
}

double glmm_gap(const struct glmm_view *x, struct glmm_levels *levels, int f, bool other,
                double *local)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    double Lambda[MAX_R * MAX_R], sum = 0, third = 0;
    struct nodes rules[RULES];
    int r = f < 0 ? sh->r : g->other[f].r, n = f < 0 ? sh->n_leaf : g->other[f].n_levels;
    if (r > MAX_R) return 0;
    level_prior(x, f, r, Lambda);
    for (int k = 0; k < RULES; k++) product_rule(r, k, rules + k);
    for (int k = 0; k < n; k++) {
        struct level l = {.r = r, .Lambda = Lambda};
        if (f < 0) {
            l.at = (size_t) sh->n_global + (size_t) k * (size_t) r;
            l.first = g->start[k];
            l.n = g->start[k + 1] - g->start[k];
            l.z = g->z;
        } else {
            l.at = (size_t) g->other[f].first + (size_t) k * (size_t) r;
            l.rows = levels->rows[f] + levels->start[f][k];
            l.n = levels->start[f][k + 1] - levels->start[f][k];
            l.z = g->other[f].z;
        }
        sum +=
            level_gap(x, &l, rules, levels->held, levels->rule[f + 1] + k, other, &third);
        *local += third;
    }
    return sum;
}
