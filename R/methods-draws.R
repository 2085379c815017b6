# Draws in the formats of the posterior package, and in the shapes of base R, as rstanarm gives
# them.

#' Posterior draws as a matrix, data frame or array
#'
#' @param x A fit.
#' @param row.names,optional As in [as.data.frame()].
#' @param ... Arguments of [as_draws()]: `ndraws`, `u`.
#' @return `as.matrix()` and `as.data.frame()`: draws x variables; `as.array()`: iterations x
#'   chains x variables. The variables are those of [as_draws()].
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

#' Posterior draws
#'
#' `as_draws(fit)` and its relatives give the draws of a fit in the formats of the
#' posterior package. A `gibbs_fit` and a fit by [fit_hmc()] have their own. An `exact_fit`, and a
#' `vb_fit` that was integrated, draws the precisions independently from their exact posterior
#' density (Gaussian models: rejection sampling over the lattice, where that accepts enough; else
#' points within the cells of the lattice; resampling of the points after importance sampling),
#' then (beta, u) from its conditional normal: no burn-in, no autocorrelation. Any
#' other `vb_fit` draws from the corrected joint normal distribution of (beta, u, log tau), which
#' keeps the covariances that linear response found. Draws come from R's generator.
#'
#' A `gmm_vb_fit` draws means, log-Cholesky factors of the precision matrices and log weights from
#' their joint normal distribution under linear response: precision matrices stay positive
#' definite, weights sum to one. Means, weights and log determinants are distributed as in
#' [summary()]; precision and covariance matrices, which are skewed, nearly so. A `gmm_gibbs_fit`
#' has its own draws, relabelled.
#'
#' Fits of a [target()] resample their points in proportion to the weights (importance sampling, the
#' lattice, or the chains that refined them); one that was not refined draws from its Gaussian. The
#' moments of many draws are those of the points, which may differ from [summary()] by what control
#' variates gain there.
#'
#' @param x A fit.
#' @param ndraws Number of draws of a `vb_fit` and of a fit of a target, default 4,000, and of an
#'   `exact_fit`, default its `draws`; a `gibbs_fit` or `hmc_fit` has its own.
#' @param u Include the random effects? `"auto"`: when that is at most 1e7 numbers
#'   (and, for a `gibbs_fit`, when they were stored).
#' @param ... Not used.
#' @return A draws object with variables `beta[...]`, `tau_e`, `log_tau_e`, `sigma_e`,
#'   and those of the group terms as in [summary()], and `u[...]`; of a mixture or a target those
#'   of [summary()].
#' @aliases as_draws.vb_fit as_draws.exact_fit as_draws.gibbs_fit as_draws.gmm_vb_fit
#'   as_draws.gmm_gibbs_fit
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' posterior::summarise_draws(as_draws(fit, ndraws = 1000, u = FALSE), "mean", "sd")
#' @aliases as_draws
#' @export as_draws
#' @exportS3Method posterior::as_draws meanfield_fit
as_draws.meanfield_fit <- function(x, ndraws = NULL, u = "auto", ...) {
  valid_fit(x)
  no_dots(...)
  all_draws(posterior_of(x), ndraws, u)
}

#' @exportS3Method posterior::as_draws_array meanfield_fit
as_draws_array.meanfield_fit <- function(x, ...) posterior::as_draws_array(as_draws(x, ...))
#' @exportS3Method posterior::as_draws_df meanfield_fit
as_draws_df.meanfield_fit <- function(x, ...) posterior::as_draws_df(as_draws(x, ...))
#' @exportS3Method posterior::as_draws_list meanfield_fit
as_draws_list.meanfield_fit <- function(x, ...) posterior::as_draws_list(as_draws(x, ...))
#' @exportS3Method posterior::as_draws_matrix meanfield_fit
as_draws_matrix.meanfield_fit <- function(x, ...) posterior::as_draws_matrix(as_draws(x, ...))
#' @exportS3Method posterior::as_draws_rvars meanfield_fit
as_draws_rvars.meanfield_fit <- function(x, ...) {
  d <- as_draws(x, ...)
  posterior::variables(d) <- array_names(posterior::variables(d))
  posterior::as_draws_rvars(d)
}

# posterior reads what a bracket holds as indices, with a comma between two. A comma inside a
# coefficient's name, poly(x, 2), or a level's is none: it becomes a semicolon.
array_names <- function(names) {
  inside <- "(\\([^()]*),([^()]*\\))"
  while (any(at <- grepl(inside, names))) names[at] <- sub(inside, "\\1;\\2", names[at])
  stem <- sub("\\[.*", "", names)
  commas <- lengths(regmatches(names, gregexpr(",", names)))
  ragged <- stem %in% stem[commas != commas[match(stem, stem)]]
  names[ragged] <- gsub(",", ";", names[ragged])
  names
}
