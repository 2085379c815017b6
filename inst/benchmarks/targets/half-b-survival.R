# Survival: log-normal times with censoring, proportional hazards on a Weibull base.

targets$lognormal_censored <- function() {
  log_density <- function(p, data) {
    z <- (log(data$time) - p$beta[1] - p$beta[2] * data$x) / p$sigma
    dead <- data$event == 1
    sum(dnorm(z[dead], log = TRUE) - log(p$sigma * data$time[dead])) +
      sum(pnorm(z[!dead], lower.tail = FALSE, log.p = TRUE)) +
      sum(dnorm(p$beta, 0, 5, log = TRUE)) + log_half_cauchy(p$sigma, 1)
  }
  case(log_density, list(beta = c(0, 0), sigma = 1), data = simulated$lognormal,
    constraints = function() list(sigma = positive()),
    generated = function(p, data) list(median = exp(p$beta[1])))
}

targets$proportional_hazards <- function() {
  log_density <- function(p, data) {
    eta <- p$log_rate + p$beta * data$x
    sum(data$event * (eta + log(p$shape) + (p$shape - 1) * log(data$time)) -
      exp(eta) * data$time^p$shape) + dnorm(p$log_rate, 0, 3, log = TRUE) +
      dnorm(p$beta, 0, 1, log = TRUE) + dgamma(p$shape, 2, 1, log = TRUE)
  }
  case(log_density, list(log_rate = -1, beta = 0, shape = 1), data = simulated$hazard,
    constraints = function() list(shape = positive()),
    generated = function(p, data) list(hazard_ratio = exp(p$beta)))
}
