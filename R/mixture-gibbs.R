# Gibbs sampling of a Gaussian mixture.

#' Sample a Gaussian mixture by Gibbs
#'
#' Draws from the same model with the same prior: allocations given the parameters, then the
#' weights, precision matrices and means given the allocations.
#'
#' @inheritParams fit_gibbs
#' @param object Made by [gaussian_mixture()], or a fit of such a model.
#' @param ... For a model object: arguments of its [fit_vb()], which the sampler starts from.
#'
#' @details
#' The posterior is the same under every permutation of the component labels, and a chain may
#' switch between them. Each stored draw is relabelled to agree with the variational fit: by the
#' permutation under which most rows have the component that the fit gives them. How often that
#' was not the identity is in `relabelled`, and printed. Where draws are relabelled often, the
#' components overlap so much that means of single components say little.
#'
#' Under a flat prior the posterior is improper (a component may be empty); the sampler stops with
#' an error when a component is left with too few rows.
#'
#' @return An object of class `gmm_gibbs_fit` (`gmm_fit`, `meanfield_fit`), a list with
#' \describe{
#'   \item{call, model}{as in [fit_vb.gaussian_mixture()]}
#'   \item{draws}{array iteration x chain x variable: `mu`, `Lambda`, `log_det`, `pi`, `log_pi`,
#'     `Sigma`}
#'   \item{relabelled}{share of each chain's draws that were relabelled}
#'   \item{switches}{number of times each chain changed its labelling between stored draws}
#'   \item{vb}{the variational fit that gave starts and labels}
#'   \item{chains, iter, warmup, thin, seconds}{settings, and elapsed time of the sampler}
#' }
#' @section Errors and warnings: `meanfield_error_control`; `meanfield_error_component` when a
#'   component is left with too few rows under a flat prior; `meanfield_warning_convergence` when
#'   chains disagree (R-hat of a mean or weight above 1.05).
#' @references Diebolt, J. and Robert, C. (1994). *J. R. Statist. Soc. B* 56, 363-375.
#'   Papastamoulis, P. and Iliopoulos, G. (2010). *J. Comput. Graph. Statist.* 19, 313-331
#'   (relabelling by allocations).
#' @examples
#' set.seed(1)
#' fit <- fit_vb(gaussian_mixture(faithful, 2))
#' gibbs <- fit_gibbs(fit, chains = 2, iter = 600, warmup = 100)
#' sd_ratio_report(fit, gibbs)
#' @export
fit_gibbs.gaussian_mixture <- function(object, chains = 4, iter = 2000, warmup = 500, thin = 1,
                                       ...) {
  call <- object_call(match.call(), "fit_gibbs", parent.frame())
  settings <- gibbs_settings(chains, iter, warmup, thin, "auto")
  new_gmm_gibbs_fit(call, fit_vb(object, ...), settings)
}

#' @rdname fit_gibbs.gaussian_mixture
#' @export
fit_gibbs.gmm_fit <- function(object, chains = 4, iter = 2000, warmup = 500, thin = 1, ...) {
  valid_fit(object)
  no_dots(...)
  call <- object_call(match.call(), "fit_gibbs", parent.frame())
  settings <- gibbs_settings(chains, iter, warmup, thin, "auto")
  vb <- if (inherits(object, "gmm_vb_fit")) object else object$vb
  new_gmm_gibbs_fit(call, vb, settings)
}

new_gmm_gibbs_fit <- function(call, vb, settings) {
  model <- vb$model
  core <- gmm_core(model)
  label <- max.col(gmm_responsibilities(vb, core), ties.method = "first") - 1L
  variables <- as.double(settings$kept) * settings$chains * nrow(vb$posterior$variables) * 2
  check_stored(variables, "or a larger `thin`")
  sweep_seconds <- 1e-8 * length(model$x) * model$k * (2 + ncol(model$x) / 4)
  chains <- run_chains(settings, sweep_seconds, function(progress) {
    call_gmm_gibbs(core, gmm_gibbs_start(vb), label, model$units, settings, progress)
  }, function(status) check_gmm_status(status, model))
  labels <- lapply(chains$runs, `[[`, "perm")
  identity <- rep(seq_len(model$k) - 1L, each = settings$kept)
  fit <- structure(
    c(
      list(call = call, model = model, draws = gmm_collect(chains$runs, model, settings),
        relabelled = vapply(labels, function(p) mean(rowSums(p != identity) > 0), 0),
        switches = vapply(labels, function(p) {
          sum(rowSums(p[-1L, , drop = FALSE] != p[-nrow(p), , drop = FALSE]) > 0)
        }, 0),
        vb = vb),
      settings[c("chains", "iter", "warmup", "thin")], chains["seconds"]
    ),
    class = c("gmm_gibbs_fit", "gmm_fit", "meanfield_fit")
  )
  check_mixing(fit, gmm_own_draws)
  fit
}

# Over-dispersed: means two posterior SDs about the fit's, in whitened units.
gmm_gibbs_start <- function(vb) {
  k <- vb$model$k
  p <- ncol(vb$model$x)
  scale <- vapply(seq_len(k), function(j) {
    L <- matrix(vb$core$L[, j], p)
    # x ~ N(0, L^-1), N_k rows
    2 * backsolve(chol(L), stats::rnorm(p)) / sqrt(max(vb$vb$N[j], 1))
  }, numeric(p))
  list(mu = vb$core$m + scale, Lambda = vb$core$L, log_pi = log(vb$vb$alpha / sum(vb$vb$alpha)))
}

check_gmm_status <- function(status, model) {
  if (status[1L] == core_status[["not_pd_leaf"]]) {
    mf_abort("component", "component ", status[3L] + 1L, " was left with too few ",
      "rows for a covariance matrix in sweep ", status[2L] + 1L, ": the posterior is improper ",
      "under a flat prior; use a proper mixture_prior(), or fewer components `k`", arg = "prior")
  }
  check_status(status, model)
}

# Draws of all chains in posterior's array layout, in the order of summary().
gmm_collect <- function(runs, model, settings) {
  core <- gmm_draw_names(model)
  all <- variable_table(model)$variable
  out <- empty_draws(settings, all)
  for (i in seq_along(runs)) {
    out[, i, core] <- runs[[i]]$draws
    for (k in seq_len(model$k)) {
      out[, i, sprintf("pi[%d]", k)] <- exp(out[, i, sprintf("log_pi[%d]", k)])
    }
  }
  out
}

# Names in the order in which the core stores a draw.
gmm_draw_names <- function(model) {
  v <- gmm_variables(model)
  unlist(lapply(split(v, v$term), function(c) {
    lambda <- c$variable[c$kind == "Lambda"]
    c(c$variable[c$kind == "mu"], lambda, renamed(lambda, "Lambda", "Sigma"),
      c$variable[c$kind %in% c("log_det", "log_pi")])
  }), use.names = FALSE)
}

# What check_mixing() looks at: means and weights.
gmm_own_draws <- function(fit) {
  v <- variable_table(fit$model)
  own <- v$variable[v$kind %in% c("mu", if (fit$model$k > 1L) "log_pi")]
  fit$draws[, , own, drop = FALSE]
}
