# The matrix's other rows: fits of mixtures, and what is called once.

mixture_cells <- data.frame(structure = "mixture", response = "mixture",
  engine = c("gmm_vb", "gmm_gibbs"), id = c("mixture/vb", "mixture/gibbs"))

mixture_scope <- function(cell, parent) {
  set.seed(12)
  n <- 80
  x <- cbind(a = c(rnorm(n / 2, -3), rnorm(n / 2, 3)), b = rnorm(n, 1))
  e <- list2env(list(cell = as.list(cell), n = n, p = 2L, k = 2L, x = x), parent = parent)
  e$mu <- c("mu[1,a]", "mu[1,b]", "mu[2,a]", "mu[2,b]")
  lower <- function(stem) sprintf("%s[%d,%s]", stem, rep(1:2, each = 3), c("a,a", "a,b", "b,b"))
  each <- function(stem) sprintf("%s[%d]", stem, 1:2)
  e$variables <- c(e$mu, lower("Lambda"), each("log_det"), each("pi"), each("log_pi"),
    lower("Sigma"))
  e$gibbs <- cell$engine == "gmm_gibbs"
  e$vb_class <- if (e$gibbs) "gmm_gibbs_fit" else "gmm_vb_fit"
  e$model <- gaussian_mixture(x, 2)
  set.seed(1)
  evalq({ # here, so that update() finds the model
    vb <- fit_vb(model)
    fit <- if (gibbs) fit_gibbs(vb, chains = 2, iter = 400, warmup = 100) else vb
    s <- by_name(summary(fit))
    draws <- posterior::as_draws_array(if (gibbs) as_draws(fit) else as_draws(fit, ndraws = 2000))
  }, e)
  e
}

matrix_mixture_rows <- list(
  matrix_row("fit_vb", fit_vb(fit), is_a(value, "gmm_vb_fit"), when = !gibbs),
  matrix_row("fit_vb", fit_vb(model), is_a(value, "gmm_vb_fit"), of = model),
  matrix_row("fit_gibbs", fit_gibbs(fit, chains = 1, iter = 100, warmup = 50),
    is_a(value, "gmm_gibbs_fit")),
  matrix_row("fit_gibbs", fit_gibbs(model, chains = 1, iter = 100, warmup = 50),
    is_a(value, "gmm_gibbs_fit"), of = model),
  matrix_row("fit_exact", fit_exact(fit), refuses = TRUE),
  matrix_row("nobs", nobs(fit), near(value, n)),
  matrix_row("coef", coef(fit), is_matrix_of(value, k, p, c("a", "b")),
    near(t(value), s[mu, "mean"])),
  matrix_row("vcov", vcov(fit), is_matrix_of(value, 4L, 4L, mu),
    near(sqrt(diag(value)), s[mu, "sd"])),
  matrix_row("vcov", vcov(fit, pars = "all"),
    check = c(holds(setequal(rownames(value), variables), "other variables"),
      near(sqrt(pmax(diag(value), 0)), s[rownames(value), "sd"], 1e-6))),
  matrix_row("logLik", logLik(fit), is_a(value, "logLik"), refuses = gibbs),
  matrix_row("AIC", AIC(fit), refuses = TRUE),
  matrix_row("BIC", BIC(fit), refuses = TRUE),
  matrix_row("summary", summary(fit),
    is_frame_of(value, length(variables), c("variable", "mean", "sd", "q2.5", "q97.5")),
    c(alike(value$variable, variables), holds(value$sd > 0, "an SD is not positive"),
      holds(value$q2.5 < value$mean & value$mean < value$q97.5,
        "a mean lies outside its interval"))),
  matrix_row("print", prints(fit), printed(value)),
  matrix_row("print", prints(model), printed(value), of = model),
  matrix_row("plot", plots(fit), holds(!value$visible, "not silent")),
  matrix_row("plot", plots(fit, what = if (gibbs) "trace" else "data"),
    holds(!value$visible, "not silent")),
  matrix_row("predict", predict(fit), is_matrix_of(value, n, k), near(rowSums(value), rep(1, n))),
  matrix_row("predict", predict(fit, x[5:1, ]), is_matrix_of(value, 5L, k),
    near(value, predict(fit)[5:1, ])),
  matrix_row("predict", predict(fit, type = "class"), is_vector_of(value, n),
    near(value, max.col(predict(fit)))),
  matrix_row("predict", predict(fit, x[, 1, drop = FALSE]), refuses = TRUE),
  matrix_row("as_draws", draws,
    check = c(holds(setequal(posterior::variables(value), variables), "other variables"),
      agrees_with_draws(s, draws, variables, gibbs))),
  matrix_row("as_draws_array", draws_in("array", fit), is_a(value, "draws_array")),
  matrix_row("as_draws_df", draws_in("df", fit), is_a(value, "draws_df")),
  matrix_row("as_draws_list", draws_in("list", fit), is_a(value, "draws_list")),
  matrix_row("as_draws_matrix", draws_in("matrix", fit), is_a(value, "draws_matrix")),
  matrix_row("as_draws_rvars", draws_in("rvars", fit), is_a(value, "draws_rvars")),
  matrix_row("sd_ratio_report", sd_ratio_report(fit), is_a(value, "sd_ratio_report"), na = TRUE,
    refuses = gibbs),
  matrix_row("sd_ratio_report",
    sd_ratio_report(fit, fit_gibbs(fit, chains = 2, iter = 300, warmup = 100)),
    check = near(value$table$ratio_lrvb, value$table$sd_lrvb / value$table$sd_ref), na = TRUE,
    when = !gibbs),
  matrix_row("update", update(fit), is_a(value, vb_class)),
  matrix_row("", kept(fit), alike(summary(value), summary(fit))),
  matrix_row("as.matrix", as.matrix(fit), holds(setequal(colnames(value), variables), "other variables")),
  matrix_row("as.array", as.array(fit), holds(length(dim(value)) == 3L, "no array")),
  matrix_row("as.data.frame", as.data.frame(fit), holds(all(variables %in% names(value)), "lacks some")),
  matrix_row("confint", confint(fit), is_matrix_of(value, 4L, 2L),
    near(c(value), c(s[mu, "q2.5"], s[mu, "q97.5"]))),
  matrix_row("tidy", tidy(fit, conf.int = TRUE),
    check = near(value$estimate, s[value$term, "mean"]), na = TRUE),
  matrix_row("glance", glance(fit), is_frame_of(value, 1L, c("nobs", "k")), na = TRUE),
  matrix_row("augment", augment(fit), is_frame_of(value, n), na = TRUE),
  matrix_row("formula", formula(fit), is_a(value, "formula")),
  matrix_row("model.frame", model.frame(fit), is_frame_of(value, n, c("a", "b"))),
  matrix_row("prior_summary", prior_summary(fit), is_a(value, "data.frame")),
  matrix_row("simulate", simulate(fit, 2, seed = 1), alike(value, simulate(fit, 2, seed = 1))),
  matrix_row("log_lik", log_lik_of(fit, draws = 20), holds(ncol(value) == n, "no column a row")),
  matrix_row("loo", loo::loo(fit), is_a(value, "loo"), warns = "Pareto", needs = "loo", na = TRUE),
  matrix_row("case.names", case.names(fit), alike(value, as.character(seq_len(n)))),
  matrix_row("variable.names", variable.names(fit), alike(value, c("a", "b"))),
  matrix_row("VarCorr", VarCorr(fit), refuses = TRUE),
  matrix_row("deviance", deviance(fit), refuses = TRUE),
  matrix_row("df.residual", df.residual(fit), refuses = TRUE),
  matrix_row("family", family(fit), refuses = TRUE),
  matrix_row("fitted", fitted(fit), refuses = TRUE),
  matrix_row("fixef", fixef(fit), refuses = TRUE),
  matrix_row("hypothesis", hypothesis(fit, "mu[1,a] - mu[2,a] < 0"), is_frame_of(value, 1L),
    c(near(value$estimate, s["mu[1,a]", "mean"] - s["mu[2,a]", "mean"]),
      near(value$sd, sqrt(sum(c(1, -1, -1, 1) * vcov(fit)[c("mu[1,a]", "mu[2,a]"), c("mu[1,a]", "mu[2,a]")]))),
      holds(value$prob >= 0 & value$prob <= 1, "no probability"))),
  matrix_row("icc", icc(fit), refuses = TRUE),
  matrix_row("isSingular", isSingular(fit), refuses = TRUE),
  matrix_row("model.matrix", model.matrix(fit), refuses = TRUE),
  matrix_row("ngrps", ngrps(fit), refuses = TRUE),
  matrix_row("r2", r2(fit), refuses = TRUE),
  matrix_row("ranef", ranef(fit), refuses = TRUE),
  matrix_row("residuals", residuals(fit), refuses = TRUE),
  matrix_row("sigma", sigma(fit), refuses = TRUE),
  matrix_row("terms", terms(fit), refuses = TRUE),
  matrix_row("weights", weights(fit), refuses = TRUE),
  matrix_row("pp_check", bayesplot::pp_check(fit), refuses = TRUE, needs = "bayesplot"),
  matrix_row("posterior_epred", rstantools::posterior_epred(fit), refuses = TRUE, needs = "rstantools"),
  matrix_row("posterior_linpred", rstantools::posterior_linpred(fit), refuses = TRUE,
    needs = "rstantools"),
  matrix_row("posterior_predict", rstantools::posterior_predict(fit), refuses = TRUE,
    needs = "rstantools")
)

# ---- topic models --------------------------------------------------------------------

topic_cells <- data.frame(structure = "topics", response = "topics",
  engine = c("lda_vb", "lda_gibbs"), id = c("topics/vb", "topics/gibbs"))

topic_scope <- function(cell, parent) {
  set.seed(12)
  counts <- topic_corpus(8, 6, 2, 30, eta = 0.5)$counts
  e <- list2env(list(cell = as.list(cell), n = 8L, p = 6L, k = 2L, counts = counts), parent = parent)
  e$prevalence <- sprintf("prevalence[%d]", 1:2)
  e$variables <- c(e$prevalence, sprintf("topic[%d,v%d]", rep(1:2, each = 6), 1:6),
    sprintf("theta[d%d,%d]", rep(1:8, each = 2), 1:2))
  e$gibbs <- cell$engine == "lda_gibbs"
  e$vb_class <- if (e$gibbs) "lda_gibbs_fit" else "lda_vb_fit"
  e$model <- lda(counts, 2)
  set.seed(1)
  evalq({
    vb <- fit_vb(model)
    fit <- if (gibbs) suppressWarnings(fit_gibbs(vb, chains = 2, iter = 400, warmup = 100)) else vb
    s <- by_name(summary(fit))
    draws <- posterior::as_draws_array(if (gibbs) as_draws(fit) else as_draws(fit, ndraws = 2000))
  }, e)
  e
}

matrix_topic_rows <- list(
  matrix_row("fit_vb", fit_vb(fit), is_a(value, "lda_vb_fit"), when = !gibbs),
  matrix_row("fit_vb", fit_vb(model), is_a(value, "lda_vb_fit"), of = model),
  matrix_row("fit_gibbs", suppressWarnings(fit_gibbs(fit, chains = 1, iter = 100, warmup = 50)),
    is_a(value, "lda_gibbs_fit")),
  matrix_row("fit_gibbs", suppressWarnings(fit_gibbs(model, chains = 1, iter = 100, warmup = 50)),
    is_a(value, "lda_gibbs_fit"), of = model),
  matrix_row("fit_exact", fit_exact(fit), refuses = TRUE),
  matrix_row("fit_exact", fit_exact(model), refuses = TRUE, of = model),
  matrix_row("fit_hmc", fit_hmc(fit), refuses = TRUE),
  matrix_row("fit_hmc", fit_hmc(model), refuses = TRUE, of = model),
  matrix_row("as_target", as_target(fit), refuses = TRUE),
  matrix_row("nobs", nobs(fit), near(value, n)),
  matrix_row("coef", coef(fit), is_matrix_of(value, k, p, paste0("v", 1:6)),
    near(t(value), s[sprintf("topic[%d,v%d]", rep(1:2, each = 6), 1:6), "mean"])),
  matrix_row("vcov", vcov(fit), is_matrix_of(value, 2L, 2L, prevalence),
    near(sqrt(diag(value)), s[prevalence, "sd"])),
  matrix_row("vcov", vcov(fit, pars = "all"),
    check = c(holds(setequal(rownames(value), variables), "other variables"),
      near(sqrt(pmax(diag(value), 0)), s[rownames(value), "sd"], 1e-6))),
  matrix_row("logLik", logLik(fit), is_a(value, "logLik"), refuses = gibbs),
  matrix_row("summary", summary(fit),
    is_frame_of(value, length(variables), c("variable", "mean", "sd", "q2.5", "q97.5")),
    c(alike(value$variable, variables), holds(value$sd > 0, "an SD is not positive"))),
  matrix_row("print", prints(fit), printed(value)),
  matrix_row("print", prints(model), printed(value), of = model),
  matrix_row("plot", plots(fit), holds(!value$visible, "not silent")),
  matrix_row("plot", plots(fit, "trace"), holds(!value$visible, "not silent")),
  matrix_row("plot", plots(fit, "posterior"), holds(!value$visible, "not silent")),
  matrix_row("predict", predict(fit), is_matrix_of(value, n, k), near(rowSums(value), rep(1, n))),
  matrix_row("predict", predict(fit, counts[5:1, ]), is_matrix_of(value, 5L, k)),
  matrix_row("predict", predict(fit, type = "log_lik"), is_vector_of(value, n)),
  matrix_row("predict", predict(fit, counts * -1), refuses = TRUE),
  matrix_row("top_words", top_words(fit, 2), is_frame_of(value, 4L, c("topic", "word", "mean"))),
  matrix_row("as_draws", draws,
    check = holds(setequal(posterior::variables(value), variables), "other variables")),
  matrix_row("as_draws_array", draws_in("array", fit), is_a(value, "draws_array")),
  matrix_row("as.matrix", as.matrix(fit), holds(setequal(colnames(value), variables), "other variables")),
  matrix_row("as.array", as.array(fit), holds(length(dim(value)) == 3L, "no array")),
  matrix_row("as.data.frame", as.data.frame(fit), holds(all(variables %in% names(value)), "lacks some")),
  matrix_row("sd_ratio_report", sd_ratio_report(fit), is_a(value, "sd_ratio_report"), na = TRUE,
    refuses = gibbs),
  matrix_row("update", suppressWarnings(update(fit)), is_a(value, vb_class)),
  matrix_row("confint", confint(fit), is_matrix_of(value, 2L, 2L),
    near(c(value), c(s[prevalence, "q2.5"], s[prevalence, "q97.5"]))),
  matrix_row("tidy", tidy(fit, conf.int = TRUE), check = near(value$estimate, s[variables, "mean"]),
    na = TRUE),
  matrix_row("glance", glance(fit), is_frame_of(value, 1L, c("nobs", "topics")), na = TRUE),
  matrix_row("prior_summary", prior_summary(fit), is_a(value, "data.frame")),
  matrix_row("simulate", simulate(fit, 2, seed = 1), alike(value, simulate(fit, 2, seed = 1))),
  matrix_row("hypothesis", hypothesis(fit, "prevalence[1] - prevalence[2] > 0"),
    is_frame_of(value, 1L),
    near(value$estimate, s["prevalence[1]", "mean"] - s["prevalence[2]", "mean"])),
  matrix_row("case.names", case.names(fit), alike(value, paste0("d", 1:8))),
  matrix_row("variable.names", variable.names(fit), alike(value, paste0("v", 1:6))),
  matrix_row("deviance", deviance(fit), refuses = TRUE),
  matrix_row("df.residual", df.residual(fit), refuses = TRUE),
  matrix_row("family", family(fit), refuses = TRUE),
  matrix_row("fitted", fitted(fit), refuses = TRUE),
  matrix_row("formula", formula(fit), refuses = TRUE),
  matrix_row("residuals", residuals(fit), refuses = TRUE),
  matrix_row("weights", weights(fit), refuses = TRUE)
)

# The generics of R and of this package that have a method for some fit of ours and no row above.
# On a mixture they refuse: what another package's default says of a fit that it does not know is
# made up. (Or they get a method for mixtures, and with it a row.)
mixture_leftovers <- function(rows = matrix_mixture_rows) {
  methods <- registered_methods()
  fits <- c("meanfield_fit", "regression_fit", "vb_fit", "gibbs_fit", "exact_fit", "default")
  generics <- unique(methods$generic[methods$class %in% fits & is.na(methods$package)])
  had <- vapply(rows, `[[`, "", "generic")
  setdiff(generics, c(had, internal_generics(generics)))
}

# R's own "no applicable method" will do for a generic that this package does not export.
leftover_complaint <- function(generic, fit) {
  value <- tryCatch(suppressWarnings(get(generic, asNamespace("meanfield"))(fit)), error = identity)
  if (!inherits(value, "error")) {
    return(paste0("made up ", class(value)[1L], " of length ", length(value)))
  }
  ours <- generic %in% getNamespaceExports("meanfield")
  if (!ours && grepl("no applicable method", conditionMessage(value))) return("")
  judge_matrix_error(value, TRUE)
}

# ---- once ----------------------------------------------------------------------------

once_scope <- function(cell, parent) {
  d <- matrix_data()
  e <- list2env(list(cell = as.list(cell), d = d), parent = parent)
  e$fit <- fit_vb(y ~ x + (1 | g), d, integrate = "no")
  e$gram <- gram(y ~ x + f + (1 | g), d)
  e
}
once_cells <- data.frame(structure = "once", response = "once", engine = "once", id = "once")

beside <- function(package, expr) {
  loadNamespace(package)
  expr
}

# What another package's generic says of an object that it does not know: its own words, but an end.
said <- function(expr) {
  tryCatch({
    suppressMessages(expr)
    "an answer"
  }, condition = conditionMessage)
}
comes_back <- function(value) {
  complain(!nzchar(value) || grepl("recursi|nested too deeply|stack", value), "no end: ", value)
}

matrix_once_rows <- list(
  matrix_row("normal_prior", normal_prior(0, c(x = 2)), is_a(value, "meanfield_prior"), of = NULL),
  matrix_row("normal_prior", normal_prior(0, -1), refuses = TRUE, of = NULL),
  matrix_row("flat_prior", flat_prior(), is_a(value, "meanfield_prior"), of = NULL),
  matrix_row("gamma_prior", gamma_prior(1, 2), is_a(value, "meanfield_prior"), of = NULL),
  matrix_row("gamma_prior", gamma_prior(0, 2), refuses = TRUE, of = NULL),
  matrix_row("half_t_prior", half_t_prior(3, 1), is_a(value, "meanfield_prior"), of = NULL),
  matrix_row("half_t_prior", half_t_prior(Inf), refuses = TRUE, of = NULL),
  matrix_row("wishart_prior", wishart_prior(3, diag(2)), is_a(value, "meanfield_prior"), of = NULL),
  matrix_row("wishart_prior", wishart_prior(3, -diag(2)), refuses = TRUE, of = NULL),
  matrix_row("format", format(gamma_prior(1, 2)),
    holds(is.character(value) && length(value) == 1L, "no text"), of = gamma_prior(1, 2)),
  matrix_row("print", prints(gamma_prior(1, 2)), printed(value), of = gamma_prior(1, 2)),
  matrix_row("priors", priors(gamma_prior(1, 1)), refuses = TRUE, of = NULL),
  matrix_row("default_priors", default_priors(), is_a(value, "meanfield_priors"), of = NULL),
  matrix_row("print", prints(default_priors()), printed(value), of = default_priors()),
  matrix_row("print", prints(priors(tau_u = list(g = gamma_prior(1, 1)))), printed(value),
    of = default_priors()),
  matrix_row("law", law("gamma", shape = 1, rate = 2), is_a(value, "meanfield_law"), of = NULL),
  matrix_row("law", law("gamma", shape = 1), refuses = TRUE, of = NULL),
  matrix_row("format", format(law("normal")),
    holds(identical(value, "normal(mean 0; sd 1)"), "other text"), of = law("normal")),
  matrix_row("print", prints(law("wishart", df = 3, scale = diag(2))), printed(value),
    of = law("normal")),
  matrix_row("kl_divergence", kl_divergence(gamma_prior(1, 1), law("gamma", shape = 1, rate = 1)),
    holds(value == 0, "not zero"), of = NULL),
  matrix_row("kl_divergence", kl_divergence(c(0.5, 0.5), 1), refuses = TRUE, of = NULL),
  matrix_row("entropy_of", entropy_of(c(0.5, 0.5), 2), holds(value == 1, "not one bit"), of = NULL),
  matrix_row("entropy_of", entropy_of("coin"), refuses = TRUE, of = NULL),
  matrix_row("project_normal", project_normal(function(x) -x^4), is_a(value, "normal_projection"),
    of = NULL),
  matrix_row("project_normal", project_normal(function(x) x), refuses = TRUE, of = NULL),
  matrix_row("print", prints(project_normal(function(x) -x^4, "forward")), printed(value),
    of = structure(list(), class = "normal_projection")),
  matrix_row("plot", plots(project_normal(function(x) -x^4)), is_a(value$value, "normal_projection"),
    of = structure(list(), class = "normal_projection")),
  matrix_row("mixture_prior", mixture_prior(alpha = 2), is_a(value, "meanfield_mixture_prior"),
    of = NULL),
  matrix_row("mixture_prior", mixture_prior(alpha = 0), refuses = TRUE, of = NULL),
  matrix_row("print", prints(mixture_prior()), printed(value), of = mixture_prior()),
  matrix_row("gaussian_mixture", gaussian_mixture(d["x"], 2), is_a(value, "gaussian_mixture"),
    of = NULL),
  matrix_row("gaussian_mixture", gaussian_mixture(d["x"]), refuses = TRUE, of = NULL),
  matrix_row("lda", lda(tiny_counts, 2), is_a(value, "topic_model"), of = NULL),
  matrix_row("lda", lda(tiny_counts), refuses = TRUE, of = NULL),
  matrix_row("top_words", top_words(fit), refuses = TRUE, of = NULL),
  matrix_row("vb_control", vb_control(tol = 1e-6), is_a(value, "vb_control"), of = NULL),
  matrix_row("vb_control", vb_control(tol = -1), refuses = TRUE, of = NULL),
  matrix_row("neg_binomial", neg_binomial(), is_a(value, "family"), of = NULL),
  matrix_row("fit_vb", fit_vb(y ~ x + (1 | g), d), is_a(value, "vb_fit"), of = y ~ x),
  matrix_row("fit_exact", fit_exact(y ~ x + (1 | g), d), is_a(value, "exact_fit"), of = y ~ x),
  matrix_row("fit_gibbs", fit_gibbs(y ~ x + (1 | g), d, chains = 1, iter = 60, warmup = 50),
    is_a(value, "gibbs_fit"), of = y ~ x),
  matrix_row("fit_vb", fit_vb(d, y ~ x), is_a(value, "vb_fit"), of = d),
  matrix_row("fit_exact", fit_exact(d, y ~ x), is_a(value, "exact_fit"), of = d),
  matrix_row("fit_gibbs", fit_gibbs(d, y ~ x, chains = 1, iter = 60, warmup = 50),
    is_a(value, "gibbs_fit"), of = d),
  matrix_row("fit_vb", fit_vb("y ~ x", d), is_a(value, "vb_fit"), of = "y ~ x"),
  matrix_row("fit_exact", fit_exact("y ~ x", d), is_a(value, "exact_fit"), of = "y ~ x"),
  matrix_row("fit_vb", fit_vb(1), refuses = TRUE, of = 1),
  matrix_row("fit_exact", fit_exact(1), refuses = TRUE, of = 1),
  matrix_row("fit_exact", fit_exact(gaussian_mixture(d["x"], 2)), refuses = TRUE,
    of = gaussian_mixture(d["x"], 2)),
  matrix_row("fit_gibbs", fit_gibbs(NULL), refuses = TRUE, of = NULL),
  matrix_row("fit_gibbs", fit_gibbs("y ~ x", d, chains = 1, iter = 60, warmup = 50),
    is_a(value, "gibbs_fit"), of = "y ~ x"),
  matrix_row("hypothesis", hypothesis(1, "x > 0"), refuses = TRUE, of = 1),
  # with the peers loaded, whose generics ours hand foreign objects to
  matrix_row("isSingular", isSingular(lme4::lmer(y ~ x + (1 | g), d)),
    holds(is.logical(value), "no flag"), of = 1, needs = "lme4"),
  matrix_row("ngrps", ngrps(lme4::lmer(y ~ x + (1 | g), d)), near(value, 6), of = 1,
    needs = "lme4"),
  matrix_row("ngrps", beside("lme4", said(ngrps(1))), comes_back(value), of = 1, needs = "lme4"),
  matrix_row("prior_summary", beside("rstantools", said(prior_summary(1))), comes_back(value), of = 1,
    needs = "rstantools"),
  matrix_row("sd_ratio_report", sd_ratio_report(1), refuses = TRUE, of = 1),
  matrix_row("compare", meanfield::compare(fit, 1), refuses = TRUE, of = NULL),
  matrix_row("vb_khat", vb_khat(1), refuses = TRUE, of = NULL),
  matrix_row("vb_sensitivity", vb_sensitivity(1), refuses = TRUE, of = NULL),
  matrix_row("icc", said(icc(1)), comes_back(value), of = NULL),
  matrix_row("r2", said(r2(1)), comes_back(value), of = NULL),
  matrix_row("gram", gram(y ~ x + (1 | g), d), is_a(value, "meanfield_gram"), of = NULL),
  matrix_row("gram", gram(like = gram, data = d), alike(value, gram), of = NULL),
  matrix_row("gram", gram(y ~ I(x - mean(x)), d), refuses = TRUE, of = NULL),
  matrix_row("fit_vb", fit_vb(gram), is_a(value, "vb_fit"), of = gram),
  matrix_row("fit_vb", fit_vb(gram, family = poisson()), refuses = TRUE, of = gram),
  matrix_row("fit_exact", fit_exact(gram), is_a(value, "exact_fit"), of = gram),
  matrix_row("fit_gibbs", fit_gibbs(gram, chains = 1, iter = 60, warmup = 50),
    is_a(value, "gibbs_fit"), of = gram),
  matrix_row("+", gram + gram, near(value$n, 2 * gram$n), of = gram),
  matrix_row("sum", sum(gram, gram), near(value$n, 2 * gram$n), of = gram),
  matrix_row("nobs", nobs(gram), near(value, nrow(d)), of = gram),
  matrix_row("formula", formula(gram), is_a(value, "formula"), of = gram),
  matrix_row("+", gram + 1, refuses = TRUE, of = gram),
  matrix_row("print", prints(gram), printed(value), of = gram)
)

# ---- dots ----------------------------------------------------------------------------

# Arguments that no method knows are refused. Left out: print(), which hands them on; update(),
# whose arguments are those of the call; what other packages call with arguments of their own, as
# nobs(use.fallback = ), formula(fixed.only = ).
dots_generics <- function() {
  methods <- registered_methods()
  ours <- methods$class %in% c("meanfield_fit", "regression_fit", "vb_fit") & is.na(methods$package)
  generics <- unique(methods$generic[ours])
  accessors <- c("nobs", "formula", "terms", "family", "weights", "df.residual", "model.frame",
    "model.matrix", "logLik")
  setdiff(generics, c("print", "update", "fit_exact", accessors, internal_generics(generics)))
}

dots_complaint <- function(generic, fit) {
  f <- get(generic, asNamespace("meanfield"))
  value <- tryCatch(suppressWarnings(f(fit, nonsense = 1)), error = identity)
  if (!inherits(value, "error")) return("swallows an unknown argument")
  if (inherits(value, "meanfield_error")) return("")
  paste("error without a class:", conditionMessage(value))
}
