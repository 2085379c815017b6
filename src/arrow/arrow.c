/* arrow.c: factor, solve, draw, log-determinant and selected inverse of an arrow matrix
 * (see arrow.h for the layout). Kernels assume a valid shape; r_model() checks it. */
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "arrow/arrow.h"
#include "arrow/schur.h"

struct arrow arrow_carve(const struct arrow_shape *s, struct arena *a)
{
    struct arrow m;
    m.global = arena_doubles(a, arrow_global_size(s));
    m.leaf = arena_doubles(a, arrow_leaf_size(s));
    m.cross = arena_doubles(a, arrow_cross_size(s));
    m.core = m.elim = NULL;
    if (s->n_elim) {
        m.core = arena_doubles(a, (size_t) s->n_core * (size_t) (s->n_core + 1));
        m.elim = arena_doubles(a, (size_t) s->eptr[s->n_elim] + (size_t) s->n_elim);
    }
    return m;
}

/* Piece i of a leaf array, of a cross array, and of a vector. */
static inline size_t leaf_at(const struct arrow_shape *s, int i)
{
    return (size_t) i * (size_t) s->r * (size_t) s->r;
}
static inline size_t cross_at(const struct arrow_shape *s, int i)
{
    return (size_t) s->ptr[i] * (size_t) s->r;
}
static inline size_t vec_at(const struct arrow_shape *s, int i)
{
    return (size_t) s->n_global + (size_t) i * (size_t) s->r;
}

void arrow_outer(const struct arrow_shape *s, const double *cross, double alpha,
                 double *out)
{
    int ng = s->n_global;
    if (s->n_leaf == 0 || ng == 0) return;
    if (s->full) { /* the pieces side by side are one n_global x (n_leaf r) matrix */
        int cols = s->n_leaf * s->r;
        double one = 1;
        F77_CALL(dsyrk)
        ("L", "N", &ng, &cols, &alpha, cross, &ng, &one, out, &ng FCONE FCONE);
        return;
    }
    for (int i = 0; i < s->n_leaf; i++) {
        int k = s->ptr[i + 1] - s->ptr[i];
        const int *col = s->idx + s->ptr[i];
        for (int c = 0; c < s->r; c++) {
            const double *v = cross + cross_at(s, i) + (size_t) c * (size_t) k;
            for (int b = 0; b < k; b++) {
                double t = alpha * v[b];
                for (int a = b; a < k; a++)
                    out[arrow_shape_at(s, col[a], col[b])] += t * v[a];
            }
        }
    }
}

void arrow_outer_rows(const struct arrow_shape *s, const double *cross, int a, int b,
                      double *out)
{
    int ng = s->n_global;
    if (s->n_leaf == 0 || ng == 0) return;
    if (s->full) { /* column a of every piece: stride r in the n_global x (n_leaf r) matrix */
        int n = s->n_leaf, ld = ng * s->r;
        double one = 1;
        const double *va = cross + (size_t) a * (size_t) ng,
                     *vb = cross + (size_t) b * (size_t) ng;
        F77_CALL(dgemm)
        ("N", "T", &ng, &ng, &n, &one, va, &ld, vb, &ld, &one, out, &ng FCONE FCONE);
        return;
    }
    for (int i = 0; i < s->n_leaf; i++) {
        int k = s->ptr[i + 1] - s->ptr[i];
        const int *col = s->idx + s->ptr[i];
        const double *va = cross + cross_at(s, i) + (size_t) a * (size_t) k;
        const double *vb = cross + cross_at(s, i) + (size_t) b * (size_t) k;
        for (int y = 0; y < k; y++)
            for (int x = 0; x < k; x++) AT(out, col[x], col[y], ng) += va[x] * vb[y];
    }
}

/* out <- A (or zeros), element by element of the pattern: a small part of the block. */
static void set_pattern(const struct arrow_shape *s, const double *A, double *out)
{
    for (int e = 0; e < s->n_elim; e++) {
        int j = s->elim[e];
        for (int a = s->eptr[e] - 1; a < s->eptr[e + 1]; a++) {
            size_t at = arrow_shape_low(s, j, a < s->eptr[e] ? j : s->eidx[a]);
            out[at] = A ? A[at] : 0;
        }
    }
    for (int b = 0; b < s->n_core; b++)
        for (int a = b; a < s->n_core; a++) {
            size_t at = arrow_shape_at(s, s->core[a], s->core[b]);
            out[at] = A ? A[at] : 0;
        }
}

void arrow_clear_global(const struct arrow_shape *s, double *A)
{
    if (s->n_elim && !s->packed)
        set_pattern(s, NULL, A);
    else
        memset(A, 0, sizeof(double) * arrow_global_size(s));
}

void arrow_copy_global(const struct arrow_shape *s, const double *A, double *out)
{
    if (s->n_elim && !s->packed)
        set_pattern(s, A, out);
    else
        memcpy(out, A, sizeof(double) * arrow_global_size(s));
}

enum core_status arrow_factor(const struct arrow_shape *s, const struct arrow *P,
                              struct arrow *F, struct core_info *info)
{
    arrow_copy_global(s, P->global, F->global);
    if (s->n_leaf) {
        memcpy(F->leaf, P->leaf, sizeof(double) * arrow_leaf_size(s));
        memcpy(F->cross, P->cross, sizeof(double) * arrow_cross_size(s));
    }
    for (int i = 0; i < s->n_leaf; i++) {
        double *L = F->leaf + leaf_at(s, i);
        if (la_chol(s->r, L)) {
            info->block = i;
            return CORE_NOT_PD_LEAF;
        }
        la_right_solve_lt(s->ptr[i + 1] - s->ptr[i], s->r, L, F->cross + cross_at(s, i));
    }
    arrow_outer(s, F->cross, -1.0, F->global); /* Schur complement of the leaves */
    int bad = schur_factor(s, F);
    if (bad) {
        info->block = bad - 1;
        return CORE_NOT_PD_GLOBAL;
    }
    return CORE_OK;
}

double arrow_logdet(const struct arrow_shape *s, const struct arrow *F)
{
    double sum = schur_logdet(s, F);
    for (int i = 0; i < s->n_leaf; i++) sum += la_logdet(s->r, F->leaf + leaf_at(s, i));
    return sum;
}

void arrow_backsolve(const struct arrow_shape *s, const struct arrow *F, double *x)
{
    schur_solve_lt(s, F, x);              /* x_g = L_g^-T x_g               */
    for (int i = 0; i < s->n_leaf; i++) { /* x_i = L_i^-T (x_i - W_i' x_g)  */
        int k = s->ptr[i + 1] - s->ptr[i];
        const int *col = s->idx + s->ptr[i];
        double *xi = x + vec_at(s, i);
        for (int c = 0; c < s->r; c++) {
            const double *w = F->cross + cross_at(s, i) + (size_t) c * (size_t) k;
            double t = xi[c];
            for (int a = 0; a < k; a++) t -= w[a] * x[col[a]];
            xi[c] = t;
        }
        la_solve_lt(s->r, F->leaf + leaf_at(s, i), xi);
    }
}

void arrow_forwardsolve(const struct arrow_shape *s, const struct arrow *F, double *x)
{
    for (int i = 0; i < s->n_leaf; i++) { /* x_i = L_i^-1 x_i, x_g -= W_i x_i */
        int k = s->ptr[i + 1] - s->ptr[i];
        const int *col = s->idx + s->ptr[i];
        double *xi = x + vec_at(s, i);
        la_solve_l(s->r, F->leaf + leaf_at(s, i), xi);
        for (int c = 0; c < s->r; c++) {
            const double *w = F->cross + cross_at(s, i) + (size_t) c * (size_t) k;
            for (int a = 0; a < k; a++) x[col[a]] -= w[a] * xi[c];
        }
    }
    schur_solve_l(s, F, x);
}

void arrow_unwhiten(const struct arrow_shape *s, const struct arrow *F,
                    const double *centre, double *x)
{
    size_t dim = arrow_dim(s);
    arrow_backsolve(s, F, x);
    for (size_t i = 0; i < dim; i++) x[i] += centre[i];
}

void arrow_solve(const struct arrow_shape *s, const struct arrow *F, double *x)
{
    arrow_forwardsolve(s, F, x);
    arrow_backsolve(s, F, x);
}

/* y[i] and y[j] <- what element a in (i, j) and (j, i) adds. */
static inline void mul_pair(double a, int i, int j, const double *x, double *y)
{
    y[i] += a * x[j];
    if (i != j) y[j] += a * x[i];
}

static void mul_packed(const struct arrow_shape *s, const double *A, const double *x,
                       double *y)
{
    const double *lists = A + arrow_shape_lists(s), *d = A + arrow_shape_diagonal(s);
    memset(y, 0, sizeof(double) * (size_t) s->n_global);
    for (int b = 0; b < s->n_core; b++)
        for (int a = b; a < s->n_core; a++)
            mul_pair(AT(A, a, b, s->n_core), s->core[a], s->core[b], x, y);
    for (int e = 0; e < s->n_elim; e++) {
        mul_pair(d[e], s->elim[e], s->elim[e], x, y);
        for (int a = s->eptr[e]; a < s->eptr[e + 1]; a++)
            mul_pair(lists[a], s->eidx[a], s->elim[e], x, y);
    }
}

static void mul_global(const struct arrow_shape *s, const double *A, const double *x,
                       double *y)
{
    double one = 1, zero = 0;
    int inc = 1, n = s->n_global;
    if (s->packed)
        mul_packed(s, A, x, y);
    else if (n)
        F77_CALL(dsymv)("L", &n, &one, A, &n, x, &inc, &zero, y, &inc FCONE);
}

void arrow_mul(const struct arrow_shape *s, const struct arrow *P, const double *x,
               double *y)
{
    mul_global(s, P->global, x, y);
    for (int i = 0; i < s->n_leaf; i++) {
        int k = s->ptr[i + 1] - s->ptr[i], r = s->r;
        const int *col = s->idx + s->ptr[i];
        const double *D = P->leaf + leaf_at(s, i), *xi = x + vec_at(s, i);
        double *yi = y + vec_at(s, i);
        for (int c = 0; c < r; c++) {
            const double *b = P->cross + cross_at(s, i) + (size_t) c * (size_t) k;
            double t = 0;
            for (int e = 0; e < r; e++)
                t += (e < c ? AT(D, c, e, r) : AT(D, e, c, r)) * xi[e];
            for (int a = 0; a < k; a++) {
                t += b[a] * x[col[a]];
                y[col[a]] += b[a] * xi[c];
            }
            yi[c] = t;
        }
    }
}

/* out (k) += S[list, list] q; each pair is looked up once. */
static void add_listed_packed(const struct arrow_shape *s, const double *S, int k,
                              const int *col, const double *q, double *out)
{
    for (int a = 0; a < k; a++) {
        out[a] += S[arrow_shape_packed_at(s, col[a], col[a])] * q[a];
        for (int b = 0; b < a; b++) {
            double sab = S[arrow_shape_packed_at(s, col[b], col[a])];
            out[a] += sab * q[b];
            out[b] += sab * q[a];
        }
    }
}

static void add_listed(const struct arrow_shape *s, const double *S, int k,
                       const int *col, const double *q, double *out)
{
    if (s->packed) {
        add_listed_packed(s, S, k, col, q, out);
        return;
    }
    for (int a = 0; a < k; a++) {
        const double *Sa = S + (size_t) col[a] * (size_t) s->n_global;
        double t = Sa[col[a]] * q[a], qa = q[a];
        for (int b = 0; b < a; b++) {
            double sab = Sa[col[b]];
            t += sab * q[b];
            out[b] += sab * qa;
        }
        out[a] += t;
    }
}

/* s_leaf_i += Q_i S_gg Q_i' with q = Q_i' (k x r); sq: k x r scratch for S_gg Q_i'. */
static void add_leaf_spread(const struct arrow_shape *s, int i, const double *S,
                            const double *q, double *s_leaf, double *sq)
{
    int k = s->ptr[i + 1] - s->ptr[i], r = s->r;
    const int *col = s->idx + s->ptr[i];
    memset(sq, 0, sizeof(double) * (size_t) k * (size_t) r);
    for (int c = 0; c < r; c++)
        add_listed(s, S, k, col, q + (size_t) c * (size_t) k,
                   sq + (size_t) c * (size_t) k);
    for (int c = 0; c < r; c++)
        for (int e = 0; e < r; e++) {
            double t = 0;
            for (int a = 0; a < k; a++) t += AT(q, a, e, k) * AT(sq, a, c, k);
            AT(s_leaf, e, c, r) += t;
        }
}

/* d_inv and q from the factor. */
static void leaf_inverses(const struct arrow_shape *s, const struct arrow *F,
                          double *d_inv, double *q)
{
    if (s->n_leaf) memcpy(q, F->cross, sizeof(double) * arrow_cross_size(s));
    for (int i = 0; i < s->n_leaf; i++) {
        int k = s->ptr[i + 1] - s->ptr[i];
        const double *L = F->leaf + leaf_at(s, i);
        double *qi = q + cross_at(s, i);
        la_right_solve_l(k, s->r, L, qi); /* Q_i' = -W_i L_i^-1 */
        for (int a = 0; a < k * s->r; a++) qi[a] = -qi[a];
        la_inverse(s->r, L, d_inv + leaf_at(s, i));
    }
}

void arrow_inverse(const struct arrow_shape *s, const struct arrow *F, double *S_global,
                   double *d_inv, double *q, double *s_leaf, double *scratch)
{
    schur_inverse(s, F, S_global);
    leaf_inverses(s, F, d_inv, q);
    arrow_spread_leaf(s, S_global, d_inv, q, s_leaf, scratch);
}

void arrow_pattern_inverse(const struct arrow_shape *s, const struct arrow *F,
                           struct arrow *S, double *d_inv, double *q, double *scratch)
{
    schur_selected(s, F, S);
    leaf_inverses(s, F, d_inv, q);
    arrow_spread_leaf(s, S->global, d_inv, q, S->leaf, scratch);
}

void arrow_selected_inverse(const struct arrow_shape *s, const struct arrow *F,
                            struct arrow *S, double *d_inv, double *q, double *scratch)
{
    arrow_pattern_inverse(s, F, S, d_inv, q, scratch);
    arrow_inverse_cross(s, S->global, q, S->cross);
}

void arrow_spread_leaf(const struct arrow_shape *s, const double *S_global,
                       const double *d_inv, const double *q, double *s_leaf,
                       double *scratch)
{
    if (s->n_leaf) memcpy(s_leaf, d_inv, sizeof(double) * arrow_leaf_size(s));
    for (int i = 0; i < s->n_leaf; i++)
        add_leaf_spread(s, i, S_global, q + cross_at(s, i), s_leaf + leaf_at(s, i),
                        scratch);
}

/* cross_i <- S[list, list] q_i, added to what is there when `add`. */
static void spread_cross(const struct arrow_shape *s, const double *S, const double *q,
                         bool add, double *cross)
{
    int ng = s->n_global, cols = s->n_leaf * s->r;
    if (s->n_leaf == 0 || ng == 0) return;
    if (s->full) {
        double one = 1, beta = add;
        F77_CALL(dgemm)
        ("N", "N", &ng, &cols, &ng, &one, S, &ng, q, &ng, &beta, cross, &ng FCONE FCONE);
        return;
    }
    if (!add) memset(cross, 0, sizeof(double) * arrow_cross_size(s));
    for (int i = 0; i < s->n_leaf; i++) {
        int k = s->ptr[i + 1] - s->ptr[i];
        for (int c = 0; c < s->r; c++) {
            size_t at = cross_at(s, i) + (size_t) c * (size_t) k;
            add_listed(s, S, k, s->idx + s->ptr[i], q + at, cross + at);
        }
    }
}

void arrow_inverse_cross(const struct arrow_shape *s, const double *S_global,
                         const double *q, double *cross)
{
    spread_cross(s, S_global, q, false, cross);
}

struct arrow_push_work arrow_push_carve(const struct arrow_shape *s, struct arena *a)
{
    struct arrow_push_work w;
    size_t nc = (size_t) s->n_core, ng = (size_t) s->n_global;
    size_t core = 4 * nc * nc > ng ? 4 * nc * nc : ng;
    w.M = arena_doubles(a, arrow_global_size(s));
    w.T = arena_doubles(a, s->n_elim ? core : arrow_global_size(s));
    w.dq_global = arena_doubles(a, s->n_elim ? (size_t) s->eptr[s->n_elim] : 0);
    w.Y = arena_doubles(a, arrow_cross_size(s));
    w.dq = arena_doubles(a, arrow_cross_size(s));
    return w;
}

/* M += sum_i (Y_i q_i' + q_i Y_i'), lower triangle. */
static void outer_sum(const struct arrow_shape *s, const double *Y, const double *q,
                      double *M)
{
    int ng = s->n_global, cols = s->n_leaf * s->r;
    double one = 1;
    if (s->n_leaf == 0 || ng == 0) return;
    if (s->full) {
        F77_CALL(dsyr2k)
        ("L", "N", &ng, &cols, &one, Y, &ng, q, &ng, &one, M, &ng FCONE FCONE);
        return;
    }
    for (int i = 0; i < s->n_leaf; i++) {
        int k = s->ptr[i + 1] - s->ptr[i];
        const int *col = s->idx + s->ptr[i];
        for (int c = 0; c < s->r; c++) {
            size_t at = cross_at(s, i) + (size_t) c * (size_t) k;
            arrow_shape_add_pair(s, M, k, col, Y + at, q + at);
        }
    }
}

/* Out = a B for a k x r piece and a symmetric r x r matrix B given by its lower triangle. */
static void times_sym(int k, int r, const double *a, const double *B, double scale,
                      double *out)
{
    for (int c = 0; c < r; c++)
        for (int x = 0; x < k; x++) {
            double t = 0;
            for (int e = 0; e < r; e++)
                t += AT(a, x, e, k) * (e < c ? AT(B, c, e, r) : AT(B, e, c, r));
            AT(out, x, c, k) = scale * t;
        }
}

/* dS_ll of leaf i from its dS_gl (`cross`). */
static void push_leaf(const struct arrow_shape *s, int i, const struct arrow *S,
                      const double *q, const double *d_inv, const struct arrow *dP,
                      const double *dq, struct arrow *dS)
{
    int k = s->ptr[i + 1] - s->ptr[i], r = s->r;
    const double *W = d_inv + leaf_at(s, i), *dD = dP->leaf + leaf_at(s, i);
    const double *qi = q + cross_at(s, i), *dqi = dq + cross_at(s, i);
    const double *Sc = S->cross + cross_at(s, i), *dSc = dS->cross + cross_at(s, i);
    double *out = dS->leaf + leaf_at(s, i);
    for (int c = 0; c < r; c++)
        for (int e = c; e < r; e++) {
            double t = 0;
            for (int x = 0; x < r; x++) /* -(W dD W)_ec */
                for (int y = 0; y < r; y++)
                    t -= AT(W, e, x, r) * (x < y ? AT(dD, y, x, r) : AT(dD, x, y, r)) *
                         AT(W, y, c, r);
            for (int a = 0; a < k; a++)
                t += AT(qi, a, e, k) * AT(dSc, a, c, k) +
                     AT(dqi, a, e, k) * AT(Sc, a, c, k);
            AT(out, e, c, r) = AT(out, c, e, r) = t;
        }
}

void arrow_inverse_push(const struct arrow_shape *s, const struct arrow *S,
                        const double *q, const double *d_inv, const struct arrow *dP,
                        struct arrow *dS, struct arrow_push_work *w)
{
    arrow_copy_global(s, dP->global, w->M);
    for (int i = 0; i < s->n_leaf; i++) {
        int k = s->ptr[i + 1] - s->ptr[i], r = s->r;
        size_t at = cross_at(s, i);
        times_sym(k, r, q + at, dP->leaf + leaf_at(s, i), 1, w->Y + at);
        double *tmp = w->Y + at;
        for (int a = 0; a < k * r; a++) { /* Y = dB + q dD / 2; dB + q dD waits in dS */
            double qd = tmp[a], dB = dP->cross[at + (size_t) a];
            dS->cross[at + (size_t) a] = dB + qd;
            tmp[a] = dB + 0.5 * qd;
        }
        times_sym(k, r, dS->cross + at, d_inv + leaf_at(s, i), -1, w->dq + at);
    }
    outer_sum(s, w->Y, q, w->M);
    schur_push(s, S, w->M, dS->global, w);
    spread_cross(s, dS->global, q, false, dS->cross);
    spread_cross(s, S->global, w->dq, true, dS->cross);
    for (int i = 0; i < s->n_leaf; i++) push_leaf(s, i, S, q, d_inv, dP, w->dq, dS);
}
