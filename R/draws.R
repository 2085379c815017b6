# Draws in the formats of the posterior package.

#' Posterior draws
#'
#' `as_draws(fit)` and its relatives give the draws of a fit in the formats of the
#' posterior package. A `gibbs_fit` has its own. An `exact_fit`, and a `vb_fit` that was integrated,
#' draws the precisions independently from their exact posterior density (rejection sampling over
#' the lattice; resampling of the points after importance sampling), then (beta, u) from its
#' conditional normal: no burn-in, no autocorrelation. Any other `vb_fit` draws from the corrected
#' joint normal distribution of (beta, u, log tau), which keeps the covariances that linear response
#' found. Draws come from R's generator.
#'
#' @param x A fit.
#' @param ndraws Number of draws of a `vb_fit`, default 4,000, and of an `exact_fit`, default its
#'   `draws`.
#' @param u Include the random effects? `"auto"`: when that is at most 1e7 numbers
#'   (and, for a `gibbs_fit`, when they were stored).
#' @param ... Not used.
#' @return A draws object with variables `beta[...]`, `tau_e`, `log_tau_e`, `sigma_e`,
#'   and those of the group terms as in [summary()], and `u[...]`.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' posterior::summarise_draws(as_draws(fit, ndraws = 1000, u = FALSE), "mean", "sd")
#' @importFrom posterior as_draws
#' @aliases as_draws
#' @export as_draws
#' @export
as_draws.vb_fit <- function(x, ndraws = 4000, u = "auto", ...) {
  valid_fit(x)
  no_dots(...)
  model <- x$model
  effects <- u_names(model)
  keep_u <- settle_u(u, as.double(ndraws) * length(effects), TRUE)
  d <- joint_draws(x, ndraws, keep_u)
  out <- cbind(structure(d$beta, dimnames = list(NULL, beta_names(model))),
    precision_draws(d$tau, model))
  if (keep_u && length(effects)) {
    out <- cbind(out, structure(t(user_effects(model, t(d$u))), dimnames = list(NULL, effects)))
  }
  posterior::as_draws_matrix(out)
}

#' @rdname as_draws.vb_fit
#' @export
as_draws.exact_fit <- function(x, ndraws = NULL, u = "auto", ...) {
  valid_fit(x)
  as_draws.vb_fit(x, ndraws %||% x$draws, u, ...)
}

#' @rdname as_draws.vb_fit
#' @export
as_draws.gibbs_fit <- function(x, u = "auto", ...) {
  valid_fit(x)
  no_dots(...)
  keep_u <- settle_u(u, length(x$u_draws), !is.null(x$u_draws))
  if (keep_u && is.null(x$u_draws) && length(x$model$factors)) {
    mf_abort("engine", "the draws of the random effects were not stored: ",
      "refit with save_u = TRUE", arg = "u")
  }
  posterior::as_draws_array(gibbs_array(x, keep_u))
}

settle_u <- function(u, size, available) {
  if (identical(u, "auto")) return(available && size <= 1e7)
  check_flag(u, "u")
}

# The stored array with the derived variables of each precision beside it.
gibbs_array <- function(fit, u = FALSE) {
  d <- dim(fit$draws)
  p <- length(fit$model$x_names)
  derived <- precision_draws(working_precisions(fit), fit$model)
  main <- dimnames(fit$draws)[[3L]][seq_len(p)]
  all <- c(main, colnames(derived), if (u) dimnames(fit$u_draws)[[3L]])
  array(c(fit$draws[, , seq_len(p)], derived, if (u) fit$u_draws),
    c(d[1:2], length(all)), list(iteration = NULL, chain = NULL, variable = all))
}

# Draws of the working statistics, all chains below each other.
working_precisions <- function(fit) {
  flat_draws(fit$precisions %||% fit$draws)[, stat_names(fit$model), drop = FALSE]
}

# Draws of the (working) statistics to every row of summary(), in its order and the user's coordinates.
# phi: the same draws in scale-free coordinates, where they are at hand: SDs and correlations then need
# no inverse.
precision_draws <- function(stats, model, phi = NULL) {
  index <- stat_index(model)
  lead <- n_lead(model)
  blocks <- lapply(seq_along(index), function(k) {
    t <- stats[, index[[k]], drop = FALSE]
    if (k <= lead) return(scalar_draws(t, precision_names(model)[k], TRUE))
    term <- model$groups[[k - lead]]
    if (!term$vector) return(scalar_draws(t, term$name, FALSE))
    vector_draws(t, term, if (!is.null(phi)) phi[, index[[k]], drop = FALSE])
  })
  do.call(cbind, c(list(matrix(0, nrow(stats), 0L)), blocks)) # a model may have no precision
}

scalar_draws <- function(t, name, lead) {
  out <- cbind(t, log(t), 1 / sqrt(t), -log(t) / 2)
  colnames(out) <- c(name, paste0("log_", name), sub("^tau", "sigma", name),
    sub("^tau", "log_sigma", name))
  if (name == "phi") out[, 1:2, drop = FALSE] else if (lead) out[, 1:3, drop = FALSE] else out
}

vector_draws <- function(t, term, phi = NULL) {
  r <- length(term$coef)
  eta <- log_sd_atanh_rows(phi %||% scale_free_rows(t), term$A)
  names <- vector_names(term)
  out <- cbind(t %*% t(precision_map(term$A)), exp(eta[, seq_len(r)]), eta[, seq_len(r)],
    tanh(eta[, -seq_len(r)]))
  colnames(out) <- c(names$lambda, names$sigma, sub("^sigma", "log_sigma", names$sigma), names$rho)
  out
}

# list(beta (draws x p), u (draws x effects) or NULL, tau (draws x statistics)); effects and statistics
# in working coordinates.
joint_draws <- function(fit, ndraws, u) UseMethod("joint_draws")

#' @export
joint_draws.gibbs_fit <- function(fit, ndraws, u) {
  if (u && is.null(fit$u_draws)) {
    mf_abort("engine", "the draws of the random effects were not stored: refit with ",
      "save_u = TRUE, or use re.form = NA", arg = "re.form")
  }
  p <- length(fit$model$x_names)
  d <- flat_draws(fit$draws)
  rows <- seq_len(nrow(d))
  if (!is.null(ndraws)) {
    ndraws <- check_count(ndraws, "draws", 1)
    rows <- if (ndraws <= length(rows)) sample(rows, ndraws) else sample(rows, ndraws, TRUE)
  }
  list(
    beta = d[rows, seq_len(p), drop = FALSE],
    u = if (u) {
      t(user_effects(fit$model, t(flat_draws(fit$u_draws)[rows, , drop = FALSE]), back = TRUE))
    },
    tau = working_precisions(fit)[rows, , drop = FALSE]
  )
}

# theta | phi ~ N(m + J L (S_pp)^-1 (phi - E phi), S + J R J'), with phi the unconstrained
# coordinates of the precisions, L = Cov(statistics, phi), S_pp = Cov(phi),
# R = Sigma - L S_pp^-1 L'.
#' @export
joint_draws.vb_fit <- function(fit, ndraws, u) {
  ndraws <- check_count(ndraws %||% 4000, "ndraws", 1)
  if (best_source(fit) == "integrated") return(integrated_draws(fit, ndraws, u))
  post <- fit$posterior$tau
  core <- lmm_core(fit$model)
  p <- core$p
  check_size(ndraws, if (u) length(fit$vb$mean) else p)
  n <- length(post$mean)
  phi <- matrix(stats::rnorm(ndraws * n), ndraws) %*% half(post$phi$cov_lrvb)
  slope <- if (n) post$phi$cross %*% solve_spd(post$phi$cov_lrvb) else post$phi$cross
  rest <- half(post$cov_lrvb - slope %*% t(post$phi$cross))
  response <- phi %*% t(slope) + matrix(stats::rnorm(ndraws * n), ndraws) %*% rest
  x <- seq_len(p)
  theta <- if (u) {
    theta_draws(fit, core, ndraws) + fit$vb$J %*% t(response)
  } else {
    S <- fit$vb$S_global[x, x, drop = FALSE]
    fit$vb$mean[x] + t(matrix(stats::rnorm(ndraws * p), ndraws) %*% half(S)) +
      fit$vb$J[x, , drop = FALSE] %*% t(response)
  }
  list(
    beta = t(to_raw_draws(fit$model$coords, theta[x, , drop = FALSE])),
    u = if (u) t(theta[setdiff(seq_len(nrow(theta)), x), , drop = FALSE]),
    tau = structure(phi_statistics(t(phi) + post$phi$mean, post$index),
      dimnames = list(NULL, names(post$mean)))
  )
}

# Draws of theta at fixed precisions, around its mean: dim x draws.
theta_draws <- function(fit, core, ndraws) {
  if (is_gaussian(fit)) {
    return(call_theta_draws(core, fit$posterior$tau$mean, fit$vb$mean, ndraws))
  }
  fit$vb$mean + call_arrow_draws(core, fit$vb, ndraws)
}

#' @export
joint_draws.exact_fit <- function(fit, ndraws, u) {
  integrated_draws(fit, check_count(ndraws %||% fit$draws, "ndraws", 1), u)
}

#' @importFrom posterior as_draws_array
#' @export
as_draws_array.meanfield_fit <- function(x, ...) posterior::as_draws_array(as_draws(x, ...))
#' @importFrom posterior as_draws_df
#' @export
as_draws_df.meanfield_fit <- function(x, ...) posterior::as_draws_df(as_draws(x, ...))
#' @importFrom posterior as_draws_list
#' @export
as_draws_list.meanfield_fit <- function(x, ...) posterior::as_draws_list(as_draws(x, ...))
#' @importFrom posterior as_draws_matrix
#' @export
as_draws_matrix.meanfield_fit <- function(x, ...) posterior::as_draws_matrix(as_draws(x, ...))
#' @importFrom posterior as_draws_rvars
#' @export
as_draws_rvars.meanfield_fit <- function(x, ...) {
  d <- as_draws(x, ...)
  posterior::variables(d) <- array_names(posterior::variables(d))
  posterior::as_draws_rvars(d)
}

# posterior reads what a bracket holds as indices, with a comma between two. A comma inside a coefficient's
# name, poly(x, 2), or a level's is none: it becomes a semicolon.
array_names <- function(names) {
  inside <- "(\\([^()]*),([^()]*\\))"
  while (any(at <- grepl(inside, names))) names[at] <- sub(inside, "\\1;\\2", names[at])
  stem <- sub("\\[.*", "", names)
  commas <- lengths(regmatches(names, gregexpr(",", names)))
  ragged <- stem %in% stem[commas != commas[match(stem, stem)]]
  names[ragged] <- gsub(",", ";", names[ragged])
  names
}
