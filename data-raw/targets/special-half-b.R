# Closed forms and cheaper exact ways of half B.
special$two_modes_1d_unequal <- function(case) { a <- mixture_1d(c(.7, .3), c(0, 4), c(1, .8)); exact("x", a[1], a[2], 0) }
special$two_modes_2d_far <- function(case) exact(c("x[1]", "x[2]"), 0, c(sqrt(101), 1), 0)
special$three_modes_2d <- function(case) {
  w <- c(.4, .35, .25); s <- c(1, .8, 1.2); a <- mixture_1d(w, c(0, 6, -2), s); b <- mixture_1d(w, c(0, 1, 7), s)
  exact(c("x[1]", "x[2]"), c(a[1], b[1]), c(a[2], b[2]), 0)
}
special$cauchy_location_3 <- function(case) special$cauchy_location(case)
special$ring <- function(case) exact(c("x[1]", "x[2]"), 0, 1.461164, 2.24599)
special$funnel_10d <- function(case) exact(c("v", sprintf("x[%d]", 1:9)), 0, c(3, rep(exp(9 / 4), 9)), 0)
special$schools_noncentred <- schools_exact(FALSE)
special$student_t2_5d <- function(case) exact(sprintf("x[%d]", 1:5), 0, NA, 0)
special$inverse_gamma_heavy <- function(case) exact("x", 2, NA, 0)
special$inverse_gamma_3 <- function(case) exact("x", 1, 1, 0)
special$shifted_exponential <- function(case) exact("x", 2 + 1 / 3, 1 / 3, 0)
special$arcsine <- function(case) exact("x", .5, sqrt(1 / 8), 0)
special$laplace_2d <- function(case) exact(c("x[1]", "x[2]"), c(1, -2), c(1, 3) * sqrt(2), 0)
special$near_singular <- function(case) exact(c("x[1]", "x[2]"), 0, 1, log(2 * pi) + log(1 - .9999^2) / 2)
special$weak_sum <- function(case) {
  P <- 3 / .05^2 * matrix(1, 2, 2) + diag(2) / 100; S <- solve(P); y <- c(2.1, 1.9, 2.05); m <- c(S %*% rep(sum(y) / .05^2, 2))
  V <- 200 + diag(3) * .05^2; lz <- -1.5 * log(2 * pi) - sum(log(diag(chol(V + 0)))) - sum(y * solve(V, y)) / 2
  exact(c("a", "b"), m, sqrt(diag(S)), lz)
}
# moments of x_k = x_(k-1)^2 + .3 e by polynomials in independent normals: fine line for x1, Gauss-Hermite for the rest
special$rosenbrock_4d <- function(case) {
  h <- normal_nodes(40); w <- exp(h$log_w); moments <- function(p) { # raw moments 1..8 of N(0, 1) scaled
    c(1, 0, 1, 0, 3, 0, 15, 0, 105)[p + 1] }
  raw1 <- sapply(0:16, function(p) sum(w * (1 + .5 * h$x)^p))
  step <- function(raw, top) sapply(0:top, function(p) sum(sapply(0:p, function(j) choose(p, j) * raw[2 * (p - j) + 1] * .3^j *
    c(1, 0, 1, 0, 3, 0, 15, 0, 105)[j + 1])))
  raw2 <- step(raw1, 8); raw3 <- step(raw2, 4); raw4 <- step(raw3, 2)
  m <- c(raw1[2], raw2[2], raw3[2], raw4[2]); s <- sqrt(c(raw1[3], raw2[3], raw3[3], raw4[3]) - m^2)
  exact(sprintf("x[%d]", 1:4), m, s, 0)
}
special$far_start <- function(case) exact(c("x[1]", "x[2]", "x[3]", "s"), c(50, -50, 100, 100), c(1, 1, 2, 50), 0)
special$bounds_as_infinite <- function(case) exact(c("x[1]", "x[2]"), c(.5, 1), c(1, 2) / sqrt(12), 0)
# density phi(x1) phi(x2) (1 + x2) on x2 > -1
special$nan_in_region <- function(case) {
  k0 <- pnorm(1); k1 <- dnorm(1); k2 <- k0 - k1; k3 <- 2 * k1 + k1   # int x^j phi over (-1, inf): j = 2: pnorm(1) - phi(1), j = 3: 3 phi(1)
  Z <- k0 + k1; m <- (k1 + k2) / Z; v <- (k2 + k3) / Z - m^2
  exact(c("x[1]", "x[2]"), c(0, m), c(1, sqrt(v)), log(Z))
}
special$hierarchical_logistic_13 <- hier_logit_exact(function(tau) log_half_cauchy(tau, 1))
# random effects are independent given (mu, tau): inner lines inside a plane
special$poisson_intercepts <- function(case) {
  y <- case$data$total; n <- case$data$n; u <- seq(-7, 7, length.out = 141); J <- length(y)
  inner <- function(mu, tau) { eta <- mu + tau * u; ll <- outer(y, eta) - rep(n * exp(eta), each = J) + rep(dnorm(u, log = TRUE) + log(u[2] - u[1]), each = J)
    m <- apply(ll, 1, max); W <- exp(ll - m); s <- rowSums(W); c(sum(m + log(s)), W %*% u / s, W %*% u^2 / s) }
  one <- function(k) { M <- seq(-6, 8, length.out = k); V <- seq(-12, 5, length.out = k); G <- as.matrix(expand.grid(M, V))
    R <- apply(G, 1, function(z) { v <- inner(z[1], exp(z[2])); v[1] <- v[1] + dnorm(z[1], 0, 3, log = TRUE) + log_half_cauchy(exp(z[2]), 1) + z[2]; v })
    l <- R[1, ]; mx <- max(l); w <- exp(l - mx); lz <- mx + log(sum(w) * (M[2] - M[1]) * (V[2] - V[1])); w <- w / sum(w); X <- rbind(G[, 1], exp(G[, 2]))
    m <- c(X %*% w); r <- c(R[1 + 1:J, ] %*% w); list(c(m, r), sqrt(c(c(X^2 %*% w) - m^2, c(R[1 + J + 1:J, ] %*% w) - r^2)), lz) }
  a <- one(111); b <- one(161); cat("   difference of two sizes", max(abs(unlist(a) - unlist(b))), "\n")
  structure(exact(c("mu", "tau", sprintf("raw[%d]", 1:J)), b[[1]], b[[2]], b[[3]]), method = "plane")
}
# raw is Gaussian given the scales: importance sampling over the six scales. The right tail of local[j]
# falls as local^-3 (the likelihood and the slab bound raw local global): its SD does not exist.
special$horseshoe <- function(case) {
  X <- case$data$X; y <- case$data$y; A <- crossprod(X) + diag(5) / 9; b <- c(crossprod(X, y)); yy <- sum(y^2)
  moments <- function(p) { D <- p$local * p$global; P <- A * outer(D, D) + diag(5); R <- chol(P); S <- chol2inv(R); m <- c(S %*% (D * b))
    list(m = m, S = S, D = D, l = -sum(log(diag(R))) + sum(m * (D * b)) / 2) }
  inner <- list(init = case$init[2:3], constraints = case$constraints, data = NULL,
    log_density = function(p) moments(p)$l - yy / 2 - length(y) / 2 * log(2 * pi) + sum(log_half_cauchy(p$local, 1)) + log_half_cauchy(p$global, .5),
    generated = function(p) { q <- moments(p); v <- diag(q$S); list(a = q$m, b = v + q$m^2, c = q$m * q$D, d = (v + q$m^2) * q$D^2) })
  t <- pooled(inner, 200000); g <- function(n) t[match(n, t$variable), ]
  pick <- function(name, a, b) { x <- g(sprintf("%s[%d]", a, 1:5)); z <- g(sprintf("%s[%d]", b, 1:5)); s <- sqrt(z$mean - x$mean^2)
    data.frame(variable = sprintf("%s[%d]", name, 1:5), mean = x$mean, sd = s, mcse_mean = x$mcse_mean, mcse_sd = (z$mcse_mean + 2 * abs(x$mean) * x$mcse_mean) / (2 * s)) }
  l <- g(sprintf("local[%d]", 1:5)); l$sd <- l$mcse_sd <- NA
  structure(rbind(pick("raw", "a", "b"), l, g("global"), pick("beta", "c", "d"), g("log_evidence")), method = "importance")
}
special$variance_components_3 <- variance_exact(5, 1, 1)
for (name in c("michaelis_menten", "gp_matern", "change_point_normal", "student_location")) special[[name]] <- wide_grid
# the response is linear in the capacity: sums over the rows are taken once per (rate, middle)
special$logistic_growth <- function(case) {
  y <- case$data$y; t <- case$data$t; n <- length(y)
  spread <- function(k, centre, scale, top) { u <- seq(-1, 1, length.out = k) * asinh(top / scale); list(x = centre + scale * sinh(u), w = log(scale * cosh(u) * (u[2] - u[1]))) }
  one <- function(k) {
    R <- spread(k, log(.63), .12, 4); M <- spread(k, 5.3, .25, 20); C <- spread(k, log(21.3), .04, 4.5); S <- spread(k, log(.8), .4, 5)
    c1 <- rep(exp(C$x), k); s <- rep(exp(S$x), each = k)
    base <- dlnorm(c1, 3, 1, log = TRUE) + log(c1) + log_half_cauchy(s, 1) + log(s) - n * log(s) - n / 2 * log(2 * pi) + rep(C$w, k) + rep(S$w, each = k)
    F <- cbind(1, c1, c1^2, s, s^2); big <- -1e3; E <- 0
    for (i in seq_len(k)) for (j in seq_len(k)) { r <- R$x[i]; m <- M$x[j]; g <- plogis(exp(r) * (t - m)); q <- sum(y^2) - 2 * c1 * sum(y * g) + c1^2 * sum(g^2)
      l <- base - q / (2 * s^2) + dnorm(r, -1, 1, log = TRUE) + dnorm(m, 5, 5, log = TRUE) + R$w[i] + M$w[j]; mx <- max(l); if (mx < big - 45) next
      if (mx > big) { E <- E * exp(big - mx); big <- mx }
      w <- c(exp(l - big) %*% F); E <- E + c(w, w[1] * c(exp(r), exp(2 * r), m, m^2)) }
    lz <- big + log(E[1]); E <- E[-1] / E[1]; i <- c(1, 5, 7, 3); list(E[i], sqrt(E[i + 1] - E[i]^2), lz) }
  a <- one(60); b <- one(80); cat("   relative difference of two sizes", max(abs(unlist(a) / unlist(b) - 1)), "\n")
  structure(two_sizes(c("capacity", "rate", "middle", "sigma"), a, b), method = "cube")
}
special$gradient_wrong_in_region <- function(case) exact(c("x[1]", "x[2]"), 0, 1, 0)
special$autoregression_300d <- function(case) exact(sprintf("x[%d]", 1:300), 0, 1, 0)
