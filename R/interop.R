# Methods for the generics of packages that need not be installed; zzz.R and
# NAMESPACE register them when those packages are loaded.

#' @exportS3Method bayesplot::pp_check
pp_check.meanfield_fit <- function(object, type = "dens_overlay", draws = 50, ...) {
  valid_fit(object)
  fun <- getExportedValue("bayesplot", paste0("ppc_", sub("^ppc_", "", type)))
  yrep <- posterior_predict.meanfield_fit(object, draws = draws)
  fun(fitted_response(object), yrep, ...)
}

#' @exportS3Method loo::loo
loo.meanfield_fit <- function(x, draws = NULL, ...) {
  valid_fit(x)
  ll <- log_lik.meanfield_fit(x, draws = draws)
  r_eff <- if (inherits(x, "gibbs_fit") && is.null(draws)) {
    chain <- rep(seq_len(x$chains), each = dim(x$draws)[1L])
    loo::relative_eff(exp(ll), chain_id = chain)
  } else {
    rep(1, ncol(ll))
  }
  loo::loo(ll, r_eff = r_eff, ...)
}

#' @exportS3Method emmeans::recover_data
recover_data.meanfield_fit <- function(object, data = NULL, ...) {
  valid_fit(object)
  call <- object$call
  emmeans::recover_data(call, stats::delete.response(object$model$terms),
    object$model$na_action, data = data, frame = object$model$frame, ...)
}

#' @exportS3Method emmeans::emm_basis
emm_basis.meanfield_fit <- function(object, trms, xlev, grid, ...) {
  valid_fit(object)
  m <- stats::model.frame(trms, grid, na.action = stats::na.pass, xlev = xlev)
  X <- stats::model.matrix(trms, m, contrasts.arg = object$model$contrasts)
  list(X = X, bhat = fixef.meanfield_fit(object), nbasis = matrix(NA), V = vcov(object),
    dffun = function(k, dfargs) Inf, dfargs = list(), misc = list())
}

#' @exportS3Method marginaleffects::get_coef
get_coef.meanfield_fit <- function(model, ...) fixef.meanfield_fit(model)

#' @exportS3Method marginaleffects::get_vcov
get_vcov.meanfield_fit <- function(model, ...) vcov(model)

#' @exportS3Method marginaleffects::set_coef
set_coef.meanfield_fit <- function(model, coefs, ...) {
  structure(list(fit = model, beta = coefs), class = c("meanfield_shifted", class(model)))
}

#' @exportS3Method marginaleffects::get_predict
get_predict.meanfield_fit <- function(model, newdata, ...) {
  base <- if (inherits(model, "meanfield_shifted")) model$fit else model
  p <- predict(base, newdata, re.form = NA)
  if (inherits(model, "meanfield_shifted")) {
    parts <- linear_parts(base, newdata, NA, TRUE)
    p <- drop(parts$X %*% model$beta) + parts$offset
  }
  data.frame(rowid = seq_along(p), estimate = unname(p))
}

#' @exportS3Method insight::find_formula
find_formula.meanfield_fit <- function(x, verbose = TRUE, ...) {
  valid_fit(x)
  f <- x$model$formula
  out <- list(conditional = stats::formula(x$model$terms))
  random <- lapply(x$model$groups, function(t) {
    lhs <- paste(sub("^\\(Intercept\\)$", "1", t$coef), collapse = " + ")
    stats::as.formula(paste("~", lhs, "|", t$group), environment(f))
  })
  if (length(random) == 1L) out$random <- random[[1L]]
  if (length(random) > 1L) out$random <- random
  structure(out, class = c("insight_formula", "list"))
}

#' @exportS3Method insight::get_parameters
get_parameters.meanfield_fit <- function(x, ...) {
  valid_fit(x)
  b <- fixef.meanfield_fit(x)
  data.frame(Parameter = names(b), Estimate = unname(b))
}

#' @exportS3Method insight::find_parameters
find_parameters.meanfield_fit <- function(x, flatten = FALSE, ...) {
  valid_fit(x)
  out <- list(conditional = x$model$x_names)
  if (flatten) unlist(out, use.names = FALSE) else out
}

#' @exportS3Method insight::get_statistic
get_statistic.meanfield_fit <- function(x, ...) {
  valid_fit(x)
  b <- fixef.meanfield_fit(x)
  data.frame(Parameter = names(b), Statistic = unname(b / sqrt(diag(vcov(x)))))
}

#' @exportS3Method insight::get_data
get_data.meanfield_fit <- function(x, ...) as.data.frame(model.frame(x))
