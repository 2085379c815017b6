# How a projection is told and drawn.

#' @export
print.normal_projection <- function(x, digits = 4, ...) {
  digits <- check_count(digits, "digits", 1L, 15L)
  no_dots(...)
  table <- x$stationary
  n <- nrow(table)
  cat(if (x$direction == "reverse") "Reverse" else "Forward", " projection of a density of ", x$d,
    if (x$d == 1L) " dimension" else " dimensions", " onto a normal, ",
    if (x$direction == "reverse") "KL(q || p)" else "KL(p || q)", "\n", sep = "")
  cat(n, if (n == 1L) " stationary point" else " stationary points", "; log normaliser of p ",
    format_numbers(zero_small(x$log_normaliser, 1), digits), ", entropy ",
    format_numbers(x$entropy, digits), " nats; numerical error ", format_numbers(x$error, 1), "\n",
    sep = "")
  spread <- grep("^sd", names(table))
  centre <- grep("^mean", names(table))
  table[centre] <- Map(zero_small, table[centre], table[spread])
  table[-1L] <- lapply(table[-1L], function(v) format_numbers(zero_small(v, 1), digits))
  print.data.frame(table, row.names = FALSE)
  invisible(x)
}

# Rounding on the scale of `unit` is shown as what it is.
zero_small <- function(v, unit) ifelse(abs(v) < 1e-10 * unit, 0, v)

#' Draw a density and the normals closest to it
#'
#' In one dimension the densities, in two the contours of the density and of the normals. Minima are
#' solid, the lowest in blue; saddles are dashed, maxima dotted.
#'
#' @param x A [project_normal()].
#' @param types Which stationary points to draw.
#' @param probs In two dimensions, the contours: those that hold these shares of a normal.
#' @param xlab,ylab Titles of the axes.
#' @param legend Draw the legend?
#' @param ... Not used.
#' @return `x`, invisibly.
#' @section Errors: `meanfield_error_control` for an argument of another kind.
#' @seealso [project_normal()]
#' @examples
#' plot(project_normal(function(x) -(x^2 - 1)^2 * 5))
#' @export
plot.normal_projection <- function(x, types = c("minimum", "saddle", "maximum", "degenerate"),
                                   probs = c(0.5, 0.9), xlab = NULL, ylab = NULL, legend = TRUE,
                                   ...) {
  no_dots(...)
  known <- names(POINT_LINES)
  if (!is.character(types) || !length(types) || !all(types %in% known)) {
    mf_abort("control", "`types` must be some of ", quoted(known), ", not ", describe(types),
      arg = "types")
  }
  probs <- check_numbers(probs, "probs", 0, strict = TRUE)
  if (any(probs >= 1)) mf_abort("control", "`probs` must lie between 0 and 1", arg = "probs")
  legend <- check_flag(legend, "legend")
  look <- point_looks(x$stationary)
  look$shown <- x$stationary$type %in% types
  if (x$d == 1L) draw_curves(x, look, xlab %||% "x", ylab %||% "density", legend) else
    draw_ellipses(x, look, probs, xlab %||% expression(x[1]), ylab %||% expression(x[2]), legend)
  invisible(x)
}

POINT_LINES <- c(minimum = 1L, saddle = 2L, maximum = 3L, degenerate = 4L)

# The density black, what ends a climb blue or green, what does not orange.
point_looks <- function(table) {
  lowest <- table$kl < min(table$kl) + 1e-6
  colour <- ifelse(table$type != "minimum", method_colours[["mfvb"]],
    ifelse(lowest, method_colours[["lrvb"]], method_colours[["exact"]]))
  several <- sum(lowest & table$type == "minimum") < sum(table$type == "minimum")
  label <- ifelse(table$type != "minimum", table$type, if (!several) "minimum" else
    ifelse(lowest, "global minimum", "local minimum"))
  data.frame(colour, line = POINT_LINES[table$type], label)
}

looks_legend <- function(where, look) {
  look <- unique(look[look$shown, c("label", "colour", "line")])
  graphics::legend(where, c("density", look$label), bty = "n", lwd = 2,
    col = c(method_colours[["reference"]], look$colour), lty = c(1L, look$line))
}

# The box of the density and of the normals that are drawn, an axis in each column.
drawn_box <- function(x, look) {
  sd <- sqrt(apply(x$cov, 3L, diag))
  sd <- matrix(sd, ncol = x$d, byrow = TRUE)[look$shown, , drop = FALSE]
  mean <- x$mean[look$shown, , drop = FALSE]
  own <- sqrt(diag(tcrossprod(x$frame$root)))
  vapply(seq_len(x$d), function(k) {
    range(x$frame$centre[k] + c(-2.6, 2.6) * own[k], mean[, k] - 3 * sd[, k], mean[, k] +
      3 * sd[, k])
  }, c(0, 0))
}

normalised_density <- function(x, X) {
  exp(log_density_at(x$log_density, X, far = TRUE) - x$log_normaliser)
}

draw_curves <- function(x, look, xlab, ylab, legend) {
  at <- seq(drawn_box(x, look)[1L], drawn_box(x, look)[2L], length.out = 601)
  p <- normalised_density(x, as.matrix(at))
  shown <- which(look$shown)
  q <- vapply(shown, function(i) stats::dnorm(at, x$mean[i, 1L], sqrt(x$cov[1L, 1L, i])), at)
  top <- max(p, q)
  old <- graphics::par(mar = c(3.6, 4, 0.8, 0.6), mgp = c(2.4, 0.6, 0), las = 1)
  on.exit(graphics::par(old))
  graphics::plot(at, p, type = "l", lwd = 2, xlab = xlab, ylab = ylab, yaxs = "i",
    ylim = c(0, top * if (legend) 1.2 + 0.13 * length(unique(look$label)) else 1.05))
  for (k in seq_along(shown)) {
    graphics::lines(at, q[, k], lwd = 2, col = look$colour[shown[k]], lty = look$line[shown[k]])
  }
  if (legend) looks_legend("topright", look)
}

draw_ellipses <- function(x, look, probs, xlab, ylab, legend) {
  box <- drawn_box(x, look)
  axes <- lapply(1:2, function(k) seq(box[1L, k], box[2L, k], length.out = 121))
  X <- unname(as.matrix(expand.grid(axes, KEEP.OUT.ATTRS = FALSE)))
  p <- matrix(normalised_density(x, X), 121)
  old <- graphics::par(mar = c(3.6, 4, 0.8, 0.6), mgp = c(2.4, 0.6, 0), las = 1)
  on.exit(graphics::par(old))
  levels <- max(p) * c(0.02, 0.1, 0.3, 0.6, 0.9)
  graphics::contour(axes[[1L]], axes[[2L]], p, levels = levels, drawlabels = FALSE, xlab = xlab,
    ylab = ylab, col = method_colours[["reference"]], lwd = 0.7)
  for (i in which(look$shown)) for (share in probs) {
    ring <- normal_ring(x$mean[i, ], matrix(x$cov[, , i], 2L), share)
    graphics::lines(ring, col = look$colour[i], lty = look$line[i], lwd = 2)
  }
  if (legend) looks_legend("topleft", look)
}

# Points of the ellipse that holds a share of a bivariate normal.
normal_ring <- function(mean, cov, share) {
  angle <- seq(0, 2 * pi, length.out = 181)
  radius <- sqrt(stats::qchisq(share, 2))
  rep(mean, each = 181) + radius * cbind(cos(angle), sin(angle)) %*% chol(cov)
}
