# Garbage for the C glue and tampered fits for the methods: nothing may crash R, hang, or end in an
# error that is not classed.
#
#   Rscript tests/fuzz/garbage.R SEED N_CALLS N_TAMPERED
#
# Needs the package installed and a system that forks. Ends with status 1 when something was found;
# an item can be run again by garbage_call(valid_calls(), ITEM)$run() or
# tampered_fit(garbage_fits(), ITEM)$run().

args <- as.numeric(commandArgs(TRUE))
if (length(args) != 3L || anyNA(args)) stop("usage: Rscript garbage.R SEED N_CALLS N_TAMPERED")
here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)))
suppressPackageStartupMessages(library(meanfield))
inside <- new.env(parent = asNamespace("meanfield")) # calls what no user sees, as tests do
for (helper in c("helper-target-models.R", "helper-topics.R", "helper-garbage.R")) {
  sys.source(file.path(here, "..", "testthat", helper), inside)
}
attach(inside)

report <- function(kind, found) {
  cat(kind, ": ", nrow(found), " found\n", sep = "")
  for (i in seq_len(nrow(found))) {
    cat(sprintf("  %.0f %s %s\n", found$item[i], found$what[i], gsub("\n", " ", found$problem[i])))
  }
}

items <- function(n) args[1L] * 1e5 + seq_len(n)
calls <- valid_calls()
entries <- getDLLRegisteredRoutines("meanfield")[[".Call"]]
unseen <- setdiff(names(entries), vapply(calls, `[[`, "", "entry"))
if (length(unseen)) cat("without a valid call: ", toString(unseen), "\n", sep = "")
found_calls <- run_items(function(i) garbage_call(calls, i), items(args[2L]))
report("C entries", found_calls)
fits <- garbage_fits()
methods <- fit_methods()
found_fits <- run_items(function(i) tampered_fit(fits, i, methods), items(args[3L]), batch = 10L)
report("tampered fits", found_fits)
quit(status = as.integer(nrow(found_calls) + nrow(found_fits) > 0L))
