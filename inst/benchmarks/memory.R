# How much memory does a fit of a million rows need at its peak, above R's own model frame?
# Every variant runs in a process of its own, which is this script with the variant's name.
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), TRUE))), "common.R"))

n <- 1e6
p <- 5
unit <- n * p * 8 # bytes of the model matrix

# Peak resident bytes of the process since reset_peak(), where the system tells (Linux); NA
# elsewhere. gc()'s own count is the second opinion: it sees R objects only.
resident <- function(field) {
  if (!file.exists("/proc/self/status")) return(NA_real_)
  line <- grep(paste0("^", field, ":"), readLines("/proc/self/status"), value = TRUE)
  as.double(gsub("[^0-9]", "", line)) * 1024
}
reset_peak <- function() {
  gc(reset = TRUE)
  try(writeLines("5", "/proc/self/clear_refs"), silent = TRUE)
}

measure <- function(variant) {
  suppressPackageStartupMessages(library(meanfield))
  set.seed(1)
  small <- data.frame(y = rnorm(50), x1 = rnorm(50), g = gl(5, 10))
  fit_vb(y ~ x1 + (1 | g), small) # load and compile first
  d <- data.frame(y = rnorm(n), x1 = rnorm(n), x2 = rnorm(n), x3 = rnorm(n), x4 = rnorm(n),
    g = factor(sample.int(1e4, n, replace = TRUE)))
  reset_peak()
  before <- c(resident("VmRSS"), sum(gc()[, 2L]) * 2^20)
  keep <- switch(variant,
    frame = model.frame(y ~ x1 + x2 + x3 + x4 + g, d),
    matrix = {
      frame <- model.frame(y ~ x1 + x2 + x3 + x4 + g, d)
      list(frame, model.matrix(y ~ x1 + x2 + x3 + x4, frame))
    },
    fit = fit_vb(y ~ x1 + x2 + x3 + x4 + (1 | g), d)
  )
  after <- c(resident("VmHWM"), sum(gc()[, 6L]) * 2^20)
  (after - before) / unit
}

variant <- commandArgs(trailingOnly = TRUE)
if (length(variant)) {
  cat("peak", measure(variant[1L]), "\n")
  quit()
}

# Median over fresh processes of c(resident, R objects), in model matrices.
peak <- function(variant) {
  runs <- replicate(3L, {
    out <- system2(rscript, c(shQuote(script_path()), variant), stdout = TRUE, env = one_thread)
    as.double(strsplit(grep("^peak", out, value = TRUE), " ")[[1L]][2:3])
  })
  apply(runs, 1L, median)
}
peaks <- vapply(c(frame = "frame", matrix = "matrix", fit = "fit"), peak, numeric(2))
above <- peaks - peaks[, "frame"]
units <- function(x) paste(number(x), "model matrices")
kind <- if (is.na(above[1L, "fit"])) 2L else 1L

work <- "1e6 rows, p = 5: peak memory above the model frame"
at_most(paste0(work, c(" (resident)", " (R objects)")[kind]), "the model matrix, 40 MB",
  above[kind, "fit"], 1, 2, show = units)
note("the same, R objects by gc()", "", units(above[2L, "fit"]))
note("for comparison: model.frame alone, above the data", "R", "", units(peaks[kind, "frame"]))
note(work, "R: model.frame + model.matrix", units(above[kind, "fit"]),
  units(above[kind, "matrix"]))

finish()
