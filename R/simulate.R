# Simulated responses, of the kind of the response.

#' @rdname posterior-draws
#' @export
simulate.meanfield_fit <- function(object, nsim = 1, seed = NULL, newdata = NULL,
                                   re.form = NULL, allow_new_levels = FALSE, ...) {
  valid_fit(object)
  nsim <- check_count(nsim, "nsim", 1)
  no_dots(...)
  state <- seeded_state(seed)
  if (!is.null(seed)) {
    on.exit(assign(".Random.seed", state$before, envir = globalenv()))
  }
  y <- posterior_predict.meanfield_fit(object, newdata, nsim, re.form, allow_new_levels)
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

# A function that makes a response of the fit's kind from numbers of successes, or counts.
response_kind <- function(fit, newdata, n) {
  like <- fit$model$prototype
  if (is_gaussian(fit)) return(identity)
  if (fit$model$family$family != "binomial") {
    return(function(y) if (all(y <= .Machine$integer.max, na.rm = TRUE)) as_plain_integer(y) else y)
  }
  size <- response_size(fit, newdata, NULL, n)
  if (is_pair(like)) {
    w <- if (is.null(newdata)) frame_weights(model.frame(fit)) else new_weights(fit, newdata)
    return(function(y) like_pair(y, size, w %||% 1, like))
  }
  if (is.factor(like) || is.logical(like)) return(like_label(size, like))
  size[size == 0] <- NA
  whole <- is.integer(like) && all(size == 1, na.rm = TRUE)
  function(y) if (whole) as_plain_integer(y) else y / size
}

# No rows of the response. Of a factor, with the labels of failure and success, which need not be its
# first two levels when there are unused ones.
response_prototype <- function(y) {
  out <- utils::head(y, 0L)
  if (!is.factor(y)) return(out)
  used <- levels(y)[tabulate(y, nlevels(y)) > 0L]
  structure(out, outcome = if (nlevels(y) > 2L) union(used, levels(y))[1:2] else levels(y))
}

as_plain_integer <- function(y) {
  storage.mode(y) <- "integer"
  y
}

# Weights multiply both columns when the pair is fitted.
like_pair <- function(y, size, w, like) {
  w[w == 0] <- 1
  structure(cbind(y, size - y) / w, dimnames = list(NULL, colnames(like)))
}

like_label <- function(size, like) {
  if (any(size != 1)) {
    mf_abort("response", "a ", if (is.factor(like)) "factor" else "logical", " response with ",
      "`weights` cannot be simulated as one: fit cbind(success, failure)", arg = "object")
  }
  if (is.logical(like)) return(function(y) y > 0)
  outcome <- attr(like, "outcome")
  function(y) factor(outcome[y + 1], levels = levels(like), ordered = is.ordered(like))
}

# As in stats::simulate(): a seed is set for the simulation only, and the state it started
# from is kept.
seeded_state <- function(seed) {
  if (!exists(".Random.seed", envir = globalenv(), inherits = FALSE)) stats::runif(1)
  before <- get(".Random.seed", envir = globalenv())
  if (is.null(seed)) return(list(before = before, used = before))
  set.seed(check_count(seed, "seed", -.Machine$integer.max))
  list(before = before, used = structure(seed, kind = as.list(RNGkind())))
}
