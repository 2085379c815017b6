# The global block of a symmetric matrix in arrow form: a matrix, or where nested factors were
# eliminated (src/arrow/elimination.h) packed, what lies on the pattern and no more.

# values: as arrow_shape_at() has them; pattern: list(elim, eptr, eidx, core), columns from 0; elim:
# of a covariance, what makes all of it of these (src/arrow/arrow_cov.h).
packed_block <- function(values, pattern, elim = NULL) {
  structure(list(values = values, pattern = pattern, elim = elim), class = "packed_block")
}

# A block as C returns it: pattern NULL for a matrix.
block_from_core <- function(values, pattern, elim = NULL) {
  if (is.null(pattern)) values else packed_block(values, pattern, elim)
}

is_packed <- function(S) inherits(S, "packed_block")

# Rows and columns x of a block, all of them among the first, which are never eliminated.
block_head <- function(S, x) {
  if (!is_packed(S)) return(S[x, x, drop = FALSE])
  n <- length(S$pattern$core)
  matrix(S$values[seq_len(n * n)], n)[x, x, drop = FALSE]
}

diagonal_of_block <- function(S) {
  if (!is_packed(S)) return(diagonal(S))
  at <- S$pattern
  n <- length(at$core)
  out <- numeric(n + length(at$elim))
  out[at$core + 1L] <- S$values[(seq_len(n) - 1L) * n + seq_len(n)]
  out[at$elim + 1L] <- S$values[n * n + length(at$eidx) + seq_along(at$elim)]
  out
}

# Elements (i, j) of the pattern of a packed block, positions from 1.
block_elements <- function(S, i, j) {
  at <- S$pattern
  n <- length(at$core)
  turn <- rep(.Machine$integer.max, n + length(at$elim)) # of a core column: last
  turn[at$elim + 1L] <- seq_along(at$elim)
  first <- pmin(turn[i], turn[j])
  other <- ifelse(turn[i] <= turn[j], j, i) - 1L
  key <- function(e, column) as.double(e) * length(turn) + column
  listed <- key(rep(seq_along(at$elim), diff(at$eptr)), at$eidx)
  place <- n * n + match(key(first, other), listed)
  own <- i == j & first <= length(at$elim)
  place[own] <- n * n + length(at$eidx) + first[own]
  core <- first > length(at$elim)
  place[core] <- (match(j[core] - 1L, at$core) - 1L) * n + match(i[core] - 1L, at$core)
  S$values[place]
}

# Blocks of n levels on the diagonal, r x r x n; the first starts in column `first`.
block_levels <- function(S, first, r, n) {
  if (!is_packed(S)) return(diagonal_blocks(S, first, r, n))
  start <- first - 1L + r * (seq_len(n) - 1L)
  i <- outer(rep(seq_len(r), r), start, `+`)
  j <- outer(rep(seq_len(r), each = r), start, `+`)
  array(block_elements(S, c(i), c(j)), c(r, r, n))
}

# Row and column, from 1, of each number of a packed block.
packed_pairs <- function(S) {
  at <- S$pattern
  core <- at$core + 1L
  elim <- at$elim + 1L
  list(row = c(rep(core, length(core)), at$eidx + 1L, elim),
    column = c(rep(core, each = length(core)), rep(elim, diff(at$eptr)), elim))
}

# S + between between'.
add_to_block <- function(S, between) {
  if (!is_packed(S)) return(S + tcrossprod(between[seq_len(nrow(S)), , drop = FALSE]))
  S$values <- add_products(S$values, packed_pairs(S), between)
  S
}

# The same of r x r blocks, one after the other.
add_to_leaves <- function(leaf, r, between) {
  each <- r * (seq_len(nrow(between) / max(r, 1L)) - 1L)
  at <- list(row = outer(rep(seq_len(r), r), each, `+`),
    column = outer(rep(seq_len(r), each = r), each, `+`))
  add_products(leaf, at, between)
}

add_products <- function(values, at, between) {
  for (k in seq_len(ncol(between))) values <- values + between[at$row, k] * between[at$column, k]
  values
}
