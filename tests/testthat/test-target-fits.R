# Fits of this package as targets, and their Hamiltonian sampler.

fits <- joint_fits()

test_that("the gradient of the joint density is that of its values, in every coordinate", {
  for (name in names(fits)) {
    case <- joint_case(fits[[name]])
    for (scale in case$scale) {
      X <- in_units(case, scale)
      d <- nrow(X)
      own <- call_joint(case$core, case$centre, scale, X)
      for (i in 1:2) {
        h <- 1e-5 * pmax(1, abs(X[, i]))
        P <- cbind(X[, i] + diag(h, d), X[, i] - diag(h, d))
        v <- call_joint(case$core, case$centre, scale, P, FALSE)$lp
        slope <- (v[seq_len(d)] - v[d + seq_len(d)]) / (2 * h)
        expect_lt(max(abs(own$gradient[, i] - slope) / (1 + abs(slope))), 1e-6, label = name)
      }
      back <- call_joint_theta(case$core, case$centre, scale, X)$theta
      expect_equal(back, case$x[seq_len(nrow(back)), , drop = FALSE], tolerance = 1e-9)
    }
  }
})

test_that("units of the effects change the density by their volume alone", {
  for (name in names(fits)) {
    case <- joint_case(fits[[name]])
    plain <- call_joint(case$core, case$centre, case$scale[[1L]], case$x, FALSE)$lp
    for (scale in case$scale[-1L]) {
      own <- call_joint(case$core, case$centre, scale, in_units(case, scale), FALSE)$lp
      expect_equal(own, plain + log_units(case, scale), tolerance = 1e-9, label = name)
    }
  }
})

# log p(y, theta, psi) = log p(y, psi) + log p(theta | psi, y), of which the Gaussian model's
# integrator knows both.
test_that("the joint density of a Gaussian model is marginal times conditional", {
  for (name in c("linear", "weighted", "vector", "wishart")) {
    case <- joint_case(fits[[name]])
    theta <- seq_len(case$core$layout$dim$theta)
    for (i in seq_len(ncol(case$x))) {
      psi <- case$x[-theta, i, drop = FALSE]
      q <- call_nest_mixture(case$core, case$centre, psi, 1, dense = TRUE)$result
      R <- chol(q$cov)
      dev <- backsolve(R, case$x[theta, i] - q$mean, transpose = TRUE)
      conditional <- -sum(dev^2) / 2 - sum(log(diag(R))) - length(dev) / 2 * log(2 * pi)
      x <- case$x[, i, drop = FALSE]
      lp <- call_joint(case$core, case$centre, case$scale[[1L]], x, FALSE)$lp
      expect_equal(lp, call_nest_log_density(case$core, case$centre, psi) + conditional,
        tolerance = 1e-10)
    }
  }
})

test_that("the joint density of counts is the one written by hand", {
  d <- joint_data()
  half_t <- function(sigma, df, A) log(2) + stats::dt(sigma / A, df, log = TRUE) - log(A)
  fit <- fit_vb(spread ~ x + (1 | g), d, family = neg_binomial(), integrate = "no",
    prior = priors(beta = normal_prior(1, 2), tau_u = half_t_prior(3, 0.7),
      phi = gamma_prior(2, 0.5)))
  case <- joint_case(fit)
  j <- c(case[c("model", "core", "centre")], list(scale = case$scale[[1L]]))
  for (i in 1:3) {
    v <- joint_statistics(j, case$x[, i, drop = FALSE])
    eta <- v$beta[1L] + v$beta[2L] * d$x + v$u[d$g]
    phi <- v$t[1L]
    sigma <- 1 / sqrt(v$t[2L])
    by_hand <- sum(stats::dnbinom(d$spread, size = phi, mu = exp(eta), log = TRUE)) +
      sum(stats::dnorm(v$beta, 1, 2, log = TRUE)) + sum(stats::dnorm(v$u, 0, sigma, log = TRUE)) +
      stats::dgamma(phi, 2, 0.5, log = TRUE) + log(phi) +
      half_t(sigma, 3, 0.7) + log(sigma / 2) # psi = -2 log sigma
    lp <- call_joint(case$core, case$centre, case$scale[[1L]], case$x[, i, drop = FALSE], FALSE)$lp
    expect_equal(lp, by_hand, tolerance = 1e-10)
  }
})

test_that("points far away have no density, and no gradient", {
  case <- joint_case(fits$count)
  x <- case$x
  x[nrow(x), 2L] <- 400
  x[1L, 3L] <- 1e5
  own <- call_joint(case$core, case$centre, case$scale[[1L]], x)
  expect_identical(own$lp[2:3], c(-Inf, -Inf))
  expect_true(all(is.na(own$gradient[, 2:3])) && !anyNA(own$gradient[, 1L]))
})

# ---- targets -------------------------------------------------------------------------------------

test_that("a fit's target has its evidence", {
  linear <- fits$linear # a flat prior
  expect_equal(fit_exact(as_target(linear))$log_evidence, fit_exact(linear)$log_evidence,
    tolerance = 1e-6)
  d <- joint_data()
  one <- fit_vb(count ~ 1, d, family = stats::poisson(), prior = priors(beta = normal_prior(0, 1)))
  peak <- log(mean(d$count))
  log_joint <- function(b) {
    vapply(b, function(b) sum(stats::dpois(d$count, exp(b), log = TRUE)), 0) +
      stats::dnorm(b, log = TRUE)
  }
  b <- peak + seq(-1, 1, length.out = 4001)
  direct <- log(sum(exp(log_joint(b) - log_joint(peak))) / 2000) + log_joint(peak)
  expect_equal(fit_exact(as_target(one))$log_evidence, direct, tolerance = 1e-6)
})

test_that("variables of a fit's target are the fit's, and values are its draws'", {
  for (name in c("vector", "count", "spread", "plain")) {
    fit <- fits[[name]]
    tgt <- as_target(fit)
    expect_s3_class(tgt, "meanfield_target")
    expect_identical(tgt$variables$variable, summary(fit, pars = "u")$variable)
    v <- target_values(tgt, cbind(tgt$init, tgt$init + 0.1))
    expect_false(anyNA(v))
    p <- constrain_list(tgt, tgt$init)
    expect_equal(unlist(p), v[, 1L])
    expect_output(print(tgt), "beta\\[\\(Intercept\\)\\]")
  }
})

test_that("fit_vb() of a fit's target agrees with fit_exact() of the model", {
  d <- joint_data()
  fit <- fit_vb(normal ~ x + (1 | g), d)
  exact <- fit_exact(fit)
  vb <- suppressWarnings(fit_vb(as_target(fit)))
  a <- summary(vb)
  b <- summary(exact, pars = "u")
  at <- !is.na(b$sd)
  expect_lt(max(abs(a$mean - b$mean)[at] / b$sd[at]), 0.05)
  expect_lt(max(abs(a$sd / b$sd - 1)[at]), 0.06)
  expect_lt(abs(vb$log_evidence - exact$log_evidence), 0.1)
})

# ---- the sampler ---------------------------------------------------------------------------------

# Means and SDs of all variables, effects too, in standard errors: the largest, of which there are a
# hundred, and their root mean square.
expect_same_moments <- function(hmc, reference, label) {
  a <- summary(hmc, pars = "u")
  b <- summary(reference, pars = "u")
  se <- function(x, what) if (is.null(x[[what]])) 0 else x[[what]]
  z <- c((a$mean - b$mean) / sqrt(a$mcse_mean^2 + se(b, "mcse_mean")^2),
    (a$sd - b$sd) / sqrt(a$mcse_sd^2 + se(b, "mcse_sd")^2))
  expect_lt(max(abs(z), na.rm = TRUE), tol_mcse, label = label)
  expect_lt(sqrt(mean(z^2, na.rm = TRUE)), 1.5, label = label)
}

test_that("Gaussian models: fit_hmc() has fit_exact()'s moments, by both methods", {
  for (name in c("linear", "weighted", "wishart")) {
    exact <- fit_exact(fits[[name]])
    for (method in c("nuts", "hmc")) {
      set.seed(27)
      hmc <- fit_hmc(exact, iter = 1000, warmup = 300, method = method, target_accept = 0.9)
      expect_same_moments(hmc, exact, paste(name, method))
      expect_true(hmc$converged)
    }
  }
})

test_that("generalised models: fit_hmc() has fit_gibbs()'s moments", {
  for (name in c("count", "spread", "plain")) {
    set.seed(22)
    gibbs <- suppressWarnings(fit_gibbs(fits[[name]], iter = 4000, warmup = 500))
    hmc <- fit_hmc(fits[[name]], iter = 1500, warmup = 500)
    expect_same_moments(hmc, gibbs, name)
  }
})

test_that("in the fitted metric a regression takes at most 10 gradients per effective draw", {
  for (name in c("linear", "plain")) {
    set.seed(23)
    hmc <- fit_hmc(fits[[name]], iter = 1500, warmup = 300)
    expect_lt(hmc$sampler$asked / min(summary(hmc)$ess_bulk), 10)
    short <- fit_hmc(fits[[name]], iter = 1500, warmup = 300, method = "hmc")
    expect_lt(short$sampler$asked / min(summary(short)$ess_bulk), 10)
  }
})

test_that("the units of the effects are their conditional distributions", {
  d <- joint_data()
  fit <- fit_vb(normal ~ x + (1 | g), d)
  j <- joint_of(fit)
  own <- j$scale[[2L]]
  tau <- exp(mean(log(joint_draws(posterior_of(fit), 4000, TRUE)$tau[, 1L])))
  expect_equal(drop(own$W) / (tau * tabulate(d$g)), rep(1, 9), tolerance = 0.02)
  u <- rowMeans(posterior_coordinates(posterior_of(fit), j$core))[effect_rows(j$model, 2L)]
  Lambda <- exp(j$m[length(j$m)])
  expect_equal(drop(own$b) / (drop(own$W) + Lambda), u, tolerance = 0.05)
})

test_that("an hmc_fit is used as a Gibbs fit is", {
  fit <- fits$count
  set.seed(25)
  hmc <- fit_hmc(fit, chains = 2, iter = 400, warmup = 150)
  expect_s3_class(hmc, c("hmc_fit", "gibbs_fit", "regression_fit", "meanfield_fit"), exact = TRUE)
  gibbs <- suppressWarnings(fit_gibbs(fit, chains = 2, iter = 400, warmup = 150))
  expect_true(all(setdiff(names(gibbs), "tuning") %in% names(hmc)))
  expect_identical(dimnames(hmc$draws), dimnames(gibbs$draws))
  expect_identical(dim(hmc$u_draws), dim(gibbs$u_draws))
  expect_identical(summary(hmc)$variable, summary(gibbs)$variable)
  expect_equal(hmc$u$mean, unname(apply(hmc$u_draws, 3L, mean)))
  expect_equal(hmc$u$sd, unname(apply(hmc$u_draws, 3L, stats::sd)))
  expect_identical(names(ranef(hmc)), c("g", "h"))
  expect_s3_class(VarCorr(hmc), class(VarCorr(gibbs)))
  expect_length(predict(hmc), 160L)
  expect_identical(dim(as_draws(hmc)), dim(as_draws(gibbs)))
  expect_output(print(hmc), "No-U-turn sampler\nFormula: count")
  expect_output(print(sd_ratio_report(fit, reference = hmc)), "Hamiltonian Monte Carlo of the same")
  again <- update(hmc, . ~ . - (1 | h))
  expect_s3_class(again, "hmc_fit")
  expect_identical(again$iter, 400L)
})

test_that("every door leads to the same chains", {
  d <- joint_data()
  set.seed(26)
  one <- fit_hmc(normal ~ x + (1 | g), d, chains = 2, iter = 200, warmup = 100)
  set.seed(26)
  expect_identical(fit_hmc("normal ~ x + (1 | g)", d, chains = 2, iter = 200, warmup = 100)$draws,
    one$draws)
  set.seed(26)
  expect_identical(fit_hmc(d, normal ~ x + (1 | g), chains = 2, iter = 200, warmup = 100)$draws,
    one$draws)
  set.seed(26)
  sums <- fit_hmc(gram(normal ~ x + (1 | g), d), chains = 2, iter = 200, warmup = 100)
  expect_equal(sums$draws, one$draws, tolerance = 1e-6)
  set.seed(26)
  from_vb <- fit_hmc(fit_vb(normal ~ x + (1 | g), d, integrate = "no"), chains = 2, iter = 200,
    warmup = 100)
  expect_identical(from_vb$draws, one$draws)
  before <- .Random.seed
  as_target(one) # from its own draws, without the generator
  expect_identical(.Random.seed, before)
})

test_that("mixtures and models without parameters are refused", {
  mix <- gaussian_mixture(datasets::faithful, 2)
  expect_error(fit_hmc(mix), class = "meanfield_error_mixture")
  expect_error(fit_hmc(fit_vb(mix)), "fit_gibbs", class = "meanfield_error_mixture")
  expect_error(as_target(fit_vb(mix)), class = "meanfield_error_mixture")
  d <- joint_data()
  expect_error(fit_hmc(count ~ 0, d, family = stats::poisson()), class = "meanfield_error_formula")
})
