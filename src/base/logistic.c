/* logistic.c: see logistic.h. */
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "base/logistic.h"
#include "base/logistic_lanes.h"

/* sigma(x) = sum_k p_k Phi(s_k x), maximal error 2.1e-9 [Monahan & Stefanski 1992]. */
enum { MIX = LOGISTIC_MIX };
static const struct logistic_mixture MIXTURE = {
    .p = {0.003246343272134, 0.051517477033972, 0.195077912673858, 0.315569823632818,
          0.274149576158423, 0.131076880695470, 0.027912418727972, 0.001449567805354},
    .s = {1.365340806296348, 1.059523971016916, 0.830791313765644, 0.650732166639391,
          0.508135425366489, 0.396313345166341, 0.308904252267995, 0.238212616409306}};
static const double *const MIX_P = MIXTURE.p, *const MIX_S = MIXTURE.s;
static const double SQRT_HALF = 0.707106781186547524400844362105;
static const double INV_SQRT_2PI = 0.398942280401432677939946059934;

/* Far from zero the mixture's error, of 2e-9, is not small beside the tail itself. There
 *
 *     E log(1 + e^eta) = sum_j (-1)^(j + 1) e^(j mu + j^2 v / 2) / j,   mu = -a,
 *
 * whose terms fall by e^(mu + (2 j + 1) v / 2): three give it to rounding. B[k], k up to `most`, gets
 * its derivatives of order k in mu. False: not far enough. */
static const double FAR_TAIL = -12;
static bool tail_moments(double a, double v, int most, double *B)
{
    if (!(2.5 * v - a < FAR_TAIL)) return false;
    double e = exp(0.5 * v - a), e2 = e * e * exp(v), e3 = e2 * e * exp(2 * v);
    double term[3] = {e, -0.5 * e2, e3 / 3};
    for (int k = 0; k <= most; k++) {
        B[k] = term[0] + term[1] + term[2];
        term[1] *= 2;
        term[2] *= 3;
    }
    return true;
}

/* Of a constant eta: log(1 + e^mu) and its derivatives themselves. */
static void point_moments(double mu, double *B)
{
    double e = exp(-fabs(mu)), q = 1 / (1 + e);
    B[0] = log1p(e) + (mu > 0 ? mu : 0);
    B[1] = mu > 0 ? q : e * q;
    B[2] = e * q * q;
    B[3] = B[2] * (1 - 2 * B[1]);
    B[4] = B[2] * (1 - 6 * B[2]);
}

/* With r = s / sqrt(1 + s^2 v), t = mu r:  E Phi(s eta) = Phi(t), and its integral and
 * derivatives in mu. B0 is written for -|mu| (no cancellation), plus mu when mu > 0. */
void logistic_moments(double mu, double v, double *B)
{
    double a = fabs(mu), b0 = 0, upper = 0, b2 = 0, b3 = 0, b4 = 0;
    if (v == 0) {
        point_moments(mu, B);
        return;
    }
    if (tail_moments(a, v, 4, B)) {
        if (mu < 0) return;
        B[0] += mu;
        B[1] = 1 - B[1];
        B[3] = -B[3];
        return;
    }
    for (int k = 0; k < MIX; k++) {
        double r = MIX_S[k] / sqrt(1 + MIX_S[k] * MIX_S[k] * v), t = a * r, p = MIX_P[k];
        double density = INV_SQRT_2PI * exp(-0.5 * t * t),
               tail = 0.5 * erfc(t * SQRT_HALF);
        double prd = p * r * density;
        b0 += p * (density / r - a * tail);
        upper += p * tail;
        b2 += prd;
        b3 -= prd * r * t;
        b4 += prd * r * r * (t * t - 1);
    }
    B[0] = mu > 0 ? mu + b0 : b0;
    B[1] = mu > 0 ? 1 - upper : upper;
    B[2] = b2;
    B[3] = mu > 0 ? b3 : -b3;
    B[4] = b4;
}

/* log(1 + e^x) without overflow. */
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* B0 alone. */
double logistic_softplus(double mu, double v)
{
    double a = fabs(mu), b0 = 0;
    if (v == 0) return softplus(mu);
    if (tail_moments(a, v, 0, &b0)) return mu > 0 ? mu + b0 : b0;
    for (int k = 0; k < MIX; k++) {
        double r = MIX_S[k] / sqrt(1 + MIX_S[k] * MIX_S[k] * v), t = a * r;
        b0 += MIX_P[k] *
              (INV_SQRT_2PI * exp(-0.5 * t * t) / r - a * 0.5 * erfc(t * SQRT_HALF));
    }
    return mu > 0 ? mu + b0 : b0;
}

/* ---- many rows ------------------------------------------------------------------------- */

enum { BLOCK = 64 };

/* Some rows, and the last again until the lanes are full. */
struct block {
    size_t n, full;
    double mu[BLOCK], v[BLOCK];
};
static void fill(struct block *b, size_t n, const double *mu, const double *v)
{
    b->n = n < BLOCK ? n : BLOCK;
    b->full = (b->n + LOGISTIC_LANES - 1) / LOGISTIC_LANES * LOGISTIC_LANES;
    memcpy(b->mu, mu, sizeof(double) * b->n);
    memcpy(b->v, v, sizeof(double) * b->n);
    for (size_t i = b->n; i < b->full; i++) {
        b->mu[i] = b->mu[b->n - 1];
        b->v[i] = b->v[b->n - 1];
    }
}

/* Not for the lanes: a point, the tail, too far out; and what is not a number. */
static bool apart(double mu, double v)
{
    double a = fabs(mu), s = MIX_S[0], t2 = LOGISTIC_LANES_REACH * LOGISTIC_LANES_REACH;
    return !(v > 0 && 2.5 * v - a >= FAR_TAIL && a * a * s * s < t2 * (1 + s * s * v));
}

static void moments_by_row(size_t n, const double *mu, const double *v, bool every,
                           double *const B[5])
{
    double one[5];
    for (size_t i = 0; i < n; i++) {
        if (!every && !apart(mu[i], v[i])) continue;
        logistic_moments(mu[i], v[i], one);
        for (int k = 0; k < 5; k++) B[k][i] = one[k];
    }
}

void logistic_moments_rows(size_t n, const double *mu, const double *v,
                           double *const B[5])
{
    struct block b;
    double out[5][BLOCK], *const O[5] = {out[0], out[1], out[2], out[3], out[4]};
    bool lanes = logistic_lanes_here();
    if (!lanes) moments_by_row(n, mu, v, true, B);
    for (size_t from = 0; lanes && from < n; from += BLOCK) {
        fill(&b, n - from, mu + from, v + from);
        logistic_lanes_moments(&MIXTURE, b.full, b.mu, b.v, O);
        moments_by_row(b.n, b.mu, b.v, false, O);
        for (int k = 0; k < 5; k++) memcpy(B[k] + from, out[k], sizeof(double) * b.n);
    }
}

/* Of trials of one at points log(1 + e^-|eta|) is summed as the logarithm of a product, each factor
 * of which is at most 2. */
static bool points_of_one(const struct block *b, const double *size)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i] != 0 || size[i] != 1) return false;
    return true;
}

static double sum_points(const struct block *b, bool lanes)
{
    double sum = 0, product = 1;
    size_t in_lanes = lanes ? b->n / LOGISTIC_LANES * LOGISTIC_LANES : 0;
    if (in_lanes) product = logistic_lanes_product(in_lanes, b->mu);
    for (size_t i = in_lanes; i < b->n; i++) product *= 1 + exp(-fabs(b->mu[i]));
    for (size_t i = 0; i < b->n; i++) sum += b->mu[i] > 0 ? b->mu[i] : 0;
    return sum + log(product);
}

static double sum_block(const struct block *b, const double *size, bool lanes)
{
    double out[BLOCK], sum = 0;
    if (points_of_one(b, size)) return sum_points(b, lanes);
    if (lanes) logistic_lanes_softplus(&MIXTURE, b->full, b->mu, b->v, out);
    for (size_t i = 0; i < b->n; i++) {
        bool by_row = !lanes || apart(b->mu[i], b->v[i]);
        sum += size[i] * (by_row ? logistic_softplus(b->mu[i], b->v[i])
                                 : out[i] + (b->mu[i] > 0 ? b->mu[i] : 0));
    }
    return sum;
}

double logistic_softplus_sum(size_t n, const double *mu, const double *v,
                             const double *size)
{
    struct block b;
    bool lanes = logistic_lanes_here();
    double sum = 0;
    for (size_t from = 0; from < n; from += BLOCK) {
        fill(&b, n - from, mu + from, v + from);
        sum += sum_block(&b, size + from, lanes);
    }
    return sum;
}

void logistic_exp_rows(size_t n, const double *x, double *out)
{
    bool far = !logistic_lanes_here();
    for (size_t i = 0; i < n && !far; i++) far = !(fabs(x[i]) <= LOGISTIC_LANES_EXP);
    size_t lanes = far ? 0 : n / LOGISTIC_LANES * LOGISTIC_LANES;
    if (lanes) logistic_lanes_exp(lanes, x, out);
    for (size_t i = lanes; i < n; i++) out[i] = exp(x[i]);
}
