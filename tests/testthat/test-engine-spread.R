# Moments of theta at the nodes of an integral: between the conditional fits of an emulator, and of
# fewer nodes than the density of the precisions takes.

spread_data <- function() {
  set.seed(8)
  d <- data.frame(x = rnorm(120), g = gl(12, 10), h = factor(rep(1:8, 15)))
  eta <- .4 * d$x + rnorm(12, 0, .7)[d$g] + rnorm(8, 0, .4)[d$h]
  d$count <- rpois(120, exp(eta))
  d$hit <- rbinom(120, 1, plogis(eta))
  d$y <- eta + .5 * rnorm(12)[d$g] * d$x + rnorm(120)
  d
}

emulated_fit <- function(formula, data, family) {
  fit <- suppressWarnings(fit_vb(formula, data, family = family, integrate = "yes"))
  expect_identical(fit$integrated$method, "emulator")
  fit
}

# Conditional fits at the nodes themselves, which the interpolation stands for.
fits_at_nodes <- function(fit, rows = NULL) {
  n <- theta_nodes(fit$integrated)
  call_nest_mixture(engine_core(fit$model), n$centre, n$psi, n$weights, blocks = TRUE, each = TRUE,
    dense = TRUE, rows = rows)$result
}

test_that("means and covariances between the fits are those of fits at the nodes", {
  d <- spread_data()
  fits <- list(
    emulated_fit(count ~ x + (1 | g) + (1 | h), d, poisson()),
    emulated_fit(hit ~ x + (1 | g), d, binomial()),
    emulated_fit(count ~ x + (1 + x | g), d, poisson())
  )
  for (fit in fits) {
    n <- theta_nodes(fit$integrated)
    core <- engine_core(fit$model)
    rows <- beta_rows_of(fit$model, core)
    a <- node_moments(fit$model, n, core, TRUE, TRUE, TRUE, rows)
    b <- fits_at_nodes(fit, rows)
    sd <- sqrt(diag(b$cov))
    label <- deparse1(formula(fit))
    off_mean <- abs(a$mean - b$mean) / sd
    off_sd <- abs(sqrt(diag(a$cov)) / sd - 1)
    own <- seq_len(core$p)
    expect_lt(max(off_mean[own]), .005, label = label)
    expect_lt(max(off_sd[own]), .005, label = label)
    expect_lt(max(off_mean[-own]), .03, label = label)
    expect_lt(max(off_sd[-own]), .03, label = label)
    expect_lt(max(abs(cov2cor(a$cov) - cov2cor(b$cov))), .03, label = label)
    average <- function(x) max(drop(x %*% n$weights))
    expect_lt(average(abs(sqrt(a$node_var / b$node_var) - 1)), .08, label = label)
    expect_lt(average(abs(sqrt(a$row_var / b$row_var) - 1)), .01, label = label)
    # one covariance, whole, in blocks and by rows
    x <- seq_len(core$n_global)
    expect_equal(a$cov_global, a$cov[x, x], tolerance = 1e-10)
    leaf <- max(x) + seq_len(core$r)
    expect_equal(a$cov_leaf[seq_len(core$r^2)], c(a$cov[leaf, leaf]), tolerance = 1e-10)
    total <- drop(a$row_var %*% n$weights) + weighted_moments(a$row_mean, n$weights)$sd^2
    M <- fit$model$coords$M
    expect_equal(total, diag(M %*% a$cov[seq_len(core$p), seq_len(core$p)] %*% t(M)),
      tolerance = 1e-8)
  }
})

test_that("packed blocks and leaves gain what dense ones do", {
  set.seed(2)
  B <- matrix(rnorm(7 * 3), 7)
  at <- list(elim = c(5L, 6L), eptr = c(0L, 2L, 3L), eidx = c(0L, 2L, 1L), core = 0:4)
  pairs <- packed_pairs(packed_block(0, at))
  S <- crossprod(matrix(rnorm(49), 7))
  packed <- packed_block(S[cbind(pairs$row, pairs$column)], at)
  more <- add_to_block(packed, B)
  expect_equal(more$values, (S + tcrossprod(B))[cbind(pairs$row, pairs$column)])
  expect_equal(block_elements(more, c(1, 3, 6), c(6, 6, 6)), (S + tcrossprod(B))[c(1, 3, 6), 6])
  leaves <- add_to_leaves(rep(0, 12), 2L, B[1:6, ])
  expect_equal(leaves[5:8], c(tcrossprod(B[3:4, ])))
})

test_that("few nodes have the moments of all", {
  set.seed(3)
  psi <- matrix(rnorm(3 * 4000), 3) + c(1, 2, 0)
  tails <- exp(-psi[1:2, ] / 2)
  w <- rexp(4000)
  w <- w / sum(w)
  few <- few_nodes(psi, tails, w, 200)
  expect_lte(length(few$at), 200)
  expect_true(all(few$weights > 0))
  expect_equal(sum(few$weights), 1)
  expect_equal(drop(psi[, few$at] %*% few$weights), drop(psi %*% w), tolerance = 1e-6)
  expect_equal(weighted_covariance(psi[, few$at], few$weights)$cov,
    weighted_covariance(psi, w)$cov, tolerance = 1e-6)
  expect_equal(drop(tails[, few$at] %*% few$weights), drop(tails %*% w), tolerance = 1e-6)
  expect_null(few_nodes(psi[, 1:100], tails[, 1:100], w[1:100] / sum(w[1:100]), 200))
})

test_that("what is said of coefficients does not hang on the number of nodes it is said of", {
  d <- spread_data()
  fit <- fit_vb(y ~ x + (1 + x | g), d)
  expect_identical(fit$integrated$method, "lattice")
  expect_gt(ncol(fit$integrated$psi), 2 * length(fit$integrated$few$at))
  all <- fit$integrated
  all$few <- NULL
  core <- engine_core(fit$model)
  a <- node_moments(fit$model, theta_nodes(fit$integrated), core, dense = TRUE)
  b <- node_moments(fit$model, all, core, dense = TRUE)
  sd <- sqrt(diag(b$cov))
  expect_lt(max(abs(a$mean - b$mean) / sd), .01)
  expect_lt(max(abs(a$cov - b$cov) / tcrossprod(sd)), .015)
})

test_that("weights within the nodes keep the covariances of the effects", {
  fit <- emulated_fit(count ~ x + (1 + x | g), spread_data(), poisson())
  n <- theta_nodes(fit$integrated)
  index <- stat_index(fit$model)
  w <- within_weights(n, index)
  expect_true(all(w > 0))
  expect_equal(drop(variance_terms(n$fits$psi, index) %*% w),
    drop(variance_terms(n$psi, index) %*% n$weights), tolerance = 1e-2)
})

test_that("models without coefficients are emulated too", {
  d <- spread_data()
  for (f in list(hit ~ 0 + (1 | g), hit ~ 0 + (1 | g) + (1 | h))) {
    fit <- emulated_fit(f, d, binomial())
    expect_identical(dim(fit$integrated$beta$node_sd), c(length(theta_nodes(fit$integrated)$weights), 0L))
    s <- summary(fit, pars = "u")
    expect_true(all(is.finite(s$sd[grepl("^u|^sigma", s$variable)])))
  }
})

test_that("a lattice of optimisations keeps all its nodes, and the corrections at each", {
  d <- spread_data()
  d$k <- 2 # a slope beside which the intercept says nothing: no emulator
  fit <- suppressWarnings(fit_vb(hit ~ x + (k | g), d, family = binomial(), integrate = "yes"))
  expect_identical(fit$integrated$method, "lattice")
  expect_null(fit$integrated$few)
  expect_length(fit$integrated$correction, ncol(fit$integrated$psi))
  expect_output(print(fit), "lattice points")
})

test_that("thinned lattices have the same distribution in quantiles, draws and effects", {
  d <- spread_data()
  fit <- emulated_fit(y ~ x + (1 + x | g) + (1 + x | h), d, gaussian())
  expect_true(fit$integrated$thinned)
  s <- summary(fit, pars = "u", level = .5)
  s <- s[is.finite(s$sd), ]
  set.seed(1)
  draws <- unclass(posterior::as_draws_matrix(as_draws(fit, ndraws = 8000, u = TRUE)))[, s$variable]
  expect_gt(length(unique(draws[, "sigma_u[h:x]"])), 7000)
  inside <- colMeans(draws > rep(s$q25, each = 8000) & draws < rep(s$q75, each = 8000))
  expect_lt(max(abs(inside - .5)), .1)
  expect_lt(max(abs(apply(draws, 2L, sd) / s$sd - 1)), .06)
  V <- vcov(fit, pars = "all")
  expect_gt(min(eigen(cov2cor(V), TRUE, TRUE)$values), -1e-8)
})

test_that("draws of a ridge come, from the lattice where its density accepts too few", {
  set.seed(4)
  d <- data.frame(y = rnorm(30), x = rnorm(30), g = factor(1:30))
  fit <- suppressWarnings(fit_vb(y ~ x + (1 | g), d))
  set.seed(1)
  draws <- as.data.frame(posterior::as_draws_df(as_draws(fit, u = FALSE)))
  s <- summary(fit)
  s <- s[s$variable %in% c("beta[x]", "log_sigma_u[g]"), ]
  expect_lt(max(abs(colMeans(draws[s$variable]) - s$mean) / s$sd), .1)
  nodes <- fit$integrated
  nodes$log_density <- rev(nodes$log_density)
  expect_error(lattice_draws(nodes, 10, function(v) {
    call_nest_log_density(engine_core(fit$model), nodes$centre, v, nodes$bend)
  }), class = "meanfield_error_fit")
})
