# Which effects a prediction includes: lme4's grammar of re.form, new levels, levels without weight.

set.seed(12)
d <- data.frame(g = gl(9, 12), h = gl(3, 36), x = rnorm(108), k = factor(rep(c("p", "q", "r"), 36)))
d$y <- 1 + d$x + rnorm(9)[d$g] + rnorm(9, 0, .5)[d$g] * d$x + rnorm(108, 0, .5)
slope <- fit_vb(y ~ x + (x | g), d)
fixed <- function(f) drop(model.matrix(f) %*% fixef(f))

test_that("re.form takes some of the coefficients of a term", {
  u <- ranef(slope)$g[d$g, ]
  expect_equal(unname(predict(slope, re.form = ~ (1 | g))), unname(fixed(slope)) + u[[1]])
  slopes <- predict(slope, d, re.form = ~ (0 + x | g))
  expect_equal(unname(slopes), unname(fixed(slope)) + u[[2]] * d$x)
  both <- list(~ (x | g), ~ (1 + x | g), ~ (1 | g) + (0 + x | g), NULL)
  for (r in both) expect_equal(predict(slope, re.form = r), predict(slope))
  for (r in list(NA, ~0, NA_real_)) {
    expect_equal(unname(predict(slope, re.form = r)), unname(fixed(slope)))
  }
  # its variance: that of the full covariance
  V <- vcov(slope, pars = "all")
  at <- c("beta[(Intercept)]", "beta[x]", "u[g:2,(Intercept)]")
  c3 <- c(1, d$x[20], 1)
  expect_equal(unname(predict(slope, d[20, ], re.form = ~ (1 | g), se.fit = TRUE)$se.fit),
    sqrt(drop(c3 %*% V[at, at] %*% c3)))
  skip_if_not_installed("lme4")
  m <- lme4::lmer(y ~ x + (x | g), d)
  for (r in list(~ (1 | g), ~ (0 + x | g), ~ (x | g), NA)) {
    # both leave out the same effects: the rest differs by how the two were estimated
    expect_lt(max(abs((predict(slope) - predict(slope, re.form = r)) -
      (predict(m) - predict(m, re.form = r)))), .1)
  }
})

test_that("draws, exact and Gibbs fits take the same re.form", {
  set.seed(1)
  for (f in list(fit_vb(slope, integrate = "no"), fit_exact(slope),
    fit_gibbs(slope, chains = 1, iter = 300, warmup = 100))) {
    p <- predict(f, d[1:3, ], re.form = ~ (1 | g), se.fit = TRUE)
    expect_equal(unname(p$fit), unname(fixed(f)[1:3] + ranef(f)$g[1, 1]))
    expect_true(all(p$se.fit > 0))
  }
  skip_if_not_installed("rstantools")
  set.seed(2)
  full <- rstantools::posterior_linpred(slope, newdata = d[1:2, ], draws = 50)
  set.seed(2)
  part <- rstantools::posterior_linpred(slope, newdata = d[1:2, ], draws = 50, re.form = ~ (1 | g))
  set.seed(2)
  u <- as.matrix(slope, ndraws = 50)[, "u[g:1,x]"]
  expect_equal(unname(full - part), unname(u %o% d$x[1:2]), tolerance = 1e-10)
})

test_that("several factors, nested names in either order, factors as slopes, poly()", {
  f <- fit_vb(y ~ x + (1 | h / g) + (1 | k), d, integrate = "no")
  u <- ranef(f)
  part <- unname(predict(f, re.form = ~ (1 | k)))
  expect_equal(part, unname(fixed(f)) + u$k[d$k, 1])
  nested <- unname(predict(f, re.form = ~ (1 | h:g)))
  expect_equal(nested, unname(predict(f, re.form = ~ (1 | g:h))))
  expect_equal(unname(predict(f, re.form = ~ (1 | h / g) + (1 | k))), unname(predict(f)))
  s <- fit_vb(y ~ x + (k | g), d, integrate = "no")
  expect_equal(unname(predict(s, re.form = ~ (1 | g))), unname(fixed(s)) + ranef(s)$g[d$g, 1])
  expect_equal(predict(s, d[5:9, ], re.form = ~ (k | g)), predict(s, d[5:9, ]))
  expect_error(predict(s, re.form = ~ (0 + k | g)), class = "meanfield_error_control")
  p <- fit_vb(y ~ x + (poly(x, 2) | g), d, integrate = "no")
  expect_equal(unname(predict(p, d[7:8, ], re.form = ~ (1 | g))),
    unname(fixed(p)[7:8]) + ranef(p)$g[1, 1])
  expect_equal(predict(p, d[7:8, ], re.form = ~ (poly(x, 2) | g)), predict(p, d[7:8, ]))
})

test_that("what re.form cannot mean is refused by name", {
  for (r in list(~ (1 | nobody), ~ (z | g), ~x, ~ x + (1 | g), ~1, FALSE, "g", TRUE)) {
    expect_error(predict(slope, re.form = r), class = "meanfield_error_control")
  }
  # variables of effects that are left out are not asked for
  new <- data.frame(x = 0, g = "1")
  f <- fit_vb(y ~ x + (k | g), d, integrate = "no")
  expect_error(predict(f, new), class = "meanfield_error_newdata")
  expect_length(predict(f, new, re.form = ~ (1 | g)), 1)
})

# E Lambda^-1 at the user's origin: the covariance of the effects of a new level
level_variance <- function(fit) {
  A <- fit$model$groups[[1]]$A
  A %*% group_covariance(posterior_of(fit), 1) %*% t(A)
}

test_that("new levels: the effects included, with their full variance", {
  new <- data.frame(x = 2, g = "new")
  S <- level_variance(slope)
  base <- drop(c(1, 2) %*% vcov(slope) %*% c(1, 2))
  v <- function(r) predict(slope, new, re.form = r, allow_new_levels = TRUE, se.fit = TRUE)$se.fit^2
  expect_equal(unname(v(NULL)), base + drop(c(1, 2) %*% S %*% c(1, 2)))
  expect_equal(unname(v(~ (1 | g))), base + S[1, 1])
  expect_equal(unname(v(~ (0 + x | g))), base + 4 * S[2, 2])
  expect_equal(unname(v(NA)), base)
  # a level of the slope's own factor that the fit has not seen
  f <- fit_vb(y ~ x + (k | g), d, integrate = "no")
  expect_error(predict(f, data.frame(x = 0, g = "1", k = "z")), class = "meanfield_error_newdata")
})

test_that("a level without weight is predicted as a new one, wherever its rows come from", {
  d$w <- as.numeric(d$g != "2")
  f <- fit_vb(y ~ x + (x | g), d, weights = w)
  set.seed(1)
  fits <- list(f, fit_vb(f, integrate = "no"), fit_exact(f),
    fit_gibbs(f, chains = 1, iter = 300, warmup = 100))
  for (x in fits) {
    a <- predict(x, se.fit = TRUE)
    b <- predict(x, d, se.fit = TRUE)
    expect_equal(unname(a$fit), unname(b$fit))
    expect_equal(unname(a$se.fit), unname(b$se.fit))
    expect_equal(unname(a$fit[d$g == "2"]), unname(fixed(x)[d$g == "2"]))
    one <- which(d$g == "2")[1]
    z <- c(1, d$x[one])
    expect_equal(unname(a$se.fit[one]^2),
      drop(z %*% (vcov(x) + level_variance(x)) %*% z), tolerance = 1e-10)
  }
  expect_error(predict(f, data.frame(x = 0, g = "10")), class = "meanfield_error_newdata")
  p <- fit_vb(cbind(n, 3 * w - n) ~ x + (1 | g), transform(d, n = w), family = binomial())
  own <- predict(p, interval = "confidence")
  expect_equal(unname(own), unname(predict(p, transform(d, n = w), interval = "confidence")))
  k <- fit_vb(y ~ x + (1 | g) + (1 | k), transform(d, w = as.numeric(k != "q")), weights = w,
    prior = priors(tau_u = gamma_prior(2, 1)))
  expect_equal(unname(predict(k)), unname(predict(k, d)))
})
