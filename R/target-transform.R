# Points of a target: unconstrained coordinates, the numbers of the parameters, and the named lists
# that users see; of one point, or of a block, in which points come first.

as_points <- function(target, Z) {
  if (is.double(Z) && is.matrix(Z) && nrow(Z) == target$d) return(Z)
  Z <- if (is.matrix(Z)) Z else matrix(Z, target$d)
  if (!is.numeric(Z) || nrow(Z) != target$d) {
    mf_abort("internal", "points of ", target$d, " coordinates are columns of a matrix", arg = "Z")
  }
  as_double_matrix(Z)
}

# list(x, log_jacobian) of points Z.
constrained <- function(target, Z) {
  if (target$free) return(list(x = Z, log_jacobian = numeric(ncol(Z))))
  call_bb_transform(target$shape, Z)
}

# A point as the named list that the user's functions see.
constrain_list <- function(target, z) {
  if (!is.null(target$foreign)) return(target$foreign$constrain(z))
  call_bb_points(target$skeleton, constrained(target, as_points(target, z))$x)[[1L]]
}

# And back.
unconstrain <- function(target, p) {
  if (!is.null(target$foreign)) return(as.double(target$foreign$unconstrain(p)))
  p <- p[names(target$skeleton)]
  same <- identical(lengths(p), lengths(target$skeleton)) && all(vapply(p, is.numeric, NA))
  if (!same) {
    mf_abort("init", "the point must be a list of numbers shaped as `init`", arg = "init")
  }
  call_bb_untransform(target$shape, unlist(p, use.names = FALSE))
}

pulled <- function(target, Z, G) if (target$free) G else call_bb_pull(target$shape, Z, G)

# ---- lists and numbers -------------------------------------------------------------------------

# Numbers of any class as a list like the skeleton.
shaped_as <- function(x, skeleton) {
  to <- cumsum(lengths(skeleton))
  Map(function(value, to) {
    own <- x[seq.int(to - length(value) + 1L, to)]
    if (is.matrix(value)) dim(own) <- dim(value)
    own
  }, skeleton, to)
}

# A function that lays the lists of gradients out as the numbers of x.
flat_gradient <- function(skeleton) {
  names <- names(skeleton)
  full <- sum(lengths(skeleton))
  function(g) {
    flat <- unlist(.subset(g, names), use.names = FALSE)
    if (is.numeric(flat) && length(flat) == full) return(flat)
    stop("`gradient` returned ", length(flat), " numbers, not ", full, call. = FALSE)
  }
}

# The numbers of a list, in order.
flat_numbers <- function(values, n, what) {
  flat <- unlist(values, use.names = FALSE)
  if (!(is.numeric(flat) || is.logical(flat)) || length(flat) != n) {
    stop("`", what, "` returned ", length(flat), " numbers, not ", n, call. = FALSE)
  }
  as.double(flat)
}

# x (numbers x points) as the user's function of a block sees it: points come first.
block_of_points <- function(skeleton, x) {
  n <- ncol(x)
  to <- cumsum(lengths(skeleton))
  Map(function(value, to) {
    own <- x[seq.int(to - length(value) + 1L, to), ]
    if (is_scalar(value)) return(own)
    own <- t(matrix(own, ncol = n))
    if (is.matrix(value)) array(own, c(n, dim(value))) else {
      colnames(own) <- names(value)
      own
    }
  }, skeleton, to)
}

flat_block <- function(skeleton) {
  names <- names(skeleton)
  size <- lengths(skeleton)
  function(g, n) {
    g <- .subset(g, names)
    if (!identical(lengths(g, FALSE), unname(size) * as.integer(n))) {
      stop("`gradient` returned elements of lengths ", toString(lengths(g)), ", not ",
        toString(size * n), call. = FALSE)
    }
    do.call(rbind, unname(Map(function(g, k) t(matrix(as.double(g), n, k)), g, size)))
  }
}
