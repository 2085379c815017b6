# Who sits where: names, order and positions of coefficients, random effects and precisions, in the
# engine's coordinates and in the user's.

beta_names <- function(model) {
  if (length(model$x_names)) paste0("beta[", model$x_names, "]") else character()
}

# One row per random effect in the order of the core (the global factors, then the leaf,
# coefficients within levels): factor (index), group, level, coef, name.
effect_table <- function(model) {
  order <- c(seq_along(model$factors)[-1L], if (length(model$factors)) 1L)
  rows <- lapply(order, function(f) {
    x <- model$factors[[f]]
    r <- length(x$coef)
    level <- rep(x$levels, each = r)
    coef <- rep(x$coef, length(x$levels))
    plain <- r == 1L && x$coef == "(Intercept)"
    data.frame(factor = f, group = x$name, level = level, coef = coef,
      name = paste0("u[", x$name, ":", level, if (!plain) paste0(",", coef), "]"))
  })
  if (!length(rows)) {
    return(data.frame(factor = integer(), group = character(), level = character(),
      coef = character(), name = character()))
  }
  do.call(rbind, rows)
}

u_names <- function(model) effect_table(model)$name

# ---- from working to the user's coordinates ----------------------------------------------------

# u = A v for the effects of a level of a factor (r x r), v the working ones.
factor_map <- function(model, f) model$factors[[f]]$A

is_identity <- function(A) all(A == diag(1, nrow(A)))

# Rows of X (effects in the order of effect_table(), n columns) in the user's coordinates, or back.
user_effects <- function(model, X, back = FALSE) {
  table <- effect_table(model)
  for (f in seq_along(model$factors)) {
    A <- factor_map(model, f)
    if (is_identity(A)) next
    if (back) A <- invert_map(A)
    rows <- table$factor == f
    X[rows, ] <- A %*% matrix(X[rows, ], nrow(A))
  }
  X
}

# Variances of all effects in the user's coordinates. own: of the working ones; blocks: function of a
# factor, the covariance of each level's effects (r x r x levels), asked where A is not the identity.
user_effect_variances <- function(model, own, blocks) {
  table <- effect_table(model)
  for (f in seq_along(model$factors)) {
    A <- factor_map(model, f)
    if (!is_identity(A)) {
      own[table$factor == f] <- apply(blocks(f), 3L, function(V) rowSums((A %*% V) * A))
    }
  }
  own
}

# A V A' for the covariances V of each level's working effects (r x r x levels).
user_level_covariances <- function(V, A) {
  if (is_identity(A)) return(V)
  array(apply(V, 3L, function(v) A %*% v %*% t(A)), dim(V))
}

# The statistics (tau, vech Lambda; a row per point) in the user's coordinates.
user_statistics <- function(stats, model) {
  index <- stat_index(model)
  for (k in seq_along(model$groups)) {
    A <- model$groups[[k]]$A
    at <- index[[k + n_lead(model)]]
    if (!is_identity(A)) stats[, at] <- stats[, at, drop = FALSE] %*% t(precision_map(A))
  }
  stats
}

# Positions of every precision's statistics in t.
stat_positions <- function(core) {
  size <- vapply(core$prec, function(p) p$r * (p$r + 1) / 2, 0)
  last <- cumsum(size)
  Map(seq.int, last - size + 1, last)
}

# The raw coefficients (without their shift) as linear combinations of the core's.
beta_rows_of <- function(model, core) {
  p <- core$p
  if (!p) return(NULL)
  global <- matrix(0, core$n_global, p)
  global[seq_len(p), ] <- t(model$coords$M)
  list(global = global, leaf = rep(-1L, p), z = matrix(0, core$r, p))
}

# Position of coefficient 1 of each row's level among all effects (effect_table()).
effect_start <- function(model, group) {
  size <- vapply(model$factors, function(x) length(x$levels) * length(x$coef), 0)
  order <- c(seq_along(size)[-1L], 1L)
  before <- cumsum(c(0, size[order]))[match(group$factor, order)]
  before + (group$code - 1L) * length(model$factors[[group$factor]]$coef)
}

MAX_GLOBAL <- 8000 # columns of the dense block

# Where each factor's coefficients start in the global block (0-based; NA for the leaf).
global_layout <- function(g) {
  p <- length(g$x_names)
  size <- vapply(g$factors, function(f) length(f$levels) * length(f$coef), 0)
  first <- p + cumsum(c(0, size[-1L]))[seq_along(size)]
  list(size = as.integer(p + sum(size[-1L])), first = c(NA, first[seq_len(max(length(size) - 1L, 0L))]))
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

# Is precision k a parameter of the likelihood that is no precision, with a normal factor on the log
# scale and no SD beside it?
is_dispersion <- function(model, k) k <= n_lead(model) && !has_sigma(model)

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

# Variances of the random effects: those of the global block, then the leaves'.
effect_variances <- function(S_global, leaf, r, p) {
  global <- diag(S_global)
  each <- matrix(leaf, r * r) # a leaf per column
  c(global[seq_along(global) > p], each[seq.int(1L, r * r, by = r + 1L), ])
}

# Coefficients of the leaf factor (one in a model without groups, as in the core).
leaf_size <- function(model) {
  if (length(model$factors)) length(model$factors[[1L]]$coef) else 1L
}

# SD of the log precision (of minus the log variance of a matrix's coefficients, the largest) of each.
own_log_sds <- function(cov_phi, index) {
  s <- sqrt(pmax(diag(cov_phi), 0))
  vapply(index, function(at) {
    if (length(at) == 1L) return(s[at])
    pairs <- lower_pairs(vech_order(length(at)))
    max(s[at][pairs$row == pairs$col])
  }, 0)
}

# Which precision each global (statistic or auxiliary) belongs to.
owners <- function(vb, index) {
  q <- length(vb$t)
  out <- rep(seq_along(index), lengths(index))
  n_stat <- length(out)
  for (a in seq_len(q)[-seq_len(n_stat)]) { # N = -nu couples an auxiliary to its diagonal
    out[a] <- out[which(vb$C[a, seq_len(n_stat)] != 0)[1L]]
  }
  out
}

# Columns of the global block that belong to factor f (not the leaf).
effect_columns <- function(model, f) {
  length(model$x_names) + which(effect_table(model)$factor == f)
}

# Names of the rows of a vector term: Lambda_u[g:a,b], sigma_u[g:a], rho_u[g:a,b].
vector_names <- function(term) {
  pairs <- which(lower.tri(diag(length(term$coef))), arr.ind = TRUE)
  stem <- function(what) sub("^Lambda", what, sub("]$", "", term$name))
  list(
    lambda = term_stat_names(term), sigma = paste0(stem("sigma"), ":", term$coef, "]"),
    rho = paste0(stem("rho"), ":", term$coef[pairs[, 2L]], ",", term$coef[pairs[, 1L]], "]")
  )
}

# scalar: positions of the statistics that are precisions of one coefficient.
full_cov_names <- function(model, scalar) {
  own <- stat_names(model)[scalar]
  c(beta_names(model), u_names(model), stat_names(model), sprintf("log_%s", own),
    sub("^tau", "sigma", own))
}
