# Hamiltonian Monte Carlo of any log density: the engine on evaluators, and fit_hmc() of targets.
# Moments are judged in Monte Carlo standard errors at fixed seeds.

both <- c("nuts", "hmc")

# Largest distance of means, SDs from the truth in standard errors; z: iteration x chain x variable.
worst_z <- function(z, mean, sd) {
  z <- array(z, c(dim(z)[1:2], length(z) / prod(dim(z)[1:2])))
  each <- vapply(seq_len(dim(z)[3L]), function(j) {
    x <- matrix(z[, , j], dim(z)[1L])
    c((mean(x) - mean[j]) / posterior::mcse_mean(x), (stats::sd(x) - sd[j]) / posterior::mcse_sd(x))
  }, numeric(2L))
  max(abs(each))
}

standard_normal <- function(Z, gradient = TRUE) list(lp = -colSums(Z^2) / 2, gradient = -Z)

test_that("at small steps the variance of N(0, 1) is 1, not 1/2", {
  for (method in both) {
    set.seed(1)
    run <- hmc_run(standard_normal, 0, matrix(1), 4, 4000, 0, method, first_step = 0.1,
      max_step = 0.1, max_leapfrogs = 100)
    expect_equal(run$step, rep(0.1, 4))
    expect_lt(worst_z(run$z, 0, 1), tol_mcse)
    expect_lt(posterior::mcse_sd(run$z[, , 1L]), 0.02) # 1/sqrt(2) would be 14 of these off
  }
})

test_that("a correlated normal in its metric, in none, and in a diagonal", {
  S <- rough_covariance(6, 10^(-2:3))
  mu <- 1:6
  ev <- gaussian_evaluator(mu, S)
  fitted <- t(chol(S))
  for (method in both) {
    set.seed(2)
    run <- hmc_run(ev, mu, fitted, 4, 1500, 500, method)
    expect_lt(worst_z(run$z, mu, sqrt(diag(S))), tol_mcse)
    expect_lt(run$asked / min(apply(run$z, 3L, posterior::ess_bulk)), 10)
    learned <- hmc_run(ev, mu, diag(sqrt(diag(S)) * 3^(-2:3)), 4, 1500, 1000, method,
      adapt_metric = TRUE)
    expect_lt(worst_z(learned$z, mu, sqrt(diag(S))), tol_mcse)
    left <- svd(backsolve(fitted, learned$L, upper.tri = FALSE))$d
    expect_true(all(left > 0.7 & left < 1.4))
    flat <- hmc_run(ev, mu, rep(1, 6), 4, 1500, 1000, method, adapt_metric = TRUE)
    expect_lt(max(abs(log(flat$L / sqrt(diag(S))))), 0.3)
    expect_lt(worst_z(flat$z, mu, sqrt(diag(S))), tol_mcse)
  }
})

test_that("both methods have the moments of a banana and of log-gamma variables, and agree", {
  log_gamma <- pointwise_evaluator(function(z) 2 * z - exp(z), function(z) 2 - exp(z))
  for (method in both) {
    set.seed(3)
    run <- hmc_run(log_gamma, digamma(2), sqrt(trigamma(2)), 4, 6000, 500, method)
    expect_lt(worst_z(run$z, digamma(2), sqrt(trigamma(2))), tol_mcse)
    run <- hmc_run(banana_evaluator, c(0, 1), c(1, 1.5), 4, 8000, 500, method, target_accept = 0.95)
    # y = x^2 + N(0, 1/4)
    expect_lt(worst_z(run$z, c(0, 1), c(1, sqrt(2.25))), tol_mcse)
  }
})

test_that("draws come with their log density and gradient", {
  set.seed(4)
  run <- hmc_run(banana_evaluator, c(0, 1), diag(2), 3, 60, 20)
  z <- t(matrix(run$z, ncol = 2))
  at <- banana_evaluator(z)
  expect_equal(c(run$lp), at$lp)
  expect_equal(t(matrix(run$gradient, ncol = 2)), at$gradient)
  expect_identical(dim(run$z), c(40L, 3L, 2L))
  expect_identical(dim(run$divergent), c(40L, 3L))
  expect_true(all(run$accept > 0 & run$accept <= 1))
  expect_true(all(run$n_leapfrog == 2^run$depth - 1 | run$n_leapfrog < 2^(run$depth + 1)))
  # energies are kinetic and potential, just before the path
  expect_true(all(run$energy[-1L, ] >= -run$lp[-40L, ]))
})

test_that("energies and E-BFMI are right for a normal", {
  set.seed(5)
  d <- 10
  run <- hmc_run(function(Z, gradient) standard_normal(Z), numeric(d), diag(d), 4, 3000, 500)
  # H = (e'e + p'p) / 2 is Gamma(d), its change between transitions that of the momenta at most
  expect_lt(worst_z(run$energy, d, sqrt(d)), 5)
  expect_true(all(abs(energy_fraction(run$energy) - 1) < 0.3))
  stuck <- cumsum(stats::rnorm(500)) # a random walk of energies
  expect_lt(energy_fraction(cbind(stuck)), 0.2)
})

test_that("what has no density is never entered, and counts as a divergence", {
  edge <- function(Z, gradient = TRUE) {
    out <- colSums(Z > 1) > 0
    list(lp = ifelse(out, -Inf, -colSums(Z^2) / 2), gradient = ifelse(Z > 1, NA_real_, -Z))
  }
  for (method in both) {
    set.seed(6)
    run <- hmc_run(edge, c(0, 0), diag(2), 4, 400, 100, method,
      start = matrix(c(30, 0), 2, 4)) # half way to m until there is a density
    expect_true(all(run$z <= 1))
    expect_gt(sum(run$divergent), 0)
  }
  nowhere <- function(Z, gradient = TRUE) list(lp = rep(-Inf, ncol(Z)), gradient = NA * Z)
  expect_error(hmc_run(nowhere, 0, matrix(1)), class = "meanfield_error_start")
})

test_that("caps on leapfrogs, depth and points hold", {
  set.seed(7)
  tiny <- list(first_step = 1e-4, max_step = 1e-4)
  hmc <- do.call(hmc_run, c(list(standard_normal, 0, 1, 2, 30, 0, "hmc", max_leapfrogs = 5), tiny))
  expect_true(all(hmc$n_leapfrog == 5))
  nuts <- do.call(hmc_run, c(list(standard_normal, 0, 1, 2, 30, 0, "nuts", max_depth = 4), tiny))
  expect_true(all(nuts$n_leapfrog == 15))
  expect_identical(nuts$depth_hits, 60L)
  asked <- 0
  counting <- function(Z, gradient) {
    asked <<- asked + ncol(Z)
    standard_normal(Z)
  }
  part <- hmc_run(counting, 0, 1, 3, 1000, 50, max_points = 2000)
  expect_lte(part$asked, 2000)
  expect_equal(part$asked, asked)
  expect_false(part$complete)
  expect_gt(nrow(part$lp), 50)
  expect_false(anyNA(part$z))
  expect_false(any(part$z == 0))
})

test_that("windows are Stan's, scaled to short warm-ups", {
  expect_identical(metric_windows(1000), as.integer(c(75, 100, 150, 250, 450, 950)))
  expect_identical(metric_windows(10), integer())
  for (warmup in c(20, 37, 100, 149, 150, 200, 333)) {
    w <- metric_windows(warmup)
    expect_true(all(diff(w) > 0) && w[1L] > 0 && max(w) <= warmup)
  }
})

test_that("set.seed() reproduces, and an error half way leaves the generator in order", {
  once <- function(seed, method = "nuts") {
    set.seed(seed)
    run <- hmc_run(standard_normal, c(0, 0), diag(2), 2, 60, 30, method)
    list(run$z, stats::runif(2))
  }
  for (method in both) expect_identical(once(1, method), once(1, method))
  expect_false(identical(once(1), once(2)))
  calls <- 0
  failing <- function(Z, gradient) {
    calls <<- calls + 1
    if (calls > 40) stop("enough")
    standard_normal(Z)
  }
  after <- lapply(1:2, function(k) {
    calls <<- 0
    set.seed(9)
    expect_error(hmc_run(failing, 0, matrix(1), 2, 100, 10), "enough")
    stats::runif(3)
  })
  expect_identical(after[[1L]], after[[2L]])
  set.seed(9)
  expect_false(identical(stats::runif(3), after[[1L]])) # the numbers drawn stay drawn
})

test_that("answers of the wrong shape are refused before they are read", {
  expect_error(hmc_run(function(Z, gradient) list(lp = 1:3, gradient = -Z), 0, matrix(1)),
    class = "meanfield_error_internal")
  expect_error(hmc_run(function(Z, gradient) list(lp = 0, gradient = 1), 0, matrix(1)),
    class = "meanfield_error_internal")
  expect_error(hmc_run(standard_normal, 0, matrix(-1)), class = "meanfield_error_internal")
  expect_error(hmc_run(standard_normal, c(0, 0), diag(2), start = matrix(0, 3, 2)),
    class = "meanfield_error_internal")
})

test_that("metrics that are diagonal stay linear in memory", {
  d <- 3000
  set.seed(10)
  run <- hmc_run(standard_normal, numeric(d), rep(0.8, d), 2, 60, 40)
  expect_length(run$L, d)
  expect_lt(abs(mean(run$z^2) - 1), 0.05)
})

# ---- fit_hmc() -----------------------------------------------------------------------------------

correlated <- function() {
  P <- solve(matrix(c(1, 0.9, 0.9, 1.5), 2))
  target(function(p) -sum(p$x * (P %*% p$x)) / 2 - p$s + 2 * log(p$s), list(x = c(1, 1), s = 1),
    gradient = function(p) list(x = -c(P %*% p$x), s = -1 + 2 / p$s),
    constraints = list(s = positive()), generated = function(p) list(ratio = p$x[1] / p$s))
}

test_that("fit_hmc() of a target is a fit like others", {
  tgt <- correlated()
  set.seed(11)
  fit <- fit_hmc(tgt, chains = 3, iter = 900, warmup = 300)
  expect_s3_class(fit, c("target_hmc_fit", "target_fit", "meanfield_fit"), exact = TRUE)
  expect_true(fit$converged)
  s <- summary(fit)
  expect_identical(s$variable, c("x[1]", "x[2]", "s", "ratio"))
  truth <- list(mean = c(0, 0, 3), sd = sqrt(c(1, 1.5, 3)))
  expect_true(all(abs(s$mean[1:3] - truth$mean) < tol_mcse * s$mcse_mean[1:3]))
  expect_true(all(abs(s$sd[1:3] - truth$sd) < tol_mcse * s$mcse_sd[1:3]))
  expect_identical(dim(as_draws(fit)), c(600L, 3L, 4L))
  expect_identical(dim(fit$z), c(3L, 1800L))
  # draws are those of z, chain after chain
  expect_equal(as.vector(fit$draws[, 2L, "s"]), exp(fit$z[3L, 601:1200]))
  expect_equal(dim(fit$sampler$gradient), c(3L, 1800L))
  expect_output(print(fit), "No-U-turn sampler of a target, 3 dimensions.*No divergences")
  set.seed(11)
  expect_identical(fit_hmc(tgt, chains = 3, iter = 900, warmup = 300)$draws, fit$draws)
})

test_that("fit_hmc() starts from a fit, or goes on from chains", {
  tgt <- correlated()
  vb <- fit_vb(tgt)
  set.seed(12)
  for (start in list(vb, fit_hmc(vb, iter = 300, warmup = 100))) {
    fit <- fit_hmc(start, iter = 800, warmup = 200, method = "hmc")
    expect_lt(worst_z(fit$draws[, , 1:3], c(0, 0, 3), sqrt(c(1, 1.5, 3))), tol_mcse)
  }
  report <- as.data.frame(sd_ratio_report(vb, reference = fit))
  expect_true(all(abs(report$ratio_mfvb[1:2] - 1) < 0.2))
})

test_that("several modes are started from, and chains that disagree are said to", {
  two <- target(function(p) log(exp(-(p$x - 8)^2 / 2) + 0.5 * exp(-(p$x + 8)^2 / 2)), list(x = 1))
  axes <- list(list(m = 8, L = matrix(1)), list(m = -8, L = matrix(1)))
  set.seed(13)
  settings <- hmc_settings(4, 400, 100, "nuts", NULL, "auto", 10, 24)
  expect_warning(fit <- new_target_hmc_fit(quote(fit_hmc(two)), two, axes, settings),
    class = "meanfield_warning_convergence")
  expect_false(fit$converged)
  expect_output(print(fit), "R-hat above 1.01 for x")
})

test_that("a funnel's divergences are counted and warned of", {
  skip_below_level(3)
  funnel <- target(function(p) -p$v^2 / 18 - 4.5 * p$v - exp(-p$v) * sum(p$x^2) / 2,
    list(v = 0, x = numeric(9)), vectorised = FALSE,
    gradient = function(p) {
      list(v = -p$v / 9 - 4.5 + exp(-p$v) * sum(p$x^2) / 2, x = -exp(-p$v) * p$x)
    })
  axes <- list(list(m = funnel$init, L = diag(10)))
  settings <- hmc_settings(4, 600, 200, "nuts", NULL, "auto", 10, 24)
  set.seed(14)
  seen <- character()
  withCallingHandlers(fit <- new_target_hmc_fit(quote(f()), funnel, axes, settings),
    warning = function(w) {
      seen <<- c(seen, class(w)[1L])
      invokeRestart("muffleWarning")
    })
  expect_true("meanfield_warning_divergences" %in% seen)
  expect_false(fit$converged)
  expect_identical(sum(fit$sampler$divergences), sum(fit$sampler$divergent) + 0)
  expect_output(print(fit), "divergence")
})

test_that("arguments are checked", {
  tgt <- correlated()
  expect_error(fit_hmc(), class = "meanfield_error_formula")
  expect_error(fit_hmc(3), class = "meanfield_error_formula")
  expect_error(fit_hmc(tgt, iters = 3), class = "meanfield_error")
  for (bad in list(list(chains = 0), list(iter = 100, warmup = 100), list(method = "gibbs"),
    list(target_accept = 1), list(adapt_metric = "yes"), list(max_depth = 0),
    list(max_leapfrogs = 0.5))) {
    expect_error(do.call(fit_hmc, c(list(tgt), bad)), class = "meanfield_error_control")
  }
})

test_that("simulation-based calibration: ranks of a mean and an SD are uniform", {
  skip_below_level(3)
  n <- 8
  ranks <- vapply(1:240, function(k) {
    set.seed(1000 + k)
    truth <- c(stats::rnorm(1), stats::rnorm(1, 0, 0.5))
    y <- truth[1L] + exp(truth[2L]) * stats::rnorm(n)
    ev <- function(Z, gradient = TRUE) {
      r <- outer(y, Z[1L, ], `-`)
      w <- exp(-2 * Z[2L, ])
      ss <- colSums(r^2) * w
      list(lp = -Z[1L, ]^2 / 2 - 2 * Z[2L, ]^2 - n * Z[2L, ] - ss / 2,
        gradient = rbind(-Z[1L, ] + colSums(r) * w, -4 * Z[2L, ] - n + ss))
    }
    run <- hmc_run(ev, c(mean(y), log(stats::sd(y))), c(0.5, 0.25), 4, 250, 100, both[1 + k %% 2])
    thin <- seq(7, 147, by = 14) # 11 of each chain, near independent
    vapply(1:2, function(j) sum(run$z[thin, , j] < truth[j]), 0)
  }, numeric(2L))
  bins <- apply(ranks, 1L, function(r) tabulate(1L + as.integer(r * 9 / 45), 9L))
  expected <- tabulate(1L + (0:44 * 9) %/% 45, 9L) / 45
  p <- apply(bins, 2L, function(b) stats::chisq.test(b, p = expected)$p.value)
  expect_true(all(p > 0.001))
})
