# Install the packages DESCRIPTION asks for that are missing or too old.
# Usage, from the package root: Rscript tools/install-deps.R
#
# Imports and the packages that tests and vignettes cannot do without are required. The
# other Suggests are optional: they come ready-built (apt, or a CRAN binary) or not at all.

needed_suggests <- c("testthat", "knitr", "rmarkdown", "withr")
by_hand <- c("rjags", "MCMCglmm") # benchmarks only

say <- function(...) cat("deps: ", ..., "\n", sep = "")

# --- What is asked for -----------------------------------------------------------------

parse_field <- function(desc, field) {
  if (!field %in% colnames(desc)) return(NULL)
  x <- trimws(strsplit(desc[1, field], ",")[[1]])
  x <- x[nzchar(x)]
  version <- ifelse(grepl(">=", x), sub(".*>=\\s*([0-9.-]+).*", "\\1", x), "0")
  data.frame(
    package = sub("[ (].*", "", gsub("\\s+", " ", x)), version = version,
    required = field != "Suggests"
  )
}

wanted <- function() {
  desc <- read.dcf("DESCRIPTION")
  fields <- c("Depends", "Imports", "LinkingTo", "VignetteBuilder", "Suggests")
  x <- do.call(rbind, lapply(fields, parse_field, desc = desc))
  x$required <- x$required | x$package %in% needed_suggests
  x <- x[order(-x$required, x$version == "0"), ]
  x[!duplicated(x$package) & !x$package %in% c("R", by_hand), ]
}

is_there <- function(package, version = "0") {
  found <- tryCatch(utils::packageVersion(package), error = function(e) NULL)
  !is.null(found) && found >= version
}

lacking <- function(x) x[!mapply(is_there, x$package, x$version), , drop = FALSE]

# --- apt: only for root, and only for the R that Debian packages were built for ----------

on_debian <- nzchar(Sys.which("apt-get")) && Sys.info()[["effective_user"]] == "root" &&
  normalizePath(R.home()) == "/usr/lib/R"

apt_get <- function(...) {
  # dpkg waits for a lock held by another run rather than failing at once
  args <- c("-y", "-o", "DPkg::Lock::Timeout=300", ...)
  env <- "DEBIAN_FRONTEND=noninteractive"
  system2("apt-get", args, env = env, stdout = FALSE, stderr = FALSE) == 0
}

# Which of these R packages apt can install, in a version that is new enough.
apt_has <- function(packages, versions) {
  candidate <- function(package) {
    deb <- paste0("r-cran-", tolower(package))
    out <- system2("apt-cache", c("policy", deb), stdout = TRUE, stderr = FALSE)
    found <- sub("^ *Candidate: *([0-9]+:)?", "", grep("Candidate: *[0-9]", out, value = TRUE))
    sub("[+~].*|-[^-]*$", "", found) # without what Debian adds: "1.8.4-1+dfsg-1" is 1.8.4-1
  }
  has <- function(package, version) {
    isTRUE(package_version(candidate(package), strict = FALSE) >= version)
  }
  as.logical(mapply(has, packages, versions))
}

apt_install <- function(debs) {
  if (!length(debs)) return(invisible())
  say("apt-get install ", paste(debs, collapse = " "))
  install <- function(x) apt_get("install", "--no-install-recommends", x)
  if (install(debs)) return(invisible())
  failed <- Filter(Negate(install), debs) # one that fails must not take the others with it
  if (length(failed)) say("apt-get could not install ", paste(failed, collapse = " "))
}

apt_install_r <- function(x) {
  ok <- apt_has(x$package, x$version)
  apt_install(sprintf("r-cran-%s", tolower(x$package[ok])))
}

# --- CRAN --------------------------------------------------------------------------------

set_repos <- function() {
  repos <- getOption("repos")
  if (is.null(repos) || !"CRAN" %in% names(repos) || repos[["CRAN"]] == "@CRAN@") {
    utils::chooseCRANmirror(ind = 1, local.only = TRUE) # the cloud mirror
  }
}

writable_lib <- function() {
  ok <- file.access(.libPaths(), 2) == 0
  if (any(ok)) return(.libPaths()[ok][1])
  lib <- path.expand(strsplit(Sys.getenv("R_LIBS_USER"), .Platform$path.sep)[[1]][1])
  if (is.na(lib) || !(dir.exists(lib) || dir.create(lib, recursive = TRUE))) {
    stop("no writable library, and R_LIBS_USER could not be created", call. = FALSE)
  }
  .libPaths(c(lib, .libPaths()))
  lib
}

cran_install <- function(packages, type = getOption("pkgType")) {
  if (!length(packages)) return(invisible())
  set_repos()
  lib <- writable_lib()
  if (on_debian) { # what these need in turn, from apt where Debian has it
    db <- tryCatch(utils::available.packages(), error = function(e) NULL)
    if (!is.null(db)) {
      below <- unlist(tools::package_dependencies(packages, db, recursive = TRUE))
      below <- setdiff(unique(below), packages)
      if (length(below)) apt_install_r(lacking(data.frame(package = below, version = "0")))
    }
  }
  say("install.packages: ", paste(packages, collapse = " "))
  utils::install.packages(packages, lib = lib, type = type, quiet = TRUE)
}

# R comes with the reference BLAS, on which large fits take ten times as long.
has_reference_blas <- function() {
  !grepl("openblas|mkl|blis|atlas|accelerate|veclib", tolower(extSoftVersion()[["BLAS"]]))
}

# --- Everything, in order ----------------------------------------------------------------

# Linking to LAPACK needs development files that R alone does not bring, and knitr pandoc.
system_debs <- function() {
  has_lib <- function(name) {
    file <- paste0("lib", name, ".so")
    !identical(system2("cc", paste0("-print-file-name=", file), stdout = TRUE), file)
  }
  can_link <- nzchar(Sys.which("cc")) && all(vapply(c("lapack", "blas", "gfortran"), has_lib, NA))
  c(if (!can_link) "r-base-dev", if (!nzchar(Sys.which("pandoc"))) "pandoc",
    if (has_reference_blas()) "libopenblas0-pthread")
}

todo <- lacking(wanted())
if (on_debian) {
  debs <- system_debs()
  if ((length(debs) || any(todo$required)) && !apt_get("update")) {
    say("apt-get update failed; going on without")
  }
  apt_install(debs)
  apt_install_r(todo)
  todo <- lacking(todo)
}
if (!on_debian && has_reference_blas()) {
  say("large fits are faster on OpenBLAS, which takes apt and root to install: left out")
}
cran_install(todo$package[todo$required])
if (.Platform$pkgType != "source") cran_install(todo$package[!todo$required], type = "binary")

todo <- lacking(todo)
if (any(todo$required)) {
  stop("could not install: ", toString(todo$package[todo$required]), call. = FALSE)
}
if (nrow(todo)) say("going on without (optional): ", toString(todo$package))
