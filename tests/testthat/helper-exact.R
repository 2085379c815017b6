# Exact posteriors of small Gaussian models by brute force: plain dense R, nothing of the package.
#
# At given precisions y is normal with mean X mu and covariance X V X' + Z Lambda^-1 Z' +
# diag(1 / w) / tau_e (under a flat prior beta is integrated over Lebesgue measure); the log
# precisions are integrated over a fine rectangular grid that reaches where the density is gone.

# X: n x p; y; w; offset; mean, cov: prior of beta, cov = NULL: flat. e: prior of tau_e; u: list of
# list(Z (n x (levels r)), r, prior) or, for a scalar factor, list(g, prior). Priors as in
# log_prior_l(): c(shape, rate) or list(df, scale); of a matrix list(df, scale (r values)) or
# list(df, W) for a Wishart.
brute_model <- function(X, y, w = rep(1, length(y)), offset = 0, mean = NULL, cov = NULL, e,
                        u = list()) {
  u <- lapply(u, function(t) {
    if (!is.null(t$g)) t$Z <- indicator(t$g)
    if (is.null(t$r)) t$r <- 1
    t
  })
  keep <- w > 0
  list(X = X[keep, , drop = FALSE], y = (y - offset)[keep], w = w[keep], mean = mean, cov = cov,
    e = e, u = lapply(u, function(t) replace(t, "Z", list(t$Z[keep, , drop = FALSE]))))
}

# log p(y | tau_e, Lambdas) and the mean and covariance of (beta, u_1, u_2, ...).
brute_conditional <- function(m, tau_e, Lambda = list(), moments = TRUE) {
  n <- length(m$y)
  p <- ncol(m$X)
  Z <- do.call(cbind, c(list(matrix(0, n, 0)), lapply(m$u, `[[`, "Z")))
  D <- matrix(0, ncol(Z), ncol(Z)) # prior covariance of the effects
  at <- 0
  for (j in seq_along(m$u)) {
    levels <- ncol(m$u[[j]]$Z) / m$u[[j]]$r
    k <- at + seq_len(ncol(m$u[[j]]$Z))
    D[k, k] <- kronecker(diag(levels), solve(Lambda[[j]]))
    at <- at + length(k)
  }
  V0 <- Z %*% D %*% t(Z) + diag(1 / m$w / tau_e, n)
  if (is.null(m$cov) && p) {
    R <- chol(V0)
    x <- backsolve(R, m$X, transpose = TRUE)
    r <- backsolve(R, m$y, transpose = TRUE)
    xx <- crossprod(x)
    b <- drop(solve(xx, crossprod(x, r)))
    res <- r - drop(x %*% b)
    lp <- -(n - p) / 2 * log(2 * pi) - sum(log(diag(R))) - determinant(xx)$modulus[1] / 2 -
      sum(res^2) / 2
    if (!moments) return(list(log = lp))
    cov_b <- solve(xx)
    A <- D %*% t(Z) %*% chol2inv(R)
    u <- drop(A %*% (m$y - m$X %*% b))
    slope <- -A %*% m$X # of E u in beta
    cov_u <- D - A %*% Z %*% D + slope %*% cov_b %*% t(slope)
    cross <- cov_b %*% t(slope)
    return(list(log = lp, mean = c(b, u),
      cov = rbind(cbind(cov_b, cross), cbind(t(cross), cov_u))))
  }
  C <- cbind(m$X, Z)
  V <- rbind(cbind(if (p) m$cov else matrix(0, 0, 0), matrix(0, p, ncol(Z))),
    cbind(matrix(0, ncol(Z), p), D))
  S <- C %*% V %*% t(C) + diag(1 / m$w / tau_e, n)
  R <- chol(S)
  mu <- c(if (p) m$mean, rep(0, ncol(Z)))
  r <- backsolve(R, m$y - drop(C %*% mu), transpose = TRUE)
  lp <- -n / 2 * log(2 * pi) - sum(log(diag(R))) - sum(r^2) / 2
  if (!moments) return(list(log = lp))
  A <- backsolve(R, C %*% V, transpose = TRUE)
  list(log = lp, mean = mu + drop(crossprod(A, r)), cov = V - crossprod(A))
}

# Unnormalised log posterior of the log precisions of scalar terms, l = (log tau_e, log tau_u, ...).
brute_log_density <- function(m, l) {
  priors <- c(list(m$e), lapply(m$u, `[[`, "prior"))
  brute_conditional(m, exp(l[1]), as.list(exp(l[-1])), FALSE)$log +
    sum(mapply(log_prior_l, priors, l))
}

# Where the profile of coordinate k has dropped by `drop` below the mode: c(lower, upper).
brute_reach <- function(f, mode, k, drop) {
  peak <- f(mode)
  vapply(c(-1, 1), function(side) {
    low <- 0
    high <- 0.5
    below <- function(s) f(replace(mode, k, mode[k] + side * s)) < peak - drop
    while (!below(high)) {
      low <- high
      high <- 1.4 * high
    }
    for (i in 1:6) if (below((low + high) / 2)) high <- (low + high) / 2 else low <- (low + high) / 2
    mode[k] + side * high
  }, 0)
}

# Trapezoid rule over one or two log precisions, `step` in SDs of the Laplace approximation. Both
# coordinates are given room for the ridge: the reach is taken along it as well as across.
# Value: l (points x d), weights, log_evidence, mean and cov of theta at the points, edge (largest
# weight on the border of the grid).
brute_posterior <- function(m, step = 0.3, drop = 38) {
  d <- 1 + length(m$u)
  f <- function(l) brute_log_density(m, l)
  start <- c(-log(stats::var(m$y) / 2), rep(-log(stats::var(m$y) / 2), d - 1))
  mode <- stats::optim(start, f, method = if (d > 1) "Nelder-Mead" else "BFGS",
    control = list(fnscale = -1, reltol = 1e-12, maxit = 2000))$par
  axes <- lapply(seq_len(d), function(k) {
    h <- 0.05
    e <- replace(numeric(d), k, h)
    sd <- 1 / sqrt(max((2 * f(mode) - f(mode + e) - f(mode - e)) / h^2, 0.05))
    reach <- brute_reach(f, mode, k, drop) + c(-1, 1) * sd
    seq(reach[1], reach[2], by = step * sd)
  })
  grid <- as.matrix(expand.grid(axes))
  lp <- apply(grid, 1, f)
  rel <- lp - max(lp)
  size <- prod(vapply(axes, function(a) a[2] - a[1], 0))
  border <- Reduce(`|`, lapply(seq_len(d), function(k) grid[, k] %in% range(axes[[k]])))
  out <- list(m = m, mode = mode, axes = axes, log_evidence = max(lp) + log(sum(exp(rel)) * size),
    edge = max(exp(rel[border])))
  live <- rel > -34
  w <- exp(rel[live])
  out$l <- grid[live, , drop = FALSE]
  out$w <- w / sum(w)
  at <- lapply(seq_len(nrow(out$l)), function(i) {
    brute_conditional(m, exp(out$l[i, 1]), as.list(exp(out$l[i, -1])))
  })
  out$theta_mean <- vapply(at, `[[`, numeric(ncol(at[[1]]$cov)), "mean")
  out$theta_mean <- matrix(out$theta_mean, ncol = length(at))
  out$theta_cov <- lapply(at, `[[`, "cov")
  out
}

# Mean and SD of functions of the grid points.
brute_moments <- function(b, x) {
  mean <- sum(b$w * x)
  c(mean = mean, sd = sqrt(sum(b$w * (x - mean)^2)))
}

# Mean and covariance of theta = (beta, u).
brute_theta <- function(b) {
  mean <- drop(b$theta_mean %*% b$w)
  dev <- b$theta_mean - mean
  list(mean = mean, cov = Reduce(`+`, Map(`*`, b$theta_cov, b$w)) + dev %*% (t(dev) * b$w))
}

# P(theta_i < x).
brute_theta_cdf <- function(b, i, x) {
  sum(b$w * stats::pnorm(x, b$theta_mean[i, ], sqrt(vapply(b$theta_cov, function(S) S[i, i], 0))))
}

# P(l_k < x): the marginal density by the trapezoid rule over the other coordinate, its
# integral by Gauss-Legendre quadrature on pieces of two grid steps.
brute_log_tau_cdf <- function(b, k, x) {
  rule <- gauss_legendre(7)
  from <- min(b$l[, k])
  breaks <- c(seq(from, x, by = 2 * (b$axes[[k]][2] - b$axes[[k]][1])), x)
  nodes <- outer(rule$x, diff(breaks) / 2) + rep((breaks[-1] + breaks[-length(breaks)]) / 2,
    each = length(rule$x))
  w <- outer(rule$w, diff(breaks) / 2)
  two <- length(b$axes) == 2
  other <- if (two) b$axes[[3 - k]] else 0
  width <- if (two) other[2] - other[1] else 1
  if (two) other <- other[other >= min(b$l[, 3 - k]) & other <= max(b$l[, 3 - k])]
  density <- vapply(nodes, function(v) {
    l <- if (two) cbind(v, other)[, order(c(k, 3 - k))] else matrix(v)
    width * sum(exp(apply(l, 1, brute_log_density, m = b$m) - b$log_evidence))
  }, 0)
  sum(w * density)
}

# Golub and Welsch's rule on (-1, 1).
gauss_legendre <- function(n) {
  k <- seq_len(n - 1)
  J <- matrix(0, n, n)
  J[cbind(k, k + 1)] <- J[cbind(k + 1, k)] <- k / sqrt(4 * k^2 - 1)
  e <- eigen(J, symmetric = TRUE)
  list(x = e$values, w = 2 * e$vectors[1, ]^2)
}

# log density of a precision matrix (with respect to its lower triangle), Wishart prior of mean
# df W.
log_wishart <- function(L, df, W) {
  r <- nrow(L)
  (df - r - 1) / 2 * determinant(L)$modulus[1] - sum(diag(solve(W, L))) / 2 - df * r / 2 * log(2) -
    df / 2 * determinant(W)$modulus[1] - r * (r - 1) / 4 * log(pi) -
    sum(lgamma((df + 1 - seq_len(r)) / 2))
}

# log density of a precision matrix whose SDs are half-t(df, scale) [Huang & Wand 2013]: Wishart
# given the auxiliaries, which are integrated out one by one numerically.
log_huang_wand <- function(L, df, scale) {
  r <- nrow(L)
  # at c = 1; each c_k adds c^((df + r - 1) / 2) exp(-df (c - 1) L_kk) to the density
  base <- log_wishart(L, df + r - 1, diag(1 / (2 * df), r))
  base + sum(vapply(seq_len(r), function(k) {
    rate <- df * L[k, k]
    peak <- (df + r) / 2 / (rate + 1 / scale[k]^2)
    f <- function(x) { # x = log c
      c <- exp(x)
      (df + r - 1) / 2 * x - rate * (c - 1) + stats::dgamma(c, 0.5, 1 / scale[k]^2, log = TRUE) + x
    }
    top <- f(log(peak))
    top + log(stats::integrate(function(x) exp(f(x) - top), log(peak) - 40, log(peak) + 5,
      rel.tol = 1e-10, subdivisions = 1000)$value)
  }, 0))
}

# Scale-free coordinates of src/base/scale_free.h to a precision matrix, in plain R.
brute_scale_free <- function(x) {
  if (length(x) == 1) return(matrix(exp(x)))
  r <- (sqrt(8 * length(x) + 1) - 1) / 2
  X <- matrix(0, r, r)
  X[lower.tri(X, diag = TRUE)] <- x
  s <- exp(-diag(X) / 2)
  # correlations from partial ones by the textbook recursion, conditioning on one more at a time
  R <- diag(r)
  for (a in seq_len(r)) for (b in seq_len(a - 1)) {
    rho <- tanh(X[a, b])
    for (c in rev(seq_len(b - 1))) {
      p <- tanh(X[a, c])
      q <- tanh(X[b, c])
      rho <- rho * sqrt((1 - p^2) * (1 - q^2)) + p * q
    }
    R[a, b] <- R[b, a] <- rho
  }
  solve(R * tcrossprod(s))
}

# log |d vech(Lambda) / d x|, numerically.
brute_jacobian <- function(x) {
  low <- lower.tri(brute_scale_free(x), diag = TRUE)
  f <- function(x) brute_scale_free(x)[low]
  h <- 1e-5
  D <- vapply(seq_along(x), function(k) {
    e <- replace(numeric(length(x)), k, h)
    (8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h)
  }, x)
  determinant(matrix(D, length(x)))$modulus[1]
}
