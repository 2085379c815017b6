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

# What the functions explain of every column of f, taken out: regression of sqrt(w) f on sqrt(w) (1,
# functions) by QR. list(mean (per column), residual (N x columns)): f - mean is explained + residual.
stein_regression <- function(qr, root_w, f) {
  y <- f * root_w
  b <- qr.coef(qr, y)
  b[is.na(b)] <- 0
  mean <- b[1L, ]
  list(mean = mean, residual = qr.resid(qr, y) / root_w)
}

# Where only the diagonal is there, the second function along each column's own direction v,
# (v'e)(v's) + v'v, by one more step of the regression.
own_direction <- function(fit, qr, root_w, f, e, score) {
  v <- qr.coef(qr(cbind(1, e) * root_w), f * root_w)[-1L, , drop = FALSE]
  v[is.na(v)] <- 0
  extra <- (e %*% v) * (score %*% v) + rep(colSums(v^2), each = nrow(e))
  y <- extra * root_w
  own <- qr.resid(qr, y)
  b <- qr.coef(qr, y)
  b[is.na(b)] <- 0
  size <- colSums(own^2)
  slope <- ifelse(size > 1e-12 * colSums(y^2), colSums(own * fit$residual * root_w) / size, 0)
  list(mean = fit$mean - slope * b[1L, ],
    residual = fit$residual - own / root_w * rep(slope, each = nrow(e)))
}

# Weighted means and SDs of the columns of f (N x V) by control variates, and their Monte Carlo
# errors, by leaving out one independent replicate at a time.
# list(mean, sd, mcse_mean, mcse_sd), a number per column. functions FALSE: weights alone.
stein_moments <- function(f, e, score, weights, replicate, functions = TRUE) {
  root_w <- sqrt(weights)
  X <- matrix(1, nrow(f), 1L)
  if (functions) X <- cbind(X, stein_functions(e, score))
  qr <- qr(X * root_w, tol = 1e-9)
  single <- functions && !stein_full(nrow(e), ncol(e))
  leave_out <- jackknife(qr, root_w, replicate)
  estimate <- function(f) {
    fit <- stein_regression(qr, root_w, f)
    if (single) fit <- own_direction(fit, qr, root_w, f, e, score)
    list(mean = fit$mean, se = leave_out(fit$residual))
  }
  first <- estimate(f)
  square <- (f - rep(first$mean, each = nrow(f)))^2
  second <- estimate(square)
  plain <- drop(weights %*% square)
  var <- ifelse(second$mean > 0, second$mean, plain)
  list(mean = first$mean, sd = sqrt(var), mcse_mean = first$se,
    mcse_sd = second$se / (2 * sqrt(var)))
}

# residuals (N x V) -> jackknife error of the regression's constant, per column. Without replicate r
# the constant changes by the first row of R^-1 (I - Q_r'Q_r)^-1 Q_r' residual_r, so that one
# decomposition serves all of them.
jackknife <- function(qr, root_w, replicate) {
  at <- seq_len(qr$rank)
  Q <- qr.qy(qr, diag(1, length(root_w), qr$rank))
  first <- backsolve(qr$qr[at, at, drop = FALSE], diag(1, qr$rank))[1L, ]
  rows <- split(seq_along(root_w), replicate)
  solve_for <- lapply(rows, function(r) {
    M <- crossprod(Q[r, , drop = FALSE])
    tryCatch(backsolve(chol(diag(1, qr$rank) - M), diag(1, qr$rank)), error = function(e) NULL)
  })
  k <- length(rows)
  function(residual) {
    change <- Map(function(r, U) {
      if (is.null(U)) return(rep(Inf, ncol(residual))) # all that is known of a direction is there
      x <- crossprod(Q[r, , drop = FALSE], residual[r, , drop = FALSE] * root_w[r])
      drop(first %*% U %*% crossprod(U, x))
    }, rows, solve_for)
    change <- matrix(unlist(change), ncol(residual))
    sqrt((k - 1) / k * rowSums((change - rowMeans(change))^2))
  }
}

# How far the score's own identities are from zero, in standard errors: the largest over E s and the
# diagonal of E (e s' + I). A gradient that is not the density's, or a density that jumps, shows here.
stein_discrepancy <- function(e, score, weights) {
  x <- cbind(score, e * score + 1)
  mean <- drop(weights %*% x)
  se <- sqrt(drop(weights^2 %*% (x - rep(mean, each = nrow(x)))^2))
  max(abs(mean) / pmax(se, 1e-8))
}
