# The distribution of the precisions between the nodes of a lattice. Sums over one with a step of
# 1.4 posterior SDs are right; a density that is put together from its points wants a finer one.

# Steps above this are halved, axis by axis while there is room.
FINE_STEP <- 1.05
FINE_POINTS <- 6e4

# list(psi, weights, step, L, ...) of a lattice of half the step: the log density is smooth, and is
# interpolated. Nodes as they are where that is not wanted, or where they are no lattice along L.
finer_nodes <- function(model, nodes) {
  if (!can_be_finer(nodes)) return(nodes)
  fine <- finer_lattice(nodes)
  psi <- bend_to_psi(nodes$mode + nodes$L %*% fine$z, nodes$bend)
  w <- lattice_mass(fine)
  list(method = nodes$method, psi = psi, weights = w / sum(w), step = nodes$step, L = fine$L,
    bend = nodes$bend, stats = psi_statistics(psi, stat_index(model)), lattice = fine)
}

can_be_finer <- function(nodes) {
  has_cells(nodes) && !isTRUE(nodes$thinned) && is_along_axes(nodes) && nodes$step > FINE_STEP
}

# whole_lattice() with its axes L and which of them were halved.
finer_lattice <- function(nodes) {
  fine <- whole_lattice(nodes)
  L <- nodes$L
  halved <- rep(FALSE, nrow(L))
  for (j in seq_len(nrow(L))) {
    if (2 * ncol(fine$z) > FINE_POINTS || max(abs(fine$index)) > KEY_REACH / 2) break
    fine <- halve_axis(fine, j)
    halved[j] <- TRUE
  }
  c(fine, list(L = L %*% diag(ifelse(halved, 0.5, 1), nrow(L)), halved = halved))
}

# With the gradient of the log density along L and, for every node, the one of `nodes` beside it.
finer_cells <- function(model, nodes) {
  if (!can_be_finer(nodes)) return(c(nodes, list(origin = seq_along(nodes$weights))))
  out <- finer_nodes(model, nodes)
  fine <- out$lattice
  c(out, list(gradient = lattice_gradient(fine, nodes$step), origin = nearest_node(fine, nodes)))
}

# By differences of both sides, or of the one that there is.
lattice_gradient <- function(x, step) {
  f <- x$rest - colSums(x$z^2) / 2
  do.call(rbind, lapply(seq_len(nrow(x$index)), function(j) {
    beside <- neighbours(x$index, j)
    right <- f[beside(1)]
    left <- f[beside(-1)]
    sides <- 2 - is.na(right) - is.na(left)
    right[is.na(right)] <- f[is.na(right)]
    left[is.na(left)] <- f[is.na(left)]
    (right - left) / (pmax(sides, 1) * step)
  }))
}

# Of two at the same distance the heavier one; where neither is kept, the nearest that is.
nearest_node <- function(fine, nodes) {
  whole <- whole_lattice(nodes)
  own <- lattice_key(whole$index)
  scale <- ifelse(fine$halved, 2, 1)
  at <- match(lattice_key(floor(fine$index / scale)), own)
  above <- match(lattice_key(ceiling(fine$index / scale)), own)
  heavier <- !is.na(above) & (is.na(at) |
    nodes$weights[above] > nodes$weights[pmax(at, 1L, na.rm = TRUE)])
  at[heavier] <- above[heavier]
  lost <- which(is.na(at))
  at[lost] <- vapply(lost, function(k) which.min(colSums((whole$z - fine$z[, k])^2)), 0L)
  at
}

# Do nodes stand for boxes of the space (those of a thinned lattice for several each)?
has_cells <- function(nodes) nodes$method != "importance"

# An emulator's centred lattice has points between those along the axes.
is_along_axes <- function(nodes) {
  is.null(nodes$bandwidth) || ncol(nodes$bandwidth) == ncol(nodes$L)
}

# list(index, z (d x n); rest: log density and |z|^2 / 2, whose sum is nearly flat)
whole_lattice <- function(nodes) {
  z <- solve(nodes$L, bend_from_psi(nodes$psi, nodes$bend) - nodes$mode, tol = 0)
  list(index = round(z / nodes$step), z = z, rest = nodes$log_density + colSums(z^2) / 2)
}

lattice_mass <- function(x) {
  f <- x$rest - colSums(x$z^2) / 2
  exp(f - max(f))
}

# A point between every two neighbours on axis j. Points that weigh a millionth between them are
# left out.
halve_axis <- function(x, j) {
  along <- neighbours(x$index, j)
  right <- along(1)
  pair <- which(!is.na(right))
  rest <- middle_value(x$rest[along(-1)[pair]], x$rest[pair], x$rest[right[pair]],
    x$rest[along(2)[pair]])
  index <- x$index
  index[j, ] <- 2 * index[j, ]
  new <- index[, pair, drop = FALSE]
  new[j, ] <- new[j, ] + 1
  out <- list(index = cbind(index, new), rest = c(x$rest, rest),
    z = cbind(x$z, (x$z[, pair, drop = FALSE] + x$z[, right[pair], drop = FALSE]) / 2))
  least <- sort(lattice_mass(out))
  keep <- lattice_mass(out) > least[findInterval(1e-6 * sum(least), cumsum(least)) + 1L]
  list(index = out$index[, keep, drop = FALSE], rest = out$rest[keep],
    z = out$z[, keep, drop = FALSE])
}

# A function of `by`: where the points are that lie so many further along axis j, NA where none is.
neighbours <- function(index, j) {
  own <- lattice_key(index)
  function(by) match(lattice_key(index + by * (seq_len(nrow(index)) == j)), own)
}

# Half way between b and c of a, b, c, d, one apart: cubic, quadratic where a or d is NA.
middle_value <- function(a, b, c, d) {
  a <- ifelse(is.na(a), 3 * b - 3 * c + d, a)
  a <- ifelse(is.na(a), 2 * b - c, a)
  d <- ifelse(is.na(d), 3 * c - 3 * b + a, d)
  (9 * (b + c) - a - d) / 16
}

# One number per point of whole coordinates below KEY_REACH.
KEY_REACH <- 120
lattice_key <- function(index) colSums((index + 128) * 256^(seq_len(nrow(index)) - 1L))
