# Variational autoencoders: the model object, and the list that C reads.

#' A variational autoencoder to fit
#'
#' A model of rows by a few latent variables, x = f(z) + noise, with z standard normal: f is a
#' neural network, or linear, and then this is probabilistic principal component analysis. The
#' posterior of each row's z is approximated by a normal distribution that an encoder gives
#' (amortised inference), or that is found for each row by itself. [fit_vb()] fits it.
#'
#' @param x A numeric matrix or data frame, a row per observation. The noise has one SD for all
#'   columns, so that these should have the same units: [scale()] them, or take principal
#'   components.
#' @param latent Number of latent variables, less than the number of columns.
#' @param hidden Units of the hidden layers of the networks, from the data to the latent variables;
#'   the decoder has them in reverse. Default: one layer of 20. Not for a model without a network.
#' @param encoder How q(z | x) = normal(mean, diag(SD^2)) depends on the row. `"network"`: mean and
#'   log SD are outputs of a network. `"linear"`: the mean is linear in x, and SDs are the same for
#'   all rows. `"none"`: both are optimised for every row by itself, which is slower and tighter:
#'   what the encoder loses against it is the amortisation gap, see [amortisation_gap()].
#' @param decoder `"network"`, with tanh units, or `"linear"`.
#'
#' @details
#' z_i ~ N(0, I), x_i | z_i ~ N(f(z_i), sigma^2 I). The weights of the decoder and sigma are
#' estimated by maximising the evidence lower bound: they have no prior, and no posterior. With a
#' linear decoder and an encoder that is not a network the optimum is known: f(z) = centre + W z
#' with W from the first eigenvectors of the covariance matrix of the data, and then q(z | x) is the
#' exact posterior.
#'
#' @return An object of class `vae`, a list with
#' \describe{
#'   \item{call}{the call}
#'   \item{x}{the data, a numeric matrix}
#'   \item{latent, hidden, encoder, decoder}{as given, with defaults filled in}
#'   \item{centre, scale}{column means, and one number, the root mean square of the columns' SDs:
#'     networks see (x - centre) / scale}
#' }
#' @section Errors: `meanfield_error_data` for values that are missing, infinite, beyond 1e70 or not
#'   numeric, and for too few rows; `meanfield_error_rank` for constant columns;
#'   `meanfield_error_control` for the other arguments. Columns whose SDs differ more than
#'   thirtyfold are a message, `meanfield_message_scale`.
#' @references Kingma, D. P. and Welling, M. (2014). Auto-encoding variational Bayes. *ICLR*.
#'   Tipping, M. E. and Bishop, C. M. (1999). Probabilistic principal component analysis. *J. R.
#'   Statist. Soc. B* 61, 611-622.
#' @seealso [fit_vb.vae()], [amortisation_gap()]
#' @examples
#' vae(scale(iris[1:4]), latent = 2, encoder = "linear", decoder = "linear")
#' @export
vae <- function(x, latent, hidden = NULL, encoder = c("network", "linear", "none"),
                decoder = c("network", "linear")) {
  call <- match.call()
  if (missing(x)) mf_abort("data", "`x`, a numeric matrix, is missing", arg = "x")
  if (missing(latent)) {
    mf_abort("control", "`latent`, the number of latent variables, is missing", arg = "latent")
  }
  encoder <- check_choice(encoder, VAE_ENCODERS, "encoder")
  decoder <- check_choice(decoder, c("network", "linear"), "decoder")
  hidden <- vae_hidden(hidden, encoder, decoder)
  x <- vae_data(x)
  latent <- check_latent(latent, x)
  centre <- colMeans(x)
  sd <- apply(x, 2L, stats::sd)
  check_varying(x, centre, sd)
  tell_scales(sd, colnames(x))
  structure(list(version = FIT_VERSION, call = call, x = x, latent = latent, hidden = hidden,
    encoder = encoder, decoder = decoder, centre = unname(centre), scale = sqrt(mean(sd^2))),
  class = "vae")
}

VAE_ENCODERS <- c("network", "linear", "none") # enum vae_encoder of src/network/vae.h
MOST_VAE_DATA <- 1e70

vae_hidden <- function(hidden, encoder, decoder) {
  needed <- encoder == "network" || decoder == "network"
  if (!needed && !is.null(hidden)) {
    mf_abort("control", "`hidden` is for networks, and encoder and decoder are none: leave it out",
      arg = "hidden")
  }
  if (needed) check_hidden(hidden %||% 20L)
}

vae_data <- function(x) {
  x <- numeric_matrix(x)
  if (nrow(x) < 3L) {
    mf_abort("data", "`x` has ", nrow(x), " row", if (nrow(x) != 1L) "s",
      ": an autoencoder needs at least 3", arg = "x")
  }
  if (max(abs(x)) > MOST_VAE_DATA) {
    mf_abort("data", "`x` has numbers beyond ", MOST_VAE_DATA, ": rescale it", arg = "x")
  }
  x
}

check_latent <- function(latent, x) {
  latent <- check_count(latent, "latent", 1)
  most <- min(ncol(x) - 1L, nrow(x) - 2L)
  if (latent <= most) return(latent)
  few <- ncol(x) - 1L <= nrow(x) - 2L
  mf_abort("control", "`latent` is ", latent, ", and must be less than the number of ",
    if (few) paste("columns,", ncol(x)) else paste("rows less one,", nrow(x) - 1L),
    ": use fewer", if (ncol(x) == 1L) ", or rather more columns", arg = "latent")
}

tell_scales <- function(sd, names) {
  if (max(sd) <= 30 * min(sd)) return(invisible())
  mf_inform("scale", "The SDs of the columns go from ", format(min(sd), digits = 2), " ('",
    names[which.min(sd)], "') to ", format(max(sd), digits = 2), " ('", names[which.max(sd)],
    "'), and the noise has one SD for all: scale() them if their units differ.")
}

# ---- as C has it ---------------------------------------------------------------------------------

# Rows as the networks see them, a column each.
vae_columns <- function(model, x) t(unname((x - rep(model$centre, each = nrow(x))) / model$scale))

# X: vae_columns().
vae_core <- function(model, X) {
  p <- ncol(model$x)
  q <- model$latent
  network <- function(kind) if (kind == "network") model$hidden
  list(X = X, q = q, encoder = match(model$encoder, VAE_ENCODERS) - 1L,
    enc = if (model$encoder != "none") dense_layers(p, network(model$encoder),
      if (model$encoder == "network") 2L * q else q),
    dec = dense_layers(q, rev(network(model$decoder)), p))
}

# Where the parts of the vector of parameters stand: see src/network/vae.h.
vae_parts <- function(core) {
  n <- c(encoder = if (is.null(core$enc)) 0 else count_weights(core$enc),
    log_s = if (core$encoder == 1L) core$q else 0, decoder = count_weights(core$dec), log_sigma = 1)
  Map(function(size, from) from + seq_len(size), n, cumsum(c(0, n[-4L])))
}

# ---- print ---------------------------------------------------------------------------------------

#' @export
print.vae <- function(x, ...) {
  no_dots(...)
  print_vae_model(x)
  cat("Fit it with fit_vb().\n")
  invisible(x)
}

print_vae_model <- function(model) {
  layers <- function(...) paste(c(...), collapse = "-")
  p <- ncol(model$x)
  q <- model$latent
  words <- c(
    encoder = switch(model$encoder, network = paste0("network ", layers(p, model$hidden),
      "-(", q, "+", q, ")"), linear = "linear, the same SDs for all rows",
    none = "none, every row's own"),
    decoder = if (model$decoder == "network") paste("network", layers(q, rev(model$hidden), p)) else
      "linear")
  cat("Variational autoencoder: ", q, " latent variable", if (q > 1L) "s", ", ", p, " columns, ",
    format(nrow(model$x), big.mark = ","), " rows\n", "Encoder: ", words[["encoder"]],
    "\nDecoder: ", words[["decoder"]], "\n", sep = "")
}
