# Small numerical tools: rules, quantiles with weights, logarithms that do not overflow, seeds.

# cbind(success, failure)?
is_pair <- function(y) is.matrix(y) && ncol(y) == 2L

# Gauss-Hermite rule for the standard normal [Golub & Welsch 1969].
normal_rule <- function(n) {
  J <- matrix(0, n, n)
  k <- seq_len(n - 1L)
  J[cbind(k, k + 1L)] <- J[cbind(k + 1L, k)] <- sqrt(k)
  e <- eigen(J, symmetric = TRUE)
  list(x = e$values, w = e$vectors[1L, ]^2)
}

# Gauss-Legendre rule on [-1, 1] [Golub & Welsch 1969].
legendre_rule <- function(n) {
  J <- matrix(0, n, n)
  k <- seq_len(n - 1L)
  J[cbind(k, k + 1L)] <- J[cbind(k + 1L, k)] <- k / sqrt(4 * k^2 - 1)
  e <- eigen(J, symmetric = TRUE)
  list(x = e$values, w = 2 * e$vectors[1L, ]^2)
}

lchoose_real <- function(n, k) lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

log1p_exp <- function(x) pmax(x, 0) + log1p(exp(-abs(x)))

weighted_quantile <- function(x, w, probs) {
  if (length(x) == 1L) return(rep(x, length(probs)))
  at <- order(x)
  mid <- cumsum(w[at]) - w[at] / 2
  stats::approx(mid, x[at], probs, rule = 2, ties = "ordered")$y
}

# x in [-h/2, h/2] with density proportional to exp(g x); log_density: of f's first-order model at x
# over the proposal's, so that their ratio is one where f is log-linear.
tilted_uniform <- function(g, h) {
  s <- g * h
  u <- stats::runif(length(g))
  flat <- abs(s) < 1e-6
  safe <- ifelse(flat, 1, s)
  # distribution function (exp(g x) - exp(-s/2)) / (exp(s/2) - exp(-s/2))
  x <- ifelse(flat, h * (u - 0.5),
    (abs(safe) / 2 + log(ifelse(safe > 0, u, 1 - u) +
      ifelse(safe > 0, 1 - u, u) * exp(-abs(safe)))) / abs(safe) * sign(safe) * h)
  x <- matrix(x, nrow(g))
  # log of sinh(s/2) / (s/2): what the node's weight lacks of the integral over its cell
  lift <- ifelse(flat, 0, abs(safe) / 2 + log1p(-exp(-abs(safe))) - log(abs(safe)))
  list(x = x, log_density = colSums(matrix(g * x - lift, nrow(g))))
}

# The value of an expression that draws random numbers, from a seed of its own; the generator's
# state comes back as it was.
with_fixed_seed <- function(expr, seed = 20260101L) {
  before <- get0(".Random.seed", globalenv(), inherits = FALSE)
  on.exit(if (is.null(before)) rm(".Random.seed", envir = globalenv()) else
    assign(".Random.seed", before, envir = globalenv()))
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion",
    sample.kind = "Rejection")
  expr
}

# Kronecker sequence of the generalised golden ratio: n points of the d-dimensional unit cube.
# Source: Roberts (2018), "The unreasonable effectiveness of quasirandom sequences".
quasi_random <- function(n, d) {
  g <- 2
  for (k in 1:60) g <- (1 + g)^(1 / (d + 1))
  (0.5 + outer(seq_len(n), g^-seq_len(d))) %% 1
}

# As in stats::simulate(): a seed is set for the simulation only, and the state it started
# from is kept.
seeded_state <- function(seed) {
  if (!exists(".Random.seed", envir = globalenv(), inherits = FALSE)) stats::runif(1)
  before <- get(".Random.seed", envir = globalenv())
  if (is.null(seed)) return(list(before = before, used = before))
  set.seed(check_count(seed, "seed", -.Machine$integer.max))
  list(before = before, used = structure(seed, kind = as.list(RNGkind())))
}

# The ends of the central interval of mass level.
central_probs <- function(level) c((1 - level) / 2, (1 + level) / 2)

quantile_names <- function(level) {
  paste0("q", formatC(100 * central_probs(level), digits = 12, format = "fg",
    width = 1))
}
