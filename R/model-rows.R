# The generalised model: its Gram (for the scales of priors only) and its rows.

# The design as the Gram wants it: a constant response on the link scale, where the default prior
# puts the intercept.
linked_design <- function(d, family) {
  d$y <- rep(family_of(family)$linked(d$y, d$size, d$offset %||% 0), nrow(d$X))
  d$offset <- NULL
  d
}

# ---- rows -------------------------------------------------------------------------------

# The list that C reads as it is, see r_glmm() in src/glue/r_glmm.c: the rows of positive size in
# the order of their leaves, the covariates of a row beside each other. X: those of the Gram less
# their centre (working_coordinates()); offset: with the shift of the working coordinates in it;
# start: rows before those of each leaf, and all; z: covariates of the leaf's effects, NULL for an
# intercept; others: for each other factor the position of the row's level in the global block,
# from 0, and its z.
glmm_rows <- function(X, y, size, offset, factors, coords) {
  leaf <- factors[1L][[1L]]
  rows <- which(size > 0)
  if (!is.null(leaf)) rows <- rows[order(leaf$codes[rows])]
  pick <- function(v) as.double(v[rows])
  centre <- rep(coords$mean_x - coords$mean_w, each = length(rows))
  before <- ncol(X)
  others <- list()
  for (f in factors[-1L]) {
    r <- length(f$coef)
    others[[length(others) + 1L]] <- list(col = as.integer(before + (f$codes[rows] - 1L) * r),
      z = sorted_z(f$z, rows), r = r, n_levels = length(f$levels))
    before <- before + r * length(f$levels)
  }
  list(X = t(unname(X[rows, , drop = FALSE]) - centre), y = pick(y), size = pick(size),
    offset = pick(rep_len((offset %||% 0) + coords$level, length(y))),
    start = c(0L, if (!is.null(leaf)) cumsum(tabulate(leaf$codes[rows], length(leaf$levels)))),
    z = sorted_z(leaf$z, rows), others = others)
}

sorted_z <- function(z, rows) {
  if (is.null(z)) return(NULL)
  z <- unname(z[, rows, drop = FALSE])
  storage.mode(z) <- "double"
  z
}

# pos: where, from 0, the list of columns of each row's leaf (core$ptr, core$idx) has its level of
# the other factors.
with_positions <- function(rows, core) {
  if (!length(rows$others)) return(rows)
  leaves <- seq_len(core$n_leaf) - 1L
  key <- function(leaf, col) as.double(leaf) * core$n_global + col
  listed <- key(rep(leaves, diff(core$ptr)), core$idx)
  leaf <- rep(leaves, diff(rows$start))
  rows$others <- lapply(rows$others, function(f) {
    f$pos <- match(key(leaf, f$col), listed) - 1L - core$ptr[leaf + 1L]
    f
  })
  rows
}

glmm_rows_of_design <- function(d, coords) {
  glmm_rows(d$X, d$y, d$size, d$offset, d$factors, coords)
}

# The rows again, from the model frame that the fit kept.
glmm_rows_of_frame <- function(model) {
  fit <- structure(list(model = model), class = c("regression_fit", "meanfield_fit"))
  parts <- linear_parts(fit, NULL, NULL, TRUE)
  response <- fit_response(fit)
  factors <- lapply(parts$groups, function(g) {
    x <- model$factors[[g$factor]]
    plain <- length(x$coef) == 1L && is.null(x$terms[[1L]]$tt)
    c(x[c("levels", "coef")], list(codes = g$code, z = if (!plain) t(g$Z)))
  })
  glmm_rows(parts$X %*% model$coords$basis, response$y, response$size, parts$offset, factors,
    model$coords)
}
