#' meanfield: fast variational Bayes with uncertainty to trust
#'
#' Fits Bayesian linear regression and mixed models by mean-field variational
#' Bayes ([fit_vb()]), corrects every covariance by linear response, checks the
#' answer against a blocked Gibbs sampler of the same model ([fit_gibbs()]), and
#' reports how far the approximation is from the reference ([sd_ratio_report()]).
#'
#' The way data go: formula and data become a design, one pass over its rows
#' becomes a *Gram* (the sufficient statistics), and every engine works on the
#' Gram alone. Its cost does not grow with the number of rows.
#'
#' Any other model is a [target()]: a log density written in R, or an object of TMB, RTMB or Stan
#' ([as_target()]). The same functions fit it, by a Gaussian that is refined until means and
#' standard deviations are known, or is said not to be; [fit_hmc()] samples it, and linear and
#' generalised models too.
#'
#' @section Variables:
#' Quantities are named as in the literature: `beta[x]` for coefficients,
#' `tau_e` and `tau_u[g]` for the precisions of residuals and of the random
#' effects of factor `g` (`tau_u[g:x]` when several independent terms share the factor),
#' `Lambda_u[g:a,b]` for the elements of the precision matrix of a term with several
#' coefficients, `u[g:level]` or `u[g:level,coefficient]` for the effects; `log_tau_e`,
#' `log_tau_u[g]`, `sigma_e`, `sigma_u[g]`, `sigma_u[g:a]`, `rho_u[g:a,b]` and their logs
#' are derived. Those of a target have the names of its parameters: `sigma`, `beta[2]`,
#' `Omega[1,2]`.
#'
#' @references
#' Giordano, R., Broderick, T. and Jordan, M. (2015). Linear response methods
#' for accurate covariance estimates from mean field variational Bayes.
#' *Advances in Neural Information Processing Systems 28*.
#'
#' Huang, A. and Wand, M. P. (2013). Simple marginally noninformative prior
#' distributions for covariance matrices. *Bayesian Analysis* 8, 439-452.
#'
#' Menictas, M. and Wand, M. P. (2013). Variational inference for marginal
#' longitudinal semiparametric regression. *Stat* 2, 61-71.
#' @keywords internal
#' @useDynLib meanfield, .registration = TRUE, .fixes = ""
#' @importFrom stats coef confint fitted residuals predict vcov sigma nobs
#'   formula model.frame model.matrix terms family logLik weights df.residual
#'   update simulate qnorm pnorm sd gaussian AIC BIC
#' @importFrom graphics plot
"_PACKAGE"
