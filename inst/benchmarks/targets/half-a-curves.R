# Curves: dose-response, growth, kinetics, an epidemic, a Gaussian process, a circular response.

targets$emax <- function() {
  log_density <- function(p, data) {
    mu <- p$e0 + p$emax * data$dose / (p$ed50 + data$dose)
    sum(dnorm(data$y, mu, p$sigma, log = TRUE)) + dnorm(p$e0, 0, 10, log = TRUE) +
      dnorm(p$emax, 0, 20, log = TRUE) + dlnorm(p$ed50, log(20), 1, log = TRUE) +
      log_half_normal(p$sigma, 5)
  }
  case(log_density, list(e0 = 1, emax = 5, ed50 = 10, sigma = 1), data = simulated$emax,
    constraints = function() list(ed50 = positive(), sigma = positive()))
}

targets$gompertz_growth <- function() {
  log_density <- function(p, data) {
    log_mu <- log(p$top) - p$shift * exp(-p$rate * data$t)
    sum(dnorm(log(data$y), log_mu, p$sigma, log = TRUE)) + dlnorm(p$top, log(10), 1, log = TRUE) +
      dlnorm(p$shift, 1, 1, log = TRUE) + dlnorm(p$rate, -1, 1, log = TRUE) +
      log_half_normal(p$sigma, 1)
  }
  positives <- function() {
    list(top = positive(), shift = positive(), rate = positive(), sigma = positive())
  }
  case(log_density, list(top = 10, shift = 2, rate = .5, sigma = .2), data = simulated$gompertz,
    constraints = positives)
}

# Absorption and elimination may swap their places: the prior ka ~ 1.5, ke ~ .2 says which is which.
targets$one_compartment <- function() {
  log_density <- function(p, data) {
    mu <- 100 * p$ka / (p$volume * (p$ka - p$ke)) * (exp(-p$ke * data$t) - exp(-p$ka * data$t))
    sum(dnorm(log(data$y), log(mu), p$sigma, log = TRUE)) + dlnorm(p$ka, log(1.5), .5, log = TRUE) +
      dlnorm(p$ke, log(.2), .5, log = TRUE) + dlnorm(p$volume, log(20), .7, log = TRUE) +
      log_half_normal(p$sigma, .5)
  }
  positives <- function() {
    list(ka = positive(), ke = positive(), volume = positive(), sigma = positive())
  }
  case(log_density, list(ka = 1, ke = .1, volume = 10, sigma = .3), data = simulated$onecomp,
    constraints = positives, generated = function(p, data) list(half_life = log(2) / p$ke))
}

# Influenza in an English boarding school, 1978: Runge-Kutta, 20 steps a day, in log-free form.
targets$sir <- function() {
  infected <- function(beta, gamma, n, days = 14, steps = 20) {
    h <- 1 / steps
    s <- n - 1
    i <- 1
    out <- numeric(days)
    for (day in seq_len(days)) {
      for (k in seq_len(steps)) {
        a1 <- beta * s * i / n
        b1 <- a1 - gamma * i
        s2 <- s - h / 2 * a1
        i2 <- i + h / 2 * b1
        a2 <- beta * s2 * i2 / n
        b2 <- a2 - gamma * i2
        s3 <- s - h / 2 * a2
        i3 <- i + h / 2 * b2
        a3 <- beta * s3 * i3 / n
        b3 <- a3 - gamma * i3
        s4 <- s - h * a3
        i4 <- i + h * b3
        a4 <- beta * s4 * i4 / n
        s <- s - h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        i <- i + h / 6 * (b1 + 2 * b2 + 2 * b3 + a4 - gamma * i4)
      }
      out[day] <- i
    }
    out
  }
  log_density <- function(p, data) {
    mu <- infected(p$beta, p$gamma, data$N)
    sum(dnbinom(data$y, 1 / p$phi_inv, mu = mu, log = TRUE)) + dexp(p$phi_inv, 5, log = TRUE) +
      dnorm(p$beta, 2, 1, log = TRUE) - pnorm(2, log.p = TRUE) +
      dnorm(p$gamma, .4, .5, log = TRUE) - pnorm(.8, log.p = TRUE)
  }
  case(log_density, list(beta = 1.5, gamma = .5, phi_inv = .2), data = simulated$sir,
    constraints = function() list(beta = positive(), gamma = positive(), phi_inv = positive()),
    generated = function(p, data) list(T = 1 / p$gamma, R0 = p$beta / p$gamma))
}

targets$gp_hyperparameters <- function() {
  squared <- outer(simulated$gp$x, simulated$gp$x, `-`)^2
  log_density <- function(p, data) {
    K <- p$amplitude^2 * exp(-squared / (2 * p$length^2)) + diag(p$sigma^2, length(data$y))
    R <- chol(K)
    -sum(backsolve(R, data$y, transpose = TRUE)^2) / 2 - sum(log(diag(R))) -
      length(data$y) / 2 * log(2 * pi) + dgamma(p$length, 3, 1.5, log = TRUE) +
      log_half_normal(p$amplitude, 2) + log_half_normal(p$sigma, 1)
  }
  case(log_density, list(length = 1, amplitude = 1, sigma = .5), data = simulated$gp,
    constraints = function() list(length = positive(), amplitude = positive(), sigma = positive()))
}

targets$von_mises_regression <- function() {
  log_density <- function(p, data) {
    angle <- data$y - p$mu - 2 * atan(p$slope * data$x)
    sum(p$kappa * cos(angle) - log(2 * pi) - log(besselI(p$kappa, 0, TRUE)) - p$kappa) +
      dnorm(p$mu, 0, 1, log = TRUE) + dnorm(p$slope, 0, 2, log = TRUE) +
      dgamma(p$kappa, 2, .5, log = TRUE)
  }
  case(log_density, list(mu = 0, slope = .5, kappa = 2), data = simulated$vonmises,
    constraints = function() list(kappa = positive()))
}
