# Default fits against exact integration on the Gaussian data sets of lme4, nlme, MASS, rstanarm and
# datasets, under half-t and gamma priors; and the rule of integrate = "auto": the largest change of
# an SD from linear response to exact against the largest variance of a log precision.
# Rscript data-raw/integrated.R
library(meanfield)

frame <- function(name, package) {
  e <- new.env()
  if (name %in% utils::data(package = package)$results[, "Item"]) {
    utils::data(list = name, package = package, envir = e)
    return(as.data.frame(e[[name]]))
  }
  as.data.frame(getExportedValue(package, name))
}
case <- function(name, formula, package) list(name, formula, frame(name, package))
cases <- list(
  case("sleepstudy", Reaction ~ Days + (Days | Subject), "lme4"),
  case("sleepstudy", Reaction ~ Days + (Days || Subject), "lme4"),
  case("Penicillin", diameter ~ 1 + (1 | plate) + (1 | sample), "lme4"),
  case("Pastes", strength ~ 1 + (1 | batch / cask), "lme4"),
  case("Dyestuff", Yield ~ 1 + (1 | Batch), "lme4"),
  case("Dyestuff2", Yield ~ 1 + (1 | Batch), "lme4"),
  case("cake", angle ~ temperature * recipe + (1 | recipe:replicate), "lme4"),
  case("Oats", yield ~ nitro * Variety + (1 | Block / Variety), "nlme"),
  case("Machines", score ~ Machine + (1 | Worker / Machine), "nlme"),
  case("Machines", score ~ Machine + (Machine | Worker), "nlme"),
  case("Orthodont", distance ~ age * Sex + (age | Subject), "nlme"),
  case("Oxboys", height ~ age + (age | Subject), "nlme"),
  case("Rail", travel ~ 1 + (1 | Rail), "nlme"),
  case("ergoStool", effort ~ Type + (1 | Subject), "nlme"),
  case("Alfalfa", Yield ~ Variety * Date + (1 | Block / Variety), "nlme"),
  case("BodyWeight", weight ~ Time * Diet + (Time | Rat), "nlme"),
  case("Cefamandole", log(conc) ~ Time + (1 | Subject), "nlme"),
  case("RatPupWeight", weight ~ Treatment * sex + Lsize + (1 | Litter), "nlme"),
  case("Wafer", current ~ voltage + (1 | Wafer / Site), "nlme"),
  case("Assay", logDens ~ sample * dilut + (1 | Block / sample), "nlme"),
  case("oats", Y ~ N * V + (1 | B / V), "MASS"),
  case("petrol", Y ~ SG + VP + V10 + EP + (1 | No), "MASS"),
  case("nlschools", lang ~ IQ * COMB + SES + (1 | class), "MASS"),
  case("coop", Conc ~ 1 + (1 | Lab / Spc), "MASS"),
  case("hills", time ~ dist + climb, "MASS"),
  case("cabbages", VitC ~ Cult + Date + HeadWt, "MASS"),
  case("radon", log_radon ~ floor + log_uranium + (1 | county), "rstanarm"),
  case("kidiq", kid_score ~ mom_hs + mom_iq, "rstanarm"),
  case("ChickWeight", weight ~ Time * Diet + (Time | Chick), "datasets"),
  case("warpbreaks", log(breaks) ~ wool * tension, "datasets"),
  case("cars", dist ~ speed, "datasets"),
  case("mtcars", mpg ~ wt + hp + (1 | cyl), "datasets"),
  case("npk", yield ~ N * P * K + (1 | block), "datasets"),
  case("sleep", extra ~ group + (1 | ID), "datasets"),
  case("Orange", circumference ~ age + (age | Tree), "datasets")
)
# weakly informative gamma priors on the scale of the response
gamma_priors <- function(formula, data) {
  y <- eval(formula[[2L]], data, environment(formula))
  s2 <- stats::var(y, na.rm = TRUE)
  vector <- any(vapply(reformulas::findbars(formula), function(b) {
    ncol(stats::model.matrix(stats::as.formula(call("~", b[[2L]])), data)) > 1L
  }, NA))
  if (vector) return(NULL)
  priors(tau_e = gamma_prior(.5, .5 * s2 / 10), tau_u = gamma_prior(.5, .5 * s2 / 10))
}

one <- function(case, kind) {
  prior <- if (kind == "half-t") default_priors() else gamma_priors(case[[2]], case[[3]])
  if (is.null(prior)) return(NULL)
  fit <- suppressWarnings(fit_vb(case[[2]], case[[3]], prior = prior))
  exact <- suppressWarnings(fit_exact(fit))
  a <- as.data.frame(summary(fit))
  b <- as.data.frame(summary(exact))
  l <- as.data.frame(suppressWarnings(summary(fit_vb(fit, integrate = "no"))))
  keep <- grepl("^(beta|log_tau|log_sigma_u|rho_u)", b$variable) & !is.na(b$sd)
  shift <- function(x) max(abs(x$mean - b$mean)[keep] / b$sd[keep])
  ratio <- function(x) range(x$sd[keep] / b$sd[keep])
  tail <- max(abs(c(a$q2.5 - b$q2.5, a$q97.5 - b$q97.5))[c(keep, keep)] / b$sd[keep])
  tau <- fit$posterior$tau
  data.frame(
    data = case[[1]], formula = deparse1(case[[2]]), prior = kind,
    precisions = length(tau$mean), source = a$source[1L], method = exact$method,
    shift = shift(a), sd_low = ratio(a)[1L], sd_high = ratio(a)[2L], quantile = tail,
    shift_lrvb = shift(l), sd_low_lrvb = ratio(l)[1L], sd_high_lrvb = ratio(l)[2L],
    v = max(meanfield:::own_log_sds(tau$psi$cov_lrvb, tau$index)^2),
    error = exact$error, khat = exact$khat, kl = exact$log_evidence - exact$elbo
  )
}

out <- do.call(rbind, lapply(cases, function(x) rbind(one(x, "half-t"), one(x, "gamma"))))
num <- vapply(out, is.numeric, NA)
out[num] <- lapply(out[num], signif, 3)
write.csv(out, "inst/extdata/integrated.csv", row.names = FALSE)
print(out[, -2], row.names = FALSE, width = 200)

# the rule: how much exact SDs differ from linear-response ones where it would not integrate
rule <- function(groups, rows) {
  set.seed(groups)
  d <- data.frame(x = rnorm(groups * rows), g = rep(seq_len(groups), rows))
  d$y <- 1 + d$x + rnorm(groups)[d$g] + rnorm(nrow(d))
  fit <- fit_vb(y ~ x + (1 | g), d, integrate = "no")
  b <- as.data.frame(summary(suppressWarnings(fit_exact(fit))))
  a <- as.data.frame(summary(fit))
  keep <- grepl("^(beta|log)", b$variable)
  tau <- fit$posterior$tau
  data.frame(groups = groups, rows_each = rows,
    v = max(meanfield:::own_log_sds(tau$psi$cov_lrvb, tau$index)^2),
    change = max(abs(b$sd / a$sd - 1)[keep]))
}
grid <- expand.grid(groups = c(50, 100, 200, 400, 800), rows = c(2, 5, 20))
table <- do.call(rbind, Map(rule, grid$groups, grid$rows))
table[3:4] <- lapply(table[3:4], signif, 3)
write.csv(table, "inst/extdata/integrate-rule.csv", row.names = FALSE)
print(table, row.names = FALSE)
