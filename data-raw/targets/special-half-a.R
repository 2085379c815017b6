# Closed forms and cheaper exact ways of half A.
mixture_1d <- function(w, m, s) { mu <- sum(w * m); c(mu, sqrt(sum(w * (s^2 + m^2)) - mu^2)) }
special$normal_1d <- function(case) exact("x", 3, 2, 0)
special$banana <- function(case) exact(c("x[1]", "x[2]"), c(0, 1), c(1, 1.5), 0)
special$funnel_2d <- function(case) exact(c("v", "x"), c(0, 0), c(3, exp(9 / 4)), 0)
special$student_t2_1d <- function(case) exact("x", 0, NA, 0)
special$cauchy_1d <- function(case) exact("x", NA, NA, 0)
special$log_gamma_half <- function(case) exact("x", digamma(.5), sqrt(trigamma(.5)), 0)
special$gamma_small_shape <- function(case) exact("x", .6, sqrt(.6), 0)
special$uniform_bounded <- function(case) exact("x", 3.5, 3 / sqrt(12), 0)
special$two_scales <- function(case) exact(c("x", "y"), c(2e-6, 3e6), c(1e-6, 1e6), log(2 * pi * .6))
special$two_modes_1d <- function(case) exact("x", 0, sqrt(10), 0)
special$two_modes_2d_unequal <- function(case) {
  a <- mixture_1d(c(.7, .3), c(-5, 5), c(1, 1)); b <- mixture_1d(c(.7, .3), c(2, -2), c(1, .5))
  exact(c("x[1]", "x[2]"), c(a[1], b[1]), c(a[2], b[2]), 0)
}
special$three_modes_1d <- function(case) { a <- mixture_1d(c(.2, .5, .3), c(-8, 0, 9), c(1, .7, 1.5)); exact("x", a[1], a[2], 0) }
special$plateau_and_spike <- function(case) {
  a <- mixture_1d(c(.5, .5), c(0, 1.5), c(2, .01)); exact(c("x[1]", "x[2]"), a[1], a[2], 0)
}
special$jump_in_bulk <- function(case) {
  Z <- pnorm(.3) + 4 * pnorm(-.3); m <- 3 * dnorm(.3) / Z; v <- (Z + 3 * .3 * dnorm(.3)) / Z - m^2
  exact("x", m, sqrt(v), log(Z))
}
special$error_in_region <- function(case) {
  r <- dnorm(1) / pnorm(1); exact(c("x[1]", "x[2]"), c(-r, 0), c(sqrt(1 - r - r^2), 1), pnorm(1, log.p = TRUE))
}
# two modes each way: quadrature on the line itself
special$cauchy_location <- function(case) {
  one <- function(n) { x <- seq(-60, 60, length.out = n); l <- sapply(x, function(m) case$log_density(list(mu = m), case$data))
    w <- exp(l - max(l)); Z <- sum(w) * (x[2] - x[1]); w <- w / sum(w); m <- sum(w * x); c(m, sqrt(sum(w * (x - m)^2)), max(l) + log(Z)) }
  a <- one(12001); b <- one(24001); stopifnot(abs(a - b) < 1e-6); exact("mu", b[1], b[2], b[3])
}
# eight schools: theta and mu given tau are Gaussian, tau by quadrature on asinh scale
schools_exact <- function(centred = TRUE) function(case) {
  y <- case$data$y; s <- case$data$sigma
  one <- function(n) {
    u <- seq(-14, 9, length.out = n); tau <- exp(u); v <- outer(s^2, tau^2, `+`)
    V <- 1 / (colSums(1 / v) + 1 / 25); m <- V * colSums(y / v)
    l <- -colSums(log(v)) / 2 - colSums(y^2 / v) / 2 + m^2 / V / 2 + log(V) / 2 - log(5) - 4 * log(2 * pi) + log_half_cauchy(tau, 5) + u
    mx <- max(l); lz <- mx + log(sum(exp(l - mx)) * (u[2] - u[1])); w <- exp(l - mx); w <- w / sum(w)
    k <- sapply(1:8, function(j) tau^2 / v[j, ])                       # theta_j = mu + k (y - mu)
    em <- sapply(1:8, function(j) m + k[, j] * (y[j] - m)); vt <- sapply(1:8, function(j) k[, j] * s[j]^2 + (1 - k[, j])^2 * V)
    th <- colSums(w * em); thv <- colSums(w * (vt + em^2)) - th^2
    r <- sapply(1:8, function(j) tau / v[j, ] * (y[j] - m)); rv <- sapply(1:8, function(j) s[j]^2 / v[j, ] + (tau / v[j, ])^2 * V)
    et <- colSums(w * r); etv <- colSums(w * (rv + r^2)) - et^2
    mu <- sum(w * m); sm <- sqrt(sum(w * (V + m^2)) - mu^2); tm <- sum(w * tau); ts <- sqrt(sum(w * tau^2) - tm^2)
    list(theta = cbind(th, sqrt(thv)), raw = cbind(et, sqrt(etv)), mu = c(mu, sm), tau = c(tm, ts), lz = lz)
  }
  a <- one(20001); b <- one(40001); stopifnot(abs(unlist(a) - unlist(b)) < 1e-5)
  th <- if (centred) exact(sprintf("theta[%d]", 1:8), b$theta[, 1], b$theta[, 2]) else
    rbind(exact(sprintf("raw[%d]", 1:8), b$raw[, 1], b$raw[, 2]), exact(sprintf("theta[%d]", 1:8), b$theta[, 1], b$theta[, 2]))
  structure(rbind(th, exact(c("mu", "tau"), c(b$mu[1], b$tau[1]), c(b$mu[2], b$tau[2]), b$lz)), method = "line")
}
special$schools_centred <- schools_exact(TRUE)
# d = 3 by quadrature to 7e-5 relative, in two coordinate systems, and by importance sampling
special$sir <- function(case) structure(exact(c("gamma", "beta", "phi_inv", "T", "R0"),
  c(.54197, 1.73493, .13749, 1.85811, 3.22242), c(.04537, .05285, .07483, .15657, .27596), -67.23975), method = "grid")
# (hazard rates are independent gammas given beta: a line)
special$piecewise_hazard <- function(case) {
  d <- case$data
  one <- function(n) { b <- seq(-9, 9, length.out = n); r <- 1 + outer(d$exposure[2, ], exp(b)) + d$exposure[1, ]; s <- d$events + .5
    l <- b * d$events_x + dnorm(b, 0, 2, log = TRUE) - colSums(s * log(r)) + sum(lgamma(s) - lgamma(.5)); mx <- max(l); w <- exp(l - mx)
    lz <- mx + log(sum(w) * (b[2] - b[1])); w <- w / sum(w); m1 <- c((s / r) %*% w); m2 <- c((s * (s + 1) / r^2) %*% w); mb <- sum(w * b)
    c(m1, mb, sqrt(m2 - m1^2), sqrt(sum(w * (b - mb)^2)), lz) }
  a <- one(4001); b <- one(8001); stopifnot(abs(a - b) < 1e-7)
  structure(exact(c(sprintf("hazard[%d]", 1:4), "beta"), b[1:5], b[6:10], b[11]), method = "line")
}
# random effects are independent given the rest: inner lines inside a cube
hier_logit_exact <- function(prior) function(case) {
  y <- case$data$y; x <- case$data$x; g <- case$data$g; J <- max(g); u <- seq(-6.5, 6.5, length.out = 53)
  inner <- function(b, tau) { eta <- outer(b[1] + b[2] * x, tau * u, `+`); ll <- rowsum(y * eta - pmax(eta, 0) - log1p(exp(-abs(eta))), g)
    ll <- ll + rep(dnorm(u, log = TRUE) + log(u[2] - u[1]), each = J); m <- apply(ll, 1, max); W <- exp(ll - m); s <- rowSums(W)
    c(sum(m + log(s)), W %*% u / s, W %*% u^2 / s) }
  f <- function(z) inner(z[1:2], exp(z[3]))[1] + sum(dnorm(z[1:2], 0, 2.5, log = TRUE)) + prior(exp(z[3])) + z[3]
  o <- optim(c(0, 0, 0), function(z) -f(z), method = "BFGS", hessian = TRUE); L <- t(chol(solve(o$hessian)))
  one <- function(n) { e1 <- seq(-6.5, 6.5, length.out = n); e3 <- seq(-14, 7, length.out = n + 6)
    G <- as.matrix(expand.grid(e1, e1, e3)); G <- G[rowSums(G[, 1:2]^2) < 42, ]; Z <- t(G %*% t(L)) + o$par
    R <- apply(Z, 2, function(z) { v <- inner(z[1:2], exp(z[3])); v[1] <- v[1] + sum(dnorm(z[1:2], 0, 2.5, log = TRUE)) + prior(exp(z[3])) + z[3]; v })
    l <- R[1, ]; mx <- max(l); w <- exp(l - mx); lz <- mx + log(sum(w) * (e1[2] - e1[1])^2 * (e3[2] - e3[1]) * prod(diag(L))); w <- w / sum(w)
    V <- rbind(Z[1:2, ], exp(Z[3, ])); m <- c(V %*% w); s <- sqrt(c(V^2 %*% w) - m^2); r <- c(R[1 + 1:J, ] %*% w); rs <- sqrt(c(R[1 + J + 1:J, ] %*% w) - r^2)
    list(mean = c(m, r), sd = c(s, rs), lz = lz) }
  a <- one(17); b <- one(23)
  t <- exact(c("beta[1]", "beta[2]", "tau", sprintf("raw[%d]", 1:J)), b$mean, b$sd, b$lz)
  t$mcse_mean <- abs(c(b$mean - a$mean, b$lz - a$lz)); t$mcse_sd <- c(abs(b$sd - a$sd), NA); structure(t, method = "grid")
}
special$hierarchical_logistic <- hier_logit_exact(function(tau) log_half_normal(tau, 1.5))
# e0 and emax are Gaussian given (ed50, sigma): a plane
special$emax <- function(case) {
  d <- case$data; n <- length(d$y)
  one <- function(k) {
    u <- log(20) + seq(-8, 8, length.out = k); v <- seq(-2.5, 3.5, length.out = k); R <- matrix(0, k * k, 9); i <- 0
    for (a in u) { X <- cbind(1, d$dose / (exp(a) + d$dose)); XX <- crossprod(X); Xy <- crossprod(X, d$y); yy <- sum(d$y^2)
      for (b in v) { s2 <- exp(2 * b); P <- XX / s2 + diag(c(1 / 100, 1 / 400)); S <- solve(P); m <- S %*% Xy / s2
        l <- -n / 2 * log(2 * pi * s2) - yy / 2 / s2 + sum(m * (P %*% m)) / 2 + log(det(S)) / 2 - log(200) +
          dnorm(a, log(20), 1, log = TRUE) + log_half_normal(exp(b), 5) + b
        i <- i + 1; R[i, ] <- c(l, m, S[1, 1] + m[1]^2, S[2, 2] + m[2]^2, exp(a), exp(2 * a), exp(b), exp(2 * b)) } }
    mx <- max(R[, 1]); w <- exp(R[, 1] - mx); lz <- mx + log(sum(w) * (u[2] - u[1]) * (v[2] - v[1])); w <- w / sum(w); E <- c(w %*% R)
    m <- E[c(2, 3, 6, 8)]; list(m, sqrt(E[c(4, 5, 7, 9)] - m^2), lz) }
  a <- one(121); b <- one(181); stopifnot(abs(unlist(a) / unlist(b) - 1) < 1e-4)
  structure(exact(c("e0", "emax", "ed50", "sigma"), b[[1]], b[[2]], b[[3]]), method = "plane")
}
# labels swap: the half with mu[1] < mu[2] by quadrature, the other half is its image
special$mixture_unordered <- function(case) {
  half <- case; half$constraints <- function() list(share = unit_interval(), mu = ordered_vector())
  t <- truth_grid(half, c(41, 61), 8.5); m <- t$mean; v <- t$sd^2; mu <- (m[2] + m[3]) / 2
  s <- sqrt(c(v[1] + (m[1] - .5)^2, rep((v[2] + m[2]^2 + v[3] + m[3]^2) / 2 - mu^2, 2)))
  e <- exact(c("share", "mu[1]", "mu[2]"), c(.5, mu, mu), s, m[4] + log(2)); e$mcse_mean <- t$mcse_mean; e$mcse_sd <- t$mcse_sd
  structure(e, method = "grid", edge = attr(t, "edge"))
}
# log top is Gaussian given the rest: a cube with closed moments
special$gompertz_growth <- function(case) {
  ly <- log(case$data$y); t <- case$data$t; n <- length(t)
  one <- function(k) {
    sh <- seq(-2.5, 6, length.out = k); sg <- seq(-4.2, 2, length.out = k); U <- seq(-6, 2.5, length.out = k); big <- -1e3; E <- 0
    s <- rep(exp(sh), k); b <- rep(sg, each = k); s2 <- exp(2 * b); P <- n / s2 + 1
    for (u in U) { e <- exp(-exp(u) * t); A <- sum(ly) + s * sum(e); Q <- sum(ly^2) + 2 * s * sum(ly * e) + s^2 * sum(e^2)
      m <- (A / s2 + log(10)) / P
      l <- -n / 2 * log(2 * pi * s2) - Q / 2 / s2 - log(10)^2 / 2 + P * m^2 / 2 - log(P) / 2 +
        dnorm(log(s), 1, 1, log = TRUE) + dnorm(u, -1, 1, log = TRUE) + log_half_normal(exp(b), 1) + b
      if (max(l) > big) { E <- E * exp(big - max(l)); big <- max(l) }
      w <- exp(l - big); m[w == 0] <- 0; E <- E + c(w %*% cbind(1, exp(m + .5 / P), exp(2 * m + 2 / P), s, s^2, exp(u), exp(2 * u), exp(b), s2)) }
    lz <- big + log(E[1] * (sh[2] - sh[1]) * (sg[2] - sg[1]) * (U[2] - U[1])); E <- E[-1] / E[1]
    m <- E[c(1, 3, 5, 7)]; list(m, sqrt(E[c(2, 4, 6, 8)] - m^2), lz) }
  a <- one(201); b <- one(301); cat("   relative difference of two sizes", max(abs(unlist(a) / unlist(b) - 1)), "\n")
  structure(two_sizes(c("top", "shift", "rate", "sigma"), a, b), method = "cube")
}
# mu is Gaussian given (tau, sigma): a plane, wide enough for the power tail of tau
variance_exact <- function(prior_sd, tau_scale, sigma_scale) function(case) {
  d <- case$data; J <- d$groups; n <- d$n
  one <- function(k) {
    t <- seq(-14, 24, length.out = 2 * k); s <- seq(-3, 6, length.out = k); tau <- rep(exp(t), k); s2 <- rep(exp(2 * s), each = 2 * k)
    v <- tau^2 + s2 / n; P <- J / v + 1 / prior_sd^2; m <- sum(d$means) / v / P
    l <- -J / 2 * log(2 * pi * v) - sum(d$means^2) / 2 / v + P * m^2 / 2 - log(P) / 2 - log(prior_sd) - J * (n - 1) / 2 * log(s2) -
      d$within / 2 / s2 + log_half_cauchy(tau, tau_scale) + log(tau) + log_half_cauchy(sqrt(s2), sigma_scale) + log(s2) / 2
    mx <- max(l); w <- exp(l - mx); lz <- mx + log(sum(w) * (t[2] - t[1]) * (s[2] - s[1])); w <- w / sum(w)
    E <- c(w %*% cbind(m, m^2 + 1 / P, tau, tau^2, sqrt(s2), s2)); list(E[c(1, 3, 5)], sqrt(E[c(2, 4, 6)] - E[c(1, 3, 5)]^2), lz) }
  a <- one(400); b <- one(600); cat("   relative difference of two sizes", max(abs(unlist(a) / unlist(b) - 1)), "\n")
  structure(exact(c("mu", "tau", "sigma"), b[[1]], b[[2]], b[[3]]), method = "plane")
}
special$variance_components_4 <- variance_exact(10, 2.5, 2.5)
wide_grid <- function(case) structure(truth_grid(case, c(55, 75), 11, a = .3), method = "grid")
special$gp_hyperparameters <- wide_grid
special$wrong_gradient <- function(case) exact(c("x[1]", "x[2]"), c(1, 2), c(1, 3), 0)
special$normal_1000d <- function(case) exact(sprintf("x[%d]", 1:1000), sin(1:1000), exp(cos(1:1000)), 0)
