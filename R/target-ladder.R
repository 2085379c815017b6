# The ladder of refinement: importance sampling about the fitted Gaussians, again from what it
# learned, then Hamiltonian Monte Carlo in the fitted metric, then words.
#
# A row is believed when the tail of its squared integrand is light (k-hat), its jackknife errors
# are small, and the proposal already had nearly the SD that it found.

ROW_KHAT <- 0.5 # of the squares: the sample does not reach as far as the tail
ROW_MCSE_MEAN <- 0.02 # posterior SDs
ROW_MCSE_SD <- 0.02 # of the SD
SD_MOVES <- c(1.2, 1.06) # how far an SD may be from the proposal's, and from the last round's
STEIN_LIMIT <- 5 # standard errors that the score's identities may be off

# linked: linked_values(). components: the proposal. sd0: the SDs of the variables under it.
# list(estimate, round (the pooled sample), components (the last), settled, reasons, rounds, axes).
importance_ladder <- function(ev, linked, components, sd0, points, budget) {
  rounds <- list()
  n <- points
  single <- length(components) == 1L
  for (k in seq_len(if (length(components[[1L]]$m) <= 8L) LADDER_ROUNDS else HIGH_ROUNDS)) {
    components <- Filter(is_usable, components)
    now <- importance_points(ev, components, n, shift = k - 1L)
    now$values <- linked$all(now$z) # once: every later round looks at them again
    rounds <- c(rounds, list(now))
    round <- pooled_sample(rounds)
    estimate <- importance_estimate(round, linked, pooled_axes(round, components), single)
    why <- unsettled(round, estimate, sd0, SD_MOVES[min(k, 2L)])
    budget <- budget - n
    if (!length(why) || budget < n || round$ess < 3 * nrow(round$z)) break
    if (!identical(why, "noise")) {
      components <- next_components(components, round, estimate, k)
      if (k == 2L) components <- c(components, ridge_components(ev, linked, round, estimate))
    }
    sd0 <- estimate$sd
  }
  list(estimate = estimate, round = round, settled = !length(why), reasons = why, rounds = k,
    axes = moment_axes(round), components = components)
}

is_usable <- function(part) {
  all(is.finite(part$m), is.finite(part$L), is.finite(part$weight))
}

# Coordinates in which the control variates are made: those of the proposal, once there is enough
# of a sample those of its moments.
pooled_axes <- function(round, components) {
  axes <- overall_axes(components)
  moment_axes(round) %||% axes
}

# Mean and root of the covariance of a sample that has enough to say of it; else NULL.
moment_axes <- function(round) {
  if (round$ess < 20 * nrow(round$z)) return(NULL)
  own <- weighted_covariance(round$z, round$weights)
  root <- lower_chol(own$cov)
  if (!is.null(root) && all(is.finite(root))) list(m = own$mean, L = root)
}

# A flow stays; the others adapt.
next_components <- function(components, round, estimate, k) {
  flow <- vapply(components, function(part) !is.null(part$flow), NA)
  c(components[flow], adapted_components(components[!flow], round, estimate, k))
}

# After the first round each component moves to what it answers for. Where that has not settled it,
# the sample is taken apart into more of them.
adapted_components <- function(components, round, estimate, k) {
  if (k == 1L) return(adapt_components(components, round))
  heavy <- which(!estimate$lost & (estimate$khat >= 0.3 | noisy_rows(estimate)))
  tilt <- if (length(heavy)) {
    f <- t(round$values[heavy, , drop = FALSE])
    tail_tilt(f, estimate$mean[heavy], estimate$sd[heavy])
  } else rep(1, ncol(round$z))
  cluster_components(round, tilt, most = min(4L * k, 20L)) %||% adapt_components(components, round)
}

LADDER_ROUNDS <- 9L
HIGH_ROUNDS <- 5L # beyond eight dimensions, where chains are the better use of gradients

overall_axes <- function(components) {
  weight <- vapply(components, `[[`, 0, "weight")
  weight <- weight / sum(weight)
  m <- Reduce(`+`, Map(function(p, w) w * p$m, components, weight))
  if (length(components) == 1L) return(list(m = m, L = components[[1L]]$L))
  S <- Reduce(`+`, Map(function(p, w) w * (tcrossprod(p$L) + tcrossprod(p$m - m)), components,
    weight))
  list(m = m, L = t(chol(S)))
}

# Rows of the reported variables from a sample. linked: linked_values().
# tails: is there one mode? A second one would be taken for a tail.
importance_estimate <- function(round, linked, axes, tails = TRUE) {
  use <- round$weights > 0 & colSums(!is.finite(round$gradient)) == 0
  if (!any(use, na.rm = TRUE)) {
    mf_abort("target", "no point about the fitted normal distribution has a finite log density ",
      "and gradient: the posterior looks improper; give it a proper prior, or start from a better ",
      "`init`", arg = "log_density")
  }
  w <- round$weights[use] / sum(round$weights[use])
  kept <- lapply(round[c("z", "gradient", "values")], function(x) x[, use, drop = FALSE])
  sample_estimate(linked, kept, w, round$replicate[use], axes, tails = tails)
}

# Of a sample, list(z, gradient, values), weighted or of chains (whose neighbours are not
# independent: looser on the score's identities).
sample_estimate <- function(linked, sample, w, replicate, axes, loose = 1, tails = TRUE) {
  e <- t(solve(axes$L, sample$z - axes$m, tol = 0))
  score <- crossprod(sample$gradient, axes$L)
  # the largest of 2 d statistics, from points that are the fewer the more dimensions there are
  discrepancy <- stein_discrepancy(e, score, w) / loose / (1 + sqrt(ncol(e)) / 30)
  if (is.na(discrepancy)) discrepancy <- Inf
  s <- stein_sample(e, score, w, replicate, functions = discrepancy < STEIN_LIMIT)
  f <- t(sample$values)
  lost <- colSums(!is.finite(f)) > 0
  fixed <- is_constant(f)
  own <- own_scores(linked, f, sample$gradient)
  m <- stein_moments(s, f[, !lost, drop = FALSE], own$slope[, !lost, drop = FALSE],
    own$score[, !lost, drop = FALSE])
  tail <- if (tails) tail_errors(f[, !lost, drop = FALSE], w, m$mean, m$sd) else 0
  m$tail <- tail_indices(f[, !lost, drop = FALSE], w, m$mean, m$sd)
  m$mcse_sd <- sqrt(m$mcse_sd^2 + (pmin(tail, 1) * m$sd)^2)
  row <- function(x) replace(rep(NA_real_, ncol(f)), !lost, x)
  m <- lapply(m, row)
  for (k in setdiff(names(m), "mean")) m[[k]][fixed] <- 0 # rounding is no spread
  m$mean[fixed] <- f[1L, fixed]
  c(m, list(discrepancy = discrepancy, lost = lost))
}

# Of a variable that is exp(z) of one coordinate: its slope there and the score of that coordinate.
own_scores <- function(linked, f, gradient) {
  slope <- score <- matrix(NA_real_, nrow(f), ncol(f))
  for (j in which(!is.na(linked$coordinate))) {
    slope[, j] <- f[, j]
    score[, j] <- gradient[linked$coordinate[j], ]
  }
  list(slope = slope, score = score)
}

# What speaks against a round: "khat", "tail", "moved", "noise", "stein"; none when it is settled.
unsettled <- function(round, estimate, sd0, limit) {
  ratio <- estimate$sd / sd0
  moved <- pmax(ratio, 1 / ratio)
  any_of <- function(x) any(x, na.rm = TRUE)
  c(if (!(round$khat < 0.7)) "khat", if (any_of(estimate$khat >= ROW_KHAT)) "tail",
    if (any_of(moved > limit)) "moved", if (any_of(noisy_rows(estimate))) "noise",
    if (estimate$discrepancy >= STEIN_LIMIT) "stein")
}

noisy_rows <- function(estimate) {
  estimate$mcse_mean > ROW_MCSE_MEAN * estimate$sd | estimate$mcse_sd > ROW_MCSE_SD * estimate$sd
}
