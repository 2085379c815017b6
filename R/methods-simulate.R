# Simulated responses, of the kind of the response.

#' @rdname posterior-draws
#' @export
simulate.regression_fit <- function(object, nsim = 1, seed = NULL, newdata = NULL,
                                   re.form = NULL, allow_new_levels = FALSE, ...) {
  valid_fit(object)
  nsim <- check_count(nsim, "nsim", 1)
  no_dots(...)
  state <- seeded_state(seed)
  if (!is.null(seed)) {
    on.exit(assign(".Random.seed", state$before, envir = globalenv()))
  }
  y <- posterior_predict.regression_fit(object, newdata, nsim, re.form, allow_new_levels)
  kind <- response_kind(object, newdata, ncol(y))
  out <- lapply(seq_len(nsim), function(i) {
    v <- kind(unname(y[i, ]))
    if (is.null(newdata)) stats::naresid(object$model$na_action, v) else v
  })
  rows <- rownames(if (is.null(newdata)) model.frame(object) else newdata)
  if (is.null(newdata)) rows <- padded_names(object$model$na_action, rows)
  simulations(out, rows, state$used)
}

# A data frame whose columns may be matrices.
simulations <- function(out, rows, seed) {
  structure(out, names = paste0("sim_", seq_along(out)), row.names = rows, class = "data.frame",
    seed = seed)
}

# Row names with those that na.exclude left out back in their places.
padded_names <- function(na_action, names) {
  if (!inherits(na_action, "exclude")) return(names)
  all <- stats::naresid(na_action, names)
  all[na_action] <- names(na_action)
  all
}
