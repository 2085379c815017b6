# Posterior moments of a topic model: the table, covariances, draws, print.

#' @export
posterior_of.lda_vb_fit <- function(fit) normal_of(fit)

#' @export
posterior_of.lda_gibbs_fit <- function(fit) draws_posterior(fit)

#' @export
normal_of.lda_vb_fit <- function(fit) {
  normal_posterior(fit[c("model", "vb", "response")], "lda_dirichlet")
}

# ---- moments -----------------------------------------------------------------------------------

# Means and variances under q, in the rows of variable_table().
dirichlet_moments <- function(p) {
  lambda <- p$vb$lambda
  gamma <- p$vb$gamma
  moments <- function(a) {
    total <- rowSums(a)
    mean <- a / total
    list(mean = mean, var = mean * (1 - mean) / (total + 1))
  }
  topic <- moments(lambda)
  theta <- moments(gamma)
  share <- word_shares(p$model)
  list(mean = c(colSums(share * theta$mean), t(topic$mean), t(theta$mean)),
    var = c(colSums(share^2 * theta$var), t(topic$var), t(theta$var)))
}

# Of all words, those of each document.
word_shares <- function(model) {
  n <- document_words(model)
  n / sum(n)
}

# Variances after linear response, NA where there is none.
corrected_variances <- function(p) {
  n <- length(p$vb$lambda)
  k <- p$model$k
  theta <- c(t(p$response$theta_var))
  if (p$response$kind != "joint") return(c(rep(NA, k + n), theta))
  V <- diag(p$response$covariance)
  c(diag(prevalence_covariance(p)), t(matrix(V[seq_len(n)], k)), theta)
}

# Prevalences are linear in theta: sum_d share_d theta_dk.
prevalence_covariance <- function(p) {
  n <- length(p$vb$lambda)
  own <- -seq_len(n)
  A <- kronecker(t(word_shares(p$model)), diag(p$model$k))
  A %*% p$response$covariance[own, own] %*% t(A)
}

# All are beta in their margins, with the moments given.
#' @export
normal_rows.lda_dirichlet <- function(p, u = FALSE) {
  v <- variable_table(p$model)
  m <- dirichlet_moments(p)
  sd <- sqrt(m$var)
  corrected <- sqrt(corrected_variances(p))
  source <- ifelse(is.na(corrected), "mfvb", "lrvb")
  if (p$response$kind == "documents") {
    failed <- v$kind == "theta" & v$a %in% p$response$failed
    source[failed] <- "mfvb"
  }
  list2DF(c(v, numbers(m$mean, sd, corrected, list(mean = m$mean, sd = sd),
    list(mean = m$mean, sd = corrected), source)))
}

need_joint <- function(p) {
  if (p$response$kind == "joint") return(invisible())
  mf_abort("engine", "linear response gives covariances of small corpora only (topics times the ",
    "number of words and documents at most ", RESPONSE_MOST, "): use `type = \"mfvb\"`",
    arg = "type")
}

#' @export
location.lda_dirichlet <- function(p, type = "lrvb") {
  names <- location_names(p$model)
  k <- seq_len(p$model$k)
  if (type == "lrvb") need_joint(p)
  cov <- if (type == "lrvb") prevalence_covariance(p) else mean_field_prevalence(p)
  list(mean = stats::setNames(dirichlet_moments(p)$mean[k], names),
    cov = structure(cov, dimnames = list(names, names)))
}

# Documents are independent under q.
mean_field_prevalence <- function(p) {
  total <- rowSums(p$vb$gamma)
  mean <- p$vb$gamma / total
  w <- word_shares(p$model)^2 / (total + 1)
  diag(colSums(w * mean), p$model$k) - crossprod(mean * w, mean)
}

# By q itself where linear response has no covariances, as the summary.
#' @export
linear_mixture.lda_dirichlet <- function(p, parts) {
  at <- location(p, if (p$response$kind == "joint") "lrvb" else "mfvb")
  list(weights = 1, mean = as.matrix(drop(parts$X %*% at$mean) + parts$offset),
    var = as.matrix(rowSums((parts$X %*% at$cov) * parts$X)))
}

#' @export
covariance.lda_dirichlet <- function(p, type = "lrvb") {
  v <- variable_table(p$model)
  if (nrow(v) > 10000) {
    mf_abort("size", "the covariance matrix would have ", format(nrow(v), big.mark = ","),
      " rows, more than 10,000: see summary() for the variances", arg = "pars")
  }
  if (type == "lrvb") need_joint(p)
  V <- if (type == "lrvb") p$response$covariance else {
    dirichlet_covariance(c(p$vb$lambda, t(p$vb$gamma)), response_blocks(p$model))
  }
  n <- length(p$vb$lambda)
  A <- cbind(matrix(0, p$model$k, n), kronecker(t(word_shares(p$model)), diag(p$model$k)))
  D <- rbind(A, diag(nrow(V))[core_order(p$model), ])
  out <- D %*% V %*% t(D)
  dimnames(out) <- list(v$variable, v$variable)
  out
}

# Positions of the rows `topic` and `theta` of variable_table() among those of linear response.
core_order <- function(model) {
  n <- model$k * length(model$words)
  c(t(matrix(seq_len(n), model$k)), n + seq_len(model$k * length(model$documents)))
}

# ---- draws -------------------------------------------------------------------------------------

# With covariances, beta margins joined by their correlations; without, independent Dirichlets whose
# total is what the corrected variances ask for. Each sums to one.
#' @export
all_draws.lda_dirichlet <- function(p, ndraws = NULL, u = "auto") {
  ndraws <- check_count(ndraws %||% p$ndraws, "ndraws", 1)
  settle_u(u, 0, FALSE)
  check_size(ndraws, topic_elements(p$model) + p$model$k)
  d <- if (p$response$kind == "joint") joint_topic_draws(p, ndraws) else
    dirichlet_draws(p, ndraws)
  posterior::as_draws_matrix(with_prevalence(p, d))
}

joint_topic_draws <- function(p, ndraws) {
  V <- p$response$covariance
  sd <- sqrt(diag(V))
  a <- c(p$vb$lambda, t(p$vb$gamma))
  block <- response_blocks(p$model)
  mean <- a / block_total(a, block)
  z <- matrix(stats::rnorm(ndraws * length(sd)), ndraws) %*% half(V / outer(sd, sd))
  shape <- beta_shapes(mean, sd)
  d <- vapply(seq_along(sd), function(i) {
    stats::qbeta(stats::pnorm(z[, i]), shape$a[i], shape$b[i])
  }, numeric(ndraws))
  d <- matrix(d, ndraws)
  total <- t(rowsum(t(d), block, reorder = FALSE))
  (d / total[, match(block, unique(block)), drop = FALSE])[, core_order(p$model), drop = FALSE]
}

dirichlet_draws <- function(p, ndraws) {
  gamma <- p$vb$gamma
  mean <- gamma / rowSums(gamma)
  var <- pmax(rowSums(p$response$theta_var), 1e-12)
  total <- pmax(rowSums(mean * (1 - mean)) / var - 1, 1e-2)
  if (p$model$k == 1L) total <- rowSums(gamma)
  cbind(dirichlet_rows(p$vb$lambda, ndraws), dirichlet_rows(mean * total, ndraws))
}

# Draws of each row of parameters `a`, side by side; gammas of small shapes by their logarithms.
dirichlet_rows <- function(a, ndraws) {
  n <- ncol(a)
  out <- lapply(seq_len(nrow(a)), function(i) {
    shape <- rep(a[i, ], each = ndraws)
    l <- matrix(log(stats::rgamma(length(shape), shape + 1)) +
      log(stats::runif(length(shape))) / shape, ndraws)
    x <- exp(l - apply(l, 1L, max))
    x / rowSums(x)
  })
  do.call(cbind, out)
}

with_prevalence <- function(p, d) {
  n <- length(p$vb$lambda)
  share <- word_shares(p$model)
  theta <- array(d[, -seq_len(n)], c(nrow(d), p$model$k, length(share)))
  prevalence <- vapply(seq_len(p$model$k), function(k) {
    drop(matrix(theta[, k, ], nrow(d)) %*% share)
  }, numeric(nrow(d)))
  out <- cbind(matrix(prevalence, nrow(d)), d)
  colnames(out) <- variable_table(p$model)$variable
  out
}

# ---- print -------------------------------------------------------------------------------------

#' @export
print.lda_vb_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat("Variational Bayes of a topic model, ", x$model$k, " topic", if (x$model$k > 1L) "s", "\n",
    sep = "")
  print_corpus(x$model)
  cat(run_words(x), "; ELBO ", format_nats(x$vb$elbo), ", perplexity ",
    format(training_perplexity(x), digits = 4), sep = "")
  if (nrow(x$starts) > 1L) {
    best <- max(x$starts$elbo)
    cat("; starts from ", format_nats(min(x$starts$elbo)), " to ", format_nats(best), sep = "")
  }
  cat("\n\n")
  print_topics(x, digits)
  cat("\n", response_words(x$response), "\n", sep = "")
  invisible(x)
}

run_words <- function(x) {
  n <- format(x$sweeps, big.mark = ",")
  if (is.na(x$converged)) return(paste("Stochastic:", n, "steps"))
  paste0(if (x$converged) "Converged in " else "NOT converged after ", n, " sweeps")
}

response_words <- function(response) {
  failed <- length(response$failed)
  switch(response$kind,
    joint = "SDs of topics, proportions and prevalences are corrected by linear response.",
    documents = paste0("SDs of proportions are corrected by linear response given the topics",
      if (failed) paste0(" (but of ", failed, " documents)"), ";\nthose of topics and prevalences ",
      "are mean-field's, and too small."),
    none = "Linear response failed: SDs are mean-field's, and too small.")
}

# Prevalence and the first words of each topic.
print_topics <- function(x, digits, most = 20L) {
  k <- seq_len(min(x$model$k, most))
  s <- summary_table(x, 0.95)[k, ]
  words <- top_words(x, min(8L, length(x$model$words)))
  of <- vapply(k, function(i) paste(words$word[words$topic == i], collapse = " "), "")
  out <- data.frame(topic = k, prevalence = format_numbers(s$mean, digits),
    sd = format_numbers(s$sd, digits))
  if (!is.null(s$rhat)) out$rhat <- format_numbers(s$rhat, 4)
  out$words <- format(of)
  names(out)[ncol(out)] <- "most probable words"
  print(out, row.names = FALSE)
  if (x$model$k > most) cat("... with ", x$model$k - most, " more\n", sep = "")
}

#' @export
print.lda_gibbs_fit <- function(x, digits = 3, ...) {
  valid_fit(x)
  no_dots(...)
  cat("Collapsed Gibbs sampler of a topic model, ", x$model$k, " topic",
    if (x$model$k > 1L) "s", "\n", sep = "")
  print_corpus(x$model)
  cat(x$chains, " chain", if (x$chains != 1L) "s", " of ", x$iter, " sweeps (", x$warmup,
    " warm-up), ", dim(x$draws)[1L] * x$chains, " draws kept, ", format(round(x$seconds, 2)),
    " s\n", relabelling_line(x), "\n\n", sep = "")
  print_topics(x, digits)
  invisible(x)
}
