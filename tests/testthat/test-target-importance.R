# Importance sampling of targets: proposals, weights, rounds, adaptation, tails and ridges.

even <- function(d) proposal_component(seq_len(d) / 3, t(chol(random_covariance(d, 4))), 0.4)

uneven <- function(d) {
  scale <- cbind(seq(0.7, 1.2, length.out = d), seq(2, 1.1, length.out = d))
  L <- matrix(0.3, d, d) + diag(seq(1, 0.6, length.out = d), d) # no triangle
  proposal_component(-rep(0.5, d), L, 0.6, scale = scale, df = 4)
}

test_that("the density of a proposal integrates to one, also stretched and mixed", {
  for (parts in list(list(even(1)), list(uneven(1)), list(even(1), uneven(1)))) {
    parts[[1L]]$weight <- 1 - if (length(parts) > 1L) 0.6 else 0
    p <- function(x) exp(proposal_log_density(parts, rbind(x)))
    cuts <- c(-Inf, -0.5, 1 / 3, Inf) # where the density may have a step
    mass <- sum(sapply(1:3, function(k) integrate(p, cuts[k], cuts[k + 1], rel.tol = 1e-9)$value))
    expect_equal(mass, 1, tolerance = 1e-7)
  }
  # in two dimensions by the radius, which is exact in each quadrant of the axes
  for (part in list(even(2), uneven(2))) {
    part$weight <- 1
    angle <- (seq_len(400) - 0.5) / 400 * 2 * pi
    r <- tan((seq_len(2000) - 0.5) / 2000 * pi / 2)
    g <- expand.grid(r = r, a = angle)
    e <- rbind(g$r * cos(g$a), g$r * sin(g$a))
    q <- exp(proposal_log_density(list(part), part$m + part$L %*% e))
    cell <- g$r * (1 + g$r^2) * (pi / 2 / 2000) * (2 * pi / 400) * abs(det(part$L))
    expect_equal(sum(q * cell), 1, tolerance = 1e-4)
  }
  one <- even(3)
  z <- cbind(1:3, c(-1, 0, 2))
  expect_equal(component_log_density(one, z), apply(z, 2L, function(x) {
    e <- forwardsolve(one$L, x - one$m)
    lgamma(5.5) - lgamma(4) - 1.5 * log(8 * pi) - sum(log(diag(one$L))) - 5.5 * log1p(sum(e^2) / 8)
  }))
  expect_identical(component_log_density(one, matrix(1e308, 3, 1)), -Inf)
})

test_that("points come in antithetic pairs and replicates, in proportion to the weights", {
  parts <- list(replace(even(2), "weight", 3), replace(even(2), "weight", 1))
  at <- proposal_points(parts, 1024)
  expect_identical(ncol(at$z), 1024L)
  expect_equal(vapply(at$components, `[[`, 0, "weight"), c(0.75, 0.25))
  expect_equal(as.numeric(table(at$replicate)), rep(128, 8))
  expect_identical(as.numeric(table(at$pair)), rep(2, 512))
  pairs <- rowsum(t(at$z - parts[[1L]]$m), at$pair)
  expect_lt(max(abs(pairs)), 1e-12)
  expect_true(all(tapply(at$replicate, at$pair, function(r) length(unique(r))) == 1))
  expect_identical(proposal_points(parts, 1024), at)
  expect_false(any(proposal_points(parts, 1024, shift = 1L)$z == at$z))
  # moments of a t_8: the variance is 8 / 6 of the scale
  expect_equal(tcrossprod(at$z - parts[[1L]]$m) / 1024, tcrossprod(parts[[1L]]$L) * 8 / 6,
    tolerance = 0.15)
})

test_that("points of a stretched component have its density", {
  for (part in list(even(1), uneven(1), uneven(2))) {
    part$weight <- 1
    z <- proposal_points(list(part), 8192)$z
    # the mean of h / q is the integral of h
    h <- exp(-colSums((z + 0.2)^2) / 2) * (2 * pi)^(-nrow(z) / 2)
    x <- h / exp(proposal_log_density(list(part), z))
    expect_lt(abs(mean(x) - 1), 0.01) # quasi-random points: ten times their error
    half <- x * (z[1L, ] > -0.2)
    expect_lt(abs(mean(half) - 0.5), 0.01)
  }
})

test_that("the log evidence of a normalised target is 0 within 4 of its errors", {
  for (d in c(1L, 2L, 6L)) {
    S <- random_covariance(d, 7)
    ev <- gaussian_evaluator(rep(0, d), S)
    off <- proposal_component(0.3 * sqrt(diag(S)), t(chol(1.3 * S)), 1)
    one <- pooled_sample(list(importance_points(ev, list(off), 1024)))
    expect_lt(abs(one$log_evidence), tol_mcse * one$evidence_error)
    expect_lt(one$evidence_error, 0.03)
    expect_equal(sum(one$weights), 1)
    expect_equal(one$ess, 1 / sum(one$weights^2))
    expect_lt(one$khat, 0.5)
  }
  banana <- proposal_component(c(0, 1), diag(c(1.3, 2)), 1)
  one <- pooled_sample(list(importance_points(banana_evaluator, list(banana), 4096)))
  expect_lt(abs(one$log_evidence), tol_mcse * one$evidence_error)
  expect_lt(one$evidence_error, 0.1)
})

test_that("rounds are one sample of the mixture of their proposals", {
  ev <- gaussian_evaluator(c(1, -1), diag(2))
  a <- proposal_component(c(0, 0), diag(2), 1)
  b <- proposal_component(c(2, -1), diag(2) * 1.2, 1)
  rounds <- list(importance_points(ev, list(a), 512), importance_points(ev, list(b), 1024, 1L))
  both <- pooled_sample(rounds)
  z <- cbind(rounds[[1L]]$z, rounds[[2L]]$z)
  q <- (exp(component_log_density(a, z)) + 2 * exp(component_log_density(b, z))) / 3
  expect_equal(both$log_evidence, log(mean(exp(ev(z)$lp) / q)))
  expect_lt(abs(both$log_evidence), tol_mcse * both$evidence_error)
  expect_equal(drop(both$z %*% both$weights), c(1, -1), tolerance = 0.05)
  # smoothing leaves all but the largest alone
  w <- exp(ev(z)$lp) / q
  ratio <- both$weights / w
  expect_equal(max(table(signif(ratio, 8))) > 0.8 * ncol(z), TRUE)
  expect_identical(nrow(unique(cbind(both$replicate))), 8L)
})

test_that("pairs are smoothed as one, and weights of nothing stay nothing", {
  n <- 400L
  pair <- rep(seq_len(n / 2), 2L)
  ratio <- c(sin(1:200), -3 * cos(1:200))
  ratio[c(5L, 205L)] <- -Inf
  got <- pair_weights(ratio, pair)
  got$weights <- unname(got$weights)
  expect_equal(sum(got$weights), 1)
  expect_identical(got$weights[c(5L, 205L)], c(0, 0))
  within <- got$weights[seq_len(200)] / got$weights[200 + seq_len(200)]
  expect_equal(within[-5L], exp(ratio[1:200] - ratio[201:400])[-5L])
  expect_identical(smooth_log_weights(c(rep(-2000, 40), 0, -1))$khat, Inf)
  expect_identical(log_mean_exp(c(-Inf, -Inf)), -Inf)
  expect_equal(log_mean_exp(1000 + log(1:3)), 1000 + log(2))
})

# ---- adaptation -----------------------------------------------------------------------------------

test_that("a component moves to the moments, and each of several to its own", {
  S <- random_covariance(3, 9)
  mu <- c(1, -2, 0.5)
  ev <- gaussian_evaluator(mu, S)
  start <- proposal_component(mu + 0.5, t(chol(2 * S)), 1)
  round <- pooled_sample(list(importance_points(ev, list(start), 4096)))
  new <- adapt_components(list(start), round)[[1L]]
  expect_lt(max(abs((new$m - mu) / sqrt(diag(S)))), 0.1)
  expect_equal(tcrossprod(new$L), S, tolerance = 0.1)
  two <- function(Z, gradient = TRUE) {
    x <- rbind(dnorm(Z[1L, ], -4, 1, TRUE) + log(0.3), dnorm(Z[1L, ], 4, 0.5, TRUE) + log(0.7))
    list(lp = log(colSums(exp(x))), gradient = 0 * Z)
  }
  parts <- list(proposal_component(-3, matrix(2), 0.5), proposal_component(3, matrix(2), 0.5))
  round <- pooled_sample(list(importance_points(two, parts, 4096)))
  new <- adapt_components(parts, round)
  expect_equal(vapply(new, `[[`, 0, "weight"), c(0.3, 0.7), tolerance = 0.05)
  expect_equal(vapply(new, `[[`, 0, "m"), c(-4, 4), tolerance = 0.05)
  share <- responsibilities(parts, round$z)
  expect_equal(rowSums(share), rep(1, ncol(round$z)))
  expect_gt(cor(share[, 1L], round$z[1L, ] < 0), 0.95)
})

test_that("sides of a skewed sample ask for scales of their own", {
  n <- 4000L
  u <- (seq_len(n) - 0.5) / n
  w <- rep(1 / n, n)
  expect_equal(side_scales(qnorm(u), w), c(1, 1), tolerance = 0.02)
  x <- log(qgamma(u, 1))
  x <- (x - mean(x)) / sd(x)
  skew <- side_scales(x, w)
  expect_gt(skew[1L], 1.3)
  expect_lt(skew[2L], 1)
  expect_true(all(side_scales(qt(u, 1), w) <= 4))
  y <- qnorm((u * 1597.3) %% 1) # of no skewness, in another order
  axes <- skewed_axes(cov(cbind(y, x)), rbind(y, x), w)
  expect_identical(axes$L[1L, 1L] == 0 || axes$L[2L, 2L] == 0, TRUE) # the skewed one comes first
  expect_gt(axes$scale[1L, 1L], axes$scale[1L, 2L])
})

test_that("a bent sample is taken apart into clusters, which cover it better than one", {
  one <- proposal_component(c(0, 1), diag(c(1, 1.5)), 1)
  sharp <- function(Z, gradient = TRUE) {
    off <- Z[2L, ] - Z[1L, ]^2
    list(lp = dnorm(Z[1L, ], log = TRUE) + dnorm(off, 0, 0.15, TRUE), gradient = 0 * Z)
  }
  first <- pooled_sample(list(importance_points(sharp, list(one), 4096)))
  parts <- cluster_components(first, rep(1, ncol(first$z)), 8L)
  expect_gt(length(parts), 4L)
  second <- pooled_sample(list(importance_points(sharp, parts, 4096)))
  expect_gt(second$ess, 2 * first$ess)
  expect_null(cluster_components(first, rep(1, ncol(first$z)), 1L))
  # a cluster without density takes no other along
  z <- t(c(-1, -0.9, -1.1, 5, 5.1, 4.9, 9, 9.1))
  w <- c(rep(1 / 6, 6), 0, 0)
  cluster <- c(1L, 1L, 1L, 2L, 2L, 2L, 3L, 3L)
  expect_equal(pooled_covariance(z, w, cluster), matrix(0.02 / 3))
  f <- cbind(c(-3, 0, 0, 3))
  expect_equal(tail_tilt(f, 0, 1), c(19, 1, 1, 19))
})

# ---- tails and ridges -------------------------------------------------------------------------------

test_that("what a sample cannot know of the variance is infinite for t_2, small for a normal", {
  u <- (seq_len(4000) - 0.5) / 4000
  w <- rep(1 / 4000, 4000)
  error <- function(x) tail_errors(cbind(x), w, 0, sqrt(mean(x^2)))
  expect_identical(error(qt(u, 2)), Inf)
  expect_identical(error(qt(u, 1.5)), Inf)
  expect_identical(error(qnorm(u)), 0) # light enough not to be asked
  expect_lt(upper_tail_error(qnorm(u), w), 0.01)
  expect_lt(error(qt(u, 8)), 0.05)
  expect_gt(error(exp(1.2 * qnorm(u))), error(exp(0.5 * qnorm(u))))
  # one side is enough
  one <- ifelse(u > 0.5, qt(u, 2), qnorm(u))
  expect_identical(error(one), Inf)
  expect_identical(error(-one), Inf)
  expect_identical(upper_tail_error(rep(1, 50), rep(0.02, 50)), 0)
})

test_that("a fitted tail has the shape of its sample", {
  u <- (seq_len(5000) - 0.5) / 5000
  for (k in c(0.2, 0.5, 0.9)) {
    x <- (u^-k - 1) / k
    expect_equal(tail_fit(x, rep(1, 5000))$k, k, tolerance = 0.15)
  }
  expect_null(tail_fit(rep(1:3, 10), rep(1, 30)))
})

test_that("a ridge is followed outwards along its curve", {
  # x ~ t_3, y | x ~ N(x^2 / 4, 1/4)
  bent <- function(Z, gradient = TRUE) {
    off <- Z[2L, ] - Z[1L, ]^2 / 4
    list(lp = dt(Z[1L, ], 3, log = TRUE) + dnorm(off, 0, 0.5, TRUE),
      gradient = rbind(-4 * Z[1L, ] / (3 + Z[1L, ]^2) + 2 * off * Z[1L, ], -4 * off))
  }
  linked <- list(own = c(1L, 2L), value = function(j, z) z[j], all = function(Z) Z)
  start <- proposal_component(c(0, 0.5), diag(c(1.5, 1.5)), 1)
  round <- pooled_sample(list(importance_points(bent, list(start), 4096)))
  round$values <- linked$all(round$z)
  m <- weighted_rows(round$z, round$weights)
  estimate <- c(m, list(lost = c(FALSE, FALSE)))
  parts <- Filter(Negate(is.null), ridge(bent, linked, round, estimate, 1L, 1))
  expect_gt(length(parts), 3L)
  at <- vapply(parts, `[[`, numeric(2L), "m")
  expect_true(all(diff(at[1L, ]) > 0))
  expect_lt(max(abs(at[2L, ] - at[1L, ]^2 / 4)), 1e-3)
  expect_gt(max(at[1L, ]), 6)
  left <- Filter(Negate(is.null), ridge(bent, linked, round, estimate, 1L, -1))
  expect_true(all(vapply(left, function(p) p$m[1L], 0) < 0))
  all <- ridge_components(bent, linked, round, estimate)
  expect_gt(length(all), 6L)
  expect_equal(sum(vapply(all, `[[`, 0, "weight")), 0.5)
  top <- profile_point(bent, c(3, 0), 1L)
  expect_equal(top$z, c(3, 9 / 4), tolerance = 1e-4)
  expect_equal(exp(top$log_det), 0.5, tolerance = 1e-3)
  # nothing to follow where tails are light
  normal <- gaussian_evaluator(c(0, 0), diag(2))
  round <- pooled_sample(list(importance_points(normal, list(start), 1024)))
  round$values <- linked$all(round$z)
  estimate <- c(weighted_rows(round$z, round$weights), list(lost = c(FALSE, FALSE)))
  expect_length(ridge_components(normal, linked, round, estimate), 0L)
})
