# The likelihood of matches, of pairs of players: how the log likelihood, its slopes and its
# curvatures depend on d, the difference of two skills (and home advantage), and on t, the logarithm
# of the tie parameter.

# d: a matrix, pairs x points; t: the same, or NULL without ties; n: the wins of a pair's first and
# second player and their ties, list(a, b, ties). curved: second derivatives too?
# list(value, d, t, dd, dt, tt), matrices like d; the last three with `curved`, those with t where
# there are ties.
pair_terms <- function(link, d, t, n, curved = FALSE) {
  f <- if (is.null(t)) list(logit = logit_terms, probit = probit_terms) else
    list(logit = davidson_terms, probit = margin_terms)
  f[[link]](d, t, n, curved)
}

# P(the first wins) = 1 / (1 + exp(-d)).
logit_terms <- function(d, t, n, curved) {
  total <- n$a + n$b
  tail <- exp(-abs(d)) # one exponential for all: this is where a fit's time goes
  near <- 1 / (1 + tail)
  p <- near
  down <- which(d < 0)
  p[down] <- tail[down] * near[down]
  list(value = n$a * pmin(d, 0) - n$b * pmax(d, 0) - total * log1p(tail), d = n$a - total * p,
    dd = if (curved) -total * tail * near^2)
}

# P(the first wins) = Phi(d).
probit_terms <- function(d, t, n, curved) {
  a <- normal_tail(d)
  b <- normal_tail(-d)
  list(value = n$a * a$log + n$b * b$log, d = n$a * a$ratio - n$b * b$ratio,
    dd = if (curved) -n$a * a$bend - n$b * b$bend)
}

# log Phi(x), its slope and minus its curvature.
normal_tail <- function(x) {
  log <- stats::pnorm(x, log.p = TRUE)
  ratio <- exp(stats::dnorm(x, log = TRUE) - log)
  list(log = log, ratio = ratio, bend = pmin(pmax(ratio * (x + ratio), 0), 1))
}

# Win, loss and tie in the proportion exp(d/2), exp(-d/2), exp(t).
# Source: Davidson (1970), JASA 65, 317-328.
davidson_terms <- function(d, t, n, curved) {
  total <- n$a + n$b + n$ties
  u <- d / 2
  top <- pmax(abs(u), t)
  log_sum <- top + log(exp(u - top) + exp(-u - top) + exp(t - top))
  tie <- exp(t - log_sum)
  lead <- (exp(u - log_sum) - exp(-u - log_sum)) / 2
  out <- list(value = (n$a - n$b) * u + n$ties * t - total * log_sum,
    d = (n$a - n$b) / 2 - total * lead, t = n$ties - total * tie)
  if (!curved) return(out)
  c(out, list(dd = -total * ((1 - tie) / 4 - lead^2), dt = total * lead * tie,
    tt = -total * tie * (1 - tie)))
}

# The first wins where d + noise is above the margin e = exp(t), loses below -e, and ties between.
# Source: Herbrich, Minka and Graepel (2007), NIPS 19, 569-576.
margin_terms <- function(d, t, n, curved) {
  e <- exp(t)
  a <- normal_tail(d - e)
  b <- normal_tail(-d - e)
  upper <- stats::pnorm(e - abs(d), log.p = TRUE)
  log_tie <- upper + log(-expm1(stats::pnorm(-e - abs(d), log.p = TRUE) - upper))
  near <- exp(stats::dnorm(e - d, log = TRUE) - log_tie)
  far <- exp(stats::dnorm(e + d, log = TRUE) - log_tie)
  tie <- none_of(n$ties, list(value = log_tie, d = far - near, e = far + near))
  slope_e <- -n$a * a$ratio - n$b * b$ratio + tie$e
  out <- list(value = n$a * a$log + n$b * b$log + tie$value,
    d = n$a * a$ratio - n$b * b$ratio + tie$d, t = e * slope_e)
  if (!curved) return(out)
  left <- (e - d) * near
  right <- (e + d) * far
  own <- none_of(n$ties, list(dd = -left - right - (far - near)^2,
    de = left - right - (far - near) * (far + near), ee = -left - right - (far + near)^2))
  c(out, list(dd = -n$a * a$bend - n$b * b$bend + own$dd,
    dt = e * (n$a * a$bend - n$b * b$bend + own$de),
    tt = e^2 * (-n$a * a$bend - n$b * b$bend + own$ee) + e * slope_e))
}

# count times each, and 0 where there are none, whatever the value.
none_of <- function(count, values) {
  lapply(values, function(x) {
    x <- count * x
    x[count == 0, ] <- 0
    x
  })
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
  lp <- colSums(skills_terms(p, data)$value) +
    normal_log_prior(skill_rows(p), data$prior_sd)
  if (!is.null(p$home)) lp <- lp + stats::dnorm(p$home, 0, data$home_sd, log = TRUE)
  if (is.null(p$tie)) return(lp)
  lp + stats::dlnorm(p$tie, data$tie_location, data$tie_sd, log = TRUE)
}

skills_gradient <- function(p, data) {
  own <- skills_terms(p, data)
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

skills_terms <- function(p, data) {
  pairs <- data$pairs
  z <- skill_rows(p)
  d <- z[pairs$a, , drop = FALSE] - z[pairs$b, , drop = FALSE]
  if (!is.null(p$home)) d <- d + outer(pairs$side, p$home)
  t <- if (!is.null(p$tie)) matrix(log(p$tie), nrow(d), ncol(d), byrow = TRUE)
  pair_terms(data$link, d, t, pair_counts(pairs))
}

pair_counts <- function(pairs) list(a = pairs$wins_a, b = pairs$wins_b, ties = pairs$ties)

# Every player stands in a pair.
player_sums <- function(x, pairs) unname(rowsum(rbind(x, -x), c(pairs$a, pairs$b)))
