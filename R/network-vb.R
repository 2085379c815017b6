# Fits of Bayesian neural networks: those of a target, judged by the function's values.

#' Fit a Bayesian neural network
#'
#' `fit_vb()`: mean-field variational inference by stochastic gradients over mini-batches (the
#' default), or any other approximation of [fit_vb.meanfield_target()]. `fit_hmc()`: the reference,
#' chains that start at draws from the prior.
#'
#' @param object Made by [bnn()], or a fit of one, whose model is fitted again.
#' @param approximation,refine,optimiser,rank,control As in [fit_vb.meanfield_target()]. With
#'   `batch_size = NULL` in [vb_control()] all rows are used up to 1,000, and 256 of them beyond;
#'   `steps = NULL` is 4,000, `draws = NULL` 8.
#' @param chains,iter,warmup,method,target_accept,adapt_metric,max_depth,max_leapfrogs As in
#'   [fit_hmc()].
#' @param ... Not used; of a fit, the other arguments.
#'
#' @details
#' Mean field keeps weights independent that the posterior makes depend on each other. Nothing
#' repairs that here: predictive SDs have been seen two times too wide among the data, and four
#' times too narrow where there are none, in the same fit. [predictive_report()] compares them with
#' those of `fit_hmc()`.
#'
#' Weights are not identified, so that chains may sit at different copies of the same function.
#' R-hat is that of values of the function at (at most 200 of) the rows of the data, in
#' `function_rhat`, and that is what convergence is judged by.
#'
#' @return An object of class `bnn_fit`, and what [fit_vb.meanfield_target()] or [fit_hmc()]
#'   returns; of `fit_hmc()` with `function_rhat` and `function_ess`, the largest R-hat and the
#'   smallest effective sample size of a value of the function.
#' @section Errors and warnings: those of [fit_vb.meanfield_target()] and [fit_hmc()].
#' @references Blundell, C. et al. (2015). Weight uncertainty in neural networks. *ICML*.
#'   Foong, A. Y. K. et al. (2020). On the expressiveness of approximate inference in Bayesian
#'   neural networks. *NeurIPS*.
#' @seealso [predict.bnn_fit()], [predictive_report()]
#' @examples
#' x <- matrix(seq(-2, 2, length.out = 30), dimnames = list(NULL, "x"))
#' y <- sin(2 * x[, 1]) + rep(c(-.1, .1), 15)
#' fit <- fit_vb(bnn(x, y, hidden = 5, sigma = .2), control = vb_control(steps = 500))
#' fit
#' plot(fit)
#' @export
fit_vb.bnn <- function(object, approximation = "meanfield", refine = "no", optimiser = NULL,
                       rank = NULL, control = vb_control(), ...) {
  no_dots(...)
  valid_target(object)
  check_vb_control(control)
  call <- object_call(match.call(), "fit_vb", parent.frame())
  if (is.null(optimiser) && identical(approximation, "meanfield")) optimiser <- "pathwise"
  stochastic <- isTRUE(optimiser %in% STOCHASTIC)
  settings <- if (stochastic) bnn_control(object, control) else control
  fit <- withCallingHandlers(
    fit_vb.meanfield_target(object, approximation, refine, optimiser, rank, settings),
    meanfield_warning_target = function(w) invokeRestart("muffleWarning")) # told of below
  fit <- as_bnn_fit(fit, call)
  fit$control <- control
  if (stochastic) fit <- judge_bound(fit)
  tell_flags(fit)
  fit
}

# Weights drift for ever along directions in which the function does not change, and no posterior of
# weights is near normal: what a fit by stochastic gradients is judged by is its bound, which is
# computed anew from fresh draws.
judge_bound <- function(fit) {
  own <- "did not converge: drifting|^the posterior is not near normal"
  drifts <- any(grepl("drifting", fit$flags))
  fit$flags <- fit$flags[!grepl(own, fit$flags)]
  fit$vb[c("elbo", "elbo_se")] <- bnn_elbo(fit)
  if (!drifts) return(fit)
  rise <- bound_rise(fit$vb$trace$elbo)
  fit$converged <- fit$vb$converged <- rise$by < max(0.5, 3 * rise$se)
  if (!fit$converged) {
    fit$flags <- c(fit$flags, paste0("the bound was still rising when the steps were over (by ",
      format(rise$by, digits = 2), " in the last quarter): raise `steps` in vb_control()"))
  }
  fit
}

# From the third quarter of the steps to the last.
bound_rise <- function(elbo) {
  q <- split(elbo, 1L + (4 * (seq_along(elbo) - 1)) %/% length(elbo))
  part <- lapply(q[3:4], function(v) v[is.finite(v)])
  list(by = mean(part[[2L]]) - mean(part[[1L]]),
    se = sqrt(sum(vapply(part, function(v) stats::var(v) / length(v), 0))))
}

# list(elbo, its standard error), from fixed draws, as many as 1e10 operations and 80 MB are for.
bnn_elbo <- function(fit) {
  part <- fit$vb$components[[1L]]
  d <- length(part$m)
  n <- max(64, min(8192, 1e10 / (6 * d * fit$model$rows), 1e7 / d))
  e <- with_fixed_seed(matrix(stats::rnorm(d * (n %/% 2)), d))
  e <- cbind(e, -e)
  lp <- evaluator(fit$model)(part$m + component_root(part, e), FALSE)$lp
  log_det <- sum(log(if (is.null(part$L)) part$sd else abs(diag(part$L))))
  h <- lp + log_det + d / 2 * log(2 * pi) + colSums(e^2) / 2
  pairs <- rowMeans(matrix(h, ncol = 2L))
  list(mean(h), stats::sd(pairs) / sqrt(length(pairs)))
}

bnn_control <- function(model, control) {
  if (model$rows > 1000L) control$batch_size <- control$batch_size %||% 256L
  if (isTRUE(control$batch_size > model$rows)) control["batch_size"] <- list(NULL)
  control$steps <- control$steps %||% 4000L
  control$draws <- control$draws %||% 8L
  control
}

as_bnn_fit <- function(fit, call) {
  fit$call <- call
  class(fit) <- c("bnn_fit", class(fit))
  fit
}

#' @rdname fit_vb.bnn
#' @export
fit_vb.bnn_fit <- function(object, ...) fit_vb(valid_fit(object)$model, ...)

#' @rdname fit_vb.bnn
#' @export
fit_hmc.bnn <- function(object, chains = 4, iter = 1000, warmup = 500, method = c("nuts", "hmc"),
                        target_accept = NULL, adapt_metric = "auto", max_depth = 10,
                        max_leapfrogs = 24, ...) {
  no_dots(...)
  settings <- hmc_settings(chains, iter, warmup, method, target_accept, adapt_metric, max_depth,
    max_leapfrogs)
  valid_target(object)
  call <- object_call(match.call(), "fit_hmc", parent.frame())
  fit <- new_target_hmc_fit(call, object, list(prior_axes(object)), settings, function_draws,
    ask = function(...) call_bnn_hmc(object$layers, object$task[c("x", "y", "family")],
      core_prior(object), ...))
  fit <- as_bnn_fit(fit, call)
  d <- function_draws(fit)
  fit$function_rhat <- max(function_rhat(d))
  fit$function_ess <- min(apply(d, 3L, function(v) posterior::ess_bulk(matrix(v, nrow(d)))))
  fit
}

#' @rdname fit_vb.bnn
#' @export
fit_hmc.bnn_fit <- function(object, ...) fit_hmc(valid_fit(object)$model, ...)

# Where chains start, and their first metric: the prior of the weights, log sigma about its start.
prior_axes <- function(model) {
  own <- unconstrained_names(model) == "sigma"
  list(m = ifelse(own, model$init, 0), L = ifelse(own, 0.5, model$prior_sd))
}

# As C has it; what does not apply is one.
core_prior <- function(model) {
  sigma <- model$task$sigma
  list(prior_sd = model$prior_sd, learned = !is.null(sigma$scale), sigma = sigma$known %||% 1,
    df = sigma$df %||% 1, scale = sigma$scale %||% 1)
}

# Values of the outputs at rows of the data: iteration x chain x value.
function_draws <- function(fit, most = 200L) {
  model <- fit$model
  n <- ncol(model$task$x)
  rows <- unique(round(seq(1, n, length.out = min(n, most))))
  f <- network_values(model, fit$z, model$task$x[, rows, drop = FALSE])
  k <- dim(f)[1L]
  kept <- dim(fit$draws)[1L]
  names <- sprintf("f[%d%s]", rep(rows, each = k), if (k > 1L) paste0(",", rep(seq_len(k),
    length(rows))) else "")
  array(aperm(f, c(3L, 1L, 2L)), c(kept, fit$chains, k * length(rows)),
    list(iteration = NULL, chain = NULL, variable = names))
}

function_rhat <- function(d) apply(d, 3L, function(v) posterior::rhat(matrix(v, nrow(d))))

# Outputs x columns of x x points of the columns of Z. Of several classes less their mean, which
# the probabilities do not see.
network_values <- function(model, Z, x) {
  w <- constrained(model, Z)$x[seq_len(count_weights(model$layers)), , drop = FALSE]
  k <- utils::tail(model$layers$size, 1L)
  f <- vapply(seq_len(ncol(w)), function(j) call_mlp(model$layers, w[, j], x),
    matrix(0, k, ncol(x)))
  f <- array(f, c(k, ncol(x), ncol(w)))
  if (model$task$kind == "categorical") f <- f - rep(colMeans(f), each = k)
  f
}
