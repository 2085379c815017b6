# Several modes.

targets$cauchy_location <- function() {
  log_density <- function(p, data) {
    sum(dcauchy(data, p$mu, 1, log = TRUE)) + dnorm(p$mu, 0, 20, log = TRUE)
  }
  case(log_density, list(mu = 0), "hard", data = c(-6, -5.2, -4.9, 4.7, 5.5))
}

# Labels may swap: two equal modes.
targets$mixture_unordered <- function() {
  log_density <- function(p, data) {
    a <- log(p$share) + dnorm(data$y, p$mu[1], 1, log = TRUE)
    b <- log1p(-p$share) + dnorm(data$y, p$mu[2], 1, log = TRUE)
    m <- pmax(a, b)
    sum(m + log(exp(a - m) + exp(b - m))) + sum(dnorm(p$mu, 0, 5, log = TRUE))
  }
  case(log_density, list(share = .4, mu = c(-1, 1)), "hard", data = simulated$mixture,
    constraints = function() list(share = unit_interval()))
}

targets$two_modes_1d <- function() {
  log_density <- function(p) log_sum_exp(dnorm(p$x, c(-3, 3), 1, log = TRUE) + log(.5))
  case(log_density, list(x = .5), "hard")
}

targets$two_modes_2d_unequal <- function() {
  log_density <- function(p) {
    log_sum_exp(log(c(.7, .3)) + dnorm(p$x[1], c(-5, 5), 1, log = TRUE) +
      dnorm(p$x[2], c(2, -2), c(1, .5), log = TRUE))
  }
  case(log_density, list(x = c(0, 0)), "hard")
}

targets$three_modes_1d <- function() {
  log_density <- function(p) {
    log_sum_exp(log(c(.2, .5, .3)) + dnorm(p$x, c(-8, 0, 9), c(1, .7, 1.5), log = TRUE))
  }
  case(log_density, list(x = 1), "hard")
}

targets$plateau_and_spike <- function() {
  log_density <- function(p) {
    log_sum_exp(log(.5) + c(sum(dnorm(p$x, 0, 2, TRUE)), sum(dnorm(p$x, 1.5, .01, TRUE))))
  }
  case(log_density, list(x = c(0, 0)), "hard")
}
