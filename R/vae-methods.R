# What a user calls on a fit of an autoencoder.

#' Predictions of an autoencoder
#'
#' @param object A fit of a [vae()].
#' @param newdata Matrix or data frame with the columns of the data (by name when it has names); the
#'   data of the fit by default.
#' @param type `"latent"`: means and SDs of q(z | x). `"reconstruction"`: the decoder at the means.
#'   `"elbo"`: the evidence lower bound of each row. `"log_lik"`: its log density log p(x), z
#'   integrated out: exact with a linear decoder; with one or two latent variables by the trapezoid
#'   rule where that takes at most 400,000 nodes; else by importance sampling about the row's best
#'   q.
#' @param draws Of importance sampling, for each row.
#' @param ... Not used.
#' @return `"latent"`: a matrix with a row per row of `newdata`, and columns `z1`, ..., `sd_z1`,
#'   .... `"reconstruction"`: a matrix as `newdata`. `"elbo"`, `"log_lik"`: a vector, a number a
#'   row, in
#'   nats; that of `"log_lik"` has the attributes `method` (`"exact"`, `"quadrature"`,
#'   `"importance"`, of each row) and `error` (standard errors, 0 of the first two).
#' @section Errors: `meanfield_error_newdata` for missing columns or values.
#' @details Without an encoder every new row gets its own optimum of q, found by natural-gradient
#'   steps on fixed points. A bound of a network is an expectation under q by Gauss-Hermite rules of
#'   31 nodes, or 12 x 12, beyond two latent variables over 256 fixed points (a few hundredths of a
#'   nat a row); that of a linear decoder is exact. R's generator is not touched.
#' @examples
#' x <- scale(iris[1:4])
#' fit <- fit_vb(vae(x, latent = 2, encoder = "linear", decoder = "linear"))
#' predict(fit, x[1:3, ])
#' predict(fit, x[1:3, ], type = "log_lik")
#' @export
predict.vae_fit <- function(object, newdata = NULL,
                            type = c("latent", "reconstruction", "elbo", "log_lik"), draws = 500,
                            ...) {
  valid_fit(object)
  no_dots(...)
  type <- check_choice(type, c("latent", "reconstruction", "elbo", "log_lik"), "type")
  draws <- check_count(draws, "draws", 20, 1e5)
  X <- vae_columns(object$model, vae_newdata(object$model, newdata))
  if (type == "log_lik") return(predicted_log_lik(object, X, draws))
  q <- if (is.null(newdata)) object$latent else latent_of(object, X)
  switch(type, latent = latent_table(object$model, q),
    reconstruction = reconstruction(object, q),
    elbo = if (is.null(newdata)) object$row_elbo else
      latent_elbo(object, X, q) + density_units(object$model))
}

vae_newdata <- function(model, newdata) {
  x <- newdata_matrix(model$x, newdata)
  if (!nrow(x)) mf_abort("newdata", "`newdata` has no rows: give at least one", arg = "newdata")
  if (max(abs(x)) > MOST_VAE_DATA) {
    mf_abort("newdata", "`newdata` has numbers beyond ", MOST_VAE_DATA, ": rescale it",
      arg = "newdata")
  }
  x
}

predicted_log_lik <- function(fit, X, draws) {
  out <- row_log_lik(fit, X, draws)
  structure(out$value + density_units(fit$model), method = out$method, error = out$error)
}

latent_table <- function(model, q) {
  names <- latent_names(model)
  out <- cbind(t(q$m), exp(t(q$log_s)))
  dimnames(out) <- list(NULL, c(names, paste0("sd_", names)))
  out
}

reconstruction <- function(fit, q) {
  model <- fit$model
  f <- decoded(vae_core(model, matrix(0, ncol(model$x), 0L)), fit$w, q$m)
  out <- t(f) * model$scale + rep(model$centre, each = ncol(f))
  dimnames(out) <- list(NULL, colnames(model$x))
  out
}

# ---- the gaps ------------------------------------------------------------------------------------

#' The amortisation gap of an autoencoder
#'
#' What a bound lacks of the log density of a row has two parts: the family (no independent normal
#' is the posterior), and the encoder (it does not give the best member of the family). Both are
#' computed for each row: the best q by optimising the row's own bound, log p(x) as
#' [predict.vae_fit()] does.
#'
#' @param fit A fit of a [vae()].
#' @param newdata Rows to look at, as in [predict.vae_fit()]; the data of the fit by default.
#' @param draws Of importance sampling, as there.
#' @return A data frame of class `meanfield_gap`, a row per row of `newdata`: `log_lik`, `best` (the
#'   bound at the best q), `elbo` (at the fit's own), `approximation` = log_lik - best and
#'   `amortisation` = best - elbo, in nats. Printing shows means and their standard errors over
#'   rows.
#' @section Errors: as [predict.vae_fit()]; `meanfield_error_engine` for another kind of fit.
#' @references Cremer, C., Li, X. and Duvenaud, D. (2018). Inference suboptimality in variational
#'   autoencoders. *ICML*.
#' @examples
#' x <- scale(iris[1:4])
#' fit <- fit_vb(vae(x, latent = 1, hidden = 8), control = vb_control(epochs = 400, seed = 2))
#' amortisation_gap(fit, x[1:30, ])
#' @export
amortisation_gap <- function(fit, newdata = NULL, draws = 500) {
  if (!inherits(fit, "vae_fit")) {
    mf_abort("engine", "`fit` must be a fit of a vae(), not ", describe(fit), arg = "fit")
  }
  valid_fit(fit)
  draws <- check_count(draws, "draws", 20, 1e5)
  x <- vae_newdata(fit$model, newdata)
  X <- vae_columns(fit$model, x)
  elbo <- predict(fit, newdata, type = "elbo")
  best <- pmax(latent_elbo(fit, X, own_latent(fit, X)) + density_units(fit$model), elbo)
  log_lik <- c(predicted_log_lik(fit, X, draws))
  out <- data.frame(log_lik = as.vector(log_lik), best = best, elbo = elbo)
  out$approximation <- out$log_lik - out$best
  out$amortisation <- out$best - out$elbo
  new_class(c("meanfield_gap", "data.frame"), out)
}

#' @export
print.meanfield_gap <- function(x, digits = 3, ...) {
  no_dots(...)
  line <- function(what, v) {
    se <- stats::sd(v) / sqrt(length(v))
    cat(format(what, width = 26L), format_nats(mean(v)), if (is.finite(se))
      paste0("  (se ", format(se, digits = 2), ")"), "\n", sep = "")
  }
  cat("Nats per row, ", nrow(x), " row", if (nrow(x) != 1L) "s", "\n", sep = "")
  line("log p(x)", x$log_lik)
  line("best q of every row", x$best)
  line("the fit's q", x$elbo)
  line("approximation gap", x$approximation)
  line("amortisation gap", x$amortisation)
  invisible(x)
}

# ---- moments, draws ------------------------------------------------------------------------------

#' Methods for fits of autoencoders
#'
#' Weights and sigma are estimates without a posterior. What asks for a posterior of parameters
#' ([as_draws()], [vcov()], [confint()], [tidy()], [sd_ratio_report()] and their like) is refused,
#' `meanfield_error_engine` or `meanfield_error_report`; the posterior of the latent variables is
#' `predict(type = "latent")`.
#'
#' @param object,x A fit of a [vae()].
#' @param nsim,seed Number of simulated data sets, and a seed to set first.
#' @param what `"trace"`: the bound per row, epoch by epoch; `"latent"`: posterior means of two
#'   latent variables, a point per row. Both by default, where there are both.
#' @param dimensions Two of the latent variables.
#' @param groups For `"latent"`: a factor or vector, a value per row, that gives the colours.
#' @param evaluate Evaluate the new call?
#' @param ... For `update()`: arguments of [vae()] or of the fit. Otherwise not used.
#' @return `summary()`: a data frame of class `vae_summary`, a row per latent variable: `mean` and
#'   `sd` of the posterior means over the rows, `posterior_sd` (root mean square), `kl` (nats per
#'   row); its attributes are `elbo` (per row), `sigma` and `explained`, the share of the data's
#'   variance about its mean that reconstructions explain. `simulate()`: a data frame of `nsim`
#'   matrices as the data, drawn from the model. `logLik()`: the bound; with a linear decoder in
#'   closed form it is the log likelihood. `coef()`: the loadings W of a linear decoder, columns x
#'   latent. `nobs()`: rows. `glance()`: one row. `update()`: a fit, or its call. `plot()`: `x`,
#'   invisibly.
#' @examples
#' x <- scale(iris[1:4])
#' fit <- fit_vb(vae(x, latent = 2, encoder = "linear", decoder = "linear"))
#' summary(fit)
#' coef(fit)
#' plot(fit, groups = iris$Species)
#' update(fit, latent = 1)
#' @name vae-methods
NULL

#' @rdname vae-methods
#' @export
simulate.vae_fit <- function(object, nsim = 1, seed = NULL, ...) {
  valid_fit(object)
  nsim <- check_count(nsim, "nsim", 1)
  no_dots(...)
  state <- seeded_state(seed)
  if (!is.null(seed)) on.exit(assign(".Random.seed", state$before, envir = globalenv()))
  n <- nrow(object$model$x)
  out <- lapply(seq_len(nsim), function(i) {
    z <- matrix(stats::rnorm(object$model$latent * n), ncol = n)
    f <- reconstruction(object, list(m = z))
    f + stats::rnorm(length(f), sd = object$sigma)
  })
  simulations(out, seq_len(n), state$used)
}

#' @rdname vae-methods
#' @export
summary.vae_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  q <- object$latent
  x <- object$model$x
  out <- data.frame(variable = latent_names(object$model),
    mean = ifelse(abs(rowMeans(q$m)) < 1e-12, 0, rowMeans(q$m)),
    sd = apply(q$m, 1L, stats::sd), posterior_sd = sqrt(rowMeans(exp(2 * q$log_s))),
    kl = unname(object$kl))
  residual <- sum((x - reconstruction(object, q))^2)
  structure(out, class = c("vae_summary", "data.frame"), elbo = object$vb$elbo / nrow(x),
    sigma = object$sigma,
    explained = 1 - residual / sum((x - rep(object$model$centre, each = nrow(x)))^2))
}

#' @export
print.vae_summary <- function(x, digits = 3, ...) {
  no_dots(...)
  cat("ELBO per row ", format_nats(attr(x, "elbo")), "; sigma ",
    format(attr(x, "sigma"), digits = digits), "; reconstructions explain ",
    format(100 * attr(x, "explained"), digits = digits), "% of the variance\n\n", sep = "")
  print(new_class("data.frame", x), digits = digits, row.names = FALSE)
  invisible(x)
}

#' @export
print.vae_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  print_vae_model(x$model)
  cat(if (x$optimiser == "closed_form") {
    "Closed form (probabilistic principal components): q is the exact posterior"
  } else paste0("Adam, ", x$epochs, " epochs, ", format(round(x$seconds, 2)), " s",
    if (!x$converged) ", the bound still rising"), "\n\n", sep = "")
  print(summary(x), digits = digits)
  idle <- names(x$kl)[x$kl < 0.01]
  if (length(idle)) {
    cat("\n", toString(idle), if (length(idle) > 1L) " are" else " is", " not used: use fewer ",
      "`latent`, or another `seed`\n", sep = "")
  }
  invisible(x)
}

#' @rdname vae-methods
#' @export
coef.vae_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  model <- object$model
  if (model$decoder != "linear") {
    mf_abort("engine", "weights of a network are no coefficients: see predict() for what it does",
      arg = "object")
  }
  at <- vae_parts(vae_core(model, matrix(0, ncol(model$x), 0L)))$decoder
  W <- matrix(object$w[at[seq_len(ncol(model$x) * model$latent)]], ncol(model$x)) * model$scale
  dimnames(W) <- list(colnames(model$x), latent_names(model))
  W
}

#' @rdname vae-methods
#' @export
nobs.vae_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  nrow(object$model$x)
}

#' @rdname vae-methods
#' @export
logLik.vae_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  structure(object$vb$elbo, df = n_parameters(object$model), nobs = nrow(object$model$x),
    class = c("elbo", "logLik"))
}

# Of the generative model: the encoder's weights are no parameters of p(x). A rotation of the latent
# variables of a linear decoder changes nothing.
#' @export
n_parameters.vae <- function(model) {
  q <- model$latent
  p <- ncol(model$x)
  if (model$decoder == "linear") return(p * q - q * (q - 1) / 2 + p + 1)
  count_weights(dense_layers(q, rev(model$hidden), p)) + 1
}

#' @rdname vae-methods
#' @export
glance.vae_fit <- function(x, ...) {
  valid_fit(x)
  no_dots(...)
  as_tibble_if_possible(data.frame(nobs = nrow(x$model$x), columns = ncol(x$model$x),
    latent = x$model$latent, sigma = x$sigma, elbo = x$vb$elbo, epochs = x$epochs,
    converged = x$converged))
}

#' @rdname vae-methods
#' @export
sigma.vae_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  object$sigma
}

#' @export
posterior_of.vae_fit <- function(fit) no_weights_posterior()

#' @export
location_kind.vae <- function(model) no_weights_posterior()

#' @export
location_names.vae <- function(model) no_weights_posterior()

#' @export
fit_exact.vae <- function(object, ...) no_weights_posterior()

#' @export
fit_exact.vae_fit <- fit_exact.vae

#' @export
fit_gibbs.vae <- fit_exact.vae

#' @export
fit_gibbs.vae_fit <- fit_exact.vae

#' @export
fit_hmc.vae <- fit_exact.vae

#' @export
fit_hmc.vae_fit <- fit_exact.vae

no_weights_posterior <- function() {
  mf_abort("engine", "the weights of an autoencoder are estimates and have no posterior: see ",
    "predict(type = \"latent\") for that of the latent variables", arg = "object")
}

# ---- update --------------------------------------------------------------------------------------

#' @rdname vae-methods
#' @export
update.vae_fit <- function(object, ..., evaluate = TRUE) {
  valid_fit(object)
  written <- lasting_args(as.list(match.call(expand.dots = FALSE)$...), NULL, parent.frame(),
    globalenv())
  updated_fit(object, vae, updated_vae, list(...), written, evaluate, parent.frame())
}

# A hidden layer stays where there is still a network.
updated_vae <- function(old, new) {
  args <- utils::modifyList(old[c("x", "latent", "hidden", "encoder", "decoder")], new)
  if (!"network" %in% c(args$encoder, args$decoder) && is.null(new$hidden)) args$hidden <- NULL
  do.call(vae, args)
}
