# The mixture design of Giordano, Broderick and Jordan (2015, section 3.3): 68 sets of 10,000 rows
# from two components in two dimensions, flat priors, SD ratios and covariances against Gibbs.
# Rscript data-raw/gmm-paper.R
library(meanfield)

set.seed(2015)
simulate <- function(n = 1e4) {
  k <- 1 + rbinom(n, 1, 4 / 7)
  sd <- outer(sqrt(sqrt(k) * 0.25), c(1, 1.5) / 1.5) # Sigma_k = diag(1, 1.5)^2 / 2.25 sqrt(k) / 4
  (k - 1) + sd * matrix(rnorm(2 * n), n)
}

one_set <- function(i) {
  model <- gaussian_mixture(simulate(), 2, flat_prior())
  vb_seconds <- system.time(fit <- fit_vb(model, starts = 3))[["elapsed"]]
  gibbs <- fit_gibbs(fit, chains = 2, iter = 5500, warmup = 500)
  v <- fit$posterior$variables
  draws <- posterior::as_draws_matrix(gibbs)[, v$variable]
  S <- cov(draws)
  V <- fit$posterior$cov_mfvb
  L <- fit$posterior$cov_lrvb
  sd <- function(M) sqrt(diag(M))
  off <- which(lower.tri(S), arr.ind = TRUE)
  list(
    sds = data.frame(set = i, variable = v$variable, type = v$type, sd_mfvb = sd(V),
      sd_lrvb = sd(L), sd_gibbs = sd(S), ess = summary(gibbs)$ess_bulk[
        match(v$variable, summary(gibbs)$variable)]),
    cors = data.frame(set = i, lrvb = cov2cor(L)[off], gibbs = cov2cor(S)[off]),
    covs = data.frame(lrvb = L[off], gibbs = S[off]),
    facts = data.frame(set = i, vb_seconds, gibbs_seconds = gibbs$seconds,
      relabelled = mean(gibbs$relabelled), min_ess = min(summary(gibbs)$ess_bulk),
      slope_minus = fit$linearity$slope[1], slope_plus = fit$linearity$slope[2])
  )
}

sets <- lapply(1:68, one_set)
bind <- function(what) do.call(rbind, lapply(sets, `[[`, what))
sds <- bind("sds")
out <- sds[c("set", "variable", "type", "sd_mfvb", "sd_lrvb", "sd_gibbs")]
out[4:6] <- lapply(out[4:6], signif, 4)
write.csv(out, "inst/extdata/gmm-paper-sds.csv", row.names = FALSE)
cors <- bind("cors")
small <- cors$set <= 20 # enough for a scatter plot
write.csv(round(cors[small, -1], 3), "inst/extdata/gmm-paper-correlations.csv", row.names = FALSE)
covs <- bind("covs")
facts <- bind("facts")
summary_facts <- data.frame(
  fact = c("sets", "smallest effective sample size", "draws relabelled",
    "correlation of off-diagonal covariances", "correlation of off-diagonal correlations",
    "median seconds, VB and LRVB", "median seconds, Gibbs"),
  value = signif(c(nrow(facts), min(facts$min_ess), mean(facts$relabelled),
    cor(covs$lrvb, covs$gibbs), cor(cors$lrvb, cors$gibbs), median(facts$vb_seconds),
    median(facts$gibbs_seconds)), 5)
)
write.csv(summary_facts, "inst/extdata/gmm-paper-facts.csv", row.names = FALSE)
print(summary_facts)
print(aggregate(cbind(mfvb = sd_mfvb / sd_gibbs, lrvb = sd_lrvb / sd_gibbs) ~ type + variable, sds,
  function(r) round(c(mean = mean(r), se = sd(r) / sqrt(length(r))), 4)))
