# Gaussian mixtures: model object, variational fit, linear response against finite differences.

mixture_data_set <- function(n, P, K, sep, seed = 1) {
  set.seed(seed)
  z <- sample(K, n, TRUE)
  x <- matrix(rnorm(n * P), n)
  x[, 1] <- x[, 1] + sep * z
  if (P > 1) x[, 2] <- x[, 2] * (1 + .3 * z) + .5 * x[, 1]
  x
}

# The twin's fixed point, from the package's classification.
twin_of <- function(fit) {
  prior <- twin_prior(fit$model)
  twin_fit(fit$model$x, prior, twin_start(fit$model$x, predict(fit, type = "class"), prior))
}

core_order <- function(fit) match(gmm_variables(fit$model)$variable, names(fit$posterior$mean))

check_against_twin <- function(fit, fd = TRUE) {
  q <- twin_of(fit)
  o <- core_order(fit)
  sd <- sqrt(diag(fit$posterior$cov_mfvb))[o]
  expect_lt(max(abs(fit$posterior$mean[o] - twin_means(q)) / sd), 1e-8)
  expect_close(fit$vb$elbo, twin_elbo(fit$model$x, twin_prior(fit$model), q), 1e-9)
  if (!fd) return(invisible())
  S <- fit$posterior$cov_lrvb[o, o]
  units <- tcrossprod(sqrt(diag(S)))
  error <- max(abs(S - twin_lrvb(fit$model$x, twin_prior(fit$model), q, sd)) / units)
  expect_lt(error, 1e-6)
}

proper <- list(
  coupled = function(P) mixture_prior(k0 = .5, alpha = 2),
  uncoupled = function(P) mixture_prior(mean = seq_len(P), cov = diag(2, P) + .5, df = P + 3,
    scale = diag(c(.5, 2)[seq_len(P)], P))
)

test_that("VB and linear response agree with finite differences: K = 2, P = 1", {
  x <- mixture_data_set(60, 1, 2, 3)
  for (prior in list(flat_prior(), proper$coupled(1), proper$uncoupled(1))) {
    check_against_twin(fit_vb(gaussian_mixture(x, 2, prior)))
  }
})

test_that("VB and linear response agree with finite differences: K = 2, P = 2", {
  x <- mixture_data_set(80, 2, 2, 3.5)
  check_against_twin(fit_vb(gaussian_mixture(x, 2, proper$coupled(2))))
  skip_below_level(2)
  check_against_twin(fit_vb(gaussian_mixture(x, 2, flat_prior())))
  check_against_twin(fit_vb(gaussian_mixture(x, 2, proper$uncoupled(2))))
})

test_that("VB and linear response agree with finite differences: K = 3, P = 2", {
  x <- mixture_data_set(150, 2, 3, 5)
  check_against_twin(fit_vb(gaussian_mixture(x, 3, proper$coupled(2))), fd = test_level() >= 2)
  check_against_twin(fit_vb(gaussian_mixture(x, 3, flat_prior())), fd = test_level() >= 3)
})

test_that("one component is the conjugate posterior, exactly", {
  x <- as.matrix(faithful)
  prior <- mixture_prior(mean = c(3, 70), k0 = 2, df = 5, scale = diag(c(1, .01)))
  fit <- fit_vb(gaussian_mixture(faithful, 1, prior))
  n <- nrow(x)
  d <- colMeans(x) - c(3, 70)
  A <- solve(diag(c(1, .01))) + crossprod(scale(x, scale = FALSE)) + 2 * n / (n + 2) * tcrossprod(d)
  expect_close(fit$vb$mean[, 1], (2 * c(3, 70) + n * colMeans(x)) / (n + 2), tol_algebra)
  # the exact posterior is Wishart(df + n, A^-1) for Lambda; q has df + n + 1 and mean
  # (df + n) A^-1 all the same
  expect_close(fit$vb$L[, , 1], (5 + n) * solve(A), 1e-10)
  expect_equal(unname(predict(fit)), matrix(1, n, 1))
  expect_equal(fit$posterior$cov_lrvb["mu[1,eruptions]", "mu[1,eruptions]"],
    solve((5 + n) * solve(A) * (n + 2))[1, 1], tolerance = 1e-8)
  s <- summary(fit)
  expect_equal(s[s$variable == "pi[1]", "mean"], 1)
  expect_equal(s[s$variable == "pi[1]", "sd"], 0)
})

test_that("shift, scale and rotation change nothing but units", {
  x <- mixture_data_set(200, 2, 2, 3)
  model <- function(x, prior) gaussian_mixture(x, 2, prior)
  for (prior in list(flat_prior(), mixture_prior())) {
    a <- fit_vb(model(x, prior))
    B <- diag(c(100, .01))
    b <- fit_vb(model(x %*% B + 1e4, prior))
    expect_close(b$vb$mean, t(t(a$vb$mean) %*% B) + 1e4, 1e-8)
    mu <- gmm_variables(a$model)
    units <- unlist(lapply(seq_len(nrow(mu)), function(i) {
      b <- diag(B)
      switch(mu$type[i], mu = b[mu$a[i]], Lambda = 1 / (b[mu$a[i]] * b[mu$b[i]]), 1)
    }))[order(match(mu$type, c("mu", "Lambda", "log_det", "log_pi")))]
    D <- sqrt(diag(a$posterior$cov_lrvb)) * units
    expect_lt(max(abs(b$posterior$cov_lrvb - a$posterior$cov_lrvb * tcrossprod(units)) /
      tcrossprod(D)), 1e-8)
  }
  turn <- matrix(c(.6, .8, -.8, .6), 2)
  a <- fit_vb(model(x, mixture_prior()))
  b <- fit_vb(model(x %*% turn, mixture_prior()))
  expect_equal(logLik(a)[1], logLik(b)[1], tolerance = 1e-10)
})

test_that("the bound rises under plain ascent, and SQUAREM and Newton reach the same optimum", {
  x <- mixture_data_set(500, 2, 2, 2.5)
  model <- gaussian_mixture(x, 2)
  newton <- fit_vb(model)
  plain <- fit_vb(model, control = vb_control(newton = FALSE, tol = 1e-12, max_iter = 5000))
  expect_lt(max(abs(newton$posterior$mean - plain$posterior$mean) /
    sqrt(diag(newton$posterior$cov_lrvb))), 1e-8)
  expect_equal(newton$posterior$cov_lrvb, plain$posterior$cov_lrvb, tolerance = 1e-7)
  expect_lt(newton$passes, plain$passes)
  # ten sweeps of the twin from a poor start
  prior <- twin_prior(model)
  q <- twin_start(x, 1 + (x[, 2] > 0), prior)
  bound <- vapply(1:10, function(i) {
    q <<- twin_sweep(x, prior, q, twin_no_tilt(2, 2))
    twin_elbo(x, prior, q)
  }, 0)
  expect_true(all(diff(bound) > -1e-9))
  expect_lte(max(bound), logLik(newton)[1] + 1e-9)
})

test_that("the same data and seed give the same answer, and R's generator is not touched", {
  model <- gaussian_mixture(faithful, 3)
  set.seed(7)
  before <- .Random.seed
  a <- fit_vb(model)
  expect_identical(.Random.seed, before)
  b <- fit_vb(model)
  expect_identical(a$vb, b$vb)
  expect_identical(nrow(a$starts), 10L)
  expect_identical(sum(a$starts$status == "kept"), 1L)
  file <- tempfile()
  saveRDS(a, file)
  expect_identical(summary(readRDS(file)), summary(a))
})

test_that("components are ordered by their first mean; formula, matrix and data frame agree", {
  a <- fit_vb(gaussian_mixture(faithful, 3))
  expect_false(is.unsorted(a$vb$mean[1, ]))
  b <- fit_vb(gaussian_mixture(~ eruptions + waiting, 3, data = faithful))
  expect_equal(a$vb, b$vb)
  expect_equal(a$vb, fit_vb(gaussian_mixture(as.matrix(faithful), 3))$vb)
  expect_equal(a$vb$mean, fit_vb(b)$vb$mean)
})

test_that("derived variables: moments of the inverse Wishart and of the Dirichlet", {
  # two components far apart: means and weights have nothing to be coupled with
  set.seed(3)
  x <- rbind(matrix(rnorm(60), 30), matrix(rnorm(80, 50), 40))
  fit <- fit_vb(gaussian_mixture(x, 2))
  s <- summary(fit)
  free <- grepl("^(mu|pi|log_pi)", s$variable)
  expect_equal(s$sd[free], s$sd_mfvb[free], tolerance = 1e-8)
  P <- 2
  df <- fit$vb$df[1]
  Psi <- df * solve(fit$vb$L[, , 1]) # Lambda ~ Wishart(df, Psi^-1)
  own <- function(v) s[s$variable == v, ]
  expect_equal(own("Sigma[1,x1,x1]")$mean, Psi[1, 1] / (df - P - 1), tolerance = 1e-10)
  expect_equal(own("Sigma[1,x1,x1]")$sd_mfvb,
    sqrt(2 * Psi[1, 1]^2 / ((df - P - 1)^2 * (df - P - 3))), tolerance = 1e-10)
  expect_equal(own("Sigma[1,x1,x2]")$sd_mfvb, sqrt(((df - P + 1) * Psi[1, 2]^2 +
    (df - P - 1) * Psi[1, 1] * Psi[2, 2]) / ((df - P) * (df - P - 1)^2 * (df - P - 3))),
    tolerance = 1e-10)
  a <- fit$vb$alpha
  expect_equal(own("pi[1]")$mean, a[1] / sum(a))
  expect_equal(own("pi[1]")$sd_mfvb, sqrt(a[1] * a[2] / (sum(a)^2 * (sum(a) + 1))),
    tolerance = 1e-10)
  expect_equal(own("pi[1]")$q2.5, qbeta(.025, a[1], a[2]), tolerance = 1e-8)
})

test_that("Sigma and pi respond as their finite differences under tilts say", {
  x <- mixture_data_set(80, 1, 2, 3.2)
  model <- gaussian_mixture(x, 2, mixture_prior(k0 = .5, alpha = 2))
  fit <- fit_vb(model)
  q <- twin_of(fit)
  prior <- twin_prior(model)
  derived <- function(q) {
    c(q$alpha / sum(q$alpha), vapply(1:2, function(k) q$rate[[k]][1] / (q$df[k] - 2), 0))
  }
  V <- vcov(fit, pars = "all")
  names <- c("pi[1]", "pi[2]", "Sigma[1,x1,x1]", "Sigma[2,x1,x1]")
  sd <- sqrt(diag(fit$posterior$cov_mfvb))
  for (v in c("mu[1,x1]", "Lambda[2,x1,x1]", "log_pi[1]")) {
    type <- sub("\\[.*", "", v)
    k <- as.integer(sub("^[^[]*\\[([0-9]).*", "\\1", v))
    h <- 2e-3 / sd[[v]]
    at <- function(s) {
      tilt <- twin_no_tilt(1, 2)
      tilt[[k]][[type]][1] <- s
      derived(twin_fit(x, prior, q, tilt))
    }
    slope <- (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    expect_lt(max(abs(V[names, v] - slope) / (sqrt(diag(V)[names]) * sqrt(V[v, v]))), 1e-6)
  }
})

test_that("tight components far from others lose nothing", {
  x <- mixture_data_set(300, 2, 2, 3)
  alone <- fit_vb(gaussian_mixture(x, 2, flat_prior()))
  far <- rbind(x, matrix(rnorm(60, 0, 1) + 1e5, 30))
  fit <- fit_vb(gaussian_mixture(far, 3, flat_prior()), start = c(predict(alone, type = "class"),
    rep(3L, 30)))
  v <- grep("^(mu|Lambda)\\[[12]", names(alone$posterior$mean), value = TRUE)
  sd <- sqrt(diag(alone$posterior$cov_lrvb[v, v]))
  expect_lt(max(abs(fit$posterior$mean[v] - alone$posterior$mean[v]) / sd), 1e-5)
  expect_lt(max(abs(fit$posterior$cov_lrvb[v, v] - alone$posterior$cov_lrvb[v, v]) /
    tcrossprod(sd)), 1e-5)
})

test_that("overlap is flagged at a separation of 2.2 and not at 3", {
  set.seed(2)
  verdicts <- function(sep) {
    z <- rbinom(2000, 1, .4)
    fit <- fit_vb(gaussian_mixture(cbind(rnorm(2000, sep * z), rnorm(2000)), 2, flat_prior()))
    as.data.frame(sd_ratio_report(fit))$verdict
  }
  expect_false("overlap" %in% verdicts(3))
  expect_true("overlap" %in% verdicts(2.2))
})

test_that("empty and duplicate components are said", {
  expect_warning(fit <- fit_vb(gaussian_mixture(mixture_data_set(200, 1, 1, 0), 2,
    mixture_prior(k0 = 1, alpha = .01, df = 10, scale = .1)), start = rep(1L, 200)),
    class = "meanfield_warning_components")
  expect_true(any(fit$vb$N < 1))
  x <- mixture_data_set(200, 2, 1, 0)
  half <- rep(1:2, 100)
  x[half == 2, ] <- x[half == 1, ] # two identical halves: a saddle
  expect_warning(fit <- fit_vb(gaussian_mixture(x, 2), start = half),
    "coincide", class = "meanfield_warning_lrvb")
  expect_null(fit$posterior$cov_lrvb)
  expect_true(all(as.data.frame(sd_ratio_report(fit))$verdict == "not corrected"))
  expect_error(vcov(fit), class = "meanfield_error_engine")
  expect_output(print(fit), "Linear response failed")
})

test_that("under a flat prior a component needs rows", {
  set.seed(1)
  x <- matrix(rnorm(8), 4)
  expect_error(fit_vb(gaussian_mixture(x, 3, flat_prior())), "P \\+ 1 = 3",
    class = "meanfield_error_start")
  expect_s3_class(suppressWarnings(fit_vb(gaussian_mixture(x, 3))), "gmm_vb_fit")
  tied <- gaussian_mixture(c(rnorm(100), rep(9, 30)), 2, flat_prior()) # no variance: no maximum
  expect_error(fit_vb(tied, start = rep(1:2, c(100, 30))), "alike", class = "meanfield_error_start")
})

test_that("bad input gets a classed error that names the argument", {
  expect_arg <- function(expr, class, arg) {
    e <- expect_error(expr, class = paste0("meanfield_error_", class))
    expect_identical(e$arg, arg)
  }
  x <- as.matrix(faithful)
  expect_arg(gaussian_mixture(faithful), "control", "k")
  expect_arg(gaussian_mixture(faithful, 0), "control", "k")
  expect_arg(gaussian_mixture(faithful, 1.5), "control", "k")
  expect_arg(gaussian_mixture(replace(x, 5, NA), 2), "data", "x")
  expect_arg(gaussian_mixture(iris, 2), "data", "x")
  expect_arg(gaussian_mixture("a", 2), "data", "x")
  expect_arg(gaussian_mixture(x[1:3, ], 2), "data", "x")
  expect_arg(gaussian_mixture(cbind(x, 1), 2), "rank", "x")
  expect_arg(gaussian_mixture(cbind(x, x[, 1]), 2), "rank", "x")
  expect_arg(gaussian_mixture(eruptions ~ waiting, 2, data = faithful), "formula", "x")
  expect_arg(gaussian_mixture(~ nope, 2, data = faithful), "data", "data")
  expect_arg(gaussian_mixture(x, 2, prior = priors()), "prior", "prior")
  expect_arg(gaussian_mixture(x, 2, mixture_prior(mean = 1:3)), "prior", "mean")
  expect_arg(gaussian_mixture(x, 2, mixture_prior(df = .5)), "prior", "df")
  expect_arg(gaussian_mixture(x, 2, mixture_prior(scale = diag(3))), "prior", "scale")
  expect_arg(mixture_prior(k0 = -1), "prior", "k0")
  expect_arg(mixture_prior(alpha = 0), "prior", "alpha")
  expect_arg(mixture_prior(k0 = 1, cov = 1), "prior", "cov")
  expect_arg(mixture_prior(scale = matrix(c(1, 2, 2, 1), 2)), "prior", "scale")
  model <- gaussian_mixture(x, 2)
  expect_arg(fit_vb(model, starts = 0), "control", "starts")
  expect_arg(fit_vb(model, start = 1:3), "control", "start")
  expect_arg(fit_vb(model, control = list()), "control", "control")
  expect_arg(fit_vb(model, nope = 1), "control", "...")
  expect_arg(fit_vb(gaussian_mixture(matrix(rnorm(2e4), 200), 2)), "size", "x")
  fit <- fit_vb(model)
  expect_arg(predict(fit, faithful["waiting"]), "newdata", "newdata")
  expect_arg(predict(fit, matrix(1, 2, 3)), "newdata", "newdata")
  expect_arg(predict(fit, data.frame(eruptions = NA_real_, waiting = 1)), "newdata", "newdata")
  expect_arg(plot(fit, variables = "nope"), "control", "variables")
  expect_arg(plot(fit, what = "data", columns = 3), "control", "columns")
  expect_warning(fit_vb(model, control = vb_control(max_iter = 2)),
    class = "meanfield_warning_convergence")
})

test_that("the weights' response has a limit for large Dirichlet parameters", {
  near <- pi_map(c(1, 2, 3) * 0.9e6)
  far <- pi_map(c(1, 2, 3) * 1.1e6)
  tangent <- diag(3) - matrix(c(1, 2, 3) / 6, 3, 3, byrow = TRUE) # log pi moves with sum pi d = 0
  expect_equal(near$D %*% tangent, far$D %*% tangent, tolerance = 1e-5)
  huge <- pi_map(rep(1e300, 3))
  expect_equal(huge$D, diag(3) / 3 - 1 / 9)
  set.seed(1)
  x <- c(rnorm(30), rnorm(30, 9))
  fit <- suppressWarnings(fit_vb(gaussian_mixture(x, 2, prior = mixture_prior(alpha = 1e300))),
    classes = "meanfield_warning")
  expect_silent(s <- summary(fit))
  expect_true(all(is.finite(s$sd[s$type == "pi"])))
})

test_that("an outlier does not make a histogram of millions of bins", {
  fit <- fit_vb(gaussian_mixture(c(rnorm(40), rnorm(20, 5), 1e13), 2))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_silent(plot(fit, what = "data"))
})

test_that("one component: its weight is certain, and is shown as such", {
  set.seed(2)
  fit <- fit_vb(gaussian_mixture(rnorm(20), 1))
  s <- summary(fit)
  pi <- s[s$variable == "pi[1]", ]
  expect_equal(c(pi$mean, pi$sd, pi$q2.5, pi$q97.5), c(1, 0, 1, 1))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_silent(plot(fit))
  expect_silent(plot(fit, variables = c("pi[1]", "log_pi[1]")))
})

test_that("columns of one name are told apart", {
  set.seed(3)
  x <- matrix(rnorm(60), 30, dimnames = list(NULL, c("a", "a")))
  fit <- fit_vb(gaussian_mixture(x, 1))
  expect_false(anyDuplicated(summary(fit)$variable) > 0)
  expect_equal(dim(predict(fit, x)), c(30L, 1L))
})
