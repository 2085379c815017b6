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
struct third {
    int p, r; /* r = 0 without groups: the coefficients alone               */
    bool through_beta;
    double *L, *a, *e; /* p x p; p and r numbers of the row at hand                  */
    double *aaa;       /* sum g a^3, over all rows                                   */
    double *aae, *aee,
        *eee; /* of one leaf: r times the distinct elements of a^2, r^2 p, r^3 */
};

static struct third third_of(const struct glmm *g, double *work)
{
    struct third x = {.p = g->lmm.shape.n_global,
                      .r = g->lmm.shape.n_leaf ? g->lmm.shape.r : 0};
    x.through_beta = (double) g->n * (double) tensor_size(x.p) <= MAX_TENSOR;
    x.L = work;
    x.a = x.L + x.p * x.p;
    x.e = x.a + x.p;
    x.aaa = x.e + (x.r ? x.r : 1);
    x.aae = x.aaa + tensor_size(x.p);
    x.aee = x.aae + x.r * vech_size(x.p);
    x.eee = x.aee + x.r * x.r * x.p;
    return x;
}

size_t glmm_third_work(const struct glmm *g)
{
    size_t p = (size_t) g->lmm.p, r = (size_t) g->lmm.shape.r;
    return p * p + p + r + tensor_size(g->lmm.p) + r * p * (p + 1) / 2 + r * r * p +
           r * r * r;
}

/* a and e of row i; q (p x r) is its leaf's, W = chol(D^-1). */
static void third_row(const struct glmm *g, struct third *x, const double *q,
                      const double *W, size_t i)
{
    int p = x->p, r = x->r;
    const double *xi = g->X + i * (size_t) p, *z = g->z ? g->z + i * (size_t) r : NULL;
    for (int c = 0; c < p; c++) {
        x->a[c] = 0;
        for (int b = c; b < p; b++) {
            double h = xi[b];
            for (int d = 0; d < r; d++) h += AT(q, b, d, p) * (z ? z[d] : 1);
            x->a[c] += AT(x->L, b, c, p) * h;
        }
    }
    for (int c = 0; c < r; c++) {
        x->e[c] = 0;
        for (int d = c; d < r; d++) x->e[c] += AT(W, d, c, r) * (z ? z[d] : 1);
    }
}

/* The leaf's tensors += those of the row at hand, times g. */
static void third_add(struct third *x, double g)
{
    int p = x->p, r = x->r;
    for (int c = 0; c < r; c++) {
        double ge = g * x->e[c], *aae = x->aae + c * vech_size(p);
        for (int b = 0, at = 0; b < p; b++)
            for (int d = b; d < p; d++, at++) aae[at] += ge * x->a[b] * x->a[d];
        for (int d = 0; d < r; d++) {
            double gee = ge * x->e[d], *aee = x->aee + (c * r + d) * p;
            for (int b = 0; b < p; b++) aee[b] += gee * x->a[b];
            for (int h = 0; h < r; h++) x->eee[(c * r + d) * r + h] += gee * x->e[h];
        }
    }
}

/* sum <- sum + the leaf's three norms. */
static double third_leaf(const struct third *x, double sum)
{
    int p = x->p, r = x->r;
    const double *aae = x->aae;
    for (int c = 0; c < r; c++)
        for (int b = 0; b < p; b++)
            for (int d = b; d < p; d++, aae++) sum += 3 * (b == d ? 1 : 2) * *aae * *aae;
    for (int c = 0; c < r * r * p; c++) sum += 3 * x->aee[c] * x->aee[c];
    for (int c = 0; c < r * r * r; c++) sum += x->eee[c] * x->eee[c];
    return sum;
}

double glmm_third(const struct glmm_view *v, double *work)
{
    const struct glmm *g = v->g;
    struct third x = third_of(g, work);
    int p = x.p, r = x.r;
    size_t of_leaf = sizeof(double) * (size_t) (r * vech_size(p) + r * r * p + r * r * r);
    double W[VECH_MAX_R * VECH_MAX_R], sum = 0;
    memcpy(x.L, v->s->S.global, sizeof(double) * (size_t) (p * p));
    if (la_chol(p, x.L)) return NAN;
    memset(x.aaa, 0, sizeof(double) * tensor_size(p));
    for (int k = 0; k < glmm_runs(g); k++) {
        const double *q =
            v->s->q + (size_t) k * (size_t) p * (size_t) r; /* one factor: full */
        size_t from = r ? g->start[k] : 0, to = r ? g->start[k + 1] : g->n;
        memset(x.aae, 0, of_leaf);
        memcpy(W, v->s->d_inv + (size_t) k * (size_t) (r * r),
               sizeof(double) * (size_t) (r * r));
        if (la_chol(r, W)) return NAN;
        for (size_t i = from; i < to; i++) {
            double g3 = 2 * v->s->e.mv[i];
            third_row(g, &x, q, W, i);
            if (x.through_beta) tensor_add(p, g3, x.a, x.aaa);
            third_add(&x, g3);
        }
        sum = third_leaf(&x, sum);
    }
    return (sum + tensor_norm(p, x.aaa)) / 12;
}

/* ---- c3 of several factors ------------------------------------------------------------------ */

/* Sc <- S_gg h, h = c_i,global + Q_l'z: Cov(theta_global, eta_i) among the coefficients of the
 * cluster of leaf l, for the whole S_gg. */
static void covary_row(const struct glmm_view *x, struct glmm_clusters *c,
                       const double *S_gg, int cluster, int l, size_t i)
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
static void covary_leaf(const struct glmm_view *x, const double *Sc, int m, int l,
                        size_t i, double *t)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int r = sh->r, listed = sh->ptr[m + 1] - sh->ptr[m];
    const int *idx = sh->idx + sh->ptr[m];
    const double *q = x->s->q + (size_t) sh->ptr[m] * (size_t) r,
                 *d_inv = x->s->d_inv + (size_t) m * (size_t) (r * r);
    for (int c = 0; c < r; c++) {
        t[c] = 0;
        for (int a = 0; a < listed; a++) t[c] += AT(q, a, c, listed) * Sc[idx[a]];
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
