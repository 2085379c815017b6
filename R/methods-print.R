# What the user sees first.

#' @export
print.exact_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  n <- x$integrated
  cat("Exact posterior by ", if (x$method == "lattice") "numerical integration" else
    "importance sampling", "\n", sep = "")
  print_model_lines(x)
  cat(format(n$points, big.mark = ","), if (x$method == "lattice") " lattice points" else
    " quasi-random points", "; estimated error of means and SDs: ", format(x$error, digits = 1),
    " posterior SDs", if (!is.na(x$khat)) paste0("; Pareto k-hat ", format(x$khat, digits = 2)),
    "\n", sep = "")
  cat("Log evidence ", format(x$log_evidence, digits = 6, nsmall = 2),
    if (x$model$resolved$beta$kind == "flat") " (flat prior: relative to Lebesgue measure)",
    "; ELBO ", format(x$elbo, digits = 6, nsmall = 2), ": the mean-field fit is ",
    format(x$log_evidence - x$elbo, digits = 3), " nats away (KL divergence)\n\n", sep = "")
  s <- as.data.frame(summary(x))
  print(new_summary(s[is_printed(s, x$model), ]), digits = digits)
  invisible(x)
}

#' @export
print.vb_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  integrated <- !is.null(x$integrated)
  cat("Variational Bayes (", print_kind(x), "), ", print_source(x), "\n", sep = "")
  print_model_lines(x)
  cat(
    if (x$converged) "Converged in " else "NOT converged after ", x$sweeps, " sweeps",
    if (!is_iterated(x$model)) paste0("; ELBO ", format(x$vb$elbo, digits = 6, nsmall = 1)),
    if (integrated) paste0("; log evidence ",
      format(x$integrated$log_evidence, digits = 6, nsmall = 1)),
    "\n", sep = ""
  )
  print_probes(x)
  print_integration(x)
  cat("\n")
  s <- summary(x)
  keep <- is_printed(s, x$model)
  out <- data.frame(
    variable = s$variable, mean = format_numbers(s$mean, digits),
    sd = format_numbers(s$sd, digits), q2.5 = format_numbers(s$q2.5, digits),
    q97.5 = format_numbers(s$q97.5, digits), widened = widening(s$sd, s$sd_mfvb)
  )
  if (nrow(out)) {
    print(out[keep, ], row.names = FALSE)
    print_widening(s, variable_table(x$model))
    print_weak(x)
  }
  print_khat(s)
  invisible(x)
}

# Rows of a summary that print() shows: what has an SD, and neither logarithms nor precision
# matrices.
is_printed <- function(s, model) {
  !variable_table(model)$kind %in% c("log_tau", "log_sigma", "log_dispersion", "Lambda") &
    !is.na(s$sd)
}

print_khat <- function(summary) {
  khat <- attr(summary, "khat")
  if (!is.null(khat)) print(khat)
}

print_kind <- function(x) {
  if (!has_rows(x)) return(paste(x$model$blocks %||% "joint", "blocks"))
  paste(x$model$family$family, if (identical(x$model$approximation, "pg")) "Polya-Gamma" else
    "Gaussian approximation", sep = ", ")
}

print_source <- function(x) {
  if (is.null(x$integrated)) return("corrected by linear response")
  if (has_precisions(x$model)) return("integrated over the precisions")
  "corrected by linear response, means to the next order"
}

has_precisions <- function(model) length(model$resolved$tau) > 0L

# How a fit without a matrix knows what it says: standard errors of its estimates.
print_probes <- function(x) {
  if (!is_iterated(x$model)) return(invisible())
  cat("By conjugate gradients (at most ", x$vb$iterations, " iterations) and ", x$vb$probes,
    " fixed probes (standard errors: log precisions\n", format(probe_error(x$vb), digits = 1),
    " posterior SD, their SDs ", format(100 * max(x$vb$sd_error), digits = 1),
    "%, SDs of effects ", format(100 * x$vb$variance_error, digits = 1), "%); no ELBO\n", sep = "")
}

# What integration did, or why it was left out.
print_integration <- function(x) {
  n <- x$integrated
  if (!has_precisions(x$model)) return(invisible())
  if (!is.null(n)) {
    change <- integration_change(x)
    cat("Integrated over ", format(n$points, big.mark = ","),
      switch(n$method, lattice = " lattice points", emulator = " conditional fits",
        " importance points"),
      " (error about ", format(n$error, digits = 1), " SD", if (!is.na(n$khat))
        paste0(", k-hat ", format(n$khat, digits = 2)),
      ");\nmost moved since linear response: SD of ",
      names(change), ", ", sprintf("%+.1f%%", 100 * change), "\n",
      if (!is.null(n$correction)) print_correction(n), sep = "")
    if (signif(n$error, 1) > LARGE_ERROR) cat(error_advice(x), "\n", sep = "")
    return(invisible())
  }
  cat(switch(x$not_integrated %||% "",
    `too dear` = paste("Not integrated over the precisions, which would take long:",
      "integrate = \"yes\" does\n"),
    `too large` = paste("Not integrated over the precisions, which takes a dense matrix beyond",
      "the limit\n"),
    failed = "Could not be integrated over the precisions: linear response is shown\n",
    unidentified = "Not integrated: the data say nothing about a group variance\n",
    `not needed` = "Not integrated: the precisions are too well known for it to matter\n"
  ))
}

# In posterior SDs: means and SDs are then not to be taken to their last printed digit.
LARGE_ERROR <- 0.05

error_advice <- function(x) {
  paste0("The error is more than ", LARGE_ERROR, " SD: for closer means and SDs use ",
    if (!has_rows(x)) "fit_exact() or fit_gibbs()" else "fit_gibbs()",
    ",\nor a tighter `prior` on the group SDs if the data hardly determine one")
}

# By how much the correction of the variational bound moves the density of the variances, over the
# nodes that carry mass.
print_correction <- function(nodes) {
  span <- diff(range(nodes$correction[nodes$weights > 1e-3]))
  paste0("The correction of the bound varies by ", format(span, digits = 1), " over the posterior",
    if (span > 1) ": large, check against fit_gibbs()", "\n")
}

# The largest relative change of an SD from linear response to integration, named; of precisions,
# the SD of the logarithm (or of log sigma and rho of a vector term).
integration_change <- function(x) {
  rows <- normal_rows(normal_of(x))
  rows <- rows[!rows$kind %in% c("tau", "sigma", "Lambda", "dispersion") & !is.na(rows$sd_lrvb), ]
  exact <- marginals(posterior_of(x))
  change <- exact$sd[match(rows$variable, exact$variable)] / rows$sd_lrvb - 1
  at <- which.max(abs(change))
  stats::setNames(change[at], rows$variable[at])
}

# How much linear response or integration added to the mean-field SD, as a percentage.
widening <- function(sd, sd_mfvb) {
  pct <- 100 * (sd / sd_mfvb - 1)
  text <- ifelse(abs(pct) < 10, sprintf("%+.1f%%", pct), sprintf("%+.0f%%", pct))
  ifelse(is.na(pct), "", ifelse(abs(pct) < 0.05, "0%", text))
}

print_widening <- function(s, table) {
  corrected <- if (any(s$source == "integrated")) "integration" else "linear response"
  cat("\n`widened`: SD after ", corrected, " against the mean-field SD.\n", sep = "")
  scalar <- table$block == "lead" | table$term %in% table$term[table$kind == "log_tau"]
  precise <- which(table$kind == ifelse(scalar, "log_tau", "log_sigma"))
  if (length(precise)) {
    cat("On the log scale: ", paste0(substring(s$variable[precise], nchar("log_") + 1L), " ",
      widening(s$sd[precise], s$sd_mfvb[precise]), collapse = ", "), ".\n", sep = "")
  }
  failed <- s$variable[s$source == "mfvb"]
  if (length(failed)) {
    cat("Linear response failed for ", toString(failed), ": mean-field SDs shown.\n", sep = "")
  }
}

# Said at once, not only in the report.
print_weak <- function(fit) {
  if (!is.null(fit$integrated)) return(invisible())
  t <- as.data.frame(sd_ratio_report(fit))
  shown <- variable_table(fit$model)$kind %in% c("beta", "sigma", "rho", "dispersion")
  weak <- t$variable[t$verdict %in% c("few groups", "few rows", "weak") & shown]
  if (length(weak)) {
    cat("Still too narrow, see sd_ratio_report(): ", toString(utils::head(weak, 6)),
      if (length(weak) > 6) ", ...", ".\n", sep = "")
  }
}

#' @export
print.gibbs_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat("Blocked Gibbs sampler\n")
  print_model_lines(x)
  cat(x$chains, " chain", if (x$chains != 1L) "s", " of ", x$iter, " sweeps (", x$warmup,
    " warm-up", if (x$thin > 1L) paste0(", thinned by ", x$thin), "), ",
    dim(x$draws)[1L] * x$chains, " draws kept, ", format(round(x$seconds, 2)), " s\n\n",
    sep = "")
  s <- summary(x)
  keep <- is_printed(s, x$model)
  cols <- c("variable", "mean", "sd", "q2.5", "q97.5", "ess_bulk", "rhat")
  print(new_summary(as.data.frame(s)[keep, cols]), digits = digits)
  print_rhat(s, "run more sweeps")
  invisible(x)
}

print_rhat <- function(s, remedy) {
  bad <- s$variable[!is.na(s$rhat) & s$rhat > 1.01]
  if (!length(bad)) return(invisible())
  cat("\nR-hat above 1.01 for ", toString(utils::head(bad, 5)), ": ", remedy, " (`iter`).\n",
    sep = "")
}

print_model_lines <- function(x) {
  m <- x$model
  cat("Formula: ", paste(deparse(m$formula), collapse = "\n         "), "\n", sep = "")
  data <- x$call$data
  cat("Data:    ", if (is.name(data)) paste0(deparse1(data), ", "),
    format(m$gram$n, big.mark = ","), " rows",
    vapply(m$factors, function(f) {
      paste0("; ", f$name, ": ", format(length(f$levels), big.mark = ","), " group",
        if (length(f$levels) != 1L) "s")
    }, ""), "\n", sep = "")
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
