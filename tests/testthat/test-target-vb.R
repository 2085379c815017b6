# fit_vb() of targets: right, or words.

quietly_fit <- function(...) suppressWarnings(fit_vb(...), classes = "meanfield_warning_target")

# Largest distance from the truth: means in SDs, SDs relative.
distance <- function(fit, mean, sd) {
  s <- summary(fit)
  c(mean = max(abs(s$mean - mean) / sd), sd = max(abs(s$sd / sd - 1)))
}

# Right to .03 SD and 3%, or said not to be.
expect_right_or_told <- function(target, mean, sd, ...) {
  out <- told(fit_vb(target, ...))
  if (inherits(out$fit, "error")) return(testthat::succeed())
  expect_identical(out$words, out$fit$flags)
  s <- summary(out$fit)
  close <- abs(s$mean - mean) < 0.03 * sd & abs(s$sd / sd - 1) < 0.03
  expect_true(length(out$words) > 0L || isTRUE(all(close)))
  out$fit
}

expect_told <- function(target, words, ...) {
  out <- told(fit_vb(target, ...))
  expect_true(length(out$fit$flags) > 0L)
  expect_identical(out$words, out$fit$flags)
  expect_match(out$words, words, all = FALSE)
  out$fit
}

# ---- normal targets ---------------------------------------------------------------------------------

test_that("normal targets are exact, refined or not", {
  for (d in c(1L, 2L, 5L, 20L, 60L, if (test_level() > 2L) 200L)) {
    n <- normal_target(d)
    plain <- fit_vb(n$target, refine = "no")
    expect_lt(max(distance(plain, n$mean, n$sd)), 1e-8)
    expect_lt(abs(plain$vb$elbo), 1e-8) # the evidence
    expect_identical(unique(summary(plain)$source), "lrvb")
    expect_true(plain$converged)
    fit <- fit_vb(n$target)
    expect_lt(max(distance(fit, n$mean, n$sd)), 1e-8)
    expect_lt(abs(fit$log_evidence), tol_mcse * fit$evidence_error + 1e-9)
    expect_length(c(plain$flags, fit$flags), 0L)
    if (d <= 20L) expect_lt(fit$counts$gradients, 2000)
  }
})

test_that("mean field with linear response is exact for normal targets, and its bound is known", {
  for (d in c(1L, 2L, 5L, 20L)) {
    n <- normal_target(d)
    fit <- fit_vb(n$target, approximation = "meanfield")
    expect_lt(max(distance(fit, n$mean, n$sd)), 1e-6)
    own <- 1 / sqrt(diag(solve(n$S)))
    expect_equal(summary(fit)$sd_mfvb, own, tolerance = 1e-6)
    expect_equal(fit$vb$elbo, sum(log(own)) - sum(log(diag(chol(n$S)))), tolerance = 1e-6)
    expect_length(fit$flags, 0L)
  }
})

test_that("mean-field SDs without linear response are told", {
  n <- normal_target(20L)
  fit <- expect_told(n$target, "not corrected", approximation = "meanfield",
    control = vb_control(max_gradients = 2000))
  expect_identical(unique(summary(fit)$source), "vb")
})

# ---- every setting ----------------------------------------------------------------------------------

test_that("every approximation runs with every optimiser and refinement, or refuses by class", {
  n <- normal_target(3L)
  control <- vb_control(steps = 300, max_gradients = 6000)
  optimisers <- c("stein", "lbfgs", "pathwise", "score")
  for (a in APPROXIMATIONS) for (o in optimisers) for (r in c("auto", "no", "importance", "hmc")) {
    out <- told(fit_vb(n$target, approximation = a, optimiser = o, refine = r, control = control))
    name <- paste(a, o, r)
    if (!o %in% OPTIMISERS[[a]]) {
      expect_s3_class(out$fit, "meanfield_error_control")
      expect_identical(out$fit$arg, "optimiser")
      next
    }
    expect_s3_class(out$fit, "target_vb_fit")
    expect_identical(out$words, out$fit$flags)
    if (r %in% c("importance", "hmc") || r == "auto" && a != "meanfield" && o %in% c("stein", "lbfgs")) {
      expect_lt(max(distance(out$fit, n$mean, n$sd)), 0.06, label = name)
      expect_true(all(summary(out$fit)$source %in% c("importance", "hmc")), label = name)
    }
  }
})

test_that("what an argument must not be is refused by name", {
  tgt <- conjugate_target()
  refused <- function(arg, ..., class = "meanfield_error_control") {
    e <- expect_error(fit_vb(tgt, ...), class = class)
    expect_identical(e$arg, arg)
  }
  refused("approximation", approximation = "flow")
  refused("refine", refine = "yes")
  refused("optimiser", optimiser = "adam")
  refused("rank", rank = 1)
  refused("rank", approximation = "lowrank", rank = -1)
  refused("rank", approximation = "lowrank", rank = 2)
  refused("control", control = list())
  refused("batch_size", control = vb_control(batch_size = 2))
  expect_error(fit_vb(tgt, start = 1), class = "meanfield_error")
  big <- vector_target(gaussian_evaluator(numeric(201L), diag(201L)), 201L)
  expect_identical(expect_error(fit_vb(big, refine = "hmc"), class = "meanfield_error_control")$arg,
    "refine")
})

# ---- known posteriors -------------------------------------------------------------------------------

test_that("evidences that are known are found", {
  truth <- conjugate_truth()
  fit <- fit_vb(conjugate_target())
  expect_lt(max(distance(fit, truth$mean, truth$sd)), 1e-8)
  expect_equal(fit$vb$elbo, truth$evidence, tolerance = 1e-8)
  expect_lt(abs(fit$log_evidence - truth$evidence), tol_mcse * fit$evidence_error)
  fit <- fit_vb(gamma_target())
  expect_lt(abs(fit$log_evidence), tol_mcse * fit$evidence_error)
  expect_lt(fit$vb$elbo, 0) # a bound
  # errors of the SDs are of this size: 1%
  expect_lt(max(distance(fit, c(3, 1, 6), c(sqrt(3), 2, sqrt(12)))), 0.02)
  s <- summary(fit)
  expect_equal(c(s$q2.5[1L], s$q97.5[1L]), qgamma(c(0.025, 0.975), 3), tolerance = 0.05)
  expect_equal(s$mean[3L], 2 * s$mean[1L])
})

test_that("skewed, bent and two-peaked posteriors are right", {
  fit <- fit_vb(vector_target(log_gamma_evaluator(2), 1L))
  expect_lt(max(distance(fit, digamma(2), sqrt(trigamma(2)))), 0.02)
  fit <- fit_vb(vector_target(banana_evaluator, 2L, c(1, 1)))
  expect_lt(max(distance(fit, c(0, 1), c(1, 1.5))), 0.03)
  expect_lt(abs(fit$log_evidence), tol_mcse * fit$evidence_error + 0.01)
  two <- function(Z, gradient = TRUE) {
    a <- 0.4 * dnorm(Z[1L, ], -3)
    b <- 0.6 * dnorm(Z[1L, ], 3, 0.5)
    list(lp = log(a + b), gradient = rbind(-(a * (Z[1L, ] + 3) + 4 * b * (Z[1L, ] - 3)) / (a + b)))
  }
  fit <- fit_vb(vector_target(two, 1L))
  expect_lt(max(distance(fit, 0.6, sqrt(0.4 * (1 + 3.6^2) + 0.6 * (0.25 + 2.4^2)))), 0.03)
  expect_identical(nrow(fit$modes), 2L)
  expect_equal(fit$modes$weight, c(0.6, 0.4), tolerance = 0.02)
  expect_match(fit$notes, "more than one mode", all = FALSE)
})

# Statistical errors of SDs at this size are up to 1%; the seed is fixed.
test_that("the SIR model is right to .01 SD and 1%", {
  fit <- fit_vb(sir_target())
  expect_lt(max(abs(summary(fit)$mean - SIR_MEAN) / SIR_SD), 0.01)
  expect_lt(max(abs(summary(fit)$sd / SIR_SD - 1)), 0.01)
  expect_lt(abs(fit$log_evidence - SIR_EVIDENCE), tol_mcse * fit$evidence_error)
  expect_identical(summary(fit)$variable, c("beta", "gamma", "phi_inv", "T", "R0"))
  # the family's optimum, by quadrature
  best <- fit$vb$components[[1L]]
  expect_lt(max(abs(best$m - c(0.550241, -0.613067, -2.123316)) / c(0.0269, 0.0756, 0.477)), 0.02)
  expect_equal(sqrt(diag(tcrossprod(best$L))), c(0.026926, 0.075597, 0.477435), tolerance = 0.01)
  expect_equal(fit$vb$elbo, -67.33814, tolerance = 1e-4)
  expect_length(fit$flags, 0L)
})

test_that("the factorised optimum of the SIR model", {
  skip_below_level(2)
  fit <- fit_vb(sir_target(), approximation = "meanfield")
  s <- summary(fit)
  mean <- c(1.7341, 0.53984, 0.13436)
  sd <- c(0.04592, 0.03956, 0.06635)
  expect_lt(max(abs(s$mean_mfvb[1:3] - mean) / sd), 0.02)
  expect_lt(max(abs(s$sd_mfvb[1:3] / sd - 1)), 0.01)
  expect_equal(fit$vb$elbo, -67.37482, tolerance = 1e-4)
})

# ---- hard targets -----------------------------------------------------------------------------------

funnel_target <- function(d = 10L) {
  vector_target(function(Z, gradient = TRUE) {
    v <- Z[1L, ]
    X <- Z[-1L, , drop = FALSE]
    k <- nrow(X)
    square <- colSums(X^2) * exp(-v)
    list(lp = dnorm(v, 0, 3, log = TRUE) - k / 2 * (v + log(2 * pi)) - square / 2,
      gradient = rbind(-v / 9 - k / 2 + square / 2, -X * rep(exp(-v), each = k)))
  }, d)
}

test_that("tails without moments are told, and quantiles are right", {
  fit <- expect_told(scalar_target(function(p) dt(p$x, 2, log = TRUE)), "SD")
  expect_lt(abs(summary(fit)$q97.5 - qt(0.975, 2)), 0.3)
  fit <- expect_told(scalar_target(function(p) dcauchy(p$x, 1, 2, log = TRUE)), "may not exist")
  expect_true(is.na(summary(fit)$sd))
  expect_lt(abs(summary(fit)$q97.5 - qcauchy(0.975, 1, 2)), 2)
})

test_that("a posterior without any usable point is refused in words", {
  sharp <- target(function(p) -1e6 * sum(log(p$a)), list(a = 1),
    function(p) list(a = -1e6 / p$a), constraints = list(a = positive()))
  expect_error(suppressWarnings(fit_exact(sharp, max_points = 2000)), class = "meanfield_error")
})

test_that("an improper posterior is told, by name", {
  flat <- target(function(p) dnorm(p$x, log = TRUE), list(x = 0, y = 1),
    function(p) list(x = -p$x, y = 0))
  expect_told(flat, "improper.*y")
})

test_that("a density that jumps, fails or ends is told, or right", {
  jump <- scalar_target(function(p) dnorm(p$x, log = TRUE) + 2 * (p$x > 0.5))
  expect_told(jump, "gradient is not that")
  fails <- scalar_target(function(p) if (p$x > 1) stop("no such x") else dnorm(p$x, log = TRUE))
  h <- dnorm(1) / pnorm(1)
  expect_right_or_told(fails, -h, sqrt(1 - h - h^2))
  nan <- scalar_target(function(p) if (p$x < -0.5) NaN else dnorm(p$x, log = TRUE))
  fit <- expect_told(nan, "no number|gradient is not that")
  expect_gt(fit$counts$failures, 0)
})

test_that("the funnel is told", {
  expect_right_or_told(funnel_target(), rep(0, 10L), c(3, rep(exp(2.25), 9L)))
  if (test_level() > 2L) for (r in c("no", "importance", "hmc")) {
    expect_right_or_told(funnel_target(), rep(0, 10L), c(3, rep(exp(2.25), 9L)), refine = r)
  }
})

test_that("a thousand independent dimensions are right, dependent ones are told", {
  mean <- 1:1000 / 100
  sd <- 1 + 1:1000 / 500
  many <- vector_target(function(Z, gradient = TRUE) {
    list(lp = colSums(dnorm(Z, mean, sd, log = TRUE)), gradient = -(Z - mean) / sd^2)
  }, 1000L)
  fit <- fit_vb(many)
  expect_identical(fit$vb$approximation, "meanfield")
  expect_lt(max(distance(fit, mean, sd)), 1e-6)
  expect_length(fit$flags, 0L)
  r <- 0.9
  chain <- vector_target(function(Z, gradient = TRUE) {
    off <- Z[-1L, , drop = FALSE] - r * Z[-500L, , drop = FALSE]
    G <- rbind(-Z[1L, ] * (1 - r^2), -off)
    G[-500L, ] <- G[-500L, ] + r * off
    list(lp = -Z[1L, ]^2 * (1 - r^2) / 2 - colSums(off^2) / 2, gradient = G)
  }, 500L)
  expect_told(chain, "SDs are too small")
})

test_that("a plain fit of what is not normal is told", {
  expect_told(vector_target(banana_evaluator, 2L, c(1, 1)), "not near normal", refine = "no")
})

# ---- manners ----------------------------------------------------------------------------------------

test_that("R's generator is not touched, and the answer is always the same", {
  tgt <- gamma_target()
  timeless <- function(f) {
    f$seconds <- NULL
    f
  }
  withr::with_preserve_seed({
    set.seed(5)
    before <- .Random.seed
    first <- fit_vb(tgt)
    hmc <- quietly_fit(tgt, refine = "hmc")
    expect_identical(.Random.seed, before)
    set.seed(6)
    expect_identical(timeless(fit_vb(tgt)), timeless(first))
    expect_identical(timeless(quietly_fit(tgt, refine = "hmc")), timeless(hmc))
    rm(".Random.seed", envir = globalenv())
    fit_vb(tgt)
    quietly_fit(tgt, approximation = "pathfinder", refine = "no")
    expect_false(exists(".Random.seed", globalenv()))
  })
})

test_that("a fit that was saved says the same in another process", {
  skip_on_cran()
  fit <- fit_vb(conjugate_target())
  file <- withr::local_tempfile(fileext = ".rds")
  out <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, file)
  code <- sprintf("library(meanfield); f <- readRDS('%s'); saveRDS(list(summary(f), f$table), '%s')",
    file, out)
  system2(file.path(R.home("bin"), "Rscript"), c("-e", shQuote(code)), stdout = FALSE, stderr = FALSE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
  expect_identical(readRDS(out), list(summary(fit), fit$table))
})

test_that("the budget is kept, and more of it asks for no more than is needed", {
  fit <- quietly_fit(funnel_target(), control = vb_control(max_gradients = 3000))
  expect_lte(fit$counts$gradients, 3600)
  expect_identical(fit$control$max_gradients, 3000L)
  expect_lt(fit_vb(gamma_target())$counts$gradients, 5000)
})

test_that("more points than gradients are named", {
  model <- target(function(p) dnorm(p$a, log = TRUE) + dnorm(p$b, p$a^2, 0.5, log = TRUE),
    list(a = 0, b = 0), vectorised = TRUE)
  for (approximation in c("fullrank", "meanfield", "lowrank", "flow")) {
    expect_error(fit_vb(model, approximation, control = vb_control(points = 30000)),
      "max_gradients.*points", class = "meanfield_error_target")
  }
})
