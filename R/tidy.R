# broom's verbs.

#' Tidy data frames from a fit
#'
#' @param x A fit.
#' @param effects `"fixed"`, `"ran_pars"` (standard deviations) and `"ran_vals"`
#'   (random effects), as in broom.mixed.
#' @param conf.int,conf.level Add interval columns, and their mass.
#' @param data The data of the fit, to add columns to; the model frame by default. Rows that
#'   the fit left out get `NA`.
#' @param ... Not used.
#' @return Data frames. `tidy()`: `effect`, `group`, `term`, `estimate`, `std.error`,
#'   and `conf.low`, `conf.high`. `glance()`: one row with `nobs`, `sigma`, `elbo`,
#'   `df.residual`, `converged` and `sweeps` (for an `exact_fit`: `log_evidence`, `elbo`, `error`; for a `gibbs_fit`: `rhat`, the largest,
#'   and `ess_bulk`, the smallest). `augment()`: the data with `.fitted`, `.resid` and
#'   `.se.fit` (where it can be had).
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' tidy(fit, conf.int = TRUE)
#' glance(fit)
#' head(augment(fit), 3)
#' @importFrom generics tidy
#' @aliases tidy glance augment
#' @export tidy
#' @export
tidy.meanfield_fit <- function(x, effects = c("fixed", "ran_pars"), conf.int = FALSE,
                               conf.level = 0.95, ...) {
  valid_fit(x)
  allowed <- c("fixed", "ran_pars", "ran_vals")
  if (!is.character(effects) || !all(effects %in% allowed)) {
    mf_abort("control", "`effects` must be among ", toString(allowed), arg = "effects")
  }
  conf.level <- check_level(conf.level, "conf.level")
  s <- summary_table(x, if (conf.int) conf.level, "ran_vals" %in% effects)
  q <- quantile_names(conf.level)
  pick <- function(variables, effect, grp, term) {
    rows <- match(variables, s$variable)
    if (!length(rows)) return(NULL)
    out <- data.frame(effect = effect, group = grp, term = term, estimate = s$mean[rows],
      std.error = s$sd[rows])
    if (conf.int) out[c("conf.low", "conf.high")] <- s[rows, q]
    out
  }
  u <- effect_table(x$model)
  out <- rbind(
    if ("fixed" %in% effects) {
      pick(beta_names(x$model), "fixed", NA_character_, x$model$x_names)
    },
    if ("ran_pars" %in% effects) {
      rbind(
        do.call(rbind, lapply(x$model$groups, function(t) {
          n <- if (t$vector) vector_names(t) else list(sigma = sub("^tau", "sigma", t$name))
          pairs <- which(lower.tri(diag(length(t$coef))), arr.ind = TRUE)
          rbind(pick(n$sigma, "ran_pars", t$group, paste0("sd__", t$coef)),
            pick(n$rho, "ran_pars", t$group,
              sprintf("cor__%s.%s", t$coef[pairs[, 2L]], t$coef[pairs[, 1L]])))
        })),
        if (is_gaussian(x)) pick("sigma_e", "ran_pars", "Residual", "sd__Observation")
      )
    },
    if ("ran_vals" %in% effects && nrow(u)) {
      cbind(pick(u$name, "ran_vals", u$group, u$coef), level = u$level)
    }[, c("effect", "group", "term", "estimate", "std.error",
      if (conf.int) c("conf.low", "conf.high"))]
  )
  as_tibble_if_possible(out)
}

as_tibble_if_possible <- function(x) {
  if (requireNamespace("tibble", quietly = TRUE)) tibble::as_tibble(x) else x
}

#' @rdname tidy.meanfield_fit
#' @importFrom generics glance
#' @export glance
#' @export
glance.meanfield_fit <- function(x, ...) {
  valid_fit(x)
  out <- data.frame(nobs = nobs(x), sigma = sigma(x), df.residual = df.residual(x))
  if (inherits(x, "exact_fit")) {
    out <- cbind(out, log_evidence = x$log_evidence, elbo = x$elbo, error = x$error)
  } else if (inherits(x, "vb_fit")) {
    out <- cbind(out, elbo = x$vb$elbo, converged = x$converged, sweeps = x$sweeps)
  } else {
    s <- as.data.frame(summary(x))
    out <- cbind(out, rhat = max(s$rhat), ess_bulk = min(s$ess_bulk),
      ndraws = dim(x$draws)[1L] * x$chains)
  }
  as_tibble_if_possible(out)
}

#' @rdname tidy.meanfield_fit
#' @param newdata New data instead: `.fitted` and `.se.fit` only.
#' @importFrom generics augment
#' @export augment
#' @export
augment.meanfield_fit <- function(x, data = NULL, newdata = NULL, ...) {
  valid_fit(x)
  has_u <- !length(x$model$factors) || !inherits(x, "gibbs_fit") || !is.null(x$u_draws)
  p <- predict(x, newdata, se.fit = has_u, allow_new_levels = TRUE)
  fitted <- if (has_u) p$fit else p
  out <- newdata %||% augmented_data(x, data, fitted)
  rows <- seq_along(fitted)
  if (nrow(out) != length(fitted)) rows <- match(rownames(out), names(fitted))
  out$.fitted <- unname(fitted)[rows]
  if (has_u) out$.se.fit <- unname(p$se.fit)[rows]
  if (is.null(newdata)) out$.resid <- unname(residuals(x))[rows]
  as_tibble_if_possible(out)
}

# The rows to add columns to: the user's data (rows the fit left out get NA), or the model
# frame.
augmented_data <- function(x, data, fitted) {
  data <- as.data.frame(data %||% model.frame(x))
  known <- nrow(data) == length(fitted) || all(names(fitted) %in% rownames(data)) ||
    all(rownames(data) %in% names(fitted))
  if (!known) {
    mf_abort("data", "`data` has ", nrow(data), " rows that cannot be matched to the ",
      length(fitted), " of the fit: give the data of the fit", arg = "data")
  }
  data
}
