# tests/fuzz in small: a fixed set of random calls, memory, Ctrl-C. Each runs in R processes of its
# own, with the package that is being tested; `make fuzz` and `make stress` run more of it.

run_script <- function(name, ...) {
  script <- test_path("..", "fuzz", name)
  skip_if_not(file.exists(script), "tests/fuzz is not here")
  # system2() warns of a status, which is what is looked at
  out <- suppressWarnings(system2(file.path(R.home("bin"), "Rscript"),
    c(shQuote(normalizePath(script)), ...), stdout = TRUE, stderr = TRUE,
    env = paste0("R_LIBS=", shQuote(paste(.libPaths(), collapse = .Platform$path.sep)))))
  status <- attr(out, "status")
  expect(is.null(status) || status == 0, paste(out, collapse = "\n"))
}

test_that("60 random calls: values that can be, or classed refusals", {
  skip_on_cran()
  skip_below_level(2)
  run_script("run.R", "1", "2", "n=30", "budget=50")
})

test_that("fits leave no memory behind", {
  skip_on_cran()
  skip_below_level(2)
  skip_on_os(c("windows", "mac", "solaris"))
  run_script("memory.R", paste0("n=", if (test_level() < 3) 100 else 5000))
})

test_that("Ctrl-C ends every engine at once", {
  skip_on_cran()
  skip_below_level(2)
  skip_on_os("windows")
  some <- c("gibbs", "gibbs_hamiltonian", "gibbs_mixture", "vb", "nested_binomial", "exact",
    "mixture", "target", "target_hmc")
  do.call(run_script, as.list(c("interrupt.R", if (test_level() < 3) some)))
})
