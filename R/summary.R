# Summaries: one table per fit, a row per variable, in the contract's columns.

#' Summaries of a fit
#'
#' @param object A fit.
#' @param pars `"u"` adds the random effects to the rows.
#' @param level Mass of the central interval; the columns are named after its
#'   quantiles, `q2.5` and `q97.5` by default.
#' @param ... Not used.
#' @return A data frame of class `meanfield_summary`. For a `vb_fit`: `variable`;
#'   `mean`, `sd` and the quantiles, all from `source` (`"integrated"` where the fit was integrated
#'   over its precisions, else `"lrvb"`, or `"mfvb"` for a
#'   component whose linear response failed); `mean_mfvb`, `sd_mfvb` of plain
#'   mean-field variational Bayes. For a `gibbs_fit`: `variable`, `mean`, `sd`,
#'   the quantiles, `mcse_mean`, `mcse_sd`, `ess_bulk`, `ess_tail`, `rhat`. For an `exact_fit`:
#'   `variable`, `mean`, `sd`, the quantiles.
#'
#'   The summary of a `vb_fit` of a binomial, Poisson or negative binomial model has the attribute
#'   `khat`, what [vb_khat()] says about the approximation, where that costs nothing to speak of (at
#'   most 2,000 rows and 500 coefficients, in a fit that has its data); printing shows it in words.
#'
#'   Rows: `beta[...]`, `tau_e`, `log_tau_e`, `sigma_e`, and for each group term
#'   `tau_u`, `log_tau_u`, `sigma_u`, `log_sigma_u` (one coefficient) or `Lambda_u`,
#'   `sigma_u`, `log_sigma_u`, `rho_u` (several). Intervals of precisions and
#'   standard deviations are made on the log scale. Under a half-t prior the
#'   posterior mean of a group precision does not exist: its mean and SD are `NA`,
#'   the quantiles stay.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' summary(fit)
#' tail(summary(fit, pars = "u"), 3)
#' @export
summary.vb_fit <- function(object, pars = NULL, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  check_pars(pars)
  structure(new_summary(summary_table(object, check_level(level), "u" %in% pars)),
    khat = cheap_khat(object))
}

# The columns of summary(). level = NULL: without the intervals, which of an integrated fit take most
# of the time.
summary_table <- function(fit, level = NULL, u = FALSE) UseMethod("summary_table")

#' @export
summary_table.vb_fit <- function(fit, level = NULL, u = FALSE) {
  rows <- vb_rows(fit, u)
  corrected <- rows$source == "lrvb"
  out <- data.frame(
    variable = rows$variable,
    mean = ifelse(corrected, rows$mean_lrvb, rows$mean_mfvb),
    sd = ifelse(corrected, rows$sd_lrvb, rows$sd_mfvb),
    mean_mfvb = rows$mean_mfvb, sd_mfvb = rows$sd_mfvb, source = rows$source
  )
  if (best_source(fit) == "integrated") {
    exact <- integrated_rows(fit, level, u)
    own <- setdiff(names(exact), "variable")
    out[own] <- exact[match(out$variable, exact$variable), own]
    out$source[] <- "integrated" # of no row too
  } else if (!is.null(level)) {
    z <- qnorm((1 + level) / 2) * ifelse(corrected, rows$s_lrvb, rows$s_mfvb)
    q <- list(inverse_link(rows$loc - z, rows$link), inverse_link(rows$loc + z, rows$link))
    out[quantile_names(level)] <- q
  }
  drop_unidentified(out, fit$model)
}

#' @export
summary_table.exact_fit <- function(fit, level = NULL, u = FALSE) integrated_rows(fit, level, u)

# Draws have their quantiles at hand.
#' @export
summary_table.default <- function(fit, level = NULL, u = FALSE) {
  level <- level %||% 0.95
  as.data.frame(if (u) summary(fit, pars = "u", level = level) else summary(fit, level = level))
}

# No number for a variance that the data say nothing about.
drop_unidentified <- function(out, model) {
  own <- sub("^(tau|Lambda)_u", "", model$unidentified %||% character())
  gone <- sub("^(log_)?(tau|Lambda|sigma)_u", "", out$variable) %in% own
  out[gone, vapply(out, is.numeric, NA)] <- NA_real_
  out
}

inverse_link <- function(x, link) {
  x[link == "sinh"] <- sinh(x[link == "sinh"])
  x[link == "exp"] <- exp(x[link == "exp"])
  x[link == "tanh"] <- tanh(x[link == "tanh"])
  x
}

check_pars <- function(pars) {
  if (!is.null(pars) && !identical(pars, "u")) {
    mf_abort("control", "`pars` must be NULL or \"u\", not ", describe(pars), arg = "pars")
  }
}

# The ends of the central interval of mass level.
central_probs <- function(level) c((1 - level) / 2, (1 + level) / 2)

quantile_names <- function(level) {
  paste0("q", formatC(100 * central_probs(level), digits = 12, format = "fg",
    width = 1))
}

new_summary <- function(x) {
  rownames(x) <- NULL
  structure(x, class = c("meanfield_summary", "data.frame"))
}

#' @export
print.meanfield_summary <- function(x, digits = 3, ...) {
  out <- as.data.frame(x)
  num <- vapply(out, is.numeric, NA)
  out[num] <- lapply(out[num], function(v) format_numbers(v, digits))
  print_table(out, ...)
  print_khat(x)
  invisible(x)
}

#' @export
as.data.frame.meanfield_summary <- function(x, row.names = NULL, optional = FALSE, ...) {
  known_dots("stringsAsFactors", ...)
  class(x) <- "data.frame"
  attr(x, "khat") <- NULL
  named_rows(row.names, x)
}

format_numbers <- function(v, digits = 3) {
  digits <- check_count(digits, "digits", 1L, 22L)
  vapply(v, function(x) format(signif(x, digits), digits = digits), "")
}

# One row per variable: the normal approximation on its own scale (loc, s_mfvb,
# s_lrvb; link "exp" for precisions and SDs) and the moments on the natural scale.
# type: beta, tau_e, tau_u, derived, u.
vb_rows <- function(fit, u = FALSE) {
  model <- fit$model
  rows <- c(
    list(beta_rows(fit)), lapply(seq_len(n_lead(model)), scalar_rows, fit = fit),
    lapply(seq_along(model$groups), function(k) {
      at <- k + n_lead(model)
      if (model$groups[[k]]$vector) vector_rows(fit, at) else scalar_rows(fit, at)
    }),
    if (u) list(u_rows(fit))
  )
  do.call(rbind, rows) %||% no_rows()
}

# Of a model without a parameter.
no_rows <- function() {
  none <- numeric()
  row_block(character(), character(), none, none, none, character(), none, none, none, none,
    character())
}

row_block <- function(variable, type, loc, s_mfvb, s_lrvb, link, mean_mfvb, sd_mfvb, mean_lrvb,
                      sd_lrvb, source) {
  data.frame(variable = variable, type = type, loc = loc, s_mfvb = s_mfvb, s_lrvb = s_lrvb,
    link = link, mean_mfvb = mean_mfvb, sd_mfvb = sd_mfvb, mean_lrvb = mean_lrvb,
    sd_lrvb = sd_lrvb, source = source)
}

identity_rows <- function(variable, type, mean, s_mfvb, s_lrvb, source) {
  row_block(variable, type, mean, s_mfvb, s_lrvb, "identity", mean, s_mfvb, mean, s_lrvb,
    source)
}

beta_rows <- function(fit) {
  b <- fit$posterior$beta
  if (!length(b$mean)) return(NULL)
  identity_rows(beta_names(fit$model), "beta", unname(b$mean), sqrt(diag(b$cov_mfvb)),
    sqrt(diag(b$cov_lrvb)), "lrvb")
}

u_rows <- function(fit) {
  u <- fit$posterior$u
  if (!length(u$mean)) return(NULL)
  variance <- function(own, type) {
    user_effect_variances(fit$model, own, function(f) normal_level_covariances(fit, f, type))
  }
  identity_rows(u_names(fit$model), "u", drop(user_effects(fit$model, as.matrix(u$mean))),
    sqrt(variance(u$var_mfvb, "mfvb")), sqrt(variance(u$var_lrvb, "lrvb")), "lrvb")
}

# tau, log tau, sigma (and log sigma for a group term) of scalar precision k.
scalar_rows <- function(fit, k) {
  tau <- fit$posterior$tau
  at <- tau$index[[k]]
  name <- tau$names[k]
  source <- precision_source(tau, k)
  s <- sqrt(c(tau$phi$cov_mfvb[at, at], tau$phi$cov_lrvb[at, at]))
  l <- tau$phi$mean[at]
  lead <- k <= n_lead(fit$model)
  type <- if (!lead) "tau_u" else "tau_e"
  exists <- precision_moment_exists(fit$model, k)
  sig <- lapply(s, function(v) lognormal(-l / 2, v / 2))
  own <- own_scale_moments(fit, k, s)
  na <- if (exists) 1 else NA_real_
  out <- rbind(
    row_block(name, type, l, s[1L], s[2L], "exp", na * own[[1L]]$mean, na * own[[1L]]$sd,
      na * own[[2L]]$mean, na * own[[2L]]$sd, source),
    identity_rows(paste0("log_", name), if (exists) "derived" else type, l, s[1L], s[2L],
      source),
    if (name != "phi") row_block(sub("^tau", "sigma", name), "derived", -l / 2, s[1L] / 2, s[2L] / 2, "exp",
      sig[[1L]]$mean, sig[[1L]]$sd, sig[[2L]]$mean, sig[[2L]]$sd, source)
  )
  if (!exists) out$type[1L] <- "derived" # H and W use the log precision instead
  if (lead) return(out)
  rbind(out, identity_rows(sub("^tau", "log_sigma", name), "derived", -l / 2, s[1L] / 2,
    s[2L] / 2, source))
}

# Of q and of linear response: a gamma's of tau, with the same mean; log-normal of phi, for which q is
# normal in its logarithm.
own_scale_moments <- function(fit, k, s) {
  tau <- fit$posterior$tau
  at <- tau$index[[k]]
  if (tau$names[k] == "phi") {
    # of a log phi as wide as that no mean is known, and none is said
    return(lapply(s, function(v) lapply(lognormal(tau$phi$mean[at], v), `*`, if (v < MAX_LOG_SD) 1 else NA)))
  }
  lapply(tau[c("cov_mfvb", "cov_lrvb")], function(V) {
    list(mean = unname(tau$mean[at]), sd = sqrt(V[at, at]))
  })
}

precision_source <- function(tau, k) if (tau$names[k] %in% tau$failed) "mfvb" else "lrvb"

# Lambda (lower triangle), sigma, log sigma and rho of vector precision k. SDs and
# correlations are functions of E[Lambda], their spread by the delta method on log sigma and
# atanh rho.
vector_rows <- function(fit, k) {
  tau <- fit$posterior$tau
  at <- tau$index[[k]]
  source <- precision_source(tau, k)
  exists <- precision_moment_exists(fit$model, k)
  term <- fit$model$groups[[k - n_lead(fit$model)]]
  names <- vector_names(term)
  map <- precision_map(term$A)
  t <- drop(map %*% tau$mean[at])
  s <- lapply(list(tau$cov_mfvb, tau$cov_lrvb), function(V) {
    sqrt(rowSums((map %*% V[at, at]) * map))
  })
  both <- lapply(list(tau$phi$cov_mfvb, tau$phi$cov_lrvb), function(V) {
    sd_correlation_moments(tau$phi$mean[at], V[at, at], term$A)
  })
  sd <- seq_along(names$sigma)
  rho <- length(sd) + seq_along(names$rho)
  block <- function(variable, type, rows, link, moments) {
    if (!length(rows)) return(NULL)
    m <- lapply(both, function(m) lapply(moments(m), `[`, rows))
    row_block(variable, type, both[[2L]]$loc[rows], both[[1L]]$s[rows], both[[2L]]$s[rows], link,
      m[[1L]]$mean, m[[1L]]$sd, m[[2L]]$mean, m[[2L]]$sd, source)
  }
  rbind(
    precision_matrix_rows(names$lambda, t, s, exists, source),
    block(names$sigma, "derived", sd, "exp", function(m) m$natural),
    block(sub("^sigma", "log_sigma", names$sigma), if (exists) "derived" else "tau_u", sd,
      "identity", function(m) list(mean = m$loc, sd = m$s)),
    block(names$rho, "derived", rho, "tanh", function(m) m$natural)
  )
}

# Diagonal elements are log-normal with their mean and SD, the others normal.
precision_matrix_rows <- function(variable, t, s, exists, source) {
  pairs <- lower_pairs(vech_order(length(t)))
  diagonal <- pairs$row == pairs$col
  log_s <- lapply(s, function(s) ifelse(diagonal, sqrt(log1p((s / t)^2)), s))
  na <- if (exists) 1 else NA_real_
  row_block(variable, if (exists) "tau_u" else "derived",
    ifelse(diagonal, log(abs(t)) - log_s[[2L]]^2 / 2, t), log_s[[1L]], log_s[[2L]],
    ifelse(diagonal, "exp", "identity"), na * t, na * s[[1L]], na * t, na * s[[2L]], source)
}

# Of the user's SDs and correlations, when the scale-free coordinates of the working precision are
# normal: loc and s of log SDs and atanh correlations, natural = mean and SD of SDs and correlations. A
# map that mixes coefficients leaves neither normal: quasi-random points sum them.
sd_correlation_moments <- function(x, V, A) {
  out <- delta_sd_correlations(x, V, A)
  # far beyond MAX_LOG_SD nothing is known, and nothing is said
  lost <- which(!is.finite(out$loc) | !(out$s < 10 * MAX_LOG_SD))
  out$loc[lost] <- out$s[lost] <- out$natural$mean[lost] <- out$natural$sd[lost] <- NA
  out
}

delta_sd_correlations <- function(x, V, A) {
  r <- nrow(A)
  sd <- seq_len(r)
  if (max(abs(A[row(A) != col(A)]), 0) <= 1e-14 * max(abs(A))) {
    A <- diag(diag(A), r)
    f <- function(x) drop(log_sd_atanh_rows(matrix(x, 1L), A))
    D <- vapply(seq_along(x), function(j) {
      e <- replace(numeric(length(x)), j, 1e-5)
      (f(x + e) - f(x - e)) / 2e-5
    }, x)
    loc <- f(x)
    s <- sqrt(diag(D %*% V %*% t(D)))
    natural <- Map(c, lognormal(loc[sd], s[sd]), tanh_normal(loc[-sd], s[-sd]))
    return(list(loc = loc, s = s, natural = natural))
  }
  z <- stats::qnorm(quasi_random(4000L, length(x)))
  eta <- log_sd_atanh_rows(z %*% half(V) + rep(x, each = nrow(z)), A)
  moments <- function(y) list(mean = colMeans(y), sd = apply(y, 2L, stats::sd))
  own <- moments(eta)
  list(loc = own$mean, s = own$sd,
    natural = moments(cbind(exp(eta[, sd, drop = FALSE]), tanh(eta[, -sd, drop = FALSE]))))
}

# Mean and SD of tanh of normals.
tanh_normal <- function(loc, s) {
  rule <- normal_rule(31L)
  y <- tanh(outer(s, rule$x) + loc)
  mean <- drop(y %*% rule$w)
  list(mean = mean, sd = sqrt(pmax(drop((y - mean)^2 %*% rule$w), 0)))
}

# Names of the rows of a vector term: Lambda_u[g:a,b], sigma_u[g:a], rho_u[g:a,b].
vector_names <- function(term) {
  pairs <- which(lower.tri(diag(length(term$coef))), arr.ind = TRUE)
  stem <- function(what) sub("^Lambda", what, sub("]$", "", term$name))
  list(
    lambda = term_stat_names(term), sigma = paste0(stem("sigma"), ":", term$coef, "]"),
    rho = paste0(stem("rho"), ":", term$coef[pairs[, 2L]], ",", term$coef[pairs[, 1L]], "]")
  )
}

lognormal <- function(loc, s) {
  mean <- exp(loc + s^2 / 2)
  list(mean = mean, sd = mean * sqrt(expm1(s^2)))
}

# Does the posterior mean of precision k exist? Under a half-t prior on the SD the
# density of a large group precision falls like tau^(-3/2) only; the residual
# precision is safe as long as the rows outnumber the coefficients.
precision_moment_exists <- function(model, k) {
  if (model$resolved$tau[[k]]$kind != "half_t") return(TRUE)
  effects <- sum(vapply(model$factors, function(f) length(f$levels) * length(f$coef), 0))
  is_gaussian(model) && k == 1L && model$gram$n > length(model$x_names) + effects
}

#' @rdname summary.vb_fit
#' @export
summary.gibbs_fit <- function(object, pars = NULL, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  check_pars(pars)
  probs <- central_probs(check_level(level))
  out <- draws_summary(gibbs_array(object), probs)
  out <- drop_missing_moments(out, object$model)
  if ("u" %in% pars) out <- rbind(out, u_draws_summary(object, probs))
  names(out)[4:5] <- quantile_names(level)
  new_summary(out)
}

draws_summary <- function(draws, probs) {
  one <- function(x) {
    c(mean = mean(x), sd = sd(x), stats::quantile(x, probs, names = FALSE), draws_accuracy(x))
  }
  vars <- dimnames(draws)[[3L]]
  d <- dim(draws)
  stats <- vapply(seq_along(vars), function(j) one(matrix(draws[, , j], d[1L], d[2L])),
    numeric(9))
  out <- data.frame(variable = vars, t(stats))
  names(out) <- c("variable", "mean", "sd", "lower", "upper", "mcse_mean", "mcse_sd",
    "ess_bulk", "ess_tail", "rhat")
  out
}

drop_missing_moments <- function(out, model) {
  for (k in seq_along(model$resolved$tau)) {
    if (precision_moment_exists(model, k)) next
    row <- match(stat_names(model)[stat_index(model)[[k]]], out$variable)
    out[row, intersect(names(out), c("mean", "sd", "mcse_mean", "mcse_sd"))] <- NA_real_
  }
  out
}

# Of a few draws that alternate, ESS is capped, which posterior warns of and the reader need not know.
draws_accuracy <- function(x) {
  withCallingHandlers(
    c(mcse_mean = posterior::mcse_mean(x), mcse_sd = posterior::mcse_sd(x),
      ess_bulk = posterior::ess_bulk(x), ess_tail = posterior::ess_tail(x),
      rhat = posterior::rhat(x)),
    warning = function(w) if (grepl("ESS", conditionMessage(w))) invokeRestart("muffleWarning")
  )
}

u_draws_summary <- function(fit, probs) {
  if (is.null(fit$u)) return(NULL)
  if (!is.null(fit$u_draws)) return(draws_summary(fit$u_draws, probs))
  data.frame(variable = fit$u$name, mean = fit$u$mean, sd = fit$u$sd,
    lower = NA_real_, upper = NA_real_, mcse_mean = NA_real_, mcse_sd = NA_real_,
    ess_bulk = NA_real_, ess_tail = NA_real_, rhat = NA_real_)
}
