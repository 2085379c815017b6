# The long runs behind vignette("under-dispersion"), the design of Ewing (2026): 300 rows, an
# intercept and three slopes, Q groups of equal size, tau_e = 1; priors beta ~ N(0, 100) (variance),
# Gamma(.01, .01) on both precisions.
#   Rscript data-raw/under-dispersion.R times    # Table 1; a minute
#   Rscript data-raw/under-dispersion.R ratios   # Table 2 and the table by Q; two minutes
# Linear algebra on one thread: OPENBLAS_NUM_THREADS=1.
library(meanfield)
source("tests/testthat/helper-reference.R") # paper_data()

part <- commandArgs(TRUE)
if (!length(part)) part <- c("times", "ratios")
groups <- c(5, 10, 20, 50, 100)
prior <- priors(normal_prior(0, 10), gamma_prior(.01, .01), gamma_prior(.01, .01))
linear <- y ~ x1 + x2 + x3
grouped <- y ~ x1 + x2 + x3 + (1 | g)

# ---- Table 1: seconds, medians of turns ----------------------------------------------

# CPU seconds of one thread (the time on the clock when nothing else runs). fit_vb() starts from the
# formula and always computes linear response ("ascent": plain coordinate ascent, the paper's
# algorithm; "lrvb": with Newton steps; "integrated": the default). The two engines that start from
# a fit are fit_exact() and fit_gibbs(), 10,000 sweeps.
engines <- function(formula, data) {
  vb <- fit_vb(formula, data, prior = prior)
  clock <- function(run, times = 20) {
    function() sum(system.time(for (i in seq_len(times)) run(), gcFirst = FALSE)[1:2]) / times
  }
  list(
    ascent = clock(function() fit_vb(formula, data, prior = prior, integrate = "no",
      control = vb_control(newton = FALSE))),
    lrvb = clock(function() fit_vb(formula, data, prior = prior, integrate = "no")),
    integrated = clock(function() fit_vb(formula, data, prior = prior)),
    exact = clock(function() fit_exact(vb)),
    gibbs = clock(function() fit_gibbs(vb, chains = 1, iter = 10000, warmup = 0, save_u = FALSE), 1)
  )
}

# Turns in an order that moves on; the first two are thrown away.
medians <- function(competitors, rounds = 23) {
  k <- length(competitors)
  taken <- matrix(NA_real_, rounds, k)
  for (i in seq_len(rounds)) {
    for (j in (seq_len(k) + i) %% k + 1) taken[i, j] <- competitors[[j]]()
  }
  setNames(apply(taken[-(1:2), ], 2, median), names(competitors))
}

if ("times" %in% part) {
  paper <- data.frame(Q = c(0, groups), paper_vb = c(.05, .25, .01, .02, .02, .10),
    paper_gibbs = c(6.42, 12.73, 14.96, 14.56, 34.18, 102.20))
  ours <- lapply(paper$Q, function(Q) {
    medians(engines(if (Q) grouped else linear, paper_data(Q, 1)))
  })
  out <- cbind(Q = paper$Q, signif(do.call(rbind, ours), 4), paper[-1])
  write.csv(out, "inst/extdata/under-dispersion-times.csv", row.names = FALSE)
  print(out)
}

# ---- Table 2 and the table by Q: SD ratios to the exact posterior ----------------------

methods <- c("mfvb", "lrvb", "integrated")

# Every quantity of one data set, a matrix quantity x method.
one_set <- function(seed, Q, tau_u, n) {
  d <- paper_data(Q, tau_u, n, seed)
  fit <- fit_vb(if (Q) grouped else linear, d, prior = prior)
  plain <- suppressWarnings(fit_vb(fit, integrate = "no"))
  exact <- fit_exact(fit)
  s <- as.data.frame(summary(fit, pars = if (Q) "u"))
  l <- as.data.frame(summary(plain, pars = if (Q) "u"))
  e <- as.data.frame(summary(exact, pars = if (Q) "u"))
  sds <- cbind(mfvb = s$sd_mfvb, lrvb = l$sd, integrated = s$sd)
  rownames(sds) <- s$variable
  ratio <- sds / e$sd
  type <- ifelse(grepl("^beta", s$variable), "beta",
    ifelse(s$variable %in% c("tau_e", "tau_u[g]"), sub("\\[g\\]", "", s$variable), ""))
  r <- ratio[type != "", ]
  t <- factor(type[type != ""], c("beta", "tau_e", if (Q) "tau_u"))
  w <- c(beta = .4, tau_e = .3, tau_u = .3)[levels(t)]
  by_type <- apply(r, 2, tapply, t, mean)
  W_raw <- colSums(w * by_type)
  out <- rbind(
    intercept = ratio["beta[(Intercept)]", ],
    slopes = colMeans(ratio[paste0("beta[x", 1:3, "]"), ]), tau_e = ratio["tau_e", ],
    H = nrow(r) / colSums(1 / r), W = W_raw / sum(w), W_raw = W_raw
  )
  check_aggregates(plain, exact, out)
  if (Q) out <- rbind(out, group_quantities(s, l, e, sds, ratio, tau_u))
  out
}

# H and W as the package's own report gives them, normalised and as the paper does.
check_aggregates <- function(fit, exact, out) {
  for (normalise in c(TRUE, FALSE)) {
    a <- sd_ratio_report(fit, exact, normalise = normalise)$aggregates
    W <- out[if (normalise) "W" else "W_raw", 1:2]
    stopifnot(all.equal(a$H, unname(out["H", 1:2])), all.equal(a$W, unname(W)))
  }
}

# What concerns the groups. pull: slope of the effects' means on the exact ones (below 1: shrunk
# more). shift: mean of log tau_u minus the exact one, in exact SDs. var_u: posterior variance of an
# effect over its true prior variance, the exact one in a row of its own.
group_quantities <- function(s, l, e, sds, ratio, tau_u) {
  u <- grepl("^u\\[", s$variable)
  at <- which(s$variable == "log_tau_u[g]")
  means <- cbind(s$mean_mfvb, l$mean, s$mean)
  rbind(
    tau_u = ratio["tau_u[g]", ], log_tau_u = ratio["log_tau_u[g]", ],
    sigma_u = ratio["sigma_u[g]", ], u = colMeans(ratio[u, ]),
    shift = (means[at, ] - e$mean[at]) / e$sd[at],
    pull = colSums(means[u, ] * e$mean[u]) / sum(e$mean[u]^2),
    var_u = colMeans(sds[u, ]^2) * tau_u, var_u_exact = mean(e$sd[u]^2) * tau_u
  )
}

# The data set of set.seed(Q) and the median and 10-90% range of 50 more.
summarise_design <- function(Q, tau_u, n, sets = 50) {
  message("Q = ", Q, ", tau_u = ", tau_u, ", n = ", n)
  first <- one_set(max(Q, 1), Q, tau_u, n)
  more <- vapply(1000 + seq_len(sets), one_set, first, Q = Q, tau_u = tau_u, n = n)
  q <- apply(more, 1:2, quantile, c(.1, .5, .9), na.rm = TRUE)
  grid <- expand.grid(quantity = rownames(first), method = methods, stringsAsFactors = FALSE)
  out <- data.frame(Q = Q, tau_u = tau_u, n = n, grid, value = as.vector(first),
    low = as.vector(q[1, , ]), median = as.vector(q[2, , ]), high = as.vector(q[3, , ]))
  out[!(out$quantity == "var_u_exact" & out$method != "mfvb"), ]
}

if ("ratios" %in% part) {
  designs <- rbind(
    data.frame(Q = 0, tau_u = NA, n = c(18, 300)),
    expand.grid(Q = groups, tau_u = c(1, 4), n = 300)
  )
  out <- do.call(rbind, Map(summarise_design, designs$Q, designs$tau_u, designs$n))
  out$method[out$quantity == "var_u_exact"] <- "exact"
  out$quantity <- sub("_exact$", "", out$quantity)
  num <- c("value", "low", "median", "high")
  out[num] <- lapply(out[num], round, 6)
  write.csv(out, "inst/extdata/under-dispersion-ratios.csv", row.names = FALSE)
  print(out[out$quantity %in% c("H", "W", "W_raw", "tau_u", "log_tau_u"), ], row.names = FALSE)
}
