# formula, data -> model frame, and from it the response, weights, offset and fixed model matrix.

# Evaluate data, weights, subset and offset as lm() does. Levels of factors are
# not dropped here: that would copy full-length grouping factors.
build_frame <- function(call, frame_formula, env) {
  keep <- match(c("data", "subset", "weights", "na.action", "offset"), names(call), 0L)
  mf <- call[c(1L, keep)]
  mf[[1L]] <- quote(stats::model.frame)
  mf$formula <- frame_formula
  mf$drop.unused.levels <- FALSE
  frame <- tryCatch(complete_frame(mf, env), meanfield_error = stop, error = function(e) {
    stop_if_memory(e)
    mf_abort("data", "`formula` and `data` do not fit together: ", conditionMessage(e),
      arg = "data")
  })
  if (nrow(frame) == 0L) {
    mf_abort("data", "no rows are left: `data` is empty, or `subset` or missing values ",
      "remove every row", arg = "data")
  }
  if (nrow(frame) >= 2^31 - 1) {
    mf_abort("size", "`data` has more than 2^31 - 1 rows: fit a subset", arg = "data")
  }
  frame
}

# na.omit() and its like copy the whole frame even when nothing is missing: look first.
complete_frame <- function(mf, env) {
  action <- if (is.null(mf$na.action)) getOption("na.action", "na.omit") else eval(mf$na.action,
    env)
  known <- list(stats::na.omit, stats::na.exclude, stats::na.fail)
  plain <- is.character(action) && action %in% c("na.omit", "na.exclude", "na.fail") ||
    any(vapply(known, identical, NA, action))
  if (!plain) return(eval(mf, env))
  quick <- mf
  quick$na.action <- quote(stats::na.pass)
  frame <- eval(quick, env)
  if (any(vapply(frame, anyNA, NA, recursive = TRUE))) eval(mf, env) else frame
}

# As numbers; model.response() would add a million row names.
frame_response <- function(frame) numeric_response(frame[[1L]], names(frame)[1L])

frame_weights <- function(frame) {
  w <- stats::model.weights(frame)
  if (is.null(w)) return(NULL)
  if (!is.numeric(w) || any(!is.finite(w)) || any(w < 0)) {
    mf_abort("weights", "`weights` must be finite numbers, none negative; drop rows by a ",
      "weight of zero", arg = "weights")
  }
  if (!any(w > 0)) {
    mf_abort("weights", "all `weights` are zero: no row is left", arg = "weights")
  }
  as_plain_double(w)
}

frame_offset <- function(frame) {
  offset <- stats::model.offset(frame)
  if (is.null(offset)) return(NULL)
  if (!is.numeric(offset) || any(!is.finite(offset))) {
    mf_abort("data", "`offset` must be finite numbers", arg = "offset")
  }
  as.double(offset)
}

# Terms that predict safely: poly(), ns() and scale() keep the parameters they were
# evaluated with (predvars of the whole frame).
safe_terms <- function(formula, frame) {
  tt <- stats::terms(formula)
  whole <- attr(frame, "terms")
  mine <- variable_names(tt)
  predvars <- as.list(attr(whole, "predvars"))[-1L]
  attr(tt, "predvars") <- as.call(c(quote(list), predvars[match(mine, variable_names(whole))]))
  classes <- attr(whole, "dataClasses")
  attr(tt, "dataClasses") <- classes[names(classes) %in% c(mine, "(weights)")]
  tt
}

# stats::.getXlevels(), for a twentieth of the time where there are none.
x_levels <- function(tt, frame) {
  has <- vapply(variable_names(tt), function(v) {
    x <- .subset2(frame, v)
    is.factor(x) || is.character(x)
  }, NA)
  if (any(has)) stats::.getXlevels(tt, frame)
}

# Drop unused levels of factors among the predictors only: a response of one level keeps the other.
drop_predictor_levels <- function(frame, tt) {
  vars <- variable_names(tt)
  if (attr(tt, "response")) vars <- vars[-attr(tt, "response")]
  for (v in intersect(vars, names(frame))) {
    x <- .subset2(frame, v)
    if (is.factor(x) && any(tabulate(x, nlevels(x)) == 0L)) {
      frame[[v]] <- x[, drop = TRUE]
    }
  }
  frame
}

# tt may hold the response, which is no column of the matrix.
fixed_matrix <- function(tt, frame, contrasts) {
  tryCatch(
    stats::model.matrix(tt, frame, contrasts.arg = contrasts),
    error = function(e) {
      stop_if_memory(e)
      mf_abort("data", "the model matrix cannot be built: ", conditionMessage(e),
        arg = "data")
    }
  )
}

plain_coef <- function(coef) {
  if (any(grepl("#", coef, fixed = TRUE))) sub("#[0-9]+$", "", coef) else coef
}

block_diagonal <- function(blocks) {
  if (length(blocks) == 1L) return(blocks[[1L]])
  size <- vapply(blocks, nrow, 0L)
  out <- matrix(0, sum(size), sum(size))
  last <- cumsum(size)
  for (k in seq_along(blocks)) {
    at <- seq.int(last[k] - size[k] + 1L, last[k])
    out[at, at] <- blocks[[k]]
  }
  out
}
