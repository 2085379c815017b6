/* glmm_gap.c: what the Gaussian of each level on its own loses (see glmm_gap.h). */
#include <math.h>
#include <string.h>
#include "base/la.h"
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
static const double NODE_7[] = {0, 1.154405394739968, 2.366759410734538,
                                3.750439717725739};
static const double WEIGHT_7[] = {0.4571428571428571, 0.2401231786050125,
                                  0.03075712396758642, 0.0005482688559722201};
static const double NODE_5[] = {0, 1.355626179974264, 2.856970013872803};
static const double WEIGHT_5[] = {0.5333333333333334, 0.2220759220056127,
                                  0.01125741132772066};

enum { MAX_NODES = 125 };

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
    double W[GLMM_GAP_MAX_R * GLMM_GAP_MAX_R];
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
static double integrand_rows(const struct glmm_view *x, const struct level *l,
                             const double *L, const double *node, bool other, double phi)
{
    const struct glmm *g = x->g;
    enum glmm_family family = g->family == GLMM_BINOMIAL_PG ? GLMM_BINOMIAL : g->family;
    int r = l->r;
    double move[GLMM_GAP_MAX_R], sum = 0;
    for (int a = 0; a < r; a++) {
        move[a] = 0;
        for (int b = 0; b <= a; b++) move[a] += AT(L, a, b, r) * node[b];
    }
    if (!other) return exact_rows(g, l, move, family, phi, x->s->mu);
    for (size_t k = 0; k < l->n; k++) {
        size_t i = row_of(l, k);
        double mu = x->s->mu[i], own = 0;
        for (int a = 0; a < r; a++) mu += z_of(l, i, a) * move[a];
        for (int b = 0; b < r; b++) {
            double e = 0;
            for (int a = b; a < r; a++) e += AT(L, a, b, r) * z_of(l, i, a);
            own += e * e;
        }
        own = fmax(x->s->v[i] - own, 0);
        sum += family_value(family, g->y[i], g->size[i], phi, mu, own);
    }
    return sum;
}

/* What the level's Gaussian loses; its third-order part s3 gets sum_cde (sum_i g e_c e_d e_e)^2,
 * e = L'z. */
static double level_gap(const struct glmm_view *x, const struct level *l, bool other,
                        double *s3)
{
    const struct glmm *g = x->g;
    int r = l->r;
    double L[GLMM_GAP_MAX_R * GLMM_GAP_MAX_R], logdet,
        s[GLMM_GAP_MAX_R * GLMM_GAP_MAX_R * GLMM_GAP_MAX_R] = {0};
    double z[GLMM_GAP_MAX_R * MAX_NODES], log_w[MAX_NODES], value[MAX_NODES];
    double phi = glmm_dispersion(g, x->t), bound = 0;
    const double *m = x->s->m + l->at;
    if (!level_covariance(x, l, L, &logdet)) return NAN;
    for (size_t k = 0; k < l->n; k++) {
        size_t i = row_of(l, k);
        double e[GLMM_GAP_MAX_R], own = 0, g3;
        for (int b = 0; b < r; b++) {
            e[b] = 0;
            for (int a = b; a < r; a++) e[b] += AT(L, a, b, r) * z_of(l, i, a);
            own += e[b] * e[b];
        }
        if (other) {
            bound += x->s->e.f[i];
            g3 = 2 * x->s->e.mv[i];
        } else {
            struct expected_loglik f =
                family_expect(g->family, g->y[i], g->size[i], phi, x->s->mu[i], own);
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
        double u[GLMM_GAP_MAX_R], q = 0, square = 0;
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
    for (int f = 0; f < g->n_other; f++) {
        size_t starts = (size_t) g->other[f].n_levels + 1;
        x.start[f] = (size_t *) arena_doubles(a, starts);
        x.rows[f] = arena_ints(a, g->n);
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

double glmm_gap(const struct glmm_view *x, const struct glmm_levels *levels, int f, bool other,
                double *local)
{
    const struct glmm *g = x->g;
    const struct arrow_shape *sh = &g->lmm.shape;
    double Lambda[GLMM_GAP_MAX_R * GLMM_GAP_MAX_R], sum = 0, s3;
    int r = f < 0 ? sh->r : g->other[f].r,
        n = f < 0 ? sh->n_leaf : g->other[f].n_levels;
    if (r > GLMM_GAP_MAX_R) return 0;
    level_prior(x, f, r, Lambda);
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
        sum += level_gap(x, &l, other, &s3);
        *local += s3 / 12;
    }
    return sum;
}
