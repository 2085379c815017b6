# Exact or very long-run posteriors of generalised mixed models: inst/extdata/glmm-truth.csv.
#
#   Rscript data-raw/glmm-truth.R [names of cases]      replaces the rows of these cases (all)
#
# Columns: data, prior, variable, mean, sd, mcse_mean, mcse_sd, method. Priors: coefficients
# normal(0, SD 10); "gamma": Gamma(1, 1) on every group precision; "half_t": half-t(3, 2.5) on
# every group SD. Methods: "exact", nested quadrature of tests/testthat/helper-glmm-exact.R (one
# scalar random effect, at most four coefficients); "gibbs", fit_gibbs() by Hamiltonian
# moves; "jags", JAGS without its glm module, as an independent check (slice sampling). Monte
# Carlo errors of "exact" are 0: its own is below 1e-3 SDs. About twenty minutes in all.

library(meanfield)
source("data-raw/glmm-data.R")
source("tests/testthat/helper-reference.R") # log_prior_l()
source("tests/testthat/helper-glmm-exact.R")

prior_u <- list(gamma = c(1, 1), half_t = list(df = 3, scale = 2.5))
# sweeps per chain (four of them) after 1,000 of warm-up
sweeps <- c(contraception = 20000, epil = 50000, VerbAgg = 10000, grouseticks = 40000,
  contraception_slopes = 40000, S1 = 40000, S2 = 40000)
nodes <- c(cbpp = 13, bacteria = 7)
with_jags <- c(cbpp = 1e5, bacteria = 2e4, epil = 4e4, P3 = 2e4)

design <- function(case) {
  fixed <- reformulas::nobars(case$formula)
  frame <- stats::model.frame(fixed, case$data)
  y <- stats::model.response(frame)
  size <- rep(1, nrow(frame))
  if (is.matrix(y)) {
    size <- unname(rowSums(y))
    y <- unname(y[, 1L])
  } else if (is.factor(y)) {
    y <- as.double(y != levels(y)[1L])
  }
  group <- as.character(reformulas::findbars(case$formula)[[1L]][[3L]])
  g <- factor(case$data[[group]])
  list(y = as.double(y), size = size, X = stats::model.matrix(fixed, frame), g = g, group = group)
}

rows <- function(name, prior, method, variable, mean, sd, mcse_mean = 0, mcse_sd = 0) {
  data.frame(data = name, prior = prior, variable = variable, mean = mean, sd = sd,
    mcse_mean = mcse_mean, mcse_sd = mcse_sd, method = method)
}

variables <- function(d) {
  c(paste0("beta[", colnames(d$X), "]"), paste0("log_tau_u[", d$group, "]"))
}

by_quadrature <- function(name, prior) {
  case <- glmm_case(name)
  d <- design(case)
  e <- glmm_exact(d$y, d$X, d$g, list(mean = 0, sd = 10, u = prior_u[[prior]]), case$family$family,
    d$size, drop = 22, nodes_u = 31, nodes_beta = if (name %in% names(nodes)) nodes[[name]] else 15)
  rows(name, prior, "exact", variables(d), c(e$beta$mean, e$log_tau$mean), c(e$beta$sd, e$log_tau$sd))
}

by_gibbs <- function(name, prior) {
  case <- glmm_case(name)
  set.seed(20240)
  fit <- fit_gibbs(case$formula, case$data, family = case$family, prior = glmm_prior(prior),
    sampler = "hamiltonian", iter = sweeps[[name]] + 1000, warmup = 1000, save_u = FALSE)
  s <- summary(fit)
  s <- s[grepl(if (name %in% glmm_slopes) "^beta|^log_sigma_u|^rho_u" else "^beta|^log_tau", s$variable), ]
  message(name, " ", prior, ": smallest ESS ", round(min(s$ess_bulk)), ", R-hat ",
    signif(max(s$rhat), 4), ", ", round(fit$seconds), " s")
  rows(name, prior, "gibbs", s$variable, s$mean, s$sd, s$mcse_mean, s$mcse_sd)
}

by_jags <- function(name, prior) {
  case <- glmm_case(name)
  d <- design(case)
  if ("glm" %in% rjags::list.modules()) rjags::unload.module("glm")
  likelihood <- if (case$family$family == "binomial") {
    "logit(mu[i]) <- inprod(X[i, ], b) + u[g[i]]; y[i] ~ dbin(mu[i], size[i])"
  } else {
    "log(mu[i]) <- inprod(X[i, ], b) + u[g[i]]; y[i] ~ dpois(mu[i])"
  }
  hyper <- if (prior == "gamma") "tau ~ dgamma(1, 1)" else
    "s ~ dt(0, 1 / 6.25, 3) T(0, ); tau <- 1 / (s * s)"
  model <- paste0("model { for (i in 1:n) { ", likelihood, " }\n",
    "for (k in 1:G) { u[k] ~ dnorm(0, tau) }\n for (j in 1:p) { b[j] ~ dnorm(0, 0.01) }\n", hyper,
    "\n l <- log(tau) }")
  data <- list(n = length(d$y), G = nlevels(d$g), p = ncol(d$X), X = unname(d$X), y = d$y,
    g = as.integer(d$g))
  if (case$family$family == "binomial") data$size <- d$size
  inits <- lapply(1:4, function(k) list(.RNG.name = "base::Mersenne-Twister", .RNG.seed = k))
  m <- rjags::jags.model(textConnection(model), data, inits, n.chains = 4, quiet = TRUE)
  stats::update(m, 1000, progress.bar = "none")
  draws <- rjags::coda.samples(m, c("b", "l"), with_jags[[name]] / 4, progress.bar = "none")
  s <- posterior::summarise_draws(posterior::as_draws_array(draws), "mean", "sd",
    mcse_mean = posterior::mcse_mean, mcse_sd = posterior::mcse_sd)
  rows(name, prior, "jags", variables(d), as.double(s$mean), as.double(s$sd), as.double(s$mcse_mean), as.double(s$mcse_sd))
}

wanted <- commandArgs(TRUE)
if (!length(wanted)) wanted <- glmm_names
stopifnot(wanted %in% glmm_names)
fresh <- lapply(wanted, function(name) {
  lapply(glmm_priors(name), function(prior) {
    reference <- if (name %in% names(sweeps)) by_gibbs(name, prior) else by_quadrature(name, prior)
    out <- if (name %in% names(with_jags)) rbind(reference, by_jags(name, prior)) else reference
    message(name, " ", prior, " done")
    out
  })
})
fresh <- do.call(rbind, unlist(fresh, recursive = FALSE))
number <- vapply(fresh, is.numeric, NA)
fresh[number] <- lapply(fresh[number], signif, 7)

file <- "inst/extdata/glmm-truth.csv"
old <- if (file.exists(file)) utils::read.csv(file)
all <- rbind(old[!old$data %in% wanted, ], fresh)
all <- all[order(match(all$data, glmm_names), all$prior, all$method), ]
utils::write.csv(all, file, row.names = FALSE)
