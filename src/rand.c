/* rand.c: the core's only contact with R's random number generator (see rand.h). */
#include <math.h>
#include <R_ext/Random.h>
#include <Rmath.h>
#include "core.h"
#include "la.h"
#include "rand.h"

double rand_unif(void) { return unif_rand(); }

double rand_exp(void) { return exp_rand(); }

double rand_gamma(double shape, double rate) { return rgamma(shape, 1 / rate); }

void rand_wishart(int r, double df, const double *L, double *X, double *work)
{
    double *A = work; /* lower: sqrt(chi^2_{df - i}) on the diagonal, normals below */
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++)
            AT(A, i, j, r) = i > j    ? norm_rand()
                             : i == j ? sqrt(rgamma(0.5 * (df - i), 2.0))
                                      : 0;
    for (int j = 0; j < r; j++) la_solve_lt(r, L, A + (size_t) j * (size_t) r); /* L^-T A */
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++) {
            double s = 0;
            for (int k = 0; k < r; k++) s += AT(A, i, k, r) * AT(A, j, k, r);
            AT(X, i, j, r) = s;
        }
}

void rand_normals(long n, double *z)
{
    for (long i = 0; i < n; i++) z[i] = norm_rand();
}

double rand_slice(double x, double width, double (*f)(double x, const void *ctx),
                  const void *ctx)
{
    double level = f(x, ctx) - exp_rand();
    if (!isfinite(level)) return x;
    double lo = x - width * unif_rand(), hi = lo + width;
    for (int i = 0; i < 100 && f(lo, ctx) > level; i++) lo -= width;
    for (int i = 0; i < 100 && f(hi, ctx) > level; i++) hi += width;
    for (int i = 0; i < 200; i++) {
        double y = lo + (hi - lo) * unif_rand();
        if (f(y, ctx) >= level) return y;
        if (y < x)
            lo = y;
        else
            hi = y;
    }
    return x;
}
