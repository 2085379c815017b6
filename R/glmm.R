# The generalised model: its Gram (for the scales of priors only), its rows, and its start.

# What engines compute with: the Gram, and for families other than the Gaussian the rows too.
engine_core <- function(model) {
  core <- lmm_core(model)
  if (is_gaussian(model)) return(core)
  core$family <- family_code(model)
  core$sum_w <- model$gram$sum_w
  core$rows <- model$rows %||% glmm_rows_of_frame(model)
  core
}

# Codes of src/model/family.h.
family_code <- function(model) {
  pg <- identical(model$approximation, "pg")
  switch(model$family$family, binomial = if (pg) 3L else 0L, poisson = 1L, neg_binomial = 2L)
}

# The design as the Gram wants it: a constant response on the link scale, where the default prior
# puts the intercept.
linked_design <- function(d, family) {
  d$y <- rep(linked_mean(d, family), nrow(d$X))
  d$offset <- NULL
  d
}

# The link of the mean response, half a success or count away from the boundary.
linked_mean <- function(d, family) {
  offset <- d$offset %||% 0
  if (family$family == "binomial") {
    return(stats::qlogis((sum(d$y) + 0.5) / (sum(d$size) + 1)) - sum(d$size * offset) / sum(d$size))
  }
  top <- max(offset)
  log(sum(d$size * d$y) + 0.5) - top - log(sum(d$size * exp(offset - top)))
}

# ---- rows -------------------------------------------------------------------------------

# The list of r_glmm(): the Gram's covariates, what to subtract from them (working_coordinates()),
# response, and the offset with the shift of the working coordinates in it. Rows of size zero go.
glmm_rows <- function(X, y, size, offset, factors, coords) {
  used <- size > 0
  all <- all(used)
  pick <- function(v) if (all) v else v[used]
  X <- if (all) X else X[used, , drop = FALSE]
  if (!is.double(X)) storage.mode(X) <- "double"
  terms <- lapply(factors, function(f) {
    z <- if (all || is.null(f$z)) f$z else f$z[, used, drop = FALSE]
    if (!is.null(z)) storage.mode(z) <- "double"
    list(code = as.integer(pick(f$codes)), z = z, r = length(f$coef),
      n_levels = length(f$levels))
  })
  first <- ncol(X) + cumsum(c(0L, vapply(factors[-1L], function(f) {
    length(f$levels) * length(f$coef)
  }, 0L)))
  others <- Map(function(f, first) c(f, list(first = as.integer(first))), terms[-1L],
    first[seq_len(max(length(terms) - 1L, 0L))])
  list(X = X, centre = coords$mean_x - coords$mean_w, y = pick(as.double(y)), size = pick(as.double(size)),
    offset = pick(as.double(rep_len((offset %||% 0) + coords$level, length(y)))),
    leaf = if (length(terms)) terms[[1L]], others = unname(others))
}

glmm_rows_of_design <- function(d, coords) {
  glmm_rows(d$X, d$y, d$size, d$offset, d$factors, coords)
}

# The rows again, from the model frame that the fit kept.
glmm_rows_of_frame <- function(model) {
  fit <- structure(list(model = model), class = "meanfield_fit")
  parts <- linear_parts(fit, NULL, NULL, TRUE)
  response <- fit_response(fit)
  factors <- lapply(parts$groups, function(g) {
    x <- model$factors[[g$factor]]
    plain <- length(x$coef) == 1L && is.null(x$terms[[1L]]$tt)
    c(x[c("levels", "coef")], list(codes = g$code, z = if (!plain) t(g$Z)))
  })
  glmm_rows(parts$X %*% model$coords$basis, response$y, response$size, parts$offset, factors, model$coords)
}

# ---- start --------------------------------------------------------------------------------

# Precisions: an SD of one unit of the link for every term, at its covariate's root mean square.
# phi: 1.
glmm_vb_start <- function(core) {
  lead <- as.integer(core$family == 2L)
  terms <- lapply(core$prec[seq_along(core$prec) > lead], function(pr) {
    size <- term_mean_square(core, pr) * core$n / core$sum_w
    size[size == 0] <- 1
    diag(size, pr$r)[lower.tri(diag(pr$r), diag = TRUE)]
  })
  with_auxiliaries(core, c(rep(1, lead), unlist(terms)))
}
