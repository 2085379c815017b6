# The Gram: sufficient statistics of the Gaussian model, from one pass over rows.
#
# Fields (p columns of X, G groups, r = 1 leaf coefficient per group):
#   n, sum_w, sum_log_w   rows of positive weight, their weights
#   mean    (p + 1)       weighted means of the columns of X and of y
#   cross   (p + 1)^2     weighted cross-products about the means
#   zz, z1, zv            per group: sum w, sum w, sum w (v - mean); see lmm_gram.h
#   x_names, levels       column names of X; group levels

new_gram <- function(raw, x_names, levels, r = 1L) {
  structure(
    list(
      n = raw$head[1L], sum_w = raw$head[2L], sum_log_w = raw$head[3L],
      mean = raw$mean, cross = raw$cross, zz = raw$zz, z1 = raw$z1, zv = raw$zv,
      x_names = x_names, levels = levels, r = r
    ),
    class = "meanfield_gram"
  )
}

# rows: list(X, y, offset, w, codes, levels); codes are 1-based or NULL.
gram_of_rows <- function(rows) {
  raw <- call_gram(rows$X, rows$y, rows$offset, rows$w, rows$codes, length(rows$levels))
  if (raw$status != 0) mf_interrupt()
  new_gram(raw, colnames(rows$X), rows$levels)
}

# Two Grams over disjoint rows of the same columns add up; groups are matched by
# level, in the order of first appearance.
#' @export
"+.meanfield_gram" <- function(e1, e2) {
  if (!inherits(e1, "meanfield_gram") || !inherits(e2, "meanfield_gram") ||
    !identical(e1$x_names, e2$x_names) || e1$r != e2$r) {
    mf_abort("gram", "only two Grams with the same columns can be added")
  }
  levels <- union(e1$levels, e2$levels)
  as_raw <- function(g) c(list(head = c(g$n, g$sum_w, g$sum_log_w)), unclass(g))
  raw <- call_gram_merge(as_raw(e1), as_raw(e2), match(e1$levels, levels) - 1L,
    match(e2$levels, levels) - 1L, length(levels), e1$r)
  new_gram(raw, e1$x_names, levels, e1$r)
}

#' @export
print.meanfield_gram <- function(x, ...) {
  cat("Gram of ", format(x$n, big.mark = ","), " rows, ", length(x$x_names),
    " columns", if (length(x$levels)) paste0(", ", length(x$levels), " groups"), "\n",
    sep = "")
  invisible(x)
}

# The scales that default priors are made of, all from the Gram.
gram_scales <- function(gram) {
  p <- length(gram$x_names)
  n <- gram$n
  variance <- diag(gram$cross) / gram$sum_w * (if (n > 1) n / (n - 1) else 1)
  sds <- sqrt(pmax(variance, 0))
  sds[sds <= 1e-13 * abs(gram$mean)] <- 0
  sd_x <- sds[seq_len(p)]
  mean_x <- abs(gram$mean[seq_len(p)])
  constant <- sd_x == 0
  sd_x[constant] <- ifelse(mean_x[constant] > 0, mean_x[constant], 1)
  list(
    sd_y = sds[p + 1L], mean_y = gram$mean[p + 1L], sd_x = sd_x, constant = constant,
    row_scale = sqrt(gram$sum_w / n)
  )
}
