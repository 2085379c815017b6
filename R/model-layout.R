# Who sits where: names, order and positions of coefficients, random effects and precisions, in the
# engine's coordinates and in the user's.

# The layout of a model, the one place that knows these positions. build_model() makes it,
# lmm_core() hands it on, and the readers below ask either for it. Positions count from 1:
# R/model-core.R translates for C, which counts from 0.
#
# theta = (beta; the effects of factors 2, 3, ..., the rest of the arrow's global block; those of
#         factor 1, its leaves), level by level, coefficients within levels
# t     = (the statistics of every precision, tau or vech Lambda; the auxiliaries of every half-t)
#
#   beta        names of the coefficients
#   effects     vectors, an element per factor: first (position in theta), r (coefficients of a
#               level), levels, leaf
#   precisions  an element per precision: name; term (0: of no group term); its factor (0: none) and
#               which of the factor's coefficients is its first; r; and lists, at and aux: positions
#               in t of its statistics and of its auxiliaries
#   dim         p, effects, n_global, theta; r and leaves of the arrow; stats, t
#
# Nothing here is as long as there are effects: it is saved with the fit.
layout <- function(model) {
  p <- length(model$x_names)
  effects <- effect_layout(model$factors, p)
  precisions <- precision_layout(model$resolved$tau, model$groups)
  own <- effects$r * effects$levels
  stats <- length(unlist(precisions$at))
  list(
    beta = if (p) paste0("beta[", model$x_names, "]") else character(),
    effects = effects, precisions = precisions,
    dim = list(
      p = p, effects = sum(own), n_global = p + sum(own[-1L]), theta = p + sum(own),
      # without groups as in the core
      r = c(effects$r, 1L)[1L], leaves = c(effects$levels, 0L)[1L],
      stats = stats, t = stats + length(unlist(precisions$aux))
    )
  )
}

effect_layout <- function(factors, p) {
  r <- vapply(factors, function(f) length(f$coef), 0L)
  levels <- vapply(factors, function(f) length(f$levels), 0L)
  others <- (r * levels)[-1L]
  before <- c(sum(others), cumsum(others) - others)[seq_along(factors)]
  list(first = p + 1L + before, r = r, levels = levels, leaf = seq_along(factors) == 1L)
}

# Those that belong to no group term come first: tau_e of the Gaussian family, the dispersion phi of
# the negative binomial, none otherwise.
precision_layout <- function(priors, terms) {
  lead <- integer(length(priors) - length(terms))
  r <- c(lead + 1L, vapply(terms, function(t) length(t$coef), 0L))
  half_t <- vapply(unname(priors), function(t) t$kind == "half_t", NA)
  size <- (r * (r + 1L)) %/% 2L
  list(
    name = names(priors), term = c(lead, seq_along(terms)),
    factor = c(lead, vapply(terms, `[[`, 0L, "factor")),
    first = c(lead + 1L, vapply(terms, function(t) as.integer(t$cols[1L]), 0L)), r = r,
    at = runs(size, 0L), aux = runs(r * half_t, sum(size))
  )
}

# Positions of runs of these lengths, one after the other.
runs <- function(n, before) {
  first <- before + cumsum(n) - n
  lapply(seq_along(n), function(k) first[k] + seq_len(n[k]))
}

# ---- readers -------------------------------------------------------------------------------------
# x: a model or its core.

beta_names <- function(model) model$layout$beta

precision_names <- function(model) model$layout$precisions$name

n_lead <- function(model) sum(model$layout$precisions$term == 0L)

# Are precisions k parameters of the likelihood that are no precisions, with a normal factor on the
# log scale and no SD beside it?
is_dispersion <- function(model, k) k <= n_lead(model) & !has_sigma(model)

# Positions of each precision's statistics: list of integer vectors.
stat_index <- function(x) x$layout$precisions$at

# Which precision each element of t belongs to.
precision_of_t <- function(x) {
  p <- x$layout$precisions
  c(rep(seq_along(p$at), lengths(p$at)), rep(seq_along(p$aux), lengths(p$aux)))
}

# Positions in theta of the effects of factor f, and among the effects alone.
effect_columns <- function(x, f) {
  e <- x$layout$effects
  seq.int(e$first[f], length.out = e$r[f] * e$levels[f])
}

effects_of <- function(x, f) effect_columns(x, f) - x$layout$dim$p

# Positions in theta of the effects that precision k governs.
effect_rows <- function(x, k) {
  own <- x$layout$precisions
  f <- own$factor[k]
  if (x$layout$effects$r[f] == 1L) return(effect_columns(x, f))
  all <- matrix(effect_columns(x, f), x$layout$effects$r[f])
  as.vector(all[own$first[k] - 1L + seq_len(own$r[k]), ])
}

# What stands before coefficient 1 of each row's level among the effects.
effect_start <- function(model, group) {
  e <- model$layout$effects
  e$first[group$factor] - 1L - model$layout$dim$p + (group$code - 1L) * e$r[group$factor]
}

# r x r x levels: factor f's diagonal blocks of a matrix given by its global block and its leaves.
level_blocks <- function(model, f, global, leaf) {
  e <- model$layout$effects
  if (e$leaf[f]) return(array(leaf, c(e$r[f], e$r[f], e$levels[f])))
  block_levels(global, e$first[f], e$r[f], e$levels[f])
}

# The effects' part of the diagonal of such a matrix.
effect_variances <- function(x, global, leaf) {
  d <- arrow_diagonal(global, leaf, x$layout$dim$r)
  d[x$layout$dim$p + seq_len(x$layout$dim$effects)]
}

# ---- names ---------------------------------------------------------------------------------------

# One row per random effect in the order of theta: factor (index), group, level, coef, name. Strings
# for every effect are dear: where positions do, the readers above have them.
effect_table <- function(model) {
  parts <- lapply(order(model$layout$effects$first), effect_labels, model = model)
  column <- function(name, none = character()) c(none, unlist(lapply(parts, `[[`, name)))
  data.frame(factor = column("factor", integer()), group = column("group"),
    level = column("level"), coef = column("coef"), name = column("name"))
}

effect_labels <- function(f, model) {
  x <- model$factors[[f]]
  r <- length(x$coef)
  level <- rep(x$levels, each = r)
  coef <- rep(x$coef, length(x$levels))
  plain <- r == 1L && x$coef == "(Intercept)"
  list(factor = rep(f, length(level)), group = rep(x$name, length(level)), level = level,
    coef = coef, name = paste0("u[", x$name, ":", level, if (!plain) paste0(",", coef), "]"))
}

u_names <- function(model) effect_table(model)$name

# Names of the statistics of every precision, in the order of the core: tau_e, tau_u[..], and
# the lower triangle of each Lambda_u[..], column by column.
stat_names <- function(model) {
  c(precision_names(model)[seq_len(n_lead(model))], unlist(lapply(model$groups, term_stat_names)))
}

term_stat_names <- function(t) {
  if (!t$vector) return(t$name)
  pairs <- lower_pairs(length(t$coef))
  paste0(substring(t$name, 1L, nchar(t$name) - 1L), ":", t$coef[pairs$col], ",", t$coef[pairs$row],
    "]")
}

# ---- from working to the user's coordinates ------------------------------------------------------

# u = A v for the effects of a level of a factor (r x r), v the working ones.
factor_map <- function(model, f) model$factors[[f]]$A

is_identity <- function(A) all(A == diag(1, nrow(A)))

# Rows of X (effects in the order of theta, n columns) in the user's coordinates, or back.
user_effects <- function(model, X, back = FALSE) {
  for (f in seq_along(model$factors)) {
    A <- factor_map(model, f)
    if (is_identity(A)) next
    if (back) A <- invert_map(A)
    rows <- effects_of(model, f)
    X[rows, ] <- A %*% matrix(X[rows, ], nrow(A))
  }
  X
}

# Variances of all effects in the user's coordinates. own: of the working ones; blocks: function of
# a factor, the covariance of each level's effects (r x r x levels), asked where A is not the
# identity.
user_effect_variances <- function(model, own, blocks) {
  for (f in seq_along(model$factors)) {
    A <- factor_map(model, f)
    if (!is_identity(A)) {
      own[effects_of(model, f)] <- apply(blocks(f), 3L, function(V) rowSums((A %*% V) * A))
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

# SD of the log precision (of minus the log variance of a matrix's coefficients, the largest) of
# each.
own_log_sds <- function(cov_psi, index) {
  v <- diagonal(cov_psi)
  v[v < 0] <- 0
  s <- sqrt(v)
  vapply(index, function(at) max(s[at[on_diagonal(vech_order(length(at)))]]), 0)
}

# ---- limits --------------------------------------------------------------------------------------

MAX_GLOBAL <- 8000 # columns that stay dense
