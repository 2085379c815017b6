# The models of the truth table of generalised mixed models (glmm-truth.R): glmm_case(name) is
# list(formula, data, family), glmm_prior(name) a prior. Real data from lme4, MASS and mlmRev;
# simulations with one intercept, one standard normal covariate and groups of equal size.

glmm_designs <- list( # rows, groups, trials, coefficients, SD of u
  L1 = list(n = 500, groups = 30, trials = 1, beta = c(0.5, 1), sd = 1),
  L2 = list(n = 500, groups = 30, trials = 1, beta = c(0.5, 1), sd = 2.5),
  L3 = list(n = 500, groups = 100, trials = 1, beta = c(0, 0.7), sd = 1),
  L4 = list(n = 500, groups = 30, trials = 1, beta = c(-2.5, 0.7), sd = 1),
  L5 = list(n = 500, groups = 30, trials = 10, beta = c(0, 0.7), sd = 0.5),
  P1 = list(n = 500, groups = 30, beta = c(0, 0.5), sd = 0.5),
  P2 = list(n = 500, groups = 30, beta = c(2, 0.5), sd = 1),
  P3 = list(n = 500, groups = 100, beta = c(-1, 0.5), sd = 1)
)

# correlated intercepts and slopes; half-t priors only
glmm_slopes <- c("contraception_slopes", "S1", "S2")

glmm_names <- c("cbpp", "bacteria", "contraception", "epil", "VerbAgg", "grouseticks",
  names(glmm_designs), glmm_slopes)

glmm_priors <- function(name) if (name %in% glmm_slopes) "half_t" else c("gamma", "half_t")

# 40 groups of 12: S1 Bernoulli, S2 Poisson
glmm_slope_simulation <- function(name) {
  set.seed(4, kind = "Mersenne-Twister", normal.kind = "Inversion")
  g <- rep(seq_len(40), each = 12)
  x <- stats::rnorm(480)
  u <- matrix(stats::rnorm(80), 40) %*% chol(matrix(c(.6, .2, .2, .3), 2))
  eta <- .3 + .4 * x + u[g, 1] + u[g, 2] * x
  p <- stats::runif(480)
  y <- if (name == "S1") stats::qbinom(p, 1, stats::plogis(eta)) else stats::qpois(p, exp(eta))
  list(formula = y ~ x + (x | g), data = data.frame(y, x, g),
    family = if (name == "S1") stats::binomial() else stats::poisson())
}

glmm_simulation <- function(name) {
  d <- glmm_designs[[name]]
  set.seed(match(name, names(glmm_designs)), kind = "Mersenne-Twister", normal.kind = "Inversion")
  g <- factor(rep_len(seq_len(d$groups), d$n))
  x <- stats::rnorm(d$n)
  eta <- d$beta[1L] + d$beta[2L] * x + stats::rnorm(d$groups, 0, d$sd)[g]
  if (is.null(d$trials)) {
    data <- data.frame(y = stats::qpois(stats::runif(d$n), exp(eta)), x = x, g = g)
    return(list(formula = y ~ x + (1 | g), data = data, family = stats::poisson()))
  }
  y <- stats::qbinom(stats::runif(d$n), d$trials, stats::plogis(eta))
  list(formula = cbind(y, fail) ~ x + (1 | g),
    data = data.frame(y = y, fail = d$trials - y, x = x, g = g), family = stats::binomial())
}

glmm_case <- function(name) {
  real <- function(formula, data, family) list(formula = formula, data = data, family = family)
  switch(name,
    cbpp = real(cbind(incidence, size - incidence) ~ period + (1 | herd), lme4::cbpp,
      stats::binomial()),
    bacteria = real(y ~ trt + I(week > 2) + (1 | ID), MASS::bacteria, stats::binomial()),
    contraception = real(use ~ age + I(age^2) + urban + livch + (1 | district),
      local({
        utils::data("Contraception", package = "mlmRev", envir = environment())
        Contraception
      }), stats::binomial()),
    contraception_slopes = local({
      case <- glmm_case("contraception")
      case$formula <- use ~ age + I(age^2) + urban + livch + (1 + urban | district)
      case
    }),
    S1 = ,
    S2 = glmm_slope_simulation(name),
    epil = real(y ~ lbase * trt + lage + V4 + (1 | subject), MASS::epil, stats::poisson()),
    VerbAgg = real(r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item), lme4::VerbAgg,
      stats::binomial()),
    grouseticks = real(TICKS ~ YEAR + height + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION),
      transform(lme4::grouseticks, height = as.double(scale(HEIGHT))), stats::poisson()),
    glmm_simulation(name)
  )
}

glmm_prior <- function(name) {
  meanfield::priors(meanfield::normal_prior(0, 10), tau_u = switch(name,
    gamma = meanfield::gamma_prior(1, 1), half_t = meanfield::half_t_prior(3, 2.5)))
}
