# The model behind a fit: methods for the generics of stats, priors, groups, update().

#' The model behind a fit
#'
#' Methods for the generics of stats. [logLik()] of a `vb_fit` is the evidence lower
#' bound (ELBO), that of an `exact_fit` the log evidence, and both say so when printed. The ELBO bounds the log evidence, the log marginal likelihood of
#' model and prior, from below (under a flat prior, relative to Lebesgue measure).
#'
#' @param object,x,formula A fit.
#' @param ... Passed on or not used.
#' @return As for [stats::lm()]. `nobs()` counts rows of positive weight;
#'   `df.residual()` is `nobs()` minus the number of coefficients; `ngrps()` a named
#'   vector of group counts; `prior_summary()` a data frame with a row per component.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' nobs(fit)
#' logLik(fit)
#' ngrps(fit)
#' @name model-methods
NULL

#' @rdname model-methods
#' @export
nobs.meanfield_fit <- function(object, ...) as.integer(valid_fit(object)$model$gram$n)

#' @rdname model-methods
#' @export
formula.meanfield_fit <- function(x, ...) valid_fit(x)$model$formula

#' @rdname model-methods
#' @export
family.meanfield_fit <- function(object, ...) valid_fit(object)$model$family

#' @rdname model-methods
#' @export
terms.meanfield_fit <- function(x, ...) valid_fit(x)$model$terms

#' @rdname model-methods
#' @export
model.frame.meanfield_fit <- function(formula, ...) kept_frame(valid_fit(formula)$model)

kept_frame <- function(model) {
  model$frame %||% mf_abort("data", "the fit was made with model = FALSE and holds no rows: ",
    "refit with model = TRUE, or give `newdata`", arg = "model")
}

#' @rdname model-methods
#' @export
model.matrix.meanfield_fit <- function(object, ...) {
  valid_fit(object)
  stats::model.matrix(stats::delete.response(object$model$terms), model.frame(object),
    contrasts.arg = object$model$contrasts)
}

#' @rdname model-methods
#' @export
weights.meanfield_fit <- function(object, ...) {
  valid_fit(object)
  if (!object$model$weighted) return(NULL)
  stats::naresid(object$model$na_action, stats::model.weights(model.frame(object)))
}

#' @rdname model-methods
#' @export
df.residual.meanfield_fit <- function(object, ...) nobs(object) - length(object$model$x_names)

#' @rdname model-methods
#' @export
logLik.vb_fit <- function(object, ...) {
  valid_fit(object)
  structure(object$vb$elbo, df = length(object$model$x_names) + length(object$model$resolved$tau),
    nobs = nobs(object), class = c("elbo", "logLik"))
}

#' @export
AIC.vb_fit <- function(object, ..., k = 2) no_information_criterion()

#' @export
BIC.vb_fit <- function(object, ...) no_information_criterion()

no_information_criterion <- function() {
  mf_abort("engine", "neither the ELBO nor the log evidence is a maximised likelihood: use ",
    "compare()", arg = "object")
}

#' @rdname model-methods
#' @export
logLik.exact_fit <- function(object, ...) {
  valid_fit(object)
  structure(object$log_evidence, df = attr(logLik.vb_fit(object), "df"), nobs = nobs(object),
    class = c("log_evidence", "logLik"))
}

#' @export
AIC.exact_fit <- function(object, ..., k = 2) no_information_criterion()

#' @export
BIC.exact_fit <- function(object, ...) no_information_criterion()

#' @export
print.log_evidence <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  cat("Log evidence (log marginal likelihood): ", format(c(x), digits = digits), "\n", sep = "")
  invisible(x)
}

#' @rdname model-methods
#' @export
logLik.gibbs_fit <- function(object, ...) {
  mf_abort("engine", "a Gibbs fit has no bound on the log evidence: use logLik(fit_vb(object)) ",
    "for the ELBO, or log_lik() for the pointwise log likelihood", arg = "object")
}

#' @export
print.elbo <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  cat("ELBO (lower bound of the log evidence): ", format(c(x), digits = digits), "\n", sep = "")
  invisible(x)
}

#' @rdname model-methods
#' @export
ngrps <- function(object, ...) UseMethod("ngrps")

#' @export
ngrps.meanfield_fit <- function(object, ...) {
  valid_fit(object)
  stats::setNames(vapply(object$model$factors, function(f) length(f$levels), 0L),
    vapply(object$model$factors, `[[`, "", "name"))
}

#' @export
ngrps.default <- function(object, ...) foreign_generic("ngrps", c("lme4", "brms", "rstanarm"))(object, ...)

# A generic of the same name in a package that is loaded: ours, when attached later,
# must not take its methods away. Called from the global environment, for from here it would find
# our default method again, and so on for ever.
foreign_generic <- function(name, packages) {
  for (p in intersect(packages, loadedNamespaces())) {
    f <- get0(name, envir = asNamespace(p), inherits = FALSE)
    if (is.function(f)) {
      return(function(...) do.call(f, list(...), quote = TRUE, envir = globalenv()))
    }
  }
  mf_abort("engine", "no ", name, "() method for this object", arg = "object")
}

#' @rdname model-methods
#' @export
prior_summary <- function(object, ...) UseMethod("prior_summary")

#' @export
prior_summary.default <- function(object, ...) {
  foreign_generic("prior_summary", c("rstantools", "brms"))(object, ...)
}

#' @export
prior_summary.meanfield_fit <- function(object, ...) {
  valid_fit(object)
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

#' @rdname model-methods
#' @param formula. Changes to the formula, as in [stats::update()].
#' @param evaluate Evaluate the new call?
#' @export
update.meanfield_fit <- function(object, formula., ..., evaluate = TRUE) {
  valid_fit(object)
  call <- object$call
  extra <- match.call(expand.dots = FALSE)$...
  if (!missing(formula.)) call$formula <- stats::update(formula(object), formula.)
  for (arg in names(extra)) call[[arg]] <- extra[[arg]]
  if (!evaluate) return(call)
  eval(call, update_environment(call, parent.frame(), environment(formula(object))))
}

# Where the data of the call can be found: here, or where the formula was written (a fit
# made inside a function).
update_environment <- function(call, here, there) {
  args <- intersect(c("data", "prior", "control", "family"), names(call))
  needed <- unlist(lapply(as.list(call)[args], all.vars))
  found <- function(v) {
    x <- get0(v, envir = here)
    !is.null(x) && !is.function(x) # data named like a function of base R
  }
  if (all(vapply(needed, found, NA))) here else there
}
