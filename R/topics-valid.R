# Is a fit of a topic model what the methods take it for? See model-valid.R.

#' @export
unsound.lda_fit <- function(fit) {
  wrong <- unsound_topic_model(fit$model)
  if (!is.null(wrong)) return(wrong)
  if (inherits(fit, "lda_vb_fit")) return(unsound_lda_vb(fit))
  if (inherits(fit, "lda_gibbs_fit")) return(unsound_lda_gibbs(fit))
  "class"
}

unsound_topic_model <- function(m) {
  if (!inherits(m, "topic_model")) return("model")
  if (!is.integer(m$k) || !is_one(m$k) || !is_within(m$k, 1, 512)) return("model$k")
  for (part in c("documents", "words")) {
    if (!is.character(m[[part]]) || !length(m[[part]]) || anyNA(m[[part]])) {
      return(paste0("model$", part))
    }
  }
  for (part in c("alpha", "eta")) {
    if (!is_positive(m[[part]], 1L)) return(paste0("model$", part))
  }
  cells <- length(m$word)
  ok <- is.integer(m$ptr) && length(m$ptr) == length(m$documents) + 1L && !anyNA(m$ptr) &&
    m$ptr[1L] == 0L && !is.unsorted(m$ptr) && m$ptr[length(m$ptr)] == cells
  if (!ok) return("model$ptr")
  if (!is.integer(m$word) || !is_within(m$word, 0, length(m$words) - 1)) return("model$word")
  if (!is.double(m$count) || !is_positive(m$count, cells)) "model$count"
}

unsound_lda_vb <- function(fit) {
  m <- fit$model
  docs <- length(m$documents)
  wrong <- first_wrong(
    misshapen(fit$vb, list(lambda = c(m$k, length(m$words)), gamma = c(docs, m$k), elbo = 1L),
    "vb"),
    if (!all(fit$vb$lambda > 0)) "vb$lambda", if (!all(fit$vb$gamma > 0)) "vb$gamma",
    if (!isTRUE(fit$optimiser %in% c("cavi", "svi"))) "optimiser",
    if (!is.logical(fit$converged) || length(fit$converged) != 1L) "converged",
    if (!is_one(fit$sweeps)) "sweeps",
    if (!is.data.frame(fit$trace) || !is.numeric(fit$trace$elbo)) "trace",
    if (!is.data.frame(fit$starts) || !is.numeric(fit$starts$elbo)) "starts"
  )
  wrong %||% unsound_response(fit$response, m)
}

unsound_response <- function(r, m) {
  if (!isTRUE(r$kind %in% c("joint", "documents", "none"))) return("response$kind")
  docs <- length(m$documents)
  if (!is_shape(r$theta_var, c(docs, m$k)) || any(r$theta_var < 0)) return("response$theta_var")
  if (length(r$failed) && !is_within(r$failed, 1, docs)) return("response$failed")
  n <- m$k * (length(m$words) + docs)
  if (r$kind == "joint" && (!is_shape(r$covariance, c(n, n)) || !is_variance(r$covariance))) {
    "response$covariance"
  }
}

unsound_lda_gibbs <- function(fit) {
  wrong <- unsound_chains(fit)
  if (!is.null(wrong)) return(wrong)
  kept <- (fit$iter - fit$warmup) %/% fit$thin
  if (!is_draws(fit$draws, kept, fit$chains, variable_table(fit$model)$variable)) return("draws")
  wrong <- misshapen(fit, list(relabelled = fit$chains, switches = fit$chains,
    log_joint = c(kept, fit$chains)), "fit")
  if (!is.null(wrong)) return(wrong)
  if (inherits(fit$vb, "lda_vb_fit")) unsound_part(fit$vb) else "vb"
}
