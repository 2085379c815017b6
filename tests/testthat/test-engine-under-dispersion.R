# The tables behind vignette("under-dispersion"): recomputed where that is cheap.

stored <- function(name) read.csv(system.file("extdata", name, package = "meanfield"))
vague <- priors(normal_prior(0, 10), gamma_prior(.01, .01), gamma_prior(.01, .01))

test_that("Model 1's stored ratios are the closed forms", {
  t <- stored("under-dispersion-ratios.csv")
  one <- function(what, m, n) t$value[t$Q == 0 & t$n == n & t$quantity == what & t$method == m]
  for (n in c(18, 300)) {
    # the prior is proper, not flat: equal to a few units of the third digit
    expect_equal(one("slopes", "mfvb", n), sqrt(1 - 2 / (n - 4)), tolerance = 0.005)
    expect_equal(one("tau_e", "mfvb", n), sqrt(1 - 4 / n), tolerance = 0.005)
    expect_equal(one("tau_e", "lrvb", n), 1, tolerance = 0.001)
  }
})

test_that("the stored table by Q is what the engines give now", {
  t <- stored("under-dispersion-ratios.csv")
  for (design in list(c(5, 1), c(100, 4))) {
    d <- paper_data(design[1], design[2])
    fit <- fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = vague)
    now <- as.data.frame(sd_ratio_report(fit, fit_exact(fit)))
    now <- now[match(c("tau_u[g]", "log_tau_u[g]", "tau_e", "beta[(Intercept)]"), now$variable), ]
    s <- t[t$Q == design[1] & t$tau_u %in% design[2], ]
    of <- function(m) {
      k <- s[s$method == m, ]
      k$value[match(c("tau_u", "log_tau_u", "tau_e", "intercept"), k$quantity)]
    }
    expect_equal(now$ratio_mfvb, of("mfvb"), tolerance = 1e-3)
    expect_equal(now$ratio_lrvb, of("lrvb"), tolerance = 1e-3)
  }
})
