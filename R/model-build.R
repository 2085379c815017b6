# The model object: everything an engine needs, and nothing it does not.
#
# It keeps the Gram and the resolved prior; the rows stay in the model frame, which
# is kept by reference (or dropped with model = FALSE).

# call: match.call() of the user's function; env: where to evaluate it; centred: see build_factors().
build_design <- function(call, formula, data, contrasts, env, family, centred) {
  parsed <- parse_formula(formula, data)
  frame <- build_frame(call, parsed$frame, env)
  tt <- safe_terms(parsed$fixed, frame)
  frame <- drop_predictor_levels(frame, tt)
  w <- frame_weights(frame)
  response <- family_response(frame, w, family)
  if (!is.null(response$size)) w <- if (any(response$size != 1)) response$size
  mine <- intersect(names(contrasts), all.vars(parsed$fixed))
  X <- fixed_matrix(tt, frame, if (length(mine)) contrasts[mine])
  products <- centred_products(X, tt, frame, w)
  factors <- build_factors(parsed$bars, frame, w, contrasts, environment(formula), centred)
  list(
    formula = parsed$formula, terms = tt, frame = frame, X = products$X %||% X,
    basis = products$basis, sets = contrast_sets(X, tt, frame),
    constant = span_constant(X, tt, frame),
    y = response$y, size = response$size, w = w, offset = frame_offset(frame), factors = factors,
    xlevels = stats::.getXlevels(tt, frame), contrasts = attr(X, "contrasts")
  )
}

build_model <- function(call, formula, data, family, prior, contrasts, keep_frame, env) {
  family <- check_family(family)
  check_priors(prior)
  d <- build_design(call, formula, data, contrasts, env, family, function(name) {
    stands_at_mean(prior$tau_u, name)
  })
  check_limits(d, family)
  gram <- gram_of_rows(if (!has_rows(family)) d else linked_design(d, family))
  check_gram(gram, d)
  coords <- working_coordinates(gram, d$basis, d$constant)
  factors <- lapply(d$factors, `[`, c("name", "expr", "levels", "weightless", "coef", "A", "terms"))
  terms <- model_terms(factors)
  scales <- gram_scales(gram)
  if (has_rows(family)) scales$sd_y <- 1 # default scales are those of the link
  scales$sets <- lapply(d$sets, function(at) list(at = at, cov = gram$cross[at, at] / gram$sum_w))
  resolved <- resolve_priors(prior, scales, coords, gram$x_names, terms, family)
  check_identified(gram, coords, resolved, factors, d$size, family)
  if (has_rows(family) && resolved$beta$kind == "flat") {
    check_separation(d$X, d$y, d$size, family)
  }
  model <- structure(
    list(
      layout = FIT_LAYOUT, formula = d$formula, terms = d$terms, xlevels = d$xlevels,
      contrasts = d$contrasts,
      family = family, frame = if (keep_frame) d$frame,
      na_action = attr(d$frame, "na.action"), x_names = gram$x_names,
      response = names(d$frame)[1L], prototype = response_prototype(d$frame[[1L]]), n_rows = nrow(d$frame),
      weighted = !is.null(stats::model.weights(d$frame)), factors = factors, groups = terms, gram = gram, coords = coords,
      prior = prior, resolved = resolved
    ),
    class = "meanfield_model"
  )
  if (has_rows(family)) {
    model$rows <- glmm_rows_of_design(d, coords)
    model$unidentified <- unidentified_terms(terms, factors, gram$n, d$size, family)
  }
  model
}

# The group terms in the order of their precisions: factor (index), factor name, cols (which
# of the factor's coefficients), coef, name of the precision, keys under which priors may
# name it (shorter first), vector (r > 1), A (u = A v, v the working effects of a level), off_centre:
# see term_coordinates().
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

check_limits <- function(d, family) {
  terms <- unlist(lapply(d$factors, `[[`, "terms"), recursive = FALSE)
  refuse <- function(what, limit) {
    mf_abort("size", "the formula has ", what, ", and the limit is ", limit, ": ",
      "leave some out, or fit a simpler model", arg = "formula")
  }
  most <- call_limits()
  # one precision is kept for tau_e, or what stands for it
  if (length(terms) >= most[["precisions"]]) {
    refuse(paste(length(terms), "group terms"), most[["precisions"]] - 1L)
  }
  if (has_rows(family)) {
    if (length(d$factors) > most[["other_factors"]] + 1L) {
      refuse(paste(length(d$factors), "grouping factors"), most[["other_factors"]] + 1L)
    }
    widest <- max(0L, lengths(lapply(d$factors, `[[`, "coef"))) # all terms of a factor together
    if (widest > most[["coefficients"]]) {
      refuse(paste(widest, "coefficients on one factor"), most[["coefficients"]])
    }
  }
  check_size_of_global(d)
}

check_size_of_global <- function(d) {
  n_global <- ncol(d$X) +
    sum(vapply(d$factors[-1L], function(f) length(f$levels) * length(f$coef), 0))
  if (n_global > MAX_GLOBAL) {
    others <- if (length(d$factors)) {
      paste0(" and the grouping factors other than '", d$factors[[1L]]$name, "'")
    }
    mf_abort("size", "the fixed effects", others, " have ", format(n_global, big.mark = ","),
      " coefficients, which need a dense matrix of that size; the limit is ",
      format(MAX_GLOBAL, big.mark = ","), ": drop or coarsen a factor, or fit a subset",
      arg = "formula")
  }
}

# Non-finite data show in the Gram: no extra pass over the rows is needed.
check_gram <- function(gram, d) {
  p <- length(gram$x_names)
  z_finite <- vapply(gram$factors, function(f) all(is.finite(f$zv)) && all(is.finite(f$zz)), NA)
  if (all(is.finite(gram$cross)) && all(z_finite)) return(invisible())
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
  if (!all(z_finite) && all(is.finite(gram$cross))) {
    mf_abort("data", "the covariates of the random effects have missing or infinite values",
      arg = "data")
  }
  mf_abort("data", "sums of squares overflow: rescale the response or the predictors",
    arg = "data")
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
  mf_warn(if (is.null(size) || G == 1L) "groups" else "unidentified", "the grouping factor '", f$name,
    "' ", what, ": ", why, arg = "formula")
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
