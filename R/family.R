# Families: which ones there are, and what each makes of a response.

#' Negative binomial family
#'
#' Counts with mean mu and variance mu + mu^2 / phi, log link: the family of
#' `fit_vb(family = neg_binomial())`. The dispersion phi is estimated; its prior is the `phi` of
#' [priors()].
#'
#' @return An object of class `family`, for the `family` argument of [fit_vb()] and [fit_gibbs()].
#' @examples
#' neg_binomial()
#' @export
neg_binomial <- function() {
  pois <- stats::poisson()
  structure(
    c(list(family = "neg_binomial"), pois[c("link", "linkfun", "linkinv", "mu.eta", "valideta",
      "validmu")]),
    class = "family"
  )
}

# The links that the engines know.
FAMILY_LINKS <- c(gaussian = "identity", binomial = "logit", poisson = "log", neg_binomial = "log")

# A family object from a name, a function or an object; any other is an error.
check_family <- function(family) {
  if (is.character(family) && length(family) == 1L) {
    family <- switch(family, neg_binomial = neg_binomial,
      tryCatch(get(family, mode = "function", envir = asNamespace("stats")),
        error = function(e) NULL))
  }
  if (is.function(family)) family <- tryCatch(family(), error = function(e) NULL)
  ok <- inherits(family, "family") && family$family %in% names(FAMILY_LINKS) &&
    family$link == FAMILY_LINKS[[family$family]]
  if (!ok) {
    mf_abort("family", "`family` must be gaussian(), binomial(), poisson() or neg_binomial() ",
      "with its canonical link (logit for binomial, log for counts)",
      arg = "family")
  }
  family
}

# Of a family, a model or a fit.
is_gaussian <- function(x) family_of(x)$family == "gaussian"

family_of <- function(x) {
  if (inherits(x, "family")) return(x)
  (if (inherits(x, "meanfield_fit")) x$model else x)$family
}

# For what is only there for the Gaussian family.
need_gaussian <- function(fit, what, instead) {
  if (is_gaussian(fit)) return(invisible())
  mf_abort("family", what, " is for the Gaussian family; ", instead, arg = "object")
}

# ---- response -------------------------------------------------------------------------

# list(y, size): successes and trials, or counts and row weights. Weights multiply the log
# likelihood, as in glm().
glmm_response <- function(frame, w, family) {
  name <- names(frame)[1L]
  out <- if (family$family == "binomial") {
    binomial_response(frame[[1L]], w, name)
  } else {
    count_response(frame[[1L]], w, name)
  }
  if (!any(out$size > 0)) {
    mf_abort("weights", "no row has any weight or trial", arg = "weights")
  }
  out
}

binomial_response <- function(y, w, name) {
  if (is.matrix(y) && ncol(y) == 2L) return(success_failure(y, w, name))
  if (is.matrix(y) && ncol(y) == 1L) y <- y[, 1L]
  if (is.factor(y)) {
    if (nlevels(y) > 2L) y <- y[, drop = TRUE]
    if (nlevels(y) > 2L) {
      mf_abort("response", "the response `", name, "` of a binomial family is a factor of ",
        nlevels(y), " levels (", toString(utils::head(levels(y), 5)), "): say what counts as a ",
        "success, as in I(", name, " != \"", levels(y)[1L], "\")",
        arg = "formula")
    }
    y <- as.double(y != levels(y)[1L])
  } else if (is.logical(y)) {
    y <- as.double(y)
  }
  ok <- is_plain_numeric(y) && all(is.finite(y))
  if (!ok || any(y < 0 | y > 1)) {
    mf_abort("response", "the response `", name, "` of a binomial family must be 0/1, logical, a ",
      "factor, a proportion (with the trials as `weights`) or cbind(success, failure)",
      arg = "formula")
  }
  size <- w %||% rep(1, length(y))
  if (any(abs(y * size - round(y * size)) > 1e-3)) {
    mf_warn("response", "some proportions times their `weights` are no whole numbers of ",
      "successes", arg = "weights")
  }
  list(y = as_plain_double(y * size), size = size)
}

success_failure <- function(y, w, name) {
  if (!is.numeric(y) || any(!is.finite(y)) || any(y < 0)) {
    mf_abort("response", "cbind(success, failure) `", name, "` must hold finite numbers, none ",
      "negative", arg = "formula")
  }
  w <- w %||% 1
  list(y = as.double(y[, 1L] * w), size = as.double((y[, 1L] + y[, 2L]) * w))
}

count_response <- function(y, w, name) {
  if (is.matrix(y) && ncol(y) == 1L) y <- y[, 1L]
  ok <- is_plain_numeric(y) && all(is.finite(y))
  if (!ok || any(y < 0)) {
    mf_abort("response", "the response `", name, "` must be counts: finite numbers, none negative",
      arg = "formula")
  }
  if (any(y != round(y))) {
    mf_warn("response", "the response `", name, "` has values that are no whole numbers",
      arg = "formula")
  }
  list(y = as_plain_double(y), size = w %||% rep(1, length(y)))
}
