# Counts and categories: change point, capture-recapture, zero inflation, a simplex, item response.

targets$change_point_poisson <- function() {
  y <- simulated$changepoint$y
  data <- list(before = cumsum(y)[-length(y)], total = sum(y), n = length(y))
  log_density <- function(p, data) {
    k <- seq_len(data$n - 1)
    at <- data$before * log(p$rate[1]) - k * p$rate[1] +
      (data$total - data$before) * log(p$rate[2]) - (data$n - k) * p$rate[2]
    log_sum_exp(at) + sum(dexp(p$rate, .5, log = TRUE))
  }
  case(log_density, list(rate = c(2, 2)), data = data,
    constraints = function() list(rate = positive()))
}

# Behavioural response (model Mb), the population size N summed out: N uniform on seen..400.
targets$capture_behaviour <- function() {
  d <- simulated$capture
  seen <- sum(d$first)
  N <- seen:400
  data <- c(d, list(seen = seen, N = N, log_choose = lchoose(N, seen)))
  misses <- sum(d$first * (0:4))
  log_density <- function(p, data) {
    data$seen * log(p$first) + misses * log1p(-p$first) + data$later_seen * log(p$again) +
      (data$later - data$later_seen) * log1p(-p$again) +
      log_sum_exp(data$log_choose + 5 * (data$N - data$seen) * log1p(-p$first)) +
      dbeta(p$first, 2, 2, log = TRUE)
  }
  case(log_density, list(first = .3, again = .3), data = data,
    constraints = function() list(first = unit_interval(), again = unit_interval()))
}

targets$zero_inflated_poisson <- function() {
  log_density <- function(p, data) {
    zero <- data$y == 0
    sum(zero) * log(p$zero + (1 - p$zero) * exp(-p$rate)) +
      sum(log1p(-p$zero) + dpois(data$y[!zero], p$rate, log = TRUE)) +
      dgamma(p$rate, 1, .2, log = TRUE)
  }
  case(log_density, list(zero = .5, rate = 1), data = simulated$zip,
    constraints = function() list(zero = unit_interval(), rate = positive()))
}

targets$dirichlet_multinomial <- function() {
  log_density <- function(p, data) {
    a <- p$size * p$share
    n <- rowSums(data$y)
    sum(lgamma(p$size) - lgamma(p$size + n)) +
      sum(lgamma(t(data$y) + a)) - nrow(data$y) * sum(lgamma(a)) + dgamma(p$size, 2, .2, log = TRUE)
  }
  case(log_density, list(share = rep(.25, 4), size = 5), data = simulated$dirmult,
    constraints = function() list(share = simplex(), size = positive()))
}

# Two-parameter logistic with four items; ability integrated out over 21 nodes.
targets$item_response_2pl <- function() {
  nodes <- normal_nodes(21)
  log_density <- function(p, data) {
    eta <- outer(nodes$x, p$difficulty, `-`) * rep(p$slope, each = length(nodes$x))
    yes <- plogis(eta, log.p = TRUE)
    no <- plogis(-eta, log.p = TRUE)
    per_node <- data$y %*% t(yes - no) + rep(rowSums(no) + nodes$log_w, each = nrow(data$y))
    m <- do.call(pmax, as.data.frame(per_node))
    sum(m + log(rowSums(exp(per_node - m)))) + sum(dlnorm(p$slope, 0, .5, log = TRUE)) +
      sum(dnorm(p$difficulty, 0, 2, log = TRUE))
  }
  patterns <- simulated$irt
  case(log_density, list(slope = rep(1, 4), difficulty = rep(0, 4)), data = patterns,
    constraints = function() list(slope = positive()))
}

targets$hierarchical_logistic <- function() {
  log_density <- function(p, data) {
    u <- p$tau * p$raw
    log_bernoulli_logit(data$y, p$beta[1] + p$beta[2] * data$x + u[data$g]) +
      sum(dnorm(p$raw, log = TRUE)) + sum(dnorm(p$beta, 0, 2.5, log = TRUE)) +
      log_half_normal(p$tau, 1.5)
  }
  gradient <- function(p, data) {
    r <- data$y - plogis(p$beta[1] + p$beta[2] * data$x + (p$tau * p$raw)[data$g])
    by_group <- as.numeric(rowsum(r, data$g))
    list(
      beta = c(sum(r), sum(r * data$x)) - p$beta / 2.5^2,
      tau = sum(by_group * p$raw) - p$tau / 1.5^2,
      raw = p$tau * by_group - p$raw
    )
  }
  case(log_density, list(beta = c(0, 0), tau = 1, raw = rep(0, 12)), data = simulated$hierlogit,
    gradient = gradient, constraints = function() list(tau = positive()))
}
