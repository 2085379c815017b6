# The rows of fits of targets, and of fit_hmc() of regression models. Format: helper-matrix.R.

target_cells <- data.frame(structure = "target", response = "target",
  engine = c("vb", "exact", "hmc", "flow"),
  id = c("target/vb", "target/exact", "target/hmc", "target/flow"))

target_scope <- function(cell, parent) {
  e <- list2env(list(cell = as.list(cell), engine = cell$engine), parent = parent)
  evalq({ # here, so that update() finds the model
    model <- target(
      function(p, data) {
        sum(stats::dnorm(data$y, p$mu, p$sigma, log = TRUE)) +
          stats::dnorm(p$mu, 0, data$scale, log = TRUE) + stats::dexp(p$sigma, 1, log = TRUE)
      },
      init = list(mu = 0, sigma = 1), constraints = list(sigma = positive()),
      data = list(y = c(1.2, 0.4, 2.2, 0.9, 1.5, 1.1, 0.7, 1.9), scale = 10),
      generated = function(p) list(high = p$mu + p$sigma))
    vb <- fit_vb(model)
    set.seed(3)
    hmc <- if (engine == "hmc") suppressWarnings(fit_hmc(vb, chains = 2, iter = 400, warmup = 200))
    fit <- switch(engine, vb = vb, exact = fit_exact(vb), hmc = hmc,
      flow = fit_vb(model, approximation = "flow",
        control = vb_control(layers = 2, starts = 1, steps = 100, draws = 16)))
    sampled <- engine == "hmc"
    variables <- c("mu", "sigma", "high")
    s <- by_name(summary(fit))
  }, e)
  e
}

matrix_target_rows <- list(
  matrix_row("fit_vb", fit_vb(model, refine = "no"), is_a(value, "target_vb_fit"), of = model),
  matrix_row("fit_vb", fit_vb(fit, refine = "no"), is_a(value, "target_vb_fit")),
  matrix_row("fit_exact", fit_exact(model), is_a(value, "target_exact_fit"), of = model),
  matrix_row("fit_exact", fit_exact(fit), is_a(value, "target_exact_fit")),
  matrix_row("fit_hmc", fit_hmc(model, chains = 1, iter = 60, warmup = 30),
    is_a(value, "target_hmc_fit"), of = model),
  matrix_row("fit_hmc", fit_hmc(fit, chains = 1, iter = 60, warmup = 30),
    is_a(value, "target_hmc_fit")),
  matrix_row("as_target", as_target(model)$d, alike(value, 2L), of = model),
  matrix_row("nobs", nobs(fit), refuses = TRUE),
  matrix_row("logLik", logLik(fit), is_a(value, "logLik"), refuses = sampled),
  matrix_row("AIC", AIC(fit), refuses = TRUE),
  matrix_row("summary", summary(fit), is_frame_of(value, 3L, c("variable", "mean", "sd", "q2.5")),
    c(alike(value$variable, variables), holds(value$sd > 0, "an SD is not positive"))),
  matrix_row("print", prints(fit), printed(value)),
  matrix_row("print", prints(model), printed(value), of = model),
  matrix_row("print", prints(positive()), printed(value), of = positive()),
  matrix_row("plot", plots(fit), holds(!value$visible, "not silent")),
  matrix_row("predict", predict(fit, function(p) p$mu, ndraws = 50), is_frame_of(value, 1L)),
  matrix_row("tidy", tidy(fit), is_frame_of(value, 3L, c("term", "estimate", "std.error"))),
  matrix_row("vcov", vcov(fit), is_matrix_of(value, 2L, 2L, variables[1:2]),
    near(sqrt(diag(value)), s[variables[1:2], "sd"], 1e-6)),
  matrix_row("confint", confint(fit), is_matrix_of(value, 2L, 2L)),
  matrix_row("hypothesis", hypothesis(fit, "mu > 0"), is_frame_of(value, 1L)),
  matrix_row("update", update(fit, evaluate = FALSE), holds(is.call(value), "no call")),
  matrix_row("vb_khat", vb_khat(fit), is_a(value, "meanfield_khat"), refuses = !engine %in% c("vb", "flow")),
  matrix_row("vb_sensitivity", vb_sensitivity(fit), is_matrix_of(value, 3L, 1L)),
  matrix_row("sd_ratio_report", sd_ratio_report(vb, fit), is_a(value, "sd_ratio_report"), of = vb,
    when = engine %in% c("exact", "hmc"), na = TRUE),
  matrix_row("as_draws", as_draws(fit), is_a(value, "draws"))
)

# What stands once: constructors, and what has no posterior of its own. Models of Stan need Stan:
# test-target-as.R has them.
matrix_target_once <- function() {
  own <- fit_vb(y ~ x, list2DF(list(y = c(1, 2, 4, 3, 5), x = 1:5)))
  short <- function(...) suppressWarnings(fit_hmc(..., chains = 1, iter = 60, warmup = 30))
  data <- data.frame(y = c(1, 2, 4, 3, 5), x = 1:5)
  mixture <- gaussian_mixture(cbind(a = c(1:6, 11:16)), 2)
  list(
    positive = positive(), lower_bounded = lower_bounded(1), upper_bounded = upper_bounded(1),
    bounded = bounded(0, 1), unit_interval = unit_interval(), ordered_vector = ordered_vector(),
    positive_ordered = positive_ordered(), simplex = simplex(), correlation = correlation(),
    cholesky_correlation = cholesky_correlation(), covariance_matrix = covariance_matrix(),
    target = target(function(p) -p$a^2, list(a = 1)), as_target = as_target(own),
    fit_hmc = list(short(own), short(y ~ x, data), short("y ~ x", data), short(data, y ~ x),
      short(gram(y ~ x, data))),
    refused = list(quote(as_target(fit_vb(mixture))), quote(fit_hmc(mixture)),
      quote(fit_hmc(fit_vb(mixture))), quote(fit_hmc(3)), quote(as_target(3)),
      quote(as_target(list(1)))),
    mixture = mixture)
}

# The methods that these calls come to.
target_once_methods <- c("as_target.regression_fit", "as_target.default", "as_target.list",
  "as_target.gmm_fit", "as_target.stanfit", "as_target.stanmodel", "as_target.CmdStanFit",
  "fit_hmc.regression_fit", "fit_hmc.formula", "fit_hmc.character", "fit_hmc.data.frame",
  "fit_hmc.meanfield_gram", "fit_hmc.gaussian_mixture", "fit_hmc.gmm_fit", "fit_hmc.default",
  "print.hmc_fit")
