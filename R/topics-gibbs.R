# Collapsed Gibbs sampling of a topic model.

#' Sample a topic model by collapsed Gibbs
#'
#' Draws the topic of every word given those of all others, with topics and proportions integrated
#' out: a reference for [fit_vb.topic_model()] on corpora that are not large.
#'
#' @inheritParams fit_gibbs
#' @param object Made by [lda()], or a fit of such a model.
#' @param start `"random"`: every word starts with a topic at random, so that chains may end in
#'   different modes, and say so by their R-hat; `"fit"`: with one from the variational fit, to
#'   look at the posterior about its mode.
#' @param ... For a model: arguments of its [fit_vb()], which gives the labels.
#'
#' @details
#' Draws come from R's generator (`set.seed()`). Of every kept draw topics and proportions come from
#' their Dirichlet distributions given the words' topics. The posterior is the same under every
#' permutation of the topics: each kept draw is relabelled to agree with the variational fit, by the
#' permutation under which most words have the topic that the fit gives them. How often that was not
#' the identity is in `relabelled`; where draws switch labels often, topics overlap, and what is
#' said of single ones means little.
#'
#' All variables are stored: topics x (words + documents + 1) numbers for each kept draw, at most
#' 1e8 in all. Use a larger `thin` for a larger corpus.
#'
#' @return An object of class `lda_gibbs_fit` (`lda_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{as in [fit_vb.topic_model()]}
#'   \item{draws}{array iteration x chain x variable: `prevalence`, `topic`, `theta`}
#'   \item{log_joint}{iterations x chains: log p(words, topics of the words)}
#'   \item{relabelled, switches}{share of each chain's draws that were relabelled, and number of
#'     times its labelling changed between kept draws}
#'   \item{vb}{the variational fit that gave the labels}
#'   \item{chains, iter, warmup, thin, seconds}{settings, and elapsed time of the sampler}
#' }
#' @section Errors and warnings: `meanfield_error_control`; `meanfield_error_size` for more than 1e8
#'   numbers to store, or 2^31 words; `meanfield_warning_convergence` when chains disagree (R-hat of
#'   a prevalence above 1.05).
#' @references Griffiths, T. and Steyvers, M. (2004). Finding scientific topics. *PNAS* 101,
#'   5228-5235.
#' @examples
#' words <- c("star", "moon", "tide", "boat", "net")
#' set.seed(1)
#' counts <- t(cbind(rmultinom(10, 30, c(6, 5, 2, 1, 1)), rmultinom(10, 30, c(1, 1, 3, 6, 5))))
#' colnames(counts) <- words
#' fit <- fit_vb(lda(counts, 2))
#' gibbs <- fit_gibbs(fit, chains = 2, iter = 600, warmup = 100)
#' sd_ratio_report(fit, gibbs)
#' @export
fit_gibbs.topic_model <- function(object, chains = 4, iter = 2000, warmup = 500, thin = 1,
                                  start = c("random", "fit"), ...) {
  call <- object_call(match.call(), "fit_gibbs", parent.frame())
  settings <- lda_gibbs_settings(object, chains, iter, warmup, thin, start)
  new_lda_gibbs_fit(call, fit_vb(object, ...), settings)
}

#' @rdname fit_gibbs.topic_model
#' @export
fit_gibbs.lda_fit <- function(object, chains = 4, iter = 2000, warmup = 500, thin = 1,
                              start = c("random", "fit"), ...) {
  valid_fit(object)
  no_dots(...)
  call <- object_call(match.call(), "fit_gibbs", parent.frame())
  settings <- lda_gibbs_settings(object$model, chains, iter, warmup, thin, start)
  new_lda_gibbs_fit(call, if (inherits(object, "lda_vb_fit")) object else object$vb, settings)
}

MOST_TOPIC_DRAWS <- 1e8

lda_gibbs_settings <- function(model, chains, iter, warmup, thin, start) {
  settings <- gibbs_settings(chains, iter, warmup, thin, "auto")
  settings$start <- check_choice(start, c("random", "fit"), "start")
  numbers <- as.double(settings$kept) * settings$chains * (topic_elements(model) + model$k)
  if (numbers > MOST_TOPIC_DRAWS) {
    mf_abort("size", format(numbers, big.mark = ","), " numbers would be stored, more than 1e8: ",
      "use a larger `thin`, fewer `iter` or `chains`", arg = "iter")
  }
  if (sum(model$count) >= 2^31) {
    mf_abort("size", "the corpus has ", format(sum(model$count), big.mark = ","),
      " words, and the ",
      "sampler visits each: use fit_vb()", arg = "object")
  }
  settings
}

new_lda_gibbs_fit <- function(call, vb, settings) {
  model <- vb$model
  core <- lda_core(model)
  phi <- fitted_cells(vb)
  label <- max.col(phi, ties.method = "first") - 1L
  from <- if (settings$start == "fit") t(pmax(phi, 1e-12))
  sweep_seconds <- 2e-9 * sum(model$count) * (5 + model$k)
  chains <- run_chains(settings, sweep_seconds, function(progress) {
    call_lda_gibbs(core, label, from, settings, progress)
  }, function(status) check_status(status, model))
  labels <- lapply(chains$runs, `[[`, "perm")
  changed <- function(p, to) rowSums(p != to) > 0
  fit <- structure(
    c(list(call = call, model = model, draws = lda_collect(chains$runs, model, settings),
      log_joint = vapply(chains$runs, `[[`, numeric(settings$kept), "log_joint"),
      relabelled = vapply(labels, function(p) {
        mean(changed(p, rep(seq_len(model$k) - 1L, each = nrow(p))))
      }, 0),
      switches = vapply(labels, function(p) {
        sum(changed(p[-1L, , drop = FALSE], p[-nrow(p), , drop = FALSE]))
      }, 0), vb = vb),
    settings[c("chains", "iter", "warmup", "thin", "start")], chains["seconds"]),
    class = c("lda_gibbs_fit", "lda_fit", "meanfield_fit")
  )
  fit$log_joint <- matrix(fit$log_joint, settings$kept)
  if (model$k > 1L) check_mixing(fit, prevalence_draws)
  fit
}

# q(z) of the cells of the fit's documents.
fitted_cells <- function(vb) {
  model <- vb$model
  cell_probabilities(mean_log(vb$vb$lambda), mean_log(vb$vb$gamma), model$word + 1L,
    rep.int(seq_along(model$documents), diff(model$ptr)))
}

lda_collect <- function(runs, model, settings) {
  out <- empty_draws(settings, variable_table(model)$variable)
  for (i in seq_along(runs)) out[, i, ] <- runs[[i]]$draws
  out
}

prevalence_draws <- function(fit) fit$draws[, , seq_len(fit$model$k), drop = FALSE]
