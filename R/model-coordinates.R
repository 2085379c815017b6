# The coordinates that engines work in: where covariates stand and what their unit is.
#
# A linear predictor x'beta is the same function in other coordinates, beta = shift + M gamma.
# Engines see the columns X M, chosen so that the origin and unit of a covariate are nothing but
# that: every covariate is centred, in products with others too, wherever the constant is in the
# span of the columns. Default priors are stated there, and nothing downstream subtracts large
# means from each other.

# ---- products of covariates -------------------------------------------------------------

# Interactions of centred covariates. A formula that has every margin of its interactions (x * z,
# not x:z alone) spans the same functions whether x or x - mean(x) is multiplied. Value: list(X,
# basis): the columns in which each factor of a product is centred, and the map with beta = basis
# gamma; NULL when there is no interaction, or one without its margins.
centred_products <- function(X, tt, frame, w) {
  if (max(attr(tt, "order"), 0L) < 2L) return(NULL)
  d <- product_parts(X, tt, frame)
  if (is.null(d)) return(NULL)
  for (v in names(d$vars)) d$vars[[v]]$mean <- column_means(d$vars[[v]]$columns, w)
  for (t in several_terms(d)) {
    X[, t$cols] <- product_columns(lapply(d$vars[t$vars], function(v) {
      v$columns - rep(v$mean, each = nrow(v$columns))
    }))
  }
  list(X = X, basis = product_basis(d))
}

several_terms <- function(d) Filter(function(t) length(t$vars) > 1L, d$terms)

# d: product_parts(), with the mean of the columns of each variable.
product_basis <- function(d) {
  basis <- diag(1, length(d$constant))
  for (t in several_terms(d)) basis[, t$cols] <- product_map(t, d)
  basis
}

# What product_basis() needs beside the means, which may come from sums of other rows: they are
# those of the columns of X times `own`.
product_spec <- function(X, tt, frame) {
  if (max(attr(tt, "order"), 0L) < 2L) return(NULL)
  d <- product_parts(X, tt, frame, rows = seq_len(min(nrow(X), 20L)))
  if (is.null(d)) return(NULL)
  d$vars <- lapply(d$vars, `[`, "own")
  d
}

# mean: of the columns of X.
basis_at <- function(spec, mean) {
  for (v in names(spec$vars)) {
    spec$vars[[v]]$mean <- drop(crossprod(spec$vars[[v]]$own, mean))
  }
  product_basis(spec)
}

# Rows of weight zero are not looked at.
column_means <- function(X, w) {
  if (is.null(w)) return(colMeans(X))
  if (any(w == 0)) X[w == 0, ] <- 0
  colSums(X * w) / sum(w)
}

# All products of one column from each matrix, the first running fastest.
product_columns <- function(columns) {
  Reduce(function(a, b) {
    a[, rep(seq_len(ncol(a)), ncol(b)), drop = FALSE] *
      b[, rep(seq_len(ncol(b)), each = ncol(a)), drop = FALSE]
  }, columns)
}

# What the products of a hierarchical formula are made of, or NULL when it has none: list(
#   vars: per variable, columns (rows x k), own (X's coefficients of each: p x k), full (the
#         columns of all its levels, as the first factor without an intercept has, or NULL);
#   terms: list(vars, cols, size (columns of each variable)); constant: X's coefficients of 1).
# rows: those that columns are wanted for.
product_parts <- function(X, tt, frame, rows = seq_len(nrow(X))) {
  use <- attr(tt, "factors") > 0L
  if (!length(use)) return(NULL)
  assign <- attr(X, "assign")
  terms <- lapply(seq_len(ncol(use)), function(t) {
    list(vars = rownames(use)[use[, t]], cols = which(assign == t))
  })
  if (!has_margins(terms)) return(NULL)
  main <- Filter(function(t) length(t$vars) == 1L, terms)
  vars <- lapply(main, function(t) variable_part(t, X, frame, rows))
  names(vars) <- vapply(main, `[[`, "", "vars")
  constant <- constant_of_parts(X, assign, vars)
  if (is.null(constant)) return(NULL)
  for (k in seq_along(terms)) {
    terms[[k]]$size <- vapply(vars[terms[[k]]$vars], function(v) ncol(v$columns), 0L)
  }
  known <- vapply(several_terms(list(terms = terms)), function(t) is_product(t, X, vars, rows), NA)
  if (all(known)) list(vars = vars, terms = terms, constant = constant)
}

has_margins <- function(terms) {
  if (all(lengths(lapply(terms, `[[`, "vars")) < 2L)) return(TRUE)
  key <- function(vars) paste(sort(vars), collapse = "\r")
  keys <- vapply(terms, function(t) key(t$vars), "")
  all(vapply(terms, function(t) {
    length(t$vars) < 2L ||
      all(vapply(seq_along(t$vars), function(k) key(t$vars[-k]) %in% keys, NA))
  }, NA))
}

variable_part <- function(term, X, frame, rows) {
  columns <- X[rows, term$cols, drop = FALSE]
  own <- diag(1, ncol(X))[, term$cols, drop = FALSE]
  spec <- attr(X, "contrasts")[[term$vars]]
  if (is.null(spec)) return(list(columns = columns, own = own, full = NULL, factor = FALSE))
  full <- ncol(columns) == n_levels_of(frame[[term$vars]])
  C <- if (full) contrast_matrix(spec, frame[[term$vars]])
  list(columns = if (full) columns %*% C else columns, own = if (full) own %*% C else own,
    full = if (full) term$cols, factor = TRUE)
}

n_levels_of <- function(x) if (is.factor(x)) nlevels(x) else length(unique(x[!is.na(x)]))

# The contrasts that model.matrix() used, from what it says of them.
contrast_matrix <- function(spec, x) {
  if (is.matrix(spec)) return(spec)
  if (n_levels_of(x) < 2L) return(matrix(0, 1L, 0L))
  get(spec, mode = "function")(if (is.factor(x)) levels(x) else sort(unique(x)))
}

# The intercept, or all the levels of one factor; NULL when neither is there.
constant_of_parts <- function(X, assign, vars) {
  if (0L %in% assign) return(as.double(assign == 0L))
  full <- Filter(function(v) !is.null(v$full), vars)
  if (length(full) == 1L) as.double(seq_len(ncol(X)) %in% full[[1L]]$full)
}

# Are the columns of an interaction the products that they are taken for? (A few rows tell.)
is_product <- function(term, X, vars, rows) {
  few <- seq_len(min(length(rows), 20L))
  made <- product_columns(lapply(vars[term$vars], function(v) v$columns[few, , drop = FALSE]))
  ncol(made) == length(term$cols) &&
    isTRUE(all.equal(unname(made), unname(X[rows[few], term$cols, drop = FALSE]),
      check.attributes = FALSE))
}

# prod_v (k_v - m_v) = sum over subsets S of the variables of (-1)^|rest| prod_rest m_v times the
# columns of S: X's coefficients of it, a column per column of the term.
product_map <- function(term, d) {
  index <- as.matrix(expand.grid(lapply(term$size, seq_len)))
  subsets <- as.matrix(expand.grid(rep(list(c(FALSE, TRUE)), length(term$vars))))
  out <- matrix(0, length(d$constant), nrow(index))
  for (s in seq_len(nrow(subsets))) {
    keep <- subsets[s, ]
    size <- rep(1, nrow(index))
    for (k in which(!keep)) size <- -size * d$vars[[term$vars[k]]]$mean[index[, k]]
    out <- out + margin_coefficients(term$vars[keep], index[, keep, drop = FALSE], d) *
      rep(size, each = nrow(out))
  }
  out
}

# X's coefficients of the products of columns `index` of some variables.
margin_coefficients <- function(vars, index, d) {
  if (!length(vars)) return(matrix(d$constant, length(d$constant), nrow(index)))
  if (length(vars) == 1L) return(d$vars[[vars]]$own[, index[, 1L], drop = FALSE])
  term <- Filter(function(t) setequal(t$vars, vars), d$terms)[[1L]]
  at <- match(term$vars, vars)
  place <- 1 + drop((index[, at, drop = FALSE] - 1) %*%
    cumprod(c(1, term$size))[seq_along(term$size)])
  diag(1, length(d$constant))[, term$cols[place], drop = FALSE]
}

# Sets of columns that are contrasts of one factor (of a cell of several), for each column of the
# numbers they are multiplied by: what changes when the contrasts do is the basis within a set.
contrast_sets <- function(X, tt, frame) {
  if (is.null(attr(X, "contrasts"))) return(list()) # numbers: a set of its own each
  d <- product_parts(X, tt, frame, rows = seq_len(min(nrow(X), 20L)))
  if (is.null(d)) return(list())
  number <- !vapply(d$vars, `[[`, NA, "factor")
  sets <- lapply(d$terms, function(t) {
    if (length(t$vars) == 1L) {
      own <- d$vars[[t$vars]]
      return(if (own$factor && is.null(own$full)) list(t$cols))
    }
    index <- expand.grid(lapply(t$size, seq_len))[number[t$vars]]
    split(t$cols, if (ncol(index)) do.call(paste, index) else rep("", length(t$cols)))
  })
  Filter(function(cols) length(cols) > 1L, unlist(unname(sets), recursive = FALSE))
}

# ---- centring -----------------------------------------------------------------------------

# beta = M gamma makes columns with means mean_x into columns with means mean_w: all but those that
# make up the constant (X c = 1) are centred.
centring <- function(mean_x, constant) {
  free <- constant == 0 & any(constant != 0)
  mean_w <- replace(mean_x, free, 0)
  list(M = diag(1, length(mean_x)) - outer(constant, mean_x - mean_w), mean_w = mean_w)
}

# beta = shift + M gamma. mean_x, mean_w: means of the columns that the Gram holds and of the
# working ones; level: what of the linear predictor is in shift (the mean response, where the
# constant is in the span of the columns); basis: see centred_products(); constant: see
# span_constant().
working_coordinates <- function(gram, basis = NULL, constant = numeric(length(gram$x_names))) {
  p <- length(gram$x_names)
  mean_x <- gram$mean[seq_len(p)]
  mean_y <- gram$mean[p + 1L]
  intercept <- match("(Intercept)", gram$x_names, 0L)
  if (intercept > 0L && !(gram$cross[intercept, intercept] == 0 && mean_x[intercept] == 1)) {
    intercept <- 0L # a predictor of that name
  }
  if (intercept > 0L) {
    constant <- as.double(seq_len(p) == intercept)
  } else if (!any(constant != 0)) {
    constant <- constant_combination(gram, mean_x)
  }
  centred <- centring(mean_x, constant)
  basis <- basis %||% diag(1, p)
  level <- if (any(constant != 0)) mean_y else 0
  list(intercept = intercept, M = basis %*% centred$M, shift = drop(basis %*% constant) * level,
    basis = basis,
    mean_x = mean_x, mean_w = centred$mean_w, level = level,
    y_centred = any(constant != 0) || mean_y == 0)
}

# c with X c = 1 on every row, or zeros when there is none. From the Gram:
# sum w (x'c - 1)^2 = (c'mean - 1)^2 W + c'cross c.
constant_combination <- function(gram, mean_x) {
  p <- length(mean_x)
  if (p == 0L) return(numeric())
  A <- gram$cross[seq_len(p), seq_len(p), drop = FALSE] + gram$sum_w * tcrossprod(mean_x)
  scale <- sqrt(diag(A))
  scale[scale == 0] <- 1
  eig <- eigen(A / tcrossprod(scale), symmetric = TRUE)
  keep <- eig$values > 1e-12 * eig$values[1L]
  V <- eig$vectors[, keep, drop = FALSE]
  rhs <- gram$sum_w * mean_x / scale
  own <- drop(V %*% (crossprod(V, rhs) / eig$values[keep]))
  own[abs(own) * sqrt(gram$sum_w) < 1e-7 * max(abs(own) * sqrt(gram$sum_w), 0)] <- 0
  coef <- own / scale
  if (abs(sum(coef * mean_x) - 1) < 1e-9) coef else rep(0, p)
}

to_working <- function(coords, beta) solve(coords$M, beta - coords$shift, tol = 0)

to_raw <- function(coords, gamma) drop(coords$shift + coords$M %*% gamma)

to_raw_cov <- function(coords, S) coords$M %*% S %*% t(coords$M)

# Draws in columns (p x n) of gamma to draws of beta.
to_raw_draws <- function(coords, gamma) coords$shift + coords$M %*% gamma

# ---- coefficients that vary by group --------------------------------------------------------

# The same for the r covariates z (rows x r) of a term, with unit SDs besides: list(z, A,
# off_centre, spec (what settled_term() needs)), u = A v with v the working effects of a level, z'u
# = (A'z)'v. centre = FALSE leaves the origin (a prior that the user gives stands there);
# off_centre then tells where the covariates are, when their mean is farther from it than their SD:
# list(mean, constant) in working units.
term_coordinates <- function(z, tt, frame, w, centre) {
  own <- unname(z)
  A <- diag(1, ncol(z))
  constant <- span_constant(z, tt, frame)
  if (centre) {
    products <- centred_products(z, tt, frame, w)
    if (!is.null(products)) {
      own <- unname(products$X)
      A <- products$basis
    }
    mean <- column_means(own, w)
    m <- centring(mean, constant)
    own <- own - rep(mean - m$mean_w, each = nrow(own))
    A <- A %*% m$M
  }
  intercept <- attr(z, "assign") == 0L
  D <- covariate_scale(own, w, intercept)
  off <- (column_means(own, w) - centring(column_means(own, w), constant)$mean_w) / D
  list(z = own / rep(D, each = nrow(own)), A = A / rep(D, each = nrow(A)),
    off_centre = if (any(abs(off) > 1)) list(mean = off, constant = constant),
    spec = list(products = product_spec(z, tt, frame), constant = constant, intercept = intercept))
}

# The columns of a model matrix that add up to one, as coefficients: its intercept, or a factor's
# levels; zeros where there are none.
span_constant <- function(z, tt, frame) {
  assign <- attr(z, "assign")
  if (0L %in% assign) return(as.double(assign == 0L))
  main <- which(attr(tt, "order") == 1L)
  for (t in main) {
    v <- rownames(attr(tt, "factors"))[attr(tt, "factors")[, t] > 0L]
    cols <- assign == t
    if (!is.null(attr(z, "contrasts")[[v]]) && sum(cols) == n_levels_of(frame[[v]])) {
      return(as.double(cols))
    }
  }
  numeric(ncol(z))
}

# The unit of each covariate: its SD, its size where it is constant, one for an intercept.
covariate_scale <- function(z, w, intercept) {
  mean <- column_means(z, w)
  dev <- z - rep(mean, each = nrow(z))
  n <- if (is.null(w)) nrow(z) else sum(w > 0)
  unit_of(column_means(dev^2, w) * if (n > 1) n / (n - 1) else 1, mean, intercept)
}

unit_of <- function(variance, mean, intercept) {
  variance[variance <= 1e-12 * mean^2] <- 0
  s <- column_scale(variance, mean)
  ifelse(intercept, 1, ifelse(s$sd == 0, s$size, s$sd))
}
