# fit_exact() and the integrated default of fit_vb() against brute force (helper-exact.R), Gibbs,
# each other and themselves.

exact_data <- function(n = 18, G = 5, seed = 4) {
  set.seed(seed)
  d <- data.frame(x = rnorm(n, 2), g = factor(rep(seq_len(G), length.out = n)),
    w = runif(n, 0.5, 2), o = rnorm(n))
  d$y <- 1 + 0.5 * d$x + rnorm(G)[d$g] + rnorm(n) + d$o
  d
}
by_name <- function(s) `rownames<-`(as.data.frame(s), s$variable)

# Every mean and SD in posterior SDs, the distribution at both quantiles, and the evidence.
expect_brute <- function(fit, b, tol = 1e-6, log_tau_quantiles = TRUE) {
  s <- by_name(summary(fit, pars = "u"))
  theta <- brute_theta(b)
  sd <- sqrt(diag(theta$cov))
  names <- grep("^(beta|u)\\[", s$variable, value = TRUE)
  expect_length(names, length(sd))
  expect_lt(b$edge, 1e-15)
  expect_lt(max(abs(s[names, "mean"] - theta$mean) / sd), tol)
  expect_lt(max(abs(s[names, "sd"] / sd - 1)), tol)
  for (i in seq_along(names)) {
    expect_lt(abs(brute_theta_cdf(b, i, s[names[i], "q2.5"]) - 0.025), tol)
    expect_lt(abs(brute_theta_cdf(b, i, s[names[i], "q97.5"]) - 0.975), tol)
  }
  taus <- grep("^log_tau", s$variable, value = TRUE)
  expect_length(taus, ncol(b$l))
  for (k in seq_along(taus)) {
    check <- function(name, x) {
      ref <- brute_moments(b, x)
      if (is.na(s[name, "mean"])) return(expect_false(is.numeric(b$m$u[[k - 1]]$prior)))
      expect_lt(abs(s[name, "mean"] - ref[["mean"]]) / ref[["sd"]], tol)
      expect_lt(abs(s[name, "sd"] / ref[["sd"]] - 1), tol)
    }
    sigma <- sub("log_tau", "sigma", taus[k])
    check(taus[k], b$l[, k])
    check(sub("log_", "", taus[k]), exp(b$l[, k]))
    check(sigma, exp(-b$l[, k] / 2))
    # the quantiles of tau and sigma are those of log tau
    q <- unlist(s[taus[k], c("q2.5", "q97.5")])
    expect_close(unlist(s[sub("log_", "", taus[k]), c("q2.5", "q97.5")]), exp(q), 1e-8)
    expect_close(unlist(s[sigma, c("q97.5", "q2.5")]), exp(-q / 2), 1e-8)
    if (log_tau_quantiles) {
      expect_lt(abs(brute_log_tau_cdf(b, k, q[[1]]) - 0.025), tol)
      expect_lt(abs(brute_log_tau_cdf(b, k, q[[2]]) - 0.975), tol)
    }
  }
  expect_lt(abs(fit$log_evidence - b$log_evidence), 1e-8)
}

test_that("one precision: fit_exact equals brute force", {
  d <- exact_data()
  X <- cbind(1, d$x)
  expect_brute(
    fit_exact(y ~ x, d, prior = priors(normal_prior(0, 3), gamma_prior(2, 1))),
    brute_posterior(brute_model(X, d$y, mean = c(0, 0), cov = diag(9, 2), e = c(2, 1))))
  # flat coefficients, relative to Lebesgue measure; half-t; weights, one of them zero; offset
  d$w0 <- replace(d$w, 3, 0)
  expect_brute(
    fit_exact(y ~ x, d, weights = w0, offset = o, prior = priors(flat_prior(), half_t_prior(3, 1.5))),
    brute_posterior(brute_model(X, d$y, d$w0, d$o, e = list(df = 3, scale = 1.5))))
  # no intercept, a full prior covariance
  V <- matrix(c(2, 0.8, 0.8, 1), 2)
  d$x2 <- d$x^2 / 3
  expect_brute(
    fit_exact(y ~ 0 + x + x2, d, prior = priors(normal_prior(c(1, -1), cov = V), gamma_prior(1, 1))),
    brute_posterior(brute_model(cbind(d$x, d$x2), d$y, mean = c(1, -1), cov = V, e = c(1, 1))))
})

test_that("two precisions: fit_exact equals brute force", {
  d <- exact_data()
  X <- cbind(1, d$x)
  expect_brute(
    fit_exact(y ~ x + (1 | g), d, prior = priors(normal_prior(0, 3), gamma_prior(2, 1),
      gamma_prior(1.5, 0.7))),
    brute_posterior(brute_model(X, d$y, mean = c(0, 0), cov = diag(9, 2), e = c(2, 1),
      u = list(list(g = d$g, prior = c(1.5, 0.7)))), 0.4))
})

test_that("two precisions: weights, offset, flat and half-t priors, slopes without intercept", {
  skip_below_level(2)
  d <- exact_data()
  X <- cbind(1, d$x)
  expect_brute(
    fit_exact(y ~ x + (1 | g), d, weights = w, offset = o,
      prior = priors(flat_prior(), half_t_prior(3, 1.5), half_t_prior(4, 2))),
    brute_posterior(brute_model(X, d$y, d$w, d$o, e = list(df = 3, scale = 1.5),
      u = list(list(g = d$g, prior = list(df = 4, scale = 2)))), 0.45),
    log_tau_quantiles = FALSE)
  expect_brute(
    fit_exact(y ~ 0 + x + (0 + x | g), d, weights = w,
      prior = priors(normal_prior(1, 2), gamma_prior(2, 1), half_t_prior(2, 1))),
    brute_posterior(brute_model(X[, 2, drop = FALSE], d$y, d$w, mean = 1, cov = matrix(4),
      e = c(2, 1), u = list(list(Z = indicator(d$g) * d$x, r = 1, prior = list(df = 2, scale = 1)))),
      0.45),
    log_tau_quantiles = FALSE)
})

# ---- evidence ---------------------------------------------------------------------------

test_that("evidence of a regression: closed form and numerical integral", {
  d <- exact_data(40)
  X <- cbind(1, d$x)
  n <- nrow(X)
  # flat beta, gamma precision: everything is a gamma integral
  fit <- fit_exact(y ~ x, d, prior = priors(flat_prior(), gamma_prior(1.7, 2.3)), tol = 1e-8)
  rss <- sum(lm.fit(X, d$y)$residuals^2)
  a <- 1.7 + (n - 2) / 2
  closed <- -(n - 2) / 2 * log(2 * pi) - determinant(crossprod(X))$modulus[1] / 2 +
    1.7 * log(2.3) - lgamma(1.7) + lgamma(a) - a * log(2.3 + rss / 2)
  expect_lt(abs(fit$log_evidence - closed), 1e-9)
  # a normal prior: one integral over log tau by another rule than the trapezoid
  fit <- fit_exact(y ~ x, d, prior = priors(normal_prior(c(1, 0), c(2, 1)), half_t_prior(5, 2)))
  m <- brute_model(X, d$y, mean = c(1, 0), cov = diag(c(4, 1)), e = list(df = 5, scale = 2))
  f <- Vectorize(function(l) brute_log_density(m, l))
  top <- optimize(f, c(-5, 5), maximum = TRUE)
  z <- integrate(function(l) exp(f(l) - top$objective), top$maximum - 12, top$maximum + 6,
    rel.tol = 1e-12, subdivisions = 1000)$value
  expect_lt(abs(fit$log_evidence - top$objective - log(z)), 1e-8)
})

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

# f(phi) at random points against the dense marginal, all priors and the numerical Jacobian.
test_that("log densities of vector, nested and crossed terms equal the dense formula", {
  set.seed(9)
  n <- 24
  d <- data.frame(x = rnorm(n), z = rnorm(n), g = factor(rep(1:4, 6)), h = factor(sample(3, n, TRUE)),
    w = runif(n, 0.5, 2))
  d$y <- 3 + d$x + rnorm(4)[d$g] * d$x + rnorm(n)
  X <- cbind(1, d$x)
  W <- matrix(c(2, 0.6, 0.6, 1), 2)
  W3 <- crossprod(matrix(rnorm(9), 3)) + diag(3)
  wide <- function(g, Z) { # columns ordered level by level
    do.call(cbind, lapply(levels(g), function(l) (g == l) * Z))
  }
  cases <- list(
    list(y ~ x + (x | g), list(g = half_t_prior(2, c(1, 3))),
      list(list(Z = wide(d$g, X), r = 2, p = function(L) log_huang_wand(L, 2, c(1, 3))))),
    list(y ~ x + (x | g) + (1 | h), list(g = wishart_prior(4, W), h = half_t_prior(3, 2)),
      list(list(Z = wide(d$g, X), r = 2, p = function(L) log_wishart(L, 4, W)),
        list(Z = indicator(d$h), r = 1, p = function(L) log_prior_l(list(df = 3, scale = 2), log(L)) - log(L)))),
    list(y ~ x + (1 | g) + (z | h), list(g = gamma_prior(2, 1), h = half_t_prior(4, c(2, 1))),
      list(list(Z = indicator(d$g), r = 1, p = function(L) dgamma(L, 2, 1, log = TRUE)),
        list(Z = wide(d$h, cbind(1, d$z)), r = 2, p = function(L) log_huang_wand(L, 4, c(2, 1))))),
    list(y ~ x + (x + z | g), list(g = wishart_prior(5.5, W3)),
      list(list(Z = wide(d$g, cbind(X, d$z)), r = 3, p = function(L) log_wishart(L, 5.5, W3)))),
    list(y ~ x + (x + z | g), list(g = half_t_prior(3, c(1, 2, 3))),
      list(list(Z = wide(d$g, cbind(X, d$z)), r = 3, p = function(L) log_huang_wand(L, 3, 1:3))))
  )
  for (flat in c(FALSE, TRUE)) for (case in cases) {
    fit <- suppressWarnings(fit_vb(case[[1]], d, weights = w, integrate = "no", prior = priors(
      if (flat) flat_prior() else normal_prior(c(1, 0), c(3, 2)), half_t_prior(3, 1), case[[2]])))
    core <- meanfield:::lmm_core(fit$model)
    centre <- meanfield:::vb_centre(core, fit$vb)
    names <- vapply(fit$model$groups, function(t) t$factor, 0L)
    # terms in the fit's own order
    own <- vapply(fit$model$groups, function(t) t$name, "")
    order <- vapply(own, function(nm) {
      which(vapply(case[[3]], function(u) length(fit$model$groups[[match(nm, own)]]$coef) == u$r, NA))[1]
    }, 0L)
    u <- case[[3]][order]
    m <- brute_model(X, d$y, d$w, mean = c(1, 0), cov = if (!flat) diag(c(9, 4)),
      e = list(df = 3, scale = 1), u = u)
    index <- meanfield:::stat_index(fit$model)
    phi <- matrix(rnorm(4 * length(unlist(index)), 0, 0.7), ncol = 4)
    got <- meanfield:::call_nest_log_density(core, centre, phi)
    expected <- apply(phi, 2, function(f) {
      L <- lapply(index[-1], function(at) brute_scale_free(f[at]))
      jacobian <- sum(vapply(index[-1], function(at) brute_jacobian(f[at]), 0))
      brute_conditional(m, exp(f[1]), L, FALSE)$log + log_prior_l(m$e, f[1]) + jacobian +
        sum(mapply(function(t, l) t$p(l), u, L))
    })
    expect_lt(max(abs(got - expected)), 1e-7, label = deparse(case[[1]]))
  }
})

# The density of a precision matrix over its scale-free coordinates, seen through a model whose data
# are taken away.
test_that("half-t and Wishart priors of matrices are normalised, each SD is half-t", {
  d <- exact_data(30)
  no_data <- function(prior) {
    fit <- fit_vb(y ~ x + (x | g), d, integrate = "no",
      prior = priors(normal_prior(0, 2), gamma_prior(2, 1), prior))
    core <- meanfield:::lmm_core(fit$model)
    centre <- meanfield:::vb_centre(core, fit$vb)
    for (part in c("global", "leaf", "cross", "h", "yy", "n", "sum_log_w")) core[[part]] <- 0 * core[[part]]
    centre$grad <- 0 * centre$grad
    centre$rss <- 0
    function(phi) { # tau_e at one, its own density divided out
      meanfield:::call_nest_log_density(core, centre, rbind(0, t(phi))) - dgamma(1, 2, 1, log = TRUE)
    }
  }
  h <- 0.4
  for (case in list(list(p = half_t_prior(3, c(1, 4)), df = 3), list(p = half_t_prior(2, c(1, 4)), df = 2))) {
    f <- no_data(case$p)
    # x_aa = -2 log SD, with tails exp(-x / 2) and exp(df x / 2); x_21 = atanh of the correlation
    a <- seq(-52 / case$df, 28, 2 * h)
    grid <- as.matrix(expand.grid(a, seq(-12, 12, h), a))
    p <- exp(f(grid))
    expect_lt(abs(sum(p) * 4 * h^3 - 1), 1e-4)
    # given x_22, the density of the second SD: half-t(df, 4), on its scale
    g <- as.matrix(expand.grid(seq(-52, 52, h), seq(-16, 16, h)))
    for (x22 in c(-2, 1)) {
      s <- exp(-x22 / 2)
      expect_close(sum(exp(f(cbind(g, x22)))) * h^2, dt(s / 4, case$df) / 4 * s, 1e-6)
    }
  }
  W <- matrix(c(1, 0.4, 0.4, 0.6), 2)
  f <- no_data(wishart_prior(5, W))
  h <- 0.25
  grid <- as.matrix(expand.grid(seq(-14, 5, 2 * h), seq(-6, 6, h), seq(-14, 5, 2 * h)))
  expect_lt(abs(sum(exp(f(grid))) * 4 * h^3 - 1), 1e-6)
})

test_that("scale-free coordinates: inverse, meaning and Jacobian", {
  set.seed(2)
  for (r in 1:3) {
    x <- rnorm(r * (r + 1) / 2)
    L <- brute_scale_free(x)
    t <- L[lower.tri(L, diag = TRUE)]
    expect_close(meanfield:::from_scale_free(matrix(x, 1)), t, 1e-12)
    expect_lt(max(abs(meanfield:::scale_free(t) - x)), 1e-12)
    own <- meanfield:::lower_pairs(r)
    expect_lt(max(abs(x[own$row == own$col] + log(diag(solve(L))))), 1e-12)
    if (r == 2) expect_lt(abs(tanh(x[2]) - cov2cor(solve(L))[2, 1]), 1e-12)
  }
})

# ---- honesty of the error ------------------------------------------------------------------

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

test_that("the reported error is above the true one", {
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
  expect_lt(max(errors), 1)
})

# ---- against Gibbs and over real data ----------------------------------------------------------

# Means and SDs in Monte Carlo standard errors.
expect_gibbs <- function(s, gibbs, what, limit = tol_mcse) {
  s <- by_name(s)
  g <- by_name(summary(gibbs))
  s <- s[rownames(g), ]
  at <- is.finite(s$sd) & !grepl("^(Lambda|tau_u)", rownames(g))
  z <- c((s$mean - g$mean)[at] / g$mcse_mean[at], (s$sd - g$sd)[at] / g$mcse_sd[at])
  expect_lt(max(abs(z)), limit, label = what)
}

# The same posterior from importance points instead of a lattice.
by_importance <- function(fit, points = 20000) {
  model <- fit$model
  core <- meanfield:::lmm_core(model)
  centre <- meanfield:::vb_centre(core, fit$vb)
  target <- meanfield:::gaussian_target(core, centre)
  top <- meanfield:::find_mode(target, meanfield:::nest_start(fit$posterior$tau))
  settings <- meanfield:::nest_settings("exact")
  settings$points <- points
  nodes <- meanfield:::importance_nodes(target, top, settings)
  nodes <- c(nodes, list(centre = centre,
    stats = meanfield:::phi_statistics(nodes$phi, meanfield:::stat_index(model))),
    meanfield:::mixture_moments(model, core, centre, nodes))
  structure(list(call = fit$call, model = model, log_evidence = nodes$log_evidence,
    elbo = fit$vb$elbo, method = "importance", error = nodes$error, khat = nodes$khat,
    integrated = nodes, vb = fit$vb, draws = 10000), class = c("exact_fit", "meanfield_fit"))
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

# ---- draws, covariances, predictions --------------------------------------------------------------

test_that("draws have the summary's moments and quantiles", {
  d <- exact_data(40, 8)
  d$z <- d$w - 1
  fits <- list(
    scalar = fit_exact(y ~ x + (1 | g), d),
    vector = fit_exact(y ~ x + (x | g), d, tol = 0.02),
    importance = by_importance(fit_vb(y ~ x + (x | g), d, integrate = "no"))
  )
  set.seed(7)
  for (name in names(fits)) {
    fit <- fits[[name]]
    n <- 20000
    x <- as.matrix(as_draws_matrix(fit, ndraws = n))
    s <- by_name(summary(fit, pars = "u"))
    expect_setequal(colnames(x), rownames(s))
    x <- x[, rownames(s)]
    ok <- is.finite(s$sd) & !grepl("^(Lambda|tau_u)", rownames(s))
    # resampled importance points are the sample's, not the posterior's: their own error on top
    slack <- if (name == "importance") fit$error * sqrt(n) else 0
    z <- abs(colMeans(x) - s$mean)[ok] / (s$sd[ok] / sqrt(n))
    expect_lt(max(z), tol_mcse + slack, label = paste(name, "means"))
    kurt <- apply(x[, ok], 2, function(v) mean((v - mean(v))^4) / var(v)^2)
    z <- abs(apply(x[, ok], 2, var) / s$sd[ok]^2 - 1) / sqrt(pmax(kurt - 1, 0.1) / n)
    light <- kurt < 15
    expect_gt(sum(light), 10)
    expect_lt(max(z[light]), tol_mcse + 2 * slack, label = paste(name, "variances"))
    below <- colMeans(x < rep(s$q2.5, each = n))
    above <- colMeans(x > rep(s$q97.5, each = n))
    z <- (c(below, above) - 0.025) / sqrt(0.025 * 0.975 / n)
    expect_lt(max(abs(z)), tol_mcse + slack, label = paste(name, "quantiles"))
  }
  # Kolmogorov and Smirnov, against 39 quantiles
  probs <- seq_len(39) / 40
  for (name in c("scalar", "vector")) {
    fit <- fits[[name]]
    parts <- meanfield:::mixture_components(fit, FALSE)
    q <- meanfield:::mixture_quantiles(parts, fit$integrated$weights, probs)
    x <- as.matrix(as_draws_matrix(fit, ndraws = 10000, u = FALSE))
    for (j in seq_along(parts)) {
      D <- max(abs(ecdf(x[, names(parts)[j]])(q[, j]) - probs))
      expect_lt(D * 100, 1.95, label = paste(name, names(parts)[j])) # one in 1,000
    }
  }
})

test_that("vcov(pars = \"all\") of an exact fit is the brute force's", {
  d <- exact_data()
  fit <- fit_exact(y ~ x + (1 | g), d, prior = priors(normal_prior(0, 3), gamma_prior(2, 1),
    gamma_prior(1.5, 0.7)))
  b <- brute_posterior(brute_model(cbind(1, d$x), d$y, mean = c(0, 0), cov = diag(9, 2), e = c(2, 1),
    u = list(list(g = d$g, prior = c(1.5, 0.7)))), 0.4)
  V <- vcov(fit, pars = "all")
  theta <- brute_theta(b)
  other <- cbind(exp(b$l), b$l, exp(-b$l / 2))
  centred <- other - rep(drop(b$w %*% other), each = nrow(other))
  cross <- (b$theta_mean - theta$mean) %*% (centred * b$w)
  ref <- rbind(cbind(theta$cov, cross), cbind(t(cross), t(centred) %*% (centred * b$w)))
  expect_equal(dim(V), dim(ref))
  expect_lt(max(abs(V - ref) / sqrt(tcrossprod(diag(ref)))), 1e-6)
  s <- by_name(summary(fit, pars = "u"))
  expect_close(sqrt(diag(V)), s[rownames(V), "sd"], 1e-10)
  expect_equal(vcov(fit), V[1:2, 1:2], ignore_attr = TRUE, tolerance = 1e-12)
  # predictions: rows of two groups and an unseen one
  new <- data.frame(x = c(-1, 3, 0.5), g = c("1", "4", "new"))
  p <- predict(fit, new, allow_new_levels = TRUE, se.fit = TRUE)
  A <- cbind(1, new$x, outer(new$g, levels(d$g), "=="))
  group <- sum(b$w * exp(-b$l[, 2]))
  expect_lt(max(abs(p$fit - A %*% theta$mean)), 1e-6)
  expect_lt(max(abs(p$se.fit^2 / (diag(A %*% theta$cov %*% t(A)) + c(0, 0, group)) - 1)), 1e-6)
  p <- predict(fit, new[1:2, ], interval = "prediction", se.fit = TRUE)
  v <- diag(A %*% theta$cov %*% t(A))[1:2] + sum(b$w * exp(-b$l[, 1]))
  expect_lt(max(abs(p$se.fit^2 / v - 1)), 1e-6)
  expect_close(p$fit[, "upr"] - p$fit[, "lwr"], 2 * qnorm(0.975) * sqrt(v), 1e-6)
  budget <- predict(fit, new[1:2, ], budget = TRUE)
  fixed <- diag(A[1:2, 1:2] %*% theta$cov[1:2, 1:2] %*% t(A[1:2, 1:2]))
  expect_lt(max(abs(budget$fixed / fixed - 1)), 1e-6)
  expect_lt(max(abs(budget$group - (diag(A %*% theta$cov %*% t(A))[1:2] - fixed)) / fixed), 1e-6)
  # and of hypotheses: a mixture of normals
  h <- hypothesis(fit, "(Intercept) + 2 * x > 1.5")
  one <- c(1, 2)
  at <- drop(one %*% b$theta_mean[1:2, ]) - 1.5
  sd <- sqrt(vapply(b$theta_cov, function(S) drop(one %*% S[1:2, 1:2] %*% one), 0))
  expect_lt(abs(h$prob - sum(b$w * pnorm(at / sd))), 1e-6)
  expect_lt(abs(sum(b$w * pnorm(h[["q2.5"]], at, sd)) - 0.025), 1e-6)
})

test_that("effects of a second, crossed factor and of slopes: moments from the nodes are the draws'", {
  set.seed(12)
  d <- data.frame(x = rnorm(60), g = gl(6, 10), h = factor(rep(1:5, 12)))
  d$y <- rnorm(6)[d$g] * d$x + rnorm(5)[d$h] + rnorm(60)
  fit <- fit_exact(y ~ x + (0 + x | g) + (1 | h), d, tol = 1e-3)
  V <- vcov(fit, pars = "all")
  new <- d[c(1, 17, 44), ]
  A <- matrix(0, 3, 2 + 6 + 5, dimnames = list(NULL, rownames(V)[1:13]))
  A[, "beta[(Intercept)]"] <- 1
  A[, "beta[x]"] <- new$x
  for (i in 1:3) {
    A[i, paste0("u[g:", new$g[i], ",x]")] <- new$x[i]
    A[i, paste0("u[h:", new$h[i], "]")] <- 1
  }
  theta <- by_name(summary(fit, pars = "u"))[colnames(A), "mean"]
  p <- predict(fit, new, se.fit = TRUE)
  expect_close(p$fit, drop(A %*% theta), 1e-10)
  expect_close(p$se.fit^2, diag(A %*% V[1:13, 1:13] %*% t(A)), 1e-8)
  re <- ranef(fit)
  expect_equal(attr(re$h, "postVar")[1, 1, ], unname(diag(V)[paste0("u[h:", 1:5, "]")]))
  set.seed(3)
  x <- as.matrix(as_draws_matrix(fit, ndraws = 20000))[, rownames(V)[1:13]]
  S <- cov(x)
  se <- sqrt((tcrossprod(diag(S)) + S^2) / 20000)
  expect_lt(max(abs(S - V[1:13, 1:13]) / se), 4.5)
})

# ---- same data, same answer ---------------------------------------------------------------------

test_that("fits leave the generator alone, repeat themselves and survive saveRDS", {
  d <- exact_data(30, 6)
  set.seed(99)
  before <- .Random.seed
  one <- fit_exact(y ~ x + (x | g), d, tol = 0.01)
  vb <- fit_vb(y ~ x + (x | g), d)
  imp <- by_importance(fit_vb(vb, integrate = "no"))
  many <- suppressWarnings(fit_exact(y ~ x + (x | g) + (x | I(as.integer(g) %% 3)), d, draws = 1000))
  expect_equal(many$method, "importance")
  summary(one)
  vcov(one, pars = "all")
  predict(one, interval = "prediction")
  expect_output({
    print(one)
    print(vb)
    print(imp)
  }, "k-hat")
  expect_identical(.Random.seed, before)
  rm(".Random.seed", envir = globalenv()) # no state: none is made
  expect_identical(summary(fit_exact(y ~ x + (x | g), d, tol = 0.01)), summary(one))
  expect_identical(summary(fit_vb(y ~ x + (x | g), d), pars = "u"), summary(vb, pars = "u"))
  expect_identical(summary(by_importance(fit_vb(vb, integrate = "no"))), summary(imp))
  expect_false(exists(".Random.seed", envir = globalenv()))
  set.seed(99)
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(list(one, vb), file)
  code <- sprintf(paste0("library(meanfield); f <- readRDS('%s'); set.seed(1); ",
    "r <- lapply(f, function(x) list(summary(x, pars = 'u'), vcov(x, pars = 'all'), ",
    "predict(x, interval = 'confidence'), as_draws(x, ndraws = 20), hypothesis(x, 'x > 0'))); ",
    "saveRDS(r, '%s')"), file, file)
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(code, script)
  system2(file.path(R.home("bin"), "Rscript"), shQuote(script), stdout = FALSE, stderr = FALSE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
  there <- readRDS(file)
  set.seed(1)
  here <- lapply(list(one, vb), function(x) {
    list(summary(x, pars = "u"), vcov(x, pars = "all"), predict(x, interval = "confidence"),
      as_draws(x, ndraws = 20), hypothesis(x, "x > 0"))
  })
  expect_identical(there, here)
})

# ---- report -----------------------------------------------------------------------------------------

test_that("the report repeats the published ratios to their digits", {
  table <- list( # Q, tau_u, then MFVB / LRVB for tau_e, tau_u, log tau_u, intercept
    c(5, 1, .987, 1.000, .806, .935, .847, .959, .720, .720),
    c(10, 4, .978, 1.000, .353, .502, .667, .925, .919, .919),
    c(20, 1, .961, 1.000, .900, .978, .921, .996, .949, .949),
    c(50, 4, .905, .999, .539, .820, .633, .958, .990, .990),
    c(100, 1, .811, 1.000, .790, .971, .810, .993, .992, .992),
    c(100, 4, .810, .997, .483, .823, .558, .947, .997, .997)
  )
  vague <- gamma_prior(0.01, 0.01)
  for (row in table) {
    d <- paper_data(row[1], row[2])
    fit <- fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = priors(normal_prior(0, 10), vague, vague))
    t <- as.data.frame(sd_ratio_report(fit, fit_exact(fit)))
    expect_true(all(t$reference == "exact"))
    at <- match(c("tau_e", "tau_u[g]", "log_tau_u[g]", "beta[(Intercept)]"), t$variable)
    ours <- c(rbind(t$ratio_mfvb[at], t$ratio_lrvb[at]))
    expect_lte(max(abs(ours - row[-(1:2)])), 0.00051, label = paste("Q =", row[1]))
    # the default fit is its own exact reference
    own <- as.data.frame(sd_ratio_report(fit))
    expect_equal(own$ratio_lrvb[at], t$ratio_lrvb[at], tolerance = 0.01)
    if (row[1] == 5) {
      expect_equal(own$verdict[at[4]], "integrated")
      expect_equal(own$sd[at[4]] / t$sd_ref[at[4]], 1, tolerance = 0.01)
      lr <- as.data.frame(sd_ratio_report(fit_vb(fit, integrate = "no"), fit_exact(fit)))
      expect_equal(lr$verdict[at[4]], "few groups")
      expect_output(print(sd_ratio_report(fit_vb(fit, integrate = "no"))), "fit_exact")
    }
  }
})

test_that("the report refuses an exact fit of other data or another prior", {
  d <- exact_data()
  fit <- fit_vb(y ~ x + (1 | g), d)
  expect_error(sd_ratio_report(fit, fit_exact(y ~ x + (1 | g), d[-1, ])), "different data",
    class = "meanfield_error_report")
  expect_error(sd_ratio_report(fit, fit_exact(y ~ x + (1 | g), d, prior = priors(flat_prior()))),
    "different priors", class = "meanfield_error_report")
})

# ---- compare() --------------------------------------------------------------------------------------

test_that("compare: evidences, sources, loo, and what cannot be compared", {
  d <- exact_data(30, 6)
  with <- fit_exact(y ~ x + (1 | g), d)
  without <- fit_exact(y ~ x, d)
  t <- compare(with, without, loo = FALSE)
  expect_setequal(t$model, c("with", "without"))
  best <- c(with = with$log_evidence, without = without$log_evidence)
  expect_equal(t$log_evidence, unname(sort(best, decreasing = TRUE)))
  expect_equal(t$evidence_diff[2], min(best) - max(best))
  expect_true(all(t$source == "exact"))
  vb <- fit_vb(with, integrate = "no")
  set.seed(1)
  gibbs <- fit_gibbs(with, chains = 1, iter = 300, warmup = 100)
  t <- compare(a = vb, b = fit_vb(with), c = gibbs, loo = FALSE)
  expect_equal(t$source[match(c("a", "b", "c"), t$model)], c("elbo", "exact", "none"))
  expect_equal(t$log_evidence[t$model == "a"], vb$vb$elbo)
  expect_true(is.na(t$log_evidence[t$model == "c"]))
  expect_output(print(t), "lower bound")
  set.seed(1)
  l <- suppressWarnings(compare(with, without, ndraws = 500))
  expect_true(all(c("elpd_loo", "se_elpd", "elpd_diff", "se_diff", "khat") %in% names(l)))
  expect_equal(max(l$elpd_diff), 0)
  flat <- fit_exact(y ~ x, d, prior = priors(flat_prior()))
  t <- compare(with, flat, loo = FALSE)
  expect_equal(attr(t, "flat"), "flat")
  expect_output(print(t), "Lebesgue")
  expect_output(print(flat), "Lebesgue")
  other <- fit_exact(log(y + 50) ~ x, d)
  for (bad in list(
    quote(compare(with, other)), quote(compare(with)), quote(compare(with, 3)),
    quote(compare(with, fit_exact(y ~ x, d[-1, ]))), quote(compare(with, fit_exact(y ~ x, d, weights = w)))
  )) expect_error(eval(bad), class = "meanfield_error_compare")
})

# ---- input --------------------------------------------------------------------------------------------

test_that("bad input is refused by name", {
  d <- exact_data()
  refuse <- function(expr, kind, arg) {
    e <- tryCatch(expr, error = identity)
    expect_s3_class(e, paste0("meanfield_error_", kind))
    expect_identical(e$arg, arg)
  }
  for (tol in list(0, -1, NA, "a", c(.1, .2), Inf, NULL)) refuse(fit_exact(y ~ x, d, tol = tol), "control", "tol")
  for (n in list(0, -5, 2.5, NA, "a", 1:2)) refuse(fit_exact(y ~ x, d, draws = n), "control", "draws")
  refuse(fit_exact(y ~ x, d, drawz = 10), "control", "...")
  refuse(fit_exact(y ~ x, d, control = 3), "control", "control")
  refuse(fit_exact(), "formula", "object")
  refuse(fit_exact("y ~ x", d), "formula", "object")
  refuse(fit_vb(y ~ x, d, integrate = "maybe"), "control", "integrate")
  refuse(fit_vb(y ~ x, d, integrate = TRUE), "control", "integrate")
  refuse(fit_vb(fit_vb(y ~ x, d), integrate = "never"), "control", "integrate")
  refuse(vcov(fit_vb(y ~ x, d, integrate = "no"), type = "integrated"), "control", "type")
  fit <- fit_exact(y ~ x, d)
  refuse(as_draws(fit, ndraws = 0), "control", "ndraws")
  expect_error(summary(fit, level = 2), class = "meanfield_error")
  expect_warning(fit_exact(y ~ x + (1 | g), d, tol = 1e-12), class = "meanfield_warning_accuracy")
  # an exact line has no residual variance to integrate
  line <- transform(d, y = 2 * x + 1)
  refuse(fit_exact(y ~ x, line), "integral", "formula")
  refuse(fit_vb(y ~ x, line, integrate = "yes"), "integral", "integrate")
  fit <- suppressWarnings(fit_vb(y ~ x, line))
  expect_identical(fit$not_integrated, "failed")
})

test_that("one row per group: nothing is lost where the residuals may be zero", {
  d <- exact_data(9, 3)
  d$id <- factor(1:9)
  fit <- suppressWarnings(fit_exact(y ~ x + (1 | id), d, prior = priors(normal_prior(0, 3),
    gamma_prior(2, 1), half_t_prior(3, 1)), tol = 1e-8))
  expect_brute(fit, brute_posterior(brute_model(cbind(1, d$x), d$y, mean = c(0, 0), cov = diag(9, 2),
    e = c(2, 1), u = list(list(g = d$id, prior = list(df = 3, scale = 1)))), 0.35, 55),
    log_tau_quantiles = FALSE)
  # both variances may be zero here, and the posterior is the same in either
  both <- suppressWarnings(fit_exact(y ~ x + (1 | id), d, prior = priors(normal_prior(0, 3),
    half_t_prior(3, 1), half_t_prior(3, 1))))
  s <- by_name(summary(both))
  expect_equal(unlist(s["sigma_e", -1]), unlist(s["sigma_u[id]", -1]), tolerance = 1e-4)
})

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

# ---- units --------------------------------------------------------------------------------------------

test_that("units of response and predictor change units, and the evidence by its Jacobian", {
  d <- exact_data(40, 6)
  n <- nrow(d)
  run <- function(d) fit_exact(y ~ x + (x | g), d, tol = 0.05)
  base <- run(d)
  b <- by_name(summary(base))
  std <- function(s) c((s["beta[x]", "q97.5"] - s["beta[x]", "mean"]) / s["beta[x]", "sd"],
    s["log_tau_e", "sd"], s["log_sigma_u[g:(Intercept)]", "sd"], s["log_sigma_u[g:x]", "sd"])
  # y shifted: default priors follow the mean
  f <- run(transform(d, y = y + 1e6))
  s <- by_name(summary(f))
  expect_lt(abs(f$log_evidence - base$log_evidence), 1e-5)
  expect_lt(abs(s["beta[(Intercept)]", "mean"] - 1e6 - b["beta[(Intercept)]", "mean"]) / b[1, "sd"], 1e-4)
  expect_close(std(s), std(b), 1e-4)
  # y scaled by c: density of c y is c^-n times that of y
  f <- run(transform(d, y = 1e-3 * y))
  s <- by_name(summary(f))
  expect_lt(abs(f$log_evidence - base$log_evidence - n * log(1e3)), 1e-5)
  expect_close(s[c("beta[(Intercept)]", "beta[x]"), "sd"] * 1e3, b[c("beta[(Intercept)]", "beta[x]"), "sd"], 1e-4)
  expect_close(std(s), std(b), 1e-4)
  # x scaled: nothing but its units
  f <- run(transform(d, x = 100 * x))
  s <- by_name(summary(f))
  expect_lt(abs(f$log_evidence - base$log_evidence), 1e-5)
  expect_close(s["beta[x]", "sd"] * 100, b["beta[x]", "sd"], 1e-4)
  expect_close(s["rho_u[g:(Intercept),x]", c("mean", "sd")], b["rho_u[g:(Intercept),x]", c("mean", "sd")], 1e-3)
  expect_close(std(s), std(b), 1e-4)
  # flat coefficients: Lebesgue measure of beta has units
  flat <- priors(flat_prior(), gamma_prior(2, 1), gamma_prior(1, 1))
  a <- fit_exact(y ~ x + (1 | g), d, prior = flat)
  f <- fit_exact(y ~ x + (1 | g), transform(d, x = 100 * x + 7), prior = flat)
  expect_lt(abs(f$log_evidence - (a$log_evidence - log(100))), 1e-7)
  f <- fit_exact(y ~ x + (1 | g), transform(d, y = y + 1e5 + 3 * x), prior = flat)
  expect_lt(abs(f$log_evidence - a$log_evidence), 1e-5)
  # an offset is a shift of the rows; weights of two a halved precision
  f <- fit_exact(y ~ x + offset(o) + (1 | g), transform(d, y = y + o), prior = flat)
  expect_lt(abs(f$log_evidence - a$log_evidence), 1e-8)
  two <- priors(flat_prior(), gamma_prior(2, 2), gamma_prior(1, 1)) # of tau_e / 2, so the rate doubles
  f <- fit_exact(y ~ x + (1 | g), transform(d, w = 2), weights = w, prior = two)
  expect_lt(abs(f$log_evidence - a$log_evidence), 1e-8)
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
