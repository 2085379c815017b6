# Random targets: log densities with every kind of trouble, constraints, settings, and what is
# called on their fits.

# ---- parameters ----------------------------------------------------------------------

# A kind of parameter: value (a start), constraint, and terms, expressions of x, its value, whose
# sum is a proper log density, but for those that say otherwise.
parameter <- function(weight, value, constraint, ...) {
  list(weight = weight, value = value, constraint = constraint, terms = list(...))
}

few <- function(most = 3L) sample.int(most, 1L)
scaled_normal <- function() {
  bquote(sum(dnorm(x, .(pick(c(0, 0, 2, -30))), .(pick(c(1, 1, .1, 20))), log = TRUE)))
}

parameter_kinds <- list(
  free = parameter(4, function() stats::rnorm(few()), NULL, scaled_normal, scaled_normal,
    function() bquote(sum(dt(x / .(pick(c(1, 5))), .(pick(c(1, 2, 4, 30))), log = TRUE))),
    function() bquote(sum(log(.5 * dnorm(x, -.(pick(c(1, 3, 6)))) + .5 * dnorm(x, 2)))),
    function() quote(-sum(abs(x)) - length(x) * log(2)),
    function() quote(-sum(x^4)),
    function() quote(sum(dnorm(x, 0, 1 + .9 * tanh(c(0, x[-length(x)])), log = TRUE))),
    function() quote(sum(dlogis(x - 2 * sum(x), log = TRUE))),
    function() quote(0 * sum(x)), # improper
    function() quote(-sum(exp(x)) + sum(x))),
  positive = parameter(3, function() stats::rexp(few(2L)) + .1, quote(positive()),
    function() bquote(sum(dgamma(x, .(pick(c(.3, 1, 2, 40))), .(pick(c(1, .01, 50))), log = TRUE))),
    function() bquote(sum(dlnorm(x, 0, .(pick(c(.2, 1, 2))), log = TRUE))),
    function() quote(sum(dt(x, 3, log = TRUE))),
    function() quote(-sum(log(x)))), # improper
  lower = parameter(1, function() 3 + stats::rexp(1L), quote(lower_bounded(2.5)),
    function() quote(dexp(x - 2.5, 2, log = TRUE))),
  upper = parameter(1, function() -stats::rexp(2L), quote(upper_bounded(1)),
    function() quote(sum(dnorm(x, 0, 2, log = TRUE)))),
  bounded = parameter(1, function() stats::runif(few(2L), -.8, 1.8), quote(bounded(-1, 2)),
    function() quote(0 * sum(x)), function() quote(sum(dnorm(x, 2, .3, log = TRUE)))),
  unit = parameter(1, function() stats::runif(1L, .1, .9), quote(unit_interval()),
    function() bquote(dbeta(x, .(pick(c(.2, 1, 9))), 2, log = TRUE))),
  ordered = parameter(1, function() sort(stats::rnorm(3L)), quote(ordered_vector()),
    function() quote(sum(dnorm(x, log = TRUE)))),
  positive_ordered = parameter(1, function() cumsum(stats::rexp(2L) + .1),
    quote(positive_ordered()), function() quote(-sum(x))),
  simplex = parameter(1, function() rep(1 / 3, 3L), quote(simplex()),
    function() bquote(sum(.(pick(c(-.5, 0, 3))) * log(x)))),
  correlation = parameter(.7, function() diag(pick(2:3)), quote(correlation()),
    function() quote(as.numeric(determinant(x)$modulus))),
  cholesky = parameter(.7, function() diag(pick(2:3)), quote(cholesky_correlation()),
    function() quote(sum(log(diag(x))))),
  covariance = parameter(.7, function() diag(2), quote(covariance_matrix()),
    function() quote(3 * as.numeric(determinant(x)$modulus) - sum(diag(x)) / 2))
)

# ---- trouble -------------------------------------------------------------------------

# What may be wrong with a log density: an expression of value, what it would be, and of x, the
# first parameter.
density_mutations <- list(
  none = list(weight = 12, wrap = quote(value)),
  error = list(weight = 1, wrap = quote(if (x[1L] > 2) stop("out of reach") else value)),
  error_often = list(weight = .5, wrap = quote(if (x[1L] > .3) stop("out of reach") else value)),
  nan = list(weight = 1, wrap = quote(if (x[1L] < -1.5) NaN else value)),
  warns = list(weight = .7, wrap = quote(if (x[1L] < 0) value + 0 * sum(log(-1)) else value)),
  ends = list(weight = 1, wrap = quote(if (x[1L] > 1) -Inf else value)),
  jumps = list(weight = 1, wrap = quote(value + 2 * (x[1L] > .2))),
  infinite = list(weight = .5, wrap = quote(if (x[1L] > 2) Inf else value)),
  far = list(weight = .7, wrap = quote(value + 1e9)),
  tiny = list(weight = .5, wrap = quote(value * 1e-6)),
  sharp = list(weight = .5, wrap = quote(value * 1e6)),
  long = list(weight = .3, wrap = quote(c(value, value))),
  text = list(weight = .2, wrap = quote("value")),
  missing = list(weight = .2, wrap = quote(if (x[1L] > 0) NA_real_ else value)),
  null = list(weight = .2, wrap = quote(NULL))
)

target_generated <- list(NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  quote(function(p) list(first = p$a[1L]^2, last = exp(-abs(p$a[1L])))),
  quote(function(p) list(ratio = 1 / p$a[1L])), quote(function(p) list(fixed = 3)),
  quote(function(p) list(root = sqrt(p$a[1L]))), quote(function(p) stop("never")),
  quote(function(p) list(m = p$a %o% p$a)))

# The differences of the log density by its elements, the right gradient; or a wrong one.
target_gradient <- function(density, how) {
  function(p) {
    flat <- unlist(p, use.names = FALSE)
    h <- 1e-5 * pmax(1, abs(flat))
    at <- function(k, step) density(utils::relist(replace(flat, k, flat[k] + step), p))
    g <- vapply(seq_along(flat), function(k) (at(k, h[k]) - at(k, -h[k])) / (2 * h[k]), 0)
    if (how == "wrong") g[1L] <- 1.2 * g[1L] + .01
    if (how == "nan") g[1L] <- if (flat[1L] > 1) NaN else g[1L]
    utils::relist(g, p)
  }
}

# ---- engines -------------------------------------------------------------------------

vb_controls <- list(quote(vb_control(max_gradients = 2000)), quote(vb_control(max_gradients = 600)),
  quote(vb_control(max_gradients = 5000, importance_points = 256)),
  quote(vb_control(max_gradients = 100)), quote(vb_control(points = 8, max_gradients = 3000)),
  quote(vb_control(max_gradients = 3000, steps = 100, draws = 2)))

target_engines <- list(
  default = list(weight = 4, make = function(target) {
    list(quote(fit_vb), target, control = pick(vb_controls))
  }),
  vb = list(weight = 4, make = function(target) {
    cl <- list(quote(fit_vb), target, control = pick(vb_controls))
    cl <- maybe(cl, "approximation", .7, c("fullrank", "meanfield", "lowrank", "pathfinder"))
    cl <- maybe(cl, "refine", .7, c("no", "importance", "hmc"))
    cl <- maybe(cl, "optimiser", .25, c("stein", "lbfgs", "pathwise", "score"))
    maybe(cl, "rank", .1, 0:2)
  }),
  exact = list(weight = 2, make = function(target) {
    cl <- list(quote(fit_exact), target, max_points = pick(c(2000, 2e4)),
      control = pick(vb_controls))
    maybe(cl, "tol", .3, c(1e-2, 1e-6))
  }),
  hmc = list(weight = 2, make = function(target) {
    cl <- list(quote(fit_hmc), target, chains = pick(c(1, 2, 4)), iter = pick(c(20, 60, 150)),
      warmup = pick(c(0, 10, 15, 40)))
    cl <- maybe(cl, "method", .5, c("nuts", "hmc"))
    cl <- maybe(cl, "target_accept", .2, c(.5, .99))
    maybe(cl, "adapt_metric", .3, c(TRUE, FALSE))
  })
)

# ---- a case --------------------------------------------------------------------------

draw_target_case <- function() {
  kinds <- sample(names(parameter_kinds), few(2L),
    prob = vapply(parameter_kinds, `[[`, 0, "weight"), replace = TRUE)
  names <- letters[seq_along(kinds)]
  start <- stats::setNames(lapply(kinds, function(k) parameter_kinds[[k]]$value()), names)
  constraints <- Filter(Negate(is.null), stats::setNames(
    lapply(kinds, function(k) eval(parameter_kinds[[k]]$constraint)), names))
  terms <- Map(function(k, name) {
    substitute_x(pick(parameter_kinds[[k]]$terms)(), name)
  }, kinds, names)
  how <- sample(names(density_mutations), 1L,
    prob = vapply(density_mutations, `[[`, 0, "weight"))
  value <- Reduce(function(a, b) call("+", a, b), terms)
  wrapped <- substitute_x(density_mutations[[how]]$wrap, "a")
  body <- bquote({
    value <- .(value)
    .(wrapped)
  })
  with_data <- chance(.2)
  density <- eval(call("function", as.pairlist(c(alist(p = ), if (with_data) alist(data = ))),
    body),
    globalenv())
  if (with_data) body(density)[[2L]][[3L]] <- call("*", quote(data$power), value)
  model <- list(quote(target), quote(density), quote(start), constraints = quote(limits))
  if (with_data) model$data <- quote(list(power = 1, y = 1:3))
  slope <- pick(c("none", "none", "none", "differences", "right", "right", "wrong", "nan"))
  gradient <- if (!slope %in% c("none", "differences") && !with_data && length(start) == 1L) {
    target_gradient(density, slope)
  }
  if (slope == "differences") model$gradient <- slope
  if (!is.null(gradient)) model$gradient <- quote(slopes)
  if (!with_data) model$generated <- pick(target_generated)
  cl <- as.call(pick_by_weight(target_engines)$make(as.call(model)))
  list(call = cl, d = data.frame(), column = identity, tags = c(how, slope), trouble = how,
    objects = list(density = density, start = start, limits = constraints, slopes = gradient),
    text = sprintf("%s {%s} %s %s", paste(kinds, collapse = "+"), how,
      one_line(deparse1(value), 200L), one_line(deparse1(cl), 400L)))
}

substitute_x <- function(term, name) {
  do.call(substitute, list(term, list(x = call("$", quote(p), as.name(name)))))
}

# ---- steps ---------------------------------------------------------------------------

is_target_vb <- function(f) inherits(f, "target_vb_fit")
is_target_hmc <- function(f) inherits(f, "target_hmc_fit")
first_parameter <- function(f) as.data.frame(summary(f))$variable[1L]

# Of a constant the SD is 0; rows without moments are NA.
check_target_summary <- function(s) {
  s <- as.data.frame(s)
  constant <- !is.na(s$sd) & s$sd <= 1e-12 * pmax(1, abs(s$mean))
  check_summary(s[!constant, ])
  check_rows(s, bad_numbers(s$mcse_mean) | bad_numbers(s$mcse_sd), "mcse is NaN or infinite")
  check_rows(s, s$mcse_mean < 0 | s$mcse_sd < 0, "a negative standard error")
}

target_steps <- list(
  summary = function(f, x) check_target_summary(summary(f)),
  summary_level = function(f, x) check_finite(summary(f, level = .5)[c("q25", "q75")], "q25",
    na = TRUE),
  print = function(f, x) check_printed(f),
  print_summary = function(f, x) check_printed(summary(f)),
  print_model = function(f, x) check_printed(f$model),
  tidy = function(f, x) check_finite(tidy(f, conf.int = TRUE)[-(1:2)], "tidy", na = TRUE),
  glance = function(f, x) check_finite(glance(f), "glance", na = TRUE),
  confint = function(f, x) {
    p <- confint(f)
    check_finite(p, "confint", na = TRUE)
    if (any(p[, 1L] > p[, 2L], na.rm = TRUE)) wrong("confint: not ordered")
  },
  vcov = function(f, x) {
    V <- vcov(f)
    if (!anyNA(V)) check_vcov(V, "vcov")
  },
  vcov_all = function(f, x) check_finite(vcov(f, pars = "all"), "vcov all", na = TRUE),
  hypothesis = function(f, x) {
    h <- as.data.frame(hypothesis(f, paste0("`", first_parameter(f), "` > 0")))
    check_finite(h[2:5], "hypothesis", na = TRUE)
  },
  as_draws = function(f, x) {
    d <- if (is_target_hmc(f)) as_draws(f) else as_draws(f, ndraws = 50)
    parameters <- f$model$variables$variable[f$model$variables$kind == "parameter"]
    check_finite(unclass(posterior::as_draws_matrix(d))[, parameters], "as_draws")
  },
  as_draws_rvars = function(f, x) posterior::as_draws_rvars(f),
  plot = function(f, x) plot(f),
  plot_convergence = function(f, x) if (is_target_vb(f)) plot(f, what = "convergence"),
  predict = function(f, x) {
    p <- predict(f, function(p) c(one = sum(p$a), two = 3), ndraws = 30)
    check_finite(p, "predict")
    check_size(p, 2L, "predict")
  },
  predict_wrong = function(f, x) {
    predict(f, pick(list(function(p) "a", function(p) stop("no"), 3, function(p) numeric(),
      function(p) seq_len(1 + (p$a[1L] > .1)))), ndraws = 20)
  },
  vb_khat = function(f, x) {
    k <- vb_khat(f)
    check_printed(k)
    if (is.nan(k)) wrong("vb_khat: NaN")
  },
  vb_sensitivity = function(f, x) check_finite(vb_sensitivity(f), "sensitivity", na = TRUE),
  compare = function(f, x) check_printed(meanfield::compare(a = f, b = f)),
  logLik = function(f, x) check_finite(logLik(f), "logLik"),
  sd_ratio_report = function(f, x) {
    r <- sd_ratio_report(f)
    check_printed(r)
    check_finite(as.data.frame(r)[c("ratio_mfvb", "ratio_lrvb")], "ratios", na = TRUE)
  },
  report_hmc = function(f, x) {
    r <- sd_ratio_report(f, fit_hmc(f, chains = 2, iter = 60, warmup = 20))
    check_printed(r)
  },
  saveRDS = summary_steps$saveRDS,
  update = function(f, x) check_target_summary(summary(update(f))),
  update_refine = function(f, x) if (is_target_vb(f)) update(f, refine = "no"),
  update_call = update_steps$update_call,
  vb_of = function(f, x) {
    check_target_summary(summary(fit_vb(f, refine = "no",
      control = vb_control(max_gradients = 2000))))
  },
  exact_of = function(f, x) check_target_summary(summary(fit_exact(f, max_points = 2000))),
  hmc_of = function(f, x) {
    check_target_summary(summary(fit_hmc(f, chains = 1, iter = 40, warmup = 10)))
  },
  others = function(f, x) { # what a target does not have is refused
    what <- pick(c("coef", "fixef", "ranef", "VarCorr", "icc", "r2", "ngrps", "residuals", "fitted",
      "formula", "model.frame", "fit_gibbs", "simulate", "sigma", "family"))
    value <- tryCatch(get(what)(f), error = identity)
    if (inherits(value, "meanfield_error")) stop(value)
    if (inherits(value, "error")) wrong(what, "() is not refused: ", conditionMessage(value))
  }
)

# ---- two ways ------------------------------------------------------------------------

# A fit without a flag, and not only a Gaussian, against the lattice where that knows its own error
# and warns of nothing: no mean off by .1 SD, no SD by a tenth.
agree_lattice <- function(f, x) {
  if (!is_target_vb(f) || length(f$flags) || f$model$d > 3L || anyNA(f$table$mcse_sd)) {
    return(invisible())
  }
  e <- tryCatch(fit_exact(f, max_points = 1e5), meanfield_warning = function(w) NULL,
    meanfield_error = function(e) NULL)
  if (is.null(e) || e$method != "lattice") return(invisible())
  a <- as.data.frame(summary(f))
  b <- as.data.frame(summary(e))
  off <- (abs(a$mean - b$mean) - 5 * b$mcse_mean) / b$sd
  ratio <- abs(a$sd - b$sd) / b$sd - 5 * b$mcse_sd / b$sd
  for (k in which(off > .1 | ratio > .1)) {
    disagree("lattice: ", a$variable[k], " has mean ", signif(a$mean[k], 4), ", SD ",
      signif(a$sd[k], 3), "; by the lattice ", signif(b$mean[k], 4), ", ", signif(b$sd[k], 3))
  }
}

# The same target twice is the same fit.
agree_again <- function(f, x) {
  if (is_target_hmc(f)) return(invisible())
  g <- suppressWarnings(eval(x$call, globalenv()))
  if (!identical(as.data.frame(summary(f)),
    as.data.frame(summary(g)))) disagree("again: another fit")
}
