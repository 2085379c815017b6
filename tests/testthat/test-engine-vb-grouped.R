# Random intercepts against the dense twin, finite differences and the paper's table.

dense_prior <- function(half_t = FALSE) {
  list(mean = c(0, 0), cov = diag(100, 2),
    e = if (half_t) list(df = 3, scale = 2) else c(.5, .3),
    u = if (half_t) list(df = 4, scale = 1.5) else c(.7, .2))
}
package_prior <- function(half_t = FALSE) {
  priors(beta = normal_prior(0, 10),
    tau_e = if (half_t) half_t_prior(3, 2) else gamma_prior(.5, .3),
    tau_u = if (half_t) half_t_prior(4, 1.5) else gamma_prior(.7, .2))
}

test_that("means and mean-field SDs equal the dense twin's", {
  d <- small_data()
  X <- cbind(1, d$x)
  Z <- indicator(d$g)
  for (half_t in c(FALSE, TRUE)) {
    fit <- fit_vb(y ~ x + (1 | g), d, weights = w, prior = package_prior(half_t),
      integrate = "no")
    ref <- dense_vb(X, Z, d$y, d$w, dense_prior(half_t))
    expect_close(fixef(fit), ref$m[1:2], tol_twin)
    expect_close(ranef(fit)$g[[1]], ref$m[-(1:2)], tol_twin)
    expect_close(fit$posterior$tau$mean, ref$t, tol_twin)
    expect_close(vcov(fit, "mfvb"), ref$S[1:2, 1:2], tol_twin)
    expect_close(fit$posterior$u$var_mfvb, diag(ref$S)[-(1:2)], tol_twin)
    V <- vcov(fit, "mfvb", pars = "all")
    expect_close(V[1:9, 1:9], ref$S, 1e-7)
  }
})

# Column k of the linear-response covariance is the derivative of every posterior mean
# with respect to a tilt exp(h * statistic k).
fd_column <- function(X, Z, y, w, prior, stat, k, h) {
  tilted <- function(s) {
    tilt <- if (stat == "theta") {
      list(theta = replace(rep(0, ncol(X) + ncol(Z)), k, s))
    } else {
      stats::setNames(list(s), stat)
    }
    r <- dense_vb(X, Z, y, w, prior, tilt)
    c(r$m, r$t, r$mean_log)
  }
  (tilted(h) - tilted(-h)) / (2 * h)
}

test_that("LRVB equals the derivative of refitted means under a tilt", {
  d <- small_data(36, 5)
  X <- cbind(1, d$x)
  Z <- indicator(d$g)
  names <- c("beta[(Intercept)]", "beta[x]", paste0("u[g:", 1:5, "]"), "tau_e", "tau_u[g]",
    "log_tau_e", "log_tau_u[g]")
  for (half_t in c(FALSE, TRUE)) {
    fit <- fit_vb(y ~ x + (1 | g), d, weights = w, prior = package_prior(half_t),
      integrate = "no")
    V <- vcov(fit, pars = "all")[names, names]
    stats <- list(c("theta", 1), c("theta", 2), c("theta", 4), c("tau_e", NA), c("tau_u", NA),
      c("log_tau_e", NA), c("log_tau_u", NA))
    cols <- c(1, 2, 4, 8, 9, 10, 11)
    for (i in seq_along(stats)) {
      k <- as.integer(stats[[i]][2])
      h <- 1e-4 * c(1, 1, 1, 1 / fit$posterior$tau$mean[1], 1 / fit$posterior$tau$mean[2],
        1, 1)[i]
      fd <- fd_column(X, Z, d$y, d$w, dense_prior(half_t), stats[[i]][1], k, h)
      scale <- sqrt(V[cols[i], cols[i]] * diag(V))
      expect_lte(max(abs(V[, cols[i]] - fd) / scale), tol_fd)
    }
  }
})

test_that("reported SDs are those of the full covariance", {
  d <- small_data()
  fit <- fit_vb(y ~ x + (1 | g), d, prior = package_prior(), integrate = "no")
  s <- summary(fit, pars = "u")
  V <- vcov(fit, pars = "all")
  rows <- s$variable[!grepl("^(sigma|log_sigma)", s$variable)]
  expect_close(s$sd[match(rows, s$variable)], sqrt(diag(V)[rows]), 1e-10)
  # sigma by the delta method: first order in the SD of the log
  expect_close(V["sigma_u[g]", "log_tau_u[g]"],
    -V["log_tau_u[g]", "log_tau_u[g]"] / 2 * exp(-fit$posterior$tau$psi$mean[2] / 2), 1e-10)
})

test_that("the paper's design gives the published ratios to .005", {
  table <- list( # Q, tau_u, then MFVB / LRVB for tau_e, tau_u, log tau_u, intercept
    c(5, 1, .987, 1.000, .806, .935, .847, .959, .720, .720),
    c(10, 4, .978, 1.000, .353, .502, .667, .925, .919, .919),
    c(20, 1, .961, 1.000, .900, .978, .921, .996, .949, .949),
    c(50, 4, .905, .999, .539, .820, .633, .958, .990, .990),
    c(100, 1, .811, 1.000, .790, .971, .810, .993, .992, .992),
    c(100, 4, .810, .997, .483, .823, .558, .947, .997, .997)
  )
  prior <- priors(beta = normal_prior(0, 10), tau_e = gamma_prior(.01, .01),
    tau_u = gamma_prior(.01, .01))
  for (row in table) {
    d <- paper_data(row[1], row[2])
    fit <- fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = prior, integrate = "no")
    expect_gte(fit$sweeps, 4)
    expect_lte(fit$sweeps, 8)
    tau <- fit$posterior$tau
    ref <- exact_quadrature(cbind(1, d$x1, d$x2, d$x3), indicator(d$g), d$y,
      prior = list(mean = rep(0, 4), cov = diag(100, 4), e = c(.01, .01), u = c(.01, .01)),
      centre = tau$psi$mean, spread = sqrt(diag(tau$psi$cov_lrvb)), step = 0.5,
      half_width = 14)
    expect_lt(ref$edge, 1e-5)
    s <- summary(fit)
    at <- function(v, col) s[[col]][s$variable == v]
    ours <- c(
      at("tau_e", "sd_mfvb") / ref$tau_e[2], at("tau_e", "sd") / ref$tau_e[2],
      at("tau_u[g]", "sd_mfvb") / ref$tau_u[2], at("tau_u[g]", "sd") / ref$tau_u[2],
      at("log_tau_u[g]", "sd_mfvb") / ref$log_tau_u[2], at("log_tau_u[g]", "sd") / ref$log_tau_u[2],
      at("beta[(Intercept)]", "sd_mfvb") / ref$sd[1], at("beta[(Intercept)]", "sd") / ref$sd[1]
    )
    expect_lte(max(abs(ours - row[-(1:2)])), .005)
    expect_lt(as.numeric(logLik(fit)), ref$log_evidence)
  }
})

test_that("the ELBO never falls, and Newton and coordinate ascent agree", {
  cases <- list(paper_data(5, 1), paper_data(50, 4), paper_data(100, 25))
  for (d in cases) {
    for (pr in list(default_priors(), priors(beta = normal_prior(0, 10),
      tau_e = gamma_prior(.01, .01), tau_u = gamma_prior(.01, .01)))) {
      newton <- fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = pr)
      cavi <- fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = pr,
        control = vb_control(newton = FALSE, tol = 1e-12, max_iter = 5000))
      expect_true(all(cavi$trace$step == "cavi"))
      expect_true("newton" %in% newton$trace$step)
      for (f in list(newton, cavi)) {
        e <- f$trace$elbo[f$trace$step != "rejected"]
        expect_gte(min(diff(e) / abs(e[-1])), -1e-9)
      }
      expect_close(newton$vb$t, cavi$vb$t, 1e-8)
      expect_equal(fixef(newton), fixef(cavi), tolerance = 1e-8)
      expect_lt(newton$sweeps, cavi$sweeps)
    }
  }
})
