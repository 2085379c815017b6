# Covariances of theta: what they are made of, and what is asked of them. In arrow form the algebra
# is in src/arrow/arrow_cov.h; one without a matrix (src/engine/lmm_iter_cov.h) answers by solves.

# S_gg (global, R/base-block.R), D^-1 of every leaf (d_inv) and Q' (q) of
#     S_lg = Q S_gg,   S_ll = blockdiag(D^-1) + Q S_gg Q'.
# shape: list(n_global, n_leaf, r, ptr, idx), as the core has it; more in it does no harm.
arrow <- function(shape, global, d_inv, q) {
  structure(
    c(shape[c("n_global", "n_leaf", "r", "ptr", "idx")],
      list(global = global, d_inv = d_inv, q = q)),
    class = "arrow_covariance" # grid has an arrow
  )
}

# The covariance at statistics tau of the precisions; core: iter_core().
iterated <- function(core, tau) structure(c(core, list(tau = tau)), class = "iterated_covariance")

is_iterated_covariance <- function(S) inherits(S, "iterated_covariance")

arrow_dim <- function(S) S$n_global + S$n_leaf * S$r

# S X for a matrix X; S itself.
arrow_product <- function(S, X) {
  X <- as_double_matrix(as.matrix(X))
  if (is_iterated_covariance(S)) call_iter_product(S, S$tau, X) else call_arrow_product(S, X)
}

arrow_dense <- function(S) arrow_product(S, diag(1, arrow_dim(S)))

# c'S c of linear combinations, a column each: list(global (n_global x n, or column by column
# list(ptr, idx, val), from 0), leaf (from 0; -1: none), z (r x n, on the leaf's effects)).
arrow_quad <- function(S, rows) {
  if (is_iterated_covariance(S)) call_iter_quad(S, S$tau, rows) else call_arrow_quad(S, rows)
}

# n draws with mean zero: dim x n.
arrow_draws <- function(S, n) {
  if (is_iterated_covariance(S)) call_iter_draws(S, S$tau, n) else call_arrow_draws(S, n)
}

# The global block of S^-1, which is S_gg^-1 + Q'D Q.
arrow_precision <- function(S) solve_spd(S$global) + call_arrow_leaves(S)

# The diagonal of a matrix given by its global block and the r x r blocks of its leaves.
arrow_diagonal <- function(global, leaf, r) c(diagonal_of_block(global), leaf_diagonal(leaf, r))

leaf_diagonal <- function(leaf, r) {
  if (r == 1L) return(as.double(leaf))
  each <- matrix(leaf, r * r) # a leaf per column
  c(each[seq.int(1L, r * r, by = r + 1L), ])
}
