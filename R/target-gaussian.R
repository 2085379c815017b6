# The Gaussian nearest to a target, of full rank, and what it lacks to the next order.

# ev: an evaluator; q = N(m, L L') to start from. The fit over n_points fixed points, then again,
# from there, over n_final: where the target is not Gaussian the first is right to a few hundredths
# of a standard deviation, which is a start. E, lp, gradient: at the points m + L E of the result.
# reason: "" or, in a word, why it did not converge; the result is the best there was in either
# case.
gaussian_vi <- function(ev, m, L, n_points = gaussian_points(length(m)), max_iter = 60L,
                        tol = 1e-2, max_points = Inf, shift = 0L, n_final = 4L * n_points,
                        final_iter = max_iter) {
  fit <- gaussian_stage(ev, m, L, n_points, max_iter, tol, max_points, shift)
  left <- max_points - fit$asked
  enough <- n_final <= n_points || left < n_final || is_normal_fit(fit) ||
    fit$reason %in% c("diverged", "no density around the start")
  if (enough) return(fit)
  final <- gaussian_stage(ev, fit$m, fit$L, n_final, final_iter, tol, left, shift)
  if (!is.finite(final$elbo)) final <- fit
  final$converged <- final$converged || final_iter < max_iter && fit$converged
  final$iterations <- fit$iterations + final$iterations
  final$asked <- fit$asked + final$asked
  final$trace <- rbind(fit$trace, final$trace)
  final
}

gaussian_stage <- function(ev, m, L, n, max_iter, tol, max_points, shift) {
  E <- fixed_points(n, length(m), shift)
  run <- call_bb_gva(ev, m, L, E, max_iter, tol, max_points)$result
  d <- length(m)
  list(
    m = run$m, L = run$L, elbo = run$bound + d / 2 * (1 + log(2 * pi)), E = E, lp = run$lp,
    gradient = run$gradient, converged = run$end == 1, criterion = run$criterion,
    reason = gva_reasons[run$end + 1L], iterations = ncol(run$trace), asked = run$asked,
    trace = trace_table(run$trace)
  )
}

# The whitened score of a Gaussian is -e at every point: no more points say more.
is_normal_fit <- function(fit) {
  fit$converged && max(abs(crossprod(fit$L, fit$gradient) + fit$E)) < 1e-6
}

gva_reasons <- c(
  "too many points", "", "no density around the start", "no step improves it", "diverged",
  "too many iterations"
)

trace_table <- function(trace) {
  data.frame(bound = trace[1L, ], criterion = trace[2L, ], rho = trace[3L, ])
}

# How many points: at least as many pairs as twice the dimensions.
gaussian_points <- function(d) 2L * max(32L, 2L * d)

# The covariance of the target to the next order, from new points: with T_abc the expected third
# derivative in the whitened coordinates of the fit, L (I - C)^-1 L', C_ij = T_iab T_jab / 2 [the
# Schur complement of the bound's Hessian in the mean, fourth derivatives dropped]. C is the
# product of T from two independent halves of the points, so that the noise of T adds nothing to it
# on average.
gaussian_response <- function(ev, fit, n_points = 512L) {
  d <- length(fit$m)
  halves <- lapply(1:2, function(k) third_derivative(ev, fit, half_points(n_points, d), k))
  list(cov = lifted_covariance(fit$L, tcrossprod(halves[[1L]], halves[[2L]]) / 2),
    asked = 2 * half_points(n_points, d))
}

# L (I - C)^-1 L', eigenvalues of C no more than a half.
lifted_covariance <- function(L, C) {
  e <- eigen((C + t(C)) / 2, symmetric = TRUE)
  lift <- pmin(pmax(e$values, 0), 0.5)
  tcrossprod(L %*% (e$vectors / rep(sqrt(1 - lift), each = nrow(L))))
}

half_points <- function(n_points, d) 4L * ceiling(max(n_points / 2, 4 * d) / 4)

# T as a d x d^2 matrix, symmetric in its three indices, from the even part of the scores: odd terms
# cancel within a pair, and I + e e' - ... of a quadratic density within s + e.
third_derivative <- function(ev, fit, n, shift) {
  d <- length(fit$m)
  E <- fixed_points(n, d, shift)
  S <- crossprod(fit$L, ev(fit$m + fit$L %*% E, TRUE)$gradient)
  pairs <- seq_len(n / 2)
  even <- (S[, pairs, drop = FALSE] + S[, -pairs, drop = FALSE]) / 2
  even <- even - rowMeans(even)
  E <- E[, pairs, drop = FALSE]
  raw <- vapply(seq_len(d), function(k) tcrossprod(E * rep(even[k, ], each = d), E) / length(pairs),
    matrix(0, d, d))
  T3 <- array(raw, c(d, d, d))
  matrix((T3 + aperm(T3, c(3L, 1L, 2L)) + aperm(T3, c(2L, 3L, 1L))) / 3, d)
}
