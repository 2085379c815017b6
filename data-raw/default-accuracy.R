# The default fit against every committed posterior of a model with variance parameters:
#   weak-truth.csv (twenty weakly determined models), data-raw/integrated-truth.csv (Gaussian
#   models under two priors), both of emulate-truth.R, and glmm-truth.csv (generalised models,
#   glmm-truth.R).
#
#   Rscript data-raw/default-accuracy.R      writes inst/extdata/default-accuracy.csv
#
# Columns: set, prior, family, d (variance parameters), method, points (of the integral; conditional
# fits of an emulator), own_error (fit$integrated$error, posterior SDs; NA where nothing was
# integrated), mean_error (largest distance of a mean, in posterior SDs) and sd_error (largest
# relative error of an SD), over log precisions, SDs, correlations and coefficients; worst, the
# variable of the larger one against its limit; mean_noise and sd_noise, the Monte Carlo error of
# the truth in the same units, largest; limit ("met", "beyond", or "noise": beyond, by less than
# three errors of the truth), and CPU seconds. Printed: the sets beyond the limits, and how the own
# estimate compares to the true error.

library(meanfield)
source("data-raw/emulate-data.R")
source("data-raw/integrated-data.R")
source("data-raw/glmm-data.R")

# SDs of a mean and share of an SD that are allowed, by the number of variance parameters
limit_of <- function(d) {
  if (d <= 1L) return(c(mean = 0.02, sd = 0.01))
  if (d <= 3L) return(c(mean = 0.03, sd = 0.02))
  c(mean = 0.05, sd = 0.04)
}

# The value with the smallest error of each variable: exact, or of the longest run.
best_truth <- function(table) {
  table <- table[grepl(judged, table$variable), ]
  table <- table[order(table$mcse_mean), ]
  table[!duplicated(table$variable), ]
}

# A row of the table. truth: rows variable, mean, sd, mcse_mean, mcse_sd.
accuracy <- function(set, prior_name, truth, formula, data, family, prior) {
  truth <- best_truth(truth)
  fit_default <- function() suppressWarnings(fit_vb(formula, data, family = family, prior = prior))
  seconds <- sum(system.time(fit <- fit_default())[1:2])
  s <- as.data.frame(summary(fit))
  t <- truth[truth$variable %in% s$variable[is.finite(s$sd)], ]
  s <- s[match(t$variable, s$variable), ]
  d <- length(fit$posterior$tau$mean)
  mean <- abs(s$mean - t$mean) / t$sd
  sd <- abs(s$sd / t$sd - 1)
  limit <- limit_of(d)
  share <- pmax(mean / limit[["mean"]], sd / limit[["sd"]])
  sure <- pmax((mean - 3 * t$mcse_mean / t$sd) / limit[["mean"]],
    (sd - 3 * t$mcse_sd / t$sd) / limit[["sd"]])
  nodes <- fit$integrated
  message(set, " ", prior_name)
  data.frame(
    set, prior = prior_name, family = family$family, d,
    method = if (is.null(nodes)) fit$not_integrated else nodes$method,
    points = if (is.null(nodes)) 0 else nodes$points,
    own_error = if (is.null(nodes)) NA_real_ else nodes$error,
    mean_error = max(mean), sd_error = max(sd), worst = t$variable[which.max(share)],
    mean_noise = max(t$mcse_mean / t$sd), sd_noise = max(t$mcse_sd / t$sd),
    missing = nrow(truth) - nrow(t),
    limit = if (max(share) <= 1) "met" else if (max(sure) <= 1) "noise" else "beyond",
    seconds
  )
}

truth_table <- function(name, folder = "inst/extdata") utils::read.csv(file.path(folder, name))

weak <- function() {
  table <- truth_table("weak-truth.csv")
  do.call(rbind, lapply(intersect(weak_names, table$data), function(name) {
    case <- weak_case(name)
    accuracy(name, "default", table[table$data == name, ], case$formula, case$data, case$family,
      default_priors())
  }))
}

gaussian_sets <- function() {
  table <- truth_table("integrated-truth.csv", "data-raw")
  one <- function(case, kind) {
    own <- table$data == case[[1L]] & table$formula == deparse1(case[[2L]]) & table$prior == kind
    if (!any(own)) return(NULL)
    set <- paste(case[[1L]], deparse1(case[[2L]]))
    accuracy(set, kind, table[own, ], case[[2L]], case[[3L]], gaussian(),
      integrated_prior(case, kind))
  }
  do.call(rbind, lapply(integrated_cases, function(case) {
    rbind(one(case, "half-t"), one(case, "gamma"))
  }))
}

generalised_sets <- function() {
  table <- truth_table("glmm-truth.csv")
  grid <- unique(table[c("data", "prior")])
  do.call(rbind, Map(function(name, kind) {
    case <- glmm_case(name)
    accuracy(name, kind, table[table$data == name & table$prior == kind, ], case$formula, case$data,
      case$family, glmm_prior(kind))
  }, grid$data, grid$prior))
}

out <- rbind(weak(), gaussian_sets(), generalised_sets())
number <- vapply(out, is.numeric, NA)
out[number] <- lapply(out[number], signif, 3)
utils::write.csv(out, "inst/extdata/default-accuracy.csv", row.names = FALSE)

# ---- what is printed ---------------------------------------------------------------

options(width = 180)
show <- c("set", "prior", "d", "method", "points", "own_error", "mean_error", "sd_error", "worst",
  "mean_noise", "sd_noise", "limit")
cat("\nBeyond the limits:\n")
print(out[out$limit != "met" | out$missing > 0, c(show, "missing")], row.names = FALSE)

# The own estimate is of means and SDs in posterior SDs: against the larger of the two, where that
# is more than three times the noise of the truth.
true <- pmax(out$mean_error, out$sd_error)
sharp <- !is.na(out$own_error) & true > 3 * pmax(out$mean_noise, out$sd_noise)
out$ratio <- out$own_error / true
share <- function(which, words) {
  ratio <- out$ratio[which]
  cat(sprintf("Own estimate / true error over %d sets %s: within a factor of 5 in %.0f%%, ",
    sum(which), words, 100 * mean(ratio >= 0.2 & ratio <= 5)),
    sprintf("not below a third in %.0f%%, minimum %.3g, largest %.3g\n", 100 * mean(ratio >= 1 / 3),
      min(ratio), max(ratio)), sep = "")
}
cat("\n")
share(sharp, "(the others: truth too noisy or not integrated)")
share(sharp & pmax(true, out$own_error) > 0.001, "where one of the two is above .001")
lowest <- utils::head(out[sharp, ][order(out$ratio[sharp]), ], 8L)
lowest$ratio <- signif(lowest$ratio, 3)
print(lowest[c(setdiff(show, "limit"), "ratio")], row.names = FALSE)
cat("\nPoints by d and method:\n")
print(stats::aggregate(points ~ d + method, out, function(x) c(n = length(x), max = max(x))))
