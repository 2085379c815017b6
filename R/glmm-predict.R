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

predict_glmm <- function(object, parts, type, interval, level, se.fit, size) {
  m <- moments(object)
  eta <- linear_mean(parts, m, object$model)
  if (type == "link" && interval == "none" && !se.fit) return(parts$restore(eta))
  s <- sqrt(linear_variance(parts, m, object))
  inverse <- object$model$family$linkinv
  z <- qnorm((1 + level) / 2)
  rule <- normal_rule(31L)
  nodes <- inverse(outer(s, rule$x) + eta)
  fit <- if (type == "link") eta else drop(nodes %*% rule$w)
  se <- if (type == "link") s else sqrt(pmax(drop((nodes - fit)^2 %*% rule$w), 0))
  limits <- if (interval == "prediction") {
    response_quantiles(object, nodes, rule$w, size, c((1 - level) / 2, (1 + level) / 2))
  } else {
    limits <- cbind(eta - z * s, eta + z * s)
    if (type == "link") limits else inverse(limits)
  }
  out <- if (interval == "none") fit else cbind(fit = fit, lwr = limits[, 1L], upr = limits[, 2L])
  if (se.fit) list(fit = parts$restore(out), se.fit = parts$restore(se)) else parts$restore(out)
}

# Gauss-Hermite rule for the standard normal [Golub & Welsch 1969].
normal_rule <- function(n) {
  J <- matrix(0, n, n)
  k <- seq_len(n - 1L)
  J[cbind(k, k + 1L)] <- J[cbind(k + 1L, k)] <- sqrt(k)
  e <- eigen(J, symmetric = TRUE)
  list(x = e$values, w = e$vectors[1L, ]^2)
}

# Posterior mean of the negative binomial's phi.
dispersion_mean <- function(fit) {
  if (fit$model$family$family != "neg_binomial") return(NULL)
  s <- summary_table(fit)
  exp(s$mean[s$variable == "log_phi"])
}

# Quantiles of a new response whose mean is at the nodes (rows x nodes) with weights w: the
# smallest whole number whose distribution function reaches p. A column per p.
response_quantiles <- function(fit, nodes, w, size, probs) {
  size <- ifelse(size > 0, size, NA)
  phi <- dispersion_mean(fit)
  family <- fit$model$family$family
  below <- function(y) { # P(response <= y), y one per row
    p <- switch(family, binomial = stats::pbinom(y, size, nodes), poisson = stats::ppois(y, nodes),
      neg_binomial = stats::pnbinom(y, size = phi, mu = nodes))
    drop(matrix(p, nrow(nodes)) %*% w)
  }
  top <- switch(family, binomial = ceiling(size), {
    far <- rowSums(nodes * rep(w > 1e-12, each = nrow(nodes)) * 0) + apply(nodes, 1L, max)
    ceiling(stats::qnbinom(1 - 1e-12, size = phi %||% 1e6, mu = far)) + 1
  })
  out <- vapply(probs, function(p) {
    low <- rep(-1, nrow(nodes)) # its distribution function is below p
    high <- pmin(top, 2^52)
    while (any(high - low > 1, na.rm = TRUE)) {
      mid <- floor((low + high) / 2)
      reached <- below(mid) >= p
      high <- ifelse(reached, mid, high)
      low <- ifelse(reached, low, mid)
    }
    high
  }, numeric(nrow(nodes)))
  out <- matrix(out, nrow(nodes))
  if (family == "binomial") out / size else out
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

# draws x rows of new responses.
draw_responses <- function(object, d, newdata) {
  size <- response_size(object, newdata, NULL, ncol(d$eta))
  family <- object$model$family$family
  if (family == "binomial" && any(abs(size - round(size)) > 1e-3, na.rm = TRUE)) {
    mf_abort("weights", "responses can be drawn for whole numbers of trials only: the fit has ",
      "`weights` that are none", arg = "object")
  }
  y <- array(NA_real_, dim(d$eta), dimnames(d$eta))
  ok <- which(!is.na(d$eta) & !is.na(rep(size, each = nrow(y))))
  mu <- object$model$family$linkinv(d$eta[ok])
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
    poisson = size * stats::dpois(y, exp(eta), log = TRUE),
    neg_binomial = size * stats::dnbinom(y, size = d$lead, mu = exp(eta), log = TRUE)
  )
  matrix(ll, nrow(eta), dimnames = list(NULL, colnames(eta)))[, r$size > 0, drop = FALSE]
}

lchoose_real <- function(n, k) lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

log1p_exp <- function(x) pmax(x, 0) + log1p(exp(-abs(x)))

new_glmm_response <- function(model, newdata, w) {
  y <- new_response(model, newdata)
  glmm_response(list2DF(stats::setNames(list(y), deparse1(model$formula[[2L]]))), w, model$family)
}
