# Posterior moments of a mixture: derived variables, summaries, the report, print.

# Variables of a fit in the order they are shown.
gmm_all_variables <- function(model) {
  v <- gmm_variables(model)
  pi <- v[v$type == "log_pi", ]
  pi$variable <- sub("^log_pi", "pi", pi$variable)
  sigma <- v[v$type == "Lambda", ]
  sigma$variable <- sub("^Lambda", "Sigma", sigma$variable)
  pi$type <- "pi"
  sigma$type <- "Sigma"
  v <- rbind(v, pi, sigma)
  v[order(match(v$type, c("mu", "Lambda", "log_det", "pi", "log_pi", "Sigma"))), ]
}

# The weights as linear functions of (log pi): D, and what of their variance D leaves out.
# q(pi) = Dirichlet(alpha): the response of alpha to that of E log pi, then pi = alpha / sum.
pi_map <- function(alpha) {
  total <- sum(alpha)
  pi <- alpha / total
  var <- (diag(pi, length(pi)) - tcrossprod(pi)) / (total + 1)
  # the limit, to a share of 1 / alpha, where the differences below are lost to rounding
  if (min(alpha) > 1e6) {
    return(list(mean = pi, D = diag(pi) - tcrossprod(pi), var = diag(var), rest = 0 * var))
  }
  d <- 1 / trigamma(alpha)
  V <- diag(trigamma(alpha), length(alpha)) - trigamma(total)
  inverse <- diag(d, length(d)) + tcrossprod(d) * trigamma(total) / (1 - trigamma(total) * sum(d))
  D <- (diag(1, length(pi)) - pi) %*% inverse / total
  list(mean = pi, D = D, var = diag(var), rest = var - D %*% V %*% t(D))
}

# Sigma_k as a linear function of (vech Lambda_k, log_det_k). E Sigma = df / (df - P - 1) L^-1
# moves with L, and with df: the part of log_det that L does not explain is free / 2 per unit
# of df. Without moments (df <= P + 3) the rows are NA.
sigma_map <- function(L, df) {
  p <- nrow(L)
  S <- solve_spd(L)
  pairs <- lower_pairs(p)
  i <- pairs$row
  j <- pairs$col
  twice <- ifelse(i == j, 1, 2)
  pair_product <- function(S) S[i, i] * S[j, j] + S[i, j] * S[j, i]
  free <- sum(trigamma((df + 1 - seq_len(p)) / 2)) - 2 * p / df
  own <- -pair_product(S) * rep(twice, each = length(i)) / 2
  to_df <- c(-twice * S[cbind(i, j)], 1) * 2 / free # of (vech Lambda, log_det)
  a <- df / (df - p - 1)
  b <- -(p + 1) / (df - p - 1)^2
  D <- cbind(a * own, 0) + outer(b * S[cbind(i, j)], to_df)
  Psi <- df * S
  psi <- Psi[cbind(i, j)]
  var <- (2 * tcrossprod(psi) + (df - p - 1) * pair_product(Psi)) /
    ((df - p) * (df - p - 1)^2 * (df - p - 3))
  V <- matrix(0, length(i) + 1L, length(i) + 1L) # of (vech Lambda, log_det) under q
  s <- seq_along(i)
  V[s, s] <- pair_product(L) / df
  V[s, length(i) + 1L] <- V[length(i) + 1L, s] <- 2 * L[cbind(i, j)] / df
  V[length(i) + 1L, length(i) + 1L] <- sum(trigamma((df + 1 - seq_len(p)) / 2))
  out <- list(mean = a * S[cbind(i, j)], D = D, var = diag(var), rest = var - D %*% V %*% t(D))
  if (df <= p + 3) out <- lapply(out, function(v) v * NA)
  out
}

# The derived variables as linear maps of the core's: list(mean, D, rest, at, names) each.
gmm_derived <- function(fit) {
  v <- fit$posterior$variables
  p <- ncol(fit$model$x)
  weights <- if (fit$model$k > 1L) pi_map(fit$vb$alpha) else
    list(mean = 1, D = matrix(0), var = 0, rest = matrix(0))
  own <- v$type == "log_pi"
  c(
    list(c(weights, list(at = which(own), names = sub("^log_pi", "pi", v$variable[own])))),
    lapply(seq_len(fit$model$k), function(k) {
      own <- v$component == k & v$type == "Lambda"
      c(sigma_map(matrix(fit$vb$L[, , k], p), fit$vb$df[k]),
        list(at = which(v$component == k & v$type %in% c("Lambda", "log_det")),
          names = sub("^Lambda", "Sigma", v$variable[own])))
    })
  )
}

# Means and SDs of all variables.
gmm_moments <- function(fit) {
  post <- fit$posterior
  derived <- gmm_derived(fit)
  named <- function(f) unlist(lapply(derived, function(m) stats::setNames(f(m), m$names)))
  sds <- function(V, f) sqrt(pmax(c(diag(V), named(f)), 0))
  lr <- post$cov_lrvb
  list(mean = c(post$mean, named(function(m) m$mean)),
    sd_mfvb = sds(post$cov_mfvb, function(m) m$var),
    sd_lrvb = if (!is.null(lr)) sds(lr, function(m) derived_variance(m, lr[m$at, m$at])))
}

# Of the derived variables m, given the covariance V of the core's. Columns that are nearly collinear
# leave the difference without digits: then it is that under q.
derived_variance <- function(m, V) {
  from <- rowSums((m$D %*% V) * m$D)
  out <- diag(m$rest) + from
  lost <- which(out < 1e-8 * from)
  out[lost] <- m$var[lost]
  out
}

# The full covariance, derived variables included, in the order of gmm_all_variables().
gmm_full_cov <- function(fit, V) {
  n <- nrow(V)
  derived <- gmm_derived(fit)
  names <- c(rownames(V), unlist(lapply(derived, `[[`, "names")))
  D <- rbind(diag(1, n), matrix(0, length(names) - n, n))
  R <- matrix(0, length(names), length(names))
  row <- n
  for (m in derived) {
    at <- row + seq_along(m$names)
    D[at, m$at] <- m$D
    R[at, at] <- m$rest
    row <- row + length(m$names)
  }
  out <- D %*% V %*% t(D) + R
  dimnames(out) <- list(names, names)
  o <- match(gmm_all_variables(fit$model)$variable, names)
  out[o, o]
}

# One row per variable in the layout of vb_rows(). Diagonals of precision and covariance
# matrices are log-normal, weights beta, with the moments given; everything else is normal.
gmm_rows <- function(fit) {
  v <- gmm_all_variables(fit$model)
  m <- gmm_moments(fit)
  at <- match(v$variable, names(m$mean))
  mean <- unname(m$mean[at])
  corrected <- !is.null(m$sd_lrvb)
  mfvb <- unname(m$sd_mfvb[at])
  lrvb <- if (corrected) unname(m$sd_lrvb[at]) else rep(NA_real_, length(at))
  diagonal <- !is.na(v$b) & v$a == v$b
  link <- ifelse(diagonal, "exp", ifelse(v$type == "pi", "beta", "identity"))
  spread <- function(s) ifelse(diagonal, sqrt(log1p((s / mean)^2)), s)
  shown <- if (corrected) lrvb else mfvb
  loc <- ifelse(diagonal, log(abs(mean)) - spread(shown)^2 / 2, mean)
  type <- ifelse(v$type %in% c("mu", "Lambda", "log_pi"), v$type, "derived")
  row_block(v$variable, type, loc, spread(mfvb), spread(lrvb), link, mean, mfvb, mean, lrvb,
    if (corrected) "lrvb" else "mfvb")
}

#' Summaries of a mixture fit
#'
#' @param object A fit of a [gaussian_mixture()].
#' @param level Mass of the central interval.
#' @param ... Not used.
#' @return A data frame of class `meanfield_summary` with a row per variable, in the columns of
#'   [summary.vb_fit()] and [summary.gibbs_fit()]: `mu`, `Lambda` (lower triangles), `log_det`,
#'   `pi`, `log_pi`, `Sigma`. Intervals of variances and of diagonal precisions are log-normal,
#'   those of weights beta, the others normal. Rows of `Sigma` are `NA` where the mean or variance
#'   of the inverse Wishart does not exist (at most P + 3 degrees of freedom).
#' @examples
#' fit <- fit_vb(gaussian_mixture(faithful, 2))
#' summary(fit)
#' @export
summary.gmm_vb_fit <- function(object, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  check_level(level)
  rows <- gmm_rows(object)
  sd <- ifelse(rows$source == "lrvb", rows$sd_lrvb, rows$sd_mfvb)
  spread <- ifelse(rows$source == "lrvb", rows$s_lrvb, rows$s_mfvb)
  out <- data.frame(
    variable = rows$variable, mean = rows$mean_mfvb, sd = sd, mean_mfvb = rows$mean_mfvb,
    sd_mfvb = rows$sd_mfvb, source = rows$source,
    lower = gmm_quantile((1 - level) / 2, rows, spread, sd),
    upper = gmm_quantile((1 + level) / 2, rows, spread, sd)
  )
  names(out)[7:8] <- quantile_names(level)
  new_summary(out)
}

gmm_quantile <- function(prob, rows, spread, sd) {
  out <- inverse_link(rows$loc + qnorm(prob) * spread, rows$link)
  b <- which(rows$link == "beta")
  out[b] <- rows$mean_mfvb[b] + qnorm(prob) * sd[b]
  shape <- beta_shapes(rows$mean_mfvb[b], sd[b])
  wide <- which(shape$a + shape$b < BETA_MOST) # narrower than that it is a normal, or a point
  out[b[wide]] <- stats::qbeta(prob, shape$a[wide], shape$b[wide])
  out
}

BETA_MOST <- 1e10 # qbeta() has no digits left
beta_shapes <- function(mean, sd) {
  total <- pmin(pmax(mean * (1 - mean) / sd^2 - 1, 1e-3), BETA_MOST)
  list(a = mean * total, b = (1 - mean) * total)
}

#' @rdname summary.gmm_vb_fit
#' @export
summary.gmm_gibbs_fit <- function(object, level = 0.95, ...) {
  valid_fit(object)
  no_dots(...)
  out <- draws_summary(object$draws, central_probs(check_level(level)))
  names(out)[4:5] <- quantile_names(level)
  new_summary(out)
}

# ---- print -------------------------------------------------------------------------

#' @export
print.gmm_vb_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat("Variational Bayes of a Gaussian mixture, corrected by linear response
")
  print_mixture_lines(x)
  cat(if (x$converged) "Converged in " else "NOT converged after ", x$passes, " passes; ELBO ",
    format(x$vb$elbo, digits = 6, nsmall = 1), sep = "")
  if (nrow(x$starts) > 1L) {
    best <- sum(x$starts$elbo > max(x$starts$elbo) - 1)
    cat("; ", best, " of ", nrow(x$starts), " starts came within 1 of the best", sep = "")
  }
  cat("

")
  print_components(x, summary(x), digits)
  cat("
`widened`: SD after linear response against the mean-field SD. All variables: summary()
")
  if (is.null(x$posterior$cov_lrvb)) {
    cat("Linear response failed at component ", gmm_failed_component(x),
      ": mean-field SDs shown.
", sep = "")
  } else if (gmm_skewed(x)) {
    cat("The components overlap: the posterior is skewed, and linear response only a lower ",
      "bound
for ", toString(utils::head(gmm_skewed_variables(x), 4)), ", ...; ",
      "see sd_ratio_report().
", sep = "")
  }
  invisible(x)
}

# Means and weights; nothing of the precision matrices.
print_components <- function(x, s, digits) {
  show <- s[grepl("^(mu|pi)\\[", s$variable), ]
  at <- order(as.integer(sub("^[^[]*\\[([0-9]+).*", "\\1", show$variable)))
  show <- show[at, ]
  most <- 24L
  rows <- utils::head(show, most)
  out <- data.frame(variable = rows$variable, mean = format_numbers(rows$mean, digits),
    sd = format_numbers(rows$sd, digits), q2.5 = format_numbers(rows$q2.5, digits),
    q97.5 = format_numbers(rows$q97.5, digits))
  if (!is.null(rows$sd_mfvb)) out$widened <- widening(rows$sd, rows$sd_mfvb)
  if (!is.null(rows$rhat)) {
    out$ess_bulk <- format_numbers(rows$ess_bulk, digits)
    out$rhat <- format_numbers(rows$rhat, 4)
  }
  print(out, row.names = FALSE)
  if (nrow(show) > most) cat("... with ", nrow(show) - most, " more
", sep = "")
}

print_mixture_lines <- function(x) {
  cat("Model:   ", x$model$k, " component", if (x$model$k > 1L) "s", ", ",
    format(nrow(x$model$x), big.mark = ","), " rows, ", ncol(x$model$x), " column",
    if (ncol(x$model$x) > 1L) "s", "; ", describe_mixture_prior(x$model$prior), "
", sep = "")
}

#' @export
print.gmm_gibbs_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat("Gibbs sampler of a Gaussian mixture
")
  print_mixture_lines(x)
  cat(x$chains, " chain", if (x$chains != 1L) "s", " of ", x$iter, " sweeps (", x$warmup,
    " warm-up), ", dim(x$draws)[1L] * x$chains, " draws kept, ", format(round(x$seconds, 2)),
    " s
", sep = "")
  cat(relabelling_line(x), "

", sep = "")
  print_components(x, summary(x), digits)
  invisible(x)
}

relabelling_line <- function(x) {
  if (!any(x$relabelled > 0)) return("Labels never switched.")
  if (!any(x$switches > 0)) {
    return(paste0("Labels never switched within a chain; chain ",
      toString(which(x$relabelled > 0)), " started with others and was relabelled."))
  }
  paste0("Labels switched: ", format(round(100 * mean(x$relabelled), 1)), "% of the draws were ",
    "relabelled to agree with the variational fit (", sum(x$switches), " switches).")
}

# ---- report ------------------------------------------------------------------------

# Linear response replaces the bound near its top by a quadratic. One posterior SD out along the
# direction it widens most, the slope should be 1 on both sides; a difference of .25, or a mean
# off by a tenth, says that the posterior is skewed or not normal there. Measured on 2,000 rows in
# two dimensions: components 3 SDs apart differ by .02 to .13, 2.4 by .14 to .21 (SDs right to
# 5%), 2.2 by .26 to .6 (SDs up to 40% short).
SKEWED_DIFFERENCE <- 0.25
SKEWED_MEAN <- 0.1

gmm_skewed <- function(fit) {
  slope <- fit$linearity$slope
  !is.null(slope) && (abs(diff(slope)) > SKEWED_DIFFERENCE || abs(mean(slope) - 1) > SKEWED_MEAN)
}

# Those with more than a tenth of their variance in that direction, or that linear response widens
# by more than a tenth.
gmm_skewed_variables <- function(fit) {
  total <- diag(fit$posterior$cov_lrvb)
  weak <- fit$posterior$direction^2 > 0.1 * total |
    diag(fit$posterior$cov_mfvb) < 0.81 * total
  rows <- fit$posterior$variables$variable[weak]
  c(rows, sub("^log_pi", "pi", grep("^log_pi", rows, value = TRUE)),
    sub("^Lambda", "Sigma", grep("^Lambda", rows, value = TRUE)))
}

#' @rdname sd_ratio_report
#' @export
sd_ratio_report.gmm_vb_fit <- function(fit, reference = NULL,
                                       weights = c(mu = 1, Lambda = 1, log_pi = 1) / 3,
                                       variables = NULL, normalise = TRUE, ...) {
  valid_fit(fit)
  no_dots(...)
  check_flag(normalise, "normalise")
  rows <- gmm_rows(fit)
  source <- gmm_reference_source(fit, reference)
  table <- report_table(fit, rows, source$kind,
    reference_sds(rows$variable, source$draws, variables))
  counts <- table$type != "derived" & !is.na(table$ratio_mfvb) & table$sd_mfvb > 0
  structure(
    list(
      table = table, aggregates = report_aggregates(table[counts, ], weights, normalise),
      reference = source$kind, weights = weights, normalise = normalise,
      formula = fit$model$call
    ),
    class = "sd_ratio_report"
  )
}

gmm_reference_source <- function(fit, reference) {
  if (!inherits(reference, "gmm_gibbs_fit")) return(reference_source(fit, reference))
  valid_fit(reference)
  same <- function(a, b) isTRUE(all.equal(a, b, tolerance = 1e-8))
  if (!same(fit$model$x, reference$model$x) || fit$model$k != reference$model$k) {
    mf_abort("report", "`fit` and `reference` have different data or numbers of components: ",
      "use fit_gibbs(fit)", arg = "reference")
  }
  if (!same(fit$model$prior, reference$model$prior)) {
    mf_abort("report", "`fit` and `reference` have different priors: use fit_gibbs(fit)",
      arg = "reference")
  }
  list(kind = "gibbs", draws = as_draws(reference))
}

#' @export
shortfall.gmm_vb_fit <- function(t, fit) {
  if (is.null(fit$posterior$cov_lrvb) || !gmm_skewed(fit)) return(rep("", nrow(t)))
  ifelse(t$variable %in% gmm_skewed_variables(fit), "overlap", "")
}
