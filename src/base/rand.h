/* rand.h: random draws from R's generator. The caller brackets a whole run with
 * GetRNGstate() and PutRNGstate(); nothing here touches the state otherwise. */
#ifndef MEANFIELD_RAND_H
#define MEANFIELD_RAND_H

#include <stddef.h>

double rand_gamma(double shape, double rate); /* NaN on a bad parameter      */
double rand_uniform(void);                    /* in (0, 1)                   */

/* Standard normals by the ziggurat method with 128 layers [Marsaglia & Tsang 2000; Doornik
 * 2005] on R's uniforms: a third of the time of R's own inversion, which bounded the sampler. */
enum { ZIG_LAYERS = 128 };
struct ziggurat {
    double x[ZIG_LAYERS + 1]; /* right edges, widest first; x[128] = 0            */
    double ratio[ZIG_LAYERS]; /* x[i + 1] / x[i]: below it a layer is all inside  */
};
struct ziggurat rand_ziggurat(void);
void rand_normals(const struct ziggurat *zig, size_t n, double *z);

/* X (r x r, full) ~ Wishart(df, R^-1) given L with R = L L' (Bartlett); work: r x r. */
void rand_wishart(int r, double df, const double *L, const struct ziggurat *zig,
                  double *X, double *work);

/* One slice-sampling update (Neal 2003, stepping out and shrinkage) of a scalar x whose log
 * density is f(x, ctx); width is the first bracket. Returns the new x, or x itself when f(x)
 * is not finite. At most 100 steps out and 200 shrinkages, so that it cannot hang. */
double rand_slice(double x, double width, double (*f)(double x, const void *ctx),
                  const void *ctx);

#endif
