# The generalised model in plain dense R: the evidence lower bound as a function of (m, S, t),
# straight from its definition, and linear response as the inverse of its finite-difference
# Hessian. Nothing here calls the package.

# Gauss-Hermite rule for the standard normal (Golub and Welsch, 1969).
hermite_rule <- function(n) {
  k <- sqrt(seq_len(n - 1))
  J <- diag(0, n)
  J[cbind(1:(n - 1), 2:n)] <- J[cbind(2:n, 1:(n - 1))] <- k
  e <- eigen(J, symmetric = TRUE)
  list(x = e$values, w = e$vectors[1, ]^2)
}

# E log p(y | eta), eta ~ N(mu, v): by definition, no mixture of probits.
dense_expected_loglik <- function(family, y, size, phi, rule = hermite_rule(40)) {
  softplus <- function(x) ifelse(x > 0, x, 0) + log1p(exp(-abs(x)))
  mean_of <- function(mu, v, g) drop(g(outer(sqrt(v), rule$x) + mu) %*% rule$w)
  switch(family,
    binomial = function(mu, v) {
      lchoose(size, y) + y * mu - size * mean_of(mu, v, softplus)
    },
    pg = function(mu, v) {
      lchoose(size, y) + (y - size / 2) * mu - size * log(2 * cosh(sqrt(mu^2 + v) / 2))
    },
    poisson = function(mu, v) size * (y * mu - exp(mu + v / 2) - lfactorial(y)),
    neg_binomial = function(mu, v) {
      size * (mean_of(mu, v, function(eta) y * eta - (y + phi) * log(phi + exp(eta))) +
        lgamma(y + phi) - lgamma(phi) - lfactorial(y) + phi * log(phi))
    }
  )
}

# terms: list(list(g = codes, z = n x r)); prior: list(mean, cov of beta, u = list per term of
# list(a, b) [gamma], list(nu, A) [half-t, scalar] or list(df, R) [Wishart, rate R]).
dense_glmm <- function(X, terms, y, size = rep(1, length(y)), offset = 0, family, prior, phi = 1) {
  C <- X
  at <- lapply(terms, function(t) NULL)
  for (j in seq_along(terms)) {
    z <- as.matrix(terms[[j]]$z)
    G <- max(terms[[j]]$g)
    at[[j]] <- matrix(ncol(C) + seq_len(G * ncol(z)), ncol(z)) # column: a level
    C <- cbind(C, do.call(cbind, lapply(seq_len(G), function(l) (terms[[j]]$g == l) * z)))
  }
  list(C = C, p = ncol(X), at = at, prior = prior, offset = offset, r = vapply(at, nrow, 0L),
    f = dense_expected_loglik(family, y, size, phi))
}

dense_prior_precision <- function(mod, t) {
  T <- matrix(0, ncol(mod$C), ncol(mod$C))
  x <- seq_len(mod$p)
  T[x, x] <- solve(mod$prior$cov)
  for (j in seq_along(mod$at)) {
    L <- unvech_lower(t[[j]], mod$r[j])
    for (l in seq_len(ncol(mod$at[[j]]))) T[mod$at[[j]][, l], mod$at[[j]][, l]] <- L
  }
  T
}

unvech_lower <- function(v, r) {
  X <- matrix(0, r, r)
  X[lower.tri(X, TRUE)] <- v
  X + t(X) - diag(diag(X), r)
}

# t: list per term of vech E[Lambda]; aux: E[c] per term (NULL without half-t).
dense_bound <- function(mod, m, S, t, aux) {
  d <- length(m)
  mu <- mod$offset + drop(mod$C %*% m)
  v <- rowSums((mod$C %*% S) * mod$C)
  T <- dense_prior_precision(mod, t)
  dev <- m
  dev[seq_len(mod$p)] <- m[seq_len(mod$p)] - mod$prior$mean
  ld <- function(A) as.double(determinant(A)$modulus)
  out <- sum(mod$f(mu, v)) - (sum(dev * (T %*% dev)) + sum(T * S)) / 2 - d / 2 * log(2 * pi) -
    ld(mod$prior$cov) / 2 + ld(S) / 2 + d / 2 * (1 + log(2 * pi))
  for (j in seq_along(mod$at)) {
    L <- unvech_lower(t[[j]], mod$r[j])
    out <- out + dense_precision_bound(mod$prior$u[[j]], L, ncol(mod$at[[j]]), aux[[j]])
  }
  out
}

# What a precision with q mean L adds: levels / 2 E log |Lambda| + E log prior + entropies.
dense_precision_bound <- function(pr, L, levels, c) {
  r <- nrow(L)
  ld <- function(A) as.double(determinant(A)$modulus)
  if (!is.null(pr$a)) pr <- list(df = 2 * pr$a, R = matrix(2 * pr$b))
  half_t <- !is.null(pr$nu)
  df0 <- if (half_t) pr$nu + r - 1 else pr$df
  df <- df0 + levels
  digammas <- function(df) sum(digamma((df + 1 - seq_len(r)) / 2))
  lgammas <- function(df) r * (r - 1) / 4 * log(pi) + sum(lgamma((df + 1 - seq_len(r)) / 2))
  e_logdet <- digammas(df) + r * log(2) + ld(L / df)
  log_norm <- function(df, logdet_scale) df * r / 2 * log(2) + df / 2 * logdet_scale + lgammas(df)
  entropy <- log_norm(df, ld(L / df)) - (df - r - 1) / 2 * e_logdet + df * r / 2
  if (half_t) {
    ac <- (pr$nu + r) / 2
    e_log_c <- digamma(ac) - log(ac / c)
    logdet_rate <- r * log(2 * pr$nu) + sum(e_log_c)
    trace <- sum(2 * pr$nu * c * diag(L))
    bc <- 1 / pr$A^2
    aux <- sum(0.5 * log(bc) - lgamma(0.5) - 0.5 * e_log_c - bc * c + ac - log(ac / c) +
      lgamma(ac) + (1 - ac) * digamma(ac))
  } else {
    logdet_rate <- ld(pr$R)
    trace <- sum(pr$R * L)
    aux <- 0
  }
  levels / 2 * e_logdet + (df0 - r - 1) / 2 * e_logdet - trace / 2 -
    log_norm(df0, -logdet_rate) + entropy + aux
}

# Free coordinates of a point: m, vech S, t, aux; f as a function of them.
dense_pack <- function(m, S, t, aux) c(m, S[lower.tri(S, TRUE)], unlist(t), unlist(aux))
dense_unpack <- function(x, mod, t, aux) {
  d <- ncol(mod$C)
  q <- d * (d + 1) / 2
  S <- unvech_lower(x[d + seq_len(q)], d)
  k <- d + q
  for (j in seq_along(t)) {
    t[[j]] <- x[k + seq_along(t[[j]])]
    k <- k + length(t[[j]])
  }
  for (j in seq_along(aux)) {
    if (is.null(aux[[j]])) next
    aux[[j]] <- x[k + seq_along(aux[[j]])]
    k <- k + length(aux[[j]])
  }
  list(m = x[seq_len(d)], S = S, t = t, aux = aux)
}

# Gradient and Hessian by central differences of fourth order, steps h.
fd_gradient <- function(f, x, h) {
  vapply(seq_along(x), function(i) {
    e <- replace(0 * x, i, h[i])
    (8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h[i])
  }, 0)
}
fd_hessian <- function(f, x, h) {
  H <- vapply(seq_along(x), function(i) {
    e <- replace(0 * x, i, h[i])
    g <- function(y) fd_gradient(f, y, h)
    (8 * (g(x + e) - g(x - e)) - (g(x + 2 * e) - g(x - 2 * e))) / (12 * h[i])
  }, x)
  (H + t(H)) / 2
}
