# Posterior moments: what every method that serves both engines starts from.

# First and second posterior moments in the user's coordinates:
#   beta, cov_beta; u, var_u, cov_bu (p x G, or NULL when not stored);
#   inv_tau: E[1 / tau_k], named like the precisions.
moments <- function(fit, ...) UseMethod("moments")

#' @export
moments.vb_fit <- function(fit, type = "lrvb", ...) {
  post <- fit$posterior
  lr <- type == "lrvb"
  var_log <- if (lr) diag(post$tau$cov_log_lrvb) else post$tau$var_log_mfvb
  frozen <- post$tau$names %in% post$tau$failed
  var_log[frozen] <- post$tau$var_log_mfvb[frozen]
  list(
    beta = post$beta$mean, cov_beta = if (lr) post$beta$cov_lrvb else post$beta$cov_mfvb,
    u = post$u$mean, var_u = if (lr) post$u$var_lrvb else post$u$var_mfvb,
    cov_bu = vb_cov_beta_u(fit, lr),
    inv_tau = stats::setNames(exp(-post$tau$mean_log + var_log / 2), post$tau$names)
  )
}

# Cov(beta, u): S_gl = S_gg Q' in working coordinates, plus J Sigma J'.
vb_cov_beta_u <- function(fit, lr) {
  vb <- fit$vb
  p <- length(fit$model$x_names)
  x <- seq_len(p)
  G <- length(vb$s_leaf)
  S <- vb$S_global %*% matrix(vb$q, p, G)
  if (lr) {
    S <- S + vb$J[x, , drop = FALSE] %*% fit$posterior$tau$cov_lrvb %*%
      t(vb$J[p + seq_len(G), , drop = FALSE])
  }
  fit$model$coords$M %*% S
}

#' @export
moments.gibbs_fit <- function(fit, ...) {
  p <- length(fit$model$x_names)
  draws <- flat_draws(fit$draws)
  b <- draws[, seq_len(p), drop = FALSE]
  colnames(b) <- fit$model$x_names
  u <- if (!is.null(fit$u_draws)) flat_draws(fit$u_draws)
  list(
    beta = colMeans(b), cov_beta = if (p) stats::cov(b) else matrix(0, 0, 0), u = fit$u$mean, var_u = fit$u$sd^2,
    cov_bu = if (!is.null(u)) if (p) stats::cov(b, u) else matrix(0, 0, ncol(u)),
    inv_tau = colMeans(1 / draws[, precision_names(fit$model), drop = FALSE])
  )
}

# iteration x chain x variable -> draw x variable
flat_draws <- function(draws) {
  d <- dim(draws)
  matrix(draws, d[1L] * d[2L], d[3L], dimnames = list(NULL, dimnames(draws)[[3L]]))
}
