# How long does exact integration take, against the sampler that it replaces and against the plain
# variational fit? The default fit beside both.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

library(meanfield)

prior <- priors(
  beta = normal_prior(0, 10), tau_e = gamma_prior(.01, .01), tau_u = gamma_prior(.01, .01)
)
set.seed(100)
X <- cbind(1, matrix(rnorm(900), 300))
g <- rep(1:100, length.out = 300)
y <- drop(X %*% c(1, .5, 0, -.5)) + rnorm(100)[g] + rnorm(300)
d <- data.frame(y, x1 = X[, 2], x2 = X[, 3], x3 = X[, 4], g)

time <- compare(list(
  exact = function() fit_exact(y ~ x1 + x2 + x3 + (1 | g), d, prior = prior),
  default = function() fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = prior),
  plain = function() fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = prior, integrate = "no"),
  gibbs = function() {
    fit_gibbs(y ~ x1 + x2 + x3 + (1 | g), d, prior = prior, chains = 1, iter = 10500, warmup = 500)
  }
), rounds = 31L)
at_most("fit_exact, 300 rows, 100 groups, p = 4, from the formula", "20 ms", time["exact"], .02, 1)
fit <- fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = prior)
same <- compare(list(
  exact = function() fit_exact(fit),
  gibbs = function() fit_gibbs(fit, chains = 1, iter = 10500, warmup = 500)
), rounds = 31L)
faster("fit_exact, the same, from a fit", "our 10,000 sweeps of Gibbs from the fit", same["exact"],
  same["gibbs"], 5)
faster("fit_exact, the same, from the formula", "our 10,000 sweeps of Gibbs from the formula",
  time["exact"], time["gibbs"], 5)
note("default fit (integrated), the same", "integrate = \"no\"", duration(time["default"]),
  duration(time["plain"]), times(time["default"] / time["plain"]))

work <- "fit_exact with 1,000 draws, sleepstudy with slopes (4 precision parameters)"
if (has("lme4")) {
  study <- lme4::sleepstudy
  time <- compare(list(
    exact = function() as_draws(fit_exact(Reaction ~ Days + (Days | Subject), study), 1000),
    default = function() fit_vb(Reaction ~ Days + (Days | Subject), study),
    plain = function() fit_vb(Reaction ~ Days + (Days | Subject), study, integrate = "no"),
    lmer = function() lme4::lmer(Reaction ~ Days + (Days | Subject), study)
  ), rounds = 11L)
  at_most(work, "0.5 s", time["exact"], .5, 1)
  note("default fit (integrated), sleepstudy with slopes", "integrate = \"no\"",
    duration(time["default"]), duration(time["plain"]), times(time["default"] / time["plain"]))
  note("default fit (integrated), sleepstudy with slopes", "lmer", duration(time["default"]),
    duration(time["lmer"]), times(time["lmer"] / time["default"]))
} else {
  not_installed(work, "lme4")
}

finish()
