# The next proposal from a weighted sample: each component moves to the moments of the points that
# it answers for (population Monte Carlo), and is stretched where their tails are longer.
# Source: Cappe, Douc, Guillin, Marin and Robert (2008), Statistics and Computing 18, 447-459.

adapt_components <- function(components, round) {
  share <- responsibilities(components, round$z)
  df <- if (round$khat > 0.5) 4 else IMPORTANCE_DF
  out <- lapply(seq_along(components), function(k) {
    adapt_component(components[[k]], round$z, round$weights * share[, k], df)
  })
  total <- max(sum(vapply(out, `[[`, 0, "weight")), 1e-300)
  lapply(out, function(part) {
    part$weight <- max(part$weight / total, 0.1 / length(out))
    part
  })
}

# ---- several components --------------------------------------------------------------------------

# What one component cannot follow (a bent ridge, a tail of its own) several can: the sample in
# clusters, a component at the moments of each, and one over all. `tilt` (a number per point) says
# where more points are wanted than the posterior has.
# Source: Hoogerheide, Opschoor and van Dijk (2012), Journal of Econometrics 171, 101-120, after
# whom the components are added where the weights say that they are missing.
cluster_components <- function(round, tilt, most) {
  w <- round$weights * tilt
  w <- w / sum(w)
  d <- nrow(round$z)
  whole <- weighted_covariance(round$z, w)
  root <- lower_chol(whole$cov)
  k <- min(most, floor(1 / sum(w^2) / (8 * d)))
  if (is.null(root) || !isTRUE(k >= 2)) return(NULL)
  e <- forwardsolve(root, round$z - whole$mean)
  if (!all(is.finite(e))) return(NULL) # a spread of many orders of magnitude
  cluster <- weighted_clusters(e, w, k)
  within <- pooled_covariance(round$z, w, cluster)
  parts <- lapply(unique(cluster), function(g) {
    cluster_component(round$z[, cluster == g, drop = FALSE], w[cluster == g], within)
  })
  c(list(proposal_component(whole$mean, root, 0.2, df = 4)), Filter(Negate(is.null), parts))
}

# The cluster of every point, from k-means of a resample (its own generator).
weighted_clusters <- function(e, w, k, n = 2000L) {
  pick <- findInterval((seq_len(n) - 0.5) / n, cumsum(w), all.inside = TRUE)
  x <- t(e[, pick, drop = FALSE])
  k <- min(k, nrow(unique(x)) - 1L)
  if (k < 2L) return(rep(1L, ncol(e)))
  centres <- with_fixed_seed(suppressWarnings(stats::kmeans(x, k, iter.max = 50L, nstart = 4L)))
  distance <- vapply(seq_len(k), function(g) colSums((e - centres$centers[g, ])^2),
    numeric(ncol(e)))
  max.col(-distance, ties.method = "first")
}

pooled_covariance <- function(z, w, cluster) {
  Reduce(`+`, lapply(unique(cluster[w > 0]), function(g) { # not one where there is no density
    at <- cluster == g
    sum(w[at]) * weighted_covariance(z[, at, drop = FALSE], w[at] / sum(w[at]))$cov
  }))
}

# Moments of one cluster, shrunk to what clusters have on average where its points are few.
cluster_component <- function(z, w, within) {
  mass <- sum(w)
  if (!(mass > 0)) return(NULL)
  own <- weighted_covariance(z, w / mass)
  n <- mass^2 / sum(w^2)
  d <- nrow(z)
  S <- 1.3 * (n * own$cov + 2 * d * within) / (n + 2 * d)
  root <- lower_chol(S)
  if (!is.null(root)) proposal_component(own$mean, root, 0.8 * mass, df = IMPORTANCE_DF)
}

# Where the variances of rows come from: of each point its share in them, on average over the rows,
# and one. f: n x rows.
tail_tilt <- function(f, mean, sd) {
  share <- rowMeans(((f - rep(mean, each = nrow(f))) / rep(sd, each = nrow(f)))^2)
  1 + 2 * ifelse(is.finite(share), share, 0)
}

# n x components, rows that sum to one
responsibilities <- function(components, z) {
  weight <- vapply(components, `[[`, 0, "weight")
  log_q <- matrix(vapply(components, component_log_density, numeric(ncol(z)), z), ncol(z))
  log_q <- log_q + rep(log(weight), each = ncol(z))
  q <- exp(log_q - apply(log_q, 1L, max))
  share <- q / rowSums(q)
  replace(share, !is.finite(share), 0)
}

adapt_component <- function(part, z, weights, df) {
  d <- length(part$m)
  mass <- sum(weights)
  part$weight <- mass
  part$df <- df
  w <- weights / mass
  ess <- 1 / sum(w^2)
  if (!is.finite(ess) || ess < 3 * d) return(part)
  e <- solve(part$L, z - part$m, tol = 0)
  centre <- drop(e %*% w)
  dev <- e - centre
  C <- dev %*% (t(dev) * w)
  C <- (ess * C + 2 * d * diag(1, d)) / (ess + 2 * d)
  m <- part$m + drop(part$L %*% centre)
  axes <- skewed_axes(part$L %*% C %*% t(part$L), z - m, w)
  if (is.null(axes)) return(part)
  part$m <- m
  part$L <- axes$L
  part$scale <- axes$scale
  part
}

# A root of the covariance whose first axes go along the most skewed coordinates (and what moves
# with them), and how far the sample reaches on either side of each.
skewed_axes <- function(S, dev, w) {
  sd <- sqrt(diag(S))
  skew <- drop((dev / sd)^3 %*% w)
  o <- order(-abs(skew))
  L <- matrix(0, length(o), length(o))
  root <- lower_chol(S[o, o, drop = FALSE])
  if (is.null(root)) return(NULL)
  L[o, ] <- root
  e <- solve(L, dev, tol = 0)
  scale <- t(apply(e, 1L, side_scales, w))
  list(L = L, scale = if (any(abs(log(scale)) > 0.15)) scale)
}

# The normal scale that each side of a weighted sample asks for: the largest over its quantiles.
side_scales <- function(x, w) {
  probs <- if (1 / sum(w^2) > 800) c(0.16, 0.025, 0.005) else c(0.16, 0.025)
  reach <- function(x) max(weighted_quantile(x, w, 1 - probs) / stats::qnorm(1 - probs))
  pmin(pmax(c(reach(-x), reach(x)), 0.6), 4)
}
