# Integration over the precisions with few conditional fits: their log likelihood, emulated from
# values and gradients at a handful of points (src/engine/emulator.h), and a dense lattice of the
# emulated density, which costs none (src/engine/emulator_rule.h). Nothing here touches the random
# number generator.

# By the number d of precision parameters: step, drop and tol of the dense lattice; most conditional
# fits; what the emulator's own error must be below; points that the lattice may have.
emulate_settings <- function() {
  list(step = c(.6, .9, 1.2, 1.3, 1.4, 1.5, 1.6, 1.6), drop = c(14, 14, 13, 12, 11, 10, 10, 10),
    tol = c(5e-3, 5e-3, 2e-2, 4e-3, rep(1e-2, 4L)), centred = rep(c(FALSE, TRUE), c(3L, 5L)),
    negligible = rep(1e-5, 8L), nodes = rep(c(16000L, 4000L), each = 4L),
    most = c(8L, 12L, 16L, 25L, 40L, 40L, 50L, 50L),
    error = c(.02, .02, .02, .02, .03, .03, .03, .03), capacity = 150000L)
}

# Is the number of precision parameters one that it takes?
can_emulate <- function(start) {
  d <- length(start$mean)
  d >= 1L && d <= length(emulate_settings()$most)
}

# Nodes as integrate_precisions() has them, of method "emulator", with
#   bend    of the coordinates that step, L, mode and gradient are in (see emulator_coord.h)
#   fits    list(psi (d x n), A (n x N)): the conditional fits and, a column per node, the weights
#           that interpolate among them; state: for call_nest_mixture(known = ), then to be dropped
#   correction  of the log density at the nodes
#   thinned     are the nodes a sample of the lattice's, some of which stand for several cells?
#   bandwidth   d x any: the axes whose projections are the bandwidths of a kernel on the nodes
#   settled     did the last fits change little, and is little left unknown?
# or no_integral(), with the reason. fit: psi (d x n) to list(log_lik, slope, correction), see
# C_nest_fits().
emulate_precisions <- function(core, centre, start, budget = new_budget(),
                               settings = emulate_settings(),
                               fit = nest_fits(core, centre, budget)) {
  sampling <- call_emulate_sampling(core)
  if (sampling$status[1L] != core_status[["ok"]]) {
    return(no_integral("the effects of a level are not known from its rows"))
  }
  catch_abandoned(emulated_nodes(emulator_start(core, sampling$result, start, settings), start, fit,
    budget))
}

emulated_nodes <- function(x, start, fit, budget) {
  x <- add_first(x, first_design(x, start), fit, budget)
  repeat {
    if (is.null(x$fits)) return(no_integral("a conditional fit failed"))
    x <- next_round(x)
    if (is.null(x$rule)) return(no_integral("the log likelihood could not be emulated"))
    if (is_settled(x)) break
    room <- x$most - ncol(x$fits$psi)
    if (room < 1L || !has_time(x, budget)) break
    x <- add_picks(x, min(room, x$batch), fit)
  }
  if (x$lattice$centred && REFINED * x$seconds < budget$left()) {
    if (x$d > 5L) x$capacity <- max(x$capacity, 64000L)
    refined <- next_round(x, refined = TRUE)
    if (!is.null(refined$rule)) x <- refined # else what there is, with its own error
  }
  emulator_nodes(x)
}

# Times as long as a round takes the lattice that is refined, about.
REFINED <- 4

# One fit tells whether the others can be afforded.
add_first <- function(x, psi, fit, budget) {
  before <- budget$spent()
  x <- add_fits(x, psi[, 1L, drop = FALSE], fit)
  others <- ncol(psi) - 1L
  # from a fit nearby the next ones take half of the first
  if (others * (budget$spent() - before) / 2 > budget$left()) abandon_integral("too dear")
  if (is.null(x$fits)) x else add_fits(x, psi[, -1L, drop = FALSE], fit)
}

# For another batch of fits and the round after it, which is a little longer than the last?
has_time <- function(x, budget) {
  a_fit <- budget$spent() / ncol(x$fits$psi) # and its share of the rounds
  a_fit * x$batch + 1.5 * x$seconds < budget$left()
}

# A function of psi, whose fits start from its earlier ones.
nest_fits <- function(core, centre, budget) {
  known <- NULL
  function(psi) {
    run <- call_nest_fits(core, centre, psi, known, budget$left())
    stop_if_interrupted(run$status)
    if (run$status[1L] == core_status[["dear"]]) abandon_integral("too dear")
    if (!is.null(budget$progress)) budget$progress(ncol(known$psi))
    known <<- list(psi = cbind(known$psi, psi), state = cbind(known$state, run$result$state))
    run$result
  }
}

# The state that the rounds pass on.
emulator_start <- function(core, sampling, start, settings) {
  d <- length(start$mean)
  own <- which(is_log_precision(core))
  start$mean[own] <- pmin(start$mean[own], 30)
  bend <- rep(NA_real_, d)
  bend[own] <- -start$mean[own] / 2 - .5
  limits <- sampling_log_sds(core, sampling, start$mean)
  bend <- pmax(pmin(bend, limits + 1, na.rm = TRUE), limits - 1.5, na.rm = TRUE)
  bend[-own] <- NA
  lead <- sampling$lead > 0
  sd <- start$sd * ifelse(seq_len(d) %in% own, .5, 1)
  list(core = core, sampling = sampling, d = d, own = own, kappa = 1, batch = max(2L, d),
    most = settings$most[d], tol = settings$error[d], capacity = if (d < 5L) 4000L else 32000L,
    limit = settings$capacity, lattice = list(step = settings$step[d],
      drop = settings$drop[d], tol = settings$tol[d], centred = settings$centred[d],
      negligible = settings$negligible[d], nodes = settings$nodes[d]),
    state = list(triples = d < 5L, bend = bend,
      e0 = if (lead) log(sampling$base + exp(-start$mean[1L])) else 0,
      centre = numeric(d), L = diag(pmin(pmax(sd, .05), 1), d), Lx = NULL))
}

# Half the log sampling variances of one level's effects at psi, where there are levels.
sampling_log_sds <- function(core, sampling, psi) {
  index <- stat_index(core)
  out <- rep(NA_real_, length(psi))
  r <- vapply(core$prec, function(p) p$r, 0L)
  first <- cumsum(c(0L, r^2))
  s2 <- sampling$base + if (sampling$lead > 0) exp(-psi[1L]) else 0
  for (k in seq_along(index)[seq_along(index) > sampling$lead]) {
    own <- first[k] + (seq_len(r[k]) - 1L) * (r[k] + 1L) + 1L # of the diagonal
    K <- s2 * sampling$K0[own]
    for (j in which(sampling$inner[k, ] > 0)) {
      K <- K + sampling$M[own, j] * exp(-psi[index[[j]]])
    }
    out[index[[k]][on_diagonal(r[k])]] <- log(K) / 2
  }
  out
}

# The start and both sides of every coordinate: no mode is searched. start: nest_start().
first_design <- function(x, start) {
  psi <- start$mean
  psi[x$own] <- pmin(psi[x$own], 30)
  v <- bend_from_psi(cbind(psi), x$state$bend)[, 1L]
  move <- 1.5 * diag(x$state$L)
  bend_to_psi(cbind(v, v + diag(move, x$d), v - diag(move, x$d), deparse.level = 0), x$state$bend)
}

# x$fits with those at psi, NULL where one fails.
add_fits <- function(x, psi, fit) {
  new <- fit(psi)
  if (!all(is.finite(new$log_lik)) || !all(is.finite(new$slope))) {
    x["fits"] <- list(NULL)
    return(x)
  }
  x$fits <- list(psi = cbind(x$fits$psi, psi), state = cbind(x$fits$state, new$state),
    slope = cbind(x$fits$slope, new$slope),
    log_lik = c(x$fits$log_lik, new$log_lik),
    correction = if (has_rows_core(x$core)) c(x$fits$correction, new$correction))
  x
}

has_rows_core <- function(core) !is.null(core$rows)

# The emulator of the fits so far; x$rule is NULL where there is none, or none whose lattice fits.
# Until the end a lattice does that has not been refined. One that knows little, and may rise where
# there are no fits, is believed near them only: there the next ones are taken.
next_round <- function(x, refined = FALSE) {
  lattice <- x$lattice
  if (refined) x$state$errors <- c(x$rule$numbers[2L], x$rule$axis_errors)
  if (!refined && lattice$centred) {
    lattice$tol <- 1
    lattice$drop <- lattice$drop - 2
  }
  x$last <- x$rule
  before <- cpu_seconds()
  for (far in c(16, 4, 1)) {
    run <- run_emulator(x, c(lattice, far = far))
    x$capacity <- run$capacity
    known <- run$status[1L] == core_status[["ok"]]
    if (known && run$result$numbers[4L] < .5) break
  }
  x$seconds <- cpu_seconds() - before
  x["rule"] <- list(if (run$status[1L] == core_status[["ok"]]) run$result)
  if (is.null(x$rule)) return(x)
  x$gp <- x$rule$numbers[4L]
  x$change <- if (is.null(x$last)) Inf else
    max(abs(x$rule$mean - x$last$mean) / x$rule$sd, abs(x$rule$sd / x$last$sd - 1))
  x
}

run_emulator <- function(x, lattice) {
  repeat {
    settings <- c(lattice, list(kappa = x$kappa, capacity = x$capacity, batch = x$batch))
    run <- call_emulate(x$core, x$sampling, x$fits, x$state, settings)
    stop_if_interrupted(run$status)
    if (run$status[1L] != core_status[["full"]] || x$capacity >= x$limit) break
    x$capacity <- min(4L * x$capacity, x$limit)
  }
  c(run, capacity = x$capacity)
}

# Lattices that have not been refined differ from each other.
is_settled <- function(x) {
  !is.null(x$last) && x$gp < x$tol && x$change < if (x$d > 4L) 3 * x$tol else x$tol
}

# n more fits where the last emulator wants them. kappa, which its SDs are multiplied by, is the RMS
# of what the forecasts of the last three batches missed by, over those SDs.
add_picks <- function(x, n, fit) {
  rule <- x$rule
  x$state[c("centre", "L", "Lx")] <- rule[c("next_centre", "next_L", "next_Lx")]
  x <- add_fits(x, rule$picks[, seq_len(n), drop = FALSE], fit)
  found <- utils::tail(x$fits$log_lik + (x$fits$correction %||% 0), n)
  off <- (found - rule$predicted[seq_len(n)]) / pmax(rule$predicted_sd[seq_len(n)], 1e-6)
  x$off <- c(x$off, off^2)
  recent <- utils::tail(x$off, 3L * x$batch)
  x$kappa <- min(max(sqrt(mean(pmin(recent, 100))), 1), 10)
  x
}

emulator_nodes <- function(x) {
  rule <- x$rule
  n <- rule$numbers
  cell <- lattice_cell(rule$L, x$lattice$step, x$lattice$centred)
  thinned <- n[7L] > length(rule$weights)
  own <- if (x$lattice$centred) 2 * n[2L] else n[2L]^1.5
  beyond <- if (x$d > 4L) .1 else .35
  list(
    method = "emulator", psi = rule$psi, weights = rule$weights,
    gradient = rule$gradient * cell$scale,
    log_density = rule$log_density, log_evidence = n[1L],
    error = max(x$gp + own + beyond * n[3L], 1e-4), gp = x$gp,
    rule = n[2L], axis_errors = rule$axis_errors, truncation = n[3L], edge = FALSE, khat = NA_real_,
    points = ncol(x$fits$psi), thinned = thinned, step = cell$step, L = cell$L, mode = rule$centre,
    bandwidth = cell$bandwidth, bend = x$state$bend,
    fits = list(psi = x$fits$psi, A = rule$A, state = x$fits$state),
    correction = if (length(rule$correction)) rule$correction,
    settled = is_settled(x) || x$gp <= (if (x$d > 4L) 4 else 2) * x$tol
  )
}

# What nodes of a lattice stand for: boxes step L [-1/2, 1/2]^d that fill space. Those of the
# centred lattice, all-even and all-odd points of spacing s, have edges 2 s, ..., 2 s, s; a function
# of a direction that the lattice tells apart varies no faster than along the columns of
# `bandwidth`.
lattice_cell <- function(L, step, centred) {
  if (!centred) return(list(step = step, L = L, scale = 1, bandwidth = step * L))
  d <- ncol(L)
  s <- step / sqrt(2)
  edge <- s * c(rep(2, d - 1L), 1)
  pairs <- utils::combn(d, 2L)
  list(step = 1, L = L %*% diag(edge), scale = edge,
    bandwidth = s * cbind(L[, pairs[1L, ]] + L[, pairs[2L, ]], L[, pairs[1L, ]] - L[, pairs[2L, ]]))
}
