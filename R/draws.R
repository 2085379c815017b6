# Draws in the formats of the posterior package.

#' Posterior draws
#'
#' `as_draws(fit)` and its relatives give the draws of a fit in the formats of the
#' posterior package. A `gibbs_fit` has its own; a `vb_fit` draws from the corrected
#' joint normal distribution of (beta, u, log tau), which keeps the covariances that
#' linear response found.
#'
#' @param x A fit.
#' @param ndraws Number of draws of a `vb_fit`, default 4,000.
#' @param u Include the random effects? `"auto"`: when that is at most 1e7 numbers
#'   (and, for a `gibbs_fit`, when they were stored).
#' @param ... Not used.
#' @return A draws object with variables `beta[...]`, `tau_e`, `log_tau_e`, `sigma_e`,
#'   `tau_u[...]`, `log_tau_u[...]`, `sigma_u[...]`, `log_sigma_u[...]`, `u[...]`.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' posterior::summarise_draws(as_draws(fit, ndraws = 1000, u = FALSE), "mean", "sd")
#' @importFrom posterior as_draws
#' @aliases as_draws
#' @export as_draws
#' @export
as_draws.vb_fit <- function(x, ndraws = 4000, u = "auto", ...) {
  no_dots(...)
  model <- x$model
  keep_u <- settle_u(u, as.double(ndraws) * length(model$group$levels), TRUE)
  d <- joint_draws(x, ndraws, keep_u)
  out <- cbind(structure(d$beta, dimnames = list(NULL, beta_names(model))),
    precision_draws(d$tau, precision_names(model)))
  if (keep_u && !is.null(model$group)) {
    out <- cbind(out, structure(d$u, dimnames = list(NULL, u_names(model))))
  }
  posterior::as_draws_matrix(out)
}

#' @rdname as_draws.vb_fit
#' @export
as_draws.gibbs_fit <- function(x, u = "auto", ...) {
  no_dots(...)
  keep_u <- settle_u(u, length(x$u_draws), !is.null(x$u_draws))
  if (keep_u && is.null(x$u_draws) && !is.null(x$model$group)) {
    mf_abort("engine", "the draws of the random effects were not stored: ",
      "refit with save_u = TRUE", arg = "u")
  }
  posterior::as_draws_array(gibbs_array(x, keep_u))
}

settle_u <- function(u, size, available) {
  if (identical(u, "auto")) return(available && size <= 1e7)
  check_flag(u, "u")
}

# The stored array with the derived variables of each precision beside it.
gibbs_array <- function(fit, u = FALSE) {
  names <- precision_names(fit$model)
  d <- dim(fit$draws)
  p <- d[3L] - length(names)
  tau <- flat_draws(fit$draws)[, names, drop = FALSE]
  derived <- precision_draws(tau, names)
  main <- dimnames(fit$draws)[[3L]][seq_len(p)]
  all <- c(main, colnames(derived), if (u) dimnames(fit$u_draws)[[3L]])
  array(c(fit$draws[, , seq_len(p)], derived, if (u) fit$u_draws),
    c(d[1:2], length(all)), list(iteration = NULL, chain = NULL, variable = all))
}

# tau, log tau, sigma (and log sigma for group terms), in the order of summary().
precision_draws <- function(tau, names) {
  blocks <- lapply(seq_along(names), function(k) {
    t <- tau[, k]
    out <- cbind(t, log(t), 1 / sqrt(t), -log(t) / 2)
    colnames(out) <- c(names[k], paste0("log_", names[k]), sub("^tau", "sigma", names[k]),
      sub("^tau", "log_sigma", names[k]))
    if (k == 1L) out[, 1:3, drop = FALSE] else out
  })
  do.call(cbind, blocks)
}

# list(beta (draws x p), u (draws x G) or NULL, tau (draws x K)).
joint_draws <- function(fit, ndraws, u) UseMethod("joint_draws")

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
    u = if (u) flat_draws(fit$u_draws)[rows, , drop = FALSE],
    tau = d[rows, p + seq_along(fit$model$resolved$tau), drop = FALSE]
  )
}

# theta | log tau ~ N(m + J L (S_ll)^-1 (log tau - E log tau), S + J R J'), with
# L = Cov(tau, log tau), S_ll = Cov(log tau), R = Sigma - L S_ll^-1 L'.
#' @export
joint_draws.vb_fit <- function(fit, ndraws, u) {
  ndraws <- check_count(ndraws %||% 4000, "ndraws", 1)
  post <- fit$posterior$tau
  core <- lmm_core(fit$model)
  dim <- length(fit$vb$mean)
  check_size(ndraws, if (u) dim else core$p)
  k <- length(post$names)
  log_tau <- matrix(stats::rnorm(ndraws * k), ndraws) %*% half(post$cov_log_lrvb)
  slope <- post$cov_tau_log %*% solve(post$cov_log_lrvb)
  rest <- half(post$cov_lrvb - slope %*% t(post$cov_tau_log))
  response <- log_tau %*% t(slope) + matrix(stats::rnorm(ndraws * k), ndraws) %*% rest
  p <- core$p
  theta <- if (u) {
    call_theta_draws(core, post$mean, fit$vb$mean, ndraws) + fit$vb$J %*% t(response)
  } else {
    x <- seq_len(p)
    fit$vb$mean[x] + t(matrix(stats::rnorm(ndraws * p), ndraws) %*% half(fit$vb$S_global)) +
      fit$vb$J[x, , drop = FALSE] %*% t(response)
  }
  list(
    beta = t(to_raw_draws(fit$model$coords, theta[seq_len(p), , drop = FALSE])),
    u = if (u) t(theta[p + seq_len(core$n_leaf), , drop = FALSE]),
    tau = exp(log_tau + rep(post$mean_log, each = ndraws))
  )
}

# H with H'H = S for a covariance matrix that rounding may have left indefinite.
half <- function(S) {
  if (!nrow(S)) return(S)
  e <- eigen((S + t(S)) / 2, symmetric = TRUE)
  sqrt(pmax(e$values, 0)) * t(e$vectors)
}

#' @importFrom posterior as_draws_array
#' @export
as_draws_array.meanfield_fit <- function(x, ...) posterior::as_draws_array(as_draws(x, ...))
#' @importFrom posterior as_draws_df
#' @export
as_draws_df.meanfield_fit <- function(x, ...) posterior::as_draws_df(as_draws(x, ...))
#' @importFrom posterior as_draws_list
#' @export
as_draws_list.meanfield_fit <- function(x, ...) posterior::as_draws_list(as_draws(x, ...))
#' @importFrom posterior as_draws_matrix
#' @export
as_draws_matrix.meanfield_fit <- function(x, ...) posterior::as_draws_matrix(as_draws(x, ...))
#' @importFrom posterior as_draws_rvars
#' @export
as_draws_rvars.meanfield_fit <- function(x, ...) posterior::as_draws_rvars(as_draws(x, ...))
