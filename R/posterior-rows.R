# The rows of a summary under one normal distribution.

# Of linear response, or q's own (type "mfvb").
normal_level_covariances <- function(fit, f, type) {
  x <- fit$model$factors[[f]]
  r <- length(x$coef)
  rows <- which(effect_table(fit$model)$factor == f) + length(fit$model$x_names)
  vb <- fit$vb
  own <- type == "mfvb"
  out <- if (f == 1L) {
    array(if (own) vb$sq_leaf else vb$s_leaf, c(r, r, length(x$levels)))
  } else {
    diagonal_blocks(if (own) vb$Sq_global else vb$S_global, rows[1L], r, length(x$levels))
  }
  if (own) return(out)
  J <- array(vb$J[rows, ], c(r, length(x$levels), ncol(vb$J)))
  Sigma <- fit$posterior$tau$cov_lrvb
  for (g in seq_along(x$levels)) {
    Jg <- matrix(J[, g, ], r)
    out[, , g] <- out[, , g] + Jg %*% Sigma %*% t(Jg)
  }
  out
}

# No number for a variance that the data say nothing about.
drop_unidentified <- function(out, model) {
  own <- sub("^(tau|Lambda)_u", "", model$unidentified %||% character())
  gone <- sub("^(log_)?(tau|Lambda|sigma)_u", "", out$variable) %in% own
  out[gone, vapply(out, is.numeric, NA)] <- NA_real_
  out
}

# One row per variable: the normal approximation on its own scale (loc, s_mfvb,
# s_lrvb; link "exp" for precisions and SDs) and the moments on the natural scale.
# type: beta, tau_e, tau_u, derived, u.
vb_rows <- function(fit, u = FALSE) {
  model <- fit$model
  rows <- c(
    list(beta_rows(fit)), lapply(seq_len(n_lead(model)), scalar_rows, fit = fit),
    lapply(seq_along(model$groups), function(k) {
      at <- k + n_lead(model)
      if (model$groups[[k]]$vector) vector_rows(fit, at) else scalar_rows(fit, at)
    }),
    if (u) list(u_rows(fit))
  )
  do.call(rbind, rows) %||% no_rows()
}

identity_rows <- function(variable, type, mean, s_mfvb, s_lrvb, source) {
  row_block(variable, type, mean, s_mfvb, s_lrvb, "identity", mean, s_mfvb, mean, s_lrvb,
    source)
}

beta_rows <- function(fit) {
  b <- fit$posterior$beta
  if (!length(b$mean)) return(NULL)
  identity_rows(beta_names(fit$model), "beta", unname(b$mean), sqrt(diag(b$cov_mfvb)),
    sqrt(diag(b$cov_lrvb)), "lrvb")
}

u_rows <- function(fit) {
  u <- fit$posterior$u
  if (!length(u$mean)) return(NULL)
  variance <- function(own, type) {
    user_effect_variances(fit$model, own, function(f) normal_level_covariances(fit, f, type))
  }
  identity_rows(u_names(fit$model), "u", drop(user_effects(fit$model, as.matrix(u$mean))),
    sqrt(variance(u$var_mfvb, "mfvb")), sqrt(variance(u$var_lrvb, "lrvb")), "lrvb")
}

# tau, log tau, sigma (and log sigma for a group term) of scalar precision k.
scalar_rows <- function(fit, k) {
  tau <- fit$posterior$tau
  at <- tau$index[[k]]
  name <- tau$names[k]
  source <- precision_source(tau, k)
  s <- sqrt(c(tau$phi$cov_mfvb[at, at], tau$phi$cov_lrvb[at, at]))
  l <- tau$phi$mean[at]
  lead <- k <= n_lead(fit$model)
  type <- if (!lead) "tau_u" else "tau_e"
  exists <- precision_moment_exists(fit$model, k)
  sig <- lapply(s, function(v) lognormal(-l / 2, v / 2))
  own <- own_scale_moments(fit, k, s)
  na <- if (exists) 1 else NA_real_
  out <- rbind(
    row_block(name, type, l, s[1L], s[2L], "exp", na * own[[1L]]$mean, na * own[[1L]]$sd,
      na * own[[2L]]$mean, na * own[[2L]]$sd, source),
    identity_rows(paste0("log_", name), if (exists) "derived" else type, l, s[1L], s[2L],
      source),
    if (!is_dispersion(fit$model, k)) row_block(sub("^tau", "sigma", name), "derived", -l / 2, s[1L] / 2, s[2L] / 2, "exp",
      sig[[1L]]$mean, sig[[1L]]$sd, sig[[2L]]$mean, sig[[2L]]$sd, source)
  )
  if (!exists) out$type[1L] <- "derived" # H and W use the log precision instead
  if (lead) return(out)
  rbind(out, identity_rows(sub("^tau", "log_sigma", name), "derived", -l / 2, s[1L] / 2,
    s[2L] / 2, source))
}

# Of q and of linear response: a gamma's of tau, with the same mean; log-normal of phi, for which q is
# normal in its logarithm.
own_scale_moments <- function(fit, k, s) {
  tau <- fit$posterior$tau
  at <- tau$index[[k]]
  if (is_dispersion(fit$model, k)) {
    # of a log phi as wide as that no mean is known, and none is said
    return(lapply(s, function(v) lapply(lognormal(tau$phi$mean[at], v), `*`, if (v < MAX_LOG_SD) 1 else NA)))
  }
  lapply(tau[c("cov_mfvb", "cov_lrvb")], function(V) {
    list(mean = unname(tau$mean[at]), sd = sqrt(V[at, at]))
  })
}

precision_source <- function(tau, k) if (tau$names[k] %in% tau$failed) "mfvb" else "lrvb"

# Lambda (lower triangle), sigma, log sigma and rho of vector precision k. SDs and
# correlations are functions of E[Lambda], their spread by the delta method on log sigma and
# atanh rho.
vector_rows <- function(fit, k) {
  tau <- fit$posterior$tau
  at <- tau$index[[k]]
  source <- precision_source(tau, k)
  exists <- precision_moment_exists(fit$model, k)
  term <- fit$model$groups[[k - n_lead(fit$model)]]
  names <- vector_names(term)
  map <- precision_map(term$A)
  t <- drop(map %*% tau$mean[at])
  s <- lapply(list(tau$cov_mfvb, tau$cov_lrvb), function(V) {
    sqrt(rowSums((map %*% V[at, at]) * map))
  })
  both <- lapply(list(tau$phi$cov_mfvb, tau$phi$cov_lrvb), function(V) {
    sd_correlation_moments(tau$phi$mean[at], V[at, at], term$A)
  })
  sd <- seq_along(names$sigma)
  rho <- length(sd) + seq_along(names$rho)
  block <- function(variable, type, rows, link, moments) {
    if (!length(rows)) return(NULL)
    m <- lapply(both, function(m) lapply(moments(m), `[`, rows))
    row_block(variable, type, both[[2L]]$loc[rows], both[[1L]]$s[rows], both[[2L]]$s[rows], link,
      m[[1L]]$mean, m[[1L]]$sd, m[[2L]]$mean, m[[2L]]$sd, source)
  }
  rbind(
    precision_matrix_rows(names$lambda, t, s, exists, source),
    block(names$sigma, "derived", sd, "exp", function(m) m$natural),
    block(sub("^sigma", "log_sigma", names$sigma), if (exists) "derived" else "tau_u", sd,
      "identity", function(m) list(mean = m$loc, sd = m$s)),
    block(names$rho, "derived", rho, "tanh", function(m) m$natural)
  )
}

# Diagonal elements are log-normal with their mean and SD, the others normal.
precision_matrix_rows <- function(variable, t, s, exists, source) {
  pairs <- lower_pairs(vech_order(length(t)))
  diagonal <- pairs$row == pairs$col
  log_s <- lapply(s, function(s) ifelse(diagonal, sqrt(log1p((s / t)^2)), s))
  na <- if (exists) 1 else NA_real_
  row_block(variable, if (exists) "tau_u" else "derived",
    ifelse(diagonal, log(abs(t)) - log_s[[2L]]^2 / 2, t), log_s[[1L]], log_s[[2L]],
    ifelse(diagonal, "exp", "identity"), na * t, na * s[[1L]], na * t, na * s[[2L]], source)
}
