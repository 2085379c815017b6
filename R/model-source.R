# A source: where the data of a model come from. build_model() knows no other way to them. A list of
#   kind      "rows", or "gram" (sums only)
#   schema    what is known without a sum: formula ('.' expanded), terms, xlevels, contrasts,
#             constant (span_constant()), sets (contrast_sets()), response (its name), prototype,
#             n_rows, weighted, na_action, arguments (weights and offset of sums, which no call has)
#   read      function(family, centred): the data as engines want them, a list of gram, basis (see
#             centred_products()), factors (as build_factors() gives them), and where there are rows
#             X, y, size, w, offset. centred: function of a factor's name, see build_factors()
#   frame     the model frame to keep, or NULL
# Another source is one more function that returns these.

# The rows of a data frame. call: match.call() of the user's function; env: where to evaluate it.
source_rows <- function(call, formula, data, contrasts, keep_frame, env) {
  parsed <- parse_formula(formula, data)
  frame <- build_frame(call, parsed$frame, data, env)
  frame <- drop_unused_levels(frame, parsed)
  x <- read_frame(frame, parsed, contrasts)
  list(
    kind = "rows", schema = x$schema, frame = if (check_flag(keep_frame, "model")) frame,
    read = function(family, centred) read_rows(x, family, centred)
  )
}

# Levels of predictors, and of covariates of groups, that no row has.
drop_unused_levels <- function(frame, parsed) {
  if (!may_have_unused(frame, parsed)) return(frame)
  formulas <- c(list(parsed$fixed), lapply(parsed$bars, function(b) call("~", b$lhs)))
  for (f in formulas) frame <- drop_predictor_levels(frame, stats::terms(stats::as.formula(f)))
  frame
}

# Only factors that are no mere grouping variables are looked at: it costs a pass over their rows.
may_have_unused <- function(frame, parsed) {
  columns <- unclass(frame)
  factors <- names(columns)[vapply(columns, is.factor, NA)]
  if (!length(factors)) return(FALSE)
  groups <- unlist(lapply(parsed$bars, function(b) all.vars(b$group)))
  used <- unlist(lapply(c(list(parsed$fixed), lapply(parsed$bars, `[[`, "lhs")), all.vars))
  factors <- factors[!factors %in% groups | factors %in% used]
  any(vapply(columns[factors], function(x) any(tabulate(x, nlevels(x)) == 0L), NA))
}

# list(schema, and what read_rows() goes on with).
read_frame <- function(frame, parsed, contrasts) {
  tt <- safe_terms(parsed$fixed, frame)
  w <- frame_weights(frame)
  mine <- intersect(names(contrasts), all.vars(parsed$fixed))
  X <- fixed_matrix(tt, frame, if (length(mine)) contrasts[mine])
  schema <- list(
    formula = parsed$formula, terms = tt, xlevels = x_levels(tt, frame),
    contrasts = attr(X, "contrasts"), constant = span_constant(X, tt, frame),
    sets = contrast_sets(X, tt, frame), response = names(frame)[1L],
    prototype = response_prototype(.subset2(frame, 1L)), n_rows = nrow(frame),
    weighted = !is.null(w), na_action = attr(frame, "na.action"),
    arguments = NULL
  )
  list(schema = schema, frame = frame, X = X, w = w, bars = parsed$bars, contrasts = contrasts)
}

# x: read_frame(); family, centred: see the top.
read_rows <- function(x, family, centred) {
  schema <- x$schema
  frame <- x$frame
  response <- family_response(frame, x$w, family)
  w <- x$w
  if (!is.null(response$size)) w <- if (any(response$size != 1)) response$size
  products <- centred_products(x$X, schema$terms, frame, w)
  factors <- build_factors(x$bars, frame, w, x$contrasts, environment(schema$formula), centred)
  d <- list(X = products$X %||% x$X, basis = products$basis, y = response$y, size = response$size,
    w = w, offset = frame_offset(frame), factors = factors)
  check_limits(ncol(d$X), factors, family)
  d$gram <- gram_of_rows(if (has_rows(family)) linked_design(d, family) else d)
  check_gram(d$gram, d, schema$response)
  d
}

# ---- what cannot be fitted -----------------------------------------------------------

# p: columns of the model matrix.
check_limits <- function(p, factors, family) {
  terms <- sum(lengths(lapply(factors, `[[`, "terms")))
  refuse <- function(what, limit) {
    mf_abort("size", "the formula has ", what, ", and the limit is ", limit, ": ",
      "leave some out, or fit a simpler model", arg = "formula")
  }
  most <- call_limits()
  # one precision is kept for tau_e, or what stands for it
  if (terms >= most[["precisions"]]) {
    refuse(paste(terms, "group terms"), most[["precisions"]] - 1L)
  }
  if (has_rows(family)) {
    if (length(factors) > most[["other_factors"]] + 1L) {
      refuse(paste(length(factors), "grouping factors"), most[["other_factors"]] + 1L)
    }
    widest <- max(0L, lengths(lapply(factors, `[[`, "coef"))) # all terms of a factor together
    if (widest > most[["coefficients"]]) {
      refuse(paste(widest, "coefficients on one factor"), most[["coefficients"]])
    }
  }
  n_global <- p + sum(vapply(factors[-1L], function(f) length(f$levels) * length(f$coef), 0))
  if (has_rows(family) && n_global > MAX_GLOBAL) refuse_size(n_global, factors)
}

# remedy: another, with a comma in front.
refuse_size <- function(n, factors, remedy = NULL) {
  others <- if (length(factors)) {
    paste0(" and the grouping factors other than '", factors[[1L]]$name, "'")
  }
  mf_abort("size", "the fixed effects", others, " have ", format(n, big.mark = ","),
    " coefficients that need a dense matrix of that size; the limit is ",
    format(MAX_GLOBAL, big.mark = ","), remedy, ": drop or coarsen a factor, or fit a subset",
    arg = "formula")
}

# Non-finite data show in the Gram: no extra pass over the rows is needed.
check_gram <- function(gram, d, response) {
  if (is_finite_gram(gram)) return(invisible())
  p <- length(gram$x_names)
  used <- if (is.null(d$w)) rep(TRUE, length(d$y)) else d$w > 0
  bad_x <- vapply(seq_len(p), function(j) any(!is.finite(d$X[used, j])), NA)
  if (any(!is.finite(d$y[used]))) {
    mf_abort("response", "the response `", response,
      "` has missing or infinite values: remove those rows or use na.action = na.omit",
      arg = "formula")
  }
  if (any(bad_x)) {
    mf_abort("data", "the model matrix has missing or infinite values in ",
      toString(gram$x_names[bad_x]), arg = "data")
  }
  if (all(is.finite(gram$cross))) {
    mf_abort("data", "the covariates of the random effects have missing or infinite values",
      arg = "data")
  }
  abort_overflow()
}

abort_overflow <- function() {
  mf_abort("data", "sums of squares overflow: rescale the response or the predictors",
    arg = "data")
}
