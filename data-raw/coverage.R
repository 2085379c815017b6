# Frequentist coverage of the intervals of four engines when the parameters come from the prior:
# then a correct posterior covers with exactly its nominal probability, whatever the number of
# groups. 300 rows in Q = 5, 10, 50 equal groups, 1,000 data sets each. About 10 minutes:
#   Rscript data-raw/coverage.R
#
# Priors: beta ~ N(0, 1) (intercept and three slopes), tau_e ~ Gamma(2, 2), sigma_u ~ half-t(3, 1).
# The half-t puts a tenth of the data sets below sigma_u = .14, where a group variance is hard to
# know.
library(meanfield)

sets <- 1000
groups <- c(5, 10, 50)
levels <- c(.5, .9, .95)
n <- 300
prior <- priors(normal_prior(0, 1), gamma_prior(2, 2), half_t_prior(3, 1))

draw_set <- function(Q) {
  beta <- rnorm(4)
  tau_e <- rgamma(1, 2, 2)
  sigma_u <- abs(rt(1, 3))
  g <- gl(Q, n / Q)
  u <- rnorm(Q, 0, sigma_u)
  X <- cbind(1, matrix(rnorm(3 * n), n))
  d <- data.frame(y = drop(X %*% beta) + u[g] + rnorm(n, 0, 1 / sqrt(tau_e)),
    x1 = X[, 2], x2 = X[, 3], x3 = X[, 4], g = g)
  names <- c("beta[(Intercept)]", paste0("beta[x", 1:3, "]"), "sigma_e", "sigma_u[g]",
    paste0("u[g:", seq_len(Q), "]"))
  list(data = d, truth = setNames(c(beta, 1 / sqrt(tau_e), sigma_u, u), names))
}

# Quantities whose intervals are counted together.
kind_of <- function(names) {
  ifelse(names == "beta[(Intercept)]", "intercept", ifelse(grepl("^beta", names), "slopes",
    ifelse(grepl("^u", names), "random effects", sub("\\[g\\]", "", names))))
}

# Intervals as a matrix (names x 2) at each level, from summary().
summary_intervals <- function(fit, names) {
  lapply(levels, function(level) {
    s <- as.data.frame(summary(fit, pars = "u", level = level))
    as.matrix(s[match(names, s$variable), c(ncol(s) - 1L, ncol(s))])
  })
}

# Mean-field: normal for the coefficients and effects, the optimum's own gamma for the precisions.
mfvb_intervals <- function(fit, names) {
  s <- as.data.frame(summary(fit, pars = "u"))
  s <- s[match(names, s$variable), ]
  scale <- match(c("sigma_e", "sigma_u[g]"), names)
  shape <- fit$vb$df / 2
  rate <- shape / fit$vb$t[1:2]
  lapply(levels, function(level) {
    out <- s$mean_mfvb + (s$sd_mfvb * qnorm((1 + level) / 2)) %o% c(-1, 1)
    out[scale, 1] <- 1 / sqrt(qgamma((1 + level) / 2, shape, rate))
    out[scale, 2] <- 1 / sqrt(qgamma((1 - level) / 2, shape, rate))
    out
  })
}

one_set <- function(i, Q) {
  set.seed(1000 * Q + i)
  case <- draw_set(Q)
  names <- names(case$truth)
  default <- fit_vb(y ~ x1 + x2 + x3 + (1 | g), case$data, prior = prior)
  plain <- suppressWarnings(fit_vb(default, integrate = "no"))
  exact <- fit_exact(default)
  intervals <- list(
    mfvb = mfvb_intervals(plain, names), lrvb = summary_intervals(plain, names),
    integrated = summary_intervals(default, names), exact = summary_intervals(exact, names)
  )
  kind <- kind_of(names)
  shares <- lapply(names(intervals), function(m) {
    lapply(seq_along(levels), function(l) {
      at <- intervals[[m]][[l]]
      hit <- case$truth >= at[, 1] & case$truth <= at[, 2]
      data.frame(Q = Q, set = i, method = m, level = levels[l], kind = unique(kind),
        share = as.vector(tapply(hit, factor(kind, unique(kind)), mean)))
    })
  })
  out <- do.call(rbind, unlist(shares, recursive = FALSE))
  out$failed <- length(plain$posterior$tau$failed) > 0
  out$integrated <- !is.null(default$integrated)
  out
}

all <- do.call(rbind, lapply(groups, function(Q) {
  message("Q = ", Q)
  do.call(rbind, lapply(seq_len(sets), one_set, Q = Q))
}))

# A data set is the unit: its intervals of one kind share their precisions, so the standard error is
# that of the mean of 1,000 shares, the binomial one where a set has a single interval.
out <- aggregate(share ~ method + kind + level + Q, all, mean)
names(out)[5] <- "coverage"
out$se <- aggregate(share ~ method + kind + level + Q, all,
  function(v) sd(v) / sqrt(length(v)))$share
out <- out[c("Q", "kind", "level", "method", "coverage", "se")]
out[5:6] <- round(out[5:6], 5)
write.csv(out, "inst/extdata/coverage.csv", row.names = FALSE)

once <- all[all$method == "lrvb" & all$level == .95 & all$kind == "sigma_u", ]
cat("sets where linear response failed:\n")
print(tapply(once$failed, once$Q, sum))
cat("sets that the default fit integrated:\n")
print(tapply(once$integrated, once$Q, sum))
print(reshape(out[out$level == .95, -c(3, 6)], idvar = c("Q", "kind"), timevar = "method",
  direction = "wide"), row.names = FALSE)
