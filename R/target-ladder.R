# The ladder of refinement: importance sampling about the fitted Gaussians, again from what it
# learned, then Hamiltonian Monte Carlo in the fitted metric, then words.
#
# A row is believed when the tail of its squared integrand is light (k-hat), its jackknife errors are
# small, and the proposal already had nearly the SD that it found.

ROW_KHAT <- 0.5 # beyond it the variance of the estimated variance does not exist
ROW_MCSE_MEAN <- 0.02 # posterior SDs
ROW_MCSE_SD <- 0.025 # of the SD
SD_MOVES <- c(1.2, 1.06) # how far an SD may be from the proposal's, and from the last round's
STEIN_LIMIT <- 5 # standard errors that the score's identities may be off

# values: function of Z (d x n), the reported variables (V x n). components: the proposal. sd0: the
# SDs of the variables under it. list(estimate, round, components, settled, reasons, rounds).
importance_ladder <- function(ev, values, components, sd0, points, budget) {
  n <- points
  limit <- SD_MOVES[1L]
  for (k in seq_len(LADDER_ROUNDS)) {
    round <- importance_round(ev, components, n, shift = k - 1L)
    estimate <- importance_estimate(round, values, overall_axes(components))
    why <- unsettled(round, estimate, sd0, limit)
    out <- list(estimate = estimate, round = round, components = components,
      settled = !length(why), reasons = why, rounds = k)
    budget <- budget - n
    if (out$settled || budget < 2 * n || round$ess < 3 * nrow(round$z)) break
    if (!identical(why, "noise")) components <- next_components(components, round, estimate, values)
    sd0 <- estimate$sd
    limit <- SD_MOVES[2L]
    n <- 2 * n
  }
  out
}

next_components <- function(components, round, estimate, values) {
  out <- adapt_components(components, round)
  noisy <- noisy_rows(estimate)
  heavy <- which(!estimate$lost & (estimate$khat >= ROW_KHAT | noisy))
  if (!length(heavy)) return(out)
  f <- t(values(round$z)[heavy, , drop = FALSE])
  c(out, Filter(Negate(is.null), list(tail_component(round, f, estimate$mean[heavy],
    estimate$sd[heavy]))))
}

LADDER_ROUNDS <- 4L

overall_axes <- function(components) {
  components <- Filter(function(part) !isTRUE(part$tail), components)
  weight <- vapply(components, `[[`, 0, "weight")
  weight <- weight / sum(weight)
  m <- Reduce(`+`, Map(function(p, w) w * p$m, components, weight))
  if (length(components) == 1L) return(list(m = m, L = components[[1L]]$L))
  S <- Reduce(`+`, Map(function(p, w) w * (tcrossprod(p$L) + tcrossprod(p$m - m)), components,
    weight))
  list(m = m, L = t(chol(S)))
}

# Rows of the reported variables from a weighted round.
importance_estimate <- function(round, values, axes) {
  f <- t(values(round$z))
  use <- round$weights > 0 & colSums(!is.finite(round$gradient)) == 0
  w <- round$weights[use] / sum(round$weights[use])
  e <- t(solve(axes$L, round$z[, use, drop = FALSE] - axes$m))
  score <- crossprod(round$gradient[, use, drop = FALSE], axes$L)
  discrepancy <- stein_discrepancy(e, score, w)
  f <- f[use, , drop = FALSE]
  lost <- colSums(!is.finite(f)) > 0
  out <- stein_moments(f[, !lost, drop = FALSE], e, score, w, round$replicate[use],
    functions = discrepancy < STEIN_LIMIT)
  khat <- square_khat(f[, !lost, drop = FALSE], out$mean, w)
  row <- function(x) replace(rep(NA_real_, ncol(f)), !lost, x)
  list(mean = row(out$mean), sd = row(out$sd), mcse_mean = row(out$mcse_mean),
    mcse_sd = row(out$mcse_sd), khat = row(khat), discrepancy = discrepancy, lost = lost)
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
