# What the families of counts share. Weights multiply the log likelihood, as in glm().

count_response <- function(y, w, name) {
  if (is.matrix(y) && ncol(y) == 1L) y <- y[, 1L]
  ok <- is_plain_numeric(y) && all(is.finite(y))
  if (!ok || any(y < 0)) {
    mf_abort("response", "the response `", name, "` must be counts: finite numbers, none negative",
      arg = "formula")
  }
  if (any(y != round(y))) {
    mf_warn("response", "the response `", name, "` has values that are no whole numbers",
      arg = "formula")
  }
  list(y = as_plain_double(y), size = w %||% rep(1, length(y)))
}

# The log of the mean count, half a count away from the boundary, less what the offsets say of it.
linked_count <- function(y, size, offset) {
  top <- max(offset)
  log(sum(size * y) + 0.5) - top - log(sum(size * exp(offset - top)))
}

# A count of zero is never less likely for a lower mean.
count_pull <- function(y, size) -(y == 0)

# Whole numbers as R has them, where it can.
like_count <- function(prototype, size, w) {
  function(y) if (all(y <= .Machine$integer.max, na.rm = TRUE)) as_plain_integer(y) else y
}
