/* transform.c: constraints and their Jacobians; see the header. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/transform.h"

static const double LOG_2 = 0.693147180559945309417232121458;

static double logistic(double u)
{
    return u < 0 ? exp(u) / (1 + exp(u)) : 1 / (1 + exp(-u));
}

static double log_logistic(double u)
{
    return u < 0 ? u - log1p(exp(u)) : -log1p(exp(-u));
}

/* log sech^2(y) = log(1 - tanh^2(y)) */
static double log_sech2(double y)
{
    double a = fabs(y);
    return 2 * (LOG_2 - a - log1p(exp(-2 * a)));
}

static bool is_matrix(enum transform_kind kind)
{
    return kind == TRANSFORM_CHOLESKY || kind == TRANSFORM_CORRELATION ||
           kind == TRANSFORM_COVARIANCE;
}

int transform_free(const struct transform *t)
{
    int k = t->size;
    if (t->kind == TRANSFORM_SIMPLEX) return k - 1;
    if (t->kind == TRANSFORM_COVARIANCE) return k * (k + 1) / 2;
    return is_matrix(t->kind) ? k * (k - 1) / 2 : k;
}

int transform_full(const struct transform *t)
{
    return is_matrix(t->kind) ? t->size * t->size : t->size;
}

int transform_work(const struct transform *t)
{
    return is_matrix(t->kind) ? 2 * t->size * t->size : t->size;
}

/* ---- numbers, each by itself --------------------------------------------------------------- */

static double map_one(const struct transform *t, int i, double y, double *x)
{
    switch (t->kind) {
    case TRANSFORM_LOWER:
        *x = t->low[i] + exp(y);
        return y;
    case TRANSFORM_UPPER:
        *x = t->high[i] - exp(y);
        return y;
    case TRANSFORM_INTERVAL: {
        double a = t->low[i], b = t->high[i], w = b - a;
        *x = y < 0 ? a + w * logistic(y) : b - w * logistic(-y);
        return log(w) + log_logistic(y) + log_logistic(-y);
    }
    default:
        *x = y;
        return 0;
    }
}

static double pull_one(const struct transform *t, int i, double y, double dx)
{
    switch (t->kind) {
    case TRANSFORM_LOWER:
        return exp(y) * dx + 1;
    case TRANSFORM_UPPER:
        return -exp(y) * dx + 1;
    case TRANSFORM_INTERVAL:
        return (t->high[i] - t->low[i]) * logistic(y) * logistic(-y) * dx - tanh(y / 2);
    default:
        return dx;
    }
}

static double invert_one(const struct transform *t, int i, double x)
{
    switch (t->kind) {
    case TRANSFORM_LOWER:
        return log(x - t->low[i]);
    case TRANSFORM_UPPER:
        return log(t->high[i] - x);
    case TRANSFORM_INTERVAL:
        return log(x - t->low[i]) - log(t->high[i] - x);
    default:
        return x;
    }
}

/* ---- ordered vectors ----------------------------------------------------------------------- */

/* The first coordinate that is the log of a step. */
static int first_step(const struct transform *t)
{
    return t->kind == TRANSFORM_ORDERED ? 1 : 0;
}

static double map_ordered(const struct transform *t, const double *y, double *x)
{
    double at = 0, lj = 0;
    int from = first_step(t);
    for (int k = 0; k < t->size; k++) {
        at += k < from ? y[k] : exp(y[k]);
        x[k] = at;
        if (k >= from) lj += y[k];
    }
    return lj;
}

static void pull_ordered(const struct transform *t, const double *y, const double *dx,
                         double *dy)
{
    double sum = 0;
    int from = first_step(t);
    for (int k = t->size - 1; k >= 0; k--) {
        sum += dx[k];
        dy[k] = k < from ? sum : exp(y[k]) * sum + 1;
    }
}

static void invert_ordered(const struct transform *t, const double *x, double *y)
{
    int from = first_step(t);
    for (int k = 0; k < t->size; k++)
        y[k] = k < from ? x[k] : log(x[k] - (k ? x[k - 1] : 0));
}

/* ---- simplex ------------------------------------------------------------------------------- */

/* u_k of the header; k from 0. */
static double stick(const struct transform *t, const double *y, int k)
{
    return y[k] - log(t->size - 1 - k);
}

static double map_simplex(const struct transform *t, const double *y, double *x)
{
    int last = t->size - 1;
    double log_rest = 0, lj = 0;
    for (int k = 0; k < last; k++) {
        double u = stick(t, y, k), in = log_logistic(u), out = log_logistic(-u);
        x[k] = exp(log_rest + in);
        lj += in + (last - k) * out;
        log_rest += out;
    }
    x[last] = exp(log_rest);
    return lj;
}

/* log_rest: log r_k. */
static void pull_simplex(const struct transform *t, const double *y, const double *dx,
                         double *dy, double *log_rest)
{
    int last = t->size - 1;
    log_rest[0] = 0;
    for (int k = 0; k < last; k++)
        log_rest[k + 1] = log_rest[k] + log_logistic(-stick(t, y, k));
    double by_rest = dx[last];
    for (int k = last - 1; k >= 0; k--) {
        double u = stick(t, y, k), v = logistic(u), w = logistic(-u);
        dy[k] = exp(log_rest[k]) * v * w * (dx[k] - by_rest) + w - (last - k) * v;
        by_rest = v * dx[k] + w * by_rest;
    }
}

/* From the end, so that small last elements keep their digits. */
static void invert_simplex(const struct transform *t, const double *x, double *y)
{
    int last = t->size - 1;
    double rest = x[last];
    for (int k = last - 1; k >= 0; k--) {
        y[k] = log(x[k]) - log(rest) + log(last - k);
        rest += x[k];
    }
}

/* ---- matrices ------------------------------------------------------------------------------ */

/* By how much log sech^2 y_rc counts in log |J|; r, c from 0. */
static double sech_weight(const struct transform *t, int r, int c)
{
    int below = t->kind == TRANSFORM_CORRELATION ? t->size - 1 - r : 0;
    return 1 + 0.5 * (r - 1 - c + below);
}

/* L of coordinates y, zero above the diagonal. */
static double correlation_factor(const struct transform *t, const double *y, double *L)
{
    int K = t->size;
    double lj = 0;
    memset(L, 0, sizeof(double) * (size_t) K * (size_t) K);
    for (int r = 0; r < K; r++) {
        double log_q = 0;
        for (int c = 0; c < r; c++, y++) {
            double s = log_sech2(*y);
            AT(L, r, c, K) = tanh(*y) * exp(log_q);
            lj += sech_weight(t, r, c) * s;
            log_q += s / 2;
        }
        AT(L, r, r, K) = exp(log_q);
    }
    return lj;
}

/* Row r of coordinates y (r of them), backward through q_(c+1) = q_c sech(y_c). */
static void pull_factor_row(const struct transform *t, int r, const double *y,
                            const double *dL, double *dy)
{
    int K = t->size;
    double log_q = 0, by_q = AT(dL, r, r, K);
    for (int c = 0; c < r; c++) log_q += log_sech2(y[c]) / 2;
    for (int c = r - 1; c >= 0; c--) {
        double s = log_sech2(y[c]) / 2, sech = exp(s), w = tanh(y[c]),
               d = AT(dL, r, c, K);
        log_q -= s;
        dy[c] = exp(log_q) * sech * (d * sech - by_q * w) - 2 * w * sech_weight(t, r, c);
        by_q = d * w + by_q * sech;
    }
}

static void pull_correlation_factor(const struct transform *t, const double *y,
                                    const double *dL, double *dy)
{
    for (int r = 0; r < t->size; r++) {
        pull_factor_row(t, r, y, dL, dy);
        y += r;
        dy += r;
    }
}

static double covariance_factor(const struct transform *t, const double *y, double *L)
{
    int K = t->size;
    double lj = K * LOG_2;
    memset(L, 0, sizeof(double) * (size_t) K * (size_t) K);
    for (int r = 0; r < K; r++) {
        for (int c = 0; c < r; c++) AT(L, r, c, K) = *y++;
        AT(L, r, r, K) = exp(*y);
        lj += (K - r + 1) * *y++;
    }
    return lj;
}

static void pull_covariance_factor(const struct transform *t, const double *L,
                                   const double *dL, double *dy)
{
    int K = t->size;
    for (int r = 0; r < K; r++) {
        for (int c = 0; c < r; c++) *dy++ = AT(dL, r, c, K);
        *dy++ = AT(dL, r, r, K) * AT(L, r, r, K) + (K - r + 1);
    }
}

/* X = L L', exactly symmetric. */
static void multiply_out(const struct transform *t, const double *L, double *X)
{
    int K = t->size;
    for (int i = 0; i < K; i++)
        for (int j = 0; j <= i; j++) {
            double s = 0;
            for (int k = 0; k <= j; k++) s += AT(L, i, k, K) * AT(L, j, k, K);
            AT(X, i, j, K) = AT(X, j, i, K) = s;
        }
    if (t->kind == TRANSFORM_CORRELATION)
        for (int i = 0; i < K; i++) AT(X, i, i, K) = 1;
}

/* dL = (dX + dX') L, its lower triangle. */
static void pull_product(int K, const double *L, const double *dX, double *dL)
{
    for (int j = 0; j < K; j++)
        for (int i = j; i < K; i++) {
            double s = 0;
            for (int k = j; k < K; k++)
                s += (AT(dX, i, k, K) + AT(dX, k, i, K)) * AT(L, k, j, K);
            AT(dL, i, j, K) = s;
        }
}

static double matrix_factor(const struct transform *t, const double *y, double *L)
{
    return t->kind == TRANSFORM_COVARIANCE ? covariance_factor(t, y, L)
                                           : correlation_factor(t, y, L);
}

static double map_matrix(const struct transform *t, const double *y, double *x, double *L)
{
    if (t->kind == TRANSFORM_CHOLESKY) return correlation_factor(t, y, x);
    double lj = matrix_factor(t, y, L);
    multiply_out(t, L, x);
    return lj;
}

/* work: L, dL. The diagonal of a correlation does not vary. */
static void pull_matrix(const struct transform *t, const double *y, const double *dx,
                        double *dy, double *work)
{
    int K = t->size;
    double *L = work, *dL = work + K * K;
    if (t->kind == TRANSFORM_CHOLESKY) {
        pull_correlation_factor(t, y, dx, dy);
        return;
    }
    matrix_factor(t, y, L);
    pull_product(K, L, dx, dL);
    if (t->kind == TRANSFORM_COVARIANCE)
        pull_covariance_factor(t, L, dL, dy);
    else
        pull_correlation_factor(t, y, dL, dy);
}

static void invert_correlation_factor(int K, const double *L, double *y)
{
    for (int r = 0; r < K; r++) {
        double q = 1;
        for (int c = 0; c < r; c++, y++) {
            double w = AT(L, r, c, K) / q;
            *y = atanh(w);
            q *= sqrt((1 - w) * (1 + w));
        }
    }
}

static void invert_covariance_factor(int K, const double *L, double *y)
{
    for (int r = 0; r < K; r++) {
        for (int c = 0; c < r; c++) *y++ = AT(L, r, c, K);
        *y++ = log(AT(L, r, r, K));
    }
}

static void invert_matrix(const struct transform *t, const double *x, double *y,
                          double *L)
{
    int K = t->size;
    memcpy(L, x, sizeof(double) * (size_t) K * (size_t) K);
    if (t->kind != TRANSFORM_CHOLESKY && la_chol(K, L) != 0) {
        for (int i = 0; i < transform_free(t); i++) y[i] = NAN;
        return;
    }
    if (t->kind == TRANSFORM_COVARIANCE)
        invert_covariance_factor(K, L, y);
    else
        invert_correlation_factor(K, L, y);
}

/* ---- any block ----------------------------------------------------------------------------- */

double transform_map(const struct transform *t, const double *y, double *x, double *work)
{
    if (is_matrix(t->kind)) return map_matrix(t, y, x, work);
    if (t->kind == TRANSFORM_SIMPLEX) return map_simplex(t, y, x);
    if (t->kind == TRANSFORM_ORDERED || t->kind == TRANSFORM_POSITIVE_ORDERED)
        return map_ordered(t, y, x);
    double lj = 0;
    for (int i = 0; i < t->size; i++) lj += map_one(t, i, y[i], x + i);
    return lj;
}

void transform_pull(const struct transform *t, const double *y, const double *dx,
                    double *dy, double *work)
{
    if (is_matrix(t->kind))
        pull_matrix(t, y, dx, dy, work);
    else if (t->kind == TRANSFORM_SIMPLEX)
        pull_simplex(t, y, dx, dy, work);
    else if (t->kind == TRANSFORM_ORDERED || t->kind == TRANSFORM_POSITIVE_ORDERED)
        pull_ordered(t, y, dx, dy);
    else
        for (int i = 0; i < t->size; i++) dy[i] = pull_one(t, i, y[i], dx[i]);
}

void transform_invert(const struct transform *t, const double *x, double *y, double *work)
{
    if (is_matrix(t->kind))
        invert_matrix(t, x, y, work);
    else if (t->kind == TRANSFORM_SIMPLEX)
        invert_simplex(t, x, y);
    else if (t->kind == TRANSFORM_ORDERED || t->kind == TRANSFORM_POSITIVE_ORDERED)
        invert_ordered(t, x, y);
    else
        for (int i = 0; i < t->size; i++) y[i] = invert_one(t, i, x[i]);
}
