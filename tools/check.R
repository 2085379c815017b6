# R CMD build, R CMD check --as-cran, and a verdict: any ERROR or WARNING fails, and so does
# any NOTE that is not in `allowed`. Usage, from the package root: Rscript tools/check.R

allowed <- c( # facts about the machine or the network, not about the package
  "^Maintainer:.*New submission",
  "^Packages? suggested but not available",
  "^Packages? unavailable to check Rd xrefs",
  "unable to verify current time",
  "^Examples with CPU \\(user \\+ system\\) or elapsed time",
  # about the package: byte code of its functions and vignettes with their figures, 2 MB each
  "^installed size is  ?5[.][0-9]Mb"
)

out <- file.path(getwd(), "build", "check")
unlink(out, recursive = TRUE)
dir.create(out, recursive = TRUE)
if (!l10n_info()[["UTF-8"]]) Sys.setenv(LC_ALL = "C.UTF-8")
r <- file.path(R.home("bin"), "R")

defaults <- c(
  LANGUAGE = "en",
  NOT_CRAN = "true", # run the tests that skip_on_cran() would leave out
  MEANFIELD_TEST_LEVEL = "2",
  `_R_CHECK_FORCE_SUGGESTS_` = "false",
  `_R_CHECK_CRAN_INCOMING_` = "false",
  `_R_CHECK_CRAN_INCOMING_REMOTE_` = "false",
  `_R_CHECK_SYSTEM_CLOCK_` = "0",
  # flags that R itself was configured with
  `_R_CHECK_COMPILATION_FLAGS_KNOWN_` = paste(
    system2(r, c("CMD", "config", "CFLAGS"), stdout = TRUE), collapse = " "
  )
)
if (!nzchar(Sys.which("tidy"))) defaults["_R_CHECK_RD_VALIDATE_RD2HTML_"] <- "false"
if (!nzchar(Sys.which("qpdf"))) defaults["R_QPDF"] <- "true" # there are no PDFs to shrink
# For each Suggests that is missing R asks CRAN whether it is orphaned, and stops when it cannot.
cran <- tempfile("cran-")
dir.create(file.path(cran, "web", "packages"), recursive = TRUE)
saveRDS(data.frame(Package = character(), Maintainer = character()),
        file.path(cran, "web", "packages", "packages.rds"))
defaults["R_CRAN_WEB"] <- paste0("file://", cran)

defaults <- defaults[is.na(Sys.getenv(names(defaults), NA))]
do.call(Sys.setenv, as.list(defaults))

build <- tempfile("build-")
dir.create(build)
root <- setwd(build)
if (system2(r, c("CMD", "build", shQuote(root))) != 0) stop("R CMD build failed", call. = FALSE)
setwd(root)
tarball <- list.files(build, "[.]tar[.]gz$", full.names = TRUE)
args <- c("--as-cran", if (!nzchar(Sys.which("pdflatex"))) "--no-manual", "-o", shQuote(out))
status <- system2(r, c("CMD", "check", args, shQuote(tarball)))

rcheck <- list.files(out, "[.]Rcheck$", full.names = TRUE)
log <- file.path(rcheck, "00check.log")
found <- as.data.frame(tools::check_packages_in_dir_details(logs = log, drop_ok = TRUE))
found <- found[found$Status %in% c("NOTE", "WARNING", "ERROR", "FAILURE"), , drop = FALSE]
harmless <- found$Status == "NOTE" & grepl(paste(allowed, collapse = "|"), trimws(found$Output))
rout <- list.files(file.path(rcheck, "tests"), "^testthat[.]Rout(|[.]fail)$", full.names = TRUE)
counts <- grep("^\\[ FAIL", unlist(lapply(rout, readLines, warn = FALSE)), value = TRUE)
summed <- grep("^Status:", readLines(log, warn = FALSE), value = TRUE)
reported <- sum(as.integer(unlist(regmatches(summed, gregexpr("[0-9]+", summed)))))
bad <- status != 0 || any(!harmless) || reported > nrow(found) || !length(summed) ||
  !length(counts)

cat("\n")
for (i in seq_len(nrow(found))) {
  cat(if (harmless[i]) "allowed " else "", found$Status[i], ": ", found$Check[i], "\n", sep = "")
}
cat("R CMD check: ", if (length(summed)) summed else "did not finish", "\n", sep = "")
cat("testthat: ", if (length(counts)) tail(counts, 1) else "no result", "\n", sep = "")
cat("Details in build/check/", basename(rcheck), "\n", sep = "")
cat("make check: ", if (bad) "FAILED" else "passed", "\n", sep = "")
quit(status = bad)
