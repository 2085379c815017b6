# Is the likelihood of a binomial or count response bounded away from zero along some direction of
# the coefficients? Under a flat prior the posterior is improper then.

# d with A d >= 0 and A d != 0, or NULL when there is none. By Stiemke's lemma there is none if and
# only if A'lambda = 0 for some lambda > 0, which non-negative least squares finds; what is left of
# A'lambda is a direction otherwise. [Albert & Anderson 1984 on separation; Lawson & Hanson 1974,
# chapter 23.]
separating_direction <- function(A) {
  A <- unique(A)
  size <- sqrt(colSums(A^2))
  size[size == 0] <- 1
  A <- A / rep(size, each = nrow(A))
  left <- nonnegative_residual(t(A), -colSums(A))
  d <- -left
  along <- drop(A %*% d)
  if (max(along) <= 1e-7 * max(abs(A)) || min(along) < -1e-7 * max(along)) return(NULL)
  d / size
}

# The residual b - E x of the x >= 0 that makes it shortest. E: p x n with few rows.
nonnegative_residual <- function(E, b) {
  active <- integer()
  x <- numeric(ncol(E))
  left <- b
  for (step in seq_len(3L * ncol(E) + 10L)) {
    gain <- drop(crossprod(E, left))
    gain[active] <- -Inf
    best <- which.max(gain)
    if (!length(best) || gain[best] <= 1e-10 * sum(abs(b)) || length(active) >= nrow(E) + 1L) break
    active <- c(active, best)
    repeat {
      s <- least_squares(E[, active, drop = FALSE], b)
      if (all(s > 0)) break
      low <- s <= 0
      back <- min(x[active][low] / (x[active][low] - s[low]))
      x[active] <- x[active] + back * (s - x[active])
      active <- active[x[active] > 1e-14 * max(x)]
      x[-active] <- 0
      if (!length(active)) break
    }
    if (length(active)) x[active] <- s
    left <- drop(b - E %*% x)
    if (sum(left^2) < 1e-18 * sum(b^2)) break
  }
  left
}

least_squares <- function(E, b) {
  s <- qr.coef(qr(E, tol = 1e-12), b)
  ifelse(is.na(s), 0, s)
}

# Rows A with A d >= 0 for every d along which no row's likelihood falls: x of a row at its upper
# limit, -x at zero, both of any other.
likelihood_cone <- function(X, y, size, family) {
  used <- size > 0
  pull <- family_of(family)$pull(y, size)
  low <- used & pull < 0
  high <- used & pull > 0
  both <- used & !low & !high
  rbind(X[high, , drop = FALSE], -X[low, , drop = FALSE], X[both, , drop = FALSE],
    -X[both, , drop = FALSE])
}

check_separation <- function(X, y, size, family) {
  if (!ncol(X)) return(invisible())
  d <- separating_direction(likelihood_cone(unname(X), y, size, family))
  if (is.null(d)) return(invisible())
  reach <- abs(d) * sqrt(colMeans(X^2))
  mf_abort("separation", "the responses do not bound ",
    toString(utils::head(colnames(X)[reach > 1e-3 * max(reach)], 8)),
    " (separation: some combination of the predictors tells zeros from the rest without a ",
    "mistake, or ",
    "all responses are at their limit), and under a flat prior the posterior has no mean: use a ",
    "proper `prior` on beta", arg = "prior")
}
