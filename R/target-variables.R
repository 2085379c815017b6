# The variables of a target: their names and table, and their values.

#' @export
variable_table.meanfield_target <- function(model, u = FALSE) {
  v <- model$variables
  rows <- variable_rows(v$variable, v$kind, v$block, NA, v$a, v$b, v$link,
    ifelse(v$kind == "parameter", "parameter", "derived"))
  list2DF(rows)
}

#' @export
location_names.meanfield_target <- function(model) {
  model$variables$variable[model$variables$kind == "parameter"]
}

#' @export
location_kind.meanfield_target <- function(model) "parameter"

# Names of the unconstrained coordinates, for messages about directions.
unconstrained_names <- function(target) target$names

# ---- names ---------------------------------------------------------------------------------------

# `name`, `name[i]`, `name[i,j]`, with the names that the value has; row, col: NA where it has none.
element_names <- function(name, value, row, col) {
  if (is.matrix(value)) {
    return(sprintf("%s[%s,%s]", name, label_of(row, rownames(value)),
      label_of(col, colnames(value))))
  }
  ifelse(is.na(row), name, sprintf("%s[%s]", name, label_of(row, names(value))))
}

label_of <- function(at, names) {
  if (is.null(names)) return(as.character(at))
  ifelse(is.na(names[at]) | !nzchar(names[at]), as.character(at), names[at])
}

# The rows of the table of the parameters, and `at`, their places among the numbers of x.
parameter_variables <- function(blocks) {
  from <- cumsum(c(0L, lengths(lapply(blocks, `[[`, "value"))))
  do.call(rbind, lapply(seq_along(blocks), function(k) {
    block <- blocks[[k]]
    e <- varying_elements(block)
    data.frame(variable = element_names(block$name, block$value, e$row, e$col),
      kind = "parameter", block = block$name, a = as.integer(e$row), b = as.integer(e$col),
      link = element_link(block, e), at = from[k] + e$at)
  }))
}

# values: a named list of numbers, vectors, matrices or arrays. No parameter of a block.
listed_variables <- function(values, kind = "generated") {
  if (!length(values)) return(NULL)
  do.call(rbind, Map(function(name, value) {
    i <- element_index(value)
    data.frame(variable = listed_names(name, value, i), kind = rep_len(kind, length(value)),
      block = rep_len(name, length(value)), a = i[, 1L], b = i[, 2L],
      link = rep_len("identity", length(value)), at = rep_len(NA_integer_, length(value)))
  }, names(values), values, USE.NAMES = FALSE))
}

# Row and column of every element (the first two, of an array); NA where it has none.
element_index <- function(value) {
  n <- length(value)
  if (length(dim(value)) > 1L) {
    return(arrayInd(seq_len(n), dim(value))[, 1:2, drop = FALSE])
  }
  cbind(if (is_scalar(value)) NA_integer_ else seq_len(n), rep_len(NA_integer_, n))
}

listed_names <- function(name, value, i) {
  if (length(dim(value)) < 3L) return(element_names(name, value, i[, 1L], i[, 2L]))
  index <- arrayInd(seq_along(value), dim(value))
  sprintf("%s[%s]", name, apply(index, 1L, paste, collapse = ","))
}

coordinate_names <- function(blocks) {
  unlist(lapply(blocks, function(block) {
    e <- coordinate_elements(block)
    element_names(block$name, block$value, e$row, e$col)
  }))
}

# ---- values --------------------------------------------------------------------------------------

# All reported variables at the points Z (d x n): a row each, NA where `generated` fails.
target_values <- function(target, Z) {
  Z <- as_points(target, Z)
  if (!is.null(target$foreign)) return(foreign_values(target, Z))
  x <- constrained(target, Z)$x
  v <- target$variables
  own <- x[v$at[v$kind == "parameter"], , drop = FALSE]
  rows <- sum(v$kind == "generated")
  out <- if (rows) rbind(own, generated_values(target, x, rows)) else own
  dimnames(out) <- list(v$variable, NULL)
  out
}

generated_values <- function(target, x, rows) {
  f <- with_data(target$user$generated, target$user)
  points <- call_bb_points(target$skeleton, x)
  flat <- function(p) flat_numbers(f(p), rows, "generated")
  each_point(flat, points, rows)
}

# A model that constrains its points itself (Stan, a fit): `constrain` gives all variables of a
# point, `values`, where there is one, those of a block.
foreign_values <- function(target, Z) {
  rows <- nrow(target$variables)
  if (!is.null(target$foreign$values)) {
    return(structure(target$foreign$values(Z), dimnames = list(target$variables$variable, NULL)))
  }
  flat <- function(z) flat_numbers(target$foreign$constrain(z), rows, "constrain")
  points <- lapply(seq_len(ncol(Z)), function(i) Z[, i])
  structure(each_point(flat, points, rows), dimnames = list(target$variables$variable, NULL))
}
