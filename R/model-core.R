# The list that the C core reads: Gram or rows, coordinates, prior. The core counts from 0 and R
# from 1: here, and only here, the positions of the layout are translated.

# What engines compute with: the Gram, and where sums do not do the rows too.
engine_core <- function(model) {
  core <- lmm_core(model)
  if (!has_rows(model)) return(core)
  core$family <- family_of(model)$codes[[model$approximation %||% "gva"]]
  core$sum_w <- model$gram$sum_w
  core$rows <- with_positions(model$rows %||% glmm_rows_of_frame(model), core)
  core
}

# Is nothing as large as the square of the global block?
has_sparse_global <- function(core) is.list(core$global) || is_iterated(core)

# n linear combinations of theta as the core takes them: coefficients of the global block, the leaf
# (from 0; -1: none) and coefficients of its effects, a column each, the last two still empty. X has
# the fixed effects' coefficients, a row each, and `more` others of the global block: list(row,
# column (from 1), value).
new_rows <- function(core, X, more) {
  n <- nrow(X)
  global <- if (has_sparse_global(core)) {
    sparse_rows(X, more)
  } else {
    dense <- matrix(0, core$n_global, n)
    dense[seq_len(ncol(X)), ] <- t(X)
    if (length(more$row)) dense[cbind(more$column, more$row)] <- more$value
    dense
  }
  list(global = global, leaf = rep(-1L, n), z = matrix(0, core$r, n))
}

# list(ptr, idx, val), row by row.
sparse_rows <- function(X, more) {
  n <- nrow(X)
  p <- ncol(X)
  row <- c(rep(seq_len(n), each = p), more$row)
  column <- c(rep(seq_len(p), n), more$column)
  o <- order(row, column, method = "radix")
  list(ptr = c(0L, cumsum(tabulate(row, n))), idx = as.integer(column[o]) - 1L,
    val = c(as.double(t(X)), more$value)[o])
}

no_more <- function() list(row = integer(), column = integer(), value = numeric())

# Rows of x'beta + sum z'u as the core's linear combinations; unseen levels have no part.
core_rows <- function(model, core, parts) {
  leaf <- vapply(parts$groups, function(g) g$factor == 1L, NA)
  more <- lapply(parts$groups[!leaf], function(g) {
    seen <- which(!is.na(g$code))
    k <- rep(seq_len(ncol(g$Z)), each = length(seen))
    list(row = rep(seen, ncol(g$Z)), column = core$p + effect_start(model, g)[seen] + k,
      value = as.double(g$Z[seen, ]))
  })
  rows <- new_rows(core, parts$X %*% model$coords$M, do.call(Map, c(list(c, no_more()), more)))
  for (g in parts$groups[leaf]) {
    seen <- which(!is.na(g$code))
    rows$leaf[seen] <- as.integer(g$code[seen]) - 1L
    rows$z[, seen] <- t(g$Z[seen, , drop = FALSE])
  }
  rows
}

# The raw coefficients (without their shift) as linear combinations of the core's.
beta_rows_of <- function(model, core) {
  if (core$p) new_rows(core, model$coords$M, no_more())
}

# The effects that are not working effects themselves, as linear combinations of these, and (effect)
# their positions among the effects.
user_effect_combinations <- function(model, core) {
  moved <- which(!vapply(model$factors, function(f) is_identity(f$A), NA))
  if (!length(moved)) return(NULL)
  effect <- sort(unlist(lapply(moved, effects_of, x = model)))
  of_factor <- lapply(moved, function(f) match(effects_of(model, f), effect))
  more <- Map(function(f, at) {
    A <- factor_map(model, f)
    level <- (seq_along(at) - 1L) %/% nrow(A)
    k <- rep(seq_len(nrow(A)), each = length(at))
    list(row = rep(at, nrow(A)), column = effect_columns(model, f)[k] + level * nrow(A),
      value = c(A[rep(seq_len(nrow(A)), max(level) + 1L), ]))
  }, moved[moved != 1L], of_factor[moved != 1L])
  rows <- new_rows(core, matrix(0, length(effect), 0L), do.call(Map, c(list(c, no_more()), more)))
  for (at in of_factor[moved == 1L]) {
    A <- factor_map(model, 1L)
    rows$leaf[at] <- (seq_along(at) - 1L) %/% nrow(A)
    rows$z[, at] <- t(A)
  }
  c(rows, list(effect = effect))
}

# rows'J for a J of dim rows: a row per combination.
rows_product <- function(core, rows, J) {
  out <- global_product(rows$global, J[seq_len(core$n_global), , drop = FALSE])
  seen <- which(rows$leaf >= 0L)
  before <- core$n_global + rows$leaf[seen] * core$r
  for (k in seq_len(core$r)) {
    out[seen, ] <- out[seen, ] + rows$z[k, seen] * J[before + k, , drop = FALSE]
  }
  out
}

# The combinations of the squares.
squared_rows <- function(rows) {
  if (is.list(rows$global)) rows$global$val <- rows$global$val^2 else rows$global <- rows$global^2
  rows$z <- rows$z^2
  rows
}

global_product <- function(global, J) {
  if (!is.list(global)) return(crossprod(global, J))
  n <- length(global$ptr) - 1L
  row <- rep(seq_len(n), diff(global$ptr))
  out <- matrix(0, n, ncol(J))
  out[unique(row), ] <- rowsum(global$val * J[global$idx + 1L, , drop = FALSE], row,
    reorder = FALSE)
  out
}

# Arrow Gram C'WC, C'Wy and y'Wy in working coordinates plus the prior; see r_model(). The
# first factor is the leaf; beta and the other factors are the global block, in this order.
lmm_core <- function(model) {
  if (isTRUE(model$iterations$only)) refuse_iterated(model)
  model <- unclass(model)
  g <- unclass(model$gram)
  w <- working_gram(g, model$coords)
  b <- working_beta_prior(model$resolved$beta, model$coords)
  leaf <- g$factors[1L][[1L]]
  layout <- model$layout
  dim <- layout$dim
  before <- layout$effects$first - 1L # global columns before each factor's, but for the leaf
  cross <- leaf_cross(g, w, before)
  list(
    n_global = dim$n_global, n_leaf = dim$leaves, r = dim$r,
    p = dim$p, ptr = cross$ptr, idx = cross$idx, cross = cross$val,
    global = global_block(g, w, dim$n_global, before), leaf = as.double(leaf$zz %||% numeric()),
    h = c(w$Xy, unlist(w$Zy[-1L]), unlist(w$Zy[1L])), yy = w$yy, n = g$n,
    sum_log_w = g$sum_log_w, flat = b$flat, Tb = b$Tb, mu = b$mu, logdet_Tb = b$logdet,
    separate = identical(model$blocks, "separate"), prec = core_precisions(model),
    layout = layout
  )
}

# Columns of the global block that have to be dense: of a Gaussian model what is left when nested
# factors are eliminated.
dense_columns <- function(core) {
  if (is.null(core$rows)) call_dense_columns(core) else core$n_global
}

# Gram of X, of X with each factor's Z, and their products with y, in working coordinates: the
# cross-products about the means, and what the means of the working columns add.
working_gram <- function(g, coords) {
  g <- unclass(g)
  p <- length(g$x_names)
  x <- seq_len(p)
  mean_x <- coords$mean_w
  XX <- g$cross[x, x, drop = FALSE] + g$sum_w * tcrossprod(mean_x)
  XZ <- lapply(g$factors, function(f) f$zv[x, , drop = FALSE] + tcrossprod(mean_x, f$z1))
  mean_y <- if (coords$y_centred) 0 else g$mean[p + 1L]
  list(XX = XX, Xy = g$cross[x, p + 1L] + g$sum_w * mean_x * mean_y,
    yy = g$cross[p + 1L, p + 1L] + g$sum_w * mean_y^2, XZ = XZ,
    Zy = lapply(g$factors, function(f) f$zv[p + 1L, ] + f$z1 * mean_y))
}

# With fewer columns a matrix is as good.
SPARSE_GLOBAL <- 64L

# The global block of the Gram, a matrix, or the lower triangle column by column, list(ptr, idx,
# val), from 0. before: columns before each factor's.
global_block <- function(g, w, n_global, before) {
  if (length(g$factors) < 2L) return(w$XX)
  block <- sparse_block(g, w, n_global, before)
  if (n_global < SPARSE_GLOBAL) dense_block(block) else block
}

dense_block <- function(block) {
  n <- length(block$ptr) - 1L
  column <- rep(seq_len(n), diff(block$ptr))
  G <- matrix(0, n, n)
  G[cbind(block$idx + 1L, column)] <- block$val
  G[cbind(column, block$idx + 1L)] <- block$val
  G
}

# The columns of the fixed effects are full.
sparse_block <- function(g, w, n_global, before) {
  p <- length(g$x_names)
  own <- lower_pairs(max(p, 1L))
  own <- lapply(own, function(x) x[seq_len(p * (p + 1L) / 2L)])
  XZ <- do.call(cbind, w$XZ[-1L])
  others <- c(lapply(seq_along(g$factors)[-1L], own_entries, g = g, before = before),
    lapply(Filter(function(pair) pair$a > 1L, g$pairs), crossed_entries, g = g, before = before))
  entries <- list(
    row = c(own$row, rep(p + seq_len(ncol(XZ)), p), unlist(lapply(others, `[[`, "row"))),
    column = c(own$col, rep(seq_len(p), each = ncol(XZ)),
      unlist(lapply(others, `[[`, "column"))),
    value = c(w$XX[cbind(own$row, own$col)], t(XZ), unlist(lapply(others, `[[`, "value")))
  )
  o <- order(entries$column, entries$row, method = "radix")
  list(ptr = c(0L, cumsum(tabulate(entries$column, n_global))),
    idx = as.integer(entries$row[o]) - 1L, val = as.double(entries$value[o]))
}

# Lower triangles of the blocks of factor f's levels.
own_entries <- function(f, g, before) {
  x <- g$factors[[f]]
  r <- length(x$coef)
  pairs <- lower_pairs(r)
  start <- before[f] + r * (seq_along(x$levels) - 1L)
  list(row = c(outer(pairs$row, start, `+`)), column = c(outer(pairs$col, start, `+`)),
    value = c(matrix(x$zz, r * r)[(pairs$col - 1L) * r + pairs$row, ]))
}

# Of two factors of the global block; the later one's are the rows.
crossed_entries <- function(pair, g, before) {
  e <- pair_entries(pair, g)
  list(row = before[pair$b] + e$col, column = before[pair$a] + e$row, value = pair$val)
}

# Rows and columns x of the block, all of them fixed effects.
gram_head <- function(block, x) {
  if (!is.list(block)) return(block[x, x, drop = FALSE])
  out <- matrix(0, length(x), length(x))
  for (j in x) {
    rows <- j:length(x)
    out[rows, j] <- out[j, rows] <- block$val[block$ptr[j] + seq_along(rows)]
  }
  out
}

# The diagonal of the Gram, in the order of theta.
gram_diagonal <- function(core) {
  block <- core$global
  own <- if (is.list(block)) block$val[block$ptr[-length(block$ptr)] + 1L] else diag(block)
  c(own, leaf_diagonal(core$leaf, core$r))
}

# Row (in factor a's coefficients) and column (in b's) of every number of a pair's blocks.
pair_entries <- function(pair, g) {
  ra <- length(g$factors[[pair$a]]$coef)
  rb <- length(g$factors[[pair$b]]$coef)
  i <- rep(seq_along(diff(pair$ptr)) - 1L, diff(pair$ptr))
  n <- length(pair$idx)
  list(
    row = rep(i * ra, each = ra * rb) + rep(rep(seq_len(ra), rb), n),
    col = rep(pair$idx * rb, each = ra * rb) + rep(rep(seq_len(rb), each = ra), n)
  )
}

# The sparse cross block, leaf by leaf: all fixed effects, then the levels of the other
# factors that the leaf meets. Piece i has k_i rows (global columns idx) and r columns.
leaf_cross <- function(g, w, before) {
  p <- length(g$x_names)
  if (!length(g$factors)) return(list(ptr = 0L, idx = integer(), val = numeric()))
  leaf <- g$factors[[1L]]
  G <- length(leaf$levels)
  r <- length(leaf$coef)
  pairs <- Filter(function(pair) pair$a == 1L, g$pairs)
  if (!length(pairs)) {
    return(list(ptr = as.integer(seq.int(0, by = p, length.out = G + 1L)),
      idx = rep.int(seq_len(p) - 1L, G), val = as.double(w$XZ[[1L]])))
  }
  rb <- vapply(pairs, function(pair) length(g$factors[[pair$b]]$coef), 0L)
  k <- p + Reduce(`+`, Map(function(pair, r_b) diff(pair$ptr) * r_b, pairs, rb))
  ptr <- c(0, cumsum(k))
  idx <- integer(ptr[G + 1L])
  val <- numeric(ptr[G + 1L] * r)
  put <- function(leaf0, row, b, value) val[r * ptr[leaf0 + 1L] + b * k[leaf0 + 1L] + row] <<- value
  i <- rep(seq_len(G) - 1L, each = p)
  idx[ptr[i + 1L] + rep(seq_len(p), G)] <- rep(seq_len(p) - 1L, G)
  for (b in seq_len(r) - 1L) {
    put(i, rep(seq_len(p), G), b, as.double(w$XZ[[1L]][, seq_len(G) * r - r + b + 1L]))
  }
  start <- rep(p, G) # rows of each piece filled so far
  for (m in seq_along(pairs)) {
    pair <- pairs[[m]]
    n <- diff(pair$ptr)
    leaf0 <- rep(seq_len(G) - 1L, n)
    nth <- sequence(n) - 1L # which of the leaf's levels of b
    block <- array(pair$val, c(r, rb[m], length(pair$idx)))
    for (cb in seq_len(rb[m])) {
      row <- start[leaf0 + 1L] + nth * rb[m] + cb
      idx[ptr[leaf0 + 1L] + row] <- before[pair$b] + pair$idx * rb[m] + cb - 1L
      for (b in seq_len(r)) put(leaf0, row, b - 1L, block[b, cb, ])
    }
    start <- start + n * rb[m]
  }
  list(ptr = as.integer(ptr), idx = as.integer(idx), val = val)
}

# list(r, factor, n_levels, leaf, first, stride, block, df0, nu, rate0, aux_rate, map) per
# precision; see src/model/lmm.h.
core_precisions <- function(model) {
  terms <- c(vector("list", n_lead(model)), model$groups)
  lapply(seq_along(terms), function(k) {
    t <- terms[[k]]
    r <- model$layout$precisions$r[k]
    c(list(r = r), core_place(model$layout, k), core_precision(model$resolved$tau[[k]], r),
      list(map = if (!is.null(t) && !is_identity(t$A)) t$A), list(off_centre = t$off_centre))
  })
}

# Where precision k's effects stand: `factor` (-1: of none), `first` row of a leaf or column of the
# global block, `stride` columns from one level to the next (terms of one global factor are
# interleaved by level: only whole factors are contiguous), `block` first column of the factor.
core_place <- function(layout, k) {
  f <- layout$precisions$factor[k]
  if (f == 0L) {
    return(list(factor = -1L, n_levels = 0L, leaf = FALSE, first = 0L, stride = 1L, block = 0L))
  }
  x <- lapply(layout$effects, `[[`, f)
  block <- if (x$leaf) 0L else x$first - 1L
  list(factor = f - 1L, n_levels = x$levels, leaf = x$leaf,
    first = block + layout$precisions$first[k] - 1L, stride = x$r, block = block)
}

core_precision <- function(prior, r) {
  prior <- unclass(prior)
  aux_rate <- if (prior$kind == "half_t") 1 / prior$scale^2 else numeric()
  rate <- switch(prior$kind,
    gamma = list(df0 = 2 * prior$shape, nu = 0, rate0 = matrix(2 * prior$rate)),
    wishart = list(df0 = prior$df, nu = 0, rate0 = solve_spd(prior$scale)),
    half_t = list(df0 = prior$df + r - 1, nu = prior$df, rate0 = matrix(0, r, r))
  )
  c(rate, list(aux_rate = aux_rate))
}

# The variational mean, the gradient h - G theta there and its residual sum of squares; from
# T (m - mu) = tau_e (h - G m), so that nothing cancels.
vb_centre <- function(core, vb) {
  if (!is.null(core$rows)) return(list(theta = vb$mean, grad = 0 * vb$mean, rss = 0))
  x <- seq_len(core$p)
  prior_grad <- numeric(length(core$h))
  if (core$p) prior_grad[x] <- core$Tb %*% (vb$mean[x] - core$mu)
  at <- stat_index(core)
  for (k in seq_along(core$prec)[-1L]) {
    rows <- effect_rows(core, k)
    u <- matrix(vb$mean[rows], core$prec[[k]]$r)
    prior_grad[rows] <- unvech(vb$t[at[[k]]]) %*% u
  }
  grad <- prior_grad / vb$t[1L]
  list(
    theta = vb$mean, grad = grad,
    rss = max(core$yy - sum(vb$mean * (core$h + grad)), 0)
  )
}

# ---- without a matrix of the effects ------------------------------------------------------------

# The core of the variational engine, and what the posterior that it finds is read with.
vb_core <- function(model) if (is_iterated(model)) iter_core(model) else engine_core(model)
sums_core <- function(model) if (is_iterated(model)) iter_core(model) else lmm_core(model)

# The list that C_fit_lmm_iter() reads: the Gram as it was summed. d: sum of weights of each level;
# xz: p x levels; tables: of pairs of factors, as in the Gram.
iter_core <- function(model) {
  g <- model$gram
  w <- working_gram(g, model$coords)
  b <- working_beta_prior(model$resolved$beta, model$coords)
  layout <- model$layout
  dim <- layout$dim
  list(
    n_global = dim$n_global, n_leaf = dim$leaves, r = dim$r, p = dim$p, xx = w$XX,
    factors = Map(function(f, xz) list(n = length(f$levels), d = f$zz, xz = xz), g$factors, w$XZ),
    tables = g$pairs, h = c(w$Xy, unlist(w$Zy[-1L]), unlist(w$Zy[1L])), yy = w$yy, n = g$n,
    sum_log_w = g$sum_log_w, flat = b$flat, Tb = b$Tb, mu = b$mu, logdet_Tb = b$logdet,
    prec = core_precisions(model), layout = layout, iterations = model$iterations
  )
}

# The Gram of the fixed effects, of either core.
fixed_gram <- function(core) core$xx %||% gram_head(core$global, seq_len(core$p))
