# Other packages take the fits as they take lme4's and rstanarm's.

d <- small_data()
d$f <- gl(3, 20, labels = c("a", "b", "c"))
vb <- fit_vb(y ~ x + f + (1 | g), d)
lrvb <- fit_vb(vb, integrate = "no")
exact <- fit_exact(vb)
set.seed(6)
gibbs <- fit_gibbs(vb, chains = 2, iter = 600, warmup = 100)

test_that("emmeans: means and contrasts with the corrected covariance", {
  skip_if_not_installed("emmeans")
  for (f in list(vb, lrvb, exact, gibbs)) {
    em <- as.data.frame(emmeans::emmeans(f, "f"))
    X <- cbind(1, mean(d$x), c(0, 1, 0), c(0, 0, 1))
    expect_equal(em$emmean, drop(X %*% fixef(f)), tolerance = 1e-8)
    expect_equal(em$SE, sqrt(diag(X %*% vcov(f) %*% t(X))), tolerance = 1e-8)
  }
})

test_that("emmeans: the scale of the response, with the link's own labels", {
  skip_if_not_installed("emmeans")
  count <- transform(d, n = rpois(60, 3), share = rbinom(60, 1, .5))
  check <- function(formula, family, label, inverse) {
    f <- fit_vb(formula, count, family = family)
    eta <- fixef(f)[1] + c(0, fixef(f)[-1])
    em <- as.data.frame(emmeans::emmeans(f, "f", type = "response"))
    expect_equal(em[[label]], unname(inverse(eta)))
    link <- as.data.frame(emmeans::emmeans(f, "f"))
    expect_equal(link$emmean, unname(eta))
  }
  check(share ~ f + (1 | g), binomial(), "prob", plogis)
  check(n ~ f + (1 | g), poisson(), "rate", exp)
  check(n ~ f + (1 | g), neg_binomial(), "response", exp)
  # a transformed response is emmeans' own affair
  f <- fit_vb(log(y + 10) ~ f + (1 | g), d)
  em <- as.data.frame(emmeans::emmeans(f, "f", type = "response"))
  expect_equal(em$response, unname(exp(fixef(f)[1] + c(0, fixef(f)[-1])) - 10))
  odd <- fit_vb(y ~ `the f` + (1 | g), data.frame(d, `the f` = d$f, check.names = FALSE))
  expect_warning(emmeans::emmeans(odd, "the f"), NA)
})

test_that("marginaleffects' predictions are on the scale that was asked for", {
  count <- transform(d, n = rpois(60, 3))
  f <- fit_vb(n ~ x + (1 | g), count, family = poisson())
  eta <- drop(model.matrix(f) %*% fixef(f))
  get <- function(...) get_predict.regression_fit(..., newdata = count)$estimate
  expect_equal(get(f), unname(exp(eta)))
  expect_equal(get(f, type = "response"), unname(exp(eta)))
  expect_equal(get(f, type = "link"), unname(eta))
  shifted <- set_coef.regression_fit(f, fixef(f) + c(1, 0))
  expect_equal(get(shifted, type = "link"), unname(eta) + 1)
  expect_error(get(f, type = "probs"), class = "meanfield_error_control")
})

test_that("insight", {
  skip_if_not_installed("insight")
  for (f in list(vb, lrvb, exact, gibbs)) {
    expect_equal(insight::find_response(f), "y")
    expect_setequal(insight::find_predictors(f, flatten = TRUE), c("x", "f"))
    expect_equal(insight::find_random(f, flatten = TRUE), "g")
    expect_equal(insight::get_parameters(f)$Estimate, unname(fixef(f)))
    expect_equal(insight::n_obs(f), 60)
    expect_equal(nrow(insight::get_data(f)), 60)
    expect_true(insight::model_info(f)$is_linear)
  }
})

test_that("insight: data, groups and the response as lme4's fits have them", {
  skip_if_not_installed("insight")
  skip_if_not_installed("lme4")
  cbpp <- lme4::cbpp
  f <- fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, family = binomial())
  m <- lme4::glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, family = binomial)
  expect_equal(insight::get_response(f), insight::get_response(m), ignore_attr = TRUE)
  expect_equal(insight::get_random(f), cbpp["herd"], ignore_attr = TRUE)
  expect_equal(insight::get_weights(f), cbpp$size)
  expect_equal(insight::find_formula(f)$random, ~ 1 | herd, ignore_formula_env = TRUE)
  expect_true(insight::model_info(f)$is_binomial)
  expect_equal(insight::link_inverse(f)(1), plogis(1))
  expect_equal(insight::link_function(f)(.3), qlogis(.3))
  expect_equal(as.numeric(insight::get_sigma(f)), 1)
  expect_equal(insight::get_deviance(f), deviance(f))
  expect_true(insight::is_converged(f))
  expect_error(insight::get_loglikelihood(f), class = "meanfield_error_engine")
  n <- fit_vb(incidence ~ period + (1 | herd), cbpp, family = neg_binomial())
  expect_true(insight::model_info(n)$is_negbin)
  # terms of a formula that are no names
  s <- fit_vb(log(y + 9) ~ poly(x, 2) + (poly(x, 2) | g), d, integrate = "no")
  expect_named(insight::get_data(s), c("y", "x", "g"), ignore.order = TRUE)
  expect_equal(insight::get_data(s)$x, d$x)
  expect_equal(insight::find_random_slopes(s)$random, "x")
  expect_equal(insight::find_variables(s, flatten = TRUE), c("y", "x", "g"))
  expect_named(insight::get_data(s, effects = "random"), "g")
  split <- fit_vb(y ~ x + (x || g), d, integrate = "no")
  expect_equal(insight::find_random(split)$random, "g")
  expect_equal(insight::find_random_slopes(split)$random, "x")
  gone <- (function(local) fit_vb(y ~ x + (1 | g), local[1:40, ]))(d)
  expect_equal(nrow(insight::get_data(gone)), 40)
  expect_null(insight::get_random(fit_vb(y ~ x, d)))
})

test_that("insight: predictions and variances", {
  skip_if_not_installed("insight")
  set.seed(3)
  count <- transform(d, n = rpois(60, exp(x / 3 + rnorm(7, 0, .6)[g])))
  f <- fit_vb(n ~ x + (1 | g), count, family = poisson())
  p <- insight::get_predicted(f)
  expect_equal(as.numeric(p), unname(fitted(f)))
  limits <- as.data.frame(insight::get_predicted(f, ci = .8))
  expect_equal(limits$CI_low, unname(predict(f, interval = "confidence", level = .8,
    type = "response")[, "lwr"]))
  new <- data.frame(x = 3, g = c("1", "unseen"))
  expect_equal(as.numeric(insight::get_predicted(f, new[1, ])),
    unname(predict(f, new[1, ], type = "response")))
  population <- unname(predict(f, new, re.form = NA, type = "response"))
  expect_equal(as.numeric(insight::get_predicted(f, new)), population)
  expect_equal(as.numeric(insight::get_predicted(f, new, include_random = FALSE)), population)
  expect_equal(as.numeric(insight::get_predicted(f, new, predict = "link")),
    unname(predict(f, new, re.form = NA)))
  v <- insight::get_variance(f)
  expect_equal(v$var.random, drop(group_covariance(posterior_of(f), 1)))
  expect_equal(v$var.residual, log1p(1 / mean(count$n)))
  expect_equal(v$var.intercept, c(g = v$var.random))
  expect_equal(insight::get_variance(f, "fixed"), v$var.fixed)
  expect_equal(v$var.fixed, sum(fixef(f)["x"]^2 + vcov(f)["x", "x"]) * mean((d$x - mean(d$x))^2))
  expect_null(insight::get_variance(fit_vb(y ~ x, d)))
})

test_that("ggeffects predicts for the population unless groups are asked for", {
  skip_if_not_installed("ggeffects")
  for (f in list(vb, exact, gibbs)) {
    g <- as.data.frame(ggeffects::ggpredict(f, "x [2,4]"))
    at <- function(x) fixef(f)[["(Intercept)"]] + fixef(f)[["x"]] * x # f at its first level
    expect_equal(g$predicted, at(c(2, 4)))
    new <- data.frame(x = c(2, 4), f = "a")
    ci <- predict(f, new, re.form = NA, interval = "confidence")
    expect_equal(g$conf.low, unname(ci[, "lwr"]))
    own <- as.data.frame(ggeffects::ggpredict(f, c("x [2]", "g [1,2]")))
    expect_equal(own$predicted, unname(predict(f, data.frame(x = 2, f = "a", g = c("1", "2")))))
  }
})

test_that("performance", {
  skip_if_not_installed("performance")
  for (f in list(vb, lrvb, exact, gibbs)) {
    expect_equal(as.numeric(performance::performance_rmse(f)), sqrt(mean(residuals(f)^2)))
    i <- performance::icc(f)$ICC_adjusted
    set.seed(1)
    expect_lt(abs(i - icc(f)$mean), icc(f)$sd / 2) # the ratio of two means is not the mean ratio
    set.seed(2)
    a <- performance::r2(f)
    set.seed(2)
    expect_equal(a, r2(f))
    expect_identical(performance::check_singularity(f), c(isSingular(f)))
  }
  line <- fit_vb(y ~ x, d)
  set.seed(1)
  expect_equal(performance::r2(line)$mean[1], summary(lm(y ~ x, d))$r.squared, tolerance = .1)
})

test_that("marginaleffects", {
  skip_if_not_installed("marginaleffects")
  # its version 1.0.0 calls base R's %||%, which came with R 4.4
  skip_if(getRversion() < "4.4" && utils::packageVersion("marginaleffects") >= "1.0.0" &&
    !exists("%||%", globalenv()))
  withr::local_options(marginaleffects_model_classes = c("vb_fit", "gibbs_fit"))
  for (f in list(vb, lrvb, exact, gibbs)) {
    s <- marginaleffects::avg_slopes(f, variables = "x")
    expect_equal(s$estimate, unname(fixef(f)["x"]), tolerance = 1e-5)
    expect_equal(s$std.error, sqrt(vcov(f)["x", "x"]), tolerance = 1e-4)
  }
})

test_that("loo and bayesplot", {
  skip_if_not_installed("loo")
  suppressWarnings(for (f in list(vb, lrvb, exact, gibbs)) {
    l <- loo::loo(f)
    expect_s3_class(l, "psis_loo")
    expect_equal(nrow(l$pointwise), 60)
  })
  skip_if_not_installed("bayesplot")
  expect_s3_class(bayesplot::pp_check(vb, draws = 5), "ggplot")
  expect_s3_class(bayesplot::mcmc_trace(as_draws(gibbs), pars = "sigma_e"), "ggplot")
})

test_that("ngrps and fixef of lme4's fits still work beside ours", {
  skip_if_not_installed("lme4")
  m <- lme4::lmer(y ~ x + (1 | g), d)
  expect_equal(unname(ngrps(m)), 7)
  expect_equal(lme4::ngrps(vb), c(g = 7))
  expect_equal(lme4::fixef(vb), fixef(vb))
  expect_named(lme4::ranef(vb), "g")
  expect_s3_class(lme4::VarCorr(vb), "VarCorr.meanfield")
})
