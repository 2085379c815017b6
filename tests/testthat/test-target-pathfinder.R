# Gaussians along paths uphill, one or several.

two_peaks <- function(share, at = 2) function(Z, gradient = TRUE) {
  a <- log(share) + stats::dnorm(Z[1L, ], -at, 0.5, log = TRUE)
  b <- log(1 - share) + stats::dnorm(Z[1L, ], at, 0.5, log = TRUE)
  lp <- pmax(a, b) + log1p(exp(-abs(a - b)))
  w <- exp(a - lp)
  list(lp = lp + stats::dnorm(Z[2L, ], log = TRUE),
    gradient = rbind(-4 * (Z[1L, ] + at * (2 * w - 1)), -Z[2L, ]))
}

test_that("the compact inverse Hessian is that of BFGS, its root and density agree", {
  d <- 5L
  P <- solve(random_covariance(d, 9L))
  steps <- with_fixed_seed(matrix(stats::rnorm(d * 9L), d))
  known <- list(alpha = rep(1, d), S = matrix(0, d, 0L), Y = matrix(0, d, 0L))
  for (k in 1:9) known <- learn_curvature(known, steps[, k], drop(P %*% steps[, k]), 6L)
  H <- diag(known$alpha)
  for (k in 1:6) { # the two-sided update, pair by pair
    s <- known$S[, k]
    y <- known$Y[, k]
    V <- diag(d) - tcrossprod(y, s) / sum(s * y)
    H <- t(V) %*% H %*% V + tcrossprod(s) / sum(s * y)
  }
  q <- gaussian_of(known, rep(1, d), rep(0.5, d))
  B <- from_white(q, diag(d))
  expect_equal(tcrossprod(B), H, tolerance = 1e-8)
  expect_equal(q$m, drop(1 + H %*% rep(0.5, d)), tolerance = 1e-8)
  expect_equal(q$log_det, as.numeric(determinant(H)$modulus) / 2, tolerance = 1e-8)
  expect_equal(to_white(q, B), diag(d), tolerance = 1e-8)
  expect_equal(path_log_density(q, q$m + B), gaussian_evaluator(q$m, H)(q$m + B)$lp,
    tolerance = 1e-8)
  expect_equal(ncol(known$S), 6L)
})

test_that("the diagonal is that of the scaled BFGS update", {
  known <- list(alpha = c(1, 2, 0.5), S = matrix(0, 3L, 0L), Y = matrix(0, 3L, 0L))
  s <- c(1, -0.5, 2)
  y <- c(0.8, -0.1, 3)
  B <- diag(sum(y^2 * known$alpha) / sum(y * s) / known$alpha)
  B <- B - B %*% tcrossprod(s) %*% B / sum(s * (B %*% s)) + tcrossprod(y) / sum(y * s)
  expect_equal(learn_curvature(known, s, y, 6L)$alpha, 1 / diag(B))
  expect_identical(learn_curvature(known, s, -y, 6L), known) # no positive curvature
})

test_that("peaks are one where the ground between them is as high, however far", {
  ridge <- function(Z, gradient = TRUE) list(lp = -Z[2L, ]^2 / 2, gradient = rbind(0, -Z[2L, ]))
  at <- function(z1) list(peak = c(z1, 0), lp = 0, scale = c(0.1, 0.1), Q = diag(2L), C = diag(2L))
  expect_true(same_peak(ridge, at(0), at(5), 0.1))
  expect_false(same_peak(two_peaks(0.5), at(-2), at(2), 0.1))
})

test_that("a Gaussian target: moments by weights, evidence, one mode from three starts", {
  d <- 6L
  cov <- random_covariance(d, 3L)
  ev <- gaussian_evaluator(1:d, cov)
  fit <- pathfinder(ev, cbind(rep(0, d), rep(5, d), -5))
  w <- exp(fit$log_weights)
  expect_equal(sum(w), 1)
  expect_lt(max(abs(fit$draws %*% w - 1:d) / sqrt(diag(cov))), 0.05)
  expect_lt(abs(fit$log_evidence), 0.02)
  expect_lt(fit$khat, 0.5)
  expect_identical(nrow(fit$modes), 1L)
  expect_equal(drop(fit$peaks), 1:d, tolerance = 1e-2)
  expect_equal(sum(fit$weights), 1)
  expect_gt(fit$components[[1L]]$elbo, -0.3)
  expect_lt(fit$components[[1L]]$elbo, 0.3) # 16 points
  expect_identical(pathfinder(ev, cbind(rep(0, d), rep(5, d), -5)), fit)
})

test_that("two modes are reported as such, with their weights", {
  fit <- pathfinder(two_peaks(0.7), cbind(c(-3, 1), c(3, -1), c(-1, 2), c(0.5, 0)))
  expect_identical(nrow(fit$modes), 2L)
  expect_equal(fit$modes$weight[order(fit$peaks[1L, ])], c(0.7, 0.3), tolerance = 0.01)
  expect_equal(sort(fit$peaks[1L, ]), c(-2, 2), tolerance = 1e-3)
  expect_lt(abs(fit$log_evidence), 0.01)
  w <- exp(fit$log_weights)
  expect_equal(sum(w * fit$draws[1L, ]), -0.8, tolerance = 0.01)
  # seen from one side only, half of it is missing and nothing says so: several starts are needed
  one <- pathfinder(two_peaks(0.7), matrix(c(3, 0)))
  expect_lt(abs(one$log_evidence - log(0.3)), 0.15)
  expect_lt(one$khat, 0.7)
  # a valley that is none is no second mode
  expect_identical(nrow(pathfinder(two_peaks(0.5, 0.4), cbind(c(-2, 0), c(2, 0)))$modes), 1L)
})

test_that("a curved ridge is one mode; SIR; one dimension", {
  fit <- pathfinder(banana_evaluator, matrix(c(1, 1, -2, 2, 2, -1), 2L))
  expect_identical(nrow(fit$modes), 1L)
  expect_gt(fit$khat, 0.5)
  fit <- pathfinder(sir_evaluator, cbind(c(0.55, -0.6, -2.3), 0, c(1, -1, -1)))
  expect_identical(nrow(fit$modes), 1L)
  expect_equal(fit$modes$lp, -63.10314, tolerance = 1e-5)
  expect_lt(abs(fit$log_evidence + 67.23975), 0.1)
  expect_lt(fit$asked, 4000)
  fit <- pathfinder(log_gamma_evaluator(5), matrix(c(0, 4), 1L))
  expect_equal(sum(exp(fit$log_weights) * fit$draws), digamma(5), tolerance = 0.01)
})

test_that("memory is linear in the dimension", {
  d <- 1000L
  ev <- function(Z, gradient = TRUE) {
    list(lp = colSums(-Z^2 / (2 * seq_len(d)) - log(2 * pi * seq_len(d)) / 2),
      gradient = -Z / seq_len(d))
  }
  fit <- pathfinder(ev, matrix(1, d), n_draws = 200L)
  expect_null(fit$components[[1L]]$cov)
  expect_lte(ncol(fit$components[[1L]]$Q), 12L)
  expect_true(is.finite(fit$components[[1L]]$elbo))
})

test_that("paths that arrive nowhere are left out and said so", {
  half <- function(Z, gradient = TRUE) {
    bad <- Z[1L, ] > 3
    list(lp = ifelse(bad, -Inf, -Z[1L, ]^2 / 2 - log(2 * pi) / 2),
      gradient = matrix(ifelse(bad, NaN, -Z[1L, ]), 1L))
  }
  fit <- pathfinder(half, matrix(c(1, 10), 1L))
  expect_length(fit$components, 1L)
  expect_match(fit$failed, "no density at the start")
  none <- pathfinder(half, matrix(c(9, 10), 1L))
  expect_length(none$components, 0L)
  expect_length(none$failed, 2L)
  # weights are scaled by the largest before they are exponentiated, and may be zero
  weights <- smooth_weights(c(-2000 - abs(with_fixed_seed(stats::rnorm(200L))), -Inf))
  expect_equal(sum(exp(weights$log_weights)), 1)
  expect_identical(weights$log_weights[201L], -Inf)
  expect_identical(smooth_weights(c(-Inf, -Inf))$khat, Inf)
})
