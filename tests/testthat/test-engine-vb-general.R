# Any Gaussian mixed model against the dense twin of helper-dense.R: several terms, crossed
# and nested factors, correlated slopes.

# Two rows have weight zero: they must not count.
general_data <- function() {
  set.seed(7)
  n <- 90
  d <- data.frame(
    g = factor(rep(1:6, length.out = n)), h = factor(sample(rep(letters[1:5], 18))),
    a = factor(rep(c("A", "B", "C", "D"), length.out = n)), b = factor(rep(1:3, each = 30)),
    x = rnorm(n, 1), x2 = rnorm(n), w = c(0, 0, runif(n - 2, .5, 2))
  )
  u <- matrix(rnorm(18), 6) %*% chol(W3 / .5)
  d$y <- 2 + .5 * d$x + u[d$g, 1] + u[d$g, 2] * d$x + u[d$g, 3] * d$x2 + rnorm(5)[d$h] +
    rnorm(4)[d$a] + rnorm(12, 0, .7)[d$a:d$b] + rnorm(n)
  d
}
W3 <- matrix(c(.5, .1, .05, .1, .4, -.1, .05, -.1, .3), 3)
W2 <- W3[1:2, 1:2]
d <- general_data()
on <- function(g, formula, name = deparse(substitute(g)), data = d) {
  list(name = name, g = eval(substitute(g), data), z = model.matrix(formula, data))
}

# ---- the dense twin itself ------------------------------------------------------------

X2 <- cbind("(Intercept)" = 1, x = d$x)
twin <- function(terms, u, e = d_gamma(.5, .3), cov = diag(100, 2), ...) {
  dense_vb_general(X2, terms, d$y, d$w, list(mean = 0, cov = cov, e = e, u = u), ...)
}

test_that("the general twin equals the small one where both apply", {
  use <- d$w > 0
  for (half_t in c(FALSE, TRUE)) {
    small <- dense_vb(X2[use, ], indicator(d$g[use]), d$y[use], d$w[use],
      list(mean = c(0, 0), cov = diag(100, 2),
        e = if (half_t) list(df = 3, scale = 2) else c(.5, .3),
        u = if (half_t) list(df = 4, scale = 1.5) else c(.7, .2)),
      tilt = list(tau_u = .01, log_tau_e = .2, theta = c(.1, rep(0, 7))))
    ours <- twin(list(on(g, ~1)), list(if (half_t) d_half_t(4, 1.5) else d_gamma(.7, .2)),
      if (half_t) d_half_t(3, 2) else d_gamma(.5, .3),
      tilt = c("tau_u[g]" = .01, log_tau_e = .2, "beta[(Intercept)]" = .1))
    expect_equal(ours$m, unname(small$m), tolerance = 1e-11)
    expect_equal(ours$S, unname(small$S), tolerance = 1e-11)
    expect_equal(c(ours$tau_e, ours$Lambda[[1]]), small$t, tolerance = 1e-11)
    expect_equal(ours$mean_log, small$mean_log, tolerance = 1e-11)
  }
})

test_that("the twin's bound is stationary: its derivatives are the explicit ones", {
  bound <- function(W = W2, df = 4, scale = c(1.5, .7), half_t = FALSE, b = .3) {
    twin(list(on(g, ~x)), list(if (half_t) d_half_t(3, scale) else d_wishart(df, W)),
      d_gamma(.5, b))
  }
  slope <- function(f, x, h = 2e-4) (dense_elbo(f(x + h)) - dense_elbo(f(x - h))) / (2 * h)
  fit <- bound()
  L <- fit$Lambda[[1]]
  R <- solve(W2)
  expect_equal(slope(function(b) bound(b = b), .3), .5 / .3 - fit$tau_e, tolerance = 1e-5)
  expect_equal(slope(function(r) {
    R[1, 2] <- R[2, 1] <- r
    bound(solve(R))
  }, R[1, 2]), 4 * W2[1, 2] - L[1, 2], tolerance = 1e-5)
  expect_equal(slope(function(df) bound(df = df), 4),
    (fit$mean_log[2] - sum(digamma(c(4, 3) / 2)) - 2 * log(2) - log(det(W2))) / 2,
    tolerance = 1e-5)
  aux <- bound(half_t = TRUE)$q[[2]]$aux
  expect_equal(slope(function(A) bound(half_t = TRUE, scale = c(1.5, A)), .7),
    2 * (aux$shape / aux$rate)[2] / .7^3 - 1 / .7, tolerance = 1e-5)
})

test_that("the twin moves with its covariates: z B has precision B' Lambda B", {
  B <- matrix(c(1, .3, -.5, .8), 2)
  term <- on(g, ~x)
  moved <- term
  moved$z <- term$z %*% B
  colnames(moved$z) <- colnames(term$z)
  a <- twin(list(term), list(d_wishart(4, W2)))
  b <- twin(list(moved), list(d_wishart(4, t(B) %*% W2 %*% B)))
  expect_equal(b$Lambda[[1]], t(B) %*% a$Lambda[[1]] %*% B, tolerance = 1e-11)
  expect_equal(dense_elbo(b), dense_elbo(a), tolerance = 1e-12)
  ab <- vech_pairs(2)
  D <- apply(ab, 1, function(k) { # of vech(B' Lambda B) in vech(Lambda)
    E <- matrix(0, 2, 2)
    E[k[1], k[2]] <- E[k[2], k[1]] <- 1
    (t(B) %*% E %*% B)[ab]
  })
  k <- c("Lambda_u[g:(Intercept),(Intercept)]", "Lambda_u[g:(Intercept),x]", "Lambda_u[g:x,x]")
  Va <- dense_lrvb(a)$lrvb
  Vb <- dense_lrvb(b)$lrvb
  expect_equal(unname(Vb[k, k]), unname(D %*% Va[k, k] %*% t(D)), tolerance = 1e-10)
  expect_equal(Vb[1:2, 1:2], Va[1:2, 1:2], tolerance = 1e-10)
})

test_that("the twin is exact for tau_e in linear regression with a flat prior", {
  fit <- twin(list(), list(), cov = NULL)
  rss <- sum(d$w * lm(y ~ x, d, weights = w)$residuals^2)
  shape <- .5 + (sum(d$w > 0) - 2) / 2
  expect_equal(fit$tau_e, shape / (.3 + rss / 2), tolerance = 1e-12)
  expect_equal(dense_lrvb(fit)$lrvb["tau_e", "tau_e"], shape / (.3 + rss / 2)^2,
    tolerance = 1e-11)
})

test_that("the closed linear response of the twin is the derivative of its refits", {
  fits <- list(
    twin(list(on(g, ~ x + x2)), list(d_wishart(5, W3))),
    twin(list(on(g, ~x), on(h, ~x2)), list(d_half_t(3, c(1.5, .7)), d_wishart(4, W2)),
      d_half_t(4, 1.2))
  )
  for (fit in fits) {
    V <- dense_lrvb(fit)$lrvb
    sd <- sqrt(diag(V))
    for (k in fit$mod$names) {
      expect_entries(fd_lrvb(fit, k), V[, k], sd * sd[k], 1e-7, paste("column", k))
    }
  }
})

# ---- the package against the twin -------------------------------------------------------

# Posterior means of beta and u through the accessors, named by the contract.
theta_means <- function(fit) {
  b <- fixef(fit)
  u <- lapply(names(ranef(fit)), function(g) {
    r <- as.data.frame(ranef(fit)[[g]])
    plain <- identical(names(r), "(Intercept)")
    unlist(lapply(names(r), function(k) {
      stats::setNames(r[[k]], paste0("u[", g, ":", rownames(r), if (!plain) paste0(",", k), "]"))
    }))
  })
  c(stats::setNames(b, paste0("beta[", names(b), "]")), unlist(u))
}

# Means and both covariance matrices equal the twin's, in units of standard deviations.
expect_same_fit <- function(fit, ref, tol = tol_twin) {
  cov <- dense_lrvb(ref)
  sd <- sqrt(diag(cov$mfvb))
  means <- theta_means(fit)
  theta <- ref$mod$names[seq_len(ref$mod$d)]
  expect_setequal(names(means), theta)
  expect_entries(means[theta], ref$means[theta], sd[theta], tol, "mean")
  # summary() has no mean of a group precision under a half-t; the covariance below has it
  s <- as.data.frame(summary(fit))
  s <- s[s$variable %in% ref$mod$names & !is.na(s$mean_mfvb), ]
  expect_true(all(c("tau_e", "log_tau_e") %in% s$variable))
  expect_entries(s$mean_mfvb, ref$means[s$variable], sd[s$variable], tol, "mean in summary")
  known <- grep("^(aux|logdet)", ref$mod$names, invert = TRUE, value = TRUE)
  for (type in c("mfvb", "lrvb")) {
    V <- vcov(fit, type = type, pars = "all")
    expect_equal(setdiff(known, rownames(V)), character())
    at <- intersect(known, rownames(V))
    unit <- sqrt(diag(cov[[type]])[at])
    expect_entries(V[at, at], cov[[type]][at, at], outer(unit, unit), tol, type)
    i <- match(at, s$variable, 0L)
    expect_entries(s[[if (type == "mfvb") "sd_mfvb" else "sd"]][i], unit[i > 0], unit[i > 0],
      tol, paste("SD in summary,", type))
  }
}

# The bound never falls, and plain coordinate ascent ends where Newton does.
expect_same_optimum <- function(newton, cavi) {
  expect_true(all(cavi$trace$step == "cavi"))
  for (f in list(newton, cavi)) {
    e <- f$trace$elbo[f$trace$step != "rejected"]
    expect_gte(min(0, diff(e) / abs(e[-1])), -1e-9)
  }
  V <- vcov(newton, type = "lrvb", pars = "all")
  unit <- sqrt(diag(V))
  a <- theta_means(newton)
  expect_entries(theta_means(cavi), a, unit[names(a)], 1e-7, "mean, cavi")
  expect_entries(vcov(cavi, type = "lrvb", pars = "all"), V, outer(unit, unit), 1e-7,
    "lrvb, cavi")
  expect_equal(cavi$vb$elbo, newton$vb$elbo, tolerance = 1e-10)
}

# terms, u: the twin's terms and their priors; tau_u: the same priors for the package.
check_case <- function(formula, terms, u, tau_u, half_t_e = FALSE, flat = FALSE) {
  prior <- priors(
    beta = if (flat) flat_prior() else normal_prior(0, 10),
    tau_e = if (half_t_e) half_t_prior(4, 1.2) else gamma_prior(.5, .3), tau_u = tau_u
  )
  fit <- fit_vb(formula, d, weights = w, prior = prior, integrate = "no")
  ref <- twin(terms, u, if (half_t_e) d_half_t(4, 1.2) else d_gamma(.5, .3),
    if (!flat) diag(100, 2))
  expect_true(fit$converged)
  expect_same_fit(fit, ref)
  expect_equal(fit$vb$elbo, dense_elbo(ref), tolerance = 1e-9)

  # by definition: the derivative of every refitted mean under a tilt
  known <- grep("^(aux|logdet)", ref$mod$names, invert = TRUE, value = TRUE)
  V <- vcov(fit, type = "lrvb", pars = "all")
  known <- intersect(known, rownames(V))
  sd <- sqrt(diag(V)[known])
  u_names <- grep("^u", known, value = TRUE)
  tilts <- c("beta[x]", u_names[1], u_names[length(u_names)], grep("^beta|^u", known,
    invert = TRUE, value = TRUE))
  for (k in tilts) {
    expect_entries(V[known, k], fd_lrvb(ref, k)[known], sd * sd[k], tol_fd,
      paste("finite differences, column", k))
  }
  cavi <- fit_vb(formula, d, weights = w, prior = prior, integrate = "no",
    control = vb_control(newton = FALSE, tol = 1e-12, max_iter = 20000))
  expect_same_optimum(fit, cavi)
}

test_that("a correlated slope: Wishart", {
  check_case(y ~ x + (1 + x | g), list(on(g, ~x)), list(d_wishart(4, W2)),
    wishart_prior(4, W2))
})

test_that("a correlated slope: half-t of two scales", {
  check_case(y ~ x + (1 + x | g), list(on(g, ~x)), list(d_half_t(3, c(1.5, .7))),
    half_t_prior(3, scale = c(1.5, .7)), half_t_e = TRUE)
})

test_that("a slope without an intercept: gamma", {
  check_case(y ~ x + (0 + x | g), list(on(g, ~ 0 + x)), list(d_gamma(.7, .2)),
    gamma_prior(.7, .2))
})

test_that("two crossed factors: gamma and half-t, flat prior of the coefficients", {
  check_case(y ~ x + (1 | g) + (1 | h), list(on(g, ~1), on(h, ~1)),
    list(d_gamma(.7, .2), d_half_t(4, 1.5)),
    list(g = gamma_prior(.7, .2), h = half_t_prior(4, 1.5)), flat = TRUE)
})

test_that("nested factors", {
  check_case(y ~ x + (1 | a / b), list(on(b:a, ~1), on(a, ~1)),
    list(d_gamma(.7, .2), d_half_t(4, 1.5)),
    list("b:a" = gamma_prior(.7, .2), a = half_t_prior(4, 1.5)), half_t_e = TRUE)
})

test_that("independent intercept and slope: ||", {
  check_case(y ~ x + (x || g), list(on(g, ~1), on(g, ~ 0 + x)),
    list(d_gamma(.7, .2), d_half_t(4, 1.5)),
    list("g:(Intercept)" = gamma_prior(.7, .2), "g:x" = half_t_prior(4, 1.5)))
})

test_that("a scalar and a vector term on one factor", {
  check_case(y ~ x + (1 | g) + (0 + x + x2 | g), list(on(g, ~1), on(g, ~ 0 + x + x2)),
    list(d_gamma(.7, .2), d_wishart(4, W2)),
    list("g:(Intercept)" = gamma_prior(.7, .2), g = wishart_prior(4, W2)))
})

test_that("three coefficients on a factor: Wishart", {
  check_case(y ~ x + (1 + x + x2 | g), list(on(g, ~ x + x2)), list(d_wishart(5, W3)),
    wishart_prior(5, W3))
})

test_that("three coefficients on a factor: half-t of three scales", {
  check_case(y ~ x + (1 + x + x2 | g), list(on(g, ~ x + x2)), list(d_half_t(2, c(1, 2, .5))),
    half_t_prior(2, scale = c(1, 2, .5)))
})

test_that("a slope and an intercept on crossed factors", {
  check_case(y ~ x + (1 + x | g) + (1 | h), list(on(g, ~x), on(h, ~1)),
    list(d_wishart(4, W2), d_gamma(.7, .2)),
    list(g = wishart_prior(4, W2), h = gamma_prior(.7, .2)), half_t_e = TRUE)
})

test_that("slopes on both of two crossed factors", {
  check_case(y ~ x + (1 + x | g) + (1 + x2 | h), list(on(g, ~x), on(h, ~x2)),
    list(d_half_t(3, c(1.5, .7)), d_wishart(4, W2)),
    list(g = half_t_prior(3, scale = c(1.5, .7)), h = wishart_prior(4, W2)))
})

test_that("three factors, crossed and nested, with a slope", {
  check_case(y ~ x + (1 + x | g) + (1 | h) + (1 | a / b),
    list(on(g, ~x), on(h, ~1), on(b:a, ~1), on(a, ~1)),
    list(d_half_t(3, c(1.5, .7)), d_gamma(.7, .2), d_gamma(1, .4), d_gamma(.7, .2)),
    list(g = half_t_prior(3, scale = c(1.5, .7)), "b:a" = gamma_prior(1, .4),
      h = gamma_prior(.7, .2), a = gamma_prior(.7, .2)))
})

test_that("Wishart(2a, 1 / (2b)) of one coefficient is gamma(a, b)", {
  fit <- function(p) {
    fit_vb(y ~ x + (0 + x | g), d, prior = priors(tau_u = p), integrate = "no")
  }
  a <- fit(gamma_prior(.7, .2))
  b <- fit(wishart_prior(1.4, matrix(1 / .4)))
  expect_equal(vcov(b, pars = "all"), vcov(a, pars = "all"), tolerance = 1e-10)
  expect_equal(fixef(b), fixef(a), tolerance = 1e-10)
})

# In other units of x nothing but units changes, nor does the verdict on linear response.
test_that("the unit of a slope's covariate does not matter", {
  fit <- function(unit) {
    fit_vb(y ~ x + (1 + x | g), transform(d, x = x * unit), weights = w, integrate = "no",
      prior = priors(beta = normal_prior(0, c(10, 10 / unit)), tau_e = gamma_prior(.5, .3),
        tau_u = half_t_prior(3, scale = c(1.5, .7 / unit))))
  }
  one <- fit(1)
  V <- vcov(one, pars = "all")
  # every variable of the contract goes with unit^k, by how often it names x
  known <- grep("^(beta|u|tau|Lambda)", rownames(V), value = TRUE)
  n_x <- lengths(regmatches(known, gregexpr("\\bx\\b", known)))
  power <- ifelse(grepl("^Lambda", known), n_x, -n_x)
  unit_sd <- sqrt(diag(V)[known])
  for (unit in c(.01, 10, 100)) {
    expect_silent(other <- fit(unit))
    factor <- unit^power
    expect_entries(vcov(other, pars = "all")[known, known], V[known, known] * tcrossprod(factor),
      tcrossprod(unit_sd * factor), tol_twin, paste("unit", unit))
    expect_equal(other$vb$elbo, one$vb$elbo, tolerance = 1e-9)
  }
})

# ---- real data --------------------------------------------------------------------------

# fixed: the formula without group terms; sd: prior SD of the coefficients.
check_real <- function(formula, fixed, data, sd, terms, u, tau_u, e, tau_e) {
  prior <- priors(beta = normal_prior(0, sd), tau_e = tau_e, tau_u = tau_u)
  fit <- fit_vb(formula, data, prior = prior, integrate = "no")
  frame <- model.frame(fixed, data)
  X <- model.matrix(fixed, frame)
  ref <- dense_vb_general(X, terms, model.response(frame),
    prior = list(mean = 0, cov = diag(sd^2, ncol(X)), e = e, u = u))
  expect_same_fit(fit, ref)
  expect_equal(fit$vb$elbo, dense_elbo(ref), tolerance = 1e-9)
}

test_that("sleepstudy equals the dense twin", {
  skip_if_not_installed("lme4")
  sleep <- lme4::sleepstudy
  subject <- list(on(Subject, ~Days, data = sleep))
  check_real(Reaction ~ Days + (Days | Subject), Reaction ~ Days, sleep, 500, subject,
    list(d_half_t(3, c(50, 15))), half_t_prior(3, scale = c(50, 15)),
    d_half_t(3, 50), half_t_prior(3, 50))
  W <- diag(c(1e-3, 1e-2))
  check_real(Reaction ~ Days + (Days | Subject), Reaction ~ Days, sleep, 500, subject,
    list(d_wishart(4, W)), wishart_prior(4, W), d_gamma(.5, 100), gamma_prior(.5, 100))
})

test_that("Penicillin, crossed factors, equals the dense twin", {
  skip_if_not_installed("lme4")
  mould <- lme4::Penicillin
  check_real(diameter ~ 1 + (1 | plate) + (1 | sample), diameter ~ 1, mould, 50,
    list(on(plate, ~1, data = mould), on(sample, ~1, data = mould)),
    list(d_half_t(3, 5), d_half_t(3, 5)), half_t_prior(3, 5), d_half_t(3, 5),
    half_t_prior(3, 5))
})

test_that("Pastes, nested factors, equals the dense twin", {
  skip_if_not_installed("lme4")
  paste <- lme4::Pastes
  check_real(strength ~ 1 + (1 | batch / cask), strength ~ 1, paste, 100,
    list(on(cask:batch, ~1, data = paste), on(batch, ~1, data = paste)),
    list(d_half_t(3, 5), d_gamma(1, 1)),
    list("cask:batch" = half_t_prior(3, 5), batch = gamma_prior(1, 1)), d_half_t(3, 5),
    half_t_prior(3, 5))
})

test_that("Oats, nested with a factor and a slope covariate, equals the dense twin", {
  oats <- as.data.frame(nlme::Oats)
  oats$Block <- factor(oats$Block, ordered = FALSE)
  check_real(yield ~ nitro * Variety + (1 | Block / Variety), yield ~ nitro * Variety, oats, 100,
    list(on(Variety:Block, ~1, data = oats), on(Block, ~1, data = oats)),
    list(d_half_t(3, 50), d_gamma(1, 100)),
    list("Variety:Block" = half_t_prior(3, 50), Block = gamma_prior(1, 100)), d_half_t(3, 50),
    half_t_prior(3, 50))
})

test_that("Machines, three correlated coefficients of a factor, equals the dense twin", {
  m <- as.data.frame(nlme::Machines)
  m$Worker <- factor(m$Worker, ordered = FALSE)
  W <- diag(3) / 50
  check_real(score ~ Machine + (Machine | Worker), score ~ Machine, m, 100,
    list(on(Worker, ~Machine, data = m)), list(d_wishart(5, W)), wishart_prior(5, W),
    d_half_t(3, 20), half_t_prior(3, 20))
})

# Enough outer levels that they are eliminated one by one (src/arrow/schur.h); the same bound and the
# same linear response as by dense algebra.
test_that("many nested groups equal the dense twin", {
  set.seed(12)
  e <- data.frame(x = rnorm(180), a = factor(rep(1:30, each = 6)), b = factor(rep(rep(1:2, each = 3), 30)))
  e$y <- 1 + e$x + rnorm(30)[e$a] + .5 * rnorm(30)[e$a] * e$x + rnorm(60, 0, .7)[e$a:e$b] + rnorm(180)
  e$inner <- factor(paste(e$b, e$a))
  priors <- priors(normal_prior(0, 10), gamma_prior(.5, .3),
    list(inner = gamma_prior(2, 1), a = wishart_prior(4, W2)))
  fit <- fit_vb(y ~ x + (1 | inner) + (1 + x | a), e, integrate = "no", prior = priors)
  ref <- dense_vb_general(cbind("(Intercept)" = 1, x = e$x),
    list(on(inner, ~1, data = e), on(a, ~x, data = e)), e$y,
    prior = list(mean = 0, cov = diag(100, 2), e = d_gamma(.5, .3),
      u = list(d_gamma(2, 1), d_wishart(4, W2))))
  expect_same_fit(fit, ref)
})
