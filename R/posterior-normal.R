# A posterior that is one normal distribution: mean field and linear response.

#' @export
linear_mixture.vb_fit <- function(fit, parts) {
  if (best_source(fit) == "integrated") return(linear_mixture.exact_fit(fit, parts))
  list(weights = 1, mean = as.matrix(linear_mean(parts, moments(fit), fit$model)),
    var = as.matrix(block_variance(fit, lmm_core(fit$model), parts)),
    new = new_level_variance(fit$model, parts, function(k) list(group_covariance(fit, k)), 1L))
}

# theta | phi ~ N(m + J L (S_pp)^-1 (phi - E phi), S + J R J'), with phi the unconstrained
# coordinates of the precisions, L = Cov(statistics, phi), S_pp = Cov(phi),
# R = Sigma - L S_pp^-1 L'.
#' @export
joint_draws.vb_fit <- function(fit, ndraws, u) {
  ndraws <- check_count(ndraws %||% 4000, "ndraws", 1)
  if (best_source(fit) == "integrated") return(integrated_draws(fit, ndraws, u))
  post <- fit$posterior$tau
  core <- lmm_core(fit$model)
  p <- core$p
  check_size(ndraws, if (u) length(fit$vb$mean) else p)
  n <- length(post$mean)
  phi <- matrix(stats::rnorm(ndraws * n), ndraws) %*% half(post$phi$cov_lrvb)
  slope <- if (n) post$phi$cross %*% solve_spd(post$phi$cov_lrvb) else post$phi$cross
  rest <- half(post$cov_lrvb - slope %*% t(post$phi$cross))
  response <- phi %*% t(slope) + matrix(stats::rnorm(ndraws * n), ndraws) %*% rest
  x <- seq_len(p)
  theta <- if (u) {
    theta_draws(fit, core, ndraws) + fit$vb$J %*% t(response)
  } else {
    S <- fit$vb$S_global[x, x, drop = FALSE]
    fit$vb$mean[x] + t(matrix(stats::rnorm(ndraws * p), ndraws) %*% half(S)) +
      fit$vb$J[x, , drop = FALSE] %*% t(response)
  }
  list(
    beta = t(to_raw_draws(fit$model$coords, theta[x, , drop = FALSE])),
    u = if (u) t(theta[setdiff(seq_len(nrow(theta)), x), , drop = FALSE]),
    tau = structure(phi_statistics(t(phi) + post$phi$mean, post$index),
      dimnames = list(NULL, names(post$mean)))
  )
}

# Draws of theta at fixed precisions, around its mean: dim x draws.
theta_draws <- function(fit, core, ndraws) {
  if (!has_rows(fit)) {
    return(call_theta_draws(core, fit$posterior$tau$mean, fit$vb$mean, ndraws))
  }
  fit$vb$mean + call_arrow_draws(core, fit$vb, ndraws)
}

#' @export
level_covariances.vb_fit <- function(fit, f) {
  if (best_source(fit) == "integrated") return(integrated_level_covariances(fit, f))
  normal_level_covariances(fit, f, "lrvb")
}

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
    sigma2_e = if (has_sigma(fit)) exp(-post$tau$phi$mean[1L] + cov_phi[1L, 1L] / 2)
  )
}

# "integrated" or "lrvb": where what a fit reports comes from.
best_source <- function(fit) if (is.null(fit$integrated)) "lrvb" else "integrated"

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
summary_table.vb_fit <- function(fit, level = NULL, u = FALSE) {
  rows <- vb_rows(fit, u)
  corrected <- rows$source == "lrvb"
  out <- data.frame(
    variable = rows$variable,
    mean = ifelse(corrected, rows$mean_lrvb, rows$mean_mfvb),
    sd = ifelse(corrected, rows$sd_lrvb, rows$sd_mfvb),
    mean_mfvb = rows$mean_mfvb, sd_mfvb = rows$sd_mfvb, source = rows$source
  )
  if (best_source(fit) == "integrated") {
    exact <- integrated_rows(fit, level, u)
    own <- setdiff(names(exact), "variable")
    out[own] <- exact[match(out$variable, exact$variable), own]
    out$source[] <- "integrated" # of no row too
  } else if (!is.null(level)) {
    z <- qnorm((1 + level) / 2) * ifelse(corrected, rows$s_lrvb, rows$s_mfvb)
    q <- list(inverse_link(rows$loc - z, rows$link), inverse_link(rows$loc + z, rows$link))
    out[quantile_names(level)] <- q
  }
  drop_unidentified(out, fit$model)
}
