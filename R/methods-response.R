# The response scale: predictions, intervals, residuals.

has_identity_link <- function(fit) fit$model$family$link == "identity"

check_prediction <- function(object, type, interval, budget) {
  if (budget && !has_sigma(object)) {
    mf_abort("control", "`budget` is for the Gaussian family", arg = "budget")
  }
  if (interval == "prediction" && type == "link" && !has_identity_link(object)) {
    mf_abort("control", "a new response has no value on the link scale: use type = \"response\"",
      arg = "interval")
  }
}

# Mean (none of the linear predictor, which is known without the mixture) and SD, of the linear
# predictor or of the expected response, and limits of it or of a new response. A new normal
# response is a mixture of normals as its predictor is, and its SD is asked for then.
prediction_band <- function(object, parts, linear, interval, probs) {
  inverse <- if (linear) identity else object$model$family$linkinv
  normal <- has_sigma(object)
  p <- posterior_of(object)
  over_linear(p, parts, function(mix, now) {
    if (interval == "prediction" && normal) {
      mix <- with_residual(lead_nodes(mix, p), now$size)
    }
    limits <- if (interval == "prediction" && !normal) {
      response_quantiles(object, lead_nodes(mix, p), now$size, probs)
    } else if (interval != "none") {
      inverse(row_quantiles(mix, probs))
    }
    cbind(if (linear) linear_moments(mix) else response_moments(mix, inverse), limits)
  })
}

# The mixture of new normal responses of weights w; none of weight zero.
with_residual <- function(mix, w) {
  mix$var <- mix$var + (1 / ifelse(w > 0, w, NA)) %o% (1 / mix$lead)
  mix
}

linear_moments <- function(mix) {
  s <- sqrt(mixture_variance(mix))
  cbind(rep_len(NA_real_, length(s)), s)
}

# Points x (rows x rule x nodes) of a Gauss-Hermite rule w at every node, as fine as the widest
# wants.
predictor_points <- function(mean, s) {
  widest <- max(s, 0, na.rm = TRUE)
  fine <- if (widest == 0) 1L else if (widest < .3) 7L else if (widest < 1) 15L else 31L
  rule <- normal_rule(fine)
  n <- length(rule$x)
  at <- rep(seq_len(ncol(mean)), each = n)
  z <- rep(rep(rule$x, ncol(mean)), each = nrow(mean))
  list(x = mean[, at, drop = FALSE] + s[, at, drop = FALSE] * z, w = rule$w)
}

# Of the expected response. A level not seen has the mean covariance of the groups here: a count's
# mean over all that its variance may be does not exist.
response_moments <- function(mix, inverse) {
  new <- if (is.null(mix$new)) 0 else drop(mix$new %*% mix$weights)
  points <- predictor_points(mix$mean, sqrt(mix$var + new))
  w <- points$w %o% mix$weights
  value <- matrix(inverse(points$x), nrow(mix$mean))
  fit <- drop(value %*% c(w))
  se <- sqrt(pmax(drop((value - fit)^2 %*% c(w)), 0))
  cbind(fit, ifelse(is.infinite(fit), Inf, se)) # a mean that overflows
}

# Posterior mean of the log of the parameter beside the predictor, exponentiated; NULL without one.
dispersion_mean <- function(fit) {
  name <- family_of(fit)$lead$name
  if (is.null(name)) return(NULL)
  s <- summary_table(fit)
  exp(s$mean[s$variable == paste0("log_", name)])
}

# Quantiles (a column per p) of a new response: the smallest one whose distribution function reaches
# p. Nodes of like leads are taken together, and their predictors on a grid.
response_quantiles <- function(fit, mix, size, probs) {
  family <- family_of(fit)
  size <- ifelse(size > 0, size, NA)
  if (family$trials) {
    check_whole_trials(size)
    size <- round(size)
  }
  shares <- lapply(lead_shares(mix), predictor_share, mix = mix, fit = fit, size = size)
  below <- function(y) Reduce(`+`, lapply(shares, function(s) { # P(response <= y), y one per row
    p <- family$cdf(y, size, s$grid$mean, s$lead)
    s$w * rowSums(matrix(p, nrow(s$grid$mean)) * s$grid$w)
  }))
  end <- function(limit, extreme) lapply(shares, function(s) {
    limit(size, apply(s$grid$mean, 1L, extreme), s$lead)
  })
  low <- rep_len(Reduce(pmin, end(family$bottom, min)), length(size))
  high <- Reduce(pmax, end(family$top, max))
  out <- vapply(probs, function(p) first_reaching(below, p, low, high, family$whole), low)
  out <- matrix(out, length(size))
  if (family$trials) out / size else out
}

# Of some nodes: their weight, their mean lead, and their predictors on a grid.
predictor_share <- function(at, mix, fit, size) {
  w <- sum(mix$weights[at])
  lead <- if (!is.null(mix$lead)) sum(mix$weights[at] * mix$lead[at]) / w
  noise <- function(mu) family_of(fit)$noise(size, mu, lead)
  list(w = w, lead = lead, grid = predictor_grid(mix, at, fit$model$family$linkinv, noise))
}

# Per row, the smallest number in (low, high] at which the distribution function reaches p: a whole
# one (beyond 2^40 to 12 digits), or to ten digits.
first_reaching <- function(below, p, low, high, whole) {
  gap <- function() if (whole) pmax(1, 1e-12 * high) else 1e-10 * (abs(low) + abs(high))
  while (any(high - low > gap(), na.rm = TRUE)) {
    mid <- if (whole) whole_between(low, high) else low + (high - low) / 2
    reached <- below(mid) >= p
    high <- ifelse(reached, mid, high)
    low <- ifelse(reached, low, mid)
  }
  high
}

whole_between <- function(low, high) {
  floor(ifelse(high > 2^40 & high > 4 * pmax(low, 1), sqrt(pmax(low, 1)) * sqrt(high),
    low + (high - low) / 2))
}

# The nodes in five shares of about equal weight by their lead; in one where there is none.
lead_shares <- function(mix) {
  if (is.null(mix$lead)) return(list(seq_along(mix$weights)))
  order <- order(mix$lead)
  share <- ceiling(5 * pmin(cumsum(mix$weights[order]) - mix$weights[order] / 2, 1 - 1e-9))
  unname(split(order, pmax(share, 1)))
}

# The linear predictor of these nodes on a grid of its own per row, at the middle of cells of which
# each has its probability w. list(mean: the expected response there, w), rows x grid. The grid
# reaches over 8 SDs and is finer than the noise(mean) of a response on the scale of the predictor,
# up to 512 cells.
predictor_grid <- function(mix, nodes, inverse, noise) {
  weights <- mix$weights[nodes] / sum(mix$weights[nodes])
  mean <- mix$mean[, nodes, drop = FALSE]
  var <- total_variance(mix)[, nodes, drop = FALSE]
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

# Pearson residuals of a normal response are not over sigma, as those of lm(): they are its deviance
# residuals. No trials, no share of them.
residual_values <- function(object, parts, type) {
  family <- family_of(object)
  r <- fit_response(object)
  size <- ifelse(r$size > 0, r$size, NA)
  y <- if (family$trials) r$y / size else r$y
  mu <- if (has_identity_link(object)) {
    linear_mean(parts, moments(posterior_of(object)), object$model)
  } else {
    prediction_band(object, parts, FALSE, "none")[, 1L]
  }
  if (type == "response") return(y - mu)
  lead <- if (!has_sigma(object)) dispersion_mean(object)
  if (type == "pearson" && !has_sigma(object)) {
    return((y - mu) / sqrt(family$variance(mu, lead) / size))
  }
  sign(y - mu) * sqrt(pmax(family$deviance(y, mu, r$size, lead), 0))
}

# What predict() returns, with the rows that na.exclude keeps. limits: two columns, or none.
prediction_value <- function(parts, fit, se, limits, se.fit) {
  out <- if (ncol(limits)) cbind(fit = fit, lwr = limits[, 1L], upr = limits[, 2L]) else fit
  if (se.fit) list(fit = parts$restore(out), se.fit = parts$restore(se)) else parts$restore(out)
}
