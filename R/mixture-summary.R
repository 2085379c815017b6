# Posterior moments of a mixture: derived variables, summaries, the report, print.

#' @export
posterior_of.gmm_vb_fit <- function(fit) normal_of(fit)

#' @export
posterior_of.gmm_gibbs_fit <- function(fit) draws_posterior(fit)

#' @export
normal_of.gmm_vb_fit <- function(fit) {
  normal_posterior(c(fit[c("model", "vb", "linearity")], fit$posterior), "gmm_normal")
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
gmm_derived <- function(p) {
  v <- p$variables
  n <- ncol(p$model$x)
  weights <- if (p$model$k > 1L) pi_map(p$vb$alpha) else
    list(mean = 1, D = matrix(0), var = 0, rest = matrix(0))
  own <- v$kind == "log_pi"
  c(
    list(c(weights, list(at = which(own), names = renamed(v$variable[own], "log_pi", "pi")))),
    lapply(seq_len(p$model$k), function(k) {
      own <- v$term == k & v$kind == "Lambda"
      c(sigma_map(matrix(p$vb$L[, , k], n), p$vb$df[k]),
        list(at = which(v$term == k & v$kind %in% c("Lambda", "log_det")),
          names = renamed(v$variable[own], "Lambda", "Sigma")))
    })
  )
}

# Means and SDs of all variables.
gmm_moments <- function(p) {
  derived <- gmm_derived(p)
  named <- function(f) unlist(lapply(derived, function(m) stats::setNames(f(m), m$names)))
  sds <- function(V, f) sqrt(pmax(c(diag(V), named(f)), 0))
  lr <- p$cov_lrvb
  list(mean = c(p$mean, named(function(m) m$mean)),
    sd_mfvb = sds(p$cov_mfvb, function(m) m$var),
    sd_lrvb = if (!is.null(lr)) sds(lr, function(m) derived_variance(m, lr[m$at, m$at])))
}

# Of the derived variables m, given the covariance V of the core's. Columns that are nearly
# collinear leave the difference without digits: then it is that under q.
derived_variance <- function(m, V) {
  from <- rowSums((m$D %*% V) * m$D)
  out <- diag(m$rest) + from
  lost <- which(out < 1e-8 * from)
  out[lost] <- m$var[lost]
  out
}

gmm_covariance <- function(p, type) {
  p[[paste0("cov_", type)]] %||% mf_abort("engine", "linear response failed for this fit: use ",
    "`type = \"mfvb\"`", arg = "type")
}

#' @export
location.gmm_normal <- function(p, type = "lrvb") {
  own <- p$variables$kind == "mu"
  list(mean = p$mean[own], cov = gmm_covariance(p, type)[own, own, drop = FALSE])
}

# Where linear response failed, by q itself, as the summary.
#' @export
linear_mixture.gmm_normal <- function(p, parts) {
  p$cov_lrvb <- p$cov_lrvb %||% p$cov_mfvb
  linear_mixture.normal_posterior(p, parts)
}

# Derived variables included.
#' @export
covariance.gmm_normal <- function(p, type = "lrvb") {
  V <- gmm_covariance(p, type)
  n <- nrow(V)
  derived <- gmm_derived(p)
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
  o <- match(variable_table(p$model)$variable, names)
  out[o, o]
}

# Diagonals of precision and covariance matrices are log-normal, weights beta, with the moments
# given; everything else is normal.
#' @export
normal_rows.gmm_normal <- function(p, u = FALSE) {
  v <- variable_table(p$model)
  m <- gmm_moments(p)
  at <- match(v$variable, names(m$mean))
  mean <- unname(m$mean[at])
  corrected <- !is.null(m$sd_lrvb)
  mfvb <- unname(m$sd_mfvb[at])
  lrvb <- if (corrected) unname(m$sd_lrvb[at]) else rep(NA_real_, length(at))
  positive <- v$link == "exp"
  spread <- function(s) ifelse(positive, sqrt(log1p((s / mean)^2)), s)
  loc <- ifelse(positive, log(abs(mean)) - spread(if (corrected) lrvb else mfvb)^2 / 2, mean)
  list2DF(c(v, numbers(loc, spread(mfvb), spread(lrvb), list(mean = mean, sd = mfvb),
    list(mean = mean, sd = lrvb), if (corrected) "lrvb" else "mfvb")))
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
  } else if (gmm_skewed(normal_of(x))) {
    cat("The components overlap: the posterior is skewed, and linear response only a lower ",
      "bound
for ", toString(utils::head(gmm_skewed_variables(normal_of(x)), 4)), ", ...; ",
      "see sd_ratio_report().
", sep = "")
  }
  invisible(x)
}

# Means and weights; nothing of the precision matrices.
print_components <- function(x, s, digits) {
  v <- variable_table(x$model)
  shown <- which(v$kind %in% c("mu", "pi"))
  show <- s[shown[order(v$term[shown])], ]
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

gmm_skewed <- function(p) {
  slope <- p$linearity$slope
  !is.null(slope) && (abs(diff(slope)) > SKEWED_DIFFERENCE || abs(mean(slope) - 1) > SKEWED_MEAN)
}

# Those with more than a tenth of their variance in that direction, or that linear response widens
# by more than a tenth.
gmm_skewed_variables <- function(p) {
  total <- diag(p$cov_lrvb)
  weak <- p$direction^2 > 0.1 * total | diag(p$cov_mfvb) < 0.81 * total
  v <- p$variables[weak, ]
  of <- function(kind, as) renamed(v$variable[v$kind == kind], kind, as)
  c(v$variable, of("log_pi", "pi"), of("Lambda", "Sigma"))
}

#' @export
report_types.gaussian_mixture <- function(model) c(mu = 1, Lambda = 1, log_pi = 1) / 3

#' @export
check_same_model.gaussian_mixture <- function(a, b) {
  if (!inherits(b, "gaussian_mixture") || !same(a$x, b$x) || a$k != b$k) {
    refuse_reference("have different data or numbers of components")
  }
  if (!same(a$prior, b$prior)) refuse_reference("have different priors")
}

#' @export
shortfall.gmm_normal <- function(p, t) {
  if (is.null(p$cov_lrvb) || !gmm_skewed(p)) return(rep("", nrow(t)))
  ifelse(t$variable %in% gmm_skewed_variables(p), "overlap", "")
}
