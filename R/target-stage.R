# The two stages of fit_vb() of a target: the Gaussian fits, and their refinement.

# ---- Gaussian fits -------------------------------------------------------------------------------

fit_stage <- function(run) {
  own <- own_optimum(run)
  run <- if (is.null(own)) family_stage(run) else keep_components(run, list(own))
  if (!run$converged && run$settings$refine == "no") {
    run <- add_flag(run, "the ", if (is.null(run$flow)) "Gaussian fit" else "flow",
      " did not converge", run$reason)
  }
  run
}

family_stage <- function(run) {
  if (is_stochastic(run)) return(stochastic_stage(run))
  switch(run$settings$approximation,
    fullrank = fullrank_stage(run), meanfield = factorised_stage(run),
    lowrank = lowrank_stage(run), pathfinder = pathfinder_stage(run), flow = flow_stage(run))
}

# Where the model knows the optimum of a family better than a search over points would find it, and
# no other optimiser was asked for.
own_optimum <- function(run) {
  set <- run$settings
  if (set$optimiser == OPTIMISERS[[set$approximation]][1L]) {
    gaussian_optimum(run$target, set$approximation)
  }
}

# The fit, as of gaussian_vi() or factorised_vi(), or NULL.
gaussian_optimum <- function(target, approximation) UseMethod("gaussian_optimum")

#' @export
gaussian_optimum.meanfield_target <- function(target, approximation) NULL

# ---- refinement ----------------------------------------------------------------------------------

refine_stage <- function(run) {
  d <- run$target$d
  big <- d > FULL_MOST
  if (big && run$settings$refine %in% c("importance", "hmc")) {
    mf_abort("control", "refinement is for up to ", FULL_MOST, " dimensions: use refine = \"no\" ",
      "and fit_hmc()", arg = "refine")
  }
  run$sample <- run$flow_sample %||%
    gaussian_sample(run$components, if (big) big_sample(run) else 2048L)
  run$mfvb <- normal_moments(run$linked, run$sample$z, run$sample$weights)
  refine <- run$settings$refine
  if (refine == "auto" && (run$settings$approximation == "meanfield" || big ||
    is_stochastic(run))) refine <- "no"
  if (refine != "no" && !is.null(run$settings$control$batch_size)) {
    mf_abort("control", "a fit by mini-batches is not refined, which takes passes over all rows: ",
      "use refine = \"no\"", arg = "refine")
  }
  run <- switch(refine, no = unrefined_stage(run), importance = importance_stage(run),
    hmc = hmc_stage(importance_stage(run)), auto = auto_stage(run))
  judge(run)
}

auto_stage <- function(run) {
  run <- importance_stage(run)
  if (run$settled || length(run$components) > 1L) return(run)
  if (left_gradients(run) < 1500) {
    return(add_note(run, "`max_gradients` is spent: no Hamiltonian Monte Carlo"))
  }
  hmc_stage(run)
}

importance_stage <- function(run) {
  control <- run$settings$control
  flow <- !is.null(run$flow)
  proposal <- if (flow) flow_proposal(run) else fitted_proposal(run$components)
  least <- run$components[[1L]]$least %||% 0L # of a model that knows its optimum
  points <- max(control$importance_points, least) * (if (flow) 2L else length(proposal))
  budget <- min(left_gradients(run), 0.55 * control$max_gradients)
  before <- unlist(evaluator_counts(run$ev)[c("values", "failures")])
  out <- importance_ladder(run$ev, run$linked, proposal, run$mfvb$sd, points, budget)
  e <- out$estimate
  run$settled <- out$settled
  run$reasons <- out$reasons
  run$estimate <- e
  best <- run$components[[1L]]
  run$axes <- out$axes %||% list(m = best$m, L = component_factor(best))
  run$khat <- out$round$khat
  run$ess <- out$round$ess / ncol(out$round$z)
  spent <- unlist(evaluator_counts(run$ev)[c("values", "failures")]) - before
  run$failed <- spent[["failures"]] / spent[["values"]]
  run$log_evidence <- out$round$log_evidence
  run$evidence_error <- out$round$evidence_error
  run$table <- variable_estimates(run$linked, e, run$mfvb, NULL, "importance")
  run$points <- list(z = out$round$z, weights = out$round$weights)
  run$discrepancy <- e$discrepancy
  run
}

unrefined_stage <- function(run) {
  run$settled <- TRUE
  run$unrefined <- TRUE
  lr <- response_sample(run)
  own <- lr$moments %||% run$mfvb
  run$table <- variable_estimates(run$linked, own, run$mfvb, lr$moments,
    if (is.null(lr)) "vb" else "lrvb")
  if (!is.null(lr$known) && !all(lr$known)) run <- partly_corrected(run, lr$known)
  if (is.null(lr) && run$settings$optimiser == "lbfgs" &&
    run$settings$approximation == "meanfield") {
    run <- add_flag(run, "mean-field SDs are too small where coordinates depend on each other, ",
      "and these are not corrected: linear response failed, or `max_gradients` was spent: raise ",
      "it, or use approximation = \"fullrank\"")
  }
  run$points <- lr$points %||% run$sample
  if (!is.null(run$flow)) run <- flow_itself(run)
  run
}

# An unrefined flow draws its own, and its k-hat is that of its ELBO's points.
flow_itself <- function(run) {
  flow <- run$flow
  run$points$normal <- function(e) flow_draw(flow, e)$z
  run$khat <- run$flow_fit$khat
  run$ess <- run$flow_fit$ess
  run$failed <- 1 - run$flow_fit$share
  run
}

# Moments under the linear-response covariance, and its points; NULL where there is none.
response_sample <- function(run) {
  if (length(run$components) > 1L || !is.null(run$flow)) return(NULL)
  part <- run$components[[1L]]
  root <- response_root(run, part)
  if (is.null(root)) return(NULL)
  sample <- gaussian_sample(list(list(m = part$m, L = root$L, sd = root$sd, weight = 1)),
    if (length(part$m) > FULL_MOST) 512L else 2048L)
  m <- part$m
  sample$normal <- function(e) m + component_root(root, e)
  list(moments = normal_moments(run$linked, sample$z, sample$weights), points = sample,
    known = root$known)
}

# Rows of coordinates whose linear response was not asked for say so; whether it matters, those for
# which it was tell.
partly_corrected <- function(run, known) {
  at <- match(variable_table(run$target)$variable, unconstrained_names(run$target))
  row <- which(!known[at] | is.na(at))
  widened <- (run$table$sd_lrvb / run$table$sd_mfvb)[which(known[at])]
  run$table$source[row] <- "vb"
  run$table[row, c("mean_lrvb", "sd_lrvb", "spread_lrvb")] <- NA
  most <- suppressWarnings(max(widened, na.rm = TRUE))
  if (sum(known) >= 3L && most < 1.05) {
    return(add_note(run, "linear response was asked of ", sum(known),
      " coordinates, and widens none"))
  }
  add_flag(run, "mean-field SDs are too small where coordinates depend on each other",
    if (is.finite(most)) paste0(" (linear response widens one ", format(most, digits = 2),
      " times)"),
    ", and ", length(row), " rows are not corrected: raise `max_gradients`")
}
