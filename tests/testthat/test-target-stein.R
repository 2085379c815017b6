# Stein control variates: what they know exactly, and their errors.

# Weighted points that have nothing to do with the target, and the score of N(mu, S) there, in the
# coordinates z = m + L e.
stein_setting <- function(d, n, shape = random_covariance(d, 2)) {
  S <- random_covariance(d, 1)
  mu <- sin(1:d)
  m <- mu + 0.3
  L <- t(chol(shape))
  e <- t(qnorm(cube_points(n, d, 3))) * 1.2 + 0.2
  z <- m + L %*% t(e)
  w <- exp(0.3 * cos(seq_len(n)))
  list(z = z, e = e, score = crossprod(-solve(S, z - mu), L), w = w / sum(w), mu = mu, S = S,
    replicate = rep_len(1:8, n))
}

stein_of <- function(s, ...) stein_sample(s$e, s$score, s$w, s$replicate, ...)

test_that("linear and quadratic functions of a normal are exact, whatever the points are", {
  for (d in c(1L, 2L, 5L)) {
    s <- stein_setting(d, 400L)
    m <- stein_moments(stein_of(s), t(s$z))
    expect_equal(m$mean, s$mu, tolerance = 1e-8)
    expect_equal(m$sd, unname(sqrt(diag(s$S))), tolerance = 1e-8)
    expect_lt(max(m$mcse_mean, m$mcse_sd), 1e-7)
    pairs <- lower_pairs(d)
    products <- t(s$z[pairs$row, , drop = FALSE] * s$z[pairs$col, , drop = FALSE])
    expect_equal(stein_mean(stein_of(s), products)$mean,
      (s$S + tcrossprod(s$mu))[cbind(pairs$row, pairs$col)], tolerance = 1e-8)
  }
})

test_that("with few points the diagonal and a direction of its own serve as well", {
  s <- stein_setting(5L, 100L)
  expect_false(stein_full(100L, 5L))
  m <- stein_moments(stein_of(s), t(s$z))
  expect_equal(m$mean, s$mu, tolerance = 1e-8)
  expect_equal(m$sd, unname(sqrt(diag(s$S))), tolerance = 1e-8) # each is a mixture of the axes
  plain <- stein_moments(stein_of(s, functions = FALSE), t(s$z))
  expect_equal(plain$mean, drop(s$z %*% s$w))
  expect_gt(max(abs(plain$mean - s$mu)), 0.05)
  # (v'z)^2 of any one direction
  f <- cbind(t(s$z) %*% (1:5))
  expect_equal(stein_moments(stein_of(s), f)$sd, sqrt(sum(1:5 * (s$S %*% 1:5))),
    tolerance = 1e-8)
})

test_that("the jackknife is that of refits without a replicate", {
  for (d in c(1L, 3L)) {
    s <- stein_setting(d, 160L)
    f <- cbind(exp(s$e[, 1L] / 2), sin(s$e[, d]), abs(s$e[, 1L]))
    got <- stein_mean(stein_of(s), f)
    X <- cbind(1, stein_functions(s$e, s$score))
    constant <- function(keep) {
      coef(lm.wfit(X[keep, ], f[keep, ], s$w[keep]))[1L, ]
    }
    expect_equal(got$mean, constant(rep(TRUE, 160L)), ignore_attr = TRUE)
    each <- sapply(1:8, function(r) constant(s$replicate != r))
    expect_equal(got$se, sqrt(7 / 8 * rowSums((each - rowMeans(each))^2)), tolerance = 1e-8,
      ignore_attr = TRUE)
  }
})

test_that("a column's own function is one more column of its regression", {
  s <- stein_setting(2L, 160L)
  f <- cbind(exp(s$e[, 1L] / 2), exp(s$e[, 2L]))
  extra <- cbind(f[, 1L] * s$score[, 1L] + f[, 1L] / 2, f[, 2L] * s$score[, 2L] + f[, 2L])
  got <- stein_mean(stein_of(s), f, extra)
  X <- cbind(1, stein_functions(s$e, s$score))
  for (j in 1:2) {
    fit <- lm.wfit(cbind(X, extra[, j]), f[, j], s$w)
    expect_equal(got$mean[j], coef(fit)[[1L]])
    expect_equal(got$residual[, j], sqrt(s$w) * unname(fit$residuals))
  }
})

test_that("every function has mean zero under a density with that score", {
  # a density far from normal: log of a Gamma(3, 1) variable, and one that hangs on it
  x <- seq(-12, 6, length.out = 1501)
  y <- seq(-9, 9, length.out = 301)
  g <- expand.grid(x = x, y = y)
  score <- cbind(3 - exp(g$x) + (g$y - g$x) - g$x / 3, g$x - g$y)
  lp <- 3 * g$x - exp(g$x) - (g$y - g$x)^2 / 2 - g$x^2 / 6
  w <- exp(lp - max(lp))
  w <- w / sum(w)
  e <- as.matrix(g)
  all <- stein_functions(e, score)
  expect_identical(ncol(all), 2L + 3L)
  expect_lt(max(abs(w %*% all)), 1e-6)
  few <- seq(1, length(w), length.out = 30) # the diagonal alone
  expect_equal(stein_functions(e[few, ], score[few, ]), all[few, c(1:2, 3, 5)] %*%
    diag(c(1, 1, 0.5, 0.5)), ignore_attr = TRUE)
  # of one column: f s + f' for f = exp(x), and for its squared deviation
  f <- exp(g$x)
  m <- sum(w * f)
  expect_lt(abs(sum(w * (f * score[, 1L] + f))), 1e-6)
  expect_lt(abs(sum(w * ((f - m)^2 * score[, 1L] + 2 * (f - m) * f))), 1e-5)
})

test_that("own functions bring the moments of exp(z), and are of no harm where all is known", {
  n <- 512L
  e <- t(qnorm(cube_points(n, 1L, 3L)))
  s <- list(e = e, score = -e, w = rep(1 / n, n), replicate = rep_len(1:8, n))
  f <- exp(0.7 * e)
  truth <- c(exp(0.245), exp(0.245) * sqrt(expm1(0.49)))
  with <- stein_moments(stein_of(s), f, 0.7 * f, -e)
  without <- stein_moments(stein_of(s), f)
  expect_lt(abs(with$sd - truth[2L]), abs(without$sd - truth[2L]))
  expect_lt(abs(with$mean - truth[1L]), 4 * with$mcse_mean + 1e-6)
  expect_lt(with$mcse_mean, without$mcse_mean)
})

test_that("the discrepancy sees a wrong gradient and a jump", {
  n <- 1024L
  e <- t(qnorm(cube_points(n, 2L, 5L)))
  w <- rep(1 / n, n)
  expect_lt(stein_discrepancy(e, -e, w), 3)
  expect_gt(stein_discrepancy(e, -1.3 * e, w), STEIN_LIMIT)
  expect_gt(stein_discrepancy(e, -e + 0.3, w), STEIN_LIMIT)
  jump <- ifelse(e[, 1L] > 0.3, 3, 1) # the gradient does not know of it
  expect_gt(stein_discrepancy(e, -e, jump / sum(jump)), STEIN_LIMIT)
})

test_that("the shape of squares widens the error of an SD", {
  u <- (seq_len(2000) - 0.5) / 2000
  light <- cbind(qnorm(u)^2)
  heavy <- cbind(qt(u, 2)^2)
  expect_lt(tail_shape(light), 0.3)
  expect_gt(tail_shape(heavy), 0.6)
  expect_identical(tail_shape(cbind(numeric(30), rep(Inf, 30))), c(-Inf, Inf))
  expect_identical(unseen_tail(c(-1, 0, 0.375, 3)), c(1.5, 1.5, 3, 15))
})
