# The C glue: results in the right shape, and nothing believed.

test_that("draws given the variances of nested factors have the mixture's moments", {
  # the global block is eliminated sparsely, the factor that draws are made with is dense
  set.seed(1)
  d <- data.frame(school = gl(40, 6), class = gl(3, 1, 240), x = rnorm(240))
  d$y <- rpois(240, exp(.3 * d$x + rnorm(40, 0, .5)[d$school]))
  fit <- fit_vb(y ~ x + (1 | school/class), d, family = poisson())
  nodes <- fit$integrated
  expect_false(is.null(nodes))
  expect_identical(nrow(as_draws(fit, ndraws = 10)), 10L)
  core <- engine_core(fit$model)
  psi <- nodes$psi[, which.max(nodes$weights), drop = FALSE]
  exact <- call_nest_mixture(core, nodes$centre, psi, 1, dense = TRUE)$result
  x <- call_nest_draws(core, nodes$centre, psi[, rep(1L, 4000)]) - exact$mean
  n <- nrow(x)
  # whitened: independent standard normals
  z <- forwardsolve(t(chol(exact$cov)), x)
  expect_lt(abs(sum(rowMeans(z)^2) * 4000 - n), 5 * sqrt(2 * n))
  expect_lt(abs(mean(z^2) - 1), 5 * sqrt(2 / (n * 4000)))
  S <- tcrossprod(z) / 4000 # off the diagonal: variance 1 / 4000 each
  pairs <- n * (n - 1) / 2
  expect_lt(abs(sum(S[lower.tri(S)]^2) * 4000 - pairs), 5 * sqrt(2 * pairs))
})

test_that("what the core has no room for is refused by name before the fit", {
  set.seed(1)
  d <- as.data.frame(matrix(rnorm(40 * 64), 40))
  d$y <- rpois(40, 3)
  d$g <- gl(4, 10)
  for (k in 1:18) d[[paste0("g", k)]] <- factor(sample(3, 40, TRUE))
  slopes <- function(k, bar) {
    reformulate(sprintf("(%s %s g)", paste0("V", 1:k, collapse = " + "), bar), "y")
  }
  crossed <- function(k) reformulate(sprintf("(1 | g%d)", 1:k), "y")
  refused <- function(expr) {
    e <- expect_error(expr, class = "meanfield_error_size")
    expect_identical(e$arg, "formula")
  }
  refused(fit_vb(slopes(63, "||"), d)) # with the intercept 64
  refused(fit_vb(slopes(32, "|"), d))
  refused(fit_vb(slopes(32, "||"), d, family = poisson()))
  refused(fit_vb(crossed(18), d, family = poisson()))
  expect_s3_class(fit_vb(slopes(62, "||"), d, integrate = "no"), "vb_fit")
  # 16 coefficients of a term: 136 variance parameters and that of the residuals
  big <- suppressWarnings(fit_vb(slopes(15, "|"), d, control = vb_control(max_iter = 2)))
  expect_identical(big$not_integrated, "too dear")
  expect_error(fit_vb(big, integrate = "yes"), class = "meanfield_error_size")
  expect_error(fit_exact(big), class = "meanfield_error_size")
  expect_error(gaussian_mixture(matrix(0, 1, 2001), 1), class = "meanfield_error_size")
  expect_error(gaussian_mixture(faithful, 65), class = "meanfield_error_control")
  expect_error(fit_gibbs(big, iter = 2^31 - 1), class = "meanfield_error_control")
})

test_that("what C refuses is a classed condition", {
  e <- expect_error(call_lr(diag(2), NULL), class = "meanfield_error_internal")
  expect_null(e$arg)
  expect_match(conditionMessage(e), "refit")
  expect_error(call_test_normals(NA), class = "meanfield_error_internal")
  expect_error(call_core(C_lr, 1), class = "meanfield_error_internal")
  e <- expect_error(abort_core(simpleError("cannot allocate vector of size 8.0 Gb")),
    class = "meanfield_error_memory")
  expect_match(conditionMessage(e), "fewer rows")
  deep <- structure(class = c("stackOverflowError", "error", "condition"),
    list(message = "too deep", call = NULL))
  expect_error(call_core(C_lr, stop(deep), 1), class = "stackOverflowError")
})

test_that("generics that other packages have too hand their objects on, and do not come back", {
  skip_if_not_installed("rstantools")
  loadNamespace("rstantools")
  expect_identical(prior_summary(list(prior.info = "theirs")), "theirs")
})
