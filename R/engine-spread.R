# Moments of theta given the precisions, at the nodes of an integral. A lattice has a conditional fit
# at each of its nodes; an emulator (engine-emulate.R) at few points, `fits$psi`, from which means and
# log variances are interpolated by `fits$A` (points x nodes).

# As the result of call_nest_mixture(), of all of these nodes, which are theta_nodes(). known: state
# of the fits, where there is one.
node_moments <- function(model, nodes, core = engine_core(model), blocks = FALSE, each = FALSE,
                         dense = FALSE, rows = NULL, known = NULL) {
  if (is_emulated(nodes)) return(spread_moments(model, nodes, core, blocks, each, dense, rows, known))
  run <- call_nest_mixture(core, nodes$centre, nodes$psi, nodes$weights, blocks, each, dense, rows)
  check_status(run$status, model)
  run$result
}

# ---- fewer nodes ---------------------------------------------------------------------------------

# Given the precisions theta is normal, of moments that vary smoothly and by a few percent over the
# posterior: what wants thousands of nodes is the density of the precisions. few: list(at, weights),
# or NULL for all.
theta_nodes <- function(nodes) {
  few <- nodes$few
  if (is.null(few)) return(nodes)
  nodes$fits$A <- nodes$fits$A[, few$at, drop = FALSE]
  nodes$psi <- nodes$psi[, few$at, drop = FALSE]
  nodes$stats <- nodes$stats[few$at, , drop = FALSE]
  nodes$weights <- few$weights
  nodes
}

# Every so manieth of the mass of the nodes in the order of their places, with the nearest weights that
# keep the means, variances and covariances of psi and the means of its tails (SDs and precisions)
# and of their squares. Far out, where a variance of theta may be large, they lie closer. `most` of
# them.
few_nodes <- function(psi, tails, weights, most) {
  if (length(weights) <= most) return(NULL)
  x <- standardised(psi, weights)
  tails <- standardised(rbind(tails, tails^2), weights)
  dense <- weights * (1 + apply(rbind(x, tails)^2, 2L, max))
  order <- do.call(order, as.data.frame(t(round(x))))
  share <- cumsum(dense[order])
  marks <- (seq_len(most) - 0.5) / most * share[length(share)]
  count <- tabulate(findInterval(marks, share) + 1L, length(weights))
  at <- order[count > 0L]
  w <- count[count > 0L] * weights[at] / dense[at]
  list(at = at, weights = calibrated(moment_basis(x, tails), weights, at, w / sum(w)))
}

standardised <- function(x, w) {
  m <- weighted_moments(x, w)
  (x - m$mean) / pmax(m$sd, 1e-300)
}

moment_basis <- function(x, tails) {
  pairs <- lower_pairs(nrow(x))
  rbind(1, x, x[pairs$row, , drop = FALSE] * x[pairs$col, , drop = FALSE], tails)
}

# Weights at some of the nodes, near w, under which the basis has the means that it has under `weights`
# at all of them.
calibrated <- function(basis, weights, at, w) {
  B <- basis[, at, drop = FALSE]
  off <- drop(basis %*% weights - B %*% w)
  e <- eigen(B %*% (w * t(B)), symmetric = TRUE)
  keep <- e$values > 1e-9 * e$values[1L]
  V <- e$vectors[, keep, drop = FALSE]
  w <- w * pmax(1 + drop(crossprod(B, V %*% (crossprod(V, off) / e$values[keep]))), 0)
  w / sum(w)
}

# ---- between the fits of an emulator -----------------------------------------------------------------

is_emulated <- function(nodes) !is.null(nodes$fits)

# Within the nodes, covariances have the correlations that they have on average at the fits, whose
# weights are positive, and the variances that are interpolated; between them they are those of the
# interpolated means.
spread_moments <- function(model, nodes, core, blocks, each, dense, rows, known) {
  weights <- fit_weights(nodes)
  own <- blocks || each || dense
  run <- call_nest_mixture(core, nodes$centre, nodes$fits$psi, weights, blocks, own, dense, rows,
    known = known, within = TRUE)
  check_status(run$status, model)
  at_fits <- run$result
  out <- at_fits["correction"]
  if (own) {
    out$mean <- drop(at_fits$node_mean %*% (nodes$fits$A %*% nodes$weights))
    between <- at_fits$node_mean %*% between_root(nodes)
    average <- drop(at_fits$node_var %*% weights)
    scale <- sqrt(mean_spread_variance(at_fits$node_var, nodes) / average)
  }
  if (blocks) out <- c(out, spread_blocks(at_fits, core, scale, between))
  if (dense) out$cov <- at_fits$cov * tcrossprod(scale) + tcrossprod(between)
  if (each) {
    out$node_mean <- spread_mean(at_fits$node_mean, nodes)
    out$node_var <- spread_variance(at_fits$node_var, nodes)
  }
  if (!is.null(rows)) {
    out$row_mean <- spread_mean(at_fits$row_mean, nodes)
    out$row_var <- spread_variance(at_fits$row_var, nodes)
  }
  out
}

spread_blocks <- function(at_fits, core, scale, between) {
  in_leaf <- core$n_global + seq_len(length(scale) - core$n_global)
  list(
    cov_global = spread_block(at_fits$cov_global, scale, between),
    cov_leaf = spread_leaves(at_fits$cov_leaf, core$r, scale[in_leaf],
      between[in_leaf, , drop = FALSE])
  )
}

# n positive weights, of sum 1, near those that the average over the nodes gives the fits.
fit_weights <- function(nodes) {
  a <- pmax(drop(nodes$fits$A %*% nodes$weights), 1e-3)
  a / sum(a)
}

# F with F F' = A (diag(w) - w w') A': of means m at the fits, m F F' m' is the covariance of their
# interpolants over the nodes.
between_root <- function(nodes) {
  A <- nodes$fits$A
  B <- weighted_covariance(A, nodes$weights)$cov
  e <- eigen(B, symmetric = TRUE)
  keep <- e$values > 1e-12 * e$values[1L]
  e$vectors[, keep, drop = FALSE] * rep(sqrt(e$values[keep]), each = nrow(A))
}

# variables x nodes of variables x fits; means, and variances by their logarithms.
spread_mean <- function(m, nodes) m %*% nodes$fits$A
spread_variance <- function(v, nodes) exp(log(pmax(v, 1e-300)) %*% nodes$fits$A)

# Averages of variances over the nodes, some variables at a time; nodes of no weight are left out.
mean_spread_variance <- function(v, nodes) {
  light <- nodes$weights < 1e-6 / length(nodes$weights)
  few <- list(fits = list(A = nodes$fits$A[, !light, drop = FALSE]))
  w <- nodes$weights[!light] / sum(nodes$weights[!light])
  lot <- ceiling(seq_len(nrow(v)) * length(w) / 1e6)
  unlist(lapply(split(seq_len(nrow(v)), lot), function(i) {
    drop(spread_variance(v[i, , drop = FALSE], few) %*% w)
  }), use.names = FALSE)
}

# x: variables x nodes
weighted_covariance <- function(x, w) {
  mean <- drop(x %*% w)
  list(mean = mean, cov = (x - mean) %*% (t(x - mean) * w))
}

# theta (a column per element of `at`, which are nodes) from its distribution at each. A conditional
# fit per node that is met, not per draw; of an emulator per fit, whose draws are moved to the node:
# to its mean, and in proportion to its SDs.
node_draws <- function(model, nodes, core, at) {
  if (is_emulated(nodes)) return(spread_draws(model, nodes, core, at))
  ordered_draws(nodes$psi, at, core, nodes$centre)
}

ordered_draws <- function(psi, at, core, centre) {
  order <- order(at)
  call_nest_draws(core, centre, psi[, at[order], drop = FALSE])[, order(order), drop = FALSE]
}

spread_draws <- function(model, nodes, core, at) {
  fits <- nodes$fits
  nearest <- apply(fits$A, 2L, which.max)[at]
  run <- call_nest_mixture(core, nodes$centre, fits$psi, fit_weights(nodes), each = TRUE)
  check_status(run$status, model)
  m <- run$result$node_mean
  v <- log(pmax(run$result$node_var, 1e-300))
  A <- fits$A[, at, drop = FALSE]
  from_mean <- ordered_draws(fits$psi, nearest, core, nodes$centre) - m[, nearest, drop = FALSE]
  m %*% A + from_mean * exp((v %*% A - v[, nearest, drop = FALSE]) / 2)
}
