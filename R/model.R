# The model object: everything an engine needs, and nothing it does not.
#
# It keeps the Gram and the resolved prior; the rows stay in the model frame, which
# is kept by reference (or dropped with model = FALSE).

build_model <- function(call, formula, data, family, prior, contrasts, keep_frame, env) {
  check_family(family)
  d <- build_design(call, formula, data, contrasts, env)
  gram <- gram_of_rows(list(
    X = d$X, y = d$y, offset = d$offset, w = d$w,
    codes = d$group$codes, levels = d$group$levels
  ))
  check_gram(gram, d)
  coords <- working_coordinates(gram, d$X)
  group <- if (!is.null(d$group)) d$group[c("name", "expr", "levels")]
  resolved <- resolve_priors(prior, gram_scales(gram), coords, gram$x_names, group)
  check_identified(gram, coords, resolved, group)
  structure(
    list(
      formula = d$formula, terms = d$terms, xlevels = d$xlevels, contrasts = d$contrasts,
      family = stats::gaussian(), frame = if (keep_frame) d$frame,
      na_action = attr(d$frame, "na.action"), x_names = gram$x_names,
      response = names(d$frame)[1L], n_rows = nrow(d$frame),
      weighted = !is.null(d$w), group = group, gram = gram, coords = coords,
      prior = prior, resolved = resolved
    ),
    class = "meanfield_model"
  )
}

check_family <- function(family) {
  if (is.character(family) && length(family) == 1L) {
    family <- tryCatch(get(family, mode = "function", envir = asNamespace("stats")),
      error = function(e) NULL)
  }
  if (is.function(family)) family <- tryCatch(family(), error = function(e) NULL)
  ok <- inherits(family, "family") && family$family == "gaussian" && family$link == "identity"
  if (!ok) {
    mf_abort("family", "`family` must be gaussian() with the identity link in this version",
      arg = "family")
  }
}

# Non-finite data show in the Gram: no extra pass over the rows is needed.
check_gram <- function(gram, d) {
  p <- length(gram$x_names)
  if (all(is.finite(gram$cross)) && all(is.finite(gram$zv))) return(invisible())
  used <- if (is.null(d$w)) rep(TRUE, length(d$y)) else d$w > 0
  bad_x <- vapply(seq_len(p), function(j) any(!is.finite(d$X[used, j])), NA)
  if (any(!is.finite(d$y[used]))) {
    mf_abort("response", "the response `", names(d$frame)[1L],
      "` has missing or infinite values: remove those rows or use na.action = na.omit",
      arg = "formula")
  }
  if (any(bad_x)) {
    mf_abort("data", "the model matrix has missing or infinite values in ",
      toString(gram$x_names[bad_x]), arg = "data")
  }
  mf_abort("data", "sums of squares overflow: rescale the response or the predictors",
    arg = "data")
}

# ---- working coordinates --------------------------------------------------------

# beta = shift + M gamma. With an intercept, gamma is the coefficient vector of the
# centred predictors and shift puts the mean response into the intercept; without
# one, M is the identity, and shift = mean(y) c where X c = 1 if such a c exists.
# Nothing downstream ever subtracts large means from each other.
working_coordinates <- function(gram, X) {
  p <- length(gram$x_names)
  mean_x <- gram$mean[seq_len(p)]
  mean_y <- gram$mean[p + 1L]
  intercept <- match("(Intercept)", gram$x_names, 0L)
  if (intercept > 0L && !(gram$cross[intercept, intercept] == 0 && mean_x[intercept] == 1)) {
    intercept <- 0L # a predictor of that name
  }
  M <- diag(1, p)
  shift <- rep(0, p)
  if (intercept > 0L) {
    M[intercept, -intercept] <- -mean_x[-intercept]
    shift[intercept] <- mean_y
  } else {
    shift <- mean_y * constant_combination(gram, mean_x)
  }
  list(
    intercept = intercept, M = M, shift = shift, mean_x = mean_x,
    y_centred = any(shift != 0) || mean_y == 0
  )
}

# c with X c = 1 on every row, or zeros when there is none. From the Gram:
# sum w (x'c - 1)^2 = (c'mean - 1)^2 W + c'cross c.
constant_combination <- function(gram, mean_x) {
  p <- length(mean_x)
  if (p == 0L) return(numeric())
  A <- gram$cross[seq_len(p), seq_len(p), drop = FALSE] + gram$sum_w * tcrossprod(mean_x)
  scale <- sqrt(diag(A))
  scale[scale == 0] <- 1
  eig <- eigen(A / tcrossprod(scale), symmetric = TRUE)
  keep <- eig$values > 1e-12 * eig$values[1L]
  V <- eig$vectors[, keep, drop = FALSE]
  rhs <- gram$sum_w * mean_x / scale
  coef <- drop(V %*% (crossprod(V, rhs) / eig$values[keep])) / scale
  fit <- sum(coef * mean_x)
  if (abs(fit - 1) < 1e-9) coef else rep(0, p)
}

to_working <- function(coords, beta) {
  gamma <- beta - coords$shift
  j <- coords$intercept
  if (j > 0L) gamma[j] <- gamma[j] + sum(coords$mean_x[-j] * gamma[-j])
  gamma
}

to_raw <- function(coords, gamma) drop(coords$shift + coords$M %*% gamma)

to_raw_cov <- function(coords, S) coords$M %*% S %*% t(coords$M)

# Draws in columns (p x n) of gamma to draws of beta.
to_raw_draws <- function(coords, gamma) coords$shift + coords$M %*% gamma

# ---- the list the C core reads ----------------------------------------------------

# Arrow Gram C'WC, C'Wy and y'Wy in working coordinates plus the prior; see r_model().
lmm_core <- function(model) {
  g <- model$gram
  p <- length(g$x_names)
  G <- length(g$levels)
  x <- seq_len(p)
  w <- working_gram(g, model$coords)
  b <- working_beta_prior(model$resolved$beta, model$coords)
  list(
    n_global = p, n_leaf = G, r = g$r, p = p,
    ptr = as.integer(seq.int(0, by = p, length.out = G + 1L)),
    idx = rep.int(x - 1L, G),
    global = w$XX, leaf = g$zz, cross = w$XZ, h = c(w$Xy, w$Zy), yy = w$yy,
    n = g$n, sum_log_w = g$sum_log_w,
    flat = b$flat, Tb = b$Tb, mu = b$mu, logdet_Tb = b$logdet,
    prior = vapply(model$resolved$tau, core_precision_prior, numeric(4))
  )
}

working_gram <- function(g, coords) {
  p <- length(g$x_names)
  x <- seq_len(p)
  XX <- g$cross[x, x, drop = FALSE]
  Xy <- g$cross[x, p + 1L]
  yy <- g$cross[p + 1L, p + 1L]
  XZ <- g$zv[x, , drop = FALSE]
  Zy <- g$zv[p + 1L, ]
  mean_x <- g$mean[x]
  mean_y <- g$mean[p + 1L]
  j <- coords$intercept
  if (j > 0L) { # the centred predictors are orthogonal to the constant
    XX[j, ] <- XX[, j] <- 0
    XX[j, j] <- g$sum_w
    XZ[j, ] <- g$z1
    return(list(XX = XX, Xy = Xy, yy = yy, XZ = as.double(XZ), Zy = Zy))
  }
  XX <- XX + g$sum_w * tcrossprod(mean_x)
  XZ <- XZ + tcrossprod(mean_x, g$z1)
  if (!coords$y_centred) {
    Xy <- Xy + g$sum_w * mean_x * mean_y
    yy <- yy + g$sum_w * mean_y^2
    Zy <- Zy + g$z1 * mean_y
  }
  list(XX = XX, Xy = Xy, yy = yy, XZ = as.double(XZ), Zy = Zy)
}

# c(shape, rate, df, 1 / scale^2) of src/lmm.h.
core_precision_prior <- function(prior) {
  switch(prior$kind,
    gamma = c(prior$shape, prior$rate, 0, 0),
    half_t = c(prior$df / 2, 0, prior$df, 1 / prior$scale^2)
  )
}

precision_names <- function(model) names(model$resolved$tau)

# ---- what the data can say --------------------------------------------------------

check_identified <- function(gram, coords, resolved, group) {
  flat <- resolved$beta$kind == "flat"
  p <- length(gram$x_names)
  if (flat && p > 0L) check_full_rank(gram, coords)
  if (is.null(group)) return(invisible())
  G <- length(group$levels)
  n <- gram$n
  if (G > 1L && G < n) return(invisible())
  what <- if (G == 1L) "has only one level" else "has one level per row"
  why <- if (G == 1L) {
    "its variance is known from the prior alone"
  } else {
    "group and residual variance are told apart by their priors alone"
  }
  if (flat) {
    mf_abort("groups", "the grouping factor '", group$name, "' ", what,
      ", and the coefficients have a flat prior: use a proper `prior` on beta, ",
      "or drop the term", arg = "formula")
  }
  mf_warn("groups", "the grouping factor '", group$name, "' ", what, ": ", why,
    arg = "formula")
}

check_full_rank <- function(gram, coords) {
  p <- length(gram$x_names)
  A <- working_gram(gram, coords)$XX
  scale <- sqrt(diag(A))
  zero <- scale == 0
  scale[zero] <- 1
  qr <- qr(A / tcrossprod(scale), tol = 1e-10)
  if (qr$rank == p && !any(zero)) return(invisible())
  aliased <- gram$x_names[sort(qr$pivot[-seq_len(qr$rank)])]
  mf_abort("rank", "the model matrix is rank deficient (aliased: ",
    toString(c(utils::head(aliased, 8), if (length(aliased) > 8) "...")),
    ") and the coefficients have a flat prior: drop these columns or use a proper ",
    "`prior` on beta", arg = "prior")
}
