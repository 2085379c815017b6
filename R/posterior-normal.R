# A posterior that is one normal distribution: mean field and, beside it, linear response.

# A row per variable: those of variable_table(), and the normal approximations, of q and of linear
# response: loc, s_mfvb, s_lrvb on the variable's own scale (a link of sinh is normal itself here),
# mean_mfvb, sd_mfvb, mean_lrvb, sd_lrvb on the natural one; source: the one to report.
normal_rows <- function(p, u = FALSE) UseMethod("normal_rows")

#' @export
marginals.normal_posterior <- function(p, level = NULL, u = FALSE) {
  rows <- normal_rows(p, u)
  lr <- rows$source == "lrvb"
  out <- data.frame(
    variable = rows$variable,
    mean = ifelse(lr, rows$mean_lrvb, rows$mean_mfvb), sd = ifelse(lr, rows$sd_lrvb, rows$sd_mfvb),
    mean_mfvb = rows$mean_mfvb, sd_mfvb = rows$sd_mfvb, source = rows$source
  )
  if (!is.null(level)) {
    spread <- ifelse(lr, rows$s_lrvb, rows$s_mfvb)
    limits <- lapply(central_probs(level), normal_quantile, rows, spread, out$mean, out$sd)
    out[quantile_names(level)] <- limits
  }
  drop_unidentified(out, rows, p$model)
}

normal_quantile <- function(prob, rows, spread, mean, sd) {
  out <- inverse_link(rows$loc + stats::qnorm(prob) * spread, rows$link)
  b <- which(rows$link == "beta")
  out[b] <- mean[b] + stats::qnorm(prob) * sd[b]
  shape <- beta_shapes(mean[b], sd[b])
  wide <- which(shape$a + shape$b < BETA_MOST) # narrower than that it is a normal, or a point
  out[b[wide]] <- stats::qbeta(prob, shape$a[wide], shape$b[wide])
  out
}

BETA_MOST <- 1e10 # qbeta() has no digits left
beta_shapes <- function(mean, sd) {
  total <- pmin(pmax(mean * (1 - mean) / sd^2 - 1, 1e-3), BETA_MOST)
  list(a = mean * total, b = (1 - mean) * total)
}

#' @export
linear_mixture.normal_posterior <- function(p, parts) {
  at <- location(p)
  list(weights = 1, mean = as.matrix(drop(parts$X %*% at$mean) + parts$offset),
    var = as.matrix(rowSums((parts$X %*% at$cov) * parts$X)))
}
