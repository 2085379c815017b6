# Probability laws with a closed form: what kl_divergence() and entropy_of() compare.

#' A probability law
#'
#' Says a distribution by its family and parameters, for [kl_divergence()] and [entropy_of()]. A
#' plain vector of probabilities and the priors `normal_prior()`, `gamma_prior()` and
#' `wishart_prior()` (see [priors()]) can stand there too.
#'
#' @param family One of `"discrete"`, `"bernoulli"`, `"normal"`, `"gamma"`, `"beta"`, `"dirichlet"`,
#'   `"wishart"`.
#' @param ... Parameters, by name:
#'   * discrete: `prob`, probabilities that add up to one;
#'   * bernoulli: `prob`, the probability of a one;
#'   * normal: `mean` (default 0; a number for each dimension), and `sd` (default 1; one number, or
#'     one for each dimension) or `cov`, a covariance matrix;
#'   * gamma: `shape`, `rate`;
#'   * beta: `shape1`, `shape2`;
#'   * dirichlet: `alpha`, two or more positive numbers;
#'   * wishart: `df`, more than the dimension less one, and `scale`, a positive definite matrix (the
#'     mean is `df * scale`).
#' @return An object of class `meanfield_law`: a list of `family`, `d` (the dimension) and the
#'   parameters.
#' @section Errors: `meanfield_error_control` for a parameter that is missing, unknown, of the wrong
#'   shape or out of range; it is named.
#' @seealso [kl_divergence()], [entropy_of()], [project_normal()]
#' @examples
#' law("normal", mean = c(0, 1), cov = matrix(c(2, 1, 1, 2), 2))
#' law("dirichlet", alpha = c(2, 1, 1))
#' @export
law <- function(family, ...) {
  if (missing(family)) {
    mf_abort("control", "`family` must be one of ", quoted(names(LAW_MAKERS)), arg = "family")
  }
  make <- LAW_MAKERS[[check_choice(family, names(LAW_MAKERS), "family")]]
  given <- list(...)
  known <- names(formals(make))
  check_parameters(names(given) %||% rep("", length(given)), known, family)
  lacking <- setdiff(known[vapply(formals(make), is.name, NA)], names(given))
  if (length(lacking)) {
    mf_abort("control", "law(\"", family, "\") needs `", lacking[1L], "`", arg = lacking[1L])
  }
  do.call(make, given)
}

check_parameters <- function(names, known, family) {
  wrong <- names[!names %in% known | duplicated(names)]
  if (!length(wrong)) return(invisible())
  mf_abort("control", "law(\"", family, "\") takes ", paste0("`", known, "`", collapse = ", "),
    ", by name and once", if (nzchar(wrong[1L])) paste0(", not `", wrong[1L], "`"), arg = "...")
}

quoted <- function(x) paste0("\"", x, "\"", collapse = ", ")

new_law <- function(family, d, ...) {
  new_class("meanfield_law", list(family = family, d = as.integer(d), ...))
}

discrete_law <- function(prob) {
  prob <- check_numbers(prob, "prob", 0)
  if (abs(sum(prob) - 1) > 1e-8) {
    mf_abort("control", "probabilities must add up to one, not to ", format(sum(prob)),
      ": use p / sum(p)", arg = "prob")
  }
  new_law("discrete", length(prob), prob = prob)
}

# The one of two outcomes, in the order 0, 1.
bernoulli_law <- function(prob) {
  prob <- check_number(prob, "prob", 0)
  if (prob > 1) mf_abort("control", "`prob` must not exceed one", arg = "prob")
  discrete_law(c(1 - prob, prob))
}

normal_law <- function(mean = 0, sd = 1, cov = NULL) {
  mean <- check_numbers(mean, "mean")
  if (is.null(cov)) {
    sd <- check_numbers(sd, "sd", 0, strict = TRUE)
    if (any(sd < 1e-150 | sd > 1e150)) {
      mf_abort("control", "`sd` must lie between 1e-150 and 1e150, so that its square is a number",
        arg = "sd")
    }
    d <- max(length(mean), length(sd))
    if (!length(sd) %in% c(1L, d)) {
      mf_abort("control", "`sd` must be one number, or one for each of the ", d, " means",
        arg = "sd")
    }
    cov <- diag(sd^2, d)
  } else {
    if (!missing(sd)) mf_abort("control", "give either `sd` or `cov`, not both", arg = "cov")
    cov <- check_cov_matrix(cov, "cov")
    d <- nrow(cov)
  }
  if (!length(mean) %in% c(1L, d)) {
    mf_abort("control", "`mean` must have the dimension of the covariance, ", d, ", not ",
      length(mean), arg = "mean")
  }
  new_law("normal", d, mean = rep_len(mean, d), cov = cov)
}

gamma_law <- function(shape, rate) {
  new_law("gamma", 1L, shape = check_number(shape, "shape", 0, strict = TRUE),
    rate = check_number(rate, "rate", 0, strict = TRUE))
}

beta_law <- function(shape1, shape2) {
  new_law("beta", 1L, alpha = c(check_number(shape1, "shape1", 0, strict = TRUE),
    check_number(shape2, "shape2", 0, strict = TRUE)))
}

dirichlet_law <- function(alpha) {
  alpha <- check_numbers(alpha, "alpha", 0, strict = TRUE)
  if (length(alpha) < 2L) {
    mf_abort("control", "`alpha` must have two or more elements", arg = "alpha")
  }
  new_law("dirichlet", length(alpha), alpha = alpha)
}

wishart_law <- function(df, scale) {
  scale <- check_cov_matrix(scale, "scale")
  df <- check_number(df, "df", nrow(scale) - 1, strict = TRUE)
  new_law("wishart", nrow(scale), df = df, scale = scale)
}

LAW_MAKERS <- list(discrete = discrete_law, bernoulli = bernoulli_law, normal = normal_law,
  gamma = gamma_law, beta = beta_law, dirichlet = dirichlet_law, wishart = wishart_law)

check_numbers <- function(x, arg, lower = -Inf, strict = FALSE) {
  ok <- is.numeric(x) && length(x) > 0L && is.null(dim(x)) && all(is.finite(x)) &&
    all(if (strict) x > lower else x >= lower)
  if (!ok) {
    mf_abort("control", "`", arg, "` must be a vector of finite numbers",
      if (is.finite(lower)) paste(if (strict) " greater than" else " of at least", lower),
      ", not ", describe(x), arg = arg)
  }
  as.double(x)
}

check_cov_matrix <- function(A, arg) {
  if (is.numeric(A)) A <- unname(as.matrix(A))
  if (!is_covariance(A)) {
    mf_abort("control", "`", arg, "` must be a finite, symmetric and positive definite matrix",
      arg = arg)
  }
  storage.mode(A) <- "double"
  (A + t(A)) / 2
}

# ---- what may stand for a law ---------------------------------------------------------------

as_law <- function(x, arg) UseMethod("as_law")

#' @export
as_law.meanfield_law <- function(x, arg) x

#' @export
as_law.numeric <- function(x, arg) {
  tryCatch(discrete_law(c(x)), meanfield_error = function(e) {
    mf_abort("control", "`", arg, "` as a plain vector: ", conditionMessage(e), arg = arg)
  })
}

#' @export
as_law.meanfield_prior <- function(x, arg) {
  switch(x$kind,
    normal = if (is.null(x$cov)) normal_law(x$mean, x$sd) else normal_law(x$mean, cov = x$cov),
    gamma = gamma_law(x$shape, x$rate),
    wishart = wishart_law(x$df, x$scale),
    mf_abort("control", "`", arg, "`: no closed form of a ", gsub("_", "-", x$kind), " prior is ",
      "here; normal, gamma and Wishart priors have one", arg = arg)
  )
}

#' @export
as_law.default <- function(x, arg) {
  mf_abort("control", "`", arg, "` must be a vector of probabilities, a law() or a normal, gamma ",
    "or Wishart prior, not ", describe(x), arg = arg)
}

#' @export
format.meanfield_law <- function(x, digits = 4, ...) {
  no_dots(...)
  text <- function(v) {
    v <- format(signif(c(v), digits), trim = TRUE)
    if (length(v) == 1L) v else paste0("(", toString(v), ")")
  }
  what <- setdiff(names(x), c("family", "d"))
  if (x$family == "normal" && x$d == 1L) {
    x$sd <- sqrt(x$cov)
    what <- c("mean", "sd")
  }
  paste0(x$family, "(", paste(what, vapply(x[what], text, ""), collapse = "; "), ")")
}

#' @export
print.meanfield_law <- function(x, ...) {
  cat(format(x, ...), "\n", sep = "")
  invisible(x)
}
