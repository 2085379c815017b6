# Shares of variance, singular fits, the budget of a prediction.

test_that("icc and r2 against their definitions", {
  vb <- fit_vb(log_radon ~ floor + (1 | county), radon)
  set.seed(1)
  gibbs <- fit_gibbs(vb, chains = 2, iter = 3000)
  d <- as_draws_matrix(gibbs, u = FALSE)
  u <- as.numeric(d[, "sigma_u[county]"])^2
  e <- as.numeric(d[, "sigma_e"])^2
  f <- as.numeric(d[, "beta[floor]"])^2 * mean((radon$floor - mean(radon$floor))^2)
  expect_equal(icc(gibbs)$mean, mean(u / (u + e)), tolerance = 1e-10)
  expect_equal(r2(gibbs)$mean, c(mean(f / (f + u + e)), mean((f + u) / (f + u + e))), tolerance = 1e-10)
  expect_equal(icc(vb)$mean, icc(gibbs)$mean, tolerance = .05)
  expect_equal(r2(vb)$sd, r2(gibbs)$sd, tolerance = .15)
  expect_error(icc(fit_vb(log_radon ~ floor, radon)), class = "meanfield_error_groups")
  lin <- r2(fit_vb(log_radon ~ floor, radon))
  expect_equal(lin$mean[1], summary(lm(log_radon ~ floor, radon))$r.squared, tolerance = .05)
  set.seed(2)
  x <- rep(c(-1, 0, 2), 40)
  g <- gl(12, 10)
  y <- rnorm(12)[g] + rnorm(12)[g] * x + rnorm(120)
  s <- fit_vb(y ~ x + (x | g))
  A <- s$model$groups[[1]]$A
  V <- A %*% group_covariance(posterior_of(s), 1) %*% t(A)
  z <- cbind(1, x)
  mean_var <- mean(rowSums((z %*% V) * z))
  expect_equal(icc(s)$mean, mean_var / (mean_var + sigma(s)^2), tolerance = .05)
  three <- suppressWarnings(fit_vb(y ~ x + (x | g) + (1 | factor(x))))
  expect_equal(icc(three)$variable, c("icc", "icc[g]", "icc[factor(x)]"))
})

test_that("icc and r2 of counts: the log-normal approximation, whatever the spelling of an offset", {
  set.seed(410)
  d <- data.frame(g = gl(15, 8), x = rnorm(120), e = runif(120, 1, 9))
  d$y <- rpois(120, exp(.2 + .3 * d$x + rnorm(15, 0, .6)[d$g]) * d$e)
  shares <- function(fit, phi) { # from the draws and the definition
    m <- as.matrix(fit)
    u <- m[, "sigma_u[g]"]^2
    e <- log(1 + 1 / mean(d$y) + if (phi) 1 / m[, "phi"] else 0)
    f <- m[, "beta[x]"]^2 * mean((d$x - mean(d$x))^2)
    c(mean(u / (u + e)), mean(f / (f + u + e)), mean((f + u) / (f + u + e)))
  }
  for (family in list(poisson(), neg_binomial())) {
    a <- fit_vb(y ~ x + offset(log(e)) + (1 | g), d, family = family)
    b <- fit_vb(y ~ x + (1 | g), d, family = family, offset = log(e))
    set.seed(1)
    g <- suppressWarnings(fit_gibbs(a, chains = 2, iter = 600, warmup = 200))
    phi <- family$family == "neg_binomial"
    expect_equal(c(icc(g)$mean, r2(g)$mean), shares(g, phi))
    set.seed(1)
    one <- c(icc(a)$mean, r2(a)$mean)
    set.seed(1)
    expect_equal(c(icc(b)$mean, r2(b)$mean), one)
  }
  expect_error(icc(fit_vb(y ~ x, d, family = poisson())), class = "meanfield_error_groups")
  w <- fit_vb(y ~ x + (1 | g), d, family = poisson(), model = FALSE)
  expect_error(icc(w), class = "meanfield_error_data")
})

test_that("r2 of interactions, whose columns engines see in other coordinates", {
  set.seed(4)
  d <- data.frame(x = rnorm(80, 3), z = rnorm(80, -2), g = gl(8, 10))
  d$y <- d$x - d$z + d$x * d$z / 3 + rnorm(8)[d$g] + rnorm(80)
  f <- fit_vb(y ~ x * z + (x | g), d)
  set.seed(1)
  g <- fit_gibbs(f, chains = 2, iter = 800, warmup = 200)
  m <- as.matrix(g, u = FALSE)
  X <- model.matrix(g)
  fixed <- apply(m[, 1:4] %*% t(X), 1, function(eta) mean((eta - mean(eta))^2))
  s <- cbind(m[, "sigma_u[g:(Intercept)]"], m[, "sigma_u[g:x]"])
  rho <- m[, "rho_u[g:(Intercept),x]"]
  u <- s[, 1]^2 + 2 * rho * s[, 1] * s[, 2] * mean(d$x) + s[, 2]^2 * mean(d$x^2)
  e <- m[, "sigma_e"]^2
  expect_equal(r2(g)$mean, c(mean(fixed / (fixed + u + e)), mean((fixed + u) / (fixed + u + e))))
  expect_equal(icc(g)$mean, mean(u / (u + e)))
})

test_that("icc of trials: the logistic distribution's variance", {
  skip_if_not_installed("lme4")
  f <- fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), lme4::cbpp, family = binomial())
  set.seed(1)
  g <- fit_gibbs(f, chains = 2, iter = 600, warmup = 200)
  u <- as.matrix(g)[, "sigma_u[herd]"]^2
  expect_equal(icc(g)$mean, mean(u / (u + pi^2 / 3)))
})

test_that("singular fits are told", {
  expect_false(isSingular(fit_vb(log_radon ~ floor + (1 | county), radon)))
  skip_if_not_installed("lme4")
  f <- fit_vb(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  expect_true(isSingular(f))
  expect_equal(attr(isSingular(f), "terms"), "tau_u[Batch]")
  m <- suppressMessages(lme4::lmer(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2))
  expect_true(isSingular(m))
})

test_that("the variance budget of a prediction adds up", {
  fit <- fit_vb(log_radon ~ floor + (1 | county), radon)
  new <- data.frame(floor = c(0, 1), county = c("Aitkin", "nowhere"))
  b <- predict(fit, new, allow_new_levels = TRUE, budget = TRUE)
  p <- predict(fit, new, allow_new_levels = TRUE, interval = "prediction", se.fit = TRUE)
  expect_equal(b$fit, unname(p$fit[, "fit"]))
  expect_equal(b$sd, unname(p$se.fit), tolerance = 1e-4)
  expect_equal(b$sd^2, b$fixed + b$group + b$residual)
  m <- moments(posterior_of(fit))
  expect_equal(b$group[2], group_covariance(posterior_of(fit), 1)[1, 1])
  expect_equal(b$residual, rep(m$sigma2_e, 2))
})
