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

# Draws of the (working) statistics to every row of summary(), in its order and the user's coordinates.
# phi: the same draws in scale-free coordinates, where they are at hand: SDs and correlations then need
# no inverse.
precision_draws <- function(stats, model, phi = NULL) {
  index <- stat_index(model)
  lead <- n_lead(model)
  blocks <- lapply(seq_along(index), function(k) {
    t <- stats[, index[[k]], drop = FALSE]
    if (k <= lead) {
      return(scalar_draws(t, precision_names(model)[k], if (has_sigma(model)) 3L else 2L))
    }
    term <- model$groups[[k - lead]]
    if (!term$vector) return(scalar_draws(t, term$name, 4L))
    vector_draws(t, term, if (!is.null(phi)) phi[, index[[k]], drop = FALSE])
  })
  do.call(cbind, c(list(matrix(0, nrow(stats), 0L)), blocks)) # a model may have no precision
}

# The parameter and its logarithm; of precisions the SD too, and of group terms the log of that.
scalar_draws <- function(t, name, columns) {
  out <- cbind(t, log(t), 1 / sqrt(t), -log(t) / 2)
  colnames(out) <- c(name, paste0("log_", name), sub("^tau", "sigma", name),
    sub("^tau", "log_sigma", name))
  out[, seq_len(columns), drop = FALSE]
}

vector_draws <- function(t, term, phi = NULL) {
  r <- length(term$coef)
  eta <- log_sd_atanh_rows(phi %||% scale_free_rows(t), term$A)
  names <- vector_names(term)
  out <- cbind(t %*% t(precision_map(term$A)), exp(eta[, seq_len(r)]), eta[, seq_len(r)],
    tanh(eta[, -seq_len(r)]))
  colnames(out) <- c(names$lambda, names$sigma, sub("^sigma", "log_sigma", names$sigma), names$rho)
  out
}

# What mixes worst: the group SDs.
group_sd_draws <- function(fit) {
  draws <- gibbs_array(fit)
  draws[, , grepl("^(log_tau|log_sigma)", dimnames(draws)[[3L]]), drop = FALSE]
}

# iteration x chain x variable -> draw x variable
flat_draws <- function(draws) {
  d <- dim(draws)
  matrix(draws, d[1L] * d[2L], d[3L], dimnames = list(NULL, dimnames(draws)[[3L]]))
}
