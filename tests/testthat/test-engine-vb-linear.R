# Linear regression: everything has a closed form.

vague <- function() priors(beta = flat_prior(), tau_e = gamma_prior(1e-8, 1e-8))

test_that("flat prior: SD ratios are the closed forms and beta is lm's", {
  for (n in c(12, 40, 300)) {
    set.seed(n)
    d <- data.frame(x1 = rnorm(n), x2 = rnorm(n, 5))
    d$y <- 1 + d$x1 + rnorm(n)
    p <- 3
    fit <- fit_vb(y ~ x1 + x2, d, prior = vague(), integrate = "no")
    ls <- lm(y ~ x1 + x2, d)
    expect_close(fixef(fit), coef(ls), 1e-8)
    exact_cov <- vcov(ls) * (n - p) / (n - p - 2) # multivariate t with n - p df
    ratio <- sqrt(diag(vcov(fit, "mfvb")) / diag(exact_cov))
    expect_close(ratio, sqrt(1 - 2 / (n - p)), 1e-6)
    expect_close(vcov(fit, "lrvb"), vcov(fit, "mfvb"), 1e-6)
    rss <- sum(residuals(ls)^2)
    exact_tau_sd <- sqrt((n - p) / 2) / (rss / 2)
    s <- summary(fit)
    row <- s$variable == "tau_e"
    expect_close(s$sd_mfvb[row] / exact_tau_sd, sqrt(1 - p / n), 1e-6)
    expect_close(s$sd[row], exact_tau_sd, 1e-6)
  }
})

test_that("weights are precision weights, as in lm", {
  set.seed(3)
  d <- data.frame(x = rnorm(50), w = rexp(50) + .1)
  d$y <- 1 + d$x + rnorm(50) / sqrt(d$w)
  fit <- fit_vb(y ~ x, d, weights = w, prior = vague(), integrate = "no")
  ls <- lm(y ~ x, d, weights = w)
  expect_close(fixef(fit), coef(ls), 1e-8)
  expect_close(diag(vcov(fit, "mfvb")), diag(vcov(ls)) * 47.99999998 / 48 , 1e-3)
})

test_that("the ELBO of linear regression lies below the evidence and close to it", {
  set.seed(5)
  n <- 30
  d <- data.frame(x = rnorm(n))
  d$y <- d$x + rnorm(n)
  X <- cbind(1, d$x)
  prior <- priors(beta = normal_prior(0, 2), tau_e = gamma_prior(2, 3))
  fit <- fit_vb(y ~ x, d, prior = prior)
  log_joint <- function(l) { # log p(y | tau) + log p(log tau)
    V <- diag(n) / exp(l) + 4 * tcrossprod(X)
    R <- chol(V)
    -n / 2 * log(2 * pi) - sum(log(diag(R))) - sum(backsolve(R, d$y, transpose = TRUE)^2) / 2 +
      dgamma(exp(l), 2, 3, log = TRUE) + l
  }
  l <- seq(-4, 4, by = .01)
  lp <- vapply(l, log_joint, 0)
  evidence <- max(lp) + log(sum(exp(lp - max(lp))) * .01)
  gap <- evidence - as.numeric(logLik(fit))
  expect_gt(gap, 0)
  expect_lt(gap, 0.1)
})

test_that("N < p and rank-deficient predictors are legal under a proper prior", {
  set.seed(8)
  X <- matrix(rnorm(8 * 20), 8)
  y <- rnorm(8)
  fit <- fit_vb(y ~ X, prior = priors(beta = normal_prior(0, 1), tau_e = gamma_prior(2, 2)),
    integrate = "no")
  ref <- dense_vb(cbind(1, X), matrix(0, 8, 0), y,
    prior = list(mean = rep(0, 21), cov = diag(21), e = c(2, 2)))
  expect_equal(unname(fixef(fit)), ref$m, tolerance = tol_twin)
  d <- data.frame(a = rnorm(20))
  d$b <- 2 * d$a
  d$y <- rnorm(20)
  fit <- fit_vb(y ~ a + b, d)
  expect_true(all(is.finite(summary(fit)$sd)))
  expect_error(fit_vb(y ~ a + b, d, prior = priors(beta = flat_prior())),
    class = "meanfield_error_rank")
})
