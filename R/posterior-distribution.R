# What a posterior says of the linear predictor: per row a mixture of normals, over one node (linear
# response), the nodes of the precisions, or the draws.

lead_of <- function(model, stats) if (n_lead(model)) stats[, 1L]

# The mixture with a value of tau_e or phi at every node: those of a normal posterior of its
# logarithm are spread over the nodes of a rule, independently of the predictor.
lead_nodes <- function(mix, p) {
  if (!is.null(mix$lead) || !n_lead(p$model)) return(mix)
  rule <- normal_rule(7L)
  psi <- p$tau$psi
  copies <- function(x) if (!is.null(x)) x[, rep(1L, 7L), drop = FALSE]
  list(weights = rule$w, mean = copies(mix$mean), var = copies(mix$var), new = copies(mix$new),
    lead = exp(psi$mean[1L] + sqrt(psi$cov_lrvb[1L, 1L]) * rule$x))
}

# k -> the covariance matrices of group term k's effects at every row of the statistics.
node_covariances <- function(model, stats) {
  function(k) {
    t <- stats[, stat_index(model)[[k + n_lead(model)]], drop = FALSE]
    if (ncol(t) == 1L) return(1 / t[, 1L])
    lapply(seq_len(nrow(t)), function(i) solve_spd(unvech(t[i, ])))
  }
}

# z'Sigma z of every row's levels that the fit has not seen, at every node; NULL where it has seen
# them all.
new_level_variance <- function(model, parts, covariances, n) {
  if (!any(vapply(parts$groups, function(g) anyNA(g$code), NA))) return(NULL)
  out <- matrix(0, nrow(parts$X), n)
  for (g in parts$groups) {
    unseen <- which(is.na(g$code))
    if (!length(unseen)) next
    for (k in which(vapply(model$groups, `[[`, 0L, "factor") == g$factor)) {
      Z <- g$Z[unseen, model$groups[[k]]$cols, drop = FALSE]
      S <- covariances(k)
      out[unseen, ] <- out[unseen, ] + if (!is.list(S)) Z^2 %*% t(S) else {
        vapply(S, function(s) rowSums((Z %*% s) * Z), numeric(nrow(Z)))
      }
    }
  }
  out
}

# f(mixture, parts), which gives a row per row, of blocks of rows that bound the memory, below each
# other.
over_linear <- function(p, parts, f) {
  n <- nrow(parts$X)
  unknown <- unknown_rows(parts)
  parts <- without_missing(parts, unknown)
  block <- max(1L, floor(1.6e7 / max(row_width(p), 1L)))
  from <- seq.int(1L, max(n, 1L), by = block)
  out <- lapply(from, function(i) {
    now <- part_rows(parts, seq_len(min(block, n - i + 1L)) + i - 1L)
    as.matrix(f(linear_mixture(p, now), now))
  })
  out <- do.call(rbind, out)
  out[unknown, ] <- NA
  out
}

# Rows with a covariate that is missing or infinite: nothing is said of them.
unknown_rows <- function(parts) {
  all <- c(list(parts$X, parts$offset), lapply(parts$groups, `[[`, "Z"))
  bad <- vapply(all, function(x) rowSums(!is.finite(as.matrix(x))) > 0, logical(nrow(parts$X)))
  which(rowSums(matrix(bad, nrow(parts$X))) > 0)
}

without_missing <- function(parts, unknown) {
  if (!length(unknown)) return(parts)
  parts$X[unknown, ] <- 0
  parts$offset[unknown] <- 0
  parts$groups <- lapply(parts$groups, function(g) {
    g$Z[unknown, ] <- 0
    g
  })
  parts
}

# Numbers that a row of linear_mixture() takes.
row_width <- function(p) {
  if (inherits(p, "draws_posterior")) return(prod(dim(p$draws)[1:2]))
  core <- vb_core(p$model)
  beside <- if (has_sparse_global(core)) core$p else core$n_global
  beside + 2 * length(theta_nodes(p$nodes)$weights)
}

part_rows <- function(parts, rows) {
  parts$X <- parts$X[rows, , drop = FALSE]
  parts$offset <- parts$offset[rows]
  parts$w <- parts$w[rows]
  parts$size <- parts$size[rows]
  parts$groups <- lapply(parts$groups, function(g) {
    g$code <- g$code[rows]
    g$new <- g$new[rows]
    g$Z <- g$Z[rows, , drop = FALSE]
    g
  })
  parts
}

linear_variance <- function(p, parts) drop(over_linear(p, parts, function(mix, ...) {
  mixture_variance(mix)
}))

total_variance <- function(mix) if (is.null(mix$new)) mix$var else mix$var + mix$new

# Between draws, the unbiased variance.
mixture_variance <- function(mix) {
  between <- spread_about(mix$mean, mixture_mean(mix), mix$weights)
  n <- length(mix$weights)
  drop(total_variance(mix) %*% mix$weights) + between * if (isTRUE(mix$sample)) n / (n - 1) else 1
}

# sum_k w_k (x_k - m)^2 over the columns of x, block by block: fresh memory costs more than sums.
spread_about <- function(x, m, w) {
  out <- numeric(nrow(x))
  for (at in column_blocks(ncol(x), nrow(x))) {
    out <- out + drop((x[, at, drop = FALSE] - m)^2 %*% w[at])
  }
  out
}

# Columns 1 to n in runs of about a cache's size.
column_blocks <- function(n, rows) {
  if (n == 0L) return(list(integer()))
  size <- max(1L, as.integer(2e5 / max(rows, 1L)))
  lapply(seq.int(1L, n, by = size), function(i) seq.int(i, min(i + size - 1L, n)))
}

mixture_mean <- function(mix) drop(mix$mean %*% mix$weights)

# Of values of equal weight, or of points with weights.
points_quantile <- function(x, mix, probs) {
  if (!isTRUE(mix$sample) && length(x) > 1L) return(weighted_quantile(x, mix$weights, probs))
  stats::quantile(x, probs, names = FALSE)
}

# rows x probs
row_quantiles <- function(mix, probs) {
  blocks <- column_blocks(nrow(mix$mean), ncol(mix$mean)) # of rows
  if (length(blocks) == 1L) return(block_quantiles(mix, probs))
  do.call(rbind, lapply(blocks, function(at) {
    for (part in c("mean", "var", "new")) mix[[part]] <- mix[[part]][at, , drop = FALSE]
    block_quantiles(mix, probs)
  }))
}

block_quantiles <- function(mix, probs) {
  var <- total_variance(mix)
  total <- rowSums(var)
  points <- !is.na(total) & total == 0
  out <- matrix(NA_real_, nrow(var), length(probs))
  known <- points & !is.na(rowSums(mix$mean))
  out[known, ] <- t(apply(mix$mean[known, , drop = FALSE], 1L, points_quantile, mix, probs))
  normal <- which(total > 0)
  by_node <- function(x) t(if (length(normal) < nrow(x)) x[normal, , drop = FALSE] else x)
  if (length(normal)) {
    out[normal, ] <- t(call_nest_quantiles(FALSE, mix$weights, by_node(mix$mean),
      by_node(sqrt(var)), probs))
  }
  out
}

# P(x > 0) of a mixture of one row.
mixture_above_zero <- function(mix) {
  if (anyNA(mix$mean)) return(NA_real_)
  s <- sqrt(drop(total_variance(mix)))
  z <- ifelse(s > 0, drop(mix$mean) / s, sign(drop(mix$mean)) * Inf)
  sum(mix$weights * stats::pnorm(ifelse(is.nan(z), -Inf, z)))
}

linear_mean <- function(parts, m, model) {
  eta <- drop(parts$X %*% m$beta) + parts$offset
  for (g in parts$groups) {
    start <- effect_start(model, g)
    for (k in seq_len(ncol(g$Z))) {
      u <- m$u[start + k]
      eta <- eta + ifelse(is.na(u), 0, g$Z[, k] * u)
    }
  }
  eta
}

# c'Sc + (J'c)'Sigma(J'c) of a normal posterior, for c = (x, z).
block_variance <- function(p, core, parts) {
  rows <- core_rows(p$model, core, parts)
  cJ <- rows_product(core, rows, p$vb$J)
  arrow_quad(theta_covariance(p, core), rows) + rowSums((cJ %*% p$tau$cov_lrvb) * cJ)
}

# draws x rows of x'beta + sum z'u over the levels that the fit has seen.
known_draws <- function(model, parts, d) {
  eta <- d$beta %*% t(parts$X)
  for (g in parts$groups) {
    seen <- which(!is.na(g$code))
    start <- effect_start(model, g)[seen]
    for (k in seq_len(ncol(g$Z))) {
      eta[, seen] <- eta[, seen] + d$u[, start + k, drop = FALSE] *
        rep(g$Z[seen, k], each = nrow(eta))
    }
  }
  eta
}

# Of a mixed model that draws anew: every variable, a row per joint draw.
#' @export
all_draws.default <- function(p, ndraws = NULL, u = "auto") {
  model <- p$model
  effects <- u_names(model)
  ndraws <- check_count(ndraws %||% p$ndraws, "ndraws", 1)
  keep_u <- settle_u(u, as.double(ndraws) * length(effects), TRUE)
  d <- joint_draws(p, ndraws, keep_u)
  out <- cbind(structure(d$beta, dimnames = list(NULL, beta_names(model))),
    precision_draws(d$tau, model))
  if (keep_u && length(effects)) {
    out <- cbind(out, structure(t(user_effects(model, t(d$u))), dimnames = list(NULL, effects)))
  }
  posterior::as_draws_matrix(out)
}
