# What is called on a fit: tables of steps, function(f, x) of the fit and its case. A new method is
# one more entry; the runner picks some of each table.

is_vb <- function(f) inherits(f, "vb_fit")
is_gibbs <- function(f) inherits(f, "gibbs_fit")
is_gaussian_fit <- function(f) stats::family(f)$family == "gaussian"
quietly <- function(expr) suppressMessages(expr)

# Rows of new data: of the case's own, some changed.
head_rows <- function(x, n = 3L) x$d[seq_len(min(n, nrow(x$d))), , drop = FALSE]
put_column <- function(d, x, name, value) {
  d[[x$column(name)]] <- value
  d
}
with_new_levels <- function(x) {
  d <- x$d
  g <- d[[x$column("g")]]
  at <- seq_len(min(2L, nrow(d)))
  if (is.factor(g)) levels(g) <- c(levels(g), "zzz")
  g[at] <- switch(class(g)[1L], integer = 999L, numeric = 999.5, logical = NA, "zzz")
  put_column(d, x, "g", g)
}

summary_steps <- list(
  summary = function(f, x) check_summary(summary(f)),
  summary_u = function(f, x) check_summary(summary(f, pars = "u")),
  summary_level = function(f, x) check_finite(summary(f, level = .5)[c("q25", "q75")], "q25"),
  print = function(f, x) check_printed(f),
  print_summary = function(f, x) check_printed(summary(f)),
  tidy = function(f, x) {
    t <- tidy(f, conf.int = TRUE)
    check_finite(t[c("estimate", "std.error", "conf.low", "conf.high")], "tidy", na = TRUE)
  },
  tidy_u = function(f, x) {
    t <- tidy(f, "ran_vals")
    if (!"estimate" %in% names(t)) wrong("tidy: no column estimate")
    check_finite(t$estimate, "tidy")
  },
  glance = function(f, x) check_finite(glance(f), "glance", na = TRUE),
  augment = function(f, x) augment(f),
  plot = function(f, x) plot(f),
  prior_summary = function(f, x) prior_summary(f),
  saveRDS = function(f, x) {
    file <- tempfile(fileext = ".rds")
    on.exit(unlink(file))
    saveRDS(f, file)
    if (!identical(summary(readRDS(file)), summary(f))) disagree("readRDS(): another summary")
  }
)

predict_steps <- list(
  predict = function(f, x) check_finite(predict(f), "predict", na = TRUE),
  predict_response = function(f, x) {
    p <- predict(f, type = "response", se.fit = TRUE)
    check_finite(countable(unlist(p), f), "predict response", na = TRUE)
  },
  predict_confidence = function(f, x) {
    check_interval(predict(f, interval = "confidence"), "confidence")
  },
  predict_prediction = function(f, x) {
    p <- predict(f, interval = "prediction", type = "response")
    check_interval(countable(p, f), "prediction", inside = is_gaussian_fit(f))
  },
  predict_population = function(f, x) {
    form <- pick(list(NA, ~0, NULL))
    p <- predict(f, x$d, re.form = form, se.fit = TRUE)
    check_size(p$fit, nrow(x$d), "predict")
    check_finite(p, "predict population", na = TRUE)
  },
  predict_form = function(f, x) predict(f, re.form = pick(list(~ (1 | g), ~ (1 | nonsense), "g"))),
  predict_new_levels = function(f, x) {
    p <- predict(f, with_new_levels(x), allow_new_levels = TRUE, interval = "confidence")
    check_interval(p, "new levels")
  },
  predict_refused_levels = function(f, x) {
    predict(f, put_column(head_rows(x), x, "id", 1e6 + seq_len(min(3L, nrow(x$d)))))
  },
  predict_no_rows = function(f, x) check_size(predict(f, x$d[0, , drop = FALSE]), 0L, "predict"),
  predict_one_row = function(f, x) check_size(predict(f, head_rows(x, 1L)), 1L, "predict"),
  predict_other_level = function(f, x) predict(f, put_column(x$d, x, "f1", factor("q"))),
  predict_lacking = function(f, x) predict(f, x$d[x$column("x2")]),
  predict_wrong_type = function(f, x) predict(f, put_column(x$d, x, "x1", "text")),
  predict_matrix = function(f, x) predict(f, as.matrix(x$d[c("x2", "id")])),
  predict_list = function(f, x) predict(f, as.list(x$d)),
  predict_rows = function(f, x) { # a row's prediction does not depend on the others
    d <- x$d[sample.int(nrow(x$d)), , drop = FALSE]
    a <- predict(f, d, allow_new_levels = TRUE)
    b <- predict(f, d[rev(seq_len(nrow(d))), , drop = FALSE], allow_new_levels = TRUE)
    if (!isTRUE(all.equal(unname(a), unname(rev(b))))) disagree("predictions depend on the rows")
  },
  budget = function(f, x) check_finite(predict(f, budget = TRUE), "budget", na = TRUE),
  fitted = function(f, x) check_finite(countable(fitted(f), f), "fitted", na = TRUE),
  residuals = function(f, x) {
    check_finite(countable(residuals(f), f), "residuals", na = TRUE)
    check_finite(residuals(f, "pearson"), "Pearson residuals", na = TRUE)
  },
  posterior_predict = function(f, x) {
    check_finite(rstantools::posterior_predict(f, draws = 20), "posterior_predict", na = TRUE)
  },
  posterior_epred = function(f, x) {
    e <- rstantools::posterior_epred(f, head_rows(x), draws = 20, allow_new_levels = TRUE)
    check_finite(e, "posterior_epred", na = TRUE)
  },
  posterior_linpred = function(f, x) {
    check_finite(rstantools::posterior_linpred(f, draws = 10, re.form = NA), "linpred", na = TRUE)
  },
  log_lik = function(f, x) check_finite(rstantools::log_lik(f, draws = 20), "log_lik"),
  simulate = function(f, x) check_finite(simulate(f, 2, seed = 1), "simulate", na = TRUE)
)

coefficient_steps <- list(
  ranef = function(f, x) {
    r <- ranef(f)
    check_finite(r, "ranef")
    check_finite(as.data.frame(r)$condsd, "condsd")
    check_printed(r)
  },
  coef = function(f, x) check_finite(coef(f), "coef"),
  fixef = function(f, x) check_finite(fixef(f), "fixef"),
  VarCorr = function(f, x) {
    v <- VarCorr(f)
    check_printed(v)
    check_finite(as.data.frame(v)$sdcor, "VarCorr", na = TRUE)
  },
  sigma = function(f, x) check_finite(sigma(f), "sigma"),
  vcov = function(f, x) check_vcov(vcov(f), "vcov"),
  vcov_type = function(f, x) {
    type <- pick(c("lrvb", "mfvb", "integrated"))
    if (is_vb(f)) check_vcov(vcov(f, type = type), paste("vcov", type))
  },
  vcov_all = function(f, x) check_vcov(vcov(f, pars = "all"), "vcov all"),
  confint = function(f, x) {
    p <- confint(f)
    check_finite(p, "confint", na = TRUE)
    if (any(p[, 1L] > p[, 2L], na.rm = TRUE)) wrong("confint: not ordered")
  },
  hypothesis = function(f, x) {
    h <- as.data.frame(hypothesis(f, c("x1 > 0", "x1 - 1 = 0")))
    check_finite(h[2:5], "hypothesis")
  },
  isSingular = function(f, x) isSingular(f),
  icc = function(f, x) check_finite(as.data.frame(icc(f, ndraws = 100))[-1L], "icc"),
  r2 = function(f, x) check_finite(as.data.frame(r2(f, ndraws = 100))[-1L], "r2"),
  model = function(f, x) {
    formula(f)
    terms(f)
    weights(f)
    df.residual(f)
    family(f)
    ngrps(f)
    model.matrix(f)
    check_finite(nobs(f), "nobs")
  }
)

draws_steps <- list(
  as_draws = function(f, x) {
    check_finite(unclass(if (is_gibbs(f)) as_draws(f) else as_draws(f, ndraws = 50)), "as_draws")
  },
  as_draws_u = function(f, x) {
    d <- if (is_gibbs(f)) as_draws(f, u = TRUE) else as_draws(f, ndraws = 20, u = TRUE)
    check_finite(unclass(d), "as_draws")
  },
  as_draws_rvars = function(f, x) posterior::as_draws_rvars(f, u = FALSE)
)

report_steps <- list(
  sd_ratio_report = function(f, x) {
    r <- sd_ratio_report(f)
    check_printed(r)
    check_finite(as.data.frame(r)[c("ratio_mfvb", "ratio_lrvb")], "ratios", na = TRUE)
  },
  report_exact = function(f, x) {
    if (is_vb(f) && is_gaussian_fit(f)) check_printed(sd_ratio_report(f, fit_exact(f)))
  },
  vb_sensitivity = function(f, x) {
    if (is_vb(f)) check_finite(vb_sensitivity(f), "sensitivity", na = TRUE)
  },
  vb_khat = function(f, x) {
    k <- vb_khat(f, 200)
    check_printed(k)
    if (is.nan(k)) wrong("vb_khat: NaN")
  },
  compare = function(f, x) check_printed(meanfield::compare(a = f, b = f, ndraws = 100)),
  logLik = function(f, x) {
    check_finite(logLik(f), "logLik")
    AIC(f)
  },
  exact_of = function(f, x) check_summary(summary(fit_exact(f))),
  gibbs_of = function(f, x) {
    check_summary(summary(fit_gibbs(f, chains = 1, iter = 120, warmup = 100)))
  },
  vb_of = function(f, x) check_summary(summary(fit_vb(f)))
)

update_steps <- list(
  update = function(f, x) update(f),
  update_subset = function(f, x) update(f, subset = seq_along(id) <= 30),
  update_more = function(f, x) update(f, . ~ . + x2),
  update_fewer = function(f, x) update(f, . ~ . - x1),
  update_data = function(f, x) update(f, data = d[-1L, ]),
  update_prior = function(f, x) update(f, prior = default_priors()),
  update_call = function(f, x) if (!is.call(update(f, evaluate = FALSE))) wrong("update: no call")
)

# Methods for other packages' generics. When one fails outside of our functions, and fails in the
# same way on lm()'s fit of the fixed part, the fault is not ours: see foreign_failure().
interop <- function(package, run) structure(run, package = package)
interop_steps <- list(
  loo = interop("loo", function(f, x) loo::loo(f, draws = 100)),
  pp_check = interop("bayesplot", function(f, x) bayesplot::pp_check(f, draws = 5)),
  emmeans = interop("emmeans", function(f, x) {
    term <- intersect(c("f1", "x1", "lg", "ch"), attr(stats::terms(f), "term.labels"))
    if (!length(term)) return(invisible())
    e <- as.data.frame(quietly(emmeans::emmeans(f, term[1L])))
    if (inherits(f, "meanfield_fit")) check_finite(e[c("emmean", "SE")], "emmeans", na = TRUE)
  }),
  emmeans_response = interop("emmeans", function(f, x) {
    if (!"f1" %in% attr(stats::terms(f), "term.labels")) return(invisible())
    e <- as.data.frame(quietly(emmeans::emmeans(f, "f1")))
    r <- as.data.frame(quietly(emmeans::emmeans(f, "f1", type = "response")))
    if (!inherits(f, "meanfield_fit")) return(invisible())
    want <- stats::family(f)$linkinv(e[[2L]])
    if (!isTRUE(all.equal(r[[2L]], want, tolerance = 1e-6))) disagree("emmeans: not the response")
  }),
  insight = interop("insight", function(f, x) {
    insight::find_formula(f)
    insight::find_parameters(f)
    insight::get_parameters(f)
    insight::find_response(f)
    insight::get_data(f)
    insight::get_statistic(f)
    insight::find_random(f)
  }),
  performance = interop("performance", function(f, x) performance::performance_rmse(f)),
  marginaleffects = interop("marginaleffects", function(f, x) {
    marginaleffects::avg_predictions(f)
  })
)

# Does the step fail on lm()'s fit of the fixed part too?
foreign_failure <- function(step, f, x) {
  if (is.null(attr(step, "package"))) return(FALSE)
  peer <- tryCatch({
    suppressWarnings(stats::lm(stats::formula(stats::terms(f)), stats::model.frame(f)))
  }, error = function(e) NULL)
  if (is.null(peer)) return(TRUE)
  tryCatch({
    suppressWarnings(step(peer, x))
    FALSE
  }, error = function(e) TRUE)
}

model_steps <- c(summary_steps, predict_steps, coefficient_steps, draws_steps, report_steps,
  update_steps, interop_steps)

mixture_steps <- list(
  summary = function(f, x) check_mixture_summary(summary(f)),
  print = function(f, x) check_printed(f),
  predict = function(f, x) {
    r <- predict(f)
    check_finite(r, "predict")
    if (max(abs(rowSums(r) - 1)) > 1e-8) wrong("predict: rows do not sum to one")
  },
  predict_new = function(f, x) check_size(predict(f, f$model$x[1L, , drop = FALSE]), 1L, "predict"),
  predict_frame = function(f, x) predict(f, as.data.frame(f$model$x), type = "class"),
  predict_wrong = function(f, x) {
    predict(f, pick(list("a", f$model$x[0, ], NULL, data.frame(q = 1))))
  },
  coef = function(f, x) check_finite(coef(f), "coef"),
  vcov = function(f, x) check_vcov(vcov(f), "vcov"),
  vcov_all = function(f, x) check_mixture_vcov(vcov(f, pars = "all")),
  as_draws = function(f, x) {
    d <- if (inherits(f, "gmm_gibbs_fit")) as_draws(f) else as_draws(f, ndraws = 50)
    check_finite(unclass(d), "as_draws")
  },
  plot = function(f, x) plot(f),
  plot_data = function(f, x) plot(f, what = "data"),
  sd_ratio_report = function(f, x) check_printed(sd_ratio_report(f)),
  logLik = function(f, x) check_finite(logLik(f), "logLik"),
  saveRDS = summary_steps$saveRDS,
  gibbs_of = function(f, x) summary(fit_gibbs(f, chains = 1, iter = 60, warmup = 10)),
  vb_of = function(f, x) summary(fit_vb(f)),
  update = function(f, x) update(f),
  others = function(f, x) { # what a mixture does not have is refused
    what <- pick(c("tidy", "glance", "fixef", "ranef", "VarCorr", "icc", "r2", "ngrps", "vb_khat"))
    value <- tryCatch(get(what)(f), error = identity)
    if (inherits(value, "meanfield_error")) stop(value)
    if (inherits(value, "error")) wrong(what, "() is not refused: ", conditionMessage(value))
  }
)

# Sigma has no moments in components of few rows; the weight of a single component no spread.
check_mixture_summary <- function(s) {
  s <- as.data.frame(s)
  s <- s[!grepl("^Sigma", s$variable) | !is.na(s$mean), ]
  single <- !any(grepl("^pi\\[2", s$variable)) & grepl("pi\\[1", s$variable)
  check_summary(s[!single, ])
}
