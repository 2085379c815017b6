# What a family says of one response: its log density, deviance, and how far its values can be listed.

# Points x (rows x rule x nodes) of a Gauss-Hermite rule w at every node, as fine as the widest wants.
predictor_points <- function(mean, s) {
  widest <- max(s, 0, na.rm = TRUE)
  rule <- normal_rule(if (widest == 0) 1L else if (widest < .3) 7L else if (widest < 1) 15L else 31L)
  n <- length(rule$x)
  at <- rep(seq_len(ncol(mean)), each = n)
  z <- rep(rep(rule$x, ncol(mean)), each = nrow(mean))
  list(x = mean[, at, drop = FALSE] + s[, at, drop = FALSE] * z, w = rule$w)
}

# Expected counts that are numbers: R draws and counts none of infinite mean.
MOST_COUNT <- 1e300
countable <- function(mu) pmin(mu, MOST_COUNT)

# Times the weights; of the negative binomial family at the posterior mean of log phi.
unit_deviance <- function(family, y, mu, w, phi) {
  if (family$family != "neg_binomial") return(family$dev.resids(y, mu, w))
  2 * w * (y * log(pmax(1, y) / mu) - (y + phi) * log((y + phi) / (mu + phi)))
}

check_whole_trials <- function(size) {
  if (any(abs(size - round(size)) > 1e-3, na.rm = TRUE)) {
    mf_abort("weights", "there are responses of whole numbers of trials only: the fit has `weights` that are ",
      "none; give `weights` that are", arg = "weights")
  }
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
