# The Gaussian family: sums are all that its likelihood needs, and the weights of rows scale their
# precision. See family.R for the fields.

family_gaussian <- list(
  name = "gaussian",
  link = "identity",
  make = stats::gaussian,
  engine = "gram",
  lead = list(name = "tau_e", precision = TRUE, priors = c("gamma", "half_t"), default = NULL),
  trials = FALSE,
  residuals = "response",
  mean_label = "response",
  response = function(y, w, name) list(y = numeric_response(y, name)),
  restore = function(prototype, size, w) identity,
  row_effects = function(size) FALSE,
  variance = function(mu, lead) rep_len(1 / lead, length(mu)),
  deviance = function(y, mu, w, lead) w * (y - mu)^2,
  log_lik = function(y, size, eta, lead) {
    stats::dnorm(y, eta, (1 / sqrt(lead)) * (1 / sqrt(size)), log = TRUE)
  },
  draw = function(mu, size, lead) {
    mu + stats::rnorm(length(mu)) * (1 / sqrt(ifelse(size > 0, size, NA))) / sqrt(lead)
  },
  link_variance = function(lead, mean) 1 / lead
)

numeric_response <- function(y, name) {
  if (is.matrix(y) && ncol(y) == 1L) y <- y[, 1L]
  other <- is.object(y) && inherits(y, c("factor", "Date", "POSIXt"))
  if (!is.numeric(y) || is.matrix(y) || other) {
    mf_abort("response", "the response `", name, "` must be a numeric vector, not ",
      if (is.matrix(y)) "a matrix" else class(y)[1L],
      ": convert it to numbers first", arg = "formula")
  }
  as_plain_double(y)
}
