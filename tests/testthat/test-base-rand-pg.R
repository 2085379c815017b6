# Polya-Gamma variables against their moments, Laplace transform and distribution function.

pg <- function(b, c) call_test_pg(b, c)

log_cosh <- function(z) z + log(1 + exp(-2 * z)) - log(2) # Re z >= 0, complex too

pg_cumulants <- function(b, c) {
  if (c == 0) return(b * c(1 / 4, 1 / 24, 1 / 60))
  h <- c / 2
  T <- tanh(h)
  S <- 1 / cosh(h)^2
  b * c(T / (4 * h), (T / h - S) / (16 * h^2), (3 * (T / h - S) - 2 * h * S * T) / (64 * h^4))
}

# z-scores of the mean, the variance and three values of the Laplace transform, at t in units of
# 1 / mean for an exact sum, of 1 / SD about the mean for large b.
pg_z <- function(b, c, n) {
  w <- pg(rep(b, n), c)
  k <- pg_cumulants(b, c)
  z <- function(x, expected) (mean(x) - expected) / (sd(x) / sqrt(n))
  shift <- if (b > 100) k[1] else 0
  t <- if (b > 100) c(.3, .8, 2) / sqrt(k[2]) else c(.3, 1, 4) / k[1]
  laplace <- exp(b * (log_cosh(c / 2) - log_cosh(sqrt(c^2 / 4 + t / 2))) + t * shift)
  c(z(w, k[1]), z((w - k[1])^2, k[2]),
    vapply(1:3, function(j) z(exp(-t[j] * (w - shift)), laplace[j]), 0))
}

test_that("PG(b, c) has its moments and Laplace transform, sums and shifted gamma alike", {
  set.seed(1)
  for (c in c(0, .05, .7, 3.1, 3.2, 9)) {
    expect_lt(max(abs(pg_z(1, c, 2e5))), tol_mcse)
    expect_lt(max(abs(pg_z(2, c, 5e4))), tol_mcse)
    expect_lt(max(abs(pg_z(7, c, 2e4))), tol_mcse)
    expect_lt(max(abs(pg_z(171, c, 2e5))), tol_mcse)
    expect_lt(max(abs(pg_z(2000, c, 2e5))), tol_mcse)
  }
})

test_that("the law of PG(1, c) is that of the gamma series", {
  # omega = sum of independent Gamma(1, 1) / (2 pi^2 ((k - 1/2)^2 + c^2 / (4 pi^2))); the tail of
  # the series has mean < 1e-4
  set.seed(2)
  for (c in c(0, 2, 6)) {
    k <- 1:500
    rate <- 2 * pi^2 * ((k - .5)^2 + c^2 / (4 * pi^2))
    tail <- sum(1 / (2 * pi^2 * ((501:1e5 - .5)^2 + c^2 / (4 * pi^2))))
    series <- colSums(matrix(rexp(500 * 4000, rate), 500)) + tail
    expect_gt(suppressWarnings(ks.test(series, pg(rep(1, 2e4), c)))$p.value, 1e-3)
  }
})

test_that("the shifted gamma is within .008 / b of the distribution function", {
  # Gil-Pelaez inversion of the characteristic function, at standardised frequencies
  b <- 171
  s <- (1:8000 - .5) * .005
  x <- seq(-3.5, 5, by = .25)
  gap <- vapply(c(0, 2, 6, 8, 15, 60), function(c) {
    k <- pg_cumulants(b, c)
    sd <- sqrt(k[2])
    phi <- exp(b * (log_cosh(c / 2) - log_cosh(sqrt(c^2 / 4 - 1i * s / sd / 2))) -
      1i * s / sd * k[1])
    F <- vapply(x, function(x) .5 - sum(Im(exp(-1i * s * x) * phi) / s) * .005 / pi, 0)
    scale <- k[3] / (2 * k[2])
    shape <- k[2] / scale^2
    max(abs(F - pgamma(shape + x * sd / scale, shape)))
  }, 0)
  expect_lt(max(gap), .008 / b)
  expect_gt(max(gap), .002 / b) # the inversion sees something
})

test_that("the sign of c does not matter", {
  set.seed(5)
  a <- pg(rep(3, 10), 1.3)
  set.seed(5)
  expect_identical(pg(rep(3, 10), -1.3), a)
})

test_that("extreme parameters give finite positive draws, and none hangs", {
  set.seed(3)
  b <- c(1, 1, 1, 1, 5, 200, 200, 1e15, 1e300, 1)
  c <- c(1e3, 1e8, 1e150, 1e300, -4, 1e8, 1e200, 2, 1e-300, 1e-300)
  w <- pg(b, c)
  expect_true(all(is.finite(w) & w > 0))
  expect_equal(w[2], .5e-8, tolerance = 1e-3) # its SD is 1e-4 of it
  expect_identical(pg(c(0, 0), c(0, 1e300)), c(0, 0))
  expect_true(all(is.nan(pg(c(1, -1, NaN), c(NaN, 0, 0)))))
})
