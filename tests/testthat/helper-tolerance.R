# Tolerances, each with its reason.
tol_algebra <- 1e-12   # one factorisation of a small well-scaled matrix
tol_merge <- 1e-10     # sums in another order
tol_twin <- 1e-8       # two implementations of the same fixed point, both to 1e-12
tol_fd <- 1e-5         # central differences of a refit: truncation h^2, noise 1e-13 / h
tol_mcse <- 4          # Monte Carlo standard errors, fixed seeds

# Test level: 1 everywhere, 2 in the package's own CI, 3 long statistical runs.
test_level <- function() as.integer(Sys.getenv("MEANFIELD_TEST_LEVEL", "1"))
skip_below_level <- function(level) {
  testthat::skip_if(test_level() < level, paste("needs MEANFIELD_TEST_LEVEL >=", level))
}

expect_close <- function(object, expected, tol) {
  testthat::expect_lte(max(abs(object - expected) / pmax(abs(expected), 1e-300)), tol)
}
