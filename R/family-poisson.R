# The Poisson family; see family.R for the fields.

family_poisson <- list(
  name = "poisson",
  link = "log",
  make = stats::poisson,
  engine = "rows",
  codes = c(gva = 1L),
  closed_form = TRUE,
  whole = TRUE,
  trials = FALSE,
  residuals = "deviance",
  mean_label = "rate",
  response = count_response,
  restore = like_count,
  linked = linked_count,
  pull = count_pull,
  row_effects = function(size) TRUE, # the normal-Poisson model: overdispersion
  variance = function(mu, lead) mu,
  deviance = function(y, mu, w, lead) stats::poisson()$dev.resids(y, mu, w),
  log_lik = function(y, size, eta, lead) size * log_poisson(y, eta),
  draw = function(mu, size, lead) stats::rpois(length(mu), mu),
  cdf = function(y, size, mu, lead) stats::ppois(y, mu),
  bottom = function(size, mu, lead) -1,
  top = function(size, mu, lead) ceiling(stats::qpois(1 - 1e-12, mu)) + 1,
  noise = function(size, mu, lead) sqrt(1 / mu),
  link_variance = function(lead, mean) log1p(1 / mean)
)

# Of counts that may be fractions, which dpois() refuses.
log_poisson <- function(y, eta) {
  whole <- y == round(y)
  out <- y * eta - exp(eta) - lgamma(y + 1)
  out[whole] <- stats::dpois(y[whole], exp(eta[whole]), log = TRUE)
  out
}
