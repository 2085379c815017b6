# What must change nothing but units.

inv_data <- function() {
  set.seed(21)
  n <- 120
  d <- data.frame(x = rnorm(n, 4, 2), f = factor(sample(c("a", "b", "c"), n, TRUE)),
    g = factor(sample(letters[1:9], n, TRUE)))
  d$y <- 3 + d$x + (d$f == "b") + rnorm(9)[d$g] + rnorm(n)
  d
}
vals <- function(fit) {
  s <- summary(fit, pars = "u")
  data.frame(mean = s$mean, sd = s$sd, lo = s$q2.5, hi = s$q97.5, row.names = s$variable)
}
log_rows <- function(v) v[grepl("^log_", rownames(v)), ]

test_that("weights of two are a halved precision", {
  d <- inv_data()
  d$two <- 2
  gam <- function(rate) priors(normal_prior(0, 5), gamma_prior(2, rate), gamma_prior(2, 1))
  # weight 2 and Gamma(a, b) for tau_e: 2 tau_e is Gamma(a, b / 2)
  half <- fit_vb(y ~ x + (1 | g), d, weights = two, prior = gam(2))
  one <- fit_vb(y ~ x + (1 | g), d, prior = gam(1))
  expect_close(half$posterior$tau$mean[1], one$posterior$tau$mean[1] / 2, 1e-8)
  expect_close(fixef(half), fixef(one), 1e-8)
  expect_close(vcov(half), vcov(one), 1e-8)
  # the default prior follows the weights too
  half <- fit_vb(y ~ x + (1 | g), d, weights = two)
  one <- fit_vb(y ~ x + (1 | g), d)
  expect_close(half$posterior$tau$mean[1], one$posterior$tau$mean[1] / 2, 1e-8)
  expect_close(vcov(half), vcov(one), 1e-8)
})

test_that("a weight of zero leaves the row out", {
  d <- inv_data()
  d$w <- rep(c(1, 1, 0, 2), 30)
  d$y[d$w == 0] <- 1e9
  a <- vals(fit_vb(y ~ x + f + (1 | g), d, weights = w))
  b <- vals(fit_vb(y ~ x + f + (1 | g), d[d$w > 0, ], weights = w))
  expect_equal(a, b, tolerance = 1e-10)
  # a group that only occurs with weight zero is no group
  d$w[d$g == "c"] <- 0
  fit <- fit_vb(y ~ x + f + (1 | g), d, weights = w)
  expect_equal(ngrps(fit)[["g"]], 8)
  expect_equal(length(fitted(fit)), nrow(d))
})

test_that("group labels and row order do not matter", {
  d <- inv_data()
  set.seed(1)
  e <- d[sample(nrow(d)), ]
  levels(e$g) <- paste0("z", sample(9))
  map <- setNames(levels(e$g), levels(d$g))
  a <- vals(fit_vb(y ~ x + f + (1 | g), d))
  b <- vals(fit_vb(y ~ x + f + (1 | g), e))
  main <- !grepl("^u\\[", rownames(a))
  expect_equal(unname(as.matrix(a[main, ])), unname(as.matrix(b[main, ])), tolerance = 1e-8)
  u <- paste0("u[g:", levels(d$g), "]")
  expect_equal(a[u, "mean"], b[paste0("u[g:", map[levels(d$g)], "]"), "mean"], tolerance = 1e-8)
  # factor, character, integer and logical groups are the same model
  d$i <- as.integer(d$g)
  d$c <- as.character(d$g)
  for (f in c(y ~ x + (1 | i), y ~ x + (1 | c))) {
    expect_equal(unname(as.matrix(vals(fit_vb(f, d)))),
      unname(as.matrix(vals(fit_vb(y ~ x + (1 | g), d)))), tolerance = 1e-9)
  }
  d$l <- d$x > 4
  d$lf <- factor(d$l)
  expect_equal(unname(as.matrix(vals(fit_vb(y ~ f + (1 | l), d)))),
    unname(as.matrix(vals(fit_vb(y ~ f + (1 | lf), d)))), tolerance = 1e-9)
})

test_that("shifting and scaling the response changes units only", {
  d <- inv_data()
  base <- fit_vb(y ~ x + f + (1 | g), d)
  v <- vals(base)
  for (s in c(1e-6, 1, 1e6)) for (shift in c(0, 1e6)) {
    e <- d
    e$y <- s * (d$y + shift)
    w <- vals(fit_vb(y ~ x + f + (1 | g), e))
    for (r in c("beta[x]", "beta[fb]", "beta[(Intercept)]", "sigma_e", "sigma_u[g]", "u[g:a]")) {
      expect_close(w[r, "sd"] / s, v[r, "sd"], 1e-6)
      at <- if (r == "beta[(Intercept)]") shift else 0
      # y itself is only known to 1e6 * 2^-53 after the shift
      expect_lte(abs(w[r, "mean"] / s - at - v[r, "mean"]), 1e-6 * v[r, "sd"] + 1e-9 * (shift > 0) * v[r, "sd"] + 1e-6 * abs(v[r, "mean"]))
    }
    expect_close(log_rows(w)$sd, log_rows(v)$sd, 1e-6)
  }
})

test_that("explicit priors scale along with the response", {
  d <- inv_data()
  gam <- function(s) {
    priors(normal_prior(c(5, 0) * s, 10 * s), gamma_prior(2, 3 * s^2), gamma_prior(2, 1 * s^2))
  }
  v <- vals(fit_vb(y ~ x + (1 | g), d, prior = gam(1)))
  for (s in c(1e-6, 1e6)) {
    e <- d
    e$y <- s * d$y
    w <- vals(fit_vb(y ~ x + (1 | g), e, prior = gam(s)))
    expect_close(w["beta[x]", ] / s, v["beta[x]", ], 1e-6)
    expect_close(w["tau_u[g]", ] * s^2, v["tau_u[g]", ], 1e-6)
    expect_close(log_rows(w)$sd, log_rows(v)$sd, 1e-6)
  }
})

test_that("rescaling and shifting predictors changes units only", {
  d <- inv_data()
  v <- vals(fit_vb(y ~ x + f + (1 | g), d))
  for (s in c(1e-6, 1e6)) for (shift in c(0, 2000)) {
    e <- d
    e$x <- s * (d$x + shift)
    w <- vals(fit_vb(y ~ x + f + (1 | g), e))
    expect_close(w["beta[x]", ] * s, v["beta[x]", ], 1e-6)
    expect_close(w["beta[fc]", ], v["beta[fc]", ], 1e-6)
    expect_close(log_rows(w)$sd, log_rows(v)$sd, 1e-6)
  }
})

test_that("cell means without an intercept survive a large mean", {
  d <- inv_data()
  v <- vals(fit_vb(y ~ 0 + f + (1 | g), d, integrate = "no"))
  e <- transform(d, y = y + 1e6)
  w <- vals(fit_vb(y ~ 0 + f + (1 | g), e, integrate = "no"))
  expect_close(w["beta[fa]", "mean"] - 1e6, v["beta[fa]", "mean"], 1e-6)
  expect_close(w[, "sd"][1:6], v[, "sd"][1:6], 1e-6)
})

test_that("an offset is subtracted, in the formula or as an argument", {
  d <- inv_data()
  d$o <- rnorm(120)
  d$y2 <- d$y - d$o
  a <- vals(fit_vb(y2 ~ x + (1 | g), d, integrate = "no"))
  expect_equal(vals(fit_vb(y ~ x + offset(o) + (1 | g), d, integrate = "no")), a, tolerance = 1e-10)
  expect_equal(vals(fit_vb(y ~ x + (1 | g), d, offset = o, integrate = "no")), a, tolerance = 1e-10)
  f <- fit_vb(y ~ x + offset(o) + (1 | g), d)
  expect_equal(unname(predict(f, d[1:5, ])), unname(fitted(f)[1:5]), tolerance = 1e-12)
})
