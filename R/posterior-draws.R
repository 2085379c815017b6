# A posterior that is draws: Gibbs sampling.

#' @export
linear_mixture.gibbs_fit <- function(fit, parts) {
  d <- joint_draws(fit, NULL, u = length(parts$groups) > 0L)
  mean <- t(known_draws(fit$model, parts, d)) + parts$offset
  n <- ncol(mean)
  list(weights = rep(1 / n, n), sample = TRUE, mean = mean, var = array(0, dim(mean)),
    new = new_level_variance(fit$model, parts, node_covariances(fit$model, d$tau), n),
    lead = lead_of(fit$model, d$tau))
}

#' @export
joint_draws.gibbs_fit <- function(fit, ndraws, u) {
  if (u && is.null(fit$u_draws)) {
    mf_abort("engine", "the draws of the random effects were not stored: refit with ",
      "save_u = TRUE, or use re.form = NA", arg = "re.form")
  }
  p <- length(fit$model$x_names)
  d <- flat_draws(fit$draws)
  rows <- seq_len(nrow(d))
  if (!is.null(ndraws)) {
    ndraws <- check_count(ndraws, "draws", 1)
    rows <- if (ndraws <= length(rows)) sample(rows, ndraws) else sample(rows, ndraws, TRUE)
  }
  list(
    beta = d[rows, seq_len(p), drop = FALSE],
    u = if (u) {
      t(user_effects(fit$model, t(flat_draws(fit$u_draws)[rows, , drop = FALSE]), back = TRUE))
    },
    tau = working_precisions(fit)[rows, , drop = FALSE]
  )
}

#' @export
level_covariances.gibbs_fit <- function(fit, f) {
  x <- fit$model$factors[[f]]
  r <- length(x$coef)
  rows <- which(effect_table(fit$model)$factor == f)
  u <- if (r > 1L && !is.null(fit$u_draws)) flat_draws(fit$u_draws[, , rows, drop = FALSE])
  user <- vapply(seq_along(x$levels), function(g) {
    at <- (g - 1L) * r + seq_len(r)
    if (is.null(u)) diag(fit$u$sd[rows[at]]^2, r) else stats::cov(u[, at, drop = FALSE])
  }, matrix(0, r, r))
  user_level_covariances(array(user, c(r, r, length(x$levels))), invert_map(factor_map(fit$model, f)))
}

#' @export
moments.gibbs_fit <- function(fit, ...) {
  no_dots(...)
  p <- length(fit$model$x_names)
  draws <- flat_draws(fit$draws)
  b <- draws[, seq_len(p), drop = FALSE]
  colnames(b) <- fit$model$x_names
  list(
    beta = colMeans(b), cov_beta = if (p) stats::cov(b) else matrix(0, 0, 0),
    u = if (!is.null(fit$u)) c(user_effects(fit$model, as.matrix(fit$u$mean), back = TRUE)),
    sigma2_e = if (has_sigma(fit)) mean(1 / draws[, "tau_e"])
  )
}

#' @export
group_covariance.gibbs_fit <- function(fit, k) {
  t <- working_precisions(fit)[, term_stat_names(fit$model$groups[[k]]), drop = FALSE]
  mean_inverse(t, rep(1 / nrow(t), nrow(t)))
}
