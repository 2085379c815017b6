# fit_vb() of a target: Gaussian fits at its modes, refinement, the table, and the words.

#' Fit any log density by variational Bayes
#'
#' Fits a Gaussian, or a flow, to the posterior that a [target()] describes, and refines it: by
#' importance sampling about the fit with Stein control variates, where that is not enough by
#' Hamiltonian Monte Carlo in the fitted metric, and where that is not either, says so in words.
#'
#' @param object Made by [target()] or [as_target()], or a fit of one, whose target is fitted again.
#' @param approximation The Gaussian family. `"fullrank"` (the default up to 200 dimensions),
#'   `"meanfield"` (independent coordinates, with linear response; the default beyond), `"lowrank"`
#'   (a diagonal plus `rank` directions), `"pathfinder"` (the best normal along the paths of several
#'   climbs), `"flow"` (a normalising flow, up to 200 dimensions: see the details).
#' @param refine `"auto"`: importance sampling, then Hamiltonian Monte Carlo, as far as is needed
#'   (none for `"meanfield"`, beyond 200 dimensions and for the stochastic optimisers). `"no"`: the
#'   Gaussian with its linear response. `"importance"`, `"hmc"`: that one, up to 200 dimensions.
#' @param optimiser `"stein"`: natural-gradient steps on fixed points (`"fullrank"`). `"lbfgs"`: the
#'   bound over fixed points by a general second-order optimiser (L-BFGS; of `"meanfield"` Newton's
#'   method with conjugate gradients). `"pathwise"`, `"score"`: stochastic gradients, by
#'   reparameterisation or by the score function (`"fullrank"`, `"meanfield"`). `"adam"`: that of
#'   `"flow"`. `NULL`, the default: the first that the approximation has.
#' @param rank Of `"lowrank"`: a whole number from 0; `NULL` chooses it by the gain in the bound.
#' @param control Made by [vb_control()]: `points`, `importance_points`, `max_gradients`, and for
#'   the stochastic optimisers `seed`, `steps`, `draws`, `batch_size`, `replacement`; for a flow
#'   `layers`, `hidden`, `starts`, `seed`, `steps`, `draws`.
#' @param ... Not used; of a fit, the other arguments.
#'
#' @details
#' The default asks for 1,000 to 2,000 gradients where one round of importance sampling settles it.
#' It climbs from `init` and from points spread about the mode it finds, so that other modes are
#' seen; each mode gets a Gaussian, and the proposal is their mixture. A row of the table is
#' believed when its squared integrand has a light tail (`khat` below .5), when its jackknife errors
#' are small (2% of an SD), and when the proposal already had nearly the SD that was found. The
#' score's own identities must hold as well, or the gradient is not the density's. What is not
#' believed is sampled again, from a proposal that has learned from the last sample; then come
#' chains, as far as `max_gradients` lasts.
#'
#' With `batch_size` a stochastic optimiser sees that many rows of a target with `rows` at a time;
#' such a fit is not refined, so that it asks for `refine = "no"` or `"auto"`, and its bound is an
#' estimate.
#'
#' A flow is for posteriors that no Gaussian is near to, bent, funnelled or of several modes, where
#' their density itself is wanted. Affine coupling layers (`layers`; networks of `hidden` tanh
#' units) bend the Gaussian fit: each multiplies some coordinates by exp(s), |s| < 2, and shifts
#' them, by functions of the others, so that the density of every draw is known exactly. They start
#' as the identity and climb the ELBO by Adam, `draws` fresh draws a step, with gradients that have
#' no noise where the flow is the posterior. Training starts `starts` times, with seeds `seed`,
#' `seed + 1`, ...: in turn from the Gaussian fit and from the mean and covariance of an importance
#' sample, from the latter alone where there are several modes. From there the log density counts
#' .3 to 1 times in the first quarter of the steps, so that modes are reached while they are flat.
#' The largest ELBO is kept. The importance sample also tells what share of the posterior the flow
#' leaves out; more than 3% is flagged: an ELBO alone does not show that a mode was dropped.
#'
#' A flow takes `steps` times `draws` times `starts` gradients, by default three million and some 5
#' seconds for a vectorised density in two dimensions: `max_gradients` bounds the Gaussian fit, the
#' importance sample and the refinement, but not the training, which Ctrl-C ends. Refinement samples
#' from a mixture of the flow (of a t in the place of the normal distribution) and that sample's
#' components. The Gaussian itself takes part: of a normal posterior it is the answer.
#'
#' R's generator is not touched, and every run gives the same answer.
#'
#' @return An object of class `target_vb_fit` (`target_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{the call, and the target}
#'   \item{vb}{`approximation`, `optimiser`, `elbo`, `converged`, `components` (for each mode a list
#'     with `m`, `L` or `sd`, `elbo`, `weight`), on the unconstrained scale, and the optimiser's
#'     `trace` where it keeps one. Of a flow the components are the Gaussians that it starts from;
#'     it has `flow` (`m`, `L`, `layers`, `hidden`, the weights `w`; on the unconstrained scale),
#'     `starts` (data frame: where from, `seed`, `elbo` and its standard `error`, the share of the
#'     posterior that is `missed`, steps `skipped`, which was `kept`; `"none"` is the Gaussian),
#'     `khat` (of the flow itself), `elbo_error` and `missed`}
#'   \item{modes}{data frame, a row per mode that was kept: its `weight` and `elbo`}
#'   \item{table}{data frame, a row per variable: what [summary()] shows, k-hat of each row}
#'   \item{points}{`z` (d x points) and `weights`: what draws and quantiles are made of}
#'   \item{log_evidence, evidence_error}{log marginal likelihood of the density as it is given, and
#'     its standard error; `NA` where it was not estimated}
#'   \item{khat, ess}{of the importance sample; `ess` as a share of its points}
#'   \item{hmc}{of the chains, where they were needed: `rhat` (the largest), `divergent`, `ebfmi`
#'     (the smallest), `draws`; else `NULL`}
#'   \item{flags}{what is wrong, in words; empty when nothing is. They are warned of too}
#'   \item{notes}{what is worth knowing}
#'   \item{counts}{evaluations of the target: `values`, `gradients`, `failures` (errors and what is
#'     no number), `warnings`, and the `message` of the last failure}
#'   \item{converged, seconds, control}{of the Gaussian fit; elapsed time; the settings}
#' }
#' `summary()` has the columns `variable`, `mean`, `sd`, `mean_mfvb`, `sd_mfvb` (of the Gaussian
#' or the flow before refinement), `source` (`"importance"`, `"hmc"`, `"lrvb"`, `"vb"`), `q2.5`,
#' `q97.5`, `mcse_mean`, `mcse_sd`.
#' @section Errors and warnings: `meanfield_error_target` where the target cannot be fitted at all,
#'   `meanfield_error_fit` for a target that another version of the package made,
#'   `meanfield_error_control` for settings that do not go together; `meanfield_warning_target`, a
#'   warning per flag: tails without moments, an improper density, a gradient that is not the
#'   density's, a density that fails or jumps, chains that disagree, means and SDs that are not
#'   known well, a flow that leaves a part of the posterior out. Several modes are a note.
#' @references Dinh, L., Sohl-Dickstein, J. and Bengio, S. (2017). Density estimation using Real
#'   NVP. *ICLR*.
#'
#'   Opper, M. and Archambeau, C. (2009). The variational Gaussian approximation
#'   revisited. *Neural Computation* 21, 786-792.
#'
#'   Oates, C., Girolami, M. and Chopin, N. (2017). Control functionals for Monte Carlo integration.
#'   *Journal of the Royal Statistical Society B* 79, 695-718.
#'
#'   Vaitl, L., Nicoli, K. A., Nakajima, S. and Kessel, P. (2022). Gradients should stay on path:
#'   better estimators of the reverse- and forward KL divergence for normalizing flows. *Machine
#'   Learning: Science and Technology* 3, 045006.
#'
#'   Vehtari, A. et al. (2024). Pareto smoothed importance sampling. *Journal of Machine Learning
#'   Research* 25, 1-58.
#'
#'   Zhang, L. et al. (2022). Pathfinder: parallel quasi-Newton variational inference. *Journal of
#'   Machine Learning Research* 23(306).
#' @seealso [fit_exact.meanfield_target()] and [fit_hmc()], the references; [target-methods].
#' @examples
#' y <- c(2.1, 3.4, 1.9, 2.8, 3.1, 2.2, 2.6, 2.9)
#' model <- target(
#'   function(p) {
#'     sum(dnorm(y, p$mu, p$sigma, log = TRUE)) + dnorm(p$mu, 0, 5, log = TRUE) +
#'       dexp(p$sigma, 1, log = TRUE)
#'   },
#'   init = list(mu = 0, sigma = 1), constraints = list(sigma = positive()))
#' fit <- fit_vb(model)
#' fit
#' summary(fit)
#'
#' banana <- target(
#'   function(p) dnorm(p$a, log = TRUE) + dnorm(p$b, p$a^2, 0.5, log = TRUE),
#'   init = list(a = 0, b = 0), vectorised = TRUE,
#'   gradient = function(p) {
#'     off <- 4 * (p$b - p$a^2)
#'     list(a = -p$a + 2 * p$a * off, b = -off)
#'   })
#' flow <- fit_vb(banana, approximation = "flow", refine = "no",
#'   control = vb_control(steps = 500, draws = 64, starts = 1))
#' c(ELBO = flow$vb$elbo, log_evidence = 0)
#' @export
fit_vb.meanfield_target <- function(object, approximation = NULL,
                                    refine = c("auto", "no", "importance", "hmc"),
                                    optimiser = NULL, rank = NULL, control = vb_control(), ...) {
  no_dots(...)
  valid_target(object)
  call <- object_call(match.call(), "fit_vb", parent.frame())
  settings <- target_settings(object, approximation, refine, optimiser, rank, control)
  began <- now()
  run <- new_run(object, settings)
  run <- fit_stage(run)
  run <- refine_stage(run)
  fit <- assemble_target_fit(call, run)
  fit$seconds <- now() - began
  if (control$trace) print(fit$vb$trace)
  tell_flags(fit)
  fit
}

#' @rdname fit_vb.meanfield_target
#' @export
fit_vb.target_fit <- function(object, ...) fit_vb(valid_fit(object)$model, ...)

target_settings <- function(target, approximation, refine, optimiser, rank, control) {
  check_vb_control(control)
  default <- if (target$d > (target$most_full %||% FULL_MOST)) "meanfield" else "fullrank"
  approximation <- check_choice(approximation %||% default, APPROXIMATIONS, "approximation")
  choices <- OPTIMISERS[[approximation]]
  optimiser <- check_choice(optimiser %||% choices[1L], choices, "optimiser")
  refine <- check_choice(refine, c("auto", "no", "importance", "hmc"), "refine")
  if (approximation == "flow") check_flow_size(target$d)
  if (approximation %in% c("fullrank", "flow") && isTRUE(control$points < 4 * target$d + 4)) {
    mf_abort("control", "`points` must be at least four times the number of dimensions and four, ",
      4 * target$d + 4, ", not ", control$points, arg = "points")
  }
  if (!is.null(rank)) {
    if (approximation != "lowrank") {
      mf_abort("control", "`rank` is for approximation = \"lowrank\"", arg = "rank")
    }
    rank <- check_count(rank, "rank", 0, target$d)
  }
  if (!is.null(control$batch_size) && !optimiser %in% STOCHASTIC) {
    mf_abort("control", "`batch_size` is for optimiser = \"pathwise\" or \"score\"",
      arg = "batch_size")
  }
  list(approximation = approximation, refine = refine, optimiser = optimiser, rank = rank,
    control = control)
}

check_flow_size <- function(d) {
  if (d < 2L) {
    mf_abort("control", "a flow moves some coordinates by the others, and the target has only ",
      "one: use approximation = \"fullrank\", which refines it, or fit_exact()",
      arg = "approximation")
  }
  if (d > FULL_MOST) {
    mf_abort("control", "a flow is for up to ", FULL_MOST, " dimensions, not ", d,
      ": use approximation = \"meanfield\" or \"lowrank\", or fit_hmc()", arg = "approximation")
  }
}

# ---- result --------------------------------------------------------------------------------------

assemble_target_fit <- function(call, run) {
  components <- run$components
  best <- components[[1L]]
  structure(
    list(
      call = call, model = run$target,
      vb = c(list(approximation = run$settings$approximation, optimiser = run$settings$optimiser,
        elbo = run$elbo, converged = run$converged, components = components,
        trace = if (is.null(run$flow)) best$trace else run$flow_fit$trace), flow_parts(run)),
      modes = mode_table(components), table = run$table, points = run$points,
      log_evidence = run$log_evidence %||% NA_real_,
      evidence_error = run$evidence_error %||% NA_real_,
      khat = run$khat %||% NA_real_, ess = run$ess %||% NA_real_,
      hmc = run$hmc, flags = run$flags, notes = run$notes,
      counts = evaluator_counts(run$ev), converged = run$converged,
      control = run$settings$control
    ),
    class = c("target_vb_fit", "target_fit", "meanfield_fit")
  )
}

# What vb has of a flow.
flow_parts <- function(run) {
  if (is.null(run$flow)) return(NULL)
  c(list(flow = run$flow, starts = run$flow_starts),
    stats::setNames(run$flow_fit[c("khat", "error", "missed")], c("khat", "elbo_error", "missed")))
}

tell_flags <- function(fit) {
  for (flag in fit$flags) mf_warn("target", flag, arg = "object")
}
