# Random data of models: a frame with a column for every kind of term that calls.R draws, and
# mutations of it. A new kind of trouble is one more entry of `mutations`.

draw_sizes <- function() {
  n <- pick(c(1, 2, 3, 5, 8, 12, 20, 20, 40, 40, 60, 60, 100, 100, 150, 250, 400))
  groups <- pick(c(1, 2, 2, 3, 4, 6, 8, 10, 20, 30, 50, 100))
  list(n = n, groups = max(1, min(groups, n)))
}

draw_codes <- function(n, groups) {
  balanced <- chance(.6)
  if (balanced && chance(.5)) return(rep_len(seq_len(groups), n))
  weight <- if (balanced) rep(1, groups) else stats::rexp(groups)^3 + 1e-3
  sample.int(groups, n, TRUE, weight)
}

# The same groups as a factor with unused levels, text, numbers, ...
group_column <- function(code, groups) {
  pick(list(
    factor(code, levels = seq_len(groups + 2)), as.character(code), code,
    factor(paste0("g:", code)), code + .5, code > 1, ordered(code)
  ))
}

draw_predictors <- function(n) {
  x1 <- stats::rnorm(n)
  x2 <- .5 * x1 + stats::rnorm(n)
  f1 <- factor(sample(letters[seq_len(pick(c(2, 3, 5)))], n, TRUE), levels = letters[1:6])
  data.frame(
    x1 = x1, x2 = x2, f1 = f1, lg = x1 > .3, o1 = ordered(sample(1:4, n, TRUE)),
    ch = sample(c("u", "v", "w"), n, TRUE), one = factor(rep("k", n)), id = seq_len(n),
    x3 = x1 * 2, const = rep(pick(c(0, 3, 1e8)), n), tiny = x1 * 1e-12, huge = x2 * 1e12,
    shift = x1 + 1e8, day = as.Date("2024-01-01") + sample.int(9, n, TRUE)
  )
}

draw_row_arguments <- function(n) {
  data.frame(
    w = pick(list(stats::runif(n, .5, 2), rep(1, n), stats::rpois(n, 1) + 0,
      10^stats::runif(n, -8, 8), as.double(seq_len(n) == 1), rep(2, n))),
    off = pick(list(stats::rnorm(n), rep(0, n), rep(1e3, n), stats::rnorm(n) * 1e-9))
  )
}

# Responses of every family from one linear predictor.
draw_responses <- function(d, eta) {
  n <- nrow(d)
  d$y <- eta + stats::rnorm(n, 0, pick(c(0, 1e-6, .5, 1, 5)))
  p <- stats::plogis(pmax(pmin(eta, 30), -30))
  d$yb <- stats::rbinom(n, 1, p)
  d$size <- pick(list(rep(10L, n), sample(1:50, n, TRUE), rep(1L, n), rep(100000L, n)))
  d <- put_successes(d, stats::rbinom(n, d$size, p))
  d$cnt <- stats::rpois(n, exp(pmin(eta, 8)))
  d
}
put_successes <- function(d, succ) {
  d$succ <- succ
  d$fail <- d$size - succ
  d$prop <- ifelse(d$size > 0, succ / d$size, 0)
  d
}
# Every response at once at a given rate, 0 or 1 per row.
put_outcomes <- function(d, yes, count) {
  d$yb <- yes
  d$cnt <- count
  put_successes(d, d$size * as.integer(yes))
}
spoil <- function(x, values) replace(x, sample.int(length(x), 1L), pick(values))
holes <- function(x, share) replace(x, stats::runif(length(x)) < share, NA)

# p: probability; change: (data, what was drawn) -> data. Most change one column.
mutation <- function(p, change) list(p = p, change = change)
column <- function(p, name, change) {
  mutation(p, function(d, l) {
    d[[name]] <- change(d[[name]], d, l)
    d
  })
}
far <- function() 10^stats::runif(1, -12, 12)
mutations <- list(
  yscale = column(.10, "y", function(y, d, l) y * far()),
  yshift = column(.06, "y", function(y, d, l) y + pick(c(1e6, 1e8, -1e10))),
  yconst = column(.05, "y", function(y, d, l) rep(pick(c(0, 1, 1e8)), length(y))),
  yround = column(.04, "y", function(y, d, l) round(y)),
  youtlier = column(.05, "y", function(y, d, l) spoil(y, c(1e3, 1e6, 1e12))),
  ybad = column(.03, "y", function(y, d, l) spoil(y, c(Inf, NaN, -Inf, NA))),
  yhuge = column(.03, "y", function(y, d, l) y * pick(c(1e150, 1e-150, 1e300))),
  yexact = column(.05, "y", function(y, d, l) 1 + 2 * d$x1),
  ygroup = column(.04, "y", function(y, d, l) l$u[l$code]),
  yNA = column(.05, "y", function(y, d, l) holes(y, .1)),
  x1scale = column(.05, "x1", function(x, d, l) x * far()),
  x1shift = column(.03, "x1", function(x, d, l) x + 1e8),
  x1const = column(.03, "x1", function(x, d, l) rep(1, length(x))),
  x1bad = column(.02, "x1", function(x, d, l) spoil(x, c(Inf, NaN, NA))),
  x1huge = column(.03, "x1", function(x, d, l) x * pick(c(1e100, 1e-100, 1e160, 1e-160))),
  x1NA = column(.08, "x1", function(x, d, l) holes(x, pick(c(.05, .5, 1)))),
  gNA = column(.06, "g", function(g, d, l) holes(g, .1)),
  fNA = column(.05, "f1", function(f, d, l) holes(f, .1)),
  cnthuge = column(.06, "cnt", function(k, d, l) k * pick(c(1e3, 1e6, 1e9))),
  cntout = column(.03, "cnt", function(k, d, l) spoil(k, c(1e5, 1e9, 1e15))),
  cntbad = column(.02, "cnt", function(k, d, l) spoil(k, c(-1, .5, Inf, NA))),
  all0 = mutation(.06, function(d, l) put_outcomes(d, rep(0, nrow(d)), rep(0, nrow(d)))),
  all1 = mutation(.06, function(d, l) put_outcomes(d, rep(1, nrow(d)), rep(1, nrow(d)))),
  separated = mutation(.06, function(d, l) {
    put_outcomes(d, as.double(l$x1 > 0), 100 * (l$x1 > 0))
  }),
  size0 = mutation(.03, function(d, l) {
    d$size <- spoil(d$size, 0L)
    put_successes(d, pmin(d$succ, d$size))
  })
)

# list(d, tags, n, groups); the tags are the mutations that happened.
draw_data <- function() {
  s <- draw_sizes()
  code <- draw_codes(s$n, s$groups)
  cross <- sample.int(max(1, min(pick(c(1, 2, 3, 5, 8)), s$n)), s$n, TRUE)
  d <- cbind(draw_predictors(s$n), draw_row_arguments(s$n))
  d$g <- group_column(code, s$groups)
  d$h <- factor(cross)
  d$a <- factor((code - 1) %/% 3)
  d$b <- factor((code - 1) %% 3)
  d$M <- I(matrix(stats::rnorm(s$n * 30), s$n)) # more columns than many data have rows
  u <- stats::rnorm(s$groups, 0, pick(c(0, .1, 1, 5)))
  eta <- .5 + .7 * d$x1 + .3 * (d$f1 == "b") + u[code] + .5 * stats::rnorm(max(cross))[cross]
  d <- draw_responses(d, eta)
  latent <- list(u = u, code = code, x1 = d$x1)
  tags <- names(mutations)[vapply(mutations, function(m) chance(m$p), NA)]
  for (t in tags) d <- mutations[[t]]$change(d, latent)
  list(d = d, tags = tags, n = s$n, groups = s$groups)
}
