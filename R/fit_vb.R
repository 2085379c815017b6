#' Fit by variational Bayes, corrected by linear response
#'
#' Fits a Gaussian linear or random-intercept model by mean-field variational
#' Bayes with the factors q(beta, u) q(tau_e) q(tau_u), and corrects every
#' covariance by linear response. The rows are read once; everything after that
#' works on their sums of squares and products.
#'
#' @param object A model formula, or a fit of either engine (its model and prior
#'   are used as they are).
#' @param formula `y ~ x1 + x2` or `y ~ x1 + (1 | g)`, with the usual formula
#'   grammar (factors, interactions, `poly()`, `ns()`, `offset()`, `.`). The group
#'   may be a factor, character, integer or logical variable, or `g1:g2`.
#' @param data Data frame (or tibble); variables not in it are looked up in the
#'   environment of the formula.
#' @param family `gaussian()`.
#' @param prior Prior, see [priors()].
#' @param blocks `"joint"`: q(beta, u) is one block.
#' @param integrate Integration over the variance parameters: `"auto"` and `"no"`
#'   are the same in this version, `"yes"` is an error.
#' @param weights Precision weights as in [stats::lm()]: row i has residual
#'   variance 1 / (w_i tau_e). A weight of zero leaves the row out.
#' @param subset,na.action,offset,contrasts As in [stats::lm()].
#' @param model Keep the model frame in the fit? Without it, methods that need the
#'   rows ([fitted()], [residuals()]) ask for `newdata`.
#' @param control Made by [vb_control()].
#' @param ... Not used; an argument that matches nothing is an error.
#'
#' @return An object of class `vb_fit` (and `meanfield_fit`), a list with
#' \describe{
#'   \item{call}{the call}
#'   \item{model}{design terms, Gram, prior, model frame; class `meanfield_model`}
#'   \item{vb}{the optimum: `t` (means of tau_e, tau_u and the half-t auxiliaries),
#'     `shape` (their gamma shapes), the mean and covariance of q(beta, u) in the
#'     model's working coordinates, the linear-response matrices `V`, `C`, `Sigma`,
#'     `K`, `elbo`, `lr_ok`}
#'   \item{posterior}{means and covariances of coefficients, random effects and
#'     log precisions, mean-field and corrected}
#'   \item{trace}{data frame, a row per sweep: log precisions, `elbo`, `change`
#'     (largest move on the log scale), `step`}
#'   \item{converged, sweeps}{did it converge, and in how many sweeps}
#'   \item{control}{the control settings}
#' }
#' It is plain R data: a fit saved by [saveRDS()] gives identical results when read
#' in a new process. `fit_vb()` never touches the random number generator.
#'
#' @section Errors and warnings:
#' All errors have class `meanfield_error` and a class for their kind:
#' `meanfield_error_formula` (grammar not supported, no response), `_data` (no rows,
#' unknown variables, infinite predictors), `_response` (not numeric, missing or
#' infinite, constant under a default prior), `_weights`, `_groups`, `_prior`,
#' `_rank` (rank-deficient predictors under a flat prior), `_control`, `_family`,
#' `_not_pd`. Warnings: `meanfield_warning_convergence`, `meanfield_warning_lrvb`
#' (linear response failed for the named component, mean-field SDs are reported),
#' `meanfield_warning_groups`. Ctrl-C returns at once with an interrupt.
#'
#' @references Giordano, R., Broderick, T. and Jordan, M. (2015). Linear response
#'   methods for accurate covariance estimates from mean field variational Bayes.
#'   *NeurIPS 28*, eq. (6)-(7).
#' @seealso [fit_gibbs()], [sd_ratio_report()], [summary.vb_fit()]
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' fit
#' summary(fit)
#' @export
fit_vb <- function(object, ...) {
  if (nargs() == 0L) unknown_model(NULL, "fit_vb")
  UseMethod("fit_vb")
}

#' @rdname fit_vb
#' @export
fit_vb.formula <- function(formula, data = NULL, family = gaussian(),
                           prior = default_priors(),
                           blocks = c("joint", "separate"),
                           integrate = c("auto", "no", "yes"),
                           weights, subset, na.action, offset, contrasts = NULL,
                           model = TRUE, control = vb_control(), ...) {
  no_dots(...)
  check_vb_options(blocks, integrate)
  control <- check_vb_control(control)
  call <- match.call()
  call[[1L]] <- quote(fit_vb)
  call$formula <- formula # a name would be lost outside this frame
  m <- build_model(call, formula, data, family, prior, contrasts,
    check_flag(model, "model"), parent.frame())
  new_vb_fit(call, m, control)
}

#' @rdname fit_vb
#' @export
fit_vb.meanfield_fit <- function(object, control = vb_control(), ...) {
  no_dots(...)
  call <- refit_call(object, "fit_vb", match.call())
  new_vb_fit(call, object$model, check_vb_control(control))
}

#' @export
fit_vb.data.frame <- function(object, formula, ...) {
  eval(data_first_call(match.call(), quote(fit_vb)), parent.frame())
}

# data |> fit_vb(y ~ x): the same call with the formula first and the data named.
data_first_call <- function(call, verb) {
  call[[1L]] <- verb
  names(call)[match("object", names(call))] <- "data"
  at <- match("formula", names(call))
  if (is.na(at)) {
    mf_abort("formula", "`formula` is missing: data |> ", verb, "(y ~ x)", arg = "formula")
  }
  call[c(1L, at, setdiff(seq_along(call)[-1L], at))]
}

#' @export
fit_vb.default <- function(object, ...) unknown_model(object, "fit_vb")

unknown_model <- function(object, verb) {
  mf_abort("formula", "`", verb, "()` needs a formula or a fit as its first argument, not ",
    describe(object), arg = "object")
}

no_dots <- function(...) {
  if (...length()) {
    names <- ...names()
    mf_abort("control", "unknown argument ",
      if (is.null(names) || is.na(names[1L]) || names[1L] == "") "without a name"
      else paste0("`", names[1L], "`"),
      arg = "...")
  }
}

check_vb_options <- function(blocks, integrate) {
  if (check_choice(blocks, c("joint", "separate"), "blocks") == "separate") {
    mf_abort("control", "`blocks = \"separate\"` is not available in this version: ",
      "use \"joint\"", arg = "blocks")
  }
  if (check_choice(integrate, c("auto", "no", "yes"), "integrate") == "yes") {
    mf_abort("control", "`integrate = \"yes\"` is not available in this version: ",
      "use \"no\", and fit_gibbs() as the reference", arg = "integrate")
  }
}

# The call of a fit with its engine changed and the arguments of `call` laid over
# it, so that update() works on fits made from fits.
refit_call <- function(object, verb, call) {
  out <- object$call
  out[[1L]] <- as.name(verb)
  out$control <- NULL
  allowed <- names(formals(paste0(verb, ".formula")))
  keep <- names(out) %in% c("", allowed)
  out <- out[keep]
  for (arg in setdiff(names(call)[-1L], c("object", ""))) out[[arg]] <- call[[arg]]
  out
}

# ---- run -------------------------------------------------------------------------

new_vb_fit <- function(call, model, control) {
  core <- lmm_core(model)
  run <- best_run(core, control)
  kind <- check_status(run$status, model)
  vb <- run$result
  trace <- vb_trace(vb, run$status[2L], model)
  vb$trace <- NULL
  fit <- structure(
    list(
      call = call, model = model, vb = vb, posterior = NULL, trace = trace,
      converged = kind == "ok", sweeps = nrow(trace), control = control
    ),
    class = c("vb_fit", "meanfield_fit")
  )
  fit$posterior <- vb_posterior(fit)
  check_exact_fit(fit, core)
  if (control$trace) print(trace)
  if (kind == "maxit") {
    mf_warn("convergence", "not converged after ", control$max_iter,
      " sweeps (last change of a log precision: ",
      format(signif(trace$change[nrow(trace)], 2)),
      "): raise `max_iter` in vb_control()", arg = "control")
  }
  fit
}

# A response that the model explains to rounding: its residual variance is noise.
check_exact_fit <- function(fit, core) {
  if (core$yy > 0 && fit$vb$ss[1L] < 1e-12 * core$yy) {
    mf_warn("exact_fit", "the model explains the response (almost) exactly: the residual ",
      "variance is rounding noise, and no SD means much", arg = "formula")
  }
}

# The optimum from the data's start, or from the priors' when those say something far
# apart: then the ELBO may have two maxima, and the higher one is wanted.
best_run <- function(core, control) {
  start <- vb_start(core)
  run <- call_fit_vb(core, start, control)
  other <- prior_start(core, start)
  if (is.null(other)) return(run)
  second <- call_fit_vb(core, other, control)
  worked <- c(core_status[["ok"]], core_status[["maxit"]])
  better <- second$status[1L] %in% worked &&
    (!run$status[1L] %in% worked || second$result$elbo > run$result$elbo)
  if (better) second else run
}

# Precisions at 1 / scale^2 or at their gamma prior's mean; NULL unless one of them is more
# than a factor of 100 away from the start.
prior_start <- function(core, start) {
  pr <- core$prior
  k <- seq_len(ncol(pr))
  at <- ifelse(pr[3L, ] > 0, pr[4L, ], pr[1L, ] / pr[2L, ])
  far <- abs(log(at / start[k])) > log(100)
  if (!any(far)) return(NULL)
  with_auxiliaries(core, ifelse(far, at, start[k]))
}

with_auxiliaries <- function(core, tau) {
  df <- core$prior[3L, ]
  aux <- (df + 1) / 2 / (df * tau + core$prior[4L, ])
  c(tau, aux[df > 0])
}

# Starting values: half of the least-squares residual variance to the rows, half to
# the groups (on the scale of a row of mean weight); auxiliaries at their update.
vb_start <- function(core) {
  p <- core$p
  b <- if (p) ridge_solve(core) else numeric()
  rss <- core$yy - sum(b * (2 * core$h[seq_len(p)] - drop(core$global %*% b)))
  s2 <- max(rss, 1e-12 * core$yy) / max(core$n - p, 1)
  if (!(s2 > 0)) s2 <- 1
  tau <- if (core$n_leaf) c(2, 2 * sum(core$leaf) / core$n) / s2 else 1 / s2
  with_auxiliaries(core, tau)
}

# Least squares with just enough ridge to exist for any X.
ridge_solve <- function(core) {
  d <- diag(core$global)
  d[d == 0] <- 1
  scaled <- core$global / sqrt(tcrossprod(d)) + diag(1e-8, core$p)
  drop(chol2inv(chol(scaled)) %*% (core$h[seq_len(core$p)] / sqrt(d))) / sqrt(d)
}

vb_trace <- function(vb, rows, model) {
  q <- length(vb$t)
  rows <- min(rows, ncol(vb$trace))
  x <- t(vb$trace[, seq_len(rows), drop = FALSE])
  names <- precision_names(model)
  aux <- names[vapply(model$resolved$tau, function(p) p$kind == "half_t", NA)]
  colnames(x) <- c(paste0("log_", names), if (length(aux)) paste0("log_aux_", aux), "elbo",
    "change", "step")
  x <- as.data.frame(x)
  x$step <- factor(x$step, 0:2, c("cavi", "newton", "rejected"))
  x
}

# ---- posterior moments ------------------------------------------------------------

# Everything the methods report, in the user's coordinates:
#   beta: mean, cov_mfvb, cov_lrvb
#   u:    mean, var_mfvb, var_lrvb (per group)
#   tau:  mean, rate, mean_log; var_mfvb, var_log_mfvb; cov_lrvb, cov_log_lrvb,
#         cov_tau_log; failed: names of the components linear response failed for
# and response, Sigma of the precisions in working coordinates for the rest.
vb_posterior <- function(fit) {
  vb <- fit$vb
  model <- fit$model
  names <- precision_names(model)
  k <- seq_along(names)
  p <- length(model$x_names)
  x <- seq_len(p)
  lr <- linear_response(vb, names)
  if (length(lr$failed)) {
    mf_warn("lrvb", "linear response is unreliable for ", toString(lr$failed),
      " (the optimum is flat there, as at a variance near zero): mean-field SDs are ",
      "reported for it; use fit_gibbs() as the reference", arg = "formula")
  }
  Sigma <- lr$Sigma[k, k, drop = FALSE]
  groups <- p + seq_along(vb$s_leaf)
  Jb <- vb$J[x, k, drop = FALSE]
  Ju <- vb$J[groups, k, drop = FALSE]
  rate <- vb$shape[k] / vb$t[k]
  tri <- trigamma(vb$shape[k])
  K <- lr$K[k, k, drop = FALSE]
  nm <- list(names, names)
  list(
    beta = list(
      mean = stats::setNames(to_raw(model$coords, vb$mean[x]), model$x_names),
      cov_mfvb = label(to_raw_cov(model$coords, vb$S_global), model$x_names),
      cov_lrvb = label(
        to_raw_cov(model$coords, vb$S_global + Jb %*% Sigma %*% t(Jb)), model$x_names
      )
    ),
    u = list(
      mean = vb$mean[groups], var_mfvb = vb$s_leaf,
      var_lrvb = vb$s_leaf + rowSums((Ju %*% Sigma) * Ju)
    ),
    tau = list(
      names = names, mean = vb$t[k], shape = vb$shape[k], rate = rate,
      mean_log = digamma(vb$shape[k]) - log(rate),
      var_mfvb = vb$shape[k] / rate^2, var_log_mfvb = tri,
      cov_lrvb = structure(Sigma, dimnames = nm),
      cov_log_lrvb = structure(diag(tri, length(k)) + K / tcrossprod(rate), dimnames = nm),
      cov_tau_log = structure(
        (diag(length(k)) + vb$shape[k] / rate^2 * K) / rep(rate, each = length(k)),
        dimnames = nm
      ),
      failed = lr$failed
    )
  )
}

label <- function(S, names) structure(S, dimnames = list(names, names))

# SDs of the log precisions under linear response (of those that are on).
log_sds <- function(vb, K, names, on = rep(TRUE, length(vb$t))) {
  k <- which(on[seq_along(names)])
  sqrt(pmax(trigamma(vb$shape[k]) + diag(K)[seq_along(k)] * (vb$t[k] / vb$shape[k])^2, 0))
}

# Beyond this SD of a log precision (a factor of 3,000 within two SDs) the response is that
# of a flat optimum, and moments of the SD made from it explode.
MAX_LOG_SD <- 4

# Sigma and K of all globals. Where V^-1 - C is not positive definite, the component
# that spoils it most is frozen at its mean-field variance, and so on until the rest
# has a linear response.
linear_response <- function(vb, names) {
  if (vb$lr_ok == 1 && all(log_sds(vb, vb$K, names) < MAX_LOG_SD)) {
    return(list(Sigma = vb$Sigma, K = vb$K, failed = character()))
  }
  q <- length(vb$t)
  root <- sqrt(diag(vb$V))
  on <- rep(TRUE, q)
  failed <- character()
  repeat {
    M <- diag(sum(on)) - vb$C[on, on] * tcrossprod(root[on])
    if (!all(is.finite(M))) M <- diag(sum(on))
    load <- eigen(M, symmetric = TRUE)$vectors[, sum(on)]^2
    load[which(on) > length(names)] <- 0 # blame the precision, not its auxiliary
    worst <- which(on)[which.max(load)]
    failed <- c(failed, names[worst])
    on[worst] <- FALSE
    if (!any(on)) break
    lr <- call_lr(vb$V[on, on, drop = FALSE], vb$C[on, on, drop = FALSE])
    if (!is.null(lr) && all(log_sds(vb, lr$K, names, on) < MAX_LOG_SD)) break
    lr <- NULL
    if (!any(on[seq_along(names)])) break
  }
  Sigma <- diag(diag(vb$V), q)
  K <- matrix(0, q, q)
  if (any(on) && !is.null(lr)) {
    Sigma[on, on] <- lr$Sigma
    K[on, on] <- lr$K
  }
  list(Sigma = Sigma, K = K, failed = failed)
}
