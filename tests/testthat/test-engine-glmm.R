# The generalised families: bound and linear response against their definitions in dense R, the
# evidence by brute force, invariances, input, and data that say little.

# A small data set; kind: scalar, slope, crossed.
glmm_sim <- function(kind, family, n = 14) {
  x <- rnorm(n)
  g <- sample(rep_len(1:3, n))
  h <- sample(rep_len(1:2, n))
  eta <- 0.3 + 0.5 * x + 0.8 * rnorm(3)[g] + switch(kind, scalar = 0, crossed = 0.6 * rnorm(2)[h],
    slope = 0.5 * rnorm(3)[g] * x)
  size <- if (family %in% c("binomial", "pg")) sample(1:3, n, TRUE) else rep(1, n)
  y <- switch(family, poisson = rpois(n, exp(eta)), neg_binomial = rnbinom(n, mu = exp(eta), size = 3),
    rbinom(n, size, plogis(eta)))
  data.frame(y, size, x, g, h)
}

# The same model here and there. half_t: on the scalar terms.
glmm_pair <- function(kind, family, half_t) {
  d <- glmm_sim(kind, family)
  R <- diag(c(0.4, 0.5))
  tau <- if (half_t) half_t_prior(3, 1.5) else gamma_prior(2, 1.5)
  prior <- priors(beta = normal_prior(c(0.2, -0.1), c(2, 3)),
    tau_u = if (kind == "slope") wishart_prior(5, R) else tau)
  binomial <- family %in% c("binomial", "pg")
  rhs <- switch(kind, scalar = ~ x + (1 | g), slope = ~ x + (x | g), crossed = ~ x + (1 | g) + (1 | h))
  formula <- update(rhs, if (binomial) cbind(y, size - y) ~ . else y ~ .)
  fit <- fit_vb(formula, d, switch(family, pg = "binomial", family), prior = prior, integrate = "no",
    approximation = if (family == "pg") "pg" else "gva", control = vb_control(tol = 1e-10))
  u <- if (kind == "slope") list(df = 5, R = solve(R)) else if (half_t) list(nu = 3, A = 1.5) else {
    list(a = 2, b = 1.5)
  }
  terms <- lapply(fit$model$factors, function(f) {
    list(g = d[[f$name]], z = if (kind == "slope") cbind(1, d$x) else matrix(1, nrow(d)))
  })
  lead <- as.integer(family == "neg_binomial")
  build <- function(phi) {
    dense_glmm(cbind(1, d$x), terms, d$y, d$size, 0, family,
      list(mean = c(0.2, -0.1), cov = diag(c(4, 9)), u = rep(list(u), length(terms))), phi)
  }
  list(fit = fit, build = build, mod = build(if (lead) fit$vb$t[1] else 1), lead = lead,
    half_t = half_t)
}

# Linear response by definition: the inverse of minus the bound's Hessian at the fit's optimum, in
# (m, S, E Lambda, E c) and, for the negative binomial, log phi.
dense_response <- function(pair) {
  fit <- pair$fit
  mod <- pair$mod
  p <- mod$p
  index <- utils::tail(fit$posterior$tau$index, length(mod$at))
  t <- lapply(index, function(at) fit$vb$t[at])
  n_stat <- length(unlist(fit$posterior$tau$index))
  aux <- lapply(seq_along(t), function(j) if (pair$half_t) fit$vb$t[n_stat + j])
  # the fit orders theta as (beta, other factors, leaf)
  order <- c(seq_len(p), unlist(lapply(c(seq_along(t)[-1], 1), function(j) as.vector(mod$at[[j]]))))
  m <- numeric(ncol(mod$C))
  m[order] <- c(fit$posterior$beta$mean, fit$posterior$u$mean)
  S <- dense_covariance_at(mod, m, t)
  l <- if (pair$lead) log(fit$vb$t[1]) else numeric()
  x <- c(dense_pack(m, S, t, aux), l)
  bound <- function(x) {
    model <- mod
    extra <- 0
    if (pair$lead) {
      l <- x[length(x)]
      model <- pair$build(exp(l))
      extra <- dgamma(exp(l), 1, 0.1, log = TRUE) + l
    }
    u <- dense_unpack(x, model, t, aux)
    dense_bound(model, u$m, u$S, u$t, u$aux) + extra
  }
  s <- sqrt(diag(S))
  sd_t <- lapply(seq_along(t), function(j) {
    d <- sqrt(diag(unvech_lower(t[[j]], mod$r[j])))
    outer(d, d)[lower.tri(diag(mod$r[j]), TRUE)]
  })
  scale <- c(s, outer(s, s)[lower.tri(S, TRUE)], unlist(sd_t), unlist(aux), 0 * l + 1)
  Sigma <- solve(-fd_hessian(bound, x, 2e-3 * scale))
  # q(log phi): normal about the mode, by the bound's curvature
  spread <- if (pair$lead) {
    along <- function(step) bound(x + c(numeric(length(x) - 1L), step))
    sd <- 1 / sqrt(-fd_hessian(along, 0, 1e-3)[1L])
    mean <- stats::integrate(Vectorize(function(z) dnorm(z) * (along(sd * z) - along(0))), -7, 7)
    mean$value + log(2 * pi * exp(1) * sd^2) / 2
  }
  d <- length(m)
  at_t <- d + d * (d + 1) / 2 + seq_along(unlist(t))
  list(elbo = bound(x) + sum(spread), gradient = fd_gradient(bound, x, 2e-3 * scale) * scale,
    beta = Sigma[seq_len(p), seq_len(p)], u = diag(Sigma)[order][-seq_len(p)],
    tau = Sigma[at_t, at_t, drop = FALSE], log_phi = if (pair$lead) Sigma[length(x), length(x)])
}

# S = (T + C'diag(-2 f_v)C)^-1 by a damped fixed point.
dense_covariance_at <- function(mod, m, t) {
  T <- dense_prior_precision(mod, t)
  mu <- mod$offset + drop(mod$C %*% m)
  w <- rep(0.3, length(mu))
  for (i in 1:500) {
    S <- solve(T + crossprod(mod$C, w * mod$C))
    v <- rowSums((mod$C %*% S) * mod$C)
    h <- 1e-3 * v
    f_v <- (8 * (mod$f(mu, v + h) - mod$f(mu, v - h)) - (mod$f(mu, v + 2 * h) - mod$f(mu, v - 2 * h))) /
      (12 * h)
    last <- w
    w <- sqrt(w * -2 * f_v)
    if (max(abs(w / last - 1)) < 1e-13) break
  }
  S
}

expect_response <- function(kind, family, half_t = FALSE) {
  pair <- glmm_pair(kind, family, half_t)
  fit <- pair$fit
  truth <- dense_response(pair)
  info <- paste(kind, family, half_t)
  # the probit mixture changes each row's B0 by up to 6e-9
  expect_equal(fit$vb$elbo, truth$elbo, tolerance = 1e-6, info = info)
  expect_lt(max(abs(truth$gradient)), 1e-5, label = paste(info, "gradient"))
  sds <- function(S) sqrt(outer(diag(S), diag(S)))
  own <- unlist(utils::tail(fit$posterior$tau$index, length(pair$mod$at)))
  expect_lt(max(abs(fit$posterior$beta$cov_lrvb - truth$beta) / sds(truth$beta)), 1e-5)
  expect_lt(max(abs(fit$posterior$tau$cov_lrvb[own, own] - truth$tau) / sds(truth$tau)), 1e-5)
  expect_lt(max(abs(fit$posterior$u$var_lrvb / truth$u - 1)), 1e-5, label = paste(info, "effects"))
  if (pair$lead) {
    expect_equal(fit$posterior$tau$psi$cov_lrvb[1, 1], truth$log_phi, tolerance = 1e-5, info = info)
  }
}

test_that("bound, optimum and linear response are those of the definition", {
  set.seed(3)
  for (family in c("binomial", "poisson", "pg", "neg_binomial")) expect_response("scalar", family)
  expect_response("crossed", "binomial")
  expect_response("scalar", "poisson", half_t = TRUE)
  if (test_level() < 3) skip("two-dimensional effects take half a minute")
  for (family in c("binomial", "poisson")) expect_response("slope", family)
  expect_response("crossed", "poisson", half_t = TRUE)
})

# log p(y) of y ~ 1 + (1 | g): a grid over the intercept and log tau, Gauss-Hermite over each u.
brute_evidence <- function(y, size, g, family, sd_beta, shape, rate) {
  rule <- hermite_rule(60)
  l <- seq(-6, 8, 0.1)
  b <- seq(-6, 6, 0.1)
  log_lik <- switch(family,
    binomial = function(eta) dbinom(y, size, plogis(eta), log = TRUE),
    poisson = function(eta) dpois(y, exp(eta), log = TRUE))
  f <- outer(b, l, Vectorize(function(b, l) {
    per <- vapply(seq_along(rule$x), function(k) {
      tapply(log_lik(b + exp(-l / 2) * rule$x[k]), g, sum)
    }, numeric(max(g)))
    sum(log(exp(per) %*% rule$w)) + dnorm(b, 0, sd_beta, log = TRUE) +
      dgamma(exp(l), shape, rate, log = TRUE) + l
  }))
  list(evidence = log(sum(exp(f)) * 0.01),
    beta = sum(exp(f) * b) / sum(exp(f)), log_tau = sum(t(exp(f)) * l) / sum(exp(f)),
    sd_l = sqrt(sum(t(exp(f)) * l^2) / sum(exp(f)) - (sum(t(exp(f)) * l) / sum(exp(f)))^2))
}

test_that("the bound is below the evidence, and the nested posterior finds it", {
  set.seed(8)
  g <- rep(1:4, each = 4)
  u <- rnorm(4)[g]
  for (family in c("binomial", if (test_level() >= 3) "poisson")) { # half a minute each
    y <- if (family == "binomial") rbinom(16, 3, plogis(u)) else rpois(16, exp(u))
    size <- rep(3, 16)
    d <- data.frame(y, f = size - y, g)
    formula <- if (family == "binomial") cbind(y, f) ~ 1 + (1 | g) else y ~ 1 + (1 | g)
    truth <- brute_evidence(y, size, g, family, 2, 2, 1)
    prior <- priors(normal_prior(0, 2), tau_u = gamma_prior(2, 1))
    fit <- fit_vb(formula, d, family, prior = prior)
    expect_lt(fit$vb$elbo, truth$evidence)
    expect_equal(fit$integrated$log_evidence, truth$evidence, tolerance = 2e-3)
    s <- as.data.frame(summary(fit))
    expect_lt(abs(s$mean[s$variable == "log_tau_u[g]"] - truth$log_tau), 0.02 * truth$sd_l)
    expect_equal(s$sd[s$variable == "log_tau_u[g]"], truth$sd_l, tolerance = 0.01)
    expect_lt(abs(s$mean[1] - truth$beta), 0.02 * s$sd[1])
  }
})

test_that("the bound of the negative binomial is below the evidence", {
  set.seed(12)
  for (phi in c(0.5, 3, 30)) {
    y <- rnbinom(60, size = phi, mu = 4)
    fit <- fit_vb(y ~ 1, data.frame(y), neg_binomial(), integrate = "no",
      prior = priors(normal_prior(1, 2), phi = gamma_prior(2, 0.5)))
    b <- seq(-2, 4, 0.01)
    l <- seq(-4, 8, 0.02)
    f <- outer(b, l, Vectorize(function(b, l) {
      sum(dnbinom(y, size = exp(l), mu = exp(b), log = TRUE)) + dnorm(b, 1, 2, log = TRUE) +
        dgamma(exp(l), 2, 0.5, log = TRUE) + l
    }))
    evidence <- max(f) + log(sum(exp(f - max(f))) * 0.01 * 0.02)
    expect_lt(fit$vb$elbo, evidence)
    expect_lt(evidence - fit$vb$elbo, 0.05)
  }
})

# log p(y) of y ~ 1 + (1 | parent) + (1 | row), Poisson, and the moments of both log precisions: a
# grid over these and the intercept, Gauss-Hermite over each effect, the row's inside its parent's.
nested_evidence <- function(y, parent, sd_beta, shape, rate) {
  b <- seq(-1.5, 2, 0.1)
  l <- seq(-1.5, 4.8, 0.3)
  eta <- seq(-9, 9, 0.1)
  rule <- hermite_rule(31)
  kinds <- sort(unique(y))
  count <- unclass(table(factor(y, kinds), parent))
  prior <- dgamma(exp(l), shape, rate, log = TRUE) + l
  f <- vapply(l, function(leaf) {
    x <- exp(outer(eta, exp(-leaf / 2) * rule$x, "+")) # log int p(k | eta + u) N(u) du, every k
    rows <- lapply(kinds, function(k) {
      splinefun(eta, log(pmax(drop(dpois(k, x) %*% rule$w), 1e-300)))
    })
    vapply(l, function(top) {
      at <- pmin(pmax(outer(b, exp(-top / 2) * rule$x, "+"), -9), 9)
      per <- vapply(rows, function(f) f(as.vector(at)), as.vector(at)) %*% count
      per <- apply(exp(per), 2, function(v) log(drop(matrix(v, nrow(at)) %*% rule$w)))
      log(sum(exp(rowSums(per) + dnorm(b, 0, sd_beta, log = TRUE))) * 0.1)
    }, 0)
  }, l)
  f <- f + outer(prior, prior, "+") # top x leaf
  w <- exp(f - max(f)) / sum(exp(f - max(f)))
  moments <- function(w) c(sum(w * l), sqrt(sum(w * l^2) - sum(w * l)^2))
  list(evidence = max(f) + log(sum(exp(f - max(f))) * 0.09), top = moments(rowSums(w)),
    leaf = moments(colSums(w)),
    edge = max(w[c(1, length(l)), ], w[, c(1, length(l))]) / max(w))
}

test_that("two nested factors: the third-order term beyond the levels on their own", {
  set.seed(2)
  d <- data.frame(a = rep(1:40, each = 3), i = 1:120)
  d$y <- rpois(120, exp(0.3 + 0.6 * rnorm(40)[d$a] + 0.6 * rnorm(120)))
  truth <- nested_evidence(d$y, d$a, 2, 2, 1)
  expect_lt(truth$edge, 1e-7)
  prior <- priors(normal_prior(0, 2), tau_u = gamma_prior(2, 1))
  fit <- fit_vb(y ~ 1 + (1 | a) + (1 | i), d, poisson(), prior = prior)
  expect_lt(abs(fit$integrated$log_evidence - truth$evidence), 0.05)
  s <- as.data.frame(summary(fit))
  for (k in c("a", "i")) { # the levels alone: .014 and .017 SD, .6% and an evidence .18 too low
    exact <- if (k == "a") truth$top else truth$leaf
    row <- s[s$variable == paste0("log_tau_u[", k, "]"), ]
    expect_lt(abs(row$mean - exact[1]), 0.008 * exact[2])
    expect_equal(row$sd, exact[2], tolerance = 3e-3)
  }
})

test_that("the bound rises in every sweep", {
  set.seed(5)
  d <- data.frame(x = rnorm(120), g = rep(1:12, 10))
  d$y <- rpois(120, exp(0.3 * d$x + rnorm(12)[d$g]))
  d$b <- rbinom(120, 1, plogis(d$x))
  for (fit in list(fit_vb(y ~ x + (1 | g), d, poisson(), integrate = "no"),
    fit_vb(b ~ x + (x | g), d, binomial(), integrate = "no"),
    fit_vb(b ~ x + (1 | g), d, binomial(), approximation = "pg", integrate = "no"))) {
    step <- fit$trace$elbo[fit$trace$step != "rejected"]
    expect_true(all(diff(step) > -1e-8 * abs(step[1])))
    expect_true(fit$converged)
  }
})

glmm_data <- function() {
  set.seed(11)
  d <- data.frame(x = rnorm(150), g = rep(1:15, 10), size = 3)
  d$y <- rbinom(150, 3, plogis(0.4 * d$x + rnorm(15)[d$g]))
  d$count <- rpois(150, exp(0.2 * d$x + 0.5 * rnorm(15)[d$g]))
  d
}
estimates <- function(fit) {
  s <- as.data.frame(summary(fit))
  s[!grepl("^tau", s$variable), c("mean", "sd", "q2.5", "q97.5")]
}

test_that("one likelihood, however the data are written", {
  d <- glmm_data()
  wide <- fit_vb(cbind(y, size - y) ~ x + (1 | g), d, binomial())
  share <- fit_vb(y / size ~ x + (1 | g), d, binomial(), weights = size)
  expect_equal(estimates(share), estimates(wide), tolerance = 1e-6)
  long <- d[rep(1:150, each = 3), ]
  long$z <- as.vector(rbind(d$y >= 1, d$y >= 2, d$y >= 3))
  prior <- priors(normal_prior(0, 2))
  wide <- fit_vb(cbind(y, size - y) ~ x + (1 | g), d, binomial(), prior = prior)
  for (z in list(long$z, as.integer(long$z), factor(ifelse(long$z, "yes", "no")))) {
    long$z <- z
    expect_equal(estimates(fit_vb(z ~ x + (1 | g), long, binomial(), prior = prior)), estimates(wide),
      tolerance = 1e-4)
  }
  twice <- fit_vb(count ~ x + (1 | g), d, poisson(), weights = rep(2, 150), prior = prior)
  expect_equal(estimates(fit_vb(count ~ x + (1 | g), rbind(d, d), poisson(), prior = prior)),
    estimates(twice), tolerance = 1e-6)
  out <- d
  out$w <- rep(1:0, c(140, 10))
  expect_equal(estimates(fit_vb(count ~ x + (1 | g), out, poisson(), weights = w, prior = prior)),
    estimates(fit_vb(count ~ x + (1 | g), d[1:140, ], poisson(), prior = prior)), tolerance = 1e-6)
})

test_that("units, order of rows and names of groups do not matter", {
  d <- glmm_data()
  fit <- fit_vb(count ~ x + (1 | g), d, poisson())
  moved <- d[sample(150), ]
  moved$x <- 1e4 * moved$x - 300
  moved$g <- letters[moved$g]
  again <- fit_vb(count ~ x + (1 | g), moved, poisson())
  expect_equal(estimates(again)[3:5, ], estimates(fit)[3:5, ], tolerance = 1e-6)
  expect_equal(1e4 * unname(fixef(again)["x"]), unname(fixef(fit)["x"]), tolerance = 1e-6)
  off <- fit_vb(count ~ x + offset(rep(200, 150)) + (1 | g), d, poisson())
  expect_equal(unname(fixef(off)), unname(fixef(fit)) - c(200, 0), tolerance = 1e-6)
  swapped <- fit_vb(cbind(size - y, y) ~ x + (1 | g), d, binomial())
  fit <- fit_vb(cbind(y, size - y) ~ x + (1 | g), d, binomial())
  expect_equal(fixef(swapped), -fixef(fit), tolerance = 1e-5)
})

test_that("without group terms the fit is a Bayesian GLM", {
  d <- glmm_data()
  fit <- fit_vb(count ~ x, d, poisson(), prior = priors(normal_prior(0, 100)))
  glm <- stats::glm(count ~ x, poisson(), d)
  expect_equal(unname(fixef(fit)), unname(coef(glm)), tolerance = 0.02)
  expect_equal(vcov(fit), stats::vcov(glm), tolerance = 0.02)
  expect_error(ranef(fit), class = "meanfield_error_groups")
})

test_that("predictions live on both scales", {
  d <- glmm_data()
  fit <- fit_vb(cbind(y, size - y) ~ x + (1 | g), d, binomial())
  new <- data.frame(x = c(0, 1), g = c(1, 99))
  link <- predict(fit, new, interval = "confidence", allow_new_levels = TRUE)
  response <- predict(fit, new, type = "response", interval = "confidence", allow_new_levels = TRUE)
  expect_equal(response[, 2:3], plogis(link[, 2:3]))
  plain <- fit_vb(fit, integrate = "no") # whose linear predictors are normal
  link <- predict(plain, new, se.fit = TRUE, allow_new_levels = TRUE)
  mean <- mapply(function(m, s) integrate(function(z) plogis(m + s * z) * dnorm(z), -9, 9)$value,
    link$fit, link$se.fit)
  response <- predict(plain, new, type = "response", allow_new_levels = TRUE)
  expect_equal(unname(response), unname(mean), tolerance = 1e-6)
  expect_equal(fitted(fit), predict(fit, type = "response"))
  expect_equal(unname(residuals(fit)), d$y / 3 - unname(fitted(fit)))
  expect_error(predict(fit, new[1, ], interval = "prediction"), class = "meanfield_error_control")
  counts <- fit_vb(count ~ x + (1 | g), d, poisson())
  p <- predict(counts, d[1:3, ], type = "response", interval = "prediction", level = 0.9)
  set.seed(2)
  draws <- posterior_predict.regression_fit(counts, d[1:3, ], draws = 4000)
  inside <- colMeans(draws >= rep(p[, 2], each = 4000) & draws <= rep(p[, 3], each = 4000))
  expect_true(all(inside > 0.88))
  expect_equal(colMeans(draws), p[, 1], tolerance = 0.1)
})

test_that("draws, simulations and log likelihoods agree with the summary", {
  d <- glmm_data()
  for (fit in list(fit_vb(cbind(y, size - y) ~ x + (1 | g), d, binomial()),
    fit_vb(count ~ x + (1 | g), d, poisson(), integrate = "no"),
    fit_vb(count ~ x + (1 | g), d, neg_binomial()))) {
    set.seed(4)
    x <- posterior::as_draws_matrix(as_draws(fit, ndraws = 4000))
    s <- as.data.frame(summary(fit))
    s <- s[grepl("^(beta|log_tau|log_phi)", s$variable), ]
    m <- colMeans(x[, s$variable])
    sd <- apply(x[, s$variable], 2, stats::sd)
    expect_lt(max(abs(m - s$mean) / s$sd), 5 / sqrt(4000))
    # the lattice's interpolated density in log tau is good to a few percent
    expect_lt(max(abs(sd / s$sd - 1)), 0.08)
    expect_identical(dim(log_lik.regression_fit(fit, draws = 10)), c(10L, 150L))
    y <- as.matrix(simulate(fit, 20, seed = 1))
    expect_true(all(y >= 0 & y == round(y)))
  }
  ll <- log_lik.regression_fit(fit, draws = 1)
  expect_true(all(is.finite(ll)))
})

test_that("a saved fit predicts and refits the same", {
  d <- glmm_data()
  fit <- fit_vb(cbind(y, size - y) ~ x + (1 | g), d, binomial())
  file <- tempfile()
  on.exit(unlink(file))
  saveRDS(fit, file)
  back <- readRDS(file)
  expect_identical(estimates(back), estimates(fit))
  expect_equal(predict(back, d[1:3, ], se.fit = TRUE), predict(fit, d[1:3, ], se.fit = TRUE))
  again <- fit_vb(back)
  expect_equal(estimates(again), estimates(fit), tolerance = 1e-8)
  expect_identical(estimates(update(fit)), estimates(fit))
})

test_that("bad input names the argument", {
  d <- glmm_data()
  class_of <- function(expr) tryCatch({
    expr
    "none"
  }, error = function(e) class(e)[1])
  expect_identical(class_of(fit_vb(y ~ x, d, Gamma())), "meanfield_error_family")
  expect_identical(class_of(fit_vb(y ~ x, d, binomial("probit"))), "meanfield_error_family")
  expect_identical(class_of(fit_vb(y ~ x, d, "nonsense")), "meanfield_error_family")
  expect_identical(class_of(fit_vb(y ~ x, d, binomial())), "meanfield_error_response")
  expect_identical(class_of(fit_vb(I(-count) ~ x, d, poisson())), "meanfield_error_response")
  expect_identical(class_of(fit_vb(letters[g] ~ x, d, poisson())), "meanfield_error_response")
  expect_identical(class_of(fit_vb(cbind(y, -size) ~ x, d, binomial())), "meanfield_error_response")
  expect_identical(class_of(fit_vb(count ~ x, d, poisson(), prior = priors(tau_e = gamma_prior(1, 1)))),
    "meanfield_error_prior")
  expect_identical(class_of(fit_vb(count ~ x, d, poisson(), prior = priors(phi = gamma_prior(1, 1)))),
    "meanfield_error_prior")
  expect_identical(class_of(fit_vb(count ~ x, d, poisson(), approximation = "pg")),
    "meanfield_error_control")
  expect_identical(class_of(fit_vb(count ~ x, d, poisson(), blocks = "separate")),
    "meanfield_error_control")
  expect_identical(class_of(fit_exact(count ~ x, d, poisson())), "meanfield_error_family")
  expect_warning(fit_vb(I(count + 0.5) ~ x, d, poisson()), class = "meanfield_warning_response")
  expect_warning(fit_vb(I(y / 3) ~ x, d, binomial()), class = "meanfield_warning_response")
})

test_that("a variance of single trials is no number, and the fit says so", {
  d <- glmm_data()
  d$one <- as.integer(d$y > 1)
  d$id <- seq_len(150)
  expect_warning(fit <- fit_vb(one ~ x + (1 | id), d, binomial()),
    class = "meanfield_warning_unidentified")
  s <- as.data.frame(summary(fit))
  own <- grepl("_u\\[id\\]", s$variable)
  expect_true(all(is.na(s$mean[own])) && all(is.finite(s$mean[!own])))
  expect_silent(fit_vb(count ~ x + (1 | id), d, poisson(), integrate = "no"))
})

test_that("data that say little, or too much, give an answer", {
  set.seed(1)
  d <- data.frame(x = rnorm(100), g = rep(1:10, 10), zero = 0, one = 1, off = 300)
  d$split <- as.integer(d$x > 0)
  d$big <- rpois(100, 1e8 * exp(0.1 * d$x + 0.3 * rnorm(10)[d$g]))
  d$rest <- d$big
  d$wild <- rpois(100, exp(6 * rnorm(10)[d$g]))
  d$few <- rpois(100, exp(rnorm(10)[d$g]))
  ok <- function(...) {
    fit <- suppressWarnings(fit_vb(...))
    s <- as.data.frame(summary(fit))
    s <- s[!grepl("^tau", s$variable), ]
    expect_true(fit$converged && all(is.finite(s$mean)) && all(is.finite(s$sd)) && all(s$sd > 0))
  }
  ok(split ~ x + (1 | g), d, binomial())
  ok(zero ~ x + (1 | g), d, binomial())
  ok(one ~ x + (1 | g), d, binomial())
  ok(one ~ x + (1 | g), d, binomial(), approximation = "pg")
  ok(zero ~ x + (1 | g), d, poisson())
  ok(zero ~ x + (1 | g), d, neg_binomial())
  ok(big ~ x + (1 | g), d, poisson())
  ok(cbind(big, rest) ~ x + (1 | g), d, binomial())
  ok(wild ~ x + (1 | g), d, poisson())
  ok(few ~ x + offset(off) + (1 | g), d, poisson())
  ok(split ~ x + offset(-off) + (1 | g), d, binomial())
  ok(few ~ x + (1 | g), d, poisson(), prior = priors(tau_u = gamma_prior(0.01, 0.01)))
  expect_error(fit_vb(split ~ x + (1 | g), d, binomial(), prior = priors(flat_prior())),
    class = "meanfield_error_separation")
})

test_that("a response that is a call stands before nothing but group terms", {
  d <- data.frame(a = c(3, 1, 4, 1, 5, 2), n = 6, y = 1:6 + 0.5, g = gl(3, 2))
  bare <- fit_vb(cbind(a, n - a) ~ (1 | g), d, family = binomial())
  full <- fit_vb(cbind(a, n - a) ~ 1 + (1 | g), d, family = binomial())
  expect_identical(summary(bare), summary(full))
  expect_identical(names(fixef(fit_vb(log(y) ~ (1 | g), d))), "(Intercept)")
  wide <- fit_vb(cbind(a, n - a) ~ y + (1 | g), d, family = binomial())
  expect_identical(summary(update(wide, . ~ . - y)), summary(bare))
})
