# How much memory does a fit of a million rows need at its peak, above R's own model frame?
# Every variant runs in a process of its own, which is this script with the variant's name.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

n <- 1e6
p <- 5
unit <- n * p * 8 # bytes of the model matrix

# Bytes of R objects in use (column 2) or at the peak (column 6).
objects <- function(column) sum(gc()[, column]) * 2^20

# c(resident peak, peak of R objects, R objects kept), above the data, in model matrices.
measure <- function(variant) {
  library(meanfield)
  set.seed(1)
  fit_vb(y ~ x + (1 | g), data.frame(y = rnorm(50), x = rnorm(50), g = gl(5, 10))) # load all
  d <- data.frame(y = rnorm(n), x1 = rnorm(n), x2 = rnorm(n), x3 = rnorm(n), x4 = rnorm(n),
    g = factor(sample.int(1e4, n, replace = TRUE)))
  gc(reset = TRUE)
  restart_peak()
  before <- c(resident("VmRSS"), rep(objects(2L), 2L))
  kept <- switch(variant,
    frame = model.frame(y ~ x1 + x2 + x3 + x4 + g, d),
    matrix = {
      frame <- model.frame(y ~ x1 + x2 + x3 + x4 + g, d)
      list(frame, model.matrix(y ~ x1 + x2 + x3 + x4, frame))
    },
    fit = fit_vb(y ~ x1 + x2 + x3 + x4 + (1 | g), d)
  )
  (c(resident("VmHWM"), objects(6L), objects(2L)) - before) / unit
}

variant <- commandArgs(trailingOnly = TRUE)
if (length(variant)) {
  result <- measure(variant[1L])
  cat("measured", result, "\n")
  quit()
}

in_child <- function(variant) {
  runs <- replicate(2L, {
    out <- system2(rscript, c(shQuote(script), variant), stdout = TRUE, env = one_thread)
    out <- strsplit(grep("^measured", out, value = TRUE), " ")[[1L]]
    suppressWarnings(as.double(out[2:4])) # NA is NA
  })
  apply(runs, 1L, max)
}
m <- vapply(c(frame = "frame", matrix = "matrix", fit = "fit"), in_child, numeric(3))
rownames(m) <- c("resident", "peak", "kept")

matrices <- function(x) paste(number(x), "matrices")
work <- "1e6 rows, p = 5: peak memory above "
one <- "the model matrix, 40 MB"
if (!is.na(m["resident", "fit"])) {
  at_most(paste0(work, "the peak of model.frame (resident)"), one,
    m["resident", "fit"] - m["resident", "frame"], 1, 2, show = matrices)
}
at_most(paste0(work, "the model frame (R objects)"), one, m["peak", "fit"] - m["kept", "frame"],
  1, 2, show = matrices)
note(paste0(work, "the model frame (R objects)"), "model.frame + model.matrix",
  matrices(m["peak", "fit"] - m["kept", "frame"]),
  matrices(m["peak", "matrix"] - m["kept", "frame"]))
note("the same, resident, with garbage that R has not collected", "model.frame + model.matrix",
  matrices(m["resident", "fit"] - m["kept", "frame"]),
  matrices(m["resident", "matrix"] - m["kept", "frame"]))

finish()
