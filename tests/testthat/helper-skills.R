# Matches and truths of the examples of skills.

# Posterior moments by long runs of HMC and by importance sampling, and the optima of the two normal
# families, of models with prior SD 1 and the logit link.
skills_truth <- function(name, players) {
  all <- utils::read.csv(system.file("extdata", "skills-truth.csv", package = "meanfield"))
  own <- all[all$data == name, ]
  own[match(players, own$player), ]
}

baseball_model <- function(...) skills(winner, loser, wins, al_east, ...)

# The examples of package BradleyTerry2, ties dropped.
hockey_model <- function() {
  testthat::skip_if_not_installed("BradleyTerry2")
  e <- new.env()
  utils::data("icehockey", package = "BradleyTerry2", envir = e)
  d <- e$icehockey[e$icehockey$result != 0.5, ]
  ahead <- d$result == 1
  visitor <- as.character(d$visitor)
  opponent <- as.character(d$opponent)
  skills(ifelse(ahead, visitor, opponent), ifelse(ahead, opponent, visitor))
}

lizard_model <- function() {
  testthat::skip_if_not_installed("BradleyTerry2")
  e <- new.env()
  utils::data("flatlizards", package = "BradleyTerry2", envir = e)
  skills(winner, loser, data = e$flatlizards$contests)
}

# Results of every pair of k players with ties and home advantage, from the model itself.
tied_league <- function(k, link, seed = 4L) {
  withr::local_seed(seed)
  z <- stats::rnorm(k)
  pair <- t(utils::combn(k, 2L))
  side <- rep_len(c(1, -1), nrow(pair))
  d <- z[pair[, 1L]] - z[pair[, 2L]] + 0.4 * side
  p <- if (link == "logit") cbind(exp(d / 2), exp(-d / 2), 0.8) else
    cbind(stats::pnorm(d - 0.4), stats::pnorm(-d - 0.4), stats::pnorm(0.4 - d) -
      stats::pnorm(-0.4 - d))
  n <- apply(p, 1L, function(p) stats::rmultinom(1L, 6L, p))
  first <- LETTERS[pair[, 1L]]
  second <- LETTERS[pair[, 2L]]
  data.frame(w = c(first, second), l = c(second, first), wins = c(n[1L, ], n[2L, ]),
    ties = c(n[3L, ], 0 * n[3L, ]), home = rep(ifelse(side > 0, first, second), 2L))
}

# The models of one league: with and without ties and home advantage.
league_model <- function(d, link, ties, home, ...) {
  call <- list(quote(skills), quote(w), quote(l), quote(wins), quote(d), link = link, ...)
  if (ties) call$ties <- quote(ties)
  if (home) call$home <- quote(home)
  eval(as.call(call))
}

# The numbers of a duel, by exact integration elsewhere (all digits right): wins of A and B; mean
# and SD of A, correlation, log evidence, P(A better), P(A wins next); the full-rank optimum: mean,
# SD, correlation, bound; the factorised one: mean, SD, bound.
duels <- cbind(utils::read.table(text = "
a b mean sd cor evidence better win
1 0 .3631618 .9317261 .1519231 -.6931472 .7252135 .6368382
5 0 .8919367 .8517570 .3783789 -1.9760606 .9788235 .8216127
10 0 1.1482367 .8273071 .4610548 -2.7777824 .9991945 .8851763
10 10 0 .7398429 .8269263 -15.0516217 .5 .5
", header = TRUE), utils::read.table(text = "
full_mean full_sd full_cor full_elbo mf_mean mf_sd mf_elbo
.362715 .931229 .153154 -.693655 .365469 .922026 -.705263
.890350 .847055 .393725 -1.982827 .915332 .782175 -2.065766
1.146735 .820484 .485456 -2.789210 1.183075 .719154 -2.922784
0 .739811 .827086 -15.05175 0 .421862 -15.62130
", header = TRUE))

duel_model <- function(a, b, ...) skills(c("A", "B"), c("B", "A"), c(a, b), ...)
