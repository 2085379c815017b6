/* vb_coupling.c: V and the coupling C = A + N of the Gaussian model.
 *
 * The statistics are s_e = -||W^1/2 (y - C theta)||^2 / 2 and, per precision j and a >= b,
 * s_ab = -(1/2 if a = b else 1) sum_g u_ga u_gb, each -theta'K theta / 2 + l'theta. Then
 *
 *     A_xy = Cov_q(s_x, s_y) = tr(K_x S K_y S) / 2 + g_x' S g_y,   g_x = l_x - K_x m.
 *
 * The traces need no S_ll. With E_ab = sum_g e_ga e_gb' (so K_ab = E_ab, or E_ab + E_ba),
 *
 *     H_jk(ab, cd) = tr(E_ab S E_cd S) = sum_gh S_{ga,hd} S_{gb,hc}
 *     leaf-leaf:     sum_g (D_ad D_bc + D_ad X_bc + X_ad D_bc) + tr(S M_ab S M_cd),
 *                    D = D_g^-1, X = S_leaf - D, M_ab = sum_g q_ga q_gb'
 *     leaf-global:   sum_h (S M_ab S)_{hd,hc}
 *     global-global: the sum as it stands
 *     B_j(ab) = tr(E_ab S T_b S),   tau_e G S = I - T S for everything with s_e.
 *
 * With separate blocks q's covariance is block diagonal: H_jk is the sum over levels of
 * S_{ga,gd} S_{gb,gc} for two terms of one factor and zero otherwise, B is zero, and everything
 * else stays as it is; J is made with the joint S, the response of the means.
 *
 * Cost: r^2 products of n_global^3, r^4 n_global^2, and O(groups). */
#include <string.h>
#include "base/la.h"
#include "base/wishart.h"
#include "engine/vb_coupling.h"

/* Ordered pairs (a, b) of precision j have index pair_at(j) + a + b r_j. */
static int pair_at(const struct lmm *m, int j)
{
    int at = 0;
    for (int k = 1; k < j; k++) at += m->prec[k].r * m->prec[k].r;
    return at;
}

int vb_coupling_pairs(const struct lmm *m) { return pair_at(m, m->n_prec); }

static const double *sm(const struct lmm *m, const struct vb_work *w, int a, int b)
{
    return w->SM +
           ((size_t) a + (size_t) b * (size_t) m->shape.r) * arrow_global_size(&m->shape);
}

/* w->SM[a, b] <- S_gg M_ab, M_ab = sum_g q_ga q_gb', for all ordered pairs of leaf rows. */
static void leaf_products(const struct lmm *m, const struct vb_state *s,
                          struct vb_work *w)
{
    int ng = m->shape.n_global, R = m->shape.r;
    size_t ng2 = arrow_global_size(&m->shape);
    if (m->shape.n_leaf == 0) return;
    for (int a = 0; a < R; a++)
        for (int b = 0; b < R; b++) {
            double *out = w->SM + ((size_t) a + (size_t) b * (size_t) R) * ng2;
            memset(w->M, 0, sizeof(double) * ng2);
            arrow_outer_rows(&m->shape, s->q, a, b, w->M);
            la_matmul(ng, s->S_global, w->M, out);
        }
}

static double leaf_leaf(const struct lmm *m, const struct vb_state *s,
                        const struct vb_work *w, int a, int b, int c, int d)
{
    int R = m->shape.r, ng = m->shape.n_global;
    size_t rr = (size_t) R * (size_t) R;
    double sum = 0;
    const double *D = s->d_inv, *S = s->s_leaf;
    for (int g = 0; g < m->shape.n_leaf; g++, D += rr, S += rr) {
        double d_ad = AT(D, a, d, R), d_bc = AT(D, b, c, R);
        sum += d_ad * AT(S, b, c, R) + AT(S, a, d, R) * d_bc - d_ad * d_bc;
    }
    const double *X = sm(m, w, a, b), *Y = sm(m, w, c, d);
    for (int j = 0; j < ng; j++)
        for (int i = 0; i < ng; i++) sum += AT(X, i, j, ng) * AT(Y, j, i, ng);
    return sum;
}

/* (S M_ab S)_{row, col} */
static double leaf_spread(const struct lmm *m, const struct vb_state *s,
                          const struct vb_work *w, int a, int b, size_t row, size_t col)
{
    int ng = m->shape.n_global;
    const double *X = sm(m, w, a, b), *S = s->S_global + col * (size_t) ng;
    double sum = 0;
    for (int i = 0; i < ng; i++) sum += AT(X, row, i, ng) * S[i];
    return sum;
}

static double leaf_global(const struct lmm *m, const struct vb_state *s,
                          const struct vb_work *w, int a, int b, int k, int c, int d)
{
    double sum = 0;
    for (int h = 0; h < m->prec[k].n_levels; h++) {
        size_t at = lmm_coef(m, k, h);
        sum += leaf_spread(m, s, w, a, b, at + (size_t) d, at + (size_t) c);
    }
    return sum;
}

static double global_global(const struct lmm *m, const struct vb_state *s, int j, int a,
                            int b, int k, int c, int d)
{
    int ng = m->shape.n_global;
    double sum = 0;
    for (int h = 0; h < m->prec[k].n_levels; h++) {
        size_t hk = lmm_coef(m, k, h);
        const double *Sd = s->S_global + (hk + (size_t) d) * (size_t) ng;
        const double *Sc = s->S_global + (hk + (size_t) c) * (size_t) ng;
        for (int g = 0; g < m->prec[j].n_levels; g++) {
            size_t gj = lmm_coef(m, j, g);
            sum += Sd[gj + (size_t) a] * Sc[gj + (size_t) b];
        }
    }
    return sum;
}

/* Separate blocks: sum_g S_{ga,gd} S_{gb,gc} over the levels of a factor. */
static double block_trace(const struct lmm *m, const struct vb_state *s, int j, int a,
                          int b, int k, int c, int d)
{
    const struct precision *pj = &m->prec[j], *pk = &m->prec[k];
    if (pj->factor != pk->factor) return 0;
    int ld = pj->leaf ? m->shape.r : m->shape.n_global;
    double sum = 0;
    for (int g = 0; g < pj->n_levels; g++) {
        size_t block = pj->leaf
                           ? (size_t) g * (size_t) ld * (size_t) ld
                           : ((size_t) pj->block + (size_t) g * (size_t) pj->stride) *
                                 ((size_t) ld + 1);
        const double *S = (pj->leaf ? s->sq_leaf : s->Sq_global) + block;
        int oj = pj->leaf ? pj->first : pj->first - pj->block;
        int ok = pk->leaf ? pk->first : pk->first - pk->block;
        sum += AT(S, oj + a, ok + d, ld) * AT(S, oj + b, ok + c, ld);
    }
    return sum;
}

static double pair_trace(const struct lmm *m, const struct vb_state *s,
                         const struct vb_work *w, int j, int a, int b, int k, int c,
                         int d)
{
    const struct precision *pj = &m->prec[j], *pk = &m->prec[k];
    if (m->separate) return block_trace(m, s, j, a, b, k, c, d);
    if (pj->leaf && pk->leaf)
        return leaf_leaf(m, s, w, pj->first + a, pj->first + b, pk->first + c,
                         pk->first + d);
    if (pj->leaf) return leaf_global(m, s, w, pj->first + a, pj->first + b, k, c, d);
    if (pk->leaf) return leaf_global(m, s, w, pk->first + c, pk->first + d, j, a, b);
    return global_global(m, s, j, a, b, k, c, d);
}

/* w->H <- all H_jk(ab, cd), symmetric in (j, ab) <-> (k, cd). */
static void all_pair_traces(const struct lmm *m, const struct vb_state *s,
                            struct vb_work *w)
{
    int n = vb_coupling_pairs(m);
    for (int j = 1, x = 0; j < m->n_prec; j++)
        for (int b = 0; b < m->prec[j].r; b++)
            for (int a = 0; a < m->prec[j].r; a++, x++)
                for (int k = 1, y = 0; k < m->n_prec; k++)
                    for (int d = 0; d < m->prec[k].r; d++)
                        for (int c = 0; c < m->prec[k].r; c++, y++)
                            if (y >= x)
                                AT(w->H, x, y, n) = AT(w->H, y, x, n) =
                                    pair_trace(m, s, w, j, a, b, k, c, d);
}

/* w->T <- T_b S_b. (p x n_global, or p x p of a sparse block); returns tr(T_b S T_b S), *trace gets
 * tr(T_b S). */
static double prior_products(const struct lmm *m, const struct vb_state *s,
                             struct vb_work *w, double *trace)
{
    int p = m->p, ld = arrow_shape_ld(&m->shape);
    int columns = m->shape.packed ? p : m->shape.n_global;
    double square = 0;
    *trace = 0;
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < p; i++) {
            double sum = 0;
            if (!m->flat)
                for (int l = 0; l < p; l++)
                    sum += AT(m->Tb, i, l, p) * AT(s->Sq_global, l, j, ld);
            AT(w->T, i, j, p) = sum;
        }
    for (int j = 0; j < p; j++) {
        *trace += AT(w->T, j, j, p);
        for (int i = 0; i < p; i++) square += AT(w->T, i, j, p) * AT(w->T, j, i, p);
    }
    return square;
}

/* B_j(ab) = tr(E_ab S T_b S). */
static double prior_pair_trace(const struct lmm *m, const struct vb_state *s,
                               const struct vb_work *w, int j, int a, int b)
{
    int p = m->p, ng = m->shape.n_global;
    const struct precision *pr = &m->prec[j];
    double sum = 0;
    if (m->flat || m->separate) return 0;
    if (pr->leaf) { /* sum_il T_b[i, l] (S M_ab S)_{l, i} */
        for (int i = 0; i < p; i++)
            for (int l = 0; l < p; l++)
                if (AT(m->Tb, i, l, p) != 0)
                    sum += AT(m->Tb, i, l, p) * leaf_spread(m, s, w, pr->first + a,
                                                            pr->first + b, (size_t) l,
                                                            (size_t) i);
        return sum;
    }
    for (int g = 0; g < pr->n_levels; g++) {
        size_t at = lmm_coef(m, j, g);
        for (int i = 0; i < p; i++)
            sum +=
                AT(s->S_global, i, at + (size_t) b, ng) * AT(w->T, i, at + (size_t) a, p);
    }
    return sum;
}

/* Position in t of element (a, b) of a precision, in either order. */
static int stat_at(const struct precision *pr, int a, int b)
{
    return pr->at + (a >= b ? vech_at(pr->r, a, b) : vech_at(pr->r, b, a));
}

/* Traces with s_e: w->X[ab] = tr(E_ab S T S) = B(ab) + sum_k sum_cd Lambda_cd H(ab, cd).
 * Returns tr(G S G S); C's first row and column get half of tr(K_ab S G S). */
static double residual_traces(const struct lmm *m, const struct vb_state *s,
                              struct vb_work *w)
{
    int n = vb_coupling_pairs(m), q = s->lr.q;
    double tau_e = s->t[0], tr_ts, tr_tsts = prior_products(m, s, w, &tr_ts);
    for (int j = 1, x = 0; j < m->n_prec; j++) {
        const struct precision *pj = &m->prec[j];
        for (int b = 0; b < pj->r; b++)
            for (int a = 0; a < pj->r; a++, x++) {
                double B = prior_pair_trace(m, s, w, j, a, b), X = B;
                for (int k = 1, y = 0; k < m->n_prec; k++)
                    for (int d = 0; d < m->prec[k].r; d++)
                        for (int c = 0; c < m->prec[k].r; c++, y++)
                            X += s->t[stat_at(&m->prec[k], c, d)] * AT(w->H, x, y, n);
                int at = stat_at(pj, a, b);
                double lambda = s->t[at], us = w->us[at];
                tr_ts += lambda * us;
                tr_tsts += lambda * (B + X);
                AT(s->lr.C, at, 0, q) += 0.5 * (us - X) / tau_e;
            }
    }
    for (int i = 1; i < m->n_stat; i++) AT(s->lr.C, 0, i, q) = AT(s->lr.C, i, 0, q);
    double dim = (double) arrow_dim(&m->shape);
    return (dim - 2 * tr_ts + tr_tsts) / (tau_e * tau_e);
}

/* The traces of all pairs of statistics, halved, into C. */
static void trace_part(const struct lmm *m, struct vb_state *s, struct vb_work *w)
{
    int n = vb_coupling_pairs(m), q = s->lr.q;
    if (!m->separate) leaf_products(m, s, w);
    all_pair_traces(m, s, w);
    AT(s->lr.C, 0, 0, q) = 0.5 * residual_traces(m, s, w);
    for (int j = 1, x = 0; j < m->n_prec; j++)
        for (int b = 0; b < m->prec[j].r; b++)
            for (int a = 0; a < m->prec[j].r; a++, x++) {
                int row = stat_at(&m->prec[j], a, b);
                for (int k = 1, y = 0; k < m->n_prec; k++)
                    for (int d = 0; d < m->prec[k].r; d++)
                        for (int c = 0; c < m->prec[k].r; c++, y++) {
                            int col = stat_at(&m->prec[k], c, d);
                            AT(s->lr.C, row, col, q) += 0.5 * AT(w->H, x, y, n);
                        }
            }
}

/* ---- the same traces where the global block is sparse ------------------------------------------
 *
 * S is known on the pattern only. What a statistic y does to it is as well, dS_y = -S K_y S, and with
 * the coefficients in the dense core that is all that is needed:
 *     tr(K_x S K_y S) = -tr(K_x dS_y),   tr(T_b S K_y S) = -tr(T_b dS_y).
 * One push of the selected inverse per statistic. */

/* w->dS <- dS_y on the pattern, y = element (a, b) of precision k. */
static void push_statistic(const struct lmm *m, const struct vb_state *s,
                           struct vb_work *w, int y, int k)
{
    const struct arrow_shape *sh = &m->shape;
    memset(w->dP.global, 0, sizeof(double) * arrow_global_size(sh));
    memset(w->dP.leaf, 0, sizeof(double) * arrow_leaf_size(sh));
    memset(w->unit, 0, sizeof(double) * (size_t) m->n_stat);
    w->unit[y] = 1;
    lmm_add_term(m, k, w->unit, &w->dP); /* E_aa, or E_ab + E_ba */
    arrow_inverse_push(sh, &w->S, s->q, s->d_inv, &w->dP, &w->dS, &w->push);
}

/* C's column y += tr(K_x S K_y S) / 2 for every x; returns their sum weighted by the precisions,
 * tr((T - T_b) S K_y S). */
static double pushed_traces(const struct lmm *m, struct vb_state *s, struct vb_work *w,
                            int y)
{
    double sum = 0, block[VECH_MAX_R * (VECH_MAX_R + 1) / 2];
    for (int j = 1; j < m->n_prec; j++) {
        const struct precision *pr = &m->prec[j];
        lmm_block_sum(m, j, w->dS.global, w->dS.leaf, block);
        for (int d = 0; d < pr->r; d++)
            for (int c = d; c < pr->r; c++) {
                int x = stat_at(pr, c, d);
                double h = -(c == d ? 1 : 2) * block[vech_at(pr->r, c, d)];
                sum += s->t[x] * h;
                AT(s->lr.C, x, y, s->lr.q) += 0.5 * h;
            }
    }
    return sum;
}

static void sparse_trace_part(const struct lmm *m, struct vb_state *s, struct vb_work *w)
{
    int q = s->lr.q;
    double tau_e = s->t[0], tr_ts, tr_tsts = prior_products(m, s, w, &tr_ts);
    memset(w->dP.cross, 0, sizeof(double) * arrow_cross_size(&m->shape));
    for (int k = 1; k < m->n_prec; k++)
        for (int b = 0; b < m->prec[k].r; b++)
            for (int a = b; a < m->prec[k].r; a++) {
                int y = stat_at(&m->prec[k], a, b);
                push_statistic(m, s, w, y, k);
                double B = -lmm_prior_trace(m, w->dS.global),
                       X = B + pushed_traces(m, s, w, y);
                double us = (a == b ? 1 : 2) * w->us[y];
                tr_ts += s->t[y] * us;
                tr_tsts += s->t[y] * (B + X);
                AT(s->lr.C, y, 0, q) += 0.5 * (us - X) / tau_e;
            }
    for (int i = 1; i < m->n_stat; i++) AT(s->lr.C, 0, i, q) = AT(s->lr.C, i, 0, q);
    double dim = (double) arrow_dim(&m->shape);
    AT(s->lr.C, 0, 0, q) = 0.5 * (dim - 2 * tr_ts + tr_tsts) / (tau_e * tau_e);
}

/* grad <- [g_e, g_ab, ...]: g_e = h - G m = T (m - mu) / tau_e, g_ab = -K_ab m; J <- S grad. */
static void gradients(const struct lmm *m, struct vb_state *s, struct vb_work *w)
{
    size_t dim = arrow_dim(&m->shape);
    memset(w->grad, 0, sizeof(double) * dim * (size_t) m->n_stat);
    for (size_t i = 0; i < dim; i++) w->grad[i] = w->prior_grad[i] / s->t[0];
    for (int k = 1; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        for (int b = 0; b < pr->r; b++)
            for (int a = b; a < pr->r; a++) {
                double *g = w->grad + (size_t) (pr->at + vech_at(pr->r, a, b)) * dim;
                for (int l = 0; l < pr->n_levels; l++) {
                    size_t at = lmm_coef(m, k, l);
                    g[at + (size_t) a] -= s->m[at + (size_t) b];
                    if (a != b) g[at + (size_t) b] -= s->m[at + (size_t) a];
                }
            }
    }
    memcpy(s->J, w->grad, sizeof(double) * dim * (size_t) m->n_stat);
    for (int i = 0; i < m->n_stat; i++)
        arrow_solve(&m->shape, &w->F, s->J + (size_t) i * dim);
}

void vb_coupling_V(const struct lmm *m, struct vb_state *s)
{
    int q = s->lr.q;
    double M[VECH_MAX_R * VECH_MAX_R];
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        vech_unpack(pr->r, s->t + pr->at, M);
        wishart_cov_vech(pr->r, s->df[k], M, s->lr.V, q, pr->at);
        if (pr->aux < 0) continue;
        for (int i = 0; i < pr->r; i++) {
            int at = pr->aux + i;
            AT(s->lr.V, at, at, q) = s->t[at] * s->t[at] / lmm_aux_shape(m, k);
            int ii = pr->at + vech_at(pr->r, i, i);
            AT(s->lr.C, at, ii, q) = AT(s->lr.C, ii, at, q) = -pr->nu; /* N */
        }
    }
}

void vb_coupling(const struct lmm *m, struct vb_state *s, struct vb_work *w)
{
    int q = s->lr.q;
    size_t dim = arrow_dim(&m->shape), bytes = sizeof(double) * (size_t) q * (size_t) q;
    memset(s->lr.V, 0, bytes);
    memset(s->lr.C, 0, bytes);
    if (m->shape.packed)
        sparse_trace_part(m, s, w);
    else
        trace_part(m, s, w);
    gradients(m, s, w);
    for (int j = 0; j < m->n_stat; j++)
        for (int i = 0; i < m->n_stat; i++) {
            const double *gi = w->grad + (size_t) i * dim, *Jj = s->J + (size_t) j * dim;
            double dot = 0;
            for (size_t k = 0; k < dim; k++) dot += gi[k] * Jj[k];
            AT(s->lr.C, i, j, q) += dot;
        }
    vb_coupling_V(m, s);
    for (int j = 0; j < q; j++) /* exactly symmetric: g_i'S g_j was rounded twice */
        for (int i = 0; i < j; i++)
            AT(s->lr.C, i, j, q) = AT(s->lr.C, j, i, q) =
                0.5 * (AT(s->lr.C, i, j, q) + AT(s->lr.C, j, i, q));
}
