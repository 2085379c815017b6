# skills(): who is better, and how sure one can be, from who has beaten whom.

#' Skills of players from their matches
#'
#' The model of Bradley and Terry, and TrueSkill's: every player has a skill with a normal prior,
#' and who wins depends on the difference of two skills. A ranking with its uncertainty comes from
#' [fit_vb()], [fit_exact()], [fit_gibbs()] or [fit_hmc()].
#'
#' @param winner,loser Columns of `data` (bare names, or text), or vectors: who won and who lost.
#'   Text, factors or whole numbers. A row may stand for several matches.
#' @param wins How often `winner` beat `loser` in the matches of a row: whole numbers from 0, a
#'   column, or one number for all rows.
#' @param data A data frame; without it the other arguments are vectors.
#' @param prior_sd SD of a skill's prior, from 1e-4 to 100.
#' @param link `"logit"`: P(i beats j) = 1 / (1 + exp(-(z_i - z_j))), Bradley and Terry's.
#'   `"probit"`: Phi(z_i - z_j), TrueSkill's.
#' @param ties How many matches of a row ended without a winner (then who is called `winner` does
#'   not
#'   matter). With it ties are part of the model, by one more parameter, `tie`.
#' @param home Who is at home in the matches of a row: names of players, or TRUE where it is the
#'   winner and FALSE where it is the loser; `NA` on neutral ground. With it home advantage is part
#'   of
#'   the model.
#'
#' @details
#' z_i ~ N(0, `prior_sd`^2) for each player. With `home` the difference of skills is z_i - z_j + h
#' for i at home against j, h ~ N(0, 1). With `ties`:
#' \itemize{
#'   \item logit: win, loss and tie have probabilities in the proportion exp(d/2), exp(-d/2), `tie`
#'     (Davidson). `tie` has a log-normal prior of median 1 (equals then tie in a third of their
#'     matches) and SD 1 of its logarithm.
#'   \item probit: i wins where d + noise is above `tie`, loses below -`tie`, and ties between
#'     (TrueSkill's draw margin). The prior is log-normal of median .43 (a third again) and SD 1 of
#'     the logarithm.
#' }
#' Matches count one by one, in the order in which they were played: log evidences have no binomial
#' coefficients. Levels of a factor that play no match are no players. The data know differences of
#' skills only; where the prior is all that ties players together (two leagues that never met),
#' that is what the posterior says.
#'
#' Variables are `skill[<player>]`, `home` and `tie`. The model is a [target()] with all of its
#' methods; [skills-methods] has those that it has beside them.
#'
#' @return An object of class `skills` (`meanfield_target`); its elements are internal.
#' @section Errors: `meanfield_error_skills`, with the argument's name, for matches that are none: a
#'   player against itself, missing names, counts that are negative, missing or not whole, no match
#'   at all, or columns that do not exist; `meanfield_error_prior` for `prior_sd`,
#'   `meanfield_error_control` for `link`.
#' @references Bradley, R. A. and Terry, M. E. (1952). Rank analysis of incomplete block designs.
#'   *Biometrika* 39, 324-345.
#'
#'   Davidson, R. R. (1970). On extending the Bradley-Terry model to accommodate ties in paired
#'   comparison experiments. *JASA* 65, 317-328.
#'
#'   Herbrich, R., Minka, T. and Graepel, T. (2007). TrueSkill: a Bayesian skill rating system.
#'   *NIPS* 19, 569-576.
#' @seealso [fit_vb.skills()], [skills-methods], [al_east]
#' @examples
#' model <- skills(winner, loser, wins, data = al_east)
#' fit <- fit_vb(model)
#' fit
#' standings(fit)
#'
#' # home advantage
#' fit_vb(skills(winner, loser, wins, data = al_east, home = home))
#'
#' # two players, ten wins to none
#' fit_exact(skills("Ann", "Bob", wins = 10))
#' @export
skills <- function(winner, loser, wins = 1, data = NULL, prior_sd = 1,
                   link = c("logit", "probit"), ties = NULL, home = NULL) {
  call <- match.call()
  for (arg in c("winner", "loser")) if (is.null(call[[arg]])) {
    mf_abort("skills", "`", arg, "` is missing: who ", if (arg == "winner") "won" else "lost",
      "? Give a column of `data` or a vector", arg = arg)
  }
  settings <- list(prior_sd = check_prior_sd(prior_sd),
    link = check_choice(link, c("logit", "probit"), "link"))
  exprs <- list(winner = substitute(winner), loser = substitute(loser), wins = substitute(wins))
  exprs$ties <- substitute(ties)
  exprs$home <- substitute(home)
  env <- parent.frame()
  matches <- read_matches(exprs, data, env)
  own <- lapply(stats::setNames(nm = c("winner", "loser")), function(arg) {
    read_column(exprs[[arg]], data, env, arg)
  })
  players <- player_order(own$winner, own$loser, c(matches$winner, matches$loser))
  pairs <- match_pairs(matches, players)
  check_played(pairs)
  settings$tied <- !is.null(matches$ties)
  settings$at_home <- !is.null(matches$side)
  new_skills(call, pairs, players, settings, column_names(exprs, data))
}

check_prior_sd <- function(x) {
  x <- check_number(x, "prior_sd", 1e-4, kind = "prior")
  if (x > 100) {
    mf_abort("prior", "`prior_sd` must not exceed 100, where every match is won for certain",
      arg = "prior_sd")
  }
  x
}

check_played <- function(pairs) {
  if (sum(pairs$wins_a, pairs$wins_b, pairs$ties) == 0) {
    mf_abort("skills", "there is no match: every number of wins is 0", arg = "wins")
  }
}

# Names of the columns that new data have to have; NA of what was one number for all rows.
column_names <- function(exprs, data) {
  vapply(names(exprs), function(arg) {
    e <- exprs[[arg]]
    if ((is.name(e) || is.character(e)) && as.character(e) %in% names(data)) {
      return(as.character(e))
    }
    if (arg == "wins" && is.numeric(e)) NA_character_ else arg
  }, "")
}

# pairs: of match_pairs(); settings: list(prior_sd, link, tied, at_home); columns: column_names();
# warm: list(m, H) to start the search of the optimum from.
new_skills <- function(call, pairs, players, settings, columns, warm = NULL) {
  data <- settings[c("prior_sd", "link")]
  init <- list(skill = stats::setNames(numeric(length(players)), players))
  constraints <- list()
  if (settings$at_home) {
    data$home_sd <- 1
    init$home <- 0
  }
  if (settings$tied) {
    data$tie_location <- if (data$link == "logit") 0 else log(stats::qnorm(2 / 3))
    data$tie_sd <- 1
    init$tie <- exp(data$tie_location)
    constraints$tie <- positive()
  }
  data$pairs <- pairs
  user <- list(log_density = skills_log_density, gradient = skills_gradient, generated = NULL,
    vectorised = TRUE, data = data)
  target <- build_target(call, user, init, constraints)
  target$source <- "supplied"
  target$players <- players
  target$columns <- columns
  target$settings <- settings
  target$warm <- warm
  target$most_full <- SKILLS_FULL
  class(target) <- c("skills", class(target))
  start_target(target)
}

SKILLS_FULL <- 1000L # players beyond which the default is mean field

# ---- print ---------------------------------------------------------------------------------------

#' @export
print.skills <- function(x, ...) {
  no_dots(...)
  valid_target(x)
  cat("Skills by ", LINK_WORDS[[x$settings$link]], ": ", skills_size(x), "\n", sep = "")
  cat("Prior SD of a skill: ", format(x$settings$prior_sd), "\n", sep = "")
  if (x$settings$at_home) cat("With home advantage\n")
  invisible(x)
}

LINK_WORDS <- c(logit = "Bradley-Terry (logit)", probit = "TrueSkill's probit")

skills_size <- function(model) {
  pairs <- model$user$data$pairs
  games <- pairs$wins_a + pairs$wins_b + pairs$ties
  met <- sum(!duplicated(cbind(pairs$a, pairs$b)[games > 0, , drop = FALSE]))
  number <- function(x) format(x, big.mark = ",", scientific = FALSE)
  paste0(number(length(model$players)), " players, ", number(sum(games)), " match",
    if (sum(games) != 1) "es", " of ", number(met), " pair", if (met != 1) "s",
    if (model$settings$tied) paste0(", ", number(sum(pairs$ties)), " of them tied"))
}

#' @export
model_formula.skills <- function(model) paste0("skills (", LINK_WORDS[[model$settings$link]], ")")
