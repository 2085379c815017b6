# Real data: SDs of mean-field and linear response against the package's own Gibbs, default
# priors, and the distance of the coefficients from lmer's. Rscript data-raw/real-data.R
library(meanfield)

frame <- function(name, package) as.data.frame(getExportedValue(package, name))
cases <- list(
  list("sleepstudy", Reaction ~ Days + (Days | Subject), frame("sleepstudy", "lme4")),
  list("Penicillin", diameter ~ 1 + (1 | plate) + (1 | sample), frame("Penicillin", "lme4")),
  list("Pastes", strength ~ 1 + (1 | batch / cask), frame("Pastes", "lme4")),
  list("Oats", yield ~ nitro * Variety + (1 | Block / Variety), frame("Oats", "nlme")),
  list("Machines", score ~ Machine + (1 | Worker / Machine), frame("Machines", "nlme")),
  list("Dyestuff", Yield ~ 1 + (1 | Batch), frame("Dyestuff", "lme4")),
  list("Dyestuff2", Yield ~ 1 + (1 | Batch), frame("Dyestuff2", "lme4")),
  list("Orthodont", distance ~ age * Sex + (age | Subject), frame("Orthodont", "nlme")),
  list("Oxboys", height ~ age + (age | Subject), frame("Oxboys", "nlme")),
  list("ChickWeight", weight ~ Time * Diet + (Time | Chick), as.data.frame(datasets::ChickWeight)),
  list("cake", angle ~ temperature * recipe + (1 | replicate), frame("cake", "lme4")),
  list("radon", log_radon ~ floor + log_uranium + (1 + floor | county), radon)
)

one <- function(case) {
  fit <- suppressWarnings(fit_vb(case[[2]], case[[3]], integrate = "no"))
  set.seed(1)
  gibbs <- fit_gibbs(fit, chains = 4, iter = 10500, warmup = 500)
  lmer <- suppressMessages(suppressWarnings(lme4::lmer(case[[2]], case[[3]])))
  t <- as.data.frame(sd_ratio_report(fit, gibbs))
  s <- as.data.frame(summary(fit))
  g <- as.data.frame(summary(gibbs))
  keep <- !is.na(t$sd_ref) & grepl("^(beta|log_tau_e|log_sigma_u|rho_u)", t$variable)
  b <- match(t$variable, paste0("beta[", names(lme4::fixef(lmer)), "]"))
  predicted <- as.data.frame(sd_ratio_report(fit))$verdict
  data.frame(data = case[[1]], variable = t$variable, mfvb = t$ratio_mfvb, lrvb = t$ratio_lrvb,
    mcse = t$mcse_lrvb, mean_shift = (s$mean - g$mean) / g$sd,
    lmer_shift = (s$mean - lme4::fixef(lmer)[b]) / s$sd, flagged = predicted)[keep, ]
}

out <- do.call(rbind, lapply(cases, one))
num <- vapply(out, is.numeric, NA)
out[num] <- lapply(out[num], round, 3)
write.csv(out, "inst/extdata/real-data.csv", row.names = FALSE)
print(out, row.names = FALSE)
