# How much faster than lmer() is a small mixed model, from the formula to the fit?
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

library(meanfield)

work <- "sleepstudy, 180 rows, 18 groups: formula to fit"
if (has("lme4")) {
  sleepstudy <- lme4::sleepstudy
  time <- compare(list(
    ours = function() fit_vb(Reaction ~ Days + (1 | Subject), sleepstudy, integrate = "no"),
    lmer = function() lme4::lmer(Reaction ~ Days + (1 | Subject), sleepstudy)
  ), rounds = 15L, times = 10L)
  faster(work, "lme4::lmer", time["ours"], time["lmer"], 5)
} else {
  not_installed(work, "lme4::lmer", "at least 5x")
}

finish()
