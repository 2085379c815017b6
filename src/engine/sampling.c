/* sampling.c: see sampling.h. */
#include <string.h>
#include "base/la.h"
#include "engine/sampling.h"

enum { RR = VECH_MAX_R * VECH_MAX_R };
static const double RIDGE = 1e-3, NESTED = 0.9;

int sampling_at(const struct lmm *m, int k)
{
    int sum = 0;
    for (int j = 0; j < k; j++) sum += m->prec[j].r * m->prec[j].r;
    return sum;
}

int sampling_size(const struct lmm *m) { return sampling_at(m, m->n_prec); }

int sampling_work(const struct lmm *m)
{
    int most = 1;
    for (int k = 0; k < m->n_prec; k++)
        if (m->prec[k].n_levels > most) most = m->prec[k].n_levels;
    return most;
}

double sampling_base(const struct glmm *g)
{
    double y = 0, size = 0;
    if (!g->n) return 0;
    for (size_t i = 0; i < g->n; i++) {
        y += g->likelihood->polya_gamma ? g->y[i] : g->size[i] * g->y[i];
        size += g->size[i];
    }
    double mean = (y + 0.5) / (size + 1);
    return 1 / (g->likelihood->polya_gamma ? 0.9 * mean * (1 - mean) : mean);
}

/* What is summed over the pairs of levels of an outer and an inner term. */
struct pairs {
    int r;
    double *S; /* r x r: sum n n'                                          */
    int *hits; /* levels of the outer term that each of the inner meets    */
};

static void add_pair(struct pairs *p, int inner, const double *n)
{
    bool any = false;
    for (int a = 0; a < p->r; a++) any = any || n[a] != 0;
    if (!any) return;
    p->hits[inner]++;
    for (int b = 0; b < p->r; b++)
        for (int a = 0; a < p->r; a++) AT(p->S, a, b, p->r) += n[a] * n[b];
}

/* The level of pr that a global column belongs to, and its coefficient; -1: none. */
static int level_of(const struct precision *pr, int col, int *coef)
{
    int at = col - pr->first;
    if (at < 0 || at / pr->stride >= pr->n_levels || at % pr->stride >= pr->r) return -1;
    *coef = at % pr->stride;
    return at / pr->stride;
}

/* The outer term in the leaves, the inner one global. */
static void pairs_below_leaves(const struct lmm *m, const struct precision *k,
                               const struct precision *j, struct pairs *p)
{
    const struct arrow_shape *s = &m->shape;
    for (int l = 0; l < s->n_leaf; l++) {
        int n = s->ptr[l + 1] - s->ptr[l], coef;
        const double *piece = m->G.cross + (size_t) s->ptr[l] * (size_t) s->r;
        for (int a = 0; a < n; a++) {
            int level = level_of(j, s->idx[s->ptr[l] + a], &coef);
            if (level < 0) continue;
            double v[VECH_MAX_R];
            for (int c = 0; c < k->r; c++) v[c] = AT(piece, a, k->first + c, n);
            add_pair(p, level, v);
        }
    }
}

/* The outer term global, the inner one in the leaves. */
static void pairs_above_leaves(const struct lmm *m, const struct precision *k,
                               const struct precision *j, struct pairs *p)
{
    const struct arrow_shape *s = &m->shape;
    for (int l = 0; l < s->n_leaf; l++) {
        int n = s->ptr[l + 1] - s->ptr[l], coef = 0, open = -1;
        const double *piece = m->G.cross + (size_t) s->ptr[l] * (size_t) s->r;
        double v[VECH_MAX_R] = {0};
        for (int a = 0; a < n; a++) {
            int level = level_of(k, s->idx[s->ptr[l] + a], &coef);
            if (level < 0) continue;
            if (level != open) {
                if (open >= 0) add_pair(p, l, v);
                memset(v, 0, sizeof v);
                open = level;
            }
            v[coef] = AT(piece, a, j->first, n);
        }
        if (open >= 0) add_pair(p, l, v);
    }
}

/* Both global: the pairs (row of k, column of j) of a dense block. */
static void pairs_dense(const struct lmm *m, const struct precision *k,
                        const struct precision *j, struct pairs *p)
{
    for (int i = 0; i < j->n_levels; i++)
        for (int l = 0; l < k->n_levels; l++) {
            double v[VECH_MAX_R];
            for (int c = 0; c < k->r; c++)
                v[c] = m->G.global[arrow_shape_low(
                    &m->shape, k->first + l * k->stride + c, j->first + i * j->stride)];
            add_pair(p, i, v);
        }
}

/* Columns a and b meet in a packed block. The level of k that one of them is of is taken at its first
 * coefficient that the level of j meets: all of a level's coefficients are listed where one is. */
static void meet_packed(const struct lmm *m, const struct precision *k,
                        const struct precision *j, int a, int b, struct pairs *p)
{
    int coef, inner = level_of(j, b, &coef);
    if (inner < 0) return;
    int outer = level_of(k, a, &coef);
    if (outer < 0 || coef > 0) return;
    double v[VECH_MAX_R];
    for (int c = 0; c < k->r; c++)
        v[c] = m->G.global[arrow_shape_at(&m->shape, a + c, b)];
    add_pair(p, inner, v);
}

/* Of a packed block, what its lists and its core hold. */
static void pairs_packed(const struct lmm *m, const struct precision *k,
                         const struct precision *j, struct pairs *p)
{
    const struct arrow_shape *s = &m->shape;
    for (int e = 0; e < s->n_elim; e++)
        for (int c = s->eptr[e]; c < s->eptr[e + 1]; c++) {
            meet_packed(m, k, j, s->elim[e], s->eidx[c], p);
            meet_packed(m, k, j, s->eidx[c], s->elim[e], p);
        }
    for (int b = 0; b < s->n_core; b++)
        for (int a = 0; a < s->n_core; a++)
            meet_packed(m, k, j, s->core[a], s->core[b], p);
}

static void pairs_global(const struct lmm *m, const struct precision *k,
                         const struct precision *j, struct pairs *p)
{
    if (m->shape.packed)
        pairs_packed(m, k, j, p);
    else
        pairs_dense(m, k, j, p);
}

/* The block of level l's coefficients with those of the same level of another term of its factor. */
static double own_at(const struct lmm *m, const struct precision *k,
                     const struct precision *j, int l, int a, int b)
{
    size_t r = (size_t) m->shape.r;
    int row = k->first + a, col = j->first + b;
    if (row < col) {
        int t = row;
        row = col;
        col = t;
    }
    if (k->leaf) return m->G.leaf[(size_t) l * r * r + (size_t) row + (size_t) col * r];
    return m->G
        .global[arrow_shape_low(&m->shape, row + l * k->stride, col + l * k->stride)];
}

/* By how much a scalar term's sampling variance grows when the other terms of its factor are known from the
 * rows as well: w_kk (W^-1)_kk, W the mean over levels of all that factor's Z'Z. */
static double inflation(const struct lmm *m, int k)
{
    int r = 0, own = 0;
    double W[RR] = {0}, Wi[RR];
    const struct precision *col[VECH_MAX_R];
    int coef[VECH_MAX_R];
    for (int j = m->first_term; j < m->n_prec; j++) {
        if (m->prec[j].factor != m->prec[k].factor) continue;
        if (j == k) own = r;
        if (r + m->prec[j].r > VECH_MAX_R) return 1;
        for (int c = 0; c < m->prec[j].r; c++, r++) {
            col[r] = &m->prec[j];
            coef[r] = c;
        }
    }
    for (int b = 0; b < r; b++)
        for (int a = 0; a < r; a++)
            for (int l = 0; l < m->prec[k].n_levels; l++)
                AT(W, a, b, r) += own_at(m, col[a], col[b], l, coef[a], coef[b]);
    for (int a = 0; a < r; a++) AT(W, a, a, r) *= 1 + RIDGE;
    double w = AT(W, own, own, r);
    if (la_chol(r, W)) return 1;
    la_inverse(r, W, Wi);
    return w * AT(Wi, own, own, r);
}

/* M <- K0 S K0 / n_levels. False: j is not nested in k. */
static bool nested(const struct lmm *m, int outer, int inner, const double *K0, double *M,
                   int *hits)
{
    const struct precision *k = &m->prec[outer], *j = &m->prec[inner];
    double S[RR] = {0}, KS[RR];
    struct pairs p = {k->r, S, hits};
    if (j->r > 1 || j->n_levels <= k->n_levels) return false;
    memset(hits, 0, sizeof(int) * (size_t) j->n_levels);
    if (k->leaf)
        pairs_below_leaves(m, k, j, &p);
    else if (j->leaf)
        pairs_above_leaves(m, k, j, &p);
    else
        pairs_global(m, k, j, &p);
    int once = 0;
    for (int i = 0; i < j->n_levels; i++) once += hits[i] == 1;
    if (once <= NESTED * j->n_levels) return false;
    for (int i = 0; i < k->r * k->r; i++) S[i] /= k->n_levels;
    la_matmul(k->r, K0, S, KS);
    la_matmul(k->r, KS, K0, M);
    return true;
}

/* K0 <- the inverse of the mean over levels of G_l W^-1 G_l, G_l = Z_l'Z_l, from Wi = W^-1: a level of many
 * rows says as much of small variances as its square. */
static bool weigh_levels(const struct lmm *m, const struct precision *k, const double *Wi,
                         double *K0)
{
    int r = k->r;
    memset(K0, 0, sizeof(double) * (size_t) (r * r));
    for (int l = 0; l < k->n_levels; l++) {
        double G[RR], WG[RR], GWG[RR];
        for (int b = 0; b < r; b++)
            for (int a = 0; a < r; a++) AT(G, a, b, r) = own_at(m, k, k, l, a, b);
        la_matmul(r, Wi, G, WG);
        la_matmul(r, G, WG, GWG);
        for (int i = 0; i < r * r; i++) K0[i] += GWG[i] / k->n_levels;
    }
    for (int a = 0; a < r; a++) AT(K0, a, a, r) *= 1 + RIDGE;
    if (la_chol(r, K0)) return false;
    la_inverse(r, K0, K0);
    return true;
}

bool sampling_from_gram(const struct lmm *m, struct sampling *s, int *work)
{
    int size = sampling_size(m);
    for (int k = m->first_term; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        double W[VECH_MAX_R * (VECH_MAX_R + 1) / 2], Wi[RR],
            *K0 = s->K0 + sampling_at(m, k);
        lmm_block_sum(m, k, m->G.global, m->G.leaf, W);
        for (int i = 0; i < vech_size(pr->r); i++) W[i] /= pr->n_levels;
        for (int a = 0; a < pr->r; a++) W[vech_at(pr->r, a, a)] *= 1 + RIDGE;
        vech_unpack(pr->r, W, K0);
        if (la_chol(pr->r, K0)) return false;
        la_inverse(pr->r, K0, Wi);
        if (!weigh_levels(m, pr, Wi, K0)) return false;
        if (pr->r == 1) *K0 *= inflation(m, k);
        for (int j = m->first_term; j < m->n_prec; j++)
            AT(s->inner, k, j, m->n_prec) =
                j != k &&
                nested(m, k, j, Wi, s->M + (size_t) j * (size_t) size + sampling_at(m, k),
                       work);
    }
    return true;
}
