# Gaussians whose covariance is A A' + diag(D), A of few columns: between the factorised and the
# full-rank ones, with memory and algebra linear in the dimension.
#
#   z_i = m + A e_i + exp(omega) o f_i,   D = exp(2 omega),   e_i in R^r, f_i in R^d fixed points
#   F   = mean_i log p(z_i) + log det(A A' + D) / 2           (ELBO: F + d/2 (1 + log 2 pi))
#   F_m = mean g_i,   F_A = mean g_i e_i' + Sigma^-1 A,
#   F_omega = mean g_i o f_i o exp(omega) + diag(Sigma^-1) exp(2 omega)
#
# From the factorised optimum, at which the SDs s make s H s have a unit diagonal (H: minus the
# expected Hessian): its eigenvectors with eigenvalues below one are the directions in which the
# factorised Gaussian is too narrow. Products with H are two gradients, so they come from Lanczos.

# rank: NULL, as many directions as bring 0.01 of ELBO each, at most max_rank. All ranks are fitted
# on the same points, or a gain would be lost in the difference between sets of points.
# gains: data frame of the ranks tried and their ELBOs.
lowrank_vi <- function(ev, m, omega = -1, rank = NULL, max_rank = 20L, n_points = NULL,
                       tol = 1e-6, max_points = Inf, shift = 0L) {
  d <- length(m)
  most <- max(0L, min(d - 1L, rank %||% max_rank))
  E <- lowrank_points(n_points %||% lowrank_size(d, most), d, most, shift)
  flat <- factorised_vi(ev, m, omega, max_points = max_points, shift = shift,
    E = E[most + seq_len(d), , drop = FALSE])
  fit <- list(m = flat$m, omega = flat$omega, A = matrix(0, d, 0L), elbo = flat$elbo,
    converged = flat$converged, outcome = flat$outcome, asked = flat$asked)
  if (!flat$converged || most < 1L) return(lowrank_result(fit, list(fit)))
  ways <- narrow_directions(ev, flat, most, shift)
  fit$asked <- fit$asked + ways$asked
  grow <- function(fit, r) {
    used <- c(seq_len(r), most + seq_len(d))
    lowrank_fit(ev, fit, ways, r, E[used, , drop = FALSE], tol, max_points)
  }
  if (!is.null(rank)) return(lowrank_result(grow(fit, most), list(fit)))
  lowrank_grown(fit, grow, sum(ways$gain > 0.005), most)
}

# At first all directions that the curvature promises to be worth it, then one by one.
lowrank_grown <- function(fit, grow, first, max_rank) {
  tried <- list(fit)
  r <- max(1L, min(first, max_rank))
  repeat {
    next_fit <- grow(fit, r)
    tried <- c(tried, list(next_fit))
    enough <- next_fit$elbo - fit$elbo < 0.01 * (r - ncol(fit$A))
    asked <- next_fit$asked
    if (!enough) fit <- next_fit
    fit$asked <- asked
    if (enough || r >= max_rank || !next_fit$converged) break
    r <- r + 1L
  }
  lowrank_result(fit, tried)
}

lowrank_result <- function(fit, tried) {
  D <- exp(2 * fit$omega)
  ranks <- c(tried, list(fit))
  gains <- data.frame(rank = vapply(ranks, function(f) ncol(f$A), 0L),
    elbo = vapply(ranks, function(f) f$elbo, 0))
  list(m = fit$m, A = fit$A, D = D, sd = sqrt(rowSums(fit$A^2) + D), rank = ncol(fit$A),
    elbo = fit$elbo, converged = fit$converged, outcome = fit$outcome, asked = fit$asked,
    gains = gains[!duplicated(gains$rank), ])
}

lowrank_size <- function(d, r) if (d <= FACTORISED_DENSE) 2L * max(64L, d + r) else 128L

# (r + d) x n points: e over f. Where n does not match all moments, those of e with f are still made
# zero, or A would use what correlation there is by chance.
lowrank_points <- function(n, d, r, shift) {
  if (r == 0L || n >= 2L * (d + r)) return(factorised_points(n, d + r, shift))
  e <- factorised_points(n, r, shift + 1000L)
  f <- factorised_points(n, d, shift)
  f <- f - tcrossprod(f, e) %*% e / n
  rbind(e, f / sqrt(rowMeans(f^2)))
}

# ---- one rank ------------------------------------------------------------------------------

# By L-BFGS in units of the factorised SDs, with the curvature of `ways` taken out, from `fit` and
# as many more columns as there are to come.
lowrank_fit <- function(ev, fit, ways, r, E, tol, max_points) {
  d <- length(fit$m)
  n <- ncol(E)
  new <- setdiff(seq_len(r), seq_len(ncol(fit$A)))
  wide <- sqrt(pmin(pmax(1 / ways$value[new] - 1, 0.1), 1e6))
  fit$A <- cbind(fit$A, ways$s * ways$vector[, new, drop = FALSE] * rep(wide, each = d))
  objective <- function(X, gradient) lowrank_objective(ev, fit, ways, E, drop(X))
  run <- call_bb_lbfgs(objective, numeric(d * (r + 2L)), 500L, tol, (max_points - fit$asked) / n)
  run <- run$result
  at <- lowrank_place(fit, ways, run$path[, ncol(run$path)])
  at$elbo <- run$path_lp[length(run$path_lp)] + d / 2 * (1 + log(2 * pi))
  at$asked <- fit$asked + run$asked * n
  at$converged <- run$end == 1
  at$outcome <- if (at$converged) "converged" else "stalled"
  at
}

# x: moves of m and of the columns of A in the coordinates of `ways`, then those of omega.
lowrank_place <- function(fit, ways, x) {
  d <- length(fit$m)
  r <- ncol(fit$A)
  move <- from_unit(ways, matrix(x[seq_len(d * (r + 1L))], d))
  list(m = fit$m + move[, 1L], A = fit$A + move[, -1L, drop = FALSE],
    omega = fit$omega + x[d * (r + 1L) + seq_len(d)])
}

lowrank_objective <- function(ev, fit, ways, E, x) {
  q <- lowrank_place(fit, ways, x)
  r <- ncol(q$A)
  e <- E[seq_len(r), , drop = FALSE]
  f <- E[-seq_len(r), , drop = FALSE] * exp(q$omega)
  out <- ev(q$m + q$A %*% e + f, TRUE)
  if (!all(is.finite(out$lp), is.finite(out$gradient))) {
    return(list(lp = -Inf, gradient = matrix(NaN, length(x), 1L)))
  }
  g <- out$gradient / ncol(E)
  inverse <- lowrank_inverse(q)
  slope <- cbind(rowSums(g), tcrossprod(g, e) + inverse$A)
  list(lp = mean(out$lp) + inverse$log_det / 2,
    gradient = cbind(c(to_unit(ways, slope), rowSums(g * f) + inverse$diag * exp(2 * q$omega))))
}

# Of Sigma = A A' + D: log det, Sigma^-1 A and the diagonal of Sigma^-1, by Woodbury.
lowrank_inverse <- function(q) {
  P <- exp(-2 * q$omega)
  PA <- q$A * P
  root <- chol(diag(1, ncol(q$A)) + crossprod(q$A, PA))
  A <- t(backsolve(root, backsolve(root, t(PA), transpose = TRUE)))
  list(A = A, diag = P - rowSums(A * PA),
    log_det = 2 * sum(q$omega) + 2 * sum(log(diag(root))))
}

# ---- curvature in the scale of the factorised Gaussian --------------------------------------

# Eigenvalues (ascending) and vectors of s H s; gain: what of ELBO each direction promises when A
# takes it up and D stays.
narrow_directions <- function(ev, flat, max_rank, shift) {
  d <- length(flat$m)
  few <- list(m = flat$m, omega = flat$omega, E = factorised_points(32L, d, shift))
  asked <- 0
  product <- function(V) {
    run <- ask_response(ev, few, rbind(V, matrix(0, d, ncol(V))), FALSE, Inf)
    asked <<- asked + run$result$asked
    run$result$out[seq_len(d), , drop = FALSE]
  }
  e <- small_eigen(product, d, max(24L, 2L * max_rank))
  value <- pmax(e$values, 1e-8)
  list(s = flat$sd, value = value, vector = e$vectors, asked = asked,
    gain = ifelse(value < 1, (value - 1 - log(value)) / 2, 0))
}

# The eigenvalues of a symmetric W, ascending, from products with it: all of them when there are at
# most k, else those of its projection on a Krylov space [Lanczos, orthogonalised twice].
small_eigen <- function(product, d, k) {
  if (d <= k) {
    Q <- diag(1, d)
    W <- product(Q)
  } else {
    Q <- matrix(0, d, k)
    W <- Q
    v <- with_fixed_seed(stats::rnorm(d))
    for (j in seq_len(k)) {
      for (twice in 1:2) v <- v - Q %*% crossprod(Q, v)
      Q[, j] <- v / sqrt(sum(v^2))
      v <- W[, j] <- product(Q[, j, drop = FALSE])
    }
  }
  projected <- crossprod(Q, W)
  e <- eigen((projected + t(projected)) / 2, symmetric = TRUE)
  up <- rev(seq_along(e$values))
  list(values = e$values[up], vectors = Q %*% e$vectors[, up, drop = FALSE])
}

# x = s (I + V (value^-1/2 - 1) V') u, in which the curvature is one where it is known; and the
# slope in u of a slope in x.
from_unit <- function(ways, U) ways$s * unit_scale(ways, U)
to_unit <- function(ways, X) unit_scale(ways, ways$s * X)
unit_scale <- function(ways, U) {
  scale <- 1 / sqrt(pmin(pmax(ways$value, 1e-6), 1e6)) - 1
  U + ways$vector %*% (scale * crossprod(ways$vector, U))
}
