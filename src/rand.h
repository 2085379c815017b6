/* rand.h: random draws from R's generator. The caller brackets a whole run with
 * GetRNGstate() and PutRNGstate(); nothing here touches the state otherwise. */
#ifndef MEANFIELD_RAND_H
#define MEANFIELD_RAND_H

double rand_unif(void);                          /* (0, 1)                      */
double rand_exp(void);                           /* rate 1                      */
double rand_gamma(double shape, double rate);    /* NaN on a bad parameter      */
/* X (r x r, full) ~ Wishart(df, R^-1) given L with R = L L' (Bartlett); work: r x r. */
void rand_wishart(int r, double df, const double *L, double *X, double *work);
void rand_normals(long n, double *z);            /* z <- n standard normals     */

/* One slice-sampling update (Neal 2003, stepping out and shrinkage) of a scalar x whose log
 * density is f(x, ctx); width is the first bracket. Returns the new x, or x itself when f(x)
 * is not finite. At most 100 steps out and 200 shrinkages, so that it cannot hang. */
double rand_slice(double x, double width, double (*f)(double x, const void *ctx),
                  const void *ctx);

#endif
