# Unbiased estimates of the ELBO's gradient from draws of q, for the stochastic optimisers.
#
#   z = m + L e,  e ~ N(0, I),  h = log p(z) - log q(z),  x: the coordinates of q
#   total:    d/dx log p(z(x)) + d/dx entropy                     the entropy's part is exact
#   pathwise: d/dx z . (grad log p(z) - grad log q(z))            q's own parameters held: no
#                                                                 variance where q = p
#   score:    d/dx log q(z) (h - b)                               needs no gradient; b must not
#                                                                 depend on the draw itself
# Sources: Roeder, Wu & Duvenaud (2017), "Sticking the landing"; Ranganath, Gerrish & Blei (2014),
# "Black box variational inference"; Kool, van Hoof & Welling (2019) for the leave-one-out baseline.

STOCHASTIC_ESTIMATORS <- c("pathwise", "total", "score")
STOCHASTIC_BASELINES <- c("loo", "control", "constant", "none")

# ---- coordinates: place x and e to z; path: d/dx of z . G; score: d/dx log q; a column per draw

# x = (m, log sd) or (m, sd).
meanfield_family <- function(d, log_sd = TRUE) {
  top <- seq_len(d)
  sd_of <- if (log_sd) function(x) exp(x[-top]) else function(x) x[-top]
  unit <- function(sd) if (log_sd) sd else 1 # d sd / d x
  list(
    d = d, sd = sd_of, mean = function(x) x[top],
    place = function(x, e) x[top] + sd_of(x) * e,
    path = function(x, e, G) rbind(G, G * e * unit(sd_of(x))),
    score = function(x, e) {
      sd <- sd_of(x)
      rbind(e / sd, (e^2 - 1) / sd * unit(sd))
    },
    entropy_slope = function(x) c(numeric(d), unit(sd_of(x)) / sd_of(x)),
    held = function(x, e) e / sd_of(x), # -grad log q
    log_det = function(x) sum(log(sd_of(x))),
    natural = function(x, g) {
      sd <- sd_of(x)
      move <- list(m = sd * g[top], s = g[-top] / unit(sd) * sd / 2) # in SDs and logs
      short <- shorter_step(move)
      c(sd * short$m, short$s * unit(sd) / (if (log_sd) sd else 1 / sd))
    }
  )
}

# x = (m, lower triangle of L by columns, logs on its diagonal).
fullrank_family <- function(d) {
  top <- seq_len(d)
  at <- which(lower.tri(diag(d), diag = TRUE), arr.ind = TRUE)
  on <- at[, 1L] == at[, 2L]
  root <- function(x) {
    L <- matrix(0, d, d)
    L[at] <- ifelse(on, exp(x[-top]), x[-top])
    L
  }
  scaled <- function(x, V) V * ifelse(on, exp(x[-top]), 1)
  pairs <- function(G, e) G[at[, 1L], , drop = FALSE] * e[at[, 2L], , drop = FALSE]
  held <- function(x, e) backsolve(root(x), e, upper.tri = FALSE, transpose = TRUE)
  list(
    d = d, sd = function(x) sqrt(rowSums(root(x)^2)), mean = function(x) x[top], root = root,
    place = function(x, e) x[top] + root(x) %*% e,
    path = function(x, e, G) rbind(G, scaled(x, pairs(G, e))),
    score = function(x, e) {
      u <- held(x, e)
      rbind(u, scaled(x, pairs(u, e)) - on)
    },
    entropy_slope = function(x) c(numeric(d), as.double(on)),
    held = held,
    log_det = function(x) sum(x[-top][on]),
    natural = function(x, g) {
      L <- root(x)
      slope <- matrix(0, d, d)
      slope[at] <- g[-top] / ifelse(on, exp(x[-top]), 1)
      bend <- crossprod(L, slope) * (lower.tri(L) + diag(0.5, d))
      short <- shorter_step(list(m = drop(crossprod(L, g[top])), s = bend))
      c(L %*% short$m, (L %*% short$s)[at] / ifelse(on, exp(x[-top]), 1))
    }
  )
}

# No spread: the mode, by stochastic gradients of the log density.
point_family <- function(d) {
  list(
    d = d, sd = function(x) numeric(d), mean = function(x) x,
    place = function(x, e) matrix(x, d, ncol(e)),
    path = function(x, e, G) G, entropy_slope = function(x) numeric(d),
    held = function(x, e) 0, log_det = function(x) 0, natural = function(x, g) g
  )
}

# A move (SDs of the mean, logs of SDs) of at most 2 sqrt(d) and, in each log, 1.
shorter_step <- function(move) {
  by <- max(1, sqrt(sum(move$m^2) / length(move$m)) / 2, abs(move$s))
  lapply(move, function(v) v / by)
}

# ---- estimates ------------------------------------------------------------------------------

# p x n: an unbiased estimate from each of the n draws (for score: together with the others). lp:
# log p; G: its gradient, NULL for score; before: mean of h in earlier steps.
gradient_estimates <- function(family, x, e, out, estimator, baseline = "loo", before = 0) {
  if (estimator == "total") {
    return(family$path(x, e, out$gradient) + family$entropy_slope(x))
  }
  if (estimator == "pathwise") {
    return(family$path(x, e, out$gradient + family$held(x, e)))
  }
  U <- family$score(x, e)
  h <- out$lp - log_q(family, x, e)
  U * (rep(h, each = nrow(U)) - baseline_of(baseline, U, h, before))
}

log_q <- function(family, x, e) {
  -colSums(e^2) / 2 - family$log_det(x) - nrow(e) / 2 * log(2 * pi)
}

# p x n. loo: mean of the other draws' h; control: the least-variance constant for each coordinate,
# mean U^2 h / mean U^2, of the others; constant: of earlier steps.
baseline_of <- function(baseline, U, h, before) {
  n <- length(h)
  switch(baseline,
    none = 0,
    constant = before,
    loo = rep((sum(h) - h) / (n - 1), each = nrow(U)),
    control = {
      weight <- U^2
      product <- weight * rep(h, each = nrow(U))
      (rowSums(product) - product) / (rowSums(weight) - weight)
    }
  )
}
