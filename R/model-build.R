# The model object: everything an engine needs, and nothing it does not.
#
# It keeps the Gram and the resolved prior; the rows stay in the model frame, which
# is kept by reference (or dropped with model = FALSE, or never seen by a fit of sums).

# source: see model-source.R.
build_model <- function(source, family, prior) {
  family <- check_family(family)
  check_priors(prior)
  schema <- source$schema
  d <- source$read(family, function(name) stands_at_mean(prior$tau_u, name))
  gram <- unclass(d$gram) # `$` looks for no methods then
  coords <- working_coordinates(gram, d$basis, schema$constant)
  factors <- lapply(d$factors, `[`, c("name", "expr", "levels", "weightless", "coef", "A", "terms"))
  terms <- model_terms(factors)
  resolved <- resolve_priors(prior, model_scales(gram, schema$sets, family), coords, gram$x_names,
    terms, family)
  check_identified(gram, coords, resolved, factors, d$size, family)
  if (has_rows(family) && resolved$beta$kind == "flat") {
    check_separation(d$X, d$y, d$size, family)
  }
  model <- c(
    list(version = FIT_VERSION, source = source$kind, family = family, frame = source$frame),
    schema[c("formula", "terms", "xlevels", "contrasts", "na_action", "response", "prototype",
      "n_rows", "weighted", "arguments")],
    list(x_names = gram$x_names, factors = factors, groups = terms, gram = d$gram, coords = coords,
      prior = prior, resolved = resolved)
  )
  model$layout <- layout(model)
  model <- settle_size(model)
  if (has_rows(family)) {
    model$rows <- glmm_rows_of_design(d, coords)
    model$unidentified <- unidentified_terms(terms, factors, gram$n, d$size, family)
  }
  new_class("meanfield_model", model)
}

# What default priors are made of; sets: see contrast_sets().
model_scales <- function(gram, sets, family) {
  scales <- gram_scales(gram)
  if (has_rows(family)) scales$sd_y <- 1 # default scales are those of the link
  scales$sets <- lapply(sets, function(at) list(at = at, cov = gram$cross[at, at] / gram$sum_w))
  scales
}

# The group terms in the order of their precisions: factor (index), factor name, cols (which
# of the factor's coefficients), coef, name of the precision, keys under which priors may
# name it (shorter first), vector (r > 1), A (u = A v, v the working effects of a level),
# off_centre: see term_coordinates().
model_terms <- function(factors) {
  out <- list()
  for (f in seq_along(factors)) {
    x <- factors[[f]]
    several <- length(x$terms) > 1L
    for (t in x$terms) {
      scalar <- length(t$coef) == 1L
      own <- paste0(x$name, ":", t$coef[1L])
      label <- if (several && scalar) own else x$name
      out[[length(out) + 1L]] <- list(factor = f, group = x$name, cols = t$cols, coef = t$coef,
        label = label, name = unique_name(paste0(if (scalar) "tau_u[" else "Lambda_u[", label),
          out), keys = c(x$name, if (scalar) own), vector = !scalar, A = t$A,
        off_centre = t$off_centre)
    }
  }
  out
}

# "tau_u[g" -> "tau_u[g]", or "tau_u[g#2]" when the formula repeats a term.
unique_name <- function(stem, terms) {
  taken <- vapply(terms, `[[`, "", "name")
  name <- paste0(stem, "]")
  k <- 1L
  while (name %in% taken) name <- paste0(stem, "#", k <- k + 1L, "]")
  name
}

# ---- what the data can say --------------------------------------------------------

check_identified <- function(gram, coords, resolved, factors, size, family) {
  flat <- resolved$beta$kind == "flat"
  if (flat && length(gram$x_names)) check_full_rank(gram, coords)
  for (f in factors) check_factor_identified(f, gram$n, flat, size, family)
}

# Group terms whose variance the likelihood says nothing about: a level per row of one trial. (For
# counts, and for several trials, that is overdispersion.)
unidentified_terms <- function(terms, factors, n, size, family) {
  if (family_of(family)$row_effects(size)) return(character())
  alone <- vapply(factors, function(f) length(f$levels) >= n, NA)
  vapply(terms[alone[vapply(terms, `[[`, 0L, "factor")]], `[[`, "", "name")
}

# size: trials or row weights of the other families. A level per row is fine for counts, and for
# proportions of several trials.
check_factor_identified <- function(f, n, flat, size, family) {
  G <- length(f$levels)
  if (G > 1L && (G < n || family_of(family)$row_effects(size))) {
    return(invisible())
  }
  what <- if (G == 1L) "has only one level" else "has one level per row"
  why <- if (G == 1L) {
    "its variance is known from the prior alone"
  } else if (!is.null(size)) {
    "with one trial in each the data say nothing about its variance, which is not reported"
  } else {
    "group and residual variance are told apart by their priors alone"
  }
  if (flat) {
    mf_abort("groups", "the grouping factor '", f$name, "' ", what,
      ", and the coefficients have a flat prior: use a proper `prior` on beta, ",
      "or drop the term", arg = "formula")
  }
  mf_warn(if (is.null(size) || G == 1L) "groups" else "unidentified",
    "the grouping factor '", f$name, "' ", what, ": ", why, arg = "formula")
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
