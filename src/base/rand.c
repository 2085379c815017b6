/* rand.c: the core's only contact with R's random number generator (see rand.h). */
#include <math.h>
#include <R_ext/Random.h>
#include <Rmath.h>
#include "base/core.h"
#include "base/la.h"
#include "base/rand.h"

double rand_gamma(double shape, double rate) { return rgamma(shape, 1 / rate); }

double rand_uniform(void) { return unif_rand(); }

/* Where the tail starts, and the area of each layer, for 128 layers. */
static const double ZIG_TAIL = 3.442619855899;
static const double ZIG_AREA = 9.91256303526217e-3;

/* Layers of equal area under f(x) = exp(-x^2 / 2): x_i (f(x_{i+1}) - f(x_i)) = area. The
 * lowest one holds the tail, and x[0] is the edge it would have as a rectangle. */
struct ziggurat rand_ziggurat(void)
{
    struct ziggurat zig;
    double f = exp(-0.5 * ZIG_TAIL * ZIG_TAIL);
    zig.x[0] = ZIG_AREA / f;
    zig.x[1] = ZIG_TAIL;
    zig.x[ZIG_LAYERS] = 0;
    for (int i = 2; i < ZIG_LAYERS; i++) {
        zig.x[i] = sqrt(-2 * log(ZIG_AREA / zig.x[i - 1] + f));
        f = exp(-0.5 * zig.x[i] * zig.x[i]);
    }
    for (int i = 0; i < ZIG_LAYERS; i++) zig.ratio[i] = zig.x[i + 1] / zig.x[i];
    return zig;
}

/* A normal beyond ZIG_TAIL [Marsaglia 1964]. */
static double normal_tail(void)
{
    double x, y;
    do {
        x = -log(unif_rand()) / ZIG_TAIL;
        y = -log(unif_rand());
    } while (y + y < x * x);
    return ZIG_TAIL + x;
}

static double normal(const struct ziggurat *zig)
{
    for (;;) {
        double u = 2 * unif_rand() - 1;
        int i = (int) (unif_rand() * ZIG_LAYERS);
        if (fabs(u) < zig->ratio[i]) return u * zig->x[i];
        if (i == 0) return u < 0 ? -normal_tail() : normal_tail();
        double x = u * zig->x[i];
        double lo = exp(-0.5 * (zig->x[i] * zig->x[i] - x * x));
        double hi = exp(-0.5 * (zig->x[i + 1] * zig->x[i + 1] - x * x));
        if (lo + unif_rand() * (hi - lo) < 1) return x;
    }
}

void rand_normals(const struct ziggurat *zig, size_t n, double *z)
{
    for (size_t i = 0; i < n; i++) z[i] = normal(zig);
}

void rand_wishart(int r, double df, const double *L, const struct ziggurat *zig,
                  double *X, double *work)
{
    double *A = work; /* lower: sqrt(chi^2_{df - i}) on the diagonal, normals below */
    rand_normals(zig, (size_t) (r * r), A);
    for (int j = 0; j < r; j++)
        for (int i = 0; i <= j; i++)
            AT(A, i, j, r) = i == j ? sqrt(rgamma(0.5 * (df - i), 2.0)) : 0;
    for (int j = 0; j < r; j++)
        la_solve_lt(r, L, A + (size_t) j * (size_t) r); /* L^-T A */
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++) {
            double s = 0;
            for (int k = 0; k < r; k++) s += AT(A, i, k, r) * AT(A, j, k, r);
            AT(X, i, j, r) = s;
        }
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
