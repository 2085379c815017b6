# Is a fit of a mixture what the methods take it for? See model-valid.R.

#' @export
unsound.gmm_fit <- function(fit) {
  m <- fit$model
  if (!inherits(m, "gaussian_mixture")) return("model")
  if (!is.matrix(m$x) || !ncol(m$x) || !is_shape(m$x, dim(m$x)) ||
    !is_text(colnames(m$x), ncol(m$x))) return("model$x")
  if (!is.integer(m$k) || !is_one(m$k) || !is_within(m$k, 1, 64)) return("model$k")
  p <- ncol(m$x)
  wrong <- first_wrong(
    misshapen(m$units, list(centre = p, U = c(p, p), A = c(p, p), log_det_A = 1L), "model$units"),
    unsound_mixture_prior(m$prior, p)
  )
  if (!is.null(wrong)) return(wrong)
  if (inherits(fit, "gmm_vb_fit")) return(unsound_gmm_vb(fit, nrow(m$x), p, m$k))
  if (inherits(fit, "gmm_gibbs_fit")) return(unsound_gmm_gibbs(fit))
  "class"
}

unsound_mixture_prior <- function(prior, p) {
  if (!is.list(prior)) return("model$prior")
  square <- function(M) is.null(M) || is_shape(M, c(p, p))
  ok <- is_shape(prior$mean, p) && is_shape(prior$k0, 1L) && prior$k0 >= 0 && is_one(prior$df) &&
    is_positive(prior$alpha, 1L) && square(prior$cov) && square(prior$scale) &&
    is_true_false(prior$flat_mean) && is_true_false(prior$flat_precision) &&
    (prior$flat_precision || !is.null(prior$scale))
  if (!ok) "model$prior"
}

unsound_gmm_vb <- function(fit, n, p, k) {
  v <- fit$posterior$variables
  N <- k * (p + (p * (p + 1L)) %/% 2L + 2L)
  names <- mixture_names(fit$model)[1:4]
  ok <- is.data.frame(v) && identical(v$variable, unlist(names, use.names = FALSE)) &&
    identical(v$kind, rep(names(names), lengths(names))) && is_within(v$term, 1, k)
  if (!ok) return("posterior$variables")
  lr <- !is.null(fit$posterior$cov_lrvb)
  first_wrong(
    misshapen(fit$vb, list(N = k, mean = c(p, k), S = c(p, p, k), df = k, L = c(p, p, k),
      mean_log_det = k, alpha = k, mean_log_pi = k, elbo = 1L), "vb"),
    misshapen(fit$core, list(stats = k * (1L + p + p * p), m = c(p, k), L = c(p * p, k),
      offset = k), "core"),
    misshapen(fit$posterior, c(list(mean = N, cov_mfvb = c(N, N)), if (lr) {
      list(cov_lrvb = c(N, N), direction = N)
    }), "posterior"),
    if (!identical(names(fit$posterior$mean), v$variable)) "posterior$mean",
    if (!is_within(fit$vb$alpha, .Machine$double.xmin, Inf)) "vb$alpha",
    if (!is_true_false(fit$converged)) "converged", if (!is_one(fit$passes)) "passes",
    if (!is.data.frame(fit$starts) || !is.numeric(fit$starts$elbo)) "starts",
    if (!is_null_or(fit$linearity, is_shape(fit$linearity$slope, 2L))) "linearity",
    if (!is_shape(fit$failed, 1L)) "failed"
  )
}

# The names of variable_table() by kind, without its data frame.
mixture_names <- function(model) {
  x <- colnames(model$x)
  pairs <- lower_pairs(length(x))
  k <- seq_len(model$k)
  matrices <- function(what) {
    sprintf("%s[%d,%s,%s]", what, rep(k, each = length(pairs$row)), x[pairs$col], x[pairs$row])
  }
  list(mu = sprintf("mu[%d,%s]", rep(k, each = length(x)), x), Lambda = matrices("Lambda"),
    log_det = sprintf("log_det[%d]", k), log_pi = sprintf("log_pi[%d]", k),
    pi = sprintf("pi[%d]", k), Sigma = matrices("Sigma"))
}

unsound_gmm_gibbs <- function(fit) {
  wrong <- unsound_chains(fit)
  if (!is.null(wrong)) return(wrong)
  kept <- (fit$iter - fit$warmup) %/% fit$thin
  v <- mixture_names(fit$model)
  names <- unlist(v[c("mu", "Lambda", "log_det", "pi", "log_pi", "Sigma")], use.names = FALSE)
  if (!is_draws(fit$draws, kept, fit$chains, names)) return("draws")
  wrong <- misshapen(fit, list(relabelled = fit$chains, switches = fit$chains), "fit")
  if (!is.null(wrong)) return(wrong)
  if (inherits(fit$vb, "gmm_vb_fit")) unsound_part(fit$vb) else "vb"
}
