# Any Gaussian mixed model in plain dense R: mean-field fit, bound, and linear response both
# in closed form and by finite differences. Nothing here calls the package.
#
# terms: list(list(name = "g", g = factor, z = n x r matrix with column names), ...).
# prior: list(mean, cov, e, u): of beta (cov = NULL is flat), of tau_e, and u one per term.
# Every precision, tau_e too, is a block Lambda ~ Wishart(df, inverse scale R): the density is
# |Lambda|^((df - r - 1) / 2) exp(-tr(R Lambda) / 2), so Gamma(a, b) is Wishart(2a, R = 2b).
# Under a half-t, R = 2 nu diag(c), c_k ~ Gamma(1/2, 1 / A_k^2) (Huang and Wand, 2013).

d_gamma <- function(shape, rate) d_wishart(2 * shape, 1 / (2 * rate))
d_wishart <- function(df, scale) list(df = df, R = solve(scale), nu = 0, A = NULL)
d_half_t <- function(df, scale) {
  r <- length(scale)
  list(df = df + r - 1, R = matrix(0, r, r), nu = df, A = scale)
}

# ---- model ---------------------------------------------------------------------------

# Element pairs (a <= b) of vech, column by column: (1,1), (1,2), (2,2), (1,3), ...
vech_pairs <- function(r) unname(which(upper.tri(diag(r), diag = TRUE), arr.ind = TRUE))

dense_model <- function(X, terms, y, w = rep(1, length(y)), prior) {
  on <- w > 0
  p <- ncol(X)
  C <- X[on, , drop = FALSE]
  groups <- lapply(terms, function(t) factor(t$g[on]))
  at <- list() # at[[j]][k, l]: position in theta of coefficient k in level l of term j
  for (j in seq_along(terms)) {
    z <- as.matrix(terms[[j]]$z)[on, , drop = FALSE]
    r <- ncol(z)
    I <- outer(as.integer(groups[[j]]), seq_len(nlevels(groups[[j]])), "==") * 1
    at[[j]] <- matrix(ncol(C) + seq_len(r * ncol(I)), r)
    C <- cbind(C, do.call(cbind, lapply(seq_len(ncol(I)), function(l) I[, l] * z)))
  }
  d <- ncol(C)
  x <- seq_len(p)
  Tb <- matrix(0, d, d)
  if (!is.null(prior$cov)) Tb[x, x] <- solve(prior$cov)
  w <- w[on]
  mod <- list(
    C = C, y = y[on], w = w, G = crossprod(C, w * C), h = drop(crossprod(C, w * y[on])),
    p = p, d = d, at = at, Tb = Tb, flat = is.null(prior$cov),
    mu = c(rep(if (is.null(prior$mean)) 0 else prior$mean, length.out = p), rep(0, d - p)),
    prior = c(list(prior$e), prior$u[seq_along(terms)]),
    count = c(sum(on), vapply(groups, nlevels, 0L)), r = c(1L, vapply(at, nrow, 0L))
  )
  # The statistics: everything that has a posterior mean here and can be tilted.
  mod$skeleton <- list(
    theta = numeric(d), vech = lapply(mod$r, function(r) numeric(r * (r + 1) / 2)),
    logdet = numeric(length(mod$r)), aux = lapply(mod$prior, function(b) numeric(length(b$A)))
  )
  mod$names <- dense_names(X, terms, groups, mod)
  mod
}

# The variable names of the package's contract; logdet_ and aux_ are ours.
dense_names <- function(X, terms, groups, mod) {
  factors <- vapply(terms, `[[`, "", "name")
  coefs <- lapply(terms, function(t) colnames(t$z))
  u <- unlist(lapply(seq_along(terms), function(j) {
    mine <- unlist(coefs[factors == factors[j]])
    paste0("u[", factors[j], ":", rep(levels(groups[[j]]), each = length(coefs[[j]])),
      if (!identical(mine, "(Intercept)")) paste0(",", coefs[[j]]), "]")
  }))
  inner <- vapply(seq_along(terms), function(j) {
    alone <- sum(factors == factors[j]) == 1 || length(coefs[[j]]) > 1
    paste0("[", factors[j], if (!alone) paste0(":", coefs[[j]]), "]")
  }, "")
  vech <- lapply(seq_along(terms), function(j) {
    k <- coefs[[j]]
    ab <- vech_pairs(length(k))
    if (length(k) == 1) return(paste0("tau_u", inner[j]))
    paste0("Lambda_u[", factors[j], ":", k[ab[, 1]], ",", k[ab[, 2]], "]")
  })
  kind <- ifelse(mod$r[-1] == 1, "log_tau_u", "logdet_u")
  aux <- lapply(mod$prior, function(b) seq_along(b$A))
  c(
    paste0("beta[", colnames(X), "]"), u, "tau_e", unlist(vech),
    "log_tau_e", paste0(kind, inner)[seq_along(terms)],
    unlist(Map(function(k, j) sprintf("aux_%d_%d", rep(j, length(k)), k), aux, seq_along(aux)))
  )
}

# ---- mean field: plain coordinate ascent -------------------------------------------------

# The whole of q from E[Lambda] (L, tau_e first) and a tilt shaped like mod$skeleton.
dense_sweep <- function(mod, L, tilt) {
  P <- L[[1]][1] * mod$G + mod$Tb
  for (j in seq_along(mod$at)) {
    for (l in seq_len(ncol(mod$at[[j]]))) {
      k <- mod$at[[j]][, l]
      P[k, k] <- P[k, k] + L[[j + 1]]
    }
  }
  S <- chol2inv(chol(P))
  m <- drop(S %*% (L[[1]][1] * mod$h + mod$Tb %*% mod$mu + tilt$theta))
  U <- c(list(sum(mod$w * (mod$y - mod$C %*% m)^2) + sum(mod$G * S)),
    lapply(mod$at, function(at) {
      Reduce(`+`, lapply(seq_len(ncol(at)), function(l) {
        tcrossprod(m[at[, l]]) + S[at[, l], at[, l]]
      }))
    }))
  q <- Map(function(pr, L, U, count, r, t_vech, t_log, t_aux) {
    aux <- list(shape = (pr$nu + r) / 2, rate = pr$nu * diag(L)[seq_along(pr$A)] +
      1 / pr$A^2 - t_aux)
    # -tr(R Lambda) / 2 holds R_ab Lambda_ab once for a < b but R_aa Lambda_aa / 2: a tilt t
    # takes t from R_ab and R_ba, and 2t from R_aa.
    t_R <- matrix(0, r, r)
    t_R[vech_pairs(r)] <- t_vech
    R <- pr$R + U - t_R - t(t_R)
    if (pr$nu > 0) R <- R + 2 * pr$nu * diag(aux$shape / aux$rate, r)
    list(df = pr$df + count + 2 * t_log, R = R, aux = aux)
  }, mod$prior, L, U, mod$count, mod$r, tilt$vech, tilt$logdet, tilt$aux)
  list(m = m, S = S, q = q, L = lapply(q, function(b) b$df * solve(b$R)))
}

# E[Lambda] as free numbers: log diagonal and relative off-diagonals of the Cholesky factor.
pack <- function(L) {
  unlist(lapply(L, function(l) {
    R <- t(chol(l))
    c(log(diag(R)), (R / diag(R))[lower.tri(R)])
  }))
}
unpack <- function(z, r) {
  lapply(split(z, rep(seq_along(r), r * (r + 1) / 2)), function(x) {
    k <- (sqrt(8 * length(x) + 1) - 1) / 2
    R <- diag(1, k)
    R[lower.tri(R)] <- x[-seq_len(k)]
    tcrossprod(exp(x[seq_len(k)]) * R)
  })
}

# Fixed point of f: coordinate ascent z <- f(z) until close, then Newton steps with a
# finite-difference Jacobian, kept while the residual falls fast. The steps only save time:
# what is returned has |f(z) - z| < tol.
fixed_point <- function(f, z, tol, M = NULL) {
  last <- Inf
  for (it in 1:20000) {
    r <- f(z) - z
    now <- max(abs(r))
    if (now < tol) return(list(z = z, M = M, change = now))
    if (now > 1e-2) {
      M <- NULL
    } else if (is.null(M) || (now > last / 5 && now > 1e-11)) {
      J <- vapply(seq_along(z), function(k) {
        (f(replace(z, k, z[k] + 1e-6)) - f(replace(z, k, z[k] - 1e-6))) / 2e-6
      }, z)
      M <- solve(diag(length(z)) - J)
    }
    z <- z + if (is.null(M)) r else drop(M %*% r)
    last <- now
  }
  stop("dense twin: no fixed point, last change ", now)
}

# tilt: named by statistics (mod$names). from: a fit of the same model to start from.
dense_fit <- function(mod, tilt = NULL, tol = 1e-13, from = NULL) {
  stopifnot(names(tilt) %in% mod$names)
  full <- stats::setNames(numeric(length(mod$names)), mod$names)
  full[names(tilt)] <- unlist(tilt)
  tilt <- utils::relist(unname(full), mod$skeleton)
  start <- if (is.null(from)) {
    lapply(mod$r, function(r) diag(2 * sum(mod$w) / mod$count[1] / stats::var(mod$y), r))
  }
  f <- function(z) pack(dense_sweep(mod, unpack(z, mod$r), tilt)$L)
  opt <- fixed_point(f, if (is.null(from)) pack(start) else from$opt$z, tol, from$opt$M)
  fit <- dense_sweep(mod, unpack(opt$z, mod$r), tilt)
  mean_log <- vapply(fit$q, function(b) {
    r <- nrow(b$R)
    sum(digamma((b$df + 1 - seq_len(r)) / 2)) + r * log(2) -
      as.numeric(determinant(b$R)$modulus)
  }, 0)
  means <- list(fit$m, lapply(fit$L, function(l) l[vech_pairs(nrow(l))]), mean_log,
    lapply(fit$q, function(b) b$aux$shape / b$aux$rate))
  c(fit, list(mod = mod, opt = opt, tau_e = fit$L[[1]][1], Lambda = fit$L[-1],
    mean_log = mean_log, means = stats::setNames(unlist(means), mod$names)))
}

# The twin in one call: means (all, named), m, S, tau_e, Lambda (list), mean_log.
dense_vb_general <- function(X, terms, y, w = rep(1, length(y)), prior, tilt = NULL,
                             tol = 1e-13) {
  dense_fit(dense_model(X, terms, y, w, prior), tilt, tol)
}

# Evidence lower bound at the optimum, all constants in. Each q(Lambda) cancels the terms
# of the joint that are linear in Lambda and log|Lambda|, which leaves ratios of
# normalising constants; the product c_k Lambda_kk cancels twice and is added back.
dense_elbo <- function(fit) {
  mod <- fit$mod
  x <- seq_len(mod$p)
  log_z <- function(df, logdet, r) { # of Wishart(df, R)
    df * r / 2 * log(2) + r * (r - 1) / 4 * log(pi) +
      sum(lgamma((df + 1 - seq_len(r)) / 2)) - df / 2 * logdet
  }
  logdet <- function(R) as.numeric(determinant(R)$modulus)
  e <- fit$m - mod$mu
  theta <- 0.5 * logdet(fit$S) + mod$d / 2 + (if (mod$flat) mod$p / 2 * log(2 * pi) else 0) -
    0.5 * (sum(mod$Tb * fit$S) + sum(e * mod$Tb %*% e)) +
    if (mod$flat || !mod$p) 0 else 0.5 * logdet(mod$Tb[x, x, drop = FALSE])
  blocks <- Map(function(b, pr, L, r) {
    out <- log_z(b$df, logdet(b$R), r)
    if (pr$nu == 0) return(out - log_z(pr$df, logdet(pr$R), r))
    c_k <- b$aux$shape / b$aux$rate
    out - log_z(pr$df, r * log(2 * pr$nu), r) + pr$nu * sum(c_k * diag(L)) +
      sum(lgamma(b$aux$shape) - b$aux$shape * log(b$aux$rate) - lgamma(0.5) - log(pr$A))
  }, fit$q, mod$prior, fit$L, mod$r)
  sum(log(mod$w)) / 2 - mod$count[1] / 2 * log(2 * pi) + theta + sum(unlist(blocks))
}

# ---- linear response ------------------------------------------------------------------

# Covariance of all statistics under q: block diagonal.
dense_mfvb <- function(fit) {
  mod <- fit$mod
  n <- length(mod$names)
  V <- matrix(0, n, n, dimnames = list(mod$names, mod$names))
  at <- utils::relist(seq_len(n), mod$skeleton)
  V[at$theta, at$theta] <- fit$S
  for (j in seq_along(fit$q)) {
    b <- fit$q[[j]]
    W <- solve(b$R)
    k <- vech_pairs(mod$r[j])
    v <- at$vech[[j]]
    l <- at$logdet[j]
    V[v, v] <- b$df * (W[k[, 1], k[, 1]] * W[k[, 2], k[, 2]] +
      W[k[, 1], k[, 2]] * W[k[, 2], k[, 1]])
    V[v, l] <- V[l, v] <- 2 * W[k]
    V[l, l] <- sum(trigamma((b$df + 1 - seq_len(mod$r[j])) / 2))
    a <- at$aux[[j]]
    V[cbind(a, a)] <- b$aux$shape / b$aux$rate^2
  }
  V
}

# math-lmm.md, section 2, with the K matrices spelt out: statistic s_i = -theta' K_i theta / 2
# + l_i' theta multiplies tau_e or Lambda_ab; log-determinants and auxiliaries ride along
# with K = 0. Value: list(mfvb, lrvb), covariances of all statistics.
dense_lrvb <- function(fit) {
  mod <- fit$mod
  d <- mod$d
  S <- fit$S
  K <- list(mod$G)
  for (at in mod$at) {
    ab <- vech_pairs(nrow(at))
    for (i in seq_len(nrow(ab))) {
      k <- matrix(0, d, d)
      k[cbind(at[ab[i, 1], ], at[ab[i, 2], ])] <- 1
      K <- c(K, list(pmax(k, t(k))))
    }
  }
  n_lambda <- length(K)
  g <- vapply(K, function(k) -drop(k %*% fit$m), numeric(d))
  g <- matrix(g, d)
  g[, 1] <- g[, 1] + mod$h
  KS <- lapply(K, function(k) k %*% S)
  quad <- outer(seq_along(K), seq_along(K), Vectorize(function(i, j) {
    sum(KS[[i]] * t(KS[[j]])) / 2
  }))
  mfvb <- dense_mfvb(fit)
  V <- mfvb[-seq_len(d), -seq_len(d), drop = FALSE]
  A <- 0 * V
  s <- seq_len(n_lambda)
  A[s, s] <- quad + t(g) %*% S %*% g
  at <- utils::relist(seq_along(mod$names) - d, mod$skeleton)
  for (j in seq_along(mod$prior)) { # direct coupling -nu c_k Lambda_kk
    k <- vech_pairs(mod$r[j])
    on_diagonal <- at$vech[[j]][k[, 1] == k[, 2]][seq_along(at$aux[[j]])]
    A[cbind(on_diagonal, at$aux[[j]])] <- A[cbind(at$aux[[j]], on_diagonal)] <- -mod$prior[[j]]$nu
  }
  Sigma <- solve(diag(nrow(V)) - V %*% A, V)
  J <- cbind(S %*% g, matrix(0, d, nrow(V) - n_lambda))
  lrvb <- rbind(cbind(S + J %*% Sigma %*% t(J), J %*% Sigma), cbind(Sigma %*% t(J), Sigma))
  dimnames(lrvb) <- dimnames(mfvb)
  list(mfvb = mfvb, lrvb = (lrvb + t(lrvb)) / 2)
}

# The definition: column `name` is the derivative of every posterior mean in the size of the
# tilt of that statistic. Differences at h and 2h cancel the h^2 error.
fd_lrvb <- function(fit, name, step = 2e-3) {
  h <- step / sqrt(dense_mfvb(fit)[name, name])
  mean_at <- function(s) dense_fit(fit$mod, stats::setNames(s, name), from = fit)$means
  (8 * (mean_at(h) - mean_at(-h)) - (mean_at(2 * h) - mean_at(-2 * h))) / (12 * h)
}

# ---- comparison -----------------------------------------------------------------------

# Entry by entry in units of `unit`; a failure names the worst entry.
expect_entries <- function(got, expected, unit, tol, what) {
  error <- abs(as.numeric(got) - as.numeric(expected)) / as.numeric(unit)
  error[is.na(error)] <- Inf
  k <- which.max(error)
  entry <- if (is.matrix(expected)) {
    ij <- arrayInd(k, dim(expected))
    paste(rownames(expected)[ij[1]], "x", colnames(expected)[ij[2]])
  } else {
    names(expected)[k]
  }
  testthat::expect(
    length(got) == length(expected) && error[k] <= tol,
    sprintf("%s: %d of %d entries off; worst %s: expected %.10g, got %.10g (off by %.2g units)",
      what, sum(error > tol), length(error), entry, expected[k], got[k], error[k])
  )
}
