/* glmm_nest.c: see glmm_nest.h. */
#include <math.h>
#include <string.h>
#include "la.h"
#include "arrow_global.h"
#include "glmm_nest.h"
#include "logchol.h"

/* The conditional fit's accuracy in posterior SDs (its bound errs by half the square), and that
 * of the responses. */
static const double FIT_TOL = 1e-5, RESPONSE_TOL = 1e-3;
enum { FIT_MAX = 60 };
static const double MAX_PHI = 60;

/* Nodes of less weight get the response of glmm_response_factor(), a tenth of a percent off at
 * most, and no shift of the means: the hundreds of a lattice's rim weigh a percent together. */
static const double NEGLIGIBLE = 1e-4;

/* Flops above which the part of c3 that runs through the coefficients alone is left out, and
 * doubles above which their means are not shifted. */
static const double MAX_TENSOR = 1e8, MAX_SHIFT = 1e7;

/* With several factors c3 takes all pairs of rows of a cluster: multiplications above which it is
 * left out, and the correction is the gaps alone. Some 2,000 connected rows pass. */
static const double MAX_PAIRS = 5e7;

/* A correction that says nothing of how the series converges. */
static const double NOISE = 1e-6;

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
static const double NODE_7[] = {0, 1.154405394739968, 2.366759410734538,
                                3.750439717725739};
static const double WEIGHT_7[] = {0.4571428571428571, 0.2401231786050125,
                                  0.03075712396758642, 0.0005482688559722201};
static const double NODE_5[] = {0, 1.355626179974264, 2.856970013872803};
static const double WEIGHT_5[] = {0.5333333333333334, 0.2220759220056127,
                                  0.01125741132772066};

enum { MAX_GAP_R = 3, MAX_NODES = 125 };

/* Product rule in r dimensions: z (r x n) and log weights; returns n. */
static int product_rule(int r, double *z, double *log_w)
{
    const double *node = r == 1 ? NODE_15 : r == 2 ? NODE_7 : NODE_5;
    const double *weight = r == 1 ? WEIGHT_15 : r == 2 ? WEIGHT_7 : WEIGHT_5;
    int half = r == 1 ? 7 : r == 2 ? 3 : 2, side = 2 * half + 1, n = 1;
    for (int c = 0; c < r; c++) n *= side;
    for (int k = 0; k < n; k++) {
        log_w[k] = 0;
        for (int c = 0, rest = k; c < r; c++, rest /= side) {
            int i = rest % side - half, j = i < 0 ? -i : i;
            z[c + k * r] = i < 0 ? -node[j] : node[j];
            log_w[k] += log(weight[j]);
        }
    }
    return n;
}

/* Distinct elements of a symmetric tensor of third order. */
static size_t tensor_size(int p)
{
    return (size_t) p * (size_t) (p + 1) * (size_t) (p + 2) / 6;
}

/* ---- clusters -------------------------------------------------------------------------------- */

static struct glmm_clusters clusters_carve(const struct glmm *g, struct arena *a)
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

/* Leaves that list a common level of another factor are of one cluster. */
static void find_clusters(struct glmm_nest *x)
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

/* Multiplications of third_order_pairs(). */
static double pairs_cost(const struct glmm_nest *x)
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

struct glmm_nest glmm_nest_carve(const struct glmm *g, struct arena *a)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    size_t p = (size_t) g->lmm.p, r = (size_t) sh->r, dim = arrow_dim(sh);
    struct glmm_nest x = {.g = g, .corrected = true, .dense = *sh};
    x.dense.n_elim = 0;
    /* with several factors the shift is below a hundredth of an SD [measured], and dear */
    x.shifted = g->n_other == 0 && (double) (g->n + dim) * (double) p <= MAX_SHIFT;
    x.s = glmm_state_carve(g, a);
    x.w = glmm_work_carve(g, a);
    x.t = arena_doubles(a, (size_t) g->lmm.n_par);
    x.unit = arena_doubles(a, (size_t) g->lmm.n_stat);
    x.prior_const = arena_doubles(a, (size_t) g->lmm.n_prec);
    x.S_global = arena_doubles(a, arrow_global_size(sh));
    x.d_inv = arena_doubles(a, arrow_leaf_size(sh));
    x.q = arena_doubles(a, arrow_cross_size(sh));
    x.s_leaf = arena_doubles(a, arrow_leaf_size(sh));
    x.leaf_work = arena_doubles(a, glmm_leaf_work(g));
    x.F = arrow_carve(&x.dense, a);
    x.keep_m = arena_doubles(a, dim);
    x.keep_w = arena_doubles(a, g->n);
    x.cols_m = arena_doubles(a, x.shifted ? dim * p : 0);
    x.cols_w = arena_doubles(a, x.shifted ? g->n * p : 0);
    x.tensor = arena_doubles(a, p * p + p + r + tensor_size(g->lmm.p) +
                                    r * p * (p + 1) / 2 + r * r * p + r * r * r);
    for (int f = 0; f < g->n_other; f++) {
        size_t starts = (size_t) g->other[f].n_levels + 1;
        x.level_start[f] = (size_t *) arena_doubles(a, starts);
        x.level_rows[f] = arena_ints(a, g->n);
    }
    if (g->n_other) x.clusters = clusters_carve(g, a);
    return x;
}

void glmm_nest_prepare(struct glmm_nest *x)
{
    const struct glmm *g = x->g;
    memset(x->unit, 0, sizeof(double) * (size_t) g->lmm.n_stat);
    for (int k = 0; k < g->lmm.n_prec; k++)
        x->prior_const[k] = lmm_prior_constant(&g->lmm, k);
    for (int f = 0; f < g->n_other; f++) {
        const struct glmm_factor *h = &g->other[f];
        size_t *start = x->level_start[f];
        memset(start, 0, sizeof(size_t) * ((size_t) h->n_levels + 1));
        for (size_t i = 0; i < g->n; i++) start[(h->col[i] - h->first) / h->r + 1]++;
        for (int l = 0; l < h->n_levels; l++) start[l + 1] += start[l];
        for (size_t i = g->n; i-- > 0;) {
            int l = (h->col[i] - h->first) / h->r;
            x->level_rows[f][--start[l + 1]] = (int) i;
        }
        for (int l = 0; l < h->n_levels; l++)
            start[l] = start[l + 1]; /* moved back above */
        start[h->n_levels] = g->n;
    }
    if (g->n_other) {
        find_clusters(x);
        x->with_pairs = pairs_cost(x) <= MAX_PAIRS;
    }
}

/* ---- gaps ------------------------------------------------------------------------------------ */

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
static bool level_covariance(const struct glmm_nest *x, const struct level *l, double *L,
                             double *logdet)
{
    int r = l->r;
    double W[MAX_GAP_R * MAX_GAP_R];
    memcpy(W, l->Lambda, sizeof(double) * (size_t) (r * r));
    for (size_t k = 0; k < l->n; k++) {
        size_t i = row_of(l, k);
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++)
                AT(W, a, b, r) += x->s.w[i] * z_of(l, i, a) * z_of(l, i, b);
    }
    if (la_chol(r, W)) return false;
    *logdet = -la_logdet(r, W);
    la_inverse(r, W, L);
    return la_chol(r, L) == 0;
}

/* sum over the rows of log p(y | eta): of trials of one, log(1 + e^-|eta|) is summed as the logarithm
 * of a product, each factor of which is at most 2. */
static double exact_rows(const struct glmm *g, const struct level *l, const double *move,
                         enum glmm_family family, double phi, const double *mean)
{
    double sum = 0, product = 1;
    for (size_t k = 0; k < l->n; k++) {
        size_t i = row_of(l, k);
        double mu = mean[i];
        for (int a = 0; a < l->r; a++) mu += z_of(l, i, a) * move[a];
        if (family != GLMM_BINOMIAL || g->size[i] != 1) {
            sum += family_value(family, g->y[i], g->size[i], phi, mu, 0);
            continue;
        }
        sum += g->y[i] * mu - (mu > 0 ? mu : 0);
        product *= 1 + exp(-fabs(mu));
        if (product > 1e290) {
            sum -= log(product);
            product = 1;
        }
    }
    return sum - log(product);
}

/* sum over the level's rows of f at u = m + L node, the others' effects at their means or (other)
 * averaged over q. */
static double integrand_rows(const struct glmm_nest *x, const struct level *l,
                             const double *L, const double *node, bool other, double phi)
{
    const struct glmm *g = x->g;
    enum glmm_family family = g->family == GLMM_BINOMIAL_PG ? GLMM_BINOMIAL : g->family;
    int r = l->r;
    double move[MAX_GAP_R], sum = 0;
    for (int a = 0; a < r; a++) {
        move[a] = 0;
        for (int b = 0; b <= a; b++) move[a] += AT(L, a, b, r) * node[b];
    }
    if (!other) return exact_rows(g, l, move, family, phi, x->s.mu);
    for (size_t k = 0; k < l->n; k++) {
        size_t i = row_of(l, k);
        double mu = x->s.mu[i], own = 0;
        for (int a = 0; a < r; a++) mu += z_of(l, i, a) * move[a];
        for (int b = 0; b < r; b++) {
            double e = 0;
            for (int a = b; a < r; a++) e += AT(L, a, b, r) * z_of(l, i, a);
            own += e * e;
        }
        own = fmax(x->s.v[i] - own, 0);
        sum += family_value(family, g->y[i], g->size[i], phi, mu, own);
    }
    return sum;
}

/* What the level's Gaussian loses; its third-order part s3 gets sum_cde (sum_i g e_c e_d e_e)^2,
 * e = L'z. */
static double level_gap(const struct glmm_nest *x, const struct level *l, bool other,
                        double *s3)
{
    const struct glmm *g = x->g;
    int r = l->r;
    double L[MAX_GAP_R * MAX_GAP_R], logdet, s[MAX_GAP_R * MAX_GAP_R * MAX_GAP_R] = {0};
    double z[MAX_GAP_R * MAX_NODES], log_w[MAX_NODES], value[MAX_NODES];
    double phi = glmm_dispersion(g, x->t), bound = 0;
    const double *m = x->s.m + l->at;
    if (!level_covariance(x, l, L, &logdet)) return NAN;
    for (size_t k = 0; k < l->n; k++) {
        size_t i = row_of(l, k);
        double e[MAX_GAP_R], own = 0, g3;
        for (int b = 0; b < r; b++) {
            e[b] = 0;
            for (int a = b; a < r; a++) e[b] += AT(L, a, b, r) * z_of(l, i, a);
            own += e[b] * e[b];
        }
        if (other) {
            bound += x->s.e.f[i];
            g3 = 2 * x->s.e.mv[i];
        } else {
            struct expected_loglik f =
                family_expect(g->family, g->y[i], g->size[i], phi, x->s.mu[i], own);
            bound += f.f;
            g3 = 2 * f.mv;
        }
        for (int c = 0; c < r; c++)
            for (int d = 0; d < r; d++)
                for (int h = 0; h < r; h++)
                    s[(c * r + d) * r + h] += g3 * e[c] * e[d] * e[h];
    }
    *s3 = 0;
    for (int c = 0; c < r * r * r; c++) *s3 += s[c] * s[c];
    double quad = 0, trace = 0; /* m'Lambda m and tr(Lambda L L') */
    for (int a = 0; a < r; a++)
        for (int b = 0; b < r; b++) {
            double W = 0;
            for (int c = 0; c <= (a < b ? a : b); c++)
                W += AT(L, a, c, r) * AT(L, b, c, r);
            quad += AT(l->Lambda, a, b, r) * m[a] * m[b];
            trace += AT(l->Lambda, a, b, r) * W;
        }
    bound += -0.5 * (quad + trace) + 0.5 * logdet + 0.5 * r;
    int n = product_rule(r, z, log_w);
    double top = -INFINITY;
    for (int k = 0; k < n; k++) {
        const double *node = z + k * r;
        double u[MAX_GAP_R], q = 0, square = 0;
        for (int a = 0; a < r; a++) {
            u[a] = m[a];
            for (int b = 0; b <= a; b++) u[a] += AT(L, a, b, r) * node[b];
            square += node[a] * node[a];
        }
        for (int a = 0; a < r; a++)
            for (int b = 0; b < r; b++) q += AT(l->Lambda, a, b, r) * u[a] * u[b];
        value[k] = log_w[k] + integrand_rows(x, l, L, node, other, phi) - 0.5 * q +
                   0.5 * square + 0.5 * logdet;
        if (value[k] > top) top = value[k];
    }
    double sum = 0;
    for (int k = 0; k < n; k++) sum += exp(value[k] - top);
    return top + log(sum) - bound;
}

/* Lambda (r x r) <- the prior precision of one level of the leaf (f < 0) or of another factor. */
static void level_prior(const struct glmm_nest *x, int f, int r, double *Lambda)
{
    const struct lmm *m = &x->g->lmm;
    memset(Lambda, 0, sizeof(double) * (size_t) (r * r));
    for (int k = m->first_term; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        if (pr->leaf != (f < 0) || (f >= 0 && pr->block != x->g->other[f].first))
            continue;
        int at = f < 0 ? pr->first : pr->first - pr->block;
        for (int b = 0; b < pr->r; b++)
            for (int a = b; a < pr->r; a++)
                AT(Lambda, at + a, at + b, r) = AT(Lambda, at + b, at + a, r) =
                    x->t[pr->at + vech_at(pr->r, a, b)];
    }
}

/* Sum of the gaps of the leaves (f < 0) or of another factor's levels; *local gets the sum of
 * their third-order parts / 12. */
static double factor_gaps(const struct glmm_nest *x, int f, bool other, double *local)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    double Lambda[MAX_GAP_R * MAX_GAP_R], sum = 0, s3;
    int r = f < 0 ? sh->r : g->other[f].r,
        levels = f < 0 ? sh->n_leaf : g->other[f].n_levels;
    if (r > MAX_GAP_R) return 0;
    level_prior(x, f, r, Lambda);
    for (int k = 0; k < levels; k++) {
        struct level l = {.r = r, .Lambda = Lambda};
        if (f < 0) {
            l.at = (size_t) sh->n_global + (size_t) k * (size_t) r;
            l.first = g->start[k];
            l.n = g->start[k + 1] - g->start[k];
            l.z = g->z;
        } else {
            l.at = (size_t) g->other[f].first + (size_t) k * (size_t) r;
            l.rows = x->level_rows[f] + x->level_start[f][k];
            l.n = x->level_start[f][k + 1] - x->level_start[f][k];
            l.z = g->other[f].z;
        }
        sum += level_gap(x, &l, other, &s3);
        *local += s3 / 12;
    }
    return sum;
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
static double third_order(struct glmm_nest *x)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int p = sh->n_global, r = sh->n_leaf ? sh->r : 0;
    size_t t3 = tensor_size(p), t2 = (size_t) vech_size(p);
    bool through_beta = (double) g->n * (double) t3 <= MAX_TENSOR;
    double *L = x->tensor, *a = L + p * p, *e = a + p, *T = e + (r ? r : 1), *A = T + t3;
    double *B = A + (size_t) r * t2, *s = B + r * r * p;
    double W[EXPFAM_MAX_R * EXPFAM_MAX_R], sum = 0;
    memcpy(L, x->s.S.global, sizeof(double) * (size_t) (p * p));
    if (la_chol(p, L)) return NAN;
    memset(T, 0, sizeof(double) * t3);
    for (int k = 0; k < sh->n_leaf; k++) {
        const double *q =
            x->s.q + (size_t) k * (size_t) p * (size_t) r; /* one factor: full */
        memset(A, 0,
               sizeof(double) * ((size_t) r * t2 + (size_t) (r * r * p + r * r * r)));
        memcpy(W, x->s.d_inv + (size_t) k * (size_t) (r * r),
               sizeof(double) * (size_t) (r * r));
        if (la_chol(r, W)) return NAN;
        for (size_t i = g->start[k]; i < g->start[k + 1]; i++) {
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
static double third_order_pairs(struct glmm_nest *x)
{
    const struct glmm_clusters *c = &x->clusters;
    const struct glmm *g = x->g;
    int p = g->lmm.p, ng = g->lmm.shape.n_global;
    bool split = c->n > 1;
    size_t t3 = tensor_size(p);
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

double glmm_correction(struct glmm_nest *x)
{
    const struct glmm *g = x->g;
    bool several = g->n_other > 0, bound = g->family == GLMM_BINOMIAL_PG;
    double sum = 0;
    x->c3 = x->c3_local = 0;
    if (!x->corrected || g->lmm.shape.n_leaf == 0) return 0;
    for (int f = -1; f < g->n_other; f++) sum += factor_gaps(x, f, several, &x->c3_local);
    if (bound || g->lmm.shape.r > MAX_GAP_R || (several && !x->with_pairs)) return sum;
    x->c3 = several ? third_order_pairs(x) : third_order(x);
    double rest =
        x->c3 - x->c3_local; /* meaningless once it is large: the series diverges there */
    if (!several) return sum + rest / (1 + 4 * rest * rest);
    /* by how much the series overstates the part of it that is known; next to none is noise */
    double known = fmax(sum, 0) + NOISE, series = x->c3_local + NOISE;
    return sum + (known < series ? known / series : 1) * rest;
}

/* ---- the conditional fit ---------------------------------------------------------------------------- */

static bool fit_at(struct glmm_nest *x)
{
    const struct glmm *g = x->g;
    enum core_status st = CORE_NONFINITE;
    if (x->started)
        st = glmm_fit(g, x->t, FIT_TOL, FIT_MAX, &x->s, &x->w, x->h, &x->info);
    if (st != CORE_OK && st != CORE_INTERRUPTED) {
        st = glmm_start(g, x->t, &x->s, &x->w, &x->info);
        if (!st) st = glmm_fit(g, x->t, FIT_TOL, FIT_MAX, &x->s, &x->w, x->h, &x->info);
    }
    x->started = st == CORE_OK;
    return x->started;
}

double glmm_nest_log_density(void *nest, const double *phi)
{
    struct glmm_nest *x = nest;
    const struct lmm *m = &x->g->lmm;
    double prior = 0;
    for (int i = 0; i < m->n_stat; i++)
        if (!(fabs(phi[i]) < MAX_PHI)) return -INFINITY;
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        double jacobian,
            logdet = scale_free_to_vech(pr->r, phi + pr->at, x->t + pr->at, &jacobian);
        prior += lmm_log_prior(m, k, x->prior_const[k], x->t + pr->at, logdet) + jacobian;
    }
    if (!fit_at(x)) return -INFINITY;
    x->correction = glmm_correction(x);
    double f = x->s.elbo + x->correction + prior;
    return isfinite(f) ? f : -INFINITY;
}

/* mean[j] += d correction / d tilt of beta_j, by a difference of a fiftieth of an SD along the
 * response to the tilt. */
static void shift_means(struct glmm_nest *x, double *mean)
{
    const struct glmm *g = x->g;
    size_t n = g->n, dim = arrow_dim(&g->lmm.shape);
    double base = x->correction;
    memcpy(x->keep_m, x->s.m, sizeof(double) * dim);
    memcpy(x->keep_w, x->s.w, sizeof(double) * n);
    for (int j = 0; j < g->lmm.p; j++) {
        const double *dm = x->cols_m + (size_t) j * dim,
                     *eps = x->cols_w + (size_t) j * n;
        double h = 0.02 / sqrt(dm[j]);
        for (size_t i = 0; i < dim; i++) x->s.m[i] = x->keep_m[i] + h * dm[i];
        for (size_t i = 0; i < n; i++) {
            x->s.w[i] = x->keep_w[i] - h * eps[i];
            if (!(x->s.w[i] > 0)) x->s.w[i] = x->keep_w[i];
        }
        if (glmm_evaluate(g, x->t, &x->s, &x->w, &x->info) == CORE_OK) {
            double moved = glmm_correction(x);
            if (isfinite(moved)) mean[j] += (moved - base) / h;
        }
    }
    memcpy(x->s.m, x->keep_m, sizeof(double) * dim);
    memcpy(x->s.w, x->keep_w, sizeof(double) * n);
}

/* F <- factor of the inverse of (S_gg, q, D^-1): F_l = chol(D), cross = -Q' F_l, and the factor of
 * S_gg^-1. */
static bool factor_of_response(struct glmm_nest *x)
{
    const struct arrow_shape *s = &x->dense;
    int r = s->r, ng = s->n_global;
    memcpy(x->F.global, x->S_global, sizeof(double) * arrow_global_size(s));
    if (la_chol(ng, x->F.global)) return false;
    la_inverse(ng, x->F.global, x->F.global);
    if (la_chol(ng, x->F.global)) return false;
    for (int l = 0; l < s->n_leaf; l++) {
        int k = s->ptr[l + 1] - s->ptr[l];
        double *L = x->F.leaf + (size_t) l * (size_t) (r * r);
        const double *q = x->q + (size_t) s->ptr[l] * (size_t) r;
        double *B = x->F.cross + (size_t) s->ptr[l] * (size_t) r;
        memcpy(L, x->d_inv + (size_t) l * (size_t) (r * r),
               sizeof(double) * (size_t) (r * r));
        if (la_chol(r, L)) return false;
        la_inverse(r, L, L);
        if (la_chol(r, L)) return false;
        for (int c = 0; c < r; c++)
            for (int a = 0; a < k; a++) {
                double sum = 0;
                for (int d = c; d < r; d++) sum -= AT(q, a, d, k) * AT(L, d, c, r);
                AT(B, a, c, k) = sum;
            }
    }
    return true;
}

static bool nest_moments(void *nest, double weight, double *mean)
{
    struct glmm_nest *x = nest;
    const struct glmm *g = x->g;
    bool counts = weight > NEGLIGIBLE, shift = counts && x->shifted && x->corrected;
    if (x->log) x->log[x->logged++] = x->correction;
    memcpy(mean, x->s.m, sizeof(double) * arrow_dim(&g->lmm.shape));
    if (glmm_curvature(g, x->t, &x->s, &x->w, &x->info)) return false;
    struct theta_response want = {.exact = counts ? EXACT_BETA : EXACT_NONE,
                                  .tol = RESPONSE_TOL,
                                  .cols_m = shift ? x->cols_m : NULL,
                                  .cols_w = shift ? x->cols_w : NULL};
    if (!glmm_theta_response(g, x->t, &x->s, &x->w, want, x->S_global, x->d_inv, x->q, x->s_leaf,
                             x->leaf_work))
        return false;
    if (!factor_of_response(x)) return false;
    if (shift) shift_means(x, mean);
    return true;
}

struct conditional glmm_nest_conditional(struct glmm_nest *x, const double *origin)
{
    return (struct conditional){&x->dense, x->g->lmm.n_stat, origin, x,
                                glmm_nest_log_density, nest_moments, &x->F};
}
