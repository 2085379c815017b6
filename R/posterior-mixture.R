# The integrated posterior: theta | y as a mixture of the conditional normals over the nodes of the
# precisions. One object for fit_exact() and for the default of fit_vb().

#' @export
linear_mixture.mixture_posterior <- function(p, parts) {
  nodes <- theta_nodes(p$nodes)
  model <- p$model
  core <- engine_core(model)
  at <- node_moments(model, nodes, core, rows = core_rows(model, core, parts))
  shift <- drop(parts$X %*% model$coords$shift) + parts$offset
  list(weights = nodes$weights, mean = at$row_mean + shift, var = at$row_var,
    new = new_level_variance(model, parts, node_covariances(model, nodes$stats),
      length(nodes$weights)),
    lead = lead_of(model, nodes$stats))
}


# ---- summary -------------------------------------------------------------------------

#' @export
marginals.mixture_posterior <- function(p, level = NULL, u = FALSE) {
  nodes <- p$nodes
  table <- variable_table(p$model, u)
  m <- weighted_moments(t(precision_draws(nodes$stats, p$model, t(nodes$psi))), nodes$weights)
  variances <- if (u) {
    user_effect_variances(p$model, nodes$u$var, function(f) level_covariances(p, f))
  }
  out <- data.frame(
    variable = table$variable,
    mean = unname(c(nodes$beta$mean, m$mean,
      if (u) user_effects(p$model, as.matrix(nodes$u$mean)))),
    sd = unname(c(sqrt(diag(nodes$beta$cov)), m$sd, if (u) sqrt(variances))))
  if (!is.null(level)) {
    q <- mixture_quantiles(mixture_components(p, u), central_probs(level))
    out[quantile_names(level)] <- list(q[1L, ], q[2L, ])
  }
  drop_missing_moments(out, table)
}

# For every variable of summary(): list(weights, centre, spread (one number per node), sinc, link),
# the mixture that its distribution is on the scale of the link (of precisions, see
# precision_scales()); spread = NULL: weighted points.
mixture_components <- function(p, u) {
  nodes <- p$nodes
  c(
    normal_components(beta_names(p$model), theta_nodes(nodes)$weights, nodes$beta$node_mean,
      nodes$beta$node_sd),
    precision_components(p$model, nodes),
    if (u) effect_components(p)
  )
}

normal_components <- function(names, weights, mean, sd) {
  out <- lapply(seq_along(names), function(j) {
    list(weights = weights, centre = mean[, j], spread = sd[, j], sinc = FALSE, link = "identity")
  })
  stats::setNames(out, names)
}

effect_components <- function(p) {
  nodes <- theta_nodes(p$nodes)
  core <- engine_core(p$model)
  names <- u_names(p$model)
  rows <- user_effect_combinations(p$model, core)
  at <- node_moments(p$model, nodes, core, each = TRUE, rows = rows)
  effects <- core$p + seq_along(names)
  mean <- at$node_mean[effects, , drop = FALSE]
  var <- at$node_var[effects, , drop = FALSE]
  mean[rows$effect, ] <- at$row_mean
  var[rows$effect, ] <- at$row_var
  normal_components(names, nodes$weights, t(mean), sqrt(t(var)))
}

# Quantiles (probs x variables), found on the scale of the link and carried back; one call for all
# mixtures of a kind. Those of tau and sigma are found as those of log tau and log sigma.
mixture_quantiles <- function(parts, probs) {
  q <- matrix(NA_real_, length(probs), length(parts))
  kind <- vapply(parts, function(p) {
    if (is.null(p$spread)) "points" else if (p$sinc) "sinc" else "normal"
  }, "")
  log_row <- match(paste0("log_", names(parts)), names(parts))
  own <- is.na(log_row)
  for (k in setdiff(unique(kind[own]), "points")) {
    at <- which(kind == k & own)
    weights <- parts[[at[1L]]]$weights
    field <- function(name) vapply(parts[at], `[[`, weights, name)
    q[, at] <- call_nest_quantiles(k == "sinc", weights, field("centre"), field("spread"), probs)
  }
  for (j in which(kind == "points" & own)) {
    q[, j] <- weighted_quantile(parts[[j]]$centre, parts[[j]]$weights, probs)
  }
  q[, !own] <- q[, log_row[!own]]
  for (j in seq_along(parts)) q[, j] <- shown_values(q[, j], parts[[j]])
  q
}

# From the scale on which a component's distribution is made to its own.
shown_values <- function(x, part) {
  if (!is.null(part$bend)) x <- unbent_logs(x, part)
  if (part$link == "sinh") x <- sinh(x)
  inverse_link(x, rep(part$link, length(x))) * if (part$link == "sinh") part$unit else 1
}

# Precisions and what follows from them, at every node.
precision_components <- function(model, nodes) {
  if (!nrow(nodes$psi)) return(list())
  nodes <- finer_nodes(model, nodes)
  values <- precision_draws(nodes$stats, model, t(nodes$psi))
  scales <- precision_scales(precision_variables(model), values, nodes$weights)
  open <- open_values(values, scales)
  spread <- if (has_cells(nodes)) largest_slope(model, nodes, scales)
  out <- lapply(seq_along(scales), function(j) {
    c(list(weights = nodes$weights, centre = open[, j], spread = spread[, j], sinc = TRUE),
      scales[[j]])
  })
  stats::setNames(out, colnames(values))
}

# Of every variable list(link, unit, power, bend): the scale of the link (sinh in a unit of the
# variable's own, and twice), and of logarithms of precisions and SDs, which are those of
# sigma^power, bent as the lattice is: the kernels of its nodes are alike in width there only.
precision_scales <- function(table, values, weights) {
  power <- c(tau = -2, log_tau = -2, dispersion = -2, log_dispersion = -2, sigma = 1,
    log_sigma = 1)[table$kind]
  unit <- typical_size(values, weights)
  lapply(seq_len(nrow(table)), function(j) {
    scale <- list(link = table$link[j], unit = unit[j])
    if (is.na(power[j])) return(scale)
    x <- if (scale$link == "exp") log(values[, j]) else values[, j]
    middle <- weighted_quantile(x / power[j], weights, 0.5)
    c(scale, list(power = power[[j]], bend = middle - 0.5))
  })
}

# The values on those scales.
open_values <- function(values, scales) {
  for (j in seq_along(scales)) values[, j] <- open_value(values[, j], scales[[j]])
  values
}

open_value <- function(x, scale) {
  x <- switch(scale$link, sinh = asinh(asinh(x / scale$unit)), exp = log(x), tanh = atanh(x), x)
  if (is.null(scale$bend)) return(x)
  v <- bend_from_psi(rbind(-2 / scale$power * x), scale$bend)[1L, ]
  sign(scale$power) * v
}

# Back to the logarithm.
unbent_logs <- function(x, scale) {
  psi <- bend_to_psi(rbind(sign(scale$power) * x), scale$bend)[1L, ]
  -scale$power / 2 * psi
}

# nodes x variables: the largest derivative of each variable along an axis of the lattice, a step
# long: the bandwidth of the kernel that its distribution is summed with.
largest_slope <- function(model, nodes, scales) {
  index <- stat_index(model)
  v <- bend_from_psi(nodes$psi, nodes$bend)
  e <- 1e-4
  at <- function(v) {
    psi <- bend_to_psi(v, nodes$bend)
    open_values(precision_draws(psi_statistics(psi, index), model, t(psi), NULL), scales)
  }
  axes <- nodes$bandwidth %||% (nodes$step * nodes$L)
  slopes <- lapply(seq_len(ncol(axes)), function(j) {
    move <- e * axes[, j]
    abs(at(v + move) - at(v - move)) / (2 * e)
  })
  do.call(pmax, slopes)
}

# ---- covariances -----------------------------------------------------------------------

#' @export
location.mixture_posterior <- function(p, type = "lrvb") p$nodes$beta[c("mean", "cov")]

#' @export
moments.mixture_posterior <- function(p) {
  nodes <- p$nodes
  list(beta = nodes$beta$mean, cov_beta = nodes$beta$cov, u = nodes$u$mean,
    sigma2_e = if (has_sigma(p$model)) sum(nodes$weights / nodes$stats[, 1L]))
}

#' @export
level_covariances.mixture_posterior <- function(p, f) {
  level_blocks(p$model, f, p$nodes$cov_global, p$nodes$cov_leaf)
}

# Of (beta, u, statistics, log tau, sigma).
#' @export
covariance.mixture_posterior <- function(p, type = "lrvb") {
  nodes <- theta_nodes(p$nodes)
  model <- p$model
  check_full_cov(model)
  at <- node_moments(model, nodes, each = TRUE, dense = TRUE)
  scalar <- unlist(Filter(function(at) length(at) == 1L, stat_index(model)))
  own <- nodes$stats[, scalar, drop = FALSE]
  sigma <- 1 / sqrt(own)
  if (is_dispersion(model, 1L)) sigma <- sigma[, -1L, drop = FALSE]
  other <- cbind(nodes$stats, log(own), sigma)
  centred <- function(x) x - rep(drop(nodes$weights %*% x), each = nrow(x))
  cross <- t(centred(t(at$node_mean))) %*% (centred(other) * nodes$weights)
  S <- rbind(cbind(at$cov, cross),
    cbind(t(cross), t(centred(other)) %*% (centred(other) * nodes$weights)))
  label(user_covariance(model, S), full_cov_names(model))
}

# ---- draws -------------------------------------------------------------------------------

# psi, then (beta, u) from its conditional normal.
#' @export
joint_draws.mixture_posterior <- function(p, ndraws, u) {
  ndraws <- check_count(ndraws %||% p$ndraws, "ndraws", 1)
  nodes <- p$nodes
  core <- engine_core(p$model)
  check_size(ndraws, length(core$h))
  drawn <- precision_parameter_draws(p, nodes, core, ndraws)
  theta <- if (is.null(drawn$at)) {
    call_nest_draws(core, nodes$centre, drawn$psi)
  } else {
    node_draws(p$model, nodes, core, drawn$at)
  }
  x <- seq_len(core$p)
  list(
    beta = t(to_raw_draws(p$model$coords, theta[x, , drop = FALSE])),
    u = if (u) t(theta[setdiff(seq_len(nrow(theta)), x), , drop = FALSE]),
    tau = structure(psi_statistics(drawn$psi, stat_index(p$model)),
      dimnames = list(NULL, stat_names(p$model)))
  )
}

# list(psi (d x ndraws), at: the node whose conditional fit serves, or NULL for one at psi itself).
# Gaussian: from the density itself, which costs a factorisation. Others, and where too few of the
# proposals are accepted: as the summary has it.
precision_parameter_draws <- function(p, nodes, core, ndraws) {
  if (!has_cells(nodes) || !nrow(nodes$psi)) {
    at <- sample.int(length(nodes$weights), ndraws, TRUE, nodes$weights)
    return(list(psi = nodes$psi[, at, drop = FALSE], at = if (has_rows(p$model)) at))
  }
  if (!has_rows(p$model) && !isTRUE(nodes$thinned)) {
    psi <- lattice_draws(nodes, ndraws, function(v) {
      call_nest_log_density(core, nodes$centre, v, nodes$bend)
    })
    if (!is.null(psi)) return(list(psi = psi))
  }
  cells <- finer_cells(p$model, nodes)
  drawn <- smoothed_nodes(cells, ndraws)
  list(psi = drawn$psi, at = if (has_rows(p$model)) cells$origin[drawn$at])
}

# In v, a node by its weight, moved within its cell by a uniform distribution tilted by half the
# gradient: what the move adds to the variance of a smooth density, h^2 / 12, its covariance with
# the node takes away. A linear map, near one, makes means and covariances those of the lattice.
smoothed_nodes <- function(nodes, ndraws) {
  at <- sample.int(length(nodes$weights), ndraws, TRUE, nodes$weights)
  tilt <- nodes$gradient / 2
  v <- bend_from_psi(nodes$psi, nodes$bend)
  own <- weighted_covariance(v, nodes$weights)
  m <- tilted_moments(tilt, nodes$step)
  moved <- weighted_covariance(v + nodes$L %*% m$mean, nodes$weights)
  moved$cov <- moved$cov + nodes$L %*% (drop(m$var %*% nodes$weights) * t(nodes$L))
  drawn <- v[, at, drop = FALSE] +
    nodes$L %*% tilted_uniform(tilt[, at, drop = FALSE], nodes$step)$x
  to <- t(chol(own$cov)) %*% forwardsolve(t(chol(moved$cov)), diag(1, nrow(v)))
  drawn <- own$mean + to %*% (drawn - moved$mean)
  list(psi = bend_to_psi(drawn, nodes$bend), at = at)
}

# Rejection sampling in v: a node by its weight, a point of its cell by the exponential density
# with the node's gradient, accepted against the exact density. The bound is the largest ratio
# among the proposals, as in Caffo, Booth and Davis (2002).
# NULL where hardly any would be.
lattice_draws <- function(nodes, ndraws, log_density) {
  v <- bend_from_psi(nodes$psi, nodes$bend)
  check_nodes_belong(nodes, v, log_density)
  out <- matrix(0, nrow(v), 0L)
  bound <- -Inf
  rounds <- 0L
  while (ncol(out) < ndraws) {
    rounds <- rounds + 1L
    if (rounds > MAX_ROUNDS && ncol(out) < ndraws * rounds / (10 * MAX_ROUNDS)) return(NULL)
    n <- ceiling(1.3 * (ndraws - ncol(out))) + 50L
    at <- sample.int(length(nodes$weights), n, TRUE, nodes$weights)
    g <- nodes$gradient[, at, drop = FALSE]
    cell <- tilted_uniform(g, nodes$step)
    x <- v[, at, drop = FALSE] + nodes$L %*% cell$x
    ratio <- log_density(x) - nodes$log_density[at] - cell$log_density
    high <- stats::quantile(ratio, 0.999, names = FALSE)
    if (high > bound + 0.01) { # start again under the higher bound
      out <- out[, log(stats::runif(ncol(out))) < bound - high, drop = FALSE]
      bound <- high
    }
    keep <- log(stats::runif(n)) < ratio - bound
    out <- cbind(out, x[, keep, drop = FALSE])
  }
  bend_to_psi(out[, seq_len(ndraws), drop = FALSE], nodes$bend)
}

# Mean and variance of x in [-h/2, h/2] with density proportional to exp(g x), element by element.
tilted_moments <- function(g, h) {
  s <- pmax(abs(g * h), 1e-3)
  mean <- h * ((1 / tanh(s / 2)) / 2 - 1 / s) * sign(g)
  mean[abs(g * h) < 1e-3] <- (g * h^2 / 12)[abs(g * h) < 1e-3]
  list(mean = matrix(mean, nrow(g)), var = matrix(h^2 * (1 / s^2 - 1 / (4 * sinh(s / 2)^2)),
    nrow(g)))
}

# Rounds of proposals after which a hundredth of a draw each is too little; a few do as a rule.
MAX_ROUNDS <- 10L

# The density at the heaviest nodes is that which they say, but for a constant.
check_nodes_belong <- function(nodes, v, log_density) {
  heavy <- utils::head(order(-nodes$weights), 5L)
  off <- log_density(v[, heavy, drop = FALSE]) - nodes$log_density[heavy]
  if (!all(is.finite(off)) || diff(range(off)) > 1) abort_draws()
}

abort_draws <- function() {
  mf_abort("fit", "the nodes of the fit do not belong to its posterior, which cannot be drawn ",
    "from: refit", arg = "object")
}

#' @export
group_covariance.mixture_posterior <- function(p, k) {
  nodes <- p$nodes
  x <- nodes$psi[stat_index(p$model)[[k + n_lead(p$model)]], , drop = FALSE]
  unvech(drop(nodes$weights %*% covariance_rows(t(x))))
}
