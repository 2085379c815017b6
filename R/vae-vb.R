# fit_vb() of an autoencoder: the closed form of a linear one, or Adam on mini-batches.

#' Fit a variational autoencoder
#'
#' Maximises the evidence lower bound by stochastic gradients: mini-batches without replacement, one
#' draw of z a row, Adam. A model with a linear decoder whose encoder is not a network is
#' probabilistic principal component analysis, whose optimum is written down instead.
#'
#' @param object Made by [vae()], or a fit of one, whose model is fitted again.
#' @param optimiser `"closed_form"` where there is one, else `"adam"`: the default, `NULL`. A linear
#'   model takes `"adam"` as well.
#' @param control Made by [vb_control()]: `epochs`, passes over the rows, or `steps`, by default as
#'   many as make 10,000 steps, and at least 60 epochs; `batch_size` (256); `seed`.
#' @param ... Not used.
#'
#' @details
#' The step size is .01 in the first half of the run and falls to .0004 in the second. The columns
#' are centred, and divided by one number, before the networks see them; what the fit reports is in
#' the units of the data. With `encoder = "none"` every row's q takes three natural-gradient steps,
#' from where it was the last time, before each step of the decoder.
#'
#' Start and draws come from `seed`: the same data and seed give the same answer, and R's generator
#' is not touched. Another seed can end .3 nats per row away: weights have many optima.
#'
#' @return An object of class `vae_fit` (`meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{the call, and the [vae()]}
#'   \item{vb}{`elbo`, of all rows together; `converged`}
#'   \item{row_elbo}{the bound of each row}
#'   \item{sigma}{SD of the noise}
#'   \item{kl}{for each latent variable the mean over the rows of KL(q || prior): near zero for one
#'     that is not used}
#'   \item{latent}{`m` and `log_s` (latent x rows): means and log SDs of q at the data}
#'   \item{w}{the parameters as one vector: encoder, decoder, log sigma, of the scaled data}
#'   \item{loadings, eigenvalues}{in closed form: W (columns x latent), and the eigenvalues of the
#'     covariance matrix (divisor n); else `NULL`}
#'   \item{trace}{data frame, a row per epoch: `elbo`, per row, as the epoch went by, and `sigma`;
#'     no rows in closed form}
#'   \item{optimiser, epochs, converged, seconds, control}{settings; `converged`: the bound rose by
#'     less than .1 nats per row in the last tenth of the run}
#' }
#' @section Errors and warnings: `meanfield_error_control`, `meanfield_error_rank` where the latent
#'   variables leave no noise, `meanfield_error_nonfinite` where the bound is no number;
#'   `meanfield_warning_convergence`.
#' @references Kingma, D. P. and Welling, M. (2014). Auto-encoding variational Bayes. *ICLR*.
#'   Rezende, D. J., Mohamed, S. and Wierstra, D. (2014). Stochastic backpropagation and approximate
#'   inference in deep generative models. *ICML*.
#' @seealso [predict.vae_fit()], [amortisation_gap()], [vae-methods]
#' @examples
#' x <- scale(iris[1:4])
#' pca <- fit_vb(vae(x, latent = 2, encoder = "linear", decoder = "linear"))
#' pca
#' fit <- fit_vb(vae(x, latent = 1, hidden = 8), control = vb_control(epochs = 400, seed = 2))
#' fit
#' @export
fit_vb.vae <- function(object, optimiser = NULL, control = vb_control(), ...) {
  no_dots(...)
  call <- object_call(match.call(), "fit_vb", parent.frame())
  valid_vae(object)
  check_vb_control(control)
  optimiser <- vae_optimiser(object, optimiser)
  began <- now()
  X <- vae_columns(object, object$x)
  run <- if (optimiser == "adam") train_vae(object, X, control) else closed_vae(object, X)
  fit <- finish_vae(call, object, X, run, optimiser, control)
  fit$seconds <- now() - began
  if (!fit$converged) {
    mf_warn("convergence", "the bound was still rising when the ", fit$epochs,
      " epochs were over: ",
      "raise `epochs` in vb_control()", arg = "control")
  }
  if (control$trace) print(fit$trace)
  fit
}

#' @rdname fit_vb.vae
#' @export
fit_vb.vae_fit <- function(object, ...) fit_vb(valid_fit(object)$model, ...)

vae_optimiser <- function(model, optimiser) {
  closed <- model$decoder == "linear" && model$encoder != "network"
  optimiser <- check_choice(optimiser %||% if (closed) "closed_form" else "adam",
    c("closed_form", "adam"), "optimiser")
  if (optimiser == "closed_form" && !closed) {
    mf_abort("control", "a model with a network has no closed form: use optimiser = \"adam\"",
      arg = "optimiser")
  }
  optimiser
}

# ---- closed form ---------------------------------------------------------------------------------

closed_vae <- function(model, X) {
  pca <- ppca(X, model$latent)
  list(w = ppca_parameters(pca, model$encoder == "linear"), latent = ppca_latent(pca, X),
    trace = vae_trace(matrix(0, 2L, 0L), model), epochs = 0L, converged = TRUE,
    loadings = matrix(pca$W * model$scale, ncol(model$x),
      dimnames = list(colnames(model$x), latent_names(model))),
    eigenvalues = pca$values * model$scale^2)
}

# ---- stochastic gradients ------------------------------------------------------------------------

train_vae <- function(model, X, control) {
  core <- vae_core(model, X)
  set <- vae_settings(ncol(X), control)
  own <- if (model$encoder == "none") ppca_latent(ppca(X, model$latent), X)
  bar <- step_progress(list(progress = interactive(), steps = set$epochs * ceiling(ncol(X) /
    set$batch)))
  on.exit(bar$close())
  done <- 0L
  progress <- if (interactive()) function(epoch) bar$step(done <<- done + 1L)
  run <- with_fixed_seed({
    w <- vae_start(core)
    call_vae_train(core, w, axis_points(core$q), own, set, progress)
  }, control$seed)
  switch(names(core_status)[match(run$status[1L], core_status)], interrupted = mf_interrupt(),
    nonfinite = mf_abort("nonfinite", "the bound became no number in epoch ", run$status[2L] + 1L,
      ": rescale the data, or leave out rows that are far from all others"))
  trace <- vae_trace(run$result$trace, model)
  out <- list(w = run$result$w, trace = trace, epochs = set$epochs,
    converged = still_rises(trace$elbo) < 0.1)
  if (model$encoder == "none") out$latent <- run$result[c("m", "log_s")]
  out
}

vae_settings <- function(n, control) {
  batch <- min(control$batch_size %||% 256L, n)
  per_epoch <- ceiling(n / batch)
  if (!is.null(control$epochs) && !is.null(control$steps)) {
    mf_abort("control", "give either `epochs` or `steps`, not both", arg = "steps")
  }
  epochs <- control$epochs %||% if (is.null(control$steps)) max(60, ceiling(10000 / per_epoch)) else
    ceiling(control$steps / per_epoch)
  list(epochs = as.integer(epochs), batch = as.integer(batch), own_steps = 3L, rate = 0.01,
    last = 0.0004, clip = 1000)
}

# Weights at random, so that units differ; SDs of q and of the noise of one half and one.
vae_start <- function(core) {
  encoder <- if (!is.null(core$enc)) initial_weights(core$enc)
  c(encoder, if (core$encoder == 1L) rep(log(0.5), core$q), initial_weights(core$dec), 0)
}

vae_trace <- function(trace, model) {
  list2DF(list(epoch = seq_len(ncol(trace)), elbo = trace[1L, ] + density_units(model),
    sigma = trace[2L, ] * model$scale))
}

# Rise from the tenth of the run before the last to the last.
still_rises <- function(elbo) {
  n <- length(elbo)
  k <- max(1L, n %/% 10L)
  if (n < 2L * k) return(Inf)
  mean(elbo[(n - k + 1L):n]) - mean(elbo[(n - 2L * k + 1L):(n - k)])
}

# ---- result --------------------------------------------------------------------------------------

finish_vae <- function(call, model, X, run, optimiser, control) {
  core <- vae_core(model, X)
  fit <- structure(list(call = call, model = model, w = run$w), class = c("vae_fit",
    "meanfield_fit"))
  fit$latent <- run$latent %||% encoded(core, run$w, X)
  if (optimiser == "adam" && model$encoder == "none") { # to the end, at the last decoder
    out <- call_vae_own(core, run$w, vae_points(core$q), fit$latent)
    if (out$status[1L] == core_status[["interrupted"]]) mf_interrupt()
    fit$latent <- out$result[c("m", "log_s")]
  }
  fit$row_elbo <- latent_elbo(fit, X, fit$latent) + density_units(model)
  fit$vb <- list(elbo = sum(fit$row_elbo), converged = run$converged)
  fit$sigma <- exp(log_sigma_of(core, run$w)) * model$scale
  fit$kl <- stats::setNames(rowMeans(latent_kl(fit$latent)), latent_names(model))
  fit[c("loadings", "eigenvalues")] <- run[c("loadings", "eigenvalues")]
  fit[c("trace", "epochs", "converged")] <- run[c("trace", "epochs", "converged")]
  fit$optimiser <- optimiser
  fit$control <- control
  fit
}

latent_names <- function(model) paste0("z", seq_len(model$latent))
