# The whole fuzzer: random calls of several seeds, and, where it is there, the garbage that
# garbage.R hands to the core. Ends with status 1 when there is any bad line.
#
#   Rscript tests/fuzz/run.R SEED ... [n=200] [limit=30] [budget=SECONDS] [out=DIR]

fuzz_as_library <- TRUE
home <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))))
source(file.path(home, "fuzz.R"))

run_garbage <- function(seed, n) {
  script <- file.path(home, "garbage.R")
  if (!file.exists(script)) return(0L)
  env <- paste0("R_LIBS=", shQuote(paste(.libPaths(), collapse = .Platform$path.sep)))
  status <- system2(file.path(R.home("bin"), "Rscript"), c(shQuote(script), seed, n, n %/% 4L),
    env = env)
  if (status != 0) cat("garbage: Rscript tests/fuzz/garbage.R", seed, n, n %/% 4L, "\n")
  as.integer(status != 0)
}

args <- commandArgs(TRUE)
seeds <- as.integer(grep("^[0-9]+$", args, value = TRUE))
if (!length(seeds)) seeds <- 1:2
n <- as.integer(option_of(args, "n", 200))
limit <- as.double(option_of(args, "limit", 30))
out <- option_of(args, "out", tempdir())
dir.create(out, FALSE, TRUE)
deadline <- seconds() + as.double(option_of(args, "budget", Inf))
for (k in seq_along(seeds)) { # what is left of the budget, in equal shares
  share <- seconds() + (deadline - seconds()) / (length(seeds) - k + 1)
  done <- run_seed(seeds[k], n, out, limit, share)
  cat("seed ", seeds[k], ": ", done, " of ", n, " cases",
    if (done < n) ", then the time was up", "\n", sep = "")
}
logs <- vapply(seeds, function(s) files_of(out, s)$log, "")
bad <- report_fuzz(logs)
for (seed in seeds) bad <- bad + run_garbage(seed, n)
cat(if (bad) paste(bad, "bad lines") else "nothing bad", "\n")
quit(status = bad > 0)
