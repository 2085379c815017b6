# The methods a user of lme4, brms and posterior expects, on both kinds of fit.

vb <- fit_vb(log_radon ~ floor + (1 | county), radon)
lrvb <- fit_vb(vb, integrate = "no")
exact <- fit_exact(vb)
set.seed(1)
gibbs <- fit_gibbs(vb, chains = 2, iter = 800, warmup = 200)

test_that("the columns of summary() are the contract's", {
  expect_named(summary(vb), c("variable", "mean", "sd", "mean_mfvb", "sd_mfvb", "source", "q2.5",
    "q97.5"))
  expect_named(summary(gibbs), c("variable", "mean", "sd", "q2.5", "q97.5", "mcse_mean", "mcse_sd",
    "ess_bulk", "ess_tail", "rhat"))
  rows <- c("beta[(Intercept)]", "beta[floor]", "tau_e", "log_tau_e", "sigma_e", "tau_u[county]",
    "log_tau_u[county]", "sigma_u[county]", "log_sigma_u[county]")
  expect_equal(summary(vb)$variable, rows)
  expect_equal(summary(gibbs)$variable, rows)
  expect_equal(summary(vb, pars = "u")$variable, summary(gibbs, pars = "u")$variable)
  expect_named(summary(vb, level = .9)[7:8], c("q5", "q95"))
})

test_that("no mean of a group precision under a half-t prior, its quantiles stay", {
  for (f in list(vb, lrvb, exact, gibbs)) {
    s <- summary(f)
    row <- s[s$variable == "tau_u[county]", ]
    expect_true(is.na(row$mean) && is.na(row$sd))
    expect_true(row$q2.5 < row$q97.5)
  }
  g <- fit_vb(log_radon ~ floor + (1 | county), radon, prior = priors(tau_u = gamma_prior(1, 1)))
  expect_false(anyNA(summary(g)$sd))
})

test_that("fixef, ranef, coef, VarCorr and sigma hang together", {
  for (f in list(vb, lrvb, exact, gibbs)) {
    expect_named(fixef(f), c("(Intercept)", "floor"))
    re <- ranef(f)
    expect_equal(rownames(re$county), levels(radon$county))
    expect_equal(dim(attr(re$county, "postVar")), c(1, 1, 85))
    expect_equal(nrow(as.data.frame(re)), 85)
    co <- coef(f)$county
    expect_equal(co[["(Intercept)"]], fixef(f)[[1]] + re$county[[1]])
    expect_equal(unique(co$floor), fixef(f)[["floor"]])
    vc <- as.data.frame(VarCorr(f))
    expect_equal(vc$grp, c("county", "Residual"))
    expect_equal(vc$sdcor[2], sigma(f))
    expect_output(print(VarCorr(f)), "county")
    expect_equal(ngrps(f), c(county = 85))
    expect_equal(nobs(f), 919)
    expect_equal(df.residual(f), 917)
    expect_equal(family(f)$family, "gaussian")
    expect_equal(dim(model.matrix(f)), c(919, 2))
    expect_equal(formula(f), log_radon ~ floor + (1 | county), ignore_formula_env = TRUE)
  }
  skip_if_not_installed("lme4")
  ref <- lme4::lmer(log_radon ~ floor + (1 | county), radon)
  expect_lt(max(abs(fixef(vb) - lme4::fixef(ref)) / sqrt(diag(vcov(vb)))), 0.1)
  expect_gt(cor(ranef(vb)$county[[1]], lme4::ranef(ref)$county[[1]]), 0.999)
})

test_that("predict: levels, intervals, random effects", {
  new <- data.frame(floor = c(0, 1, 0), county = c("Aitkin", "Aitkin", "Atlantis"))
  expect_error(predict(vb, new), class = "meanfield_error_newdata")
  for (f in list(vb, lrvb, exact, gibbs)) {
    p <- predict(f, new, allow_new_levels = TRUE, se.fit = TRUE)
    expect_equal(unname(p$fit[3]), fixef(f)[[1]])
    expect_equal(unname(p$fit[1:2]), unname(fitted(f)[c(2, 1)]))
    # a new county carries the full variance of the group distribution
    expect_equal(unname(p$se.fit[3]^2),
      vcov(f)[1, 1] + group_covariance(posterior_of(f), 1)[1, 1], tolerance = 1e-10)
    ci <- predict(f, new[1:2, ], interval = "confidence")
    pi <- predict(f, new[1:2, ], interval = "prediction")
    expect_equal(colnames(ci), c("fit", "lwr", "upr"))
    expect_true(all(pi[, "upr"] - pi[, "lwr"] > ci[, "upr"] - ci[, "lwr"]))
    expect_equal(unname(predict(f, new, re.form = NA)),
      unname(drop(cbind(1, new$floor) %*% fixef(f))))
    expect_equal(predict(f, new[1:2, ], re.form = ~ (1 | county)), predict(f, new[1:2, ]))
    expect_equal(unname(fitted(f) + residuals(f)), radon$log_radon)
  }
  # the variance of a fitted mean is that of the full covariance
  k <- c("beta[(Intercept)]", "beta[floor]", "u[county:Aitkin]")
  c2 <- c(1, 1, 1)
  for (f in list(vb, lrvb, exact)) {
    V <- vcov(f, pars = "all")
    expect_equal(unname(predict(f, new[2, ], se.fit = TRUE)$se.fit)^2,
      drop(c2 %*% V[k, k] %*% c2), tolerance = 1e-10)
  }
})

test_that("safe prediction for poly(), ns() and scale()", {
  set.seed(2)
  d <- data.frame(x = runif(80, 0, 10), g = gl(8, 10))
  d$y <- sin(d$x) + rnorm(8)[d$g] + rnorm(80, 0, .2)
  for (f in list(y ~ poly(x, 3) + (1 | g), y ~ splines::ns(x, 4) + (1 | g),
    y ~ scale(x) + (1 | g), log(y + 10) ~ I(x^2) + (1 | g))) {
    fit <- fit_vb(f, d)
    expect_equal(unname(predict(fit, d[7:9, ])), unname(fitted(fit)[7:9]), tolerance = 1e-10)
  }
})

test_that("tibbles, interactions of groups, missing data argument, dots, contrasts", {
  d <- small_data()
  d$h <- factor(rep(c("p", "q"), 30))
  a <- fit_vb(y ~ x + (1 | g:h), d)
  d$gh <- interaction(d$g, d$h, sep = ":", drop = TRUE)
  b <- fit_vb(y ~ x + (1 | gh), d)
  # groups in another order round otherwise; the axes of the lattice may not depend on it
  expect_equal(sort(ranef(a)[[1]][[1]]), sort(ranef(b)[[1]][[1]]))
  expect_true(all(rownames(ranef(a)[[1]]) %in% levels(d$gh)))
  expect_equal(unname(predict(a, d[1:4, ])), unname(fitted(a)[1:4]))
  y <- d$y
  x <- d$x
  g <- d$g
  expect_equal(fixef(fit_vb(y ~ x + (1 | g))), fixef(fit_vb(y ~ x + (1 | g), d)))
  expect_equal(fixef(fit_vb(y ~ . + (1 | g), d[c("y", "x", "g", "w")])),
    fixef(fit_vb(y ~ x + w + (1 | g), d)))
  expect_equal(fixef(fit_vb(y ~ x + (1 | factor(g)), d)), fixef(fit_vb(y ~ x + (1 | g), d)))
  s <- fit_vb(y ~ h + (1 | g), d, contrasts = list(h = "contr.sum"))
  expect_named(fixef(s), c("(Intercept)", "h1"))
  expect_equal(unname(predict(s, d[1:3, ])), unname(fitted(s)[1:3]))
  expect_equal(fixef(fit_vb(d, y ~ x + (1 | g))), fixef(fit_vb(y ~ x + (1 | g), d)))
  sub <- fit_vb(y ~ x + (1 | g), d, subset = w > 1)
  expect_equal(nobs(sub), sum(d$w > 1))
  skip_if_not_installed("tibble")
  expect_equal(fixef(fit_vb(y ~ x + (1 | g), tibble::as_tibble(d))), fixef(fit_vb(y ~ x + (1 | g), d)))
})

test_that("na.exclude pads, y ~ 1 and y ~ 0 work", {
  d <- small_data()
  d$x[5] <- NA
  f <- fit_vb(y ~ x + (1 | g), d, na.action = na.exclude)
  expect_length(fitted(f), 60)
  expect_true(is.na(fitted(f)[5]) && is.na(residuals(f)[5]))
  expect_length(fitted(fit_vb(y ~ x + (1 | g), d)), 59)
  expect_length(fixef(fit_vb(y ~ 1, d)), 1)
  zero <- fit_vb(y ~ 0 + (1 | g), d)
  expect_length(fixef(zero), 0)
  set.seed(1)
  expect_s3_class(fit_gibbs(zero, chains = 1, iter = 200, warmup = 50), "gibbs_fit")
  expect_output(print(zero), "sigma_u")
})

test_that("update refits with changes, for both engines", {
  d <- small_data()
  f <- fit_vb(y ~ x + (1 | g), d)
  expect_named(fixef(update(f, . ~ . + w)), c("(Intercept)", "x", "w"))
  expect_equal(fixef(update(f, . ~ . - x)), fixef(fit_vb(y ~ (1 | g), d)))
  expect_equal(nobs(update(f, subset = 1:40)), 40)
  set.seed(1)
  g <- fit_gibbs(f, chains = 1, iter = 300, warmup = 100)
  g2 <- update(g, . ~ . + w, iter = 200)
  expect_s3_class(g2, "gibbs_fit")
  expect_equal(g2$iter, 200)
  expect_equal(g2$chains, 1)
  back <- fit_vb(g)
  expect_equal(back$vb$t, f$vb$t)
})

test_that("tidy, glance, augment, confint", {
  t <- tidy(vb, conf.int = TRUE, effects = c("fixed", "ran_pars", "ran_vals"))
  expect_equal(nrow(t), 2 + 2 + 85)
  expect_true(all(c("term", "estimate", "std.error", "conf.low", "conf.high") %in% names(t)))
  expect_equal(nrow(glance(vb)), 1)
  expect_equal(nrow(glance(gibbs)), 1)
  a <- augment(vb)
  expect_equal(a$.fitted + a$.resid, radon$log_radon)
  expect_equal(rownames(confint(vb)), names(fixef(vb)))
  expect_equal(nrow(confint(vb, "all")), 9)
  expect_equal(rownames(confint(gibbs, "sigma_e")), "sigma_e")
})

test_that("tidy as in broom.mixed: levels, coefficients of levels, exponentials", {
  skip_if_not_installed("lme4")
  cbpp <- lme4::cbpp
  f <- fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, family = binomial())
  v <- as.data.frame(tidy(f, "ran_vals"))
  expect_equal(v$level, rownames(ranef(f)$herd))
  expect_equal(v$estimate, ranef(f)$herd[[1]])
  expect_false("level" %in% names(tidy(f)))
  plain <- as.data.frame(tidy(f, "fixed", conf.int = TRUE))
  e <- as.data.frame(tidy(f, "fixed", conf.int = TRUE, exponentiate = TRUE))
  expect_equal(e$estimate, exp(plain$estimate))
  expect_equal(e$std.error, plain$std.error * exp(plain$estimate))
  expect_equal(e$conf.high, exp(plain$conf.high))
  ran <- tidy(f, c("fixed", "ran_pars"), exponentiate = TRUE)
  expect_equal(ran$estimate[5], tidy(f, "ran_pars")$estimate) # SDs are not coefficients
  expect_warning(tidy(vb, exponentiate = TRUE), class = "meanfield_warning_link")
  for (x in list(vb, lrvb, exact, gibbs)) {
    co <- as.data.frame(tidy(x, "ran_coefs", conf.int = TRUE))
    expect_equal(co$estimate, unlist(coef(x)$county, use.names = FALSE))
    at <- data.frame(floor = 0, county = levels(radon$county))
    own <- predict(x, at, se.fit = TRUE, interval = "confidence")
    first <- co$term == "(Intercept)"
    expect_equal(co$std.error[first], unname(own$se.fit))
    expect_equal(co$conf.low[first], unname(own$fit[, "lwr"]))
    expect_equal(co$std.error[!first], rep(sqrt(vcov(x)["floor", "floor"]), 85))
  }
})

test_that("augment on either scale, with broom's residuals", {
  skip_if_not_installed("lme4")
  f <- fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), lme4::cbpp, family = binomial())
  a <- augment(f)
  expect_equal(a$.fitted, unname(predict(f)))
  expect_equal(a$.resid, unname(residuals(f, "deviance")))
  b <- augment(f, type.predict = "response", type.residuals = "response")
  expect_equal(b$.fitted, unname(fitted(f)))
  expect_equal(b$.fitted + b$.resid, with(lme4::cbpp, incidence / size))
})

test_that("weights, deviances and names of rows are those of stats", {
  d <- small_data()
  d$x[5] <- NA
  d$w[9] <- 0
  f <- fit_vb(y ~ x + (1 | g), d, weights = w, na.action = na.exclude)
  expect_equal(weights(f), replace(d$w, 5, NA))
  expect_equal(weights(fit_vb(y ~ x + (1 | g), small_data())), rep(1, 60))
  expect_equal(deviance(f), sum(d$w * (d$y - fitted(f))^2, na.rm = TRUE))
  expect_equal(case.names(f), as.character(setdiff(1:60, c(5, 9))))
  expect_equal(length(case.names(f, full = TRUE)), 59)
  expect_equal(variable.names(f), c("(Intercept)", "x"))
  expect_identical(getCall(f), f$call)
  set.seed(1)
  d <- data.frame(g = gl(6, 10), x = rnorm(60), size = rep(1:5, 12))
  d$n <- rbinom(60, d$size, plogis(d$x))
  d$k <- rpois(60, exp(d$x))
  b <- fit_vb(cbind(n, size - n) ~ x + (1 | g), d, family = binomial())
  expect_equal(weights(b), d$size)
  r <- function(family, y, mu, w) sign(y - mu) * sqrt(family$dev.resids(y, mu, w))
  expect_equal(unname(residuals(b, "deviance")),
    unname(r(binomial(), d$n / d$size, fitted(b), d$size)))
  expect_equal(deviance(b), sum(residuals(b, "deviance")^2))
  p <- fit_vb(k ~ x + (1 | g), d, family = poisson(), weights = size)
  expect_equal(deviance(p), sum(poisson()$dev.resids(d$k, fitted(p), d$size)))
  skip_if_not_installed("MASS")
  nb <- fit_vb(k ~ x + (1 | g), d, family = neg_binomial())
  s <- summary(nb)
  phi <- exp(s$mean[s$variable == "log_phi"])
  expect_equal(deviance(nb), sum(MASS::negative.binomial(phi)$dev.resids(d$k, fitted(nb), rep(1, 60))))
})

test_that("draws in the shapes of base R", {
  for (f in list(vb, exact, gibbs)) {
    set.seed(1)
    d <- as_draws_matrix(f)
    set.seed(1)
    m <- as.matrix(f)
    expect_true(is.matrix(m) && is.numeric(m))
    expect_equal(c(m), c(unclass(d)))
    expect_equal(colnames(m), posterior::variables(d))
    set.seed(1)
    expect_equal(as.data.frame(f)[["sigma_e"]], unname(m[, "sigma_e"]))
  }
  expect_equal(dim(as.array(gibbs, u = FALSE)), c(600, 2, 9))
  expect_equal(nrow(as.matrix(vb, ndraws = 7)), 7)
})

test_that("names in backticks and with colons", {
  set.seed(2)
  d <- data.frame(rnorm(48), rnorm(48), gl(8, 6), factor(rep(c("u v", "w:x"), 24)))
  names(d) <- c("my y", "my x", "a:b", "if")
  f <- fit_vb(`my y` ~ `my x` * `if` + (`my x` | `a:b`), d, integrate = "no")
  terms <- c("(Intercept)", "`my x`", "`if`w:x", "`my x`:`if`w:x")
  expect_named(fixef(f), terms)
  expect_equal(as.data.frame(tidy(f, "fixed"))$term, terms)
  expect_equal(rownames(confint(f)), terms)
  expect_equal(confint(f, "my x"), confint(f, "`my x`"), ignore_attr = TRUE)
  expect_equal(unique(as.data.frame(tidy(f, "ran_vals"))$level), as.character(1:8))
  expect_output(print(f), "sigma_u[a:b:`my x`]", fixed = TRUE)
  expect_equal(unname(predict(f, d[4:5, ])), unname(fitted(f)[4:5]))
  expect_equal(hypothesis(f, "`my x` > 0")$estimate, fixef(f)[["`my x`"]])
  expect_named(fixef(update(f, . ~ . - `my x`:`if`)), terms[-4])
})

test_that("draws of a variational fit have its moments", {
  set.seed(3)
  v <- c("beta[(Intercept)]", "beta[floor]", "u[county:Aitkin]", "u[county:Anoka]", "log_tau_e",
    "log_tau_u[county]")
  for (f in list(vb, lrvb, exact)) {
    V <- vcov(f, pars = "all")
    S <- cov(as.matrix(as_draws(f, ndraws = 20000))[, v])
    # sampling error of a covariance: sqrt((s_ii s_jj + s_ij^2) / n)
    se <- sqrt((tcrossprod(diag(V[v, v])) + V[v, v]^2) / 20000)
    expect_lt(max(abs(S - V[v, v]) / se), 4.5)
  }
  expect_equal(posterior::ndraws(as_draws_rvars(vb, ndraws = 10)), 10)
  expect_s3_class(as_draws_df(gibbs), "draws_df")
  expect_s3_class(as_draws_list(gibbs), "draws_list")
  expect_s3_class(as_draws_matrix(vb, ndraws = 5), "draws_matrix")
})

test_that("posterior predictions: rows of unseen levels share one effect per draw", {
  skip_if_not_installed("rstantools")
  new <- data.frame(floor = c(0, 0, 0), county = c("Atlantis", "Atlantis", "Eldorado"))
  set.seed(4)
  for (f in list(vb, lrvb, exact, gibbs)) {
    e <- rstantools::posterior_epred(f, newdata = new, draws = 500, allow_new_levels = TRUE)
    expect_equal(e[, 1], e[, 2])
    expect_gt(sd(e[, 3] - e[, 1]), 0.2)
    expect_equal(dim(rstantools::posterior_predict(f, draws = 10)), c(10, 919))
    ll <- rstantools::log_lik(f, draws = 10)
    expect_equal(dim(ll), c(10, 919))
    expect_equal(dim(rstantools::posterior_linpred(f, newdata = radon[1:2, ], draws = 7)), c(7, 2))
    expect_equal(dim(simulate(f, 3)), c(919, 3))
  }
  expect_s3_class(rstantools::prior_summary(vb), "data.frame")
})

test_that("hypotheses are linear contrasts with the corrected covariance", {
  h <- hypothesis(vb, c("floor < 0", "Intercept + floor = 1", "2*floor > -1"))
  expect_equal(h$estimate[1], fixef(vb)[["floor"]])
  expect_equal(h$sd[2]^2, sum(vcov(vb)))
  expect_gt(h$prob[1], .99)
  expect_true(is.na(h$prob[2]))
  expect_error(hypothesis(vb, "floor^2 > 1"), class = "meanfield_error_hypothesis")
  expect_error(hypothesis(vb, "nobody > 1"), class = "meanfield_error_hypothesis")
  expect_error(hypothesis(vb, "floor"), class = "meanfield_error_hypothesis")
  d <- small_data()
  d$f <- gl(3, 20, labels = c("a", "b", "c"))
  f <- fit_vb(y ~ x * f, d)
  expect_equal(hypothesis(f, "x:fb - x:fc > 0")$estimate, unname(fixef(f)["x:fb"] - fixef(f)["x:fc"]))
})

test_that("logLik says that it is the ELBO", {
  expect_output(print(logLik(vb)), "ELBO")
  expect_equal(as.numeric(logLik(vb)), vb$vb$elbo)
  expect_error(logLik(gibbs), class = "meanfield_error_engine")
})

test_that("a fit without its rows still predicts, and says what it cannot do", {
  f <- fit_vb(log_radon ~ floor + (1 | county), radon, model = FALSE)
  expect_null(f$model$frame)
  expect_equal(unname(predict(f, radon[1:3, ])), unname(fitted(vb)[1:3]))
  expect_error(fitted(f), class = "meanfield_error_data")
  expect_lt(as.numeric(object.size(f)), as.numeric(object.size(vb)))
})

test_that("fits never touch the generator", {
  set.seed(1)
  before <- .Random.seed
  fit_vb(log_radon ~ floor + (1 | county), radon)
  summary(vb)
  predict(vb)
  expect_identical(.Random.seed, before)
})

test_that("a fit read in a new process gives identical results", {
  skip_on_cran()
  file <- withr::local_tempfile(fileext = ".rds")
  out <- withr::local_tempfile(fileext = ".rds")
  saveRDS(list(vb, gibbs), file)
  code <- sprintf(paste0("library(meanfield); f <- readRDS('%s'); saveRDS(list(summary(f[[1]]), ",
    "vcov(f[[1]]), predict(f[[1]], radon[1:9, ], interval = 'prediction'), summary(f[[2]]), ",
    "fitted(update(f[[1]], . ~ 1 + (1 | county)))), '%s')"), file, out)
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(code, script)
  system2(file.path(R.home("bin"), "Rscript"), shQuote(script), stdout = FALSE, stderr = FALSE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
  there <- readRDS(out)
  expect_identical(there[[1]], summary(vb))
  expect_identical(there[[2]], vcov(vb))
  expect_identical(there[[3]], predict(vb, radon[1:9, ], interval = "prediction"))
  expect_identical(there[[4]], summary(gibbs))
  expect_identical(there[[5]], fitted(update(vb, . ~ 1 + (1 | county))))
})

test_that("plots draw", {
  file <- withr::local_tempfile(fileext = ".pdf")
  grDevices::pdf(file)
  expect_invisible(plot(vb))
  expect_invisible(plot(vb, reference = gibbs, variables = c("sigma_e", "u[county:Aitkin]")))
  expect_invisible(plot(gibbs))
  expect_invisible(plot(sd_ratio_report(vb, gibbs)))
  expect_invisible(plot(sd_ratio_report(vb)))
  expect_error(plot(vb, "nothing"), class = "meanfield_error_control")
  grDevices::dev.off()
  expect_gt(file.size(file), 1000)
})

test_that("a fit made inside a function can be updated outside", {
  make <- function() {
    local <- small_data()
    form <- y ~ x + (1 | g)
    fit_vb(form, data = local)
  }
  f <- make()
  expect_named(fixef(update(f, . ~ . + w)), c("(Intercept)", "x", "w"))
  expect_equal(nobs(update(f, data = small_data(50))), 50)
})

test_that("augment and simulate pad what na.exclude left out", {
  d <- small_data()
  d$x[5] <- NA
  f <- fit_vb(y ~ x + (1 | g), d, na.action = na.exclude)
  expect_equal(nrow(augment(f, data = d)), 60)
  expect_true(is.na(augment(f, data = d)$.fitted[5]))
  set.seed(1)
  expect_equal(nrow(simulate(f)), 60)
  o <- fit_vb(y ~ x + (1 | g), d)
  expect_true(is.na(augment(o, data = d)$.fitted[5]))
})

test_that("simulate(seed = ) leaves the generator where it was", {
  set.seed(1)
  before <- .Random.seed
  a <- simulate(vb, seed = 3)
  expect_identical(.Random.seed, before)
  expect_identical(a, simulate(vb, seed = 3))
  expect_false(is.null(attr(a, "seed")))
})

test_that("models without coefficients have all their methods", {
  d <- small_data()
  f <- fit_vb(y ~ 0 + (1 | g), d)
  set.seed(1)
  g <- fit_gibbs(f, chains = 2, iter = 300, warmup = 100)
  for (x in list(f, g)) {
    expect_length(fitted(x), 60)
    expect_equal(dim(vcov(x)), c(0, 0))
    expect_equal(nrow(augment(x)), 60)
    expect_equal(nrow(ranef(x)$g), 7)
  }
  expect_s3_class(sd_ratio_report(f, g), "sd_ratio_report")
  expect_error(hypothesis(f, "x > 0"), class = "meanfield_error_hypothesis")
})

test_that("hypotheses reach awkward names and run nothing but arithmetic", {
  d <- small_data()
  d$`my x` <- d$x
  f <- fit_vb(y ~ `my x`, d)
  expect_equal(hypothesis(f, "`my x` > 0")$estimate, unname(fixef(f)[2]))
  expect_error(hypothesis(f, "system('true') > 0"), class = "meanfield_error_hypothesis")
  expect_error(hypothesis(f, "0 > 0"), class = "meanfield_error_hypothesis")
})

test_that("a model without fixed effects has no interval of them, and no error", {
  fit <- fit_vb(Reaction ~ 0 + (1 | Subject), lme4::sleepstudy)
  expect_identical(dim(confint(fit)), c(0L, 2L))
  expect_identical(nrow(confint(fit, "all")), nrow(summary(fit)))
  expect_error(confint(fit, 1), class = "meanfield_error")
})
