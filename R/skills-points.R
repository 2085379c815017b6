# What fits of skills say of ranks and matches: weighted averages over points of the posterior, a row
# per coordinate (skills, home, log tie), moved and scaled to the means and SDs of the table.

# list(z, weights).
skill_points <- function(fit) {
  if (inherits(fit, "target_hmc_fit")) {
    return(list(z = fit$z, weights = rep(1 / ncol(fit$z), ncol(fit$z))))
  }
  use <- fit$points$weights > 0
  w <- fit$points$weights[use] / sum(fit$points$weights[use])
  z <- fit$points$z[, use, drop = FALSE]
  own <- weighted_moments(z, w)
  scale <- ifelse(own$sd > 0, fit$table$spread / own$sd, 1)
  moved <- fit$table$loc + (z - own$mean) * scale
  lost <- !is.finite(fit$table$loc) | !is.finite(fit$table$spread)
  moved[lost, ] <- z[lost, ]
  list(z = moved, weights = w)
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

# Skills of players without a match, from the prior, beside those of the points.
with_new_players <- function(parts, n, prior_sd) {
  if (!n) return(parts)
  size <- ncol(parts$skill)
  most <- 2L * ceiling(max(size, 2L * n) / 2) # as many as can be matched
  e <- shifted_points(most, n, shift = 23L, match = TRUE)
  at <- with_fixed_seed(sample.int(most, size))
  parts$skill <- rbind(parts$skill, prior_sd * e[, at, drop = FALSE])
  parts
}
