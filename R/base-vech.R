# Symmetric matrices as vectors: lower triangles column by column, inverses and roots, unconstrained
# coordinates of precision matrices.

# The n blocks of size r on the diagonal of S, from row `first` on.
diagonal_blocks <- function(S, first, r, n) {
  at <- first - 1L + (rep(seq_len(n), each = r * r) - 1L) * r
  array(S[cbind(at + seq_len(r), at + rep(seq_len(r), each = r))], c(r, r, n))
}

# Weighted median of the absolute values of each column.
typical_size <- function(values, weights) {
  apply(abs(values), 2L, function(x) {
    known <- is.finite(x) & weights > 0
    if (sum(known) > 1L) weighted_quantile(x[known], weights[known] / sum(weights[known]),
      0.5) else 1
  })
}

# Weighted mean of the inverses of precision matrices, a row of vech each.
mean_inverse <- function(t, w) {
  if (ncol(t) == 1L) return(matrix(sum(w / t[, 1L])))
  r <- vech_order(ncol(t))
  matrix(apply(t, 1L, function(v) solve_spd(unvech(v))) %*% w, r, r)
}

# Beyond this SD of a log precision (a factor of 3,000 within two SDs) the response is that
# of a flat optimum, and moments of the SD made from it explode.
MAX_LOG_SD <- 4

inverse_link <- function(x, link) {
  x[link == "sinh"] <- sinh(x[link == "sinh"])
  x[link == "exp"] <- exp(x[link == "exp"])
  x[link == "tanh"] <- tanh(x[link == "tanh"])
  x
}

# Of the user's SDs and correlations, when the scale-free coordinates of the working precision are
# normal: loc and s of log SDs and atanh correlations, natural = mean and SD of SDs and
# correlations. A map that mixes coefficients leaves neither normal: quasi-random points sum them.
sd_correlation_moments <- function(x, V, A) {
  out <- delta_sd_correlations(x, V, A)
  # far beyond MAX_LOG_SD nothing is known, and nothing is said
  lost <- which(!is.finite(out$loc) | !(out$s < 10 * MAX_LOG_SD))
  out$loc[lost] <- out$s[lost] <- out$natural$mean[lost] <- out$natural$sd[lost] <- NA
  out
}

delta_sd_correlations <- function(x, V, A) {
  r <- nrow(A)
  sd <- seq_len(r)
  if (max(abs(A[row(A) != col(A)]), 0) <= 1e-14 * max(abs(A))) {
    A <- diag(diag(A), r)
    f <- function(x) drop(log_sd_atanh_rows(matrix(x, 1L), A))
    D <- vapply(seq_along(x), function(j) {
      e <- replace(numeric(length(x)), j, 1e-5)
      (f(x + e) - f(x - e)) / 2e-5
    }, x)
    loc <- f(x)
    s <- sqrt(diag(D %*% V %*% t(D)))
    natural <- Map(c, lognormal(loc[sd], s[sd]), tanh_normal(loc[-sd], s[-sd]))
    return(list(loc = loc, s = s, natural = natural))
  }
  z <- stats::qnorm(quasi_random(4000L, length(x)))
  L <- lower_chol(V) # an eigenbasis turns with rounding where eigenvalues are equal
  eta <- log_sd_atanh_rows(z %*% (if (is.null(L)) half(V) else t(L)) + rep(x, each = nrow(z)), A)
  moments <- function(y) list(mean = colMeans(y), sd = apply(y, 2L, stats::sd))
  own <- moments(eta)
  list(loc = own$mean, s = own$sd,
    natural = moments(cbind(exp(eta[, sd, drop = FALSE]), tanh(eta[, -sd, drop = FALSE]))))
}

# Mean and SD of tanh of normals.
tanh_normal <- function(loc, s) {
  rule <- normal_rule(31L)
  y <- tanh(outer(s, rule$x) + loc)
  mean <- drop(y %*% rule$w)
  list(mean = mean, sd = sqrt(pmax(drop((y - mean)^2 %*% rule$w), 0)))
}

lognormal <- function(loc, s) {
  mean <- exp(loc + s^2 / 2)
  list(mean = mean, sd = mean * sqrt(expm1(s^2)))
}

unvech <- function(t) {
  if (length(t) == 1L) return(matrix(t))
  r <- vech_order(length(t))
  X <- matrix(0, r, r)
  X[lower.tri(X, diag = TRUE)] <- t
  X + t(X) - diag(diag(X), r)
}

vech_order <- function(n) (sqrt(8 * n + 1) - 1) / 2

vech_at <- function(r, a, b) (b - 1) * r - b * (b - 1) / 2 + a

# Which elements of vech are on the diagonal.
on_diagonal <- function(r) {
  a <- seq_len(r)
  as.integer(vech_at(r, a, a))
}

lower_pairs <- function(r) {
  if (r == 1) return(list(row = 1L, col = 1L))
  list(row = unlist(lapply(seq_len(r), function(j) seq.int(j, r))),
    col = rep(seq_len(r), rev(seq_len(r))))
}

# Inverse and log-determinant, whatever the units of rows and columns.
solve_spd <- function(A) {
  d <- sqrt(diag(A))
  chol2inv(spd_root(A / tcrossprod(d))) / tcrossprod(d)
}

# Extreme data or priors leave matrices that are positive definite in theory only.
spd_root <- function(A) {
  chol_or_abort(A, "not_pd",
    "a precision matrix is not positive definite to working precision: rescale the ",
    "data or use less extreme priors")
}

# The lower Cholesky factor; NULL where there is none.
lower_chol <- function(S) tryCatch(t(chol(S)), error = function(e) NULL)

# The Cholesky factor, or a condition: its kind, message and argument.
chol_or_abort <- function(A, kind, ..., arg = NULL) {
  withCallingHandlers(chol(A), error = function(e) mf_abort(kind, ..., arg = arg))
}

is_positive_definite <- function(A) !inherits(try(chol(A), silent = TRUE), "try-error")

is_covariance <- function(A) {
  is.numeric(A) && nrow(A) == ncol(A) && all(is.finite(A)) && isSymmetric(unname(A), tol = 1e-8) &&
    is_positive_definite(A)
}

log_det_spd <- function(A) {
  if (!nrow(A)) return(0)
  if (nrow(A) == 1L && A > 0) return(log(A[1L]))
  d <- sqrt(diagonal(A))
  if (isTRUE(sum(A != 0) == nrow(A))) return(2 * sum(log(d))) # diagonal
  2 * sum(log(d)) + 2 * sum(log(diagonal(spd_root(A / tcrossprod(d)))))
}

# H with H'H = S for a covariance matrix that rounding may have left indefinite.
half <- function(S) {
  if (!nrow(S)) return(S)
  d <- sqrt(pmax(diag(S), 0))
  d[d == 0] <- 1
  e <- eigen((S + t(S)) / 2 / tcrossprod(d), symmetric = TRUE)
  sqrt(pmax(e$values, 0)) * t(e$vectors * d)
}

label <- function(S, names) {
  dimnames(S) <- list(names, names)
  S
}

# diag(S) of a square matrix, without its checks.
diagonal <- function(S) S[seq.int(1L, by = nrow(S) + 1L, length.out = nrow(S))]

# ---- unconstrained coordinates --------------------------------------------------------------

# vech of the Cholesky factor with logged diagonal; rows relative to it below.
log_cholesky <- function(t) {
  L <- t(spd_root(unvech(t)))
  d <- diag(L)
  L <- L / rep(d, each = nrow(L))
  diag(L) <- log(d)
  L[lower.tri(L, diag = TRUE)]
}

from_log_cholesky <- function(l) {
  L <- matrix(0, vech_order(length(l)), vech_order(length(l)))
  L[lower.tri(L, diag = TRUE)] <- l
  d <- exp(diag(L))
  diag(L) <- 1
  X <- tcrossprod(L * rep(d, each = nrow(L)))
  X[lower.tri(X, diag = TRUE)]
}

# Scale-free coordinates (src/base/scale_free.h), in which the integrator works: diagonal -2 log
# SD, below it atanh of the canonical partial correlations; log t of a scalar.
scale_free <- function(t) {
  if (length(t) == 1L) return(log(t))
  Sigma <- solve_spd(unvech(t))
  v <- diag(Sigma)
  C <- t(spd_root(Sigma / sqrt(tcrossprod(v))))
  left <- 1 - t(apply(C^2, 1L, cumsum)) + C^2 # what the columns before leave of each row
  X <- atanh_inside(C / sqrt(pmax(left, 1e-300)))
  diag(X) <- -log(v)
  X[lower.tri(X, diag = TRUE)]
}

# Of many precision matrices, a row of vech each.
scale_free_rows <- function(t) {
  if (ncol(t) == 1L) return(log(t))
  if (ncol(t) > 3L) return(matrix(t(apply(t, 1L, scale_free)), nrow(t)))
  det <- t[, 1L] * t[, 3L] - t[, 2L]^2
  cbind(log(det) - log(t[, 3L]), atanh_inside(-t[, 2L] / sqrt(t[, 1L] * t[, 3L])),
    log(det) - log(t[, 1L]))
}

# A correlation that rounding has put on its boundary stays a number.
atanh_inside <- function(x) atanh(pmax(pmin(x, 1 - 1e-15), 1e-15 - 1))

# Back, a row per point: columns of x to columns of vech of the precision matrix.
from_scale_free <- function(x) {
  r <- vech_order(ncol(x))
  if (r == 1) return(exp(x))
  C <- correlation_roots(x, r)
  M <- matrix(list(0), r, r) # C^-1
  for (a in seq_len(r)) {
    for (b in seq_len(a - 1L)) {
      terms <- lapply(seq.int(b, a - 1L), function(c) C[[a, c]] * M[[c, b]])
      M[[a, b]] <- -Reduce(`+`, terms) / C[[a, a]]
    }
    M[[a, a]] <- 1 / C[[a, a]]
  }
  pairs <- lower_pairs(r)
  out <- Map(function(a, b) {
    root <- Reduce(`+`, lapply(seq.int(a, r), function(c) M[[c, a]] * M[[c, b]]))
    root * exp((x[, vech_at(r, a, a)] + x[, vech_at(r, b, b)]) / 2)
  }, pairs$row, pairs$col)
  matrix(unlist(out), nrow(x))
}

# Cholesky factor of the correlation matrix at every row of x: r x r cells, a vector over the rows
# in each of the lower triangle.
covariance_rows <- function(x) {
  r <- vech_order(ncol(x))
  if (r == 1) return(exp(-x))
  C <- correlation_roots(x, r)
  pairs <- lower_pairs(r)
  columns <- Map(function(a, b) {
    rho <- Reduce(`+`, lapply(seq_len(b), function(c) C[[a, c]] * C[[b, c]]))
    rho * exp(-(x[, vech_at(r, a, a)] + x[, vech_at(r, b, b)]) / 2)
  }, pairs$row, pairs$col)
  matrix(unlist(columns), nrow(x))
}

correlation_roots <- function(x, r) {
  C <- matrix(list(0), r, r)
  for (a in seq_len(r)) {
    left <- rep(1, nrow(x))
    for (b in seq_len(a - 1L)) {
      C[[a, b]] <- left * tanh(x[, vech_at(r, a, b)])
      left <- left / cosh(x[, vech_at(r, a, b)])
    }
    C[[a, a]] <- left
  }
  C
}

# log SDs, then atanh of the correlations (lower triangle), a column each, of u = A v at every row
# of x, the scale-free coordinates of the precision of v.
log_sd_atanh_rows <- function(x, A = diag(1, vech_order(ncol(x)))) {
  r <- nrow(A)
  C <- correlation_roots(x, r)
  roots <- matrix(list(), r, r) # A times the Cholesky factor of Cov(v)
  for (a in seq_len(r)) {
    for (c in seq_len(r)) {
      own <- Filter(function(k) A[a, k] != 0, seq.int(c, r))
      roots[[a, c]] <- Reduce(`+`, lapply(own, function(k) {
        A[a, k] * C[[k, c]] * exp(-x[, vech_at(r, k, k)] / 2)
      }), 0)
    }
  }
  dot <- function(a, b) Reduce(`+`, Map(`*`, roots[a, ], roots[b, ]))
  sd <- lapply(seq_len(r), function(a) sqrt(dot(a, a)))
  pairs <- which(lower.tri(A), arr.ind = TRUE)
  rho <- lapply(seq_len(nrow(pairs)), function(i) {
    a <- pairs[i, 1L]
    b <- pairs[i, 2L]
    atanh_inside(dot(a, b) / (sd[[a]] * sd[[b]]))
  })
  matrix(unlist(c(lapply(sd, log), rho)), nrow(x))
}

# The same of one precision matrix (vech): log SDs, atanh correlations.
log_sd_atanh <- function(t, A = diag(1, vech_order(length(t)))) {
  root <- A %*% t(chol(solve_spd(unvech(t))))
  s <- sqrt(rowSums(root^2))
  R <- tcrossprod(root / s)
  c(log(s), atanh_inside(R[lower.tri(R)]))
}

# Central differences, scaled to each argument: f is smooth and t is far from its boundary.
numeric_jacobian <- function(f, t, rows = function(x) matrix(t(apply(x, 1L, f)), nrow(x))) {
  scale <- sqrt(abs(diag(unvech(t)))) # units of Lambda_ab are those of sqrt(L_aa L_bb)
  pairs <- lower_pairs(length(scale))
  h <- 1e-5 * scale[pairs$row] * scale[pairs$col]
  at <- matrix(t, length(t), length(t), byrow = TRUE)
  step <- diag(h, length(h))
  t((rows(at + step) - rows(at - step)) / (2 * h))
}

# The inverse of a change of coordinates: triangular up to order, with scales however far apart.
invert_map <- function(A) solve(A, tol = 0)

# vech of A^-T Lambda A^-1, the precision of A v, as a linear map of vech Lambda.
precision_map <- function(A) {
  r <- nrow(A)
  B <- invert_map(A)
  pairs <- lower_pairs(r)
  vapply(seq_along(pairs$row), function(k) {
    E <- matrix(0, r, r)
    E[pairs$row[k], pairs$col[k]] <- E[pairs$col[k], pairs$row[k]] <- 1
    (crossprod(B, E %*% B))[lower.tri(E, diag = TRUE)]
  }, numeric(length(pairs$row)))
}
