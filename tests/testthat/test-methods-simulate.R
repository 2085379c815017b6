# Simulated responses are of the kind of the response.

test_that("each kind of response comes back and can be fitted again", {
  set.seed(3)
  d <- data.frame(g = gl(8, 6), x = rnorm(48), size = rep(c(1L, 4L, 7L), 16))
  p <- plogis(d$x + rnorm(8)[d$g])
  d$yes <- rbinom(48, d$size, p)
  d$no <- d$size - d$yes
  d$one <- rbinom(48, 1, p)
  d$flag <- d$one == 1
  d$label <- factor(ifelse(d$flag, "won", "lost"), levels = c("lost", "won"))
  d$share <- d$yes / d$size
  d$count <- rpois(48, exp(d$x))
  again <- function(formula, family, check, ...) {
    f <- suppressWarnings(fit_vb(formula, d, family = family, ...))
    s <- simulate(f, 3, seed = 1)
    expect_equal(dim(s), c(48, 3))
    expect_identical(s, simulate(f, 3, seed = 1))
    check(s[[2]])
    d$new <- s[[2]]
    expect_s3_class(suppressWarnings(fit_vb(update(formula, new ~ .), d, family = family, ...)),
      "vb_fit")
    s[[2]]
  }
  again(cbind(yes, no) ~ x + (1 | g), binomial(), function(y) {
    expect_equal(colnames(y), c("yes", "no"))
    expect_equal(rowSums(y), d$size)
  })
  again(label ~ x + (1 | g), binomial(), function(y) {
    expect_s3_class(y, "factor")
    expect_identical(levels(y), c("lost", "won"))
  })
  again(flag ~ x + (1 | g), binomial(), function(y) expect_type(y, "logical"))
  again(one ~ x + (1 | g), binomial(), function(y) {
    expect_type(y, "integer")
    expect_true(all(y %in% 0:1))
  })
  again(share ~ x + (1 | g), binomial(), function(y) {
    expect_true(all(abs(y * d$size - round(y * d$size)) < 1e-12) && all(y <= 1))
  }, weights = d$size)
  for (family in list(poisson(), neg_binomial())) {
    again(count ~ x + (1 | g), family, function(y) expect_type(y, "integer"))
  }
  again(x ~ 1 + (1 | g), gaussian(), function(y) expect_type(y, "double"))
})

test_that("a factor with unused levels keeps them, and what success means", {
  d <- data.frame(y = factor(rep(c("low", "high"), 20), levels = c("low", "mid", "high")),
    g = gl(4, 10))
  s <- simulate(fit_vb(y ~ 1 + (1 | g), d, family = binomial()), 1, seed = 1)[[1]]
  expect_identical(levels(s), levels(d$y))
  expect_setequal(as.character(s), c("low", "high"))
})

test_that("simulated pairs have the mean and the trials of the fit", {
  skip_if_not_installed("lme4")
  f <- fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), lme4::cbpp,
    family = binomial())
  s <- simulate(f, 400, seed = 2)
  share <- vapply(s, function(y) sum(y[, 1]) / sum(y), 0)
  expected <- sum(fitted(f) * lme4::cbpp$size) / sum(lme4::cbpp$size)
  expect_lt(abs(mean(share) - expected) / (sd(share) / sqrt(400)), tol_mcse)
  # new data bring their own trials, or have one
  new <- data.frame(period = "1", herd = "1", incidence = 0, size = c(3, 50))
  expect_equal(rowSums(simulate(f, 1, seed = 1, newdata = new)[[1]]), new$size)
  bare <- new[c("period", "herd")]
  expect_equal(rowSums(simulate(f, 1, seed = 1, newdata = bare)[[1]]), c(1, 1))
  skip_if_not_installed("rstantools")
  set.seed(1)
  expect_equal(dim(rstantools::posterior_predict(f, draws = 5)), c(5, 56)) # numbers of successes
  set.seed(1)
  a <- rstantools::log_lik(f, draws = 3)
  set.seed(1)
  expect_equal(unname(rstantools::log_lik(f, newdata = lme4::cbpp, draws = 3)), unname(a))
})

test_that("log likelihoods of the fit's rows as new data have their weights", {
  skip_if_not_installed("rstantools")
  d <- small_data()
  f <- fit_vb(y ~ x + (1 | g), d, weights = w)
  set.seed(1)
  a <- rstantools::log_lik(f, draws = 3)
  set.seed(1)
  expect_equal(unname(rstantools::log_lik(f, newdata = d, draws = 3)), unname(a))
  d$w <- 0
  expect_equal(dim(rstantools::log_lik(f, newdata = d, draws = 3)), c(3, 0))
  d$w <- -1
  expect_error(rstantools::log_lik(f, newdata = d, draws = 3), class = "meanfield_error_weights")
})

test_that("what cannot be drawn is refused; rows left out are padded", {
  d <- data.frame(y = factor(rep(c("a", "b"), 30)), g = gl(6, 10), w = rep(c(1, 1.5), 30),
    z = rep(0:1, 30))
  f <- fit_vb(y ~ 1 + (1 | g), d, family = binomial(), weights = rep(2, 60))
  expect_error(simulate(f), class = "meanfield_error_response")
  f <- suppressWarnings(fit_vb(z ~ 1 + (1 | g), d, family = binomial(), weights = w))
  expect_error(simulate(f), class = "meanfield_error_weights")
  d$z[7] <- NA
  f <- fit_vb(factor(z) ~ 1 + (1 | g), d, family = binomial(), na.action = na.exclude)
  s <- simulate(f, 2, seed = 1)
  expect_equal(dim(s), c(60, 2))
  expect_true(is.na(s[7, 1]) && sum(is.na(s)) == 2)
})

test_that("counts whose mean overflows are announced, and are numbers", {
  set.seed(1)
  d <- data.frame(y = rpois(30, 2), g = gl(6, 5))
  fit <- fit_vb(y ~ 1 + (1 | g), d, family = poisson())
  new <- data.frame(g = "1", o = 800)
  far <- fit_vb(y ~ 1 + offset(o) + (1 | g), transform(d, o = rep(0, 30)), family = poisson())
  expect_warning(y <- rstantools::posterior_predict(far, newdata = new, draws = 5),
    class = "meanfield_warning_overflow")
  expect_true(all(is.finite(y)))
  p <- predict(far, new, type = "response", interval = "prediction")
  expect_false(anyNA(p))
  big <- transform(new, o = 60) # beyond 2^52, where no two neighbours are whole numbers apart
  q <- predict(far, big, type = "response", interval = "prediction")
  link <- predict(far, big, interval = "confidence")
  expect_equal(q[, 2:3], exp(link[, 2:3]), tolerance = 0.01)
})

test_that("fractional trials have no prediction interval, as they have no draws", {
  d <- data.frame(p = c(.2, .5, .4, .9, .1, .3), w = c(2.5, 3, 4, 5.2, 6, 7), g = gl(3, 2))
  fit <- suppressWarnings(fit_vb(p ~ 1 + (1 | g), d, family = binomial(), weights = w),
    classes = "meanfield_warning")
  expect_error(predict(fit, type = "response", interval = "prediction"), "whole numbers of trials",
    class = "meanfield_error_weights")
  expect_equal(dim(predict(fit, type = "response", interval = "prediction", weights = 4)), c(6L, 3L))
})
