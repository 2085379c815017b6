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
predict.meanfield_fit <- function(object, newdata = NULL, re.form = NULL,
                                  interval = c("none", "confidence", "prediction"),
                                  level = 0.95, allow_new_levels = FALSE, se.fit = FALSE,
                                  weights = NULL, type = c("response", "link"),
                                  budget = FALSE, ...) {
  no_dots(...)
  check_flag(budget, "budget")
  check_choice(type, c("response", "link"), "type")
  interval <- check_choice(interval, c("none", "confidence", "prediction"), "interval")
  check_flag(se.fit, "se.fit")
  parts <- linear_parts(object, newdata, re.form, allow_new_levels, weights)
  m <- moments(object)
  fit <- linear_mean(parts, m, object$model)
  if (budget) return(variance_budget(object, parts, m, fit))
  if (interval == "none" && !se.fit) return(parts$restore(fit))
  v <- linear_variance(parts, m, object)
  # a row of weight zero has no response to predict
  if (interval == "prediction") v <- v + m$sigma2_e / ifelse(parts$w > 0, parts$w, NA)
  se <- sqrt(v)
  out <- fit
  if (interval != "none") {
    z <- qnorm((1 + check_level(level)) / 2)
    out <- cbind(fit = fit, lwr = fit - z * se, upr = fit + z * se)
  }
  if (se.fit) list(fit = parts$restore(out), se.fit = parts$restore(se)) else parts$restore(out)
}

# Where the variance of a new response comes from: the coefficients, the groups' effects given
# them (with their covariance; all of it for a level not seen), the residual.
variance_budget <- function(object, parts, m, fit) {
  fixed <- rowSums((parts$X %*% m$cov_beta) * parts$X)
  out <- data.frame(
    fit = fit, fixed = fixed, group = linear_variance(parts, m, object) - fixed,
    residual = m$sigma2_e / ifelse(parts$w > 0, parts$w, NA)
  )
  out$sd <- sqrt(out$fixed + out$group + out$residual)
  rownames(out) <- make.unique(rownames(parts$X))
  out
}

# The pieces of the linear predictor:
#   X, offset, w; groups: per factor included list(factor (index), code (NA: unseen level),
#   new (labels of unseen levels), Z (rows x r)); restore(): puts the rows that na.exclude
#   removed back.
linear_parts <- function(fit, newdata, re.form, allow_new_levels, weights = NULL) {
  model <- fit$model
  use <- used_factors(model, re.form)
  frame <- if (is.null(newdata)) model.frame(fit) else new_frame(model, newdata, use)
  X <- stats::model.matrix(stats::delete.response(model$terms), frame,
    contrasts.arg = model$contrasts)
  w <- weights %||% if (is.null(newdata) && model$weighted) stats::model.weights(frame) else 1
  if (!is.null(weights)) check_new_weights(w, nrow(X))
  list(
    X = X, offset = linear_offset(fit, frame, newdata, nrow(X)),
    w = rep_len(w, nrow(X)),
    groups = lapply(use, match_groups, model = model, frame = frame,
      allow_new = allow_new_levels || is.null(newdata), is_new = !is.null(newdata)),
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

# Indices of the factors that re.form includes.
used_factors <- function(model, re.form) {
  all <- seq_along(model$factors)
  if (is.null(re.form)) return(all)
  if (length(re.form) == 1L && is.atomic(re.form) && is.na(re.form)) return(integer())
  names <- vapply(model$factors, `[[`, "", "name")
  if (inherits(re.form, "formula")) {
    rhs <- re.form[[length(re.form)]]
    if (identical(rhs, 0)) return(integer())
    wanted <- vapply(reformulas::findbars(re.form), function(b) deparse1(b[[3L]]), "")
    if (length(wanted) && all(wanted %in% names)) return(all[names %in% wanted])
  }
  mf_abort("control", "`re.form` must be NULL, NA, ~0",
    if (length(names)) paste0(" or a formula with some of the factors ", toString(names)),
    arg = "re.form")
}

# The model frame of new data: predictors with the factor levels and the poly(), ns()
# and scale() parameters of the fit, and the grouping variables.
new_frame <- function(model, newdata, use) {
  if (!is.data.frame(newdata)) {
    mf_abort("newdata", "`newdata` must be a data frame, not ", describe(newdata),
      arg = "newdata")
  }
  tt <- stats::delete.response(model$terms)
  grouping <- unique(unlist(lapply(model$factors[use], group_variables)))
  vars <- c(all.vars(tt), grouping)
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
  for (v in setdiff(grouping, names(frame))) {
    frame[[v]] <- eval(as.name(v), newdata, environment(model$formula))
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

# Variables of a factor's grouping expression and of its covariates.
group_variables <- function(x) {
  c(all.vars(x$expr), unlist(lapply(x$terms, function(t) if (!is.null(t$tt)) all.vars(t$tt))))
}

match_groups <- function(f, model, frame, allow_new, is_new) {
  x <- model$factors[[f]]
  values <- group_values(x$expr, frame, environment(model$formula))
  levels <- if (is.function(values$levels)) {
    values$levels(seq_len(values$n_levels))
  } else {
    values$levels
  }
  code <- match(levels, x$levels)[values$codes]
  new <- ifelse(is.na(code), levels[values$codes], NA_character_)
  if (!allow_new && anyNA(code)) {
    unseen <- unique(new[is.na(code)])
    mf_abort("newdata", "`newdata` has levels of '", x$name,
      "' that the fit has not seen (", toString(utils::head(unseen, 5)),
      "): use allow_new_levels = TRUE, or re.form = NA", arg = "newdata")
  }
  list(factor = f, code = code, new = new, Z = factor_covariates(x, frame, is_new))
}

# rows x r covariates of a factor, as the fit saw them. The fit's own frame holds the terms
# already evaluated; new data hold the variables.
factor_covariates <- function(x, frame, is_new) {
  columns <- lapply(x$terms, function(t) {
    if (is.null(t$tt)) return(rep(1, nrow(frame)))
    vars <- if (is_new) {
      stats::model.frame(t$tt, frame, na.action = stats::na.pass, xlev = t$xlevels)
    } else {
      drop_predictor_levels(frame, t$tt)
    }
    unname(stats::model.matrix(t$tt, vars, contrasts.arg = t$contrasts))
  })
  do.call(cbind, columns)
}

# Position of coefficient 1 of each row's level among all effects (effect_table()).
effect_start <- function(model, group) {
  size <- vapply(model$factors, function(x) length(x$levels) * length(x$coef), 0)
  order <- c(seq_along(size)[-1L], 1L)
  before <- cumsum(c(0, size[order]))[match(group$factor, order)]
  before + (group$code - 1L) * length(model$factors[[group$factor]]$coef)
}

linear_mean <- function(parts, m, model) {
  eta <- drop(parts$X %*% m$beta) + parts$offset
  for (g in parts$groups) {
    start <- effect_start(model, g)
    for (k in seq_len(ncol(g$Z))) {
      u <- m$u[start + k]
      eta <- eta + ifelse(is.na(u), 0, g$Z[, k] * u)
    }
  }
  eta
}

# Variance of x'beta + sum z'u; a new level adds z' E[Lambda^-1] z instead of its own.
linear_variance <- function(parts, m, fit) {
  v <- known_variance(fit, parts, m)
  for (g in parts$groups) {
    unseen <- is.na(g$code)
    if (!any(unseen)) next
    for (t in which(vapply(fit$model$groups, `[[`, 0L, "factor") == g$factor)) {
      Z <- g$Z[unseen, fit$model$groups[[t]]$cols, drop = FALSE]
      v[unseen] <- v[unseen] + rowSums((Z %*% m$cov_u[[t]]) * Z)
    }
  }
  pmax(v, 0)
}

known_variance <- function(fit, parts, m) UseMethod("known_variance")

# c'Sc + (J'c)'Sigma(J'c) for c = (x, z): with c_l the leaf's part and c_g the rest,
# c'Sc = c_l'D^-1 c_l + a'S_gg a,  a = c_g + Q'c_l. Rows go in blocks that bound the memory.
#' @export
known_variance.vb_fit <- function(fit, parts, m) {
  n <- nrow(parts$X)
  if (!length(parts$groups)) return(rowSums((parts$X %*% m$cov_beta) * parts$X))
  core <- lmm_core(fit$model)
  block <- max(1L, floor(4e6 / max(core$n_global, 1L)))
  out <- numeric(n)
  for (from in seq(1L, n, by = block)) {
    rows <- seq.int(from, min(n, from + block - 1L))
    out[rows] <- block_variance(fit, core, parts, rows)
  }
  out
}

block_variance <- function(fit, core, parts, rows) {
  vb <- fit$vb
  p <- core$p
  a <- matrix(0, length(rows), core$n_global)
  a[, seq_len(p)] <- parts$X[rows, , drop = FALSE] %*% fit$model$coords$M
  cJ <- a[, seq_len(p), drop = FALSE] %*% vb$J[seq_len(p), , drop = FALSE]
  own <- numeric(length(rows))
  for (g in parts$groups) {
    seen <- which(!is.na(g$code[rows]))
    if (!length(seen)) next
    start <- effect_start(fit$model, g)[rows[seen]]
    Z <- g$Z[rows[seen], , drop = FALSE]
    for (k in seq_len(ncol(Z))) {
      at <- p + start + k
      cJ[seen, ] <- cJ[seen, ] + Z[, k] * vb$J[at, , drop = FALSE]
      if (g$factor != 1L) a[cbind(seen, at)] <- a[cbind(seen, at)] + Z[, k]
    }
    if (g$factor == 1L) {
      leaf <- g$code[rows[seen]]
      D <- array(vb$d_inv, c(core$r, core$r, core$n_leaf))
      for (i in seq_along(seen)) {
        l <- leaf[i]
        z <- Z[i, ]
        k <- core$ptr[l + 1L] - core$ptr[l]
        cols <- core$idx[core$ptr[l] + seq_len(k)] + 1L
        q <- matrix(vb$q[core$r * core$ptr[l] + seq_len(k * core$r)], k)
        a[seen[i], cols] <- a[seen[i], cols] + q %*% z
        own[seen[i]] <- drop(z %*% D[, , l] %*% z)
      }
    }
  }
  own + rowSums((a %*% vb$S_global) * a) + rowSums((cJ %*% fit$posterior$tau$cov_lrvb) * cJ)
}

#' @export
known_variance.gibbs_fit <- function(fit, parts, m) {
  if (!length(parts$groups)) return(rowSums((parts$X %*% m$cov_beta) * parts$X))
  d <- joint_draws(fit, NULL, u = TRUE)
  n <- nrow(parts$X)
  block <- max(1L, floor(1e7 / nrow(d$beta)))
  out <- numeric(n)
  for (from in seq(1L, n, by = block)) {
    rows <- seq.int(from, min(n, from + block - 1L))
    eta <- known_draws(fit$model, parts, rows, d)
    out[rows] <- colMeans(eta^2) - colMeans(eta)^2
  }
  out * nrow(d$beta) / (nrow(d$beta) - 1)
}

# draws x rows of x'beta + sum z'u over the levels that the fit has seen.
known_draws <- function(model, parts, rows, d) {
  eta <- d$beta %*% t(parts$X[rows, , drop = FALSE])
  for (g in parts$groups) {
    seen <- which(!is.na(g$code[rows]))
    start <- effect_start(model, g)[rows[seen]]
    for (k in seq_len(ncol(g$Z))) {
      eta[, seen] <- eta[, seen] + d$u[, start + k, drop = FALSE] *
        rep(g$Z[rows[seen], k], each = nrow(eta))
    }
  }
  eta
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
  res <- frame_response(frame) - linear_mean(parts, moments(object), object$model)
  if (type == "pearson") res <- res * sqrt(parts$w)
  parts$restore(res)
}

# ---- draws of the linear predictor --------------------------------------------------

# ndraws x rows matrix of x'beta + sum z'u; an unseen level gets one set of effects per draw
# from the group distribution.
linpred_draws <- function(fit, newdata, draws, re.form, allow_new_levels) {
  parts <- linear_parts(fit, newdata, re.form, allow_new_levels)
  d <- joint_draws(fit, draws, u = length(parts$groups) > 0L)
  check_size(nrow(d$beta), nrow(parts$X))
  eta <- known_draws(fit$model, parts, seq_len(nrow(parts$X)), d)
  eta <- eta + rep(parts$offset, each = nrow(eta))
  for (g in parts$groups) {
    for (level in unique(g$new[is.na(g$code)])) {
      at <- which(is.na(g$code) & g$new %in% level)
      eta[, at] <- eta[, at] + new_effects(fit$model, g$factor, d$tau) %*% t(g$Z[at, , drop = FALSE])
    }
  }
  colnames(eta) <- rownames(parts$X)
  list(eta = eta, sigma = 1 / sqrt(d$tau[, 1L]), w = parts$w)
}

# draws x r effects of a level of factor f that the fit has not seen.
new_effects <- function(model, f, tau) {
  u <- matrix(0, nrow(tau), length(model$factors[[f]]$coef))
  for (t in Filter(function(t) t$factor == f, model$groups)) {
    L <- tau[, term_stat_names(t), drop = FALSE]
    r <- length(t$coef)
    z <- matrix(stats::rnorm(nrow(tau) * r), nrow(tau))
    u[, t$cols] <- if (r == 1L) z / sqrt(L[, 1L]) else {
      t(vapply(seq_len(nrow(tau)), function(i) backsolve(chol(unvech(L[i, ])), z[i, ]), z[1L, ]))
    }
  }
  u
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
