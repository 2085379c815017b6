#' Fit by variational Bayes, corrected by linear response
#'
#' Fits a linear or generalised linear (mixed) model by mean-field variational Bayes with the
#' factors q(beta, u) q(tau_e) and one per group term, and corrects every
#' covariance by linear response. For the Gaussian family the rows are read once; everything after
#' that works on their sums of squares and products.
#'
#' @param object A model formula or its text, a data frame (then `formula` comes second, so that
#'   `data |> fit_vb(y ~ x)` works), or a fit of any engine (its model and prior are used as they
#'   are).
#' @param formula `y ~ x1 + x2`, `y ~ x + (1 + x | g)`, `y ~ x + (1 | g) + (1 | h)`: the
#'   grammar of lme4 (slopes, `||`, nested `(1 | a/b)` and crossed factors, any number of
#'   terms), with factors, interactions, `poly()`, `ns()`, `offset()`, `.`. A grouping
#'   variable may be a factor, character, integer or logical variable, or `g1:g2`. One string with
#'   the text of a formula will do, as for [stats::lm()].
#' @param data Data frame (or tibble); variables not in it are looked up in the
#'   environment of the formula.
#' @param family `gaussian()`, `binomial()` (logit; 0/1, logical or factor responses,
#'   `cbind(success, failure)`, or proportions with the trials as `weights`), `poisson()` or
#'   [neg_binomial()] (log link). See the section on families.
#' @param prior Prior, see [priors()].
#' @param blocks `"joint"`: q(beta, u) is one block. `"separate"`: q(beta) prod q(u_g), a
#'   block for the coefficients and one for each level of each factor; mean-field SDs of
#'   coefficients are then much too small, and linear response mends them too.
#' @param integrate Integrate q(beta, u | precisions) over the exact posterior of the precisions?
#'   Linear response cannot widen what is uncertain only because a precision is (the intercept with
#'   few groups), nor follow a skewed log precision. `"auto"` integrates when some log precision has
#'   a variance above .01 (below it no SD changes by more than 1%), and spends at most about one
#'   second of CPU time on it, by the clock: what is reached by then is reported with its estimated
#'   error, and where that is nothing to rely on the fit says so and linear response is shown. On a
#'   machine at the limit of that second the answer may hang on what else it does. `"yes"` takes
#'   whatever time it needs, `"no"` never integrates. See the section on integration.
#' @param approximation How the expected log likelihood of a binomial response is made: `"gva"`, the
#'   Gaussian variational approximation itself; `"pg"`, its lower bound by Polya-Gamma variables
#'   (the same as Jaakkola and Jordan's), faster per row. The bound shrinks effects towards zero
#'   when groups have few trials: a simulation with rare events has its intercept at -2.29 where
#'   MCMC has -2.47.
#' @param weights Precision weights as in [stats::lm()]: row i has residual
#'   variance 1 / (w_i tau_e). A weight of zero leaves the row out.
#' @param subset,na.action,offset,contrasts As in [stats::lm()].
#' @param model Keep the model frame in the fit? Without it, methods that need the
#'   rows ([fitted()], [residuals()]) ask for `newdata`.
#' @param control Made by [vb_control()].
#' @param ... Not used; an argument that matches nothing is an error.
#'
#' @return An object of class `vb_fit` (`regression_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call}{the call}
#'   \item{model}{design terms, Gram, prior, model frame; class `meanfield_model`}
#'   \item{vb}{the optimum: `t` (means of tau_e, of the lower triangle of each group
#'     precision, and of the half-t auxiliaries), `df` (Wishart degrees of freedom of each
#'     precision), the mean of q(beta, u) in the model's working coordinates, its covariance
#'     given the precisions (`S_global`, `d_inv`, `q`, `s_leaf`) and q's own (`Sq_global`,
#'     `sq_leaf`; they differ for separate blocks; where nested factors were eliminated the
#'     first of each holds its pattern only, a list of class `packed_block`), the
#'     linear-response matrices `V`, `C`, `Sigma`,
#'     `K`, `elbo`, `lr_ok`; by conjugate gradients, see below, `S_beta` and `var_u` (covariance of
#'     the coefficients and variances of the effects given the precisions), `probes`, `iterations`,
#'     `precision_error`, `sd_error`, `variance_error` in place of the covariance}
#'   \item{posterior}{means and covariances of coefficients, random effects and
#'     log precisions, mean-field and corrected}
#'   \item{trace}{data frame, a row per sweep (the first 100 with Newton steps): log precisions,
#'     `elbo`, `change` (largest move on the log scale), `step`; of [neg_binomial()] the bound at a
#'     fixed dispersion, where `vb$elbo` has its distribution}
#'   \item{integrated}{nodes, weights and moments of the posterior integrated over the precisions,
#'     as in [fit_exact()], with `method` (`"lattice"`, `"emulator"` or `"importance"`), `points`
#'     (conditional fits or points taken) and `error`; or `NULL`, and then `not_integrated` says
#'     why: `"not needed"`, `"too dear"`, `"too large"`, `"failed"`, `"unidentified"`}
#'   \item{rounding}{does the model explain the response to rounding?}
#'   \item{converged, sweeps}{did it converge, and in how many sweeps}
#'   \item{control}{the control settings}
#' }
#' It is plain R data: a fit saved by [saveRDS()] gives identical results when read
#' in a new process. `fit_vb()` never touches the random number generator.
#'
#' @section Integration over the precisions:
#' The density of the precisions is known up to a conditional fit for each value of them: a
#' factorisation for Gaussian models, an optimisation for the others. Small Gaussian models with up
#' to four variance parameters sum it over a lattice in coordinates that have no long tail where a
#' variance may be zero (log sigma = v - exp(c - v), Takahasi and Mori 1974). Elsewhere, with up to
#' eight, the log likelihood is emulated: from its values and slopes at 5 to 40 points by a Gaussian
#' process on the matrix logarithm of I + U^-1 Sigma U^-T, with U U' the sampling covariance of one
#' level's effects, around the trend that balanced designs have exactly; its integral is then a sum
#' over a dense lattice that costs no fit, and the process says how far to trust it and where the
#' next fits go. What cannot be emulated falls back to the lattice, up to six parameters, and to
#' importance sampling. `integrated$method` says what was done, `integrated$points` how many fits it
#' took, and `integrated$error` the estimated error of means and SDs in posterior SDs. Against 114
#' committed posteriors (`default-accuracy.csv` in the package's `extdata`) that estimate was within
#' a factor of five of the true error in nine of ten, and never below a third of it where either is
#' above .001 SD.
#'
#' Given the precisions the coefficients are normal. Their moments are those of the conditional
#' fits, interpolated between them, at up to 250 nodes (`integrated$few`) that stand for all with
#' the same moments of the precisions and of the covariances of the effects.
#'
#' @section Families other than the Gaussian:
#' q(beta, u) is a normal distribution whose precision has the model's sparsity, fitted by Newton's
#' method; expectations of logistic terms use the mixture of eight probits of Monahan and
#' Stefanski (1992), so nothing is simulated. Linear response keeps every coupling. Weights
#' multiply the log likelihood, as in [stats::glm()].
#'
#' By default the fit is *nested*: the approximation is made at fixed variance parameters only, its
#' bound is corrected by quadrature for each group and by the next order of the expansion (with
#' several grouping factors up to about 2,000 connected rows), and the result is integrated over the
#' variance parameters. With one grouping factor the means of coefficients follow the
#' correction. Against exact integrals of models with one scalar effect per
#' group all means of coefficients and log precisions are within .003 posterior SDs and all SDs
#' within .8 percent (eight simulations and one real data set, two priors); against long runs of
#' [fit_gibbs()] with two or three variance parameters (crossed, nested, slopes) within .015 and 2.1
#' percent. `integrated$correction` holds the correction of the log density at each node: where it
#' varies by more than about one, look at [fit_gibbs()].
#'
#' Nested factors are cheap: what they share is sparse and is kept so. The negative binomial's
#' dispersion has a normal factor on the log scale.
#'
#' The variance of a grouping factor with one level per row is reported for counts (the
#' normal-Poisson model) and for several trials, but a single trial per level says nothing about
#' it: `meanfield_warning_unidentified`, and `NA` in the summary. Separation under a flat prior is
#' an error, `meanfield_error_separation`: the posterior is improper.
#'
#' @section Crossed factors of many levels:
#' A Gaussian fit works on a dense matrix of the coefficients and of all effects but the largest
#' factor's; what nested factors share is eliminated first. Where more than 2,000 columns are left
#' and every term is an intercept, the fit is made without that matrix unless `integrate = "yes"`:
#' means, the coefficients' covariance and all responses by conjugate gradients, to their tolerance,
#' the traces that the precisions want by the second moments of solves for fixed probes of signs
#' (8, doubled up to 64 until log precisions are known to .01 posterior SD and their SDs to .4
#' percent; more than .05 SD is an error), with a control variate, and SDs of effects and of
#' predictions by more of these. The probes are always the same, so that the same data give the same
#' answer. `print()` shows the standard errors of all three. Factors of fewer than 64
#' levels are solved exactly. There is no bound on the log evidence then: [logLik()] is an error of
#' class `meanfield_error_size`, and [compare()] has no evidence. Draws come from Lanczos' method.
#'
#' Beyond 8,000 columns only this is possible: the precisions are not integrated, and [fit_exact()],
#' [fit_gibbs()], [fit_hmc()], `integrate = "yes"`, `blocks = "separate"` and terms with slopes are
#' errors of class `meanfield_error_size`, as are groups so nearly separate that conjugate gradients
#' do not converge. A million rows of 20,000 crossed with 5,000 levels take about a second.
#'
#' @section Errors and warnings:
#' All errors have class `meanfield_error` and a class for their kind:
#' `meanfield_error_formula` (grammar not supported, no response), `_data` (no rows,
#' unknown variables, infinite predictors), `_response` (not numeric, missing or
#' infinite, constant under a default prior), `_weights`, `_groups`, `_prior`,
#' `_rank` (rank-deficient predictors under a flat prior), `_control`, `_family`,
#' `_not_pd`, `_size` (more terms, coefficients or factors than there is room for, see above).
#' Methods of a fit raise `_fit` when it was edited or made by another version, `_memory` when R has
#' not enough of it, and `_internal` when the core refuses what it is given. Warnings:
#' `meanfield_warning_convergence`, `meanfield_warning_lrvb` (linear response failed for the named
#' component and the fit was not integrated: mean-field SDs are reported),
#' `meanfield_warning_integration` (the integral over the precisions failed and linear response is
#' shown; a message of class `meanfield_message_integration` where it was left out for its cost),
#' `meanfield_warning_exact_fit`, `meanfield_warning_groups`. A message of class
#' `meanfield_message_blas` says once a session that a fit of more than 500 coefficients in a dense
#' matrix would be faster on another BLAS. Ctrl-C returns at once with an
#' interrupt.
#'
#' @references Monahan, J. F. and Stefanski, L. A. (1992). Normal scale mixture approximations to
#'   F*(z) and computation of the logistic-normal integral. In *Handbook of the Logistic
#'   Distribution*, 529-540 (the logistic mixture). Jaakkola, T. S. and Jordan, M. I. (2000).
#'   *Statistics and Computing* 10, 25-37 (the bound of `"pg"`).
#'
#'   Takahasi, H. and Mori, M. (1974). Double exponential formulas for numerical integration.
#'   *Publications of the RIMS, Kyoto University* 9, 721-741. O'Hagan, A. (1991). Bayes-Hermite
#'   quadrature. *Journal of Statistical Planning and Inference* 29, 245-260 (integrals of emulated
#'   functions).
#'
#'   Giordano, R., Broderick, T. and Jordan, M. (2015). Linear response
#'   methods for accurate covariance estimates from mean field variational Bayes.
#'   *NeurIPS 28*, eq. (6)-(7).
#' @seealso [fit_gibbs()], [sd_ratio_report()], [summary.vb_fit()]
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' fit
#' summary(fit)
#' @export
fit_vb <- function(object, ...) {
  if (nargs() == 0L) unknown_model(NULL, "fit_vb")
  UseMethod("fit_vb")
}

#' @rdname fit_vb
#' @export
fit_vb.formula <- function(formula, data = NULL, family = gaussian(),
                           prior = default_priors(),
                           blocks = c("joint", "separate"),
                           integrate = c("auto", "no", "yes"),
                           approximation = c("gva", "pg"), weights, subset, na.action, offset,
                           contrasts = NULL, model = TRUE, control = vb_control(), ...) {
  no_dots(...)
  settings <- vb_settings(blocks, integrate, control)
  formula <- as_model_formula(formula, parent.frame())
  call <- fit_call(match.call(), "fit_vb", formula, parent.frame(), model)
  m <- build_model( # which looks at family and prior before it asks for the rows
    source_rows(call, formula, data, contrasts, model, parent.frame()), family, prior
  )
  m$blocks <- settings$blocks
  m <- set_approximation(m, approximation)
  new_vb_fit(call, m, settings$control, settings$integrate)
}

#' @export
fit_vb.character <- function(object, ...) {
  eval(text_call(match.call(), "fit_vb"), parent.frame())
}

#' @rdname fit_vb
#' @export
fit_vb.regression_fit <- function(object, blocks = c("joint", "separate"),
                                 integrate = c("auto", "no", "yes"), control = vb_control(), ...) {
  valid_fit(object)
  no_dots(...)
  settings <- vb_settings(blocks, integrate, control)
  call <- refit_call(object, "fit_vb", match.call(), parent.frame())
  model <- object$model
  model$blocks <- settings$blocks
  new_vb_fit(call, model, settings$control, settings$integrate)
}

#' @rdname fit_vb
#' @export
fit_vb.meanfield_gram <- function(object, family = gaussian(), prior = default_priors(),
                                  blocks = c("joint", "separate"),
                                  integrate = c("auto", "no", "yes"), control = vb_control(), ...) {
  no_dots(...)
  settings <- vb_settings(blocks, integrate, control)
  m <- build_model(source_gram(object), family, prior)
  m$blocks <- settings$blocks
  call <- gram_call(match.call(), "fit_vb", object, parent.frame())
  new_vb_fit(call, m, settings$control, settings$integrate)
}

#' @export
fit_vb.data.frame <- function(object, formula, ...) {
  eval(data_first_call(match.call(), "fit_vb"), parent.frame())
}

#' @export
fit_vb.default <- function(object, ...) unknown_model(object, "fit_vb")

vb_settings <- function(blocks, integrate, control) {
  list(blocks = check_choice(blocks, c("joint", "separate"), "blocks"),
    integrate = check_choice(integrate, c("auto", "no", "yes"), "integrate"),
    control = check_vb_control(control))
}

# How expected log likelihoods are made, where a family has a choice.
set_approximation <- function(model, approximation) {
  approximation <- check_choice(approximation, c("gva", "pg"), "approximation")
  if (approximation != "gva" && !has_approximation(model, approximation)) {
    mf_abort("control", "`approximation = \"pg\"` is for the binomial family: leave it out",
      arg = "approximation")
  }
  if (!has_rows(model)) return(model)
  if (identical(model$blocks, "separate")) {
    mf_abort("control", "`blocks = \"separate\"` is for the Gaussian family: leave it out",
      arg = "blocks")
  }
  model$approximation <- approximation
  model
}

# Separate blocks are taken from all of the global block's inverse.
check_separate_size <- function(model) {
  n <- model$layout$dim$n_global
  if (identical(model$blocks, "separate") && n > MAX_GLOBAL) {
    mf_abort("size", "`blocks = \"separate\"` needs a dense matrix of ", format(n, big.mark = ","),
      " rows; the limit is ", format(MAX_GLOBAL, big.mark = ","), ": leave it out", arg = "blocks")
  }
}

# ---- run -------------------------------------------------------------------------

new_vb_fit <- function(call, model, control, integrate) {
  check_separate_size(model)
  model <- choose_route(model, integrate)
  core <- vb_core(model)
  if (!is_iterated(model)) say_slow_blas(core$n_global)
  fit <- vb_optimum(call, model, control, core)
  if (length(model$unidentified)) {
    fit$not_integrated <- "unidentified"
  } else if (integrate != "no") {
    fit <- integrate_vb(fit, integrate, core)
  }
  warn_vb(fit)
  fit$model$rows <- NULL # the frame has them
  fit
}

# The optimum and its linear response, without a word about either.
vb_optimum <- function(call, model, control, core = vb_core(model)) {
  run <- best_run(core, control)
  if (is_iterated(model) && !model$iterations$only && !probes_do(run)) {
    return(vb_optimum(call, without_iterations(model), control))
  }
  kind <- check_status(run$status, model)
  if (is_iterated(model)) check_probes(run$result, model)
  vb <- run$result
  trace <- vb_trace(vb, run$status[2L], model)
  vb$trace <- NULL
  if (control$trace) print(trace)
  new_class(c("vb_fit", "regression_fit", "meanfield_fit"), list(
    call = call, model = model, vb = vb, posterior = vb_posterior(vb, model), trace = trace,
    converged = kind == "ok", sweeps = min(run$status[2L], control$max_iter), control = control,
    # a response that the model explains to rounding: its residual variance is noise
    rounding = has_sigma(model) && core$yy > 0 && vb$ss[1L] < 1e-12 * core$yy
  ))
}

warn_vb <- function(fit) {
  if (fit$rounding) {
    mf_warn("exact_fit", "the model explains the response (almost) exactly: the residual ",
      "variance is rounding noise, and no SD means much", arg = "formula")
  }
  failed <- fit$posterior$tau$failed
  if (length(failed) && is.null(fit$integrated)) {
    mf_warn("lrvb", "linear response is unreliable for ", toString(failed),
      " (the optimum is flat there, as at a variance near zero): mean-field SDs are ",
      "reported for it; use integrate = \"yes\", fit_exact() or fit_gibbs()", arg = "formula")
  }
  say_not_integrated(fit)
  if (!fit$converged && !fit$rounding) { # among rounding errors more sweeps are no remedy
    change <- fit$trace$change
    mf_warn("convergence", "not converged after ", fit$control$max_iter,
      " sweeps (last change of a log precision: ", format(signif(change[length(change)], 2)),
      "): raise `max_iter` in vb_control()", arg = "control")
  }
}

# What the default set out to do and did not.
say_not_integrated <- function(fit) {
  why <- fit$not_integrated %||% ""
  if (why == "failed" && !fit$rounding) {
    mf_warn("integration", "the posterior could not be integrated over the variance parameters: ",
      "linear response is shown, which may be too narrow where few groups tell of a variance; try ",
      "integrate = \"yes\", or compare with fit_gibbs()", arg = "integrate")
  }
  if (why == "too dear") {
    mf_inform("integration", "Not integrated over the variance parameters, which would take long: ",
      "linear response is shown. integrate = \"yes\" does it, integrate = \"no\" says that ",
      "this is wanted.")
  }
  if (why == "too large") {
    mf_inform("integration", "Not integrated over the variance parameters, which takes a dense ",
      "matrix of more than ", format(MAX_GLOBAL, big.mark = ","), " rows: linear response is ",
      "shown. integrate = \"no\" says that this is wanted.")
  }
}

# The optimum from the data's start, and from others where the ELBO may have several maxima: the
# priors', when those say something far apart, and for terms whose origin the prior holds, the one
# that the same covariates would give were they centred. The highest one is wanted.
best_run <- function(core, control) {
  start <- if (is.null(core$rows)) vb_start(core) else glmm_vb_start(core)
  others <- list(prior_start(core, start), centred_start(core, start))
  budget <- new_budget(work = "Fitting by variational Bayes")
  on.exit(budget$close())
  run <- call_fit_vb(core, start, control, budget$progress)
  worked <- c(core_status[["ok"]], core_status[["maxit"]])
  if (is_iterated(core) && run$status[1L] %in% worked) return(run) # no bound tells them apart
  for (other in Filter(Negate(is.null), others)) {
    second <- call_fit_vb(core, other, control, budget$progress)
    better <- second$status[1L] %in% worked &&
      (!run$status[1L] %in% worked || isTRUE(second$result$elbo > run$result$elbo))
    if (better) run <- second
  }
  run
}

# A row per sweep: log precisions (of the diagonals of vector terms), ELBO, change, step.
vb_trace <- function(vb, rows, model) {
  q <- length(vb$t)
  rows <- min(rows, ncol(vb$trace))
  x <- t(vb$trace[, seq_len(rows), drop = FALSE])
  own <- unlist(lapply(stat_index(model), function(at) at[on_diagonal(vech_order(length(at)))]))
  out <- lapply(own, function(k) log(x[, k]))
  if (length(own)) names(out) <- paste0("log_", stat_names(model)[own])
  out$elbo <- x[, q + 1L]
  out$change <- x[, q + 2L]
  step <- as.integer(x[, q + 3L]) + 1L
  levels(step) <- c("cavi", "newton", "rejected")
  out$step <- new_class("factor", step)
  attr(out, "row.names") <- seq_len(rows)
  new_class("data.frame", out) # data.frame() is slow
}
