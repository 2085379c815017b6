# Is a fit what the methods take it for? Fits are plain lists: they are edited by hand, and read
# from files that other versions wrote. A method must then say so, not compute from what it finds.
#
# The checks are structural: types, lengths and dimensions that hang together, ranges of what
# indexes, finite numbers. Each returns the name of the first part that is wrong, or NULL; the shape
# of a part is a named list of lengths (one number) or dimensions (several) of numeric elements.

# x: a fit, or the description of a mixture.
no_mixture <- function(x, what, remedy) {
  if (!inherits(x, "gaussian_mixture")) valid_fit(x)
  mf_abort("mixture", "a mixture has no ", what, ": ", remedy, arg = "object")
}

# Raised by one whenever elements of a fit change their name, type or meaning.
FIT_VERSION <- 4L

valid_fit <- function(fit) {
  wrong <- tryCatch(unsound_part(fit), error = function(e) "model")
  if (is.null(wrong)) return(invisible(fit))
  if (identical(wrong, "model$version")) {
    mf_abort("fit", "the fit was made by another version of the package: refit", arg = "object")
  }
  mf_abort("fit", "the fit was changed, or made by another version of the package: `", wrong,
    "` is not what it must be; refit", arg = "object")
}

# Sums that a user hands in: made by gram(), and as it made them?
valid_gram <- function(g, arg = "object") {
  if (!inherits(g, "meanfield_gram") || is.null(g$schema)) {
    mf_abort("gram", "`", arg, "` must be made by gram(), not ", describe(g), arg = arg)
  }
  wrong <- tryCatch(unsound_sums(g), error = function(e) "schema")
  if (is.null(wrong)) return(invisible(g))
  refuse_gram(wrong, arg)
}

refuse_gram <- function(wrong, arg) {
  mf_abort("gram", "the gram was changed, or made by another version of the package: `", wrong,
    "` is not what it must be; make it again by gram()", arg = arg)
}

unsound_sums <- function(g) {
  s <- g$schema
  if (!is.list(s) || !identical(s$version, FIT_VERSION)) return("schema$version")
  same <- is.list(s$factors) &&
    setequal(vapply(s$factors, `[[`, "", "name"), vapply(g$factors, `[[`, "", "name"))
  if (!same || length(s$factors) != length(g$factors)) return("factors")
  names(s$factors) <- vapply(s$factors, `[[`, "", "name")
  factors <- lapply(g$factors, function(f) {
    x <- s$factors[[f$name]]
    x$terms <- lapply(x$terms, function(t) c(t, list(A = diag(1, length(t$cols)))))
    c(x, f[c("levels", "A")])
  })
  p <- length(g$x_names)
  m <- c(s[c("formula", "terms", "xlevels", "contrasts", "response", "n_rows", "weighted",
    "arguments")], list(source = "gram", family = stats::gaussian(), x_names = g$x_names,
    factors = factors, gram = g))
  if (!is_null_or(g$x_names, is.character(g$x_names)) || anyNA(g$x_names)) return("x_names")
  first_wrong(unsound_design(m), unsound_factors(m), unsound_gram(m, p), unsound_moments(g, p),
    unsound_spec(s, p))
}

# Sums of squares are no less than nothing, and no correlation is beyond one.
unsound_moments <- function(g, p) {
  if (g$n < 1 || g$n != round(g$n)) return("n")
  ss <- diag(g$cross)
  if (!(g$sum_w > 0) || !all(is.finite(c(ss, g$mean^2) / g$sum_w))) return("sum_w")
  scale <- sqrt(pmax(ss, 0))
  ok <- isSymmetric(g$cross) && all(ss >= 0) && all(abs(g$cross) <= 1.000001 * tcrossprod(scale))
  if (!ok) return("cross")
  if (!is_map(g$basis, p)) return("basis")
  for (f in g$factors) {
    r <- length(f$coef)
    zz <- matrix(f$zz, r * r)[seq.int(1L, r * r, by = r + 1L), , drop = FALSE]
    if (anyDuplicated(f$levels) || any(zz < 0)) return("factors")
  }
  NULL
}

# What grams are compared by when they are added, and what working coordinates are made of.
unsound_spec <- function(s, p) {
  base <- attr(s$frame_terms, "predvars")
  if (!inherits(s$frame_terms, "terms") || !is.call(base)) return("schema$frame_terms")
  known <- function(x) is.list(x) && all(vapply(x, is.character, NA)) && !anyNA(unlist(x))
  if (!known(s$levels) || !known(s$seen)) return("schema$levels")
  if (!is_shape(s$constant, p)) return("schema$constant")
  if (!is_null_or(s$products, is_shape(s$products$constant, p))) return("schema$products")
  sets <- is_null_or(s$sets, is.list(s$sets)) && all(vapply(s$sets, is_within, NA, 1, p))
  if (!sets) return("schema$sets")
  for (f in s$factors) for (t in f$terms) if (!is.null(t$spec)) {
    r <- length(t$cols)
    ok <- is_shape(t$spec$constant, r) && is.logical(t$spec$intercept) &&
      is_null_or(t$spec$products, is_shape(t$spec$products$constant, r))
    if (!ok) return("schema$factors")
  }
  NULL
}

unsound_part <- function(fit) {
  model <- fit$model
  if (!is.list(fit) || !is.list(model)) return("model")
  if (!identical(model$version, FIT_VERSION)) return("model$version")
  if (!is.call(fit$call)) return("call")
  unsound(fit)
}

# What is wrong with a fit of a class, beyond what all have.
unsound <- function(fit) UseMethod("unsound")

#' @export
unsound.default <- function(fit) "class"

#' @export
unsound.vb_fit <- function(fit) unsound_regression(fit, unsound_vb)

#' @export
unsound.exact_fit <- function(fit) unsound_regression(fit, unsound_exact)

#' @export
unsound.gibbs_fit <- function(fit) unsound_regression(fit, unsound_gibbs)

unsound_regression <- function(fit, unsound_engine) {
  wrong <- unsound_model(fit$model)
  if (is.null(wrong)) unsound_engine(fit, model_sizes(fit$model)) else paste0("model$", wrong)
}

# ---- pieces ----------------------------------------------------------------------------------

# Finite numbers of a length, or an array of those dimensions.
is_shape <- function(x, dim) call_misshapen(list(x = x), list(x = as.integer(dim)), TRUE) == 0L

is_text <- function(x, length = 1L) is.character(x) && length(x) == length && !anyNA(x)
is_true_false <- function(x) is.logical(x) && length(x) == 1L && !is.na(x)
is_one <- function(x) is.numeric(x) && length(x) == 1L
is_within <- function(x, low, high) is.numeric(x) && !anyNA(x) && all(x >= low & x <= high)
is_positive <- function(x, length) is_shape(x, length) && all(x > 0)
is_variance <- function(S) all((if (is.matrix(S)) diag(S) else S) >= 0)
is_pd <- function(t) { # given by its vech
  if (length(t) == 1L) t > 0 else is_positive_definite(unvech(t))
}
is_null_or <- function(x, ok) is.null(x) || ok

# The first element of x that has not its shape, as path$element.
misshapen <- function(x, shape, path, finite = TRUE) {
  at <- call_misshapen(x, shape, finite)
  if (at > 0L) paste0(path, "$", names(shape)[at])
}

# The first of several answers that is one.
first_wrong <- function(...) {
  for (i in seq_len(...length())) {
    wrong <- ...elt(i)
    if (!is.null(wrong)) return(wrong)
  }
  NULL
}

# The Cholesky factor of a matrix that a fit holds; that it has one is more than its shape tells.
chol_of_fit <- function(S) {
  chol_or_abort(S, "fit", "the fit was changed: a covariance or precision matrix is not positive ",
    "definite; refit", arg = "object")
}

# ---- the model -------------------------------------------------------------------------------

# Numbers that every shape is made of: p coefficients, effects, columns n_global of the dense block,
# numbers in the leaves and the cross block, dim of theta, d statistics of the precisions of sizes
# tau_r, q with the auxiliaries.
model_sizes <- function(model) {
  l <- model$layout
  d <- l$dim
  list(
    p = d$p, effects = d$effects, n_global = d$n_global, leaf = d$r * d$r * d$leaves,
    cross = d$r * leaf_columns(model), dim = d$theta, tau_r = l$precisions$r, d = d$stats, q = d$t
  )
}

# Global columns that the leaves list, all together.
leaf_columns <- function(model) {
  r <- model$layout$effects$r
  met <- vapply(model$gram$pairs, function(x) if (x$a == 1L) length(x$idx) * r[x$b] else 0L, 0L)
  model$layout$dim$p * model$layout$dim$leaves + sum(met)
}

unsound_model <- function(m) {
  if (!inherits(m, "meanfield_model")) return("class")
  if (!is_null_or(m$x_names, is.character(m$x_names)) || anyNA(m$x_names)) return("x_names")
  p <- length(m$x_names)
  first_wrong(
    unsound_design(m), unsound_factors(m), unsound_groups(m), unsound_gram(m, p),
    misshapen(m$coords, list(M = c(p, p), shift = p, basis = c(p, p), mean_x = p, mean_w = p,
      level = 1L), "coords"),
    if (!is_one(m$coords$intercept) || !is_within(m$coords$intercept, 0, p)) "coords$intercept",
    if (!is_true_false(m$coords$y_centred)) "coords$y_centred",
    unsound_prior(m, p), if (!identical(m$layout, layout(m))) "layout"
  )
}

unsound_design <- function(m) {
  f <- m$family
  if (!is_known_family(f) || !is.function(f$linkinv) || !is.function(f$linkfun)) return("family")
  if (!inherits(m$formula, "formula") || length(m$formula) != 3L) return("formula")
  if (!inherits(m$terms, "terms")) return("terms")
  if (!is_null_or(m$frame, is_frame(m$frame, m$n_rows))) return("frame")
  if (!is_one(m$n_rows)) return("n_rows")
  if (!is_true_false(m$weighted)) return("weighted")
  if (!is_text(m$response)) return("response")
  if (!is_text(m$source) || !m$source %in% c("rows", "gram")) return("source")
  if (!is_null_or(m$arguments, is.list(m$arguments))) return("arguments")
  if (!is_null_or(m$na_action, is.numeric(m$na_action))) return("na_action")
  if (!is.null(m$rows)) return("rows")
  if (!is_null_or(m$xlevels, is.list(m$xlevels))) return("xlevels")
  named <- is.null(m$contrasts) || (is.list(m$contrasts) && !is.null(names(m$contrasts)))
  if (!named || !all(vapply(m$contrasts, is_contrast, NA))) return("contrasts")
  if (!is_null_or(m$blocks, is_text(m$blocks))) return("blocks")
  if (!is_null_or(m$unidentified, is.character(m$unidentified))) return("unidentified")
  if (!is_null_or(m$approximation, is_text(m$approximation) &&
    has_approximation(f, m$approximation))) return("approximation")
  NULL
}

is_contrast <- function(x) is_text(x) || is.matrix(x) || is.function(x)

# Rows and classes of the columns as they were when the frame was made.
is_frame <- function(frame, n) {
  is.data.frame(frame) && inherits(attr(frame, "terms"), "terms") && nrow(frame) == n &&
    all(vapply(frame, NROW, 0L) == n) && all_classes_kept(frame)
}

all_classes_kept <- function(frame) {
  want <- attr(attr(frame, "terms"), "dataClasses")
  known <- intersect(names(want), names(frame))
  setequal(names(want), known) &&
    identical(vapply(frame[known], stats::.MFclass, ""), want[known])
}

unsound_factors <- function(m) {
  if (!is.list(m$factors)) return("factors")
  for (x in m$factors) {
    ok <- is.list(x) && is_text(x$name) && is.language(x$expr) && is.character(x$levels) &&
      !anyNA(x$levels) && length(x$levels) && is.character(x$coef) && length(x$coef) &&
      is.list(x$terms) && all(vapply(x$terms, is_sound_term, NA, x$coef)) &&
      is_map(x$A, length(x$coef))
    if (!ok) return("factors")
  }
  NULL
}

is_sound_term <- function(t, coef) {
  is.list(t) && is.numeric(t$cols) && length(t$cols) && is_within(t$cols, 1, length(coef)) &&
    identical(t$coef, coef[t$cols]) && is_null_or(t$tt, inherits(t$tt, "terms")) &&
    is_null_or(t$xlevels, is.list(t$xlevels)) && is_null_or(t$contrasts, is.list(t$contrasts)) &&
    is_map(t$A, length(t$cols)) && is_null_or(t$own, is_within(t$own, 1, Inf))
}

# Square, and with an inverse.
is_map <- function(A, r) is_shape(A, c(r, r)) && (!r || rcond(A) > 0)

# The groups are the terms of the factors, one after the other.
unsound_groups <- function(m) {
  if (!is.list(m$groups)) return("groups")
  terms <- unlist(lapply(m$factors, `[[`, "terms"), recursive = FALSE)
  owner <- rep(seq_along(m$factors), vapply(m$factors, function(x) length(x$terms), 0L))
  if (length(m$groups) != length(terms)) return("groups")
  for (k in seq_along(terms)) {
    t <- m$groups[[k]]
    ok <- is.list(t) && identical(as.integer(t$factor), owner[k]) && is.integer(t$factor) &&
      identical(as.double(t$cols), as.double(terms[[k]]$cols)) &&
      identical(t$coef, terms[[k]]$coef) && identical(t$group, m$factors[[owner[k]]]$name) &&
      is_text(t$name) && is_text(t$label) && identical(t$vector, length(t$coef) > 1L) &&
      identical(t$A, terms[[k]]$A)
    if (!ok) return("groups")
  }
  NULL
}

unsound_gram <- function(m, p) {
  g <- m$gram
  if (!inherits(g, "meanfield_gram") || !identical(g$x_names, m$x_names)) return("gram")
  wrong <- misshapen(g, list(n = 1L, sum_w = 1L, sum_log_w = 1L, mean = p + 1L,
    cross = c(p + 1L, p + 1L), basis = c(p, p)), "gram")
  if (!is.null(wrong)) return(wrong)
  if (length(g$factors) != length(m$factors)) return("gram$factors")
  for (f in seq_along(m$factors)) {
    x <- g$factors[[f]]
    own <- m$factors[[f]]
    if (!identical(x[c("name", "levels", "coef", "A")], own[c("name", "levels", "coef", "A")])) {
      return("gram$factors")
    }
    r <- length(own$coef)
    n <- length(own$levels)
    wrong <- misshapen(x, list(zz = r * r * n, z1 = r * n, zv = c(p + 1L, r * n)), "gram$factors")
    if (!is.null(wrong)) return(wrong)
  }
  unsound_pairs(g)
}

unsound_pairs <- function(g) {
  want <- factor_pairs(length(g$factors))
  if (!is.list(g$pairs) || length(g$pairs) != length(want)) return("gram$pairs")
  for (k in seq_along(want)) {
    x <- g$pairs[[k]]
    a <- g$factors[[want[[k]][1L]]]
    b <- g$factors[[want[[k]][2L]]]
    n <- length(x$idx)
    ok <- identical(c(x$a, x$b), want[[k]]) && is.integer(x$ptr) && is.integer(x$idx) &&
      length(x$ptr) == length(a$levels) + 1L && x$ptr[1L] == 0L && x$ptr[length(x$ptr)] == n &&
      !is.unsorted(x$ptr) && (!n || is_within(x$idx, 0, length(b$levels) - 1)) &&
      is_shape(x$val, length(a$coef) * length(b$coef) * n)
    if (!ok) return("gram$pairs")
  }
  NULL
}

unsound_prior <- function(m, p) {
  b <- m$resolved$beta
  tau <- m$resolved$tau
  lead <- family_of(m)$lead$name
  if (!is.list(b) || !is_text(b$kind)) return("resolved$beta")
  if (b$kind != "flat") {
    ok <- is_shape(b$mean, p) && is_true_false(b$centred) &&
      (if (is.null(b$cov)) is_positive(b$sd, p) else is_shape(b$cov, c(p, p))) &&
      (!b$centred || is_shape(b$precision, c(p, p)))
    if (!ok) return("resolved$beta")
  }
  r <- c(rep(1L, length(lead)), vapply(m$groups, function(t) length(t$coef), 0L))
  if (!is.list(tau) || length(tau) != length(r) ||
    !identical(as.character(names(tau)), c(lead, vapply(m$groups, `[[`, "", "name")))) {
    return("resolved$tau")
  }
  for (k in seq_along(r)) if (!is_sound_prior(tau[[k]], r[k])) return("resolved$tau")
  NULL
}

is_sound_prior <- function(t, r) {
  is.list(t) && is_text(t$kind) && switch(t$kind,
    gamma = r == 1L && is_positive(t$shape, 1L) && is_positive(t$rate, 1L),
    half_t = is_positive(t$df, 1L) && is_positive(t$scale, r),
    wishart = is_one(t$df) && t$df > r - 1 && is_shape(t$scale, c(r, r)),
    FALSE
  )
}

# ---- variational and exact fits --------------------------------------------------------------

unsound_vb <- function(fit, s) {
  square <- function(n) c(n, n)
  vb <- list(t = s$q, df = length(s$tau_r), mean = s$dim, J = c(s$dim, s$d), ss = s$d, lr_ok = 1L)
  response <- list(V = square(s$q), C = square(s$q), Sigma = square(s$q), K = square(s$q))
  first_wrong(
    misshapen(fit$vb, vb, "vb"),
    if (is_iterated(fit$model)) unsound_iterated(fit, s) else unsound_arrow(fit$vb, s),
    misshapen(fit$vb, response, "vb", FALSE), # where there is none its matrices may be anything
    unsound_posterior(fit$posterior, s),
    if (!is_true_false(fit$converged)) "converged", if (!is_true_false(fit$rounding)) "rounding",
    if (!is_one(fit$sweeps)) "sweeps", if (!is.data.frame(fit$trace)) "trace",
    if (!inherits(fit$control, "vb_control")) "control",
    if (!is_null_or(fit$not_integrated, is_text(fit$not_integrated))) "not_integrated",
    if (!is.null(fit$integrated)) unsound_integral(fit$integrated, s)
  )
}

# q's covariance in arrow form.
unsound_arrow <- function(vb, s) {
  first_wrong(
    misshapen(vb, list(d_inv = s$leaf, q = s$cross, s_leaf = s$leaf, sq_leaf = s$leaf, elbo = 1L),
      "vb"),
    unsound_block(vb$S_global, s$n_global, "vb$S_global", TRUE),
    unsound_block(vb$Sq_global, s$n_global, "vb$Sq_global", TRUE)
  )
}

# What is left of it where there is no matrix, and the settings that C reads.
unsound_iterated <- function(fit, s) {
  settings <- fit$model$iterations
  one <- vapply(settings[c("few", "probes", "most_probes", "aim", "sd_aim")], is_one, NA)
  if (!all(one) || !is_true_false(settings$only)) return("model$iterations")
  misshapen(fit$vb, list(S_beta = c(s$p, s$p), var_u = s$effects, probes = 1L, iterations = 1L,
    precision_error = s$d, sd_error = s$d, variance_error = 1L), "vb")
}

# A global block (R/base-block.R). C looks at the lists of a packed one when it is used there.
unsound_block <- function(S, n, path, covariance) {
  if (!is_packed(S)) return(if (!is_shape(S, c(n, n))) path)
  at <- S$pattern
  columns <- c(at$elim, at$core)
  sound <- is.integer(columns) && is.integer(at$eptr) && is.integer(at$eidx) &&
    identical(sort(columns), seq_len(n) - 1L) && length(at$eptr) == length(at$elim) + 1L &&
    at$eptr[1L] == 0L && !is.unsorted(at$eptr) && at$eptr[length(at$eptr)] == length(at$eidx) &&
    all(at$eidx %in% columns) &&
    is_shape(S$values, length(at$core)^2 + length(at$eidx) + length(at$elim)) &&
    (!covariance || is_shape(S$elim, length(at$eidx) + length(at$elim)))
  if (!isTRUE(sound)) path
}

unsound_posterior <- function(post, s) {
  square <- function(n) c(n, n)
  tau <- post$tau
  wrong <- first_wrong(
    misshapen(post$beta, list(mean = s$p, cov_mfvb = square(s$p), cov_lrvb = square(s$p)),
      "posterior$beta"),
    misshapen(post$u, list(mean = s$effects, var_mfvb = s$effects, var_lrvb = s$effects),
      "posterior$u"),
    misshapen(tau, list(df = length(s$tau_r), mean = s$d, cov_mfvb = square(s$d),
      cov_lrvb = square(s$d)), "posterior$tau"),
    misshapen(tau$psi, list(mean = s$d, cov_mfvb = square(s$d), cov_lrvb = square(s$d),
      cross = square(s$d)), "posterior$tau$psi")
  )
  if (!is.null(wrong)) return(wrong)
  spread <- c(post$beta[-1L], post$u[-1L], tau[c("cov_mfvb", "cov_lrvb")],
    tau$psi[c("cov_mfvb", "cov_lrvb")])
  if (!all(vapply(spread, is_variance, NA))) return("posterior")
  named <- length(s$tau_r)
  if (named && !is_text(tau$names, named)) return("posterior$tau$names")
  if (!is_null_or(tau$failed, is.character(tau$failed))) return("posterior$tau$failed")
  # each precision's statistics in turn
  size <- (s$tau_r * (s$tau_r + 1L)) %/% 2L
  if (!is.list(tau$index) || !identical(lengths(tau$index, FALSE), size) ||
    !identical(as.integer(unlist(tau$index)), seq_len(s$d))) return("posterior$tau$index")
  for (at in tau$index) if (!is_pd(tau$mean[at])) return("posterior$tau$mean")
  NULL
}

# Nodes, their weights, and the moments of the mixture.
unsound_integral <- function(x, s) {
  n <- length(x$weights)
  if (!is.list(x) || !is_text(x$method)) return("integrated$method")
  if (!x$method %in% c("lattice", "emulator", "importance")) return("integrated$method")
  lattice <- x$method != "importance"
  if (!n || !is_within(x$weights, 0, 1) || abs(sum(x$weights) - 1) > 1e-6) {
    return("integrated$weights")
  }
  few <- x$few
  if (!is_null_or(few, is_few(few, n))) return("integrated$few")
  n_theta <- if (is.null(few)) n else length(few$at)
  first_wrong(
    misshapen(x, list(psi = c(s$d, n), stats = c(n, s$d), log_evidence = 1L,
      points = 1L, cov_leaf = s$leaf), "integrated"),
    unsound_block(x$cov_global, s$n_global, "integrated$cov_global", FALSE),
    if (lattice) misshapen(x, list(gradient = c(s$d, n), L = c(s$d, s$d), step = 1L), "integrated"),
    misshapen(x$beta, list(mean = s$p, cov = c(s$p, s$p), node_mean = c(n_theta, s$p),
      node_sd = c(n_theta, s$p)), "integrated$beta"),
    misshapen(x$u, list(mean = s$effects, var = s$effects), "integrated$u"),
    misshapen(x$centre, list(theta = s$dim, grad = s$dim, rss = 1L), "integrated$centre"),
    if (lattice && !is_within(x$step, 1e-3, 10)) "integrated$step",
    if (!is_null_or(x$bend, is.numeric(x$bend) && length(x$bend) == s$d)) "integrated$bend",
    if (!is_shape(x$log_density, n)) "integrated$log_density",
    if (!all(vapply(list(x$beta$cov, x$u$var, c(x$beta$node_sd)), is_variance, NA))) "integrated",
    if (!is_one(x$khat)) "integrated$khat", if (!is_one(x$error)) "integrated$error",
    if (!is_null_or(x$correction, is_shape(x$correction, n))) "integrated$correction",
    if (x$method == "emulator" || !is.null(x$fits)) unsound_fits(x, n, s$d)
  )
}

# Some of n nodes, and weights of their own.
is_few <- function(few, n) {
  is.list(few) && length(few$at) && is_within(few$at, 1, n) && all(few$at == round(few$at)) &&
    length(few$weights) == length(few$at) && is_within(few$weights, 0, 1) &&
    abs(sum(few$weights) - 1) < 1e-6
}

# The conditional fits of an emulator and what interpolates among them.
unsound_fits <- function(x, n, d) {
  fits <- x$fits
  points <- if (is.matrix(fits$psi)) ncol(fits$psi) else 0L
  if (!points) return("integrated$fits")
  first_wrong(
    misshapen(fits, list(psi = c(d, points), A = c(points, n)), "integrated$fits"),
    if (max(abs(colSums(fits$A) - 1)) > 1e-3) "integrated$fits$A",
    if (!is_shape(fits$within, points) || !is_within(fits$within, 0, 2)) "integrated$fits$within",
    if (!is.matrix(x$bandwidth) || nrow(x$bandwidth) != d || !all(is.finite(x$bandwidth))) {
      "integrated$bandwidth"
    }
  )
}

unsound_exact <- function(fit, s) {
  first_wrong(
    misshapen(fit, list(log_evidence = 1L, elbo = 1L, draws = 1L), "fit"),
    if (!is_one(fit$khat)) "khat", if (!is_one(fit$error)) "error",
    if (!is_text(fit$method)) "method",
    misshapen(fit$vb, list(t = s$q, mean = s$dim), "vb"), unsound_integral(fit$integrated, s)
  )
}

# ---- Gibbs -----------------------------------------------------------------------------------

unsound_gibbs <- function(fit, s) {
  wrong <- unsound_chains(fit)
  if (!is.null(wrong)) return(wrong)
  names <- c(beta_names(fit$model), stat_names(fit$model))
  kept <- (fit$iter - fit$warmup) %/% fit$thin
  if (!is_draws(fit$draws, kept, fit$chains, names)) return("draws")
  scalar <- names %in% precision_names(fit$model)
  if (any(scalar) && length(fit$draws) <= 1e6 && !min(fit$draws[, , scalar]) > 0) return("draws")
  if (!is_null_or(fit$precisions, is_draws(fit$precisions, kept, fit$chains,
    stat_names(fit$model)))) {
    return("precisions")
  }
  if (!s$effects) return(if (!is.null(fit$u) || !is.null(fit$u_draws)) "u")
  u <- fit$u
  if (!is.data.frame(u) || !is_text(u$name, s$effects) || !is_shape(u$mean, s$effects) ||
    !is_shape(u$sd, s$effects)) return("u")
  if (!is_null_or(fit$u_draws, is_draws(fit$u_draws, kept, fit$chains, u$name))) return("u_draws")
  NULL
}

unsound_chains <- function(fit) {
  for (name in c("chains", "iter", "warmup", "thin", "seconds")) {
    if (!is_shape(fit[[name]], 1L) || fit[[name]] < (name %in% c("chains", "iter", "thin"))) {
      return(name)
    }
  }
  NULL
}

is_draws <- function(x, kept, chains, names) {
  is_shape(x, c(kept, chains, length(names))) && identical(dimnames(x)[[3L]], names)
}
