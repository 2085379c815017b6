# The model object: everything an engine needs, and nothing it does not.
#
# It keeps the Gram and the resolved prior; the rows stay in the model frame, which
# is kept by reference (or dropped with model = FALSE).

build_model <- function(call, formula, data, family, prior, contrasts, keep_frame, env) {
  family <- check_family(family)
  check_priors(prior)
  d <- build_design(call, formula, data, contrasts, env, family, function(name) {
    stands_at_mean(prior$tau_u, name)
  })
  check_limits(d, family)
  gram <- gram_of_rows(if (is_gaussian(family)) d else linked_design(d, family))
  check_gram(gram, d)
  coords <- working_coordinates(gram, d$basis, d$constant)
  factors <- lapply(d$factors, `[`, c("name", "expr", "levels", "weightless", "coef", "A", "terms"))
  terms <- model_terms(factors)
  scales <- gram_scales(gram)
  if (!is_gaussian(family)) scales$sd_y <- 1 # default scales are those of the link
  scales$sets <- lapply(d$sets, function(at) list(at = at, cov = gram$cross[at, at] / gram$sum_w))
  resolved <- resolve_priors(prior, scales, coords, gram$x_names, terms, family)
  check_identified(gram, coords, resolved, factors, d$size, family)
  if (!is_gaussian(family) && resolved$beta$kind == "flat") {
    check_separation(d$X, d$y, d$size, family)
  }
  model <- structure(
    list(
      layout = FIT_LAYOUT, formula = d$formula, terms = d$terms, xlevels = d$xlevels,
      contrasts = d$contrasts,
      family = family, frame = if (keep_frame) d$frame,
      na_action = attr(d$frame, "na.action"), x_names = gram$x_names,
      response = names(d$frame)[1L], prototype = response_prototype(d$frame[[1L]]), n_rows = nrow(d$frame),
      weighted = !is.null(stats::model.weights(d$frame)), factors = factors, groups = terms, gram = gram, coords = coords,
      prior = prior, resolved = resolved
    ),
    class = "meanfield_model"
  )
  if (!is_gaussian(family)) {
    model$rows <- glmm_rows_of_design(d, coords)
    model$unidentified <- unidentified_terms(terms, factors, gram$n, d$size, family)
  }
  model
}

# The group terms in the order of their precisions: factor (index), factor name, cols (which
# of the factor's coefficients), coef, name of the precision, keys under which priors may
# name it (shorter first), vector (r > 1), A (u = A v, v the working effects of a level), off_centre:
# see term_coordinates().
model_terms <- function(factors) {
  out <- list()
  for (f in seq_along(factors)) {
    x <- factors[[f]]
    several <- length(x$terms) > 1L
    for (t in x$terms) {
      scalar <- length(t$coef) == 1L
      own <- paste0(x$name, ":", t$coef[1L])
      label <- if (several && scalar) own else x$name
      out[[length(out) + 1L]] <- list(factor = f, group = x$name, cols = t$cols, coef = t$coef,
        label = label, name = unique_name(paste0(if (scalar) "tau_u[" else "Lambda_u[", label),
          out), keys = c(x$name, if (scalar) own), vector = !scalar, A = t$A,
        off_centre = t$off_centre)
    }
  }
  out
}

# "tau_u[g" -> "tau_u[g]", or "tau_u[g#2]" when the formula repeats a term.
unique_name <- function(stem, terms) {
  taken <- vapply(terms, `[[`, "", "name")
  name <- paste0(stem, "]")
  k <- 1L
  while (name %in% taken) name <- paste0(stem, "#", k <- k + 1L, "]")
  name
}

# What the core has room for: LMM_MAX_PREC (src/model/lmm.h), VECH_MAX_R (src/base/vech.h) coefficients of
# a term, GLMM_MAX_FACTORS (src/model/glmm.h). One precision is kept for tau_e, or what stands for it.
CORE_LIMITS <- c(precisions = 64L, coefficients = 32L, other_factors = 16L)
MAX_GLOBAL <- 8000 # columns of the dense block

check_limits <- function(d, family) {
  terms <- unlist(lapply(d$factors, `[[`, "terms"), recursive = FALSE)
  refuse <- function(what, limit) {
    mf_abort("size", "the formula has ", what, ", and the limit is ", limit, ": ",
      "leave some out, or fit a simpler model", arg = "formula")
  }
  if (length(terms) >= CORE_LIMITS[["precisions"]]) {
    refuse(paste(length(terms), "group terms"), CORE_LIMITS[["precisions"]] - 1L)
  }
  if (!is_gaussian(family)) {
    if (length(d$factors) > CORE_LIMITS[["other_factors"]] + 1L) {
      refuse(paste(length(d$factors), "grouping factors"), CORE_LIMITS[["other_factors"]] + 1L)
    }
    widest <- max(0L, lengths(lapply(d$factors, `[[`, "coef"))) # all terms of a factor together
    if (widest > CORE_LIMITS[["coefficients"]]) {
      refuse(paste(widest, "coefficients on one factor"), CORE_LIMITS[["coefficients"]])
    }
  }
  check_size_of_global(d)
}

check_size_of_global <- function(d) {
  n_global <- ncol(d$X) +
    sum(vapply(d$factors[-1L], function(f) length(f$levels) * length(f$coef), 0))
  if (n_global > MAX_GLOBAL) {
    others <- if (length(d$factors)) {
      paste0(" and the grouping factors other than '", d$factors[[1L]]$name, "'")
    }
    mf_abort("size", "the fixed effects", others, " have ", format(n_global, big.mark = ","),
      " coefficients, which need a dense matrix of that size; the limit is ",
      format(MAX_GLOBAL, big.mark = ","), ": drop or coarsen a factor, or fit a subset",
      arg = "formula")
  }
}

# Non-finite data show in the Gram: no extra pass over the rows is needed.
check_gram <- function(gram, d) {
  p <- length(gram$x_names)
  z_finite <- vapply(gram$factors, function(f) all(is.finite(f$zv)) && all(is.finite(f$zz)), NA)
  if (all(is.finite(gram$cross)) && all(z_finite)) return(invisible())
  used <- if (is.null(d$w)) rep(TRUE, length(d$y)) else d$w > 0
  bad_x <- vapply(seq_len(p), function(j) any(!is.finite(d$X[used, j])), NA)
  if (any(!is.finite(d$y[used]))) {
    mf_abort("response", "the response `", names(d$frame)[1L],
      "` has missing or infinite values: remove those rows or use na.action = na.omit",
      arg = "formula")
  }
  if (any(bad_x)) {
    mf_abort("data", "the model matrix has missing or infinite values in ",
      toString(gram$x_names[bad_x]), arg = "data")
  }
  if (!all(z_finite) && all(is.finite(gram$cross))) {
    mf_abort("data", "the covariates of the random effects have missing or infinite values",
      arg = "data")
  }
  mf_abort("data", "sums of squares overflow: rescale the response or the predictors",
    arg = "data")
}

# ---- the list the C core reads ----------------------------------------------------

# Arrow Gram C'WC, C'Wy and y'Wy in working coordinates plus the prior; see r_model(). The
# first factor is the leaf; beta and the other factors are the global block, in this order.
lmm_core <- function(model) {
  g <- model$gram
  w <- working_gram(g, model$coords)
  b <- working_beta_prior(model$resolved$beta, model$coords)
  leaf <- g$factors[1L][[1L]]
  layout <- global_layout(g)
  cross <- leaf_cross(g, w, layout)
  list(
    n_global = layout$size, n_leaf = length(leaf$levels), r = max(length(leaf$coef), 1L),
    p = length(g$x_names), ptr = cross$ptr, idx = cross$idx, cross = cross$val,
    global = global_block(g, w, layout), leaf = as.double(leaf$zz %||% numeric()),
    h = c(w$Xy, unlist(w$Zy[-1L]), unlist(w$Zy[1L])), yy = w$yy, n = g$n,
    sum_log_w = g$sum_log_w, flat = b$flat, Tb = b$Tb, mu = b$mu, logdet_Tb = b$logdet,
    separate = identical(model$blocks, "separate"), prec = core_precisions(model, layout)
  )
}

# Where each factor's coefficients start in the global block (0-based; NA for the leaf).
global_layout <- function(g) {
  p <- length(g$x_names)
  size <- vapply(g$factors, function(f) length(f$levels) * length(f$coef), 0)
  first <- p + cumsum(c(0, size[-1L]))[seq_along(size)]
  list(size = as.integer(p + sum(size[-1L])), first = c(NA, first[seq_len(max(length(size) - 1L, 0L))]))
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

global_block <- function(g, w, layout) {
  p <- length(g$x_names)
  if (length(g$factors) < 2L) return(w$XX)
  G <- matrix(0, layout$size, layout$size)
  G[seq_len(p), seq_len(p)] <- w$XX
  for (f in seq_along(g$factors)[-1L]) {
    x <- g$factors[[f]]
    r <- length(x$coef)
    at <- layout$first[f]
    cols <- at + seq_len(r * length(x$levels))
    G[seq_len(p), cols] <- w$XZ[[f]]
    G[cols, seq_len(p)] <- t(w$XZ[[f]])
    level <- rep(seq_along(x$levels) - 1L, each = r * r)
    G[cbind(at + level * r + rep(seq_len(r), r), at + level * r + rep(seq_len(r), each = r))] <- x$zz
  }
  for (pair in g$pairs) {
    if (pair$a == 1L) next
    e <- pair_entries(pair, g)
    row <- layout$first[pair$a] + e$row
    col <- layout$first[pair$b] + e$col
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
leaf_cross <- function(g, w, layout) {
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
      idx[ptr[leaf0 + 1L] + row] <- layout$first[pair$b] + pair$idx * rb[m] + cb - 1L
      for (b in seq_len(r)) put(leaf0, row, b - 1L, block[b, cb, ])
    }
    start <- start + n * rb[m]
  }
  list(ptr = as.integer(ptr), idx = as.integer(idx), val = val)
}

# list(r, n_levels, leaf, first, stride, block, df0, nu, rate0, aux_rate, map) per precision; see
# src/model/lmm.h.
core_precisions <- function(model, layout) {
  tau <- model$resolved$tau
  lead <- n_lead(model)
  out <- lapply(tau[seq_len(lead)], core_precision, 1L, 0L, FALSE, 0L)
  for (i in seq_along(model$groups)) {
    t <- model$groups[[i]]
    leaf <- t$factor == 1L
    # terms of one global factor are interleaved by level: only whole factors are contiguous
    out[[i + lead]] <- core_precision(tau[[i + lead]], length(t$cols),
      length(model$factors[[t$factor]]$levels), leaf,
      if (leaf) t$cols[1L] - 1L else layout$first[t$factor] + t$cols[1L] - 1L,
      length(model$factors[[t$factor]]$coef), if (leaf) 0L else layout$first[t$factor],
      map = if (!is_identity(t$A)) t$A)
    out[[i + lead]]$off_centre <- t$off_centre
  }
  out
}

core_precision <- function(prior, r, n_levels, leaf, first, stride = r, block = 0L, map = NULL) {
  prior_rate <- switch(prior$kind,
    gamma = list(df0 = 2 * prior$shape, nu = 0, rate0 = matrix(2 * prior$rate)),
    wishart = list(df0 = prior$df, nu = 0, rate0 = solve_spd(prior$scale)),
    half_t = list(df0 = prior$df + r - 1, nu = prior$df, rate0 = matrix(0, r, r))
  )
  c(
    list(r = as.integer(r), n_levels = as.integer(n_levels), leaf = leaf,
      first = as.integer(first), stride = as.integer(stride), block = as.integer(block)),
    prior_rate,
    list(aux_rate = if (prior$kind == "half_t") 1 / prior$scale^2 else numeric(), map = map)
  )
}

# The variational mean, the gradient h - G theta there and its residual sum of squares; from
# T (m - mu) = tau_e (h - G m), so that nothing cancels.
vb_centre <- function(core, vb) {
  if (!is.null(core$rows)) return(list(theta = vb$mean, grad = 0 * vb$mean, rss = 0))
  x <- seq_len(core$p)
  prior_grad <- numeric(length(core$h))
  if (core$p) prior_grad[x] <- core$Tb %*% (vb$mean[x] - core$mu)
  at <- stat_positions(core)
  for (k in seq_along(core$prec)[-1L]) {
    rows <- effect_rows(core, core$prec[[k]])
    u <- matrix(vb$mean[rows], core$prec[[k]]$r)
    prior_grad[rows] <- unvech(vb$t[at[[k]]]) %*% u
  }
  grad <- prior_grad / vb$t[1L]
  list(
    theta = vb$mean, grad = grad,
    rss = max(core$yy - sum(vb$mean * (core$h + grad)), 0)
  )
}

# Positions in theta of a precision's effects, coefficients within levels.
effect_rows <- function(core, pr) {
  start <- if (pr$leaf) core$n_global + pr$first else pr$first
  stride <- if (pr$leaf) core$r else pr$stride
  rep(start + stride * (seq_len(pr$n_levels) - 1L), each = pr$r) + seq_len(pr$r)
}

precision_names <- function(model) names(model$resolved$tau)

# Precisions that belong to no group term and come first: tau_e of the Gaussian family, the
# dispersion phi of the negative binomial, none otherwise.
n_lead <- function(model) length(model$resolved$tau) - length(model$groups)

# Names of the statistics of every precision, in the order of the core: tau_e, tau_u[..], and
# the lower triangle of each Lambda_u[..], column by column.
stat_names <- function(model) {
  c(precision_names(model)[seq_len(n_lead(model))], unlist(lapply(model$groups, term_stat_names)))
}

term_stat_names <- function(t) {
  if (!t$vector) return(t$name)
  pairs <- lower_pairs(length(t$coef))
  sub("]", paste0(":%s]"), t$name, fixed = TRUE) |>
    sprintf(paste0(t$coef[pairs$col], ",", t$coef[pairs$row]))
}

# Positions of each precision's statistics: list of integer vectors.
stat_index <- function(model) {
  size <- c(rep(1L, n_lead(model)), vapply(model$groups, function(t) length(t$coef) * (length(t$coef) + 1L) / 2L, 0))
  last <- cumsum(size)
  Map(function(from, to) seq.int(from, to), last - size + 1, last)
}

# ---- what the data can say --------------------------------------------------------

check_identified <- function(gram, coords, resolved, factors, size, family) {
  flat <- resolved$beta$kind == "flat"
  if (flat && length(gram$x_names)) check_full_rank(gram, coords)
  for (f in factors) check_factor_identified(f, gram$n, flat, size, family)
}

# Group terms whose variance a binomial likelihood says nothing about: a level per row of one
# trial. (For counts, and for several trials, that is overdispersion.)
unidentified_terms <- function(terms, factors, n, size, family) {
  if (family$family != "binomial" || any(size > 1)) return(character())
  alone <- vapply(factors, function(f) length(f$levels) >= n, NA)
  vapply(terms[alone[vapply(terms, `[[`, 0L, "factor")]], `[[`, "", "name")
}

# size: trials or row weights of the other families. A level per row is fine for counts, and for
# proportions of several trials.
check_factor_identified <- function(f, n, flat, size, family) {
  G <- length(f$levels)
  if (G > 1L && (G < n || family$family %in% c("poisson", "neg_binomial") || any(size > 1))) {
    return(invisible())
  }
  what <- if (G == 1L) "has only one level" else "has one level per row"
  why <- if (G == 1L) {
    "its variance is known from the prior alone"
  } else if (!is.null(size)) {
    "with one trial in each the data say nothing about its variance, which is not reported"
  } else {
    "group and residual variance are told apart by their priors alone"
  }
  if (flat) {
    mf_abort("groups", "the grouping factor '", f$name, "' ", what,
      ", and the coefficients have a flat prior: use a proper `prior` on beta, ",
      "or drop the term", arg = "formula")
  }
  mf_warn(if (is.null(size) || G == 1L) "groups" else "unidentified", "the grouping factor '", f$name,
    "' ", what, ": ", why, arg = "formula")
}

check_full_rank <- function(gram, coords) {
  p <- length(gram$x_names)
  A <- working_gram(gram, coords)$XX
  scale <- sqrt(diag(A))
  zero <- scale == 0
  scale[zero] <- 1
  qr <- qr(A / tcrossprod(scale), tol = 1e-10)
  if (qr$rank == p && !any(zero)) return(invisible())
  aliased <- gram$x_names[sort(qr$pivot[-seq_len(qr$rank)])]
  mf_abort("rank", "the model matrix is rank deficient (aliased: ",
    toString(c(utils::head(aliased, 8), if (length(aliased) > 8) "...")),
    ") and the coefficients have a flat prior: drop these columns or use a proper ",
    "`prior` on beta", arg = "prior")
}
