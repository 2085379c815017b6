/* schur.c: see schur.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/core.h"
#include "base/la.h"
#include "arrow/schur.h"

/* Column e of the elimination: itself, its list, and its place in arrow.elim. */
struct column {
    int j, k;
    const int *list;
    size_t at;
};
static inline struct column column(const struct arrow_shape *s, int e)
{
    return (struct column){s->elim[e], s->eptr[e + 1] - s->eptr[e], s->eidx + s->eptr[e],
                           (size_t) s->eptr[e]};
}
/* The number that goes with column e. */
static inline double *pivot(const struct arrow_shape *s, double *elim, int e)
{
    return elim + s->eptr[s->n_elim] + e;
}

static void take_core(const struct arrow_shape *s, const double *A, double *core)
{
    int n = s->n_core;
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++)
            AT(core, i, j, n) = A[arrow_shape_at(s, s->core[i], s->core[j])];
}

/* Both triangles of A over the core, from both of `core`. */
static void put_core(const struct arrow_shape *s, const double *core, double *A)
{
    int n = s->n_core;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++)
            A[arrow_shape_at(s, s->core[i], s->core[j])] = AT(core, i, j, n);
}

/* t in (i, j) and (j, i) of A. */
static void put_pair(const struct arrow_shape *s, double *A, int i, int j, double t)
{
    A[arrow_shape_at(s, i, j)] = A[arrow_shape_at(s, j, i)] = t;
}

int schur_factor(const struct arrow_shape *s, struct arrow *F)
{
    if (!s->n_elim) return la_chol(s->n_global, F->global);
    for (int e = 0; e < s->n_elim; e++)
        *pivot(s, F->elim, e) = F->global[arrow_shape_at(s, s->elim[e], s->elim[e])];
    for (int e = 0; e < s->n_elim; e++) {
        struct column c = column(s, e);
        double d = F->global[arrow_shape_at(s, c.j, c.j)], *l = pivot(s, F->elim, e),
               *w = F->elim + c.at;
        if (!(d > LA_PIVOT_TOL * *l) || !(d > 0) || !isfinite(d)) return c.j + 1;
        *l = sqrt(d);
        for (int a = 0; a < c.k; a++)
            w[a] = F->global[arrow_shape_low(s, c.j, c.list[a])] / *l;
        for (int b = 0; b < c.k; b++)
            for (int a = b; a < c.k; a++)
                F->global[arrow_shape_at(s, c.list[a], c.list[b])] -= w[a] * w[b];
    }
    take_core(s, F->global, F->core);
    int bad = la_chol(s->n_core, F->core);
    return bad ? s->core[bad - 1] + 1 : 0;
}

double schur_logdet(const struct arrow_shape *s, const struct arrow *F)
{
    if (!s->n_elim) return la_logdet(s->n_global, F->global);
    double sum = la_logdet(s->n_core, F->core);
    for (int e = 0; e < s->n_elim; e++) sum += 2 * log(*pivot(s, F->elim, e));
    return sum;
}

/* Solves with the core, its part of x set apart in the place behind the factor. */
static void solve_core(const struct arrow_shape *s, const struct arrow *F, double *x,
                       void (*solve)(int n, const double *L, double *b))
{
    double *y = F->core + (size_t) s->n_core * (size_t) s->n_core;
    for (int i = 0; i < s->n_core; i++) y[i] = x[s->core[i]];
    solve(s->n_core, F->core, y);
    for (int i = 0; i < s->n_core; i++) x[s->core[i]] = y[i];
}

void schur_solve_l(const struct arrow_shape *s, const struct arrow *F, double *x)
{
    if (!s->n_elim) {
        la_solve_l(s->n_global, F->global, x);
        return;
    }
    for (int e = 0; e < s->n_elim; e++) {
        struct column c = column(s, e);
        const double *w = F->elim + c.at;
        x[c.j] /= *pivot(s, F->elim, e);
        for (int a = 0; a < c.k; a++) x[c.list[a]] -= w[a] * x[c.j];
    }
    solve_core(s, F, x, la_solve_l);
}

void schur_solve_lt(const struct arrow_shape *s, const struct arrow *F, double *x)
{
    if (!s->n_elim) {
        la_solve_lt(s->n_global, F->global, x);
        return;
    }
    solve_core(s, F, x, la_solve_lt);
    for (int e = s->n_elim; e-- > 0;) {
        struct column c = column(s, e);
        const double *w = F->elim + c.at;
        double t = x[c.j];
        for (int a = 0; a < c.k; a++) t -= w[a] * x[c.list[a]];
        x[c.j] = t / *pivot(s, F->elim, e);
    }
}

/* Row and column j of S are those of the columns on its list, times q, and d + q'S_Nj: given all that
 * are eliminated later; S holds zeros of those before. */
static void inverse_column(const struct arrow_shape *s, const struct arrow *F, int e,
                           double *S)
{
    struct column c = column(s, e);
    size_t ng = (size_t) s->n_global;
    double l = *pivot(s, F->elim, e), *x = S + (size_t) c.j * ng, d = 1 / (l * l);
    for (int a = 0; a < c.k; a++) {
        const double *y = S + (size_t) c.list[a] * ng;
        double q = -F->elim[c.at + (size_t) a] / l;
        for (size_t i = 0; i < ng; i++) x[i] += q * y[i];
    }
    for (int a = 0; a < c.k; a++) d -= F->elim[c.at + (size_t) a] / l * x[c.list[a]];
    for (size_t i = 0; i < ng; i++) S[(size_t) c.j + i * ng] = x[i];
    x[c.j] = d;
}

void schur_inverse(const struct arrow_shape *s, const struct arrow *F, double *S)
{
    size_t ng = (size_t) s->n_global;
    if (!s->n_elim) {
        la_inverse(s->n_global, F->global, S);
        return;
    }
    memset(S, 0, sizeof(double) * ng * ng);
    for (int k = 0; k < s->n_core; k++) {
        double *x = S + (size_t) s->core[k] * ng;
        x[s->core[k]] = 1;
        solve_core(s, F, x, la_solve_l);
        solve_core(s, F, x, la_solve_lt);
    }
    for (int e = s->n_elim; e-- > 0;) inverse_column(s, F, e, S);
}

/* Last eliminated first: S_jN = q'S_NN, S_jj = d + q'S_Nj. */
void schur_selected(const struct arrow_shape *s, const struct arrow *F, struct arrow *S)
{
    if (!s->n_elim) {
        la_inverse(s->n_global, F->global, S->global);
        return;
    }
    la_inverse(s->n_core, F->core, S->core);
    put_core(s, S->core, S->global);
    for (int e = s->n_elim; e-- > 0;) {
        struct column c = column(s, e);
        double l = *pivot(s, F->elim, e), *q = S->elim + c.at;
        double d = *pivot(s, S->elim, e) = 1 / (l * l);
        for (int a = 0; a < c.k; a++) q[a] = -F->elim[c.at + (size_t) a] / l;
        for (int a = 0; a < c.k; a++) {
            double t = 0;
            for (int b = 0; b < c.k; b++)
                t += S->global[arrow_shape_at(s, c.list[b], c.list[a])] * q[b];
            put_pair(s, S->global, c.list[a], c.j, t);
            d += q[a] * t;
        }
        S->global[arrow_shape_at(s, c.j, c.j)] = d;
    }
}

/* dS <- -S M S for full S; M's lower triangle in, full out. The product is symmetric: of each
 * panel of columns only the rows from the diagonal down are computed. */
static void push_dense(int n, const double *S, double *M, double *T, double *dS)
{
    enum { PANEL = 96 };
    double one = 1, zero = 0, minus = -1;
    if (n == 0) return;
    la_fill_upper(n, M);
    F77_CALL(dgemm)("N", "N", &n, &n, &n, &one, S, &n, M, &n, &zero, T, &n FCONE FCONE);
    for (int j = 0; j < n; j += PANEL) {
        int cols = n - j < PANEL ? n - j : PANEL, rows = n - j;
        F77_CALL(dgemm)
        ("N", "N", &rows, &cols, &n, &minus, T + j, &n, S + (size_t) j * (size_t) n, &n,
         &zero, &AT(dS, j, j, n), &n FCONE FCONE);
    }
    la_fill_upper(n, dS);
}

/* As arrow_inverse_push() does with the leaves: M gets what each column sends to its list; then,
 * back from the core, dS_jN = dq'S_NN + q'dS_NN and dS_jj. */
void schur_push(const struct arrow_shape *s, const struct arrow *S, double *M, double *dS,
                struct arrow_push_work *w)
{
    if (!s->n_elim) {
        push_dense(s->n_global, S->global, M, w->T, dS);
        return;
    }
    for (int e = 0; e < s->n_elim; e++) {
        struct column c = column(s, e);
        double dD = M[arrow_shape_at(s, c.j, c.j)], d = *pivot(s, S->elim, e);
        const double *q = S->elim + c.at;
        double *dq = w->dq_global + c.at, *y = w->T;
        for (int a = 0; a < c.k; a++) {
            double dB = M[arrow_shape_low(s, c.j, c.list[a])];
            y[a] = dB + 0.5 * q[a] * dD;
            dq[a] = -(dB + q[a] * dD) * d;
        }
        arrow_shape_add_pair(s, M, c.k, c.list, y, q);
    }
    size_t nn = (size_t) s->n_core * (size_t) s->n_core;
    double *core_S = w->T, *core_M = w->T + nn, *T = core_M + nn, *out = T + nn;
    take_core(s, S->global, core_S);
    la_fill_upper(s->n_core, core_S);
    take_core(s, M, core_M);
    push_dense(s->n_core, core_S, core_M, T, out);
    put_core(s, out, dS);
    for (int e = s->n_elim; e-- > 0;) {
        struct column c = column(s, e);
        double dD = M[arrow_shape_at(s, c.j, c.j)], d = *pivot(s, S->elim, e),
               sum = -d * d * dD;
        const double *q = S->elim + c.at, *dq = w->dq_global + c.at;
        for (int a = 0; a < c.k; a++) {
            double t = 0;
            for (int b = 0; b < c.k; b++) {
                size_t at = arrow_shape_at(s, c.list[b], c.list[a]);
                t += dS[at] * q[b] + S->global[at] * dq[b];
            }
            put_pair(s, dS, c.list[a], c.j, t);
            sum += q[a] * t + dq[a] * S->global[arrow_shape_at(s, c.list[a], c.j)];
        }
        dS[arrow_shape_at(s, c.j, c.j)] = sum;
    }
}
