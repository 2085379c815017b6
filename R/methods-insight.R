# Methods for insight, by which performance, parameters, ggeffects, datawizard and bayestestR see a
# fit, and for performance's own generics. `...`: see methods-interop.R.

#' @exportS3Method insight::find_formula
find_formula.regression_fit <- function(x, verbose = TRUE, ...) {
  valid_fit(x)
  env <- environment(x$model$formula)
  random <- lapply(group_bars(split_bars(x$model$formula[[3L]])$bars), function(bar) {
    stats::as.formula(call("~", call("|", bar$lhs, bar$group)), env) # insight cannot read ||
  })
  out <- list(conditional = stats::formula(x$model$terms))
  if (length(random) == 1L) out$random <- random[[1L]]
  if (length(random) > 1L) out$random <- random
  structure(out, class = c("insight_formula", "list"))
}

#' @exportS3Method insight::get_parameters
get_parameters.regression_fit <- function(x, ...) {
  valid_fit(x)
  b <- fixef.regression_fit(x)
  data.frame(Parameter = names(b), Estimate = unname(b))
}

#' @exportS3Method insight::find_parameters
find_parameters.regression_fit <- function(x, flatten = FALSE, ...) {
  valid_fit(x)
  out <- list(conditional = x$model$x_names)
  if (flatten) unlist(out, use.names = FALSE) else out
}

#' @exportS3Method insight::get_statistic
get_statistic.regression_fit <- function(x, ...) {
  valid_fit(x)
  b <- fixef.regression_fit(x)
  data.frame(Parameter = names(b), Statistic = unname(b / sqrt(diag(vcov(x)))))
}

#' @exportS3Method insight::get_df
get_df.regression_fit <- function(x, type = "residual", ...) {
  valid_fit(x)
  switch(type, normal = , wald = Inf, model = n_parameters(x$model), df.residual(x))
}

# Neither an ELBO nor an evidence is a log likelihood to make an AIC of.
#' @exportS3Method insight::get_loglikelihood
get_loglikelihood.regression_fit <- function(x, ...) no_information_criterion()

#' @exportS3Method insight::is_converged
is_converged.regression_fit <- function(x, ...) {
  valid_fit(x)
  if (!is.null(x$converged)) return(x$converged)
  if (!inherits(x, "gibbs_fit")) return(TRUE)
  !any(summary_table(x)$rhat > 1.05, na.rm = TRUE)
}

# ---- data ---------------------------------------------------------------------------

# The variables of the formula as the user's data have them; the model frame where the data are
# out of reach.
#' @exportS3Method insight::get_data
get_data.regression_fit <- function(x, effects = "all", ...) {
  valid_fit(x)
  effects <- check_choice(effects, c("all", "fixed", "random"), "effects")
  frame <- model.frame(x)
  model <- x$model
  group <- unlist(lapply(model$factors, function(f) all.vars(f$expr)))
  all <- list(response = all.vars(model$formula[[2L]]),
    fixed = all.vars(stats::delete.response(model$terms)), group = group,
    slopes = unlist(lapply(model$factors, function(f) {
      lapply(f$terms, function(t) if (!is.null(t$tt)) all.vars(t$tt))
    })), weights = all.vars(x$call$weights), offset = all.vars(x$call$offset))
  wanted <- switch(effects, random = group, all = all,
    fixed = all[c("response", "fixed", "weights", "offset")])
  variable_frame(x, frame, unique(unlist(wanted)))
}

# The columns `vars` for the rows of the frame: from it, and where it holds a function of them only,
# from the data.
variable_frame <- function(x, frame, vars) {
  vars <- setdiff(vars, "pi")
  own <- intersect(vars, names(frame))
  out <- frame[own]
  attr(out, "terms") <- NULL
  lost <- setdiff(vars, own)
  data <- if (length(lost)) fit_data(x)
  if (is.data.frame(data)) {
    rows <- match(rownames(frame), rownames(data))
    if (!anyNA(rows)) for (v in intersect(lost, names(data))) out[[v]] <- data[[v]][rows]
  }
  out <- out[intersect(vars, names(out))]
  if (ncol(out)) out else as.data.frame(frame)
}

fit_data <- function(x) {
  tryCatch(eval(x$call$data, environment(formula(x))), error = function(e) NULL)
}

#' @exportS3Method insight::get_random
get_random.regression_fit <- function(x, ...) {
  valid_fit(x)
  if (!length(x$model$factors)) return(NULL)
  get_data.regression_fit(x, effects = "random")
}

# ---- predictions --------------------------------------------------------------------

# include_random = "default": the groups' effects where the data name known groups. A grouping
# variable that ggeffects holds at some constant stands for the population.
#' @exportS3Method insight::get_predicted
get_predicted.regression_fit <- function(x, data = NULL, predict = "expectation", ci = 0.95,
                                        include_random = "default", verbose = TRUE, ...) {
  valid_fit(x)
  extra <- list(...)
  if (!is.null(extra$newdata)) data <- extra$newdata
  predict <- extra$type %||% predict
  kind <- check_choice(predict, c("expectation", "response", "link", "prediction"), "predict")
  re.form <- predicted_effects(x, data, include_random)
  interval <- if (kind == "prediction") "prediction" else "confidence"
  type <- if (kind == "link") "link" else "response"
  at <- function(level) {
    predict(x, data, re.form, interval, level, allow_new_levels = TRUE, se.fit = TRUE, type = type)
  }
  p <- at(if (length(ci)) ci[1L] else 0.95)
  out <- unname(p$fit[, "fit"])
  if (length(ci)) {
    limits <- lapply(ci, function(level) {
      l <- data.frame(unname(at(level)$fit[, "lwr"]), unname(at(level)$fit[, "upr"]))
      stats::setNames(l, paste0(c("CI_low", "CI_high"), if (length(ci) > 1L) paste0("_", level)))
    })
    attr(out, "ci_data") <- do.call(cbind, c(list(data.frame(SE = unname(p$se.fit))), limits))
  }
  structure(out, data = data %||% get_data.regression_fit(x), ci = ci, predict = predict,
    class = c("get_predicted", "numeric"))
}

predicted_effects <- function(x, data, include_random) {
  if (inherits(include_random, "formula")) return(include_random)
  if (is.null(include_random) || isTRUE(include_random)) return(NULL)
  if (!identical(include_random, "default")) return(NA)
  if (is.null(data)) return(NULL)
  group <- unlist(lapply(x$model$factors, function(f) all.vars(f$expr)))
  held <- intersect(group, names(attr(data, "constant.values")))
  if (length(held) || !all(group %in% names(data))) return(NA)
  known <- tryCatch(!is.null(linear_parts(x, data, NULL, FALSE)), meanfield_error_newdata =
    function(e) FALSE)
  if (known) NULL else NA
}

# ---- variances ----------------------------------------------------------------------

# Posterior means, in insight's terms; see icc().
#' @exportS3Method insight::get_variance
get_variance.regression_fit <- function(x, component = "all", ...) {
  valid_fit(x)
  names <- c(fixed = "var.fixed", random = "var.random", residual = "var.residual",
    distribution = "var.distribution", dispersion = "var.dispersion", intercept = "var.intercept",
    slope = "var.slope", rho01 = "cor.slope_intercept")
  component <- check_choice(component, c("all", names(names)), "component")
  if (!length(x$model$groups)) return(NULL)
  v <- variance_means(x)
  terms <- Map(term_variances, x$model$groups, seq_along(x$model$groups), list(x), VarCorr(x))
  of_terms <- function(what) unlist(lapply(unname(terms), `[[`, what))
  out <- list(var.fixed = v$fixed, var.random = sum(unlist(v$terms)), var.residual = v$residual,
    var.distribution = v$residual, var.dispersion = 0, var.intercept = of_terms("intercept"),
    var.slope = of_terms("slope"), cor.slope_intercept = of_terms("rho"))
  out <- out[!vapply(out, is.null, NA)]
  if (component == "all") out else out[[names[[component]]]]
}

# Variances of a term's intercept and slopes, and the correlation of the two where there is one.
term_variances <- function(t, k, fit, re) {
  first <- plain_coef(t$coef) == "(Intercept)"
  v <- diag(t$A %*% group_covariance(posterior_of(fit), k) %*% t(t$A))
  rho <- attr(re, "correlation")[first, !first]
  list(intercept = stats::setNames(v[first], rep(t$group, sum(first))),
    slope = stats::setNames(v[!first], sprintf("%s.%s", t$group, t$coef[!first])),
    rho = if (length(rho) == 1L) stats::setNames(rho, t$group))
}

#' @exportS3Method performance::check_singularity
check_singularity.regression_fit <- function(x, ...) c(isSingular(x))
