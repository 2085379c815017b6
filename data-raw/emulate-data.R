# Twenty models whose variances the data hardly determine: few groups, variances at zero, slopes of
# covariates that are not centred, covariances of two and three effects, crossed, nested and
# unbalanced designs. weak_case(name) is list(formula, data, family, d), d the number of variance
# parameters (dispersions included). Data of datasets, lme4, MASS and nlme, and simulations with
# fixed seeds; emulate-truth.R has their posteriors under the default priors.

weak_dims <- c(
  morley = 3, genotype = 2, CO2 = 4, Pixel = 5, zero = 2, unbalanced = 2, nested = 3,
  uncentred = 4, no_slope = 4, crossed_slope = 5, two_crossed = 6, three_by_three = 7,
  binomial_zero = 1, binomial_slope = 3, binomial_two_slopes = 6,
  sprays = 2, poisson_nested = 2, poisson_slope = 3, arabidopsis = 3, nb_slope = 4
)

weak_names <- names(weak_dims)

# The variables of a summary that are compared.
judged <- "^(beta|log_tau|log_sigma|sigma|rho|log_phi)"

fresh_seed <- function(seed) {
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
}

counts <- function(eta) stats::qpois(stats::runif(length(eta)), exp(eta))
coins <- function(eta) stats::qbinom(stats::runif(length(eta)), 1, stats::plogis(eta))

# The contribution to eta of independent effects of the columns of z (1: an intercept) in the
# groups g.
effects_of <- function(g, z, sd) {
  z <- matrix(z, length(g), length(sd))
  u <- matrix(stats::rnorm(max(g) * ncol(z)), max(g)) %*% diag(sd, ncol(z))
  rowSums(u[g, , drop = FALSE] * z)
}

# ---- simulations -------------------------------------------------------------------

# 12 groups of 5 that do not differ
sim_zero <- function() {
  g <- rep(1:12, each = 5)
  x <- stats::rnorm(60)
  data.frame(y = 1 + 0.5 * x + stats::rnorm(60), x, g)
}

# 14 groups, half of them of one row, the largest of 12
sim_unbalanced <- function() {
  g <- rep(1:14, c(rep(1, 7), 2, 2, 3, 4, 6, 9, 12))
  x <- stats::rnorm(length(g))
  data.frame(y = 1 + 0.5 * x + effects_of(g, 1, 0.4) + stats::rnorm(length(g)), x, g)
}

# 5 areas of 3 sites of 4 rows; areas do not differ
sim_nested <- function() {
  a <- rep(1:5, each = 12)
  b <- rep(1:15, each = 4)
  data.frame(y = 2 + effects_of(b, 1, 0.5) + stats::rnorm(60), a, b)
}

# 10 groups of 6, the covariate twenty of its SDs from zero
sim_uncentred <- function() {
  g <- rep(1:10, each = 6)
  x <- 20 + stats::rnorm(60)
  data.frame(y = 0.5 * x + effects_of(g, cbind(1, x - 20), c(0.8, 0.3)) + stats::rnorm(60), x, g)
}

# 8 groups of 4 to 12 with equal slopes
sim_no_slope <- function() {
  g <- rep(1:8, c(4, 4, 5, 6, 7, 8, 10, 12))
  x <- stats::rnorm(length(g))
  data.frame(y = 1 + 0.5 * x + effects_of(g, 1, 0.7) + stats::rnorm(length(g)), x, g)
}

# 15 groups of 12 with slopes, crossed with 10 levels of h, and 8 of k that do not differ
sim_crossed <- function() {
  g <- rep(1:15, each = 12)
  h <- rep_len(1:10, 180)
  k <- sample.int(8, 180, TRUE)
  x <- stats::rnorm(180)
  y <- 1 + 0.5 * x + effects_of(g, cbind(1, x), c(1, 0.3)) + effects_of(h, 1, 0.3) +
    stats::rnorm(180)
  data.frame(y, x, g, h, k)
}

# groups of n rows with an intercept and two slopes, of SDs sd
sim_two_slopes <- function(groups, n, sd, response) {
  g <- rep(seq_len(groups), each = n)
  x <- stats::rnorm(groups * n)
  z <- stats::rnorm(groups * n)
  eta <- -0.3 + 0.5 * x - 0.3 * z + effects_of(g, cbind(1, x, z), sd)
  data.frame(y = response(eta), x, z, g)
}

# 10 groups of 8 Bernoulli rows that do not differ
sim_binomial_zero <- function() {
  x <- stats::rnorm(80)
  data.frame(y = coins(0.3 + 0.5 * x), x, g = rep(1:10, each = 8))
}

# `groups` of 10 times, 0 to 9, with small slopes in time: the intercept is at the end of it
sim_times <- function(groups, response, at = 0) {
  g <- rep(seq_len(groups), each = 10)
  x <- rep(0:9, groups)
  eta <- at + 0.1 * x + effects_of(g, cbind(1, x), c(0.7, 0.05))
  data.frame(y = response(eta), x, g)
}

# 5 areas of 3 sites of 4 counts; sites do not differ
sim_poisson_nested <- function() {
  a <- rep(1:5, each = 12)
  data.frame(y = counts(0.5 + effects_of(a, 1, 0.5)), a, b = rep(1:15, each = 4))
}

negative_counts <- function(eta) {
  stats::qnbinom(stats::runif(length(eta)), size = 2, mu = exp(eta))
}

# ---- cases -------------------------------------------------------------------------

weak_case <- function(name) {
  fresh_seed(100 + match(name, weak_names))
  case <- function(formula, data, family = stats::gaussian()) {
    list(formula = formula, data = data, family = family, d = weak_dims[[name]])
  }
  switch(name,
    morley = case(Speed ~ 1 + (1 | Expt) + (1 | Run), datasets::morley),
    genotype = case(Wt ~ Litter + (1 | Mother), MASS::genotype),
    CO2 = case(uptake ~ conc + Type * Treatment + (conc | Plant), as.data.frame(datasets::CO2)),
    Pixel = case(pixel ~ day + I(day^2) + (day | Dog) + (1 | Dog:Side), as.data.frame(nlme::Pixel)),
    zero = case(y ~ x + (1 | g), sim_zero()),
    unbalanced = case(y ~ x + (1 | g), sim_unbalanced()),
    nested = case(y ~ 1 + (1 | a) + (1 | b), sim_nested()),
    uncentred = case(y ~ x + (x | g), sim_uncentred()),
    no_slope = case(y ~ x + (x | g), sim_no_slope()),
    crossed_slope = case(y ~ x + (x | g) + (1 | h), sim_crossed()),
    two_crossed = case(y ~ x + (x | g) + (1 | h) + (1 | k), sim_crossed()),
    three_by_three = case(y ~ x + z + (x + z | g),
      sim_two_slopes(20, 10, c(0.6, 0.3, 0), function(eta) eta + stats::rnorm(length(eta)))),
    binomial_zero = case(y ~ x + (1 | g), sim_binomial_zero(), stats::binomial()),
    binomial_slope = case(y ~ x + (x | g), sim_times(15, coins), stats::binomial()),
    binomial_two_slopes = case(y ~ x + z + (x + z | g),
      sim_two_slopes(40, 15, c(0.6, 0.6, 0.6), coins), stats::binomial()),
    sprays = case(count ~ 1 + (1 | spray) + (1 | row),
      transform(datasets::InsectSprays, row = seq_along(count)), stats::poisson()),
    poisson_nested = case(y ~ 1 + (1 | a) + (1 | b), sim_poisson_nested(), stats::poisson()),
    poisson_slope = case(y ~ x + (x | g), sim_times(10, counts), stats::poisson()),
    arabidopsis = case(total.fruits ~ nutrient + status + (1 | reg) + (1 | popu),
      subset(lme4::Arabidopsis, amd == "unclipped" & rack == 2), meanfield::neg_binomial()),
    nb_slope = case(y ~ x + (x | g), sim_times(12, negative_counts, 0.5),
      meanfield::neg_binomial()),
    stop("no weak case \"", name, "\"")
  )
}
