# The normal posterior of a mixed model: theta = (beta, u) with a covariance in arrow form, the
# precisions beside it, and the response of theta to them. p holds model, vb and the parts of
# vb_posterior().

#' @export
location.regression_normal <- function(p, type = "lrvb") {
  list(mean = p$beta$mean, cov = p$beta[[paste0("cov_", type)]])
}

#' @export
moments.regression_normal <- function(p) {
  psi <- p$tau$psi
  list(
    beta = p$beta$mean, cov_beta = p$beta$cov_lrvb, u = p$u$mean,
    sigma2_e = if (has_sigma(p$model)) exp(-psi$mean[1L] + psi$cov_lrvb[1L, 1L] / 2)
  )
}

#' @export
linear_mixture.regression_normal <- function(p, parts) {
  list(weights = 1, mean = as.matrix(linear_mean(parts, moments(p), p$model)),
    var = as.matrix(block_variance(p, sums_core(p$model), parts)),
    new = new_level_variance(p$model, parts, function(k) list(group_covariance(p, k)), 1L))
}

# theta | psi ~ N(m + J L (S_pp)^-1 (psi - E psi), S + J R J'), with psi the unconstrained
# coordinates of the precisions, L = Cov(statistics, psi), S_pp = Cov(psi),
# R = Sigma - L S_pp^-1 L'.
#' @export
joint_draws.regression_normal <- function(p, ndraws, u) {
  ndraws <- check_count(ndraws %||% p$ndraws, "ndraws", 1)
  post <- p$tau
  core <- sums_core(p$model)
  check_size(ndraws, if (u) length(p$vb$mean) else core$p)
  n <- length(post$mean)
  psi <- matrix(stats::rnorm(ndraws * n), ndraws) %*% half(post$psi$cov_lrvb)
  slope <- if (n) post$psi$cross %*% solve_spd(post$psi$cov_lrvb) else post$psi$cross
  rest <- half(post$cov_lrvb - slope %*% t(post$psi$cross))
  response <- psi %*% t(slope) + matrix(stats::rnorm(ndraws * n), ndraws) %*% rest
  x <- seq_len(core$p)
  theta <- if (u) {
    theta_draws(p, core, ndraws) + p$vb$J %*% t(response)
  } else {
    S <- beta_covariance(p$vb, x)
    p$vb$mean[x] + t(matrix(stats::rnorm(ndraws * core$p), ndraws) %*% half(S)) +
      p$vb$J[x, , drop = FALSE] %*% t(response)
  }
  list(
    beta = t(to_raw_draws(p$model$coords, theta[x, , drop = FALSE])),
    u = if (u) t(theta[setdiff(seq_len(nrow(theta)), x), , drop = FALSE]),
    tau = structure(psi_statistics(t(psi) + post$psi$mean, post$index),
      dimnames = list(NULL, names(post$mean)))
  )
}

# Draws of theta at fixed precisions, around its mean: dim x draws.
theta_draws <- function(p, core, ndraws) {
  if (!has_rows(p$model) && !is_iterated(p$model)) {
    return(call_theta_draws(core, p$tau$mean, p$vb$mean, ndraws))
  }
  p$vb$mean + arrow_draws(theta_covariance(p, core), ndraws)
}

#' @export
level_covariances.regression_normal <- function(p, f) normal_level_covariances(p, f, "lrvb")

# Log-normal SDs, correlations at E[Lambda].
#' @export
group_covariance.regression_normal <- function(p, k) {
  tau <- p$tau
  at <- tau$index[[k + n_lead(p$model)]]
  if (length(at) == 1L) {
    return(matrix(exp(-tau$psi$mean[at] + tau$psi$cov_lrvb[at, at] / 2)))
  }
  t <- tau$mean[at]
  V <- tau$cov_lrvb[at, at]
  r <- length(p$model$groups[[k]]$coef)
  eta <- log_sd_atanh(t)
  D <- numeric_jacobian(log_sd_atanh, t)[seq_len(r), , drop = FALSE]
  rms <- exp(eta[seq_len(r)] + diag(D %*% V %*% t(D)))
  R <- diag(r)
  R[lower.tri(R)] <- tanh(eta[-seq_len(r)])
  R <- R + t(R) - diag(r)
  R * tcrossprod(rms)
}
