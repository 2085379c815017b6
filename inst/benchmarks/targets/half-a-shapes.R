# Shapes with closed-form or one-dimensional truths.

targets$normal_1d <- function() case(function(p) dnorm(p$x, 3, 2, log = TRUE), list(x = 0))

targets$banana <- function() {
  log_density <- function(p) {
    dnorm(p$x[1], log = TRUE) + dnorm(p$x[2], p$x[1]^2, .5, log = TRUE)
  }
  case(log_density, list(x = c(0, 0)), "hard")
}

targets$funnel_2d <- function() {
  log_density <- function(p) dnorm(p$v, 0, 3, log = TRUE) + dnorm(p$x, 0, exp(p$v / 2), log = TRUE)
  case(log_density, list(v = 0, x = 0), "hard")
}

targets$schools_centred <- function() {
  log_density <- function(p, data) {
    sum(dnorm(data$y, p$theta, data$sigma, log = TRUE)) +
      sum(dnorm(p$theta, p$mu, p$tau, log = TRUE)) + dnorm(p$mu, 0, 5, log = TRUE) +
      log_half_cauchy(p$tau, 5)
  }
  case(log_density, list(theta = rep(0, 8), mu = 0, tau = 1), "hard", data = simulated$schools,
    constraints = function() list(tau = positive()))
}

targets$student_t2_1d <- function() {
  case(function(p) dt(p$x, 2, log = TRUE), list(x = 0), "hard")
}

targets$cauchy_1d <- function() {
  case(function(p) dcauchy(p$x, 1, 2, log = TRUE), list(x = 0), "refuse")
}

targets$log_gamma_half <- function() {
  case(function(p) .5 * p$x - exp(p$x) - lgamma(.5), list(x = 0))
}

targets$gamma_small_shape <- function() {
  case(function(p) dgamma(p$x, .6, 1, log = TRUE), list(x = 1),
    constraints = function() list(x = positive()))
}

targets$uniform_bounded <- function() {
  case(function(p) dunif(p$x, 2, 5, log = TRUE), list(x = 3),
    constraints = function() list(x = bounded(2, 5)))
}

targets$two_scales <- function() {
  log_density <- function(p) {
    e <- (c(p$x, p$y) - c(2e-6, 3e6)) / c(1e-6, 1e6)
    -(e[1]^2 - 1.6 * e[1] * e[2] + e[2]^2) / (2 * .36)
  }
  case(log_density, list(x = 0, y = 0))
}

# ---- nothing to be right about, or to be noticed -------------------------------------------------

targets$flat_direction <- function() {
  case(function(p) dnorm(p$x[1] + p$x[2], 1, .5, log = TRUE), list(x = c(0, 0)), "refuse")
}

# A flat prior on log tau: the density does not vanish as tau goes to zero.
targets$improper_hierarchy <- function() {
  log_density <- function(p, data) {
    sum(dnorm(data$y, p$mu, sqrt(data$sigma^2 + p$tau^2), log = TRUE)) - log(p$tau)
  }
  case(log_density, list(mu = 0, tau = 5), "refuse", data = simulated$schools,
    constraints = function() list(tau = positive()))
}

targets$jump_in_bulk <- function() {
  case(function(p) dnorm(p$x, log = TRUE) + if (p$x > .3) log(4) else 0, list(x = 0), "hard")
}

# An R error where x[1] > 1, a region that holds 16% of a normal distribution.
targets$error_in_region <- function() {
  log_density <- function(p) {
    if (p$x[1] > 1) stop("the solver failed")
    sum(dnorm(p$x, log = TRUE))
  }
  case(log_density, list(x = c(0, 0)), "hard")
}

# One derivative has the wrong sign.
targets$wrong_gradient <- function() {
  case(function(p) sum(dnorm(p$x, c(1, 2), c(1, 3), log = TRUE)), list(x = c(.5, 0)), "hard",
    gradient = function(p) list(x = c(1, -1) * (c(1, 2) - p$x) / c(1, 9)))
}

# ---- many dimensions -----------------------------------------------------------------------------

targets$normal_1000d <- function() {
  data <- list(mean = sin(1:1000), sd = exp(cos(1:1000)))
  case(
    function(p, data) sum(dnorm(p$x, data$mean, data$sd, log = TRUE)), list(x = rep(0, 1000)),
    data = data, gradient = function(p, data) list(x = (data$mean - p$x) / data$sd^2)
  )
}
