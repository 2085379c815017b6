# Posteriors that the default is measured against (default-accuracy.R):
# inst/extdata/weak-truth.csv, the twenty models of emulate-data.R under the default priors, and
# data-raw/integrated-truth.csv, the Gaussian models of integrated-data.R under both of theirs.
#
#   Rscript data-raw/emulate-truth.R [names of cases, "integrated"]   replaces their rows (all)
# (the second table is not shipped: only data-raw/default-accuracy.R reads it)
#
# Columns: data, prior, variable, mean, sd, mcse_mean, mcse_sd, method. Methods: "exact",
# fit_exact() with a tight tolerance (Gaussian, up to six variance parameters; the errors are its
# own estimate, which is careful); "gibbs", four long chains of fit_gibbs(): all other families,
# seven variance parameters, and beside "exact" with five and six. Less than two minutes of CPU
# each, about twenty in all.

library(meanfield)
source("data-raw/emulate-data.R")
source("data-raw/integrated-data.R")

# sweeps per chain (four of them) after 2,000 of warm-up
sweeps <- c(Pixel = 2.5e5, crossed_slope = 1.5e5, two_crossed = 2.5e5, three_by_three = 3e5,
  binomial_zero = 6e4, binomial_slope = 1e5, binomial_two_slopes = 5e4, sprays = 6e4,
  poisson_nested = 8e4, poisson_slope = 8e4, arabidopsis = 1e5, nb_slope = 2e5,
  Machines = 2.5e5)

rows_of <- function(name, prior, s, mcse_mean, mcse_sd, method) {
  out <- data.frame(data = name, prior = prior, variable = s$variable, mean = s$mean, sd = s$sd,
    mcse_mean = mcse_mean, mcse_sd = mcse_sd, method = method)
  out[grepl(judged, s$variable) & is.finite(s$sd), ]
}

by_integral <- function(name, prior, fit, tol) {
  exact <- suppressWarnings(fit_exact(fit, tol = tol))
  s <- as.data.frame(summary(exact))
  message(name, " ", prior, ": ", exact$integrated$points, " points, error ",
    signif(exact$error, 2))
  rows_of(name, prior, s, exact$error * s$sd, exact$error * s$sd, "exact")
}

by_gibbs <- function(name, prior, fit) {
  set.seed(20241)
  sampler <- if (identical(family(fit)$family, "binomial")) "hamiltonian" else "auto"
  gibbs <- fit_gibbs(fit, iter = sweeps[[name]] + 2000, warmup = 2000, save_u = FALSE,
    sampler = sampler)
  s <- as.data.frame(summary(gibbs))
  own <- grepl(judged, s$variable)
  message(name, " ", prior, ": smallest ESS ", round(min(s$ess_bulk[own], na.rm = TRUE)),
    ", R-hat ", signif(max(s$rhat[own], na.rm = TRUE), 4), ", ", round(gibbs$seconds), " s")
  rows_of(name, prior, s, s$mcse_mean, s$mcse_sd, "gibbs")
}

# Exact where it is to be had; d: number of variance parameters.
truth_of <- function(name, prior, fit, d, tol) {
  exact <- identical(family(fit)$family, "gaussian") && d <= 6
  rbind(
    if (exact) by_integral(name, prior, fit, tol),
    if (!exact || d >= 5) by_gibbs(name, prior, fit)
  )
}

weak_truth <- function(name) {
  case <- weak_case(name)
  fit <- suppressWarnings(fit_vb(case$formula, case$data, family = case$family, integrate = "no"))
  stopifnot(length(fit$posterior$tau$mean) == case$d)
  truth_of(name, "default", fit, case$d, 2e-5)
}

# The name of a case of integrated-data.R is that of its data and formula.
integrated_truth <- function(case, kind) {
  prior <- integrated_prior(case, kind)
  if (is.null(prior)) return(NULL)
  fit <- suppressWarnings(fit_vb(case[[2L]], case[[3L]], prior = prior, integrate = "no"))
  out <- truth_of(case[[1L]], kind, fit, length(fit$posterior$tau$mean), 1e-4)
  cbind(out[1L], formula = deparse1(case[[2L]]), out[-1L])
}

write_table <- function(table, file) {
  number <- vapply(table, is.numeric, NA)
  table[number] <- lapply(table[number], signif, 6)
  error <- grepl("^mcse", names(table))
  table[error] <- lapply(table[error], signif, 2)
  utils::write.csv(table, file, row.names = FALSE)
}

# Each case is saved when it is done.
wanted <- commandArgs(TRUE)
if (!length(wanted)) wanted <- c(weak_names, "integrated")
stopifnot(wanted %in% c(weak_names, "integrated"))
for (name in intersect(weak_names, wanted)) {
  file <- "inst/extdata/weak-truth.csv"
  old <- if (file.exists(file)) utils::read.csv(file)
  all <- rbind(old[old$data != name, ], weak_truth(name))
  write_table(all[order(match(all$data, weak_names)), ], file)
}

if ("integrated" %in% wanted) {
  both <- function(case) rbind(integrated_truth(case, "half-t"), integrated_truth(case, "gamma"))
  write_table(do.call(rbind, lapply(integrated_cases, both)), "data-raw/integrated-truth.csv")
}
