# What the fuzzer found once, kept.

y <- c(2.1, 3.4, 1.9, 2.8, 3.1, 2.2, 2.6, 2.9)
few_normal <- target(function(p) {
  sum(dnorm(y, p$mu, p$sigma, log = TRUE)) + dnorm(p$mu, 0, 5, log = TRUE) +
    dexp(p$sigma, 1, log = TRUE)
}, init = list(mu = 0, sigma = 1), constraints = list(sigma = positive()),
generated = function(p) list(fixed = 3, root = suppressWarnings(sqrt(p$mu - 2.5))))

test_that("quantiles of a hypothesis are those of the weighted points, and no row is NaN", {
  expect_warning(fit <- fit_vb(few_normal), class = "meanfield_warning_target")
  s <- summary(fit)
  h <- hypothesis(fit, "mu = 0")
  expect_lt(max(abs(unlist(h[1, c("q2.5", "q97.5")]) - unlist(s[1, c("q2.5", "q97.5")]))),
    .05 * s$sd[1])
  expect_false(any(is.nan(unlist(s[c("mean", "sd", "mean_mfvb", "sd_mfvb")]))))
  r <- as.data.frame(sd_ratio_report(fit))
  expect_false(any(is.nan(r$ratio_mfvb)))
  expect_false(anyNA(vcov(fit)))
  expect_false(any(is.nan(vcov(fit, pars = "all"))))
})

test_that("a function that predict() is given may fail", {
  fit <- fit_vb(target(function(p) -p$x^2 / 2, list(x = 1)), refine = "no")
  expect_error(predict(fit, function(p) stop("no")), "`fun` fails: no",
    class = "meanfield_error_target")
  expect_error(predict(fit, function(p) numeric()), class = "meanfield_error_target")
  p <- predict(fit, function(p) c(1, NaN), ndraws = 20)
  expect_identical(is.na(p$q2.5), c(FALSE, TRUE))
})
