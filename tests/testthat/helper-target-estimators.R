# What the stochastic estimators of the gradient are on average, and how much they vary.

# Mean, its standard error, and variance of single-draw estimates for the mean and SD (not its log)
# of each coordinate, from n_draws draws of a private stream.
gradient_moments <- function(ev, m, omega, estimator = STOCHASTIC_ESTIMATORS, n_draws = 10000L,
                             baseline = "none", seed = 1L) {
  estimator <- check_choice(estimator, STOCHASTIC_ESTIMATORS, "estimator")
  baseline <- check_choice(baseline, STOCHASTIC_BASELINES, "baseline")
  d <- length(m)
  family <- meanfield_family(d, log_sd = FALSE)
  x <- c(m, exp(rep_len(omega, d)))
  e <- with_fixed_seed(matrix(stats::rnorm(d * n_draws), d), seed)
  out <- ev(family$place(x, e), estimator != "score")
  before <- mean(out$lp - log_q(family, x, e))
  g <- gradient_estimates(family, x, e, out, estimator, baseline, before)
  mean <- rowMeans(g)
  variance <- rowSums((g - mean)^2) / (n_draws - 1)
  data.frame(coordinate = rep(seq_len(d), 2L), parameter = rep(c("mean", "sd"), each = d),
    mean = mean, se = sqrt(variance / n_draws), variance = variance)
}
