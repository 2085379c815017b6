# Draws and summary of a fit are one distribution, in every family and structure.

draws_data <- function(n = 160) {
  set.seed(11)
  d <- data.frame(x = rnorm(n), a = factor(rep(1:16, each = n / 16)), b = factor(rep(1:2, n / 2)),
    h = factor(sample(8, n, TRUE)), id = factor(seq_len(n)))
  eta <- .3 * d$x + rnorm(16, 0, .7)[d$a] + rnorm(8, 0, .5)[d$h] + .4 * rnorm(16)[d$a] * d$x
  d$y <- eta + rnorm(n)
  d$count <- rpois(n, exp(.5 + eta))
  d$yes <- rbinom(n, 1, plogis(eta))
  d$k <- rbinom(n, 8, plogis(eta))
  d
}

# Largest distance of the draws from the summary in Monte Carlo standard errors: means, SDs, and the
# mass below the quantiles, over all rows of the summary.
draws_distance <- function(fit, ndraws = 4000) {
  s <- summary(fit, pars = "u", level = .9)
  set.seed(4)
  w <- unclass(posterior::as_draws_matrix(as_draws(fit, ndraws = ndraws, u = TRUE)))
  expect_setequal(colnames(w), s$variable)
  w <- w[, s$variable]
  z <- scale(w)
  kurtosis <- colMeans(z^4)
  off <- cbind(
    mean = (colMeans(w) - s$mean) / s$sd * sqrt(ndraws),
    sd = (apply(w, 2, sd) / s$sd - 1) / sqrt((kurtosis - 1) / (4 * ndraws)),
    q5 = (colMeans(w < rep(s$q5, each = ndraws)) - .05) / sqrt(.05 * .95 / ndraws),
    q95 = (colMeans(w < rep(s$q95, each = ndraws)) - .95) / sqrt(.05 * .95 / ndraws)
  )
  max(abs(off), na.rm = TRUE)
}

test_that("draws of an integrated fit are the distribution that its summary shows", {
  d <- draws_data()
  structures <- c("(1 | a)", "(x | a)", "(x || a)", "(1 | a/b)", "(1 | a) + (1 | h)", "(1 | a) + (1 | id)",
    "(1 | a:b) + (1 | h) + (1 | a)", "")
  responses <- list(y = gaussian(), count = poisson(), yes = binomial(),
    "cbind(k, 8 - k)" = binomial(), count = neg_binomial())
  all <- expand.grid(r = seq_along(responses), s = seq_along(structures))
  lone <- grepl("id", structures[all$s]) & names(responses)[all$r] %in% c("y", "yes")
  wide <- structures[all$s] == "(x | a)" & all$r %in% c(1L, 5L) # four parameters and more
  all <- all[!lone & (!wide | test_level() >= 3), ]
  thin <- if (test_level() >= 3) seq_len(nrow(all)) else which(all$r %in% c(2, 5) & all$s > 2 | all$s == 1)
  rows <- 0
  for (i in thin) {
    f <- as.formula(paste(names(responses)[all$r[i]], "~ x",
      if (nzchar(structures[all$s[i]])) paste("+", structures[all$s[i]])))
    fit <- suppressWarnings(fit_vb(f, d, family = responses[[all$r[i]]], integrate = "yes"))
    # about a hundred rows a fit: the largest of them
    expect_lt(draws_distance(fit), tol_mcse + .5, label = paste(deparse1(f), names(responses)[all$r[i]]))
  }
})

test_that("and so are those of an exact fit and, but for precisions, of linear response", {
  d <- draws_data()
  expect_lt(draws_distance(fit_exact(y ~ x + (1 | a), d)), tol_mcse + .5)
  fit <- fit_vb(count ~ x + (1 | a), d, family = poisson(), integrate = "no")
  s <- summary(fit, pars = "u")
  set.seed(1)
  w <- unclass(posterior::as_draws_matrix(as_draws(fit, u = TRUE)))[, s$variable]
  own <- grepl("^(beta|u|log|sigma)", s$variable)
  expect_lt(max(abs(colMeans(w) - s$mean)[own] / s$sd[own]), (tol_mcse + .5) / sqrt(4000))
})

test_that("hypotheses are about the fit's own distribution", {
  d <- draws_data()[1:40, ]
  set.seed(2)
  gibbs <- fit_gibbs(y ~ x + (1 | b), d, chains = 2, iter = 1500, warmup = 500)
  h <- hypothesis(gibbs, c("(Intercept) > 1", "x - 2 * (Intercept) < 0"))
  b <- as.data.frame(posterior::as_draws_df(gibbs))
  i <- b[["beta[(Intercept)]"]]
  expect_equal(h$prob, c(mean(i > 1), mean(b[["beta[x]"]] - 2 * i < 0)))
  expect_equal(c(h$q2.5[1], h$q97.5[1]), unname(quantile(i - 1, c(.025, .975))))
  # two groups: the intercept has long tails, and every engine says so
  exact <- hypothesis(fit_exact(y ~ x + (1 | b), d), "(Intercept) > 1")
  vb <- hypothesis(fit_vb(y ~ x + (1 | b), d), "(Intercept) > 1")
  mcse <- tol_mcse * sqrt(.25 / posterior::ess_bulk(gibbs$draws[, , 1]))
  expect_lt(abs(exact$prob - h$prob[1]), mcse)
  expect_lt(abs(vb$prob - exact$prob), .005)
})

test_that("the dispersion's interval is that of its logarithm", {
  d <- draws_data()
  for (integrate in c("no", "yes")) {
    s <- summary(fit_vb(count ~ x + (1 | a), d, family = neg_binomial(), integrate = integrate))
    at <- match(c("phi", "log_phi"), s$variable)
    expect_equal(s$q2.5[at[1]], exp(s$q2.5[at[2]]))
    expect_equal(s$q97.5[at[1]], exp(s$q97.5[at[2]]))
    expect_true(s$mean[at[1]] > s$q2.5[at[1]] && s$mean[at[1]] < s$q97.5[at[1]])
  }
})

test_that("rvars of coefficients and levels whose names hold commas", {
  set.seed(1)
  d <- data.frame(x = rnorm(60), g = rep(c("Smith, John", "Lee", "Ng"), 20))
  d$y <- d$x + rnorm(60)
  fit <- fit_vb(y ~ x + (poly(x, 2) | g), d, integrate = "no")
  expect_silent(v <- as_draws_rvars(fit, ndraws = 20))
  expect_equal(dim(v$rho_u), c(2L, 2L))
  expect_equal(array_names(c("u[Smith, John,x]", "u[Lee,x]", "r[a,poly(b, 2)]")),
    c("u[Smith; John;x]", "u[Lee;x]", "r[a,poly(b; 2)]"))
})

test_that("rvars of mixtures whose columns have commas in their names", {
  set.seed(4)
  x <- cbind("a, b" = rnorm(30), c = rnorm(30))
  fit <- fit_vb(gaussian_mixture(x, 1))
  expect_silent(v <- as_draws_rvars(fit, ndraws = 10))
  expect_true("mu" %in% names(v))
})
