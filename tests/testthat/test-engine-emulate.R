# Integration with few conditional fits, against a lattice of many and against itself.

emulated <- function(fit) {
  core <- engine_core(fit$model)
  centre <- vb_centre(core, fit$vb)
  list(core = core, centre = centre,
    nodes = emulate_precisions(core, centre, nest_start(fit$posterior$tau)))
}

emulate_data <- function() {
  set.seed(7)
  d <- data.frame(x = rnorm(72), g = gl(9, 8), h = factor(rep(1:6, 12)))
  eta <- .4 * d$x + rnorm(9, 0, .7)[d$g] + rnorm(6, 0, .4)[d$h]
  d$y <- eta + rnorm(72)
  d$k <- rpois(72, exp(eta))
  d
}

# The largest difference of a mean or SD of log precisions and SDs, in SDs.
emulate_error <- function(e, exact) {
  own <- own_coordinates(e$core)
  of <- function(n) weighted_moments(rbind(n$psi, exp(-n$psi[own, , drop = FALSE] / 2)), n$weights)
  a <- of(e$nodes)
  b <- of(exact)
  max(abs(a$mean - b$mean) / b$sd, abs(a$sd / b$sd - 1))
}

test_that("a dozen fits integrate a Gaussian model as thousands do", {
  d <- emulate_data()
  for (f in list(y ~ x + (1 | g), y ~ x + (1 | g) + (1 | h))) {
    fit <- fit_vb(f, d, integrate = "no")
    e <- emulated(fit)
    expect_lte(e$nodes$points, 13L)
    error <- emulate_error(e, fit_exact(fit)$integrated)
    expect_lt(error, 5e-3)
    expect_gt(e$nodes$error, error / 3)
    expect_equal(colSums(e$nodes$fits$A), rep(1, length(e$nodes$weights)), tolerance = 1e-6)
  }
})

test_that("counts and a dispersion are emulated to the density itself", {
  d <- emulate_data()
  for (family in list(poisson(), neg_binomial())) {
    e <- emulated(fit_vb(k ~ x + (1 | g), d, family = family, integrate = "no"))
    n <- e$nodes
    off <- call_nest_log_density(e$core, e$centre, n$psi) - n$log_density
    off <- off - sum(n$weights * off)
    expect_lt(sqrt(sum(n$weights * off^2)), .05)
  }
})
