# More log densities as an engine sees them (see helper-target-evaluators.R).

# A covariance with correlations and very different scales.
random_covariance <- function(d, seed) {
  A <- with_fixed_seed(matrix(stats::rnorm(d * d), d), seed)
  s <- exp(sin(seq_len(d)))
  (crossprod(A) / d + diag(0.1, d)) * tcrossprod(s)
}

# log of a Gamma(a, 1) variable.
log_gamma_evaluator <- function(a) function(Z, gradient = TRUE) {
  list(lp = a * Z[1L, ] - exp(Z[1L, ]) - lgamma(a), gradient = a - exp(Z))
}

# The SIR model of an influenza outbreak in a school, in (log beta, log gamma, log phi_inv).
sir_infected <- function(beta, gamma, steps = 10L) {
  h <- 1 / steps
  b <- beta / 763
  S <- rep(762, length(beta))
  I <- rep(1, length(beta))
  out <- matrix(0, 14L, length(beta))
  for (day in 1:14) {
    for (step in seq_len(steps)) {
      n1 <- b * S * I
      i1 <- n1 - gamma * I
      n2 <- b * (S - h / 2 * n1) * (I + h / 2 * i1)
      i2 <- n2 - gamma * (I + h / 2 * i1)
      n3 <- b * (S - h / 2 * n2) * (I + h / 2 * i2)
      i3 <- n3 - gamma * (I + h / 2 * i2)
      n4 <- b * (S - h * n3) * (I + h * i3)
      i4 <- n4 - gamma * (I + h * i3)
      S <- S - h / 6 * (n1 + 2 * n2 + 2 * n3 + n4)
      I <- I + h / 6 * (i1 + 2 * i2 + 2 * i3 + i4)
    }
    out[day, ] <- I
  }
  out
}

sir_log_density <- function(Z) {
  in_bed <- c(3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4)
  beta <- exp(Z[1L, ])
  gamma <- exp(Z[2L, ])
  phi_inv <- exp(Z[3L, ])
  I <- matrix(sir_infected(beta, gamma), 14L)
  fit <- stats::dnbinom(rep(in_bed, ncol(Z)), rep(1 / phi_inv, each = 14L), mu = pmax(I, 1e-12),
    log = TRUE)
  colSums(matrix(fit, 14L)) + stats::dnorm(beta, 2, 1, log = TRUE) - stats::pnorm(2, log.p = TRUE) +
    stats::dnorm(gamma, 0.4, 0.5, log = TRUE) - stats::pnorm(0.8, log.p = TRUE) +
    stats::dexp(phi_inv, 5, log = TRUE) + colSums(Z)
}

sir_evaluator <- function(Z, gradient = TRUE) {
  by_difference <- function(j) {
    h <- replace(numeric(3L), j, 1e-5)
    (sir_log_density(Z + h) - sir_log_density(Z - h)) / 2e-5
  }
  list(lp = sir_log_density(Z), gradient = if (gradient) t(vapply(1:3, by_difference, Z[1L, ])))
}
