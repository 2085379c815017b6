# Matches as the user gives them, checked, and gathered by pairs of players.

# exprs: unevaluated arguments winner, loser, wins, ties, home; NULL: not given. A data frame, a row
# per row of the data: winner, loser (text), wins, ties (NULL: none are modelled), side (1 where the
# winner is at home, -1 where the loser is, 0 on neutral ground; NULL).
read_matches <- function(exprs, data, env) {
  if (!is.null(data) && !is.list(data) || is.null(names(data)) && length(data)) {
    mf_abort("skills", "`data` must be a data frame of matches, not ", describe(data), arg = "data")
  }
  values <- Map(function(expr, arg) read_column(expr, data, env, arg), exprs, names(exprs))
  winner <- as_players(values$winner, "winner")
  loser <- as_players(values$loser, "loser")
  if (length(winner) != length(loser)) {
    mf_abort("skills", "`winner` has ", length(winner), " players and `loser` ", length(loser),
      ": they need one of each per match", arg = "loser")
  }
  if (!length(winner)) mf_abort("skills", "there is no match: give at least one", arg = "winner")
  self <- which(winner == loser)
  if (length(self)) {
    mf_abort("skills", "`", winner[self[1L]], "` plays against itself in row ", self[1L],
      ": drop the row, or mend it", arg = "loser")
  }
  out <- list(winner = winner, loser = loser,
    wins = as_match_counts(values$wins, "wins", length(winner)))
  if (!is.null(values$ties)) out$ties <- as_match_counts(values$ties, "ties", length(winner))
  if (!is.null(values$home)) out$side <- home_side(values$home, winner, loser)
  list2DF(out)
}

# What an expression is among the columns of data, or where the call was written; text names a
# column, unless it stands in one: who plays may be called as a column is.
read_column <- function(expr, data, env, arg) {
  if (is.name(expr) && as.character(expr) %in% names(data)) return(data[[as.character(expr)]])
  x <- tryCatch(eval(expr, data, env), error = function(e) {
    mf_abort("skills", "`", arg, "` cannot be found: ", conditionMessage(e), "; give a column of ",
      "`data` or a vector", arg = arg)
  })
  if (is.character(x) && length(x) == 1L && x %in% names(data)) data[[x]] else x
}

as_players <- function(x, arg, kind = "skills") {
  refuse <- function(...) mf_abort(kind, "`", arg, "` ", ..., arg = arg)
  whole <- is_plain_numeric(x) && all(x == round(x) & abs(x) < 2^53, na.rm = TRUE)
  known <- is.factor(x) || is.character(x) || whole
  if (!known || length(dim(x)) > 1L) {
    refuse("must be names of players (text, a factor or whole numbers), not ", describe(x))
  }
  name <- if (is.numeric(x)) format(x, trim = TRUE, scientific = FALSE) else as.character(x)
  bad <- which(is.na(x) | is.na(name) | !nzchar(name)) # a level of a factor may be NA
  if (length(bad)) refuse("has no name in row ", bad[1L], ": drop the row, or give it one")
  enc2utf8(name)
}

as_match_counts <- function(x, arg, n) {
  refuse <- function(...) mf_abort("skills", "`", arg, "` ", ..., arg = arg)
  if (is.logical(x) && !all(is.na(x))) x <- as.integer(x)
  if (!is_plain_numeric(x) || !length(x) %in% c(1L, n)) {
    refuse("must be numbers of matches, ", n, " or one, not ", describe(x))
  }
  bad <- which(!is.finite(x) | x < 0 | x != round(x) | x > 1e12)
  if (length(bad)) {
    refuse("must be whole numbers from 0 to 1e12, and is ", format(x[bad[1L]]), " in row ", bad[1L])
  }
  rep_len(as.double(x), n)
}

# home: who is at home, or whether the winner is; NA: neither.
home_side <- function(home, winner, loser, kind = "skills") {
  refuse <- function(...) mf_abort(kind, "`home` ", ..., arg = "home")
  if (!length(home) %in% c(1L, length(winner))) {
    refuse("has ", length(home), " elements, and must have one per match, ", length(winner))
  }
  home <- rep_len(home, length(winner))
  if (is.logical(home)) return(ifelse(is.na(home), 0, ifelse(home, 1, -1)))
  here <- !is.na(home)
  name <- rep_len(NA_character_, length(home))
  if (any(here)) name[here] <- as_players(home[here], "home", kind)
  other <- which(here & name != winner & name != loser)
  if (length(other)) {
    refuse("is ", name[other[1L]], " in row ", other[1L], ", who does not play there: give NA for ",
      "neutral ground")
  }
  ifelse(here, ifelse(name == winner, 1, -1), 0)
}

# In the order of a factor's levels, else of the alphabet; who stands in no match is none.
player_order <- function(winner, loser, names) {
  levels <- union(if (is.factor(winner)) levels(winner), if (is.factor(loser)) levels(loser))
  both <- unique(names)
  c(intersect(enc2utf8(as.character(levels)), both),
    sort(setdiff(both, levels), method = "radix"))
}

# ---- pairs ---------------------------------------------------------------------------------------

# A row per pair and side: a, b (numbers of players, a < b), side (1: a at home), wins_a, wins_b,
# ties.
match_pairs <- function(matches, players) {
  a <- match(matches$winner, players)
  b <- match(matches$loser, players)
  turned <- a > b
  side <- matches$side %||% numeric(length(a))
  long <- list2DF(list(a = ifelse(turned, b, a), b = ifelse(turned, a, b),
    side = ifelse(turned, -side, side), wins_a = ifelse(turned, 0, matches$wins),
    wins_b = ifelse(turned, matches$wins, 0), ties = matches$ties %||% numeric(length(a))))
  gather_pairs(long)
}

gather_pairs <- function(long) {
  k <- max(long$b)
  key <- (long$side + 1) * k^2 + (long$a - 1) * k + long$b
  first <- !duplicated(key)
  sums <- unname(rowsum(cbind(long$wins_a, long$wins_b, long$ties), key, reorder = FALSE))
  out <- list2DF(list(a = long$a[first], b = long$b[first], side = long$side[first],
    wins_a = sums[, 1L], wins_b = sums[, 2L], ties = sums[, 3L]))
  out <- out[order(out$a, out$b, out$side), ]
  rownames(out) <- NULL
  out
}
