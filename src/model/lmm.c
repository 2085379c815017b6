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

void lmm_block_sum(const struct lmm *m, int k, const double *global, const double *leaf,
                   double *U)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r, R = m->shape.r, ng = m->shape.n_global, ld = pr->leaf ? R : ng;
    memset(U, 0, sizeof(double) * (size_t) vech_size(r));
    for (int g = 0; g < pr->n_levels; g++) {
        const double *at = pr->leaf ? leaf + (size_t) g * (size_t) R * (size_t) R +
                                          (size_t) pr->first * (size_t) (R + 1)
                                    : global + lmm_coef(m, k, g) * ((size_t) ng + 1);
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++) U[vech_at(r, a, b)] += AT(at, a, b, ld);
    }
}

void lmm_add_term(const struct lmm *m, int k, const double *t, struct arrow *P)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r, R = m->shape.r, ng = m->shape.n_global;
    for (int g = 0; g < pr->n_levels; g++) {
        int ld = pr->leaf ? R : ng;
        double *at = pr->leaf ? P->leaf + (size_t) g * (size_t) R * (size_t) R +
                                    (size_t) pr->first * (size_t) (R + 1)
                              : P->global + lmm_coef(m, k, g) * ((size_t) ng + 1);
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++) AT(at, a, b, ld) += t[pr->at + vech_at(r, a, b)];
    }
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
                AT(P->global, i, j, s->n_global) += AT(m->Tb, i, j, m->p);
    for (int k = m->first_term; k < m->n_prec; k++) lmm_add_term(m, k, t, P);
}

double lmm_prior_trace(const struct lmm *m, const double *A)
{
    double s = 0;
    if (m->flat) return 0;
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p; i++)
            s += AT(m->Tb, i, j, m->p) * AT(A, i, j, m->shape.n_global);
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
