# Posteriors of fits of targets: weighted points with a table of moments, beside it the Gaussian
# fit, and draws.

#' @export
posterior_of.target_fit <- function(fit) {
  structure(list(model = fit$model, table = fit$table, points = fit$points, ndraws = DRAWS),
    class = "weighted_posterior")
}

#' @export
normal_of.target_vb_fit <- function(fit) {
  normal_posterior(fit[c("model", "table", "points")], "target_normal")
}

#' @export
posterior_of.target_hmc_fit <- function(fit) draws_posterior(fit)

# ---- weighted points -----------------------------------------------------------------------------

#' @export
marginals.weighted_posterior <- function(p, level = NULL, u = FALSE) {
  t <- p$table
  out <- cbind(data.frame(variable = variable_table(p$model)$variable),
    t[intersect(c("mean", "sd", "mean_mfvb", "sd_mfvb", "source"), names(t))])
  if (!is.null(level)) out[quantile_names(level)] <- weighted_limits(p, central_probs(level))
  cbind(out, t[c("mcse_mean", "mcse_sd")])
}

# Quantiles of the points, moved and scaled on the link's scale to the moments of the table, and
# never beyond the points.
weighted_limits <- function(p, probs) {
  link <- variable_table(p$model)$link
  x <- target_values(p$model, p$points$z)
  w <- p$points$weights
  out <- t(vapply(seq_along(link), function(j) {
    y <- if (link[j] == "exp") log(x[j, ]) else x[j, ]
    q <- moved_quantile(y, w, probs, p$table$loc[j], p$table$spread[j])
    if (link[j] == "exp") exp(q) else q
  }, numeric(length(probs))))
  lapply(seq_along(probs), function(k) out[, k])
}

moved_quantile <- function(y, w, probs, loc, spread) {
  use <- w > 0
  if (!any(use) || anyNA(y[use])) return(rep(NA_real_, length(probs)))
  y <- y[use]
  w <- w[use] / sum(w[use])
  q <- weighted_quantile(y, w, probs)
  finite <- is.finite(y)
  m <- sum(w[finite] * y[finite]) / sum(w[finite])
  s <- sqrt(sum(w[finite] * (y[finite] - m)^2) / sum(w[finite]))
  if (is.finite(loc) && is.finite(spread) && s > 0) q <- loc + (q - m) * spread / s
  pmin(pmax(q, min(y)), max(y))
}

#' @export
location.weighted_posterior <- function(p, type = "lrvb") {
  at <- variable_table(p$model)$kind == "parameter"
  list(mean = stats::setNames(p$table$mean[at], location_names(p$model)),
    cov = covariance(p)[at, at, drop = FALSE])
}

# Correlations of the points, scaled by the SDs of the table.
#' @export
covariance.weighted_posterior <- function(p, type = "lrvb") {
  points_covariance(p, p$table$sd)
}

points_covariance <- function(p, sd) {
  names <- variable_table(p$model)$variable
  if (length(names) > 10000L) {
    mf_abort("size", "the full covariance would have ", length(names), " rows, more than 10,000",
      arg = "pars")
  }
  x <- target_values(p$model, p$points$z)
  use <- p$points$weights > 0
  w <- p$points$weights[use]
  x <- x[, use, drop = FALSE]
  S <- weighted_covariance(x, w)$cov
  s <- sqrt(diag(S))
  scale <- ifelse(s > 0, sd / s, 0)
  S <- S * outer(scale, scale)
  S[!is.finite(S)] <- NA # of what has no moments, or is no number at some point
  label(S, names)
}

# Systematic resampling of the points, in random order; of a normal fit its own draws.
#' @export
all_draws.weighted_posterior <- function(p, ndraws = NULL, u = "auto") {
  settle_u(u, 0, FALSE)
  n <- check_count(ndraws %||% p$ndraws, "ndraws", 1)
  check_size(n, nrow(p$table))
  z <- drawn_points(p$points, n)
  x <- t(target_values(p$model, z))
  posterior::as_draws_matrix(structure(x,
    dimnames = list(NULL, variable_table(p$model)$variable)))
}

drawn_points <- function(points, n) {
  if (!is.null(points$normal)) {
    z <- matrix(stats::rnorm(n * nrow(points$z)), nrow(points$z))
    return(points$normal(z))
  }
  at <- (seq_len(n) - stats::runif(1)) / n
  chosen <- findInterval(at, cumsum(points$weights), rightmost.closed = TRUE) + 1L
  points$z[, pmin(chosen, ncol(points$z))[sample.int(n)], drop = FALSE]
}

#' @export
linear_mixture.weighted_posterior <- function(p, parts) {
  at <- variable_table(p$model)$kind == "parameter"
  x <- target_values(p$model, p$points$z)[at, , drop = FALSE]
  m <- drop(x %*% p$points$weights)
  s <- sqrt(drop((x - m)^2 %*% p$points$weights))
  x <- p$table$mean[at] + (x - m) * ifelse(s > 0, p$table$sd[at] / s, 0)
  mean <- parts$X %*% x + parts$offset
  zero <- matrix(0, nrow(mean), ncol(mean))
  list(weights = p$points$weights, mean = mean, var = zero)
}

#' @export
relative_error.weighted_posterior <- function(p, exact) {
  ifelse(is.na(exact$mcse_sd), 0, exact$mcse_sd / exact$sd)
}

# ---- the Gaussian fit before refinement ----------------------------------------------------------

#' @export
normal_rows.target_normal <- function(p, u = FALSE) {
  v <- variable_table(p$model)
  t <- p$table
  data.frame(v, loc = t$loc_mfvb, s_mfvb = t$spread_mfvb, s_lrvb = t$spread_lrvb,
    mean_mfvb = t$mean_mfvb, sd_mfvb = t$sd_mfvb,
    mean_lrvb = ifelse(is.na(t$mean_lrvb), t$mean_mfvb, t$mean_lrvb), sd_lrvb = t$sd_lrvb,
    source = ifelse(is.na(t$sd_lrvb), "mfvb", "lrvb"))
}

#' @export
location.target_normal <- function(p, type = "lrvb") {
  at <- variable_table(p$model)$kind == "parameter"
  list(mean = stats::setNames(p$table$mean_mfvb[at], location_names(p$model)),
    cov = covariance(p, type)[at, at, drop = FALSE])
}

#' @export
covariance.target_normal <- function(p, type = "lrvb") {
  if (type == "lrvb" && all(is.na(p$table$sd_lrvb))) {
    mf_abort("engine", "the fit has no linear response: refit with refine = \"no\"", arg = "type")
  }
  points_covariance(p, if (type == "lrvb") p$table$sd_lrvb else p$table$sd_mfvb)
}

#' @export
shortfall.target_normal <- function(p, t) rep("", nrow(t))

#' @export
model_formula.meanfield_target <- function(model) {
  paste0("a target of ", model$d, " dimension", if (model$d > 1L) "s", ": ",
    some(unique(variable_table(model)$block), 8L))
}

#' @export
report_types.meanfield_target <- function(model) c(parameter = 1)

#' @export
check_same_model.meanfield_target <- function(a, b) {
  same_functions <- inherits(b, "meanfield_target") &&
    identical(target_identity(a), target_identity(b))
  if (!same_functions) refuse_reference("are of different targets")
}

# ---- pictures ------------------------------------------------------------------------------------

#' @export
own_curve.target_vb_fit <- function(fit) "refined"

# Of a flow its own shape, from fixed points.
#' @export
fitted_curves.target_vb_fit <- function(fit, variables, u) {
  if (is.null(fit$vb$flow)) return(NextMethod())
  z <- flow_draw(fit$vb$flow, flow_points(fit$model$d))$z
  list(mfvb = point_curves(fit$model, z, rep(1 / ncol(z), ncol(z)), variables))
}

# A fit that was not refined is the normal one, or the flow, that is drawn already.
#' @export
density_curves.weighted_posterior <- function(p, variables, u) {
  source <- p$table$source
  if (!is.null(source) && all(source %in% c("vb", "lrvb"))) return(NULL)
  point_curves(p$model, p$points$z, p$points$weights, variables)
}

point_curves <- function(model, z, weights, variables) {
  table <- variable_table(model)
  x <- target_values(model, z)
  stats::setNames(lapply(match(variables, table$variable), function(j) {
    weighted_curve(x[j, ], weights, table$link[j])
  }), variables)
}

# On the link's scale a density near a bound is smooth.
weighted_curve <- function(x, w, link) {
  use <- w > 0 & is.finite(x)
  y <- if (link == "exp") log(x[use]) else x[use]
  w <- w[use] / sum(w[use])
  if (diff(range(y)) <= 1e-10 * max(abs(y))) return(list(x = x[use][1L], y = NaN))
  bandwidth <- narrow_bandwidth(weighted_quantile(y, w, stats::ppoints(400)))
  ends <- weighted_quantile(y, w, c(0.001, 0.999)) + c(-3, 3) * bandwidth
  d <- suppressWarnings(stats::density(y, weights = w, bw = bandwidth, n = 512, from = ends[1L],
    to = ends[2L]))
  if (link != "exp") return(list(x = d$x, y = d$y))
  list(x = exp(d$x), y = d$y / exp(d$x))
}

# By Sheather and Jones: several modes are not smoothed into one.
narrow_bandwidth <- function(y) {
  tryCatch(stats::bw.SJ(y), error = function(e) stats::bw.nrd0(y))
}

# What makes two targets one: functions by their text, data, constraints, sizes.
target_identity <- function(target) {
  text <- function(f) if (is.function(f)) deparse(f) else NULL
  list(d = target$d, names = target$names, variables = variable_table(target)$variable,
    functions = lapply(target$user, text), data = target$user$data)
}
