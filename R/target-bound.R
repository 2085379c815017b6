# The full-rank Gaussian by L-BFGS on the bound over fixed points: what the steps of gaussian_vi()
# arrive at, by a general optimiser. x: coordinates of fullrank_family().

# As gaussian_vi(): list(m, L, elbo, E, converged, reason, iterations, asked, trace).
bound_vi <- function(ev, m, L, n_points, max_iter = 500L, tol = 1e-6) {
  d <- length(m)
  family <- fullrank_family(d)
  E <- fixed_points(n_points, d)
  at <- lower.tri(L, diag = TRUE)
  root <- L
  diag(root) <- log(diag(L))
  asked <- 0
  bound <- function(X, gradient = TRUE) {
    asked <<- asked + ncol(X) * ncol(E)
    each <- lapply(seq_len(ncol(X)), function(j) bound_at(ev, family, X[, j], E))
    list(lp = vapply(each, `[[`, 0, "value"), gradient = vapply(each, `[[`, X[, 1L], "slope"))
  }
  run <- call_bb_lbfgs(bound, c(m, root[at]), max_iter = max_iter, tol = tol)$result
  n <- length(run$path_lp)
  if (!n) return(list(elbo = -Inf, converged = FALSE, reason = lbfgs_reasons[run$end + 1L]))
  x <- run$path[, n]
  list(m = family$mean(x), L = family$root(x), E = E,
    elbo = run$path_lp[n] + d / 2 * (1 + log(2 * pi)), converged = run$end == 1,
    reason = lbfgs_reasons[run$end + 1L], iterations = n, asked = asked,
    trace = data.frame(bound = run$path_lp))
}

bound_at <- function(ev, family, x, E) {
  got <- ev(family$place(x, E), TRUE)
  value <- mean(got$lp) + family$log_det(x)
  slope <- rowMeans(family$path(x, E, got$gradient)) + family$entropy_slope(x)
  ok <- is.finite(value) && all(is.finite(slope))
  list(value = if (ok) value else -Inf, slope = if (ok) slope else NaN * x)
}
