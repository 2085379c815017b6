# The normal approximations of a mixed model's variables, in the rows of variable_table().

#' @export
normal_rows.regression_normal <- function(p, u = FALSE) {
  lead <- n_lead(p$model)
  blocks <- c(
    list(beta_numbers(p)),
    lapply(seq_along(p$tau$names), function(k) {
      vector <- k > lead && p$model$groups[[k - lead]]$vector
      if (vector) matrix_numbers(p, k) else scalar_numbers(p, k)
    }),
    if (u) list(effect_numbers(p))
  )
  out <- c(variable_table(p$model, u), stack_rows(blocks))
  out$link[out$link == "sinh"] <- "identity"
  own <- c("mean_mfvb", "sd_mfvb", "mean_lrvb", "sd_lrvb")
  out[own] <- lapply(out[own], function(x) ifelse(out$moment, x, NA_real_))
  list2DF(out)
}

# mfvb, lrvb: list(mean, sd) on the natural scale.
numbers <- function(loc, s_mfvb, s_lrvb, mfvb, lrvb, source) {
  list(loc = loc, s_mfvb = s_mfvb, s_lrvb = s_lrvb, mean_mfvb = mfvb$mean, sd_mfvb = mfvb$sd,
    mean_lrvb = lrvb$mean, sd_lrvb = lrvb$sd, source = rep_len(source, length(loc)))
}

# Of what is normal on its natural scale.
natural_numbers <- function(mean, s_mfvb, s_lrvb, source = "lrvb") {
  numbers(mean, s_mfvb, s_lrvb, list(mean = mean, sd = s_mfvb), list(mean = mean, sd = s_lrvb),
    source)
}

beta_numbers <- function(p) {
  natural_numbers(unname(p$beta$mean), unname(sqrt(diag(p$beta$cov_mfvb))),
    unname(sqrt(diag(p$beta$cov_lrvb))))
}

effect_numbers <- function(p) {
  variance <- function(own, type) {
    user_effect_variances(p$model, own, function(f) normal_level_covariances(p, f, type))
  }
  natural_numbers(drop(user_effects(p$model, as.matrix(p$u$mean))),
    sqrt(variance(p$u$var_mfvb, "mfvb")), sqrt(variance(p$u$var_lrvb, "lrvb")))
}

# tau, log tau, sigma and, of a group term, log sigma of scalar precision k; phi and its logarithm.
scalar_numbers <- function(p, k) {
  tau <- p$tau
  at <- tau$index[[k]]
  l <- tau$psi$mean[at]
  s <- sqrt(c(tau$psi$cov_mfvb[at, at], tau$psi$cov_lrvb[at, at]))
  rows <- seq_len(n_scalar_variables(p$model, k))
  spread <- function(s) c(s, s, s / 2, s / 2)[rows]
  own <- own_scale_moments(p, k, s)
  natural <- lapply(1:2, function(i) {
    sigma <- lognormal(-l / 2, s[i] / 2)
    list(mean = c(own[[i]]$mean, l, sigma$mean, -l / 2)[rows],
      sd = c(own[[i]]$sd, s[i], sigma$sd, s[i] / 2)[rows])
  })
  numbers(c(l, l, -l / 2, -l / 2)[rows], spread(s[1L]), spread(s[2L]), natural[[1L]], natural[[2L]],
    precision_source(tau, k))
}

# Of q and of linear response: a gamma's of tau, with the same mean; log-normal of phi, for which q
# is normal in its logarithm.
own_scale_moments <- function(p, k, s) {
  tau <- p$tau
  at <- tau$index[[k]]
  if (is_dispersion(p$model, k)) {
    # of a log phi as wide as that no mean is known, and none is said
    return(lapply(s, function(v) lapply(lognormal(tau$psi$mean[at], v), `*`,
      if (v < MAX_LOG_SD) 1 else NA)))
  }
  lapply(tau[c("cov_mfvb", "cov_lrvb")], function(V) {
    list(mean = unname(tau$mean[at]), sd = sqrt(V[at, at]))
  })
}

precision_source <- function(tau, k) if (tau$names[k] %in% tau$failed) "mfvb" else "lrvb"

# Lambda (lower triangle), sigma, log sigma and rho of vector precision k. SDs and
# correlations are functions of E[Lambda], their spread by the delta method on log sigma and
# atanh rho.
matrix_numbers <- function(p, k) {
  tau <- p$tau
  at <- tau$index[[k]]
  A <- p$model$groups[[k - n_lead(p$model)]]$A
  map <- precision_map(A)
  both <- lapply(list(tau$psi$cov_mfvb, tau$psi$cov_lrvb), function(V) {
    sd_correlation_moments(tau$psi$mean[at], V[at, at], A)
  })
  s <- lapply(list(tau$cov_mfvb, tau$cov_lrvb),
    function(V) sqrt(rowSums((map %*% V[at, at]) * map)))
  source <- precision_source(tau, k)
  sd <- seq_len(nrow(A))
  block <- function(rows, moments) {
    m <- lapply(both, function(m) lapply(moments(m), `[`, rows))
    numbers(both[[2L]]$loc[rows], both[[1L]]$s[rows], both[[2L]]$s[rows], m[[1L]], m[[2L]], source)
  }
  natural <- function(m) m$natural
  Map(c, precision_matrix_numbers(drop(map %*% tau$mean[at]), s, source), block(sd, natural),
    block(sd, function(m) list(mean = m$loc, sd = m$s)),
    block(setdiff(seq_along(both[[1L]]$loc), sd), natural))
}

# Diagonal elements are log-normal with their mean and SD, the others normal.
precision_matrix_numbers <- function(t, s, source) {
  pairs <- lower_pairs(vech_order(length(t)))
  diagonal <- pairs$row == pairs$col
  log_s <- lapply(s, function(s) ifelse(diagonal, sqrt(log1p((s / t)^2)), s))
  numbers(ifelse(diagonal, log(abs(t)) - log_s[[2L]]^2 / 2, t), log_s[[1L]], log_s[[2L]],
    list(mean = t, sd = s[[1L]]), list(mean = t, sd = s[[2L]]), source)
}

# Of linear response, or q's own (type "mfvb").
normal_level_covariances <- function(p, f, type) {
  x <- p$model$factors[[f]]
  r <- length(x$coef)
  vb <- p$vb
  if (is_iterated(p$model)) { # one coefficient a level
    return(array(p$u[[paste0("var_", type)]][effects_of(p$model, f)], c(1L, 1L, length(x$levels))))
  }
  if (type == "mfvb") return(level_blocks(p$model, f, vb$Sq_global, vb$sq_leaf))
  out <- level_blocks(p$model, f, vb$S_global, vb$s_leaf)
  J <- array(vb$J[effect_columns(p$model, f), ], c(r, length(x$levels), ncol(vb$J)))
  Sigma <- p$tau$cov_lrvb
  for (g in seq_along(x$levels)) {
    Jg <- matrix(J[, g, ], r)
    out[, , g] <- out[, , g] + Jg %*% Sigma %*% t(Jg)
  }
  out
}
