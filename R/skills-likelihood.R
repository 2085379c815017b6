# The likelihood of matches, of pairs of players: how the log likelihood, its slopes and its
# curvatures depend on d, the difference of two skills (and home advantage), and on t, the logarithm
# of the tie parameter.

# d: a matrix, pairs x points; t: the same, or NULL without ties; n: the wins of a pair's first and
# second player and their ties, list(a, b, ties). ask: "value", "slope" (d, t), or "all" with
# second derivatives: list(value, d, t, dd, dt, tt), matrices like d; those with t where there are
# ties.
pair_terms <- function(link, d, t, n, ask = "all") {
  f <- if (is.null(t)) list(logit = logit_terms, probit = probit_terms) else
    list(logit = davidson_terms, probit = margin_terms)
  f[[link]](d, t, n, ask)
}

# P(the first wins) = 1 / (1 + exp(-d)).
logit_terms <- function(d, t, n, ask) {
  total <- n$a + n$b
  tail <- exp(-abs(d)) # one exponential for all: this is where a fit's time goes
  value <- if (ask != "slope") n$a * pmin(d, 0) - n$b * pmax(d, 0) - total * log1p(tail)
  if (ask == "value") return(list(value = value))
  near <- 1 / (1 + tail)
  p <- near
  down <- which(d < 0)
  p[down] <- tail[down] * near[down]
  list(value = value, d = n$a - total * p, dd = if (ask == "all") -total * tail * near^2)
}

# P(the first wins) = Phi(d).
probit_terms <- function(d, t, n, ask) {
  a <- normal_tail(d)
  b <- normal_tail(-d)
  value <- n$a * a$log + n$b * b$log
  if (ask == "value") return(list(value = value))
  a <- normal_slopes(a)
  b <- normal_slopes(b)
  list(value = value, d = n$a * a$ratio - n$b * b$ratio,
    dd = if (ask == "all") -n$a * a$bend - n$b * b$bend)
}

normal_tail <- function(x) list(x = x, log = stats::pnorm(x, log.p = TRUE))

# The slope of log Phi(x) and minus its curvature.
normal_slopes <- function(at) {
  ratio <- exp(stats::dnorm(at$x, log = TRUE) - at$log)
  c(at, list(ratio = ratio, bend = pmin(pmax(ratio * (at$x + ratio), 0), 1)))
}

# Win, loss and tie in the proportion exp(d/2), exp(-d/2), exp(t).
# Source: Davidson (1970), JASA 65, 317-328.
davidson_terms <- function(d, t, n, ask) {
  total <- n$a + n$b + n$ties
  u <- d / 2
  top <- pmax(abs(u), t)
  log_sum <- top + log(exp(u - top) + exp(-u - top) + exp(t - top))
  value <- (n$a - n$b) * u + n$ties * t - total * log_sum
  if (ask == "value") return(list(value = value))
  tie <- exp(t - log_sum)
  lead <- (exp(u - log_sum) - exp(-u - log_sum)) / 2
  out <- list(value = value, d = (n$a - n$b) / 2 - total * lead, t = n$ties - total * tie)
  if (ask == "slope") return(out)
  c(out, list(dd = -total * ((1 - tie) / 4 - lead^2), dt = total * lead * tie,
    tt = -total * tie * (1 - tie)))
}

# The first wins where d + noise is above the margin e = exp(t), loses below -e, and ties between.
# Source: Herbrich, Minka and Graepel (2007), NIPS 19, 569-576.
margin_terms <- function(d, t, n, ask) {
  e <- exp(t)
  a <- normal_tail(d - e)
  b <- normal_tail(-d - e)
  upper <- stats::pnorm(e - abs(d), log.p = TRUE)
  log_tie <- upper + log(-expm1(stats::pnorm(-e - abs(d), log.p = TRUE) - upper))
  value <- n$a * a$log + n$b * b$log + none_of(n$ties, log_tie)
  if (ask == "value") return(list(value = value))
  a <- normal_slopes(a)
  b <- normal_slopes(b)
  near <- exp(stats::dnorm(e - d, log = TRUE) - log_tie)
  far <- exp(stats::dnorm(e + d, log = TRUE) - log_tie)
  slope_e <- -n$a * a$ratio - n$b * b$ratio + none_of(n$ties, far + near)
  out <- list(value = value, t = e * slope_e,
    d = n$a * a$ratio - n$b * b$ratio + none_of(n$ties, far - near))
  if (ask == "slope") return(out)
  c(out, margin_curvatures(e, d, n, a, b, near, far, slope_e))
}

margin_curvatures <- function(e, d, n, a, b, near, far, slope_e) {
  left <- (e - d) * near
  right <- (e + d) * far
  dd <- none_of(n$ties, -left - right - (far - near)^2)
  de <- none_of(n$ties, left - right - (far - near) * (far + near))
  ee <- none_of(n$ties, -left - right - (far + near)^2)
  bent <- -n$a * a$bend - n$b * b$bend
  list(dd = bent + dd, dt = e * (n$a * a$bend - n$b * b$bend + de),
    tt = e^2 * (bent + ee) + e * slope_e)
}

# count times x, and 0 where there are none, whatever x is.
none_of <- function(count, x) {
  x <- count * x
  x[count == 0, ] <- 0
  x
}

# P(win), P(tie) of the first of two, at d and t.
match_probabilities <- function(link, d, t = NULL) {
  if (is.null(t)) {
    return(list(win = if (link == "logit") stats::plogis(d) else stats::pnorm(d), tie = 0 * d))
  }
  if (link == "probit") {
    e <- exp(t)
    return(list(win = stats::pnorm(d - e), tie = stats::pnorm(e - d) - stats::pnorm(-e - d)))
  }
  top <- pmax(abs(d / 2), t)
  parts <- list(win = exp(d / 2 - top), tie = exp(t - top))
  total <- parts$win + parts$tie + exp(-d / 2 - top)
  lapply(parts, `/`, total)
}

# ---- as a log density ----------------------------------------------------------------------------

# p: a block of points (skill: n x k); data: of the target. The normalised log density.
skills_log_density <- function(p, data) {
  lp <- colSums(skills_terms(p, data, "value")$value) +
    normal_log_prior(skill_rows(p), data$prior_sd)
  if (!is.null(p$home)) lp <- lp + stats::dnorm(p$home, 0, data$home_sd, log = TRUE)
  if (is.null(p$tie)) return(lp)
  lp + stats::dlnorm(p$tie, data$tie_location, data$tie_sd, log = TRUE)
}

skills_gradient <- function(p, data) {
  own <- skills_terms(p, data, "slope")
  pairs <- data$pairs
  g <- list(skill = t(player_sums(own$d, pairs) - skill_rows(p) / data$prior_sd^2))
  if (!is.null(p$home)) g$home <- colSums(pairs$side * own$d) - p$home / data$home_sd^2
  if (!is.null(p$tie)) {
    slope <- colSums(own$t) - (log(p$tie) - data$tie_location) / data$tie_sd^2 - 1
    g$tie <- slope / p$tie
  }
  g
}

# A row per player; of one point too.
skill_rows <- function(p) if (is.matrix(p$skill)) t(p$skill) else cbind(p$skill)

normal_log_prior <- function(z, sd) {
  -colSums(z^2) / (2 * sd^2) - nrow(z) * (log(sd) + log(2 * pi) / 2)
}

skills_terms <- function(p, data, ask) {
  pairs <- data$pairs
  z <- skill_rows(p)
  d <- z[pairs$a, , drop = FALSE] - z[pairs$b, , drop = FALSE]
  if (!is.null(p$home)) d <- d + outer(pairs$side, p$home)
  t <- if (!is.null(p$tie)) matrix(log(p$tie), nrow(d), ncol(d), byrow = TRUE)
  pair_terms(data$link, d, t, pair_counts(pairs), ask)
}

pair_counts <- function(pairs) list(a = pairs$wins_a, b = pairs$wins_b, ties = pairs$ties)

# Sums over the pairs of every player, its own minus the other's where it is the second. Every
# player stands in a pair.
player_sums <- function(x, pairs) {
  out <- matrix(0, max(pairs$b), ncol(x))
  first <- rowsum(x, pairs$a)
  second <- rowsum(x, pairs$b)
  out[as.integer(rownames(first)), ] <- first
  at <- as.integer(rownames(second))
  out[at, ] <- out[at, ] - second
  out
}
