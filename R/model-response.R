# The response behind a fit and that of new data: frame, size, kind, draws and pointwise log
# likelihoods.

# list(y, size) of the fit's own rows, whose oddities were announced when they were fitted.
fit_response <- function(fit) {
  frame <- kept_frame(fit$model)
  suppressWarnings(glmm_response(frame, frame_weights(frame), fit$model$family),
    classes = "meanfield_warning_response")
}

# The response as draws of it are: counts, or numbers of successes.
fitted_response <- function(fit) {
  if (is_gaussian(fit)) frame_response(kept_frame(fit$model)) else fit_response(fit)$y
}

# Trials (binomial) or row weights of the rows of a prediction.
response_size <- function(fit, newdata, weights, n) {
  if (!is.null(weights)) return(rep_len(weights, n))
  if (is.null(newdata)) return(fit_response(fit)$size)
  trials <- 1
  lhs <- fit$model$formula[[2L]]
  if (is_pair(fit$model$prototype) && all(all.vars(lhs) %in% names(newdata))) {
    trials <- rowSums(new_response(fit$model, newdata))
  }
  rep_len(trials * (new_weights(fit, newdata) %||% 1), n)
}

# draws x rows of new responses.
draw_responses <- function(object, d, newdata) {
  size <- response_size(object, newdata, NULL, ncol(d$eta))
  family <- object$model$family$family
  if (family == "binomial") check_whole_trials(size)
  y <- array(NA_real_, dim(d$eta), dimnames(d$eta))
  ok <- which(!is.na(d$eta) & !is.na(rep(size, each = nrow(y))))
  mu <- countable(object$model$family$linkinv(d$eta[ok]))
  if (any(mu == MOST_COUNT)) {
    mf_warn("overflow", "some expected responses are beyond 1e300 and are drawn as that: the posterior of ",
      "the linear predictor is very wide; use tighter priors", arg = "object")
  }
  n <- length(ok)
  y[ok] <- switch(family,
    binomial = stats::rbinom(n, rep(as.integer(round(size)), each = nrow(y))[ok], mu),
    poisson = stats::rpois(n, mu),
    neg_binomial = stats::rnbinom(n, size = rep_len(d$lead, length(y))[ok], mu = mu)
  )
  y
}

# draws x rows (of positive size) of the log likelihood. w: weights of new rows.
glmm_log_lik <- function(object, d, newdata, w = NULL) {
  r <- if (is.null(newdata)) fit_response(object) else new_glmm_response(object$model, newdata, w)
  y <- rep(r$y, each = nrow(d$eta))
  size <- rep(r$size, each = nrow(d$eta))
  eta <- d$eta
  ll <- switch(object$model$family$family,
    binomial = lchoose_real(size, y) + y * eta - size * log1p_exp(eta),
    poisson = size * log_poisson(y, eta),
    neg_binomial = size * log_neg_binomial(y, d$lead, eta)
  )
  matrix(ll, nrow(eta), dimnames = list(NULL, colnames(eta)))[, r$size > 0, drop = FALSE]
}

new_glmm_response <- function(model, newdata, w) {
  y <- new_response(model, newdata)
  glmm_response(list2DF(stats::setNames(list(y), deparse1(model$formula[[2L]]))), w, model$family)
}

has_rows <- function(model) !is.null(model$frame)

kept_frame <- function(model) {
  if (has_rows(model)) return(model$frame)
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
    mf_abort("weights", "the `weights` of the fit are no numbers, one per row and none negative, in ",
      "`newdata`", arg = "newdata")
  }
  rep_len(as.double(w), nrow(newdata))
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
