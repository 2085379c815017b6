# The other generics on mixture fits: those that have an answer, and those that have none and say
# where to look instead.

#' More methods for mixture fits
#'
#' A mixture has rows and components, but no response, no coefficients and no groups. Generics that
#' ask for these ([residuals()], [fitted()], [deviance()], [family()], [terms()], [model.matrix()],
#' [weights()], [df.residual()], [sigma()], [fixef()], [ranef()], [VarCorr()], [ngrps()], [icc()],
#' [r2()], [isSingular()], [fit_exact()], [vb_khat()], [vb_sensitivity()], and
#' rstantools' `posterior_predict()` and its like) stop with `meanfield_error_mixture`, whose
#' message names what to use.
#'
#' @param object,x,formula A fit of a [gaussian_mixture()].
#' @param conf.level Mass of the central interval.
#' @param conf.int Add interval columns?
#' @param data,newdata For `augment()`: the data of the fit (its columns by default), or new data.
#' @param nsim,seed Number of simulated data sets, and a seed to set first.
#' @param draws Number of draws.
#' @param evaluate Evaluate the new call?
#' @param ... For `update()`: arguments of [gaussian_mixture()] (`x`, `k`, `prior`, `data`) or of
#'   the fit. Otherwise not used.
#' @return `tidy()`: data frame with a row for every mean,
#'   weight and element of a covariance matrix: `type` (`"mu"`, `"pi"`, `"Sigma"`), `component`,
#'   `term`, `estimate`, `std.error`. `glance()`: one row. `augment()`: the data with `.class`, the
#'   most probable component of a row, and `.prob`, its probability. `simulate()`: a data frame of
#'   `nsim` matrices, each as many rows as the data, drawn from the mixture at a posterior draw of
#'   its parameters. `formula()`: one-sided, the columns. `model.frame()`: the data; `case.names()`,
#'   `variable.names()`: its row and column names. `prior_summary()`: a
#'   data frame. `log_lik()` (of rstantools): draws x rows, the log density of each row with its
#'   component summed out; [loo::loo()] and [compare()] work on it.
#' @examples
#' fit <- fit_vb(gaussian_mixture(faithful, 2))
#' confint(fit)
#' tidy(fit)
#' head(augment(fit), 3)
#' update(fit, k = 3)
#' compare(two = fit, three = update(fit, k = 3), loo = FALSE)
#' @name gmm-generics
NULL

#' @rdname gmm-generics
#' @export
tidy.gmm_fit <- function(x, conf.int = FALSE, conf.level = 0.95, ...) {
  valid_fit(x)
  no_dots(...)
  check_flag(conf.int, "conf.int")
  s <- summary_table(x, check_level(conf.level, "conf.level"))
  v <- variable_table(x$model)
  v <- v[v$kind %in% c("mu", "pi", "Sigma"), ]
  rows <- match(v$variable, s$variable)
  out <- data.frame(type = v$kind, component = v$term, term = v$variable,
    estimate = s$mean[rows], std.error = s$sd[rows])
  if (conf.int) out[c("conf.low", "conf.high")] <- s[rows, quantile_names(conf.level)]
  as_tibble_if_possible(out)
}

#' @export
size_columns.gmm_fit <- function(fit) {
  data.frame(nobs = nobs(fit), k = fit$model$k, columns = ncol(fit$model$x))
}

#' @rdname gmm-generics
#' @export
augment.gmm_fit <- function(x, data = NULL, newdata = NULL, ...) {
  valid_fit(x)
  no_dots(...)
  out <- newdata %||% data %||% x$model$x
  prob <- predict(x, newdata)
  out <- as.data.frame(out)
  if (nrow(out) != nrow(prob)) {
    mf_abort("data", "`data` has ", nrow(out), " rows, the fit ", nrow(prob),
      ": give the data of the fit, or `newdata`", arg = "data")
  }
  class <- max.col(prob, ties.method = "first")
  out$.class <- factor(class, levels = seq_len(x$model$k))
  out$.prob <- prob[cbind(seq_along(class), class)]
  as_tibble_if_possible(out)
}

#' @rdname gmm-generics
#' @export
formula.gmm_fit <- function(x, ...) {
  valid_fit(x)
  no_dots(...)
  sum <- Reduce(function(a, b) call("+", a, b), lapply(colnames(x$model$x), as.name))
  stats::as.formula(call("~", sum), globalenv())
}

#' @rdname gmm-generics
#' @export
model.frame.gmm_fit <- function(formula, ...) {
  valid_fit(formula)
  no_dots(...)
  as.data.frame(formula$model$x)
}

#' @rdname gmm-generics
#' @export
prior_summary.gmm_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  p <- object$model$prior
  mu <- if (p$flat_mean) "flat" else {
    paste0("normal(", paste(format_numbers(p$mean, 4), collapse = ", "), "; ",
      if (is.null(p$cov)) paste("worth", format(p$k0), "rows") else "given covariance", ")")
  }
  Lambda <- if (p$flat_precision) "flat" else {
    sprintf("Wishart(df %s, %d x %d scale)", format(p$df), nrow(p$scale), ncol(p$scale))
  }
  data.frame(variable = c("mu", "Lambda", "pi"),
    prior = c(mu, Lambda, paste0("Dirichlet(", format(p$alpha), ")")))
}

# ---- draws -------------------------------------------------------------------------

# list(mu (k x p), R (k upper Cholesky factors of Lambda), log_pi (k), log_det (k)) of a draw.
gmm_draw_parameters <- function(model, d) {
  v <- gmm_variables(model)
  pick <- function(kind) matrix(d[v$variable[v$kind == kind]], ncol = model$k)
  Lambda <- pick("Lambda")
  list(mu = t(pick("mu")), R = lapply(seq_len(model$k), function(k) chol(unvech(Lambda[, k]))),
    log_pi = drop(pick("log_pi")), log_det = drop(pick("log_det")))
}

gmm_draws <- function(fit, draws) {
  p <- posterior_of(fit)
  if (!inherits(p, "draws_posterior")) return(all_draws(p, draws))
  d <- flat_draws(p$draws)
  d[if (draws <= nrow(d)) sample(nrow(d), draws) else sample(nrow(d), draws, TRUE), , drop = FALSE]
}

#' @rdname gmm-generics
#' @export
simulate.gmm_fit <- function(object, nsim = 1, seed = NULL, ...) {
  valid_fit(object)
  nsim <- check_count(nsim, "nsim", 1)
  no_dots(...)
  state <- seeded_state(seed)
  if (!is.null(seed)) on.exit(assign(".Random.seed", state$before, envir = globalenv()))
  d <- unclass(gmm_draws(object, nsim))
  out <- lapply(seq_len(nsim), function(i) simulate_rows(object$model, d[i, ]))
  simulations(out, seq_len(nobs(object)), state$used)
}

simulate_rows <- function(model, d) {
  p <- gmm_draw_parameters(model, d)
  n <- nrow(model$x)
  class <- sample.int(model$k, n, replace = TRUE, prob = exp(p$log_pi))
  x <- matrix(stats::rnorm(length(model$x)), n, dimnames = list(NULL, colnames(model$x)))
  for (k in unique(class)) {
    own <- class == k
    x[own, ] <- t(backsolve(p$R[[k]], t(x[own, , drop = FALSE])) + p$mu[k, ])
  }
  x
}

#' @rdname gmm-generics
#' @exportS3Method rstantools::log_lik
log_lik.gmm_fit <- function(object, newdata = NULL, draws = 1000, ...) {
  valid_fit(object)
  no_dots(...)
  draws <- check_count(draws, "draws", 1)
  x <- newdata_matrix(object$model$x, newdata)
  check_size(draws, nrow(x))
  d <- unclass(gmm_draws(object, draws))
  out <- matrix(0, draws, nrow(x))
  for (i in seq_len(draws)) {
    out[i, ] <- mixture_log_density(x, gmm_draw_parameters(object$model, d[i, ]))
  }
  out
}

mixture_log_density <- function(x, p) {
  each <- vapply(seq_along(p$R), function(k) {
    z <- (x - rep(p$mu[k, ], each = nrow(x))) %*% t(p$R[[k]])
    p$log_pi[k] + p$log_det[k] / 2 - ncol(x) * log(2 * pi) / 2 - rowSums(z^2) / 2
  }, numeric(nrow(x)))
  each <- matrix(each, nrow(x))
  top <- apply(each, 1L, max)
  top + log(rowSums(exp(each - top)))
}

#' @exportS3Method loo::loo
loo.gmm_fit <- function(x, draws = 1000, ...) {
  valid_fit(x)
  known_dots(c("cores", "save_psis", "is_method"), ...)
  ll <- log_lik.gmm_fit(x, draws = draws)
  loo::loo(ll, r_eff = rep(1, ncol(ll)), ...)
}

# ---- update ------------------------------------------------------------------------

#' @rdname gmm-generics
#' @export
update.gmm_fit <- function(object, ..., evaluate = TRUE) {
  valid_fit(object)
  written <- lasting_args(as.list(match.call(expand.dots = FALSE)$...), NULL, parent.frame(),
    globalenv())
  updated_fit(object, gaussian_mixture, updated_mixture, list(...), written, evaluate,
    parent.frame())
}

updated_mixture <- function(old, new) {
  gaussian_mixture(new$x %||% old$x, new$k %||% old$k, new$prior %||% old$given, new$data)
}

#' @rdname gmm-generics
#' @export
case.names.gmm_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  rownames(model.frame(object))
}

#' @rdname gmm-generics
#' @export
variable.names.gmm_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  colnames(coef(object))
}

# What a mixture has not, and where to look instead.
refusal <- function(what, instead) function(object, ...) no_mixture(object, what, instead)
refusal_of_x <- function(what, instead) function(x, ...) no_mixture(x, what, instead)

#' @export
residuals.gmm_fit <- refusal("response, and so no residuals",
  "see predict() for the component of a row")

#' @export
fitted.gmm_fit <- refusal("fitted values",
  "see predict() for the component of a row and coef() for the means")

#' @export
deviance.gmm_fit <- refusal("deviance", "see logLik() and compare()")

#' @export
family.gmm_fit <- refusal("family and link", "its components are normal, see summary()")

#' @export
terms.gmm_fit <- refusal_of_x("terms", "see formula() for its columns")

#' @export
model.matrix.gmm_fit <- refusal("model matrix", "see model.frame() for its data")

#' @export
weights.gmm_fit <- refusal("weights of rows",
  "see summary() or tidy() for the weights `pi` of its components")

#' @export
df.residual.gmm_fit <- refusal("residuals, and so no degrees of freedom of them", "see nobs()")

#' @export
sigma.gmm_fit <- refusal("residual standard deviation", "see `Sigma` in summary() or tidy()")

#' @export
fixef.gmm_fit <- refusal("fixed effects", "see coef() for its means")

#' @export
ranef.gmm_fit <- refusal("random effects", "see predict() for the component of a row")

#' @export
VarCorr.gmm_fit <- function(x, sigma = 1, ...) {
  no_mixture(x, "group terms", "see `Sigma` in summary() or tidy() for its covariance matrices")
}

#' @export
ngrps.gmm_fit <- refusal("grouping factors", "see `k` in glance() for the number of components")

#' @export
icc.gmm_fit <- refusal("grouping factors", "see predict()")

#' @rawNamespace S3method(performance::r2, gmm_fit)

#' @export
r2.gmm_fit <- refusal("response", "see logLik() and compare()")

#' @export
isSingular.gmm_fit <- function(x, tol = 2, ...) {
  no_mixture(x, "variances of groups",
    "see the messages of fit_vb() for components without rows")
}

#' @export
fit_exact.gmm_fit <- refusal("posterior that could be integrated exactly", "use fit_gibbs()")

#' @export
fit_exact.gaussian_mixture <- fit_exact.gmm_fit

#' @exportS3Method rstantools::posterior_predict
posterior_predict.gmm_fit <- refusal("response to predict", "use simulate() for new data sets")

#' @exportS3Method rstantools::posterior_epred
posterior_epred.gmm_fit <- posterior_predict.gmm_fit

#' @exportS3Method rstantools::posterior_linpred
posterior_linpred.gmm_fit <- posterior_predict.gmm_fit

#' @exportS3Method bayesplot::pp_check
pp_check.gmm_fit <- posterior_predict.gmm_fit
