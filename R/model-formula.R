# A model formula taken apart: the fixed part, the group terms, and the formula of the model frame.

# list(formula ('.' expanded), fixed, frame (every variable, for model.frame()), bars:
# group_bars()).
parse_formula <- function(formula, data) {
  if (!inherits(formula, "formula")) {
    mf_abort("formula", "`formula` must be a formula, not ", describe(formula),
      arg = "formula")
  }
  if (length(formula) != 3L) {
    mf_abort("formula", "`formula` needs a response: y ~ x or y ~ x + (1 | g)",
      arg = "formula")
  }
  parts <- split_bars(formula[[3L]])
  if ("." %in% all.vars(formula)) {
    formula <- expand_dot(formula, data, unlist(lapply(parts$bars, function(b) all.vars(b[[3L]]))))
    parts <- split_bars(formula[[3L]])
  }
  bars <- group_bars(parts$bars)
  bare <- unclass(formula) # an assignment to a formula looks for methods
  with_right <- function(right) {
    bare[[3L]] <- right
    new_class(class(formula), bare)
  }
  list(formula = formula, fixed = with_right(parts$fixed), bars = bars,
    frame = with_right(Reduce(function(a, bar) call("+", a, call("+", bar$lhs, bar$group)), bars,
      parts$fixed)))
}

# `.` stands for every column of data but the response and the grouping variables.
expand_dot <- function(formula, data, groups) {
  if (is.null(data)) {
    mf_abort("formula", "'.' in `formula` needs a `data` argument", arg = "formula")
  }
  others <- setdiff(names(data), c(all.vars(formula[[2L]]), groups))
  dot <- if (length(others)) add_up(lapply(others, as.name)) else 1
  out <- eval(call("substitute", formula, list(. = dot)))
  stats::as.formula(out, environment(formula))
}

add_up <- function(terms) Reduce(function(a, b) call("+", a, b), terms)

is_call_to <- function(expr, names) {
  is.call(expr) && is.name(expr[[1L]]) && match(as.character(expr[[1L]]), names, 0L) > 0L
}

# The text of an expression, as the columns of a model frame are named.
expr_text <- function(expr) if (is.name(expr)) as.character(expr) else deparse1(expr)

# The variables of a terms object, as text.
variable_names <- function(tt) vapply(as.list(attr(tt, "variables"))[-1L], expr_text, "")

# The right side of a formula: list(fixed (1 when nothing is left), bars: calls of | and ||). Group
# terms are added, alone or in brackets; anywhere else they have no meaning.
split_bars <- function(expr) {
  found <- bars_of(expr)
  fixed <- found$fixed %||% 1
  if (any(c("|", "||") %in% all.names(fixed)) && any(vapply(calls_in(fixed), is_call_to, NA,
    c("|", "||")))) {
    mf_abort("formula", "a group term such as (1 | g) can only be added: ", deparse1(expr),
      " uses one in another way", arg = "formula")
  }
  list(fixed = fixed, bars = found$bars)
}

# All calls inside a formula, but those inside functions of the data, where | is logical.
calls_in <- function(expr) {
  if (!is.call(expr)) return(list())
  inner <- if (is_call_to(expr, c("+", "-", "*", "/", ":", "^", "(", "%in%"))) {
    unlist(lapply(as.list(expr)[-1L], calls_in), recursive = FALSE)
  }
  c(list(expr), inner)
}

# fixed = NULL: nothing but group terms.
bars_of <- function(expr) {
  if (is.null(expr)) return(list())
  if (is_call_to(expr, c("|", "||"))) return(list(bars = list(expr)))
  if (is_call_to(expr, "(")) {
    inner <- bars_of(expr[[2L]])
    return(if (length(inner$bars)) inner else list(fixed = expr))
  }
  if (is_call_to(expr, "+") && length(expr) == 3L) {
    a <- bars_of(expr[[2L]])
    b <- bars_of(expr[[3L]])
    fixed <- if (is.null(a$fixed)) b$fixed else if (is.null(b$fixed)) a$fixed else
      call("+", a$fixed, b$fixed)
    return(list(fixed = fixed, bars = c(a$bars, b$bars)))
  }
  if (is_call_to(expr, "-") && length(expr) == 3L) {
    a <- bars_of(expr[[2L]])
    return(list(fixed = call("-", a$fixed %||% 1, expr[[3L]]), bars = a$bars))
  }
  list(fixed = expr)
}

# One list(lhs, group, split) per term and grouping factor; split: independent coefficients (||).
group_bars <- function(bars) {
  unlist(lapply(bars, function(bar) {
    lapply(expand_groups(bar[[3L]]), function(group) {
      list(lhs = bar[[2L]], group = group, split = is_call_to(bar, "||"))
    })
  }), recursive = FALSE)
}

# a / b is b:a and a, the finest first; a * b is a, b and a:b; a + b is a and b.
expand_groups <- function(expr) {
  if (is_call_to(expr, "(")) return(expand_groups(expr[[2L]]))
  if (is_call_to(expr, "+")) return(c(expand_groups(expr[[2L]]), expand_groups(expr[[3L]])))
  if (is_call_to(expr, "*")) {
    a <- expand_groups(expr[[2L]])
    b <- expand_groups(expr[[3L]])
    return(c(a, b, list(interaction_call(c(a[1L], b[1L])))))
  }
  if (is_call_to(expr, "/")) {
    outer <- expand_groups(expr[[2L]])
    inner <- lapply(expand_groups(expr[[3L]]), function(b) interaction_call(c(list(b), outer[1L])))
    return(c(inner, outer))
  }
  if (is_call_to(expr, c(":", "%in%"))) {
    a <- expand_groups(expr[[2L]])
    b <- expand_groups(expr[[3L]])
    return(unlist(lapply(b, function(y) lapply(a, function(x) interaction_call(list(x, y)))),
      recursive = FALSE))
  }
  list(expr)
}

# a:b:c without brackets, from any nesting of them.
interaction_call <- function(parts) {
  flat <- function(expr) {
    if (is_call_to(expr, "(")) return(flat(expr[[2L]]))
    if (is_call_to(expr, c(":", "%in%"))) return(c(flat(expr[[2L]]), flat(expr[[3L]])))
    list(expr)
  }
  Reduce(function(a, b) call(":", a, b), unlist(lapply(parts, flat), recursive = FALSE))
}
