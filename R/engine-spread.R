# Moments of theta given the precisions, at the nodes of an integral. A lattice has a conditional
# fit at each of its nodes; an emulator (engine-emulate.R) at few points, `fits$psi`, from which
# means and log variances are interpolated by `fits$A` (points x nodes).

# As the result of call_nest_mixture(), of all of these nodes, which are theta_nodes(). known: state
# of the fits, where there is one.
node_moments <- function(model, nodes, core = engine_core(model), blocks = FALSE, each = FALSE,
                         dense = FALSE, rows = NULL, known = NULL) {
  if (is_emulated(nodes)) {
    return(spread_moments(model, nodes, core, blocks, each, dense, rows, known))
  }
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

# Every so manieth of the mass of the nodes in the order of their places, with the nearest weights
# that keep the means, variances and covariances of psi and the means of `tails`, of which moments
# of theta are made: SDs, precisions and covariances. Far out, where a variance of theta may be
# large, they lie closer. `most` of them.
few_nodes <- function(psi, tails, weights, most) {
  if (length(weights) <= most) return(NULL)
  x <- standardised(psi, weights)
  tails <- standardised(tails, weights)
  dense <- weights * (1 + do.call(pmax, row_vectors(rbind(x, tails)^2)))
  order <- do.call(order, row_vectors(round(x)))
  share <- cumsum(dense[order])
  marks <- (seq_len(most) - 0.5) / most * share[length(share)]
  count <- tabulate(findInterval(marks, share) + 1L, length(weights))
  at <- order[count > 0L]
  w <- count[count > 0L] * weights[at] / dense[at]
  basis <- moment_basis(x, tails)
  w <- calibrated(basis[, at, drop = FALSE], drop(basis %*% weights), w / sum(w))
  list(at = at[w > 0], weights = w[w > 0])
}

row_vectors <- function(x) lapply(seq_len(nrow(x)), function(i) x[i, ])

# What moments of theta are made of, a row each, at the columns of psi.
theta_tails <- function(core, psi) {
  rbind(long_tails(core)(psi), variance_terms(psi, stat_index(core)))
}

variance_terms <- function(psi, index) {
  do.call(rbind, lapply(index, function(at) t(covariance_rows(t(psi[at, , drop = FALSE])))))
}

standardised <- function(x, w) {
  m <- weighted_moments(x, w)
  (x - m$mean) / pmax(m$sd, 1e-300)
}

moment_basis <- function(x, tails) {
  pairs <- lower_pairs(nrow(x))
  rbind(1, x, x[pairs$row, , drop = FALSE] * x[pairs$col, , drop = FALSE], tails)
}

# Weights near w under which the rows of B (a column per weight) have the means `wanted`.
calibrated <- function(B, wanted, w) {
  for (i in 1:8) { # more than once where weights would be negative
    missing <- wanted - B %*% w
    if (max(abs(missing)) < 1e-10) break
    e <- eigen(B %*% (w * t(B)), symmetric = TRUE)
    keep <- e$values > 1e-11 * e$values[1L]
    V <- e$vectors[, keep, drop = FALSE]
    off <- crossprod(V, missing)
    if (max(abs(off)) < 1e-10) break
    w <- w * pmax(1 + drop(crossprod(B, V %*% (off / e$values[keep]))), 0)
  }
  w / sum(w)
}

# ---- between the fits of an emulator ----------------------------------------------------

is_emulated <- function(nodes) !is.null(nodes$fits)

# Within the nodes the covariance is an average of those at the fits, between them that of the
# interpolated means: what is said of a coefficient, of all of them and of their combinations
# agrees.
spread_moments <- function(model, nodes, core, blocks, each, dense, rows, known) {
  own <- blocks || each || dense
  moments_at_fits <- function(weights) {
    run <- call_nest_mixture(core, nodes$centre, nodes$fits$psi, weights, blocks, own, dense, rows,
      known = known, within = TRUE)
    check_status(run$status, model)
    run$result
  }
  weights <- nodes$fits$within %||% within_weights(nodes, stat_index(core))
  at_fits <- moments_at_fits(weights)
  prior <- if (each || is.null(nodes$fits$within) && own) {
    at_both(nodes, function(psi) prior_variances(core, psi))
  }
  if (is.null(nodes$fits$within) && own) {
    by_logs <- drop(interpolated_variances(at_fits$node_var, nodes, prior) %*% nodes$weights)
    better <- matched_weights(at_fits$node_var, by_logs, weights, core$p)
    if (!identical(better, weights)) at_fits <- moments_at_fits(weights <- better)
  }
  out <- c(at_fits["correction"], list(within = weights))
  if (own) {
    out$mean <- drop(at_fits$node_mean %*% (nodes$fits$A %*% nodes$weights))
    between <- at_fits$node_mean %*% between_root(nodes)
  }
  if (blocks) out <- c(out, add_between(at_fits, core, between))
  if (dense) out$cov <- at_fits$cov + tcrossprod(between)
  if (each) {
    # beside a covariance the means are those that it is made of
    out$node_mean <- if (dense) at_fits$node_mean %*% nodes$fits$A else
      spread_mean(at_fits$node_mean, nodes, prior)
    out$node_var <- spread_variance(at_fits$node_var, nodes, weights, prior)
  }
  if (!is.null(rows)) out <- c(out, spread_rows(at_fits, rows, nodes, weights, core))
  if (!is.null(nodes$fits$within) || !own) return(out)
  x <- seq_len(core$p)
  c(out, error = spread_error(at_fits, by_logs, nodes, weights, x))
}

# Of linear combinations of theta, the rows of a matrix.
spread_rows <- function(at_fits, rows, nodes, weights, core) {
  squared <- squared_rows(rows)
  prior <- at_both(nodes, function(psi) rows_product(core, squared, prior_variances(core, psi)))
  list(row_mean = spread_mean(at_fits$row_mean, nodes, prior),
    row_var = spread_variance(at_fits$row_var, nodes, weights, prior))
}

# Of a function of psi (variables x points), Inf where a variable has a coefficient in it: its
# values at the fits and at the nodes.
at_both <- function(nodes, f) list(fits = f(nodes$fits$psi), nodes = f(nodes$psi))

# The error of the SDs of the coefficients x, relative, the largest (working coefficients, for which
# the origin of a covariate is nothing): half of what averages of their variances within the nodes,
# by `weights` and by logarithms, differ by.
spread_error <- function(at_fits, by_logs, nodes, weights, x) {
  by_weights <- drop(at_fits$node_var[x, , drop = FALSE] %*% weights)
  means <- at_fits$node_mean[x, , drop = FALSE] %*% nodes$fits$A
  between <- weighted_moments(means, nodes$weights)$sd^2
  max(abs(by_weights - by_logs[x]) / (by_weights + between) / 2, 0)
}

add_between <- function(at_fits, core, between) {
  in_leaf <- seq_len(nrow(between)) > core$n_global
  list(
    cov_global = add_to_block(at_fits$cov_global, between),
    cov_leaf = add_to_leaves(at_fits$cov_leaf, core$r, between[in_leaf, , drop = FALSE])
  )
}

# n positive weights, near those that A's average over the nodes gives the fits, under which the
# covariances of the effects have the means that they have over the nodes: where levels are few,
# variances of coefficients are sums of them.
within_weights <- function(nodes, index) {
  a <- pmax(drop(nodes$fits$A %*% nodes$weights), FEW_MOMENTS)
  basis <- function(psi) rbind(1, variance_terms(psi, index))
  wanted <- drop(basis(nodes$psi) %*% nodes$weights)
  size <- pmax(abs(wanted), 1e-300)
  w <- calibrated(basis(nodes$fits$psi) / size, wanted / size, a / sum(a)) + FEW_MOMENTS
  w / sum(w)
}

# Where averages of variances v (theta x fits) under the weights w are far from those by logarithms:
# positive weights nearer to these, the p coefficients together counting as much as the effects
# together, by multiplicative steps of least squares [Lee & Seung 2001].
matched_weights <- function(v, by_logs, w, p) {
  G <- v / by_logs
  if (!all(is.finite(G)) || max(abs(G %*% w - 1)) < MATCHED) return(w)
  of_beta <- seq_len(nrow(v)) <= p
  share <- ifelse(of_beta, 1 / max(p, 1L), 1 / max(nrow(v) - p, 1L))
  H <- crossprod(G, share * G)
  g <- drop(crossprod(G, share))
  for (i in 1:500) w <- w * g / drop(H %*% w)
  w + FEW_MOMENTS
}

# Relative; SDs then differ by half of it.
MATCHED <- 0.02

# Fits of less weight get rougher moments (NEGLIGIBLE in glmm_nest.c).
FEW_MOMENTS <- 2e-4

# F with F F' = A (diag(w) - w w') A': of means m at the fits, m F F' m' is the covariance of their
# interpolants over the nodes.
between_root <- function(nodes) {
  A <- nodes$fits$A
  B <- weighted_covariance(A, nodes$weights)$cov
  e <- eigen(B, symmetric = TRUE)
  keep <- e$values > 1e-12 * e$values[1L]
  e$vectors[, keep, drop = FALSE] * rep(sqrt(e$values[keep]), each = nrow(A))
}

# variables x nodes of variables x fits. What vanishes with the prior variances of the effects is
# smooth over them: means over how much they are shrunk where the variances are average, and log
# variances over the prior's. prior: at_both().
spread_mean <- function(m, nodes, prior) {
  middle <- drop(prior$nodes %*% nodes$weights)
  shrunk <- function(p) {
    s <- p / (p + middle)
    s[!is.finite(p)] <- 1
    s
  }
  ((m / shrunk(prior$fits)) %*% nodes$fits$A) * shrunk(prior$nodes)
}

# The average over the nodes is that which the fits have under `weights`.
spread_variance <- function(v, nodes, weights, prior) {
  out <- interpolated_variances(v, nodes, prior)
  out * drop(pmax(v, 1e-300) %*% weights) / pmax(drop(out %*% nodes$weights), 1e-300)
}

interpolated_variances <- function(v, nodes, prior) {
  scale <- function(p) {
    p[!is.finite(p)] <- 1
    pmax(p, 1e-300)
  }
  exp(log(pmax(v, 1e-300) / scale(prior$fits)) %*% nodes$fits$A) * scale(prior$nodes)
}

# Prior variances of theta (dim x points) at the columns of psi, Inf of the coefficients.
prior_variances <- function(core, psi) {
  from <- rep(nrow(psi) + 1L, core$n_global + core$n_leaf * core$r)
  index <- stat_index(core)
  for (k in seq_along(index)[seq_along(index) > n_lead(core)]) {
    at <- effect_rows(core, k)
    from[at] <- rep_len(index[[k]][on_diagonal(core$prec[[k]]$r)], length(at))
  }
  rbind(exp(-psi), Inf)[from, , drop = FALSE]
}

# x: variables x nodes
weighted_covariance <- function(x, w) {
  mean <- drop(x %*% w)
  list(mean = mean, cov = (x - mean) %*% (t(x - mean) * w))
}

# ---- draws -------------------------------------------------------------------------------

# theta (a column per element of `at`, which are nodes) from its distribution at each. A conditional
# fit per node that is met, not per draw; of an emulator for theta_nodes(), whose draws are moved to
# the means of those around them.
node_draws <- function(model, nodes, core, at) {
  if (is_emulated(nodes)) return(spread_draws(model, nodes, core, at))
  ordered_draws(nodes$psi, at, core, nodes$centre)
}

ordered_draws <- function(psi, at, core, centre) {
  order <- order(at)
  call_nest_draws(core, centre, psi[, at[order], drop = FALSE])[, order(order), drop = FALSE]
}

spread_draws <- function(model, nodes, core, at) {
  few <- nodes$few
  if (is.null(few)) return(ordered_draws(nodes$psi, at, core, nodes$centre))
  one_of <- few$at[nodes_around(standardised(nodes$psi, nodes$weights), at, few)]
  fits <- nodes$fits
  n <- ncol(fits$psi)
  run <- call_nest_mixture(core, nodes$centre, fits$psi, rep(1 / n, n), each = TRUE)
  check_status(run$status, model)
  ordered_draws(nodes$psi, one_of, core, nodes$centre) +
    run$result$node_mean %*% (fits$A[, at, drop = FALSE] - fits$A[, one_of, drop = FALSE])
}

# Which of the few is taken for each of the nodes `at`: one nearby, as often in all as its weight
# says.
nodes_around <- function(x, at, few) {
  from <- x[, few$at, drop = FALSE]
  to <- x[, at, drop = FALSE]
  square <- outer(colSums(from^2), colSums(to^2), `+`) - 2 * crossprod(from, to)
  reach <- stats::median(apply(square, 2L, min)) + 1e-4
  chance <- exp(-pmax(square, 0) / (2 * reach)) + 1e-12
  for (i in 1:20) { # to the sums that both sides want, in turn
    chance <- chance * (few$weights / pmax(rowMeans(chance), 1e-300))
    chance <- chance / rep(colSums(chance), each = nrow(chance))
  }
  below <- matrix(apply(chance, 2L, cumsum), nrow(chance))
  u <- rep(stats::runif(ncol(chance)), each = nrow(chance))
  pmin(1L + as.integer(colSums(below < u)), nrow(chance))
}
