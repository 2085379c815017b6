# Gaussian mixtures: the model object, its prior, and what the C core wants to know of both.

#' A Gaussian mixture to fit
#'
#' Describes a finite mixture of multivariate normal distributions with unknown means,
#' precision matrices and weights. [fit_vb()] fits it by variational Bayes corrected by linear
#' response, [fit_gibbs()] samples the same posterior; [sd_ratio_report()], [summary()],
#' [plot()], [predict()] and [as_draws()] work on the fits as on those of mixed models.
#'
#' @param x A numeric matrix or data frame, a row per observation; or a one-sided formula,
#'   `~ eruptions + waiting`, or its text, with `data`.
#' @param k Number of components.
#' @param prior Made by [mixture_prior()]; or [flat_prior()]: flat in the means, the precision
#'   matrices and the weights, as in the paper. A component then needs more than P + 1 rows.
#' @param data Data frame for a formula.
#'
#' @details
#' Rows are x_n ~ N(mu_k, Lambda_k^-1) given z_n = k, with z_n ~ pi. Variables are called
#' `mu[1,eruptions]`, `Lambda[1,eruptions,waiting]` (lower triangle), `log_det[1]` (log
#' determinant of the precision matrix), `log_pi[1]`, and, derived, `pi[1]` and
#' `Sigma[1,eruptions,waiting]`. Components are ordered by their first mean.
#'
#' @return An object of class `gaussian_mixture`, a list with
#' \describe{
#'   \item{call}{the call}
#'   \item{x}{the data, a numeric matrix}
#'   \item{k}{number of components}
#'   \item{prior}{the prior with every default made a number: `mean`, `k0`, `cov`, `df`,
#'     `scale`, `alpha`, and `flat_mean`, `flat_precision`}
#'   \item{given}{the prior as it was given}
#'   \item{units}{`centre` and `U` with x = centre + U' w, w centred and white: fits work on w}
#' }
#' @section Errors: `meanfield_error_data` for values that are missing, infinite or not
#'   numeric, too few rows; `meanfield_error_rank` for columns that are constant or collinear;
#'   `meanfield_error_prior`; `meanfield_error_control` for a bad `k`.
#' @references Giordano, R., Broderick, T. and Jordan, M. (2015). Linear response methods for
#'   accurate covariance estimates from mean field variational Bayes. *NeurIPS 28*, section 3.3.
#' @examples
#' model <- gaussian_mixture(faithful, 2)
#' fit <- fit_vb(model)
#' fit
#' @export
gaussian_mixture <- function(x, k, prior = mixture_prior(), data = NULL) {
  call <- match.call()
  if (missing(k)) {
    mf_abort("control", "`k`, the number of components, is missing", arg = "k")
  }
  k <- check_count(k, "k", 1, core_limit("components"))
  if (!is.null(data)) x <- as_model_formula(x, parent.frame(), "x")
  x <- mixture_data(x, data)
  units <- mixture_units(x)
  structure(
    list(version = FIT_VERSION, call = call, x = x, k = k,
    prior = resolve_mixture_prior(prior, x, k),
      given = prior,
      units = units),
    class = "gaussian_mixture"
  )
}

MOST_MIXTURE_DATA <- 1e70
mixture_data <- function(x, data) {
  if (inherits(x, "formula")) x <- mixture_frame(x, data)
  x <- numeric_matrix(x, "a numeric matrix, a data frame or a one-sided formula")
  if (max(abs(x)) > MOST_MIXTURE_DATA) {
    mf_abort("data", "`x` has numbers beyond ", MOST_MIXTURE_DATA,
      ", whose fourth powers are none: rescale it",
      arg = "x")
  }
  if (ncol(x) > core_limit("columns")) {
    mf_abort("size", "`x` has ", ncol(x), " columns, and the limit is ", core_limit("columns"),
      ": leave some out, or use their principal components", arg = "x")
  }
  if (nrow(x) <= ncol(x) + 1L) {
    mf_abort("data", "`x` has ", nrow(x), " rows: a mixture in ", ncol(x),
      " dimensions needs more than ", ncol(x) + 1L, arg = "x")
  }
  x
}

mixture_frame <- function(formula, data) {
  if (length(formula) != 2L) {
    mf_abort("formula", "a mixture has no response: use a one-sided formula, ~ a + b",
      arg = "x")
  }
  tryCatch(
    stats::model.frame(formula, data, na.action = stats::na.pass),
    error = function(e) mf_abort("data", conditionMessage(e), arg = "data")
  )
}

# x = centre + U' w with w white: U'U = cov(x).
mixture_units <- function(x) {
  centre <- colMeans(x)
  scale <- apply(x, 2L, stats::sd)
  check_varying(x, centre, scale)
  R <- stats::cor(x)
  chol_R <- suppressWarnings(chol(R, pivot = TRUE, tol = 1e-12))
  if (attr(chol_R, "rank") < ncol(x)) {
    mf_abort("rank", "column '", colnames(x)[attr(chol_R, "pivot")[attr(chol_R, "rank") + 1L]],
      "' of `x` is a linear combination of others: leave it out", arg = "x")
  }
  U <- chol(R) * rep(scale, each = ncol(x))
  A <- backsolve(U, diag(1, ncol(x)))
  list(centre = unname(centre), U = unname(U), A = A, log_det_A = sum(log(diag(A))))
}

whiten <- function(x, units) unname(sweep(x, 2L, units$centre) %*% units$A)

# ---- priors ------------------------------------------------------------------------

#' Prior of a Gaussian mixture
#'
#' The same prior for every component. With `k0` (default) the normal-Wishart prior,
#' Lambda ~ Wishart(df, scale), mu | Lambda ~ N(mean, (k0 Lambda)^-1); with `cov` independent
#' priors, mu ~ N(mean, cov). The weights are Dirichlet(alpha, ..., alpha).
#'
#' @param mean Prior mean of the component means, one number per column of the data; by default
#'   the column means.
#' @param k0 Number of rows that the prior of a mean is worth, default 0.01; 0 makes it flat.
#' @param df,scale Degrees of freedom and scale matrix of the Wishart prior of a precision
#'   matrix (its mean is `df * scale`). Defaults: P + 2, and the scale at which the prior mean of
#'   the covariance matrix is a tenth of the covariance matrix of the data.
#' @param alpha Dirichlet parameter, one positive number.
#' @param cov Prior covariance matrix of a mean (or one variance), instead of `k0`.
#' @return An object of class `meanfield_mixture_prior`, a list of the arguments.
#' @section Errors: `meanfield_error_prior` for values that are not positive and finite, of the
#'   wrong size, not positive definite, or when both `k0` and `cov` are given.
#' @seealso [flat_prior()] for the improper prior of the paper.
#' @examples
#' mixture_prior(k0 = 0.1, alpha = 2)
#' gaussian_mixture(faithful, 2, prior = flat_prior())
#' gaussian_mixture(faithful, 2,
#'   prior = mixture_prior(mean = c(3, 70), cov = diag(c(10, 1000)), df = 4,
#'     scale = diag(c(1, .01))))
#' @export
mixture_prior <- function(mean = NULL, k0 = NULL, df = NULL, scale = NULL, alpha = 1,
                          cov = NULL) {
  if (!is.null(k0) && !is.null(cov)) {
    mf_abort("prior", "give either `k0` or `cov`, not both", arg = "cov")
  }
  if (!is.null(mean) && (!is.numeric(mean) || !length(mean) || any(!is.finite(mean)))) {
    mf_abort("prior", "`mean` must be finite numbers", arg = "mean")
  }
  if (!is.null(k0)) check_number(k0, "k0", 0, kind = "prior")
  if (!is.null(df)) check_positive(df, "df", 1L)
  check_positive(alpha, "alpha", 1L)
  structure(
    list(mean = mean, k0 = k0, df = df, scale = check_spd(scale, "scale"),
      alpha = as.double(alpha), cov = check_spd(cov, "cov")),
    class = "meanfield_mixture_prior"
  )
}

check_spd <- function(x, arg) {
  if (is.null(x)) return(NULL)
  x <- unname(as.matrix(x))
  if (!is_covariance(x) || any(diag(x) <= 1e-140 | diag(x) >= 1e140)) {
    mf_abort("prior", "`", arg, "` must be a positive definite matrix (or one positive ",
      "number) with ",
      "variances between 1e-140 and 1e140", arg = arg)
  }
  x
}

resolve_mixture_prior <- function(prior, x, k) {
  p <- ncol(x)
  if (inherits(prior, "meanfield_prior") && prior$kind == "flat") {
    return(list(mean = colMeans(x), k0 = 0, cov = NULL, df = p + 1, scale = NULL, alpha = 1,
      flat_mean = TRUE, flat_precision = TRUE))
  }
  if (!inherits(prior, "meanfield_mixture_prior")) {
    mf_abort("prior", "`prior` must be made by mixture_prior() or flat_prior(), not ",
      describe_prior_arg(prior), arg = "prior")
  }
  square <- function(M, arg) {
    if (identical(dim(M), c(1L, 1L))) return(diag(drop(M), p))
    if (!identical(dim(M), c(p, p))) {
      mf_abort("prior", "`", arg, "` is ", nrow(M), " x ", ncol(M), ", but the data have ", p,
        " columns", arg = arg)
    }
    M
  }
  mean <- prior$mean %||% unname(colMeans(x))
  if (!length(mean) %in% c(1L, p)) {
    mf_abort("prior", "`mean` has ", length(mean), " elements, but the data have ", p,
      " columns", arg = "mean")
  }
  df <- prior$df %||% (p + 2)
  if (df <= p - 1) {
    mf_abort("prior", "`df` must exceed P - 1 = ", p - 1, ": the Wishart prior is improper",
      arg = "df")
  }
  k0 <- if (is.null(prior$cov)) prior$k0 %||% 0.01 else 0
  list(
    mean = rep(unname(mean), length.out = p), k0 = k0,
    cov = if (!is.null(prior$cov)) square(prior$cov, "cov"), df = df,
    scale = if (is.null(prior$scale)) unname(solve_spd(stats::cov(x)) * 10) else
      square(prior$scale, "scale"),
    alpha = prior$alpha, flat_mean = is.null(prior$cov) && k0 == 0, flat_precision = FALSE
  )
}

#' @export
print.meanfield_mixture_prior <- function(x, ...) {
  no_dots(...)
  show <- function(v, default) {
    if (is.null(v)) default else if (length(v) == 1L) format(signif(drop(v), 3)) else
      if (is.matrix(v)) sprintf("a %d x %d matrix", nrow(v), ncol(v)) else
        paste(format(signif(v, 3), trim = TRUE), collapse = ", ")
  }
  cat("mu:     normal(", show(x$mean, "mean of the data"), "; ",
    if (is.null(x$cov)) paste0("worth ", show(x$k0, "0.01"), " rows") else
      paste0("covariance ", show(x$cov)),
    ")\nLambda: Wishart(df ", show(x$df, "P + 2"), "; scale ",
    show(x$scale, "10 cov(x)^-1"), ")\npi:     Dirichlet(", show(x$alpha), ")\n", sep = "")
  invisible(x)
}

# ---- core --------------------------------------------------------------------------

# The model in whitened coordinates, as src/mixture/gmm.h has it. w: rows, whitened.
gmm_core <- function(model, w = whiten(model$x, model$units)) {
  u <- model$units
  prior <- model$prior
  p <- ncol(model$x)
  P0 <- if (is.null(prior$cov)) matrix(0, p, p) else u$U %*% solve_spd(prior$cov) %*% t(u$U)
  rate0 <- if (prior$flat_precision) matrix(0, p, p) else
    t(u$A) %*% solve_spd(prior$scale) %*% u$A
  log_det <- function(M) if (all(M == 0)) 0 else as.numeric(determinant(M)$modulus)
  list(
    X = w, k = model$k, coupled = prior$k0 > 0, flat_mean = prior$flat_mean,
    flat_precision = prior$flat_precision, k0 = prior$k0,
    m0 = as.double(crossprod(u$A, prior$mean - u$centre)),
    P0 = as.double((P0 + t(P0)) / 2), df0 = prior$df, rate0 = as.double((rate0 + t(rate0)) / 2),
    logdet_P0 = log_det(P0), logdet_rate0 = log_det(rate0),
    alpha0 = rep(prior$alpha, model$k)
  )
}

# What the bound gains on the way from whitened to raw units: the density of the rows, and the
# measures of flat priors.
elbo_units <- function(model) {
  p <- ncol(model$x)
  model$units$log_det_A * (nrow(model$x) - model$k * model$prior$flat_mean +
    model$k * (p + 1) * model$prior$flat_precision)
}

# ---- names -------------------------------------------------------------------------

# The core's variables, component by component: mu, Lambda, log_det, log_pi of each, as rows of
# variable_table().
gmm_variables <- function(model) {
  x <- colnames(model$x)
  pairs <- lower_pairs(length(x))
  diagonal <- pairs$row == pairs$col
  stack_rows(lapply(seq_len(model$k), function(k) {
    row <- function(...) variable_rows(..., block = "component", term = k)
    do.call(Map, c(list(c), list(
      row(sprintf("mu[%d,%s]", k, x), "mu", a = seq_along(x), b = NA, link = "identity",
        type = "mu"),
      row(sprintf("Lambda[%d,%s,%s]", k, x[pairs$col], x[pairs$row]), "Lambda", a = pairs$row,
        b = pairs$col, link = ifelse(diagonal, "exp", "identity"), type = "Lambda"),
      row(sprintf("log_det[%d]", k), "log_det", a = NA, b = NA, link = "identity",
        type = "derived"),
      row(sprintf("log_pi[%d]", k), "log_pi", a = NA, b = NA, link = "identity", type = "log_pi")
    )))
  }))
}

# With the weights and covariance matrices, which follow from them, in the order they are shown.
#' @export
variable_table.gaussian_mixture <- function(model, u = FALSE) {
  v <- gmm_variables(model)
  of <- function(kind, as, link) {
    own <- v[v$kind == kind, ]
    own$variable <- renamed(own$variable, kind, as)
    own$link <- rep_len(link, nrow(own))
    own$kind <- rep_len(as, nrow(own))
    own$type <- rep_len("derived", nrow(own))
    own
  }
  diagonal <- v$a[v$kind == "Lambda"] == v$b[v$kind == "Lambda"]
  all <- rbind(v, of("log_pi", "pi", "beta"),
    of("Lambda", "Sigma", ifelse(diagonal, "exp", "identity")))
  all <- all[order(match(all$kind, c("mu", "Lambda", "log_det", "pi", "log_pi", "Sigma"))), ]
  rownames(all) <- NULL
  all
}

#' @export
location_kind.gaussian_mixture <- function(model) "mu"

#' @export
location_names.gaussian_mixture <- function(model) {
  v <- gmm_variables(model)
  v$variable[v$kind == "mu"]
}

#' @export
print.gaussian_mixture <- function(x, ...) {
  no_dots(...)
  cat("Mixture of ", x$k, " normal distribution", if (x$k > 1L) "s", " in ", ncol(x$x),
    " dimension", if (ncol(x$x) > 1L) "s", " (", toString(utils::head(colnames(x$x), 6)),
    if (ncol(x$x) > 6L) ", ...", ")\nData:    ", format(nrow(x$x), big.mark = ","), " rows\n",
    sep = "")
  cat("Prior:   ", describe_mixture_prior(x$prior), "\nFit it with fit_vb() or fit_gibbs().\n",
    sep = "")
  invisible(x)
}

describe_mixture_prior <- function(prior) {
  if (prior$flat_precision) return("flat")
  paste0(
    if (prior$flat_mean) "flat means" else if (prior$k0 > 0) {
      paste0("normal-Wishart, means worth ", format(prior$k0), " rows")
    } else "normal means", ", Wishart df ", format(prior$df), ", Dirichlet(",
    format(prior$alpha), ")"
  )
}
