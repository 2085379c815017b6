/* lmm.c: the pieces of the Gaussian model that every engine needs (see lmm.h). */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "model/lmm.h"

double lmm_df(const struct lmm *m, int k)
{
    return m->prec[k].df0 + (k < m->first_term ? m->n : m->prec[k].n_levels);
}

void lmm_rate(const struct lmm *m, int k, const double *c, const double *ss, double *R)
{
    const struct precision *pr = &m->prec[k];
    int rr = pr->r * pr->r;
    for (int i = 0; i < rr; i++) R[i] = pr->rate0[i] + ss[i];
    if (pr->aux >= 0)
        for (int i = 0; i < pr->r; i++) AT(R, i, i, pr->r) += 2 * pr->nu * c[i];
}

double lmm_aux_shape(const struct lmm *m, int k)
{
    return 0.5 * (m->prec[k].nu + m->prec[k].r);
}

double lmm_aux_rate(const struct lmm *m, int k, int i, double x)
{
    return m->prec[k].nu * x + m->prec[k].aux_rate[i];
}

size_t lmm_coef(const struct lmm *m, int k, int g)
{
    const struct precision *pr = &m->prec[k];
    if (!pr->leaf) return (size_t) pr->first + (size_t) g * (size_t) pr->stride;
    return (size_t) m->shape.n_global + (size_t) g * (size_t) m->shape.r +
           (size_t) pr->first;
}

struct lmm lmm_terms(const struct lmm *m)
{
    struct lmm terms = *m;
    terms.n_prec -= m->first_term;
    terms.first_term = 0;
    memmove(terms.prec, m->prec + m->first_term,
            sizeof(struct precision) * (size_t) terms.n_prec);
    return terms;
}

static void scale_into(size_t n, double tau, const double *from, double *to)
{
    for (size_t i = 0; i < n; i++) to[i] = tau * from[i];
}

/* Where the leaves or the global block have coefficients a and b of level g of precision k. */
static size_t effect_at(const struct lmm *m, int k, int g, int a, int b)
{
    const struct precision *pr = &m->prec[k];
    if (!pr->leaf) {
        int at = pr->first + g * pr->stride;
        return arrow_shape_at(&m->shape, at + a, at + b);
    }
    size_t R = (size_t) m->shape.r, first = (size_t) pr->first;
    return (size_t) g * R * R + first + (size_t) a + (first + (size_t) b) * R;
}

void lmm_block_sum(const struct lmm *m, int k, const double *global, const double *leaf,
                   double *U)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    memset(U, 0, sizeof(double) * (size_t) vech_size(r));
    for (int g = 0; g < pr->n_levels; g++)
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++) {
                size_t at = effect_at(m, k, g, a, b);
                U[vech_at(r, a, b)] += pr->leaf ? leaf[at] : global[at];
            }
}

void lmm_add_term(const struct lmm *m, int k, const double *t, struct arrow *P)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    double *to = pr->leaf ? P->leaf : P->global;
    for (int g = 0; g < pr->n_levels; g++)
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++)
                to[effect_at(m, k, g, a, b)] += t[pr->at + vech_at(r, a, b)];
}

void lmm_precision(const struct lmm *m, const double *t, struct arrow *P)
{
    const struct arrow_shape *s = &m->shape;
    double tau_e = lmm_tau_e(m, t);
    scale_into(arrow_global_size(s), tau_e, m->G.global, P->global);
    scale_into(arrow_cross_size(s), tau_e, m->G.cross, P->cross);
    scale_into(arrow_leaf_size(s), tau_e, m->G.leaf, P->leaf);
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++)
                AT(P->global, i, j, arrow_shape_ld(s)) += AT(m->Tb, i, j, m->p);
    for (int k = m->first_term; k < m->n_prec; k++) lmm_add_term(m, k, t, P);
}

/* The pieces of the leaves in columns first, ..., last - 1, all of them where the leaf is known. */
static void uncouple_leaves(const struct arrow_shape *s, int first, int last,
                            struct arrow *P)
{
    for (int l = 0; l < s->n_leaf; l++) {
        int k = s->ptr[l + 1] - s->ptr[l];
        double *piece = P->cross + (size_t) s->ptr[l] * (size_t) s->r;
        for (int a = 0; a < k; a++) {
            int col = s->idx[s->ptr[l] + a];
            for (int c = 0; col >= first && col < last && c < s->r; c++)
                AT(piece, a, c, k) = 0;
        }
    }
}

/* Element (i, j) of the global block, if one of the two is in first, ..., last - 1 and the other not. */
static void uncouple_pair(const struct arrow_shape *s, int first, int last, int i, int j,
                          double *global)
{
    bool a = i >= first && i < last, b = j >= first && j < last;
    if (a != b) global[arrow_shape_low(s, i, j)] = 0;
}

static void uncouple_global(const struct arrow_shape *s, int first, int last,
                            double *global)
{
    int n = s->packed ? s->n_core : s->n_global;
    for (int b = 0; b < n; b++)
        for (int a = b + 1; a < n; a++)
            uncouple_pair(s, first, last, s->packed ? s->core[a] : a,
                          s->packed ? s->core[b] : b, global);
    for (int e = 0; s->packed && e < s->n_elim; e++)
        for (int a = s->eptr[e]; a < s->eptr[e + 1]; a++)
            uncouple_pair(s, first, last, s->eidx[a], s->elim[e], global);
}

void lmm_uncouple(const struct lmm *m, int factor, struct arrow *P)
{
    const struct arrow_shape *s = &m->shape;
    if (factor == 0) uncouple_leaves(s, 0, s->n_global, P);
    for (int k = m->first_term; k < m->n_prec && factor > 0; k++) {
        const struct precision *pr = &m->prec[k];
        if (pr->factor != factor) continue;
        int last = pr->block + pr->n_levels * pr->stride;
        uncouple_leaves(s, pr->block, last, P);
        uncouple_global(s, pr->block, last, P->global);
    }
}

double lmm_prior_trace(const struct lmm *m, const double *A)
{
    double s = 0;
    if (m->flat) return 0;
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p; i++)
            s += AT(m->Tb, i, j, m->p) * AT(A, i, j, arrow_shape_ld(&m->shape));
    return s;
}

void lmm_rhs(const struct lmm *m, double tau_e, double *x)
{
    scale_into(arrow_dim(&m->shape), tau_e, m->h, x);
    if (m->flat) return;
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p; i++) x[i] += AT(m->Tb, i, j, m->p) * m->mu[j];
}

void lmm_prior_gradient(const struct lmm *m, const double *t, const double *theta,
                        double *x)
{
    memset(x, 0, sizeof(double) * arrow_dim(&m->shape));
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++)
                x[i] += AT(m->Tb, i, j, m->p) * (theta[j] - m->mu[j]);
    for (int k = m->first_term; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        double L[VECH_MAX_R * VECH_MAX_R];
        vech_unpack(pr->r, t + pr->at, L);
        for (int g = 0; g < pr->n_levels; g++) {
            size_t at = lmm_coef(m, k, g);
            for (int a = 0; a < pr->r; a++)
                for (int b = 0; b < pr->r; b++)
                    x[at + (size_t) a] += AT(L, a, b, pr->r) * theta[at + (size_t) b];
        }
    }
}

void lmm_outer_u(const struct lmm *m, int k, const double *theta, double *U)
{
    int r = m->prec[k].r;
    memset(U, 0, sizeof(double) * (size_t) (r * r));
    for (int g = 0; g < m->prec[k].n_levels; g++) {
        const double *u = theta + lmm_coef(m, k, g);
        for (int b = 0; b < r; b++)
            for (int a = 0; a < r; a++) AT(U, a, b, r) += u[a] * u[b];
    }
}

void lmm_likelihood_slope(const struct lmm *m, int k, const double *t, const double *mean,
                          double *g)
{
    const struct precision *pr = &m->prec[k];
    double L[VECH_MAX_R * VECH_MAX_R], U[VECH_MAX_R * VECH_MAX_R];
    vech_unpack(pr->r, t + pr->at, L);
    if (la_chol(pr->r, L)) L[0] = NAN; /* where no fit is there is no slope */
    la_inverse(pr->r, L, L);
    lmm_outer_u(m, k, mean, U);
    for (int b = 0; b < pr->r; b++)
        for (int a = b; a < pr->r; a++) {
            double *x = g + pr->at + vech_at(pr->r, a, b);
            *x = (a == b ? 0.5 : 1) *
                 (pr->n_levels * AT(L, a, b, pr->r) - AT(U, a, b, pr->r) - *x);
        }
}
