# Independent references in plain dense R. Nothing here calls the package.

# ---- data ------------------------------------------------------------------------

# The paper's design: n rows, four coefficients, Q groups of equal size; Q = 0: no groups (Model 1).
# data-raw/under-dispersion.R takes its data from here too.
paper_data <- function(Q, tau_u, n = 300, seed = max(Q, 1)) {
  set.seed(seed)
  X <- cbind(1, matrix(rnorm(3 * n), n))
  g <- rep(seq_len(max(Q, 1)), length.out = n)
  u <- if (Q) rnorm(Q, 0, 1 / sqrt(tau_u)) else 0
  y <- drop(X %*% c(1, .5, 0, -.5)) + u[g] + rnorm(n)
  data.frame(y, x1 = X[, 2], x2 = X[, 3], x3 = X[, 4], g = factor(g))
}

small_data <- function(n = 60, G = 7, seed = 11) {
  set.seed(seed)
  g <- rep(seq_len(G), length.out = n)
  x <- rnorm(n, 3)
  data.frame(x = x, g = factor(g), w = runif(n, 0.5, 2),
    y = 2 + 0.5 * x + rnorm(G, 0, 0.8)[g] + rnorm(n))
}

indicator <- function(g) {
  Z <- outer(g, levels(g), "==") * 1
  Z[, colSums(Z) > 0, drop = FALSE]
}

# ---- mean-field variational Bayes, dense, plain coordinate ascent ------------------

# prior: list(mean, cov (beta), e = c(shape, rate) or list(df, scale), u = likewise).
# tilt: list(tau_e, tau_u, log_tau_e, log_tau_u, theta): the posterior is multiplied by
# exp(tilt' statistics); linear response is the derivative of the means in it.
dense_vb <- function(X, Z, y, w = rep(1, length(y)), prior, tilt = list(), tol = 1e-14) {
  C <- cbind(X, Z)
  p <- ncol(X)
  q <- ncol(Z)
  if (is.null(q)) q <- 0
  G <- crossprod(C, w * C)
  h <- crossprod(C, w * y)
  Tb <- if (is.null(prior$cov)) matrix(0, p, p) else solve(prior$cov)
  mu <- if (is.null(prior$mean)) rep(0, p) else prior$mean
  get <- function(k) if (is.null(tilt[[k]])) 0 else tilt[[k]]
  extra <- if (is.null(tilt$theta)) rep(0, p + q) else tilt$theta
  half_t <- function(pr) is.list(pr)
  base <- function(pr) if (half_t(pr)) c(pr$df / 2, 0) else pr
  n <- sum(w > 0)
  A <- c(base(prior$e)[1] + n / 2 + get("log_tau_e"),
    if (q) base(prior$u)[1] + q / 2 + get("log_tau_u"))
  aux <- function(pr, t) if (half_t(pr)) (pr$df + 1) / 2 / (pr$df * t + 1 / pr$scale^2) else 0
  rate <- function(pr, c) if (half_t(pr)) pr$df * c else pr[2]
  t <- c(1 / var(y), if (q) 1 / var(y))
  for (it in 1:100000) {
    P <- t[1] * G + rbind(cbind(Tb, matrix(0, p, q)), cbind(matrix(0, q, p), diag(t[2], q)))[
      seq_len(p + q), seq_len(p + q)]
    S <- solve(P)
    m <- drop(S %*% (t[1] * h + c(Tb %*% mu, rep(0, q)) + extra))
    r <- y - drop(C %*% m)
    ss <- sum(w * r^2) + sum(G * S)
    new <- A[1] / (rate(prior$e, aux(prior$e, t[1])) + ss / 2 - get("tau_e"))
    if (q) {
      k <- p + seq_len(q)
      su <- sum(m[k]^2) + sum(diag(S)[k])
      new <- c(new, A[2] / (rate(prior$u, aux(prior$u, t[2])) + su / 2 - get("tau_u")))
    }
    done <- max(abs(log(new / t))) < tol
    t <- new
    if (done) break
  }
  list(m = m, S = S, t = t, A = A, mean_log = digamma(A) - log(A / t))
}

# ---- exact posterior by quadrature ---------------------------------------------------

log_prior_l <- function(prior, l) { # log density of l = log tau
  if (is.list(prior)) {
    s <- exp(-l / 2)
    return(log(2) + dt(s / prior$scale, prior$df, log = TRUE) - log(prior$scale) + log(s / 2))
  }
  dgamma(exp(l), prior[1], prior[2], log = TRUE) + l
}

# Trapezoid rule over (log tau_e, log tau_u): means and SDs of beta, u, log tau, and the
# log evidence. centre, spread: where to put the grid (mean and SD of log tau). The
# response is centred by hand through the prior mean, theta is integrated analytically.
exact_quadrature <- function(X, Z, y, w = rep(1, length(y)), prior, centre, spread,
                             half_width = 9, step = 0.35) {
  C <- cbind(X, Z)
  p <- ncol(X)
  q <- ncol(Z)
  n <- length(y)
  G <- crossprod(C, w * C)
  h <- drop(crossprod(C, w * y))
  yy <- sum(w * y^2)
  Tb <- solve(prior$cov)
  mu <- prior$mean
  k <- seq(-half_width, half_width, by = step)
  grid <- expand.grid(e = centre[1] + spread[1] * k, u = centre[2] + spread[2] * k)
  one <- function(e, u) {
    P <- exp(e) * G
    P[1:p, 1:p] <- P[1:p, 1:p] + Tb
    diag(P)[p + seq_len(q)] <- diag(P)[p + seq_len(q)] + exp(u)
    R <- chol(P)
    b <- exp(e) * h + c(Tb %*% mu, rep(0, q))
    v <- backsolve(R, b, transpose = TRUE)
    m <- backsolve(R, v)
    S <- chol2inv(R)
    lp <- 0.5 * (n * (e - log(2 * pi)) + sum(log(w)) + q * u) +
      0.5 * as.numeric(determinant(Tb)$modulus) - sum(log(diag(R))) -
      0.5 * (exp(e) * yy + drop(mu %*% Tb %*% mu) - sum(v^2)) +
      log_prior_l(prior$e, e) + log_prior_l(prior$u, u)
    c(lp, m, diag(S))
  }
  res <- mapply(one, grid$e, grid$u)
  lp <- res[1, ]
  wt <- exp(lp - max(lp))
  area <- prod(spread) * step^2
  log_evidence <- max(lp) + log(sum(wt) * area)
  wt <- wt / sum(wt)
  d <- p + q
  m <- res[1 + seq_len(d), ]
  v <- res[1 + d + seq_len(d), ]
  mean <- drop(m %*% wt)
  sd <- sqrt(drop(v %*% wt) + drop((m - mean)^2 %*% wt))
  mom <- function(f) {
    x <- f(grid)
    mu <- sum(wt * x)
    c(mu, sqrt(sum(wt * (x - mu)^2)))
  }
  list(mean = mean, sd = sd, log_tau_e = mom(function(g) g$e), log_tau_u = mom(function(g) g$u),
    tau_e = mom(function(g) exp(g$e)), tau_u = mom(function(g) exp(g$u)),
    sigma_u = mom(function(g) exp(-g$u / 2)), log_evidence = log_evidence,
    edge = max(wt[grid$e %in% range(grid$e) | grid$u %in% range(grid$u)]))
}

# ---- calibration ---------------------------------------------------------------------

# Ranks (0 to 99) among posterior draws, a row per simulated set, a column per variable: uniform in
# 20 bins, chi-square not rejected at .001.
expect_uniform <- function(ranks) {
  sets <- nrow(ranks)
  for (v in colnames(ranks)) {
    counts <- table(factor(floor(ranks[, v] / 5), levels = 0:19))
    chi <- sum((counts - sets / 20)^2) / (sets / 20)
    expect_gt(pchisq(chi, 19, lower.tail = FALSE), .001)
  }
}
