# Heavy right tails, supports that depend on parameters, correlations, shrinkage with a kink.

targets$gev <- function() {
  log_density <- function(p, data) {
    t <- 1 + p$xi * (data$y - p$mu) / p$sigma
    if (any(t <= 0)) return(-Inf)
    log_t <- if (abs(p$xi) < 1e-8) (data$y - p$mu) / p$sigma else log(t) / p$xi
    sum(-log(p$sigma) - (1 + p$xi) * log_t - exp(-log_t)) + dnorm(p$mu, 0, 20, log = TRUE) +
      dlnorm(p$sigma, 0, 1, log = TRUE) + dnorm(p$xi, 0, .3, log = TRUE)
  }
  case(log_density, list(mu = 10, sigma = 2, xi = .1), data = simulated$gev,
    constraints = function() list(sigma = positive()))
}

targets$student_regression <- function() {
  log_density <- function(p, data) {
    r <- (data$y - p$beta[1] - p$beta[2] * data$x) / p$sigma
    sum(dt(r, p$df, log = TRUE)) - length(r) * log(p$sigma) +
      sum(dnorm(p$beta, 0, 5, log = TRUE)) + log_half_cauchy(p$sigma, 2) +
      dgamma(p$df, 2, .1, log = TRUE)
  }
  case(log_density, list(beta = c(0, 0), sigma = 1, df = 5), data = simulated$treg,
    constraints = function() list(sigma = positive(), df = positive()))
}

# One-way layout, four groups; group effects integrated out, half-Cauchy prior on their SD.
targets$variance_components_4 <- function() {
  d <- simulated$variance
  means <- as.numeric(tapply(d$y, d$g, mean))
  data <- list(means = means, within = sum((d$y - means[d$g])^2), n = 6, groups = 4)
  log_density <- function(p, data) {
    s2 <- p$sigma^2
    rest <- data$groups * (data$n - 1)
    sum(dnorm(data$means, p$mu, sqrt(p$tau^2 + s2 / data$n), log = TRUE)) -
      rest * log(p$sigma) - data$within / (2 * s2) +
      dnorm(p$mu, 0, 10, log = TRUE) + log_half_cauchy(p$tau, 2.5) + log_half_cauchy(p$sigma, 2.5)
  }
  case(log_density, list(mu = 0, tau = 1, sigma = 1), data = data,
    constraints = function() list(tau = positive(), sigma = positive()))
}

targets$correlation_3 <- function() {
  y <- simulated$corr$y
  data <- list(S = crossprod(y), n = nrow(y))
  log_density <- function(p, data) {
    R <- chol(p$R)
    -(data$n - 2) * sum(log(diag(R))) - sum(diag(chol2inv(R) %*% data$S)) / 2
  }
  case(log_density, list(R = diag(3)), data = data,
    constraints = function() list(R = correlation()))
}

targets$lasso <- function() {
  log_density <- function(p, data) {
    sum(dnorm(data$y, data$X %*% p$beta, p$sigma, log = TRUE)) -
      sum(abs(p$beta)) * p$rate + 6 * log(p$rate / 2) + dgamma(p$rate, 2, 1, log = TRUE) +
      log_half_normal(p$sigma, 3)
  }
  case(log_density, list(beta = rep(.1, 6), sigma = 1, rate = 1), data = simulated$lasso,
    constraints = function() list(sigma = positive(), rate = positive()))
}
