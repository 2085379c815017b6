# Is a fit of a target what its methods take it for?

#' @export
unsound.target_fit <- function(fit) {
  target <- fit$model
  if (!inherits(target, "meanfield_target") || !is_count(target$d)) return("model")
  if (!is.data.frame(fit$table) || nrow(fit$table) != nrow(target$variables)) return("table")
  unsound_points(fit$points, target$d)
}

#' @export
unsound.target_hmc_fit <- function(fit) {
  target <- fit$model
  if (!inherits(target, "meanfield_target")) return("model")
  ok <- is.array(fit$draws) && length(dim(fit$draws)) == 3L && is.numeric(fit$draws) &&
    dim(fit$draws)[3L] == nrow(target$variables)
  if (!ok) "draws"
}

is_count <- function(x) is_one(x) && is.finite(x) && x >= 1

unsound_points <- function(points, d) {
  ok <- is.matrix(points$z) && is.numeric(points$z) && nrow(points$z) == d &&
    is_shape(points$weights, ncol(points$z)) && all(points$weights >= 0)
  if (!ok) "points"
}
