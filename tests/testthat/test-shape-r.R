# The floors of R/: a file calls only what lies below its floor, and no two files each other.

dir <- source_dir("R")
calls <- if (!is.na(dir)) r_calls(r_definitions(dir))
need_sources <- function() testthat::skip_if(is.na(dir), "the package's sources are not here")

test_that("every file of R/ stands on a floor", {
  need_sources()
  files <- sub("[.]R$", "", list.files(dir, "[.]R$"))
  outside <- c("meanfield-package", "zzz")
  expect_setequal(files[is.na(floor_of(files, R_FLOORS))], outside)
  expect_false(any(c(calls$from_file, calls$to_file) %in% outside))
})

test_that("no function calls one of a higher floor", {
  need_sources()
  expect_gt(nrow(calls), 1000)
  up <- calls[floor_of(calls$from_file, R_FLOORS) < floor_of(calls$to_file, R_FLOORS), ]
  expect_identical(paste(up$from, up$to, sep = " > "), character())
})

test_that("no files call each other in a circle", {
  need_sources()
  expect_identical(on_cycle(calls$from_file, calls$to_file), character())
})

test_that("no name is defined twice", {
  need_sources()
  expect_identical(defined_twice(r_definitions(dir)), character())
})

test_that("circles, upward calls and second definitions are found", {
  def <- list(name = c("a", "b", "c"), file = c("base-x", "base-y", "methods-z"),
    value = list(quote(function() b()), quote(function(v = a) c()), quote(function() 1)))
  found <- r_calls(def)
  expect_identical(on_cycle(found$from_file, found$to_file), c("base-x", "base-y"))
  up <- floor_of(found$from_file, R_FLOORS) < floor_of(found$to_file, R_FLOORS)
  expect_identical(found$to[up], "c")
  again <- list(name = c("a", "b", "a"), file = c("base-x", "base-x", "base-y"))
  expect_identical(defined_twice(again), "a: base-x, base-y")
})
