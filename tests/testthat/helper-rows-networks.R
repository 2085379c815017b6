# The rows of Bayesian networks and of autoencoders. Format: helper-matrix.R.

network_cells <- data.frame(structure = "network", response = "network",
  engine = c("gaussian", "binomial", "hmc"),
  id = c("network/gaussian", "network/binomial", "network/hmc"))

network_scope <- function(cell, parent) {
  e <- list2env(list(cell = as.list(cell), engine = cell$engine, n = 24L), parent = parent)
  evalq({ # here, so that update() finds the model
    x <- cbind(a = sin(1:24), b = cos(1:24 * 2))
    y <- if (engine == "binomial") rep(c(FALSE, TRUE, TRUE), 8) else x[, 1] - x[, 2]^2
    model <- bnn(x, y, 2, if (engine == "binomial") "binomial" else "gaussian")
    few <- vb_control(steps = 100)
    set.seed(3)
    short <- function(object) {
      suppressWarnings(fit_hmc(object, chains = 2, iter = 300, warmup = 200))
    }
    fit <- if (engine == "hmc") short(model) else suppressWarnings(fit_vb(model, control = few))
    sampled <- engine == "hmc"
    numeric <- engine != "binomial"
  }, e)
  e
}

matrix_network_rows <- list(
  matrix_row("bnn", bnn(x, y, 0), refuses = TRUE, of = NULL),
  matrix_row("fit_vb", fit_vb(model, control = few), is_a(value, "bnn_fit"), of = model),
  matrix_row("fit_vb", fit_vb(fit, control = few), is_a(value, "bnn_fit")),
  matrix_row("fit_hmc", short(model), is_a(value, "target_hmc_fit"), of = model, when = sampled),
  matrix_row("fit_hmc", short(fit), is_a(value, "bnn_fit"), when = sampled),
  matrix_row("fit_exact", fit_exact(model), refuses = TRUE, of = model),
  matrix_row("fit_exact", fit_exact(fit), refuses = TRUE),
  matrix_row("print", prints(model), printed(value), of = model),
  matrix_row("print", prints(fit), printed(value)),
  matrix_row("nobs", nobs(fit), near(value, n)),
  matrix_row("summary", summary(fit), is_frame_of(value, n, c("mean", "sd", "q2.5", "q97.5")),
    holds(value$q2.5 <= value$mean & value$mean <= value$q97.5, "a mean outside its interval")),
  matrix_row("print", prints(summary(fit)), printed(value), of = summary(fit)),
  matrix_row("predict", predict(fit, x[3:1, ]), is_frame_of(value, 3L),
    near(value$mean, summary(fit)$mean[3:1])),
  matrix_row("predict", predict(fit, type = "response"), is_frame_of(value, n),
    holds(value$sd > predict(fit)$sd, "no noise in it"), refuses = !numeric),
  matrix_row("predict", predict(fit, type = "class"), holds(length(value) == n, "no class a row"),
    refuses = numeric),
  matrix_row("predict", predict(fit, x[, "a", drop = FALSE]), refuses = TRUE),
  matrix_row("plot", plots(fit), holds(!value$visible, "not silent")),
  matrix_row("update", update(fit, hidden = 1, evaluate = FALSE), holds(is.call(value), "no call")),
  matrix_row("update", update(fit, prior_sd = 2), is_a(value, "bnn_fit"), when = !sampled),
  matrix_row("logLik", logLik(fit), is_a(value, "logLik"), refuses = sampled),
  matrix_row("tidy", tidy(fit), is_frame_of(value, fit$model$d, c("term", "estimate"))),
  matrix_row("as_draws", as_draws(fit), is_a(value, "draws")),
  matrix_row("sd_ratio_report", sd_ratio_report(fit), refuses = TRUE),
  matrix_row("predictive_report", predictive_report(fit, fit), is_frame_of(value, n),
    near(value$ratio, rep(1, n)), of = fit),
  matrix_row("predictive_report", predictive_report(fit, 1), refuses = TRUE, of = NULL),
  matrix_row("print", prints(predictive_report(fit, fit)), printed(value),
    of = predictive_report(fit, fit))
)

vae_cells <- data.frame(structure = "vae", response = "vae",
  engine = c("closed", "network", "none"), id = c("vae/closed", "vae/network", "vae/none"))

vae_scope <- function(cell, parent) {
  e <- list2env(list(cell = as.list(cell), engine = cell$engine, n = 40L), parent = parent)
  evalq({
    z <- cbind(sin(1:40), cos(1:40 * 2))
    x <- z %*% rbind(c(2, 1, 0, -1), c(0, 1, 2, 1)) + sin(1:160 * 7) / 2
    model <- switch(engine, closed = vae(x, 2, encoder = "linear", decoder = "linear"),
      network = vae(x, 2, hidden = 4), none = vae(x, 1, hidden = 4, encoder = "none"))
    few <- vb_control(epochs = 60)
    fit <- suppressWarnings(fit_vb(model, control = few))
    q <- fit$model$latent
    closed <- engine == "closed"
  }, e)
  e
}

matrix_vae_rows <- list(
  matrix_row("vae", vae(x, 4), refuses = TRUE, of = NULL),
  matrix_row("fit_vb", fit_vb(model, control = few), is_a(value, "vae_fit"), of = model),
  matrix_row("fit_vb", fit_vb(fit, control = few), is_a(value, "vae_fit")),
  matrix_row("print", prints(model), printed(value), of = model),
  matrix_row("print", prints(fit), printed(value)),
  matrix_row("nobs", nobs(fit), near(value, n)),
  matrix_row("sigma", sigma(fit), near(value, fit$sigma)),
  matrix_row("summary", summary(fit), is_frame_of(value, q, c("variable", "mean", "sd", "kl"))),
  matrix_row("print", prints(summary(fit)), printed(value), of = summary(fit)),
  matrix_row("predict", predict(fit), is_matrix_of(value, n, 2L * q)),
  matrix_row("predict", predict(fit, type = "reconstruction"), is_matrix_of(value, n, 4L)),
  matrix_row("predict", predict(fit, type = "elbo"), is_vector_of(value, n),
    near(sum(value), fit$vb$elbo)),
  matrix_row("predict", predict(fit, x[1:5, ], type = "elbo"), is_vector_of(value, 5L),
    near(value, fit$row_elbo[1:5], 1e-3)),
  matrix_row("predict", predict(fit, x[1:5, ], type = "log_lik"), is_vector_of(c(value), 5L),
    holds(c(value) > fit$row_elbo[1:5] - 1e-6, "below its bound")),
  matrix_row("predict", predict(fit, x[, 1:3]), refuses = TRUE),
  matrix_row("simulate", simulate(fit, 2, seed = 1), alike(value, simulate(fit, 2, seed = 1))),
  matrix_row("logLik", logLik(fit), is_a(value, "logLik")),
  matrix_row("AIC", AIC(fit), refuses = TRUE),
  matrix_row("BIC", BIC(fit), refuses = TRUE),
  matrix_row("coef", coef(fit), is_matrix_of(value, 4L, q), refuses = !closed),
  matrix_row("glance", glance(fit), is_frame_of(value, 1L, c("nobs", "elbo"))),
  matrix_row("plot", plots(fit), holds(!value$visible, "not silent")),
  matrix_row("update", update(fit, latent = 1, evaluate = FALSE), holds(is.call(value), "no call")),
  matrix_row("update", update(fit, x = x[1:20, ]), is_a(value, "vae_fit")),
  matrix_row("amortisation_gap", amortisation_gap(fit, x[1:5, ]), is_frame_of(value, 5L),
    holds(value$amortisation >= 0, "worse than the fit's own"), of = fit),
  matrix_row("amortisation_gap", amortisation_gap(1), refuses = TRUE, of = NULL),
  matrix_row("print", prints(amortisation_gap(fit, x[1:5, ])), printed(value),
    of = amortisation_gap(fit, x[1:5, ])),
  matrix_row("vcov", vcov(fit), refuses = TRUE),
  matrix_row("confint", confint(fit), refuses = TRUE),
  matrix_row("tidy", tidy(fit), refuses = TRUE),
  matrix_row("as_draws", as_draws(fit), refuses = TRUE),
  matrix_row("hypothesis", hypothesis(fit, "z1 > 0"), refuses = TRUE),
  matrix_row("sd_ratio_report", sd_ratio_report(fit), refuses = TRUE),
  matrix_row("vb_khat", vb_khat(fit), refuses = TRUE),
  matrix_row("vb_sensitivity", vb_sensitivity(fit), refuses = TRUE),
  matrix_row("fit_exact", fit_exact(fit), refuses = TRUE),
  matrix_row("fit_gibbs", fit_gibbs(fit), refuses = TRUE),
  matrix_row("fit_hmc", fit_hmc(fit), refuses = TRUE),
  matrix_row("fit_exact", fit_exact(fit$model), refuses = TRUE, of = fit$model),
  matrix_row("fit_gibbs", fit_gibbs(fit$model), refuses = TRUE, of = fit$model),
  matrix_row("fit_hmc", fit_hmc(fit$model), refuses = TRUE, of = fit$model)
)
