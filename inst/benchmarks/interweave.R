# Does the sampler's scale move pay? Minimum ESS per second with and without it.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

library(meanfield)

ess_rate <- function(fit, interweave, sweeps = 20000L) {
  core <- meanfield:::lmm_core(fit$model)
  centre <- meanfield:::vb_centre(core, fit$vb)
  control <- list(iter = sweeps, warmup = 1000L, thin = 1L, save_u = FALSE, interweave = interweave)
  run <- timed(function() meanfield:::call_fit_gibbs(core, fit$vb$t, centre, control, NULL))
  draws <- run$value$result$draws
  colnames(draws) <- c(meanfield:::beta_names(fit$model), meanfield:::stat_names(fit$model))
  rows <- meanfield:::precision_draws(draws[, meanfield:::stat_names(fit$model), drop = FALSE],
    fit$model)
  keep <- grepl("^(log_tau|log_sigma|rho)", colnames(rows))
  min(apply(rows[, keep], 2, posterior::ess_bulk)) / run$seconds
}

compare_move <- function(work, fit) {
  set.seed(1)
  with <- ess_rate(fit, TRUE)
  without <- ess_rate(fit, FALSE)
  note(work, "without the scale move", paste(number(with), "ESS/s"),
    paste(number(without), "ESS/s"), times(with / without))
}

set.seed(100)
d <- data.frame(x = rnorm(300), g = factor(rep(1:100, length.out = 300)))
d$y <- d$x + rnorm(100, 0, .5)[d$g] + rnorm(300)
compare_move("Gibbs, weak intercepts: 100 groups of 3", fit_vb(y ~ x + (1 | g), d))
if (has("lme4")) {
  compare_move("Gibbs, sleepstudy slopes", fit_vb(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))
  compare_move("Gibbs, Pastes nested", fit_vb(strength ~ 1 + (1 | batch / cask), lme4::Pastes))
  compare_move("Gibbs, Penicillin crossed",
    fit_vb(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin))
}

finish()
