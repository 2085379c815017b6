# Methods of mixture fits: moments, class probabilities, draws, plots.

#' Methods for mixture fits
#'
#' @param object A fit of a [gaussian_mixture()].
#' @param ... Not used.
#' @return `coef()`: a matrix of posterior means of the means, a row per component. `nobs()`: rows.
#'   `logLik()`: the evidence lower bound of a `gmm_vb_fit`.
#' @section Errors: `meanfield_error_engine` for the bound of a Gibbs fit.
#' @examples
#' fit <- fit_vb(gaussian_mixture(faithful, 2))
#' coef(fit)
#' round(cov2cor(vcov(fit)), 2)
#' @name gmm-methods
NULL

#' @rdname gmm-methods
#' @export
coef.gmm_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  columns <- colnames(object$model$x)
  matrix(location(posterior_of(object))$mean, object$model$k, length(columns), byrow = TRUE,
    dimnames = list(seq_len(object$model$k), columns))
}

#' @rdname gmm-methods
#' @export
nobs.gmm_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  nrow(object$model$x)
}

#' @export
n_parameters.gaussian_mixture <- function(model) {
  p <- ncol(model$x)
  model$k * (p + p * (p + 1) / 2 + 1) - 1
}

# ---- predict -----------------------------------------------------------------------

#' Class probabilities
#'
#' @param object A fit of a [gaussian_mixture()].
#' @param newdata Matrix or data frame with the columns of the data (by name when it has names);
#'   the data of the fit by default.
#' @param type `"prob"`: a matrix of probabilities, a column per component; `"class"`: the most
#'   probable component of each row.
#' @param ndraws For a `gmm_gibbs_fit`, the number of draws to average over.
#' @param ... Not used.
#' @return A matrix with a row per row of `newdata`, or an integer vector. For a `gmm_vb_fit` these
#'   are the variational probabilities q(z) given the fitted factors of means, precision matrices
#'   and weights, as in the paper; for a `gmm_gibbs_fit` posterior means.
#' @section Errors: `meanfield_error_newdata` for missing columns or values.
#' @examples
#' fit <- fit_vb(gaussian_mixture(faithful, 2))
#' predict(fit, data.frame(eruptions = c(2, 3, 4.5), waiting = c(50, 65, 80)))
#' @export
predict.gmm_vb_fit <- function(object, newdata = NULL, type = c("prob", "class"), ...) {
  valid_fit(object)
  no_dots(...)
  type <- check_choice(type, c("prob", "class"), "type")
  w <- whiten(newdata_matrix(object$model$x, newdata), object$model$units)
  class_result(gmm_responsibilities(object, gmm_core(object$model, w)), type)
}

class_result <- function(r, type) {
  colnames(r) <- seq_len(ncol(r))
  if (type == "class") max.col(r, ties.method = "first") else r
}

# core: with the rows to classify.
gmm_responsibilities <- function(fit, core) {
  p <- ncol(core$X)
  R <- apply(fit$core$L, 2L, function(L) t(chol_of_fit(matrix(L, p))))
  call_gmm_classify(core, fit$core$m, R, fit$core$offset)
}

#' @rdname predict.gmm_vb_fit
#' @export
predict.gmm_gibbs_fit <- function(object, newdata = NULL, type = c("prob", "class"),
                                  ndraws = 200, ...) {
  valid_fit(object)
  no_dots(...)
  type <- check_choice(type, c("prob", "class"), "type")
  ndraws <- check_count(ndraws, "ndraws", 1)
  model <- object$model
  x <- newdata_matrix(model$x, newdata)
  d <- flat_draws(object$draws)
  rows <- unique(round(seq(1, nrow(d), length.out = min(ndraws, nrow(d)))))
  core <- gmm_core(model, unname(x)) # raw units
  v <- gmm_variables(model)
  total <- 0
  for (i in rows) {
    pick <- function(kind) matrix(d[i, v$variable[v$kind == kind]], ncol = model$k)
    R <- apply(pick("Lambda"), 2L, function(l) t(chol_of_fit(unvech(l))))
    total <- total + call_gmm_classify(core, pick("mu"), R,
      as.double(pick("log_pi") + pick("log_det") / 2))
  }
  class_result(total / length(rows), type)
}

# ---- draws -------------------------------------------------------------------------

#' @export
all_draws.gmm_normal <- function(p, ndraws = NULL, u = "auto") {
  ndraws <- check_count(ndraws %||% p$ndraws, "ndraws", 1)
  settle_u(u, 0, FALSE)
  v <- p$variables
  check_size(ndraws, 2 * nrow(v))
  V <- p$cov_lrvb %||% p$cov_mfvb
  # log_det is a function of Lambda in every draw
  free <- which(v$kind != "log_det")
  J <- diag(1, length(free))
  centre <- p$mean[free]
  for (k in seq_len(p$model$k)) {
    at <- which(v$kind[free] == "Lambda" & v$term[free] == k)
    J[at, at] <- numeric_jacobian(log_cholesky, centre[at])
    centre[at] <- mean_log_cholesky(centre[at], p$vb$df[k])
  }
  z <- matrix(stats::rnorm(ndraws * length(free)), ndraws)
  d <- z %*% half(J %*% V[free, free] %*% t(J)) + rep(centre, each = ndraws)
  colnames(d) <- v$variable[free]
  posterior::as_draws_matrix(gmm_draws_to_variables(p$model, d))
}

# E of the log-Cholesky coordinates of Lambda ~ Wishart with mean t (vech) and df: by Bartlett's
# decomposition the squared diagonal is chi-squared(df - i + 1), so that draws have E log |Lambda|.
mean_log_cholesky <- function(t, df) {
  out <- log_cholesky(t)
  pairs <- lower_pairs(vech_order(length(t)))
  i <- seq_len(max(pairs$row))
  diagonal <- pairs$row == pairs$col
  out[diagonal] <- out[diagonal] + (digamma((df - i + 1) / 2) + log(2 / df)) / 2
  out
}

# Draws of mu, log-Cholesky Lambda and log pi to all variables.
gmm_draws_to_variables <- function(model, d) {
  v <- gmm_variables(model)
  p <- ncol(model$x)
  lower <- lower.tri(diag(p), diag = TRUE)
  weights <- v$variable[v$kind == "log_pi"]
  top <- apply(d[, weights, drop = FALSE], 1L, max)
  d[, weights] <- d[, weights] - (top + log(rowSums(exp(d[, weights, drop = FALSE] - top))))
  out <- list(d)
  for (k in seq_len(model$k)) {
    own <- v$variable[v$kind == "Lambda" & v$term == k]
    l <- d[, own, drop = FALSE]
    Lambda <- t(matrix(apply(l, 1L, from_log_cholesky), length(own)))
    Sigma <- t(matrix(apply(Lambda, 1L, function(t) solve_spd(unvech(t))[lower]), length(own)))
    diagonal <- which(lower_pairs(p)$row == lower_pairs(p)$col)
    out[[1L]][, own] <- Lambda
    extra <- cbind(Sigma, 2 * rowSums(l[, diagonal, drop = FALSE]), exp(d[, weights[k]]))
    colnames(extra) <- c(renamed(own, "Lambda", "Sigma"), sprintf(c("log_det[%d]", "pi[%d]"), k))
    out <- c(out, list(extra))
  }
  do.call(cbind, out)[, variable_table(model)$variable, drop = FALSE]
}

# ---- plot --------------------------------------------------------------------------

#' Plot a mixture fit
#'
#' @param x A fit of a [gaussian_mixture()].
#' @param what `"posterior"`: densities of mean-field variational Bayes, linear response and a
#'   reference, a panel per variable; `"data"`: the rows on two columns with each component's
#'   mean and 90% ellipse (a histogram with its densities for one column); `"trace"` (Gibbs): the
#'   draws in their order, a colour per chain, relabelled.
#' @param variables Names of the variables to show; by default the means and weights, at most 12.
#' @param reference For a `gmm_vb_fit`: a `gmm_gibbs_fit` or posterior draws.
#' @param columns Two columns of the data for `what = "data"`.
#' @param ... Not used.
#' @return `x`, invisibly.
#' @examples
#' fit <- fit_vb(gaussian_mixture(faithful, 2))
#' plot(fit, what = "data")
#' set.seed(1)
#' plot(fit, reference = fit_gibbs(fit, chains = 2, iter = 600, warmup = 100))
#' @export
plot.gmm_fit <- function(x, what = c("posterior", "data", "trace"), variables = NULL,
                         reference = NULL, columns = 1:2, ...) {
  valid_fit(x)
  no_dots(...)
  chains <- inherits(posterior_of(x), "draws_posterior")
  kinds <- c("posterior", if (chains) "trace" else "data")
  what <- if (missing(what)) "posterior" else check_choice(what, kinds, "what")
  switch(what, posterior = plot_posterior(x, variables, reference),
    data = plot_components(x, columns),
    trace = plot_traces(x, plot_variables(variables, variable_table(x$model))))
  invisible(x)
}

plot_traces <- function(fit, variables) {
  n <- length(variables)
  nc <- min(n, if (n <= 4L) 2L else 3L)
  old <- graphics::par(mfrow = c(ceiling(n / nc), nc), mar = c(3.4, 4.2, 0.6, 0.6),
    mgp = c(2.2, 0.6, 0), las = 1)
  on.exit(graphics::par(old))
  colours <- grDevices::hcl.colors(fit$chains, "viridis", rev = FALSE)
  for (v in variables) {
    graphics::matplot(matrix(fit$draws[, , v], ncol = fit$chains), type = "l", lty = 1,
      lwd = 0.6, col = colours, xlab = "stored draw", ylab = "")
    graphics::title(ylab = v, line = 3)
  }
}

# Component colours: Okabe and Ito's without those that stand for methods.
component_colours <- c("#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")

plot_components <- function(fit, columns) {
  x <- fit$model$x
  r <- predict(fit, type = "class")
  colours <- rep_len(component_colours, fit$model$k)
  if (ncol(x) == 1L) return(plot_densities(fit, colours))
  if (is.character(columns)) columns <- match(columns, colnames(x))
  if (length(columns) != 2L || !all(columns %in% seq_len(ncol(x)))) {
    mf_abort("control", "`columns` must name two columns of the data", arg = "columns")
  }
  graphics::plot(x[, columns], col = grDevices::adjustcolor(colours[r], 0.5), pch = 16, cex = 0.6,
    las = 1)
  angle <- seq(0, 2 * pi, length.out = 101)
  circle <- rbind(cos(angle), sin(angle)) * sqrt(stats::qchisq(0.9, 2))
  for (k in seq_len(fit$model$k)) {
    S <- solve_spd(as.matrix(fit$vb$L[, , k]))[columns, columns]
    m <- fit$vb$mean[columns, k]
    graphics::lines(t(m + t(chol(S)) %*% circle), lwd = 2, col = colours[k])
    graphics::text(m[1L], m[2L], k, font = 2)
  }
  invisible(fit)
}

plot_densities <- function(fit, colours) {
  x <- drop(fit$model$x)
  bins <- min(max(grDevices::nclass.FD(x), 1), 200) # an outlier asks for millions
  graphics::hist(x, breaks = bins, freq = FALSE, col = "grey90", border = "grey70", main = "",
    xlab = colnames(fit$model$x), las = 1)
  at <- seq(min(x), max(x), length.out = 301)
  pi <- fit$vb$alpha / sum(fit$vb$alpha)
  for (k in seq_len(fit$model$k)) {
    graphics::lines(at, pi[k] * stats::dnorm(at, fit$vb$mean[, k], 1 / sqrt(fit$vb$L[, , k])),
      lwd = 2, col = colours[k])
  }
  invisible(fit)
}
