# Stein control variates: under a density p with score s = grad log p,
#     E s = 0   and   E (e s' + I) = 0,
# so these have known means and take from a weighted average what they explain of it.
# Source: Oates, Girolami and Chopin (2017), JRSS B 79, 695-718.

# e, score: N x d, in whitened coordinates. N x k matrix of functions of mean zero: the scores, and
# with them all symmetrised second ones where N is eight times their number, else those of the
# diagonal.
stein_functions <- function(e, score) {
  d <- ncol(e)
  if (!stein_full(nrow(e), d)) return(cbind(score, e * score + 1))
  pairs <- lower_pairs(d)
  second <- e[, pairs$row] * score[, pairs$col] + e[, pairs$col] * score[, pairs$row]
  cbind(score, second + rep(2 * (pairs$row == pairs$col), each = nrow(e)))
}

stein_full <- function(n, d) n > 8 * (d + d * (d + 1) / 2)

# An orthonormal basis of sqrt(w) (1, functions), and what makes the constant of a regression on
# them from the coordinates in it.
stein_basis <- function(X, root_w) {
  qr <- qr(X * root_w, tol = 1e-9)
  at <- seq_len(qr$rank)
  list(Q = qr.qy(qr, diag(1, nrow(X), qr$rank)), root_w = root_w,
    first = backsolve(qr$qr[at, at, drop = FALSE], diag(1, qr$rank))[1L, ])
}

# What the functions explain of every column of f, taken out: regression of sqrt(w) f.
# list(mean (per column), residual (N x columns), of sqrt(w) f).
stein_regression <- function(basis, f) {
  y <- f * basis$root_w
  part <- crossprod(basis$Q, y)
  list(mean = drop(basis$first %*% part), residual = y - basis$Q %*% part)
}

# Further functions of mean zero that belong to single columns, by one more step of the regression
# each (Frisch and Waugh). extra: N x V.
column_step <- function(fit, basis, extra) {
  extra[!is.finite(extra)] <- 0
  own <- stein_regression(basis, extra)
  size <- colSums(own$residual^2)
  use <- size > 1e-12 * colSums((extra * basis$root_w)^2)
  slope <- ifelse(use, colSums(own$residual * fit$residual) / size, 0)
  list(mean = fit$mean - slope * own$mean,
    residual = fit$residual - own$residual * rep(slope, each = nrow(extra)))
}

# Where only the diagonal is there: E (a'e)(b's) + a'b = 0 along the direction a of a column, with b
# such that b's is -a'e under a normal, in whatever axes.
own_direction <- function(s, f) {
  slopes <- function(x) {
    v <- qr.coef(qr(cbind(1, x) * s$basis$root_w), f * s$basis$root_w)[-1L, , drop = FALSE]
    replace(v, is.na(v), 0)
  }
  a <- slopes(s$e)
  b <- slopes(s$score)
  (s$e %*% a) * (s$score %*% b) + rep(colSums(a * b), each = nrow(f))
}

# The functions of a sample that all columns share.
# e, score: N x d, whitened; weights sum to one; replicate: independent parts, for the errors.
stein_sample <- function(e, score, weights, replicate, functions = TRUE) {
  X <- matrix(1, nrow(e), 1L)
  if (functions) X <- cbind(X, stein_functions(e, score))
  basis <- stein_basis(X, sqrt(weights))
  list(e = e, score = score, weights = weights, basis = basis, functions = functions,
    single = functions && !stein_full(nrow(e), ncol(e)), leave_out = jackknife(basis, replicate))
}

# Means of the columns of f. extra: N x V functions of mean zero of their own, or NULL. along: what
# f's own directions are those of (a square has none).
# list(mean, se, residual).
stein_mean <- function(s, f, extra = NULL, along = f) {
  fit <- stein_regression(s$basis, f)
  if (s$single) fit <- column_step(fit, s$basis, own_direction(s, along))
  known <- if (s$functions && !is.null(extra)) which(colSums(is.na(extra)) < nrow(f))
  if (length(known)) {
    part <- list(mean = fit$mean[known], residual = fit$residual[, known, drop = FALSE])
    part <- column_step(part, s$basis, extra[, known, drop = FALSE])
    fit$mean[known] <- part$mean
    fit$residual[, known] <- part$residual
  }
  c(fit, list(se = s$leave_out(fit$residual)))
}

# Means and SDs of the columns of f (N x V), and their Monte Carlo errors, by leaving out one
# replicate at a time. slope, own (N x V, NA where not known): for a column f of one coordinate z,
# df/dz and the score in z, with which E (g s + dg/dz) = 0 for g = f and for g = (f - mean)^2: they
# know the tail that f has beyond the quadratic functions.
# list(mean, sd, mcse_mean, mcse_sd, khat (of the squares)).
stein_moments <- function(s, f, slope = NULL, own = NULL) {
  n <- nrow(f)
  first <- stein_mean(s, f, if (!is.null(own)) f * own + slope)
  dev <- f - rep(first$mean, each = n)
  square <- dev^2
  second <- stein_mean(s, square, if (!is.null(own)) square * own + 2 * dev * slope, along = f)
  plain <- drop(s$weights %*% square)
  var <- ifelse(second$mean > 0, second$mean, plain)
  khat <- tail_shape(square * s$weights)
  list(mean = first$mean, sd = sqrt(var), mcse_mean = first$se,
    mcse_sd = second$se / (2 * sqrt(var)) * unseen_tail(khat), khat = khat)
}

# Shape of the upper tail of each column of numbers that are not negative, as Pareto smoothing
# takes it.
tail_shape <- function(x) {
  n <- nrow(x)
  most <- ceiling(min(0.2 * n, 3 * sqrt(n)))
  vapply(seq_len(ncol(x)), function(j) {
    y <- x[, j]
    if (!all(is.finite(y)) || n < 20L) return(Inf)
    top <- sort(y, partial = n - most)[(n - most):n]
    over <- top[-1L] - top[1L]
    over <- over[over > 0]
    if (length(over) < 5L) return(if (max(y) > 0) Inf else -Inf)
    loo::gpdfit(over / max(over))$k
  }, 0)
}

# The standard error of a mean whose tail has shape k grows like 1 / sqrt(1 - 2 k): a sample that
# has not seen the tail does not show it. The factor before it is measured: on thirty targets with
# known truth the errors of SDs with light tails were up to three times the jackknife's.
unseen_tail <- function(khat) 1.5 * pmin(1 / sqrt(pmax(1 - 2 * pmax(khat, 0), 1e-4)), 10)

# residuals (N x V, of sqrt(w) f) -> jackknife error of the regression's constant, per column.
# Without replicate r the constant changes by `first` (I - Q_r'Q_r)^-1 Q_r' residual_r, so that one
# decomposition serves all of them.
jackknife <- function(basis, replicate) {
  k <- ncol(basis$Q)
  rows <- split(seq_along(basis$root_w), replicate)
  moves <- vapply(rows, function(r) {
    M <- diag(1, k) - crossprod(basis$Q[r, , drop = FALSE])
    root <- tryCatch(chol(M), error = function(e) NULL)
    if (is.null(root)) return(rep(NA_real_, k)) # all that is known of a direction is there
    backsolve(root, backsolve(root, basis$first, transpose = TRUE))
  }, numeric(k))
  moves <- matrix(moves, k)
  n <- length(rows)
  function(residual) {
    change <- vapply(seq_len(n), function(i) {
      r <- rows[[i]]
      drop(crossprod(basis$Q[r, , drop = FALSE] %*% moves[, i], residual[r, , drop = FALSE]))
    }, numeric(ncol(residual)))
    change <- matrix(change, ncol(residual))
    se <- sqrt((n - 1) / n * rowSums((change - rowMeans(change))^2))
    ifelse(is.na(se), Inf, se)
  }
}

# How far the score's own identities are from zero, in standard errors: the largest over E s and the
# diagonal of E (e s' + I). A gradient that is not the density's, or a density that jumps, shows
# here.
stein_discrepancy <- function(e, score, weights) {
  x <- cbind(score, e * score + 1)
  mean <- drop(weights %*% x)
  se <- sqrt(drop(weights^2 %*% (x - rep(mean, each = nrow(x)))^2))
  max(abs(mean) / pmax(se, 1e-8))
}
