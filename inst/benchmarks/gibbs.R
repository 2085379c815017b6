# How fast is a sweep of the sampler, does it depend on the number of rows, and how many
# effective draws per second does it give against JAGS and MCMCglmm on the paper's design?
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

library(meanfield)

iter <- 10500L
warmup <- 500L
prior <- priors(
  beta = normal_prior(0, 10), tau_e = gamma_prior(.01, .01), tau_u = gamma_prior(.01, .01)
)

# The paper's design, with Q groups and n rows.
simulate_rows <- function(Q, tau_u, n = 300L) {
  set.seed(100)
  X <- cbind(1, matrix(rnorm(3 * n), n))
  g <- rep(seq_len(Q), length.out = n)
  u <- rnorm(Q, 0, 1 / sqrt(tau_u))
  y <- drop(X %*% c(1, .5, 0, -.5)) + u[g] + rnorm(n)
  data.frame(y, x1 = X[, 2], x2 = X[, 3], x3 = X[, 4], g = factor(g))
}

fit_rows <- function(d) fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = prior, integrate = "no")
sample_rows <- function(vb, ...) {
  fit_gibbs(vb, chains = 1, iter = iter, warmup = warmup, ...)
}

# ---- time of a sweep ---------------------------------------------------------------

small <- fit_rows(simulate_rows(100L, 1))
large <- fit_rows(simulate_rows(100L, 1, 1e6L))
time <- 1e4 / iter * compare(
  list(small = function() sample_rows(small), large = function() sample_rows(large)),
  rounds = 31L
)
at_most("Gibbs, 10,000 sweeps, 300 rows, 100 groups, p = 4", "0.1 s", time["small"], .1, 1)
at_most("Gibbs, 10,000 sweeps, 1e6 rows, 100 groups, p = 4", "ours at 300 rows", time["large"],
  time["small"], 1.1)

# ---- samplers: c(seconds in all, seconds without set-up, effective draws) ------------

# Smallest bulk ESS over the columns of a matrix of draws of beta and log precisions.
min_ess <- function(draws) min(apply(draws, 2L, posterior::ess_bulk))

run_ours <- function(d) {
  vb <- timed(function() fit_rows(d))
  run <- timed(function() sample_rows(vb$value, save_u = FALSE))
  draws <- unclass(posterior::as_draws_matrix(posterior::as_draws(run$value)))
  ess <- min_ess(draws[, grep("^beta|^log_tau", colnames(draws))])
  c(vb$seconds + run$seconds, run$seconds, ess)
}

jags_code <- "model {
  for (i in 1:n) { y[i] ~ dnorm(inprod(X[i, ], beta) + u[g[i]], tau_e) }
  for (j in 1:p) { beta[j] ~ dnorm(0, 0.01) }
  for (q in 1:Q) { u[q] ~ dnorm(0, tau_u) }
  tau_e ~ dgamma(0.01, 0.01)
  tau_u ~ dgamma(0.01, 0.01)
}"

run_jags <- function(d) { # modules basemod and bugs, which rjags loads; not glm
  X <- model.matrix(~ x1 + x2 + x3, d)
  data <- list(y = d$y, X = X, g = as.integer(d$g), n = nrow(X), p = ncol(X), Q = nlevels(d$g))
  model <- timed(function() {
    rjags::jags.model(textConnection(jags_code), data, n.adapt = warmup, quiet = TRUE)
  })
  run <- timed(function() {
    update(model$value, warmup, progress.bar = "none")
    rjags::coda.samples(model$value, c("beta", "tau_e", "tau_u"), iter - warmup,
      progress.bar = "none")
  })
  draws <- as.matrix(run$value)
  tau <- c("tau_e", "tau_u")
  draws[, tau] <- log(draws[, tau])
  c(model$seconds + run$seconds, run$seconds, min_ess(draws))
}

# Its priors differ (nearly flat beta), and it has no set-up of its own to leave out.
run_mcmcglmm <- function(d) {
  ig <- list(V = 1, nu = .02) # inverse gamma(.01, .01) on the variances, the same
  run <- timed(function() {
    MCMCglmm::MCMCglmm(y ~ x1 + x2 + x3, random = ~g, data = d, nitt = iter, burnin = warmup,
      thin = 1, verbose = FALSE, prior = list(R = ig, G = list(G1 = ig)))
  })
  draws <- cbind(as.matrix(run$value$Sol), log(as.matrix(run$value$VCV)))
  c(run$seconds, run$seconds, min_ess(draws))
}

# ---- effective draws per second ----------------------------------------------------

unit <- "ESS/s"
peers <- list(JAGS = run_jags, MCMCglmm = run_mcmcglmm)
peers <- peers[c(has("rjags"), has("MCMCglmm"))]
for (Q in c(5L, 20L, 100L)) for (tau_u in c(1, 4)) {
  d <- simulate_rows(Q, tau_u)
  work <- sprintf("Gibbs, 300 rows, %d groups, tau_u = %g", Q, tau_u)
  # four chains each, in turns: mean ESS by median time
  out <- replicate(4L, vapply(c(list(ours = run_ours), peers), function(f) f(d), numeric(3)))
  rate <- function(name, k) mean(out[3L, name, ]) / median(out[k, name, ])
  inform <- function(what, peer, name) {
    note(paste0(work, what), peer, paste(number(rate("ours", 1L)), unit),
      paste(number(rate(name, 1L)), unit), times(rate("ours", 1L) / rate(name, 1L)))
  }
  if (has("rjags")) {
    higher(work, "JAGS", rate("ours", 2L), rate("JAGS", 2L), 15, unit)
    inform(", with set-up", "JAGS", "JAGS")
  } else {
    not_installed(work, "JAGS", "at least 15x")
  }
  if (has("MCMCglmm")) {
    inform(", with set-up", "MCMCglmm, flat beta", "MCMCglmm")
  } else {
    not_installed(work, "MCMCglmm, flat beta")
  }
}

finish()
