# Posterior moments: what every method that serves both engines starts from.

# First and second posterior moments in the user's coordinates:
#   beta, cov_beta; u, var_u (all effects, in the order of effect_table());
#   sigma2_e: E[1 / tau_e]; cov_u: list of E[Lambda^-1], one per group term.
moments <- function(fit, ...) UseMethod("moments")

#' @export
moments.vb_fit <- function(fit, type = "lrvb", ...) {
  post <- fit$posterior
  lr <- type == "lrvb"
  cov_phi <- if (lr) post$tau$phi$cov_lrvb else post$tau$phi$cov_mfvb
  list(
    beta = post$beta$mean, cov_beta = if (lr) post$beta$cov_lrvb else post$beta$cov_mfvb,
    u = post$u$mean, var_u = if (lr) post$u$var_lrvb else post$u$var_mfvb,
    sigma2_e = if (is_gaussian(fit)) exp(-post$tau$phi$mean[1L] + cov_phi[1L, 1L] / 2),
    cov_u = lapply(seq_along(fit$model$groups), function(k) {
      expected_cov(fit, k + n_lead(fit$model), lr)
    })
  )
}

# E[Lambda^-1] of precision k: log-normal SDs, correlations at E[Lambda].
expected_cov <- function(fit, k, lr) {
  tau <- fit$posterior$tau
  at <- tau$index[[k]]
  if (length(at) == 1L) {
    v <- if (lr) tau$phi$cov_lrvb[at, at] else tau$phi$cov_mfvb[at, at]
    return(matrix(exp(-tau$phi$mean[at] + v / 2)))
  }
  t <- tau$mean[at]
  V <- if (lr) tau$cov_lrvb[at, at] else tau$cov_mfvb[at, at]
  r <- length(fit$model$groups[[k - n_lead(fit$model)]]$coef)
  eta <- log_sd_atanh(t)
  D <- numeric_jacobian(log_sd_atanh, t)[seq_len(r), , drop = FALSE]
  rms <- exp(eta[seq_len(r)] + diag(D %*% V %*% t(D)))
  R <- diag(r)
  R[lower.tri(R)] <- tanh(eta[-seq_len(r)])
  R <- R + t(R) - diag(r)
  R * tcrossprod(rms)
}

#' @export
moments.gibbs_fit <- function(fit, ...) {
  p <- length(fit$model$x_names)
  draws <- flat_draws(fit$draws)
  b <- draws[, seq_len(p), drop = FALSE]
  colnames(b) <- fit$model$x_names
  list(
    beta = colMeans(b), cov_beta = if (p) stats::cov(b) else matrix(0, 0, 0),
    u = fit$u$mean, var_u = fit$u$sd^2, sigma2_e = if (is_gaussian(fit)) mean(1 / draws[, "tau_e"]),
    cov_u = lapply(fit$model$groups, mean_cov, draws = draws)
  )
}

mean_cov <- function(term, draws) {
  t <- draws[, term_stat_names(term), drop = FALSE]
  if (!term$vector) return(matrix(mean(1 / t)))
  r <- length(term$coef)
  matrix(rowMeans(apply(t, 1L, function(v) solve(unvech(v)))), r, r)
}

# iteration x chain x variable -> draw x variable
flat_draws <- function(draws) {
  d <- dim(draws)
  matrix(draws, d[1L] * d[2L], d[3L], dimnames = list(NULL, dimnames(draws)[[3L]]))
}
