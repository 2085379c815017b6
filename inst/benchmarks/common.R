# What the benchmark scripts share. A script sources this file first, with its own path in
# `script`, adds rows with faster(), higher(), at_most() and note(), and ends with finish().

rscript <- file.path(R.home("bin"), "Rscript")
one_thread <- c(
  "OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1", "VECLIB_MAXIMUM_THREADS=1"
)

# BLAS reads its number of threads when it is loaded: a script that was started without it
# runs itself again in a child process.
if (Sys.getenv("OPENBLAS_NUM_THREADS") != "1" && !interactive()) {
  args <- c(shQuote(script), shQuote(commandArgs(trailingOnly = TRUE)))
  quit(status = system2(rscript, args, env = one_thread))
}

has <- function(package) requireNamespace(package, quietly = TRUE)

# ---- timing ------------------------------------------------------------------------

wall_seconds <- function() as.double(Sys.time())
cpu_seconds <- function() sum(proc.time()[1:2])

# The value of fun() and the seconds of a clock that it takes, the mean of `times` calls in a row.
timed <- function(fun, times = 1L, clock = wall_seconds) {
  gc(FALSE)
  start <- clock()
  for (i in seq_len(times)) value <- fun()
  list(value = value, seconds = (clock() - start) / times)
}

# Median seconds of each competitor (named functions of no arguments), which take turns `rounds`
# times, in an order that moves on. times: one number, or one of each.
turns <- function(competitors, rounds, times = 1L, clock = wall_seconds) {
  k <- length(competitors)
  times <- rep_len(times, k)
  taken <- matrix(NA_real_, rounds, k, dimnames = list(NULL, names(competitors)))
  for (i in seq_len(rounds)) {
    for (j in (seq_len(k) + i) %% k + 1L) {
      taken[i, j] <- timed(competitors[[j]], times[j], clock)$seconds
    }
  }
  apply(taken, 2L, stats::median)
}

# turns() after all have been called twice.
compare <- function(competitors, rounds, times = 1L) {
  for (fun in c(competitors, competitors)) fun()
  turns(competitors, rounds, times)
}

# ---- memory ------------------------------------------------------------------------

# Resident bytes of this process, now (VmRSS) or at the peak (VmHWM); NA without /proc.
resident <- function(field) {
  if (!file.exists("/proc/self/status")) return(NA_real_)
  line <- grep(paste0("^", field, ":"), readLines("/proc/self/status"), value = TRUE)
  as.double(gsub("[^0-9]", "", line)) * 1024
}

# Peaks start from here, where the system lets a process say so.
restart_peak <- function() try(writeLines("5", "/proc/self/clear_refs"), silent = TRUE)

# ---- rows --------------------------------------------------------------------------

rows <- NULL

add_row <- function(work, peer, ours, theirs, ratio, asked, reached) {
  rows <<- rbind(rows, data.frame(work, peer, ours, theirs, ratio, asked, reached))
}

number <- function(x) {
  sub("\\.$", "", formatC(signif(x, 3), digits = 3, format = "fg", flag = "#", big.mark = ","))
}

duration <- function(s) if (s < 1) paste(number(s * 1e3), "ms") else paste(number(s), "s")

times <- function(ratio) paste0(number(ratio), "x")

# Seconds: the ratio is how many times faster we are, and at least `asked` is wanted.
faster <- function(work, peer, ours, theirs, asked) {
  add_row(work, peer, duration(ours), duration(theirs), times(theirs / ours),
    paste0("at least ", asked, "x"), if (theirs / ours >= asked) "yes" else "no")
}

# A rate, in `unit`: the ratio is how many times higher ours is.
higher <- function(work, peer, ours, theirs, asked, unit) {
  add_row(work, peer, paste(number(ours), unit), paste(number(theirs), unit),
    times(ours / theirs), paste0("at least ", asked, "x"),
    if (ours / theirs >= asked) "yes" else "no")
}

# A cost: the ratio is how many times theirs ours is, and at most `asked` is wanted.
at_most <- function(work, peer, ours, theirs, asked, show = duration) {
  add_row(work, peer, show(ours), show(theirs), times(ours / theirs),
    paste0("at most ", asked, "x"), if (ours / theirs <= asked) "yes" else "no")
}

# For information: nothing is asked.
note <- function(work, peer, ours, theirs = "", ratio = "") {
  add_row(work, peer, ours, theirs, ratio, "", "")
}

not_installed <- function(work, peer, asked = "") {
  add_row(work, peer, "", "not installed", "", asked, "")
}

# ---- results -----------------------------------------------------------------------

markdown_table <- function(rows) {
  head <- c("work", "peer", "ours", "theirs", "ratio", "asked", "reached?")
  cells <- as.matrix(rows)
  cells[] <- gsub("|", "\\|", cells, fixed = TRUE) # of formulas
  lines <- c(paste(head, collapse = " | "), paste(rep("---", length(head)), collapse = " | "),
    apply(cells, 1L, paste, collapse = " | "))
  paste("|", lines, "|")
}

# Show the rows of this script, and save them for run-all.R when it asks for them.
finish <- function() {
  writeLines(markdown_table(rows))
  to <- Sys.getenv("MEANFIELD_BENCH_ROWS")
  if (nzchar(to)) saveRDS(rows, to)
}

version_of <- function(package) {
  paste(package, if (has(package)) utils::packageVersion(package) else "not installed")
}

cpu_model <- function() {
  if (!file.exists("/proc/cpuinfo")) return(Sys.info()[["machine"]])
  sub(".*: *", "", grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1L])
}

machine_facts <- function() {
  blas <- toString(unique(basename(c(utils::sessionInfo()$BLAS, La_library()))))
  packages <- vapply(c("meanfield", "lme4", "rjags", "MCMCglmm", "posterior"), version_of, "")
  c(
    paste0(cpu_model(), ", ", parallel::detectCores(), " cores; one BLAS thread"),
    paste0(R.version.string, "; BLAS and LAPACK: ", blas),
    paste0(toString(packages), if (has("rjags")) paste("; JAGS", rjags::jags.version()))
  )
}
