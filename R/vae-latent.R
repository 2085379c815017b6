# The rows' q(z): from the encoder or of their own, the bound there, and the log density of rows.

# ---- fixed points --------------------------------------------------------------------------------

# list(e, weight): Gauss-Hermite products in one and two dimensions, beyond that points with the
# moments of the normal. For the search of a row's q, whose steps want few of them, or for a bound
# that is reported: more, and others, on which q was not made best.
vae_points <- function(q, reported = FALSE) {
  if (q > 2L) {
    n <- max(if (reported) 256L else 64L, 4L * q)
    return(list(e = fixed_points(n, q, shift = as.integer(reported)), weight = rep(1 / n, n)))
  }
  side <- if (reported) c(31L, 12L) else c(15L, 6L)
  rule <- normal_rule(side[q])
  if (q == 1L) return(list(e = t(rule$x), weight = rule$w))
  list(e = rbind(rep(rule$x, length(rule$x)), rep(rule$x, each = length(rule$x))),
    weight = c(outer(rule$w, rule$w)))
}

# The fewest with the normal's mean and covariance: +- sqrt(q) along each axis.
axis_points <- function(q) {
  list(e = sqrt(q) * cbind(diag(1, q), diag(-1, q)), weight = rep(1 / (2 * q), 2L * q))
}

# ---- q -------------------------------------------------------------------------------------------

# list(m, log_s), q x columns of X, of a model with an encoder.
encoded <- function(core, w, X) {
  parts <- vae_parts(core)
  out <- call_mlp(core$enc, w[parts$encoder], X)
  top <- seq_len(core$q)
  log_s <- if (core$encoder == 1L) matrix(w[parts$log_s], core$q, ncol(X)) else
    out[-top, , drop = FALSE]
  list(m = out[top, , drop = FALSE], log_s = pmin(pmax(log_s, -20), 10))
}

decoded <- function(core, w, Z) call_mlp(core$dec, w[vae_parts(core)$decoder], Z)

log_sigma_of <- function(core, w) w[vae_parts(core)$log_sigma]

# The q that the model gives to rows: of its encoder, or their own.
latent_of <- function(fit, X) {
  core <- vae_core(fit$model, X)
  if (core$encoder == 2L) own_latent(fit, X) else encoded(core, fit$w, X)
}

# Each row's best q, from the encoder's and from the training row that would explain it best.
own_latent <- function(fit, X) {
  core <- vae_core(fit$model, X)
  starts <- list(nearest_latent(fit, X))
  if (core$encoder != 2L) starts <- c(starts, list(encoded(core, fit$w, X)))
  runs <- lapply(starts, function(q) {
    run <- call_vae_own(core, fit$w, vae_points(core$q), q)
    if (run$status[1L] == core_status[["interrupted"]]) mf_interrupt()
    run$result
  })
  better_rows(runs)
}

# Of every row the run with the higher bound.
better_rows <- function(runs) {
  best <- runs[[1L]]
  for (run in runs[-1L]) {
    at <- which(run$elbo > best$elbo)
    best$m[, at] <- run$m[, at]
    best$log_s[, at] <- run$log_s[, at]
    best$elbo[at] <- run$elbo[at]
  }
  best
}

# Candidates are the latent means of up to 500 rows of the data, and 0.
nearest_latent <- function(fit, X) {
  core <- vae_core(fit$model, X)
  own <- fit$latent
  n <- ncol(own$m)
  rows <- unique(round(seq(1, n, length.out = min(n, 500L))))
  Z <- cbind(own$m[, rows, drop = FALSE], 0)
  lp <- log_joint_table(core, fit$w, X, Z)
  best <- max.col(lp, ties.method = "first")
  log_s <- cbind(own$log_s[, rows, drop = FALSE], 0)
  list(m = Z[, best, drop = FALSE], log_s = log_s[, best, drop = FALSE])
}

# log p(x, z), columns of X x columns of Z.
log_joint_table <- function(core, w, X, Z) {
  f <- decoded(core, w, Z)
  log_sigma <- log_sigma_of(core, w)
  ss <- outer(colSums(X^2), colSums(f^2), `+`) - 2 * crossprod(X, f)
  prior <- -colSums(Z^2) / 2 - nrow(Z) * log(2 * pi) / 2
  rep(prior, each = ncol(X)) - nrow(X) * (log(2 * pi) / 2 + log_sigma) -
    pmax(ss, 0) * exp(-2 * log_sigma) / 2
}

# ---- the bound and the log density ---------------------------------------------------------------

# In units of the networks; to those of the data by density_units().
latent_elbo <- function(fit, X, q) {
  points <- vae_points(fit$model$latent, reported = fit$model$decoder != "linear")
  run <- call_vae_own(vae_core(fit$model, X), fit$w, points, q, max_iter = 0L)
  if (run$status[1L] == core_status[["interrupted"]]) mf_interrupt()
  run$result$elbo
}

density_units <- function(model) -ncol(model$x) * log(model$scale)

# KL(q || prior), q x rows.
latent_kl <- function(q) (q$m^2 + exp(2 * q$log_s) - 1) / 2 - q$log_s

# list(value, error (0 where it is exact or a quadrature), method), a number a row each, of log p(x)
# at the columns of X.
row_log_lik <- function(fit, X, draws) {
  core <- vae_core(fit$model, X)
  n <- ncol(X)
  if (fit$model$decoder == "linear") {
    return(list(value = linear_decoder_log_lik(core, fit$w, X), error = numeric(n),
      method = rep("exact", n)))
  }
  q <- own_latent(fit, X)
  out <- list(value = numeric(n), error = numeric(n), method = rep("quadrature", n))
  for (rows in split(seq_len(n), grid_class(q))) {
    own <- lapply(q[c("m", "log_s")], function(v) v[, rows, drop = FALSE])
    ends <- grid_ends(own)
    if (!is.null(ends)) {
      out$value[rows] <- grid_log_lik(core, fit$w, X[, rows, drop = FALSE], ends)
      next
    }
    sampled <- importance_log_lik(core, fit$w, X[, rows, drop = FALSE], own, draws)
    out$value[rows] <- sampled$value
    out$error[rows] <- sampled$error
    out$method[rows] <- "importance"
  }
  out
}

linear_decoder_log_lik <- function(core, w, X) {
  dec <- w[vae_parts(core)$decoder]
  p <- nrow(X)
  at <- seq_len(p * core$q)
  linear_log_lik(X, matrix(dec[at], p), dec[-at], exp(2 * log_sigma_of(core, w)))
}

# Rows that one grid serves: by halvings of a step of .1 until it is .7 of the smallest SD of q,
# where the trapezoid rule is exact to 1e-9 for a normal.
grid_class <- function(q) {
  step <- 0.7 * exp(apply(q$log_s, 2L, min))
  pmin(pmax(ceiling(log2(0.1 / step)), 0), 30)
}

GRID_NODES <- 4e5
GRID_VALUES <- 5e8 # nodes x rows

# The axes of a grid over where the prior or a row's q have mass; NULL: it would have too many
# nodes.
grid_ends <- function(q) {
  step <- 0.1 / 2^grid_class(q)[1L]
  low <- pmin(-6, apply(q$m - 8 * exp(q$log_s), 1L, min))
  high <- pmax(6, apply(q$m + 8 * exp(q$log_s), 1L, max))
  nodes <- prod((high - low) / step)
  if (length(low) > 2L || nodes > GRID_NODES || nodes * ncol(q$m) > GRID_VALUES) return(NULL)
  Map(function(low, high) seq(low, high + step, by = step), low, high)
}

# By the trapezoid rule over z, nodes and rows in blocks.
grid_log_lik <- function(core, w, X, axes) {
  Z <- t(as.matrix(expand.grid(axes)))
  in_blocks <- function(n, size) split(seq_len(n), (seq_len(n) - 1L) %/% max(1, size))
  total <- rep(-Inf, ncol(X))
  for (nodes in in_blocks(ncol(Z), 1e6 %/% nrow(X))) {
    for (rows in in_blocks(ncol(X), 2e6 %/% length(nodes))) {
      table <- log_joint_table(core, w, X[, rows, drop = FALSE], Z[, nodes, drop = FALSE])
      total[rows] <- log_row_sums(cbind(total[rows], table))
    }
  }
  total + sum(log(vapply(axes, function(a) a[2L] - a[1L], 0)))
}

log_row_sums <- function(l) {
  top <- l[cbind(seq_len(nrow(l)), max.col(l, ties.method = "first"))]
  top + log(rowSums(exp(l - top)))
}

# By importance sampling: z from q with SDs a quarter wider, and one in twenty from the prior. The
# draws are fixed ones. error: standard error of each row's log density.
importance_log_lik <- function(core, w, X, q, draws) {
  k <- core$q
  wide <- q$log_s + log(1.25)
  from_prior <- seq_len(draws) <= max(1L, draws %/% 20L)
  share <- mean(from_prior)
  e <- with_fixed_seed(matrix(stats::rnorm(k * draws), k))
  lw <- vapply(seq_len(draws), function(s) {
    z <- if (from_prior[s]) matrix(e[, s], k, ncol(X)) else q$m + exp(wide) * e[, s]
    own <- -colSums(((z - q$m) / exp(wide))^2) / 2 - colSums(wide)
    prior <- -colSums(z^2) / 2
    top <- pmax(own, prior)
    log_q <- top + log((1 - share) * exp(own - top) + share * exp(prior - top))
    r <- X - decoded(core, w, z)
    prior - log_q - colSums(r^2) * exp(-2 * log_sigma_of(core, w)) / 2
  }, numeric(ncol(X)))
  lw <- matrix(lw, ncol(X))
  value <- log_row_sums(lw) - log(draws)
  relative <- exp(lw - value)
  list(value = value - nrow(X) * (log(2 * pi) / 2 + log_sigma_of(core, w)),
    error = sqrt(pmax(rowMeans(relative^2) - 1, 0) / draws))
}
