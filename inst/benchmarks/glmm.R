# Speed of fit_vb() for generalised mixed models against glmer and glmmTMB, in one run: CPU seconds
# of R code and C core, one BLAS thread (set OPENBLAS_NUM_THREADS=1).
#   Rscript glmm.R          real data
#   Rscript glmm.R large    crossed logistic N = 1e5, and Bernoulli N = 1e6 with 1e4 groups
library(meanfield)

seconds <- function(expr, times = 1) {
  expr <- substitute(expr)
  env <- parent.frame()
  stats::median(vapply(seq_len(times), function(i) system.time(eval(expr, env))[["user.self"]], 0))
}

row <- function(name, ...) {
  x <- c(...)
  cat(sprintf("%-14s", name), paste(names(x), signif(x, 3), sep = " = ", collapse = ", "), "\n")
}

real_data <- function() {
  grouse <- transform(lme4::grouseticks, height = as.double(scale(HEIGHT)))
  utils::data("Contraception", package = "mlmRev", envir = environment())
  models <- list(
    cbpp = list(cbind(incidence, size - incidence) ~ period + (1 | herd), lme4::cbpp, binomial(), 20),
    contraception = list(use ~ age + I(age^2) + urban + livch + (1 | district), Contraception,
      binomial(), 3),
    VerbAgg = list(r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item), lme4::VerbAgg,
      binomial(), 3),
    grouseticks = list(TICKS ~ YEAR + height + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION), grouse,
      poisson(), 3)
  )
  for (name in names(models)) {
    m <- models[[name]]
    no <- seconds(fit_vb(m[[1]], m[[2]], m[[3]], integrate = "no"), m[[4]])
    auto <- seconds(fit_vb(m[[1]], m[[2]], m[[3]]))
    glmer <- seconds(suppressWarnings(lme4::glmer(m[[1]], m[[2]], m[[3]])))
    row(name, no = no, auto = auto, glmer = glmer, ratio = glmer / no)
  }
}

large <- function() {
  set.seed(1)
  n <- 1e5
  d <- data.frame(x = rnorm(n), a = sample.int(2000, n, TRUE), b = sample.int(500, n, TRUE))
  d$y <- rbinom(n, 1, plogis(-0.5 + 0.5 * d$x + 0.7 * rnorm(2000)[d$a] + 0.5 * rnorm(500)[d$b]))
  formula <- y ~ x + (1 | a) + (1 | b)
  no <- seconds(fit <- fit_vb(formula, d, binomial(), integrate = "no"))
  row("crossed 1e5", no = no, sd_intercept = sqrt(vcov(fit)[1, 1]), sweeps = fit$sweeps)
  if (requireNamespace("glmmTMB", quietly = TRUE)) {
    tmb <- seconds(ref <- glmmTMB::glmmTMB(formula, d, family = binomial()))
    row("glmmTMB", seconds = tmb, sd_intercept = sqrt(stats::vcov(ref)$cond[1, 1]), ratio = tmb / no)
  }
  n <- 1e6
  d <- data.frame(x = rnorm(n), g = sample.int(1e4, n, TRUE))
  d$y <- rbinom(n, 1, plogis(-1 + 0.5 * d$x + 0.8 * rnorm(1e4)[d$g]))
  gc(reset = TRUE)
  no <- seconds(fit <- fit_vb(y ~ x + (1 | g), d, binomial(), integrate = "no"))
  row("Bernoulli 1e6", no = no, sweeps = fit$sweeps, peak_Mb = sum(gc()[, 6]))
}

if (identical(commandArgs(TRUE), "large")) large() else real_data()
