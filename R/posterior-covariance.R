# Posterior covariance matrices of all coefficients and effects.

check_full_cov <- function(fit) {
  n <- fit$model$layout$dim$theta
  if (n > 10000L) {
    mf_abort("size", "the full covariance would have ", n, " rows, more than 10,000: ",
      "use `pars = \"beta\"` or as_draws()", arg = "pars")
  }
}

# Dense covariance of (beta, u, statistics, log tau, sigma); the last two of scalar terms.
vb_full_cov <- function(fit, lr) {
  vb <- fit$vb
  tau <- fit$posterior$tau
  n <- length(vb$mean)
  scalar <- unlist(tau$index[lengths(tau$index) == 1L])
  core <- lmm_core(fit$model)
  theta <- arrow_dense(if (lr) theta_covariance(fit, core) else own_covariance(fit, core))
  stats <- if (lr) tau$cov_lrvb else tau$cov_mfvb
  phi <- if (lr) tau$phi$cov_lrvb else tau$phi$cov_mfvb
  cross <- if (lr) tau$phi$cross else diag(diag(tau$cov_mfvb) / tau$mean, length(tau$mean))
  with_tau <- matrix(0, n, length(tau$mean) + length(scalar))
  if (lr) {
    theta <- theta + vb$J %*% stats %*% t(vb$J)
    with_tau <- cbind(vb$J %*% stats, vb$J %*% cross[, scalar, drop = FALSE])
  }
  cs <- cross[, scalar, drop = FALSE]
  tt <- rbind(cbind(stats, cs), cbind(t(cs), phi[scalar, scalar, drop = FALSE]))
  S <- user_covariance(fit$model, rbind(cbind(theta, with_tau), cbind(t(with_tau), tt)))
  add_sigma_rows(S, fit, n + length(tau$mean) + seq_along(scalar), scalar)
}

# Of (theta, statistics, anything) in working coordinates to the user's.
user_covariance <- function(model, S) {
  rows <- function(X) {
    dim <- model$layout$dim
    x <- seq_len(dim$p)
    u <- dim$p + seq_len(dim$effects)
    stats <- dim$theta + seq_len(dim$stats)
    X[x, ] <- model$coords$M %*% X[x, , drop = FALSE]
    X[u, ] <- user_effects(model, X[u, , drop = FALSE])
    X[stats, ] <- t(user_statistics(t(X[stats, , drop = FALSE]), model))
    X
  }
  rows(t(rows(S)))
}

# sigma = exp(-log tau / 2): d sigma / d log tau = -sigma / 2 at the mean of log tau.
add_sigma_rows <- function(S, fit, log_rows, scalar) {
  tau <- fit$posterior$tau
  D <- rbind(diag(nrow(S)), 0 * S[log_rows, , drop = FALSE])
  D[cbind(nrow(S) + seq_along(log_rows), log_rows)] <- -exp(-tau$phi$mean[scalar] / 2) / 2
  label(D %*% S %*% t(D), full_cov_names(fit$model, scalar))
}
