# The Gram: sufficient statistics of the Gaussian model, from one pass over rows.
#
# Fields (p columns of X):
#   n, sum_w, sum_log_w   rows of positive weight, their weights
#   mean    (p + 1)       weighted means of the columns of X and of y
#   cross   (p + 1)^2     weighted cross-products about the means
#   basis   (p x p)       columns are X basis, see centred_products()
#   factors               per grouping factor: name, levels, coef (r names), A (r x r: covariates
#                         are A'z, see term_coordinates()), and per level
#                         zz (r x r), z1 (r), zv ((p + 1) x r): sums of w z z', w z,
#                         w (v - mean) z'; see src/arrow/gram.h
#   pairs                 per pair of factors (a < b): a, b, ptr, idx, val; level i of a meets
#                         levels idx[ptr[i] .. ptr[i + 1]) of b, with r_a x r_b blocks val
#   x_names               column names of X

# rows: list(X, y, offset, w, factors), factors with codes, levels, coef, z.
gram_of_rows <- function(rows) {
  c_rows <- list(
    X = rows$X, y = rows$y, offset = rows$offset, w = rows$w,
    factors = lapply(rows$factors, function(f) {
      list(code = f$codes, z = f$z, r = length(f$coef), n_levels = length(f$levels))
    })
  )
  raw <- call_gram(c_rows)
  if (raw[[1L]]$status != 0) mf_interrupt()
  factors <- lapply(seq_along(rows$factors), function(k) {
    c(rows$factors[[k]][c("name", "levels", "coef", "A")], raw[[2L]][[k]])
  })
  new_gram(raw[[1L]], factors, gram_pairs(c_rows), colnames(rows$X), rows$basis)
}

new_gram <- function(main, factors, pairs, x_names, basis = NULL) {
  new_class("meanfield_gram", list(
    n = main$head[1L], sum_w = main$head[2L], sum_log_w = main$head[3L],
    mean = main$mean, cross = main$cross, factors = factors, pairs = pairs,
    x_names = x_names, basis = basis %||% diag(1, length(x_names))
  ))
}

factor_pairs <- function(n) {
  if (n < 2L) return(list())
  unlist(lapply(seq_len(n - 1L), function(a) lapply(seq.int(a + 1L, n), function(b) c(a, b))),
    recursive = FALSE)
}

gram_pairs <- function(c_rows) {
  lapply(factor_pairs(length(c_rows$factors)), function(ab) {
    x <- call_gram_pair(c_rows, ab[1L], ab[2L])
    list(a = ab[1L], b = ab[2L], ptr = x[[1L]], idx = x[[2L]], val = x[[3L]])
  })
}

# The same sums for other working coordinates: columns X basis, covariates A'z (a list of A, one per
# factor).
gram_in <- function(g, A, basis) {
  x <- seq_along(g$x_names)
  to <- if (length(x)) solve(g$basis, basis, tol = 0) else basis
  if (!is_identity(to)) {
    g$mean[x] <- crossprod(to, g$mean[x])
    g$cross[x, ] <- crossprod(to, g$cross[x, , drop = FALSE])
    g$cross[, x] <- g$cross[, x, drop = FALSE] %*% to
  }
  B <- Map(function(f, A) solve(f$A, A, tol = 0), g$factors, A)
  g$factors <- Map(function(f, A, B) {
    r <- nrow(B)
    if (!is_identity(to)) f$zv[x, ] <- crossprod(to, f$zv[x, , drop = FALSE])
    if (is_identity(B)) return(f)
    f$zz <- as.double(apply(array(f$zz, c(r, r, length(f$levels))), 3L,
      function(z) crossprod(B, z %*% B)))
    f$z1 <- as.double(crossprod(B, matrix(f$z1, r)))
    f$zv[] <- apply(array(f$zv, c(nrow(f$zv), r, length(f$levels))), 3L, function(z) z %*% B)
    f$A <- A
    f
  }, g$factors, A, B)
  g$pairs <- lapply(g$pairs, function(pair) {
    val <- array(pair$val, c(nrow(B[[pair$a]]), nrow(B[[pair$b]]), length(pair$idx)))
    pair$val <- as.double(apply(val, 3L, function(v) crossprod(B[[pair$a]], v %*% B[[pair$b]])))
    pair
  })
  g$basis <- basis
  g
}

# The sums over the rows of both, which have the same columns and factors; levels are matched by
# name. The sum is in the coordinates of the first, its levels in the order of first appearance or
# as sorted(levels, factor's name) has them.
add_grams <- function(e1, e2, sorted = function(levels, name) levels) {
  e2 <- gram_in(e2, lapply(e1$factors, `[[`, "A"), e1$basis)
  levels <- Map(function(f, g) sorted(union(f$levels, g$levels), f$name), e1$factors, e2$factors)
  maps <- lapply(list(e1, e2), function(e) {
    Map(function(f, l) match(f$levels, l) - 1L, e$factors, levels)
  })
  as_raw <- function(e) list(c(list(head = c(e$n, e$sum_w, e$sum_log_w)), unclass(e)), e$factors)
  raw <- call_gram_merge(as_raw(e1), as_raw(e2), maps[[1L]], maps[[2L]],
    lengths(lapply(e1$factors, `[[`, "coef")), lengths(levels))
  factors <- Map(function(f, l, x) c(list(name = f$name, levels = l, coef = f$coef, A = f$A), x),
    e1$factors, levels, raw[[2L]])
  pairs <- Map(function(x, y) add_pairs(x, y, maps, lengths(levels)), e1$pairs, e2$pairs)
  new_gram(raw[[1L]], factors, pairs, e1$x_names, e1$basis)
}

# Sum of two sparse cross blocks after their levels were renumbered by maps.
add_pairs <- function(x, y, maps, n_levels) {
  entries <- function(p, map) {
    list(i = map[[p$a]][rep(seq_along(diff(p$ptr)), diff(p$ptr))], j = map[[p$b]][p$idx + 1L],
      val = matrix(p$val, ncol = length(p$idx)))
  }
  ex <- entries(x, maps[[1L]])
  ey <- entries(y, maps[[2L]])
  i <- c(ex$i, ey$i)
  j <- c(ex$j, ey$j)
  key <- i * as.double(n_levels[x$b]) + j
  first <- sort(unique(key))
  at <- match(key, first)
  val <- t(rowsum(t(cbind(ex$val, ey$val)), at, reorder = TRUE))
  keep <- match(first, key)
  list(a = x$a, b = x$b, ptr = c(0L, cumsum(tabulate(i[keep] + 1L, n_levels[x$a]))),
    idx = as.integer(j[keep]), val = as.double(val))
}

gram_factor_names <- function(g) vapply(g$factors, `[[`, "", "name")

# The same sums with the factors in another order: o[k] is the one that comes to place k.
gram_reordered <- function(g, o) {
  if (!is.unsorted(o)) return(g)
  at <- function(a, b) {
    Filter(function(p) p$a == min(a, b) && p$b == max(a, b), g$pairs)[[1L]]
  }
  pairs <- lapply(factor_pairs(length(o)), function(ab) {
    own <- at(o[ab[1L]], o[ab[2L]])
    if (o[ab[1L]] > o[ab[2L]]) own <- transposed_pair(own, g$factors)
    own[c("a", "b")] <- as.list(ab)
    own
  })
  g$factors <- g$factors[o]
  g$pairs <- pairs
  g
}

transposed_pair <- function(x, factors) {
  i <- rep(seq_along(diff(x$ptr)), diff(x$ptr)) - 1L
  o <- order(x$idx, i)
  r <- lengths(lapply(factors[c(x$a, x$b)], `[[`, "coef"))
  val <- aperm(array(x$val, c(r, length(i))), c(2L, 1L, 3L))[, , o]
  list(a = x$b, b = x$a, ptr = c(0L, cumsum(tabulate(x$idx + 1L, length(factors[[x$b]]$levels)))),
    idx = i[o], val = as.double(val))
}

is_finite_gram <- function(g) {
  all(is.finite(g$cross)) &&
    all(vapply(g$factors, function(f) all(is.finite(f$zv)) && all(is.finite(f$zz)), NA))
}

# The scales that default priors are made of, all from the Gram.
gram_scales <- function(gram) {
  p <- length(gram$x_names)
  n <- gram$n
  bessel <- if (n > 1) n / (n - 1) else 1
  spread <- column_scale(diagonal(gram$cross) / gram$sum_w * bessel, gram$mean)
  sd_x <- spread$sd[seq_len(p)]
  constant <- sd_x == 0
  sd_x[constant] <- spread$size[seq_len(p)][constant]
  list(
    sd_y = spread$sd[p + 1L], mean_y = gram$mean[p + 1L], sd_x = sd_x, constant = constant,
    row_scale = sqrt(gram$sum_w / n), bessel = bessel,
    sd_z = lapply(gram$factors, factor_scale, sum_w = gram$sum_w, bessel = bessel)
  )
}

# SDs with rounding noise set to zero, and the size that stands in for a constant.
column_scale <- function(variance, mean) {
  size <- abs(mean)
  variance[variance < 0] <- 0
  sd <- sqrt(variance)
  sd[sd <= 1e-13 * size] <- 0
  size[size == 0] <- 1
  list(sd = sd, size = size)
}

# Scale of each covariate of a factor: 1 for an intercept, its SD otherwise.
factor_scale <- function(f, sum_w, bessel) {
  plain <- plain_coef(f$coef) == "(Intercept)"
  if (all(plain)) return(rep(1, length(plain)))
  r <- length(plain)
  zz <- rowSums(matrix(f$zz, r * r))[seq(1L, r * r, by = r + 1L)]
  mean <- rowSums(matrix(f$z1, r)) / sum_w
  variance <- (zz / sum_w - mean^2) * bessel
  variance[variance <= 1e-12 * mean^2] <- 0
  s <- column_scale(variance, mean)
  ifelse(plain, 1, ifelse(s$sd == 0, s$size, s$sd))
}
