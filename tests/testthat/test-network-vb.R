# Fits of Bayesian networks against long runs of two other samplers (data-raw/bnn.R), and exact
# answers where there are some.

extdata <- function(name) utils::read.csv(system.file("extdata", name, package = "meanfield"))
numbers <- extdata("bnn-reg.csv")
truth <- extdata("bnn-reg-truth.csv")
model <- bnn(numbers["x"], numbers$y, 10, sigma = .2)

test_that("mean field reaches its bound, and errs as it must", {
  set.seed(1)
  before <- .Random.seed
  fit <- fit_vb(model, control = vb_control(steps = 3000))
  expect_identical(.Random.seed, before)
  # four starts of another optimiser ended between -53.58 and -53.54
  expect_lt(abs(fit$vb$elbo + 53.55), .5)
  p <- predict(fit, truth["x"])
  ratio <- p$sd / truth$sd
  expect_lt(min(ratio), .3) # a quarter beyond the data
  expect_gt(max(ratio), 1.8) # double among them
  expect_lt(sqrt(mean(((p$mean - truth$mean) / truth$sd)^2)), .6)
  expect_output(print(fit), "two times too wide or four times[\\s\\S]*nothing here corrects",
    perl = TRUE)
  expect_no_match(capture.output(print(fit)), "repaired")
  # what is said in sums is what is in the table
  r <- predictive_report(fit, fit, truth["x"])
  expect_equal(r$ratio, rep(1, 20))
  expect_output(print(r), "within a quarter")
})

test_that("the sampler's predictions are those of two others", {
  skip_below_level(2)
  set.seed(1)
  hmc <- suppressWarnings(fit_hmc(model)) # of a few trees of the largest depth
  p <- predict(hmc, truth["x"])
  expect_lt(max(abs(p$mean - truth$mean) / truth$sd), .15)
  expect_lt(max(abs(log(p$sd / truth$sd))), log(1.12))
  expect_lt(hmc$function_rhat, 1.02)
  expect_gt(hmc$function_ess, 400)
  expect_output(print(hmc), "R-hat of the function at the data")
  classes <- extdata("bnn-class.csv")
  t <- extdata("bnn-class-truth.csv")
  sampled <- fit_hmc(bnn(classes[1:2], classes$class, 8, "categorical"))
  inputs <- unique(t[c("x1", "x2")])
  p <- predict(sampled, inputs)
  row <- match(paste(t$x1, t$x2), paste(inputs$x1, inputs$x2))
  p <- p[match(paste(row, t$class), paste(p$row, p$class)), ]
  expect_lt(max(abs(p$mean - t$mean) / t$sd), .15)
  expect_lt(max(abs(log(p$sd / t$sd))[t$mean > .02]), log(1.15))
})

test_that("mean field of classes reaches its bound and is too wide", {
  skip_below_level(2)
  classes <- extdata("bnn-class.csv")
  t <- extdata("bnn-class-truth.csv")
  fit <- fit_vb(bnn(classes[1:2], classes$class, 8, "categorical"))
  expect_lt(abs(fit$vb$elbo + 46.6), .5) # four starts: -46.71 to -46.60
  p <- predict(fit, unique(t[c("x1", "x2")]))
  one <- p$sd[p$class == 0] / t$sd[t$class == 0]
  expect_gt(median(one[t$mean[t$class == 0] > .02]), 1.5)
})

test_that("without much data the posterior is the prior", {
  x <- cbind(a = sin(1:6))
  far <- bnn(x, cos(1:6), 3, sigma = 1e4)
  set.seed(2)
  prior <- with_fixed_seed(replicate(4e4, {
    sum(rnorm(3) * tanh(rnorm(3) * .5 + rnorm(3))) + rnorm(1)
  }))
  fits <- list(fit_vb(far, control = vb_control(steps = 2000)),
    fit_hmc(far, chains = 2, iter = 1500, warmup = 300))
  for (fit in fits) {
    p <- predict(fit, cbind(a = .5))
    expect_lt(abs(p$mean), .15)
    expect_lt(abs(p$sd / sd(prior) - 1), .08)
    expect_lt(abs(p$q97.5 / quantile(prior, .975) - 1), .1)
    expect_gt(predict(fit, cbind(a = .5), type = "response")$sd, 9e3)
  }
})

test_that("mini-batches and a noise that is learned", {
  set.seed(3)
  x <- cbind(a = runif(200, -2, 2))
  y <- 1 + x[, 1] + rnorm(200, sd = .5)
  fit <- suppressWarnings(fit_vb(bnn(x, y, 3), control = vb_control(steps = 1500, batch_size = 50)))
  expect_equal(mean(as.matrix(fit)[, "sigma"]), .5, tolerance = .15)
  expect_lt(max(abs(predict(fit)$mean - 1 - x[, 1])), .35)
  wide <- predict(fit, type = "response")
  expect_equal(mean(wide$sd), .5, tolerance = .2)
  expect_gt(mean(y > wide$q2.5 & y < wide$q97.5), .9)
  again <- suppressWarnings(fit_vb(fit, control = vb_control(steps = 1500, batch_size = 50)))
  expect_identical(again$vb$components[[1]]$m, fit$vb$components[[1]]$m)
})

test_that("classes are predicted, and named", {
  set.seed(4)
  x <- cbind(a = rnorm(60), b = rnorm(60))
  label <- ifelse(x[, 1] + x[, 2] > 0, "yes", "no")
  two <- fit_vb(bnn(x, label, 3, "binomial"), control = vb_control(steps = 600))
  several <- fit_vb(bnn(x, label, 3, "categorical"), control = vb_control(steps = 600))
  for (fit in list(two, several)) {
    class <- predict(fit, type = "class")
    expect_identical(levels(class), c("no", "yes"))
    expect_gt(mean(class == label), .85)
  }
  p <- predict(several)
  expect_equal(tapply(p$mean, p$row, sum), rep(1, 60), ignore_attr = TRUE)
  d <- predict(several, x[1:2, ], summary = FALSE)
  expect_identical(colnames(d), c("1:no", "1:yes", "2:no", "2:yes"))
  expect_equal(unname(colMeans(d)), p$mean[1:4], tolerance = .02)
  expect_error(predict(two, type = "response"), class = "meanfield_error_control")
  blocked <- function() list(predict(two), predict(several), predict(several, type = "class"))
  whole <- blocked()
  utils::assignInNamespace("MOST_FUNCTION_VALUES", 5000, "meanfield")
  withr::defer(utils::assignInNamespace("MOST_FUNCTION_VALUES", 4e6, "meanfield"))
  expect_equal(blocked(), whole)
  expect_error(plot(several, class = "maybe"), class = "meanfield_error_control")
  withr::with_pdf(NULL, expect_invisible(plot(several, column = "b", class = "no")))
  other <- update(two, hidden = 1)
  expect_identical(other$model$layers$size, c(2L, 1L, 1L))
  expect_error(predictive_report(two, other), class = "meanfield_error_report")
})

test_that("update() puts a new data frame in the place of the old one", {
  d <- data.frame(a = cos(1:20), b = sin(1:20))
  fit <- suppressWarnings(fit_vb(bnn(d, d$a, 1, sigma = 1), control = vb_control(steps = 20)))
  other <- suppressWarnings(update(fit, x = data.frame(c = d$b)))
  expect_identical(other$model$task$columns, "c")
  expect_null(suppressWarnings(update(fit, sigma = NULL))$model$task$sigma$known)
})

test_that("columns without a name have a number", {
  x <- cbind(a = cos(1:20), sin(1:20))
  fit <- suppressWarnings(fit_vb(bnn(x, x[, 1], 1), control = vb_control(steps = 20)))
  expect_identical(fit$model$task$columns, c("a", "x2"))
  expect_equal(predict(fit, x), predict(fit))
  expect_equal(predict(fit, cbind(x2 = x[, 2], a = x[, 1])), predict(fit))
})

test_that("printing a fit shows what its summary does", {
  x <- cbind(a = cos(1:30), b = sin(1:30))
  for (y in list(x[, 1], rep(c("u", "v", "w"), 10))) {
    fit <- suppressWarnings(fit_vb(bnn(x, y, 1, if (is.numeric(y)) "gaussian" else "categorical"),
      control = vb_control(steps = 20)))
    shown <- capture.output(print(fit))
    table <- capture.output(print(summary(fit)))
    expect_identical(shown[match(table[1], shown) + 0:11], table)
  }
})
