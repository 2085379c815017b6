# Targets, as a user writes them, whose posterior is known.

# Of an evaluator: one parameter x, a vector of d.
vector_target <- function(ev, d, init = numeric(d), ...) {
  target(function(p) ev(t(p$x), FALSE)$lp, list(x = init),
    function(p) list(x = t(ev(t(p$x))$gradient)), vectorised = TRUE, ...)
}

normal_target <- function(d, seed = 5L) {
  S <- random_covariance(d, seed)
  mu <- cos(seq_len(d))
  list(target = vector_target(gaussian_evaluator(mu, S), d), mean = mu, sd = sqrt(diag(S)), S = S)
}

# A density of one number, its gradient by differences.
scalar_target <- function(lp, init = 0, ...) target(lp, list(x = init), gradient = "differences", ...)

# y ~ N(mu, 1), mu ~ N(m0, s0^2), with m0 and s0 in the data.
conjugate_y <- c(2.1, 3.4, 1.9, 2.8)
conjugate_target <- function(m0 = 1, s0 = 2) {
  target(function(p, data) {
    sum(dnorm(data$y, p$mu, 1, log = TRUE)) + dnorm(p$mu, data$m0, data$s0, log = TRUE)
  }, list(mu = 0), function(p, data) {
    list(mu = sum(data$y - p$mu) - (p$mu - data$m0) / data$s0^2)
  }, data = list(y = conjugate_y, m0 = m0, s0 = s0))
}

# Moments and evidence of a posterior with conjugate_target()'s prior.
conjugate_truth <- function(m0 = 1, s0 = 2) {
  n <- length(conjugate_y)
  precision <- n + 1 / s0^2
  S <- diag(n) + s0^2
  dev <- conjugate_y - m0
  list(mean = (sum(conjugate_y) + m0 / s0^2) / precision, sd = 1 / sqrt(precision),
    evidence = -n / 2 * log(2 * pi) - sum(log(diag(chol(S)))) - drop(dev %*% solve(S, dev)) / 2)
}

# rate ~ Gamma(3, 1) and a free normal one: skewed, with known moments, evidence 0.
gamma_target <- function() {
  target(function(p) dgamma(p$rate, 3, 1, log = TRUE) + dnorm(p$x, 1, 2, log = TRUE),
    list(rate = 1, x = 0), function(p) list(rate = 2 / p$rate - 1, x = -(p$x - 1) / 4),
    list(rate = positive()), generated = function(p) list(double = 2 * p$rate))
}

# The SIR model of sir_log_density() as a user writes it; R0 and T from the parameters.
sir_target <- function() {
  target(function(p) {
    z <- log(rbind(p$beta, p$gamma, p$phi_inv))
    sir_log_density(z) - colSums(z) # without the Jacobian
  }, list(beta = 2, gamma = 0.5, phi_inv = 0.2),
  constraints = list(beta = positive(), gamma = positive(), phi_inv = positive()),
  generated = function(p) list(T = 1 / p$gamma, R0 = p$beta / p$gamma), vectorised = TRUE,
  gradient = "differences")
}

SIR_MEAN <- c(1.73493, 0.54197, 0.13749, 1.85811, 3.22242)
SIR_SD <- c(0.05285, 0.04537, 0.07483, 0.15657, 0.27596)
SIR_EVIDENCE <- -67.23975

# The fit and its warnings' words, or its refusal.
told <- function(expr) {
  words <- character()
  fit <- tryCatch(withCallingHandlers(expr, meanfield_warning_target = function(w) {
    words <<- c(words, conditionMessage(w))
    invokeRestart("muffleWarning")
  }), meanfield_error = identity)
  list(fit = fit, words = words)
}
