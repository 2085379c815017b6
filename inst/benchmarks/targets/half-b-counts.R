# Counts and categories: change point, capture-recapture, over-dispersion, weights, item response.

targets$change_point_normal <- function() {
  y <- simulated$changepoint$y
  n <- length(y)
  k <- seq_len(n - 1)
  data <- list(k = k, n = n, sum1 = cumsum(y)[k], all = sum(y), squares = sum(y^2))
  log_density <- function(p, data) {
    rss <- data$squares - 2 * (p$mu[1] * data$sum1 + p$mu[2] * (data$all - data$sum1)) +
      data$k * p$mu[1]^2 + (data$n - data$k) * p$mu[2]^2
    log_sum_exp(-rss / (2 * p$sigma^2)) - data$n * log(p$sigma) +
      sum(dnorm(p$mu, 0, 3, log = TRUE)) + log_half_normal(p$sigma, 2)
  }
  case(log_density, list(mu = c(0, 1), sigma = 1), data = data,
    constraints = function() list(sigma = positive()))
}

# Cormack-Jolly-Seber: survival and recapture, all animals marked at the first of five occasions.
targets$cormack_jolly_seber <- function() {
  h <- simulated$cjs$h
  last <- apply(h, 1, function(x) max(which(x == 1)))
  data <- list(last = tabulate(last, 5), seen = sum(h) - nrow(h), steps = sum(last - 1))
  log_density <- function(p, data) {
    never <- numeric(5)
    never[5] <- 1
    for (t in 4:1) never[t] <- 1 - p$phi + p$phi * (1 - p$p) * never[t + 1]
    data$steps * log(p$phi) + data$seen * log(p$p) + (data$steps - data$seen) * log1p(-p$p) +
      sum(data$last * log(never))
  }
  case(log_density, list(phi = .5, p = .5), data = data,
    constraints = function() list(phi = unit_interval(), p = unit_interval()))
}

# Heterogeneous capture (Mh): logit-normal probabilities, the unseen summed out; N up to 300.
targets$capture_heterogeneity <- function() {
  nodes <- normal_nodes(25)
  d <- simulated$mh
  seen <- sum(d$count)
  N <- seen:300
  data <- c(d, list(seen = seen, N = N, log_choose = lchoose(N, seen)))
  log_density <- function(p, data) {
    eta <- p$mu + p$sigma * nodes$x
    k <- 0:data$K
    yes <- plogis(eta, log.p = TRUE)
    no <- plogis(-eta, log.p = TRUE)
    log_cell <- apply(outer(yes, k) + outer(no, data$K - k) + nodes$log_w, 2, log_sum_exp)
    sum(data$count * log_cell[-1]) +
      log_sum_exp(data$log_choose + (data$N - data$seen) * log_cell[1]) +
      dnorm(p$mu, 0, 2, log = TRUE) + log_half_normal(p$sigma, 1)
  }
  case(log_density, list(mu = 0, sigma = 1), data = data,
    constraints = function() list(sigma = positive()))
}

targets$negative_binomial <- function() {
  log_density <- function(p, data) {
    sum(dnbinom(data$y, p$size, mu = exp(p$beta[1] + p$beta[2] * data$x), log = TRUE)) +
      sum(dnorm(p$beta, 0, 5, log = TRUE)) + dgamma(p$size, 2, .5, log = TRUE)
  }
  case(log_density, list(beta = c(0, 0), size = 1), data = simulated$negbin,
    constraints = function() list(size = positive()))
}

targets$mixture_weights <- function() {
  lik <- outer(simulated$weights$y, c(-2, 0, 2), dnorm)
  log_density <- function(p, data) sum(log(data$lik %*% p$w)) - .5 * sum(log(p$w))
  case(log_density, list(w = rep(1 / 3, 3)), data = list(lik = lik),
    constraints = function() list(w = simplex()))
}

# Rasch model by its sufficient statistics; ability integrated out over 25 nodes.
targets$rasch <- function() {
  nodes <- normal_nodes(25)
  log_density <- function(p, data) {
    theta <- p$sd * nodes$x
    none <- rowSums(plogis(outer(-theta, p$difficulty, `+`), log.p = TRUE)) + nodes$log_w
    per_score <- vapply(0:5, function(s) log_sum_exp(none + s * theta), 0)
    sum(data$score * per_score) - sum(data$item * p$difficulty) +
      sum(dnorm(p$difficulty, 0, 3, log = TRUE)) + log_half_cauchy(p$sd, 1)
  }
  case(log_density, list(sd = 1, difficulty = rep(0, 5)), data = simulated$rasch,
    constraints = function() list(sd = positive()))
}

targets$poisson_intercepts <- function() {
  data <- list(total = as.numeric(rowsum(simulated$poisson$y, simulated$poisson$g)), n = 4)
  log_density <- function(p, data) {
    eta <- p$mu + p$tau * p$raw
    sum(data$total * eta - data$n * exp(eta)) + sum(dnorm(p$raw, log = TRUE)) +
      dnorm(p$mu, 0, 3, log = TRUE) + log_half_cauchy(p$tau, 1)
  }
  gradient <- function(p, data) {
    r <- data$total - data$n * exp(p$mu + p$tau * p$raw)
    list(mu = sum(r) - p$mu / 9, tau = sum(r * p$raw) - 2 * p$tau / (1 + p$tau^2),
      raw = p$tau * r - p$raw)
  }
  case(log_density, list(mu = 0, tau = .5, raw = rep(0, 6)), data = data, gradient = gradient,
    constraints = function() list(tau = positive()))
}

targets$hierarchical_logistic_13 <- function() {
  log_density <- function(p, data) {
    u <- p$tau * p$raw
    log_bernoulli_logit(data$y, p$beta[1] + p$beta[2] * data$x + u[data$g]) +
      sum(dnorm(p$raw, log = TRUE)) + sum(dnorm(p$beta, 0, 2.5, log = TRUE)) +
      log_half_cauchy(p$tau, 1)
  }
  case(log_density, list(beta = c(0, 0), tau = 1, raw = rep(0, 13)), data = simulated$hierlogit,
    constraints = function() list(tau = positive()))
}
