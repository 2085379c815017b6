# Gaussian mixtures: linear response against the published time and against our own Gibbs, the fit
# against mclust, the sampler against bayesm.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

library(meanfield)

simulate_mixture <- function(n, p) { # the design of Giordano et al. (2015, section 3.3)
  k <- 1 + rbinom(n, 1, 4 / 7)
  (k - 1) + outer(sqrt(sqrt(k) * 0.25), rep_len(c(1, 1.5), p) / 1.5) * matrix(rnorm(p * n), n)
}

lrvb_once <- function(fit) { # from the fitted statistics: one E step and the correction
  core <- meanfield:::gmm_core(fit$model)
  control <- list(tol = 1e-8, change = 1, max_iter = 1L, newton = TRUE)
  function() meanfield:::call_gmm_fit(core, fit$core$stats, fit$model$units, control)
}

gibbs_1000 <- function(fit) { # seconds for 1,000 effective draws of the slowest variable
  gibbs <- fit_gibbs(fit, chains = 1, iter = 2500, warmup = 500)
  own <- fit$posterior$variables$variable
  gibbs$seconds * 1000 / min(apply(gibbs$draws[, 1, own], 2, posterior::ess_basic))
}

set.seed(100)
for (p in c(2, 5, 10, 22)) {
  fit <- fit_vb(gaussian_mixture(simulate_mixture(5000, p), 2, flat_prior()), starts = 1)
  seconds <- compare(list(lrvb = lrvb_once(fit)), 7)[["lrvb"]]
  work <- sprintf("linear response, 5,000 rows, %d columns", p)
  faster(work, "our Gibbs, 1,000 effective draws", seconds, gibbs_1000(fit), if (p <= 5) 50 else 5)
  if (p == 22) faster(work, "published (another machine)", seconds, 19.4, 20)
}

x <- simulate_mixture(1e5, 3)
model <- gaussian_mixture(x, 2)
work <- "mixture fit, 100,000 rows, 3 columns, one start"
if (has("mclust")) {
  library(mclust, quietly = TRUE)
  # mclust's default start, hierarchical clustering, is quadratic in the rows: from a subset
  subset <- list(hcPairs = hc(x[seq_len(2000), ], "VVV"))
  seconds <- compare(list(
    ours = function() fit_vb(model, starts = 1),
    mclust = function() Mclust(x, 2, "VVV", verbose = FALSE,
      initialization = list(hcPairs = subset$hcPairs, subset = seq_len(2000)))
  ), 3)
  faster(work, "mclust (EM, no SDs)", seconds[["ours"]], seconds[["mclust"]], 1)
} else {
  not_installed(work, "mclust")
}

work <- "Gibbs sweeps, faithful (272 rows), k = 2"
if (has("bayesm")) {
  fit <- fit_vb(gaussian_mixture(faithful, 2))
  ours <- timed(function() fit_gibbs(fit, chains = 1, iter = 5000, warmup = 1))$seconds
  theirs <- timed(function() utils::capture.output(bayesm::rnmixGibbs(
    Data = list(y = as.matrix(faithful)), Prior = list(ncomp = 2, Mubar = matrix(c(3, 70), 1),
      A = matrix(.1), nu = 6, V = diag(c(.5, 50)), a = c(1, 1)),
    Mcmc = list(R = 2000, keep = 1, nprint = 0))))$seconds
  higher(work, "bayesm", 5000 / ours, 2000 / theirs, 1, "per s")
} else {
  not_installed(work, "bayesm")
}

finish()
