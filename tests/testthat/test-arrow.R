# Every arrow kernel against dense R over a grid of shapes.

random_arrow <- function(n_leaf, r, n_global, sparse, seed) {
  set.seed(seed)
  dim <- n_global + n_leaf * r
  cols <- lapply(seq_len(n_leaf), function(i) {
    if (!sparse) return(seq_len(n_global))
    sort(sample(n_global, sample(0:n_global, 1)))
  })
  B <- matrix(0, dim, dim)
  leaf_at <- function(i) n_global + (i - 1) * r + seq_len(r)
  for (i in seq_len(n_leaf)) {
    B[leaf_at(i), leaf_at(i)] <- crossprod(matrix(rnorm(r * r), r)) + diag(r)
    if (length(cols[[i]])) {
      B[cols[[i]], leaf_at(i)] <- rnorm(length(cols[[i]]) * r)
      B[leaf_at(i), cols[[i]]] <- t(B[cols[[i]], leaf_at(i)])
    }
  }
  gl <- seq_len(n_global)
  # strong enough a global block to make the whole positive definite
  B[gl, gl] <- crossprod(matrix(rnorm(n_global^2), n_global)) + diag(1, n_global)
  for (i in seq_len(n_leaf)) {
    if (length(gl)) {
      C <- B[gl, leaf_at(i), drop = FALSE]
      B[gl, gl] <- B[gl, gl] + C %*% solve(B[leaf_at(i), leaf_at(i)], t(C))
    }
  }
  list(
    dense = B,
    arrow = list(n_global = as.integer(n_global), n_leaf = as.integer(n_leaf), r = as.integer(r),
      ptr = as.integer(c(0, cumsum(lengths(cols)))), idx = as.integer(unlist(cols) - 1L),
      global = as.double(B[gl, gl]),
      leaf = as.double(unlist(lapply(seq_len(n_leaf), function(i) B[leaf_at(i), leaf_at(i)]))),
      cross = as.double(unlist(lapply(seq_len(n_leaf), function(i) B[cols[[i]], leaf_at(i)]))),
      full = !sparse && n_leaf > 0),
    leaf_at = leaf_at, cols = cols
  )
}

test_that("factor, solve, draw, product, log-determinant and inverse equal dense R's", {
  for (n_leaf in c(0, 1, 2, 6)) for (r in 1:3) for (n_global in c(0, 1, 2, 5)) {
    for (sparse in c(FALSE, TRUE)) {
      if (n_leaf + n_global == 0) next
      a <- random_arrow(n_leaf, r, n_global, sparse, 100 * n_leaf + 10 * r + n_global)
      dim <- nrow(a$dense)
      x <- sin(seq_len(dim))
      out <- meanfield:::call_test_arrow(a$arrow, x)
      P <- a$dense
      S <- solve(P)
      expect_equal(out$status[1], 0)
      expect_equal(out$logdet, as.numeric(determinant(P)$modulus), tolerance = 1e-11)
      expect_equal(out$solve, drop(S %*% x), tolerance = 1e-10)
      expect_equal(out$mul, drop(P %*% x), tolerance = tol_algebra)
      # F^-T x is a linear map whose square is S: check x'F^-1 F^-T x = ... by applying P
      expect_equal(sum(out$backsolve * drop(P %*% out$backsolve)), sum(x^2), tolerance = 1e-10)
      gl <- seq_len(n_global)
      expect_equal(out$S_global, S[gl, gl, drop = FALSE], tolerance = 1e-10, ignore_attr = TRUE)
      for (i in seq_len(n_leaf)) {
        block <- matrix(out$s_leaf, r)[, (i - 1) * r + seq_len(r), drop = FALSE]
        expect_equal(block, S[a$leaf_at(i), a$leaf_at(i), drop = FALSE], tolerance = 1e-10)
      }
    }
  }
})

test_that("a matrix that is not positive definite is named by block", {
  a <- random_arrow(3, 2, 2, FALSE, 1)
  bad <- a$arrow
  bad$leaf[5] <- -1
  out <- meanfield:::call_test_arrow(bad, rep(1, 8))
  expect_equal(out$status, c(3, 1))
  bad <- a$arrow
  bad$global[4] <- -1
  out <- meanfield:::call_test_arrow(bad, rep(1, 8))
  expect_equal(out$status, c(4, 1))
})
