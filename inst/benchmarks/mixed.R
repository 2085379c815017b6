# Crossed and nested factors, and correlated slopes on a million rows, against lmer().
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

library(meanfield)

race <- function(work, formula, data, asked, rounds = 3L) {
  if (!has("lme4")) return(not_installed(work, "lme4::lmer", paste0("at least ", asked, "x")))
  ours <- compare(list(ours = function() fit_vb(formula, data, integrate = "no")), rounds = rounds)
  theirs <- timed(function() suppressMessages(lme4::lmer(formula, data)))
  faster(work, "lme4::lmer", ours["ours"], theirs$seconds, asked)
}

if (has("lme4")) {
  race("InstEval, 73,421 rows, 2,972 x 1,128 crossed, 14 departments",
    y ~ service + (1 | s) + (1 | d) + (1 | dept), lme4::InstEval, 3)
}

n <- 1e6
set.seed(1)
d <- data.frame(x = rnorm(n), g = factor(sample.int(1e4, n, replace = TRUE)))
u <- matrix(rnorm(2e4, 0, .5), 1e4)
d$y <- 1 + d$x + u[d$g, 1] + u[d$g, 2] * d$x + rnorm(n)
race("1e6 rows, correlated slopes, 1e4 groups", y ~ x + (1 + x | g), d, 20)

set.seed(2)
m <- 1e5
d <- data.frame(x = rnorm(m), a = factor(sample.int(200, m, replace = TRUE)))
d$b <- factor(paste(d$a, sample.int(20, m, replace = TRUE)))
d$c <- factor(sample.int(300, m, replace = TRUE))
d$y <- d$x + rnorm(200)[d$a] + rnorm(nlevels(d$b))[d$b] + rnorm(300)[d$c] + rnorm(m)
race("1e5 rows, nested: 200 groups of 20", y ~ x + (1 | a) + (1 | b), d, 1)
race("1e5 rows, crossed: 200 x 300", y ~ x + (1 | a) + (1 | c), d, 1)

finish()
