# Targets that no Gaussian is near to, normalised, of two coordinates (a, b).

flow_densities <- list(
  banana = list( # a ~ N(0, 1), b | a ~ N(a^2, .5^2)
    value = function(a, b) dnorm(a, log = TRUE) + dnorm(b, a^2, 0.5, log = TRUE),
    slope = function(a, b) list(a = -a + 8 * a * (b - a^2), b = -4 * (b - a^2))),
  funnel = list( # a ~ N(0, 3^2), b | a ~ N(0, e^a)
    value = function(a, b) dnorm(a, 0, 3, log = TRUE) + dnorm(b, 0, exp(a / 2), log = TRUE),
    slope = function(a, b) list(a = -a / 9 + b^2 * exp(-a) / 2 - 0.5, b = -b * exp(-a))),
  bimodal = list( # a: halves at -2 and 2 with SD .5, b ~ N(0, 1)
    value = function(a, b) {
      up <- dnorm(a, 2, 0.5, log = TRUE)
      down <- dnorm(a, -2, 0.5, log = TRUE)
      top <- pmax(up, down)
      top + log((exp(up - top) + exp(down - top)) / 2) + dnorm(b, log = TRUE)
    },
    slope = function(a, b) list(a = -4 * (a - 2 * tanh(8 * a)), b = -b)),
  ring = list( # the radius near N(2, .3^2)
    value = function(a, b) -(sqrt(a^2 + b^2) - 2)^2 / 0.18 - 2.24599,
    slope = function(a, b) {
      r <- sqrt(a^2 + b^2)
      list(a = -(r - 2) / 0.09 * a / r, b = -(r - 2) / 0.09 * b / r)
    })
)

flow_target <- function(name) {
  f <- flow_densities[[name]]
  target(function(p) f$value(p$a, p$b), list(a = 0.1, b = 0.2),
    function(p) f$slope(p$a, p$b), vectorised = TRUE)
}

short_flow <- function(..., starts = 1, steps = 600, draws = 64) {
  vb_control(starts = starts, steps = steps, draws = draws, ...)
}

# KL(q to p) from fresh draws, and its standard error.
flow_kl <- function(fit, name, n = 30000L, seed = 99L) {
  e <- with_fixed_seed(matrix(rnorm(2 * n), 2L), seed)
  q <- flow_draw(fit$vb$flow, e)
  gap <- q$log_q - flow_densities[[name]]$value(q$z[1L, ], q$z[2L, ])
  c(kl = mean(gap), se = sd(gap) / sqrt(n))
}

# A flow with weights at random.
random_flow <- function(d, layers = 5L, hidden = 4L) {
  L <- diag(runif(d, 0.5, 2), d)
  L[lower.tri(L)] <- rnorm(d * (d - 1) / 2, sd = 0.3)
  stay <- rep_len(c(ceiling(d / 2), floor(d / 2), floor(d / 2), ceiling(d / 2)), layers)
  n <- sum((stay + 1) * hidden + (hidden + 1) * 2 * (d - stay))
  list(m = rnorm(d), L = L, layers = layers, hidden = hidden, w = rnorm(n, sd = 0.6))
}
