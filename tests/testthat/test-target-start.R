# The way uphill to a mode, and whether there is one.

test_that("a Gaussian's mode and curvature are found, whatever the scales", {
  for (scales in list(1, 2.5, c(1e-6, 1, 1e6), 10^seq(-6, 6, length.out = 9))) {
    d <- length(scales)
    S <- rough_covariance(d, scales)
    mu <- scales * seq_len(d)
    at <- start_at(gaussian_evaluator(mu, S), numeric(d))
    expect_true(at$usable)
    expect_lt(max(abs(at$z - mu) / sqrt(diag(S))), 1e-3)
    expect_equal(tcrossprod(at$L) / tcrossprod(scales), S / tcrossprod(scales), tolerance = 1e-4)
    expect_equal(at$gradient, drop(gaussian_evaluator(mu, S)(as.matrix(at$z))$gradient))
  }
})

test_that("the path is kept, uphill, with its gradients", {
  y <- c(1, 0, 0, 1, 1, 0, 1, 1)
  X <- cbind(1, sin(1:8))
  ev <- logistic_evaluator(X, y, 2)
  at <- start_at(ev, c(3, -3))
  expect_identical(dim(at$path), dim(at$path_gradient))
  expect_identical(at$path[, 1L], c(3, -3))
  expect_true(all(diff(at$path_lp) >= 0))
  expect_equal(ev(at$path)$lp, at$path_lp)
  expect_equal(ev(at$path)$gradient, at$path_gradient)
  expect_equal(at$path[, ncol(at$path)], at$z)
  mode <- stats::optim(c(0, 0), function(b) -ev(as.matrix(b))$lp, method = "BFGS",
    control = list(reltol = 1e-14))
  expect_equal(at$z, mode$par, tolerance = 1e-4)
  expect_equal(solve(tcrossprod(at$L)), -at$hessian, tolerance = 1e-8)
})

test_that("a curved valley is followed to its end", {
  rosenbrock <- pointwise_evaluator(
    function(z) -100 * (z[2L] - z[1L]^2)^2 - (1 - z[1L])^2,
    function(z) c(400 * z[1L] * (z[2L] - z[1L]^2) + 2 * (1 - z[1L]), -200 * (z[2L] - z[1L]^2))
  )
  at <- start_at(rosenbrock, c(-1.2, 1))
  expect_true(at$usable)
  expect_equal(at$z, c(1, 1), tolerance = 1e-2)
})

test_that("a regression in wild units is what it is in good ones", {
  X <- cbind(1, sin(outer(1:60, 1:4)))
  y <- as.double(cos(1:60) + sin(3 * (1:60)) > 0.3)
  unit <- c(1, 1e-5, 1e5, 1e3, 1e-3)
  good <- start_at(logistic_evaluator(X, y, 2), numeric(5L))
  ev <- logistic_evaluator(X %*% diag(unit), y, 2 / unit)
  wild <- start_at(ev, numeric(5L))
  expect_true(good$usable && wild$usable)
  expect_equal(ev(wild$path)$gradient / unit, wild$path_gradient / unit)
  expect_true(all(diff(wild$path_lp) >= 0))
  expect_lt(max(abs(wild$z * unit - good$z) / sqrt(rowSums(good$L^2))), 0.1)
  expect_equal(diag(unit) %*% wild$L, good$L, tolerance = 0.05)
  expect_lt(wild$asked, 10 * good$asked)
})

test_that("a second climb, in coordinates of its own, goes on with the path", {
  ev <- gaussian_evaluator(c(1, 2), rough_covariance(2L))
  first <- list(path = matrix(9, 2L, 1L), path_gradient = matrix(8, 2L, 1L), path_lp = -7)
  at <- climb(ev, c(4, -4), matrix(c(2, 1, 0, 0.5), 2L), first)
  expect_identical(c(at$path[, 1:2]), c(9, 9, 4, -4))
  expect_identical(c(at$path_gradient[, 1L], at$path_lp[1L]), c(8, 8, -7))
  expect_equal(ev(at$path[, -1L])$gradient, at$path_gradient[, -1L])
  expect_lt(max(abs(at$z - c(1, 2))), 0.1)
})

test_that("regions without density and corners are survived", {
  half <- pointwise_evaluator(
    function(z) if (z[1L] > 0) log(z[1L]) - z[1L] - z[2L]^2 / 2 else -Inf,
    function(z) c(1 / z[1L] - 1, -z[2L])
  )
  at <- start_at(half, c(8, 3))
  expect_true(at$usable)
  expect_equal(at$z, c(1, 0), tolerance = 1e-2)
  laplace <- pointwise_evaluator(function(z) -sum(abs(z)), function(z) -sign(z))
  expect_lt(start_at(laplace, c(4, -7, 2))$asked, 3000)
  uniform <- pointwise_evaluator(function(z) if (all(abs(z) < 1)) 0 else -Inf, function(z) 0 * z)
  expect_identical(start_at(uniform, c(0.3, 0.2))$reason, "no usable mode")
  wild <- pointwise_evaluator(function(z) -z^2 / 2, function(z) if (z < 2) NaN else -z)
  expect_false(start_at(wild, 5)$usable)
})

test_that("there is no mode where there is none, and it ends", {
  ramp <- pointwise_evaluator(function(z) z[1L] - z[2L]^2, function(z) c(1, -2 * z[2L]))
  at <- start_at(ramp, c(0, 1))
  expect_identical(at[c("usable", "reason")], list(usable = FALSE, reason = "diverged"))
  flat <- pointwise_evaluator(function(z) -z[2L]^2, function(z) c(0, -2 * z[2L]))
  expect_identical(start_at(flat, c(0, 1))$reason, "no usable mode")
  slow <- pointwise_evaluator(function(z) log1p(z^2), function(z) 2 * z / (1 + z^2))
  expect_false(start_at(slow, 1)$usable)
  nowhere <- pointwise_evaluator(function(z) NaN, function(z) z)
  expect_identical(start_at(nowhere, c(1, 2))$reason, "no density at the start")
  expect_identical(start_at(nowhere, c(1, 2))$z, c(1, 2))
})

test_that("no more points are asked for than allowed", {
  asked <- 0
  ev <- gaussian_evaluator(numeric(20L), rough_covariance(20L))
  count <- function(Z, gradient) {
    asked <<- asked + ncol(Z)
    ev(Z, gradient)
  }
  at <- start_at(count, rep(3, 20L))
  expect_equal(at$asked, asked)
  asked <- 0
  at <- start_at(count, rep(3, 20L), max_points = 15)
  expect_lte(asked, 15)
  expect_identical(at[c("usable", "reason")], list(usable = FALSE, reason = "too many points"))
  expect_gt(length(at$path_lp), 1L)
})
