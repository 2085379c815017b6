# Gaussian fits of crossed factors by conjugate gradients and fixed probes, on small data that dense
# algebra can do.

crossed_data <- function(n = 3000L, a = 300L, b = 100L) {
  set.seed(1)
  d <- data.frame(x = rnorm(n), w = runif(n, 0.5, 2), a = sample.int(a, n, TRUE),
    b = sample.int(b, n, TRUE), c = sample.int(20L, n, TRUE))
  d$y <- 1 + 0.5 * d$x + rnorm(a, 0, 0.7)[d$a] + rnorm(b, 0, 0.5)[d$b] + rnorm(20, 0, 0.3)[d$c] +
    rnorm(n)
  d
}

# The fit, made without a matrix.
forced <- function(fit, ...) {
  model <- fit$model
  model$iterations <- iteration_settings(...)
  new_vb_fit(fit$call, model, vb_control(), "no")
}

relative <- function(x, to) max(abs(x / to - 1))

log_sds <- function(fit) sqrt(diag(fit$posterior$tau$psi$cov_lrvb))
log_off <- function(fit, to) {
  max(abs(fit$posterior$tau$psi$mean - to$posterior$tau$psi$mean) / log_sds(to))
}

# Of all that has an SD; own: what the fit says of its errors holds.
expect_close <- function(fit, to) {
  expect_identical(fit$converged, TRUE)
  expect_lt(log_off(fit, to), min(0.02, 5 * max(fit$vb$precision_error) + 1e-6))
  expect_lt(relative(log_sds(fit), log_sds(to)), min(0.005, 5 * max(fit$vb$sd_error) + 1e-4))
  b <- fit$posterior$beta
  expect_lt(relative(diag(b$cov_lrvb), diag(to$posterior$beta$cov_lrvb)), 1e-3)
  expect_lt(max(abs(b$mean - to$posterior$beta$mean)), 1e-3 * min(sqrt(diag(b$cov_lrvb))))
  off <- sqrt(fit$posterior$u$var_lrvb / to$posterior$u$var_lrvb) - 1
  expect_lt(sqrt(mean(off^2)), 0.005)
  expect_lt(sqrt(mean(off^2)), 2 * fit$vb$variance_error + 1e-4)
  expect_lt(max(abs(fit$posterior$u$mean - to$posterior$u$mean) / sqrt(to$posterior$u$var_lrvb)),
    0.01)
}

d <- crossed_data()
two <- fit_vb(y ~ x + (1 | a) + (1 | b), d, integrate = "no")
small <- forced(two)

test_that("means, log precisions and SDs are those of the dense engine", {
  expect_close(small, two)
  three <- fit_vb(y ~ x + (1 | a) + (1 | b) + (1 | c), d, integrate = "no", weights = w)
  expect_close(forced(three), three)
  expect_close(forced(three, few = 1L), three) # c has traces by probes too
  no_x <- fit_vb(y ~ 0 + (1 | a) + (1 | b), d, integrate = "no", prior = priors(beta = flat_prior()))
  expect_lt(log_off(forced(no_x), no_x), 0.02)
})

test_that("with all but one factor solved exactly nothing is estimated", {
  fit <- forced(two, few = 1000L)
  expect_lt(log_off(fit, two), 1e-5)
  expect_lt(relative(fit$posterior$u$var_lrvb, two$posterior$u$var_lrvb), 1e-5)
  expect_equal(fit$vb$Sigma, two$vb$Sigma, tolerance = 1e-5)
})

test_that("at its precisions the means and SDs are those of the normal equations", {
  flat <- priors(beta = flat_prior())
  flat <- fit_vb(y ~ x + (1 | a) + (1 | b), d, integrate = "no", prior = flat)
  fit <- forced(flat)
  tau <- fit$posterior$tau$mean
  C <- cbind(1, d$x, model.matrix(~ 0 + factor(b), d), model.matrix(~ 0 + factor(a), d))
  S <- solve(tau[1] * crossprod(C) + diag(c(0, 0, rep(tau[3:2], c(100, 300)))))
  m <- drop(S %*% crossprod(C, d$y)) * tau[1]
  expect_lt(max(abs(fit$posterior$u$mean - m[-(1:2)]) / sqrt(diag(S))[-(1:2)]), 1e-6)
  expect_equal(unname(fit$posterior$beta$mean), unname(m[1:2]), tolerance = 1e-7)
  product <- call_iter_product(iter_core(fit$model), tau, diag(402))
  expect_equal(product[-(1:2), -(1:2)], unname(S[-(1:2), -(1:2)]), tolerance = 1e-6)
})

test_that("more probes say the same, and their errors shrink", {
  many <- forced(two, probes = 64L)
  expect_identical(many$vb$probes, 64)
  expect_lt(log_off(small, many), 5 * max(small$vb$precision_error))
  expect_lt(max(many$vb$precision_error), max(small$vb$precision_error))
  expect_identical(forced(two, aim = 1e-5, most_probes = 32L)$vb$probes, 32)
})

test_that("the same data give the same answer, and the generator is left alone", {
  set.seed(7)
  before <- .Random.seed
  again <- forced(two)
  expect_identical(.Random.seed, before)
  expect_identical(again$vb, small$vb)
})

test_that("neither the order of rows nor names nor that of factors matters", {
  other <- d[sample.int(nrow(d)), ]
  rows <- forced(fit_vb(y ~ x + (1 | a) + (1 | b), other, integrate = "no"))
  expect_equal(rows$posterior$tau$psi, small$posterior$tau$psi, tolerance = 1e-7)
  expect_equal(rows$posterior$u, small$posterior$u, tolerance = 1e-5)
  swapped <- forced(fit_vb(y ~ x + (1 | b) + (1 | a), d, integrate = "no"))
  expect_equal(swapped$posterior$tau$psi$mean, small$posterior$tau$psi$mean, tolerance = 1e-7)
  d$a <- max(d$a) - d$a # other probes meet a level
  names <- forced(fit_vb(y ~ x + (1 | a) + (1 | b), d, integrate = "no"))
  expect_lt(log_off(names, small), 0.005)
  expect_lt(max(abs(ranef(names)$b - ranef(small)$b)), 1e-3)
})

test_that("a factor without variance, and nested factors, are done as well", {
  set.seed(3)
  d$y <- rnorm(nrow(d))
  none <- fit_vb(y ~ x + (1 | a) + (1 | b), d, integrate = "no")
  expect_lt(log_off(forced(none), none), 0.02)
  d$m <- d$a %/% 4
  nested <- fit_vb(y ~ x + (1 | m) + (1 | a) + (1 | b), d, integrate = "no")
  expect_lt(log_off(forced(nested), nested), 0.05)
})

# ---- what is asked of a fit ----------------------------------------------------------------------

test_that("draws have the moments of the dense fit", {
  set.seed(4)
  draws <- as_draws(small, ndraws = 4000)
  exact <- summary(two, pars = "u")
  draws <- draws[, grepl("^(beta|u)\\[", colnames(draws))]
  at <- match(colnames(draws), exact$variable)
  z <- (colMeans(draws) - exact$mean[at]) / exact$sd[at] * sqrt(4000)
  expect_lt(max(abs(z)), 5)
  ratio <- apply(draws, 2, sd) / exact$sd[at]
  expect_lt(max(abs(ratio - 1)), 0.08)
  names <- colnames(draws)
  contrast <- grepl("^u\\[b", names) / 100 - grepl("^u\\[a", names) / 300
  V <- vcov(two, pars = "all")[names, names] # the constants of the factors carry this one
  expect_equal(sd(draws %*% contrast), sqrt(sum(contrast * V %*% contrast)), tolerance = 0.05)
  level <- c(a = d$a[1], b = d$b[1]) # of a pair that is not independent
  pair <- vapply(names(level), function(f) {
    grep(paste0(f, ".*\\b", level[[f]], "\\b"), colnames(draws))
  }, 1L)
  both <- predict(two, data.frame(x = 0, t(level)), se.fit = TRUE)$se.fit
  expect_equal(sd(rowSums(draws[, c(1, pair)])), unname(both), tolerance = 0.05)
})

test_that("predictions have the SDs of the dense fit", {
  new <- rbind(d[1:200, c("x", "a", "b")], data.frame(x = 1, a = c(0, 1, 0), b = c(1, 0, 0)))
  se <- function(fit, ...) {
    predict(fit, new, allow_new_levels = TRUE, se.fit = TRUE, ...)$se.fit
  }
  expect_lt(sqrt(mean((se(small) / se(two) - 1)^2)), 0.005)
  expect_lt(relative(se(small, re.form = NA), se(two, re.form = NA)), 1e-3)
  expect_equal(predict(small), predict(two), tolerance = 1e-3)
  expect_equal(predict(small, new[1:9, ], interval = "prediction"),
    predict(two, new[1:9, ], interval = "prediction"), tolerance = 0.005)
  expect_equal(summary(small)$sd, summary(two)$sd, tolerance = 1e-3)
})

test_that("so has everything else that reads a covariance", {
  expect_equal(vcov(small), vcov(two), tolerance = 1e-3)
  expect_equal(vcov(small, pars = "all"), vcov(two, pars = "all"), tolerance = 2e-3)
  expect_equal(VarCorr(small)$a[1], VarCorr(two)$a[1], tolerance = 1e-3)
  condition <- function(fit) attr(ranef(fit, condVar = TRUE)$a, "postVar")
  expect_equal(dim(condition(small)), dim(condition(two)))
  expect_lt(sqrt(mean((condition(small) / condition(two) - 1)^2)), 0.01)
  expect_equal(c(condition(small)), small$posterior$u$var_lrvb[effects_of(small$model, 1L)])
  report <- function(fit) as.data.frame(sd_ratio_report(fit))
  expect_equal(report(small)$ratio_mfvb, report(two)$ratio_mfvb, tolerance = 1e-3)
  expect_equal(report(small)$verdict, report(two)$verdict)
  shares <- function(fit) between_shares(normal_of(fit))
  expect_equal(shares(small), shares(two), tolerance = 0.01)
  expect_equal(vb_sensitivity(small), vb_sensitivity(two), tolerance = 0.01)
  expect_equal(hypothesis(small, "x > 0.5")$prob, hypothesis(two, "x > 0.5")$prob, tolerance = 0.01)
  expect_equal(residuals(small), residuals(two), tolerance = 1e-3)
  expect_equal(icc(small)$icc, icc(two)$icc, tolerance = 0.02)
})

test_that("it says what it knows, and has no bound", {
  expect_output(print(small), "conjugate gradients.*8 fixed probes.*posterior SD.*no ELBO")
  expect_identical(glance(small)$elbo, NA_real_)
  expect_error(logLik(small), "integrate = \"yes\"", class = "meanfield_error_size")
  expect_identical(compare(small, small, loo = FALSE)$source, c("none", "none"))
  expect_identical(valid_fit(small), small)
  changed <- small
  changed$vb$var_u <- changed$vb$var_u[-1L]
  expect_error(summary(changed), "vb$var_u", fixed = TRUE, class = "meanfield_error_fit")
  changed <- small
  changed$model$iterations$few <- NULL
  expect_error(summary(changed), "iterations", class = "meanfield_error_fit")
})

test_that("engines that need the matrix take it, or refuse where it is too large", {
  gibbs <- suppressWarnings(fit_gibbs(small, iter = 120, warmup = 100, chains = 1))
  expect_null(gibbs$model$iterations)
  expect_s3_class(fit_vb(small, integrate = "yes"), "vb_fit")
  only <- forced(two, only = TRUE)
  refused <- function(x) {
    expect_error(x, "integrate = \"no\"", class = "meanfield_error_size")
  }
  refused(fit_gibbs(only))
  refused(fit_exact(only))
  refused(fit_hmc(only))
  refused(fit_vb(only, integrate = "yes"))
  expect_error(logLik(only), "compare()", class = "meanfield_error_size")
  expect_message(weak <- fit_vb(only), "8,000", class = "meanfield_message_integration")
  expect_identical(weak$not_integrated, "too large")
})

# ---- which models --------------------------------------------------------------------------------

test_that("models with thousands of crossed columns are fitted so, others are not", {
  set.seed(5)
  n <- 12000L
  d <- data.frame(x = rnorm(n), a = sample.int(2600L, n, TRUE), b = sample.int(2400L, n, TRUE))
  d$y <- d$x + rnorm(2600)[d$a] + rnorm(2400)[d$b] + rnorm(n)
  fit <- fit_vb(y ~ x + (1 | a) + (1 | b), d)
  expect_true(is_iterated(fit$model))
  expect_false(fit$model$iterations$only)
  expect_identical(fit$not_integrated, "not needed")
  expect_false(is_iterated(choose_route(fit$model, "yes")))
})

test_that("beyond the limit slopes are refused, and intercepts are not", {
  set.seed(6)
  n <- 40000L
  d <- data.frame(x = rnorm(n), a = sample.int(9000L, n, TRUE), b = sample.int(8500L, n, TRUE))
  d$y <- d$x + rnorm(9000)[d$a] + rnorm(8500)[d$b] + rnorm(n)
  expect_error(fit_vb(y ~ x + (x | a) + (1 | b), d), "intercept", class = "meanfield_error_size")
  expect_error(fit_gibbs(y ~ x + (1 | a) + (1 | b), d), "integrate = \"no\"",
    class = "meanfield_error_size")
  expect_error(fit_vb(y ~ x + (1 | a) + (1 | b), d, integrate = "yes"),
    class = "meanfield_error_size")
  expect_error(fit_vb(y ~ x + (1 | a) + (1 | b), d, blocks = "separate"), "blocks",
    class = "meanfield_error_size")
  fit <- fit_vb(y ~ x + (1 | a) + (1 | b), d, integrate = "no")
  expect_true(fit$model$iterations$only)
  expect_lt(abs(fixef(fit)[["x"]] - 1), 0.05)
  expect_lt(max(abs(unlist(lapply(VarCorr(fit), `[`, 1L)) - 1)), 0.1)
})
