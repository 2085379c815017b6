# Credible intervals.

#' Credible intervals
#'
#' @param object A fit.
#' @param parm `NULL`: the coefficients, by their names in the model matrix (of a mixture the means
#'   of its components); `"all"`: every row of [summary()]; or a vector of coefficient or variable
#'   names, or positions of coefficients.
#' @param level Mass of the central interval.
#' @param ... Not used.
#' @return A matrix with two columns, lower and upper limit, a row per parameter.
#' @examples
#' confint(fit_vb(log_radon ~ floor + (1 | county), data = radon), "all")
#' @export
confint.meanfield_fit <- function(object, parm = NULL, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  s <- summary_table(object, check_level(level))
  out <- as.matrix(s[, quantile_names(level)])
  dimnames(out) <- list(s$variable, paste(substring(quantile_names(level), 2L), "%"))
  if (identical(parm, "all")) return(out)
  here <- as.character(location_names(object$model)) # none: not NULL
  if (is.null(parm) || identical(parm, "beta_")) parm <- seq_along(here) # the second as in lme4
  if (is.numeric(parm)) parm <- here[check_positions(parm, length(here))]
  if (!is.character(parm)) {
    mf_abort("control", "`parm` must be names or positions, not ", describe(parm), arg = "parm")
  }
  rows <- named_variables(parm, s$variable, object$model)
  if (anyNA(rows)) {
    known <- unique(c(here, s$variable[!s$variable %in% location_variables(object$model)]))
    mf_abort("control", "`parm` names '", parm[is.na(rows)][1L], "', which is none of ",
      toString(utils::head(known, 24)), if (length(known) > 24L) ", ...", arg = "parm")
  }
  structure(out[rows, , drop = FALSE], dimnames = list(parm, colnames(out)))
}

# Positions among the variables of what users call by the name of a coefficient or by its own;
# backticks count for nothing. A coefficient comes before a variable of the same name.
named_variables <- function(names, variables, model) {
  bare <- function(x) gsub("`", "", x, fixed = TRUE)
  coefficient <- location_variables(model)[match(bare(names), bare(location_names(model)))]
  ifelse(is.na(coefficient), match(bare(names), bare(variables)), match(coefficient, variables))
}

check_positions <- function(parm, n) {
  if (!all(parm %in% seq_len(n))) {
    mf_abort("control", "`parm` must be whole numbers from 1 to ", n, ", or names", arg = "parm")
  }
  as.integer(parm)
}

location_variables <- function(model) {
  table <- variable_table(model)
  table$variable[table$kind == location_kind(model)]
}
