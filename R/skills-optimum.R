# The normal distribution nearest to the posterior of skills, of full rank or factorised, without
# sampling: the fixed point of
#   Sigma^-1 = prior precision + sum_pairs E[-l''(d)] a a',   m by Newton steps of the bound,
# with expectations over the two numbers that a pair depends on.
# Source: Opper and Archambeau (2009), Neural Computation 21, 786-792.

OPTIMUM_STEPS <- 200L
OPTIMUM_TOL <- 1e-9 # standard deviations, and relative to a precision

# As gaussian_vi(); NULL where the rules do not reach (differences of skills with SDs above 200) or
# no step improves the bound.
#' @export
gaussian_optimum.skills <- function(target, approximation) {
  full <- approximation == "fullrank"
  if (!full && approximation != "meanfield") return(NULL)
  at <- optimum_start(target, full)
  trace <- at$elbo
  for (step in seq_len(OPTIMUM_STEPS)) {
    at <- optimum_step(target, at, full)
    if (is.null(at)) return(NULL)
    trace <- c(trace, at$elbo)
    if (at$converged) break
  }
  if (!at$converged) return(NULL)
  out <- optimum_component(at, full, trace)
  out$response <- if (full) lifted_root(target, at, out$L) else factorised_root(target, at)
  out
}

# A root of the linear response of the full-rank optimum, as in gaussian_response(), whose third
# derivatives are T_abc = sum_pairs E[l'''] b_a b_b b_c, b = L' a. NULL with ties, and beyond
# MOST_PAIRS.
lifted_root <- function(target, at, L) {
  data <- target$user$data
  if (!is.null(data$tie_sd) || nrow(data$pairs) > MOST_PAIRS) return(NULL)
  third <- higher_terms(data, pair_moments(data, at$m, at$S))$third
  B <- crossprod(L, t(pair_design(data, length(at$m))))
  C <- B %*% tcrossprod(crossprod(B)^2 * tcrossprod(third) / 2, B)
  lower_chol(lifted_covariance(L, C))
}

MOST_PAIRS <- 2000L

# A root of the linear-response covariance of a factorised optimum, whose bound has the second
# derivatives [F_mm, F_mv; F_vm, F_vv] in means and variances v: (F_mm - F_mv F_vv^-1 F_vm)^-1, with
# d E f / dv = E f'' / 2. NULL with ties, and where there is no root.
# Source: Giordano, Broderick and Jordan (2015), arXiv:1506.04088.
factorised_root <- function(target, at) {
  data <- target$user$data
  if (!is.null(data$tie_sd)) return(NULL)
  e <- higher_terms(data, pair_moments(data, at$m, at$S))
  d <- length(at$m)
  v <- diag(at$S)
  F_mv <- powered_sums(data, d, -e$third / 2, 1, 2)
  F_vv <- powered_sums(data, d, -e$fourth / 4, 2, 2)
  diag(F_vv) <- diag(F_vv) + 1 / (2 * v^2)
  R <- root_or_null(F_vv)
  if (is.null(R)) return(NULL)
  H <- root_or_null(at$wanted - crossprod(backsolve(R, t(F_mv), transpose = TRUE)))
  if (!is.null(H)) lower_chol(chol2inv(H))
}

# Expected third and fourth derivatives of the log likelihood by d, by parts.
higher_terms <- function(data, q) {
  rule <- spread_rule(max(q$sd))
  d <- q$mean + outer(q$sd, rule$x)
  dd <- pair_terms(data$link, d, NULL, pair_counts(data$pairs))$dd
  list(third = drop(dd %*% (rule$w * rule$x)) / q$sd,
    fourth = drop(dd %*% (rule$w * (rule$x^2 - 1))) / q$sd^2)
}

# sum_pairs x a^p (a^q)', a as in pair_design(): without its matrix, which is too large where there
# are many pairs of many players.
powered_sums <- function(data, d, x, p, q) {
  pairs <- data$pairs
  home <- extra_places(data, d)$home
  at <- cbind(pairs$a, pairs$b, home)
  sign <- cbind(rep(1, nrow(pairs)), -1, if (!is.null(home)) pairs$side)
  out <- matrix(0, d, d)
  for (i in seq_len(ncol(at))) for (j in seq_len(ncol(at))) {
    sums <- rowsum(x * sign[, i]^p * sign[, j]^q, at[, i] + (at[, j] - 1) * d)
    place <- as.double(rownames(sums))
    out[place] <- out[place] + sums
  }
  out
}

# Pairs x coordinates.
pair_design <- function(data, d) {
  pairs <- data$pairs
  row <- seq_len(nrow(pairs))
  A <- matrix(0, nrow(pairs), d)
  A[cbind(row, pairs$a)] <- 1
  A[cbind(row, pairs$b)] <- -1
  home <- extra_places(data, d)$home
  if (!is.null(home)) A[, home] <- pairs$side
  A
}

optimum_component <- function(at, full, trace) {
  d <- length(at$m)
  spread <- if (full) list(L = t(chol(at$S))) else {
    sd <- sqrt(diag(at$S))
    list(sd = sd, omega = log(sd), E = factorised_points(factorised_size(d), d))
  }
  c(list(m = at$m), spread, list(elbo = at$elbo, converged = TRUE, reason = "",
    iterations = length(trace) - 1L, trace = data.frame(elbo = trace)), proposal_hints(d))
}

# Tails are those of the normal prior or lighter: a proposal with heavier ones loses its points
# where there are many players. least: points of the first round.
proposal_hints <- function(d) {
  list(df = max(IMPORTANCE_DF, d), least = if (d > 16L) 4096L else 2048L)
}

# From the fit before an update(), or from the curvature where all are equal.
optimum_start <- function(target, full) {
  warm <- target$warm
  if (!is.null(warm)) return(optimum_at(target, warm$m, warm$H, full))
  d <- target$d
  none <- optimum_at(target, target$init, diag(1e20, d), full)
  optimum_at(target, target$init, none$wanted, full)
}

# Whole steps in the mean and the precision, or shorter ones where these would lower the bound.
optimum_step <- function(target, at, full) {
  step <- newton_of(at)
  if (is.null(step)) return(NULL)
  for (rho in 2^-(0:20)) {
    now <- optimum_at(target, at$m + rho * step$move, (1 - rho) * at$H + rho * at$wanted, full)
    if (is.null(now)) next
    near <- max(step$decrement, step$change) < 1e-4 # where rounding hides what a step gains
    if (near || now$elbo >= at$elbo - 1e-12 * (1 + abs(at$elbo))) {
      now$converged <- rho == 1 && step$decrement < OPTIMUM_TOL && step$change < OPTIMUM_TOL
      return(now)
    }
  }
  NULL
}

newton_of <- function(at) {
  R <- root_or_null(at$wanted)
  if (is.null(R)) return(NULL)
  move <- drop(chol2inv(R) %*% at$slope)
  scale <- sqrt(diag(at$wanted))
  list(move = move, decrement = sqrt(max(sum(move * at$slope), 0)),
    change = max(abs(at$wanted - at$H) / tcrossprod(scale)))
}

# The bound at mean m and precision H (of which a factorised q has the diagonal), its slope in the
# mean, and the precision that the fixed point asks for.
optimum_at <- function(target, m, H, full) {
  data <- target$user$data
  d <- length(m)
  S <- if (full) chol2inv(root_or_null(H) %||% return(NULL)) else diag(1 / diag(H), d)
  if (anyNA(S) || any(diag(S) <= 0)) return(NULL)
  e <- expected_terms(data, pair_moments(data, m, S)) %||% return(NULL)
  prior <- coordinate_prior(data, d)
  off <- m - prior$mean
  log_det <- if (full) determinant(S)$modulus[1L] else sum(log(diag(S)))
  bound <- sum(e$value) + d / 2 + log_det / 2 -
    sum(log(prior$sd) + (off^2 + diag(S)) / (2 * prior$sd^2))
  wanted <- pair_curvature(data, e, d)
  diag(wanted) <- diag(wanted) + 1 / prior$sd^2
  if (!is.finite(bound) || anyNA(wanted)) return(NULL)
  list(m = m, H = H, S = S, elbo = bound, slope = pair_slope(data, e, d) - off / prior$sd^2,
    wanted = wanted, converged = FALSE)
}

# Mean and SD of the prior of the coordinates: skills, home, log tie.
coordinate_prior <- function(data, d) {
  extra <- c(data$home_sd, data$tie_sd)
  k <- d - length(extra)
  list(mean = c(numeric(k), if (!is.null(data$home_sd)) 0, data$tie_location),
    sd = c(rep(data$prior_sd, k), extra))
}

# Where home and log tie stand among d coordinates; NULL where the model has none.
extra_places <- function(data, d) {
  tied <- !is.null(data$tie_sd)
  list(home = if (!is.null(data$home_sd)) d - tied, tie = if (tied) d)
}

# ---- pairs ---------------------------------------------------------------------------------------

# Mean and SD of a pair's d, and of t, and their correlation.
pair_moments <- function(data, m, S) {
  pairs <- data$pairs
  at <- extra_places(data, length(m))
  cov_with <- function(j) S[pairs$a, j] - S[pairs$b, j]
  mean <- m[pairs$a] - m[pairs$b]
  v <- diag(S)
  var <- v[pairs$a] + v[pairs$b] - 2 * S[cbind(pairs$a, pairs$b)]
  h <- at$home
  if (!is.null(h)) {
    mean <- mean + pairs$side * m[h]
    var <- var + 2 * pairs$side * cov_with(h) + pairs$side^2 * v[h]
  }
  out <- list(mean = mean, sd = sqrt(pmax(var, 0)))
  if (is.null(at$tie)) return(out)
  cov <- cov_with(at$tie) + if (!is.null(h)) pairs$side * S[h, at$tie] else 0
  out$tie_mean <- m[at$tie]
  out$tie_sd <- sqrt(v[at$tie])
  out$cor <- pmin(pmax(cov / (out$sd * out$tie_sd), -1), 1)
  out$cor[!(out$sd * out$tie_sd > 0)] <- 0
  out
}

# Expectations of pair_terms() under these normal distributions: vectors over the pairs.
expected_terms <- function(data, q) {
  rule <- spread_rule(max(q$sd))
  if (is.null(rule)) return(NULL)
  t <- NULL
  if (!is.null(q$tie_sd)) {
    inner <- normal_rule(TIE_NODES)
    x <- rep(rule$x, TIE_NODES)
    y <- rep(inner$x, each = length(rule$x))
    rule <- list(x = x, w = rep(rule$w, TIE_NODES) * rep(inner$w, each = length(rule$w)))
    t <- q$tie_mean + q$tie_sd * (outer(q$cor, x) + outer(sqrt(1 - q$cor^2), y))
  }
  d <- q$mean + outer(q$sd, rule$x)
  lapply(pair_terms(data$link, d, t, pair_counts(data$pairs)), function(f) {
    if (!is.null(f)) drop(f %*% rule$w)
  })
}

TIE_NODES <- 16L
WIDEST <- 200 # SD of a difference

# Trapezoidal rule for expectations under the standard normal of functions of s x, with poles no
# nearer to the axis than pi: error exp(-2 pi^2 / h^2) of the normal, exp(-2 pi^2 / (h s)) of the
# function.
spread_rule <- function(s) {
  if (!is.finite(s) || s > WIDEST) return(NULL)
  h <- min(0.65, 0.62 / s)
  n <- ceiling(8.5 / h)
  x <- h * seq(-n, n)
  w <- stats::dnorm(x)
  list(x = x, w = w / sum(w))
}

pair_slope <- function(data, e, d) {
  c(player_sums(cbind(e$d), data$pairs), if (!is.null(data$home_sd)) sum(data$pairs$side * e$d),
    if (!is.null(data$tie_sd)) sum(e$t))
}

# Minus the expected second derivatives of the log likelihood.
pair_curvature <- function(data, e, d) {
  pairs <- data$pairs
  at <- extra_places(data, d)
  k <- d - length(unlist(at))
  each <- function(x) drop(player_sums(cbind(x), pairs))
  H <- matrix(0, d, d)
  diag(H)[seq_len(k)] <- drop(rowsum(rep(-e$dd, 2L), c(pairs$a, pairs$b)))
  for (s in unique(pairs$side)) { # within a side a pair stands once
    own <- pairs$side == s
    i <- cbind(pairs$a, pairs$b)[own, , drop = FALSE]
    H[i] <- H[i] + e$dd[own]
    H[i[, 2:1, drop = FALSE]] <- H[i]
  }
  fill <- function(H, j, x, own) {
    H[seq_len(k), j] <- H[j, seq_len(k)] <- each(x)
    H[j, j] <- own
    H
  }
  if (!is.null(at$home)) H <- fill(H, at$home, -pairs$side * e$dd, -sum(pairs$side^2 * e$dd))
  if (!is.null(at$tie)) H <- fill(H, at$tie, -e$dt, -sum(e$tt))
  if (length(unlist(at)) == 2L) {
    H[at$home, at$tie] <- H[at$tie, at$home] <- -sum(pairs$side * e$dt)
  }
  H
}
