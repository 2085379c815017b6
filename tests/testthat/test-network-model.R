# bnn(): its density, what it takes, and what it refuses, with a remedy.

x <- cbind(a = sin(1:20), b = cos(1:20 * 2))
y <- x[, 1] - x[, 2]

refused <- function(call, class, arg, words) {
  e <- tryCatch(call, error = identity)
  expect_s3_class(e, paste0("meanfield_error_", class))
  expect_identical(e$arg, arg)
  expect_match(conditionMessage(e), words)
}

# Log prior and log likelihood by R's own densities; p: a named list of the parameters.
log_joint <- function(model, p) {
  f <- t(p$W2 %*% tanh(p$W1 %*% t(x) + p$b1) + p$b2)
  task <- model$task
  sigma <- if (is.null(p$sigma)) task$sigma$known else p$sigma
  i <- cbind(1:20, task$y + 1)
  lik <- switch(task$kind, gaussian = sum(dnorm(task$y, f, sigma, log = TRUE)),
    binomial = sum(dbinom(task$y, 1, plogis(f), log = TRUE)),
    categorical = sum(f[i] - log(rowSums(exp(f)))))
  prior <- sum(dnorm(unlist(p[c("W1", "b1", "W2", "b2")]), 0, model$prior_sd, log = TRUE))
  lik + prior + if (is.null(p$sigma)) 0 else
    log(2 * dt(p$sigma / task$sigma$scale, task$sigma$df) / task$sigma$scale) + log(p$sigma)
}

test_that("the log density is that of R's own functions, in R and in the core", {
  models <- list(bnn(x, y, 3, sigma = .5), bnn(x, y, 1, prior_sd = 2),
    bnn(x, y > 0, 3, "binomial"), bnn(x, rep(c("u", "v", "w", "u"), 5), 2, "categorical"))
  for (model in models) {
    Z <- with_fixed_seed(matrix(rnorm(3 * model$d), model$d))
    want <- function(Z) {
      vapply(1:3, function(j) log_joint(model, constrain_list(model, Z[, j])), 0)
    }
    expect_equal(evaluator(model)(Z)$lp, want(Z), tolerance = 1e-10)
    # the sampler's, where one transition has led
    axes <- list(m = numeric(model$d), L = rep(1, model$d))
    run <- hmc_run(NULL, axes$m, axes$L, 3L, 1L, 0L, start = Z, first_step = 1e-9,
      ask = function(...) call_bnn_hmc(model$layers, model$task[c("x", "y", "family")],
        core_prior(model), ...))
    Z <- t(run$z[1, , ])
    expect_equal(c(run$lp), want(Z), tolerance = 1e-10)
    expect_equal(t(run$gradient[1, , ]), evaluator(model)(Z)$gradient, tolerance = 1e-8,
      ignore_attr = TRUE)
  }
})

test_that("rows of mini-batches add up", {
  model <- bnn(x, y, 3)
  z <- cbind(model$init)
  whole <- evaluator(model)(z)
  parts <- lapply(list(1:5, 6:20), function(i) batch_evaluator(model)(z, i))
  # each stands for all rows: weights 20/5 and 20/15
  prior <- model$user$log_density(block_of_points(model$skeleton, constrained(model, z)$x)) +
    constrained(model, z)$log_jacobian
  lik <- sum((vapply(parts, `[[`, 0, "lp") - prior) * c(5, 15) / 20)
  expect_equal(whole$lp, prior + lik, tolerance = 1e-10)
})

test_that("variables have names of layers and inputs", {
  names <- bnn(x, y, 2)$names
  expect_identical(names[c(1:6)], c("W1[1,a]", "W1[2,a]", "W1[1,b]", "W1[2,b]", "b1[1]", "b1[2]"))
  expect_identical(tail(names, 1), "sigma")
  expect_output(print(bnn(x, y, c(4, 3), sigma = 1)), "2-4-3-1[\\s\\S]*known", perl = TRUE)
})

test_that("bad input is refused by name", {
  refused(bnn(), "data", "x", "missing")
  refused(bnn(x), "data", "y", "missing")
  refused(bnn(x, y), "control", "hidden", "missing")
  refused(bnn(x, y, 0), "control", "hidden", "whole numbers from 1")
  refused(bnn(x, y, "a"), "control", "hidden", "whole numbers from 1")
  refused(bnn(x, y, 2, "poisson"), "control", "family", "gaussian")
  refused(bnn(x, y, 2, prior_sd = 0), "prior", "prior_sd", "greater than 0")
  refused(bnn(x, y, 2, sigma = -1), "prior", "sigma", "greater than 0")
  refused(bnn(x, y, 2, sigma = gamma_prior(1, 1)), "prior", "sigma", "half_t_prior")
  refused(bnn(x, y > 0, 2, "binomial", sigma = 1), "control", "sigma", "leave it out")
  refused(bnn(x[1, , drop = FALSE], y[1], 2), "data", "x", "at least 2")
  refused(bnn(replace(x, 3, NA), y, 2), "data", "x", "row 3: leave such rows out")
  refused(bnn(replace(x, 3, 1e80), y, 2), "data", "x", "scale")
  refused(bnn(cbind(x, same = 2), y, 2), "rank", "x", "'same'.*leave it out")
  refused(bnn(x, y[1:3], 2), "data", "y", "3 values, and `x` 20 rows")
  refused(bnn(x, replace(y, 3, NA), 2), "data", "y", "leave such rows out")
  refused(bnn(x, y, c(10000, 10000)), "size", "hidden", "up to 1,000,000")
  refused(bnn(cbind(a = 1:20, 1), y, 2), "rank", "x", "column 'x2'")
  refused(bnn(x, replace(y, 3, Inf), 2), "data", "y", "infinite")
  refused(bnn(x, rep("a", 20), 2), "data", "y", "for classes use")
  refused(bnn(x, as.list(y), 2), "data", "y", "vector or a factor")
  refused(bnn(x, rep(1, 20), 2), "data", "y", "constant")
  refused(bnn(x, y, 2, "binomial"), "data", "y", "0 and 1")
  refused(bnn(x, gl(3, 7, 20), 2, "binomial"), "data", "y", "categorical")
  refused(bnn(x, factor(rep(1, 20), 1:2), 2, "binomial"), "data", "y", "no row of the class '2'")
  refused(bnn(x, factor(rep(1:2, 10), 1:3), 2, "categorical"), "data", "y", "droplevels")
  refused(bnn(x, y, 2, "categorical"), "data", "y", "whole numbers")
  refused(bnn(x, rep("a", 20), 2, "categorical"), "data", "y", "from 2 to 1,000")
  refused(fit_exact(bnn(x, y, 2)), "engine", "object", "fit_hmc")
  refused(sd_ratio_report(fit_vb(bnn(x, y, 1), control = vb_control(steps = 40))), "report", "fit",
    "predictive_report")
})

test_that("inputs and responses of a strange size are a message", {
  expect_message(bnn(100 * x, y, 2), "scale\\(\\) it", class = "meanfield_message_scale")
  expect_message(bnn(x, 1000 * y, 2), "prior_sd", class = "meanfield_message_scale")
  expect_no_message(bnn(x, y, 2))
})
