# Modes and tails without end.

# Equal normals of SD 1 with these centres (d x k), with gradient; an even floor of no mode.
mixture_evaluator <- function(centres, share = rep(1, ncol(centres)), sd = 1) {
  d <- nrow(centres)
  share <- share / sum(share)
  function(Z, gradient = TRUE) {
    part <- vapply(seq_len(ncol(centres)), function(k) {
      log(share[k]) - colSums((Z - centres[, k])^2) / (2 * sd^2) - d * log(sd * sqrt(2 * pi))
    }, numeric(ncol(Z)))
    part <- matrix(part, ncol(Z))
    lp <- log_mixture(part, rep(1, ncol(centres)))
    weight <- exp(part - lp)
    list(lp = lp, gradient = (centres %*% t(weight) - Z) / sd^2)
  }
}

modes_from <- function(ev, z0) {
  modes <- find_modes(ev, start_at(ev, z0), z0)
  Filter(function(m) m$usable, modes)
}

masses <- function(modes) vapply(modes, `[[`, 0, "log_mass")

test_that("two modes are found in one, two and ten dimensions, with their masses", {
  for (d in c(1L, 2L, 10L)) {
    centres <- cbind(rep(3, d), rep(-3, d)) / sqrt(d) * c(1.2, rep(1, d - 1L))
    ev <- mixture_evaluator(centres, c(0.3, 0.7))
    modes <- modes_from(ev, rep(0.5, d))
    expect_length(modes, 2L)
    expect_equal(exp(masses(modes)), c(0.7, 0.3), tolerance = 0.02)
    expect_lt(max(abs(modes[[1L]]$z - centres[, 2L])), 0.05)
    # and from within one of them
    expect_length(modes_from(ev, centres[, 1L]), 2L)
  }
})

test_that("three modes, and modes far apart", {
  for (d in c(1L, 2L)) {
    centres <- cbind(rep(-8, d), rep(0, d), c(7, rep(0, d - 1L)))
    modes <- modes_from(mixture_evaluator(centres), rep(0, d))
    expect_length(modes, 3L)
    expect_equal(exp(masses(modes)), rep(1 / 3, 3), tolerance = 0.02)
  }
  far <- cbind(rep(0, 10), c(12, rep(0, 9)), rep(-4, 10))
  expect_length(modes_from(mixture_evaluator(far), rep(0.1, 10)), 3L)
})

test_that("a mode that is lighter by e^14 is none", {
  ev <- mixture_evaluator(cbind(0, 8), c(1, 1e-3))
  expect_length(modes_from(ev, 0), 2L)
  ev <- mixture_evaluator(cbind(0, 8), c(1, 1e-7))
  expect_length(modes_from(ev, 8), 1L)
  expect_lt(abs(modes_from(ev, 8)[[1L]]$z), 0.01)
})

test_that("targets of one mode have one", {
  for (d in c(1L, 2L, 10L)) {
    S <- random_covariance(d, 3)
    expect_length(modes_from(gaussian_evaluator(1:d, S), rep(0, d)), 1L)
  }
  expect_length(modes_from(banana_evaluator, c(1, 1)), 1L)
  expect_length(modes_from(log_gamma_evaluator(2), 0), 1L)
  set.seed(1)
  X <- cbind(1, matrix(rnorm(120), 40))
  ev <- logistic_evaluator(X, rbinom(40, 1, 0.4), 5)
  expect_length(modes_from(ev, rep(0, 4)), 1L)
})

test_that("fits to the same mode are one", {
  at <- function(m, elbo) list(m = m, L = diag(length(m)), elbo = elbo)
  fits <- list(at(c(0, 0), -1), at(c(0.1, 0), -1.01), at(c(6, 0), -2), at(c(-9, 0), -40))
  kept <- distinct_fits(rev(fits))
  expect_identical(lapply(kept, `[[`, "m"), list(c(0, 0), c(6, 0)))
  expect_true(near_mode(list(usable = TRUE, L = diag(2), z = c(0, 0)), c(0.3, 0.3)))
  expect_false(near_mode(list(usable = TRUE, L = diag(2), z = c(0, 0)), c(1, 0.3)))
})

test_that("starts point in different directions", {
  apart <- get("apart", asNamespace("meanfield")) # a helper has that name too
  e <- cbind(c(1, 0), c(0.9, 0.1), c(-1, 0), c(0, 1))
  expect_identical(apart(c(4, 3, 1, 2), e, 3L), c(1L, 4L, 3L))
  expect_identical(apart(c(-Inf, NaN, 1, -Inf), e, 3L), 3L)
})

endless <- function(lp, d, L = diag(d)) {
  ev <- function(Z, gradient = TRUE) list(lp = lp(Z), gradient = NULL)
  endless_directions(ev, numeric(d), L, paste0("x", seq_len(d)))
}

test_that("improper directions are named, with their sign", {
  flat <- function(Z) -Z[1L, ]^2 / 2
  expect_setequal(endless(flat, 2L), c("+x2", "-x2"))
  half <- function(Z) -Z[1L, ]^2 / 2 - ifelse(Z[2L, ] < 0, Z[2L, ]^2 / 2, log1p(abs(Z[2L, ])))
  expect_identical(endless(half, 2L), "+x2") # 1 / x
  # the sum is known, the difference is not
  ridge <- function(Z) -colSums(Z)^2 / 2
  expect_true(length(endless(ridge, 2L, cbind(c(1, -1), c(0, 0.1)))) > 0L)
})

test_that("heavy tails that do end are not improper", {
  for (df in c(1, 2, 3, 8)) {
    t_df <- function(Z) colSums(matrix(dt(Z, df, log = TRUE), nrow(Z)))
    expect_length(endless(t_df, 1L), 0L)
    expect_length(endless(t_df, 3L), 0L)
  }
  expect_length(endless(function(Z) Z[1L, ] - exp(Z[1L, ]), 1L), 0L)
  expect_length(endless(function(Z) colSums(dnorm(Z, log = TRUE)), 2L), 0L)
})
