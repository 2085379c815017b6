/* support.c: see support.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <R_ext/Random.h>
#include "support.h"

struct cell {
    struct cell *next;
    void *memory;
};
static struct cell *cells;

static void *pool(size_t bytes)
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
            AT(A, i, j, n) = AT(A, j, i, n) = unif_rand() - 0.5 + (i == j) * (1 + 0.5 * n);
    return A;
}

double *dense_of(const struct arrow_shape *s, const struct arrow *P)
{
    int dim = (int) arrow_dim(s), ng = s->n_global, r = s->r;
    double *D = zeros((size_t) dim * (size_t) dim);
    for (int j = 0; j < ng; j++)
        for (int i = j; i < ng; i++)
            AT(D, i, j, dim) = AT(D, j, i, dim) = AT(P->global, i, j, ng);
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

/* Arrow Gram, h and y'y of the data by plain loops; n_leaf = 0 for a regression. */
static void set_gram(struct sim *d, int p, int n_leaf)
{
    struct arrow_shape *s = &d->m.shape;
    int *ptr = ints((size_t) n_leaf + 1), *idx = ints((size_t) n_leaf * (size_t) p);
    for (int l = 0; l < n_leaf; l++) {
        ptr[l + 1] = ptr[l] + p;
        for (int j = 0; j < p; j++) idx[ptr[l] + j] = j;
    }
    *s = (struct arrow_shape){p, n_leaf, 1, ptr, idx, true};
    struct arrow G = {zeros(arrow_global_size(s)), zeros(arrow_leaf_size(s)),
                      zeros(arrow_cross_size(s))};
    double *h = zeros(arrow_dim(s));
    for (int i = 0; i < d->n; i++) {
        double y = d->y[i];
        d->m.yy += y * y;
        if (n_leaf) G.leaf[d->group[i]] += 1;
        if (n_leaf) h[p + d->group[i]] += y;
        for (int a = 0; a < p; a++) {
            double x = AT(d->X, i, a, d->n);
            h[a] += x * y;
            if (n_leaf) G.cross[d->group[i] * p + a] += x;
            for (int b = 0; b < p; b++) AT(G.global, a, b, p) += x * AT(d->X, i, b, d->n);
        }
    }
    d->m.G = G;
    d->m.h = h;
    d->m.p = p;
    d->m.n = d->n;
    d->m.n_prec = n_leaf ? 2 : 1;
}

static struct sim simulate(int rows, int n_leaf, double noise)
{
    struct sim d = {.n = rows};
    size_t n = (size_t) d.n;
    d.X = normals(2 * n);
    d.y = normals(n);
    d.group = ints(n);
    double *u = normals(n_leaf ? (size_t) n_leaf : 1);
    for (int i = 0; i < d.n; i++) {
        d.X[i] = 1;
        d.group[i] = n_leaf ? (7 * i + i / 11) % n_leaf : 0; /* unbalanced */
        d.y[i] = 0.5 + 0.8 * d.X[i + d.n] + noise * d.y[i] + (n_leaf ? u[d.group[i]] : 0);
    }
    set_gram(&d, 2, n_leaf);
    return d;
}

struct sim sim_regression(void)
{
    struct sim d = simulate(120, 0, 0.7);
    d.m.flat = true;
    d.m.Tb = zeros(4);
    d.m.mu = zeros(2);
    d.m.prior[0] = (struct precision_prior){.shape = 2, .rate = 1};
    return d;
}

struct sim sim_intercept(int n, int n_leaf, double noise)
{
    static const double Tb[4] = {0.3, 0.1, 0.1, 0.5}, mu[2] = {1, -1};
    struct sim d = simulate(n, n_leaf, noise);
    d.m.Tb = copy(4, Tb);
    d.m.mu = copy(2, mu);
    d.m.logdet_Tb = log(0.3 * 0.5 - 0.1 * 0.1);
    d.m.prior[0] = (struct precision_prior){.shape = 2, .df = 4, .aux_rate = 0.5};
    d.m.prior[1] = (struct precision_prior){.shape = 1.5, .df = 3, .aux_rate = 0.25};
    return d;
}
