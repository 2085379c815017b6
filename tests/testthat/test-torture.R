# Garbage collection at every allocation: the glue must protect what it holds. In a
# process of its own, whose heap is small enough to be collected thousands of times.

test_that("one fit of each kind survives gctorture", {
  skip_on_cran()
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(deparse(quote({
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
  })), script)
  out <- system2(file.path(R.home("bin"), "Rscript"), shQuote(script), stdout = TRUE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
  expect_equal(utils::tail(out, 1), "TRUE")
})
