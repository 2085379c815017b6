# Integration over the precisions: nodes with weights, on a lattice or by importance sampling.
# Nothing here touches the random number generator.
#
# psi, the coordinates of integration, are log precisions of scalar terms and scale-free coordinates
# of matrices (see scale_free()), laid out like the statistics (see stat_index()).

# What the integrator is asked for, by the number d of precision parameters: step (in posterior SDs)
# and drop (of the log density) of the first lattice, tol that it is refined to, capacity in points,
# share of the mass that may be left out with the least points;
# points of the importance sample that serves beyond six. Each parameter more makes a lattice about
# ten times as large, so with more of them `exact` settles for less.
nest_settings <- function(kind, tol = 1e-4, draws = 10000) {
  switch(kind,
    exact = list(step = c(.45, .45, .75, .9, 1.1, 1.3), drop = c(35, 35, 16, 13, 11, 10),
      tol = tol * c(1, 1, 10, 10, 50, 50), capacity = 4e5, refine = rep(10L, 6L),
      negligible = c(0, 1e-13, 1e-9, 1e-8, 1e-7, 1e-7),
      points = 4 * max(draws, 1000)),
    quick = list(step = c(.75, .75, 1, 1.1, 1.3, 1.5), drop = c(12, 12, 10, 10, 9, 9),
      tol = c(2e-2, 2e-2, 3e-2, 5e-2, .1, .1), capacity = 5e4, refine = rep(8L, 6L),
      negligible = c(0, 0, 1e-6, 3e-5, 1e-4, 1e-4), points = 8000),
    # a conditional fit is an optimisation here: as few as will do, and once more where they do not
    nested = list(step = c(.9, 1.25, 1.4, 1.4, 1.4, 1.4), drop = c(14, 9, 9, 9, 9, 8),
      tol = c(2e-2, .1, .4, .4, .4, .4), capacity = 2e4, refine = c(2L, 2L, 2L, 1L, 1L, 1L),
      negligible = c(0, 1e-5, 1e-4, 1e-4, 1e-4, 1e-4), points = 1000)
  )
}

# Nodes of the posterior of psi.
# start: nest_start(). Value: list(method, psi (d x n), weights, log_evidence, error
# (relative to posterior SDs), khat, and for a lattice step, L, gradient (d x n)); NULL with
# attribute "why" where the integral could not be done.
integrate_precisions <- function(target, start, settings) {
  if (!length(start$mean)) return(single_node(target))
  top <- find_mode(target, start)
  if (identical(top, "dear")) return(no_integral("too dear"))
  if (is.null(top)) return(no_integral("the posterior density of the variances has no mode"))
  nodes <- if (length(top$psi) <= core_limit("lattice")) lattice_nodes(target, top, settings)
  nodes <- nodes %||% importance_nodes(target, top, settings)
  if (is_integral(nodes) && !is_spread(nodes)) {
    return(no_integral("one point has all of its weight"))
  }
  nodes
}

is_spread <- function(nodes) is.finite(nodes$error) && sum(nodes$weights > 1e-10) > 1L

# Without precisions there is nothing to integrate over: one conditional fit is the posterior.
single_node <- function(target) {
  psi <- matrix(0, 0L, 1L)
  f <- target$log_density(psi)
  if (!is.finite(f)) return(no_integral("the posterior of the coefficients has no mode"))
  list(method = "lattice", psi = psi, weights = 1, gradient = psi, log_density = f,
    log_evidence = f, error = 1e-8, axis_errors = numeric(), truncation = 0, edge = FALSE,
    khat = NA_real_, points = 1L, step = 1, L = matrix(0, 0L, 0L), mode = numeric())
}

no_integral <- function(why) structure(list(), why = why)
is_integral <- function(nodes) length(nodes) > 0L

# The Gaussian model at given psi: what the integrator and the mixtures ask for.
gaussian_target <- function(core, centre, progress = NULL, most = Inf) {
  list(
    log_density = function(psi) call_nest_log_density(core, centre, psi),
    mode = function(psi, L) call_nest_mode(core, centre, psi, L, most),
    lattice = function(mode, L, control) {
      call_nest_lattice(core, centre, mode, L, c(control, most = most), progress)
    },
    tails = long_tails(core)
  )
}

# psi -> the SDs that its log precisions stand for, and those precisions that have moments: tails
# longer than those of psi, on which the moments of theta hang.
long_tails <- function(core) {
  own <- function(p, at) at[on_diagonal(p$r)]
  row <- Map(own, core$prec, stat_index(core))
  finite <- rep(vapply(core$prec, function(p) !(p$nu > 0), NA), lengths(row))
  row <- unlist(row)
  function(psi) exp(rbind(-psi[row, , drop = FALSE] / 2, psi[row[finite], , drop = FALSE]))
}

# Where to start, from linear response: the coordinates at the mean precisions and their scales.
nest_start <- function(tau) {
  mean <- numeric(length(tau$mean))
  sd <- mean
  for (at in tau$index) {
    mean[at] <- scale_free(tau$mean[at])
    D <- if (length(at) == 1L) 1 / tau$mean[at] else numeric_jacobian(scale_free, tau$mean[at])
    sd[at] <- sqrt(diag(D %*% tau$cov_lrvb[at, at, drop = FALSE] %*% t(D)))
  }
  list(mean = mean, sd = pmin(pmax(sd, 1e-4), 2))
}

find_mode <- function(target, start) {
  run <- target$mode(start$mean, diag(start$sd, length(start$sd)))
  stop_if_interrupted(run$status)
  if (run$status[1L] == core_status[["dear"]]) return("dear")
  if (run$status[1L] == core_status[["nonfinite"]]) return(NULL)
  run$result
}

stop_if_interrupted <- function(status) {
  if (status[1L] == core_status[["interrupted"]]) mf_interrupt()
}

# ---- lattice ------------------------------------------------------------------------

# Refined, along the axes that need it, until the error is below the tolerance; the last lattice
# that fits in the capacity.
lattice_nodes <- function(target, top, settings) {
  d <- length(top$psi)
  step <- settings$step[d]
  drop <- settings$drop[d]
  tol <- settings$tol[d]
  best <- known <- NULL
  for (attempt in seq_len(settings$refine[d])) {
    run <- grow_lattice(target, top, step, drop, settings$capacity, known)
    if (identical(run, "dear")) return(best %||% no_integral("too dear"))
    if (is.null(run)) break
    best <- weigh_lattice(run$result, target$tails, top, step, drop, settings$negligible[d])
    if (!is.finite(best$bound) || best$bound <= tol) break
    if (best$truncation > tol / 4) drop <- min(drop + 3, 40)
    coarse <- best$axis_errors > tol / 4
    top$L[, coarse] <- 0.8 * top$L[, coarse]
    known <- if (!any(coarse)) run$result
  }
  best
}

# Most lattices are small, and memory for the largest costs more than the points of a small one: the
# capacity starts at 4,000 points and grows eightfold. NULL when the lattice does not fit, "dear"
# when it takes more work than target allows. known: points of a smaller lattice with the same axes
# and step.
grow_lattice <- function(target, top, step, drop, capacity, known = NULL) {
  room <- min(max(4000, 2 * length(known$log_density)), capacity)
  repeat {
    run <- target$lattice(top$psi, top$L,
      list(step = step, drop = drop, capacity = as.integer(room), known = known))
    stop_if_interrupted(run$status)
    if (run$status[1L] == core_status[["ok"]]) return(run)
    if (run$status[1L] == core_status[["dear"]]) return("dear")
    if (run$status[1L] != core_status[["full"]] || room >= capacity) return(NULL)
    room <- min(8 * room, capacity)
    known <- run$result
  }
}

# Weights, evidence and error of a lattice (of psi and of what has longer tails). A lattice of twice
# the step on one axis makes an error e, so this one makes e^2 there where the rule converges as
# exp(-c / h), the worst that a smooth density does, and e^4 of a normal one. `bound`, which
# lattices are refined by, is twice the worst, with what lies beyond the lattice; `error`, which is
# reported, goes half way, e^3, and takes of the series beyond what it was found to overstate
# (against finer lattices of 70 posteriors it was between .5 and 4 times the true error in nine of
# ten). Points that carry a share of less than `negligible` between them are left out.
weigh_lattice <- function(lattice, tails, top, step, drop, negligible) {
  f <- lattice$log_density
  peak <- max(f)
  d <- length(top$psi)
  mass <- exp(f - peak)
  log_cell <- d * log(step) + determinant(top$L)$modulus[1L]
  x <- rbind(lattice$psi, tails(lattice$psi))
  axis_errors <- vapply(seq_len(d), function(j) {
    rule_change(x, mass, mass * (lattice$index[j, ] %% 2 == 0), 2)
  }, 0)^2
  least <- sort(mass)
  keep <- mass >= least[findInterval(negligible * sum(mass), cumsum(least)) + 1L]
  truncation <- beyond_lattice(x, f - peak, drop) + rule_change(x, mass, mass * keep, 1)
  list(
    method = "lattice", psi = lattice$psi[, keep, drop = FALSE],
    weights = mass[keep] / sum(mass[keep]), gradient = lattice$gradient[, keep, drop = FALSE],
    log_density = f[keep], log_evidence = peak + log(sum(mass)) + log_cell,
    error = max(max(axis_errors)^1.5 + .35 * truncation, 1e-8),
    bound = 2 * (max(axis_errors) + truncation), axis_errors = axis_errors,
    truncation = truncation, edge = highest_edge(lattice$index, f) > peak - 20, khat = NA_real_,
    points = length(f), step = step, L = top$L, mode = top$psi
  )
}

# What lies beyond follows, as a geometric series, from what the last layers added: those from 6 to
# 3 above `drop`, and the rest with the frontier (the points evaluated below it).
beyond_lattice <- function(x, f, drop) {
  mass <- exp(f)
  inner <- mass * (f > 6 - drop)
  middle <- mass * (f > 3 - drop)
  added <- c(rule_change(x, middle, inner, 1), rule_change(x, mass, middle, 1))
  ratio <- min(added[2L] / max(added[1L], 1e-300), 0.9)
  added[2L] * ratio / (1 - ratio)
}

# The highest log density next to a point that has none (where the model's matrices are singular to
# working precision): the lattice ends there for a reason of its own, and what is beyond, where
# moments may be infinite, is unknown (`edge`: not negligibly far below the peak).
highest_edge <- function(index, f) {
  dead <- which(f == -Inf)
  if (!length(dead)) return(-Inf)
  key <- function(i) do.call(paste, as.data.frame(t(i)))
  steps <- cbind(diag(nrow(index)), -diag(nrow(index)))
  beside <- do.call(cbind, lapply(seq_len(ncol(steps)), function(k) {
    index[, dead, drop = FALSE] + steps[, k]
  }))
  max(f[match(key(beside), key(index))], -Inf, na.rm = TRUE)
}

# Largest change of a mean or SD, in SDs, or of the log evidence, between two sets of weights;
# `factor`: cell size of the second over the first.
rule_change <- function(x, a, b, factor) {
  max(moment_change(x, a, b), abs(log(sum(b) * factor / sum(a))))
}

moment_change <- function(x, a, b) {
  ma <- weighted_moments(x, a / sum(a))
  mb <- weighted_moments(x, b / sum(b))
  max(abs(ma$mean - mb$mean) / ma$sd, abs(ma$sd - mb$sd) / ma$sd)
}

# x: variables x nodes
weighted_moments <- function(x, w) {
  mean <- drop(x %*% w)
  list(mean = mean, sd = sqrt(pmax(drop((x - mean)^2 %*% w), 0)))
}

# ---- importance sampling --------------------------------------------------------------

# Quasi-random points with Pareto-smoothed weights. A variance that may be zero has a long tail on
# its own side of its own axis; correlated coordinates want the axes of the Hessian. So both sets of
# axes are tried, then those of the weighted sample, and the most effective sample is kept. Its
# error is at least what it differs by from the runner-up: a tail that one of them misses shows
# there.
importance_nodes <- function(target, top, settings) {
  u <- quasi_random(settings$points, length(top$psi))
  samples <- list()
  for (axes in c("hessian", "own", "sample")) {
    now <- importance_sample(target, importance_axes(axes, top, samples[1L][[1L]]), u)
    samples <- c(samples, if (!is.null(now)) list(now))
    samples <- samples[order(-vapply(samples, `[[`, 0, "ess"))]
  }
  if (!length(samples)) return(no_integral("no importance point has any density"))
  best <- samples[[1L]]
  if (length(samples) > 1L) {
    best$error <- max(best$error, sample_difference(best, samples[[2L]], target$tails))
  }
  best
}

sample_difference <- function(a, b, tails) {
  ma <- weighted_moments(rbind(a$psi, tails(a$psi)), a$weights)
  mb <- weighted_moments(rbind(b$psi, tails(b$psi)), b$weights)
  max(abs(ma$mean - mb$mean) / ma$sd, abs(log(mb$sd / ma$sd)))
}

importance_axes <- function(kind, top, best) {
  if (kind == "hessian" || is.null(best)) return(top)
  if (kind == "own") {
    scale <- sqrt(rowSums(top$L^2))
    return(list(psi = top$psi, L = diag(scale, length(scale)), peak = top$peak))
  }
  recentred(best, top)
}

importance_sample <- function(target, top, u) {
  sample <- split_t_points(u, axis_scales(target, top))
  psi <- top$psi + top$L %*% sample$z
  f <- target$log_density(psi)
  ratio <- f - sample$log_density
  if (any(is.finite(ratio))) weigh_importance(psi, ratio, target$tails, top, f)
}

# Scales of both halves of each axis: where the log density has dropped by 2, halved.
axis_scales <- function(target, top) {
  d <- length(top$psi)
  steps <- c(.25, .5, .75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 11, 15, 20)
  sides <- vapply(c(-1, 1), function(side) {
    vapply(seq_len(d), function(j) {
      f <- target$log_density(top$psi + outer(top$L[, j], side * steps))
      below <- which(!(f > top$peak - 2))[1L]
      if (is.na(below)) return(max(steps) / 2)
      if (below == 1L || !is.finite(f[below])) return(steps[below] / 2)
      high <- f[below - 1L]
      part <- (high - (top$peak - 2)) / (high - f[below])
      (steps[below - 1L] + part * (steps[below] - steps[below - 1L])) / 2
    }, 0)
  }, numeric(d))
  matrix(pmax(sides, 0.2), d)
}

# z (d x n), independent t coordinates, and its log density. Each half axis has mass in proportion
# to its scale, so that the density is continuous.
split_t_points <- function(u, scales, df = 5) {
  share <- scales[, 1L] / rowSums(scales)
  p <- t(u)
  left <- p < share
  half <- ifelse(left, p / share, (1 - p) / (1 - share)) / 2 # in (0, 1/2)
  x <- matrix(stats::qt(half, df), nrow(scales)) # negative
  scale <- ifelse(left, scales[, 1L], scales[, 2L])
  list(z = ifelse(left, x, -x) * scale,
    log_density = colSums(stats::dt(x, df, log = TRUE)) + sum(log(2 / rowSums(scales))))
}

weigh_importance <- function(psi, ratio, tails, top, f) {
  ratio[!is.finite(ratio)] <- -Inf
  keep <- ratio > max(ratio) - 60
  smooth <- withCallingHandlers(
    loo::psis(ratio[keep], r_eff = 1),
    warning = function(w) invokeRestart("muffleWarning") # k-hat is reported and acted on here
  )
  w <- exp(stats::weights(smooth, normalize = TRUE, log = TRUE)[, 1L])
  khat <- smooth$diagnostics$pareto_k
  list(
    method = "importance", psi = psi[, keep, drop = FALSE], weights = w, log_density = f[keep],
    log_evidence = max(ratio) + log(sum(exp(ratio - max(ratio))) / length(ratio)) +
      determinant(top$L)$modulus[1L],
    error = importance_error(psi[, keep, drop = FALSE], w, tails),
    khat = if (is.finite(khat)) khat else Inf,
    points = length(ratio), ess = 1 / sum(w^2)
  )
}

# Half of what the moments differ between every second point and the others: each half is a sample
# of its own, and their mean errs by half their difference.
importance_error <- function(psi, w, tails) {
  odd <- seq_along(w) %% 2
  half <- function(keep) list(psi = psi, weights = w * keep / sum(w * keep))
  sample_difference(half(odd), half(1 - odd), tails) / 2
}

# Centre and axes at the weighted mean and covariance.
recentred <- function(nodes, top) {
  m <- drop(nodes$psi %*% nodes$weights)
  dev <- nodes$psi - m
  S <- dev %*% (t(dev) * nodes$weights)
  e <- eigen(S, symmetric = TRUE)
  if (!all(e$values > 0)) return(top)
  best <- which.max(nodes$log_density)
  list(psi = nodes$psi[, best], L = e$vectors %*% diag(sqrt(e$values), length(m)),
    peak = nodes$log_density[best])
}
