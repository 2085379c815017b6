# Where engines start: variational factors and Gibbs chains.

# Over-dispersed: twice the linear-response SD of each unconstrained coordinate about its mean.
gibbs_start <- function(vb_fit, core) {
  tau <- vb_fit$posterior$tau
  s <- sqrt(pmax(diag(tau$psi$cov_lrvb), diag(tau$psi$cov_mfvb)))
  psi <- tau$psi$mean + pmin(2 * s, 3) * stats::rnorm(length(s))
  with_auxiliaries(core, as.double(psi_statistics(as.matrix(psi), tau$index)))
}

# Where covariates stand far from the origin that a prior holds, effects that are independent at the
# mean of the covariates are correlated ones at the origin. NULL when there are none.
centred_start <- function(core, start) {
  at <- stat_index(core)
  t <- start[seq_len(sum(lengths(at)))]
  far <- which(!vapply(core$prec, function(p) is.null(p$off_centre), NA))
  if (!length(far)) return(NULL)
  for (k in far) {
    off <- core$prec[[k]]$off_centre # z'u = (z - off)'v, u = (I - e off') v, e the intercept
    size <- term_mean_square(core, k)
    own <- diag(unvech(t[at[[k]]])) * pmax(1 - off$mean^2 / size, 1e-12)
    B <- diag(1, length(own)) + outer(off$constant, off$mean)
    Lambda <- crossprod(B, own * B)
    t[at[[k]]] <- Lambda[lower.tri(Lambda, diag = TRUE)]
  }
  with_auxiliaries(core, t)
}

# Precisions at 1 / scale^2 or at their prior's mean; NULL unless one of them is more than a
# factor of 100 away from the start. Vector terms keep their start.
prior_start <- function(core, start) {
  at <- stat_index(core)
  scalar <- vapply(core$prec, function(p) p$r == 1L, NA)
  prior <- vapply(core$prec[scalar], function(p) if (p$nu > 0) p$aux_rate else p$df0 / p$rate0[1L],
    0)
  k <- vapply(at[scalar], `[`, 0, 1L)
  far <- abs(log(prior / start[k])) > log(100)
  if (!any(far)) return(NULL)
  t <- start[seq_len(sum(lengths(at)))]
  t[k[far]] <- prior[far]
  with_auxiliaries(core, t)
}

# t followed by the auxiliaries at their update.
with_auxiliaries <- function(core, t) {
  at <- stat_index(core)
  aux <- lapply(seq_along(core$prec), function(k) {
    p <- core$prec[[k]]
    if (!(p$nu > 0)) return(NULL)
    own <- t[at[[k]][on_diagonal(p$r)]]
    (p$nu + p$r) / 2 / (p$nu * own + p$aux_rate)
  })
  c(t, unlist(aux))
}

# Starting values: half of the least-squares residual variance to the rows, half to the group
# terms (on the scale of a row of mean weight and a coefficient's own covariate).
vb_start <- function(core) {
  p <- core$p
  x <- seq_len(p)
  b <- if (p) ridge_solve(core) else numeric()
  rss <- core$yy - sum(b * (2 * core$h[x] - drop(fixed_gram(core) %*% b)))
  s2 <- max(rss, 1e-12 * core$yy) / max(core$n - p, 1)
  if (!(s2 > 0)) s2 <- 1
  terms <- length(core$prec) - 1L
  t <- unlist(lapply(seq_len(terms) + 1L, function(k) {
    size <- term_mean_square(core, k)
    size[size == 0] <- 1 # no row speaks of it
    vech_diagonal(2 * terms * size / s2)
  }))
  with_auxiliaries(core, c(if (terms) 2 / s2 else 1 / s2, t))
}

# sum w z^2 / n of each coefficient of precision k.
term_mean_square <- function(core, k) {
  own <- if (is.null(core$tables)) {
    gram_diagonal(core)[effect_rows(core, k)]
  } else {
    core$factors[[core$layout$precisions$factor[k]]]$d
  }
  r <- core$prec[[k]]$r
  if (r == 1L) sum(own) / core$n else rowSums(matrix(own, r)) / core$n
}

# vech of a diagonal matrix.
vech_diagonal <- function(x) {
  r <- length(x)
  out <- numeric(r * (r + 1L) / 2)
  out[on_diagonal(r)] <- x
  out
}

# Least squares of the fixed effects with just enough ridge to exist for any X.
ridge_solve <- function(core) {
  A <- fixed_gram(core)
  d <- diagonal(A)
  d[d == 0] <- 1
  scaled <- A / sqrt(tcrossprod(d)) + diag(1e-8, core$p)
  drop(chol2inv(spd_root(scaled)) %*% (core$h[seq_len(core$p)] / sqrt(d))) / sqrt(d)
}

# The likelihood's own parameter if it has one, precisions and auxiliaries: SDs of one unit of the
# link, over-dispersed by a factor of exp(1) on the precision scale.
glmm_gibbs_start <- function(core) {
  t <- glmm_vb_start(core)
  at <- stat_index(core)
  for (k in at) t[k] <- t[k] * exp(stats::rnorm(1L))
  with_auxiliaries(core, t[unlist(at)])
}

# Precisions: an SD of one unit of the link for every term, at its covariate's root mean square.
# The likelihood's own parameter, which stands first and governs no effects: 1.
glmm_vb_start <- function(core) {
  lead <- n_lead(core)
  terms <- lapply(which(seq_along(core$prec) > lead), function(k) {
    size <- term_mean_square(core, k) * core$n / core$sum_w
    size[size == 0] <- 1
    vech_diagonal(size)
  })
  with_auxiliaries(core, c(rep(1, lead), unlist(terms)))
}
