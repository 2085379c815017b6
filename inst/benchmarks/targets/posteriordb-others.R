# The other posteriors of posteriordb: time series, mixtures, Gaussian processes, hierarchies.
# Reference: the means and SDs of 10,000 published draws, their Monte Carlo errors beside them.

targets$arma11 <- function() {
  log_density <- function(p, data) {
    y <- data
    n <- length(y)
    innovations <- c(y[1] - p$mu - p$phi * p$mu, y[-1] - p$mu - p$phi * y[-n])
    e <- stats::filter(innovations, -p$theta, "recursive")
    -n * log(p$sigma) - sum(e^2) / (2 * p$sigma^2) + dnorm(p$mu, 0, 10, log = TRUE) +
      dnorm(p$phi, 0, 2, log = TRUE) + dnorm(p$theta, 0, 2, log = TRUE) +
      log_half_cauchy(p$sigma, 2.5)
  }
  case(log_density, list(mu = 0, phi = 0, theta = 0, sigma = 1), data = simulated$arma,
    constraints = function() list(sigma = positive()))
}

# beta1 is uniform on (0, 1 - alpha1): share is beta1 / (1 - alpha1), its Jacobian is in.
targets$garch11 <- function() {
  log_density <- function(p, data) {
    beta1 <- (1 - p$alpha1) * p$share
    n <- length(data$y)
    shocks <- p$alpha0 + p$alpha1 * (data$y[-n] - p$mu)^2
    v <- c(data$sigma1^2, stats::filter(shocks, beta1, "recursive", init = data$sigma1^2))
    sum(dnorm(data$y, p$mu, sqrt(v), log = TRUE)) + log1p(-p$alpha1)
  }
  case(log_density, list(mu = 0, alpha0 = 1, alpha1 = .5, share = .5), data = simulated$garch,
    constraints = function() {
      list(alpha0 = positive(), alpha1 = unit_interval(), share = unit_interval())
    },
    generated = function(p, data) list(beta1 = (1 - p$alpha1) * p$share))
}

targets$gp_regr <- function() {
  squared <- outer(simulated$gp_pois$x, simulated$gp_pois$x, `-`)^2
  log_density <- function(p, data) {
    R <- chol(p$alpha^2 * exp(-squared / (2 * p$rho^2)) + diag(p$sigma, length(data)))
    -sum(log(diag(R))) - sum(backsolve(R, data, transpose = TRUE)^2) / 2 +
      dgamma(p$rho, 25, 4, log = TRUE) + log_half_normal(p$alpha, 2) + log_half_normal(p$sigma, 1)
  }
  case(log_density, list(rho = 6, alpha = 1, sigma = 1), data = simulated$gp_pois$y,
    constraints = function() list(rho = positive(), alpha = positive(), sigma = positive()))
}

targets$gp_pois_regr <- function() {
  squared <- outer(simulated$gp_pois$x, simulated$gp_pois$x, `-`)^2
  latent <- function(p) {
    K <- p$alpha^2 * exp(-squared / (2 * p$rho^2)) + diag(1e-10, nrow(squared))
    as.numeric(crossprod(chol(K), p$f_tilde))
  }
  log_density <- function(p, data) {
    f <- latent(p)
    sum(data * f - exp(f)) + dgamma(p$rho, 25, 4, log = TRUE) + log_half_normal(p$alpha, 2) +
      sum(dnorm(p$f_tilde, log = TRUE))
  }
  case(log_density, list(rho = 6, alpha = 1, f_tilde = rep(0, 11)), "hard",
    data = simulated$gp_pois$k, generated = function(p, data) list(f = latent(p)),
    constraints = function() list(rho = positive(), alpha = positive()))
}

targets$eight_schools_noncentered <- function() {
  log_density <- function(p, data) {
    sum(dnorm(data$y, p$mu + p$tau * p$raw, data$sigma, log = TRUE)) +
      sum(dnorm(p$raw, log = TRUE)) + dnorm(p$mu, 0, 5, log = TRUE) + log_half_cauchy(p$tau, 5)
  }
  gradient <- function(p, data) {
    r <- (data$y - p$mu - p$tau * p$raw) / data$sigma^2
    list(raw = p$tau * r - p$raw, mu = sum(r) - p$mu / 25,
      tau = sum(r * p$raw) - 2 * p$tau / (25 + p$tau^2))
  }
  case(log_density, list(raw = rep(0, 8), mu = 0, tau = 1), data = simulated$schools,
    gradient = gradient, constraints = function() list(tau = positive()),
    generated = function(p, data) list(theta = p$mu + p$tau * p$raw))
}

targets$eight_schools_centered <- function() {
  log_density <- function(p, data) {
    sum(dnorm(data$y, p$theta, data$sigma, log = TRUE)) +
      sum(dnorm(p$theta, p$mu, p$tau, log = TRUE)) + dnorm(p$mu, 0, 5, log = TRUE) +
      log_half_cauchy(p$tau, 5)
  }
  case(log_density, list(theta = rep(0, 8), mu = 0, tau = 1), "hard", data = simulated$schools,
    constraints = function() list(tau = positive()))
}

targets$low_dim_gauss_mix <- function() {
  log_density <- function(p, data) {
    a <- log(p$theta) + dnorm(data, p$mu[1], p$sigma[1], log = TRUE)
    b <- log1p(-p$theta) + dnorm(data, p$mu[2], p$sigma[2], log = TRUE)
    m <- pmax(a, b)
    sum(m + log(exp(a - m) + exp(b - m))) + sum(dnorm(p$mu, 0, 2, log = TRUE)) +
      sum(log_half_normal(p$sigma, 2)) + dbeta(p$theta, 5, 5, log = TRUE)
  }
  case(log_density, list(mu = c(-1, 1), sigma = c(1, 1), theta = .5), data = simulated$gauss_mix,
    constraints = function() {
      list(mu = ordered_vector(), sigma = positive(), theta = unit_interval())
    })
}

# Two states, means ~ N(3, 1) and N(10, 1) in order, emissions with SD 1; forward algorithm.
targets$hmm_example <- function() {
  log_density <- function(p, data) {
    to1 <- c(p$stay1, p$from2)
    B1 <- exp(-(data - p$mu[1])^2 / 2)
    B2 <- exp(-(data - p$mu[2])^2 / 2)
    a1 <- B1[1]
    a2 <- B2[1]
    total <- 0
    for (t in 2:length(data)) {
      s <- a1 + a2
      total <- total + log(s)
      next1 <- (a1 * to1[1] + a2 * to1[2]) / s * B1[t]
      a2 <- (a1 * (1 - to1[1]) + a2 * (1 - to1[2])) / s * B2[t]
      a1 <- next1
    }
    total + log(a1 + a2) + dnorm(p$mu[1], 3, 1, log = TRUE) + dnorm(p$mu[2], 10, 1, log = TRUE)
  }
  case(log_density, list(stay1 = .5, from2 = .5, mu = c(3, 8)), data = simulated$hmm,
    constraints = function() {
      list(stay1 = unit_interval(), from2 = unit_interval(), mu = positive_ordered())
    })
}

# Hares and lynxes: Runge-Kutta, 12 steps a year.
targets$lotka_volterra <- function() {
  populations <- function(theta, z, years, steps = 12) {
    h <- 1 / steps
    u <- z[1]
    v <- z[2]
    out <- matrix(0, years, 2)
    for (year in seq_len(years)) {
      for (k in seq_len(steps)) {
        a1 <- (theta[1] - theta[2] * v) * u
        b1 <- (theta[4] * u - theta[3]) * v
        u2 <- u + h / 2 * a1
        v2 <- v + h / 2 * b1
        a2 <- (theta[1] - theta[2] * v2) * u2
        b2 <- (theta[4] * u2 - theta[3]) * v2
        u3 <- u + h / 2 * a2
        v3 <- v + h / 2 * b2
        a3 <- (theta[1] - theta[2] * v3) * u3
        b3 <- (theta[4] * u3 - theta[3]) * v3
        u4 <- u + h * a3
        v4 <- v + h * b3
        u <- u + h / 6 * (a1 + 2 * a2 + 2 * a3 + (theta[1] - theta[2] * v4) * u4)
        v <- v + h / 6 * (b1 + 2 * b2 + 2 * b3 + (theta[4] * u4 - theta[3]) * v4)
      }
      out[year, ] <- c(u, v)
    }
    out
  }
  log_density <- function(p, data) {
    z <- populations(p$theta, p$z_init, nrow(data$y))
    if (any(!is.finite(z)) || any(z <= 0)) return(-Inf)
    mean <- log(rbind(p$z_init, z))
    sum(dnorm(data$log_all[, 1], mean[, 1], p$sigma[1], log = TRUE)) +
      sum(dnorm(data$log_all[, 2], mean[, 2], p$sigma[2], log = TRUE)) +
      sum(dnorm(p$theta[c(1, 3)], 1, .5, log = TRUE)) +
      sum(dnorm(p$theta[c(2, 4)], .05, .05, log = TRUE)) +
      sum(dlnorm(p$sigma, -1, 1, log = TRUE)) + sum(dlnorm(p$z_init, log(10), 1, log = TRUE))
  }
  d <- simulated$lynx
  case(log_density, list(theta = c(.5, .03, .8, .03), z_init = c(30, 5), sigma = c(.5, .5)),
    data = list(y = d$y, log_all = log(rbind(d$y_init, d$y))),
    constraints = function() list(theta = positive(), z_init = positive(), sigma = positive()))
}

# Prices of 5,000 diamonds on 24 centred predictors: b ~ N(0, 1), intercept ~ t_3(8, 10),
# sigma half-t_3(10). Data enter by X'X, the least squares coefficients and their rss.
targets$diamonds <- function() {
  data <- simulated$diamonds
  log_density <- function(p, data) {
    e <- c(p$b, p$Intercept) - data$estimate
    i <- (p$Intercept - 8) / 10
    -data$n * log(p$sigma) - (data$rss + sum(e * (data$XX %*% e))) / (2 * p$sigma^2) -
      sum(p$b^2) / 2 - 2 * log1p(i^2 / 3) - 2 * log1p(p$sigma^2 / 300)
  }
  gradient <- function(p, data) {
    e <- c(p$b, p$Intercept) - data$estimate
    v <- as.numeric(data$XX %*% e)
    i <- (p$Intercept - 8) / 10
    list(
      b = -v[1:24] / p$sigma^2 - p$b,
      Intercept = -v[25] / p$sigma^2 - 4 * i / (30 * (1 + i^2 / 3)),
      sigma = -data$n / p$sigma + (data$rss + sum(e * v)) / p$sigma^3 -
        4 * p$sigma / 300 / (1 + p$sigma^2 / 300)
    )
  }
  case(log_density, list(b = rep(0, 24), Intercept = 8, sigma = 1), data = data,
    gradient = gradient, constraints = function() list(sigma = positive()))
}
