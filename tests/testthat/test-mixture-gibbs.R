# The mixture sampler: conditionals, agreement with VB where it is exact enough, relabelling.

test_that("one component: draws are the conjugate posterior", {
  set.seed(4)
  x <- matrix(rnorm(60), 30)
  for (prior in list(flat_prior(), mixture_prior(k0 = 2, df = 5, scale = diag(2)))) {
    model <- gaussian_mixture(x, 1, prior)
    g <- fit_gibbs(model, chains = 2, iter = 4100, warmup = 100)
    pr <- twin_prior(model)
    n <- nrow(x)
    d <- colMeans(x) - pr$m0
    A <- pr$rate0 + crossprod(scale(x, scale = FALSE)) + pr$k0 * n / (pr$k0 + n) * tcrossprod(d)
    df <- pr$df0 + n - (pr$nw == 0) # mu integrated out
    s <- summary(g)
    z <- function(v, mean) (s$mean[s$variable == v] - mean) / s$mcse_mean[s$variable == v]
    L <- df * solve(A)
    m <- (pr$k0 * pr$m0 + n * colMeans(x)) / (pr$k0 + n)
    expect_lt(abs(z("mu[1,x1]", m[1])), tol_mcse)
    expect_lt(abs(z("Lambda[1,x1,x1]", L[1, 1])), tol_mcse)
    expect_lt(abs(z("Lambda[1,x1,x2]", L[2, 1])), tol_mcse)
    expect_lt(abs(z("log_det[1]", sum(digamma((df + 1 - 1:2) / 2)) + 2 * log(2) -
      as.numeric(determinant(A)$modulus))), tol_mcse)
    expect_lt(abs(z("Sigma[1,x2,x2]", A[2, 2] / (df - 3))), tol_mcse)
    # mu is t with df - P + 1 degrees of freedom, scale A / ((k0 + n)(df - P + 1))
    sd <- sqrt(A[1, 1] / ((pr$k0 + n) * (df - 3)))
    row <- s[s$variable == "mu[1,x1]", ]
    expect_lt(abs(row$sd - sd) / row$mcse_sd, tol_mcse)
  }
})

test_that("an uncoupled prior: draws agree with numerical integration", {
  set.seed(5)
  x <- rnorm(15, 1)
  model <- gaussian_mixture(x, 1, mixture_prior(mean = 0, cov = .25, df = 3, scale = 2))
  g <- fit_gibbs(model, chains = 2, iter = 8200, warmup = 200)
  lp <- function(mu, tau) {
    outer(mu, tau, Vectorize(function(m, t) {
      dnorm(m, 0, .5, log = TRUE) + dgamma(t, 1.5, .25, log = TRUE) +
        sum(dnorm(x, m, 1 / sqrt(t), log = TRUE))
    }))
  }
  mu <- seq(-1.5, 3, length.out = 200)
  tau <- seq(.01, 8, length.out = 200)
  w <- exp(lp(mu, tau) - max(lp(mu, tau)))
  w <- w / sum(w)
  s <- summary(g)
  near <- function(v, mean) {
    row <- s[s$variable == v, ]
    expect_lt(abs(row$mean - mean) / row$mcse_mean, tol_mcse)
  }
  near("mu[1,x1]", sum(rowSums(w) * mu))
  near("Lambda[1,x1,x1]", sum(colSums(w) * tau))
})

test_that("joint distribution test: data and parameters drawn in turn keep the prior", {
  skip_below_level(2)
  set.seed(6)
  n <- 12
  prior <- mixture_prior(mean = 0, k0 = 1, df = 6, scale = 1 / 4, alpha = 2)
  theta <- list(mu = c(-1, 1), Lambda = c(1, 1), log_pi = log(c(.5, .5)))
  units <- list(U = 1, A = 1, centre = 0, log_det_A = 0)
  label <- integer(n)
  draws <- matrix(NA, 6000, 4)
  for (i in seq_len(nrow(draws))) {
    z <- 1 + rbinom(n, 1, exp(theta$log_pi[2]))
    x <- matrix(rnorm(n, theta$mu[z], 1 / sqrt(theta$Lambda[z])))
    core <- list(X = x, k = 2L, coupled = TRUE, flat_mean = FALSE, flat_precision = FALSE, k0 = 1,
      m0 = 0, P0 = 0, df0 = 6, rate0 = 4, logdet_P0 = 0, logdet_rate0 = log(4), alpha0 = c(2, 2))
    run <- call_gmm_gibbs(core, theta, label, units, list(iter = 1L, warmup = 0L, thin = 1L), NULL)$result
    own <- function(j) run$draws[1, j + c(0, 5)][order(run$perm[1, ])]
    theta <- list(mu = own(1), Lambda = own(2), log_pi = own(5))
    draws[i, ] <- c(mean(theta$mu), mean(theta$mu^2), mean(theta$Lambda),
      mean(theta$log_pi))
  }
  # E mu = 0, E mu^2 = E 1 / Lambda = 4 / (6 - 2), E Lambda = 6 / 4, E log pi = psi(2) - psi(4)
  exact <- c(0, 1, 1.5, digamma(2) - digamma(4))
  z <- (colMeans(draws) - exact) / apply(draws, 2, posterior::mcse_mean)
  expect_lt(max(abs(z)), tol_mcse)
})

test_that("VB means and SDs agree with Gibbs on faithful", {
  fit <- fit_vb(gaussian_mixture(faithful, 2))
  set.seed(1)
  gibbs <- fit_gibbs(fit, chains = 2, iter = 5500, warmup = 500)
  t <- as.data.frame(sd_ratio_report(fit, gibbs))
  s <- summary(gibbs)
  expect_lt(max(abs(summary(fit)$mean - s$mean) / s$sd), .1)
  expect_true(all(abs(t$ratio_lrvb - 1) < .05 + tol_mcse * t$mcse_lrvb))
  expect_true(all(t$verdict %in% c("ok", "repaired")))
  expect_identical(gibbs$relabelled, c(0, 0))
  # class probabilities: plug-in against averaged over draws
  expect_lt(mean(abs(predict(fit) - predict(gibbs))), .005)
})

test_that("geyser, where linear response falls short: the report says so", {
  skip_below_level(2)
  fit <- fit_vb(gaussian_mixture(MASS::geyser, 2))
  set.seed(1)
  gibbs <- fit_gibbs(fit, chains = 2, iter = 5500, warmup = 500)
  t <- as.data.frame(sd_ratio_report(fit, gibbs))
  expect_true("overlap" %in% t$verdict)
  short <- abs(t$ratio_lrvb - 1) > .05 + 2 * t$mcse_lrvb
  expect_true(all(t$verdict[short] %in% c("overlap", "too narrow", "too wide")))
  s <- summary(gibbs)
  expect_lt(max(abs(summary(fit)$mean - s$mean) / s$sd), .5)
})

test_that("the paper's design: linear response right, mean-field as short as published", {
  skip_below_level(2)
  set.seed(11)
  ratios <- lapply(1:3, function(i) {
    n <- 1e4
    k <- 1 + rbinom(n, 1, 4 / 7)
    x <- (k - 1) + outer(sqrt(sqrt(k) * .25), c(1, 1.5) / 1.5) * matrix(rnorm(2 * n), n)
    fit <- fit_vb(gaussian_mixture(x, 2, flat_prior()), starts = 2)
    gibbs <- fit_gibbs(fit, chains = 2, iter = 3300, warmup = 300)
    v <- fit$posterior$variables
    S <- cov(as.matrix(posterior::as_draws_matrix(gibbs)[, v$variable]))
    off <- lower.tri(S)
    expect_gt(cor(S[off], fit$posterior$cov_lrvb[off]), .99)
    t <- as.data.frame(sd_ratio_report(fit, gibbs))
    t[t$type != "derived", ]
  })
  t <- do.call(rbind, ratios)
  for (type in c("mu", "Lambda", "log_pi")) {
    own <- t[t$type == type, ]
    error <- 2 * mean(own$mcse_lrvb) / sqrt(3) # sets are independent, variables are not
    expect_lt(abs(mean(own$ratio_lrvb) - 1), .02 + error)
    expect_gt(mean(own$ratio_mfvb), .62)
    expect_lt(mean(own$ratio_mfvb), .90)
  }
})

test_that("label switching is detected and undone", {
  set.seed(8)
  x <- c(rnorm(25), rnorm(25, 1.5)) # small and overlapping: labels do switch
  g <- fit_gibbs(gaussian_mixture(x, 2, mixture_prior(k0 = .5, df = 5, scale = .3)),
    chains = 2, iter = 4000, warmup = 200) |> suppressWarnings()
  expect_true(all(g$relabelled > 0))
  expect_gt(sum(g$switches), 0)
  expect_output(print(g), "Labels switched")
  s <- summary(g)
  expect_lt(s$mean[s$variable == "mu[1,x1]"], s$mean[s$variable == "mu[2,x1]"])
  # the same draws unlabelled: sums over components do not depend on labels
  d <- g$draws
  expect_equal(d[, , "pi[1]"] + d[, , "pi[2]"], d[, , "pi[1]"] * 0 + 1, tolerance = 1e-12)
})

test_that("set.seed() reproduces the sampler, and a bad posterior stops it", {
  fit <- fit_vb(gaussian_mixture(faithful, 2))
  set.seed(1)
  a <- fit_gibbs(fit, chains = 1, iter = 50, warmup = 10, thin = 4)
  set.seed(1)
  b <- fit_gibbs(fit, chains = 1, iter = 50, warmup = 10, thin = 4)
  expect_identical(a$draws, b$draws)
  expect_identical(dim(a$draws)[1], 10L)
  expect_error(fit_gibbs(fit, iter = 10, warmup = 10), class = "meanfield_error_control")
  expect_error(fit_gibbs(fit, nope = 1), class = "meanfield_error_control")
  set.seed(3)
  x <- c(rnorm(100), rnorm(4, 3.5, .3)) # four rows that may leave their component
  tiny <- suppressWarnings(fit_vb(gaussian_mixture(x, 2, flat_prior()),
    start = rep(1:2, c(100, 4))))
  expect_error(suppressWarnings(fit_gibbs(tiny, chains = 4, iter = 20000, warmup = 10)),
    class = "meanfield_error_component")
})

test_that("it agrees with bayesm under the same prior", {
  skip_below_level(3)
  skip_if_not_installed("bayesm")
  V <- diag(c(.5, 50))
  fit <- fit_vb(gaussian_mixture(faithful, 2, mixture_prior(mean = c(3, 70), k0 = .1, df = 6,
    scale = solve(V), alpha = 5)))
  set.seed(9)
  ours <- summary(fit_gibbs(fit, chains = 4, iter = 5500, warmup = 500))
  theirs <- bayesm_draws(faithful, fit, V, 22000)
  for (v in names(theirs)) {
    row <- ours[ours$variable == v, ]
    x <- theirs[[v]]
    error <- sqrt(row$mcse_mean^2 + posterior::mcse_mean(x)^2)
    expect_lt(abs(row$mean - mean(x)) / error, tol_mcse)
    error <- sqrt(row$mcse_sd^2 + posterior::mcse_sd(x)^2)
    expect_lt(abs(row$sd - sd(x)) / error, tol_mcse)
  }
})

test_that("draws, plots and other methods work on both fits", {
  fit <- fit_vb(gaussian_mixture(faithful, 2))
  set.seed(1)
  gibbs <- fit_gibbs(fit, chains = 2, iter = 600, warmup = 100)
  d <- posterior::as_draws_df(fit, ndraws = 4000)
  expect_setequal(posterior::variables(d), summary(fit)$variable)
  expect_setequal(posterior::variables(posterior::as_draws_df(gibbs)), summary(gibbs)$variable)
  s <- summary(fit)
  for (v in c("mu[1,eruptions]", "Lambda[2,eruptions,waiting]", "pi[1]", "log_det[1]",
    "Sigma[2,waiting,waiting]")) {
    row <- s[s$variable == v, ]
    expect_lt(abs(sd(d[[v]]) / row$sd - 1), .1)
    expect_lt(abs(mean(d[[v]]) - row$mean) / row$sd, .15)
  }
  expect_equal(d$`pi[1]` + d$`pi[2]`, rep(1, 4000))
  expect_identical(nobs(fit), 272L)
  expect_identical(dim(coef(gibbs)), c(2L, 2L))
  expect_equal(coef(fit), coef(gibbs), tolerance = .02)
  expect_identical(dim(vcov(gibbs)), c(4L, 4L))
  expect_equal(diag(vcov(fit, pars = "all")), stats::setNames(s$sd^2, s$variable))
  expect_error(logLik(gibbs), class = "meanfield_error_engine")
  expect_error(AIC(fit), class = "meanfield_error_engine")
  expect_error(sd_ratio_report(fit, fit_gibbs(gaussian_mixture(faithful, 2, flat_prior()),
    chains = 1, iter = 50, warmup = 10)), class = "meanfield_error_report")
  expect_error(sd_ratio_report(fit, fit_gibbs(gaussian_mixture(MASS::geyser, 2),
    chains = 1, iter = 50, warmup = 10)), class = "meanfield_error_report")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_invisible(plot(fit))
  expect_invisible(plot(fit, reference = gibbs))
  expect_invisible(plot(fit, what = "data"))
  expect_invisible(plot(fit_vb(gaussian_mixture(faithful$eruptions, 2)), what = "data"))
  expect_invisible(plot(gibbs))
  expect_invisible(plot(gibbs, what = "trace", variables = c("mu[1,eruptions]", "pi[1]")))
  expect_invisible(plot(sd_ratio_report(fit, gibbs)))
  expect_output(print(gibbs), "Labels never switched")
  expect_output(print(gaussian_mixture(faithful, 2)), "Mixture of 2")
  expect_output(print(mixture_prior()), "Wishart")
  expect_output(print(sd_ratio_report(fit)), "gaussian_mixture")
})
