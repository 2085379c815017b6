# A Gaussian mixture in plain R, in raw units, by coordinate ascent one factor at a time: the
# bound term by term, and linear response by its definition. Nothing here calls the package.
#
# prior: list(m0, k0, P0, df0, rate0, alpha0, nw); nw = 1 when mu | Lambda ~ N(m0, (k0 Lambda)^-1).
# Flat: k0 = 0, P0 = 0, rate0 = 0, df0 = P + 1, alpha0 = 1, nw = 0.

twin_flat <- function(P) {
  list(m0 = numeric(P), k0 = 0, P0 = matrix(0, P, P), df0 = P + 1, rate0 = matrix(0, P, P),
    alpha0 = 1, nw = 0)
}

# The twin's prior of a package model.
twin_prior <- function(model) {
  pr <- model$prior
  P <- ncol(model$x)
  zero <- matrix(0, P, P)
  list(m0 = pr$mean, k0 = pr$k0, P0 = if (is.null(pr$cov)) zero else solve(pr$cov),
    df0 = pr$df, rate0 = if (pr$flat_precision) zero else solve(pr$scale), alpha0 = pr$alpha,
    nw = as.numeric(pr$k0 > 0))
}

twin_lower <- function(P) which(lower.tri(diag(P), diag = TRUE), arr.ind = TRUE)

# tilt: a list per component of mu (P), Lambda (lower triangle), log_det, log_pi: the log joint
# gains their inner product with the statistics.
twin_no_tilt <- function(P, K) {
  lapply(seq_len(K), function(k) list(mu = numeric(P), Lambda = numeric(P * (P + 1) / 2),
    log_det = 0, log_pi = 0))
}

twin_expectations <- function(q) {
  P <- nrow(q$m)
  q$L <- lapply(seq_along(q$df), function(k) q$df[k] * solve(q$rate[[k]]))
  q$log_det <- vapply(seq_along(q$df), function(k) {
    sum(digamma((q$df[k] + 1 - seq_len(P)) / 2)) + P * log(2) -
      as.numeric(determinant(q$rate[[k]])$modulus)
  }, 0)
  q$log_pi <- digamma(q$alpha) - digamma(sum(q$alpha))
  q
}

twin_logits <- function(x, q) {
  P <- ncol(x)
  vapply(seq_along(q$df), function(k) {
    d <- sweep(x, 2, q$m[, k])
    q$log_pi[k] + q$log_det[k] / 2 - P / 2 * log(2 * pi) -
      (rowSums((d %*% q$L[[k]]) * d) + sum(q$L[[k]] * q$S[[k]])) / 2
  }, numeric(nrow(x)))
}

twin_sweep <- function(x, prior, q, tilt) {
  P <- ncol(x)
  logit <- twin_logits(x, q)
  r <- exp(logit - apply(logit, 1, max))
  r <- r / rowSums(r)
  for (k in seq_along(q$df)) {
    N <- sum(r[, k])
    ab <- twin_lower(P)
    tilted <- matrix(0, P, P)
    for (i in seq_len(nrow(ab))) {
      a <- ab[i, 1]
      b <- ab[i, 2]
      tilted[a, b] <- tilted[a, b] + tilt[[k]]$Lambda[i]
      tilted[b, a] <- tilted[b, a] + tilt[[k]]$Lambda[i]
    }
    L <- q$L[[k]]
    q$S[[k]] <- solve((prior$k0 + N) * L + prior$P0)
    q$m[, k] <- q$S[[k]] %*% (L %*% (prior$k0 * prior$m0 + colSums(r[, k] * x)) +
      prior$P0 %*% prior$m0 + tilt[[k]]$mu)
    d <- sweep(x, 2, q$m[, k])
    e <- q$m[, k] - prior$m0
    q$rate[[k]] <- prior$rate0 + prior$k0 * (tcrossprod(e) + q$S[[k]]) +
      crossprod(d, r[, k] * d) + N * q$S[[k]] - tilted
    q$df[k] <- prior$df0 + N + prior$nw + 2 * tilt[[k]]$log_det
    q$alpha[k] <- prior$alpha0 + N + tilt[[k]]$log_pi
  }
  q$r <- r
  twin_expectations(q)
}

twin_start <- function(x, label, prior) {
  K <- max(label)
  P <- ncol(x)
  own <- lapply(seq_len(K), function(k) x[label == k, , drop = FALSE])
  q <- list(m = vapply(own, colMeans, numeric(P)), df = vapply(own, nrow, 0) + P,
    alpha = vapply(own, nrow, 0))
  dim(q$m) <- c(P, K)
  q$S <- lapply(own, function(d) stats::cov(d) / nrow(d))
  q$rate <- lapply(own, function(d) stats::cov(d) * nrow(d))
  twin_expectations(q)
}

twin_means <- function(q) {
  low <- lower.tri(diag(nrow(q$m)), diag = TRUE)
  unlist(lapply(seq_along(q$df), function(k) {
    c(q$m[, k], q$L[[k]][low], q$log_det[k], q$log_pi[k])
  }))
}

twin_fit <- function(x, prior, from, tilt = twin_no_tilt(ncol(x), length(from$df)), tol = 1e-14) {
  last <- twin_means(from)
  for (it in 1:50000) {
    from <- twin_sweep(x, prior, from, tilt)
    now <- twin_means(from)
    if (max(abs(now - last) / (1e-3 + abs(now))) < tol) return(from)
    last <- now
  }
  stop("mixture twin: no fixed point")
}

# The bound, a term at a time, r at its optimum for the other factors.
twin_elbo <- function(x, prior, q) {
  P <- ncol(x)
  K <- length(q$df)
  logit <- twin_logits(x, q)
  r <- exp(logit - apply(logit, 1, max))
  r <- r / rowSums(r)
  out <- sum(r * logit) - sum(ifelse(r > 0, r * log(r), 0))
  log_z <- function(df, rate) { # of Wishart(df, rate^-1)
    df * P / 2 * log(2) + P * (P - 1) / 4 * log(pi) +
      sum(lgamma((df + 1 - seq_len(P)) / 2)) - df / 2 * as.numeric(determinant(rate)$modulus)
  }
  quad <- function(A, e) sum(e * (A %*% e))
  for (k in seq_len(K)) {
    e <- q$m[, k] - prior$m0
    L <- q$L[[k]]
    if (prior$nw == 1) {
      out <- out + (q$log_det[k] + P * log(prior$k0 / (2 * pi)) -
        prior$k0 * (quad(L, e) + sum(L * q$S[[k]]))) / 2
    } else if (any(prior$P0 != 0)) {
      out <- out + (as.numeric(determinant(prior$P0)$modulus) - P * log(2 * pi) -
        quad(prior$P0, e) - sum(prior$P0 * q$S[[k]])) / 2
    }
    out <- out + (P * (1 + log(2 * pi)) + as.numeric(determinant(q$S[[k]])$modulus)) / 2
    out <- out + (prior$df0 - P - 1) / 2 * q$log_det[k] - sum(prior$rate0 * L) / 2
    if (any(prior$rate0 != 0)) out <- out - log_z(prior$df0, prior$rate0)
    out <- out - ((q$df[k] - P - 1) / 2 * q$log_det[k] - q$df[k] * P / 2 -
      log_z(q$df[k], q$rate[[k]]))
  }
  a0 <- rep(prior$alpha0, K)
  out + sum((a0 - q$alpha) * q$log_pi) + lgamma(sum(a0)) - sum(lgamma(a0)) -
    lgamma(sum(q$alpha)) + sum(lgamma(q$alpha))
}

# Columns of the linear-response covariance: derivative of all means in each tilt, from
# differences at h and 2h, which cancel the h^2 error. sd: MFVB SDs, for the step.
twin_lrvb <- function(x, prior, q, sd, step = 2e-3) {
  P <- ncol(x)
  K <- length(q$df)
  skeleton <- twin_no_tilt(P, K)
  vapply(seq_along(sd), function(j) {
    h <- step / sd[j]
    at <- function(s) {
      flat <- replace(numeric(length(sd)), j, s)
      twin_means(twin_fit(x, prior, q, utils::relist(flat, skeleton)))
    }
    (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
  }, numeric(length(sd)))
}

# bayesm's mixture sampler for a 2-component fit in two dimensions with the fit's own prior
# (Sigma ~ IW(df, V), mu | Sigma ~ N(mean, Sigma / k0)), relabelled by the first mean.
bayesm_draws <- function(data, fit, V, R) {
  pr <- fit$model$prior
  invisible(utils::capture.output(out <- bayesm::rnmixGibbs(
    Data = list(y = as.matrix(data)),
    Prior = list(Mubar = matrix(pr$mean, 1), A = matrix(pr$k0), nu = pr$df, V = V,
      a = rep(pr$alpha, 2), ncomp = 2),
    Mcmc = list(R = R, keep = 1, nprint = 0)
  )))
  keep <- seq.int(R %/% 10 + 1L, R)
  first <- t(vapply(out$nmix$compdraw[keep], function(d) c(d[[1]]$mu[1], d[[2]]$mu[1]), numeric(2)))
  x <- colnames(fit$model$x)
  one <- function(k) {
    t(vapply(seq_along(keep), function(i) {
      own <- order(first[i, ])[k]
      d <- out$nmix$compdraw[[keep[i]]][[own]]
      L <- tcrossprod(d$rooti)
      c(d$mu, L[1, 1], L[2, 1], L[2, 2], log(out$nmix$probdraw[keep[i], own]))
    }, numeric(6)))
  }
  draws <- cbind(one(1), one(2))
  colnames(draws) <- unlist(lapply(1:2, function(k) c(sprintf("mu[%d,%s]", k, x),
    sprintf("Lambda[%d,%s,%s]", k, x[c(1, 1, 2)], x[c(1, 2, 2)]), sprintf("log_pi[%d]", k))))
  as.list(as.data.frame(draws, check.names = FALSE))
}
