# Paper 002, section 3.1, with matched priors: 100 data sets of the normal-Poisson model
#   y ~ Poisson(exp(z)), z ~ N(mu x, 1 / tau); n = 500, x ~ N(0, 1) drawn once, mu ~ U(0, 3) and SD of
#   z ~ U(.3, 1) per set; priors mu ~ N(0, variance 10), tau ~ Gamma(1, 1).
# SDs of mean-field, linear response and the default (nested) fit against our own sampler.
# Rscript data-raw/normal-poisson.R [sets]; writes inst/extdata/normal-poisson.csv
library(meanfield)
args <- commandArgs(trailingOnly = TRUE)
sets <- if (length(args)) as.integer(args[1]) else 100L

n <- 500L
set.seed(1)
x <- rnorm(n)
prior <- priors(normal_prior(0, sqrt(10)), tau_u = gamma_prior(1, 1))

one <- function(set) {
  set.seed(1000 + set)
  z <- rnorm(n, runif(1, 0, 3) * x, runif(1, 0.3, 1))
  d <- data.frame(y = rpois(n, exp(z)), x, obs = seq_len(n))
  fit <- function(integrate) {
    suppressWarnings(fit_vb(y ~ 0 + x + (1 | obs), d, family = poisson(), prior = prior,
      integrate = integrate))
  }
  plain <- summary(fit("no"))
  default <- summary(fit("yes"))
  gibbs <- suppressWarnings(fit_gibbs(fit("no"), chains = 2, iter = 3500, warmup = 500,
    save_u = FALSE))
  g <- summary(gibbs)
  rows <- match(c("beta[x]", "tau_u[obs]", "log_tau_u[obs]"), g$variable)
  at <- match(g$variable[rows], plain$variable)
  data.frame(set = set, variable = c("beta", "tau", "log_tau"), sd_mfvb = plain$sd_mfvb[at],
    sd_lrvb = plain$sd[at], sd_default = default$sd[match(g$variable[rows], default$variable)],
    sd_gibbs = g$sd[rows], mcse_gibbs = g$mcse_sd[rows], mean_lrvb = plain$mean[at],
    mean_default = default$mean[match(g$variable[rows], default$variable)],
    mean_gibbs = g$mean[rows], ess = g$ess_bulk[rows])
}

out <- do.call(rbind, lapply(seq_len(sets), one))
num <- vapply(out, is.numeric, NA)
out[num] <- lapply(out[num], signif, 5)
utils::write.csv(out, "inst/extdata/normal-poisson.csv", row.names = FALSE)
ratio <- function(column) tapply(out[[column]] / out$sd_gibbs, out$variable, mean)
print(round(rbind(mfvb = ratio("sd_mfvb"), lrvb = ratio("sd_lrvb"), default = ratio("sd_default")), 3))
print(summary(out$ess))
