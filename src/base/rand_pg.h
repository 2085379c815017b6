/* rand_pg.h: Polya-Gamma random numbers.
 *
 * omega ~ PG(b, c) has Laplace transform [Polson, Scott & Windle 2013, eq. (3)]
 *
 *     E exp(-t omega) = (cosh(c / 2) / cosh(sqrt(c^2 / 4 + t / 2)))^b
 *
 * and makes the binomial likelihood Gaussian: exp(eta)^y / (1 + exp(eta))^n is, up to a constant,
 * E exp((y - n/2) eta - omega eta^2 / 2) over omega ~ PG(n, 0); omega | eta ~ PG(n, eta). */
#ifndef MEANFIELD_RAND_PG_H
#define MEANFIELD_RAND_PG_H

/* The first three cumulants of PG(b, c), b > 0. */
void rand_pg_cumulants(double b, double c, double *kappa);

/* Largest b drawn exactly, as a sum of b draws from PG(1, c). Beyond it: a shifted gamma with the
 * mean, variance and third cumulant of PG(b, c). By Fourier inversion its distribution function
 * is within .008 / b of the true one at every c: 5e-5 at the switch. */
enum { PG_EXACT = 170 };

/* One draw from PG(b, c) for whole b >= 0; 0 when b = 0. */
double rand_pg(double b, double c);

#endif
