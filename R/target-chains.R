# The last rung: Hamiltonian Monte Carlo in the fitted metric, with control variates.

CHAINS <- 8L

hmc_stage <- function(run) {
  axes <- run$axes
  first <- hmc_rung(run, axes, keep = 150L, accept = 0.85, seed = 1L)
  if (is.null(first)) {
    return(add_note(run, "no Hamiltonian Monte Carlo: `max_gradients` did not last for its chains"))
  }
  if (length(first$reasons) && left_gradients(run) > 1.2 * first$asked) {
    again <- hmc_rung(run, drawn_axes(first, axes), keep = 250L, accept = 0.95, seed = 2L)
    if (!is.null(again) && length(again$reasons) <= length(first$reasons)) first <- again
  }
  take_chains(run, first)
}

# One run: list(z (d x draws), chain, estimate (as of importance_estimate()), reasons, asked,
# diagnostics).
hmc_rung <- function(run, axes, keep, accept, seed) {
  budget <- left_gradients(run)
  out <- with_fixed_seed({
    start <- axes$m + axes$L %*% matrix(stats::rnorm(length(axes$m) * CHAINS, sd = 0.9),
      length(axes$m))
    tryCatch(hmc_run(run$ev, axes$m, axes$L, chains = CHAINS, iter = keep + 60L, warmup = 60L,
      method = "hmc", target_accept = accept, start = start, max_points = budget),
    meanfield_error = function(e) NULL)
  }, seed)
  if (is.null(out) || dim(out$z)[1L] < 40L) return(NULL)
  chain_estimate(run, out, axes)
}

chain_estimate <- function(run, out, axes) {
  n <- dim(out$z)[1L]
  flat <- function(x) t(matrix(x, n * CHAINS, dim(x)[3L]))
  z <- flat(out$z)
  values <- run$linked$all(z)
  sample <- list(z = z, gradient = flat(out$gradient), values = values)
  estimate <- sample_estimate(run$linked, sample, rep(1 / ncol(z), ncol(z)),
    rep(seq_len(CHAINS), each = n), axes, loose = 3)
  rhat <- apply(values, 1L, function(x) suppressWarnings(posterior::rhat(matrix(x, n))))
  diagnostics <- list(rhat = max(rhat, na.rm = TRUE), divergent = sum(out$divergent),
    ebfmi = min(energy_fraction(out$energy)), draws = ncol(z))
  list(z = z, estimate = estimate, diagnostics = diagnostics, asked = out$asked,
    reasons = c(if (!isTRUE(diagnostics$rhat < 1.05)) "chains",
      if (!isTRUE(diagnostics$divergent <= 0.004 * ncol(z))) "divergences",
      if (!isTRUE(diagnostics$ebfmi > 0.2)) "energy"))
}

drawn_axes <- function(rung, axes) {
  S <- stats::cov(t(rung$z))
  root <- lower_chol(S) %||% axes$L
  list(m = rowMeans(rung$z), L = root)
}

# Rows from the chains, but for those that importance sampling knows better. Where both claim a row
# and disagree, that is said.
ROWS <- c("mean", "sd", "mcse_mean", "mcse_sd", "khat", "tail")

take_chains <- function(run, rung) {
  is <- run$estimate
  mc <- rung$estimate
  sound <- !length(rung$reasons)
  error <- function(e) pmax(e$mcse_mean, e$mcse_sd) / e$sd
  trusted <- run$khat < 0.7 && !"stein" %in% run$reasons && run$settings$refine != "hmc"
  better <- error(is) < error(mc) | !sound & !noisy_rows(is) | is.na(mc$sd)
  keep <- trusted & better & !is.na(better)
  disagree <- keep & sound & far_apart(is, mc)
  chosen <- Map(function(a, b) ifelse(keep, a, b), is[ROWS], mc[ROWS])
  source <- ifelse(keep, "importance", "hmc")
  run$table <- variable_estimates(run$linked, chosen, run$mfvb, NULL, "hmc")
  run$table$source <- source[seq_len(run$linked$n)]
  if (!all(keep)) run$points <- list(z = rung$z, weights = rep(1 / ncol(rung$z), ncol(rung$z)))
  run$reasons <- c(rung$reasons, if (any(disagree)) "disagree")
  run$settled <- !length(run$reasons)
  run$hmc <- rung$diagnostics
  first <- seq_len(run$linked$n)
  run$table$khat <- pmin(is$khat, mc$khat)[first]
  run$table$tail <- pmin(is$tail, mc$tail)[first]
  if (!(run$khat < 0.7)) {
    run <- add_note(run, "the log evidence is not reliable (k-hat ", format(run$khat, digits = 2),
      ")")
  }
  run
}

far_apart <- function(a, b) {
  mean <- abs(a$mean - b$mean) > 5 * sqrt(a$mcse_mean^2 + b$mcse_mean^2) + 0.02 * b$sd
  sd <- abs(a$sd - b$sd) > 5 * sqrt(a$mcse_sd^2 + b$mcse_sd^2) + 0.02 * b$sd
  (mean | sd) %in% TRUE
}
