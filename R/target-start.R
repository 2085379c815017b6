# Where a fit of a target starts: the mode uphill from a point and the curvature there.

# ev: an evaluator. Uphill by L-BFGS, then Newton steps on a Hessian by differences of gradients;
# where these do not arrive, both again in coordinates in which the curvature is one. usable: is
# there a mode, to a decrement g' H^-1 g below 0.1, with the curvature of a maximum? Then L is the
# factor of the inverse negative Hessian. reason: "" or, in a word, why not.
start_at <- function(ev, z0, max_points = Inf) {
  counted <- counting(ev, max_points)
  at <- climb(counted$ev, z0, diag(length(z0)))
  for (round in 1:3) {
    if (at$reason != "") break
    at <- newton_climb(counted$ev, at)
    if (at$usable || is.null(at$unit)) break
    at <- climb(counted$ev, at$z, at$unit, at)
  }
  at$unit <- NULL
  at$asked <- counted$asked()
  if (!at$usable && at$reason == "") {
    at$reason <- if (at$asked < max_points) "no usable mode" else "too many points"
  }
  at
}

# An evaluator that knows how often it was asked, and knows of no density after `most` points.
counting <- function(ev, most) {
  asked <- 0
  list(
    ev = function(Z, gradient = TRUE) {
      asked <<- asked + ncol(Z)
      if (asked <= most) return(ev(Z, gradient))
      list(lp = rep(-Inf, ncol(Z)), gradient = if (gradient) Z * NaN)
    },
    asked = function() min(asked, most)
  )
}

lbfgs_reasons <- c("", "", "no density at the start", "", "diverged", "")

# Along L-BFGS from z, in coordinates u, z = z_0 + unit u; `before`: what the path goes on from.
climb <- function(ev, z, unit, before = NULL) {
  place <- function(U) z + unit %*% U
  whitened <- function(U, gradient) {
    out <- ev(place(U), TRUE)
    list(lp = out$lp, gradient = crossprod(unit, out$gradient))
  }
  run <- call_bb_lbfgs(whitened, numeric(length(z)))$result
  if (length(run$path_lp) == 0L) return(no_start(z, run, before))
  path <- place(run$path)
  top <- ncol(path)
  g <- forwardsolve_transposed(unit, run$path_gradient)
  list(
    z = path[, top], lp = run$path_lp[top], gradient = g[, top],
    path = cbind(before$path, path), path_gradient = cbind(before$path_gradient, g),
    path_lp = c(before$path_lp, run$path_lp), usable = FALSE, L = NULL, hessian = NULL,
    reason = lbfgs_reasons[run$end + 1L]
  )
}

# g of unit' g = h
forwardsolve_transposed <- function(unit, h) backsolve(unit, h, upper.tri = FALSE, transpose = TRUE)

no_start <- function(z, run, before) {
  if (!is.null(before)) return(before)
  list(
    z = z, lp = -Inf, gradient = rep(NaN, length(z)), path = run$path,
    path_gradient = run$path_gradient, path_lp = run$path_lp, usable = FALSE, L = NULL,
    hessian = NULL, reason = "no density at the start"
  )
}

# Newton steps until the decrement is below 0.1, at most `most`.
newton_climb <- function(ev, at, most = 5L) {
  widths <- NULL
  for (step in seq_len(most)) {
    curved <- hessian_by_differences(ev, at$z, widths)
    if (is.null(curved)) break
    widths <- curved$widths
    newton <- newton_step(curved$H, at$gradient)
    at$unit <- newton$L
    at$hessian <- curved$H
    small <- newton$maximum && newton$decrement < 0.1
    if (small) at[c("usable", "L")] <- list(TRUE, newton$L)
    moved <- longest_gain(ev, at, newton$step, if (small) 1 else 2^(0:-9))
    if (is.null(moved)) break
    at <- moved
    if (small) break
  }
  at
}

# The Newton step uphill in the diagonal scale of H, in which no unit counts. Where H is not that
# of a maximum, its eigenvalues count by their size, none as less than a thousandth of the largest.
newton_step <- function(H, gradient) {
  s <- sqrt(abs(diag(H)))
  s[s == 0] <- if (any(s > 0)) min(s[s > 0]) else 1
  scaled <- -H / tcrossprod(s)
  e <- eigen(scaled, symmetric = TRUE)
  size <- max(abs(e$values), 1e-300)
  maximum <- min(e$values) > 1e-12 * size
  values <- if (maximum) e$values else pmax(abs(e$values), 1e-3 * size)
  root <- e$vectors / rep(sqrt(values), each = length(s)) / s
  step <- drop(root %*% crossprod(root, gradient))
  list(
    step = step, decrement = sum(step * gradient), maximum = maximum,
    L = lower_root(root)
  )
}

# The Cholesky factor of B B'.
lower_root <- function(B) {
  R <- qr.R(qr(t(B), LAPACK = FALSE, tol = 0))
  t(R * sign(diag(R)))
}

# The highest of the points at `lengths` times the step, if it is higher than `at`.
longest_gain <- function(ev, at, step, lengths) {
  Z <- at$z + outer(step, lengths)
  out <- ev(Z, TRUE)
  ok <- is.finite(out$lp) & colSums(!is.finite(out$gradient)) == 0
  best <- which.max(ifelse(ok, out$lp, -Inf))
  if (!ok[best] || out$lp[best] <= at$lp) return(NULL)
  at$z <- Z[, best]
  at$lp <- out$lp[best]
  at$gradient <- out$gradient[, best]
  at$path <- cbind(at$path, at$z, deparse.level = 0)
  at$path_gradient <- cbind(at$path_gradient, at$gradient, deparse.level = 0)
  at$path_lp <- c(at$path_lp, at$lp)
  at
}

# The Hessian at z by central differences of the gradient, each coordinate moved by about a
# hundredth of its conditional standard deviation: moves that turn out to be far from that are made
# again. widths: of the moves, from an earlier Hessian. NULL where some gradient cannot be had.
hessian_by_differences <- function(ev, z, widths = NULL) {
  d <- length(z)
  h <- if (is.null(widths)) 1e-4 * pmax(1, abs(z)) else widths
  H <- matrix(NaN, d, d)
  todo <- seq_len(d)
  for (pass in 1:6) {
    H[, todo] <- difference_columns(ev, z, h, todo)
    wanted <- wanted_widths(diag(H), h, z)
    todo <- which(abs(log10(wanted / h)) > 1 | is.na(diag(H)))
    if (length(todo) == 0L) break
    h[todo] <- wanted[todo]
  }
  if (!all(is.finite(H))) return(NULL)
  list(H = (H + t(H)) / 2, widths = wanted)
}

difference_columns <- function(ev, z, h, todo) {
  moves <- matrix(0, length(z), length(todo))
  moves[cbind(todo, seq_along(todo))] <- h[todo]
  G <- ev(cbind(z + moves, z - moves), TRUE)$gradient
  up <- seq_along(todo)
  (G[, up, drop = FALSE] - G[, -up, drop = FALSE]) / rep(2 * h[todo], each = length(z))
}

# At most a factor thousand at once, and none that z could not tell from itself.
wanted_widths <- function(curvature, h, z) {
  w <- ifelse(is.na(curvature), h / 100, 0.01 / sqrt(abs(curvature)))
  pmax(pmin(pmax(w, h / 1e3), h * 1e3), 1e-12 * abs(z), 1e-150)
}
