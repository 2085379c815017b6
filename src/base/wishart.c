/* wishart.c: see wishart.h. Special functions come from R's Rmath. */
#include <math.h>
#include <Rmath.h>
#include "base/core.h"
#include "base/vech.h"
#include "base/wishart.h"

static const double LOG_2 = 0.693147180559945309417232121458;
static const double LOG_PI = 1.144729885849400174143427351353;

static double multi_digamma(int r, double x) /* sum_i digamma(x - i / 2) */
{
    double s = 0;
    for (int i = 0; i < r; i++) s += digamma(x - 0.5 * i);
    return s;
}

static double multi_lgamma(int r, double x)
{
    double s = 0.25 * r * (r - 1) * LOG_PI;
    for (int i = 0; i < r; i++) s += lgammafn(x - 0.5 * i);
    return s;
}

double wishart_mean_logdet(int r, double df, double logdet_mean)
{
    return logdet_mean - r * log(df) + r * LOG_2 + multi_digamma(r, 0.5 * df);
}

double wishart_expected_log_density(int r, double df0, double mean_logdet_rate,
                                    double trace_rate_mean, double mean_logdet)
{
    return 0.5 * (df0 * mean_logdet_rate - df0 * r * LOG_2 + (df0 - r - 1) * mean_logdet -
                  trace_rate_mean) -
           multi_lgamma(r, 0.5 * df0);
}

double wishart_entropy(int r, double df, double logdet_mean)
{
    double logdet_rate = r * log(df) - logdet_mean;
    return -wishart_expected_log_density(r, df, logdet_rate, df * r,
                                         wishart_mean_logdet(r, df, logdet_mean));
}

void wishart_cov_vech(int r, double df, const double *M, double *V, int ld, int at)
{
    for (int j = 0; j < r; j++)
        for (int i = j; i < r; i++)
            for (int l = 0; l < r; l++)
                for (int k = l; k < r; k++)
                    AT(V, at + vech_at(r, i, j), at + vech_at(r, k, l), ld) =
                        (AT(M, i, k, r) * AT(M, j, l, r) +
                         AT(M, i, l, r) * AT(M, j, k, r)) /
                        df;
}
