# Factorised Gaussian variational inference for any log density, on fixed points, and its linear
# response. The mathematics is in src/blackbox/factorised.h; ev: see R/target-evaluate.R.

FACTORISED_OUTCOME <- c("going", "converged", "stalled", "runaway", "nowhere")

# Up to here every pair of coordinates can be matched by 2d points, and all covariances are made at
# once.
FACTORISED_DENSE <- 200L

# q = prod N(m_j, exp(omega_j)^2) with the largest bound, from (m, omega); one omega stands for all.
# criterion: largest element of the bound's slope, in SDs and logs of SDs.
# outcome: "converged"; "going": max_iter or max_points was reached; "stalled": no step is better;
# "runaway": the SDs of `runaway` have grown a million times, the bound has no maximum; "nowhere":
# the density is zero at points about the start. E: points, instead of n_points and shift.
factorised_vi <- function(ev, m, omega = -1, n_points = NULL, max_iter = 100L, tol = 1e-5,
                          max_points = Inf, shift = 0L, E = NULL) {
  d <- length(m)
  if (is.null(E)) E <- factorised_points(n_points %||% factorised_size(d), d, shift)
  few <- 2L * max(16L, d)
  start <- c(m, rep_len(omega, d))
  way <- if (few < ncol(E)) {
    factorised_run(ev, start, factorised_points(few, d, shift), max_iter, 0.01, max_points)
  }
  if (!is.null(way) && !way$converged) return(way)
  fit <- factorised_run(ev, if (is.null(way)) start else c(way$m, way$omega), E, max_iter, tol,
    max_points - (way$asked %||% 0))
  for (k in c("asked", "iterations", "products")) fit[[k]] <- fit[[k]] + (way[[k]] %||% 0)
  fit
}

factorised_run <- function(ev, start, E, max_iter, tol, max_points) {
  run <- call_bb_factorised(ev, E, start, list(max_iter = as.integer(max_iter), tol = tol,
    max_points = as.double(max_points)))
  factorised_fit(run$result, E, start)
}

factorised_fit <- function(result, E, start) {
  d <- nrow(E)
  at <- seq_len(d)
  omega <- result$x[d + at]
  outcome <- FACTORISED_OUTCOME[result$outcome + 1L]
  list(m = result$x[at], sd = exp(omega), omega = omega, elbo = result$elbo, E = E,
    converged = outcome == "converged", outcome = outcome, criterion = result$criterion,
    iterations = result$iterations, products = result$products, asked = result$asked,
    runaway = which(omega - start[d + at] > log(1e6)))
}

# Up to FACTORISED_DENSE dimensions every second moment of the points is that of the normal;
# beyond, memory and points are what has to be bounded.
factorised_size <- function(d) if (d <= FACTORISED_DENSE) 2L * max(64L, d) else 64L

# d x n points, antithetic: mean e = 0 and mean e_j^2 = 1 always, mean e e' = I where n allows it,
# and mean e_j^4 = 3 nearly: without the last a skewed coordinate's SD is 3% too large at 32
# points. Fewer pairs than dimensions are matched within blocks of neighbours, which depend on
# each other most often.
factorised_points <- function(n, d, shift = 0L) {
  if (n < 4L || n %% 2L) {
    mf_abort("control", "`points` must be an even number of at least 4, not ", n, arg = "points")
  }
  E <- with_normal_tails(fixed_points(n, d, shift, cross = FALSE))
  if (n >= 2L * d) return(matched_points(E))
  block <- (seq_len(d) - 1L) %/% max(1L, n %/% 4L)
  for (at in split(seq_len(d), block)) E[at, ] <- matched_points(E[at, , drop = FALSE])
  E
}

# e (1 + c e^2) in units of its SD, with the c that makes the fourth moment 3. All coordinates are
# the same numbers in other orders.
with_normal_tails <- function(E) {
  bent <- function(e, c) e * (1 + c * e^2)
  excess <- function(c) mean(bent(E[1L, ], c)^4) / mean(bent(E[1L, ], c)^2)^2 - 3
  if (excess(0) * excess(0.2) > 0) return(E)
  E <- bent(E, stats::uniroot(excess, c(0, 0.2), tol = 1e-12)$root)
  E / sqrt(rowMeans(E^2))
}

# ---- linear response: Cov(m) = [(F'')^-1]_mm -----------------------------------------------

# functions: NULL, all of m; or a d x k matrix, the linear functions functions' m.
# With functions, and where d is large, by conjugate gradients: one solution each.
# sd: NA where the curvature is not positive (no minimum) or max_points was reached (ok: FALSE).
factorised_response <- function(ev, fit, functions = NULL, max_points = Inf) {
  if (!is.null(functions)) return(response_of(ev, fit, as.matrix(functions), max_points))
  if (length(fit$m) <= FACTORISED_DENSE) return(response_dense(ev, fit, max_points))
  response_sds(ev, fit, max_points)
}

# B: 2d x k, in the scale of q's SDs.
ask_response <- function(ev, fit, B, solve, max_points) {
  call_bb_factorised_response(ev, fit$E, c(fit$m, fit$omega), B, list(solve = solve, tol = 1e-9,
    max_inner = as.integer(min(2L * nrow(B), 500L)), max_points = as.double(max_points)))
}

# The whole of F'' by 2d products.
response_dense <- function(ev, fit, max_points) {
  d <- length(fit$m)
  run <- ask_response(ev, fit, diag(1, 2L * d), FALSE, max_points)
  H <- run$result$out
  root <- if (run$status[1L] == core_status[["ok"]]) root_or_null((H + t(H)) / 2)
  cov <- if (is.null(root)) matrix(NA_real_, d, d) else
    chol2inv(root)[seq_len(d), seq_len(d), drop = FALSE] * tcrossprod(fit$sd)
  list(cov = cov, sd = sqrt(diag(cov)), ok = !is.null(root), asked = run$result$asked)
}

root_or_null <- function(P) {
  if (all(is.finite(P))) tryCatch(chol(P), error = function(e) NULL)
}

# cov_m: d x k, of all m with the functions; cov: k x k, of the functions.
response_of <- function(ev, fit, functions, max_points) {
  d <- length(fit$m)
  B <- rbind(functions * fit$sd, matrix(0, d, ncol(functions)))
  run <- ask_response(ev, fit, B, TRUE, max_points)
  cov_m <- run$result$out[seq_len(d), , drop = FALSE] * fit$sd
  cov <- crossprod(functions, cov_m)
  bad <- diag(cov) <= 0 & colSums(functions^2) > 0 | run$result$short_of > 0
  cov_m[, bad] <- NA
  cov[bad, ] <- cov[, bad] <- NA
  list(cov_m = cov_m, cov = (cov + t(cov)) / 2, sd = sqrt(diag(cov)), ok = !any(bad),
    asked = run$result$asked)
}

# SDs alone, some coordinates at a time, so that memory stays linear in d.
response_sds <- function(ev, fit, max_points) {
  d <- length(fit$m)
  sd <- rep(NA_real_, d)
  asked <- 0
  for (at in split(seq_len(d), (seq_len(d) - 1L) %/% 16L)) {
    unit <- matrix(0, d, length(at))
    unit[cbind(at, seq_along(at))] <- 1
    part <- response_of(ev, fit, unit, max_points - asked)
    sd[at] <- part$sd
    asked <- asked + part$asked
    if (!part$ok && asked >= max_points - 2 * ncol(fit$E)) break
  }
  list(cov = NULL, sd = sd, ok = !anyNA(sd), asked = asked)
}
