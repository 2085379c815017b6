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
fixef.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  moments(posterior_of(object))$beta
}

#' @rdname fixef.regression_fit
#' @importFrom nlme ranef
#' @export ranef
#' @export
ranef.regression_fit <- function(object, condVar = TRUE, ...) {
  valid_fit(object)
  no_dots(...)
  check_flag(condVar, "condVar")
  model <- object$model
  if (!length(model$factors)) {
    mf_abort("groups", "the model has no group terms: ranef() has nothing to return, use fixef()",
      arg = "object")
  }
  u_mean <- drop(user_effects(model, as.matrix(moments(posterior_of(object))$u)))
  out <- lapply(seq_along(model$factors), function(f) {
    x <- model$factors[[f]]
    r <- length(x$coef)
    u <- as.data.frame(matrix(u_mean[effects_of(model, f)], ncol = r, byrow = TRUE,
      dimnames = list(x$levels, x$coef)), check.names = FALSE)
    if (condVar) {
      attr(u, "postVar") <- user_level_covariances(level_covariances(posterior_of(object), f),
        factor_map(model, f))
    }
    u
  })
  structure(stats::setNames(out, vapply(model$factors, `[[`, "", "name")),
    class = c("ranef.meanfield", "list"))
}

#' @export
print.ranef.meanfield <- function(x, ...) {
  for (g in names(x)) {
    cat("$", g, "\n", sep = "")
    out <- x[[g]]
    attr(out, "postVar") <- NULL
    print_table(out, row.names = TRUE, ...)
  }
  invisible(x)
}

#' @export
as.data.frame.ranef.meanfield <- function(x, row.names = NULL, optional = FALSE, ...) {
  known_dots("stringsAsFactors", ...)
  named_rows(row.names, do.call(rbind, lapply(names(x), function(g) {
    u <- x[[g]]
    v <- attr(u, "postVar")
    do.call(rbind, lapply(seq_along(u), function(k) {
      data.frame(grpvar = g, term = names(u)[k], grp = rownames(u), condval = u[[k]],
        condsd = if (is.null(v)) NA_real_ else sqrt(v[k, k, ]))
    }))
  })))
}

#' @rdname fixef.regression_fit
#' @export
coef.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  m <- moments(posterior_of(object))
  model <- object$model
  if (!length(model$factors)) return(m$beta)
  effects <- drop(user_effects(model, as.matrix(m$u)))
  out <- lapply(seq_along(model$factors), function(f) {
    x <- model$factors[[f]]
    u <- matrix(effects[effects_of(model, f)], ncol = length(x$coef), byrow = TRUE)
    plain <- plain_coef(x$coef)
    all <- union(names(m$beta), plain)
    co <- matrix(0, length(x$levels), length(all), dimnames = list(x$levels, all))
    co[, names(m$beta)] <- rep(m$beta, each = length(x$levels))
    for (k in seq_along(plain)) co[, plain[k]] <- co[, plain[k]] + u[, k]
    as.data.frame(co, check.names = FALSE)
  })
  stats::setNames(out, vapply(model$factors, `[[`, "", "name"))
}

#' Standard deviations of residuals and random effects
#'
#' `sigma()` is the posterior mean of the residual standard deviation. `VarCorr()`
#' returns that of every group term and, beside it, its posterior SD.
#'
#' @param object,x A fit.
#' @param sigma 1, as the generic has it: standard deviations are those of the fit.
#' @param ... Not used.
#' @return `sigma()`: one number. `VarCorr()`: a list of class `VarCorr.meanfield`,
#'   per group term a covariance matrix with attributes `stddev`, `sd_stddev` and
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
VarCorr.regression_fit <- function(x, sigma = 1, ...) {
  valid_fit(x)
  no_dots(...)
  if (!identical(as.double(sigma), 1)) {
    mf_abort("control", "`sigma` must be 1, not ", describe(sigma),
      ": the standard deviations are those of the fit", arg = "sigma")
  }
  s <- summary_table(x)
  table <- variable_table(x$model)
  pick <- function(names, what) s[[what]][match(names, s$variable)]
  out <- lapply(seq_along(x$model$groups), function(k) {
    t <- x$model$groups[[k]]
    sigma <- term_variables(table, k, "sigma")
    rho <- term_variables(table, k, "rho")
    r <- length(t$coef)
    sds <- pick(sigma, "mean")
    R <- diag(r)
    R[lower.tri(R)] <- pick(rho, "mean")
    R <- R + t(R) - diag(r)
    dn <- list(t$coef, t$coef)
    structure(matrix(R * tcrossprod(sds), r, r, dimnames = dn),
      stddev = stats::setNames(sds, t$coef),
      sd_stddev = stats::setNames(pick(sigma, "sd"), t$coef),
      correlation = matrix(R, r, r, dimnames = dn), sd_rho = pick(rho, "sd"))
  })
  names(out) <- make.unique(vapply(x$model$groups, `[[`, "", "group"))
  structure(out, sc = pick("sigma_e", "mean"), sd_sc = pick("sigma_e", "sd"),
    class = "VarCorr.meanfield")
}

#' @export
as.data.frame.VarCorr.meanfield <- function(x, row.names = NULL, optional = FALSE, ...) {
  known_dots("stringsAsFactors", ...)
  rows <- lapply(names(x), function(g) {
    v <- x[[g]]
    R <- attr(v, "correlation")
    pairs <- which(lower.tri(R), arr.ind = TRUE)
    own <- data.frame(grp = g, var1 = rownames(v), var2 = NA_character_, vcov = diag(v),
      sdcor = attr(v, "stddev"), sd_sdcor = attr(v, "sd_stddev"))
    if (!nrow(pairs)) return(own)
    rbind(own, data.frame(grp = g, var1 = rownames(v)[pairs[, 2L]],
      var2 = rownames(v)[pairs[, 1L]], vcov = v[pairs], sdcor = R[pairs],
      sd_sdcor = attr(v, "sd_rho")))
  })
  sc <- attr(x, "sc")
  residual <- if (!is.na(sc)) { # NA: a family without
    data.frame(grp = "Residual", var1 = NA_character_, var2 = NA_character_, vcov = sc^2,
      sdcor = sc, sd_sdcor = attr(x, "sd_sc"))
  }
  out <- do.call(rbind, c(rows, list(residual))) %||% no_variances()
  rownames(out) <- NULL
  named_rows(row.names, out)
}

no_variances <- function() {
  data.frame(grp = character(), var1 = character(), var2 = character(), vcov = numeric(),
    sdcor = numeric(), sd_sdcor = numeric())
}

#' @export
print.VarCorr.meanfield <- function(x, digits = 4, ...) {
  d <- as.data.frame(x)
  if (!nrow(d)) {
    cat("The model has no variances\n")
    return(invisible(x))
  }
  own <- d[is.na(d$var2), ]
  corr <- vapply(seq_len(nrow(own)), function(i) {
    rho <- d[!is.na(d$var2) & d$grp == own$grp[i] & d$var2 %in% own$var1[i], ]
    paste(sprintf("%.2f (%.2f)", rho$sdcor, rho$sd_sdcor), collapse = " ")
  }, "")
  out <- data.frame(Groups = ifelse(duplicated(own$grp), "", own$grp),
    Name = ifelse(is.na(own$var1), "", own$var1),
    Std.Dev. = format_numbers(own$sdcor, digits), `SD of it` = format_numbers(own$sd_sdcor, digits),
    Corr = corr, check.names = FALSE)
  if (all(corr == "")) out$Corr <- NULL
  print_table(out, ...)
  invisible(x)
}

#' @rdname VarCorr.regression_fit
#' @export
sigma.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  if (!has_sigma(object)) return(1)
  s <- summary_table(object)
  s$mean[s$variable == "sigma_e"]
}
