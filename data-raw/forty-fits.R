# Numbers of many small fits, to show that a change of the code changes none of them.
#   Rscript data-raw/forty-fits.R write FILE.csv     fit, and write the numbers
#   Rscript data-raw/forty-fits.R compare FILE.csv   fit again, and compare with what was written
# The package is the one that library() finds (R_LIBS chooses another). Set OPENBLAS_NUM_THREADS=1
# both times: threads change the last digits. Rows are fit, kind, variable, value; a number has 17
# significant digits; a warning or refusal is a row too, with its class. compare prints the worst
# |a - b| / (1 + |b|) of each fit and kind that differs (and the worst |a - b| / |b|, which is no
# matter of the verdict), and ends with status 1 when one is above 1e-9, a text differs or a row is
# there on one side only. Only what is exported is called, and elements of a fit are read only where
# the documentation has them.
library(meanfield)
suppressWarnings(RNGkind("Mersenne-Twister", "Inversion", "Rejection"))
options(warn = 1, digits = 7, width = 100)
TOLERANCE <- 1e-9
have_lme4 <- requireNamespace("lme4", quietly = TRUE)

# ---- data ----------------------------------------------------------------------------------------

from_lme4 <- function(name) {
  if (!have_lme4) return(NULL)
  e <- new.env()
  utils::data(list = name, package = "lme4", envir = e)
  e[[name]]
}
sleep <- from_lme4("sleepstudy")
cbpp <- from_lme4("cbpp")
ticks <- from_lme4("grouseticks")
verb <- from_lme4("VerbAgg")
inst <- from_lme4("InstEval")
penicillin <- from_lme4("Penicillin")
pastes <- from_lme4("Pastes")
dyestuff2 <- from_lme4("Dyestuff2")
cake <- from_lme4("cake")
if (have_lme4) {
  verb <- verb[as.integer(verb$id) %% 8L == 0L, ]
  verb$id <- factor(verb$id)
  inst <- inst[seq(1, nrow(inst), length.out = 900), ]
  cbpp$share <- cbpp$incidence / cbpp$size
}
chicks <- as.data.frame(ChickWeight)
chicks$Chick <- factor(chicks$Chick, ordered = FALSE)

set.seed(20240)
sim <- local({
  n <- 240
  d <- data.frame(x = rnorm(n, 1), z = runif(n), f = factor(rep(c("a", "b", "c"), n / 3)),
    g = gl(12, 20, labels = LETTERS[1:12]), h = factor(rep(1:8, length.out = n)),
    k = factor(sample(15, n, TRUE)), w = sample(c(0, 1, 2, 3.5), n, TRUE), trials = sample(2:9, n,
      TRUE),
    time = runif(n, .5, 4), row = factor(seq_len(n)))
  d$s <- factor(rep(rep(1:4, each = 5), 12)) # nested in g
  slope <- rnorm(12, 0, .4)
  eta <- .2 + .5 * d$x - .4 * (d$f == "b") + rnorm(12, 0, .6)[d$g] + slope[d$g] * d$x +
    rnorm(8, 0, .3)[d$h] + rnorm(15, 0, .3)[d$k]
  d$y <- 2 * eta + rnorm(n)
  d$hit <- rbinom(n, 1, plogis(eta))
  d$won <- rbinom(n, d$trials, plogis(eta))
  d$lost <- d$trials - d$won
  d$share <- d$won / d$trials
  d$count <- rpois(n, d$time * exp(eta / 2))
  d$spread <- rnbinom(n, mu = exp(eta / 2 + .5), size = 2)
  d
})
apart <- data.frame(y = rep(0:1, each = 12), x = c(seq(-2, -.1, length.out = 12),
  seq(.1, 2, length.out = 12)), g = gl(6, 4))
sparse <- local({
  n <- 500
  d <- data.frame(a = factor(sample(150, n, TRUE)), b = factor(sample(120, n, TRUE)), x = rnorm(n))
  eta <- .4 * d$x + rnorm(150, 0, .5)[d$a] + rnorm(120, 0, .5)[d$b]
  d$y <- eta + rnorm(n)
  d$count <- rpois(n, exp(eta))
  d
})
air <- transform(airquality, Month = factor(Month))

# ---- fits ----------------------------------------------------------------------------------------

# data: the rows that predict() is given (the first ones, and once more with levels not seen).
entry <- function(fit, data = NULL, lme4 = FALSE) {
  list(fit = substitute(fit), data = substitute(data), lme4 = lme4)
}

fits <- list(
  # Gaussian, variational
  lm = entry(fit_vb(mpg ~ wt + factor(cyl), mtcars), mtcars),
  lm_flat = entry(fit_vb(breaks ~ wool * tension, warpbreaks, prior = priors(beta = flat_prior(),
    tau_e = gamma_prior(.01, .01)), integrate = "no"), warpbreaks),
  lm_poly_offset = entry(fit_vb(dist ~ poly(speed, 2) + offset(speed / 2), cars), cars),
  lm_cov_prior = entry(fit_vb(len ~ supp + dose, ToothGrowth, prior = priors(beta = normal_prior(
    c(10, 0, 5), cov = matrix(c(50, 3, 1, 3, 20, 0, 1, 0, 9), 3)), tau_e = half_t_prior(4, 5))),
      ToothGrowth),
  radon = entry(fit_vb(log_radon ~ floor + log_uranium + (1 | county), radon), radon),
  radon_no = entry(fit_vb(log_radon ~ floor + (1 | county), radon, integrate = "no"), radon),
  radon_separate = entry(fit_vb(log_radon ~ floor + (1 | county), radon, blocks = "separate",
    integrate = "no"), radon),
  radon_separate_slopes = entry(fit_vb(log_radon ~ floor + (floor | county), radon,
    blocks = "separate", integrate = "no", control = vb_control(newton = FALSE)), radon),
  radon_gamma = entry(fit_vb(log_radon ~ 0 + floor + log_uranium + (1 | county), radon,
    prior = priors(normal_prior(0, sqrt(10)), gamma_prior(2, 2), gamma_prior(2, 2))), radon),
  radon_independent = entry(fit_vb(log_radon ~ floor + (floor || county), radon,
    integrate = "yes", prior = priors(tau_u = list("county:(Intercept)" = gamma_prior(1, .1),
      "county:floor" = half_t_prior(2, 1)))), radon),
  sleep_slopes = entry(fit_vb(Reaction ~ Days + (Days | Subject), sleep), sleep, TRUE),
  sleep_slopes_no = entry(fit_vb(Reaction ~ Days + (Days | Subject), sleep, integrate = "no"),
    sleep, TRUE),
  sleep_uncorrelated = entry(fit_vb(Reaction ~ Days + (Days || Subject), sleep), sleep, TRUE),
  sleep_wishart = entry(fit_vb(Reaction ~ Days + (Days | Subject), sleep, prior = priors(
    beta = normal_prior(c("(Intercept)" = 250), c("(Intercept)" = 50)), tau_e = gamma_prior(1, 400),
    tau_u = wishart_prior(4, diag(c(.001, .02))))), sleep, TRUE),
  sleep_half_t = entry(fit_vb(Reaction ~ Days + (Days | Subject), sleep, integrate = "yes",
    prior = priors(tau_u = list(Subject = half_t_prior(3, c(40, 10))))), sleep, TRUE),
  crossed = entry(fit_vb(diameter ~ 1 + (1 | plate) + (1 | sample), penicillin), penicillin, TRUE),
  nested = entry(fit_vb(strength ~ 1 + (1 | batch / cask), pastes), pastes, TRUE),
  near_zero = entry(fit_vb(Yield ~ 1 + (1 | Batch), dyestuff2), dyestuff2, TRUE),
  near_zero_no = entry(fit_vb(Yield ~ 1 + (1 | Batch), dyestuff2, integrate = "no"), dyestuff2,
    TRUE),
  cake = entry(fit_vb(angle ~ recipe * temp + (1 | recipe:replicate), cake), cake, TRUE),
  sparse_crossed = entry(fit_vb(y ~ service + (1 | s) + (1 | d), inst), inst, TRUE),
  sparse_crossed_no = entry(fit_vb(y ~ x + (1 | a) + (1 | b), sparse, integrate = "no"), sparse),
  three_terms = entry(fit_vb(y ~ x + f + (1 | g) + (1 | h) + (1 | k), sim), sim),
  crossed_slopes = entry(fit_vb(y ~ x + (x | g) + (1 | h), sim), sim),
  factor_vector = entry(fit_vb(y ~ x + f + (f | g), sim, integrate = "no"), sim),
  factor_nested = entry(fit_vb(y ~ x * f + (0 + x | g) + (1 | g:s), sim,
    contrasts = list(f = "contr.sum")), sim),
  weights_offset = entry(fit_vb(y ~ x + offset(z) + (1 | g), sim, weights = w), sim),
  subset = entry(fit_vb(y ~ x + (x | g), sim, subset = g %in% c("A", "B", "C", "D"),
    integrate = "yes"),
    sim[sim$g %in% c("A", "B"), ]),
  missing_rows = entry(fit_vb(Ozone ~ Wind + Temp + (1 | Month), air, na.action = na.exclude), air),
  growth = entry(fit_vb(weight ~ poly(Time, 2) + Diet + (Time | Chick), chicks), chicks),
  polynomial_vector = entry(fit_vb(weight ~ Time + (poly(Time, 2) | Chick), chicks,
    integrate = "no"), chicks),
  splines = entry(fit_vb(y ~ splines::ns(x, 3) + (1 | g) + (0 + z | h), sim), sim),
  # Gaussian, exact
  exact_lm = entry(fit_exact(mpg ~ wt + hp, mtcars), mtcars),
  exact_radon = entry(fit_exact(log_radon ~ floor + (1 | county), radon), radon),
  exact_sleep = entry(fit_exact(Reaction ~ Days + (Days | Subject), sleep), sleep, TRUE),
  exact_crossed = entry(fit_exact(diameter ~ 1 + (1 | plate) + (1 | sample), penicillin, tol = 1e-3,
    prior = priors(flat_prior(), gamma_prior(1, 1), half_t_prior(3, 2))), penicillin, TRUE),
  exact_importance = entry(fit_exact(y ~ x + f + (f | g), sim, draws = 500), sim),
  exact_of_vb = entry(fit_exact(fit_vb(y ~ x + (1 | g), sim, weights = w, integrate = "no")), sim),
  # Gaussian, Gibbs
  gibbs_lm = entry(fit_gibbs(mpg ~ wt + hp, mtcars, chains = 2, iter = 120, warmup = 20), mtcars),
  gibbs_radon = entry(fit_gibbs(log_radon ~ floor + (1 | county), radon, chains = 2, iter = 120,
    warmup = 20), radon),
  gibbs_sleep = entry(fit_gibbs(Reaction ~ Days + (Days | Subject), sleep, chains = 2, iter = 150,
    warmup = 50, thin = 2), sleep, TRUE),
  gibbs_wishart = entry(fit_gibbs(y ~ x + (x | g) + (1 | h), sim, weights = w, chains = 1,
    iter = 120,
    warmup = 20, prior = priors(flat_prior(), gamma_prior(1, 1), list(g = wishart_prior(3, diag(2)),
      h = gamma_prior(1, 1)))), sim),
  gibbs_sparse = entry(fit_gibbs(y ~ x + (1 | a) + (1 | b), sparse, chains = 1, iter = 120,
    warmup = 20), sparse),
  vb_of_gibbs = entry(fit_vb(fit_gibbs(y ~ x + (1 | g / s), sim, chains = 1, iter = 40,
    warmup = 20),
    integrate = "yes"), sim),
  # binomial
  logistic = entry(fit_vb(case ~ spontaneous + induced + age, infert, family = binomial()), infert),
  logistic_pg = entry(fit_vb(case ~ spontaneous + induced, infert, family = binomial(),
    approximation = "pg", prior = priors(beta = flat_prior())), infert),
  trials = entry(fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
    family = binomial()), cbpp, TRUE),
  trials_pg = entry(fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
    family = binomial(), approximation = "pg"), cbpp, TRUE),
  trials_no = entry(fit_vb(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
    family = binomial(), integrate = "no"), cbpp, TRUE),
  proportions = entry(fit_vb(share ~ period + (1 | herd), cbpp, weights = size, family = binomial(),
    prior = priors(normal_prior(0, 2), tau_u = half_t_prior(4, 1))), cbpp, TRUE),
  binary = entry(fit_vb(r2 ~ btype + Anger + (1 | id), verb, family = binomial()), verb, TRUE),
  binary_crossed_no = entry(fit_vb(r2 ~ btype + (1 | id) + (1 | item), verb, family = binomial(),
    integrate = "no"), verb, TRUE),
  binary_slopes = entry(fit_vb(hit ~ x + (x | g), sim, family = binomial()), sim),
  binary_independent_pg = entry(fit_vb(hit ~ x + (x || g), sim, family = binomial(),
    approximation = "pg", integrate = "yes"), sim),
  trials_wishart = entry(fit_vb(cbind(won, lost) ~ x + f + (x | g), sim, family = binomial(),
    prior = priors(tau_u = wishart_prior(4, diag(2)))), sim),
  separated = entry(fit_vb(y ~ x + (1 | g), apart, family = binomial()), apart),
  separated_flat = entry(fit_vb(y ~ x + (1 | g), apart, family = binomial(),
    prior = priors(beta = flat_prior()))),
  unidentified = entry(fit_vb(hit ~ x + (1 | row), sim, family = binomial()), sim),
  # counts
  poisson_none = entry(fit_vb(count ~ spray, InsectSprays, family = poisson()), InsectSprays),
  poisson_offset = entry(fit_vb(count ~ x + offset(log(time)) + (1 | g), sim, family = poisson()),
    sim),
  poisson_ticks = entry(fit_vb(TICKS ~ YEAR + cHEIGHT + (1 | BROOD), ticks, family = poisson()),
    ticks, TRUE),
  poisson_three = entry(fit_vb(TICKS ~ YEAR + cHEIGHT + (1 | LOCATION / BROOD) + (1 | INDEX), ticks,
    family = poisson(), integrate = "no"), ticks, TRUE),
  poisson_crossed = entry(fit_vb(count ~ x + (1 | g) + (1 | h), sim, offset = log(time),
    family = poisson()), sim),
  poisson_sparse = entry(fit_vb(count ~ x + (1 | a) + (1 | b), sparse, family = poisson(),
    integrate = "no"), sparse),
  poisson_rows = entry(fit_vb(count ~ x + (1 | row), sim, family = poisson()), sim),
  negbin_none = entry(fit_vb(count ~ spray, InsectSprays, family = neg_binomial()), InsectSprays),
  negbin = entry(fit_vb(spread ~ x + (1 | g), sim, family = neg_binomial()), sim),
  negbin_phi = entry(fit_vb(spread ~ x + poly(z, 2) + (1 | g), sim, family = neg_binomial(),
    weights = ifelse(w > 0, 1, 0), integrate = "no",
    prior = priors(phi = gamma_prior(4, 2), tau_u = gamma_prior(1, 1))), sim),
  negbin_slopes = entry(fit_vb(spread ~ 0 + f + x + (0 + x | g) + (1 | h), sim,
    family = neg_binomial(), integrate = "no"), sim),
  # Gibbs of the other families
  gibbs_pg = entry(fit_gibbs(r2 ~ btype + (1 | id), verb, family = binomial(), chains = 1,
    iter = 130,
    warmup = 30, sampler = "polya-gamma"), verb, TRUE),
  gibbs_trials_pg = entry(fit_gibbs(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
    family = binomial(), chains = 2, iter = 150, warmup = 50, sampler = "polya-gamma"), cbpp, TRUE),
  gibbs_trials = entry(fit_gibbs(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
    family = binomial(), chains = 2, iter = 250, warmup = 150, sampler = "hamiltonian"), cbpp,
      TRUE),
  gibbs_slopes_pg = entry(fit_gibbs(hit ~ x + (x | g) + (1 | h), sim, family = binomial(),
    chains = 1,
    iter = 150, warmup = 50), sim),
  gibbs_poisson = entry(fit_gibbs(count ~ x + offset(log(time)) + (x | g), sim, family = poisson(),
    chains = 1, iter = 200, warmup = 100), sim),
  gibbs_negbin = entry(fit_gibbs(spread ~ x + (1 | g) + (1 | h), sim, family = neg_binomial(),
    chains = 1, iter = 200, warmup = 100), sim),
  # mixtures
  mixture = entry(fit_vb(gaussian_mixture(faithful, 2)), faithful),
  mixture_flat = entry(fit_vb(gaussian_mixture(~ eruptions + waiting, 2, prior = flat_prior(),
    data = faithful), starts = 3), faithful),
  mixture_three = entry(fit_vb(gaussian_mixture(iris[1:3], 3), seed = 4, starts = 5), iris[1:3]),
  mixture_cov = entry(fit_vb(gaussian_mixture(faithful, 2, prior = mixture_prior(mean = c(3, 70),
    cov = diag(c(10, 1000)), df = 4, scale = diag(c(1, .01)), alpha = 2))), faithful),
  mixture_one = entry(fit_vb(gaussian_mixture(quakes[c("depth", "mag")], 1)), quakes[c("depth",
    "mag")]),
  mixture_line = entry(fit_vb(gaussian_mixture(faithful["waiting"], 2,
    prior = mixture_prior(k0 = .1))),
    faithful["waiting"]),
  gibbs_mixture = entry(fit_gibbs(gaussian_mixture(faithful, 2), chains = 2, iter = 150,
    warmup = 50),
    faithful),
  gibbs_mixture_cov = entry(fit_gibbs(gaussian_mixture(faithful, 2, prior = mixture_prior(
    cov = diag(c(10, 1000)))), chains = 1, iter = 120, warmup = 20), faithful)
)

# ---- what is asked of a fit ----------------------------------------------------------------------

few_u <- function(s) utils::tail(s, 3)[c(1:3, match(c("q10", "q90"), names(s)))]
cap <- function(x, n) x[seq_len(min(n, nrow(x))), , drop = FALSE]
# the diagonal and the first elements below it
cov_part <- function(V) {
  at <- which(row(V) > col(V), arr.ind = TRUE)
  at <- cap(at, 4)
  names <- rownames(V)
  if (is.null(names)) names <- seq_len(nrow(V))
  c(stats::setNames(diag(V), names),
    stats::setNames(V[at], paste(names[at[, 1L]], names[at[, 2L]], sep = " ~ ")))
}
unseen <- function(fit, new) {
  groups <- intersect(unlist(strsplit(names(ngrps(fit)), ":", fixed = TRUE)), names(new))
  for (g in groups) new[[g]] <- replace(as.character(new[[g]]), 1:2, "a new level")
  new
}
# without the elapsed time, which is no number of the fit
shown <- function(x) {
  out <- utils::capture.output(print(x))
  gsub(" +", " ", sub(", [0-9.e-]+ s$", "", out))
}
small <- function(fit) nobs(fit) <= 300
a_coefficient <- function(fit) {
  names <- setdiff(names(fixef(fit)), "(Intercept)")
  plain <- names[make.names(names) == names]
  if (length(plain)) plain[1L] else "Intercept"
}
# chains have their draws, the others make as many as they are asked for
first_draws <- function(fit) {
  d <- if (inherits(fit, c("gibbs_fit", "gmm_gibbs_fit"))) as.matrix(fit) else as.matrix(fit,
    ndraws = 3)
  d[1:2, , drop = FALSE]
}
skip <- structure(list(), class = "skip")

model_kinds <- list(
  print = function(f, new) shown(f),
  # log_sigma of one coefficient is log_tau over -2
  summary = function(f, new) subset(as.data.frame(summary(f)), !grepl("^log_sigma_u\\[[^:]*\\]$",
    variable)),
  summary_u = function(f, new) few_u(summary(f, pars = "u", level = .8)),
  bound = function(f, new) {
    l <- logLik(f)
    c(bound = as.numeric(l), df = attr(l, "df"), nobs = attr(l, "nobs"))
  },
  evidence = function(f, new) compare(a = f, b = f, loo = FALSE)[1L, c("log_evidence", "source")],
  exact = function(f, new) {
    if (inherits(f, "exact_fit")) unlist(f[c("log_evidence", "elbo", "error", "khat")]) else skip
  },
  glance = function(f, new) glance(f),
  vcov = function(f, new) cov_part(vcov(f)),
  vcov_lrvb = function(f, new) if (inherits(f, "vb_fit")) cov_part(vcov(f,
    type = "lrvb")) else skip,
  vcov_mfvb = function(f, new) if (inherits(f, "vb_fit")) cov_part(vcov(f,
    type = "mfvb")) else skip,
  fixef = function(f, new) fixef(f),
  confint = function(f, new) cap(confint(f, level = .9), 2),
  ranef = function(f, new) cap(as.data.frame(ranef(f)), 4),
  coef = function(f, new) lapply(coef(f), function(x) if (is.data.frame(x)) cap(x, 1) else x),
  VarCorr = function(f, new) as.data.frame(VarCorr(f)),
  sigma = function(f, new) sigma(f),
  scalars = function(f, new) c(nobs = nobs(f), singular = isSingular(f), ngrps(f)),
  deviance = function(f, new) deviance(f),
  fitted = function(f, new) fitted(f)[1:5],
  pearson = function(f, new) residuals(f, type = "pearson")[1:5],
  predict = function(f, new) predict(f, new, interval = "confidence", se.fit = TRUE),
  predict_new = function(f, new) predict(f, new, interval = "prediction", type = "response",
    level = .8),
  predict_fixed = function(f, new) predict(f, new[c(1, 5), ], re.form = NA,
    interval = "confidence"),
  predict_unseen = function(f, new) {
    predict(f, unseen(f, new[1:3, ]), interval = "prediction", type = "response",
      allow_new_levels = TRUE)
  },
  budget = function(f, new) predict(f, new[c(1, 5), ], budget = TRUE),
  hypothesis = function(f, new) hypothesis(f, paste(a_coefficient(f), "> 0.1")),
  report = function(f, new) {
    if (!inherits(f, "vb_fit")) return(skip)
    r <- sd_ratio_report(f)
    list(table = cap(as.data.frame(r)[c("variable", "ratio_mfvb", "ratio_lrvb", "verdict")], 7),
      aggregates = r$aggregates)
  },
  draws = function(f, new) {
    d <- first_draws(f)
    d[, unique(c(seq_len(min(4, ncol(d))), ncol(d))), drop = FALSE]
  },
  tidy = function(f, new) cap(as.data.frame(tidy(f, conf.int = TRUE)), 2),
  augment = function(f, new) cap(as.data.frame(augment(f)), 1),
  posterior_predict = function(f, new) rstantools::posterior_predict(f, draws = 2)[2, 1:5],
  posterior_epred = function(f, new) rstantools::posterior_epred(f, new[1:3, ], draws = 3)[1:2, ],
  simulate = function(f, new) {
    as.data.frame(lapply(simulate(f, 1, seed = 3), function(y) utils::head(as.matrix(y), 3)))
  },
  log_lik = function(f, new) rstantools::log_lik(f, draws = 2)[1, 1:5],
  loo = function(f, new) if (small(f)) suppressWarnings(loo::loo(f))$estimates else skip,
  khat = function(f, new) {
    if (family(f)$family == "gaussian" || !small(f)) return(skip)
    k <- vb_khat(f, ndraws = 200)
    c(khat = as.numeric(k), ess = attr(k, "ess"))
  },
  icc = function(f, new) if (small(f)) icc(f, ndraws = 100) else skip,
  r2 = function(f, new) if (small(f)) r2(f, ndraws = 100) else skip,
  sensitivity = function(f, new) {
    if (inherits(f, "vb_fit") && family(f)$family == "gaussian") cap(vb_sensitivity(f, TRUE),
      2) else skip
  },
  prior = function(f, new) prior_summary(f)
)

mixture_kinds <- list(
  print = function(f, new) shown(f),
  summary = function(f, new) summary(f),
  bound = function(f, new) as.numeric(logLik(f)),
  glance = function(f, new) glance(f),
  vcov = function(f, new) cov_part(vcov(f)),
  vcov_all = function(f, new) cov_part(vcov(f, pars = "all")),
  vcov_mfvb = function(f, new) if (inherits(f, "gmm_vb_fit")) cov_part(vcov(f,
    type = "mfvb")) else skip,
  coef = function(f, new) coef(f),
  confint = function(f, new) cap(confint(f, level = .9), 2),
  predict = function(f, new) predict(f, new),
  class = function(f, new) predict(f, new, type = "class"),
  tidy = function(f, new) cap(as.data.frame(tidy(f, conf.int = TRUE)), 3),
  augment = function(f, new) cap(as.data.frame(augment(f)), 3),
  draws = function(f, new) first_draws(f)[, 1:3],
  simulate = function(f, new) head(as.matrix(simulate(f, 1, seed = 3)[[1L]]), 4),
  log_lik = function(f, new) rstantools::log_lik(f, draws = 2)[1, 1:5],
  loo = function(f, new) if (small(f)) suppressWarnings(loo::loo(f))$estimates else skip,
  report = function(f, new) {
    if (!inherits(f, "gmm_vb_fit")) return(skip)
    r <- sd_ratio_report(f)
    list(table = cap(as.data.frame(r)[c("variable", "ratio_mfvb", "verdict")], 8),
      aggregates = r$aggregates)
  },
  prior = function(f, new) prior_summary(f),
  refusal = function(f, new) fixef(f)
)

# Two fits at once: names of fits, and what is asked.
pairs <- list(
  report_exact = list(c("radon_no", "exact_radon"), function(a, b) sd_ratio_report(a, b)),
  report_exact_slopes = list(c("sleep_slopes_no", "exact_sleep"), function(a, b) sd_ratio_report(a,
    b)),
  report_gibbs = list(c("radon_no", "gibbs_radon"), function(a, b) sd_ratio_report(a, b)),
  report_gibbs_trials = list(c("trials", "gibbs_trials"), function(a, b) sd_ratio_report(a, b)),
  report_gibbs_mixture = list(c("mixture", "gibbs_mixture"), function(a, b) sd_ratio_report(a, b)),
  compare = list(c("sleep_slopes", "sleep_uncorrelated"), function(a, b) {
    suppressWarnings(compare(a = a, b = b, ndraws = 200))
  }),
  compare_mixtures = list(c("mixture", "mixture_flat"), function(a, b) {
    suppressWarnings(compare(a = a, b = b, ndraws = 200))
  }),
  compare_counts = list(c("poisson_none", "negbin_none"), function(a, b) {
    suppressWarnings(compare(a = a, b = b, ndraws = 200))
  })
)

# ---- numbers in long format ----------------------------------------------------------------------

# A named character vector of whatever comes back.
flat <- function(x) UseMethod("flat")
flat.default <- function(x) {
  if (is.null(x) || is.function(x)) return(character())
  if (is.list(x)) return(flat.list(unclass(x)))
  dims <- dim(x)
  labels <- if (length(dims) == 2L) {
    side <- function(i) if (is.null(dimnames(x)[[i]])) seq_len(dims[i]) else dimnames(x)[[i]]
    outer(make.unique(as.character(side(1L))), make.unique(as.character(side(2L))), paste,
      sep = "|")
  } else if (is.null(names(x))) seq_along(x) else names(x)
  stats::setNames(as_text(as.vector(x)), as.character(labels))
}
flat.factor <- function(x) flat.default(stats::setNames(as.character(x), names(x)))
flat.list <- function(x) {
  names <- if (is.null(names(x))) seq_along(x) else names(x)
  out <- lapply(x, flat)
  unlist(Map(function(v, n) stats::setNames(v, if (length(v)) paste(n, names(v), sep = "|")),
    unname(out),
    names))
}
flat.data.frame <- function(x) {
  if (!nrow(x)) return(c(rows = "0"))
  # rows are called by what identifies them
  keys <- intersect(c("variable", "term", "hypothesis", "grpvar", "grp", "group", "level", "var1",
    "var2",
    "method", "model", "component", "effect"), names(x))
  keys <- keys[vapply(x[keys], function(v) is.character(v) || is.factor(v), NA)]
  label <- if (length(keys)) {
    do.call(paste, c(lapply(x[keys], as.character), list(sep = ",")))
  } else seq_len(nrow(x))
  label <- make.unique(as.character(label))
  out <- lapply(setdiff(names(x), keys), function(n) {
    v <- x[[n]]
    if (is.matrix(v)) return(flat.default(matrix(v, nrow(v), dimnames = list(label,
      paste(n, seq_len(ncol(v)), sep = ".")))))
    if (is.list(v)) return(flat.list(stats::setNames(v, paste(label, n, sep = "|"))))
    stats::setNames(as_text(if (is.factor(v)) as.character(v) else v), paste(label, n, sep = "|"))
  })
  unlist(out)
}
flat.sd_ratio_report <- function(x) c(flat(as.data.frame(x)[c("variable", "sd_lrvb", "sd_ref",
  "ratio_mfvb",
  "mcse_mfvb", "ratio_lrvb", "verdict")]), flat(x$aggregates))
as_text <- function(v) {
  if (is.numeric(v) || is.logical(v)) {
    out <- sprintf("%.17g", as.double(v))
    out[is.na(v)] <- ifelse(is.nan(v[is.na(v)]), "NaN", "NA")
    return(out)
  }
  out <- gsub("[\r\n]+", " ", as.character(v))
  ifelse(is.na(out), "NA", out)
}

# The value of an expression, with the classes of what it signals.
watch <- function(expr) {
  said <- character()
  note <- function(cond) said <<- c(said, class(cond)[1L])
  value <- tryCatch(
    withCallingHandlers(expr,
      warning = function(w) {
        note(w)
        invokeRestart("muffleWarning")
      },
      message = function(m) {
        note(m)
        invokeRestart("muffleMessage")
      }
    ),
    error = function(e) {
      note(e)
      skip
    }
  )
  list(value = value, said = said)
}

rows_of <- function(fit, kind, watched) {
  v <- if (inherits(watched$value, "skip")) character() else flat(watched$value)
  if (length(watched$said)) {
    v <- c(v, stats::setNames(watched$said, paste0("condition", seq_along(watched$said))))
  }
  if (!length(v)) return(NULL)
  data.frame(fit = fit, kind = kind, variable = make.unique(names(v)), value = unname(v))
}

numbers_of <- function(name, entry) {
  set.seed(1)
  fit <- watch(eval(entry$fit, globalenv()))
  out <- rows_of(name, "fit", list(value = skip, said = fit$said))
  if (inherits(fit$value, "skip")) return(list(fit = NULL, rows = out))
  new <- utils::head(eval(entry$data, globalenv()), 5)
  kinds <- if (inherits(fit$value, "gmm_fit")) mixture_kinds else model_kinds
  more <- lapply(names(kinds), function(kind) {
    set.seed(2)
    rows_of(name, kind, watch(kinds[[kind]](fit$value, new)))
  })
  list(fit = fit$value, rows = do.call(rbind, c(list(out), more)))
}

all_numbers <- function() {
  began <- proc.time()[[3L]]
  kept <- list()
  rows <- list()
  use <- Filter(function(e) have_lme4 || !e$lme4, fits)
  for (name in names(use)) {
    start <- proc.time()[[3L]]
    one <- numbers_of(name, use[[name]])
    if (name %in% unlist(lapply(pairs, `[[`, 1L))) kept[[name]] <- one$fit
    rows[[name]] <- one$rows
    took <- proc.time()[[3L]] - start
    if (nzchar(Sys.getenv("FORTY_FITS_TIMES"))) message(sprintf("%6.2f s %s", took, name))
  }
  for (name in names(pairs)) {
    of <- pairs[[name]][[1L]]
    if (!all(of %in% names(kept))) next
    set.seed(3)
    rows[[name]] <- rows_of(paste(of, collapse = " + "), name,
      watch(pairs[[name]][[2L]](kept[[of[1L]]],
      kept[[of[2L]]])))
  }
  out <- do.call(rbind, rows)
  rownames(out) <- NULL
  message(length(use), " fits, ", nrow(out), " rows, ", round(proc.time()[[3L]] - began), " s")
  out
}

# ---- write and compare ---------------------------------------------------------------------------

read_table <- function(file) utils::read.csv(file, colClasses = "character",
  na.strings = character())

write_table <- function(file) {
  t <- all_numbers()
  # quotes where they are needed only: half as many bytes
  t[] <- lapply(t, function(v) ifelse(grepl("[\",]", v), paste0("\"", gsub("\"", "\"\"", v), "\""),
    v))
  writeLines(c(paste(names(t), collapse = ","), do.call(paste, c(unname(as.list(t)), sep = ","))),
    file)
  message(file, ": ", round(file.size(file) / 1e6, 2), " MB")
}

# |a - b| / (1 + |b|) of numbers; Inf of anything else that is not the same.
differences <- function(now, then, plus = 1) {
  a <- suppressWarnings(as.double(now))
  b <- suppressWarnings(as.double(then))
  out <- ifelse(now == then, 0, abs(a - b) / (plus + abs(b)))
  ifelse(is.na(out), Inf, out)
}

compare_table <- function(file) {
  then <- read_table(file)
  if (!have_lme4) {
    gone <- names(Filter(function(e) e$lme4, fits))
    message("without lme4: ", length(gone), " fits are left out")
    then <- then[!vapply(strsplit(then$fit, " + ", fixed = TRUE), function(f) any(f %in% gone),
      NA), ]
  }
  now <- all_numbers()
  key <- function(t) paste(t$fit, t$kind, t$variable, sep = "\r")
  lost <- then[!key(then) %in% key(now), ]
  added <- now[!key(now) %in% key(then), ]
  at <- match(key(now), key(then))
  both <- data.frame(now[!is.na(at), ], then = then$value[at[!is.na(at)]])
  both$d <- differences(both$value, both$then)
  both$relative <- differences(both$value, both$then, 0)
  worst <- do.call(rbind, lapply(split(both, list(both$fit, both$kind), drop = TRUE), function(t) {
    if (all(t$d == 0)) return(NULL)
    relative <- max(t$relative)
    t <- t[which.max(t$d), ]
    data.frame(fit = t$fit, kind = t$kind, worst = signif(t$d, 3), relative = signif(relative, 3),
      bad = if (t$d > TOLERANCE) "***" else "",
      variable = t$variable, then = t$then, now = t$value)
  }))
  if (!is.null(worst)) {
    worst <- worst[order(-worst$worst), ]
    rownames(worst) <- NULL
    options(width = 200)
    print(worst, right = FALSE, max = 1e5)
  }
  side <- function(t, what) {
    if (!nrow(t)) return(invisible())
    cat(nrow(t), "rows", what, "\n")
    print(utils::head(t, 40), right = FALSE)
  }
  side(lost, "only in the table:")
  side(added, "only in the fits:")
  bad <- sum(both$d > TOLERANCE)
  cat(nrow(both), " rows compared: ", sum(both$d == 0), " identical to the last digit, ",
    sum(both$d > 0 & both$d <= TOLERANCE), " within ", TOLERANCE, " (at worst ",
    format(max(0, both$d[both$d <= TOLERANCE]), digits = 3), "), ", bad, " different; ",
    nrow(lost), " lost, ", nrow(added), " added\n", sep = "")
  bad + nrow(lost) + nrow(added) == 0L
}

args <- commandArgs(TRUE)
if (length(args) != 2L || !args[1L] %in% c("write", "compare")) {
  message("Rscript forty-fits.R write|compare FILE.csv")
  quit(status = 2L)
}
if (args[1L] == "write") write_table(args[2L]) else if (!compare_table(args[2L])) quit(status = 1L)
