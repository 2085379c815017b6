# Models of other packages as targets.

#' A model of another package as a target
#'
#' @param object A model object of TMB or RTMB (what `MakeADFun()` returns), a `stanfit` or
#'   `stanmodel` of rstan, a fit of CmdStanR whose model methods are initialised, a fit of this
#'   package, or a target.
#' @param constraints,generated As in [target()], for TMB and RTMB: parameters are those of
#'   `object$par`, and repeated names are one vector.
#' @param init Start. For TMB: numbers as `object$par`. For Stan: a named list of all parameters, as
#'   Stan's own `init`; the default is zero on the unconstrained scale.
#' @param data Data of a `stanmodel`.
#' @param ... Not used.
#'
#' @details
#' *TMB, RTMB*: `fn` and `gr` give the negative log density and its gradient. Parameters listed as
#' `random` are integrated by TMB (the Laplace approximation), and do not appear. No Jacobian is in
#' a TMB model that transforms its parameters itself: what is flat there is flat on that scale. The
#' object is made silent, and its `env$last.par.best` moves, as under any optimiser.
#'
#' *rstan*: `log_prob()` and `grad_log_prob()` on the unconstrained scale, with Stan's own Jacobian;
#' `constrain_pars()` for parameters and, as generated quantities, what the model transforms and
#' generates. The fit's draws are not looked at, and `chains = 0` is enough.
#'
#' *CmdStanR*: the same by `$log_prob()`, `$grad_log_prob()`, `$unconstrain_variables()` and
#' `$constrain_variables()`: call `fit$init_model_methods()` first.
#'
#' *Fits of this package*: the joint log density of all unknowns of a linear or generalised model,
#' coefficients, random effects and log precisions, in the coordinates that [fit_hmc()] samples; the
#' variables are those of [summary()], with the effects. A mixture is refused.
#'
#' @return An object of class `meanfield_target`.
#' @section Errors: Those of [target()]; `meanfield_error_target` for an object that is no model,
#'   `meanfield_error_mixture` for a mixture.
#' @references Kristensen, K. et al. (2016). TMB: automatic differentiation and Laplace
#'   approximation. *Journal of Statistical Software* 70(5).
#' @examples
#' model <- target(function(p) -p$x^2 / 2, init = list(x = 1))
#' identical(as_target(model), model)
#' as_target(fit_vb(log_radon ~ floor, data = radon))
#' @export
as_target <- function(object, ...) {
  if (missing(object)) as_target.default(NULL)
  UseMethod("as_target")
}

#' @export
as_target.default <- function(object, ...) {
  mf_abort("target", "`object` must be a model of TMB, RTMB or Stan, a fit of this package, or a ",
    "target, not ", describe(object), ": write its log density for target()", arg = "object")
}

#' @export
as_target.meanfield_target <- function(object, ...) {
  no_dots(...)
  object
}

# ---- TMB and RTMB: a list without a class --------------------------------------------------------

#' @rdname as_target
#' @export
as_target.list <- function(object, constraints = list(), generated = NULL, init = NULL, ...) {
  no_dots(...)
  if (!is_tmb(object)) as_target.default(object)
  call <- match.call()
  if (is.function(object$env$beSilent)) object$env$beSilent() # else a line per gradient
  start <- init %||% object$par
  if (!is.numeric(start) || length(start) != length(object$par)) {
    mf_abort("init", "`init` must be ", length(object$par), " numbers, as `object$par`, not ",
      describe(start), arg = "init")
  }
  names <- names(object$par) %||% rep_len("par", length(object$par))
  order <- order(match(names, unique(names)))
  init <- check_init(split(unname(start), factor(names, unique(names))))
  user <- list(
    log_density = function(p) -as.double(object$fn(tmb_point(p, order))),
    gradient = function(p) tmb_gradient(object$gr(tmb_point(p, order)), order, init),
    generated = generated, vectorised = FALSE)
  if (!is.null(generated)) check_user_function(generated, "generated", NULL)
  target <- build_target(call, user, init, constraints)
  target$note <- tmb_note(object)
  finish_target(target, user$gradient, "of the TMB object, agrees with differences")
}

is_tmb <- function(x) {
  is.function(x$fn) && is.function(x$gr) && is.numeric(x$par) && is.environment(x$env)
}

# order: of the object's parameters by block, in which the list has them.
tmb_point <- function(p, order) {
  par <- numeric(length(order))
  par[order] <- unlist(p, use.names = FALSE)
  par
}

tmb_gradient <- function(g, order, init) shaped_as(-as.double(g)[order], init)

tmb_note <- function(object) {
  random <- length(object$env$random)
  if (!random) return(NULL)
  paste0(random, " random effect", if (random > 1L) "s", " integrated by TMB's Laplace ",
    "approximation: this is the marginal density of the rest")
}

# ---- Stan ----------------------------------------------------------------------------------------

# log_density, gradient: functions of z; constrain: z to a named list of all variables; unconstrain:
# its inverse; parameters: the names among them of what the model calls parameters.
stan_target <- function(call, z, log_density, gradient, constrain, unconstrain, parameters,
                        names = NULL, what) {
  user <- list(log_density = function(p) log_density(p$z),
    gradient = function(p) list(z = gradient(p$z)), generated = NULL, vectorised = FALSE)
  foreign <- list(constrain = constrain, unconstrain = unconstrain)
  target <- build_target(call, user, list(z = as.double(z)), list())
  if (length(names) == target$d) target$names <- names
  target <- with_gradient(start_target(target), user$gradient,
    paste("of", what, "(agrees with differences)"))
  target$foreign <- foreign
  target$variables <- foreign_variables(constrain(target$init), parameters)
  target
}

# Parameters come first, in the order of constrain().
foreign_variables <- function(values, parameters) {
  values <- values[lengths(values) > 0L]
  own <- names(values) %in% parameters
  out <- rbind(listed_variables(values[own], "parameter"), listed_variables(values[!own]))
  out
}

# A constrain() whose list has the parameters first.
parameters_first <- function(constrain, parameters) {
  function(z) {
    values <- constrain(z)
    own <- names(values) %in% parameters
    c(values[own], values[!own])
  }
}

#' @rdname as_target
#' @export
as_target.stanfit <- function(object, init = NULL, ...) {
  no_dots(...)
  call <- match.call()
  need_package("rstan")
  z <- tryCatch(
    if (is.null(init)) numeric(rstan::get_num_upars(object)) else
      rstan::unconstrain_pars(object, init),
    error = function(e) refuse_stan(e))
  parameters <- stan_parameters(object)
  constrain <- parameters_first(function(z) rstan::constrain_pars(object, z), parameters)
  stan_target(call, z,
    function(z) rstan::log_prob(object, z, adjust_transform = TRUE),
    function(z) rstan::grad_log_prob(object, z, adjust_transform = TRUE),
    constrain, function(p) rstan::unconstrain_pars(object, p), parameters,
    stan_names(object), "the stanfit")
}

#' @rdname as_target
#' @export
as_target.stanmodel <- function(object, data = list(), init = NULL, ...) {
  no_dots(...)
  need_package("rstan")
  fit <- suppressMessages(rstan::sampling(object, data = data, chains = 0))
  as_target.stanfit(fit, init = init)
}

refuse_stan <- function(e) {
  mf_abort("target", "the Stan model cannot be evaluated: ", conditionMessage(e),
    "; make it again by sampling(model, data, chains = 0)", arg = "object")
}

need_package <- function(package) {
  if (!requireNamespace(package, quietly = TRUE)) {
    mf_abort("target", "the model needs the package ", package, ": install it", arg = "object")
  }
}

# Names of the model's parameters, without what it transforms or generates; all if that is not
# known.
stan_parameters <- function(object) {
  names <- tryCatch(stan_instance(object)$constrained_param_names(FALSE, FALSE),
    error = function(e) NULL)
  if (is.null(names)) return(setdiff(object@model_pars, "lp__"))
  unique(sub("[.].*", "", names))
}

stan_names <- function(object) {
  names <- tryCatch(stan_instance(object)$unconstrained_param_names(FALSE, FALSE),
    error = function(e) NULL)
  if (is.null(names)) return(NULL)
  sub("^([^.]*)[.](.*)$", "\\1[\\2]", names)
}

stan_instance <- function(object) object@.MISC$stan_fit_instance

#' @rdname as_target
#' @export
as_target.CmdStanFit <- function(object, init = NULL, ...) {
  no_dots(...)
  call <- match.call()
  jacobian <- cmdstan_jacobian(object)
  parameters <- names(object$variable_skeleton(transformed_parameters = FALSE,
    generated_quantities = FALSE))
  z <- if (is.null(init)) cmdstan_zero(object) else object$unconstrain_variables(init)
  constrain <- parameters_first(function(z) object$constrain_variables(z), parameters)
  stan_target(call, z,
    function(z) do.call(object$log_prob, c(list(z), jacobian)),
    function(z) as.double(do.call(object$grad_log_prob, c(list(z), jacobian))),
    constrain, function(p) object$unconstrain_variables(p), parameters, NULL, "the CmdStanR fit")
}

# The argument that asks for the Jacobian has had two names.
cmdstan_jacobian <- function(object) {
  if (!is.function(object$log_prob)) {
    mf_abort("target", "the CmdStanR fit has no log_prob(): use a newer CmdStanR", arg = "object")
  }
  name <- intersect(c("jacobian", "jacobian_adjustment"), names(formals(object$log_prob)))
  stats::setNames(list(TRUE), if (length(name)) name[1L] else "jacobian")
}

# As many zeros as the model has unconstrained coordinates.
cmdstan_zero <- function(object) {
  tryCatch({
    one <- object$unconstrain_draws(draws = utils::head(object$draws(), 1L))
    numeric(length(unlist(one)) %/% max(1L, nrow(as.matrix(one[[1L]]))))
  }, error = function(e) {
    mf_abort("target", "the CmdStanR fit cannot be evaluated: ", conditionMessage(e),
      "; call fit$init_model_methods() first, or give `init`", arg = "object")
  })
}
