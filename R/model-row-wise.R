# Can a column be made chunk by chunk? Only where the value of a row comes from that row. What
# depends on others, as x - mean(x), rank(x) or cut(x, 3), has other values in another chunk, and
# sums of such columns would be wrong without a sign.
#
# poly(), ns(), scale() and their like are safe where their parameters are in the terms (predvars):
# those of two Grams are compared when they are added.

# tt: terms of the model frame; arguments: expressions that are evaluated beside it.
check_row_wise <- function(tt, arguments, data, env) {
  written <- as.list(attr(tt, "variables"))[-1L]
  made <- as.list(attr(tt, "predvars"))[-1L]
  names(made) <- vapply(written, deparse1, "")
  n <- if (is.data.frame(data)) nrow(data) else NROW(eval(written[[1L]], data, env))
  for (name in names(made)) {
    if (depends_on_rows(made[[name]], data, env, n)) refuse_dependent(name, name)
  }
  for (arg in setdiff(names(arguments), "na.action")) {
    if (depends_on_rows(arguments[[arg]], data, env, n)) {
      refuse_dependent(paste0(arg, " = ", deparse1(arguments[[arg]])), arg)
    }
  }
}

refuse_dependent <- function(what, arg) {
  mf_abort("gram", "`", what, "` depends on more than its own row, and would be another column ",
    "in every chunk: make it a column of the data first, or give it fixed numbers, as in ",
    "I((x - 10) / 2)",
    arg = arg)
}

# Is a part of the rows, taken alone, given other values?
depends_on_rows <- function(expr, data, env, n) {
  if (!is.call(expr)) return(FALSE)
  values <- row_variables(expr, data, env, n)
  if (!any(values$by_row)) return(FALSE)
  if (n == 1L) { # one row tells nothing: beside another one it does
    values$all[values$by_row] <- lapply(values$all[values$by_row], with_another)
    n <- 2L
  }
  whole <- row_values(expr, values$all, env, n)
  if (is.null(whole)) return(TRUE)
  for (rows in telling_rows(values$all[values$by_row], n)) {
    part <- values$all
    part[values$by_row] <- lapply(part[values$by_row], rows_of, rows)
    got <- row_values(expr, part, env, length(rows))
    if (!same_values(got, rows_of(whole, rows))) return(TRUE)
  }
  FALSE
}

# list(all: the variables of an expression; by_row: those with a value per row).
row_variables <- function(expr, data, env, n) {
  vars <- all.vars(expr)
  all <- lapply(vars, function(v) if (v %in% names(data)) data[[v]] else get0(v, env))
  names(all) <- vars
  all <- Filter(Negate(is.null), all)
  by_row <- vapply(all, NROW, 0L) == n & (n > 1L | names(all) %in% names(data))
  list(all = all, by_row = by_row)
}

with_another <- function(v) {
  two <- rows_of(v, c(1L, 1L))
  if (is.numeric(v) && is.null(dim(v))) two[2L] <- two[2L] + 1
  two
}

# NULL when they are not one per row. Numbers of rows, as which() has them, say which rows.
row_values <- function(expr, values, env, n) {
  v <- tryCatch(suppressWarnings(eval(expr, values, env)), error = function(e) NULL)
  if (is_call_to(expr, "which")) v <- seq_len(n) %in% v
  if (NROW(v) == n) v
}

rows_of <- function(v, rows) if (length(dim(v)) == 2L) v[rows, , drop = FALSE] else v[rows]

# Parts of the rows whose means, ranges and ranks are not those of all of them.
telling_rows <- function(values, n) {
  number <- Filter(function(v) is.numeric(v) && is.null(dim(v)), values)
  sorted <- lapply(unname(number), order)
  c(list(1L, n, (n + 1L) %/% 2L, seq.int(1L, n, by = 2L)),
    lapply(sorted, function(o) o[n]), lapply(sorted, function(o) o[seq.int(n %/% 2L + 1L, n)]))
}

same_values <- function(a, b) {
  plain <- function(v) {
    if (is.factor(v)) v <- as.character(v)
    attributes(v) <- NULL
    v
  }
  a <- plain(a)
  b <- plain(b)
  if (length(a) != length(b) || !identical(is.na(a), is.na(b))) return(FALSE)
  if (!is.numeric(a) || !is.numeric(b)) return(identical(a, b))
  known <- is.finite(a) & is.finite(b)
  identical(a[!known], b[!known]) && all(abs(a - b)[known] <= 1e-9 * max(abs(b[known]), 0))
}
