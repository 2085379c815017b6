# The one runner of chains, whatever the model, and what is asked of them afterwards.

# chain: function of the progress (a function or NULL), a call of the core; check: function of its
# status that raises what has to be raised. list(runs: a result per chain, seconds).
run_chains <- function(settings, sweep_seconds, chain, check) {
  bar <- gibbs_progress(settings, sweep_seconds)
  on.exit(bar$close())
  started <- proc.time()[["elapsed"]]
  runs <- lapply(seq_len(settings$chains), function(k) {
    run <- chain(bar$step(k))
    check(run$status)
    run$result
  })
  list(runs = runs, seconds = proc.time()[["elapsed"]] - started)
}

# A progress bar for interactive runs that will take longer than about 5 seconds.
gibbs_progress <- function(settings, sweep_seconds) {
  sweeps <- as.double(settings$iter) * settings$chains
  if (!interactive() || sweeps * sweep_seconds < 5) {
    return(list(step = function(chain) NULL, close = function() NULL))
  }
  bar <- utils::txtProgressBar(0, sweeps, style = 3)
  list(
    step = function(chain) {
      function(done) utils::setTxtProgressBar(bar, (chain - 1) * settings$iter + done)
    },
    close = function() close(bar)
  )
}

# posterior's layout, still empty.
empty_draws <- function(settings, variables) {
  array(NA_real_, c(settings$kept, settings$chains, length(variables)),
    list(iteration = NULL, chain = NULL, variable = variables))
}

check_stored <- function(numbers, remedy) {
  if (numbers < 2^31) return(invisible())
  mf_abort("size", format(numbers, big.mark = ","), " numbers would be stored, more than ",
    "2^31 - 1: use fewer `iter` or `chains`, ", remedy, arg = "iter")
}

# Chains that disagree must not pass for the truth. 1.05 is well above the noise of R-hat
# once a few hundred draws are there. judged: function of the fit, the draws to look at.
check_mixing <- function(fit, judged = group_sd_draws) {
  if (fit$chains < 2L || prod(dim(fit$draws)[1:2]) < 400L) return(invisible())
  draws <- judged(fit)
  rhat <- apply(draws, 3L, function(x) posterior::rhat(matrix(x, nrow(draws))))
  bad <- names(rhat)[!is.na(rhat) & rhat > 1.05]
  if (length(bad)) {
    mf_warn("convergence", "the chains disagree about ", toString(utils::head(bad, 4)),
      if (length(bad) > 4) ", ...", " (R-hat ", format(max(rhat[bad]), digits = 3),
      "): draw more sweeps (`iter`)", arg = "iter")
  }
}
