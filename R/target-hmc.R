# fit_hmc(): the reference for any target.

#' Sample any model by Hamiltonian Monte Carlo
#'
#' The reference for any [target()], and beside [fit_gibbs()] for every linear and generalised
#' model: draws from the exact posterior, by the no-U-turn sampler or by short Hamiltonian paths, in
#' the metric of a variational fit and from starts around it.
#'
#' @param object A [target()] or a fit of one; a fit of a linear or generalised model, or its
#'   formula (see [fit_hmc.regression_fit()]). Of a target alone, the metric comes from
#'   `fit_vb(object, refine = "no")`.
#' @param chains Number of chains, started over-dispersed around the fit (at each of its modes).
#' @param iter Transitions per chain, warm-up included.
#' @param warmup Transitions at the start of each chain that tune the step and are thrown away.
#' @param method `"nuts"`: paths double until they turn. `"hmc"`: short paths of random length,
#'   which are cheaper where the metric fits, and better for SDs.
#' @param target_accept Acceptance that the step size is tuned to; the default is .8 (`"nuts"`) or
#'   .85. Closer to 1: smaller steps, fewer divergences.
#' @param adapt_metric Learn the metric anew during the warm-up, from the draws of all chains?
#'   `"auto"`: where the fit has none to give, or a diagonal one only.
#' @param max_depth Doublings of a path at most (`"nuts"`).
#' @param max_leapfrogs Steps of a path at most (`"hmc"`).
#' @param ... Not used.
#'
#' @details
#' Energies include the momenta, whose change is part of the acceptance. A transition whose energy
#' grows by more than 50 is divergent: there the density is sharper than the steps, and draws are
#' missing around it. E-BFMI below .2 says that energies, and with them tails, are explored slowly.
#' Draws come from R's generator: [set.seed()] reproduces them. Chains run side by side: each call
#' of the target has a point per chain, so a vectorised target is paid once for all. Ctrl-C is seen
#' at every call.
#'
#' @return Of a target an object of class `target_hmc_fit` (`target_fit`, `meanfield_fit`), a list
#' with
#' \describe{
#'   \item{call, model}{the call, and the target}
#'   \item{draws}{array iteration x chain x variable of all that is reported}
#'   \item{z}{the same draws on the unconstrained scale, a column each, chain after chain}
#'   \item{sampler}{`divergences` per chain and `divergent`, which transitions; `ebfmi`, `step`,
#'     `accept` per chain; `n_leapfrog`; `depth_hits`, trees of the largest depth; `gradient`, of
#'     the log density at `z`; `m`, `L`, the metric as it was last; `asked`, evaluations in all}
#'   \item{chains, iter, warmup, method, target_accept}{the settings}
#'   \item{converged}{no divergences, R-hat below 1.05, E-BFMI above .2}
#'   \item{seconds}{elapsed time}
#' }
#' @section Errors and warnings: `meanfield_error_start` where a chain finds no density;
#'   `meanfield_warning_divergences`, and `meanfield_warning_convergence` for R-hat above 1.05,
#'   E-BFMI below .2, or many trees of the largest depth.
#' @references Hoffman, M. D. and Gelman, A. (2014). The No-U-Turn sampler. *JMLR* 15, 1593-1623.
#'   Betancourt, M. (2017). A conceptual introduction to Hamiltonian Monte Carlo. arXiv:1701.02434.
#'   Neal, R. M. (2011). MCMC using Hamiltonian dynamics. *Handbook of Markov Chain Monte Carlo*.
#' @seealso [fit_vb.meanfield_target()], [fit_gibbs()], [sd_ratio_report()]
#' @examples
#' y <- c(2.1, 3.4, 1.9, 2.8, 3.1, 2.2, 2.6, 2.9)
#' model <- target(
#'   function(p) {
#'     sum(dnorm(y, p$mu, p$sigma, log = TRUE)) + dnorm(p$mu, 0, 5, log = TRUE) +
#'       dexp(p$sigma, 1, log = TRUE)
#'   },
#'   init = list(mu = 0, sigma = 1), constraints = list(sigma = positive()))
#' set.seed(1)
#' fit_hmc(model, chains = 2, iter = 500, warmup = 200)
#' @export
fit_hmc <- function(object, ...) {
  if (nargs() == 0L) unknown_model(NULL, "fit_hmc")
  UseMethod("fit_hmc")
}

#' @rdname fit_hmc
#' @export
fit_hmc.meanfield_target <- function(object, chains = 4, iter = 1000, warmup = 500,
                                     method = c("nuts", "hmc"), target_accept = NULL,
                                     adapt_metric = "auto", max_depth = 10, max_leapfrogs = 24,
                                     ...) {
  no_dots(...)
  settings <- hmc_settings(chains, iter, warmup, method, target_accept, adapt_metric, max_depth,
    max_leapfrogs)
  valid_target(object)
  call <- object_call(match.call(), "fit_hmc", parent.frame())
  new_target_hmc_fit(call, object, target_axes(object), settings)
}

#' @rdname fit_hmc
#' @export
fit_hmc.target_fit <- function(object, chains = 4, iter = 1000, warmup = 500,
                               method = c("nuts", "hmc"), target_accept = NULL,
                               adapt_metric = "auto", max_depth = 10, max_leapfrogs = 24, ...) {
  valid_fit(object)
  no_dots(...)
  settings <- hmc_settings(chains, iter, warmup, method, target_accept, adapt_metric, max_depth,
    max_leapfrogs)
  call <- object_call(match.call(), "fit_hmc", parent.frame())
  new_target_hmc_fit(call, object$model, fitted_axes(object), settings)
}

#' @export
fit_hmc.default <- function(object, ...) unknown_model(object, "fit_hmc")

hmc_settings <- function(chains, iter, warmup, method, target_accept, adapt_metric, max_depth,
                         max_leapfrogs) {
  counts <- c("chains", "iter", "warmup", "thin", "kept")
  s <- gibbs_settings(chains, iter, warmup, 1, "auto")[counts]
  s$method <- check_choice(method, c("nuts", "hmc"), "method")
  s$target_accept <- check_level(target_accept %||% if (s$method == "nuts") 0.8 else 0.85,
    "target_accept")
  if (!identical(adapt_metric, "auto")) check_flag(adapt_metric, "adapt_metric")
  s$adapt_metric <- adapt_metric
  s$max_depth <- check_count(max_depth, "max_depth", 1, 25)
  s$max_leapfrogs <- check_count(max_leapfrogs, "max_leapfrogs", 1)
  s
}

# ---- metric and starts ---------------------------------------------------------------------------

# list(m, L) of each mode, heaviest first: of the Gaussian fit, or the start as it is where there is
# none. What that fit would warn of, chains see for themselves.
target_axes <- function(target) {
  fit <- tryCatch(suppressWarnings(fit_vb(target, refine = "no")),
    meanfield_error = function(e) NULL)
  if (is.null(fit)) return(list(list(m = target$init, L = rep(1, target$d))))
  fitted_axes(fit)
}

fitted_axes <- function(fit) {
  if (inherits(fit, "target_hmc_fit")) return(list(fit$sampler[c("m", "L")]))
  parts <- fit$vb$components
  if (is.null(parts)) return(list(sample_axes(fit$points)))
  lapply(parts[order(-vapply(parts, `[[`, 0, "weight"))], function(part) {
    list(m = part$m, L = if (is.null(part$L)) part$sd else part$L)
  })
}

# Of weighted points.
sample_axes <- function(points) {
  own <- weighted_covariance(points$z, points$weights)
  list(m = own$mean, L = lower_chol(own$cov) %||% sqrt(pmax(diag(own$cov), 1e-12)))
}

# A column per chain, over the modes in turn.
starts_at <- function(axes, chains) {
  each <- lapply(rep_len(axes, chains), function(a) dispersed_start(a$m, a$L, 1L))
  do.call(cbind, each)
}

# Lower triangular, whatever root of the covariance it is; or a vector.
lower_axes <- function(axes) {
  L <- axes$L
  if (is.matrix(L) && (any(L[upper.tri(L)] != 0) || any(diag(L) < 0))) axes$L <- lower_root(L)
  axes
}

# Draws of a warm-up know a covariance less well than a fit does.
settle_adaptation <- function(settings, L) {
  if (identical(settings$adapt_metric, "auto")) !is.matrix(L) else settings$adapt_metric
}

# A diagonal that will be learned is learned with its correlations, if the draws are enough for
# them.
learned_root <- function(L, settings) {
  d <- length(L)
  enough <- settle_adaptation(settings, L) && settings$warmup * settings$chains >= 20 * d
  if (is.matrix(L) || !enough) L else diag(L, d)
}

# ---- run -----------------------------------------------------------------------------------------

# judged: as for check_mixing(); ...: to hmc_run().
new_target_hmc_fit <- function(call, target, axes, settings, judged = function(fit) fit$draws,
                               ...) {
  check_stored(as.double(settings$kept) * settings$chains * (2 * target$d + nrow(target$variables)),
    "or fewer variables")
  ev <- evaluator(target)
  second <- system.time(ev(as.matrix(target$init), TRUE))[["elapsed"]]
  ran <- run_hmc(ev, lapply(axes, lower_axes), settings, 7 * second, ...)
  z <- t(flat_draws(ran$run$z))
  draws <- empty_draws(settings, target$variables$variable)
  draws[] <- t(target_values(target, z))
  report <- c(sampler_report(ran$run), list(gradient = t(flat_draws(ran$run$gradient))))
  fit <- structure(c(list(call = call, model = target, draws = draws, z = z, sampler = report),
    settings[c("chains", "iter", "warmup", "thin", "method", "target_accept")],
    list(counts = list(gradients = report$asked), seconds = ran$seconds)),
  class = c("target_hmc_fit", "target_fit", "meanfield_fit"))
  fit$converged <- judge_chains(fit, report, settings, judged)
  fit
}

# axes: list(m, L) of each mode; seconds: of a transition, roughly; ...: to hmc_run(). list(run,
# seconds).
run_hmc <- function(ev, axes, settings, seconds, ...) {
  started <- proc.time()[["elapsed"]]
  at <- axes[[1L]]
  bar <- gibbs_progress(settings, seconds)
  on.exit(bar$close())
  run <- hmc_run(ev, at$m, learned_root(at$L, settings), settings$chains, settings$iter,
    settings$warmup, settings$method,
    settings$target_accept, settings$max_leapfrogs, settings$max_depth,
    settle_adaptation(settings, at$L), starts_at(axes, settings$chains),
    progress = bar$step(1L), ...)
  list(run = run, seconds = proc.time()[["elapsed"]] - started)
}

# Warns of what casts doubt on the draws; TRUE when nothing does. judged: as for check_mixing().
judge_chains <- function(fit, report, settings, judged) {
  sound <- TRUE
  withCallingHandlers({
    check_sampler(report, settings$method, settings$max_depth)
    check_mixing(fit, judged)
  }, meanfield_warning = function(w) sound <<- FALSE)
  sound
}

# ---- what the user sees --------------------------------------------------------------------------

#' @export
print.target_hmc_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat(HMC_WORDS[[x$method]], " of a target, ", x$model$d, " dimension",
    if (x$model$d != 1L) "s", "\n", sep = "")
  print_sampler(x)
  s <- summary(x)
  cols <- c("variable", "mean", "sd", "q2.5", "q97.5", "ess_bulk", "rhat")
  print(new_summary(utils::head(as.data.frame(s)[cols], 30L)), digits = digits)
  if (nrow(s) > 30L) cat("... and", nrow(s) - 30L, "more: see summary()\n")
  print_rhat(s, "draw more")
  invisible(x)
}

HMC_WORDS <- c(nuts = "No-U-turn sampler", hmc = "Hamiltonian Monte Carlo, short paths",
  gibbs = "Gibbs sampler")

print_sampler <- function(x) {
  s <- x$sampler
  cat(x$chains, " chain", if (x$chains != 1L) "s", " of ", x$iter, " transitions (", x$warmup,
    " warm-up), ", dim(x$draws)[1L] * x$chains, " draws kept, ", format(s$asked, big.mark = ","),
    " gradients, ", format(round(x$seconds, 2)), " s\n", sep = "")
  n <- sum(s$divergences)
  cat(if (n) n else "No", " divergence", if (n != 1) "s", "; acceptance ",
    format(mean(s$accept), digits = 2), "; E-BFMI ", format(min(s$ebfmi), digits = 2),
    if (s$depth_hits) paste0("; ", s$depth_hits, " trees of the largest depth"), "\n\n", sep = "")
}
