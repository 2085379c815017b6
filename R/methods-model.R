# The model behind a fit: methods for the generics of stats, priors, groups, update().

#' The model behind a fit
#'
#' Methods for the generics of stats. [logLik()] of a `vb_fit` is the evidence lower
#' bound (ELBO), that of an `exact_fit` the log evidence, and both say so when printed. The ELBO
#' bounds the log evidence, the log marginal likelihood of model and prior, from below (under a
#' flat prior, relative to Lebesgue measure).
#'
#' @param object,x,formula A fit.
#' @param ... Not used (an unknown argument is an error); for `update()`, arguments of the new fit.
#' @return As for [stats::lm()]. `nobs()` counts rows of positive weight;
#'   `df.residual()` is `nobs()` minus the number of coefficients; `weights()` has the weights of
#'   the rows, one where the fit has none, times the trials of a binomial response, as for
#'   [stats::glm()]; `deviance()` is the sum of the squared deviance residuals, that is of the unit
#'   deviances of the
#'   family at the fitted values times the weights (the weighted sum of squares of the Gaussian
#'   family); `ngrps()` a named vector of group counts; `prior_summary()` a data frame with a row
#'   per component.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' nobs(fit)
#' logLik(fit)
#' ngrps(fit)
#' @name model-methods
NULL

#' @rdname model-methods
#' @export
nobs.meanfield_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  row_count(object$model$gram$n)
}

#' @rdname model-methods
#' @export
formula.regression_fit <- function(x, ...) {
  valid_fit(x)
  no_dots(...)
  x$model$formula
}

#' @rdname model-methods
#' @export
family.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  object$model$family
}

#' @rdname model-methods
#' @export
terms.regression_fit <- function(x, ...) {
  valid_fit(x)
  no_dots(...)
  x$model$terms
}

#' @rdname model-methods
#' @export
model.frame.regression_fit <- function(formula, ...) {
  valid_fit(formula)
  no_dots(...)
  kept_frame(formula$model)
}

#' @rdname model-methods
#' @export
model.matrix.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  stats::model.matrix(stats::delete.response(object$model$terms), model.frame(object),
    contrasts.arg = object$model$contrasts)
}

#' @rdname model-methods
#' @param type `"prior"`: the weights of the call, the only ones there are.
#' @export
weights.regression_fit <- function(object, type = "prior", ...) {
  valid_fit(object)
  no_dots(...)
  check_choice(type, "prior", "type")
  stats::naresid(object$model$na_action, prior_weights(object))
}

# Of the rows that the fit has.
prior_weights <- function(fit) {
  if (family_of(fit)$trials) return(fit_response(fit)$size)
  if (!fit$model$weighted) return(rep(1, fit$model$n_rows))
  as.double(stats::model.weights(model.frame(fit)))
}

#' @rdname model-methods
#' @importFrom stats deviance
#' @export
deviance.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  sum(residuals(object, type = "deviance")^2, na.rm = TRUE)
}

#' @rdname model-methods
#' @param full Name rows of weight zero too?
#' @importFrom stats case.names
#' @export
case.names.regression_fit <- function(object, full = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  names <- rownames(model.frame(object))
  if (check_flag(full, "full")) names else names[prior_weights(object) > 0]
}

#' @rdname model-methods
#' @importFrom stats variable.names
#' @export
variable.names.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  object$model$x_names
}

#' @rdname model-methods
#' @export
df.residual.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  nobs(object) - length(object$model$x_names)
}

#' @rdname model-methods
#' @export
logLik.meanfield_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  if (inherits(posterior_of(object), "draws_posterior")) {
    mf_abort("engine", "a fit by sampling has no bound on the log evidence: use ",
      "logLik(fit_vb(object)) for the ELBO, or log_lik() for the pointwise log likelihood",
      arg = "object")
  }
  exact <- is.null(normal_of(object))
  if (is_iterated(object$model)) no_bound(object$model)
  structure(if (exact) object$log_evidence else object$vb$elbo, df = n_parameters(object$model),
    nobs = nobs(object), class = c(if (exact) "log_evidence" else "elbo", "logLik"))
}

# The log determinant of the effects' precision is not made.
no_bound <- function(model) {
  mf_abort("size", "a fit by conjugate gradients has no bound on the log evidence: ",
    if (!model$iterations$only) "refit with integrate = \"yes\", or ",
    "use compare(), which cross-validates", arg = "object")
}

# Random effects count for nothing.
n_parameters <- function(model) UseMethod("n_parameters")

#' @export
n_parameters.meanfield_model <- function(model) length(model$x_names) + length(model$resolved$tau)

#' @export
AIC.meanfield_fit <- function(object, ..., k = 2) no_information_criterion()

#' @export
BIC.meanfield_fit <- function(object, ...) no_information_criterion()

no_information_criterion <- function() {
  mf_abort("engine", "neither the ELBO nor the log evidence is a maximised likelihood: use ",
    "compare()", arg = "object")
}

#' @export
print.log_evidence <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  no_dots(...)
  cat("Log evidence (log marginal likelihood): ", format(c(x), digits = digits), "\n", sep = "")
  invisible(x)
}

#' @export
print.elbo <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  no_dots(...)
  cat("ELBO (lower bound of the log evidence): ", format(c(x), digits = digits), "\n", sep = "")
  invisible(x)
}

#' @rdname model-methods
#' @export
ngrps <- function(object, ...) UseMethod("ngrps")

#' @export
ngrps.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  stats::setNames(vapply(object$model$factors, function(f) length(f$levels), 0L),
    vapply(object$model$factors, `[[`, "", "name"))
}

#' @export
ngrps.default <- function(object, ...) {
  call_foreign("ngrps", c("lme4", "brms", "rstanarm"), object, ...)
}

#' @rdname model-methods
#' @export
prior_summary <- function(object, ...) UseMethod("prior_summary")

#' @export
prior_summary.default <- function(object, ...) {
  call_foreign("prior_summary", c("rstantools", "brms"), object, ...)
}

#' @export
prior_summary.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  r <- object$model$resolved
  b <- r$beta
  beta <- if (b$kind == "flat") {
    rep("flat", length(object$model$x_names))
  } else {
    mean <- if (b$centred) object$model$coords$shift else b$mean
    sds <- b$sd %||% sqrt(diag(b$cov))
    sprintf("normal(%s, %s)", format_numbers(mean, 4), format_numbers(sds, 4))
  }
  at <- if (b$kind != "flat" && b$centred) object$model$coords$intercept else 0L
  if (at > 0L) beta[at] <- paste(beta[at], "at the mean predictors")
  data.frame(variable = c(beta_names(object$model), names(r$tau)),
    prior = c(beta, vapply(r$tau, format, "", digits = 4)), row.names = NULL)
}
