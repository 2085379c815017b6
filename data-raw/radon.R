# Builds data/radon.rda from the copy in rstanarm. Usage, from the package root:
# Rscript data-raw/radon.R
#
# 919 homes in 85 counties of Minnesota, from the US EPA's radon survey as prepared by
# Gelman and Hill (2007). Both logs are natural logs.

source_data <- new.env()
utils::data("radon", package = "rstanarm", envir = source_data)
raw <- source_data$radon

# The source writes county names in capitals without spaces ("LAKEOFTHEWOODS").
county_name <- function(x) {
  special <- c(
    BIGSTONE = "Big Stone", BLUEEARTH = "Blue Earth", CROWWING = "Crow Wing",
    LACQUIPARLE = "Lac qui Parle", LAKEOFTHEWOODS = "Lake of the Woods", LESUEUR = "Le Sueur",
    MCLEOD = "McLeod", MILLELACS = "Mille Lacs", OTTERTAIL = "Otter Tail",
    STLOUIS = "St. Louis", YELLOWMEDICINE = "Yellow Medicine"
  )
  plain <- paste0(substr(x, 1, 1), tolower(substring(x, 2)))
  unname(ifelse(x %in% names(special), special[x], plain))
}

county <- raw$county
levels(county) <- county_name(levels(county))

radon <- data.frame(
  log_radon = as.numeric(raw$log_radon), # radon in the home, log of picocuries per litre
  floor = as.integer(raw$floor), # where it was measured: 0 = basement, 1 = first floor
  county = county,
  log_uranium = as.numeric(raw$log_uranium) # uranium in the county's soil, log scale
)

stopifnot(
  nrow(radon) == 919, nlevels(radon$county) == 85, !anyDuplicated(levels(radon$county)),
  !anyNA(radon), radon$floor %in% 0:1
)

dir.create("data", showWarnings = FALSE)
save(radon, file = "data/radon.rda", version = 2, compress = "xz")
