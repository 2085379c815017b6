# Pictures of topic models.

#' Plot a fit of a topic model
#'
#' @param x A fit of a topic model, see [lda()].
#' @param what `"words"`: the most probable words of each topic, a panel per topic, with intervals;
#'   `"trace"`: the bound sweep by sweep (of a Gibbs fit log p(words, topics), a colour per chain);
#'   `"posterior"`: densities, a panel per variable.
#' @param n Number of words in a panel.
#' @param topics Which topics, at most 12 of them unless told otherwise.
#' @param variables Of `"posterior"`: names of the variables to show; by default the prevalences, at
#'   most 12.
#' @param reference Of `"posterior"` and a `lda_vb_fit`: a `lda_gibbs_fit` or posterior draws.
#' @param level Mass of the intervals.
#' @param ... Not used.
#' @return `x`, invisibly.
#' @examples
#' words <- c("star", "moon", "tide", "boat", "net")
#' set.seed(1)
#' counts <- t(cbind(rmultinom(10, 30, c(6, 5, 2, 1, 1)), rmultinom(10, 30, c(1, 1, 3, 6, 5))))
#' colnames(counts) <- words
#' fit <- fit_vb(lda(counts, 2))
#' plot(fit, n = 5)
#' plot(fit, "trace")
#' @export
plot.lda_fit <- function(x, what = c("words", "trace", "posterior"), n = 8, topics = NULL,
                         variables = NULL, reference = NULL, level = 0.95, ...) {
  valid_fit(x)
  no_dots(...)
  what <- check_choice(what, c("words", "trace", "posterior"), "what")
  n <- check_count(n, "n", 1, 100)
  switch(what,
    words = plot_words(x, n, shown_topics(topics, x$model$k), check_level(level)),
    trace = plot_topics_trace(x),
    posterior = plot_posterior(x,
      variables %||% utils::head(location_names(x$model), 12L), reference))
  invisible(x)
}

shown_topics <- function(topics, k) {
  if (is.null(topics)) return(seq_len(min(k, 12L)))
  if (!is.numeric(topics) || !length(topics) || !all(topics %in% seq_len(k))) {
    mf_abort("control", "`topics` must be whole numbers from 1 to ", k, arg = "topics")
  }
  topics
}

plot_words <- function(fit, n, topics, level) {
  words <- top_words(fit, n, level)
  share <- summary_table(fit, level)$mean[seq_len(fit$model$k)]
  columns <- if (length(topics) == 1L) 1L else min(4L, max(2L, ceiling(sqrt(length(topics)))))
  old <- graphics::par(mfrow = c(ceiling(length(topics) / columns), columns),
    mar = c(2.6, 0.5, 1.8, 0.5), mgp = c(1.6, 0.5, 0), cex = 0.75)
  on.exit(graphics::par(old))
  limits <- quantile_names(level)
  for (k in topics) {
    own <- words[words$topic == k, ]
    word_panel(own, own[[limits[1L]]], own[[limits[2L]]],
      sprintf("topic %d, %s%% of all words", k, format(100 * share[k], digits = 2)))
  }
}

# Points with intervals, the words above their lines.
word_panel <- function(own, low, high, title) {
  y <- rev(seq_len(nrow(own)))
  graphics::plot(own$mean, y, xlim = c(0, max(high)), ylim = c(0.6, nrow(own) + 0.7), pch = 19,
    col = "#0072B2", yaxt = "n", xlab = "probability", ylab = "", bty = "n", cex.main = 1,
    main = title, font.main = 1)
  graphics::segments(low, y, high, y, col = "#0072B2", lwd = 2)
  graphics::text(0, y + 0.35, own$word, adj = 0, cex = 0.9)
}

plot_topics_trace <- function(fit) {
  old <- graphics::par(mar = c(3.6, 5.5, 0.8, 0.8), mgp = c(2.4, 0.6, 0), las = 1)
  on.exit(graphics::par(old))
  if (inherits(fit, "lda_gibbs_fit")) {
    colours <- grDevices::hcl.colors(fit$chains, "viridis")
    graphics::matplot(fit$log_joint, type = "l", lty = 1, col = colours, xlab = "stored draw",
      ylab = "")
    return(graphics::title(ylab = "log p(words, topics)", line = 4.4))
  }
  step <- names(fit$trace)[1L]
  # the first sweeps would leave no room for the others
  shown <- fit$trace$elbo >= stats::quantile(fit$trace$elbo, 0.05)
  graphics::plot(fit$trace[[step]][shown], fit$trace$elbo[shown], type = "l", col = "#0072B2",
    lwd = 2, xlab = step, ylab = "")
  graphics::title(ylab = if (step == "step") "bound, estimated from the batch" else "ELBO",
    line = 4.4)
}
