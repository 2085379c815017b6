# Is a fit of a target what its methods take it for?

#' @export
unsound.target_fit <- function(fit) {
  target <- fit$model
  if (unsound_target(target)) return("model")
  if (!is_one(fit$counts$gradients) || !is_one(fit$counts$values)) return("counts")
  if (!is.data.frame(fit$table) || nrow(fit$table) != nrow(target$variables)) return("table")
  for (part in c("flags", "notes")) if (!is.character(fit[[part]])) return(part)
  for (part in c("log_evidence", "evidence_error", "khat")) if (!is_one(fit[[part]])) return(part)
  if (!is_one(fit$vb$elbo)) return("vb$elbo")
  verdict <- if (inherits(fit, "target_exact_fit")) "method" else "converged"
  sound <- if (verdict == "method") is_text(fit$method) else is_true_false(fit$converged)
  if (!sound) return(verdict)
  unsound_points(fit$points, target$d)
}

#' @export
unsound.target_hmc_fit <- function(fit) {
  target <- fit$model
  if (unsound_target(target)) return("model")
  ok <- is.array(fit$draws) && length(dim(fit$draws)) == 3L && is.numeric(fit$draws) &&
    dim(fit$draws)[3L] == nrow(target$variables)
  if (!ok) return("draws")
  if (!isTRUE(fit$method %in% names(HMC_WORDS))) return("method")
  for (part in c("chains", "iter", "thin")) if (!is_count(fit[[part]])) return(part)
  if (!is_one(fit$warmup)) return("warmup")
  if (!is_true_false(fit$converged)) return("converged")
  if (!is_one(fit$counts$gradients)) "counts"
}

unsound_target <- function(target) {
  v <- target$variables
  !inherits(target, "meanfield_target") || !is_count(target$d) || !is_true_false(target$free) ||
    !is.data.frame(v) ||
    !all(vapply(list(v$variable, v$kind, v$link), is.character, NA))
}

is_count <- function(x) is_one(x) && is.finite(x) && x >= 1

unsound_points <- function(points, d) {
  ok <- is.matrix(points$z) && is.numeric(points$z) && nrow(points$z) == d &&
    is_shape(points$weights, ncol(points$z)) && all(points$weights >= 0)
  if (!ok) "points"
}
