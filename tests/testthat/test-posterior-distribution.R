# Predictions are summaries of the fit's own posterior: what its draws say, within their Monte Carlo error.

# Largest distance of predict()'s mean, limits and SD from those of draws, in Monte Carlo standard errors.
apart <- function(fit, new, type) {
  set.seed(1)
  p <- predict(fit, new, type = type, interval = "confidence", se.fit = TRUE, allow_new_levels = TRUE)
  draw <- if (type == "link") rstantools::posterior_linpred else rstantools::posterior_epred
  d <- draw(fit, newdata = new, draws = 4000, allow_new_levels = TRUE)
  sd <- apply(d, 2, stats::sd)
  n <- nrow(d)
  at <- c(.025, .975)
  q <- apply(d, 2, stats::quantile, at)
  # SE of a quantile: sqrt(p(1 - p)/n) / density there
  density <- vapply(seq_len(ncol(d)), function(j) {
    stats::approx(stats::density(d[, j], n = 1024), xout = q[, j])$y
  }, at)
  kurtosis <- colMeans((d - rep(colMeans(d), each = n))^4) / sd^4
  max(abs(p$fit[, 1] - colMeans(d)) / (sd / sqrt(n)),
    abs(t(p$fit[, 2:3]) - q) / (sqrt(at * (1 - at) / n) / density),
    abs(p$se.fit - sd) / (sd * sqrt(pmax(kurtosis - 1, 0) / (4 * n))))
}

# Probability that new responses (draws) fall below and not above the limits.
covered <- function(fit, new) {
  set.seed(2)
  q <- predict(fit, new, type = "response", interval = "prediction", allow_new_levels = TRUE)
  y <- rstantools::posterior_predict(fit, newdata = new, draws = 4000, allow_new_levels = TRUE)
  list(below = rowMeans(t(y) < q[, "lwr"]), at_low = rowMeans(t(y) <= q[, "lwr"]),
    under = rowMeans(t(y) < q[, "upr"]), at_high = rowMeans(t(y) <= q[, "upr"]))
}

expect_quantiles <- function(shares, slack = 4.5 * sqrt(.025 * .975 / 4000)) {
  expect_true(all(shares$below < .025 + slack & shares$at_low > .025 - slack))
  expect_true(all(shares$under < .975 + slack & shares$at_high > .975 - slack))
}

test_that("predictions are those of the draws: Gaussian, integrated and linear response", {
  skip_if_not_installed("lme4")
  skip_if_not_installed("rstantools")
  sleep <- lme4::sleepstudy
  fit <- fit_vb(Reaction ~ Days + (Days | Subject), sleep)
  new <- rbind(sleep[c(1, 10, 33), ], transform(sleep[1:2, ], Subject = "new"))
  expect_lt(apart(fit, new, "link"), 4.5)
  expect_quantiles(covered(fit, new))
  expect_lt(apart(fit_vb(fit, integrate = "no"), new[1:3, ], "link"), 4.5)
})

test_that("predictions are those of the draws: binomial and negative binomial", {
  skip_if_not_installed("lme4")
  skip_if_not_installed("rstantools")
  cbpp <- lme4::cbpp
  fit <- fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, family = binomial())
  new <- rbind(cbpp[c(1, 2, 20), ], transform(cbpp[1:2, ], herd = "new"))
  for (type in c("link", "response")) expect_lt(apart(fit, new, type), 4.5)
  ticks <- lme4::grouseticks
  fit <- fit_vb(TICKS ~ YEAR + (1 | BROOD), ticks, family = neg_binomial())
  new <- rbind(ticks[c(1, 100, 300), ], transform(ticks[1:2, ], BROOD = "new"))
  for (type in c("link", "response")) expect_lt(apart(fit, new[1:3, ], type), 4.5)
  expect_lt(apart(fit, new, "link"), 4.5)
  expect_quantiles(covered(fit, new))
})

test_that("predictions of a Gibbs fit are its draws", {
  set.seed(3)
  fit <- fit_gibbs(log_radon ~ floor + (1 | county), radon, chains = 1, iter = 500, warmup = 100)
  new <- radon[1:3, ]
  d <- rstantools::posterior_linpred(fit, newdata = new)
  p <- predict(fit, new, interval = "confidence", se.fit = TRUE)
  expect_equal(unname(p$fit[, "lwr"]), unname(apply(d, 2, stats::quantile, .025)))
  expect_equal(unname(p$se.fit), unname(apply(d, 2, stats::sd)))
})

test_that("rows in blocks are the rows at once", {
  fit <- fit_vb(log_radon ~ floor + (1 | county), radon)
  parts <- linear_parts(fit, NULL, NULL, FALSE)
  whole <- over_linear(posterior_of(fit), parts, function(mix, now) mix$mean)
  one <- linear_mixture(posterior_of(fit), part_rows(parts, 500L))
  expect_equal(whole[500, ], drop(one$mean))
})

test_that("quantiles of a mixture of very many normals are those of its distribution function", {
  set.seed(4)
  n <- 20000
  w <- rexp(n)
  w <- w / sum(w)
  centre <- 1e6 + cbind(rt(n, 5), rexp(n)^2)
  spread <- cbind(exp(rnorm(n, 0, .4)), .05 + rexp(n))
  probs <- c(.005, .025, .5, .9, .975)
  q <- call_nest_quantiles(FALSE, w, centre, spread, probs)
  for (j in 1:2) {
    p <- vapply(q[, j], function(x) sum(w * pnorm(x, centre[, j], spread[, j])), 0)
    density <- vapply(q[, j], function(x) sum(w * dnorm(x, centre[, j], spread[, j])), 0)
    sd <- sqrt(sum(w * (spread[, j]^2 + (centre[, j] - sum(w * centre[, j]))^2)))
    expect_lt(max(abs(p - probs) / density / sd), 1e-3)
  }
})

test_that("quantiles and variances block by block are those of all the rows", {
  set.seed(1)
  n <- 60
  w <- rexp(30000)
  mix <- list(weights = w / sum(w), mean = matrix(rnorm(n * 30000, 5), n),
    var = matrix(rexp(n * 30000), n))
  mix$var[3, ] <- 0
  mix$var[4, 7] <- NA
  expect_gt(length(column_blocks(n, 30000)), 3)
  probs <- c(0.025, 0.9)
  expect_equal(row_quantiles(mix, probs), block_quantiles(mix, probs), tolerance = 1e-12)
  m <- mixture_mean(mix)
  expect_equal(spread_about(mix$mean, m, mix$weights), drop((mix$mean - m)^2 %*% mix$weights),
    tolerance = 1e-12)
  expect_identical(unlist(column_blocks(10, 1e5)), 1:10)
  expect_identical(column_blocks(0, 5), list(integer()))
})

test_that("quantiles of mixtures are where their distribution function has the probability", {
  set.seed(2)
  for (case in 1:20) {
    n <- 50
    w <- rexp(n)
    w <- w / sum(w)
    centre <- rnorm(n, 100, 10^runif(1, -3, 2))
    spread <- 10^runif(n, -3, 1)
    p <- c(1e-6, 0.025, 0.5, 0.9, 0.99999)
    q <- drop(call_nest_quantiles(FALSE, w, centre, spread, p))
    expect_equal(vapply(q, function(x) sum(w * pnorm(x, centre, spread)), 0), p, tolerance = 1e-6)
  }
})
