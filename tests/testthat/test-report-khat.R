khat_data <- function() {
  set.seed(4)
  d <- data.frame(x = rnorm(60), g = factor(rep(1:6, 10)), h = factor(rep(1:5, each = 12)), t = 3)
  d$y <- rbinom(60, 3, plogis(0.3 + d$x + rnorm(6)[d$g]))
  d
}

test_that("the joint density is that of the model, up to a constant", {
  d <- khat_data()
  p <- priors(normal_prior(c(1, 0), c(3, 2)), tau_u = gamma_prior(2, 1))
  fit <- fit_vb(cbind(y, t - y) ~ x + (1 | g) + (1 | h), d, family = binomial(), prior = p,
    integrate = "no")
  core <- engine_core(fit$model)
  theta <- matrix(rnorm(13 * 5), 13)
  stats <- c(0.7, 2.5)
  got <- log_joint_given(fit, core, stats, theta)
  order <- vapply(fit$model$factors, `[[`, "", "name") # leaf first; the core has it last
  dense <- apply(theta, 2, function(v) {
    beta <- to_raw(fit$model$coords, v[1:2])
    n <- vapply(fit$model$factors, function(f) length(f$levels), 0L)
    u <- list(v[2 + n[2] + seq_len(n[1])], v[2 + seq_len(n[2])])
    eta <- beta[1] + beta[2] * d$x + u[[1]][d[[order[1]]]] + u[[2]][d[[order[2]]]]
    sum(dbinom(d$y, 3, plogis(eta), log = TRUE)) + sum(dnorm(beta, c(1, 0), c(3, 2), log = TRUE)) +
      sum(dnorm(u[[1]], 0, 1 / sqrt(stats[1]), log = TRUE)) +
      sum(dnorm(u[[2]], 0, 1 / sqrt(stats[2]), log = TRUE))
  })
  expect_lt(max(abs(diff(got) - diff(dense))), 1e-10)
})

test_that("k-hat is small where q is nearly exact, the same every time, and leaves the generator alone", {
  d <- khat_data()
  many <- transform(d, y = y * 400, t = 1200)
  set.seed(9)
  before <- .Random.seed
  near <- vb_khat(fit_vb(cbind(y, t - y) ~ x + (1 | g), many, family = binomial()))
  far <- vb_khat(fit_vb(y ~ x + (1 | g), data.frame(y = rep(c(0, 0, 0, 1), 15), x = d$x, g = d$g),
    family = poisson()))
  expect_identical(.Random.seed, before)
  expect_gt(attr(near, "ess"), 0.98)
  expect_lt(attr(far, "ess"), attr(near, "ess"))
  fit <- fit_vb(cbind(y, t - y) ~ x + (1 | g), d, family = binomial())
  expect_identical(vb_khat(fit), vb_khat(fit))
  expect_output(print(fit), "k-hat")
})

test_that("the summary carries k-hat and prints it in words, and stays a table", {
  d <- khat_data()
  fit <- fit_vb(cbind(y, t - y) ~ x + (1 | g), d, family = binomial())
  set.seed(9)
  before <- .Random.seed
  s <- summary(fit)
  expect_output(print(s), "k-hat .*\\(good\\)")
  expect_identical(.Random.seed, before)
  expect_identical(attr(s, "khat"), vb_khat(fit))
  expect_named(s, c("variable", "mean", "sd", "mean_mfvb", "sd_mfvb", "source", "q2.5", "q97.5"))
  expect_setequal(names(attributes(as.data.frame(s))), c("names", "class", "row.names"))
  expect_output(print(structure(s, khat = structure(0.9, ess = 0.1, class = "meanfield_khat"))),
    "0.9 \\(above .7: part of the posterior is missed, check with fit_gibbs")
  # printed once with the fit
  expect_length(grep("k-hat", capture.output(print(fit))), 1)
  # none where it says nothing or is not cheap
  expect_null(attr(summary(fit_vb(dist ~ speed, cars)), "khat"))
  set.seed(3)
  many <- data.frame(y = rpois(2001, 2), x = rnorm(2001))
  long <- summary(fit_vb(y ~ x, many, family = poisson()))
  expect_null(attr(long, "khat"))
  expect_false(any(grepl("k-hat", capture.output(print(long)))))
})

test_that("k-hat is refused where it says nothing", {
  expect_error(vb_khat(fit_vb(dist ~ speed, cars)), class = "meanfield_error_engine")
  expect_error(vb_khat(3), class = "meanfield_error_engine")
  d <- khat_data()
  fit <- fit_vb(cbind(y, t - y) ~ x + (1 | g), d, family = binomial())
  expect_error(vb_khat(fit, ndraws = 3), class = "meanfield_error_control")
})

test_that("counts that are fractions have a log likelihood, and so a k-hat", {
  eta <- c(-1, .5, 2)
  whole <- c(0, 3, 7)
  at <- function(f, e) f(whole + e)
  pois <- function(y) log_poisson(y, eta)
  nb <- function(y) log_neg_binomial(y, 1.7, eta)
  # continuous where the whole numbers are
  expect_equal(at(pois, 1e-7), dpois(whole, exp(eta), log = TRUE), tolerance = 1e-5)
  expect_equal(at(nb, 1e-7), dnbinom(whole, size = 1.7, mu = exp(eta), log = TRUE), tolerance = 1e-5)
  set.seed(1)
  d <- data.frame(y = rpois(60, 3) + .5, g = gl(6, 10))
  fit <- suppressWarnings(fit_vb(y ~ 1 + (1 | g), d, family = poisson()), classes = "meanfield_warning")
  expect_silent(s <- summary(fit))
  expect_true(is.finite(attr(s, "khat")))
})

test_that("a density that overflows has an infinite k-hat, no error", {
  set.seed(2)
  d <- data.frame(y = c(rpois(20, 2), 1e9), x = c(rnorm(20), 40))
  fit <- suppressWarnings(fit_vb(y ~ x + I(x^2), d, family = poisson(), integrate = "no"),
    classes = "meanfield_warning")
  expect_true(is.numeric(attr(summary(fit), "khat")))
})
