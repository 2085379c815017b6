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
      out <- call_test_arrow(a$arrow, x)
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
  out <- call_test_arrow(bad, rep(1, 8))
  expect_equal(out$status, c(3, 1))
  bad <- a$arrow
  bad$global[4] <- -1
  out <- call_test_arrow(bad, rep(1, 8))
  expect_equal(out$status, c(4, 1))
})

# ---- covariances -------------------------------------------------------------------------------

# arrow() of the inverse of a random arrow, and the same matrix dense, from its definition.
random_covariance <- function(n_leaf, r, n_global, sparse, seed) {
  a <- random_arrow(n_leaf, r, n_global, sparse, seed)
  out <- call_test_arrow(a$arrow, numeric(nrow(a$dense)))
  gl <- seq_len(n_global)
  Q <- matrix(0, n_leaf * r, n_global)
  D <- matrix(0, n_leaf * r, n_leaf * r)
  done <- 0
  for (i in seq_len(n_leaf)) {
    at <- (i - 1) * r + seq_len(r)
    k <- length(a$cols[[i]])
    Q[at, a$cols[[i]]] <- t(matrix(out$q[done + seq_len(k * r)], k))
    D[at, at] <- out$d_inv[(i - 1) * r^2 + seq_len(r^2)]
    done <- done + k * r
  }
  G <- matrix(out$S_global, n_global)
  dense <- rbind(cbind(G, G %*% t(Q)), cbind(Q %*% G, Q %*% G %*% t(Q) + D))
  list(S = arrow(a$arrow, G, out$d_inv, out$q), dense = dense, P = a$dense, Q = Q,
    D = D, G = G)
}

shapes <- list(c(0, 1, 3), c(1, 1, 0), c(6, 1, 2), c(4, 3, 5), c(5, 2, 40), c(0, 1, 30))

# Rows with few coefficients, with many, of no leaf and of none but the leaf.
random_rows <- function(n, S) {
  global <- matrix(stats::rnorm(n * S$n_global), S$n_global, n)
  global[, seq(1, n, 3)] <- 0
  for (k in seq_len(min(S$n_global, 3))) global[cbind(sample(S$n_global, n, TRUE), seq_len(n))] <- k
  leaf <- if (S$n_leaf) sample(S$n_leaf, n, TRUE) - 1L else rep(-1L, n)
  leaf[seq(2, n, 5)] <- -1L
  list(global = global, leaf = leaf, z = matrix(stats::rnorm(n * S$r), S$r))
}

dense_rows <- function(rows, S) {
  out <- rbind(rows$global, matrix(0, S$n_leaf * S$r, ncol(rows$global)))
  for (i in which(rows$leaf >= 0)) {
    out[S$n_global + rows$leaf[i] * S$r + seq_len(S$r), i] <- rows$z[, i]
  }
  out
}

test_that("a covariance in arrow form is what its definition says, in all that is asked of it", {
  for (size in shapes) for (sparse in c(FALSE, TRUE)) {
    x <- random_covariance(size[1], size[2], size[3], sparse, sum(size))
    dim <- nrow(x$dense)
    close <- function(got, want) {
      expect_identical(dim(as.matrix(got)), dim(as.matrix(want)))
      expect_lte(max(abs(got - want), 0), 1e-12 * max(abs(want), 1e-300))
    }
    close(arrow_dense(x$S), x$dense)
    X <- matrix(sin(seq_len(3 * dim)), dim)
    close(arrow_product(x$S, X), x$dense %*% X)
    C <- dense_rows(rows <- random_rows(150, x$S), x$S)
    close(arrow_quad(x$S, rows), colSums(C * (x$dense %*% C)))
    expect_identical(arrow_quad(x$S, NULL), numeric())
    gl <- seq_len(size[3])
    if (size[3]) {
      expect_equal(arrow_precision(x$S), x$P[gl, gl, drop = FALSE], tolerance = 1e-10)
    }
    leaves <- seq_len(size[1] * size[2])
    blocks <- x$dense[size[3] + leaves, size[3] + leaves, drop = FALSE]
    leaf <- unlist(lapply(seq_len(size[1]), function(i) {
      at <- (i - 1) * size[2] + seq_len(size[2])
      blocks[at, at]
    }))
    close(arrow_diagonal(x$G, as.double(leaf), size[2]), diag(x$dense))
  }
})

test_that("draws are the covariance's root times normals", {
  for (size in shapes) {
    x <- random_covariance(size[1], size[2], size[3], TRUE, sum(size))
    set.seed(5)
    draws <- arrow_draws(x$S, 2)
    expect_identical(dim(draws), c(nrow(x$dense), 2L))
    set.seed(5)
    z <- matrix(c(call_test_normals(nrow(x$dense)),
      call_test_normals(nrow(x$dense))), ncol = 2)
    gl <- seq_len(size[3])
    root <- function(S) if (nrow(S)) t(chol(S)) else S
    global <- root(x$G) %*% z[gl, , drop = FALSE]
    leaf <- z[-gl, , drop = FALSE]
    if (!length(gl)) leaf <- z
    expect_equal(draws, rbind(global, x$Q %*% global + root(x$D) %*% leaf), tolerance = 1e-12)
  }
})

test_that("a covariance that is none is refused", {
  S <- random_covariance(3, 2, 2, FALSE, 1)$S
  bad <- S
  bad$d_inv[5] <- -1
  expect_error(arrow_precision(bad), class = "meanfield_error_internal")
  expect_error(arrow_draws(bad, 1), class = "meanfield_error_internal")
  bad <- S
  bad$q <- bad$q[-1]
  expect_error(arrow_dense(bad), class = "meanfield_error_internal")
  expect_error(arrow_quad(S, list(global = matrix(0, 2, 1), leaf = 3L,
    z = matrix(0, 2, 1))), class = "meanfield_error_internal")
})
