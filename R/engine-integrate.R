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

# Integration matters when a log precision is uncertain: with v the largest variance of one, the
# exact SDs differ from the linear-response ones by about v / 2, so below this by less than 1%.
INTEGRATE_ABOVE <- 0.01

# fit$integrated, or the reason in fit$not_integrated: "not needed", "too dear", "failed".
integrate_vb <- function(fit, integrate, core) {
  by_default <- integrate == "auto"
  if (by_default) {
    fit$not_integrated <- why_not_integrate(fit, core)
    if (!is.null(fit$not_integrated)) return(fit)
  } else {
    if (fit$rounding) no_residuals("integrate")
    check_integral_size(fit$posterior$tau, "integrate")
  }
  budget <- new_budget(if (by_default) INTEGRATE_SECONDS else Inf)
  on.exit(budget$close())
  nodes <- integrate_model(fit$model, fit$vb, fit$posterior$tau,
    nest_settings(if (has_rows(fit)) "nested" else "quick"), core, budget, emulate = TRUE)
  keep_integral(fit, nodes, by_default)
}

# With the nodes where they can be trusted, or were asked for.
keep_integral <- function(fit, nodes, by_default) {
  trusted <- is_integral(nodes) && is_trusted(nodes)
  if (!by_default && !is_integral(nodes)) abort_integral(nodes)
  if (!by_default && !trusted) warn_integral(nodes, UNTRUSTED_ERROR[[nodes$method]])
  if (trusted && isTRUE(nodes$edge)) warn_edge()
  if (trusted || !by_default) fit$integrated <- nodes
  else fit$not_integrated <- if (is_dear(nodes)) "too dear" else "failed"
  fit
}

is_trusted <- function(nodes) {
  isTRUE((nodes$bound %||% nodes$error) < UNTRUSTED_ERROR[[nodes$method]]) &&
    !(nodes$method == "importance" && !isTRUE(nodes$khat <= 0.7))
}

# Bound of the error, in posterior SDs, above which "auto" shows linear response instead.
UNTRUSTED_ERROR <- c(lattice = 0.5, emulator = 0.25, importance = 0.25)

why_not_integrate <- function(fit, core) {
  fit <- unclass(fit)
  tau <- fit$posterior$tau
  if (fit$rounding) return("failed")
  if (!length(tau$mean)) return("not needed")
  if (length(tau$mean) > core_limit("mode")) return("too dear")
  uncertain <- max(own_log_sds(tau$psi$cov_lrvb, tau$index)^2)
  if (!length(tau$failed) && uncertain < INTEGRATE_ABOVE) return("not needed")
  if (is_iterated(fit$model)) return(if (fit$model$iterations$only) "too large" else "too dear")
  # a conditional fit without rows cannot be interrupted
  if (node_flops(core) > MOST_NODE_FLOPS) return("too dear")
  NULL
}

# Five and more of these take more than a second.
MOST_NODE_FLOPS <- 2e9

# Work of a node: factor, selected inverse and moments of the arrow. A leaf costs its memory traffic
# (counted as twenty operations a number) beside its arithmetic.
node_flops <- function(core) {
  size <- core$ptr[-1L] - core$ptr[-length(core$ptr)] + core$r
  sum(core$r * size * (20 + 4 * size)) + 2 * as.double(dense_columns(core))^3
}

# Nodes with few conditional fits where those are what the integral costs; else, and where the
# emulator does not settle, a fit at each. What did not settle is better than nothing.
posterior_nodes <- function(core, centre, start, settings, budget, emulate) {
  emulated <- if (emulate && can_emulate(start) && !has_cheap_lattice(core, start)) {
    emulate_precisions(core, centre, start, budget)
  }
  if (is_dear(emulated) || isTRUE(emulated$settled)) return(emulated)
  nodes <- integrate_precisions(gaussian_target(core, centre, budget), start, settings)
  if (is_integral(nodes) || !is_integral(emulated)) nodes else emulated
}

# Are the factorisations of a lattice less than the emulator's own work? In lanes they cost an
# eighth, but for those of theta_nodes(), which of few parameters are all of them.
has_cheap_lattice <- function(core, start) {
  d <- length(start$mean)
  limit <- c(1e5, 1e5, 3e4, 3e4)[d] * if (is_in_lanes(core)) c(2, 4, 8, 8)[d] else 1
  is.null(core$rows) && isTRUE(node_flops(core) < limit)
}

# Is a lattice's density valued in vector lanes (src/engine/lmm_exact_lanes.h)?
is_in_lanes <- function(core) {
  core$r > 0L && core$r <= core_limit("in_lanes") && core$n_global == core$p
}

# Value: the nodes (see integrate_precisions()) and
#   stats  statistics (tau, vech Lambda) at the nodes (n x statistics)
#   few    list(at, weights): nodes that stand for all in what is said of theta, or NULL
#   beta   mean, cov (of the mixture); node_mean, node_sd (of theta_nodes() x p), in the user's
#          coordinates
#   u      mean, var (in the order of theta)
#   cov_global, cov_leaf  covariance of the core's global block and of each leaf's effects
#   correction  of the log density at the nodes (families other than the Gaussian)
#   centre list(theta, grad, rss): what conditional fits are taken around
integrate_model <- function(model, vb, tau, settings, core = engine_core(model),
                            budget = new_budget(), emulate = FALSE) {
  model <- unclass(model)
  centre <- vb_centre(core, vb)
  nodes <- posterior_nodes(core, centre, nest_start(tau), settings, budget, emulate)
  if (!is_integral(nodes)) return(nodes)
  known <- nodes$fits
  nodes$fits$state <- NULL # as large as the data
  nodes <- c(nodes, list(centre = centre, stats = psi_statistics(nodes$psi, stat_index(model)),
    few = few_nodes(nodes$psi, theta_tails(core, nodes$psi), nodes$weights,
      if (has_dear_nodes(core, nodes)) Inf else settings$theta)))
  moments <- mixture_moments(model, core, theta_nodes(nodes), known)
  nodes$fits$within <- moments$within
  moments$within <- NULL
  nodes <- c(nodes, moments)
  nodes$error <- nodes$error + approximation_error(nodes, length(model$factors)) +
    max(nodes$spread_error, 0)
  nodes
}

# Where every node has an optimisation of its own behind it, its correction is wanted at each.
has_dear_nodes <- function(core, nodes) !is.null(core$rows) && !is_emulated(nodes)

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

# known: see node_moments().
mixture_moments <- function(model, core, nodes, known) {
  p <- core$p
  x <- seq_len(p)
  rows <- beta_rows_of(model, core)
  mix <- node_moments(model, nodes, core, blocks = TRUE, rows = rows, known = known)
  effects <- p + seq_len(length(mix$mean) - p)
  by_node <- function(x) if (p) t(x) else matrix(0, length(nodes$weights), 0L)
  node_mean <- by_node(mix$row_mean) + rep(model$coords$shift, each = length(nodes$weights))
  list(
    beta = list(
      mean = stats::setNames(to_raw(model$coords, mix$mean[x]), model$x_names),
      cov = label(to_raw_cov(model$coords, block_head(mix$cov_global, x)), model$x_names),
      node_mean = node_mean, node_sd = sqrt(by_node(mix$row_var))
    ),
    u = list(mean = mix$mean[effects], var = effect_variances(core, mix$cov_global, mix$cov_leaf)),
    cov_global = mix$cov_global, cov_leaf = mix$cov_leaf, spread_error = mix$error,
    within = mix$within,
    correction = if (length(mix$correction) && is.null(nodes$correction)) mix$correction
  )
}
