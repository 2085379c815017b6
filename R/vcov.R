# Posterior covariance matrices.

#' Posterior covariance
#'
#' @param object A `vb_fit` or `gibbs_fit`.
#' @param type `"lrvb"` (default, the best source of this version) or `"mfvb"`.
#' @param pars `"beta"`: the coefficients, named as in the model matrix. `"all"`:
#'   coefficients, random effects, precisions, log precisions and standard
#'   deviations, named as in [summary()]; a dense matrix, refused above 10,000 rows.
#' @param full Not used (for packages that pass it).
#' @param ... Not used.
#' @return A symmetric matrix. Rows of standard deviations follow from those of the
#'   log precisions by the delta method.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' vcov(fit)
#' sqrt(diag(vcov(fit, type = "mfvb")))
#' @export
vcov.vb_fit <- function(object, type = c("lrvb", "mfvb", "integrated"), pars = c("beta", "all"),
                        full = FALSE, ...) {
  type <- check_choice(type, c("lrvb", "mfvb", "integrated"), "type")
  if (type == "integrated") {
    mf_abort("control", "`type = \"integrated\"` is not available in this version: ",
      "use \"lrvb\"", arg = "type")
  }
  if (check_choice(pars, c("beta", "all"), "pars") == "beta") {
    return(moments(object, type)$cov_beta)
  }
  vb_full_cov(object, type == "lrvb")
}

#' @rdname vcov.vb_fit
#' @export
vcov.gibbs_fit <- function(object, pars = c("beta", "all"), ...) {
  if (check_choice(pars, c("beta", "all"), "pars") == "beta") return(moments(object)$cov_beta)
  stats::cov(flat_draws(gibbs_array(object, u = !is.null(object$u_draws))))
}

# Dense covariance of (beta, u, tau, log tau, sigma).
vb_full_cov <- function(fit, lr) {
  vb <- fit$vb
  tau <- fit$posterior$tau
  p <- length(fit$model$x_names)
  G <- length(vb$s_leaf)
  if (p + G > 10000L) {
    mf_abort("size", "the full covariance would have ", p + G, " rows, more than 10,000: ",
      "use `pars = \"beta\"` or as_draws()", arg = "pars")
  }
  Q <- matrix(vb$q, p, G)
  SQ <- vb$S_global %*% Q
  theta <- rbind(cbind(vb$S_global, SQ), cbind(t(SQ), crossprod(Q, SQ) + diag(vb$d_inv, G)))
  k <- length(tau$names)
  zero <- matrix(0, p + G, 2L * k)
  tt <- if (lr) tau$cov_lrvb else diag(tau$var_mfvb, k)
  tl <- if (lr) tau$cov_tau_log else diag(1 / tau$rate, k)
  ll <- if (lr) tau$cov_log_lrvb else diag(tau$var_log_mfvb, k)
  if (lr) {
    theta <- theta + vb$J %*% tt %*% t(vb$J)
    zero <- cbind(vb$J %*% tt, vb$J %*% tl)
  }
  M <- diag(1, p + G)
  M[seq_len(p), seq_len(p)] <- fit$model$coords$M
  S <- rbind(
    cbind(M %*% theta %*% t(M), M %*% zero),
    cbind(t(M %*% zero), rbind(cbind(tt, tl), cbind(t(tl), ll)))
  )
  add_sigma_rows(S, fit, p + G + k + seq_len(k))
}

# sigma = exp(-log tau / 2): d sigma / d log tau = -sigma / 2 at the mean of log tau.
add_sigma_rows <- function(S, fit, log_rows) {
  tau <- fit$posterior$tau
  D <- rbind(diag(nrow(S)), 0 * S[log_rows, , drop = FALSE])
  D[cbind(nrow(S) + seq_along(log_rows), log_rows)] <- -exp(-tau$mean_log / 2) / 2
  names <- c(beta_names(fit$model), u_names(fit$model), tau$names, paste0("log_", tau$names),
    sub("^tau", "sigma", tau$names))
  label(D %*% S %*% t(D), names)
}
