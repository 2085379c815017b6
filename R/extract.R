# lme4-like accessors. Every method that serves both engines goes through moments().

# First and second posterior moments in the user's coordinates:
#   beta, cov_beta; u, var_u, cov_bu (p x G, or NULL when not stored);
#   inv_tau: E[1 / tau_k], named like the precisions.
moments <- function(fit, ...) UseMethod("moments")

#' @export
moments.vb_fit <- function(fit, type = "lrvb", ...) {
  post <- fit$posterior
  lr <- type == "lrvb"
  var_log <- if (lr) diag(post$tau$cov_log_lrvb) else post$tau$var_log_mfvb
  frozen <- post$tau$names %in% post$tau$failed
  var_log[frozen] <- post$tau$var_log_mfvb[frozen]
  list(
    beta = post$beta$mean, cov_beta = if (lr) post$beta$cov_lrvb else post$beta$cov_mfvb,
    u = post$u$mean, var_u = if (lr) post$u$var_lrvb else post$u$var_mfvb,
    cov_bu = vb_cov_beta_u(fit, lr),
    inv_tau = stats::setNames(exp(-post$tau$mean_log + var_log / 2), post$tau$names)
  )
}

# Cov(beta, u): S_gl = S_gg Q' in working coordinates, plus J Sigma J'.
vb_cov_beta_u <- function(fit, lr) {
  vb <- fit$vb
  p <- length(fit$model$x_names)
  x <- seq_len(p)
  G <- length(vb$s_leaf)
  S <- vb$S_global %*% matrix(vb$q, p, G)
  if (lr) {
    S <- S + vb$J[x, , drop = FALSE] %*% fit$posterior$tau$cov_lrvb %*%
      t(vb$J[p + seq_len(G), , drop = FALSE])
  }
  fit$model$coords$M %*% S
}

#' @export
moments.gibbs_fit <- function(fit, ...) {
  p <- length(fit$model$x_names)
  draws <- flat_draws(fit$draws)
  b <- draws[, seq_len(p), drop = FALSE]
  colnames(b) <- fit$model$x_names
  u <- if (!is.null(fit$u_draws)) flat_draws(fit$u_draws)
  list(
    beta = colMeans(b), cov_beta = stats::cov(b), u = fit$u$mean, var_u = fit$u$sd^2,
    cov_bu = if (!is.null(u)) stats::cov(b, u),
    inv_tau = colMeans(1 / draws[, -seq_len(p), drop = FALSE][, precision_names(fit$model),
      drop = FALSE])
  )
}

# iteration x chain x variable -> draw x variable
flat_draws <- function(draws) {
  d <- dim(draws)
  matrix(draws, d[1L] * d[2L], d[3L], dimnames = list(NULL, dimnames(draws)[[3L]]))
}

#' Coefficients and random effects
#'
#' `fixef()` and `ranef()` are posterior means; `coef()` adds them per group as in
#' lme4, or is `fixef()` when there are no groups.
#'
#' @param object A fit.
#' @param condVar Attach posterior variances, attribute `postVar` as in lme4?
#' @param ... Not used.
#' @return `fixef()`: named numeric vector. `ranef()`: list of class
#'   `ranef.meanfield`, a data frame per grouping factor with levels as row names;
#'   [as.data.frame()] gives one row per effect with `condval` and `condsd`.
#'   `coef()`: list of data frames per grouping factor, or a vector.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' fixef(fit)
#' head(as.data.frame(ranef(fit)), 3)
#' @importFrom nlme fixef
#' @aliases fixef ranef
#' @export fixef
#' @export
fixef.meanfield_fit <- function(object, ...) moments(object)$beta

#' @rdname fixef.meanfield_fit
#' @importFrom nlme ranef
#' @export ranef
#' @export
ranef.meanfield_fit <- function(object, condVar = TRUE, ...) {
  group <- object$model$group
  if (is.null(group)) {
    mf_abort("groups", "the model has no group terms: ranef() has nothing to return",
      arg = "object")
  }
  m <- moments(object)
  out <- data.frame(`(Intercept)` = m$u, row.names = group$levels, check.names = FALSE)
  if (condVar) attr(out, "postVar") <- array(m$var_u, c(1L, 1L, length(m$u)))
  structure(stats::setNames(list(out), group$name), class = c("ranef.meanfield", "list"))
}

#' @export
print.ranef.meanfield <- function(x, ...) {
  for (g in names(x)) {
    cat("$", g, "\n", sep = "")
    out <- x[[g]]
    attr(out, "postVar") <- NULL
    print(out, ...)
  }
  invisible(x)
}

#' @export
as.data.frame.ranef.meanfield <- function(x, ...) {
  do.call(rbind, lapply(names(x), function(g) {
    v <- attr(x[[g]], "postVar")
    data.frame(grpvar = g, term = "(Intercept)", grp = rownames(x[[g]]),
      condval = x[[g]][[1L]], condsd = if (is.null(v)) NA_real_ else sqrt(v[1L, 1L, ]))
  }))
}

#' @rdname fixef.meanfield_fit
#' @export
coef.meanfield_fit <- function(object, ...) {
  m <- moments(object)
  group <- object$model$group
  if (is.null(group)) return(m$beta)
  out <- as.data.frame(
    matrix(m$beta, length(group$levels), length(m$beta), byrow = TRUE,
      dimnames = list(group$levels, names(m$beta))),
    check.names = FALSE
  )
  out[["(Intercept)"]] <- (if ("(Intercept)" %in% names(m$beta)) m$beta[["(Intercept)"]] else 0) + m$u
  stats::setNames(list(out), group$name)
}

#' Standard deviations of residuals and random effects
#'
#' `sigma()` is the posterior mean of the residual standard deviation. `VarCorr()`
#' returns that of every group term and, beside it, its posterior SD.
#'
#' @param object,x A fit.
#' @param sigma,... Not used.
#' @return `sigma()`: one number. `VarCorr()`: a list of class `VarCorr.meanfield`,
#'   per factor a covariance matrix with attributes `stddev`, `sd_stddev` and
#'   `correlation`, and attributes `sc` and `sd_sc` for the residual; its
#'   [as.data.frame()] has lme4's columns `grp`, `var1`, `var2`, `vcov`, `sdcor` and
#'   `sd_sdcor`.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' VarCorr(fit)
#' @importFrom nlme VarCorr
#' @aliases VarCorr
#' @export VarCorr
#' @export
VarCorr.meanfield_fit <- function(x, sigma = 1, ...) {
  sd_table <- sigma_table(x)
  out <- list()
  if (!is.null(x$model$group)) {
    s <- sd_table[paste0("sigma_u[", x$model$group$name, "]"), ]
    out <- stats::setNames(list(structure(
      matrix(s$mean^2, 1L, 1L, dimnames = list("(Intercept)", "(Intercept)")),
      stddev = c("(Intercept)" = s$mean), sd_stddev = c("(Intercept)" = s$sd),
      correlation = matrix(1, 1L, 1L, dimnames = list("(Intercept)", "(Intercept)"))
    )), x$model$group$name)
  }
  structure(out, sc = sd_table["sigma_e", "mean"], sd_sc = sd_table["sigma_e", "sd"],
    class = "VarCorr.meanfield")
}

# Mean and SD of every sigma, from the summary.
sigma_table <- function(fit) {
  s <- as.data.frame(summary(fit))
  s <- s[grepl("^sigma_", s$variable), ]
  data.frame(mean = s$mean, sd = s$sd, row.names = s$variable)
}

#' @export
as.data.frame.VarCorr.meanfield <- function(x, ...) {
  rows <- lapply(names(x), function(g) {
    data.frame(grp = g, var1 = rownames(x[[g]]), var2 = NA_character_,
      vcov = diag(x[[g]]), sdcor = attr(x[[g]], "stddev"),
      sd_sdcor = attr(x[[g]], "sd_stddev"))
  })
  sc <- attr(x, "sc")
  out <- do.call(rbind, c(rows, list(data.frame(grp = "Residual", var1 = NA_character_,
    var2 = NA_character_, vcov = sc^2, sdcor = sc, sd_sdcor = attr(x, "sd_sc")))))
  rownames(out) <- NULL
  out
}

#' @export
print.VarCorr.meanfield <- function(x, digits = 4, ...) {
  d <- as.data.frame(x)
  out <- data.frame(Groups = d$grp, Name = ifelse(is.na(d$var1), "", d$var1),
    Std.Dev. = format_numbers(d$sdcor, digits), `SD of it` = format_numbers(d$sd_sdcor, digits),
    check.names = FALSE)
  print(out, row.names = FALSE, ...)
  invisible(x)
}

#' @rdname VarCorr.meanfield_fit
#' @export
sigma.meanfield_fit <- function(object, ...) sigma_table(object)["sigma_e", "mean"]

#' Posterior covariance
#'
#' @param object A `vb_fit` or `gibbs_fit`.
#' @param type `"lrvb"` (default, the best source of this version) or `"mfvb"`.
#' @param pars `"beta"`: the coefficients, named as in the model matrix. `"all"`:
#'   coefficients, random effects, precisions, log precisions and standard
#'   deviations, named as in [summary()]; a dense matrix, refused above 10,000 rows.
#' @param full Not used (for packages that pass it).
#' @param ... Not used.
#' @return A symmetric matrix. Rows of standard deviations follow from those of the
#'   log precisions by the delta method.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' vcov(fit)
#' sqrt(diag(vcov(fit, type = "mfvb")))
#' @export
vcov.vb_fit <- function(object, type = c("lrvb", "mfvb", "integrated"), pars = c("beta", "all"),
                        full = FALSE, ...) {
  type <- check_choice(type, c("lrvb", "mfvb", "integrated"), "type")
  if (type == "integrated") {
    mf_abort("control", "`type = \"integrated\"` is not available in this version: ",
      "use \"lrvb\"", arg = "type")
  }
  if (check_choice(pars, c("beta", "all"), "pars") == "beta") {
    return(moments(object, type)$cov_beta)
  }
  vb_full_cov(object, type == "lrvb")
}

#' @rdname vcov.vb_fit
#' @export
vcov.gibbs_fit <- function(object, pars = c("beta", "all"), ...) {
  if (check_choice(pars, c("beta", "all"), "pars") == "beta") return(moments(object)$cov_beta)
  stats::cov(flat_draws(gibbs_array(object, u = !is.null(object$u_draws))))
}

# Dense covariance of (beta, u, tau, log tau, sigma).
vb_full_cov <- function(fit, lr) {
  vb <- fit$vb
  tau <- fit$posterior$tau
  p <- length(fit$model$x_names)
  G <- length(vb$s_leaf)
  if (p + G > 10000L) {
    mf_abort("size", "the full covariance would have ", p + G, " rows, more than 10,000: ",
      "use `pars = \"beta\"` or as_draws()", arg = "pars")
  }
  Q <- matrix(vb$q, p, G)
  SQ <- vb$S_global %*% Q
  theta <- rbind(cbind(vb$S_global, SQ), cbind(t(SQ), crossprod(Q, SQ) + diag(vb$d_inv, G)))
  k <- length(tau$names)
  zero <- matrix(0, p + G, 2L * k)
  tt <- if (lr) tau$cov_lrvb else diag(tau$var_mfvb, k)
  tl <- if (lr) tau$cov_tau_log else diag(1 / tau$rate, k)
  ll <- if (lr) tau$cov_log_lrvb else diag(tau$var_log_mfvb, k)
  if (lr) {
    theta <- theta + vb$J %*% tt %*% t(vb$J)
    zero <- cbind(vb$J %*% tt, vb$J %*% tl)
  }
  M <- diag(1, p + G)
  M[seq_len(p), seq_len(p)] <- fit$model$coords$M
  S <- rbind(
    cbind(M %*% theta %*% t(M), M %*% zero),
    cbind(t(M %*% zero), rbind(cbind(tt, tl), cbind(t(tl), ll)))
  )
  add_sigma_rows(S, fit, p + G + k + seq_len(k))
}

# sigma = exp(-log tau / 2): d sigma / d log tau = -sigma / 2 at the mean of log tau.
add_sigma_rows <- function(S, fit, log_rows) {
  tau <- fit$posterior$tau
  D <- rbind(diag(nrow(S)), 0 * S[log_rows, , drop = FALSE])
  D[cbind(nrow(S) + seq_along(log_rows), log_rows)] <- -exp(-tau$mean_log / 2) / 2
  names <- c(beta_names(fit$model), u_names(fit$model), tau$names, paste0("log_", tau$names),
    sub("^tau", "sigma", tau$names))
  label(D %*% S %*% t(D), names)
}

#' Credible intervals
#'
#' @param object A fit.
#' @param parm `NULL`: the coefficients, by their names in the model matrix;
#'   `"all"`: every row of [summary()]; or a vector of coefficient or variable names.
#' @param level Mass of the central interval.
#' @param ... Not used.
#' @return A matrix with two columns, lower and upper limit, a row per parameter.
#' @examples
#' confint(fit_vb(log_radon ~ floor + (1 | county), data = radon), "all")
#' @export
confint.meanfield_fit <- function(object, parm = NULL, level = 0.95, ...) {
  s <- as.data.frame(summary(object, level = level))
  q <- quantile_names(level)
  out <- as.matrix(s[, q])
  dimnames(out) <- list(s$variable, paste(sub("^q", "", q), "%"))
  if (identical(parm, "all")) return(out)
  beta <- beta_names(object$model)
  at <- function(names) {
    i <- match(names, s$variable)
    ifelse(is.na(i), match(paste0("beta[", names, "]"), s$variable), i)
  }
  if (is.null(parm)) parm <- object$model$x_names
  if (is.numeric(parm)) parm <- object$model$x_names[parm]
  rows <- at(parm)
  if (anyNA(rows)) {
    mf_abort("control", "`parm` names '", parm[is.na(rows)][1L], "', which is none of ",
      toString(c(object$model$x_names, setdiff(s$variable, beta))), arg = "parm")
  }
  structure(out[rows, , drop = FALSE], dimnames = list(parm, colnames(out)))
}

# ---- what stats knows a model by ----------------------------------------------------

#' The model behind a fit
#'
#' Methods for the generics of stats. [logLik()] of a `vb_fit` is the evidence lower
#' bound (ELBO), and says so when printed: it bounds the log marginal likelihood of
#' model and prior from below (under a flat prior, relative to Lebesgue measure).
#'
#' @param object,x,formula A fit.
#' @param ... Passed on or not used.
#' @return As for [stats::lm()]. `nobs()` counts rows of positive weight;
#'   `df.residual()` is `nobs()` minus the number of coefficients; `ngrps()` a named
#'   vector of group counts; `prior_summary()` a data frame with a row per component.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' nobs(fit)
#' logLik(fit)
#' ngrps(fit)
#' @name model-methods
NULL

#' @rdname model-methods
#' @export
nobs.meanfield_fit <- function(object, ...) as.integer(object$model$gram$n)

#' @rdname model-methods
#' @export
formula.meanfield_fit <- function(x, ...) x$model$formula

#' @rdname model-methods
#' @export
family.meanfield_fit <- function(object, ...) object$model$family

#' @rdname model-methods
#' @export
terms.meanfield_fit <- function(x, ...) x$model$terms

#' @rdname model-methods
#' @export
model.frame.meanfield_fit <- function(formula, ...) {
  frame <- formula$model$frame
  if (is.null(frame)) {
    mf_abort("data", "the fit was made with model = FALSE and holds no rows: ",
      "refit with model = TRUE, or give `newdata`", arg = "model")
  }
  frame
}

#' @rdname model-methods
#' @export
model.matrix.meanfield_fit <- function(object, ...) {
  stats::model.matrix(stats::delete.response(object$model$terms), model.frame(object),
    contrasts.arg = object$model$contrasts)
}

#' @rdname model-methods
#' @export
weights.meanfield_fit <- function(object, ...) {
  if (!object$model$weighted) return(NULL)
  stats::naresid(object$model$na_action, stats::model.weights(model.frame(object)))
}

#' @rdname model-methods
#' @export
df.residual.meanfield_fit <- function(object, ...) nobs(object) - length(object$model$x_names)

#' @rdname model-methods
#' @export
logLik.vb_fit <- function(object, ...) {
  structure(object$vb$elbo, df = length(object$model$x_names) + length(object$model$resolved$tau),
    nobs = nobs(object), class = c("elbo", "logLik"))
}

#' @rdname model-methods
#' @export
logLik.gibbs_fit <- function(object, ...) {
  mf_abort("engine", "a Gibbs fit has no bound on the log evidence: use logLik(fit_vb(object)) ",
    "for the ELBO, or log_lik() for the pointwise log likelihood", arg = "object")
}

#' @export
print.elbo <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  cat("ELBO (lower bound of the log evidence): ", format(c(x), digits = digits), "\n", sep = "")
  invisible(x)
}

#' @rdname model-methods
#' @export
ngrps <- function(object, ...) UseMethod("ngrps")

#' @export
ngrps.meanfield_fit <- function(object, ...) {
  group <- object$model$group
  if (is.null(group)) return(stats::setNames(integer(), character()))
  stats::setNames(length(group$levels), group$name)
}

#' @export
ngrps.default <- function(object, ...) foreign_generic("ngrps", c("lme4", "brms", "rstanarm"))(object, ...)

# A generic of the same name in a package that is loaded: ours, when attached later,
# must not take its methods away.
foreign_generic <- function(name, packages) {
  for (p in intersect(packages, loadedNamespaces())) {
    f <- get0(name, envir = asNamespace(p), inherits = FALSE)
    if (is.function(f)) return(f)
  }
  mf_abort("engine", "no ", name, "() method for this object", arg = "object")
}

#' @rdname model-methods
#' @export
prior_summary <- function(object, ...) UseMethod("prior_summary")

#' @export
prior_summary.default <- function(object, ...) {
  foreign_generic("prior_summary", c("rstantools", "brms"))(object, ...)
}

#' @export
prior_summary.meanfield_fit <- function(object, ...) {
  r <- object$model$resolved
  b <- r$beta
  beta <- if (b$kind == "flat") {
    rep("flat", length(object$model$x_names))
  } else {
    mean <- if (b$centred) object$model$coords$shift else b$mean
    sds <- b$sd %||% sqrt(diag(b$cov))
    sprintf("normal(%s, %s)", format_numbers(mean, 4), format_numbers(sds, 4))
  }
  at <- if (b$kind != "flat" && b$centred) object$model$coords$intercept else 0L
  if (at > 0L) beta[at] <- paste(beta[at], "at the mean predictors")
  data.frame(variable = c(beta_names(object$model), names(r$tau)),
    prior = c(beta, vapply(r$tau, format, "", digits = 4)), row.names = NULL)
}

#' @rdname model-methods
#' @param formula. Changes to the formula, as in [stats::update()].
#' @param evaluate Evaluate the new call?
#' @export
update.meanfield_fit <- function(object, formula., ..., evaluate = TRUE) {
  call <- object$call
  extra <- match.call(expand.dots = FALSE)$...
  if (!missing(formula.)) call$formula <- stats::update(formula(object), formula.)
  for (arg in names(extra)) call[[arg]] <- extra[[arg]]
  if (evaluate) eval(call, parent.frame()) else call
}
