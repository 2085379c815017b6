# MNIST zeros and ones on 25 principal components [Giordano, Broderick and Jordan 2015, section 3.3,
# appendix F]: VB from random starts, linear response, Gibbs with the same (flat) prior.
# Rscript data-raw/gmm-mnist.R mnist01_pca25.rds
# The file is a list: train (12665 x 25), train_label, test, test_label, the latter projected on the
# training images' components.
library(meanfield)

file <- commandArgs(trailingOnly = TRUE)[1]
digits <- readRDS(file)
model <- gaussian_mixture(digits$train, 2, flat_prior())
# Processor time, one BLAS thread: other work on the machine does not count.
seconds <- function(expr) sum(system.time(expr)[c("user.self", "sys.self")])

one_start <- seconds(fit_vb(model, starts = 1))
ten_starts <- seconds(fit <- fit_vb(model))
core <- meanfield:::gmm_core(model)
control <- list(tol = 1e-3, change = 1, max_iter = 1L, newton = TRUE)
# from the fitted statistics: E step, the linear-response pass, covariances, check of normality
lrvb <- min(replicate(5, seconds(
  meanfield:::call_gmm_fit(core, fit$core$stats, model$units, control))))
counts <- table(predict(fit, digits$test, type = "class"), digits$test_label)

set.seed(2015)
sampler <- seconds(gibbs <- fit_gibbs(fit, chains = 4, iter = 5500, warmup = 500))
t <- as.data.frame(sd_ratio_report(fit, gibbs))
s <- summary(gibbs)
v <- meanfield:::gmm_all_variables(model)
out <- data.frame(type = v$type, sd_mfvb = t$sd_mfvb, sd_lrvb = t$sd_lrvb, sd_gibbs = t$sd_ref,
  ess = s$ess_bulk, shift = (summary(fit)$mean - s$mean) / s$sd)
keep <- out$type %in% c("mu", "Lambda", "log_pi")
out[2:4] <- lapply(out[2:4], signif, 4)
out$ess <- round(out$ess)
out$shift <- round(out$shift, 3)
write.csv(out[keep, ], "inst/extdata/gmm-mnist.csv", row.names = FALSE)
facts <- data.frame(
  fact = c("rows", "columns", "test accuracy", "seconds, VB and LRVB, one random start",
    "seconds, VB and LRVB, ten starts", "seconds, LRVB", "seconds, Gibbs", "Gibbs sweeps",
    "smallest effective sample size", "draws relabelled"),
  value = signif(c(dim(digits$train), sum(apply(counts, 1, max)) / sum(counts), one_start,
    ten_starts, lrvb, sampler, gibbs$chains * gibbs$iter, min(s$ess_bulk),
    mean(gibbs$relabelled)), 4)
)
write.csv(facts, "inst/extdata/gmm-mnist-facts.csv", row.names = FALSE)
print(facts)
ratio <- aggregate(cbind(mfvb = sd_mfvb / sd_gibbs, lrvb = sd_lrvb / sd_gibbs) ~ type, out,
  function(r) round(c(mean = mean(r), min = min(r), max = max(r)), 3))
print(ratio)
