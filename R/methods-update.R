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
