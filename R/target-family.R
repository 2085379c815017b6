# The Gaussian families other than the full-rank one, as stages of a run.

# ---- mean field ----------------------------------------------------------------------------------

factorised_stage <- function(run) {
  start <- factorised_start(run)
  points <- run$settings$control$points
  fit <- factorised_vi(run$ev, start$m, start$omega, n_points = points,
    max_points = left_gradients(run) / 2)
  if (!is.finite(fit$elbo)) no_gaussian(run)
  if (length(fit$runaway)) {
    run$diverged <- unconstrained_names(run$target)[utils::head(fit$runaway, 4L)]
  }
  fit$reason <- fit$outcome
  keep_components(run, list(fit))
}

# The mode and its conditional SDs where a Hessian can be afforded, else uphill and no more.
factorised_start <- function(run) {
  z0 <- run$target$init
  if (length(z0) <= FULL_MOST) {
    first <- start_at(run$ev, z0, left_gradients(run) / 4)
    if (first$usable) return(list(m = first$z, omega = -log(-diag(first$hessian)) / 2))
    return(list(m = z0, omega = -1))
  }
  up <- call_bb_lbfgs(run$ev, z0)$result
  n <- length(up$path_lp)
  list(m = if (n) up$path[, n] else z0, omega = -1)
}

# ---- low rank ------------------------------------------------------------------------------------

lowrank_stage <- function(run) {
  start <- factorised_start(run)
  fit <- lowrank_vi(run$ev, start$m, start$omega, rank = run$settings$rank,
    n_points = run$settings$control$points, max_points = left_gradients(run) / 2)
  if (!is.finite(fit$elbo)) no_gaussian(run)
  fit$reason <- fit$outcome
  if (length(fit$m) <= FULL_MOST) {
    fit$L <- lower_root(cbind(fit$A, diag(sqrt(fit$D), length(fit$D))))
  }
  run <- keep_components(run, list(fit))
  add_note(run, "rank ", fit$rank, " of the covariance beyond its diagonal")
}

# ---- Pathfinder ----------------------------------------------------------------------------------

pathfinder_stage <- function(run) {
  z0 <- run$target$init
  d <- length(z0)
  starts <- cbind(z0, climb_starts(run$ev, list(m = z0, L = diag(1, d)), radii = c(1, 3)))
  paths <- pathfinder(run$ev, starts)
  if (!length(paths$components)) no_gaussian(run)
  best <- paths$components[paths$modes$component]
  fits <- Map(function(part, weight) {
    list(m = part$m, L = lower_root(from_white(part, diag(1, d))), elbo = part$elbo,
      converged = TRUE, weight = weight)
  }, best, paths$modes$weight)
  run <- keep_components(run, fits)
  run$khat <- paths$khat
  run
}

# ---- linear response -----------------------------------------------------------------------------

# A root of the linear-response covariance: list(L), or beyond FULL_MOST dimensions list(sd, known:
# which of them were corrected, widened: by how much at most); NULL where it fails.
response_root <- function(run, part) {
  if (!is.null(part$response)) return(list(L = part$response)) # of a model that knows it
  if (is_stochastic(run)) return(NULL)
  if (run$settings$approximation == "fullrank") return(fullrank_root(run, part))
  if (run$settings$approximation != "meanfield") return(NULL)
  if (length(part$m) > FULL_MOST) return(response_columns(run, part))
  response <- factorised_response(run$ev, part, max_points = max(left_gradients(run), 0))
  root <- if (response$ok) lower_chol(response$cov)
  if (!is.null(root)) list(L = root)
}

# Column by column, as far as the gradients last, from all over the coordinates: the first three
# tell whether mean field is enough, and where it is not nothing but words will do.
response_columns <- function(run, part) {
  d <- length(part$m)
  sd <- rep(NA_real_, d)
  order <- order((seq_len(d) * 0.6180339887) %% 1)
  blocks <- c(as.list(order[1:3]), split(order[-(1:3)], (seq_len(d - 3L) - 1L) %/% 16L))
  for (at in blocks) {
    unit <- matrix(0, d, length(at))
    unit[cbind(at, seq_along(at))] <- 1
    left <- left_gradients(run)
    if (left < 4 * ncol(part$E)) break
    answer <- factorised_response(run$ev, part, functions = unit, max_points = left)
    sd[at] <- answer$sd
    widened <- suppressWarnings(max(sd / part$sd, na.rm = TRUE))
    if (!answer$ok || sum(!is.na(sd)) == 3L && widened > 1.05) break
  }
  list(sd = ifelse(is.na(sd), part$sd, sd), known = !is.na(sd))
}

fullrank_root <- function(run, part) {
  cost <- 4 * length(part$m) + 512
  if (left_gradients(run) < cost || length(part$m) > FULL_MOST) return(NULL)
  root <- lower_chol(gaussian_response(run$ev, part)$cov)
  if (!is.null(root)) list(L = root)
}

# ---- stochastic optimisers -----------------------------------------------------------------------

stochastic_stage <- function(run) {
  set <- run$settings
  control <- set$control
  batches <- !is.null(control$batch_size)
  evb <- if (batches) batch_evaluator(run$target)
  start <- if (batches) list(m = run$target$init, omega = -1) else factorised_start(run)
  arguments <- Filter(Negate(is.null), list(estimator = set$optimiser,
    family = set$approximation, draws = control$draws, steps = control$steps %||% 2000L,
    rows = run$target$rows, batch_size = control$batch_size, replacement = control$replacement,
    seed = control$seed))
  if (!batches) arguments[c("rows", "replacement")] <- NULL
  fit <- do.call(stochastic_vi, c(list(run$ev, m = start$m, omega = start$omega, evb = evb),
    arguments))
  if (fit$outcome %in% c("diverged", "nowhere")) no_gaussian(run)
  fit$reason <- fit$outcome
  if (batches) {
    run <- add_note(run, "mini-batches of ", control$batch_size, " of ", run$target$rows,
      " rows: the ",
      "bound is an estimate, and nothing was refined, which takes passes over all rows")
  }
  keep_components(run, list(fit))
}
