# Summaries: one table per fit, a row per variable, in the contract's columns.

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
#'   `variable`, `mean`, `sd`, the quantiles. Fits of a [gaussian_mixture()] have the columns of
#'   their engine.
#'
#'   For a fit of a [target()] by [fit_vb()]: as for a `vb_fit`, with `mcse_mean` and `mcse_sd`, the
#'   standard errors of mean and SD (`NA` where nothing was sampled), and a `source` for each row:
#'   `"importance"`, `"hmc"`, or of fits that were not refined `"lrvb"` or `"vb"`; by [fit_exact()]:
#'   `variable`, `mean`, `sd`, the quantiles, `mcse_mean`, `mcse_sd`; by [fit_hmc()]: the columns of
#'   a `gibbs_fit`. A mean or SD that does not exist is `NA`. Rows: parameters, then generated
#'   quantities.
#'
#'   The summary of a `vb_fit` of a binomial, Poisson or negative binomial model has the attribute
#'   `khat`, what [vb_khat()] says about the approximation, where that costs nothing to speak of (at
#'   most 2,000 rows and 500 coefficients, in a fit that has its data); printing shows it in words.
#'
#'   Rows of a regression model: `beta[...]`, `tau_e`, `log_tau_e`, `sigma_e`, and for each group
#'   term `tau_u`, `log_tau_u`, `sigma_u`, `log_sigma_u` (one coefficient) or `Lambda_u`,
#'   `sigma_u`, `log_sigma_u`, `rho_u` (several). Intervals of precisions and
#'   standard deviations are made on the log scale. Under a half-t prior the
#'   posterior mean of a group precision does not exist: its mean and SD are `NA`,
#'   the quantiles stay.
#'
#'   Of a mixture: `mu`, `Lambda` (lower triangles), `log_det`, `pi`, `log_pi`, `Sigma`. Intervals
#'   of variances and of diagonal precisions are log-normal, those of weights beta, the others
#'   normal.
#'   Rows of `Sigma` are `NA` where the mean or variance of the inverse Wishart does not exist (at
#'   most P + 3
#'   degrees of freedom).
#' @aliases summary.vb_fit summary.exact_fit summary.gibbs_fit summary.gmm_vb_fit
#'   summary.gmm_gibbs_fit
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' summary(fit)
#' tail(summary(fit, pars = "u"), 3)
#' summary(fit_vb(gaussian_mixture(faithful, 2)))
#' @export
summary.meanfield_fit <- function(object, pars = NULL, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  check_pars(pars, object)
  structure(new_summary(summary_table(object, check_level(level), "u" %in% pars)),
    khat = cheap_khat(object))
}

check_pars <- function(pars, fit) {
  if (identical(pars, "u") && !inherits(fit, "regression_fit")) {
    mf_abort("control", "the model has no random effects: leave `pars` out", arg = "pars")
  }
  if (!is.null(pars) && !identical(pars, "u")) {
    mf_abort("control", "`pars` must be NULL or \"u\", not ", describe(pars), arg = "pars")
  }
}
