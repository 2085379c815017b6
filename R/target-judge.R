# What a refined fit may claim: each row on its own, then the fit as a whole, in words.

# Beyond these a row is flagged.
FINAL_MCSE <- 0.03
# No moment at all: the tail of the squares is as heavy as if it had no mean, by the importance
# sample and by the variable's own tail (whose shape is 1/2 and 1 at the borders; it is estimated
# to .1).
NO_MOMENT <- 1
NO_VARIANCE <- 0.4
NO_MEAN <- 0.85

judge <- function(run) {
  run <- judge_tails(run)
  run <- judge_density(run)
  run <- judge_modes(run)
  if (!is.null(run$flow)) run <- judge_flow(run)
  if (isTRUE(run$unrefined)) return(if (is.null(run$flow)) judge_unrefined(run) else run)
  judge_rows(run)
}

# ---- the density ---------------------------------------------------------------------------------

judge_tails <- function(run) {
  if (length(run$diverged)) {
    return(add_flag(run, "the climb from `init` ran away along ", some(run$diverged),
      ": the posterior looks improper; use proper priors"))
  }
  if (is_stochastic(run) || run$target$d > FULL_MOST) return(run)
  part <- run$components[[1L]]
  ends <- endless_directions(run$ev, part$m, component_factor(part),
    unconstrained_names(run$target))
  if (!length(ends)) return(run)
  add_flag(run, "the posterior looks improper in these directions: ", some(ends),
    ": use proper priors")
}

judge_density <- function(run) {
  if (isTRUE(run$failed > 0.01)) {
    why <- evaluator_counts(run$ev)$message
    run <- add_flag(run, "the log density was no number at ", format(100 * run$failed, digits = 2),
      "% of the points", if (!is.na(why)) paste0(" (", why, ")"),
      ": they count as impossible; use `constraints` where it ends")
  }
  if (!isTRUE(run$discrepancy >= STEIN_LIMIT)) return(run)
  if (isTRUE(run$khat >= 0.7)) {
    return(add_flag(run, "the sample misses part of the posterior (k-hat ",
      format(run$khat, digits = 2), ", and the score's mean is not zero)"))
  }
  add_flag(run, "the gradient is not that of the log density everywhere (it jumps, ends without a ",
    "constraint, or `gradient` is wrong): no control variates were used")
}

judge_modes <- function(run) {
  n <- length(run$components)
  if (n == 1L) return(run)
  weights <- mode_table(run$components)$weight
  add_note(run, "more than one mode: ", n, " were found, of weights ",
    paste(format(weights, digits = 2), collapse = ", "),
    "; means and SDs are of ", if (isTRUE(run$unrefined) && !is.null(run$flow)) {
      "what the flow reaches of them"
    } else {
      "all of them together"
    })
}

# ---- the rows ------------------------------------------------------------------------------------

judge_rows <- function(run) {
  names <- variable_table(run$target)$variable
  none <- no_moment(run$table)
  if (any(none)) {
    run <- add_flag(run, "the SD of ", some(names[none]), " may not exist (its tail is too heavy, ",
      "k-hat ", format(max(run$table$khat[none]), digits = 2), "): see the quantiles")
    run$table <- without_moments(run$table, none)
  }
  t <- run$table
  lost <- is.na(t$sd) & !none
  if (any(lost)) {
    run <- add_flag(run, some(names[lost]), " is no number at some points of the posterior, where ",
      "`generated` fails or overflows: it is NA")
  }
  short <- !none & !lost & !t$sd %in% 0 & (t$mcse_mean > FINAL_MCSE * t$sd |
    t$mcse_sd > FINAL_MCSE * t$sd)
  if (any(short, na.rm = TRUE)) {
    run <- add_flag(run, "means and SDs are not to 3% of an SD for ", some(names[which(short)]),
      ": see mcse_mean and mcse_sd in summary(), check with fit_hmc(), or rewrite the model")
  }
  if (!run$settled && !any(short | none, na.rm = TRUE)) run <- judge_unsettled(run)
  run
}

# Rows whose SD does not exist, as far as tails tell, or is beyond all numbers.
no_moment <- function(t) {
  heavy <- t$khat >= NO_MOMENT & t$tail >= NO_VARIANCE
  (heavy | abs(t$mean) > 1e100 | t$sd > 1e100) %in% TRUE
}

without_moments <- function(t, none) {
  lost <- none & (t$tail >= NO_MEAN | abs(t$mean) > 1e100 | is.na(t$tail)) %in% TRUE
  t[none, c("sd", "mcse_sd")] <- NA
  t[lost, c("mean", "mcse_mean")] <- NA
  t
}

judge_unsettled <- function(run) {
  why <- setdiff(run$reasons, c("noise", "stein"))
  if (!length(why)) return(run)
  words <- c(khat = "part of the posterior may be missed (k-hat)", tail = "tails are heavy",
    moved = "SDs were still moving", chains = "the chains disagree",
    divergences = "trajectories diverged", energy = "chains move slowly between energies",
    disagree = "importance sampling and Hamiltonian Monte Carlo disagree")
  add_flag(run, "the refinement did not settle: ", paste(words[why], collapse = ", "),
    ": check with fit_hmc(), or rewrite the model")
}

some <- function(names, most = 4L) {
  paste0(toString(utils::head(names, most)),
    if (length(names) > most) sprintf(", ... (%d)", length(names)))
}

# ---- without refinement --------------------------------------------------------------------------

# Scores are linear and odd in the deviations where the target is normal. Their even part says how
# much it is not.
judge_unrefined <- function(run) {
  if (left_gradients(run) < 64) return(run)
  part <- run$components[[1L]]
  d <- length(part$m)
  E <- shifted_points(32L, d, 17L)
  G <- run$ev(part$m + component_root(part, E), TRUE)$gradient
  score <- if (is.null(part$L)) part$sd * G else crossprod(part$L, G)
  half <- seq_len(ncol(E) / 2)
  even <- (score[, half, drop = FALSE] + score[, -half, drop = FALSE]) / 2
  odd <- (score[, half, drop = FALSE] - score[, -half, drop = FALSE]) / 2
  even <- even - rowMeans(even)
  share <- sum(even^2) / sum(odd^2 + even^2)
  if (!is.finite(share) || share < 0.04) return(run)
  add_flag(run, "the posterior is not near normal (", format(100 * share, digits = 2), "% of the ",
    "score is even): a Gaussian without refinement is an approximation; use refine = \"auto\", or ",
    "check with fit_hmc()")
}
