# Stochastic gradients of the ELBO: their moments, what SGD does with them, mini-batches.

# z ~ N(0, 1), x | z ~ N(z, 1), x = 2; as many independent copies as Z has rows.
# The posterior is N(1, 1/2).
worked_example <- function(Z, gradient = TRUE) {
  list(lp = colSums(-log(2 * pi) - (2 - Z)^2 / 2 - Z^2 / 2), gradient = if (gradient) 2 - 2 * Z)
}

# One-draw variances for mu and sd, in closed form.
moments_of_estimators <- function(mu, sd) {
  A <- -log(2 * pi) / 2 - (2 - mu)^2 / 2 - mu^2 / 2 + log(sd)
  B <- sd * (2 - 2 * mu)
  C <- 0.5 - sd^2
  c <- 1 / sd - 2 * sd
  list(
    none = c(A^2 + 6 * A * C + 15 * C^2 + 2 * B^2,
      2 * A^2 + 20 * A * C + 10 * B^2 + 74 * C^2) / sd^2,
    constant = c(10 * C^2 + 2 * B^2, 56 * C^2 + 10 * B^2) / sd^2,
    control = c(6 * C^2 + 2 * B^2, 24 * C^2 + 10 * B^2) / sd^2,
    pathwise = c(c^2, (2 - 2 * mu)^2 + 2 * c^2),
    total = c(4 * sd^2, (2 - 2 * mu)^2 + 8 * sd^2)
  )
}

test_that("one-draw estimators: means and variances of the worked example", {
  printed <- list(c(29.02702, 104.7298), c(10.5, 54), c(9.5, 46), c(1, 6), c(4, 12))
  expect_equal(unname(moments_of_estimators(0, 1)), printed, tolerance = 1e-6)
  for (at in list(c(0, 1), c(1, sqrt(0.5)), c(0.5, 0.4))) {
    want <- moments_of_estimators(at[1L], at[2L])
    slope <- c(2 - 2 * at[1L], 1 / at[2L] - 2 * at[2L])
    for (k in names(want)) {
      score <- k %in% STOCHASTIC_BASELINES
      got <- gradient_moments(worked_example, at[1L], log(at[2L]), if (score) "score" else k,
        1e5L, if (score) k else "none")
      expect_true(all(abs(got$mean - slope) < 4 * got$se + 1e-10), info = k)
      expect_equal(got$variance, want[[k]], tolerance = 0.06, info = k)
      if (at[1L] == 1 && !k %in% c("none", "total")) expect_lt(max(got$variance), 1e-20)
    }
  }
})

test_that("the leave-one-out baseline keeps the estimate unbiased; that of all draws would not", {
  family <- meanfield_family(1L, log_sd = FALSE)
  x <- c(0, 1)
  e <- with_fixed_seed(matrix(stats::rnorm(6e4), 1L))
  groups <- matrix(seq_along(e), 3L)
  draws <- function(estimate) rowMeans(vapply(seq_len(ncol(groups)), function(k) {
    rowMeans(estimate(e[, groups[, k], drop = FALSE]))
  }, x))
  for (baseline in c("loo", "control")) {
    got <- draws(function(e) {
      gradient_estimates(family, x, e, worked_example(family$place(x, e)), "score", baseline)
    })
    expect_lt(max(abs(got - c(2, -1)) / c(1, 2)), 0.12)
  }
  biased <- draws(function(e) {
    h <- worked_example(family$place(x, e))$lp - log_q(family, x, e)
    family$score(x, e) * rep(h - mean(h), each = 2L)
  })
  expect_equal(biased, c(2, -1) * 2 / 3, tolerance = 0.1)
})

test_that("score, total and pathwise agree on a full-rank Gaussian, in expectation", {
  cov <- matrix(c(2, 0.9, 0.9, 1), 2L)
  ev <- gaussian_evaluator(c(1, -1), cov)
  family <- fullrank_family(2L)
  x <- c(0.5, 0, log(0.8), 0.4, log(1.2))
  elbo <- function(x) {
    L <- family$root(x)
    -sum(diag(solve(cov, tcrossprod(L)))) / 2 + family$log_det(x) -
      sum((x[1:2] - c(1, -1)) * solve(cov, x[1:2] - c(1, -1))) / 2
  }
  slope <- vapply(1:5, function(j) {
    h <- replace(numeric(5L), j, 1e-5)
    (elbo(x + h) - elbo(x - h)) / 2e-5
  }, 0)
  e <- with_fixed_seed(matrix(stats::rnorm(4e5), 2L))
  out <- ev(family$place(x, e))
  for (k in STOCHASTIC_ESTIMATORS) {
    g <- gradient_estimates(family, x, e, out, k)
    se <- sqrt(rowSums((g - rowMeans(g))^2)) / ncol(g)
    expect_true(all(abs(rowMeans(g) - slope) < 4 * se + 1e-8), info = k)
  }
})

plain_sgd <- function(R, sd, steps, ..., schedule = list(a = 0.05, b = 1, c = 0), mu = 0) {
  suppressWarnings(stochastic_vi(worked_example, rep(mu, R), log(sd), coordinates = "sd",
    draws = 1L, steps = steps, schedule = schedule, optimiser = "sgd", metric = "plain",
    averaging = FALSE, ...),
    classes = "meanfield_warning_schedule")
}

# Mean and SD of the means, mean of the SDs, over the R copies at step k.
spread_at <- function(fit, k) {
  x <- fit$path$x[, match(k, fit$path$step)]
  top <- seq_len(length(x) / 2L)
  c(mean(x[top]), sd(x[top]), mean(x[-top]))
}

test_that("SGD with a constant step: expectations and variances of the worked example", {
  R <- 4000L
  held <- plain_sgd(R, sqrt(0.5), 50L, estimator = "total", hold_sd = TRUE)
  for (k in c(1, 10, 50)) {
    got <- spread_at(held, k)
    variance <- c(0.005, 0.0231164, 0.0263151)[match(k, c(1, 10, 50))]
    expect_equal(got[2L]^2, variance, tolerance = 0.1)
    expect_lt(abs(got[1L] - 1 + 0.9^k), 4 * sqrt(variance / R))
    expect_equal(got[3L], sqrt(0.5))
  }
  both <- plain_sgd(R, 1, 200L, estimator = "pathwise")
  want <- rbind(c(0.40951, 0.0854, 0.8238), c(0.87842, 0.0391, 0.7153), c(0.99485, 0.0028, 0.7071),
    c(1, 0, 0.7071))
  for (k in 1:4) {
    got <- spread_at(both, c(5, 20, 50, 200)[k])
    expect_lt(max(abs(got - want[k, ])), 0.005)
  }
  expect_lt(spread_at(both, 200)[2L], 1e-7) # no variance at the optimum
  total <- spread_at(plain_sgd(R, 1, 200L, estimator = "total"), 200)
  expect_equal(total[2:3], c(0.17, 0.739), tolerance = 0.05) # stalls
})

test_that("steps that break the conditions of Robbins and Monro are warned of, and fail", {
  expect_warning(check_schedule(list(a = 1, b = 10, c = 0.5)), "noise of the gradients never dies",
    class = "meanfield_warning_schedule")
  expect_warning(check_schedule(list(a = 1, b = 10, c = 1.5)), "start is never forgotten",
    class = "meanfield_warning_schedule")
  expect_silent(check_schedule(list(a = 1, b = 10, c = 0.6)))
  expect_silent(check_schedule(list(a = 1, b = 10, c = 1)))
  expect_error(check_schedule(0.1), class = "meanfield_error_control")
  expect_error(check_schedule(list(a = -1, b = 10, c = 1)), class = "meanfield_error_control")
  R <- 1000L
  off <- function(c, steps, mu = 0, a = 0.3) {
    fit <- plain_sgd(R, sqrt(0.5), steps, estimator = "total", hold_sd = TRUE, mu = mu,
      schedule = list(a = a, b = 4, c = c))
    spread_at(fit, steps)
  }
  constant <- rbind(off(0, 100L), off(0, 1600L))
  expect_equal(constant[2L, 2L], constant[1L, 2L], tolerance = 0.1) # the noise never dies
  good <- rbind(off(1, 100L), off(1, 1600L))
  expect_lt(good[2L, 2L], 0.35 * good[1L, 2L]) # sixteen times the steps, a quarter of the noise
  expect_lt(abs(good[2L, 1L] - 1), 0.01)
  short <- rbind(off(2, 400L, -9, 0.1), off(2, 1600L, -9, 0.1))
  expect_gt(abs(short[2L, 1L] - 1), 0.5) # the steps are finite: it never arrives
  expect_equal(short[2L, 1L], short[1L, 1L], tolerance = 0.02)
})

# A logistic regression of `rows` rows, evaluated whole or by rows.
logistic_data <- function(rows, beta) {
  with_fixed_seed({
    X <- cbind(1, matrix(stats::rnorm(rows * (length(beta) - 1L)), rows))
    X[, 3L] <- 0.7 * X[, 2L] + sqrt(1 - 0.7^2) * X[, 3L]
    list(X = X, y = as.double(stats::runif(rows) < stats::plogis(X %*% beta)), rows = rows)
  })
}

logistic_rows <- function(data) function(Z, i, gradient = TRUE) {
  X <- data$X[i, , drop = FALSE]
  eta <- X %*% Z
  weight <- data$rows / length(i)
  list(lp = weight * colSums(data$y[i] * eta - log1p(exp(eta))) - colSums(Z^2) / 200,
    gradient = if (gradient) weight * crossprod(X, data$y[i] - stats::plogis(eta)) - Z / 100)
}

test_that("all estimators come to the fixed-point optimum", {
  data <- logistic_data(80L, c(-0.5, 1, -1, 0.5, 0))
  rows <- logistic_rows(data)
  ev <- function(Z, gradient = TRUE) rows(Z, seq_len(80L), gradient)
  want <- factorised_vi(ev, numeric(5L))
  off <- function(fit, want) max(abs(fit$m - want$m) / want$sd, abs(log(fit$sd / want$sd)))
  for (estimator in STOCHASTIC_ESTIMATORS) for (optimiser in c("adam", "sgd")) {
    fit <- stochastic_vi(ev, numeric(5L), estimator = estimator, optimiser = optimiser,
      draws = if (estimator == "score") 16L else 4L)
    expect_lt(off(fit, want), 0.1)
    expect_true(fit$converged)
    expect_lt(abs(fit$elbo - want$elbo), 0.05)
  }
  plain <- stochastic_vi(ev, numeric(5L), estimator = "score", baseline = "none", draws = 16L)
  expect_gt(off(plain, want), 0.15) # what a baseline is for
  full <- stochastic_vi(ev, numeric(5L), family = "fullrank", optimiser = "sgd")
  best <- gaussian_vi(ev, want$m, diag(want$sd))
  expect_lt(max(abs(full$m - best$m) / sqrt(rowSums(best$L^2))), 0.1)
  expect_equal(tcrossprod(full$L), tcrossprod(best$L), tolerance = 0.1)
  expect_gt(full$elbo, want$elbo + 0.1)
  adam <- stochastic_vi(ev, numeric(5L), family = "fullrank", steps = 2000L)
  expect_equal(tcrossprod(adam$L), tcrossprod(best$L), tolerance = 0.15)
})

test_that("20,000 rows by mini-batches: whole epochs average out, drawing with replacement not", {
  data <- logistic_data(20000L, c(-1, 0.8, -0.5, 0.3, 0, 0.2))
  glm <- stats::glm.fit(data$X, data$y, family = stats::binomial())
  hessian <- crossprod(data$X * glm$weights, data$X) + diag(0.01, 6L)
  mode <- glm$coefficients - solve(hessian, glm$coefficients / 100) # with the prior N(0, 100)
  sd <- sqrt(diag(solve(hessian)))
  rms <- function(replacement) rowMeans(vapply(1:4, function(seed) {
    fit <- stochastic_vi(NULL, numeric(6L), family = "point", estimator = "total",
      optimiser = "sgd", metric = "plain", draws = 1L, steps = 2000L, replacement = replacement,
      schedule = list(a = 0.5 / 20000, b = 400, c = 1), rows = 20000L, batch_size = 100L,
      seed = seed, evb = logistic_rows(data))
    sqrt(c(mean(((fit$m - mode) / sd)^2), mean(((fit$last$m - mode) / sd)^2)))
  }, c(0, 0)))
  shuffled <- rms(FALSE)
  drawn <- rms(TRUE)
  expect_lt(shuffled[1L], 0.15)
  expect_lt(abs(drawn[1L] - 0.42), 0.25)
  expect_gt(drawn[1L], 2.5 * shuffled[1L])
  expect_lt(abs(shuffled[2L] - 0.56), 0.35)
  expect_lt(abs(drawn[2L] - 1.1), 0.5)
  # mean field, doubly stochastic
  fit <- stochastic_vi(NULL, numeric(6L), log(0.1), optimiser = "sgd", draws = 2L, steps = 2000L,
    rows = 20000L, batch_size = 200L, evb = logistic_rows(data))
  expect_lt(max(abs(fit$m - mode) / sd), 1)
  expect_equal(fit$sd, 1 / sqrt(diag(hessian)), tolerance = 0.25)
  expect_true(is.finite(fit$elbo_se))
})

test_that("batches: an epoch is each row once", {
  set <- list(rows = 10L, batch_size = 4L, replacement = FALSE)
  with_fixed_seed({
    draw <- batches(set)
    epoch <- c(draw(), draw(), draw())
    expect_identical(sort(epoch), 1:10)
    second <- c(draw(), draw(), draw())
    expect_identical(sort(second), 1:10)
    expect_false(identical(second, epoch))
    set$replacement <- TRUE
    expect_length(batches(set)(), 4L)
  })
  expect_error(stochastic_vi(NULL, 0, evb = identity), class = "meanfield_error_control")
  expect_error(stochastic_vi(NULL, 0, rows = 5, batch_size = 6, evb = identity), "batch_size",
    class = "meanfield_error_control")
})

test_that("a seed is an answer, and R's generator is not touched", {
  set.seed(7)
  before <- .Random.seed
  fit <- stochastic_vi(worked_example, 0, steps = 100L)
  expect_identical(.Random.seed, before)
  expect_identical(stochastic_vi(worked_example, 0, steps = 100L), fit)
  expect_false(identical(stochastic_vi(worked_example, 0, steps = 100L, seed = 2L)$m, fit$m))
  expect_equal(nrow(fit$trace), 100L)
  expect_equal(fit$path$step, 1:100)
})

test_that("what goes wrong is said", {
  nowhere <- function(Z, gradient = TRUE) list(lp = rep(-Inf, ncol(Z)), gradient = Z * NaN)
  fit <- stochastic_vi(nowhere, 0)
  expect_identical(fit$outcome, "nowhere")
  expect_equal(fit$steps, 50)
  uphill <- function(Z, gradient = TRUE) list(lp = colSums(Z^2), gradient = 2 * Z)
  fit <- stochastic_vi(uphill, 1, optimiser = "sgd", metric = "plain")
  expect_identical(fit$outcome, "diverged")
  some <- function(Z, gradient = TRUE) { # half a normal, the rest without density
    out <- worked_example(Z)
    out$lp[Z[1L, ] < 0] <- -Inf
    out
  }
  fit <- stochastic_vi(some, 1)
  expect_gt(fit$skipped, 0)
  expect_error(stochastic_vi(worked_example, 0, estimator = "score", draws = 1L), "draws",
    class = "meanfield_error_control")
  expect_error(stochastic_vi(worked_example, 0, estimator = "score", family = "point"),
    class = "meanfield_error_control")
})
