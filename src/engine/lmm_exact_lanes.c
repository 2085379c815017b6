/* lmm_exact_lanes.c: see lmm_exact_lanes.h. */
#include <math.h>
#include "base/la.h"
#include "base/lanes.h"
#include "engine/lmm_exact_lanes.h"

enum { W = LANES_WIDTH, MAX_R = LMM_EXACT_LANES_MAX_R };

bool lmm_exact_lanes_serve(const struct lmm *m)
{
    const struct arrow_shape *s = &m->shape;
    return lanes_here() && s->n_leaf > 0 && s->r > 0 && s->r <= MAX_R &&
           s->n_global == m->p && !s->packed && s->n_elim == 0;
}

struct lmm_exact_lanes lmm_exact_lanes_carve(const struct lmm *m, struct arena *a)
{
    struct lmm_exact_lanes x = {.delta = NULL};
    size_t r = (size_t) m->shape.r, p = (size_t) m->p + 1;
    x.delta = arena_doubles(a, W * r * (r + 1) / 2);
    x.over_tau = arena_doubles(a, W);
    x.is_free = arena_doubles(a, W);
    x.S = arena_doubles(a, W * p * (p + 1) / 2);
    x.w = arena_doubles(a, W * r * p);
    return x;
}

#ifdef LANES

/* S holds its lower triangle row by row. */
static inline int row_at(int i) { return i * (i + 1) / 2; }

/* A product of many pivots, as mantissas in [1, 2) and sums of exponents. */
struct product {
    __m256d mantissa, good;
    __m256i exponent;
    int n;
};

static INLINE_LANES struct product no_pivots(void)
{
    const __m256i none = _mm256_setzero_si256();
    return (struct product){lanes_all(1),
                            _mm256_castsi256_pd(_mm256_cmpeq_epi64(none, none)), none, 0};
}

/* A pivot near rounding noise, beside what stood on the diagonal, is left to la_chol(). */
static INLINE_LANES void multiply(struct product *x, __m256d pivot, __m256d diagonal)
{
    const __m256i low = _mm256_set1_epi64x(0x000fffffffffffff),
                  one = _mm256_castpd_si256(lanes_all(1));
    const __m256d large = _mm256_cmp_pd(pivot, lanes_all(1e-290), _CMP_GT_OQ),
                  small = _mm256_cmp_pd(pivot, lanes_all(1e300), _CMP_LT_OQ);
    const __m256d known = _mm256_cmp_pd(
        pivot, _mm256_mul_pd(lanes_all(16 * LA_PIVOT_TOL), diagonal), _CMP_GT_OQ);
    x->good = _mm256_and_pd(_mm256_and_pd(x->good, known), _mm256_and_pd(large, small));
    __m256i bits = _mm256_castpd_si256(_mm256_mul_pd(x->mantissa, pivot));
    x->exponent = _mm256_add_epi64(x->exponent, _mm256_srli_epi64(bits, 52));
    x->mantissa = _mm256_castsi256_pd(_mm256_or_si256(_mm256_and_si256(bits, low), one));
    x->n++;
}

static LANES void logarithm(const struct product *x, double *out)
{
    double mantissa[W], good[W];
    long long exponent[W];
    _mm256_storeu_pd(mantissa, x->mantissa);
    _mm256_storeu_pd(good, _mm256_and_pd(x->good, lanes_all(1)));
    _mm256_storeu_si256((__m256i *) exponent, x->exponent);
    for (int l = 0; l < W; l++)
        out[l] = good[l] == 0
                     ? NAN
                     : log(mantissa[l]) + 0.69314718055994530942 *
                                              (double) (exponent[l] - 1023ll * x->n);
}

static INLINE_LANES __m256d choose(const struct lmm_exact_lanes *x, size_t at)
{
    const __m256d pinned =
        _mm256_cmp_pd(lanes_get(x->is_free, 0), lanes_all(0), _CMP_EQ_OQ);
    return _mm256_blendv_pd(lanes_all(x->free_grad[at]), lanes_all(x->zero_grad[at]),
                            pinned);
}

/* A = G_i + Delta (lower, r x r) and g of leaf i. */
static INLINE_LANES void leaf_system(const int r, const struct lmm *m, int i,
                                     const struct lmm_exact_lanes *x, __m256d *A,
                                     __m256d *g)
{
    size_t first = (size_t) m->shape.n_global + (size_t) i * (size_t) r;
    const double *G = m->G.leaf + (size_t) i * (size_t) (r * r), *u = x->free_u + first;
    const __m256d is_free = lanes_get(x->is_free, 0);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            A[a + b * r] = A[b + a * r] = lanes_get(x->delta, vech_at(r, a, b));
    for (int a = 0; a < r; a++) {
        __m256d pull = _mm256_setzero_pd();
        for (int b = 0; b < r; b++)
            pull = _mm256_fmadd_pd(A[a + b * r], lanes_all(u[b]), pull);
        g[a] = _mm256_fnmadd_pd(is_free, pull, choose(x, first + (size_t) a));
    }
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            A[a + b * r] = _mm256_add_pd(A[a + b * r], lanes_all(G[a + b * r]));
}

/* A = L D L' with unit L: L below its diagonal, over[c] = 1 / D_c; g <- L^-1 g. */
static INLINE_LANES void leaf_factor(const int r, __m256d *A, __m256d *g, __m256d *over,
                                     struct product *pivots)
{
    __m256d diagonal[MAX_R];
    for (int c = 0; c < r; c++) diagonal[c] = A[c + c * r];
    for (int c = 0; c < r; c++) {
        multiply(pivots, A[c + c * r], diagonal[c]);
        over[c] = _mm256_div_pd(lanes_all(1), A[c + c * r]);
        for (int a = c + 1; a < r; a++) {
            __m256d l = _mm256_mul_pd(A[a + c * r], over[c]);
            for (int b = c + 1; b <= a; b++)
                A[a + b * r] = _mm256_fnmadd_pd(l, A[b + c * r], A[a + b * r]);
            g[a] = _mm256_fnmadd_pd(l, g[c], g[a]);
        }
        for (int a = c + 1; a < r; a++)
            A[a + c * r] = _mm256_mul_pd(A[a + c * r], over[c]);
    }
}

/* S -= [B; g'] A^-1 [B; g']' over the columns that the leaf lists, and the border. */
static INLINE_LANES void reduce_leaf(const int r, const struct lmm *m, int i,
                                     struct lmm_exact_lanes *x, struct product *pivots)
{
    const struct arrow_shape *s = &m->shape;
    int k = s->ptr[i + 1] - s->ptr[i];
    const int *col = s->idx + s->ptr[i];
    const double *B = m->G.cross + (size_t) s->ptr[i] * (size_t) r;
    __m256d A[MAX_R * MAX_R], g[MAX_R], over[MAX_R], w[MAX_R];
    leaf_system(r, m, i, x, A, g);
    leaf_factor(r, A, g, over, pivots);
    for (int a = 0; a <= k; a++) {
        for (int c = 0; c < r; c++) {
            if (a == k) {
                w[c] = g[c];
            } else {
                w[c] = lanes_all(B[a + c * k]);
                for (int b = 0; b < c; b++)
                    w[c] = _mm256_fnmadd_pd(A[c + b * r], w[b], w[c]);
            }
            lanes_put(x->w, a * r + c, w[c]);
        }
        double *row = x->S + W * (size_t) row_at(a < k ? col[a] : m->p);
        for (int c = 0; c < r; c++) w[c] = _mm256_mul_pd(w[c], over[c]);
        for (int b = 0; b <= a; b++) {
            int at = b < k ? col[b] : m->p;
            __m256d sum = lanes_get(row, at);
            for (int c = 0; c < r; c++)
                sum = _mm256_fnmadd_pd(w[c], lanes_get(x->w, b * r + c), sum);
            lanes_put(row, at, sum);
        }
    }
}

static INLINE_LANES void reduce_leaves(const int r, const struct lmm *m,
                                       struct lmm_exact_lanes *x, struct product *pivots)
{
    for (int i = 0; i < m->shape.n_leaf; i++) reduce_leaf(r, m, i, x, pivots);
}

/* Element (a, b) of G + T_b / tau_e. */
static INLINE_LANES __m256d global_at(const struct lmm *m,
                                      const struct lmm_exact_lanes *x, int a, int b)
{
    double T = m->flat ? 0 : AT(m->Tb, a, b, m->p);
    return _mm256_fmadd_pd(lanes_all(T), lanes_get(x->over_tau, 0),
                           lanes_all(AT(m->G.global, a, b, m->p)));
}

static LANES void start(const struct lmm *m, struct lmm_exact_lanes *x)
{
    const __m256d over_tau = lanes_get(x->over_tau, 0);
    int p = m->p;
    for (int a = 0; a < p; a++) {
        for (int b = 0; b <= a; b++)
            lanes_put(x->S, row_at(a) + b, global_at(m, x, a, b));
        lanes_put(
            x->S, row_at(p) + a,
            _mm256_fnmadd_pd(over_tau, lanes_all(x->pull[a]), choose(x, (size_t) a)));
    }
    lanes_put(x->S, row_at(p) + p, _mm256_setzero_pd());
}

/* Pivots beside the diagonal that the leaves were taken from: what they leave of it may be rounding. */
static LANES void reduce_columns(const struct lmm *m, struct lmm_exact_lanes *x,
                                 struct product *pivots)
{
    int p = m->p;
    double *S = x->S;
    for (int c = 0; c < p; c++) {
        __m256d pivot = lanes_get(S, row_at(c) + c);
        multiply(pivots, pivot, global_at(m, x, c, c));
        __m256d over = _mm256_div_pd(lanes_all(1), pivot);
        for (int a = c + 1; a <= p; a++) { /* column c stays as it is */
            __m256d l = _mm256_mul_pd(lanes_get(S, row_at(a) + c), over);
            for (int b = c + 1; b <= a; b++) {
                __m256d left = lanes_get(S, row_at(a) + b);
                lanes_put(S, row_at(a) + b,
                          _mm256_fnmadd_pd(l, lanes_get(S, row_at(b) + c), left));
            }
        }
    }
}

static LANES void reduce(const struct lmm *m, struct lmm_exact_lanes *x, double *logdet,
                         double *gain)
{
    struct product pivots = no_pivots();
    start(m, x);
    switch (m->shape.r) {
    case 1:
        reduce_leaves(1, m, x, &pivots);
        break;
    case 2:
        reduce_leaves(2, m, x, &pivots);
        break;
    default:
        reduce_leaves(3, m, x, &pivots);
    }
    reduce_columns(m, x, &pivots);
    logarithm(&pivots, logdet);
    lanes_put(gain, 0,
              _mm256_sub_pd(_mm256_setzero_pd(), lanes_get(x->S, row_at(m->p) + m->p)));
}

#else

static void reduce(const struct lmm *m, struct lmm_exact_lanes *x, double *logdet,
                   double *gain)
{
    (void) m, (void) x;
    for (int l = 0; l < W; l++) logdet[l] = gain[l] = NAN;
}

#endif

void lmm_exact_lanes_reduce(const struct lmm *m, struct lmm_exact_lanes *x,
                            double *logdet, double *gain)
{
    reduce(m, x, logdet, gain);
}
