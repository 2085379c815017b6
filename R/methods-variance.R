# Shares of variance: intraclass correlation, R2, singular fits.

#' Intraclass correlation and R2
#'
#' Posterior of the shares of variance that groups and predictors account for, from draws of the
#' fit. With f the variance of the fixed part over the rows (without offsets), u the mean variance
#' of the random effects over the rows (sum of z'Sigma z, so slopes count) and e the residual
#' variance: `icc` is u / (u + e), and per factor; `r2_marginal` is f / (f + u + e) and
#' `r2_conditional` is (f + u) / (f + u + e) (Nakagawa and Schielzeth, 2013).
#'
#' The residual variance e is that of a row of weight one. For other families than the Gaussian it
#' is the one on the scale of the link (Nakagawa, Johnson and Schielzeth, 2017): of the binomial
#' family pi^2 / 3, the variance of the logistic distribution (the share of a latent trial,
#' whatever the number of trials of a row); of counts the log-normal approximation, log(1 + 1 / m)
#' for Poisson and log(1 + 1 / m + 1 / phi) for negative binomial responses, with m the mean of all
#' counts, so that an offset counts through them, however it is spelled.
#'
#' Both are generics: for other objects than fits of this package they call the functions of these
#' names in the performance package. `performance::icc()` of a fit divides posterior means of the
#' variances, `performance::r2()` is this method.
#'
#' @param object A fit.
#' @param level Mass of the central interval.
#' @param ndraws Draws of a `vb_fit` or `exact_fit` (a `gibbs_fit` uses its own). They come from
#'   R's generator.
#' @param ... Not used.
#' @return Data frame with columns `variable`, `mean`, `sd` and the quantiles. `icc()` has the row
#'   `icc` and, with several factors, `icc[factor]`; `r2()` has `r2_marginal` and
#'   `r2_conditional`.
#' @references Nakagawa, S. and Schielzeth, H. (2013). *Methods in Ecology and Evolution* 4,
#'   133-142. Johnson, P. (2014), the same journal, 5, 944-946 (slopes). Nakagawa, S., Johnson, P.
#'   and Schielzeth, H. (2017). *Journal of the Royal Society Interface* 14, 20170213 (counts).
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' icc(fit)
#' r2(fit)
#' @export
icc <- function(object, ...) UseMethod("icc")

#' @export
icc.default <- function(object, ...) ask_performance("icc", object, ...)

#' @rdname icc
#' @export
icc.regression_fit <- function(object, level = 0.95, ndraws = 4000, ...) {
  valid_fit(object)
  no_dots(...)
  if (!length(object$model$groups)) {
    mf_abort("groups", "the model has no group terms: there is no intraclass correlation",
      arg = "object")
  }
  v <- variance_draws(object, ndraws)
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
r2 <- function(object, ...) UseMethod("r2")

#' @export
r2.default <- function(object, ...) ask_performance("r2", object, ...)

#' @rdname icc
#' @rawNamespace S3method(performance::r2, regression_fit)
#' @export
r2.regression_fit <- function(object, level = 0.95, ndraws = 4000, ...) {
  valid_fit(object)
  no_dots(...)
  v <- variance_draws(object, ndraws)
  groups <- rowSums(v$groups)
  total <- v$fixed + groups + v$residual
  share_summary(cbind(r2_marginal = v$fixed / total, r2_conditional = (v$fixed + groups) / total),
    level)
}

share_summary <- function(x, level) {
  probs <- central_probs(check_level(level))
  out <- data.frame(variable = colnames(x), mean = colMeans(x), sd = apply(x, 2L, sd),
    t(apply(x, 2L, stats::quantile, probs, names = FALSE)))
  names(out)[4:5] <- quantile_names(level)
  new_summary(out)
}

# Draws of the variance of the fixed part, of each factor's effects (draws x factors) and of the
# residuals, averaged over the rows by the Gram.
variance_draws <- function(fit, ndraws) {
  model <- valid_fit(fit)$model
  p <- posterior_of(fit)
  d <- joint_draws(p, if (!inherits(p, "draws_posterior")) ndraws, u = FALSE)
  groups <- matrix(0, nrow(d$tau), length(model$factors),
    dimnames = list(NULL, vapply(model$factors, `[[`, "", "name")))
  for (t in model$groups) {
    groups[, t$factor] <- groups[, t$factor] +
      term_variance(d$tau[, term_stat_names(t), drop = FALSE], mean_covariates(model$gram, t))
  }
  cov_x <- predictor_covariance(model$gram)
  list(fixed = rowSums((d$beta %*% cov_x) * d$beta), groups = groups,
    residual = residual_variance(fit, d$tau[, seq_len(n_lead(model)), drop = FALSE]))
}

# Their posterior means: fixed, terms (a covariance matrix each, as mean over the rows), residual.
variance_means <- function(fit) {
  model <- fit$model
  p <- posterior_of(fit)
  m <- moments(p)
  lead <- if (has_sigma(fit)) 1 / m$sigma2_e else dispersion_mean(fit)
  list(
    fixed = sum(predictor_covariance(model$gram) * (tcrossprod(m$beta) + m$cov_beta)),
    terms = lapply(seq_along(model$groups), function(k) {
      sum(group_covariance(p, k) * mean_covariates(model$gram, model$groups[[k]]))
    }),
    residual = residual_variance(fit, matrix(lead %||% NA, 1L))
  )
}

# Of the columns as written.
predictor_covariance <- function(gram) {
  x <- seq_along(gram$x_names)
  cov <- gram$cross[x, x, drop = FALSE] / gram$sum_w
  if (is_identity(gram$basis)) return(cov)
  B <- invert_map(gram$basis)
  crossprod(B, cov %*% B)
}

# Mean over the rows of zz' for the working covariates of a group term.
mean_covariates <- function(gram, t) {
  zz <- gram$factors[[t$factor]]$zz
  r <- length(gram$factors[[t$factor]]$coef)
  matrix(rowSums(matrix(zz, r * r)), r)[t$cols, t$cols, drop = FALSE] / gram$sum_w
}

# Of a row of weight one, on the scale of the link. lead: draws of tau_e, or of phi. The mean is
# taken where the family asks for it only, which needs the rows.
residual_variance <- function(fit, lead) {
  rep_len(family_of(fit)$link_variance(if (n_lead(fit$model)) lead[, 1L], mean_response(fit)),
    nrow(lead))
}

mean_response <- function(fit) {
  r <- fit_response(fit)
  sum(r$size * r$y) / sum(r$size)
}

# tr(Lambda^-1 zz) for every draw of vech Lambda.
term_variance <- function(t, zz) {
  if (ncol(t) == 1L) return(drop(zz) / t[, 1L])
  apply(t, 1L, function(v) sum(solve_spd(unvech(v)) * zz))
}

#' Does a variance lie at its boundary?
#'
#' A fit is called singular when, for some coefficient of a group term, the data leave fewer than
#' `tol` effective levels: sum over levels of (1 - posterior variance / prior variance)^2. Then
#' the variance is hardly told from zero.
#'
#' The function of this name in lme4, attached later, gives the same answer for a fit: `getME(fit,
#' "theta")` is zero there (see [getME.regression_fit()]).
#'
#' @param x A fit; for other objects this is the function of lme4.
#' @param tol Effective levels below which a variance counts as at its boundary.
#' @param ... Not used.
#' @return `TRUE` or `FALSE`, with attribute `terms`, the precisions concerned.
#' @examples
#' isSingular(fit_vb(log_radon ~ floor + (1 | county), data = radon))
#' @export
isSingular <- function(x, tol = 2, ...) UseMethod("isSingular")

#' @export
isSingular.default <- function(x, tol = 1e-4, ...) {
  call_foreign("isSingular", "lme4", x, tol, ...)
}

#' @rdname isSingular
#' @export
isSingular.regression_fit <- function(x, tol = 2, ...) {
  valid_fit(x)
  no_dots(...)
  low <- vapply(boundary_coefficients(x, tol), any, NA)
  structure(any(low), terms = utils::tail(precision_names(x$model), length(x$model$groups))[low])
}

# For each group term, which of its coefficients have a variance at the boundary.
boundary_coefficients <- function(fit, tol = 2) {
  tol <- check_number(tol, "tol", 0, strict = TRUE)
  p <- normal_of(fit) %||% normal_of(fit_vb(fit, integrate = "no"))
  lapply(seq_along(fit$model$groups), function(k) effective_levels(p, k) < tol)
}
