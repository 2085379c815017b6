# Constraints of a target's parameters: what the user writes, and what the core is told.

#' Constraints of the parameters of a target
#'
#' Say where a parameter of [target()] lives. Fits work on unconstrained coordinates, in which
#' posteriors are closer to a normal distribution; maps, inverse maps, log Jacobians and gradients
#' are exact. Sizes come from the parameter's element of `init`.
#'
#' @param a,b Lower and upper bounds: one number, or one for each element of the parameter.
#'
#' @details
#' With unconstrained coordinates y and g(y) = 1 / (1 + exp(-y)):
#'
#' | constraint | for | map |
#' |---|---|---|
#' | `positive()` | numbers > 0 | exp(y) |
#' | `lower_bounded(a)` | numbers > a | a + exp(y) |
#' | `upper_bounded(b)` | numbers < b | b - exp(y) |
#' | `bounded(a, b)`, `unit_interval()` | numbers in (a, b), (0, 1) | a + (b - a) g(y) |
#' | `ordered_vector()` | x\[1\] < x\[2\] < ... | x\[1\] = y\[1\], steps exp(y) |
#' | `positive_ordered()` | 0 < x\[1\] < x\[2\] < ... | steps exp(y) |
#' | `simplex()` | vectors > 0 with sum 1 | stick breaking, centred |
#' | `cholesky_correlation()` | lower Cholesky factors of correlation matrices | tanh(y) in rows |
#' | `correlation()` | correlation matrices | L L' of the row above |
#' | `covariance_matrix()` | symmetric positive definite matrices | L L', log diagonal of L free |
#'
#' The first four work element by element on scalars, vectors and matrices. The log density of a
#' target is a density of what varies: of the first K - 1 elements of a simplex, and of the lower
#' triangle of a matrix (without the diagonal, of a correlation matrix or its factor). A gradient
#' for a matrix holds the derivatives by all its elements, as if they were free: for a symmetric
#' matrix these are added up.
#'
#' @return An object of class `meanfield_constraint`; its elements are internal.
#' @section Errors: `meanfield_error_constraint` for bounds that are not finite numbers, or not in
#'   order.
#' @references Stan Development Team. Stan Reference Manual, "Constraint transforms".
#'
#' Lewandowski, D., Kurowicka, D. and Joe, H. (2009). Generating random correlation matrices based
#' on vines and extended onion method. *Journal of Multivariate Analysis* 100, 1989-2001.
#' @examples
#' normal <- function(p) sum(dnorm(c(1.2, .4, 2.2), p$mu, p$sigma, log = TRUE)) - p$sigma
#' target(normal, init = list(mu = 0, sigma = 1), constraints = list(sigma = positive()))
#' @name constraints
NULL

#' @rdname constraints
#' @export
positive <- function() new_constraint("lower", "positive", low = 0)

#' @rdname constraints
#' @export
lower_bounded <- function(a) {
  a <- check_bound(a, "a")
  new_constraint("lower", paste("above", bound_text(a)), low = a)
}

#' @rdname constraints
#' @export
upper_bounded <- function(b) {
  b <- check_bound(b, "b")
  new_constraint("upper", paste("below", bound_text(b)), high = b)
}

#' @rdname constraints
#' @export
bounded <- function(a, b) {
  a <- check_bound(a, "a")
  b <- check_bound(b, "b")
  if (length(a) > 1L && length(b) > 1L && length(a) != length(b)) {
    mf_abort("constraint", "`a` and `b` must have the same length, not ", length(a), " and ",
      length(b), arg = "b")
  }
  if (!all(a < b) || !all(is.finite(b - a))) {
    mf_abort("constraint", "`a` must be less than `b`", arg = "a")
  }
  new_constraint("interval", paste0("in (", bound_text(a), ", ", bound_text(b), ")"), a, b)
}

#' @rdname constraints
#' @export
unit_interval <- function() new_constraint("interval", "in (0, 1)", 0, 1)

#' @rdname constraints
#' @export
ordered_vector <- function() new_constraint("ordered", "ordered")

#' @rdname constraints
#' @export
positive_ordered <- function() new_constraint("positive_ordered", "positive, ordered")

#' @rdname constraints
#' @export
simplex <- function() new_constraint("simplex", "simplex")

#' @rdname constraints
#' @export
correlation <- function() new_constraint("correlation", "correlation matrix")

#' @rdname constraints
#' @export
cholesky_correlation <- function() {
  new_constraint("cholesky", "Cholesky factor of a correlation matrix")
}

#' @rdname constraints
#' @export
covariance_matrix <- function() new_constraint("covariance", "covariance matrix")

#' @export
print.meanfield_constraint <- function(x, ...) {
  no_dots(...)
  cat("Constraint: ", x$label, "\n", sep = "")
  invisible(x)
}

# Codes of src/blackbox/transform.h.
TRANSFORMS <- c(none = 0L, lower = 1L, upper = 2L, interval = 3L, ordered = 4L,
  positive_ordered = 5L, simplex = 6L, cholesky = 7L, correlation = 8L, covariance = 9L)

new_constraint <- function(kind, label, low = -Inf, high = Inf) {
  structure(list(kind = kind, label = label, low = low, high = high),
    class = "meanfield_constraint")
}

unconstrained <- function() new_constraint("none", "")

check_bound <- function(x, arg) {
  if (missing(x) || !is.numeric(x) || !length(x) || !all(is.finite(x))) {
    mf_abort("constraint", "`", arg, "` must be a finite number, or one for each element, not ",
      if (missing(x)) "missing" else describe(x), arg = arg)
  }
  as.double(x)
}

bound_text <- function(x) if (length(x) == 1L) format(x) else "..."

is_square_kind <- function(kind) kind %in% c("cholesky", "correlation", "covariance")

# ---- a constraint and the parameter that has it: a block ----------------------------------------

# value: the parameter's element of init, doubles.
constrained_block <- function(name, value, constraint) {
  check_fits(name, value, constraint)
  n <- length(value)
  kind <- constraint$kind
  size <- if (is_square_kind(kind)) nrow(value) else n
  block <- list(name = name, kind = kind, label = constraint$label, size = size, value = value,
    low = rep_len(constraint$low, n), high = rep_len(constraint$high, n))
  check_inside(block)
  block
}

# Does the parameter have the constraint's shape?
check_fits <- function(name, value, constraint) {
  refuse <- function(...) mf_abort("init", "`init$", name, "` ", ..., arg = "init")
  kind <- constraint$kind
  n <- length(value)
  square <- is.matrix(value) && nrow(value) == ncol(value)
  if (is_square_kind(kind) && !square) {
    refuse("is a ", constraint$label, ": it must be a square matrix")
  }
  if (kind %in% c("cholesky", "correlation") && n < 4L || kind == "simplex" && n < 2L) {
    refuse("is a ", constraint$label, " of size one, in which nothing varies: leave it out")
  }
  if (kind %in% c("ordered", "positive_ordered", "simplex") && is.matrix(value)) {
    refuse("must be a vector, not a matrix")
  }
  bounds <- c(length(constraint$low), length(constraint$high))
  bad <- bounds[!bounds %in% c(1L, n)]
  if (length(bad)) {
    mf_abort("constraint", "`constraints$", name, "` has ", bad[1L], " bounds, and `init$", name,
      "` ", n, " elements: give one bound, or one for each", arg = "constraints")
  }
}

# Is the parameter's init strictly inside?
check_inside <- function(block) {
  wrong <- outside(block$kind, block$value, block$low, block$high)
  if (is.null(wrong)) return(invisible())
  mf_abort("init", "`init$", block$name, "` must be ", wrong, ", and not on the boundary: ",
    "change `init`, or the constraint", arg = "init")
}

outside <- function(kind, x, low, high) {
  switch(kind,
    lower = , upper = , interval = if (!all(x > low & x < high)) bounds_words(low, high),
    ordered = if (is.unsorted(x, strictly = TRUE)) "in increasing order",
    positive_ordered = if (is.unsorted(c(0, x), strictly = TRUE)) "positive, in increasing order",
    simplex = if (!all(x > 0) || abs(sum(x) - 1) > 1e-8) "positive numbers whose sum is one",
    correlation = if (!is_correlation(x)) "a positive definite matrix with a diagonal of ones",
    cholesky = if (!is_correlation_factor(x)) {
      "lower triangular, with a positive diagonal and rows of length one"
    },
    covariance = if (!isSymmetric(unname(x)) || !is_positive_definite(unname(x))) {
      "a symmetric, positive definite matrix"
    }
  )
}

bounds_words <- function(low, high) {
  if (all(is.infinite(high))) return(paste("greater than", bound_text(unique(low))))
  if (all(is.infinite(low))) return(paste("less than", bound_text(unique(high))))
  paste("between", bound_text(unique(low)), "and", bound_text(unique(high)))
}

is_correlation <- function(x) {
  x <- unname(x)
  isSymmetric(x) && all(abs(diag(x) - 1) < 1e-8) && is_positive_definite(x)
}

is_correlation_factor <- function(x) {
  all(x[upper.tri(x)] == 0) && all(diag(x) > 0) && all(abs(rowSums(x^2) - 1) < 1e-8)
}

# A number without a name has no index.
is_scalar <- function(x) length(x) == 1L && is.null(names(x)) && is.null(dim(x))

# ---- what the core and the tables know of the blocks --------------------------------------------

# For the core: list(kind, size, low, high).
transform_shape <- function(blocks) {
  all_of <- function(what) unlist(lapply(blocks, `[[`, what), use.names = FALSE)
  list(kind = unname(TRANSFORMS[all_of("kind")]), size = as.integer(all_of("size")),
    low = as.double(all_of("low")), high = as.double(all_of("high")))
}

n_free <- function(block) {
  k <- block$size
  as.integer(switch(block$kind,
    simplex = k - 1, cholesky = , correlation = k * (k - 1) / 2, covariance = k * (k + 1) / 2, k))
}

# Elements of the block that vary: positions among its numbers, row and column (NA of a scalar and
# of the columns of a vector).
varying_elements <- function(block) {
  value <- block$value
  if (!is.matrix(value)) {
    row <- if (is_scalar(value)) NA_integer_ else seq_along(value)
    return(list(at = seq_along(value), row = row, col = rep_len(NA_integer_, length(value))))
  }
  row <- c(row(value))
  col <- c(col(value))
  keep <- switch(block$kind,
    correlation = row < col, covariance = row <= col, cholesky = row >= col & row > 1L,
    rep_len(TRUE, length(row)))
  at <- which(keep)
  list(at = at, row = row[at], col = col[at])
}

# The scale on which the distribution of the elements that vary is made.
element_link <- function(block, e) {
  diagonal <- e$row == e$col
  link <- switch(block$kind,
    lower = ifelse(block$low == 0, "exp", "identity"),
    interval = interval_link(block$low, block$high),
    positive_ordered = "exp", simplex = "beta", correlation = "tanh",
    cholesky = ifelse(diagonal, "beta", "tanh"), covariance = ifelse(diagonal, "exp", "sinh"),
    "identity")
  rep_len(link, length(e$at))
}

interval_link <- function(low, high) {
  ifelse(low == 0 & high == 1, "beta", ifelse(low == -1 & high == 1, "tanh", "identity"))
}

# A coordinate goes by the name of the element that it moves first.
coordinate_elements <- function(block) {
  value <- block$value
  if (!is_square_kind(block$kind)) {
    e <- varying_elements(block)
    return(lapply(e, utils::head, n_free(block)))
  }
  upper <- which(upper.tri(value, diag = block$kind == "covariance"), arr.ind = TRUE)
  factor <- block$kind == "cholesky"
  list(at = NULL, row = unname(upper[, 1L + factor]), col = unname(upper[, 2L - factor]))
}
