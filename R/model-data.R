#' Radon in Minnesota homes
#'
#' Radon measured in 919 homes of 85 counties of Minnesota, with the soil's uranium
#' per county: the standard example of a varying-intercept regression.
#'
#' @format A data frame with 919 rows and 4 columns:
#' \describe{
#'   \item{log_radon}{log of the radon activity, log pCi/L}
#'   \item{floor}{floor of the measurement: 0 basement, 1 first floor}
#'   \item{county}{county, factor with 85 levels}
#'   \item{log_uranium}{log of the county's soil uranium, log ppm}
#' }
#' @source Gelman, A. and Hill, J. (2007). *Data Analysis Using Regression and
#'   Multilevel/Hierarchical Models*, Cambridge University Press; taken from the
#'   `radon` data of package rstanarm by `data-raw/radon.R`.
#' @examples
#' fit_vb(log_radon ~ floor + log_uranium + (1 | county), data = radon)
"radon"
