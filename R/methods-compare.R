#' Compare models of the same response
#'
#' Ranks fits by their log evidence (log marginal likelihood) and by leave-one-out cross-validation.
#' The two answer different questions: how well model *and prior* predicted all the data, and how
#' well the fitted model predicts one more row of the groups it has seen.
#'
#' @param ... Fits of the same response and weights, mixtures or topic models of the same data, or
#'   fits of targets;
#'   names become the names of the models. Targets with `data` must share those that both have; of
#'   others nobody can tell, and a log density that leaves out a constant has an evidence without
#'   it.
#' @param loo Compute leave-one-out cross-validation by [loo::loo()]? It draws from the posteriors
#'   with R's generator and needs the rows (`model = TRUE`). Left out for targets and topic models.
#' @param ndraws Draws of each posterior for it.
#' @return A data frame of class `meanfield_comparison`, best evidence first: `model`;
#'   `log_evidence`, `evidence_diff` (from the best), `source` (`"exact"` for an [fit_exact()] fit
#'   and one integrated over its precisions, and for a target that was refined; `"elbo"` for a lower
#'   bound, `"none"` for a [fit_gibbs()] or [fit_hmc()] fit and one by conjugate gradients, see
#'   [fit_vb()]); with `loo`, `elpd_loo`, `se_elpd`, `elpd_diff` and `se_diff` (from the
#'   best `elpd_loo`) and `khat`, the largest Pareto k. Attribute `flat`: fits with a flat prior on
#'   the coefficients, whose evidence is relative to Lebesgue measure, and comparable only between
#'   models with the same flat coefficients in the same units. The bound of a mixture counts all
#'   labellings of its components, that of a topic model all of its topics.
#' @section Errors: `meanfield_error_compare` for something that is no fit, fewer than two, fits of
#'   different kinds, different responses, weights or data, or `loo = TRUE` of targets.
#' @references Vehtari, A., Gelman, A. and Gabry, J. (2017). *Statistics and Computing* 27,
#'   1413-1432.
#' @examples
#' with <- fit_exact(log_radon ~ floor + (1 | county), radon)
#' without <- fit_exact(log_radon ~ floor, radon)
#' compare(with, without, loo = FALSE)
#' @export
compare <- function(..., loo = TRUE, ndraws = 2000) {
  fits <- list(...)
  check_flag(loo, "loo")
  ndraws <- check_count(ndraws, "ndraws", 100)
  names(fits) <- comparison_names(fits, as.list(substitute(list(...)))[-1L])
  check_comparable(fits)
  if (any(vapply(fits, inherits, NA, c("target_fit", "lda_fit")))) {
    if (!missing(loo) && loo) {
      mf_abort("compare", "targets and topic models are compared by their log evidence: use ",
        "loo = FALSE", arg = "loo")
    }
    loo <- FALSE
  }
  out <- do.call(rbind, Map(function(fit, name) {
    e <- fit_evidence(fit)
    data.frame(model = name, log_evidence = e$value, evidence_diff = NA_real_, source = e$source)
  }, fits, names(fits)))
  out$evidence_diff <- out$log_evidence - suppressWarnings(max(out$log_evidence, na.rm = TRUE))
  if (loo) out <- cbind(out, loo_columns(fits, ndraws))
  flat <- vapply(fits, has_flat_prior, NA)
  out <- out[order(-out$log_evidence), ]
  rownames(out) <- NULL
  structure(out, class = c("meanfield_comparison", "data.frame"), flat = names(fits)[flat])
}

comparison_names <- function(fits, expressions) {
  given <- names(fits) %||% rep("", length(fits))
  written <- vapply(expressions, function(e) deparse1(e), "")
  make.unique(ifelse(given == "", written, given))
}

has_flat_prior <- function(fit) {
  if (inherits(fit, c("target_fit", "lda_fit"))) return(FALSE)
  if (inherits(fit, "gmm_fit")) return(fit$model$prior$flat_mean || fit$model$prior$flat_precision)
  fit$model$resolved$beta$kind == "flat"
}

check_comparable <- function(fits) {
  if (length(fits) > 1L && all(vapply(fits, inherits, NA, "gmm_fit"))) {
    return(check_same_rows(fits))
  }
  if (length(fits) > 1L && all(vapply(fits, inherits, NA, "target_fit"))) {
    return(check_same_target_data(fits))
  }
  if (length(fits) > 1L && all(vapply(fits, inherits, NA, "lda_fit"))) {
    return(check_same_counts(fits))
  }
  is_fit <- vapply(fits, inherits, NA, "regression_fit")
  if (length(fits) < 2L || !all(is_fit)) {
    mf_abort("compare", "`compare()` needs two or more fits of this package, all of ",
      "them of one kind (regression models, mixtures, topic models or targets)", arg = "...")
  }
  seen <- lapply(fits, function(f) {
    g <- valid_fit(f)$model$gram
    at <- length(g$x_names) + 1L
    c(g$n, g$sum_w, g$sum_log_w, g$mean[at], g$cross[at, at])
  })
  same <- vapply(seen, function(s) isTRUE(all.equal(s, seen[[1L]], tolerance = 1e-10)), NA)
  if (!all(same)) {
    mf_abort("compare", "'", names(fits)[!same][1L],
      "' was fitted to another response, other rows ",
      "or other weights than '", names(fits)[1L], "'", arg = "...")
  }
}

# A target without `data` has them in its function, where nobody can look.
check_same_target_data <- function(fits) {
  numbers <- lapply(fits, function(f) {
    data <- valid_fit(f)$model$user$data
    Filter(function(x) is.numeric(x) && length(x) > 1L, as.list(data))
  })
  known <- numbers[lengths(numbers) > 0L]
  shared <- Reduce(intersect, lapply(known, names))
  same <- vapply(known, function(x) isTRUE(all.equal(x[shared], known[[1L]][shared])), NA)
  if (!all(same)) {
    mf_abort("compare", "'", names(known)[!same][1L], "' has other data than '", names(known)[1L],
      "'", arg = "...")
  }
}

check_same_rows <- function(fits) {
  same <- vapply(fits, function(f) isTRUE(all.equal(f$model$x, fits[[1L]]$model$x)), NA)
  if (!all(same)) {
    mf_abort("compare", "'", names(fits)[!same][1L], "' was fitted to other data than '",
      names(fits)[1L], "'", arg = "...")
  }
}

check_same_counts <- function(fits) {
  corpus <- lapply(fits, function(f) valid_fit(f)$model[c("ptr", "word", "count", "words")])
  same <- vapply(corpus, identical, NA, corpus[[1L]])
  if (!all(same)) {
    mf_abort("compare", "'", names(fits)[!same][1L], "' was fitted to other counts than '",
      names(fits)[1L], "'", arg = "...")
  }
}

fit_evidence <- function(fit) UseMethod("fit_evidence")

#' @export
fit_evidence.meanfield_fit <- function(fit) {
  if (inherits(fit, "gmm_vb_fit")) {
    return(list(value = fit$vb$elbo + lfactorial(fit$model$k), source = "elbo"))
  }
  if (!is.null(fit$integrated)) {
    return(list(value = fit$integrated$log_evidence, source = "exact"))
  }
  if (inherits(fit, "vb_fit") && !is.na(fit$vb$elbo)) {
    return(list(value = fit$vb$elbo, source = "elbo"))
  }
  list(value = NA_real_, source = "none")
}

loo_columns <- function(fits, ndraws) {
  each <- lapply(fits, function(f) {
    suppressWarnings(loo::loo(f, draws = if (!inherits(f, "gibbs_fit")) ndraws))
  })
  pointwise <- lapply(each, function(l) l$pointwise[, "elpd_loo"])
  total <- vapply(pointwise, sum, 0)
  best <- pointwise[[which.max(total)]]
  data.frame(
    elpd_loo = total,
    se_elpd = vapply(pointwise, function(p) sqrt(length(p)) * stats::sd(p), 0),
    elpd_diff = total - max(total),
    se_diff = vapply(pointwise, function(p) sqrt(length(p)) * stats::sd(p - best), 0),
    khat = vapply(each, function(l) max(l$diagnostics$pareto_k), 0)
  )
}

#' @export
print.meanfield_comparison <- function(x, digits = 1, ...) {
  no_dots(...)
  out <- as.data.frame(x)
  class(out) <- "data.frame"
  num <- vapply(out, is.numeric, NA)
  out[num] <- lapply(out[num], function(v) formatC(v, digits = digits, format = "f"))
  if (!is.null(x$khat)) out$khat <- formatC(x$khat, digits = 2, format = "f")
  print(out, row.names = FALSE)
  if (any(x$source == "elbo")) cat("elbo: a lower bound of the log evidence\n")
  if (length(attr(x, "flat"))) {
    cat("Flat prior (", toString(attr(x, "flat")), "): log evidence relative to Lebesgue measure, ",
      "comparable only\nbetween models with the same flat coefficients\n", sep = "")
  }
  if (any(x$khat > 0.7)) cat("khat above .7: the leave-one-out value is unreliable there\n")
  invisible(x)
}
