# Posteriors of fits of targets: summary, draws, covariances and pictures are of one distribution.

fits <- list(
  gamma = fit_vb(gamma_target()),
  normal = fit_vb(normal_target(3L)$target),
  plain = suppressWarnings(fit_vb(gamma_target(), refine = "no")),
  exact = fit_exact(gamma_target()),
  hmc = suppressWarnings(fit_vb(gamma_target(), refine = "hmc"))
)

test_that("draws and summary are one distribution", {
  for (name in names(fits)) {
    fit <- fits[[name]]
    set.seed(1)
    x <- unclass(as_draws(fit, ndraws = 8000))
    s <- summary(fit)
    expect_identical(colnames(x), s$variable)
    # systematic resampling has less noise than independent draws, of which this is 4 errors;
    # table and points differ by what control variates know, about 1%
    expect_lt(max(abs(colMeans(x) - s$mean) / s$sd), 4 / sqrt(8000) + 0.01, label = name)
    expect_lt(max(abs(apply(x, 2L, sd) / s$sd - 1)), 0.06, label = name)
    q <- apply(x, 2L, quantile, c(0.025, 0.975))
    expect_lt(max(abs(q[1L, ] - s$q2.5) / s$sd, abs(q[2L, ] - s$q97.5) / s$sd), 0.25, label = name)
  }
})

# The outer quantiles of n points have errors of sqrt(p (1 - p) / n) / density: .08 SD for 1,024 normal
# ones at 2.5%.
test_that("quantiles are within .05 SD of the exact ones, outer ones of samples within .1", {
  for (name in c("gamma", "exact")) for (level in c(0.5, 0.9, 0.95)) {
    s <- as.data.frame(summary(fits[[name]], level = level))
    probs <- c(1 - level, 1 + level) / 2
    got <- as.matrix(s[quantile_names(level)])
    truth <- rbind(qgamma(probs, 3), qnorm(probs, 1, 2), 2 * qgamma(probs, 3))
    expect_lt(max(abs(got - truth) / c(sqrt(3), 2, sqrt(12))),
      if (level == 0.5) 0.05 else if (name == "gamma") 0.1 else 0.06, label = paste(name, level))
  }
  s <- summary(fits$normal)
  n <- normal_target(3L)
  expect_lt(max(abs(s$q97.5 - (n$mean + qnorm(0.975) * n$sd)) / n$sd), 0.1)
})

test_that("quantiles of points move and stretch to the table's moments, and stay among the points", {
  y <- c(-1, 0, 1, 5)
  w <- c(1, 1, 1, 0)
  base <- moved_quantile(y, w, c(0.2, 0.5, 0.8), NA, NA)
  m <- 0
  s <- sqrt(2 / 3)
  expect_equal(moved_quantile(y, w, c(0.2, 0.5, 0.8), m, s), base)
  expect_equal(moved_quantile(y, w, 0.5, 0.3, s), min(max(base[2L] + 0.3, -1), 1))
  expect_equal(moved_quantile(y, w, c(0, 1), 0, 100), c(-1, 1))
  expect_identical(moved_quantile(y, w * 0, 0.5, 0, 1), NA_real_)
})

test_that("draws are those of the weights", {
  points <- list(z = rbind(1:4), weights = c(0.5, 0, 0.3, 0.2))
  set.seed(2)
  z <- drawn_points(points, 1000)
  expect_equal(as.numeric(table(factor(z, 1:4))) / 1000, points$weights, tolerance = 0.005)
  expect_true(all(table(factor(z, 1:4))[2L] == 0))
  expect_false(identical(sort(c(z)), c(z))) # in random order
  set.seed(3)
  a <- as_draws(fits$gamma, ndraws = 7)
  set.seed(3)
  expect_identical(as_draws(fits$gamma, ndraws = 7), a)
  expect_identical(posterior::ndraws(as_draws(fits$gamma)), 4000L)
  expect_equal(c(a[, "double"]), 2 * c(a[, "rate"]), tolerance = 1e-12)
})

test_that("the covariance has the table's SDs and the posterior's correlations", {
  n <- normal_target(3L)
  V <- vcov(fits$normal)
  expect_equal(unname(sqrt(diag(V))), n$sd, tolerance = 1e-8)
  expect_equal(unname(V), n$S, tolerance = 0.05) # correlations of 1,024 points
  V <- vcov(fits$gamma, pars = "all")
  expect_equal(V["rate", "double"], sqrt(V["rate", "rate"] * V["double", "double"]), tolerance = 1e-8)
  expect_identical(rownames(vcov(fits$gamma)), c("rate", "x"))
})

test_that("intervals are the summary's quantiles", {
  for (fit in fits) {
    s <- summary(fit)
    got <- confint(fit, parm = s$variable)
    expect_equal(unname(as.matrix(got)), unname(cbind(s$q2.5, s$q97.5)))
    expect_true(all(confint(fit, level = 0.5)[, 2L] < confint(fit)[, 2L]))
  }
})

test_that("a hypothesis has its probability", {
  set.seed(4)
  for (fit in fits[c("gamma", "exact", "hmc")]) {
    h <- hypothesis(fit, "x > 2")
    expect_lt(abs(h$prob - pnorm(-0.5)), 0.04)
    h <- hypothesis(fit, "x - rate > 0")
    expect_equal(h$estimate, -2, tolerance = 0.1)
    expect_equal(h$sd, sqrt(7), tolerance = 0.1)
  }
  expect_error(hypothesis(fits$gamma, "y > 2"), class = "meanfield_error_hypothesis")
})

test_that("densities of pictures are the posterior's", {
  curve <- density_curves(posterior_of(fits$exact), c("rate", "x"), FALSE)
  inner <- curve$rate$x > 0.5 & curve$rate$x < 8
  expect_lt(max(abs(curve$rate$y - dgamma(curve$rate$x, 3))[inner]), 0.02)
  expect_lt(max(abs(curve$x$y - dnorm(curve$x$x, 1, 2))), 0.015)
  flat <- weighted_curve(c(2, 2, 2), c(1, 1, 1) / 3, "identity")
  expect_identical(flat, list(x = 2, y = NaN))
})

test_that("pictures are drawn, and what cannot be is refused", {
  withr::local_pdf(NULL)
  expect_no_warning(for (fit in fits) plot(fit))
  plot(fits$gamma, variables = "rate", reference = fits$exact)
  plot(fits$plain, what = "convergence")
  stochastic <- suppressWarnings(fit_vb(gamma_target(), optimiser = "pathwise", refine = "no",
    control = vb_control(steps = 100)))
  plot(stochastic, what = "convergence")
  expect_error(plot(fits$gamma, what = "both"), class = "meanfield_error_control")
  expect_error(plot(fits$gamma, variables = "nothing"), class = "meanfield_error")
})

test_that("targets are one if their functions, data and sizes are", {
  a <- conjugate_target()
  expect_identical(target_identity(a), target_identity(conjugate_target()))
  expect_false(identical(target_identity(a), target_identity(conjugate_target(2))))
  expect_error(sd_ratio_report(fit_vb(a), fit_exact(conjugate_target(2))), class = "meanfield_error")
})
