# What must change nothing but units.

inv_data <- function() {
  set.seed(21)
  n <- 120
  d <- data.frame(x = rnorm(n, 4, 2), f = factor(sample(c("a", "b", "c"), n, TRUE)),
    g = factor(sample(letters[1:9], n, TRUE)))
  d$y <- 3 + d$x + (d$f == "b") + rnorm(9)[d$g] + rnorm(n)
  d
}
vals <- function(fit) {
  s <- summary(fit, pars = "u")
  data.frame(mean = s$mean, sd = s$sd, lo = s$q2.5, hi = s$q97.5, row.names = s$variable)
}
log_rows <- function(v) v[grepl("^log_", rownames(v)), ]

test_that("weights of two are a halved precision", {
  d <- inv_data()
  d$two <- 2
  gam <- function(rate) priors(normal_prior(0, 5), gamma_prior(2, rate), gamma_prior(2, 1))
  # weight 2 and Gamma(a, b) for tau_e: 2 tau_e is Gamma(a, b / 2)
  half <- fit_vb(y ~ x + (1 | g), d, weights = two, prior = gam(2))
  one <- fit_vb(y ~ x + (1 | g), d, prior = gam(1))
  expect_close(half$posterior$tau$mean[1], one$posterior$tau$mean[1] / 2, 1e-8)
  expect_close(fixef(half), fixef(one), 1e-8)
  expect_close(vcov(half), vcov(one), 1e-8)
  # the default prior follows the weights too
  half <- fit_vb(y ~ x + (1 | g), d, weights = two)
  one <- fit_vb(y ~ x + (1 | g), d)
  expect_close(half$posterior$tau$mean[1], one$posterior$tau$mean[1] / 2, 1e-8)
  expect_close(vcov(half), vcov(one), 1e-8)
})

test_that("a weight of zero leaves the row out", {
  d <- inv_data()
  d$w <- rep(c(1, 1, 0, 2), 30)
  d$y[d$w == 0] <- 1e9
  a <- vals(fit_vb(y ~ x + f + (1 | g), d, weights = w))
  b <- vals(fit_vb(y ~ x + f + (1 | g), d[d$w > 0, ], weights = w))
  expect_equal(a, b, tolerance = 1e-10)
  # a group that only occurs with weight zero is no group
  d$w[d$g == "c"] <- 0
  fit <- fit_vb(y ~ x + f + (1 | g), d, weights = w)
  expect_equal(ngrps(fit)[["g"]], 8)
  expect_equal(length(fitted(fit)), nrow(d))
})

test_that("group labels and row order do not matter", {
  d <- inv_data()
  set.seed(1)
  e <- d[sample(nrow(d)), ]
  levels(e$g) <- paste0("z", sample(9))
  map <- setNames(levels(e$g), levels(d$g))
  a <- vals(fit_vb(y ~ x + f + (1 | g), d))
  b <- vals(fit_vb(y ~ x + f + (1 | g), e))
  main <- !grepl("^u\\[", rownames(a))
  expect_equal(unname(as.matrix(a[main, ])), unname(as.matrix(b[main, ])), tolerance = 1e-8)
  u <- paste0("u[g:", levels(d$g), "]")
  expect_equal(a[u, "mean"], b[paste0("u[g:", map[levels(d$g)], "]"), "mean"], tolerance = 1e-8)
  # factor, character, integer and logical groups are the same model
  d$i <- as.integer(d$g)
  d$c <- as.character(d$g)
  for (f in c(y ~ x + (1 | i), y ~ x + (1 | c))) {
    expect_equal(unname(as.matrix(vals(fit_vb(f, d)))),
      unname(as.matrix(vals(fit_vb(y ~ x + (1 | g), d)))), tolerance = 1e-9)
  }
  d$l <- d$x > 4
  d$lf <- factor(d$l)
  expect_equal(unname(as.matrix(vals(fit_vb(y ~ f + (1 | l), d)))),
    unname(as.matrix(vals(fit_vb(y ~ f + (1 | lf), d)))), tolerance = 1e-9)
})

test_that("shifting and scaling the response changes units only", {
  d <- inv_data()
  base <- fit_vb(y ~ x + f + (1 | g), d)
  v <- vals(base)
  for (s in c(1e-6, 1, 1e6)) for (shift in c(0, 1e6)) {
    e <- d
    e$y <- s * (d$y + shift)
    w <- vals(fit_vb(y ~ x + f + (1 | g), e))
    for (r in c("beta[x]", "beta[fb]", "beta[(Intercept)]", "sigma_e", "sigma_u[g]", "u[g:a]")) {
      expect_close(w[r, "sd"] / s, v[r, "sd"], 1e-6)
      at <- if (r == "beta[(Intercept)]") shift else 0
      # y itself is only known to 1e6 * 2^-53 after the shift
      expect_lte(abs(w[r, "mean"] / s - at - v[r, "mean"]), 1e-6 * v[r, "sd"] + 1e-9 * (shift > 0) * v[r, "sd"] + 1e-6 * abs(v[r, "mean"]))
    }
    expect_close(log_rows(w)$sd, log_rows(v)$sd, 1e-6)
  }
})

test_that("explicit priors scale along with the response", {
  d <- inv_data()
  gam <- function(s) {
    priors(normal_prior(c(5, 0) * s, 10 * s), gamma_prior(2, 3 * s^2), gamma_prior(2, 1 * s^2))
  }
  v <- vals(fit_vb(y ~ x + (1 | g), d, prior = gam(1)))
  for (s in c(1e-6, 1e6)) {
    e <- d
    e$y <- s * d$y
    w <- vals(fit_vb(y ~ x + (1 | g), e, prior = gam(s)))
    expect_close(w["beta[x]", ] / s, v["beta[x]", ], 1e-6)
    expect_close(w["tau_u[g]", ] * s^2, v["tau_u[g]", ], 1e-6)
    expect_close(log_rows(w)$sd, log_rows(v)$sd, 1e-6)
  }
})

test_that("rescaling and shifting predictors changes units only", {
  d <- inv_data()
  v <- vals(fit_vb(y ~ x + f + (1 | g), d))
  for (s in c(1e-6, 1e6)) for (shift in c(0, 2000)) {
    e <- d
    e$x <- s * (d$x + shift)
    w <- vals(fit_vb(y ~ x + f + (1 | g), e))
    expect_close(w["beta[x]", ] * s, v["beta[x]", ], 1e-6)
    expect_close(w["beta[fc]", ], v["beta[fc]", ], 1e-6)
    expect_close(log_rows(w)$sd, log_rows(v)$sd, 1e-6)
  }
})

test_that("cell means without an intercept survive a large mean", {
  d <- inv_data()
  v <- vals(fit_vb(y ~ 0 + f + (1 | g), d, integrate = "no"))
  e <- transform(d, y = y + 1e6)
  w <- vals(fit_vb(y ~ 0 + f + (1 | g), e, integrate = "no"))
  expect_close(w["beta[fa]", "mean"] - 1e6, v["beta[fa]", "mean"], 1e-6)
  expect_close(w[, "sd"][1:6], v[, "sd"][1:6], 1e-6)
})

test_that("an offset is subtracted, in the formula or as an argument", {
  d <- inv_data()
  d$o <- rnorm(120)
  d$y2 <- d$y - d$o
  a <- vals(fit_vb(y2 ~ x + (1 | g), d, integrate = "no"))
  expect_equal(vals(fit_vb(y ~ x + offset(o) + (1 | g), d, integrate = "no")), a, tolerance = 1e-10)
  expect_equal(vals(fit_vb(y ~ x + (1 | g), d, offset = o, integrate = "no")), a, tolerance = 1e-10)
  f <- fit_vb(y ~ x + offset(o) + (1 | g), d)
  expect_equal(unname(predict(f, d[1:5, ])), unname(fitted(f)[1:5]), tolerance = 1e-12)
})

# ---- origins, units, contrasts, order of levels ---------------------------------------------------

moved_data <- function() {
  set.seed(3)
  n <- 160
  d <- data.frame(x = rnorm(n), z = rnorm(n, 2), f = factor(sample(c("a", "b", "c"), n, TRUE)),
    h = factor(sample(c("u", "v"), n, TRUE)), g = factor(rep(1:16, 10)))
  d$y <- d$x * (1 + .5 * (d$f == "b")) + .3 * d$z * d$x + rnorm(16)[d$g] + .5 * rnorm(16)[d$g] * d$x +
    rnorm(n)
  d$count <- rpois(n, exp(.3 * d$y))
  d$yes <- rbinom(n, 1, plogis(d$y))
  d
}
moves <- list(
  origin = function(d) transform(d, x = x + 1000),
  unit = function(d) transform(d, x = x * 1e6 - 50, z = z * 1e-3 + 7),
  contrasts = function(d) {
    contrasts(d$f) <- "contr.sum"
    contrasts(d$h) <- "contr.helmert"
    d
  },
  order = function(d) transform(d, f = factor(f, c("c", "a", "b")), h = factor(h, c("v", "u")))
)
# The largest change of a fitted value in its SDs, or of such an SD.
moved_by <- function(formula, d, e, ...) {
  a <- predict(suppressWarnings(fit_vb(formula, d, ...)), se.fit = TRUE)
  b <- predict(suppressWarnings(fit_vb(formula, e, ...)), se.fit = TRUE)
  max(abs(a$fit - b$fit) / a$se.fit, abs(b$se.fit / a$se.fit - 1))
}

test_that("default fits do not know the origin and unit of a covariate, contrasts, the order of levels", {
  d <- moved_data()
  fixed <- c("x * z", "f * x", "0 + f * x", "x * z * f", "0 + f + x", "x + f * h", "1")
  groups <- c("", "(1 | g)", "(x | g)", "(0 + f + x | g)")
  all <- expand.grid(response = c("y", "count", "yes"), fixed = fixed, groups = groups,
    stringsAsFactors = FALSE)
  # a group term in f holds the basis its own prior is stated in, and binomial ones are slow
  all <- all[all$groups != "(0 + f + x | g)" | all$response == "y", ]
  thin <- if (test_level() >= 3) seq_len(nrow(all)) else seq(1, nrow(all), by = 3)
  family <- list(y = gaussian(), count = poisson(), yes = binomial())
  for (i in thin) {
    r <- all$response[i]
    f <- as.formula(paste(r, "~", all$fixed[i], if (nzchar(all$groups[i])) paste("+", all$groups[i])))
    for (m in names(moves)) {
      expect_lt(moved_by(f, d, moves[[m]](d), family = family[[r]], integrate = "no"), 1e-6,
        label = paste(m, deparse1(f)))
    }
  }
})

test_that("integrated, exact and sampled fits do not either", {
  d <- moved_data()[1:80, ]
  for (m in names(moves)) {
    expect_lt(moved_by(y ~ f * x + (x | g), d, moves[[m]](d)), 1e-6)
    # means of nested fits move by a difference along each coefficient: to its truncation
    expect_lt(moved_by(count ~ f + x + (1 | g), d, moves[[m]](d), family = poisson()), 2e-4)
  }
  a <- summary(fit_exact(y ~ x + (1 | g), d))
  b <- summary(fit_exact(y ~ x + (1 | g), moves$origin(d)))
  expect_lt(max(abs(a$sd / b$sd - 1)[-1], na.rm = TRUE), 1e-6)
  gibbs <- function(data) {
    set.seed(1)
    fit_gibbs(y ~ x + (x | g), data, chains = 1, iter = 300, warmup = 100)
  }
  a <- gibbs(d)
  b <- gibbs(moves$origin(d))
  expect_lt(max(abs(fitted(a) - fitted(b))), 1e-6)
  u <- function(fit) unclass(posterior::as_draws_matrix(posterior::as_draws(fit, u = TRUE)))
  slope <- c("sigma_u[g:x]", "u[g:3,x]")
  expect_equal(u(a)[, slope], u(b)[, slope], tolerance = 1e-6)
  # u at the old origin, from the new one
  expect_equal(u(a)[, "u[g:3,(Intercept)]"],
    u(b)[, "u[g:3,(Intercept)]"] + 1000 * u(b)[, "u[g:3,x]"], tolerance = 1e-6)
})

test_that("what is reported of a slope term is at the user's origin", {
  d <- moved_data()
  for (how in c("no", "yes")) {
    a <- fit_vb(y ~ x + (x | g), d, integrate = how)
    b <- fit_vb(y ~ x + (x | g), transform(d, x = x + 3), integrate = how)
    to <- matrix(c(1, 0, -3, 1), 2) # the intercept at x = -3
    ua <- as.matrix(ranef(a)$g)
    ub <- as.matrix(ranef(b)$g)
    expect_equal(unname(ub), unname(ua %*% t(to)), tolerance = 1e-6)
    va <- attr(ranef(a)$g, "postVar")
    vb <- attr(ranef(b)$g, "postVar")
    expect_equal(vb[, , 5], to %*% va[, , 5] %*% t(to), tolerance = 1e-6)
    # every way to a variance of an effect agrees
    s <- summary(b, pars = "u")
    expect_equal(s$sd[match("u[g:5,(Intercept)]", s$variable)], sqrt(vb[1, 1, 5]), tolerance = 1e-8)
    V <- vcov(b, pars = "all")
    expect_equal(sqrt(V["u[g:5,(Intercept)]", "u[g:5,(Intercept)]"]), sqrt(vb[1, 1, 5]), tolerance = 1e-8)
    expect_equal(V["u[g:5,(Intercept)]", "u[g:5,x]"], vb[1, 2, 5], tolerance = 1e-8)
    set.seed(1)
    w <- posterior::as_draws_matrix(as_draws(b, ndraws = 4000))
    for (v in c("u[g:5,(Intercept)]", "sigma_u[g:(Intercept)]", "log_sigma_u[g:x]", "Lambda_u[g:x,x]")) {
      at <- match(v, s$variable)
      if (is.na(s$mean[at]) || (how == "no" && !grepl("^u", v))) next
      expect_lt(abs(mean(w[, v]) - s$mean[at]) / s$sd[at], tol_mcse / sqrt(4000))
    }
  }
})

test_that("a prior with scales of the user's stands at the origin, and its right mode is found", {
  # half-t on the SD of the intercept at x = 0: another model at another origin
  d <- moved_data()
  p <- priors(tau_u = half_t_prior(3, c(5, 5)))
  expect_gt(moved_by(y ~ x + (x | g), d, moves$origin(d), prior = p, integrate = "no"), 1e-3)
  # far from the origin independent starting values lead to a mode without slopes
  s <- transform(lme4::sleepstudy, x = Days + 100)
  fit <- fit_vb(Reaction ~ x + (x | Subject), s, integrate = "no",
    prior = priors(tau_u = half_t_prior(3, c(141, 49))))
  expect_gt(fit$vb$elbo, -915)
  expect_gt(as.data.frame(VarCorr(fit))$sdcor[2], 4)
})
