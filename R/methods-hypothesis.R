#' Linear hypotheses about the coefficients
#'
#' Estimates linear combinations of the coefficients with the corrected covariance
#' and the posterior probability of an inequality.
#'
#' @param x A fit.
#' @param hypothesis Character vector such as `"Days > 0"`, `"a - b = 0"` or
#'   `"2 * x1 + x2 < 1"`; names are those of [fixef()] (`Intercept` is accepted for
#'   `(Intercept)`), of a mixture those of its means, as in `"mu[1,a] < mu[2,a]"`.
#' @param level Mass of the central interval.
#' @param ... Not used.
#' @return Data frame: `hypothesis`, `estimate` and `sd` of left minus right side,
#'   its interval, and `prob`, the posterior probability of the statement (`NA` for
#'   an equality).
#' @section Errors: `meanfield_error_hypothesis` for text that cannot be read, is not
#'   linear, or names something that is no coefficient.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' hypothesis(fit, c("floor < 0", "Intercept + floor > .5"))
#' @export
hypothesis <- function(x, hypothesis, ...) UseMethod("hypothesis")

#' @export
hypothesis.default <- function(x, hypothesis, ...) {
  call_foreign("hypothesis", "brms", x, hypothesis, ...)
}

#' @rdname hypothesis
#' @export
hypothesis.meanfield_fit <- function(x, hypothesis, level = 0.95, ...) {
  valid_fit(x)
  no_dots(...)
  if (missing(hypothesis) || !length(hypothesis)) {
    mf_abort("hypothesis", "`hypothesis` is empty: give text such as \"x > 0\"",
      arg = "hypothesis")
  }
  names <- location_names(x$model)
  p <- posterior_of(x)
  probs <- central_probs(check_level(level))
  one <- function(text) {
    h <- parse_hypothesis(text, names)
    mix <- linear_mixture(p, combination_parts(h))
    q <- row_quantiles(mix, probs)
    above <- mixture_above_zero(mix)
    data.frame(hypothesis = text, estimate = mixture_mean(mix), sd = sqrt(mixture_variance(mix)),
      lower = q[1L], upper = q[2L], prob = switch(h$op, `>` = above, `<` = 1 - above, NA_real_))
  }
  out <- do.call(rbind, lapply(hypothesis, one))
  out[2:5] <- lapply(out[2:5], function(x) replace(x, is.nan(x), NA_real_)) # without moments
  names(out)[4:5] <- quantile_names(level)
  new_summary(out)
}

# A linear combination of the coefficients as one row of a linear predictor.
combination_parts <- function(h) {
  list(X = matrix(h$weights, 1L), offset = h$constant, groups = list())
}

# "a + 2 * b > 1" -> weights of the coefficients, constant, operator.
parse_hypothesis <- function(text, names) {
  fail <- function(why) {
    mf_abort("hypothesis", "cannot read the hypothesis \"", text, "\": ", why,
      arg = "hypothesis")
  }
  if (!is.character(text) || is.na(text)) fail("it must be text such as \"Days > 0\"")
  sides <- strsplit(text, "(<=|>=|==|=|<|>)")[[1L]]
  op <- regmatches(text, regexpr("(<=|>=|==|=|<|>)", text))
  if (length(sides) != 2L) fail("it needs exactly one of <, > and =")
  side <- function(s) {
    expr <- tryCatch(str2lang(s), error = function(e) fail("it is no valid expression"))
    name_coefficients(expr, names)
  }
  expr <- call("-", side(sides[1L]), side(sides[2L]))
  values <- function(beta) {
    frame <- c(stats::setNames(as.list(beta), paste0(".b", seq_along(beta))))
    tryCatch(eval(expr, frame, hypothesis_arithmetic), error = function(e) {
      fail(paste0("it may use + - * / ^ sqrt exp log pi, numbers and the coefficients ",
        toString(names)))
    })
  }
  p <- length(names)
  if (!p) fail("the model has no coefficients")
  constant <- values(rep(0, p))
  weights <- vapply(seq_len(p), function(j) values(replace(rep(0, p), j, 1)), 0) - constant
  probe <- sqrt(2) * seq_len(p)
  linear <- isTRUE(all.equal(values(probe), sum(weights * probe) + constant))
  if (!linear || !all(is.finite(weights))) fail("it is not linear in the coefficients")
  if (all(weights == 0)) fail("it names no coefficient")
  list(weights = weights, constant = constant, op = substr(op, 1L, 1L))
}

# What a linear expression may use, and nothing else.
hypothesis_arithmetic <- list2env(
  mget(c("+", "-", "*", "/", "^", "(", "sqrt", "exp", "log", "pi"), envir = baseenv()),
  parent = emptyenv()
)

# Replace every sub-expression that spells a coefficient name by a placeholder.
name_coefficients <- function(expr, names) {
  spelled <- gsub("`", "", deparse1(expr))
  names <- gsub("`", "", names)
  at <- match(spelled, names)
  if (is.na(at) && identical(spelled, "Intercept")) at <- match("(Intercept)", names)
  if (is.na(at)) at <- match(gsub(" ", "", spelled), gsub(" ", "", names))
  if (!is.na(at)) return(as.name(paste0(".b", at)))
  if (is.call(expr)) expr[-1L] <- lapply(as.list(expr[-1L]), name_coefficients, names)
  expr
}
