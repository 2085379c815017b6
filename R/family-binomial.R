# The binomial family: successes among trials (`size`), logit link; see family.R for the fields.

family_binomial <- list(
  name = "binomial",
  link = "logit",
  make = stats::binomial,
  engine = "rows",
  codes = c(gva = 0L, pg = 3L),
  closed_form = FALSE,
  whole = TRUE,
  trials = TRUE,
  residuals = "deviance",
  mean_label = "prob",
  response = function(y, w, name) binomial_response(y, w, name),
  restore = function(prototype, size, w) like_trials(prototype, size, w),
  linked = function(y, size, offset) {
    stats::qlogis((sum(y) + 0.5) / (sum(size) + 1)) - sum(size * offset) / sum(size)
  },
  pull = function(y, size) (y == size) - (y == 0),
  row_effects = function(size) any(size > 1), # a single trial is 0 or 1, whatever varies behind it
  variance = function(mu, lead) mu * (1 - mu),
  deviance = function(y, mu, w, lead) stats::binomial()$dev.resids(y, mu, w),
  log_lik = function(y, size, eta, lead) lchoose_real(size, y) + y * eta - size * log1p_exp(eta),
  draw = function(mu, size, lead) {
    check_whole_trials(size)
    stats::rbinom(length(mu), as.integer(round(size)), mu)
  },
  cdf = function(y, size, mu, lead) stats::pbinom(y, size, mu),
  bottom = function(size, mu, lead) -1,
  top = function(size, mu, lead) ceiling(size),
  noise = function(size, mu, lead) sqrt(1 / (size * mu * (1 - mu))),
  link_variance = function(lead, mean) pi^2 / 3 # of the logistic distribution, of a latent trial
)

binomial_response <- function(y, w, name) {
  if (is.matrix(y) && ncol(y) == 2L) return(success_failure(y, w, name))
  if (is.matrix(y) && ncol(y) == 1L) y <- y[, 1L]
  if (is.factor(y)) {
    if (nlevels(y) > 2L) y <- y[, drop = TRUE]
    if (nlevels(y) > 2L) {
      mf_abort("response", "the response `", name, "` of a binomial family is a factor of ",
        nlevels(y), " levels (", toString(utils::head(levels(y), 5)), "): say what counts as a ",
        "success, as in I(", name, " != \"", levels(y)[1L], "\")",
        arg = "formula")
    }
    y <- as.double(y != levels(y)[1L])
  } else if (is.logical(y)) {
    y <- as.double(y)
  }
  ok <- is_plain_numeric(y) && all(is.finite(y))
  if (!ok || any(y < 0 | y > 1)) {
    mf_abort("response", "the response `", name, "` of a binomial family must be 0/1, logical, a ",
      "factor, a proportion (with the trials as `weights`) or cbind(success, failure)",
      arg = "formula")
  }
  size <- w %||% rep(1, length(y))
  if (any(abs(y * size - round(y * size)) > 1e-3)) {
    mf_warn("response", "some proportions times their `weights` are no whole numbers of ",
      "successes", arg = "weights")
  }
  list(y = as_plain_double(y * size), size = size)
}

success_failure <- function(y, w, name) {
  if (!is.numeric(y) || any(!is.finite(y)) || any(y < 0)) {
    mf_abort("response", "cbind(success, failure) `", name, "` must hold finite numbers, none ",
      "negative", arg = "formula")
  }
  w <- w %||% 1
  list(y = as.double(y[, 1L] * w), size = as.double((y[, 1L] + y[, 2L]) * w))
}

check_whole_trials <- function(size) {
  if (any(abs(size - round(size)) > 1e-3, na.rm = TRUE)) {
    mf_abort("weights", "there are responses of whole numbers of trials only: the fit has ",
      "`weights` that are none; give `weights` that are", arg = "weights")
  }
}

# ---- responses again from numbers of successes --------------------------------------------

like_trials <- function(prototype, size, w) {
  if (is_pair(prototype)) return(function(y) like_pair(y, size, w %||% 1, prototype))
  if (is.factor(prototype) || is.logical(prototype)) return(like_label(size, prototype))
  size[size == 0] <- NA
  whole <- is.integer(prototype) && all(size == 1, na.rm = TRUE)
  function(y) if (whole) as_plain_integer(y) else y / size
}

# Weights multiply both columns when the pair is fitted.
like_pair <- function(y, size, w, like) {
  w[w == 0] <- 1
  structure(cbind(y, size - y) / w, dimnames = list(NULL, colnames(like)))
}

like_label <- function(size, like) {
  if (any(size != 1)) {
    mf_abort("response", "a ", if (is.factor(like)) "factor" else "logical", " response with ",
      "`weights` cannot be simulated as one: fit cbind(success, failure)", arg = "object")
  }
  if (is.logical(like)) return(function(y) y > 0)
  outcome <- attr(like, "outcome")
  function(y) factor(outcome[y + 1], levels = levels(like), ordered = is.ordered(like))
}
