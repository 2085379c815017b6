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
