# The call that a fit keeps: so that update() can make it again, wherever it is called.

# Arguments that are looked up among the columns of data first, as in model.frame().
MASKED_ARGS <- c("weights", "subset", "offset")

# A formula, or its text, which belongs to the frame of the call as in lm().
as_model_formula <- function(formula, env, arg = "formula") {
  if (!is.character(formula)) return(formula)
  if (length(formula) != 1L || is.na(formula)) {
    mf_abort("formula", "`", arg, "` as text must be one string, not ", describe(formula),
      ": join the pieces by paste(collapse = \" \")", arg = arg)
  }
  tryCatch(stats::as.formula(formula, env), error = function(e) {
    mf_abort("formula", "`", arg, "` is no formula: \"", formula, "\" (",
      conditionMessage(e), ")", arg = arg)
  })
}

# call: match.call() of a method; env: the frame it was called from. model: does the fit keep its
# rows? Then the data may stand in the call where no name will lead to them.
fit_call <- function(call, verb, formula, env, model = TRUE) {
  args <- as.list(call)[-1L]
  args$formula <- formula # a name would be lost outside this frame
  columns <- function() eval(args$data, env)
  args <- lasting_args(args, columns, env, environment(formula), isTRUE(model))
  as.call(c(list(as.name(verb)), args))
}

# Arguments that could not be found again become values: `..1` of a wrapper, X[[i]] of lapply(), and
# names that `there`, where the formula was written, does not know or knows as something else.
lasting_args <- function(args, columns, env, there, keep_data = TRUE) {
  for (arg in names(args)[!names(args) %in% c("formula", "object")]) {
    expr <- args[[arg]]
    if (!is.language(expr)) next
    if (arg %in% MASKED_ARGS) {
      args[arg] <- list(without_dots(expr, columns, env, there))
    } else if (has_dots(expr) || !lasting(expr, env, there) && (arg != "data" || keep_data)) {
      args[arg] <- list(eval(expr, env))
    }
  }
  args
}

DOT_NAME <- "^\\.\\.[0-9]+$"

has_dots <- function(expr) {
  names <- all.names(expr, functions = FALSE)
  any(startsWith(names, "..")) && any(grepl(DOT_NAME, names))
}

# `..1` stands for what the caller of the wrapper wrote, a column perhaps; for its value where
# neither the data nor `there` has the names in it.
without_dots <- function(expr, columns, env, there) {
  if (!has_dots(expr)) return(expr)
  written <- eval(quote(substitute(list(...))), env)
  known <- names(tryCatch(columns(), error = function(e) NULL))
  replace <- function(e) {
    if (is.name(e) && grepl(DOT_NAME, e)) {
      own <- written[[as.integer(substring(e, 3L)) + 1L]]
      found <- vapply(setdiff(all.vars(own), known), exists, NA, envir = there %||% env)
      return(if (all(found)) own else eval(e, env))
    }
    if (is.call(e)) as.call(lapply(e, replace)) else e
  }
  replace(expr)
}

lasting <- function(expr, env, there) {
  if (moving_index(expr)) return(FALSE)
  if (is.null(there) || identical(env, there)) return(TRUE)
  same <- function(name) identical(binding_env(name, env), binding_env(name, there))
  all(vapply(all.vars(expr), same, NA))
}

# data[[i]], data[rows, ]: the index is something else by the time of an update.
moving_index <- function(expr) {
  if (!is.call(expr)) return(FALSE)
  parts <- as.list(expr)[-1L]
  moves <- function(i) is.name(i) && nzchar(as.character(i))
  index <- if (is.name(expr[[1L]]) && as.character(expr[[1L]]) %in% c("[", "[[")) parts[-1L]
  any(vapply(index, moves, NA)) || any(vapply(Filter(is.call, parts), moving_index, NA))
}

# The environment, from env outwards, that has a variable of this name.
binding_env <- function(name, env) {
  while (!identical(env, emptyenv())) {
    if (exists(name, envir = env, inherits = FALSE)) return(env)
    env <- parent.env(env)
  }
  NULL
}

# The call of a formula method for one with text, which has no first argument where the text is
# given as `formula = `.
text_call <- function(call, verb) {
  names(call)[names(call) == "object"] <- "formula"
  call[[1L]] <- get(paste0(verb, ".formula"), envir = topenv())
  call
}

# data |> fit_vb(y ~ x): the same call with the formula first and the data named.
data_first_call <- function(call, verb) {
  call[[1L]] <- get(verb, envir = topenv())
  names(call)[match("object", names(call))] <- "data"
  at <- match("formula", names(call))
  if (is.na(at)) {
    mf_abort("formula", "`formula` is missing: data |> ", verb, "(y ~ x)", arg = "formula")
  }
  call[c(1L, at, setdiff(seq_along(call)[-1L], at))]
}

# The call of a fit with its engine changed and the arguments of `call` laid over
# it, so that update() works on fits made from fits.
refit_call <- function(object, verb, call, env) {
  out <- object$call
  out[[1L]] <- as.name(verb)
  out$control <- NULL
  keep <- names(out) %in% c("", "object", names(formals(paste0(verb, ".formula"))))
  lay_over(out[keep], as.list(call)[setdiff(names(call)[-1L], c("object", ""))], env)
}

# args: expressions, as written in env.
lay_over <- function(call, args, env) {
  there <- environment(call$formula)
  columns <- function() if (is.null(args$data)) eval(call$data, there) else eval(args$data, env)
  args <- lasting_args(args, columns, env, there)
  call[names(args)] <- args
  call
}

# Where the formula was written, if the call's own variables are there, else here. The function
# comes from this package, attached or not. there: where the formula was written, if the call has
# none.
eval_fit_call <- function(call, here, there = here) {
  there <- environment(call$formula) %||% there
  needed <- lapply(as.list(call)[setdiff(names(call)[-1L], c("formula", MASKED_ARGS))], all.vars)
  found <- function(v) { # not a function of base R that has the name of the data
    x <- get0(v, envir = there)
    !is.null(x) && !(is.function(x) && v %in% needed$data)
  }
  if (!all(vapply(unlist(needed), found, NA))) there <- here
  call[[1L]] <- get(as.character(call[[1L]]), envir = topenv())
  eval(call, there)
}

# The call that a fit of a model object keeps; update() takes the model from the fit.
object_call <- function(call, verb, env) {
  as.call(c(list(as.name(verb)), lasting_args(as.list(call)[-1L], NULL, env, globalenv())))
}
