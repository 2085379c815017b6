# Sums for users: gram() makes them of a chunk of rows, `+` adds those of several.
#
# A gram is the Gram of model-gram.R with its schema: all that is known of the model without a sum.
# Beside the schema of a source (model-source.R) that is
#   version       see FIT_VERSION
#   factors       per grouping factor, in the order of the formula: name, expr, weightless, coef,
#                 terms (their covariates, see build_terms()), order (level_order_of())
#   products      product_spec() of the columns
#   levels, seen  per factor or text among the predictors: its levels, those that some row has
#   frame_terms   terms of the model frame, with the parameters of poly(), ns(), scale()
#   given         the argument `contrasts`

#' Sums of squares and products of a Gaussian model
#'
#' Reads rows once and keeps what a Gaussian model needs of them: sums of squares and products of
#' its columns, about their means, and by group. Sums of chunks of rows add up, so that data that do
#' not fit in memory, or lie in several files or places, are fitted chunk by chunk:
#' `fit_vb(gram(f, chunk1) + gram(f, chunk2))` is the fit of all the rows.
#'
#' @param formula As in [fit_vb()]; left out with `like`.
#' @param data A chunk of the rows: a data frame.
#' @param weights,subset,na.action,offset,contrasts As in [fit_vb()].
#' @param xlevels Named list: the levels of factors or text among the predictors, as in
#'   `list(f = c("a", "b", "c"))`. Needed where a chunk may lack one of them. (A factor brings its
#'   own levels, whether the chunk has them all or not; grouping variables need none.)
#' @param like A gram: the same formula, arguments (those that are not given again), levels, and
#'   parameters of `poly()`, `ns()`, `bs()` and `scale()`, for other rows. These depend on
#'   all the rows, so every chunk but the first has to take them from it.
#' @param ... Not used; an argument that matches nothing is an error.
#' @param x,object,e1,e2 A gram.
#'
#' @details
#' Columns must be made row by row: `log(x)`, `I(x^2)`, `factor(year)`. What depends on other rows,
#' such as `I(x - mean(x))` or `cut(x, 3)`, would be another column in every chunk, and is refused.
#'
#' The basis of `poly(x, 2)` is that of the first chunk, and of all others by `like`. The model is
#' the same, but its coefficients, and the default prior on them, belong to that basis.
#'
#' A fit of sums has no rows. All that needs none is as in a fit of all the rows: [summary()],
#' [vcov()], [ranef()], [predict()] for `newdata`, [hypothesis()], the evidence. What needs them
#' ([fitted()], [residuals()], [simulate()]) says so. The other families need the rows for the fit
#' itself.
#'
#' A gram holds sums, formula and names of levels, but no row; [saveRDS()] keeps it. A group of one
#' row is that row, though: sums of small groups are no secrets.
#'
#' @return An object of class `meanfield_gram`, to be added (`+`, [sum()], `Reduce("+", grams)`) and
#'   given to [fit_vb()], [fit_exact()] or [fit_gibbs()]. `nobs()` counts rows of positive weight;
#'   `formula()` is the formula.
#' @section Errors: as in [fit_vb()], and `meanfield_error_gram` where a column depends on other
#'   rows than its own, a text or factor has one level, grams of different formulas, levels, bases
#'   or contrasts are added, or a gram was changed. `meanfield_error_family` for a fit by another
#'   family; `meanfield_error_data` from methods that need rows. A warning of class
#'   `meanfield_warning_levels` tells of levels in `xlevels` that no row has.
#' @seealso [fit_vb()]
#' @references Chan, T. F., Golub, G. H. and LeVeque, R. J. (1983). Algorithms for computing the
#'   sample variance. *The American Statistician* 37, 242-247 (sums of chunks about their means).
#' @examples
#' chunks <- split(radon, rep(1:3, length.out = nrow(radon)))
#' grams <- lapply(chunks, function(d) gram(log_radon ~ floor + (1 | county), d))
#' all <- Reduce(`+`, grams)
#' all
#' fit <- fit_vb(all)
#' summary(fit)
#' # the parameters of a basis come from the first chunk
#' first <- gram(log_radon ~ poly(log_uranium, 2) + (1 | county), chunks[[1]])
#' fit_exact(first + gram(like = first, data = chunks[[2]]))
#' @export
gram <- function(formula, data = NULL, weights, subset, na.action, offset, contrasts = NULL,
                 xlevels = NULL, like = NULL, ...) {
  no_dots(...)
  env <- parent.frame()
  call <- match.call()
  if (is.null(like)) {
    if (missing(formula)) {
      mf_abort("formula", "`formula` is missing: use gram(y ~ x, data)", arg = "formula")
    }
    formula <- as_model_formula(formula, env)
  } else {
    refuse_beside_like(call)
    call <- like_call(call, valid_gram(like, "like")$schema)
    formula <- like$schema$formula
    contrasts <- like$schema$given
    xlevels <- like$schema$levels
  }
  call <- fit_call(call, "gram", formula, env, model = FALSE)
  gram_of_chunk(call, formula, data, contrasts, xlevels, like$schema$frame_terms, env)
}

refuse_beside_like <- function(call) {
  beside <- intersect(c("formula", "contrasts", "xlevels"), names(call))
  if (length(beside)) {
    mf_abort("gram", "`", beside[1L], "` comes from `like`: leave it out", arg = beside[1L])
  }
}

# Arguments that are not given again are those of the other gram.
like_call <- function(call, schema) {
  again <- setdiff(names(schema$arguments), names(call))
  call[again] <- schema$arguments[again]
  call
}

ROW_ARGS <- c("weights", "subset", "na.action", "offset")

# frame_terms: of the first gram, or NULL.
gram_of_chunk <- function(call, formula, data, contrasts, xlevels, frame_terms, env) {
  parsed <- parse_formula(formula, data)
  arguments <- as.list(call)[intersect(names(call), ROW_ARGS)]
  frame <- build_frame(call, frame_terms %||% parsed$frame, data, env)
  terms <- attr(frame, "terms")
  check_row_wise(terms, arguments, data, environment(formula))
  frame <- with_levels(frame, predictors(parsed), xlevels)
  x <- read_frame(frame, parsed, contrasts)
  d <- read_rows(x, stats::gaussian(), function(name) TRUE)
  coded <- as.list(frame)[coded_variables(frame, parsed)]
  schema <- c(x$schema[names(x$schema) != "arguments"], list(
    arguments = arguments, version = FIT_VERSION,
    products = product_spec(x$X, x$schema$terms, frame),
    factors = schema_factors(d$factors, parsed$bars, frame, environment(formula)),
    levels = lapply(coded, levels_of), seen = lapply(coded, used_levels),
    frame_terms = terms, given = contrasts
  ))
  named <- c(all.names(parsed$frame), unlist(lapply(arguments, all.names)))
  d$gram$schema <- in_env(schema, lean_env(environment(formula), named, nrow(frame)))
  d$gram
}

# ---- levels ------------------------------------------------------------------------------

# Names of the variables of the fixed part and of the covariates of groups.
predictors <- function(parsed) {
  sides <- c(list(parsed$fixed[[3L]]), lapply(parsed$bars, `[[`, "lhs"))
  unique(unlist(lapply(sides, function(side) {
    variable_names(stats::terms(stats::as.formula(call("~", side))))
  })))
}

coded_variables <- function(frame, parsed) {
  Filter(function(v) is.factor(frame[[v]]) || is.character(frame[[v]]), predictors(parsed))
}

used_levels <- function(x) {
  if (is.factor(x)) levels(x)[tabulate(x, nlevels(x)) > 0L] else levels_of(x)
}

# The frame with factors of the levels that were given.
with_levels <- function(frame, vars, xlevels) {
  check_xlevels(xlevels, frame, vars)
  for (v in vars) {
    x <- frame[[v]]
    if (!is.factor(x) && !is.character(x)) next
    want <- xlevels[[v]] %||% levels_of(x)
    if (length(want) < 2L) {
      mf_abort("gram", "`", v, "` has one level in these rows (", toString(want), "): give all ",
        "its levels, as in xlevels = list(", v, " = c(\"a\", \"b\"))", arg = "xlevels")
    }
    new <- setdiff(used_levels(x), want)
    if (length(new)) {
      mf_abort("gram", "`", v, "` has levels that `xlevels` lacks (", toString(utils::head(new, 5)),
        "): give them all, to every chunk", arg = "xlevels")
    }
    if (!identical(levels(x), want) && !is.null(xlevels[[v]])) {
      frame[[v]] <- factor(x, levels = want, ordered = is.ordered(x))
    }
  }
  frame
}

check_xlevels <- function(xlevels, frame, vars) {
  if (is.null(xlevels)) return(invisible())
  ok <- is.list(xlevels) && !is.null(names(xlevels)) && all(vapply(xlevels, function(l) {
    is.character(l) && !anyNA(l) && !anyDuplicated(l)
  }, NA))
  if (!ok) {
    mf_abort("gram", "`xlevels` must be a named list of levels, as in list(f = c(\"a\", \"b\")), ",
      "not ", describe(xlevels), arg = "xlevels")
  }
  other <- Filter(function(v) {
    !v %in% vars || !(is.factor(frame[[v]]) || is.character(frame[[v]]))
  }, names(xlevels))
  if (length(other)) {
    mf_abort("gram", "`xlevels` names `", other[1L], "`, which is no factor or text among the ",
      "predictors: leave it out", arg = "xlevels")
  }
}

# What a gram keeps of build_factors(), in the order of the formula.
schema_factors <- function(factors, bars, frame, env) {
  names <- unique(vapply(bars, function(b) deparse1(b$group), ""))
  lapply(factors[match(names, vapply(factors, `[[`, "", "name"))], function(f) {
    f$terms <- lapply(f$terms, function(t) t[setdiff(names(t), c("A", "off_centre"))])
    c(f[c("name", "expr", "weightless", "coef", "terms")],
      list(order = level_order_of(f$expr, frame, env)))
  })
}

# ---- where names are looked up -----------------------------------------------------------

# The environment of a formula often holds the chunk. What stays is what the formula names and is
# not a column: functions and constants. n: rows.
lean_env <- function(env, names, n) {
  top <- topenv(env)
  if (identical(env, top) || identical(env, globalenv())) return(env)
  out <- new.env(parent = top)
  for (v in unique(names)) {
    at <- binding_env(v, env)
    if (is.null(at) || identical(at, binding_env(v, top))) next
    x <- get(v, at, inherits = FALSE)
    if (is.function(x) || NROW(x) != n || n == 1L) assign(v, x, out)
  }
  out
}

in_env <- function(schema, env) {
  move <- function(x) {
    attr(x, ".Environment") <- env
    x
  }
  for (part in c("formula", "terms", "frame_terms")) schema[[part]] <- move(schema[[part]])
  schema$factors <- lapply(schema$factors, function(f) {
    f$terms <- lapply(f$terms, function(t) {
      if (!is.null(t$tt)) t$tt <- move(t$tt)
      t
    })
    f
  })
  schema
}

# ---- addition ----------------------------------------------------------------------------

#' @rdname gram
#' @export
"+.meanfield_gram" <- function(e1, e2) {
  if (missing(e2)) return(valid_gram(e1, "e1"))
  valid_gram(e1, "e1")
  valid_gram(e2, "e2")
  differ <- schema_difference(e1, e2)
  if (!is.null(differ)) mf_abort("gram", "these grams cannot be added: ", differ, arg = "e2")
  schema <- add_schemas(e1$schema, e2$schema)
  orders <- lapply(schema$factors, `[[`, "order")
  names(orders) <- vapply(schema$factors, `[[`, "", "name")
  e2 <- gram_reordered(e2, match(gram_factor_names(e1), gram_factor_names(e2)))
  out <- add_grams(e1, e2, function(levels, name) sort_levels(levels, orders[[name]]))
  if (!is_finite_gram(out)) abort_overflow()
  out$schema <- schema
  out
}

#' @rdname gram
#' @param na.rm Not used: a gram has no missing values.
#' @export
sum.meanfield_gram <- function(..., na.rm = FALSE) Reduce(`+`, list(...))

# The first thing in which two grams differ that must not, in words; or NULL.
schema_difference <- function(e1, e2) {
  a <- e1$schema
  b <- e2$schema
  text <- function(f) paste0("`", deparse1(f), "`")
  if (text(a$formula) != text(b$formula)) {
    return(paste0("their formulas are ", text(a$formula), " and ", text(b$formula),
      "; use the same for every chunk"))
  }
  first_wrong(
    level_difference(a$levels, b$levels), base_difference(a$frame_terms, b$frame_terms),
    if (!identical(a$arguments$offset, b$arguments$offset)) {
      "their `offset`s differ; use the same expression for every chunk"
    },
    if (!same_coding(a, b)) {
      "their contrasts differ; use the same `contrasts` for every chunk, or gram(like = )"
    },
    column_difference(e1, e2)
  )
}

level_difference <- function(a, b) {
  for (v in intersect(names(a), names(b))) {
    if (!identical(a[[v]], b[[v]])) {
      both <- paste0("\"", united_levels(a[[v]], b[[v]]), "\"", collapse = ", ")
      return(paste0("the levels of `", v, "` differ; give all of them to every chunk: ",
        "xlevels = list(", v, " = c(", both, "))"))
    }
  }
  other <- c(setdiff(names(a), names(b)), setdiff(names(b), names(a)))
  if (length(other)) {
    paste0("`", other[1L], "` is a factor or text in one of them and not in the other; convert it")
  }
}

base_difference <- function(a, b) {
  made <- lapply(list(a, b), function(tt) as.list(attr(tt, "predvars"))[-1L])
  if (diff(lengths(made))) return("their variables differ; use the same formula for every chunk")
  differ <- !mapply(identical, made[[1L]], made[[2L]], MoreArgs = list(ignore.environment = TRUE))
  if (any(differ)) {
    paste0("`", variable_names(a)[differ][1L], "` depends on all the rows and was made anew; use ",
      "gram(like = <the first>, data = <the chunk>) for every other chunk")
  }
}

same_coding <- function(a, b) {
  coding <- function(s) {
    c(list(s$contrasts), lapply(s$factors, function(f) lapply(f$terms, `[[`, "contrasts")))
  }
  identical(coding(a), coding(b), ignore.bytecode = TRUE, ignore.environment = TRUE,
    ignore.srcref = TRUE)
}

column_difference <- function(e1, e2) {
  columns <- function(e) {
    c(e$x_names, unlist(lapply(e$schema$factors, function(f) paste(f$coef, "of", f$name))))
  }
  other <- c(setdiff(columns(e1), columns(e2)), setdiff(columns(e2), columns(e1)))
  if (length(other) || !identical(columns(e1), columns(e2))) {
    paste0("one of them has no column ", toString(utils::head(other, 3)),
      "; give the variables the same types in every chunk")
  }
}

add_schemas <- function(a, b) {
  a$n_rows <- a$n_rows + b$n_rows
  a$weighted <- a$weighted || b$weighted
  a$arguments$weights <- a$arguments$weights %||% b$arguments$weights
  a$seen <- Map(union, a$seen, b$seen)
  a$factors <- Map(function(f, g) {
    f$weightless <- union(f$weightless, g$weightless)
    f$order <- add_level_orders(f$order, g$order)
    f
  }, a$factors, b$factors)
  a
}

# ---- methods -----------------------------------------------------------------------------

#' @rdname gram
#' @export
print.meanfield_gram <- function(x, ...) {
  no_dots(...)
  if (!is.null(x$schema)) {
    cat("Formula: ", deparse1(valid_gram(x, "x")$schema$formula), "\n", sep = "")
  }
  cat("Gram of ", format(x$n, big.mark = ","), " rows, ", length(x$x_names), " columns",
    vapply(x$factors, function(f) paste0("; ", f$name, ": ", length(f$levels), " groups"), ""),
    "\n", sep = "")
  invisible(x)
}

#' @rdname gram
#' @export
nobs.meanfield_gram <- function(object, ...) {
  no_dots(...)
  row_count(valid_gram(object)$n)
}

# Sums may count more rows than an integer can.
row_count <- function(n) if (n <= .Machine$integer.max) as.integer(n) else n

#' @rdname gram
#' @export
formula.meanfield_gram <- function(x, ...) {
  no_dots(...)
  valid_gram(x, "x")$schema$formula
}

# ---- calls of fits -----------------------------------------------------------------------

# The call of a fit of sums, for update(); it holds the sums where no name leads back to them.
gram_call <- function(call, verb, gram, env) {
  args <- as.list(call)[-1L]
  names(args)[names(args) == ""] <- "object"
  there <- environment(gram$schema$formula)
  expr <- args$object
  if (is.language(expr) && (has_dots(expr) || !lasting(expr, env, there))) args$object <- gram
  as.call(c(list(as.name(verb)), lasting_args(args, NULL, env, there)))
}
