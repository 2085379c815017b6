# Default fits against exact integration on the Gaussian data sets of lme4, nlme, MASS, rstanarm and
# datasets, under half-t and gamma priors; and the rule of integrate = "auto": the largest change of
# an SD from linear response to exact against the largest variance of a log precision.
# Rscript data-raw/integrated.R
library(meanfield)

source("data-raw/integrated-data.R")

one <- function(case, kind) {
  prior <- integrated_prior(case, kind)
  if (is.null(prior)) return(NULL)
  fit <- suppressWarnings(fit_vb(case[[2]], case[[3]], prior = prior))
  exact <- suppressWarnings(fit_exact(fit))
  a <- as.data.frame(summary(fit))
  b <- as.data.frame(summary(exact))
  l <- as.data.frame(suppressWarnings(summary(fit_vb(fit, integrate = "no"))))
  keep <- grepl("^(beta|log_tau|log_sigma_u|rho_u)", b$variable) & !is.na(b$sd)
  shift <- function(x) max(abs(x$mean - b$mean)[keep] / b$sd[keep])
  ratio <- function(x) range(x$sd[keep] / b$sd[keep])
  tail <- max(abs(c(a$q2.5 - b$q2.5, a$q97.5 - b$q97.5))[c(keep, keep)] / b$sd[keep])
  tau <- fit$posterior$tau
  data.frame(
    data = case[[1]], formula = deparse1(case[[2]]), prior = kind,
    precisions = length(tau$mean), source = a$source[1L], method = exact$method,
    shift = shift(a), sd_low = ratio(a)[1L], sd_high = ratio(a)[2L], quantile = tail,
    shift_lrvb = shift(l), sd_low_lrvb = ratio(l)[1L], sd_high_lrvb = ratio(l)[2L],
    v = max(meanfield:::own_log_sds(tau$psi$cov_lrvb, tau$index)^2),
    error = exact$error, khat = exact$khat, kl = exact$log_evidence - exact$elbo
  )
}

out <- do.call(rbind, lapply(integrated_cases, function(x) rbind(one(x, "half-t"), one(x, "gamma"))))
num <- vapply(out, is.numeric, NA)
out[num] <- lapply(out[num], signif, 3)
write.csv(out, "inst/extdata/integrated.csv", row.names = FALSE)
print(out[, -2], row.names = FALSE, width = 200)

# the rule: how much exact SDs differ from linear-response ones where it would not integrate
rule <- function(groups, rows) {
  set.seed(groups)
  d <- data.frame(x = rnorm(groups * rows), g = rep(seq_len(groups), rows))
  d$y <- 1 + d$x + rnorm(groups)[d$g] + rnorm(nrow(d))
  fit <- fit_vb(y ~ x + (1 | g), d, integrate = "no")
  b <- as.data.frame(summary(suppressWarnings(fit_exact(fit))))
  a <- as.data.frame(summary(fit))
  keep <- grepl("^(beta|log)", b$variable)
  tau <- fit$posterior$tau
  data.frame(groups = groups, rows_each = rows,
    v = max(meanfield:::own_log_sds(tau$psi$cov_lrvb, tau$index)^2),
    change = max(abs(b$sd / a$sd - 1)[keep]))
}
grid <- expand.grid(groups = c(50, 100, 200, 400, 800), rows = c(2, 5, 20))
table <- do.call(rbind, Map(rule, grid$groups, grid$rows))
table[3:4] <- lapply(table[3:4], signif, 3)
write.csv(table, "inst/extdata/integrate-rule.csv", row.names = FALSE)
print(table, row.names = FALSE)
