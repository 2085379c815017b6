# Kullback-Leibler divergences and entropies, in closed form; of a log density, by quadrature.

#' Kullback-Leibler divergence and entropy
#'
#' `kl_divergence(p, q)` is KL(p || q) = E_p log(p / q): what it costs, in expected log loss, to
#' take q for p. It is not symmetric, and infinite where q gives no mass to what p finds possible.
#' `entropy_of()` is -E log p, of a continuous law the differential entropy.
#'
#' @param p,q Two laws of one family and dimension: vectors of probabilities, [law()] objects, or
#'   normal, gamma and Wishart [priors()]. One of the two may instead be a function, a log density
#'   in one or two dimensions as in [project_normal()] (normalised or not), if the other is normal.
#'   For `entropy_of()`, a law or the log density of one variable.
#' @param base Base of the logarithm: `exp(1)` for nats, 2 for bits.
#' @details
#' Discrete, KL = sum p log(p / q); normal,
#' KL = (tr(Q^-1 P) + (q - p)' Q^-1 (q - p) - d + log |Q| - log |P|) / 2 for covariances P and Q.
#' The other families are of the form exp(theta' s(x) - A(theta)), so that with eta = E_p s
#' KL = (theta_p - theta_q)' eta_p - A(theta_p) + A(theta_q), and the entropy is A - theta' eta.
#' Log densities are integrated by the trapezoidal rule, for smooth ones to about ten digits, from
#' the mean of the normal on (of `entropy_of()` from 0): modes far from it can be missed, and tails
#' that underflow to `-Inf` are no support, see [project_normal()].
#' @return One number, not negative up to rounding; `Inf` where q lacks support.
#' @section Errors: `meanfield_error_control` for what is no law, for laws that cannot be compared,
#'   and for a `base` not greater than one; `meanfield_error_density` for a log density that cannot
#'   be integrated; a warning `meanfield_warning_density` says when it is not accurate to 1e-6.
#' @references Kullback, S. and Leibler, R. A. (1951). On information and sufficiency. *Annals of
#'   Mathematical Statistics* 22, 79-86. Cover, T. M. and Thomas, J. A. (2006). *Elements of
#'   Information Theory*, chapters 2 and 8.
#' @seealso [project_normal()] for the normal that is closest to a density.
#' @examples
#' p <- c(.6, .3, .1)
#' q <- c(.5, .25, .25)
#' kl_divergence(p, q, base = 2)
#' kl_divergence(q, p, base = 2)
#' entropy_of(p, base = 2)
#'
#' S <- matrix(c(1, .8, .8, 1), 2)
#' kl_divergence(law("normal", cov = diag(diag(S))), law("normal", cov = S))
#'
#' two <- function(x) log(.5 * dnorm(x, -2, .5) + .5 * dnorm(x, 2, .5))
#' kl_divergence(law("normal", mean = 2, sd = .5), two)
#' kl_divergence(gamma_prior(2, 1), gamma_prior(3, 1))
#' @export
kl_divergence <- function(p, q, base = exp(1)) {
  unit <- log_base(base)
  if (is.function(p) || is.function(q)) return(kl_of_function(p, q) / unit)
  p <- as_law(p, "p")
  q <- as_law(q, "q")
  if (p$family != q$family || p$d != q$d) {
    mf_abort("control", "`p` and `q` must be of one family and dimension, not ", p$family, " of ",
      p$d, " and ", q$family, " of ", q$d, arg = "q")
  }
  switch(p$family, discrete = kl_discrete(p, q), normal = kl_normal(p, q),
    kl_exponential(exponential_form(p), exponential_form(q))) / unit
}

#' @rdname kl_divergence
#' @export
entropy_of <- function(p, base = exp(1)) {
  unit <- log_base(base)
  if (is.function(p)) {
    grid <- density_grid(p, 0)
    warn_inaccurate(grid$error)
    return(grid$entropy / unit)
  }
  p <- as_law(p, "p")
  switch(p$family, discrete = -sum(ifelse(p$prob > 0, p$prob * log(p$prob), 0)),
    normal = (p$d * (1 + log(2 * pi)) + log_det_spd(p$cov)) / 2,
    entropy_exponential(exponential_form(p))) / unit
}

log_base <- function(base) log(check_number(base, "base", 1, strict = TRUE))

kl_discrete <- function(p, q) sum(ifelse(p$prob > 0, p$prob * log(p$prob / q$prob), 0))

kl_normal <- function(p, q) {
  lower <- function(A) t(chol(A))
  P <- lower(p$cov)
  Q <- lower(q$cov)
  ratio <- forwardsolve(Q, P)
  (sum(ratio^2) + sum(forwardsolve(Q, q$mean - p$mean)^2) - p$d) / 2 - sum(log(diag(ratio)))
}

# ---- exponential families: natural parameters, expectations of the statistics, log normaliser;
# the base measure is one

exponential_form <- function(law) {
  switch(law$family, gamma = gamma_form(law$shape, law$rate), beta = ,
    dirichlet = dirichlet_form(law$alpha), wishart = wishart_form(law$df, law$scale))
}

# Statistics log x, x.
gamma_form <- function(a, b) {
  list(theta = c(a - 1, -b), eta = c(digamma(a) - log(b), a / b), A = lgamma(a) - a * log(b))
}

# Statistics log x_k; a beta law is that of x_1.
dirichlet_form <- function(alpha) {
  list(theta = alpha - 1, eta = digamma(alpha) - digamma(sum(alpha)),
    A = sum(lgamma(alpha)) - lgamma(sum(alpha)))
}

# Statistics log |X|, X.
wishart_form <- function(df, scale) {
  d <- nrow(scale)
  half <- (df - seq_len(d) + 1) / 2
  log_det <- log_det_spd(scale)
  list(
    theta = c((df - d - 1) / 2, -chol2inv(chol(scale)) / 2),
    eta = c(sum(digamma(half)) + d * log(2) + log_det, df * scale),
    A = df / 2 * (log_det + d * log(2)) + d * (d - 1) / 4 * log(pi) + sum(lgamma(half))
  )
}

kl_exponential <- function(p, q) sum((p$theta - q$theta) * p$eta) - p$A + q$A

entropy_exponential <- function(p) p$A - sum(p$theta * p$eta)

# ---- a log density against a normal ---------------------------------------------------------

kl_of_function <- function(p, q) {
  forward <- is.function(p)
  other <- if (forward) q else p
  normal <- if (!is.function(other)) as_law(other, if (forward) "q" else "p")
  if (is.null(normal) || normal$family != "normal" || normal$d > 2L) {
    mf_abort("control", "a log density can be compared with a normal law of one or two dimensions",
      arg = if (forward) "q" else "p")
  }
  grid <- density_grid(if (forward) p else q, normal$mean)
  if (!forward) {
    under <- normal_expectation(q, normal)
    if (under$value == -Inf) return(Inf)
    warn_inaccurate(max(grid$error, under$error))
    return(grid$log_z - entropy_of(normal) - under$value)
  }
  check_moments(grid, "KL(p || q) to a normal is infinite without one")
  warn_inaccurate(grid$error)
  around <- grid$cov + tcrossprod(grid$mean - normal$mean)
  kl_normal(list(mean = normal$mean, cov = around, d = normal$d), normal) +
    (normal$d * (1 + log(2 * pi)) + log_det_spd(around)) / 2 - grid$entropy
}
