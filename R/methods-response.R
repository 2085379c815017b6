# The response scale of the families other than the Gaussian: predictions, intervals, residuals.

check_glmm_prediction <- function(type, interval, budget) {
  if (budget) {
    mf_abort("control", "`budget` is for the Gaussian family", arg = "budget")
  }
  if (interval == "prediction" && type == "link") {
    mf_abort("control", "a new response has no value on the link scale: use type = \"response\"",
      arg = "interval")
  }
}

# Mean, SD, and limits of the linear predictor or of the expected response; limits of a new response.
predict_glmm <- function(object, parts, type, interval, level, se.fit, size) {
  eta <- if (type == "link") linear_mean(parts, moments(posterior_of(object)), object$model)
  if (!is.null(eta) && interval == "none" && !se.fit) return(parts$restore(eta))
  parts$size <- size
  probs <- central_probs(level)
  inverse <- if (is.null(eta)) object$model$family$linkinv else identity
  band <- over_linear(posterior_of(object), parts, function(mix, now) {
    limits <- switch(interval, confidence = inverse(row_quantiles(mix, probs)),
      prediction = response_quantiles(object, lead_nodes(mix, posterior_of(object)), now$size, probs))
    if (is.null(eta)) cbind(response_moments(mix, inverse), limits) else
      cbind(NA, sqrt(mixture_variance(mix)), limits)
  })
  prediction_value(parts, eta %||% band[, 1L], band[, 2L], band[, -(1:2), drop = FALSE], se.fit)
}

# Of the expected response. A level not seen has the mean covariance of the groups here: a count's mean
# over all that its variance may be does not exist.
response_moments <- function(mix, inverse) {
  new <- drop(mix$new %*% mix$weights)
  points <- predictor_points(mix$mean, sqrt(mix$var + new))
  w <- points$w %o% mix$weights
  value <- matrix(inverse(points$x), nrow(mix$mean))
  fit <- drop(value %*% c(w))
  se <- sqrt(pmax(drop((value - fit)^2 %*% c(w)), 0))
  cbind(fit, ifelse(is.infinite(fit), Inf, se)) # a mean that overflows
}

# Posterior mean of log phi of the negative binomial family, exponentiated.
dispersion_mean <- function(fit) {
  if (fit$model$family$family != "neg_binomial") return(NULL)
  s <- summary_table(fit)
  exp(s$mean[s$variable == "log_phi"])
}

# Quantiles (a column per p) of a new response: the smallest whole number whose distribution function
# reaches p. Nodes of like phi are taken together, and their predictors on a grid.
response_quantiles <- function(fit, mix, size, probs) {
  family <- fit$model$family$family
  size <- ifelse(size > 0, size, NA)
  if (family == "binomial") {
    check_whole_trials(size)
    size <- round(size)
  }
  shares <- lapply(lead_shares(mix), function(at) {
    phi <- if (is.null(mix$lead)) Inf else sum(mix$weights[at] * mix$lead[at]) / sum(mix$weights[at])
    noise <- function(mu) sqrt(if (family == "binomial") 1 / (size * mu * (1 - mu)) else 1 / mu + 1 / phi)
    list(w = sum(mix$weights[at]), phi = phi,
      grid = predictor_grid(mix, at, fit$model$family$linkinv, noise))
  })
  below <- function(y) { # P(response <= y), y one per row
    Reduce(`+`, lapply(shares, function(s) {
      mu <- s$grid$mean
      p <- switch(family, binomial = stats::pbinom(y, size, mu), poisson = stats::ppois(y, mu),
        neg_binomial = stats::pnbinom(y, size = s$phi, mu = mu))
      s$w * rowSums(matrix(p, nrow(mu)) * s$grid$w)
    }))
  }
  top <- switch(family, binomial = ceiling(size), Reduce(pmax, lapply(shares, function(s) {
    most <- apply(s$grid$mean, 1L, max)
    ceiling(if (is.finite(s$phi)) stats::qnbinom(1 - 1e-12, size = s$phi, mu = most) else
      stats::qpois(1 - 1e-12, most)) + 1
  })))
  out <- vapply(probs, function(p) first_reaching(below, p, top), numeric(length(size)))
  out <- matrix(out, length(size))
  if (family == "binomial") out / size else out
}

# Per row, the smallest whole number up to top at which the distribution function reaches p; beyond 2^40
# to 12 digits.
first_reaching <- function(below, p, top) {
  low <- rep(-1, length(top))
  high <- top
  while (any(high - low > pmax(1, 1e-12 * high), na.rm = TRUE)) {
    mid <- floor(ifelse(high > 2^40 & high > 4 * pmax(low, 1), sqrt(pmax(low, 1)) * sqrt(high),
      low + (high - low) / 2))
    reached <- below(mid) >= p
    high <- ifelse(reached, mid, high)
    low <- ifelse(reached, low, mid)
  }
  high
}

# The nodes in five shares of about equal weight by their phi; in one where there is none.
lead_shares <- function(mix) {
  if (is.null(mix$lead)) return(list(seq_along(mix$weights)))
  order <- order(mix$lead)
  share <- ceiling(5 * pmin(cumsum(mix$weights[order]) - mix$weights[order] / 2, 1 - 1e-9))
  unname(split(order, pmax(share, 1)))
}

# The linear predictor of these nodes on a grid of its own per row, at the middle of cells of which each has
# its probability w. list(mean: the expected response there, w), rows x grid. The grid reaches over 8 SDs
# and is finer than the noise(mean) of a response on the scale of the predictor, up to 512 cells.
predictor_grid <- function(mix, nodes, inverse, noise) {
  weights <- mix$weights[nodes] / sum(mix$weights[nodes])
  mean <- mix$mean[, nodes, drop = FALSE]
  var <- (mix$var + mix$new)[, nodes, drop = FALSE]
  centre <- drop(mean %*% weights)
  width <- 16 * pmax(sqrt(drop((var + (mean - centre)^2) %*% weights)), 1e-9)
  n <- ceiling(min(max(96, width / noise(countable(inverse(centre))), na.rm = TRUE), 512))
  edges <- centre + width %o% (seq_len(n + 1L) - 1 - n / 2) / n
  below <- cells_below(edges, mean, sqrt(var), weights)
  below[, n + 1L] <- 1
  below[, 1L] <- 0
  w <- below[, -1L, drop = FALSE] - below[, -(n + 1L), drop = FALSE]
  list(mean = countable(matrix(inverse(edges[, -1L] - width / (2 * n)), nrow(mean))), w = w)
}

# P(predictor < edge), a column per edge.
cells_below <- function(edges, mean, s, weights) {
  points <- all(s == 0)
  out <- apply(edges, 2L, function(e) {
    drop((if (points) (mean < e) + (mean == e) / 2 else stats::pnorm((e - mean) / s)) %*% weights)
  })
  matrix(out, nrow(edges))
}

glmm_residuals <- function(object, parts, type) {
  r <- fit_response(object)
  size <- ifelse(r$size > 0, r$size, NA)
  binomial <- object$model$family$family == "binomial"
  y <- if (binomial) r$y / size else r$y
  mu <- predict_glmm(object, list_without_restore(parts), "response", "none", .95, FALSE, size)
  if (type == "response") return(y - mu)
  phi <- dispersion_mean(object)
  if (type == "deviance") {
    unit <- unit_deviance(object$model$family, y, mu, r$size, phi)
    return(sign(y - mu) * sqrt(pmax(unit, 0)))
  }
  variance <- switch(object$model$family$family, binomial = mu * (1 - mu), poisson = mu,
    neg_binomial = mu + mu^2 / phi)
  (y - mu) / sqrt(variance / size)
}

# What predict() returns, with the rows that na.exclude keeps. limits: two columns, or none.
prediction_value <- function(parts, fit, se, limits, se.fit) {
  out <- if (ncol(limits)) cbind(fit = fit, lwr = limits[, 1L], upr = limits[, 2L]) else fit
  if (se.fit) list(fit = parts$restore(out), se.fit = parts$restore(se)) else parts$restore(out)
}
