# Fixed points of the standard normal, a column each: what every Gaussian fit averages over.

# Points e_1, ..., e_n in R^d, the second half the negative of the first, with mean e e' = I
# exactly: a quadratic log density then has its exact expectation, gradient and curvature over
# them, whatever n is. cross = FALSE matches the variances only, which n < 2 d points can do as
# well. Each shift, a whole number from 0, is another such set.
fixed_points <- function(n, d, shift = 0L, cross = TRUE) {
  matched_points(antithetic(even_ranks(cube_points(n %/% 2L, d, shift))), cross)
}

# The same without the even spacing of each coordinate: averages over these are right on average
# over the shifts, tails included. They are replicates for importance sampling.
shifted_points <- function(n, d, shift, match = FALSE) {
  E <- antithetic(cube_points(n %/% 2L, d, shift))
  if (match) matched_points(E) else E
}

# n points of the unit cube, a column each. Sequences of low discrepancy need more points the more
# coordinates they have, so they are used eight coordinates at a time, each group in an order of its
# own. Source: Owen (1998), "Latin supercube sampling for very high-dimensional simulations"; the
# shift modulo one is Cranley & Patterson (1976).
cube_points <- function(n, d, shift) {
  wide <- min(d, 8L)
  U <- t(quasi_random(n, wide))
  with_fixed_seed({
    groups <- lapply(seq_len(ceiling(d / wide)), function(k) {
      if (k == 1L) U else U[, sample.int(n), drop = FALSE]
    })
    (do.call(rbind, groups)[seq_len(d), , drop = FALSE] + stats::runif(d)) %% 1
  }, as.integer(shift) + 1L)
}

# Every coordinate at (k - 1/4) / n, k = 1, ..., n: with the negatives that antithetic() adds these
# are the midpoints of 2 n cells of equal mass.
even_ranks <- function(U) {
  (matrix(apply(U, 1L, rank, ties.method = "first"), nrow(U), ncol(U), byrow = TRUE) - 0.25) /
    ncol(U)
}

antithetic <- function(U) {
  E <- stats::qnorm(pmin(pmax(U, 1e-10), 1 - 1e-10))
  cbind(E, -E)
}

matched_points <- function(E, cross = TRUE) {
  if (!cross) return(E / sqrt(rowMeans(E^2)))
  if (ncol(E) < 2L * nrow(E)) {
    mf_abort("internal", "internal error: ", ncol(E), " points for ", nrow(E), " dimensions")
  }
  backsolve(chol(tcrossprod(E) / ncol(E)), E, transpose = TRUE)
}
