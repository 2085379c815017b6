# Names and order of coefficients and random effects.

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
