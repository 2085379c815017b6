#' @rdname model-methods
#' @param formula. Changes to the formula, as in [stats::update()].
#' @param evaluate Evaluate the new call?
#' @details `update()` finds the data of the fit where its formula was written, as lme4 does, or
#'   else where it is called. It works in wrappers that pass `...` on, and on fits made inside
#'   functions or by [lapply()]: where no name would lead back to the data, the call of the fit
#'   holds them.
#' @export
update.regression_fit <- function(object, formula., ..., evaluate = TRUE) {
  valid_fit(object)
  call <- object$call
  from_sums <- object$model$source == "gram"
  if (!missing(formula.) && from_sums) {
    mf_abort("formula", "the columns of a fit of sums are fixed: make sums by the ",
      "new formula, see gram()",
      arg = "formula.")
  }
  if (!missing(formula.)) call$formula <- stats::update(formula(object), formula.)
  args <- as.list(match.call(expand.dots = FALSE)$...)
  if (length(args) && (is.null(names(args)) || any(names(args) == ""))) no_dots("")
  call <- lay_over(call, args, parent.frame())
  if (!check_flag(evaluate, "evaluate")) return(call)
  eval_fit_call(call, parent.frame(), environment(formula(object)))
}

# update() of a fit of a model object, as gaussian_mixture(): arguments of its constructor change
# the model, the others the fit. new: their values; written: as they were written; rebuild: the
# model from the old one and a list of new values.
updated_fit <- function(object, constructor, rebuild, new, written, evaluate, env) {
  if (length(new) && (is.null(names(new)) || any(names(new) == ""))) no_dots("")
  of_model <- names(new) %in% names(formals(constructor))
  call <- object$call
  call$object <- object$model$call
  call$object[names(new)[of_model]] <- written[of_model]
  call[names(new)[!of_model]] <- written[!of_model]
  if (!check_flag(evaluate, "evaluate")) return(call)
  of_fit <- setdiff(names(object$call)[-1L], "object")
  old <- lapply(as.list(object$call)[of_fit], eval, env)
  args <- utils::modifyList(old, new[!of_model], keep.null = TRUE)
  model <- if (any(of_model)) rebuild(object$model, new[of_model]) else object$model
  fit <- do.call(get(as.character(call[[1L]]), envir = topenv()), c(list(model), args))
  fit$call <- call
  fit$model$call <- call$object
  fit
}
