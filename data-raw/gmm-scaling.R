# Time of linear response for mixtures against rows and columns, and of Gibbs sampling scaled to
# 1,000 effective draws of the slowest variable [Giordano, Broderick and Jordan 2015, figure 4].
# Rscript data-raw/gmm-scaling.R   (one BLAS thread)
library(meanfield)

set.seed(2015)
simulate <- function(n, p, shift = 1) {
  k <- 1 + rbinom(n, 1, 4 / 7)
  sd <- outer(sqrt(sqrt(k) * 0.25), rep_len(c(1, 1.5), p) / 1.5)
  shift * (k - 1) + sd * matrix(rnorm(p * n), n)
}
# Processor time: other work on the machine does not count.
seconds <- function(expr) sum(system.time(expr)[c("user.self", "sys.self")])

# Linear response from the fitted statistics: E step, Gram pass, Cholesky, covariances in raw
# units, check of normality. Best of several: other work only slows it down.
lrvb_seconds <- function(fit) {
  core <- meanfield:::gmm_core(fit$model)
  control <- list(tol = 1e-8, change = 1, max_iter = 1L, newton = TRUE)
  once <- function() meanfield:::call_gmm_fit(core, fit$core$stats, fit$model$units, control)
  times <- max(1, min(200, round(0.2 / seconds(once()))))
  min(replicate(7, seconds(for (i in seq_len(times)) once()) / times))
}

one <- function(n, p, shift = 1, sample = TRUE) {
  model <- gaussian_mixture(simulate(n, p, shift), 2, flat_prior())
  vb <- seconds(fit <- suppressWarnings(fit_vb(model, starts = 1)))
  out <- data.frame(n, p, shift, vb, lrvb = lrvb_seconds(fit), gibbs_1000 = NA, sweep = NA,
    ess = NA)
  if (sample) {
    iter <- if (n > 2e5) 500 else 2500
    sampler <- seconds(gibbs <- suppressWarnings(
      fit_gibbs(fit, chains = 1, iter = iter, warmup = iter / 5)))
    own <- fit$posterior$variables$variable
    out$ess <- min(apply(gibbs$draws[, 1, own], 2, posterior::ess_basic))
    out$gibbs_1000 <- sampler * 1000 / out$ess
    out$sweep <- sampler / iter
  }
  print(out)
  out
}

rows <- lapply(c(2500, 5000, 1e4, 2.5e4, 1e5, 2.5e5, 1e6), one, p = 3)
columns <- lapply(c(2, 5, 10, 15, 22), one, n = 5000)
overlap <- list(one(5000, 22, 0.2, FALSE)) # a flat prior and Gibbs: components get lost
out <- do.call(rbind, c(rows, columns, overlap))
out$part <- rep(c("rows", "columns", "overlap"), c(length(rows), length(columns), 1))
out[-ncol(out)] <- lapply(out[-ncol(out)], signif, 4)
write.csv(out, "inst/extdata/gmm-scaling.csv", row.names = FALSE)
print(coef(lm(log(lrvb) ~ log(n), out[out$part == "rows", ])))
print(transform(out, times_faster = gibbs_1000 / lrvb))
