# Random calls of the package, each judged: see base.R for the classes.
#
#   Rscript tests/fuzz/fuzz.R SEED N [out=DIR] [limit=30] [budget=SECONDS]
#       cases 1..N of SEED, in child processes with a limit of CPU seconds for each call
#   Rscript tests/fuzz/fuzz.R SEED only=I
#       case I again, in this process, telling all
#
# A line per step goes to DIR/fuzz-SEED.tsv: seed, case, step, class, where, message, call.

fuzz_dir <- function() {
  file <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
  if (length(file)) dirname(normalizePath(file)) else "."
}
if (!exists("home")) home <- fuzz_dir()
parts <- c("base", "data", "calls", "mixtures", "checks", "steps", "targets", "agree", "cases",
  "supervise", "report")
for (part in parts) {
  source(file.path(home, paste0(part, ".R")))
}

# Loaded in every child alike: which methods a generic finds may depend on it.
load_packages <- function() {
  suppressPackageStartupMessages(library(meanfield))
  packages <- c("posterior", "loo", "rstantools", "insight", "emmeans", "bayesplot", "performance",
    "marginaleffects", "tibble", "lme4")
  for (p in packages) requireNamespace(p, quietly = TRUE)
}

append_line <- function(file, ...) {
  fields <- gsub("[\t\n]", " ", c(...))
  cat(paste(fields, collapse = "\t"), "\n", sep = "", file = file, append = TRUE)
}

# What a case says goes to a file of its own first, so that a crash leaves its last "begin" line.
case_log <- function(file, seed, i, loud = FALSE) {
  list(
    begin = function(step, text) {
      append_line(file, seed, i, step, "begin", "", "", text)
      if (loud && step == "fit") cat(text, "\n")
    },
    say = function(step, out, text) {
      append_line(file, seed, i, step, out$class, out$where, out$message, text)
      if (loud) cat(step, out$class, out$where, out$message, "\n")
      for (w in out$warnings) {
        append_line(file, seed, i, step, "warning-unclassed", w$where, w$message, text)
        if (loud) cat("  warning:", w$where, w$message, "\n")
      }
    }
  )
}

# From the file of a case to that of its seed; with a status, the last step begun has it.
keep_case <- function(from, to, status = NULL) {
  lines <- if (file.exists(from)) readLines(from) else character()
  begun <- grepl("^[0-9]+\t[0-9]+\t[^\t]+\tbegin\t", lines)
  if (!is.null(status) && any(begun)) {
    lines <- c(lines, sub("\tbegin\t", paste0("\t", status, "\t"), utils::tail(lines[begun], 1L)))
  }
  lines <- lines[!grepl("\tbegin\t", lines)]
  if (length(lines)) cat(lines, file = to, sep = "\n", append = TRUE)
  unlink(from)
}

files_of <- function(out, seed) {
  log <- file.path(out, sprintf("fuzz-%d.tsv", seed))
  list(log = log, case = paste0(log, ".case"), beat = paste0(log, ".beat"))
}

# The child: cases first..last, each step noted in the beat file. A case of many slow steps ends
# when it has had the time of one.
run_cases <- function(seed, first, last, limit, out) {
  load_packages()
  files <- files_of(out, seed)
  beat <- function(i, k) { # whole at once: the parent reads it at any time
    cat(Sys.getpid(), i, k, "\n", file = paste0(files$beat, ".new"))
    file.rename(paste0(files$beat, ".new"), files$beat)
  }
  for (i in seq.int(first, length.out = max(0L, last - first + 1L))) {
    log <- case_log(files$case, seed, i)
    k <- 0L
    begin <- function(...) {
      beat(i, k <<- k + 1L)
      log$begin(...)
    }
    beat(i, 0L)
    run_case(seed, i, log$say, begin, limit)
    keep_case(files$case, files$log)
  }
  beat(last + 1L, 0L)
}

start_child <- function(seed, first, last, limit, out) {
  args <- c(shQuote(file.path(home, "fuzz.R")), seed, "child", first, last, limit, shQuote(out))
  env <- paste0("R_LIBS=", shQuote(paste(.libPaths(), collapse = .Platform$path.sep)))
  system2(file.path(R.home("bin"), "Rscript"), args, env = env, wait = FALSE,
    stdout = FALSE, stderr = FALSE)
}

run_seed <- function(seed, n, out = tempdir(), limit = 30, deadline = Inf) {
  files <- files_of(out, seed)
  unlink(unlist(files))
  lost <- function(case, status) {
    keep_case(files$case, files$log, status)
    if (is.na(case)) {
      append_line(files$log, seed, 0, "start", status, "", "the child did not start", "")
    }
  }
  start <- function(i) start_child(seed, i, n, limit, out)
  supervise(1L, n, limit, deadline, files$beat, start, lost)
}

run_only <- function(seed, i) {
  load_packages()
  log <- case_log(tempfile(), seed, i, loud = TRUE)
  invisible(run_case(seed, i, log$say, log$begin))
}

option_of <- function(args, name, default) {
  found <- grep(paste0("^", name, "="), args, value = TRUE)
  if (length(found)) sub("^[^=]*=", "", found[1L]) else default
}

main <- function(args) {
  seed <- as.integer(args[1L])
  if (args[2L] == "child") {
    k <- as.double(args[3:5])
    return(run_cases(seed, as.integer(k[1L]), as.integer(k[2L]), k[3L], args[6L]))
  }
  only <- option_of(args, "only", "")
  if (nzchar(only)) return(run_only(seed, as.integer(only)))
  out <- option_of(args, "out", tempdir())
  deadline <- seconds() + as.double(option_of(args, "budget", Inf))
  limit <- as.double(option_of(args, "limit", 30))
  done <- run_seed(seed, as.integer(args[2L]), out, limit, deadline)
  bad <- report_fuzz(files_of(out, seed)$log)
  cat(done, "cases of seed", seed, "\n")
  if (!interactive()) quit(status = bad > 0)
}

args <- commandArgs(TRUE)
if (length(args) >= 2L && !exists("fuzz_as_library")) main(args)
