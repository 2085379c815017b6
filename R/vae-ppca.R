# Probabilistic principal component analysis: the optimum of a linear decoder.
# Source: Tipping and Bishop (1999), Journal of the Royal Statistical Society B 61, 611-622.

# X: p x n with row means of zero. list(W (p x q), s2, values (all eigenvalues)); of each column of
# W the largest element is positive.
ppca <- function(X, q) {
  e <- eigen(tcrossprod(X) / ncol(X), symmetric = TRUE)
  values <- pmax(e$values, 0)
  s2 <- mean(values[-seq_len(q)])
  if (!(s2 > 1e-12 * values[1L])) {
    mf_abort("rank", "the columns of `x` have ", q, " or fewer dimensions between them, so that ",
      "no noise is left: use fewer `latent`, or leave out columns that follow from others",
      arg = "latent")
  }
  W <- e$vectors[, seq_len(q), drop = FALSE] *
    rep(sqrt(pmax(values[seq_len(q)] - s2, 0)), each = nrow(X))
  largest <- W[cbind(apply(abs(W), 2L, which.max), seq_len(q))]
  list(W = W * rep(ifelse(largest < 0, -1, 1), each = nrow(X)), s2 = s2, values = values)
}

# The same as parameters of the model: encoder (linear), log SDs, decoder, log sigma. W'W is
# diagonal, and so is the posterior covariance s2 (W'W + s2 I)^-1.
ppca_parameters <- function(pca, linear_encoder) {
  M <- colSums(pca$W^2) + pca$s2
  c(if (linear_encoder) c(t(pca$W) / M, numeric(length(M)), log(pca$s2 / M) / 2),
    pca$W, numeric(nrow(pca$W)), log(pca$s2) / 2)
}

# list(m, log_s), q x columns of X: the exact posterior of each.
ppca_latent <- function(pca, X) {
  M <- colSums(pca$W^2) + pca$s2
  m <- crossprod(pca$W, X) / M
  list(m = m, log_s = matrix(log(pca$s2 / M) / 2, length(M), ncol(X)))
}

# log N(x; b, W W' + s2 I) of each column, at any W.
linear_log_lik <- function(X, W, b, s2) {
  p <- nrow(X)
  r <- X - b
  M <- crossprod(W) + diag(s2, ncol(W))
  root <- chol(M)
  fitted <- backsolve(root, crossprod(W, r), transpose = TRUE)
  log_det <- (p - ncol(W)) * log(s2) + 2 * sum(log(diag(root)))
  -(p * log(2 * pi) + log_det + (colSums(r^2) - colSums(fitted^2)) / s2) / 2
}
