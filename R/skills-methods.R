# What a fit of skills answers beside what every fit of a target does.

#' Rankings, matches and updates of skills
#'
#' What fits of [skills()] have beside the methods of all fits of targets ([target-methods]):
#' the ranking with its uncertainty, who would beat whom, and updates with new matches.
#'
#' @param fit,object,x A fit of [skills()].
#' @param top Whole numbers: with each k a column, the probability to be among the best k; by
#'   default 3, where there are as many players.
#' @param level Mass of the central intervals.
#' @param players Names of players, in the order wanted; all (up to 200) by default.
#' @param newdata Of `predict()`: matches, a data frame with the columns of the model's data that
#'   say who is called the winner, the loser and, where it is modelled, who is at home; by default
#'   all pairs of players, on neutral ground. Of `update()`: new matches, with wins and ties too. A
#'   column that the model was given as a vector has the name of the argument (`winner`, `loser`,
#'   ...); where `wins` was one number for all rows, a row without a column `wins` is one match. Of
#'   `predict()` also a function, as in [predict.target_fit()].
#' @param allow_new_levels Predict matches of players that the model does not know? Their skills
#'   come from the prior. Else they are refused.
#' @param evaluate Evaluate the new call?
#' @param nsim,seed Number of simulated seasons, and a seed to set first.
#' @param what `"ladder"`: intervals of the skills, best first (50% thick); `"posterior"`,
#'   `"convergence"`: as of any target.
#' @param reference A fit of the same model to show beside it.
#' @param digits Digits to print.
#' @param ... Of `update()`: arguments of the fit that change, by name; of `plot()` with another
#'   `what`, and of `predict()` with a function, arguments of these; else not used.
#'
#' @details
#' Two probabilities must not be mixed up: that i is the better player (`p_better`, its skill is
#' the larger one, of which one grows certain with more matches), and that i wins the next match
#' (`p_win`, which tends to the probability that their skills give). Home advantage changes the
#' second only.
#'
#' All of these are averages over the points or draws of the fit, which have a Monte Carlo error: of
#' a probability p about sqrt(p (1 - p) / n), with n the effective number of points (`fit$ess` of
#' `ncol(fit$points$z)`); of two players by [fit_exact()] there is none.
#'
#' `update()` with new matches starts the search from the fit at hand and gives what a fit of all
#' matches together gives. New players may enter. Of a fit with `refine = "no"` that takes some
#' milliseconds up to a hundred players.
#'
#' `simulate()` plays the matches of the data anew, each season with skills of its own drawn from
#' the posterior.
#'
#' `logLik()` is the log evidence where it was estimated, else the lower bound; [nobs()] the number
#' of matches.
#'
#' @return
#' `standings()`: a data frame, a row per player, the largest mean first: `player`, `mean`, `sd`,
#' interval, `p_best`, `p_top<k>` and `rank`, its expected rank.
#'
#' `head_to_head()`: a list of matrices, players x players: `p_better`, `p_win`, and `p_tie` where
#' ties are modelled, of row against column on neutral ground; `NA` on the diagonal.
#'
#' `predict()`: a data frame, a row per match: `winner`, `loser` (and `home`, 1 where the one called
#' winner is at home, -1 where the other is, 0 on neutral ground), `p_win`, the probability that
#' `winner` wins, `sd` and an interval (of the probability, as the skills are not known), `p_tie`,
#' `p_better`.
#'
#' `update()`: a fit. `simulate()`: a data frame with a column per season, whose elements are
#' matrices with columns `wins_a`, `wins_b` (and `ties`), a row per pair of players (and ground)
#' that met. `plot()`, `print()`: `x`, invisibly.
#' @section Errors: `meanfield_error_newdata` for players that the model does not know, and for
#'   columns that are not there, `meanfield_error_control` for other arguments,
#'   `meanfield_error_size` for more than 200 players against each other.
#' @examples
#' fit <- fit_vb(skills(winner, loser, wins, data = al_east, home = home))
#' standings(fit, top = 3)
#' round(head_to_head(fit, c("Milwaukee", "Detroit", "Toronto"))$p_better, 2)
#' predict(fit, data.frame(winner = "Detroit", loser = "Toronto", home = c("Detroit", "Toronto")))
#' plot(fit)
#'
#' # Detroit wins three games in Toronto
#' more <- data.frame(winner = "Detroit", loser = "Toronto", wins = 3, home = "Toronto")
#' standings(update(fit, more), top = 1)
#' @name skills-methods
NULL

# ---- rankings ------------------------------------------------------------------------------------

#' @rdname skills-methods
#' @export
standings <- function(fit, top = min(3, length(fit$model$players)), level = 0.95) {
  valid_skills(fit)
  check_level(level)
  players <- fit$model$players
  top <- vapply(top, check_count, 0L, arg = "top", lower = 1, upper = length(players))
  p <- skill_points(fit)
  rank <- point_ranks(point_parts(fit$model, p$z)$skill)
  at <- seq_along(players)
  s <- summary_table(fit, level)[at, ]
  out <- data.frame(player = players, mean = s$mean, sd = s$sd)
  out[quantile_names(level)] <- s[quantile_names(level)]
  out$p_best <- drop((rank == 1L) %*% p$weights)
  for (k in setdiff(top, 1L)) out[[paste0("p_top", k)]] <- drop((rank <= k) %*% p$weights)
  out$rank <- drop(rank %*% p$weights)
  out <- out[order(-out$mean), ]
  rownames(out) <- NULL
  out
}

valid_skills <- function(fit) {
  if (!inherits(fit, "skills_fit")) {
    mf_abort("skills", "`fit` must be a fit of skills(), not ", describe(fit), arg = "fit")
  }
  valid_fit(fit)
}

MOST_OPPONENTS <- 200L

#' @rdname skills-methods
#' @export
head_to_head <- function(fit, players = NULL) {
  valid_skills(fit)
  at <- player_places(players %||% fit$model$players, fit$model$players, "players", "control")
  if (length(at) > MOST_OPPONENTS) {
    mf_abort("size", "a table of ", length(at), " players is too large: give up to ",
      MOST_OPPONENTS, " `players`", arg = "players")
  }
  p <- skill_points(fit)
  parts <- point_parts(fit$model, p$z)
  kinds <- c("better", "win", if (!is.null(parts$tie)) "tie")
  rows <- lapply(at, function(i) {
    m <- point_matches(fit$model, parts, rep(i, length(at)), at)
    lapply(m[kinds], function(x) drop(x %*% p$weights))
  })
  names <- fit$model$players[at]
  out <- lapply(kinds, function(kind) {
    x <- do.call(rbind, lapply(rows, `[[`, kind))
    dimnames(x) <- list(names, names)
    diag(x) <- NA
    x
  })
  stats::setNames(out, paste0("p_", kinds))
}

# Their numbers among those known.
player_places <- function(names, known, arg, kind) {
  if (!length(names) || !(is.character(names) || is.factor(names) || is.numeric(names))) {
    mf_abort(kind, "`", arg, "` must be names of players, not ", describe(names), arg = arg)
  }
  at <- match(as_players(names, arg, kind), known)
  if (anyNA(at)) {
    mf_abort(kind, "`", names[is.na(at)][1L], "` plays no match of the data: see standings() for ",
      "who does", arg = arg)
  }
  if (anyDuplicated(at)) {
    mf_abort(kind, "`", arg, "` has `", names[anyDuplicated(at)], "` twice: give each name once",
      arg = arg)
  }
  at
}

# ---- matches to come -----------------------------------------------------------------------------

#' @rdname skills-methods
#' @export
predict.skills_fit <- function(object, newdata = NULL, level = 0.95, allow_new_levels = FALSE,
                               ...) {
  if (is.function(newdata)) {
    return(predict.target_fit(object, newdata, level = level, ...))
  }
  valid_fit(object)
  no_dots(...)
  check_level(level)
  check_flag(allow_new_levels, "allow_new_levels")
  model <- object$model
  new <- if (is.null(newdata)) all_matches(model) else new_matches(model, newdata)
  known <- known_players(model, new, allow_new_levels)
  p <- with_new_players(skill_points(object), model, length(known) - length(model$players))
  out <- new
  out[c("p_win", "sd", quantile_names(level), if (model$settings$tied) "p_tie", "p_better")] <-
    NA_real_
  rows <- max(1L, 4000000L %/% length(p$weights))
  for (lot in split(seq_len(nrow(new)), (seq_len(nrow(new)) - 1L) %/% rows)) {
    m <- point_matches(model, p$parts, match(new$winner[lot], known), match(new$loser[lot], known),
      new$home[lot] %||% 0)
    out[lot, -seq_along(new)] <- predicted_matches(m, p$weights, level)
  }
  out
}

# A row per match of point_matches().
predicted_matches <- function(m, w, level) {
  own <- weighted_moments(m$win, w)
  limits <- t(apply(m$win, 1L, weighted_quantile, w, central_probs(level)))
  data.frame(cbind(own$mean, own$sd, limits, if (!is.null(m$tie)) m$tie %*% w, m$better %*% w))
}

all_matches <- function(model) {
  k <- length(model$players)
  check_size(as.double(k)^2, 100)
  at <- which(lower.tri(diag(k)), arr.ind = TRUE)
  out <- data.frame(winner = model$players[at[, 2L]], loser = model$players[at[, 1L]])
  if (model$settings$at_home) out$home <- 0
  out
}

# winner, loser and, where it matters, home (its side), of a user's data.
new_matches <- function(model, newdata) {
  names <- intersect(c("winner", "loser", if (model$settings$at_home) "home"), names(model$columns))
  x <- new_columns(model, newdata, names)
  out <- data.frame(winner = as_players(x$winner, "winner", "newdata"),
    loser = as_players(x$loser, "loser", "newdata"))
  self <- which(out$winner == out$loser)
  if (length(self)) {
    mf_abort("newdata", "`", out$winner[self[1L]], "` plays against itself in row ", self[1L],
      " of `newdata`: drop the row, or mend it", arg = "newdata")
  }
  if (!is.null(x$home)) out$home <- home_side(x$home, out$winner, out$loser, "newdata")
  out
}

# The columns of new data that arguments of the model come from.
new_columns <- function(model, newdata, args) {
  if (!is.data.frame(newdata) || !nrow(newdata)) {
    mf_abort("newdata", "`newdata` must be a data frame with a row per match, not ",
      describe(newdata), arg = "newdata")
  }
  columns <- model$columns[args]
  columns <- columns[!is.na(columns)]
  check_variables(columns, newdata, emptyenv())
  stats::setNames(lapply(columns, function(name) newdata[[name]]), names(columns))
}

known_players <- function(model, new, allow) {
  strange <- setdiff(c(new$winner, new$loser), model$players)
  if (length(strange) && !allow) {
    mf_abort("newdata", "`newdata` has players without a match in the data (",
      some(strange), "): use allow_new_levels = TRUE to take their skills from the prior",
      arg = "newdata")
  }
  c(model$players, strange)
}

#' @rdname skills-methods
#' @export
simulate.skills_fit <- function(object, nsim = 1, seed = NULL, ...) {
  valid_fit(object)
  nsim <- check_count(nsim, "nsim", 1)
  no_dots(...)
  state <- seeded_state(seed)
  if (!is.null(seed)) on.exit(assign(".Random.seed", state$before, envir = globalenv()))
  model <- object$model
  pairs <- model$user$data$pairs
  games <- pairs$wins_a + pairs$wins_b + pairs$ties
  pairs <- pairs[games > 0, ]
  parts <- point_parts(model, posterior_points(object, nsim))
  m <- point_matches(model, parts, pairs$a, pairs$b, pairs$side)
  out <- lapply(seq_len(nsim), function(i) {
    played_season(games[games > 0], m$win[, i], if (!is.null(m$tie)) m$tie[, i])
  })
  names <- paste(model$players[pairs$a], "-", model$players[pairs$b])
  simulations(out, make.unique(names), state$used)
}

played_season <- function(games, win, tie) {
  won <- stats::rbinom(length(games), games, pmin(win, 1))
  if (is.null(tie)) return(cbind(wins_a = won, wins_b = games - won))
  rest <- games - won
  tied <- stats::rbinom(length(games), rest, ifelse(win < 1, pmin(tie / (1 - win), 1), 0))
  cbind(wins_a = won, wins_b = rest - tied, ties = tied)
}

# ---- more matches --------------------------------------------------------------------------------

#' @rdname skills-methods
#' @export
update.skills_fit <- function(object, newdata = NULL, ..., evaluate = TRUE) {
  valid_fit(object)
  model <- if (is.null(newdata)) object$model else with_matches(object, newdata)
  call <- object$call
  if (!is.null(newdata)) call$object <- model
  exprs <- as.list(match.call(expand.dots = FALSE)$...)
  refit_target(call, model, exprs, list(...), evaluate, parent.frame())
}

# The model of a fit with more matches, whose search starts from the fit.
with_matches <- function(fit, newdata) {
  model <- fit$model
  x <- new_columns(model, newdata, names(model$columns))
  if (is.null(x$wins) && "wins" %in% names(newdata)) x$wins <- newdata$wins
  exprs <- lapply(stats::setNames(nm = names(x)), as.name)
  matches <- read_matches(if (is.null(x$wins)) c(exprs, wins = 1) else exprs, x, emptyenv())
  players <- union(model$players,
    player_order(x$winner, x$loser, c(matches$winner, matches$loser)))
  pairs <- gather_pairs(rbind(model$user$data$pairs, match_pairs(matches, players)))
  new_skills(model$call, pairs, players, model$settings, model$columns,
    warm_start(fit, length(players)))
}

# list(m, H) of the normal distribution that a fit has, with new players as the prior has them.
warm_start <- function(fit, players) {
  part <- fit$vb$components[[1L]]
  if (is.null(part)) return(NULL)
  H <- if (is.null(part$L)) diag(1 / part$sd^2, length(part$sd)) else chol2inv(t(part$L))
  old <- length(fit$model$players)
  at <- c(seq_len(old), players + seq_len(fit$model$d - old))
  m <- numeric(players + fit$model$d - old)
  wide <- diag(1 / fit$model$settings$prior_sd^2, length(m))
  m[at] <- part$m
  wide[at, at] <- H
  list(m = m, H = wide)
}

#' @export
nobs.skills_fit <- function(object, ...) {
  valid_fit(object)
  no_dots(...)
  pairs <- object$model$user$data$pairs
  sum(pairs$wins_a, pairs$wins_b, pairs$ties)
}

# ---- print ---------------------------------------------------------------------------------------

#' @rdname skills-methods
#' @export
print.skills_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat("Skills by ", LINK_WORDS[[x$model$settings$link]], ": ", skills_size(x$model), "\n", sep = "")
  cat(engine_words(x), "\n", sep = "")
  if (inherits(x, "target_hmc_fit")) {
    cat(x$chains, " chain", if (x$chains != 1L) "s", " of ", x$iter, ", ",
      dim(x$draws)[1L] * x$chains, " draws kept\n\n", sep = "")
  } else {
    print_target_lines(x)
  }
  print_ladder(standings(x, top = 1), digits)
  print_extras(x, digits)
  if (inherits(x, "target_hmc_fit")) print_rhat(summary(x), "draw more") else print_words(x)
  invisible(x)
}

engine_words <- function(fit) {
  if (inherits(fit, "target_hmc_fit")) return(HMC_WORDS[[fit$method]])
  if (inherits(fit, "target_vb_fit")) {
    return(paste0("Variational Bayes, ", APPROXIMATION_WORDS[[fit$vb$approximation]], ", ",
      source_words(fit$table$source)))
  }
  paste("Exact posterior by", switch(fit$method, lattice = "a lattice",
    quadrature = "quadrature", "importance sampling"))
}

LONGEST_LADDER <- 20L

print_ladder <- function(s, digits) {
  shown <- utils::head(s, LONGEST_LADDER)
  zero <- abs(shown$mean) < 1e-9 * shown$sd # rounding of a symmetric sum
  shown$mean[zero %in% TRUE] <- 0
  number <- vapply(shown, is.numeric, NA)
  shown[number] <- lapply(shown[number], format_numbers, digits)
  chance <- startsWith(names(shown), "p_")
  shown[chance] <- lapply(utils::head(s, LONGEST_LADDER)[chance], formatC, digits = digits,
    format = "f")
  print(shown, row.names = FALSE)
  if (nrow(s) > LONGEST_LADDER) cat("... and", nrow(s) - LONGEST_LADDER, "more: see standings()\n")
}

# Home advantage and ties.
print_extras <- function(x, digits) {
  extra <- as.data.frame(summary(x))[-seq_along(x$model$players), , drop = FALSE]
  if (!nrow(extra)) return(invisible())
  cat("\n")
  extra <- extra[c("variable", "mean", "sd", quantile_names(0.95))]
  extra[-1L] <- lapply(extra[-1L], format_numbers, digits)
  print(structure(extra, class = "data.frame"), row.names = FALSE)
}
