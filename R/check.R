# Argument checks: each returns the coerced value or raises a classed error that
# names the argument and the remedy.

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
