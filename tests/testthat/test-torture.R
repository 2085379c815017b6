# Garbage collection at every allocation: the glue must protect what it holds. In a
# process of its own, whose heap is small enough to be collected thousands of times.

# A script defines run(); its value must be the same with a collection at every `step`-th
# allocation.
expect_same_under_torture <- function(script, step = 1L) {
  file <- withr::local_tempfile(fileext = ".R")
  tail <- bquote({
    calm <- run()
    gctorture2(.(step))
    stressed <- run()
    gctorture2(0L)
    cat(identical(stressed, calm))
  })
  # a script sees what a test sees
  inside <- "attach(asNamespace(\"meanfield\"), warn.conflicts = FALSE)"
  writeLines(c("library(meanfield)", inside, deparse(script), deparse(tail)), file)
  out <- system2(file.path(R.home("bin"), "Rscript"), shQuote(file), stdout = TRUE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
  expect_equal(utils::tail(out, 1), "TRUE")
}

gaussian_script <- quote({
  set.seed(1)
  d <- data.frame(x = rnorm(12), g = gl(3, 4), y = rnorm(12), w = 1 + (1:12) / 12)
  fit <- fit_vb(y ~ x + (1 | g), d)
  core <- lmm_core(fit$model)
  start <- vb_start(core)
  control <- vb_control(max_iter = 50)
  centre <- vb_centre(core, fit$vb)
  settings <- list(iter = 5L, warmup = 2L, thin = 1L, save_u = TRUE, interweave = TRUE)
  X <- model.matrix(fit)
  z <- rbind(1, d$x)
  rows <- list(X = X, y = d$y, offset = NULL, w = d$w, factors = list(
    list(code = as.integer(d$g), z = z, r = 2L, n_levels = 3L),
    list(code = rep(1:2, 6), z = NULL, r = 1L, n_levels = 2L)
  ))
  tau <- fit$posterior$tau$mean
  nodes <- fit$integrated
  stopifnot(length(nodes$weights) > 10)
  few <- list(step = 2, drop = 4, capacity = 60L, seconds = Inf, known = NULL, bend = nodes$bend)
  linear <- list(global = matrix(1, core$n_global, 2), leaf = c(1L, -1L), z = matrix(1, core$r, 2))
  x <- emulator_start(core, call_emulate_sampling(core)$result, nest_start(fit$posterior$tau),
    emulate_settings())
  x <- add_fits(x, first_design(x, nest_start(fit$posterior$tau)),
    nest_fits(core, centre, new_budget()))
  rounds <- c(x$lattice, list(far = 4, kappa = 1, capacity = 2000L, batch = 2L))
  run <- function() {
    set.seed(1)
    list(
      call_emulate(core, x$sampling, x$fits, x$state, rounds),
      call_gram(rows),
      call_gram_pair(rows, 1L, 2L),
      call_group_codes(c(3L, 1L, 3L), NULL, 3L),
      call_fit_vb(core, start, control),
      call_fit_gibbs(core, start, centre, settings, function(done) list(done)),
      call_theta_draws(core, tau, fit$vb$mean, 3L),
      call_lr(fit$vb$V, fit$vb$C),
      add_grams(fit$model$gram, fit$model$gram),
      call_nest_mode(core, centre, nodes$mode + .1, diag(2), bend = nodes$bend),
      call_nest_fits(core, centre, nodes$psi[, 1:3]),
      call_nest_log_density(core, centre, nodes$psi[, 1:3]),
      call_nest_log_density(core, centre, nodes$psi[, 1:3], nodes$bend),
      call_nest_bend(nodes$psi[, 1:3], nodes$bend, 1L),
      call_nest_lattice(core, centre, nodes$mode, nodes$L, few,
        function(done) list(done)),
      call_nest_mixture(core, centre, nodes$psi[, 1:3], c(.2, .3, .5), TRUE, TRUE, TRUE,
        linear, function(done) list(done)),
      call_nest_draws(core, centre, nodes$psi[, 1:3]),
      call_nest_quantiles(TRUE, c(.5, .5), diag(2), diag(2) + 1, c(.1, .9)),
      call_nest_quantiles(FALSE, c(.5, .5), diag(2), diag(2) + 1, c(.1, .9))
    )
  }
})

# Every kind of core that the first does not have: several factors and vectors, blocks, families.
families_script <- quote({
  set.seed(2)
  d <- data.frame(x = rnorm(12), g = gl(3, 4), h = factor(rep(1:2, 6)), y = rnorm(12),
    hit = rep(c(0, 1, 1), 4), count = rpois(12, 2))
  quick <- function(...) suppressWarnings(fit_vb(..., data = d, integrate = "no"))
  inner <- data.frame(x = sin(1:132), y = cos(1:132 * 5), a = rep(1:66, each = 2), b = rep(1:2, 66))
  fits <- list(
    nested = suppressWarnings(fit_vb(y ~ x + (1 | a / b), inner, integrate = "no")),
    crossed = quick(y ~ x + (x | g) + (1 | h)),
    crossed_intercepts = quick(y ~ x + (1 | g) + (1 | h)),
    separate = quick(y ~ x + (1 | g), blocks = "separate"),
    binomial = quick(hit ~ x + (1 | g), family = binomial()),
    polya_gamma = quick(hit ~ x + (1 | g), family = binomial(), approximation = "pg"),
    poisson = quick(count ~ x + (1 | g) + (1 | h), family = poisson()),
    neg_binomial = quick(count ~ x + (1 | g), family = neg_binomial())
  )
  control <- vb_control(max_iter = 3)
  step <- function(done) list(done)
  engines <- lapply(fits, function(fit) {
    core <- engine_core(fit$model)
    list(core = core, vb = fit$vb, tau = fit$posterior$tau,
      S = theta_covariance(fit, core),
      centre = vb_centre(core, fit$vb),
      start = if (is.null(core$rows)) vb_start(core) else
        glmm_vb_start(core))
  })
  few <- list(step = 3, drop = 2, capacity = 300L, seconds = Inf, known = NULL, bend = NULL)
  one <- function(e) {
    top <- nest_start(e$tau)
    L <- diag(top$sd, length(top$sd))
    psi <- cbind(top$mean, top$mean + .1)
    rows <- list(global = matrix(1, e$core$n_global, 1), leaf = 1L, z = matrix(1, e$core$r, 1))
    list(
      call_fit_vb(e$core, e$start, control),
      call_nest_mode(e$core, e$centre, top$mean, L),
      call_nest_fits(e$core, e$centre, psi), call_emulate_sampling(e$core),
      call_nest_log_density(e$core, e$centre, psi),
      call_nest_lattice(e$core, e$centre, top$mean, L, few, step),
      call_nest_mixture(e$core, e$centre, psi, c(.4, .6), TRUE, TRUE, TRUE, rows, step),
      call_nest_draws(e$core, e$centre, psi),
      call_arrow_draws(e$S, 2L), if (!is_packed(e$S$global)) call_arrow_leaves(e$S),
      if (is.null(e$core$rows)) {
        list(call_dense_columns(e$core), call_known_cov(e$core, e$tau$mean, 0L))
      },
      call_arrow_product(e$S, diag(2, length(e$vb$mean))),
      call_arrow_quad(e$S, rows)
    )
  }
  whole <- fits$crossed_intercepts$model
  whole$iterations <- iteration_settings(few = 1L, most_probes = 8L)
  whole <- iter_core(whole)
  iterated <- function() {
    tau <- c(1, 2, 3)
    rows <- list(global = list(ptr = 0:1, idx = 2L, val = 1), leaf = 1L, z = matrix(1, 1, 1))
    list(call_fit_vb(whole, vb_start(whole), control), call_iter_draws(whole, tau, 2L),
      call_iter_product(whole, tau, diag(7)), call_iter_quad(whole, tau, rows))
  }
  chain <- function(e, hamiltonian) {
    settings <- list(iter = 4L, warmup = 2L, thin = 1L, save_u = TRUE, interweave = TRUE,
      hamiltonian = hamiltonian, step = .3)
    call_fit_glmm_gibbs(e$core, glmm_gibbs_start(e$core), settings, step)
  }
  run <- function() {
    set.seed(1)
    list(lapply(engines, one), iterated(), chain(engines$binomial, FALSE), chain(engines$binomial, TRUE),
      chain(engines$neg_binomial, TRUE))
  }
})

mixture_script <- quote({
  set.seed(3)
  x <- cbind(a = c(rnorm(8), rnorm(8, 5)), b = rnorm(16))
  fit <- fit_vb(gaussian_mixture(x, 2), starts = 1)
  core <- gmm_core(fit$model)
  label <- rep(0:1, each = 8L)
  control <- list(tol = 1e-8, change = 1e-8, max_iter = 4L, newton = TRUE)
  settings <- list(iter = 4L, warmup = 2L, thin = 1L, kept = 2L, chains = 1L)
  start <- gmm_gibbs_start(fit)
  R <- apply(fit$core$L, 2L, function(L) t(chol(matrix(L, 2))))
  arrow <- list(n_global = 1L, r = 2L, n_leaf = 1L, ptr = c(0L, 1L), idx = 0L, global = 3,
    cross = c(.5, .2), leaf = c(2, .3, .3, 1), full = TRUE)
  run <- function() {
    set.seed(1)
    list(
      call_gmm_start(core$X, 2, 1, 3L), call_gmm_label_stats(core, label),
      call_gmm_fit(core, fit$core$stats, fit$model$units, control, TRUE),
      call_gmm_classify(core, fit$core$m, R, fit$core$offset),
      call_gmm_gibbs(core, start, label, fit$model$units, settings,
        function(done) list(done)),
      call_test_normals(3), call_test_pg(1:2, 0:1),
      call_test_arrow(arrow, c(1, 2, 3)),
      call_misshapen(fit, list(passes = 1L), TRUE), call_limits()
    )
  }
})

topics_script <- quote({
  counts <- rbind(c(2, 1, 0), c(0, 1, 2))
  model <- lda(counts, 2)
  core <- lda_core(model)
  lambda <- call_lda_start(core, 1)
  inner <- list(inner_tol = 1e-3, inner_max = 2L)
  steps <- list(steps = 2L, batch = 1L, replacement = FALSE, delay = 0, forget = .7, seed = 1)
  settings <- list(iter = 4L, warmup = 2L, thin = 1L)
  run <- function() {
    set.seed(1)
    list(
      call_lda_start(core, 1), call_lda_fit(core, lambda, NULL, c(list(tol = 0, max_iter = 2L, fresh = TRUE), inner)),
      call_lda_stochastic(core, lambda, c(steps, inner)),
      call_lda_documents(core, log(lambda), NULL, c(inner, variance = TRUE)),
      call_lda_gibbs(core, c(0, 0, 1, 1), matrix(.5, 2, 4), settings, function(done) list(done))
    )
  }
})

# Any log density: its transforms, the engines that ask R, the joint density of mixed models.
asked_script <- quote({
  init <- list(R = diag(2), S = diag(2), o = 1:2, w = c(.2, .3, .5), a = 1, free = 0)
  constraints <- list(R = correlation(), S = covariance_matrix(), o = ordered_vector(),
    w = simplex(), a = positive())
  t <- target(function(p) -sum(unlist(p)^2), init, function(p) lapply(p, function(x) -2 * x),
    constraints)
  Z <- cbind(t$init, t$init + .1)
  x <- call_bb_transform(t$shape, Z)$x
  ev <- function(Z, gradient) {
    list(lp = -colSums((Z - 1)^2) / 2, gradient = if (gradient) 1 - Z)
  }
  E <- fixed_points(8L, 2L)
  root <- matrix(c(1, .3, 0, 2), 2L)
  flow <- list(m = c(0, 0), L = root, layers = 2L, hidden = 2L)
  flow_settings <- list(steps = 2L, draws = 4L, rate = .1, clip = 1, cold = .5, path = TRUE,
    max_points = 40)
  flow_asked <- function() {
    fit <- call_bb_flow(ev, flow, flow_settings)
    flow$w <- fit$result$w
    list(fit, call_bb_flow_map(flow, E), call_bb_flow_map(flow, E, TRUE))
  }
  few <- list(max_iter = 2L, tol = 1e-6, max_points = 40)
  response <- list(solve = TRUE, tol = 1e-9, max_inner = 3L, max_points = 40)
  step <- function(done) list(done)
  chain <- function(L, nuts) {
    list(list(m = c(0, 0), L = L), list(nuts = nuts, iter = 4L, warmup = 3L, target = .8,
      first = 1, most = 2, length = 1.6, max_leapfrogs = 3L, max_depth = 2L, windows = 1:2,
      max_points = 100))
  }
  sample_own <- function(...) call_bb_hmc(ev, diag(2), ..., step)
  set.seed(4)
  d <- data.frame(x = rnorm(12), g = gl(3, 4), y = rnorm(12), count = rpois(12, 2))
  joints <- list(joint_of(fit_vb(y ~ x + (x | g), d, integrate = "no")),
    joint_of(fit_vb(count ~ x + (1 | g), d, family = poisson(), integrate = "no")))
  joint <- function(j) {
    x <- cbind(j$m, j$m)
    settings <- chain(root, TRUE)[[2L]]
    list(call_joint(j$core, j$centre, j$scale, x),
      call_joint_theta(j$core, j$centre, j$scale, x),
      call_joint_hmc(j$core, j$centre, j$scale, x, j[c("m", "L")], settings, step))
  }
  run <- function() {
    set.seed(1)
    list(
      call_bb_transform(t$shape, Z), call_bb_pull(t$shape, Z, x),
      call_bb_untransform(t$shape, x[, 1L]), call_bb_points(t$skeleton, x),
      call_bb_lbfgs(ev, c(3, -2), 3L, 1e-6, 40),
      call_bb_gva(ev, c(0, 0), root, E, 2L, 1e-6, 40),
      call_bb_factorised(ev, E, c(0, 0, -1, -1), few), flow_asked(),
      call_bb_factorised_response(ev, E, c(1, 1, 0, 0), diag(4), response),
      do.call(sample_own, chain(root, TRUE)), do.call(sample_own, chain(c(1, 2), FALSE)),
      lapply(joints, joint)
    )
  }
})

networks_script <- quote({
  x <- cbind(a = sin(1:8), b = cos(1:8 * 2), c = sin(1:8 * 3))
  set <- list(epochs = 2L, batch = 3L, own_steps = 1L, rate = .01, last = .01, clip = 1000)
  points <- axis_points(1L)
  step <- function(done) list(done)
  one <- function(encoder) {
    model <- vae(x, 1, hidden = 2, encoder = encoder)
    X <- vae_columns(model, x)
    core <- vae_core(model, X)
    own <- ppca_latent(ppca(X, 1L), X)
    w <- vae_start(core)
    list(call_vae_train(core, w, points, own, set, step), call_vae_own(core, w, points, own, 3L))
  }
  data <- list(x = t(x), y = rep(0:1, 4) * 1, family = 2L)
  layers <- dense_layers(3L, 2L, 2L)
  prior <- list(prior_sd = 1, learned = FALSE, sigma = 1, df = 1, scale = 1)
  W <- matrix(sin(1:28), 14)
  chain <- list(nuts = TRUE, iter = 4L, warmup = 3L, target = .8, first = .3, most = 2, length = 1.6,
    max_leapfrogs = 3L, max_depth = 2L, windows = 1:2, max_points = 100)
  run <- function() {
    set.seed(1)
    list(lapply(c("network", "linear", "none"), one), call_mlp(layers, W[, 1], t(x)),
      call_bnn(layers, data, W, c(0, 0), TRUE),
      call_bnn_hmc(layers, data, prior, W, list(m = numeric(14), L = rep(1, 14)), chain, step))
  }
})

test_that("one fit of each kind survives gctorture", {
  skip_on_cran()
  expect_same_under_torture(gaussian_script)
})

test_that("so do families, mixtures and engines that ask", {
  skip_on_cran()
  skip_below_level(2)
  expect_same_under_torture(mixture_script)
  expect_same_under_torture(topics_script)
  step <- if (test_level() < 3) 20L else 1L # minutes
  expect_same_under_torture(asked_script, step)
  expect_same_under_torture(networks_script, step)
  expect_same_under_torture(families_script, step)
})

test_that("no entry of the core is left out", {
  entries <- ls(asNamespace("meanfield"), pattern = "^call_")
  scripts <- c(gaussian_script, families_script, mixture_script, topics_script, asked_script,
    networks_script)
  called <- unlist(lapply(scripts, function(s) all.names(s)))
  called <- c(called, if ("add_grams" %in% all.names(gaussian_script)) "call_gram_merge")
  expect_equal(setdiff(entries, c(called, "call_core", "call_foreign", "call_text")), character())
})
