# What fit_exact() and the default fit_vb() are used for: draws, reports, comparison; their input.

# ---- draws ---------------------------------------------------------------------------

test_that("draws have the summary's moments and quantiles", {
  d <- exact_data(40, 8)
  d$z <- d$w - 1
  fits <- list(
    scalar = fit_exact(y ~ x + (1 | g), d),
    vector = fit_exact(y ~ x + (x | g), d, tol = 0.02),
    importance = by_importance(fit_vb(y ~ x + (x | g), d, integrate = "no"))
  )
  set.seed(7)
  for (name in names(fits)) {
    fit <- fits[[name]]
    n <- 20000
    x <- as.matrix(as_draws_matrix(fit, ndraws = n))
    s <- by_name(summary(fit, pars = "u"))
    expect_setequal(colnames(x), rownames(s))
    x <- x[, rownames(s)]
    ok <- is.finite(s$sd) & !grepl("^(Lambda|tau_u)", rownames(s))
    # resampled importance points are the sample's, not the posterior's: their own error on top
    slack <- if (name == "importance") fit$error * sqrt(n) else 0
    z <- abs(colMeans(x) - s$mean)[ok] / (s$sd[ok] / sqrt(n))
    expect_lt(max(z), tol_mcse + slack, label = paste(name, "means"))
    kurt <- apply(x[, ok], 2, function(v) mean((v - mean(v))^4) / var(v)^2)
    z <- abs(apply(x[, ok], 2, var) / s$sd[ok]^2 - 1) / sqrt(pmax(kurt - 1, 0.1) / n)
    light <- kurt < 15
    expect_gt(sum(light), 10)
    expect_lt(max(z[light]), tol_mcse + 2 * slack, label = paste(name, "variances"))
    below <- colMeans(x < rep(s$q2.5, each = n))
    above <- colMeans(x > rep(s$q97.5, each = n))
    z <- (c(below, above) - 0.025) / sqrt(0.025 * 0.975 / n)
    expect_lt(max(abs(z)), tol_mcse + slack, label = paste(name, "quantiles"))
  }
  # Kolmogorov and Smirnov, against 39 quantiles
  probs <- seq_len(39) / 40
  for (name in c("scalar", "vector")) {
    fit <- fits[[name]]
    parts <- mixture_components(posterior_of(fit), FALSE)
    q <- mixture_quantiles(parts, probs)
    x <- as.matrix(as_draws_matrix(fit, ndraws = 10000, u = FALSE))
    for (j in seq_along(parts)) {
      D <- max(abs(ecdf(x[, names(parts)[j]])(q[, j]) - probs))
      expect_lt(D * 100, 1.95, label = paste(name, names(parts)[j])) # one in 1,000
    }
  }
})

test_that("effects of a second, crossed factor and of slopes: moments from the nodes are the draws'", {
  set.seed(12)
  d <- data.frame(x = rnorm(60), g = gl(6, 10), h = factor(rep(1:5, 12)))
  d$y <- rnorm(6)[d$g] * d$x + rnorm(5)[d$h] + rnorm(60)
  fit <- fit_exact(y ~ x + (0 + x | g) + (1 | h), d, tol = 1e-3)
  V <- vcov(fit, pars = "all")
  new <- d[c(1, 17, 44), ]
  A <- matrix(0, 3, 2 + 6 + 5, dimnames = list(NULL, rownames(V)[1:13]))
  A[, "beta[(Intercept)]"] <- 1
  A[, "beta[x]"] <- new$x
  for (i in 1:3) {
    A[i, paste0("u[g:", new$g[i], ",x]")] <- new$x[i]
    A[i, paste0("u[h:", new$h[i], "]")] <- 1
  }
  theta <- by_name(summary(fit, pars = "u"))[colnames(A), "mean"]
  p <- predict(fit, new, se.fit = TRUE)
  expect_close(p$fit, drop(A %*% theta), 1e-10)
  expect_close(p$se.fit^2, diag(A %*% V[1:13, 1:13] %*% t(A)), 1e-8)
  re <- ranef(fit)
  expect_equal(attr(re$h, "postVar")[1, 1, ], unname(diag(V)[paste0("u[h:", 1:5, "]")]))
  set.seed(3)
  x <- as.matrix(as_draws_matrix(fit, ndraws = 20000))[, rownames(V)[1:13]]
  S <- cov(x)
  se <- sqrt((tcrossprod(diag(S)) + S^2) / 20000)
  expect_lt(max(abs(S - V[1:13, 1:13]) / se), 4.5)
})

# ---- same data, same answer ----------------------------------------------------------

test_that("fits leave the generator alone, repeat themselves and survive saveRDS", {
  d <- exact_data(30, 6)
  set.seed(99)
  before <- .Random.seed
  one <- fit_exact(y ~ x + (x | g), d, tol = 0.01)
  vb <- fit_vb(y ~ x + (x | g), d)
  imp <- by_importance(fit_vb(vb, integrate = "no"))
  many <- suppressWarnings(fit_exact(y ~ x + (x | g) + (x | I(as.integer(g) %% 3)), d, draws = 1000))
  expect_equal(many$method, "importance")
  summary(one)
  vcov(one, pars = "all")
  predict(one, interval = "prediction")
  expect_output({
    print(one)
    print(vb)
    print(imp)
  }, "k-hat")
  expect_identical(.Random.seed, before)
  rm(".Random.seed", envir = globalenv()) # no state: none is made
  expect_identical(summary(fit_exact(y ~ x + (x | g), d, tol = 0.01)), summary(one))
  expect_identical(summary(fit_vb(y ~ x + (x | g), d), pars = "u"), summary(vb, pars = "u"))
  expect_identical(summary(by_importance(fit_vb(vb, integrate = "no"))), summary(imp))
  expect_false(exists(".Random.seed", envir = globalenv()))
  set.seed(99)
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(list(one, vb), file)
  code <- sprintf(paste0("library(meanfield); f <- readRDS('%s'); set.seed(1); ",
    "r <- lapply(f, function(x) list(summary(x, pars = 'u'), vcov(x, pars = 'all'), ",
    "predict(x, interval = 'confidence'), as_draws(x, ndraws = 20), hypothesis(x, 'x > 0'))); ",
    "saveRDS(r, '%s')"), file, file)
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(code, script)
  system2(file.path(R.home("bin"), "Rscript"), shQuote(script), stdout = FALSE, stderr = FALSE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
  there <- readRDS(file)
  set.seed(1)
  here <- lapply(list(one, vb), function(x) {
    list(summary(x, pars = "u"), vcov(x, pars = "all"), predict(x, interval = "confidence"),
      as_draws(x, ndraws = 20), hypothesis(x, "x > 0"))
  })
  expect_identical(there, here)
})

# ---- report --------------------------------------------------------------------------

test_that("the report repeats the published ratios to their digits", {
  table <- list( # Q, tau_u, then MFVB / LRVB for tau_e, tau_u, log tau_u, intercept
    c(5, 1, .987, 1.000, .806, .935, .847, .959, .720, .720),
    c(10, 4, .978, 1.000, .353, .502, .667, .925, .919, .919),
    c(20, 1, .961, 1.000, .900, .978, .921, .996, .949, .949),
    c(50, 4, .905, .999, .539, .820, .633, .958, .990, .990),
    c(100, 1, .811, 1.000, .790, .971, .810, .993, .992, .992),
    c(100, 4, .810, .997, .483, .823, .558, .947, .997, .997)
  )
  vague <- gamma_prior(0.01, 0.01)
  for (row in table) {
    d <- paper_data(row[1], row[2])
    fit <- fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = priors(normal_prior(0, 10), vague, vague))
    t <- as.data.frame(sd_ratio_report(fit, fit_exact(fit)))
    expect_true(all(t$reference == "exact"))
    at <- match(c("tau_e", "tau_u[g]", "log_tau_u[g]", "beta[(Intercept)]"), t$variable)
    ours <- c(rbind(t$ratio_mfvb[at], t$ratio_lrvb[at]))
    expect_lte(max(abs(ours - row[-(1:2)])), 0.00051, label = paste("Q =", row[1]))
    # the default fit is its own exact reference
    own <- as.data.frame(sd_ratio_report(fit))
    expect_equal(own$ratio_lrvb[at], t$ratio_lrvb[at], tolerance = 0.01)
    if (row[1] == 5) {
      expect_equal(own$verdict[at[4]], "integrated")
      expect_equal(own$sd[at[4]] / t$sd_ref[at[4]], 1, tolerance = 0.01)
      lr <- as.data.frame(sd_ratio_report(fit_vb(fit, integrate = "no"), fit_exact(fit)))
      expect_equal(lr$verdict[at[4]], "few groups")
      expect_output(print(sd_ratio_report(fit_vb(fit, integrate = "no"))), "fit_exact")
    }
  }
})

test_that("the report refuses an exact fit of other data or another prior", {
  d <- exact_data()
  fit <- fit_vb(y ~ x + (1 | g), d)
  expect_error(sd_ratio_report(fit, fit_exact(y ~ x + (1 | g), d[-1, ])), "different data",
    class = "meanfield_error_report")
  expect_error(sd_ratio_report(fit, fit_exact(y ~ x + (1 | g), d, prior = priors(flat_prior()))),
    "different priors", class = "meanfield_error_report")
})

# ---- compare() -----------------------------------------------------------------------

test_that("compare: evidences, sources, loo, and what cannot be compared", {
  d <- exact_data(30, 6)
  with <- fit_exact(y ~ x + (1 | g), d)
  without <- fit_exact(y ~ x, d)
  t <- compare(with, without, loo = FALSE)
  expect_setequal(t$model, c("with", "without"))
  best <- c(with = with$log_evidence, without = without$log_evidence)
  expect_equal(t$log_evidence, unname(sort(best, decreasing = TRUE)))
  expect_equal(t$evidence_diff[2], min(best) - max(best))
  expect_true(all(t$source == "exact"))
  vb <- fit_vb(with, integrate = "no")
  set.seed(1)
  gibbs <- fit_gibbs(with, chains = 1, iter = 300, warmup = 100)
  t <- compare(a = vb, b = fit_vb(with), c = gibbs, loo = FALSE)
  expect_equal(t$source[match(c("a", "b", "c"), t$model)], c("elbo", "exact", "none"))
  expect_equal(t$log_evidence[t$model == "a"], vb$vb$elbo)
  expect_true(is.na(t$log_evidence[t$model == "c"]))
  expect_output(print(t), "lower bound")
  set.seed(1)
  l <- suppressWarnings(compare(with, without, ndraws = 500))
  expect_true(all(c("elpd_loo", "se_elpd", "elpd_diff", "se_diff", "khat") %in% names(l)))
  expect_equal(max(l$elpd_diff), 0)
  flat <- fit_exact(y ~ x, d, prior = priors(flat_prior()))
  t <- compare(with, flat, loo = FALSE)
  expect_equal(attr(t, "flat"), "flat")
  expect_output(print(t), "Lebesgue")
  expect_output(print(flat), "Lebesgue")
  other <- fit_exact(log(y + 50) ~ x, d)
  for (bad in list(
    quote(compare(with, other)), quote(compare(with)), quote(compare(with, 3)),
    quote(compare(with, fit_exact(y ~ x, d[-1, ]))), quote(compare(with, fit_exact(y ~ x, d, weights = w)))
  )) expect_error(eval(bad), class = "meanfield_error_compare")
})

# ---- input ---------------------------------------------------------------------------

test_that("bad input is refused by name", {
  d <- exact_data()
  refuse <- function(expr, kind, arg) {
    e <- tryCatch(expr, error = identity)
    expect_s3_class(e, paste0("meanfield_error_", kind))
    expect_identical(e$arg, arg)
  }
  for (tol in list(0, -1, NA, "a", c(.1, .2), Inf, NULL)) refuse(fit_exact(y ~ x, d, tol = tol), "control", "tol")
  for (n in list(0, -5, 2.5, NA, "a", 1:2)) refuse(fit_exact(y ~ x, d, draws = n), "control", "draws")
  refuse(fit_exact(y ~ x, d, drawz = 10), "control", "...")
  refuse(fit_exact(y ~ x, d, control = 3), "control", "control")
  refuse(fit_exact(), "formula", "object")
  refuse(fit_exact(42, d), "formula", "object")
  refuse(fit_vb(y ~ x, d, integrate = "maybe"), "control", "integrate")
  refuse(fit_vb(y ~ x, d, integrate = TRUE), "control", "integrate")
  refuse(fit_vb(fit_vb(y ~ x, d), integrate = "never"), "control", "integrate")
  refuse(vcov(fit_vb(y ~ x, d, integrate = "no"), type = "integrated"), "control", "type")
  fit <- fit_exact(y ~ x, d)
  refuse(as_draws(fit, ndraws = 0), "control", "ndraws")
  expect_error(summary(fit, level = 2), class = "meanfield_error")
  expect_warning(fit_exact(y ~ x + (1 | g), d, tol = 1e-12), class = "meanfield_warning_accuracy")
  # an exact line has no residual variance to integrate
  line <- transform(d, y = 2 * x + 1)
  refuse(fit_exact(y ~ x, line), "integral", "formula")
  refuse(fit_vb(y ~ x, line, integrate = "yes"), "integral", "integrate")
  fit <- suppressWarnings(fit_vb(y ~ x, line))
  expect_identical(fit$not_integrated, "failed")
})
