#' The exact posterior of a Gaussian model by numerical integration
#'
#' Integrates the coefficients and random effects out in closed form and the precisions
#' numerically: the posterior of the same model and prior as [fit_vb()] and [fit_gibbs()], without
#' Monte Carlo, with its error.
#'
#' @inheritParams fit_vb
#' @param family `gaussian()`. The other families are integrated by `fit_vb(integrate = "yes")`,
#'   and sampled exactly by [fit_gibbs()].
#' @param control [vb_control()] of the variational fit that the integration starts from.
#' @param tol Largest error of a posterior mean or SD, relative to the SD, with one or two precision
#'   parameters; ten times that with three or four, fifty times with five or six. The lattice is
#'   refined until its estimate is below.
#' @param draws Number of draws that [as_draws()] gives by default, and a quarter of the points of
#'   the importance sample that serves seven and more precision parameters.
#'
#' @details
#' The parameters of integration are the logarithms of scalar precisions and, for a term with
#' several coefficients, log scales and atanh correlations; the log scales are bent so that they
#' have no long tail where a variance may be zero (see [fit_vb()]). With up to six of them the
#' density is summed over a lattice turned to the axes of its Hessian at the mode and grown from
#' there until the log density has dropped by 11 to 35 (the more parameters, the less), finer and
#' deeper until the error is below. The reported error is that of the means and SDs of the log
#' precisions, of the SDs they stand for and of precisions that have moments: of the rule, from
#' what every second point along the axes and in their planes changes (it converges exponentially),
#' and of what lies beyond the outermost points, by the series that the last layers make. With more
#' parameters quasi-random points, four for each of `draws`, of split t distributions along the axes
#' of the Hessian or of the coordinates are weighted by importance, the weights smoothed by
#' [loo::psis()]; the error is half the difference of two halves, and k-hat says whether to believe
#' it. Neither uses the random number generator: the same data give the same answer.
#'
#' Given the precisions the coefficients are normal, so their posterior is a mixture of normals;
#' means, SDs, quantiles and draws are those of the mixture.
#'
#' @return An object of class `exact_fit` (`regression_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{as in [fit_vb()]}
#'   \item{log_evidence}{log marginal likelihood; under a flat prior on the coefficients relative to
#'     Lebesgue measure}
#'   \item{elbo}{the evidence lower bound of the variational fit; the gap is its Kullback-Leibler
#'     divergence from the posterior}
#'   \item{method}{`"lattice"` or `"importance"`}
#'   \item{error}{reported error of means and SDs, in posterior SDs}
#'   \item{khat}{Pareto shape of the importance weights, `NA` on a lattice}
#'   \item{integrated}{the nodes: `psi` (parameters x nodes), `weights`, `stats` (precisions at the
#'     nodes), moments of `beta` and `u`}
#'   \item{vb}{mean precisions and coefficients of the variational fit}
#'   \item{tol, draws}{the settings}
#' }
#' All methods of the other fits work: [summary()] (columns `variable`, `mean`, `sd`, `q2.5`,
#' `q97.5`), [vcov()], [predict()], [as_draws()], [sd_ratio_report()] as a reference.
#' @section Errors and warnings: as in [fit_vb()], and `meanfield_error_integral` when the density
#'   cannot be integrated, `meanfield_warning_moments` when means and SDs may be infinite,
#'   `meanfield_warning_accuracy` when the tolerance (of
#'   importance sampling 500 `tol`) was not reached,
#'   `meanfield_warning_khat` when k-hat is above .7.
#' @references Ewing, D. (2026). Understanding variational approximations. Vehtari, A., Simpson, D.,
#'   Gelman, A., Yao, Y. and Gabry, J. (2024). Pareto smoothed importance sampling. *JMLR* 25, 1-58.
#' @seealso [fit_vb()], whose default integrates with fewer fits; [compare()].
#' @examples
#' exact <- fit_exact(log_radon ~ floor + (1 | county), data = radon)
#' exact
#' exact$log_evidence
#' @export
fit_exact <- function(object, ...) {
  if (nargs() == 0L) unknown_model(NULL, "fit_exact")
  UseMethod("fit_exact")
}

#' @rdname fit_exact
#' @export
fit_exact.formula <- function(formula, data = NULL, family = gaussian(),
                              prior = default_priors(), weights, subset, na.action, offset,
                              contrasts = NULL, model = TRUE, control = vb_control(),
                              tol = 1e-4, draws = 10000, ...) {
  no_dots(...)
  settings <- exact_settings(tol, draws)
  formula <- as_model_formula(formula, parent.frame())
  call <- fit_call(match.call(), "fit_exact", formula, parent.frame(), model)
  m <- build_model( # which looks at family and prior before it asks for the rows
    source_rows(call, formula, data, contrasts, model, parent.frame()), family, prior
  )
  new_exact_fit(call, vb_optimum(call, m, check_vb_control(control)), settings)
}

#' @export
fit_exact.character <- function(object, ...) {
  eval(text_call(match.call(), "fit_exact"), parent.frame())
}

#' @rdname fit_exact
#' @export
fit_exact.regression_fit <- function(object, tol = 1e-4, draws = 10000, control = vb_control(),
                                    ...) {
  valid_fit(object)
  no_dots(...)
  settings <- exact_settings(tol, draws)
  call <- refit_call(object, "fit_exact", match.call(), parent.frame())
  start <- if (inherits(object, "vb_fit") && !is_iterated(object$model)) {
    object
  } else {
    vb_optimum(call, dense_model(object$model), check_vb_control(control))
  }
  new_exact_fit(call, start, settings)
}

#' @rdname fit_exact
#' @export
fit_exact.meanfield_gram <- function(object, family = gaussian(), prior = default_priors(),
                                     control = vb_control(), tol = 1e-4, draws = 10000, ...) {
  no_dots(...)
  settings <- exact_settings(tol, draws)
  m <- build_model(source_gram(object), family, prior)
  call <- gram_call(match.call(), "fit_exact", object, parent.frame())
  new_exact_fit(call, vb_optimum(call, m, check_vb_control(control)), settings)
}

#' @export
fit_exact.data.frame <- function(object, formula, ...) {
  eval(data_first_call(match.call(), "fit_exact"), parent.frame())
}

#' @export
fit_exact.default <- function(object, ...) unknown_model(object, "fit_exact")

exact_settings <- function(tol, draws) {
  list(tol = check_number(tol, "tol", 0, strict = TRUE), draws = check_count(draws, "draws", 1))
}

new_exact_fit <- function(call, vb_fit, settings) {
  need_gram(vb_fit, "fit_exact()", "fit_vb() integrates its approximation over the precisions")
  model <- dense_model(vb_fit$model)
  if (vb_fit$rounding) no_residuals("formula")
  check_integral_size(vb_fit$posterior$tau, "formula")
  budget <- new_budget()
  on.exit(budget$close())
  nodes <- integrate_model(model, vb_fit$vb, vb_fit$posterior$tau,
    nest_settings("exact", settings$tol, settings$draws), budget = budget)
  if (!is_integral(nodes)) abort_integral(nodes)
  warn_integral(nodes, settings$tol * c(1, 1, 10, 10, 50, 50, 500)[min(nrow(nodes$psi), 7L)])
  structure(
    c(list(call = call, model = model, log_evidence = nodes$log_evidence, elbo = vb_fit$vb$elbo),
      nodes[c("method", "error", "khat")],
      list(integrated = nodes, vb = vb_fit$vb[c("t", "mean", "elbo")]), settings),
    class = c("exact_fit", "regression_fit", "meanfield_fit")
  )
}
