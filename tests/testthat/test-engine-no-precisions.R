# Binomial and Poisson models without group terms: no precision to integrate over.

set.seed(1)
glm_data <- local({
  x <- rnorm(60)
  data.frame(x, count = rpois(60, exp(.3 + .4 * x)), few = rpois(60, .1 * exp(x)),
    yes = rbinom(60, 1, plogis(.5 * x)))
})

# Exact means and SDs of one or two coefficients by the trapezoid rule about the mode, in the user's
# coordinates; log evidence.
glm_quadrature <- function(fit, points = 300, width = 11) {
  core <- engine_core(fit$model)
  rows <- core$rows
  X <- t(rows$X)
  binomial <- fit$model$family$family == "binomial"
  log_joint <- function(G) {
    eta <- X %*% G + rows$offset
    mean <- if (binomial) plogis(eta) else exp(eta)
    density <- if (binomial) dbinom(rows$y, rows$size, mean, log = TRUE) else
      dpois(rows$y, mean, log = TRUE)
    dev <- G - core$mu
    prior <- if (core$flat) 0 else {
      -colSums(dev * (core$Tb %*% dev)) / 2 + (core$logdet_Tb - core$p * log(2 * pi)) / 2
    }
    colSums(matrix(density, nrow(X))) + prior
  }
  top <- optim(fit$vb$mean, function(g) -log_joint(matrix(g)), method = "BFGS", hessian = TRUE,
    control = list(reltol = 1e-14))
  L <- t(chol(solve(top$hessian)))
  z <- seq(-width, width, length.out = points)
  G <- top$par + L %*% t(as.matrix(expand.grid(rep(list(z), core$p))))
  f <- log_joint(G)
  w <- exp(f - max(f))
  cell <- core$p * log(z[2] - z[1]) + sum(log(diag(L)))
  B <- to_raw_draws(fit$model$coords, G)
  mean <- drop(B %*% w) / sum(w)
  list(mean = mean, sd = sqrt(drop((B - mean)^2 %*% w) / sum(w)),
    log_evidence = max(f) + log(sum(w)) + cell)
}

glm_fit <- function(formula, family, ..., data = glm_data) {
  do.call(fit_vb, list(formula, data, family = family, ...))
}

test_that("means and SDs of the default fit are exact to .02 SD and 2%", {
  cases <- list(
    glm_fit(am ~ wt, binomial(), data = mtcars), glm_fit(yes ~ x, binomial()),
    glm_fit(yes ~ x, binomial(), prior = priors(beta = flat_prior())),
    glm_fit(yes ~ 0 + x, binomial()), glm_fit(count ~ x, poisson()),
    glm_fit(count ~ x, poisson(), prior = priors(beta = flat_prior())),
    glm_fit(few ~ x, poisson()), glm_fit(few ~ 1, poisson()), glm_fit(count ~ 0 + x, poisson())
  )
  for (fit in cases) {
    truth <- glm_quadrature(fit)
    s <- summary(fit)
    expect_lt(max(abs(s$mean - truth$mean) / truth$sd), .02)
    expect_lt(max(abs(s$sd / truth$sd - 1)), .02)
    # one node, with the third order of the expansion in its bound
    nested <- fit_vb(fit, integrate = "yes")
    s <- summary(nested)
    expect_lt(max(abs(s$mean - truth$mean) / truth$sd), .002)
    expect_lt(max(abs(s$sd / truth$sd - 1)), .01)
    gap <- truth$log_evidence - c(nested$integrated$log_evidence, fit$vb$elbo)
    expect_lt(abs(gap[1L]), .2 * gap[2L])
    expect_gt(gap[2L], 0)
  }
})

test_that("one node is an integral like any other", {
  fit <- glm_fit(count ~ x, poisson(), integrate = "yes")
  n <- fit$integrated
  expect_identical(dim(n$psi), c(0L, 1L))
  expect_identical(n[c("method", "weights", "points", "error")],
    list(method = "lattice", weights = 1, points = 1L, error = 1e-8))
  expect_equal(n$log_evidence, fit$vb$elbo + n$correction, tolerance = 1e-8)
  set.seed(1)
  d <- posterior::as_draws_matrix(as_draws(fit, ndraws = 4000))
  s <- summary(fit)
  expect_lt(max(abs(colMeans(d) - s$mean) / s$sd), 4 / sqrt(4000))
  expect_lt(max(abs(apply(d, 2L, sd) / s$sd - 1)), 4 / sqrt(8000))
})

test_that("every method takes a fit without precisions", {
  skip_if_not_installed("rstantools")
  models <- list(count ~ x, count ~ 1, count ~ 0 + x)
  for (formula in models) for (integrate in c("auto", "yes")) {
    fit <- glm_fit(formula, poisson(), integrate = integrate)
    p <- length(coef(fit))
    expect_output(print(fit), "count ~")
    expect_identical(nrow(summary(fit)), p)
    expect_s3_class(vb_khat(fit), "meanfield_khat")
    expect_identical(dim(as_draws(fit, ndraws = 10)), c(10L, p))
    expect_identical(dim(simulate(fit, 2, seed = 1)), c(60L, 2L))
    expect_identical(dim(rstantools::posterior_predict(fit, draws = 7)), c(7L, 60L))
    expect_s3_class(suppressWarnings(loo::loo(fit, draws = 200)), "loo")
    expect_identical(nrow(compare(a = fit, b = fit, loo = FALSE)), 2L)
    expect_equal(vcov(fit, pars = "all"), vcov(fit), ignore_attr = TRUE, tolerance = 1e-8)
    expect_identical(dim(vcov(fit, pars = "all", type = "mfvb")), c(p, p))
    expect_identical(nrow(confint(fit)), p)
    expect_identical(nrow(hypothesis(fit, paste0("`", names(coef(fit))[1L], "` > 0"))), 1L)
    expect_identical(dim(predict(fit, interval = "confidence")), c(60L, 3L))
    expect_identical(nrow(as.data.frame(sd_ratio_report(fit))), p)
    expect_output(print(VarCorr(fit)), "no variances")
    pdf(NULL)
    plot(fit)
    dev.off()
  }
  expect_output(print(glm_fit(yes ~ x, binomial())), "linear response\n")
})

test_that("a model without any parameter has nothing to report, and says so", {
  fit <- glm_fit(count ~ 0, poisson())
  expect_output(print(fit), "count ~ 0")
  expect_identical(dim(summary(fit)), c(0L, 8L))
  expect_error(sd_ratio_report(fit), class = "meanfield_error_report")
  expect_error(vb_khat(fit), class = "meanfield_error_engine")
  expect_error(fit_gibbs(fit), class = "meanfield_error_formula")
})
