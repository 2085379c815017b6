# The Gaussian models of lme4, nlme, MASS, rstanarm and datasets that integrated.R and
# emulate-truth.R share: integrated_cases, a list of list(name, formula, data), and their priors.

frame <- function(name, package) {
  e <- new.env()
  if (name %in% utils::data(package = package)$results[, "Item"]) {
    utils::data(list = name, package = package, envir = e)
    return(as.data.frame(e[[name]]))
  }
  as.data.frame(getExportedValue(package, name))
}
case <- function(name, formula, package) list(name, formula, frame(name, package))

integrated_cases <- list(
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

# Weakly informative gamma priors on the scale of the response; NULL for a model with vector terms.
gamma_priors <- function(formula, data) {
  y <- eval(formula[[2L]], data, environment(formula))
  s2 <- stats::var(y, na.rm = TRUE)
  vector <- any(vapply(reformulas::findbars(formula), function(b) {
    ncol(stats::model.matrix(stats::as.formula(call("~", b[[2L]])), data)) > 1L
  }, NA))
  if (vector) return(NULL)
  gamma <- meanfield::gamma_prior(.5, .5 * s2 / 10)
  meanfield::priors(tau_e = gamma, tau_u = gamma)
}

integrated_prior <- function(case, kind) {
  if (kind == "half-t") meanfield::default_priors() else gamma_priors(case[[2L]], case[[3L]])
}
