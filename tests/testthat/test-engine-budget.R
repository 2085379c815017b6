# The time that integration may take.

budget_fit <- function(...) suppressWarnings(fit_vb(y ~ x + (1 | g) + (1 | h), ..., integrate = "no"))
budget_data <- function() {
  set.seed(6)
  d <- data.frame(x = rnorm(60), g = gl(10, 6), h = factor(rep(1:6, 10)))
  d$y <- rpois(60, exp(.3 * d$x + .5 * rnorm(10)[d$g]))
  d
}
# A name of a namespace with another value until the caller returns.
in_place_of <- function(name, value, package = "meanfield", frame = parent.frame()) {
  old <- get(name, envir = asNamespace(package))
  utils::assignInNamespace(name, value, package)
  withr::defer(utils::assignInNamespace(name, old, package), envir = frame)
}

nodes_within <- function(fit, seconds, emulate) {
  core <- engine_core(fit$model)
  posterior_nodes(core, vb_centre(core, fit$vb), nest_start(fit$posterior$tau),
    nest_settings(if (has_rows(fit)) "nested" else "quick"), new_budget(seconds), emulate)
}

test_that("without time there is no integral, whatever makes it", {
  for (fit in list(budget_fit(budget_data(), family = poisson()), budget_fit(budget_data()))) {
    for (emulate in c(TRUE, FALSE)) {
      nodes <- nodes_within(fit, 0, emulate)
      expect_false(is_integral(nodes))
      expect_true(is_dear(nodes))
      expect_true(is_integral(nodes_within(fit, Inf, emulate)))
    }
  }
})

test_that("a default that has no time says so, and what was asked for takes it", {
  d <- budget_data()
  in_place_of("INTEGRATE_SECONDS", 0)
  expect_message(fit <- fit_vb(y ~ x + (1 | g), d, family = poisson()),
    class = "meanfield_message_integration")
  expect_null(fit$integrated)
  expect_identical(fit$not_integrated, "too dear")
  expect_output(print(fit), "integrate = \"yes\"")
  expect_silent(fit <- fit_vb(y ~ x + (1 | g), d, family = poisson(), integrate = "yes"))
  expect_false(is.null(fit$integrated))
})

test_that("a lattice that was begun serves when there is no time to refine it", {
  fit <- budget_fit(budget_data())
  core <- engine_core(fit$model)
  target <- gaussian_target(core, vb_centre(core, fit$vb))
  settings <- nest_settings("quick")
  settings$tol[3L] <- 1e-9
  lattices <- 0
  once <- target$lattice
  target$lattice <- function(mode, L, control) {
    lattices <<- lattices + 1
    run <- once(mode, L, control)
    if (lattices > 1) run$status[1L] <- core_status[["dear"]]
    run
  }
  nodes <- integrate_precisions(target, nest_start(fit$posterior$tau), settings)
  expect_identical(lattices, 2)
  expect_identical(nodes$method, "lattice")
})

test_that("importance points end with the time", {
  fit <- budget_fit(budget_data())
  core <- engine_core(fit$model)
  spent <- 0
  budget <- list(left = function() 3 - spent, progress = NULL)
  v <- matrix(nest_start(fit$posterior$tau)$mean, 3, 500)
  at <- function() catch_abandoned(log_densities(core, vb_centre(core, fit$vb), v, NULL, budget))
  expect_length(at(), 500)
  spent <- 3
  expect_true(is_dear(at()))
})

test_that("people who wait are told, once, and then by dots", {
  spent <- 0
  word <- spoken_progress(function() spent, "Fitting", listening = TRUE)
  expect_silent(word$step(64))
  spent <- 2.1
  expect_output(word$step(128), "Fitting \\(Ctrl-C ends it\\) \\.")
  expect_silent(word$step(192))
  spent <- 3.1
  expect_output(word$step(256), "^\\.$")
  expect_identical(utils::capture.output(word$close()), "")
  expect_null(spoken_progress(function() 99, "Fitting", listening = FALSE)$step)
})

test_that("the ascents report their sweeps", {
  d <- data.frame(y = c(1, 0, 1, 1, 0, 1, 0, 1), g = gl(4, 2))
  for (family in list(gaussian(), binomial())) {
    fit <- fit_vb(y ~ 1 + (1 | g), d, family = family, integrate = "no")
    core <- engine_core(fit$model)
    start <- if (is.null(core$rows)) vb_start(core) else glmm_vb_start(core)
    seen <- integer()
    call_fit_vb(core, start, fit$control, function(done) seen <<- c(seen, done))
    expect_gt(length(seen), 1L)
  }
})
