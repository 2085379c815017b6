# Linear regressions of posteriordb: flat priors on the coefficients unless said, on sigma as said.
# Their truth is closed: Gaussian given sigma, sigma by quadrature. Data enter by X'X, the least
# squares coefficients and the residual sum of squares, so that a call costs no pass over the rows.

regression <- function(X, y, sigma = "flat", beta_mean = 0, beta_sd = Inf) {
  p <- ncol(X)
  b <- qr.coef(qr(unname(X)), y)
  regression_of(crossprod(unname(X)), b, sum((y - X %*% b)^2), length(y), sigma,
    rep_len(beta_mean, p), 1 / rep_len(beta_sd, p)^2)
}

# log prior of sigma and its derivative
sigma_priors <- list(
  flat = function(s) c(0, 0),
  cauchy2.5 = function(s) c(-log1p((s / 2.5)^2), -2 * s / (2.5^2 + s^2)),
  normal10 = function(s) c(-s^2 / 200, -s / 100)
)

regression_of <- function(XX, estimate, rss, n, sigma, beta_mean, precision) {
  data <- list(XX = XX, estimate = estimate, rss = rss, n = n, sigma = sigma,
    beta_mean = beta_mean, precision = precision)
  prior <- sigma_priors[[sigma]]
  quadratic <- function(p, data) data$XX %*% (p$beta - data$estimate)
  log_density <- function(p, data) {
    rss <- data$rss + sum((p$beta - data$estimate) * quadratic(p, data))
    -data$n * log(p$sigma) - rss / (2 * p$sigma^2) -
      sum(data$precision * (p$beta - data$beta_mean)^2) / 2 + prior(p$sigma)[1]
  }
  gradient <- function(p, data) {
    v <- as.numeric(quadratic(p, data))
    rss <- data$rss + sum((p$beta - data$estimate) * v)
    list(
      beta = -v / p$sigma^2 - data$precision * (p$beta - data$beta_mean),
      sigma = -data$n / p$sigma + rss / p$sigma^3 + prior(p$sigma)[2]
    )
  }
  case(log_density, list(beta = rep(0, length(estimate)), sigma = 1), data = data,
    gradient = gradient, constraints = function() list(sigma = positive()))
}

# ---- children's test scores ----------------------------------------------------------------------

kidiq <- simulated$kidiq
targets$kidscore_momhs <- function() with(kidiq, regression(cbind(1, mom_hs), kid_score, kid_sigma))
targets$kidscore_momiq <- function() with(kidiq, regression(cbind(1, mom_iq), kid_score, kid_sigma))
targets$kidscore_momhsiq <- function() {
  with(kidiq, regression(cbind(1, mom_hs, mom_iq), kid_score, kid_sigma))
}
targets$kidscore_interaction <- function() {
  with(kidiq, regression(cbind(1, mom_hs, mom_iq, mom_hs * mom_iq), kid_score, kid_sigma))
}
kid_sigma <- "cauchy2.5"

centred_interaction <- function(hs, iq, y) regression(cbind(1, hs, iq, hs * iq), y)
targets$kidscore_interaction_c <- function() {
  with(kidiq, centred_interaction(mom_hs - mean(mom_hs), mom_iq - mean(mom_iq), kid_score))
}
targets$kidscore_interaction_c2 <- function() {
  with(kidiq, centred_interaction(mom_hs - .5, mom_iq - 100, kid_score))
}
targets$kidscore_interaction_z <- function() {
  z <- function(x) (x - mean(x)) / (2 * sd(x))
  with(kidiq, centred_interaction(z(mom_hs), z(mom_iq), kid_score))
}
targets$kidscore_mom_work <- function() {
  with(kidiq, regression(cbind(1, mom_work == 2, mom_work == 3, mom_work == 4), kid_score))
}

# ---- earnings ------------------------------------------------------------------------------------

earnings <- simulated$earnings
targets$earn_height <- function() with(earnings, regression(cbind(1, height), earn))
targets$logearn_height <- function() with(earnings, regression(cbind(1, height), log(earn)))
targets$log10earn_height <- function() with(earnings, regression(cbind(1, height), log10(earn)))
targets$logearn_height_male <- function() {
  with(earnings, regression(cbind(1, height, male), log(earn)))
}
targets$logearn_logheight_male <- function() {
  with(earnings, regression(cbind(1, log(height), male), log(earn)))
}
targets$logearn_interaction <- function() {
  with(earnings, regression(cbind(1, height, male, height * male), log(earn)))
}
targets$logearn_interaction_z <- function() {
  z <- (earnings$height - mean(earnings$height)) / sd(earnings$height)
  with(earnings, regression(cbind(1, z, male, z * male), log(earn)))
}

# ---- mesquite bushes -----------------------------------------------------------------------------

mesquite <- within(simulated$mesquite, {
  volume <- log(diam1 * diam2 * canopy_height)
  area <- log(diam1 * diam2)
  shape <- log(diam1 / diam2)
})
targets$mesquite <- function() {
  with(mesquite, regression(
    cbind(1, diam1, diam2, canopy_height, total_height, density, group), weight
  ))
}
targets$logmesquite <- function() {
  with(mesquite, regression(cbind(1, log(diam1), log(diam2), log(canopy_height),
    log(total_height), log(density), group), log(weight)))
}
targets$logmesquite_logvolume <- function() {
  with(mesquite, regression(cbind(1, volume), log(weight)))
}
targets$logmesquite_logva <- function() {
  with(mesquite, regression(cbind(1, volume, area, group), log(weight)))
}
targets$logmesquite_logvas <- function() {
  with(mesquite, regression(
    cbind(1, volume, area, shape, log(total_height), log(density), group), log(weight)
  ))
}
targets$logmesquite_logvash <- function() {
  with(mesquite, regression(
    cbind(1, volume, area, shape, log(total_height), group), log(weight)
  ))
}

# ---- elections, temperatures, an autoregression, two simulated sets ------------------------------

election <- function(d) {
  age <- outer(d$age_discrete, 2:4, `==`)
  X <- with(d, cbind(1, real_ideo, race_adj, age, educ1, gender, income))
  regression(X, d$partyid7)
}
targets$nes1972 <- function() election(simulated$nes1972)
targets$nes2000 <- function() election(simulated$nes2000)

# alpha ~ N(9.313, 100^2), beta ~ N(0, (1/30)^2)
targets$kilpisjarvi <- function() {
  with(simulated$kilpisjarvi, regression(
    cbind(1, x), y, beta_mean = c(pmualpha, pmubeta), beta_sd = c(psalpha, psbeta)
  ))
}

# y_t on its last five values; coefficients ~ N(0, 10^2), sigma half-Cauchy(2.5)
targets$ark <- function() {
  y <- simulated$ark
  rows <- 6:length(y)
  X <- cbind(1, vapply(1:5, function(k) y[rows - k], numeric(length(rows))))
  regression(X, y[rows], "cauchy2.5", beta_sd = 10)
}

targets$sblrc <- function() with(simulated$sblrc, regression(X, y, "normal10", beta_sd = 10))
