# Predictions: means and variances of x'beta + u_g, and draws of it.

#' Predictions
#'
#' @param object A fit.
#' @param newdata Data frame; the data of the fit by default.
#' @param re.form Which random effects to include: `NULL`, all; `NA` or `~0`, none; or, as in lme4,
#'   a formula with some of the group terms or of their coefficients: `~ (1 | g)` includes the
#'   intercepts of a fit with `(x | g)`, not the slopes. The other effects are zero, in the
#'   variance too.
#' @param interval `"none"`; `"confidence"` for the mean; `"prediction"` for a new
#'   response of weight `weights`.
#' @param level Mass of the central interval.
#' @param allow_new_levels Accept group levels that the fit has not seen? Their effect
#'   has mean zero and the *full* variance of the group distribution, in every interval. So has
#'   that of a level whose rows all had weight zero (or no trials), which needs no permission: the
#'   fit knew that it was there, and nothing else of it.
#' @param se.fit Return the standard deviations too?
#' @param weights Positive precision weights of the new responses.
#' @param type `"link"`: the linear predictor (as [lme4::predict.merMod()] has it). `"response"`:
#'   the posterior mean of the expected response (a probability or a count); its intervals are those
#'   of the linear predictor carried over, and with `interval = "prediction"` quantiles of a new
#'   response (for the binomial family, of the proportion among `weights` trials; by default those
#'   of the row, see [simulate.regression_fit()] for new data). The same for the Gaussian family.
#'   All limits are quantiles of the fit's own posterior, which is no normal one where the
#'   precisions are integrated or drawn. The expected count of a level not seen has no mean over
#'   all that the
#'   groups' variance may be: it is taken at the mean of their covariance.
#' @param budget Return where the variance of a new response comes from instead: a data frame with
#'   `fit`, the variances `fixed` (coefficients), `group` (random effects and their covariance with
#'   the coefficients, so it may be negative) and `residual`, and the total `sd`.
#' @param ... Not used.
#' @return A numeric vector; with `interval`, a matrix with columns `fit`, `lwr`,
#'   `upr`; with `se.fit = TRUE`, a list with `fit` (either of these) and `se.fit`.
#'   Rows of the fit's own data with missing values come back as `NA` under
#'   `na.action = na.exclude`.
#' @section Errors: `meanfield_error_newdata` for missing variables, unknown levels of
#'   a factor or of the group (without `allow_new_levels`); `meanfield_error_control`.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' new <- data.frame(floor = 0:1, county = c("Aitkin", "a new county"))
#' predict(fit, new, interval = "prediction", allow_new_levels = TRUE)
#' @export
predict.regression_fit <- function(object, newdata = NULL, re.form = NULL,
                                  interval = c("none", "confidence", "prediction"),
                                  level = 0.95, allow_new_levels = FALSE, se.fit = FALSE,
                                  weights = NULL, type = c("link", "response"),
                                  budget = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  check_flag(budget, "budget")
  type <- check_choice(type, c("link", "response"), "type")
  interval <- check_choice(interval, c("none", "confidence", "prediction"), "interval")
  check_flag(se.fit, "se.fit")
  parts <- linear_parts(object, newdata, re.form, allow_new_levels, weights)
  check_prediction(object, type, interval, budget)
  linear <- type == "link" || has_identity_link(object)
  eta <- if (linear) linear_mean(parts, moments(posterior_of(object)), object$model)
  if (budget) return(variance_budget(object, parts, eta))
  if (linear && interval == "none" && !se.fit) return(parts$restore(eta))
  if (interval == "prediction") parts$size <- response_size(object, newdata, weights, nrow(parts$X))
  band <- prediction_band(object, parts, linear, interval, central_probs(check_level(level)))
  prediction_value(parts, eta %||% band[, 1L], band[, 2L], band[, -(1:2), drop = FALSE], se.fit)
}

# Where the variance of a new response comes from: the coefficients, the groups' effects given
# them (with their covariance; all of it for a level not seen), the residual.
variance_budget <- function(object, parts, fit) {
  p <- posterior_of(object)
  m <- moments(p)
  fixed <- rowSums((parts$X %*% m$cov_beta) * parts$X)
  out <- data.frame(
    fit = fit, fixed = fixed, group = linear_variance(p, parts) - fixed,
    residual = m$sigma2_e / ifelse(parts$w > 0, parts$w, NA)
  )
  out$sd <- sqrt(out$fixed + out$group + out$residual)
  rownames(out) <- make.unique(rownames(parts$X))
  out
}

#' Fitted values and residuals
#'
#' `fitted()` is the posterior mean of the linear predictor, random effects included;
#' `residuals()` is the response minus that, or times the root of the row weight
#' (`type = "pearson"`). For other families than the Gaussian, `fitted()` is the posterior mean of
#' the expected response, and Pearson residuals are over its standard deviation. Deviance residuals
#' are the signed roots of the unit deviances times the weights.
#'
#' @param object A fit.
#' @param type `"response"`, `"pearson"` or `"deviance"`.
#' @param ... Not used.
#' @return Numeric vectors as [stats::lm()] gives them, `NA` where `na.exclude` left a
#'   row out.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' head(residuals(fit))
#' @export
fitted.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  predict(object, type = "response")
}

#' @rdname fitted.regression_fit
#' @export
residuals.regression_fit <- function(object, type = c("response", "pearson", "deviance"), ...) {
  valid_fit(object)
  no_dots(...)
  type <- check_choice(type, c("response", "pearson", "deviance"), "type")
  parts <- linear_parts(object, NULL, NULL, TRUE)
  parts$restore(residual_values(object, parts, type))
}
