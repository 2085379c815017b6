# The sampler of generalised models: against exact posteriors, one move against the other,
# calibration, trouble.

# ---- the reference itself -------------------------------------------------------------

# Trapezoid rules on fixed wide grids over beta, u and log tau; one coefficient.
brute_force <- function(y, x, g, size, prior, family, upper) {
  density <- function(y, size, eta) {
    if (family == "binomial") dbinom(y, size, plogis(eta), TRUE) else dpois(y, exp(eta), TRUE)
  }
  b <- seq(-6, 6, length.out = 101)
  l <- seq(-8, upper, by = .2)
  joint <- vapply(l, function(l) {
    s <- exp(-l / 2)
    u <- seq(-8.5 * s, 8.5 * s, by = min(.1 * s, .1)) # sharp likelihoods too
    vapply(b, function(b) {
      groups <- vapply(unique(g), function(k) {
        i <- which(g == k)
        rows <- lapply(i, function(i) density(y[i], size[i], b * x[i] + u))
        log(sum(exp(Reduce(`+`, rows) + dnorm(u, 0, s, TRUE))) * (u[2] - u[1]))
      }, 0)
      sum(groups) + dnorm(b, prior$mean, prior$sd, TRUE)
    }, 0) + log_prior_l(prior$u, l)
  }, b)
  w <- exp(joint - max(joint))
  evidence <- max(joint) + log(sum(w) * (b[2] - b[1]) * (l[2] - l[1]))
  moments <- function(x, w) {
    m <- sum(x * w) / sum(w)
    c(m, sqrt(sum(w * (x - m)^2) / sum(w)))
  }
  c(moments(b, rowSums(w)), moments(l, colSums(w)), evidence)
}

test_that("the exact reference equals brute force on tiny models", {
  skip_below_level(2)
  y <- c(1, 3, 0, 4)
  x <- c(1, .5, -.3, 2)
  g <- c(1, 1, 2, 2)
  check <- function(family, prior_u, upper) {
    prior <- list(mean = 0.2, sd = .8, u = prior_u)
    a <- brute_force(y, x, g, rep(4, 4), prior, family, upper)
    e <- glmm_exact(y, cbind(x), g, prior, family, rep(4, 4), nodes_beta = 21, drop = 40)
    expect_lt(max(abs(a - c(e$beta$mean, e$beta$sd, e$log_tau$mean, e$log_tau$sd, e$log_evidence))),
      1e-6)
  }
  check("binomial", c(2, 1.5), 6)
  check("poisson", list(df = 4, scale = 1), 60)
})

# ---- exact posteriors -------------------------------------------------------------------

set_small <- function(family, n = 60, G = 8, seed = 5) {
  set.seed(seed)
  g <- factor(rep(seq_len(G), length.out = n))
  x <- rnorm(n)
  eta <- 0.4 + 0.6 * x + rnorm(G, 0, .8)[g]
  size <- if (family == "binomial") sample(1:4, n, TRUE) else rep(1, n)
  y <- if (family == "binomial") rbinom(n, size, plogis(eta)) else rpois(n, exp(eta))
  data.frame(y = y, fail = size - y, size = size, x = x, g = g, o = rnorm(n, 0, .3))
}

# z-scores of means and SDs of beta, log tau and u in Monte Carlo errors.
exact_z <- function(fit, e) {
  s <- summary(fit, pars = "u")
  at <- function(pattern) s[grepl(pattern, s$variable), ]
  z <- function(s, mean, sd) c((s$mean - mean) / s$mcse_mean, (s$sd - sd) / s$mcse_sd)
  c(z(at("^beta"), e$beta$mean, e$beta$sd), z(at("^log_tau"), e$log_tau$mean, e$log_tau$sd),
    z(at("^u\\["), e$u$mean, e$u$sd))
}

test_that("both samplers equal quadrature: binomial, Poisson; gamma, half-t; offset, slope", {
  spec <- list(gamma = priors(normal_prior(.2, 2), tau_u = gamma_prior(2, 1)),
    half_t = priors(normal_prior(.2, 2), tau_u = half_t_prior(3, 1)))
  prior_u <- list(gamma = c(2, 1), half_t = list(df = 3, scale = 1))
  for (p in names(spec)) {
    prior <- list(mean = .2, sd = 2, u = prior_u[[p]])
    d <- set_small("binomial")
    X <- cbind(1, d$x)
    e <- glmm_exact(d$y, X, d$g, prior, "binomial", d$size, offset = d$o, nodes_beta = 13)
    for (sampler in c("polya-gamma", "hamiltonian")) {
      set.seed(1)
      f <- fit_gibbs(cbind(y, fail) ~ x + offset(o) + (1 | g), d, family = binomial(),
        prior = spec[[p]], sampler = sampler, iter = 6000)
      expect_lt(max(abs(exact_z(f, e))), tol_mcse)
    }
    d <- set_small("poisson")
    e <- glmm_exact(d$y, cbind(1, d$x), d$g, prior, "poisson", z = 1 + d$x^2 / 2, nodes_beta = 13)
    d$z <- 1 + d$x^2 / 2
    set.seed(2)
    f <- fit_gibbs(y ~ x + (0 + z | g), d, family = poisson(), prior = spec[[p]], iter = 6000)
    expect_lt(max(abs(exact_z(f, e))), tol_mcse)
  }
})

test_that("cbpp: the default run equals quadrature", {
  skip_if_not_installed("lme4")
  skip_below_level(2)
  d <- lme4::cbpp
  e <- glmm_exact(d$incidence, model.matrix(~period, d), d$herd,
    list(mean = 0, sd = 10, u = c(1, 1)), "binomial", d$size, nodes_beta = 7)
  set.seed(3)
  f <- fit_gibbs(cbind(incidence, size - incidence) ~ period + (1 | herd), d, family = binomial(),
    prior = priors(normal_prior(0, 10), tau_u = gamma_prior(1, 1)))
  expect_identical(f$sampler, "hamiltonian")
  expect_lt(max(abs(exact_z(f, e))), tol_mcse)
})

test_that("JAGS without its glm module agrees on cbpp", {
  skip_if_not_installed("lme4")
  skip_if_not_installed("rjags")
  skip_below_level(3)
  if ("glm" %in% rjags::list.modules()) rjags::unload.module("glm")
  d <- lme4::cbpp
  code <- "model {
    for (i in 1:n) { logit(p[i]) <- inprod(X[i, ], b) + u[g[i]]  y[i] ~ dbin(p[i], s[i]) }
    for (k in 1:15) { u[k] ~ dnorm(0, tau) }  for (j in 1:4) { b[j] ~ dnorm(0, 0.01) }
    tau ~ dgamma(1, 1)  l <- log(tau) }"
  m <- rjags::jags.model(textConnection(code), list(n = 56, X = unname(model.matrix(~period, d)),
    y = d$incidence, s = d$size, g = as.integer(d$herd)), quiet = TRUE, n.chains = 2,
    inits = lapply(1:2, function(k) list(.RNG.name = "base::Mersenne-Twister", .RNG.seed = k)))
  update(m, 1000, progress.bar = "none")
  draws <- rjags::coda.samples(m, c("b", "l"), 40000, progress.bar = "none")
  j <- posterior::summarise_draws(posterior::as_draws_array(draws), "mean", posterior::mcse_mean)
  e <- glmm_exact(d$incidence, model.matrix(~period, d), d$herd,
    list(mean = 0, sd = 10, u = c(1, 1)), "binomial", d$size)
  expect_lt(max(abs(j$mean - c(e$beta$mean, e$log_tau$mean)) / j[[3]]), tol_mcse)
})

test_that("negative binomial without groups equals quadrature over the intercept and log phi", {
  set.seed(6)
  d <- data.frame(y = rnbinom(40, 2, mu = 3))
  b <- seq(-1, 4, length.out = 201)
  l <- seq(-4, 9, length.out = 261)
  log_p <- outer(b, l, Vectorize(function(b, l) {
    sum(dnbinom(d$y, exp(l), mu = exp(b), log = TRUE)) + dnorm(b, 0, 3, TRUE) +
      dgamma(exp(l), 2, .5, log = TRUE) + l
  }))
  w <- exp(log_p - max(log_p)) / sum(exp(log_p - max(log_p)))
  moments <- function(x, w) c(sum(x * w), sqrt(sum(w * (x - sum(x * w))^2)))
  exact <- rbind(moments(b, rowSums(w)), moments(l, colSums(w)))
  set.seed(7)
  s <- summary(fit_gibbs(y ~ 1, d, family = neg_binomial(), iter = 5000,
    prior = priors(normal_prior(0, 3), phi = gamma_prior(2, .5))))
  s <- s[match(c("beta[(Intercept)]", "log_phi"), s$variable), ]
  expect_lt(max(abs(s$mean - exact[, 1]) / s$mcse_mean), tol_mcse)
  expect_lt(max(abs(s$sd - exact[, 2]) / s$mcse_sd), tol_mcse)
})

test_that("a large dispersion is the Poisson model", {
  d <- set_small("poisson")
  run <- function(...) {
    set.seed(8)
    summary(fit_gibbs(y ~ x + (1 | g), d, iter = 4000, ...))
  }
  a <- run(family = poisson(), prior = priors(normal_prior(0, 2)))
  b <- run(family = neg_binomial(),
    prior = priors(normal_prior(0, 2), phi = gamma_prior(1e6, 1e-3)))
  b <- b[match(a$variable, b$variable), ]
  z <- (a$mean - b$mean) / sqrt(a$mcse_mean^2 + b$mcse_mean^2)
  expect_lt(max(abs(z), na.rm = TRUE), tol_mcse)
})

test_that("Polya-Gamma and Hamiltonian moves agree: crossed factors, vector terms, weights", {
  set.seed(9)
  d <- data.frame(g = gl(12, 20), h = factor(rep(1:8, length.out = 240)), x = rnorm(240),
    w = sample(1:3, 240, TRUE))
  eta <- .3 + rnorm(12)[d$g] + rnorm(12, 0, .7)[d$g] * d$x + rnorm(8)[d$h]
  d$p <- rbinom(240, d$w, plogis(eta)) / d$w
  run <- function(sampler) {
    set.seed(10)
    f <- fit_gibbs(p ~ x + (x | g) + (1 | h), d, family = binomial(), weights = w,
      sampler = sampler, iter = 4000)
    summary(f)
  }
  a <- run("polya-gamma")
  b <- run("hamiltonian")
  expect_lt(max(a$rhat, b$rhat), 1.02)
  z <- (a$mean - b$mean) / sqrt(a$mcse_mean^2 + b$mcse_mean^2)
  z_sd <- (a$sd - b$sd) / sqrt(a$mcse_sd^2 + b$mcse_sd^2)
  finite <- !is.na(a$mean) # precisions under half-t have no moments
  expect_equal(sum(finite), 2 + 5 + 3) # log SDs, SDs and a correlation of g; one term of h
  expect_lt(max(abs(z[finite])), tol_mcse)
  expect_lt(max(abs(z_sd[finite])), tol_mcse)
})

# ---- calibration ---------------------------------------------------------------------------

# As in test-sbc.R; a set's data hold column n when rows have several trials.
glmm_sbc <- function(seed, simulate, formula, family, prior, sampler = "auto") {
  set.seed(seed)
  sets <- if (test_level() >= 3) 2000 else 200
  t(sapply(seq_len(sets), function(i) {
    s <- simulate()
    f <- suppressWarnings(fit_gibbs(formula, s$data, family = family, prior = prior, weights = n,
      chains = 1, iter = 200 + 99 * 8, warmup = 200, thin = 8, sampler = sampler))
    d <- as_draws_matrix(f)
    vapply(names(s$truth), function(v) sum(d[, v] < s$truth[[v]]), 0)
  }))
}

sbc_frame <- function(n = 1) data.frame(x = rep(c(-1, .2, 1), 8), g = gl(6, 4), n = n)

test_that("simulation-based calibration: binomial, both samplers", {
  skip_below_level(2)
  d0 <- sbc_frame(rep(1:2, 12))
  simulate <- function() {
    b <- rnorm(2)
    s <- abs(rt(1, 4))
    u <- rnorm(6, 0, s)
    d0$y <- rbinom(24, d0$n, plogis(b[1] + b[2] * d0$x + u[d0$g])) / d0$n
    list(data = d0, truth = list("beta[(Intercept)]" = b[1], "beta[x]" = b[2], "sigma_u[g]" = s,
      "u[g:3]" = u[3]))
  }
  for (sampler in c("polya-gamma", "hamiltonian")) {
    expect_uniform(glmm_sbc(11, simulate, y ~ x + (1 | g), binomial(),
      priors(normal_prior(0, 1), tau_u = half_t_prior(4, 1)), sampler))
  }
})

test_that("simulation-based calibration: Poisson with correlated slopes, negative binomial", {
  skip_below_level(2)
  d0 <- sbc_frame()
  W <- diag(c(.4, .6))
  correlated <- function() {
    b <- rnorm(2, 0, .7)
    L <- stats::rWishart(1, 6, W)[, , 1]
    u <- t(backsolve(chol(L), matrix(rnorm(12), 2)))
    V <- solve(L)
    d0$y <- rpois(24, exp(b[1] + b[2] * d0$x + u[d0$g, 1] + u[d0$g, 2] * d0$x))
    list(data = d0, truth = list("beta[x]" = b[2], "sigma_u[g:(Intercept)]" = sqrt(V[1, 1]),
      "sigma_u[g:x]" = sqrt(V[2, 2]), "rho_u[g:(Intercept),x]" = V[1, 2] / sqrt(V[1, 1] * V[2, 2])))
  }
  expect_uniform(glmm_sbc(12, correlated, y ~ x + (x | g), poisson(),
    priors(normal_prior(0, .7), tau_u = wishart_prior(6, W))))
  dispersed <- function() {
    b <- rnorm(2, 1, .7)
    tau <- rgamma(1, 2, 1)
    phi <- rgamma(1, 2, 1)
    d0$y <- rnbinom(24, phi, mu = exp(b[1] + b[2] * d0$x + (rnorm(6) / sqrt(tau))[d0$g]))
    list(data = d0, truth = list("beta[(Intercept)]" = b[1], "tau_u[g]" = tau, phi = phi))
  }
  expect_uniform(glmm_sbc(13, dispersed, y ~ x + (1 | g), neg_binomial(),
    priors(normal_prior(1, .7), tau_u = gamma_prior(2, 1), phi = gamma_prior(2, 1))))
})

# ---- the object, trouble ---------------------------------------------------------------------

test_that("set.seed reproduces; a fit of either engine can be sampled; methods work", {
  d <- set_small("poisson")
  run <- function(...) {
    set.seed(14)
    fit_gibbs(y ~ x + (1 | g), d, family = poisson(), chains = 2, iter = 400, warmup = 100, ...)
  }
  a <- run()
  expect_identical(a$draws, run()$draws)
  expect_equal(dim(a$draws), c(300, 2, 3))
  expect_identical(dimnames(a$draws)[[3]], c("beta[(Intercept)]", "beta[x]", "tau_u[g]"))
  expect_equal(a$u$mean, unname(colMeans(matrix(a$u_draws, 600))), tolerance = 1e-12)
  expect_identical(run(save_u = FALSE)$draws, a$draws)
  expect_equal(dim(run(thin = 3)$draws)[1], 100)
  expect_true(all(a$tuning$accept > .5 & a$tuning$step > 0))
  set.seed(14)
  expect_identical(fit_gibbs(a, chains = 2, iter = 400, warmup = 100)$draws, a$draws)
  expect_s3_class(as_draws_df(a), "draws_df")
  expect_output(print(a), "sigma_u\\[g\\]")
  nb <- suppressWarnings(fit_gibbs(y ~ x + (1 | g), d, family = neg_binomial(), chains = 2,
    iter = 400, warmup = 100))
  expect_true(all(c("phi", "log_phi", "log_tau_u[g]") %in% summary(nb)$variable))
})

test_that("settings that cannot work are refused by name", {
  d <- set_small("poisson")
  refused <- function(arg, ...) {
    err <- expect_error(fit_gibbs(y ~ x + (1 | g), d, ...), class = "meanfield_error_control")
    expect_identical(err$arg, arg)
  }
  refused("sampler", family = poisson(), sampler = "polya-gamma")
  refused("sampler", family = poisson(), sampler = "nuts")
  refused("warmup", family = poisson(), warmup = 20)
  d$p <- plogis(d$x)
  d$w <- 1.5
  err <- expect_error(suppressWarnings(fit_gibbs(p ~ x + (1 | g), d, family = binomial(),
    weights = w, sampler = "polya-gamma")), class = "meanfield_error_control")
  expect_identical(err$arg, "sampler")
})

test_that("separation, all zeros, huge counts and offsets, wide predictors: draws or a condition", {
  set.seed(15)
  d <- data.frame(x = rep(c(-1, 1), each = 30), g = factor(rep(1:10, 6)), zero = 0, one = 1)
  d$sep <- as.numeric(d$x > 0)
  d$big <- rpois(60, 1e8)
  d$wide <- 1e4 * rnorm(60)
  d$count <- rpois(60, 3)
  d$far <- 500
  sound <- function(...) {
    f <- suppressWarnings(fit_gibbs(..., chains = 1, iter = 400, warmup = 200))
    expect_true(all(is.finite(f$draws)))
  }
  for (sampler in c("polya-gamma", "hamiltonian")) {
    sound(sep ~ x + (1 | g), d, family = binomial(), sampler = sampler)
    sound(zero ~ x + (1 | g), d, family = binomial(), sampler = sampler)
    sound(one ~ x + (1 | g), d, family = binomial(), sampler = sampler)
    sound(sep ~ wide + (1 | g), d, family = binomial(), sampler = sampler)
  }
  sound(zero ~ x + (1 | g), d, family = poisson())
  sound(big ~ x + (1 | g), d, family = poisson())
  sound(count ~ wide + (1 | g), d, family = poisson())
  sound(count ~ x + offset(far) + (1 | g), d, family = poisson())
  sound(zero ~ x + (1 | g), d, family = neg_binomial())
  sound(big ~ x + (1 | g), d, family = neg_binomial())
})
