# A posterior that is draws, and what a mixed model knows of them beyond their moments.

#' @export
marginals.draws_posterior <- function(p, level = NULL, u = FALSE) {
  draws_summary(p$draws, level %||% 0.95)
}

#' @export
location.draws_posterior <- function(p, type = "lrvb") {
  d <- location_draws(p)
  list(mean = colMeans(d), cov = stats::cov(d))
}

location_draws <- function(p) flat_draws(p$draws)[, location_names(p$model), drop = FALSE]

#' @export
covariance.draws_posterior <- function(p, type = "lrvb") stats::cov(flat_draws(p$draws))

#' @export
all_draws.draws_posterior <- function(p, ndraws = NULL, u = "auto") {
  own_draws(ndraws)
  settle_u(u, 0, FALSE)
  posterior::as_draws_array(p$draws)
}

# A chain has the draws that it has.
own_draws <- function(ndraws) {
  if (is.null(ndraws)) return(invisible())
  mf_abort("dots", "`ndraws` is for fits that can be drawn from anew; a fit by sampling has its ",
    "own draws: leave it out, or take some with posterior::subset_draws()", arg = "ndraws")
}

#' @export
linear_mixture.draws_posterior <- function(p, parts) {
  mean <- parts$X %*% t(location_draws(p)) + parts$offset
  draws_mixture(mean, matrix(0, nrow(mean), ncol(mean)))
}

draws_mixture <- function(mean, new, lead = NULL) {
  n <- ncol(mean)
  list(weights = rep(1 / n, n), sample = TRUE, mean = mean, var = array(0, dim(mean)), new = new,
    lead = lead)
}

# Does it have the joint distribution of coefficients and random effects?
knows_effects <- function(p) !inherits(p, "draws_posterior") || !is.null(p$u_draws)

# ---- mixed models ------------------------------------------------------------------------------

# The rows of variable_table(), those of effects that were not stored without accuracy.
#' @export
marginals.regression_draws <- function(p, level = NULL, u = FALSE) {
  level <- level %||% 0.95
  out <- drop_missing_moments(draws_summary(gibbs_array(p), level), variable_table(p$model))
  if (!u || is.null(p$u)) return(out)
  effects <- if (!is.null(p$u_draws)) draws_summary(p$u_draws, level) else {
    none <- out[rep(NA_integer_, nrow(p$u)), ]
    none[c("variable", "mean", "sd")] <- p$u[c("name", "mean", "sd")]
    none
  }
  rbind(out, effects)
}

#' @export
covariance.regression_draws <- function(p, type = "lrvb") {
  stats::cov(flat_draws(gibbs_array(p, u = !is.null(p$u_draws))))
}

#' @export
all_draws.regression_draws <- function(p, ndraws = NULL, u = "auto") {
  own_draws(ndraws)
  keep_u <- settle_u(u, length(p$u_draws), !is.null(p$u_draws))
  if (keep_u && is.null(p$u_draws) && length(p$model$factors)) {
    mf_abort("engine", "the draws of the random effects were not stored: ",
      "refit with save_u = TRUE", arg = "u")
  }
  posterior::as_draws_array(gibbs_array(p, keep_u))
}

#' @export
location.regression_draws <- function(p, type = "lrvb") {
  m <- moments(p)
  list(mean = m$beta, cov = m$cov_beta)
}

#' @export
linear_mixture.regression_draws <- function(p, parts) {
  d <- joint_draws(p, NULL, u = length(parts$groups) > 0L)
  mean <- t(known_draws(p$model, parts, d)) + parts$offset
  new <- new_level_variance(p$model, parts, node_covariances(p$model, d$tau), ncol(mean))
  draws_mixture(mean, new, lead_of(p$model, d$tau))
}

#' @export
joint_draws.regression_draws <- function(p, ndraws, u) {
  if (u && is.null(p$u_draws)) {
    mf_abort("engine", "the draws of the random effects were not stored: refit with ",
      "save_u = TRUE, or use re.form = NA", arg = "re.form")
  }
  d <- flat_draws(p$draws)
  rows <- seq_len(nrow(d))
  if (!is.null(ndraws)) {
    ndraws <- check_count(ndraws, "draws", 1)
    rows <- if (ndraws <= length(rows)) sample(rows, ndraws) else sample(rows, ndraws, TRUE)
  }
  list(
    beta = d[rows, seq_along(p$model$x_names), drop = FALSE],
    u = if (u) {
      t(user_effects(p$model, t(flat_draws(p$u_draws)[rows, , drop = FALSE]), back = TRUE))
    },
    tau = working_precisions(p)[rows, , drop = FALSE]
  )
}

#' @export
level_covariances.regression_draws <- function(p, f) {
  x <- p$model$factors[[f]]
  r <- length(x$coef)
  rows <- effects_of(p$model, f)
  u <- if (r > 1L && !is.null(p$u_draws)) flat_draws(p$u_draws[, , rows, drop = FALSE])
  user <- vapply(seq_along(x$levels), function(g) {
    at <- (g - 1L) * r + seq_len(r)
    if (is.null(u)) diag(p$u$sd[rows[at]]^2, r) else stats::cov(u[, at, drop = FALSE])
  }, matrix(0, r, r))
  user_level_covariances(array(user, c(r, r, length(x$levels))), invert_map(factor_map(p$model, f)))
}

#' @export
moments.regression_draws <- function(p) {
  n <- length(p$model$x_names)
  draws <- flat_draws(p$draws)
  b <- draws[, seq_len(n), drop = FALSE]
  colnames(b) <- p$model$x_names
  list(
    beta = colMeans(b), cov_beta = if (n) stats::cov(b) else matrix(0, 0, 0),
    u = if (!is.null(p$u)) c(user_effects(p$model, as.matrix(p$u$mean), back = TRUE)),
    sigma2_e = if (has_sigma(p$model)) mean(1 / draws[, "tau_e"])
  )
}

#' @export
group_covariance.regression_draws <- function(p, k) {
  t <- working_precisions(p)[, term_stat_names(p$model$groups[[k]]), drop = FALSE]
  mean_inverse(t, rep(1 / nrow(t), nrow(t)))
}
