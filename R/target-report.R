# The reports on fits of targets: k-hat, sensitivity to the data's scalars, comparison.

#' @export
vb_khat.target_fit <- function(fit, ndraws = 1000) {
  valid_fit(fit)
  if (!is_one(fit$khat) || is.na(fit$khat)) {
    mf_abort("engine", "the fit was not refined by importance sampling and has no k-hat: refit ",
      "with refine = \"importance\"", arg = "fit")
  }
  structure(fit$khat, ess = fit$ess, of = proposal_words(fit), class = "meanfield_khat")
}

proposal_words <- function(fit) {
  if (is.null(fit$vb$flow)) return("the Gaussian proposal")
  if (all(fit$table$source == "vb")) "the flow" else "the proposal, flow and Gaussians"
}

# d E f / d lambda = Cov(f, d log p / d lambda) for every single number lambda in `data`, by central
# differences of the log density at points of the posterior.
#' @export
vb_sensitivity.target_fit <- function(fit, scaled = FALSE) {
  valid_fit(fit)
  check_flag(scaled, "scaled")
  target <- fit$model
  scalars <- scalar_data(target$user$data)
  points <- sensitivity_points(fit)
  f <- target_values(target, points$z)
  names <- variable_table(target)$variable
  out <- vapply(scalars, function(name) {
    g <- data_slope(target, name, points$z)
    drop(weighted_cross(f, g, points$weights))
  }, numeric(nrow(f)))
  out <- matrix(out, nrow(f), length(scalars), dimnames = list(names, scalars))
  if (!scaled) return(out)
  sd <- summary_table(fit)$sd
  out / sd * rep(abs(unlist(target$user$data[scalars])), each = nrow(out))
}

scalar_data <- function(data) {
  ok <- vapply(as.list(data), function(x) is.numeric(x) && length(x) == 1L && is.finite(x), NA)
  if (!is.list(data) || !any(ok)) {
    mf_abort("target", "the target's `data` has no single numbers to be sensitive to: give the ",
      "constants of the prior as elements of `data`", arg = "fit")
  }
  names(data)[ok]
}

sensitivity_points <- function(fit) {
  if (is.null(fit$points)) return(list(z = fit$z, weights = rep(1 / ncol(fit$z), ncol(fit$z))))
  use <- fit$points$weights > 0
  list(z = fit$points$z[, use, drop = FALSE],
    weights = fit$points$weights[use] / sum(fit$points$weights[use]))
}

data_slope <- function(target, name, z) {
  value <- target$user$data[[name]]
  h <- 1e-4 * max(abs(value), 1e-4)
  at <- function(x) {
    data <- target$user$data
    data[[name]] <- x
    evaluator(target_with_data(target, data))(z, FALSE)$lp
  }
  (at(value + h) - at(value - h)) / (2 * h)
}

weighted_cross <- function(f, g, w) {
  use <- is.finite(g)
  w <- w[use] / sum(w[use])
  f <- f[, use, drop = FALSE]
  (f - drop(f %*% w)) %*% (w * (g[use] - sum(w * g[use])))
}

#' @export
fit_evidence.target_fit <- function(fit) {
  known <- is_one(fit$log_evidence) && is.finite(fit$log_evidence)
  if (known) return(list(value = fit$log_evidence, source = "exact"))
  if (!is.null(fit$vb$elbo)) return(list(value = fit$vb$elbo, source = "elbo"))
  list(value = NA_real_, source = "none")
}

#' @rdname target-methods
#' @param evaluate Evaluate the new call?
#' @export
update.target_fit <- function(object, ..., evaluate = TRUE) {
  valid_fit(object)
  exprs <- as.list(match.call(expand.dots = FALSE)$...)
  refit_target(object$call, object$model, exprs, list(...), evaluate, parent.frame())
}

# The fit of a call, of this model now, with new arguments: as they were written, and their values.
refit_target <- function(call, model, exprs, new, evaluate, env) {
  if (length(new) && (is.null(names(new)) || any(names(new) == ""))) no_dots("")
  kept <- setdiff(names(call)[-1L], "object")
  old <- as.list(call)[kept]
  call[names(new)] <- exprs
  if (!check_flag(evaluate, "evaluate")) return(call)
  old <- lapply(old, eval, env)
  fit <- do.call(get(as.character(call[[1L]]), envir = topenv()),
    c(list(model), utils::modifyList(old, new, keep.null = TRUE)))
  fit$call <- call
  fit
}
