# Survival: a Weibull regression with censored times, a hazard constant between cut points.

targets$weibull_censored <- function() {
  log_density <- function(p, data) {
    log_scale <- p$beta[1] + p$beta[2] * data$x
    z <- p$shape * (log(data$time) - log_scale)
    sum(data$event * (log(p$shape) + z - log(data$time)) - exp(z)) +
      sum(dnorm(p$beta, 0, 5, log = TRUE)) + dexp(p$shape, 1, log = TRUE)
  }
  case(log_density, list(beta = c(0, 0), shape = 1), data = simulated$weibull,
    constraints = function() list(shape = positive()),
    generated = function(p, data) list(median = exp(p$beta[1]) * log(2)^(1 / p$shape)))
}

targets$piecewise_hazard <- function() {
  d <- simulated$hazard
  low <- d$cuts[-5]
  exposure <- pmax(outer(d$time, low, `-`), 0)
  exposure <- pmin(exposure, rep(diff(d$cuts), each = length(d$time)))
  interval <- findInterval(d$time, d$cuts, rightmost.closed = TRUE)
  events <- tabulate(interval[d$event == 1], 4)
  by_x <- rbind(colSums(exposure[d$x == 0, ]), colSums(exposure[d$x == 1, ]))
  data <- list(events = events, exposure = by_x, events_x = sum(d$event * d$x))
  log_density <- function(p, data) {
    sum(data$events * log(p$hazard)) + p$beta * data$events_x -
      sum(p$hazard * (data$exposure[1, ] + exp(p$beta) * data$exposure[2, ])) +
      sum(dgamma(p$hazard, .5, 1, log = TRUE)) + dnorm(p$beta, 0, 2, log = TRUE)
  }
  case(log_density, list(hazard = rep(.2, 4), beta = 0), data = data,
    constraints = function() list(hazard = positive()))
}
