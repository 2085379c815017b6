# Fixed points: their moments, and how well they average.

test_that("points are antithetic, and their second moments exact", {
  for (d in c(1L, 3L, 10L, 40L)) {
    n <- 2L * max(16L, 2L * d)
    E <- fixed_points(n, d)
    expect_identical(dim(E), c(d, n))
    expect_equal(E[, n / 2 + seq_len(n / 2), drop = FALSE], -E[, seq_len(n / 2), drop = FALSE])
    expect_equal(tcrossprod(E) / n, diag(d), tolerance = 1e-12)
  }
})

test_that("shifts give different sets, the same in every session, without R's generator", {
  set.seed(1)
  before <- .Random.seed
  expect_identical(fixed_points(64L, 5L, 2L), fixed_points(64L, 5L, 2L))
  expect_gt(max(abs(fixed_points(64L, 5L, 0L) - fixed_points(64L, 5L, 1L))), 0.5)
  expect_lt(abs(stats::cor(c(fixed_points(64L, 5L, 0L)), c(fixed_points(64L, 5L, 1L)))), 0.5)
  expect_identical(.Random.seed, before)
  expect_equal(fixed_points(64L, 3L)[, 1L], c(0.2192763, -0.2831808, 0.3829931), tolerance = 1e-6)
})

test_that("too few points for the second moments are refused, or match the variances only", {
  expect_error(fixed_points(18L, 10L), class = "meanfield_error_internal")
  E <- fixed_points(64L, 1000L, cross = FALSE)
  expect_equal(rowMeans(E^2), rep(1, 1000L))
  off <- tcrossprod(E)[1:200, 1:200] / 64
  expect_lt(max(abs(off[upper.tri(off)])), 0.8)
  expect_lt(sqrt(mean(off[upper.tri(off)]^2)), 1.2 / sqrt(32))
})

test_that("smooth functions are averaged better than over random points", {
  f <- function(E) {
    bump <- 1 / (1 + cbind(E[1L, ]^2, E[1L, ]^2 + E[2L, ]^2))
    colMeans(bump) - c(0.6556795, 0.4614553)
  }
  error <- function(points) rowMeans(vapply(0:19, function(k) abs(f(points(k))), numeric(2)))
  for (d in c(3L, 10L, 30L)) {
    random <- with_fixed_seed(error(function(k) {
      half <- matrix(stats::rnorm(64L * d), d)
      matched_points(cbind(half, -half))
    }))
    fixed <- error(function(k) fixed_points(128L, d, k))
    expect_lt(max(fixed / random), 0.6)
  }
})

test_that("shifted points have the normal's tails over the shifts", {
  E <- do.call(cbind, lapply(0:199, function(k) shifted_points(64L, 3L, k)))
  expect_equal(mean(E > 3), stats::pnorm(-3), tolerance = 0.15)
  expect_equal(tcrossprod(E) / ncol(E), diag(3L), tolerance = 0.02)
  matched <- shifted_points(64L, 3L, 7L, match = TRUE)
  expect_equal(tcrossprod(matched) / 64, diag(3L))
})
