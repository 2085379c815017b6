# One fit of default.R, for a process of its own: a million rows of two crossed factors of `a` and
# `b` levels. Rscript default-crossed.R a b prints, between tabs, "measured", the CPU seconds of the
# fit, and the megabytes at the peak above those of the process with the data; or "error" and why.
levels <- as.integer(commandArgs(trailingOnly = TRUE))
suppressMessages(library(meanfield))

# Resident bytes of this process, now (VmRSS) or at the peak (VmHWM); NA without /proc.
resident <- function(field) {
  if (!file.exists("/proc/self/status")) return(NA_real_)
  line <- grep(paste0("^", field, ":"), readLines("/proc/self/status"), value = TRUE)
  as.double(gsub("[^0-9]", "", line)) * 1024
}

set.seed(1)
n <- 1e6
invisible(fit_vb(y ~ x + (1 | a), data.frame(y = rnorm(50), x = rnorm(50), a = gl(5, 10)))) # load
d <- data.frame(
  x = rnorm(n), a = sample.int(levels[1L], n, TRUE), b = sample.int(levels[2L], n, TRUE)
)
d$y <- 1 + 0.5 * d$x + rnorm(levels[1L], 0, 0.7)[d$a] + rnorm(levels[2L], 0, 0.5)[d$b] + rnorm(n)
invisible(gc())
try(writeLines("5", "/proc/self/clear_refs"), silent = TRUE) # the peak starts from here
before <- resident("VmRSS")
start <- sum(proc.time()[1:2])
fit <- tryCatch(
  suppressWarnings(fit_vb(y ~ x + (1 | a) + (1 | b), d, integrate = "no")), error = identity
)
seconds <- sum(proc.time()[1:2]) - start
if (inherits(fit, "error")) {
  cat("error", gsub("[[:space:]]+", " ", conditionMessage(fit)), sep = "\t")
} else {
  cat("measured", seconds, (resident("VmHWM") - before) / 2^20, sep = "\t")
}
cat("\n")
