# The sampler: exact posterior by quadrature, a joint-distribution test, reproducibility.

# z-scores of the sampler's means and SDs against quadrature, in Monte Carlo errors.
gibbs_z <- function(formula, data, X, Z, prior, spec, seed, iter = 6000) {
  vb <- fit_vb(formula, data, prior = spec)
  tau <- vb$posterior$tau
  y <- model.frame(vb)[[1]]
  # the reference sees centred data, so that its own sums do not cancel
  ref <- exact_quadrature(X, Z, y, prior = prior, centre = tau$psi$mean,
    spread = sqrt(diag(tau$psi$cov_lrvb)), half_width = 9, step = 0.5)
  expect_lt(ref$edge, 1e-6)
  set.seed(seed)
  s <- summary(fit_gibbs(vb, chains = 4, iter = iter, warmup = 500), pars = "u")
  p <- ncol(X)
  rows <- c(seq_len(p), match(grep("^log_tau", s$variable, value = TRUE), s$variable),
    grep("^u\\[", s$variable))
  mean <- c(ref$mean[seq_len(p)], ref$log_tau_e[1], ref$log_tau_u[1], ref$mean[-seq_len(p)])
  sd <- c(ref$sd[seq_len(p)], ref$log_tau_e[2], ref$log_tau_u[2], ref$sd[-seq_len(p)])
  data.frame(variable = s$variable[rows], z_mean = (s$mean[rows] - mean) / s$mcse_mean[rows],
    z_sd = (s$sd[rows] - sd) / s$mcse_sd[rows])
}

test_that("Gibbs equals quadrature on radon, sleepstudy and a simulated set", {
  skip_if_not_installed("lme4")
  check <- function(z) {
    expect_lt(max(abs(z$z_mean)), tol_mcse)
    expect_lt(max(abs(z$z_sd)), tol_mcse)
  }
  check(gibbs_z(log_radon ~ floor + (1 | county), radon, cbind(1, radon$floor),
    indicator(radon$county),
    list(mean = c(0, 0), cov = diag(25, 2), e = list(df = 3, scale = 2),
      u = list(df = 3, scale = 2)),
    priors(normal_prior(0, 5), half_t_prior(3, 2), half_t_prior(3, 2)), seed = 1))
  ss <- lme4::sleepstudy
  check(gibbs_z(Reaction ~ Days + (1 | Subject), ss, cbind(1, ss$Days), indicator(ss$Subject),
    list(mean = c(250, 0), cov = diag(c(100, 50)^2), e = c(.01, 10), u = c(.5, 100)),
    priors(normal_prior(c(250, 0), c(100, 50)), gamma_prior(.01, 10), gamma_prior(.5, 100)),
    seed = 2))
  d <- paper_data(100, 4)
  check(gibbs_z(y ~ x1 + x2 + x3 + (1 | g), d, cbind(1, d$x1, d$x2, d$x3), indicator(d$g),
    list(mean = rep(0, 4), cov = diag(100, 4), e = c(.01, .01), u = list(df = 3, scale = 2.5)),
    priors(normal_prior(0, 10), gamma_prior(.01, .01), half_t_prior(3, 2.5)), seed = 3))
})

# Geweke (2004): alternate y | parameters and one sweep of parameters | y; the parameters
# must keep their prior distribution.
test_that("joint-distribution test of the sampler", {
  set.seed(4)
  n <- 12
  X <- cbind(1, seq(-1, 1, length.out = n))
  g <- factor(rep(1:4, 3))
  Z <- indicator(g)
  d <- data.frame(y = rnorm(n), x = X[, 2], g = g)
  for (half_t in c(FALSE, TRUE)) {
    spec <- priors(normal_prior(0, 1), if (half_t) half_t_prior(5, 1) else gamma_prior(3, 2),
      if (half_t) half_t_prior(5, 1) else gamma_prior(3, 2))
    core <- lmm_core(fit_vb(y ~ x + (1 | g), d, prior = spec)$model)
    M <- matrix(c(1, 0, -mean(d$x), 1), 2) # beta = M gamma; the response is not shifted below
    core$mu <- c(0, 0)
    control <- list(iter = 1L, warmup = 0L, thin = 1L, save_u = FALSE, interweave = TRUE)
    sweeps <- if (test_level() >= 2) 40000 else 12000
    keep <- matrix(NA_real_, sweeps, 4)
    theta <- rep(0, 6)
    t <- vb_start(core)
    for (i in seq_len(sweeps)) {
      y <- drop(X %*% M %*% theta[1:2] + Z %*% theta[3:6]) + rnorm(n) / sqrt(t[1])
      core$h <- c(sum(y), sum((d$x - mean(d$x)) * y), drop(crossprod(Z, y)))
      centre <- list(theta = rep(0, 6), grad = core$h, rss = sum(y^2))
      core$yy <- centre$rss
      out <- call_fit_gibbs(core, t, centre, control, NULL)
      theta <- out$result$theta
      t <- out$result$t
      keep[i, ] <- c(drop(M %*% theta[1:2]), log(t[1:2]))
    }
    prior_l <- function(f) { # moments of log tau under the prior
      l <- seq(-15, 15, by = .005)
      p <- exp(log_prior_l(if (half_t) list(df = 5, scale = 1) else c(3, 2), l))
      sum(p * f(l)) / sum(p)
    }
    m1 <- prior_l(identity)
    expected <- c(0, 0, m1, m1)
    # the square of a log precision has too heavy a tail for its own standard error: look at
    # a bounded function of it
    second <- list(function(b) b^2, function(b) b^2, tanh, tanh)
    expected2 <- c(1, 1, prior_l(tanh), prior_l(tanh))
    z <- function(x, e) (mean(x) - e) / posterior::mcse_mean(x)
    for (j in 1:4) {
      expect_lt(abs(z(keep[, j], expected[j])), tol_mcse)
      expect_lt(abs(z(second[[j]](keep[, j]), expected2[j])), tol_mcse)
    }
  }
})

test_that("set.seed reproduces, the stored layout is posterior's, u is kept or summarised", {
  fit <- fit_vb(log_radon ~ floor + (1 | county), radon)
  draw <- function(...) {
    set.seed(7)
    fit_gibbs(fit, chains = 2, iter = 300, warmup = 100, ...)
  }
  a <- draw()
  b <- draw()
  expect_identical(a$draws, b$draws)
  expect_equal(dim(a$draws), c(200, 2, 4))
  expect_equal(dim(as_draws_array(a)), c(200, 2, 2 + 3 + 4 + 85))
  expect_equal(dim(draw(thin = 4)$draws)[1], 50)
  no_u <- draw(save_u = FALSE)
  expect_null(no_u$u_draws)
  expect_identical(no_u$draws, a$draws)
  expect_equal(no_u$u$mean, unname(colMeans(matrix(a$u_draws, 400))), tolerance = 1e-12)
  expect_equal(no_u$u$sd, unname(apply(matrix(a$u_draws, 400), 2, sd)), tolerance = 1e-10)
  expect_error(as_draws(no_u, u = TRUE), class = "meanfield_error_engine")
})

test_that("linear regression samples its closed form", {
  set.seed(9)
  d <- data.frame(x = rnorm(40))
  d$y <- d$x + rnorm(40)
  fit <- fit_gibbs(y ~ x, d, prior = priors(flat_prior(), gamma_prior(1e-8, 1e-8)), iter = 4000)
  s <- summary(fit)
  ls <- lm(y ~ x, d)
  exact <- sqrt(diag(vcov(ls)) * 38 / 36)
  expect_lt(max(abs(s$mean[1:2] - coef(ls)) / s$mcse_mean[1:2]), tol_mcse)
  expect_lt(max(abs(s$sd[1:2] - exact) / s$mcse_sd[1:2]), tol_mcse)
  rss <- sum(residuals(ls)^2)
  expect_lt(abs(s$mean[3] - 38 / rss) / s$mcse_mean[3], tol_mcse)
})

test_that("a half-t prior of many degrees of freedom mixes", {
  d <- small_data()
  f <- fit_vb(y ~ x + (1 | g), d, prior = priors(tau_u = half_t_prior(1e4, 2)))
  set.seed(2)
  g <- fit_gibbs(f, chains = 4, iter = 2500)
  s <- summary(g)
  expect_lt(max(s$rhat), 1.02)
  # the limit is a half-normal prior on sigma_u
  tau <- f$posterior$tau
  ref <- exact_quadrature(cbind(1, d$x), indicator(d$g), d$y,
    prior = list(mean = c(mean(d$y), 0), cov = diag(1e4, 2), e = list(df = 3, scale = 2.5 * sd(d$y)),
      u = list(df = 1e4, scale = 2)),
    centre = tau$psi$mean, spread = 1.3 * sqrt(diag(tau$psi$cov_lrvb)), half_width = 8, step = .5)
  row <- s$variable == "log_tau_u[g]"
  # the coefficients' priors differ a little: wide ones in both
  expect_lt(abs(s$mean[row] - ref$log_tau_u[1]), 4 * s$mcse_mean[row] + .02)
})

test_that("chains that disagree are announced", {
  f <- fit_vb(log_radon ~ floor + (1 | county), radon)
  set.seed(1)
  g <- fit_gibbs(f, chains = 2, iter = 500, warmup = 100)
  g$draws[, 1, "tau_u[county]"] <- 5 * g$draws[, 1, "tau_u[county]"]
  expect_warning(check_mixing(g), class = "meanfield_warning_convergence")
  expect_silent(check_mixing(fit_gibbs(f, chains = 2, iter = 500, warmup = 100)))
})

test_that("the normals of the sampler are normal, tails included", {
  set.seed(8)
  n <- 2e6
  z <- call_test_normals(n)
  se <- sqrt(c(1, 2, 15, 96) / n) # of the first four moments
  expect_lt(max(abs(c(mean(z), mean(z^2) - 1, mean(z^3), mean(z^4) - 3)) / se), tol_mcse)
  cuts <- c(-Inf, -4.5, -4, -3.442619855899, -3, -2, -1, -.5, -.1, 0, .1, .5, 1, 2, 3,
    3.442619855899, 4, 4.5, Inf)
  p <- diff(pnorm(cuts))
  chi <- sum((table(cut(z, cuts)) - n * p)^2 / (n * p))
  expect_gt(pchisq(chi, length(p) - 1, lower.tail = FALSE), 1e-3)
  fine <- table(cut(pnorm(z), seq(0, 1, length.out = 501)))
  expect_gt(pchisq(sum((fine - n / 500)^2) / (n / 500), 499, lower.tail = FALSE), 1e-3)
  expect_gt(suppressWarnings(ks.test(z[1:2e5], "pnorm")$p.value), 1e-3)
  expect_lt(abs(cor(z[-1], z[-n])) * sqrt(n), tol_mcse)
})
