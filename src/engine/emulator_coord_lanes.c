/* emulator_coord_lanes.c: see emulator_coord_lanes.h. */
#include <math.h>
#include "base/la.h"
#include "base/lanes.h"
#include "base/vech.h"
#include "model/lmm_prior.h"
#include "engine/emulator_coord_lanes.h"

#ifdef LANES

enum { W = LANES_WIDTH, R = 3, RR = R * R }; /* EMULATOR_MAX_D leaves no room for more */

static const double MAX_PSI = 300, MAX_BEND = 40, LOG_2 = 0.69314718055994530942;

static INLINE_LANES __m256d times(__m256d a, __m256d b) { return _mm256_mul_pd(a, b); }
static INLINE_LANES __m256d plus(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }
static INLINE_LANES __m256d minus(__m256d a, __m256d b) { return _mm256_sub_pd(a, b); }
static INLINE_LANES __m256d over(__m256d a, __m256d b) { return _mm256_div_pd(a, b); }
static INLINE_LANES __m256d zero(void) { return _mm256_setzero_pd(); }

/* *good <- where it is and a > b. */
static INLINE_LANES void require_above(__m256d *good, __m256d a, __m256d b)
{
    *good = _mm256_and_pd(*good, _mm256_cmp_pd(a, b, _CMP_GT_OQ));
}

/* psi, kept where numbers have room, and log |d psi / d v| (bend.h). */
static LANES __m256d unbend(const struct emulator_coord *c, const double *v, double *psi,
                            __m256d *good)
{
    const __m256d most = lanes_all(MAX_PSI);
    __m256d jacobian = zero();
    for (int j = 0; j < c->m->n_stat; j++) {
        __m256d at = lanes_get(v, j);
        if (!isnan(c->bend[j])) {
            __m256d far =
                _mm256_min_pd(minus(lanes_all(c->bend[j]), at), lanes_all(MAX_BEND));
            __m256d e = lanes_exp(far);
            at = times(lanes_all(-2), minus(at, e));
            jacobian = plus(jacobian, lanes_log(plus(e, lanes_all(1))));
            jacobian = plus(jacobian, lanes_all(LOG_2));
        }
        require_above(good, most, lanes_abs(at));
        at = _mm256_max_pd(_mm256_min_pd(at, most), minus(zero(), most));
        lanes_put(psi, j, at);
    }
    return jacobian;
}

/* Of scale-free coordinates (scale_free.h): the correlation matrix's root C and its inverse M (lower
 * triangles), SDs, log |Lambda| and the Jacobian. */
struct free_lanes {
    __m256d C[RR], M[RR], sd[R], logdet, jacobian;
};

static INLINE_LANES void free_root(const int r, const double *psi, struct free_lanes *f)
{
    __m256d trace = zero();
    f->logdet = f->jacobian = zero();
    for (int a = 0; a < r; a++) {
        __m256d left = lanes_all(1), x = lanes_get(psi, vech_at(r, a, a));
        trace = plus(trace, x);
        f->sd[a] = lanes_exp(times(lanes_all(-0.5), x));
        for (int b = 0; b < a; b++) {
            __m256d y = lanes_get(psi, vech_at(r, a, b)), size = lanes_abs(y),
                    e = lanes_exp(minus(zero(), size)), e2 = times(e, e),
                    sum = plus(lanes_all(1), e2), t = over(minus(lanes_all(1), e2), sum),
                    l = plus(size, minus(lanes_log(sum), lanes_all(LOG_2)));
            t = _mm256_or_pd(t,
                             _mm256_and_pd(lanes_all(-0.0), y)); /* tanh, with its sign */
            f->C[a + b * r] = times(left, t);
            left = times(left, over(plus(e, e), sum));
            f->logdet = plus(f->logdet, plus(l, l));
            f->jacobian = plus(f->jacobian, times(lanes_all(r + b + 2), l));
        }
        f->C[a + a * r] = left;
    }
    f->logdet = plus(f->logdet, trace);
    f->jacobian = plus(f->jacobian, times(lanes_all(0.5 * (r + 1)), trace));
}

/* t (vech) <- Lambda = D^-1 M'M D^-1, M = C^-1. */
static INLINE_LANES void free_precision(const int r, struct free_lanes *f, double *t)
{
    for (int a = 0; a < r; a++) {
        __m256d inverse = over(lanes_all(1), f->C[a + a * r]);
        for (int b = 0; b < a; b++) {
            __m256d s = zero();
            for (int c = b; c < a; c++)
                s = _mm256_fmadd_pd(f->C[a + c * r], f->M[c + b * r], s);
            f->M[a + b * r] = times(minus(zero(), s), inverse);
        }
        f->M[a + a * r] = inverse;
    }
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            __m256d s = zero();
            for (int c = a; c < r; c++)
                s = _mm256_fmadd_pd(f->M[c + a * r], f->M[c + b * r], s);
            lanes_put(t, vech_at(r, a, b), over(s, times(f->sd[a], f->sd[b])));
        }
}

/* U (lower) <- the Cholesky factor of the term's K, as la_chol() has it. */
static INLINE_LANES void sampling_root(const int r, const struct emulator_coord *c, int k,
                                       const double *psi, __m256d s2, __m256d *U,
                                       __m256d *good)
{
    const struct lmm *m = c->m;
    const double *K0 = c->sampling.K0 + sampling_at(m, k);
    for (int i = 0; i < r * r; i++) U[i] = times(s2, lanes_all(K0[i]));
    for (int j = m->first_term; j < m->n_prec; j++) {
        if (AT(c->sampling.inner, k, j, m->n_prec) == 0) continue;
        const double *M = c->sampling.M + (size_t) j * (size_t) sampling_size(m) +
                          (size_t) sampling_at(m, k);
        __m256d v = lanes_exp(minus(zero(), lanes_get(psi, m->prec[j].at)));
        for (int i = 0; i < r * r; i++) U[i] = _mm256_fmadd_pd(v, lanes_all(M[i]), U[i]);
    }
    for (int j = 0; j < r; j++) {
        __m256d d = U[j + j * r], least = times(lanes_all(LA_PIVOT_TOL), d);
        for (int i = 0; i < j; i++) d = _mm256_fnmadd_pd(U[j + i * r], U[j + i * r], d);
        require_above(good, d, least);
        U[j + j * r] = _mm256_sqrt_pd(d);
        for (int a = j + 1; a < r; a++) {
            for (int i = 0; i < j; i++)
                U[a + j * r] = _mm256_fnmadd_pd(U[a + i * r], U[j + i * r], U[a + j * r]);
            U[a + j * r] = over(U[a + j * r], U[j + j * r]);
        }
    }
}

/* B <- I + A A', A = U^-1 D C. */
static INLINE_LANES void term_matrix(const int r, const struct free_lanes *f,
                                     const __m256d *U, __m256d *B)
{
    __m256d A[RR];
    for (int j = 0; j < r; j++)
        for (int i = j; i < r; i++) { /* lower triangles all */
            __m256d s = times(f->sd[i], f->C[i + j * r]);
            for (int l = j; l < i; l++)
                s = _mm256_fnmadd_pd(U[i + l * r], A[l + j * r], s);
            A[i + j * r] = over(s, U[i + i * r]);
        }
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            __m256d s = lanes_all(a == b);
            for (int i = 0; i <= b; i++)
                s = _mm256_fmadd_pd(A[a + i * r], A[b + i * r], s);
            B[a + b * r] = B[b + a * r] = s;
        }
}

/* Jacobi's method (matrix_log.c): B <- its eigenvalues on the diagonal, V <- their vectors. */
static INLINE_LANES void axes(const int r, __m256d *B, __m256d *V, __m256d *good)
{
    enum { SWEEPS = 12 };
    int turned = 1;
    for (int i = 0; i < r * r; i++) V[i] = lanes_all(i % (r + 1) == 0);
    for (int sweep = 0; turned && sweep < SWEEPS; sweep++) {
        turned = 0;
        for (int q = 1; q < r; q++)
            for (int p = 0; p < q; p++) {
                __m256d off = B[p + q * r], P = B[p + p * r], Q = B[q + q * r],
                        least = times(lanes_all(1e-32), lanes_abs(times(P, Q))),
                        turn = _mm256_cmp_pd(times(off, off), least, _CMP_GT_OQ);
                if (!_mm256_movemask_pd(turn)) continue;
                turned = 1;
                __m256d h = over(minus(Q, P), plus(off, off)), size = lanes_abs(h),
                        t = over(lanes_all(1), plus(size, _mm256_sqrt_pd(_mm256_fmadd_pd(
                                                              h, h, lanes_all(1)))));
                t = _mm256_or_pd(t, _mm256_and_pd(lanes_all(-0.0), h));
                t = _mm256_and_pd(t, turn);
                __m256d c = over(lanes_all(1),
                                 _mm256_sqrt_pd(_mm256_fmadd_pd(t, t, lanes_all(1)))),
                        s = times(t, c);
                B[p + p * r] = _mm256_fnmadd_pd(t, off, P);
                B[q + q * r] = _mm256_fmadd_pd(t, off, Q);
                B[p + q * r] = B[q + p * r] = _mm256_andnot_pd(turn, off);
                for (int i = 0; i < r; i++) {
                    __m256d a = B[i + p * r], b = B[i + q * r], v = V[i + p * r],
                            w = V[i + q * r];
                    if (i != p && i != q) {
                        B[i + p * r] = B[p + i * r] = minus(times(c, a), times(s, b));
                        B[i + q * r] = B[q + i * r] = plus(times(s, a), times(c, b));
                    }
                    V[i + p * r] = minus(times(c, v), times(s, w));
                    V[i + q * r] = plus(times(s, v), times(c, w));
                }
            }
    }
    for (int i = 0; i < r; i++) require_above(good, B[i + i * r], zero());
}

/* x, q (vech) <- log B, B^-1. */
static INLINE_LANES void logarithm(const int r, __m256d *B, double *x, double *q,
                                   __m256d *good)
{
    __m256d V[RR], d[R], e[R];
    axes(r, B, V, good);
    for (int k = 0; k < r; k++) {
        d[k] = lanes_log(B[k + k * r]);
        e[k] = over(lanes_all(1), B[k + k * r]);
    }
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            __m256d sx = zero(), sq = zero();
            for (int k = 0; k < r; k++) {
                __m256d vv = times(V[a + k * r], V[b + k * r]);
                sx = _mm256_fmadd_pd(vv, d[k], sx);
                sq = _mm256_fmadd_pd(vv, e[k], sq);
            }
            lanes_put(x, vech_at(r, a, b), sx);
            lanes_put(q, vech_at(r, a, b), sq);
        }
}

/* Of precision k at psi (its first coordinate): log p(Lambda) with its Jacobian. */
static LANES void add_prior(const struct emulator_coord *c, int k, const double *t,
                            const double *logdet, const double *jacobian, double *prior)
{
    int size = vech_size(c->m->prec[k].r);
    double own[RR];
    for (int l = 0; l < W; l++) {
        for (int i = 0; i < size; i++) own[i] = t[W * i + l];
        prior[l] += jacobian[l] +
                    lmm_prior_log_density(c->m, k, c->prior_const[k], own, logdet[l]);
    }
}

static INLINE_LANES void term(const int r, const struct emulator_coord *c, int k,
                              const double *psi, __m256d s2, double *x, double *q,
                              double *prior, __m256d *good)
{
    const int at = W * c->m->prec[k].at;
    struct free_lanes f;
    double t[W * RR], logdet[W], jacobian[W];
    if (r == 1) {
        __m256d y = lanes_get(psi + at, 0);
        f.C[0] = lanes_all(1);
        f.sd[0] = lanes_exp(times(lanes_all(-0.5), y));
        f.logdet = f.jacobian = y;
        lanes_put(t, 0, lanes_exp(y));
    } else {
        free_root(r, psi + at, &f);
        free_precision(r, &f, t);
    }
    lanes_put(logdet, 0, f.logdet);
    lanes_put(jacobian, 0, f.jacobian);
    add_prior(c, k, t, logdet, jacobian, prior);
    if (k < c->m->first_term) return;
    __m256d U[RR], B[RR];
    sampling_root(r, c, k, psi, s2, U, good);
    term_matrix(r, &f, U, B);
    logarithm(r, B, x + at, q + at, good);
}

static LANES void at(const struct emulator_coord *c, const double *v, double *psi,
                     double *x, double *q, double *prior)
{
    const struct lmm *m = c->m;
    __m256d good = _mm256_cmp_pd(zero(), zero(), _CMP_EQ_OQ), s2;
    lanes_put(prior, 0, unbend(c, v, psi, &good));
    s2 = lanes_all(c->sampling.base);
    if (m->first_term) {
        s2 = plus(s2, lanes_exp(minus(zero(), lanes_get(psi, 0))));
        lanes_put(x, 0, minus(lanes_log(s2), lanes_all(c->e0)));
        lanes_put(q, 0, over(lanes_all(exp(c->e0)), s2));
    }
    for (int k = 0; k < m->n_prec; k++) switch (m->prec[k].r) {
        case 1:
            term(1, c, k, psi, s2, x, q, prior, &good);
            break;
        case 2:
            term(2, c, k, psi, s2, x, q, prior, &good);
            break;
        default:
            term(3, c, k, psi, s2, x, q, prior, &good);
        }
    lanes_put(prior, 0, _mm256_blendv_pd(lanes_all(NAN), lanes_get(prior, 0), good));
}

#else

static void at(const struct emulator_coord *c, const double *v, double *psi, double *x,
               double *q, double *prior)
{
    (void) c, (void) v, (void) psi, (void) x, (void) q;
    for (int l = 0; l < LANES_WIDTH; l++) prior[l] = NAN;
}

#endif

void emulator_coord_lanes_at(const struct emulator_coord *c, const double *v, double *psi,
                             double *x, double *q, double *prior)
{
    at(c, v, psi, x, q, prior);
}
