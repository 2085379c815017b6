# Is a fit of a target what its methods take it for?

#' @export
unsound.target_fit <- function(fit) {
  target <- fit$model
  if (unsound_target(target)) return("model")
  if (!is_one(fit$counts$gradients) || !is_one(fit$counts$values)) return("counts")
  if (!is.data.frame(fit$table) || nrow(fit$table) != nrow(target$variables)) return("table")
  unsound_points(fit$points, target$d)
}

#' @export
unsound.target_hmc_fit <- function(fit) {
  target <- fit$model
  if (unsound_target(target)) return("model")
  ok <- is.array(fit$draws) && length(dim(fit$draws)) == 3L && is.numeric(fit$draws) &&
    dim(fit$draws)[3L] == nrow(target$variables)
  if (!ok) "draws"
}

unsound_target <- function(target) {
  v <- target$variables
  !inherits(target, "meanfield_target") || !is_count(target$d) || !is.data.frame(v) ||
    !all(vapply(list(v$variable, v$kind, v$link), is.character, NA))
}

is_count <- function(x) is_one(x) && is.finite(x) && x >= 1

unsound_points <- function(points, d) {
  ok <- is.matrix(points$z) && is.numeric(points$z) && nrow(points$z) == d &&
    is_shape(points$weights, ncol(points$z)) && all(points$weights >= 0)
  if (!ok) "points"
}
