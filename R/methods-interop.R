# Methods for the generics of packages that need not be installed; zzz.R and
# NAMESPACE register them when those packages are loaded. Methods that only these packages call
# (recover_data, emm_basis, get_*, find_*) do not check `...`: what is passed on in it changes from
# version to version.

#' @exportS3Method bayesplot::pp_check
pp_check.regression_fit <- function(object, type = "dens_overlay", draws = 50, ...) {
  valid_fit(object)
  fun <- getExportedValue("bayesplot", paste0("ppc_", sub("^ppc_", "", type)))
  known_dots(names(formals(fun)), ...)
  yrep <- posterior_predict.regression_fit(object, draws = draws)
  y <- fitted_response(object)
  known <- !is.na(y) & colSums(is.na(yrep)) == 0L # no responses of rows without weight
  fun(y[known], yrep[, known, drop = FALSE], ...)
}

#' @exportS3Method loo::loo
loo.regression_fit <- function(x, draws = NULL, ...) {
  valid_fit(x)
  known_dots(c("cores", "save_psis", "is_method"), ...)
  ll <- log_lik.regression_fit(x, draws = draws)
  if (!all(is.finite(ll))) {
    mf_abort("nonfinite", "the log likelihood is not finite at some draws of the posterior, ",
      "which is very wide: use tighter `prior`s", arg = "x")
  }
  r_eff <- if (inherits(x, "gibbs_fit") && is.null(draws)) {
    chain <- rep(seq_len(x$chains), each = dim(x$draws)[1L])
    loo::relative_eff(exp(ll), chain_id = chain)
  } else {
    rep(1, ncol(ll))
  }
  loo::loo(ll, r_eff = r_eff, ...)
}

#' @exportS3Method emmeans::recover_data
recover_data.regression_fit <- function(object, data = NULL, ...) {
  valid_fit(object)
  call <- object$call
  if (is.null(data) && object$model$source == "gram") kept_frame(object$model)
  emmeans::recover_data(call, stats::delete.response(object$model$terms),
    object$model$na_action, data = data, frame = object$model$frame, ...)
}

#' @exportS3Method emmeans::emm_basis
emm_basis.regression_fit <- function(object, trms, xlev, grid, ...) {
  valid_fit(object)
  # names in backticks are "no factors" to model.frame()
  m <- suppressWarnings(stats::model.frame(trms, grid, na.action = stats::na.pass, xlev = xlev))
  X <- stats::model.matrix(trms, m, contrasts.arg = object$model$contrasts)
  list(X = X, bhat = fixef.regression_fit(object), nbasis = matrix(NA), V = vcov(object),
    dffun = function(k, dfargs) Inf, dfargs = list(), misc = link_labels(object$model$family))
}

# What emmeans wants to know for type = "response"; the labels are its own (.std.link.labels()).
link_labels <- function(family) {
  if (family$link == "identity") return(list())
  list(tran = family$link,
    inv.lbl = family_of(family)$mean_label)
}

#' @exportS3Method marginaleffects::get_coef
get_coef.regression_fit <- function(model, ...) fixef.regression_fit(model)

#' @exportS3Method marginaleffects::get_vcov
get_vcov.regression_fit <- function(model, ...) vcov(model)

#' @exportS3Method marginaleffects::set_coef
set_coef.regression_fit <- function(model, coefs, ...) {
  valid_fit(model)
  structure(list(fit = model, beta = coefs), class = c("meanfield_shifted", class(model)))
}

# Of the population, a function of the coefficients alone, so that the delta method reaches it.
#' @exportS3Method marginaleffects::get_predict
get_predict.regression_fit <- function(model, newdata, type = "response", ...) {
  type <- check_choice(type %||% "response", c("response", "link"), "type")
  shifted <- inherits(model, "meanfield_shifted")
  fit <- valid_fit(if (shifted) model$fit else model)
  parts <- linear_parts(fit, newdata, NA, TRUE)
  p <- drop(parts$X %*% (if (shifted) model$beta else fixef.regression_fit(fit))) + parts$offset
  if (type == "response") p <- fit$model$family$linkinv(p)
  data.frame(rowid = seq_along(p), estimate = unname(p))
}

#' Components of a fit by lme4's names
#'
#' For [lme4::getME()], and for the functions of lme4 that call it, such as `lme4::isSingular()`.
#'
#' @param object A fit.
#' @param name One or more of `"X"`, `"y"`, `"mu"`, `"offset"`, `"beta"`, `"fixef"`, `"b"`,
#'   `"sigma"`, `"theta"`, `"lower"`, `"cnms"`, `"flist"`, `"n"`, `"p"`, `"q"`, `"n_rtrms"`,
#'   `"n_rfacs"`, `"l_i"`.
#' @param ... Not used.
#' @return The component, or a named list of several. `theta` holds, term by term, the lower
#'   triangle of the Cholesky factor of the group covariance (posterior mean SDs and correlations)
#'   over the residual SD. A posterior mean is never zero: the diagonal element of a coefficient
#'   whose variance [isSingular()] finds at its boundary is set to zero, so that lme4's
#'   `isSingular()` agrees.
#' @exportS3Method lme4::getME
getME.regression_fit <- function(object, name, ...) {
  valid_fit(object)
  no_dots(...)
  parts <- lme4_components(object)
  if (!is.character(name) || !length(name) || !all(name %in% names(parts))) {
    mf_abort("control", "`name` must be among ", toString(names(parts)), ", not ",
      toString(setdiff(as.character(name), names(parts))), arg = "name")
  }
  if (length(name) > 1L) return(lapply(stats::setNames(nm = name), function(n) parts[[n]]()))
  parts[[name]]()
}

lme4_components <- function(object) {
  model <- object$model
  levels <- vapply(model$factors, function(f) length(f$levels), 0L)
  list(
    X = function() model.matrix(object), y = function() frame_response(model.frame(object)),
    mu = function() fitted(object), offset = function() linear_parts(object, NULL, NA, TRUE)$offset,
    beta = function() unname(fixef(object)), fixef = function() fixef(object),
    b = function() c(user_effects(model, as.matrix(moments(posterior_of(object))$u))),
    sigma = function() sigma(object),
    theta = function() relative_cholesky(object), lower = function() theta_lower(model),
    cnms = function() stats::setNames(lapply(model$groups, `[[`, "coef"), term_groups(model)),
    flist = function() group_factors(object), n = function() nobs(object),
    p = function() length(model$x_names), q = function() model$layout$dim$effects,
    n_rtrms = function() length(model$groups), n_rfacs = function() length(model$factors),
    l_i = function() stats::setNames(levels, vapply(model$factors, `[[`, "", "name"))
  )
}

term_groups <- function(model) vapply(model$groups, `[[`, "", "group")

relative_cholesky <- function(fit) {
  v <- VarCorr(fit)
  low <- boundary_coefficients(fit)
  s <- sigma(fit)
  out <- lapply(seq_along(v), function(k) {
    L <- t(chol(v[[k]][, , drop = FALSE])) / s
    diag(L)[low[[k]]] <- 0
    L[lower.tri(L, diag = TRUE)]
  })
  names <- lapply(fit$model$groups, theta_names)
  stats::setNames(as.double(unlist(out)), unlist(names))
}

# "g.(Intercept)", "g.x.(Intercept)", "g.x", as lme4 has them.
theta_names <- function(t) {
  pairs <- lower_pairs(length(t$coef))
  paste0(t$group, ".", ifelse(pairs$row == pairs$col, t$coef[pairs$row],
    paste0(t$coef[pairs$row], ".", t$coef[pairs$col])))
}

theta_lower <- function(model) {
  as.double(unlist(lapply(model$groups, function(t) {
    pairs <- lower_pairs(length(t$coef))
    ifelse(pairs$row == pairs$col, 0, -Inf)
  })))
}

# The grouping factors of the fit's rows.
group_factors <- function(fit) {
  groups <- linear_parts(fit, NULL, NULL, TRUE)$groups
  out <- lapply(groups, function(g) {
    structure(g$code, levels = fit$model$factors[[g$factor]]$levels, class = "factor")
  })
  names(out) <- vapply(fit$model$factors, `[[`, "", "name")
  list2DF(out)
}
