# Is a model or a fit of an autoencoder what the methods take it for?

valid_vae <- function(model) {
  if (!is.list(model) || !identical(model$version, FIT_VERSION)) {
    mf_abort("fit", "the model was made by another version of the package: make it again by vae()",
      arg = "object")
  }
  wrong <- tryCatch(unsound_vae(model), error = function(e) "x")
  if (is.null(wrong)) return(invisible(model))
  mf_abort("fit", "the model was changed: `", wrong, "` is not what it must be; make it again by ",
    "vae()", arg = "object")
}

unsound_vae <- function(m) {
  if (!is.matrix(m$x) || !is_shape(m$x, dim(m$x)) || is.null(colnames(m$x))) return("x")
  if (!is_one(m$latent) || !is_within(m$latent, 1, ncol(m$x) - 1)) return("latent")
  if (!is_text(m$encoder) || !m$encoder %in% VAE_ENCODERS) return("encoder")
  if (!is_text(m$decoder) || !m$decoder %in% c("network", "linear")) return("decoder")
  network <- "network" %in% c(m$encoder, m$decoder)
  if (network && !(is.integer(m$hidden) && is_within(m$hidden, 1, 10000))) return("hidden")
  if (!is_shape(m$centre, ncol(m$x))) return("centre")
  if (!is_positive(m$scale, 1L)) "scale"
}

#' @export
unsound.vae_fit <- function(fit) {
  m <- fit$model
  if (!inherits(m, "vae")) return("model")
  wrong <- unsound_vae(m)
  if (!is.null(wrong)) return(paste0("model$", wrong))
  core <- vae_core(m, matrix(0, ncol(m$x), 0L))
  n <- nrow(m$x)
  first_wrong(
    if (!is_shape(fit$w, length(unlist(vae_parts(core))))) "w",
    if (!is_shape(fit$latent$m, c(m$latent, n))) "latent$m",
    if (!is_shape(fit$latent$log_s, c(m$latent, n))) "latent$log_s",
    if (!is_shape(fit$row_elbo, n)) "row_elbo",
    if (!is_shape(fit$vb$elbo, 1L)) "vb$elbo",
    if (!is_positive(fit$sigma, 1L)) "sigma",
    if (!is_shape(fit$kl, m$latent)) "kl",
    if (!is_null_or(fit$loadings, is_shape(fit$loadings, c(ncol(m$x), m$latent)))) "loadings",
    if (!is.data.frame(fit$trace) || !is.numeric(fit$trace$elbo)) "trace",
    if (!is_true_false(fit$converged)) "converged", if (!is_one(fit$epochs)) "epochs"
  )
}
