# Formulas as text, and the calls that fits keep: update() from anywhere.

d <- small_data()
form <- y ~ x + (1 | g)
fit <- fit_vb(form, d)

test_that("a formula may be text, by any name and through a pipe, for every engine", {
  text <- "y ~ x + (1 | g)"
  same <- function(f) expect_equal(fixef(f), fixef(fit))
  same(fit_vb(text, d))
  same(fit_vb(formula = text, data = d))
  same(fit_vb(data = d, formula = text))
  same(fit_vb(d, text))
  same(d |> fit_vb(text))
  inside <- function(text) {
    local <- d
    fit_vb(text, local)
  }
  same(inside(text))
  expect_named(fixef(update(inside(text), . ~ . - x)), "(Intercept)")
  expect_s3_class(fit_exact(text, d), "exact_fit")
  set.seed(1)
  expect_s3_class(fit_gibbs(formula = text, data = d, chains = 1, iter = 200, warmup = 50),
    "gibbs_fit")
  expect_equal(gaussian_mixture("~ eruptions + waiting", 2, data = faithful)$x,
    gaussian_mixture(faithful, 2)$x)
  for (bad in list("y ~ (", "y", c("y ~ x", "+ w"), NA_character_)) {
    expect_error(fit_vb(bad, d), class = "meanfield_error_formula")
  }
})

test_that("the package need not be attached", {
  skip_on_cran()
  code <- paste("f <- meanfield::fit_vb(meanfield::radon, 'log_radon ~ floor');",
    "stopifnot(length(meanfield::fixef(stats::update(f, . ~ 1))) == 1)")
  status <- system2(file.path(R.home("bin"), "Rscript"), c("-e", shQuote(code)), stdout = FALSE,
    stderr = FALSE, env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
  expect_equal(status, 0)
})

test_that("update in wrappers that pass `...` on", {
  half <- d[1:30, ]
  right <- fixef(update(fit, data = half))
  wrap <- function(m, ...) update(m, ...)
  outer <- function(m, ...) wrap(m, ...)
  expect_equal(fixef(wrap(fit, data = half)), right)
  expect_equal(fixef(outer(fit, data = half)), right)
  expect_equal(nobs(outer(fit, subset = w > 1)), sum(d$w > 1))
  expect_equal(fixef(outer(fit, weights = w)), fixef(fit_vb(form, d, weights = w)))
  expect_named(fixef(outer(fit, . ~ . - x)), "(Intercept)")
  again <- update(outer(fit, data = half), . ~ . - x) # nothing of the wrapper is left in the call
  expect_equal(nobs(again), 30)
  expect_identical(outer(fit, weights = w)$call$weights, quote(w))
})

test_that("fits made in wrappers, by lapply and in loops can be updated", {
  sets <- list(a = d, b = d[1:30, ])
  drop_x <- function(f) {
    u <- update(f, . ~ . - x)
    expect_named(fixef(u), "(Intercept)")
    nobs(u)
  }
  expect_equal(vapply(lapply(sets, fit_vb, formula = form), drop_x, 0L), c(a = 60L, b = 30L))
  expect_equal(drop_x(lapply(sets, function(s) fit_vb(form, s))$b), 30)
  expect_equal(drop_x(lapply(sets, function(s) fit_vb(y ~ x + (1 | g), s))$b), 30)
  fits <- list()
  for (i in 1:2) fits[[i]] <- fit_vb(form, sets[[i]])
  expect_equal(drop_x(fits[[1]]), 60)
  wrap <- function(...) fit_vb(...)
  expect_equal(drop_x(wrap(form, d)), 60)
  by_weight <- function(f, ...) fit_vb(f, d, ...)
  expect_equal(fixef(by_weight(form, weights = w)), fixef(fit_vb(form, d, weights = w)))
  mine <- function() {
    ww <- d$w
    by_weight(form, weights = ww)
  }
  expect_equal(fixef(mine()), fixef(fit_vb(form, d, weights = w)))
  local_prior <- function(f) {
    data <- d[1:40, ]
    pr <- priors(beta = normal_prior(0, 100))
    fit_vb(f, data, prior = pr)
  }
  f <- local_prior(form)
  expect_equal(drop_x(f), 40)
  expect_equal(update(f, . ~ . - x)$model$resolved$beta$sd, 100)
  # another `d` where update() is called does not take the place of the fit's
  shadow <- function(f) {
    d <- d[1:5, ]
    nobs(update(f, . ~ .))
  }
  expect_equal(shadow(fit), 60)
  chains <- function(f) {
    n <- 1
    fit_gibbs(f, chains = n, iter = 200, warmup = 50)
  }
  set.seed(1)
  expect_equal(update(chains(fit), . ~ . - x)$chains, 1)
})

test_that("calls stay readable, and are calls with evaluate = FALSE", {
  expect_identical(fit$call$data, quote(d))
  call <- update(fit, . ~ . - x, weights = w, evaluate = FALSE)
  expect_true(is.call(call))
  expect_identical(call$weights, quote(w))
  expect_error(update(fit, nonsense = 1), class = "meanfield_error_control")
  expect_error(update(fit, . ~ ., d), class = "meanfield_error_control")
  # without its rows a fit holds no data in its call either
  slim <- lapply(list(d), function(s) fit_vb(form, s, model = FALSE))[[1]]
  expect_identical(slim$call$data, quote(s))
})
