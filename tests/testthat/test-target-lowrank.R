# Covariances A A' + D on any log density.

lowrank_covariance <- function(d, r) {
  A <- with_fixed_seed(matrix(stats::rnorm(d * r), d), 100L + d)
  tcrossprod(A * exp(sin(seq_len(d)))) + diag(exp(cos(seq_len(d))))
}

test_that("a Gaussian of that form is found exactly, its rank too", {
  for (case in list(c(6L, 1L), c(12L, 2L), c(40L, 3L))) {
    cov <- lowrank_covariance(case[1L], case[2L])
    fit <- lowrank_vi(gaussian_evaluator(seq_len(case[1L]), cov), numeric(case[1L]))
    expect_true(fit$converged)
    expect_identical(fit$rank, case[2L])
    expect_identical(fit$gains$rank, c(0L, case[2L], case[2L] + 1L)) # as the curvature promised
    expect_lt(max(abs(fit$m - seq_len(case[1L])) / sqrt(diag(cov))), 1e-4)
    expect_equal(fit$sd, sqrt(diag(cov)), tolerance = 1e-4)
    expect_equal(tcrossprod(fit$A) + diag(fit$D), cov, tolerance = 1e-3)
    expect_lt(abs(fit$elbo), 1e-5)
  }
})

test_that("the ELBO lies between the factorised and the full one, and grows with the rank", {
  d <- 10L
  ev <- gaussian_evaluator(numeric(d), random_covariance(d, 4L))
  elbo <- c(factorised_vi(ev, numeric(d))$elbo,
    vapply(1:4, function(r) lowrank_vi(ev, numeric(d), rank = r)$elbo, 0))
  expect_true(all(diff(elbo) > 0.01), info = toString(elbo))
  expect_lt(elbo[5L], 0)
  chosen <- lowrank_vi(ev, numeric(d))
  expect_gt(chosen$rank, 1L)
  expect_lt(chosen$elbo, 1e-8)
  expect_gt(chosen$elbo, elbo[1L] + 1)
})

test_that("SIR influenza: two directions are the full-rank optimum", {
  skip_below_level(3)
  fit <- lowrank_vi(sir_evaluator, c(0.55, -0.61, -2.3), log(c(0.03, 0.07, 0.5)), rank = 2L,
    n_points = 512L)
  expect_lt(abs(fit$elbo + 67.33814), 0.02)
  sd <- c(0.026926, 0.075597, 0.477435)
  expect_lt(max(abs(fit$m - c(0.550241, -0.613067, -2.123316)) / sd), 0.02)
  expect_lt(max(abs(fit$sd / sd - 1)), 0.02)
  # correlations .2 cost .037 of ELBO in all
  expect_equal(diff(fit$gains$elbo), 0.03668, tolerance = 0.2)
})

test_that("independent coordinates need no direction; one dimension has none", {
  fit <- lowrank_vi(gaussian_evaluator(1:5, diag(1:5)), numeric(5L))
  expect_identical(fit$rank, 0L)
  expect_equal(fit$sd, sqrt(1:5), tolerance = 1e-5)
  expect_identical(lowrank_vi(gaussian_evaluator(2, matrix(9)), 0)$rank, 0L)
})

test_that("more dimensions than points: directions by Lanczos, no chance correlations used", {
  d <- 300L
  a <- cbind(rep(1, d), sin(seq_len(d)))
  cov <- tcrossprod(a) + diag(d)
  P <- solve(cov)
  ev <- function(Z, gradient = TRUE) {
    G <- -P %*% Z
    list(lp = colSums(Z * G) / 2, gradient = G)
  }
  fit <- lowrank_vi(ev, rep(0.1, d), rank = 2L)
  expect_true(fit$converged)
  expect_lt(max(abs(fit$m)), 0.01)
  expect_lt(max(abs(rowSums(fit$A^2) / rowSums(a^2) - 1)), 0.05)
  expect_equal(mean(fit$D), 1, tolerance = 0.02)
})

test_that("a bound without a maximum is said to be one", {
  flat <- function(Z, gradient = TRUE) {
    list(lp = -Z[1L, ]^2 / 2, gradient = rbind(-Z[1L, ], 0))
  }
  fit <- lowrank_vi(flat, c(1, 1))
  expect_false(fit$converged)
  expect_identical(fit$outcome, "runaway")
})
