# Integration with few conditional fits, against a lattice of many and against itself.

emulated <- function(fit) {
  core <- engine_core(fit$model)
  centre <- vb_centre(core, fit$vb)
  list(core = core, centre = centre,
    nodes = emulate_precisions(core, centre, nest_start(fit$posterior$tau)))
}

emulate_data <- function() {
  set.seed(7)
  d <- data.frame(x = rnorm(72), g = gl(9, 8), h = factor(rep(1:6, 12)))
  eta <- .4 * d$x + rnorm(9, 0, .7)[d$g] + rnorm(6, 0, .4)[d$h]
  d$y <- eta + rnorm(72)
  d$k <- rpois(72, exp(eta))
  d
}

# The largest difference of a mean or SD of log precisions and SDs, in SDs.
emulate_error <- function(e, exact) {
  own <- own_coordinates(e$core)
  of <- function(n) weighted_moments(rbind(n$psi, exp(-n$psi[own, , drop = FALSE] / 2)), n$weights)
  a <- of(e$nodes)
  b <- of(exact)
  max(abs(a$mean - b$mean) / b$sd, abs(a$sd / b$sd - 1))
}

test_that("a dozen fits integrate a Gaussian model as thousands do", {
  d <- emulate_data()
  for (f in list(y ~ x + (1 | g), y ~ x + (1 | g) + (1 | h))) {
    fit <- fit_vb(f, d, integrate = "no")
    e <- emulated(fit)
    expect_lte(e$nodes$points, 13L)
    error <- emulate_error(e, fit_exact(fit)$integrated)
    expect_lt(error, 5e-3)
    expect_gt(e$nodes$error, error / 3)
    expect_equal(colSums(e$nodes$fits$A), rep(1, length(e$nodes$weights)), tolerance = 1e-6)
  }
})

test_that("counts and a dispersion are emulated to the density itself", {
  d <- emulate_data()
  for (family in list(poisson(), neg_binomial())) {
    e <- emulated(fit_vb(k ~ x + (1 | g), d, family = family, integrate = "no"))
    n <- e$nodes
    off <- call_nest_log_density(e$core, e$centre, bend_from_psi(n$psi, n$bend), n$bend) - n$log_density
    off <- off - sum(n$weights * off)
    expect_lt(sqrt(sum(n$weights * off^2)), .05)
  }
})

# K0 of one scalar term, and M of another below it, from a table of the rows.
sampling_by_hand <- function(outer, inner) {
  n <- table(outer, inner)
  mean <- 1.001 * mean(rowSums(n))
  c(mean / (1.001 * mean(rowSums(n)^2)), mean(rowSums(n^2)) / mean^2)
}

test_that("sampling covariances of nested factors are read from packed blocks of any family", {
  d <- expand.grid(row = 1:2, c = 1:2, b = 1:2, a = 1:100)[-(1:3), ]
  d <- transform(d, a = factor(a), b = interaction(a, b, drop = TRUE),
    c = interaction(a, b, c, drop = TRUE))
  d$y <- cos(seq_len(nrow(d))) + sin(as.integer(d$a)) + sin(as.integer(d$b))
  d$k <- as.integer(d$y > 0)
  f <- y ~ 1 + (1 | a) + (1 | b) + (1 | c)
  for (fit in list(fit_vb(f, d, integrate = "no"),
    fit_vb(update(f, k ~ .), d, family = binomial(), integrate = "no"))) {
    core <- engine_core(fit$model)
    got <- call_emulate_sampling(core)$result
    at <- got$lead + 3:1 # of a, b, c
    expect_true(is.list(core$global))
    for (o in 1:2) {
      for (i in seq.int(o + 1L, 3L)) {
        want <- sampling_by_hand(d[[letters[o]]], d[[letters[i]]])
        expect_equal(c(got$K0[at[o]], got$M[at[o], at[i]]), want, tolerance = 1e-12)
      }
    }
    expect_identical(sum(got$inner), 3)
  }
})

test_that("a thousand outer levels are emulated from packed blocks", {
  d <- expand.grid(row = 1:2, b = 1:2, a = seq_len(1000L))
  d <- transform(d, a = factor(a), b = factor(b))
  d$y <- cos(seq_len(nrow(d))) + sin(as.integer(d$a)) + sin(2.1 * as.integer(d$a:d$b))
  e <- emulated(fit_vb(y ~ 1 + (1 | a / b), d, integrate = "no"))
  n <- e$nodes
  off <- call_nest_log_density(e$core, e$centre, bend_from_psi(n$psi, n$bend), n$bend) - n$log_density
  expect_lt(diff(range(off[n$weights > 1e-3])), .01)
})

test_that("names and order of levels and rows do not move the emulated integral", {
  d <- emulate_data()
  fit <- function(d) emulated(fit_vb(k ~ x + (1 + x | g), d, family = poisson(), integrate = "no"))
  one <- fit(d)$nodes
  set.seed(8)
  other <- d[sample(nrow(d)), ]
  other$g <- factor(letters[as.integer(other$g)], levels = sample(letters[1:9]))
  two <- fit(other)$nodes
  expect_identical(two$points, one$points)
  expect_equal(drop(two$psi %*% two$weights), drop(one$psi %*% one$weights), tolerance = 1e-6)
})

test_that("levels of very different sizes are emulated to the density itself", {
  set.seed(9)
  d <- data.frame(g = factor(rep(1:30, c(rep(2, 26), 30, 40, 60, 100))))
  d$y <- rnorm(30, 0, .25)[d$g] + rnorm(nrow(d))
  e <- emulated(fit <- fit_vb(y ~ 1 + (1 | g), d, integrate = "no"))
  error <- emulate_error(e, fit_exact(fit)$integrated)
  expect_lt(error, .015)
  expect_gt(e$nodes$error, error / 3)
})

test_that("two terms of one factor, of an uncentred covariate, are emulated", {
  set.seed(10)
  d <- data.frame(g = gl(15, 8), x = rep(3:10, 15))
  d$y <- rnorm(15, 0, 2)[d$g] + rnorm(15, 0, .5)[d$g] * d$x + rnorm(120)
  e <- emulated(fit <- fit_vb(y ~ x + (1 | g) + (0 + x | g), d, integrate = "no"))
  expect_true(is_integral(e$nodes))
  error <- emulate_error(e, fit_exact(fit)$integrated)
  expect_lt(error, .015)
})
