# Separation under a flat prior: the posterior is improper, and no number may be printed.

direction <- function(X, y) {
  separating_direction(rbind(X[y == 1, , drop = FALSE], -X[y == 0, , drop = FALSE]))
}

test_that("a separating direction is found where there is one, and only there", {
  set.seed(1)
  found <- 0
  for (i in 1:300) {
    n <- sample(4:40, 1)
    p <- sample(0:4, 1)
    X <- cbind(1, matrix(if (i %% 2) rnorm(n * p) else sample(0:2, n * p, TRUE), n))
    b <- rnorm(p + 1)
    y <- rbinom(n, 1, plogis(3 * X %*% b))
    d <- direction(X, y)
    if (!is.null(d)) { # a certificate: every row moves towards its response, some of them do
      along <- drop(X %*% d) * (2 * y - 1)
      expect_gt(min(along), -1e-7 * max(along))
      found <- found + 1
    }
    # separated by construction, exactly and with ties on the plane
    expect_false(is.null(direction(X, as.numeric(X %*% b > 0))))
    # every point with its opposite response, too: no direction
    expect_null(direction(rbind(X, X), c(y, 1 - y)))
  }
  expect_gt(found, 50)
})

test_that("a flat prior and separated data are refused, a proper prior is not", {
  set.seed(8)
  d <- data.frame(nest = gl(17, 8), tr = factor(sample(c("no", "control", "sucrose"), 136, TRUE)))
  d$y <- rbinom(136, 1, plogis(2 + rnorm(17)[d$nest]))
  d$y[d$tr == "sucrose"] <- 1
  flat <- priors(beta = flat_prior())
  for (f in c(y ~ tr, y ~ tr + (1 | nest))) {
    expect_error(fit_vb(f, d, family = binomial(), prior = flat), "sucrose",
      class = "meanfield_error_separation")
    expect_error(fit_gibbs(f, d, family = binomial(), prior = flat),
      class = "meanfield_error_separation")
    expect_true(all(is.finite(vcov(fit_vb(f, d, family = binomial())))))
  }
  d$n <- 5
  d$k <- ifelse(d$tr == "sucrose", 5, 2)
  expect_error(fit_vb(cbind(k, n - k) ~ tr, d, family = binomial(), prior = flat),
    class = "meanfield_error_separation")
  # a cell of zero counts
  d$count <- ifelse(d$tr == "control", 0, rpois(136, 2))
  for (family in list(poisson(), neg_binomial())) {
    expect_error(fit_vb(count ~ tr, d, family = family, prior = flat),
      class = "meanfield_error_separation")
    expect_error(fit_vb(0 * count ~ 1, d, family = family, prior = flat),
      class = "meanfield_error_separation")
    expect_s3_class(fit_vb(count + 1 ~ tr, d, family = family, prior = flat), "vb_fit")
  }
  # the same point of the maximum as glm() where there is one
  ok <- transform(d, y = replace(y, which(tr == "sucrose")[1], 0))
  fit <- fit_vb(y ~ tr, ok, family = binomial(), prior = flat)
  glm <- glm(y ~ tr, binomial, ok)
  expect_lt(max(abs(fixef(fit) - coef(glm)) / sqrt(diag(vcov(glm)))), .5)
})

test_that("a factor of three levels is no binomial response", {
  d <- data.frame(y = gl(3, 10, labels = c("a", "b", "c")), x = rnorm(30))
  expect_error(fit_vb(y ~ x, d, family = binomial()), "a success", class = "meanfield_error_response")
  two <- d[d$y != "c", ] # the third level is not there
  expect_equal(mean(fitted(fit_vb(y ~ x, two, family = binomial()))), .5, tolerance = .02)
  # all successes stay that, whatever the levels that do not occur
  yes <- data.frame(y = factor(rep("yes", 20), c("no", "yes")))
  expect_gt(fixef(fit_vb(y ~ 1, yes, family = binomial())), 1)
})
