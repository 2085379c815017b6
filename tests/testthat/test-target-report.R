# Reports on fits of targets.

test_that("k-hat is that of the importance sample", {
  fit <- fit_vb(gamma_target())
  k <- vb_khat(fit)
  expect_identical(as.numeric(k), fit$khat)
  expect_lt(k, 0.5)
  expect_identical(attr(k, "ess"), fit$ess)
  expect_output(print(k), "k")
  expect_error(vb_khat(fit_vb(conjugate_target(), refine = "no")), class = "meanfield_error_engine")
})

test_that("sensitivities to the data's numbers are those in closed form", {
  # posterior mean of a conjugate normal: (sum y + m0 / s0^2) / (n + 1 / s0^2)
  mean_at <- function(m0, s0) conjugate_truth(m0, s0)$mean
  slope <- c((mean_at(1 + 1e-4, 2) - mean_at(1 - 1e-4, 2)), mean_at(1, 2 + 1e-4) - mean_at(1, 2 - 1e-4)) /
    2e-4
  for (fit in list(fit_exact(conjugate_target()), fit_vb(conjugate_target()))) {
    tol <- if (inherits(fit, "target_exact_fit")) 0.02 else 0.15 # 1,024 points
    s <- vb_sensitivity(fit)
    expect_identical(dimnames(s), list("mu", c("m0", "s0")))
    expect_equal(unname(s[1L, ]), slope, tolerance = tol)
    scaled <- vb_sensitivity(fit, scaled = TRUE)
    expect_equal(unname(scaled[1L, ]), unname(s[1L, ]) * c(1, 2) / summary(fit)$sd)
  }
  expect_error(vb_sensitivity(fit_vb(gamma_target())), class = "meanfield_error_target")
})

test_that("SD ratios against the exact posterior and against chains", {
  fit <- fit_vb(gamma_target())
  exact <- fit_exact(fit)
  report <- sd_ratio_report(fit, exact)
  t <- as.data.frame(report)
  expect_identical(report$reference, "exact")
  s <- summary(fit)
  expect_equal(t$ratio_mfvb, s$sd_mfvb / summary(exact)$sd, tolerance = 1e-8)
  # the Gaussian of log(Gamma(3)): sd^2 = 1 / E rate = 1 / 3, so known
  v <- 1 / 3
  expect_equal(s$sd_mfvb[1L], exp(log(3) - v / 2 + v / 2) * sqrt(expm1(v)), tolerance = 0.01)
  set.seed(1)
  hmc <- suppressWarnings(fit_hmc(fit, chains = 2, iter = 1500, warmup = 300))
  against <- sd_ratio_report(fit, hmc)
  expect_identical(against$reference, "hmc")
  expect_lt(max(abs(as.data.frame(against)$ratio_mfvb / t$ratio_mfvb - 1)), 0.15)
  expect_output(print(against), "Hamiltonian Monte Carlo of the same model")
  expect_output(print(report), "exact integration of the same model")
  expect_error(sd_ratio_report(fit, fit_exact(conjugate_target())), class = "meanfield_error")
  expect_error(sd_ratio_report(exact), class = "meanfield_error")
})

test_that("linear response and its ratios are there without refinement", {
  n <- normal_target(3L)
  fit <- fit_vb(n$target, approximation = "meanfield")
  t <- as.data.frame(sd_ratio_report(fit, fit_exact(n$target)))
  expect_equal(t$ratio_lrvb, rep(1, 3L), tolerance = 1e-4)
  expect_equal(t$ratio_mfvb, 1 / sqrt(diag(solve(n$S))) / n$sd, tolerance = 1e-4)
})
