# The response behind a fit and that of new data: frame, size, kind, draws and pointwise log
# likelihoods.

# list(y, size) of the fit's own rows, whose oddities were announced when they were fitted.
fit_response <- function(fit) {
  frame <- kept_frame(fit$model)
  suppressWarnings(sized_response(frame, frame_weights(frame), fit$model$family),
    classes = "meanfield_warning_response")
}

# With the weights that scale the precision of rows as their size, where that is what weights do.
sized_response <- function(frame, w, family) {
  out <- family_response(frame, w, family)
  if (is.null(out$size)) out$size <- w %||% rep(1, length(out$y))
  out
}

# The response as draws of it are: numbers, counts, or numbers of successes.
fitted_response <- function(fit) fit_response(fit)$y

# Trials or weights of the rows of a prediction. Where weights scale a row's precision, a row that
# was not fitted has weight one unless it is given another.
response_size <- function(fit, newdata, weights, n) {
  if (!is.null(weights)) return(rep_len(weights, n))
  if (is.null(newdata)) return(fit_response(fit)$size)
  if (!has_rows(fit)) return(rep(1, n))
  trials <- 1
  lhs <- fit$model$formula[[2L]]
  if (is_pair(fit$model$prototype) && all(all.vars(lhs) %in% names(newdata))) {
    trials <- rowSums(new_response(fit$model, newdata))
  }
  rep_len(trials * (new_weights(fit, newdata) %||% 1), n)
}

# draws x rows of new responses.
draw_responses <- function(object, d, newdata) {
  y <- array(NA_real_, dim(d$eta), dimnames(d$eta))
  size <- rep(response_size(object, newdata, NULL, ncol(y)), each = nrow(y))
  ok <- which(!is.na(d$eta) & !is.na(size))
  mu <- countable(object$model$family$linkinv(d$eta[ok]))
  if (any(mu == MOST_COUNT)) {
    mf_warn("overflow", "some expected responses are beyond 1e300 and are drawn as that: the ",
      "posterior of the linear predictor is very wide; use tighter priors", arg = "object")
  }
  lead <- if (!is.null(d$lead)) rep_len(d$lead, length(y))[ok]
  y[ok] <- family_of(object)$draw(mu, size[ok], lead)
  y
}

# draws x rows (of positive size) of the log likelihood. w: weights of new rows.
response_log_lik <- function(object, d, newdata, w = NULL) {
  r <- if (is.null(newdata)) fit_response(object) else coded_response(object$model, newdata, w)
  each <- function(x) rep(x, each = nrow(d$eta))
  ll <- family_of(object)$log_lik(each(r$y), each(r$size), d$eta, d$lead)
  matrix(ll, nrow(d$eta), dimnames = list(NULL, colnames(d$eta)))[, r$size > 0, drop = FALSE]
}

coded_response <- function(model, newdata, w) {
  y <- new_response(model, newdata)
  sized_response(list2DF(stats::setNames(list(y), deparse1(model$formula[[2L]]))), w, model$family)
}

holds_rows <- function(model) !is.null(model$frame)

kept_frame <- function(model) {
  if (holds_rows(model)) return(model$frame)
  if (model$source == "gram") {
    mf_abort("data", "the fit was made from sums, see gram(), and holds no rows: give `newdata`, ",
      "or fit by formula and data", arg = "object")
  }
  mf_abort("data", "the fit was made with model = FALSE and holds no rows: ",
    "refit with model = TRUE, or give `newdata`", arg = "model")
}

# The expression of an argument of the call that was laid beside the formula: weights, offset.
fit_argument <- function(fit, arg) fit$call[[arg]] %||% fit$model$arguments[[arg]]

new_response <- function(model, newdata) {
  lhs <- model$formula[[2L]]
  check_variables(all.vars(lhs), newdata, environment(model$formula))
  eval(lhs, newdata, environment(model$formula))
}

# The weights of the fit in new data that have the columns they are made of, else NULL.
new_weights <- function(fit, newdata) {
  expr <- fit_argument(fit, "weights")
  if (is.null(newdata) || !is.language(expr) || !all(all.vars(expr) %in% names(newdata))) {
    return(NULL)
  }
  w <- eval(expr, newdata, environment(fit$model$formula))
  if (!is.numeric(w) || !length(w) %in% c(1L, nrow(newdata)) || any(w < 0, na.rm = TRUE)) {
    mf_abort("weights", "the `weights` of the fit are no numbers, one per row and none ",
      "negative, in `newdata`", arg = "newdata")
  }
  rep_len(as.double(w), nrow(newdata))
}

# A function that makes a response of the fit's kind from numbers of successes, counts or numbers.
# What the family has no use for is not evaluated: a Gaussian fit need not have its rows.
response_kind <- function(fit, newdata, n) {
  family_of(fit)$restore(fit$model$prototype, response_size(fit, newdata, NULL, n),
    if (is.null(newdata)) frame_weights(model.frame(fit)) else new_weights(fit, newdata))
}

# No rows of the response. Of a factor, with the labels of failure and success, which need not be
# its first two levels when there are unused ones.
response_prototype <- function(y) {
  out <- if (is.null(dim(y))) y[0L] else if (is.matrix(y)) y[0L, , drop = FALSE] else
    utils::head(y, 0L)
  if (!is.factor(y)) return(out)
  used <- levels(y)[tabulate(y, nlevels(y)) > 0L]
  structure(out, outcome = if (nlevels(y) > 2L) union(used, levels(y))[1:2] else levels(y))
}
