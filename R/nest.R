# Integration over the precisions: nodes with weights, on a lattice or by importance sampling.
# Nothing here touches the random number generator.
#
# phi, the coordinates of integration, are log precisions of scalar terms and scale-free coordinates
# of matrices (see scale_free()), laid out like the statistics (see stat_index()).

# What the integrator is asked for. step (in posterior SDs) and drop (of the log density) of the
# lattice by the number of precision parameters; points of the importance sample beyond six.
#   tol       refine until the reported error is below it
#   capacity  of lattice points
nest_settings <- function(kind, tol = 1e-4, draws = 10000) {
  switch(kind,
    exact = list(step = c(.5, .5, .75, .9, 1.2, 1.4), drop = c(35, 35, 18, 14, 12, 11),
      tol = tol, capacity = 4e5,
      refine = 6L, points = 4 * max(draws, 1000)),
    quick = list(step = c(.75, .75, 1, 1.25, 1.5, 1.6), drop = c(12, 12, 10, 9, 10, 9),
      tol = 2e-2, capacity = 2e4, refine = 3L, points = 8000),
    # a conditional fit is an optimisation here: as few as will do
    nested = list(step = c(.9, 1.5, 1.5, 1.5, 1.5, 1.5), drop = c(14, 9, 9, 9, 9, 8), tol = 1e-1,
      capacity = 2e4, refine = 1L, points = 1000)
  )
}

MAX_LATTICE_D <- 6L # LATTICE_MAX_D of src/nest.h

# Nodes of the posterior of phi.
# start: nest_start(). Value: list(method, phi (d x n), weights, log_evidence, error
# (relative to posterior SDs), khat, and for a lattice step, L, gradient (d x n)); NULL with
# attribute "why" where the integral could not be done.
integrate_precisions <- function(target, start, settings) {
  top <- find_mode(target, start)
  if (is.null(top)) return(no_integral("the posterior density of the variances has no mode"))
  d <- length(top$phi)
  if (d <= MAX_LATTICE_D) {
    nodes <- lattice_nodes(target, top, settings)
    if (!is.null(nodes)) return(nodes)
  }
  importance_nodes(target, top, settings)
}

no_integral <- function(why) structure(list(), why = why)
is_integral <- function(nodes) length(nodes) > 0L

# The Gaussian model at given phi: what the integrator and the mixtures ask for.
gaussian_target <- function(core, centre, progress = NULL) {
  list(
    log_density = function(phi) call_nest_log_density(core, centre, phi),
    mode = function(phi, L) call_nest_mode(core, centre, phi, L),
    lattice = function(mode, L, control) {
      call_nest_lattice(core, centre, mode, L, control, progress)
    }
  )
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
  if (run$status[1L] == core_status[["nonfinite"]]) return(NULL)
  run$result
}

stop_if_interrupted <- function(status) {
  if (status[1L] == core_status[["interrupted"]]) mf_interrupt()
}

# ---- lattice ------------------------------------------------------------------------

# Refined until the error is below the tolerance; the last lattice that fits in the capacity.
lattice_nodes <- function(target, top, settings) {
  d <- length(top$phi)
  step <- settings$step[d]
  drop <- settings$drop[d]
  best <- NULL
  for (attempt in seq_len(settings$refine)) {
    run <- target$lattice(top$phi, top$L,
      list(step = step, drop = drop, capacity = as.integer(settings$capacity)))
    stop_if_interrupted(run$status)
    if (run$status[1L] != core_status[["ok"]]) break
    best <- weigh_lattice(run$result, top, step, drop)
    if (best$error <= settings$tol) break
    if (best$truncation > best$discretisation) drop <- min(drop + 5, 40) else step <- 0.75 * step
  }
  best
}

# Weights, evidence and error of a lattice. Its even points are a lattice of their own: what the
# moments of phi change from them to all is the error of the coarser one. What lies below `drop`
# follows, as a geometric series, from what the last two steps of 3 in depth changed.
weigh_lattice <- function(lattice, top, step, drop) {
  f <- lattice$log_density
  peak <- max(f)
  d <- length(top$phi)
  mass <- exp(f - peak)
  even <- colSums(lattice$index) %% 2 == 0
  log_cell <- d * log(step) + determinant(top$L)$modulus[1L]
  discretisation <- rule_change(lattice$phi, mass, mass * even, 2)
  truncation <- if (drop < 30) beyond_drop(lattice$phi, f - peak, drop) else 0
  keep <- mass > 1e-14
  list(
    method = "lattice", phi = lattice$phi[, keep, drop = FALSE],
    weights = mass[keep] / sum(mass), gradient = lattice$gradient[, keep, drop = FALSE],
    log_density = f[keep], log_evidence = peak + log(sum(mass)) + log_cell,
    error = max(discretisation, truncation, 1e-8), discretisation = discretisation,
    truncation = truncation, khat = NA_real_, points = length(f), step = step, L = top$L,
    mode = top$phi, even = even[keep]
  )
}

beyond_drop <- function(phi, f, drop) {
  mass <- exp(f)
  change <- vapply(c(3, 0), function(less) {
    rule_change(phi, mass * (f > less - drop), mass * (f > less + 3 - drop), 1)
  }, 0)
  ratio <- min(change[2L] / max(change[1L], 1e-300), 0.9)
  change[2L] * ratio / (1 - ratio)
}

# Largest change of a mean or SD, in SDs, or of the log evidence, between two sets of weights;
# `factor`: cell size of the second over the first.
rule_change <- function(phi, a, b, factor) {
  ma <- weighted_moments(phi, a / sum(a))
  mb <- weighted_moments(phi, b / sum(b))
  max(abs(ma$mean - mb$mean) / ma$sd, abs(ma$sd - mb$sd) / ma$sd,
    abs(log(sum(b) * factor / sum(a))))
}

# x: variables x nodes
weighted_moments <- function(x, w) {
  mean <- drop(x %*% w)
  list(mean = mean, sd = sqrt(pmax(drop((x - mean)^2 %*% w), 0)))
}

# ---- importance sampling --------------------------------------------------------------

# Quasi-random points with Pareto-smoothed weights. A variance that may be zero has a long tail on
# its own side of its own axis; correlated coordinates want the axes of the Hessian. So both sets of
# axes are tried, then those of the weighted sample, and the most effective sample is kept.
importance_nodes <- function(target, top, settings) {
  u <- quasi_random(settings$points, length(top$phi))
  best <- NULL
  for (axes in c("hessian", "own", "sample")) {
    now <- importance_sample(target, importance_axes(axes, top, best), u)
    if (!is.null(now) && (is.null(best) || now$ess > best$ess)) best <- now
  }
  if (is.null(best)) return(no_integral("no importance point has any density"))
  best
}

importance_axes <- function(kind, top, best) {
  if (kind == "hessian" || is.null(best)) return(top)
  if (kind == "own") {
    scale <- sqrt(rowSums(top$L^2))
    return(list(phi = top$phi, L = diag(scale, length(scale)), peak = top$peak))
  }
  recentred(best, top)
}

importance_sample <- function(target, top, u) {
  sample <- split_t_points(u, axis_scales(target, top))
  phi <- top$phi + top$L %*% sample$z
  f <- target$log_density(phi)
  ratio <- f - sample$log_density
  if (any(is.finite(ratio))) weigh_importance(phi, ratio, top, f)
}

# Kronecker sequence of the generalised golden ratio: n points of the d-dimensional unit cube.
# Source: Roberts (2018), "The unreasonable effectiveness of quasirandom sequences".
quasi_random <- function(n, d) {
  g <- 2
  for (k in 1:60) g <- (1 + g)^(1 / (d + 1))
  (0.5 + outer(seq_len(n), g^-seq_len(d))) %% 1
}

# Scales of both halves of each axis: where the log density has dropped by 2, halved.
axis_scales <- function(target, top) {
  d <- length(top$phi)
  steps <- c(.25, .5, .75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 11, 15, 20)
  sides <- vapply(c(-1, 1), function(side) {
    vapply(seq_len(d), function(j) {
      f <- target$log_density(top$phi + outer(top$L[, j], side * steps))
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

# z (d x n), independent t coordinates, and its log density. Each half axis has mass in proportion to
# its scale, so that the density is continuous.
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

weigh_importance <- function(phi, ratio, top, f) {
  ratio[!is.finite(ratio)] <- -Inf
  keep <- ratio > max(ratio) - 60
  smooth <- withCallingHandlers(
    loo::psis(ratio[keep], r_eff = 1),
    warning = function(w) invokeRestart("muffleWarning") # k-hat is reported and acted on here
  )
  w <- exp(stats::weights(smooth, normalize = TRUE, log = TRUE)[, 1L])
  khat <- smooth$diagnostics$pareto_k
  list(
    method = "importance", phi = phi[, keep, drop = FALSE], weights = w, log_density = f[keep],
    log_evidence = max(ratio) + log(sum(exp(ratio - max(ratio))) / length(ratio)) +
      determinant(top$L)$modulus[1L],
    error = importance_error(phi[, keep, drop = FALSE], w), khat = if (is.finite(khat)) khat else Inf,
    points = length(ratio), ess = 1 / sum(w^2)
  )
}

# Half of what the moments differ between every second point and the others: each half is a sample
# of its own, and their mean errs by half their difference.
importance_error <- function(phi, w) {
  odd <- seq_along(w) %% 2
  a <- weighted_moments(phi, w * odd / sum(w * odd))
  b <- weighted_moments(phi, w * (1 - odd) / sum(w * (1 - odd)))
  max(abs(a$mean - b$mean) / a$sd, abs(log(b$sd / a$sd))) / 2
}

# Centre and axes at the weighted mean and covariance.
recentred <- function(nodes, top) {
  m <- drop(nodes$phi %*% nodes$weights)
  dev <- nodes$phi - m
  S <- dev %*% (t(dev) * nodes$weights)
  e <- eigen(S, symmetric = TRUE)
  if (!all(e$values > 0)) return(top)
  best <- which.max(nodes$log_density)
  list(phi = nodes$phi[, best], L = e$vectors %*% diag(sqrt(e$values), length(m)),
    peak = nodes$log_density[best])
}
