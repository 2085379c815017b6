# Draws of the linear predictor and of responses.

# ndraws x rows matrix of x'beta + sum z'u; an unseen level gets one set of effects per draw
# from the group distribution.
linpred_draws <- function(fit, newdata, draws, re.form, allow_new_levels) {
  parts <- linear_parts(fit, newdata, re.form, allow_new_levels)
  d <- joint_draws(posterior_of(fit), draws, u = length(parts$groups) > 0L)
  check_size(nrow(d$beta), nrow(parts$X))
  eta <- known_draws(fit$model, parts, d)
  eta <- eta + rep(parts$offset, each = nrow(eta))
  for (g in parts$groups) {
    for (level in unique(g$new[is.na(g$code)])) {
      at <- which(is.na(g$code) & g$new %in% level)
      eta[, at] <- eta[, at] + new_effects(fit$model, g$factor, d$tau) %*%
        t(g$Z[at, , drop = FALSE])
    }
  }
  colnames(eta) <- rownames(parts$X)
  list(eta = eta, lead = if (n_lead(fit$model)) d$tau[, 1L])
}

# draws x r effects of a level of factor f that the fit has not seen.
new_effects <- function(model, f, tau) {
  u <- matrix(0, nrow(tau), length(model$factors[[f]]$coef))
  for (t in Filter(function(t) t$factor == f, model$groups)) {
    L <- tau[, term_stat_names(t), drop = FALSE]
    r <- length(t$coef)
    z <- matrix(stats::rnorm(nrow(tau) * r), nrow(tau))
    u[, t$cols] <- if (r == 1L) z / sqrt(L[, 1L]) else {
      t(vapply(seq_len(nrow(tau)), function(i) backsolve(chol(unvech(L[i, ])), z[i, ]), z[1L, ]))
    }
  }
  u
}

#' Posterior predictions, simulation and pointwise log likelihood
#'
#' Methods for the generics of rstantools (attach it, or call them with
#' `rstantools::`), so that bayesplot's `pp_check()` and `loo::loo()` work on both
#' kinds of fit. Draws of a `vb_fit` are from the corrected joint normal on (beta, u,
#' log tau), see [as_draws.vb_fit()].
#'
#' @param object A fit.
#' @param newdata,re.form,allow_new_levels As in [predict.regression_fit()].
#' @param transform Return the expected response instead of the linear predictor?
#' @param draws Number of draws; default 4,000 for a `vb_fit` and all for a
#'   `gibbs_fit`.
#' @param nsim,seed Number of simulated responses, and a seed to set first.
#' @param ... Not used.
#' @return `posterior_linpred()`, `posterior_epred()`, `posterior_predict()` and
#'   `log_lik()`: matrix, draws x rows; a binomial response as the number of successes among the
#'   row's trials. `simulate()`: data frame of `nsim` responses of the kind that was fitted, so
#'   that each can stand in the data for the response: `cbind(success, failure)` a matrix with
#'   these columns, a factor with its levels, logical values, proportions of the trials, whole
#'   numbers; attribute `seed` as in [stats::simulate()].
#'
#'   Trials of new data are those that they hold: `cbind(success, failure)` where its variables are
#'   there, the `weights` of the fit where theirs are, else one. `log_lik()` takes weights from new
#'   data in the same way.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' head(simulate(fit, 2))
#' if (requireNamespace("rstantools", quietly = TRUE)) {
#'   dim(rstantools::posterior_predict(fit, newdata = radon[1:3, ], draws = 100))
#' }
#' @name posterior-draws
NULL

#' @rdname posterior-draws
#' @exportS3Method rstantools::posterior_linpred
posterior_linpred.regression_fit <- function(object, transform = FALSE, newdata = NULL,
                                            draws = NULL, re.form = NULL,
                                            allow_new_levels = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  eta <- linpred_draws(object, newdata, draws, re.form, allow_new_levels)$eta
  if (check_flag(transform, "transform")) object$model$family$linkinv(eta) else eta
}

#' @rdname posterior-draws
#' @exportS3Method rstantools::posterior_epred
posterior_epred.regression_fit <- function(object, newdata = NULL, draws = NULL, re.form = NULL,
                                          allow_new_levels = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  eta <- linpred_draws(object, newdata, draws, re.form, allow_new_levels)$eta
  eta[] <- object$model$family$linkinv(eta)
  eta
}

#' @rdname posterior-draws
#' @exportS3Method rstantools::posterior_predict
posterior_predict.regression_fit <- function(object, newdata = NULL, draws = NULL,
                                            re.form = NULL, allow_new_levels = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  d <- linpred_draws(object, newdata, draws, re.form, allow_new_levels)
  draw_responses(object, d, newdata)
}

#' @rdname posterior-draws
#' @exportS3Method rstantools::log_lik
log_lik.regression_fit <- function(object, newdata = NULL, draws = NULL, re.form = NULL,
                                  allow_new_levels = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  w <- new_weights(object, newdata)
  d <- linpred_draws(object, newdata, draws, re.form, allow_new_levels)
  response_log_lik(object, d, newdata, w)
}
