# Methods of fits of targets: what they say, and what they refuse.

fit <- fit_vb(conjugate_target())
exact <- fit_exact(conjugate_target())
set.seed(1)
hmc <- fit_hmc(fit, chains = 2, iter = 600, warmup = 200)
truth <- conjugate_truth()

test_that("printing shows the numbers and the words", {
  expect_output(print(fit), "full-rank Gaussian, refined by importance sampling")
  expect_output(print(fit), "1 dimension;.*gradients; ELBO.*log evidence.*k-hat")
  expect_output(print(exact), "Exact posterior of a target by a lattice")
  expect_output(print(fit_vb(conjugate_target(), refine = "no")), "with linear response")
  bad <- suppressWarnings(fit_vb(scalar_target(function(p) dcauchy(p$x, log = TRUE))))
  expect_output(print(bad), "NOT TO BE TRUSTED: the SD of x may not exist")
  two <- fit_vb(scalar_target(function(p) log(dnorm(p$x, -4) + dnorm(p$x, 4))))
  expect_output(print(two), "Note: more than one mode: 2 were found")
  many <- fit_vb(normal_target(40L)$target, refine = "no")
  expect_output(print(many), "and 10 more: see summary()", fixed = TRUE)
  expect_identical(evaluation_words(list(gradients = 0, values = 1200)), "1,200 values")
})

test_that("evidence, sizes and rows", {
  ll <- logLik(fit)
  expect_s3_class(ll, "log_evidence")
  expect_equal(c(ll), truth$evidence, tolerance = 0.02)
  expect_equal(attr(ll, "df"), 1)
  plain <- fit_vb(conjugate_target(), refine = "no")
  expect_s3_class(logLik(plain), "elbo")
  expect_equal(c(logLik(plain)), truth$evidence, tolerance = 1e-8)
  expect_identical(fit_evidence(plain)$source, "elbo")
  expect_identical(fit_evidence(exact)$source, "exact")
  expect_error(logLik(hmc), class = "meanfield_error_engine")
  expect_error(nobs(fit), class = "meanfield_error_target")
  y <- conjugate_y
  rows <- target(function(p) dnorm(p$mu, 1, 2, log = TRUE), list(mu = 0), rows = 4,
    log_lik = function(p, i) dnorm(y[i], p$mu, 1, log = TRUE))
  by_row <- fit_vb(rows)
  expect_identical(as.integer(nobs(by_row)), 4L)
  expect_equal(summary(by_row)$mean, truth$mean, tolerance = 1e-6)
})

test_that("tidy and glance", {
  t <- tidy(fit, conf.int = TRUE, conf.level = 0.9)
  expect_named(t, c("type", "term", "estimate", "std.error", "conf.low", "conf.high"))
  expect_equal(t$estimate, truth$mean, tolerance = 1e-8)
  expect_equal(t$conf.high, truth$mean + qnorm(0.95) * truth$sd, tolerance = 0.03)
  expect_identical(tidy(fit_vb(gamma_target()))$type, c("parameter", "parameter", "generated"))
  g <- glance(fit)
  expect_equal(g$log_evidence, truth$evidence, tolerance = 0.02)
  expect_equal(g$flags, 0)
  expect_error(tidy(fit, conf.int = 1), class = "meanfield_error_control")
  expect_error(tidy(fit, conf.level = 2), class = "meanfield_error_control")
})

test_that("predictions are functions of draws", {
  set.seed(2)
  p <- predict(fit, function(p) c(mu = p$mu, square = p$mu^2), ndraws = 4000)
  expect_named(p, c("mean", "sd", "q2.5", "q97.5"))
  expect_lt(abs(p["mu", "mean"] - truth$mean), 4 * truth$sd / sqrt(4000))
  expect_lt(abs(p["square", "mean"] - truth$mean^2 - truth$sd^2), 0.2)
  draws <- predict(fit, function(p, data) data$s0 * p$mu, ndraws = 10, summary = FALSE)
  expect_identical(dim(draws), c(10L, 1L))
  set.seed(3)
  a <- predict(fit, function(p) p$mu, ndraws = 10, summary = FALSE)
  set.seed(3)
  expect_equal(unname(a[, 1L]), unname(c(unclass(as_draws(fit, ndraws = 10))[, "mu"])))
  expect_lt(abs(predict(hmc, function(p) list(a = p$mu))$mean - truth$mean), 0.1)
  expect_lt(abs(predict(exact, function(p) p$mu)$sd / truth$sd - 1), 0.1)
  refused <- function(arg, ..., class = "meanfield_error") {
    expect_identical(expect_error(predict(fit, ...), class = class)$arg, arg)
  }
  refused("fun", class = "meanfield_error_target")
  refused("fun", "mu")
  refused("fun", function(p) "a", class = "meanfield_error_target")
  refused("fun", function(p) seq_len(1 + (p$mu > truth$mean)), class = "meanfield_error_target")
  refused("ndraws", function(p) p$mu, ndraws = 0)
  refused("level", function(p) p$mu, level = 1)
  refused("summary", function(p) p$mu, summary = NA)
})

test_that("update evaluates the changed call", {
  no <- update(fit, refine = "no")
  expect_identical(summary(no)$source, "lrvb")
  expect_identical(no$call$refine, "no")
  expect_true(is.call(update(fit, refine = "no", evaluate = FALSE)))
  r <- "importance"
  expect_identical(summary(update(no, refine = r))$source, "importance")
  expect_error(update(fit, 3), class = "meanfield_error")
  expect_error(update(fit, refine = "maybe"), class = "meanfield_error_control")
})

test_that("models are compared by their evidences", {
  other <- fit_exact(conjugate_target(1, 10))
  table <- as.data.frame(compare(near = exact, far = other))
  b <- conjugate_truth(1, 2)$evidence - conjugate_truth(1, 10)$evidence
  expect_equal(abs(diff(range(table$evidence))), b, tolerance = 1e-4)
  expect_error(compare(exact, 3), class = "meanfield_error")
})

test_that("edited fits are refused", {
  edited <- function(fit, name, value, part = name) {
    fit[name] <- list(value)
    e <- expect_error(print(fit), class = "meanfield_error_fit")
    expect_match(conditionMessage(e), part, fixed = TRUE)
    for (f in list(summary, vcov, confint, tidy, logLik, as_draws, vb_khat, fit_vb)) {
      expect_error(f(fit), class = "meanfield_error_fit")
    }
  }
  edited(fit, "points", NULL)
  edited(fit, "points", list(z = matrix(0, 2L, 3L), weights = rep(1 / 3, 3)))
  edited(fit, "points", list(z = fit$points$z, weights = -fit$points$weights))
  edited(fit, "points", list(z = fit$points$z, weights = fit$points$weights[-1L]))
  edited(fit, "table", NULL)
  edited(fit, "table", rbind(fit$table, fit$table))
  edited(fit, "model", NULL)
  edited(fit, "model", list(d = 1), "another version")
  model <- fit$model
  model$variables$kind <- 1
  edited(fit, "model", model)
  edited(fit, "counts", list(gradients = numeric()))
  gone <- hmc
  gone$draws <- NULL
  expect_error(summary(gone), class = "meanfield_error_fit")
})

test_that("what asks for a response is refused by class", {
  for (f in list(coef, fitted, residuals, fixef, ranef, VarCorr, sigma, family, icc, r2)) {
    expect_error(f(fit), class = "meanfield_error")
  }
})

test_that("bad arguments are refused by name", {
  refused <- function(arg, expr) {
    expect_identical(expect_error(expr, class = "meanfield_error")$arg, arg)
  }
  refused("level", summary(fit, level = 0))
  refused("pars", summary(fit, pars = "nothing"))
  refused("level", confint(fit, level = 3))
  refused("ndraws", as_draws(fit, ndraws = -1))
  refused("what", plot(fit, what = 3))
  refused("scaled", vb_sensitivity(fit, scaled = "yes"))
  refused("evaluate", update(fit, evaluate = 3))
})
