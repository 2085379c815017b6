# A few items of tests/fuzz/garbage.R, which runs thousands.

test_that("no garbage crashes the C entries or keeps them, and every refusal is classed", {
  skip_on_cran()
  skip_on_os("windows") # items run in forked children
  calls <- valid_calls()
  entries <- names(getDLLRegisteredRoutines("meanfield")[[".Call"]])
  expect_setequal(vapply(calls, `[[`, "", "entry"), entries)
  found <- run_items(function(i) garbage_call(calls, i), 1:60)
  expect_identical(found$problem, character())
})

test_that("methods refuse tampered fits by a classed error", {
  skip_on_cran()
  skip_on_os("windows")
  fits <- garbage_fits()
  for (fit in fits) expect_identical(valid_fit(fit), fit)
  methods <- fit_methods()
  found <- run_items(function(i) tampered_fit(fits, i, methods, 4L), 1:20)
  expect_identical(found$problem, character())
})

test_that("a fit of another version, or with a part of the wrong size, is refused by name", {
  fit <- fit_vb(log_radon ~ floor + (1 | county), radon, integrate = "no")
  refused <- function(fit, part) {
    e <- expect_error(print(fit), class = "meanfield_error_fit")
    expect_match(conditionMessage(e), part, fixed = TRUE)
    expect_match(conditionMessage(e), "refit")
  }
  old <- fit
  old$model$version <- NULL
  refused(old, "made by another version")
  fit$vb$mean <- fit$vb$mean[-1L]
  refused(fit, "vb$mean")
  expect_error(predict(fit), class = "meanfield_error_fit")
  expect_error(compare(fit, fit), class = "meanfield_error_fit")
})
