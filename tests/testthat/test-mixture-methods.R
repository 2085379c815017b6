# Every generic on a mixture answers, or refuses with a class and a remedy.

fit <- fit_vb(gaussian_mixture(faithful, 2), starts = 4)
set.seed(1)
gibbs <- fit_gibbs(fit, chains = 2, iter = 400, warmup = 100)

test_that("intervals and tidy rows are those of the summary", {
  for (f in list(fit, gibbs)) {
    s <- as.data.frame(summary(f, level = .9))
    expect_equal(rownames(confint(f)), sprintf("mu[%d,%s]", c(1, 1, 2, 2), names(faithful)))
    expect_equal(unname(confint(f, "pi[2]", level = .9)[1, ]),
      unlist(s[s$variable == "pi[2]", c("q5", "q95")], use.names = FALSE))
    expect_equal(nrow(confint(f, "all")), nrow(s))
    expect_error(confint(f, "beta"), class = "meanfield_error_control")
    t <- as.data.frame(tidy(f, conf.int = TRUE, conf.level = .9))
    expect_equal(nrow(t), 2 * (2 + 1 + 3))
    expect_equal(t$estimate, s$mean[match(t$term, s$variable)])
    expect_equal(t$conf.high, s$q95[match(t$term, s$variable)])
    expect_equal(t$component, as.integer(gsub("\\D+([0-9]).*", "\\1", t$term)))
    expect_equal(nrow(glance(f)), 1)
    expect_equal(glance(f)$nobs, 272)
  }
  expect_equal(glance(fit)$elbo, fit$vb$elbo)
})

test_that("augment has the most probable component and its probability", {
  a <- augment(fit)
  expect_equal(as.data.frame(a[1:2]), faithful, ignore_attr = TRUE)
  expect_equal(as.integer(a$.class), predict(fit, type = "class"))
  expect_equal(a$.prob, apply(predict(fit), 1, max))
  new <- data.frame(waiting = c(50, 80), eruptions = c(2, 4.5), who = c("a", "b"))
  b <- augment(fit, newdata = new)
  expect_equal(b$who, new$who)
  expect_equal(as.integer(b$.class), 1:2)
  expect_error(augment(fit, data = faithful[1:5, ]), class = "meanfield_error_data")
})

test_that("simulated data sets have the moments of the mixture", {
  s <- simulate(fit, 200, seed = 1)
  expect_identical(simulate(fit, 200, seed = 1), s)
  expect_equal(dim(s$sim_3), c(272, 2))
  means <- t(vapply(s, colMeans, numeric(2)))
  pi <- summary(fit)
  pi <- pi$mean[match(c("pi[1]", "pi[2]"), pi$variable)]
  expected <- drop(pi %*% coef(fit))
  se <- apply(means, 2, sd) / sqrt(200)
  expect_lt(max(abs(colMeans(means) - expected) / se), tol_mcse)
  spread <- mean(vapply(s, function(x) var(x[, 1]), 0))
  expect_equal(spread, var(faithful$eruptions), tolerance = .05)
  expect_equal(dim(simulate(gibbs, 2, seed = 1)), c(272, 2))
})

test_that("log likelihoods sum the components out; models of other k compare", {
  skip_if_not_installed("rstantools")
  set.seed(1)
  ll <- rstantools::log_lik(fit, draws = 3)
  set.seed(1)
  d <- as.data.frame(fit, ndraws = 3)
  normal <- function(x, i, k) {
    v <- function(what) as.numeric(d[i, sprintf(what, k)])
    S <- matrix(c(v("Sigma[%d,eruptions,eruptions]"), v("Sigma[%d,eruptions,waiting]"),
      v("Sigma[%d,eruptions,waiting]"), v("Sigma[%d,waiting,waiting]")), 2)
    e <- x - c(v("mu[%d,eruptions]"), v("mu[%d,waiting]"))
    v("pi[%d]") * exp(-drop(e %*% solve(S, e)) / 2) / (2 * base::pi * sqrt(det(S)))
  }
  for (row in c(1, 100)) {
    x <- unlist(faithful[row, ])
    expect_equal(ll[, row], vapply(1:3, function(i) log(normal(x, i, 1) + normal(x, i, 2)), 0))
  }
  three <- update(fit, k = 3)
  set.seed(1)
  cmp <- compare(two = fit, three = three, ndraws = 200)
  expect_setequal(cmp$model, c("two", "three"))
  expect_equal(cmp$log_evidence[cmp$model == "three"], three$vb$elbo + log(6))
  expect_true(all(is.finite(cmp$elpd_loo)))
  expect_error(compare(fit, update(fit, x = faithful[1:200, ])), class = "meanfield_error_compare")
  expect_error(compare(fit, fit_vb(waiting ~ eruptions, faithful)), class = "meanfield_error_compare")
})

test_that("update changes the model or the run", {
  expect_equal(update(fit, k = 3)$model$k, 3)
  expect_identical(update(fit, k = 3, evaluate = FALSE)$object,
    quote(gaussian_mixture(x = faithful, k = 3)))
  flat <- update(fit, prior = flat_prior())
  expect_true(flat$model$prior$flat_mean)
  expect_true(update(flat, k = 3)$model$prior$flat_mean) # the prior as it was given
  expect_equal(nrow(update(fit, starts = 2)$starts), 2)
  wrap <- function(m, ...) update(m, ...)
  expect_equal(wrap(fit, k = 1)$model$k, 1)
  set.seed(1)
  expect_equal(update(gibbs, chains = 1)$chains, 1)
  expect_error(update(fit, nonsense = 1), class = "meanfield_error_control")
  expect_equal(formula(fit), ~ eruptions + waiting, ignore_formula_env = TRUE)
  expect_equal(model.frame(fit), faithful, ignore_attr = TRUE)
  expect_equal(prior_summary(fit)$variable, c("mu", "Lambda", "pi"))
})

test_that("what a mixture has not is refused, and the remedy named", {
  refused <- c("residuals", "fitted", "deviance", "family", "terms", "model.matrix", "weights",
    "df.residual", "sigma", "fixef", "ranef", "VarCorr", "ngrps", "icc", "r2", "isSingular",
    "fit_exact", "vb_khat", "vb_sensitivity")
  for (name in refused) for (f in list(fit, gibbs)) {
    expect_error(get(name)(f), "see|use|its|check|refit|announced", class = "meanfield_error_mixture")
  }
  expect_error(fit_exact(fit$model), class = "meanfield_error_mixture")
  skip_if_not_installed("rstantools")
  for (f in list(rstantools::posterior_predict, rstantools::posterior_epred,
    rstantools::posterior_linpred)) {
    expect_error(f(fit), class = "meanfield_error_mixture")
  }
})

test_that("hypothesis() is of linear combinations of the means", {
  at <- c("mu[1,eruptions]", "mu[2,eruptions]")
  h <- hypothesis(fit, "mu[1,eruptions] < mu[2,eruptions]")
  m <- coef(fit)
  V <- vcov(fit)[at, at]
  sd <- sqrt(V[1, 1] + V[2, 2] - 2 * V[1, 2])
  expect_equal(h$estimate, m[1, 1] - m[2, 1])
  expect_equal(h$sd, sd)
  expect_equal(h$q97.5, m[1, 1] - m[2, 1] + qnorm(0.975) * sd)
  draws <- as.matrix(gibbs)
  d <- draws[, at[1]] - draws[, at[2]]
  g <- hypothesis(gibbs, "mu[1,eruptions] - mu[2,eruptions] > -2.2")
  expect_equal(c(g$estimate, g$sd, g$prob), c(mean(d) + 2.2, sd(d), mean(d > -2.2)))
  expect_error(hypothesis(fit, "a > 0"), "the coefficients mu", class = "meanfield_error_hypothesis")
})
