# What a user calls on a fit of a Bayesian neural network.

#' Methods for fits of Bayesian neural networks
#'
#' Single weights are not identified, and summaries are of the function. Draws of the weights are
#' there, by [as_draws()] and [as.matrix()]; [tidy()] and [vcov()] are of weights too, and mean no
#' more than these.
#'
#' @param object,x A fit of a [bnn()].
#' @param level Mass of the central interval.
#' @param column The input along which the function is drawn, by name or number; the others stay at
#'   their means.
#' @param class The class whose probability is drawn, by name or number: the second by default.
#' @param n Number of points of the curve.
#' @param evaluate Evaluate the new call?
#' @param ... For `update()`: arguments of [bnn()] or of the fit. Otherwise not used.
#' @return `summary()`: what `predict()` returns at the data, with class `bnn_summary`. `nobs()`:
#'   rows. `update()`: a fit, or its call. `plot()`: `x`, invisibly.
#' @examples
#' x <- matrix(seq(-2, 2, length.out = 30), dimnames = list(NULL, "x"))
#' y <- sin(2 * x[, 1]) + rep(c(-.1, .1), 15)
#' fit <- fit_vb(bnn(x, y, hidden = 5, sigma = .2), control = vb_control(steps = 500))
#' summary(fit)
#' plot(fit)
#' update(fit, hidden = 3)
#' @name bnn-methods
NULL

#' @rdname bnn-methods
#' @export
summary.bnn_fit <- function(object, level = 0.95, ...) {
  no_dots(...)
  new_class(c("bnn_summary", "data.frame"), predict(object, level = level))
}

#' @export
print.bnn_summary <- function(x, digits = 3, ...) {
  no_dots(...)
  print_first_rows(new_class("data.frame", x), nrow(x), digits)
  invisible(x)
}

# p: the first rows, at least, of so many.
print_first_rows <- function(p, rows, digits) {
  print(utils::head(p, 10L), digits = digits)
  if (rows > 10L) cat("... and ", format(rows - 10, scientific = FALSE), " more\n", sep = "")
}

# Of the first rows of the data only: all of them can take minutes.
print_function <- function(fit, digits) {
  task <- fit$model$task
  n <- ncol(task$x)
  first <- t(task$x[, seq_len(min(n, 10L)), drop = FALSE])
  colnames(first) <- task$columns
  p <- predict(fit, first)
  print_first_rows(p, n * (nrow(p) / nrow(first)), digits)
}

#' @export
print.bnn_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  print_bnn_model(x$model)
  if (inherits(x, "target_hmc_fit")) {
    cat(HMC_WORDS[[x$method]], ": ", sep = "")
    print_sampler(x)
    cat("R-hat of the function at the data: ", format(x$function_rhat, digits = 4), " at most, of ",
      "an effective size of ", format(round(x$function_ess), big.mark = ","), " or more\n",
      sep = "")
  } else {
    print_approximation(x)
  }
  cat("\nThe function at the data (weights are not identified, and not shown):\n")
  print_function(x, digits)
  print_words(x)
  invisible(x)
}

print_approximation <- function(x) {
  mean_field <- identical(x$vb$approximation, "meanfield")
  cat(APPROXIMATION_WORDS[[x$vb$approximation]], ", ", source_words(x$table$source),
    if (is_one(x$vb$elbo)) paste0("; ELBO ", format_nats(x$vb$elbo)), "; ",
    format(round(x$seconds, 2)), " s\n", sep = "")
  if (mean_field) {
    cat("Mean field keeps weights independent: SDs of predictions may be two times too wide or ",
      "four times\ntoo narrow, in the same fit, and nothing here corrects them: see ",
      "predictive_report(fit, fit_hmc(fit))\n", sep = "")
  }
}

#' @rdname bnn-methods
#' @export
nobs.bnn_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  object$model$rows
}

# ---- how far off ---------------------------------------------------------------------------------

#' How far off are the predictions of an approximation?
#'
#' Compares, value by value, means and SDs of the function (or of class probabilities) of one fit of
#' a [bnn()] with those of a reference.
#'
#' @param fit,reference Fits of the same [bnn()], as by [fit_vb()] and [fit_hmc()].
#' @param newdata Where to compare, as in [predict.bnn_fit()]; at the data by default. Mean field
#'   errs differently among the data and away from them, so that both should be looked at.
#' @return A data frame of class `predictive_report`: the columns of [predict.bnn_fit()] that say
#'   which value, `mean`, `sd`, `mean_ref`, `sd_ref`, `offset` = (mean - mean_ref) / sd_ref and
#'   `ratio` = sd / sd_ref. Printing sums up both, and says in words what they mean. Probabilities
#'   whose reference mean is below .02 or above .98, where SDs say little, do not count there.
#' @section Errors: `meanfield_error_report` for fits of other data or another model.
#' @examples
#' x <- matrix(seq(-2, 2, length.out = 20), dimnames = list(NULL, "x"))
#' y <- sin(2 * x[, 1]) + rep(c(-.1, .1), 10)
#' model <- bnn(x, y, hidden = 4, sigma = .2)
#' fit <- fit_vb(model, control = vb_control(steps = 1000))
#' set.seed(1)
#' hmc <- suppressWarnings(fit_hmc(model, chains = 2, iter = 300, warmup = 150))
#' predictive_report(fit, hmc, newdata = data.frame(x = c(-3, -1, 0, 1, 3)))
#' @export
predictive_report <- function(fit, reference, newdata = NULL) {
  both <- list(fit = fit, reference = reference)
  for (arg in names(both)) {
    if (!inherits(both[[arg]], "bnn_fit")) {
      mf_abort("report", "`", arg, "` must be a fit of a bnn(), not ", describe(both[[arg]]),
        arg = arg)
    }
    valid_fit(both[[arg]])
  }
  same <- c("layers", "task", "prior_sd")
  if (!identical(fit$model[same], reference$model[same])) {
    mf_abort("report", "`reference` is a fit of other data, layers or priors: refit one of them",
      arg = "reference")
  }
  own <- predict(fit, newdata)
  ref <- predict(reference, newdata)
  out <- own[setdiff(names(own), c("q2.5", "q97.5"))]
  out$mean_ref <- ref$mean
  out$sd_ref <- ref$sd
  out$offset <- (out$mean - out$mean_ref) / out$sd_ref
  out$ratio <- out$sd / out$sd_ref
  structure(out, class = c("predictive_report", "data.frame"),
    probabilities = fit$model$task$kind != "gaussian")
}

#' @export
print.predictive_report <- function(x, digits = 2, ...) {
  no_dots(...)
  counts <- !attr(x, "probabilities") | (x$mean_ref >= 0.02 & x$mean_ref <= 0.98)
  counts <- counts & is.finite(x$ratio)
  number <- function(v) format(v, digits = digits)
  cat(nrow(x), " predictions", if (!all(counts)) paste0(", of which ", sum(counts), " count"), "\n",
    sep = "")
  if (!any(counts)) return(invisible(x))
  offset <- x$offset[counts]
  ratio <- x$ratio[counts]
  cat("Means are off by ", number(sqrt(mean(offset^2))), " reference SDs (root mean square), ",
    number(max(abs(offset))), " at most\n", "SDs are ", number(min(ratio)), " to ",
    number(max(ratio)), " times the reference's, median ", number(stats::median(ratio)), "\n",
    sep = "")
  cat(ratio_words(ratio), "\n", sep = "")
  invisible(x)
}

ratio_words <- function(ratio) {
  narrow <- mean(ratio < 0.8)
  wide <- mean(ratio > 1.25)
  share <- function(x) paste0(format(100 * x, digits = 2), "%")
  if (narrow == 0 && wide == 0) return("All are within a quarter of the reference's")
  paste0(if (narrow > 0) paste0(share(narrow), " are too narrow (below .8)"),
    if (narrow > 0 && wide > 0) ", ", if (wide > 0) paste0(share(wide), " too wide (above 1.25)"),
    if (narrow > 0 && wide > 0) ": a median near one would hide both", "; none is corrected")
}

# ---- refusals ------------------------------------------------------------------------------------

#' @export
sd_ratio_report.bnn_fit <- function(fit, reference = NULL, ...) {
  mf_abort("report", "weights of a network are not identified, and their SDs say nothing: see ",
    "predictive_report()", arg = "fit")
}

#' @export
fit_exact.bnn <- function(object, ...) {
  mf_abort("engine", "the posterior of a network has a copy for every exchange of its units, and ",
    "is not integrated: use fit_hmc()", arg = "object")
}

#' @export
fit_exact.bnn_fit <- function(object, ...) fit_exact.bnn(valid_fit(object)$model)

# ---- plot ----------------------------------------------------------------------------------------

#' @rdname bnn-methods
#' @export
plot.bnn_fit <- function(x, column = 1, level = 0.95, class = NULL, n = 201, ...) {
  valid_fit(x)
  no_dots(...)
  n <- check_count(n, "n", 2, 10000)
  task <- x$model$task
  at <- which_column(column, task$columns)
  which <- which_class(class, task)
  range <- range(task$x[at, ])
  inputs <- matrix(rowMeans(task$x), n, nrow(task$x), byrow = TRUE,
    dimnames = list(NULL, task$columns))
  inputs[, at] <- seq(range[1L] - diff(range) / 4, range[2L] + diff(range) / 4, length.out = n)
  p <- predict(x, inputs, level = level)
  if (!is.null(p$class)) p <- p[as.integer(p$class) == which, ]
  data <- switch(task$kind, gaussian = task$y, task$y == which - 1)
  draw_band(inputs[, at], p, task$x[at, ], data, task$columns[at],
    if (task$kind == "gaussian") "y" else paste0("P(", task$classes[which], ")"))
  invisible(x)
}

which_column <- function(column, columns) {
  at <- if (is.character(column)) match(column, columns) else column
  ok <- is.numeric(at) && length(at) == 1L && at %in% seq_along(columns)
  if (!ok) {
    mf_abort("control", "`column` must be one of ", toString(columns), ", or its number",
      arg = "column")
  }
  at
}

# The number of the class; NULL of numbers.
which_class <- function(class, task) {
  if (task$kind == "gaussian") return(NULL)
  if (is.null(class) || task$kind == "binomial") return(2L)
  at <- if (is.numeric(class)) class else match(as.character(class), task$classes)
  ok <- length(at) == 1L && at %in% seq_along(task$classes)
  if (!ok) {
    mf_abort("control", "`class` must be one of ", toString(task$classes), ", or its number",
      arg = "class")
  }
  at
}

draw_band <- function(at, p, x, y, xlab, ylab) {
  limits <- p[, ncol(p) - 1:0]
  graphics::plot(range(at), range(limits, y), type = "n", las = 1, xlab = xlab, ylab = ylab)
  graphics::polygon(c(at, rev(at)), c(limits[[1L]], rev(limits[[2L]])), border = NA,
    col = grDevices::adjustcolor(method_colours[["mfvb"]], 0.25))
  graphics::lines(at, p$mean, lwd = 2, col = method_colours[["mfvb"]])
  graphics::points(x, y, pch = 16, cex = 0.7)
}

# ---- update --------------------------------------------------------------------------------------

#' @rdname bnn-methods
#' @export
update.bnn_fit <- function(object, ..., evaluate = TRUE) {
  valid_fit(object)
  written <- lasting_args(as.list(match.call(expand.dots = FALSE)$...), NULL, parent.frame(),
    globalenv())
  updated_fit(object, bnn, updated_bnn, list(...), written, evaluate, parent.frame())
}

# Not by modifyList(), which would keep columns of an old data frame beside the new one's.
updated_bnn <- function(old, new) {
  do.call(bnn, c(new, old$given[setdiff(names(old$given), names(new))]))
}
