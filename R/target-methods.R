# What the other generics say of fits of targets.

#' @export
print.target_vb_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat("Variational Bayes of a target, ", APPROXIMATION_WORDS[[x$vb$approximation]], ", ",
    source_words(x$table$source), "\n", sep = "")
  print_target_lines(x)
  print_target_table(x, digits)
  print_words(x)
  invisible(x)
}

APPROXIMATION_WORDS <- c(fullrank = "full-rank Gaussian", meanfield = "mean-field Gaussian",
  lowrank = "low-rank Gaussian", pathfinder = "Pathfinder", flow = "normalising flow")

source_words <- function(source) {
  words <- c(importance = "refined by importance sampling", hmc = "by Hamiltonian Monte Carlo",
    lrvb = "with linear response", vb = "not refined", exact = "integrated")
  paste(words[unique(source)], collapse = " and ")
}

print_target_lines <- function(x) {
  cat(x$model$d, " dimension", if (x$model$d > 1L) "s", "; ",
    evaluation_words(x$counts), sep = "")
  if (is_one(x$vb$elbo)) cat("; ELBO ", format_nats(x$vb$elbo), sep = "")
  if (!is.na(x$log_evidence)) {
    cat("; log evidence ", format_nats(x$log_evidence), " (+- ",
      format(x$evidence_error, digits = 1), ")", sep = "")
  }
  if (is.finite(x$khat)) cat("; Pareto k-hat ", format(x$khat, digits = 2), sep = "")
  cat("\n\n")
}

format_nats <- function(x) {
  digits <- if (abs(x) < 1e4) 3L else 1L
  formatC(if (round(x, digits) == 0) 0 else x, digits = digits, format = "f")
}

# Values alone are told of where they are what the fit is made of.
evaluation_words <- function(counts) {
  words <- function(n, what) paste(format(n, big.mark = ","), what)
  g <- counts$gradients
  v <- counts$values
  paste(c(if (g > 0) words(g, "gradients"), if (g == 0 || v > 2 * g) words(v, "values")),
    collapse = ", ")
}

print_target_table <- function(x, digits, most = 30L) {
  s <- as.data.frame(summary(x))
  shown <- utils::head(s, most)
  zero <- is.finite(shown$mean) & abs(shown$mean) < 1e-9 * shown$sd # rounding of a symmetric sum
  shown$mean[which(zero)] <- 0
  number <- vapply(shown, is.numeric, NA)
  shown[number] <- lapply(shown[number], format_numbers, digits)
  columns <- setdiff(names(shown), c("mean_mfvb", "mcse_mean", "mcse_sd"))
  print(structure(shown[columns], class = "data.frame"), row.names = FALSE)
  if (nrow(s) > most) cat("... and", nrow(s) - most, "more: see summary()\n")
}

print_words <- function(x) {
  for (w in x$notes) cat(strwrap(paste("Note:", w), exdent = 2), sep = "\n")
  for (w in x$flags) cat(strwrap(paste("NOT TO BE TRUSTED:", w), exdent = 2), sep = "\n")
}

#' @export
print.target_exact_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat("Exact posterior of a target by ", if (x$method == "lattice") "a lattice" else
    "importance sampling", "\n", sep = "")
  print_target_lines(x)
  print_target_table(x, digits)
  print_words(x)
  invisible(x)
}

# ---- sizes ---------------------------------------------------------------------------------------

#' @export
nobs.target_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  object$model$rows %||% mf_abort("target",
    "a target has rows only where target() was given `rows`",
    arg = "object")
}

#' @export
n_parameters.meanfield_target <- function(model) model$d

#' @export
size_columns.target_fit <- function(fit) {
  data.frame(parameters = fit$model$d, gradients = fit$counts$gradients %||% NA_real_)
}

#' @export
logLik.target_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  evidence <- fit_evidence(object)
  if (evidence$source == "none") {
    mf_abort("engine", "chains have no log evidence: use logLik(fit_vb(object))", arg = "object")
  }
  structure(evidence$value, df = object$model$d, nobs = object$model$rows %||% NA_integer_,
    class = c(if (evidence$source == "exact") "log_evidence" else "elbo", "logLik"))
}

#' @export
engine_columns.target_fit <- function(x) {
  data.frame(elbo = x$vb$elbo %||% NA_real_, log_evidence = x$log_evidence %||% NA_real_,
    khat = x$khat %||% NA_real_, flags = length(x$flags))
}

#' @rdname target-methods
#' @export
tidy.target_fit <- function(x, conf.int = FALSE, conf.level = 0.95, ...) {
  valid_fit(x)
  no_dots(...)
  check_flag(conf.int, "conf.int")
  s <- summary_table(x, check_level(conf.level, "conf.level"))
  v <- variable_table(x$model)
  out <- data.frame(type = v$kind, term = s$variable, estimate = s$mean, std.error = s$sd)
  if (conf.int) out[c("conf.low", "conf.high")] <- s[quantile_names(conf.level)]
  as_tibble_if_possible(out)
}

#' Methods for fits of targets
#'
#' The methods of the other fits work on fits of a [target()]: [summary()], [confint()], [vcov()],
#' [hypothesis()], [as_draws()], [plot()], [sd_ratio_report()], [compare()], [vb_khat()],
#' [vb_sensitivity()], `tidy()`, `glance()`, `logLik()`, [nobs()] where the target has `rows`, and
#' [update()], which fits the same target with other settings. What asks for a response,
#' coefficients or groups is refused, `meanfield_error_engine`.
#'
#' `logLik()` is the log evidence where it was estimated, else the lower bound. `glance()` has the
#' columns `parameters`, `gradients`, `elbo`, `log_evidence`, `khat`, `flags` (how many).
#'
#' @param object,x A fit of a target.
#' @param fun A function of a named list of the parameters (and of `data`, where it takes two
#'   arguments and the target has data), which returns numbers, always as many.
#' @param ndraws Draws of the posterior.
#' @param summary Return a data frame (`mean`, `sd` and quantiles of every number) rather than
#'   draws?
#' @param level Mass of the central interval.
#' @param conf.int,conf.level Add interval columns, of this mass?
#' @param ... Of `update()`: arguments of the fit that change, by name; else not used.
#' @return `predict()`: a data frame with a row per number of `fun` (`mean`, `sd`, `q2.5`, `q97.5`),
#'   or a matrix draws x numbers. `tidy()`: a data frame, a row per variable: `type` (`"parameter"`,
#'   `"generated"`), `term`, `estimate`, `std.error`, with `conf.int` also `conf.low`, `conf.high`.
#'   `update()`: a fit, or its call. `plot()`: `x`, invisibly.
#' @section Errors: `meanfield_error_target` where `fun` fails, returns no numbers, or its length
#'   varies; `meanfield_error_engine` for a picture of a trace that the optimiser did not keep.
#' @examples
#' y <- c(2.1, 3.4, 1.9, 2.8)
#' tgt <- target(function(p) sum(dnorm(y, p$mu, 1, log = TRUE)), init = list(mu = 0))
#' fit <- fit_vb(tgt)
#' set.seed(1)
#' predict(fit, function(p) c(mean = p$mu, high = p$mu + 2), ndraws = 200)
#' tidy(fit)
#' plot(fit)
#' @name target-methods
NULL

#' @rdname target-methods
#' @export
predict.target_fit <- function(object, fun, ndraws = 1000, summary = TRUE, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  if (missing(fun) || !is.function(fun)) {
    mf_abort("target", "`fun` must be a function of the list of parameters", arg = "fun")
  }
  check_flag(summary, "summary")
  check_level(level)
  z <- posterior_points(object, check_count(ndraws, "ndraws", 1))
  out <- predicted_draws(object$model, fun, z)
  if (!summary) return(out)
  limits <- function(x) {
    if (anyNA(x)) c(NA_real_, NA_real_) else stats::quantile(x, central_probs(level), names = FALSE)
  }
  q <- apply(out, 2L, limits)
  frame <- data.frame(mean = colMeans(out), sd = apply(out, 2L, stats::sd), q[1L, ], q[2L, ])
  names(frame)[3:4] <- quantile_names(level)
  frame
}

posterior_points <- function(fit, n) {
  if (!inherits(fit, "target_hmc_fit")) return(drawn_points(fit$points, n))
  z <- fit$z
  z[, sample(ncol(z), n, replace = n > ncol(z)), drop = FALSE]
}

predicted_draws <- function(target, fun, z) {
  with_data <- length(formals(fun)) > 1L && !is.null(target$user$data)
  one <- function(j) {
    p <- constrain_list(target, z[, j])
    x <- tryCatch(if (with_data) fun(p, target$user$data) else fun(p), error = function(e) {
      mf_abort("target", "`fun` fails: ", conditionMessage(e), arg = "fun")
    })
    if (is.list(x)) x <- unlist(x)
    if (!is.numeric(x) || !length(x)) {
      mf_abort("target", "`fun` must return numbers, not ", describe(x), arg = "fun")
    }
    x
  }
  first <- one(1L)
  rows <- vapply(seq_len(ncol(z)), function(j) {
    x <- if (j == 1L) first else one(j)
    if (length(x) != length(first)) {
      mf_abort("target", "`fun` returned ", length(first), " numbers, then ", length(x),
        arg = "fun")
    }
    as.double(x)
  }, numeric(length(first)))
  matrix(t(matrix(rows, length(first))), ncol(z), length(first),
    dimnames = list(NULL, names(first) %||% paste0("V", seq_along(first))))
}
