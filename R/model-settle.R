# Working coordinates from sums alone: what term_coordinates() and centred_products() make of rows,
# made of the means and spreads in a Gram whose rows nobody has.
#
# The rows of a chunk were centred in it. gram_in() moves the sums to the means and units of all the
# rows, where default priors stand and a fit of rows has them: the same model, to rounding.

# A source of kind "gram". x: made by gram(), with its schema.
source_gram <- function(x) {
  valid_gram(x)
  list(kind = "gram", schema = x$schema, frame = NULL,
    read = function(family, centred) read_gram(x, family, centred))
}

# The list of read_rows() without rows.
read_gram <- function(x, family, centred) {
  if (has_rows(family)) {
    mf_abort("family", "sums are all of the data for the Gaussian family only: fit a ",
      family$family, " response by formula and data", arg = "family")
  }
  schema <- x$schema
  x$schema <- NULL
  check_levels_seen(schema)
  d <- tryCatch(settle(x, schema, centred), meanfield_error = stop, error = function(e) {
    stop_if_memory(e)
    refuse_gram("schema", "object")
  })
  if (!is_finite_gram(d$gram) || !all(is.finite(d$gram$mean))) refuse_gram("basis", "object")
  d
}

settle <- function(g, schema, centred) {
  size <- vapply(g$factors, function(f) length(f$levels) * length(f$coef), 0)
  at <- match(vapply(schema$factors, `[[`, "", "name"), gram_factor_names(g))
  o <- at[order(-size[at])] # as build_factors() has them
  schema$factors <- schema$factors[order(-size[at])]
  g <- gram_reordered(g, o)
  check_limits(length(g$x_names), Map(function(f, x) c(x, f["levels"]), g$factors, schema$factors),
    stats::gaussian())
  basis <- if (!is.null(schema$products)) basis_at(schema$products, g$mean[seq_along(g$x_names)])
  factors <- Map(settled_factor, g$factors, schema$factors,
    MoreArgs = list(sum_w = g$sum_w, n = g$n, centred = centred))
  g <- gram_in(g, lapply(factors, `[[`, "A"), basis %||% diag(1, length(g$x_names)))
  list(gram = g, basis = basis, factors = unname(factors))
}

# The factor as build_factor() gives it. f: of the Gram; x: of the schema.
settled_factor <- function(f, x, sum_w, n, centred) {
  r <- length(f$coef)
  mean <- rowSums(matrix(f$z1, r)) / sum_w
  cov <- matrix(rowSums(matrix(f$zz, r * r)), r) / sum_w - tcrossprod(mean)
  x$terms <- lapply(x$terms, function(t) {
    if (is.null(t$spec)) return(c(t, list(A = diag(1, length(t$cols)))))
    c(t, settled_term(f$A[t$cols, t$cols, drop = FALSE], mean[t$cols],
      cov[t$cols, t$cols, drop = FALSE], n, t$spec, centred(x$name)))
  })
  c(x, list(levels = f$levels, A = block_diagonal(lapply(x$terms, `[[`, "A"))))
}

# list(A, off_centre) of term_coordinates(), from the mean and covariance of the r covariates A1'z.
settled_term <- function(A1, mean, cov, n, spec, centre) {
  raw <- solve(t(A1), mean, tol = 0)
  A <- if (centre && !is.null(spec$products)) basis_at(spec$products, raw) else diag(1, length(raw))
  own <- drop(crossprod(solve(A1, A, tol = 0), mean))
  m <- centring(own, spec$constant)
  if (centre) {
    A <- A %*% m$M
    own <- m$mean_w
  }
  B <- solve(A1, A, tol = 0) # no large means in it: those of A1 are near
  variance <- diag(crossprod(B, cov %*% B)) * if (n > 1) n / (n - 1) else 1
  variance[sqrt(pmax(variance, 0)) <= 1e-13 * abs(raw)] <- 0
  D <- unit_of(variance, own, spec$intercept)
  off <- (own - centring(own, spec$constant)$mean_w) / D
  list(A = A / rep(D, each = nrow(A)),
    off_centre = if (any(abs(off) > 1)) list(mean = off, constant = spec$constant))
}

# Levels that xlevels, or the levels of a factor, promised and no chunk had.
check_levels_seen <- function(schema) {
  for (v in names(schema$seen)) {
    lost <- setdiff(schema$levels[[v]], schema$seen[[v]])
    if (length(lost)) {
      mf_warn("levels", "no row has the level", if (length(lost) > 1L) "s", " ", toString(lost),
        " of `", v, "`, whose effect is known from the prior alone: give the levels that ",
        "there are as `xlevels` to gram()", arg = "xlevels")
    }
  }
}
