# The SD-ratio report.

vb <- fit_vb(log_radon ~ floor + (1 | county), radon)
set.seed(5)
gibbs <- fit_gibbs(vb, chains = 2, iter = 1200, warmup = 200)

test_that("columns, ratios and their Monte Carlo errors", {
  r <- sd_ratio_report(vb, gibbs)
  t <- as.data.frame(r)
  expect_named(t, c("variable", "type", "sd_mfvb", "sd_lrvb", "sd", "source", "sd_ref",
    "ratio_mfvb", "mcse_mfvb", "ratio_lrvb", "mcse_lrvb", "verdict", "reference"))
  expect_true(all(t$reference == "gibbs"))
  s <- summary(gibbs)
  row <- t$variable == "beta[floor]"
  expect_equal(t$sd_ref[row], s$sd[2])
  expect_equal(t$ratio_mfvb[row], sqrt(vcov(vb, "mfvb")[2, 2]) / s$sd[2])
  expect_equal(t$mcse_lrvb[row], t$ratio_lrvb[row] * s$mcse_sd[2] / s$sd[2])
  expect_output(print(r), "harmonic")
  expect_true(t$verdict[t$variable == "log_tau_u[county]"] == "repaired")
})

test_that("the Monte Carlo error of a ratio is honest", {
  skip_below_level(2)
  big <- fit_gibbs(vb, chains = 4, iter = 25500, warmup = 500, save_u = FALSE)
  exact <- as.data.frame(sd_ratio_report(vb, big))$ratio_mfvb
  z <- replicate(40, {
    t <- as.data.frame(sd_ratio_report(vb, fit_gibbs(vb, chains = 2, iter = 700, warmup = 200)))
    (t$ratio_mfvb - exact) / t$mcse_mfvb
  })
  rms <- sqrt(rowMeans(z[c(1, 2, 4, 7), ]^2))
  expect_true(all(rms > .6 & rms < 1.5))
})

test_that("H and W: by hand, renormalised over the types present, and as in the paper", {
  t <- as.data.frame(sd_ratio_report(vb, gibbs))
  agg <- sd_ratio_report(vb, gibbs)$aggregates
  main <- t[t$variable %in% c("beta[(Intercept)]", "beta[floor]", "tau_e", "log_tau_u[county]"), ]
  expect_equal(agg$H[1], 4 / sum(1 / main$ratio_mfvb))
  expect_equal(agg$W[2], .4 * mean(main$ratio_lrvb[1:2]) + .3 * main$ratio_lrvb[3] +
    .3 * main$ratio_lrvb[4])
  gam <- fit_vb(log_radon ~ floor + (1 | county), radon, prior = priors(tau_u = gamma_prior(1, .1)))
  t <- as.data.frame(sd_ratio_report(gam))
  expect_equal(t$type[t$variable == "tau_u[county]"], "tau_u")
  expect_equal(t$type[t$variable == "log_tau_u[county]"], "derived")
  m1 <- fit_vb(log_radon ~ floor, radon)
  r <- sd_ratio_report(m1, fit_gibbs(m1, chains = 2, iter = 600, warmup = 100))
  t <- as.data.frame(r)
  beta <- mean(t$ratio_mfvb[1:2])
  e <- t$ratio_mfvb[t$variable == "tau_e"]
  expect_equal(r$aggregates$W[1], (.4 * beta + .3 * e) / .7)
  paper <- sd_ratio_report(m1, posterior::as_draws(fit_gibbs(m1, chains = 1, iter = 300, warmup = 100)),
    normalise = FALSE)
  tp <- as.data.frame(paper)
  expect_equal(paper$aggregates$W[1], .4 * mean(tp$ratio_mfvb[1:2]) + .3 * tp$ratio_mfvb[3])
})

test_that("without a reference it reports what linear response predicts", {
  alone <- function(...) fit_vb(..., integrate = "no")
  r <- sd_ratio_report(alone(vb))
  t <- as.data.frame(r)
  ok <- !is.na(t$sd_ref)
  expect_true(all(t$reference == "predicted"))
  expect_equal(t$ratio_mfvb[ok], (t$sd_mfvb / t$sd_lrvb)[ok])
  expect_true(all(is.na(t$ratio_lrvb)))
  expect_output(print(r), "predict")
  # few groups: the intercept's SD hangs on a group variance that is hardly known
  d <- paper_data(5, 1)
  few <- as.data.frame(sd_ratio_report(alone(y ~ x1 + x2 + x3 + (1 | g), d)))
  expect_equal(few$verdict[few$variable == "beta[(Intercept)]"], "few groups")
  expect_false("few groups" %in% few$verdict[few$variable == "beta[x1]"])
  many <- as.data.frame(sd_ratio_report(alone(y ~ x1 + (1 | g), paper_data(100, 1))))
  expect_false("few groups" %in% many$verdict)
})

test_that("draws of other packages, with a map of names", {
  d <- posterior::as_draws_matrix(gibbs, u = FALSE)
  posterior::variables(d)[1:3] <- c("Intercept", "b_floor", "prec")
  d <- posterior::subset_draws(d, variable = c("Intercept", "b_floor", "prec"))
  expect_error(sd_ratio_report(vb, d), class = "meanfield_error_report")
  map <- c("beta[(Intercept)]" = "Intercept", "beta[floor]" = "b_floor", tau_e = "prec")
  r <- as.data.frame(sd_ratio_report(vb, d, variables = map))
  expect_equal(sum(!is.na(r$ratio_mfvb)), 3)
  expect_error(sd_ratio_report(vb, d, variables = c(tau_e = "nope")), class = "meanfield_error_report")
  expect_error(sd_ratio_report(vb, d, variables = c(nope = "prec")), class = "meanfield_error_report")
})

test_that("it refuses fits on different data or priors, and nonsense", {
  other <- fit_gibbs(fit_vb(log_radon ~ floor + (1 | county), radon[-1, ]), chains = 1, iter = 200,
    warmup = 50)
  expect_error(sd_ratio_report(vb, other), "different data", class = "meanfield_error_report")
  prior <- fit_gibbs(update(vb, prior = priors(tau_u = gamma_prior(1, 1))), chains = 1, iter = 200,
    warmup = 50)
  expect_error(sd_ratio_report(vb, prior), "different priors", class = "meanfield_error_report")
  expect_error(sd_ratio_report(gibbs), class = "meanfield_error_report")
  expect_error(sd_ratio_report(vb, "x"), class = "meanfield_error_report")
  expect_error(sd_ratio_report(vb, gibbs, weights = c(a = 1)), class = "meanfield_error_report")
})

test_that("it prints as a table in a document", {
  skip_if_not_installed("knitr")
  out <- knitr::knit_print(sd_ratio_report(vb, gibbs))
  expect_match(paste(out, collapse = "\n"), "ratio_mfvb")
})

test_that("no curve of a positive variable blows up at zero", {
  set.seed(1)
  x <- seq(-9, 2, 0.4) # a log-normal summed over a lattice, with the rounding of an integral
  w <- dnorm(x, 0, 0.8) + 1e-3 * runif(length(x))
  part <- list(weights = w / sum(w), centre = x, spread = rep(0.4, length(x)), sinc = TRUE, link = "exp")
  curve <- mixture_curve(part)
  expect_equal(max(curve$y), max(dlnorm(curve$x, 0, 0.8)), tolerance = 0.05)
})
