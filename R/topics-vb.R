# Variational fit of a topic model: starts, the run, the order of topics, the posterior.

#' Fit a topic model by variational Bayes
#'
#' Mean-field factors q(topic_k), q(theta_d), both Dirichlet, and q(z) of every word, by coordinate
#' ascent over all documents (`"cavi"`) or by stochastic variational inference with a few documents
#' a step (`"svi"`).
#'
#' @param object Made by [lda()], or a fit of such a model.
#' @param optimiser `"cavi"`: every sweep visits all documents; the bound never falls. `"svi"`:
#'   natural-gradient steps from batches of `batch_size` documents, then one visit of all: for
#'   corpora so large that a first sweep is too long to wait for.
#' @param starts Number of starts of `"cavi"`. Each runs 20 sweeps in which every document begins
#'   anew (so that it is not held by what the first topics made of it), all are reported in
#'   `starts`,
#'   and the one with the highest bound runs to the end. `"svi"` has one.
#' @param seed Of the starts and of the order of the documents. They have a generator of their own:
#'   the same data and seed give the same answer, and R's generator is not touched.
#' @param control Made by [vb_control()]. Of `"cavi"`: `tol`, the gain of the bound in a sweep,
#'   relative to it, at which to stop (`1e-6` unless a control is given; much below 1e-8 it takes
#'   thousands of sweeps; no more than 1e-8 for corpora so small that linear response is of all
#'   together); `max_iter`, sweeps. Of `"svi"`: `batch_size` (documents; `NULL`: a tenth of
#'   them, at most 256); `steps` (`NULL`: 20 visits of every document); `replacement`. `trace`
#'   prints the trace.
#' @param ... Not used; of a fit, the other arguments.
#'
#' @details
#' The posterior is the same under every permutation of the topics, and has many modes beside: a
#' start ends in one of them. Topics are put in order of their prevalence.
#'
#' *What is corrected by linear response, and what is not.* Mean field forgets that words may move
#' between topics together, and its SDs are too small. Where topics, words and documents are few
#' (topics times the number of words and documents at most 1,000), the whole of q is corrected: SDs
#' and covariances of `topic`, `theta` and `prevalence` (`response$kind` is `"joint"`). In larger
#' corpora every document's `theta` is corrected given the topics (`"documents"`): its words may
#' move, the topics stay where they are. SDs of `topic` and `prevalence` are then q's own, `source`
#' `"mfvb"` in [summary()], and too small. Neither knows of other modes.
#'
#' On simulated corpora of 20 to 100 documents median SDs of `topic` and `theta` were .94 to 1.00 of
#' the sampler's (mean field's: .67 to .99), those of `prevalence` .88 to .95 (.45 to .87). Two
#' things linear response does not repair: a document's share of a topic, or a word's probability
#' in it, that mean field puts near zero, while the sampler leaves it some, stays far too sure; and
#' where topics share most of their few words, SDs are overstated, up to twice.
#' `sd_ratio_report(fit, fit_gibbs(fit))` shows either.
#'
#' The bound is that of the words in their order, given the vocabulary, and of one labelling of the
#' topics; [compare()] adds `lfactorial(topics)`. Stochastic steps have the rate
#' (step + 4)^-0.6.
#'
#' @return An object of class `lda_vb_fit` (`lda_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{the call, and the model made by [lda()]}
#'   \item{vb}{`lambda` (topics x words) and `gamma` (documents x topics), the parameters of the
#'     Dirichlet factors; `elbo`, the evidence lower bound at these}
#'   \item{optimiser}{`"cavi"` or `"svi"`}
#'   \item{response}{of linear response: `kind`, `"joint"`, `"documents"` or `"none"` where it
#'     failed; `theta_var` (documents x topics), the variances of `theta`; of kind `"joint"`
#'     `covariance`, of all elements of `topic`, then of `theta`; `failed`, documents left at q's
#'     own variances since their bound is at no maximum}
#'   \item{starts}{data frame: `start`, `elbo` after the short run, `sweeps`}
#'   \item{trace}{data frame: `elbo` after each `sweep` from the best start on; of `"svi"` the
#'     estimate from each `step`'s batch}
#'   \item{converged, sweeps}{did it converge (`"svi"`: `NA`), in how many sweeps (steps)}
#'   \item{seconds}{seconds for the starts, for the rest and for linear response}
#' }
#' @section Errors and warnings: `meanfield_error_control`;
#'   `meanfield_warning_convergence` after `max_iter` sweeps; `meanfield_warning_topics` for topics
#'   that hold (almost) no words.
#' @references Blei, D., Ng, A. and Jordan, M. (2003). *Journal of Machine Learning Research* 3,
#'   993-1022. Hoffman, M., Blei, D., Wang, C. and Paisley, J. (2013). Stochastic variational
#'   inference. *Journal of Machine Learning Research* 14, 1303-1347. Giordano, R., Broderick, T.
#'   and
#'   Jordan, M. (2015). *NeurIPS 28*.
#' @seealso [top_words()], [predict.lda_fit()], [plot.lda_fit()], [fit_gibbs.topic_model()].
#' @examples
#' words <- c("star", "moon", "tide", "boat", "net")
#' set.seed(1)
#' counts <- t(cbind(rmultinom(10, 30, c(6, 5, 2, 1, 1)), rmultinom(10, 30, c(1, 1, 3, 6, 5))))
#' colnames(counts) <- words
#' fit <- fit_vb(lda(counts, 2))
#' fit
#' summary(fit)[1:7, ]
#' @export
fit_vb.topic_model <- function(object, optimiser = c("cavi", "svi"), starts = 3, seed = 1,
                               control = vb_control(tol = 1e-6), ...) {
  no_dots(...)
  call <- object_call(match.call(), "fit_vb", parent.frame())
  optimiser <- check_choice(optimiser, c("cavi", "svi"), "optimiser")
  starts <- check_count(starts, "starts", 1, 10000)
  seed <- check_count(seed, "seed", 0)
  check_vb_control(control)
  core <- lda_core(object)
  if (is_small(object)) control$tol <- min(control$tol, 1e-8)
  run <- if (optimiser == "cavi") cavi_run(core, starts, seed, control) else
    svi_run(core, seed, svi_settings(object, control))
  fit <- c(list(call = call, model = object, optimiser = optimiser), lda_result(object, run))
  began <- now()
  fit$response <- lda_response(fit)
  fit$seconds <- c(run$seconds, response = now() - began)
  fit$control <- control
  class(fit) <- c("lda_vb_fit", "lda_fit", "meanfield_fit")
  lda_warnings(fit)
  if (control$trace) print(fit$trace)
  fit
}

#' @rdname fit_vb.topic_model
#' @export
fit_vb.lda_fit <- function(object, ...) fit_vb(valid_fit(object)$model, ...)

# ---- runs --------------------------------------------------------------------------------------

# Steps inside a document: few of them, since the topics move as well.
INNER <- list(inner_tol = 1e-2, inner_max = 5L)
# Starts, in which documents begin evenly in every sweep: what the first topics made of them would
# hold them.
FRESH <- list(fresh = TRUE, inner_tol = 1e-3, inner_max = 20L)
SHORT_RUN <- 20L

# list(lambda, gamma, trace, elbo, starts, converged, sweeps, seconds)
cavi_run <- function(core, starts, seed, control) {
  began <- now()
  best <- NULL
  elbo <- numeric(starts)
  for (i in seq_len(starts)) {
    run <- checked_run(call_lda_fit(core, call_lda_start(core, 1000 * seed + i), NULL,
      c(list(tol = 0, max_iter = SHORT_RUN), FRESH)))
    elbo[i] <- run$elbo
    if (is.null(best) || run$elbo > best$elbo) best <- run
  }
  middle <- now()
  run <- checked_run(call_lda_fit(core, best$lambda, best$gamma,
    c(list(tol = control$tol, max_iter = control$max_iter, fresh = FALSE), INNER)))
  c(run, list(starts = data.frame(start = seq_len(starts), elbo = elbo, sweeps = SHORT_RUN),
    sweeps = length(run$trace), seconds = c(starts = middle - began, fit = now() - middle)))
}

checked_run <- function(run) {
  status <- names(core_status)[match(run$status[1L], core_status)]
  if (status == "interrupted") mf_interrupt()
  if (status == "nonfinite") {
    mf_abort("nonfinite", "the bound is no finite number: use fewer words, or less extreme ",
      "`alpha` and `eta`")
  }
  out <- run$result
  out$trace <- out$trace[seq_len(run$status[2L])]
  c(out, list(converged = status == "ok"))
}

svi_settings <- function(model, control) {
  docs <- length(model$documents)
  batch <- control$batch_size %||% min(256L, max(1L, docs %/% 10L))
  if (batch > docs) {
    mf_abort("control", "`batch_size` is ", batch, ", but there are ", docs, " documents",
      arg = "batch_size")
  }
  steps <- control$steps %||% as.integer(ceiling(20 * docs / batch))
  list(steps = steps, batch = batch, replacement = control$replacement, delay = 4, forget = 0.6)
}

# After the steps one visit of every document, for gamma and for the bound.
svi_run <- function(core, seed, settings) {
  began <- now()
  settings <- c(settings, list(seed = 1000 * seed + 1))
  inner <- list(inner_tol = 1e-3, inner_max = 50L)
  run <- checked_run(call_lda_stochastic(core, call_lda_start(core, settings$seed),
    c(settings, inner)))
  all <- checked_run(call_lda_fit(core, run$lambda, run$gamma,
    c(list(tol = 0, max_iter = 1L, fresh = FALSE), inner)))
  list(lambda = all$lambda, gamma = all$gamma, elbo = all$elbo, trace = run$trace, converged = NA,
    sweeps = length(run$trace), starts = data.frame(start = 1L, elbo = all$elbo,
      sweeps = length(run$trace)), seconds = c(starts = 0, fit = now() - began))
}

# ---- results -----------------------------------------------------------------------------------

lda_result <- function(model, run) {
  o <- order(-rowSums(run$gamma))
  k <- seq_len(model$k)
  lambda <- run$lambda[o, , drop = FALSE]
  dimnames(lambda) <- list(k, model$words)
  gamma <- t(run$gamma[o, , drop = FALSE])
  dimnames(gamma) <- list(model$documents, k)
  trace <- data.frame(seq_along(run$trace), elbo = run$trace)
  names(trace)[1L] <- if (is.na(run$converged)) "step" else "sweep"
  list(vb = list(lambda = lambda, gamma = gamma, elbo = run$elbo), starts = run$starts,
    trace = trace, converged = run$converged, sweeps = run$sweeps)
}

# Words of each topic.
topic_sizes <- function(fit) colSums(fit$vb$gamma - fit$model$alpha)

lda_warnings <- function(fit) {
  if (isFALSE(fit$converged)) {
    mf_warn("convergence", "not converged after ", fit$sweeps, " sweeps: raise `max_iter` in ",
      "vb_control(), or `tol`", arg = "control")
  }
  empty <- which(topic_sizes(fit) < 1)
  if (length(empty)) {
    mf_warn("topics", "topic", if (length(empty) > 1L) "s", " ", toString(utils::head(empty, 6)),
      if (length(empty) > 6L) ", ...", " hold", if (length(empty) == 1L) "s",
      " (almost) no words: what is said of ", if (length(empty) > 1L) "them" else "it",
      " is the prior; use fewer `topics`", arg = "topics")
  }
}
