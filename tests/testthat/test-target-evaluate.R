# The evaluator: values, gradients from every source, failures that are counted and never NaN.


evaluator <- evaluator
counts <- evaluator_counts

y <- c(1.2, -.4, 2.2, .3)
density <- function(p) sum(dnorm(y, p$mu, p$sigma, log = TRUE)) - p$sigma + sum(p$b * p$mu - p$b^2)
slope <- function(p) {
  r <- (y - p$mu) / p$sigma
  list(sigma = sum(r^2 - 1) / p$sigma - 1, b = p$mu - 2 * p$b, mu = sum(r) / p$sigma + sum(p$b))
}
init <- list(mu = .5, sigma = 2, b = c(1, 2))
build <- function(...) target(..., init = init, constraints = list(sigma = positive()))
Z <- matrix(c(.5, 1, 1, 2, -1, .2, 0, 0, 2, -1, .1, -3), 4)

test_that("values hold the log Jacobian, gradients agree with differences", {
  ev <- evaluator(build(density, gradient = slope))
  at <- ev(Z)
  by_hand <- apply(Z, 2, function(z) {
    density(list(mu = z[1], sigma = exp(z[2]), b = z[3:4])) + z[2]
  })
  expect_equal(at$lp, by_hand, tolerance = 1e-14)
  expect_identical(ev(Z, FALSE), list(lp = at$lp, gradient = NULL))
  expect_identical(ev(Z[, 2])$gradient, at$gradient[, 2, drop = FALSE])
  expect_identical(counts(ev)[c("values", "gradients", "failures")],
    list(values = 7, gradients = 4, failures = 0))
  by_difference <- evaluator(build(density, gradient = "differences"))(Z)
  expect_identical(by_difference$lp, at$lp)
  expect_equal(by_difference$gradient, at$gradient, tolerance = 1e-8)
})

test_that("data are the second argument", {
  t <- build(function(p, data) data$k * density(p), data = list(k = 3), gradient = "differences")
  plain <- evaluator(build(density))(Z, FALSE)$lp
  other <- evaluator(target_with_data(t, list(k = 0)))
  expect_equal(other(Z, FALSE)$lp, Z[2, ])
  expect_equal(evaluator(t)(Z, FALSE)$lp - Z[2, ], 3 * (plain - Z[2, ]), tolerance = 1e-13)
})

test_that("a block of points is what its points are, with any shape", {
  f <- function(p) -rowSums(p$b^2) + p$s - p$s^2 + rowSums(p$m, dims = 1) - rowSums(p$m^2, dims = 1)
  g <- function(p) list(m = 1 - 2 * p$m, s = 1 - 2 * p$s, b = -2 * p$b)
  f1 <- function(p) -sum(p$b^2) + p$s - p$s^2 + sum(p$m) - sum(p$m^2)
  init <- list(b = c(x = 1, y = 2), s = 1, m = matrix(1:6 / 6, 2))
  own <- list(s = positive(), m = positive())
  t <- target(f, init, g, own, vectorised = TRUE)
  t1 <- target(f1, init, g, own)
  Z <- matrix(sin(1:45), 9)
  expect_equal(evaluator(t)(Z), evaluator(t1)(Z), tolerance = 1e-13)
  numeric <- target(f, init, "differences", own, vectorised = TRUE)
  expect_equal(evaluator(numeric)(Z)$gradient, evaluator(t)(Z)$gradient, tolerance = 1e-7)
  seen <- NULL
  target(function(p) {
    seen <<- p
    f(p)
  }, init, g, own, vectorised = TRUE)
  expect_identical(colnames(seen$b), c("x", "y"))
  expect_identical(dim(seen$m)[-1L], 2:3)
  expect_error(target(function(p) rep(f(p)[1], length(p$s)), init, "differences", own,
    vectorised = TRUE), "one by one", class = "meanfield_error_target")
  expect_error(target(function(p) sum(f(p)), init, "differences", own, vectorised = TRUE),
    class = "meanfield_error_target")
})

test_that("errors, warnings, NaN, Inf and odd values are zeros that are counted", {
  f <- function(p) {
    x <- p$x
    if (x == 1) stop("one is bad")
    if (x == 2) return(NaN)
    if (x == 3) return(Inf)
    if (x == 4) return(NULL)
    if (x == 5) return("five")
    if (x == 6) warning("six")
    if (x == 7) return(c(1, 2))
    if (x == 8) return(NA_real_)
    if (x == 9) return(-Inf)
    -x^2
  }
  ev <- evaluator(target(f, list(x = 0), function(p) list(x = -2 * p$x)))
  at <- ev(matrix(0:10, 1))
  expect_identical(at$lp, c(0, rep(-Inf, 5), -36, rep(-Inf, 3), -100))
  expect_identical(which(is.na(at$gradient)), c(2:6, 8:10))
  n <- counts(ev)
  expect_identical(n$failures, 7)
  expect_identical(n$warnings, 1)
  expect_match(n$message, "one is bad")
  # in a block
  g <- function(p) if (any(p$x == 1)) stop("a one") else -p$x^2
  evb <- evaluator(target(g, list(x = 0), "differences", vectorised = TRUE))
  expect_identical(evb(matrix(0:3, 1), FALSE)$lp, c(0, -Inf, -4, -9))
  expect_identical(counts(evb)$failures, 1)
})

test_that("an error of the gradient leaves the value", {
  g <- function(p) if (p$x > 1) stop("steep") else list(x = -2 * p$x)
  ev <- evaluator(target(function(p) -p$x^2, list(x = 0), g))
  at <- ev(matrix(c(2, .5), 1))
  expect_identical(at$lp, c(-4, -.25))
  expect_identical(at$gradient, matrix(c(NA, -1), 1))
  expect_identical(counts(ev)$failures, 1)
})

test_that("points that are not numbers, or overflow, have no density", {
  ev <- evaluator(target(function(p) -p$x, list(x = 1), function(p) list(x = -1),
    list(x = positive())))
  at <- ev(matrix(c(NaN, NA, Inf, -Inf, 800, 0), 1))
  expect_identical(at$lp, c(rep(-Inf, 5), -1))
  expect_false(anyNA(at$gradient[at$lp > -Inf]))
  finite <- evaluator(target(function(p) 1 / p$x, list(x = 1), "differences", list(x = positive())))
  expect_identical(finite(matrix(c(800, 0), 1), FALSE)$lp, c(-Inf, 1))
  flat <- target(function(p) 0, list(x = .5), function(p) list(x = 0), list(x = unit_interval()))
  at <- evaluator(flat)(matrix(c(1e308, -1e308), 1))
  expect_true(all(at$lp < -1e307))
  two <- target(function(p) 0, list(x = c(.5, .5)), function(p) list(x = c(0, 0)),
    list(x = unit_interval()))
  at <- evaluator(two)(matrix(1.5e308, 2, 1))
  expect_identical(at$lp, -Inf)
  expect_true(all(is.na(at$gradient)))
})

test_that("an interrupt passes through", {
  interrupt <- structure(class = c("interrupt", "condition"), list(message = "", call = NULL))
  armed <- FALSE
  t <- target(function(p) if (armed) stop(interrupt) else -p$x^2, list(x = 0), "differences")
  armed <- TRUE
  caught <- tryCatch(evaluator(t)(matrix(0)), interrupt = function(e) "interrupted")
  expect_identical(caught, "interrupted")
})

test_that("differences fit the scale, and are one-sided at an edge", {
  s <- c(1e-4, 1e4)
  t <- target(function(p) -sum(cosh(p$x / s)) + 1e4, list(x = c(0, 0)), "differences")
  x <- matrix(s * c(.5, -.8, 1, .2), 2)
  expect_equal(evaluator(t)(x)$gradient, -sinh(x / s) / s, tolerance = 1e-6)
  known <- evaluator(t, scale = s)(x)$gradient
  expect_equal(known, -sinh(x / s) / s, tolerance = 1e-6)
  expect_lte(max(target(function(p) -(p$x / 1e6)^2, list(x = 0), "differences")$step), 1e-3)
  edge <- target(function(p) if (p$x > 1) -Inf else 3 * p$x, list(x = 0), "differences")
  expect_equal(c(evaluator(edge)(matrix(1))$gradient), 3, tolerance = 1e-6)
})

test_that("rows of the data add up, and batches stand for all", {
  prior <- function(p) -p$mu^2 / 2 - p$sigma
  rows <- function(p, i) dnorm(y[i], p$mu, p$sigma, log = TRUE)
  own <- list(sigma = positive())
  start <- list(mu = 0, sigma = 1)
  g <- function(p) list(mu = -p$mu, sigma = -1)
  g_rows <- function(p, i) {
    r <- (y[i] - p$mu) / p$sigma
    list(mu = sum(r) / p$sigma, sigma = sum(r^2 - 1) / p$sigma)
  }
  t <- target(prior, start, g, own, rows = 4, log_lik = rows, grad_log_lik = g_rows)
  whole <- target(function(p) prior(p) + sum(rows(p, 1:4)), start, "differences", own)
  Z <- matrix(c(.1, .2, -1, .5), 2)
  at <- evaluator(t)(Z)
  expect_equal(at$lp, evaluator(whole)(Z)$lp, tolerance = 1e-14)
  expect_equal(at$gradient, evaluator(whole)(Z)$gradient, tolerance = 1e-7)
  evb <- batch_evaluator(t)
  expect_equal(evb(Z, 1:4), at, tolerance = 1e-13)
  pairs <- lapply(list(1:2, 3:4), function(i) evb(Z, i))
  expect_equal((pairs[[1]]$lp + pairs[[2]]$lp) / 2, at$lp, tolerance = 1e-13)
  expect_equal((pairs[[1]]$gradient + pairs[[2]]$gradient) / 2, at$gradient, tolerance = 1e-13)
  summed <- target(prior, start, g, own, rows = 4, log_lik = function(p, i) sum(rows(p, i)),
    grad_log_lik = g_rows)
  expect_equal(evaluator(summed)(Z), at, tolerance = 1e-13)
  block <- target(function(p) -p$mu^2 / 2 - p$sigma, start, function(p) {
    list(mu = -p$mu, sigma = rep(-1, length(p$mu)))
  }, own, vectorised = TRUE, rows = 4,
  log_lik = function(p, i) sapply(i, function(k) dnorm(y[k], p$mu, p$sigma, log = TRUE)) +
    matrix(0, length(p$mu), length(i)),
  grad_log_lik = function(p, i) {
    r <- outer(-p$mu, y[i], "+") / p$sigma
    list(mu = rowSums(r) / p$sigma, sigma = rowSums(r^2 - 1) / p$sigma)
  })
  expect_equal(evaluator(block)(Z), at, tolerance = 1e-13)
  expect_equal(batch_evaluator(block)(Z, 2:3), evb(Z, 2:3), tolerance = 1e-13)
  expect_error(target(prior, start, "differences", own, rows = 4, log_lik = function(p, i) 1:3),
    "log_lik", class = "meanfield_error_target")
  expect_error(batch_evaluator(whole), "rows", class = "meanfield_error_control")
})

test_that("values of all variables, NA where a generated one fails", {
  t <- target(density, init, slope, list(sigma = positive()),
    generated = function(p) if (p$mu > 1) stop("no") else list(ratio = p$mu / p$sigma, v = p$b))
  v <- target_values(t, Z)
  expect_identical(rownames(v), c("mu", "sigma", "b[1]", "b[2]", "ratio", "v[1]", "v[2]"))
  expect_equal(v["sigma", ], exp(Z[2, ]))
  expect_equal(v["ratio", 1:2], (Z[1, ] / exp(Z[2, ]))[1:2])
  expect_true(is.na(v["ratio", 3]))
  p <- constrain_list(t, Z[, 1])
  expect_identical(names(p), names(init))
  expect_equal(unconstrain(t, p[3:1]), Z[, 1])
  expect_error(unconstrain(t, list(mu = 1)), class = "meanfield_error_init")
})

test_that("RTMB's tape of the log density gives its gradient", {
  skip_if_not_installed("RTMB")
  t <- build(density, gradient = "RTMB")
  expect_output(print(t), "tape")
  expect_equal(evaluator(t)(Z), evaluator(build(density, gradient = slope))(Z), tolerance = 1e-12)
  expect_identical(build(density)$source, "RTMB")
  Omega <- matrix(c(1, .3, .2, .3, 1, -.1, .2, -.1, 1), 3)
  f <- function(p, data) {
    M <- p$Omega %*% data
    out <- numeric(3)
    for (i in 1:3) out[i] <- M[i, i]^2
    -sum(out) - sum(p$s * diag(p$Omega)) + sum(log(p$s))
  }
  matrices <- function(gradient) {
    target(f, list(Omega = Omega, s = c(1, 2, 3)), gradient,
      list(Omega = correlation(), s = positive()), data = Omega)
  }
  Z <- matrix(sin(1:12), 6)
  expect_equal(evaluator(matrices("RTMB"))(Z), evaluator(matrices("differences"))(Z),
    tolerance = 1e-6)
})

test_that("what RTMB cannot tape is differenced", {
  f <- function(p) if (p$x > 2) -p$x^2 else stats::integrate(function(u) -2 * u, 0, p$x)$value
  expect_identical(target(f, list(x = 1))$source, "central differences")
  expect_error(target(f, list(x = 1), "RTMB"), "RTMB", class = "meanfield_error_gradient")
})
