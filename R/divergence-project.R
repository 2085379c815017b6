# Normals closest to a density, in either direction of KL: every stationary point.
#
# f = log p, q = N(m, LL'), z = m + L e, M_jk = E f(z) He_j(e_1) He_k(e_2). In local coordinates
# m + L delta, L R with R = [exp a, 0; c, exp b],
#   KL(q || p) = log Z - d/2 log(2 pi e) - log |L| - a - b - E f,
# and the derivatives of E f are sums of M: d E f / d cov = Hessian in the mean / 2 (the heat
# equation), so that no derivative of f is needed.

#' Normals closest to a density
#'
#' Projects a density p of one or two dimensions onto the normals q: `"reverse"` minimises KL(q ||
#' p), as variational inference does (the I-projection), `"forward"` KL(p || q) (the M-projection,
#' which has p's mean and covariance). All stationary points that are found are returned, local
#' minima and saddles too: they are where a climb can end or halt.
#'
#' @param log_density The log density, up to a constant: a function of a vector of points that
#'   returns as many numbers, or, in two dimensions, of a matrix with a point in each row. Far out
#'   it has to stay a number for `"reverse"`: `log(dnorm(x))` underflows to `-Inf`, which
#'   `dnorm(x, log = TRUE)` does not.
#' @param direction `"reverse"` or `"forward"`.
#' @param start One or two numbers, a point in the region of the density. Their count is the
#'   dimension. Modes farther from it than some hundred times their own width can be missed.
#' @details
#' Deterministic. Integrals are by the trapezoidal rule with steps that are halved until nothing
#' changes. Newton steps on the gradient, from some hundred normals that cover the density and from
#' its modes, find stationary points of every kind; descents from a few of them make sure of minima.
#' Coordinates of the gradient and of the Hessian are the mean, then the lower triangle of the
#' Cholesky factor of the covariance with logs on its diagonal: in one dimension (mean, log sd).
#'
#' The forward problem is convex and has one solution.
#' @return An object of class `normal_projection`, with methods for printing and plotting:
#'   * `stationary`: a data frame with a row for each stationary point, by increasing KL: `type`
#'     (`"minimum"`, `"saddle"`, `"maximum"`, or `"degenerate"` with an eigenvalue of zero: one of a
#'     continuum, as of a density that looks the same when it is turned), `kl` (nats),
#'     means, SDs, in two dimensions the correlation, and the `eigenvalue`s of the Hessian,
#'     decreasing;
#'   * `mean` (n x d), `cov` (d x d x n), `hessian` (p x p x n): the same points;
#'   * `log_normaliser`: log of the integral of exp(log_density); `entropy` of p in nats; `moments`:
#'     `mean` and `cov` of p, `NULL` where it has none;
#'   * `error`: an estimate of the numerical error of KL, means and log SDs;
#'   * `direction`, `log_density`, `d`, and `converged`, how many of `searches` ended in a point.
#' @section Errors: `meanfield_error_density` for a function that returns something else, is `NaN`
#'   or infinite, cannot be normalised, or is `-Inf` where every normal has mass (use
#'   `"forward"`, or a transformed variable); `meanfield_error_control` for other arguments. A
#'   warning `meanfield_warning_density` says when the integrals are not accurate to 1e-6.
#' @references Minka, T. (2005). Divergence measures and message passing. Microsoft Research
#'   MSR-TR-2005-173. Koller, D. and Friedman, N. (2009). *Probabilistic Graphical Models*,
#'   chapter 8.
#' @seealso [kl_divergence()] for any one normal, [fit_vb.meanfield_target()] for more dimensions.
#' @examples
#' two <- function(x) {
#'   a <- dnorm(x, -2, .5, log = TRUE)
#'   b <- dnorm(x, 2, .5, log = TRUE)
#'   log(.5) + pmax(a, b) + log1p(exp(-abs(a - b)))
#' }
#' project_normal(two)
#' plot(project_normal(two))
#' project_normal(two, "forward")
#' @export
project_normal <- function(log_density, direction = c("reverse", "forward"), start = 0) {
  if (!is.function(log_density)) {
    mf_abort("control", "`log_density` must be a function, not ", describe(log_density),
      arg = "log_density")
  }
  direction <- check_choice(direction, c("reverse", "forward"), "direction")
  start <- check_numbers(start, "start")
  if (length(start) > 2L) {
    mf_abort("control", "`start` must be a point of one or two dimensions, not ", length(start),
      ": fit_vb(target()) takes any number", arg = "start")
  }
  grid <- density_grid(log_density, start)
  found <- if (direction == "forward") forward_point(grid) else reverse_points(log_density, grid)
  error <- max(grid$error, found$error)
  warn_inaccurate(error)
  new_projection(found, grid, log_density, direction, error)
}

new_projection <- function(found, grid, f, direction, error) {
  points <- found$points
  points <- points[order(round(vapply(points, `[[`, 0, "kl"), 9),
    vapply(points, function(p) p$m[1L],
    0))]
  d <- length(grid$mean)
  structure(list(
    stationary = do.call(rbind, lapply(points, point_row)),
    mean = do.call(rbind, lapply(points, `[[`, "m")),
    cov = array(unlist(lapply(points, function(p) tcrossprod(p$L))), c(d, d, length(points))),
    hessian = simplify2array(lapply(points, `[[`, "hessian")),
    log_normaliser = grid$log_z, entropy = grid$entropy,
    moments = if (grid$has_moments) grid[c("mean", "cov")], error = error,
    direction = direction, log_density = f, d = d, searches = found$searches,
    converged = found$converged, frame = grid$frame), class = "normal_projection")
}

point_row <- function(p) {
  d <- length(p$m)
  values <- eigen(p$hessian, symmetric = TRUE, only.values = TRUE)$values
  type <- point_type(eigen(p$local, symmetric = TRUE, only.values = TRUE)$values)
  sd <- sqrt(rowSums(p$L^2))
  row <- c(p$m, sd, if (d == 2L) sum(p$L[1L, ] * p$L[2L, ]) / prod(sd), values)
  names <- if (d == 1L) c("mean", "sd") else c("mean1", "mean2", "sd1", "sd2", "correlation")
  names(row) <- c(names, paste0("eigenvalue", seq_along(values)))
  data.frame(type = type, kl = p$kl, t(row))
}

# By the Hessian in units of SDs, whose eigenvalues have the same signs.
point_type <- function(values) {
  if (is_flat(values)) return("degenerate")
  if (all(values > 0)) "minimum" else if (all(values < 0)) "maximum" else "saddle"
}

is_flat <- function(values) min(abs(values)) < 1e-6 * max(abs(values))

# ---- forward: moments -----------------------------------------------------------------------

forward_point <- function(grid) {
  check_moments(grid, "no normal has its moments; use direction = \"reverse\"")
  d <- length(grid$mean)
  L <- t(chol(grid$cov))
  kl <- d / 2 * (1 + log(2 * pi)) + sum(log(diag(L))) - grid$entropy
  local <- diag(if (d == 1L) c(1, 2) else c(1, 1, 2, 1, 2))
  list(points = list(list(m = grid$mean, L = L, kl = kl, local = local,
    hessian = global_hessian(local, L))),
    error = 0, searches = 1L, converged = 1L)
}

# The Hessian at a stationary point in (mean, log-Cholesky).
global_hessian <- function(local, L) {
  if (nrow(L) == 1L) {
    J <- diag(c(L, 1))
  } else {
    J <- diag(5)
    J[1:2, 1:2] <- L
    J[4L, 3:4] <- L[2L, ]
  }
  back <- solve(J)
  crossprod(back, local %*% back)
}

# ---- reverse --------------------------------------------------------------------------------

reverse_points <- function(f, grid) {
  d <- length(grid$mean)
  rule <- hermite_nodes(if (d == 1L) 201L else 61L, d)
  starts <- projection_starts(f, grid)
  ends <- lapply(starts, function(s) to_stationary(f, s, rule, any_step))
  few <- starts[seq_len(min(length(starts), 12L))]
  ends <- c(ends, lapply(few, function(s) to_stationary(f, s, rule, down_step)))
  ended <- Filter(Negate(is.null), ends)
  points <- list()
  for (s in distinct_points(ended)) points <- c(points, list(polish(f, s, d)))
  points <- distinct_points(Filter(Negate(is.null), points))
  if (!length(points)) {
    mf_abort("density", "no normal has a stationary KL to this density: `log_density` is -Inf ",
      "where every normal has mass, or it jumps, or its tails are too heavy or too light; use ",
      "direction = \"forward\", or another variable (its log, say)", arg = "log_density")
  }
  points <- lapply(points, function(p) {
    p$kl <- p$kl + grid$log_z
    p$local <- p$hessian
    p$hessian <- global_hessian(p$local, p$L)
    p
  })
  list(points = points, error = max(vapply(points, `[[`, 0, "error")), searches = length(ends),
    converged = length(ended))
}

# Normals to start from: at the modes, with the curvature there; then a lattice of means and scales
# in the coordinates of the whole.
projection_starts <- function(f, grid) {
  d <- length(grid$mean)
  A <- grid$frame$root
  u <- if (d == 1L) seq(-3, 3, by = 0.25) else c(-1.8, -1.2, -0.6, 0, 0.6, 1.2, 1.8)
  scales <- if (d == 1L) c(1, 0.05, 0.15, 0.3, 0.5, 0.75, 1.4) else c(1, 0.2, 0.5)
  U <- unname(as.matrix(expand.grid(rep(list(u), d))))
  U <- U[order(rowSums(U^2)), , drop = FALSE]
  lattice <- lapply(scales, function(s) lapply(seq_len(nrow(U)), function(i) {
    list(m = grid$frame$centre + drop(A %*% U[i, ]), L = s * A)
  }))
  c(mode_starts(f, grid), unlist(lattice, recursive = FALSE))
}

# At most 10 local maxima of the grid.
mode_starts <- function(f, grid) {
  d <- ncol(grid$X)
  n <- grid$steps
  lp <- matrix(grid$lp, n)
  inner <- 2:(n - 1L)
  top <- lp[inner, , drop = FALSE] >= pmax(lp[inner - 1L, ], lp[inner + 1L, ])
  if (d == 2L) {
    above <- lp[inner, inner] >= pmax(lp[inner, inner - 1L], lp[inner, inner + 1L])
    top <- cbind(FALSE, top[, inner] & above, FALSE)
  }
  at <- which(rbind(FALSE, top, FALSE) & lp > max(lp) - 30)
  at <- at[order(-grid$lp[at])]
  lapply(at[seq_len(min(length(at), 10L))], function(i) mode_normal(f, grid$X[i, ], grid))
}

# The normal with the curvature of f at its mode m.
mode_normal <- function(f, m, grid) {
  d <- length(m)
  rule <- hermite_nodes(21L, d)
  L <- 0.01 * grid$frame$root
  for (pass in 1:4) {
    M <- hermite_moments(f, m, L, rule)
    bend <- if (!is.null(M)) -matrix(M[c(3L, 7L, 7L, 11L)], 2L)[1:d, 1:d, drop = FALSE]
    if (is.null(M) || !is_covariance(bend)) return(list(m = m, L = L * 10))
    next_L <- L %*% t(chol(chol2inv(chol(bend))))
    L <- if (pass < 4L) 0.1 * next_L else next_L
  }
  list(m = m, L = L)
}

# From a normal to a stationary point by steps of `step`; NULL where none is reached.
to_stationary <- function(f, s, rule, step, most = 40L) {
  state <- kl_at(f, s$m, s$L, rule)
  size0 <- sum(log(diag(s$L)))
  for (k in seq_len(most)) {
    if (is.null(state) || !all(is.finite(state$hessian))) return(NULL)
    move <- step(f, state, rule)
    if (is.null(move)) return(NULL)
    state <- move$state
    if (!is.null(state) && abs(sum(log(diag(state$L))) - size0) > 20) return(NULL)
    if (move$size < 1e-8) break
  }
  if (!is.null(state) && max(abs(state$gradient)) < 1e-6) state
}

# KL without log Z, its gradient and Hessian, all in local coordinates.
kl_at <- function(f, m, L, rule) {
  M <- hermite_moments(f, m, L, rule)
  if (is.null(M)) return(NULL)
  d <- length(m)
  of <- function(j, k = 0L) M[j + 1L, k + 1L]
  if (d == 1L) {
    gradient <- -c(of(1), 1 + of(2))
    hessian <- -matrix(c(of(2), of(3), of(3), 2 * of(2) + of(4)), 2L)
  } else {
    gradient <- -c(of(1, 0), of(0, 1), 1 + of(2, 0), of(1, 1), 1 + of(0, 2))
    hessian <- -matrix(c(
      of(2, 0), of(1, 1), of(3, 0), of(2, 1), of(1, 2),
      of(1, 1), of(0, 2), of(2, 1), of(1, 2), of(0, 3),
      of(3, 0), of(2, 1), 2 * of(2, 0) + of(4, 0), of(1, 1) + of(3, 1), of(2, 2),
      of(2, 1), of(1, 2), of(1, 1) + of(3, 1), of(0, 2) + of(2, 2), of(1, 3),
      of(1, 2), of(0, 3), of(2, 2), of(1, 3), 2 * of(0, 2) + of(0, 4)), 5L)
  }
  kl <- -d / 2 * (1 + log(2 * pi)) - sum(log(diag(L))) - M[1L]
  list(m = m, L = L, kl = kl, gradient = gradient, hessian = hessian)
}

moved <- function(f, state, by, rule) {
  R <- if (length(by) == 2L) exp(matrix(by[2L])) else
    matrix(c(exp(by[3L]), by[4L], 0, exp(by[5L])), 2L)
  d <- nrow(R)
  kl_at(f, state$m + drop(state$L %*% by[seq_len(d)]), state$L %*% R, rule)
}

# Along a direction without curvature (a density that looks the same turned) there is no step.
newton_move <- function(state, of_values) {
  e <- eigen(state$hessian, symmetric = TRUE)
  use <- abs(e$values) > 1e-6 * max(abs(e$values))
  V <- e$vectors[, use, drop = FALSE]
  -drop(V %*% (crossprod(V, state$gradient) / of_values(e$values[use])))
}

short_step <- function(by) by / max(1, abs(by) / 0.7)

# Towards a stationary point of any kind.
any_step <- function(f, state, rule) {
  by <- short_step(newton_move(state, identity))
  list(state = moved(f, state, by, rule), size = max(abs(by)))
}

# Downhill: Newton with the absolute values of the eigenvalues, halved until KL falls.
down_step <- function(f, state, rule) {
  by <- short_step(newton_move(state, abs))
  for (halving in 1:30) {
    new <- moved(f, state, by, rule)
    if (!is.null(new) && new$kl <= state$kl + 1e-12 * abs(state$kl)) break
    by <- by / 2
    if (halving == 30L) return(NULL)
  }
  list(state = new, size = max(abs(by)))
}

local_values <- function(p) eigen(p$hessian, symmetric = TRUE, only.values = TRUE)$values

# Of a continuum of equals (is_flat) one.
distinct_points <- function(points) {
  kept <- list()
  for (p in points) {
    p$flat <- is_flat(local_values(p))
    same <- vapply(kept, function(k) {
      point_distance(k, p) < 1e-4 || p$flat && k$flat && abs(k$kl - p$kl) < 1e-5
    }, NA)
    if (!any(same)) kept <- c(kept, list(p))
  }
  kept
}

# In SDs and logs of SDs.
point_distance <- function(a, b) {
  ratio <- forwardsolve(a$L, b$L)
  max(abs(forwardsolve(a$L, b$m - a$m)), abs(ratio - diag(nrow(ratio))))
}

# The point by finer and finer rules, until it stays; NULL if a finer rule does not know it.
polish <- function(f, s, d) {
  for (n in rule_sizes(d)) {
    before <- s
    s <- to_stationary(f, before, hermite_nodes(n, d), any_step, 12L)
    if (is.null(s) || point_distance(before, s) > 1) return(NULL)
    moved <- if (is_flat(local_values(s))) 0 else point_distance(before, s)
    s$error <- max(moved, abs(s$kl - before$kl))
    if (n > rule_sizes(d)[1L] && s$error < 1e-9) break
  }
  s
}
