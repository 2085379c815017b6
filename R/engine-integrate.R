# Whether to integrate a variational fit over its precisions, doing it, and saying how far it can be
# trusted.

# A residual variance of rounding noise has no posterior to integrate.
no_residuals <- function(arg) {
  mf_abort("integral", "the model explains the response (almost) exactly: the posterior of the ",
    "residual variance cannot be integrated; check the response, or use fit_vb() with ",
    "integrate = \"no\"", arg = arg)
}

check_integral_size <- function(tau, arg) {
  most <- core_limit("mode")
  if (length(tau$mean) <= most) return(invisible())
  mf_abort("size", "the model has ", length(tau$mean),
    " variance parameters, and an integral over ",
    "more than ", most, " is out of reach: use fit_vb() with integrate = \"no\", or fit_gibbs()",
    arg = arg)
}

abort_integral <- function(nodes) {
  mf_abort("integral", "the posterior could not be integrated: ", attr(nodes, "why"),
    "; use proper, less extreme `prior`s", arg = "prior")
}

warn_edge <- function() {
  mf_warn("moments", "the posterior reaches variances at which the model is singular to working ",
    "precision (few groups or rows, an exact fit): what lies beyond is left out, and means and ",
    "SDs that it would move are not to be trusted; read the quantiles, or use a more informative ",
    "`prior`", arg = "prior")
}

warn_integral <- function(nodes, tol) {
  if (isTRUE(nodes$edge)) return(warn_edge())
  if (nodes$method == "importance" && nodes$khat > 0.7) {
    mf_warn("khat", "Pareto k-hat of the importance weights is ", format(nodes$khat, digits = 2),
      ", above .7: means and SDs are unreliable; raise `draws`, or check them with fit_gibbs()",
      arg = "draws")
  } else if (nodes$error > tol) {
    mf_warn("accuracy", "the estimated error of the integral, ", format(nodes$error, digits = 2),
      " posterior SDs, is above ", format(tol),
      ": some precision is hardly determined; use a tighter `prior` on its SD, or check with ",
      "fit_gibbs()", arg = "tol")
  }
}

# A line of dots for interactive runs that will take longer than about 5 seconds.
lattice_progress <- function(model) {
  d <- length(stat_names(model))
  seconds <- 1e4 * min(d, 4) * node_flops(lmm_core(model)) / 1e9
  if (!interactive() || seconds < 5) return(list(step = NULL, close = function() NULL))
  list(
    step = function(done) if (done %% 1024 == 0) cat("."),
    close = function() cat("\n")
  )
}

# Integration matters when a log precision is uncertain: with v the largest variance of one, the
# exact SDs differ from the linear-response ones by about v / 2, so below this by less than 1%.
INTEGRATE_ABOVE <- 0.01
# Floating-point operations that "auto" may spend, about half a second.
INTEGRATE_FLOPS <- 2e9

# fit$integrated, or the reason in fit$not_integrated: "not needed", "too dear", "failed".
integrate_vb <- function(fit, integrate, core) {
  if (integrate == "auto") {
    fit$not_integrated <- why_not_integrate(fit, core)
    if (!is.null(fit$not_integrated)) return(fit)
  }
  if (fit$rounding) no_residuals("integrate")
  check_integral_size(fit$posterior$tau, "integrate")
  settings <- nest_settings(if (has_rows(fit)) "nested" else "quick")
  if (integrate == "auto" && !has_rows(fit)) {
    affordable <- 4 * INTEGRATE_FLOPS / node_flops(core)
    settings$capacity <- min(settings$capacity, max(affordable, 500))
  }
  if (has_rows(fit)) announce_nest(fit, core)
  most <- if (integrate == "auto" && has_rows(fit)) most_evaluations(fit, core) else Inf
  nodes <- integrate_model(fit$model, fit$vb, fit$posterior$tau, settings, core, most = most)
  trusted <- is_integral(nodes) && is_trusted(nodes)
  if (integrate == "yes" && !is_integral(nodes)) abort_integral(nodes)
  if (integrate == "yes" && !trusted) warn_integral(nodes, UNTRUSTED_ERROR[[nodes$method]])
  if (trusted && isTRUE(nodes$edge)) warn_edge()
  if (trusted || integrate == "yes") fit$integrated <- nodes
  else fit$not_integrated <- if (identical(attr(nodes, "why"), "too dear")) "too dear" else "failed"
  fit
}

is_trusted <- function(nodes) {
  isTRUE((nodes$bound %||% nodes$error) < UNTRUSTED_ERROR[[nodes$method]]) &&
    !(nodes$method == "importance" && !isTRUE(nodes$khat <= 0.7))
}

# Bound of the error, in posterior SDs, above which "auto" shows linear response instead.
UNTRUSTED_ERROR <- c(lattice = 0.5, importance = 0.25)

why_not_integrate <- function(fit, core) {
  tau <- fit$posterior$tau
  if (fit$rounding) return("failed")
  if (!length(tau$mean)) return("not needed")
  if (length(tau$mean) > core_limit("mode")) return("too dear")
  uncertain <- max(own_log_sds(tau$psi$cov_lrvb, tau$index)^2)
  if (!length(tau$failed) && uncertain < INTEGRATE_ABOVE) return("not needed")
  if (is_iterated(fit$model)) return(if (fit$model$iterations$only) "too large" else "too dear")
  if (has_rows(fit)) {
    # thousands of optimisations on importance points, which are often not trusted in the end
    many <- length(tau$mean) > core_limit("lattice")
    return(if (many || nest_flops(fit, core) > NEST_FLOPS) "too dear")
  }
  nodes <- c(40, 200, 700, 2000, 8000, 15000)[length(tau$mean)]
  if (is.na(nodes)) nodes <- 8000 # importance sampling
  if (nodes * node_flops(core) > INTEGRATE_FLOPS) return("too dear")
  NULL
}

# The same for a conditional fit that is an optimisation; d parameters take about this many.
NEST_FLOPS <- 4e10
nest_flops <- function(fit, core) {
  fits <- c(50, 110, 270, 700, 8000, 20000)[length(fit$posterior$tau$mean)]
  if (is.na(fits)) fits <- 20000
  fits * conditional_fit_flops(fit$model, core)
}

# Evaluations of conditional bounds that "auto" may spend, three to a fit: posteriors with long
# tails take several times the points that nest_flops() counts, and fits far out many steps each.
# In five and six dimensions that count is of a long tail already.
most_evaluations <- function(fit, core) {
  times <- if (length(fit$posterior$tau$mean) > 4L) 3 else 9
  times * NEST_FLOPS / conditional_fit_flops(fit$model, core)
}

# In interactive runs that will take longer than about 5 seconds.
announce_nest <- function(fit, core) {
  if (!interactive()) return(invisible())
  seconds <- nest_flops(fit, core) / 3e9
  if (seconds < 5) return(invisible())
  message("Integrating over the variance parameters, at most about ", signif(seconds, 1),
    " s; integrate = \"no\" leaves it out")
}

# Three Newton steps with their responses: expectations of the rows, quadrature of every factor's
# levels (an expectation again where others' effects are averaged), arrow algebra.
conditional_fit_flops <- function(model, core) {
  closed <- family_of(model)$closed_form
  r <- vapply(model$factors, function(f) length(f$coef), 0L)
  nodes <- c(15, 49, 125)[pmin(r, 3L)] * (r <= 3)
  averaged <- length(r) > 1L && !closed
  per_row <- 3 * (if (closed) 300 else 3000) + sum(nodes) * (if (averaged) 600 else 160) +
    40 * (core$p + sum(r))^2
  per_row * core$n + 3 * node_flops(core)
}

# Work of a node: factor, selected inverse and moments of the arrow. A leaf costs its memory traffic
# (counted as twenty operations a number) beside its arithmetic.
node_flops <- function(core) {
  size <- diff(core$ptr) + core$r
  sum(core$r * size * (20 + 4 * size)) + 2 * as.double(dense_columns(core))^3
}

# Value: the nodes (see integrate_precisions()) and
#   stats  statistics (tau, vech Lambda) at the nodes (n x statistics)
#   beta   mean, cov (of the mixture); node_mean, node_sd (n x p), in the user's coordinates
#   u      mean, var (in the order of theta)
#   cov_global, cov_leaf  covariance of the core's global block and of each leaf's effects
#   correction  of the log density at the nodes (families other than the Gaussian)
#   centre list(theta, grad, rss): what conditional fits are taken around
integrate_model <- function(model, vb, tau, settings, core = engine_core(model), progress = NULL,
                            most = Inf) {
  centre <- vb_centre(core, vb)
  nodes <- integrate_precisions(gaussian_target(core, centre, progress, most), nest_start(tau),
    settings)
  if (!is_integral(nodes)) return(nodes)
  nodes <- c(nodes, list(centre = centre, stats = psi_statistics(nodes$psi, stat_index(model))),
    mixture_moments(model, core, centre, nodes))
  nodes$error <- nodes$error + approximation_error(nodes, length(model$factors))
  nodes
}

# What corrected bounds leave, in posterior SDs: a share of what the correction moves the means and
# SDs of psi by. Against exact posteriors of one factor 1 to 2 percent of it was left (20 data
# sets), with several factors, whose correction is a sum of parts, less than 5 percent (4 long
# runs).
approximation_error <- function(nodes, n_factors) {
  if (is.null(nodes$correction) || !nrow(nodes$psi)) return(0)
  bare <- nodes$weights * exp(min(nodes$correction) - nodes$correction)
  share <- if (n_factors > 1L) 0.05 else 0.02
  share * moment_change(nodes$psi, nodes$weights, bare)
}

# Statistics at the columns of psi: a row per point.
psi_statistics <- function(psi, index) {
  x <- t(psi)
  for (at in index) x[, at] <- from_scale_free(x[, at, drop = FALSE])
  x
}

mixture_moments <- function(model, core, centre, nodes) {
  p <- core$p
  x <- seq_len(p)
  rows <- beta_rows_of(model, core)
  run <- call_nest_mixture(core, centre, nodes$psi, nodes$weights, blocks = TRUE, rows = rows)
  check_status(run$status, model)
  mix <- run$result
  effects <- p + seq_len(length(mix$mean) - p)
  node_mean <- matrix(t(mix$row_mean), length(nodes$weights)) +
    rep(model$coords$shift, each = length(nodes$weights))
  list(
    beta = list(
      mean = stats::setNames(to_raw(model$coords, mix$mean[x]), model$x_names),
      cov = label(to_raw_cov(model$coords, block_head(mix$cov_global, x)), model$x_names),
      node_mean = node_mean, node_sd = sqrt(matrix(t(mix$row_var), length(nodes$weights)))
    ),
    u = list(mean = mix$mean[effects], var = effect_variances(core, mix$cov_global, mix$cov_leaf)),
    cov_global = mix$cov_global, cov_leaf = mix$cov_leaf,
    correction = if (length(mix$correction)) mix$correction
  )
}
