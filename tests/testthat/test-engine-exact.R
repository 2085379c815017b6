# fit_exact() against brute force in plain dense R (helper-exact.R), and in other units.

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
  for (row in 1:2) { # the limits are quantiles of the mixture
    at <- drop(A[row, ] %*% b$theta_mean)
    spread <- sqrt(vapply(b$theta_cov, function(S) drop(A[row, ] %*% S %*% A[row, ]), 0) + exp(-b$l[, 1]))
    below <- vapply(p$fit[row, 2:3], function(q) sum(b$w * pnorm(q, at, spread)), 0)
    expect_lt(max(abs(below - c(.025, .975))), 1e-6)
  }
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

# ---- units ---------------------------------------------------------------------------

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

test_that("quantiles of the covariances in a precision matrix are those of its draws, with few levels", {
  set.seed(11)
  d <- data.frame(x = rnorm(80), g = gl(2, 40))
  d$y <- d$x + rnorm(2)[d$g] + rnorm(80)
  fit <- fit_exact(y ~ x + (x | g), d)
  name <- "Lambda_u[g:(Intercept),x]"
  s <- summary(fit)
  v <- c(posterior::as_draws_matrix(as_draws(fit, ndraws = 20000))[, name])
  tails <- c(mean(v < s$q2.5[s$variable == name]), mean(v > s$q97.5[s$variable == name]))
  expect_lt(max(abs(tails - .025)), .006)
})
