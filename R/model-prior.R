# Priors: constructors, the one prior object, and its resolution against a Gram.

new_prior <- function(kind, ...) {
  structure(list(kind = kind, ...), class = "meanfield_prior")
}

# half_t_prior() without its checks: made three times in every fit
default_sd_prior <- new_prior("half_t", df = 3, scale = NULL)

#' Prior distributions
#'
#' One prior object serves every engine: `priors()` collects the priors of the
#' model's components, the other functions make the components.
#'
#' @param mean,sd Prior means and standard deviations of the coefficients: one
#'   number for all, one per column of the model matrix, or a named vector whose
#'   names are coefficient names (the others then keep the default prior).
#' @param cov Prior covariance matrix of the coefficients, instead of `sd`. With
#'   dimnames it is matched to the coefficients by name.
#' @param shape,rate Shape and rate of a gamma prior on a *precision*.
#' @param df,scale Degrees of freedom and scale of a half-t prior on a *standard
#'   deviation* (one scale, or one per coefficient of a vector term; `NULL` is 2.5
#'   standard deviations of the response, over the covariate's for a slope), or of a
#'   Wishart prior on a precision matrix (mean `df * scale`).
#' @param beta Prior of the coefficients: `normal_prior()` or `flat_prior()`.
#' @param tau_e Prior of the residual precision: `gamma_prior()`, or
#'   `half_t_prior()` on the residual standard deviation.
#' @param phi Prior of the dispersion of [neg_binomial()]: `gamma_prior()`; default
#'   `gamma_prior(1, 0.1)`.
#' @param tau_u Prior of the group precisions: one prior for every group term, or
#'   a named list whose names are grouping factors (`Subject`) or factor and
#'   coefficient (`Subject:(Intercept)`, for independent terms on one factor). The longer name
#'   wins; an unknown name
#'   is an error; factors without a name keep the default.
#' @param ... Not used.
#'
#' @details
#' The default, `default_priors()`, is half-t(3, 2.5 s) on the residual and on
#' every group standard deviation and normal(0, 2.5 s / sd(x)) on the
#' coefficients, where s is the standard deviation of the response; half-t(3, 2.5 s / sd(x)) on the
#' standard deviation of a slope that varies by group. The intercept is normal(mean(y), 2.5 s).
#'
#' All of it is stated *at the mean of the predictors*: the intercept is the one there, a variable
#' that is multiplied by others is centred first, and the standard deviations and correlations of a
#' term `(1 + x | g)` are those of the effects at mean(x). So the origin and unit of a predictor
#' (years, ages, cents) change nothing but the numbers in which the same fit is told; what is
#' reported (`sigma_u`, `rho_u`, `Lambda_u`, effects) is always at the origin of x as written. The
#' contrasts of one factor have a joint normal prior, with precision cov(columns) / (2.5 s)^2,
#' which depends on what they say of the cells only: any contrasts, and any order of the levels,
#' give the same fit. (The contrasts of a factor that varies by group, `(f | g)`, keep a prior
#' each. Products without their margins, `x:z` alone, and independent terms, `(x || g)`, are other
#' models at another origin, and powers as `I(x^2)` are best written as `poly(x, 2)`.)
#'
#' A prior that the user gives stands at the origin of x as written, `half_t_prior(3, c(5, 5))` for
#' the effects at x = 0; one without scales, `half_t_prior(3)`, is a default one.
#'
#' Under unequal row weights the standard deviations and means are weighted ones, and the scale
#' for the residual standard deviation, which is that of a row of weight one, is
#' 2.5 s times the square root of the mean weight.
#'
#' For the other families s is 1, the unit of the link: half-t(3, 2.5) on group standard
#' deviations, normal(0, 2.5 / sd(x)) on coefficients, and the intercept at the mean predictors is
#' normal(g(mean(y)), 2.5) with g the link. Means and SDs of the predictors are weighted by the
#' trials, so that `cbind(success, failure)` and the same data trial by trial have one prior.
#'
#' The half-t prior is represented with one auxiliary variable per coefficient (Huang and
#' Wand, 2013): precision | c ~ Wishart(df + r - 1, (2 df diag(c))^-1),
#' c_k ~ Gamma(1/2, 1/scale_k^2). Each SD is then half-t, and correlations are uniform
#' for df = 2.
#'
#' @return `normal_prior()`, `flat_prior()`, `gamma_prior()`, `half_t_prior()` and
#'   `wishart_prior()` return an object of class `meanfield_prior`; `priors()` and
#'   `default_priors()` one of class `meanfield_priors`, a list with elements
#'   `beta`, `tau_e` and `tau_u` (`NULL` stands for the default).
#' @section Errors: `meanfield_error_prior` for parameters that are not positive
#'   and finite, wrong lengths, unknown names, or a `cov` that is not positive
#'   definite.
#' @references Huang, A. and Wand, M. P. (2013). *Bayesian Analysis* 8, 439-452.
#'   Gelman, A. (2006). *Bayesian Analysis* 1, 515-533.
#' @examples
#' priors(beta = normal_prior(0, 10), tau_e = gamma_prior(.01, .01),
#'        tau_u = list(county = half_t_prior(3, 1)))
#' fit <- fit_vb(log_radon ~ floor + (1 | county), radon,
#'               prior = priors(beta = flat_prior()))
#' prior_summary(fit)
#' @export
priors <- function(beta = NULL, tau_e = NULL, tau_u = NULL, phi = NULL, ...) {
  check_component(beta, "beta", c("normal", "flat"))
  known_dots(setdiff(lead_names(), c("tau_e", "phi")), ...)
  check_leads(tau_e = tau_e, phi = phi, ...)
  group_kinds <- c("gamma", "half_t", "wishart")
  if (is.list(tau_u) && !inherits(tau_u, "meanfield_prior")) {
    keys <- names(tau_u)
    if (length(tau_u) && (is.null(keys) || any(keys == "") || anyDuplicated(keys))) {
      mf_abort("prior", "`tau_u` as a list needs one name per element: the grouping ",
        "factor, as in list(Subject = half_t_prior(3, 10))",
        arg = "tau_u"
      )
    }
    for (k in keys) check_component(tau_u[[k]], paste0("tau_u$", k), group_kinds)
  } else {
    check_component(tau_u, "tau_u", group_kinds)
  }
  new_class("meanfield_priors", list(beta = beta, tau_e = tau_e, tau_u = tau_u, phi = phi, ...))
}

# Priors of the parameters that families have beside the linear predictor, by name.
check_leads <- function(...) {
  given <- list(...)
  for (family in FAMILIES) {
    lead <- family$lead
    if (!is.null(lead)) check_component(given[[lead$name]], lead$name, lead$priors)
  }
}

check_component <- function(x, arg, kinds) {
  if (is.null(x)) return(invisible())
  if (!inherits(x, "meanfield_prior") || !x$kind %in% kinds) {
    mf_abort("prior", "`", arg, "` must be made by ",
      paste0(kinds, "_prior()", collapse = " or "), ", not ", describe_prior_arg(x),
      arg = arg
    )
  }
  invisible()
}

describe_prior_arg <- function(x) {
  if (inherits(x, "meanfield_prior")) paste0(x$kind, "_prior()") else describe(x)
}

#' @rdname priors
#' @export
default_priors <- function() DEFAULT_PRIORS

DEFAULT_PRIORS <- priors() # every fit without `prior` asks for it

#' @rdname priors
#' @export
normal_prior <- function(mean = 0, sd = 10, cov = NULL) {
  if (!is.numeric(mean) || !length(mean) || any(!is.finite(mean))) {
    mf_abort("prior", "`mean` must be finite numbers", arg = "mean")
  }
  if (is.null(cov)) {
    check_positive(sd, "sd")
    return(new_prior("normal", mean = mean, sd = sd))
  }
  if (!missing(sd)) mf_abort("prior", "give either `sd` or `cov`, not both", arg = "cov")
  cov <- as.matrix(cov)
  if (!is.numeric(cov) || nrow(cov) != ncol(cov) || any(!is.finite(cov)) ||
    !isSymmetric(unname(cov), tol = 1e-8)) {
    mf_abort("prior", "`cov` must be a finite symmetric matrix", arg = "cov")
  }
  if (!is_positive_definite(cov)) {
    mf_abort("prior", "`cov` must be positive definite", arg = "cov")
  }
  new_prior("normal", mean = mean, cov = cov)
}

#' @rdname priors
#' @export
flat_prior <- function() new_prior("flat")

#' @rdname priors
#' @export
gamma_prior <- function(shape, rate) {
  check_positive(shape, "shape", 1L)
  check_positive(rate, "rate", 1L)
  if (max(shape, rate) > 1e100) {
    mf_abort("prior", "`shape` and `rate` must not exceed 1e100: variances of precisions ",
      "must be numbers",
      arg = "rate")
  }
  new_prior("gamma", shape = as.double(shape), rate = as.double(rate))
}

#' @rdname priors
#' @export
half_t_prior <- function(df = 3, scale = NULL) {
  check_positive(df, "df", 1L)
  if (df > 1e100) {
    mf_abort("prior", "`df` must not exceed 1e100: 1e6 is a half-normal prior to every digit that ",
      "matters",
      arg = "df")
  }
  if (!is.null(scale)) {
    check_positive(scale, "scale")
    if (any(scale > 1e100 | scale < 1e-100)) {
      mf_abort("prior", "`scale` must lie between 1e-100 and 1e100: its square must be a number",
        arg = "scale")
    }
  }
  new_prior("half_t", df = as.double(df), scale = if (!is.null(scale)) as.double(scale))
}

#' @rdname priors
#' @export
wishart_prior <- function(df, scale) {
  check_positive(df, "df", 1L)
  scale <- as.matrix(scale)
  if (!is_covariance(scale)) {
    mf_abort("prior", "`scale` must be a positive definite matrix (or one positive number)",
      arg = "scale")
  }
  new_prior("wishart", df = as.double(df), scale = unname(scale))
}

check_positive <- function(x, arg, length = NULL) {
  if (!is.numeric(x) || !length(x) || any(!is.finite(x)) || any(x <= 0) ||
    (!is.null(length) && length(x) != length)) {
    mf_abort("prior", "`", arg, "` must be ",
      if (identical(length, 1L)) "one positive finite number" else "positive finite numbers",
      ", not ", describe(x),
      arg = arg
    )
  }
}

#' @export
format.meanfield_prior <- function(x, digits = 3, ...) {
  no_dots(...)
  num <- function(v) paste(format(signif(v, digits), trim = TRUE), collapse = ", ")
  many <- function(v) if (length(v) > 3L) paste0(num(v[1:3]), ", ...") else num(v)
  switch(x$kind,
    flat = "flat",
    normal = if (is.null(x$cov)) {
      sprintf("normal(mean %s; sd %s)", many(x$mean), many(x$sd))
    } else {
      sprintf("normal(mean %s; %d x %d covariance)", many(x$mean), nrow(x$cov), ncol(x$cov))
    },
    gamma = sprintf("gamma(shape %s, rate %s) on the precision", num(x$shape), num(x$rate)),
    wishart = sprintf("Wishart(df %s, %d x %d scale) on the precision matrix", num(x$df),
      nrow(x$scale), ncol(x$scale)),
    half_t = sprintf(
      "half-t(df %s, scale %s) on the SD%s", num(x$df),
      if (is.null(x$scale)) "2.5 sd(y)" else many(x$stated %||% x$scale),
      if (length(x$scale) > 1L) "s" else ""
    )
  )
}

#' @export
print.meanfield_prior <- function(x, ...) {
  cat(format(x, ...), "\n", sep = "")
  invisible(x)
}

#' @export
print.meanfield_priors <- function(x, ...) {
  known_dots("digits", ...)
  show <- function(p, default) if (is.null(p)) default else format(p, ...)
  cat("beta:  ", show(x$beta, "normal(0, 2.5 sd(y)/sd(x)), intercept at the mean response"),
    "\ntau_e: ", show(x$tau_e, format(half_t_prior())), "\n",
    sep = ""
  )
  if (inherits(x$tau_u, "meanfield_prior") || is.null(x$tau_u)) {
    cat("tau_u: ", show(x$tau_u, format(half_t_prior())), "\n", sep = "")
  } else {
    for (k in names(x$tau_u)) cat("tau_u[", k, "]: ", format(x$tau_u[[k]]), "\n", sep = "")
  }
  invisible(x)
}

# ---- resolution ---------------------------------------------------------------

# The priors of a model with every default made a number.
# spec: meanfield_priors; scales: gram_scales(); coords: working coordinates; terms:
# model_terms().
# Value: list(beta = list(kind, mean, sd | cov, centred), tau = list of gamma, half_t or
# wishart priors, tau_e first, named by precision).
resolve_priors <- function(spec, scales, coords, x_names, terms, family = stats::gaussian()) {
  check_prior_names(spec$tau_u, terms)
  tau <- resolve_lead(spec, scales, family)
  for (t in terms) {
    scale <- 2.5 * scales$sd_y / scales$sd_z[[t$factor]][t$cols]
    tau[[t$name]] <- resolve_precision(pick_group_prior(spec$tau_u, t), scale, t$name, scales,
      t$coef, t$A)
  }
  list(beta = resolve_beta(spec$beta, scales, coords, x_names), tau = tau)
}

check_priors <- function(prior) {
  if (!inherits(prior, "meanfield_priors")) {
    mf_abort("prior", "`prior` must be made by priors() or default_priors(), not ",
      describe(prior), arg = "prior")
  }
}

# Does the prior of a vector term of this factor stand at the mean of the covariates? A half-t prior
# with scales of the user's stands at the origin of the covariates as they are written; one without,
# and a Wishart prior, which is one in any coordinates, do not tie the origin down.
stands_at_mean <- function(tau_u, name) {
  prior <- if (inherits(tau_u, "meanfield_prior")) tau_u else tau_u[[name]]
  is.null(prior) || prior$kind != "half_t" || is.null(prior$scale)
}

# The prior of the precision that belongs to no group term, if the family has one.
resolve_lead <- function(spec, scales, family) {
  lead <- family_of(family)$lead
  spec <- unclass(spec)
  for (arg in lead_names()) {
    if (!is.null(spec[[arg]]) && !identical(arg, lead$name)) {
      mf_abort("prior", "the ", family$family, " family has no ", arg, ": leave it out of priors()",
        arg = arg)
    }
  }
  if (is.null(lead)) return(list())
  prior <- spec[[lead$name]] %||% if (!is.null(lead$default)) do.call(new_prior, lead$default)
  out <- list(resolve_precision(prior, 2.5 * scales$sd_y * scales$row_scale, lead$name, scales,
    "(Intercept)"))
  names(out) <- lead$name
  out
}

check_prior_names <- function(tau_u, terms) {
  if (is.null(tau_u) || inherits(tau_u, "meanfield_prior")) return(invisible())
  known <- unique(unlist(lapply(terms, `[[`, "keys")))
  unknown <- setdiff(names(tau_u), known)
  if (length(unknown)) {
    mf_abort("prior", "`tau_u` names '", unknown[1L], "', which is no group term",
      if (length(known)) paste0(": use ", paste0("'", known, "'", collapse = " or ")) else
        ": the model has none",
      arg = "tau_u"
    )
  }
}

# The longer name wins.
pick_group_prior <- function(tau_u, term) {
  if (is.null(tau_u) || inherits(tau_u, "meanfield_prior")) return(tau_u)
  for (key in rev(term$keys)) if (!is.null(tau_u[[key]])) return(tau_u[[key]])
  NULL
}

# In the working coordinates of the term, u = A v. scale: default scales of the SDs of v. stated:
# the scale in the user's units.
resolve_precision <- function(prior, scale, arg, scales, coef, A = matrix(1)) {
  prior <- prior %||% default_sd_prior
  r <- length(scale)
  if (prior$kind == "half_t") {
    given <- prior$scale
    if (is.null(given)) need_spread(scales, arg)
    if (!length(given) %in% c(0L, 1L, r)) {
      mf_abort("prior", "the half-t prior of ", arg, " has ", length(prior$scale),
        " scales for the ", r, " coefficients ", toString(coef), arg = "scale")
    }
    size <- diagonal(A)
    prior$scale <- if (is.null(given)) scale else rep_len(given, r) / size
    prior$stated <- prior$scale * size
  }
  if (prior$kind == "gamma" && r > 1L) {
    mf_abort("prior", "the gamma prior of ", arg, " is for one coefficient, not ", r, " (",
      toString(coef), "): use wishart_prior() or half_t_prior(), or || for independent terms",
      arg = "tau_u")
  }
  if (prior$kind == "wishart") {
    if (length(prior$scale) == 1L) prior$scale <- diag(drop(prior$scale), r)
    if (nrow(prior$scale) != r || prior$df <= r - 1) {
      mf_abort("prior", "the Wishart prior of ", arg, " needs a ", r, " x ", r,
        " scale and df above ", r - 1, " (coefficients ", toString(coef), ")", arg = "tau_u")
    }
    prior$stated <- prior$scale
    prior$scale <- wishart_scale_in(prior$scale, A, arg)
  }
  prior
}

# Scale matrix of A' Lambda A.
wishart_scale_in <- function(scale, A, arg) {
  if (is_identity(A)) return(scale)
  out <- crossprod(A, scale %*% A)
  out <- (out + t(out)) / 2
  if (!is_positive_definite(stats::cov2cor(out))) {
    mf_abort("prior", "the Wishart prior of ", arg,
      " is stated at the origin of covariates that are ",
      "too far from it for double precision: centre them", arg = "tau_u")
  }
  out
}

need_spread <- function(scales, arg) {
  if (!(scales$sd_y > 0)) {
    mf_abort("response", "the response is constant, so the default prior of ", arg,
      " has no scale: give explicit `prior`s with positive scales, ",
      "or check the response",
      arg = "formula"
    )
  }
}

resolve_beta <- function(prior, scales, coords, x_names) {
  p <- length(x_names)
  if (is.null(prior)) {
    if (p) need_spread(scales, "beta")
    return(default_beta(scales, coords))
  }
  if (prior$kind == "flat") return(list(kind = "flat", centred = FALSE))
  if (!is.null(prior$cov)) {
    if (nrow(prior$cov) != p) {
      mf_abort("prior", "`cov` is ", nrow(prior$cov), " x ", nrow(prior$cov),
        " but the model has ", p, " coefficients: ", toString(x_names),
        arg = "cov"
      )
    }
    mean <- fill_coefficients(prior$mean, 0, x_names, "mean")
    cov <- order_cov(prior$cov, x_names)
    return(list(kind = "normal", mean = mean, cov = cov, centred = FALSE))
  }
  fallback <- default_beta_raw(scales, coords)
  list(
    kind = "normal", centred = FALSE,
    mean = fill_coefficients(prior$mean, fallback$mean, x_names, "mean"),
    sd = fill_coefficients(prior$sd, fallback$sd, x_names, "sd")
  )
}

# A covariance matrix with names is matched to the coefficients by name.
order_cov <- function(cov, x_names) {
  names <- colnames(cov) %||% rownames(cov)
  if (is.null(names)) return(unname(cov))
  if (anyDuplicated(names) || !setequal(names, x_names) ||
    !(is.null(rownames(cov)) || identical(rownames(cov), names))) {
    mf_abort("prior", "the names of `cov` must be the coefficients: ", toString(x_names),
      arg = "cov")
  }
  at <- match(x_names, names)
  unname(cov[at, at, drop = FALSE])
}

# One value per coefficient from one number, p numbers, or a named subset.
fill_coefficients <- function(value, default, x_names, arg) {
  p <- length(x_names)
  if (!is.null(names(value))) {
    unknown <- c(setdiff(names(value), x_names), names(value)[duplicated(names(value))])
    if (length(unknown)) {
      mf_abort("prior", "`", arg, "` names '", unknown[1L],
        "', which is no coefficient of the model or named twice: ", toString(x_names),
        arg = arg
      )
    }
    out <- rep_len(default, p)
    out[match(names(value), x_names)] <- value
    return(as.double(out))
  }
  if (!length(value) %in% c(1L, p)) {
    mf_abort("prior", "`", arg, "` has length ", length(value), " but the model has ", p,
      " coefficients: ", toString(x_names),
      arg = arg
    )
  }
  as.double(rep_len(value, p))
}

# In working coordinates: intercept at the mean predictors, response at its mean. Contrasts of one
# factor have a joint prior, whose density depends on what they say of the cells alone: any
# contrasts, and any order of the levels, give the same fit.
default_beta <- function(scales, coords) {
  sd <- 2.5 * scales$sd_y / scales$sd_x
  precision <- diag(1 / sd^2, length(sd))
  for (set in scales$sets) {
    precision[set$at, set$at] <- contrast_precision(set, scales) / (2.5 * scales$sd_y)^2
  }
  if (length(scales$sets)) sd <- sqrt(diag(solve_spd(precision)))
  list(kind = "normal", centred = TRUE, mean = rep(0, length(sd)), sd = sd, precision = precision)
}

# The covariance of the columns, with unit precision in directions that no row speaks of.
contrast_precision <- function(set, scales) {
  size <- scales$sd_x[set$at]
  e <- eigen(scales$bessel * set$cov / tcrossprod(size), symmetric = TRUE)
  values <- ifelse(e$values > 1e-10, e$values, 1)
  tcrossprod(e$vectors * rep(sqrt(values), each = length(size))) * tcrossprod(size)
}

# The same scales read as priors on the raw coefficients, to fill partial input.
default_beta_raw <- function(scales, coords) {
  list(mean = coords$shift, sd = 2.5 * scales$sd_y / scales$sd_x)
}

# Mean, precision matrix and its log-determinant of beta in working coordinates.
working_beta_prior <- function(beta, coords) {
  p <- length(coords$shift)
  if (beta$kind == "flat" || p == 0L) {
    return(list(flat = TRUE, mu = rep(0, p), Tb = matrix(0, p, p), logdet = 0))
  }
  if (beta$centred) {
    return(list(flat = FALSE, mu = beta$mean, Tb = beta$precision,
      logdet = log_det_spd(beta$precision)))
  }
  root <- if (is.null(beta$cov)) diag(1 / beta$sd, p) else solve(t(chol(beta$cov)))
  logdet <- 2 * as.double(determinant(root)$modulus)
  list(
    flat = FALSE, mu = to_working(coords, beta$mean),
    Tb = crossprod(root %*% coords$M), logdet = logdet
  )
}
