# Regressions of posteriordb by Stan's ADVI and optimisation (through rstanarm, which brings its models
# compiled), beside the default fit of the same density as a target.
# Rscript inst/benchmarks/targets-advi.R [name ...] prints a table in markdown.
#
# The cases hold sums of the rows, not the rows. Rows with the same sums have the same likelihood: the
# Cholesky factor of X'X, and rows of zeros that make up the residual sum of squares.

suppressMessages({
  library(meanfield)
  library(rstanarm)
})
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
dir <- file.path(dirname(script), "targets")
source(file.path(dir, "common.R"))
cases <- read_targets("posteriordb", dir)
names <- commandArgs(trailingOnly = TRUE)
if (!length(names)) {
  names <- c("kidscore_momiq", "kidscore_interaction", "logearn_interaction", "mesquite", "nes2000")
}

rows_of_sums <- function(data) {
  p <- length(data$estimate)
  R <- chol(data$XX)
  rest <- data$n - p
  list(X = rbind(R, matrix(0, rest, p)),
    y = c(drop(R %*% data$estimate), rep(sqrt(data$rss / rest), rest)))
}

stan_fit <- function(data, algorithm, seed) {
  rows <- rows_of_sums(data)
  frame <- data.frame(y = rows$y, rows$X)
  aux <- if (data$sigma == "cauchy2.5") cauchy(0, 2.5, autoscale = FALSE)
  out <- utils::capture.output(fit <- suppressWarnings(suppressMessages(stan_glm(y ~ 0 + .,
    data = frame, prior = NULL, prior_aux = aux, algorithm = algorithm, seed = seed))))
  draws <- as.matrix(fit)
  data.frame(mean = colMeans(draws), sd = apply(draws, 2, sd))
}

errors <- function(mean, sd, truth) {
  ratio <- sd / truth$sd
  sprintf("%.3f, %.2f-%.2f", max(abs(mean - truth$mean) / truth$sd), min(ratio), max(ratio))
}

stan_cell <- function(case, algorithm, seed) {
  fit <- tryCatch(stan_fit(case$data, algorithm, seed), error = function(e) NULL)
  if (is.null(fit)) return("failed")
  errors(fit$mean, fit$sd, case$truth)
}

own_cell <- function(case) {
  fit <- fit_vb(target(case$log_density, case$init, case$gradient, case$constraints(), case$data))
  s <- summary(fit)
  at <- match(case$truth$variable, s$variable)
  paste0(errors(s$mean[at], s$sd[at], case$truth), " (", fit$counts$gradients, " gradients)")
}

cat("Worst mean error in posterior SDs, smallest and largest SD ratio, against the exact posterior\n\n")
cat("| target | meanfield | ADVI mean-field, seeds 1-3 | ADVI full rank, seeds 1-3 |",
  "optimizing |\n|---|---|---|---|---|\n")
for (name in names) {
  case <- cases[[name]]
  three <- function(algorithm) {
    paste(vapply(1:3, function(s) stan_cell(case, algorithm, s), ""), collapse = "; ")
  }
  cat("|", name, "|", own_cell(case), "|", three("meanfield"), "|", three("fullrank"), "|",
    stan_cell(case, "optimizing", 1), "|\n")
}
