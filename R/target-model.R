# A target: any log density, with its parameters, their constraints, and where its gradient comes
# from.

#' Any log density as a model
#'
#' Describes a posterior by its log density, written in R: a function of the parameters on the scale
#' on which they are thought of. Fits work on it as on any other model.
#'
#' @param log_density A function of `p`, a named list shaped as `init` (numbers, vectors, matrices,
#'   all inside their constraints), that returns one number: the log density of the posterior up to
#'   a constant, log prior + log likelihood, without any Jacobian. With `data` it is called as
#'   `log_density(p, data)`.
#' @param init A named list: a starting point, which also says what parameters there are, and of
#'   what size. Names of a vector, and row and column names of a matrix, name the variables.
#' @param gradient A function as `log_density` that returns a list of the same names and shapes as
#'   `p`: the derivatives of the log density by the parameters, on their own scale (without
#'   Jacobian). It is checked against differences at the start. Without it: if RTMB is installed and
#'   can tape `log_density`, its derivatives; else central differences, at 2 values per coordinate.
#'   `"differences"` and `"RTMB"` ask for one of these.
#' @param constraints A named list of [constraints], for the parameters that have one.
#' @param data Anything that `log_density` needs; the second argument of the functions then.
#' @param generated A function as `log_density` that returns a named list of derived quantities
#'   (numbers, vectors, matrices), which are reported as the parameters are. It is always called
#'   with one point.
#' @param vectorised TRUE if the functions take a block of n points at once: numbers come as vectors
#'   of length n, vectors as n x k matrices, matrices as n x r x c arrays; `log_density` returns n
#'   values, `gradient` a list of the same shapes.
#' @param rows,log_lik For mini-batches: the number of rows of the data, and a function
#'   `log_lik(p, i)`, or `log_lik(p, i, data)`, of row numbers `i`, that returns the log likelihood
#'   of each of these rows, or their sum (of a block: a matrix of points x rows, or n sums). The log
#'   density is then `log_density` (the prior) plus the sum of `log_lik` over all rows.
#' @param grad_log_lik A function of the same arguments: the gradient of the sum of `log_lik` over
#'   the rows `i`, a list as that of `gradient`. Goes with `gradient`.
#'
#' @details
#' Variables are named `sigma`, `beta[2]`, `Omega[1,2]`; of symmetric matrices the upper triangle is
#' reported, of Cholesky factors the lower one. Constrained parameters are mapped to unconstrained
#' coordinates z (see [constraints]); fits work with log density + log |dp/dz|.
#'
#' Where a function raises an error, or returns NaN or Inf, the density is taken to be zero, and
#' that is counted. At `init` it is an error; if the density there is zero, a few points around are
#' tried. Where a density ends at a fixed bound, say so by a constraint, not by `-Inf`: the fits
#' need smoothness.
#'
#' R's random number generator is not touched.
#'
#' @return An object of class `meanfield_target`; its elements are internal.
#' @section Errors: `meanfield_error_target` for functions that are none or return what they must
#'   not, `meanfield_error_init` for a start that is misshapen, outside its constraints, or without
#'   density, `meanfield_error_constraint`, and `meanfield_error_gradient` for a gradient that
#'   disagrees with differences (above 1e-4, relative), naming the parameter.
#' @seealso [as_target()] for models of TMB, RTMB and Stan.
#' @examples
#' # Poisson counts with a gamma prior
#' y <- c(3, 1, 4, 2)
#' model <- target(
#'   function(p) sum(dpois(y, p$rate, log = TRUE)) + dgamma(p$rate, 2, 1, log = TRUE),
#'   init = list(rate = 1), constraints = list(rate = positive()),
#'   gradient = function(p) list(rate = sum(y) / p$rate - 4 + 1 / p$rate - 1),
#'   generated = function(p) list(none = exp(-p$rate))
#' )
#' model
#' @export
target <- function(log_density, init, gradient = NULL, constraints = list(), data = NULL,
                   generated = NULL, vectorised = FALSE, rows = NULL, log_lik = NULL,
                   grad_log_lik = NULL) {
  call <- match.call()
  if (missing(log_density)) {
    mf_abort("target", "`log_density`, a function of the parameters, is missing",
      arg = "log_density")
  }
  if (missing(init)) {
    mf_abort("init", "`init`, a named list to start from, is missing", arg = "init")
  }
  user <- list(log_density = log_density, gradient = gradient, generated = generated,
    vectorised = check_flag(vectorised, "vectorised"), log_lik = log_lik,
    grad_log_lik = grad_log_lik, data = data)
  user <- check_functions(user, rows)
  if (!is.null(rows)) rows <- check_count(rows, "rows", 1, kind = "target")
  built <- build_target(call, user, check_init(init), constraints, rows)
  finish_target(built, gradient)
}

# Without looking at the functions' values.
build_target <- function(call, user, init, constraints, rows = NULL, foreign = NULL) {
  constraints <- check_constraints(constraints, names(init))
  blocks <- Map(function(name, value) {
    constrained_block(name, value, constraints[[name]] %||% unconstrained())
  }, names(init), init)
  shape <- transform_shape(blocks)
  z <- call_bb_untransform(shape, unlist(init, use.names = FALSE))
  structure(list(version = FIT_VERSION, call = call, d = length(z), init = z,
    names = coordinate_names(unname(blocks)), rows = rows, user = user, blocks = unname(blocks),
    shape = shape, skeleton = init, free = all(shape$kind == 0L), foreign = foreign,
    variables = parameter_variables(unname(blocks)), source = NULL, step = NULL, lp = NA_real_),
  class = "meanfield_target")
}

# The checks that evaluate: the density at the start, the gradient, generated quantities.
finish_target <- function(target, gradient, source = "supplied") {
  target <- start_target(target)
  target <- with_gradient(target, gradient, source)
  if (target$user$vectorised) check_block(target)
  with_generated(target)
}

# ---- what the user gives -------------------------------------------------------------------------

check_functions <- function(user, rows) {
  user$log_density <- check_user_function(user$log_density, "log_density", user$data)
  if (is.character(user$gradient)) {
    check_choice(user$gradient, c("differences", "RTMB"), "gradient")
    user$gradient <- NULL
  }
  for (name in c("gradient", "generated")) if (!is.null(user[[name]])) {
    user[[name]] <- check_user_function(user[[name]], name, user$data)
  }
  check_row_functions(user, rows)
}

check_row_functions <- function(user, rows) {
  if (is.null(rows) != is.null(user$log_lik)) {
    mf_abort("target", "`rows` and `log_lik` go together: give both, or neither",
      arg = if (is.null(rows)) "rows" else "log_lik")
  }
  if (is.null(rows)) {
    if (is.null(user$grad_log_lik)) return(user)
    mf_abort("target", "`grad_log_lik` needs `rows` and `log_lik`", arg = "grad_log_lik")
  }
  if (is.null(user$gradient) != is.null(user$grad_log_lik)) {
    mf_abort("target", "`gradient` and `grad_log_lik` go together: give both, or neither",
      arg = if (is.null(user$gradient)) "gradient" else "grad_log_lik")
  }
  user$log_lik <- check_user_function(user$log_lik, "log_lik", user$data, 2L)
  if (!is.null(user$grad_log_lik)) {
    user$grad_log_lik <- check_user_function(user$grad_log_lik, "grad_log_lik", user$data, 2L)
  }
  user
}

# given: arguments before the data.
check_user_function <- function(f, name, data, given = 1L) {
  if (!is.function(f)) {
    mf_abort("target", "`", name, "` must be a function of ", call_text(given, data), ", not ",
      describe(f), arg = name)
  }
  formals <- formals(args(f))
  want <- given + !is.null(data)
  required <- sum(vapply(formals, function(x) is.symbol(x) && !nzchar(x), NA) &
    names(formals) != "...")
  room <- if ("..." %in% names(formals)) Inf else length(formals)
  if (given > room || want < required) { # one that does not ask for the data does not get it
    remedy <- if (want < required && is.null(data)) ": what comes second is given by `data`"
    mf_abort("target", "`", name, "` is called as ", name, "(", call_text(given, data),
      "), and has ", length(formals), " argument", if (length(formals) != 1L) "s", remedy,
      arg = name)
  }
  f
}

call_text <- function(given, data) {
  toString(c("p", if (given > 1L) "i", if (!is.null(data)) "data"))
}

# The same list of doubles.
check_init <- function(init) {
  refuse <- function(...) mf_abort("init", ..., arg = "init")
  if (!is.list(init) || is.data.frame(init) || !length(init)) {
    refuse("`init` must be a named list of numbers, vectors and matrices, not ", describe(init))
  }
  names <- names(init)
  if (is.null(names) || anyNA(names) || !all(nzchar(names))) {
    refuse("every element of `init` needs a name")
  }
  if (anyDuplicated(names)) {
    refuse("`init` has more than one element called `", names[anyDuplicated(names)], "`")
  }
  Map(check_init_value, init, names)
}

check_init_value <- function(x, name) {
  refuse <- function(...) mf_abort("init", "`init$", name, "` ", ..., arg = "init")
  ok <- (is.numeric(x) || is.logical(x)) && length(x) && !is.object(x)
  if (!ok) refuse("must be a number, a vector or a matrix of numbers, not ", describe(x))
  if (length(dim(x)) > 2L) refuse("is an array: use matrices")
  if (!all(is.finite(x))) refuse("has values that are missing or infinite")
  if (length(dim(x)) == 1L) x <- drop(x)
  out <- as.double(x)
  dim(out) <- dim(x)
  if (is.matrix(x)) dimnames(out) <- dimnames(x) else names(out) <- names(x)
  out
}

check_constraints <- function(constraints, names) {
  refuse <- function(...) mf_abort("constraint", ..., arg = "constraints")
  if (inherits(constraints, "meanfield_constraint") || !is.list(constraints)) {
    refuse("`constraints` must be a named list, as list(sigma = positive()), not ",
      describe(constraints))
  }
  given <- names(constraints)
  if (length(constraints) && (is.null(given) || anyNA(given) || !all(nzchar(given)))) {
    refuse("every element of `constraints` needs the name of a parameter")
  }
  strange <- setdiff(given, names)
  if (length(strange)) {
    refuse("`constraints` names `", strange[1L], "`, and `init` has ", toString(names))
  }
  if (anyDuplicated(given)) {
    refuse("`constraints` has more than one element called `", given[anyDuplicated(given)], "`")
  }
  for (name in given) {
    x <- constraints[[name]]
    if (is.function(x)) refuse("`constraints$", name, "` is a function: call it, as positive()")
    if (!inherits(x, "meanfield_constraint")) {
      refuse("`constraints$", name, "` must be made by a constructor, as positive(), not ",
        describe(x))
    }
  }
  constraints
}

# ---- the density at the start --------------------------------------------------------------------

# With a density at init, or at a point near it, which init becomes.
start_target <- function(target) {
  check_first_value(target)
  ev <- evaluator(target)
  lp <- ev(target$init, FALSE)$lp
  if (!is.finite(lp)) {
    tried <- start_points(target$init)
    values <- ev(tried, FALSE)$lp
    if (!any(is.finite(values))) refuse_start(target, lp, evaluator_counts(ev))
    target$init <- tried[, which.max(values)]
    lp <- max(values)
    target$moved <- TRUE
  }
  target$lp <- lp
  target
}

# Steps of 1 and 2 both ways along two fixed directions.
start_points <- function(z) {
  d <- length(z)
  e <- sign(t(quasi_random(2L, d)) - 0.5)
  matrix(z, d, 8L) + cbind(e, -e, 2 * e, -2 * e)
}

refuse_start <- function(target, lp, counts) {
  if (is.na(counts$message)) {
    mf_abort("init", "the log density is ", lp, " at `init` and at 8 points around: start where ",
      "the density is positive, or mend `log_density`", arg = "init")
  }
  mf_abort("init", "`log_density` cannot be evaluated at `init`, nor at 8 points around: ",
    counts$message, "; mend it, or start elsewhere", arg = "init")
}

# The type of the value at init: errors of the user's code are seen by start_target().
check_first_value <- function(target) {
  user <- target$user
  p <- constrain_list(target, target$init)
  if (user$vectorised) p <- block_of_points(target$skeleton, cbind(unlist(p, use.names = FALSE)))
  check_one(tryCatch(suppressWarnings(with_data(user$log_density, user)(p)), error = identity),
    "log_density", 1L)
  if (is.null(target$rows)) return(invisible())
  i <- seq_len(target$rows)
  check_one(tryCatch(suppressWarnings(row_functions(user, i)$value(p)), error = identity),
    "log_lik",
    c(1L, target$rows))
}

check_one <- function(v, name, lengths) {
  if (inherits(v, "error")) return(invisible())
  if (!is.numeric(v) || !length(v) %in% lengths) {
    mf_abort("target", "`", name, "` must return ",
      if (length(lengths) > 1L) "a number for each row, or their sum" else "one number",
      ", not ", describe(v), ", at `init`", arg = name)
  }
}

# A block of points must give what the points give one by one.
check_block <- function(target) {
  ev <- evaluator(target)
  Z <- cbind(target$init, perturbed(target, ev), target$init)
  x <- constrained(target, Z)$x
  ask <- asked_functions(target)
  slope <- !is.null(ask$gradient)
  block <- tryCatch(suppressWarnings(block_answer(ask, x, slope)), error = identity)
  if (inherits(block, "error")) {
    mf_abort("target", "with `vectorised = TRUE` a block of 3 points failed: ",
      conditionMessage(block), "; see ?target for the shapes, or use vectorised = FALSE",
      arg = "log_density")
  }
  each <- lapply(1:3, function(j) block_answer(ask, x[, j, drop = FALSE], slope))
  same <- function(a, b) isTRUE(all.equal(a, b, tolerance = 1e-8, check.attributes = FALSE))
  one <- vapply(each, `[[`, 0, "lp")
  if (!same(block$lp, one)) {
    mf_abort("target", "`log_density` of 3 points together is ", toString(format(block$lp)),
      ", and of each ", toString(format(one)), ": it must treat the points one by one, or use ",
      "vectorised = FALSE", arg = "log_density")
  }
  if (slope && !same(block$gradient, do.call(cbind, lapply(each, `[[`, "gradient")))) {
    mf_abort("gradient", "`gradient` of 3 points together is not that of each: it must treat the ",
      "points one by one, or use vectorised = FALSE", arg = "gradient")
  }
}

# ---- gradient and generated quantities -----------------------------------------------------------

with_gradient <- function(target, gradient, source) {
  if (is.function(gradient)) {
    check_gradient_list(target)
    check_gradient(target, evaluator(target))
    target$source <- source
    return(target)
  }
  if (!identical(gradient, "differences")) {
    taped <- with_tape(target)
    if (!is.null(taped)) return(taped)
    if (identical(gradient, "RTMB")) {
      mf_abort("gradient", "RTMB is not installed, or cannot tape `log_density`: leave `gradient` ",
        "out, or write it", arg = "gradient")
    }
  }
  ev <- evaluator(target)
  target$step <- scaled_steps(target$init, function(Z) ev(Z, FALSE)$lp)
  target$source <- "central differences"
  target
}

# A tape may have frozen a branch: it must pass the check too.
with_tape <- function(target) {
  target$user$gradient <- taped_gradient(target)
  if (is.null(target$user$gradient)) return(NULL)
  target$source <- "RTMB"
  tryCatch({
    check_gradient(target, evaluator(target))
    target
  }, error = function(e) NULL)
}

check_gradient_list <- function(target) {
  user <- target$user
  p <- constrain_list(target, target$init)
  if (user$vectorised) p <- block_of_points(target$skeleton, cbind(unlist(p, use.names = FALSE)))
  check_gradient_value(with_data(user$gradient, user), p, target$skeleton, "gradient")
  if (!is.null(user$grad_log_lik)) {
    check_gradient_value(row_functions(user, seq_len(target$rows))$gradient, p, target$skeleton,
      "grad_log_lik")
  }
}

check_gradient_value <- function(f, p, skeleton, arg) {
  g <- tryCatch(suppressWarnings(f(p)), error = function(e) {
    mf_abort("gradient", "`", arg, "` failed at `init`: ", conditionMessage(e), arg = arg)
  })
  if (!is.list(g)) {
    mf_abort("gradient", "`", arg, "` must return a named list shaped as `init`, not ", describe(g),
      arg = arg)
  }
  missing <- setdiff(names(skeleton), names(g))
  if (length(missing)) {
    mf_abort("gradient", "`", arg, "` returned no element `", missing[1L], "`", arg = arg)
  }
  for (name in names(skeleton)) {
    x <- g[[name]]
    if (!is.numeric(x) || length(x) != length(skeleton[[name]])) {
      mf_abort("gradient", "`", arg, "` returned ", describe(x), " for `", name, "`, not ",
        length(skeleton[[name]]), " numbers", arg = arg)
    }
  }
}

with_generated <- function(target) {
  check_distinct(target$variables$variable)
  f <- with_data(target$user$generated, target$user)
  if (is.null(f)) return(target)
  values <- tryCatch(suppressWarnings(f(constrain_list(target, target$init))), error = function(e) {
    mf_abort("target", "`generated` failed at `init`: ", conditionMessage(e), arg = "generated")
  })
  check_generated(values, names(target$skeleton))
  target$variables <- rbind(target$variables, listed_variables(values))
  check_distinct(target$variables$variable)
  target
}

check_distinct <- function(names) {
  twice <- anyDuplicated(names)
  if (!twice) return(invisible())
  mf_abort("init", "two variables are called `", names[twice], "`: rename an element of `init` or ",
    "of what `generated` returns", arg = "init")
}

# The same model with other data, as a sensitivity asks for.
target_with_data <- function(target, data) {
  target$user["data"] <- list(data)
  target
}

# Is it a target, and of this version?
valid_target <- function(target, arg = "object") {
  if (!inherits(target, "meanfield_target")) {
    mf_abort("target", "`", arg, "` must be made by target() or as_target(), not ",
      describe(target), arg = arg)
  }
  if (!identical(target$version, FIT_VERSION)) {
    mf_abort("fit", "the target was made by another version of the package: make it again",
      arg = arg)
  }
  invisible(target)
}

check_generated <- function(values, taken) {
  refuse <- function(...) mf_abort("target", "`generated` ", ..., arg = "generated")
  names <- names(values)
  named <- !is.null(names) && !anyNA(names) && all(nzchar(names)) && !anyDuplicated(names)
  if (!is.list(values) || !length(values) || !named) {
    refuse("must return a named list of numbers, each name once, not ", describe(values))
  }
  bad <- !vapply(values, function(x) (is.numeric(x) || is.logical(x)) && length(x) > 0L, NA)
  if (any(bad)) {
    refuse("must return numbers: `", names[bad][1L], "` is ", describe(values[[which(bad)[1L]]]))
  }
  if (any(names %in% taken)) {
    refuse("returned `", intersect(names, taken)[1L], "`, which is a parameter: use another name")
  }
}

# ---- print ---------------------------------------------------------------------------------------

#' @export
print.meanfield_target <- function(x, ...) {
  no_dots(...)
  cat("Target: a log density of ", x$d, " unconstrained coordinate", if (x$d > 1L) "s", "\n",
    sep = "")
  if (is.null(x$foreign)) print_blocks(x$blocks) else print_foreign(x)
  own <- unique(x$variables$block[x$variables$kind == "generated"])
  line <- function(what, ...) cat(format(what, width = 12L), ..., "\n", sep = "")
  if (length(own)) line("Generated", toString(shorten(own)))
  if (!is.null(names(x$user$data))) line("Data", toString(shorten(names(x$user$data))))
  if (!is.null(x$rows)) line("Rows", format(x$rows, big.mark = ","))
  line("Gradient", gradient_text(x))
  line("At init", "log density ", format(x$lp, digits = 6), " (with Jacobian)",
    if (isTRUE(x$moved)) "; moved from the given point, where there is none")
  if (!is.null(x$note)) cat(x$note, "\n", sep = "")
  invisible(x)
}

print_blocks <- function(blocks) {
  size <- vapply(blocks, function(b) size_text(b$value), "")
  label <- vapply(blocks, `[[`, "", "label")
  name <- vapply(blocks, `[[`, "", "name")
  lines <- paste0("  ", format(name), "  ", format(size), "  ", label)
  cat(sub(" +$", "", utils::head(lines, 20L)), sep = "\n")
  if (length(lines) > 20L) cat("  ... and ", length(lines) - 20L, " more\n", sep = "")
}

print_foreign <- function(x) {
  v <- x$variables
  own <- v$block[v$kind == "parameter"]
  cat("  ", toString(shorten(unique(own))), " (constrained by the model itself)\n", sep = "")
}

size_text <- function(value) {
  if (is.matrix(value)) return(paste(dim(value), collapse = " x "))
  if (is_scalar(value)) "1" else as.character(length(value))
}

gradient_text <- function(x) {
  switch(x$source,
    supplied = "supplied, agrees with differences",
    RTMB = "by RTMB's tape of `log_density`",
    "central differences" = paste0("central differences, ", 2 * x$d, " values each"),
    x$source)
}

shorten <- function(names, most = 12L) {
  if (length(names) > most) c(utils::head(names, most), "...") else names
}
