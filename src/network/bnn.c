/* bnn.c: see bnn.h. */
#include <math.h>
#include <string.h>
#include "network/bnn.h"

static const double LOG_2PI = 1.837877066409345483560659472811,
                    LOG_PI = 1.144729885849400174143427351353;

static int n_outputs(const struct bnn *b) { return b->net.size[b->net.n_layers]; }

struct bnn_work bnn_work_carve(const struct bnn *b, struct arena *a)
{
    struct bnn_work k;
    k.units = arena_doubles(a, BNN_ROWS * mlp_n_units(&b->net));
    k.slope = arena_doubles(a, BNN_ROWS * (size_t) n_outputs(b));
    return k;
}

/* Each family: log p(y | f) of a row, its slope by f, and (Gaussian) by log sigma. */
static double gaussian_row(double y, double f, double log_sigma, double *df,
                           double *d_log_sigma)
{
    double precision = exp(-2 * log_sigma), r = y - f;
    *df = r * precision;
    *d_log_sigma += r * r * precision - 1;
    return -LOG_2PI / 2 - log_sigma - r * r * precision / 2;
}

static double binomial_row(double y, double f, double *df)
{
    double small = exp(-fabs(f)), p = f > 0 ? 1 / (1 + small) : small / (1 + small);
    *df = y - p;
    return y * f - fmax(f, 0) - log1p(small);
}

static double categorical_row(int k, double y, const double *f, double *df)
{
    double top = f[0], sum = 0;
    for (int j = 1; j < k; j++) top = fmax(top, f[j]);
    for (int j = 0; j < k; j++) sum += df[j] = exp(f[j] - top);
    for (int j = 0; j < k; j++) df[j] = (j == (int) y) - df[j] / sum;
    return f[(int) y] - top - log(sum);
}

double bnn_log_lik(const struct bnn *b, const double *w, double log_sigma, double *dw,
                   double *d_log_sigma, struct bnn_work *k)
{
    int p = b->net.size[0], K = n_outputs(b);
    double sum = 0, by_sigma = 0;
    if (dw) memset(dw, 0, sizeof(double) * mlp_n_weights(&b->net));
    for (int from = 0; from < b->n; from += BNN_ROWS) {
        int rows = b->n - from < BNN_ROWS ? b->n - from : BNN_ROWS;
        const double *x = &AT(b->x, 0, from, p), *y = b->y + from;
        mlp_forward(&b->net, w, rows, x, k->units);
        const double *f = mlp_output(&b->net, rows, k->units);
        for (int i = 0; i < rows; i++, f += K) {
            double *df = &AT(k->slope, 0, i, K);
            if (b->family == BNN_GAUSSIAN)
                sum += gaussian_row(y[i], *f, log_sigma, df, &by_sigma);
            else if (b->family == BNN_BINOMIAL)
                sum += binomial_row(y[i], *f, df);
            else
                sum += categorical_row(K, y[i], f, df);
        }
        if (dw) mlp_backward(&b->net, w, rows, x, k->units, k->slope, dw, NULL);
    }
    if (d_log_sigma) *d_log_sigma = by_sigma;
    return sum;
}

size_t bnn_dim(const struct bnn *b)
{
    return mlp_n_weights(&b->net) + (b->learned ? 1 : 0);
}

/* Adds the prior's slope to g. */
static double log_prior(const struct bnn *b, size_t n, const double *w, double *g)
{
    double precision = 1 / (b->prior_sd * b->prior_sd), ss = 0;
    for (size_t j = 0; j < n; j++) {
        ss += w[j] * w[j];
        g[j] -= w[j] * precision;
    }
    return -ss * precision / 2 - (double) n * (log(b->prior_sd) + LOG_2PI / 2);
}

/* Of log sigma: log half-t(sigma) + log sigma. */
static double log_sigma_prior(const struct bnn *b, double log_sigma, double *g)
{
    double df = b->df,
           u = exp(2 * (log_sigma - log(b->scale))) / df; /* (sigma / scale)^2 / df */
    *g += 1 - (df + 1) * (u > 1 ? 1 / (1 + 1 / u) : u / (1 + u));
    return log(2) + lgamma((df + 1) / 2) - lgamma(df / 2) - (log(df) + LOG_PI) / 2 -
           log(b->scale) - (df + 1) / 2 * log1p(u) + log_sigma;
}

double bnn_log_density(const struct bnn *b, const double *z, double *g,
                       struct bnn_work *k)
{
    size_t n = mlp_n_weights(&b->net);
    double log_sigma = b->learned ? z[n] : b->log_sigma;
    double lp = bnn_log_lik(b, z, log_sigma, g, b->learned ? g + n : NULL, k);
    lp += log_prior(b, n, z, g);
    if (b->learned) lp += log_sigma_prior(b, log_sigma, g + n);
    return lp;
}
