# Draws in the shapes of base R, as rstanarm gives them.

#' Posterior draws as a matrix, data frame or array
#'
#' @param x A fit.
#' @param row.names,optional As in [as.data.frame()].
#' @param ... Arguments of [as_draws()]: `ndraws`, `u`.
#' @return `as.matrix()` and `as.data.frame()`: draws x variables; `as.array()`: iterations x chains x
#'   variables. The variables are those of [as_draws()].
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' colMeans(as.matrix(fit, ndraws = 500, u = FALSE))
#' @export
as.matrix.meanfield_fit <- function(x, ...) {
  valid_fit(x)
  d <- posterior::as_draws_matrix(as_draws(x, ...))
  matrix(d, nrow(d), ncol(d), dimnames = list(iterations = NULL, parameters = colnames(d)))
}

#' @rdname as.matrix.meanfield_fit
#' @export
as.data.frame.meanfield_fit <- function(x, row.names = NULL, optional = FALSE, ...) {
  valid_fit(x)
  named_rows(row.names, as.data.frame(as.matrix(x, ...)))
}

#' @rdname as.matrix.meanfield_fit
#' @export
as.array.meanfield_fit <- function(x, ...) {
  valid_fit(x)
  d <- posterior::as_draws_array(as_draws(x, ...))
  array(d, dim(d), list(iterations = NULL, chains = paste0("chain:", seq_len(dim(d)[2L])),
    parameters = dimnames(d)[[3L]]))
}

#' @rdname as.matrix.meanfield_fit
#' @export
as.matrix.gmm_fit <- as.matrix.meanfield_fit

#' @rdname as.matrix.meanfield_fit
#' @export
as.data.frame.gmm_fit <- as.data.frame.meanfield_fit

#' @rdname as.matrix.meanfield_fit
#' @export
as.array.gmm_fit <- as.array.meanfield_fit
