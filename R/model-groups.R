# model frame -> grouping factors and the terms that vary by them.

# ---- groups ---------------------------------------------------------------------

# A grouping expression evaluated to integer codes and their labels. A variable or
# call that is a column of the frame is taken from there; a:b is the interaction.
group_values <- function(expr, frame, env = baseenv()) {
  own <- .subset2(frame, expr_text(expr))
  if (is.name(expr) || !is.null(own)) return(integer_codes(own))
  if (is.call(expr) && identical(expr[[1L]], quote(`(`))) {
    return(group_values(expr[[2L]], frame, env))
  }
  if (is.call(expr) && identical(expr[[1L]], quote(`:`))) {
    a <- group_values(expr[[2L]], frame, env)
    b <- group_values(expr[[3L]], frame, env)
    return(cross_codes(a, b))
  }
  integer_codes(eval(expr, frame, env))
}

# list(codes, levels); levels sorted as factor() would, without its cost on long
# numeric vectors.
integer_codes <- function(x) {
  if (is.factor(x)) {
    levels <- levels(x)
    if (anyNA(levels)) levels[is.na(levels)] <- "<NA>"
    return(list(codes = as_codes(x), levels = levels))
  }
  if (is.matrix(x) || !is.atomic(x) || is.null(x)) {
    mf_abort("groups", "a grouping variable must be a factor, character, integer or ",
      "logical vector, not ", describe(x), arg = "formula")
  }
  if (is.logical(x)) return(list(codes = x + 1L, levels = c("FALSE", "TRUE")))
  if (is.integer(x) && !is.object(x)) {
    span <- as.double(suppressWarnings(range(x, na.rm = TRUE)))
    if (all(is.finite(span)) && span[2L] - span[1L] < 2 * length(x) + 1e4 &&
      span[1L] > -.Machine$integer.max) {
      offset <- as.integer(span[1L] - 1)
      return(list(codes = x - offset, levels = function(used) as.character(used + offset),
        n_levels = as.integer(span[2L] - offset)))
    }
  }
  values <- sort(unique(x))
  list(codes = match(x, values), levels = value_labels(values))
}

# One label per value, the same wherever the value turns up: distinct numbers and times
# that as.character() would spell alike get all their digits.
value_labels <- function(values) {
  labels <- as.character(values)
  number <- if (is.numeric(values) || inherits(values, "POSIXct")) as.double(values)
  if (inherits(values, "POSIXct")) {
    long <- number != floor(number)
    labels[long] <- format(values[long], "%Y-%m-%d %H:%M:%OS6")
  } else if (!is.null(number) && !is.object(values)) {
    long <- suppressWarnings(as.double(labels)) != number
    labels[long] <- sprintf("%.17g", number[long])
  }
  labels
}

as_codes <- function(f) {
  attributes(f) <- NULL
  f
}

cross_codes <- function(a, b) {
  a <- used_codes(a, NULL)
  b <- used_codes(b, NULL)
  nb <- length(b$levels)
  pair <- (a$codes - 1) * nb + b$codes # double: no integer overflow
  values <- sort(unique(pair))
  list(
    codes = match(pair, values),
    levels = paste(crossed_label(a$levels)[(values - 1) %/% nb + 1],
      crossed_label(b$levels)[(values - 1) %% nb + 1], sep = ":")
  )
}

# A colon inside a label must not pass for the one between two labels.
crossed_label <- function(x) gsub(":", "\\:", x, fixed = TRUE)

# Keep the levels that occur in rows of positive weight: list(codes, levels).
used_codes <- function(x, w) {
  n_levels <- x$n_levels %||% length(x$levels)
  out <- call_group_codes(x$codes, w, n_levels)
  list(
    codes = out$codes,
    levels = if (is.function(x$levels)) x$levels(out$used) else x$levels[out$used]
  )
}

# ---- order of levels of sums ------------------------------------------------------
#
# Sums know their levels by label; levels of several chunks are sorted as those of all the rows
# would be. An order is the levels of a factor; TRUE for numbers, FALSE for text; of a:b a list of
# both.

level_order_of <- function(expr, frame, env) {
  x <- frame[[expr_text(expr)]]
  if (is.null(x) && is_call_to(expr, "(")) return(level_order_of(expr[[2L]], frame, env))
  if (is.null(x) && is_call_to(expr, ":")) {
    return(lapply(as.list(expr)[-1L], level_order_of, frame = frame, env = env))
  }
  if (is.null(x)) x <- eval(expr, frame, env)
  if (is.factor(x)) return(integer_codes(x)$levels)
  if (is.logical(x)) return(c("FALSE", "TRUE"))
  is.numeric(x) && !is.object(x)
}

add_level_orders <- function(a, b) {
  if (is.list(a) && is.list(b)) return(Map(add_level_orders, a, b))
  if (is.character(a) && is.character(b)) return(united_levels(a, b))
  identical(a, TRUE) && identical(b, TRUE)
}

united_levels <- function(a, b) {
  if (all(b %in% a)) return(a)
  if (all(a %in% b)) return(b)
  if (is.unsorted(a) || is.unsorted(b)) union(a, b) else sort(union(a, b))
}

sort_levels <- function(levels, order) levels[do.call(base::order, level_keys(levels, order))]

level_keys <- function(levels, order) {
  if (is.character(order)) return(list(match(levels, order)))
  if (!is.list(order)) return(list(if (order) suppressWarnings(as.double(levels)) else levels))
  parts <- strsplit(levels, "(?<!\\\\):", perl = TRUE) # see crossed_label()
  if (!all(lengths(parts) == 2L)) return(list(levels))
  part <- function(k) gsub("\\:", ":", vapply(parts, `[`, "", k), fixed = TRUE)
  c(level_keys(part(1L), order[[1L]]), level_keys(part(2L), order[[2L]]))
}

# ---- group terms ------------------------------------------------------------------
#
# A factor is one grouping variable with all its terms; a term is a set of coefficients
# with one precision. Terms of one factor stand side by side: factor$coef names the r
# columns, term$cols says which are the term's. The factor with most coefficients comes
# first: it is the leaf of the arrow.

# centred: function of a factor's name: do the priors of its vector terms stand at the mean of the
# covariates?
build_factors <- function(bars, frame, w, contrasts, env, centred) {
  names <- vapply(bars, function(b) expr_text(b$group), "")
  factors <- lapply(unique(names), function(name) {
    build_factor(bars[names == name], name, frame, w, contrasts, env, centred(name))
  })
  if (length(factors) < 2L) return(factors)
  size <- vapply(factors, function(f) length(f$levels) * length(f$coef), 0)
  factors[order(-size)]
}

build_factor <- function(bars, name, frame, w, contrasts, env, centred) {
  values <- factor_values(bars[[1L]]$group, name, frame, env)
  used <- used_codes(values, w)
  # levels that weights of zero leave out: no surprise to predict()
  weightless <- if (any(w == 0)) setdiff(used_codes(values, NULL)$levels, used$levels)
  terms <- unlist(lapply(bars, build_terms, frame = frame, w = w, contrasts = contrasts, env = env,
    centred = centred), recursive = FALSE)
  r <- vapply(terms, function(t) length(t$coef), 0L)
  last <- cumsum(r)
  coef <- numbered(unlist(lapply(terms, `[[`, "coef")))
  for (k in seq_along(terms)) {
    terms[[k]]$cols <- seq.int(last[k] - r[k] + 1L, last[k])
    terms[[k]]$coef <- coef[terms[[k]]$cols]
  }
  z <- lapply(terms, `[[`, "z")
  plain <- length(terms) == 1L && is.null(z[[1L]])
  list(
    name = name, expr = bars[[1L]]$group, codes = used$codes, levels = used$levels,
    weightless = weightless,
    coef = coef, z = if (!plain) factor_z(z, nrow(frame)),
    A = block_diagonal(lapply(terms, `[[`, "A")),
    terms = lapply(terms, function(t) t[names(t) != "z"])
  )
}

factor_values <- function(expr, name, frame, env) {
  values <- withCallingHandlers(group_values(expr, frame, env), error = function(e) {
    if (inherits(e, "meanfield_error")) return()
    stop_if_memory(e)
    mf_abort("groups", "the grouping factor '", name, "' cannot be evaluated: ",
      conditionMessage(e), arg = "formula")
  })
  if (anyNA(values$codes)) {
    mf_abort("groups", "the grouping factor '", name, "' has missing values: remove those ",
      "rows or use na.action = na.omit", arg = "formula")
  }
  values
}

# A coefficient that a factor has twice is "x" and "x#2"; plain_coef() takes that back.
numbered <- function(coef) {
  if (!anyDuplicated(coef)) return(coef)
  nth <- stats::ave(seq_along(coef), coef, FUN = seq_along)
  ifelse(nth > 1L, paste0(coef, "#", nth), coef)
}

# The terms of one bar, one or (||) one per coefficient: coef; z, the working covariates (rows x r,
# NULL for a plain intercept); A (r x r), u = A v with v the working effects; and how new rows get
# their covariates: tt, xlevels, contrasts, and which columns of the model matrix (`own`).
build_terms <- function(bar, frame, w, contrasts, env, centred) {
  lhs <- bar$lhs
  if (identical(lhs, 1) || identical(lhs, 1L)) {
    return(list(list(coef = "(Intercept)", z = NULL, A = matrix(1))))
  }
  formula <- stats::as.formula(call("~", lhs), env)
  tt <- safe_terms(formula, frame)
  used <- intersect(names(contrasts), all.vars(formula))
  z <- fixed_matrix(tt, frame, if (length(used)) contrasts[used])
  check_term_size(z, bar)
  shared <- list(tt = tt, xlevels = x_levels(tt, frame), contrasts = attr(z, "contrasts"))
  if (ncol(z) == 1L || bar$split) {
    return(lapply(seq_len(ncol(z)), function(j) scalar_term(z, j, shared)))
  }
  used <- if (is.null(w)) TRUE else w > 0
  work <- if (all(is.finite(z[used, ]))) term_coordinates(z, tt, frame, w, centred) else
    list(z = unname(z), A = diag(1, ncol(z))) # which check_gram() refuses
  list(c(list(coef = colnames(z), own = seq_len(ncol(z))), work, shared))
}

# Column j alone. The intercept among several independent coefficients is a plain one.
scalar_term <- function(z, j, shared) {
  if (ncol(z) > 1L && attr(z, "assign")[j] == 0L) {
    return(list(coef = "(Intercept)", z = NULL, A = matrix(1)))
  }
  c(list(coef = colnames(z)[j], z = unname(z[, j, drop = FALSE]), A = matrix(1), own = j), shared)
}

check_term_size <- function(z, bar) {
  text <- paste(deparse1(bar$lhs), if (bar$split) "||" else "|", deparse1(bar$group))
  if (!ncol(z)) {
    mf_abort("formula", "the group term (", text, ") has no coefficients", arg = "formula")
  }
  if (ncol(z) > core_limit("coefficients") && !bar$split) {
    mf_abort("size", "the group term (", text, ") has ", ncol(z), " coefficients, more than ",
      core_limit("coefficients"), ": use || or fewer of them", arg = "formula")
  }
}

# Covariates of all terms of a factor, one row of the data per column.
factor_z <- function(z, n) {
  t(do.call(cbind, lapply(z, function(x) if (is.null(x)) rep(1, n) else x)))
}
