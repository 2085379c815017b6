#' Sample the same model by blocked Gibbs
#'
#' Draws from the exact posterior: all coefficients and random effects in one
#' block given the precisions, then each precision given the rest. For grouped
#' models an extra scale move on (u, tau_u) cures slow mixing. The cost of a sweep
#' does not depend on the number of rows in a Gaussian model; binomial, Poisson and negative
#' binomial models are sampled exactly too, at a cost that does (see Details).
#'
#' @inheritParams fit_vb
#' @param chains Number of chains, started from over-dispersed precisions.
#' @param iter Sweeps per chain, warm-up included.
#' @param warmup Sweeps at the start of each chain that are thrown away.
#' @param thin Keep every `thin`-th sweep after warm-up.
#' @param save_u Store the draws of the random effects? `"auto"` stores them up to
#'   1e7 numbers; their means and SDs are always there.
#' @param sampler How the coefficients and random effects of a family other than the Gaussian
#'   move: `"polya-gamma"` (binomial only) draws them from a normal distribution given
#'   Polya-Gamma variables, `"hamiltonian"` along trajectories of Hamiltonian dynamics, tuned
#'   during the warm-up (at least 100 sweeps). Both are exact. `"auto"`: Polya-Gamma for binomial
#'   rows of two trials or fewer on average, else Hamiltonian (see Details). Not used by the
#'   Gaussian family.
#' @param control [vb_control()] of the variational fit that the sampler is centred
#'   on.
#'
#' @details Draws come from R's uniform generator, so [set.seed()] reproduces them (normals by the
#'   ziggurat method, whatever `RNGkind()` says about normals). Long
#'   interactive runs show a progress bar. Ctrl-C is seen every sweep and leaves
#'   the generator in a valid state.
#'
#'   Other families than the Gaussian need no variational fit, and a sweep costs time
#'   proportional to the number of rows. Coefficients and effects still move in one block. The
#'   Hamiltonian move works in coordinates whitened by a Gaussian approximation (first the
#'   second-order expansion at the mode, then posterior means seen during the warm-up), whose own
#'   flow it follows exactly; only the remainder needs a step size. Every group SD also moves with
#'   its effects rescaled under the likelihood, and one of them per sweep with the whitened
#'   coordinates held still (Polya-Gamma: with all coefficients integrated out), which mixes
#'   variances that trade with each other. log phi is slice-sampled. A Polya-Gamma sweep draws one
#'   variable per trial, and its draws are more correlated when there are many trials or successes
#'   are rare. `fit$tuning` has the acceptance rate and step size of each chain.
#'
#' @return An object of class `gibbs_fit` (`regression_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{as in [fit_vb()]}
#'   \item{draws}{array iteration x chain x variable of `beta[...]`, `tau_e`,
#'     `tau_u[...]` and, for vector terms, the lower triangle of `Lambda_u[...]`}
#'   \item{u_draws}{array iteration x chain x random effect, or `NULL`}
#'   \item{u}{data frame of the means and SDs of the random effects}
#'   \item{precisions}{draws of the precisions as the sampler has them, at the mean of the
#'     covariates and in units of their SDs, or `NULL` where that is the same}
#'   \item{chains, iter, warmup, thin}{the settings}
#'   \item{sampler, tuning}{families other than the Gaussian: the move, and a data frame
#'     of `accept` (mean acceptance probability after the warm-up) and `step`, a row per chain}
#'   \item{seconds}{elapsed time of the sampler}
#' }
#' @section Errors: as in [fit_vb()], and `meanfield_error_control` for settings that
#'   keep no draws (`iter <= warmup`), `meanfield_error_size` for more than
#'   2^31 - 1 stored numbers.
#' @references Polson, N. G., Scott, J. G. and Windle, J. (2013). *JASA* 108, 1339-1349
#'   (Polya-Gamma variables). Neal, R. M. (2011). *Handbook of Markov Chain Monte Carlo*, chapter 5,
#'   and Shahbaba, B., Lan, S., Johnson, W. O. and Neal, R. M. (2014). *Statistics and Computing*
#'   24, 339-349 (Hamiltonian moves with a split Gaussian part). Ewing, D. (2026). Understanding
#'   variational approximations, appendix
#'   B (the full conditionals of the precisions are gamma). Liu, J. S. and Sabatti,
#'   C. (2000). *Biometrika* 87, 353-369 (the scale move).
#' @seealso [as_draws.gibbs_fit()], [summary.gibbs_fit()]
#' @examples
#' set.seed(1)
#' vb <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' gibbs <- fit_gibbs(vb, chains = 2, iter = 600, warmup = 100)
#' gibbs
#' fit_gibbs(I(log_radon > log(4)) ~ floor + (1 | county), radon, family = binomial(),
#'           chains = 1, iter = 600, warmup = 200)
#' @export
fit_gibbs <- function(object, ...) {
  if (nargs() == 0L) unknown_model(NULL, "fit_gibbs")
  UseMethod("fit_gibbs")
}

#' @rdname fit_gibbs
#' @export
fit_gibbs.formula <- function(formula, data = NULL, family = gaussian(),
                              prior = default_priors(), weights, subset, na.action, offset,
                              contrasts = NULL, model = TRUE, control = vb_control(),
                              chains = 4, iter = 2000, warmup = 500, thin = 1,
                              save_u = "auto",
                              sampler = c("auto", "polya-gamma", "hamiltonian"), ...) {
  no_dots(...)
  settings <- gibbs_settings(chains, iter, warmup, thin, save_u, sampler)
  formula <- as_model_formula(formula, parent.frame())
  call <- fit_call(match.call(), "fit_gibbs", formula, parent.frame(), model)
  m <- build_model( # which looks at family and prior before it asks for the rows
    source_rows(call, formula, data, contrasts, model, parent.frame()), family, prior
  )
  check_vb_control(control)
  if (has_rows(m)) return(new_glmm_gibbs_fit(call, m, settings))
  new_gibbs_fit(call, vb_optimum(call, m, control), settings)
}

#' @export
fit_gibbs.character <- function(object, ...) {
  eval(text_call(match.call(), "fit_gibbs"), parent.frame())
}

#' @rdname fit_gibbs
#' @export
fit_gibbs.regression_fit <- function(object, chains = 4, iter = 2000, warmup = 500, thin = 1,
                                    save_u = "auto",
                                    sampler = c("auto", "polya-gamma", "hamiltonian"),
                                    control = vb_control(), ...) {
  valid_fit(object)
  no_dots(...)
  settings <- gibbs_settings(chains, iter, warmup, thin, save_u, sampler)
  call <- refit_call(object, "fit_gibbs", match.call(), parent.frame())
  if (has_rows(object)) return(new_glmm_gibbs_fit(call, object$model, settings))
  centre <- if (inherits(object, "vb_fit") && object$converged) {
    object
  } else {
    vb_optimum(call, object$model, check_vb_control(control))
  }
  new_gibbs_fit(call, centre, settings)
}

#' @rdname fit_gibbs
#' @export
fit_gibbs.meanfield_gram <- function(object, family = gaussian(), prior = default_priors(),
                                     control = vb_control(), chains = 4, iter = 2000,
                                     warmup = 500, thin = 1, save_u = "auto", ...) {
  no_dots(...)
  settings <- gibbs_settings(chains, iter, warmup, thin, save_u)
  m <- build_model(source_gram(object), family, prior)
  call <- gram_call(match.call(), "fit_gibbs", object, parent.frame())
  new_gibbs_fit(call, vb_optimum(call, m, check_vb_control(control)), settings)
}

#' @export
fit_gibbs.data.frame <- function(object, formula, ...) {
  eval(data_first_call(match.call(), "fit_gibbs"), parent.frame())
}

#' @export
fit_gibbs.default <- function(object, ...) unknown_model(object, "fit_gibbs")

gibbs_settings <- function(chains, iter, warmup, thin, save_u, sampler = "auto") {
  s <- list(
    sampler = check_choice(sampler, c("auto", "polya-gamma", "hamiltonian"), "sampler"),
    chains = check_count(chains, "chains", 1),
    iter = check_count(iter, "iter", 1, .Machine$integer.max - 1),
    warmup = check_count(warmup, "warmup", 0),
    thin = check_count(thin, "thin", 1)
  )
  if (s$iter <= s$warmup || (s$iter - s$warmup) %/% s$thin < 1L) {
    mf_abort("control", "`iter` (", s$iter, ") counts the warm-up (", s$warmup,
      ") and must leave at least one draw after it and `thin` (", s$thin, ")",
      arg = "iter")
  }
  if (!identical(save_u, "auto")) check_flag(save_u, "save_u")
  s$save_u <- save_u
  s$kept <- (s$iter - s$warmup) %/% s$thin
  s
}

# ---- run -------------------------------------------------------------------------

new_gibbs_fit <- function(call, vb_fit, settings) {
  model <- dense_model(vb_fit$model)
  core <- lmm_core(model)
  settings$save_u <- settle_save_u(settings, core)
  centre <- vb_centre(core, vb_fit$vb)
  control <- c(settings[c("iter", "warmup", "thin", "save_u")], interweave = TRUE)
  chains <- run_chains(settings, sweep_seconds(core), function(progress) {
    call_fit_gibbs(core, gibbs_start(vb_fit, core), centre, control, progress)
  }, function(status) check_status(status, model))
  fit <- gibbs_fit_of(call, model, chains, settings)
  check_mixing(fit)
  fit
}

# chains: of run_chains(); more: elements that only some samplers have.
gibbs_fit_of <- function(call, model, chains, settings, more = NULL) {
  structure(
    c(
      list(call = call, model = model), collect_chains(chains$runs, model, settings),
      settings[c("chains", "iter", "warmup", "thin")], more, chains["seconds"]
    ),
    class = c("gibbs_fit", "regression_fit", "meanfield_fit")
  )
}

settle_save_u <- function(s, core) {
  kept <- as.double(s$kept) * s$chains
  n_u <- length(core$h) - core$p
  main <- kept * (core$p + core$layout$dim$stats)
  u <- kept * n_u
  save_u <- if (identical(s$save_u, "auto")) u <= 1e7 else s$save_u
  total <- main + if (save_u) u else 0
  check_stored(total, "a larger `thin`, or save_u = FALSE")
  save_u
}

# Draws of all chains in the user's coordinates, in posterior's array layout.
collect_chains <- function(chains, model, settings) {
  p <- length(model$x_names)
  x <- seq_len(p)
  n <- settings$kept
  names <- c(beta_names(model), stat_names(model))
  draws <- empty_draws(settings, names)
  stats <- seq_along(names)[-x]
  if (!p) stats <- seq_along(names)
  precisions <- draws[, , stats, drop = FALSE]
  for (k in seq_along(chains)) {
    d <- chains[[k]]$draws
    precisions[, k, ] <- d[, stats]
    d[, stats] <- user_statistics(d[, stats, drop = FALSE], model)
    if (p) d[, x] <- t(to_raw_draws(model$coords, t(d[, x, drop = FALSE])))
    draws[, k, ] <- d
  }
  moved <- !all(vapply(model$groups, function(t) is_identity(t$A), NA))
  list(draws = draws, u_draws = collect_u(chains, model, settings),
    u = pool_u(chains, model, n), precisions = if (moved) precisions)
}

collect_u <- function(chains, model, settings) {
  names <- effect_table(model)$name
  if (!settings$save_u || !length(names)) return(NULL)
  u <- empty_draws(settings, names)
  for (k in seq_along(chains)) u[, k, ] <- chains[[k]]$u_draws
  u
}

# Means and SDs of the random effects over all chains from the running sums.
pool_u <- function(chains, model, n) {
  out <- effect_table(model)
  if (!nrow(out)) return(NULL)
  pick <- function(what) {
    matrix(vapply(chains, `[[`, numeric(nrow(out)), what), nrow(out), length(chains))
  }
  means <- pick("u_mean")
  out$mean <- rowMeans(means)
  ss <- rowSums(pick("u_m2")) + n * rowSums((means - out$mean)^2)
  out$sd <- sqrt(ss / max(n * length(chains) - 1, 1))
  out
}

# Rough seconds of a sweep: the arrow factor, and the rows where a family needs them.
sweep_seconds <- function(core) {
  rows <- if (is.null(core$rows)) 0 else 20 * length(core$rows$X)
  1e-6 + 1.5e-7 * (length(core$cross) + rows) + 1e-10 * as.double(dense_columns(core))^3
}

new_glmm_gibbs_fit <- function(call, model, settings) {
  core <- engine_core(model)
  if (!length(core$h) && !length(core$prec)) {
    mf_abort("formula", "the model has no parameter to sample: add a term to the formula",
      arg = "formula")
  }
  settings$sampler <- settle_sampler(settings, core, model)
  settings$save_u <- settle_save_u(settings, core)
  control <- c(settings[c("iter", "warmup", "thin", "save_u")],
    list(interweave = TRUE, hamiltonian = settings$sampler == "hamiltonian", step = .3))
  chains <- run_chains(settings, sweep_seconds(core), function(progress) {
    call_fit_glmm_gibbs(core, glmm_gibbs_start(core), control, progress)
  }, function(status) check_status(status, model))
  tuning <- vapply(chains$runs, `[[`, numeric(2L), "mover")
  model$rows <- NULL # the frame has them
  fit <- gibbs_fit_of(call, model, chains, settings, list(sampler = settings$sampler,
    tuning = data.frame(accept = tuning[1L, ], step = tuning[2L, ])))
  if (settings$sampler == "polya-gamma") fit$tuning[] <- NA_real_
  check_tuning(fit)
  check_mixing(fit)
  fit
}

# The sampler to use, when the model and the settings allow it.
settle_sampler <- function(settings, core, model) {
  augmented <- has_approximation(model, "pg")
  size <- core$rows$size
  whole <- all(size == round(size))
  sampler <- settings$sampler
  if (sampler == "auto") {
    sampler <- if (augmented && whole && mean(size) <= 2) "polya-gamma" else "hamiltonian"
  }
  if (sampler == "polya-gamma" && !(augmented && whole)) {
    mf_abort("control", "`sampler` = \"polya-gamma\" is for the binomial family with whole ",
      "numbers of trials: use \"hamiltonian\"", arg = "sampler")
  }
  if (sampler == "hamiltonian" && settings$warmup < 100L) {
    mf_abort("control", "`warmup` must be at least 100 for the Hamiltonian sampler, which is ",
      "tuned during it, not ", settings$warmup, arg = "warmup")
  }
  sampler
}

# Trajectories that are mostly refused draw nothing new: say so even when R-hat does not.
check_tuning <- function(fit) {
  bad <- which(fit$tuning$accept < 0.5)
  if (length(bad)) {
    mf_warn("convergence", "the Hamiltonian sampler accepts only ",
      format(min(fit$tuning$accept[bad]), digits = 2), " of its moves in chain ",
      toString(bad), ": use a longer `warmup`, or rescale the predictors", arg = "warmup")
  }
}
