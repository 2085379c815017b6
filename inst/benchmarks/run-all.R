# Run every benchmark in a process of its own and write results.md beside this file.
# From a source tree (`make bench`), the tree is built and installed in a temporary library
# first, from a copy, so that what is measured is the working tree and nothing in it changes.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
here <- dirname(normalizePath(script))
source(file.path(here, "common.R"))

root <- dirname(dirname(here)) # of the source tree, when this is one

install_copy <- function(root) {
  copy <- tempfile("tree-")
  lib <- tempfile("lib-")
  dir.create(copy)
  dir.create(lib)
  parts <- c("DESCRIPTION", "NAMESPACE", "LICENSE", "R", "src", "data")
  file.copy(file.path(root, parts), copy, recursive = TRUE)
  unlink(Sys.glob(file.path(copy, "src", c("*.o", "*.so", "*.dll"))))
  log <- file.path(lib, "install.log")
  status <- system2(file.path(R.home("bin"), "R"), c("CMD", "INSTALL", "--no-docs",
    "--no-multiarch", paste0("--library=", shQuote(lib)), shQuote(copy)), stdout = log,
    stderr = log)
  if (status != 0) stop(paste(readLines(log), collapse = "\n"))
  lib
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

run <- function(name) {
  message(name)
  saved <- tempfile(fileext = ".rds")
  env <- c(one_thread, paste0("MEANFIELD_BENCH_ROWS=", shQuote(saved)))
  system2(rscript, shQuote(file.path(here, name)), env = env)
  if (!file.exists(saved)) stop(name, " failed")
  readRDS(saved)
}

started <- Sys.time()
commit <- git_commit(root)
if (file.exists(file.path(root, "DESCRIPTION")) && dir.exists(file.path(root, "src"))) {
  lib <- install_copy(root)
  .libPaths(c(lib, .libPaths()))
  Sys.setenv(R_LIBS = paste(.libPaths(), collapse = .Platform$path.sep))
}

scripts <- c("sleepstudy.R", "large-n.R", "memory.R", "mixed.R", "gibbs.R", "interweave.R",
  "exact.R", "gmm.R", "glmm.R", "default.R")
rows <- do.call(rbind, lapply(scripts, run))
minutes <- number(as.double(Sys.time() - started, units = "mins"))
writeLines(c(
  "# Benchmark results", "",
  paste0(format(Sys.Date()), ", ", commit, "; ", minutes, " minutes. Written by `run-all.R`; ",
    "`README.md` explains the rows."), "",
  paste("-", machine_facts()), "", markdown_table(rows)
), file.path(here, "results.md"))
message("results.md written after ", minutes, " minutes")
