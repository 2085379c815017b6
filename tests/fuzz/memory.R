# Does memory stay where it is over many fits? Resident size (Linux: /proc/self/status) over N
# fits of each kind, in four parts: what leaks does so in every part, R's heap grows in some.
#
#   Rscript tests/fuzz/memory.R [n=5000] [kind ...]

suppressPackageStartupMessages(library(meanfield))

set.seed(1)
d <- data.frame(x = rnorm(40), g = gl(8, 5), h = factor(rep(1:4, 10)))
d$y <- d$x + rnorm(8)[d$g] + rnorm(40)
d$hit <- as.integer(d$y > 0)
d$count <- rpois(40, exp(.3 * d$y))
points <- cbind(a = rnorm(60) + rep(c(0, 4), 30), b = rnorm(60))
vb <- fit_vb(y ~ x + (1 | g), d)
glmm <- fit_vb(hit ~ x + (1 | g), d, family = binomial())
mixture <- fit_vb(gaussian_mixture(points, 2))
gram <- gram(y ~ x + (1 | g), d)
normal <- target(function(p) -sum(p$x^2) / 2 - p$s, list(x = c(1, 2), s = 1),
  gradient = function(p) list(x = -p$x, s = -1), constraints = list(s = positive()))
gaussian <- fit_vb(normal, refine = "no")

# A kind of work, a line each; `share` of the fits for the slow ones.
kind <- function(run, share = 1) list(run = run, share = share)
kinds <- list(
  vb = kind(function() fit_vb(y ~ x + (1 | g), d, integrate = "no")),
  integrated = kind(function() fit_vb(y ~ x + (1 | g), d)),
  crossed = kind(function() fit_vb(y ~ x + (1 | g) + (1 | h), d, integrate = "no")),
  separate = kind(function() fit_vb(vb, blocks = "separate", integrate = "no")),
  exact = kind(function() fit_exact(vb), .1),
  gibbs = kind(function() fit_gibbs(vb, chains = 1, iter = 50, warmup = 10)),
  binomial = kind(function() fit_vb(hit ~ x + (1 | g), d, family = binomial(), integrate = "no")),
  nested = kind(function() fit_vb(glmm), .1),
  poisson = kind(function() fit_vb(count ~ x + (1 | g), d, family = poisson(), integrate = "no")),
  neg_binomial = kind(function() fit_vb(count ~ x, d, family = neg_binomial(), integrate = "no")),
  polya_gamma = kind(function() fit_gibbs(glmm, chains = 1, iter = 50, warmup = 10)),
  hamiltonian = kind(function() {
    fit_gibbs(glmm, chains = 1, iter = 120, warmup = 100, sampler = "hamiltonian")
  }, .2),
  mixture = kind(function() fit_vb(gaussian_mixture(points, 2), starts = 1), .2),
  target = kind(function() fit_vb(normal, refine = "no"), .1),
  target_refined = kind(function() fit_vb(normal, control = vb_control(max_gradients = 2000)), .05),
  target_mean_field = kind(function() fit_vb(normal, "meanfield"), .1),
  target_hmc = kind(function() fit_hmc(gaussian, chains = 1, iter = 30, warmup = 10), .1),
  hmc = kind(function() fit_hmc(vb, chains = 1, iter = 20, warmup = 10), .1),
  mixture_gibbs = kind(function() fit_gibbs(mixture, chains = 1, iter = 40, warmup = 10), .2),
  methods = kind(function() {
    summary(vb)
    predict(vb, interval = "prediction")
    as_draws(glmm, ndraws = 20)
    gram + gram
  }, .2),
  errors = kind(function() try(fit_vb(y ~ x + nonsense, d), silent = TRUE))
)

resident_kb <- function() {
  line <- grep("^VmRSS", readLines("/proc/self/status"), value = TRUE)
  as.double(gsub("[^0-9]", "", line))
}

times <- function(n, run) suppressWarnings(for (i in seq_len(n)) run())
settled_kb <- function() {
  gc()
  gc()
  resident_kb()
}

# Kilobytes added by the part that added least, the first one left out.
growth <- function(run, n, parts = 4L) {
  size <- vapply(seq_len(parts), function(i) {
    times(ceiling(n / parts), run)
    settled_kb()
  }, 0)
  min(diff(size))
}
allowed_kb <- function(n, parts = 4L) 64 + n / parts # a page or two, and a kilobyte for each fit

main <- function(args) {
  if (!file.exists("/proc/self/status")) {
    cat("no /proc/self/status: skipped\n")
    return(0L)
  }
  named <- grep("=", args, value = TRUE, invert = TRUE)
  n <- as.integer(sub("n=", "", c(grep("^n=", args, value = TRUE), "n=5000")[1L]))
  wrong <- 0L
  for (k in if (length(named)) named else names(kinds)) {
    own <- max(20L, as.integer(n * kinds[[k]]$share))
    kb <- growth(kinds[[k]]$run, own)
    bad <- kb > allowed_kb(own)
    wrong <- wrong + bad
    cat(sprintf("%-14s %5d fits: %+6.0f kB%s\n", k, own, kb, if (bad) "  LEAK" else ""))
  }
  wrong
}
quit(status = main(commandArgs(TRUE)) > 0)
