# Shares of variance: intraclass correlation, R2, singular fits.

#' Intraclass correlation and R2
#'
#' Posterior of the shares of variance that groups and predictors account for, from draws of the
#' fit. With f the variance of the fixed part over the rows, u the mean variance of the random
#' effects over the rows (sum of z'Sigma z, so slopes count) and e the residual variance of a row
#' of weight one: `icc` is u / (u + e), and per factor; `r2_marginal` is f / (f + u + e) and
#' `r2_conditional` is (f + u) / (f + u + e) (Nakagawa and Schielzeth, 2013).
#'
#' @param object A fit.
#' @param level Mass of the central interval.
#' @param ndraws Draws of a `vb_fit` or `exact_fit` (a `gibbs_fit` uses its own). They come from R's generator.
#' @param ... Not used.
#' @return Data frame with columns `variable`, `mean`, `sd` and the quantiles. `icc()` has the row
#'   `icc` and, with several factors, `icc[factor]`; `r2()` has `r2_marginal` and
#'   `r2_conditional`.
#' @references Nakagawa, S. and Schielzeth, H. (2013). *Methods in Ecology and Evolution* 4,
#'   133-142. Johnson, P. (2014), the same journal, 5, 944-946 (slopes).
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' icc(fit)
#' r2(fit)
#' @export
icc <- function(object, level = 0.95, ndraws = 4000, ...) {
  no_dots(...)
  v <- variance_draws(object, ndraws)
  if (!ncol(v$groups)) {
    mf_abort("groups", "the model has no group terms: there is no intraclass correlation",
      arg = "object")
  }
  total <- rowSums(v$groups)
  shares <- cbind(icc = total / (total + v$residual))
  if (ncol(v$groups) > 1L) {
    each <- v$groups / (total + v$residual)
    colnames(each) <- paste0("icc[", colnames(v$groups), "]")
    shares <- cbind(shares, each)
  }
  share_summary(shares, level)
}

#' @rdname icc
#' @export
r2 <- function(object, level = 0.95, ndraws = 4000, ...) {
  no_dots(...)
  v <- variance_draws(object, ndraws)
  groups <- rowSums(v$groups)
  total <- v$fixed + groups + v$residual
  share_summary(cbind(r2_marginal = v$fixed / total, r2_conditional = (v$fixed + groups) / total),
    level)
}

share_summary <- function(x, level) {
  probs <- c((1 - check_level(level)) / 2, (1 + level) / 2)
  out <- data.frame(variable = colnames(x), mean = colMeans(x), sd = apply(x, 2L, sd),
    t(apply(x, 2L, stats::quantile, probs, names = FALSE)))
  names(out)[4:5] <- quantile_names(level)
  new_summary(out)
}

# Draws of the variance of the fixed part, of each factor's effects (draws x factors) and of the
# residuals, averaged over the rows by the Gram.
variance_draws <- function(fit, ndraws) {
  if (!inherits(fit, "meanfield_fit")) {
    mf_abort("engine", "`object` must be a fit of this package", arg = "object")
  }
  model <- valid_fit(fit)$model
  gram <- model$gram
  d <- joint_draws(fit, if (!inherits(fit, "gibbs_fit")) ndraws, u = FALSE)
  x <- seq_along(model$x_names)
  cov_x <- gram$cross[x, x, drop = FALSE] / gram$sum_w
  groups <- matrix(0, nrow(d$tau), length(model$factors),
    dimnames = list(NULL, vapply(model$factors, `[[`, "", "name")))
  for (t in model$groups) {
    r <- length(gram$factors[[t$factor]]$coef)
    zz <- matrix(rowSums(matrix(gram$factors[[t$factor]]$zz, r * r)), r) / gram$sum_w
    groups[, t$factor] <- groups[, t$factor] +
      term_variance(d$tau[, term_stat_names(t), drop = FALSE], zz[t$cols, t$cols, drop = FALSE])
  }
  list(fixed = rowSums((d$beta %*% cov_x) * d$beta), groups = groups,
    residual = residual_variance(fit, d$tau))
}

# Of a row of weight one; of the binomial family that of the logistic distribution.
residual_variance <- function(fit, tau) {
  switch(fit$model$family$family, gaussian = 1 / tau[, 1L], binomial = rep(pi^2 / 3, nrow(tau)),
    mf_abort("family", "shares of variance are for the gaussian and binomial families",
      arg = "object"))
}

# tr(Lambda^-1 zz) for every draw of vech Lambda.
term_variance <- function(t, zz) {
  if (ncol(t) == 1L) return(drop(zz) / t[, 1L])
  apply(t, 1L, function(v) sum(solve(unvech(v)) * zz))
}

#' Does a variance lie at its boundary?
#'
#' A fit is called singular when, for some coefficient of a group term, the data leave fewer than
#' `tol` effective levels: sum over levels of (1 - posterior variance / prior variance)^2. Then
#' the variance is hardly told from zero.
#'
#' @param x A fit.
#' @param tol Effective levels below which a variance counts as at its boundary.
#' @param ... Not used.
#' @return `TRUE` or `FALSE`, with attribute `terms`, the precisions concerned.
#' @examples
#' isSingular(fit_vb(log_radon ~ floor + (1 | county), data = radon))
#' @export
isSingular <- function(x, tol = 2, ...) UseMethod("isSingular")

#' @export
isSingular.default <- function(x, tol = 1e-4, ...) {
  foreign_generic("isSingular", "lme4")(x, tol)
}

#' @export
isSingular.vb_fit <- function(x, tol = 2, ...) {
  valid_fit(x)
  tol <- check_number(tol, "tol", 0, strict = TRUE)
  low <- vapply(seq_along(x$model$groups), function(k) any(effective_levels(x, k) < tol), NA)
  structure(any(low), terms = utils::tail(precision_names(x$model), length(x$model$groups))[low])
}

#' @export
isSingular.gibbs_fit <- function(x, tol = 2, ...) isSingular(fit_vb(x, integrate = "no"), tol)

#' @export
isSingular.exact_fit <- isSingular.gibbs_fit
