# Summaries: one table per fit, a row per variable, in the contract's columns.

#' @rdname summary.vb_fit
#' @export
summary.exact_fit <- function(object, pars = NULL, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  check_pars(pars)
  new_summary(summary_table(object, check_level(level), "u" %in% pars))
}

#' Summaries of a fit
#'
#' @param object A fit.
#' @param pars `"u"` adds the random effects to the rows.
#' @param level Mass of the central interval; the columns are named after its
#'   quantiles, `q2.5` and `q97.5` by default.
#' @param ... Not used.
#' @return A data frame of class `meanfield_summary`. For a `vb_fit`: `variable`;
#'   `mean`, `sd` and the quantiles, all from `source` (`"integrated"` where the fit was integrated
#'   over its precisions, else `"lrvb"`, or `"mfvb"` for a
#'   component whose linear response failed); `mean_mfvb`, `sd_mfvb` of plain
#'   mean-field variational Bayes. For a `gibbs_fit`: `variable`, `mean`, `sd`,
#'   the quantiles, `mcse_mean`, `mcse_sd`, `ess_bulk`, `ess_tail`, `rhat`. For an `exact_fit`:
#'   `variable`, `mean`, `sd`, the quantiles.
#'
#'   The summary of a `vb_fit` of a binomial, Poisson or negative binomial model has the attribute
#'   `khat`, what [vb_khat()] says about the approximation, where that costs nothing to speak of (at
#'   most 2,000 rows and 500 coefficients, in a fit that has its data); printing shows it in words.
#'
#'   Rows: `beta[...]`, `tau_e`, `log_tau_e`, `sigma_e`, and for each group term
#'   `tau_u`, `log_tau_u`, `sigma_u`, `log_sigma_u` (one coefficient) or `Lambda_u`,
#'   `sigma_u`, `log_sigma_u`, `rho_u` (several). Intervals of precisions and
#'   standard deviations are made on the log scale. Under a half-t prior the
#'   posterior mean of a group precision does not exist: its mean and SD are `NA`,
#'   the quantiles stay.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' summary(fit)
#' tail(summary(fit, pars = "u"), 3)
#' @export
summary.vb_fit <- function(object, pars = NULL, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  check_pars(pars)
  structure(new_summary(summary_table(object, check_level(level), "u" %in% pars)),
    khat = cheap_khat(object))
}

check_pars <- function(pars) {
  if (!is.null(pars) && !identical(pars, "u")) {
    mf_abort("control", "`pars` must be NULL or \"u\", not ", describe(pars), arg = "pars")
  }
}

#' @rdname summary.vb_fit
#' @export
summary.gibbs_fit <- function(object, pars = NULL, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  check_pars(pars)
  probs <- central_probs(check_level(level))
  out <- draws_summary(gibbs_array(object), probs)
  out <- drop_missing_moments(out, object$model)
  if ("u" %in% pars) out <- rbind(out, u_draws_summary(object, probs))
  names(out)[4:5] <- quantile_names(level)
  new_summary(out)
}

u_draws_summary <- function(fit, probs) {
  if (is.null(fit$u)) return(NULL)
  if (!is.null(fit$u_draws)) return(draws_summary(fit$u_draws, probs))
  data.frame(variable = fit$u$name, mean = fit$u$mean, sd = fit$u$sd,
    lower = NA_real_, upper = NA_real_, mcse_mean = NA_real_, mcse_sd = NA_real_,
    ess_bulk = NA_real_, ess_tail = NA_real_, rhat = NA_real_)
}
