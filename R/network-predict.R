# Predictions of Bayesian neural networks, from all points of the posterior.

#' Predictions of a Bayesian neural network
#'
#' @param object A fit of a [bnn()].
#' @param newdata Matrix or data frame with the columns of `x` (by name when it has names); the data
#'   of the fit by default.
#' @param type `"function"`: the mean f(x) of the response, or the probabilities of the classes.
#'   `"response"`: a new y of a Gaussian network, its noise included. `"class"`: the most probable
#'   class.
#' @param level Mass of the central intervals.
#' @param summary Return means, SDs and intervals rather than draws?
#' @param ... Not used.
#' @return A data frame with a row per row of `newdata` (of several classes: and per class, `row`
#'   and `class` say which; of two classes the probabilities are those of the second): `mean`, `sd`
#'   and the limits, `q2.5` and `q97.5`. With `summary = FALSE` a matrix points x values, which
#'   stand for equal shares of the posterior. `"class"`: a factor.
#' @section Errors: `meanfield_error_newdata` for missing columns or values;
#'   `meanfield_error_control` for a `type` that the family has not.
#' @details All points that the fit keeps (at most 4,000 draws of `fit_hmc()`) are averaged over;
#'   R's generator is not touched.
#' @examples
#' x <- matrix(seq(-2, 2, length.out = 30), dimnames = list(NULL, "x"))
#' y <- sin(2 * x[, 1]) + rep(c(-.1, .1), 15)
#' fit <- fit_vb(bnn(x, y, hidden = 5, sigma = .2), control = vb_control(steps = 500))
#' predict(fit, data.frame(x = c(-3, 0, 3)))
#' predict(fit, data.frame(x = c(-3, 0, 3)), type = "response")
#' @export
predict.bnn_fit <- function(object, newdata = NULL, type = c("function", "response", "class"),
                            level = 0.95, summary = TRUE, ...) {
  valid_fit(object)
  no_dots(...)
  type <- check_choice(type, c("function", "response", "class"), "type")
  check_level(level)
  check_flag(summary, "summary")
  task <- object$model$task
  if (type == "response" && task$kind != "gaussian" || type == "class" && task$kind == "gaussian") {
    mf_abort("control", "type = \"", type, "\" is not for family = \"", task$kind,
      "\": use type = ",
      "\"function\"", arg = "type")
  }
  x <- t(bnn_newdata(object$model, newdata))
  if (!summary && type != "class") {
    return(function_matrix(function_points(object, x), type, object$model))
  }
  out <- lapply(row_blocks(object, ncol(x)), function(rows) {
    points <- function_points(object, x[, rows, drop = FALSE])
    if (type == "class") most_probable(points, task$classes) else
      function_table(points, type, level, object$model)
  })
  if (type == "class") return(do.call(c, out))
  joined_rows(out, length(task$classes))
}

# Rows that are looked at together: a number per point of the posterior and class of each.
MOST_FUNCTION_VALUES <- 4e6
row_blocks <- function(fit, n) {
  values <- ncol(kept_points(fit)$z) * max(1L, length(fit$model$task$classes))
  per <- max(1, MOST_FUNCTION_VALUES %/% values)
  unname(split(seq_len(n), (seq_len(n) - 1) %/% per))
}

joined_rows <- function(tables, classes) {
  out <- do.call(rbind, tables)
  if (!is.null(out$row)) out$row <- rep(seq_len(nrow(out) / classes), each = classes)
  out
}

bnn_newdata <- function(model, newdata) {
  if (is.null(newdata)) return(t(model$task$x))
  columns <- matrix(0, 0L, length(model$task$columns), dimnames = list(NULL, model$task$columns))
  x <- newdata_matrix(columns, newdata)
  if (!nrow(x)) mf_abort("newdata", "`newdata` has no rows: give at least one", arg = "newdata")
  if (max(abs(x)) > 1e70) {
    mf_abort("newdata", "`newdata` has numbers beyond 1e70: scale() it as the data of the fit",
      arg = "newdata")
  }
  unname(x)
}

# list(f (values x points: means or probabilities, of several classes class by class within a row),
# weights, sigma (points), classes (their number)).
function_points <- function(fit, x) {
  at <- kept_points(fit)
  f <- network_values(fit$model, at$z, x)
  task <- fit$model$task
  p <- switch(task$kind, gaussian = f, binomial = stats::plogis(f), categorical = softmax(f))
  list(f = matrix(p, ncol = dim(f)[3L]), weights = at$weights, sigma = noise_sd(fit$model, at$z),
    classes = dim(f)[1L])
}

# f: outputs x rows x points.
softmax <- function(f) {
  k <- dim(f)[1L]
  m <- matrix(f, k)
  e <- exp(m - rep(apply(m, 2L, max), each = k))
  array(e / rep(colSums(e), each = k), dim(f))
}

noise_sd <- function(model, Z) {
  if (model$task$kind != "gaussian") return(NULL)
  known <- model$task$sigma$known
  if (!is.null(known)) return(rep(known, ncol(Z)))
  x <- constrained(model, Z)$x
  x[nrow(x), ]
}

kept_points <- function(fit, most = 4000L) {
  if (is.null(fit$z)) {
    use <- fit$points$weights > 0
    w <- fit$points$weights[use]
    return(list(z = fit$points$z[, use, drop = FALSE], weights = w / sum(w)))
  }
  n <- ncol(fit$z)
  at <- unique(round(seq(1, n, length.out = min(n, most))))
  list(z = fit$z[, at, drop = FALSE], weights = rep(1 / length(at), length(at)))
}

# ---- tables --------------------------------------------------------------------------------------

function_table <- function(points, type, level, model) {
  f <- points$f
  w <- points$weights
  mean <- drop(f %*% w)
  variance <- pmax(drop((f - mean)^2 %*% w), 0)
  if (type == "response") {
    spread <- matrix(points$sigma, length(w), nrow(f))
    variance <- variance + sum(w * points$sigma^2)
    q <- call_nest_quantiles(FALSE, w, t(f), spread, central_probs(level))
  } else {
    q <- apply(f, 1L, weighted_quantile, w, central_probs(level))
  }
  out <- data.frame(mean = mean, sd = sqrt(variance), q[1L, ], q[2L, ])
  names(out)[3:4] <- quantile_names(level)
  if (points$classes == 1L) return(out)
  rows <- nrow(f) / points$classes
  cbind(row = rep(seq_len(rows), each = points$classes),
    class = factor(rep(model$task$classes, rows), model$task$classes), out)
}

# Points of equal weight as rows; draws of a new y with noise of their own.
function_matrix <- function(points, type, model) {
  n <- length(points$weights)
  at <- findInterval((seq_len(n) - 0.5) / n, cumsum(points$weights), rightmost.closed = TRUE) + 1L
  at <- pmin(at, n)
  out <- t(points$f[, at, drop = FALSE])
  if (type == "response") {
    out <- out + points$sigma[at] * with_fixed_seed(matrix(stats::rnorm(length(out)), n))
  }
  rows <- ncol(out) / points$classes
  colnames(out) <- if (points$classes == 1L) seq_len(rows) else
    paste0(rep(seq_len(rows), each = points$classes), ":", model$task$classes)
  out
}

most_probable <- function(points, classes) {
  p <- drop(points$f %*% points$weights)
  at <- if (points$classes == 1L) 1L + (p > 0.5) else
    max.col(t(matrix(p, points$classes)), ties.method = "first")
  factor(classes[at], classes)
}
