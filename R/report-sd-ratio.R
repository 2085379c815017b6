#' How far is the approximation from the truth?
#'
#' Compares, parameter by parameter, the posterior standard deviations of
#' mean-field variational Bayes and of its linear-response correction with those of
#' a reference, with the Monte Carlo error of each ratio, and sums them up.
#'
#' @param fit A fit by [fit_vb()], of a regression model, a [gaussian_mixture()] or a [target()].
#' @param reference A fit by [fit_exact()], [fit_gibbs()] or [fit_hmc()] of the same model, data and
#'   prior; any posterior
#'   draws (a `draws` object or whatever [posterior::as_draws()] accepts) with
#'   matching variable names; or `NULL`: the exact SDs where the fit was integrated over its
#'   precisions, the refined ones of a target, else the ratio that linear response predicts.
#' @param weights Weights of the types in W, named `beta`, `tau_e`, `tau_u`; by default .4, .3, .3.
#'   They are renormalised over the types that are present. For a mixture: `mu`, `Lambda`,
#'   `log_pi`, a third each. Of a target there is one type, `parameter`.
#' @param variables Named character vector, `c(mine = "theirs")`, that maps names of
#'   this package to those of the reference draws.
#' @param normalise `FALSE` leaves the weights of W as they are, as the paper does for
#'   its Model 1 (weights that sum to .7).
#' @param ... Not used.
#'
#' @details
#' H is the harmonic mean of the ratios of all coefficients and precisions; W the
#' weighted mean, over the types, of the mean ratio within each. Both are given for
#' the mean-field and the corrected SDs. Where the mean of a group precision does not
#' exist (half-t prior), its logarithm stands in. Other derived rows never count.
#'
#' The Monte Carlo error of a ratio is the ratio times the relative error of the
#' reference SD (delta method, from the effective sample size).
#'
#' @return An object of class `sd_ratio_report`, a list with `table` (see
#'   [as.data.frame()] below), `aggregates` (a data frame with `H` and `W` for
#'   `mfvb` and `lrvb`), `reference` (`"exact"`, `"gibbs"`, `"hmc"`, `"draws"` or `"predicted"`) and
#'   `weights`. `as.data.frame()` has the columns `variable`, `type`, `sd_mfvb`,
#'   `sd_lrvb`, `sd` and `source` (what the fit reports), `sd_ref`, `ratio_mfvb`,
#'   `mcse_mfvb`, `ratio_lrvb`, `mcse_lrvb`, `verdict`, `reference` (where `sd_ref` comes from).
#'   When it is `"predicted"`, `sd_ref` is the corrected SD and `ratio_lrvb` is `NA`. Against an
#'   exact reference the `mcse` columns hold its estimated error. Verdicts are single words (`ok`,
#'   `repaired`, `close`, `widened`, `few groups`, `few rows`,
#'   `weak`, `integrated`, `overlap`, `too narrow`, `too wide`,
#'   `not corrected`, `no moments`, `no reference`); printing explains those in use.
#' @section Errors: `meanfield_error_report` when the reference was fitted to other
#'   data or with another prior, or has none of the variables.
#' @references Ewing, D. (2026). Understanding variational approximations, section 3.
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' sd_ratio_report(fit)
#' set.seed(1)
#' sd_ratio_report(fit, fit_gibbs(fit, chains = 2, iter = 1000, warmup = 200))
#' sd_ratio_report(fit_vb(fit, integrate = "no"))
#' @export
sd_ratio_report <- function(fit, reference = NULL, ...) UseMethod("sd_ratio_report")

#' @rdname sd_ratio_report
#' @export
sd_ratio_report.meanfield_fit <- function(fit, reference = NULL, weights = NULL, variables = NULL,
                                          normalise = TRUE, ...) {
  valid_fit(fit)
  no_dots(...)
  p <- normal_of(fit) %||% not_variational(fit)
  weights <- check_report_weights(weights, report_types(fit$model))
  check_flag(normalise, "normalise")
  rows <- normal_rows(p)
  if (!nrow(rows)) mf_abort("report", "the model has no parameter to report on", arg = "fit")
  source <- reference_source(fit, reference)
  table <- report_table(fit, rows, source$kind,
    source$sds %||% reference_sds(rows$variable, source$draws, variables))
  counts <- table$type != "derived" & !is.na(table$ratio_mfvb) & table$sd_mfvb > 0
  structure(
    list(
      table = table,
      aggregates = report_aggregates(table[counts, ], weights, normalise),
      reference = source$kind, weights = weights, normalise = normalise,
      formula = model_formula(fit$model)
    ),
    class = "sd_ratio_report"
  )
}

#' @export
sd_ratio_report.default <- function(fit, reference = NULL, ...) not_variational(fit)

not_variational <- function(fit) {
  mf_abort("report", "`fit` must be a vb_fit, not ", describe(fit), arg = "fit")
}

# What a report calls the model: its formula or call, or words.
model_formula <- function(model) UseMethod("model_formula")

#' @export
model_formula.default <- function(model) model$formula %||% model$call

# The types that count, and what W weighs each by.
report_types <- function(model) UseMethod("report_types")

#' @export
report_types.meanfield_model <- function(model) c(beta = .4, tau_e = .3, tau_u = .3)

check_report_weights <- function(weights, default) {
  if (is.null(weights)) return(default)
  types <- names(default)
  ok <- is.numeric(weights) && !is.null(names(weights)) && all(names(weights) %in% types) &&
    all(is.finite(weights)) && all(weights >= 0) && any(weights > 0)
  if (!ok) {
    mf_abort("report", "`weights` must be numbers named ", toString(types),
      ", none negative and not all zero", arg = "weights")
  }
  weights
}

# list(kind, draws = a draws array or NULL, sds = see reference_sds() or NULL).
reference_source <- function(fit, reference) {
  if (is.null(reference)) {
    best <- posterior_of(fit)
    if (inherits(best, "normal_posterior")) return(list(kind = "predicted"))
    return(list(kind = "exact", sds = exact_sds(best)))
  }
  if (inherits(reference, "meanfield_fit") && is.null(normal_of(valid_fit(reference)))) {
    check_same_model(fit$model, reference$model)
    p <- posterior_of(reference)
    if (!inherits(p, "draws_posterior")) return(list(kind = "exact", sds = exact_sds(p)))
    return(list(kind = chain_kind(reference), draws = all_draws(p, u = FALSE)))
  }
  draws <- tryCatch(posterior::as_draws_array(reference), error = function(e) {
    mf_abort("report", "`reference` must be an exact_fit, a gibbs_fit or posterior draws, not ",
      describe(reference), arg = "reference")
  })
  list(kind = "draws", draws = draws)
}

SAMPLED <- c("gibbs", "hmc", "draws") # references with Monte Carlo error

# What made a fit's draws.
chain_kind <- function(fit) {
  hmc <- inherits(fit, c("hmc_fit", "target_hmc_fit")) && !identical(fit$method, "gibbs")
  if (hmc) "hmc" else "gibbs"
}

exact_sds <- function(p) {
  exact <- marginals(p)
  data.frame(variable = exact$variable, sd = exact$sd, rel = relative_error(p, exact))
}

# Of the SDs in a table of marginals.
relative_error <- function(p, exact) UseMethod("relative_error")

#' @export
relative_error.mixture_posterior <- function(p, exact) p$nodes$error

# Are two models the same, data and prior?
check_same_model <- function(a, b) UseMethod("check_same_model")

same <- function(x, y) isTRUE(all.equal(x, y, tolerance = 1e-8))

refuse_reference <- function(differ) {
  mf_abort("report", "`fit` and `reference` ", differ, ": use fit_gibbs(fit)", arg = "reference")
}

#' @export
check_same_model.default <- function(a, b) {
  if (!same(unclass(a$gram), unclass(b$gram))) {
    refuse_reference("were fitted to different data or formulas")
  }
  if (!same(a$resolved, b$resolved)) refuse_reference("have different priors")
}

# Data frame variable, sd, mcse (relative) of the variables that the reference has.
reference_sds <- function(names, draws, map) {
  if (is.null(draws)) return(NULL)
  theirs <- names
  if (!is.null(map)) {
    if (!is.character(map) || is.null(names(map))) {
      mf_abort("report", "`variables` must be a named character vector, c(mine = \"theirs\")",
        arg = "variables")
    }
    wrong <- c(setdiff(names(map), names), setdiff(map, posterior::variables(draws)))
    if (length(wrong)) {
      mf_abort("report", "`variables` names '", wrong[1L],
        "', which is not a variable of the fit or of the reference", arg = "variables")
    }
    theirs[match(names(map), names)] <- map
  }
  found <- theirs %in% posterior::variables(draws)
  if (!any(found)) {
    mf_abort("report", "the reference has none of the variables ",
      toString(utils::head(names, 4)), ", ...: map names with `variables`",
      arg = "variables")
  }
  one <- function(v) {
    x <- posterior::extract_variable_matrix(draws, v)
    s <- stats::sd(x)
    c(s, posterior::mcse_sd(x) / s)
  }
  if (posterior::ndraws(draws) < 4L) {
    mf_abort("report", "the reference has ", posterior::ndraws(draws), " draws: it takes a few ",
      "hundred to know an SD", arg = "reference")
  }
  stats <- vapply(theirs[found], one, numeric(2))
  data.frame(variable = names[found], sd = stats[1L, ], rel = stats[2L, ])
}

report_table <- function(fit, rows, kind, ref) {
  own <- summary_table(fit)
  own <- own[match(rows$variable, own$variable), ]
  sd <- own$sd
  predicted <- kind == "predicted"
  at <- match(rows$variable, ref$variable)
  sd_ref <- if (predicted) sd else ref$sd[at]
  sd_ref[is.na(sd)] <- NA
  sd_ref[sd_ref == 0] <- NA # of a constant there is no ratio
  rel <- if (predicted) NA_real_ else ref$rel[at]
  out <- data.frame(
    variable = rows$variable, type = rows$type, sd_mfvb = rows$sd_mfvb,
    sd_lrvb = rows$sd_lrvb, sd = sd, source = own$source, sd_ref = sd_ref,
    ratio_mfvb = rows$sd_mfvb / sd_ref, mcse_mfvb = rows$sd_mfvb / sd_ref * rel,
    ratio_lrvb = if (predicted) NA_real_ else rows$sd_lrvb / sd_ref,
    mcse_lrvb = rows$sd_lrvb / sd_ref * rel
  )
  out$verdict <- report_verdicts(out, fit, predicted)
  out$reference <- kind
  out
}

DO_INSTEAD <- paste0(strrep(" ", 15), "integrate = \"yes\", fit_exact() (Gaussian) or fit_gibbs()")

# What each verdict means, in the words of the printed report.
report_words <- c(
  ok = "within 5% of the reference, before and after correction",
  repaired = "mean-field was off; linear response brings it within 5% of the reference",
  close = "linear response finds little to correct",
  widened = "mean-field is too narrow; linear response has widened it",
  `few groups` = paste0("too narrow in a way linear response cannot see, because few groups ",
    "leave\n               the group variance uncertain: use\n", DO_INSTEAD),
  `few rows` = paste0("too narrow in a way linear response cannot see, because few rows leave ",
    "the\n               residual variance uncertain: use\n", DO_INSTEAD),
  weak = paste0("the data hardly determine this variance (near zero, or too few groups): its ",
    "log is\n               skewed, and linear response only a lower bound: use\n", DO_INSTEAD),
  integrated = paste("linear response does not reach it; the fit reports the integrated or refined",
    "SD,\n               which does"),
  overlap = paste("components overlap so much that the posterior is skewed: linear response is",
    "only\n               a lower bound here: use fit_gibbs()"),
  `too narrow` = "still too narrow after correction: use the reference",
  `too wide` = "too wide after correction: use the reference",
  `not corrected` = paste0("linear response failed, the mean-field SD is shown: use\n", DO_INSTEAD),
  `no moments` = "mean and SD do not exist: see its logarithm",
  `no reference` = "not among the variables of the reference"
)

# A ratio is close when it is within 5% plus two Monte Carlo errors of one.
report_verdicts <- function(t, fit, predicted) {
  short <- shortfall(normal_of(fit), t)
  few <- short != ""
  close <- function(ratio, mcse) abs(ratio - 1) <= 0.05 + 2 * ifelse(is.na(mcse), 0, mcse)
  mf <- close(t$ratio_mfvb, t$mcse_mfvb)
  lr <- close(t$ratio_lrvb, t$mcse_lrvb)
  if (!predicted) lr[is.na(lr) & mf] <- TRUE # no linear response was made, nor needed
  judged <- if (predicted) {
    ifelse(few, short, ifelse(mf, "close", "widened"))
  } else {
    ifelse(lr, ifelse(mf, "ok", "repaired"),
      ifelse(t$ratio_lrvb > 1, "too wide", ifelse(few, short, "too narrow")))
  }
  judged[t$source == "mfvb"] <- "not corrected"
  off <- judged %in% c("few groups", "few rows", "weak", "too narrow", "too wide")
  off <- off | !predicted & is.na(judged)
  right <- !t$source %in% c("mfvb", "lrvb") & off & close(t$sd / t$sd_ref, t$mcse_lrvb)
  judged[right] <- "integrated"
  judged[is.na(judged)] <- ifelse(t$ratio_mfvb < 1, "too narrow", "too wide")[is.na(judged)]
  judged[is.na(t$sd_ref)] <- "no reference"
  judged[is.na(t$sd)] <- "no moments"
  judged
}

# Where linear response is known to fall short, seen without a reference.
#   few rows,   a coefficient's SD hangs on variances that are themselves uncertain. With s
#   few groups  the share of its variance that comes through the groups' effects and v the
#               variances of the log precisions, the exact variance is about
#               (1 - s) exp(v_e) + s exp(v_u) times ours.
#   weak        the groups carry little information about their variance: fewer than five
#               effective groups, sum_g (1 - tau_u S_gg)^2. The posterior of its log is
#               skewed then, and linear response only a lower bound.
shortfall <- function(p, t) UseMethod("shortfall")

#' @export
shortfall.regression_normal <- function(p, t) {
  tau <- p$tau
  v <- pmin(own_log_sds(tau$psi$cov_lrvb, tau$index)^2, 4)
  out <- rep("", nrow(t))
  beta <- t$type == "beta"
  if (any(beta)) {
    s <- between_shares(p) # coefficients x terms
    rows <- if (has_sigma(p$model)) (1 - pmin(rowSums(s), 1)) * expm1(v[1L]) else 0 * rowSums(s)
    groups <- drop(s %*% expm1(utils::tail(v, ncol(s))))
    short <- 1 / sqrt(1 + rows + groups) < 0.95
    out[beta][short] <- ifelse(groups > rows, "few groups", "few rows")[short]
  }
  table <- variable_table(p$model)
  weak <- which(vapply(seq_along(p$model$groups), function(k) any(effective_levels(p, k) < 5), NA))
  out[table$block == "group" & table$term %in% weak] <- "weak"
  out
}

# Effective number of levels for each coefficient of a term: sum_g (1 - S_gg / prior)^2.
effective_levels <- function(p, k) {
  term <- p$model$groups[[k]]
  prior <- diag(solve_spd(unvech(p$tau$mean[p$tau$index[[k + n_lead(p$model)]]])))
  at <- effects_of(p$model, term$factor)
  S <- matrix(p$u$var_mfvb[at], length(p$model$factors[[term$factor]]$coef))
  rowSums((1 - pmin(S[term$cols, , drop = FALSE] / prior, 1))^2)
}

# Share of each coefficient's posterior variance that vanishes when a factor's effects are
# known exactly: from dropping the factor's columns of the global precision. A matrix,
# coefficients x terms; the share of a factor with several terms is split evenly.
between_shares <- function(p) {
  model <- p$model
  n <- length(model$x_names)
  out <- matrix(0, n, length(model$groups))
  if (!n || !ncol(out)) return(out)
  M <- model$coords$M
  variances <- function(V) diag(M %*% V %*% t(M))
  total <- variances(beta_covariance(p$vb, seq_len(n)))
  core <- sums_core(model)
  owner <- vapply(model$groups, `[[`, 0L, "factor")
  for (f in unique(owner)) {
    known <- known_covariance(p, core, f)
    share <- pmin(pmax(1 - variances(known) / total, 0), 1)
    out[, owner == f] <- share / sum(owner == f)
  }
  out
}

# Covariance of the coefficients with factor f's effects known.
known_covariance <- function(p, core, f) {
  if (has_rows(p$model)) return(known_by_precision(p, core, f))
  t <- p$vb$t[seq_len(p$model$layout$dim$stats)]
  if (!is_iterated(core)) return(call_known_cov(core, t, f - 1L))
  k <- which(core$layout$precisions$factor == f)
  t[k] <- 1e8 * (t[k] + t[1L] * max(core$factors[[f]]$d)) # what has no variance is known
  x <- seq_len(core$p)
  arrow_product(iterated(core, t), diag(1, core$layout$dim$theta, core$p))[x, , drop = FALSE]
}

# From a response that no Gram tells.
known_by_precision <- function(p, core, f) {
  x <- seq_len(core$p)
  if (f == 1L) { # leaves known: what is left is the global block without its Schur complement
    P <- arrow_precision(theta_covariance(p, core))
  } else {
    gone <- effect_columns(p$model, f)
    P <- solve_spd(p$vb$S_global)[-gone, -gone, drop = FALSE]
  }
  solve_spd(P)[x, x, drop = FALSE]
}

report_aggregates <- function(t, weights, normalise) {
  one <- function(ratio) {
    if (!length(ratio) || all(is.na(ratio))) return(c(NA_real_, NA_real_))
    means <- tapply(ratio, t$type, mean)
    w <- weights[intersect(names(weights), names(means))]
    total <- if (normalise) sum(w) else 1
    c(length(ratio) / sum(1 / ratio), sum(w * means[names(w)]) / total)
  }
  agg <- rbind(one(t$ratio_mfvb), one(t$ratio_lrvb))
  data.frame(method = c("mfvb", "lrvb"), H = agg[, 1L], W = agg[, 2L])
}

#' @rdname sd_ratio_report
#' @param x,row.names,optional A report; the other two are not used.
#' @export
as.data.frame.sd_ratio_report <- function(x, row.names = NULL, optional = FALSE, ...) {
  known_dots("stringsAsFactors", ...)
  named_rows(row.names, x$table)
}

#' @rdname sd_ratio_report
#' @param digits Significant digits to print.
#' @export
print.sd_ratio_report <- function(x, digits = 3, ...) {
  no_dots(...)
  what <- c(
    exact = "exact integration of the same model",
    gibbs = "Gibbs sampling of the same model",
    hmc = "Hamiltonian Monte Carlo of the same model",
    draws = "the draws given", predicted = "none: the ratio linear response predicts"
  )[[x$reference]]
  cat("Posterior SDs against a reference\nModel:     ",
    if (is.character(x$formula)) x$formula else paste(deparse(x$formula), collapse = " "),
    "\nReference: ", what,
    if (x$reference %in% SAMPLED) "\nIn brackets: Monte Carlo error of the ratio",
    "\n\n", sep = "")
  t <- x$table[!is.na(x$table$sd_ref), ]
  show_ratio <- function(r, e) {
    bare <- is.na(e) | x$reference == "exact"
    ifelse(is.na(r), "", ifelse(bare, sprintf("%.3f", r), sprintf("%.3f (%.3f)", r, e)))
  }
  out <- data.frame(
    variable = t$variable, sd = format_numbers(t$sd, digits),
    sd_ref = format_numbers(t$sd_ref, digits),
    `MFVB/ref` = show_ratio(t$ratio_mfvb, t$mcse_mfvb),
    `LRVB/ref` = show_ratio(t$ratio_lrvb, t$mcse_lrvb), verdict = t$verdict,
    check.names = FALSE
  )
  if (x$reference == "predicted") {
    out$sd_ref <- out$`LRVB/ref` <- NULL
    names(out)[3L] <- "MFVB/LRVB"
  }
  print(out, row.names = FALSE, right = FALSE)
  print_verdicts(t$verdict)
  print_aggregates(x)
  invisible(x)
}

print_verdicts <- function(verdicts) {
  used <- intersect(names(report_words), verdicts)
  cat("\n", paste0(formatC(paste0(used, ":"), width = -15), report_words[used], "\n"), sep = "")
}

print_aggregates <- function(x) {
  a <- x$aggregates
  show <- function(v) ifelse(is.na(v), "-", sprintf("%.3f", v))
  cat("\nH (harmonic mean of the ratios): MFVB ", show(a$H[1L]),
    if (x$reference != "predicted") paste0(", LRVB ", show(a$H[2L])),
    "\nW (weighted mean by type",
    if (!x$normalise) ", weights as given", "): MFVB ", show(a$W[1L]),
    if (x$reference != "predicted") paste0(", LRVB ", show(a$W[2L])), "\n", sep = "")
}

#' @rdname sd_ratio_report
#' @export
plot.sd_ratio_report <- function(x, ...) {
  no_dots(...)
  t <- x$table[!is.na(x$table$ratio_mfvb), ]
  n <- nrow(t)
  y <- rev(seq_len(n))
  old <- graphics::par(mar = c(4.2, max(6, 0.55 * max(nchar(t$variable))), 3, 1), las = 1)
  on.exit(graphics::par(old))
  ratios <- c(t$ratio_mfvb, t$ratio_lrvb, 1)
  error <- 2 * c(t$mcse_mfvb, t$mcse_lrvb)
  error[is.na(error)] <- 0
  lim <- range(ratios - c(error, 0), ratios + c(error, 0), na.rm = TRUE)
  graphics::plot(NA, xlim = lim + c(-.03, .03) * diff(lim), ylim = c(0.5, n + 0.5), yaxt = "n",
    xlab = "SD divided by reference SD (no unit)", ylab = "", ...)
  graphics::axis(2, y, t$variable, tick = FALSE)
  graphics::abline(v = 1, col = method_colours[["reference"]], lty = 2)
  graphics::segments(t$ratio_mfvb, y, t$ratio_lrvb, y, col = "grey70")
  ratio_points(t$ratio_mfvb, t$mcse_mfvb, y + 0.12, "mfvb", 1L)
  ratio_points(t$ratio_lrvb, t$mcse_lrvb, y - 0.12, "lrvb", 16L)
  none <- x$reference == "predicted" || all(is.na(t$ratio_lrvb))
  shown <- if (none) "mfvb" else c("mfvb", "lrvb")
  usr <- graphics::par("usr")
  graphics::legend(mean(usr[1:2]), usr[4L], legend = method_labels[shown], xjust = 0.5, yjust = 0,
    col = method_colours[shown], pch = c(mfvb = 1L, lrvb = 16L)[shown], horiz = TRUE, bty = "n",
    xpd = NA)
  invisible(x)
}

ratio_points <- function(ratio, mcse, y, method, pch) {
  ok <- !is.na(mcse) & mcse > 0
  graphics::segments((ratio - 2 * mcse)[ok], y[ok], (ratio + 2 * mcse)[ok], y[ok],
    col = method_colours[[method]])
  graphics::points(ratio, y, pch = pch, col = method_colours[[method]])
}

# Registered for knitr: a report prints as a table in a document.
knit_print.sd_ratio_report <- function(x, ...) {
  t <- x$table[!is.na(x$table$sd_ref), ]
  cols <- c("variable", "sd_mfvb", "sd_lrvb", "sd_ref", "ratio_mfvb", "mcse_mfvb",
    "ratio_lrvb", "mcse_lrvb", "verdict")
  if (x$reference == "predicted") cols <- setdiff(cols, c("sd_ref", "ratio_lrvb"))
  if (!x$reference %in% SAMPLED) cols <- setdiff(cols, c("mcse_mfvb", "mcse_lrvb"))
  a <- x$aggregates
  caption <- sprintf("H = %.3f, W = %.3f (MFVB)", a$H[1L], a$W[1L])
  if (!is.na(a$H[2L])) caption <- sprintf("%s; H = %.3f, W = %.3f (LRVB)", caption, a$H[2L],
    a$W[2L])
  knitr::knit_print(knitr::kable(t[, cols], digits = 3, row.names = FALSE, caption = caption), ...)
}
