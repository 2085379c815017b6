# A posterior is one of three things, and answers the same questions whichever it is.

d <- small_data()
normal <- fit_vb(y ~ x + (1 + x | g), d, integrate = "no")
integrated <- fit_vb(normal, integrate = "yes")
exact <- fit_exact(y ~ x + (1 | g), d)
set.seed(3)
gibbs <- fit_gibbs(normal, chains = 2, iter = 1200, warmup = 200)
mixture <- fit_vb(gaussian_mixture(faithful, 2), starts = 2)
mixture_gibbs <- fit_gibbs(mixture, chains = 1, iter = 300, warmup = 100)
fits <- list(normal = normal, integrated = integrated, exact = exact, gibbs = gibbs, mixture = mixture,
  mixture_gibbs = mixture_gibbs)

test_that("every fit has a posterior of one of three kinds", {
  kinds <- c("normal_posterior", "mixture_posterior", "draws_posterior")
  kind <- vapply(fits, function(f) intersect(class(posterior_of(f)), kinds), "")
  expect_identical(unname(kind), kinds[c(1, 2, 2, 3, 1, 3)])
  has_normal <- vapply(fits, function(f) !is.null(normal_of(f)), NA)
  expect_identical(unname(has_normal), c(TRUE, TRUE, FALSE, FALSE, TRUE, FALSE))
})

test_that("the table of variables has the rows of every summary, and of the draws", {
  for (name in names(fits)) {
    fit <- fits[[name]]
    table <- variable_table(fit$model)
    expect_identical(table$variable, summary(fit)$variable, info = name)
    expect_identical(anyDuplicated(table$variable), 0L, info = name)
    expect_setequal(colnames(as.matrix(fit)[, table$variable]), table$variable)
    s <- summary(fit)
    expect_identical(is.na(s$sd), !table$moment, info = name)
  }
  u <- variable_table(normal$model, u = TRUE)
  expect_identical(u$variable, summary(normal, pars = "u")$variable)
})

test_that("locations, covariances and combinations of a posterior agree", {
  for (name in names(fits)) {
    p <- posterior_of(fits[[name]])
    at <- location(p)
    expect_equal(unname(sqrt(diag(at$cov))), summary(fits[[name]])$sd[seq_along(at$mean)], info = name)
    all <- covariance(p)
    here <- location_variables(p$model)
    expect_equal(unname(all[here, here]), unname(at$cov), tolerance = 1e-8, info = name)
    X <- rbind(seq_along(at$mean), 1)
    mix <- linear_mixture(p, list(X = X, offset = c(0, 2), groups = list()))
    expect_equal(mixture_mean(mix), drop(X %*% at$mean) + c(0, 2), ignore_attr = TRUE, info = name)
    expect_equal(mixture_variance(mix), rowSums((X %*% at$cov) * X), ignore_attr = TRUE,
      tolerance = 1e-8, info = name)
  }
})

test_that("draws have the moments that the summary gives", {
  set.seed(4)
  for (name in c("normal", "integrated", "exact")) {
    fit <- fits[[name]]
    s <- summary(fit)
    table <- variable_table(fit$model)
    # precisions and SDs of a normal posterior are drawn as functions of each other
    judged <- table$kind %in% c("beta", if (name == "normal") "log_tau" else c("log_tau", "log_sigma"))
    d <- as.matrix(fit, ndraws = 4000, u = FALSE)[, table$variable[judged]]
    z <- (colMeans(d) - s$mean[judged]) / (s$sd[judged] / sqrt(4000))
    expect_lt(max(abs(z)), 4.5)
    expect_lt(max(abs(log(apply(d, 2, sd) / s$sd[judged]))), 0.15)
  }
})

test_that("a variable that a model has under another name is not guessed from it", {
  e <- d
  e$log_tau_e <- e$x
  e$`sigma_u[g]` <- e$x^2
  fit <- fit_vb(y ~ log_tau_e + `sigma_u[g]` + (1 | g), e)
  table <- variable_table(fit$model)
  expect_identical(table$kind[2:3], c("beta", "beta"))
  shown <- capture.output(print(fit))
  expect_length(grep("^ *beta\\[(log_tau_e|`?sigma_u)", shown), 2)
  expect_identical(nrow(confint(fit)), 3L)
})

test_that("a fit of another layout is refused with a remedy", {
  old <- normal
  old$model$version <- 2L
  expect_error(summary(old), "refit", class = "meanfield_error_fit")
  expect_error(vcov(old), "refit", class = "meanfield_error_fit")
})

test_that("numbers of draws that are none are refused", {
  for (bad in list("a", c(1, 2), -1, 1e12)) {
    expect_warning(expect_error(as.matrix(normal, ndraws = bad), class = "meanfield_error"), NA)
  }
})

test_that("statements and names that are not there are refused", {
  expect_error(hypothesis(normal), "x > 0", class = "meanfield_error_hypothesis")
  expect_error(hypothesis(mixture), class = "meanfield_error_hypothesis")
  expect_error(as.data.frame(gibbs, row.names = "a"), class = "meanfield_error_control")
  expect_error(as.data.frame(summary(normal), row.names = rep("a", nrow(summary(normal)))),
    class = "meanfield_error_control")
})

test_that("types of covariance that a fit has not are refused", {
  expect_error(vcov(gibbs, type = "lrvb"), "leave `type` out", class = "meanfield_error_control")
  expect_error(vcov(exact, type = "mfvb"), "leave `type` out", class = "meanfield_error_control")
  expect_error(vcov(normal, type = "integrated"), "refit", class = "meanfield_error_control")
  expect_identical(vcov(exact, type = "integrated"), vcov(exact))
  expect_equal(vcov(integrated, type = "lrvb"), vcov(normal))
})

test_that("fits with the classes of another version are refused by every method", {
  old <- normal
  class(old) <- c("vb_fit", "meanfield_fit")
  old$model$version <- NULL
  asked <- list(coef, residuals, fitted, predict, fixef, ranef, tidy, augment, simulate, family, ngrps,
    VarCorr, isSingular, terms, model.frame, formula, icc, r2, update, fit_vb, fit_gibbs, fit_exact,
    summary, vcov, print, case.names, weights, deviance, df.residual, variable.names)
  for (f in asked) expect_error(f(old), "refit", class = "meanfield_error_fit")
  old <- mixture
  class(old) <- c("gmm_vb_fit", "gmm_fit")
  old$model$version <- NULL
  for (f in list(summary, as.matrix, vcov, glance, logLik, as_draws, confint, coef, plot, print)) {
    expect_error(f(old), "refit", class = "meanfield_error_fit")
  }
})

test_that("confint() gives a coefficient's interval, whatever else has its name", {
  e <- d
  e$tau_e <- e$x
  named <- fit_vb(y ~ tau_e, e)
  plain <- fit_vb(y ~ x, d)
  expect_equal(unname(confint(named)), unname(confint(plain)))
  expect_equal(unname(confint(named, "tau_e")), unname(confint(plain, "x")))
  expect_equal(unname(confint(named, 2)), unname(confint(plain, 2)))
  for (bad in list(0, 3, 1.5, mean)) {
    expect_error(confint(plain, bad), class = "meanfield_error_control")
  }
})

test_that("rows with missing covariates are NA, and leave the others alone", {
  new <- data.frame(x = c(NA, 1, Inf), g = levels(d$g)[1])
  for (name in c("normal", "integrated", "exact", "gibbs")) {
    p <- predict(fits[[name]], new, se.fit = TRUE, interval = "prediction")
    one <- predict(fits[[name]], new[2, ], se.fit = TRUE, interval = "prediction")
    expect_identical(is.na(unname(p$se.fit)), c(TRUE, FALSE, TRUE), info = name)
    expect_equal(unname(p$fit[2, ]), unname(one$fit[1, ]), info = name)
  }
})

test_that("one draw is enough for a table", {
  expect_identical(posterior::ndraws(as_draws(normal, ndraws = 1)), 1L)
  one <- fit_gibbs(normal, chains = 1, iter = 1, warmup = 0)
  expect_identical(nrow(summary(one)), nrow(summary(normal)))
  expect_output(print(one), "1 draws kept")
  expect_identical(is.na(glance(one)$rhat), TRUE)
})
