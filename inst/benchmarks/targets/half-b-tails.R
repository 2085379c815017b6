# Heavy right tails, supports that depend on parameters, correlations, shrinkage.

targets$generalised_pareto <- function() {
  log_density <- function(p, data) {
    t <- 1 + p$xi * data$y / p$sigma
    if (any(t <= 0)) return(-Inf)
    log_t <- if (abs(p$xi) < 1e-8) data$y / p$sigma else log(t) / p$xi
    -length(data$y) * log(p$sigma) - (1 + p$xi) * sum(log_t) + dlnorm(p$sigma, 0, 1, log = TRUE) +
      dnorm(p$xi, 0, .3, log = TRUE)
  }
  case(log_density, list(sigma = 3, xi = 0), data = simulated$gpd,
    constraints = function() list(sigma = positive()))
}

targets$student_location <- function() {
  log_density <- function(p, data) {
    sum(dt((data$y - p$mu) / p$sigma, p$df, log = TRUE)) - length(data$y) * log(p$sigma) +
      dnorm(p$mu, 0, 10, log = TRUE) + log_half_normal(p$sigma, 3) +
      dgamma(p$df - 1, 2, .1, log = TRUE)
  }
  case(log_density, list(mu = 1, sigma = 1, df = 6), data = simulated$tlocation,
    constraints = function() list(sigma = positive(), df = lower_bounded(1)))
}

# Three groups: the density of tau falls as slowly as tau^-5.
targets$variance_components_3 <- function() {
  d <- simulated$variance
  means <- as.numeric(tapply(d$y, d$g, mean))
  data <- list(means = means, within = sum((d$y - means[d$g])^2), n = 5, groups = 3)
  log_density <- function(p, data) {
    s2 <- p$sigma^2
    rest <- data$groups * (data$n - 1)
    sum(dnorm(data$means, p$mu, sqrt(p$tau^2 + s2 / data$n), log = TRUE)) -
      rest * log(p$sigma) - data$within / (2 * s2) +
      dnorm(p$mu, 0, 5, log = TRUE) + log_half_cauchy(p$tau, 1) + log_half_cauchy(p$sigma, 1)
  }
  case(log_density, list(mu = 0, tau = 1, sigma = 1), data = data,
    constraints = function() list(tau = positive(), sigma = positive()))
}

# Covariance by scales and a correlation matrix, twelve rows, strong correlation.
targets$correlation_and_scales <- function() {
  y <- simulated$corr$y
  data <- list(S = crossprod(y), n = nrow(y))
  log_density <- function(p, data) {
    R <- chol(p$R)
    inner <- data$S / outer(p$scale, p$scale)
    -data$n * sum(log(diag(R))) - sum(chol2inv(R) * inner) / 2 - data$n * sum(log(p$scale)) +
      sum(log_half_normal(p$scale, 2))
  }
  case(log_density, list(R = diag(3), scale = rep(1, 3)), data = data,
    constraints = function() list(R = correlation(), scale = positive()))
}

targets$horseshoe <- function() {
  log_density <- function(p, data) {
    beta <- p$raw * p$local * p$global
    sum(dnorm(data$y, data$X %*% beta, 1, log = TRUE)) + sum(dnorm(p$raw, log = TRUE)) +
      sum(log_half_cauchy(p$local, 1)) + log_half_cauchy(p$global, .5) -
      sum(beta^2) / (2 * 3^2)
  }
  case(log_density, list(raw = rep(.1, 5), local = rep(1, 5), global = .5), "hard",
    data = simulated$horseshoe,
    constraints = function() list(local = positive(), global = positive()),
    generated = function(p, data) list(beta = p$raw * p$local * p$global))
}
