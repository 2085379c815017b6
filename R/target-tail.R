# What a sample cannot know of the variance: the tail beyond its reach.
#
# Beyond a value x that only a few effective points exceed, a generalised Pareto distribution,
# fitted to the upper twentieth, says what the tail adds to the variance:
#     E (f - m)^2 1{f > x} = P(f > x) E (x - m + Y)^2,   Y ~ GPD(k, s),
# infinite from k = 1/2. What that and what the points say differ by is an error that no standard
# error of the points shows.

TAIL_POINTS <- 8 # effective points that a reach is worth
TAIL_KURTOSIS <- 4.5 # lighter tails have nothing to hide

# f: N x V; weights sum to one. Relative error of each SD.
tail_errors <- function(f, weights, mean, sd) {
  vapply(seq_len(ncol(f)), function(j) {
    e <- (f[, j] - mean[j]) / sd[j]
    if (!all(is.finite(e)) || sum(weights * e^4) < TAIL_KURTOSIS) return(0)
    (upper_tail_error(e, weights) + upper_tail_error(-e, weights)) / 2
  }, 0)
}

# Pareto shape of the heavier tail of each column; 0 where there is nothing to hide. From 1/2 there
# is no variance, from 1 no mean.
tail_indices <- function(f, weights, mean, sd) {
  vapply(seq_len(ncol(f)), function(j) {
    e <- (f[, j] - mean[j]) / sd[j]
    if (!all(is.finite(e)) || sum(weights * e^4) < TAIL_KURTOSIS) return(0)
    max(upper_tail_shape(e, weights), upper_tail_shape(-e, weights))
  }, 0)
}

upper_tail_shape <- function(e, w, share = 0.05) {
  from <- weighted_quantile(e, w, 1 - share)
  over <- e > from & w > 0
  fit <- if (any(over)) tail_fit(rev(sort(e[over])) - from, w[over][order(-e[over])])
  if (is.null(fit)) 0 else fit$k
}

# Of a standardised variable: the error of its variance.
upper_tail_error <- function(e, w, share = 0.05) {
  keep <- w > 0
  o <- order(e[keep], decreasing = TRUE)
  e <- e[keep][o]
  w <- w[keep][o]
  mass <- cumsum(w)
  points <- mass^2 / cumsum(w^2)
  reach <- which(points >= TAIL_POINTS)[1L]
  start <- which(mass >= share)[1L]
  if (is.na(reach) || is.na(start) || start <= reach || e[reach] <= 0) return(0)
  fit <- tail_fit(e[seq_len(start)] - e[start], w[seq_len(start)])
  if (is.null(fit)) return(0)
  scale <- fit$sigma + fit$k * (e[reach] - e[start])
  if (!(scale > 0)) return(0) # the tail ends before
  seen <- sum(w[seq_len(reach)] * e[seq_len(reach)]^2)
  if (fit$k >= 0.5) return(Inf)
  beyond <- mass[reach] * (e[reach]^2 + 2 * e[reach] * scale / (1 - fit$k) +
    2 * scale^2 / ((1 - fit$k) * (1 - 2 * fit$k)))
  abs(beyond - seen) + max(beyond, seen) / sqrt(points[reach])
}

# Pareto shape of weighted exceedances, from a resample of them.
tail_fit <- function(x, w, n = 200L) {
  pick <- findInterval((seq_len(n) - 0.5) / n, cumsum(w / sum(w)), all.inside = TRUE)
  x <- x[pick]
  x <- x[x > 0]
  if (length(unique(x)) < 20L) return(NULL)
  fit <- loo::gpdfit(x)
  if (all(is.finite(c(fit$k, fit$sigma)))) fit
}
