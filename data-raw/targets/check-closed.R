# Closed forms against a short importance sample: Rscript data-raw/targets/check-closed.R half-a|half-b
Sys.setenv(OPENBLAS_NUM_THREADS = "1"); dir <- "inst/benchmarks/targets"
source("data-raw/targets/truth-lib.R"); source(file.path(dir, "common.R"))
cases <- read_targets(commandArgs(TRUE)[1], dir); set.seed(7)
for (name in names(cases)) {
  case <- cases[[name]]; d <- free_form(case)$d
  if (!any(case$truth$method %in% c("exact", "line", "plane", "cube")) || case$kind == "refuse") next
  r <- tryCatch(truth_is(case, 20000, K = 4), error = function(e) NULL)
  if (is.null(r)) { cat(sprintf("%-26s could not be sampled\n", name)); next }
  t <- case$truth; m <- match(t$variable, r$variable)
  z <- max(abs(r$mean[m] - t$mean) / pmax(r$mcse_mean[m], 1e-12), na.rm = TRUE); lz <- r$mean[nrow(r)] - case$log_evidence
  cat(sprintf("%-26s mean %.1f se (%.3f SD), SD ratio %.3f to %.3f, evidence %+.3f (se %.3f), ess %.0f, k-hat %.2f\n", name, z,
    max(abs(r$mean[m] - t$mean) / t$sd, na.rm = TRUE), suppressWarnings(min(r$sd[m] / t$sd, na.rm = TRUE)), suppressWarnings(max(r$sd[m] / t$sd, na.rm = TRUE)),
    lz, r$mcse_mean[nrow(r)], attr(r, "ess"), attr(r, "khat")))
}
