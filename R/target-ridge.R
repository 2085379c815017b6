# Components along the tail of one coordinate, where a variance may come from and no sample from the
# bulk goes: the density's highest point at every value of the coordinate, step by step outwards
# (a profile), with the curvature there.

RIDGE_STEPS <- 14L
RIDGE_KURTOSIS <- 6
RIDGE_ROWS <- 4L

# Components for the coordinates whose variables have heavy tails in the sample.
ridge_components <- function(ev, linked, round, estimate) {
  d <- nrow(round$z)
  if (d < 2L || d > 40L) return(NULL)
  known <- which(!is.na(linked$own) & !estimate$lost)
  heavy <- vapply(known, function(j) row_kurtosis(round$values[j, ], round$weights, estimate, j), 0)
  known <- utils::head(known[order(-heavy)][sort(heavy, decreasing = TRUE) > RIDGE_KURTOSIS],
    RIDGE_ROWS)
  parts <- unlist(lapply(known, function(j) {
    c(ridge(ev, linked, round, estimate, j, 1), ridge(ev, linked, round, estimate, j, -1))
  }), recursive = FALSE)
  lapply(parts, replace, "weight", 0.5 / max(length(parts), 1L))
}

row_kurtosis <- function(x, w, estimate, j) sum(w * ((x - estimate$mean[j]) / estimate$sd[j])^4)

# Outwards from the outer fortieth of the sample, until what is left of the variance is e^-8 of the
# most.
ridge <- function(ev, linked, round, estimate, j, side) {
  c <- linked$own[j]
  w <- round$weights
  at <- round$z[c, ]
  from <- weighted_quantile(at, w, if (side > 0) 0.975 else 0.025)
  outer <- side * (at - from) >= 0 & w > 0
  if (sum(outer) < 3L) return(NULL)
  z <- drop(round$z[, outer, drop = FALSE] %*% w[outer]) / sum(w[outer])
  step <- side * 0.7 * weighted_rows(round$z[c, , drop = FALSE], w)$sd
  share <- function(z) 2 * log(abs(linked$value(j, z) - estimate$mean[j]) / estimate$sd[j] + 1e-300)
  out <- list()
  best <- -Inf
  before <- NULL
  for (k in seq_len(RIDGE_STEPS)) {
    top <- profile_point(ev, z, c)
    if (is.null(top)) break
    weight <- top$lp + top$log_det + share(top$z)
    best <- max(best, weight)
    along <- if (is.null(before)) replace(numeric(length(z)), c, step) else top$z - before
    out <- c(out, list(ridge_component(top, along, c)))
    if (!is.finite(weight) || weight < best - 8) break
    before <- top$z
    z <- top$z + along
    z[c] <- top$z[c] + step
  }
  out
}

# The highest point with coordinate c held: list(z, lp, L (of the others), log_det), or NULL.
profile_point <- function(ev, z, c) {
  held <- function(Y, gradient = TRUE) {
    Z <- matrix(z, length(z), ncol(Y))
    Z[-c, ] <- Y
    got <- ev(Z, gradient)
    list(lp = got$lp, gradient = if (gradient) got$gradient[-c, , drop = FALSE])
  }
  top <- start_at(held, z[-c], max_points = 60 + 4 * length(z))
  if (!top$usable) return(NULL)
  z[-c] <- top$z
  list(z = z, lp = top$lp, L = top$L, log_det = sum(log(diag(top$L))))
}

# Across the ridge what the curvature says, along it one step.
ridge_component <- function(top, along, c) {
  d <- length(top$z)
  S <- tcrossprod(along)
  S[-c, -c] <- S[-c, -c] + tcrossprod(top$L)
  root <- lower_chol(S)
  if (!is.null(root)) proposal_component(top$z, root, 1, df = IMPORTANCE_DF)
}
