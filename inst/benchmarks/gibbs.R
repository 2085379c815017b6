# How fast is a sweep of the sampler, does it depend on the number of rows, and how many
# effective draws per second does it give against JAGS and MCMCglmm on the paper's design?
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), TRUE))), "common.R"))

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

fit_rows <- function(d) fit_vb(y ~ x1 + x2 + x3 + (1 | g), d, prior = prior)
sample_rows <- function(vb, ...) {
  fit_gibbs(vb, chains = 1, iter = iter, warmup = warmup, ...)
}

# Smallest bulk ESS over the columns of a matrix of draws of beta and log precisions.
min_ess <- function(draws) min(apply(draws, 2L, posterior::ess_bulk))

# ---- samplers: set up, then sample; each gives seconds (total, sampling) and the ESS ---------

run_ours <- function(d) {
  setup <- seconds_of(function() vb <<- fit_rows(d))
  sampling <- seconds_of(function() fit <<- sample_rows(vb, save_u = FALSE))
  draws <- unclass(posterior::as_draws_matrix(posterior::as_draws(fit)))
  c(setup + sampling, sampling, min_ess(draws[, grep("^beta|^log_tau", colnames(draws))]))
}

jags_code <- "model {
  for (i in 1:n) { y[i] ~ dnorm(inprod(X[i, ], beta) + u[g[i]], tau_e) }
  for (j in 1:p) { beta[j] ~ dnorm(0, 0.01) }
  for (q in 1:Q) { u[q] ~ dnorm(0, tau_u) }
  tau_e ~ dgamma(0.01, 0.01)
  tau_u ~ dgamma(0.01, 0.01)
}"

run_jags <- function(d) {
  X <- model.matrix(~ x1 + x2 + x3, d)
  data <- list(y = d$y, X = X, g = as.integer(d$g), n = nrow(X), p = ncol(X), Q = nlevels(d$g))
  setup <- seconds_of(function() {
    m <<- rjags::jags.model(textConnection(jags_code), data, n.chains = 1L, n.adapt = 500L,
      quiet = TRUE)
  })
  sampling <- seconds_of(function() {
    update(m, warmup, progress.bar = "none")
    draws <<- rjags::coda.samples(m, c("beta", "tau_e", "tau_u"), iter - warmup,
      progress.bar = "none")
  })
  draws <- as.matrix(draws)
  tau <- c("tau_e", "tau_u")
  draws[, tau] <- log(draws[, tau])
  c(setup + sampling, sampling, min_ess(draws))
}

# Its priors differ (inverse-gamma on the variances, by V and nu, and beta sd 1e5), and it has
# no set-up of its own to leave out.
run_mcmcglmm <- function(d) {
  ig <- list(V = 1, nu = .02)
  sampling <- seconds_of(function() {
    fit <<- MCMCglmm::MCMCglmm(y ~ x1 + x2 + x3, random = ~g, data = d, nitt = iter,
      burnin = warmup, thin = 1, verbose = FALSE, prior = list(R = ig, G = list(G1 = ig)))
  })
  c(sampling, sampling, min_ess(cbind(as.matrix(fit$Sol), log(as.matrix(fit$VCV)))))
}

# ---- time of a sweep ---------------------------------------------------------------

vb <- list(small = fit_rows(simulate_rows(100L, 1)), large = fit_rows(simulate_rows(100L, 1, 1e6L)))
time <- compare(list(
  small = function() sample_rows(vb$small), large = function() sample_rows(vb$large)
), rounds = 9L) * 1e4 / iter
at_most("10,000 sweeps, 100 groups, p = 4, 300 rows", "0.1 s", time["small"], .1, 1)
at_most("the same at 1e6 rows", "ours at 300 rows", time["large"], time["small"], 1.1)

# ---- effective draws per second ----------------------------------------------------

per_second <- function(x) paste(number(x), "ESS/s")
runs <- list(JAGS = run_jags, MCMCglmm = run_mcmcglmm)
runs <- runs[c(has("rjags"), has("MCMCglmm"))]
for (Q in c(5L, 20L, 100L)) for (tau_u in c(1, 4)) {
  d <- simulate_rows(Q, tau_u)
  work <- sprintf("Gibbs, 300 rows, %d groups, tau_u = %g", Q, tau_u)
  # several chains each, in turns: mean ESS by median time
  out <- replicate(4L, vapply(c(list(ours = run_ours), runs), function(f) f(d), numeric(3)))
  rate <- function(name, k) mean(out[3L, name, ]) / median(out[k, name, ])
  if (has("rjags")) {
    faster(paste0(work, ": sampling"), "JAGS", rate("ours", 2L), rate("JAGS", 2L), 15,
      show = per_second, gain = rate("ours", 2L) / rate("JAGS", 2L))
    note("the same with set-up", "JAGS", per_second(rate("ours", 1L)),
      per_second(rate("JAGS", 1L)), times(rate("ours", 1L) / rate("JAGS", 1L)))
  } else {
    not_installed(paste0(work, ": sampling"), "JAGS", 15)
  }
  if (has("MCMCglmm")) {
    note("the same", "MCMCglmm (other priors)", per_second(rate("ours", 1L)),
      per_second(rate("MCMCglmm", 1L)), times(rate("ours", 1L) / rate("MCMCglmm", 1L)))
  } else {
    not_installed("the same", "MCMCglmm", NA)
  }
}

finish()
