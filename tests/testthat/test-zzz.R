# What a fresh process loads.

in_fresh_process <- function(code) {
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(code, script)
  suppressWarnings(system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", shQuote(script)),
    stdout = TRUE, stderr = TRUE, env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":"))))
}

test_that("a first fit loads none of the packages that take half a second", {
  skip_on_cran()
  out <- in_fresh_process(c(
    "library(meanfield)",
    "fit <- fit_vb(log_radon ~ floor + (1 | county), radon)",
    "x <- capture.output(print(fit), print(summary(fit)))",
    "p <- predict(fit, interval = 'prediction')",
    "fit <- fit_vb(floor ~ log_uranium + (1 | county), radon, family = binomial(), integrate = 'no')",
    "cat(intersect(c('Matrix', 'lme4', 'reformulas', 'posterior', 'loo', 'ggplot2'),",
    "  loadedNamespaces()), 'done')"
  ))
  expect_identical(tail(out, 1L), " done")
})

test_that("as_draws() is that of posterior, loaded when it is asked for", {
  skip_on_cran()
  out <- in_fresh_process(c(
    "library(meanfield)",
    "stopifnot(!isNamespaceLoaded('posterior'))",
    "fit <- fit_vb(log_radon ~ floor + (1 | county), radon)",
    "stopifnot(posterior::ndraws(as_draws(fit, ndraws = 7)) == 7)",
    "stopifnot(identical(meanfield::as_draws, posterior::as_draws))",
    "stopifnot(inherits(posterior::as_draws_df(fit, ndraws = 7), 'draws_df'))",
    "old <- structure(list(1), class = c('gmm_vb_fit', 'gmm_fit'))",
    "e <- tryCatch(as_draws(old), error = function(e) e)",
    "stopifnot(inherits(e, 'meanfield_error_fit'))",
    "cat('done')"
  ))
  expect_identical(tail(out, 1L), "done")
})
