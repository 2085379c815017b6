# Models of other packages as targets: the same density, with the signs and Jacobians right.



# A list as MakeADFun() makes it, without TMB.
mock_tmb <- function(random = NULL) {
  f <- function(x) sum((x - c(1, 2, 3, 4))^2) / 2 + x[1] * x[4]
  list(par = c(b = .1, s = 2, b = .3, a = .4), fn = function(x) f(x),
    gr = function(x) matrix(x - c(1, 2, 3, 4) + c(x[4], 0, 0, x[1]), 1),
    env = list2env(list(random = random)))
}

test_that("an object of fn, gr, par and env is one of TMB, with its sign turned", {
  t <- as_target(mock_tmb(), constraints = list(s = positive()),
    generated = function(p) list(sum = p$b[1] + p$a))
  expect_identical(variable_table(t)$variable, c("b[1]", "b[2]", "s", "a", "sum"))
  at <- evaluator(t)(c(.1, .3, log(2), .4))
  expect_equal(at$lp, -mock_tmb()$fn(unname(mock_tmb()$par)) + log(2))
  g <- -c(mock_tmb()$gr(mock_tmb()$par))
  expect_equal(c(at$gradient), c(g[1], g[3], g[2] * 2 + 1, g[4]))
  expect_output(print(t), "of the TMB object")
  expect_output(print(as_target(mock_tmb(1:3))), "3 random effects integrated by TMB")
  expect_equal(as_target(mock_tmb(), init = c(b = 1, s = 2, b = 3, a = 4))$init, c(1, 3, 2, 4))
  expect_error(as_target(mock_tmb(), init = 1), class = "meanfield_error_init")
})

test_that("what is no model is refused", {
  expect_error(as_target(3), "target()", class = "meanfield_error_target")
  expect_error(as_target(list(par = 1)), class = "meanfield_error_target")
  expect_error(as_target(mock_tmb(), nonsense = 1), class = "meanfield_error_control")
  t <- target(function(p) -p$x^2, list(x = 1))
  expect_identical(as_target(t), t)
})

# A CmdStanR fit as far as is needed: x > 0 with log density -x, u = log x; y = 2 x generated.
mock_cmdstan <- function(old = FALSE) {
  lp <- function(u, jacobian) -exp(u) + if (jacobian) u else 0
  gr <- function(u, jacobian) structure(-exp(u) + jacobian, log_prob = lp(u, jacobian))
  fit <- list2env(list(
    log_prob = if (old) function(unconstrained_variables, jacobian_adjustment = FALSE) {
      lp(unconstrained_variables, jacobian_adjustment)
    } else function(unconstrained_variables, jacobian = FALSE) lp(unconstrained_variables, jacobian),
    grad_log_prob = if (old) function(unconstrained_variables, jacobian_adjustment = FALSE) {
      gr(unconstrained_variables, jacobian_adjustment)
    } else function(unconstrained_variables, jacobian = FALSE) gr(unconstrained_variables, jacobian),
    constrain_variables = function(unconstrained_variables, ...) {
      list(y = 2 * exp(unconstrained_variables), x = exp(unconstrained_variables))
    },
    unconstrain_variables = function(variables) log(variables$x),
    variable_skeleton = function(transformed_parameters = TRUE, generated_quantities = TRUE) {
      if (generated_quantities) list(x = 0, y = 0) else list(x = 0)
    }
  ))
  structure(fit, class = c("CmdStanMCMC", "CmdStanFit", "R6"))
}

test_that("a CmdStanR fit is evaluated by its own methods, with the Jacobian", {
  for (old in c(FALSE, TRUE)) {
    t <- as_target(mock_cmdstan(old), init = list(x = 2))
    v <- variable_table(t)
    expect_identical(v$variable, c("x", "y"))
    expect_identical(v$kind, c("parameter", "generated"))
    at <- evaluator(t)(matrix(c(0, 1), 1))
    expect_equal(at$lp, c(-1, 1 - exp(1)))
    expect_equal(c(at$gradient), c(0, 1 - exp(1)))
    values <- target_values(t, matrix(c(0, 1), 1))
    expect_equal(values, rbind(x = exp(0:1), y = 2 * exp(0:1)))
    expect_equal(unconstrain(t, list(x = 3)), log(3))
    expect_output(print(t), "constrained by the model itself")
  }
  expect_error(as_target(mock_cmdstan()), "init_model_methods", class = "meanfield_error_target")
})

tmb_code <- "#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() ()
{
  DATA_VECTOR(y);
  PARAMETER_VECTOR(mu);
  PARAMETER(log_sigma);
  PARAMETER_VECTOR(u);
  Type sigma = exp(log_sigma);
  Type nll = -dnorm(mu, Type(0), Type(10), true).sum() - dnorm(u, Type(0), Type(1), true).sum();
  nll += sigma - log_sigma;
  for (int i = 0; i < y.size(); i++)
    nll -= dnorm(y(i), mu(i % 2) + u(i % 3), sigma, true);
  return nll;
}
"

test_that("a model of TMB is the same target as in R", {
  skip_on_cran()
  skip_if_not_installed("TMB")
  dir <- withr::local_tempdir()
  withr::local_envvar(MAKEFLAGS = "-s")
  withr::local_dir(dir)
  writeLines(tmb_code, "meanfield_tmb.cpp")
  done <- tryCatch(TMB::compile("meanfield_tmb.cpp", flags = "-O0 -w"), error = function(e) NULL)
  skip_if(is.null(done), "TMB cannot compile here")
  dyn.load(TMB::dynlib("meanfield_tmb"))
  y <- c(1.2, -.4, 2.2, .3, .7, 1.9)
  make <- function(random) {
    TMB::MakeADFun(list(y = y), list(mu = c(0, 1), log_sigma = .2, u = c(.1, 0, -.1)),
      random = random, DLL = "meanfield_tmb")
  }
  t <- as_target(make(NULL), generated = function(p) list(sigma = exp(p$log_sigma)))
  log_density <- function(p) {
    at <- p$mu[c(1, 2, 1, 2, 1, 2)] + p$u[c(1, 2, 3, 1, 2, 3)]
    sum(dnorm(y, at, exp(p$log_sigma), log = TRUE)) + sum(dnorm(p$u, log = TRUE)) +
      sum(dnorm(p$mu, 0, 10, log = TRUE)) - exp(p$log_sigma) + p$log_sigma
  }
  own <- target(log_density, list(mu = c(0, 1), log_sigma = .2, u = c(.1, 0, -.1)), "differences")
  Z <- matrix(sin(1:18), 6)
  expect_equal(evaluator(t)(Z), evaluator(own)(Z), tolerance = 1e-7)
  expect_identical(variable_table(t)$variable[c(1, 3, 7)], c("mu[1]", "log_sigma", "sigma"))
  # random effects are gone, and integrated exactly here: the model is normal in them
  laplace <- as_target(make("u"))
  expect_silent(evaluator(laplace)(c(.3, .5, .2)))
  expect_identical(laplace$d, 3L)
  expect_output(print(laplace), "3 random effects")
  p <- list(mu = c(.3, .5), log_sigma = .1)
  C <- diag(exp(.2), 6) + outer(rep(1:3, 2), rep(1:3, 2), "==")
  r <- y - p$mu[c(1, 2, 1, 2, 1, 2)]
  exact <- -sum(r * solve(C, r)) / 2 - log(det(2 * pi * C)) / 2 +
    sum(dnorm(p$mu, 0, 10, log = TRUE)) - exp(.1) + .1
  expect_equal(evaluator(laplace)(c(.3, .5, .1), FALSE)$lp, exact, tolerance = 1e-8)
})

stan_code <- "
data { int N; real y[N]; }
parameters { vector[2] mu; real<lower=0> sigma; simplex[3] w; }
transformed parameters { real both = mu[1] + mu[2]; }
model { mu ~ normal(0, 2); sigma ~ exponential(1); y ~ normal(mu[1] + w[2], sigma);
  w ~ dirichlet([2, 3, 4]'); }
generated quantities { matrix[2, 2] S; S = sigma * rep_matrix(1, 2, 2); }
"

test_that("a model of rstan is the same target as in R", {
  skip_below_level(3)
  skip_if_not_installed("rstan")
  model <- tryCatch(suppressMessages(rstan::stan_model(model_code = stan_code,
    boost_lib = if (dir.exists("/usr/include/boost")) "/usr/include")), error = function(e) NULL)
  skip_if(is.null(model), "rstan cannot compile here")
  y <- c(1.2, -.4, 2.2, .3, .7, 1.9)
  t <- as_target(model, data = list(N = 6, y = y))
  expect_identical(t$d, 5L)
  v <- variable_table(t)
  expect_identical(v$variable, c("mu[1]", "mu[2]", "sigma", "w[1]", "w[2]", "w[3]", "both",
    "S[1,1]", "S[2,1]", "S[1,2]", "S[2,2]"))
  expect_identical(v$kind, rep(c("parameter", "generated"), c(6, 5)))
  own <- target(function(p) {
    sum(dnorm(p$mu, 0, 2, log = TRUE)) - p$sigma + sum(dnorm(y, p$mu[1] + p$w[2], p$sigma, TRUE)) +
      sum((1:3) * log(p$w))
  }, list(mu = c(0, 0), sigma = 1, w = c(.3, .3, .4)), "differences",
  list(sigma = positive(), w = simplex()))
  Z <- matrix(sin(1:15), 5)
  a <- evaluator(t)(Z)
  b <- evaluator(own)(Z)
  expect_equal(a$gradient, b$gradient, tolerance = 1e-6)
  expect_equal(diff(a$lp), diff(b$lp), tolerance = 1e-9)
  expect_equal(target_values(t, Z)[1:6, ], target_values(own, Z),
    tolerance = 1e-9)
  start <- list(mu = c(1, 2), sigma = 3, w = c(.2, .3, .5))
  expect_equal(as_target(model, data = list(N = 6, y = y), init = start)$init,
    unconstrain(own, start), tolerance = 1e-9)
})

# The influenza model of helper-target-evaluators.R, in the logarithms of its parameters.
sir_code <- "#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() ()
{
  DATA_VECTOR(y);
  PARAMETER(log_beta); PARAMETER(log_gamma); PARAMETER(log_phi_inv);
  Type b = exp(log_beta), g = exp(log_gamma), inv = exp(log_phi_inv), S = 762, I = 1, h = .05;
  Type nll = -dnorm(b, Type(2), Type(1), true) - dnorm(g, Type(.4), Type(.5), true) -
    (log(Type(5)) - 5 * inv) - log_beta - log_gamma - log_phi_inv;
  nll += Type(log(0.977249868051821)) + Type(log(0.788144601416603));
  for (int t = 0; t < y.size(); t++) {
    for (int k = 0; k < 20; k++) {
      Type s = S, i = I, dS = 0, dI = 0;
      for (int stage = 0; stage < 4; stage++) {
        Type a = b * s * i / 763, c = a - g * i, w = stage == 1 || stage == 2 ? 2. : 1.;
        dS -= w * a; dI += w * c;
        Type step = stage == 2 ? h : h / 2;
        s = S - step * a; i = I + step * c;
      }
      S += h / 6 * dS; I += h / 6 * dI;
    }
    nll -= dnbinom2(y(t), I, I + I * I * inv, true);
  }
  return nll;
}
"

test_that("the influenza model through TMB has the posterior of the paper", {
  skip_below_level(3)
  skip_if_not_installed("TMB")
  withr::local_envvar(MAKEFLAGS = "-s")
  withr::local_dir(withr::local_tempdir())
  writeLines(sir_code, "meanfield_sir.cpp")
  done <- tryCatch(TMB::compile("meanfield_sir.cpp", flags = "-O1 -w"), error = function(e) NULL)
  skip_if(is.null(done), "TMB cannot compile here")
  dyn.load(TMB::dynlib("meanfield_sir"))
  y <- c(3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4)
  object <- TMB::MakeADFun(list(y = y),
    list(log_beta = log(2), log_gamma = log(.5), log_phi_inv = log(.1)), DLL = "meanfield_sir",
    silent = TRUE)
  t <- as_target(object, generated = function(p) {
    c(list(beta = exp(p$log_beta), gamma = exp(p$log_gamma), phi_inv = exp(p$log_phi_inv)),
      list(T = exp(-p$log_gamma), R0 = exp(p$log_beta - p$log_gamma)))
  })
  # a lattice of 1.5 million points, twice; see the vignette "any-model"
  mean <- c(beta = 1.73493, gamma = .54197, phi_inv = .13749, T = 1.85811, R0 = 3.22242)
  sd <- c(.05285, .04537, .07483, .15657, .27596)
  off <- function(fit) {
    s <- summary(fit)[match(names(mean), summary(fit)$variable), ]
    c(max(abs(s$mean - mean) / sd), max(abs(s$sd / sd - 1)))
  }
  fit <- fit_vb(t)
  expect_identical(fit$flags, character())
  expect_lt(off(fit)[1L], .01)
  expect_lt(off(fit)[2L], .015)
  exact <- fit_exact(fit)
  expect_lt(max(off(exact)), 2e-4) # five digits are printed of the truth
  expect_lt(abs(exact$log_evidence + 67.23975), 1e-3)
})
