# Integration over the precisions: nodes with weights, on a lattice or by importance sampling.
# Nothing here touches the random number generator.
#
# psi are log precisions of scalar terms and scale-free coordinates of matrices (see scale_free()),
# laid out like the statistics (see stat_index()). The coordinates of integration, v, are psi with
# the log precisions bent (src/engine/bend.h): densities, modes, axes, steps and gradients are of v.

# What the integrator is asked for, by the number d of precision parameters: step (in posterior SDs)
# and drop (of the log density) of the first lattice, tol that the bound of its error is refined to,
# capacity in points, share of the mass that may be left out with the least points; points of the
# importance sample that serves beyond six; theta, of how many nodes theta is made. Each parameter
# more makes a lattice about five times as large, so with more of them `exact` settles for less.
# `quick` and `nested` differ in what a point costs: an optimisation, of which as few as will do,
# and once more where they do not.
nest_settings <- function(kind, tol = 1e-4, draws = 10000) {
  coarse <- list(step = c(.9, 1.4, 1.4, 1.5, 1.6, 1.6), drop = c(11, 9, 9, 9, 9, 8.5),
    tol = c(.03, .03, .05, .08, .15, .15))
  cheap <- coarse
  cheap$step[3L] <- 1.3
  cheap$drop[3L] <- 9.5
  cheap$tol[3L] <- .03
  switch(kind,
    exact = list(step = c(.45, .45, .75, .8, 1.1, 1.3), drop = c(35, 35, 14, 14, 12, 11),
      tol = tol * c(1, 1, 10, 10, 50, 50), capacity = 4e5, refine = rep(10L, 6L),
      negligible = c(0, 1e-13, 1e-9, 1e-8, 1e-7, 1e-7),
      points = 4 * max(draws, 1000), theta = Inf),
    quick = c(cheap, list(capacity = 5e4, refine = rep(8L, 6L),
      negligible = c(0, 0, 1e-6, 3e-5, 1e-4, 1e-4), points = 8000, theta = 250)),
    nested = c(coarse, list(capacity = 2e4, refine = c(2L, 2L, 2L, 1L, 1L, 1L),
      negligible = c(0, 1e-5, 1e-4, 1e-4, 1e-4, 1e-4), points = 1000, theta = 250))
  )
}

# Nodes of the posterior of psi.
# start: nest_start(). Value: list(method, psi (d x n), weights, log_evidence, error
# (relative to posterior SDs), khat, and for a lattice step, L, gradient (d x n)); NULL with
# attribute "why" where the integral could not be done.
integrate_precisions <- function(target, start, settings) {
  if (!length(start$mean)) return(single_node(target))
  catch_abandoned(nodes_of(target, start, settings))
}

nodes_of <- function(target, start, settings) {
  top <- find_mode(target, start)
  if (is.null(top)) return(no_integral("the posterior density of the variances has no mode"))
  nodes <- if (length(top$v) <= core_limit("lattice")) lattice_nodes(target, top, settings)
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

# The density of the precisions, what the integrator asks for. Bends are arguments, for they are
# known when the mode is. All of it ends when the budget does, abandoned or, a lattice, "dear".
gaussian_target <- function(core, centre, budget = new_budget()) {
  own <- is_log_precision(core)
  list(
    log_density = function(v, bend = NULL) log_densities(core, centre, v, bend, budget),
    mode = function(v, L, bend) call_nest_mode(core, centre, v, L, budget$left(), bend),
    lattice = function(mode, L, control) {
      call_nest_lattice(core, centre, mode, L, c(control, seconds = budget$left()),
        budget$progress)
    },
    bends = function(psi) replace(-psi / 2 - 0.5, !own, NA_real_),
    tails = long_tails(core, own)
  )
}

# At the columns of v, a lot at a time.
log_densities <- function(core, centre, v, bend, budget) {
  lots <- split(seq_len(ncol(v)), ceiling(seq_len(ncol(v)) / 64))
  unlist(lapply(lots, function(at) {
    if (budget$left() <= 0) abandon_integral("too dear")
    if (!is.null(budget$progress)) budget$progress(at[1L])
    call_nest_log_density(core, centre, v[, at, drop = FALSE], bend)
  }), use.names = FALSE)
}

# Which of psi are log precisions, of scalar terms and on the diagonals of matrices.
is_log_precision <- function(core) {
  as.logical(unlist(lapply(core$prec, function(p) {
    seq_len(p$r * (p$r + 1L) / 2L) %in% on_diagonal(p$r)
  })))
}

# psi -> the SDs that its log precisions stand for, and those precisions that have moments: tails
# longer than those of psi, on which the moments of theta hang.
long_tails <- function(core, own = is_log_precision(core)) {
  row <- which(own)
  finite <- rep(vapply(core$prec, function(p) !(p$nu > 0), NA), vapply(core$prec, `[[`, 0L, "r"))
  function(psi) exp(rbind(-psi[row, , drop = FALSE] / 2, psi[row[finite], , drop = FALSE]))
}

# Where to start, from linear response: the coordinates at the mean precisions and their scales.
nest_start <- function(tau) {
  mean <- numeric(length(tau$mean))
  sd <- mean
  for (at in tau$index) {
    mean[at] <- scale_free(tau$mean[at])
    D <- if (length(at) == 1L) matrix(1 / tau$mean[at]) else
      numeric_jacobian(scale_free, tau$mean[at], scale_free_rows)
    sd[at] <- sqrt(diagonal(D %*% tau$cov_lrvb[at, at, drop = FALSE] %*% t(D)))
  }
  list(mean = mean, sd = pmin.int(pmax.int(sd, 1e-4), 2))
}

# The mode of v and the axes there, with the bends: half below where log sigma starts from, and
# from the mode anew where that turns out to be elsewhere (anything from it to two below does).
find_mode <- function(target, start) {
  top <- bent_mode(target, start$mean, diag(start$sd, length(start$sd)), target$bends(start$mean))
  if (is.null(top)) return(NULL)
  psi <- bend_to_psi(as.matrix(top$v), top$bend)[, 1L]
  bend <- target$bends(psi)
  far <- abs(bend - top$bend + 0.5) > 1
  if (!any(far, na.rm = TRUE)) return(top)
  bent_mode(target, psi, top$L * bend_slope(top$v, top$bend), bend)
}

# From psi and a scale L of psi; NULL where there is none.
bent_mode <- function(target, psi, L, bend) {
  v <- bend_from_psi(as.matrix(psi), bend)[, 1L]
  run <- target$mode(v, L / bend_slope(v, bend), bend)
  stop_if_interrupted(run$status)
  if (run$status[1L] == core_status[["dear"]]) abandon_integral("too dear")
  if (run$status[1L] == core_status[["nonfinite"]]) return(NULL)
  c(run$result, list(bend = bend))
}

# |d psi / d v| of each coordinate.
bend_slope <- function(v, bend) {
  out <- 2 + 2 * exp(bend - v)
  replace(out, is.na(out), 1)
}

stop_if_interrupted <- function(status) {
  if (status[1L] == core_status[["interrupted"]]) mf_interrupt()
}

# ---- lattice ------------------------------------------------------------------------

# Refined, along the axes that need it, until the error is below the tolerance; the last lattice
# that fits in the capacity.
lattice_nodes <- function(target, top, settings) {
  d <- length(top$v)
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
    if (3 * best$truncation > tol / 4) drop <- min(drop + 3, 40)
    coarse <- 3 * best$axis_errors > tol / 4
    top$L[, coarse] <- 0.8 * top$L[, coarse]
    known <- if (!any(coarse)) run$result
  }
  best
}

# Most lattices are small, and memory for the largest costs more than the points of a small one: the
# capacity starts at 4,000 points and grows eightfold. NULL when the lattice does not fit, "dear"
# when it takes more time than there is. known: points of a smaller lattice with the same axes
# and step.
grow_lattice <- function(target, top, step, drop, capacity, known = NULL) {
  room <- min(max(4000, 2 * length(known$log_density)), capacity)
  repeat {
    run <- target$lattice(top$v, top$L, list(step = step, drop = drop,
      capacity = as.integer(room), known = known, bend = top$bend))
    stop_if_interrupted(run$status)
    if (run$status[1L] == core_status[["ok"]]) return(run)
    if (run$status[1L] == core_status[["dear"]]) return("dear")
    if (run$status[1L] != core_status[["full"]] || room >= capacity) return(NULL)
    room <- min(8 * room, capacity)
    known <- run$result
  }
}

# Weights, evidence and error of a lattice (of psi and of what has longer tails). `error`, which is
# reported, is that of the rule on its worst axis and what lies beyond the lattice, of which the
# series gives a quarter: where tails are long more, elsewhere less. `bound`, which lattices are
# refined by, is three times it. Points that carry a share of less than `negligible` between them
# are left out.
weigh_lattice <- function(lattice, tails, top, step, drop, negligible) {
  f <- lattice$log_density
  peak <- max(f)
  d <- length(top$v)
  mass <- exp(f - peak)
  log_cell <- d * log(step) + determinant(top$L)$modulus[1L]
  least <- sort.int(mass, method = "quick")
  keep <- mass >= least[findInterval(negligible * sum(mass), cumsum(least)) + 1L]
  thinned <- thinned_lattices(lattice$index)
  layers <- cbind(inner = f > peak + 6 - drop, middle = f > peak + 3 - drop, keep)
  m <- sublattice_moments(rbind(lattice$psi, tails(lattice$psi)), mass, cbind(thinned, layers))
  axis_errors <- rule_errors(d, rule_change(m, 1L, 1L + seq_len(ncol(thinned)), 2))
  truncation <- 0.25 * beyond_lattice(m) + rule_change(m, 1L, "keep", 1)
  error <- max(axis_errors, 0) + truncation
  list(
    method = "lattice", psi = lattice$psi[, keep, drop = FALSE],
    weights = mass[keep] / sum(mass[keep]), gradient = lattice$gradient[, keep, drop = FALSE],
    log_density = f[keep], log_evidence = peak + log(sum(mass)) + log_cell,
    error = max(error, 1e-8), bound = 3 * error, axis_errors = axis_errors,
    truncation = truncation, edge = highest_edge(lattice$index, f) > peak - 20, khat = NA_real_,
    points = length(f), step = step, L = top$L, mode = top$v, bend = top$bend
  )
}

# The error of the trapezoid rule along an axis is the density's Fourier transform at 2 pi / h. A
# lattice of every second point on the axis errs by what it has at half of that, and the even points
# of the chequered plane of two axes by that at sqrt(1/2) of it. For a normal density the first to
# the fourth and the second squared are the error; their mean in these powers errs little for
# others. (Of one parameter there is the first only, and it may be skewed.)
# change: of the thinned_lattices() of d axes.
rule_errors <- function(d, change) {
  axis <- change[seq_len(d)]
  if (d == 1L) return(axis^3.5)
  plane <- matrix(0, d, d)
  plane[lower.tri(plane)] <- change[-seq_len(d)]
  axis^2 * apply(pmax(plane, t(plane)), 1L, max)
}

# Sublattices, a logical column each: every second point on every axis, then of every two of them.
thinned_lattices <- function(index) {
  even <- t(index %% 2 == 0)
  pairs <- which(lower.tri(diag(ncol(even))), arr.ind = TRUE)
  unname(cbind(even, even[, pairs[, 1L]] == even[, pairs[, 2L]]))
}

# What lies beyond follows, as a geometric series, from what the last layers added: those from 6 to
# 3 above `drop`, and the rest with the frontier (the points evaluated below it).
beyond_lattice <- function(m) {
  added <- c(rule_change(m, "middle", "inner", 1), rule_change(m, 1L, "middle", 1))
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

# Of all points (the first column) and of sublattices of them, the logical columns of `sub`: means
# (about that of all), SDs and total mass.
sublattice_moments <- function(x, mass, sub) {
  w <- cbind(mass, mass * sub)
  total <- colSums(w)
  x <- x - drop(x %*% mass) / total[1L]
  per_row <- rep(total, each = nrow(x))
  mean <- (x %*% w) / per_row
  list(mean = mean, sd = sqrt(pmax((x^2 %*% w) / per_row - mean^2, 0)), total = total)
}

# Largest change of a mean or SD, in SDs, or of the log evidence, from one lattice to each of
# `coarse`, whose cells are `factor` times as large.
rule_change <- function(m, fine, coarse, factor) {
  sd <- m$sd[, fine]
  off <- pmax(abs(m$mean[, coarse, drop = FALSE] - m$mean[, fine]),
    abs(m$sd[, coarse, drop = FALSE] - sd)) / sd
  unname(pmax(apply(off, 2L, max), abs(log(m$total[coarse] * factor / m$total[fine]))))
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
  u <- quasi_random(settings$points, length(top$v))
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
    return(utils::modifyList(top, list(L = diag(scale, length(scale)))))
  }
  recentred(best, top)
}

importance_sample <- function(target, top, u) {
  sample <- split_t_points(u, axis_scales(target, top))
  v <- top$v + top$L %*% sample$z
  f <- target$log_density(v, top$bend)
  ratio <- f - sample$log_density
  if (!any(is.finite(ratio))) return(NULL)
  weigh_importance(bend_to_psi(v, top$bend), ratio, target$tails, top, f)
}

# Scales of both halves of each axis: where the log density has dropped by 2, halved.
axis_scales <- function(target, top) {
  d <- length(top$v)
  steps <- c(.25, .5, .75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 11, 15, 20)
  sides <- vapply(c(-1, 1), function(side) {
    vapply(seq_len(d), function(j) {
      f <- target$log_density(top$v + outer(top$L[, j], side * steps), top$bend)
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
    points = length(ratio), ess = 1 / sum(w^2), bend = top$bend
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
  v <- bend_from_psi(nodes$psi, top$bend)
  m <- drop(v %*% nodes$weights)
  dev <- v - m
  S <- dev %*% (t(dev) * nodes$weights)
  e <- eigen(S, symmetric = TRUE)
  if (!all(e$values > 0)) return(top)
  best <- which.max(nodes$log_density)
  list(v = v[, best], L = e$vectors %*% diag(sqrt(e$values), length(m)),
    peak = nodes$log_density[best], bend = top$bend)
}
