# Data and truths of the posteriordb targets: Rscript data-raw/targets/posteriordb.R DIR, with DIR a
# directory of posteriordb's data files (name.json, BSD-3, stan-dev/posteriordb) and reference.csv:
# posterior, variable, mean, sd, mcse_mean, mcse_sd of the 10,000 reference draws.
# Regressions get exact truths; their distance from the reference draws is printed as a check.
from <- commandArgs(TRUE)[1]; dir <- "inst/benchmarks/targets"
source("data-raw/targets/truth-lib.R")
json <- function(name) jsonlite::fromJSON(file.path(from, paste0(name, ".json")))

columns <- function(name, v) as.data.frame(json(name)[v])
dm <- json("diamonds"); X <- dm$X[, -1]; X <- cbind(sweep(X, 2, colMeans(X)), 1); b <- unname(qr.coef(qr(X), dm$Y))
nes <- c("partyid7", "real_ideo", "race_adj", "age_discrete", "educ1", "gender", "income")
lh <- json("hudson_lynx_hare")
data <- list(
  kidiq = columns("kidiq_with_mom_work", c("kid_score", "mom_hs", "mom_iq", "mom_work")),
  earnings = columns("earnings", c("earn", "height", "male")),
  mesquite = columns("mesquite", c("weight", "diam1", "diam2", "canopy_height", "total_height", "density", "group")),
  nes1972 = columns("nes1972", nes), nes2000 = columns("nes2000", nes),
  kilpisjarvi = json("kilpisjarvi_mod")[c("x", "y", "pmualpha", "psalpha", "pmubeta", "psbeta")],
  ark = json("arK")$y, sblrc = json("sblrc")[c("X", "y")], arma = json("arma")$y, garch = json("garch")[c("y", "sigma1")],
  gp_pois = json("gp_pois_regr")[c("x", "y", "k")], schools = json("eight_schools")[c("y", "sigma")],
  gauss_mix = json("low_dim_gauss_mix")$y, hmm = json("hmm_example")$y, lynx = lh[c("y_init", "y")],
  diamonds = list(XX = unname(crossprod(X)), estimate = b, rss = sum((dm$Y - X %*% b)^2), n = length(dm$Y))
)
saveRDS(data, file.path(dir, "data-posteriordb.rds"), version = 2)

source(file.path(dir, "common.R")); cases <- read_targets("posteriordb", dir)
env <- environment(cases$sblrc$log_density)   # priors of sigma
posterior_of <- c(kidscore_momhs = "kidiq-", kidscore_momiq = "kidiq-", kidscore_momhsiq = "kidiq-", kidscore_interaction = "kidiq-",
  kidscore_interaction_c = "kidiq_with_mom_work-", kidscore_interaction_c2 = "kidiq_with_mom_work-", kidscore_interaction_z = "kidiq_with_mom_work-",
  kidscore_mom_work = "kidiq_with_mom_work-", earn_height = "earnings-", logearn_height = "earnings-", log10earn_height = "earnings-",
  logearn_height_male = "earnings-", logearn_logheight_male = "earnings-", logearn_interaction = "earnings-", logearn_interaction_z = "earnings-",
  mesquite = "mesquite-", logmesquite = "mesquite-", logmesquite_logvolume = "mesquite-", logmesquite_logva = "mesquite-",
  logmesquite_logvas = "mesquite-", logmesquite_logvash = "mesquite-", arma11 = "arma-", garch11 = "garch-", gp_regr = "gp_pois_regr-",
  gp_pois_regr = "gp_pois_regr-", eight_schools_noncentered = "eight_schools-", low_dim_gauss_mix = "low_dim_gauss_mix-",
  hmm_example = "hmm_example-", lotka_volterra = "hudson_lynx_hare-", diamonds = "diamonds-")
posterior <- setNames(paste0(posterior_of, names(posterior_of)), names(posterior_of))
posterior[c("nes1972", "nes2000", "kilpisjarvi", "ark", "sblrc", "eight_schools_centered")] <-
  c("nes1972-nes", "nes2000-nes", "kilpisjarvi_mod-kilpisjarvi", "arK-arK", "sblrc-blr", "eight_schools-eight_schools_noncentered")
reference <- read.csv(file.path(from, "reference.csv"))
# names there -> names here
ours <- function(target, v) {
  if (target == "ark") { v <- sub("alpha", "beta[1]", v); i <- grepl("^beta", v) & seq_along(v) > 1; v[i] <- sprintf("beta[%d]", as.integer(gsub("\\D", "", v[i])) + 1) }
  if (target == "kilpisjarvi") v <- sub("^beta$", "beta[2]", sub("alpha", "beta[1]", v))
  if (target == "hmm_example") v <- sub("theta2[1]", "from2", sub("theta1[1]", "stay1", v, fixed = TRUE), fixed = TRUE)
  v
}
free_vars <- function(case) c(names_of(case$init, case$constraints()), if (!is.null(case$generated)) names_of(case$generated(case$init, case$data), list()))
special <- list(); source("data-raw/targets/special-half-a.R")
regression_truth <- function(case) {
  d <- case$data; prior <- get("sigma_priors", envir = env)[[d$sigma]]; c0 <- ifelse(d$precision > 0, d$beta_mean - d$estimate, 0); p <- length(c0)
  one <- function(n) { s0 <- log(d$rss / d$n) / 2; u <- s0 + seq(-1, 1, length.out = n) * 14 / sqrt(2 * d$n - 2 * p)
    R <- sapply(u, function(u) { s <- exp(u); P <- d$XX / s^2 + diag(d$precision, p); D <- 1 / sqrt(diag(P)); S <- D * t(D * solve(P * outer(D, D)))
      m <- c(S %*% (d$precision * c0)); l <- -d$n * u - d$rss / 2 / s^2 - sum(d$precision * c0^2) / 2 + sum(m * (d$precision * c0)) / 2 +
        sum(log(D)) - determinant(P * outer(D, D))$modulus / 2 + p / 2 * log(2 * pi) + prior(s)[1] + u
      c(l, m, diag(S) + m^2, s, s^2) })
    mx <- max(R[1, ]); w <- exp(R[1, ] - mx); lz <- mx + log(sum(w) * (u[2] - u[1])); w <- w / sum(w); E <- c(R %*% w)
    m <- E[1 + 1:p]; list(c(m + d$estimate, E[2 * p + 2]), sqrt(c(E[1 + p + 1:p] - m^2, E[2 * p + 3] - E[2 * p + 2]^2)), lz) }
  a <- one(401); b <- one(801); stopifnot(abs(a[[2]] / b[[2]] - 1) < 1e-6)
  exact(c(sprintf("beta[%d]", 1:p), "sigma"), b[[1]], b[[2]], b[[3]])
}
all <- NULL
for (name in names(cases)) {
  r <- reference[reference$posterior == posterior[[name]], ]; r$variable <- ours(name, r$variable)
  if (is.list(cases[[name]]$data) && !is.null(cases[[name]]$data$XX) && name != "diamonds") {
    t <- regression_truth(cases[[name]]); t$method <- "closed"; m <- match(t$variable, r$variable)
    ok <- t$variable != "log_evidence"; z <- c((r$mean[m] - t$mean) / r$mcse_mean[m], (r$sd[m] - t$sd) / r$mcse_sd[m])[c(ok, ok)]
    cat(sprintf("%-26s reference draws: worst %.1f standard errors\n", name, max(abs(z))))
  } else if (grepl("schools", name)) {
    t <- schools_exact(name == "eight_schools_centered")(cases[[name]]); t$method <- "line"
    m <- match(t$variable, r$variable); z <- c((r$mean[m] - t$mean) / r$mcse_mean[m], (r$sd[m] - t$sd) / r$mcse_sd[m])
    cat(sprintf("%-26s reference draws: worst %.1f standard errors\n", name, max(abs(z), na.rm = TRUE)))
  } else {
    t <- cbind(r[r$variable %in% free_vars(cases[[name]]), c("variable", "mean", "sd", "mcse_mean", "mcse_sd")], method = "reference")
    cat(sprintf("%-26s %d variables of the reference\n", name, nrow(t)))
  }
  for (k in 2:5) t[[k]] <- signif(t[[k]], if (k < 4) 8 else 2)
  all <- rbind(all, cbind(target = name, t))
}
write.csv(all, file.path(dir, "truth-posteriordb.csv"), row.names = FALSE)

# Supplied gradients against differences, on the constrained scale.
for (name in names(cases)) if (!is.null(cases[[name]]$gradient)) {
  case <- cases[[name]]; x <- unlist(case$init) + .1 * seq_along(unlist(case$init)) / 10
  f <- function(x) case$log_density(relist(x, case$init), case$data)
  g <- unlist(case$gradient(relist(x, case$init), case$data)); h <- numDeriv::grad(f, x)
  cat(sprintf("%-26s gradient: relative difference %.1e\n", name, max(abs(g - h)) / max(abs(g))))
}

# The other log densities: a short importance sample against the reference draws.
for (name in c("arma11", "garch11", "gp_regr", "low_dim_gauss_mix", "hmm_example", "lotka_volterra", "diamonds")) {
  t <- truth_is(cases[[name]], 20000, K = 3); r <- all[all$target == name, ]; m <- match(r$variable, t$variable)
  z <- c((t$mean[m] - r$mean) / sqrt(t$mcse_mean[m]^2 + r$mcse_mean^2), (t$sd[m] - r$sd) / sqrt(t$mcse_sd[m]^2 + r$mcse_sd^2))
  cat(sprintf("%-26s reference draws: worst %.1f standard errors; largest error of this check %.3f SD\n", name, max(abs(z)), max(t$mcse_mean[m] / r$sd)))
}
