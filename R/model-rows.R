# The generalised model: its Gram (for the scales of priors only) and its rows.

# The design as the Gram wants it: a constant response on the link scale, where the default prior
# puts the intercept.
linked_design <- function(d, family) {
  d$y <- rep(family_of(family)$linked(d$y, d$size, d$offset %||% 0), nrow(d$X))
  d$offset <- NULL
  d
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
