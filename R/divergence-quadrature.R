# Integrals under a density of one or two dimensions, and under a normal, by the trapezoidal rule,
# which converges faster than any power of the step for smooth integrands on the whole line.
#
# Points of a density: x = centre + root sinh(t), even steps in t. So the rule is fine in the middle
# and reaches as far as heavy tails go. [Trefethen & Weideman (2014), SIAM Review 56.]

# f at the rows of X (d = 1: a vector for f), -Inf where there is no density. far: so far out that
# NaN (Inf - Inf) and Inf (a scale that underflows) count as that too.
log_density_at <- function(f, X, far = FALSE) {
  lp <- f(if (ncol(X) == 1L) X[, 1L] else X)
  if (!is.numeric(lp) || length(lp) != nrow(X)) {
    mf_abort("density", "`log_density` must return one number for each of ",
      if (ncol(X) == 1L) "the elements of its argument" else "the rows of its two-column argument",
      ", not ", describe(lp), ": see Vectorize() and apply()", arg = "log_density")
  }
  lp <- as.double(lp)
  bad <- is.na(lp) | lp == Inf
  if (far) lp[bad] <- -Inf
  if (far || !any(bad)) return(lp)
  at <- which(bad)[1L]
  mf_abort("density", "`log_density` is ", lp[at], " at ", toString(signif(X[at, ], 4)),
    ": it must be finite, or -Inf where the density is zero", arg = "log_density")
}

# ---- the density ----------------------------------------------------------------------------

# start: a point where the density is not zero, whose length is the dimension.
#
# Value: X (n x d, points), lp (log density), w (weights, sum 1), log_z (log normaliser), mean, cov,
# entropy, has_moments (are there two?), error (largest change of these at the last doubling), frame
density_grid <- function(f, start) {
  frame <- list(centre = start, root = diag(1, length(start)))
  for (pass in 1:30) {
    before <- frame
    frame <- core_frame(f, frame)
    if (!all(abs(frame$centre) < 1e100)) no_density()
    if (pass > 2L && frame_change(before, frame) < 0.1) break
  }
  range <- mass_range(f, frame)
  n <- if (length(start) == 1L) 256L else 64L
  most <- if (length(start) == 1L) 65536L else 1024L
  grid <- weighted_grid(f, frame, range, n)
  repeat {
    n <- 2L * n
    coarse <- grid
    grid <- weighted_grid(f, frame, range, n)
    grid$error <- grid_change(coarse, grid, range$moments)
    if (grid$error < 1e-11 || n >= most) break
  }
  c(grid, list(has_moments = range$moments, frame = frame))
}

# Points of a frame: t holds the steps of each axis.
frame_points <- function(frame, t) {
  U <- as.matrix(expand.grid(lapply(t, sinh), KEEP.OUT.ATTRS = FALSE))
  jacobian <- rowSums(log(cosh(as.matrix(expand.grid(t, KEEP.OUT.ATTRS = FALSE)))))
  list(X = unname(rep(frame$centre, each = nrow(U)) + tcrossprod(U, frame$root)), U = unname(U),
    log_jacobian = jacobian + sum(log(diag(frame$root))))
}

# Mean and root of the covariance of what is within 8 nats of the highest point, each point being as
# wide as the step there.
core_frame <- function(f, frame) {
  d <- length(frame$centre)
  t <- seq(-14.5, 14.5, length.out = if (d == 1L) 2001L else 161L)
  at <- frame_points(frame, rep(list(t), d))
  lp <- log_density_at(f, at$X, far = TRUE)
  if (!any(lp > -Inf)) {
    mf_abort("density", "`log_density` is -Inf or no number at `start` and around: start where ",
      "the density is not zero", arg = "start")
  }
  core <- lp >= max(lp) - 8
  w <- exp(lp + at$log_jacobian - max((lp + at$log_jacobian)[core])) * core
  w <- w / sum(w)
  mean <- colSums(w * at$U)
  spread <- crossprod((at$U - rep(mean, each = nrow(at$U))) * sqrt(w)) +
    diag(colSums(w * (1 + at$U^2)) * (t[2L] - t[1L])^2, d) / 4
  list(centre = frame$centre + drop(frame$root %*% mean), root = frame$root %*% t(chol(spread)))
}

frame_change <- function(a, b) {
  ratio <- forwardsolve(a$root, b$root)
  max(abs(forwardsolve(a$root, b$centre - a$centre)), abs(ratio - diag(nrow(ratio))))
}

# The steps t of each axis outside of which there is less than exp(-40) of the density's peak, of
# its second moments too where they exist.
mass_range <- function(f, frame) {
  d <- length(frame$centre)
  t <- seq(-45, 45, length.out = if (d == 1L) 4001L else 401L)
  at <- frame_points(frame, rep(list(t), d))
  lw <- log_density_at(f, at$X, far = TRUE) + at$log_jacobian
  found <- axis_ranges(lw + log1p(rowSums(at$U^2)), t, d)
  moments <- !found$open
  if (!moments) found <- axis_ranges(lw, t, d)
  if (found$open) no_density()
  c(found, moments = moments)
}

no_density <- function() {
  mf_abort("density", "`log_density` does not fall far from `start`: its exponential has no ",
    "finite integral; give the log of a density, or another `start`", arg = "log_density")
}

axis_ranges <- function(lw, t, d) {
  kept <- array(lw > max(lw) - 40, rep(length(t), d))
  ends <- vapply(seq_len(d), function(k) range(which(apply(kept, k, any))), c(0, 0))
  list(from = t[pmax(ends[1L, ] - 1L, 1L)], to = t[pmin(ends[2L, ] + 1L, length(t))],
    open = any(ends == 1L | ends == length(t)))
}

weighted_grid <- function(f, frame, range, n) {
  t <- Map(function(a, b) seq(a, b, length.out = n), range$from, range$to)
  at <- frame_points(frame, t)
  lp <- log_density_at(f, at$X)
  lw <- lp + at$log_jacobian
  top <- max(lw)
  w <- exp(lw - top)
  step <- (range$to - range$from) / (n - 1)
  log_z <- top + log(sum(w)) + sum(log(step))
  w <- w / sum(w)
  mean <- colSums(w * at$X)
  list(X = at$X, lp = lp, w = w, log_z = log_z, mean = mean,
    cov = crossprod((at$X - rep(mean, each = nrow(at$X))) * sqrt(w)),
    entropy = log_z - sum(ifelse(w > 0, w * lp, 0)), steps = n)
}

grid_change <- function(a, b, moments) {
  change <- max(abs(a$log_z - b$log_z), abs(a$entropy - b$entropy))
  if (!moments) return(change)
  sd <- sqrt(diag(b$cov))
  max(change, abs(a$mean - b$mean) / sd, abs(a$cov - b$cov) / tcrossprod(sd))
}

check_moments <- function(grid, so) {
  if (grid$has_moments) return(invisible())
  mf_abort("density", "the tails are so heavy that the density has no variance, or none that can ",
    "be summed up: ", so, arg = "log_density")
}

warn_inaccurate <- function(error) {
  if (error <= 1e-6) return(invisible())
  mf_warn("density", "the integrals are accurate to ", format(error, digits = 2),
    " only: `log_density` has jumps, kinks or details that are small beside the whole",
    arg = "log_density")
}

# ---- a normal -------------------------------------------------------------------------------

# Even nodes of the standard normal out to 8.4 SDs and weights times the Hermite polynomials of
# order 0 to 4 there. In one dimension the second axis is the point 0.
hermite_nodes <- function(n, d) {
  axis <- function(n) {
    e <- if (n == 1L) 0 else seq(-8.4, 8.4, length.out = n)
    w <- if (n == 1L) 1 else stats::dnorm(e) * (e[2L] - e[1L])
    list(e = e, H = w * cbind(1, e, e^2 - 1, e^3 - 3 * e, e^4 - 6 * e^2 + 3, deparse.level = 0))
  }
  first <- axis(n)
  second <- axis(if (d == 1L) 1L else n)
  E <- cbind(rep(first$e, length(second$e)), rep(second$e, each = length(first$e)))
  list(E = E[, seq_len(d), drop = FALSE], first = first$H, second = second$H)
}

# M[j + 1, k + 1] = E f(m + L e) He_j(e_1) He_k(e_2), j, k <= 4; NULL where f is -Inf at a node.
hermite_moments <- function(f, m, L, rule) {
  X <- rep(m, each = nrow(rule$E)) + tcrossprod(rule$E, L)
  lp <- log_density_at(f, X, far = TRUE)
  if (any(lp == -Inf)) return(NULL)
  crossprod(rule$first, matrix(lp, nrow(rule$first))) %*% rule$second
}

# list(value, error): E f under a normal law, -Inf where f is so within its reach, and the change of
# it at the last rule.
normal_expectation <- function(f, normal) {
  L <- t(chol(normal$cov))
  before <- Inf
  for (n in rule_sizes(normal$d)) {
    M <- hermite_moments(f, normal$mean, L, hermite_nodes(n, normal$d))
    if (is.null(M)) return(list(value = -Inf, error = 0))
    error <- abs(M[1L] - before) / max(1, abs(M[1L]))
    if (error < 1e-11) break
    before <- M[1L]
  }
  list(value = M[1L], error = error)
}

rule_sizes <- function(d) if (d == 1L) c(201L, 401L, 801L, 1601L, 3201L, 6401L, 25601L) else
  c(61L, 121L, 241L, 481L, 641L)
