# The negative binomial family of mean mu and variance mu + mu^2 / phi; see family.R for the fields.

#' Negative binomial family
#'
#' Counts with mean mu and variance mu + mu^2 / phi, log link: the family of
#' `fit_vb(family = neg_binomial())`. The dispersion phi is estimated; its prior is the `phi` of
#' [priors()].
#'
#' @return An object of class `family`, for the `family` argument of [fit_vb()] and [fit_gibbs()].
#' @examples
#' neg_binomial()
#' @export
neg_binomial <- function() {
  pois <- stats::poisson()
  structure(
    c(list(family = "neg_binomial"), pois[c("link", "linkfun", "linkinv", "mu.eta", "valideta",
      "validmu")]),
    class = "family"
  )
}

family_neg_binomial <- list(
  name = "neg_binomial",
  link = "log",
  make = neg_binomial,
  engine = "rows",
  codes = c(gva = 2L),
  closed_form = FALSE,
  lead = list(name = "phi", precision = FALSE, priors = "gamma",
    default = list(kind = "gamma", shape = 1, rate = 0.1)),
  whole = TRUE,
  trials = FALSE,
  residuals = "deviance",
  mean_label = "response",
  response = count_response,
  restore = like_count,
  linked = linked_count,
  pull = count_pull,
  row_effects = function(size) TRUE,
  variance = function(mu, lead) mu + mu^2 / lead,
  deviance = function(y, mu, w, lead) {
    2 * w * (y * log(pmax(1, y) / mu) - (y + lead) * log((y + lead) / (mu + lead)))
  },
  log_lik = function(y, size, eta, lead) size * log_neg_binomial(y, lead, eta),
  draw = function(mu, size, lead) stats::rnbinom(length(mu), size = lead, mu = mu),
  cdf = function(y, size, mu, lead) stats::pnbinom(y, size = lead, mu = mu),
  bottom = function(size, mu, lead) -1,
  top = function(size, mu, lead) {
    ceiling(if (is.finite(lead)) stats::qnbinom(1 - 1e-12, size = lead, mu = mu) else
      stats::qpois(1 - 1e-12, mu)) + 1
  },
  noise = function(size, mu, lead) sqrt(1 / mu + 1 / lead),
  link_variance = function(lead, mean) log1p(1 / mean + 1 / lead)
)

# Of counts that may be fractions, which dnbinom() refuses.
log_neg_binomial <- function(y, phi, eta) {
  whole <- y == round(y)
  phi <- rep_len(phi, length(y))
  out <- lgamma(y + phi) - lgamma(phi) - lgamma(y + 1) - phi * log1p(exp(eta) / phi) -
    y * log1p_exp(log(phi) - eta)
  out[whole] <- stats::dnbinom(y[whole], size = phi[whole], mu = exp(eta[whole]), log = TRUE)
  out
}
