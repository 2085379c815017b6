# What the benchmark scripts share. A script sources this file first, adds rows with faster(),
# at_most() and note(), and ends with finish().

script_path <- function() {
  sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])
}

rscript <- file.path(R.home("bin"), "Rscript")
one_thread <- c(
  "OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1", "VECLIB_MAXIMUM_THREADS=1"
)

# BLAS reads its number of threads when it is loaded: a script that was started without it
# runs itself again in a child process.
if (Sys.getenv("OPENBLAS_NUM_THREADS") != "1" && !interactive()) {
  args <- c(shQuote(script_path()), shQuote(commandArgs(trailingOnly = TRUE)))
  quit(status = system2(rscript, args, env = one_thread))
}

has <- function(package) requireNamespace(package, quietly = TRUE)

# ---- timing ------------------------------------------------------------------------

# Seconds of one evaluation of fun(), the mean of `times` of them in a row.
seconds_of <- function(fun, times = 1L) {
  gc(FALSE)
  start <- Sys.time()
  for (i in seq_len(times)) fun()
  as.double(Sys.time() - start, units = "secs") / times
}

# Median seconds of each competitor (named functions of no arguments): all are called once
# before anything is timed, then take turns `rounds` times, in an order that moves on.
compare <- function(competitors, rounds = 7L, times = 1L, warm = TRUE) {
  if (warm) for (fun in competitors) fun()
  k <- length(competitors)
  taken <- matrix(NA_real_, rounds, k, dimnames = list(NULL, names(competitors)))
  for (i in seq_len(rounds)) {
    for (j in (seq_len(k) + i - 2L) %% k + 1L) taken[i, j] <- seconds_of(competitors[[j]], times)
  }
  apply(taken, 2L, stats::median)
}

# ---- rows --------------------------------------------------------------------------

rows <- NULL

add_row <- function(work, peer, ours, theirs, ratio, asked, reached) {
  rows <<- rbind(rows, data.frame(work, peer, ours, theirs, ratio, asked, reached))
}

number <- function(x) format(signif(x, 3), big.mark = ",", scientific = FALSE, trim = TRUE)

duration <- function(s) {
  if (s < 1e-4) paste(number(s * 1e6), "us") else if (s < 1) paste(number(s * 1e3), "ms") else {
    paste(number(s), "s")
  }
}

times <- function(ratio) paste0(number(ratio), "x")

# `show` formats ours and theirs. gain: how many times better we are; asked: at least that.
faster <- function(work, peer, ours, theirs, asked, show = duration, gain = theirs / ours) {
  add_row(work, peer, show(ours), show(theirs), times(gain), paste("at least", times(asked)),
    if (gain >= asked) "yes" else "no")
}

# cost: how many times theirs ours takes; asked: at most that.
at_most <- function(work, peer, ours, theirs, asked, show = duration, cost = ours / theirs) {
  add_row(work, peer, show(ours), show(theirs), times(cost), paste("at most", times(asked)),
    if (cost <= asked) "yes" else "no")
}

# For information: nothing is asked.
note <- function(work, peer, ours, theirs = "", ratio = "") {
  add_row(work, peer, ours, theirs, ratio, "", "")
}

not_installed <- function(work, peer, asked) {
  add_row(work, peer, "", "not installed", "", if (is.na(asked)) "" else
    paste("at least", times(asked)), "")
}

# ---- results -----------------------------------------------------------------------

markdown_table <- function(rows) {
  head <- c("work", "peer", "ours", "theirs", "ratio", "asked", "reached?")
  lines <- c(paste(head, collapse = " | "), paste(rep("---", length(head)), collapse = " | "),
    apply(rows, 1L, paste, collapse = " | "))
  paste("|", lines, "|")
}

# Show the rows of this script, and save them for run-all.R when it asks for them.
finish <- function() {
  writeLines(markdown_table(rows))
  to <- Sys.getenv("MEANFIELD_BENCH_ROWS")
  if (nzchar(to)) saveRDS(rows, to)
}

version_of <- function(package) {
  if (has(package)) paste(package, utils::packageVersion(package)) else {
    paste(package, "not installed")
  }
}

cpu_model <- function() {
  if (!file.exists("/proc/cpuinfo")) return(Sys.info()[["machine"]])
  line <- grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1L]
  sub("^.*:[[:space:]]*", "", line)
}

machine_facts <- function() {
  blas <- unique(basename(c(utils::sessionInfo()$BLAS, La_library())))
  jags <- if (has("rjags")) paste0("JAGS ", rjags::jags.version(), ", ")
  c(
    paste0("CPU: ", cpu_model(), ", ", parallel::detectCores(), " cores; one BLAS thread"),
    paste0(R.version.string, "; BLAS and LAPACK: ", toString(blas), " (LAPACK ", La_version(), ")"),
    paste0(jags, toString(vapply(c("meanfield", "lme4", "rjags", "MCMCglmm", "posterior"),
      version_of, "")))
  )
}

git_commit <- function(root) {
  git <- function(...) {
    suppressWarnings(system2("git", c("-C", shQuote(root), ...), stdout = TRUE, stderr = FALSE))
  }
  at <- tryCatch(git("rev-parse", "--short", "HEAD"), error = function(e) character())
  if (!length(at)) return("commit unknown")
  changed <- length(git("status", "--porcelain", "--", "R", "src")) > 0L
  paste0("commit ", at, if (changed) " with uncommitted changes in R/ or src/")
}

write_results <- function(rows, file, root, minutes) {
  writeLines(c(
    "# Benchmark results", "",
    paste0(format(Sys.Date()), ", ", git_commit(root), ", run in ", number(minutes),
      " minutes. Written by `run-all.R`; `README.md` explains the rows."), "",
    paste("-", machine_facts()), "", markdown_table(rows)
  ), file)
}
