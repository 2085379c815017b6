# A slow BLAS is said once, and only where it matters.

with_new_session <- function(code) {
  old <- session$blas_said
  session$blas_said <- NULL
  on.exit(session$blas_said <- old)
  code
}

test_that("a library is known by its name, or by how fast it is", {
  slow <- c("/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", "/usr/lib/R/lib/libRblas.so")
  fast <- c("/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", "/opt/intel/mkl/libmkl_rt.so",
    "/System/Library/Frameworks/Accelerate.framework/vecLib/libBLAS.dylib")
  for (name in slow) expect_true(is_slow_blas(name, stop("not timed")))
  for (name in fast) expect_false(is_slow_blas(name, stop("not timed")))
  expect_true(is_slow_blas("", rate = 1e9))
  expect_false(is_slow_blas("", rate = 2e10))
  expect_gt(product_rate(), 1e6)
})

test_that("it is said once, of large fits", {
  slow <- "/usr/lib/R/lib/libRblas.so"
  with_new_session({
    expect_no_message(say_slow_blas(500L, slow))
    expect_no_message(say_slow_blas(5000L, "libopenblas.so"))
    expect_message(say_slow_blas(501L, slow), "501 coefficients", class = "meanfield_message_blas")
    expect_no_message(say_slow_blas(501L, slow))
  })
})
