# fit_vb(approximation = "flow"): where flows start, which is kept, what it leaves out.

# More of the posterior than that left out by the flow is told of; so are more nats between its ELBO
# and the evidence, beside their error, fewer of a flow that is the answer itself.
FLOW_MISSED <- 0.03
FLOW_GAP <- c(refined = 0.5, itself = 0.05)
FLOW_THIN <- log(20) # a point is left out where the flow has that much less density

# The Gaussian fits, importance sampling about them, then flows from both.
flow_stage <- function(run) {
  run <- fullrank_stage(run)
  set <- flow_settings(run$settings$control)
  pilot <- flow_pilot(run)
  before <- evaluator_counts(run$ev)[["gradients"]]
  trained <- trained_flows(run, pilot, set)
  run$own_gradients <- evaluator_counts(run$ev)[["gradients"]] - before
  keep_flow(run, trained, pilot)
}

# An importance sample about the Gaussians, by a quarter of the budget: it knows modes and moments.
flow_pilot <- function(run) {
  control <- run$settings$control
  proposal <- fitted_proposal(run$components)
  sample <- gaussian_sample(run$components, 2048L)
  sd <- normal_moments(run$linked, sample$z, sample$weights)$sd
  points <- control$importance_points * length(proposal)
  importance_ladder(run$ev, run$linked, proposal, sd, points,
    min(left_gradients(run) / 2, control$max_gradients / 4))
}

# From the best Gaussian and from the moments of the pilot in turn; with several modes from the
# moments, which reach all of them, and at first with a flatter density.
flow_starts <- function(run, pilot, set) {
  if (set$layers == 0L) return(list())
  best <- run$components[[1L]]
  narrow <- list(name = "gaussian", m = best$m, L = component_factor(best), cold = 1)
  axes <- moment_axes(pilot$round) %||% overall_axes(run$components)
  wide <- list(name = "moments", m = axes$m, L = axes$L, cold = FLOW_COLD)
  kinds <- if (length(run$components) > 1L) list(wide) else list(narrow, wide)
  rep_len(kinds, set$starts)
}

# The Gaussian itself first: of a normal posterior nothing is better.
trained_flows <- function(run, pilot, set, starts = flow_starts(run, pilot, set)) {
  e <- flow_points(run$target$d)
  best <- run$components[[1L]]
  judged <- function(name, seed, fit) {
    c(list(name = name, seed = seed), fit, judge_training(run$ev, fit$flow, e),
      list(missed = missed_share(fit$flow, pilot)))
  }
  none <- list(judged("none", NA_integer_, list(flow = gaussian_flow(best, set), skipped = 0,
    outcome = "done", trace = NULL)))
  if (length(run$components) == 1L && is_normal_at(run, best)) return(none)
  bar <- step_progress(list(progress = set$progress, steps = set$steps * length(starts)))
  on.exit(bar$close())
  done <- 0L
  asked <- function(Z, gradient) {
    bar$step(done <<- done + 1L)
    run$ev(Z, gradient)
  }
  c(none, lapply(seq_along(starts), function(k) {
    seed <- set$seed + k - 1L
    judged(starts[[k]]$name, seed, train_flow(asked, starts[[k]], set, seed))
  }))
}

# Is the whitened score -e, as that of the normal distribution is?
is_normal_at <- function(run, part) {
  E <- shifted_points(32L, run$target$d, 17L)
  L <- component_factor(part)
  off <- crossprod(L, run$ev(part$m + L %*% E, TRUE)$gradient) + E
  all(is.finite(off)) && max(abs(off)) < 1e-5
}

# The share of the pilot's weight at points where the flow has next to no density.
missed_share <- function(flow, pilot) {
  round <- pilot$round
  use <- round$weights > 0
  log_q <- flow_log_density(flow, round$z[, use, drop = FALSE])
  thin <- round$lp[use] - round$log_evidence - log_q > FLOW_THIN
  sum(round$weights[use][thin])
}

keep_flow <- function(run, trained, pilot) {
  run$flow_starts <- start_table(trained)
  best <- which.max(run$flow_starts$elbo)
  kept <- trained[[best]]
  run$flow_starts$kept <- seq_along(trained) == best
  run$flow <- kept$flow
  run$flow_fit <- kept[setdiff(names(kept), c("flow", "sample", "name", "seed", "skipped"))]
  run$flow_sample <- kept$sample
  run$pilot <- c(pilot["components"], pilot$round[c("log_evidence", "evidence_error", "khat")])
  run$elbo <- kept$elbo
  run$converged <- kept$outcome == "done" && (length(trained) == 1L || kept$name != "none")
  run$reason <- if (kept$outcome == "lost") "" else
    ": no start of the flow is better than the Gaussian"
  run
}

start_table <- function(trained) {
  pick <- function(name, none) vapply(trained, `[[`, none, name)
  data.frame(start = pick("name", ""), seed = pick("seed", 0L), elbo = pick("elbo", 0),
    error = pick("error", 0), missed = pick("missed", 0), skipped = pick("skipped", 0))
}

# The flow, and about a fifth of all points from the pilot's mixture, whose tails are longer and
# which has modes that the flow may have dropped.
flow_proposal <- function(run) {
  own <- weighted_covariance(run$flow_sample$z, run$flow_sample$weights)
  L <- lower_chol(own$cov) %||% run$flow$L
  part <- proposal_component(own$mean, L, 0.8)
  part$flow <- run$flow
  rest <- run$pilot$components
  weight <- vapply(rest, `[[`, 0, "weight")
  c(list(part), Map(function(p, w) replace(p, "weight", w), rest, 0.2 * weight / sum(weight)))
}

# ---- in words ------------------------------------------------------------------------------------

judge_flow <- function(run) {
  run <- judge_evidence(judge_missed(run))
  if (isTRUE(run$unrefined) && isTRUE(run$khat >= 0.7)) {
    run <- add_note(run, "the tails of the flow are not the posterior's (k-hat ",
      format(run$khat, digits = 2), "), so that SDs may be too small: refine = \"auto\" mends them")
  }
  starts <- run$flow_starts$elbo[run$flow_starts$start != "none"]
  if (!length(starts)) {
    if (run$settings$control$layers == 0L) return(run)
    return(add_note(run, "the posterior is normal: the flow has no layers"))
  }
  if (run$flow_fit$outcome == "lost" || !any(is.finite(starts))) {
    run <- add_flag(run, "the training of the flow ended early, since the log density was no ",
      "number at most of its draws: use `constraints` where it ends")
  }
  if (isTRUE(diff(range(starts)) > 0.1)) {
    run <- add_note(run, "the starts of the flow ended at different ELBOs (the best is kept): ",
      toString(formatC(starts, digits = 3, format = "f")))
  }
  run
}

judge_missed <- function(run) {
  itself <- isTRUE(run$unrefined)
  gap <- flow_gap(run)
  trusted <- if (itself) "" else "; means and SDs are of the importance sample, which has it"
  more <- "use more `layers` or `starts`, or another `seed`"
  below <- paste0("its ELBO is ", format(gap$nats, digits = 2), " below the log evidence: ", more,
    trusted)
  if (isTRUE(run$flow_fit$missed > FLOW_MISSED)) {
    return(add_flag(run, "the flow leaves out ", format(100 * run$flow_fit$missed, digits = 2),
      "% of the posterior, a mode or a tail that importance sampling finds, and ", below))
  }
  far <- gap$surely > FLOW_GAP[[if (itself) "itself" else "refined"]]
  if (far) add_flag(run, "the flow is not close to the posterior: ", below) else run
}

# No evidence is below a bound of it: where it surely is, the sample misses what the flow has.
judge_evidence <- function(run) {
  error <- sqrt(run$evidence_error^2 + run$flow_fit$error^2)
  above <- run$elbo - run$log_evidence
  if (isTRUE(run$unrefined) || !isTRUE(above > 0.01 + 3 * error)) return(run)
  add_flag(run, "the importance sample misses part of the posterior: its log evidence is ",
    format(above, digits = 2), " below the ELBO of the flow: use more `importance_points`, and ",
    "compare with refine = \"no\"")
}

# How far the ELBO is below the log evidence, and surely is, by the samples that are reliable: that
# of the refinement, or the pilot's and the flow's own, which know different parts of the posterior.
flow_gap <- function(run) {
  itself <- isTRUE(run$unrefined)
  samples <- if (itself) list(run$pilot, replace(run$flow_fit, "khat", 0)) else list(run)
  nats <- vapply(samples, function(s) s$log_evidence - run$elbo, 0)
  error <- vapply(samples, function(s) sqrt(s$evidence_error^2 + run$flow_fit$error^2), 0)
  sound <- vapply(samples, function(s) isTRUE(s$khat < 0.7), NA) & is.finite(nats + error)
  surely <- ifelse(sound, nats - 2 * error, -Inf)
  list(nats = nats[which.max(surely)], surely = max(surely))
}
