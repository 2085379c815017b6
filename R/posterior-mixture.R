# The integrated posterior: theta | y as a mixture of the conditional normals over the nodes of the
# precisions. One object for fit_exact() and for the default of fit_vb().

#' @export
linear_mixture.exact_fit <- function(fit, parts) {
  nodes <- fit$integrated
  model <- fit$model
  core <- engine_core(model)
  run <- call_nest_mixture(core, nodes$centre, nodes$phi, nodes$weights,
    rows = core_rows(model, core, parts))
  check_status(run$status, model)
  shift <- drop(parts$X %*% model$coords$shift) + parts$offset
  list(weights = nodes$weights, mean = run$result$row_mean + shift, var = run$result$row_var,
    new = new_level_variance(model, parts, node_covariances(model, nodes$stats), length(nodes$weights)),
    lead = lead_of(model, nodes$stats))
}

#' @export
joint_draws.exact_fit <- function(fit, ndraws, u) {
  integrated_draws(fit, check_count(ndraws %||% fit$draws, "ndraws", 1), u)
}

#' @export
level_covariances.exact_fit <- function(fit, f) integrated_level_covariances(fit, f)

# ---- summary -------------------------------------------------------------------------

# Rows of summary(): variable, mean, sd, and at a level the limits of the interval.
integrated_rows <- function(fit, level = NULL, u = FALSE) {
  nodes <- fit$integrated
  values <- precision_draws(nodes$stats, fit$model, t(nodes$phi))
  m <- weighted_moments(t(values), nodes$weights)
  out <- data.frame(
    variable = c(character(), beta_names(fit$model), colnames(values), if (u) u_names(fit$model)),
    mean = unname(c(nodes$beta$mean, m$mean,
      if (u) user_effects(fit$model, as.matrix(nodes$u$mean)))),
    sd = unname(c(sqrt(diag(nodes$beta$cov)), m$sd, if (u) sqrt(user_effect_variances(fit$model,
      nodes$u$var, function(f) integrated_level_covariances(fit, f))))))
  if (!is.null(level)) {
    q <- mixture_quantiles(mixture_components(fit, u), nodes$weights, central_probs(level))
    out[quantile_names(level)] <- list(q[1L, ], q[2L, ])
  }
  drop_missing_moments(out, fit$model)
}

# For every variable of summary(): list(centre, spread (one number per node), sinc, link), the
# mixture that its distribution is on the scale of the link; spread = NULL: weighted points.
mixture_components <- function(fit, u) {
  nodes <- fit$integrated
  c(
    normal_components(beta_names(fit$model), nodes$beta$node_mean, nodes$beta$node_sd),
    precision_components(fit$model, nodes),
    if (u) effect_components(fit)
  )
}

normal_components <- function(names, mean, sd) {
  out <- lapply(seq_along(names), function(j) {
    list(centre = mean[, j], spread = sd[, j], sinc = FALSE, link = "identity")
  })
  stats::setNames(out, names)
}

effect_components <- function(fit) {
  nodes <- fit$integrated
  core <- engine_core(fit$model)
  names <- u_names(fit$model)
  rows <- user_effect_combinations(fit$model, core)
  run <- call_nest_mixture(core, nodes$centre, nodes$phi, nodes$weights, each = TRUE, rows = rows)
  check_status(run$status, fit$model)
  at <- core$p + seq_along(names)
  mean <- run$result$node_mean[at, , drop = FALSE]
  var <- run$result$node_var[at, , drop = FALSE]
  mean[rows$effect, ] <- run$result$row_mean
  var[rows$effect, ] <- run$result$row_var
  normal_components(names, t(mean), sqrt(t(var)))
}

# The effects that are not working effects themselves, as linear combinations of these: core_rows(),
# and their positions in effect_table().
user_effect_combinations <- function(model, core) {
  table <- effect_table(model)
  moved <- which(!vapply(model$factors, function(f) is_identity(f$A), NA))
  effect <- which(table$factor %in% moved)
  if (!length(effect)) return(NULL)
  rows <- list(global = matrix(0, core$n_global, length(effect)), leaf = rep(-1L, length(effect)),
    z = matrix(0, core$r, length(effect)), effect = effect)
  for (f in moved) {
    A <- factor_map(model, f)
    at <- which(table$factor[effect] == f)
    level <- rep(seq_len(length(at) / nrow(A)), each = nrow(A))
    if (f == 1L) {
      rows$leaf[at] <- level - 1L
      rows$z[, at] <- t(A)
    } else {
      first <- effect_columns(model, f)[1L] - 1L
      for (k in seq_len(nrow(A))) {
        rows$global[cbind(first + (level - 1L) * nrow(A) + k, at)] <- rep(A[, k], max(level))
      }
    }
  }
  rows
}

# Quantiles (probs x variables), found on the scale of the link and carried back; one call for all
# mixtures of a kind. Those of tau and sigma are found as those of log tau and log sigma.
mixture_quantiles <- function(parts, weights, probs) {
  q <- matrix(NA_real_, length(probs), length(parts))
  kind <- vapply(parts, function(p) if (is.null(p$spread)) "points" else if (p$sinc) "sinc" else "normal", "")
  log_row <- match(paste0("log_", names(parts)), names(parts))
  own <- is.na(log_row)
  for (k in setdiff(unique(kind), "points")) {
    at <- which(kind == k & own)
    field <- function(name) vapply(parts[at], `[[`, weights, name)
    q[, at] <- call_nest_quantiles(k == "sinc", weights, field("centre"), field("spread"), probs)
  }
  for (j in which(kind == "points" & own)) {
    q[, j] <- weighted_quantile(parts[[j]]$centre, weights, probs)
  }
  q[, !own] <- q[, log_row[!own]]
  for (j in seq_along(parts)) q[, j] <- shown_values(q[, j], parts[[j]])
  q
}

# From the scale on which a component's distribution is made to its own.
shown_values <- function(x, part) {
  inverse_link(x, rep(part$link, length(x))) * if (part$link == "sinh") part$unit else 1
}

# Precisions and what follows from them, at every node.
precision_components <- function(model, nodes) {
  if (!nrow(nodes$phi)) return(list())
  values <- precision_draws(nodes$stats, model, t(nodes$phi))
  names <- colnames(values)
  link <- variable_link(names, model)
  unit <- typical_size(values, nodes$weights)
  open <- open_values(values, link, unit)
  spread <- if (nodes$method == "lattice") nodes$step * largest_slope(model, nodes, link, unit)
  out <- lapply(seq_along(names), function(j) {
    list(centre = open[, j], spread = spread[, j], sinc = TRUE, link = link[j], unit = unit[j])
  })
  stats::setNames(out, names)
}

# The scale on which a variable's distribution is made: log of what is positive, atanh of rho, asinh (a
# log of either sign) of the other elements of a precision matrix, in their unit.
variable_link <- function(names, model) {
  diagonal <- unlist(lapply(Filter(function(t) t$vector, model$groups), function(t) {
    pairs <- lower_pairs(length(t$coef))
    term_stat_names(t)[pairs$row == pairs$col]
  }))
  ifelse(grepl("^rho_", names), "tanh",
    ifelse(grepl("^(tau|sigma)_", names) |
      names %in% c(diagonal, family_of(model)$lead$name), "exp",
      ifelse(grepl("^Lambda_", names), "sinh", "identity")))
}

open_values <- function(values, link, unit) {
  at <- link == "sinh"
  values[, at] <- asinh(values[, at] / rep(unit[at], each = nrow(values)))
  values[, link == "exp"] <- log(values[, link == "exp"])
  values[, link == "tanh"] <- atanh(values[, link == "tanh"])
  values
}

# nodes x variables: the largest derivative of each variable along an axis of the lattice, the
# bandwidth (over the step) of the kernel that its distribution is summed with.
largest_slope <- function(model, nodes, link, unit) {
  index <- stat_index(model)
  e <- 1e-4
  at <- function(phi) {
    open_values(precision_draws(phi_statistics(phi, index), model, t(phi)), link, unit)
  }
  slopes <- lapply(seq_len(ncol(nodes$L)), function(j) {
    move <- e * nodes$L[, j]
    abs(at(nodes$phi + move) - at(nodes$phi - move)) / (2 * e)
  })
  do.call(pmax, slopes)
}

# ---- covariances -----------------------------------------------------------------------

# moments() of an integrated fit.
integrated_moments <- function(fit) {
  nodes <- fit$integrated
  list(beta = nodes$beta$mean, cov_beta = nodes$beta$cov, u = nodes$u$mean,
    sigma2_e = if (has_sigma(fit)) sum(nodes$weights / nodes$stats[, 1L]))
}

# r x r x levels: covariance of each level's effects of factor f.
integrated_level_covariances <- function(fit, f) {
  x <- fit$model$factors[[f]]
  r <- length(x$coef)
  levels <- length(x$levels)
  if (f == 1L) return(array(fit$integrated$cov_leaf, c(r, r, levels)))
  diagonal_blocks(fit$integrated$cov_global, effect_columns(fit$model, f)[1L], r, levels)
}

# Covariance of (beta, u, statistics, log tau, sigma), as vb_full_cov().
integrated_full_cov <- function(fit) {
  nodes <- fit$integrated
  model <- fit$model
  core <- engine_core(model)
  run <- call_nest_mixture(core, nodes$centre, nodes$phi, nodes$weights, each = TRUE, dense = TRUE)
  check_status(run$status, model)
  scalar <- unlist(Filter(function(at) length(at) == 1L, stat_index(model)))
  own <- nodes$stats[, scalar, drop = FALSE]
  other <- cbind(nodes$stats, log(own), 1 / sqrt(own))
  centred <- function(x) x - rep(drop(nodes$weights %*% x), each = nrow(x))
  cross <- t(centred(t(run$result$node_mean))) %*% (centred(other) * nodes$weights)
  S <- rbind(cbind(run$result$cov, cross),
    cbind(t(cross), t(centred(other)) %*% (centred(other) * nodes$weights)))
  label(user_covariance(model, S), full_cov_names(model, scalar))
}

# ---- draws -------------------------------------------------------------------------------

# joint_draws() of an integrated fit: phi, then (beta, u) from its conditional normal.
integrated_draws <- function(fit, ndraws, u) {
  nodes <- fit$integrated
  core <- engine_core(fit$model)
  check_size(ndraws, length(core$h))
  drawn <- precision_parameter_draws(fit, nodes, core, ndraws)
  at <- drawn$at
  theta <- if (is.null(at)) {
    call_nest_draws(core, nodes$centre, drawn$phi)
  } else { # a conditional fit per node that was drawn, not per draw
    order <- order(at)
    call_nest_draws(core, nodes$centre, nodes$phi[, at[order], drop = FALSE])[, order(order),
      drop = FALSE]
  }
  x <- seq_len(core$p)
  list(
    beta = t(to_raw_draws(fit$model$coords, theta[x, , drop = FALSE])),
    u = if (u) t(theta[setdiff(seq_len(nrow(theta)), x), , drop = FALSE]),
    tau = structure(phi_statistics(drawn$phi, stat_index(fit$model)),
      dimnames = list(NULL, stat_names(fit$model)))
  )
}

# list(phi (d x ndraws), at: the node whose conditional fit serves, or NULL for one at phi itself).
# Gaussian: from the density itself, which costs a factorisation. Others: as the summary has it.
precision_parameter_draws <- function(fit, nodes, core, ndraws) {
  if (nodes$method == "importance" || !nrow(nodes$phi)) {
    at <- sample.int(length(nodes$weights), ndraws, TRUE, nodes$weights)
    return(list(phi = nodes$phi[, at, drop = FALSE], at = if (has_rows(fit)) at))
  }
  if (has_rows(fit)) return(smoothed_nodes(nodes, ndraws))
  list(phi = lattice_draws(nodes, ndraws, function(phi) {
    call_nest_log_density(core, nodes$centre, phi)
  }))
}

# A node by its weight, moved within its cell by a uniform distribution tilted by half the gradient:
# what the move adds to the variance of a smooth density, h^2 / 12, its covariance with the node takes
# away. A linear map, near one, makes means and covariances those of the lattice.
smoothed_nodes <- function(nodes, ndraws) {
  at <- sample.int(length(nodes$weights), ndraws, TRUE, nodes$weights)
  tilt <- nodes$gradient / 2
  own <- weighted_covariance(nodes$phi, nodes$weights)
  m <- tilted_moments(tilt, nodes$step)
  moved <- weighted_covariance(nodes$phi + nodes$L %*% m$mean, nodes$weights)
  moved$cov <- moved$cov + nodes$L %*% (drop(m$var %*% nodes$weights) * t(nodes$L))
  phi <- nodes$phi[, at, drop = FALSE] +
    nodes$L %*% tilted_uniform(tilt[, at, drop = FALSE], nodes$step)$x
  to <- t(chol(own$cov)) %*% forwardsolve(t(chol(moved$cov)), diag(1, nrow(phi)))
  list(phi = own$mean + to %*% (phi - moved$mean), at = at)
}

# x: variables x nodes
weighted_covariance <- function(x, w) {
  mean <- drop(x %*% w)
  list(mean = mean, cov = (x - mean) %*% (t(x - mean) * w))
}

# Rejection sampling: a node by its weight, a point of its cell by the exponential density with the
# node's gradient, accepted against the exact density. The bound is the largest ratio among the
# proposals, as in Caffo, Booth and Davis (2002).
lattice_draws <- function(nodes, ndraws, log_density) {
  out <- matrix(0, nrow(nodes$phi), 0L)
  bound <- -Inf
  rounds <- 0L
  while (ncol(out) < ndraws) {
    if ((rounds <- rounds + 1L) > MAX_ROUNDS) abort_draws()
    n <- ceiling(1.3 * (ndraws - ncol(out))) + 50L
    at <- sample.int(length(nodes$weights), n, TRUE, nodes$weights)
    g <- nodes$gradient[, at, drop = FALSE]
    cell <- tilted_uniform(g, nodes$step)
    phi <- nodes$phi[, at, drop = FALSE] + nodes$L %*% cell$x
    ratio <- log_density(phi) - nodes$log_density[at] - cell$log_density
    high <- stats::quantile(ratio, 0.999, names = FALSE)
    if (high > bound + 0.01) { # start again under the higher bound
      out <- out[, log(stats::runif(ncol(out))) < bound - high, drop = FALSE]
      bound <- high
    }
    keep <- log(stats::runif(n)) < ratio - bound
    out <- cbind(out, phi[, keep, drop = FALSE])
  }
  out[, seq_len(ndraws), drop = FALSE]
}

# Mean and variance of x in [-h/2, h/2] with density proportional to exp(g x), element by element.
tilted_moments <- function(g, h) {
  s <- pmax(abs(g * h), 1e-3)
  mean <- h * ((1 / tanh(s / 2)) / 2 - 1 / s) * sign(g)
  mean[abs(g * h) < 1e-3] <- (g * h^2 / 12)[abs(g * h) < 1e-3]
  list(mean = matrix(mean, nrow(g)), var = matrix(h^2 * (1 / s^2 - 1 / (4 * sinh(s / 2)^2)), nrow(g)))
}

# Most rounds of proposals; a few do, unless the lattice is not that of the density.
MAX_ROUNDS <- 500L

abort_draws <- function() {
  mf_abort("fit", "the nodes of the fit do not belong to its posterior, which cannot be drawn ",
    "from: refit", arg = "object")
}

#' @export
moments.exact_fit <- function(fit, ...) {
  no_dots(...)
  integrated_moments(fit)
}

#' @export
group_covariance.exact_fit <- function(fit, k) {
  nodes <- fit$integrated
  x <- t(nodes$phi[stat_index(fit$model)[[k + n_lead(fit$model)]], , drop = FALSE])
  r <- length(fit$model$groups[[k]]$coef)
  C <- correlation_roots(x, r)
  pairs <- lower_pairs(r)
  mean <- unlist(Map(function(a, b) {
    rho <- Reduce(`+`, lapply(seq_len(b), function(c) C[[a, c]] * C[[b, c]]))
    sum(nodes$weights * rho * exp(-(x[, vech_at(r, a, a)] + x[, vech_at(r, b, b)]) / 2))
  }, pairs$row, pairs$col))
  unvech(mean)
}

#' @export
summary_table.exact_fit <- function(fit, level = NULL, u = FALSE) integrated_rows(fit, level, u)
