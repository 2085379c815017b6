# The random-slope design of Giordano, Broderick and Jordan (2015, section 3.2) with matched
# priors: 100 data sets, both block structures, SD ratios to Gibbs. Rscript data-raw/random-slopes.R
library(meanfield)

set.seed(2015)
n <- 300
K <- 30
x <- matrix(rnorm(2 * n), n) # drawn once
r <- x[, 1] + rnorm(n, 0, .4) # once
k <- gl(K, 10)
prior <- priors(normal_prior(0, sqrt(10)), gamma_prior(2, 2), gamma_prior(2, 2))
variables <- c("beta[x1]", "beta[x2]", "tau_e", "tau_u[k]", "log_tau_u[k]")

one_set <- function(i) {
  nu <- runif(1, .5, 4)
  beta <- runif(2, 0, 3)
  tau <- runif(1, .2, 1)
  d <- data.frame(x1 = x[, 1], x2 = x[, 2], r = r, k = k)
  d$y <- drop(x %*% beta) + rnorm(K, 0, 1 / sqrt(nu))[k] * r + rnorm(n, 0, 1 / sqrt(tau))
  fits <- list(
    separate = fit_vb(y ~ 0 + x1 + x2 + (0 + r | k), d, prior = prior, blocks = "separate"),
    joint = fit_vb(y ~ 0 + x1 + x2 + (0 + r | k), d, prior = prior)
  )
  gibbs <- fit_gibbs(fits$joint, chains = 4, iter = 5500, warmup = 500)
  do.call(rbind, lapply(names(fits), function(b) {
    t <- as.data.frame(sd_ratio_report(fits[[b]], gibbs))
    t <- t[match(variables, t$variable), ]
    data.frame(set = i, blocks = b, variable = variables, mfvb = t$ratio_mfvb, lrvb = t$ratio_lrvb)
  }))
}

all <- do.call(rbind, lapply(1:100, one_set))
out <- aggregate(cbind(mfvb, lrvb) ~ variable + blocks, all, mean)
se <- aggregate(cbind(mfvb, lrvb) ~ variable + blocks, all, function(v) sd(v) / sqrt(length(v)))
out$se_mfvb <- se$mfvb
out$se_lrvb <- se$lrvb
out[-(1:2)] <- round(out[-(1:2)], 4)
write.csv(out, "inst/extdata/random-slopes.csv", row.names = FALSE)
print(out)
