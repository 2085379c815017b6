# Simulation-based calibration of the sampler [Talts et al. 2018]: parameters from the prior,
# data given parameters, and the rank of each parameter among its thinned posterior draws must
# be uniform. 20 bins, chi-square not rejected at .001, for three shapes of model.

sbc_ranks <- function(sets, seed, simulate, formula, prior, variables) {
  set.seed(seed)
  t(vapply(seq_len(sets), function(i) {
    s <- simulate()
    fit <- suppressWarnings(fit_vb(formula, s$data, prior = prior))
    g <- suppressWarnings(fit_gibbs(fit, chains = 1, iter = 100 + 99 * 12, warmup = 100, thin = 12,
      save_u = FALSE))
    d <- as_draws_matrix(g)
    vapply(variables, function(v) sum(d[, v] < s$truth[[v]]), 0)
  }, numeric(length(variables))))
}

# 200 sets in CI, 2,000 at level 3
sets <- function() if (test_level() >= 3) 2000 else 200
half_t_sd <- function(df, scale) abs(rt(1, df)) * scale

test_that("random intercepts, half-t", {
  g <- gl(6, 4)
  x <- rep(c(-1, 1), 12)
  simulate <- function() {
    b <- rnorm(2)
    su <- half_t_sd(4, 1)
    se <- half_t_sd(4, 1)
    y <- b[1] + b[2] * x + rnorm(6, 0, su)[g] + rnorm(24, 0, se)
    list(data = data.frame(y, x, g), truth = list("beta[(Intercept)]" = b[1], "beta[x]" = b[2],
      sigma_e = se, "sigma_u[g]" = su))
  }
  expect_uniform(sbc_ranks(sets(), 1, simulate, y ~ x + (1 | g),
    priors(normal_prior(0, 1), half_t_prior(4, 1), half_t_prior(4, 1)),
    c("beta[(Intercept)]", "beta[x]", "sigma_e", "sigma_u[g]")))
})

test_that("correlated slopes, Wishart", {
  g <- gl(8, 4)
  x <- rep(c(-1, -.3, .3, 1), 8)
  W <- diag(c(.2, .3))
  simulate <- function() {
    b <- rnorm(2)
    L <- stats::rWishart(1, 5, W)[, , 1]
    te <- rgamma(1, 3, 2)
    u <- t(backsolve(chol(L), matrix(rnorm(16), 2)))
    y <- b[1] + b[2] * x + u[g, 1] + u[g, 2] * x + rnorm(32) / sqrt(te)
    V <- solve(L)
    list(data = data.frame(y, x, g), truth = list("beta[x]" = b[2], tau_e = te,
      "sigma_u[g:(Intercept)]" = sqrt(V[1, 1]), "sigma_u[g:x]" = sqrt(V[2, 2]),
      "rho_u[g:(Intercept),x]" = V[1, 2] / sqrt(V[1, 1] * V[2, 2])))
  }
  expect_uniform(sbc_ranks(sets(), 2, simulate, y ~ x + (x | g),
    priors(normal_prior(0, 1), gamma_prior(3, 2), wishart_prior(5, W)),
    c("beta[x]", "tau_e", "sigma_u[g:(Intercept)]", "sigma_u[g:x]", "rho_u[g:(Intercept),x]")))
})

test_that("crossed factors, half-t vector and gamma", {
  d0 <- expand.grid(g = factor(1:6), h = factor(1:4))
  d0$x <- rep(c(-1, 1, .5), 8)
  simulate <- function() {
    b <- rnorm(1)
    nu <- 2
    a <- 1 / rgamma(2, .5, 1 / c(1, .5)^2)
    L <- stats::rWishart(1, nu + 1, diag(a / (2 * nu)))[, , 1]
    th <- rgamma(1, 2, 1)
    te <- rgamma(1, 3, 2)
    u <- t(backsolve(chol(L), matrix(rnorm(12), 2)))
    d0$y <- b + u[d0$g, 1] + u[d0$g, 2] * d0$x + (rnorm(4) / sqrt(th))[d0$h] + rnorm(24) / sqrt(te)
    V <- solve(L)
    list(data = d0, truth = list("beta[(Intercept)]" = b, tau_e = te, "tau_u[h]" = th,
      "sigma_u[g:x]" = sqrt(V[2, 2]), "rho_u[g:(Intercept),x]" = V[1, 2] / sqrt(V[1, 1] * V[2, 2])))
  }
  expect_uniform(sbc_ranks(sets(), 3, simulate, y ~ 1 + (x | g) + (1 | h),
    priors(normal_prior(0, 1), gamma_prior(3, 2), list(g = half_t_prior(2, c(1, .5)),
      h = gamma_prior(2, 1))),
    c("beta[(Intercept)]", "tau_e", "tau_u[h]", "sigma_u[g:x]", "rho_u[g:(Intercept),x]")))
})
