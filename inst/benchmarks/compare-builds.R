# Two builds of the package against each other, A before a change and B after it:
# Rscript inst/benchmarks/compare-builds.R LIB_A LIB_B [rounds=5]
# Times of two installed meanfields, in alternating fresh processes; per item: median A, median B, B / A
# (CPU time of one call; in each process the least of three batches of more than .3 s).
args <- commandArgs(TRUE)
if (length(args) && args[1L] == "--child") {
  lib <- args[2L]
  out <- args[3L]
  .libPaths(c(lib, .libPaths()))
  library(meanfield, lib.loc = lib)
  stopifnot(normalizePath(dirname(find.package("meanfield"))) == normalizePath(lib))
  utils::data(list = c("sleepstudy", "cbpp", "VerbAgg", "grouseticks", "InstEval"), package = "lme4",
    envir = environment())
  inst <- InstEval[seq(1, nrow(InstEval), length.out = 5000), ]
  verb <- VerbAgg
  radon_fit <- fit_vb(log_radon ~ floor + log_uranium + (1 | county), radon)
  sink_file <- file(nullfile(), "w")
  items <- list(
    "fit_vb sleepstudy" = quote(fit_vb(Reaction ~ Days + (Days | Subject), sleepstudy)),
    "fit_vb radon" = quote(fit_vb(log_radon ~ floor + log_uranium + (1 | county), radon)),
    "fit_vb cbpp" = quote(fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
      family = binomial())),
    "fit_vb VerbAgg (1 | id)" = quote(fit_vb(r2 ~ btype + Anger + Gender + (1 | id), verb, family = binomial())),
    "fit_vb grouseticks" = quote(fit_vb(TICKS ~ YEAR + cHEIGHT + (1 | BROOD), grouseticks, family = poisson())),
    "fit_vb mixture (faithful, 2)" = quote(fit_vb(gaussian_mixture(faithful, 2))),
    "fit_vb InstEval 5000, crossed" = quote(suppressMessages(fit_vb(y ~ service + (1 | s) + (1 | d), inst))),
    "fit_gibbs sleepstudy" = quote({
      set.seed(1)
      fit_gibbs(Reaction ~ Days + (Days | Subject), sleepstudy)
    }),
    "fit_gibbs cbpp" = quote({
      set.seed(1)
      fit_gibbs(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, family = binomial())
    }),
    "summary radon" = quote(summary(radon_fit)),
    "print radon" = quote({
      sink(sink_file)
      print(radon_fit)
      sink()
    }),
    "predict radon" = quote(predict(radon_fit, interval = "prediction")),
    "as_draws radon" = quote(as_draws(radon_fit))
  )
  elapsed <- function(expr, n) {
    gc(FALSE)
    start <- sum(proc.time()[1:2]) # CPU time: others share the machine
    for (i in seq_len(n)) eval(expr)
    sum(proc.time()[1:2]) - start
  }
  seconds <- vapply(items, function(expr) {
    n <- 1L
    eval(expr) # first call: byte code, caches
    repeat {
      t <- elapsed(expr, n)
      if (t > .3) break
      n <- max(n + 1L, ceiling(n * min(20, .42 / max(t, .005))))
    }
    t <- min(t, elapsed(expr, n), elapsed(expr, n))
    c(t / n, n)
  }, numeric(2))
  saveRDS(seconds, out)
  quit(status = 0L)
}
stopifnot(length(args) >= 2L)
libs <- c(A = args[1L], B = args[2L])
rounds <- if (length(args) > 2L) as.integer(args[3L]) else 5L
self <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
Sys.setenv(OPENBLAS_NUM_THREADS = 1, OMP_NUM_THREADS = 1)
times <- list(A = list(), B = list())
for (r in seq_len(rounds)) {
  for (which in if (r %% 2) c("A", "B") else c("B", "A")) {
    out <- tempfile(fileext = ".rds")
    status <- system2(file.path(R.home("bin"), "Rscript"), shQuote(c(self, "--child", libs[[which]], out)))
    if (status != 0L) stop("a run of library ", which, " failed")
    times[[which]][[r]] <- readRDS(out)
  }
  message("round ", r, " of ", rounds)
}
med <- function(l, i) apply(sapply(l, function(s) s[i, ]), 1L, median)
low <- function(l) apply(sapply(l, function(s) s[1L, ]), 1L, min)
a <- med(times$A, 1L)
b <- med(times$B, 1L)
print(data.frame(item = names(a), A_ms = signif(1e3 * a, 4), B_ms = signif(1e3 * b, 4), ratio = round(b / a, 3),
  ratio_of_minima = round(low(times$B) / low(times$A), 3), repeats = med(times$A, 2L)), row.names = FALSE, right = FALSE)
