/* logistic_lanes.c: see logistic_lanes.h. */
#include "base/lanes.h"
#include "base/logistic_lanes.h"

#ifdef LANES

static const double INV_SQRT_2PI = 0.398942280401432677939946059934;

/* (1 - Phi(t)) / phi(t), 0 <= t <= LOGISTIC_LANES_REACH: a polynomial in (t - 5) / (t + 5) over t + 5,
 * by interpolation in Chebyshev's points, to 1e-15 relative. */
static INLINE_LANES __m256d mills_ratio(__m256d t)
{
    static const double C[] = {
        2.691023423150051e-07,   9.634003161999608e-07,   -1.1022276858038105e-06,
        -6.9594619241952855e-06, 1.0132220014272528e-05,  4.18618218950962e-05,
        -0.00012478411315413175, -0.00014885366818695765, 0.0013658677091451313,
        -0.0019999577557607722,  -0.007503283714004802,   0.05212550196603419,
        -0.17325473403252947,    0.41364471575543205,     -0.7859110755482884,
        1.2415470615734314,      -1.667866595188941,      1.9280810471531589};
    __m256d inverse = _mm256_div_pd(lanes_all(1), _mm256_add_pd(t, lanes_all(5)));
    __m256d x = _mm256_mul_pd(_mm256_sub_pd(t, lanes_all(5)), inverse);
    return _mm256_mul_pd(lanes_polynomial((int) (sizeof C / sizeof *C), C, x), inverse);
}

struct constants {
    double p[LOGISTIC_MIX], over_s2[LOGISTIC_MIX]; /* p / sqrt(2 pi), 1 / s^2           */
};
static struct constants constants(const struct logistic_mixture *x)
{
    struct constants c;
    for (int k = 0; k < LOGISTIC_MIX; k++) {
        c.p[k] = x->p[k] * INV_SQRT_2PI;
        c.over_s2[k] = 1 / (x->s[k] * x->s[k]);
    }
    return c;
}

/* One part of the mixture at a = |mu|: 1 / r, r, t = a r, its density times p, 1 - Phi(t) over it. */
struct part {
    __m256d over_r, r, t, density, mills;
};
static INLINE_LANES struct part part_of(const struct constants *c, int k, __m256d a,
                                        __m256d v)
{
    struct part y;
    y.over_r = _mm256_sqrt_pd(_mm256_add_pd(v, lanes_all(c->over_s2[k])));
    y.r = _mm256_div_pd(lanes_all(1), y.over_r);
    y.t = _mm256_mul_pd(a, y.r);
    __m256d e = lanes_exp(_mm256_mul_pd(_mm256_mul_pd(y.t, y.t), lanes_all(-0.5)));
    y.density = _mm256_mul_pd(lanes_all(c->p[k]), e);
    y.mills = mills_ratio(y.t);
    return y;
}

static LANES void moments(const struct logistic_mixture *x, size_t n, const double *mu,
                          const double *v, double *const B[5])
{
    const __m256d zero = _mm256_setzero_pd(), one = lanes_all(1);
    const struct constants c = constants(x);
    for (size_t i = 0; i < n; i += LOGISTIC_LANES) {
        __m256d m = _mm256_loadu_pd(mu + i), a = lanes_abs(m), V = _mm256_loadu_pd(v + i);
        __m256d b0 = zero, upper = zero, b2 = zero, b3 = zero, b4 = zero;
        for (int k = 0; k < LOGISTIC_MIX; k++) {
            const struct part y = part_of(&c, k, a, V);
            __m256d slope = _mm256_mul_pd(y.density, y.r),
                    third = _mm256_mul_pd(slope, y.r);
            b0 = _mm256_fmadd_pd(y.density, _mm256_fnmadd_pd(a, y.mills, y.over_r), b0);
            upper = _mm256_fmadd_pd(y.density, y.mills, upper);
            b2 = _mm256_add_pd(b2, slope);
            b3 = _mm256_fnmadd_pd(third, y.t, b3);
            b4 = _mm256_fmadd_pd(_mm256_mul_pd(third, y.r),
                                 _mm256_fmsub_pd(y.t, y.t, one), b4);
        }
        __m256d above = _mm256_cmp_pd(m, zero, _CMP_GT_OQ);
        _mm256_storeu_pd(B[0] + i, _mm256_add_pd(b0, _mm256_and_pd(above, m)));
        _mm256_storeu_pd(B[1] + i,
                         _mm256_blendv_pd(upper, _mm256_sub_pd(one, upper), above));
        _mm256_storeu_pd(B[2] + i, b2);
        _mm256_storeu_pd(B[3] + i, _mm256_blendv_pd(_mm256_sub_pd(zero, b3), b3, above));
        _mm256_storeu_pd(B[4] + i, b4);
    }
}

static LANES void softplus(const struct logistic_mixture *x, size_t n, const double *mu,
                           const double *v, double *out)
{
    const struct constants c = constants(x);
    for (size_t i = 0; i < n; i += LOGISTIC_LANES) {
        __m256d a = lanes_abs(_mm256_loadu_pd(mu + i)), V = _mm256_loadu_pd(v + i),
                b0 = _mm256_setzero_pd();
        for (int k = 0; k < LOGISTIC_MIX; k++) {
            const struct part y = part_of(&c, k, a, V);
            b0 = _mm256_fmadd_pd(y.density, _mm256_fnmadd_pd(a, y.mills, y.over_r), b0);
        }
        _mm256_storeu_pd(out + i, b0);
    }
}

static LANES void exponentials(size_t n, const double *x, double *out)
{
    for (size_t i = 0; i < n; i += LOGISTIC_LANES)
        _mm256_storeu_pd(out + i, lanes_exp(_mm256_loadu_pd(x + i)));
}

static LANES double product_of(size_t n, const double *x)
{
    __m256d product = lanes_all(1);
    for (size_t i = 0; i < n; i += LOGISTIC_LANES) {
        __m256d minus = _mm256_or_pd(lanes_all(-0.0), _mm256_loadu_pd(x + i)); /* -|x| */
        product = _mm256_fmadd_pd(product, lanes_exp(minus), product);
    }
    double y[LOGISTIC_LANES];
    _mm256_storeu_pd(y, product);
    return y[0] * y[1] * (y[2] * y[3]);
}

#else

static void moments(const struct logistic_mixture *x, size_t n, const double *mu,
                    const double *v, double *const B[5])
{
    (void) x, (void) n, (void) mu, (void) v, (void) B;
}
static void softplus(const struct logistic_mixture *x, size_t n, const double *mu,
                     const double *v, double *out)
{
    (void) x, (void) n, (void) mu, (void) v, (void) out;
}
static void exponentials(size_t n, const double *x, double *out)
{
    (void) n, (void) x, (void) out;
}
static double product_of(size_t n, const double *x)
{
    (void) n, (void) x;
    return 1;
}

#endif

bool logistic_lanes_here(void) { return lanes_here(); }

void logistic_lanes_moments(const struct logistic_mixture *x, size_t n, const double *mu,
                            const double *v, double *const B[5])
{
    moments(x, n, mu, v, B);
}

void logistic_lanes_softplus(const struct logistic_mixture *x, size_t n, const double *mu,
                             const double *v, double *out)
{
    softplus(x, n, mu, v, out);
}

void logistic_lanes_exp(size_t n, const double *x, double *out)
{
    exponentials(n, x, out);
}

double logistic_lanes_product(size_t n, const double *x) { return product_of(n, x); }
