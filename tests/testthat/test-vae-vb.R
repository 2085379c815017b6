# Autoencoders with networks: training, densities of rows, the gaps, methods.

# A bent line in three dimensions.
set.seed(2)
z <- rnorm(300)
x <- cbind(a = z, b = z^2 - 1, c = sin(2 * z)) + rnorm(900, sd = .15)
model <- vae(x, 1, hidden = 10)
fit <- fit_vb(model)

# log p(x) of rows, by R's own integration over z.
integrated <- function(fit, x) {
  vapply(seq_len(nrow(x)), function(i) {
    f <- function(z) {
      mean <- reconstruction(fit, list(m = t(z)))
      ss <- rowSums((mean - rep(x[i, ], each = length(z)))^2)
      exp(dnorm(z, log = TRUE) - 3 * log(2 * pi * fit$sigma^2) / 2 - ss / 2 / fit$sigma^2)
    }
    log(sum(vapply(-12:11, function(k) {
      integrate(f, k / 2, (k + 1) / 2, rel.tol = 1e-9)$value
    }, 0)))
  }, 0)
}

test_that("a bent line is found that a plane cannot hold", {
  line <- fit_vb(vae(x, 1, encoder = "linear", decoder = "linear"))
  expect_gt(fit$vb$elbo / 300, line$vb$elbo / 300 + 1.5)
  expect_lt(fit$sigma, .3)
  expect_identical(fit$epochs, 5000L)
  expect_gt(fit$trace$elbo[5000], fit$trace$elbo[1] + 1)
  expect_equal(fit$vb$elbo, sum(fit$row_elbo))
})

test_that("the same seed gives the same fit, and R's generator is not touched", {
  set.seed(3)
  before <- .Random.seed
  few <- vb_control(epochs = 5, seed = 4)
  a <- suppressWarnings(fit_vb(model, control = few))
  expect_identical(.Random.seed, before)
  b <- suppressWarnings(fit_vb(model, control = few))
  expect_identical(a$w, b$w)
  c <- suppressWarnings(fit_vb(model, control = vb_control(epochs = 5, seed = 5)))
  expect_false(identical(a$w, c$w))
  expect_warning(fit_vb(model, control = vb_control(epochs = 1)),
    class = "meanfield_warning_convergence")
  # steps are epochs of so many batches
  s <- suppressWarnings(fit_vb(model, control = vb_control(steps = 9, batch_size = 100)))
  expect_identical(s$epochs, 3L)
})

test_that("the log density is that of integrate(), its bounds stand below it in order", {
  rows <- x[c(1, 50, 99, 200), ]
  ll <- predict(fit, rows, "log_lik")
  expect_identical(attr(ll, "method"), rep("quadrature", 4))
  expect_equal(c(ll), integrated(fit, rows), tolerance = 1e-6, ignore_attr = TRUE)
  gap <- amortisation_gap(fit, x[1:60, ])
  expect_gt(min(gap$approximation), -1e-6)
  expect_gte(min(gap$amortisation), 0)
  expect_gt(mean(gap$amortisation), .001)
  expect_output(print(gap), "amortisation gap")
})

test_that("a row's own q is the best that optim() finds", {
  own <- own_latent(fit, X <- vae_columns(fit$model, x[1:5, ]))
  rule <- vae_points(1L)
  bound <- function(par, i) {
    z <- par[1] + exp(par[2]) * c(rule$e)
    f <- t(reconstruction(fit, list(m = t(z)))) # raw units
    ss <- colSums((f - x[i, ])^2)
    sum(rule$weight * (-3 * log(2 * pi * fit$sigma^2) / 2 - ss / 2 / fit$sigma^2 - z^2 / 2)) +
      par[2] + .5
  }
  for (i in 1:5) {
    best <- optim(c(own$m[i], own$log_s[i]), bound, i = i, control = list(fnscale = -1,
      reltol = 1e-12))
    expect_lt(best$value - bound(c(own$m[i], own$log_s[i]), i), 1e-4)
  }
})

test_that("importance sampling agrees with quadrature within its error", {
  X <- vae_columns(fit$model, x[1:40, ])
  core <- vae_core(fit$model, X)
  exact <- row_log_lik(fit, X, 500)
  own <- own_latent(fit, X)
  sampled <- importance_log_lik(core, fit$w, X, own, 2000)
  expect_lt(max(abs(sampled$value - exact$value) / sampled$error), 4.5)
  expect_lt(max(sampled$error), .1)
})

test_that("three latent variables are integrated by sampling, below their bounds nowhere", {
  four <- cbind(x, d = x[, 1] * x[, 3] / 2 + sin(1:300))
  wide <- suppressWarnings(fit_vb(vae(four, 3, hidden = 6), control = vb_control(epochs = 60)))
  ll <- predict(wide, four[1:20, ], "log_lik")
  expect_identical(unique(attr(ll, "method")), "importance")
  expect_true(all(c(ll) > wide$row_elbo[1:20] - 3 * attr(ll, "error")))
})

test_that("without an encoder rows, new ones too, get their own q", {
  own <- fit_vb(vae(x, 1, hidden = 10, encoder = "none"), control = vb_control(epochs = 200))
  gap <- amortisation_gap(own, x[1:20, ])
  expect_lt(max(gap$amortisation), .01)
  expect_equal(predict(own, x[1:20, ], "elbo"), own$row_elbo[1:20], tolerance = .02)
})

test_that("simulated data look like the data", {
  s <- simulate(fit, 2, seed = 1)
  expect_identical(s, simulate(fit, 2, seed = 1))
  expect_identical(dim(s$sim_1), dim(x))
  expect_equal(unname(colMeans(s$sim_2)), unname(colMeans(x)), tolerance = .3)
  expect_equal(unname(apply(s$sim_1, 2, sd)), unname(apply(x, 2, sd)), tolerance = .3)
})

test_that("a fit prints what it is, and updates", {
  expect_output(print(fit), "Adam, 5000 epochs")
  expect_s3_class(summary(fit), "vae_summary")
  expect_equal(summary(fit)$kl, unname(fit$kl))
  closed <- update(fit, encoder = "linear", decoder = "linear")
  expect_identical(closed$optimiser, "closed_form")
  expect_output(print(closed), "Closed form")
  expect_identical(update(fit, latent = 2, evaluate = FALSE)$object$latent, 2)
  idle <- fit
  idle$kl[] <- 0
  expect_output(print(idle), "z1 is not used")
  expect_error(vcov(fit), class = "meanfield_error_engine")
  expect_error(coef(fit), class = "meanfield_error_engine")
})

test_that("reported bounds are expectations under q, not sums over the few points of a search", {
  y <- cbind(x, square = x[, 1] * x[, 2])
  for (q in 1:3) {
    wide <- fit_vb(vae(y, q, hidden = 10), control = vb_control(epochs = 60))
    X <- vae_columns(wide$model, y[1:8, ])
    own <- latent_of(wide, X)
    core <- vae_core(wide$model, X)
    rule <- normal_rule(c(60L, 24L, 14L)[q])
    nodes <- as.matrix(expand.grid(rep(list(seq_along(rule$x)), q)))
    e <- matrix(rule$x[t(nodes)], q)
    w <- apply(matrix(rule$w[t(nodes)], q), 2L, prod)
    elbo <- vapply(1:8, function(i) {
      Z <- own$m[, i] + exp(own$log_s[, i]) * e
      lp <- log_joint_table(core, wide$w, X[, i, drop = FALSE], Z)
      sum(w * lp) + sum(own$log_s[, i]) + q / 2 * (1 + log(2 * pi))
    }, 0)
    off <- predict(wide, y[1:8, ], "elbo") - elbo - density_units(wide$model)
    expect_lt(max(abs(off)), c(2e-4, 1e-4, 0.02)[q])
  }
})
