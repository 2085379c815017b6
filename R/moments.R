# Posterior moments: what every method that serves both engines starts from.

# First and second posterior moments:
#   beta, cov_beta  in the user's coordinates
#   u               working effects, in the order of effect_table()
#   sigma2_e        E[1 / tau_e]
moments <- function(fit, ...) UseMethod("moments")

#' @export
moments.vb_fit <- function(fit, type = best_source(fit), ...) {
  no_dots(...)
  if (type == "integrated") return(integrated_moments(fit))
  post <- fit$posterior
  lr <- type == "lrvb"
  cov_phi <- if (lr) post$tau$phi$cov_lrvb else post$tau$phi$cov_mfvb
  list(
    beta = post$beta$mean, cov_beta = if (lr) post$beta$cov_lrvb else post$beta$cov_mfvb,
    u = post$u$mean,
    sigma2_e = if (is_gaussian(fit)) exp(-post$tau$phi$mean[1L] + cov_phi[1L, 1L] / 2)
  )
}

# "integrated" or "lrvb": where what a fit reports comes from.
best_source <- function(fit) if (is.null(fit$integrated)) "lrvb" else "integrated"

#' @export
moments.exact_fit <- function(fit, ...) {
  no_dots(...)
  integrated_moments(fit)
}

# E[Lambda^-1] of group term k: the covariance of the working effects of a level not seen.
group_covariance <- function(fit, k) UseMethod("group_covariance")

# Log-normal SDs, correlations at E[Lambda].
#' @export
group_covariance.vb_fit <- function(fit, k) {
  if (best_source(fit) == "integrated") return(group_covariance.exact_fit(fit, k))
  tau <- fit$posterior$tau
  at <- tau$index[[k + n_lead(fit$model)]]
  if (length(at) == 1L) {
    return(matrix(exp(-tau$phi$mean[at] + tau$phi$cov_lrvb[at, at] / 2)))
  }
  t <- tau$mean[at]
  V <- tau$cov_lrvb[at, at]
  r <- length(fit$model$groups[[k]]$coef)
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
  no_dots(...)
  p <- length(fit$model$x_names)
  draws <- flat_draws(fit$draws)
  b <- draws[, seq_len(p), drop = FALSE]
  colnames(b) <- fit$model$x_names
  list(
    beta = colMeans(b), cov_beta = if (p) stats::cov(b) else matrix(0, 0, 0),
    u = if (!is.null(fit$u)) c(user_effects(fit$model, as.matrix(fit$u$mean), back = TRUE)),
    sigma2_e = if (is_gaussian(fit)) mean(1 / draws[, "tau_e"])
  )
}

#' @export
group_covariance.gibbs_fit <- function(fit, k) {
  t <- working_precisions(fit)[, term_stat_names(fit$model$groups[[k]]), drop = FALSE]
  mean_inverse(t, rep(1 / nrow(t), nrow(t)))
}

#' @export
group_covariance.exact_fit <- function(fit, k) {
  nodes <- fit$integrated
  x <- t(nodes$phi[stat_index(fit$model)[[k + n_lead(fit$model)]], , drop = FALSE])
  r <- length(fit$model$groups[[k]]$coef)
  C <- correlation_roots(x, r)
  pairs <- lower_pairs(r)
  mean <- unlist(Map(function(a, b) {
    rho <- Reduce(`+`, lapply(seq_len(b), function(c) C[[a, c]] * C[[b, c]]))
    sum(nodes$weights * rho * exp(-(x[, vech_at(r, a, a)] + x[, vech_at(r, b, b)]) / 2))
  }, pairs$row, pairs$col))
  unvech(mean)
}

# Weighted mean of the inverses of precision matrices, a row of vech each.
mean_inverse <- function(t, w) {
  if (ncol(t) == 1L) return(matrix(sum(w / t[, 1L])))
  r <- vech_order(ncol(t))
  matrix(apply(t, 1L, function(v) solve_spd(unvech(v))) %*% w, r, r)
}

# iteration x chain x variable -> draw x variable
flat_draws <- function(draws) {
  d <- dim(draws)
  matrix(draws, d[1L] * d[2L], d[3L], dimnames = list(NULL, dimnames(draws)[[3L]]))
}
