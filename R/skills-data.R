#' American League East, 1987
#'
#' Who won how often against whom, and where, in the East division of the American League (baseball)
#' in 1987: 273 games of seven teams.
#'
#' @format A data frame with 80 rows and 4 columns, a row per winner, loser and ground with at least
#'   one such game:
#' \describe{
#'   \item{winner, loser}{teams, factors with 7 levels}
#'   \item{home}{team that played at home, one of the two}
#'   \item{wins}{number of games that `winner` won there}
#' }
#' @source Results of the season, as in Agresti, A. (2002). *Categorical Data Analysis*, 2nd
#'   edition,
#'   Wiley, page 438; taken from the `baseball` data of package BradleyTerry2 by
#'   `data-raw/al-east.R`.
#' @examples
#' fit_vb(skills(winner, loser, wins, data = al_east, home = home))
"al_east"
