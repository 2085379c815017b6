# Fits of this package as targets, and their Hamiltonian sampler.
#
# The coordinates are x = (theta, psi) of src/engine/joint.h: working coefficients and effects, and
# log precisions (scale-free coordinates of matrices). Effects stand in the units of their
# conditional distribution, level by level, where a small group SD does not pinch them.

# ---- the coordinates -----------------------------------------------------------------------------

# list(model, core, centre, scale, m, L): the joint density of a fit's model, and the mean
# and a root of the covariance of its coordinates in the fit's posterior.
joint_of <- function(fit, control = vb_control()) {
  vb <- variational_of(fit, control)
  model <- dense_model(vb$model)
  core <- engine_core(model)
  if (!length(core$h) && !length(core$prec)) {
    mf_abort("formula", "the model has no parameter to sample: add a term to the formula",
      arg = "formula")
  }
  j <- list(model = model, core = core, centre = vb_centre(core, vb$vb))
  theta <- with_fixed_seed(posterior_coordinates(best_posterior(fit, vb), core))
  j$scale <- effect_units(j, theta)
  x <- call_joint_theta(core, j$centre, j$scale, theta, back = TRUE)
  c(j, draws_axes(x))
}

# A variational fit of the same model: what the Gram is centred on.
variational_of <- function(fit, control) {
  if (!is.null(fit$vb)) return(fit)
  vb_optimum(fit$call, fit$model, check_vb_control(control))
}

# The fit's own, if it has joint draws.
best_posterior <- function(fit, vb) {
  own <- posterior_of(fit)
  if (inherits(fit, "exact_fit") || knows_effects(own)) own else posterior_of(vb)
}

# Draws of (theta, psi), a column each.
posterior_coordinates <- function(p, core) {
  n <- min(4000, max(1000, 20 * (length(core$h) + core$layout$dim$stats)))
  d <- joint_draws(p, if (!inherits(p, "draws_posterior")) n, u = core$layout$dim$effects > 0L)
  coords <- p$model$coords
  gamma <- if (core$p) solve(coords$M, t(d$beta) - coords$shift, tol = 0)
  psi <- lapply(stat_index(core), function(at) t(scale_free_rows(d$tau[, at, drop = FALSE])))
  unname(do.call(rbind, c(list(gamma, if (!is.null(d$u)) t(d$u)), psi)))
}

# The units of the effects: of every precision NULL (no effects) or list(W (r x r x levels), b (r x
# levels)), so that at the centre each level has its conditional mean and precision.
effect_units <- function(j, theta) {
  centre <- rowMeans(theta)
  none <- vector("list", length(j$core$prec))
  psi <- centre[-seq_len(j$core$layout$dim$theta)]
  at <- stat_index(j$core)
  Map(function(pr, k) {
    if (pr$n_levels == 0L) return(NULL)
    rows <- effect_rows(j$model, k)
    P <- level_curvature(j, none, centre, rows, pr$r)
    Lambda <- unvech(from_scale_free(t(psi[at[[k]]])))
    u <- matrix(centre[rows], pr$r)
    W <- array(apply(P, 3L, function(p) at_least_zero(p - Lambda)), dim(P))
    b <- vapply(seq_len(pr$n_levels), function(l) (matrix(W[, , l], pr$r) + Lambda) %*% u[, l],
      numeric(pr$r))
    list(W = W, b = matrix(b, pr$r))
  }, j$core$prec, seq_along(none))
}

# Minus the second derivatives within each level (r x r x levels): levels of a term do not meet in a
# row, so a difference along one coefficient of all of them serves all.
level_curvature <- function(j, none, centre, rows, r) {
  step <- 1e-4
  slopes <- vapply(seq_len(r), function(a) {
    own <- rows[seq(a, length(rows), by = r)]
    X <- cbind(replace(centre, own, centre[own] + step), replace(centre, own, centre[own] - step))
    g <- call_joint(j$core, j$centre, none, X)$gradient[rows, ]
    (g[, 2L] - g[, 1L]) / (2 * step)
  }, numeric(length(rows)))
  P <- aperm(array(slopes, c(r, length(rows) / r, r)), c(1L, 3L, 2L))
  (P + aperm(P, c(2L, 1L, 3L))) / 2
}

# The nearest symmetric matrix without negative eigenvalues.
at_least_zero <- function(W) {
  if (length(W) == 1L) return(max(W, 0))
  e <- eigen(W, symmetric = TRUE)
  e$vectors %*% (pmax(e$values, 0) * t(e$vectors))
}

DENSE_METRIC <- 500L # dimensions

# list(m, L) of draws, columns of x.
draws_axes <- function(x) {
  m <- rowMeans(x)
  dev <- x - m
  n <- ncol(x) - 1
  sd <- sqrt(rowSums(dev^2) / n)
  if (nrow(x) > DENSE_METRIC || n < 2 * nrow(x)) return(list(m = m, L = sd))
  list(m = m, L = lower_chol(tcrossprod(dev) / n) %||% sd)
}

# ---- targets -------------------------------------------------------------------------------------

#' @rdname as_target
#' @export
as_target.regression_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  j <- joint_of(object)
  ask <- function(p, slope) call_joint(j$core, j$centre, j$scale, t(p$z), slope)
  user <- list(log_density = function(p) ask(p, FALSE)$lp,
    gradient = function(p) list(z = t(ask(p, TRUE)$gradient)), generated = NULL, vectorised = TRUE)
  target <- build_target(match.call(), user, list(z = j$m), list())
  target$names <- joint_names(j$model)
  target <- with_gradient(start_target(target), user$gradient,
    "of the fit, agrees with differences")
  target$variables <- joint_variables(j$model)
  names <- target$variables$variable
  values <- function(z) joint_values(j, z)
  target$foreign <- list(values = values,
    constrain = function(z) as.list(stats::setNames(values(as.matrix(z))[, 1L], names)))
  target
}

#' @export
as_target.gmm_fit <- function(object, ...) refuse_mixture_chains(object)

# Names of the coordinates.
joint_names <- function(model) {
  c(beta_names(model), u_names(model), paste0("log_", stat_names(model)))
}

# Rows of summary(), with the effects.
joint_variables <- function(model) {
  v <- variable_table(model, u = TRUE)
  data.frame(variable = v$variable,
    kind = ifelse(v$kind %in% c("beta", "u"), "parameter", "generated"),
    block = v$variable, a = NA_integer_, b = NA_integer_,
    link = ifelse(v$link == "exp", "exp", "identity"), at = NA_integer_)
}

# Values of joint_variables() at the columns of x.
joint_values <- function(j, x) {
  own <- joint_statistics(j, x)
  rbind(own$beta, t(precision_draws(t(own$t), j$model)), own$u)
}

# list(beta, u (the user's), t (working statistics)) at the columns of x.
joint_statistics <- function(j, x) {
  own <- call_joint_theta(j$core, j$centre, j$scale, x)
  at <- seq_len(j$core$p)
  list(beta = to_raw_draws(j$model$coords, own$theta[at, , drop = FALSE]),
    u = user_effects(j$model, own$theta[setdiff(seq_len(nrow(own$theta)), at), , drop = FALSE]),
    t = own$t)
}

# ---- the sampler ---------------------------------------------------------------------------------

#' Sample a linear or generalised model by Hamiltonian Monte Carlo
#'
#' Beside [fit_gibbs()] a second exact sampler of the same models, which shares none of its moves:
#' the log density of all unknowns together, coefficients, random effects and log precisions, is
#' sampled as [fit_hmc()] samples any other. The result is used as that of [fit_gibbs()].
#'
#' @inheritParams fit_gibbs
#' @inheritParams fit_hmc
#' @param object A fit of a linear or generalised model, a formula, or a [gram()].
#' @details
#' The metric is the covariance of the fit's posterior (dense up to 500 unknowns, beyond that its
#' diagonal). Random effects are sampled in the units of their conditional distribution given the
#' group SDs, level by level: as they are where a group's rows say much (centred), in units of their
#' SD where these say little (non-centred), between the two as the SDs move. Divergences that
#' remain are counted and warned of; [fit_gibbs()] has no such limit.
#'
#' @return An object of class `hmc_fit`, and of `gibbs_fit`, `regression_fit`, `meanfield_fit`: what
#'   [fit_gibbs()] returns, with `sampler` and `converged` as in [fit_hmc()].
#' @section Errors: as in [fit_gibbs()] and [fit_hmc()]; `meanfield_error_mixture` for a mixture,
#'   `meanfield_error_formula` for a model without parameters.
#' @references Papaspiliopoulos, O., Roberts, G. O. and Skold, M. (2007). A general framework for
#'   the
#'   parametrization of hierarchical models. *Statistical Science* 22, 59-73.
#' @examples
#' set.seed(1)
#' vb <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' hmc <- fit_hmc(vb, chains = 2, iter = 500, warmup = 200)
#' hmc
#' sd_ratio_report(vb, hmc)
#' @export
fit_hmc.regression_fit <- function(object, chains = 4, iter = 1000, warmup = 500,
                                   method = c("nuts", "hmc"), target_accept = NULL,
                                   adapt_metric = "auto", max_depth = 10, max_leapfrogs = 24,
                                   control = vb_control(), ...) {
  valid_fit(object)
  no_dots(...)
  settings <- hmc_settings(chains, iter, warmup, method, target_accept, adapt_metric, max_depth,
    max_leapfrogs)
  call <- refit_call(object, "fit_hmc", match.call(), parent.frame())
  new_hmc_fit(call, joint_of(object, control), settings)
}

#' @rdname fit_hmc.regression_fit
#' @export
fit_hmc.formula <- function(formula, data = NULL, family = gaussian(), prior = default_priors(),
                            weights, subset, na.action, offset, contrasts = NULL, model = TRUE,
                            control = vb_control(), chains = 4, iter = 1000, warmup = 500,
                            method = c("nuts", "hmc"), target_accept = NULL, adapt_metric = "auto",
                            max_depth = 10, max_leapfrogs = 24, ...) {
  no_dots(...)
  settings <- hmc_settings(chains, iter, warmup, method, target_accept, adapt_metric, max_depth,
    max_leapfrogs)
  formula <- as_model_formula(formula, parent.frame())
  call <- fit_call(match.call(), "fit_hmc", formula, parent.frame(), model)
  m <- build_model( # which looks at family and prior before it asks for the rows
    source_rows(call, formula, data, contrasts, model, parent.frame()), family, prior
  )
  new_hmc_fit(call, joint_of(vb_optimum(call, m, check_vb_control(control))), settings)
}

#' @rdname fit_hmc.regression_fit
#' @export
fit_hmc.meanfield_gram <- function(object, family = gaussian(), prior = default_priors(),
                                   control = vb_control(), chains = 4, iter = 1000, warmup = 500,
                                   method = c("nuts", "hmc"), target_accept = NULL,
                                   adapt_metric = "auto", max_depth = 10, max_leapfrogs = 24, ...) {
  no_dots(...)
  settings <- hmc_settings(chains, iter, warmup, method, target_accept, adapt_metric, max_depth,
    max_leapfrogs)
  m <- build_model(source_gram(object), family, prior)
  call <- gram_call(match.call(), "fit_hmc", object, parent.frame())
  new_hmc_fit(call, joint_of(vb_optimum(call, m, check_vb_control(control))), settings)
}

#' @export
fit_hmc.character <- function(object, ...) {
  eval(text_call(match.call(), "fit_hmc"), parent.frame())
}

#' @export
fit_hmc.data.frame <- function(object, formula, ...) {
  eval(data_first_call(match.call(), "fit_hmc"), parent.frame())
}

#' @export
fit_hmc.gmm_fit <- function(object, ...) refuse_mixture_chains(object)

#' @export
fit_hmc.gaussian_mixture <- function(object, ...) refuse_mixture_chains(object)

refuse_mixture_chains <- function(object) {
  no_mixture(object, "density in coordinates that chains could share (labels switch)",
    "use fit_gibbs(), which relabels")
}

new_hmc_fit <- function(call, joint, settings) {
  settings$save_u <- "auto"
  settings$save_u <- settle_save_u(settings, joint$core)
  d <- length(joint$m)
  check_stored(2 * as.double(settings$kept) * settings$chains * d, "or a diagonal model")
  model <- joint$model
  ran <- run_joint(joint, settings)
  runs <- lapply(seq_len(settings$chains), function(k) joint_chain(joint, t(ran$run$z[, k, ])))
  report <- sampler_report(ran$run)
  model$rows <- NULL # the frame has them
  fit <- gibbs_fit_of(call, model, list(runs = runs, seconds = ran$seconds), settings,
    c(list(sampler = report), settings[c("method", "target_accept")]))
  class(fit) <- c("hmc_fit", class(fit))
  fit$converged <- judge_chains(fit, report, settings, gibbs_array)
  fit
}

# list(run, seconds).
run_joint <- function(joint, settings) {
  ask <- function(start, metric, control, progress) {
    call_joint_hmc(joint$core, joint$centre, joint$scale, start, metric, control, progress)
  }
  run_hmc(NULL, list(joint[c("m", "L")]), settings, 7 * sweep_seconds(joint$core), ask = ask)
}

# The draws of a chain (a column each) as the samplers of the core have them.
joint_chain <- function(joint, x) {
  own <- call_joint_theta(joint$core, joint$centre, joint$scale, x)
  at <- seq_len(joint$core$p)
  u <- user_effects(joint$model, own$theta[setdiff(seq_len(nrow(own$theta)), at), , drop = FALSE])
  mean <- rowMeans(u)
  list(draws = t(rbind(own$theta[at, , drop = FALSE], own$t)), u_draws = t(u), u_mean = mean,
    u_m2 = rowSums((u - mean)^2))
}

#' @export
print.hmc_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat(HMC_WORDS[[x$method]], "\n", sep = "")
  print_model_lines(x)
  print_sampler(x)
  s <- summary(x)
  cols <- c("variable", "mean", "sd", "q2.5", "q97.5", "ess_bulk", "rhat")
  print(new_summary(as.data.frame(s)[is_printed(s, x$model), cols]), digits = digits)
  print_rhat(s, "draw more")
  invisible(x)
}
