# Garbage for the C entries and for the methods of fits; tests/fuzz/garbage.R makes more of it.
# Every item is made from a seed of its own and can be run again by itself.

# ---- values and mutations ---------------------------------------------------------------------

garbage_value <- function() {
  n <- sample(0:12, 1L)
  pool <- list(
    NULL, NA, TRUE, FALSE, integer(), numeric(), character(), list(), 0L, 1L, -1L, 2L, NA_integer_,
    .Machine$integer.max, -.Machine$integer.max, 0, 1, -1, .5, 1e300, 1e-300, NaN, NA_real_, Inf,
    -Inf, "", "a", NA_character_, 1i, raw(3), list(1, "a"), list(x = NULL), function(x) x, sum,
    quote(a + b), as.name("x"), new.env(), expression(x), pairlist(a = 1), y ~ x,
    factor(c("a", "b")), data.frame(x = 1:2), asS4(list(1)), structure(list(), class = "vb_fit"),
    matrix(0, 0L, 0L), matrix(0, 2L, 2L), matrix(NaN, 3L, 1L), array(1, c(2L, 2L, 2L)),
    stats::rnorm(n), sample.int(20L, n, TRUE) - 5L, matrix(stats::rnorm(n * 2), 2L),
    as.list(seq_len(n))
  )
  pool[[sample.int(length(pool), 1L)]]
}

# One random change somewhere inside x.
mutate <- function(x) {
  inside <- is.list(x) && length(x) > 0L
  if (inside && stats::runif(1L) < .9) return(mutate_element(x))
  if (!is.atomic(x) && !is.list(x) || stats::runif(1L) < .3) return(garbage_value())
  if (is.list(x)) return(mutate_list(x))
  mutate_vector(x)
}

mutate_element <- function(x) {
  i <- sample.int(length(x), 1L)
  kept <- attributes(x)
  x <- unclass(x)
  value <- mutate(x[[i]])
  if (is.null(value)) x[i] <- list(NULL) else x[[i]] <- value
  attributes(x) <- kept
  x
}

mutate_list <- function(x) {
  switch(sample.int(6L, 1L),
    x[-sample.int(max(length(x), 1L), 1L)],
    unname(x),
    rev(x),
    c(x, list(garbage_value())),
    unclass(x),
    stats::setNames(x, rev(names(x)))
  )
}

mutate_vector <- function(x) {
  n <- length(x)
  switch(sample.int(9L, 1L),
    put_special(x), put_special(x), put_special(x),
    x[-1L], c(x, x[1L]), x[0L],
    as.vector(x),
    other_type(x),
    if (n) x[sample.int(n)] else garbage_value()
  )
}

other_type <- function(x) {
  if (is.integer(x)) return(as.double(x))
  if (is.numeric(x)) suppressWarnings(as.integer(x)) else as.list(x)
}

put_special <- function(x) {
  if (!length(x) || is.raw(x)) return(garbage_value())
  at <- sample.int(length(x), 1L)
  x <- if (is.object(x)) unclass(x) else x
  special <- c(NA, NaN, Inf, -Inf, 0, -1, 1, 2, 1e308, 1e-308, .Machine$integer.max)
  if (is.numeric(x)) {
    new <- c(special, -x[at], x[at] + 1, x[at] - 1, x[at] * 1e8)
    new <- new[sample.int(length(new), 1L)]
    if (is.integer(x)) new <- suppressWarnings(as.integer(new))
    x[at] <- new
  } else {
    x[at] <- NA
  }
  x
}

# Long runs are legal, not garbage.
tame <- function(x) {
  if (!is.list(x)) return(x)
  lengths <- c("iter", "max_iter", "max_leapfrogs", "max_inner", "max_points")
  for (name in intersect(lengths, names(x))) {
    v <- x[[name]]
    if (is.numeric(v) && length(v) == 1L && !is.na(v) && v > 1000) x[[name]] <- 200L
  }
  x
}

# ---- C entries --------------------------------------------------------------------------------

garbage_data <- function() {
  set.seed(1)
  d <- data.frame(x = stats::rnorm(48), g = gl(6, 8), h = gl(3, 1, 48), w = stats::runif(48))
  d$y <- stats::rnorm(48) + stats::rnorm(6)[d$g]
  d$k <- stats::rpois(48, 2)
  d$b <- stats::rbinom(48, 1, .4)
  d
}

garbage_fits <- function() {
  d <- garbage_data()
  set.seed(2)
  gaussian <- fit_vb(y ~ x + (1 | g), d)
  mixture <- fit_vb(gaussian_mixture(faithful, 2), starts = 2)
  topics <- fit_vb(lda(tiny_counts, 2))
  few <- list(iter = 160, warmup = 100, chains = 2)
  sampled <- function(object, ...) suppressWarnings(do.call(fit_gibbs, c(list(object, ...), few)))
  list(
    linear = fit_vb(y ~ x, d, weights = w), gaussian = gaussian,
    crossed = fit_vb(y ~ x + (x || g) + (1 | h), d, integrate = "no"),
    slopes = fit_vb(y ~ x + (x | g), d), separate = fit_vb(y ~ x + (1 | g), d, blocks = "separate"),
    glm = fit_vb(b ~ x, d, family = binomial()),
    poisson = fit_vb(k ~ x + (1 | g / h), d, family = poisson(), integrate = "yes"),
    negbin = fit_vb(k ~ x + (1 | g), d, family = neg_binomial()),
    nested = nested_fit(), iterated = iterated_fit(d),
    exact = fit_exact(y ~ x + (1 | g), d, draws = 200), gibbs = sampled(gaussian),
    binomial_gibbs = sampled(b ~ x + (1 | g), d, family = binomial()),
    mixture = mixture, mixture_gibbs = sampled(mixture), topics = topics, topics_gibbs = sampled(topics), target = fit_vb(conjugate_target()),
    target_exact = fit_exact(conjugate_target()),
    target_hmc = suppressWarnings(fit_hmc(conjugate_target(), chains = 1, iter = 100, warmup = 50))
  )
}

# Of which the global block is sparse, and packed.
nested_fit <- function() {
  d <- data.frame(a = rep(1:70, each = 4), b = rep(1:2, each = 2), x = sin(1:280), y = cos(1:280 * 5))
  fit_vb(y ~ x + (1 + x | a / b), d, integrate = "no")
}

# By conjugate gradients.
iterated_fit <- function(d) {
  fit <- fit_vb(y ~ x + (1 | g) + (1 | h), d, integrate = "no")
  model <- fit$model
  model$iterations <- iteration_settings(few = 1L)
  new_vb_fit(fit$call, model, vb_control(), "no")
}

# The arguments that C was given while an expression was evaluated: list(entry, args) each.
captured_calls <- function(expr) {
  ns <- asNamespace("meanfield")
  own <- get("call_core", ns)
  seen <- list()
  swap <- function(f) {
    unlockBinding("call_core", ns)
    assign("call_core", f, ns)
    lockBinding("call_core", ns)
  }
  on.exit(swap(own))
  swap(function(entry, ...) {
    seen[[length(seen) + 1L]] <<- list(entry = entry$name, args = list(...))
    own(entry, ...)
  })
  force(expr)
  seen
}

# A target with a block of each kind.
garbage_target <- function() {
  square <- list(R = correlation(), L = cholesky_correlation(), S = covariance_matrix())
  vectors <- list(o = ordered_vector(), q = positive_ordered(), w = simplex(), a = positive(),
    b = upper_bounded(3), c = bounded(0, 1:2))
  init <- list(R = diag(2), L = diag(2), S = diag(3), o = 1:2, q = 1:2, w = c(.2, .3, .5), a = 1,
    b = 1:2, c = c(.5, 1), free = 0)
  target(function(p) -sum(unlist(p)^2), init, function(p) lapply(p, function(x) -2 * x),
    c(square, vectors))
}

# The engines of any log density, on a Gaussian that only R knows.
ask_engines <- function() {
  ev <- function(Z, gradient) {
    list(lp = -colSums((Z - 1)^2) / 2, gradient = if (gradient) 1 - Z)
  }
  few <- list(max_iter = 20L, tol = 1e-6, max_points = 400)
  E <- fixed_points(8L, 2L)
  root <- matrix(c(1, .3, 0, 2), 2L)
  call_bb_lbfgs(ev, c(3, -2), 20L, 1e-6, 400)
  call_bb_gva(ev, c(0, 0), root, E, 20L, 1e-6, 400)
  call_bb_factorised(ev, E, c(0, 0, -1, -1), few)
  flow <- list(m = c(0, 0), L = root, layers = 3L, hidden = 2L)
  settings <- list(steps = 3L, draws = 4L, rate = .1, clip = 1, cold = .5, path = TRUE,
    max_points = 100)
  flow$w <- call_bb_flow(ev, flow, settings)$result$w
  call_bb_flow(ev, flow, replace(settings, "path", FALSE))
  for (inverse in c(TRUE, FALSE)) call_bb_flow_map(flow, E, inverse)
  for (solve in c(TRUE, FALSE)) {
    call_bb_factorised_response(ev, E, c(1, 1, 0, 0), diag(4),
      list(solve = solve, tol = 1e-9, max_inner = 20L, max_points = 400))
  }
  for (method in c("nuts", "hmc")) {
    for (L in list(root, c(1, 2))) {
      hmc_run(ev, c(0, 0), L, 2L, 30L, 20L, method, adapt_metric = TRUE, max_points = 900,
        progress = identity)
    }
  }
}

# The joint density of a fit and its sampler.
ask_joint <- function(fit) {
  j <- joint_of(fit)
  x <- cbind(j$m, j$m)
  for (slope in c(TRUE, FALSE)) call_joint(j$core, j$centre, j$scale, x, slope)
  call_joint_theta(j$core, j$centre, j$scale, x)
  settings <- hmc_settings(2L, 12L, 8L, "nuts", NULL, "auto", 4L, 24L)
  suppressWarnings(run_joint(j, settings))
}

# Networks: the autoencoder with each encoder, the Bayesian network of each family.
ask_networks <- function() {
  x <- cbind(a = sin(1:12), b = cos(1:12 * 2), c = sin(1:12 * 3))
  for (encoder in c("network", "linear", "none")) {
    fit <- fit_vb(vae(x, 1, hidden = 2, encoder = encoder), control = vb_control(epochs = 20))
    predict(fit, x[1:3, ], type = "log_lik")
  }
  y <- list(gaussian = x[, 3], binomial = rep(0:1, 6), categorical = rep(1:3, 4))
  for (family in names(y)) {
    model <- bnn(x[, 1:2], y[[family]], 2, family)
    set.seed(1)
    predict(suppressWarnings(fit_hmc(model, chains = 2, iter = 30, warmup = 20)))
  }
}

ask_slope <- function(fit) {
  core <- engine_core(fit$model)
  centre <- vb_centre(core, fit$vb)
  psi <- cbind(nest_start(fit$posterior$tau)$mean)
  known <- list(psi = psi, state = call_nest_fits(core, centre, psi)$result$state)
  call_nest_fits(core, centre, psi + .1, known)
  call_nest_mixture(core, centre, psi, 1, blocks = TRUE, known = known)
}

ask_emulator <- function(fit) {
  core <- engine_core(fit$model)
  emulate_precisions(core, vb_centre(core, fit$vb), nest_start(fit$posterior$tau))
}

# Every entry with valid arguments: of each the first few that differ.
valid_calls <- function(each = 8L) {
  d <- garbage_data()
  set.seed(3)
  calls <- captured_calls({
    fits <- garbage_fits()
    often <- c("gaussian", "slopes", "crossed", "glm", "poisson", "negbin", "exact", "iterated")
    for (f in fits[often]) {
      suppressWarnings({
        as_draws(f, ndraws = 5)
        summary(f, pars = "u")
        predict(f, interval = "confidence", allow_new_levels = TRUE)
        vcov(f, pars = "all")
      })
    }
    suppressWarnings({
      predict(fits$nested, se.fit = TRUE)
      sd_ratio_report(fits$nested)
      as_draws(fits$nested, ndraws = 5)
    })
    core <- engine_core(fits$nested$model)
    dense_columns(core)
    arrow_draws(theta_covariance(fits$nested, core), 2)
    psi <- as.matrix(fits$nested$posterior$tau$psi$mean)
    rows <- core_rows(fits$nested$model, core, linear_parts(fits$nested, NULL, NULL, TRUE))
    call_nest_mixture(core, vb_centre(core, fits$nested$vb), psi, 1, TRUE, TRUE, rows = rows)
    g <- fits$crossed$model$gram
    add_grams(g, g)
    fit_vb(fits$poisson, integrate = "no")
    as_draws(fit_vb(fits$poisson, integrate = "no"), ndraws = 5)
    sd_ratio_report(fits$poisson)
    suppressWarnings(fit_gibbs(fits$poisson, iter = 150, warmup = 100, chains = 1))
    predict(fits$mixture)
    predict(fits$topics, tiny_counts, se.fit = TRUE)
    fit_vb(fits$topics, optimiser = "svi", control = vb_control(steps = 3))
    sampled_from_fit <- fit_gibbs(fits$topics, chains = 1, iter = 12, warmup = 2, start = "fit")
    call_limits()
    call_lr(fits$slopes$vb$V, fits$slopes$vb$C)
    call_test_normals(5L)
    call_test_pg(c(1, 3, 200), c(0, 1, -2))
    arrow <- list(n_global = 2L, n_leaf = 2L, r = 1L, ptr = c(0L, 2L, 3L), idx = c(0L, 1L, 1L),
      full = FALSE, global = c(9, 1, 1, 9), leaf = c(3, 3), cross = c(1, 1, 1))
    call_test_arrow(arrow, c(1, 2, 3, 4))
    garbage_target()
    ask_engines()
    suppressWarnings(ask_networks(), classes = "meanfield_warning")
    for (f in fits[c("slopes", "poisson", "negbin")]) ask_slope(f)
    for (f in fits[c("slopes", "negbin")]) ask_emulator(f)
    for (f in fits[c("linear", "slopes", "poisson", "negbin")]) ask_joint(f)
  })
  calls <- c(calls, list(list(entry = "C_misshapen", # not by that door, which costs more than it
    args = list(list(a = 1, b = diag(2)), list(a = 1L, b = c(2L, 2L)), TRUE))))
  names <- vapply(calls, `[[`, "", "entry")
  unlist(lapply(split(calls, names), function(x) {
    x[unique(round(seq(1, length(x), length.out = min(each, length(x)))))]
  }), recursive = FALSE, use.names = FALSE)
}

# A function that now and then answers something else.
lying <- function(f) {
  force(f)
  function(...) {
    answer <- f(...)
    if (stats::runif(1L) < .8) answer else mutate(answer)
  }
}

# Item `seed`: nothing but garbage, or a valid call with one to three changes.
garbage_call <- function(calls, seed) {
  set.seed(seed)
  call <- calls[[sample.int(length(calls), 1L)]]
  args <- call$args
  if (stats::runif(1L) < .15) {
    for (i in seq_along(args)) args[i] <- list(garbage_value())
  } else {
    for (change in seq_len(sample.int(3L, 1L))) {
      i <- sample.int(max(length(args), 1L), 1L)
      if (!length(args)) next
      lie <- is.function(args[[i]]) && stats::runif(1L) < .8
      args[i] <- list(if (lie) lying(args[[i]]) else mutate(args[[i]]))
    }
  }
  entry <- get(call$entry, asNamespace("meanfield"))
  list(what = call$entry, run = function() {
    do.call(call_core, c(list(entry), lapply(args, tame)), quote = TRUE)
  })
}

# ---- tampered fits ------------------------------------------------------------------------------

fit_methods <- function() {
  draw <- function(plot) {
    grDevices::pdf(NULL)
    on.exit(grDevices::dev.off())
    plot
  }
  few <- list(iter = 110, warmup = 100, chains = 1)
  out <- list(
    print = print, summary = summary, effects = function(f) summary(f, pars = "u"), coef = coef,
    fixef = fixef, ranef = ranef, VarCorr = VarCorr, sigma = sigma, vcov = vcov,
    full = function(f) vcov(f, pars = "all"), confint = confint, predict = predict,
    interval = function(f) predict(f, interval = "confidence"),
    response = function(f) predict(f, type = "response", interval = "prediction"),
    budget = function(f) predict(f, budget = TRUE),
    new = function(f) predict(f, data.frame(x = 1, g = "1", h = "2"), interval = "confidence"),
    fitted = fitted, residuals = residuals, simulate = function(f) simulate(f, 2),
    draws = function(f) posterior::as_draws_df(f), loo = function(f) loo::loo(f),
    compare = function(f) compare(f, f, loo = FALSE), report = sd_ratio_report,
    against = function(f) sd_ratio_report(f, f), hypothesis = function(f) hypothesis(f, "x > 0"),
    icc = icc, r2 = r2, singular = isSingular,
    tidy = function(f) tidy(f, c("fixed", "ran_pars", "ran_vals")), glance = glance,
    augment = augment, plot = function(f) draw(plot(f)), logLik = logLik, nobs = nobs,
    formula = formula, family = family, terms = terms, frame = stats::model.frame,
    matrix = stats::model.matrix, weights = weights, df = df.residual, ngrps = ngrps,
    prior = prior_summary, call = function(f) update(f, . ~ ., evaluate = FALSE),
    again = fit_vb, exactly = fit_exact, sampled = function(f) do.call(fit_gibbs, c(list(f), few)),
    khat = vb_khat, sensitivity = vb_sensitivity
  )
  if (requireNamespace("rstantools", quietly = TRUE)) {
    out <- c(out, list(linpred = rstantools::posterior_linpred, epred = rstantools::posterior_epred,
      replicated = rstantools::posterior_predict, pointwise = rstantools::log_lik))
  }
  out
}

# Those that there are for mixtures.
MIXTURE_METHODS <- c("print", "summary", "coef", "vcov", "full", "predict", "draws", "report",
  "against", "plot", "logLik", "nobs", "again", "sampled", "prior", "ngrps", "singular")
TOPIC_METHODS <- setdiff(MIXTURE_METHODS, c("ngrps", "singular"))
# Those that there are not for targets, which have no response.
RESPONSE_METHODS <- c("loo", "linpred", "epred", "replicated", "pointwise")

# Item `seed`: one fit with one or two changes, given to a few methods.
tampered_fit <- function(fits, seed, methods = fit_methods(), n_methods = 6L) {
  set.seed(seed)
  name <- sample(names(fits), 1L)
  fit <- fits[[name]]
  known <- if (inherits(fit, "gmm_fit")) MIXTURE_METHODS else if (inherits(fit, "lda_fit")) TOPIC_METHODS else
    names(methods)
  if (inherits(fit, "target_fit")) known <- setdiff(known, RESPONSE_METHODS)
  for (change in seq_len(sample.int(2L, 1L))) fit <- mutate_element(fit)
  chosen <- sample(known, n_methods)
  list(what = name, fit = fit, run = function() {
    unclassed <- character()
    for (m in chosen) {
      e <- quietly(methods[[m]](fit))
      if (!is.null(e)) unclassed <- c(unclassed, paste0(m, ": ", e))
    }
    unclassed
  })
}

# NULL, or what an error that is not classed says.
quietly <- function(expr) {
  sink(nullfile())
  on.exit(sink())
  tryCatch(
    {
      suppressMessages(suppressWarnings(force(expr)))
      NULL
    },
    meanfield_error = function(e) NULL,
    error = function(e) paste0(class(e)[1L], ": ", conditionMessage(e))
  )
}

# ---- children -----------------------------------------------------------------------------------

# Runs items `from`, ..., `to` in child processes, which a crash or a hang ends but not this one.
# make(i): an item. Value: data frame item, what, problem.
run_items <- function(make, items, seconds = 30, batch = 50L) {
  found <- list()
  while (length(items)) {
    now <- utils::head(items, batch)
    out <- run_batch(make, now, seconds)
    found <- c(found, out$found)
    items <- setdiff(items, out$done)
  }
  none <- data.frame(item = numeric(), what = character(), problem = character())
  do.call(rbind, c(list(none), found))
}

run_batch <- function(make, items, seconds) {
  # a child that crashes takes the temporary directory along
  log <- tempfile(tmpdir = dirname(tempdir()))
  on.exit(unlink(log))
  on.exit(dir.create(tempdir(), showWarnings = FALSE), add = TRUE)
  file.create(log)
  job <- parallel::mcparallel(child_run(make, items, log), mc.set.seed = FALSE, silent = TRUE)
  last <- 0
  since <- Sys.time()
  repeat {
    out <- suppressWarnings(parallel::mccollect(job, wait = FALSE, timeout = .2))
    if (!is.null(out)) break
    if (length(readLines(log, warn = FALSE)) > last) {
      last <- length(readLines(log, warn = FALSE))
      since <- Sys.time()
    }
    hung <- difftime(Sys.time(), since, units = "secs") > seconds
    if (hung) {
      tools::pskill(job$pid, tools::SIGKILL)
      suppressWarnings(parallel::mccollect(job))
      break
    }
  }
  lines <- c(readLines(log, warn = FALSE), "end -")
  started <- utils::read.table(text = lines, colClasses = "character")
  done <- as.numeric(started[[1L]][-nrow(started)])
  value <- if (!is.null(out)) out[[1L]]
  if (inherits(value, "try-error")) stop("in a child: ", value)
  if (is.list(value)) return(list(done = items, found = value$found))
  # the last item that was started ended the child
  end <- nrow(started) - 1L
  last <- data.frame(item = done[end], what = started[[2L]][end],
    problem = if (is.null(out)) "hang" else "crash")
  list(done = done, found = c(read_rds_or_null(paste0(log, ".found")), list(last)))
}

read_rds_or_null <- function(file) {
  on.exit(unlink(file))
  if (file.exists(file)) readRDS(file)
}

child_run <- function(make, items, log) {
  mem.maxVSize(4000)
  found <- list()
  for (i in items) {
    item <- make(i)
    cat(i, " ", item$what, "\n", sep = "", file = log, append = TRUE)
    value <- NULL
    problem <- quietly(value <- item$run())
    if (is.null(problem) && is.character(value)) problem <- value
    if (length(problem)) {
      found <- c(found, list(data.frame(item = i, what = item$what, problem = problem)))
      saveRDS(found, paste0(log, ".found"))
    }
  }
  unlink(paste0(log, ".found"))
  list(found = found)
}
