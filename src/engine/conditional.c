/* conditional.c: see conditional.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/rand.h"
#include "arrow/schur.h"
#include "engine/conditional.h"

struct conditional_work conditional_carve(const struct arrow_shape *s, bool dense,
                                          struct arena *a)
{
    size_t dim = arrow_dim(s);
    struct conditional_work w = {.solved = NULL};
    w.inv = arrow_carve(s, a);
    w.d_inv = arena_doubles(a, arrow_leaf_size(s));
    w.scratch = arena_doubles(a, (size_t) s->n_global * (size_t) (s->r ? s->r : 1));
    w.theta = arena_doubles(a, dim);
    w.dev = arena_doubles(a, dim);
    if (s->packed) w.quad = arrow_cov_quad_carve(s, a);
    w.solved = dense ? arena_doubles(a, dim * dim) : NULL;
    return w;
}

bool conditional_draws(const struct conditional *e, int n, const double *psi,
                       double *mean, double *draws)
{
    size_t dim = arrow_dim(e->shape), d = (size_t) e->d;
    const struct ziggurat zig = rand_ziggurat();
    for (int k = 0; k < n; k++) {
        const double *at = psi + (size_t) k * d;
        double *x = draws + (size_t) k * dim;
        bool same = k > 0 && memcmp(at, at - d, sizeof(double) * d) == 0;
        if (!same && !isfinite(e->log_density(e->ctx, at))) return false;
        if (!same && !e->moments(e->ctx, 1, mean)) return false;
        rand_normals(&zig, dim, x);
        arrow_unwhiten(e->shape, e->F, mean, x);
    }
    return true;
}

/* out (n x n, full) += w (S + dev dev') */
static void add_spread(int n, double w, const double *S, const double *dev, double *out)
{
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++)
            AT(out, i, j, n) += w * (AT(S, i, j, n) + dev[i] * dev[j]);
}

/* The same of the pattern of a packed global block: out += w (S + dev dev'). */
static void add_packed_spread(const struct arrow_shape *s, double w, const double *S,
                              const double *dev, double *out)
{
    size_t at = 0;
    for (int b = 0; b < s->n_core; b++)
        for (int a = 0; a < s->n_core; a++, at++)
            out[at] += w * (S[at] + dev[s->core[a]] * dev[s->core[b]]);
    for (int e = 0; e < s->n_elim; e++)
        for (int a = s->eptr[e]; a < s->eptr[e + 1]; a++, at++)
            out[at] += w * (S[at] + dev[s->elim[e]] * dev[s->eidx[a]]);
    for (int e = 0; e < s->n_elim; e++, at++)
        out[at] += w * (S[at] + dev[s->elim[e]] * dev[s->elim[e]]);
}

static void add_global_spread(const struct arrow_shape *s, double w, const double *S,
                              const double *dev, double *out)
{
    if (s->packed)
        add_packed_spread(s, w, S, dev, out);
    else
        add_spread(s->n_global, w, S, dev, out);
}

static void add_leaf_spreads(const struct arrow_shape *s, double w, const double *s_leaf,
                             const double *dev, double *out)
{
    size_t rr = (size_t) s->r * (size_t) s->r;
    for (int i = 0; i < s->n_leaf; i++)
        add_spread(s->r, w, s_leaf + (size_t) i * rr,
                   dev + s->n_global + (size_t) i * (size_t) s->r, out + (size_t) i * rr);
}

/* Diagonals of the selected inverse. */
static void node_variances(const struct arrow_shape *s, const struct arrow *inv,
                           double *var)
{
    for (int i = 0; i < s->n_global; i++) var[i] = inv->global[arrow_shape_at(s, i, i)];
    for (int i = 0; i < s->n_leaf; i++)
        for (int a = 0; a < s->r; a++)
            var[(size_t) s->n_global + (size_t) i * (size_t) s->r + (size_t) a] =
                inv->leaf[((size_t) i * (size_t) s->r + (size_t) a) * (size_t) s->r +
                          (size_t) a];
}

/* out (dim^2) += w (F^-T F^-1 + dev dev'), column by column of F^-1. */
static void add_dense(const struct conditional *e, double w, const double *dev,
                      double *solved, double *out)
{
    int n = (int) arrow_dim(e->shape);
    memset(solved, 0, sizeof(double) * (size_t) n * (size_t) n);
    for (int j = 0; j < n; j++) {
        AT(solved, j, j, n) = 1;
        arrow_forwardsolve(e->shape, e->F, solved + (size_t) j * (size_t) n);
    }
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++)
            AT(out, i, j, n) +=
                w * (dev[i] * dev[j] + la_dot(n, solved + (size_t) i * (size_t) n,
                                              solved + (size_t) j * (size_t) n));
}

/* c'theta ~ N(c'mean, |F^-1 c|^2): F^-1 touches one leaf and the global block only. */
static void row_moments(const struct conditional *e, const struct arrow_rows *rows,
                        const double *mean, double *work, double *row_mean,
                        double *row_var)
{
    const struct arrow_shape *s = e->shape;
    int ng = s->n_global, r = s->r;
    for (int i = 0; i < rows->n; i++) {
        arrow_cov_row(rows, ng, i, work);
        double var = 0, centre = la_dot(ng, work, mean);
        int leaf = rows->leaf[i];
        if (leaf >= 0) {
            double *y = work + ng; /* there is a leaf, so dim leaves room for r */
            int k = s->ptr[leaf + 1] - s->ptr[leaf];
            const int *col = s->idx + s->ptr[leaf];
            memcpy(y, rows->z + (size_t) i * (size_t) r, sizeof(double) * (size_t) r);
            centre += la_dot(r, y, mean + ng + (size_t) leaf * (size_t) r);
            la_solve_l(r, e->F->leaf + (size_t) leaf * (size_t) r * (size_t) r, y);
            const double *cross = e->F->cross + (size_t) s->ptr[leaf] * (size_t) r;
            for (int b = 0; b < r; b++)
                for (int a = 0; a < k; a++) work[col[a]] -= AT(cross, a, b, k) * y[b];
            var = la_dot(r, y, y);
        }
        schur_solve_l(s, e->F, work);
        row_mean[i] = centre;
        row_var[i] = var + la_dot(ng, work, work);
    }
}

/* The same from the inverse, where a row costs the lists that it meets. */
static void row_moments_packed(const struct arrow_shape *s, const struct arrow_rows *rows,
                               const double *mean, struct conditional_work *work,
                               double *row_mean, double *row_var)
{
    const struct arrow_cov S = {work->inv.global, work->inv.elim, work->d_inv,
                                work->inv.cross};
    for (int i = 0; i < rows->n; i++) {
        int leaf = rows->leaf[i];
        row_mean[i] = leaf < 0
                          ? 0
                          : la_dot(s->r, rows->z + (size_t) i * (size_t) s->r,
                                   mean + s->n_global + (size_t) leaf * (size_t) s->r);
        for (int c = rows->ptr[i]; c < rows->ptr[i + 1]; c++)
            row_mean[i] += rows->val[c] * mean[rows->idx[c]];
    }
    arrow_cov_quad(s, &S, rows, row_var, &work->quad);
}

static bool add_node(const struct conditional *e, double w, int k,
                     const struct arrow_rows *rows, struct conditional_mixture *out,
                     struct conditional_work *work)
{
    const struct arrow_shape *s = e->shape;
    size_t dim = arrow_dim(s);
    if (out->correction) out->correction[k] = *e->correction;
    if (!e->moments(e->ctx, w, work->theta)) return false;
    for (size_t i = 0; i < dim; i++) work->dev[i] = work->theta[i] - e->origin[i];
    for (size_t i = 0; i < dim; i++) out->mean[i] += w * work->dev[i];
    bool packed_rows = out->row_mean && s->packed && !rows->global;
    if (out->cov_global && !s->packed)
        arrow_inverse(s, e->F, work->inv.global, work->d_inv, work->inv.cross,
                      work->inv.leaf, work->scratch);
    else if (out->cov_global || out->node_var || packed_rows)
        arrow_pattern_inverse(s, e->F, &work->inv, work->d_inv, work->inv.cross,
                              work->scratch);
    if (out->within) memset(work->dev, 0, sizeof(double) * dim);
    if (out->cov_global) {
        add_global_spread(s, w, work->inv.global, work->dev, out->cov_global);
        add_leaf_spreads(s, w, work->inv.leaf, work->dev, out->cov_leaf);
    }
    if (out->node_mean)
        memcpy(out->node_mean + (size_t) k * dim, work->theta, sizeof(double) * dim);
    if (out->node_var) node_variances(s, &work->inv, out->node_var + (size_t) k * dim);
    if (out->cov) add_dense(e, w, work->dev, work->solved, out->cov);
    if (!out->row_mean) return true;
    size_t at = (size_t) k * (size_t) rows->n;
    if (packed_rows)
        row_moments_packed(s, rows, work->theta, work, out->row_mean + at,
                           out->row_var + at);
    else
        row_moments(e, rows, work->theta, work->dev, out->row_mean + at,
                    out->row_var + at);
    return true;
}

/* Deviations were taken from the centre, and E theta - centre is in mean. */
static void take_mean_square(const struct arrow_shape *s, struct conditional_work *work,
                             struct conditional_mixture *out)
{
    size_t dim = arrow_dim(s);
    if (out->cov_global) {
        memset(work->inv.global, 0, sizeof(double) * arrow_global_size(s));
        add_global_spread(s, -1, work->inv.global, out->mean, out->cov_global);
        if (s->n_leaf) {
            memset(work->inv.leaf, 0, sizeof(double) * arrow_leaf_size(s));
            add_leaf_spreads(s, -1, work->inv.leaf, out->mean, out->cov_leaf);
        }
    }
    if (!out->cov) return;
    for (size_t j = 0; j < dim; j++)
        for (size_t i = 0; i < dim; i++)
            out->cov[i + j * dim] -= out->mean[i] * out->mean[j];
}

enum core_status conditional_mixture(const struct conditional *e, int n,
                                     const double *psi, const double *w,
                                     const struct arrow_rows *rows,
                                     struct conditional_mixture *out,
                                     struct conditional_work *work,
                                     const struct core_hooks *h, struct core_info *info)
{
    const struct arrow_shape *s = e->shape;
    size_t dim = arrow_dim(s);
    for (int k = 0; k < n; k++) {
        info->iter = k;
        if (k % 16 == 0 && core_stop(h, k)) return CORE_INTERRUPTED;
        double f = e->log_density(e->ctx, psi + (size_t) k * (size_t) e->d);
        if (!isfinite(f) || !add_node(e, w[k], k, rows, out, work)) return CORE_NONFINITE;
    }
    if (!out->within) take_mean_square(s, work, out);
    for (size_t i = 0; i < dim; i++) out->mean[i] += e->origin[i];
    return CORE_OK;
}
