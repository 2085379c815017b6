# The full-rank Gaussians of fit_vb() on a target: one at each mode, and points of them.

fullrank_stage <- function(run) {
  z0 <- run$target$init
  first <- start_at(run$ev, z0, max_points = left_gradients(run) / 4)
  modes <- find_modes(run$ev, first, z0, left_gradients(run) / 4)
  away <- !first$usable && any(abs(first$z - z0) > 300)
  if (first$reason == "diverged" || away) run$diverged <- unconstrained_names(run$target)[
    order(-abs(first$z))[seq_len(min(3L, length(first$z)))]]
  fits <- lapply(gaussian_starts(modes, first, z0), function(s) {
    fit_gaussian(run, s)
  })
  fits <- distinct_fits(Filter(function(q) is.finite(q$elbo), fits))
  if (!length(fits)) no_gaussian(run)
  run$usable <- any(vapply(modes, `[[`, NA, "usable"))
  keep_components(run, fits)
}

# To the optimum of the family where that is the answer; a proposal needs less, but in a few
# dimensions the optimum is cheap.
fit_gaussian <- function(run, start) {
  d <- length(start$m)
  n <- run$settings$control$points %||% gaussian_points(d)
  answer <- run$settings$refine == "no"
  final <- if (answer || d <= 5L) 4L * n else n
  if (run$settings$optimiser == "lbfgs") {
    return(bound_vi(run$ev, start$m, start$L, final))
  }
  gaussian_vi(run$ev, start$m, start$L, n_points = n, max_iter = if (answer) 60L else 20L,
    max_points = left_gradients(run) / 2, n_final = final, final_iter = if (answer) 60L else 1L)
}

# At every usable mode; without one, about the point that the climb reached and about init:
# expectations smooth a spike that an optimiser falls into.
gaussian_starts <- function(modes, first, z0) {
  usable <- Filter(function(m) m$usable, modes)
  if (length(usable)) return(lapply(usable, function(m) list(m = m$z, L = m$L)))
  around <- function(z) list(m = z, L = diag(0.5, length(z)))
  c(list(around(z0)), if (is.finite(first$lp) && first$reason != "diverged") list(around(first$z)))
}

# Without those that ended where a better one did.
distinct_fits <- function(fits) {
  fits <- fits[order(-vapply(fits, `[[`, 0, "elbo"))]
  out <- list()
  for (q in fits) {
    near <- vapply(out, function(o) {
      e <- forwardsolve(o$L, q$m - o$m)
      f <- forwardsolve(q$L, q$m - o$m)
      max(sum(e^2), sum(f^2)) < 1
    }, NA)
    if (!any(near) && q$elbo > (out[1L][[1L]]$elbo %||% -Inf) - LIGHT_MODE) out <- c(out, list(q))
  }
  out
}

# Points of the Gaussian fit itself, in proportion to the weights of the components.
gaussian_sample <- function(components, n) {
  weight <- vapply(components, `[[`, 0, "weight")
  d <- length(components[[1L]]$m)
  per <- pmax(2L * ceiling(n * weight / sum(weight) / 2), 4L)
  parts <- Map(function(part, k) {
    E <- fixed_points(as.integer(k), d, shift = 11L, cross = k >= 2 * d)
    part$m + component_root(part, E)
  }, components, per)
  list(z = do.call(cbind, parts), weights = rep(weight / per, per) / sum(weight))
}

# Enough points to match a covariance, where there is one.
big_sample <- function(run) {
  if (is.null(run$components[[1L]]$L)) 512L else max(512L, 2L * run$target$d)
}
