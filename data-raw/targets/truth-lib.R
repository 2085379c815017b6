# Two general ways to the truth about a case: quadrature (d <= 3) and importance sampling with a
# proposal of several t components (any d of the collection), both on the unconstrained scale.
# They share only the transforms below, which are written independently of the package.
suppressMessages(library(randtoolbox))

# ---- constructors and transforms -----------------------------------------------------------------
positive <- function() list(kind = "lower", a = 0)
lower_bounded <- function(a) list(kind = "lower", a = a)
upper_bounded <- function(b) list(kind = "upper", b = b)
bounded <- function(a, b) list(kind = "interval", a = a, b = b)
unit_interval <- function() list(kind = "interval", a = 0, b = 1)
ordered_vector <- function() list(kind = "ordered")
positive_ordered <- function() list(kind = "positive_ordered")
simplex <- function() list(kind = "simplex")
correlation <- function() list(kind = "correlation")

log_g <- function(y) plogis(y, log.p = TRUE)
size_free <- function(x, con) switch(con$kind, simplex = length(x) - 1,
  correlation = nrow(x) * (nrow(x) - 1) / 2, length(x))
to_free <- function(x, con) switch(con$kind, none = c(x), lower = log(c(x) - con$a),
  upper = log(con$b - c(x)), interval = qlogis((c(x) - con$a) / (con$b - con$a)),
  ordered = c(x[1], log(diff(x))), positive_ordered = log(diff(c(0, x))), simplex = {
    K <- length(x); r <- 1 - c(0, cumsum(x))[1:(K - 1)]
    qlogis(x[-K] / r) + log(K - seq_len(K - 1))
  }, correlation = {
    L <- t(chol(x)); y <- NULL
    for (r in 2:nrow(L)) { s <- 0; for (c in 1:(r - 1)) {
      y <- c(y, atanh(L[r, c] / sqrt(1 - s))); s <- s + L[r, c]^2 } }
    y
  })
to_con <- function(y, x0, con) {
  k <- con$kind
  if (k == "none") { x <- y; lj <- 0 }
  if (k == "lower") { x <- con$a + exp(y); lj <- sum(y) }
  if (k == "upper") { x <- con$b - exp(y); lj <- sum(y) }
  if (k == "interval") {
    x <- con$a + (con$b - con$a) * plogis(y)
    lj <- length(y) * log(con$b - con$a) + sum(log_g(y) + log_g(-y))
  }
  if (k == "ordered") { x <- cumsum(c(y[1], exp(y[-1]))); lj <- sum(y[-1]) }
  if (k == "positive_ordered") { x <- cumsum(exp(y)); lj <- sum(y) }
  if (k == "simplex") {
    K <- length(y) + 1; u <- y - log(K - seq_along(y)); lr <- c(0, cumsum(log_g(-u)))
    x <- exp(c(lr[-K] + log_g(u), lr[K])); lj <- sum(lr[-K] + log_g(u) + log_g(-u))
  }
  if (k == "correlation") {
    K <- nrow(x0); L <- diag(K); lj <- 0; i <- 0; w <- tanh(y)
    for (r in 2:K) { s <- 0
      for (c in 1:(r - 1)) { i <- i + 1; L[r, c] <- w[i] * sqrt(1 - s)
        lj <- lj + log1p(-w[i]^2) + log1p(-s) / 2; s <- s + L[r, c]^2 }
      L[r, r] <- sqrt(1 - s); lj <- lj + (K - r) * log(1 - s) / 2 }
    x <- tcrossprod(L)
  }
  if (!is.null(dim(x0))) dim(x) <- dim(x0)
  list(x = x, lj = lj)
}
names_of <- function(p, cons) unlist(Map(function(x, n) {
  if (identical(cons[[n]]$kind, "correlation")) {
    i <- which(lower.tri(x), arr.ind = TRUE); sprintf("%s[%d,%d]", n, i[, 1], i[, 2])
  } else if (is.matrix(x)) { sprintf("%s[%d,%d]", n, row(x), col(x)) }
  else if (length(x) == 1) n else sprintf("%s[%d]", n, seq_along(x))
}, p, names(p)), use.names = FALSE)
# lp(z) with Jacobian and out(z), the reported variables
free_form <- function(case) {
  cons <- case$constraints(); nm <- names(case$init)
  con <- lapply(setNames(nm, nm), function(n) if (is.null(cons[[n]])) list(kind = "none") else cons[[n]])
  sizes <- mapply(size_free, case$init, con); d <- sum(sizes)
  ix <- split(seq_len(d), factor(rep(nm, sizes), nm))
  ld <- if (is.null(case$data)) case$log_density else function(p) case$log_density(p, case$data)
  generated <- if (is.null(case$data)) case$generated else function(p) case$generated(p, case$data)
  none <- vapply(con, function(k) k$kind == "none", NA)
  parts <- function(z) { p <- case$init; lj <- 0
    for (n in nm) if (none[[n]] && is.null(dim(p[[n]]))) p[[n]] <- z[ix[[n]]] else {
      t <- to_con(z[ix[[n]]], p[[n]], con[[n]]); p[[n]] <- t$x; lj <- lj + t$lj }
    list(p = p, lj = lj) }
  lp <- function(z) { t <- parts(z)
    v <- tryCatch(suppressWarnings(ld(t$p)) + t$lj, error = function(e) -Inf)
    if (is.na(v)) -Inf else v }
  flat <- function(p) unlist(lapply(names(p), function(n)
    if (identical(con[[n]]$kind, "correlation")) p[[n]][lower.tri(p[[n]])] else c(p[[n]])))
  out <- function(z) { p <- parts(z)$p
    c(flat(p), if (!is.null(case$generated)) unlist(generated(p), use.names = FALSE)) }
  g <- if (!is.null(case$generated)) generated(case$init)
  list(d = d, lp = lp, out = out, z0 = unlist(Map(to_free, case$init, con), use.names = FALSE),
    vars = c(names_of(case$init, con), if (!is.null(g)) names_of(g, list())))
}

# ---- several t components --------------------------------------------------------------------------
mix_draw <- function(q, n) {
  comp <- sample.int(length(q$w), n, TRUE, q$w); d <- nrow(q$m)
  E <- matrix(rnorm(n * d), d) * rep(sqrt(q$df / rchisq(n, q$df)), each = d)
  for (k in unique(comp)) { j <- comp == k; E[, j] <- q$m[, k] + q$L[[k]] %*% E[, j, drop = FALSE] }
  E
}
mix_logd <- function(q, Z) {
  d <- nrow(Z)
  D <- vapply(seq_along(q$w), function(k) { e <- forwardsolve(q$L[[k]], Z - q$m[, k])
    log(q$w[k]) - sum(log(diag(q$L[[k]]))) + lgamma((q$df + d) / 2) - lgamma(q$df / 2) -
      d / 2 * log(q$df * pi) - (q$df + d) / 2 * log1p(colSums(e^2) / q$df) }, numeric(ncol(Z)))
  D <- matrix(D, ncol = length(q$w)); m <- apply(D, 1, max); m + log(rowSums(exp(D - m)))
}
mix_fit <- function(Z, w, K, df, ess) {
  i <- sample.int(ncol(Z), 8000, TRUE, w); X <- Z[, i, drop = FALSE]; d <- nrow(X)
  S <- cov(t(X)) + diag(1e-12, d)
  cl <- if (K > 1) kmeans(t(forwardsolve(t(chol(S)), X)), K, nstart = 4, iter.max = 50)$cluster else rep(1, ncol(X))
  keep <- sort(unique(cl))
  fit <- lapply(keep, function(k) { Y <- X[, cl == k, drop = FALSE]; n <- length(unique(i[cl == k]))
    C <- if (n > 2) cov(t(Y)) else S; t(chol((n * C + (2 * d + 5) * S / K) / (n + 2 * d + 5))) })
  w <- tabulate(cl)[keep]
  # one wide component of all the draws guards the tails
  list(m = cbind(sapply(keep, function(k) rowMeans(X[, cl == k, drop = FALSE])) |> matrix(nrow = d), rowMeans(X)),
    L = c(fit, list(2 * t(chol(S)))), w = c(.75 * w / sum(w), .25), df = df)
}
psis_k <- function(lw) { lw <- sort(lw - max(lw)); n <- length(lw); M <- ceiling(3 * sqrt(n))
  x <- exp(tail(lw, M)) - exp(lw[n - M]); if (max(x) < 1e-10) return(-1); N <- M
  j <- seq_len(30 + floor(sqrt(N))); xs <- x[floor(N / 4 + .5)]
  th <- 1 / x[N] + (1 - sqrt(length(j) / (j - .5))) / 3 / xs
  l <- N * vapply(th, function(t) { k <- mean(log1p(-t * x)); log(-t / k) - k - 1 }, 0)
  w <- 1 / vapply(j, function(i) sum(exp(l - l[i])), 0); mean(log1p(-sum(th * w) * x)) }
eval_lp <- function(f, Z) apply(Z, 2, f$lp)
start_at <- function(f, z0 = f$z0) {
  o <- optim(z0, function(z) { v <- -f$lp(z); if (is.finite(v)) v else 1e10 }, method = "Nelder-Mead",
    control = list(maxit = 200 * f$d))
  o <- tryCatch(optim(o$par, function(z) { v <- -f$lp(z); if (is.finite(v)) v else 1e10 }, method = "BFGS",
    hessian = TRUE, control = list(maxit = 500)), error = function(e) c(o, list(hessian = diag(f$d))))
  e <- eigen((o$hessian + t(o$hessian)) / 2)
  S <- e$vectors %*% (pmin(1 / pmax(e$values, 1e-14), 100) * t(e$vectors))
  list(m = matrix(o$par), L = list(t(chol((S + t(S)) / 2)) * 1.2), w = 1, df = 4)
}
adapt <- function(f, K = 5, df = 5, n = 10000, rounds = 5, start = start_at(f)) {
  q <- start
  for (r in seq_len(rounds)) {
    Z <- mix_draw(q, n); lw <- eval_lp(f, Z) - mix_logd(q, Z); lw[!is.finite(lw)] <- -Inf
    t <- 1; repeat { w <- exp(t * (lw - max(lw))); w <- w / sum(w); if (1 / sum(w^2) > 40 * f$d || t < .05) break; t <- t * .8 }
    q <- mix_fit(Z, w, K, df, 1 / sum(w^2))
  }
  q
}
# importance sampling in `blocks` independent blocks: estimates and their errors by the jackknife
truth_is <- function(case, n = 300000, blocks = 30, seed = 1, q = NULL, ...) {
  set.seed(seed); f <- free_form(case); if (is.null(q)) q <- adapt(f, ...)
  Z <- mix_draw(q, n); lw <- eval_lp(f, Z) - mix_logd(q, Z); lw[!is.finite(lw)] <- -Inf
  mx <- max(lw); w <- exp(lw - mx)
  V <- matrix(0, length(f$vars), n); ok <- w > 1e-12
  V[, ok] <- apply(Z[, ok, drop = FALSE], 2, f$out)
  b <- rep(seq_len(blocks), length.out = n)
  c0 <- rowSums(V[, ok, drop = FALSE] * rep(w[ok], each = nrow(V))) / sum(w)
  V <- V - c0
  s0 <- c(rowsum(w, b)); s1 <- t(rowsum(t(V) * w, b)); s2 <- t(rowsum(t(V^2) * w, b))
  est <- function(j) { W <- sum(s0[j]); m <- rowSums(s1[, j, drop = FALSE]) / W
    cbind(m, sqrt(rowSums(s2[, j, drop = FALSE]) / W - m^2)) }
  all <- est(seq_len(blocks)); jk <- sapply(seq_len(blocks), function(j) est(-j))
  se <- matrix(apply(jk, 1, function(x) sqrt((blocks - 1)^2 / blocks * var(x))), ncol = 2)
  data.frame(variable = c(f$vars, "log_evidence"), mean = c(c0 + all[, 1], mx + log(mean(w))),
    sd = c(all[, 2], NA), mcse_mean = c(se[, 1], sd(log(s0)) / sqrt(blocks)), mcse_sd = c(se[, 2], NA)) |>
    structure(ess = sum(w)^2 / sum(w^2), khat = psis_k(lw), q = q)
}
# tensor trapezoid in whitened coordinates e = sinh(a u) / a, at two sizes; the error is their difference
truth_grid <- function(case, n = c(61, 81), width = 8, a = .25, q = NULL, seed = 1, m = NULL, L = NULL, z = NULL) {
  set.seed(seed); f <- free_form(case)
  if (is.null(m)) {
    if (is.null(q)) q <- adapt(f)
    Z <- mix_draw(q, 20000); w <- eval_lp(f, Z) - mix_logd(q, Z); w <- exp(w - max(w)); w <- w / sum(w)
    m <- c(Z %*% w); L <- t(chol(cov.wt(t(Z), w)$cov))
  }
  one <- function(n) {
    u <- seq(-width, width, length.out = n); e <- sinh(a * u) / a; lj <- log(cosh(a * u)) + log(u[2] - u[1])
    G <- t(as.matrix(expand.grid(rep(list(seq_len(n)), f$d))))
    r2 <- colSums(matrix(u[G]^2, f$d)); G <- G[, r2 <= width^2, drop = FALSE]; r2 <- r2[r2 <= width^2]
    Z <- m + L %*% matrix(e[G], f$d); lw <- eval_lp(f, Z) + colSums(matrix(lj[G], f$d)) + sum(log(diag(L)))
    mx <- max(lw); w <- exp(lw - mx); edge <- sum(w[r2 > (width - .5)^2]) / sum(w)
    ok <- w > 1e-18; V <- matrix(apply(Z[, ok, drop = FALSE], 2, f$out), ncol = sum(ok)); w <- w[ok] / sum(w)
    mu <- c(V %*% w); list(mean = c(mu, mx + log(sum(exp(lw - mx)))), sd = c(sqrt(c((V - mu)^2 %*% w)), NA), edge = edge)
  }
  r <- lapply(n, one); k <- length(n)
  data.frame(variable = c(f$vars, "log_evidence"), mean = r[[k]]$mean, sd = r[[k]]$sd,
    mcse_mean = abs(r[[k]]$mean - r[[1]]$mean), mcse_sd = abs(r[[k]]$sd - r[[1]]$sd)) |>
    structure(edge = r[[k]]$edge)
}
exact <- function(variable, mean, sd, log_evidence = NULL) {
  x <- data.frame(variable, mean, sd, mcse_mean = 0, mcse_sd = 0)
  if (!is.null(log_evidence)) x <- rbind(x, data.frame(variable = "log_evidence", mean = log_evidence, sd = NA, mcse_mean = 0, mcse_sd = NA))
  x
}
# a, b: list(means, SDs, log evidence) of two sizes of a quadrature
two_sizes <- function(variable, a, b) {
  x <- exact(variable, b[[1]], b[[2]], b[[3]])
  x$mcse_mean <- abs(c(b[[1]] - a[[1]], b[[3]] - a[[3]])); x$mcse_sd <- c(abs(b[[2]] - a[[2]]), NA); x
}
