/* lmm.c: the pieces of the Gaussian model that every engine needs (see lmm.h). */
#include <string.h>
#include "la.h"
#include "lmm.h"

int lmm_aux(const struct lmm *m, int k)
{
    if (!(m->prior[k].df > 0)) return -1;
    int at = m->n_prec;
    for (int j = 0; j < k; j++) at += m->prior[j].df > 0;
    return at;
}

int lmm_n_par(const struct lmm *m)
{
    int q = m->n_prec;
    for (int k = 0; k < m->n_prec; k++) q += m->prior[k].df > 0;
    return q;
}

static double n_units(const struct lmm *m, int k) /* rows, or coefficients of the term */
{
    return k == 0 ? m->n : (double) m->shape.n_leaf * (double) m->shape.r;
}

double lmm_shape(const struct lmm *m, int k)
{
    if (k < m->n_prec) return m->prior[k].shape + 0.5 * n_units(m, k);
    for (int j = 0; j < m->n_prec; j++)
        if (lmm_aux(m, j) == k) return 0.5 * (m->prior[j].df + 1);
    return 0;
}

double lmm_rate(const struct lmm *m, int k, double c, double ss)
{
    return m->prior[k].rate + m->prior[k].df * c + 0.5 * ss;
}

double lmm_aux_rate(const struct lmm *m, int k, double tau)
{
    return m->prior[k].df * tau + m->prior[k].aux_rate;
}

void lmm_precision(const struct lmm *m, const double *tau, struct arrow *P)
{
    const struct arrow_shape *s = &m->shape;
    int ng = s->n_global, r = s->r;
    size_t n = arrow_global_size(s);
    for (size_t i = 0; i < n; i++) P->global[i] = tau[0] * m->G.global[i];
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++) AT(P->global, i, j, ng) += AT(m->Tb, i, j, m->p);
    if (s->n_leaf == 0) return;
    n = arrow_cross_size(s);
    for (size_t i = 0; i < n; i++) P->cross[i] = tau[0] * m->G.cross[i];
    n = arrow_leaf_size(s);
    for (size_t i = 0; i < n; i++) P->leaf[i] = tau[0] * m->G.leaf[i];
    for (int g = 0; g < s->n_leaf; g++)
        for (int k = 0; k < r; k++)
            P->leaf[((size_t) g * (size_t) r + (size_t) k) * (size_t) r + (size_t) k] += tau[1];
}

void lmm_rhs(const struct lmm *m, double tau_e, double *x)
{
    size_t n = arrow_dim(&m->shape);
    for (size_t i = 0; i < n; i++) x[i] = tau_e * m->h[i];
    if (m->flat) return;
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p; i++) x[i] += AT(m->Tb, i, j, m->p) * m->mu[j];
}

void lmm_prior_gradient(const struct lmm *m, const double *tau, const double *theta, double *x)
{
    size_t n = arrow_dim(&m->shape), ng = (size_t) m->shape.n_global;
    memset(x, 0, sizeof(double) * ng);
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++)
                x[i] += AT(m->Tb, i, j, m->p) * (theta[j] - m->mu[j]);
    for (size_t i = ng; i < n; i++) x[i] = tau[1] * theta[i];
}
