# Default (nested) fits and linear response of generalised mixed models against the truth table of
# glmm-truth.R. Rscript data-raw/glmm-integrated.R; writes inst/extdata/glmm-integrated.csv, one row
# per data set and prior: the worst distance of a mean in posterior SDs and the range of the ratios of
# SDs, over coefficients and log precisions, with the Monte Carlo error of the truth beside them.
library(meanfield)
source("data-raw/glmm-data.R")

truth <- utils::read.csv("inst/extdata/glmm-truth.csv")
truth <- truth[grepl("^(beta|log_tau_u|log_sigma_u|rho_u)", truth$variable), ]
# the exact value where there is one, else the longest run
truth <- truth[order(truth$mcse_mean), ]
truth <- truth[!duplicated(truth[c("data", "prior", "variable")]), ]

distances <- function(s, t, label) {
  s <- as.data.frame(s)[match(t$variable, s$variable), ]
  out <- list(shift = max(abs(s$mean - t$mean) / t$sd), sd_low = min(s$sd / t$sd),
    sd_high = max(s$sd / t$sd))
  stats::setNames(as.data.frame(out), paste0(names(out), label))
}

one <- function(name, kind) {
  case <- glmm_case(name)
  t <- truth[truth$data == name & truth$prior == kind, ]
  if (!nrow(t)) return(NULL)
  fit <- function(integrate) {
    suppressWarnings(fit_vb(case$formula, case$data, family = case$family,
      prior = glmm_prior(kind), integrate = integrate))
  }
  seconds <- system.time(default <- fit("auto"))[["elapsed"]]
  s <- summary(default)
  cbind(
    data.frame(data = name, prior = kind, family = case$family$family,
      precisions = length(default$posterior$tau$mean), source = s$source[1L]),
    distances(s, t, ""), distances(summary(fit("no")), t, "_lrvb"),
    truth_error = max(t$mcse_mean / t$sd, t$mcse_sd / t$sd),
    correction = default$integrated$correction[1L] %||% NA, seconds = seconds
  )
}
`%||%` <- function(a, b) if (is.null(a)) b else a

grid <- do.call(rbind, lapply(glmm_names, function(n) data.frame(data = n, prior = glmm_priors(n))))
out <- do.call(rbind, Map(one, grid$data, grid$prior))
num <- vapply(out, is.numeric, NA)
out[num] <- lapply(out[num], signif, 3)
utils::write.csv(out, "inst/extdata/glmm-integrated.csv", row.names = FALSE)
options(width = 200)
print(out, row.names = FALSE)
