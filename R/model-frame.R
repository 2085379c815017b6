# formula, data -> model frame, and from it the response, weights, offset and fixed model matrix.

# Evaluate data, weights, subset and offset as lm() does. Levels of factors are
# not dropped here: that would copy full-length grouping factors.
build_frame <- function(call, frame_formula, data, env) {
  own <- any(names(call) %in% FRAME_ARGS)
  frame <- withCallingHandlers(
    (if (!own) plain_frame(frame_formula, data)) %||% evaluated_frame(call, frame_formula, env),
    error = function(e) {
      if (inherits(e, "meanfield_error")) return()
      stop_if_memory(e)
      mf_abort("data", "`formula` and `data` do not fit together: ", conditionMessage(e),
        arg = "data")
    }
  )
  n <- nrow(frame)
  if (n == 0L) {
    mf_abort("data", "no rows are left: `data` is empty, or `subset` or missing values ",
      "remove every row", arg = "data")
  }
  if (n >= 2^31 - 1) {
    mf_abort("size", "`data` has more than 2^31 - 1 rows: fit a subset", arg = "data")
  }
  frame
}

FRAME_ARGS <- c("subset", "weights", "na.action", "offset")

# What model.frame() gives, for a fifth of its time, where it has little to do: every variable is a
# column of the data, or made of some, that stays as it is, and none has a value missing. NULL
# elsewhere.
plain_frame <- function(formula, data) {
  if (!is.data.frame(data) || !is_known_action(getOption("na.action", "na.omit"))) return(NULL)
  tt <- stats::terms(formula)
  if (!is.null(attr(tt, "predvars"))) return(NULL)
  variables <- as.list(attr(tt, "variables"))[-1L]
  columns <- lapply(variables, plain_column, data, environment(formula), .row_names_info(data, 2L))
  if (any(vapply(columns, is.null, NA))) return(NULL)
  names(columns) <- vapply(variables, expr_text, "")
  attr(tt, "predvars") <- attr(tt, "variables")
  attr(tt, "dataClasses") <- vapply(columns, stats::.MFclass, "")
  attributes(columns) <- list(names = names(columns), terms = tt,
    row.names = .row_names_info(data, 0L), class = "data.frame")
  columns
}

# The values of a variable, which predict() needs no parameters for: a factor, a vector or matrix
# of no class, of n rows. NULL for any other.
plain_column <- function(expr, data, env, n) {
  x <- if (is.name(expr)) .subset2(data, as.character(expr)) else eval(expr, data, env)
  if (is.factor(x)) return(if (length(x) == n && !anyNA(x)) x)
  extra <- attributes(x)
  plain <- (is.numeric(x) || is.logical(x) || is.character(x)) && is.null(extra) ||
    is.numeric(x) && is.matrix(x) && all(names(extra) %in% c("dim", "dimnames"))
  if (plain && NROW(x) == n && !anyNA(x)) x
}

evaluated_frame <- function(call, formula, env) {
  mf <- call[c(1L, match(c("data", FRAME_ARGS), names(call), 0L))]
  mf[[1L]] <- quote(stats::model.frame)
  mf$formula <- formula
  mf$drop.unused.levels <- FALSE
  complete_frame(mf, env)
}

# na.omit() and its like copy the whole frame even when nothing is missing: look first.
complete_frame <- function(mf, env) {
  action <- if (is.null(mf$na.action)) getOption("na.action", "na.omit") else eval(mf$na.action,
    env)
  if (!is_known_action(action)) return(eval(mf, env))
  quick <- mf
  quick$na.action <- quote(stats::na.pass)
  frame <- eval(quick, env)
  if (any(vapply(frame, anyNA, NA, recursive = TRUE))) eval(mf, env) else frame
}

# Does it leave a frame alone that has no value missing?
is_known_action <- function(action) {
  if (is.character(action)) return(all(action %in% c("na.omit", "na.exclude", "na.fail")))
  any(vapply(list(stats::na.omit, stats::na.exclude, stats::na.fail), identical, NA, action))
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
  text <- function(x) as.character(as.list(attr(x, "variables")))[-1L]
  at <- match(text(tt), text(whole))
  mine <- names(frame)[at] # which deparse() makes, and takes its time for
  attr(tt, "predvars") <- attr(whole, "predvars")[c(1L, 1L + at)]
  classes <- attr(whole, "dataClasses")
  attr(tt, "dataClasses") <- classes[names(classes) %in% c(mine, "(weights)")]
  tt
}

# stats::.getXlevels() of terms that know their classes; NULL where there are none.
x_levels <- function(tt, frame) {
  classes <- attr(tt, "dataClasses")
  coded <- names(classes)[classes %in% c("factor", "ordered", "character")]
  if (attr(tt, "response") == 1L) coded <- coded[coded != names(frame)[1L]]
  if (length(coded)) lapply(.subset(frame, coded), levels_of)
}

levels_of <- function(x) if (is.factor(x)) levels(x) else sort(unique(x))

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

# tt may hold the response, which is no column of the matrix. Rows have no names.
fixed_matrix <- function(tt, frame, contrasts) {
  X <- if (is.null(contrasts)) number_matrix(tt, frame)
  if (!is.null(X)) return(X)
  withCallingHandlers(
    stats::model.matrix(tt, frame, contrasts.arg = contrasts),
    error = function(e) {
      stop_if_memory(e)
      mf_abort("data", "the model matrix cannot be built: ", conditionMessage(e),
        arg = "data")
    }
  )
}

# What model.matrix() gives of an intercept and vectors of numbers, or of either; NULL elsewhere.
number_matrix <- function(tt, frame) {
  labels <- attr(tt, "term.labels")
  columns <- .subset(frame, labels)
  if (names(frame)[1L] %in% labels || !all(vapply(columns, is_number_vector, NA))) return(NULL)
  n <- .row_names_info(frame, 2L)
  intercept <- attr(tt, "intercept") == 1L
  if (intercept) columns <- c(list(rep.int(1, n)), columns)
  X <- as.double(unlist(columns, use.names = FALSE))
  dim(X) <- c(n, length(columns))
  dimnames(X) <- list(NULL, c(if (intercept) "(Intercept)", labels))
  attr(X, "assign") <- c(if (intercept) 0L, seq_along(labels))
  X
}

is_number_vector <- function(x) is.numeric(x) && !is.object(x) && is.null(dim(x))

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
