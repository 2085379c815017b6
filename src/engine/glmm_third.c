/* glmm_third.c: the third-order term of the expansion (see glmm_correction.h). */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "arrow/arrow_global.h"
#include "engine/glmm_correction.h"

/* Flops above which the part of c3 that runs through the coefficients alone is left out. */
static const double MAX_TENSOR = 1e8;

size_t glmm_tensor_size(int p)
{
    return (size_t) p * (size_t) (p + 1) * (size_t) (p + 2) / 6;
}

/* ---- clusters -------------------------------------------------------------------------------- */

struct glmm_clusters glmm_clusters_carve(const struct glmm *g, struct arena *a)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    size_t p = (size_t) g->lmm.p, leaves = (size_t) sh->n_leaf,
           columns = (size_t) sh->n_global;
    struct glmm_clusters c = {.n = 0};
    c.root = arena_ints(a, leaves);
    c.owner = arena_ints(a, columns);
    c.leaf_start = arena_ints(a, leaves + 1);
    c.leaf = arena_ints(a, leaves);
    c.col_start = arena_ints(a, leaves + 1);
    c.col = arena_ints(a, columns);
    c.h = arena_doubles(a, columns);
    c.Sc = arena_doubles(a, columns);
    c.beta = arena_doubles(a, g->n * p);
    return c;
}

static int root_of(int *root, int l)
{
    while (root[l] != l) l = root[l] = root[root[l]];
    return l;
}

/* Lists items 0 .. n - 1 by cluster, those of cluster < 0 left out. */
static void list_by(int n, const int *cluster, int n_cluster, int *start, int *list)
{
    memset(start, 0, sizeof(int) * ((size_t) n_cluster + 1));
    for (int k = 0; k < n; k++)
        if (cluster[k] >= 0) start[cluster[k] + 1]++;
    for (int c = 0; c < n_cluster; c++) start[c + 1] += start[c];
    for (int k = 0; k < n; k++)
        if (cluster[k] >= 0) list[start[cluster[k]]++] = k;
    for (int c = n_cluster; c > 0; c--) start[c] = start[c - 1];
    start[0] = 0;
}

void glmm_find_clusters(struct glmm_nest *x)
{
    struct glmm_clusters *c = &x->clusters;
    const struct arrow_shape *sh = &x->g->lmm.shape;
    int p = x->g->lmm.p;
    for (int l = 0; l < sh->n_leaf; l++) c->root[l] = l;
    for (int k = 0; k < sh->n_global; k++) c->owner[k] = -1;
    for (int l = 0; l < sh->n_leaf; l++)
        for (int j = sh->ptr[l]; j < sh->ptr[l + 1]; j++) {
            int k = sh->idx[j];
            if (k < p) continue;
            if (c->owner[k] < 0) c->owner[k] = l;
            int a = root_of(c->root, l), b = root_of(c->root, c->owner[k]);
            c->root[a > b ? a : b] = a > b ? b : a;
        }
    c->n = 0; /* a root is the first of its leaves: number them as they come */
    for (int l = 0; l < sh->n_leaf; l++) {
        int root = root_of(c->root, l);
        c->leaf[l] = root == l ? c->n++ : c->leaf[root];
    }
    for (int k = 0; k < sh->n_global; k++)
        if (c->owner[k] >= 0) c->owner[k] = c->leaf[c->owner[k]];
    memcpy(c->root, c->leaf, sizeof(int) * (size_t) sh->n_leaf);
    list_by(sh->n_leaf, c->root, c->n, c->leaf_start, c->leaf);
    list_by(sh->n_global, c->owner, c->n, c->col_start, c->col);
}

double glmm_pairs_cost(const struct glmm_nest *x)
{
    const struct glmm_clusters *c = &x->clusters;
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    double p = g->lmm.p, width = p + sh->r + 2, cost = 0;
    if (sh->r > MAX_GAP_R) return INFINITY;
    for (int f = 0; f < g->n_other; f++) {
        if (g->other[f].r > MAX_GAP_R) return INFINITY;
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
double glmm_third_order(struct glmm_nest *x)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int p = sh->n_global, r = sh->n_leaf ? sh->r : 0;
    size_t t3 = glmm_tensor_size(p), t2 = (size_t) vech_size(p);
    bool through_beta = (double) g->n * (double) t3 <= MAX_TENSOR;
    double *L = x->tensor, *a = L + p * p, *e = a + p, *T = e + (r ? r : 1), *A = T + t3;
    double *B = A + (size_t) r * t2, *s = B + r * r * p;
    double W[EXPFAM_MAX_R * EXPFAM_MAX_R], sum = 0;
    memcpy(L, x->s.S.global, sizeof(double) * (size_t) (p * p));
    if (la_chol(p, L)) return NAN;
    memset(T, 0, sizeof(double) * t3);
    for (int k = 0; k < glmm_runs(g); k++) { /* without groups r is zero: the coefficients alone */
        const double *q =
            x->s.q + (size_t) k * (size_t) p * (size_t) r; /* one factor: full */
        size_t from = r ? g->start[k] : 0, to = r ? g->start[k + 1] : g->n;
        memset(A, 0,
               sizeof(double) * ((size_t) r * t2 + (size_t) (r * r * p + r * r * r)));
        memcpy(W, x->s.d_inv + (size_t) k * (size_t) (r * r),
               sizeof(double) * (size_t) (r * r));
        if (la_chol(r, W)) return NAN;
        for (size_t i = from; i < to; i++) {
            const double *xi = g->X + i * (size_t) p,
                         *z = g->z ? g->z + i * (size_t) r : NULL;
            double g3 = 2 * x->s.e.mv[i];
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
static void covary_row(const struct glmm_nest *x, const double *S_gg, int cluster, int l, size_t i)
{
    const struct glmm_clusters *c = &x->clusters;
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int p = g->lmm.p, r = sh->r, listed = sh->ptr[l + 1] - sh->ptr[l];
    const double *q = x->s.q + (size_t) sh->ptr[l] * (size_t) r,
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
static void covary_leaf(const struct glmm_nest *x, int m, int l, size_t i, double *t)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int r = sh->r, listed = sh->ptr[m + 1] - sh->ptr[m];
    const int *idx = sh->idx + sh->ptr[m];
    const double *q = x->s.q + (size_t) sh->ptr[m] * (size_t) r,
                 *d_inv = x->s.d_inv + (size_t) m * (size_t) (r * r);
    for (int c = 0; c < r; c++) {
        t[c] = 0;
        for (int a = 0; a < listed; a++)
            t[c] += AT(q, a, c, listed) * x->clusters.Sc[idx[a]];
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
double glmm_third_order_pairs(struct glmm_nest *x)
{
    const struct glmm_clusters *c = &x->clusters;
    const struct glmm *g = x->g;
    int p = g->lmm.p, ng = g->lmm.shape.n_global;
    bool split = c->n > 1;
    size_t t3 = glmm_tensor_size(p);
    double *L = x->tensor, *T = L + p * p, t[MAX_GAP_R], sum = 0;
    const double *S_gg = x->s.S.global;
    if (g->lmm.shape.n_elim) { /* a sparse global block is filled on its pattern only */
        global_inverse(&g->lmm.shape, &x->w.F, x->S_global);
        S_gg = x->S_global;
    }
    for (int b = 0; b < p; b++)
        for (int a = 0; a < p; a++) AT(L, a, b, p) = AT(S_gg, a, b, ng);
    if (split && la_chol(p, L)) return NAN;
    memset(T, 0, sizeof(double) * t3);
    for (int k = 0; k < c->n; k++)
        for (int u = c->leaf_start[k]; u < c->leaf_start[k + 1]; u++) {
            int l = c->leaf[u];
            for (size_t i = g->start[l]; i < g->start[l + 1]; i++) {
                double *a = c->beta + i * (size_t) p, gi = 2 * x->s.e.mv[i], pairs = 0;
                covary_row(x, S_gg, k, l, i);
                if (split) {
                    memcpy(a, c->Sc, sizeof(double) * (size_t) p);
                    la_solve_l(p, L, a);
                    tensor_add(p, gi, a, T);
                }
                for (int v = c->leaf_start[k]; v <= u; v++) {
                    int m = c->leaf[v];
                    size_t end = m == l ? i + 1 : g->start[m + 1];
                    covary_leaf(x, m, l, i, t);
                    for (size_t j = g->start[m]; j < end; j++) {
                        double K = covary_rows(g, j, c->Sc, t), cube = K * K * K;
                        if (split) {
                            double b = la_dot(p, a, c->beta + j * (size_t) p);
                            cube -= b * b * b;
                        }
                        pairs += (j == i ? 1 : 2) * x->s.e.mv[j] * cube;
                    }
                }
                sum += 2 * gi * pairs;
            }
        }
    return (sum + (split ? tensor_norm(p, T) : 0)) / 12;
}

