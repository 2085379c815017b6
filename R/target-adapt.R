# The next proposal from a weighted sample: each component moves to the moments of the points that it
# answers for (population Monte Carlo), and is stretched where their tails are longer.
# Source: Cappe, Douc, Guillin, Marin and Robert (2008), Statistics and Computing 18, 447-459.

adapt_components <- function(components, round) {
  components <- Filter(function(part) !isTRUE(part$tail), components)
  share <- responsibilities(components, round$z)
  df <- if (round$khat > 0.5) 4 else IMPORTANCE_DF
  out <- lapply(seq_along(components), function(k) {
    adapt_component(components[[k]], round$z, round$weights * share[, k], df)
  })
  total <- sum(vapply(out, `[[`, 0, "weight"))
  lapply(out, function(part) {
    part$weight <- max(part$weight / total, 0.1 / length(out))
    part
  })
}

# A component for the tails of the rows that are not settled: at the moments of the points weighted by
# what they add to the variances of these rows. f: n x rows.
tail_component <- function(round, f, mean, sd) {
  share <- rowMeans(((f - rep(mean, each = nrow(f))) / rep(sd, each = nrow(f)))^2)
  w <- round$weights * ifelse(is.finite(share), share, 0)
  if (!any(w > 0)) return(NULL)
  w <- w / sum(w)
  d <- nrow(round$z)
  m <- drop(round$z %*% w)
  dev <- round$z - m
  S <- dev %*% (t(dev) * w)
  own <- round$z - drop(round$z %*% round$weights)
  S <- S + 0.1 * own %*% (t(own) * round$weights) # a few points may make all of it
  root <- tryCatch(t(chol(S)), error = function(e) NULL)
  if (is.null(root)) return(NULL)
  part <- proposal_component(m, root, 0.4, df = 4)
  part$tail <- TRUE
  part
}

# n x components, rows that sum to one
responsibilities <- function(components, z) {
  weight <- vapply(components, `[[`, 0, "weight")
  log_q <- matrix(vapply(components, component_log_density, numeric(ncol(z)), z), ncol(z))
  log_q <- log_q + rep(log(weight), each = ncol(z))
  q <- exp(log_q - apply(log_q, 1L, max))
  q / rowSums(q)
}

adapt_component <- function(part, z, weights, df) {
  d <- length(part$m)
  mass <- sum(weights)
  part$weight <- mass
  part$df <- df
  w <- weights / mass
  ess <- 1 / sum(w^2)
  if (!is.finite(ess) || ess < 3 * d) return(part)
  e <- solve(part$L, z - part$m)
  centre <- drop(e %*% w)
  dev <- e - centre
  C <- dev %*% (t(dev) * w)
  C <- (ess * C + 2 * d * diag(1, d)) / (ess + 2 * d)
  part$m <- part$m + drop(part$L %*% centre)
  axes <- skewed_axes(part$L %*% C %*% t(part$L), z - part$m, w)
  part$L <- axes$L
  part$scale <- axes$scale
  part
}

# A root of the covariance whose first axes go along the most skewed coordinates (and what moves with
# them), and how far the sample reaches on either side of each.
skewed_axes <- function(S, dev, w) {
  sd <- sqrt(diag(S))
  skew <- drop((dev / sd)^3 %*% w)
  o <- order(-abs(skew))
  L <- matrix(0, length(o), length(o))
  L[o, ] <- t(chol(S[o, o, drop = FALSE]))
  e <- solve(L, dev)
  scale <- t(apply(e, 1L, side_scales, w))
  list(L = L, scale = if (any(abs(log(scale)) > 0.15)) scale)
}

# The normal scale that each side of a weighted sample asks for: the largest over its quantiles.
side_scales <- function(x, w) {
  probs <- if (1 / sum(w^2) > 800) c(0.16, 0.025, 0.005) else c(0.16, 0.025)
  reach <- function(x) max(weighted_quantile(x, w, 1 - probs) / stats::qnorm(1 - probs))
  pmin(pmax(c(reach(-x), reach(x)), 0.6), 4)
}
