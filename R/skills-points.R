# What fits of skills say of ranks and matches: weighted averages over points of the posterior, a
# row per coordinate (skills, home, log tie), moved and scaled to the means and SDs of the table.

# list(z, weights).
skill_points <- function(fit) {
  if (inherits(fit, "target_hmc_fit")) {
    return(list(z = fit$z, weights = rep(1 / ncol(fit$z), ncol(fit$z))))
  }
  use <- fit$points$weights > 0
  w <- fit$points$weights[use] / sum(fit$points$weights[use])
  z <- with_sure_covariance(fit, fit$points$z[, use, drop = FALSE], w)
  own <- weighted_moments(z, w)
  scale <- ifelse(own$sd > 0, fit$table$spread / own$sd, 1)
  moved <- fit$table$loc + (z - own$mean) * scale
  lost <- !is.finite(fit$table$loc) | !is.finite(fit$table$spread)
  moved[lost, ] <- z[lost, ]
  list(z = moved, weights = w)
}

# Of an importance sample about a normal fit: its covariance differs from that of the normal
# distribution by what it does under weights for the latter at the same points, which is known much
# better than itself. The points are mapped to that covariance.
with_sure_covariance <- function(fit, z, w) {
  part <- fit$vb$components[[1L]]
  sampled <- inherits(fit, "target_vb_fit") && all(fit$table$source == "importance")
  if (!sampled || length(fit$vb$components) > 1L || is.null(part$L)) return(z)
  lp <- evaluator(fit$model)(z, FALSE)$lp
  e <- forwardsolve(part$L, z - part$m)
  v <- log(w) - colSums(e^2) / 2 - lp
  v <- exp(v - max(v))
  p <- weighted_covariance(z, w)
  q <- weighted_covariance(z, v / sum(v))
  from <- lower_chol(p$cov)
  to <- lower_chol(tcrossprod(part$L) + p$cov - q$cov)
  if (is.null(from) || is.null(to)) return(z)
  p$mean + to %*% forwardsolve(from, z - p$mean)
}

# list(skill (a row per player), home, tie (its logarithm)); the last two NULL where there are none.
point_parts <- function(model, z) {
  at <- extra_places(model$user$data, model$d)
  list(skill = z[seq_along(model$players), , drop = FALSE],
    home = if (!is.null(at$home)) z[at$home, ], tie = if (!is.null(at$tie)) z[at$tie, ])
}

# The rank of every player at every point, 1 the best.
point_ranks <- function(skill) {
  n <- ncol(skill)
  k <- nrow(skill)
  out <- matrix(0L, k, n)
  out[order(rep(seq_len(n), each = k), -as.vector(skill))] <- rep(seq_len(k), n)
  out
}

# Matches of rows a and b of the skills, side as in match_pairs(): list(win, tie, better), matrices
# matches x points; tie NULL where ties are no part of the model.
point_matches <- function(model, parts, a, b, side = 0) {
  d <- parts$skill[a, , drop = FALSE] - parts$skill[b, , drop = FALSE]
  better <- d > 0
  if (!is.null(parts$home)) d <- d + outer(rep_len(side, length(a)), parts$home)
  t <- if (!is.null(parts$tie)) matrix(parts$tie, nrow(d), ncol(d), byrow = TRUE)
  p <- match_probabilities(model$settings$link, d, t)
  list(win = p$win, tie = if (!is.null(t)) p$tie, better = better)
}

# As many points of equal weight, with skills of n players without a match, from the prior, beside
# those that there are.
with_new_players <- function(p, model, n) {
  if (!n) return(list(parts = point_parts(model, p$z), weights = p$weights))
  size <- 2L * max(NEW_POINTS %/% 2L, n)
  at <- findInterval((seq_len(size) - 0.5) / size, cumsum(p$weights)) + 1L
  parts <- point_parts(model, p$z[, pmin(at, ncol(p$z)), drop = FALSE])
  e <- shifted_points(size, n, shift = 23L, match = TRUE)
  e <- e[, with_fixed_seed(sample.int(size)), drop = FALSE]
  parts$skill <- rbind(parts$skill, model$settings$prior_sd * e)
  list(parts = parts, weights = rep(1 / size, size))
}

NEW_POINTS <- 16384L
