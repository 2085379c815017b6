# A run of fit_vb() on a target: what its stages read, and what they add to.

FULL_MOST <- 200L # dimensions beyond which the default is mean field

# A run gathers what a fit is made of.
new_run <- function(target, settings) {
  ev <- evaluator(target)
  linked <- linked_values(target)
  list(target = target, settings = settings, ev = ev, linked = linked, flags = character(),
    notes = character())
}

# Those of a flow's training are its own: steps x draws x starts.
left_gradients <- function(run) {
  spent <- evaluator_counts(run$ev)[["gradients"]] - (run$own_gradients %||% 0)
  run$settings$control$max_gradients - spent
}

APPROXIMATIONS <- c("fullrank", "meanfield", "lowrank", "pathfinder", "flow")
OPTIMISERS <- list(fullrank = c("stein", "lbfgs", "pathwise", "score"),
  meanfield = c("lbfgs", "pathwise", "score"), lowrank = "lbfgs", pathfinder = "lbfgs",
  flow = "adam")
STOCHASTIC <- c("pathwise", "score") # optimisers
is_stochastic <- function(run) run$settings$optimiser %in% STOCHASTIC

add_flag <- function(run, ...) {
  run$flags <- c(run$flags, paste0(...))
  run
}

add_note <- function(run, ...) {
  run$notes <- c(run$notes, paste0(...))
  run
}

# fits: lists with m, L (or sd), elbo, converged; best first.
keep_components <- function(run, fits) {
  elbo <- vapply(fits, `[[`, 0, "elbo")
  weight <- exp(elbo - max(elbo))
  run$components <- Map(function(q, w) {
    q$weight <- w / sum(weight)
    q[intersect(names(q), c("m", "L", "sd", "omega", "A", "D", "elbo", "weight", "converged",
      "criterion", "iterations", "trace", "E", "rank", "gains", "df", "least", "response"))]
  }, fits, weight)
  run$elbo <- max(elbo) + log(sum(weight))
  run$converged <- all(vapply(fits, `[[`, NA, "converged"))
  run$reason <- paste0(": ", unique(unlist(lapply(fits, `[[`, "reason"))))[1L]
  run
}

component_factor <- function(part) part$L %||% diag(part$sd, length(part$sd))

component_root <- function(part, E) if (is.null(part$L)) part$sd * E else part$L %*% E

mode_table <- function(components) {
  elbo <- vapply(components, `[[`, 0, "elbo")
  weight <- vapply(components, `[[`, 0, "weight")
  data.frame(mode = seq_along(elbo), weight = weight / sum(weight), elbo = elbo)
}

no_gaussian <- function(run) {
  if (left_gradients(run) < 2 * gaussian_points(run$target$d)) {
    mf_abort("target", "`max_gradients` was spent before a normal distribution was fitted: raise ",
      "it, or use fewer `points`", arg = "control")
  }
  why <- evaluator_counts(run$ev)$message
  if (!is.na(why)) {
    mf_abort("target", "the log density fails around `init` (", why, "): start from a better ",
      "`init`, or mend it", arg = "init")
  }
  points <- run$settings$control$points
  if (!is.null(points) && points * 2 > left_gradients(run)) {
    mf_abort("target", "`max_gradients` is too small for `points` = ", points, ": a normal ",
      "distribution takes as many gradients a step; raise it, or use fewer `points`",
      arg = "control")
  }
  mf_abort("target", "no normal distribution about `init` has a finite expected log density: ",
    "start from a better `init`, or give `constraints` where the density ends", arg = "init")
}
