# Variational fit of a Gaussian mixture: starts, the run, what can go wrong, the posterior.

#' Fit a Gaussian mixture by variational Bayes
#'
#' Mean-field factors q(mu_k) q(Lambda_k) q(pi) q(z_n); every covariance of the means, precision
#' matrices and weights is corrected by linear response in one more pass over the rows.
#'
#' @param object Made by [gaussian_mixture()], or a fit of such a model.
#' @param starts Number of k-means++ starts. Each is run for a few dozen passes, all are
#'   reported in `starts`, and the one with the highest evidence lower bound is run to the end.
#'   Half of them measure distance in standard deviations of the columns, half in whitened units.
#' @param start Instead: a vector of labels 1, ..., k (or a factor), one per row.
#' @param seed Of the starts. They have a generator of their own: the same data and seed give
#'   the same answer, and R's generator is not touched.
#' @param control Made by [vb_control()]. `tol` is the length of a Newton step in posterior
#'   standard deviations; `max_iter` counts passes over the rows.
#' @param ... Not used.
#'
#' @details
#' Coordinate ascent is extrapolated by SQUAREM, guarded by the bound, and finished by Newton
#' steps with the linear-response matrix. Convergence is judged by the length of the Newton step
#' in posterior standard deviations, not by the change of the bound: a relative change of 1e-8
#' can leave standard deviations a quarter off.
#'
#' The bound counts one labelling of the components. `elbo` is comparable across k at the same
#' prior (add `lfactorial(k)` for the labellings that are as good); under flat priors it is not.
#'
#' @return An object of class `gmm_vb_fit` (`gmm_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{the call, and the [gaussian_mixture()]}
#'   \item{vb}{the factors in raw units: `N` (rows of each component), `mean` and `S` (mean and
#'     covariance of the means), `df` and `L` (degrees of freedom and mean of the precision
#'     matrices), `mean_log_det`, `alpha`, `mean_log_pi`, `elbo`}
#'   \item{posterior}{`variables` (data frame), `mean`, `cov_mfvb`, `cov_lrvb` (`NULL` where linear
#'     response failed), of `mu`, `Lambda`, `log_det` and `log_pi`; `direction`: one posterior SD
#'     along the direction that linear response widens most}
#'   \item{linearity}{`slope`: gradient of the bound one posterior SD to either side along that
#'     direction, divided by what a normal posterior would have (1, 1)}
#'   \item{starts}{data frame: `start`, `elbo`, `passes`, `status`}
#'   \item{trace}{data frame, a row per pass: `elbo`, `change` (largest of a responsibility),
#'     `newton` (length of the step, in posterior SDs)}
#'   \item{converged, passes, decrement, seconds}{did it converge, in how many passes, with which
#'     last Newton step; seconds for the starts and for the rest}
#'   \item{core}{the optimum in whitened units: sufficient statistics and factors}
#' }
#' @section Errors and warnings: `meanfield_error_start` when every start lost a component (a flat
#'   prior, too many components), `meanfield_error_size` for models whose linear-response matrix
#'   would have more than 6,000 rows, `meanfield_error_control`. Warnings:
#'   `meanfield_warning_convergence`; `meanfield_warning_lrvb` when linear response failed, naming
#'   the component and the reason; `meanfield_warning_components` for components that hold (almost)
#'   no rows or coincide.
#' @references Giordano, R., Broderick, T. and Jordan, M. (2015), eq. (7), section 3.3 and
#'   appendix E. Varadhan, R. and Roland, C. (2008). *Scand. J. Statist.* 35, 335-353 (SQUAREM).
#'   Arthur, D. and Vassilvitskii, S. (2007), k-means++.
#' @examples
#' fit <- fit_vb(gaussian_mixture(faithful, 2))
#' fit
#' sd_ratio_report(fit)
#' head(predict(fit, faithful))
#' @export
fit_vb.gaussian_mixture <- function(object, starts = 10, start = NULL, seed = 1,
                                    control = vb_control(), ...) {
  no_dots(...)
  call <- object_call(match.call(), "fit_vb", parent.frame())
  starts <- check_count(starts, "starts", 1, 10000)
  seed <- check_count(seed, "seed", 0)
  control <- check_vb_control(control)
  check_mixture_size(object)
  core <- gmm_core(object)
  began <- now()
  tries <- if (is.null(start)) gmm_starts(object, core, starts, seed) else
    list(gmm_labelled_start(object, core, start))
  tried <- now()
  fit <- gmm_best_run(object, core, tries, control)
  fit <- c(list(call = call, model = object), fit)
  fit$seconds <- c(starts = tried - began, fit = now() - tried)
  fit$control <- control
  class(fit) <- c("gmm_vb_fit", "gmm_fit", "meanfield_fit")
  gmm_warnings(fit)
  if (control$trace) print(fit$trace)
  fit
}

#' @rdname fit_vb.gaussian_mixture
#' @export
fit_vb.gmm_fit <- function(object, ...) fit_vb(valid_fit(object)$model, ...)

now <- function() as.double(Sys.time())

check_mixture_size <- function(model) {
  p <- ncol(model$x)
  n <- model$k * (p + p * (p + 1) / 2 + 3)
  if (n > 6000) {
    mf_abort("size", "the linear-response matrix of ", model$k, " components in ", p,
      " dimensions has ", n, " rows, more than 6,000: use fewer columns (principal components)",
      arg = "x")
  }
}

# ---- starts ------------------------------------------------------------------------

# Each start after a short run: list(stats, elbo, passes, status).
gmm_starts <- function(model, core, starts, seed) {
  scaled <- if (model$k > 1L) sweep(model$x, 2L, apply(model$x, 2L, stats::sd), "/")
  lapply(seq_len(if (model$k > 1L) starts else 1L), function(i) {
    metric <- if (i %% 2L == 1L && !is.null(scaled)) scaled else core$X
    label <- call_gmm_start(metric, model$k, 1000 * seed + i, rounds = 10L)
    gmm_short_run(core, call_gmm_label_stats(core, label))
  })
}

gmm_short_run <- function(core, stats) {
  control <- list(tol = 0, change = 1e-3, max_iter = 60L, newton = FALSE)
  run <- call_gmm_fit(core, stats, NULL, control)
  status <- names(core_status)[match(run$status[1L], core_status)]
  if (status == "interrupted") mf_interrupt()
  lost <- !status %in% c("ok", "maxit")
  list(stats = run$result$stats, elbo = if (lost) -Inf else run$result$elbo,
    passes = run$status[2L],
    status = if (lost) paste("lost component", run$status[3L] + 1L) else "ran")
}

gmm_labelled_start <- function(model, core, start) {
  label <- if (is.factor(start)) as.integer(start) else start
  ok <- is.numeric(label) && length(label) == nrow(model$x) && all(label %in% seq_len(model$k))
  if (!ok) {
    mf_abort("control", "`start` must have a label from 1 to ", model$k, " for each of the ",
      nrow(model$x), " rows", arg = "start")
  }
  gmm_short_run(core, call_gmm_label_stats(core, as.integer(label) - 1L))
}

# ---- run ---------------------------------------------------------------------------

# The best start to the end; the next best when that one loses a component on the way.
gmm_best_run <- function(model, core, tries, control) {
  elbo <- vapply(tries, `[[`, 0, "elbo") + elbo_units(model)
  for (i in order(-elbo)) {
    if (elbo[i] == -Inf) break
    run <- gmm_full_run(model, core, tries[[i]]$stats, control)
    if (is.null(run)) {
      tries[[i]]$status <- "lost a component"
      next
    }
    tries[[i]]$status <- "kept"
    out <- gmm_result(model, run, control)
    out$starts <- data.frame(start = seq_along(tries), elbo = elbo,
      passes = vapply(tries, `[[`, 0L, "passes"), status = vapply(tries, `[[`, "", "status"))
    return(out)
  }
  p <- ncol(model$x)
  mf_abort("start", "every start lost a component (it was left with too few rows for a ",
    "covariance matrix, or with rows that are all alike",
    if (model$prior$flat_precision) paste0("; under a flat prior it needs ",
    "more than P + 1 = ", p + 1L), "): use fewer components `k`, or a proper mixture_prior()",
    arg = "k")
}

# NULL when a component is lost. Components end up ordered by their first mean.
gmm_full_run <- function(model, core, stats, control) {
  ctl <- list(tol = control$tol, change = control$tol, max_iter = control$max_iter,
    newton = control$newton)
  passes <- 0L
  trace <- NULL
  repeat {
    run <- call_gmm_fit(core, gmm_order(model, stats), model$units, ctl)
    status <- names(core_status)[match(run$status[1L], core_status)]
    switch(status,
      interrupted = mf_interrupt(),
      not_pd_leaf = return(NULL),
      nonfinite = mf_abort("nonfinite", "the algorithm produced a non-finite value: rescale ",
        "the data or use less extreme priors")
    )
    passes <- passes + run$status[2L]
    res <- run$result
    trace <- cbind(trace, res$trace[, seq_len(res$rows), drop = FALSE])
    stats <- res$stats
    ordered <- identical(stats, gmm_order(model, stats))
    if (ctl$newton && ordered) break
    ctl$newton <- TRUE # plain ascent is done: the covariances from where it ended
  }
  res$trace <- trace
  # a covariance matrix from fewer rows than P + 2 is one of the prior alone
  if (model$prior$flat_precision && any(stats[seq_len(model$k)] <= ncol(model$x) + 1L)) {
    return(NULL)
  }
  list(result = res, status = status, passes = passes)
}

# Statistics with the components in order of their first mean in raw units.
gmm_order <- function(model, stats) {
  k <- model$k
  p <- ncol(model$x)
  mean <- matrix(stats[k + seq_len(p * k)], p)
  o <- order(crossprod(model$units$U[, 1L, drop = FALSE], mean))
  if (!is.unsorted(o)) return(stats)
  c(stats[o], mean[, o], matrix(stats[-seq_len(k + p * k)], p * p)[, o])
}

gmm_result <- function(model, run, control) {
  res <- run$result
  u <- model$units
  p <- ncol(model$x)
  k <- model$k
  raw <- function(M, f) array(apply(M, 2L, function(v) f(matrix(v, p))), c(p, p, k))
  vb <- list(
    N = res$stats[seq_len(k)], mean = u$centre + crossprod(u$U, res$m),
    S = raw(res$S, function(S) crossprod(u$U, S %*% u$U)), df = res$df,
    L = raw(res$L, function(L) u$A %*% L %*% t(u$A)),
    mean_log_det = res$mean_logdet + 2 * u$log_det_A,
    alpha = res$alpha, mean_log_pi = res$mean_log_pi, elbo = res$elbo + elbo_units(model)
  )
  dimnames(vb$mean) <- list(colnames(model$x), NULL)
  trace <- as.data.frame(t(res$trace))
  names(trace) <- c("elbo", "change", "newton")
  trace$elbo <- trace$elbo + elbo_units(model)
  trace$newton[trace$newton < 0] <- NA
  list(
    vb = vb, posterior = gmm_posterior(model, vb, res),
    linearity = if (res$not_pd == 0) list(slope = res$slope), trace = trace,
    converged = run$status == "ok", passes = run$passes,
    decrement = if (res$decrement >= 0) res$decrement else NA_real_, failed = res$not_pd,
    core = res[c("stats", "m", "L", "offset")]
  )
}

gmm_posterior <- function(model, vb, res) {
  variables <- gmm_variables(model)
  lower <- lower.tri(diag(ncol(model$x)), diag = TRUE)
  mean <- unlist(lapply(seq_len(model$k), function(k) {
    c(vb$mean[, k], vb$L[, , k][lower], vb$mean_log_det[k], vb$mean_log_pi[k])
  }))
  # the paper's order: all means, all precision matrices, ...
  o <- order(match(variables$kind, c("mu", "Lambda", "log_det", "log_pi")))
  variables <- variables[o, ]
  rownames(variables) <- NULL
  pick <- function(V) {
    V <- (V + t(V))[o, o] / 2
    dimnames(V) <- list(variables$variable, variables$variable)
    V
  }
  list(variables = variables, mean = stats::setNames(mean[o], variables$variable),
    cov_mfvb = pick(res$mfvb), cov_lrvb = if (res$not_pd == 0) pick(res$lrvb),
    direction = if (res$not_pd == 0) res$direction[o])
}

# ---- what went wrong ---------------------------------------------------------------

gmm_warnings <- function(fit) {
  if (!fit$converged) {
    mf_warn("convergence", "not converged after ", fit$passes, " passes over the rows: raise ",
      "`max_iter` in vb_control()", arg = "control")
  }
  small <- which(fit$vb$N < 1)
  if (length(small)) {
    mf_warn("components", "component", if (length(small) > 1) "s", " ", toString(small),
      " hold", if (length(small) == 1) "s", " (almost) no rows: what is said of ",
      if (length(small) > 1) "them" else "it", " is the prior; use fewer components `k`",
      arg = "k")
  }
  twins <- gmm_twins(fit)
  if (fit$failed > 0) {
    mf_warn("lrvb", "linear response failed at component ", gmm_failed_component(fit), ": ",
      if (length(twins)) {
        paste0(twins[1L], " coincide, so that rows can move between them freely")
      } else "the bound is flat there, or the fit sits on a saddle; use other `starts`",
      "; mean-field SDs are reported", arg = "k")
  } else if (length(twins)) {
    mf_warn("components", toString(twins), " coincide: use fewer components `k`", arg = "k")
  }
}

gmm_failed_component <- function(fit) {
  p <- ncol(fit$model$x)
  (fit$failed - 1L) %/% (p + p * (p + 1L) / 2L + 3L) + 1L
}

# Pairs of components with the same mean and covariance: Kullback-Leibler divergence below 1e-3
# (a hundred rows could not tell them apart).
gmm_twins <- function(fit) {
  out <- character()
  vb <- fit$vb
  for (k in seq_len(fit$model$k)[-1L]) {
    for (l in seq_len(k - 1L)) {
      d <- vb$mean[, k] - vb$mean[, l]
      M <- solve_spd(as.matrix(vb$L[, , k])) %*% vb$L[, , l]
      kl <- (sum(diag(as.matrix(M))) - length(d) - as.numeric(determinant(as.matrix(M))$modulus) +
        sum(d * (vb$L[, , l] %*% d))) / 2
      if (vb$N[k] >= 1 && vb$N[l] >= 1 && kl < 1e-3) {
        out <- c(out, paste("components", l, "and", k))
      }
    }
  }
  out
}
