# How near do normalising flows come, and what do they cost?
# Rscript inst/benchmarks/flow.R [seed ...] fits four densities of two dimensions with known
# normalisers (banana, funnel, two modes, ring) by flows of two and six layers, and prints the
# Kullback-Leibler divergence KL(q to p) by 30,000 fresh draws of each flow, its k-hat, means and
# SDs before refinement, what it said, and CPU seconds; first that of the Gaussian.

suppressMessages(library(meanfield))

densities <- list(
  banana = list(
    value = function(a, b) dnorm(a, log = TRUE) + dnorm(b, a^2, .5, log = TRUE),
    slope = function(a, b) list(a = -a + 8 * a * (b - a^2), b = -4 * (b - a^2))),
  funnel = list(
    value = function(a, b) dnorm(a, 0, 3, log = TRUE) + dnorm(b, 0, exp(a / 2), log = TRUE),
    slope = function(a, b) list(a = -a / 9 + b^2 * exp(-a) / 2 - .5, b = -b * exp(-a))),
  bimodal = list(
    value = function(a, b) {
      m <- abs(a) # the far mode's part is e^(-16 |a|) of the near one's
      dnorm(m, 2, .5, log = TRUE) + log1p(exp(-16 * m)) - log(2) + dnorm(b, log = TRUE)
    },
    slope = function(a, b) list(a = -4 * (a - 2 * tanh(8 * a)), b = -b)),
  ring = list(
    value = function(a, b) -(sqrt(a^2 + b^2) - 2)^2 / .18 - 2.24599,
    slope = function(a, b) {
      r <- sqrt(a^2 + b^2)
      list(a = -(r - 2) / .09 * a / r, b = -(r - 2) / .09 * b / r)
    })
)

target_of <- function(f) {
  target(function(p) f$value(p$a, p$b), list(a = .1, b = .2), function(p) f$slope(p$a, p$b),
    vectorised = TRUE)
}

# Draws of the flow have its ELBO's points' density; these are fresh ones.
divergence <- function(fit, f, n = 30000) {
  e <- matrix(rnorm(2 * n), 2)
  q <- getFromNamespace("flow_draw", "meanfield")(fit$vb$flow, e)
  gap <- q$log_q - f$value(q$z[1, ], q$z[2, ])
  c(mean(gap), sd(gap) / sqrt(n))
}

row_of <- function(name, layers, seed) {
  f <- densities[[name]]
  start <- proc.time()[[1]]
  fit <- suppressWarnings(fit_vb(target_of(f), approximation = "flow", refine = "no",
    control = vb_control(layers = layers, seed = seed)))
  seconds <- proc.time()[[1]] - start
  set.seed(99)
  kl <- divergence(fit, f)
  s <- summary(fit)
  number <- function(x, digits) formatC(x, digits, format = "f")
  cat("|", paste(c(name, layers, seed, paste0(number(kl[1], 4), " (se ", number(kl[2], 4), ")"),
    number(fit$vb$khat, 2), paste(number(s$mean, 3), collapse = " "),
    paste(number(s$sd, 3), collapse = " "), paste(number(fit$vb$starts$elbo, 4), collapse = " "),
    if (length(fit$flags)) "flagged" else "", number(seconds, 1)), collapse = " | "), "|\n")
}

seeds <- as.integer(commandArgs(TRUE))
if (!length(seeds)) seeds <- 1L
cat("| target | layers | seed | KL(q to p) | k-hat | means | SDs | ELBO of the Gaussian and of",
  "each start | | CPU s |\n|---|---|---|---|---|---|---|---|---|---|\n")
for (name in names(densities)) {
  for (layers in c(0L, 2L, 6L)) for (seed in if (layers) seeds else 1L) row_of(name, layers, seed)
}
