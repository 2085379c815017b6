# Truths of the targets: Rscript data-raw/targets/truth.R half-a|half-b [name ...] computes all, or
# those named, and writes truth-<half>.csv beside the targets. By default quadrature up to d = 3 (two
# sizes: their difference is the error) and importance sampling beyond (two independent runs, which
# must agree); targets with closed forms or a cheaper exact way have an entry in `special`.
Sys.setenv(OPENBLAS_NUM_THREADS = "1")
here <- "data-raw/targets"; dir <- "inst/benchmarks/targets"
source(file.path(here, "truth-lib.R"))
special <- list()
for (f in list.files(here, "^special-.*[.]R$", full.names = TRUE)) source(f)

pooled <- function(case, n = 120000, ...) {
  a <- truth_is(case, n, seed = 1, ...); b <- truth_is(case, n, seed = 2, ...)
  v <- 1 / a$mcse_mean^2; w <- 1 / b$mcse_mean^2; ok <- a$sd > 0 & !is.na(a$sd)
  z <- abs(a$mean - b$mean) / sqrt(a$mcse_mean^2 + b$mcse_mean^2)
  zs <- (abs(a$sd - b$sd) / sqrt(a$mcse_sd^2 + b$mcse_sd^2))[ok]
  cat(sprintf("   ess %.0f %.0f, k-hat %.2f %.2f, disagreement %.1f (means) %.1f (SDs) in standard errors\n",
    attr(a, "ess"), attr(b, "ess"), attr(a, "khat"), attr(b, "khat"), max(z), max(zs)))
  data.frame(variable = a$variable, mean = (a$mean + b$mean) / 2, sd = (a$sd + b$sd) / 2,
    mcse_mean = sqrt(a$mcse_mean^2 + b$mcse_mean^2) / 2, mcse_sd = sqrt(a$mcse_sd^2 + b$mcse_sd^2) / 2) |>
    structure(method = "importance")
}
by_default <- function(case, d) {
  if (d == 1) structure(truth_grid(case, c(1001, 2001), 12), method = "grid")
  else if (d == 2) structure(truth_grid(case, c(121, 161), 10), method = "grid")
  else if (d == 3) structure(truth_grid(case, c(41, 55), 8.5), method = "grid")
  else pooled(case)
}

args <- commandArgs(TRUE); set <- args[1]
source(file.path(dir, "common.R"))
cases <- read_targets(set, dir)
file <- file.path(dir, paste0("truth-", set, ".csv"))
known <- if (file.exists(file)) read.csv(file)
wanted <- if (length(args) > 1) args[-1] else names(cases)
for (name in wanted) {
  case <- cases[[name]]; t0 <- Sys.time(); f <- free_form(case)
  if (!is.finite(f$lp(f$z0))) stop(name, ": not finite at init")
  t <- if (!is.null(special[[name]])) special[[name]](case)
    else if (case$kind == "refuse") exact(f$vars, NA, NA) else by_default(case, f$d)
  stopifnot(f$vars %in% t$variable)
  method <- attr(t, "method"); if (is.null(method)) method <- "exact"
  rel <- suppressWarnings(c(max(t$mcse_mean / t$sd, na.rm = TRUE), max(t$mcse_sd / t$sd, na.rm = TRUE)))
  cat(sprintf("%-26s d = %d, %s, error / SD %.1e %.1e, edge %.0e, %.0f s\n", name, f$d, method, rel[1], rel[2],
    if (is.null(attr(t, "edge"))) NA else attr(t, "edge"), as.numeric(Sys.time() - t0, units = "secs")))
  for (k in 2:5) t[[k]] <- signif(t[[k]], if (k < 4) 7 else 2)
  known <- rbind(known[known$target != name, ], cbind(target = name, t, method = method))
  write.csv(known, file, row.names = FALSE)
}
