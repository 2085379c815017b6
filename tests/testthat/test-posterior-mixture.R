# The integrated default of fit_vb() and fit_exact() on random models and real data: bounds, errors
# that are honest, Gibbs, and when a fit is integrated.

# ---- random models -------------------------------------------------------------------

# A random small model: formula, data, prior, and whether a mean-field ELBO exists for both blocks.
random_model <- function(seed) {
  set.seed(seed)
  n <- sample(10:40, 1)
  d <- data.frame(x = rnorm(n), z = rnorm(n), g = factor(sample(2:7, 1) * runif(n) %/% 1),
    h = factor(sample(3, n, TRUE)))
  s <- exp(rnorm(3, 0, 1))
  d$y <- 10 * rnorm(1) + d$x + s[1] * rnorm(8)[d$g] + s[2] * rnorm(3)[d$h] + s[3] * rnorm(n)
  if (nlevels(d$g) < 2) d$g <- factor(rep(1:2, length.out = n))
  sd_prior <- function() {
    if (runif(1) < 0.5) half_t_prior(sample(2:7, 1), exp(rnorm(1))) else
      gamma_prior(exp(rnorm(1)), exp(rnorm(1)))
  }
  formula <- list(y ~ x, y ~ x + (1 | g), y ~ 0 + x + (1 | g), y ~ z + (1 | g) + (1 | h),
    y ~ x + (x || g), y ~ x + (x | g))[[sample(6, 1, prob = c(2, 4, 2, 3, 2, 1))]]
  vector <- grepl("x | g", deparse(formula), fixed = TRUE)
  tau_u <- if (vector && runif(1) < 0.5) {
    wishart_prior(4 + rexp(1), crossprod(matrix(rnorm(4), 2)) + diag(2))
  } else if (vector) half_t_prior(2, exp(rnorm(2))) else sd_prior()
  beta <- if (runif(1) < 0.3 && nlevels(d$g) > 3) flat_prior() else normal_prior(rnorm(1), 1 + rexp(1, 0.2))
  prior <- if (runif(1) < 0.2) default_priors() else priors(beta, sd_prior(), tau_u)
  d$w <- if (runif(1) < 0.3) runif(n, 0.3, 3) else 1
  list(formula = formula, data = d, prior = prior, vector = vector)
}

test_that("the ELBO never exceeds the log evidence", {
  skip_below_level(2)
  gap <- vapply(1:200, function(seed) {
    m <- random_model(seed)
    suppressWarnings({
      fit <- fit_vb(m$formula, m$data, prior = m$prior, weights = w, integrate = "no")
      exact <- fit_exact(fit, tol = 0.1)
      apart <- if (length(fit$model$groups)) fit_vb(fit, blocks = "separate", integrate = "no") else fit
    })
    c(exact$log_evidence - fit$vb$elbo, fit$vb$elbo - apart$vb$elbo, exact$error)
  }, numeric(3))
  expect_gt(min(gap[1, ]), 0)
  expect_gt(min(gap[2, ]), -1e-6) # nested families
  expect_lt(median(gap[1, ]), 3)  # and the bound is a bound, not a wild guess
})

# Largest error of a mean or SD of any row, in posterior SDs.
worst_error <- function(s, ref) {
  s <- by_name(s)
  ref <- by_name(ref)
  at <- is.finite(ref$sd)
  max(abs(s$mean - ref$mean)[at] / ref$sd[at], abs(s$sd / ref$sd - 1)[at])
}
finest <- function(fit, tol = 1e-7) {
  suppressWarnings(fit_exact(fit, tol = tol))
}

test_that("the reported error is near the true one", {
  skip_below_level(2)
  errors <- vapply(301:324, function(seed) {
    m <- random_model(seed)
    suppressWarnings({
      fit <- fit_vb(m$formula, m$data, prior = m$prior, weights = w, integrate = "yes")
      loose <- fit_exact(fit, tol = 0.3)
      best <- if (m$vector || length(fit$model$groups) > 1) finest(fit, 1e-5) else finest(fit)
    })
    ref <- summary(best)
    c(worst_error(summary(fit), ref) / fit$integrated$error,
      worst_error(summary(loose), ref) / loose$error)
  }, numeric(2))
  # an estimate, neither a bound nor far off
  expect_lt(max(errors), 3)
  expect_gt(median(errors), .1)
})

# ---- against Gibbs and over real data ------------------------------------------------

# Means and SDs in Monte Carlo standard errors.
expect_gibbs <- function(s, gibbs, what, limit = tol_mcse) {
  s <- by_name(s)
  g <- by_name(summary(gibbs))
  s <- s[rownames(g), ]
  at <- is.finite(s$sd) & !grepl("^(Lambda|tau_u)", rownames(g))
  z <- c((s$mean - g$mean)[at] / g$mcse_mean[at], (s$sd - g$sd)[at] / g$mcse_sd[at])
  expect_lt(max(abs(z)), limit, label = what)
}

test_that("fit_exact equals Gibbs: slopes, crossed factors, radon", {
  skip_below_level(2)
  skip_if_not_installed("lme4")
  cases <- list(
    list(Reaction ~ Days + (Days | Subject), lme4::sleepstudy),
    list(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin),
    list(log_radon ~ floor + (1 | county), radon)
  )
  for (case in cases) {
    vb <- fit_vb(case[[1]], case[[2]], integrate = "no")
    exact <- fit_exact(vb, tol = 1e-3)
    set.seed(1)
    gibbs <- fit_gibbs(vb, chains = 4, iter = 6000, warmup = 500, save_u = FALSE)
    expect_equal(exact$method, "lattice")
    expect_gibbs(summary(exact), gibbs, deparse1(case[[1]]))
    # importance points know the same integral
    other <- by_importance(vb)
    expect_lt(other$khat, 0.7)
    expect_gibbs(summary(other), gibbs, paste("importance,", deparse1(case[[1]])))
    expect_lt(abs(other$log_evidence - exact$log_evidence), 0.02)
    expect_lt(worst_error(summary(other), summary(exact)), 0.05)
  }
})

test_that("the default fit is the exact one on real data", {
  skip_below_level(2)
  for (package in c("lme4", "nlme", "MASS")) skip_if_not_installed(package)
  frame <- function(name, package) as.data.frame(getExportedValue(package, name))
  cases <- list(
    sleepstudy = list(Reaction ~ Days + (Days | Subject), frame("sleepstudy", "lme4")),
    Penicillin = list(diameter ~ 1 + (1 | plate) + (1 | sample), frame("Penicillin", "lme4")),
    Pastes = list(strength ~ 1 + (1 | batch / cask), frame("Pastes", "lme4")),
    Oats = list(yield ~ nitro * Variety + (1 | Block / Variety), frame("Oats", "nlme")),
    Machines = list(score ~ Machine + (1 | Worker / Machine), frame("Machines", "nlme")),
    Dyestuff = list(Yield ~ 1 + (1 | Batch), frame("Dyestuff", "lme4")),
    Dyestuff2 = list(Yield ~ 1 + (1 | Batch), frame("Dyestuff2", "lme4")),
    Orthodont = list(distance ~ age * Sex + (age | Subject), frame("Orthodont", "nlme")),
    Oxboys = list(height ~ age + (age | Subject), frame("Oxboys", "nlme")),
    ChickWeight = list(weight ~ Time * Diet + (Time | Chick), as.data.frame(datasets::ChickWeight)),
    cake = list(angle ~ temperature * recipe + (1 | replicate), frame("cake", "lme4")),
    Rail = list(travel ~ 1 + (1 | Rail), frame("Rail", "nlme")),
    petrol = list(Y ~ SG + EP + (1 | No), frame("petrol", "MASS")),
    cars = list(dist ~ speed, datasets::cars)
  )
  gam <- priors(flat_prior(), gamma_prior(0.01, 0.01), gamma_prior(0.01, 0.01))
  check <- function(case, name, ...) suppressWarnings({
    fit <- fit_vb(case[[1]], case[[2]], ...)
    exact <- fit_exact(fit, tol = 5e-3)
    s <- by_name(summary(fit))
    r <- by_name(summary(exact))
    at <- grepl("^(beta|log_tau|log_sigma)", r$variable) & is.finite(r$sd)
    far <- fit$integrated$method %||% "lattice" == "importance"
    expect_lt(max(abs(s$mean - r$mean)[at] / r$sd[at]), if (far) 0.05 else 0.03, label = name)
    expect_lt(max(abs(s$sd / r$sd - 1)[at]), if (far) 0.04 else 0.02, label = name)
  })
  for (name in names(cases)) check(cases[[name]], name)
  for (name in c("Penicillin", "Pastes", "Oats", "Machines", "Dyestuff", "cake", "Rail", "petrol", "cars")) {
    check(cases[[name]], paste(name, "gamma"), prior = gam)
  }
})

# ---- what it says --------------------------------------------------------------------

test_that("integrate says what it did", {
  set.seed(1)
  big <- data.frame(x = rnorm(3000))
  big$y <- big$x + rnorm(3000)
  fit <- fit_vb(y ~ x, big)
  expect_null(fit$integrated)
  expect_identical(fit$not_integrated, "not needed")
  expect_equal(unique(summary(fit)$source), "lrvb")
  yes <- fit_vb(fit, integrate = "yes")
  expect_equal(unique(summary(yes)$source), "integrated")
  # the rule's promise: less than 1% of any SD
  expect_lt(max(abs(summary(fit)$sd / summary(yes)$sd - 1)), 0.01)
  # a variance of 2 / 98 for log tau_e is above the limit
  expect_equal(unique(summary(fit_vb(y ~ x, big[1:100, ]))$source), "integrated")
  d <- exact_data()
  expect_null(fit_vb(y ~ x + (1 | g), d, integrate = "no")$integrated)
  expect_equal(unique(summary(fit_vb(y ~ x + (1 | g), d))$source), "integrated")
})

test_that("a posterior without moments says so", {
  set.seed(1)
  d <- data.frame(x = rnorm(20), g = rep(1:2, 10))
  d$y <- d$x + rnorm(20) + d$g
  p <- priors(flat_prior(), gamma_prior(.01, .01), gamma_prior(.01, .01))
  expect_warning(fit <- fit_vb(y ~ x + (1 | g), d, prior = p), class = "meanfield_warning_moments")
  expect_warning(fit_exact(fit), class = "meanfield_warning_moments")
  expect_no_warning(fit_exact(y ~ x + (1 | g), d, prior = priors(normal_prior(0, 10))))
})
