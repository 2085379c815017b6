# Prior sensitivity from the linear-response matrix against refits, relative 1e-3.

sensitivity_by_refit <- function(formula, d, make, at, h, ...) {
  means <- function(value) {
    f <- suppressWarnings(fit_vb(formula, d, prior = make(value), integrate = "no", ...))
    t <- f$posterior$tau
    scalar <- unlist(t$index[lengths(t$index) == 1L])
    c(fixef(f), drop(user_statistics(t(t$mean), f$model)), t$psi$mean[scalar])
  }
  (means(at + h) - means(at - h)) / (2 * h)
}

test_that("derivatives equal those of refits, every kind of hyperparameter", {
  set.seed(51)
  d <- data.frame(x = rnorm(90, 2), g = gl(9, 10), h = factor(rep(1:6, 15)))
  d$y <- 1 + d$x + rnorm(9)[d$g] + .7 * rnorm(9)[d$g] * d$x + .8 * rnorm(6)[d$h] + rnorm(90)
  f <- y ~ x + (x | g) + (1 | h)
  base <- list(mean = c(1, 0), sd = c(3, .8), shape = 2, rate = 1.5, df = 4, A = c(1.2, .7),
    hdf = 3, hA = .9)
  make <- function(b) {
    priors(normal_prior(b$mean, b$sd), gamma_prior(b$shape, b$rate),
      list(g = half_t_prior(b$df, b$A), h = half_t_prior(b$hdf, b$hA)))
  }
  check <- function(S, column, fd) {
    expect_lte(max(abs(S[, column] - fd)) / max(abs(fd)), 1e-3)
    expect_lte(max(abs(S[, column] - fd) / (abs(fd) + 1e-3 * max(abs(fd)))), 1e-2)
  }
  moves <- list("beta[x].mean" = c("mean", 2), "beta[(Intercept)].sd" = c("sd", 1),
    "beta[x].sd" = c("sd", 2), tau_e.shape = c("shape", 1), tau_e.rate = c("rate", 1),
    "Lambda_u[g].df" = c("df", 1), "Lambda_u[g].scale[1]" = c("A", 1),
    "Lambda_u[g].scale[2]" = c("A", 2), "tau_u[h].df" = c("hdf", 1), "tau_u[h].scale" = c("hA", 1))
  for (blocks in c("joint", "separate")) {
    S <- vb_sensitivity(fit_vb(f, d, prior = make(base), blocks = blocks))
    expect_equal(ncol(S), 4 + 2 + 3 + 2)
    for (m in names(moves)) {
      what <- moves[[m]][1]
      i <- as.integer(moves[[m]][2])
      at <- base[[what]][i]
      fd <- sensitivity_by_refit(f, d, function(v) {
        b <- base
        b[[what]][i] <- v
        make(b)
      }, at, 1e-4 * max(abs(at), .1), blocks = blocks)
      check(S, m, fd)
    }
  }
  W <- matrix(c(.3, .05, .05, .2), 2)
  S <- vb_sensitivity(fit_vb(f, d, prior = priors(normal_prior(0, 5), tau_u = list(
    g = wishart_prior(5, W), h = gamma_prior(2, 1)))))
  wish <- function(df = 5, w21 = .05, w11 = .3) {
    M <- W
    M[1, 2] <- M[2, 1] <- w21
    M[1, 1] <- w11
    priors(normal_prior(0, 5), tau_u = list(g = wishart_prior(df, M), h = gamma_prior(2, 1)))
  }
  check(S, "Lambda_u[g].df", sensitivity_by_refit(f, d, function(v) wish(df = v), 5, 1e-4))
  check(S, "Lambda_u[g].scale[1,1]", sensitivity_by_refit(f, d, function(v) wish(w11 = v), .3, 1e-5))
  check(S, "Lambda_u[g].scale[2,1]", sensitivity_by_refit(f, d, function(v) wish(w21 = v), .05, 1e-5))
})

test_that("default priors, scaling and refusals", {
  fit <- fit_vb(log_radon ~ floor + (1 | county), radon)
  S <- vb_sensitivity(fit, scaled = TRUE)
  expect_true(all(is.finite(S)))
  # these data speak louder than their weak prior
  expect_lt(max(abs(S)), .5)
  expect_equal(ncol(vb_sensitivity(update(fit, prior = priors(flat_prior())))), 4)
  expect_error(vb_sensitivity(1), class = "meanfield_error_engine")
})
