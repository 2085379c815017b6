# Which moments exist, and summaries of draws.

# Draws have their quantiles at hand.
#' @export
summary_table.default <- function(fit, level = NULL, u = FALSE) {
  level <- level %||% 0.95
  as.data.frame(if (u) summary(fit, pars = "u", level = level) else summary(fit, level = level))
}

# Does the posterior mean of precision k exist? Under a half-t prior on the SD the
# density of a large group precision falls like tau^(-3/2) only; the residual
# precision is safe as long as the rows outnumber the coefficients.
precision_moment_exists <- function(model, k) {
  if (model$resolved$tau[[k]]$kind != "half_t") return(TRUE)
  effects <- sum(vapply(model$factors, function(f) length(f$levels) * length(f$coef), 0))
  has_sigma(model) && k == 1L && model$gram$n > length(model$x_names) + effects
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
