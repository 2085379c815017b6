# Separate blocks, q(beta) prod_g q(u_g): against a dense twin and its derivative under a tilt.

# The factorised fit by sweeping over the blocks one by one, as the paper does it. blocks: list of
# index vectors of theta; K: list of 0/1 diagonals, the coefficients that each scalar precision
# governs; gamma priors prior[[k]] = c(shape, rate), tau_e first.
dense_separate <- function(C, y, blocks, K, Tb, prior, tilt_t = 0 * seq_along(prior),
                           tilt_theta = rep(0, ncol(C))) {
  G <- crossprod(C)
  h <- drop(crossprod(C, y))
  t <- rep(1, length(prior))
  m <- rep(0, ncol(C))
  A <- vapply(prior, `[`, 0, 1) + c(length(y), vapply(K, sum, 0)) / 2
  for (it in 1:20000) {
    P <- t[1] * G + Tb + diag(Reduce(`+`, Map(`*`, K, t[-1])))
    old <- c(m, log(t))
    S <- 0 * G
    for (b in blocks) {
      S[b, b] <- solve(P[b, b])
      m[b] <- drop(S[b, b] %*% ((t[1] * h + tilt_theta)[b] - P[b, -b, drop = FALSE] %*% m[-b]))
    }
    ss <- c(sum((y - drop(C %*% m))^2) + sum(G * S), vapply(K, function(k) sum(k * (m^2 + diag(S))), 0))
    t <- A / (vapply(prior, `[`, 0, 2) + ss / 2 - tilt_t)
    if (max(abs(c(m, log(t)) - old)) < 1e-14) break
  }
  list(m = m, S = S, t = t)
}

test_that("separate blocks equal the sweeping twin, LRVB its derivative under a tilt", {
  set.seed(41)
  n <- 60
  d <- data.frame(x1 = rnorm(n), x2 = rnorm(n), g = gl(6, 10), h = factor(rep(1:4, 15)))
  d$r <- d$x1 + rnorm(n, 0, .6)
  d$y <- d$x1 + .5 * d$x2 + rnorm(6)[d$g] * d$r + rnorm(4)[d$h] + rnorm(n)
  Zg <- indicator(d$g) * d$r
  Zh <- indicator(d$h)
  C <- cbind(d$x1, d$x2, Zh, Zg)
  prior <- list(c(2, 2), c(2, 2), c(3, 1)) # tau_e, tau_u[g], tau_u[h]
  K <- list(rep(c(0, 1), c(6, 6)), rep(c(0, 1, 0), c(2, 4, 6)))
  blocks <- c(list(1:2), as.list(3:12))
  Tb <- diag(c(.1, .1, rep(0, 10)))
  twin <- function(...) dense_separate(C, d$y, blocks, K, Tb, prior, ...)
  fit <- fit_vb(y ~ 0 + x1 + x2 + (0 + r | g) + (1 | h), d, blocks = "separate",
    integrate = "no", prior = priors(normal_prior(0, sqrt(10)), gamma_prior(2, 2),
      list(g = gamma_prior(2, 2), h = gamma_prior(3, 1))))
  ref <- twin()
  expect_close(fixef(fit), ref$m[1:2], 1e-8)
  expect_close(fit$posterior$u$mean, ref$m[-(1:2)], 1e-7)
  expect_close(fit$posterior$tau$mean, ref$t, 1e-8)
  expect_close(vcov(fit, "mfvb"), ref$S[1:2, 1:2], 1e-8)
  expect_equal(unname(vcov(fit, "mfvb", pars = "all")[1:12, 1:12]), ref$S, tolerance = 1e-8)
  V <- vcov(fit, "lrvb", pars = "all")[1:15, 1:15]
  for (k in c(1, 2, 4, 9, 13, 14, 15)) {
    s <- 1e-4 / if (k > 12) ref$t[k - 12] else 1
    tilted <- function(e) {
      r <- if (k > 12) twin(tilt_t = replace(numeric(3), k - 12, e)) else
        twin(tilt_theta = replace(numeric(12), k, e))
      c(r$m, r$t)
    }
    fd <- (tilted(s) - tilted(-s)) / (2 * s)
    expect_lte(max(abs(V[, k] - fd) / sqrt(V[k, k] * diag(V))), tol_fd)
  }
  e <- fit$trace$elbo[fit$trace$step != "rejected"]
  expect_gte(min(diff(e) / abs(e[-1])), -1e-9)
  # a coarser family has a lower bound
  expect_lt(as.numeric(logLik(fit)), as.numeric(logLik(fit_vb(fit))))
})

test_that("correlated slopes and global vector terms in separate blocks", {
  set.seed(42)
  d <- data.frame(x = rnorm(160), g = gl(16, 10), h = factor(rep(1:8, 20)))
  d$y <- 1 + d$x + rnorm(16)[d$g] + rnorm(16)[d$g] * d$x + rnorm(8)[d$h] + rnorm(160)
  f <- y ~ x + (x | g) + (x || h)
  newton <- fit_vb(f, d, blocks = "separate", integrate = "no")
  cavi <- fit_vb(f, d, blocks = "separate", integrate = "no",
    control = vb_control(newton = FALSE, tol = 1e-12, max_iter = 20000))
  expect_close(newton$vb$t, cavi$vb$t, 1e-7)
  joint <- fit_vb(f, d, integrate = "no")
  # mean-field coefficients collapse, linear response brings them back to the joint fit's
  expect_lt(max(vcov(newton, "mfvb")[2, 2] / vcov(joint)[2, 2]), .5)
  expect_equal(sqrt(diag(vcov(newton))), sqrt(diag(vcov(joint))), tolerance = .1)
  expect_true(all(is.finite(predict(newton, interval = "confidence"))))
  set.seed(1)
  S <- cov(as.matrix(as_draws(newton, ndraws = 10000, u = FALSE))[, 1:2])
  expect_equal(S, vcov(newton), tolerance = .1, ignore_attr = TRUE)
})

test_that("the random-slope design of Giordano et al. (2015): who is mended, and how far", {
  set.seed(7)
  n <- 300
  K <- 30
  x <- matrix(rnorm(2 * n), n)
  r <- x[, 1] + rnorm(n, 0, .4)
  k <- gl(K, 10)
  sets <- if (test_level() >= 3) 100 else 12
  prior <- priors(normal_prior(0, sqrt(10)), gamma_prior(2, 2), gamma_prior(2, 2))
  ratios <- t(vapply(seq_len(sets), function(i) {
    nu <- runif(1, .5, 4)
    tau <- runif(1, .2, 1)
    d <- data.frame(x1 = x[, 1], x2 = x[, 2], r, k)
    d$y <- drop(x %*% runif(2, 0, 3)) + rnorm(K, 0, 1 / sqrt(nu))[k] * r + rnorm(n, 0, 1 / sqrt(tau))
    f <- fit_vb(y ~ 0 + x1 + x2 + (0 + r | k), d, prior = prior, blocks = "separate")
    t <- as.data.frame(sd_ratio_report(f, fit_gibbs(f, chains = 2, iter = 2500, warmup = 250)))
    rows <- match(c("beta[x1]", "beta[x2]", "tau_e", "tau_u[k]", "log_tau_u[k]"), t$variable)
    c(t$ratio_mfvb[rows], t$ratio_lrvb[rows])
  }, numeric(10)))
  mean <- colMeans(ratios)
  expect_equal(mean[1], .55, tolerance = .06) # beta1, mean-field
  expect_equal(mean[c(2:5)], c(.97, .95, .80, .82), tolerance = .04)
  expect_equal(mean[6:10], c(.99, 1, 1, .98, 1), tolerance = .03)
})
