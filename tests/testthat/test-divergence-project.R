# Projections onto normals: all stationary points of two directions of KL.

log_mean2 <- function(a, b) pmax(a, b) + log1p(exp(-abs(a - b))) - log(2)
two_normals <- function(x, sd = 0.5) {
  log_mean2(dnorm(x, -2, sd, log = TRUE), dnorm(x, 2, sd, log = TRUE))
}
# Equal mixture at +-(a, a), covariances [[.6, .3], [.3, .6]].
two_planes <- function(a) function(X) {
  P <- solve(matrix(c(0.6, 0.3, 0.3, 0.6), 2L))
  at <- function(m) -rowSums(((X - m) %*% P) * (X - m)) / 2 - log(2 * pi) - log(0.27) / 2
  log_mean2(at(a), at(-a))
}

test_that("two modes, reverse: five stationary points", {
  fit <- project_normal(two_normals)
  got <- fit$stationary
  expect_identical(got$type, rep(c("minimum", "saddle"), c(3L, 2L)))
  expect_equal(got$mean, c(-1.999801, 1.999801, 0, -0.88896, 0.88896), tolerance = 2e-6)
  expect_equal(got$sd, c(0.500398, 0.500398, 1.736362, 1.50371, 1.50371), tolerance = 3e-6)
  expect_equal(got$kl, c(0.693053, 0.693053, 1.871197, 1.94362, 1.94362), tolerance = 3e-6)
  expect_true(all(got$kl[1:2] < log(2)))
  expect_equal(got$eigenvalue1, c(3.9937, 3.9937, 13.0130, 8.4538, 8.4538), tolerance = 1e-5)
  expect_equal(got$eigenvalue2, c(1.9787, 1.9787, 0.3317, -0.7922, -0.7922), tolerance = 5e-5)
  expect_equal(fit$entropy, 1.418845, tolerance = 1e-6)
  expect_equal(fit$log_normaliser, 0, tolerance = 1e-10)
  expect_lt(fit$error, 1e-9)
})

test_that("two modes, forward: the moments", {
  got <- project_normal(two_normals, "forward")$stationary
  expect_equal(c(got$mean, got$sd, got$kl), c(0, sqrt(4.25), 0.723553), tolerance = 1e-6)
  expect_identical(got$type, "minimum")
  expect_equal(c(got$eigenvalue1, got$eigenvalue2), c(2, 1 / 4.25), tolerance = 1e-6)
})

test_that("KL of a normal of SD .5 along the line: the middle is a maximum", {
  kl <- vapply(c(0, 0.1, 0.5, 1, 2), function(m) {
    kl_divergence(law("normal", mean = m, sd = 0.5), two_normals)
  }, 0)
  expect_equal(kl, c(5.420989, 5.378913, 4.476896, 2.613538, 0.693054), tolerance = 2e-7)
})

test_that("a climb from the middle stays there, and k-hat does not mind", {
  rule <- hermite_nodes(401L, 1L)
  end <- function(m, sd) to_stationary(two_normals, list(m = m, L = matrix(sd)), rule, down_step)
  expect_equal(end(0, 0.3)$m, 0)
  expect_equal(end(0, 0.3)$L[1L], 1.736362, tolerance = 1e-5)
  expect_equal(end(0.5, 0.3)$m, 1.999801, tolerance = 1e-5)
  khat <- function(m, sd) {
    x <- with_fixed_seed(rnorm(10000, m, sd))
    ratio <- two_normals(x) - dnorm(x, m, sd, log = TRUE)
    suppressWarnings(loo::psis(ratio - max(ratio), r_eff = 1))$diagnostics$pareto_k
  }
  expect_lt(khat(1.999801, 0.500398), 0.9) # half the mass is missed
  expect_lt(khat(0, 1.736362), -1) # KL 1.87
})

test_that("gradients and Hessians are the derivatives of KL", {
  skewed <- function(x) 2 * x - exp(x) - 0.3 * abs(x)^2 + sin(2 * x)
  rule <- hermite_nodes(801L, 1L)
  kl <- function(v) kl_at(skewed, v[1L], matrix(exp(v[2L])), rule)$kl
  at <- c(0.3, -0.4)
  got <- kl_at(skewed, at[1L], matrix(exp(at[2L])), rule)
  scale <- c(exp(at[2L]), 1) # a local step of the mean is in SDs
  expect_equal(got$gradient, scale * fd_gradient(kl, at, c(1e-3, 1e-3)), tolerance = 1e-8)
  expect_equal(got$hessian[2L, 2L], fd_hessian(kl, at, c(1e-2, 1e-2))[2L, 2L], tolerance = 1e-6)

  bent <- function(X) X[, 1L] - exp(X[, 1L]) - (X[, 2L] - 0.4 * X[, 1L]^2)^2 + cos(X[, 2L])
  rule <- hermite_nodes(91L, 2L)
  m <- c(0.2, -0.1)
  L <- matrix(c(0.8, 0.3, 0, 0.6), 2L)
  local <- function(by) {
    kl_at(bent, m + drop(L %*% by[1:2]), L %*% matrix(c(exp(by[3L]), by[4L], 0, exp(by[5L])), 2L),
      rule)$kl
  }
  got <- kl_at(bent, m, L, rule)
  expect_equal(got$gradient, fd_gradient(local, numeric(5L), rep(1e-3, 5L)), tolerance = 1e-8)
  expect_equal(got$hessian, fd_hessian(local, numeric(5L), rep(1e-2, 5L)), tolerance = 1e-6)
})

test_that("the Hessian at a stationary point is in (mean, log-Cholesky)", {
  f <- two_planes(1.5)
  fit <- project_normal(f, start = c(0, 0))
  L <- t(chol(fit$cov[, , 1L]))
  kl <- function(v) {
    L <- matrix(c(exp(v[3L]), v[4L], 0, exp(v[5L])), 2L)
    kl_divergence(law("normal", mean = v[1:2], cov = tcrossprod(L)), f)
  }
  v <- c(fit$mean[1L, ], log(L[1L]), L[2L], log(L[4L]))
  rule <- hermite_nodes(121L, 2L)
  quick <- function(v) kl_at(f, v[1:2], matrix(c(exp(v[3L]), v[4L], 0, exp(v[5L])), 2L), rule)$kl
  expect_equal(kl(v), fit$stationary$kl, tolerance = 1e-8)
  expect_equal(fit$hessian[, , 1L], fd_hessian(quick, v, rep(1e-2, 5L)), tolerance = 1e-6)
})

test_that("two dimensions, well separated: two solutions and a local one; forward covers both", {
  fit <- project_normal(two_planes(2.5), start = c(0, 0))
  got <- fit$stationary
  expect_identical(got$type, rep(c("minimum", "saddle"), c(3L, 2L)))
  expect_equal(abs(got$mean1[1:2]), c(2.49922, 2.49922), tolerance = 2e-6)
  expect_equal(got$mean1, got$mean2, tolerance = 1e-9)
  expect_equal(fit$cov[, , 1L], matrix(c(0.60194, 0.30194, 0.30194, 0.60194), 2L), tolerance = 1e-5)
  expect_equal(got$kl[1:3], c(0.692858, 0.692858, 1.549), tolerance = 7e-5)
  expect_equal(fit$entropy, 2.876073, tolerance = 1e-6)
  # along (1, 1) it is a problem of one dimension, and across it p is normal
  line <- project_normal(function(x) {
    log_mean2(dnorm(x, -2.5 * sqrt(2), sqrt(0.9), log = TRUE),
      dnorm(x, 2.5 * sqrt(2), sqrt(0.9), log = TRUE))
  })$stationary
  expect_equal(got$kl, line$kl, tolerance = 1e-8)
  expect_equal(fit$cov[1L, 1L, ] + fit$cov[1L, 2L, ], line$sd^2, tolerance = 1e-7)
  forward <- project_normal(two_planes(2.5), "forward", c(0, 0))
  expect_equal(forward$cov[, , 1L], matrix(c(6.85, 6.55, 6.55, 6.85), 2L), tolerance = 1e-9)
  expect_equal(forward$stationary$kl, 0.657445, tolerance = 1e-6)
})

test_that("two dimensions, close: the solution is one", {
  fit <- project_normal(two_planes(1.5), start = c(0.5, 0))
  expect_identical(fit$stationary$type, "minimum")
  expect_equal(fit$mean[1L, ], c(0, 0), tolerance = 1e-8)
  expect_equal(fit$cov[, , 1L], matrix(c(2.34376, 2.04376, 2.04376, 2.34376), 2L), tolerance = 3e-6)
  expect_equal(fit$stationary$kl, 0.333649, tolerance = 1e-6)
  expect_equal(project_normal(two_planes(1.5), "forward", c(0, 0))$stationary$kl, 0.237145,
    tolerance = 2e-6)
})

test_that("log gamma and skew normal: Gaussian VI in closed form, and by another's quadrature", {
  for (a in c(0.5, 1, 2, 5)) {
    fit <- project_normal(function(x) a * x - exp(x))
    kl <- lgamma(a) + a - a * log(a) + 0.5 - log(2 * pi * exp(1) / a) / 2
    got <- fit$stationary
    expect_equal(c(got$mean, got$sd, got$kl), c(log(a) - 1 / (2 * a), 1 / sqrt(a), kl),
      tolerance = 1e-9)
    expect_equal(fit$log_normaliser, lgamma(a), tolerance = 1e-9)
    expect_equal(c(fit$moments$mean, fit$moments$cov), c(digamma(a), trigamma(a)), tolerance = 1e-8)
  }
  skew <- function(x) log(2) + dnorm(x, log = TRUE) + pnorm(5 * x, log.p = TRUE)
  fit <- project_normal(skew)
  got <- fit$stationary
  expect_equal(c(got$mean, got$sd, got$kl), c(0.779884, 0.512384, 0.098930), tolerance = 4e-6)
  expect_equal(c(fit$moments$mean, sqrt(fit$moments$cov)), c(0.782390, 0.622789), tolerance = 1e-6)
})

test_that("a normal is its own projection, at any place and scale", {
  S <- matrix(c(4e-6, 1, 1, 1e6), 2L) * 1 # correlation .5
  P <- solve(S)
  f <- function(X) {
    D <- X - rep(c(100, -5), each = nrow(X))
    -rowSums((D %*% P) * D) / 2
  }
  for (direction in c("reverse", "forward")) {
    fit <- project_normal(f, direction, c(100, 0))
    expect_equal(fit$mean[1L, ], c(100, -5), tolerance = 1e-6)
    expect_equal(fit$cov[, , 1L] / S, matrix(1, 2L, 2L), tolerance = 1e-6)
    expect_equal(fit$stationary$kl, 0, tolerance = 1e-7)
    expect_identical(fit$stationary$type, "minimum")
  }
})

test_that("a narrow mode beside a wide one is not lost", {
  beside <- function(sd) function(x) {
    a <- dnorm(x, 0, sd, log = TRUE) + log(0.3)
    b <- dnorm(x, 3, 2, log = TRUE) + log(0.7)
    log_mean2(a, b) + log(2)
  }
  needle <- suppressWarnings(project_normal(beside(0.002)), classes = "meanfield_warning")
  expect_true(any(abs(needle$stationary$sd / 0.002 - 1) < 0.05))
  f <- beside(0.1)
  fit <- project_normal(f)$stationary
  expect_identical(fit$type, c("minimum", "minimum", "saddle"))
  climb <- optim(c(0, log(0.1)), function(v) {
    kl_divergence(law("normal", mean = v[1L], sd = exp(v[2L])), f)
  }, control = list(reltol = 1e-12))
  expect_equal(climb$value, fit$kl[2L], tolerance = 1e-7)
})

test_that("a ring: of a continuum of solutions one, called degenerate", {
  ring <- function(X) -(sqrt(rowSums(X^2) + 0.01) - 3)^2 / 0.18
  fit <- suppressWarnings(project_normal(ring, start = c(0, 0)), classes = "meanfield_warning")
  expect_identical(fit$stationary$type[1L], "degenerate")
  expect_gt(sum(fit$mean[1L, ]^2), 5)
  expect_identical(sum(fit$stationary$type == "degenerate" & fit$stationary$kl < 2), 1L)
})

test_that("heavy tails, kinks, bounds", {
  cauchy <- function(x) dcauchy(x, log = TRUE)
  fit <- project_normal(cauchy)
  expect_null(fit$moments)
  expect_equal(fit$entropy, log(4 * pi), tolerance = 1e-8)
  expect_error(project_normal(cauchy, "forward"), "no variance", class = "meanfield_error_density")
  student <- project_normal(function(x) dt(x, 3, log = TRUE), "forward")
  expect_equal(student$stationary$sd, sqrt(3), tolerance = 1e-8)
  laplace <- project_normal(function(x) -abs(x)) # sd sqrt(pi / 2)
  expect_equal(laplace$stationary$sd, sqrt(pi / 2), tolerance = 1e-5)
  unit <- function(x) dunif(x, log = TRUE)
  expect_error(project_normal(unit, start = 0.5), "forward", class = "meanfield_error_density")
  expect_warning(fit <- project_normal(unit, "forward", 0.5), class = "meanfield_warning_density")
  expect_equal(fit$stationary$sd, sqrt(1 / 12), tolerance = 1e-3)
})

test_that("what is no density is refused", {
  refuses <- function(f, ..., kind = "density", arg = "log_density") {
    e <- tryCatch(suppressWarnings(project_normal(f, ...)), error = identity)
    expect_s3_class(e, paste0("meanfield_error_", kind))
    expect_identical(e$arg, arg)
  }
  refuses(function(x) 0 * x)
  refuses(function(x) x)
  refuses(function(x) x^2)
  refuses(function(x) 1)
  refuses(function(x) as.character(x))
  refuses(function(x) ifelse(abs(x - 1) < 0.5, NaN, -x^2))
  refuses(function(x) ifelse(x > 0, Inf, -x^2))
  refuses(function(x) rep(-Inf, length(x)), arg = "start")
  refuses(function(X) dnorm(X, log = TRUE), start = c(0, 0))
  refuses("f", kind = "control")
  refuses(dnorm, start = 1:3, kind = "control", arg = "start")
  refuses(dnorm, start = NA, kind = "control", arg = "start")
  refuses(dnorm, "inward", kind = "control", arg = "direction")
})

test_that("it prints and plots what it found", {
  fit <- project_normal(two_normals)
  expect_output(print(fit), "5 stationary points")
  expect_output(print(fit), "saddle")
  withr::local_pdf(NULL)
  expect_identical(plot(fit), fit)
  expect_identical(plot(fit, types = "minimum", legend = FALSE), fit)
  expect_silent(plot(project_normal(two_planes(1.5), "forward", c(0, 0)), probs = 0.5))
  expect_error(plot(fit, types = "peak"), class = "meanfield_error_control")
  expect_error(plot(fit, probs = 2), class = "meanfield_error_control")
})
