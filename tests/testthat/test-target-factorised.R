# Factorised Gaussians on any log density, against closed forms and quadrature.

test_that("points match the moments of the normal", {
  E <- factorised_points(64L, 20L)
  expect_equal(rowMeans(E), numeric(20L), tolerance = 1e-14)
  expect_equal(tcrossprod(E) / 64, diag(20L), tolerance = 1e-12)
  few <- factorised_points(64L, 100L)
  expect_equal(rowMeans(few), numeric(100L), tolerance = 1e-14)
  expect_equal(rowMeans(few^2), rep(1, 100L), tolerance = 1e-12)
  expect_equal(tcrossprod(few[1:16, ]) / 64, diag(16L), tolerance = 1e-12)
  expect_equal(mean(few^4), 3, tolerance = 0.1)
  expect_equal(mean(factorised_points(32L, 1L)^4), 3, tolerance = 1e-8)
  expect_error(factorised_points(33L, 2L), class = "meanfield_error_control")
})

test_that("Gaussian targets: mean, SDs, linear response and the bound's gap are exact", {
  for (d in c(1L, 2L, 7L, 60L)) {
    cov <- random_covariance(d, 10L + d)
    mean <- seq_len(d)
    ev <- gaussian_evaluator(mean, cov)
    fit <- factorised_vi(ev, numeric(d), tol = 1e-8)
    P <- solve(cov)
    expect_identical(fit$outcome, "converged")
    expect_lt(max(abs(fit$m - mean) / sqrt(diag(cov))), 1e-6)
    expect_equal(fit$sd, 1 / sqrt(diag(P)), tolerance = 1e-6)
    gap <- (as.numeric(determinant(cov)$modulus) + sum(log(diag(P)))) / 2
    expect_equal(fit$elbo, -gap, tolerance = 1e-8)
    response <- factorised_response(ev, fit)
    expect_true(response$ok)
    expect_equal(response$cov, cov, tolerance = 1e-6)
    expect_equal(response$asked, 4 * d * ncol(fit$E))
    some <- factorised_response(ev, fit, cbind(rep(1, d), (-1)^seq_len(d)))
    expect_equal(some$cov_m[, 1L], rowSums(cov), tolerance = 1e-6)
    expect_equal(some$sd[1L], sqrt(sum(cov)), tolerance = 1e-6)
  }
})

test_that("the printed example: KL 1.024394, SD ratios .528 .524 .645", {
  cov <- matrix(c(2, 0.9, -0.4, 0.9, 1, 0.3, -0.4, 0.3, 0.8), 3L)
  fit <- factorised_vi(gaussian_evaluator(1:3, cov), c(0, 0, 0))
  expect_equal(fit$sd^2, c(0.5577465, 0.2750000, 0.3327731), tolerance = 1e-6)
  expect_equal(-fit$elbo, 1.024394, tolerance = 1e-6)
  expect_equal(round(fit$sd / sqrt(diag(cov)), 3), c(0.528, 0.524, 0.645))
})

test_that("even symmetry: the mean is found whatever the tails; SDs by quadrature", {
  centre <- c(1, -2)
  P <- solve(matrix(c(1, 0.8 * sqrt(2), 0.8 * sqrt(2), 2), 2L))
  half_log_det <- -as.numeric(determinant(P)$modulus) / 2
  radial <- function(lp, slope) function(Z, gradient = TRUE) {
    u <- P %*% (Z - centre)
    q <- colSums((Z - centre) * u)
    list(lp = lp(q) - half_log_det, gradient = u * rep(slope(q), each = 2L))
  }
  sheared <- function(Z, gradient = TRUE) {
    x <- Z[1L, ] - 1
    v <- Z[2L, ] + 2 - 0.8 * x
    slope <- function(t) -tanh(t / 2)
    list(lp = stats::dlogis(x, log = TRUE) + stats::dlogis(v, log = TRUE),
      gradient = rbind(slope(x) - 0.8 * slope(v), slope(v)))
  }
  cases <- list(
    list(radial(function(q) lgamma(3.5) - lgamma(2.5) - log(5 * pi) - 3.5 * log1p(q / 5),
      function(q) -1.4 / (1 + q / 5)), c(0.73718, 1.04252), 0.47737),
    list(radial(function(q) -sqrt(q) - log(2 * pi), function(q) -1 / sqrt(q)),
      c(1.00654, 1.42347), 0.47613),
    list(sheared, c(1.33913, 1.85616), 0.24225)
  )
  for (case in cases) {
    fit <- factorised_vi(case[[1L]], c(0, 0), 0, n_points = 8192L)
    expect_equal(fit$m, centre, tolerance = 1e-5)
    expect_equal(fit$sd, case[[2L]], tolerance = 1e-3)
    expect_lt(abs(-fit$elbo - case[[3L]]), 1e-3)
  }
})

test_that("skewed targets: the family's optimum, not the posterior's moments", {
  for (a in c(0.5, 1, 2, 5)) {
    kl <- lgamma(a) + a - a * log(a) + 0.5 - log(2 * pi * exp(1) / a) / 2
    fit <- factorised_vi(log_gamma_evaluator(a), 0, 0, n_points = 16384L)
    tolerance <- if (a < 1) 2e-3 else 4e-4 # sd 1.4 of a log: the mean of exp() is all tail
    expect_lt(abs(fit$m - log(a) + 1 / (2 * a)), tolerance)
    expect_equal(fit$sd, 1 / sqrt(a), tolerance = tolerance)
    expect_lt(abs(-fit$elbo - kl), tolerance)
  }
  skewed <- function(Z, gradient = TRUE) {
    log_p <- stats::pnorm(5 * Z[1L, ], log.p = TRUE)
    list(lp = log(2) + stats::dnorm(Z[1L, ], log = TRUE) + log_p,
      gradient = -Z + 5 * exp(stats::dnorm(5 * Z, log = TRUE) - log_p))
  }
  fit <- factorised_vi(skewed, 0, 0, n_points = 16384L)
  expect_equal(c(fit$m, fit$sd), c(0.779884, 0.512384), tolerance = 1e-4)
  expect_lt(abs(-fit$elbo - 0.098930), 1e-4)
  fit <- factorised_vi(banana_evaluator, c(0, 0), 0)
  expect_equal(c(fit$m[2L], fit$sd), c(0.2207, 0.4698, 0.5), tolerance = 1e-3)
  expect_equal(-fit$elbo, 0.56066, tolerance = 1e-3)
})

test_that("SIR influenza: the factorised optimum", {
  fit <- factorised_vi(sir_evaluator, c(0.55, -0.61, -2.3), log(c(0.03, 0.07, 0.5)))
  sd <- c(0.026477, 0.073180, 0.467169)
  expect_true(fit$converged)
  expect_lt(max(abs(fit$m - c(0.550119, -0.619158, -2.116367)) / sd), 0.02)
  expect_lt(max(abs(fit$sd / sd - 1)), 0.01)
  expect_lt(abs(fit$elbo + 67.37482), 0.01)
  expect_lt(fit$asked, 5000)
  # the response lifts the SDs towards the posterior's .03038 .08372 .51835
  response <- factorised_response(sir_evaluator, fit)
  expect_true(all(response$sd > fit$sd))
  expect_equal(response$sd / c(0.03038, 0.08372, 0.51835), c(0.90, 0.91, 0.99), tolerance = 0.01)
})

test_that("a thousand dimensions: 64 points, exact means, seconds", {
  d <- 1000L
  rho <- 0.7
  ev <- function(Z, gradient = TRUE) { # an autoregression with unit variances
    step <- (Z[-1L, ] - rho * Z[-d, ]) / (1 - rho^2)
    G <- rbind(-Z[1L, ], -step)
    G[-d, ] <- G[-d, ] + rho * step
    list(lp = colSums(Z * G) / 2, gradient = G)
  }
  fit <- factorised_vi(ev, rep(3, d))
  expect_true(fit$converged)
  expect_identical(dim(fit$E), c(d, 64L))
  expect_lt(max(abs(fit$m)), 1e-3)
  expect_equal(mean(fit$sd[-c(1L, d)]), sqrt((1 - rho^2) / (1 + rho^2)), tolerance = 0.01)
  unit <- cbind(as.numeric(seq_len(d) == 1L), as.numeric(seq_len(d) == 500L), 1 / d)
  response <- factorised_response(ev, fit, unit)
  lag <- abs(outer(seq_len(d), seq_len(d), "-"))
  expect_equal(response$sd, c(1, 1, sqrt(mean(rho^lag))), tolerance = 1e-6)
})

test_that("what has no answer says so, with the state it reached", {
  flat <- function(Z, gradient = TRUE) {
    list(lp = -Z[1L, ]^2 / 2, gradient = rbind(-Z[1L, ], 0))
  }
  fit <- factorised_vi(flat, c(1, 1))
  expect_identical(fit$outcome, "runaway")
  expect_identical(fit$runaway, 2L)
  nowhere <- function(Z, gradient = TRUE) list(lp = rep(-Inf, ncol(Z)), gradient = Z * NaN)
  expect_identical(factorised_vi(nowhere, 0)$outcome, "nowhere")
  ev <- gaussian_evaluator(c(5, 5), diag(2L))
  dear <- factorised_vi(ev, c(0, 0), max_points = 100)
  expect_identical(dear$outcome, "going")
  expect_lte(dear$asked, 100)
  fit <- factorised_vi(ev, c(0, 0))
  expect_false(factorised_response(ev, fit, max_points = 300)$ok)
  expect_true(all(is.na(factorised_response(ev, fit, diag(2L), max_points = 10)$sd)))
  saddle <- function(Z, gradient = TRUE) list(lp = Z[1L, ]^2, gradient = 2 * Z)
  at_saddle <- list(m = 0, sd = 1, omega = 0, E = factorised_points(32L, 1L))
  expect_false(factorised_response(saddle, at_saddle)$ok)
  expect_false(factorised_response(saddle, at_saddle, matrix(1))$ok)
})

test_that("points without density are stepped back from, and the generator is untouched", {
  half <- function(Z, gradient = TRUE) { # log z ~ N(0, .1^2), z > 0
    bad <- Z[1L, ] <= 0
    z <- ifelse(bad, 1, Z[1L, ])
    list(lp = ifelse(bad, -Inf, -log(z)^2 / 0.02 - log(z)),
      gradient = matrix(ifelse(bad, NaN, -(log(z) / 0.01 + 1) / z), 1L))
  }
  set.seed(1)
  before <- .Random.seed
  fit <- factorised_vi(half, 3, 0)
  expect_identical(.Random.seed, before)
  expect_true(fit$converged)
  expect_equal(fit$m, 1, tolerance = 0.01)
  expect_identical(factorised_vi(half, 3, 0), fit)
})

test_that("what is no function is not asked", {
  E <- factorised_points(4L, 1L)
  settings <- list(max_iter = 5L, tol = 1e-3, max_points = 100, solve = TRUE, max_inner = 5L)
  for (ev in list("sum", quote(f), NULL)) {
    expect_error(call_bb_factorised(ev, E, c(0, 0), settings), "evaluate",
      class = "meanfield_error_internal")
    expect_error(call_bb_factorised_response(ev, E, c(0, 0), diag(2), settings), "evaluate",
      class = "meanfield_error_internal")
  }
})
