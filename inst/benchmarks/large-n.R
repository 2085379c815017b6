# How far above R's own cost of reading the rows is a fit of a million of them, and how much
# faster than lmer()?
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

library(meanfield)

n <- 1e6
n_groups <- 1e4
set.seed(1)
d <- data.frame(x1 = rnorm(n), x2 = rnorm(n), x3 = rnorm(n), x4 = rnorm(n))
d$g_int <- sample.int(n_groups, n, replace = TRUE)
d$y <- 1 + .5 * d$x1 - .5 * d$x2 + .25 * d$x3 + rnorm(n_groups)[d$g_int] + rnorm(n)
d$g_factor <- factor(d$g_int)
d$g_chr <- sprintf("g%05d", d$g_int)

# What anything that starts from a formula pays: frame, matrix, one pass over the matrix.
floor_of <- function(frame_formula) {
  function() {
    frame <- model.frame(frame_formula, d)
    crossprod(model.matrix(y ~ x1 + x2 + x3 + x4, frame))
  }
}

groups <- c(factor = "g_factor", integer = "g_int", character = "g_chr")
for (type in names(groups)) {
  g <- as.name(groups[[type]])
  ours <- eval(bquote(y ~ x1 + x2 + x3 + x4 + (1 | .(g))))
  frame <- eval(bquote(y ~ x1 + x2 + x3 + x4 + .(g)))
  time <- compare(list(ours = function() fit_vb(ours, d), floor = floor_of(frame)), rounds = 7L)
  if (type == "factor") fit_seconds <- time[["ours"]]
  at_most(paste0("1e6 rows, 1e4 groups (", type, "), p = 5: formula to fit"),
    "model.frame + model.matrix + crossprod", time["ours"], time["floor"], 1.5)
}

work <- "1e6 rows, 1e4 groups (factor), p = 5: formula to fit"
if (has("lme4")) { # once: it is slow enough for its timing to be steady
  lmer <- timed(function() lme4::lmer(y ~ x1 + x2 + x3 + x4 + (1 | g_factor), d))
  faster(work, "lme4::lmer", fit_seconds, lmer$seconds, 30)
} else {
  not_installed(work, "lme4::lmer", "at least 30x")
}

finish()
