# The Gaussian nearest to a target, against closed forms and optima by quadrature.

sir_cases <- c(3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4)

# Infected after 1, ..., 14 days by Runge-Kutta: 14 x n for n pairs of rates.
sir_infected <- function(beta, gamma, steps = 20L) {
  x <- list(rep(762, length(beta)), rep(1, length(beta)))
  flow <- function(x) {
    new <- beta * x[[1L]] * x[[2L]] / 763
    list(-new, new - gamma * x[[2L]])
  }
  ahead <- function(x, k, h) Map(function(a, b) a + h * b, x, k)
  t(vapply(seq_along(sir_cases), function(day) {
    for (i in seq_len(steps)) {
      a <- flow(x)
      b <- flow(ahead(x, a, 0.5 / steps))
      c <- flow(ahead(x, b, 0.5 / steps))
      d <- flow(ahead(x, c, 1 / steps))
      x <<- Map(function(x, a, b, c, d) x + (a + 2 * b + 2 * c + d) / (6 * steps), x, a, b, c, d)
    }
    x[[2L]]
  }, beta))
}

# In log beta, log gamma, log of the inverse dispersion, normalised prior.
sir_log_density <- function(U) {
  u <- exp(U)
  I <- matrix(sir_infected(u[1L, ], u[2L, ]), ncol = ncol(U))
  size <- rep(1 / u[3L, ], each = nrow(I))
  lp <- colSums(matrix(suppressWarnings(stats::dnbinom(sir_cases, size = size,
    mu = pmax(I, 1e-300), log = TRUE)), nrow(I))) + colSums(U) +
    stats::dnorm(u[1L, ], 2, 1, TRUE) - stats::pnorm(2, log.p = TRUE) +
    stats::dnorm(u[2L, ], 0.4, 0.5, TRUE) - stats::pnorm(0.8, log.p = TRUE) +
    stats::dexp(u[3L, ], 5, TRUE)
  ifelse(is.finite(lp), lp, -Inf)
}

sd_of <- function(fit) sqrt(rowSums(fit$L^2))

# Largest error of the means in standard deviations, and of the standard deviations in proportion.
distance_to <- function(fit, m, s) c(max(abs(fit$m - m) / s), max(abs(sd_of(fit) / s - 1)))

test_that("a Gaussian is found exactly, from far and from its mode", {
  for (d in c(1L, 2L, 10L, 50L, 200L)) {
    S <- rough_covariance(d)
    mu <- 3 * cos(seq_len(d))
    ev <- gaussian_evaluator(mu, S)
    far <- gaussian_vi(ev, numeric(d), diag(d))
    at <- start_at(ev, numeric(d))
    near <- gaussian_vi(ev, at$z, at$L)
    for (fit in list(far, near)) {
      expect_true(fit$converged)
      expect_lt(max(distance_to(fit, mu, sqrt(diag(S)))), 1e-8)
      expect_equal(tcrossprod(fit$L), S, tolerance = 1e-8)
      expect_lt(abs(fit$elbo), 1e-8)
    }
    expect_identical(near$iterations, 0L)
    expect_identical(near$asked, as.double(gaussian_points(d)))
  }
})

test_that("what comes back belongs together", {
  fit <- gaussian_vi(banana_evaluator, c(0, 0), diag(2))
  at <- banana_evaluator(fit$m + fit$L %*% fit$E)
  expect_equal(fit$lp, at$lp)
  expect_equal(fit$gradient, at$gradient)
  expect_equal(fit$elbo, mean(fit$lp) + sum(log(diag(fit$L))) + 1 + log(2 * pi))
  expect_identical(fit$L[1L, 2L], 0)
  expect_identical(nrow(fit$trace), fit$iterations)
  expect_identical(fit, gaussian_vi(banana_evaluator, c(0, 0), diag(2)))
})

test_that("the SIR model's optimum is met", {
  ev <- difference_evaluator(sir_log_density)
  expect_equal(ev(matrix(log(c(1.73, 0.54, 0.137))))$lp, -63.347336, tolerance = 1e-7)
  at <- start_at(ev, c(0, 0, 0))
  expect_equal(at$z, c(0.548287, -0.605770, -2.321194), tolerance = 1e-3)
  expect_equal(sd_of(at), c(0.02554, 0.07294, 0.51154), tolerance = 1e-3)
  fit <- gaussian_vi(ev, at$z, at$L)
  optimum <- c(0.550241, -0.613067, -2.123316)
  away <- distance_to(fit, optimum, c(0.026926, 0.075597, 0.477435))
  expect_true(fit$converged)
  expect_lt(away[1L], 0.02)
  expect_lt(away[2L], 0.01)
  expect_equal(fit$elbo, -67.33814, tolerance = 2e-4)
  r <- stats::cov2cor(tcrossprod(fit$L))
  expect_equal(r[lower.tri(r)], c(0.204, 0.110, 0.179), tolerance = 0.1)
})

test_that("banana and funnel: the closed form of the family's optimum", {
  fit <- gaussian_vi(banana_evaluator, c(0, 0), diag(2), 512L, tol = 1e-4)
  expect_lt(max(distance_to(fit, c(0, 0.2207), c(0.4698, 0.5))), 0.1)
  expect_equal(fit$elbo, -0.56066, tolerance = 0.02)
  funnel <- pointwise_evaluator(
    function(z) stats::dnorm(z[1L], 0, 3, TRUE) + stats::dnorm(z[2L], 0, exp(z[1L] / 2), TRUE),
    function(z) c(-z[1L] / 9 - 0.5 + z[2L]^2 * exp(-z[1L]) / 2, -z[2L] * exp(-z[1L]))
  )
  wide <- gaussian_vi(funnel, c(0, 0), diag(2), 512L)
  expect_true(wide$converged)
  expect_lt(max(distance_to(wide, c(0, 0), c(1.2792, 0.6643))), 0.12)
})

test_that("more points come closer, and few are a few hundredths off", {
  X <- cbind(1, sin(outer(1:40, 1:4)))
  ev <- logistic_evaluator(X, as.double(cos(1:40) > 0.2), 2)
  at <- start_at(ev, numeric(5L))
  best <- gaussian_vi(ev, at$z, at$L, 8192L, tol = 1e-6, n_final = 8192L)
  away <- function(n) {
    mean(vapply(0:4, function(shift) {
      fit <- gaussian_vi(ev, at$z, at$L, n, tol = 1e-4, shift = shift, n_final = n)
      max(distance_to(fit, best$m, sd_of(best)))
    }, 0))
  }
  errors <- vapply(c(32L, 128L, 512L), away, 0)
  expect_true(all(diff(errors) < 0))
  expect_lt(errors[2L], 0.02)
})

test_that("points without density make it shrink, and bounds are lived with", {
  half <- pointwise_evaluator(
    function(z) if (z > 0) 3 * log(z) - z else -Inf,
    function(z) if (z > 0) 3 / z - 1 else NaN
  )
  fit <- gaussian_vi(half, 3, matrix(10))
  expect_true(all(is.finite(fit$lp)))
  expect_gt(fit$m, 2)
  expect_gt(sd_of(fit), 0.5)
  nowhere <- function(Z, gradient) list(lp = rep(-Inf, ncol(Z)), gradient = Z * NaN)
  gone <- gaussian_vi(nowhere, c(0, 0), diag(2))
  expect_false(gone$converged)
  expect_identical(gone$reason, "no density around the start")
})

test_that("a density without an integral ends in words", {
  flat <- function(Z, gradient) {
    list(lp = -Z[1L, ]^2 / 2, gradient = rbind(-Z[1L, ], 0 * Z[2L, ]))
  }
  fit <- gaussian_vi(flat, c(1, 1), diag(2))
  expect_identical(fit[c("converged", "reason")], list(converged = FALSE, reason = "diverged"))
  expect_gt(sd_of(fit)[2L], 1e6)
})

test_that("third derivatives are those of a cubic, at any q", {
  # z_1^2 z_2 + 2 z_1 z_2 z_3
  cubic <- function(Z, gradient) {
    x <- Z[1L, ]
    y <- Z[2L, ]
    list(gradient = rbind(2 * x * y + 2 * y * Z[3L, ], x^2 + 2 * x * Z[3L, ], 2 * x * y))
  }
  truth <- array(0, c(3L, 3L, 3L))
  truth[cbind(c(1, 1, 2), c(1, 2, 1), c(2, 1, 1))] <- 2
  truth[cbind(c(1, 1, 2, 2, 3, 3), c(2, 3, 1, 3, 1, 2), c(3, 2, 3, 1, 2, 1))] <- 2
  fit <- list(m = c(1, -2, 3), L = matrix(c(1, 0.5, 0.2, 0, 0.8, -0.3, 0, 0, 1.2), 3L))
  T3 <- third_derivative(cubic, fit, 8192L, 1L)
  whitened <- crossprod(fit$L, matrix(truth, 3L)) %*% kronecker(fit$L, fit$L)
  expect_equal(T3, whitened, tolerance = 0.05)
  few <- array(third_derivative(cubic, fit, 24L, 1L), c(3L, 3L, 3L))
  expect_equal(few, aperm(few, c(2L, 3L, 1L)))
  expect_equal(few, aperm(few, c(2L, 1L, 3L)))
})

test_that("no more points are asked for than allowed", {
  asked <- 0
  count <- function(Z, gradient) {
    asked <<- asked + ncol(Z)
    banana_evaluator(Z)
  }
  fit <- gaussian_vi(count, c(0, 0), diag(2), max_points = 200)
  expect_lte(asked, 200)
  expect_equal(fit$asked, asked)
  expect_identical(fit$reason, "too many points")
  expect_true(is.finite(fit$elbo))
  asked <- 0
  expect_equal(gaussian_vi(count, c(0, 0), diag(2))$asked, asked)
  none <- gaussian_vi(count, c(0, 0), diag(2), max_points = 10)
  expect_identical(none$asked, 0)
  expect_identical(none$elbo, -Inf)
  expect_identical(unique(none$lp), -Inf)
})

test_that("the response removes the first order of the variance's error", {
  errors <- vapply(c(4, 16, 64), function(k) {
    ev <- pointwise_evaluator(function(z) k * (z - exp(z)), function(z) k * (1 - exp(z)))
    fit <- gaussian_vi(ev, 0, matrix(1 / sqrt(k)), 1024L, tol = 1e-6)
    c(fit = sd_of(fit)^2, response = c(gaussian_response(ev, fit)$cov)) / trigamma(k) - 1
  }, numeric(2))
  expect_equal(errors["fit", ], c(-0.12, -0.031, -0.0078), tolerance = 0.05)
  expect_lt(abs(errors["response", 1L]), 0.02)
  expect_lt(abs(errors["response", 2L]), 0.004)
  expect_lt(abs(errors["response", 3L]), 0.001)
})

test_that("the response of a Gaussian is the Gaussian, and says what it asked", {
  S <- rough_covariance(6L)
  ev <- gaussian_evaluator(numeric(6L), S)
  fit <- gaussian_vi(ev, numeric(6L), diag(6L))
  asked <- 0
  count <- function(Z, gradient) {
    asked <<- asked + ncol(Z)
    ev(Z, gradient)
  }
  response <- gaussian_response(count, fit)
  expect_equal(response$cov, S, tolerance = 1e-8)
  expect_equal(response$asked, asked)
})
