# What any answer has to be: finite or honestly missing, ordered, positive, a covariance.

bad_numbers <- function(x) is.nan(x) | is.infinite(x)

check_finite <- function(x, what, na = FALSE) {
  x <- unlist(x)
  if (!is.numeric(x)) return(invisible())
  bad <- bad_numbers(x) | (!na & is.na(x))
  if (any(bad)) {
    wrong(what, ": ", toString(unique(x[bad])), " at ", sum(bad), " of ", length(x), " numbers")
  }
}

# Expected counts whose logarithm reaches beyond 700 are infinite in truth of arithmetic.
countable <- function(x, f) {
  if (!identical(f$model$family$link, "log")) return(x)
  p <- predict(f, se.fit = TRUE)
  if (isTRUE(max(p$fit + 10 * p$se.fit, na.rm = TRUE) > 700)) x[is.infinite(x)] <- 1e308
  x
}

# A column of a summary where `bad` holds in some row.
check_rows <- function(s, bad, ...) {
  bad <- which(bad)
  if (length(bad)) wrong("summary: ", ..., " in ", s$variable[bad[1L]], " (", length(bad), " rows)")
}

check_summary <- function(s) {
  s <- as.data.frame(s)
  for (k in intersect(c("mean", "sd", "q2.5", "q97.5"), names(s))) {
    check_rows(s, bad_numbers(s[[k]]), k, " is NaN or infinite")
  }
  check_rows(s, s$sd < 0, "negative sd")
  # certain: the weight of the one component, and to rounding a correlation of plus or minus one
  certain <- grepl("^(log_)?pi\\[", s$variable) & !"pi[2]" %in% s$variable |
    grepl("^rho", s$variable) & abs(s$mean) > 1 - 1e-12
  check_rows(s, s$sd == 0 & !certain, "sd is 0")
  check_rows(s, s$q2.5 > s$q97.5, "quantiles are not ordered")
  # rows that are NA throughout: what the data do not identify, see ?fit_vb
  said <- !(is.na(s$mean) & is.na(s$sd) & is.na(s$q2.5) & is.na(s$q97.5))
  said <- said & !(grepl("^u", s$variable) & !is.null(s$rhat) & is.na(s$rhat)) # save_u = FALSE
  check_rows(s, said & (is.na(s$q2.5) | is.na(s$q97.5)), "a quantile is NA")
  exists <- grepl("^(beta|u|mu)\\[", s$variable)
  check_rows(s, exists & (is.na(s$mean) | is.na(s$sd)), "mean or sd is NA")
  check_rows(s, exists & (s$mean < s$q2.5 | s$mean > s$q97.5), "the mean lies outside its interval")
  check_log_rows(s)
}

# The quantiles of tau, sigma and phi are exp of those of their logarithms. Weights and precisions
# of mixtures are approximated on two scales, see ?summary.gmm_vb_fit; of few draws (a column
# `rhat`) quantiles are interpolated.
check_log_rows <- function(s) {
  if (!is.null(s$rhat)) return(invisible())
  logs <- grep("^log_(tau|sigma|phi)", s$variable, value = TRUE)
  logs <- logs[sub("^log_", "", logs) %in% s$variable]
  at <- match(logs, s$variable)
  own <- match(sub("^log_", "", logs), s$variable)
  off <- abs(log(as.matrix(s[own, c("q2.5", "q97.5")])) - s[at, c("q2.5", "q97.5")]) / s$sd[at]
  bad <- which(rowSums(off > .02, na.rm = TRUE) > 0)
  if (length(bad)) wrong("summary: quantiles of ", logs[bad[1L]], " are not logs of the other's")
}

check_vcov <- function(V, what) {
  if (!length(V)) return(invisible())
  if (any(!is.finite(V))) wrong(what, ": NaN, NA or Inf")
  spread <- diag(V)
  if (any(spread <= 0)) wrong(what, ": a variance is ", min(spread))
  R <- V / tcrossprod(sqrt(spread))
  if (max(abs(R - t(R))) > 1e-8) wrong(what, ": not symmetric by ", signif(max(abs(R - t(R))), 3))
  least <- min(eigen((R + t(R)) / 2, TRUE, TRUE)$values)
  if (least < -1e-8 * nrow(R)) wrong(what, ": the correlations have eigenvalue ", signif(least, 3))
}

# Weights and derived variables of one component have no variance: only the sign is checked.
check_mixture_vcov <- function(V) {
  if (any(is.nan(V) | is.infinite(V))) wrong("vcov: NaN or Inf")
  if (any(diag(V) < 0, na.rm = TRUE)) wrong("vcov: a variance is ", min(diag(V), na.rm = TRUE))
}

# inside: does the fit lie in it? The mean of a count or of 0 and 1 need not.
check_interval <- function(p, what, inside = TRUE) {
  check_finite(p, what, na = TRUE)
  slack <- 1e-8 * abs(p[, "fit"])
  if (any(p[, "lwr"] > p[, "upr"], na.rm = TRUE)) wrong(what, ": lwr > upr")
  out <- p[, "fit"] < p[, "lwr"] - slack | p[, "fit"] > p[, "upr"] + slack
  if (inside && any(out, na.rm = TRUE)) wrong(what, ": the fit lies outside its interval")
}

check_size <- function(x, rows, what) {
  n <- if (is.null(dim(x))) length(x) else nrow(x)
  if (n != rows) wrong(what, ": ", n, " rows for ", rows)
}

# Numbers in print() and its like: NaN is printed by nobody who means well.
check_printed <- function(x, ...) {
  text <- utils::capture.output(print(x, ...))
  if (!any(nzchar(text))) wrong("nothing is printed")
  if (any(grepl("NaN", text))) wrong("NaN is printed: ", grep("NaN", text, value = TRUE)[1L])
}
