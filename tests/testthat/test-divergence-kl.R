# Divergences and entropies: numbers that can be checked by hand, and definitions, integrated.

test_that("discrete laws, in bits", {
  p <- c(0.6, 0.3, 0.1)
  q <- c(0.5, 0.25, 0.25)
  # lecture notes print .029 (right), .066 and .084
  expect_equal(kl_divergence(c(0.6, 0.4), c(0.5, 0.5), 2), 0.029049, tolerance = 2e-5)
  expect_equal(kl_divergence(p, q, 2), 0.104538, tolerance = 5e-6)
  expect_equal(kl_divergence(q, p, 2), 0.133206, tolerance = 5e-6)
  expect_equal(kl_divergence(p, q), 0.072460, tolerance = 1e-5)
  expect_equal(kl_divergence(q, p), 0.092332, tolerance = 1e-5)
  coin <- function(prob) law("bernoulli", prob = prob)
  expect_equal(kl_divergence(coin(0.9), coin(0.1)), 0.8 * log(9))
  expect_equal(kl_divergence(coin(0.9), coin(0.1), 2), 2.535940, tolerance = 1e-7)
  bits <- vapply(list(c(0.5, 0.5), c(0.9, 0.1), rep(0.25, 4), rep(1 / 6, 6), c(0.5, 0.25, 0.25)),
    entropy_of, 0, 2)
  expect_equal(bits, c(1, 0.468996, 2, 2.584963, 1.5), tolerance = 1e-6)
})

test_that("no mass where there must be some is infinite; none where none is needed is nothing", {
  expect_identical(kl_divergence(c(0.5, 0.5), c(1, 0)), Inf)
  expect_equal(kl_divergence(c(1, 0), c(0.5, 0.5), 2), 1)
  expect_identical(kl_divergence(law("bernoulli", prob = 0.5), law("bernoulli", prob = 1)), Inf)
  expect_identical(entropy_of(c(1, 0)), 0)
})

test_that("normal entropies, and Jensen's gap", {
  nats <- vapply(c(0.5, 1, 2), function(s) entropy_of(law("normal", sd = s)), 0)
  expect_equal(nats, c(0.725791, 1.418939, 2.112086), tolerance = 1e-6)
  # X log-normal(m, s^2): log E X - E log X = s^2 / 2, the KL of the density tilted by X from its
  # own
  tilted <- law("normal", mean = 0.2 + 0.9^2, sd = 0.9)
  expect_equal(kl_divergence(tilted, law("normal", mean = 0.2, sd = 0.9)), 0.405)
  expect_equal(c(exp(0.605), 0.605), c(1.831252, 0.2 + 0.405), tolerance = 1e-6)
})

test_that("the mean field of a Gaussian, and the entropy gap", {
  S <- matrix(c(2, 0.9, -0.4, 0.9, 1, 0.3, -0.4, 0.3, 0.8), 3L)
  p <- law("normal", mean = 1:3, cov = S)
  factorised <- function(v) law("normal", mean = 1:3, sd = sqrt(v))
  inner <- factorised(1 / diag(solve(S)))
  expect_equal(kl_divergence(inner, p), 1.024394, tolerance = 1e-6)
  expect_equal(entropy_of(p) - entropy_of(inner), kl_divergence(inner, p), tolerance = 1e-12)
  expect_equal(kl_divergence(p, factorised(diag(S))), 0.698172, tolerance = 1e-6)
  r <- 0.8
  R <- matrix(c(1, r, r, 1), 2L)
  both <- c(kl_divergence(law("normal", sd = rep(sqrt(1 - r^2), 2)), law("normal", cov = R)),
    kl_divergence(law("normal", cov = R), law("normal", sd = c(1, 1))))
  expect_equal(both, rep(-log(1 - r^2) / 2, 2))
})

# KL and entropy by the definition, on one dimension.
integrated_kl <- function(log_p, log_q, from, to) {
  integrand <- function(x) exp(log_p(x)) * (log_p(x) - log_q(x))
  stats::integrate(integrand, from, to, rel.tol = 1e-10, subdivisions = 2000L)$value
}

test_that("gamma, beta, normal: closed forms are the integrals", {
  cases <- list(
    list(law("gamma", shape = 3, rate = 2), law("gamma", shape = 1.5, rate = 0.7), 0, Inf,
      function(x) dgamma(x, 3, 2, log = TRUE), function(x) dgamma(x, 1.5, 0.7, log = TRUE)),
    list(law("beta", shape1 = 2, shape2 = 3), law("beta", shape1 = 1.5, shape2 = 4), 0, 1,
      function(x) dbeta(x, 2, 3, log = TRUE), function(x) dbeta(x, 1.5, 4, log = TRUE)),
    list(law("normal", mean = 1, sd = 2), law("normal", mean = -1, sd = 3), -Inf, Inf,
      function(x) dnorm(x, 1, 2, log = TRUE), function(x) dnorm(x, -1, 3, log = TRUE))
  )
  for (case in cases) {
    want <- integrated_kl(case[[5L]], case[[6L]], case[[3L]], case[[4L]])
    expect_equal(kl_divergence(case[[1L]], case[[2L]]), want, tolerance = 1e-8)
    expect_equal(entropy_of(case[[1L]]), -integrated_kl(case[[5L]], function(x) 0 * x, case[[3L]],
      case[[4L]]), tolerance = 1e-8)
  }
})

test_that("Wishart and Dirichlet contain the gamma and the beta", {
  gamma <- function(df, scale) law("gamma", shape = df / 2, rate = 1 / (2 * scale))
  wishart <- function(df, scale) law("wishart", df = df, scale = scale)
  expect_equal(kl_divergence(wishart(3, 2), wishart(4.5, 0.5)),
    kl_divergence(gamma(3, 2), gamma(4.5, 0.5)))
  expect_equal(entropy_of(wishart(3, 2)), entropy_of(gamma(3, 2)))
  beta <- law("beta", shape1 = 2, shape2 = 3)
  flat <- law("beta", shape1 = 1, shape2 = 1)
  expect_equal(kl_divergence(beta, flat),
    kl_divergence(law("dirichlet", alpha = c(2, 3)), law("dirichlet", alpha = c(1, 1))))
  expect_equal(entropy_of(law("dirichlet", alpha = c(1, 1, 1))), -log(2)) # uniform on area 1/2
})

test_that("Wishart: an average over draws", {
  V <- matrix(c(1, 0.3, 0.3, 0.5), 2L)
  W <- matrix(c(0.8, -0.2, -0.2, 0.9), 2L)
  log_wishart <- function(X, df, V) {
    log_det <- function(A) as.numeric(determinant(A)$modulus)
    (df - 3) / 2 * log_det(X) - sum(diag(solve(V, X))) / 2 - df * log(2) - df / 2 * log_det(V) -
      log(pi) / 2 - lgamma(df / 2) - lgamma((df - 1) / 2)
  }
  set.seed(1)
  ratio <- apply(stats::rWishart(2e4, 5, V), 3L, function(X) {
    c(log_wishart(X, 5, V) - log_wishart(X, 4, W), -log_wishart(X, 5, V))
  })
  got <- c(kl_divergence(law("wishart", df = 5, scale = V), law("wishart", df = 4, scale = W)),
    entropy_of(law("wishart", df = 5, scale = V)))
  z <- (rowMeans(ratio) - got) / (apply(ratio, 1L, sd) / sqrt(2e4))
  expect_lt(max(abs(z)), tol_mcse)
})

test_that("never negative, nothing of itself, invariant to what a change of variable leaves alone",
  {
  S <- random_covariance(4L, 3L)
  p <- law("normal", mean = 1:4, cov = S)
  expect_equal(kl_divergence(p, p), 0, tolerance = 1e-12)
  A <- matrix(cos(1:16), 4L) + 2 * diag(4)
  q <- law("normal", cov = diag(4))
  image <- function(l) law("normal", mean = drop(A %*% l$mean), cov = A %*% l$cov %*% t(A))
  expect_equal(kl_divergence(image(p), image(q)), kl_divergence(p, q), tolerance = 1e-9)
  for (l in list(law("gamma", shape = 2, rate = 3), law("dirichlet", alpha = c(1, 4, 2)),
    law("wishart", df = 6, scale = S))) {
    expect_equal(kl_divergence(l, l), 0)
  }
})

test_that("priors stand for their laws; logs are in any base", {
  expect_equal(kl_divergence(gamma_prior(2, 1), gamma_prior(3, 1)),
    kl_divergence(law("gamma", shape = 2, rate = 1), law("gamma", shape = 3, rate = 1)))
  expect_equal(entropy_of(normal_prior(1, 2)), entropy_of(law("normal", sd = 2)))
  expect_equal(entropy_of(normal_prior(0, cov = diag(2))), entropy_of(law("normal", sd = c(1, 1))))
  expect_equal(entropy_of(wishart_prior(3, diag(2))),
    entropy_of(law("wishart", df = 3, scale = diag(2))))
  expect_equal(entropy_of(gamma_prior(2, 1), 10), entropy_of(gamma_prior(2, 1)) / log(10))
})

test_that("a log density against a normal, both ways", {
  f <- function(x) dgamma(exp(x), 2, 1, log = TRUE) + x + 7 # any constant
  q <- law("normal", mean = 0.4, sd = 0.9)
  log_p <- function(x) f(x) - 7
  log_q <- function(x) dnorm(x, 0.4, 0.9, log = TRUE)
  expect_equal(kl_divergence(q, f), integrated_kl(log_q, log_p, -12, 12), tolerance = 1e-8)
  expect_equal(kl_divergence(f, q), integrated_kl(log_p, log_q, -30, 4), tolerance = 1e-8)
  expect_equal(entropy_of(f), -integrated_kl(log_p, function(x) 0 * x, -30, 4), tolerance = 1e-8)
  S <- matrix(c(2, 0.9, 0.9, 1), 2L)
  g <- function(X) -rowSums((X %*% solve(S)) * X) / 2
  flat <- law("normal", mean = c(1, 0), sd = c(1, 2))
  own <- law("normal", mean = c(0, 0), cov = S)
  expect_equal(kl_divergence(flat, g), kl_divergence(flat, own), tolerance = 1e-9)
  expect_equal(kl_divergence(g, flat), kl_divergence(own, flat), tolerance = 1e-9)
  expect_identical(kl_divergence(q, function(x) dunif(x, log = TRUE)), Inf)
})

test_that("what is wrong is said, with its name", {
  refuses <- function(expr, arg, kind = "control") {
    e <- tryCatch(expr, error = identity)
    expect_s3_class(e, paste0("meanfield_error_", kind))
    expect_identical(e$arg, arg)
  }
  refuses(kl_divergence(c(0.5, 0.4), c(0.5, 0.5)), "p")
  refuses(kl_divergence(c(0.5, 0.5), c(1.5, -0.5)), "q")
  refuses(kl_divergence(c(0.5, 0.5), c(0.5, 0.25, 0.25)), "q")
  refuses(kl_divergence(law("normal"), gamma_prior(1, 1)), "q")
  refuses(kl_divergence(law("normal"), half_t_prior(3, 1)), "q")
  refuses(kl_divergence("a", 1), "p")
  refuses(kl_divergence(1, NULL), "q")
  refuses(kl_divergence(1, 1, base = 1), "base")
  refuses(kl_divergence(1, 1, base = NA), "base")
  refuses(kl_divergence(identity, gamma_prior(1, 1)), "q")
  refuses(kl_divergence(identity, identity), "q")
  refuses(kl_divergence(law("normal", sd = c(1, 1, 1)), identity), "p")
  refuses(kl_divergence(function(x) dcauchy(x, log = TRUE), law("normal")), "log_density",
    "density")
  refuses(entropy_of(list()), "p")
  refuses(law(), "family")
  refuses(law("cauchy"), "family")
  refuses(law("gamma", shape = 1), "rate")
  refuses(law("gamma", 1, 2), "...")
  refuses(law("gamma", shape = 1, scale = 2), "...")
  refuses(law("gamma", shape = -1, rate = 2), "shape")
  refuses(law("beta", shape1 = 1, shape2 = NaN), "shape2")
  refuses(law("bernoulli", prob = 2), "prob")
  refuses(law("discrete", prob = c(0.2, 0.2)), "prob")
  refuses(law("discrete", prob = "a"), "prob")
  refuses(law("dirichlet", alpha = 1), "alpha")
  refuses(law("wishart", df = 1, scale = diag(2)), "df")
  refuses(law("wishart", df = 3, scale = matrix(1, 2L, 2L)), "scale")
  refuses(law("normal", mean = 1:2, cov = diag(3)), "mean")
  refuses(law("normal", mean = 1:3, sd = c(1, 2)), "sd")
  refuses(law("normal", sd = 1, cov = diag(2)), "cov")
  refuses(law("normal", cov = "a"), "cov")
  expect_output(print(law("dirichlet", alpha = c(1, 2))), "dirichlet(alpha (1, 2))", fixed = TRUE)
})

test_that("what is not accurate says so, and what is infinite is", {
  cut <- function(x) dunif(x, log = TRUE)
  expect_warning(h <- entropy_of(cut), class = "meanfield_warning_density")
  expect_equal(h, 0, tolerance = 1e-4)
  expect_warning(kl <- kl_divergence(cut, law("normal", mean = 0.3)),
    class = "meanfield_warning_density")
  expect_equal(kl, log(2 * pi) / 2 + (1 / 12 + 0.04) / 2, tolerance = 1e-4)
  step <- function(x) -x^2 / 2 - 3 * (x < 0)
  log_z <- log(sqrt(2 * pi) * (1 + exp(-3)) / 2)
  expect_warning(kl <- kl_divergence(law("normal", mean = 0.1), step),
    class = "meanfield_warning_density")
  expect_equal(kl, log_z - (1 + log(2 * pi)) / 2 + 1.01 / 2 + 3 * pnorm(-0.1), tolerance = 1e-4)
  expect_no_warning(expect_identical(kl_divergence(law("normal"), cut), Inf))
  expect_error(project_normal(step), "jumps", class = "meanfield_error_density")
  expect_error(project_normal(function(x) x + NaN), "no number", class = "meanfield_error_density")
  expect_error(kl_divergence(function(x) dcauchy(x, log = TRUE), law("normal")), "infinite",
    class = "meanfield_error_density")
})

test_that("scales whose squares are no numbers are refused", {
  for (sd in c(1e-170, 1e-300, 1e160)) {
    expect_error(law("normal", sd = sd), "sd", class = "meanfield_error_control")
  }
  far <- kl_divergence(law("normal", sd = 1e-150), law("normal", sd = 1e150))
  expect_equal(far, 300 * log(10) - 0.5)
})
