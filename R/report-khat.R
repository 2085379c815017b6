#' Pareto k-hat of a generalised fit
#'
#' Checks the Gaussian approximation of the coefficients and random effects without sampling the
#' posterior: draws from q(beta, u | precisions) at the most probable precisions (with the
#' linear-response covariance and, for an integrated fit, the mean shift) are weighted by the exact
#' joint density over q's, and the tail of the weights is fitted by [loo::psis()]. Of a [target()]
#' it is the k-hat that importance sampling found when the fit was made.
#'
#' @param fit A `vb_fit` of a family other than the Gaussian (given the precisions, q is exact for
#'   that one), or a fit of a [target()] that was refined by importance sampling.
#' @param ndraws Number of draws (a fit of a target has its own). They come from a fixed seed and
#'   leave the state of R's generator as it was, so that the answer is always the same.
#' @return One number with class `meanfield_khat` and attribute `ess`, the effective share of the
#'   draws; of a target also `of`, what was judged.
#'   Printing adds words: below .5 the approximation is good, up to .7 usable, above .7 it misses
#'   part of the posterior. With many random effects k-hat is pessimistic: it judges all of them at
#'   once. A k-hat below .5 does not say that every mean and SD of a target is right: see the flags
#'   of [fit_vb.meanfield_target()], which judges row by row.
#' @section Errors: `meanfield_error_engine` for a fit of another kind, or of a target that was not
#'   refined, `meanfield_error_size` above
#'   3,000 coefficients or 2^31 - 1 numbers.
#' @references Yao, Y., Vehtari, A., Simpson, D. and Gelman, A. (2018). Yes, but did it work?:
#'   Evaluating variational inference. *ICML 35*.
#' @examples
#' d <- data.frame(y = rep(c(0, 1, 1, 0, 1), 12), x = rep(1:6, 10) / 6, g = rep(1:10, each = 6))
#' vb_khat(fit_vb(y ~ x + (1 | g), d, family = binomial()))
#' @export
vb_khat <- function(fit, ndraws = 1000) UseMethod("vb_khat")

#' @export
vb_khat.default <- function(fit, ndraws = 1000) {
  if (inherits(fit, "gmm_fit")) {
    no_mixture(fit, "k-hat", "check it by sd_ratio_report(fit, fit_gibbs(fit))")
  }
  if (inherits(fit, "vb_fit")) valid_fit(fit)
  if (!inherits(fit, "vb_fit") || !has_rows(fit)) {
    mf_abort("engine", "`fit` must be a vb_fit of another family than the Gaussian",
      arg = "fit")
  }
  ndraws <- check_count(ndraws, "ndraws", 100)
  core <- engine_core(fit$model)
  if (length(core$h) > 3000L) {
    mf_abort("size", "k-hat needs a dense covariance, and the fit has ", length(core$h),
      " coefficients, more than 3,000", arg = "fit")
  }
  if (!length(core$h)) {
    mf_abort("engine", "the model has no coefficients to check an approximation of", arg = "fit")
  }
  q <- conditional_normal(fit, core)
  z <- with_fixed_seed(matrix(stats::rnorm(length(q$mean) * ndraws), ncol = ndraws))
  theta <- q$mean + q$root %*% z
  ratio <- log_joint_given(fit, core, q$stats, theta) + colSums(z^2) / 2
  # a density that overflows at one of its draws is no density to compare with
  if (!all(is.finite(ratio))) return(structure(Inf, ess = 0, class = "meanfield_khat"))
  smooth <- suppressWarnings(loo::psis(ratio - max(ratio), r_eff = 1))
  w <- stats::weights(smooth, log = FALSE)
  structure(smooth$diagnostics$pareto_k, ess = 1 / (ndraws * sum(w^2)), class = "meanfield_khat")
}

# q(theta | precisions): mean, Cholesky root of the covariance, and the statistics it belongs to; at
# the highest node, or at the variational means.
conditional_normal <- function(fit, core) {
  nodes <- fit$integrated
  psi <- if (is.null(nodes)) nest_start(fit$posterior$tau)$mean else
    nodes$psi[, which.max(nodes$log_density)]
  run <- call_nest_mixture(core, nodes$centre %||% vb_centre(core, fit$vb), as.matrix(psi), 1,
    dense = TRUE)
  check_status(run$status, fit$model)
  root <- t(chol_or_abort(run$result$cov, "not_pd", "the covariance of the coefficients is not ",
    "positive definite to working precision: use tighter `prior`s", arg = "fit"))
  list(mean = run$result$mean, root = root,
    stats = psi_statistics(as.matrix(psi), stat_index(fit$model))[1L, ])
}

# log p(y, theta | precisions) up to a constant, a value per column of theta.
log_joint_given <- function(fit, core, stats, theta) {
  model <- fit$model
  x <- seq_len(core$p)
  parts <- linear_parts(fit, NULL, NULL, TRUE)
  check_size(ncol(theta), nrow(parts$X))
  d <- list(beta = t(to_raw_draws(model$coords, theta[x, , drop = FALSE])),
    u = t(theta[setdiff(seq_len(nrow(theta)), x), , drop = FALSE]))
  eta <- known_draws(model, parts, d) +
    rep(parts$offset, each = ncol(theta))
  lead <- if (n_lead(model)) rep(stats[1L], ncol(theta))
  out <- rowSums(response_log_lik(fit, list(eta = eta, lead = lead), NULL))
  if (!core$flat) {
    dev <- theta[x, , drop = FALSE] - core$mu
    out <- out - colSums(dev * (core$Tb %*% dev)) / 2
  }
  at <- stat_index(core)
  for (k in n_lead(model) + seq_along(model$groups)) {
    pr <- core$prec[[k]]
    u <- array(theta[effect_rows(core, k), ], c(pr$r, pr$n_levels * ncol(theta)))
    quad <- colSums(u * (unvech(stats[at[[k]]]) %*% u))
    out <- out - colSums(matrix(quad, pr$n_levels)) / 2
  }
  out
}

# vb_khat() where it can be had and costs nothing to speak of, else NULL.
cheap_khat <- function(fit) {
  if (!inherits(fit, "vb_fit") || !has_rows(fit) || !holds_rows(fit$model)) return(NULL)
  if (nobs(fit) > 2000 || length(fit$vb$mean) > 500) return(NULL)
  tryCatch(vb_khat(fit), meanfield_error = function(e) NULL)
}

khat_words <- function(k) {
  if (k <= 0.5) "good" else if (k <= 0.7) "usable" else
    "above .7: part of the posterior is missed, check with fit_gibbs()"
}

#' @export
print.meanfield_khat <- function(x, ...) {
  no_dots(...)
  cat("Pareto k-hat of ", attr(x, "of") %||% "q(beta, u | precisions)", ": ",
    format(c(unclass(x)), digits = 2), " (",
    khat_words(x), "), effective share of the draws ", format(attr(x, "ess"), digits = 2), "\n",
    sep = "")
  invisible(x)
}
