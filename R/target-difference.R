# Central differences of any function of points, and the steps that fit them.

# Central differences of value(Z), whose values at Z are lp; one-sided where one side has no
# density. step: a number per coordinate, multiplied by max(1, |z|).
difference_gradient <- function(Z, lp, value, step) {
  d <- nrow(Z)
  G <- matrix(NA_real_, d, ncol(Z))
  at <- which(is.finite(lp))
  chunk <- max(1, 1e6 %/% (2 * d * d))
  for (own in split(at, (seq_along(at) - 1L) %/% chunk)) {
    G[, own] <- difference_block(Z[, own, drop = FALSE], lp[own], value, step)
  }
  G
}

difference_block <- function(Z, lp, value, step) {
  d <- nrow(Z)
  n <- ncol(Z)
  h <- step * pmax(1, abs(Z))
  moved <- function(sign) {
    M <- Z[, rep(seq_len(n), each = d), drop = FALSE]
    diagonal <- cbind(rep(seq_len(d), n), seq_len(d * n))
    M[diagonal] <- M[diagonal] + sign * h
    M
  }
  f <- matrix(value(cbind(moved(1), moved(-1))), d * n)
  up <- f[, 1L]
  down <- f[, 2L]
  here <- rep(lp, each = d)
  one_up <- !is.finite(down)
  one_down <- !is.finite(up)
  up[one_down] <- here[one_down]
  down[one_up] <- here[one_up]
  g <- (up - down) / (2 * c(h))
  one <- xor(one_up, one_down)
  g[one] <- 2 * g[one]
  g[one_up & one_down] <- NA
  matrix(g, d)
}

DIFFERENCE_STEP <- 1e-5
# scale: standard deviations, where they are known: the best step is eps^(1/3) of them.
difference_step <- function(target, scale) {
  if (is.null(scale)) return(target$step %||% DIFFERENCE_STEP)
  pmin(pmax(1e-4 * scale, 1e-9), 1e-3) / pmax(1, abs(target$init))
}

# Steps that fit the curvature at z: the best is (3 eps |f|)^(1/3) standard deviations; within 1e-7
# and 1e-3, since the curvature may be another elsewhere.
scaled_steps <- function(z, value) {
  d <- length(z)
  f <- value(matrix(z))
  size <- pmax(1, abs(z))
  noise <- 1e3 * .Machine$double.eps * max(1, abs(f))
  curvature <- rep(NA_real_, d)
  for (h in c(1e-3, 1e-2, 1e-1, 1)) {
    open <- which(is.na(curvature))
    if (!length(open)) break
    second <- second_differences(z, value, f, open, h * size[open])
    seen <- which(is.finite(second) & abs(second) > noise)
    curvature[open[seen]] <- abs(second[seen]) / (h * size[open[seen]])^2
  }
  step <- (3 * .Machine$double.eps * max(1, abs(f)))^(1 / 3) / sqrt(curvature) / size
  step[is.na(step)] <- 1e-3
  pmin(pmax(step, 1e-7), 1e-3)
}

second_differences <- function(z, value, f, which, h) {
  moved <- function(sign) {
    M <- matrix(z, length(z), length(which))
    at <- cbind(which, seq_along(which))
    M[at] <- M[at] + sign * h
    M
  }
  values <- matrix(value(cbind(moved(1), moved(-1))), ncol = 2L)
  rowSums(values) - 2 * f
}
