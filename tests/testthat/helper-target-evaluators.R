# Evaluators as engines see them, function(Z, gradient), without a target behind them.

# N(mu, S), normalised.
gaussian_evaluator <- function(mu, S) {
  s <- sqrt(diag(S))
  P <- solve(S / tcrossprod(s)) / tcrossprod(s)
  log_det <- as.numeric(determinant(S / tcrossprod(s))$modulus) + 2 * sum(log(s))
  top <- -length(mu) / 2 * log(2 * pi) - log_det / 2
  function(Z, gradient = TRUE) {
    R <- Z - mu
    list(lp = top - colSums(R * (P %*% R)) / 2, gradient = -P %*% R)
  }
}

# A covariance with correlations, on the scales `sd`.
rough_covariance <- function(d, sd = rep(1, d)) {
  B <- outer(seq_len(d), seq_len(d), function(i, j) sin(i * j + i))
  (tcrossprod(B) / d + diag(0.1, d)) * tcrossprod(sd)
}

# From functions of one point.
pointwise_evaluator <- function(lp, gr) {
  function(Z, gradient = TRUE) {
    value <- apply(Z, 2L, lp)
    list(
      lp = ifelse(is.nan(value), -Inf, value),
      gradient = if (gradient) matrix(apply(Z, 2L, gr), nrow(Z))
    )
  }
}

# An evaluator by central differences of lp(Z).
difference_evaluator <- function(lp) {
  function(Z, gradient = TRUE) {
    h <- 1e-5 * pmax(abs(Z), 1)
    G <- Z
    for (j in seq_len(nrow(Z))) {
      up <- down <- Z
      up[j, ] <- Z[j, ] + h[j, ]
      down[j, ] <- Z[j, ] - h[j, ]
      G[j, ] <- (lp(up) - lp(down)) / (2 * h[j, ])
    }
    list(lp = lp(Z), gradient = G)
  }
}

banana_evaluator <- function(Z, gradient = TRUE) {
  off <- Z[2L, ] - Z[1L, ]^2
  list(
    lp = stats::dnorm(Z[1L, ], log = TRUE) + stats::dnorm(off, 0, 0.5, log = TRUE),
    gradient = rbind(-Z[1L, ] + 8 * Z[1L, ] * off, -4 * off)
  )
}

# A logistic regression with normal priors of these standard deviations.
logistic_evaluator <- function(X, y, sd) {
  function(Z, gradient = TRUE) {
    eta <- X %*% Z
    list(
      lp = colSums(y * eta - log1p(exp(eta))) - colSums((Z / sd)^2) / 2,
      gradient = crossprod(X, y - stats::plogis(eta)) - Z / sd^2
    )
  }
}
