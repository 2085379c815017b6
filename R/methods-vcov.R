# Posterior covariance matrices.

#' Posterior covariance
#'
#' @param object A fit.
#' @param type `"best"` (default): what the fit reports, `"integrated"` where a `vb_fit` was
#'   integrated over its precisions, else `"lrvb"`. Of a `vb_fit` also one of these two, or
#'   `"mfvb"`.
#' @param pars `"beta"` (of a mixture `"mu"`; the default): the coefficients, named as in the model
#'   matrix (the means of the components). `"all"`: coefficients, random effects, precisions, and
#'   of scalar terms
#'   log precisions and standard deviations, named as in [summary()] (of a mixture all its
#'   variables); a dense matrix, refused above 10,000 rows.
#' @param full Not used (for packages that pass it).
#' @param ... Not used.
#' @return A symmetric matrix. Rows of standard deviations follow from those of the
#'   log precisions by the delta method.
#' @section Errors: `meanfield_error_control` for a type that the fit has not;
#'   `meanfield_error_engine` for the linear response of a mixture where it failed.
#' @aliases vcov.vb_fit vcov.exact_fit vcov.gibbs_fit vcov.gmm_vb_fit vcov.gmm_gibbs_fit
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' vcov(fit)
#' sqrt(diag(vcov(fit, type = "mfvb")))
#' @export
vcov.meanfield_fit <- function(object, type = c("best", "integrated", "lrvb", "mfvb"), pars = NULL,
                               full = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  here <- location_kind(object$model)
  pars <- check_choice(pars %||% here, c(here, "all"), "pars")
  what <- if (pars == "all") covariance else function(...) location(...)$cov
  type <- check_choice(type, c("best", "integrated", "lrvb", "mfvb"), "type")
  if (type %in% c("lrvb", "mfvb")) return(what(need_normal(object, type), type = type))
  if (type == "integrated") need_integrated(object)
  what(posterior_of(object))
}

need_normal <- function(fit, type) {
  normal_of(fit) %||% mf_abort("control", "the fit was not made by fit_vb() and has no ",
    if (type == "lrvb") "linear response" else "mean field", ": leave `type` out", arg = "type")
}

need_integrated <- function(fit) {
  if (inherits(posterior_of(fit), "mixture_posterior")) return(invisible())
  if (!inherits(fit, "regression_fit") || is.null(normal_of(fit))) {
    mf_abort("control", "a fit of this kind is not integrated over precisions: leave `type` out",
      arg = "type")
  }
  mf_abort("control", "the fit was not integrated over its precisions: refit with ",
    "integrate = \"yes\", or use type = \"lrvb\"", arg = "type")
}
