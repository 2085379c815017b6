# The C glue: results in the right shape, and nothing believed.

test_that("draws of nested factors, whose global block is sparse, agree with the summary", {
  set.seed(1)
  d <- data.frame(school = factor(rep(1:40, each = 6)), class = factor(rep(1:3, 80)), x = rnorm(240))
  d$y <- rpois(240, exp(.3 * d$x + rnorm(40, 0, .5)[d$school]))
  fit <- fit_vb(y ~ x + (1 | school/class), d, family = poisson())
  expect_false(is.null(fit$integrated))
  draws <- unclass(posterior::as_draws_matrix(as_draws(fit, ndraws = 2000)))
  s <- summary(fit, pars = "u")
  s <- s[grepl("^(beta|u)\\[", s$variable), ]
  z <- (colMeans(draws[, s$variable]) - s$mean) / s$sd * sqrt(2000)
  expect_lt(max(abs(z)), 5) # of 162 variables
  expect_lt(sqrt(mean(z^2)), 1.5)
  expect_lt(max(abs(apply(draws[, s$variable], 2L, sd) / s$sd - 1)), .12)
})
