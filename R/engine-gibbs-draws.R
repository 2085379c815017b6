# The draws of a Gibbs fit as matrices and arrays, in the user's coordinates.

settle_u <- function(u, size, available) {
  if (identical(u, "auto")) return(available && size <= 1e7)
  check_flag(u, "u")
}

# The stored array with the derived variables of each precision beside it.
gibbs_array <- function(fit, u = FALSE) {
  d <- dim(fit$draws)
  p <- length(fit$model$x_names)
  derived <- precision_draws(working_precisions(fit), fit$model)
  main <- dimnames(fit$draws)[[3L]][seq_len(p)]
  all <- c(main, colnames(derived), if (u) dimnames(fit$u_draws)[[3L]])
  array(c(fit$draws[, , seq_len(p)], derived, if (u) fit$u_draws),
    c(d[1:2], length(all)), list(iteration = NULL, chain = NULL, variable = all))
}

# Draws of the working statistics, all chains below each other.
working_precisions <- function(fit) {
  flat_draws(fit$precisions %||% fit$draws)[, stat_names(fit$model), drop = FALSE]
}

# The precisions' rows of the table of variables.
precision_variables <- function(model) {
  table <- variable_table(model)
  table[table$block %in% c("lead", "group"), ]
}

# Draws of the (working) statistics to every row of precision_variables(), in the user's
# coordinates. psi: the same draws in scale-free coordinates, where they are at hand: SDs and
# correlations then need no inverse.
precision_draws <- function(stats, model, psi = NULL, names = precision_variables(model)$variable) {
  index <- stat_index(model)
  lead <- n_lead(model)
  blocks <- lapply(seq_along(index), function(k) {
    t <- stats[, index[[k]], drop = FALSE]
    if (k > lead && model$groups[[k - lead]]$vector) {
      own <- if (!is.null(psi)) psi[, index[[k]], drop = FALSE]
      return(matrix_draws(t, model$groups[[k - lead]]$A, own))
    }
    all <- cbind(t, log(t), 1 / sqrt(t), -log(t) / 2)
    all[, seq_len(n_scalar_variables(model, k)), drop = FALSE]
  })
  out <- do.call(cbind, c(list(matrix(0, nrow(stats), 0L)), blocks)) # a model may have no precision
  dimnames(out) <- list(NULL, names)
  out
}

matrix_draws <- function(t, A, psi = NULL) {
  eta <- log_sd_atanh_rows(psi %||% scale_free_rows(t), A)
  sd <- seq_len(nrow(A))
  log_sd <- eta[, sd, drop = FALSE]
  cbind(t %*% t(precision_map(A)), exp(log_sd), log_sd, tanh(eta[, -sd, drop = FALSE]))
}

# What mixes worst: the group SDs.
group_sd_draws <- function(fit) {
  table <- variable_table(fit$model)
  own <- table$variable[table$kind %in% c("log_tau", "log_sigma")]
  gibbs_array(fit)[, , own, drop = FALSE]
}

# iteration x chain x variable -> draw x variable
flat_draws <- function(draws) {
  d <- dim(draws)
  matrix(draws, d[1L] * d[2L], d[3L], dimnames = list(NULL, dimnames(draws)[[3L]]))
}
