# Two ways to one number: another engine, draws, the same data written differently.

beta_rows <- function(f) {
  s <- as.data.frame(summary(f))
  rownames(s) <- s$variable
  s[grepl("^beta", s$variable), , drop = FALSE]
}
integration_error <- function(f) f$integrated$error %||% 0
converged <- function(f) is.null(f$converged) || f$converged

# ---- another engine ------------------------------------------------------------------

# Against fit_exact() for the Gaussian family, fit_gibbs() for the others. Linear response may be
# off by half an SD where it was not integrated, the Polya-Gamma bound by more.
agree_independent <- function(f, x) {
  if (!is_vb(f) || !converged(f) || !nrow(beta_rows(f))) return(invisible())
  if (is_gaussian_fit(f)) agree_exact(f) else agree_gibbs(f, grepl("pg", x$text))
}

agree_exact <- function(f) {
  s <- beta_rows(f)
  r <- beta_rows(fit_exact(f))
  if (!identical(rownames(r), rownames(s))) disagree("exact: other rows")
  integrated <- identical(s$source[1L], "integrated")
  off <- max(abs(s$mean - r$mean) / r$sd)
  ratio <- range(s$sd / r$sd)
  if (off > if (integrated) .1 else .5) disagree("exact: a mean is off by ", signif(off, 3), " SD")
  if (integrated && (ratio[1L] < .9 || ratio[2L] > 1.1)) {
    disagree("exact: SD ratio ", toString(signif(ratio, 3)))
  }
}

agree_gibbs <- function(f, pg) {
  s <- beta_rows(f)
  r <- beta_rows(suppressWarnings(fit_gibbs(f, chains = 4, iter = 1500, warmup = 500)))
  ok <- r$rhat < 1.02 & r$ess_bulk > 400
  if (!any(ok)) return(invisible())
  integrated <- identical(s$source[1L], "integrated")
  off <- max(((abs(s$mean - r$mean) - 5 * r$mcse_mean) / r$sd)[ok])
  ratio <- range((s$sd / r$sd)[ok])
  limit <- if (pg) 1.5 else if (integrated) .15 else .6
  if (off > limit) disagree("gibbs: a mean is off by ", signif(off, 3), " SD")
  if (integrated && !pg && (ratio[1L] < .75 || ratio[2L] > 1.33)) {
    disagree("gibbs: SD ratio ", toString(signif(ratio, 3)))
  }
}

# ---- draws ---------------------------------------------------------------------------

# The draws and the summary are one distribution. Means of 4,000 draws within 5 standard errors; SDs
# within 12%, or 5 of their standard errors where tails are heavy; and in the tails as many draws as
# the quantiles say.
agree_draws <- function(f, x) {
  if (inherits(f, c("gibbs_fit", "gmm_gibbs_fit")) || !converged(f)) return(invisible())
  mixture <- inherits(f, "gmm_fit")
  s <- as.data.frame(if (mixture) summary(f) else summary(f, pars = "u"))
  d <- posterior::as_draws_matrix(
    if (mixture) as_draws(f, ndraws = 4000) else as_draws(f, ndraws = 4000, u = TRUE))
  if (!setequal(colnames(d), s$variable)) disagree("draws: other variables than the summary")
  for (v in s$variable) agree_draws_of(unclass(d)[, v], s[match(v, s$variable), ], v)
}

agree_draws_of <- function(d, row, v) {
  # ?as_draws: elements of a matrix under linear response come near their summary only
  if (identical(row$source, "lrvb") && grepl("^(Lambda|Sigma|log_det)", v)) return(invisible())
  if (grepl("^(log_)?pi", v)) return(invisible()) # a beta and a normal of their own, see ?summary.gmm_vb_fit
  if (isTRUE(row$sd <= 1e-7 * abs(row$mean))) return(invisible()) # a point, up to rounding
  n <- length(d)
  error <- .01 * row$sd + row$sd / sqrt(n)
  linear <- grepl("^(beta|u|mu|log_)", v)
  if (linear && isTRUE(abs(mean(d) - row$mean) > 5 * error)) {
    disagree("draws: the mean of ", v, " is ", signif(mean(d), 4), ", in the summary ",
      signif(row$mean, 4))
  }
  if (linear && isTRUE(row$sd > 0)) {
    slack <- max(.12, 5 * posterior::mcse_sd(d) / row$sd, na.rm = TRUE)
    if (isTRUE(abs(stats::sd(d) / row$sd - 1) > slack)) {
      disagree("draws: the SD of ", v, " is ", signif(stats::sd(d), 3), ", in the summary ",
        signif(row$sd, 3))
    }
  }
  tails <- c(mean(d < row$q2.5), mean(d > row$q97.5))
  if (isTRUE(any(abs(tails - .025) > .01 + 5 * sqrt(.025 * .975 / n)))) {
    disagree("draws: beyond the quantiles of ", v, " lie ", toString(signif(tails, 2)))
  }
}

# ---- invariance ----------------------------------------------------------------------

# A change of the data that must not change the fit: change(x) gives the data, and `unit`, a
# factor on the response, or another `call`; when says for which calls it holds.
plain_call <- function(x) is.null(x$call$subset) && !x$spelling %in% c("no_data", "odd_names")
# The prior of a coefficient depends on what it stands for; the rows say so much more here that it
# hardly matters.
weak_prior <- function(x) x$default_prior && x$family == "gaussian" && x$n >= 40
mentions <- function(x, ...) any(vapply(c(...), grepl, NA, x = x$formula, fixed = TRUE))
invariances <- list(
  row_order = list(
    when = function(x) plain_call(x) && !mentions(x, "id") && x$spelling != "tibble",
    change = function(x) {
      list(d = x$d[sample.int(nrow(x$d)), , drop = FALSE])
    }
  ),
  group_labels = list(
    when = function(x) plain_call(x) && !anyNA(x$d$g) && !grepl("[~+] g\\b", x$formula),
    change = function(x) {
      code <- match(x$d$g, sample(unique(x$d$g)))
      list(d = replace(x$d, "g", list(factor(paste0("L", code)))))
    }
  ),
  level_order = list( # another reference level
    when = function(x) plain_call(x) && weak_prior(x) && mentions(x, "f1") &&
      !mentions(x, "(f1", "+ f1 |"),
    change = function(x) {
      f <- factor(x$d$f1, levels = sample(levels(x$d$f1)))
      list(d = replace(x$d, "f1", list(f)))
    },
    loose = TRUE
  ),
  origin_of_x = list(
    when = function(x) plain_call(x) && x$default_prior && linear_in_x1(x) && !no_origin(x),
    change = function(x) list(d = replace(x$d, "x1", list(x$d$x1 + 3)))
  ),
  unit_of_x = list(
    when = function(x) plain_call(x) && x$default_prior && linear_in_x1(x),
    change = function(x) list(d = replace(x$d, "x1", list(x$d$x1 * 2^pick(c(-9, 9)))))
  ),
  unit_of_y = list(
    when = function(x) plain_call(x) && x$default_prior && x$family == "gaussian" &&
      grepl("^y ~", x$formula) && is.null(x$call$offset) && !mentions(x, "offset"),
    change = function(x) {
      unit <- 2^pick(c(-20, -7, 7, 20))
      list(d = replace(x$d, "y", list(x$d$y * unit)), unit = unit)
    }
  ),
  contrasts = list(
    when = function(x) plain_call(x) && weak_prior(x) && is.null(x$call$contrasts) &&
      mentions(x, "f1") && !mentions(x, "(f1", "+ f1 |"),
    change = function(x) {
      x$call$contrasts <- quote(list(f1 = "contr.sum"))
      list(d = x$d, call = x$call)
    },
    loose = TRUE
  )
)
# Without an intercept, of the fixed part or beside a slope, the origin of x1 is part of the model.
no_origin <- function(x) grepl("~ 0", x$formula) || mentions(x, "(0 + x1", "||")
# x1 alone and in terms that follow its origin: no products, powers, other functions.
linear_in_x1 <- function(x) {
  bare <- gsub("poly(x1, 2)", "", x$formula, fixed = TRUE)
  bent <- c("x1[:*^]", "[:*]x1", "[(]x1[)]", "ns\\(x1", "scale", "abs", "%in%", "x1 \\*", "\\* x1",
    "1 \\| x1")
  grepl("x1", x$formula) && !grepl(paste(bent, collapse = "|"), bare)
}

agree_invariant <- function(f, x) {
  if (is_gibbs(f) || !converged(f)) return(invisible())
  able <- Filter(function(i) isTRUE(i$when(x)), invariances)
  if (!length(able)) return(invisible())
  name <- pick(names(able))
  new <- able[[name]]$change(x)
  e <- list2env(c(x$objects, list(d = new$d)), parent = globalenv())
  g <- suppressWarnings(eval(new$call %||% x$call, e))
  same_predictions(f, g, new, gsub("_", " ", name), isTRUE(able[[name]]$loose))
}

# Linear predictors and their SDs row by row. `loose`: up to what a weak prior makes of it.
same_predictions <- function(f, g, new, what, loose) {
  if (is.null(f$model$frame)) return(invisible())
  a <- predict(f, se.fit = TRUE)
  b <- lapply(predict(g, se.fit = TRUE), `/`, new$unit %||% 1)
  if (!setequal(names(a$fit), names(b$fit))) disagree(what, ": predictions of other rows")
  b <- lapply(b, function(v) v[names(a$fit)])
  off <- max(abs(unname(a$fit) - unname(b$fit)) / a$se.fit, na.rm = TRUE)
  ratio <- max(abs(unname(b$se.fit) / unname(a$se.fit) - 1), na.rm = TRUE)
  limit <- if (loose) .2 else 1e-3 + integration_error(f)
  if (isTRUE(max(off, ratio) > limit)) {
    disagree(what, ": a prediction moves by ", signif(off, 3), " SD, an SD by ",
      signif(100 * ratio, 3), "%")
  }
}

# ---- chunks --------------------------------------------------------------------------

# The rows in two chunks, their sums added: the fit of all the rows, or a refusal. Bases that the
# first chunk makes, and levels that no row has, are another model.
agree_chunks <- function(f, x) {
  if (!is_gaussian_fit(f) || is_gibbs(f) || !converged(f) || !has_chunks(x)) return(invisible())
  first <- sample(rep_len(c(TRUE, FALSE), nrow(x$d)))
  chunk <- x$call[names(x$call) %in% c("", "weights", "subset", "offset", "na.action", "contrasts")]
  chunk[[1L]] <- quote(gram)
  if (is.character(chunk[[2L]])) chunk[[2L]] <- str2lang(chunk[[2L]])
  sums <- function(rows) {
    chunk$data <- x$d[rows, , drop = FALSE]
    eval(chunk, globalenv())
  }
  fit <- as.call(c(x$call[[1L]], quote(total),
    as.list(x$call)[names(x$call) %in% c("prior", "blocks", "integrate", "control", "draws")]))
  e <- list2env(list(total = sums(first) + sums(!first)), parent = globalenv())
  g <- tryCatch(eval(fit, e), meanfield_warning_levels = function(w) NULL)
  if (!is.null(g)) same_coefficients(f, g)
}

has_chunks <- function(x) {
  !x$spelling %in% c("no_data", "variable", "data_first") && !mentions(x, "poly", "ns(", "scale") &&
    (is.null(x$call$subset) || length(all.vars(x$call$subset)))
}

same_coefficients <- function(f, g) {
  s <- beta_rows(f)
  r <- beta_rows(g)
  if (!setequal(rownames(s), rownames(r)) || f$model$gram$n != g$model$gram$n) {
    disagree("chunks: other rows")
  }
  r <- r[rownames(s), ]
  off <- max(0, abs(s$mean - r$mean) / s$sd, abs(r$sd / s$sd - 1), na.rm = TRUE)
  if (off > 1e-4 + integration_error(f)) {
    disagree("chunks: a coefficient moves by ", signif(off, 3), " SD")
  }
}

# Components of rescaled data are the same components.
agree_mixture_units <- function(f, x) {
  if (!inherits(f, "gmm_vb_fit") || !converged(f) || grepl("mixture_prior|integer", x$text)) {
    return(invisible())
  }
  k <- 2^pick(c(-9, 9))
  g <- suppressWarnings(eval(x$call, list2env(list(obs = x$x * k), parent = globalenv())))
  if (!isTRUE(all.equal(coef(g) / k, coef(f), tolerance = 1e-5))) {
    disagree("unit of x: the means move by ", signif(max(abs(coef(g) / k - coef(f))), 3))
  }
}
