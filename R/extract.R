# lme4-like accessors.

#' Coefficients and random effects
#'
#' `fixef()` and `ranef()` are posterior means; `coef()` adds them per group as in
#' lme4, or is `fixef()` when there are no groups.
#'
#' @param object A fit.
#' @param condVar Attach posterior variances, attribute `postVar` as in lme4?
#' @param ... Not used.
#' @return `fixef()`: named numeric vector. `ranef()`: list of class
#'   `ranef.meanfield`, a data frame per grouping factor with levels as row names;
#'   [as.data.frame()] gives one row per effect with `condval` and `condsd`.
#'   `coef()`: list of data frames per grouping factor, or a vector.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' fixef(fit)
#' head(as.data.frame(ranef(fit)), 3)
#' @importFrom nlme fixef
#' @aliases fixef ranef
#' @export fixef
#' @export
fixef.meanfield_fit <- function(object, ...) moments(object)$beta

#' @rdname fixef.meanfield_fit
#' @importFrom nlme ranef
#' @export ranef
#' @export
ranef.meanfield_fit <- function(object, condVar = TRUE, ...) {
  group <- object$model$group
  if (is.null(group)) {
    mf_abort("groups", "the model has no group terms: ranef() has nothing to return",
      arg = "object")
  }
  m <- moments(object)
  out <- data.frame(`(Intercept)` = m$u, row.names = group$levels, check.names = FALSE)
  if (condVar) attr(out, "postVar") <- array(m$var_u, c(1L, 1L, length(m$u)))
  structure(stats::setNames(list(out), group$name), class = c("ranef.meanfield", "list"))
}

#' @export
print.ranef.meanfield <- function(x, ...) {
  for (g in names(x)) {
    cat("$", g, "\n", sep = "")
    out <- x[[g]]
    attr(out, "postVar") <- NULL
    print(out, ...)
  }
  invisible(x)
}

#' @export
as.data.frame.ranef.meanfield <- function(x, ...) {
  do.call(rbind, lapply(names(x), function(g) {
    v <- attr(x[[g]], "postVar")
    data.frame(grpvar = g, term = "(Intercept)", grp = rownames(x[[g]]),
      condval = x[[g]][[1L]], condsd = if (is.null(v)) NA_real_ else sqrt(v[1L, 1L, ]))
  }))
}

#' @rdname fixef.meanfield_fit
#' @export
coef.meanfield_fit <- function(object, ...) {
  m <- moments(object)
  group <- object$model$group
  if (is.null(group)) return(m$beta)
  out <- as.data.frame(
    matrix(m$beta, length(group$levels), length(m$beta), byrow = TRUE,
      dimnames = list(group$levels, names(m$beta))),
    check.names = FALSE
  )
  out[["(Intercept)"]] <- (if ("(Intercept)" %in% names(m$beta)) m$beta[["(Intercept)"]] else 0) + m$u
  stats::setNames(list(out), group$name)
}

#' Standard deviations of residuals and random effects
#'
#' `sigma()` is the posterior mean of the residual standard deviation. `VarCorr()`
#' returns that of every group term and, beside it, its posterior SD.
#'
#' @param object,x A fit.
#' @param sigma,... Not used.
#' @return `sigma()`: one number. `VarCorr()`: a list of class `VarCorr.meanfield`,
#'   per factor a covariance matrix with attributes `stddev`, `sd_stddev` and
#'   `correlation`, and attributes `sc` and `sd_sc` for the residual; its
#'   [as.data.frame()] has lme4's columns `grp`, `var1`, `var2`, `vcov`, `sdcor` and
#'   `sd_sdcor`.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' VarCorr(fit)
#' @importFrom nlme VarCorr
#' @aliases VarCorr
#' @export VarCorr
#' @export
VarCorr.meanfield_fit <- function(x, sigma = 1, ...) {
  sd_table <- sigma_table(x)
  out <- list()
  if (!is.null(x$model$group)) {
    s <- sd_table[paste0("sigma_u[", x$model$group$name, "]"), ]
    out <- stats::setNames(list(structure(
      matrix(s$mean^2, 1L, 1L, dimnames = list("(Intercept)", "(Intercept)")),
      stddev = c("(Intercept)" = s$mean), sd_stddev = c("(Intercept)" = s$sd),
      correlation = matrix(1, 1L, 1L, dimnames = list("(Intercept)", "(Intercept)"))
    )), x$model$group$name)
  }
  structure(out, sc = sd_table["sigma_e", "mean"], sd_sc = sd_table["sigma_e", "sd"],
    class = "VarCorr.meanfield")
}

# Mean and SD of every sigma, from the summary.
sigma_table <- function(fit) {
  s <- as.data.frame(summary(fit))
  s <- s[grepl("^sigma_", s$variable), ]
  data.frame(mean = s$mean, sd = s$sd, row.names = s$variable)
}

#' @export
as.data.frame.VarCorr.meanfield <- function(x, ...) {
  rows <- lapply(names(x), function(g) {
    data.frame(grp = g, var1 = rownames(x[[g]]), var2 = NA_character_,
      vcov = diag(x[[g]]), sdcor = attr(x[[g]], "stddev"),
      sd_sdcor = attr(x[[g]], "sd_stddev"))
  })
  sc <- attr(x, "sc")
  out <- do.call(rbind, c(rows, list(data.frame(grp = "Residual", var1 = NA_character_,
    var2 = NA_character_, vcov = sc^2, sdcor = sc, sd_sdcor = attr(x, "sd_sc")))))
  rownames(out) <- NULL
  out
}

#' @export
print.VarCorr.meanfield <- function(x, digits = 4, ...) {
  d <- as.data.frame(x)
  out <- data.frame(Groups = d$grp, Name = ifelse(is.na(d$var1), "", d$var1),
    Std.Dev. = format_numbers(d$sdcor, digits), `SD of it` = format_numbers(d$sd_sdcor, digits),
    check.names = FALSE)
  print(out, row.names = FALSE, ...)
  invisible(x)
}

#' @rdname VarCorr.meanfield_fit
#' @export
sigma.meanfield_fit <- function(object, ...) sigma_table(object)["sigma_e", "mean"]

#' Credible intervals
#'
#' @param object A fit.
#' @param parm `NULL`: the coefficients, by their names in the model matrix;
#'   `"all"`: every row of [summary()]; or a vector of coefficient or variable names.
#' @param level Mass of the central interval.
#' @param ... Not used.
#' @return A matrix with two columns, lower and upper limit, a row per parameter.
#' @examples
#' confint(fit_vb(log_radon ~ floor + (1 | county), data = radon), "all")
#' @export
confint.meanfield_fit <- function(object, parm = NULL, level = 0.95, ...) {
  no_dots(...)
  s <- as.data.frame(summary(object, level = level))
  q <- quantile_names(level)
  out <- as.matrix(s[, q])
  dimnames(out) <- list(s$variable, paste(sub("^q", "", q), "%"))
  if (identical(parm, "all")) return(out)
  beta <- beta_names(object$model)
  at <- function(names) {
    i <- match(names, s$variable)
    ifelse(is.na(i), match(paste0("beta[", names, "]"), s$variable), i)
  }
  if (is.null(parm)) parm <- object$model$x_names
  if (identical(parm, "beta_")) parm <- object$model$x_names # as in lme4
  if (is.numeric(parm)) parm <- ifelse(is.na(object$model$x_names[parm]), parm,
    object$model$x_names[parm])
  rows <- at(parm)
  if (anyNA(rows)) {
    mf_abort("control", "`parm` names '", parm[is.na(rows)][1L], "', which is none of ",
      toString(c(object$model$x_names, setdiff(s$variable, beta))), arg = "parm")
  }
  structure(out[rows, , drop = FALSE], dimnames = list(parm, colnames(out)))
}
