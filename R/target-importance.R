# Importance sampling: points of a mixture of multivariate t distributions in antithetic pairs and
# shifted replicates, and their Pareto-smoothed weights.

IMPORTANCE_DF <- 8
REPLICATES <- 8L

# A proposal is a list of components: m, L (d x d, a root of the scale matrix), weight, degrees of
# freedom, and scale (d x 2), by which each axis of L is stretched below and above the centre; NULL
# of an even one. A flow is one with `flow`; its m and L are its moments.
proposal_component <- function(m, L, weight = 1, scale = NULL, df = IMPORTANCE_DF) {
  list(m = m, L = L, weight = weight, scale = scale, df = df)
}

# Of Gaussian fits, none of them with less than a tenth.
fitted_proposal <- function(components) {
  lapply(components, function(part) {
    proposal_component(part$m, component_factor(part), max(part$weight, 0.1),
      df = part$df %||% IMPORTANCE_DF)
  })
}

# n points in all (a multiple of 16 per component): list(z (d x n), replicate, pair (the number of
# the antithetic pair), components with their shares as weights).
proposal_points <- function(components, n, shift = 0L) {
  share <- vapply(components, `[[`, 0, "weight")
  share <- share / sum(share)
  per <- pmax(2L, 2L * round(n * share / (2 * REPLICATES)))
  blocks <- Map(function(part, k) component_points(components[[part]], k, shift + 101L * part),
    seq_along(components), per)
  z <- do.call(cbind, lapply(blocks, `[[`, "z"))
  replicate <- unlist(lapply(blocks, `[[`, "replicate"))
  pair <- unlist(Map(function(b, k) b$pair + k, blocks,
    cumsum(c(0, per * REPLICATES))[seq_along(per)]))
  shares <- per / sum(per)
  components <- Map(function(part, s) replace(part, "weight", s), components, shares)
  list(z = z, replicate = replicate, pair = pair, components = components)
}

proposal_log_density <- function(components, z) {
  log_mixture(vapply(components, component_log_density, numeric(ncol(z)), z),
    vapply(components, `[[`, 0, "weight"))
}

# log sum_k share_k exp(x_k) of the columns of x
log_mixture <- function(x, share) {
  x <- matrix(x, ncol = length(share))
  top <- pmax(apply(x, 1L, max), -.Machine$double.xmax)
  top + log(drop(exp(x - top) %*% share))
}

# REPLICATES x k points of a multivariate t: the same Gaussian and the same stretch in a pair; of a
# flow its draws of them.
component_points <- function(part, k, shift) {
  d <- length(part$m)
  half <- k / 2
  e <- do.call(cbind, lapply(seq_len(REPLICATES), function(r) {
    u <- cube_points(half, d + 1L, shift + 7L * r)
    x <- stats::qnorm(pmin(pmax(u[seq_len(d), , drop = FALSE], 1e-10), 1 - 1e-10))
    stretch <- sqrt(stats::qchisq(u[d + 1L, ], part$df) / part$df)
    x <- x / rep(stretch, each = d)
    cbind(x, -x)
  }))
  if (!is.null(part$scale)) e <- e * ifelse(e < 0, part$scale[, 1L], part$scale[, 2L])
  z <- if (is.null(part$flow)) part$m + part$L %*% e else flow_draw(part$flow, e)$z
  list(z = z, replicate = rep(seq_len(REPLICATES), each = k),
    pair = rep(rep(seq_len(half), 2L), REPLICATES) +
    rep((seq_len(REPLICATES) - 1L) * half, each = k))
}

component_log_density <- function(part, z) {
  if (!is.null(part$flow)) return(flow_component_density(part, z))
  d <- length(part$m)
  e <- solve(part$L, z - part$m, tol = 0)
  extra <- 0
  if (!is.null(part$scale)) {
    side <- ifelse(e < 0, part$scale[, 1L], part$scale[, 2L])
    e <- e / side
    extra <- -colSums(log(matrix(side, d)))
  }
  out <- log_t(e, part$df, determinant(part$L)$modulus[1L], extra)
  replace(out, is.nan(out), -Inf) # at points beyond all numbers
}

# Of the multivariate t distribution at points whose standardised columns are e; log_det: of its
# scale, extra: to add.
log_t <- function(e, df, log_det = 0, extra = 0) {
  d <- nrow(e)
  lgamma((df + d) / 2) - lgamma(df / 2) - d / 2 * log(df * pi) - log_det + extra -
    (df + d) / 2 * log1p(colSums(e^2) / df)
}

# A flow of a t distribution in the place of the normal one.
flow_component_density <- function(part, z) {
  at <- flow_base(part$flow, z)
  normal <- -(colSums(at$e^2) + nrow(z) * log(2 * pi)) / 2
  out <- log_t(at$e, part$df) + at$log_q - normal
  replace(out, is.nan(out), -Inf)
}

# The target at the points of a proposal: proposal_points(), gradient, lp.
importance_points <- function(ev, components, n, shift = 0L) {
  at <- proposal_points(components, n, shift)
  c(at, ev(at$z, TRUE))
}

# Rounds of points as one sample of the mixture of their proposals, with weights that sum to one.
# list(z, gradient, lp, values (of the variables, where the rounds have them), weights,
# replicate, khat, ess, log_evidence, evidence_error).
# Source: Cornuet, Marin, Mira and Robert (2012), Scand. J. Statist. 39, 798-812.
pooled_sample <- function(rounds) {
  n <- vapply(rounds, function(r) ncol(r$z), 0L)
  join <- function(name, f = c) do.call(f, lapply(rounds, `[[`, name))
  z <- join("z", cbind)
  log_q <- log_mixture(vapply(rounds, function(r) proposal_log_density(r$components, z),
    numeric(ncol(z))), n / sum(n))
  lp <- join("lp")
  ratio <- ifelse(lp == -Inf, -Inf, lp - log_q)
  replicate <- join("replicate")
  pair <- join("pair") + rep(cumsum(c(0, n))[seq_along(n)], n)
  smooth <- pair_weights(ratio, pair)
  list(z = z, gradient = join("gradient", cbind), lp = lp, values = join("values", cbind),
    replicate = replicate,
    weights = smooth$weights, khat = smooth$khat, ess = 1 / sum(smooth$weights^2),
    log_evidence = log_mean_exp(ratio), evidence_error = evidence_error(ratio, replicate))
}

log_mean_exp <- function(x) {
  top <- max(x)
  if (top == -Inf) -Inf else top + log(mean(exp(x - top)))
}

evidence_error <- function(ratio, replicate) {
  w <- exp(ratio - max(ratio))
  means <- tapply(w, replicate, mean)
  stats::sd(means) / sqrt(length(means)) / mean(w)
}

# Smoothed are the sums of antithetic pairs: skewness cancels within a pair.
pair_weights <- function(ratio, pair) {
  w <- exp(ratio - max(ratio))
  sums <- rowsum(w, pair)[, 1L]
  smooth <- smooth_log_weights(log(sums))
  factor <- ifelse(sums > 0, exp(smooth$log_weights) / sums, 0)
  w <- w * factor[match(pair, as.numeric(names(sums)))]
  list(weights = w / sum(w), khat = smooth$khat)
}

# Pareto-smoothed logarithms of weights and the tail's shape.
smooth_log_weights <- function(log_w) {
  keep <- log_w > max(log_w) - 600
  out <- rep(-Inf, length(log_w))
  if (sum(keep) < 26L) { # too few to have a tail
    out[keep] <- log_w[keep] - max(log_w) - log(sum(exp(log_w[keep] - max(log_w))))
    return(list(log_weights = out, khat = Inf))
  }
  psis <- suppressWarnings(loo::psis(log_w[keep], r_eff = 1)) # k-hat is acted on here
  out[keep] <- stats::weights(psis, normalize = TRUE, log = TRUE)[, 1L]
  k <- psis$diagnostics$pareto_k
  list(log_weights = out, khat = if (is.finite(k)) k else -Inf)
}
