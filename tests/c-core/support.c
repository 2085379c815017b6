/* support.c: see support.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <R_ext/Random.h>
#include "check.h"
#include "support.h"

struct cell {
    struct cell *next;
    void *memory;
};
static struct cell *cells;

void *pool(size_t bytes)
{
    struct cell *c = malloc(sizeof *c);
    if (!c || !(c->memory = malloc(bytes ? bytes : 1))) abort();
    c->next = cells;
    cells = c;
    return c->memory;
}

void release_all(void)
{
    while (cells) {
        struct cell *c = cells;
        cells = c->next;
        free(c->memory);
        free(c);
    }
}

static double *filled(size_t n, double value)
{
    double *x = pool(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = value;
    return x;
}

double *nans(size_t n) { return filled(n, NAN); }

double *zeros(size_t n) { return filled(n, 0); }

double *normals(size_t n)
{
    double *x = nans(n);
    for (size_t i = 0; i < n; i++) x[i] = norm_rand();
    return x;
}

double *copy(size_t n, const double *x)
{
    return memcpy(pool(n * sizeof *x), x, n * sizeof *x);
}

int *ints(size_t n) { return memset(pool(n * sizeof(int)), 0, n * sizeof(int)); }

struct arena arena_of(size_t bytes)
{
    struct arena a = {.base = pool(bytes), .used = 0};
    return a;
}

double naive_inverse(int n, const double *A, double *inv)
{
    double logdet = 0, *B = copy((size_t) n * (size_t) n, A);
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) AT(inv, i, j, n) = i == j;
    for (int k = 0; k < n; k++) {
        double pivot = AT(B, k, k, n);
        logdet += log(pivot);
        for (int j = 0; j < n; j++) {
            AT(B, k, j, n) /= pivot;
            AT(inv, k, j, n) /= pivot;
        }
        for (int i = 0; i < n; i++) {
            double f = AT(B, i, k, n);
            if (i == k) continue;
            for (int j = 0; j < n; j++) {
                AT(B, i, j, n) -= f * AT(B, k, j, n);
                AT(inv, i, j, n) -= f * AT(inv, k, j, n);
            }
        }
    }
    return logdet;
}

double *random_spd(int n)
{
    double *A = nans((size_t) n * (size_t) n);
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++)
            AT(A, i, j, n) = AT(A, j, i, n) =
                unif_rand() - 0.5 + (i == j) * (1 + 0.5 * n);
    return A;
}

/* Has (i, j) a place in a packed block? */
static bool has_place(const struct arrow_shape *s, int i, int j)
{
    int a = s->place[i], b = s->place[j];
    if (i == j || (a < 0 && b < 0)) return true;
    int e = b < 0 || (a >= 0 && a < b) ? a : b, other = e == a ? j : i;
    for (int c = s->eptr[e]; c < s->eptr[e + 1]; c++)
        if (s->eidx[c] == other) return true;
    return false;
}

double *dense_of(const struct arrow_shape *s, const struct arrow *P)
{
    int dim = (int) arrow_dim(s), ng = s->n_global, r = s->r;
    double *D = zeros((size_t) dim * (size_t) dim);
    for (int j = 0; j < ng; j++)
        for (int i = j; i < ng; i++)
            if (!s->packed || has_place(s, i, j))
                AT(D, i, j, dim) = AT(D, j, i, dim) = P->global[arrow_shape_at(s, i, j)];
    for (int l = 0; l < s->n_leaf; l++) {
        int at = ng + l * r, k = s->ptr[l + 1] - s->ptr[l];
        for (int c = 0; c < r; c++) {
            for (int e = c; e < r; e++)
                AT(D, at + e, at + c, dim) = AT(D, at + c, at + e, dim) =
                    P->leaf[(l * r + c) * r + e];
            for (int a = 0; a < k; a++) {
                int g = s->idx[s->ptr[l] + a];
                AT(D, g, at + c, dim) = AT(D, at + c, g, dim) =
                    P->cross[s->ptr[l] * r + c * k + a];
            }
        }
    }
    return D;
}

int stop_at(void *ctx, int done) { return done == *(const int *) ctx; }

/* G = C'C in arrow form, h and y'y by plain loops; a leaf lists the global columns it meets. */
static void set_gram(struct sim *d, int ng, int n_leaf, int r)
{
    struct arrow_shape *s = &d->m.shape;
    int *ptr = ints((size_t) n_leaf + 1), *idx = ints((size_t) (n_leaf * ng)), used = 0;
    int dim = ng + n_leaf * r;
    double *D = zeros((size_t) (dim * dim)), *h = zeros((size_t) dim);
    for (int i = 0; i < d->n; i++) {
        d->m.yy += d->y[i] * d->y[i];
        for (int a = 0; a < dim; a++) {
            h[a] += AT(d->C, i, a, d->n) * d->y[i];
            for (int b = 0; b < dim; b++)
                AT(D, a, b, dim) += AT(d->C, i, a, d->n) * AT(d->C, i, b, d->n);
        }
    }
    for (int l = 0; l < n_leaf; l++) {
        for (int a = 0; a < ng; a++)
            if (AT(D, a, ng + l * r, dim) != 0) idx[used++] = a;
        ptr[l + 1] = used;
    }
    *s = (struct arrow_shape){.n_global = ng,
                              .n_leaf = n_leaf,
                              .r = r,
                              .ptr = ptr,
                              .idx = idx,
                              .full = used == n_leaf * ng};
    struct arrow G = {.global = nans(arrow_global_size(s)),
                      .leaf = nans(arrow_leaf_size(s)),
                      .cross = nans(arrow_cross_size(s))};
    for (int j = 0; j < ng; j++)
        for (int i = j; i < ng; i++) AT(G.global, i, j, ng) = AT(D, i, j, dim);
    for (int l = 0; l < n_leaf; l++)
        for (int c = 0; c < r; c++) {
            int at = ng + l * r, k = ptr[l + 1] - ptr[l];
            for (int e = c; e < r; e++)
                G.leaf[(l * r + c) * r + e] = AT(D, at + e, at + c, dim);
            for (int a = 0; a < k; a++)
                G.cross[ptr[l] * r + c * k + a] = AT(D, idx[ptr[l] + a], at + c, dim);
        }
    d->m.G = G;
    d->m.h = h;
    d->m.n = d->n;
}

/* Two fixed effects; a global factor with `stride` and a leaf factor with r coefficients per
 * level, the first of them an intercept. Every coefficient of a level has SD 1. */
static struct sim simulate(int n, int n_wide, int stride, int n_leaf, int r, double noise)
{
    struct sim d = {.n = n};
    int ng = 2 + n_wide * stride, dim = ng + n_leaf * r;
    double *u = normals((size_t) dim), *x = normals((size_t) n);
    d.C = zeros((size_t) (n * dim));
    d.y = normals((size_t) n);
    u[0] = 0.5;
    u[1] = 0.8;
    for (int i = 0; i < n; i++) {
        AT(d.C, i, 0, n) = 1;
        AT(d.C, i, 1, n) = x[i];
        for (int b = 0; n_wide && b < stride; b++)
            AT(d.C, i, 2 + i * i % n_wide * stride + b, n) = b ? norm_rand() : 1;
        for (int b = 0; n_leaf && b < r; b++) /* unbalanced */
            AT(d.C, i, ng + (7 * i + i / 11) % n_leaf * r + b, n) = b ? norm_rand() : 1;
        d.y[i] *= noise;
        for (int j = 0; j < dim; j++) d.y[i] += AT(d.C, i, j, n) * u[j];
    }
    set_gram(&d, ng, n_leaf, r);
    d.m.p = 2;
    return d;
}

static void normal_beta(struct lmm *m)
{
    static const double Tb[4] = {0.3, 0.1, 0.1, 0.5}, mu[2] = {1, -1};
    m->Tb = copy(4, Tb);
    m->mu = copy(2, mu);
    m->logdet_Tb = log(0.3 * 0.5 - 0.1 * 0.1);
}

static struct precision wishart(int r, double df, const double *rate)
{
    return (struct precision){.r = r, .df0 = df, .rate0 = copy((size_t) (r * r), rate)};
}

static struct precision half_t(int r, double nu, const double *aux_rate)
{
    return (struct precision){.r = r,
                              .df0 = nu + r - 1,
                              .nu = nu,
                              .rate0 = zeros((size_t) (r * r)),
                              .aux_rate = copy((size_t) r, aux_rate)};
}

/* pr becomes the next precision of m; the auxiliaries are numbered anew. */
static void add(struct lmm *m, struct precision pr, bool leaf, int levels, int first,
                int stride)
{
    m->first_term = 1; /* precision 0 is tau_e */
    pr.leaf = leaf;
    pr.factor = leaf ? 0 : 1;
    pr.n_levels = levels;
    pr.first = first;
    pr.stride = stride;
    pr.block = leaf ? 0 : 2; /* the one global factor follows two fixed effects */
    pr.at = m->n_stat;
    m->prec[m->n_prec++] = pr;
    m->n_par = m->n_stat += vech_size(pr.r);
    for (int k = 0; k < m->n_prec; k++) {
        m->prec[k].aux = m->prec[k].nu > 0 ? m->n_par : -1;
        if (m->prec[k].nu > 0) m->n_par += m->prec[k].r;
    }
}

struct sim sim_regression(void)
{
    struct sim d = simulate(120, 0, 0, 0, 1, 0.7);
    d.m.flat = true;
    d.m.Tb = zeros(4);
    d.m.mu = zeros(2);
    add(&d.m, wishart(1, 4, (double[]){2}), false, 0, 0, 0); /* Gamma(2, 1) */
    return d;
}

struct sim sim_intercept(int n, int n_leaf, double noise)
{
    struct sim d = simulate(n, 0, 0, n_leaf, 1, noise);
    normal_beta(&d.m);
    add(&d.m, half_t(1, 4, (double[]){0.5}), false, 0, 0, 0);
    add(&d.m, half_t(1, 3, (double[]){0.25}), true, n_leaf, 0, 0);
    return d;
}

struct sim sim_general(bool rich)
{
    static const double R[4] = {2, 0.5, 0.5, 1.5}, A[2] = {0.5, 1.5}, one[1] = {1};
    struct sim d = rich ? simulate(90, 4, 3, 9, 3, 0.7) : simulate(60, 5, 1, 12, 2, 0.7);
    normal_beta(&d.m);
    add(&d.m, wishart(1, 3, one), false, 0, 0, 0);
    if (rich) {
        add(&d.m, half_t(2, 2, A), true, 9, 0, 0);
        add(&d.m, wishart(2, 5, R), false, 4, 2, 3);
        add(&d.m, wishart(1, 5, one), true, 9, 2, 0);
        add(&d.m, half_t(1, 2, A), false, 4, 4, 3);
    } else {
        add(&d.m, wishart(2, 5, R), true, 12, 0, 0);
        add(&d.m, half_t(1, 2, A), false, 5, 2, 1);
    }
    return d;
}

struct lmm no_data(const struct lmm *m)
{
    struct lmm out = *m;
    out.G = (struct arrow){.global = zeros(arrow_global_size(&m->shape)),
                           .leaf = zeros(arrow_leaf_size(&m->shape)),
                           .cross = zeros(arrow_cross_size(&m->shape))};
    out.h = zeros(arrow_dim(&m->shape));
    out.yy = out.n = 0;
    return out;
}

bool on_diagonal(const struct lmm *m, int i)
{
    for (int k = 0; k < m->n_prec; k++)
        for (int b = 0; b < m->prec[k].r; b++)
            if (i == m->prec[k].at + vech_at(m->prec[k].r, b, b)) return true;
    return i >= m->n_stat;
}

double *start_of(const struct lmm *m, double diagonal, double aux)
{
    double *t = zeros((size_t) m->n_par);
    for (int i = 0; i < m->n_par; i++)
        if (on_diagonal(m, i)) t[i] = i < m->n_stat ? diagonal : aux;
    return t;
}

double mean_and_se2(int n, const double *x, double (*f)(double), double *se2)
{
    enum { BATCHES = 40 };
    double sum = 0, sq = 0;
    int size = n / BATCHES;
    for (int b = 0; b < BATCHES; b++) {
        double s = 0;
        for (int i = 0; i < size; i++) s += f(x[b * size + i]) / size;
        sum += s;
        sq += s * s;
    }
    double mean = sum / BATCHES;
    *se2 = (sq / BATCHES - mean * mean) / (BATCHES - 1);
    return mean;
}

double identity(double x) { return x; }

/* E Lambda = df R^-1 */
static void check_wishart(const struct precision *pr, int n, const double *x)
{
    double *inv = nans((size_t) (pr->r * pr->r)), se2;
    naive_inverse(pr->r, pr->rate0, inv);
    for (int b = 0; b < pr->r; b++)
        for (int a = b; a < pr->r; a++) {
            double mean = mean_and_se2(n, x + vech_at(pr->r, a, b) * n, identity, &se2);
            CHECK(fabs(mean - pr->df0 * AT(inv, a, b, pr->r)) < 5 * sqrt(se2));
        }
}

/* A half-t SD with nu = 2 has median A sqrt(2/3). */
static void check_half_t(const struct precision *pr, int n, const double *x)
{
    int r = pr->r, stats = vech_size(r);
    double *L = nans((size_t) (r * r)), *inv = nans((size_t) (r * r));
    double *v = nans((size_t) stats), *below = nans((size_t) (n * r)), se2;
    CHECK(pr->nu == 2);
    for (int i = 0; i < n; i++) {
        for (int s = 0; s < stats; s++) v[s] = x[s * n + i];
        vech_unpack(r, v, L);
        naive_inverse(r, L, inv);
        for (int a = 0; a < r; a++)
            AT(below, i, a, n) = AT(inv, a, a, r) * pr->aux_rate[a] < 2.0 / 3;
    }
    for (int a = 0; a < r; a++) {
        double err = mean_and_se2(n, below + a * n, identity, &se2) - 0.5;
        CHECK(fabs(err) < 5 * sqrt(se2) && se2 < 1e-3);
    }
}

void check_prior_precisions(const struct lmm *m, int from, int n, const double *draws)
{
    for (int k = from; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        (pr->aux < 0 ? check_wishart : check_half_t)(pr, n, draws + pr->at * n);
    }
}
