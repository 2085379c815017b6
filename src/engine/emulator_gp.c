/* emulator_gp.c: see emulator_gp.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "base/lanes.h"
#include "engine/emulator_gp.h"

static const double JITTER[] = {1e-11, 1e-9, 1e-7}, RANK_TOL = 1e-10;
static const double VALUES_ELL = 4, VALUES_JITTER = 1e-8;

/* ---- least squares ------------------------------------------------------------------------- */

static double norm_of(int m, const double *x) { return sqrt(la_dot((size_t) m, x, x)); }

/* a -= (q'a) q; returns q'a. */
static double sweep_out(int m, const double *q, double *a)
{
    double s = la_dot((size_t) m, q, a);
    for (int i = 0; i < m; i++) a[i] -= s * q[i];
    return s;
}

static void swap_columns(int n, double *a, double *b)
{
    for (int i = 0; i < n && a != b; i++) {
        double t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

/* The longest of the columns from `from` on; *length: its length. */
static int longest(int m, int p, int from, const double *A, double *length)
{
    int best = from;
    *length = 0;
    for (int j = from; j < p; j++) {
        double s = norm_of(m, A + (size_t) j * (size_t) m);
        if (s > *length) {
            *length = s;
            best = j;
        }
    }
    return best;
}

/* Gram-Schmidt with pivots, twice over: A (m x p), its columns divided by their lengths `norm`, = Q R
 * in the order `keep`, Q in place of A's first columns. Returns the rank. */
static int orthogonal(int m, int p, double *A, double *R, double *norm, int *keep)
{
    size_t M = (size_t) m;
    int rank = 0;
    for (int j = 0; j < p; j++) {
        double *a = A + (size_t) j * M;
        keep[j] = j;
        norm[j] = norm_of(m, a);
        for (int i = 0; i < m && norm[j] > 0; i++) a[i] /= norm[j];
    }
    memset(R, 0, sizeof(double) * (size_t) p * (size_t) p);
    for (; rank < p; rank++) {
        double left, *q = A + (size_t) rank * M;
        int best = longest(m, p, rank, A, &left), k = keep[rank];
        if (!(left > RANK_TOL)) break;
        swap_columns(m, q, A + (size_t) best * M);
        swap_columns(p, &AT(R, 0, rank, p), &AT(R, 0, best, p));
        keep[rank] = keep[best];
        keep[best] = k;
        for (int i = 0; i < rank; i++)
            AT(R, i, rank, p) += sweep_out(m, A + (size_t) i * M, q);
        left = AT(R, rank, rank, p) = norm_of(m, q);
        for (int i = 0; i < m; i++) q[i] /= left;
        for (int j = rank + 1; j < p; j++)
            AT(R, rank, j, p) = sweep_out(m, q, A + (size_t) j * M);
    }
    return rank;
}

/* y (m) <- its residuals, b (p; zero where not kept) <- its coefficients. c: p of scratch. */
static void regress(int m, int p, int rank, const double *Q, const double *R,
                    const double *norm, const int *keep, double *y, double *c, double *b)
{
    for (int j = 0; j < rank; j++) c[j] = sweep_out(m, Q + (size_t) j * (size_t) m, y);
    for (int j = 0; j < p; j++) b[j] = 0;
    for (int j = rank - 1; j >= 0; j--) {
        for (int i = j + 1; i < rank; i++) c[j] -= AT(R, j, i, p) * c[i];
        c[j] /= AT(R, j, j, p);
        b[keep[j]] = c[j] / norm[keep[j]];
    }
}

/* A (m x m, lower triangle) <- its Cholesky factor; the diagonal's jitter is added before. */
static bool factor(int m, double *A)
{
    int info = 0;
    F77_CALL(dpotrf)("L", &m, A, &m, &info FCONE);
    return info == 0;
}

/* B (m x k) <- L^-1 B, or L^-T B. */
static void solve(int m, int k, const double *L, bool transposed, double *B)
{
    const double one = 1;
    F77_CALL(dtrsm)
    ("L", "L", transposed ? "T" : "N", "N", &m, &k, &one, L, &m, B,
     &m FCONE FCONE FCONE FCONE);
}

static double square_distance(int d, const double *a, const double *b)
{
    double s = 0;
    for (int k = 0; k < d; k++) s += (a[k] - b[k]) * (a[k] - b[k]);
    return s;
}

/* ---- values and gradients ---------------------------------------------------------------- */

struct emulator_gp emulator_gp_carve(int n, int d, int p, struct arena *a)
{
    struct emulator_gp g = {.n = n, .d = d, .p = p, .m = n * (d + 1)};
    size_t m = (size_t) g.m, P = (size_t) p;
    g.L = arena_doubles(a, m * m);
    g.alpha = arena_doubles(a, m);
    g.b = arena_doubles(a, P);
    g.Q = arena_doubles(a, m * P);
    g.R = arena_doubles(a, P * P);
    g.norm = arena_doubles(a, P);
    g.keep = arena_ints(a, P);
    g.work = arena_doubles(a, P);
    return g;
}

/* Lower triangle of the kernel matrix. */
static void kernel_matrix(struct emulator_gp *g, double jitter)
{
    int n = g->n, d = g->d, m = g->m;
    double w = 1 / (g->ell * g->ell);
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) {
            const double *a = g->z + (size_t) i * (size_t) d,
                         *b = g->z + (size_t) j * (size_t) d;
            double k0 = exp(-0.5 * w * square_distance(d, a, b)),
                   same = i == j ? jitter : 0;
            if (i >= j) AT(g->L, i, j, m) = k0 + same;
            for (int k = 0; k < d; k++) {
                double Dk = w * (a[k] - b[k]);
                AT(g->L, (k + 1) * n + i, j, m) = -k0 * Dk;
                for (int l = 0; l <= k; l++)
                    if (l < k || i >= j)
                        AT(g->L, (k + 1) * n + i, (l + 1) * n + j, m) =
                            (k == l ? k0 * w + same * w : 0) -
                            k0 * Dk * w * (a[l] - b[l]);
            }
        }
}

bool emulator_gp_fit(struct emulator_gp *g, double ell, const double *z, const double *y,
                     const double *H)
{
    int m = g->m, p = g->p;
    bool done = false;
    g->ell = ell;
    g->z = z;
    for (size_t i = 0; i < sizeof JITTER / sizeof *JITTER && !done; i++) {
        kernel_matrix(g, JITTER[i]);
        done = factor(m, g->L);
    }
    if (!done) return false;
    memcpy(g->alpha, y, sizeof(double) * (size_t) m);
    memcpy(g->Q, H, sizeof(double) * (size_t) m * (size_t) p);
    solve(m, 1, g->L, false, g->alpha);
    solve(m, p, g->L, false, g->Q);
    g->rank = orthogonal(m, p, g->Q, g->R, g->norm, g->keep);
    regress(m, p, g->rank, g->Q, g->R, g->norm, g->keep, g->alpha, g->work, g->b);
    int left = m > g->rank ? m - g->rank : 1;
    g->s2 = la_dot((size_t) m, g->alpha, g->alpha) / left + 1e-300;
    g->log_lik = -0.5 * left * log(g->s2);
    for (int i = 0; i < m; i++) g->log_lik -= log(AT(g->L, i, i, m));
    for (int j = 0; j < g->rank; j++)
        g->log_lik -= log(AT(g->R, j, j, p) * g->norm[g->keep[j]]);
    solve(m, 1, g->L, true, g->alpha);
    return isfinite(g->log_lik);
}

double emulator_gp_mean(const struct emulator_gp *g, const double *z, const double *h)
{
    int n = g->n, d = g->d;
    double w = 1 / (g->ell * g->ell), sum = la_dot((size_t) g->p, g->b, h);
    for (int i = 0; i < n; i++) {
        const double *a = g->z + (size_t) i * (size_t) d;
        double slope = 0, s = 0;
        for (int k = 0; k < d; k++) {
            double D = z[k] - a[k];
            s += D * D;
            slope += D * g->alpha[(k + 1) * n + i];
        }
        sum += exp(-0.5 * w * s) * (g->alpha[i] + w * slope);
    }
    return sum;
}

/* v (m) <- covariances with what is known at the points. */
static void kernel_vector(const struct emulator_gp *g, const double *z, double *v)
{
    int n = g->n, d = g->d;
    double w = 1 / (g->ell * g->ell);
    for (int i = 0; i < n; i++) {
        const double *a = g->z + (size_t) i * (size_t) d;
        double k0 = exp(-0.5 * w * square_distance(d, z, a));
        v[i] = k0;
        for (int k = 0; k < d; k++) v[(k + 1) * n + i] = k0 * w * (z[k] - a[k]);
    }
}

void emulator_gp_sd(const struct emulator_gp *g, int count, const double *z,
                    const double *h, double *sd, double *work)
{
    size_t m = (size_t) g->m, d = (size_t) g->d, p = (size_t) g->p;
    for (int i = 0; i < count; i++)
        kernel_vector(g, z + (size_t) i * d, work + (size_t) i * m);
    solve(g->m, count, g->L, false, work);
    for (int i = 0; i < count; i++) {
        const double *v = work + (size_t) i * m, *hi = h + (size_t) i * p;
        double *e = g->work, var = 1 - la_dot(m, v, v);
        for (int j = 0; j < g->rank; j++) {
            double s = hi[g->keep[j]] / g->norm[g->keep[j]];
            for (int k = 0; k < j; k++) s -= AT(g->R, k, j, g->p) * e[k];
            e[j] = s / AT(g->R, j, j, g->p);
        }
        for (int j = 0; j < g->rank; j++) {
            double s = e[j] - la_dot(m, g->Q + (size_t) j * m, v);
            var += s * s;
        }
        sd[i] = sqrt(g->s2 * fmax(var, 0));
    }
}

/* ---- values alone ------------------------------------------------------------------------- */

struct emulator_values emulator_gp_values_carve(int n, int d, struct arena *a)
{
    struct emulator_values v = {.n = n, .d = d};
    size_t N = (size_t) n, p = (size_t) d + 1;
    v.S = arena_doubles(a, (p + N) * N);
    v.K = arena_doubles(a, N * N);
    v.Q = arena_doubles(a, N * p);
    v.R = arena_doubles(a, p * p);
    v.norm = arena_doubles(a, p);
    v.work = arena_doubles(a, p);
    v.keep = arena_ints(a, p);
    return v;
}

/* basis (1 + d + n) <- (1, z, kernel with the points) */
void emulator_gp_values_basis(const struct emulator_values *v, const double *z,
                              double *basis)
{
    *basis++ = 1;
    for (int k = 0; k < v->d; k++) *basis++ = z[k];
    for (int i = 0; i < v->n; i++)
        *basis++ = exp(-square_distance(v->d, z, v->z + (size_t) i * (size_t) v->d) /
                       (2 * VALUES_ELL * VALUES_ELL));
}

bool emulator_gp_values_fit(struct emulator_values *v, const double *z)
{
    int n = v->n, d = v->d, p = d + 1;
    v->z = z;
    for (int j = 0; j < n; j++) {
        double *row = v->S; /* not yet in use */
        emulator_gp_values_basis(v, z + (size_t) j * (size_t) d, row);
        for (int k = 0; k < p; k++) AT(v->Q, j, k, n) = row[k];
        for (int i = 0; i < n; i++)
            AT(v->K, i, j, n) = row[p + i] + (i == j ? VALUES_JITTER : 0);
    }
    if (!factor(n, v->K)) return false;
    solve(n, p, v->K, false, v->Q);
    int rank = orthogonal(n, p, v->Q, v->R, v->norm, v->keep);
    for (int j = 0; j < n; j++) {
        double *b = v->S + (size_t) j * (size_t) (p + n), *y = b + p;
        memset(y, 0, sizeof(double) * (size_t) n);
        y[j] = 1;
        solve(n, 1, v->K, false, y);
        regress(n, p, rank, v->Q, v->R, v->norm, v->keep, y, v->work, b);
        solve(n, 1, v->K, true, y);
    }
    return true;
}

void emulator_gp_values_at(const struct emulator_values *v, const double *z,
                           double *basis, double *weights)
{
    size_t size = (size_t) (1 + v->d + v->n);
    emulator_gp_values_basis(v, z, basis);
    for (int j = 0; j < v->n; j++)
        weights[j] = la_dot(size, v->S + (size_t) j * size, basis);
}

/* ---- four points at once ---------------------------------------------------------------- */

#ifdef LANES

static LANES void lanes(const struct emulator_gp *g, const double *shift, const double *z,
                        double *f)
{
    int n = g->n, d = g->d;
    const __m256d w = lanes_all(1 / (g->ell * g->ell)), half = lanes_all(-0.5),
                  of_values = lanes_all(-1 / (2 * VALUES_ELL * VALUES_ELL));
    __m256d sum = lanes_get(f, 0);
    if (shift) {
        sum = _mm256_add_pd(sum, lanes_all(shift[0]));
        for (int k = 0; k < d; k++)
            sum = _mm256_fmadd_pd(lanes_all(shift[1 + k]), lanes_get(z, k), sum);
    }
    for (int i = 0; i < n; i++) {
        const double *a = g->z + (size_t) i * (size_t) d;
        __m256d slope = _mm256_setzero_pd(), square = slope;
        for (int k = 0; k < d; k++) {
            __m256d D = _mm256_sub_pd(lanes_get(z, k), lanes_all(a[k]));
            square = _mm256_fmadd_pd(D, D, square);
            slope = _mm256_fmadd_pd(D, lanes_all(g->alpha[(k + 1) * n + i]), slope);
        }
        __m256d k0 = lanes_exp(_mm256_mul_pd(_mm256_mul_pd(half, w), square));
        slope = _mm256_fmadd_pd(w, slope, lanes_all(g->alpha[i]));
        sum = _mm256_fmadd_pd(k0, slope, sum);
        if (!shift) continue;
        k0 = lanes_exp(_mm256_mul_pd(of_values, square));
        sum = _mm256_fmadd_pd(lanes_all(shift[1 + d + i]), k0, sum);
    }
    lanes_put(f, 0, sum);
}

#else

static void lanes(const struct emulator_gp *g, const double *shift, const double *z,
                  double *f)
{
    (void) g, (void) shift, (void) z;
    for (int l = 0; l < LANES_WIDTH; l++) f[l] = NAN;
}

#endif

void emulator_gp_lanes(const struct emulator_gp *g, const double *shift, const double *z,
                       double *f)
{
    lanes(g, shift, z, f);
}
