# Fits without an answer: those that another version saved, whose classes are not those of today,
# and kinds of fits that a generic has no method for.

# Those of posterior, which is not loaded before it is needed.
DRAWS_GENERICS <- c("as_draws", paste0("as_draws_", c("array", "df", "list", "matrix", "rvars")))

# Generics of the methods "<generic>.<class>" of the package that it can see, without one for
# `other`.
generics_of <- function(class, other, ns) {
  suffix <- paste0(".", class)
  methods <- ls(ns, all.names = TRUE)
  own <- methods[endsWith(methods, suffix)]
  generics <- setdiff(substring(own, 1L, nchar(own) - nchar(suffix)), DRAWS_GENERICS)
  Filter(function(g) {
    exists(g, envir = ns, mode = "function") && !paste0(g, ".", other) %in% methods
  }, generics)
}

# When the package is loaded: what only fits of regression models answer is refused by others, and
# what all fits answer by mixtures of a version in which they were no `meanfield_fit`.
register_refusals <- function(ns) {
  for (g in generics_of("regression_fit", "meanfield_fit", ns)) {
    registerS3method(g, "meanfield_fit", "unanswered", envir = ns)
  }
  for (g in generics_of("meanfield_fit", "gmm_fit", ns)) {
    registerS3method(g, "gmm_fit", "of_this_version", envir = ns)
  }
  for (g in DRAWS_GENERICS) register_later("posterior", g, "gmm_fit", of_this_version)
}

unanswered <- function(...) {
  valid_fit(..1)
  mf_abort("engine", "a fit of this kind has no answer to that: see summary()", arg = "object")
}

of_this_version <- function(...) {
  valid_fit(..1)
  NextMethod()
}
