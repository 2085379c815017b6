# The sampler of families other than the Gaussian: settings, starts, chains.

new_glmm_gibbs_fit <- function(call, model, settings) {
  core <- engine_core(model)
  if (!length(core$h) && !length(core$prec)) {
    mf_abort("formula", "the model has no parameter to sample: add a term to the formula",
      arg = "formula")
  }
  settings$sampler <- settle_sampler(settings, core)
  settings$save_u <- settle_save_u(settings, core)
  bar <- gibbs_progress(settings, sweep_seconds(core))
  on.exit(bar$close())
  started <- proc.time()[["elapsed"]]
  chains <- lapply(seq_len(settings$chains), function(chain) {
    run_glmm_chain(core, settings, bar$step(chain), model)
  })
  tuning <- vapply(chains, function(x) x$mover[2:3], numeric(2L))
  model$rows <- NULL # the frame has them
  fit <- structure(
    c(
      list(call = call, model = model), collect_chains(chains, model, settings),
      settings[c("chains", "iter", "warmup", "thin", "sampler")],
      list(tuning = data.frame(accept = tuning[1L, ], step = tuning[2L, ]),
        seconds = proc.time()[["elapsed"]] - started)
    ),
    class = c("gibbs_fit", "meanfield_fit")
  )
  if (settings$sampler == "polya-gamma") fit$tuning[] <- NA_real_
  check_tuning(fit)
  check_mixing(fit)
  fit
}

# The sampler to use, when the model and the settings allow it.
settle_sampler <- function(settings, core) {
  binomial <- core$family %in% c(0L, 3L)
  size <- core$rows$size
  whole <- all(size == round(size))
  sampler <- settings$sampler
  if (sampler == "auto") {
    sampler <- if (binomial && whole && mean(size) <= 2) "polya-gamma" else "hamiltonian"
  }
  if (sampler == "polya-gamma" && !(binomial && whole)) {
    mf_abort("control", "`sampler` = \"polya-gamma\" is for the binomial family with whole ",
      "numbers of trials: use \"hamiltonian\"", arg = "sampler")
  }
  if (sampler == "hamiltonian" && settings$warmup < 100L) {
    mf_abort("control", "`warmup` must be at least 100 for the Hamiltonian sampler, which is ",
      "tuned during it, not ", settings$warmup, arg = "warmup")
  }
  sampler
}

run_glmm_chain <- function(core, settings, progress, model) {
  control <- c(settings[c("iter", "warmup", "thin", "save_u")],
    list(interweave = TRUE, hamiltonian = settings$sampler == "hamiltonian", step = .3))
  run <- call_fit_glmm_gibbs(core, glmm_gibbs_start(core), control, progress)
  check_status(run$status, model)
  # the core keeps phi where a Gaussian model has tau_e, whatever the family
  if (core$family != 2L) run$result$draws <- run$result$draws[, -(core$p + 1L), drop = FALSE]
  run$result
}

# phi (1 without), precisions and auxiliaries: SDs of one unit of the link, over-dispersed by
# a factor of exp(1) on the precision scale.
glmm_gibbs_start <- function(core) {
  t <- glmm_vb_start(core)
  at <- stat_positions(core)
  for (k in at) t[k] <- t[k] * exp(stats::rnorm(1L))
  t <- with_auxiliaries(core, t[unlist(at)])
  if (core$family == 2L) t else c(1, t)
}

# Trajectories that are mostly refused draw nothing new: say so even when R-hat does not.
check_tuning <- function(fit) {
  bad <- which(fit$tuning$accept < 0.5)
  if (length(bad)) {
    mf_warn("convergence", "the Hamiltonian sampler accepts only ",
      format(min(fit$tuning$accept[bad]), digits = 2), " of its moves in chain ",
      toString(bad), ": use a longer `warmup`, or rescale the predictors", arg = "warmup")
  }
}
