# Shapes with closed-form or one-dimensional truths.

targets$ring <- function() {
  case(function(p) -(sqrt(sum(p$x^2)) - 2)^2 / (2 * .3^2), list(x = c(1, 1)), "hard")
}

targets$funnel_10d <- function() {
  log_density <- function(p) {
    dnorm(p$v, 0, 3, log = TRUE) + sum(dnorm(p$x, 0, exp(p$v / 2), log = TRUE))
  }
  case(log_density, list(v = 0, x = rep(.1, 9)), "hard")
}

targets$schools_noncentred <- function() {
  log_density <- function(p, data) {
    sum(dnorm(data$y, p$mu + p$tau * p$raw, data$sigma, log = TRUE)) +
      sum(dnorm(p$raw, log = TRUE)) + dnorm(p$mu, 0, 5, log = TRUE) + log_half_cauchy(p$tau, 5)
  }
  case(log_density, list(raw = rep(0, 8), mu = 0, tau = 1), data = simulated$schools,
    constraints = function() list(tau = positive()),
    generated = function(p, data) list(theta = p$mu + p$tau * p$raw))
}

# Infinite variance in five dimensions.
targets$student_t2_5d <- function() {
  log_density <- function(p) {
    lgamma(3.5) - lgamma(1) - 2.5 * log(2 * pi) - 3.5 * log1p(sum(p$x^2) / 2)
  }
  case(log_density, list(x = rep(.5, 5)), "hard")
}

targets$inverse_gamma_heavy <- function() {
  log_density <- function(p) -2.5 * log(p$x) - 1 / p$x - lgamma(1.5)
  case(log_density, list(x = 1), "hard", constraints = function() list(x = positive()))
}

targets$inverse_gamma_3 <- function() {
  log_density <- function(p) 3 * log(2) - 4 * log(p$x) - 2 / p$x - lgamma(3)
  case(log_density, list(x = 1), constraints = function() list(x = positive()))
}

targets$shifted_exponential <- function() {
  case(function(p) dexp(p$x - 2, 3, log = TRUE), list(x = 3),
    constraints = function() list(x = lower_bounded(2)))
}

targets$arcsine <- function() {
  case(function(p) dbeta(p$x, .5, .5, log = TRUE), list(x = .3),
    constraints = function() list(x = unit_interval()))
}

targets$laplace_2d <- function() {
  case(function(p) sum(-abs(p$x - c(1, -2)) / c(1, 3) - log(2 * c(1, 3))), list(x = c(0, 0)))
}

targets$near_singular <- function() {
  r <- .9999
  log_density <- function(p) {
    -(p$x[1]^2 - 2 * r * p$x[1] * p$x[2] + p$x[2]^2) / (2 * (1 - r^2))
  }
  gradient <- function(p) list(x = -c(p$x[1] - r * p$x[2], p$x[2] - r * p$x[1]) / (1 - r^2))
  case(log_density, list(x = c(1, 0)), gradient = gradient)
}

# The sum is known well, the parts only by their prior.
targets$weak_sum <- function() {
  log_density <- function(p) {
    sum(dnorm(c(2.1, 1.9, 2.05), p$a + p$b, .05, log = TRUE)) + dnorm(p$a, 0, 10, log = TRUE) +
      dnorm(p$b, 0, 10, log = TRUE)
  }
  case(log_density, list(a = 0, b = 0))
}

# x1 ~ N(1, .5^2), then x_k ~ N(x_(k-1)^2, .3^2).
targets$rosenbrock_4d <- function() {
  log_density <- function(p) {
    dnorm(p$x[1], 1, .5, log = TRUE) + sum(dnorm(p$x[-1], p$x[-4]^2, .3, log = TRUE))
  }
  case(log_density, list(x = rep(.5, 4)), "hard")
}

targets$far_start <- function() {
  log_density <- function(p) {
    sum(dnorm(p$x, c(50, -50, 100), c(1, 1, 2), log = TRUE)) + dgamma(p$s, 4, .04, log = TRUE)
  }
  case(log_density, list(x = c(0, 0, 0), s = 1), constraints = function() list(s = positive()))
}

# ---- nothing to be right about, or to be noticed -------------------------------------------------

# A flat prior and data that a line separates: the likelihood rises for ever.
targets$separated_logistic <- function() {
  log_density <- function(p, data) log_bernoulli_logit(data$y, p$beta[1] + p$beta[2] * data$x)
  case(log_density, list(beta = c(0, 0)), "refuse", data = simulated$separated)
}

targets$improper_half_line <- function() {
  case(function(p) dnorm(p$mu, log = TRUE) - log1p(1 / p$scale), list(mu = 0, scale = 1), "refuse",
    constraints = function() list(scale = positive()))
}

targets$bounds_as_infinite <- function() {
  log_density <- function(p) {
    if (any(p$x < 0) || any(p$x > c(1, 2))) -Inf else -log(2)
  }
  case(log_density, list(x = c(.5, .5)), "hard")
}

# A log of a negative number where x[2] < -1: NaN with a warning.
targets$nan_in_region <- function() {
  log_density <- function(p) sum(dnorm(p$x, log = TRUE)) + log(1 + p$x[2])
  case(log_density, list(x = c(0, 0)), "hard")
}

# Right at the start, wrong by a factor where x[1] > 1.
targets$gradient_wrong_in_region <- function() {
  case(function(p) sum(dnorm(p$x, log = TRUE)), list(x = c(.2, .1)), "hard",
    gradient = function(p) list(x = -p$x * if (p$x[1] > 1) 3 else 1))
}

# ---- many dimensions -----------------------------------------------------------------------------

# An autoregression of order one, correlation .5, in 300 dimensions.
targets$autoregression_300d <- function() {
  log_density <- function(p) {
    x <- p$x
    dnorm(x[1], 0, 1, log = TRUE) + sum(dnorm(x[-1], .5 * x[-300], sqrt(.75), log = TRUE))
  }
  gradient <- function(p) {
    e <- c(0, p$x[-1] - .5 * p$x[-300]) / .75
    list(x = c(-p$x[1], rep(0, 299)) - e + .5 * c(e[-1], 0))
  }
  case(log_density, list(x = rep(1, 300)), gradient = gradient)
}
