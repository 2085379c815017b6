# fit_exact() of targets: the lattice, and importance sampling beyond six dimensions.

test_that("normal targets up to three dimensions are exact, with their evidence", {
  for (d in 1:3) {
    n <- normal_target(d)
    fit <- fit_exact(n$target)
    s <- summary(fit)
    expect_identical(fit$method, "lattice")
    expect_lt(max(abs(s$mean - n$mean) / n$sd), 1e-4)
    expect_lt(max(abs(s$sd / n$sd - 1)), 1e-4)
    expect_lt(abs(fit$log_evidence), 1e-3)
    expect_lt(fit$error, 1e-4)
    expect_length(fit$flags, 0L)
  }
})

test_that("posteriors in closed form", {
  truth <- conjugate_truth()
  fit <- fit_exact(conjugate_target())
  expect_equal(summary(fit)$mean, truth$mean, tolerance = 1e-6)
  expect_equal(summary(fit)$sd, truth$sd, tolerance = 1e-6)
  expect_equal(fit$log_evidence, truth$evidence, tolerance = 1e-6)
  fit <- fit_exact(gamma_target())
  s <- summary(fit)
  expect_lt(max(abs(s$mean - c(3, 1, 6)) / c(sqrt(3), 2, sqrt(12))), 1e-4)
  expect_lt(max(abs(s$sd / c(sqrt(3), 2, sqrt(12)) - 1)), 1e-4)
  expect_lt(abs(fit$log_evidence), 1e-4)
  # within .05 SD
  expect_lt(max(abs(unlist(s[1L, c("q2.5", "q97.5")]) - qgamma(c(0.025, 0.975), 3))), 0.05 * sqrt(3))
  expect_lt(max(abs(unlist(s[2L, c("q2.5", "q97.5")]) - qnorm(c(0.025, 0.975), 1, 2))), 0.1)
})

test_that("the SIR model to 1e-4 SD, its evidence to 1e-3", {
  skip_below_level(2)
  fit <- fit_exact(sir_target())
  s <- summary(fit)
  # the printed truth has five digits: .00001 of .0453
  expect_lt(max(abs(s$mean - SIR_MEAN) / SIR_SD), 3e-4)
  expect_lt(max(abs(s$sd / SIR_SD - 1)), 3e-4)
  expect_lt(abs(fit$log_evidence - SIR_EVIDENCE), 1e-3)
  expect_lt(fit$error, 1e-4)
})

test_that("both of two modes are summed", {
  two <- scalar_target(function(p) log(0.4 * dnorm(p$x, -3) + 0.6 * dnorm(p$x, 3, 0.5)))
  fit <- fit_exact(two)
  expect_equal(summary(fit)$mean, 0.6, tolerance = 1e-4)
  expect_equal(summary(fit)$sd, sqrt(0.4 * 10 + 0.6 * 9.25 - 0.36), tolerance = 1e-4)
  expect_lt(abs(fit$log_evidence), 1e-4)
})

test_that("beyond six dimensions it is a long importance sample, and says so", {
  n <- normal_target(8L)
  fit <- fit_exact(n$target)
  s <- summary(fit)
  expect_identical(fit$method, "importance")
  expect_lt(max(abs(s$mean - n$mean) / n$sd), 1e-6)
  expect_lt(max(abs(s$sd / n$sd - 1)), 1e-6)
  expect_lt(abs(fit$log_evidence), tol_mcse * fit$evidence_error)
  expect_output(print(fit), "importance sampling")
})

test_that("from a fit, with the call and the answer of a fit from scratch", {
  tgt <- gamma_target()
  vb <- fit_vb(tgt)
  a <- fit_exact(vb)
  b <- fit_exact(tgt)
  expect_equal(summary(a)$mean, summary(b)$mean, tolerance = 1e-4)
  expect_identical(as.character(a$call[[1L]]), "fit_exact")
  plain <- fit_exact(suppressWarnings(fit_vb(tgt, refine = "no")))
  expect_equal(summary(plain)$sd, summary(b)$sd, tolerance = 1e-6)
  expect_identical(deparse(plain$call[[1L]]), "fit_exact")
})

test_that("what no sum can mend is told, and what is not known well too", {
  flat <- target(function(p) dnorm(p$x, log = TRUE), list(x = 0, y = 1),
    function(p) list(x = -p$x, y = 0))
  out <- told(suppressWarnings(fit_exact(flat), classes = "meanfield_warning_accuracy"))
  if (!inherits(out$fit, "meanfield_error")) expect_match(out$words, "improper", all = FALSE)
  expect_warning(fit_exact(gamma_target(), tol = 1e-13, max_points = 3000),
    class = "meanfield_warning_accuracy")
})

test_that("arguments are checked, and the generator left alone", {
  tgt <- conjugate_target()
  refused <- function(arg, ...) {
    e <- expect_error(fit_exact(tgt, ...), class = "meanfield_error_control")
    expect_identical(e$arg, arg)
  }
  refused("tol", tol = 0)
  refused("tol", tol = "a")
  refused("max_points", max_points = 10)
  refused("control", control = list())
  expect_error(fit_exact(tgt, points = 3), class = "meanfield_error")
  withr::with_preserve_seed({
    set.seed(5)
    before <- .Random.seed
    first <- fit_exact(tgt)
    expect_identical(.Random.seed, before)
    rm(".Random.seed", envir = globalenv())
    expect_identical(fit_exact(tgt), first)
    expect_false(exists(".Random.seed", globalenv()))
  })
})

test_that("cells are grown to the drop, over gaps of the start only", {
  bell <- function(K) -colSums((K / 3)^2) / 2
  grown <- grow_cells(bell, matrix(0L, 2L, 1L), 8, 1e4)
  inside <- colSums(grown$K^2) <= 16 * 9
  all <- expand.grid(-12:12, -12:12)
  expect_identical(sum(inside), sum(rowSums(all^2) <= 144))
  expect_identical(anyDuplicated(t(grown$K)), 0L)
  expect_equal(grown$lp, bell(grown$K))
  expect_null(grow_cells(bell, matrix(0L, 2L, 1L), 8, 50))
  expect_null(grow_cells(function(K) 0 * K[1L, ], matrix(0L, 1L, 1L), 8, 1e4)) # without end
  apart <- grow_cells(function(K) -pmin(abs(K[1L, ] - 40), abs(K[1L, ] + 40)), cbind(-40, 40), 5, 1e4)
  expect_identical(sum(apart$lp > -5), 18L)
})
