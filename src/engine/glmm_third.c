/* glmm_third.c: the third-order term of the expansion (see glmm_third.h). */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "arrow/schur.h"
#include "engine/glmm_gap.h"
#include "engine/glmm_third.h"

/* Flops above which the part of c3 that runs through the coefficients alone is left out. */
static const double MAX_TENSOR = 1e8;

/* Distinct elements of a symmetric tensor of third order. */
static size_t tensor_size(int p)
{
    return (size_t) p * (size_t) (p + 1) * (size_t) (p + 2) / 6;
}

size_t glmm_third_work(const struct glmm *g)
{
    size_t p = (size_t) g->lmm.p, r = (size_t) g->lmm.shape.r;
    return p * p + p + r + tensor_size(g->lmm.p) + r * p * (p + 1) / 2 + r * r * p + r * r * r;
}

double glmm_third_pairs_cost(const struct glmm *g, const struct glmm_clusters *c)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    double p = g->lmm.p, width = p + sh->r + 2, cost = 0;
    if (sh->r > GLMM_GAP_MAX_R) return INFINITY;
    for (int f = 0; f < g->n_other; f++) {
        if (g->other[f].r > GLMM_GAP_MAX_R) return INFINITY;
        width += g->other[f].r;
    }
    if (c->n > 1) width += p;
    for (int k = 0; k < c->n; k++) {
        double rows = 0, pieces = 0, columns = p + c->col_start[k + 1] - c->col_start[k];
        for (int i = c->leaf_start[k]; i < c->leaf_start[k + 1]; i++) {
            int l = c->leaf[i];
            double n = (double) (g->start[l + 1] - g->start[l]),
                   listed = sh->ptr[l + 1] - sh->ptr[l];
            rows += n;
            pieces += listed * sh->r;
            cost += n * (listed * columns + pieces + rows * width);
        }
    }
    return cost + (c->n > 1 ? (double) g->n * p * (p + 1) * (p + 2) / 6 : 0);
}

/* ---- c3 of one factor --------------------------------------------------------------------------- */

/* ||sum g a (x) a (x) a||^2 from its distinct elements. */
static double tensor_norm(int p, const double *T)
{
    double sum = 0;
    for (int a = 0, at = 0; a < p; a++)
        for (int b = a; b < p; b++)
            for (int c = b; c < p; c++, at++)
                sum += (a == b && b == c ? 1 : a == b || b == c ? 3 : 6) * T[at] * T[at];
    return sum;
}

/* T += g a (x) a (x) a, its distinct elements. */
static void tensor_add(int p, double g, const double *a, double *T)
{
    for (int b = 0, at = 0; b < p; b++)
        for (int c = b; c < p; c++) {
            double gab = g * a[b] * a[c];
            for (int d = c; d < p; d++, at++) T[at] += gab * a[d];
        }
}

/* With L L' = S_b, a = L'(x + q z), e = chol(W)'z, K_ij = a_i'a_j + [same leaf] e_i'e_j:
 *     12 c3 = ||sum g a^3||^2 + sum_k (3 ||sum g a^2 e||^2 + 3 ||sum g a e^2||^2 + ||sum g e^3||^2). */
double glmm_third(const struct glmm_view *x, double *work)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int p = sh->n_global, r = sh->n_leaf ? sh->r : 0;
    size_t t3 = tensor_size(p), t2 = (size_t) vech_size(p);
    bool through_beta = (double) g->n * (double) t3 <= MAX_TENSOR;
    double *L = work, *a = L + p * p, *e = a + p, *T = e + (r ? r : 1), *A = T + t3;
    double *B = A + (size_t) r * t2, *s = B + r * r * p;
    double W[VECH_MAX_R * VECH_MAX_R], sum = 0;
    memcpy(L, x->s->S.global, sizeof(double) * (size_t) (p * p));
    if (la_chol(p, L)) return NAN;
    memset(T, 0, sizeof(double) * t3);
    for (int k = 0; k < glmm_runs(g); k++) { /* without groups r is zero: the coefficients alone */
        const double *q =
            x->s->q + (size_t) k * (size_t) p * (size_t) r; /* one factor: full */
        size_t from = r ? g->start[k] : 0, to = r ? g->start[k + 1] : g->n;
        memset(A, 0,
               sizeof(double) * ((size_t) r * t2 + (size_t) (r * r * p + r * r * r)));
        memcpy(W, x->s->d_inv + (size_t) k * (size_t) (r * r),
               sizeof(double) * (size_t) (r * r));
        if (la_chol(r, W)) return NAN;
        for (size_t i = from; i < to; i++) {
            const double *xi = g->X + i * (size_t) p,
                         *z = g->z ? g->z + i * (size_t) r : NULL;
            double g3 = 2 * x->s->e.mv[i];
            for (int c = 0; c < p; c++) { /* a = L'(x + q z) */
                double sum_a = 0;
                for (int b = c; b < p; b++) {
                    double h = xi[b];
                    for (int d = 0; d < r; d++) h += AT(q, b, d, p) * (z ? z[d] : 1);
                    sum_a += AT(L, b, c, p) * h;
                }
                a[c] = sum_a;
            }
            for (int c = 0; c < r; c++) {
                e[c] = 0;
                for (int d = c; d < r; d++) e[c] += AT(W, d, c, r) * (z ? z[d] : 1);
            }
            if (through_beta) tensor_add(p, g3, a, T);
            for (int c = 0; c < r; c++) {
                double ge = g3 * e[c], *Ac = A + (size_t) c * t2;
                for (int b = 0, at = 0; b < p; b++)
                    for (int d = b; d < p; d++, at++) Ac[at] += ge * a[b] * a[d];
                for (int d = 0; d < r; d++) {
                    double gee = ge * e[d], *Bcd = B + (c * r + d) * p;
                    for (int b = 0; b < p; b++) Bcd[b] += gee * a[b];
                    for (int h = 0; h < r; h++) s[(c * r + d) * r + h] += gee * e[h];
                }
            }
        }
        for (int c = 0; c < r; c++)
            for (int b = 0, at = 0; b < p; b++)
                for (int d = b; d < p; d++, at++) {
                    double v = A[(size_t) c * t2 + (size_t) at];
                    sum += 3 * (b == d ? 1 : 2) * v * v;
                }
        for (int c = 0; c < r * r * p; c++) sum += 3 * B[c] * B[c];
        for (int c = 0; c < r * r * r; c++) sum += s[c] * s[c];
    }
    return (sum + tensor_norm(p, T)) / 12;
}

/* ---- c3 of several factors ------------------------------------------------------------------ */

/* Sc <- S_gg h, h = c_i,global + Q_l'z: Cov(theta_global, eta_i) among the coefficients of the
 * cluster of leaf l, for the whole S_gg. */
static void covary_row(const struct glmm_view *x, struct glmm_clusters *c, const double *S_gg,
                       int cluster, int l, size_t i)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int p = g->lmm.p, r = sh->r, listed = sh->ptr[l + 1] - sh->ptr[l];
    const double *q = x->s->q + (size_t) sh->ptr[l] * (size_t) r,
                 *z = g->z ? g->z + i * (size_t) r : NULL;
    for (int a = 0; a < listed; a++) {
        c->h[a] = a < p ? g->X[i * (size_t) p + (size_t) a] : 0;
        for (int d = 0; d < r; d++) c->h[a] += AT(q, a, d, listed) * (z ? z[d] : 1);
    }
    for (int f = 0; f < g->n_other; f++) {
        const struct glmm_factor *o = &g->other[f];
        for (int d = 0; d < o->r; d++)
            c->h[o->pos[i] + d] += o->z ? o->z[i * (size_t) o->r + (size_t) d] : 1;
    }
    const int *col = c->col + c->col_start[cluster];
    int n_col = c->col_start[cluster + 1] - c->col_start[cluster];
    memset(c->Sc, 0, sizeof(double) * (size_t) p);
    for (int k = 0; k < n_col; k++) c->Sc[col[k]] = 0;
    for (int a = 0; a < listed; a++) {
        const double *S = S_gg + (size_t) sh->idx[sh->ptr[l] + a] * (size_t) sh->n_global;
        for (int k = 0; k < p; k++) c->Sc[k] += c->h[a] * S[k];
        for (int k = 0; k < n_col; k++) c->Sc[col[k]] += c->h[a] * S[col[k]];
    }
}

/* t <- Cov(u_m, eta_i) = Q_m Sc, with D_m^-1 z of row i when it is of leaf m. */
static void covary_leaf(const struct glmm_view *x, const double *Sc, int m, int l, size_t i,
                        double *t)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int r = sh->r, listed = sh->ptr[m + 1] - sh->ptr[m];
    const int *idx = sh->idx + sh->ptr[m];
    const double *q = x->s->q + (size_t) sh->ptr[m] * (size_t) r,
                 *d_inv = x->s->d_inv + (size_t) m * (size_t) (r * r);
    for (int c = 0; c < r; c++) {
        t[c] = 0;
        for (int a = 0; a < listed; a++)
            t[c] += AT(q, a, c, listed) * Sc[idx[a]];
        if (m == l)
            for (int d = 0; d < r; d++)
                t[c] +=
                    AT(d_inv, c, d, r) * (g->z ? g->z[i * (size_t) r + (size_t) d] : 1);
    }
}

/* K_ij = c_j'(Sc, t). */
static double covary_rows(const struct glmm *g, size_t j, const double *Sc,
                          const double *t)
{
    int p = g->lmm.p, r = g->lmm.shape.r;
    double K = 0;
    for (int a = 0; a < p; a++) K += g->X[j * (size_t) p + (size_t) a] * Sc[a];
    for (int f = 0; f < g->n_other; f++) {
        const struct glmm_factor *o = &g->other[f];
        for (int d = 0; d < o->r; d++)
            K += (o->z ? o->z[j * (size_t) o->r + (size_t) d] : 1) * Sc[o->col[j] + d];
    }
    for (int d = 0; d < r; d++)
        K += (g->z ? g->z[j * (size_t) r + (size_t) d] : 1) * t[d];
    return K;
}

/* Rows of different clusters covary through the coefficients alone, K_ij = a_i'a_j with
 * a = L^-1 Cov(beta, eta), L L' = S_b:
 *     12 c3 = ||sum g a^3||^2 + sum over pairs of a cluster of g_i g_j (K_ij^3 - (a_i'a_j)^3),
 * the sum over all pairs when they are one cluster. */
double glmm_third_pairs(const struct glmm_view *x, struct glmm_clusters *c, double *S,
                        double *work)
{
    const struct glmm *g = x->g;
    int p = g->lmm.p, ng = g->lmm.shape.n_global;
    bool split = c->n > 1;
    size_t t3 = tensor_size(p);
    double *L = work, *T = L + p * p, t[GLMM_GAP_MAX_R], sum = 0;
    const double *S_gg = x->s->S.global;
    if (g->lmm.shape.n_elim) { /* a sparse global block is filled on its pattern only */
        schur_inverse(&g->lmm.shape, x->F, S);
        S_gg = S;
    }
    for (int b = 0; b < p; b++)
        for (int a = 0; a < p; a++) AT(L, a, b, p) = AT(S_gg, a, b, ng);
    if (split && la_chol(p, L)) return NAN;
    memset(T, 0, sizeof(double) * t3);
    for (int k = 0; k < c->n; k++)
        for (int u = c->leaf_start[k]; u < c->leaf_start[k + 1]; u++) {
            int l = c->leaf[u];
            for (size_t i = g->start[l]; i < g->start[l + 1]; i++) {
                double *a = c->beta + i * (size_t) p, gi = 2 * x->s->e.mv[i], pairs = 0;
                covary_row(x, c, S_gg, k, l, i);
                if (split) {
                    memcpy(a, c->Sc, sizeof(double) * (size_t) p);
                    la_solve_l(p, L, a);
                    tensor_add(p, gi, a, T);
                }
                for (int v = c->leaf_start[k]; v <= u; v++) {
                    int m = c->leaf[v];
                    size_t end = m == l ? i + 1 : g->start[m + 1];
                    covary_leaf(x, c->Sc, m, l, i, t);
                    for (size_t j = g->start[m]; j < end; j++) {
                        double K = covary_rows(g, j, c->Sc, t), cube = K * K * K;
                        if (split) {
                            double b = la_dot(p, a, c->beta + j * (size_t) p);
                            cube -= b * b * b;
                        }
                        pairs += (j == i ? 1 : 2) * x->s->e.mv[j] * cube;
                    }
                }
                sum += 2 * gi * pairs;
            }
        }
    return (sum + (split ? tensor_norm(p, T) : 0)) / 12;
}
