# Curves: dose-response, growth, enzyme kinetics, a Gaussian process, directions.

targets$four_parameter_logistic <- function() {
  log_density <- function(p, data) {
    mu <- p$bottom + p$span * plogis(p$hill * (data$ld - p$log_ec50))
    sum(dnorm(data$y, mu, p$sigma, log = TRUE)) + dnorm(p$bottom, 0, 5, log = TRUE) +
      dlnorm(p$span, log(8), .5, log = TRUE) + dlnorm(p$hill, 0, .5, log = TRUE) +
      dnorm(p$log_ec50, 0, 2, log = TRUE) + log_half_normal(p$sigma, 2)
  }
  case(log_density, list(bottom = 0, span = 5, hill = 1, log_ec50 = 0, sigma = 1),
    data = simulated$fourpl,
    constraints = function() list(span = positive(), hill = positive(), sigma = positive()))
}

targets$logistic_growth <- function() {
  log_density <- function(p, data) {
    mu <- p$capacity * plogis(p$rate * (data$t - p$middle))
    sum(dnorm(data$y, mu, p$sigma, log = TRUE)) + dlnorm(p$capacity, 3, 1, log = TRUE) +
      dlnorm(p$rate, -1, 1, log = TRUE) + dnorm(p$middle, 5, 5, log = TRUE) +
      log_half_cauchy(p$sigma, 1)
  }
  case(log_density, list(capacity = 15, rate = .5, middle = 4, sigma = 1),
    data = simulated$logistic,
    constraints = function() list(capacity = positive(), rate = positive(), sigma = positive()))
}

targets$von_bertalanffy <- function() {
  log_density <- function(p, data) {
    mu <- p$top * (1 - exp(-p$rate * (data$age - p$t0)))
    if (any(mu <= 0)) return(-Inf)
    sum(dnorm(log(data$y), log(mu), p$sigma, log = TRUE)) + dlnorm(p$top, log(30), .5, log = TRUE) +
      dlnorm(p$rate, -1, .5, log = TRUE) + dnorm(p$t0, 0, 1, log = TRUE) +
      log_half_normal(p$sigma, .5)
  }
  case(log_density, list(top = 25, rate = .4, t0 = 0, sigma = .1), data = simulated$bertalanffy,
    constraints = function() list(top = positive(), rate = positive(), sigma = positive()))
}

# Michaelis-Menten: substrate over time in closed form, by Lambert's W.
targets$michaelis_menten <- function() {
  lambert <- function(log_z) {
    w <- ifelse(log_z > 1, log_z - log(pmax(log_z, 1)), exp(pmin(log_z, 1)) / 3)
    for (i in 1:12) w <- w * (1 + log_z - log(w)) / (1 + w)
    w
  }
  log_density <- function(p, data) {
    log_z <- log(data$s0 / p$km) + (data$s0 - p$vmax * data$t) / p$km
    sum(dnorm(data$y, p$km * lambert(log_z), p$sigma, log = TRUE)) +
      dlnorm(p$vmax, 0, 1, log = TRUE) + dlnorm(p$km, 0, 1, log = TRUE) +
      log_half_normal(p$sigma, 1)
  }
  case(log_density, list(vmax = 1, km = 1, sigma = .5), data = simulated$menten,
    constraints = function() list(vmax = positive(), km = positive(), sigma = positive()))
}

# Matern 3/2, fifteen points.
targets$gp_matern <- function() {
  distance <- abs(outer(simulated$gp$x, simulated$gp$x, `-`))
  log_density <- function(p, data) {
    k <- sqrt(3) * distance / p$length
    R <- chol(p$amplitude^2 * (1 + k) * exp(-k) + diag(p$sigma^2, length(data$y)))
    -sum(backsolve(R, data$y, transpose = TRUE)^2) / 2 - sum(log(diag(R))) +
      dlnorm(p$length, 0, 1, log = TRUE) + log_half_cauchy(p$amplitude, 1) +
      log_half_normal(p$sigma, .5)
  }
  case(log_density, list(length = 1, amplitude = 1, sigma = .3), data = simulated$gp,
    constraints = function() list(length = positive(), amplitude = positive(), sigma = positive()))
}

targets$von_mises_mean <- function() {
  log_density <- function(p, data) {
    sum(p$kappa * cos(data$y - p$mu)) - length(data$y) *
      (log(2 * pi) + log(besselI(p$kappa, 0, TRUE)) + p$kappa) + dexp(p$kappa, .3, log = TRUE)
  }
  case(log_density, list(mu = 1, kappa = 1), data = simulated$vonmises,
    constraints = function() list(mu = bounded(2 - pi, 2 + pi), kappa = positive()))
}
