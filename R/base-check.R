# Argument checks: each returns the coerced value or raises a classed error that names the argument
# and the remedy.

check_number <- function(x, arg, lower = -Inf, strict = FALSE, kind = "control") {
  ok <- is.numeric(x) && length(x) == 1L && is.finite(x) &&
    (if (strict) x > lower else x >= lower)
  if (!ok) {
    bound <- if (is.finite(lower)) {
      sprintf(" %s %s", if (strict) "greater than" else "of at least", format(lower))
    }
    mf_abort(kind, "`", arg, "` must be one finite number", bound,
      ", not ", describe(x),
      arg = arg
    )
  }
  as.double(x)
}

check_count <- function(x, arg, lower = 0, upper = .Machine$integer.max,
                        kind = "control") {
  ok <- is.numeric(x) && length(x) == 1L && is.finite(x) && x == round(x) &&
    x >= lower && x <= upper
  if (!ok) {
    mf_abort(kind, "`", arg, "` must be one whole number from ", format(lower),
      " to ", format(upper, scientific = FALSE), ", not ", describe(x),
      arg = arg
    )
  }
  as.integer(x)
}

check_flag <- function(x, arg) {
  if (!is.logical(x) || length(x) != 1L || is.na(x)) {
    mf_abort("control", "`", arg, "` must be TRUE or FALSE, not ", describe(x), arg = arg)
  }
  x
}

check_level <- function(level, arg = "level") {
  level <- check_number(level, arg, 0, strict = TRUE)
  if (level >= 1) {
    mf_abort("control", "`", arg, "` must lie between 0 and 1, not ", level, arg = arg)
  }
  level
}

check_choice <- function(x, choices, arg) {
  if (identical(x, choices)) return(choices[1L])
  if (!is.character(x) || length(x) != 1L || is.na(x) || !x %in% choices) {
    mf_abort("control", "`", arg, "` must be one of ",
      paste0("\"", choices, "\"", collapse = ", "), ", not ", describe(x),
      arg = arg
    )
  }
  x
}

describe <- function(x) {
  if (is.null(x)) return("NULL")
  if (is.atomic(x) && length(x) == 1L) return(format(x))
  sprintf("%s of length %d", class(x)[1L], length(x))
}

# `...` is there for the generic's other methods: nothing gets lost in it.
no_dots <- function(...) known_dots(character(), ...)

# known: names of arguments that may come for another function.
known_dots <- function(known, ...) {
  if (!...length()) return(invisible())
  names <- names(as.list(substitute(list(...)))[-1L]) %||% rep("", ...length())
  bad <- names[!nzchar(names) | !names %in% known]
  if (length(bad)) {
    mf_abort("control", "unknown argument ",
      if (nzchar(bad[1L])) paste0("`", bad[1L], "`") else "without a name", arg = "...")
  }
}

# Without attributes, and without a copy when there is nothing to change.
as_plain_double <- function(x) {
  if (is.double(x) && is.null(attributes(x))) x else as.double(x)
}

is_plain_numeric <- function(y) {
  is.numeric(y) && is.null(dim(y)) && !inherits(y, c("factor", "Date", "POSIXt", "difftime"))
}

unknown_model <- function(object, verb) {
  mf_abort("formula", "`", verb, "()` needs a formula or a fit as its first argument, not ",
    describe(object), arg = "object")
}

# Every variable comes from newdata; only constants may come from where the formula was
# written, never a vector that happens to have the same name.
check_variables <- function(vars, newdata, env) {
  constant <- function(v) {
    x <- get0(v, env, mode = "numeric")
    !is.null(x) && length(x) == 1L
  }
  missing <- setdiff(vars, names(newdata))
  missing <- missing[!vapply(missing, constant, NA)]
  if (length(missing)) {
    mf_abort("newdata", "`newdata` lacks the variables ", toString(missing), arg = "newdata")
  }
}

check_size <- function(ndraws, n) {
  if (as.double(ndraws) * n >= 2^31) {
    mf_abort("size", format(ndraws * as.double(n), big.mark = ","),
      " numbers are more than 2^31 - 1: use fewer `draws` or rows", arg = "draws")
  }
}

# structure(x, class = class), for a tenth of its time.
new_class <- function(class, x) {
  class(x) <- class
  x
}

`%||%` <- function(a, b) if (is.null(a)) b else a

as_plain_integer <- function(y) {
  storage.mode(y) <- "integer"
  y
}
