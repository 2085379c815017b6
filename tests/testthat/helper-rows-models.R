# The rows of the matrix. A name in a row is one of cell_scope(): fit, d, n, p, s (the summary, row
# names its variables), draws, beta, u, counts, linkinv, gaussian, gibbs, exact, vb, integrated, ...

identity_variables <- function(names) grep("^(beta|u|log_)", names, value = TRUE)

# Mean and SD of draws against those of the summary: 5 Monte Carlo standard errors, and 2% of the
# SD for what a lattice may be off. The draws of a sampler are what its summary is made of.
agrees_with_draws <- function(s, draws, variables, exactly) {
  x <- posterior::as_draws_matrix(posterior::subset_draws(draws, variable = variables))
  s <- s[variables, ]
  at <- !is.na(s$mean)
  mean_off <- abs(colMeans(x) - s$mean) / (s$sd / sqrt(nrow(x)))
  sd <- apply(x, 2L, stats::sd)
  slack <- 5 * apply(x, 2L, posterior::mcse_sd) + 0.02 * s$sd
  sd_off <- abs(sd - s$sd) / slack
  if (exactly) return(c(near(colMeans(x)[at], s$mean[at], 1e-8, "mean"),
    near(sd[at], s$sd[at], 1e-8, "sd")))
  worst <- function(v) variables[at][which.max(v[at])]
  c(complain(any(mean_off[at] > 5), "mean of the draws of ", worst(mean_off), " is ",
    signif(max(mean_off[at]), 3), " standard errors off"),
    complain(any(sd_off[at] > 1), "SD of the draws of ", worst(sd_off), " is ",
      signif(sd[variables == worst(sd_off)], 3), ", in the summary ",
      signif(s[worst(sd_off), "sd"], 3)))
}

# Column means of a draws x rows matrix against the values they estimate.
estimates <- function(x, want, ess, what = "") {
  se <- apply(x, 2L, stats::sd) / sqrt(ess)
  off <- abs(colMeans(x) - unname(want)) / pmax(se, 1e-12)
  complain(max(off) > 5, what, " ", signif(max(off), 3), " standard errors off")
}

# The quantiles of f(v) are f of those of v; interpolated between draws, up to a fiftieth of an SD.
transformed <- function(s, from, to, f) {
  from <- intersect(from, rownames(s))
  to <- to(from)
  q <- c("q2.5", "q97.5")
  got <- as.matrix(s[to, q])
  want <- f(as.matrix(s[from, q]))
  want <- cbind(pmin(want[, 1L], want[, 2L]), pmax(want[, 1L], want[, 2L]))
  off <- abs(log(abs(got)) - log(abs(want))) / s[from, "sd"]
  complain(length(off) && max(off) > 0.02, "quantiles of ", to[row(off)[which.max(off)]],
    " are not those of its logarithm")
}

summary_columns <- function(vb, gibbs) {
  c("variable", "mean", "sd", if (vb) c("mean_mfvb", "sd_mfvb", "source"), "q2.5", "q97.5",
    if (gibbs) c("mcse_mean", "mcse_sd", "ess_bulk", "ess_tail", "rhat"))
}

ordered_summary <- function(s) {
  at <- !is.na(s$mean)
  c(holds(s$q2.5 < s$q97.5, "quantiles are not ordered"),
    holds(s$sd[at] > 0, "an SD is not positive"),
    holds(s$mean[at] > s$q2.5[at] & s$mean[at] < s$q97.5[at], "a mean lies outside its interval"),
    holds(at | grepl("^(tau|Lambda)", s$variable), "a mean is missing that exists"))
}

# Fitted by someone else: means within half a standard error, standard errors within a third.
peer_fit <- function(cell, d) {
  call <- as.list(cell_call(utils::modifyList(as.list(cell), list(engine = "vb"))))
  bars <- length(matrix_structures[[cell$structure]]$bars) > 0L
  call[[1L]] <- quote(stats::glm)
  if (bars && cell$family == "gaussian") {
    call[[1L]] <- quote(lme4::lmer)
    call$family <- NULL
  } else if (cell$family == "neg_binomial") {
    call[[1L]] <- getExportedValue("glmmTMB", "glmmTMB") # used where it is, not asked for
    call$family <- getExportedValue("glmmTMB", "nbinom2")()
  } else if (bars) {
    call[[1L]] <- quote(lme4::glmer)
    call$control <- quote(lme4::glmerControl(optimizer = "bobyqa"))
  }
  here <- list2env(list(d = d), parent = globalenv())
  suppressWarnings(suppressMessages(eval(as.call(call), here)))
}
# A peer that lies at its boundary or says that it did not converge says nothing of us.
trustworthy <- function(peer) {
  if (!inherits(peer, "merMod")) return(TRUE)
  !lme4::isSingular(peer) && !length(peer@optinfo$conv$lme4$messages)
}
like_peer <- function(fit, cell, d) {
  peer <- peer_fit(cell, d)
  if (!trustworthy(peer)) return("")
  t <- stats::coef(summary(peer))
  if (is.list(t)) t <- t$cond
  ratio <- range(sqrt(diag(vcov(fit)))[rownames(t)] / t[, 2L])
  c(within(fixef(fit)[rownames(t)], t[, 1L], t[, 2L], 0.5, "coefficient against the peer's"),
    complain(ratio[1L] < 2 / 3 || ratio[2L] > 1.5, "standard errors ", toString(signif(ratio, 3)),
      " of the peer's"))
}
has_peer <- function(cell) {
  package <- if (cell$family == "neg_binomial") "glmmTMB" else "lme4"
  cell$engine %in% c("vb", "exact") && requireNamespace(package, quietly = TRUE)
}

# Simulated responses fitted again: the coefficients that they were simulated from.
refitted <- function(fit, cell, d) {
  response <- matrix_responses[[cell$response]]
  y <- simulate(fit, 1, seed = 5)$sim_1
  call <- as.list(cell_call(utils::modifyList(as.list(cell), list(engine = "no"))))
  eval(as.call(call), list2env(list(d = response$put(d, y)), parent = globalenv()))
}

# A generic of a package that need not be there, else the method itself.
generic_of <- function(name, package, class = "regression_fit") {
  if (requireNamespace(package, quietly = TRUE)) return(getExportedValue(package, name))
  utils::getFromNamespace(paste0(name, ".", class), "meanfield")
}
posterior_predict_of <- function(...) generic_of("posterior_predict", "rstantools")(...)
posterior_epred_of <- function(...) generic_of("posterior_epred", "rstantools")(...)
posterior_linpred_of <- function(...) generic_of("posterior_linpred", "rstantools")(...)
log_lik_of <- function(...) generic_of("log_lik", "rstantools")(...)
marginal_of <- function(name, ...) generic_of(name, "marginaleffects")(...)

columns_of <- function(x, names) unname(as.matrix(as.data.frame(x)[names]))

# Share of the draws on either side of a central 95% interval: no more than it should be.
covers <- function(y, interval) {
  most <- 0.025 + 5 * sqrt(0.025 * 0.975 / nrow(y))
  low <- colMeans(y < rep(interval[, "lwr"] - 1e-9, each = nrow(y)))
  high <- colMeans(y > rep(interval[, "upr"] + 1e-9, each = nrow(y)))
  complain(max(low, high) > most, "a tail of ", signif(max(low, high), 3),
    " where .025 is meant")
}

new_level <- function(d) {
  d <- d[1:4, ]
  d$g <- c("a", "new", "new", "other")
  d
}

# sigma and rho of the terms, then sigma_e: the order of tidy() and VarCorr().
tidied <- function(precisions) {
  c(grep("^(sigma_u|rho_u)", precisions, value = TRUE), intersect("sigma_e", precisions))
}

precision_count <- function(cell) {
  terms <- matrix_structures[[cell$structure]]$terms
  each <- vapply(terms, function(t) if (t$vector) 1L else length(t$coef), 1L)
  length(matrix_responses[[cell$response]]$lead) + sum(each)
}

# The effect of `coef` of the first level of the first factor, where it has one.
ranef_of <- function(fit, coef) {
  u <- ranef(fit)[[1L]][[coef]]
  if (is.null(u)) 0 else u[1L]
}

effects_of_rows <- function(fit, cell, d) {
  terms <- matrix_structures[[cell$structure]]$terms
  out <- numeric(nrow(d))
  if (!length(terms)) return(out)
  u <- ranef(fit)
  for (t in terms) {
    level <- match(group_of(t, d), rownames(u[[t$group]]))
    for (k in t$coef) out <- out + u[[t$group]][level, k] * (if (k == "x") d$x else 1)
  }
  out
}

draws_of <- function(fit, ...) {
  if (inherits(fit, "gibbs_fit")) as_draws(fit, ...) else as_draws(fit, ndraws = 20, ...)
}

draws_in <- function(format, fit) {
  own <- if (inherits(fit, c("gibbs_fit", "gmm_gibbs_fit", "lda_gibbs_fit"))) list() else list(ndraws = 20)
  convert <- getExportedValue("posterior", paste0("as_draws_", format))
  do.call(convert, c(list(fit), own))
}

identical_names <- function(V) identical(rownames(V), colnames(V))

share_of_draws <- function(prob, draws, gibbs) {
  above <- posterior::extract_variable_matrix(draws, "beta[x]") > 0.5
  share <- mean(above)
  ess <- if (gibbs) posterior::ess_mean(above + 0) else length(above)
  off <- abs(prob - share) / sqrt(max(share * (1 - share), 1e-3) / ess)
  complain(off > 5, "prob is ", signif(prob, 3), ", the share of the draws ", signif(share, 3))
}

# se.fit is the SD of the draws of the linear predictor.
like_linpred <- function(value, fit, gibbs) {
  x <- posterior_linpred_of(fit, draws = 1000)
  slack <- 5 / sqrt(2 * (if (gibbs) 100 else 1000)) + 0.02
  off <- max(abs(apply(x, 2L, stats::sd) / value$se.fit - 1))
  complain(off > slack, "se.fit is ", signif(100 * off, 3), "% off the SD of the draws")
}

# Estimates and standard errors of emmeans(fit, "f"), and the rows that they stand for.
emm_table <- function(fit, ...) {
  out <- as.data.frame(emmeans::emmeans(fit, "f", ...))
  data.frame(estimate = out[[2L]], se = out$SE)
}
emm_rows <- function(d) cbind(1, mean(d$x), c(0, 1, 0), c(0, 0, 1))

kept <- function(fit) {
  file <- tempfile(fileext = ".rds")
  on.exit(unlink(file))
  saveRDS(fit, file)
  readRDS(file)
}

# nocov start: a table
matrix_model_rows <- list(
  # ---- the model ----
  matrix_row("nobs", nobs(fit), holds(identical(value, n), "not n")),
  matrix_row("formula", formula(fit), alike(value, cell_formula(cell))),
  matrix_row("family", family(fit)$family, alike(value, family)),
  matrix_row("terms", terms(fit), alike(attr(value, "term.labels"), c("x", "f"))),
  matrix_row("model.frame", model.frame(fit), is_frame_of(value, n)),
  matrix_row("model.matrix", model.matrix(fit), is_matrix_of(value, n, p, fixed)),
  matrix_row("weights", weights(fit), near(value, rep_len(size, n))),
  matrix_row("df.residual", df.residual(fit), near(value, n - p)),
  matrix_row("ngrps", ngrps(fit), alike(c(value)[names(counts)], counts), when = groups),
  matrix_row("ngrps", ngrps(fit), holds(length(value) == 0L, "groups from nowhere"),
    when = !groups),
  matrix_row("prior_summary", prior_summary(fit),
    is_frame_of(value, p + precision_count(cell), c("variable", "prior"))),
  matrix_row("logLik", logLik(fit), is_a(value, "logLik"),
    refuses = gibbs || iterated),
  matrix_row("AIC", AIC(fit), refuses = TRUE),
  matrix_row("BIC", BIC(fit), refuses = TRUE),
  matrix_row("print", prints(logLik(fit)), printed(value), of = logLik(fit),
    when = !gibbs && !iterated),
  matrix_row("update", update(fit, . ~ . - f), check = alike(names(fixef(value)), fixed[1:2])),
  matrix_row("update", update(fit, evaluate = FALSE), check = holds(is.call(value), "no call")),
  matrix_row("isSingular", isSingular(fit),
    holds(is.logical(value) && length(value) == 1L && !is.na(value), "neither TRUE nor FALSE")),

  # ---- summaries ----
  matrix_row("summary", summary(fit),
    is_frame_of(value, p + length(precisions), summary_columns(vb, gibbs)),
    c(alike(value$variable, c(beta, precisions)), ordered_summary(value)), na = TRUE),
  matrix_row("summary", summary(fit, pars = "u"),
    check = c(holds(setequal(value$variable, c(beta, precisions, u)), "other rows than expected"),
      ordered_summary(value)), na = TRUE),
  matrix_row("summary", summary(fit, level = 0.5),
    check = c(holds(c("q25", "q75") %in% names(value), "no q25 and q75"),
      holds(value$q25 > s[value$variable, "q2.5"] & value$q75 < s[value$variable, "q97.5"],
        "intervals do not nest")), na = TRUE),
  matrix_row("summary", s,
    c(transformed(s, paste0("log_", precisions), function(v) sub("^log_", "", v), exp),
      transformed(s, grep("^log_tau", precisions, value = TRUE),
        function(v) sub("log_tau", "sigma", v), function(q) exp(-q / 2))), na = TRUE),
  matrix_row("as.data.frame", as.data.frame(summary(fit)), alike(class(value), "data.frame"),
    of = summary(fit), na = TRUE),
  matrix_row("print", prints(fit), printed(value)),
  matrix_row("print", prints(summary(fit)), printed(value), of = summary(fit)),
  matrix_row("plot", plots(fit), holds(!value$visible, "plot() is not silent")),
  matrix_row("plot", plots(fit, variables = "beta[x]"), holds(!value$visible, "not silent")),
  matrix_row("tidy", tidy(fit, c("fixed", "ran_pars", "ran_vals"), conf.int = TRUE),
    is_frame_of(value, p + length(grep("^(sigma|rho)", precisions)) + length(u),
      c("effect", "group", "term", "estimate", "std.error", "conf.low", "conf.high")),
    near(value$estimate, s[c(beta, tidied(precisions), rownames(s)[rownames(s) %in% u]), "mean"])),
  matrix_row("tidy", tidy(fit, conf.int = TRUE, conf.level = 0.5),
    check = near(value$conf.low[1:p], summary(fit, level = 0.5)$q25[1:p], 1e-6)),
  matrix_row("glance", glance(fit), is_frame_of(value, 1L, c("nobs", "sigma", "df.residual")),
    na = iterated),
  matrix_row("augment", augment(fit), is_frame_of(value, n, c(".fitted", ".resid", ".se.fit")),
    c(near(value$.fitted, predict(fit)),
      near(value$.resid, residuals(fit, if (gaussian) "response" else "deviance")))),
  matrix_row("augment", augment(fit, newdata = d[1:5, ]), is_frame_of(value, 5L, ".fitted"),
    near(value$.fitted, predict(fit, d[1:5, ]))),

  # ---- coefficients, effects, covariances ----
  matrix_row("fixef", fixef(fit), is_vector_of(value, p),
    c(alike(names(value), fixed), near(value, s[beta, "mean"]))),
  matrix_row("fixef", fixef(fit), check = like_peer(fit, cell, d), when = has_peer(cell)),
  matrix_row("ranef", ranef(fit), is_a(value, "list"),
    c(alike(names(value), names(counts)),
      near(sort(numbers(lapply(value, as.list))), sort(s[u, "mean"]))), refuses = !groups),
  matrix_row("as.data.frame", as.data.frame(ranef(fit)),
    is_frame_of(value, length(u), c("grpvar", "term", "grp", "condval", "condsd")),
    near(sort(value$condsd), sort(s[u, "sd"]), 1e-6), of = ranef(fit), when = groups),
  matrix_row("print", prints(ranef(fit)), printed(value), of = ranef(fit), when = groups),
  matrix_row("coef", coef(fit),
    check = if (groups) near(value[[1L]]$x[1L], fixef(fit)[["x"]] + ranef_of(fit, "x")) else
      near(value, fixef(fit))),
  matrix_row("as.matrix", as.matrix(fit),
    check = alike(colnames(value)[seq_len(p)], posterior::variables(draws)[seq_len(p)])),
  matrix_row("as.array", as.array(fit), holds(length(dim(value)) == 3L, "no array")),
  matrix_row("as.data.frame", as.data.frame(fit),
    check = holds(all(beta %in% names(value)), "lacks a coefficient")),
  matrix_row("case.names", case.names(fit), alike(value, as.character(seq_len(n)))),
  matrix_row("variable.names", variable.names(fit), alike(value, fixed)),
  matrix_row("deviance", deviance(fit),
    near(value, sum(residuals(fit, if (gaussian) "response" else "deviance")^2))),
  matrix_row("VarCorr", VarCorr(fit), is_a(value, "VarCorr.meanfield"),
    near(unlist(lapply(value, attr, "stddev")),
      s[grep("^sigma_u", precisions, value = TRUE), "mean"]), na = TRUE),
  matrix_row("as.data.frame", as.data.frame(VarCorr(fit)),
    is_frame_of(value, length(grep("^(sigma|rho)", precisions)),
      c("grp", "var1", "var2", "vcov", "sdcor", "sd_sdcor")),
    near(value$sdcor, s[tidied(precisions), "mean"]), of = VarCorr(fit)),
  matrix_row("print", prints(VarCorr(fit)), printed(value), of = VarCorr(fit)),
  matrix_row("sigma", sigma(fit), is_vector_of(value, 1L),
    if (gaussian) near(value, s["sigma_e", "mean"]) else near(value, 1)),
  matrix_row("vcov", vcov(fit), is_matrix_of(value, p, p, fixed),
    near(sqrt(diag(value)), s[beta, "sd"], 1e-6)),
  matrix_row("vcov", vcov(fit, pars = "all"),
    check = c(holds(identical_names(value), "rows and columns are named differently"),
      holds(min(eigen(stats::cov2cor(value), TRUE, TRUE)$values) > -1e-8, "not a covariance"),
      near(sqrt(diag(value))[identity_variables(rownames(value))],
        s[identity_variables(rownames(value)), "sd"], 1e-6))),
  matrix_row("vcov", vcov(fit, type = "mfvb"), is_matrix_of(value, p, p, fixed),
    near(sqrt(diag(value)), s[beta, "sd_mfvb"]), when = vb),
  matrix_row("vcov", vcov(fit, type = "lrvb"), is_matrix_of(value, p, p, fixed), when = vb),
  matrix_row("vcov", vcov(fit, type = "integrated"), is_matrix_of(value, p, p, fixed),
    refuses = !integrated, when = vb),
  matrix_row("confint", confint(fit), is_matrix_of(value, p, 2L),
    near(value, columns_of(s[beta, ], c("q2.5", "q97.5")))),
  matrix_row("confint", confint(fit, "all", 0.5), is_matrix_of(value, p + length(precisions), 2L),
    holds(value[, 1L] < value[, 2L], "not ordered")),
  matrix_row("hypothesis", hypothesis(fit, c("x > 0.5", "fb - fc = 0")), is_frame_of(value, 2L),
    c(
      near(value$estimate,
        c(s["beta[x]", "mean"] - 0.5, diff(s[c("beta[fc]", "beta[fb]"), "mean"]))),
      near(value$sd[1L], s["beta[x]", "sd"], 1e-6),
      within(value$q2.5[1L], s["beta[x]", "q2.5"] - 0.5, s["beta[x]", "sd"], 0.02, "quantile"),
      share_of_draws(value$prob[1L], draws, gibbs)), na = TRUE),
  matrix_row("icc", icc(fit, ndraws = 500),
    check = holds(value$mean > 0 & value$mean < 1, "no share"),
    refuses = !groups),
  matrix_row("r2", r2(fit, ndraws = 500), is_frame_of(value, 2L),
    holds(value$mean > 0 & value$mean < 1, "no share")),

  # ---- draws ----
  matrix_row("as_draws", draws,
    check = c(
      holds(setequal(posterior::variables(value), c(beta, precisions, u)), "other variables"),
      agrees_with_draws(s, draws, c(beta, precisions, u), gibbs))),
  matrix_row("as_draws", draws_of(fit, u = FALSE),
    check = alike(posterior::variables(value), c(beta, precisions))),
  matrix_row("as_draws_array", draws_in("array", fit), is_a(value, "draws_array")),
  matrix_row("as_draws_df", draws_in("df", fit), is_a(value, "draws_df")),
  matrix_row("as_draws_list", draws_in("list", fit), is_a(value, "draws_list")),
  matrix_row("as_draws_matrix", draws_in("matrix", fit), is_a(value, "draws_matrix")),
  matrix_row("as_draws_rvars", draws_in("rvars", fit), is_a(value, "draws_rvars")),
  matrix_row("posterior_linpred", posterior_linpred_of(fit, draws = 500),
    is_matrix_of(value, 500L, n), estimates(value, predict(fit), if (gibbs) 100 else 500)),
  matrix_row("posterior_linpred", posterior_linpred_of(fit, draws = 20, transform = TRUE),
    near(value, { set.seed(3); posterior_epred_of(fit, draws = 20) })),
  matrix_row("posterior_epred", posterior_epred_of(fit, draws = 500), is_matrix_of(value, 500L, n),
    estimates(value, fitted(fit), if (gibbs) 100 else 500)),
  matrix_row("posterior_epred",
    posterior_epred_of(fit, new_level(d), draws = 20, allow_new_levels = TRUE),
    is_matrix_of(value, 20L, 4L), when = cell$structure == "slopes"),
  matrix_row("posterior_predict", posterior_predict_of(fit, draws = 500),
    is_matrix_of(value, 500L, n), estimates(value, size * fitted(fit), if (gibbs) 100 else 500)),
  matrix_row("posterior_predict", posterior_predict_of(fit, draws = 2000) / size,
    check = covers( value, predict(fit, interval = "prediction", type = "response")),
    when = !gibbs),
  matrix_row("log_lik", log_lik_of(fit, draws = 20), is_matrix_of(value, 20L, n),
    if (gaussian) "" else holds(value <= 0, "a probability above one")),
  matrix_row("simulate", simulate(fit, 3, seed = 1), is_frame_of(value, n),
    c(alike(value, simulate(fit, 3, seed = 1)),
      within(fixef(refitted(fit, cell, d)), fixef(fit), sqrt(2) * s[beta, "sd"], 5, "refit"))),

  # ---- predictions ----
  matrix_row("predict", predict(fit), is_vector_of(value, n),
    near(value, drop(model.matrix(fit) %*% fixef(fit)) + effects_of_rows(fit, cell, d))),
  matrix_row("predict", predict(fit, re.form = NA), is_vector_of(value, n),
    near(value, drop(model.matrix(fit) %*% fixef(fit)))),
  matrix_row("predict", predict(fit, type = "response"), is_vector_of(value, n),
    c(near(value, fitted(fit)), holds(value > min(0, if (gaussian) value - 1), "below its range"))),
  matrix_row("predict", predict(fit, d[7:1, ]), is_vector_of(value, 7L),
    near(value, predict(fit)[7:1])),
  matrix_row("predict", predict(fit, d[0, ]), holds(length(value) == 0L, "no rows, not none")),
  matrix_row("predict", predict(fit, se.fit = TRUE),
    check = c(is_vector_of(value$fit, n), is_vector_of(value$se.fit, n),
      like_linpred(value, fit, gibbs))),
  matrix_row("predict", predict(fit, interval = "confidence"),
    is_matrix_of(value, n, 3L, c("fit", "lwr", "upr")),
    holds(value[, 2L] < value[, 1L] & value[, 1L] < value[, 3L], "the fit is outside")),
  matrix_row("predict", predict(fit, interval = "confidence", type = "response"),
    is_matrix_of(value, n, 3L, c("fit", "lwr", "upr")),
    near(value[, 2:3], linkinv( predict(fit, interval = "confidence")[, 2:3]), 1e-6)),
  matrix_row("predict", predict(fit, interval = "prediction", type = "response"),
    is_matrix_of(value, n, 3L, c("fit", "lwr", "upr")),
    holds(value[, 2L] <= value[, 3L], "not ordered")),
  matrix_row("predict", predict(fit, interval = "prediction"), is_matrix_of(value, n, 3L),
    refuses = !gaussian),
  matrix_row("predict",
    predict(fit, new_level(d), allow_new_levels = TRUE, se.fit = TRUE, re.form = NULL),
    check = c(holds(value$se.fit > 0, "no spread"),
      near(value$fit[2L], predict(fit, d[2L, ], re.form = NA)),
      holds(value$se.fit[2L] > predict(fit, d[2L, ], re.form = NA, se.fit = TRUE)$se.fit,
        "the new level adds nothing")), when = cell$structure %in% c("intercept", "slopes")),
  matrix_row("predict", predict(fit, new_level(d)), refuses = groups,
    when = cell$structure %in% c("intercept", "slopes", "crossed")),
  matrix_row("predict", predict(fit, d["f"]), refuses = TRUE),
  matrix_row("predict", predict(fit, transform(d, f = "z")), refuses = TRUE),
  matrix_row("predict", predict(fit, budget = TRUE),
    is_frame_of(value, n, c("fit", "fixed", "group", "residual", "sd")),
    near(value$sd^2, value$fixed + value$group + value$residual), refuses = !gaussian),
  matrix_row("fitted", fitted(fit), is_vector_of(value, n),
    near(value, predict(fit, type = "response"))),
  matrix_row("residuals", residuals(fit), is_vector_of(value, n),
    near(value, y - fitted(fit), 1e-6)),
  matrix_row("residuals", residuals(fit, "pearson"), is_vector_of(value, n),
    c(alike(sign(unname(value)), sign(unname(residuals(fit)))),
      holds(gaussian || mean(value^2) < 9, "not of unit size"))),

  # ---- engines on fits, checks, comparisons ----
  matrix_row("fit_vb", fit_vb(fit, integrate = "no"), is_a(value, "vb_fit"),
    alike(names(fixef(value)), fixed)),
  matrix_row("fit_gibbs", fit_gibbs(fit, chains = 1, iter = 150, warmup = 100),
    is_a(value, "gibbs_fit"), alike(dim(value$draws)[1:2], c(50L, 1L))),
  matrix_row("fit_exact", fit_exact(fit), is_a(value, "exact_fit"), refuses = !gaussian),
  matrix_row("vb_khat", vb_khat(fit, 200), is_vector_of(c(value), 1L), refuses = gaussian || !vb),
  matrix_row("print", prints(vb_khat(fit, 200)), printed(value), of = vb_khat(fit, 100),
    when = vb && !gaussian),
  matrix_row("vb_sensitivity", vb_sensitivity(fit, scaled = TRUE),
    holds(is.matrix(value), "no matrix"), refuses = !vb || !gaussian),
  matrix_row("sd_ratio_report", sd_ratio_report(fit), is_a(value, "sd_ratio_report"), na = TRUE,
    refuses = !vb),
  matrix_row("sd_ratio_report",
    sd_ratio_report(fit, fit_gibbs(fit, chains = 2, iter = 300, warmup = 100)),
    check = near(value$table$ratio_lrvb, value$table$sd_lrvb / value$table$sd_ref), na = TRUE,
    when = vb),
  matrix_row("sd_ratio_report", sd_ratio_report(fit, fit_exact(fit)),
    check = near(value$table$ratio_lrvb, value$table$sd_lrvb / value$table$sd_ref), na = TRUE,
    when = vb && gaussian),
  matrix_row("as.data.frame", as.data.frame(sd_ratio_report(fit)),
    is_frame_of(value, p + length(precisions),
      c("variable", "type", "sd_mfvb", "sd_lrvb", "verdict")), of = sd_ratio_report(fit), when = vb,
    na = TRUE),
  matrix_row("print", prints(sd_ratio_report(fit)), printed(value), of = sd_ratio_report(fit),
    when = vb),
  matrix_row("plot", plots(sd_ratio_report(fit)), holds(!value$visible, "not silent"),
    of = sd_ratio_report(fit), when = vb, na = TRUE),
  matrix_row("compare", meanfield::compare(a = fit, b = fit, ndraws = 100),
    is_frame_of(value, 2L, c("model", "log_evidence", "elpd_loo")),
    near(value$elpd_diff[1:2], c(0, 0), 1e9), na = TRUE),
  matrix_row("print", prints(meanfield::compare(a = fit, b = fit, loo = FALSE)), printed(value),
    of = meanfield::compare(a = fit, b = fit, loo = FALSE)),

  # ---- other packages ----
  matrix_row("loo", loo::loo(fit, draws = 100), is_a(value, "psis_loo"),
    is_matrix_of(value$pointwise, n, ncol(value$pointwise)), warns = "Pareto", needs = "loo"),
  matrix_row("pp_check", bayesplot::pp_check(fit, draws = 5), is_a(value, "ggplot"),
    needs = "bayesplot"),
  matrix_row("recover_data", emmeans::recover_data(fit), is_frame_of(value, n, c("x", "f")),
    needs = "emmeans"),
  matrix_row("emm_basis", emm_table(fit), is_frame_of(value, 3L),
    near(value$estimate, drop(emm_rows(d) %*% fixef(fit))), needs = "emmeans"),
  matrix_row("emm_basis", emm_table(fit, type = "response"), is_frame_of(value, 3L),
    near(value$estimate, linkinv(drop(emm_rows(d) %*% fixef(fit)))), needs = "emmeans"),
  matrix_row("find_formula", insight::find_formula(fit),
    check = alike(deparse1(value$conditional[[3L]]), "x + f"), needs = "insight"),
  matrix_row("find_parameters", insight::find_parameters(fit, flatten = TRUE),
    check = holds( all(fixed %in% value), "a coefficient is missing"), needs = "insight"),
  matrix_row("get_parameters", insight::get_parameters(fit), is_frame_of(value, p),
    near(value$Estimate, fixef(fit)), needs = "insight"),
  matrix_row("get_statistic", insight::get_statistic(fit), is_frame_of(value, p),
    near(value$Statistic, fixef(fit) / sqrt(diag(vcov(fit)))), needs = "insight"),
  matrix_row("get_data", insight::get_data(fit), is_frame_of(value, n, c("x", "f")),
    needs = "insight"),
  matrix_row("get_coef", marginal_of("get_coef", fit), near(value, fixef(fit))),
  matrix_row("get_vcov", marginal_of("get_vcov", fit), near(value, vcov(fit))),
  matrix_row("set_coef", marginal_of("set_coef", fit, fixef(fit) + 1),
    check = near(marginal_of("get_predict", value, d)$estimate,
      predict(fit, d, re.form = NA) + rowSums(model.matrix(fit)), 1e-6), when = gaussian),
  matrix_row("get_predict", marginal_of("get_predict", fit, d),
    is_frame_of(value, n, c("rowid", "estimate"))),
  matrix_row("get_predict", marginal_of("get_predict", fit, d, type = "response"),
    is_frame_of(value, n),
    near(value$estimate, linkinv(drop(model.matrix(fit) %*% fixef(fit))), 0.1)),

  # ---- kept ----
  matrix_row("", kept(fit), alike(summary(value), summary(fit)), na = TRUE),

  # ---- what insight, performance and lme4 ask ----
  matrix_row("get_df", insight::get_df(fit), near(value, n - p), needs = "insight"),
  matrix_row("get_loglikelihood", insight::get_loglikelihood(fit), refuses = TRUE, needs = "insight"),
  matrix_row("get_predicted", insight::get_predicted(fit), is_vector_of(value, n), needs = "insight"),
  matrix_row("get_random", insight::get_random(fit),
    if (groups) is_frame_of(value, n) else holds(is.null(value), "groups from nowhere"),
    needs = "insight"),
  matrix_row("get_variance", insight::get_variance(fit), is_a(value, "list"), needs = "insight",
    when = groups),
  matrix_row("is_converged", insight::is_converged(fit), holds(isTRUE(c(value)), "not converged"),
    needs = "insight"),
  matrix_row("check_singularity", performance::check_singularity(fit),
    alike(c(value), c(isSingular(fit))), needs = "performance"),
  matrix_row("getME", lme4::getME(fit, "X"), is_matrix_of(value, n, p, fixed), needs = "lme4")
)
