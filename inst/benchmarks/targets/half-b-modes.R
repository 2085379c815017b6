# Several modes; and a mixture that has one because its means are ordered.

targets$cauchy_location_3 <- function() {
  log_density <- function(p, data) {
    sum(dcauchy(data, p$mu, .5, log = TRUE)) + dnorm(p$mu, 0, 10, log = TRUE)
  }
  case(log_density, list(mu = .2), "hard", data = c(-7, -6.4, .1, 8, 8.3))
}

targets$mixture_ordered <- function() {
  log_density <- function(p, data) {
    a <- log(p$share) + dnorm(data$y, p$mu[1], p$sigma, log = TRUE)
    b <- log1p(-p$share) + dnorm(data$y, p$mu[2], p$sigma, log = TRUE)
    m <- pmax(a, b)
    sum(m + log(exp(a - m) + exp(b - m))) + sum(dnorm(p$mu, 0, 5, log = TRUE)) +
      log_half_normal(p$sigma, 2) + dbeta(p$share, 2, 2, log = TRUE)
  }
  case(log_density, list(share = .5, mu = c(-1, 1), sigma = 1), data = simulated$mixture,
    constraints = function() {
      list(share = unit_interval(), mu = ordered_vector(), sigma = positive())
    })
}

targets$two_modes_1d_unequal <- function() {
  log_density <- function(p) log_sum_exp(log(c(.7, .3)) + dnorm(p$x, c(0, 4), c(1, .8), log = TRUE))
  case(log_density, list(x = 0), "hard")
}

targets$two_modes_2d_far <- function() {
  log_density <- function(p) {
    log_sum_exp(log(.5) + dnorm(p$x[1], c(-10, 10), 1, log = TRUE) + dnorm(p$x[2], log = TRUE))
  }
  case(log_density, list(x = c(1, 1)), "hard")
}

targets$three_modes_2d <- function() {
  centre <- cbind(c(0, 0), c(6, 1), c(-2, 7))
  scale <- rep(c(1, .8, 1.2), each = 2)
  log_density <- function(p) {
    log_sum_exp(log(c(.4, .35, .25)) + colSums(dnorm(p$x - centre, 0, scale, log = TRUE)))
  }
  case(log_density, list(x = c(0, 0)), "hard")
}
