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

# n linear combinations of theta as the core takes them, still empty: coefficients of the global
# block, the leaf (from 0; -1: none) and coefficients of its effects, a column each.
empty_rows <- function(core, n) {
  list(global = matrix(0, core$n_global, n), leaf = rep(-1L, n), z = matrix(0, core$r, n))
}

# Rows of x'beta + sum z'u as the core's linear combinations; unseen levels have no part.
core_rows <- function(model, core, parts) {
  rows <- empty_rows(core, nrow(parts$X))
  p <- core$p
  rows$global[seq_len(p), ] <- t(parts$X %*% model$coords$M)
  for (g in parts$groups) {
    seen <- which(!is.na(g$code))
    Z <- g$Z[seen, , drop = FALSE]
    if (g$factor == 1L) {
      rows$leaf[seen] <- as.integer(g$code[seen]) - 1L
      rows$z[, seen] <- t(Z)
      next
    }
    start <- p + effect_start(model, g)[seen]
    for (k in seq_len(ncol(Z))) rows$global[cbind(start + k, seen)] <- Z[, k]
  }
  rows
}

# The raw coefficients (without their shift) as linear combinations of the core's.
beta_rows_of <- function(model, core) {
  p <- core$p
  if (!p) return(NULL)
  rows <- empty_rows(core, p)
  rows$global[seq_len(p), ] <- t(model$coords$M)
  rows
}

# The effects that are not working effects themselves, as linear combinations of these, and (effect)
# their positions among the effects.
user_effect_combinations <- function(model, core) {
  moved <- which(!vapply(model$factors, function(f) is_identity(f$A), NA))
  if (!length(moved)) return(NULL)
  effect <- sort(unlist(lapply(moved, effects_of, x = model)))
  rows <- empty_rows(core, length(effect))
  for (f in moved) {
    A <- factor_map(model, f)
    columns <- effect_columns(model, f)
    at <- match(columns - core$p, effect)
    level <- (seq_along(columns) - 1L) %/% nrow(A)
    if (f == 1L) {
      rows$leaf[at] <- level
      rows$z[, at] <- t(A)
      next
    }
    for (k in seq_len(nrow(A))) {
      rows$global[cbind(columns[k] + level * nrow(A), at)] <- rep(A[, k], max(level) + 1L)
    }
  }
  c(rows, list(effect = effect))
}

# rows'J for a J of dim rows: a row per combination.
rows_product <- function(core, rows, J) {
  global <- seq_len(core$n_global)
  out <- crossprod(rows$global, J[global, , drop = FALSE])
  seen <- which(rows$leaf >= 0L)
  before <- core$n_global + rows$leaf[seen] * core$r
  for (k in seq_len(core$r)) {
    out[seen, ] <- out[seen, ] + rows$z[k, seen] * J[before + k, , drop = FALSE]
  }
  out
}

# Arrow Gram C'WC, C'Wy and y'Wy in working coordinates plus the prior; see r_model(). The
# first factor is the leaf; beta and the other factors are the global block, in this order.
lmm_core <- function(model) {
  if (is_iterated(model)) refuse_iterated(model)
  g <- model$gram
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

# Gram of X, of X with each factor's Z, and their products with y, in working coordinates: the
# cross-products about the means, and what the means of the working columns add.
working_gram <- function(g, coords) {
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

# before: columns before each factor's.
global_block <- function(g, w, n_global, before) {
  p <- length(g$x_names)
  if (length(g$factors) < 2L) return(w$XX)
  G <- matrix(0, n_global, n_global)
  G[seq_len(p), seq_len(p)] <- w$XX
  for (f in seq_along(g$factors)[-1L]) {
    x <- g$factors[[f]]
    r <- length(x$coef)
    at <- before[f]
    cols <- at + seq_len(r * length(x$levels))
    G[seq_len(p), cols] <- w$XZ[[f]]
    G[cols, seq_len(p)] <- t(w$XZ[[f]])
    level <- rep(seq_along(x$levels) - 1L, each = r * r)
    first <- at + level * r
    G[cbind(first + rep(seq_len(r), r), first + rep(seq_len(r), each = r))] <- x$zz
  }
  for (pair in g$pairs) {
    if (pair$a == 1L) next
    e <- pair_entries(pair, g)
    row <- before[pair$a] + e$row
    col <- before[pair$b] + e$col
    G[cbind(row, col)] <- pair$val
    G[cbind(col, row)] <- pair$val
  }
  G
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
