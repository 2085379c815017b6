# One fit of default.R, for a process of its own: a million rows of two crossed factors of `a` and
# `b` levels. Rscript default-crossed.R a b prints, between tabs, "measured", the CPU seconds of the
# fit, and the megabytes at the peak above those of the process with the data; or "error" and why.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

levels <- as.integer(commandArgs(trailingOnly = TRUE))
suppressMessages(library(meanfield))

set.seed(1)
n <- 1e6
invisible(fit_vb(y ~ x + (1 | a), data.frame(y = rnorm(50), x = rnorm(50), a = gl(5, 10)))) # load
d <- data.frame(
  x = rnorm(n), a = sample.int(levels[1L], n, TRUE), b = sample.int(levels[2L], n, TRUE)
)
d$y <- 1 + 0.5 * d$x + rnorm(levels[1L], 0, 0.7)[d$a] + rnorm(levels[2L], 0, 0.5)[d$b] + rnorm(n)
invisible(gc())
restart_peak()
before <- resident("VmRSS")
run <- timed(clock = cpu_seconds, fun = function() {
  tryCatch(suppressWarnings(fit_vb(y ~ x + (1 | a) + (1 | b), d, integrate = "no")), error = identity)
})
if (inherits(run$value, "error")) {
  cat("error", gsub("[[:space:]]+", " ", conditionMessage(run$value)), sep = "\t")
} else {
  cat("measured", run$seconds, (resident("VmHWM") - before) / 2^20, sep = "\t")
}
cat("\n")
