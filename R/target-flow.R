# Training of normalising flows of targets, and what a trained one is worth.

FLOW_RATE <- 0.01 # of Adam
FLOW_CLIP <- 10
FLOW_COLD <- 0.3 # the first power of a flattened density, in which modes are not dropped
FLOW_STEPS <- 4000L
FLOW_DRAWS <- 256L

flow_settings <- function(control) {
  list(layers = control$layers, hidden = control$hidden, starts = control$starts,
    steps = control$steps %||% FLOW_STEPS, draws = control$draws %||% FLOW_DRAWS,
    seed = control$seed, progress = interactive())
}

# The Gaussian N(m, L L') as a flow.
gaussian_flow <- function(part, set) {
  list(m = part$m, L = component_factor(part), layers = 0L, hidden = set$hidden, w = numeric())
}

# from: list(m, L, cold). list(flow, trace, skipped, outcome: "done", "lost" (no density at the
# draws)).
train_flow <- function(ev, from, set, seed) {
  flow <- list(m = from$m, L = from$L, layers = set$layers, hidden = set$hidden)
  settings <- list(steps = set$steps, draws = set$draws, rate = FLOW_RATE, clip = FLOW_CLIP,
    cold = from$cold, path = TRUE, max_points = Inf)
  run <- with_fixed_seed(call_bb_flow(ev, flow, settings), seed)$result
  flow$w <- run$w
  list(flow = flow, skipped = run$skipped, outcome = c("", "done", "lost")[run$end + 1L],
    trace = data.frame(step = seq_along(run$trace), elbo = run$trace))
}

# What the flow is worth, on fixed base points e (antithetic pairs). Where there is no density the
# flow is cut off, and its mass given to the rest.
# list(elbo, error, khat, ess (a share of the points), share (of the points that have a density),
# log_evidence, evidence_error (by the flow's own weights), sample: list(z, weights)).
judge_training <- function(ev, flow, e) {
  at <- flow_draw(flow, e)
  lp <- ev(at$z, FALSE)$lp
  ratio <- ifelse(is.finite(lp), lp - at$log_q, -Inf)
  inside <- is.finite(ratio)
  if (!any(inside)) return(list(elbo = -Inf, error = NA_real_, khat = Inf, ess = 0, share = 0))
  pair <- rep_len(seq_len(ncol(e) / 2), ncol(e))
  sums <- rowsum(ratio[inside] - mean(ratio[inside]), pair[inside])[, 1L]
  smooth <- pair_weights(ratio, pair)
  list(elbo = mean(ratio[inside]) + log(mean(inside)), error = sqrt(sum(sums^2)) / sum(inside),
    khat = smooth$khat, ess = 1 / sum(smooth$weights^2) / ncol(e), share = mean(inside),
    log_evidence = log_mean_exp(ratio), evidence_error = evidence_error(ratio, pair %% REPLICATES),
    sample = list(z = at$z, weights = inside / sum(inside)))
}
