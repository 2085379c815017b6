#' Sensitivity to the prior, without refitting
#'
#' Derivatives of posterior means with respect to every hyperparameter of the prior, from the
#' linear-response matrix of the fit: a small change of a hyperparameter is a tilt of the
#' posterior, and linear response is the answer of the means to a tilt.
#'
#' @param fit A `vb_fit`, or a fit of a [target()] that has single numbers among its `data`
#'   (constants of the prior, say).
#' @param scaled Divide each row by the posterior SD and multiply each column by the size of
#'   the hyperparameter: the shift in posterior SDs per relative change?
#' @return A numeric matrix, rows the coefficients `beta[...]`, the precisions `tau_e`,
#'   `tau_u[...]`, `Lambda_u[...]` and the logs of the scalar ones; columns the
#'   hyperparameters, such as `beta[x].mean`, `beta[x].sd`, `tau_e.shape`, `tau_e.rate`,
#'   `tau_u[g].df`, `tau_u[g].scale`. The prior of the coefficients given by a covariance matrix
#'   has only its means; a flat prior has none. A default prior is taken at its resolved
#'   values, in the coordinates it is stated in (intercept at the mean predictors).
#'
#'   Of a target: rows its variables, columns the single numbers in its `data`; the posterior
#'   covariance of each variable with the slope of the log density in that number.
#' @references Giordano, R., Broderick, T. and Jordan, M. (2018). Covariances, robustness, and
#'   variational Bayes. *Journal of Machine Learning Research* 19(51).
#' @section Errors: `meanfield_error_engine` when `fit` is no `vb_fit` or its linear response
#'   failed; `meanfield_error_target` for a target without single numbers in `data`.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' round(vb_sensitivity(fit, scaled = TRUE), 3)
#' @export
vb_sensitivity <- function(fit, scaled = FALSE) UseMethod("vb_sensitivity")

#' @export
vb_sensitivity.default <- function(fit, scaled = FALSE) {
  if (inherits(fit, "gmm_fit")) {
    no_mixture(fit, "sensitivities", "refit with another mixture_prior() by update(fit, prior = )")
  }
  if (inherits(fit, "vb_fit")) valid_fit(fit)
  if (!inherits(fit, "vb_fit") || length(fit$posterior$tau$failed)) {
    mf_abort("engine", "`fit` must be a vb_fit whose linear response exists", arg = "fit")
  }
  need_gram(fit, "vb_sensitivity()", "refit with another prior")
  check_flag(scaled, "scaled")
  ctx <- sensitivity_context(fit)
  columns <- c(beta_sensitivity(ctx), precision_sensitivity(ctx))
  out <- vapply(columns, `[[`, numeric(length(ctx$rows)), "d")
  out <- matrix(out, length(ctx$rows), length(columns), dimnames = list(ctx$rows, names(columns)))
  if (!scaled) return(out)
  size <- abs(vapply(columns, `[[`, 0, "size"))
  out / ctx$sd * rep(size, each = nrow(out))
}

# What every column needs. Tilts are kept in working coordinates; map: statistics to the user's.
sensitivity_context <- function(fit) {
  post <- fit$posterior
  scalar <- unlist(post$tau$index[lengths(post$tau$index) == 1L])
  s <- seq_along(post$tau$mean)
  ctx <- list(
    fit = fit, core = sums_core(fit$model), Sigma = fit$vb$Sigma, K = fit$vb$K, V = fit$vb$V,
    stats = s, scalar = scalar,
    rows = c(beta_names(fit$model), names(post$tau$mean),
      paste0("log_", names(post$tau$mean)[scalar])),
    map = t(user_statistics(diag(1, length(s)), fit$model)),
    sd = sqrt(c(diag(post$beta$cov_lrvb), NA * s, diag(post$tau$psi$cov_lrvb)[scalar]))
  )
  at <- length(fit$model$x_names) + s
  ctx$sd[at] <- sqrt(rowSums((ctx$map %*% post$tau$cov_lrvb) * ctx$map))
  ctx
}

# Response of (beta, statistics, logs) when the globals move by dt and, on top, beta (working
# coordinates) by d_gamma and the logs by d_log directly.
respond <- function(ctx, dt, d_gamma = 0, d_log = 0) {
  x <- seq_len(ctx$core$p)
  dt <- dt[ctx$stats]
  gamma <- d_gamma + drop(ctx$fit$vb$J[x, , drop = FALSE] %*% dt)
  c(drop(ctx$fit$model$coords$M %*% gamma), drop(ctx$map %*% dt),
    dt[ctx$scalar] / ctx$fit$vb$t[ctx$scalar] + d_log)
}

# Tilt eta of the linear statistics (all globals) and lambda of log|Lambda_k| and log c.
# c_k = Cov_q(t, log|Lambda_k|) = 2 E[Lambda] / df, and E c / shape for an auxiliary.
tilt_globals <- function(ctx, eta, log_det = numeric(), log_aux = numeric()) {
  vb <- ctx$fit$vb
  push <- drop(log_covariances(ctx) %*% c(log_det, log_aux))
  dt <- drop(ctx$Sigma %*% eta) + push + drop(ctx$V %*% ctx$K %*% push)
  # a tilt of log tau changes its shape: E log tau moves by trigamma, not by dt / t alone
  shape <- vb$df[lengths(ctx$fit$posterior$tau$index) == 1L] / 2
  own <- log_det[lengths(ctx$fit$posterior$tau$index) == 1L]
  list(dt = dt, d_log = own * (trigamma(shape) - 1 / shape))
}

log_covariances <- function(ctx) {
  vb <- ctx$fit$vb
  index <- ctx$fit$posterior$tau$index
  q <- length(vb$t)
  n_aux <- q - length(ctx$stats)
  out <- matrix(0, q, length(index) + n_aux)
  for (k in seq_along(index)) out[index[[k]], k] <- 2 * vb$t[index[[k]]] / vb$df[k]
  for (a in seq_len(n_aux)) {
    at <- length(ctx$stats) + a
    out[at, length(index) + a] <- vb$V[at, at] / vb$t[at]
  }
  out
}

# ---- coefficients -------------------------------------------------------------------

beta_sensitivity <- function(ctx) {
  model <- ctx$fit$model
  prior <- model$resolved$beta
  p <- ctx$core$p
  if (prior$kind == "flat" || !p) return(list())
  names <- beta_names(model)
  # beta as the prior states it = const + M gamma
  M <- if (prior$centred) diag(p) else model$coords$M
  precision <- prior$precision %||%
    (if (is.null(prior$cov)) diag(1 / prior$sd^2, p) else solve_spd(prior$cov))
  out <- list()
  for (j in seq_len(p)) {
    g <- drop(crossprod(M, precision[, j]))
    out[[paste0(names[j], ".mean")]] <- list(d = tilt_theta(ctx, g),
      size = 1 / sqrt(precision[j, j]))
  }
  if (!is.null(prior$cov)) return(out)
  centre <- if (prior$centred) ctx$fit$vb$mean[seq_len(p)] else ctx$fit$posterior$beta$mean
  dev <- centre - prior$mean
  for (j in seq_len(p)) { # log p = -d'P d / 2, P = D^-1 C D^-1: its slope is d_j (P d)_j / sd_j
    d <- tilt_product(ctx, M[j, ], dev[j], drop(precision[j, ] %*% M), sum(precision[j, ] * dev))
    out[[paste0(names[j], ".sd")]] <- list(d = d / prior$sd[j], size = prior$sd[j])
  }
  out
}

# Tilt by the product of a'gamma + const and b'gamma + const, of means ea and eb.
tilt_product <- function(ctx, a, ea, b, eb) {
  (tilt_square(ctx, a + b, ea + eb) - tilt_square(ctx, a - b, ea - eb)) / 4
}

# Tilt g'gamma.
tilt_theta <- function(ctx, g) {
  x <- seq_len(ctx$core$p)
  vb <- ctx$fit$vb
  eta <- numeric(length(vb$t))
  eta[ctx$stats] <- crossprod(vb$J[x, , drop = FALSE], g)
  respond(ctx, drop(ctx$Sigma %*% eta), drop(beta_covariance(vb, x) %*% g))
}

# Tilt (a'gamma + const)^2 with mean e of a'gamma + const: Cov_q(s_k, .) = -v'K_k v + 2 e J_k'a,
# v = S a with q's own covariance.
tilt_square <- function(ctx, a, e) {
  vb <- ctx$fit$vb
  core <- ctx$core
  x <- seq_len(core$p)
  v <- drop(arrow_product(own_covariance(ctx$fit, core), c(a, numeric(length(vb$mean) - core$p))))
  quad <- quadratic_statistics(ctx, v, sum(a * v[x]))
  eta <- numeric(length(vb$t))
  eta[ctx$stats] <- -quad + 2 * e * drop(crossprod(vb$J[x, , drop = FALSE], a))
  respond(ctx, drop(ctx$Sigma %*% eta), 2 * e * drop(beta_covariance(vb, x) %*% a))
}

# v'K_k v for every statistic; for s_e, v'G v = (v'a - v'T v) / tau_e because P v = a.
quadratic_statistics <- function(ctx, v, va) {
  core <- ctx$core
  t <- ctx$fit$vb$t
  index <- ctx$fit$posterior$tau$index
  x <- seq_len(core$p)
  out <- numeric(length(ctx$stats))
  tt <- sum(v[x] * drop(core$Tb %*% v[x]))
  for (k in seq_along(index)[-1L]) {
    u <- matrix(v[effect_rows(core, k)], core$prec[[k]]$r)
    U <- tcrossprod(u)
    pairs <- lower_pairs(nrow(U))
    out[index[[k]]] <- U[cbind(pairs$row, pairs$col)] * ifelse(pairs$row == pairs$col, 1, 2)
    tt <- tt + sum(U * unvech(t[index[[k]]]))
  }
  out[1L] <- (va - tt) / t[1L]
  out
}

# ---- precisions ----------------------------------------------------------------------

precision_sensitivity <- function(ctx) {
  priors <- ctx$fit$model$resolved$tau
  out <- list()
  for (k in seq_along(priors)) {
    columns <- switch(priors[[k]]$kind, gamma = gamma_columns(ctx, k, priors[[k]]),
      half_t = half_t_columns(ctx, k, priors[[k]]), wishart = wishart_columns(ctx, k, priors[[k]]))
    names(columns) <- paste0(names(priors)[k], ".", names(columns))
    out <- c(out, columns)
  }
  out
}

no_tilt <- function(ctx) numeric(length(ctx$fit$vb$t))

unit <- function(n, k) replace(numeric(n), k, 1)

globals_column <- function(ctx, eta, log_det = numeric(length(ctx$fit$vb$df)),
                           log_aux = numeric(length(ctx$fit$vb$t) - length(ctx$stats)), size) {
  r <- tilt_globals(ctx, eta, log_det, log_aux)
  list(d = respond(ctx, r$dt, 0, r$d_log), size = size)
}

# log p = shape log rate - lgamma(shape) + (shape - 1) log tau - rate tau
gamma_columns <- function(ctx, k, prior) {
  at <- ctx$fit$posterior$tau$index[[k]]
  list(
    shape = globals_column(ctx, no_tilt(ctx), unit(length(ctx$fit$vb$df), k), size = prior$shape),
    rate = globals_column(ctx, -unit(length(ctx$fit$vb$t), at), size = prior$rate)
  )
}

# log p = (df - r - 1)/2 log|L| - tr(S^-1 L)/2 + const(df, S)
wishart_columns <- function(ctx, k, prior) {
  at <- ctx$fit$posterior$tau$index[[k]]
  r <- nrow(prior$stated)
  inv <- solve_spd(prior$stated)
  B <- invert_map(ctx$fit$model$groups[[k - n_lead(ctx$fit$model)]]$A)
  pairs <- lower_pairs(r)
  stated <- diag(prior$stated)
  out <- list(df = globals_column(ctx, no_tilt(ctx), unit(length(ctx$fit$vb$df), k) / 2,
    size = prior$df))
  for (i in seq_along(pairs$row)) {
    E <- matrix(0, r, r)
    E[pairs$row[i], pairs$col[i]] <- E[pairs$col[i], pairs$row[i]] <- 1
    W <- B %*% (inv %*% E %*% inv / 2) %*% t(B) # of the working precision
    eta <- no_tilt(ctx)
    eta[at] <- W[cbind(pairs$row, pairs$col)] * ifelse(pairs$row == pairs$col, 1, 2)
    out[[sprintf("scale[%d,%d]", pairs$row[i], pairs$col[i])]] <- globals_column(ctx, eta,
      size = sqrt(stated[pairs$row[i]] * stated[pairs$col[i]]))
  }
  out
}

# c_i ~ Gamma(1/2, 1/A_i^2); log p(L | c) = df sum log(c_i) / 2 + df/2 log|L| - df sum c_i L_ii +
# ...
half_t_columns <- function(ctx, k, prior) {
  t <- ctx$fit$vb$t
  at <- ctx$fit$posterior$tau$index[[k]]
  r <- length(prior$scale)
  own <- at[lower_pairs(r)$row == lower_pairs(r)$col]
  aux <- ctx$core$layout$precisions$aux[[k]]
  eta <- no_tilt(ctx)
  eta[own] <- -t[aux]
  eta[aux] <- -t[own]
  out <- list(df = globals_column(ctx, eta, unit(length(ctx$fit$vb$df), k) / 2,
    unit(length(t) - length(ctx$stats), aux - length(ctx$stats)) / 2, size = prior$df))
  for (i in seq_len(r)) {
    name <- if (r == 1L) "scale" else sprintf("scale[%d]", i)
    out[[name]] <- globals_column(ctx, 2 / (prior$scale[i]^2 * prior$stated[i]) *
      unit(length(t), aux[i]), size = prior$stated[i])
  }
  out
}
