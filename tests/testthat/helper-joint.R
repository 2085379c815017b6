# Models of every family for the joint log density, and independent ways to it.

joint_data <- function() {
  set.seed(71)
  n <- 160
  d <- data.frame(g = factor(sample(9, n, TRUE)), h = factor(sample(5, n, TRUE)),
    x = stats::rnorm(n), z = stats::rnorm(n), off = stats::rnorm(n) / 5,
    trials = sample(1:5, n, TRUE),
    w = stats::runif(n) + 0.5)
  eta <- 0.3 + 0.5 * d$x + stats::rnorm(9)[d$g] * 0.6 + stats::rnorm(5)[d$h] * 0.4
  d$normal <- eta + stats::rnorm(n)
  d$count <- stats::rpois(n, exp(eta + d$off))
  d$success <- stats::rbinom(n, d$trials, stats::plogis(eta))
  d$spread <- stats::rnbinom(n, size = 2, mu = exp(eta))
  d
}

joint_fits <- function(d = joint_data()) {
  vb <- function(...) fit_vb(..., data = d, integrate = "no")
  suppressMessages(list(
    linear = vb(normal ~ x, prior = priors(beta = flat_prior(), tau_e = gamma_prior(2, 1))),
    weighted = vb(normal ~ x + (1 | g) + (1 | h), weights = w, offset = off),
    vector = vb(normal ~ x + (1 + x + z | g) + (1 | h)),
    wishart = vb(normal ~ x + (x | g), prior = priors(tau_u = wishart_prior(5, diag(2)))),
    count = vb(count ~ x + (x | g) + (1 | h), family = stats::poisson(), offset = off),
    binary = vb(cbind(success, trials - success) ~ x + (x | g), family = stats::binomial()),
    spread = vb(spread ~ x + (1 | g), family = neg_binomial()),
    plain = vb(success / trials ~ x, weights = trials, family = stats::binomial())
  ))
}

# list(model, core, centre, x (theta, psi as they are), scale: units of the effects, none and their
# own).
joint_case <- function(fit, n = 3L) {
  core <- engine_core(fit$model)
  set.seed(72)
  theta <- posterior_coordinates(posterior_of(fit), core)
  case <- list(model = fit$model, core = core, centre = vb_centre(core, fit$vb))
  own <- effect_units(case, theta)
  none <- vector("list", length(own))
  c(case, list(x = theta[, seq_len(n), drop = FALSE], scale = list(none, own)))
}

in_units <- function(case, scale) {
  call_joint_theta(case$core, case$centre, scale, case$x, back = TRUE)
}

# Sum over levels of log |W + Lambda|^-1/2: what their units multiply volumes by.
log_units <- function(case, scale) {
  at <- stat_index(case$core)
  psi <- case$x[-seq_len(case$core$layout$dim$theta), , drop = FALSE]
  apply(psi, 2L, function(p) {
    -sum(vapply(which(lengths(scale) > 0L), function(k) {
      Lambda <- unvech(from_scale_free(t(p[at[[k]]])))
      sum(apply(scale[[k]]$W, 3L, function(W) determinant(W + Lambda)$modulus)) / 2
    }, 0))
  })
}
