# broom's verbs.

#' Tidy data frames from a fit
#'
#' @param x A fit.
#' @param effects `"fixed"`, `"ran_pars"` (standard deviations), `"ran_vals"` (random effects) and
#'   `"ran_coefs"` (coefficients of each level, the sum of both), as in broom.mixed.
#' @param conf.int,conf.level Add interval columns, and their mass.
#' @param exponentiate Exponentiate the fixed effects and their limits, with standard errors by the
#'   delta method, as in broom.mixed? For log and logit links; with another a warning says what is
#'   odd about it.
#' @param data The data of the fit, to add columns to; the model frame by default. Rows that
#'   the fit left out get `NA`.
#' @param ... Not used.
#' @return Data frames. `tidy()`: `effect`, `group`, with effects of levels `level`, `term`,
#'   `estimate`, `std.error`, and `conf.low`, `conf.high`. `glance()`: one row with `nobs`,
#'   `sigma`, `elbo`, `df.residual`, `converged` and `sweeps` (for an `exact_fit`: `log_evidence`,
#'   `elbo`, `error`;
#'   for a `gibbs_fit`: `rhat`, the largest,
#'   and `ess_bulk`, the smallest). `augment()`: the data with `.fitted`, `.resid` and
#'   `.se.fit` (where it can be had).
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' tidy(fit, conf.int = TRUE)
#' tidy(fit, "ran_coefs")
#' glance(fit)
#' head(augment(fit), 3)
#' @importFrom generics tidy
#' @aliases tidy glance augment
#' @export tidy
#' @export
tidy.regression_fit <- function(x, effects = c("fixed", "ran_pars"), conf.int = FALSE,
                               conf.level = 0.95, exponentiate = FALSE, ...) {
  valid_fit(x)
  no_dots(...)
  parts <- list(fixed = tidy_fixed, ran_pars = tidy_ran_pars, ran_vals = tidy_ran_vals)
  allowed <- c(names(parts), "ran_coefs")
  if (!is.character(effects) || !all(effects %in% allowed)) {
    mf_abort("control", "`effects` must be among ", toString(allowed), arg = "effects")
  }
  check_flag(conf.int, "conf.int")
  conf.level <- check_level(conf.level, "conf.level")
  s <- summary_table(x, if (conf.int) conf.level, "ran_vals" %in% effects)
  if (conf.int) names(s)[match(quantile_names(conf.level), names(s))] <- c("conf.low", "conf.high")
  out <- lapply(parts[intersect(names(parts), effects)], function(part) part(x, s))
  if (check_flag(exponentiate, "exponentiate")) out$fixed <- exponentiated(out$fixed, x)
  if ("ran_coefs" %in% effects) out$ran_coefs <- tidy_ran_coefs(x, conf.int, conf.level)
  out <- do.call(rbind, unname(out)) %||% tidy_rows(s, character(), "", "", "")
  if (!any(c("ran_vals", "ran_coefs") %in% effects)) out$level <- NULL
  rownames(out) <- NULL
  as_tibble_if_possible(out)
}

# Rows of the summary `s` in broom's columns.
tidy_rows <- function(s, variables, effect, group, term, level = NA_character_) {
  rows <- match(variables, s$variable)
  n <- length(rows)
  out <- data.frame(effect = rep(effect, n), group = rep_len(group, n), level = rep_len(level, n),
    term = rep_len(term, n), estimate = s$mean[rows], std.error = s$sd[rows])
  cbind(out, s[rows, intersect(c("conf.low", "conf.high"), names(s)), drop = FALSE])
}

tidy_fixed <- function(x, s) {
  tidy_rows(s, beta_names(x$model), "fixed", NA_character_, as.character(x$model$x_names))
}

tidy_ran_pars <- function(x, s) {
  table <- variable_table(x$model)
  terms <- lapply(seq_along(x$model$groups), function(k) {
    t <- x$model$groups[[k]]
    pairs <- table[table$block == "group" & table$term == k & table$kind == "rho", ]
    rbind(tidy_rows(s, term_variables(table, k, "sigma"), "ran_pars", t$group,
      paste0("sd__", t$coef)),
      tidy_rows(s, pairs$variable, "ran_pars", t$group,
        sprintf("cor__%s.%s", t$coef[pairs$b], t$coef[pairs$a])))
  })
  residual <- table$variable[table$block == "lead" & table$kind == "sigma"]
  do.call(rbind, c(terms, list(tidy_rows(s, residual, "ran_pars", "Residual", "sd__Observation"))))
}

tidy_ran_vals <- function(x, s) {
  u <- effect_table(x$model)
  tidy_rows(s, u$name, "ran_vals", u$group, u$coef, u$level)
}

# Coefficients of the levels: means as in coef(), SDs and limits those of a linear predictor with a
# one at the coefficient and at its effect.
tidy_ran_coefs <- function(x, conf.int, conf.level) {
  model <- x$model
  probs <- central_probs(conf.level)
  p <- posterior_of(x)
  known <- knows_effects(p)
  out <- Map(function(f, co) {
    factor <- model$factors[[f]]
    rows <- expand.grid(level = factor$levels, term = names(co), stringsAsFactors = FALSE)
    parts <- list(X = unit_rows(rows$term, model$x_names), offset = numeric(nrow(rows)),
      groups = list(list(factor = f, code = match(rows$level, factor$levels),
        Z = unit_rows(rows$term, plain_coef(factor$coef)) %*% factor$A)))
    band <- if (known) over_linear(p, parts, function(mix, ...) {
      cbind(sqrt(mixture_variance(mix)), if (conf.int) row_quantiles(mix, probs))
    }) else matrix(NA_real_, nrow(rows), 3L)
    out <- data.frame(effect = "ran_coefs", group = factor$name, level = rows$level,
      term = rows$term, estimate = unlist(co, use.names = FALSE), std.error = band[, 1L])
    if (conf.int) cbind(out, conf.low = band[, 2L], conf.high = band[, 3L]) else out
  }, seq_along(model$factors), if (length(model$factors)) coef(x) else list())
  do.call(rbind, unname(out))
}

unit_rows <- function(names, columns) outer(names, columns, `==`) * 1

# As broom does.
exponentiated <- function(rows, x) {
  if (is.null(rows)) return(NULL) # not asked for
  if (!x$model$family$link %in% c("log", "logit")) {
    mf_warn("link", "`exponentiate` was asked for, but the link is ", x$model$family$link,
      ": the exponentials are no ratios of odds or means", arg = "exponentiate")
  }
  rows$std.error <- rows$std.error * exp(rows$estimate)
  own <- intersect(c("estimate", "conf.low", "conf.high"), names(rows))
  rows[own] <- lapply(rows[own], exp)
  rows
}

#' @rdname tidy.regression_fit
#' @importFrom generics glance
#' @export glance
#' @export
glance.meanfield_fit <- function(x, ...) {
  valid_fit(x)
  no_dots(...)
  as_tibble_if_possible(cbind(size_columns(x), engine_columns(x)))
}

size_columns <- function(fit) UseMethod("size_columns")

#' @export
size_columns.regression_fit <- function(fit) {
  data.frame(nobs = nobs(fit), sigma = sigma(fit), df.residual = df.residual(fit))
}

# How the engine ended.
engine_columns <- function(x) UseMethod("engine_columns")

#' @export
engine_columns.meanfield_fit <- function(x) {
  if (inherits(posterior_of(x), "draws_posterior")) {
    s <- summary_table(x)
    extreme <- function(f, v) if (all(is.na(v))) NA_real_ else f(v, na.rm = TRUE)
    return(data.frame(rhat = extreme(max, s$rhat), ess_bulk = extreme(min, s$ess_bulk),
      ndraws = dim(x$draws)[1L] * x$chains))
  }
  if (is.null(normal_of(x))) {
    return(data.frame(log_evidence = x$log_evidence, elbo = x$elbo, error = x$error))
  }
  out <- data.frame(elbo = x$vb$elbo, converged = x$converged)
  steps <- intersect(c("sweeps", "passes"), names(x))
  if (length(steps)) cbind(out, x[steps]) else out
}

#' @rdname tidy.regression_fit
#' @param newdata New data instead: `.fitted` and `.se.fit` only.
#' @param type.predict Scale of `.fitted` and `.se.fit`, `"link"` or `"response"`, as in broom.
#' @param type.residuals `"response"`, `"deviance"` or `"pearson"`, see [residuals()]. As in broom,
#'   `NULL` is the first for the Gaussian family and deviance residuals for the others.
#' @importFrom generics augment
#' @export augment
#' @export
augment.regression_fit <- function(x, data = NULL, newdata = NULL,
                                  type.predict = c("link", "response"), type.residuals = NULL,
                                  ...) {
  valid_fit(x)
  no_dots(...)
  type <- check_choice(type.predict, c("link", "response"), "type.predict")
  has_u <- !length(x$model$factors) || knows_effects(posterior_of(x))
  p <- predict(x, newdata, se.fit = has_u, allow_new_levels = TRUE, type = type)
  fitted <- if (has_u) p$fit else p
  out <- newdata %||% augmented_data(x, data, fitted)
  rows <- seq_along(fitted)
  if (nrow(out) != length(fitted)) rows <- match(rownames(out), names(fitted))
  out$.fitted <- unname(fitted)[rows]
  if (has_u) out$.se.fit <- unname(p$se.fit)[rows]
  if (is.null(newdata)) {
    kind <- type.residuals %||% family_of(x)$residuals
    out$.resid <- unname(residuals(x, type = kind))[rows]
  }
  as_tibble_if_possible(out)
}

# The rows to add columns to: the user's data (rows the fit left out get NA), or the model
# frame.
augmented_data <- function(x, data, fitted) {
  data <- as.data.frame(data %||% model.frame(x))
  known <- nrow(data) == length(fitted) || all(names(fitted) %in% rownames(data)) ||
    all(rownames(data) %in% names(fitted))
  if (!known) {
    mf_abort("data", "`data` has ", nrow(data), " rows that cannot be matched to the ",
      length(fitted), " of the fit: give the data of the fit", arg = "data")
  }
  data
}
