# fit_exact() of a target: a lattice in the axes of the fit up to six dimensions, importance
# sampling beyond.

#' The exact posterior of a target
#'
#' Up to six dimensions the density is summed over a lattice in the axes of the fitted Gaussian,
#' grown from its centre until the log density has dropped by `drop`, and refined until means and
#' SDs stand still. With more dimensions the fitted proposal is sampled by importance with many
#' points.
#'
#' @param object Made by [target()] or [as_target()], or a fit of one; a variational fit that was
#'   refined is not made again.
#' @param tol Largest error of a posterior mean or SD, in SDs.
#' @param max_points Most points of the lattice, or of the importance sample.
#' @param control Made by [vb_control()], for the fit that it starts from.
#' @param ... Not used.
#' @return An object of class `target_exact_fit` (`target_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{the call, and the target}
#'   \item{method}{`"lattice"` or `"importance"`}
#'   \item{table, points}{as in [fit_vb.meanfield_target()]; `mcse_mean` and `mcse_sd` are the
#'     estimated errors of the lattice, or standard errors}
#'   \item{log_evidence, evidence_error}{log marginal likelihood of the density as given}
#'   \item{vb}{the Gaussian fit: `elbo`, `components`}
#'   \item{error}{largest error of a mean or SD, in SDs}
#'   \item{khat, counts, flags, notes}{as in the variational fit}
#' }
#' `summary()` has the columns `variable`, `mean`, `sd`, `q2.5`, `q97.5`, `mcse_mean`, `mcse_sd`.
#' R's generator is not touched, and every run gives the same answer.
#' @section Errors and warnings: `meanfield_error_integral` when the density cannot be integrated;
#'   `meanfield_warning_target` for each flag, and for each a warning; `meanfield_warning_accuracy`
#'   when `tol` was not reached.
#' @examples
#' y <- c(2.1, 3.4, 1.9, 2.8, 3.1, 2.2, 2.6, 2.9)
#' model <- target(
#'   function(p) {
#'     sum(dnorm(y, p$mu, p$sigma, log = TRUE)) + dnorm(p$mu, 0, 5, log = TRUE) +
#'       dexp(p$sigma, 1, log = TRUE)
#'   },
#'   init = list(mu = 0, sigma = 1), constraints = list(sigma = positive()))
#' fit_exact(model)
#' @export
fit_exact.meanfield_target <- function(object, tol = 1e-4, max_points = 4e5,
                                       control = vb_control(), ...) {
  no_dots(...)
  call <- object_call(match.call(), "fit_exact", parent.frame())
  vb <- withCallingHandlers(fit_vb(object, refine = "importance", control = control),
    meanfield_warning_target = function(w) invokeRestart("muffleWarning"))
  new_target_exact(call, vb, exact_target_settings(tol, max_points))
}

#' @rdname fit_exact.meanfield_target
#' @export
fit_exact.target_fit <- function(object, tol = 1e-4, max_points = 4e5, control = vb_control(),
                                 ...) {
  no_dots(...)
  valid_fit(object)
  call <- object_call(match.call(), "fit_exact", parent.frame())
  if (!inherits(object, "target_vb_fit") || is.na(object$log_evidence)) {
    out <- fit_exact(object$model, tol = tol, max_points = max_points, control = control)
    out$call <- call
    return(out)
  }
  new_target_exact(call, object, exact_target_settings(tol, max_points))
}

exact_target_settings <- function(tol, max_points) {
  list(tol = check_number(tol, "tol", 0, strict = TRUE),
    max_points = check_number(max_points, "max_points", 1000))
}

LATTICE_MOST <- 6L

new_target_exact <- function(call, vb, settings) {
  target <- vb$model
  ev <- evaluator(target)
  linked <- linked_values(target)
  out <- if (target$d <= LATTICE_MOST) lattice_integral(ev, linked, vb, settings)
  method <- "lattice"
  if (is.null(out)) {
    out <- long_importance(ev, linked, vb, settings)
    method <- "importance"
  }
  table <- variable_estimates(linked, out$estimate, NULL, NULL, "exact")
  none <- no_moment(table)
  table <- without_moments(table, none)
  if (any(!is.finite(out$estimate$mean[seq_len(linked$n)]))) out$log_evidence <- NA_real_
  fit <- structure(
    list(call = call, model = target, method = method,
      table = table[c("mean", "sd", "mcse_mean", "mcse_sd", "loc", "spread")],
      points = out$points, log_evidence = out$log_evidence, evidence_error = out$evidence_error,
      vb = vb$vb[c("elbo", "components")], error = largest_error(table), khat = out$khat,
      flags = exact_flags(vb, target, none, out), notes = vb$notes,
      counts = evaluator_counts(ev)),
    class = c("target_exact_fit", "target_fit", "meanfield_fit")
  )
  tell_flags(fit)
  if (!(fit$error <= settings$tol * if (method == "lattice") 1 else 100)) {
    mf_warn("accuracy", "means and SDs are known to ", format(fit$error, digits = 1),
      " SDs only: raise `max_points`", arg = "max_points")
  }
  fit
}

largest_error <- function(t) {
  max(0, t$mcse_mean / t$sd, t$mcse_sd / t$sd, na.rm = TRUE)
}

# What the variational fit found wrong and no integration can mend, and tails without moments.
exact_flags <- function(vb, target, none, out) {
  kept <- grep("improper|no number|gradient is not", vb$flags, value = TRUE)
  c(kept, out$flags, if (any(none)) {
    paste0("the SD of ", some(variable_table(target)$variable[none]), " may not exist: see the ",
      "quantiles")
  })
}

# ---- lattice -------------------------------------------------------------------------------------

# Nodes m + L h k, k whole, grown from the centre of every component over neighbours whose log
# density is within `drop` of the highest, then with half the step until nothing moves.
# list(estimate, points, log_evidence, evidence_error, khat, flags); NULL when it grows beyond
# max_points: a tail without end.
lattice_integral <- function(ev, linked, vb, settings) {
  axes <- lattice_axes(lattice_components(vb))
  before <- NULL
  step <- axes$narrow * if (length(axes$m) > 3L) 1.3 else 0.75
  drop <- LATTICE_DROP
  for (k in 1:6) {
    now <- lattice_sum(ev, linked, axes, vb, step, drop, settings$max_points)
    if (is.null(now)) return(lattice_best(before, axes))
    if (!is.null(before)) {
      now <- lattice_errors(now, before)
      if (now$error < settings$tol) return(lattice_best(now, axes))
    }
    before <- now
    step <- step / sqrt(2)
    drop <- min(drop + 3, 30)
  }
  lattice_best(before, axes)
}

# Turned, so that no coordinate is constant along planes of the lattice: quantiles and draws would
# have the width of its cells. narrow: the smallest SD of a component, in overall ones.
lattice_axes <- function(components) {
  axes <- overall_axes(components)
  d <- length(axes$m)
  axes$L <- axes$L %*% qr.Q(qr(matrix(cos(seq_len(d^2)^2), d)))
  axes$narrow <- min(1, vapply(components, function(part) {
    min(svd(solve(axes$L, part$L), 0L, 0L)$d)
  }, 0))
  axes
}

LATTICE_DROP <- 16

lattice_best <- function(now, axes) {
  if (is.null(now$error)) return(NULL)
  now$points <- spread_points(now$points, axes, now$step)
  now
}

# Sums over a coarse lattice are exact, quantiles and draws of its nodes are not: each node is
# spread over its cell, in at least LATTICE_POINTS points, and all shrunk by what that adds to the
# variance.
LATTICE_POINTS <- 8192L

spread_points <- function(points, axes, step) {
  n <- ncol(points$z)
  copies <- ceiling(LATTICE_POINTS / n)
  at <- rep(seq_len(n), copies)
  w <- points$weights
  e <- solve(axes$L, points$z - axes$m, tol = 0)
  centre <- drop(e %*% w)
  V <- drop((e - centre)^2 %*% w)
  u <- cube_points(length(at), nrow(e), 5L) - 0.5
  e <- centre + (e[, at, drop = FALSE] + step * u - centre) * sqrt(V / (V + step^2 / 12))
  list(z = axes$m + axes$L %*% e, weights = w[at] / copies)
}

lattice_components <- function(vb) {
  lapply(vb$vb$components, function(part) {
    list(m = part$m, L = component_factor(part), weight = part$weight)
  })
}

lattice_sum <- function(ev, linked, axes, vb, step, drop, most) {
  d <- length(axes$m)
  place <- function(K) axes$m + axes$L %*% (step * K)
  start <- unique(t(vapply(lattice_components(vb), function(part) {
    round(solve(axes$L, part$m - axes$m) / step)
  }, numeric(d))))
  grown <- grow_cells(function(K) ev(place(K), FALSE)$lp, matrix(t(start), d), drop, most)
  if (is.null(grown)) return(NULL)
  top <- max(grown$lp)
  w <- exp(grown$lp - top)
  z <- place(grown$K)
  estimate <- weighted_rows(linked$all(z), w)
  log_volume <- d * log(step) + determinant(axes$L)$modulus[1L]
  list(estimate = estimate, points = list(z = z, weights = w / sum(w)), step = step,
    log_evidence = top + log(sum(w)) + log_volume, khat = NA_real_, flags = character())
}

# Cells by their whole coordinates, frontier by frontier.
grow_cells <- function(density, start, drop, most) {
  d <- nrow(start)
  key <- function(K) colSums((K + KEY_HALF) * (2 * KEY_HALF)^(seq_len(d) - 1L))
  moves <- cbind(diag(1, d), -diag(1, d))
  K <- start
  lp <- density(K)
  seen <- key(K)
  frontier <- K
  repeat {
    live <- lp[(length(lp) - ncol(frontier) + 1L):length(lp)] > max(lp) - drop
    if (!any(live)) break
    from <- frontier[, live, drop = FALSE]
    to <- do.call(cbind, lapply(seq_len(2L * d), function(j) from + moves[, j]))
    keys <- key(to)
    fresh <- !duplicated(keys) & !keys %in% seen
    if (!any(fresh)) break
    frontier <- to[, fresh, drop = FALSE]
    if (ncol(K) + ncol(frontier) > most || max(abs(frontier)) >= KEY_HALF) return(NULL)
    seen <- c(seen, keys[fresh])
    K <- cbind(K, frontier)
    lp <- c(lp, density(frontier))
  }
  if (!any(is.finite(lp))) return(NULL)
  list(K = K, lp = lp)
}

KEY_HALF <- 128 # cells on either side of the centre, and (2 x 128)^6 is a whole number to a double

# Errors of the finer of two sums: what they differ by.
lattice_errors <- function(now, before) {
  e <- now$estimate
  now$estimate$mcse_mean <- abs(e$mean - before$estimate$mean)
  now$estimate$mcse_sd <- abs(e$sd - before$estimate$sd)
  now$evidence_error <- abs(now$log_evidence - before$log_evidence)
  now$error <- max(now$estimate$mcse_mean / e$sd, now$estimate$mcse_sd / e$sd, na.rm = TRUE)
  now
}

# ---- importance ----------------------------------------------------------------------------------

long_importance <- function(ev, linked, vb, settings) {
  logged <- linked$place > linked$n
  sd0 <- c(vb$table$sd, vb$table$spread[logged]) # of all rows of linked_values()
  proposal <- fitted_proposal(vb$vb$components)
  out <- importance_ladder(ev, linked, proposal, sd0, 4096, settings$max_points)
  list(estimate = out$estimate, points = list(z = out$round$z, weights = out$round$weights),
    log_evidence = out$round$log_evidence, evidence_error = out$round$evidence_error,
    khat = out$round$khat,
    flags = if (!out$settled) "importance sampling did not settle: check with fit_hmc()")
}
