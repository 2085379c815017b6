# The words of topics.

#' The most probable words of each topic
#'
#' @param fit A fit of a topic model, see [lda()].
#' @param n Number of words of each topic.
#' @param level Mass of the central interval.
#' @return A data frame, the topics in turn and in each the words by their probability: `topic`,
#'   `rank`, `word`, `mean`, `sd` and the limits of the interval (`q2.5`, `q97.5`) of the word's
#'   probability in the topic, and `lift`, how many times more often it is in the topic than in the
#'   corpus. SDs are the ones of [summary()].
#' @section Errors: `meanfield_error_control` for a bad `n`.
#' @examples
#' counts <- rbind(c(star = 5, moon = 4, tide = 1, boat = 0), c(0, 0, 2, 6), c(4, 3, 3, 1))
#' top_words(fit_vb(lda(counts, 2)), 2)
#' @export
top_words <- function(fit, n = 10, level = 0.95) {
  if (!inherits(fit, "lda_fit")) {
    mf_abort("control", "`fit` must be a fit of a topic model, see lda(), not ", describe(fit),
      arg = "fit")
  }
  valid_fit(fit)
  n <- check_count(n, "n", 1)
  level <- check_level(level)
  model <- fit$model
  words <- length(model$words)
  n <- min(n, words)
  mean <- topic_means(fit)
  rows <- unlist(lapply(seq_len(model$k), function(k) {
    model$k + (k - 1L) * words + utils::head(order(-mean[k, ]), n)
  }))
  s <- topic_rows(fit, rows, level)
  at <- (rows - model$k - 1L) %% words + 1L
  topic <- rep(seq_len(model$k), each = n)
  out <- data.frame(topic = topic, rank = rep(seq_len(n), model$k), word = model$words[at],
    mean = s$mean, sd = s$sd)
  out[quantile_names(level)] <- s[quantile_names(level)]
  used <- rowsum(model$count, model$word + 1L)
  share <- numeric(words)
  share[as.integer(rownames(used))] <- used / sum(used)
  out$lift <- s$mean / share[at]
  out
}

# Posterior means of the topics, topics x words.
topic_means <- function(fit) {
  if (inherits(fit, "lda_vb_fit")) return(fit$vb$lambda / rowSums(fit$vb$lambda))
  model <- fit$model
  at <- model$k + seq_len(model$k * length(model$words))
  mean <- colMeans(flat_draws(fit$draws[, , at, drop = FALSE]))
  matrix(mean, model$k, byrow = TRUE, dimnames = list(seq_len(model$k), model$words))
}

# Posterior means of the proportions, documents x topics.
proportion_means <- function(fit) {
  if (inherits(fit, "lda_vb_fit")) return(fit$vb$gamma / rowSums(fit$vb$gamma))
  model <- fit$model
  at <- seq_len(model$k * (length(model$words) + 1L))
  mean <- colMeans(flat_draws(fit$draws[, , -at, drop = FALSE]))
  matrix(mean, ncol = model$k, byrow = TRUE, dimnames = list(model$documents, seq_len(model$k)))
}

# Some rows of the summary, without the work of all.
topic_rows <- function(fit, rows, level) {
  if (inherits(fit, "lda_gibbs_fit")) {
    return(draws_summary(fit$draws[, , rows, drop = FALSE], level))
  }
  summary_table(fit, level)[rows, ]
}
