/* wishart.h: moments, entropies and expected log densities of the variational factors.
 *
 * One family serves every precision: Wishart(df, R^-1) with density proportional to
 *     |X|^((df - r - 1) / 2) exp(-tr(R X) / 2),   mean df R^-1,   df > r - 1,
 * because Gamma(shape, rate) is the Wishart with r = 1, df = 2 shape, R = 2 rate. The
 * half-t auxiliaries are written the same way. A factor is carried as its mean: its df
 * never changes while an engine runs. */
#ifndef MEANFIELD_WISHART_H
#define MEANFIELD_WISHART_H

/* E log |X| at df and mean M given by log |M|. */
double wishart_mean_logdet(int r, double df, double logdet_mean);

/* E_q log Wishart(X; df0, R0^-1) when q has E X = M and E log|X| = mean_logdet, and R0 may
 * be random with E log |R0| and tr(E[R0] M) given. */
double wishart_expected_log_density(int r, double df0, double mean_logdet_rate,
                                    double trace_rate_mean, double mean_logdet);

/* Entropy of Wishart(df) with mean M, given log |M|. */
double wishart_entropy(int r, double df, double logdet_mean);

/* V (ld x ld, at the diagonal block starting at `at`) <- Cov vech(X):
 *     Cov(X_ij, X_kl) = (M_ik M_jl + M_il M_jk) / df,  M the mean. */
void wishart_cov_vech(int r, double df, const double *M, double *V, int ld, int at);

#endif
