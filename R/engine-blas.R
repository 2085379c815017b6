# A slow BLAS, said once: R comes with the reference one, on which a fit with many global
# coefficients takes about ten times as long. Results are the same.

MANY_GLOBAL <- 500L
session <- new.env(parent = emptyenv())

say_slow_blas <- function(n_global, name = blas_name()) {
  if (n_global <= MANY_GLOBAL || isTRUE(session$blas_said) || !is_slow_blas(name)) {
    return(invisible())
  }
  session$blas_said <- TRUE
  mf_inform("blas", "R uses its reference BLAS, on which a fit of this size (",
    format(n_global, big.mark = ","), " coefficients in a dense matrix) takes about ten times as ",
    "long as on OpenBLAS: install that (Debian, Ubuntu: apt install libopenblas0-pthread)")
}

# The file of the library; on some platforms "".
blas_name <- function() {
  name <- unname(extSoftVersion()["BLAS"])
  if (is.na(name)) "" else name
}

# By its name; of a name that says nothing, by a product that takes a fast one less than a
# millisecond. rate: floating-point operations a second.
is_slow_blas <- function(name, rate = product_rate()) {
  if (grepl("openblas|mkl|blis|atlas|accelerate|veclib|flexiblas|armpl|essl", tolower(name))) {
    return(FALSE)
  }
  if (grepl("rblas[.](so|dylib)|refblas|/blas/libblas", tolower(name))) return(TRUE)
  rate < 4e9
}

product_rate <- function(n = 160L) {
  A <- matrix(seq_len(n * n) / n^2, n)
  seconds <- vapply(1:3, function(k) {
    start <- Sys.time()
    crossprod(A, A + 1)
    as.double(Sys.time() - start, units = "secs")
  }, 0)
  2 * n^3 / max(min(seconds), 1e-7)
}
