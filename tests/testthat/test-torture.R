# Garbage collection at every allocation: the glue must protect what it holds. In a
# process of its own, whose heap is small enough to be collected thousands of times.

# The last line that an expression prints in a process of its own.
last_line_of <- function(expr) {
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(deparse(expr), script)
  out <- system2(file.path(R.home("bin"), "Rscript"), shQuote(script), stdout = TRUE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
  utils::tail(out, 1)
}

test_that("one fit of each kind survives gctorture", {
  skip_on_cran()
  last <- last_line_of(quote({
    library(meanfield)
    set.seed(1)
    d <- data.frame(x = rnorm(12), g = gl(3, 4), y = rnorm(12), w = 1 + (1:12) / 12)
    fit <- fit_vb(y ~ x + (1 | g), d)
    core <- meanfield:::lmm_core(fit$model)
    start <- meanfield:::vb_start(core)
    control <- vb_control(max_iter = 50)
    centre <- meanfield:::vb_centre(core, fit$vb)
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
    few <- list(step = 2, drop = 4, capacity = 60L, most = Inf, known = NULL)
    linear <- list(global = matrix(1, core$n_global, 2), leaf = c(1L, -1L), z = matrix(1, core$r, 2))
    run <- function() {
      set.seed(1)
      list(
        meanfield:::call_gram(rows),
        meanfield:::call_gram_pair(rows, 1L, 2L),
        meanfield:::call_group_codes(c(3L, 1L, 3L), NULL, 3L),
        meanfield:::call_fit_vb(core, start, control),
        meanfield:::call_fit_gibbs(core, start, centre, settings, function(done) list(done)),
        meanfield:::call_theta_draws(core, tau, fit$vb$mean, 3L),
        meanfield:::call_lr(fit$vb$V, fit$vb$C),
        fit$model$gram + fit$model$gram,
        meanfield:::call_nest_mode(core, centre, nodes$mode + .1, diag(2)),
        meanfield:::call_nest_log_density(core, centre, nodes$phi[, 1:3]),
        meanfield:::call_nest_lattice(core, centre, nodes$mode, nodes$L, few, function(done) list(done)),
        meanfield:::call_nest_mixture(core, centre, nodes$phi[, 1:3], c(.2, .3, .5), TRUE, TRUE, TRUE,
          linear, function(done) list(done)),
        meanfield:::call_nest_draws(core, centre, nodes$phi[, 1:3]),
        meanfield:::call_nest_quantiles(TRUE, c(.5, .5), diag(2), diag(2) + 1, c(.1, .9)),
        meanfield:::call_nest_quantiles(FALSE, c(.5, .5), diag(2), diag(2) + 1, c(.1, .9))
      )
    }
    calm <- run()
    gctorture(TRUE)
    stressed <- run()
    gctorture(FALSE)
    cat(identical(stressed, calm))
  }))
  expect_equal(last, "TRUE")
})

test_that("generalised models and mixtures survive gctorture", {
  skip_on_cran()
  last <- last_line_of(quote({
    library(meanfield)
    set.seed(1)
    d <- data.frame(x = rnorm(12), g = gl(3, 4), h = gl(2, 1, 12), k = rpois(12, 2),
      b = rbinom(12, 1, .5))
    fit <- fit_vb(k ~ x + (1 | g) + (1 | h), d, family = poisson(), integrate = "yes")
    nodes <- fit$integrated
    core <- meanfield:::engine_core(fit$model)
    start <- meanfield:::glmm_vb_start(core)
    yes_no <- meanfield:::engine_core(fit_vb(b ~ x + (1 | g), d, family = binomial(),
      integrate = "no")$model)
    first <- c(1, meanfield:::glmm_vb_start(yes_no))
    mix <- fit_vb(gaussian_mixture(as.matrix(faithful[1:25, ]), 2), starts = 2)
    mixture <- meanfield:::gmm_core(mix$model)
    label <- rep(0:1, length.out = 25)
    short <- list(iter = 4L, warmup = 2L, thin = 1L, save_u = TRUE, interweave = TRUE,
      hamiltonian = TRUE, step = .3)
    augmented <- replace(short, "hamiltonian", FALSE)
    few <- list(step = 2, drop = 3, capacity = 30L, most = Inf, known = NULL)
    ascent <- list(tol = 1e-8, change = 1e-8, max_iter = 20L, newton = TRUE)
    step <- function(done) list(done)
    run <- function() {
      set.seed(1)
      list(
        meanfield:::call_fit_vb(core, start, vb_control(max_iter = 20)),
        meanfield:::call_fit_glmm_gibbs(core, c(1, start), short, step),
        meanfield:::call_fit_glmm_gibbs(yes_no, first, augmented, NULL),
        meanfield:::call_arrow_draws(core, fit$vb, 3L),
        meanfield:::call_nest_mode(core, nodes$centre, nodes$mode, diag(2)),
        meanfield:::call_nest_lattice(core, nodes$centre, nodes$mode, nodes$L, few, step),
        meanfield:::call_nest_mixture(core, nodes$centre, nodes$phi[, 1:2], c(.4, .6), TRUE, TRUE,
          TRUE),
        meanfield:::call_nest_draws(core, nodes$centre, nodes$phi[, 1:2]),
        meanfield:::call_gmm_start(mixture$X, 2L, 1, 2L),
        meanfield:::call_gmm_fit(mixture, mix$core$stats, mix$model$units, ascent, TRUE),
        meanfield:::gmm_responsibilities(mix, mixture),
        meanfield:::call_gmm_gibbs(mixture, meanfield:::gmm_gibbs_start(mix), label,
          mix$model$units, short, step),
        meanfield:::call_misshapen(mix, list(passes = 1L), TRUE), meanfield:::call_limits()
      )
    }
    calm <- run()
    gctorture(TRUE)
    stressed <- run()
    gctorture(FALSE)
    cat(identical(stressed, calm))
  }))
  expect_equal(last, "TRUE")
})
