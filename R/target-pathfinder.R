# Pathfinder: the path of L-BFGS uphill tells the curvature everywhere along it, and of the
# Gaussians so described the one with the largest ELBO is kept; several paths make a mixture, whose
# draws are weighted. Source: Zhang, Carpenter, Gelman & Vehtari (2022), "Pathfinder: parallel
# quasi-Newton variational inference", J. Machine Learning Research 23.
#
# A Gaussian has the root  B = diag(scale) (I + Q (C - I) Q'),  Q of a few orthogonal columns:
# z = m + B e. Memory is linear in the dimension.

# starts: d x k. n_draws in all; n_elbo points for each Gaussian of a path; memory: pairs kept.
#
# components: list of list(m, scale, Q, C, log_det, elbo, mode, cov): Gaussians of the paths that
#   arrived, best first; cov where d is at most FACTORISED_DENSE.
# weights: of the components, by importance; modes: data frame of weight, lp at the peak, component
#   (the best one) and number of paths; peaks: d x modes.
# draws: d x n from the equal mixture; log_weights: smoothed, they sum to one; khat; log_evidence.
# failed: in a word, why each of the other paths did not arrive.
pathfinder <- function(ev, starts, n_draws = 1000L, memory = 6L, n_elbo = 16L) {
  starts <- as.matrix(starts)
  paths <- lapply(seq_len(ncol(starts)), function(k) one_path(ev, starts[, k], memory, n_elbo))
  arrived <- vapply(paths, function(p) is.finite(p$elbo), NA)
  failed <- vapply(paths[!arrived], function(p) p$reason, "")
  asked <- sum(vapply(paths, function(p) p$asked, 0))
  paths <- paths[arrived]
  paths <- paths[order(-vapply(paths, function(p) p$elbo, 0))]
  if (!length(paths)) return(list(components = list(), failed = failed, asked = asked))
  clusters <- cluster_peaks(ev, paths)
  paths <- Map(function(p, mode) c(p, list(mode = mode)), paths, clusters$mode)
  out <- weigh_mixture(ev, paths, n_draws)
  c(out, list(failed = failed, asked = asked + clusters$asked + ncol(out$draws)))
}

# ---- one path ------------------------------------------------------------------------------

one_path <- function(ev, start, memory, n_elbo) {
  run <- call_bb_lbfgs(ev, start)$result
  reason <- lbfgs_reasons[run$end + 1L]
  n <- length(run$path_lp)
  if (n == 0L) return(list(elbo = -Inf, reason = reason, asked = run$asked))
  along <- path_gaussians(run$path, run$path_gradient, memory)
  E <- fixed_points(n_elbo, length(start), cross = FALSE)
  elbo <- path_elbos(ev, along, E)
  best <- which.max(elbo)
  top <- list(peak = run$path[, n], lp = run$path_lp[n])
  asked <- run$asked + length(along) * n_elbo
  if (!length(best) || !is.finite(elbo[best])) {
    return(list(elbo = -Inf, reason = paste0(reason, "no Gaussian with an ELBO"), asked = asked))
  }
  c(along[[best]], top, list(elbo = elbo[best], reason = reason, asked = asked))
}

# A Gaussian for each point of the path but the first, after which there is a curvature.
path_gaussians <- function(path, gradient, memory) {
  d <- nrow(path)
  known <- list(alpha = rep(1, d), S = matrix(0, d, 0L), Y = matrix(0, d, 0L))
  lapply(seq_len(ncol(path))[-1L], function(l) {
    step <- path[, l] - path[, l - 1L]
    known <<- learn_curvature(known, step, gradient[, l - 1L] - gradient[, l], memory)
    gaussian_of(known, path[, l], gradient[, l])
  })
}

# The diagonal by Gilbert & Lemarechal (1989), equation 4.9; y: change of minus the gradient.
learn_curvature <- function(known, s, y, memory) {
  b <- sum(s * y)
  if (!is.finite(b) || b <= 1e-12 * sum(y^2)) return(known)
  a <- sum(y^2 * known$alpha)
  c <- sum(s^2 / known$alpha)
  known$alpha <- b / (a / known$alpha + y^2 - a / c * (s / known$alpha)^2)
  last <- function(M) M[, utils::tail(seq_len(ncol(M)), memory), drop = FALSE]
  list(alpha = pmax(known$alpha, 1e-300), S = last(cbind(known$S, s)), Y = last(cbind(known$Y, y)))
}

# N(z + H g, H) with the inverse Hessian of BFGS, H = diag(alpha) + [alpha Y, S] G [alpha Y, S]'.
gaussian_of <- function(known, z, g) {
  scale <- sqrt(known$alpha)
  J <- ncol(known$S)
  if (J == 0L) return(NULL)
  SY <- crossprod(known$S, known$Y)
  R <- SY * upper.tri(SY, diag = TRUE)
  inv <- tryCatch(backsolve(R, diag(1, J)), error = function(e) NULL)
  if (is.null(inv)) return(NULL)
  inner <- crossprod(inv, (diag(diag(SY), J) + crossprod(known$Y * scale)) %*% inv)
  G <- rbind(cbind(matrix(0, J, J), -inv), cbind(-t(inv), inner))
  # in units of scale, H is I + Q K G K' Q'
  thin <- qr(cbind(known$Y * scale, known$S / scale), tol = 0)
  K <- qr.R(thin)
  root <- root_or_null(diag(1, nrow(K)) + K %*% G %*% t(K))
  if (is.null(root)) return(NULL)
  q <- list(scale = scale, Q = qr.Q(thin), C = t(root),
    log_det = sum(log(scale)) + sum(log(diag(root))))
  q$m <- z + drop(from_white(q, to_dual(q, matrix(g))))
  if (all(is.finite(q$m))) q
}

# B e, B'g and B^-1 x, a column each.
from_white <- function(q, E) q$scale * (E + q$Q %*% (q$C %*% crossprod(q$Q, E) - crossprod(q$Q, E)))
to_dual <- function(q, G) {
  P <- crossprod(q$Q, q$scale * G)
  q$scale * G + q$Q %*% (crossprod(q$C, P) - P)
}
to_white <- function(q, X) {
  P <- crossprod(q$Q, X / q$scale)
  X / q$scale + q$Q %*% (forwardsolve(q$C, P) - P)
}

path_log_density <- function(q, Z) {
  -colSums(to_white(q, Z - q$m)^2) / 2 - q$log_det - nrow(Z) / 2 * log(2 * pi)
}

# ELBOs of Gaussians, -Inf of what is none.
path_elbos <- function(ev, along, E) {
  real <- which(!vapply(along, is.null, NA))
  elbo <- rep(-Inf, length(along))
  if (!length(real)) return(elbo)
  Z <- do.call(cbind, lapply(along[real], function(q) q$m + from_white(q, E)))
  lp <- matrix(ev(Z, FALSE)$lp, ncol(E))
  entropy <- vapply(along[real], function(q) q$log_det, 0) + nrow(E) / 2 * (1 + log(2 * pi))
  elbo[real] <- colMeans(lp) + entropy
  elbo[is.nan(elbo)] <- -Inf
  elbo
}

# ---- several ---------------------------------------------------------------------------------

# Paths that ended at the same peak: less than an SD apart, or with no valley on the line between.
cluster_peaks <- function(ev, paths, valley = 0.1) {
  mode <- seq_along(paths)
  asked <- 0
  for (k in seq_along(paths)[-1L]) {
    for (j in unique(mode[seq_len(k - 1L)])) {
      same <- same_peak(ev, paths[[j]], paths[[k]], valley)
      asked <- asked + 9
      if (same) break
    }
    if (same) mode[k] <- j
  }
  list(mode = match(mode, unique(mode)), asked = asked)
}

same_peak <- function(ev, a, b, valley) {
  apart <- b$peak - a$peak
  if (min(sum(to_white(a, matrix(apart))^2), sum(to_white(b, matrix(apart))^2)) < 1) return(TRUE)
  between <- ev(a$peak + outer(apart, 1:9 / 10), FALSE)$lp
  min(between) > min(a$lp, b$lp) - valley
}

weigh_mixture <- function(ev, paths, n_draws) {
  d <- length(paths[[1L]]$m)
  each <- 2L * ceiling(n_draws / length(paths) / 2)
  draws <- do.call(cbind, lapply(seq_along(paths), function(k) {
    paths[[k]]$m + from_white(paths[[k]], shifted_points(each, d, k))
  }))
  log_q <- vapply(paths, path_log_density, numeric(ncol(draws)), Z = draws)
  even <- rep(1 / length(paths), length(paths))
  log_all <- log_mixture(log_q, even)
  weighed <- smooth_weights(ev(draws, FALSE)$lp - log_all)
  weights <- colSums(exp(weighed$log_weights + log_q - log_all)) * even
  list(components = lapply(paths, path_component), weights = weights, draws = draws,
    modes = table_of_modes(paths, weights), log_weights = weighed$log_weights,
    peaks = peaks_of_modes(paths), khat = weighed$khat, log_evidence = weighed$log_evidence)
}

# list(log_weights, khat, log_evidence)
smooth_weights <- function(log_ratio) {
  top <- max(log_ratio)
  if (!is.finite(top)) {
    return(list(log_weights = rep(NaN, length(log_ratio)), khat = Inf, log_evidence = -Inf))
  }
  c(smooth_log_weights(log_ratio), list(log_evidence = log_mean_exp(log_ratio)))
}

path_component <- function(q) {
  d <- length(q$m)
  q$cov <- if (d <= FACTORISED_DENSE) tcrossprod(from_white(q, diag(1, d)))
  q[c("m", "scale", "Q", "C", "log_det", "elbo", "mode", "cov")]
}

table_of_modes <- function(paths, weights) {
  mode <- vapply(paths, function(p) p$mode, 0L)
  data.frame(weight = as.vector(tapply(weights, mode, sum)),
    lp = as.vector(tapply(vapply(paths, function(p) p$lp, 0), mode, max)),
    component = match(sort(unique(mode)), mode), paths = as.vector(table(mode)))
}

peaks_of_modes <- function(paths) {
  mode <- vapply(paths, function(p) p$mode, 0L)
  do.call(cbind, lapply(sort(unique(mode)), function(k) {
    at <- which(mode == k)
    paths[[at[which.max(vapply(paths[at], function(p) p$lp, 0))]]]$peak
  }))
}
