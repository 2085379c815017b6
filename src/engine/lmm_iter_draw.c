/* lmm_iter_draw.c: see lmm_iter_draw.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "engine/lmm_iter_draw.h"

/* Relative change of x_R over the last steps that is small enough for a draw. */
static const double TOL_DRAW = 1e-4;

enum {
    N = LMM_ITER_DRAWS,
    STEPS = LMM_ITER_STEPS,
    LOOK = 4 /* steps between two looks */
};

struct lmm_iter_draw lmm_iter_draw_carve(const struct lmm_iter *x, struct arena *a)
{
    struct lmm_iter_draw d;
    d.basis = arena_doubles(a, (STEPS + 1) * N * (size_t) x->n_R);
    d.alpha = arena_doubles(a, N * STEPS);
    d.beta = arena_doubles(a, N * STEPS);
    d.small = arena_doubles(a, STEPS * STEPS + 6 * STEPS);
    d.e = arena_doubles(a, N * (size_t) x->n_e);
    d.root = arena_doubles(a, (size_t) x->n_e * (size_t) x->n_e);
    return d;
}

static void dots(size_t n, const double *u, const double *v, double out[N])
{
    memset(out, 0, sizeof(double) * N);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < N; c++) out[c] += u[i * N + c] * v[i * N + c];
}

/* v -= a u, of every column its own. */
static void subtract(size_t n, const double a[N], const double *u, double *v)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < N; c++) v[i * N + c] -= a[c] * u[i * N + c];
}

static void scale_rows(size_t n, const double *M, const double *from, double *to)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < N; c++) to[i * N + c] = from[i * N + c] / sqrt(M[i]);
}

/* One step: the next vector of every column's basis. */
static void lanczos_step(struct lmm_iter_cov *S, int k, struct lmm_iter_draw *d)
{
    size_t n = (size_t) S->x->n_R, size = n * N;
    double *v = d->basis + (size_t) k * size, *next = v + size, a[N], b[N];
    scale_rows(n, S->op.jacobi, v, S->cg.p);
    lmm_iter_op_schur(&S->op, N, S->cg.p, S->cg.Sp);
    scale_rows(n, S->op.jacobi, S->cg.Sp, next);
    dots(n, v, next, d->alpha + k * N);
    for (int again = 0; again < 2; again++)
        for (int j = k; j >= 0; j--) { /* against all: rounding undoes the recurrence */
            dots(n, d->basis + (size_t) j * size, next, a);
            subtract(n, a, d->basis + (size_t) j * size, next);
        }
    dots(n, next, next, b);
    for (int c = 0; c < N; c++) {
        d->beta[k * N + c] = sqrt(b[c]);
        a[c] = b[c] > 1e-24 ? 1 / sqrt(b[c]) : 0;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < N; c++) next[i * N + c] *= a[c];
}

/* y (k) <- T^-1/2 e_1 of column c after k steps. False when T is not positive definite. */
static bool inverse_root(const struct lmm_iter_draw *d, int c, int k, double *y)
{
    double *Q = d->small, *a = Q + STEPS * STEPS, *b = a + STEPS, *work = b + STEPS;
    int info, ld = STEPS, all = k;
    for (int i = 0; i < all; i++) {
        a[i] = d->alpha[i * N + c];
        b[i] = d->beta[i * N + c];
        if (b[i] < 1e-12) k = i < k ? i + 1 : k; /* the space is complete */
    }
    F77_CALL(dstev)("V", &k, a, b, Q, &ld, work, &info FCONE);
    if (info) return false;
    memset(y, 0, sizeof(double) * (size_t) all);
    for (int j = 0; j < k; j++) {
        if (!(a[j] > 0)) return false;
        double s = AT(Q, 0, j, ld) / sqrt(a[j]);
        for (int i = 0; i < k; i++) y[i] += s * AT(Q, i, j, ld);
    }
    return true;
}

/* The relative change of every column's coefficients since `before` steps, the largest; y: those now. */
static double change(const struct lmm_iter_draw *d, int k, int before, double y[N][STEPS])
{
    double worst = 0;
    for (int c = 0; c < N; c++) {
        double now[STEPS], diff = 0, size = 0;
        if (!inverse_root(d, c, k, now)) return NAN;
        for (int i = 0; i < k; i++) {
            double old = i < before ? y[c][i] : 0;
            diff += (now[i] - old) * (now[i] - old);
            size += now[i] * now[i];
            y[c][i] = now[i];
        }
        worst = fmax(worst, sqrt(diff / size));
    }
    return worst;
}

/* S->cg.R <- draws of N(0, A^-1), but for the constants. */
static bool schur_draws(struct lmm_iter_cov *S, const struct ziggurat *zig,
                        struct lmm_iter_draw *d)
{
    size_t n = (size_t) S->x->n_R, size = n * N;
    double length[N], y[N][STEPS];
    bool done = false;
    int k = 0, most = n < STEPS ? (int) n : STEPS;
    rand_normals(zig, size, d->basis);
    dots(n, d->basis, d->basis, length);
    for (size_t i = 0; i < size; i++) d->basis[i] /= sqrt(length[i % N]);
    for (int before = 0; !done && k < most;) {
        lanczos_step(S, k++, d);
        if (k % LOOK && k < most) continue;
        double now = change(d, k, before, y);
        if (isnan(now)) return false;
        done = now < TOL_DRAW || k == (int) n;
        before = k;
    }
    memset(S->cg.R, 0, sizeof(double) * size);
    for (int j = 0; j < k; j++)
        for (size_t i = 0; i < size; i++)
            S->cg.R[i] +=
                y[i % N][j] * sqrt(length[i % N]) * d->basis[(size_t) j * size + i];
    scale_rows(n, S->op.jacobi, S->cg.R, S->cg.R);
    return done;
}

/* S->cg.R: the part in the space of the constants anew, W E^-1/2 z. */
static void draw_constants(struct lmm_iter_cov *S, const struct ziggurat *zig)
{
    const struct lmm_iter *x = S->x;
    int n = S->op.n_coarse;
    double c[LMM_MAX_PREC], z[LMM_MAX_PREC];
    for (int j = 0; j < N; j++) {
        memset(c, 0, sizeof(c));
        for (int i = 0; i < x->n_R; i++)
            for (int f = 0; f < n; f++) c[f] -= S->op.SW[i * n + f] * S->cg.R[i * N + j];
        la_solve_l(n, S->op.E, c);
        rand_normals(zig, (size_t) n, z);
        for (int f = 0; f < n; f++) c[f] += z[f];
        la_solve_lt(n, S->op.E, c);
        for (int f = 1; f < x->n_big; f++)
            for (int i = 0; i < x->factor[f].n; i++)
                S->cg.R[(x->factor[f].at + i) * N + j] += c[f - 1];
    }
}

/* Four draws; those from `keep` on are dropped. */
static bool four(struct lmm_iter_cov *S, const struct ziggurat *zig, int keep,
                 double *theta, struct lmm_iter_draw *d)
{
    const struct lmm_iter *x = S->x;
    size_t dim = arrow_dim(&x->m->shape);
    int n_e = x->n_e, one = 1;
    if (x->n_R && !schur_draws(S, zig, d)) return false;
    if (x->n_R) draw_constants(S, zig);
    rand_normals(zig, (size_t) x->n_leaf * N, S->cg.l);
    scale_rows((size_t) x->n_leaf, S->op.D_l, S->cg.l, S->cg.l);
    if (x->n_R) lmm_iter_op_back(&S->op, N, S->cg.R, S->cg.l);
    for (int c = 0; c < keep; c++) {
        double *to = theta + (size_t) c * dim;
        for (int f = 0; f < x->n_big; f++) {
            const double *from = (f ? S->cg.R + x->factor[f].at * N : S->cg.l) + c;
            for (int i = 0; i < x->factor[f].n; i++)
                to[x->factor[f].first + i] = from[i * N];
        }
        rand_normals(zig, (size_t) n_e, d->e);
        if (n_e) F77_CALL(dtrmv)
        ("L", "N", "N", &n_e, d->root, &n_e, d->e, &one FCONE FCONE FCONE);
        lmm_iter_cov_spread(S, d->e, to);
    }
    return true;
}

bool lmm_iter_draw_run(struct lmm_iter_cov *S, const struct ziggurat *zig, int n,
                       double *theta, struct lmm_iter_draw *d)
{
    size_t dim = arrow_dim(&S->x->m->shape), n_e = (size_t) S->x->n_e;
    memcpy(d->root, S->S_ee, sizeof(double) * n_e * n_e);
    if (la_chol(S->x->n_e, d->root)) return false;
    for (int from = 0; from < n; from += N) {
        if (core_stop(S->cg.hooks, from)) S->cg.stopped = true;
        if (S->cg.stopped) return false;
        if (!four(S, zig, n - from < N ? n - from : N, theta + (size_t) from * dim, d))
            return false;
    }
    return true;
}
