# Posterior covariance matrices of all coefficients and effects.

check_full_cov <- function(model) {
  n <- model$layout$dim$theta
  if (n > 10000L) {
    mf_abort("size", "the full covariance would have ", n, " rows, more than 10,000: ",
      "use `pars = \"beta\"` or as_draws()", arg = "pars")
  }
}

# Dense covariance of (beta, u, statistics, log tau, sigma); the last two of scalar terms. type: of
# linear response, or q's own ("mfvb").
#' @export
covariance.regression_normal <- function(p, type = "lrvb") {
  check_full_cov(p$model)
  lr <- type == "lrvb"
  vb <- p$vb
  tau <- p$tau
  n <- length(vb$mean)
  scalar <- unlist(tau$index[lengths(tau$index) == 1L])
  core <- sums_core(p$model)
  theta <- arrow_dense(if (lr) theta_covariance(p, core) else own_covariance(p, core))
  stats <- if (lr) tau$cov_lrvb else tau$cov_mfvb
  psi <- if (lr) tau$psi$cov_lrvb else tau$psi$cov_mfvb
  cross <- if (lr) tau$psi$cross else diag(diag(tau$cov_mfvb) / tau$mean, length(tau$mean))
  with_tau <- matrix(0, n, length(tau$mean) + length(scalar))
  if (lr) {
    theta <- theta + vb$J %*% stats %*% t(vb$J)
    with_tau <- cbind(vb$J %*% stats, vb$J %*% cross[, scalar, drop = FALSE])
  }
  cs <- cross[, scalar, drop = FALSE]
  tt <- rbind(cbind(stats, cs), cbind(t(cs), psi[scalar, scalar, drop = FALSE]))
  S <- user_covariance(p$model, rbind(cbind(theta, with_tau), cbind(t(with_tau), tt)))
  add_sigma_rows(S, p, n + length(tau$mean) + seq_along(scalar), scalar)
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

# Rows of the SDs; a dispersion has none. sigma = exp(-log tau / 2), so that at the mean of log tau
# d sigma / d log tau = -sigma / 2.
add_sigma_rows <- function(S, p, log_rows, scalar) {
  tau <- p$tau
  if (is_dispersion(p$model, 1L)) {
    log_rows <- log_rows[-1L]
    scalar <- scalar[-1L]
  }
  D <- rbind(diag(nrow(S)), 0 * S[log_rows, , drop = FALSE])
  D[cbind(nrow(S) + seq_along(log_rows), log_rows)] <- -exp(-tau$psi$mean[scalar] / 2) / 2
  label(D %*% S %*% t(D), full_cov_names(p$model))
}

# Names of the full covariance: coefficients, effects, statistics, and of scalar precisions the
# logarithms and SDs.
full_cov_names <- function(model) {
  table <- variable_table(model)
  vector <- which(vapply(model$groups, `[[`, NA, "vector"))
  scalar <- table$block == "lead" | !table$term %in% vector
  of <- function(kinds) table$variable[scalar & table$kind %in% kinds]
  c(beta_names(model), u_names(model), stat_names(model), of(c("log_tau", "log_dispersion")),
    of("sigma"))
}
