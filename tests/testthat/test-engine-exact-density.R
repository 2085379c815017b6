# The density over the precisions that fit_exact() integrates, and its coordinates.

# f(psi) at random points against the dense marginal, all priors and the numerical Jacobian.
test_that("log densities of vector, nested and crossed terms equal the dense formula", {
  set.seed(9)
  n <- 24
  d <- data.frame(x = rnorm(n), z = rnorm(n), g = factor(rep(1:4, 6)), h = factor(sample(3, n, TRUE)),
    w = runif(n, 0.5, 2))
  d$y <- 3 + d$x + rnorm(4)[d$g] * d$x + rnorm(n)
  X <- cbind(1, d$x)
  W <- matrix(c(2, 0.6, 0.6, 1), 2)
  W3 <- crossprod(matrix(rnorm(9), 3)) + diag(3)
  wide <- function(g, Z) { # columns ordered level by level
    do.call(cbind, lapply(levels(g), function(l) (g == l) * Z))
  }
  cases <- list(
    list(y ~ x + (x | g), list(g = half_t_prior(2, c(1, 3))),
      list(list(Z = wide(d$g, X), r = 2, p = function(L) log_huang_wand(L, 2, c(1, 3))))),
    list(y ~ x + (x | g) + (1 | h), list(g = wishart_prior(4, W), h = half_t_prior(3, 2)),
      list(list(Z = wide(d$g, X), r = 2, p = function(L) log_wishart(L, 4, W)),
        list(Z = indicator(d$h), r = 1, p = function(L) log_prior_l(list(df = 3, scale = 2), log(L)) - log(L)))),
    list(y ~ x + (1 | g) + (z | h), list(g = gamma_prior(2, 1), h = half_t_prior(4, c(2, 1))),
      list(list(Z = indicator(d$g), r = 1, p = function(L) dgamma(L, 2, 1, log = TRUE)),
        list(Z = wide(d$h, cbind(1, d$z)), r = 2, p = function(L) log_huang_wand(L, 4, c(2, 1))))),
    list(y ~ x + (x + z | g), list(g = wishart_prior(5.5, W3)),
      list(list(Z = wide(d$g, cbind(X, d$z)), r = 3, p = function(L) log_wishart(L, 5.5, W3)))),
    list(y ~ x + (x + z | g), list(g = half_t_prior(3, c(1, 2, 3))),
      list(list(Z = wide(d$g, cbind(X, d$z)), r = 3, p = function(L) log_huang_wand(L, 3, 1:3))))
  )
  for (flat in c(FALSE, TRUE)) for (case in cases) {
    fit <- suppressWarnings(fit_vb(case[[1]], d, weights = w, integrate = "no", prior = priors(
      if (flat) flat_prior() else normal_prior(c(1, 0), c(3, 2)), half_t_prior(3, 1), case[[2]])))
    core <- lmm_core(fit$model)
    centre <- vb_centre(core, fit$vb)
    names <- vapply(fit$model$groups, function(t) t$factor, 0L)
    # terms in the fit's own order
    own <- vapply(fit$model$groups, function(t) t$name, "")
    order <- vapply(own, function(nm) {
      which(vapply(case[[3]], function(u) length(fit$model$groups[[match(nm, own)]]$coef) == u$r, NA))[1]
    }, 0L)
    u <- case[[3]][order]
    m <- brute_model(X, d$y, d$w, mean = c(1, 0), cov = if (!flat) diag(c(9, 4)),
      e = list(df = 3, scale = 1), u = u)
    index <- stat_index(fit$model)
    psi <- matrix(rnorm(4 * length(unlist(index)), 0, 0.7), ncol = 4)
    got <- call_nest_log_density(core, centre, psi)
    expected <- apply(psi, 2, function(f) {
      # working precisions L of v, u = A v: the user's are A^-T L A^-1
      A <- lapply(fit$model$groups, `[[`, "A")
      L <- Map(function(at, A) crossprod(solve(A), brute_scale_free(f[at])) %*% solve(A), index[-1], A)
      jacobian <- sum(vapply(index[-1], function(at) brute_jacobian(f[at]), 0)) -
        sum(vapply(A, function(A) (nrow(A) + 1) * log(abs(det(A))), 0))
      brute_conditional(m, exp(f[1]), L, FALSE)$log + log_prior_l(m$e, f[1]) + jacobian +
        sum(mapply(function(t, l) t$p(l), u, L))
    })
    expect_lt(max(abs(got - expected)), 1e-7, label = deparse(case[[1]]))
  }
})

# The density of a precision matrix over its scale-free coordinates, seen through a model whose data
# are taken away.
test_that("half-t and Wishart priors of matrices are normalised, each SD is half-t", {
  d <- exact_data(30)
  no_data <- function(prior) {
    fit <- fit_vb(y ~ x + (x | g), d, integrate = "no",
      prior = priors(normal_prior(0, 2), gamma_prior(2, 1), prior))
    core <- lmm_core(fit$model)
    centre <- vb_centre(core, fit$vb)
    for (part in c("global", "leaf", "cross", "h", "yy", "n", "sum_log_w")) core[[part]] <- 0 * core[[part]]
    centre$grad <- 0 * centre$grad
    centre$rss <- 0
    function(psi) { # tau_e at one, its own density divided out
      call_nest_log_density(core, centre, rbind(0, t(psi))) - dgamma(1, 2, 1, log = TRUE)
    }
  }
  h <- 0.4
  unit <- sd(d$x) # of the second working effect; a half-t prior with scales keeps the origin
  for (case in list(list(p = half_t_prior(3, c(1, 4)), df = 3), list(p = half_t_prior(2, c(1, 4)), df = 2))) {
    f <- no_data(case$p)
    # x_aa = -2 log SD, with tails exp(-x / 2) and exp(df x / 2); x_21 = atanh of the correlation
    a <- seq(-52 / case$df, 28, 2 * h)
    grid <- as.matrix(expand.grid(a, seq(-12, 12, h), a))
    p <- exp(f(grid))
    expect_lt(abs(sum(p) * 4 * h^3 - 1), 1e-4)
    # given x_22, the density of the second SD: half-t(df, 4), on its scale
    g <- as.matrix(expand.grid(seq(-52, 52, h), seq(-16, 16, h)))
    for (x22 in c(-2, 1)) {
      s <- exp(-x22 / 2)
      expect_close(sum(exp(f(cbind(g, x22)))) * h^2, dt(s / unit / 4, case$df) / 4 * s / unit, 1e-6)
    }
  }
  # stated at the origin, so that in working coordinates it is one that this grid resolves
  centred <- fit_vb(y ~ x + (x | g), d, integrate = "no")
  B <- solve(centred$model$groups[[1]]$A)
  W <- t(B) %*% matrix(c(1, 0.4, 0.4, 0.6), 2) %*% B
  f <- no_data(wishart_prior(5, W))
  h <- 0.25
  grid <- as.matrix(expand.grid(seq(-14, 5, 2 * h), seq(-6, 6, h), seq(-14, 5, 2 * h)))
  expect_lt(abs(sum(exp(f(grid))) * 4 * h^3 - 1), 1e-6)
})

test_that("scale-free coordinates: inverse, meaning and Jacobian", {
  set.seed(2)
  for (r in 1:3) {
    x <- rnorm(r * (r + 1) / 2)
    L <- brute_scale_free(x)
    t <- L[lower.tri(L, diag = TRUE)]
    expect_close(from_scale_free(matrix(x, 1)), t, 1e-12)
    expect_lt(max(abs(scale_free(t) - x)), 1e-12)
    own <- lower_pairs(r)
    expect_lt(max(abs(x[own$row == own$col] + log(diag(solve(L))))), 1e-12)
    if (r == 2) expect_lt(abs(tanh(x[2]) - cov2cor(solve(L))[2, 1]), 1e-12)
  }
})
