# Evaluates a target at blocks of points: the only way in which engines see it.
#
# The user's functions may fail anywhere. An error, NaN or an infinite density is a density of zero,
# counted; a loop over the points stands inside one tryCatch(), which is entered anew after an error
# only, so that a point costs no more than its own call.

# ev(Z, gradient): Z a column per point; list(lp, gradient: d x n or NULL). lp holds the log
# Jacobian and is never NaN; the gradient is NA where lp is -Inf. scale: standard deviations of the
# coordinates where they are known, for the steps of differences.
evaluator <- function(target, scale = NULL) {
  count <- new_counts()
  ask <- asked_functions(target)
  step <- difference_step(target, scale)
  ev <- function(Z, gradient = TRUE) {
    evaluate(target, ask, as_points(target, Z), gradient, step, count)
  }
  structure(ev, counts = count)
}

# evb(Z, i, gradient): the same from the rows i of the data, weighted to stand for all of them.
batch_evaluator <- function(target) {
  if (is.null(target$rows)) {
    mf_abort("control", "the target has no rows: give `rows` and `log_lik` to target()",
      arg = "rows")
  }
  count <- new_counts()
  step <- difference_step(target, NULL)
  evb <- function(Z, i, gradient = TRUE) {
    ask <- asked_functions(target, i, target$rows / length(i))
    evaluate(target, ask, as_points(target, Z), gradient, step, count)
  }
  structure(evb, counts = count)
}

# list(values, gradients, failures, warnings, message): how often was asked, and what came of it;
# message: of the first failure.
evaluator_counts <- function(ev) as.list(attr(ev, "counts"))[COUNTED]

COUNTED <- c("values", "gradients", "failures", "warnings", "message")

new_counts <- function() {
  list2env(list(values = 0, gradients = 0, failures = 0, warnings = 0, message = NA_character_),
    parent = emptyenv())
}

note_failure <- function(count, message, n = 1) {
  count$failures <- count$failures + n
  if (is.na(count$message)) count$message <- message
}

# Runs expr without its warnings, which are counted.
quietly <- function(expr, count) {
  withCallingHandlers(expr, warning = function(w) {
    count$warnings <- count$warnings + 1
    invokeRestart("muffleWarning")
  })
}

# ---- the log density -----------------------------------------------------------------------------

evaluate <- function(target, ask, Z, gradient, step, count) {
  own <- gradient && !is.null(ask$gradient)
  at <- constrained(target, Z)
  answer <- ask_inside(ask, at$x, own, count)
  lp <- answer$lp + at$log_jacobian
  if (anyNA(lp)) lp[is.na(lp)] <- -Inf # an infinite Jacobian
  count$gradients <- count$gradients + if (gradient) length(lp) else 0
  if (!gradient) return(list(lp = lp, gradient = NULL))
  g <- if (own) {
    pulled(target, Z, answer$gradient)
  } else {
    value <- function(Z) evaluate(target, ask, Z, FALSE, step, count)$lp
    difference_gradient(Z, lp, value, step)
  }
  none <- lp == -Inf
  if (any(none)) g[, none] <- NA
  list(lp = lp, gradient = g)
}

# Where a parameter overflows there is no density, and nobody is asked.
ask_inside <- function(ask, x, slope, count) {
  if (is.finite(sum(x))) return(ask_all(ask, x, slope, count))
  inside <- colSums(!is.finite(x)) == 0
  out <- no_answer(x, slope)
  if (any(inside)) {
    answer <- ask_all(ask, x[, inside, drop = FALSE], slope, count)
    out$lp[inside] <- answer$lp
    if (slope) out$gradient[, inside] <- answer$gradient
  }
  out
}

no_answer <- function(x, slope) {
  list(lp = rep(-Inf, ncol(x)), gradient = if (slope) matrix(NA_real_, nrow(x), ncol(x)))
}

ask_all <- function(ask, x, slope, count) {
  count$values <- count$values + ncol(x)
  if (!ncol(x)) return(no_answer(x, slope))
  out <- if (ask$vectorised) ask_block(ask, x, slope, count) else ask_each(ask, x, slope, count)
  bad <- is.na(out$lp) | out$lp == Inf
  if (any(bad)) {
    note_failure(count, paste("the log density is", out$lp[bad][1L]), sum(bad))
    out$lp[bad] <- -Inf
  }
  out
}

# One call of the user's functions per point.
ask_each <- function(ask, x, slope, count) {
  points <- call_bb_points(ask$skeleton, x)
  out <- no_answer(x, slope)
  lp <- out$lp
  G <- out$gradient
  value <- ask$value
  gradient <- ask$gradient
  n <- length(points)
  at <- 0L
  while (at < n) tryCatch(quietly(while (at < n) {
    at <- at + 1L
    p <- points[[at]]
    lp[at] <- v <- value(p)
    if (slope && is.finite(v)) G[, at] <- gradient(p)
  }, count), error = function(e) note_failure(count, conditionMessage(e)))
  list(lp = lp, gradient = G)
}

# One call for all points; where it fails, one for each.
ask_block <- function(ask, x, slope, count) {
  answer <- tryCatch(quietly(block_answer(ask, x, slope), count), error = identity)
  if (!inherits(answer, "error")) return(answer)
  if (ncol(x) == 1L) {
    note_failure(count, conditionMessage(answer))
    return(no_answer(x, slope))
  }
  each <- lapply(seq_len(ncol(x)), function(j) ask_block(ask, x[, j, drop = FALSE], slope, count))
  list(lp = vapply(each, `[[`, 0, "lp"),
    gradient = if (slope) do.call(cbind, lapply(each, `[[`, "gradient")))
}

block_answer <- function(ask, x, slope) {
  p <- block_of_points(ask$skeleton, x)
  lp <- ask$value(p, ncol(x))
  list(lp = lp, gradient = if (slope) ask$gradient(p, ncol(x)))
}
