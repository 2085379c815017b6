/* glmm.c: the four row kernels (see glmm.h). */
#include <string.h>
#include "model/glmm.h"

/* Rows of a run, and the leaf they belong to (-1: none). */
struct run {
    int leaf;
    size_t from, to;
};

static struct run run_of(const struct glmm *g, int k)
{
    if (!g->lmm.shape.n_leaf) return (struct run){-1, 0, g->n};
    return (struct run){k, g->start[k], g->start[k + 1]};
}

static inline double leaf_z(const struct glmm *g, size_t i, int c)
{
    return g->z ? g->z[i * (size_t) g->lmm.shape.r + (size_t) c] : 1.0;
}
static inline double other_z(const struct glmm_factor *f, size_t i, int c)
{
    return f->z ? f->z[i * (size_t) f->r + (size_t) c] : 1.0;
}
static inline int leaf_width(const struct arrow_shape *s, int leaf)
{
    return leaf < 0 ? 0 : s->ptr[leaf + 1] - s->ptr[leaf];
}
static inline size_t vec_at(const struct arrow_shape *s, int leaf)
{
    return (size_t) s->n_global + (size_t) leaf * (size_t) s->r;
}

void glmm_mul(const struct glmm *g, const double *theta, double *out)
{
    const struct arrow_shape *s = &g->lmm.shape;
    int p = g->lmm.p;
    for (int k = 0; k < glmm_runs(g); k++) {
        struct run run = run_of(g, k);
        const double *u = run.leaf < 0 ? NULL : theta + vec_at(s, run.leaf);
        for (size_t i = run.from; i < run.to; i++) {
            const double *x = g->X + i * (size_t) p;
            double sum = 0;
            for (int a = 0; a < p; a++) sum += x[a] * theta[a];
            for (int f = 0; f < g->n_other; f++)
                for (int c = 0; c < g->other[f].r; c++)
                    sum += other_z(&g->other[f], i, c) * theta[g->other[f].col[i] + c];
            if (u)
                for (int c = 0; c < s->r; c++) sum += leaf_z(g, i, c) * u[c];
            out[i] = sum;
        }
    }
}

/* The fixed effects' part of three kernels: all rows, four at a time, so that an element of the
 * result is loaded and stored once for four. */
static void adjoint_fixed(const struct glmm *g, const double *x, double *out)
{
    size_t p = (size_t) g->lmm.p, i = 0;
    for (; i + 4 <= g->n; i += 4) {
        const double *a = g->X + i * p, *b = a + p, *c = b + p, *d = c + p;
        for (size_t k = 0; k < p; k++)
            out[k] += x[i] * a[k] + x[i + 1] * b[k] + x[i + 2] * c[k] + x[i + 3] * d[k];
    }
    for (; i < g->n; i++)
        for (size_t k = 0; k < p; k++) out[k] += x[i] * g->X[i * p + k];
}

/* Lower triangle of G += X'diag(w)X. */
static void gram_fixed(const struct glmm *g, const double *w, double *G)
{
    size_t p = (size_t) g->lmm.p, ng = (size_t) g->lmm.shape.n_global, i = 0;
    for (; i + 4 <= g->n; i += 4) {
        const double *a = g->X + i * p, *b = a + p, *c = b + p, *d = c + p;
        for (size_t j = 0; j < p; j++) {
            double wa = w[i] * a[j], wb = w[i + 1] * b[j], wc = w[i + 2] * c[j],
                   wd = w[i + 3] * d[j], *col = G + j * ng;
            for (size_t k = j; k < p; k++)
                col[k] += wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k];
        }
    }
    for (; i < g->n; i++)
        for (size_t j = 0; j < p; j++)
            for (size_t k = j; k < p; k++)
                G[j * ng + k] += w[i] * g->X[i * p + j] * g->X[i * p + k];
}

/* v <- x'S_bb x of every row. */
static void quad_fixed(const struct glmm *g, const double *S, double *v)
{
    size_t p = (size_t) g->lmm.p, ng = (size_t) g->lmm.shape.n_global, i = 0;
    for (; i + 4 <= g->n; i += 4) {
        const double *a = g->X + i * p, *b = a + p, *c = b + p, *d = c + p;
        double va = 0, vb = 0, vc = 0, vd = 0;
        for (size_t j = 0; j < p; j++) {
            const double *col = S + j * ng;
            double half = 0.5 * col[j], ta = half * a[j], tb = half * b[j],
                   tc = half * c[j], td = half * d[j];
            for (size_t k = j + 1; k < p; k++) {
                ta += col[k] * a[k];
                tb += col[k] * b[k];
                tc += col[k] * c[k];
                td += col[k] * d[k];
            }
            va += ta * a[j];
            vb += tb * b[j];
            vc += tc * c[j];
            vd += td * d[j];
        }
        v[i] = 2 * va;
        v[i + 1] = 2 * vb;
        v[i + 2] = 2 * vc;
        v[i + 3] = 2 * vd;
    }
    for (; i < g->n; i++) {
        const double *x = g->X + i * p;
        v[i] = 0;
        for (size_t j = 0; j < p; j++)
            for (size_t k = 0; k < p; k++) v[i] += S[j * ng + k] * x[j] * x[k];
    }
}

/* sum of x z_c over a run, by two sums that do not wait for each other. */
static double adjoint_leaf(const struct glmm *g, struct run run, int c, const double *x)
{
    double even = 0, odd = 0;
    size_t i = run.from;
    for (; i + 2 <= run.to; i += 2) {
        even += x[i] * leaf_z(g, i, c);
        odd += x[i + 1] * leaf_z(g, i + 1, c);
    }
    return even + odd + (i < run.to ? x[i] * leaf_z(g, i, c) : 0);
}

void glmm_adjoint(const struct glmm *g, const double *x, double *out)
{
    const struct arrow_shape *s = &g->lmm.shape;
    memset(out, 0, sizeof(double) * arrow_dim(s));
    adjoint_fixed(g, x, out);
    for (int k = 0; k < glmm_runs(g); k++) {
        struct run run = run_of(g, k);
        double *u = run.leaf < 0 ? NULL : out + vec_at(s, run.leaf);
        for (size_t i = run.from; i < run.to; i++)
            for (int f = 0; f < g->n_other; f++)
                for (int c = 0; c < g->other[f].r; c++)
                    out[g->other[f].col[i] + c] += x[i] * other_z(&g->other[f], i, c);
        for (int c = 0; u && c < s->r; c++) u[c] = adjoint_leaf(g, run, c, x);
    }
}

/* G += w c c' over the global columns of row i, less the fixed effects' own: lower triangle, but
 * pairs with the fixed effects above it, where they lie side by side. Those of a later factor come
 * after those of an earlier one. */
static void add_others(const struct glmm *g, size_t i, double w, double *G)
{
    int p = g->lmm.p, ng = g->lmm.shape.n_global;
    const double *x = g->X + i * (size_t) p;
    for (int f = 0; f < g->n_other; f++) {
        const struct glmm_factor *h = &g->other[f];
        for (int c = 0; c < h->r; c++) {
            double wz = w * other_z(h, i, c);
            double *row = G + (size_t) (h->col[i] + c);
            double *col = G + (size_t) (h->col[i] + c) * (size_t) ng;
            for (int b = 0; b < p; b++) col[b] += wz * x[b];
            for (int e = 0; e < f; e++)
                for (int d = 0; d < g->other[e].r; d++)
                    row[(size_t) (g->other[e].col[i] + d) * (size_t) ng] +=
                        wz * other_z(&g->other[e], i, d);
            for (int d = 0; d <= c; d++)
                row[(size_t) (h->col[i] + d) * (size_t) ng] += wz * other_z(h, i, d);
        }
    }
}

/* Row i in the leaf's piece (lower triangle) and in its cross block of width k, less the other
 * factors. */
static void add_leaf(const struct glmm *g, size_t i, double w, int k, double *D,
                     double *B)
{
    int p = g->lmm.p, r = g->lmm.shape.r;
    const double *x = g->X + i * (size_t) p;
    for (int c = 0; c < r; c++) {
        double wz = w * leaf_z(g, i, c), *b = B + (size_t) c * (size_t) k;
        for (int d = c; d < r; d++) AT(D, d, c, r) += wz * leaf_z(g, i, d);
        for (int a = 0; a < p; a++) b[a] += wz * x[a];
    }
}

/* Rows i, ..., i + 3 at once, as above. */
static void add_leaf_four(const struct glmm *g, size_t i, const double *w, int k,
                          double *D, double *B)
{
    size_t p = (size_t) g->lmm.p;
    int r = g->lmm.shape.r;
    const double *x = g->X + i * p, *y = x + p, *u = y + p, *v = u + p;
    for (int c = 0; c < r; c++) {
        double wx = w[i] * leaf_z(g, i, c), wy = w[i + 1] * leaf_z(g, i + 1, c),
               wu = w[i + 2] * leaf_z(g, i + 2, c), wv = w[i + 3] * leaf_z(g, i + 3, c),
               *b = B + (size_t) c * (size_t) k;
        for (int d = c; d < r; d++)
            AT(D, d, c, r) += wx * leaf_z(g, i, d) + wy * leaf_z(g, i + 1, d) +
                              wu * leaf_z(g, i + 2, d) + wv * leaf_z(g, i + 3, d);
        for (size_t a = 0; a < p; a++)
            b[a] += wx * x[a] + wy * y[a] + wu * u[a] + wv * v[a];
    }
}

/* The other factors in its cross block. */
static void add_leaf_others(const struct glmm *g, size_t i, double w, int k, double *B)
{
    for (int c = 0; c < g->lmm.shape.r; c++) {
        double wz = w * leaf_z(g, i, c), *b = B + (size_t) c * (size_t) k;
        for (int f = 0; f < g->n_other; f++)
            for (int d = 0; d < g->other[f].r; d++)
                b[g->other[f].pos[i] + d] += wz * other_z(&g->other[f], i, d);
    }
}

void glmm_gram(const struct glmm *g, const double *w, struct arrow *P)
{
    const struct arrow_shape *s = &g->lmm.shape;
    size_t rr = (size_t) s->r * (size_t) s->r;
    arrow_clear_global(s, P->global);
    for (int j = g->lmm.p; j < s->n_global; j++)
        memset(&AT(P->global, 0, j, s->n_global), 0, sizeof(double) * (size_t) g->lmm.p);
    if (s->n_leaf) {
        memset(P->leaf, 0, sizeof(double) * arrow_leaf_size(s));
        memset(P->cross, 0, sizeof(double) * arrow_cross_size(s));
    }
    gram_fixed(g, w, P->global);
    for (int k = 0; k < glmm_runs(g); k++) {
        struct run run = run_of(g, k);
        int width = leaf_width(s, run.leaf);
        double *D = run.leaf < 0 ? NULL : P->leaf + (size_t) k * rr;
        double *B = run.leaf < 0 ? NULL : P->cross + (size_t) s->ptr[k] * (size_t) s->r;
        size_t i = run.from;
        for (; D && i + 4 <= run.to; i += 4) add_leaf_four(g, i, w, width, D, B);
        for (; D && i < run.to; i++) add_leaf(g, i, w[i], width, D, B);
        for (i = run.from; g->n_other && i < run.to; i++) {
            add_others(g, i, w[i], P->global);
            if (D) add_leaf_others(g, i, w[i], width, B);
        }
    }
    for (int j = g->lmm.p; j < s->n_global; j++)
        for (int a = 0; a < g->lmm.p; a++)
            AT(P->global, j, a, s->n_global) = AT(P->global, a, j, s->n_global);
}

void glmm_add_prior(const struct glmm *g, const double *t, struct arrow *P)
{
    const struct lmm *m = &g->lmm;
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++)
                AT(P->global, i, j, m->shape.n_global) += AT(m->Tb, i, j, m->p);
    for (int k = m->first_term; k < m->n_prec; k++) lmm_add_term(m, k, t, P);
}

/* c_g'S_gg c_g of row i, less the fixed effects' own part; S full. */
static double quad_others(const struct glmm *g, size_t i, const double *S)
{
    int p = g->lmm.p, ng = g->lmm.shape.n_global;
    const double *x = g->X + i * (size_t) p;
    double sum = 0;
    for (int f = 0; f < g->n_other; f++) {
        const struct glmm_factor *h = &g->other[f];
        for (int c = 0; c < h->r; c++) {
            const double *col = S + (size_t) (h->col[i] + c) * (size_t) ng;
            double t = 0;
            for (int a = 0; a < p; a++) t += col[a] * x[a];
            for (int e = 0; e < f; e++)
                for (int d = 0; d < g->other[e].r; d++)
                    t += col[g->other[e].col[i] + d] * other_z(&g->other[e], i, d);
            for (int d = 0; d < c; d++) t += col[h->col[i] + d] * other_z(h, i, d);
            double zc = other_z(h, i, c);
            sum += zc * (2 * t + col[h->col[i] + c] * zc);
        }
    }
    return sum;
}

/* 2 c_g'S_gl z + z'S_ll z of row i, from the cross piece B of width k and the leaf piece D. */
static double quad_leaf(const struct glmm *g, size_t i, int k, const double *D,
                        const double *B)
{
    int p = g->lmm.p, r = g->lmm.shape.r;
    const double *x = g->X + i * (size_t) p;
    double sum = 0;
    for (int c = 0; c < r; c++) {
        const double *b = B + (size_t) c * (size_t) k;
        double t = 0;
        for (int a = 0; a < p; a++) t += b[a] * x[a];
        for (int f = 0; f < g->n_other; f++)
            for (int d = 0; d < g->other[f].r; d++)
                t += b[g->other[f].pos[i] + d] * other_z(&g->other[f], i, d);
        t *= 2;
        for (int d = 0; d < r; d++) t += AT(D, d, c, r) * leaf_z(g, i, d);
        sum += t * leaf_z(g, i, c);
    }
    return sum;
}

/* v += the same of rows i, ..., i + 3 where there is no other factor. */
static void quad_leaf_four(const struct glmm *g, size_t i, const double *D,
                           const double *B, double *v)
{
    size_t p = (size_t) g->lmm.p;
    int r = g->lmm.shape.r;
    const double *x = g->X + i * p, *y = x + p, *u = y + p, *w = u + p;
    for (int c = 0; c < r; c++) {
        const double *b = B + (size_t) c * p;
        double tx = 0, ty = 0, tu = 0, tw = 0;
        for (size_t a = 0; a < p; a++) {
            tx += b[a] * x[a];
            ty += b[a] * y[a];
            tu += b[a] * u[a];
            tw += b[a] * w[a];
        }
        for (int d = 0; d < r; d++) {
            double half = 0.5 * AT(D, d, c, r);
            tx += half * leaf_z(g, i, d);
            ty += half * leaf_z(g, i + 1, d);
            tu += half * leaf_z(g, i + 2, d);
            tw += half * leaf_z(g, i + 3, d);
        }
        v[i] += 2 * tx * leaf_z(g, i, c);
        v[i + 1] += 2 * ty * leaf_z(g, i + 1, c);
        v[i + 2] += 2 * tu * leaf_z(g, i + 2, c);
        v[i + 3] += 2 * tw * leaf_z(g, i + 3, c);
    }
}

void glmm_quad(const struct glmm *g, const struct arrow *S, double *v)
{
    const struct arrow_shape *s = &g->lmm.shape;
    size_t rr = (size_t) s->r * (size_t) s->r;
    quad_fixed(g, S->global, v);
    for (int k = 0; k < glmm_runs(g); k++) {
        struct run run = run_of(g, k);
        int width = leaf_width(s, run.leaf);
        const double *D = run.leaf < 0 ? NULL : S->leaf + (size_t) k * rr;
        const double *B =
            run.leaf < 0 ? NULL : S->cross + (size_t) s->ptr[k] * (size_t) s->r;
        size_t i = run.from;
        for (; D && !g->n_other && i + 4 <= run.to; i += 4) quad_leaf_four(g, i, D, B, v);
        for (; i < run.to; i++)
            v[i] += quad_others(g, i, S->global) + (D ? quad_leaf(g, i, width, D, B) : 0);
    }
}

struct likelihood_terms glmm_terms_carve(const struct glmm *g, struct arena *a)
{
    struct likelihood_terms e;
    double **row[] = {&e.f, &e.m, &e.v, &e.mm, &e.mv, &e.vv};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        *row[i] = arena_doubles(a, g->n);
    return e;
}
