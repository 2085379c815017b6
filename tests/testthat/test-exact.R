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
      exact <- fit_exact(fit, tol = 0.01)
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

# int |c|^... of the density of a precision matrix over its scale-free coordinates is one, and each
# SD is half-t: seen through a model whose data are taken away.
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
    # x_11 = log Lambda_11 / 2 and x_22 = -log SD of the second; long tails as exp(-df |x|)
    top <- 26 / case$df
    a <- seq(-top, 14, h)
    grid <- as.matrix(expand.grid(a, seq(-12, 12, h), seq(-top, 14, h)))
    p <- exp(f(grid))
    expect_lt(abs(sum(p) * h^3 - 1), 1e-4)
    # given x_22, the density of the second SD: half-t(df, 4), on the log scale
    g <- as.matrix(expand.grid(seq(-26, 26, h), seq(-16, 16, h)))
    for (x22 in c(-1, 0.5)) {
      s <- exp(-x22)
      expect_close(sum(exp(f(cbind(g, x22)))) * h^2, 2 * dt(s / 4, case$df) / 4 * s, 1e-6)
    }
  }
  W <- matrix(c(1, 0.4, 0.4, 0.6), 2)
  f <- no_data(wishart_prior(5, W))
  grid <- as.matrix(expand.grid(seq(-10, 4, h), seq(-8, 8, h), seq(-10, 4, h)))
  expect_lt(abs(sum(exp(f(grid))) * h^3 - 1), 1e-6)
})

test_that("scale-free coordinates: inverse, meaning and Jacobian", {
  set.seed(2)
  for (r in 1:3) {
    x <- rnorm(r * (r + 1) / 2)
    L <- brute_scale_free(x)
    t <- L[lower.tri(L, diag = TRUE)]
    expect_close(meanfield:::from_scale_free(matrix(x, 1)), t, 1e-12)
    expect_lt(max(abs(meanfield:::scale_free(t) - x)), 1e-12)
    # x_rr is minus the log SD of the last coefficient
    if (r > 1) expect_lt(abs(x[length(x)] + log(solve(L)[r, r]) / 2), 1e-12)
    if (r == 2) expect_lt(abs(-tanh(x[2]) - cov2cor(solve(L))[2, 1]), 1e-12)
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
