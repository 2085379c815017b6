# Families: the schema of a record, the table of those there are, and how others find theirs.
#
# A family is one record, in a file of its own (family-<name>.R): what R knows of a likelihood. The
# C core knows it by a number (likelihood_of() in src/model/likelihood.c). Nobody outside these
# files asks for a family by its name. eta is the linear predictor, mu the expected response (of one
# trial), size the trials or weights of rows, lead the parameter of the likelihood beside eta (NULL
# without). All functions take vectors. "rows:" marks what only a family of that engine needs.
#
#   name, link   as in the family objects of stats, which users pass and fits keep; make() makes one
#   engine       "gram": sums are sufficient, given the precisions the coefficients are normal, and
#                weights scale the precision of a row. "rows": the core reads the rows, and weights
#                multiply their log likelihood
#   codes        rows: numbers of the core, named by approximation. "gva": of normal expectations.
#                "pg": Polya-Gamma variables make it normal, for a bound and a sampler
#   closed_form  rows: are the normal expectations of the log likelihood closed forms?
#   lead         NULL, or list(name: as in priors(); precision: TRUE for one of residuals, with a
#                gamma factor and an SD sigma_e, FALSE for one with a normal factor on the log
#                scale; priors: kinds it may have; default: its prior, NULL for a half-t one)
#   whole        rows: are the y of response() whole numbers?
#   trials       is `size` a number of trials, and the response of a row a share of them?
#   residuals    the type that augment() shows
#   mean_label   what emmeans calls the expected response
#
#   response(y, w, name)      list(y, size) from the response and weights of a frame, or an error;
#                             no size of the Gaussian, whose weights stand in the sums
#   restore(prototype, size, w)  a function that makes such a response of the y of draws
#   linked(y, size, offset)   rows: a linear predictor to start from
#   pull(y, size)             rows: 1 where a larger eta never makes a row less likely, -1 where a
#                             smaller one does not, else 0
#   row_effects(size)         do the data tell the variance of effects with a level per row?
#   variance(mu, lead)        of a response of one trial or of weight one
#   deviance(y, mu, w, lead)  that of log_lik for a response y on the scale of mu, times w
#   log_lik(y, size, eta, lead), draw(mu, size, lead)  of the y of response()
#   cdf(y, size, mu, lead)    rows: P(response <= y)
#   bottom(size, mu, lead), top(size, mu, lead)  rows: where that is zero, and one to 12 digits
#   noise(size, mu, lead)     rows: SD of a response on the scale of eta
#   link_variance(lead, mean) residual variance of a row on the scale of eta, for icc() and r2().
#                             mean: of all responses, evaluated only where it is used

FAMILY_VALUES <- list(name = is.character, link = is.character, make = is.function,
  engine = function(x) x %in% c("gram", "rows"), codes = is.integer, closed_form = is.logical,
  lead = is.list, whole = is.logical, trials = is.logical, residuals = is.character,
  mean_label = is.character)

FAMILY_FUNCTIONS <- list(response = c("y", "w", "name"), restore = c("prototype", "size", "w"),
  linked = c("y", "size", "offset"), pull = c("y", "size"), row_effects = "size",
  variance = c("mu", "lead"), deviance = c("y", "mu", "w", "lead"),
  log_lik = c("y", "size", "eta", "lead"), draw = c("mu", "size", "lead"),
  cdf = c("y", "size", "mu", "lead"), bottom = c("size", "mu", "lead"),
  top = c("size", "mu", "lead"), noise = c("size", "mu", "lead"), link_variance = c("lead", "mean"))

FAMILY_LEAD <- c("name", "precision", "priors", "default")

# What is asked of families of the engine "rows" only.
FAMILY_ROWS <- c("codes", "closed_form", "whole", "linked", "pull", "cdf", "bottom", "top",
  "noise")

# A record whose fields are all there, and what they should be.
new_family <- function(record) {
  known <- c(names(FAMILY_VALUES), names(FAMILY_FUNCTIONS))
  free <- c("lead", if (identical(record$engine, "gram")) FAMILY_ROWS)
  wrong <- c(setdiff(known, c(names(record), free)), setdiff(names(record), known))
  wrong <- c(wrong, Filter(function(field) !is_sound_field(record, field),
    intersect(known, names(record))))
  if (!is.null(record$lead)) wrong <- c(wrong, setdiff(FAMILY_LEAD, names(record$lead)))
  if (length(wrong)) {
    mf_abort("family", "the record of the family '", record$name, "' lacks, or has wrong: ",
      toString(unique(wrong)), arg = "family")
  }
  record
}

is_sound_field <- function(record, field) {
  value <- record[[field]]
  if (field %in% names(FAMILY_VALUES)) return(isTRUE(all(FAMILY_VALUES[[field]](value))))
  is.function(value) && identical(names(formals(value)), FAMILY_FUNCTIONS[[field]])
}

# ---- the families there are -----------------------------------------------------------

FAMILIES <- lapply(list(
  gaussian = family_gaussian,
  binomial = family_binomial,
  poisson = family_poisson,
  neg_binomial = family_neg_binomial
), new_family)

# The record behind a family object, a model or a fit.
family_of <- function(x) {
  if (inherits(x, "meanfield_fit")) x <- x$model
  if (!inherits(x, "family")) x <- .subset2(x, "family") # for half of the time of $
  FAMILIES[[.subset2(x, "family")]]
}

has_rows <- function(x) family_of(x)$engine == "rows"

# Is a response normal about the linear predictor, with an SD sigma_e of its own?
has_sigma <- function(x) isTRUE(family_of(x)$lead$precision)

has_approximation <- function(x, name) name %in% names(family_of(x)$codes)

# Names of the parameters beside the linear predictor, of all families.
lead_names <- function() unlist(lapply(FAMILIES, function(f) f$lead$name), use.names = FALSE)

# A family object from a name, a function or an object; any other is an error.
check_family <- function(family) {
  if (is.character(family) && length(family) == 1L) family <- FAMILIES[[family]]$make
  if (is.function(family)) family <- tryCatch(family(), error = function(e) NULL)
  if (!is_known_family(family)) {
    links <- vapply(FAMILIES, `[[`, "", "link")
    calls <- paste0(names(FAMILIES), "()")
    mf_abort("family", "`family` must be ", toString(calls[-length(calls)]), " or ",
      calls[length(calls)], ", with its link here (", toString(paste(names(links), links)), ")",
      arg = "family")
  }
  family
}

is_known_family <- function(x) {
  inherits(x, "family") && isTRUE(x$family %in% names(FAMILIES)) &&
    identical(FAMILIES[[x$family]]$link, x$link)
}

# The response of a frame as the family codes it.
family_response <- function(frame, w, family) {
  out <- family_of(family)$response(.subset2(frame, 1L), w, names(frame)[1L])
  if (!is.null(out$size) && !any(out$size > 0)) {
    mf_abort("weights", "no row has any weight or trial", arg = "weights")
  }
  out
}

# Expected responses that are numbers: R draws and counts none of infinite mean.
MOST_COUNT <- 1e300
countable <- function(mu) pmin(mu, MOST_COUNT)

# For what is only there where sums are sufficient.
need_gram <- function(fit, what, instead) {
  if (!has_rows(fit)) return(invisible())
  mf_abort("family", what, " is for the Gaussian family; ", instead, arg = "object")
}
