# Builds data/al_east.rda from the copy in BradleyTerry2. Usage, from the package root:
# Rscript data-raw/al-east.R
#
# Results of the American League East in 1987: a row per winner, loser and ground.

source_data <- new.env()
utils::data("baseball", package = "BradleyTerry2", envir = source_data)
raw <- source_data$baseball

won_by <- function(winner, loser, wins) {
  data.frame(winner = winner, loser = loser, home = raw$home.team, wins = wins)
}
al_east <- rbind(won_by(raw$home.team, raw$away.team, raw$home.wins),
  won_by(raw$away.team, raw$home.team, raw$away.wins))
al_east <- al_east[al_east$wins > 0L, ]
al_east <- al_east[order(al_east$home, al_east$winner, al_east$loser), ]
rownames(al_east) <- NULL

stopifnot(
  nrow(al_east) == 80, sum(al_east$wins) == 273, nlevels(al_east$winner) == 7, !anyNA(al_east),
  al_east$winner != al_east$loser, al_east$home == al_east$winner | al_east$home == al_east$loser
)

save(al_east, file = "data/al_east.rda", version = 2, compress = "xz")
