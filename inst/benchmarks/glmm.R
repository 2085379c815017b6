# Generalised mixed models against glmer() (Laplace) and, crossed and large, glmmTMB; the nested default
# beside the plain fit; a million Bernoulli rows.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

library(meanfield)

against_glmer <- function(work, formula, data, family, asked, rounds) {
  time <- compare(list(
    plain = function() fit_vb(formula, data, family, integrate = "no"),
    glmer = function() suppressMessages(suppressWarnings(lme4::glmer(formula, data, family)))
  ), rounds = rounds)
  faster(paste0(work, ", integrate = \"no\""), "glmer", time["plain"], time["glmer"], asked)
}

nested <- function(work, formula, data, family, limit, rounds) {
  time <- compare(list(nested = function() fit_vb(formula, data, family)), rounds = rounds)
  if (is.na(limit)) return(note(paste0(work, ", nested default"), "", duration(time["nested"])))
  at_most(paste0(work, ", nested default"), duration(limit), time["nested"], limit, 1)
}

if (has("lme4")) {
  cbpp <- cbind(incidence, size - incidence) ~ period + (1 | herd)
  against_glmer("cbpp", cbpp, lme4::cbpp, binomial(), 10, 11L)
  nested("cbpp", cbpp, lme4::cbpp, binomial(), .02, 11L)
  verbal <- r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)
  against_glmer("VerbAgg", verbal, lme4::VerbAgg, binomial(), 20, 1L)
  nested("VerbAgg", verbal, lme4::VerbAgg, binomial(), NA, 1L)
  ticks <- TICKS ~ YEAR + height + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)
  grouse <- transform(lme4::grouseticks, height = as.double(scale(HEIGHT)))
  against_glmer("grouseticks", ticks, grouse, poisson(), 20, 1L)
} else {
  not_installed("cbpp, VerbAgg, grouseticks", "lme4")
}
if (has("mlmRev")) {
  contraception <- local({
    utils::data("Contraception", package = "mlmRev", envir = environment())
    Contraception
  })
  nested("contraception", use ~ age + I(age^2) + urban + livch + (1 | district), contraception,
    binomial(), .3, 3L)
}

set.seed(1)
n <- 1e5
d <- data.frame(x = rnorm(n), a = sample.int(2000, n, TRUE), b = sample.int(500, n, TRUE))
d$y <- rbinom(n, 1, plogis(-0.5 + 0.5 * d$x + 0.7 * rnorm(2000)[d$a] + 0.5 * rnorm(500)[d$b]))
formula <- y ~ x + (1 | a) + (1 | b)
work <- "crossed logistic, 1e5 rows, 2,000 x 500 levels, integrate = \"no\""
ours <- timed(function() fit_vb(formula, d, binomial(), integrate = "no"))
if (has("glmmTMB")) {
  theirs <- timed(function() glmmTMB::glmmTMB(formula, data = d, family = binomial()))
  faster(work, "glmmTMB", ours$seconds, theirs$seconds, 5)
  sds <- c(sqrt(vcov(ours$value)[1L, 1L]), sqrt(stats::vcov(theirs$value)$cond[1L, 1L]))
  note("SD of its intercept", "glmmTMB", number(sds[1L]), number(sds[2L]), number(sds[1L] / sds[2L]))
} else {
  not_installed(work, "glmmTMB", "at least 5x")
}

n <- 1e6
d <- data.frame(x = rnorm(n), g = sample.int(1e4, n, TRUE))
d$y <- rbinom(n, 1, plogis(-1 + 0.5 * d$x + 0.8 * rnorm(1e4)[d$g]))
invisible(gc(reset = TRUE))
ours <- timed(function() fit_vb(y ~ x + (1 | g), d, binomial(), integrate = "no"))
note("Bernoulli, 1e6 rows, 1e4 groups, integrate = \"no\"", "", duration(ours$seconds))
note("its peak memory", "", paste(number(sum(gc()[, 6L])), "Mb"))

finish()
