# The exact posterior of a generalised model with one scalar random effect per group, in plain R:
# nested Gauss-Hermite quadrature over u (adaptive, per group) and over beta given tau, trapezoid
# rule over log tau. Nothing here calls the package.

gauss_hermite <- function(n) { # weight exp(-x^2), Golub & Welsch (1969)
  J <- matrix(0, n, n)
  i <- seq_len(n - 1)
  J[cbind(i, i + 1)] <- J[cbind(i + 1, i)] <- sqrt(i / 2)
  e <- eigen(J, symmetric = TRUE)
  list(x = e$values, log_w = log(sqrt(pi) * e$vectors[1, ]^2))
}

# log p(y | eta) with all constants, and its derivatives; eta a matrix with a row per datum.
exact_family <- function(family, y, size) {
  switch(family,
    binomial = list(
      log_lik = function(eta) {
        lchoose(size, y) + y * eta - size * (pmax(eta, 0) + log1p(exp(-abs(eta))))
      },
      score = function(eta) y - size * plogis(eta),
      weight = function(eta) size * plogis(eta) * plogis(-eta)
    ),
    poisson = list(
      log_lik = function(eta) y * eta - exp(eta) - lfactorial(y),
      score = function(eta) y - exp(eta),
      weight = function(eta) exp(eta)
    )
  )
}

# log p(y | beta, tau) for every column of B; with moments, E u and E u^2 of every group too.
# m: list(X, g (codes), z, offset, f = exact_family()); the rule over u has `rule` nodes.
exact_marginal <- function(m, B, tau, rule, moments = FALSE) {
  eta0 <- m$X %*% B + m$offset
  by_group <- function(x) rowsum(x, m$g, reorder = TRUE)
  mode <- matrix(0, max(m$g), ncol(B))
  for (it in 1:200) {
    eta <- eta0 + m$z * mode[m$g, , drop = FALSE]
    curvature <- by_group(m$z^2 * m$f$weight(eta)) + tau
    step <- (by_group(m$z * m$f$score(eta)) - tau * mode) / curvature
    mode <- mode + pmin(pmax(step, -1), 1)
    if (max(abs(step)) < 1e-9) break
  }
  scale <- sqrt(2 / curvature)
  terms <- lapply(seq_along(rule$x), function(q) {
    u <- mode + scale * rule$x[q]
    by_group(m$f$log_lik(eta0 + m$z * u[m$g, , drop = FALSE])) + dnorm(u, 0, 1 / sqrt(tau), TRUE) +
      log(scale) + rule$log_w[q] + rule$x[q]^2
  })
  top <- do.call(pmax, terms)
  p <- lapply(terms, function(t) exp(t - top))
  total <- Reduce(`+`, p)
  out <- list(log_lik = colSums(top + log(total)))
  if (moments) {
    u <- lapply(rule$x, function(x) mode + scale * x)
    out$u <- Reduce(`+`, Map(`*`, p, u)) / total
    out$u2 <- Reduce(`+`, Map(function(a, b) a * b^2, p, u)) / total
  }
  out
}

# Means and SDs of beta, u and log tau, and the log evidence. prior: list(mean, sd (of beta),
# u = c(shape, rate) or list(df, scale)).
glmm_exact <- function(y, X, g, prior, family = "binomial", size = rep(1, length(y)), z = 1,
                       offset = 0, nodes_u = 25, nodes_beta = 9, step = .2, drop = 27) {
  m <- list(X = X, g = as.integer(g), z = z, offset = offset, f = exact_family(family, y, size))
  p <- ncol(X)
  rule_u <- gauss_hermite(nodes_u)
  rule_b <- gauss_hermite(nodes_beta)
  grid <- as.matrix(expand.grid(rep(list(seq_along(rule_b$x)), p)))
  node <- matrix(rule_b$x[grid], ncol = p) * sqrt(2)
  log_w <- rowSums(matrix(rule_b$log_w[grid] + rule_b$x[grid]^2, ncol = p)) + p / 2 * log(2)
  target <- function(B, tau, moments = FALSE) {
    out <- exact_marginal(m, B, tau, rule_u, moments)
    out$log_p <- out$log_lik + colSums(dnorm(B, prior$mean, prior$sd, log = TRUE))
    out
  }
  # mode and root of the inverse Hessian of beta | tau, by Newton's method on central differences;
  # both only say where the rule is put. Where the Hessian is lost (a variance so large that the
  # rule over u sees steps), the neighbour's serves.
  centre <- function(tau, start) {
    b <- start$b
    h <- start$h
    root <- start$root
    for (it in 1:30) {
      pairs <- which(upper.tri(diag(p)), arr.ind = TRUE)
      E <- cbind(0, diag(h, p), -diag(h, p))
      for (k in seq_len(nrow(pairs))) {
        e <- replace(numeric(p), pairs[k, ], h[pairs[k, ]])
        E <- cbind(E, e)
      }
      f <- target(b + E, tau)$log_p
      up <- f[1 + seq_len(p)]
      grad <- (up - f[1 + p + seq_len(p)]) / (2 * h)
      H <- diag((up + f[1 + p + seq_len(p)] - 2 * f[1]) / h^2, p)
      for (k in seq_len(nrow(pairs))) {
        i <- pairs[k, 1]
        j <- pairs[k, 2]
        H[i, j] <- H[j, i] <- (f[1 + 2 * p + k] - up[i] - up[j] + f[1]) / (h[i] * h[j])
      }
      R <- tryCatch(chol(-H), error = function(e) NULL)
      if (is.null(R)) break
      root <- backsolve(R, diag(p))
      move <- drop(root %*% crossprod(root, grad))
      size <- sqrt(sum(move * grad))
      b <- b + move / max(1, size / 3)
      h <- 1e-3 / sqrt(diag(-H))
      if (size < 1e-3) break
    }
    list(b = b, root = root, h = h)
  }
  at <- function(l, start) {
    c0 <- centre(exp(l), start)
    B <- c0$b + c0$root %*% t(node)
    x <- target(B, exp(l), moments = TRUE)
    lw <- x$log_p + log_w + as.double(determinant(c0$root)$modulus)
    w <- exp(lw - max(lw))
    total <- sum(w)
    list(centre = c0, log_p = max(lw) + log(total) + log_prior_l(prior$u, l), l = l,
      beta = drop(B %*% w) / total, beta2 = drop(B^2 %*% w) / total,
      u = drop(x$u %*% w) / total, u2 = drop(x$u2 %*% w) / total)
  }
  # l = peak + sinh(s): a wide step in the tails, which are long under a half-t prior
  l0 <- 0
  best <- at(l0, list(b = rep(0, p), h = rep(1e-2, p), root = diag(p)))
  for (by in c(1, .3)) for (sign in c(-1, 1)) repeat {
    trial <- at(best$l + sign * by, best$centre)
    if (trial$log_p <= best$log_p) break
    best <- trial
  }
  nodes <- list(best)
  for (sign in c(-1, 1)) {
    last <- best
    s <- 0
    repeat {
      s <- s + sign * step
      last <- at(best$l + sinh(s), last$centre)
      last$log_p <- last$log_p + log(cosh(s))
      nodes <- c(nodes, list(last))
      if (last$log_p < best$log_p - drop) break
    }
  }
  lp <- vapply(nodes, `[[`, 0, "log_p")
  w <- exp(lp - max(lp))
  evidence <- max(lp) + log(sum(w) * step)
  w <- w / sum(w)
  mix <- function(what) Reduce(`+`, Map(`*`, lapply(nodes, `[[`, what), w))
  l <- vapply(nodes, `[[`, 0, "l")
  mean_l <- sum(w * l)
  moment <- function(first, second) list(mean = mix(first), sd = sqrt(mix(second) - mix(first)^2))
  list(beta = moment("beta", "beta2"), u = moment("u", "u2"),
    log_tau = list(mean = mean_l, sd = sqrt(sum(w * (l - mean_l)^2))),
    log_evidence = evidence, taus = length(nodes))
}
