# The C glue: results in the right shape, and nothing believed.

test_that("draws given the variances of nested factors have the mixture's moments", {
  # the global block is eliminated sparsely, the factor that draws are made with is dense
  set.seed(1)
  d <- data.frame(school = factor(rep(1:40, each = 6)), class = factor(rep(1:3, 80)), x = rnorm(240))
  d$y <- rpois(240, exp(.3 * d$x + rnorm(40, 0, .5)[d$school]))
  fit <- fit_vb(y ~ x + (1 | school/class), d, family = poisson())
  nodes <- fit$integrated
  expect_false(is.null(nodes))
  expect_identical(dim(as_draws(fit, ndraws = 10)), c(10L, 172L))
  core <- meanfield:::engine_core(fit$model)
  phi <- nodes$phi[, which.max(nodes$weights), drop = FALSE]
  exact <- meanfield:::call_nest_mixture(core, nodes$centre, phi, 1, dense = TRUE)$result
  x <- meanfield:::call_nest_draws(core, nodes$centre, phi[, rep(1L, 4000)]) - exact$mean
  n <- nrow(x)
  # whitened: independent standard normals
  z <- forwardsolve(t(chol(exact$cov)), x)
  expect_lt(abs(sum(rowMeans(z)^2) * 4000 - n), 5 * sqrt(2 * n))
  expect_lt(abs(mean(z^2) - 1), 5 * sqrt(2 / (n * 4000)))
  S <- tcrossprod(z) / 4000 # off the diagonal: variance 1 / 4000 each
  pairs <- n * (n - 1) / 2
  expect_lt(abs(sum(S[lower.tri(S)]^2) * 4000 - pairs), 5 * sqrt(2 * pairs))
})
