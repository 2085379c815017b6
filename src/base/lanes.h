/* lanes.h: four doubles at once, in AVX2 registers, where compiler and processor have them: what is
 * written so stands between #ifdef LANES and #endif, and runs only when lanes_here() says so. */
#ifndef MEANFIELD_LANES_H
#define MEANFIELD_LANES_H

#include <stdbool.h>

enum { LANES_WIDTH = 4 };

/* 64-bit Windows does not align the stack that such registers are spilled to. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(_WIN32)

#include <immintrin.h>

#define LANES __attribute__((target("avx2,fma")))
#define INLINE_LANES LANES inline __attribute__((always_inline))

static INLINE_LANES __m256d lanes_all(double x) { return _mm256_set1_pd(x); }

/* The polynomial of the n coefficients c, highest first. */
static INLINE_LANES __m256d lanes_polynomial(int n, const double *c, __m256d x)
{
    __m256d sum = lanes_all(c[0]);
    for (int i = 1; i < n; i++) sum = _mm256_fmadd_pd(sum, x, lanes_all(c[i]));
    return sum;
}

/* e^x for -700 <= x <= 700: 2^k by k in the last bits of a large number, the rest by its series. */
static INLINE_LANES __m256d lanes_exp(__m256d x)
{
    static const double C[] = {1.0 / 479001600,
                               1.0 / 39916800,
                               1.0 / 3628800,
                               1.0 / 362880,
                               1.0 / 40320,
                               1.0 / 5040,
                               1.0 / 720,
                               1.0 / 120,
                               1.0 / 24,
                               1.0 / 6,
                               0.5,
                               1,
                               1};
    const __m256d large = lanes_all(6755399441055744.0); /* 1.5 2^52 */
    x = _mm256_max_pd(x, lanes_all(-700));
    __m256d shifted = _mm256_fmadd_pd(x, lanes_all(1.4426950408889634), large);
    __m256d k = _mm256_sub_pd(shifted, large);
    __m256d rest = _mm256_fnmadd_pd(k, lanes_all(6.93145751953125e-1), x);
    rest = _mm256_fnmadd_pd(k, lanes_all(1.42860682030941723212e-6), rest);
    __m256i exponent = _mm256_slli_epi64(_mm256_castpd_si256(shifted), 52);
    __m256d sum = lanes_polynomial((int) (sizeof C / sizeof *C), C, rest);
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(sum), exponent));
}

/* log x of a positive normal x = 2^k m, m within sqrt 2 of 1: 2 atanh((m - 1) / (m + 1)). */
static INLINE_LANES __m256d lanes_log(__m256d x)
{
    static const double C[] = {1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11,
                               1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3,  1};
    const __m256i bits = _mm256_castpd_si256(x),
                  low = _mm256_set1_epi64x(0x000fffffffffffff),
                  half = _mm256_castpd_si256(lanes_all(0.5)),
                  large = _mm256_castpd_si256(lanes_all(4503599627370496.0)); /* 2^52 */
    __m256d m = _mm256_castsi256_pd(_mm256_or_si256(_mm256_and_si256(bits, low), half));
    __m256d k = _mm256_castsi256_pd(_mm256_or_si256(_mm256_srli_epi64(bits, 52), large));
    k = _mm256_sub_pd(k, lanes_all(4503599627370496.0 + 1022));
    __m256d small = _mm256_cmp_pd(m, lanes_all(0.70710678118654752440), _CMP_LT_OQ);
    m = _mm256_add_pd(m, _mm256_and_pd(small, m));
    k = _mm256_sub_pd(k, _mm256_and_pd(small, lanes_all(1)));
    __m256d s =
        _mm256_div_pd(_mm256_sub_pd(m, lanes_all(1)), _mm256_add_pd(m, lanes_all(1)));
    __m256d sum = lanes_polynomial((int) (sizeof C / sizeof *C), C, _mm256_mul_pd(s, s));
    sum = _mm256_mul_pd(_mm256_add_pd(s, s), sum);
    return _mm256_fmadd_pd(k, lanes_all(0.69314718055994530942), sum);
}

static INLINE_LANES __m256d lanes_abs(__m256d x)
{
    return _mm256_andnot_pd(lanes_all(-0.0), x);
}

/* Four numbers from x + 4 at, and to it. */
static INLINE_LANES __m256d lanes_get(const double *x, int at)
{
    return _mm256_loadu_pd(x + LANES_WIDTH * (long) at);
}
static INLINE_LANES void lanes_put(double *x, int at, __m256d value)
{
    _mm256_storeu_pd(x + LANES_WIDTH * (long) at, value);
}

#endif

static inline bool lanes_here(void)
{
#ifdef LANES
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

#endif
