# The two stages of fit_vb() of a target: the Gaussian fits, and their refinement.

# ---- Gaussian fits -------------------------------------------------------------------------------

fit_stage <- function(run) {
  own <- own_optimum(run)
  run <- if (is.null(own)) family_stage(run) else keep_components(run, list(own))
  if (!run$converged && run$settings$refine == "no") {
    run <- add_flag(run, "the Gaussian fit did not converge", run$reason)
  }
  run
}

family_stage <- function(run) {
  if (is_stochastic(run)) return(stochastic_stage(run))
  switch(run$settings$approximation,
    fullrank = fullrank_stage(run), meanfield = factorised_stage(run),
    lowrank = lowrank_stage(run), pathfinder = pathfinder_stage(run))
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

fullrank_stage <- function(run) {
  z0 <- run$target$init
  first <- start_at(run$ev, z0, max_points = left_gradients(run) / 4)
  modes <- find_modes(run$ev, first, z0, left_gradients(run) / 4)
  away <- !first$usable && any(abs(first$z - z0) > 300)
  if (first$reason == "diverged" || away) run$diverged <- unconstrained_names(run$target)[
    order(-abs(first$z))[seq_len(min(3L, length(first$z)))]]
  fits <- lapply(gaussian_starts(modes, first, z0), function(s) {
    fit_gaussian(run, s)
  })
  fits <- distinct_fits(Filter(function(q) is.finite(q$elbo), fits))
  if (!length(fits)) no_gaussian(run)
  run$usable <- any(vapply(modes, `[[`, NA, "usable"))
  keep_components(run, fits)
}

# To the optimum of the family where that is the answer; a proposal needs less, but in a few
# dimensions the optimum is cheap.
fit_gaussian <- function(run, start) {
  d <- length(start$m)
  n <- run$settings$control$points %||% gaussian_points(d)
  answer <- run$settings$refine == "no"
  final <- if (answer || d <= 5L) 4L * n else n
  if (run$settings$optimiser == "lbfgs") {
    return(bound_vi(run$ev, start$m, start$L, final))
  }
  gaussian_vi(run$ev, start$m, start$L, n_points = n, max_iter = if (answer) 60L else 20L,
    max_points = left_gradients(run) / 2, n_final = final, final_iter = if (answer) 60L else 1L)
}

# At every usable mode; without one, about the point that the climb reached and about init:
# expectations smooth a spike that an optimiser falls into.
gaussian_starts <- function(modes, first, z0) {
  usable <- Filter(function(m) m$usable, modes)
  if (length(usable)) return(lapply(usable, function(m) list(m = m$z, L = m$L)))
  around <- function(z) list(m = z, L = diag(0.5, length(z)))
  c(list(around(z0)), if (is.finite(first$lp) && first$reason != "diverged") list(around(first$z)))
}

# Without those that ended where a better one did.
distinct_fits <- function(fits) {
  fits <- fits[order(-vapply(fits, `[[`, 0, "elbo"))]
  out <- list()
  for (q in fits) {
    near <- vapply(out, function(o) {
      e <- forwardsolve(o$L, q$m - o$m)
      f <- forwardsolve(q$L, q$m - o$m)
      max(sum(e^2), sum(f^2)) < 1
    }, NA)
    if (!any(near) && q$elbo > (out[1L][[1L]]$elbo %||% -Inf) - LIGHT_MODE) out <- c(out, list(q))
  }
  out
}

# Points of the Gaussian fit itself, in proportion to the weights of the components.
gaussian_sample <- function(components, n) {
  weight <- vapply(components, `[[`, 0, "weight")
  d <- length(components[[1L]]$m)
  per <- pmax(2L * ceiling(n * weight / sum(weight) / 2), 4L)
  parts <- Map(function(part, k) {
    E <- fixed_points(as.integer(k), d, shift = 11L, cross = k >= 2 * d)
    part$m + component_root(part, E)
  }, components, per)
  list(z = do.call(cbind, parts), weights = rep(weight / per, per) / sum(weight))
}

# Enough points to match a covariance, where there is one.
big_sample <- function(run) {
  if (is.null(run$components[[1L]]$L)) 512L else max(512L, 2L * run$target$d)
}

# ---- refinement ----------------------------------------------------------------------------------

refine_stage <- function(run) {
  d <- run$target$d
  big <- d > FULL_MOST
  if (big && run$settings$refine %in% c("importance", "hmc")) {
    mf_abort("control", "refinement is for up to ", FULL_MOST, " dimensions: use refine = \"no\" ",
      "and fit_hmc()", arg = "refine")
  }
  run$sample <- gaussian_sample(run$components, if (big) big_sample(run) else 2048L)
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
  proposal <- fitted_proposal(run$components)
  least <- run$components[[1L]]$least %||% 0L # of a model that knows its optimum
  points <- max(control$importance_points, least) * length(proposal)
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
  run
}

# Moments under the linear-response covariance, and its points; NULL where there is none.
response_sample <- function(run) {
  if (length(run$components) > 1L) return(NULL)
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
