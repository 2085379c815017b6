# The other generics on fits of topic models.

#' More methods for fits of topic models
#'
#' [summary()], [confint()], [vcov()], [hypothesis()], [as_draws()], [sd_ratio_report()],
#' [compare()] and `glance()` work on fits of [lda()] as on others. What asks for a response,
#' coefficients or groups, for densities in coordinates that chains could share or for an exact
#' posterior is refused, `meanfield_error_topics` or `meanfield_error_engine`.
#'
#' `vcov()`, `confint()` and `hypothesis()` are about `prevalence` unless told otherwise. Draws of
#' a variational fit have the margins of [summary()]; in small corpora
#' (`response$kind` is `"joint"`) they are joined by the correlations of linear response, in larger
#' ones topics and proportions are independent, as under q. Of compared fits the bound gets
#' `lfactorial(topics)`, for the labellings that are as good.
#'
#' @param object,x A fit of a topic model.
#' @param conf.level Mass of the central interval.
#' @param conf.int Add interval columns?
#' @param nsim,seed Number of simulated corpora, and a seed to set first.
#' @param evaluate Evaluate the new call?
#' @param ... For `update()`: arguments of [lda()] (`counts`, `topics`, `alpha`, `eta`) or of the
#'   fit. Otherwise not used.
#' @return `coef()`: a matrix of posterior means of the topics, topics x words. `nobs()`: documents.
#'   `tidy()`: a data frame with a row per prevalence, word of a topic and topic of a document:
#'   `type`, `topic`, `word`, `document`, `estimate`, `std.error`. `simulate()`: a data frame of
#'   `nsim` matrices of counts (documents x words), each from a posterior draw, with as many words
#'   in
#'   each document as it has. `prior_summary()`: a data frame. `case.names()`, `variable.names()`:
#'   names of documents and words.
#' @examples
#' counts <- rbind(c(star = 5, moon = 4, tide = 1, boat = 0), c(0, 0, 2, 6), c(4, 3, 3, 1))
#' fit <- fit_vb(lda(counts, 2))
#' confint(fit)
#' head(tidy(fit), 3)
#' simulate(fit, seed = 1)
#' compare(two = fit, one = update(fit, topics = 1), loo = FALSE)
#' @name lda-methods
NULL

#' @rdname lda-methods
#' @export
coef.lda_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  topic_means(object)
}

#' @rdname lda-methods
#' @export
nobs.lda_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  length(object$model$documents)
}

#' @export
n_parameters.topic_model <- function(model) {
  model$k * (length(model$words) - 1) + length(model$documents) * (model$k - 1)
}

#' @export
size_columns.lda_fit <- function(fit) {
  model <- fit$model
  data.frame(nobs = length(model$documents), topics = model$k, words = length(model$words),
    tokens = sum(model$count))
}

#' @export
fit_evidence.lda_fit <- function(fit) {
  if (!inherits(fit, "lda_vb_fit")) return(list(value = NA_real_, source = "none"))
  list(value = fit$vb$elbo + lfactorial(fit$model$k), source = "elbo")
}

#' @rdname lda-methods
#' @export
tidy.lda_fit <- function(x, conf.int = FALSE, conf.level = 0.95, ...) {
  valid_fit(x)
  no_dots(...)
  check_flag(conf.int, "conf.int")
  s <- summary_table(x, check_level(conf.level, "conf.level"))
  v <- variable_table(x$model)
  of <- function(kind, names) ifelse(v$kind == kind, names[pmin(v$a, length(names))], NA)
  out <- data.frame(type = v$kind, topic = v$term, word = of("topic", x$model$words),
    document = of("theta", x$model$documents), estimate = s$mean, std.error = s$sd)
  if (conf.int) out[c("conf.low", "conf.high")] <- s[quantile_names(conf.level)]
  as_tibble_if_possible(out)
}

#' @rdname lda-methods
#' @export
prior_summary.lda_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  data.frame(variable = c("topic", "theta"),
    prior = sprintf("Dirichlet(%s)", format(c(object$model$eta, object$model$alpha), digits = 4)))
}

#' @rdname lda-methods
#' @export
case.names.lda_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  object$model$documents
}

#' @rdname lda-methods
#' @export
variable.names.lda_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  object$model$words
}

# ---- report ------------------------------------------------------------------------------------

#' @export
report_types.topic_model <- function(model) c(prevalence = 1, topic = 1, theta = 1) / 3

#' @export
check_same_model.topic_model <- function(a, b) {
  parts <- c("ptr", "word", "count", "words", "k")
  if (!inherits(b, "topic_model") || !identical(a[parts], b[parts])) {
    refuse_reference("have different counts or numbers of topics")
  }
  if (a$alpha != b$alpha || a$eta != b$eta) refuse_reference("have different priors")
}

#' @export
shortfall.lda_dirichlet <- function(p, t) rep("", nrow(t))

# ---- simulate ----------------------------------------------------------------------------------

#' @rdname lda-methods
#' @export
simulate.lda_fit <- function(object, nsim = 1, seed = NULL, ...) {
  valid_fit(object)
  nsim <- check_count(nsim, "nsim", 1)
  no_dots(...)
  model <- object$model
  cells <- as.double(nsim) * length(model$documents) * length(model$words)
  if (cells > MOST_TOPIC_DRAWS) {
    mf_abort("size", "the matrices would have ", format(cells, big.mark = ","), " elements, more ",
      "than 1e8: use a smaller `nsim`", arg = "nsim")
  }
  state <- seeded_state(seed)
  if (!is.null(seed)) on.exit(assign(".Random.seed", state$before, envir = globalenv()))
  d <- topic_draws(object, nsim)
  out <- lapply(seq_len(nsim), function(i) simulated_counts(model, d[i, ]))
  simulations(out, model$documents, state$used)
}

topic_draws <- function(fit, draws) {
  p <- posterior_of(fit)
  if (!inherits(p, "draws_posterior")) return(unclass(all_draws(p, draws)))
  d <- flat_draws(p$draws)
  d[sample(nrow(d), draws, replace = draws > nrow(d)), , drop = FALSE]
}

simulated_counts <- function(model, d) {
  words <- length(model$words)
  at <- model$k + seq_len(model$k * words)
  topic <- matrix(d[at], model$k, byrow = TRUE)
  theta <- matrix(d[-seq_len(model$k * (words + 1L))], ncol = model$k, byrow = TRUE)
  p <- theta %*% topic
  n <- document_words(model)
  out <- vapply(seq_along(n), function(i) {
    drop(stats::rmultinom(1L, n[i], p[i, ]))
  }, integer(words))
  out <- t(matrix(out, words))
  dimnames(out) <- list(NULL, model$words)
  out
}

# ---- update ------------------------------------------------------------------------------------

#' @rdname lda-methods
#' @export
update.lda_fit <- function(object, ..., evaluate = TRUE) {
  valid_fit(object)
  written <- lasting_args(as.list(match.call(expand.dots = FALSE)$...), NULL, parent.frame(),
    globalenv())
  updated_fit(object, lda, updated_topics, list(...), written, evaluate, parent.frame())
}

# alpha follows the number of topics where it was not given.
updated_topics <- function(old, new) {
  topics <- new$topics %||% old$k
  given <- !is.null(old$call$alpha)
  alpha <- new$alpha %||% if (given) old$alpha
  if (!is.null(new$counts)) {
    args <- list(new$counts, topics, eta = new$eta %||% old$eta)
    return(do.call(lda, c(args, if (!is.null(alpha)) list(alpha = alpha))))
  }
  old$k <- check_count(topics, "topics", 1, core_limit("topics"))
  check_topic_size(old, old$k)
  old$alpha <- check_concentration(alpha %||% (1 / old$k), "alpha")
  old$eta <- check_concentration(new$eta %||% old$eta, "eta")
  old
}

# ---- refusals ----------------------------------------------------------------------------------

no_topics <- function(x, what, remedy) {
  if (!inherits(x, "topic_model")) valid_fit(x)
  mf_abort("topics", "a topic model has no ", what, ": ", remedy, arg = "object")
}

topics_refusal <- function(what, instead) function(object, ...) no_topics(object, what, instead)

#' @export
fit_exact.lda_fit <- topics_refusal("posterior that could be integrated exactly",
  "use fit_gibbs()")

#' @export
fit_exact.topic_model <- fit_exact.lda_fit

#' @export
fit_hmc.lda_fit <- topics_refusal(
  "density in coordinates that chains could share (labels switch)",
  "use fit_gibbs(), which relabels")

#' @export
fit_hmc.topic_model <- fit_hmc.lda_fit

#' @export
as_target.lda_fit <- topics_refusal("density in coordinates that a target could have",
  "use fit_gibbs()")

#' @export
residuals.lda_fit <- topics_refusal("response, and so no residuals",
  "see predict() for the topics and words of a document")

#' @export
fitted.lda_fit <- topics_refusal("fitted values",
  "see predict(type = \"words\") for the expected words of a document")

#' @export
deviance.lda_fit <- topics_refusal("deviance", "see logLik() and predict(type = \"perplexity\")")

#' @export
family.lda_fit <- topics_refusal("family and link",
  "its words are categorical, see prior_summary()")

#' @export
formula.lda_fit <- function(x, ...) no_topics(x, "formula", "see print() for its corpus")

#' @export
weights.lda_fit <- topics_refusal("weights of rows",
  "see `prevalence` in summary() for the shares of its topics")

#' @export
df.residual.lda_fit <- topics_refusal("residuals, and so no degrees of freedom of them",
  "see nobs()")
