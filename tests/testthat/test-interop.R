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

test_that("performance", {
  skip_if_not_installed("performance")
  for (f in list(vb, lrvb, exact, gibbs)) {
    expect_equal(as.numeric(performance::performance_rmse(f)), sqrt(mean(residuals(f)^2)))
  }
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
