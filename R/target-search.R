# Where the density has its mass: modes from several starts, and directions in which it does not
# end.

# The modes that are found, best first: a list of list(z, L, lp, usable, log_mass (Laplace)). first:
# start_at() from the user's init. Climbs begin where the target is most above what the first mode's
# normal says, and at points spread about it.
find_modes <- function(ev, first, z0, max_points = Inf) {
  d <- length(z0)
  modes <- list(as_mode(first))
  centre <- list(m = if (first$usable) first$z else z0,
    L = if (first$usable) first$L else diag(1, d))
  from <- climb_starts(ev, centre)
  spent <- 0
  for (j in seq_len(ncol(from))) {
    if (spent > max_points) break
    counted <- counting(ev, 100 + 4 * d)
    top <- climb(counted$ev, from[, j], centre$L)
    known <- any(vapply(modes, near_mode, NA, top$z))
    up <- if (!known && is.finite(top$lp)) start_at(counted$ev, top$z)
    spent <- spent + counted$asked()
    if (is.null(up) || !up$usable || any(vapply(modes, same_mode, NA, as_mode(up)))) next
    modes <- c(modes, list(as_mode(up)))
  }
  usable <- Filter(function(m) m$usable, modes)
  if (!length(usable)) return(modes)
  usable <- usable[order(-vapply(usable, `[[`, 0, "log_mass"))]
  top <- usable[[1L]]$log_mass
  utils::head(Filter(function(m) m$log_mass > top - LIGHT_MODE, usable), MOST_MODES)
}

LIGHT_MODE <- 14 # a mode e^14 times lighter is none
MOST_MODES <- 6L

as_mode <- function(start) {
  d <- length(start$z)
  log_mass <- if (start$usable) start$lp + determinant(start$L)$modulus[1L] + d / 2 * log(2 * pi)
  list(z = start$z, L = start$L, lp = start$lp, usable = start$usable,
    log_mass = log_mass %||% -Inf)
}

near_mode <- function(mode, z) {
  mode$usable && sum(forwardsolve(mode$L, z - mode$z)^2) < 0.3
}

same_mode <- function(a, b) {
  if (!a$usable || !b$usable) return(FALSE)
  e <- forwardsolve(a$L, b$z - a$z)
  f <- forwardsolve(b$L, b$z - a$z)
  min(sum(e^2), sum(f^2)) < 1
}

# Points at 2, 5, 12 and 30 standard deviations in many directions, and on the scale of the
# unconstrained space; of each ring the ones that are highest, far from each other.
climb_starts <- function(ev, centre, radii = c(2, 5, 12, 30), each = 24L, keep = 2L) {
  d <- length(centre$m)
  e <- shifted_points(each, d, shift = 3L)
  e <- e / rep(sqrt(colSums(e^2) / d), each = d)
  from <- lapply(radii, function(r) {
    z <- centre$m + centre$L %*% (r * e)
    z[, apart(ev(z, FALSE)$lp, e, keep), drop = FALSE]
  })
  wide <- centre$m + 2 * sign(e[, seq_len(2L), drop = FALSE])
  do.call(cbind, c(from, list(wide)))
}

# The best, then the best that points elsewhere, and so on.
apart <- function(lp, e, keep) {
  e <- e / rep(sqrt(colSums(e^2)), each = nrow(e))
  out <- integer()
  left <- which(is.finite(lp))
  while (length(out) < keep && length(left)) {
    best <- left[which.max(lp[left])]
    out <- c(out, best)
    left <- left[colSums(e[, left, drop = FALSE] * e[, best]) < 0.5]
  }
  out
}

# ---- tails ---------------------------------------------------------------------------------------

# Directions in which the density does not fall fast enough to be one: along lines through the
# centre log p + log r must fall. Names of the coordinates, with a sign.
endless_directions <- function(ev, m, L, names) {
  d <- length(m)
  axes <- cbind(L, diag(sqrt(rowSums(L^2)), d))[, seq_len(min(2 * d, 60L)), drop = FALSE]
  axes <- axes[, !duplicated(round(t(axes), 12)), drop = FALSE]
  axes <- cbind(axes, -axes)
  r <- c(12, 48)
  lp <- vapply(r, function(r) ev(m + r * axes, FALSE)$lp, numeric(ncol(axes)))
  lp <- matrix(lp, ncol = 2L)
  here <- ev(as.matrix(m), FALSE)$lp
  slope <- (lp[, 2L] - lp[, 1L]) / log(r[2L] / r[1L])
  flat <- is.finite(lp[, 2L]) & slope > -1 & lp[, 2L] > here - 12
  main <- apply(abs(axes / sqrt(rowSums(L^2))), 2L, which.max)
  sign <- ifelse(axes[cbind(main, seq_along(main))] > 0, "+", "-")
  unique(paste0(sign, names[main])[flat])
}
