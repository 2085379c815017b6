# The table of a fit's posterior, with the mean field beside it where there is one.

# The columns of summary().
summary_table <- function(fit, level = NULL, u = FALSE) {
  best <- posterior_of(fit)
  out <- marginals(best, level, u)
  mean_field <- normal_of(fit)
  if (is.null(mean_field) || "mean_mfvb" %in% names(out)) return(out)
  beside <- marginals(mean_field, NULL, u)
  beside[setdiff(names(out), "variable")] <- out[setdiff(names(out), "variable")]
  beside$source <- rep("integrated", nrow(beside))
  beside
}

# ---- draws -------------------------------------------------------------------------------------

draws_summary <- function(draws, level = 0.95) {
  probs <- central_probs(level)
  one <- function(x) {
    if (anyNA(x)) return(rep(NA_real_, 9L)) # a derived quantity that failed at a draw
    c(mean = mean(x), sd = sd(x), stats::quantile(x, probs, names = FALSE), draws_accuracy(x))
  }
  vars <- dimnames(draws)[[3L]]
  d <- dim(draws)
  stats <- vapply(seq_along(vars), function(j) one(matrix(draws[, , j], d[1L], d[2L])),
    numeric(9))
  out <- data.frame(variable = vars, t(stats))
  names(out) <- c("variable", "mean", "sd", quantile_names(level), "mcse_mean", "mcse_sd",
    "ess_bulk", "ess_tail", "rhat")
  spread <- c("sd", "mcse_mean", "mcse_sd") # squares overflow where draws run away
  out[spread] <- lapply(out[spread], function(x) ifelse(is.finite(x), x, NA_real_))
  out
}

# Of a few draws that alternate, ESS is capped, which posterior warns of and the reader need not
# know.
draws_accuracy <- function(x) {
  withCallingHandlers(
    c(mcse_mean = posterior::mcse_mean(x), mcse_sd = posterior::mcse_sd(x),
      ess_bulk = posterior::ess_bulk(x), ess_tail = posterior::ess_tail(x),
      rhat = posterior::rhat(x)),
    warning = function(w) if (grepl("ESS", conditionMessage(w))) invokeRestart("muffleWarning")
  )
}
