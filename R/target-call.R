# The user's functions, with data and rows bound to them, as functions of one point or of a block.

# list(value, gradient (or NULL), skeleton, vectorised): functions of one point, or of a block and
# its size; with rows of the data, of rows i with a weight.
asked_functions <- function(target, i = seq_len(target$rows %||% 0L), weight = 1) {
  user <- target$user
  build <- if (user$vectorised) block_functions else point_functions
  c(build(user, target$skeleton, row_functions(user, i), weight),
    list(skeleton = target$skeleton, vectorised = user$vectorised))
}

# A user's function of p and, where there are and it has room for them, the data.
with_data <- function(f, user) {
  if (is.null(f) || is.null(user$data) || !has_room(f, 2L)) return(f)
  data <- user$data
  function(p) f(p, data)
}

has_room <- function(f, n) {
  formals <- names(formals(args(f)))
  length(formals) >= n || "..." %in% formals
}

# list(value, gradient, n): functions of p alone that sum over rows i, or NULL.
row_functions <- function(user, i) {
  if (is.null(user$log_lik)) return(NULL)
  bind <- function(f) {
    data <- user$data
    if (is.null(f)) return(NULL)
    if (is.null(data) || !has_room(f, 3L)) function(p) f(p, i) else function(p) f(p, i, data)
  }
  list(value = bind(user$log_lik), gradient = bind(user$grad_log_lik), n = length(i))
}

point_functions <- function(user, skeleton, rows, weight) {
  value <- with_data(user$log_density, user)
  gradient <- with_data(user$gradient, user)
  flat <- flat_gradient(skeleton)
  if (is.null(rows)) {
    return(list(value = function(p) as_value(value(p)),
      gradient = if (!is.null(gradient)) function(p) flat(gradient(p))))
  }
  list(
    value = function(p) as_value(value(p)) + weight * row_sum(rows$value(p), rows$n),
    gradient = if (!is.null(gradient)) {
      function(p) flat(gradient(p)) + weight * flat(rows$gradient(p))
    }
  )
}

as_value <- function(v) {
  if (is.numeric(v) && length(v) == 1L) return(as.double(v))
  stop("`log_density` returned ", describe(v), ", not one number", call. = FALSE)
}

# Of a value per row, or of their sum.
row_sum <- function(v, n) {
  if (is.numeric(v) && (length(v) == n || length(v) == 1L)) return(sum(v))
  stop("`log_lik` returned ", describe(v), ", not a number for each of ", n, " rows", call. = FALSE)
}

# f of each point, `rows` numbers: a column each, NA where it fails.
each_point <- function(f, points, rows) {
  out <- matrix(NA_real_, rows, length(points))
  at <- 0L
  while (at < length(points)) {
    tryCatch(suppressWarnings(while (at < length(points)) {
      at <- at + 1L
      out[, at] <- f(points[[at]])
    }), error = function(e) NULL)
  }
  out
}

# ---- of a block of points ----------------------------------------------------------------------

block_functions <- function(user, skeleton, rows, weight) {
  value <- with_data(user$log_density, user)
  gradient <- with_data(user$gradient, user)
  flat <- flat_block(skeleton)
  list(
    value = function(p, n) {
      v <- as_values(value(p), n, "log_density")
      if (is.null(rows)) v else v + weight * block_row_sum(rows$value(p), n, rows$n)
    },
    gradient = if (!is.null(gradient)) function(p, n) {
      g <- flat(gradient(p), n)
      if (is.null(rows)) g else g + weight * flat(rows$gradient(p), n)
    }
  )
}

as_values <- function(v, n, what) {
  if (is.numeric(v) && length(v) == n) return(as.double(v))
  stop("`", what, "` returned ", describe(v), ", not a number for each of ", n, " points",
    call. = FALSE)
}

# A sum per point, or a matrix of points x rows.
block_row_sum <- function(v, n, rows) {
  if (is.matrix(v) && identical(dim(v), c(n, rows))) return(rowSums(v))
  as_values(v, n, "log_lik")
}
