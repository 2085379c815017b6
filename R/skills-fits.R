# The fits of skills: those of targets, with what is special to skills.

#' Fit skills
#'
#' Fits of [skills()] are those of any [target()], and have class `skills_fit` before its classes.
#'
#' @param object Made by [skills()], or a fit of it.
#' @param sampler Of `fit_gibbs()`, as in [fit_gibbs()]: `"polya-gamma"`, `"hamiltonian"` or
#'   `"auto"`.
#' @inheritParams fit_gibbs
#' @param ... Of `fit_vb()`, `fit_exact()`, `fit_hmc()`: arguments as of
#'   [fit_vb.meanfield_target()], [fit_exact.meanfield_target()], [fit_hmc()]; else not used.
#'
#' @details
#' `fit_vb()`: the nearest normal distribution, `"fullrank"` (up to 1,000 players) or `"meanfield"`,
#' is found without sampling, as the fixed point of Sigma^-1 = prior precision + sum over pairs of
#' E\[-l''(d)\] a a', its expectations by quadrature to rounding; up to 200 players it is then
#' refined by importance sampling. Factorised fits lose the common level of the skills, which only
#' the prior knows: where everybody has played everybody their SDs are far too small
#' ([sd_ratio_report()] says how much), and linear response gives them back.
#'
#' `fit_exact()`: two players (without home advantage and ties) to rounding, by quadrature over the
#' difference of their skills; its sum keeps its prior, whatever the matches. More players as any
#' target.
#'
#' `fit_gibbs()`: the logit model without ties, a binomial regression on columns of +1 and -1,
#' by the samplers of [fit_gibbs()]. Others are refused: use [fit_hmc()].
#'
#' @return An object of class `skills_fit`, and of `target_vb_fit`, `target_exact_fit` (with
#'   `method` `"quadrature"` of two players) or `target_hmc_fit` (of `fit_gibbs()` too, with
#'   `method` `"gibbs"`), `target_fit`, `meanfield_fit`: see [fit_vb.meanfield_target()],
#'   [fit_exact.meanfield_target()] and [fit_hmc()] for their elements.
#' @section Errors and warnings: as of targets; `meanfield_error_engine` for a model that
#'   `fit_gibbs()` has no sampler of.
#' @seealso [skills-methods]
#' @examples
#' model <- skills(winner, loser, wins, data = al_east)
#' full <- fit_vb(model)
#' factorised <- fit_vb(model, approximation = "meanfield")
#' sd_ratio_report(factorised, reference = fit_exact(full))
#'
#' set.seed(1)
#' fit_gibbs(model, chains = 2, iter = 1000, warmup = 200)
#' @name fit_vb.skills
NULL

#' @rdname fit_vb.skills
#' @export
fit_vb.skills <- function(object, ...) {
  as_skills_fit(fit_vb.meanfield_target(object, ...),
    object_call(match.call(), "fit_vb", parent.frame()))
}

#' @rdname fit_vb.skills
#' @export
fit_exact.skills <- function(object, ...) {
  valid_target(object)
  call <- object_call(match.call(), "fit_exact", parent.frame())
  if (is_duel(object)) return(exact_duel(object, call, ...))
  as_skills_fit(fit_exact.meanfield_target(object, ...), call)
}

#' @export
fit_exact.skills_fit <- function(object, ...) {
  valid_fit(object)
  call <- object_call(match.call(), "fit_exact", parent.frame())
  if (is_duel(object$model)) return(exact_duel(object$model, call, ...))
  as_skills_fit(fit_exact.target_fit(object, ...), call)
}

#' @rdname fit_vb.skills
#' @export
fit_hmc.skills <- function(object, ...) {
  as_skills_fit(fit_hmc.meanfield_target(object, ...),
    object_call(match.call(), "fit_hmc", parent.frame()))
}

#' @export
fit_hmc.skills_fit <- function(object, ...) {
  as_skills_fit(fit_hmc.target_fit(object, ...),
    object_call(match.call(), "fit_hmc", parent.frame()))
}

as_skills_fit <- function(fit, call) {
  fit$call <- call
  class(fit) <- union("skills_fit", class(fit))
  fit
}

# ---- two players, exactly ------------------------------------------------------------------------

is_duel <- function(model) {
  length(model$players) == 2L && !model$settings$at_home && !model$settings$tied
}

# The sum of the two skills is independent of their difference d, and keeps its prior: a rule for d
# (panels of Gauss and Legendre, with an end at d = 0, so that P(d > 0) is a sum of weights too)
# times one for the sum.
exact_duel <- function(model, call, tol = 1e-4, max_points = 4e5, control = vb_control(), ...) {
  no_dots(...)
  exact_target_settings(tol, max_points)
  check_vb_control(control)
  sigma <- sqrt(2) * model$settings$prior_sd
  rule <- difference_rule(duel_log_density(model), sigma)
  points <- duel_points(rule, sigma)
  estimate <- weighted_rows(points$z, points$weights)
  estimate$mcse_mean <- estimate$mcse_sd <- c(0, 0)
  table <- variable_estimates(linked_values(model), estimate, NULL, NULL, "exact")
  structure(
    list(call = call, model = model, method = "quadrature",
      table = table[c("mean", "sd", "mcse_mean", "mcse_sd", "loc", "spread")], points = points,
      log_evidence = rule$log_evidence, evidence_error = 0,
      vb = duel_normal(model), error = 0,
      khat = NA_real_, flags = character(), notes = character(),
      counts = list(values = length(rule$d), gradients = 0, failures = 0, warnings = 0,
        message = NA_character_)),
    class = c("skills_fit", "target_exact_fit", "target_fit", "meanfield_fit"))
}

# The rule for the sum is shifted from one d to the next, which costs no accuracy, so that the
# points of one skill lie nowhere in heaps: quantiles are theirs.
duel_points <- function(rule, sigma) {
  n <- length(rule$d)
  x <- SUM_STEP * outer((seq_len(n) * 0.6180339887) %% 1, seq(-30, 30), `+`)
  w <- stats::dnorm(x)
  w <- rule$w * w / rowSums(w)
  keep <- w > 1e-17
  sum <- sigma * x[keep]
  d <- rep_len(rule$d, length(x))[keep]
  list(z = rbind(sum + d, sum - d) / 2, weights = w[keep] / sum(w[keep]))
}

SUM_STEP <- 0.3 # SDs

# The normal fit beside the exact one: by points where it is beyond the rules of the optimum.
duel_normal <- function(model) {
  full <- gaussian_optimum(model, "fullrank")
  if (!is.null(full)) return(list(elbo = full$elbo, components = list(c(full, weight = 1))))
  suppressWarnings(fit_vb(model, refine = "no"))$vb[c("elbo", "components")]
}

# Of d: log likelihood + log N(d; 0, 2 prior_sd^2), vectorised.
duel_log_density <- function(model) {
  data <- model$user$data
  n <- pair_counts(data$pairs)
  sigma <- sqrt(2) * data$prior_sd
  function(d) {
    log_lik <- pair_terms(data$link, t(d), NULL, n, "value")$value
    drop(log_lik) + stats::dnorm(d, 0, sigma, log = TRUE)
  }
}

# list(d, w, log_evidence) of a log-concave density f, no wider than sigma.
difference_rule <- function(f, sigma) {
  far <- 40 * sigma
  mode <- stats::optimize(f, c(-far, far), maximum = TRUE, tol = 1e-10 * sigma)$maximum
  top <- f(mode)
  end <- function(sign) {
    drop_at <- function(r) f(mode + sign * r) - top + 45
    mode + sign * stats::uniroot(drop_at, c(0, 3 * far), tol = 1e-6 * sigma)$root
  }
  ends <- c(end(-1), end(1))
  steps <- c(0, 2^(0:15)) # by the width of a likelihood, whose poles are pi away
  cuts <- c(ends, mode + diff(ends) * seq(-1, 1, 0.1), steps, -steps)
  cuts <- sort(unique(cuts[cuts >= ends[1L] & cuts <= ends[2L]]))
  gauss <- legendre_rule(16L)
  half <- diff(cuts) / 2
  d <- as.vector(outer(gauss$x, half) + rep(cuts[-1L] - half, each = 16L))
  lp <- f(d) - top
  w <- as.vector(outer(gauss$w, half)) * exp(lp)
  keep <- w > 1e-17 * sum(w)
  list(d = d[keep], w = w[keep] / sum(w[keep]), log_evidence = top + log(sum(w)))
}

# ---- Gibbs ---------------------------------------------------------------------------------------

#' @rdname fit_vb.skills
#' @export
fit_gibbs.skills <- function(object, chains = 4, iter = 2000, warmup = 500, thin = 1,
                             sampler = c("auto", "polya-gamma", "hamiltonian"), ...) {
  no_dots(...)
  valid_target(object)
  settings <- gibbs_settings(chains, iter, warmup, thin, "auto", sampler)
  call <- object_call(match.call(), "fit_gibbs", parent.frame())
  if (object$settings$link != "logit" || object$settings$tied) {
    mf_abort("engine", "there is no Gibbs sampler of ",
      if (object$settings$tied) "ties" else "the probit link", ": use fit_hmc()", arg = "object")
  }
  own <- skills_regression(object)
  fit <- fit_gibbs(own$formula, own$data, stats::binomial(), own$prior, chains = chains,
    iter = iter, warmup = warmup, thin = thin, sampler = sampler)
  new_skills_gibbs(call, object, fit, settings)
}

#' @export
fit_gibbs.skills_fit <- function(object, ...) {
  valid_fit(object)
  fit_gibbs(object$model, ...)
}

# list(formula, data, prior): pairs as rows of a binomial regression.
skills_regression <- function(model) {
  data <- model$user$data
  pairs <- data$pairs[data$pairs$wins_a + data$pairs$wins_b > 0, ]
  X <- pair_design(replace(data, "pairs", list(pairs)), model$d)
  names <- paste0("x", seq_len(model$d))
  colnames(X) <- names
  formula <- stats::reformulate(c("0", names), quote(cbind(wins_a, wins_b)))
  environment(formula) <- baseenv()
  list(formula = formula, data = cbind(pairs, X),
    prior = priors(beta = normal_prior(0, coordinate_prior(data, model$d)$sd)))
}

# fit: of the regression, whose coefficients are the skills.
new_skills_gibbs <- function(call, model, fit, settings) {
  draws <- empty_draws(settings, model$variables$variable)
  draws[] <- fit$draws[, , seq_len(model$d)]
  z <- t(flat_draws(draws))
  axes <- sample_axes(list(z = z, weights = rep(1 / ncol(z), ncol(z))))
  structure(c(list(call = call, model = model, draws = draws, z = unname(z), sampler = axes),
    settings[c("chains", "iter", "warmup", "thin")],
    list(method = "gibbs", move = fit$sampler, tuning = fit$tuning, counts = list(gradients = 0),
      converged = chains_agree(draws), seconds = fit$seconds)),
  class = c("skills_fit", "target_hmc_fit", "target_fit", "meanfield_fit"))
}

# As far as they can tell.
chains_agree <- function(draws) {
  rhat <- apply(draws, 3L, function(x) suppressWarnings(posterior::rhat(x)))
  !isTRUE(max(rhat, na.rm = TRUE) > 1.05)
}
