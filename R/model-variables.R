# The table of variables: every quantity that a posterior reports has a row, in the order of
# summary().
#   variable  its name
#   kind      beta, u; of a precision of one coefficient tau, log_tau, sigma, log_sigma; of a
#             precision matrix Lambda, sigma, log_sigma, rho; of another parameter of the
#             likelihood, as phi, dispersion and log_dispersion. Of a mixture mu, Lambda, log_det,
#             pi, log_pi, Sigma
#   block     beta, lead (what comes before the group terms: tau_e, phi), group, u; component
#   term      which group term, grouping factor (of u) or component; NA of beta and the lead
#   a, b      the coefficients, levels or columns that it belongs to
#   link      the scale on which its distribution is made: identity, exp, tanh, sinh (a log of
#             either sign), beta
#   type      what the report counts it as; "derived" counts nowhere
#   moment    do its mean and SD exist?
# Nothing else knows what a variable is: no name is ever taken apart. u: with the random effects.
variable_table <- function(model, u = FALSE) UseMethod("variable_table")

# The variables that say where things are, by the names that users give them: what coef(), vcov()
# and hypothesis() are about.
location_names <- function(model) UseMethod("location_names")

#' @export
location_names.meanfield_model <- function(model) model$x_names

# The kind of these variables.
location_kind <- function(model) UseMethod("location_kind")

#' @export
location_kind.meanfield_model <- function(model) "beta"

#' @export
variable_table.meanfield_model <- function(model, u = FALSE) {
  lead <- n_lead(model)
  precisions <- lapply(seq_along(model$resolved$tau), function(k) {
    exists <- precision_moment_exists(model, k)
    name <- precision_names(model)[k]
    if (is_dispersion(model, k)) return(dispersion_variables(name, exists))
    if (k <= lead) return(scalar_variables(name, "lead", NA, exists))
    term <- model$groups[[k - lead]]
    if (term$vector) return(matrix_variables(term, k - lead, exists))
    scalar_variables(term$name, "group", k - lead, exists)
  })
  stack_rows(c(list(beta_variables(model)), precisions, if (u) list(effect_variables(model))))
}

# Vectors of one length each, below each other, as a data frame.
stack_rows <- function(blocks) list2DF(do.call(Map, c(list(c), blocks)))

variable_rows <- function(variable, kind, block, term, a, b, link, type, moment = TRUE) {
  n <- length(variable)
  list(variable = variable, kind = rep_len(kind, n), block = rep_len(block, n),
    term = rep_len(as.integer(term), n), a = rep_len(as.integer(a), n),
    b = rep_len(as.integer(b), n), link = rep_len(link, n), type = rep_len(type, n),
    moment = rep_len(moment, n))
}

beta_variables <- function(model) {
  names <- beta_names(model)
  variable_rows(names, "beta", "beta", NA, seq_along(names), NA, "identity", "beta")
}

effect_variables <- function(model) {
  u <- effect_table(model)
  level <- unlist(Map(seq_len, tabulate(u$factor, length(model$factors))[unique(u$factor)]))
  variable_rows(u$name, "u", "u", u$factor, level, NA, "identity", "u")
}

# Of a likelihood's parameter that is no precision, as phi: it and its logarithm.
dispersion_variables <- function(name, exists) {
  variable_rows(paste0(c("", "log_"), name), c("dispersion", "log_dispersion"), "lead", NA, 1L, NA,
    c("exp", "identity"), if (exists) c("tau_e", "derived") else c("derived", "tau_e"),
    c(exists, TRUE))
}

# Of "tau_u[g]": tau_u[g], log_tau_u[g], sigma_u[g], and of a group term log_sigma_u[g]. A precision
# without a mean is counted by its logarithm.
scalar_variables <- function(name, block, term, exists) {
  own <- if (block == "lead") "tau_e" else "tau_u"
  kind <- c("tau", "log_tau", "sigma", if (block == "group") "log_sigma")
  type <- c(if (exists) own else "derived", if (exists) "derived" else own, "derived", "derived")
  at <- seq_along(kind)
  variable_rows(renamed(name, "tau", kind), kind, block, term, 1L, NA,
    c("exp", "identity", "exp", "identity")[at], type[at], c(exists, TRUE, TRUE, TRUE)[at])
}

# How many variables precision k of one coefficient has: the first of tau, its logarithm, sigma and
# log sigma.
n_scalar_variables <- function(model, k) {
  if (is_dispersion(model, k)) 2L else if (k <= n_lead(model)) 3L else 4L
}

# "tau_u[g]", "tau" -> kind for "tau".
renamed <- function(name, old, kind) paste0(kind, substring(name, nchar(old) + 1L))

# Lambda_u[g:a,b] (lower triangle), sigma_u[g:a], log_sigma_u[g:a], rho_u[g:a,b] of group term k.
matrix_variables <- function(term, k, exists) {
  r <- length(term$coef)
  all <- lower_pairs(r)
  diagonal <- all$row == all$col
  row <- all$row[!diagonal]
  col <- all$col[!diagonal]
  stem <- substring(term$name, nchar("Lambda") + 1L, nchar(term$name) - 1L)
  named <- function(kind, what) sprintf("%s%s:%s]", kind, stem, what)
  own <- function(counted) if (counted) "tau_u" else "derived"
  do.call(Map, c(list(c), list(
    variable_rows(term_stat_names(term), "Lambda", "group", k, all$row, all$col,
      ifelse(diagonal, "exp", "sinh"), own(exists), exists),
    variable_rows(named("sigma", term$coef), "sigma", "group", k, seq_len(r), NA, "exp", "derived"),
    variable_rows(named("log_sigma", term$coef), "log_sigma", "group", k, seq_len(r), NA,
      "identity", own(!exists)),
    variable_rows(named("rho", paste0(term$coef[col], ",", term$coef[row])), "rho", "group", k,
      row, col, "tanh", "derived")
  )))
}

# Names of the variables of these kinds that a group term has.
term_variables <- function(table, k, kind) {
  table$variable[table$block == "group" & table$term == k & table$kind %in% kind]
}

# Does the posterior mean of precision k exist? Under a half-t prior on the SD the
# density of a large group precision falls like tau^(-3/2) only; the residual
# precision is safe as long as the rows outnumber the coefficients.
precision_moment_exists <- function(model, k) {
  if (model$resolved$tau[[k]]$kind != "half_t") return(TRUE)
  effects <- sum(vapply(model$factors, function(f) length(f$levels) * length(f$coef), 0))
  has_sigma(model) && k == 1L && model$gram$n > length(model$x_names) + effects
}

# No number for a variance that the data say nothing about.
drop_unidentified <- function(out, table, model) {
  gone <- table$block %in% "group" & precision_names(model)[n_lead(model) + table$term] %in%
    model$unidentified
  out[gone, vapply(out, is.numeric, NA)] <- NA_real_
  out
}

drop_missing_moments <- function(out, table) {
  out[which(!table$moment), intersect(names(out), c("mean", "sd", "mcse_mean", "mcse_sd"))] <-
    NA_real_
  out
}
