# From the optimum to posterior moments: linear response, unconstrained coordinates.

# Everything the methods report, in the user's coordinates:
#   beta: mean, cov_mfvb, cov_lrvb
#   u:    mean, var_mfvb, var_lrvb of all random effects, in the order of theta
#   tau:  the precisions. names, index (positions of each one's statistics), df;
#         mean, cov_mfvb, cov_lrvb of the statistics (tau, vech Lambda);
#         psi: list(mean, cov_mfvb, cov_lrvb, cross, index), unconstrained coordinates: log tau
#         of a scalar, scale-free of a matrix; cross = Cov(statistics, psi);
#         failed: precisions that linear response failed for.
vb_posterior <- function(vb, model) {
  model <- unclass(model)
  p <- length(model$x_names)
  x <- seq_len(p)
  n_stat <- ncol(vb$J)
  s <- seq_len(n_stat)
  names <- precision_names(model)
  index <- stat_index(model)
  lr <- linear_response(vb, model, index)
  Sigma <- lr$Sigma[s, s, drop = FALSE]
  effects <- p + seq_len(length(vb$mean) - p)
  Jb <- vb$J[x, , drop = FALSE]
  Ju <- vb$J[effects, , drop = FALSE]
  S_bb <- beta_covariance(vb, x) # response at fixed precisions; with joint blocks, q's own
  var_u <- vb$var_u %||% effect_variances(model, vb$S_global, vb$s_leaf)
  stats <- stat_names(model)
  list(
    beta = list(
      mean = stats::setNames(to_raw(model$coords, vb$mean[x]), model$x_names),
      cov_mfvb = label(to_raw_cov(model$coords, own_beta_covariance(vb, x)), model$x_names),
      cov_lrvb = label(to_raw_cov(model$coords, S_bb + Jb %*% Sigma %*% t(Jb)), model$x_names)
    ),
    u = list(mean = vb$mean[effects],
      var_mfvb = vb$var_u %||% effect_variances(model, vb$Sq_global, vb$sq_leaf),
      var_lrvb = var_u + rowSums((Ju %*% Sigma) * Ju)),
    tau = list(
      names = names, index = index, df = vb$df,
      mean = set_names(vb$t[s], stats), cov_mfvb = label(vb$V[s, s, drop = FALSE], stats),
      cov_lrvb = label(Sigma, stats),
      psi = lr$psi, failed = lr$failed
    )
  )
}

# Of the coefficients, in working coordinates at fixed precisions; x: their positions.
beta_covariance <- function(vb, x) vb$S_beta %||% block_head(vb$S_global, x)
own_beta_covariance <- function(vb, x) vb$S_beta %||% block_head(vb$Sq_global, x)

# theta's covariance at fixed precisions, its response; core: for its shape.
theta_covariance <- function(fit, core) {
  if (is_iterated(core)) return(iterated(core, fit$vb$t[seq_len(core$layout$dim$stats)]))
  arrow(core, fit$vb$S_global, fit$vb$d_inv, fit$vb$q)
}

# q's own: with joint blocks the response, with separate ones block diagonal.
own_covariance <- function(fit, core) {
  if (!identical(fit$model$blocks, "separate")) return(theta_covariance(fit, core))
  arrow(core, fit$vb$Sq_global, fit$vb$sq_leaf, 0 * fit$vb$q)
}

# Moments of psi under q and under linear response. For a scalar, log tau exactly: with
# c = Cov_q(tau, log tau) = 1 / rate, Cov(log tau_i, log tau_j) = delta trigamma + c_i K_ij c_j.
# For a matrix, scale-free coordinates by the delta method at E[Lambda]: c = V D'.
unconstrained_moments <- function(vb, lr, index, model) {
  n <- ncol(vb$J)
  s <- seq_len(n)
  V <- vb$V[s, s, drop = FALSE]
  K <- lr$K[s, s, drop = FALSE]
  mean <- numeric(n)
  C <- matrix(0, n, n) # Cov_q(statistics, psi)
  Q <- matrix(0, n, n) # Cov_q(psi)
  point <- is_dispersion(model, seq_along(index))
  for (k in seq_along(index)) {
    at <- index[[k]]
    t <- vb$t[at]
    if (point[k]) { # its variance is that of log phi itself
      mean[at] <- log(t)
      C[at, at] <- V[at, at] / t
      Q[at, at] <- V[at, at] / t^2
    } else if (length(at) == 1L) {
      shape <- vb$df[k] / 2
      mean[at] <- digamma(shape) - log(shape / t)
      C[at, at] <- t / shape
      Q[at, at] <- trigamma(shape)
    } else {
      mean[at] <- scale_free(t)
      D <- numeric_jacobian(scale_free, t, scale_free_rows)
      C[at, at] <- V[at, at] %*% t(D)
      Q[at, at] <- D %*% V[at, at] %*% t(D)
    }
  }
  list(mean = mean, cov_mfvb = Q, cov_lrvb = Q + t(C) %*% K %*% C, cross = C + V %*% K %*% C)
}

# Sigma and K of all globals. Where V^-1 - C is not positive definite, or its response
# absurd, the precision that spoils it most is frozen at its mean-field variance (with its
# auxiliaries), and so on until the rest has a linear response.
linear_response <- function(vb, model, index) {
  names <- precision_names(model)
  owner <- precision_of_t(model)
  q <- length(vb$t)
  lr <- if (vb$lr_ok == 1) vb[c("Sigma", "K")]
  on <- rep(TRUE, length(names))
  repeat {
    if (!is.null(lr)) {
      psi <- unconstrained_moments(vb, lr, index, model)
      bad <- which(on & own_log_sds(psi$cov_lrvb, index) >= MAX_LOG_SD)
      if (!length(bad)) break
      on[bad] <- FALSE
    } else {
      on[worst_precision(vb, owner, on)] <- FALSE
    }
    if (!any(on)) break
    lr <- partial_response(vb, on[owner])
  }
  if (!any(on)) {
    lr <- list(Sigma = vb$V, K = matrix(0, q, q))
    psi <- unconstrained_moments(vb, lr, index, model)
  }
  c(lr, list(psi = psi, failed = names[!on]))
}

worst_precision <- function(vb, owner, on) {
  keep <- on[owner]
  root <- sqrt(diag(vb$V))[keep]
  M <- solve_safely(vb$V[keep, keep, drop = FALSE] / tcrossprod(root)) -
    vb$C[keep, keep, drop = FALSE] * tcrossprod(root)
  if (!all(is.finite(M))) return(which(on))
  load <- eigen(M, symmetric = TRUE)$vectors[, sum(keep)]^2
  which.max(vapply(seq_along(on), function(k) sum(load[owner[keep] == k]), 0))
}

solve_safely <- function(A) tryCatch(solve(A), error = function(e) A * NA)

# Linear response with some globals frozen: they keep V and do not interact.
partial_response <- function(vb, keep) {
  lr <- call_lr(vb$V[keep, keep, drop = FALSE], vb$C[keep, keep, drop = FALSE])
  if (is.null(lr)) return(NULL)
  Sigma <- vb$V
  K <- 0 * vb$V
  Sigma[keep, keep] <- lr$Sigma
  K[keep, keep] <- lr$K
  list(Sigma = Sigma, K = K)
}
