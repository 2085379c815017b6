# What an emulator of the log likelihood takes of a conditional fit.

# d x / d psi of a function of psi, by central differences of fourth order.
psi_derivative <- function(f, psi, h = 1e-3) {
  vapply(seq_along(psi), function(j) {
    at <- function(k) f(replace(psi, j, psi[j] + k * h))
    (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)
  }, f(psi))
}

slope_data <- function() {
  set.seed(5)
  d <- data.frame(x = rnorm(90), g = rep(1:9, each = 10), h = rep(1:6, 15), w = runif(90, .5, 2))
  eta <- .5 * rnorm(9)[d$g] + .4 * rnorm(6)[d$h] + .4 * rnorm(9)[d$g] * d$x
  d$y <- eta + rnorm(90)
  d$hit <- rbinom(90, 1, plogis(eta))
  d$count <- rpois(90, exp(eta))
  d$wild <- rnbinom(90, mu = exp(eta), size = 2)
  d
}

test_that("the slope of the log likelihood in the statistics is that of differences", {
  d <- slope_data()
  quick <- function(...) suppressWarnings(fit_vb(..., data = d, integrate = "no"))
  fits <- list(
    quick(y ~ x + (1 + x | g) + (1 | h), weights = w),
    quick(y ~ x + (1 | g) + (1 | h), prior = priors(flat_prior())),
    quick(hit ~ x + (1 + x | g), family = binomial()),
    quick(hit ~ x + (1 | g), family = binomial(), approximation = "pg"),
    quick(count ~ x + (1 | g) + (1 | h), family = poisson()),
    quick(wild ~ x + (1 + x | g), family = neg_binomial())
  )
  for (fit in fits) {
    core <- engine_core(fit$model)
    centre <- vb_centre(core, fit$vb)
    index <- stat_index(core)
    start <- nest_start(fit$posterior$tau)
    psi <- start$mean + .5 * start$sd * rep_len(c(1, -1), length(start$sd))
    one <- call_nest_fits(core, centre, cbind(psi))
    expect_equal(one$status[1L], core_status[["ok"]])
    one <- one$result
    expect_equal(one$log_lik + one$correction + one$log_prior,
      call_nest_log_density(core, centre, cbind(psi)), tolerance = 1e-10)
    by_chain <- psi_derivative(function(psi) psi_statistics(cbind(psi), index)[1L, ], psi)
    got <- drop(one$slope[, 1L] %*% by_chain)
    by_differences <- psi_derivative(function(psi) {
      call_nest_fits(core, centre, cbind(psi))$result$log_lik
    }, psi)
    expect_lt(max(abs(got - by_differences)), 1e-6 * (1 + max(abs(got))),
      label = deparse(fit$call$formula))
  }
})

test_that("where there is no fit there is no slope", {
  d <- slope_data()
  fit <- suppressWarnings(fit_vb(y ~ x + (1 | g), d, integrate = "no"))
  core <- engine_core(fit$model)
  got <- call_nest_fits(core, vb_centre(core, fit$vb), cbind(c(0, 0), c(0, 1e3)))$result
  expect_identical(is.finite(got$log_lik), c(TRUE, FALSE))
  expect_identical(is.finite(colSums(got$slope)), c(TRUE, FALSE))
})

test_that("fits made before are not made again, and lead near the next", {
  d <- slope_data()
  fit <- suppressWarnings(fit_vb(hit ~ x + (1 + x | g), d, family = binomial(), integrate = "no"))
  core <- engine_core(fit$model)
  centre <- vb_centre(core, fit$vb)
  start <- nest_start(fit$posterior$tau)
  psi <- start$mean + cbind(0, diag(start$sd), -diag(start$sd))
  one <- call_nest_fits(core, centre, psi)$result
  known <- list(psi = psi, state = one$state)
  again <- call_nest_fits(core, centre, psi, known)$result
  expect_equal(again[c("log_lik", "slope")], one[c("log_lik", "slope")], tolerance = 1e-12)
  expect_identical(again$correction, one$correction)
  told <- known
  told$state[nrow(told$state), ] <- told$state[nrow(told$state), ] + 1 # as it is taken from there
  expect_equal(call_nest_fits(core, centre, psi, told)$result$correction, one$correction + 1)
  between <- cbind(psi[, 1:3] %*% c(.4, .3, .3))
  alone <- call_nest_fits(core, centre, between)$result
  led <- call_nest_fits(core, centre, between, known)$result
  expect_equal(led$log_lik, alone$log_lik, tolerance = 1e-8)
  expect_equal(led$slope, alone$slope, tolerance = 1e-4)
  alone <- call_nest_mixture(core, centre, psi, rep(1 / 7, 7), each = TRUE)$result
  led <- call_nest_mixture(core, centre, psi, rep(1 / 7, 7), each = TRUE, known = known)$result
  expect_equal(led$node_var, alone$node_var, tolerance = 1e-5)
  expect_lt(max(abs(led$node_mean - alone$node_mean) / sqrt(alone$node_var)), 1e-4)
})
