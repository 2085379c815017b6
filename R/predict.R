# Predictions: means and variances of x'beta + u_g, and draws of it.

#' Predictions
#'
#' @param object A fit.
#' @param newdata Data frame; the data of the fit by default.
#' @param re.form `NULL` (or the group term as a formula): include the random
#'   effects. `NA` or `~0`: leave them out.
#' @param interval `"none"`; `"confidence"` for the mean; `"prediction"` for a new
#'   response of weight `weights`.
#' @param level Mass of the central interval.
#' @param allow_new_levels Accept group levels that the fit has not seen? Their effect
#'   has mean zero and the *full* variance of the group distribution, in every interval.
#' @param se.fit Return the standard deviations too?
#' @param weights Positive precision weights of the new responses.
#' @param type Not used: the link is the identity.
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
predict.meanfield_fit <- function(object, newdata = NULL, re.form = NULL,
                                  interval = c("none", "confidence", "prediction"),
                                  level = 0.95, allow_new_levels = FALSE, se.fit = FALSE,
                                  weights = NULL, type = c("response", "link"), ...) {
  no_dots(...)
  check_choice(type, c("response", "link"), "type")
  interval <- check_choice(interval, c("none", "confidence", "prediction"), "interval")
  check_flag(se.fit, "se.fit")
  parts <- linear_parts(object, newdata, re.form, allow_new_levels, weights)
  m <- moments(object)
  fit <- linear_mean(parts, m)
  if (interval == "none" && !se.fit) return(parts$restore(fit))
  v <- linear_variance(parts, m, object)
  # a row of weight zero has no response to predict
  if (interval == "prediction") v <- v + m$inv_tau[["tau_e"]] / ifelse(parts$w > 0, parts$w, NA)
  se <- sqrt(v)
  out <- fit
  if (interval != "none") {
    z <- qnorm((1 + check_level(level)) / 2)
    out <- cbind(fit = fit, lwr = fit - z * se, upr = fit + z * se)
  }
  if (se.fit) list(fit = parts$restore(out), se.fit = parts$restore(se)) else parts$restore(out)
}

# The pieces of the linear predictor:
#   X, offset, w; code: group index, NA for a level the fit has not seen, or NULL when
#   random effects are left out; new: labels of unseen levels; restore(): puts the
#   rows that na.exclude removed back.
linear_parts <- function(fit, newdata, re.form, allow_new_levels, weights = NULL) {
  model <- fit$model
  use_group <- use_random_effects(model, re.form)
  frame <- if (is.null(newdata)) model.frame(fit) else new_frame(model, newdata, use_group)
  X <- stats::model.matrix(stats::delete.response(model$terms), frame,
    contrasts.arg = model$contrasts)
  w <- weights %||% if (is.null(newdata) && model$weighted) stats::model.weights(frame) else 1
  if (!is.null(weights)) check_new_weights(w, nrow(X))
  group <- if (use_group) match_groups(model, frame, allow_new_levels || is.null(newdata))
  list(
    X = X, offset = linear_offset(fit, frame, newdata, nrow(X)),
    w = rep_len(w, nrow(X)), code = group$code, new = group$new,
    restore = function(v) {
      if (!is.null(newdata)) return(set_names(v, rownames(X)))
      stats::naresid(model$na_action, set_names(v, rownames(X)))
    }
  )
}

set_names <- function(v, names) {
  if (is.matrix(v)) rownames(v) <- names else names(v) <- names
  v
}

check_new_weights <- function(w, n) {
  if (!is.numeric(w) || any(!is.finite(w)) || any(w <= 0) || !length(w) %in% c(1L, n)) {
    mf_abort("weights", "`weights` must be one positive number or one per row",
      arg = "weights")
  }
}

use_random_effects <- function(model, re.form) {
  if (is.null(model$group)) return(FALSE)
  if (is.null(re.form)) return(TRUE)
  if (length(re.form) == 1L && is.atomic(re.form) && is.na(re.form)) return(FALSE)
  if (inherits(re.form, "formula")) {
    rhs <- re.form[[length(re.form)]]
    if (identical(rhs, 0)) return(FALSE)
    bars <- reformulas::findbars(re.form)
    if (length(bars) == 1L && identical(deparse1(bars[[1L]][[3L]]), model$group$name)) {
      return(TRUE)
    }
  }
  mf_abort("control", "`re.form` must be NULL, NA, ~0 or ~(1 | ", model$group$name, ")",
    arg = "re.form")
}

# The model frame of new data: predictors with the factor levels and the poly(), ns()
# and scale() parameters of the fit, and the grouping variables.
new_frame <- function(model, newdata, use_group) {
  if (!is.data.frame(newdata)) {
    mf_abort("newdata", "`newdata` must be a data frame, not ", describe(newdata),
      arg = "newdata")
  }
  tt <- stats::delete.response(model$terms)
  vars <- all.vars(tt)
  if (use_group) vars <- c(vars, all.vars(model$group$expr))
  check_variables(vars, newdata, environment(model$formula))
  frame <- tryCatch(
    {
      frame <- stats::model.frame(tt, newdata, na.action = stats::na.pass, xlev = model$xlevels)
      stats::.checkMFClasses(attr(tt, "dataClasses"), frame)
      frame
    },
    error = function(e) {
      mf_abort("newdata", "`newdata` does not fit the model: ", conditionMessage(e),
        arg = "newdata")
    }
  )
  terms <- attr(frame, "terms")
  if (use_group) {
    for (v in all.vars(model$group$expr)) {
      frame[[v]] <- eval(as.name(v), newdata, environment(model$formula))
    }
  }
  attr(frame, "terms") <- terms
  frame
}

# Every variable comes from newdata; only constants may come from where the formula was
# written, never a vector that happens to have the same name.
check_variables <- function(vars, newdata, env) {
  constant <- function(v) {
    x <- get0(v, env, mode = "numeric")
    !is.null(x) && length(x) == 1L
  }
  missing <- setdiff(vars, names(newdata))
  missing <- missing[!vapply(missing, constant, NA)]
  if (length(missing)) {
    mf_abort("newdata", "`newdata` lacks the variables ", toString(missing), arg = "newdata")
  }
}

# offset() terms of the formula and the offset argument of the call, as lm() adds them.
linear_offset <- function(fit, frame, newdata, n) {
  offset <- stats::model.offset(frame)
  if (!is.null(newdata) && !is.null(fit$call$offset)) {
    extra <- tryCatch(
      eval(fit$call$offset, newdata, environment(fit$model$formula)),
      error = function(e) {
        mf_abort("newdata", "the `offset` of the fit cannot be evaluated in `newdata`: ",
          conditionMessage(e), arg = "newdata")
      }
    )
    if (!is.numeric(extra) || length(extra) != n) {
      mf_abort("newdata", "the `offset` of the fit does not have one value per row of ",
        "`newdata`: use an offset() term in the formula", arg = "newdata")
    }
    offset <- (offset %||% 0) + extra
  }
  offset %||% rep(0, n)
}

match_groups <- function(model, frame, allow_new) {
  expr <- model$group$expr
  values <- group_values(expr, frame, environment(model$formula))
  levels <- if (is.function(values$levels)) {
    values$levels(seq_len(values$n_levels))
  } else {
    values$levels
  }
  code <- match(levels, model$group$levels)[values$codes]
  new <- ifelse(is.na(code), levels[values$codes], NA_character_)
  if (!allow_new && anyNA(code)) {
    unseen <- unique(new[is.na(code)])
    mf_abort("newdata", "`newdata` has levels of '", model$group$name,
      "' that the fit has not seen (", toString(utils::head(unseen, 5)),
      "): use allow_new_levels = TRUE, or re.form = NA", arg = "newdata")
  }
  list(code = code, new = new)
}

linear_mean <- function(parts, m) {
  eta <- drop(parts$X %*% m$beta) + parts$offset
  if (is.null(parts$code)) return(eta)
  u <- m$u[parts$code]
  eta + ifelse(is.na(u), 0, u)
}

# Var(x'beta + u_g) = x'Vx + 2 x'Cov(beta, u_g) + Var(u_g); a new level adds
# E[1 / tau_u] instead.
linear_variance <- function(parts, m, fit) {
  v <- rowSums((parts$X %*% m$cov_beta) * parts$X)
  if (is.null(parts$code)) return(v)
  if (is.null(m$cov_bu)) {
    mf_abort("engine", "intervals with random effects need their draws: refit with ",
      "save_u = TRUE, or use re.form = NA", arg = "re.form")
  }
  seen <- !is.na(parts$code)
  code <- parts$code[seen]
  v[seen] <- v[seen] + m$var_u[code] +
    2 * rowSums(parts$X[seen, , drop = FALSE] * t(m$cov_bu[, code, drop = FALSE]))
  v[!seen] <- v[!seen] + m$inv_tau[[2L]]
  pmax(v, 0)
}

#' Fitted values and residuals
#'
#' `fitted()` is the posterior mean of the linear predictor, random effects included;
#' `residuals()` is the response minus that, or times the root of the row weight
#' (`type = "pearson"`).
#'
#' @param object A fit.
#' @param type `"response"` or `"pearson"`.
#' @param ... Not used.
#' @return Numeric vectors as [stats::lm()] gives them, `NA` where `na.exclude` left a
#'   row out.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' head(residuals(fit))
#' @export
fitted.meanfield_fit <- function(object, ...) {
  no_dots(...)
  predict(object)
}

#' @rdname fitted.meanfield_fit
#' @export
residuals.meanfield_fit <- function(object, type = c("response", "pearson"), ...) {
  type <- check_choice(type, c("response", "pearson"), "type")
  frame <- model.frame(object)
  parts <- linear_parts(object, NULL, NULL, TRUE)
  res <- frame_response(frame) - linear_mean(parts, moments(object))
  if (type == "pearson") res <- res * sqrt(parts$w)
  parts$restore(res)
}

# ---- draws of the linear predictor --------------------------------------------------

# ndraws x rows matrix of x'beta + u_g; an unseen level gets one effect per draw from
# the group distribution.
linpred_draws <- function(fit, newdata, draws, re.form, allow_new_levels) {
  parts <- linear_parts(fit, newdata, re.form, allow_new_levels)
  d <- joint_draws(fit, draws, u = !is.null(parts$code))
  check_size(nrow(d$beta), nrow(parts$X))
  eta <- d$beta %*% t(parts$X)
  eta <- eta + rep(parts$offset, each = nrow(eta))
  if (!is.null(parts$code)) {
    seen <- !is.na(parts$code)
    eta[, seen] <- eta[, seen] + d$u[, parts$code[seen], drop = FALSE]
    sd_u <- 1 / sqrt(d$tau[, 2L])
    for (level in unique(parts$new[!seen])) {
      at <- which(!seen & parts$new %in% level)
      eta[, at] <- eta[, at] + sd_u * stats::rnorm(nrow(eta))
    }
  }
  colnames(eta) <- rownames(parts$X)
  list(eta = eta, sigma = 1 / sqrt(d$tau[, 1L]), w = parts$w)
}

check_size <- function(ndraws, n) {
  if (as.double(ndraws) * n >= 2^31) {
    mf_abort("size", format(ndraws * as.double(n), big.mark = ","),
      " numbers are more than 2^31 - 1: use fewer `draws` or rows", arg = "draws")
  }
}

#' Posterior predictions, simulation and pointwise log likelihood
#'
#' Methods for the generics of rstantools (attach it, or call them with
#' `rstantools::`), so that bayesplot's `pp_check()` and `loo::loo()` work on both
#' kinds of fit. Draws of a `vb_fit` are from the corrected joint normal on (beta, u,
#' log tau), see [as_draws.vb_fit()].
#'
#' @param object A fit.
#' @param newdata,re.form,allow_new_levels As in [predict.meanfield_fit()].
#' @param transform Not used: the link is the identity.
#' @param draws Number of draws; default 4,000 for a `vb_fit` and all for a
#'   `gibbs_fit`.
#' @param nsim,seed Number of simulated responses, and a seed to set first.
#' @param ... Not used.
#' @return `posterior_linpred()`, `posterior_epred()`, `posterior_predict()` and
#'   `log_lik()`: matrix, draws x rows. `simulate()`: data frame, rows x `nsim`.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' head(simulate(fit, 2))
#' if (requireNamespace("rstantools", quietly = TRUE)) {
#'   dim(rstantools::posterior_predict(fit, newdata = radon[1:3, ], draws = 100))
#' }
#' @name posterior-draws
NULL

#' @rdname posterior-draws
#' @exportS3Method rstantools::posterior_linpred
posterior_linpred.meanfield_fit <- function(object, transform = FALSE, newdata = NULL,
                                            draws = NULL, re.form = NULL,
                                            allow_new_levels = FALSE, ...) {
  no_dots(...)
  linpred_draws(object, newdata, draws, re.form, allow_new_levels)$eta
}

#' @rdname posterior-draws
#' @exportS3Method rstantools::posterior_epred
posterior_epred.meanfield_fit <- function(object, newdata = NULL, draws = NULL, re.form = NULL,
                                          allow_new_levels = FALSE, ...) {
  no_dots(...)
  linpred_draws(object, newdata, draws, re.form, allow_new_levels)$eta
}

#' @rdname posterior-draws
#' @exportS3Method rstantools::posterior_predict
posterior_predict.meanfield_fit <- function(object, newdata = NULL, draws = NULL,
                                            re.form = NULL, allow_new_levels = FALSE, ...) {
  no_dots(...)
  d <- linpred_draws(object, newdata, draws, re.form, allow_new_levels)
  w <- ifelse(d$w > 0, d$w, NA)
  noise <- stats::rnorm(length(d$eta)) * rep(1 / sqrt(w), each = nrow(d$eta))
  d$eta + d$sigma * noise
}

#' @rdname posterior-draws
#' @exportS3Method rstantools::log_lik
log_lik.meanfield_fit <- function(object, newdata = NULL, draws = NULL, re.form = NULL,
                                  allow_new_levels = FALSE, ...) {
  no_dots(...)
  d <- linpred_draws(object, newdata, draws, re.form, allow_new_levels)
  frame <- if (is.null(newdata)) model.frame(object) else newdata
  y <- if (is.null(newdata)) frame_response(frame) else new_response(object$model, newdata)
  scale <- d$sigma %o% (1 / sqrt(d$w))
  out <- stats::dnorm(rep(y, each = nrow(d$eta)), d$eta, scale, log = TRUE)
  used <- d$w > 0
  matrix(out, nrow(d$eta), dimnames = list(NULL, colnames(d$eta)))[, used, drop = FALSE]
}

new_response <- function(model, newdata) {
  lhs <- model$formula[[2L]]
  check_variables(all.vars(lhs), newdata, environment(model$formula))
  as.double(eval(lhs, newdata, environment(model$formula)))
}

#' @rdname posterior-draws
#' @export
simulate.meanfield_fit <- function(object, nsim = 1, seed = NULL, newdata = NULL,
                                   re.form = NULL, allow_new_levels = FALSE, ...) {
  nsim <- check_count(nsim, "nsim", 1)
  no_dots(...)
  state <- seeded_state(seed)
  if (!is.null(seed)) {
    on.exit(assign(".Random.seed", state$before, envir = globalenv()))
  }
  y <- t(posterior_predict.meanfield_fit(object, newdata, nsim, re.form, allow_new_levels))
  out <- as.data.frame(y)
  if (is.null(newdata)) {
    out <- as.data.frame(lapply(out, function(v) stats::naresid(object$model$na_action, v)))
  }
  names(out) <- paste0("sim_", seq_len(ncol(y)))
  structure(out, seed = state$used)
}

# As in stats::simulate(): a seed is set for the simulation only, and the state it started
# from is kept.
seeded_state <- function(seed) {
  if (!exists(".Random.seed", envir = globalenv(), inherits = FALSE)) stats::runif(1)
  before <- get(".Random.seed", envir = globalenv())
  if (is.null(seed)) return(list(before = before, used = before))
  set.seed(check_count(seed, "seed", -.Machine$integer.max))
  list(before = before, used = structure(seed, kind = as.list(RNGkind())))
}
