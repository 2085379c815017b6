# Data that are a matrix of numbers: what a user hands over as one, and new rows of it.

# Column names that are unique, no row names. what: the kinds of `x` that are accepted, in words.
numeric_matrix <- function(x, what = "a numeric matrix or a data frame") {
  if (is.data.frame(x)) {
    bad <- names(x)[!vapply(x, is.numeric, NA)]
    if (length(bad)) {
      mf_abort("data", "column '", bad[1L], "' of `x` is not numeric: leave it out", arg = "x")
    }
    x <- as.matrix(x)
  }
  if (is.numeric(x) && is.null(dim(x))) x <- matrix(x, ncol = 1L)
  if (!is.numeric(x) || !is.matrix(x) || !ncol(x)) {
    mf_abort("data", "`x` must be ", what, ", not ", describe(x), arg = "x")
  }
  storage.mode(x) <- "double"
  bad <- which(!is.finite(x), arr.ind = TRUE)
  if (nrow(bad)) {
    mf_abort("data", "`x` has ", nrow(bad), " missing or infinite value", if (nrow(bad) > 1) "s",
      ", the first in row ", bad[1L, 1L], ": leave such rows out", arg = "x")
  }
  colnames(x) <- full_names(colnames(x), ncol(x)) # they name the variables
  rownames(x) <- NULL
  x
}

# Names of n columns: x1, x2, ... of those that have none, and no name twice.
full_names <- function(names, n) {
  names <- names %||% character(n)
  none <- is.na(names) | !nzchar(names)
  names[none] <- paste0("x", which(none))
  make.unique(names)
}

# scale: the columns' SDs.
check_varying <- function(x, centre, scale) {
  bad <- which(!(scale > 1e-12 * pmax(abs(centre), scale)))
  if (length(bad)) {
    mf_abort("rank", "column '", colnames(x)[bad[1L]], "' of `x` is constant: leave it out",
      arg = "x")
  }
}

# Rows with the columns of x, by name where newdata has names; x itself without newdata.
newdata_matrix <- function(x, newdata) {
  if (is.null(newdata)) return(x)
  names <- colnames(x)
  if (!is.null(colnames(newdata))) {
    colnames(newdata) <- full_names(colnames(newdata), ncol(newdata)) # as those of the fit
    lost <- setdiff(names, colnames(newdata))
    if (length(lost)) {
      mf_abort("newdata", "`newdata` has no column '", lost[1L], "'", arg = "newdata")
    }
    newdata <- newdata[, names, drop = FALSE]
  }
  x <- as.matrix(newdata)
  if (!is.numeric(x) || ncol(x) != length(names)) {
    mf_abort("newdata", "`newdata` must have the ", length(names), " numeric columns ",
      toString(utils::head(names, 6)), arg = "newdata")
  }
  if (any(!is.finite(x))) {
    mf_abort("newdata", "`newdata` has missing or infinite values: leave such rows out",
      arg = "newdata")
  }
  storage.mode(x) <- "double"
  x
}
