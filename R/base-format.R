# Numbers and tables as text, the columns that every summary has, and one colour per method
# everywhere (Okabe and Ito's palette, safe for colour-blind readers).

named_rows <- function(row.names, x) {
  if (is.null(row.names)) return(x)
  if (length(row.names) != nrow(x) || anyDuplicated(row.names) || anyNA(row.names)) {
    mf_abort("control", "`row.names` must be ", nrow(x), " different names, one per row",
      arg = "row.names")
  }
  rownames(x) <- row.names
  x
}

method_colours <- c(mfvb = "#E69F00", lrvb = "#0072B2", refined = "#CC79A7", exact = "#009E73",
  reference = "#000000", gibbs = "#000000", hmc = "#000000", prior = "#999999")
method_lines <- c(mfvb = 3L, lrvb = 1L, refined = 1L, exact = 5L, reference = 1L, gibbs = 1L,
  hmc = 1L)
method_labels <- c(mfvb = "MFVB", lrvb = "LRVB", refined = "refined", exact = "exact",
  reference = "reference", gibbs = "Gibbs", hmc = "HMC")

# A data frame as it stands. `...`: arguments of print.data.frame() and print.default().
print_table <- function(x, ..., row.names = FALSE) {
  known_dots(c("digits", "quote", "right", "max", "na.print", "print.gap", "zero.print",
    "justify"), ...)
  print.data.frame(x, row.names = row.names, ...)
}

new_summary <- function(x) {
  rownames(x) <- NULL
  structure(x, class = c("meanfield_summary", "data.frame"))
}

#' @export
as.data.frame.meanfield_summary <- function(x, row.names = NULL, optional = FALSE, ...) {
  known_dots("stringsAsFactors", ...)
  class(x) <- "data.frame"
  attr(x, "khat") <- NULL
  named_rows(row.names, x)
}

format_numbers <- function(v, digits = 3) {
  digits <- check_count(digits, "digits", 1L, 22L)
  vapply(v, function(x) format(signif(x, digits), digits = digits), "")
}

as_tibble_if_possible <- function(x) {
  if (requireNamespace("tibble", quietly = TRUE)) tibble::as_tibble(x) else x
}
