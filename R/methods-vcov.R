# Posterior covariance matrices.

#' Posterior covariance
#'
#' @param object A fit.
#' @param type `"best"` (default): `"integrated"` where the fit was integrated over its precisions,
#'   else `"lrvb"`; or one of these two, or `"mfvb"`.
#' @param pars `"beta"`: the coefficients, named as in the model matrix. `"all"`:
#'   coefficients, random effects, precisions, and of scalar terms log precisions and
#'   standard deviations, named as in [summary()]; a dense matrix, refused above 10,000 rows.
#' @param full Not used (for packages that pass it).
#' @param ... Not used.
#' @return A symmetric matrix. Rows of standard deviations follow from those of the
#'   log precisions by the delta method.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' vcov(fit)
#' sqrt(diag(vcov(fit, type = "mfvb")))
#' @export
vcov.vb_fit <- function(object, type = c("best", "integrated", "lrvb", "mfvb"),
                        pars = c("beta", "all"), full = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  type <- check_choice(type, c("best", "integrated", "lrvb", "mfvb"), "type")
  if (type == "best") type <- best_source(object)
  if (type == "integrated" && best_source(object) != "integrated") {
    mf_abort("control", "the fit was not integrated over its precisions: refit with ",
      "integrate = \"yes\", or use type = \"lrvb\"", arg = "type")
  }
  if (check_choice(pars, c("beta", "all"), "pars") == "beta") {
    return(moments(object, type)$cov_beta)
  }
  check_full_cov(object)
  if (type == "integrated") return(integrated_full_cov(object))
  vb_full_cov(object, type == "lrvb")
}

#' @rdname vcov.vb_fit
#' @export
vcov.exact_fit <- function(object, pars = c("beta", "all"), ...) {
  valid_fit(object)
  no_dots(...)
  if (check_choice(pars, c("beta", "all"), "pars") == "beta") return(moments(object)$cov_beta)
  check_full_cov(object)
  integrated_full_cov(object)
}

#' @rdname vcov.vb_fit
#' @export
vcov.gibbs_fit <- function(object, pars = c("beta", "all"), ...) {
  valid_fit(object)
  no_dots(...)
  if (check_choice(pars, c("beta", "all"), "pars") == "beta") return(moments(object)$cov_beta)
  stats::cov(flat_draws(gibbs_array(object, u = !is.null(object$u_draws))))
}
