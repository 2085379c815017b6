# Stochastic gradient ascent of the ELBO: what is left when a pass over the data is too dear or the
# log density has no gradient. Its answer has noise of its own; where the target can be evaluated
# whole, fixed points are better in every way (target-gaussian.R, target-factorised.R).

# ev: an evaluator; evb: of rows i, evb(Z, i, gradient), used when there is one (batch_size rows a
# step, shuffled in epochs, or drawn with replacement). Start: m and omega (log SDs), or L.
# ...: see stochastic_settings().
#
# m, sd, omega, L (full rank): averages of the coordinates over the second half, or the last iterate
#   (last: that in any case, as a list)
# elbo: on fixed points, or of mini-batches the mean of the last quarter; elbo_se: of the latter
# drift: largest difference of the means of the third and the fourth quarter, in SDs and log SDs;
#   half of it is about the error of the average. converged: it is below 0.3
# outcome: "converged", "drifting", "finished" (family "point"), "diverged", "nowhere"
# trace: data frame of step, elbo (an estimate each), size; path: coordinates at some of the steps
stochastic_vi <- function(ev, m, omega = -1, L = NULL, ..., evb = NULL) {
  set <- stochastic_settings(...)
  if (!is.null(evb)) check_batches(set)
  family <- stochastic_family(set, length(m))
  x <- stochastic_start(set, m, omega, L)
  evaluate <- if (is.null(evb)) function(Z, i, gradient) ev(Z, gradient) else evb
  run <- with_fixed_seed(stochastic_run(evaluate, family, x, set, !is.null(evb)), set$seed)
  stochastic_result(run, family, set, if (is.null(evb)) ev)
}

# family: "point" has no spread: the mode. coordinates: of the mean field, "log_sd" or "sd" (kept
# above `floor`). draws: a step. schedule: list(a, b, c), steps a / (1 + k / b)^c. metric: of "sgd",
# "natural" gradients need no scale, "plain" are those of the notes. hold_sd: only the mean moves.
stochastic_settings <- function(estimator = STOCHASTIC_ESTIMATORS,
                                family = c("meanfield", "fullrank", "point"),
                                coordinates = c("log_sd", "sd"), floor = 0.05,
                                draws = if (estimator[1L] == "score") 16L else 4L,
                                steps = 1000L, schedule = NULL,
                                optimiser = c("adam", "sgd"), metric = c("natural", "plain"),
                                averaging = TRUE, baseline = STOCHASTIC_BASELINES,
                                hold_sd = FALSE, rows = NULL, batch_size = 100L,
                                replacement = FALSE, seed = 1L, progress = interactive()) {
  set <- list(
    estimator = check_choice(estimator, STOCHASTIC_ESTIMATORS, "estimator"),
    family = check_choice(family, c("meanfield", "fullrank", "point"), "family"),
    coordinates = check_choice(coordinates, c("log_sd", "sd"), "coordinates"),
    floor = check_number(floor, "floor", 0, strict = TRUE),
    draws = check_count(draws, "draws", 1), steps = check_count(steps, "steps", 4),
    optimiser = check_choice(optimiser, c("adam", "sgd"), "optimiser"),
    metric = check_choice(metric, c("natural", "plain"), "metric"),
    averaging = check_flag(averaging, "averaging"),
    baseline = check_choice(baseline, STOCHASTIC_BASELINES, "baseline"),
    hold_sd = check_flag(hold_sd, "hold_sd"), rows = rows, batch_size = batch_size,
    replacement = check_flag(replacement, "replacement"),
    seed = check_count(seed, "seed"), progress = check_flag(progress, "progress")
  )
  set$schedule <- check_schedule(schedule %||% default_schedule(set))
  check_score(set)
}

# A score estimate compares draws with each other, and a point has no density.
check_score <- function(set) {
  if (set$estimator != "score") return(set)
  if (set$family == "point") {
    mf_abort("control", "the score estimator needs a density: use `family` \"meanfield\" or ",
      "\"fullrank\", or another `estimator`", arg = "estimator")
  }
  if (set$baseline %in% c("loo", "control") && set$draws < 2L) {
    mf_abort("control", "a baseline of the other draws needs `draws` of at least 2", arg = "draws")
  }
  set
}

check_batches <- function(set) {
  rows <- check_count(set$rows, "rows", 1)
  check_count(set$batch_size, "batch_size", 1, rows)
}

default_schedule <- function(set) {
  a <- if (set$optimiser == "adam") 0.1 else if (set$metric == "natural") 0.5 else 0.05
  list(a = a, b = set$steps / 10, c = 0.6)
}

# Robbins & Monro (1951): sum a_k = Inf, or the start is never forgotten; sum a_k^2 < Inf, or the
# noise never dies.
check_schedule <- function(schedule) {
  known <- is.list(schedule) && setequal(names(schedule), c("a", "b", "c"))
  if (!known) {
    mf_abort("control", "`schedule` must be list(a, b, c), for steps a / (1 + k / b)^c, not ",
      describe(schedule), arg = "schedule")
  }
  schedule <- list(a = check_number(schedule$a, "schedule$a", 0, strict = TRUE),
    b = check_number(schedule$b, "schedule$b", 0, strict = TRUE),
    c = check_number(schedule$c, "schedule$c"))
  if (schedule$c > 0.5 && schedule$c <= 1) return(schedule)
  mf_warn("schedule", "steps a / (1 + k / b)^c with c = ", format(schedule$c), " break the ",
    "conditions of Robbins and Monro: ", if (schedule$c > 1)
      "the steps add up to a finite number, so the start is never forgotten" else
      "their squares add up to infinity, so the noise of the gradients never dies",
    "; use c in (0.5, 1]", arg = "schedule")
  schedule
}

schedule_step <- function(schedule, k) schedule$a / (1 + k / schedule$b)^schedule$c

stochastic_family <- function(set, d) {
  if (set$family == "point") return(point_family(d))
  if (set$family == "fullrank") return(fullrank_family(d))
  meanfield_family(d, set$coordinates == "log_sd")
}

stochastic_start <- function(set, m, omega, L) {
  d <- length(m)
  if (set$family == "point") return(as.double(m))
  if (set$family == "fullrank") {
    L <- L %||% diag(exp(rep_len(omega, d)), d)
    diag(L) <- log(diag(L))
    return(c(m, L[lower.tri(L, diag = TRUE)]))
  }
  if (!is.null(L)) omega <- log(sqrt(rowSums(L^2)))
  omega <- rep_len(omega, d)
  c(m, if (set$coordinates == "log_sd") omega else exp(omega))
}

# ---- the run --------------------------------------------------------------------------------

stochastic_run <- function(evaluate, family, x, set, batched) {
  d <- family$d
  s <- list(x = x, first = 0 * x, second = 0 * x, before = 0, heard = 0)
  rows <- if (batched) batches(set)
  bar <- step_progress(set)
  on.exit(bar$close())
  half <- set$steps %/% 2L
  kept <- unique(round(seq(1, set$steps, length.out = min(set$steps, 500L))))
  path <- matrix(NA_real_, length(x), length(kept))
  quarter <- matrix(0, length(x), 4L)
  elbo <- rep(NA_real_, set$steps)
  outcome <- ""
  for (k in seq_len(set$steps)) {
    e <- if (set$family == "point") matrix(0, d, 1L) else matrix(stats::rnorm(d * set$draws), d)
    out <- evaluate(family$place(s$x, e), if (batched) rows(), set$estimator != "score")
    s <- stochastic_step(s, k, e, out, family, set)
    elbo[k] <- s$elbo
    q <- 1L + (4 * (k - 1)) %/% set$steps
    quarter[, q] <- quarter[, q] + s$x
    if (k %in% kept) path[, match(k, kept)] <- s$x
    outcome <- trouble(s, family, x, k)
    if (nzchar(outcome)) break
    bar$step(k)
  }
  counts <- tabulate(1L + (4 * (seq_len(k) - 1)) %/% set$steps, 4L)
  list(x = s$x, quarter = quarter / rep(pmax(counts, 1), each = length(x)), counts = counts,
    elbo = elbo, path = path[, kept <= k, drop = FALSE], kept = kept[kept <= k], steps = k,
    skipped = k - s$heard, outcome = outcome)
}

# One step; a step with a draw where there is no density is left out.
stochastic_step <- function(s, k, e, out, family, set) {
  h <- out$lp - if (set$family == "point") 0 else log_q(family, s$x, e)
  s$elbo <- mean(h)
  if (!is.finite(s$elbo)) return(s)
  g <- rowMeans(gradient_estimates(family, s$x, e, out, set$estimator, set$baseline, s$before))
  if (!all(is.finite(g))) return(s)
  s$heard <- s$heard + 1
  s$before <- s$before + (s$elbo - s$before) / min(s$heard, 20)
  if (set$hold_sd) g[-seq_len(family$d)] <- 0
  a <- schedule_step(set$schedule, k - 1)
  if (set$optimiser == "adam") s <- adam_step(s, g, a) else {
    s$x <- s$x + a * if (set$metric == "natural") family$natural(s$x, g) else g
  }
  if (set$family == "meanfield" && set$coordinates == "sd") {
    at <- family$d + seq_len(family$d)
    s$x[at] <- pmax(s$x[at], set$floor)
  }
  s
}

# Kingma & Ba (2015).
adam_step <- function(s, g, a) {
  s$first <- 0.9 * s$first + 0.1 * g
  s$second <- 0.999 * s$second + 0.001 * g^2
  s$x <- s$x + a * (s$first / (1 - 0.9^s$heard)) / (sqrt(s$second / (1 - 0.999^s$heard)) + 1e-8)
  s
}

# "" or why there is no use in going on.
trouble <- function(s, family, start, k) {
  if (k == 50L && s$heard == 0) return("nowhere")
  sd <- family$sd(s$x)
  grown <- any(sd > 1e6 * family$sd(start) & sd > 0)
  if (!all(is.finite(s$x)) || max(abs(s$x)) > 1e150 || grown) "diverged" else ""
}

# A function that returns the rows of the next step.
batches <- function(set) {
  n <- set$rows
  size <- set$batch_size
  if (set$replacement) return(function() sample.int(n, size, replace = TRUE))
  order <- NULL
  at <- 0L
  function() {
    if (at == 0L) order <<- sample.int(n)
    i <- order[(at + 1L):min(at + size, n)]
    at <<- if (at + size >= n) 0L else at + size
    i
  }
}

# A bar, once a run turns out to take more than two seconds.
step_progress <- function(set) {
  started <- proc.time()[["elapsed"]]
  bar <- NULL
  list(
    step = function(k) {
      if (!set$progress || k %% 50L) return(invisible())
      spent <- proc.time()[["elapsed"]] - started
      if (is.null(bar) && spent / k * set$steps > 2) {
        bar <<- utils::txtProgressBar(0, set$steps, style = 3)
      }
      if (!is.null(bar)) utils::setTxtProgressBar(bar, k)
    },
    close = function() if (!is.null(bar)) close(bar)
  )
}

# ---- what it came to ------------------------------------------------------------------------

stochastic_result <- function(run, family, set, ev) {
  whole <- run$counts[4L] > 0 && run$outcome == ""
  late <- run$counts[3:4] / sum(run$counts[3:4])
  x <- if (set$averaging && whole) drop(run$quarter[, 3:4] %*% late) else run$x
  drift <- if (whole) quarter_drift(run$quarter, family, set) else Inf
  outcome <- if (nzchar(run$outcome)) run$outcome else if (is.na(drift)) "finished" else
    if (drift < 0.3) "converged" else "drifting"
  sd <- family$sd(x)
  elbo <- stochastic_elbo(run, family, set, x, ev)
  list(m = family$mean(x), sd = sd, omega = log(sd), L = if (!is.null(family$root)) family$root(x),
    last = list(m = family$mean(run$x), sd = family$sd(run$x)), elbo = elbo$elbo,
    elbo_se = elbo$se, converged = outcome == "converged", outcome = outcome, drift = drift,
    steps = run$steps, skipped = run$skipped, asked = run$steps * set$draws + elbo$asked,
    trace = data.frame(step = seq_len(run$steps), elbo = run$elbo[seq_len(run$steps)],
      size = schedule_step(set$schedule, seq_len(run$steps) - 1)),
    path = list(step = run$kept, x = run$path), settings = set)
}

quarter_drift <- function(quarter, family, set) {
  a <- quarter[, 3L]
  b <- quarter[, 4L]
  if (set$family == "point") return(NA_real_) # no SDs to measure it by
  sd <- family$sd(b)
  max(abs(family$mean(a) - family$mean(b)) / sd, abs(log(family$sd(a) / sd)))
}

stochastic_elbo <- function(run, family, set, x, ev) {
  last <- run$elbo[seq_len(run$steps) > 0.75 * set$steps]
  last <- last[is.finite(last)]
  if (is.null(ev) || set$family == "point" || !all(is.finite(x))) {
    return(list(elbo = mean(last), se = stats::sd(last) / sqrt(length(last)), asked = 0))
  }
  e <- factorised_points(factorised_size(family$d), family$d)
  lp <- ev(family$place(x, e), FALSE)$lp
  list(elbo = mean(lp - log_q(family, x, e)), se = NA_real_, asked = ncol(e))
}
