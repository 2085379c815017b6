# The response scale of the families other than the Gaussian: predictions, residuals, simulated
# responses and pointwise log likelihoods.

check_glmm_prediction <- function(type, interval, budget) {
  if (budget) {
    mf_abort("control", "`budget` is for the Gaussian family", arg = "budget")
  }
  if (interval == "prediction" && type == "link") {
    mf_abort("control", "a new response has no value on the link scale: use type = \"response\"",
      arg = "interval")
  }
}

# list(y, size) of the fit's own rows, whose oddities were announced when they were fitted.
fit_response <- function(fit) {
  frame <- kept_frame(fit$model)
  suppressWarnings(glmm_response(frame, frame_weights(frame), fit$model$family),
    classes = "meanfield_warning_response")
}

# The response as draws of it are: counts, or numbers of successes.
fitted_response <- function(fit) {
  if (is_gaussian(fit)) frame_response(kept_frame(fit$model)) else fit_response(fit)$y
}

# Trials (binomial) or row weights of the rows of a prediction.
response_size <- function(fit, newdata, weights, n) {
  if (!is.null(weights)) return(rep_len(weights, n))
  if (is.null(newdata)) return(fit_response(fit)$size)
  trials <- 1
  lhs <- fit$model$formula[[2L]]
  if (is_pair(fit$model$prototype) && all(all.vars(lhs) %in% names(newdata))) {
    trials <- rowSums(new_response(fit$model, newdata))
  }
  rep_len(trials * (new_weights(fit, newdata) %||% 1), n)
}

# cbind(success, failure)?
is_pair <- function(y) is.matrix(y) && ncol(y) == 2L

# Mean, SD, and limits of the linear predictor or of the expected response; limits of a new response.
predict_glmm <- function(object, parts, type, interval, level, se.fit, size) {
  eta <- if (type == "link") linear_mean(parts, moments(object), object$model)
  if (!is.null(eta) && interval == "none" && !se.fit) return(parts$restore(eta))
  parts$size <- size
  probs <- central_probs(level)
  inverse <- if (is.null(eta)) object$model$family$linkinv else identity
  band <- over_linear(object, parts, function(mix, now) {
    limits <- switch(interval, confidence = inverse(row_quantiles(mix, probs)),
      prediction = response_quantiles(object, lead_nodes(mix, object), now$size, probs))
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

# Points x (rows x rule x nodes) of a Gauss-Hermite rule w at every node, as fine as the widest wants.
predictor_points <- function(mean, s) {
  widest <- max(s, 0, na.rm = TRUE)
  rule <- normal_rule(if (widest == 0) 1L else if (widest < .3) 7L else if (widest < 1) 15L else 31L)
  n <- length(rule$x)
  at <- rep(seq_len(ncol(mean)), each = n)
  z <- rep(rep(rule$x, ncol(mean)), each = nrow(mean))
  list(x = mean[, at, drop = FALSE] + s[, at, drop = FALSE] * z, w = rule$w)
}

# Gauss-Hermite rule for the standard normal [Golub & Welsch 1969].
normal_rule <- function(n) {
  J <- matrix(0, n, n)
  k <- seq_len(n - 1L)
  J[cbind(k, k + 1L)] <- J[cbind(k + 1L, k)] <- sqrt(k)
  e <- eigen(J, symmetric = TRUE)
  list(x = e$values, w = e$vectors[1L, ]^2)
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

# Expected counts that are numbers: R draws and counts none of infinite mean.
MOST_COUNT <- 1e300
countable <- function(mu) pmin(mu, MOST_COUNT)

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

# Times the weights; of the negative binomial family at the posterior mean of log phi.
unit_deviance <- function(family, y, mu, w, phi) {
  if (family$family != "neg_binomial") return(family$dev.resids(y, mu, w))
  2 * w * (y * log(pmax(1, y) / mu) - (y + phi) * log((y + phi) / (mu + phi)))
}

# The rows as they are, so that the caller puts na.exclude's back once.
list_without_restore <- function(parts) {
  parts$restore <- identity
  parts
}

check_whole_trials <- function(size) {
  if (any(abs(size - round(size)) > 1e-3, na.rm = TRUE)) {
    mf_abort("weights", "there are responses of whole numbers of trials only: the fit has `weights` that are ",
      "none; give `weights` that are", arg = "weights")
  }
}

# draws x rows of new responses.
draw_responses <- function(object, d, newdata) {
  size <- response_size(object, newdata, NULL, ncol(d$eta))
  family <- object$model$family$family
  if (family == "binomial") check_whole_trials(size)
  y <- array(NA_real_, dim(d$eta), dimnames(d$eta))
  ok <- which(!is.na(d$eta) & !is.na(rep(size, each = nrow(y))))
  mu <- countable(object$model$family$linkinv(d$eta[ok]))
  if (any(mu == MOST_COUNT)) {
    mf_warn("overflow", "some expected responses are beyond 1e300 and are drawn as that: the posterior of ",
      "the linear predictor is very wide; use tighter priors", arg = "object")
  }
  n <- length(ok)
  y[ok] <- switch(family,
    binomial = stats::rbinom(n, rep(as.integer(round(size)), each = nrow(y))[ok], mu),
    poisson = stats::rpois(n, mu),
    neg_binomial = stats::rnbinom(n, size = rep_len(d$lead, length(y))[ok], mu = mu)
  )
  y
}

# draws x rows (of positive size) of the log likelihood. w: weights of new rows.
glmm_log_lik <- function(object, d, newdata, w = NULL) {
  r <- if (is.null(newdata)) fit_response(object) else new_glmm_response(object$model, newdata, w)
  y <- rep(r$y, each = nrow(d$eta))
  size <- rep(r$size, each = nrow(d$eta))
  eta <- d$eta
  ll <- switch(object$model$family$family,
    binomial = lchoose_real(size, y) + y * eta - size * log1p_exp(eta),
    poisson = size * log_poisson(y, eta),
    neg_binomial = size * log_neg_binomial(y, d$lead, eta)
  )
  matrix(ll, nrow(eta), dimnames = list(NULL, colnames(eta)))[, r$size > 0, drop = FALSE]
}

# Of counts that may be fractions, which the family's functions in R refuse.
log_poisson <- function(y, eta) {
  whole <- y == round(y)
  out <- y * eta - exp(eta) - lgamma(y + 1)
  out[whole] <- stats::dpois(y[whole], exp(eta[whole]), log = TRUE)
  out
}

log_neg_binomial <- function(y, phi, eta) {
  whole <- y == round(y)
  phi <- rep_len(phi, length(y))
  out <- lgamma(y + phi) - lgamma(phi) - lgamma(y + 1) - phi * log1p(exp(eta) / phi) -
    y * log1p_exp(log(phi) - eta)
  out[whole] <- stats::dnbinom(y[whole], size = phi[whole], mu = exp(eta[whole]), log = TRUE)
  out
}

lchoose_real <- function(n, k) lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

log1p_exp <- function(x) pmax(x, 0) + log1p(exp(-abs(x)))

new_glmm_response <- function(model, newdata, w) {
  y <- new_response(model, newdata)
  glmm_response(list2DF(stats::setNames(list(y), deparse1(model$formula[[2L]]))), w, model$family)
}
