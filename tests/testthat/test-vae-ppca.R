# The linear autoencoder is probabilistic principal component analysis.

set.seed(1)
n <- 400
truth <- list(W = rbind(c(3, 0), c(1, .5), c(0, 1), c(-1, .5), c(.5, .3)), sd = .7)
x <- matrix(rnorm(2 * n), n) %*% t(truth$W) + rnorm(5 * n, sd = truth$sd)
x <- x + rep(c(5, -3, 0, 10, 1), each = n)
colnames(x) <- letters[1:5]
new <- matrix(rnorm(30, 2, 3), 6, dimnames = list(NULL, letters[1:5]))

# log N(x; centre, C) by R's own determinant and inverse.
normal_log_density <- function(x, centre, C) {
  d <- sweep(x, 2L, centre)
  -(ncol(x) * log(2 * pi) + c(determinant(C)$modulus) + rowSums(d %*% solve(C) * d)) / 2
}

test_that("loadings, noise, log likelihood and posterior are those of the formulas", {
  for (q in 1:3) for (encoder in c("linear", "none")) {
    fit <- fit_vb(vae(x, q, encoder = encoder, decoder = "linear"))
    e <- eigen(cov(x) * (n - 1) / n)
    s2 <- mean(e$values[-seq_len(q)])
    expect_equal(fit$sigma^2, s2, tolerance = 1e-10)
    expect_equal(fit$eigenvalues, e$values, tolerance = 1e-10)
    WW <- e$vectors[, 1:q, drop = FALSE] %*% ((e$values[1:q] - s2) *
      t(e$vectors[, 1:q, drop = FALSE]))
    expect_equal(tcrossprod(coef(fit)), WW, tolerance = 1e-9, ignore_attr = TRUE)
    expect_equal(coef(fit), fit$loadings)
    closed <- -(5 * log(2 * pi) + sum(log(e$values[1:q])) + (5 - q) * log(s2) + 5) / 2
    expect_equal(fit$vb$elbo / n, closed, tolerance = 1e-10)
    C <- WW + diag(s2, 5)
    density <- normal_log_density(new, colMeans(x), C)
    expect_equal(c(predict(fit, new, "log_lik")), density, tolerance = 1e-8)
    # q is exact: its bound is the log density, on new rows too
    expect_equal(predict(fit, new, "elbo"), density, tolerance = if (encoder == "none") 1e-5 else
      1e-8)
    # M^-1 W'(x - mean), s2 M^-1
    W <- coef(fit)
    M <- crossprod(W) + diag(s2, q)
    z <- predict(fit, new)
    tol <- if (encoder == "none") 1e-3 else 1e-8
    expect_equal(z[, 1:q, drop = FALSE], t(solve(M, t(W) %*% (t(new) - colMeans(x)))),
      tolerance = tol, ignore_attr = TRUE)
    expect_equal(z[1, q + 1:q]^2, s2 / diag(M), tolerance = tol, ignore_attr = TRUE)
    expect_equal(predict(fit, new, "reconstruction"),
      t(colMeans(x) + W %*% t(z[, 1:q, drop = FALSE])), tolerance = 1e-8, ignore_attr = TRUE)
    expect_true(all(W[cbind(apply(abs(W), 2, which.max), 1:q)] > 0))
  }
})

test_that("no EM step raises the likelihood further", {
  fit <- fit_vb(vae(x, 2, encoder = "linear", decoder = "linear"))
  S <- cov(x) * (n - 1) / n
  W <- coef(fit)
  s2 <- fit$sigma^2
  M <- solve(crossprod(W) + diag(s2, 2))
  next_W <- S %*% W %*% solve(diag(s2, 2) + M %*% t(W) %*% S %*% W)
  expect_equal(next_W, W, tolerance = 1e-9, ignore_attr = TRUE)
  expect_equal(sum(diag(S - S %*% W %*% M %*% t(next_W))) / 5, s2, tolerance = 1e-9)
})

test_that("the gaps of a linear model are nothing", {
  for (encoder in c("linear", "none")) {
    gap <- amortisation_gap(fit_vb(vae(x, 2, encoder = encoder, decoder = "linear")), new)
    expect_lt(max(abs(gap$approximation)), 1e-4)
    expect_lt(max(abs(gap$amortisation)), 1e-4)
  }
})

test_that("Adam reaches the closed form, to .003 a row", {
  model <- vae(x, 2, encoder = "linear", decoder = "linear")
  closed <- fit_vb(model)
  set.seed(9)
  before <- .Random.seed
  adam <- fit_vb(model, optimiser = "adam")
  expect_identical(.Random.seed, before)
  expect_lte(adam$vb$elbo, closed$vb$elbo + 1e-6)
  expect_gt(adam$vb$elbo / n, closed$vb$elbo / n - .003)
  expect_equal(adam$sigma, closed$sigma, tolerance = .02)
  expect_true(adam$converged)
})

test_that("units of the data change what they must, and nothing else", {
  model <- vae(x, 2, encoder = "linear", decoder = "linear")
  fit <- fit_vb(model)
  other <- fit_vb(update(fit, x = 1000 * x + 7)$model)
  expect_equal(other$sigma, 1000 * fit$sigma, tolerance = 1e-10)
  expect_equal(other$row_elbo, fit$row_elbo - 5 * log(1000), tolerance = 1e-8)
  expect_equal(predict(other), predict(fit), tolerance = 1e-8)
})
