# New documents under a fitted topic model.

#' Topics, words and likelihood of new documents
#'
#' @param object A fit of a topic model, see [lda()].
#' @param newdata Counts of the words of new documents, in any form that [lda()] takes; words are
#'   found by their names where both have names, and words that the fit does not know are left out
#'   with a message. `NULL`: the documents of the fit.
#' @param type `"topics"`: proportions of the topics in each document; `"words"`: expected
#'   probabilities of the words in each document; `"log_lik"`: of each document a lower bound of the
#'   log probability of its words; `"perplexity"`: exp(-sum of these / number of words), one number.
#' @param se.fit Of `"topics"`: also SDs?
#' @param ... Not used.
#'
#' @details
#' `"topics"` of the documents of the fit are the means of `theta` in [summary()]. Of new documents
#' q(theta) and q(z) are fitted with q of the topics left as it is; SDs are corrected by linear
#' response given the topics.
#'
#' `"log_lik"` is the bound of a document given the topics' posterior means: max over q of
#' E log p(words, theta, z | topics) - E log q, with theta integrated out. `"perplexity"` follows
#' from it, and is what `perplexity()` of the topicmodels package gives for its VEM fits on new
#' documents (its topics are point estimates). On the documents of the fit itself it says how well
#' they were learned, on held-out ones how well topics predict.
#'
#' @return `"topics"`: a matrix, documents x topics (with `se.fit` a list of `fit` and `se.fit`);
#'   `"words"`: a matrix, documents x words; `"log_lik"`: a named vector; `"perplexity"`: a number.
#'   An
#'   empty document has the prior's proportions and log likelihood 0.
#' @section Errors: `meanfield_error_newdata` for counts that are none, or none of whose words the
#'   fit knows.
#' @examples
#' words <- c("star", "moon", "tide", "boat", "net")
#' set.seed(1)
#' counts <- t(cbind(rmultinom(10, 30, c(6, 5, 2, 1, 1)), rmultinom(10, 30, c(1, 1, 3, 6, 5))))
#' colnames(counts) <- words
#' fit <- fit_vb(lda(counts, 2))
#' predict(fit, rbind(new = c(star = 3, moon = 2, boat = 1)))
#' predict(fit, counts[1:3, ], "perplexity")
#' @export
predict.lda_fit <- function(object, newdata = NULL,
                            type = c("topics", "words", "log_lik", "perplexity"),
                            se.fit = FALSE, ...) {
  valid_fit(object)
  no_dots(...)
  type <- check_choice(type, c("topics", "words", "log_lik", "perplexity"), "type")
  check_flag(se.fit, "se.fit")
  model <- if (is.null(newdata)) object$model else new_documents(object$model, newdata)
  switch(type,
    topics = predicted_topics(object, model, is.null(newdata), se.fit),
    words = {
      theta <- predicted_topics(object, model, is.null(newdata), FALSE)
      theta %*% topic_means(object)
    },
    log_lik = document_bounds(object, model),
    perplexity = {
      if (!sum(model$count)) mf_abort("newdata", "`newdata` has no words", arg = "newdata")
      exp(-sum(document_bounds(object, model)) / sum(model$count))
    })
}

training_perplexity <- function(fit) {
  exp(-sum(document_bounds(fit, fit$model)) / sum(fit$model$count))
}

# To the end: the topics do not move.
DOCUMENT_STEPS <- list(inner_tol = 1e-6, inner_max = 500L)

predicted_topics <- function(fit, model, own, se) {
  if (own) {
    mean <- proportion_means(fit)
    if (!se) return(mean)
    at <- which(variable_table(model)$kind == "theta")
    sd <- topic_rows(fit, at, 0.95)$sd
    return(list(fit = mean, se.fit = structure(matrix(sd, ncol = model$k, byrow = TRUE),
      dimnames = dimnames(mean))))
  }
  out <- call_lda_documents(lda_core(model), log_topics(fit), NULL,
    c(DOCUMENT_STEPS, variance = se))
  names <- list(model$documents, seq_len(model$k))
  mean <- structure(t(out$gamma / rep(colSums(out$gamma), each = model$k)), dimnames = names)
  if (se) list(fit = mean, se.fit = structure(t(sqrt(out$var)), dimnames = names)) else mean
}

# E log topic; of draws the mean over them.
log_topics <- function(fit) {
  if (inherits(fit, "lda_vb_fit")) return(mean_log(fit$vb$lambda))
  model <- fit$model
  at <- model$k + seq_len(model$k * length(model$words))
  d <- log(pmax(flat_draws(fit$draws[, , at, drop = FALSE]), 1e-300))
  matrix(colMeans(d), model$k, byrow = TRUE)
}

document_bounds <- function(fit, model) {
  out <- call_lda_documents(lda_core(model), log(topic_means(fit)), NULL,
    c(DOCUMENT_STEPS, variance = FALSE))
  bound <- out$bound
  bound[diff(model$ptr) == 0L] <- 0 # rounding
  stats::setNames(bound, model$documents)
}

# A model of other documents with the fit's words.
new_documents <- function(model, newdata) {
  t <- tryCatch({
    t <- count_triplets(newdata)
    check_counts(t)
    t
  }, meanfield_error_data = function(e) {
    mf_abort("newdata", gsub("`counts`", "`newdata`", conditionMessage(e), fixed = TRUE),
      arg = "newdata")
  })
  if (!t$dim[1L]) mf_abort("newdata", "`newdata` has no documents", arg = "newdata")
  at <- word_positions(model, t)
  known <- !is.na(at[t$j]) & t$x > 0
  o <- order(t$i[known], at[t$j[known]])
  i <- as.integer(t$i[known])[o]
  model$ptr <- c(0L, cumsum(tabulate(i, t$dim[1L])))
  model$word <- as.integer(at[t$j[known]])[o] - 1L
  model$count <- t$x[known][o]
  model$documents <- cell_names(t$names[[1L]], t$dim[1L], "")
  model
}

word_positions <- function(model, t) {
  names <- t$names[[2L]]
  if (is.null(names)) {
    if (t$dim[2L] != length(model$words)) {
      mf_abort("newdata", "`newdata` has ", t$dim[2L], " columns without names, and the fit ",
        length(model$words), " words: name the columns", arg = "newdata")
    }
    return(seq_along(model$words))
  }
  at <- match(make.unique(as.character(names)), model$words)
  unknown <- is.na(at)
  if (all(unknown)) {
    mf_abort("newdata", "`newdata` has none of the words of the fit", arg = "newdata")
  }
  lost <- sum(t$x[unknown[t$j]])
  if (lost > 0) {
    mf_inform("words", format(lost, big.mark = ","), " words of `newdata` are not among those of ",
      "the fit, and are left out")
  }
  at
}
