# Nested factors of Gaussian models are eliminated: what the fit keeps of S, on a pattern, is what
# dense algebra has there, whoever asks.

nested_data <- function(areas, subjects, rows) {
  set.seed(8)
  n <- areas * subjects * rows
  d <- data.frame(area = rep(seq_len(areas), each = subjects * rows),
    subject = rep(rep(seq_len(subjects), each = rows), areas), x = rnorm(n), item = gl(7, 1, n))
  d$region <- (d$area - 1) %/% 5
  u <- matrix(rnorm(2 * areas), areas)
  v <- matrix(rnorm(2 * areas * subjects), areas * subjects)
  k <- rep(seq_len(areas * subjects), each = rows)
  d$y <- 1 + d$x / 2 + u[d$area, 1] + .5 * u[d$area, 2] * d$x + .6 * v[k, 1] +
    .4 * v[k, 2] * d$x + rnorm(7, 0, .5)[d$item] + rnorm(n)
  d
}

# The Gram as a dense matrix, and P = tau_e G + T at statistics t.
dense_gram <- function(core) {
  g <- core$n_global
  r <- core$r
  G <- matrix(0, length(core$h), length(core$h))
  G[seq_len(g), seq_len(g)] <- if (is.list(core$global)) dense_block(core$global) else core$global
  for (l in seq_len(core$n_leaf)) {
    own <- g + (l - 1) * r + seq_len(r)
    listed <- core$ptr[l] + seq_len(core$ptr[l + 1] - core$ptr[l])
    col <- core$idx[listed] + 1
    G[own, own] <- core$leaf[(l - 1) * r * r + seq_len(r * r)]
    G[col, own] <- core$cross[core$ptr[l] * r + seq_len(length(col) * r)]
    G[own, col] <- t(G[col, own])
  }
  G
}

dense_precision_of <- function(core, G, t) {
  P <- t[1] * G
  x <- seq_len(core$p)
  P[x, x] <- P[x, x] + core$Tb
  for (k in seq_along(core$prec)[-1]) {
    rows <- matrix(effect_rows(core, k), core$prec[[k]]$r)
    for (l in seq_len(ncol(rows))) {
      P[rows[, l], rows[, l]] <- P[rows[, l], rows[, l]] + unvech(t[stat_index(core)[[k]]])
    }
  }
  P
}

expect_near <- function(got, want, tolerance = 1e-11) {
  expect_lte(max(abs(got - want)) / max(abs(want)), tolerance)
}

# Everything that the fit has of S, J and C.
expect_dense <- function(fit) {
  core <- lmm_core(fit$model)
  vb <- fit$vb
  stats <- seq_len(core$layout$dim$stats)
  t <- vb$t[stats]
  G <- dense_gram(core)
  P <- dense_precision_of(core, G, t)
  S <- solve(P)
  expect_true(is_packed(vb$S_global))
  at <- vb$S_global$pattern
  expect_lte(length(at$core), core$n_global / 2)
  mu <- c(core$mu, numeric(nrow(P) - core$p))
  # S is that of the sweep before the last step
  tol <- 1e-11
  expect_near(vb$mean, S %*% (t[1] * core$h + (P - t[1] * G) %*% mu), tol)
  head <- seq_len(core$p)
  expect_near(block_head(vb$S_global, head), S[head, head, drop = FALSE], tol)
  expect_near(effect_variances(core, vb$S_global, vb$s_leaf), diag(S)[-head], tol)
  i <- at$eidx + 1
  j <- rep(at$elim, diff(at$eptr)) + 1
  expect_near(block_elements(vb$S_global, i, j), S[cbind(i, j)], tol)
  expect_near(arrow_dense(theta_covariance(fit, core)), S, tol)
  for (f in seq_along(fit$model$factors)) {
    blocks <- level_blocks(fit$model, f, vb$S_global, vb$s_leaf)
    columns <- matrix(effect_columns(core, f), dim(blocks)[1])
    last <- columns[, ncol(columns)]
    expect_near(blocks[, , ncol(columns)], S[last, last], tol)
  }
  K <- lapply(stats, function(k) {
    e <- replace(numeric(length(stats)), k, 1)
    dense_precision_of(c(core[names(core) != "Tb"], list(Tb = 0)), G, e)
  })
  g <- cbind(core$h - G %*% vb$mean, -do.call(cbind, lapply(K[-1], `%*%`, vb$mean)))
  expect_near(vb$J, S %*% g, tol)
  KS <- lapply(K, `%*%`, S)
  A <- outer(stats, stats, Vectorize(function(a, b) sum(KS[[a]] * t(KS[[b]])) / 2)) +
    t(g) %*% S %*% g
  expect_near(vb$C[stats, stats], A, tol)
  for (f in c(-1, seq_along(fit$model$factors) - 1)) { # the coefficients, a factor's effects known
    gone <- if (f < 0) integer() else effect_columns(core, f + 1)
    keep <- setdiff(seq_len(nrow(P)), gone)
    expect_near(call_known_cov(core, t, f), solve(P[keep, keep])[head, head])
  }
}

test_that("a nested fit has what dense algebra has: scalars, slopes, levels, crossed, priors", {
  d <- nested_data(80, 3, 3)
  fit <- function(...) fit_vb(..., data = d, integrate = "no", control = vb_control(tol = 1e-11))
  expect_dense(fit(y ~ x + (1 | area / subject)))
  expect_dense(fit(y ~ x + (1 + x | area / subject), prior = priors(tau_u = wishart_prior(4, diag(2)))))
  expect_dense(fit(y ~ x + (1 + x | area / subject)))
  expect_dense(fit(y ~ x + (1 + x || area / subject), prior = priors(beta = flat_prior())))
  expect_dense(fit(y ~ x + (1 | region / area / subject)))
  expect_dense(fit(y ~ 0 + x + (1 | area / subject) + (1 | item)))
})

test_that("optimum and bound are the dense twin's", {
  d <- nested_data(30, 3, 2)
  d$inner <- interaction(d$subject, d$area, drop = TRUE, sep = ":")
  fit <- fit_vb(y ~ x + (1 | area / subject), d, integrate = "no",
    prior = priors(normal_prior(0, 10), gamma_prior(.5, .3), gamma_prior(2, 1)))
  expect_true(is_packed(fit$vb$S_global))
  one <- function(name, g) list(name = name, g = factor(g), z = cbind("(Intercept)" = rep(1, nrow(d))))
  ref <- dense_vb_general(cbind("(Intercept)" = 1, x = d$x),
    list(one("area", d$area), one("subject:area", d$inner)), d$y,
    prior = list(mean = 0, cov = diag(100, 2), e = d_gamma(.5, .3), u = list(d_gamma(2, 1), d_gamma(2, 1))))
  expect_equal(fit$vb$elbo, dense_elbo(ref), tolerance = 1e-9)
  cov <- dense_lrvb(ref)$lrvb
  names <- c("beta[(Intercept)]", "beta[x]", "tau_e", "tau_u[area]")
  expect_equal(vcov(fit, pars = "all")[names, names], cov[names, names], tolerance = 1e-6)
})

test_that("fits at given precisions, draws and rows are those of the dense matrix", {
  d <- nested_data(80, 2, 3)
  fit <- fit_vb(y ~ x + (1 + x | area / subject), d, integrate = "no")
  core <- lmm_core(fit$model)
  psi <- as.matrix(fit$posterior$tau$psi$mean)
  rows <- core_rows(fit$model, core, linear_parts(fit, NULL, NULL, TRUE))
  expect_type(rows$global, "list")
  run <- call_nest_mixture(core, vb_centre(core, fit$vb), psi, 1, blocks = TRUE, each = TRUE,
    dense = TRUE, rows = rows)$result
  t <- drop(psi_statistics(psi, stat_index(core)))
  S <- solve(dense_precision_of(core, dense_gram(core), t))
  expect_near(run$cov, S)
  expect_near(run$node_var, diag(S))
  expect_true(is_packed(run$cov_global))
  expect_near(diagonal_of_block(run$cov_global), diag(S)[seq_len(core$n_global)])
  C <- matrix(0, nrow(S), length(rows$leaf))
  C[cbind(rows$global$idx + 1, rep(seq_along(rows$leaf), diff(rows$global$ptr)))] <- rows$global$val
  for (i in seq_along(rows$leaf)) C[core$n_global + rows$leaf[i] * core$r + seq_len(core$r), i] <- rows$z[, i]
  expect_near(run$row_var, colSums(C * (S %*% C)))
  expect_near(run$row_mean, drop(crossprod(C, run$mean)))
  expect_near(rows_product(core, rows, fit$vb$J), crossprod(C, fit$vb$J))
  own <- theta_covariance(fit, core)
  set.seed(1)
  draws <- arrow_draws(own, 4000)
  sd <- sqrt(diag(arrow_dense(own)))
  expect_lt(max(abs(apply(draws, 1, sd) / sd - 1)), 5 / sqrt(2 * 4000))
  chain <- fit_gibbs(fit, iter = 1500, chains = 2)
  s <- as.data.frame(summary(chain))
  v <- as.data.frame(summary(fit))
  at <- match("beta[x]", s$variable)
  expect_lt(abs(s$mean[at] - v$mean[match("beta[x]", v$variable)]) / s$sd[at], .25)
})

test_that("ten times the levels take ten times the memory, and the limit is on what stays dense", {
  size <- function(areas) {
    fit <- fit_vb(y ~ x + (1 | area / subject), nested_data(areas, 2, 2), integrate = "no")
    as.double(object.size(fit$vb))
  }
  expect_lt(size(3000), 11 * size(300))
  fit <- fit_vb(y ~ x + (1 | area / subject), nested_data(8100, 2, 2), integrate = "no")
  expect_identical(length(fit$vb$S_global$pattern$core), 2L)
  expect_length(predict(fit, fit$model$frame[1:3, ], se.fit = TRUE)$se.fit, 3)
  expect_s3_class(sd_ratio_report(fit), "sd_ratio_report")
  expect_error(fit_vb(fit, blocks = "separate"), class = "meanfield_error_size")
  fit$vb$S_global$pattern$core <- 0:1
  fit$vb$S_global$elim <- NULL
  expect_error(summary(fit), class = "meanfield_error_fit")
})
