# Is the code in the form that .clang-format and .lintr say? Status 1 with a line per place where not.
# Usage, from the package root: Rscript tools/style.R
# On a Debian machine, as root, the two tools are installed when they are missing; elsewhere a tool
# that is not there is named and left out.

install <- function(deb) {
  root <- Sys.info()[["effective_user"]] == "root" && nzchar(Sys.which("apt-get"))
  if (root) system2("apt-get", c("install", "-y", "--no-install-recommends", deb), stdout = FALSE,
    stderr = FALSE)
}

left_out <- function(tool) cat("style: ", tool, " is not here: not checked\n", sep = "")

c_style <- function() {
  if (!nzchar(Sys.which("clang-format"))) install("clang-format")
  if (!nzchar(Sys.which("clang-format"))) {
    left_out("clang-format")
    return(TRUE)
  }
  files <- list.files(c("src", "tests/c-core"), "[.][ch]$", recursive = TRUE, full.names = TRUE)
  system2("clang-format", c("--dry-run", "-Werror", files)) == 0
}

r_style <- function() {
  if (!requireNamespace("lintr", quietly = TRUE)) install("r-cran-lintr")
  if (!requireNamespace("lintr", quietly = TRUE)) {
    left_out("lintr")
    return(TRUE)
  }
  found <- as.data.frame(lintr::lint_dir("R"))
  cat(sprintf("R/%s:%d: %s\n", found$filename, found$line_number, found$message), sep = "")
  nrow(found) == 0L
}

good <- c(C = c_style(), R = r_style())
for (language in names(good)) cat("style: ", language, if (good[[language]]) " ok" else " not ok", "\n",
  sep = "")
quit(status = as.integer(!all(good)))
